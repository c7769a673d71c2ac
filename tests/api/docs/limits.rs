//! Every limit that the document names, tried from both sides.

use serde_json::{Value, json};

use super::world::{World, example};
use super::{assert_documented, body_schema};

#[test]
fn the_limits_of_every_field_are_those_of_the_document_to_the_last_character() {
    let world = World::new();
    for operation in world.document.operations().iter().filter(|operation| example(operation).is_some()) {
        for (field, rule) in body_schema(&world.document, operation)["properties"].as_object().expect("properties") {
            if rule["readOnly"] == json!(true) {
                continue;
            }
            let (within, beyond) =
                bounds(rule).unwrap_or_else(|| panic!("{}: {field} has no limit: {rule}", operation.id));
            for value in within {
                // A code of any length is wrong, which this operation says of its field.
                if (operation.id, field.as_str()) == ("confirmTotp", "code") {
                    continue;
                }
                // Which times are past moves with the clock.
                if field == "expires_at" {
                    continue;
                }
                let answer = world.send_with(operation, field, value.clone());
                assert!(!answer.fields().contains(field), "{}: {field} may be {value}", operation.id);
            }
            for value in beyond {
                let answer = world.send_with(operation, field, value.clone());
                assert_eq!(answer.fields(), [field.as_str()], "{}: {field} may not be {value}", operation.id);
            }
        }
    }
}

#[test]
fn the_limits_of_every_query_parameter_are_those_of_the_document() {
    let world = World::new();
    let document = &world.document;
    for operation in document.operations() {
        let parameters = operation.json["parameters"].as_array().expect("parameters").iter();
        let (person, path, _) = world.request(&operation);
        let ask = |query: String| person.send(&operation.method, &format!("{path}?{query}"), &[], example(&operation));
        assert_eq!(ask("shoe_size=40".into()).expect(400, "invalid").fields(), ["shoe_size"], "{}", operation.id);
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().expect("a name");
            if name == "cursor" {
                continue; // Only the service can make one that it takes; `listing` tries the others.
            }
            let text = |value: &Value| format!("{name}={}", value.as_str().map_or(value.to_string(), encoded));
            let (within, beyond) = bounds(&parameter["schema"]).expect("a limit");
            for value in within {
                let answer = ask(text(&value));
                assert!(!answer.fields().contains(&name.to_string()), "{} takes {name}={value}", operation.id);
            }
            for value in beyond {
                let answer = ask(text(&value)).expect(400, "invalid");
                assert_eq!(answer.fields(), [name], "{} refuses {name}={value}", operation.id);
                assert_documented(document, &operation, &answer);
            }
        }
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Values at the limits of a schema and just beyond them; none if it has no limit.
fn bounds(schema: &Value) -> Option<(Vec<Value>, Vec<Value>)> {
    let text = |count: u64| json!(text_of(schema, usize::try_from(count).expect("a length")));
    if let Some(words) = schema["enum"].as_array() {
        return Some((words.clone(), vec![json!("no such word")]));
    }
    // Names, and more of them behind commas.
    if let Some((names, _)) = schema["pattern"].as_str().and_then(|pattern| pattern.split_once(")(,(")) {
        let names = names.trim_start_matches("^(");
        let within = [names.split('|').next()?.to_string(), names.replace('|', ",")].map(Value::from);
        return Some((within.to_vec(), vec![json!("shoe_size"), json!("id,,id")]));
    }
    if schema["type"] == "boolean" || schema["type"][0] == "boolean" {
        return Some((vec![json!(true), json!(false)], vec![json!("maybe")]));
    }
    if schema["format"] == "date" {
        let beyond = ["1869-12-31", "9999-12-31", "1990-02-30", "1990-4-23"].map(Value::from);
        return Some((vec![json!("1870-01-01"), json!("2000-02-29")], beyond.to_vec()));
    }
    if schema["format"] == "date-time" {
        let beyond =
            ["0000-12-31T23:59:59Z", "2000-02-30T00:00:00Z", "2000-02-29", "2000-02-29T00:00:00"].map(Value::from);
        let within = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2000-02-29T23:59:59.5-11:30"].map(Value::from);
        return Some((within.to_vec(), beyond.to_vec()));
    }
    if let Some((_, most)) = schema["pattern"].as_str().and_then(|pattern| pattern.rsplit_once("){0,")) {
        let most: usize = most.trim_end_matches("}$").parse().expect("a number of words");
        let words = |count: usize| json!(vec!["ü"; count].join(" "));
        let length = schema["maxLength"].as_u64().expect("a length");
        return Some((vec![words(most), text(length)], vec![words(most + 1), text(length + 1)]));
    }
    if let (Some(least), Some(most)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        let above = most.checked_add(1).map_or(json!(9_223_372_036_854_775_808_u64), Value::from);
        return Some((vec![json!(least), json!(most)], vec![json!(least - 1), above]));
    }
    let (least, most) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
    let within = least.into_iter().chain(most).map(text).collect();
    // The empty string is missing rather than short; `required` has that.
    let beyond = least.filter(|least| *least > 1).map(|least| least - 1).into_iter().chain(most.map(|most| most + 1));
    let beyond: Vec<Value> = beyond.map(text).collect();
    (least.is_some() || most.is_some()).then_some((within, beyond))
}

/// A text of this many characters that breaks no other rule.
fn text_of(schema: &Value, count: usize) -> String {
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    let format = schema["format"].as_str().or(pattern.contains('@').then_some("email"));
    match format {
        Some("email") => {
            let domain = format!("{}.{}.", "d".repeat(63), "d".repeat(63));
            let local = "l".repeat(60);
            let rest = count - domain.len() - local.len() - 2;
            format!("{local}@{domain}{}.{}", "d".repeat(rest / 2), "d".repeat(rest - rest / 2))
        }
        Some("password") => "pA7-".repeat(count).chars().take(count).collect(),
        _ if pattern.contains("[0-9]") => "1".repeat(count),
        _ => "ü".repeat(count),
    }
}
