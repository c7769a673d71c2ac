//! Strange values in every place that a client can fill: whatever they are, the answer is one for the client to understand
//! and never a 500.

use std::sync::LazyLock;

use healthcare_backend::Config;
use healthcare_backend::internals::openapi::{self, path_of};
use healthcare_backend::internals::{Method, ROUTES, Route};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{World, check, named};
use crate::harness::TestApp;
use crate::harness::folder::Folder;
use crate::harness::http::{self, Answer};
use crate::harness::schema::Document;

/// At and beyond the edges of dates, times, numbers and text.
const ODD: &[&str] = &[
    "",
    " ",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999",
    "NaN",
    "infinity",
    "-infinity",
    "now",
    "null",
    "TRUE",
    "-005000-01-01T00:00:00Z",
    "-005000-01-01",
    "0000-00-00",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31",
    "9999-12-31T23:59:60.999999999-23:59",
    "10000-01-01",
    "294277-01-01T00:00:00Z",
    "2026-02-30",
    "\0",
    "a\0b",
    "\u{feff}\u{ffff}\u{10ffff}",
    "\u{202e}\u{3164}\u{200b}",
    "e\u{301}\u{301}\u{301}",
    "\\",
    "%_\\%",
    "{\"a\":1}",
    "{1,2}",
    "'; select 1/0 --",
    "$1",
];

/// JSON values other than strings, as they are on the wire.
const ODD_JSON: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "5.0",
    "1e2",
    "1e308",
    "1e999",
    "-1e-999",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "[]",
    "{}",
    "[null]",
    "{\"\\u0000\":{}}",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\uffff\"",
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The names of the fields that a route's body may have, read-only ones too.
fn body_fields(route: &Route) -> Vec<String> {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        let text = openapi::document(&Config::default()).expect("a document");
        Document(serde_json::from_str(&text).expect("JSON"))
    });
    let operation = &DOCUMENT.0["paths"][path_of(route.pattern)][route.method.name().to_lowercase()];
    let schema = DOCUMENT.resolve(&operation["requestBody"]["content"]["application/json"]["schema"]);
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// A service in which wrong passwords lock nobody out.
fn patient_app() -> TestApp {
    TestApp::with(|config| {
        config.login_max_failures = 1_000_000;
        config.login_max_failures_total = 1_000_000;
    })
}

impl World<'_> {
    /// Sends these bytes as the body of a request.
    fn send_text(&self, route: &Route, target: &str, body: &str) -> Answer {
        let authorization = format!("Bearer {}", self.welcome(route).token.as_deref().unwrap_or_default());
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        http::send(self.app.address, route.method.name(), target, &headers, Some(body))
    }

    /// Sends a good request with this in the place of one query parameter.
    fn with_parameter(&self, route: &Route, name: &str, value: &str) {
        let person = self.welcome(route);
        let sorted = if name == "cursor" { "&sort=name" } else { "" };
        let target = format!("{}?{name}={value}{sorted}", self.target(route));
        let answer = person.send(route.method.name(), &target, &[], self.body(route, person));
        is_no_fault(&answer, &format!("{} with {name}={value}", named(route)));
    }

    /// Sends a good request with this, as JSON, in the place of one field of the body.
    fn with_field(&self, route: &Route, name: &str, value: &str) {
        let mut body = self.body(route, self.welcome(route)).expect("a body");
        if route.pattern == "/api/auth/password" {
            body["current_password"] = json!("wrong"); // Or the account would have a new one.
        }
        if (route.pattern, name) == ("/api/auth/login", "code") {
            body["password"] = json!("wrong"); // Or so many logins would end the session that the test uses.
        }
        body[name] = json!("its place");
        let text = body.to_string().replacen("\"its place\"", value, 1);
        let answer = self.send_text(route, &self.target(route), &text);
        is_no_fault(&answer, &format!("{} with {name}: {value}", named(route)));
    }

    /// Sends a good request with this in the place of one id in the path.
    fn with_id(&self, route: &Route, place: &str, value: &str) {
        let good = self.target(route);
        let parts = route.pattern.split('/').zip(good.split('/'));
        let parts = parts.map(|(part, good)| if part == place { encoded(value) } else { good.to_string() });
        let target = parts.collect::<Vec<_>>().join("/");
        let person = self.welcome(route);
        let answer = person.send(route.method.name(), &target, &[], self.body(route, person));
        is_no_fault(&answer, &named(route));
    }
}

#[track_caller]
fn is_no_fault(answer: &Answer, what: &str) {
    check(answer);
    assert!(answer.status < 500, "{what}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
}

fn places(route: &Route) -> impl Iterator<Item = &'static str> {
    route.pattern.split('/').filter(|part| part.starts_with('{'))
}

