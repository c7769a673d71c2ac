"""The processes that are measured: starting, asking, watching and stopping them."""

import http.client
import os
import pathlib
import re
import select
import signal
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """One server process, with its children where it has any."""

    def __init__(self, name, command, environment):
        self.name, self.command, self.environment = name, command, environment
        self.process = None
        self.url = None

    @property
    def is_product(self):
        """A peer does less: it writes no audit entry for a change, and no log."""
        return not self.name.startswith(("axum", "express"))

    def start(self, patience=20):
        """Returns when it says where it listens; the seconds from its start until its first answer."""
        # Its own settings only: no .env file, and nothing that the caller happens to have set.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        started = time.monotonic()
        self.process = subprocess.Popen(self.command, env=environment | self.environment, cwd="/",
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        line = self._line(started + patience)
        found = re.match(rb"listening on (http://\S+)", line)
        if not found:
            self.stop()
            raise SystemExit(f"bench: {self.name} did not start: {line.decode(errors='replace')}")
        self.url = found[1].decode()
        status, _, _ = self.ask("GET", "/healthz")
        if status != 200:
            raise SystemExit(f"bench: {self.name} answers /healthz with {status}")
        return time.monotonic() - started

    def stop(self, patience=15):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None

    def ask(self, method, path, body=None, headers=None):
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection(self.address()[0], self.address()[1], timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def address(self):
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname, parts.port

    def cpu_seconds(self):
        return sum(cpu_seconds(pid) for pid in family(self.process.pid))

    def peak_kib(self):
        """The most memory that was resident, over its processes; what they share counts in each."""
        return sum(status_kib(pid, "VmHWM") for pid in family(self.process.pid))

    def _line(self, deadline):
        output = self.process.stdout
        while time.monotonic() < deadline:
            ready, _, _ = select.select([output], [], [], 0.1)
            if ready:
                return output.readline()
        return b"it says nothing"


def family(pid):
    """A process and its descendants."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid] + [member for child in children for member in family(int(child))]


def cpu_seconds(pid, with_ended_children=False):
    """User and system time so far, of all its threads."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(field) for field in fields[11:15 if with_ended_children else 13]) / TICKS


def family_cpu_seconds(pid):
    """The same for PostgreSQL, whose backends come and go."""
    return sum(cpu_seconds(member, with_ended_children=True) for member in family(pid))


def status_kib(pid, name):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0
