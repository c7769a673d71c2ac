//! Why a statement failed: whether it may run again, and what the client is told.

use crate::error::{ADMINS_ONLY, Error, explain};
use crate::sql::Query;

/// Why a statement has no rows.
pub struct Failure {
    /// What it means for the client.
    pub error: Error,
    /// Whether PostgreSQL refused the statement, so that nothing has changed.
    pub changed_nothing: bool,
}

/// PostgreSQL rolled the statement back, and it succeeds if it runs again: it and another one waited for each other, or it is
/// outdated.
pub fn has_done_nothing(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "40P01") || is_outdated(error)
}

/// The statement was prepared for the columns that a table had before a migration ("cached plan must not change result type").
pub fn is_outdated(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "0A000")
}

/// The connection is gone: closed, reset, or ended by an administrator or a shutdown (class 57P).
pub fn is_dead(error: &postgres::Error) -> bool {
    match error.code() {
        Some(code) => matches!(code.code(), "57P01" | "57P02" | "57P03" | "08006" | "08003" | "08000" | "08P01"),
        None => error.is_closed() || std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>()),
    }
}

/// What a failed statement means for the client. The log gets SQLSTATE, constraint and primary message; never the detail,
/// which quotes values.
pub fn translate(query: &Query, error: &postgres::Error) -> Error {
    let Some(error) = error.as_db_error() else {
        let text = format!("{}: {}", query.name, explain(error));
        return if is_dead(error) { Error::Unavailable(text) } else { Error::Internal(text) };
    };
    let code = error.code().code();
    if code.starts_with("22") {
        // A value that its type does not hold. The rules let none through that we know of, and the message may quote it.
        log::warn!(target: "database", "{}: {code}: a rule of validate/ is missing", query.name);
        return Error::invalid("request", "must not have a value that cannot be stored");
    }
    let text = format!("{}: {} {} {}", query.name, code, error.constraint().unwrap_or_default(), error.message());
    match (code, error.constraint()) {
        // What `acting` (sql/migrations/0009_acting.sql) says of somebody who may not act any more.
        ("HC401", _) => Error::Unauthenticated,
        ("HC403", _) => ADMINS_ONLY,
        // And `acting_for` (sql/migrations/0022_grants.sql).
        ("HC404", _) if query.name.starts_with("mappings.") => Error::NotFound("Mapping"),
        ("HC404", _) => Error::NotFound("Patient"),
        ("23505" | "23503", Some(constraint)) => match query.conflict(constraint) {
            Some(message) => Error::Conflict(message.to_string().into()),
            None => Error::Internal(text),
        },
        ("57014", _) if query.is_long() => Error::TooSlow(text),
        // Time limits, no connection or memory or disk left, read-only after a failover, serialization, shutdown.
        ("57014" | "55P03" | "40001" | "40P01" | "25006" | "57P01" | "57P02" | "57P03", _) => Error::Unavailable(text),
        (code, _) if code.starts_with("53") || code.starts_with("08") => Error::Unavailable(text),
        _ => Error::Internal(text),
    }
}
