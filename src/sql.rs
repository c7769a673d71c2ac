//! `sql/*.sql` → named, documented, parameter-checked queries, loaded before the socket opens.

mod parse;
mod query;

use std::path::Path;
use std::sync::Arc;

use crate::error::explain;
pub use parse::parse_file;
pub use query::{Parameters, Query, Rows};

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
