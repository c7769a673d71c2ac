//! Fields → values. A [`Form`] reads a JSON body, a [`Query`] the query parameters; both collect every error before they
//! answer. The rules below them are pure functions from a value to the value that is stored.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use jiff::civil::Date;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, FieldError, Result};
use crate::request::{Decode, percent_decode};

/// A rule that a value breaks, as the end of a sentence: "must be …".
pub type Rule = Cow<'static, str>;

/// Turns what was sent into what is stored, or names the rule.
pub type Checked<T> = std::result::Result<T, Rule>;

/// The longest name of a person, in characters.
pub const NAME_MAX: usize = 200;
/// The longest e-mail address, in characters (RFC 5321, 4.5.3.1.3, without the angle brackets).
pub const EMAIL_MAX: usize = 254;
/// The longest telephone number, in characters.
pub const PHONE_MAX: usize = 32;
/// The longest postal address, in characters.
pub const ADDRESS_MAX: usize = 500;
/// The longest medical history, in characters.
pub const HISTORY_MAX: usize = 20_000;
/// The longest name of a specialization, in characters.
pub const SPECIALIZATION_MAX: usize = 120;
/// The longest licence number, in characters.
pub const LICENSE_MAX: usize = 64;
/// The longest experience, in years.
pub const EXPERIENCE_MAX: i64 = 80;
/// The longest notes on a mapping, in characters.
pub const NOTES_MAX: usize = 2_000;
/// The longest text filter of a list, in characters.
pub const FILTER_MAX: usize = if NAME_MAX > EMAIL_MAX { NAME_MAX } else { EMAIL_MAX };
/// The most records of one page.
pub const PAGE_MAX: i64 = 500;
/// The records of a page where the client does not say.
pub const PAGE_DEFAULT: i64 = 100;
/// The year of the earliest date of birth.
pub const BIRTH_YEAR_MIN: i16 = 1870;
/// FHIR administrative gender.
pub const GENDERS: [&str; 4] = ["male", "female", "other", "unknown"];

/// Whether all required fields must be there, or only those that are sent are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new record.
    Create,
    /// Changes to a record.
    Update,
}

/// The fields of a JSON body on their way to being checked.
#[derive(Debug)]
pub struct Form {
    mode: Mode,
    sent: Map<String, Value>,
    accepted: Map<String, Value>,
    errors: Vec<FieldError>,
    incomplete: bool,
}

impl Form {
    /// Reads the body as one JSON object.
    ///
    /// # Errors
    /// `invalid` for anything else, and for repeated keys.
    pub fn parse(body: &[u8], mode: Mode) -> Result<Form> {
        let object: Object = serde_json::from_slice(body).map_err(|error| {
            // The parser's own words may quote what was sent; the place is enough to find it.
            let place = format!("must be a JSON object (line {}, column {})", error.line(), error.column());
            Error::invalid("body", place)
        })?;
        let mut form = Form { mode, sent: Map::new(), accepted: Map::new(), errors: Vec::new(), incomplete: false };
        let mut repeated = HashSet::new();
        for (name, value) in object.0 {
            if form.sent.insert(name.clone(), value).is_some() && repeated.insert(name.clone()) {
                form.errors.push(FieldError::new(shown(&name), "must not be repeated"));
            }
        }
        if mode == Mode::Update && form.sent.is_empty() {
            return Err(Error::Incomplete(vec![FieldError::new("body", "must have at least one field to change")]));
        }
        Ok(form)
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

    /// Adds an error that concerns several fields.
    pub fn refuse(&mut self, name: &'static str, rule: impl Into<Rule>) {
        self.errors.push(FieldError::new(name, rule));
    }

    /// An accepted text, for rules that look at two fields.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.accepted.get(name).and_then(Value::as_str)
    }

    /// The accepted fields, once nothing is wrong with any. `read_only` fields, which the server sets, are accepted and
    /// ignored, so that a record that was read can be sent back.
    ///
    /// # Errors
    /// `incomplete` or `invalid`, naming every field, unknown ones included.
    pub fn finish(mut self, read_only: &[&str]) -> Result<Fields> {
        for name in self.sent.keys().filter(|name| !read_only.contains(&name.as_str())) {
            self.errors.push(FieldError::new(shown(name), "is not a field of this record"));
        }
        if self.errors.is_empty() && self.mode == Mode::Update && self.accepted.is_empty() {
            self.missing("body");
        }
        match (self.errors.is_empty(), self.incomplete) {
            (true, _) => Ok(Fields(self.accepted)),
            (false, true) => Err(Error::Incomplete(self.errors)),
            (false, false) => Err(Error::Invalid(self.errors)),
        }
    }

