"""Every kind of answer that reading can bring, from resources to refusals; the validators look at the bodies afterwards.

    make test-fhir
"""

import json
import os

from checks import check, finish
from service import Reader, api, new_user

with open(os.environ["RECORDS"], encoding="utf-8") as file:
    RECORDS = json.load(file)
token, PATIENTS, DOCTORS = RECORDS["token"], RECORDS["patients"], RECORDS["doctors"]
reader, stranger, nobody = Reader(token), Reader(new_user("stranger@example.org")), Reader()
patient, doctor = PATIENTS[0]["id"], DOCTORS[0]["id"]
alone = next(one["id"] for one in PATIENTS[120:] if one["medical_history"] is None)
HISTORIES = [one["id"] for one in PATIENTS if one["medical_history"]]
TYPES = ["Patient", "Practitioner", "PractitionerRole", "CareTeam", "DocumentReference"]


def gone(kind, fields):
    """The id of a record that was made and deleted."""
    number = api("POST", f"/{kind}", token, fields)["id"]
    api("PUT", f"/{kind}/{number}", token, fields | {"phone": "030 12345"})
    api("DELETE", f"/{kind}/{number}", token)
    return number


def steps(history):
    """What happened, newest first: the methods and their statuses."""
    return [(entry["request"]["method"], entry["response"]["status"][:3]) for entry in history]


gone_patient = gone("patients", {"name": "Gone, Ann", "date_of_birth": "1990-04-23", "gender": "other"})
gone_doctor = gone("doctors", {"name": "Dr. Gone", "specialization": "Cardiology"})


@check("each resource")
def resources():
    for one in PATIENTS:
        reader.get(f"Patient/{one['id']}")
    for one in DOCTORS:
        reader.get(f"Practitioner/{one['id']}")
        reader.get(f"PractitionerRole/{one['id']}")
    for one in PATIENTS[:120]:
        reader.get(f"CareTeam/{one['id']}")
    for one in HISTORIES:
        reader.get(f"DocumentReference/{one}-history")
    for mode in ["", "?mode=full", "?_format=json"]:
        nobody.get(f"metadata{mode}")


@check("parts of resources")
def parts():
    ids = {kind: patient for kind in ["Patient", "CareTeam"]} | {"Practitioner": doctor, "PractitionerRole": doctor}
    paths = [f"{kind}/{one}" for kind, one in ids.items()] + [f"DocumentReference/{HISTORIES[0]}-history"]
    for path in paths:
        for part in ["_summary=true", "_summary=text", "_summary=data", "_summary=false", "_elements=name,status", "_pretty=true"]:
            reader.get(f"{path}?{part}")
    for kind in TYPES:
        for part in ["_summary=true", "_summary=text", "_summary=data", "_elements=identifier,participant", "_summary=count", "_count=0"]:
            reader.get(f"{kind}?{part}")


@check("whole lists, page by page")
def lists():
    expected = {"Patient": 220, "CareTeam": 120, "DocumentReference": len(HISTORIES)}
    for kind in TYPES:
        for count in [500, 37]:
            found = reader.all(f"{kind}?_count={count}")
            ids = [one["id"] for one in found]
            assert len(ids) == len(set(ids)), f"{kind}: twice the same"
            # Doctors are one directory for everybody; other checks add to it.
            assert len(ids) == expected.get(kind, len(ids)) and len(ids) >= 80, f"{kind}: {len(ids)}"


@check("includes")
def includes():
    for search in [
        "CareTeam?_include=CareTeam:patient&_include=CareTeam:participant",
        "CareTeam?_include=CareTeam:participant:Practitioner&_count=7",
        "PractitionerRole?_include=PractitionerRole:practitioner&_count=20",
        "DocumentReference?_include=DocumentReference:patient",
        "Patient?_revinclude=CareTeam:patient&_revinclude=DocumentReference:patient",
        "Practitioner?_revinclude=PractitionerRole:practitioner&_count=20",
    ]:
        for bundle in reader.pages(search):
            entries = bundle["entry"]
            assert {entry["search"]["mode"] for entry in entries} == {"match", "include"}, search
            ids = [entry["fullUrl"] for entry in entries]
            assert len(ids) == len(set(ids)), f"{search}: twice the same"


