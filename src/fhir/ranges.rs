//! The dates of a search, as ranges: a partial date is one, a prefix takes a side of it, a comma joins ranges, and a repeated parameter
//! intersects them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use super::outcome::{bad_value, not_supported};
use crate::error::Result;
use crate::validate::parse_time;

/// Disjoint ranges, the earliest first. Each begins with its start and ends before its stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges<T>(pub Vec<(T, T)>);

/// A type whose values lie in ranges: the day of a birth, the time of a change.
pub trait Moment: Copy + Ord {
    /// The earliest and the latest value.
    const ENDS: (Self, Self);
    /// The range of a text that has no prefix any more.
    fn range(name: &str, text: &str) -> Result<(Self, Self)>;
}

impl<T: Moment> Ranges<T> {
    /// The ranges of a parameter: one of these texts must fit.
    pub fn of(name: &str, texts: &[String]) -> Result<Ranges<T>> {
        let mut ranges = Vec::new();
        for text in texts {
            let (prefix, rest) = match text.split_at_checked(2) {
                Some((prefix, rest)) if prefix.bytes().all(|byte| byte.is_ascii_lowercase()) => (prefix, rest),
                _ => ("eq", text.as_str()),
            };
            let (start, stop) = T::range(name, rest)?;
            let (first, last) = T::ENDS;
            match prefix {
                "eq" => ranges.push((start, stop)),
                "ne" => ranges.extend([(first, start), (stop, last)]),
                "gt" | "sa" => ranges.push((stop, last)),
                "lt" | "eb" => ranges.push((first, start)),
                "ge" => ranges.push((start, last)),
                "le" => ranges.push((first, stop)),
                _ => return Err(not_supported(format!("{name} does not support the prefix {prefix}"))),
            }
        }
        Ok(Ranges(ranges).joined())
    }

    /// The starts and the ends.
    pub fn bounds(&self) -> (Vec<T>, Vec<T>) {
        self.0.iter().copied().unzip()
    }

    /// Whether one of them has this moment.
    pub fn contain(&self, moment: T) -> bool {
        self.0.iter().any(|(start, stop)| (*start..*stop).contains(&moment))
    }

    /// The values that are in both.
    pub fn and(self, other: &Ranges<T>) -> Ranges<T> {
        let pairs = self.0.iter().flat_map(|one| other.0.iter().map(move |two| (one.0.max(two.0), one.1.min(two.1))));
        Ranges(pairs.collect()).joined()
    }

    fn joined(mut self) -> Ranges<T> {
        self.0.retain(|(start, stop)| start < stop);
        self.0.sort_unstable();
        let mut joined: Vec<(T, T)> = Vec::new();
        for (start, stop) in self.0 {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(stop),
                _ => joined.push((start, stop)),
            }
        }
        Ranges(joined)
    }
}

impl Moment for Date {
    const ENDS: (Date, Date) = (Date::constant(1, 1, 1), Date::MAX);

    fn range(name: &str, text: &str) -> Result<(Date, Date)> {
        match dates(text) {
            Some(range) => Ok(range),
            None if text.contains('T') => Err(not_supported(format!("{name} is a date without a time"))),
            None => {
                Err(bad_value(format!("{name} must be a date like 1990, 1990-04 or 1990-04-23, with a prefix like ge")))
            }
        }
    }
}

impl Moment for Timestamp {
    // PostgreSQL and a sealed cursor can hold these as well.
    const ENDS: (Timestamp, Timestamp) = (Timestamp::constant(-62_135_596_800, 0), Timestamp::MAX);

    fn range(name: &str, text: &str) -> Result<(Timestamp, Timestamp)> {
        let moment = |date: Date| date.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp());
        if let Some((start, stop)) = dates(text) {
            return Ok((moment(start), moment(stop)));
        }
        let range = times(text);
        range.ok_or_else(|| bad_value(format!("{name} must be a time like 2026-01-05T08:31:00Z or a part of it")))
    }
}

/// The days of `1990`, `1990-04` or `1990-04-23`.
fn dates(text: &str) -> Option<(Date, Date)> {
    let is_shaped = text
        .bytes()
        .enumerate()
        .all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    let (full, length): (String, Span) = match text.len() {
        4 => (format!("{text}-01-01"), 1.year()),
        7 => (format!("{text}-01"), 1.month()),
        10 => (text.to_string(), 1.day()),
        _ => return None,
    };
    let start: Date = full.parse().ok().filter(|date: &Date| is_shaped && date.year() >= 1)?;
    Some((start, start.checked_add(length).unwrap_or(Date::MAX)))
}

/// The minute, second or microsecond of a time, which is in UTC if it says nothing else.
fn times(text: &str) -> Option<(Timestamp, Timestamp)> {
    // In a query, the + of an offset has become a space.
    let text = text.replace(' ', "+");
    let (date, clock) = text.split_once('T')?;
    let zone = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(zone);
    let (seconds, length) = match clock.len() {
        5 => (":00", 1.minute()),
        8 => ("", 1.second()),
        _ => ("", 1.microsecond()),
    };
    let zone = if zone.is_empty() { "Z" } else { zone };
    let start = parse_time(&format!("{date}T{clock}{seconds}{zone}")).ok()?;
    Some((start, start.checked_add(length).unwrap_or(Timestamp::MAX)))
}
