//! What all records share: id, version and entity tag, and the answers that show one.

use serde::Serialize;

use crate::audit::Resource;
use crate::envelope::{Response, Shown};
use crate::error::{Error, Result};
use crate::request::Request;

/// A record that has a version.
pub trait Record: Serialize {
    /// The name of such a record in the audit trail, if reads of it are recorded.
    const READS_OF: Option<Resource> = None;

    /// The id, from which the next page continues.
    fn id(&self) -> i64;
    /// Changes with every value that the record shows; the ETag is made from it.
    fn version(&self) -> String;
}

/// The strong entity tag of a version (RFC 9110, 8.8.3).
fn entity_tag(version: &str) -> String {
    format!("\"{version}\"")
}

/// 200 with the record, or 304 if the client already has this version.
pub fn found<T: Record>(request: &Request, message: &str, record: &T) -> Response {
    let version = record.version();
    let mut response =
        if request.already_has(&version) { Response::empty(304) } else { Response::success(message, record) };
    response.shown = T::READS_OF.map(|resource| Shown::Record(resource, record.id()));
    response.with_header("ETag", entity_tag(&version))
}

/// 201 with the record and the path that names it.
pub fn created(message: &str, location: String, record: &impl Record) -> Response {
    Response::created(message, location, record).with_header("ETag", entity_tag(&record.version()))
}

/// 200 with the whole new record.
pub fn updated(message: &str, record: &impl Record) -> Response {
    Response::updated(message, record).with_header("ETag", entity_tag(&record.version()))
}

/// Refuses a change of a record that is at none of the versions in `If-Match`.
pub fn matched(row: &postgres::Row) -> Result<()> {
    if row.get("matches") { Ok(()) } else { Err(Error::PreconditionFailed) }
}
