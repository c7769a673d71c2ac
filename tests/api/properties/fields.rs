//! The rules for fields and query parameters.

use healthcare_backend::internals::Error;
use healthcare_backend::internals::validate::{
    Form, Mode, QueryParameters, birth_date, email, line, lines, parse_birth_date, parse_id, parse_time, phone,
    record_id, whole_number,
};
use jiff::civil::Date;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any JSON value, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,4}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The names of the fields that an error complains of.
fn complaints(error: Error) -> Vec<String> {
    error.fields().expect("a 400").iter().map(|field| field.field.to_string()).collect()
}

proptest! {
    #[test]
    fn a_line_is_taken_as_it_is_or_breaks_a_rule(text in "\\PC{0,30}|.{0,30}|(?s:.){0,30}", max in 0usize..30) {
        let turns = |character: char| "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".contains(character);
        let seen = format!("x{text}");
        let kept = text.chars().count() < max && !text.chars().any(|character| character.is_control() || turns(character));
        prop_assert_eq!(line(max)(json!(seen)).ok(), kept.then(|| json!(seen)));
        let breaks = |character: char| character.is_control() && !"\n\r\t".contains(character);
        let kept = text.chars().count() <= max && !text.chars().any(breaks);
        prop_assert_eq!(lines(max)(json!(text)).ok(), kept.then(|| json!(text)));
    }

    #[test]
    fn no_rule_panics_or_changes_what_it_accepts(value in any_json()) {
        let rules: [&dyn Fn(Value) -> _; 6] =
            [&line(200), &lines(500), &phone, &birth_date, &record_id, &whole_number(0, 80)];
        for rule in rules {
            if let Ok(accepted) = rule(value.clone()) {
                prop_assert_eq!(&accepted, &value);
            }
        }
        if let Ok(accepted) = email(value.clone()) {
            prop_assert_eq!(accepted.as_str().map(str::to_string), value.as_str().map(str::to_ascii_lowercase));
        }
    }

    #[test]
    fn a_telephone_number_may_be_written_in_every_usual_way(
        plus in "\\+?",
        groups in prop::collection::vec("[0-9]{2,3}", 3..5),
        separator in "[ ./-]| - ",
        extension in "|( ?(x|X|ext|ext\\.|EXT\\.) ?[0-9]{1,3})",
    ) {
        let text = format!("{plus}{}{extension}", groups.join(&separator));
        prop_assert_eq!(phone(json!(text)).is_ok(), text.chars().count() <= 32, "{}", text);
    }

    #[test]
    fn everything_accepted_as_a_telephone_number_is_one(text in "[0-9 +()./xXet-]{0,20}|.{0,34}") {
        if phone(json!(text)).is_ok() {
            let end = text.find(['x', 'X', 'e', 'E']).unwrap_or(text.len());
            let (number, extension) = text.split_at(end);
            prop_assert!(number.chars().filter(char::is_ascii_digit).count() >= 5);
            prop_assert!(number.chars().all(|sign| sign.is_ascii_digit() || " +-()./".contains(sign)));
            prop_assert!(extension.is_empty() || extension.ends_with(|sign: char| sign.is_ascii_digit()));
            prop_assert!(text.chars().count() <= 32);
        }
    }

    #[test]
    fn an_ordinary_e_mail_address_is_accepted_and_stored_in_lower_case(
        local in "[A-Za-z0-9]([A-Za-z0-9+_-]{0,20}[A-Za-z0-9])?(\\.[A-Za-z0-9]{1,5})?",
        domain in "[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?(\\.[A-Za-z]{2,10}){1,3}",
    ) {
        let text = format!("{local}@{domain}");
        prop_assert_eq!(email(json!(text)).ok(), Some(json!(text.to_ascii_lowercase())));
    }

    #[test]
    fn everything_accepted_as_an_e_mail_address_is_one(text in "[a-z.@ -]{0,12}|.{0,20}@.{0,20}|[a-z]{60,70}@[a-z]{60,70}\\.org") {
        if let Ok(stored) = email(json!(text)) {
            let stored = stored.as_str().expect("a text").to_string();
            let (local, domain) = stored.split_once('@').expect("an @");
            prop_assert!(!local.is_empty() && local.len() <= 64 && stored.len() <= 254);
            prop_assert!(domain.contains('.') && !domain.contains('@'));
            prop_assert!(domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')));
            prop_assert!(!stored.chars().any(|sign| sign.is_whitespace() || sign.is_control() || sign.is_uppercase()));
        }
    }

    #[test]
    fn a_date_is_accepted_exactly_if_it_exists_and_someone_may_be_born_on_it(
        year in 1800i16..2100, month in 0i8..14, day in 0i8..33,
    ) {
        let text = format!("{year:04}-{month:02}-{day:02}");
        let tomorrow = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().tomorrow().expect("a date");
        let expected = Date::new(year, month, day).ok().filter(|date| date.year() >= 1870 && *date <= tomorrow);
        prop_assert_eq!(parse_birth_date(&text).ok(), expected);
    }

    #[test]
    fn a_time_is_the_same_moment_whatever_its_offset(
        micros in -62_000_000_000_000_000i64..253_000_000_000_000_000, minutes in -1439i32..1440, small in "[tz]?",
    ) {
        let moment = jiff::Timestamp::from_microsecond(micros).expect("a moment");
        let local = jiff::tz::Offset::from_seconds(minutes * 60).expect("an offset").to_datetime(moment);
        let sign = if minutes < 0 { '-' } else { '+' };
        let text = format!("{local}{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        let text = if small == "t" { text.to_lowercase() } else { text };
        prop_assert_eq!(parse_time(&text), Ok(moment), "{}", text);
        prop_assert_eq!(parse_time(&moment.to_string()), Ok(moment));
    }

    #[test]
    fn a_time_that_rfc_3339_does_not_know_is_refused(
        text in "2026-01-05T08:31:00|2026-01-05|2026-01-05[ _]08:31:00Z|2026-02-30T08:31:00Z|2026-01-05T08:31Z|.{0,12}                 |2026-01-05T24:31:00Z|0000-01-05T08:31:00Z|[+-]00?2026-01-05T08:31:00Z|2026-01-05T08:31:00([+ -]0100|[+-]24:00| 01:00|[+-]01:60|[.]Z)",
    ) {
        prop_assert!(parse_time(&text).is_err(), "{}", text);
    }

    #[test]
    fn a_date_has_one_spelling(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}.{0,10}|[0-9T:Z+-]{0,25}|.{0,12}") {
        if let Ok(date) = parse_birth_date(&text) {
            prop_assert_eq!(date.to_string(), text);
        }
    }

    #[test]
    fn an_id_is_accepted_exactly_if_it_is_positive_plain_digits_of_64_bits(text in "[0-9]{1,25}|.{0,6}|[+-]?[0-9 ]{1,5}") {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let expected = text.parse::<i128>().ok().filter(|id| digits && (1..=i128::from(i64::MAX)).contains(id));
        prop_assert_eq!(parse_id(&text).ok().map(i128::from), expected);
    }

    #[test]
    fn a_number_with_a_point_is_no_whole_number(number in any::<f64>().prop_filter("finite", |number| number.is_finite())) {
        let value: Value = serde_json::from_str(&format!("{number:?}")).expect("a number");
        prop_assert!(whole_number(i64::MIN, i64::MAX)(value.clone()).is_err());
        prop_assert!(record_id(value).is_err());
    }

    #[test]
    fn a_form_never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for mode in [Mode::Create, Mode::Update] {
            if let Ok(form) = Form::parse(&bytes, mode) {
                let _ = form.finish(&[]);
            }
        }
    }

    #[test]
    fn a_form_names_every_bad_field_once(
        sent in prop::collection::btree_map("name|age|note|id|extra|more", any_json(), 0..7),
    ) {
        let object: Map<String, Value> = sent.clone().into_iter().collect();
        let mut form = Form::parse(Value::Object(object).to_string().as_bytes(), Mode::Create).expect("an object");
        form.required("name", line(5));
        form.required("age", whole_number(0, 99));
        form.optional("note", line(5));
        let blank = |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        let trimmed = |value: &Value| match value.as_str() {
            Some(text) => json!(text.trim()),
            None => value.clone(),
        };
        let mut expected: Vec<&str> = Vec::new();
        let required = |name: &str, is_good: &dyn Fn(Value) -> bool| {
            sent.get(name).is_some_and(|value| !blank(value) && is_good(trimmed(value)))
        };
        if !required("name", &|value| line(5)(value).is_ok()) {
            expected.push("name");
        }
        if !required("age", &|value| whole_number(0, 99)(value).is_ok()) {
            expected.push("age");
        }
        if sent.get("note").is_some_and(|value| !blank(value) && line(5)(trimmed(value)).is_err()) {
            expected.push("note");
        }
        expected.extend(["extra", "more"].iter().filter(|name| sent.contains_key(**name)));
        let missing = ["name", "age"].iter().any(|name| sent.get(*name).is_none_or(blank));
        match form.finish(&["id"]) {
            Ok(fields) => {
                prop_assert!(expected.is_empty());
                prop_assert_eq!(fields.text("name"), sent["name"].as_str().map_or("", str::trim));
            }
            Err(error) => {
                prop_assert_eq!(matches!(error, Error::Incomplete(_)), missing);
                prop_assert_eq!(complaints(error), expected);
            }
        }
    }

    #[test]
    fn a_repeated_key_is_noticed_wherever_it_stands(
        keys in prop::collection::vec("[a-d]", 1..8),
    ) {
        let body = format!("{{{}}}", keys.iter().map(|key| format!("\"{key}\":1")).collect::<Vec<_>>().join(","));
        let form = Form::parse(body.as_bytes(), Mode::Create).expect("an object");
        let mut repeated: Vec<&String> = keys.iter().filter(|key| keys.iter().filter(|other| other == key).count() > 1).collect();
        repeated.sort();
        repeated.dedup();
        match form.finish(&["a", "b", "c", "d"]) {
            Ok(_) => prop_assert!(repeated.is_empty()),
            Err(error) => {
                let mut named = complaints(error);
                named.sort();
                prop_assert_eq!(named.iter().collect::<Vec<_>>(), repeated);
            }
        }
    }

    #[test]
    fn a_query_never_panics_and_names_every_bad_parameter(
        raw in "[a-z=&%0-9+]{0,40}|(?s:.){0,40}",
        pairs in prop::collection::vec(("limit|after|name|other", "[0-9]{0,4}|[a-z]{1,3}"), 0..6),
    ) {
        for raw in [raw, pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")] {
            let mut query = QueryParameters::parse(&raw, &["limit", "after", "name"]);
            let page = query.page("after");
            let _ = query.part("name");
            prop_assert!((1..=500).contains(&page.limit));
            prop_assert!(page.after.is_none_or(|id| id > 0));
            let _ = query.finish();
        }
        let raw = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let mut query = QueryParameters::parse(&raw, &["limit", "after", "name"]);
        query.page("after");
        query.part("name");
        let mut bad: Vec<&str> = Vec::new();
        for (place, (name, value)) in pairs.iter().enumerate() {
            let is_first = !pairs[..place].iter().any(|(earlier, _)| earlier == name);
            let number: Option<i64> = value.parse().ok();
            let is_good = value.is_empty() || match name.as_str() {
                "limit" => number.is_some_and(|limit| (1..=500).contains(&limit)),
                "after" => number.is_some_and(|id| id > 0),
                other => other == "name",
            };
            if name == "other" || !is_first || !is_good {
                bad.push(name);
            }
        }
        bad.sort_unstable();
        bad.dedup();
        let mut named = query.finish().err().map(complaints).unwrap_or_default();
        named.sort_unstable();
        prop_assert_eq!(named, bad);
    }

    #[test]
    fn the_words_of_a_search_are_those_between_white_space_and_the_longest_is_first(
        text in "[a-c \t\n%_]{0,30}|\\PC{0,40}|([a-z]{1,30} ){0,12}",
    ) {
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut query = QueryParameters::parse(&format!("q={encoded}"), &["q"]);
        let (words, bad) = (query.words("q"), query.finish().is_err());
        let mut typed: Vec<&str> = text.split_whitespace().collect();
        prop_assert_eq!(bad, typed.len() > 10 || text.trim().chars().count() > 200, "{:?}", text);
        if let Some(mut words) = words {
            prop_assert!(words.iter().is_sorted_by_key(|word| std::cmp::Reverse(word.chars().count())));
            words.sort_unstable();
            typed.sort_unstable();
            prop_assert_eq!(words, typed);
        } else {
            prop_assert!(bad || typed.is_empty());
        }
    }
}
