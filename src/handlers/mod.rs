//! One file a resource: its records, then what can be done with them, in the order of `sql/` and of `tests/api/`.
//!
//! Every handler has the same shape: read the request, run one statement, answer. Here is what they share.

pub mod audit;
pub mod docs;
pub mod doctors;
pub mod health;
pub mod idempotency;
pub mod listing;
pub mod mappings;
pub mod patients;
pub mod sessions;
pub mod users;

use serde::Serialize;

use crate::app::App;
use crate::audit::{Action, Entry, Resource};
use crate::auth::User;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;

/// A record that has a version.
pub trait Record: Serialize {
    /// The id, where the next page continues.
    fn id(&self) -> i64;
    /// Changes with everything that the record shows; the ETag is made of it.
    fn version(&self) -> String;
}

/// The strong entity tag of a version (RFC 9110, 8.8.3).
fn entity_tag(version: &str) -> String {
    format!("\"{version}\"")
}

/// 200 with the record, or 304 where the client already has this version.
fn found(request: &Request, message: &str, record: &impl Record) -> Response {
    let version = record.version();
    let response =
        if request.already_has(&version) { Response::empty(304) } else { Response::success(message, record) };
    response.with_header("ETag", entity_tag(&version))
}

/// 201 with the record and the path that names it.
fn created(message: &str, location: String, record: &impl Record) -> Response {
    Response::created(message, location, record).with_header("ETag", entity_tag(&record.version()))
}

/// 200 with the whole new record.
fn updated(message: &str, record: &impl Record) -> Response {
    Response::updated(message, record).with_header("ETag", entity_tag(&record.version()))
}

/// Refuses a change of a record that is at none of the versions in `If-Match`.
fn matched(row: &postgres::Row) -> Result<()> {
    if row.get("matches") { Ok(()) } else { Err(Error::PreconditionFailed) }
}

/// Records that a user looked at one record.
fn audit_read(app: &App, request: &Request, user: &User, resource: Resource, id: i64) -> Result<()> {
    audit(app, request, user, Action::Read, resource, Some(id), None)
}

/// Records which records a list showed to a user.
fn audit_list<T: Record>(app: &App, request: &Request, user: &User, resource: Resource, shown: &[T]) -> Result<()> {
    let ids = shown.iter().map(Record::id).collect();
    audit(app, request, user, Action::List, resource, None, Some(ids))
}

fn audit(
    app: &App,
    request: &Request,
    user: &User,
    action: Action,
    resource: Resource,
    resource_id: Option<i64>,
    resource_ids: Option<Vec<i64>>,
) -> Result<()> {
    if !app.config.audit_reads {
        return Ok(());
    }
    app.audit.record(Entry {
        at: jiff::Timestamp::now(),
        actor_id: user.id,
        action,
        resource,
        resource_id,
        resource_ids,
        ip: request.client,
        request_id: request.id.clone(),
    })
}
