//! History: the versions of a record, the records that were deleted, and what it takes to bring one back. Patients, doctors, mappings and
//! users share it.

use jiff::Timestamp;
use postgres::Row;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use super::ask::{Ask, Read};
use super::listing::{link, listed, shown};
use super::record::{Listed, RecordType, times_in_utc};
use crate::audit::Resource;
use crate::auth::{Actor, Owners};
use crate::envelope::{Response, Shown};
use crate::error::{Error, Result};
use crate::records::{Field, Kind};
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::Page;

/// The query parameters of a history.
pub const PAGE: &[&str] = &["limit", "before"];
/// The query parameters of a list of deleted records.
pub const DELETED: &[&str] = &["limit", "cursor"];
/// The query parameters of an admin's list of deleted records.
pub const ADMIN_DELETED: &[&str] = &["limit", "cursor", "created_by"];

/// A kind of record whose versions are kept.
pub trait Kept {
    /// Its name in the versions and in the audit trail.
    const RESOURCE: Resource;
    /// Its name in messages.
    const NAME: &'static str;
    /// Whose deleted records the actor sees.
    fn owners(actor: &impl Actor) -> Owners;
    /// What users see of it, or admins. Of a type without fields everything is shown.
    fn record_type(for_admins: bool) -> &'static RecordType;
}

/// A record as it was from some moment on, and who made it so.
#[derive(Serialize)]
struct Version {
    version: i64,
    at: Option<Timestamp>,
    /// Null if nobody was logged in.
    actor_id: Option<i64>,
    action: String,
    /// Null if there was no record, because it was deleted.
    record: Option<OldRecord>,
}

impl Version {
    fn from_row(record_type: &'static RecordType, row: &Row) -> Version {
        let record: Option<Value> = row.get("record");
        Version {
            version: row.get("version"),
            at: row.get("at"),
            actor_id: row.get("actor_id"),
            action: row.get("action"),
            record: record.map(|record| OldRecord { record_type, record: times_in_utc(record) }),
        }
    }
}

impl Listed for Version {
    fn id(&self) -> i64 {
        self.version
    }
}

/// The fields of a record, as a read showed them.
struct OldRecord {
    record_type: &'static RecordType,
    record: Value,
}

impl Serialize for OldRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.record_type.fields.is_empty() {
            return self.record.serialize(serializer);
        }
        let mut object = serializer.serialize_map(None)?;
        for field in self.record_type.shown(None) {
            let value = &self.record[field.name];
            match field.kind {
                Kind::Part(fields, _) => object.serialize_entry(field.name, &OldPart(fields, value))?,
                _ => object.serialize_entry(field.name, value)?,
            }
        }
        object.end()
    }
}

/// What a record shows of another one, in the order of its fields. Of one that is gone there is the id alone.
struct OldPart<'a>(&'static [Field], &'a Value);

impl Serialize for OldPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter_map(|field| Some((field.name, self.1.get(field.name)?))))
    }
}

/// A record that was deleted.
#[derive(Serialize)]
struct Deleted {
    id: i64,
    /// Its name, or the names of the two that a mapping is about.
    #[serde(flatten)]
    about: Value,
    deleted_at: Timestamp,
    deleted_by: Option<i64>,
}

impl Deleted {
    fn from_row(row: &Row) -> Deleted {
        Deleted {
            id: row.get("id"),
            about: row.get("about"),
            deleted_at: row.get("deleted_at"),
            deleted_by: row.get("deleted_by"),
        }
    }
}

impl Listed for Deleted {
    fn id(&self) -> i64 {
        self.id
    }
}

/// `GET …/{id}/history`: newest first, the record as it is now, or its absence, at the top.
pub fn list<K: Kept>(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let owners = K::owners(actor);
    let record_type = K::record_type(owners.are_everybody());
    let mut query = read.request.query();
    let page = query.page("before");
    query.finish()?;
    versions::<K>(read, owners, page.after.unwrap_or(i64::MAX), page.rows_wanted(), move |read, first, rows| {
        // For a page beyond the last version there is one row, without a version.
        let rows = if first.get::<_, Option<i64>>("version").is_none() { &[] } else { rows };
        let from_row = |row| Version::from_row(record_type, row);
        showing_one::<K>(read, listed(read, "Versions found", page, "before", None, rows, from_row))
    })
}

