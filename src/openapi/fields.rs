//! JSON Schemas of single values. Each limit is the constant that `validate/` enforces.

use std::borrow::Cow;

use super::json::{Json, list, object};
use crate::validate::{BIRTH_YEAR_MIN, EMAIL_MAX, PHONE_MAX};

/// Characters that a line must not contain: control characters, line breaks, and those that change the direction of text.
const REFUSED: &str = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069";
/// Invisible characters, as far as four hex digits reach: dialects of regular expressions differ in how they write longer ones.
const INVISIBLE: &str = r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb";
/// Marks that need a letter to be seen on.
const MARKS: &str = r"\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f";
/// White space that may part words.
const BLANK: &str = r"\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
/// No control characters.
const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// No control characters but line breaks and tabs.
const SOME_LINES: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";
/// At least five digits and an optional extension; or blank, which counts as null.
const PHONE: &str = r"^([ +().\/-]*([0-9][ +().\/-]*){5,}(([xX]|[eE][xX][tT]\.?) *[0-9]+)?)?$";

/// A time, or blank.
const TIME_OR_BLANK: &str = r"^(\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2}))?$";
/// An e-mail address, with at most 64 characters before the `@`; or blank.
const EMAIL_OR_BLANK: &str = concat!(
    "^((?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
    "(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+)?$",
);

/// One line of text that must not be blank.
pub fn line(max: usize) -> Json {
    object! { "type": "string", "maxLength": max, "pattern": format!("^{}$", visible()) }
}

/// The same, or blank, which counts as null.
pub fn line_or_blank(max: usize) -> Json {
    object! { "type": "string", "maxLength": max, "pattern": format!("^({}|\\s*)$", visible()) }
}

/// One line of text without invisible characters; it may be blank.
pub fn visible_line(max: usize) -> Json {
    object! { "type": "string", "maxLength": max, "pattern": format!("^[^{REFUSED}{INVISIBLE}]*$") }
}

/// Text without [`REFUSED`] characters and with at least one visible character.
fn visible() -> String {
    format!("[^{REFUSED}]*[^{REFUSED}\\s{INVISIBLE}{MARKS}][^{REFUSED}]*")
}

/// A text to search for.
pub fn filter(max: usize) -> Json {
    object! { "type": "string", "maxLength": max, "pattern": ONE_LINE }
}

/// Words to search for.
pub fn words(max: usize, max_words: usize) -> Json {
    let word = format!("[^{BLANK}\\u0000-\\u001f\\u007f-\\u009f]+");
    let pattern = format!("^[{BLANK}]*({word}([{BLANK}]+|$)){{0,{max_words}}}$");
    object! { "type": "string", "maxLength": max, "pattern": pattern }
}

/// Text in which line breaks and tabs are welcome.
pub fn lines(max: usize) -> Json {
    object! { "type": "string", "maxLength": max, "pattern": SOME_LINES }
}

pub fn phone() -> Json {
    object! {
        "type": "string", "maxLength": PHONE_MAX, "pattern": PHONE,
        "description": "At least 5 digits; spaces and `+ - ( ) . /` are allowed between them. An extension like `x12` or `ext. 12` may follow.",
    }
}

pub fn email() -> Json {
    object! {
        "type": "string", "format": "email", "maxLength": EMAIL_MAX,
        "description": "The domain must contain a dot. Stored in lower case.",
    }
}

pub fn birth_date() -> Json {
    object! {
        "type": "string", "format": "date",
        "description": format!("Not before {BIRTH_YEAR_MIN}-01-01 and not after tomorrow in UTC, since it may already be tomorrow where the client is."),
    }
}

pub fn id() -> Json {
    object! { "type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX }
}

pub fn new_password(min: usize, max_bytes: usize) -> Json {
    object! {
        "type": "string", "format": "password", "minLength": min, "maxLength": max_bytes, "pattern": ONE_LINE,
        "description": format!(
            "Used exactly as sent, never trimmed. At most {max_bytes} bytes of UTF-8, without control characters. It must not be a common password, the \
             e-mail address, or the part of the address before the `@`."
        ),
    }
}

/// A password or a token to be compared with a stored one.
pub fn secret() -> Json {
    object! { "type": "string", "minLength": 1 }
}

pub fn time() -> Json {
    object! { "type": "string", "format": "date-time" }
}

pub fn one_of(words: &[&'static str]) -> Json {
    object! { "type": "string", "enum": words.iter().copied().collect::<Json>() }
}

pub fn text() -> Json {
    object! { "type": "string" }
}

/// `true` or `false`.
pub fn truth() -> Json {
    object! { "type": "boolean" }
}

/// A whole number from 0.
pub fn count() -> Json {
    object! { "type": "integer", "minimum": 0 }
}

/// Any number of these.
pub fn array(items: Json) -> Json {
    object! { "type": "array", "items": items }
}

/// Null. An object without members stands beside it, since few programs that read the document know a type of null alone.
pub fn nothing() -> Json {
    object! { "type": list!["object", "null"], "additionalProperties": false, "description": "Always null." }
}

/// This schema with a description.
pub fn describe(schema: Json, text: &'static str) -> Json {
    schema.with_text("description", text)
}

/// A time that a client sends, or blank, which counts as null.
pub fn time_or_blank() -> Json {
    object! { "type": "string", "pattern": TIME_OR_BLANK, "maxLength": 35 }
}

/// The same, or null. Blank text counts as null: a `pattern` can allow it, a `format` cannot.
pub fn or_null(schema: Json) -> Json {
    let Json::Object(members) = schema else { return schema };
    let nullable = |(name, value): (Cow<'static, str>, Json)| match (&*name, value) {
        ("type", value) => (name, list![value, "null"]),
        ("format", value) if value == "email".into() => ("pattern".into(), EMAIL_OR_BLANK.into()),
        // Only the listed values are allowed, so null is one of them.
        ("enum", Json::List(words)) => (name, words.into_iter().chain([Json::Null]).collect()),
        (_, value) => (name, value),
    };
    Json::Object(members.into_iter().map(nullable).collect())
}
