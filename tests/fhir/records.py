"""Makes the records that the others read: 300 patients and doctors with odd names, and who cares for whom.

They are written to the file RECORDS, with the token of their user. The same seed makes the same records.
"""

import json
import os
import random

from service import api, new_user

DICE = random.Random(18)
# Names that other software stumbles over: commas, titles, apostrophes, several scripts, combining marks, white space that is not
# U+0020, signs of markup and of search, emoji, and words without letters.
WORDS = """
    Anna José Zoë Łukasz Ångström Nguyễn O'Brien D’Angelo Jean-Luc van der de la Ñuñez İpek ﬁ ß Ⅷ x 7 - . ' , ; : | \\ $ & < > " %41 + _
    null true <b>bold</b> 李小龍 สมชาย محمد דוד अमित Ольга 👩‍⚕️ a̐éö̲ 𝔘𝔫𝔦 Dr. Prof. Dr Jr. III (née) [1] {x} a,b ,a a, S/O @ # * ? = \u200dz z\ufffd
""".split()
SPACES = [" ", " ", " ", "  ", "\u00a0", "\u3000", "\u2009", "\ufeff"]


def odd_text(most):
    """A few of those words."""
    words = [DICE.choice(WORDS) for _ in range(DICE.randint(1, 5))]
    text = words[0] + "".join(DICE.choice(SPACES) + word for word in words[1:])
    return text[:most]


def perhaps(value):
    return value if DICE.random() < 0.6 else None


def patient(number):
    born = f"{DICE.randint(1900, 2020)}-{DICE.randint(1, 12):02}-{DICE.randint(1, 28):02}"
    return {
        "name": odd_text(200),
        "date_of_birth": born,
        "gender": DICE.choice(["male", "female", "other", "unknown"]),
        "phone": perhaps(f"+49 30 {DICE.randint(10000, 9999999)}"),
        "email": perhaps(f"patient{number}@example.org"),
        "address": perhaps(f"{odd_text(200)}\n{odd_text(200)}"),
        "medical_history": perhaps(f"{odd_text(500)}\r\n\t{odd_text(500)}"),
    }


def doctor(number):
    return {
        "name": DICE.choice(["Dr. ", "Prof. Dr. ", ""]) + odd_text(150),
        "specialization": odd_text(100),
        "phone": perhaps(f"030/{DICE.randint(10000, 9999999)} x12"),
        "email": perhaps(f"doctor{number}@example.org"),
        "license_number": perhaps(f"MED {number}, |$\\ ä"),
        "years_of_experience": perhaps(DICE.randint(0, 50)),
    }


token = new_user("records@example.org")
patients = [api("POST", "/patients", token, patient(number)) for number in range(220)]
doctors = [api("POST", "/doctors", token, doctor(number)) for number in range(80)]


def mapping(patient, doctor):
    notes = perhaps(odd_text(400))
    api("POST", "/mappings", token, {"patient_id": patient["id"], "doctor_id": doctor["id"], "notes": notes})


# The first 120 patients have one or two doctors, the others none.
for one in patients[:120]:
    for other in DICE.sample(doctors, DICE.randint(1, 2)):
        mapping(one, other)

with open(os.environ["RECORDS"], "w", encoding="utf-8") as file:
    json.dump({"token": token, "patients": patients, "doctors": doctors}, file)
