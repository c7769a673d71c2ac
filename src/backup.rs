//! `backup` and `restore`: the private PostgreSQL's data as one file of `pg_dump`. Both count the rows of each table.
//!
//! A backup is one snapshot; the service may be running. The file is read back before it gets its name, so a file with that name is
//! complete. If `DATABASE_URL` is set, operators use `pg_dump` themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use postgres::{GenericClient, IsolationLevel};

use crate::config::Config;
use crate::database::Database;
use crate::error::explain;
use crate::migrate;
use crate::new_file::{self, NewFile};
use crate::private_postgres::{PrivatePostgres, complaint};

/// Rows by table.
type Counts = BTreeMap<String, i64>;

/// The tables that show whether a database has been used.
const RECORDS: [&str; 5] = ["users", "patients", "doctors", "audit_entries", "audit_batches"];

/// `backup FILE`: writes a new file, readable by its owner only.
pub fn backup(database: &Database, file: &Path) -> Result<String, String> {
    let private = private(database, "back it up with `pg_dump --format=custom --file=FILE \"$DATABASE_URL\"`")?;
    let new = NewFile::create(file)?;
    let mut client = database.connect()?;
    // Held until the dump is written, so that both see the same rows.
    let start = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start();
    let mut snapshot = start.map_err(|error| explain(&error))?;
    let row = snapshot.query_one("select pg_export_snapshot()", &[]).map_err(|error| explain(&error))?;
    let expected = count_tables(&mut snapshot)?;
    if expected.is_empty() {
        return Err("there is nothing to back up: the database has no tables yet".into());
    }

    let out = new.file.try_clone().map_err(|error| new_file::unwritable(file, &error))?;
    let mut dump = private.program("pg_dump");
    // The lightest compression: the default takes three times as long, for a file that is a seventh smaller.
    dump.args(["--format=custom", "--compress=1"]).arg(format!("--snapshot={}", row.get::<_, &str>(0)));
    dump.arg("--no-owner").arg("--no-privileges").arg(private.connection_string());
    run(dump.stdout(out), "pg_dump")?;

    compare(&expected, &count_dump(private, &new.part)?, "the new backup")?;
    new.keep()?;
    Ok(format!("wrote {}: {}", file.display(), told(&expected)))
}

/// `restore FILE`: into a private PostgreSQL that has not been used. Everything is restored, or nothing.
pub fn restore(config: &Config, database: &Database, file: &Path) -> Result<String, String> {
    let private = private(database, "restore it with `pg_restore --dbname=\"$DATABASE_URL\" FILE`")?;
    if private.is_shared() {
        return Err("a server is using the private PostgreSQL: stop it first".into());
    }
    let dump = File::open(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let expected = count_dump(private, file)?;
    let mut client = database.connect()?;
    // A server that starts meanwhile waits here before it looks at the schema.
    client
        .query_typed("select pg_advisory_lock($1)", &[(&migrate::ADVISORY_LOCK, postgres::types::Type::INT8)])
        .map_err(|error| explain(&error))?;
    let present = count_tables(&mut client)?;
    if let Some(table) = RECORDS.iter().find(|table| present.get(**table).is_some_and(|rows| *rows > 0)) {
        return Err(format!(
            "the private PostgreSQL in {} holds records ({table}): set DATA_DIR to a new folder and restore there",
            config.data_dir.display()
        ));
    }
    let mut restore = private.program("pg_restore");
    restore.args([
        "--single-transaction",
        "--exit-on-error",
        "--clean",
        "--if-exists",
        "--no-owner",
        "--no-privileges",
    ]);
    restore.arg(format!("--dbname={}", private.connection_string()));
    run(restore.stdin(dump).stdout(Stdio::null()), "pg_restore")?;
    let restored = count_tables(&mut client)?;
    compare(&expected, &restored, "the restored database")?;
    // A backup of a newer program is refused now rather than at the next start.
    migrate::pending(&mut client, &migrate::load(config.sql_dir.as_deref())?)?;
    let access = renew_access(&mut client).map_err(|error| {
        format!("everything is restored, but sessions of the backup may still be live ({}): restore it again, into a new DATA_DIR", explain(&error))
    })?;
    Ok(format!("restored {}: {}; {access}", file.display(), told(&restored)))
}

/// Ends all sessions, one-time tokens and emergency access: those that ended after the backup was made would be good again. Accounts that
/// were disabled after it are enabled again, and shares that ended after it are live again; only the operator can know which. Returns a
/// sentence about all.
fn renew_access(client: &mut impl GenericClient) -> Result<String, postgres::Error> {
    let end_sessions = "
        with ended as (
            update sessions set ended_at = now() where ended_at is null and expires_at > now() returning id
        ), audited as (
            insert into audit_entries (action, resource, resource_id) select 'session_end', 'session', id from ended
        )
        select count(*) from ended";
    let sessions: i64 = client.query_one(end_sessions, &[])?.get(0);
    client.execute("update one_time_tokens set hash = null where hash is not null", &[])?;
    let end_emergencies = "update patient_grants set ended_at = now() where kind = 'emergency' and ended_at is null";
    client.execute(end_emergencies, &[])?;
    let live = "select count(*) from patient_grants where ended_at is null and coalesce(expires_at > now(), true)";
    let shares: i64 = client.query_one(live, &[])?.get(0);
    let enabled = client.query("select email, role = 'admin' from users where not disabled order by id", &[])?;
    let admins: Vec<&str> = enabled.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect();
    Ok(format!(
        "all sessions of the backup are ended ({sessions} were live), and so are its one-time tokens and emergency access; as of the backup {shares} \
         shares are live (end again those that ended after it), and {} accounts are enabled (disable again those that were disabled after it), of these as admin: {}",
        enabled.len(),
        if admins.is_empty() { "none".to_string() } else { admins.join(", ") },
    ))
}

fn private<'a>(database: &'a Database, instead: &str) -> Result<&'a PrivatePostgres, String> {
    database.private.as_ref().ok_or_else(|| format!("DATABASE_URL names a database of your own: {instead}"))
}

