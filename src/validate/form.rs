//! A JSON body, checked field by field.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::rules::{self, Checked, Rule, shown};
use crate::error::{Error, FieldError, FieldErrors, Result};
use crate::records::{Field, Set};

/// Whether all required fields must be present, or only the fields that are sent are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new record.
    Create,
    /// Changes to a record.
    Update,
}

/// The fields of a JSON body while they are being checked.
#[derive(Debug)]
pub struct Form {
    mode: Mode,
    sent: Map<String, Value>,
    accepted: Map<String, Value>,
    errors: FieldErrors,
    incomplete: bool,
}

impl Form {
    /// Reads the body as one JSON object. Anything else is `invalid`, and so are repeated keys.
    pub fn parse(body: &[u8], mode: Mode) -> Result<Form> {
        let Object { fields, repeated } = serde_json::from_slice(body).map_err(|error| {
            // The parser's message may quote the body; the position is enough to find the mistake.
            let place = format!("must be a JSON object (line {}, column {})", error.line(), error.column());
            Error::invalid("body", place)
        })?;
        if mode == Mode::Update && fields.is_empty() {
            return Err(Error::Incomplete(FieldError::new("body", "must have at least one field to change").into()));
        }
        let mut errors = FieldErrors::default();
        for name in &repeated {
            errors.push(FieldError::new(shown(name), "must not be repeated"));
        }
        Ok(Form { mode, errors, ..Form::of(fields) })
    }

    /// A new record whose fields were not sent as JSON.
    pub fn of(fields: Map<String, Value>) -> Form {
        Form {
            mode: Mode::Create,
            sent: fields,
            accepted: Map::new(),
            errors: FieldErrors::default(),
            incomplete: false,
        }
    }

    /// A field that must have a value. Text is trimmed, and blank text counts as missing.
    pub fn required(&mut self, name: &'static str, rule: impl Fn(Value) -> Checked<Value>) {
        match self.sent.remove(name).map(trimmed) {
            None if self.mode == Mode::Update => {}
            None | Some(Value::Null) => self.missing(name),
            Some(value) => self.check(name, value, rule),
        }
    }

    /// A field that may be absent or null. Blank text counts as null.
    pub fn optional(&mut self, name: &'static str, rule: impl Fn(Value) -> Checked<Value>) {
        match self.sent.remove(name).map(trimmed) {
            None => {}
            Some(Value::Null) => {
                self.accepted.insert(name.to_string(), Value::Null);
            }
            Some(value) => self.check(name, value, rule),
        }
    }

    /// A required text that is taken exactly as sent: a password or a token.
    pub fn required_verbatim(&mut self, name: &'static str, rule: impl Fn(&str) -> Checked<()>) {
        match self.sent.remove(name) {
            None | Some(Value::Null) => self.missing(name),
            Some(Value::String(text)) if text.is_empty() => self.missing(name),
            Some(Value::String(text)) => self.check(name, Value::String(text), |value| {
                rule(value.as_str().unwrap_or_default()).map(|()| value.clone())
            }),
            Some(_) => self.refuse(name, "must be a string"),
        }
    }

    /// The same for a text that may be absent or null, but not empty.
    pub fn optional_verbatim(&mut self, name: &'static str, rule: impl Fn(&str) -> Checked<()>) {
        match self.sent.get(name) {
            None | Some(Value::Null) => drop(self.sent.remove(name)),
            Some(Value::String(text)) if text.is_empty() => {
                self.sent.remove(name);
                self.refuse(name, "must not be empty");
            }
            Some(_) => self.required_verbatim(name, rule),
        }
    }

    /// Whether the field is there and has a value. Ask before a rule takes it.
    pub fn sends(&self, name: &str) -> bool {
        self.sent.get(name).is_some_and(|value| !trimmed(value.clone()).is_null())
    }

    /// Adds an error that concerns several fields.
    pub fn refuse(&mut self, name: &'static str, rule: impl Into<Rule>) {
        self.errors.push(FieldError::new(name, rule));
    }

    /// An accepted text, for rules that look at two fields.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.accepted.get(name).and_then(Value::as_str)
    }

    /// The fields of a record, each checked by the rule of its kind.
    pub fn record(mut self, fields: &[Field]) -> Result<Fields> {
        let mut read_only = Vec::new();
        for Field { name, kind, set, .. } in fields {
            match set {
                Set::ByServer => read_only.push(*name),
                Set::Always => self.required(name, |value| rules::check(*kind, value)),
                Set::Perhaps => self.optional(name, |value| rules::check(*kind, value)),
            }
        }
        self.finish(&read_only)
    }

    /// The accepted fields, if there was no error. `read_only` fields, which cannot be changed, are accepted and ignored, so that
    /// clients can send back a record that they read. An update with only read-only fields is refused. The error names every field,
    /// unknown ones included.
    pub fn finish(mut self, read_only: &[&str]) -> Result<Fields> {
        for name in self.sent.keys().filter(|name| !read_only.contains(&name.as_str())) {
            self.errors.push(FieldError::new(shown(name), "is not a field of this record"));
        }
        if self.errors.is_empty() && self.mode == Mode::Update && self.accepted.is_empty() {
            for (name, _) in self.sent {
                self.errors.push(FieldError::new(name, "cannot be changed"));
            }
        }
        match (self.errors.is_empty(), self.incomplete) {
            (true, _) => Ok(Fields(self.accepted)),
            (false, true) => Err(Error::Incomplete(self.errors)),
            (false, false) => Err(Error::Invalid(self.errors)),
        }
    }

    /// Adds the error that the field is required, unless the field is named already.
    pub fn missing(&mut self, name: &'static str) {
        self.incomplete = true;
        if !self.errors.iter().any(|error| error.field == name) {
            self.errors.push(FieldError::new(name, "is required"));
        }
    }

    fn check(&mut self, name: &'static str, value: Value, rule: impl Fn(Value) -> Checked<Value>) {
        match rule(value) {
            Ok(value) => {
                self.accepted.insert(name.to_string(), value);
            }
            Err(rule) => self.errors.push(FieldError::new(name, rule)),
        }
    }
}

/// Fields that passed every rule: only those that were sent, as they are stored. As a parameter of type `jsonb`: `Json(&fields)`.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// A text; empty if the field is optional and absent.
    pub fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_default()
    }

    /// A text that may be absent or null.
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A whole number that may be absent or null.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// A truth value that may be absent or null.
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }
}

/// A JSON object, and the keys that it has more than once, which serde's own map would not report.
#[derive(Default)]
struct Object {
    fields: Map<String, Value>,
    repeated: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Object, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Object, A::Error> {
                let mut object = Object::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    match object.fields.entry(name) {
                        Entry::Vacant(place) => drop(place.insert(value)),
                        Entry::Occupied(mut present) => {
                            object.repeated.insert(present.key().clone());
                            present.insert(value);
                        }
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Text without the white space around it; blank text is null.
fn trimmed(value: Value) -> Value {
    match value {
        Value::String(text) => match text.trim() {
            "" => Value::Null,
            trimmed => Value::String(trimmed.to_string()),
        },
        other => other,
    }
}
