//! What describes a route: what it takes, what it gives, and which refusals only some operations have.

use crate::request::Method;
use Gives::{Changed, Data, Elsewhere, List, Made, New, Nothing, Page, Record, Renewed, Taken};

/// The answer of an operation that succeeds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// 200 `success` with this; no version.
    Data(&'static str),
    /// 200 `success` with one record and its version.
    Record(&'static str),
    /// 200 `success` with an array of records.
    List(&'static str),
    /// 201 `created` with the new record.
    New(&'static str),
    /// 201 `created` with this; no version.
    Made(&'static str),
    /// 200 `updated` with the whole new record.
    Changed(&'static str),
    /// 200 `updated` with this; no version.
    Renewed(&'static str),
    /// 202 `success` without data.
    Taken,
    /// 200 with this word and without data.
    Nothing(&'static str),
    /// 200 with a body of this media type, outside the envelope.
    Page(&'static str),
    /// 303 without a body.
    Elsewhere,
}

/// What an answer shows as its data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    One(&'static str),
    Many(&'static str),
    Nothing,
}

impl Shows {
    /// The name of the schema of such an answer.
    pub fn answer(self) -> String {
        match self {
            Shows::One(name) => format!("{name}Answer"),
            Shows::Many(name) => format!("{name}ListAnswer"),
            Shows::Nothing => "EmptyAnswer".into(),
        }
    }
}

impl Gives {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            New(_) | Made(_) => 201,
            Taken => 202,
            Elsewhere => 303,
            _ => 200,
        }
    }

    /// The word of the envelope, if there is one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Data(_) | Record(_) | List(_) | Taken => Some("success"),
            New(_) | Made(_) => Some("created"),
            Changed(_) | Renewed(_) => Some("updated"),
            Nothing(word) => Some(word),
            Page(_) | Elsewhere => None,
        }
    }

    /// What the envelope shows, if there is one.
    pub fn shows(self) -> Option<Shows> {
        match self {
            Data(name) | Record(name) | New(name) | Made(name) | Changed(name) | Renewed(name) => {
                Some(Shows::One(name))
            }
            List(name) => Some(Shows::Many(name)),
            Taken | Nothing(_) => Some(Shows::Nothing),
            Page(_) | Elsewhere => None,
        }
    }
}

/// The description of one route.
pub struct Operation {
    pub method: Method,
    pub pattern: &'static str,
    /// Its name in generated clients.
    pub id: &'static str,
    /// The section that it belongs to.
    pub tag: &'static str,
    pub summary: &'static str,
    /// A few sentences, or nothing.
    pub about: &'static str,
    /// The schema of the body.
    pub takes: Option<&'static str>,
    pub gives: Gives,
    /// Whether a client can have it as CSV.
    pub has_csv: bool,
    /// The message of that answer.
    pub says: &'static str,
    /// The refusals that only some operations have, by their names in `answers.rs`.
    pub refuses: &'static [&'static str],
}

pub const fn in_section(
    tag: &'static str,
    method: Method,
    pattern: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    let gives = Gives::Nothing("success");
    Operation {
        method,
        pattern,
        id,
        tag,
        summary,
        about: "",
        takes: None,
        gives,
        has_csv: false,
        says: "",
        refuses: &[],
    }
}

impl Operation {
    pub const fn about(self, about: &'static str) -> Operation {
        Operation { about, ..self }
    }

    pub const fn takes(self, schema: &'static str) -> Operation {
        Operation { takes: Some(schema), ..self }
    }

    pub const fn gives(self, gives: Gives, says: &'static str) -> Operation {
        Operation { gives, says, ..self }
    }

    /// The description of a list that can be had as CSV.
    pub const fn about_table(self, about: &'static str) -> Operation {
        Operation { has_csv: true, about, ..self }
    }

    pub const fn refuses(self, refuses: &'static [&'static str]) -> Operation {
        Operation { refuses, ..self }
    }
}
