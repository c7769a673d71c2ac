//! The rules: pure functions from what was sent to what is stored.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde_json::Value;

use crate::address::is_email;
use crate::records::Kind;

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
/// The longest text filter of a list, in characters.
pub const FILTER_MAX: usize = if NAME_MAX > EMAIL_MAX { NAME_MAX } else { EMAIL_MAX };
/// The most characters and the most words of `q`.
pub const WORDS_LENGTH_MAX: usize = 200;
pub const WORDS_MAX: usize = 10;
/// The most records of one page.
pub const PAGE_MAX: i64 = 500;
/// The records of a page if the client does not say.
pub const PAGE_DEFAULT: i64 = 100;
/// The year of the earliest date of birth.
pub const BIRTH_YEAR_MIN: i16 = 1870;

/// The rule of a kind.
pub fn check(kind: Kind, value: Value) -> Checked<Value> {
    match kind {
        Kind::Line(max) => line(max)(value),
        Kind::VisibleLine(max) => visible_line(max)(value),
        Kind::Lines(max) => lines(max)(value),
        Kind::Phone => phone(value),
        Kind::Email => email(value),
        Kind::BirthDate => birth_date(value),
        Kind::OneOf(words) => one_of(words)(value),
        Kind::Number(least, most) => whole_number(least, most)(value),
        Kind::Id => record_id(value),
        Kind::Time | Kind::Part(..) => Err("is set by the server".into()),
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

/// One line of text of at most `max` characters, such as a name. It must be visible, and read in the order in which it is stored.
pub fn line(max: usize) -> impl Fn(Value) -> Checked<Value> {
    move |value| {
        let text = plain_text(string(&value)?, max, false)?;
        if text.contains(['\u{2028}', '\u{2029}']) {
            Err("must not contain line breaks".into())
        } else if text.chars().any(is_bidi_control) {
            Err("must not contain characters that change the direction of text".into())
        } else if text.chars().all(|character| character.is_whitespace() || !shows(character)) {
            Err("must have a visible character".into())
        } else {
            Ok(text.into())
        }
    }
}

/// The same for a licence number, in which every character must be visible: nobody could tell two numbers apart that differ by an
/// invisible character.
pub fn visible_line(max: usize) -> impl Fn(Value) -> Checked<Value> {
    move |value| {
        let value = line(max)(value)?;
        if string(&value)?.chars().any(is_invisible) {
            return Err("must not contain invisible characters".into());
        }
        Ok(value)
    }
}

/// How many characters of a text can be seen, the blanks between them among these.
pub fn visible_length(text: &str) -> usize {
    text.chars().filter(|character| shows(*character)).count()
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

/// A date like 1990-04-23 that exists, not before 1870 and not after tomorrow in UTC, since it may already be tomorrow where the
/// client is.
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

/// A time like 2026-01-05T08:31:00Z, with any offset (RFC 3339), in the years 1 to 9999. Stored times are whole microseconds: the
/// next one stands for a time between two of them, so that comparing with it is comparing with what was sent.
pub fn parse_time(text: &str) -> Checked<Timestamp> {
    const RULE: &str = "must be a time like 2026-01-05T08:31:00Z; in a URL, the + of an offset is written %2B";
    let parsed = || {
        let (date_and_time, offset) = match text.strip_suffix(['Z', 'z']) {
            Some(utc) => (utc, Offset::UTC),
            None => {
                let (date_and_time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
                (date_and_time, parse_offset(offset)?)
            }
        };
        let bytes = date_and_time.as_bytes();
        let shaped = bytes.len() >= 19
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                10 => byte.eq_ignore_ascii_case(&b'T'),
                13 | 16 => *byte == b':',
                19 => *byte == b'.',
                _ => byte.is_ascii_digit(),
            });
        let local: DateTime = shaped.then(|| date_and_time.parse().ok())??;
        (local.year() >= 1).then_some((local, offset))
    };
    let (local, offset) = parsed().ok_or(RULE)?;
    // The last hours of the year 9999 are beyond what a timestamp holds, and after every entry.
    let time = offset.to_timestamp(local).unwrap_or(Timestamp::MAX);
    let microseconds = -(-time.as_nanosecond()).div_euclid(1000);
    let rounded = i64::try_from(microseconds).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    Ok(rounded.unwrap_or(time))
}

/// `+01:00`
fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, hours_and_minutes) = text.split_at_checked(1)?;
    let (hours, minutes) = hours_and_minutes.split_once(':')?;
    let number = |digits: &str, most: i32| {
        let shaped = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i32>().ok().filter(|number| shaped && *number <= most)
    };
    let seconds = (number(hours, 23)? * 60 + number(minutes, 59)?) * 60;
    match sign {
        "+" => Offset::from_seconds(seconds).ok(),
        "-" => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

/// An e-mail address as HTML defines it (WHATWG HTML, "valid e-mail address") with a dot in its domain, stored lower-case.
pub fn email(value: Value) -> Checked<Value> {
    let text = plain_text(string(&value)?, EMAIL_MAX, false)?;
    if is_email(&text) {
        Ok(lower_email(&text).into())
    } else {
        Err("must be an e-mail address like name@example.org".into())
    }
}

/// An e-mail address as it is stored and looked up. Only ASCII letters are lowered: Unicode's lower case would turn the Kelvin
/// sign into a `k`, so that two addresses would lead to one account.
pub fn lower_email(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// A telephone number: at least 5 digits, with spaces and `+ - ( ) . /` between them; an extension (`x12`, `ext. 12`) may follow.
pub fn phone(value: Value) -> Checked<Value> {
    const RULE: &str =
        "must have at least 5 digits, may also have spaces and + - ( ) . /, and may end with an extension like x12";
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

/// Lengths count characters. Control characters are refused, except line breaks and tabs if `lines` is true.
pub(super) fn plain_text(text: &str, max: usize, lines: bool) -> Checked<String> {
    let refused = |character: char| character.is_control() && !(lines && matches!(character, '\n' | '\r' | '\t'));
    if text.chars().any(refused) {
        Err("must not contain control characters".into())
    } else if text.chars().count() > max {
        Err(format!("must have at most {max} characters").into())
    } else {
        Ok(text.to_string())
    }
}

/// Embeddings, overrides, isolates and marks (Unicode's property `Bidi_Control`), which can make one name look like another.
/// Arabic and Hebrew names do not need them, since their letters have a direction of their own.
fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that are invisible on their own: Unicode's property `Default_Ignorable_Code_Point` (joiners, which Persian and
/// Indic names need between letters; zero-width spaces, Hangul fillers, variation selectors, tags), the controls of annotations,
/// and the blank of Braille.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character shows something, or takes room, by itself. A combining mark (Unicode's blocks of diacritical marks) needs a letter.
fn shows(character: char) -> bool {
    let is_mark = matches!(character,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}');
    !is_mark && !is_invisible(character)
}

/// An unknown field name from a client, cut to a useful length for an answer.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