@check("everything about a patient, and a compartment")
def everything():
    for one in PATIENTS[:10] + PATIENTS[120:125]:
        bundle = reader.get(f"Patient/{one['id']}/$everything")
        kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
        assert "Patient" in kinds and (one["medical_history"] is not None) == ("DocumentReference" in kinds), kinds
        reader.get(f"Patient/{one['id']}/CareTeam")
    assert "Practitioner" in kinds or not {"CareTeam", "PractitionerRole"} & kinds
    assert reader.get(f"Patient/{alone}/CareTeam").get("entry") is None
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueCode": "Patient,CareTeam"}]}
    json_body = {"headers": {"Content-Type": "application/fhir+json"}, "body": json.dumps(parameters)}
    posted = reader.get(f"Patient/{patient}/$everything", method="POST", **json_body)
    assert [entry["resource"]["resourceType"] for entry in posted["entry"]] == ["Patient", "CareTeam"], posted
    reader.get(f"Patient/{patient}/%24everything?_since=2100-01-01")
    reader.get(f"Patient/{patient}/$everything?_type=Practitioner,PractitionerRole,DocumentReference")


@check("versions and histories")
def versions():
    # The last one: bdl-7 of R4 compares the address with the version behind it, and takes 2 at version 11 for 21 at version 1.
    one = PATIENTS[-1]
    for year in range(1930, 1940):
        api("PATCH", f"/patients/{one['id']}", token, {"date_of_birth": f"{year}-01-31", "address": None})
    for version in range(1, 12):
        shown = reader.ask(f"Patient/{one['id']}/_history/{version}")
        assert shown.headers["etag"] == f'W/"{version}"'
        assert shown.json()["meta"]["versionId"] == str(version)
    paged = [entry for page in reader.pages(f"Patient/{one['id']}/_history?_count=3") for entry in page["entry"]]
    assert [entry["resource"]["meta"]["versionId"] for entry in paged] == [str(number) for number in range(11, 0, -1)]
    reader.get(f"Patient/{one['id']}/_history?_since=2100-01-01T00:00:00Z")
    reader.get(f"Practitioner/{doctor}/_history")
    reader.get(f"Practitioner/{doctor}/_history/1")
    for kind, number in [("Patient", gone_patient), ("Practitioner", gone_doctor)]:
        history = reader.get(f"{kind}/{number}/_history")["entry"]
        assert "resource" not in history[0]
        assert steps(history) == [("DELETE", "204"), ("PUT", "200"), ("POST", "201")], history
        reader.get(f"{kind}/{number}/_history/1")
        reader.ask(f"{kind}/{number}", status=410, code="deleted")
        reader.ask(f"{kind}/{number}/_history/3", status=410, code="deleted")
        stranger.ask(f"{kind}/{number}", status=404, code="not-found")
    api("POST", f"/patients/{gone_patient}/undelete", token)
    history = reader.get(f"Patient/{gone_patient}/_history")["entry"]
    assert steps(history)[0] == ("PUT", "201") and history[0]["resource"] == reader.get(f"Patient/{gone_patient}"), history[0]
    # The other scripts count the patients.
    api("DELETE", f"/patients/{gone_patient}", token)
    for path in ["", "/1", "/99"]:
        stranger.ask(f"Patient/{patient}/_history{path}", status=404, code="not-found")
    for query in ["?_sort=x", "?_count=0", "?name=x"]:
        reader.ask(f"Patient/{patient}/_history{query}", status=400)


@check("a search that leaves out what it cannot do")
def lenient():
    bundle = reader.get("Patient?nmae=x&gender=male", headers={"Prefer": "handling=lenient"})
    outcomes = [entry for entry in bundle["entry"] if entry["search"]["mode"] == "outcome"]
    assert [entry["resource"]["issue"][0]["severity"] for entry in outcomes] == ["warning"], outcomes
    own = next(link["url"] for link in bundle["link"] if link["relation"] == "self")
    assert "nmae" not in own and "gender=male" in own, own


