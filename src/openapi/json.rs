//! JSON whose objects keep the order in which they are written, because people read the document too.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Json {
    Null,
    Truth(bool),
    /// A whole number; the document has no others.
    Number(i64),
    Text(Cow<'static, str>),
    List(Vec<Json>),
    /// An object, its members in order.
    #[serde(serialize_with = "members")]
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
    /// The names of an object's members.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Json::Object(members) => members.iter().map(|(name, _)| &**name).collect(),
            _ => Vec::new(),
        }
    }

    /// This object with one more member, whose name is new.
    pub fn with(self, name: impl Into<Cow<'static, str>>, value: impl Into<Json>) -> Json {
        let Json::Object(mut members) = self else { return self };
        let name = name.into();
        debug_assert!(members.iter().all(|(present, _)| *present != name), "{name} twice");
        members.push((name, value.into()));
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

/// What else becomes a value, and which.
macro_rules! become_json {
    ($($kind:ty => $json:expr,)*) => {
        $(impl From<$kind> for Json {
            fn from(value: $kind) -> Json {
                $json(value)
            }
        })*
    };
}

become_json! {
    () => |()| Json::Null,
    bool => Json::Truth,
    i64 => Json::Number,
    i32 => |number: i32| Json::Number(number.into()),
    usize => |number| Json::Number(i64::try_from(number).unwrap_or(i64::MAX)),
    &'static str => |text: &'static str| Json::Text(text.into()),
    String => |text: String| Json::Text(text.into()),
}

fn members<S: Serializer>(members: &[(Cow<'static, str>, Json)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
}
