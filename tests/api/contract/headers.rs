//! What every answer carries: request ids, the fixed headers, validators, CORS.

use std::collections::HashSet;

use healthcare_backend::internals::{Method, ROUTES};

use super::{World, check, named};
use crate::harness::TestApp;
use crate::harness::http::{self, Answer};

#[test]
fn a_plain_request_id_comes_back_and_any_other_is_replaced() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let longest = "x".repeat(64);
    for path in ["/healthz", "/api/patients", "/api/nothing"] {
        for id in ["a", "Trace-1_2.3", longest.as_str()] {
            let answer = ann.send("GET", path, &[("X-Request-Id", id)], None);
            assert_eq!(answer.header("x-request-id"), Some(id), "{path}");
        }
        let too_long = "x".repeat(65);
        for id in ["", " ", "a b", "a/b", "a\"b", "<b>", "é", "a,b", too_long.as_str()] {
            let answer = ann.send("GET", path, &[("X-Request-Id", id)], None);
            check(&answer);
            assert_ne!(answer.header("x-request-id"), Some(id), "{path}");
        }
        let twice = ann.send("GET", path, &[("X-Request-Id", "one"), ("X-Request-Id", "two")], None);
        check(&twice);
        assert!(!["one", "two"].contains(&twice.header("x-request-id").unwrap_or_default()), "which of them?");
    }
}

#[test]
fn request_ids_made_here_are_never_the_same() {
    let app = TestApp::start();
    let second = TestApp::on(&app.database, |_| {});
    let mut seen = HashSet::new();
    for node in [&app, &second] {
        for _ in 0..100 {
            let id = node.anyone().get("/healthz").header("x-request-id").map(str::to_string);
            assert!(seen.insert(id));
        }
    }
}

#[test]
fn a_request_id_is_echoed_by_every_route_whether_it_succeeds_or_not() {
    let app = TestApp::start();
    let world = World::new(&app, "echo");
    for route in ROUTES {
        for person in [app.anyone(), world.other.clone()] {
            let id = [("X-Request-Id", "echo-1")];
            let answer = person.send(route.method.name(), &world.target(route), &id, None);
            check(&answer);
            assert_eq!(answer.header("x-request-id"), Some("echo-1"), "{}", named(route));
            if route.pattern == "/api/auth/logout" {
                app.logged_in(&world.other.email, crate::harness::app::PASSWORD);
            }
        }
    }
}

#[test]
fn every_answer_about_one_record_has_a_strong_validator_and_a_list_has_none() {
    let app = TestApp::start();
    let world = World::new(&app, "validators");
    for route in ROUTES.iter().filter(|route| route.method == Method::Get && route.pattern.starts_with("/api/")) {
        let answer = world.send(route, world.welcome(route));
        let answer = answer.expect(200, "success");
        // A version of a record is no record: nothing changes it.
        if answer.data().is_array() || route.pattern.ends_with("/{version}") {
            assert_eq!(answer.header("etag"), None, "{}", named(route));
            continue;
        }
        let tag = answer.etag();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
        for sent in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
            let target = world.target(route);
            let same = world.welcome(route).send("GET", &target, &[("If-None-Match", &sent)], None);
            check(&same);
            assert_eq!((same.status, same.header("etag")), (304, Some(tag.as_str())), "{} {sent}", named(route));
        }
        let other = world.welcome(route).send("GET", &world.target(route), &[("If-None-Match", "\"x\"")], None);
        assert_eq!(other.status, 200, "{}", named(route));
    }
}

/// The CORS headers of an answer, by what follows `access-control-`.
fn cors(answer: &Answer) -> Vec<&str> {
    answer.headers.iter().filter_map(|(name, _)| name.strip_prefix("access-control-")).collect()
}

/// Whether the answer depends on the origin of the script that asks. A list depends on `Accept` as well.
fn varies_with_origin(answer: &Answer) -> bool {
    answer.header("vary").is_some_and(|vary| vary.split(", ").any(|name| name == "Origin"))
}

#[test]
fn without_configured_origins_there_is_not_one_cors_header() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let headers = [("Origin", "https://clinic.example"), ("Access-Control-Request-Method", "POST")];
    for method in ["GET", "OPTIONS"] {
        let answer = ann.send(method, "/api/patients", &headers, None);
        check(&answer);
        assert!(cors(&answer).is_empty() && !varies_with_origin(&answer), "{:?}", answer.headers);
    }
}

#[test]
fn scripts_of_a_listed_origin_may_read_every_answer_and_of_no_other() {
    let listed = ["https://clinic.example", "http://localhost:3000"];
    let app = TestApp::with(|config| config.cors_origins = listed.map(str::to_string).to_vec());
    let ann = app.signed_up("ann");
    let anyone = app.anyone();
    for origin in listed {
        let headers = [("Origin", origin)];
        for answer in [
            ann.send("GET", "/api/patients", &headers, None),
            ann.send("GET", "/api/patients/999999999", &headers, None),
            anyone.send("GET", "/api/patients", &headers, None),
            anyone.send("GET", "/nothing", &headers, None),
            anyone.send("DELETE", "/api/patients", &headers, None),
        ] {
            check(&answer);
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{}", answer.status);
            assert!(varies_with_origin(&answer));
            let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
            for name in ["ETag", "Link", "Location", "Retry-After", "X-Request-Id"] {
                assert!(exposed.split(", ").any(|header| header == name), "{name}");
            }
            assert_eq!(answer.header("access-control-allow-credentials"), None, "tokens are not cookies");
        }
    }
    let unlisted = [
        "https://evil.example",
        "https://clinic.example.evil.example",
        "https://CLINIC.example",
        "http://clinic.example",
        "https://clinic.example/",
        "https://clinic.example:8443",
        "null",
        "*",
        "",
    ];
    for origin in unlisted {
        for method in ["GET", "OPTIONS"] {
            let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
            let answer = ann.send(method, "/api/patients", &headers, None);
            check(&answer);
            assert!(cors(&answer).is_empty(), "{origin}: {:?}", answer.headers);
            assert!(varies_with_origin(&answer), "a cache must not mix them up");
        }
    }
    assert!(cors(&ann.get("/api/patients")).is_empty(), "not a browser");
}

#[test]
fn a_preflight_says_what_a_script_may_send() {
    let origin = "https://clinic.example";
    let app = TestApp::with(|config| config.cors_origins = vec![origin.to_string()]);
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization,content-type,if-match"),
    ];
    let answer = http::send(app.address, "OPTIONS", "/api/patients/1", &headers, None);
    check(&answer);
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    let has = |header: &str, value: &str| {
        let listed = answer.header(header).unwrap_or_default();
        listed.split(',').any(|part| part.trim().eq_ignore_ascii_case(value))
    };
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        assert!(has("access-control-allow-methods", method) && has("allow", method), "{method}");
    }
    for header in ["authorization", "content-type", "if-match", "if-none-match", "x-request-id"] {
        assert!(has("access-control-allow-headers", header), "{header}");
    }
    let seconds = answer.header("access-control-max-age").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds <= 86_400));
}
