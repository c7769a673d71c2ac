"""What schemathesis needs to know beyond the document: how to stay logged in, and values that rules without a keyword admit.

The account is FUZZ_EMAIL with PASSWORD, at BASE_URL.
"""

import datetime
import itertools
import json
import os
import urllib.request
import uuid

import schemathesis
from hypothesis import strategies as st

# A date of birth has bounds that move with the clock, which JSON Schema cannot say.
BIRTHS = st.dates(min_value=datetime.date(1870, 1, 1), max_value=datetime.date(2026, 1, 1))
schemathesis.openapi.format("date", BIRTHS.map(str))
# 72 is a number of bytes, and common passwords are refused.
schemathesis.openapi.format("password", st.from_regex(r"[a-z]{4}[0-9]{4}[A-Z]{4}-[a-z]{8}", fullmatch=True))
# Domains with a dot.
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
LOCAL = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[A-Za-z0-9_-]{1,10})?", fullmatch=True)
schemathesis.openapi.format("email", st.builds("{}@{}.{}".format, LOCAL, LABEL, LABEL))


def log_in():
    """A new session's token."""
    body = json.dumps({"email": os.environ["FUZZ_EMAIL"], "password": os.environ["PASSWORD"]})
    url = os.environ["BASE_URL"] + "/api/auth/login"
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]["token"]


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


COUNT = itertools.count()


class Session:
    """One token for everything but the operations that end a session: those get one of their own."""

    current = None


@schemathesis.auth(refresh_interval=None)
class Bearer:
    def get(self, case, context):
        if operation_id(case) in ("logout", "endSession"):
            return log_in()
        if Session.current is None:
            Session.current = log_in()
        return Session.current

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


def without_whole_floats(value):
    """JSON Schema counts 5.0 among the integers; the service takes 5 only."""
    if isinstance(value, dict):
        return {name: without_whole_floats(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_whole_floats(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def map_body(context, body):
    return without_whole_floats(body)


@schemathesis.hook
def before_call(context, case, kwargs):
    count = next(COUNT)
    if case.meta and case.meta.generation.mode.is_positive:
        # The example of a key is good for one request only.
        if "Idempotency-Key" in (case.headers or {}):
            case.headers["Idempotency-Key"] = str(uuid.uuid4())
        # Versions that were made up never match: every other one becomes any. (And version 4.32 puts a bare 0 here, against
        # the document's pattern, where an id is near the end of its range.)
        if "If-Match" in (case.headers or {}) and (count % 2 or case.headers["If-Match"] == "0"):
            case.headers["If-Match"] = "*"
        query = case.query or {}
        # Only the server makes cursors, and `after` does not go with `sort`.
        query.pop("cursor", None)
        if query.get("sort"):
            query.pop("after", None)
        # The schema of a list is that of whole records.
        query.pop("fields", None)
        body = case.body if isinstance(case.body, dict) else {}
        # A new address needs a password, and the present one does not: no schema knows which it is.
        if operation_id(case) in ("updateProfile", "patchProfile") and body.get("email"):
            body["current_password"] = body.get("current_password") or "a guess"
        # Name and address alone can be changed only while an account is invited.
        if operation_id(case) in ("adminUpdateUser", "adminPatchUser") and body and not {"role", "disabled", "may_break_glass"} & body.keys():
            body["role"] = "user"
        # Emergency access needs the password of the account.
        if operation_id(case) == "askForEmergencyAccess" and body.get("password"):
            body["password"] = os.environ["PASSWORD"]
        # A share names its user once, and ends in the future.
        if operation_id(case) in ("sharePatient", "adminSharePatient"):
            if body.get("user_id"):
                body.pop("email", None)
            elif not body.get("email"):
                body["user_id"] = 1
            if body.get("expires_at"):
                body["expires_at"] = "2100-01-01T00:00:00Z"
    # The two accounts that run the tests keep their roles.
    if operation_id(case) in ("adminUpdateUser", "adminPatchUser") and case.path_parameters.get("id") in (1, 2, "1", "2"):
        case.path_parameters["id"] = 3


@schemathesis.hook
def after_call(context, case, response):
    # An admin may have ended all sessions of this account.
    if response.status_code == 401 and Session.current is not None:
        Session.current = None