    fn missing(&mut self, name: &'static str) {
        self.incomplete = true;
        self.errors.push(FieldError::new(name, "is required"));
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

/// Fields that passed every rule: only those that were sent, as they are stored.
#[derive(Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// For a parameter of type `jsonb`.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// A text; empty where the field is optional and absent.
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

/// A JSON object with its keys in order, repeated ones kept, which serde's own map would drop.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Object, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
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

/// A field name that a client made up, cut to what is useful in an answer.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The query parameters of one request.
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The list continues behind (or, newest first, before) this id.
    pub after: Option<i64>,
    /// How many records at most.
    pub limit: i64,
}

impl Page {
    /// One more than the page shows tells whether there is more.
    pub fn rows_wanted(&self) -> i64 {
        self.limit + 1
    }
}

impl Query {
    /// Takes the query apart (WHATWG URL, application/x-www-form-urlencoded). Unknown and repeated parameters are errors.
    pub fn parse(raw: &str, known: &[&'static str]) -> Query {
        let mut query = Query { pairs: Vec::new(), errors: Vec::new() };
        if Query::pairs(raw).count() < raw.split('&').filter(|pair| !pair.is_empty()).count() {
            query.errors.push(FieldError::new("query", "must be percent-encoded UTF-8"));
        }
        for (name, value) in Query::pairs(raw) {
            if !known.contains(&name.as_str()) {
                query.errors.push(FieldError::new(shown(&name), "is not a query parameter of this path"));
            } else if query.pairs.iter().any(|(present, _)| *present == name) {
                query.errors.push(FieldError::new(shown(&name), "must not be repeated"));
            } else {
                query.pairs.push((name, value));
            }
        }
        query
    }

    /// The decoded names and values, in order; what is not percent-encoded UTF-8 is left out.
    pub(crate) fn pairs(raw: &str) -> impl Iterator<Item = (String, String)> + '_ {
        raw.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            percent_decode(name, Decode::Query).zip(percent_decode(value, Decode::Query))
        })
    }

    /// `limit` (1 to [`PAGE_MAX`], else [`PAGE_DEFAULT`]) and the id to continue from.
    pub fn page(&mut self, continues: &'static str) -> Page {
        let limit = self.read("limit", |text| match text.parse::<i64>() {
            Ok(limit @ 1..=PAGE_MAX) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(limit),
            _ => Err(format!("must be a whole number from 1 to {PAGE_MAX}").into()),
        });
        Page { after: self.id(continues), limit: limit.unwrap_or(PAGE_DEFAULT) }
    }

    /// An id.
    pub fn id(&mut self, name: &'static str) -> Option<i64> {
        self.read(name, parse_id)
    }

    /// A text filter as the pattern for `ilike`: any part, `%` and `_` literally.
    pub fn pattern(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |text| {
            let text = plain_text(text, FILTER_MAX, false)?;
            let mut pattern = String::with_capacity(text.len() + 2);
            pattern.push('%');
            for character in text.chars() {
                if matches!(character, '%' | '_' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(character);
            }
            pattern.push('%');
            Ok(pattern)
        })
    }

    /// A text as it is.
    pub fn plain(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |text| plain_text(text, FILTER_MAX, false))
    }

    /// A time (RFC 3339).
    pub fn timestamp(&mut self, name: &'static str) -> Option<jiff::Timestamp> {
        self.read(name, |text| text.parse().map_err(|_| "must be a time like 2026-01-31T09:30:00Z".into()))
    }

    /// Some of the known names, separated by commas.
    pub fn names(&mut self, name: &'static str, known: &'static [&'static str]) -> Option<Vec<&'static str>> {
        self.read(name, |text| {
            let names = text.split(',').map(|part| known.iter().copied().find(|known| *known == part.trim()));
            names.collect::<Option<_>>().ok_or_else(|| format!("must list some of {}", known.join(", ")).into())
        })
    }

    /// One of a few words.
    pub fn one_of(&mut self, name: &'static str, words: &'static [&'static str]) -> Option<String> {
        self.read(name, |text| match words.contains(&text) {
            true => Ok(text.to_string()),
            false => Err(format!("must be one of {}", words.join(", ")).into()),
        })
    }

    /// `true` or `false`.
    pub fn truth(&mut self, name: &'static str) -> Option<bool> {
        self.read(name, |text| text.parse().map_err(|_| "must be true or false".into()))
    }

    /// A date of birth.
    pub fn birth_date(&mut self, name: &'static str) -> Option<Date> {
        self.read(name, parse_birth_date)
    }

    /// Nothing was wrong with any parameter.
    ///
    /// # Errors
    /// `invalid`, naming every parameter.
    pub fn finish(self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors)) }
    }

    /// A blank parameter counts as absent.
    fn read<T>(&mut self, name: &'static str, rule: impl Fn(&str) -> Checked<T>) -> Option<T> {
        let text = self.pairs.iter().find(|(present, _)| present == name)?.1.trim();
        if text.is_empty() {
            return None;
        }
        match rule(text) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.errors.push(FieldError::new(name, rule));
                None
            }
        }
    }
}