/// `GET …/{id}/history/{version}`
pub fn find<K: Kept>(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let owners = K::owners(actor);
    let record_type = K::record_type(owners.are_everybody());
    let version = read.request.id("version")?;
    // The second row says how the first began.
    versions::<K>(read, owners, version.saturating_add(1), 2, move |read, first, _| {
        if first.get::<_, Option<i64>>("version") != Some(version) {
            return Err(Error::NotFound("Version"));
        }
        let version = Version::from_row(record_type, first);
        showing_one::<K>(read, Response::success("Version found", version))
    })
}

/// Asks for the versions of the record in the path before this one. If there is no such mapping of the patient in the path, the patient
/// tells whether that is said under emergency access.
fn versions<K: Kept>(
    read: &Read,
    owners: Owners,
    before: i64,
    rows: i64,
    answer: impl FnOnce(&Read, &Row, &[Row]) -> Result<Response> + Send + 'static,
) -> Result<Ask> {
    let (id, patient_id) = (read.request.id("id")?, read.request.optional_id("patient_id")?);
    let question = owners.ask(&read.sql.history.list, &[&K::RESOURCE.word(), &id, &patient_id, &before, &rows])?;
    let missing = move |read: &Read| {
        let patient = owners.ask_for_patient(read.sql, patient_id.ok_or(Error::NotFound(K::NAME))?)?;
        Ok(Ask::one(patient, |_, _| Err(Error::NotFound(K::NAME))))
    };
    Ok(Ask::some_or(question, missing, answer))
}

/// A history counts as a read of its record.
fn showing_one<K: Kept>(read: &Read, response: Response) -> Result<Response> {
    let id = read.request.id("id")?;
    let shown = K::record_type(false).reads_of.map(|resource| Shown::Record(resource, id));
    Ok(Response { shown, ..response })
}

/// `GET …/deleted`: the last deleted first.
pub fn deleted<K: Kept>(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let mut query = read.request.query();
    let owners = K::owners(actor).only(query.id("created_by"));
    let page = Page { after: None, limit: query.limit() };
    let list = |request: &Request| request.path.trim_end_matches('/').to_string();
    let position: Option<(Timestamp, i64)> =
        query.sent("cursor").and_then(|cursor| read.cursors.open(&list(read.request), cursor));
    if query.sent("cursor").is_some() && position.is_none() {
        query.refuse("cursor", "must be the value from the Link header of this list");
    }
    query.finish()?;
    let (before_time, before_id) = position.unzip();
    let parameters: Parameters = &[&K::RESOURCE.word(), &before_time, &before_id, &page.rows_wanted()];
    Ok(Ask::many(owners.ask(&read.sql.history.deleted, parameters)?, move |read, rows| {
        let (records, more, response) = shown(read, "Deleted records found", page, None, &rows, Deleted::from_row);
        let next = records.last().filter(|_| more).map(|last| {
            let position = (last.deleted_at, last.id);
            link(read.request, "cursor", &read.cursors.seal(&list(read.request), &position))
        });
        let ids = || records.iter().map(Listed::id).collect();
        let shown = K::record_type(false).reads_of.map(|resource| Shown::List(resource, ids()));
        Ok(Response { shown, ..response.with_optional_header("Link", next) })
    }))
}

/// The id of the record in the path, which is to come back.
pub fn deleted_id(request: &Request) -> Result<i64> {
    if request.headers.get("if-match").is_some() {
        return Err(Error::invalid("If-Match", "must not be sent: a deleted record has no version to match"));
    }
    request.id("id")
}

/// Refuses a record that is there.
pub fn was_deleted(row: &Row, refusal: &'static str) -> Result<()> {
    if row.get("was_deleted") { Ok(()) } else { Err(Error::Conflict(refusal.into())) }
}

/// What came back.
pub fn with_mappings(name: &str, row: &Row) -> String {
    let (restored, all): (i64, i64) = (row.get("mappings_restored"), row.get("mappings"));
    format!("{name} brought back with {restored} of {all} mappings")
}
