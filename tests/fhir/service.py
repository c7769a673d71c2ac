"""The service under test, and how it is asked.

BASE_URL and PASSWORD come from tests/tools/with-server.sh. Every body that an answer below the base brings is kept in the file BODIES,
one a line, for the validators.
"""

import json
import os

import requests

ORIGIN = os.environ["BASE_URL"]
BASE = ORIGIN + "/fhir/R4"
SESSION = requests.Session()
FORM = "application/x-www-form-urlencoded"


def api(method, path, token=None, body=None):
    """The data of an answer of `/api`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = SESSION.request(method, f"{ORIGIN}/api{path}", json=body, headers=headers, timeout=20)
    assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json()["data"]


def new_user(email):
    """A token of a new user."""
    account = {"email": email, "password": os.environ["PASSWORD"]}
    api("POST", "/auth/register", body=account | {"name": "Clinic"})
    return api("POST", "/auth/login", body=account)["token"]


class Reader:
    """A user, or nobody, who reads below the base."""

    def __init__(self, token=None, base=BASE):
        self.base = base
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, path, method="GET", status=200, code=None, headers=(), form=None, body=None):
        """One answer. It must have this status, and if it is a refusal, this code in its first issue."""
        headers = self.headers | dict(headers)
        if form is not None:
            method, body = "POST", form
            headers["Content-Type"] = FORM
        url = path if path.startswith("http") else f"{self.base}/{path}"
        answer = SESSION.request(method, url, data=body, headers=headers, timeout=20)
        request = f"{method} {path[:200]} {form or ''}"
        assert answer.status_code == status, f"{request}: {answer.status_code} {answer.text[:1000]}"
        if not answer.content:
            assert method == "HEAD" or status in (204, 304), f"{request}: no body"
            return answer
        assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8", f"{request}: {answer.headers}"
        resource = answer.json()
        keep(request, status, resource)
        if status >= 400:
            assert resource["resourceType"] == "OperationOutcome", f"{request}: {answer.text}"
            assert code in (None, resource["issue"][0]["code"]), f"{request}: {answer.text}"
        return answer

    def get(self, path, **rest):
        """The resource of an answer."""
        return self.ask(path, **rest).json()

    def pages(self, path):
        """A bundle and those that its links lead to."""
        while path:
            bundle = self.get(path)
            yield bundle
            path = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)

    def all(self, path):
        """What matches, on all pages."""
        return [entry["resource"] for page in self.pages(path) for entry in page.get("entry", []) if entry["search"]["mode"] == "match"]


def keep(request, status, resource):
    with open(os.environ["BODIES"], "a", encoding="utf-8") as bodies:
        bodies.write(json.dumps({"request": request, "status": status, "resource": resource}) + "\n")
