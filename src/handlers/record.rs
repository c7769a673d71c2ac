//! What all records share: id, version and entity tag, and the answers that show one. Most are shown straight from their row: a patient,
//! a doctor and a mapping field by field of their table in [`crate::records`], others by the names of their columns ([`Plain`]).

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::Date;
use postgres::Row;
use postgres::types::{FromSql, Type, accepts};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::audit::Resource;
use crate::db::Columns;
use crate::envelope::{Response, Shown};
use crate::error::{Emergency, Error, Result};
use crate::records::{Field, Kind};
use crate::request::Request;

/// What stands in a list.
pub trait Listed: Serialize {
    /// The id, from which the next page continues.
    fn id(&self) -> i64;
}

/// A record that has a version.
pub trait Record: Serialize {
    /// Changes with every value that the record shows; the ETag is made from it.
    fn version(&self) -> String;
    /// The name of such a record in the audit trail, if reads of it are recorded.
    fn reads_of(&self) -> Option<Resource> {
        None
    }
}

/// A type of record: what tells patients, doctors and mappings apart wherever they are handled alike.
#[derive(Clone, Copy)]
pub struct RecordType {
    /// Its fields.
    pub fields: &'static [Field],
    /// The column from which the ETag is made.
    pub version: &'static str,
    /// Its name in the audit trail, if reads of it are recorded.
    pub reads_of: Option<Resource>,
    /// Whether fields that are for admins are shown.
    pub for_admins: bool,
}

impl RecordType {
    /// The record in this row.
    pub fn of<'a>(&'static self, row: &'a Row) -> Stored<'a> {
        Stored { record_type: self, row, picked: None }
    }

    /// The fields that are shown: all, or the id and the picked ones.
    pub fn shown(&self, picked: Option<&[&'static str]>) -> impl Iterator<Item = &'static Field> {
        let is_picked = move |name| picked.is_none_or(|names| name == "id" || names.contains(&name));
        let for_admins = self.for_admins;
        self.fields.iter().filter(move |field| (for_admins || !field.for_admins) && is_picked(field.name))
    }
}

/// A record as it is stored: its row, which has a column for each field.
pub struct Stored<'a> {
    record_type: &'static RecordType,
    row: &'a Row,
    picked: Option<&'a [&'static str]>,
}

impl<'a> Stored<'a> {
    /// The same, showing only the id and these fields; everything if there are none.
    pub fn showing(self, picked: Option<&'a [&'static str]>) -> Stored<'a> {
        Stored { picked, ..self }
    }

    /// The value of a field.
    pub fn value(&self, field: &str) -> Option<Value<'a>> {
        self.row.get(field)
    }
}

impl Listed for Stored<'_> {
    fn id(&self) -> i64 {
        self.row.get("id")
    }
}

impl Record for Stored<'_> {
    fn version(&self) -> String {
        self.value(self.record_type.version).map(|version| version.to_string()).unwrap_or_default()
    }

    fn reads_of(&self) -> Option<Resource> {
        self.record_type.reads_of
    }
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let (mut object, mut columns) = (serializer.serialize_map(None)?, Columns::of(self.row));
        for field in self.record_type.shown(self.picked) {
            match field.kind {
                Kind::Part(fields, names) => {
                    object.serialize_entry(field.name, &Part { name: field.name, fields, names, row: self.row })?;
                }
                _ => object.serialize_entry(field.name, &columns.get::<Option<Value>>(field.name))?,
            }
        }
        object.end()
    }
}

/// What a record shows of another one; see [`Kind::Part`].
struct Part<'a> {
    name: &'static str,
    fields: &'static [Field],
    names: &'static [&'static str],
    row: &'a Row,
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.names.len()))?;
        for field in self.fields.iter().filter(|field| self.names.contains(&field.name)) {
            let column = format!("{}_{}", self.name, field.name);
            object.serialize_entry(field.name, &self.row.get::<_, Option<Value>>(column.as_str()))?;
        }
        object.end()
    }
}