#[test]
fn no_value_of_a_query_parameter_or_an_id_is_our_fault() {
    let app = patient_app();
    let world = World::new(&app, "parameters");
    for route in ROUTES {
        for name in route.query {
            for value in ODD.iter().map(|value| encoded(value)).chain(["%ED%A0%80".into(), "%FF".into()]) {
                world.with_parameter(route, name, &value);
            }
            world.with_parameter(route, name, &"9".repeat(4000));
        }
        // What ends a session or removes a record takes an id that there is; none of these is one.
        for place in places(route) {
            ODD.iter().for_each(|value| world.with_id(route, place, value));
        }
    }
}

#[test]
fn no_value_of_a_field_is_our_fault() {
    let app = patient_app();
    let world = World::new(&app, "fields");
    // PUT is PATCH by another name.
    for route in ROUTES.iter().filter(|route| route.has_fields && route.method != Method::Put) {
        for name in body_fields(route) {
            for value in ODD_JSON {
                world.with_field(route, &name, value);
            }
            for value in ODD {
                world.with_field(route, &name, &json!(value).to_string());
            }
            world.with_field(route, &name, &format!("\"{}\"", "ß".repeat(100_000)));
        }
    }
}

#[test]
fn no_value_of_a_header_is_our_fault() {
    let app = patient_app();
    let world = World::new(&app, "headers");
    let headers =
        ["If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id", "User-Agent", "X-Forwarded-For", "Accept"];
    let more = ["\"", "W/\"9\", \"\u{ff}\"", "\u{85}"];
    // One route of each kind: that reads a record, a list, all, that makes one, and that changes one.
    let routes = [
        (Method::Get, "/api/patients/{id}"),
        (Method::Get, "/api/doctors"),
        (Method::Get, "/api/admin/audit"),
        (Method::Post, "/api/patients"),
        (Method::Patch, "/api/mappings/{id}"),
    ];
    for route in ROUTES.iter().filter(|route| routes.contains(&(route.method, route.pattern))) {
        for header in headers {
            for value in ODD.iter().filter(|value| !value.contains('\0')).chain(&more) {
                let (person, target) = (world.welcome(route), world.target(route));
                let answer = person.send(route.method.name(), &target, &[(header, value)], world.body(route, person));
                is_no_fault(&answer, &format!("{} with {header}: {value}", named(route)));
            }
        }
    }
}

#[test]
fn no_text_at_all_is_our_fault() {
    let app = patient_app();
    let world = World::new(&app, "texts");
    let routes: Vec<&Route> = ROUTES.iter().filter(|route| !route.query.is_empty() || route.has_fields).collect();
    let cases = prop::test_runner::Config { cases: 400, failure_persistence: None, ..Default::default() };
    let texts = "(?s:.){0,60}|[0-9TZ:+.-]{1,30}|[0-9]{1,40}|[\\\\\"'%_{}\u{0}-\u{1f}]{0,10}";
    let any = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), texts);
    let result = TestRunner::new(cases).run(&any, |(route, place, text)| {
        let route = *route.get(&routes);
        if route.has_fields {
            let fields = body_fields(route);
            world.with_field(route, place.get::<String>(&fields), &json!(text).to_string());
        } else {
            world.with_parameter(route, place.get::<&str>(route.query), &encoded(&text));
        }
        Ok(())
    });
    result.expect("no fault");
}

#[test]
fn a_value_that_postgresql_does_not_take_is_the_requests_fault() {
    let sql = Folder::with_sql();
    // As if a rule had been forgotten: a doctor's name has to be a number, and a filter a date.
    sql.replace("doctors.sql", "folded(name) like any_part($6)", "$6::date > now()");
    sql.replace("doctors.sql", "'create', 'doctor', id, $4", "'create', 'doctor', name::integer, $4");
    let app = TestApp::with(|config| config.sql_dir = Some(sql.path().to_path_buf()));
    let ann = app.signed_up("ann");
    ann.get("/api/doctors").expect(200, "success");
    let body = json!({ "name": "Dr. Roe", "specialization": "S" });
    for answer in [ann.post("/api/doctors", body), ann.get("/api/doctors?name=Roe")] {
        check(&answer);
        let answer = answer.expect(400, "invalid");
        assert_eq!(answer.fields(), ["request"]);
        assert!(!String::from_utf8_lossy(&answer.body).contains("Roe"));
    }
    assert_eq!(ann.get("/api/doctors").expect(200, "success").data(), Value::from(Vec::<Value>::new()));
}
