//! The query parameters of a request, read one by one.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;

use super::rules::{
    Checked, FILTER_MAX, PAGE_DEFAULT, PAGE_MAX, Rule, WORDS_LENGTH_MAX, WORDS_MAX, parse_birth_date, parse_id,
    parse_time, plain_text, shown,
};
use crate::error::{Error, FieldError, FieldErrors, Result};
use crate::percent;
use crate::records::Field;

/// The one parameter that may be repeated.
const REPEATABLE: &str = "fields";

/// The query parameters of one request.
pub struct QueryParameters {
    /// One for each known name, except [`REPEATABLE`].
    pairs: Vec<(String, String)>,
    errors: FieldErrors,
}

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The list continues after (or, newest first, before) this id.
    pub after: Option<i64>,
    /// How many records at most.
    pub limit: i64,
}

impl Page {
    /// One more than the page shows, to find out whether there are more records.
    pub fn rows_wanted(&self) -> i64 {
        self.limit + 1
    }
}

impl QueryParameters {
    /// Parses the query (WHATWG URL, application/x-www-form-urlencoded). Unknown and repeated parameters are errors.
    pub fn parse(raw: &str, known: &[&'static str]) -> QueryParameters {
        let mut query = QueryParameters { pairs: Vec::new(), errors: FieldErrors::default() };
        if QueryParameters::pairs(raw).count() < raw.split('&').filter(|pair| !pair.is_empty()).count() {
            query.refuse("query", "must be percent-encoded UTF-8");
        }
        for (name, value) in QueryParameters::pairs(raw) {
            if !known.contains(&name.as_str()) {
                query.refuse(shown(&name), "is not a query parameter of this path");
            } else if name != REPEATABLE && query.sent(&name).is_some() {
                query.refuse(name, "must not be repeated");
            } else {
                query.pairs.push((name, value));
            }
        }
        query
    }

    /// The decoded names and values, in order. Pairs that are not percent-encoded UTF-8 are left out.
    pub(crate) fn pairs(raw: &str) -> impl Iterator<Item = (String, String)> + '_ {
        raw.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent::decode(&text.replace('+', " "));
            decoded(name).zip(decoded(value))
        })
    }

    /// `limit` (1 to `PAGE_MAX`, else `PAGE_DEFAULT`) and the id to continue from.
    pub fn page(&mut self, continues: &'static str) -> Page {
        Page { limit: self.limit(), after: self.id(continues) }
    }

    /// `limit` alone.
    pub fn limit(&mut self) -> i64 {
        let limit = self.read("limit", |text| match text.parse::<i64>() {
            Ok(limit @ 1..=PAGE_MAX) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(limit),
            _ => Err(format!("must be a whole number from 1 to {PAGE_MAX}").into()),
        });
        limit.unwrap_or(PAGE_DEFAULT)
    }

    /// An id.
    pub fn id(&mut self, name: &'static str) -> Option<i64> {
        self.read(name, parse_id)
    }

    /// A text filter: any part of a text.
    pub fn part(&mut self, name: &'static str) -> Option<String> {
        self.read(name, |text| plain_text(text, FILTER_MAX, false))
    }

    /// Words parted by white space, the longest first, since few records have it.
    pub fn words(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.read(name, |text| {
            let text = plain_text(text, WORDS_LENGTH_MAX, true)?;
            let mut words: Vec<String> = text.split_whitespace().map(str::to_string).collect();
            if words.len() > WORDS_MAX {
                return Err(format!("must have at most {WORDS_MAX} words").into());
            }
            words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
            Ok(words)
        })
    }

    /// `fields`: the names of some fields, separated by commas or each in a parameter of its own.
    pub fn fields(&mut self, fields: &'static [Field]) -> Option<Vec<&'static str>> {
        let known = || fields.iter().map(|field| field.name);
        let sent = self.pairs.iter().filter(|(name, _)| name == REPEATABLE).flat_map(|(_, value)| value.split(','));
        let names = sent.map(|part| known().find(|known| *known == part.trim()));
        match names.collect::<Option<Vec<_>>>() {
            Some(names) => (!names.is_empty()).then_some(names),
            None => {
                self.refuse(
                    REPEATABLE,
                    format!("must list only these names: {}", known().collect::<Vec<_>>().join(", ")),
                );
                None
            }
        }
    }

    /// One of a few words.
    pub fn one_of(&mut self, name: &'static str, words: &[&str]) -> Option<String> {
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

    /// A time with any offset.
    pub fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        self.read(name, parse_time)
    }

    /// A value exactly as it was sent; it may be blank.
    pub fn sent(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// Adds an error. Each parameter is named once.
    pub fn refuse(&mut self, name: impl Into<Cow<'static, str>>, rule: impl Into<Rule>) {
        let error = FieldError::new(name, rule);
        if !self.errors.iter().any(|present| present.field == error.field) {
            self.errors.push(error);
        }
    }

    /// Succeeds if there was no error in any parameter. The error names every parameter.
    pub fn finish(self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors)) }
    }

    /// A blank parameter counts as absent.
    fn read<T>(&mut self, name: &'static str, rule: impl Fn(&str) -> Checked<T>) -> Option<T> {
        let text = self.sent(name)?.trim();
        if text.is_empty() {
            return None;
        }
        match rule(text) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.refuse(name, rule);
                None
            }
        }
    }
}
