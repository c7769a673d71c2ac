//! Paths, methods, ids, queries, and the order in which a request is checked.

use std::collections::BTreeMap;

use healthcare_backend::internals::{Method, ROUTES, Route};
use serde_json::json;

use super::{World, check, named, plain_routes, routes_with_fields};
use crate::harness::{TestApp, http};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The table's methods by path, as `Allow` has to list them. Places count as the same path whatever their names.
fn methods_by_path() -> BTreeMap<String, Vec<&'static str>> {
    let mut paths: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for route in ROUTES {
        paths.entry(filled(route, "999999999")).or_default().push(route.method.name());
    }
    for methods in paths.values_mut() {
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
    }
    paths
}

/// The path with this in every place.
fn filled(route: &Route, value: &str) -> String {
    let parts = route.pattern.split('/').map(|part| if part.starts_with('{') { value } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn options_lists_the_methods_of_every_path_and_every_other_method_is_405() {
    let app = TestApp::start();
    let anyone = app.anyone();
    let listed = |allow: Option<&str>| {
        let mut methods: Vec<String> = allow.unwrap_or_default().split(", ").map(str::to_string).collect();
        methods.sort_unstable();
        methods
    };
    for (path, methods) in methods_by_path() {
        let answer = anyone.send("OPTIONS", &path, &[], None);
        check(&answer);
        assert_eq!(
            (answer.status, listed(answer.header("allow"))),
            (204, methods.iter().map(|m| m.to_string()).collect())
        );
        for method in METHODS.iter().filter(|method| !methods.contains(method)) {
            let answer = anyone.send(method, &path, &[], None);
            check(&answer);
            if path.ends_with("/_search") && ["GET", "HEAD"].contains(method) {
                assert_eq!(answer.status, 404, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(listed(answer.header("allow")), methods, "{method} {path}");
        }
    }
}

#[test]
fn a_method_that_is_not_served_is_501_on_every_path() {
    let app = TestApp::start();
    for method in ["TRACE", "PROPFIND", "get", "Post"] {
        for path in ["/api/patients", "/healthz", "/nothing"] {
            let answer = app.anyone().send(method, path, &[], None).expect(501, "invalid");
            check(&answer);
        }
    }
}

#[test]
fn an_unknown_path_is_404_with_every_method_and_any_token() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for path in [
        "/api",
        "/api/",
        "/api/patient",
        "/api/patients//",
        "//api/patients",
        "/api//patients",
        "/api/patients/1/2",
        "/api/patients/1/mappings/2/3",
        "/api/Patients",
        "/api/admin",
        "/api/admin/nothing",
        "/healthz/x",
        "/favicon.ico",
        "/api%2Fpatients",
        "/api/patients%2F1",
        "/api/../healthz",
    ] {
        for method in METHODS {
            let answer = if method == "GET" { ann.get(path) } else { app.anyone().send(method, path, &[], None) };
            check(&answer);
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
}

#[test]
fn a_trailing_slash_changes_nothing() {
    // With reads in it, the trail could grow between the two.
    let app = TestApp::with(|config| config.audit_reads = false);
    let world = World::new(&app, "slash");
    for route in ROUTES {
        let path = filled(route, "999999999");
        // Without a token where the request would change something.
        let person = if route.method == Method::Get { world.welcome(route).clone() } else { app.anyone() };
        let [with, without] = [format!("{path}/"), path].map(|path| person.send(route.method.name(), &path, &[], None));
        check(&with);
        assert_ne!(without.status, 405);
        assert_eq!(with.status, without.status, "{}", named(route));
        if route.pattern != "/metrics" {
            assert_eq!(with.body, without.body, "{}", named(route));
        }
    }
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let app = TestApp::start();
    let world = World::new(&app, "head");
    for route in ROUTES.iter().filter(|route| route.method == Method::Get) {
        for person in [world.welcome(route).clone(), app.anyone()] {
            let headers = [("X-Request-Id", "same")];
            let [get, head] = ["GET", "HEAD"].map(|method| person.send(method, &world.target(route), &headers, None));
            check(&get);
            check(&head);
            assert_eq!(head.status, get.status, "{}", named(route));
            // The numbers of `/metrics` change from one answer to the next.
            let kept = |headers: &[(String, String)]| {
                let varies = |name: &str| name == "date" || (name == "content-length" && route.pattern == "/metrics");
                headers.iter().filter(|(name, _)| !varies(name)).cloned().collect::<Vec<_>>()
            };
            assert_eq!(kept(&head.headers), kept(&get.headers), "{}", named(route));
        }
        let text = format!("HEAD {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", world.target(route));
        let bytes = super::refusals::everything(app.address, text.as_bytes());
        assert!(bytes.ends_with(b"\r\n\r\n"), "{} has a body", named(route));
    }
}

#[test]
fn an_id_is_a_positive_64_bit_integer_in_plain_digits_in_every_place() {
    let app = TestApp::start();
    let world = World::new(&app, "ids");
    let bad = ["0", "-1", "+1", "1.0", "1e3", "0x1", "abc", "null", "%20", "1%20", "%C2%B2", "%D9%A1", "1%00", "1%2F2"];
    let too_large = ["9223372036854775808", "18446744073709551617", "99999999999999999999999999"];
    for route in plain_routes().filter(|route| route.pattern.contains('{')) {
        for place in route.pattern.split('/').filter(|part| part.starts_with('{')) {
            let with = |value: &str| {
                let parts = route.pattern.split('/').map(|part| match part {
                    _ if part == place => value,
                    _ if part.starts_with('{') => "999999999",
                    _ => part,
                });
                let target = parts.collect::<Vec<_>>().join("/");
                let person = world.welcome(route);
                person.send(route.method.name(), &target, &[], world.body(route, person))
            };
            for value in bad.iter().chain(&too_large) {
                let answer = with(value).expect(400, "invalid");
                check(&answer);
                assert_eq!(answer.fields(), [place.trim_matches(['{', '}'])], "{} with {value}", named(route));
            }
            with("9223372036854775807").expect(404, "failed");
        }
    }
}

#[test]
fn ids_in_queries_are_checked_like_those_in_paths() {
    let app = TestApp::start();
    let world = World::new(&app, "query-ids");
    for route in ROUTES.iter().filter(|route| !route.query.is_empty()) {
        let is_id = |name: &&&str| name.ends_with("_id") || matches!(**name, "after" | "before" | "created_by");
        for name in route.query.iter().filter(is_id) {
            for value in ["0", "-1", "%2B1", "1.0", "x", "9223372036854775808"] {
                let target = format!("{}?{name}={value}", world.target(route));
                let answer = world.welcome(route).send(route.method.name(), &target, &[], None);
                assert_eq!(answer.expect(400, "invalid").fields(), [*name], "{} {name}={value}", named(route));
            }
        }
    }
}

#[test]
fn an_unknown_query_parameter_is_refused_on_every_route() {
    let app = TestApp::start();
    let world = World::new(&app, "unknown");
    for route in plain_routes() {
        for query in ["surprise=1", "surprise", "surprise=&surprise=2"] {
            let target = format!("{}?{query}", world.target(route));
            let person = world.welcome(route);
            let answer = person.send(route.method.name(), &target, &[], world.body(route, person));
            check(&answer);
            let answer = answer.expect(400, "invalid");
            assert!(answer.fields().iter().all(|field| field == "surprise"), "{}: {:?}", named(route), answer.fields());
        }
        let target = format!("{}?a=%zz", world.target(route));
        world.welcome(route).send(route.method.name(), &target, &[], None);
    }
}

#[test]
fn a_repeated_query_parameter_is_refused_even_with_the_same_value() {
    let app = TestApp::start();
    let world = World::new(&app, "repeated");
    for route in ROUTES {
        for name in route.query {
            let target = format!("{}?{name}=&{name}=", world.target(route));
            let answer = world.welcome(route).send(route.method.name(), &target, &[], None).expect(400, "invalid");
            assert_eq!(answer.fields(), [*name], "{}", named(route));
        }
    }
}

#[test]
fn paths_and_queries_are_percent_decoded_once() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let id = ann.new_patient("a b+c%41&d=e");
    let first_digit = id.to_string().as_bytes()[0];
    for path in ["/%61pi/patients/", "/api/p%41tients/", "/api/patients/"] {
        let status = ann.get(&format!("{path}%{first_digit:02X}{}", &id.to_string()[1..])).status;
        assert_eq!(status, if path.contains("%41") { 404 } else { 200 }, "{path}");
    }
    // `%2531` is `%31` once decoded, and that is no id.
    ann.get("/api/patients/%2531").expect(400, "invalid");
    for name in ["a+b%2Bc%2541%26d%3De", "a%20b%2bc%2541%26d=e"] {
        assert_eq!(ann.get(&format!("/api/patients?name={name}")).expect(200, "success").ids(), [id], "{name}");
    }
    assert_eq!(ann.get("/api/patients?n%61me=b%2Bc").expect(200, "success").ids(), [id]);
    for broken in ["/api/patients/%ff", "/api/patients/%C3", "/api/patients?name=%ff", "/api/patients?%ff=1"] {
        let answer = ann.get(broken).expect(400, "invalid");
        check(&answer);
        assert!(!answer.fields().is_empty());
    }
    for broken in ["/api/patients/%zz", "/api/patients/%4", "/api/patients/%", "/api/patients?name=%g0"] {
        check(&ann.get(broken).expect(400, "invalid"));
    }
}

#[test]
fn the_first_thing_that_is_wrong_decides_in_the_order_of_the_contract() {
    let app = TestApp::with(|config| config.max_body_bytes = 1000);
    let world = World::new(&app, "order");
    let (owner, other, admin, anyone) = (&world.owner, &world.other, &world.admin, app.anyone());
    let plain = [("Content-Type", "text/plain")];
    let huge = json!({ "name": "x".repeat(2000) });
    let bad = json!({ "surprise": 1 });
    let doctor = format!("/api/doctors/{}", world.doctor_id);
    let patient = format!("/api/patients/{}", world.patient_id);

    // Framing and sizes, before the route.
    anyone.post("/api/nothing", huge.clone()).expect(413, "invalid");
    anyone.patch("/api/patients", huge).expect(413, "invalid");
    // The route, then its methods, before the token.
    anyone.post("/api/nothing", bad.clone()).expect(404, "failed");
    anyone.patch("/api/patients?surprise=1", bad.clone()).expect(405, "failed");
    // The token, then the role, before content type, body and query.
    anyone.send("POST", "/api/patients?surprise=1", &plain, Some(bad.clone())).expect(401, "forbidden");
    anyone.get("/api/admin/patients/x").expect(401, "forbidden");
    other.send("PUT", "/api/admin/patients/x?surprise=1", &plain, Some(bad.clone())).expect(403, "forbidden");
    // The content type before the rest of the request.
    owner.send("POST", "/api/patients?surprise=1", &plain, Some(bad.clone())).expect(415, "invalid");
    owner.send("PUT", "/api/patients/x", &plain, Some(bad.clone())).expect(415, "invalid");
    anyone.send("POST", "/api/auth/login", &plain, Some(bad.clone())).expect(415, "invalid");
    // The request as such before the record.
    other.put(&patient, bad.clone()).expect(400, "invalid");
    other.delete(&format!("{patient}?surprise=1")).expect(400, "invalid");
    other.put(&doctor, bad.clone()).expect(400, "invalid");
    other.patch(&doctor, json!({})).expect(400, "incomplete");
    other.send("DELETE", &doctor, &[("If-Match", "not quoted")], None).expect(400, "invalid");
    admin.delete(&format!("/api/admin/doctors/{}?cascade=maybe", world.doctor_id)).expect(400, "invalid");
    // The record: is it there, may it be changed, is it the version, does it fit.
    let old = [("If-Match", "\"0\"")];
    owner.send("DELETE", "/api/doctors/999999999", &old, None).expect(404, "failed");
    other.send("DELETE", &doctor, &old, None).expect(403, "forbidden");
    owner.send("DELETE", &doctor, &old, None).expect(412, "failed");
    owner.delete(&doctor).expect(409, "failed");
}

#[test]
fn every_body_is_judged_before_the_record_is_looked_for() {
    let app = TestApp::start();
    let world = World::new(&app, "judged");
    for route in routes_with_fields().filter(|route| route.pattern.contains('{')) {
        let target = filled(route, "999999999");
        let person = world.welcome(route);
        let answer = person.send(route.method.name(), &target, &[], Some(json!({ "surprise": 1 })));
        // What a new record lacks is named beside it.
        let word = if route.method == Method::Post { "incomplete" } else { "invalid" };
        assert_eq!(answer.expect(400, word).fields().last().map(String::as_str), Some("surprise"), "{}", named(route));
        let good = person.send(route.method.name(), &target, &[], world.body(route, person));
        good.expect(404, "failed");
    }
}

#[test]
fn options_asks_for_no_token_and_an_asterisk_is_no_path() {
    let app = TestApp::start();
    let answer = http::send(app.address, "OPTIONS", "*", &[], None);
    check(&answer);
    assert!(matches!(answer.status, 204 | 404), "{}", answer.status);
}