@check("refusals of requests")
def refusals():
    long_form = "name=" + "x" * 5000
    parameters = {"Content-Type": "application/fhir+json"}
    for path, status, code, more in [
        ("Patient?nmae=x", 400, "not-supported", {}),
        ("Patient?name:missing=true", 400, "not-supported", {}),
        ("Patient?general-practitioner=1", 400, "not-supported", {}),
        ("Patient?birthdate=soon", 400, "value", {}),
        ("Patient?birthdate=ap1990", 400, None, {}),
        ("Patient?_count=-1", 400, "value", {}),
        ("Patient?_sort=colour", 400, None, {}),
        ("Patient?_cursor=x", 400, "value", {}),
        ("Patient?name=%ff", 400, "value", {}),
        ("Patient?_include=*", 400, "not-supported", {}),
        ("Patient/_search", 400, "too-long", {"form": long_form}),
        ("Patient/_search", 413, "too-long", {"form": "name=" + "x" * 2_000_000}),
        ("Patient/_search", 415, "not-supported", {"method": "POST", "body": "{}", "headers": parameters}),
        (f"Patient/{patient}?name=x", 400, "not-supported", {}),
        (f"Patient/{patient}", 400, "structure", {"headers": parameters, "body": "{}"}),
        (f"Patient/{patient}/$everything", 400, "structure", {"method": "POST", "headers": parameters, "body": "{"}),
        (f"Patient/{patient}/$everything?start=2020-01-01", 400, "not-supported", {}),
        ("metadata?mode=terminology", 400, "not-supported", {}),
        ("metadata", 400, None, {"headers": {"Host": "not a host"}}),
        (f"Patient/{patient}", 405, "not-supported", {"method": "POST"}),
        (f"Patient/{patient}", 405, "not-supported", {"method": "DELETE"}),
        (f"Patient/{patient}", 406, "not-supported", {"headers": {"Accept": "application/fhir+xml"}}),
        (f"Patient/{patient}?_format=xml", 406, "not-supported", {}),
        (f"Patient/{patient}", 406, "not-supported", {"headers": {"Accept": "application/fhir+json; fhirVersion=3.0"}}),
        ("metadata", 417, None, {"headers": {"Expect": "something"}}),
        ("metadata", 501, "not-supported", {"method": "BREW"}),
    ]:
        reader.ask(path, status=status, code=code, **({"method": "GET"} | more))


@check("refusals of persons, and what is not there")
def absences():
    for kind in TYPES:
        nobody.ask(kind, status=401, code="login")
        nobody.ask(f"{kind}/1", status=401, code="login")
        Reader("forged").ask(f"{kind}/1", status=401, code="login")
        for path in ["/0", "/01", "/x", "/999999999", "/999999999/_history", "/999999999/_history/1", "/_history"]:
            reader.ask(kind + path, status=404, code="not-found")
    history = f"{HISTORIES[0]}-history"
    for path in [f"Patient/{patient}", f"Patient/{patient}/$everything", f"Patient/{patient}/CareTeam", f"CareTeam/{patient}", f"DocumentReference/{history}"]:
        foreign = stranger.ask(path, status=404, code="not-found")
        assert foreign.content == stranger.ask(f"Patient/{10**12}", status=404).content, path
    for path in [f"CareTeam/{alone}", f"Patient/{patient}/Observation", f"Patient/{patient}/_history/99", "Observation", "", "x/y/z",
                 ".well-known/smart-configuration"]:
        reader.ask(path, status=404, code="not-found")


@check("what a client negotiates")
def negotiation():
    path = f"Patient/{patient}"
    whole = reader.ask(path)
    for headers in [{"Accept": "*/*"}, {"Accept": "application/*"}, {"Accept": "application/json"}, {"Accept": "text/html, application/fhir+json;q=0.5"}]:
        assert reader.ask(path, headers=headers).content == whole.content
    for query in ["?_format=json", "?_format=application/json", "?_format=application/fhir%2Bjson", "?_format=application/fhir+json"]:
        assert reader.ask(path + query, headers={"Accept": "application/xml"}).content == whole.content
    assert whole.headers["etag"] == 'W/"1"' and "last-modified" in whole.headers
    reader.ask(path, status=304, headers={"If-None-Match": whole.headers["etag"]})
    reader.ask(path, headers={"If-None-Match": 'W/"3"'})
    head = reader.ask(path, method="HEAD")
    assert head.headers["etag"] == whole.headers["etag"] and head.headers["content-length"] == whole.headers["content-length"]
    assert reader.ask(path + "/").content == whole.content
    reader.ask("Patient/?_count=1")
    # A FHIR client may write the parts of a form or of an address in any case of the media type.
    reader.ask("Patient/_search", form="_count=1", headers={"Accept": "application/FHIR+JSON"})


finish()
