"""The report of a run: Markdown, medians, and the ratios that the README quotes."""

import os
import pathlib
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass

from load import MOST_PGBENCH_CLIENTS

# Who is compared with whom: a sentence, the product's row, the peer's row, and the routes that it is about.
PAIRS = [
    ("product / axum", "product", "axum", ("healthz", "create", "login")),
    ("product / Express", "product", "express", ("healthz", "create", "login")),
    ("product / axum pipelined", "product", "axum-pipelined", ("healthz", "create", "login")),
    ("product with the trail of reads / axum pipelined without", "product", "axum-pipelined", ("patient", "list")),
    ("product / axum pipelined, neither writes the trail of reads", "product-no-trail", "axum-pipelined", ("patient", "list")),
    ("product / axum, neither writes the trail of reads", "product-no-trail", "axum", ("patient", "list")),
    ("product / axum, both write it", "product", "axum-trail", ("patient", "list")),
    ("product with it / axum without", "product", "axum", ("patient", "list")),
    ("product / Express, neither writes it", "product-no-trail", "express", ("patient", "list")),
    ("product / Express, both write it", "product", "express-trail", ("patient", "list")),
    ("product / pgbench", "product", "pgbench", ("create",)),
    ("product without it / pgbench", "product-no-trail", "pgbench", ("patient", "list")),
    ("product / the same on tiny_http's own sockets", "product", "upstream", ("healthz", "patient", "list", "create", "login")),
]
LABELS = {
    "product": "**product** (writes the trail of reads)", "product-no-trail": "**product**, `AUDIT_READS=off`",
    "upstream": "product, feature `upstream-tiny-http`", "axum": "axum", "axum-pipelined": "axum, pipelined statements on shared connections", "axum-trail": "axum, writes the trail of reads",
    "express": "Express", "express-trail": "Express, writes the trail of reads", "pgbench": "pgbench (the peers' statement)",
}
MEMORY_AT = 64


@dataclass
class About:
    """Where and how it was measured."""
    database: object
    load_before: tuple
    took: float
    rounds: int
    seconds: int
    warmup: int
    idle: int
    way: str


def write(about, names, routes, connections, results, idle, starts, weights):
    parts = [_heading(about)]
    for route in routes:
        parts.append(_table(f"{route}: requests a second", names, connections, results, route, "rate", "{:,.0f}"))
    parts.append(_ratios(routes, connections, results))
    for route in routes:
        parts.append(_table(f"{route}: CPU seconds of the server per 1,000 requests", names, connections, results, route,
                            "cpu", "{:.3f}"))
    for route in routes:
        if route != "healthz":
            parts.append(_table(f"{route}: CPU seconds of PostgreSQL per 1,000 requests", names, connections, results,
                                route, "postgres_cpu", "{:.3f}"))
    for route in routes:
        parts.append(_table(f"{route}: milliseconds, half and 99 % of answers", names, connections, results, route,
                            ("p50", "p99"), "{:.2f}"))
    parts.append(_weights(about, names, routes, connections, results, idle, starts, weights))
    return "\n\n".join(part for part in parts if part)


def _heading(about):
    model = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [
        _said([str(about.database.programs / "postgres"), "--version"]), "Node " + _said(["node", "--version"]),
        _said(["wrk", "-v"]).split(" [")[0], f"Linux {platform.release()}",
    ]
    load_now = os.getloadavg()
    return f"""# Measured

{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB; {'; '.join(versions)}.
{about.rounds} rounds of {about.seconds} s after {about.warmup} s of warming up, in {about.took / 60:.0f} minutes; load average \
{about.load_before[0]:.1f} before and {load_now[0]:.1f} after (it must be near 0 before for the figures to mean anything).

Medians. wrk, server and PostgreSQL share the cores. All servers use the product's schema in the same PostgreSQL
{about.way}, check the same tokens, remember the session in memory, and give the same answers (checked before). None logs requests:
the product runs with `RUST_LOG=warn`, the peers have no log. The peers send a plain statement for each request, and do not do
what the product does besides: no audit entry for a create, no check of the actor in it, no limits; for a login no session, no entry, no count of failures. axum runs one thread a core,
Express one process a core; each of these processes has 10 connections to the database, the product its default. The pipelined
axum has a connection for each core, which all requests share. pgbench has {MOST_PGBENCH_CLIENTS} clients at most. `!` marks rows
with errors."""


def _said(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return ((done.stdout or done.stderr).splitlines() or ["?"])[0].strip()
    except FileNotFoundError:
        return "?"


def _median(rounds, figure):
    values = [figures[figure] for figures in rounds or [] if figures and figure in figures]
    return statistics.median(values) if values else None


def _table(title, names, connections, results, route, figure, shape):
    figures = figure if isinstance(figure, tuple) else (figure,)
    rows = []
    for name in names:
        cells = []
        for count in connections:
            rounds = results.get((route, count, name))
            values = [_median(rounds, figure) for figure in figures]
            cell = "" if None in values else " · ".join(shape.format(value) for value in values)
            if cell and any(figures["errors"] for figures in rounds if figures):
                cell += " !"
            cells.append(cell)
        if any(cells):
            rows.append(f"| {LABELS[name]} | {' | '.join(cells)} |")
    if not rows:
        return ""
    return "\n".join([f"### {title}", "", _header("", [f"{count} conn." for count in connections]), *rows])


def _header(first, columns):
    return f"| {first} | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}"


def _ratios(routes, connections, results):
    """Taken within each round, between neighbours in time: the median, and the least and the most where there are several."""
    rows = []
    for route in routes:
        for sentence, ours, theirs, about in PAIRS:
            cells = []
            for count in connections if route in about else []:
                pairs = zip(results.get((route, count, ours), []), results.get((route, count, theirs), []))
                ratios = [one["rate"] / other["rate"] for one, other in pairs if one and other and other["rate"]]
                spread = f" ({min(ratios):.2f}–{max(ratios):.2f})" if len(ratios) > 1 else ""
                cells.append(f"{statistics.median(ratios):.2f}{spread}" if ratios else "")
            if any(cells):
                rows.append(f"| {route}: {sentence} | {' | '.join(cells)} |")
    if not rows:
        return ""
    return "\n".join(["## Ratios of requests a second", "", _header("", [f"{count} conn." for count in connections]), *rows])


def _weights(about, names, routes, connections, results, idle, starts, weights):
    rows = []
    for name in names:
        peaks = [(_median(results.get((route, MEMORY_AT, name)), "peak_kib") or 0, route) for route in routes]
        peak, where = max(peaks, default=(0, ""))
        still = idle.get(name)
        held = ""
        if still:
            held = f"{still['peak_kib'] / 1024:.1f}"
            if still["answering"] < about.idle:
                held += f" (only {still['answering']:,} answered)"
        start = f"{statistics.median(starts[name]) * 1000:.0f}" if name in starts else ""
        size = f"{weights[name] / 2**20:.1f}" if name in weights else ""
        cells = [f"{peak / 1024:.1f} ({where})" if peak else "", held, start, size]
        if any(cells):
            rows.append(f"| {LABELS[name]} | {' | '.join(cells)} |")
    if not rows:
        return ""
    columns = [f"peak MiB at {MEMORY_AT} connections", f"peak MiB with {about.idle:,} idle", "ms to the first answer",
               "MiB on disk"]
    note = "Memory is resident, summed over processes. On disk: the program; for Express, Node itself and its packages."
    return "\n".join(["## Weight", "", note, "", _header("", columns), *rows])