/// A positive 64-bit integer in plain digits.
pub fn parse_id(text: &str) -> Checked<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<i64>() {
        Ok(id) if digits && id > 0 => Ok(id),
        _ => Err("must be a positive 64-bit integer in plain digits".into()),
    }
}

/// One line of text of at most `max` characters.
pub fn line(max: usize) -> impl Fn(Value) -> Checked<Value> {
    move |value| plain_text(string(&value)?, max, false).map(Value::from)
}

/// Text of at most `max` characters in which line breaks and tabs are welcome.
pub fn lines(max: usize) -> impl Fn(Value) -> Checked<Value> {
    move |value| plain_text(string(&value)?, max, true).map(Value::from)
}

/// A whole number within bounds; `5.0` is not one.
pub fn whole_number(least: i64, most: i64) -> impl Fn(Value) -> Checked<Value> {
    move |value| match value.as_i64() {
        Some(number) if (least..=most).contains(&number) => Ok(value),
        _ => Err(format!("must be a whole number from {least} to {most}").into()),
    }
}

/// The id of another record.
pub fn record_id(value: Value) -> Checked<Value> {
    match value.as_i64() {
        Some(id) if id > 0 => Ok(value),
        _ => Err("must be a positive 64-bit integer".into()),
    }
}

/// One of a few words.
pub fn one_of(words: &'static [&'static str]) -> impl Fn(Value) -> Checked<Value> {
    move |value| match value.as_str() {
        Some(word) if words.contains(&word) => Ok(value),
        _ => Err(format!("must be one of {}", words.join(", ")).into()),
    }
}

/// `true` or `false`.
pub fn truth(value: Value) -> Checked<Value> {
    if value.is_boolean() { Ok(value) } else { Err("must be true or false".into()) }
}

/// A date of birth; see [`parse_birth_date`].
pub fn birth_date(value: Value) -> Checked<Value> {
    parse_birth_date(value.as_str().unwrap_or_default()).map(|_| value)
}

/// A date like 1990-04-23 that exists, not before 1870 and not after tomorrow in UTC: it is tomorrow somewhere.
pub fn parse_birth_date(text: &str) -> Checked<Date> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let date: Date = match text.parse() {
        Ok(date) if shaped => date,
        _ => return Err("must be a date like 1990-04-23".into()),
    };
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let latest = today.tomorrow().unwrap_or(today);
    if date.year() < BIRTH_YEAR_MIN {
        Err(format!("must not be before {BIRTH_YEAR_MIN}-01-01").into())
    } else if date > latest {
        Err("must not be in the future".into())
    } else {
        Ok(date)
    }
}

/// An e-mail address as HTML defines it (WHATWG HTML, "valid e-mail address") with a dot in its domain, stored lower-case.
pub fn email(value: Value) -> Checked<Value> {
    let text = plain_text(string(&value)?, EMAIL_MAX, false)?;
    let valid = text.split_once('@').is_some_and(|(local, domain)| is_local_part(local) && is_domain(domain));
    if valid {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err("must be an e-mail address like name@example.org".into())
    }
}

fn is_local_part(local: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    (1..=64).contains(&local.len())
        && local.bytes().all(allowed)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(is_label)
}

/// A telephone number: at least 5 digits, else spaces and `+ - ( ) . /`; an extension (`x12`, `ext. 12`) may follow.
pub fn phone(value: Value) -> Checked<Value> {
    const RULE: &str =
        "must have at least 5 digits, else only spaces and + - ( ) . /, and may end with an extension like x12";
    let text = plain_text(string(&value)?, PHONE_MAX, false)?;
    let number = match text.find(['x', 'X', 'e', 'E']) {
        Some(start) if is_extension(&text[start..]) => &text[..start],
        Some(_) => return Err(RULE.into()),
        None => &text,
    };
    let allowed = |character: char| character.is_ascii_digit() || " +-()./".contains(character);
    let digits = number.chars().filter(char::is_ascii_digit).count();
    if digits >= 5 && number.chars().all(allowed) { Ok(text.into()) } else { Err(RULE.into()) }
}

fn is_extension(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let number = match text.strip_prefix("ext") {
        Some(rest) => rest.strip_prefix('.').unwrap_or(rest),
        None => text.strip_prefix('x').unwrap_or_default(),
    };
    let number = number.trim_start_matches(' ');
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn string(value: &Value) -> Checked<&str> {
    value.as_str().ok_or("must be a string".into())
}

/// Lengths count characters; control characters are refused, except for line breaks and tabs where they are welcome.
fn plain_text(text: &str, max: usize, lines: bool) -> Checked<String> {
    let refused = |character: char| character.is_control() && !(lines && matches!(character, '\n' | '\r' | '\t'));
    if text.chars().any(refused) {
        Err("must not contain control characters".into())
    } else if text.chars().count() > max {
        Err(format!("must have at most {max} characters").into())
    } else {
        Ok(text.to_string())
    }
}
