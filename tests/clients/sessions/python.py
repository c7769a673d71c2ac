"""A session through the client that openapi-generator makes as `python`."""

import os
import re
from datetime import date

from openapi_client import (
    AccountsApi,
    ApiClient,
    Configuration,
    FieldErrors,
    Login,
    PatientChanges,
    PatientInput,
    PatientsApi,
    Registration,
)
from openapi_client.exceptions import ApiException, BadRequestException

host, email, password = os.environ["BASE_URL"], "python@example.org", "correct horse battery"
accounts = AccountsApi(ApiClient(Configuration(host=host)))
accounts.register(Registration(name="Python", email=email, password=password))
grant = accounts.login(Login(email=email, password=password)).data
patients = PatientsApi(ApiClient(Configuration(host=host, access_token=grant.token)))


def new_patient(phone: str | None = None) -> PatientInput:
    return PatientInput(name="Zoë Müller", date_of_birth=date(1990, 4, 23), gender="female", phone=phone)


ids, etag = [], ""
for _ in range(5):
    created = patients.create_patient_with_http_info(new_patient())
    etag = (created.headers or {})["ETag"]
    ids.append(created.data.data.id)
seen, after = [], None
while True:
    page = patients.list_patients_with_http_info(limit=2, after=after)
    seen += [patient.id for patient in page.data.data]
    link = re.search(r"[?&]after=(\d+)", (page.headers or {}).get("Link", ""))
    if link is None:
        break
    after = int(link.group(1))
assert seen == ids

change = PatientChanges(phone="+49 30 1234567")
assert patients.patch_patient(ids[4], change, if_match=etag).data.phone == "+49 30 1234567"
try:
    patients.patch_patient(ids[4], change, if_match=etag)
    raise AssertionError("an old version was changed")
except ApiException as refused:
    assert refused.status == 412
# The client checks patterns and lengths by itself; only the service knows which days are to come.
try:
    late = new_patient()
    late.date_of_birth = date(2900, 1, 1)
    patients.create_patient(late)
    raise AssertionError("a birth to come was taken")
except BadRequestException as refused:
    assert isinstance(refused.data, FieldErrors)
    assert [error.var_field for error in refused.data.data.errors] == ["date_of_birth"]
try:
    patients.find_patient(999_999)
    raise AssertionError("there is no such patient")
except ApiException as refused:
    assert refused.status == 404
