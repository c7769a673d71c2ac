"""What is done to a server: requests by wrk, statements by pgbench, and many connections that do nothing."""

import pathlib
import re
import resource
import socket
import subprocess
import time

from database import PASSWORD, statement
from servers import family_cpu_seconds

HERE = pathlib.Path(__file__).resolve().parent
# wrk and pgbench take part of the machine; two threads is what the smallest machine can give.
THREADS = 2
# pgbench holds a database connection for each of its clients, and the private PostgreSQL admits some 120.
MOST_PGBENCH_CLIENTS = 64
NEW_PATIENT = ('{"name": "Patient 1", "date_of_birth": "1990-04-23", "gender": "female", "phone": "+49 30 1234567", '
               '"email": "patient1@example.org", "address": "1 Main Street, Springfield", '
               '"medical_history": "Asthma since childhood; penicillin allergy."}')


def requests(server, database, route, connections, seconds, warmup):
    """Loads one route and returns the figures of the counted part."""
    if warmup > 0:
        _wrk(server, database, route, connections, warmup)
        _settle(server)
    server_before, postgres_before = server.cpu_seconds(), family_cpu_seconds(database.postmaster)
    figures = _wrk(server, database, route, connections, seconds)
    thousands = max(figures["requests"], 1) / 1000
    figures["cpu"] = (server.cpu_seconds() - server_before) / thousands
    figures["postgres_cpu"] = (family_cpu_seconds(database.postmaster) - postgres_before) / thousands
    figures["peak_kib"] = server.peak_kib()
    return figures


def _settle(server):
    """Waits for the requests whose clients hung up when the warming up ended: a server may go on to check their passwords."""
    before = None
    while before is None or server.cpu_seconds() - before > 0.02:
        before = server.cpu_seconds()
        time.sleep(0.2)


def _wrk(server, database, route, connections, seconds):
    user = database.writer if route == "create" else database.reader
    command = ["wrk", "-t", str(min(THREADS, connections)), "-c", str(connections), "-d", f"{seconds}s", "--latency", "--timeout", "10s",
               "-s", str(HERE / "load.lua"), server.url, "--", route, user["token"], str(database.first_patient),
               str(database.last_patient), "visitor@example.org", PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    found = re.search(r"^FIGURES (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if not found:
        raise SystemExit(f"bench: wrk: {done.stdout}{done.stderr}")
    count, microseconds, refused, broken, middle, slow = (int(word) for word in found.groups())
    return {"requests": count, "rate": count / (microseconds / 1e6), "errors": refused + broken,
            "p50": middle / 1000, "p99": slow / 1000}


def statements(database, route, clients, seconds):
    """The same statement from pgbench, prepared: the database's own limit. Nothing for a route without a statement."""
    program = database.programs / "pgbench"
    if route in ("healthz", "login") or not program.exists():
        return None
    clients = min(clients, MOST_PGBENCH_CLIENTS)
    script = database.folder / f"{route}.sql"
    script.write_text(_script(database, route))
    command = [str(program), "-M", "prepared", "-n", "-c", str(clients), "-j", str(min(THREADS, clients)), "-T",
               str(seconds), "-f", str(script), "-D", f"fields={NEW_PATIENT}", "-h", database.socket, "-U", "healthcare", "healthcare"]
    before = family_cpu_seconds(database.postmaster)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not count or not rate:
        raise SystemExit(f"bench: pgbench: {done.stdout}{done.stderr}")
    cpu = (family_cpu_seconds(database.postmaster) - before) / max(int(count[1]), 1) * 1000
    return {"requests": int(count[1]), "rate": float(rate[1]), "errors": 0, "postgres_cpu": cpu}


def _script(database, route):
    reader, writer = database.reader["id"], database.writer["id"]
    if route == "patient":
        choice = f"\\set id random({database.first_patient}, {database.last_patient})\n"
        return choice + statement("find", [":id", str(reader)])
    if route == "list":
        return statement("list", [str(reader), "0", "21"])
    return statement("create", [":fields", str(writer)])


def idle(server, count):
    """Opens connections that ask once and then stay; memory before and after, and how many still answer at the end."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    before = server.peak_kib()
    held = []
    try:
        for _ in range(count):
            try:
                connection = socket.create_connection(server.address(), timeout=5)
            except OSError:
                break
            held.append(connection)
            if not _answers(connection):
                break
        still = 0
        for connection in held:
            if not _answers(connection):
                break
            still += 1
        return {"before_kib": before, "peak_kib": server.peak_kib(), "opened": len(held), "answering": still}
    finally:
        for connection in held:
            connection.close()


def _answers(connection):
    """One small request on a connection that stays open."""
    try:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b""
        while b'"data":null}' not in received:
            part = connection.recv(4096)
            if not part:
                return False
            received += part
        return received.startswith(b"HTTP/1.1 200")
    except OSError:
        return False
