//! `sql/*.sql` → named, documented, parameter-checked queries, loaded before the socket opens.
//!
//! A file holds any number of statements, each under a line like
//!
//! ```sql
//! -- name: find(id bigint, owner_id bigint) :opt
//! ```
//!
//! which names it, declares its parameters in the order `$1, $2, …`, and says how many rows come back: `:one`, `:opt` (none or
//! one), `:many`, or `:exec` (none). A word may follow: `write` says that the statement changes or locks something, so that it is
//! never sent twice; `planned` asks PostgreSQL to plan a read for the values of each call; `batched` says that one statement
//! answers the questions of several requests. A parameter `page_size bigint` says how many rows come at most; such a page ends
//! early if its rows are long.
//!
//! A line below the name says what a client is told if a constraint refuses the change:
//!
//! ```sql
//! -- conflict users_email_key: A user with this e-mail already exists
//! ```
//!
//! The parameters of a `batched` statement are arrays with an element for each question, and its rows begin with the number of
//! their question, from 1. The word that says how many rows come back is about one question. Such a read must be quick whatever
//! its values are, because the requests wait for each other. A change may be `write batched` if it takes no locks that two batches
//! could take in different orders.

use std::path::Path;
use std::sync::Arc;

use postgres::types::{ToSql, Type};

use crate::error::explain;

/// The values of `$1, $2, …`.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How many rows a statement answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// Any number.
    Many,
    /// None.
    None,
}

/// One statement of one file.
#[derive(Debug)]
pub struct Query {
    /// Its index among all queries; a connection keeps its prepared statement there.
    pub index: usize,
    /// `file.name`, for messages and log lines.
    pub name: String,
    /// The text that PostgreSQL gets.
    pub text: String,
    /// The types of `$1, $2, …`.
    pub parameters: Vec<Type>,
    /// How many rows it answers with.
    pub rows: Rows,
    /// The index of the parameter `page_size`, which says how many rows it brings at most.
    pub page_size: Option<usize>,
    /// It changes or locks something. Any other statement may be repeated on another connection.
    pub writes: bool,
    /// Planned for its values at each call instead of once.
    pub planned: bool,
    /// It answers the questions of several requests.
    pub batched: bool,
    /// It is limited to some owners: see `Owned`.
    pub is_owned: bool,
    /// It asks what is granted, and its column `emergency` says whether that is emergency access.
    pub tells_emergency: bool,
    /// The constraints that a client can run into, each with what the client is told.
    pub conflicts: Vec<(String, String)>,
}

impl Query {
    /// Whether it may take long and return many rows: a page, or a read that is planned for its values.
    pub fn is_long(&self) -> bool {
        self.page_size.is_some() || self.planned
    }

    /// What a client is told whom this constraint refuses; `None` if no client can run into it.
    pub fn conflict(&self, constraint: &str) -> Option<&str> {
        self.conflicts.iter().find(|(name, _)| name == constraint).map(|(_, message)| message.as_str())
    }
}

/// A statement about what users own, which is limited to some owners. Only their value can ask it (`auth/owners.rs`), so no statement
/// forgets them. Its first parameter is `owners` or `owner_id`.
#[derive(Debug)]
pub struct Owned(Arc<Query>);

impl Owned {
    /// The statement. What calls this gives the owners as its first parameter.
    pub fn limited_by_owners(&self) -> &Arc<Query> {
        &self.0
    }
}

/// What holds a statement: an [`Owned`], or simply an `Arc`.
trait Holds {
    fn holding(query: Query) -> Result<Self, String>
    where
        Self: Sized;

    fn query(&self) -> &Query;
}

impl Holds for Arc<Query> {
    fn holding(query: Query) -> Result<Arc<Query>, String> {
        match query.is_owned {
            false => Ok(Arc::new(query)),
            true => Err(format!("{} has owners, and src/sql.rs does not say so", query.name)),
        }
    }

    fn query(&self) -> &Query {
        self
    }
}

impl Holds for Owned {
    fn holding(query: Query) -> Result<Owned, String> {
        match query.is_owned {
            true => Ok(Owned(Arc::new(query))),
            false => Err(format!("{} must have the parameter owners, and have it first", query.name)),
        }
    }

    fn query(&self) -> &Query {
        &self.0
    }
}

/// How a statement is held; see the macro below.
macro_rules! held {
    () => { Arc<Query> };
    (Owned) => { Owned };
}

