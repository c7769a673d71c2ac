//! The OpenAPI document as the tests read it, and a strict check of a value against one of its schemas.

use std::collections::BTreeSet;

use serde_json::Value;

/// The parsed document.
pub struct Document(pub Value);

/// One operation of it.
pub struct Operation<'a> {
    pub method: String,
    pub path: &'a str,
    pub id: &'a str,
    pub json: &'a Value,
}

impl Document {
    /// Every operation, in the document's order of paths.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.0["paths"].as_object().expect("paths").iter();
        let all = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.map(move |(method, json)| {
                let id = json["operationId"].as_str().expect("an operation id");
                Operation { method: method.to_uppercase(), path, id, json }
            })
        });
        all.collect()
    }

    /// The operation of this id.
    pub fn operation(&self, id: &str) -> Operation<'_> {
        self.operations()
            .into_iter()
            .find(|operation| operation.id == id)
            .unwrap_or_else(|| panic!("no operation {id}"))
    }

    /// The thing itself, where it is a reference to it.
    pub fn resolve<'a>(&'a self, thing: &'a Value) -> &'a Value {
        match thing["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                self.0.pointer(pointer).unwrap_or_else(|| panic!("nothing at {reference}"))
            }
            None => thing,
        }
    }

    /// The response of an operation to a status: its own, or the one for all others.
    pub fn response<'a>(&'a self, operation: &Operation<'a>, status: u16) -> &'a Value {
        let responses = &operation.json["responses"];
        let response = responses.get(status.to_string()).or_else(|| responses.get("default"));
        self.resolve(response.unwrap_or_else(|| panic!("{} does not document {status}", operation.id)))
    }

    /// Everything that is wrong with a value. Strict: a field that the schema does not name is wrong, too.
    pub fn complaints(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        self.check(schema, value, "", &mut complaints);
        complaints
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let mut must = |holds: bool, rule: &str| {
            if !holds {
                complaints.push(format!("{at} breaks {rule} of {schema}: {value}"));
            }
        };
        must(schema.get("type").is_none_or(|types| is_of_type(types, value)), "type");
        must(schema["enum"].as_array().is_none_or(|words| words.contains(value)), "enum");
        let members = value.as_object().map_or(0, |members| members.len() as u64);
        must(schema["maxProperties"].as_u64().is_none_or(|most| members <= most), "maxProperties");
        if let Some(text) = value.as_str() {
            let count = text.chars().count() as u64;
            must(schema["maxLength"].as_u64().is_none_or(|most| count <= most), "maxLength");
            must(schema["minLength"].as_u64().is_none_or(|least| count >= least), "minLength");
            must(has_format(schema["format"].as_str(), text), "format");
        }
        if let Some(number) = value.as_i64() {
            must(schema["maximum"].as_i64().is_none_or(|most| number <= most), "maximum");
            must(schema["minimum"].as_i64().is_none_or(|least| number >= least), "minimum");
        }
        if let Some(values) = value.as_array() {
            must(schema["minItems"].as_u64().is_none_or(|least| values.len() as u64 >= least), "minItems");
            let items = schema.get("items").unwrap_or(&Value::Null);
            must(values.is_empty() || !items.is_null(), "items");
            for (place, value) in values.iter().enumerate() {
                self.check(items, value, &format!("{at}/{place}"), complaints);
            }
        }
        if let Some(members) = value.as_object() {
            self.check_members(schema, members, at, complaints);
        }
    }

    fn check_members(
        &self,
        schema: &Value,
        members: &serde_json::Map<String, Value>,
        at: &str,
        complaints: &mut Vec<String>,
    ) {
        // An object without named properties is any object: the record in an audit entry.
        let Some(properties) = schema["properties"].as_object() else { return };
        for name in names(&schema["required"]) {
            if !members.contains_key(&name) {
                complaints.push(format!("{at}/{name} is missing"));
            }
        }
        for (name, value) in members {
            match properties.get(name) {
                Some(schema) => self.check(schema, value, &format!("{at}/{name}"), complaints),
                None => complaints.push(format!("{at}/{name} is not in the document")),
            }
        }
    }
}

/// An array of strings as a set; empty if there is none.
pub fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_string)).collect()
}

fn is_of_type(types: &Value, value: &Value) -> bool {
    let holds = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => panic!("a type that this check does not know: {other:?}"),
    };
    types.as_array().map_or_else(|| holds(types), |types| types.iter().any(holds))
}

fn has_format(format: Option<&str>, text: &str) -> bool {
    match format {
        None | Some("password" | "int64") => true,
        Some("date") => text.parse::<jiff::civil::Date>().is_ok(),
        Some("date-time") => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        Some("email") => text.split_once('@').is_some_and(|(_, domain)| domain.contains('.')),
        Some(other) => panic!("a format that this check does not know: {other}"),
    }
}
