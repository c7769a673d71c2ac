//! Migrations in order, one transaction each, under an advisory lock: any number of nodes may start at once.

use std::path::Path;

use postgres::Client;
use postgres::error::SqlState;
use postgres::types::Type;

use crate::error::explain;
use crate::sql::read_file;

/// One step of the schema. A step that has been released is never edited; the next change is the next file.
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub version: i32,
    /// Its file name without the ending.
    pub name: String,
    sql: String,
}

macro_rules! built_in {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../sql/migrations/", $file, ".sql")))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "0001_accounts",
    "0002_clinic",
    "0003_audit",
    "0004_name_search",
    "0005_client_comfort",
    "0006_audit_batches",
    "0007_idempotency_keys",
    "0008_hash_cost",
    "0009_acting",
    "0010_batch_ids",
    "0011_over",
    "0012_refresh_chain",
    "0013_good_tokens",
    "0014_one_time_tokens",
    "0015_totp",
    "0016_audit_times",
    "0017_text_search",
    "0018_care_groups",
    "0019_fhir",
    "0020_history",
    "0021_fhir_search",
    "0022_grants",
    "0023_may_break_glass",
    "0024_emergency_access",
    "0025_breaking_steps",
    "0026_audit_periods",
    "0027_quicker_names",
    "0028_inherited",
    "0029_caseless",
    "0030_shorter_pending_list",
];

/// The key of the advisory lock: any number that no other program uses in the same database.
pub(crate) const ADVISORY_LOCK: i64 = 0x6865_616c_7468;

/// The built-in steps; or those from `folder`, which may have further ones.
pub fn load(folder: Option<&Path>) -> Result<Vec<Migration>, String> {
    let mut migrations = Vec::new();
    for (name, sql) in BUILT_IN {
        migrations.push(Migration::new(name, read_file(folder, &format!("migrations/{name}.sql"), sql)?)?);
    }
    let Some(folder) = folder.map(|folder| folder.join("migrations")) else { return Ok(migrations) };
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|ending| ending == "sql") && !migrations.iter().any(|step| step.name == name) {
            migrations.push(Migration::new(&name, std::fs::read_to_string(&path).map_err(unreadable)?)?);
        }
    }
    migrations.sort_by_key(|step| step.version);
    match (1..).zip(&migrations).find(|(number, step)| *number != step.version) {
        Some((number, step)) => Err(format!("migrations/{}.sql must have the number {number}", step.name)),
        None => Ok(migrations),
    }
}

impl Migration {
    fn new(name: &str, sql: String) -> Result<Migration, String> {
        let version = name.split('_').next().and_then(|number| number.parse().ok());
        let version = version.ok_or_else(|| format!("{name}.sql must begin with its number"))?;
        Ok(Migration { version, name: name.to_string(), sql })
    }
}

/// Brings the schema up to date, and returns the names of the steps that were applied now.
///
/// # Errors
/// One line that says what is wrong, for example that this program is too old for the database. Steps that were applied before
/// stay.
pub fn run(client: &mut Client, migrations: &[Migration]) -> Result<Vec<String>, String> {
    let mut applied = Vec::new();
    for migration in missing(client, migrations)? {
        if apply(client, migration).map_err(|error| problem(migration, &error))? {
            applied.push(migration.name.clone());
        }
    }
    Ok(applied)
}

fn problem(migration: &Migration, error: &postgres::Error) -> String {
    // The service's role may be one that cannot change the schema (deploy/grants.sql).
    let who = if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        "; run `healthcare-backend migrate` as the owner of the database"
    } else {
        ""
    };
    format!("migration {}: {}{who}", migration.name, explain(error))
}

/// The steps that the database still lacks.
pub fn pending(client: &mut Client, migrations: &[Migration]) -> Result<Vec<String>, String> {
    Ok(missing(client, migrations)?.iter().map(|step| step.name.clone()).collect())
}

fn missing<'a>(client: &mut Client, migrations: &'a [Migration]) -> Result<Vec<&'a Migration>, String> {
    let (current, breaking) = current_version(client).map_err(|error| explain(&error))?;
    let newest = migrations.last().map_or(0, |migration| migration.version);
    if breaking > newest {
        return Err(format!(
            "the database is at version {current}, and this program, which knows {newest}, cannot serve it since {breaking}: \
             install a newer program"
        ));
    }
    Ok(migrations.iter().filter(|step| step.version > current).collect())
}

/// The newest step that the database has, and the newest of those with which no older program can serve.
fn current_version(client: &mut Client) -> Result<(i32, i32), postgres::Error> {
    // Unnamed statements: a pooler may run each on another connection.
    let exists = client.query_typed("select to_regclass('schema_migrations') is not null", &[])?;
    if !exists.first().is_some_and(|row| row.get(0)) {
        return Ok((0, 0));
    }
    // The column is not there before the step that adds it.
    let newest = client.query_typed(
        "select coalesce(max(version), 0), coalesce(max(version) filter (where to_jsonb(m) @> '{\"breaks_older\": true}'), 0)
           from schema_migrations m",
        &[],
    )?;
    Ok(newest.first().map_or((0, 0), |row| (row.get(0), row.get(1))))
}

fn apply(client: &mut Client, migration: &Migration) -> Result<bool, postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.query_typed("select pg_advisory_xact_lock($1)", &[(&ADVISORY_LOCK, Type::INT8)])?;
    transaction.batch_execute(
        "set local client_min_messages = 'warning';
         create table if not exists schema_migrations (
             version integer primary key, name text not null, applied_at timestamptz not null default now())",
    )?;
    // Another node may have been quicker while this one waited for the lock.
    let inserted = transaction.query_typed(
        "insert into schema_migrations (version, name) values ($1, $2) on conflict do nothing returning version",
        &[(&migration.version, Type::INT4), (&migration.name, Type::TEXT)],
    )?;
    let is_new = !inserted.is_empty();
    if is_new {
        transaction.batch_execute(&migration.sql)?;
    }
    transaction.commit()?;
    Ok(is_new)
}
