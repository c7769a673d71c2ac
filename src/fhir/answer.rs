//! The answers of FHIR: one resource with its version.

use postgres::Row;
use serde::Serialize;

use super::datatypes::{Meta, etag};
use super::outcome::gone;
use super::shape::Shape;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::validate;

/// The id in the path. What is not the digits of a number is no id of ours, so that nothing is there.
pub fn id(request: &Request) -> Result<i64> {
    parse_id(id_text(request)).ok_or(Error::NoRoute)
}

/// The id in the path, whatever it looks like.
pub fn id_text(request: &Request) -> &str {
    request.parameters.first().map_or("", |(_, value)| value)
}

/// The id of a record as we write it: without leading zeros.
pub fn parse_id(text: &str) -> Option<i64> {
    validate::parse_id(text).ok().filter(|_| !text.starts_with('0'))
}

/// The row of a record. If there is only its tombstone, the record is gone.
pub fn there(row: Option<Row>) -> Result<Row> {
    let row = row.ok_or(Error::NoRoute)?;
    match row.get::<_, Option<i64>>("gone_version") {
        Some(version) => Err(gone(version)),
        None if row.get::<_, Option<i64>>("id").is_none() => Err(Error::NoRoute),
        None => Ok(row),
    }
}

/// 200 with one resource, or 304 if the client already has this version.
pub fn resource(request: &Request, shape: &Shape, resource: &impl Serialize, meta: &Meta) -> Response {
    let response = match request.already_has(&meta.version_id) {
        true => Response::empty(304),
        false if shape.is_whole() => Response::fhir(200, resource),
        false => Response::fhir(200, &shape.part(resource)),
    };
    let modified = httpdate::fmt_http_date(meta.last_updated.into());
    response.with_header("ETag", etag(&meta.version_id)).with_header("Last-Modified", modified)
}
