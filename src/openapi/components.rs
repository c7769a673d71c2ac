//! Components of the document from their fields: records as they are shown, and forms as they are taken.

use std::borrow::Cow;

use super::fields::{describe, or_null};
use super::json::{Json, object};
use crate::records::Set;

/// A component of the document.
pub struct Schema {
    /// Its name.
    pub name: Cow<'static, str>,
    /// The JSON Schema.
    pub json: Json,
    /// A valid value.
    pub example: Json,
}

/// A field as the document shows it.
pub struct Field {
    pub name: &'static str,
    pub set: Set,
    pub schema: Json,
    pub example: Json,
    /// Whether some answers lack it.
    pub may_be_absent: bool,
}

impl Field {
    /// The same with a description.
    pub fn about(self, about: &'static str) -> Field {
        Field { schema: describe(self.schema, about), ..self }
    }

    /// The same, but some answers lack it.
    pub fn or_absent(self) -> Field {
        Field { may_be_absent: true, ..self }
    }
}

pub fn server(name: &'static str, schema: Json, example: impl Into<Json>) -> Field {
    Field { name, set: Set::ByServer, schema, example: example.into(), may_be_absent: false }
}

pub fn required(name: &'static str, schema: Json, example: impl Into<Json>) -> Field {
    Field { set: Set::Always, ..server(name, schema, example) }
}

pub fn optional(name: &'static str, schema: Json, example: impl Into<Json>) -> Field {
    Field { set: Set::Perhaps, ..server(name, or_null(schema), example) }
}

/// A record as the server shows it.
pub fn answer(name: &'static str, fields: &[Field]) -> Schema {
    let example = example(fields.iter().filter(|field| !field.may_be_absent));
    Schema { name: name.into(), json: schema(fields, |field| !field.may_be_absent), example }
}

/// The fields of a new record.
pub fn new(name: &'static str, fields: &[Field]) -> Schema {
    let json = schema(&ignoring(fields), |field| field.set == Set::Always);
    Schema {
        name: name.into(),
        json: json.with("additionalProperties", false),
        example: example(fields.iter().filter(|field| field.set != Set::ByServer)),
    }
}

/// Changes to an existing record: any of its fields.
pub fn changes(name: &'static str, fields: &[Field]) -> Schema {
    let json = schema(&ignoring(fields), |_| false);
    let json = json.with("minProperties", 1).with("additionalProperties", false);
    let last = fields.iter().rfind(|field| field.set != Set::ByServer);
    let last = last.map(|field| (field.name.into(), field.example.clone()));
    Schema { name: name.into(), json, example: Json::Object(last.into_iter().collect()) }
}

/// The same fields for a request. Clients may send the server's fields back with a record that they read; they are ignored.
fn ignoring(fields: &[Field]) -> Vec<Field> {
    let ignored = |schema: Json| schema.with("readOnly", true).with_text("description", "Ignored.");
    let schema = |field: &Field| match field.set {
        Set::ByServer => ignored(field.schema.clone()),
        _ => field.schema.clone(),
    };
    fields.iter().map(|field| Field { schema: schema(field), example: Json::Null, ..*field }).collect()
}

/// The schema of an object with these fields.
pub fn schema(fields: &[Field], required: impl Fn(&Field) -> bool) -> Json {
    let names: Vec<&'static str> = fields.iter().filter(|field| required(field)).map(|field| field.name).collect();
    let properties = fields.iter().map(|field| (field.name.into(), field.schema.clone())).collect();
    let json = object! { "type": "object", "properties": Json::Object(properties) };
    if names.is_empty() { json } else { json.with("required", names.into_iter().collect::<Json>()) }
}

/// An object that has these fields.
pub fn example<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Json {
    Json::Object(fields.into_iter().map(|field| (field.name.into(), field.example.clone())).collect())
}
