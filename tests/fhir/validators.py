"""Every body that was kept, through R4's JSON Schema, fhir.resources (R4B) and two rules that no validator checks.

    python validators.py SCHEMA

No body has an empty list, object or text, and a telecom with a value has a system (the constraint cpt-2).
"""

import functools
import json
import os
import sys

import jsonschema
from fhir.resources.R4B import get_fhir_model_class

from checks import check, finish

with open(sys.argv[1], encoding="utf-8") as file:
    SCHEMA = json.load(file)
with open(os.environ["BODIES"], encoding="utf-8") as file:
    BODIES = [json.loads(line) for line in file]


BROKEN = {"resourceType": "Patient", "gender": 7, "birthDate": "soon", "nmae": [], "telecom": [{"value": "12345"}]}


def each(complaints):
    """Asserts that nothing is to be said about any body, by somebody who would say something."""
    assert list(complaints(BROKEN))
    heard = [f"{body['request']}: {text}" for body in BODIES for text in complaints(body["resource"])]
    assert not heard, f"{len(heard)} complaints:\n" + "\n".join(text[:600] for text in heard[:10])


def contained(resource):
    """The resource itself, and those of its entries."""
    yield resource
    for entry in resource.get("entry", []):
        if "resource" in entry:
            yield entry["resource"]


@check("there are bodies of each kind")
def kinds():
    found = {one["resourceType"] for body in BODIES for one in contained(body["resource"])}
    assert found == {
        "Bundle", "CapabilityStatement", "CareTeam", "DocumentReference", "OperationOutcome", "Patient", "Practitioner", "PractitionerRole",
    }, found
    assert len(BODIES) > 1000, len(BODIES)


VALIDATORS = {}


def of_schema(resource):
    """What the schema says. It offers 148 types for each place of a resource; asked for the one that the resource names, and for the
    entries of a bundle one by one, it says what is wrong, and in seconds instead of hours."""
    kind = resource["resourceType"]
    if kind not in VALIDATORS:
        VALIDATORS[kind] = jsonschema.Draft6Validator({**SCHEMA, "oneOf": [{"$ref": f"#/definitions/{kind}"}]})
    if "entry" in resource:
        bare = [{name: value for name, value in entry.items() if name != "resource"} for entry in resource["entry"]]
        yield from said(kind, json.dumps(resource | {"entry": bare}))
        for one in list(contained(resource))[1:]:
            yield from of_schema(one)
    else:
        yield from said(kind, json.dumps(resource))


@functools.cache
def said(kind, text):
    """The same record comes in many bundles."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind].iter_errors(json.loads(text))]


@check("R4's JSON Schema")
def schema():
    each(of_schema)


@check("fhir.resources")
def models():
    def complaints(resource):
        try:
            get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        except ValueError as error:
            yield str(error)

    each(complaints)


@check("nothing is empty, and each telecom has a system")
def rules():
    def complaints(value, path=""):
        if value in ("", [], {}, None) or isinstance(value, str) and not value.strip():
            yield f"{path} is empty"
        elif isinstance(value, list):
            for place, item in enumerate(value):
                yield from complaints(item, f"{path}[{place}]")
        elif isinstance(value, dict):
            for name, item in value.items():
                yield from complaints(item, f"{path}.{name}")
            for point in value.get("telecom", []):
                if "value" in point and "system" not in point:
                    yield f"{path}.telecom has a value without a system"

    each(complaints)


finish()
