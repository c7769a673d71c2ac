"""Two clients from PyPI as they come, fhirpy and fhirclient, with what they offer for reading."""

import json
import os

from checks import check, finish
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.careteam import CareTeam
from fhirclient.models.patient import Patient
from fhirclient.models.practitionerrole import PractitionerRole
from fhirclient.server import FHIRNotFoundException, FHIRUnauthorizedException
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, MultipleResourcesFound, OperationOutcome, ResourceNotFound
from service import BASE

with open(os.environ["RECORDS"], encoding="utf-8") as file:
    RECORDS = json.load(file)
TOKEN, PATIENTS, DOCTORS = RECORDS["token"], RECORDS["patients"], RECORDS["doctors"]
PATIENT = str(PATIENTS[0]["id"])
MEN = sorted(str(one["id"]) for one in PATIENTS if one["gender"] == "male")
BORN_EARLY = sorted(str(one["id"]) for one in PATIENTS if one["date_of_birth"] < "1950")


def raises(error, work):
    try:
        work()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


client = SyncFHIRClient(BASE, authorization=f"Bearer {TOKEN}")


@check("fhirpy reads")
def fhirpy_reads():
    read = client.reference("Patient", PATIENT).to_resource()
    assert (read.id, read.birthDate) == (PATIENT, PATIENTS[0]["date_of_birth"])
    assert client.get("Patient", PATIENT)["id"] == client.get(f"Patient/{PATIENT}")["id"] == PATIENT
    assert client.resource("Patient", **read).refresh() == read
    everything = read.execute("$everything", method="get")
    assert {"Patient", "CareTeam", "Practitioner"} <= {entry.resource.resourceType for entry in everything.entry}
    team = client.reference("CareTeam", PATIENT).to_resource()
    assert client.reference(reference=team.subject.reference).to_resource() == read
    assert team.participant[0].member.to_resource().resourceType == "Practitioner"
    raises(ResourceNotFound, lambda: client.get("Patient", "999999999"))
    raises(AuthorizationError, lambda: SyncFHIRClient(BASE).get("Patient", PATIENT))


@check("fhirpy reads versions")
def fhirpy_versions():
    assert client.execute(f"Patient/{PATIENT}/_history/1", "get") == client.get("Patient", PATIENT)
    history = client.execute(f"Patient/{PATIENT}/_history", "get")
    assert [entry.resource.meta.versionId for entry in history.entry] == ["1"]


@check("fhirpy searches")
def fhirpy_searches():
    patients = client.resources("Patient")
    assert patients.count() == len(PATIENTS)
    assert patients.search(gender="male").count() == len(MEN)
    assert sorted(one.id for one in patients.search(gender="male").limit(20).fetch_all()) == MEN
    assert sorted(one.id for one in patients.search(birthdate__lt="1950").limit(9)) == BORN_EARLY
    assert len(patients.limit(30).fetch()) == 30
    assert patients.search(_id=PATIENT).get().id == PATIENT
    assert patients.sort("-_id").first().id == str(PATIENTS[-1]["id"])
    assert patients.search(_id="999999999").first() is None
    raises(ResourceNotFound, lambda: patients.search(_id="999999999").get())
    raises(MultipleResourcesFound, lambda: patients.search(gender="male").get())
    refusal = raises(OperationOutcome, lambda: patients.search(nmae="x").fetch())
    assert refusal.resource["issue"][0]["code"] == "not-supported"
    only_names = patients.elements("name").first()
    assert set(only_names) == {"resourceType", "id", "meta", "name"}, only_names
    doctor = client.resource("Practitioner", **client.get("Practitioner", client.resources("CareTeam").first().participant[0].member.id))
    team_of = client.resources("CareTeam").search(participant=doctor).fetch_all()
    patients_of = patients.has("CareTeam", "patient", participant=doctor).fetch_all()
    assert [one.id for one in team_of] == [one.id for one in patients_of] != []
    bundle = client.resources("CareTeam").search(patient=PATIENT).include("CareTeam", "participant").include("CareTeam", "patient").fetch_raw()
    assert {entry.resource.resourceType for entry in bundle.entry} == {"CareTeam", "Practitioner", "Patient"}
    assert len(patients.search(_id=PATIENT).revinclude("CareTeam", "patient").fetch()) == 1
    posted = patients.execute("_search", params={"gender": "male", "_count": 500})
    assert sorted(entry.resource.id for entry in posted.entry) == MEN


def with_token(token):
    """The client of somebody who has a token already: without a launch, as from a state that was kept."""
    kept = {"base_uri": f"{BASE}/", "auth_type": "oauth2", "auth": {"access_token": token}}
    return FHIRClient(state={"app_id": "tests", "patient_id": PATIENT, "server": kept})


smart = with_token(TOKEN)


@check("fhirclient (Python) reads")
def fhirclient_reads():
    assert smart.prepare() and smart.patient.id == PATIENT
    assert smart.human_name(smart.patient.name[0])
    # The statement says how to authenticate, and the client takes that in place of its token.
    assert with_token(TOKEN).server.capabilityStatement.fhirVersion == "4.0.1"
    read = Patient.read(PATIENT, smart.server)
    assert read.birthDate.isostring == PATIENTS[0]["date_of_birth"]
    everything = Bundle.read_from(f"Patient/{PATIENT}/$everything", smart.server)
    assert isinstance(everything.entry[0].resource, Patient)
    team = CareTeam.read(PATIENT, smart.server)
    assert Patient.read_from(team.subject.reference, smart.server).as_json() == read.as_json()
    raises(FHIRNotFoundException, lambda: Patient.read("999999999", smart.server))
    raises(FHIRUnauthorizedException, lambda: Patient.read(PATIENT, with_token("forged").server))


@check("fhirclient (Python) reads versions")
def fhirclient_versions():
    version = Patient.read_from(f"Patient/{PATIENT}/_history/1", smart.server)
    assert version.as_json() == Patient.read(PATIENT, smart.server).as_json()
    history = Bundle.read_from(f"Patient/{PATIENT}/_history", smart.server)
    assert (history.type, history.entry[0].response.etag) == ("history", 'W/"1"')


class Signed:
    """The client's own way to add its token, for requests that it sends itself."""

    def __call__(self, request):
        request.headers.update(smart.server.auth.signed_headers({}))
        return request


@check("fhirclient (Python) searches")
def fhirclient_searches():
    men = Patient.where({"gender": "male", "_count": "20"})
    assert sorted(one.id for one in men.perform_resources_iter(smart.server)) == MEN
    assert sum(1 for _ in men.perform_iter(smart.server)) == -(-len(MEN) // 20)
    early = Patient.where({"birthdate": {"$and": ["lt1950", "ge1000"]}, "_count": "500"})
    assert sorted(one.id for one in early.perform_resources_iter(smart.server)) == BORN_EARLY
    two = Patient.where({"_id": {"$or": [PATIENT, str(PATIENTS[1]["id"])]}}).perform(smart.server)
    assert two.total == len(two.entry) == 2
    roles = PractitionerRole.where({"practitioner": str(DOCTORS[0]["id"])}).include("practitioner").perform(smart.server)
    assert [entry.search.mode for entry in roles.entry] == ["match", "include"]
    posted = smart.server.post_as_form(f"{BASE}/Patient/_search", {"gender": "male", "_count": 500}, auth=Signed())
    assert sorted(entry.resource.id for entry in Bundle(posted.json()).entry) == MEN


finish()
