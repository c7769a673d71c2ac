//! The histories of patients and doctors: every version as FHIR shows it, read by the statement of `/api`'s histories.

use jiff::Timestamp;
use postgres::Row;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bundle::{Bundle, Change, address};
use super::datatypes::{Meta, etag};
use super::negotiation::{Negotiated, negotiate};
use super::outcome::{bad_value, gone, not_supported, shortened};
use super::ranges::Moment;
use super::search::{COUNT_DEFAULT, count};
use super::shape::Shape;
use super::{answer, patient, practitioner};
use crate::audit;
use crate::auth::{Actor, Owners, User};
use crate::db::Question;
use crate::envelope::{Response, Shown};
use crate::error::{Error, Result};
use crate::handlers::ask::{Ask, Read};

/// A type that has a history.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Patient,
    Practitioner,
}

/// A version of a record: the resource, or nothing if the record was deleted.
struct Version<'a> {
    version: i64,
    at: Timestamp,
    action: &'a str,
    record: Option<Value>,
}

/// `GET /fhir/R4/Patient/{id}/_history`
pub fn of_patient(read: &Read, user: &User) -> Result<Ask> {
    list(read, &user.owners(), Kind::Patient)
}

/// `GET /fhir/R4/Patient/{id}/_history/{vid}`
pub fn version_of_patient(read: &Read, user: &User) -> Result<Ask> {
    find(read, &user.owners(), Kind::Patient)
}

/// `GET /fhir/R4/Practitioner/{id}/_history`
pub fn of_practitioner(read: &Read, user: &User) -> Result<Ask> {
    list(read, &practitioner::owners_if_deleted(user), Kind::Practitioner)
}

/// `GET /fhir/R4/Practitioner/{id}/_history/{vid}`
pub fn version_of_practitioner(read: &Read, user: &User) -> Result<Ask> {
    find(read, &practitioner::owners_if_deleted(user), Kind::Practitioner)
}

/// A bundle of the versions, newest first; a deletion is an entry without a resource.
fn list(read: &Read, owners: &Owners, kind: Kind) -> Result<Ask> {
    let (mut shape, mut limit, mut since, mut cursor) = (Shape::default(), COUNT_DEFAULT, None, None);
    let mut used: Vec<(String, String)> = Vec::new();
    let Negotiated { base, parameters } = negotiate(read.config, read.request)?.each_once()?;
    for (name, value) in parameters {
        match name.as_str() {
            "_count" => {
                let count = count(&value).ok().filter(|count| *count > 0);
                limit = count.ok_or_else(|| bad_value("_count must be a whole number from 1"))?;
            }
            "_since" => since = Some(Timestamp::range("_since", &value)?.0),
            "_cursor" => {
                cursor = Some(value);
                continue;
            }
            _ if shape.take(&name, &value)? && !shape.is_count() => {}
            _ => return Err(not_supported(format!("{} is not supported by a history", shortened(&name)))),
        }
        used.push((name, value));
    }
    let id = answer::id(read.request)?;
    let path = format!("{}/{id}/_history", kind.type_name());
    let version_in = |cursor: &String| {
        let version = read.cursors.open::<i64>(&path, cursor);
        version.ok_or_else(|| bad_value("_cursor must be the one from the next link of this history"))
    };
    let before = cursor.as_ref().map(version_in).transpose()?;
    let question = versions(read, owners, kind, before.unwrap_or(i64::MAX), limit + 1)?;
    Ok(Ask::many(question, move |read, rows| {
        if rows.is_empty() {
            return Err(Error::NoRoute);
        }
        let address = |cursor: Option<&str>| address(&format!("{base}/{path}"), &used, cursor);
        let mut bundle = Bundle::new("history", address(cursor.as_deref()), &base, &shape);
        let versions: Vec<Version> = rows.iter().filter_map(Version::of).collect();
        let page = versions.iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
        let page: Vec<&Version> = page.take_while(|version| since.is_none_or(|since| version.at >= since)).collect();
        for version in &page {
            let (method, status) = match version.action {
                "create" => ("POST", "201"),
                "delete" => ("DELETE", "204"),
                "undelete" => ("PUT", "201"),
                _ => ("PUT", "200"),
            };
            let url =
                if method == "POST" { kind.type_name().to_string() } else { format!("{}/{id}", kind.type_name()) };
            let tag = etag(&version.version.to_string());
            let change = Change::new(method, url, status, tag, version.at);
            let resource = kind.resource(version, read.installation)?;
            bundle.add_change(kind.type_name(), id, resource, change);
        }
        let goes_on = versions.len() > page.len() && i64::try_from(page.len()).is_ok_and(|shown| shown == limit);
        if let Some(last) = page.last().filter(|_| goes_on) {
            bundle.continues(address(Some(&read.cursors.seal(&path, &last.version))));
        } else if before.is_none() {
            bundle.total = Some(bundle.count);
        }
        Ok(kind.showing(bundle.answer(), id))
    }))
}