/// Declares the files and the statements that each must have, and makes a struct with one field per statement. `: Owned` behind the
/// name of a statement says that it is one.
macro_rules! queries {
    ($($(#[$doc:meta])* $file:ident: $struct:ident { $($query:ident $(: $held:ident)?),* $(,)? })*) => {
        /// Every query of the service, by file and name.
        #[derive(Debug)]
        pub struct Queries { $($(#[$doc])* pub $file: $struct,)* }

        $(
            $(#[$doc])*
            #[allow(missing_docs, reason = "each query is documented in its file")]
            #[derive(Debug)]
            pub struct $struct { $(pub $query: held!($($held)?),)* }
        )*

        impl Queries {
            /// Reads the files from `folder`, or the built-in ones if it is `None`.
            pub fn load(folder: Option<&Path>) -> Result<Queries, String> {
                let mut count = 0;
                $(
                    let file = concat!(stringify!($file), ".sql");
                    let text = read_file(folder, file, include_str!(concat!("../sql/", stringify!($file), ".sql")))?;
                    let mut parsed = parse_file(stringify!($file), &text)?;
                    let $file = $struct { $($query: take(&mut parsed, file, stringify!($query), &mut count)?,)* };
                    if let Some(extra) = parsed.first() {
                        return Err(format!("{file}: nothing uses the query {}", extra.name));
                    }
                )*
                Ok(Queries { $($file,)* })
            }

            /// All of them, in the order of their indexes.
            pub fn all(&self) -> Vec<&Query> {
                vec![$($(self.$file.$query.query(),)*)*]
            }
        }
    };
}

queries! {
    /// `sql/users.sql`
    users: Users { register, find, find_by_email, search, lock, update_profile, change_password, create, lock_admins, update, unlock, set_role }
    /// `sql/totp.sql`
    totp: Totp { prepare, find, find_recovery, confirm, use_code, use_recovery, record_wrong, remove, take_away, clear }
    /// `sql/resets.sql`
    resets: Resets { issue, issue_by_mail, find, lock_by_token, redeem, lock_by_email, set_password }
    /// `sql/sessions.sql`
    sessions: Sessions { attempt, record_failure, take_back, forget_failures, create, lock_by_token, refresh, state, touch, list, end, end_all, prune_tokens, prune, prune_failures }
    /// `sql/patients.sql`
    patients: Patients { create, import, list: Owned, list_of_several: Owned, search: Owned, count: Owned, export, find: Owned, find_granted: Owned, update: Owned, lock: Owned, delete: Owned, undelete: Owned }
    /// `sql/doctors.sql`
    doctors: Doctors { create, import, list, search, count, export, find, update, lock, delete, undelete }
    /// `sql/mappings.sql`
    mappings: Mappings { create: Owned, list: Owned, list_of_several: Owned, search: Owned, list_of_patient: Owned, find: Owned, lock: Owned, update: Owned, delete: Owned, undelete: Owned }
    /// `sql/history.sql`
    history: History { list: Owned, deleted: Owned }
    /// `sql/grants.sql`
    grants: Grants { lock: Owned, share: Owned, list: Owned, unshare: Owned, access: Owned, names, end_lost }
    /// `sql/emergency.sql`
    emergency: Emergency { ask: Owned, mine, end, list, review, unreviewed }
    /// `sql/transfers.sql`
    transfers: Transfers { lock: Owned, patient: Owned, lock_users, some_of_user: Owned }
    /// `sql/groups.sql`
    groups: Groups { create, list, find, update, lock, delete, members, add, remove, mine }
    /// `sql/fhir.sql`
    fhir: Fhir { installation, gone: Owned, team: Owned, patients: Owned, doctors }
    /// `sql/health.sql`
    health: Health { schema_version }
    /// `sql/idempotency.sql`
    idempotency: Idempotency { claim, find, may_see: Owned, store, prune }
    /// `sql/audit.sql`
    audit: Audit { record, export, list }
}

impl Queries {
    /// Prepares every statement once, on a database whose schema is up to date, and looks for the constraints that they name.
    pub fn prove(&self, client: &mut postgres::Client) -> Result<(), String> {
        // In one transaction: a pooler keeps that on one connection.
        let mut transaction = client.transaction().map_err(|error| explain(&error))?;
        for query in self.all() {
            let prepared = transaction.prepare_typed(&query.text, &query.parameters);
            prepared.map_err(|error| format!("{}: {}", query.name, explain(&error)))?;
            for (constraint, _) in &query.conflicts {
                let known = transaction.query_opt("select from pg_constraint where conname = $1", &[constraint]);
                if known.map_err(|error| explain(&error))?.is_none() {
                    return Err(format!("{}: there is no constraint {constraint}", query.name));
                }
            }
        }
        Ok(())
    }
}

/// The text of a file of `folder`, or the built-in text if there is no folder.
pub fn read_file(folder: Option<&Path>, file: &str, built_in: &str) -> Result<String, String> {
    let Some(folder) = folder else { return Ok(built_in.to_string()) };
    let path = folder.join(file);
    std::fs::read_to_string(&path).map_err(|error| {
        format!("{} cannot be read: {error}; SQL_DIR must hold every file of this version's sql/", path.display())
    })
}

fn take<T: Holds>(parsed: &mut Vec<Query>, file: &str, name: &str, count: &mut usize) -> Result<T, String> {
    let full_name = format!("{}.{name}", file.trim_end_matches(".sql"));
    let index = parsed.iter().position(|query| query.name == full_name);
    let mut query = parsed.remove(index.ok_or_else(|| format!("{file}: the query {name} is missing"))?);
    query.index = *count;
    *count += 1;
    T::holding(query)
}

/// Splits a file at its `-- name:` lines.
pub fn parse_file(file: &str, text: &str) -> Result<Vec<Query>, String> {
    let mut queries: Vec<Query> = Vec::new();
    for line in text.lines() {
        if let Some(declaration) = line.strip_prefix("-- name:") {
            let query = parse_declaration(file, declaration.trim())
                .ok_or_else(|| format!("{file}.sql: not a declaration: {}", line.trim()))?;
            if queries.iter().any(|present| present.name == query.name) {
                return Err(format!("{file}.sql: {} is declared twice", query.name));
            }
            queries.push(query);
        } else if let Some(query) = queries.last_mut() {
            if let Some(conflict) = line.strip_prefix("-- conflict ") {
                let parts = conflict.split_once(": ").ok_or_else(|| format!("{file}.sql: not a conflict: {line}"))?;
                query.conflicts.push((parts.0.to_string(), parts.1.to_string()));
            } else if !line.trim_start().starts_with("--") {
                query.text.push_str(line);
                query.text.push('\n');
            }
        }
    }
    for query in &mut queries {
        query.text = query.text.trim().trim_end_matches(';').to_string();
        query.tells_emergency = query.text.contains("live_grant(");
        check_parameters(query)?;
    }
    Ok(queries)
}

/// `find(id bigint, owner_id bigint) :opt`
fn parse_declaration(file: &str, declaration: &str) -> Option<Query> {
    let (name, rest) = declaration.split_once('(')?;
    let (parameters, kind) = rest.split_once(')')?;
    let mut words = kind.split_whitespace();
    let rows = match words.next()? {
        ":one" => Rows::One,
        ":opt" => Rows::Optional,
        ":many" => Rows::Many,
        ":exec" => Rows::None,
        _ => return None,
    };
    let (writes, planned, batched) = match (words.next(), words.next()) {
        (None, None) => (false, false, false),
        (Some("write"), None) => (true, false, false),
        (Some("planned"), None) => (false, true, false),
        (Some("batched"), None) => (false, false, true),
        (Some("write"), Some("batched")) => (true, false, true),
        _ => return None,
    };
    let declared = parameters.split(',').map(str::trim).filter(|parameter| !parameter.is_empty());
    let declared: Vec<(&str, &str)> = declared.map(|parameter| parameter.split_once(' ')).collect::<Option<_>>()?;
    let parameters = declared.iter().map(|(_, type_)| type_named(type_.trim())).collect::<Option<_>>()?;
    let page_size = declared.iter().position(|(name, _)| *name == "page_size");
    let is_owned = matches!(declared.first(), Some(("owners" | "owner_id", _)));
    let name = format!("{file}.{}", name.trim());
    Some(Query {
        index: 0,
        name,
        text: String::new(),
        parameters,
        rows,
        page_size,
        writes,
        planned,
        batched,
        is_owned,
        tells_emergency: false,
        conflicts: Vec::new(),
    })
}

fn type_named(name: &str) -> Option<Type> {
    Some(match name {
        "bigint" => Type::INT8,
        "bigint[]" => Type::INT8_ARRAY,
        "boolean" => Type::BOOL,
        "bytea" => Type::BYTEA,
        "bytea[]" => Type::BYTEA_ARRAY,
        "date" => Type::DATE,
        "date[]" => Type::DATE_ARRAY,
        "inet" => Type::INET,
        "inet[]" => Type::INET_ARRAY,
        "integer" => Type::INT4,
        "jsonb" => Type::JSONB,
        "jsonb[]" => Type::JSONB_ARRAY,
        "text" => Type::TEXT,
        "text[]" => Type::TEXT_ARRAY,
        "timestamptz" => Type::TIMESTAMPTZ,
        "timestamptz[]" => Type::TIMESTAMPTZ_ARRAY,
        _ => return None,
    })
}

/// The statement uses `$1` to `$n` for its n declared parameters, each at least once and no other.
fn check_parameters(query: &Query) -> Result<(), String> {
    if query.text.is_empty() {
        return Err(format!("{} has no statement", query.name));
    }
    let mut used = vec![false; query.parameters.len()];
    for after in query.text.split('$').skip(1) {
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        let index = digits.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| used.get_mut(index)) {
            Some(used) => *used = true,
            None => return Err(format!("{} uses ${digits}, which it does not declare", query.name)),
        }
    }
    match used.iter().position(|used| !used) {
        Some(index) => Err(format!("{} does not use ${}", query.name, index + 1)),
        None => Ok(()),
    }
}
