"""Before anything is measured: every server does the work. Its answers are the product's, and it refuses what must be refused."""

import base64
import hashlib
import hmac
import json
import time

# What differs from server to server, or from one moment to the next.
OWN_HEADERS = {"date", "x-request-id", "server", "connection", "keep-alive", "content-length", "transfer-encoding",
               "vary"}  # only the product has lists as CSV


def check(database, product, servers):
    """Ends the run with one line where a server differs from the product."""
    for server in servers:
        if server is not product:
            for case in _cases(database):
                expected, got = _answer(product, *case), _answer(server, *case)
                if _shared(expected) != _shared(got):
                    raise SystemExit(f"bench: {server.name} differs from the product at {case[0]} {case[1]}\n"
                                     f"  product: {expected}\n  {server.name}: {got}")
        created = _answer(server, "POST", "/api/patients", _bearer(database.writer["token"]), json.dumps(_PATIENT))
        status, headers, body = created
        if status != 201:
            raise SystemExit(f"bench: {server.name} does not create: {created}")
        data = body["data"]
        stated = {name: data[name] for name in _PATIENT}
        sound = (status, body["status"], stated) == (201, "created", _PATIENT) and set(_FIELDS) <= set(data)
        if not sound or headers.get("location") != f"/api/patients/{data['id']}" or headers.get("etag") != '"1"':
            raise SystemExit(f"bench: {server.name} creates wrongly: {created}")
        audited = database.sql(f"select count(*) from audit_entries where action = 'create' and resource_id = {data['id']}")
        if (audited == "1") != server.is_product:
            raise SystemExit(f"bench: {server.name} writes {audited} audit entries for a new patient")
    _check_trail(database, servers)


def _check_trail(database, servers):
    """The trail of reads is written by those who say so, and by no other."""
    own = _bearer(database.reader["token"])
    for server in servers:
        for path in (f"/api/patients/{database.first_patient}", "/api/patients?limit=20"):
            _answer(server, "GET", path, own | {"X-Request-Id": f"agree-{server.name}"})
    writers = sorted(server.name for server in servers if server.environment["AUDIT_READS"] == "on")
    deadline = time.monotonic() + 10
    while True:
        # One read that names its record, and one list that names twenty.
        found = database.sql("""
            select substr(request_id, 7) from audit_trail where request_id like 'agree-%' group by request_id
            having count(*) filter (where action = 'read' and resource_id is not null) = 1
               and count(*) filter (where action = 'list' and cardinality(resource_ids) = 20) = 1""").split()
        if sorted(found) == writers:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: the trail of reads is written by {sorted(found)}, not by {writers}")
        time.sleep(0.1)


# The fields of a patient that every server shows. The product may have got more since: they come from the same statement.
_FIELDS = ["id", "name", "date_of_birth", "gender", "phone", "email", "address", "medical_history", "created_by", "created_at",
           "updated_at"]
_PATIENT = {"name": "Zoë Müller", "date_of_birth": "1990-04-23", "gender": "female", "email": "zoe@example.org"}


def _cases(database):
    patient = f"/api/patients/{database.first_patient}"
    own, others = _bearer(database.reader["token"]), _bearer(database.writer["token"])
    claims = _claims(database.reader["token"])
    now = int(time.time())

    def forged(secret=database.secret, **changes):
        return _bearer(_token(claims | changes, secret))

    yield "GET", "/healthz", {}
    yield "GET", patient, own
    yield "GET", patient, own | {"If-None-Match": '"1"'}
    yield "GET", "/api/patients?limit=20", own
    yield "GET", f"/api/patients?limit=20&after={database.last_patient - 5}", own
    yield "GET", patient, {}
    yield "GET", patient, others
    yield "GET", "/api/patients/999999999", own
    yield "GET", patient, forged(iat=now - 100, exp=now - 10)
    yield "GET", patient, forged(iss="another service")
    yield "GET", patient, forged(secret="another secret of thirty-two bytes")
    yield "GET", patient, forged(sid=999_999_999)


def _shared(answer):
    """The answer with those fields of a patient that all servers have."""
    def record(data):
        return {name: data[name] for name in _FIELDS if name in data} if isinstance(data, dict) else data

    status, headers, body = answer
    if isinstance(body, dict) and body.get("data"):
        data = body["data"]
        body = body | {"data": [record(one) for one in data] if isinstance(data, list) else record(data)}
    return status, headers, body


def _answer(server, method, path, headers, body=None):
    if body is not None:
        headers = headers | {"Content-Type": "application/json"}
    status, received, text = server.ask(method, path, body and body.encode(), headers)
    kept = {name.lower(): value.split(";")[0] if name.lower() == "content-type" else value
            for name, value in received.items() if name.lower() not in OWN_HEADERS}
    body = json.loads(text) if text else None
    # The words of a refusal are each server's own.
    return (status, kept, body) if status < 400 else (status, sorted(kept), body["status"])


def _bearer(token):
    return {"Authorization": f"Bearer {token}"}


def _claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _token(claims, secret):
    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = encoded(b'{"alg":"HS256","typ":"JWT"}') + b"." + encoded(json.dumps(claims).encode())
    return (text + b"." + encoded(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()