/// One version. The version that a deletion made is 410.
fn find(read: &Read, owners: &Owners, kind: Kind) -> Result<Ask> {
    let shape = Shape::of_read(read)?;
    let id = answer::id(read.request)?;
    let vid =
        read.request.parameters.iter().find(|(name, _)| *name == "vid").and_then(|(_, text)| answer::parse_id(text));
    let vid = vid.ok_or(Error::NoRoute)?;
    // The second row tells how the first began.
    let question = versions(read, owners, kind, vid.saturating_add(1), 2)?;
    Ok(Ask::many(question, move |read, rows| {
        let version =
            rows.first().and_then(Version::of).filter(|version| version.version == vid).ok_or(Error::NoRoute)?;
        let meta = Meta::of(vid, version.at);
        match kind.resource(&version, read.installation)? {
            Some(resource) => Ok(kind.showing(answer::resource(read.request, &shape, &resource, &meta), id)),
            None if version.action == "delete" => Err(gone(vid)),
            None => Err(Error::NoRoute),
        }
    }))
}

fn versions(read: &Read, owners: &Owners, kind: Kind, before: i64, rows: i64) -> Result<Question> {
    let (id, no_patient): (i64, Option<i64>) = (answer::id(read.request)?, None);
    owners.ask(&read.sql.history.list, &[&kind.audited().word(), &id, &no_patient, &before, &rows])
}

impl<'a> Version<'a> {
    /// The version in a row; `None` for the row of a page without versions.
    fn of(row: &'a Row) -> Option<Version<'a>> {
        let version: i64 = row.get::<_, Option<i64>>("version")?;
        let record = row.get::<_, Option<Value>>("record").map(|mut record| {
            record["version"] = version.into();
            record
        });
        let at = row.get::<_, Option<Timestamp>>("at").unwrap_or_default();
        Some(Version { version, at, action: row.get("action"), record })
    }

    fn columns<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let broken =
            |error: serde_json::Error| Error::Internal(format!("version {} is no record: {error}", self.version));
        self.record.clone().map(serde_json::from_value).transpose().map_err(broken)
    }
}

impl Kind {
    fn type_name(self) -> &'static str {
        if self == Kind::Patient { "Patient" } else { "Practitioner" }
    }

    fn audited(self) -> audit::Resource {
        if self == Kind::Patient { audit::Resource::Patient } else { audit::Resource::Doctor }
    }

    /// Adds the entry for the audit trail, which only reads of patients have.
    fn showing(self, response: Response, id: i64) -> Response {
        if self == Kind::Patient { response.showing(Shown::Record(audit::Resource::Patient, id)) } else { response }
    }

    /// The resource as it was.
    fn resource(self, version: &Version, installation: &str) -> Result<Option<Value>> {
        let value = match self {
            Kind::Patient => {
                let columns: Option<patient::Columns<'static>> = version.columns()?;
                columns.map(|columns| serde_json::to_value(columns.patient(installation)))
            }
            Kind::Practitioner => {
                let columns: Option<practitioner::Columns<'static>> = version.columns()?;
                columns.map(|columns| serde_json::to_value(columns.practitioner(installation)))
            }
        };
        // Our own resources always serialize.
        Ok(value.map(|value| value.unwrap_or_default()))
    }
}