/// Runs one of PostgreSQL's programs; its complaint is the error.
fn run(command: &mut Command, name: &str) -> Result<(), String> {
    let child = command.stderr(Stdio::piped()).spawn();
    let output = child.and_then(|child| child.wait_with_output());
    let output =
        output.map_err(|error| format!("{name} cannot be run: {error}; install PostgreSQL's client programs"))?;
    if output.status.success() { Ok(()) } else { Err(complaint(&output)) }
}

/// Counts the rows of our tables. PostgreSQL writes the statement that counts them, so that the names are quoted correctly.
fn count_tables(client: &mut impl GenericClient) -> Result<Counts, String> {
    let counting =
        "select string_agg(format('select %L::text, count(*) from public.%I', relname, relname), ' union all ')
                      from pg_class
                     where relkind = 'r' and relnamespace = 'public'::regnamespace";
    let row = client.query_one(counting, &[]).map_err(|error| explain(&error))?;
    let Some(sql) = row.get::<_, Option<String>>(0) else { return Ok(Counts::new()) };
    let rows = client.query(&sql, &[]).map_err(|error| explain(&error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Counts the rows in the file: reads all of it, as `pg_restore` would.
fn count_dump(private: &PrivatePostgres, file: &Path) -> Result<Counts, String> {
    let dump = File::open(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let mut command = private.program("pg_restore");
    command.args(["--data-only", "--file=-"]).stdin(dump).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("pg_restore cannot be run: {error}"))?;
    let mut counts = Counts::new();
    if let Some(out) = child.stdout.take() {
        count_copied(BufReader::new(out), &mut counts).map_err(|error| format!("pg_restore: {error}"))?;
    }
    let output = child.wait_with_output().map_err(|error| format!("pg_restore: {error}"))?;
    if output.status.success() {
        return Ok(counts);
    }
    Err(format!("{} is not a whole backup: {}", file.display(), complaint(&output)))
}

/// Counts the lines between `COPY public.users (…) FROM stdin;` and `\.`; a row is one line, its line breaks are escaped.
fn count_copied(mut script: impl BufRead, counts: &mut Counts) -> std::io::Result<()> {
    let mut table: Option<String> = None;
    let mut line = Vec::new();
    while script.read_until(b'\n', &mut line)? > 0 {
        match &table {
            Some(_) if line == b"\\.\n" => table = None,
            Some(name) => *counts.entry(name.clone()).or_default() += 1,
            None => {
                if let Some(rest) = line.strip_prefix(b"COPY public.") {
                    let name = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
                    let name = String::from_utf8_lossy(name).into_owned();
                    counts.entry(name.clone()).or_default();
                    table = Some(name);
                }
            }
        }
        line.clear();
    }
    Ok(())
}

fn compare(expected: &Counts, found: &Counts, what: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what} is not complete: it has {}, not {}", told(found), told(expected)))
}

/// `users 3, patients 120, …`
fn told(counts: &Counts) -> String {
    counts.iter().map(|(table, rows)| format!("{table} {rows}")).collect::<Vec<_>>().join(", ")
}
