//! The answers of FHIR: one resource with its version, or why it is not there.

use serde::Serialize;

use super::datatypes::{Meta, etag};
use super::outcome::gone;
use super::shape::Shape;
use crate::audit::Resource;
use crate::auth::Owners;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::handlers::ask::{Ask, Read};
use crate::request::Request;
use crate::validate;

/// The id in the path. Our ids are plain digits, so nothing is there under any other id.
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

/// Asks why no row was found: 410 if the record was deleted and belonged to these owners, else 404.
pub fn missing(read: &Read, owners: &Owners, resource: Resource, id: i64) -> Result<Ask> {
    let question = owners.ask(&read.sql.fhir.gone, &[&resource.word(), &id])?;
    Ok(Ask::one(question, |_, row| Err(row.map_or(Error::NoRoute, |row| gone(row.get("version"))))))
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
