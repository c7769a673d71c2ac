"""The database of a run: the product's own private PostgreSQL on a temporary folder, with the same data for everyone."""

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import tempfile
import urllib.request

from servers import ROOT, Server

READERS_PATIENTS = 1_000
OTHERS = 100
OTHERS_PATIENTS = 200
PASSWORD = "correct horse battery"

SEED = """
insert into users (name, email, password_hash)
select 'Other ' || n, 'other' || n || '@example.org', 'nobody logs in with this' from generate_series(1, {others}) n;
insert into patients (name, date_of_birth, gender, phone, email, address, medical_history, created_by)
select 'Patient ' || n, date '1940-01-01' + n % 25000, (array['male', 'female', 'other', 'unknown'])[1 + n % 4],
       '+49 30 ' || n, 'patient' || n || '@example.org', n || ' Main Street, Springfield',
       'Asthma since childhood; penicillin allergy.', owner
  from (select {reader} as owner, n from generate_series(1, {patients}) n
         union all
        select u.id, n from users u, generate_series(1, {others_patients}) n where u.name like 'Other %') as rows;
vacuum analyze users;
vacuum analyze patients;
"""

# Back to the seed. The trail refuses to be emptied, so its triggers are off for this session.
RESET = """
set session_replication_role = replica;
truncate audit_entries, audit_batches, audit_batch_actors;
delete from patients where created_by = {writer};
vacuum patients;
checkpoint;
"""


class PrivateDatabase:
    """A running private PostgreSQL with the product's schema, kept up by a product process that serves nobody else."""

    def __init__(self, product):
        # PostgreSQL does not run as root; its own user must be able to pass through.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="healthcare-bench-"))
        self.folder.chmod(0o711)
        self.secret = secrets.token_hex(32)
        self.keeper = Server("keeper", [str(product)], {
            "DATA_DIR": str(self.folder / "data"), "JWT_SECRET": self.secret, "JWT_TTL_SECONDS": "86400",
            "BCRYPT_COST": "10", "PORT": "0", "RUST_LOG": "warn",
            # What PostgreSQL admits follows from this: enough for pgbench as well.
            "DATABASE_POOL": "100", "AUTH_RATE_PER_MINUTE": "0",
        })

    def start(self):
        self.keeper.start(patience=60)
        lines = (self.folder / "data/postgresql/postmaster.pid").read_text().splitlines()
        self.postmaster = int(lines[0])
        self.socket = lines[4]
        self.port = lines[3]
        self.programs = pathlib.Path(os.readlink(f"/proc/{self.postmaster}/exe")).parent

    def stop(self):
        self.keeper.stop(patience=120)
        self.remove_data()
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_data(self):
        link = self.folder / "data/postgresql"
        if link.is_symlink():  # the product puts the files elsewhere where PostgreSQL's user cannot come here
            shutil.rmtree(link.resolve().parent, ignore_errors=True)
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def sql(self, text, variables=None, patience=120):
        """Runs statements one by one; returns what the last one prints."""
        command = [str(self.programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.socket, "-U", "healthcare",
                   "-d", "healthcare"]
        for name, value in (variables or {}).items():
            command += ["-v", f"{name}={value}"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=patience)
        if done.returncode != 0:
            raise SystemExit(f"bench: psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def sign_up(self, name):
        body = {"name": name, "email": f"{name}@example.org", "password": PASSWORD}
        user = self._post("/api/auth/register", body)
        return {"id": user["id"], "token": self.log_in(name)}

    def log_in(self, name):
        return self._post("/api/auth/login", {"email": f"{name}@example.org", "password": PASSWORD})["token"]

    def _post(self, path, body):
        request = urllib.request.Request(self.keeper.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]


class Database(PrivateDatabase):
    """The same with the data of a run. The servers reach it over its Unix socket, or, with a relay, over TCP."""

    def __init__(self, product, relay=None, delay_ms=None):
        super().__init__(product)
        self.relay = self.address = None
        try:
            self.start()
            if delay_ms is not None:
                self.relay = subprocess.Popen([str(relay), f"{self.socket}/.s.PGSQL.{self.port}", delay_ms],
                                              stdout=subprocess.PIPE, text=True)
                self.address = self.relay.stdout.readline().split()[-1].split(":")
            self.reader = self.sign_up("reader")
            self.writer = self.sign_up("writer")
            # A user has 100 sessions at most, so logins would end those of the others.
            self.sign_up("visitor")
            self.sql(SEED.format(others=OTHERS, others_patients=OTHERS_PATIENTS, reader=self.reader["id"],
                                 patients=READERS_PATIENTS))
            found = self.sql(f"select min(id), max(id) from patients where created_by = {self.reader['id']}")
            self.first_patient, self.last_patient = (int(word) for word in found.split("|"))
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.relay:
            self.relay.kill()
            self.relay.wait()
        super().stop()

    def environment(self):
        """For every server: the product reads the first lines, the peers the others."""
        host, port = self.address or (self.socket, self.port)
        return {
            "BCRYPT_COST": "10", "AUTH_RATE_PER_MINUTE": "0",
            "DATABASE_URL": f"postgres:///healthcare?user=healthcare&host={host}&port={port}&sslmode=disable",
            "JWT_SECRET": self.secret, "PORT": "0", "RUST_LOG": "warn", "CHANGES_PER_MINUTE": "0",
            # The tokens of the keeper, and the load of a town from one address.
            "JWT_TTL_SECONDS": "86400", "MAX_CONNECTIONS_PER_ADDRESS": "1024",
            "DATABASE": f"host={host} port={port} user=healthcare dbname=healthcare", "NODE_ENV": "production",
            "PGHOST": host, "PGPORT": port, "PGUSER": "healthcare", "PGDATABASE": "healthcare",
        }

    def reset(self):
        self.sql(RESET.format(writer=self.writer["id"]))


def statement(name, places):
    """The peers' statement of that name, its parameters replaced by `places` and given their declared types."""
    text = (ROOT / "bench/peers.sql").read_text()
    declared = re.search(rf"^-- name: {name}\((.*?)\).*\n((?:.*\n)*?.*;)", text, re.MULTILINE)
    types = [parameter.split()[1] for parameter in declared[1].split(",")]
    lines = [line for line in declared[2].splitlines() if not line.startswith("--")]
    return re.sub(r"\$(\d+)", lambda place: f"{places[int(place[1]) - 1]}::{types[int(place[1]) - 1]}", "\n".join(lines))