/// A record that is shown as its row has it: the columns with these names, in this order. The first is the id.
pub struct Plain<'a>(pub &'static [&'static str], pub &'a Row);

impl Listed for Plain<'_> {
    fn id(&self) -> i64 {
        self.1.get(self.0[0])
    }
}

impl Record for Plain<'_> {
    fn version(&self) -> String {
        self.1.get::<_, i64>("version").to_string()
    }
}

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|column| (column, self.1.get::<_, Option<Value>>(*column))))
    }
}

/// A value of a row, as JSON shows it. The type of the column decides.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Value<'a> {
    /// `text`
    Text(&'a str),
    /// `bigint`, `integer`
    Number(i64),
    /// `date`
    Date(Date),
    /// `timestamptz`
    Time(Timestamp),
    /// `boolean`
    Truth(bool),
    /// `inet`
    Address(IpAddr),
    /// `bigint[]`
    Ids(Vec<i64>),
    /// `jsonb`: a record as it was stored.
    Record(serde_json::Value),
}

impl<'a> FromSql<'a> for Value<'a> {
    fn from_sql(
        column: &Type,
        bytes: &'a [u8],
    ) -> std::result::Result<Value<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *column {
            Type::INT8 => Value::Number(i64::from_sql(column, bytes)?),
            Type::INT4 => Value::Number(i32::from_sql(column, bytes)?.into()),
            Type::DATE => Value::Date(Date::from_sql(column, bytes)?),
            Type::TIMESTAMPTZ => Value::Time(Timestamp::from_sql(column, bytes)?),
            Type::BOOL => Value::Truth(bool::from_sql(column, bytes)?),
            Type::INET => Value::Address(IpAddr::from_sql(column, bytes)?),
            Type::INT8_ARRAY => Value::Ids(Vec::from_sql(column, bytes)?),
            Type::JSONB => Value::Record(times_in_utc(serde_json::Value::from_sql(column, bytes)?)),
            _ => Value::Text(<&str>::from_sql(column, bytes)?),
        })
    }

    accepts!(TEXT, INT8, INT4, DATE, TIMESTAMPTZ, BOOL, INET, INT8_ARRAY, JSONB);
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Text(text) => text.fmt(formatter),
            Value::Number(number) => number.fmt(formatter),
            Value::Date(date) => date.fmt(formatter),
            Value::Time(time) => time.fmt(formatter),
            Value::Address(address) => address.fmt(formatter),
            Value::Truth(_) | Value::Ids(_) | Value::Record(_) => serde_json::json!(self).fmt(formatter),
        }
    }
}

/// The strong entity tag of a version (RFC 9110, 8.8.3).
fn entity_tag(version: &str) -> String {
    format!("\"{version}\"")
}

/// 200 with the record, or 304 if the client already has this version.
pub fn found(request: &Request, message: &str, record: &(impl Listed + Record)) -> Response {
    let version = record.version();
    let mut response =
        if request.already_has(&version) { Response::empty(304) } else { Response::success(message, record) };
    response.shown = record.reads_of().map(|resource| Shown::Record(resource, record.id()));
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

/// Refuses a change of a patient, or of one of the patient's mappings, that is not among what the user is granted.
pub fn allowed(row: &Row) -> Result<()> {
    match row.get::<_, Option<bool>>("allowed") {
        Some(false) => Err(Error::ReadOnly.under(Emergency::of(row))),
        _ => Ok(()),
    }
}

/// Refuses a change of a record that is at none of the versions in `If-Match`.
pub fn matched(row: &Row) -> Result<()> {
    if row.get("matches") { Ok(()) } else { Err(Error::PreconditionFailed) }
}

/// PostgreSQL writes the times in a stored record with `+00:00`; this makes them look like every other time.
pub fn times_in_utc(mut record: serde_json::Value) -> serde_json::Value {
    for (name, value) in record.as_object_mut().into_iter().flatten() {
        if name.ends_with("_at")
            && let Some(time) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok())
        {
            *value = time.to_string().into();
        }
    }
    record
}
