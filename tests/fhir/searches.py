"""The searches of US Core 6.1, each by GET and by POST, and a walk through the CapabilityStatement: what it declares works, and what R4
and US Core have beyond that is refused.

    python searches.py SEARCH_PARAMETERS…
"""

import json
import os
import re
import sys
from urllib.parse import urlencode

from checks import check, finish
from service import BASE, Reader

with open(os.environ["RECORDS"], encoding="utf-8") as file:
    RECORDS = json.load(file)
# All that R4 and US Core know.
KNOWN = []
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as file:
        KNOWN += [entry["resource"] for entry in json.load(file)["entry"]]
reader, nobody = Reader(RECORDS["token"]), Reader()
PATIENTS = reader.all("Patient?_count=500")
DOCTORS = {one["id"]: one for one in reader.all("Practitioner?_count=500")}
TEAMS = reader.all("CareTeam?_count=500")
ROLES = reader.all("PractitionerRole?_count=500")
DOCUMENTS = reader.all("DocumentReference?_count=500")


def escaped(text):
    """A text as a value of a search, where these signs part values."""
    for sign in "\\,|$":
        text = text.replace(sign, "\\" + sign)
    return text


def is_sought(text):
    """Whether somebody would search for the text: it has three letters or digits in a row, for which there is an index."""
    return re.search(r"[^\W_]{3}", text)


def found(kind, criteria):
    """The ids of what matches. It must be the same by GET and by POST, and the count as well."""
    query = urlencode(criteria, doseq=True)
    by_get = reader.all(f"{kind}?{query}&_count=500")
    by_post = reader.get(f"{kind}/_search", form=f"{query}&_count=500")
    ids = [one["id"] for one in by_get]
    assert ids == [entry["resource"]["id"] for entry in by_post.get("entry", []) if entry["search"]["mode"] == "match"], query
    assert by_post["total"] == len(ids), f"{query}: {by_post['total']} by POST, {len(ids)} by GET"
    counts = [reader.get(f"{kind}?{query}&_summary=count"), reader.get(f"{kind}/_search", form=f"{query}&_count=0")]
    assert [one["total"] for one in counts] == [len(ids)] * 2, query
    return ids


def born(one):
    return {"birthdate": one["birthDate"]}


@check("US Core: Patient")
def patients():
    for one in PATIENTS[::20]:
        name = one["name"][0]
        system, value = one["identifier"][0]["system"], one["identifier"][0]["value"]
        assert found("Patient", {"_id": one["id"]}) == [one["id"]]
        assert found("Patient", {"identifier": f"{system}|{value}"}) == [one["id"]]
        same_day = [other["id"] for other in PATIENTS if other["birthDate"] == one["birthDate"]]
        same_gender = [other["id"] for other in PATIENTS if other["gender"] == one["gender"]]
        assert found("Patient", born(one)) == same_day
        for part in [name["text"], name["family"], *name.get("given", [])]:
            if not is_sought(part):
                continue
            by_name = found("Patient", {"name": escaped(part)})
            assert one["id"] in by_name, f"{part!r} in {name}"
            assert found("Patient", born(one) | {"name": escaped(part)}) == [id for id in by_name if id in same_day]
            assert found("Patient", {"gender": one["gender"], "name": escaped(part)}) == [id for id in by_name if id in same_gender]
        for parameter, parts in [("family", [name["family"]]), ("given", name.get("given", []))]:
            for part in filter(is_sought, parts):
                by_part = found("Patient", {parameter: escaped(part)})
                assert one["id"] in by_part, f"{parameter}={part!r} in {name}"
                assert found("Patient", born(one) | {parameter: escaped(part)}) == [id for id in by_part if id in same_day]
                assert found("Patient", {parameter: escaped(part), "gender": one["gender"]}) == [id for id in by_part if id in same_gender]


