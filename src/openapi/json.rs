//! JSON whose objects keep the order in which they are written, because people read the document too.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Truth(bool),
    /// A whole number; the document has no others.
    Number(i64),
    Text(Cow<'static, str>),
    List(Vec<Json>),
    /// An object, its members in order.
    Object(Vec<(Cow<'static, str>, Json)>),
}

/// `object! { "type": "string", "maxLength": 200 }`: an object with these members.
macro_rules! object {
    ($($name:literal: $value:expr),* $(,)?) => {
        $crate::openapi::json::Json::Object(vec![$(($name.into(), $crate::openapi::json::Json::from($value))),*])
    };
}

/// `list![1, 2]`: an array of these.
macro_rules! list {
    ($($value:expr),* $(,)?) => {
        $crate::openapi::json::Json::List(vec![$($crate::openapi::json::Json::from($value)),*])
    };
}

pub(super) use {list, object};

impl Json {
    /// The names of an object's fields, as a list.
    pub fn names(&self) -> Json {
        match self {
            Json::Object(fields) => Json::List(fields.iter().map(|(name, _)| Json::Text(name.clone())).collect()),
            _ => Json::List(Vec::new()),
        }
    }

    /// This object with one more member.
    pub fn with(self, name: impl Into<Cow<'static, str>>, value: impl Into<Json>) -> Json {
        let Json::Object(mut members) = self else { return self };
        members.push((name.into(), value.into()));
        Json::Object(members)
    }

    /// The same with this text, in place of the one that it may have, unless the text is empty.
    pub fn with_text(mut self, name: &'static str, text: &'static str) -> Json {
        if text.is_empty() {
            return self;
        }
        if let Json::Object(members) = &mut self {
            members.retain(|(present, _)| present != name);
        }
        self.with(name, text)
    }

    /// `{"$ref": "#/components/…"}`
    pub fn reference(kind: &str, name: &str) -> Json {
        object! { "$ref": format!("#/components/{kind}/{name}") }
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Json {
        Json::List(values.into_iter().map(Into::into).collect())
    }
}

impl From<()> for Json {
    fn from((): ()) -> Json {
        Json::Null
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Truth(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Json {
        Json::Number(value)
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Json {
        Json::Number(value.into())
    }
}

impl From<usize> for Json {
    fn from(value: usize) -> Json {
        Json::Number(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<&'static str> for Json {
    fn from(value: &'static str) -> Json {
        Json::Text(value.into())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Json {
        Json::Text(value.into())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Truth(value) => serializer.serialize_bool(*value),
            Json::Number(value) => serializer.serialize_i64(*value),
            Json::Text(value) => serializer.serialize_str(value),
            Json::List(values) => serializer.collect_seq(values),
            Json::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}
