"""The kinds of requests that sizes.py times. The same names stand for the same work in a database of any size: :ann has 1,000 patients, :bob
as many in a care group of twenty, :big a hundredth of all, and :root is an admin."""

import datetime
import http.client
import json
import random
import statistics
import sys
import time
import urllib.parse

from database import PASSWORD

# A kind is asked so often, or for so long, of each database.
SAMPLES = 400
SECONDS = 12
FAMILIES = [first + middle for first in ("al", "bau", "con", "eg", "fuch", "kle", "mei", "schu") for middle in ("ber", "fel", "kin", "sen", "wal")]
LISTS = "/api/patients?limit=20"
ADMIN = "/api/admin/patients?limit=20"
AUDIT = "/api/admin/audit?limit=20"


class Asker:
    """Asks one server, as one user after the other, on one connection."""

    def __init__(self, database):
        self.database, self.patients, self.trail = database, database.counts["patients"], database.counts["trail"]
        self.connection = http.client.HTTPConnection(*database.keeper.address(), timeout=600)
        self.tokens = {name: database.log_in(name) for name in database.users}
        self.chance = random.Random(20)
        self.made, self.assigned, self.position = [], 0, {}

    def ask(self, who, method, path, body=None):
        """Status, seconds and body."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        started = time.perf_counter()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - started
        self.next = answer.headers.get("Link", "")
        return answer.status, took, text

    def of_ann(self):
        return 1 + self.chance.randrange(1000) * (self.patients // 1000)

    def of_anybody(self):
        return 1 + self.chance.randrange(self.patients)

    def family(self):
        return self.chance.choice(FAMILIES)

    def day(self):
        return (datetime.date(1930, 1, 1) + datetime.timedelta(self.chance.randrange(34000))).isoformat()

    def hour(self):
        """An hour of the trail, as its parameters."""
        start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2 + self.chance.randrange(24 * 29))
        times = (start, start + datetime.timedelta(hours=1))
        return "from={}&until={}".format(*(urllib.parse.quote(time.isoformat()) for time in times))

    def user(self):
        return self.database.users["visitor"] + 1 + self.chance.randrange(self.database.counts["users"])

    def deep(self):
        """The id of an entry in the middle of the trail."""
        return self.chance.randrange(self.trail // 40 * 6) * 1000

    def page(self, first):
        """The page behind the last one, so that pages come deeper and deeper."""
        return self.position.get(first) or first

    def create(self):
        number = self.chance.randrange(10**8)
        return {"name": f"Nora Neumann {number}", "date_of_birth": self.day(), "gender": "female", "phone": f"+49 30 {number}",
                "email": f"nora{number}@example.org", "address": f"{number} Main Street, Springfield",
                "medical_history": "Asthma since childhood; penicillin allergy."}

    def assignment(self):
        """A pair that there is not yet."""
        self.assigned += 1
        turn, place = divmod(self.assigned, len(self.made))
        return {"patient_id": self.made[place], "doctor_id": 1 + turn % 100}


# A name, who asks, and the request of one asker.
KINDS = [
    ("a patient", "ann", lambda a: ("GET", f"/api/patients/{a.of_ann()}")),
    ("list of 20", "ann", lambda a: ("GET", LISTS)),
    ("list of 20, deep in", "ann", lambda a: ("GET", f"{LISTS}&after={a.of_ann()}")),
    ("list of 20, by name, deep in", "ann", lambda a: ("GET", a.page(f"{LISTS}&sort=name"))),
    ("list of 20, of a group of 20 colleagues", "bob", lambda a: ("GET", f"{LISTS}&after={a.of_anybody()}")),
    ("`q`, a family", "ann", lambda a: ("GET", f"{LISTS}&q={a.family()}")),
    ("`q`, two letters", "ann", lambda a: ("GET", f"{LISTS}&q=qx")),
    ("filter by gender", "ann", lambda a: ("GET", f"{LISTS}&gender=female")),
    ("filter by date of birth", "ann", lambda a: ("GET", f"{LISTS}&date_of_birth={a.day()}")),
    ("`count=true`", "ann", lambda a: ("GET", f"{LISTS}&count=true")),
    ("doctors of a patient", "ann", lambda a: ("GET", f"/api/mappings/{a.of_ann()}")),
    ("mappings of 20", "ann", lambda a: ("GET", "/api/mappings?limit=20")),
    ("directory of doctors, `q`", "ann", lambda a: ("GET", f"/api/doctors?limit=20&q=be-10000{a.chance.randrange(10, 100)}")),
    ("history of a patient", "ann", lambda a: ("GET", f"/api/patients/{a.of_ann()}/history")),
    ("deleted patients", "ann", lambda a: ("GET", "/api/patients/deleted?limit=20")),
    ("who saw a patient", "ann", lambda a: ("GET", f"/api/patients/{a.of_ann()}/access/log")),
    ("create", "ann", lambda a: ("POST", "/api/patients", a.create())),
    ("update", "ann", lambda a: ("PATCH", f"/api/patients/{a.of_ann()}", {"phone": f"+49 40 {a.chance.randrange(10**8)}"})),
    ("assign a doctor", "ann", lambda a: ("POST", "/api/mappings", a.assignment())),
    ("delete", "ann", lambda a: ("DELETE", f"/api/patients/{a.made.pop()}")),
    ("login", None, lambda a: ("POST", "/api/auth/login", {"email": "visitor@example.org", "password": PASSWORD})),
    ("a hundredth of all: list of 20, deep in", "big", lambda a: ("GET", f"{LISTS}&after={a.of_anybody()}")),
    ("a hundredth of all: by name, deep in", "big", lambda a: ("GET", a.page(f"{LISTS}&sort=name"))),
    ("a hundredth of all: `q`, a family", "big", lambda a: ("GET", f"{LISTS}&q={a.family()}")),
    ("a hundredth of all: `q`, two letters", "big", lambda a: ("GET", f"{LISTS}&q=qx")),
    ("a hundredth of all: `count=true`", "big", lambda a: ("GET", f"{LISTS}&count=true")),
    ("FHIR, a patient", "ann", lambda a: ("GET", f"/fhir/R4/Patient/{a.of_ann()}")),
    ("FHIR, `family`", "ann", lambda a: ("GET", f"/fhir/R4/Patient?_count=20&family={a.family()}")),
    ("FHIR, a hundredth of all: `birthdate`", "big", lambda a: ("GET", f"/fhir/R4/Patient?_count=20&birthdate={a.day()}")),
    ("FHIR, a hundredth of all: `_sort=family`", "big", lambda a: ("GET", "/fhir/R4/Patient?_count=20&_sort=family")),
    ("FHIR, a hundredth of all: `name:contains`, `_sort=name`", "big",
     lambda a: ("GET", "/fhir/R4/Patient?_count=20&name:contains=stein&_sort=name")),
    ("admin: a patient", "root", lambda a: ("GET", f"/api/admin/patients/{a.of_anybody()}")),
    ("admin: list of 20, deep in", "root", lambda a: ("GET", f"{ADMIN}&after={a.of_anybody()}")),
    ("admin: by name, deep in", "root", lambda a: ("GET", a.page(f"{ADMIN}&sort=name"))),
    ("admin: last changed first", "root", lambda a: ("GET", a.page(f"{ADMIN}&sort=-updated_at"))),
    ("admin: patients of a user", "root", lambda a: ("GET", f"{ADMIN}&created_by={a.user()}")),
    ("admin: filter by date of birth", "root", lambda a: ("GET", f"{ADMIN}&date_of_birth={a.day()}")),
    ("admin: `q`, an address", "root", lambda a: ("GET", f"{ADMIN}&q={a.family()}{a.of_anybody()}@example.org")),
    ("admin: `q`, a family", "root", lambda a: ("GET", f"{ADMIN}&q={a.family()}")),
    ("admin: `q`, given name and family", "root", lambda a: ("GET", f"{ADMIN}&q=quentin+{a.family()}dorf")),
    ("admin: `q`, two letters that many have", "root", lambda a: ("GET", f"{ADMIN}&q=an")),
    ("admin: `q`, two letters that nobody has", "root", lambda a: ("GET", f"{ADMIN}&q=qx")),
    ("admin: `count=true`", "root", lambda a: ("GET", f"{ADMIN}&count=true")),
    ("admin: deleted patients", "root", lambda a: ("GET", "/api/admin/patients/deleted?limit=20")),
    ("admin: users, `q`", "root", lambda a: ("GET", f"/api/admin/users?limit=20&q=user{a.user()}@")),
    ("audit", "root", lambda a: ("GET", AUDIT)),
    ("audit, deep in", "root", lambda a: ("GET", f"{AUDIT}&before={a.deep()}")),
    ("audit: an actor", "root", lambda a: ("GET", f"{AUDIT}&actor_id={a.user()}&before={a.deep()}")),
    ("audit: an action", "root", lambda a: ("GET", f"{AUDIT}&action=login&before={a.deep()}")),
    ("audit: an action that never was", "root", lambda a: ("GET", f"{AUDIT}&action=unlock")),
    ("audit: a record", "root", lambda a: ("GET", f"{AUDIT}&resource=patient&resource_id={a.of_anybody()}")),
    ("audit: an hour", "root", lambda a: ("GET", f"{AUDIT}&{a.hour()}")),
    ("audit: an action, an hour", "root", lambda a: ("GET", f"{AUDIT}&action=read&{a.hour()}")),
    ("audit: until an hour", "root", lambda a: ("GET", f"{AUDIT}&{a.hour().partition('&')[2]}")),
    ("audit: an actor, an hour", "root", lambda a: ("GET", f"{AUDIT}&actor_id={a.user()}&{a.hour()}")),
    ("audit: a record, an hour", "root", lambda a: ("GET", f"{AUDIT}&resource=patient&resource_id={a.of_anybody()}&{a.hour()}")),
    ("audit: an actor and a record", "root", lambda a: ("GET", f"{AUDIT}&actor_id={a.user()}&resource_id={a.of_anybody()}")),
]


def measure(databases):
    """name → for each database the median and the 99th percentile in milliseconds, how often, and how many answers were errors."""
    askers = [Asker(database) for database in databases]
    results = {}
    for name, who, request in KINDS:
        taken = [[] for _ in askers]
        errors = [0 for _ in askers]
        for number in range(SAMPLES + 10):
            for place, asker in enumerate(askers):
                # Counted after some, unless they are slow; and no longer asked when the time is over.
                if sum(taken[place]) < SECONDS:
                    status, took = once(asker, who, request)
                    if number < 10 and took < 0.1:
                        continue
                    taken[place].append(took)
                    errors[place] += status >= 400
        results[name] = [figures(taken[place], errors[place]) for place in range(len(askers))]
        told = ", ".join("{median:.1f} · {p99:.1f} ms, {errors} errors".format(**one) for one in results[name])
        print(f"{name}: {told}", file=sys.stderr, flush=True)
    return results


def once(asker, who, request):
    method, path, *body = request(asker)
    status, took, text = asker.ask(who, method, path, *body)
    if status == 201 and path == "/api/patients":
        asker.made.append(json.loads(text)["data"]["id"])
    if asker.next:
        first = path.partition("&cursor=")[0]
        asker.position[first] = asker.next[1:].partition(">")[0]
    return status, took


def figures(taken, errors):
    taken = sorted(taken)
    return {"median": statistics.median(taken) * 1000, "p99": taken[min(len(taken) - 1, int(len(taken) * 0.99))] * 1000, "count": len(taken),
            "errors": errors}