@check("US Core: Practitioner and PractitionerRole")
def practitioners():
    for one in list(DOCTORS.values())[::9]:
        assert found("Practitioner", {"_id": one["id"]}) == [one["id"]]
        name, identifier = one["name"][0], one["identifier"][0]
        assert found("Practitioner", {"identifier": escaped(identifier["system"]) + "|" + escaped(identifier["value"])}) == [one["id"]]
        for part in [name["text"], name["family"], *name.get("given", [])]:
            if is_sought(part):
                assert one["id"] in found("Practitioner", {"name": escaped(part)}), f"{part!r} in {name}"
    for one in ROLES[::16]:
        specialty = one["specialty"][0]["text"]
        same = [other["id"] for other in ROLES if other["specialty"][0]["text"].lower() == specialty.lower()]
        assert set(found("PractitionerRole", {"specialty:text": escaped(specialty)})) >= set(same), specialty
        assert found("PractitionerRole", {"practitioner": one["practitioner"]["reference"]}) == [one["id"]]
        included = reader.get(f"PractitionerRole?practitioner={one['id']}&_include=PractitionerRole:practitioner")
        assert [entry["resource"] for entry in included["entry"]] == [one, DOCTORS[one["id"]]]


@check("US Core: CareTeam and DocumentReference")
def teams():
    for one in TEAMS[::24]:
        forms = [f"Patient/{one['id']}", one["id"], f"{BASE}/Patient/{one['id']}"]
        assert [found("CareTeam", {"patient": form, "status": "active"}) for form in forms] == [[one["id"]]] * 3
        assert found("CareTeam", {"patient": one["id"], "status": "inactive"}) == []
        role = one["participant"][0]["role"][0]["text"]
        if is_sought(role):
            assert one["id"] in found("CareTeam", {"role": escaped(role)}), role
            assert found("CareTeam", {"patient": one["id"], "role": escaped(role)}) == [one["id"]], role
        bundle = reader.get(f"CareTeam?patient={one['id']}&status=active&_include=CareTeam:participant")
        members = sorted({participant["member"]["reference"] for participant in one["participant"]})
        included = [entry["resource"] for entry in bundle["entry"] if entry["search"]["mode"] == "include"]
        assert sorted(f"Practitioner/{other['id']}" for other in included) == members
        assert all(other == DOCTORS[other["id"]] for other in included)
    for one in DOCUMENTS[::50]:
        subject, coding = one["subject"]["reference"], one["type"]["coding"][0]
        category = one["category"][0]["coding"][0]
        for criteria in [
            {"_id": one["id"]},
            {"patient": subject},
            {"patient": subject, "category": f"{category['system']}|{category['code']}"},
            {"patient": subject, "category": category["code"], "date": f"ge{one['date'][:10]}"},
            {"patient": subject, "type": f"{coding['system']}|{coding['code']}"},
            {"patient": subject, "status": "current"},
        ]:
            assert found("DocumentReference", criteria) == [one["id"]], criteria
        assert found("DocumentReference", {"patient": subject, "date": f"lt{one['date'][:10]}"}) == []


SAMPLES = {
    "_id": "1", "_lastUpdated": "ge2000", "name": "anna", "family": "anna", "given": "anna", "birthdate": "1990-04", "gender": "female",
    "identifier": "x|1", "phone": "12345", "email": "a@example.org", "telecom": "a@example.org", "active": "true", "address": "x",
    "practitioner": "Practitioner/1", "specialty": "cardiology", "patient": "Patient/1", "subject": "Patient/1",
    "participant": "Practitioner/1", "status": "active", "role": "cardiology", "type": "11348-0", "category": "clinical-note", "date": "2020",
}
STATEMENT = nobody.get("metadata")
RESOURCES = {one["type"]: one for one in STATEMENT["rest"][0]["resource"]}
PATIENT, DOCTOR = TEAMS[0]["id"], next(iter(DOCTORS))
IDS = {"Patient": PATIENT, "Practitioner": DOCTOR, "PractitionerRole": DOCTOR, "CareTeam": PATIENT, "DocumentReference": DOCUMENTS[0]["id"]}


