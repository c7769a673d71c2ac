"""A session through the client of openapi-python-client; mypy checks it and the client with --strict."""

import os
import re
from datetime import date

from healthcare_backend_client import AuthenticatedClient, Client
from healthcare_backend_client.api.accounts import login, register
from healthcare_backend_client.api.patients import create_patient, find_patient, list_patients, patch_patient
from healthcare_backend_client.models import (
    Failure,
    FieldErrors,
    GrantAnswer,
    Login,
    PatientAnswer,
    PatientChanges,
    PatientInput,
    PatientInputGender,
    PatientListAnswer,
    Registration,
)
from healthcare_backend_client.types import UNSET, Unset

base_url, email, password = os.environ["BASE_URL"], "openapi-python-client@example.org", "correct horse battery"
anyone = Client(base_url=base_url)
register.sync(client=anyone, body=Registration(name="Python", email=email, password=password))
grant = login.sync(client=anyone, body=Login(email=email, password=password))
assert isinstance(grant, GrantAnswer)
ann = AuthenticatedClient(base_url=base_url, token=grant.data.token)


def new_patient(phone: str | Unset = UNSET) -> PatientInput:
    born, gender = date(1990, 4, 23), PatientInputGender.FEMALE
    return PatientInput(name="Zoë Müller", date_of_birth=born, gender=gender, phone=phone)


ids: list[int] = []
etag = ""
for _ in range(5):
    created = create_patient.sync_detailed(client=ann, body=new_patient())
    assert isinstance(created.parsed, PatientAnswer)
    etag = created.headers["ETag"]
    ids.append(created.parsed.data.id)
seen: list[int] = []
after: int | Unset = UNSET
while True:
    page = list_patients.sync_detailed(client=ann, limit=2, after=after)
    assert isinstance(page.parsed, PatientListAnswer)
    seen += [patient.id for patient in page.parsed.data]
    link = re.search(r"[?&]after=(\d+)", page.headers.get("Link", ""))
    if link is None:
        break
    after = int(link.group(1))
assert seen == ids

changes = PatientChanges(phone="+49 30 1234567")
changed = patch_patient.sync(ids[4], client=ann, body=changes, if_match=etag)
assert isinstance(changed, PatientAnswer) and changed.data.phone == "+49 30 1234567"
late = patch_patient.sync_detailed(ids[4], client=ann, body=changes, if_match=etag)
assert late.status_code == 412 and isinstance(late.parsed, Failure)
refused = create_patient.sync(client=ann, body=new_patient(phone="12"))
assert isinstance(refused, FieldErrors) and [error.field for error in refused.data.errors] == ["phone"]
missing = find_patient.sync_detailed(999_999, client=ann)
assert missing.status_code == 404 and isinstance(missing.parsed, Failure)
