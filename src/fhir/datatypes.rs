//! The data types of FHIR that our resources are made of, as JSON shows them. What is absent is not written.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

/// The code system of the types of identifiers.
const IDENTIFIER_TYPES: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";

/// The version of a resource.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub version_id: String,
    pub last_updated: Timestamp,
}

impl Meta {
    /// The version of a resource that shows one record and nothing else.
    pub fn of(version: i64, last_updated: Timestamp) -> Meta {
        Meta { version_id: version.to_string(), last_updated }
    }
}

#[derive(Serialize)]
pub struct Identifier<'a> {
    #[serde(rename = "use")]
    pub purpose: &'static str,
    #[serde(rename = "type")]
    pub kind: CodeableConcept<'a>,
    pub system: Cow<'a, str>,
    pub value: Cow<'a, str>,
}

#[derive(Default, Serialize)]
pub struct CodeableConcept<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coding: Option<[Coding; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
pub struct Coding {
    pub system: &'static str,
    pub code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<&'static str>,
}

#[derive(Serialize)]
pub struct HumanName<'a> {
    pub text: &'a str,
    pub family: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub given: &'a [&'a str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub prefix: &'a [&'a str],
}

#[derive(Serialize)]
pub struct ContactPoint<'a> {
    pub system: &'static str,
    pub value: Cow<'a, str>,
}

#[derive(Serialize)]
pub struct Address<'a> {
    pub text: Cow<'a, str>,
}

#[derive(Serialize)]
pub struct Reference<'a> {
    pub reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display: Option<Cow<'a, str>>,
}

impl<'a> Identifier<'a> {
    /// An identifier that this installation gives, with a type of the table v2-0203.
    pub fn usual(
        code: &'static str,
        system: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) -> Identifier<'a> {
        let kind = CodeableConcept::coded(Coding { system: IDENTIFIER_TYPES, code, display: None });
        Identifier { purpose: "usual", kind, system: system.into(), value: value.into() }
    }
}

impl<'a> CodeableConcept<'a> {
    /// A concept that has only its words.
    pub fn words(text: &'a str) -> CodeableConcept<'a> {
        CodeableConcept { coding: None, text: shown(text) }
    }

    /// A concept of a code system.
    pub fn coded(coding: Coding) -> CodeableConcept<'a> {
        CodeableConcept { coding: Some([coding]), text: None }
    }
}

/// The ways to reach somebody.
pub fn telecom<'a>(phone: Option<&'a str>, email: Option<&'a str>) -> Vec<ContactPoint<'a>> {
    let point = |system, text: Option<&'a str>| text.and_then(shown).map(|value| ContactPoint { system, value });
    point("phone", phone).into_iter().chain(point("email", email)).collect()
}

/// A text as R4 allows it: white space that its pattern refuses becomes a space. `None` if nothing is left.
pub fn shown(text: &str) -> Option<Cow<'_, str>> {
    let is_refused =
        |sign: char| sign == '\u{feff}' || (sign.is_whitespace() && !matches!(sign, ' ' | '\t' | '\r' | '\n'));
    // Most texts are plain, which is quickly seen.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let shown: Cow<str> = match !is_plain && text.contains(is_refused) {
        true => text.replace(is_refused, " ").trim().to_string().into(),
        false => text.trim().into(),
    };
    (!shown.is_empty()).then_some(shown)
}

/// The entity tag of a version: weak, as FHIR has it.
pub fn etag(version: &str) -> String {
    format!("W/\"{version}\"")
}
