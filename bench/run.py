"""Measures the product, its peers and PostgreSQL itself in turns, and prints a report in Markdown. See run.sh for how to ask
for part of it.

Every measurement is a process that has just started, warmed up, on a database that was put back to the same state. The
servers take turns at each of them, so that whatever else the machine does meets all alike; each ratio is taken within a
round, between neighbours in time. Load comes from the same machine and shares its cores with server and database.
"""

import os
import pathlib
import sys
import time

import agree
import load
import report
from database import Database
from servers import ROOT, Server

NODE_MODULES = ROOT / "bench/express/node_modules"
READS = ("patient", "list")
ALL = ["product", "product-no-trail", "upstream", "axum", "axum-pipelined", "axum-trail", "express", "express-trail",
       "pgbench"]


def words(name, standard):
    text = os.environ.get(name, ",".join(standard))
    return [word for word in text.replace(" ", ",").split(",") if word]


ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS", "4"))
WARMUP = int(os.environ.get("WARMUP", "2"))
ROUTES = words("ROUTES", ["healthz", "patient", "list", "create", "login"])
CONNECTIONS = [int(word) for word in words("CONNECTIONS", ["1", "16", "64", "256"])]
SERVERS = words("SERVERS", ALL)
EXTRAS = words("EXTRAS", ["idle", "startup", "size"])
IDLE = int(os.environ.get("IDLE_CONNECTIONS", "10000"))
DELAY_MS = os.environ.get("DELAY_MS")
STARTS = 5


def programs():
    release = ROOT / "target/release/healthcare-backend"
    upstream = ROOT / "target/upstream/release/healthcare-backend"
    axum = ROOT / "target/peer-axum/release/peer-axum"
    return {
        "product": pathlib.Path(os.environ.get("PRODUCT", release)).resolve(),
        "upstream": pathlib.Path(os.environ.get("UPSTREAM", upstream)).resolve(),
        "axum": pathlib.Path(os.environ.get("AXUM", axum)).resolve(),
    }


def make_servers(database, files):
    """Each kind of server by name; `-trail` and `-no-trail` say whether reads are written to the audit trail."""
    base = database.environment()
    settings = {name: os.environ[name] for name in ("DATABASE_POOL", "WORKERS") if name in os.environ}
    node = ["node", str(ROOT / "bench/express/server.js")]

    def server(name, command, reads, more=None):
        return Server(name, command, base | settings | {"AUDIT_READS": reads} | (more or {}))

    return {
        "product": server("product", [str(files["product"])], "on"),
        "product-no-trail": server("product-no-trail", [str(files["product"])], "off"),
        "upstream": server("upstream", [str(files["upstream"])], "on"),
        "axum": server("axum", [str(files["axum"])], "off"),
        "axum-pipelined": server("axum-pipelined", [str(files["axum"])], "off", {"PIPELINES": str(os.cpu_count())}),
        "axum-trail": server("axum-trail", [str(files["axum"])], "on"),
        "express": server("express", node, "off"),
        "express-trail": server("express-trail", node, "on"),
    }


def takes_part(name, route):
    """The trail of reads makes a difference to reads only; PostgreSQL has no healthz and compares no passwords."""
    if name.endswith("-trail"):
        return route in READS
    return name != "pgbench" or route not in ("healthz", "login")


def measure(database, servers):
    """(route, connections, server) → the figures of each round."""
    results = {}
    plan = [(round_, route, count) for round_ in range(ROUNDS) for route in ROUTES for count in CONNECTIONS]
    for place, (round_, route, count) in enumerate(plan):
        names = [name for name in SERVERS if takes_part(name, route)]
        # Nobody is always first.
        for name in names[round_ % len(names):] + names[:round_ % len(names)]:
            database.reset()
            if name == "pgbench":
                figures = load.statements(database, route, count, SECONDS)
            else:
                servers[name].start()
                try:
                    figures = load.requests(servers[name], database, route, count, SECONDS, WARMUP)
                finally:
                    servers[name].stop()
            results.setdefault((route, count, name), []).append(figures)
            progress = f"{place + 1}/{len(plan)} round {round_ + 1} {route} {count}"
            errors = f", {figures['errors']} ERRORS" if figures and figures["errors"] else ""
            print(f"{progress} {name}: {figures['rate'] if figures else 0:,.0f}/s{errors}", file=sys.stderr)
    return results


def measure_idle(servers):
    """What connections cost that do nothing."""
    results = {}
    for name, server in servers.items():
        if name.endswith("-trail"):
            continue
        environment = {"MAX_CONNECTIONS": str(IDLE + 100), "MAX_CONNECTIONS_PER_ADDRESS": str(IDLE + 100)}
        patient = Server(name, server.command, server.environment | environment)
        patient.start()
        try:
            results[name] = load.idle(patient, IDLE)
        finally:
            patient.stop()
        print(f"idle {name}: {results[name]}", file=sys.stderr)
    return results


def measure_starts(servers):
    """Seconds until the first answer, with the database running."""
    results = {}
    for _ in range(STARTS):
        for name, server in servers.items():
            if not name.endswith("-trail"):
                results.setdefault(name, []).append(server.start())
                server.stop()
    return results


def sizes(files):
    """Bytes that have to be there to run it, the C library and PostgreSQL aside."""
    found = {name: file.stat().st_size for name, file in files.items() if file.exists()}
    if NODE_MODULES.exists():
        modules = sum(file.stat().st_size for file in NODE_MODULES.rglob("*") if file.is_file())
        node = pathlib.Path(os.popen("command -v node").read().strip()).resolve()
        found["express"] = modules + (node.stat().st_size if node.is_file() else 0)
    return found


def main():
    unknown = [name for name in SERVERS if name not in ALL]
    if unknown:
        raise SystemExit(f"bench: SERVERS: {', '.join(unknown)} is none of {', '.join(ALL)}")
    files = programs()
    started, loaded = time.time(), os.getloadavg()
    database = Database(files["product"], files["axum"].with_name("relay"), DELAY_MS)
    try:
        every = make_servers(database, files)
        servers = {name: every[name] for name in SERVERS if name != "pgbench"}
        running = [every["product"], *(server for name, server in servers.items() if name != "product")]
        for server in running:
            server.start()
        try:
            agree.check(database, every["product"], running)
        finally:
            for server in running:
                server.stop()
        results = measure(database, servers)
        idle = measure_idle(servers) if "idle" in EXTRAS else {}
        starts = measure_starts(servers) if "startup" in EXTRAS else {}
        weights = sizes(files) if "size" in EXTRAS else {}
        way = "over its Unix socket"
        if DELAY_MS is not None:
            way = f"over TCP through a relay, each answer {DELAY_MS} ms later"
        about = report.About(database, loaded, time.time() - started, ROUNDS, SECONDS, WARMUP, IDLE, way)
        text = report.write(about, SERVERS, ROUTES, CONNECTIONS, results, idle, starts, weights)
    finally:
        database.stop()
    print(text)
    if any(figures and figures["errors"] for rounds in results.values() for figures in rounds):
        print("\nSome answers were errors; see the ! above.")


if __name__ == "__main__":
    main()