@check("the CapabilityStatement: interactions and operations")
def interactions():
    assert set(RESOURCES) == set(IDS)
    assert (STATEMENT["fhirVersion"], STATEMENT["kind"], STATEMENT["implementation"]["url"]) == ("4.0.1", "instance", BASE)
    for kind, declared in RESOURCES.items():
        codes = {one["code"] for one in declared["interaction"]}
        paths = {
            "read": f"{kind}/{IDS[kind]}",
            "vread": f"{kind}/{IDS[kind]}/_history/1",
            "history-instance": f"{kind}/{IDS[kind]}/_history",
            "history-type": f"{kind}/_history",
            "search-type": kind,
        }
        for code, path in paths.items():
            if code in codes:
                reader.get(path)
            else:
                reader.ask(path, status=404, code="not-found")
        assert codes <= set(paths), codes
        for method, path in [("POST", kind), ("PUT", paths["read"]), ("PATCH", paths["read"]), ("DELETE", paths["read"])]:
            reader.ask(path, method=method, status=405, code="not-supported")
        operations = {one["name"]: one for one in declared.get("operation", [])}
        for name in ["everything", "validate", "meta", "match", "docref", "expunge"]:
            path = f"{kind}/{IDS[kind]}/${name}"
            if name in operations:
                assert operations.pop(name)["definition"].startswith("http://hl7.org/fhir/OperationDefinition/"), name
                reader.get(path)
            else:
                reader.ask(path, status=404, code="not-found")
        assert not operations, operations
    for path in ["_history", "_search", "Observation", "Observation/1", "$export", ""]:
        reader.ask(path, status=404, code="not-found")
    assert {one["code"] for one in STATEMENT["rest"][0].get("interaction", [])} == set()


@check("the CapabilityStatement: search parameters")
def parameters():
    for kind, declared in RESOURCES.items():
        standard = {one["code"]: one for one in KNOWN if {kind, "Resource", "DomainResource"} & set(one["base"])}
        declared = {one["name"]: one for one in declared["searchParam"]}
        assert set(declared) <= set(SAMPLES), set(declared) - set(SAMPLES)
        for name, one in declared.items():
            assert one["type"] == standard[name]["type"], f"{kind}.{name}"
            assert one.get("definition") == standard[name]["url"], f"{kind}.{name}: {one} {standard[name]['url']}"
            found(kind, {name: SAMPLES[name]})
        for name in set(standard) - set(declared):
            # Whether the value could be one does not matter.
            for path in [f"{kind}?{name}=x", f"{kind}?{name}=1", f"{kind}?{name}:missing=true"]:
                text = reader.ask(path, status=400, code="not-supported").json()["issue"][0]["diagnostics"]
                assert name in text, text
        for name in ["nmae", "_content", "_filter", "_list", "_text", "_query", "_has:Observation:patient:code", "name.given"]:
            reader.ask(f"{kind}?{name}=x", status=400, code="not-supported")


@check("the CapabilityStatement: includes")
def includes():
    for kind, declared in RESOURCES.items():
        of = lambda kind: {f"{kind}:{one['code']}" for one in KNOWN if kind in one["base"] and one["type"] == "reference"}
        everywhere = set().union(*map(of, RESOURCES))
        for parameter, listed in [("_include", "searchInclude"), ("_revinclude", "searchRevInclude")]:
            offered = set(declared.get(listed, []))
            assert offered <= everywhere, offered - everywhere
            for include in offered:
                modes = {entry["search"]["mode"] for entry in reader.get(f"{kind}?{parameter}={include}").get("entry", [])}
                assert "include" in modes, f"{kind}?{parameter}={include}: {modes}"
            for include in (everywhere - offered) | {"*", "Observation:subject", "nonsense"}:
                reader.ask(f"{kind}?{parameter}={include}", status=400, code="not-supported")


finish()
