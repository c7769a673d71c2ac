"""Measures what a large installation costs, and a small one for comparison: `make bench SIZES=1`. It prints its report in Markdown and
draws the plot of docs/operations.md into target/sizes.svg.

Both databases are private PostgreSQLs, filled by sizes.sql with what makes that quick, and then run with the product's settings but for
`shared_buffers`. Requests come one after the other over HTTP from one client, to each database in turns.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import kinds
import plot
from database import PrivateDatabase
from servers import ROOT

HERE = pathlib.Path(__file__).resolve().parent
SHARED_BUFFERS = "shared_buffers = 1GB\n"
FAST = SHARED_BUFFERS + """wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
checkpoint_timeout = 1h
autovacuum = off
max_parallel_maintenance_workers = 0
"""
FILLED = ("patients", "mappings", "record_versions", "audit_entries", "audit_batches", "audit_batch_actors")
RESTORING = SHARED_BUFFERS + "max_wal_size = 4GB\n"
# Everything behind this line of postgresql.conf is ours.
MARK = "# bench/sizes.py\n"
SMALL = {"users": 1_000, "patients": 100_000, "mappings": 10_000, "trail": 1_000_000}
LARGE = {name: 100 * count for name, count in SMALL.items()}
ACCOUNTS = ("root", "ann", "big", "bob", "visitor")


# What the filled tables have in keys and indexes, and how each goes and comes back. Those of a table that take long come first.
KEYS = """
select json_agg(key order by place, name not like '%record_ids%', name not like '%search%', name not like '%actors%', name)
  from (select case contype when 'f' then 3 when 'p' then 0 else 1 end as place, conname::text as name,
               format('alter table %s drop constraint %I', conrelid::regclass, conname) as off,
               format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as back
          from pg_constraint
         where conrelid = any (array[{tables}]::regclass[])
           and contype in ('p', 'u', 'f')
         union all
        select 2, indexrelid::regclass::text, format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
          from pg_index
         where indrelid = any (array[{tables}]::regclass[])
           and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u'))) as key"""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Sized(PrivateDatabase):
    """A filled database and a server on it."""

    def __init__(self, product, counts):
        super().__init__(product)
        self.counts = counts
        self.keeper.environment |= {"CHANGES_PER_MINUTE": "0", "DATABASE_POOL": "12"}

    def fill(self):
        """Returns the seconds that it took."""
        started = time.monotonic()
        self.start()
        self.users = {name: self.sign_up(name)["id"] for name in ACCOUNTS}
        self.sql("update users set role = 'admin' where name = 'root'")
        self._restart(FAST)
        before = self.schema()
        keys = json.loads(self.sql(KEYS.format(tables=",".join(f"'{table}'" for table in FILLED))))
        for key in reversed(keys):
            self.sql(key["off"])
        part = dict(re.findall(r"^-- part: (\w+)\n(.*?)(?=^-- part|\Z)", (HERE / "sizes.sql").read_text(), re.MULTILINE | re.DOTALL))
        variables = self.counts | {name: self.users[name] for name in ("root", "ann", "big", "bob")}
        self.sql(part["session"] + part["accounts"], variables, patience=3600)
        self.side_by_side([(f"rows: {name}", part["session"] + part[name], variables) for name in ("reads", "lists", "clinic")])
        self.side_by_side([(f"vacuum {table}", f"vacuum {table}", {}) for table in reversed(FILLED)])
        # A table can have one key made at a time, but several indexes. The slowest come first.
        for place in sorted({key["place"] for key in keys}):
            self.side_by_side([(key["name"], f"set maintenance_work_mem = '{'6GB' if 'USING gin' in key['back'] else '1GB'}'; {key['back']}", {})
                               for key in keys if key["place"] == place])
        self.sql("analyze", patience=3600)
        if self.schema() != before:
            raise SystemExit("bench: the filled database has another schema than the migrations make")
        self._restart(SHARED_BUFFERS)
        self.sql("checkpoint")
        return time.monotonic() - started

    def side_by_side(self, works):
        """Runs works, each a name, statements and their variables, in two sessions, and prints how long each takes."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(self.timed, *work) for work in works]:
                done.result()

    def timed(self, name, text, variables):
        """Seconds of the statements."""
        started = time.monotonic()
        self.sql(text, variables, patience=4 * 3600)
        seconds = time.monotonic() - started
        if seconds >= 1:
            say(f"{name}: {seconds:.1f} s")
        return seconds

    def schema(self):
        """What pg_dump says of it, but for the word that it invents each time."""
        return [line for line in self.run("pg_dump", "--schema-only").splitlines() if "restrict " not in line]

    def run(self, program, *arguments):
        command = [str(self.programs / program), "-h", self.socket, "-U", "healthcare", "-d", "healthcare", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _restart(self, settings):
        """PostgreSQL starts again with these settings behind those that the product wrote."""
        self.keeper.stop(patience=900)
        file = self.folder / "data/postgresql/postgresql.conf"
        own, _, _ = file.read_text().partition(MARK)
        file.write_text(own + MARK + settings)
        self.start()


def tables(database):
    """Bytes of each table and of its indexes, by name; the largest tables first."""
    rows = database.sql("""
        select c.relname, pg_table_size(c.oid), greatest(c.reltuples, 0)::bigint,
               (select string_agg(i.relname || '=' || pg_relation_size(i.oid), ' ' order by pg_relation_size(i.oid) desc)
                  from pg_index x join pg_class i on i.oid = x.indexrelid where x.indrelid = c.oid)
          from pg_class c
         where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
         order by pg_total_relation_size(c.oid) desc""")
    found = {}
    for row in rows.splitlines():
        name, size, count, indexes = row.split("|")
        indexes = dict(index.split("=") for index in indexes.split())
        found[name] = {"bytes": int(size), "rows": int(count), "indexes": {index: int(size) for index, size in indexes.items()}}
    return found


# What a migration may do, and how long it holds its lock. Each is rolled back.
MIGRATIONS = [
    ("a column that may be null", "alter table patients add column more text"),
    ("a column with a constant default", "alter table patients add column more text not null default ''"),
    ("an index of two numbers on `patients`", "create index on patients (gender, id)"),
    ("an index of trigrams on `patients`", "create index on patients using gin (searched(name, email, phone, null, null) gin_trgm_ops)"),
    ("an index of one number on `audit_entries`", "create index on audit_entries (ip)"),
    ("an index of one number on `audit_batches`", "create index on audit_batches ((at[1]))"),
    ("a constraint on `patients` that reads every row", "alter table patients add check (version > 0)"),
]


def migrate(database):
    """Seconds of each."""
    seconds = {}
    for name, change in MIGRATIONS:
        started = time.monotonic()
        database.sql(f"begin; {change}; rollback;", patience=3600)
        seconds[name] = time.monotonic() - started
        say(f"{name}: {seconds[name]:.1f} s")
    return seconds


# What a month leaves behind: sessions that are over, each with two refresh tokens, and answers to requests with an Idempotency-Key.
OVER = """
set synchronous_commit = off;
with old as (
    insert into sessions (user_id, user_agent, ip, created_at, last_used_at, expires_at, ended_at)
    select :first_user + n % :users, 'Mozilla/5.0', '10.0.0.1', now() - interval '70 days', now() - interval '69 days', now() - interval '40 days',
           now() - interval '31 days' - n * interval '1 ms'
      from generate_series(1, :users * 10) n
    returning id)
insert into refresh_tokens (hash, session_id, used_at)
select sha256((id || ' ' || n)::bytea), id, now() - interval '69 days' from old, generate_series(1, 2) n;
insert into idempotency_keys (user_id, key, request_hash, location, etag, body, created_at)
select :first_user + n % :users, gen_random_uuid(), sha256(n::text::bytea), '/api/patients/' || n, '"1"', repeat('x', 400)::bytea,
       now() - interval '2 days' - n * interval '1 ms'
  from generate_series(1, :users * 10) n;
"""
LEFT = """
select (select count(*) from sessions where coalesce(ended_at, expires_at) < now() - interval '30 days')
       + (select count(*) from idempotency_keys where created_at < now() - interval '1 day')"""
# Tables that autovacuum has not visited since PostgreSQL started.
NOT_VACUUMED = """
select count(*)
  from pg_stat_user_tables
 where relname in ('sessions', 'refresh_tokens', 'idempotency_keys')
   and coalesce(last_autovacuum < pg_postmaster_start_time(), true)"""
PRUNED = ("sessions", "refresh_tokens", "idempotency_keys")


def prune(database):
    """Rows that a server removes at its start, the seconds of the second time, and how large the tables were before each."""
    sizes = []
    for _ in range(2):
        database.sql(OVER, {"users": database.counts["users"], "first_user": database.users["visitor"] + 1}, patience=3600)
        found = tables(database)
        sizes.append(sum(found[table]["bytes"] + sum(found[table]["indexes"].values()) for table in PRUNED))
        rows = database.sql("select " + " + ".join(f"(select count(*) from {table})" for table in PRUNED))
        database.keeper.stop(patience=120)
        started = time.monotonic()
        database.start()
        while int(database.sql(LEFT)) > 0:
            time.sleep(0.2)
        seconds = time.monotonic() - started
        while int(database.sql(NOT_VACUUMED)) > 0 and time.monotonic() - started < seconds + 600:
            time.sleep(1)
        cleaned = time.monotonic() - started - seconds
        say(f"prune: {int(rows):,} rows in {seconds:.1f} s, vacuumed {cleaned:.0f} s later, {sizes[-1]:,} bytes before")
    return {"rows": int(rows), "seconds": seconds, "vacuumed": cleaned, "sizes": sizes}


def vacuum(database):
    """Seconds of a vacuum that finds little, and of one that freezes, as comes once in 200 million transactions."""
    seconds = {}
    for table in ("patients", "audit_entries", "audit_batches", "audit_batch_actors"):
        for options in ("", "freeze"):
            started = time.monotonic()
            database.sql(f"vacuum ({options + ', ' if options else ''}analyze) {table}", patience=3600)
            seconds[(table, options)] = time.monotonic() - started
            say(f"vacuum {options} {table}: {seconds[(table, options)]:.1f} s")
    return seconds


def back_up(database, product):
    """Seconds of `backup` while the server runs, and bytes of its file."""
    file = database.folder / "clinic.backup"
    started = time.monotonic()
    command(product, database.folder / "data", "backup", str(file))
    seconds = time.monotonic() - started
    say(f"backup: {seconds:.0f} s, {file.stat().st_size:,} bytes")
    return {"seconds": seconds, "bytes": file.stat().st_size, "file": file}


def restore(database, product, file):
    """Seconds of `restore` into a new folder."""
    folder = database.folder / "restored"
    command(product, folder, "migrate")
    with (folder / "postgresql/postgresql.conf").open("a") as settings:
        settings.write(RESTORING)
    started = time.monotonic()
    command(product, folder, "restore", str(file))
    seconds = time.monotonic() - started
    say(f"restore: {seconds:.0f} s")
    return seconds


def command(product, data, *arguments):
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data), "RUST_LOG": "warn"}
    done = subprocess.run([str(product), *arguments], env=environment, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {arguments[0]}: {done.stderr.strip()}")


def requests_table(scales, results):
    """Markdown, like that of the following."""
    lines = ["## Requests: milliseconds, median · 99 %", "", f"| | {' | '.join(scales)} | times |", f"|---|{'---:|' * (len(scales) + 1)}"]
    for name, (few, many) in results.items():
        cells = [f"{figures['median']:.1f} · {figures['p99']:.1f}" + (" !" if figures["errors"] else "") for figures in (few, many)]
        lines.append(f"| {name} | {' | '.join(cells)} | {many['median'] / few['median']:.1f} |")
    return "\n".join([*lines, "", "`!` marks rows with answers that were no success.", ""])


def bytes_table(found):
    lines = ["## Bytes", "", "| | rows | table | indexes |", "|---|---:|---:|---:|"]
    for name, table in found.items():
        lines.append(f"| {name} | {table['rows']:,} | {table['bytes']:,} | {sum(table['indexes'].values()):,} |")
        lines += [f"| {index} | | | {size:,} |" for index, size in table["indexes"].items() if size > 2**20]
    return "\n".join([*lines, ""])


def maintenance_table(scales, migrations, pruned, vacuumed, backups, restored):
    lines = ["## Maintenance: seconds", "", f"| | {' | '.join(scales)} |", f"|---|{'---:|' * len(scales)}"]
    for name in migrations[0]:
        lines.append(f"| {name} | {' | '.join(f'{seconds[name]:.1f}' for seconds in migrations)} |")
    for table, options in vacuumed[0]:
        lines.append(f"| vacuum {options} {table} | {' | '.join(f'{seconds[(table, options)]:.1f}' for seconds in vacuumed)} |")
    lines.append(f"| prune | {' | '.join('{rows:,} rows in {seconds:.1f}, vacuumed {vacuumed:.0f} later, bytes {sizes}'.format(**one) for one in pruned)} |")
    lines.append(f"| backup | {' | '.join('{seconds:.0f} ({bytes:,} bytes)'.format(**one) for one in backups)} |")
    lines.append(f"| restore | {' | '.join(f'{seconds:.0f}' for seconds in restored)} |")
    return "\n".join([*lines, ""])


def main():
    product = pathlib.Path(os.environ.get("PRODUCT", ROOT / "target/release/healthcare-backend")).resolve()
    large = {name: int(os.environ.get(f"SIZES_{name.upper()}", count)) for name, count in LARGE.items()}
    databases = [Sized(product, counts) for counts in (SMALL, large)]
    scales = [f"{database.counts['patients']:,} patients" for database in databases]
    try:
        for database in databases:
            say(f"filled with {database.counts} in {database.fill():.0f} s")
        # Each part is printed as soon as it is known: the last ones take long.
        print(bytes_table(tables(databases[-1])), flush=True)
        results = kinds.measure(databases)
        (ROOT / "target/sizes.svg").write_text(plot.draw(results, *scales))
        print(requests_table(scales, results), flush=True)
        maintenance = [maintain(database, product) for database in databases]
        print(maintenance_table(scales, *zip(*maintenance)), flush=True)
    finally:
        for database in databases:
            database.stop()


def maintain(database, product):
    """Seconds of what an operator does. The database is gone afterwards, since there may be no room for it and a restored one."""
    vacuumed, migrated, pruned, backed_up = vacuum(database), migrate(database), prune(database), back_up(database, product)
    database.keeper.stop(patience=900)
    database.remove_data()
    return migrated, pruned, vacuumed, backed_up, restore(database, product, backed_up["file"])


if __name__ == "__main__":
    main()
