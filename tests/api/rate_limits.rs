//! Rate limits: per client address for whatever checks a password or a token, and per user for changes; and which address a client
//! has behind proxies.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use healthcare_backend::Network;
use healthcare_backend::internals::{Access, Counted, Limiter, ROUTES};
use serde_json::{Value, json};

use crate::contract::check;
use crate::harness::http::Answer;
use crate::harness::{PASSWORD, TestApp, eventually};

/// A service that lets each address try three times a minute, behind proxies in these networks.
fn limited(proxies: &[&str]) -> TestApp {
    TestApp::with(|config| {
        config.auth_rate_per_minute = 3;
        config.trusted_proxies = proxies.iter().map(|text| Network::parse(text).expect("a network")).collect();
    })
}

/// A login that is well-formed and wrong, with this `X-Forwarded-For`.
fn try_from(app: &TestApp, forwarded_for: &str) -> u16 {
    app.login_from("nobody@example.org", PASSWORD, &[("X-Forwarded-For", forwarded_for)]).status
}

/// Uses up what the address has.
fn exhaust(app: &TestApp, forwarded_for: &str) {
    for _ in 0..3 {
        assert_eq!(try_from(app, forwarded_for), 401, "{forwarded_for}");
    }
    assert_eq!(try_from(app, forwarded_for), 429, "{forwarded_for}");
}

#[test]
fn all_requests_that_check_a_password_or_a_token_share_one_limit_per_address() {
    let app = limited(&[]);
    let ann = app.signed_up("ann"); // two: a registration and a login
    let renewed = ann.with_pair(&ann.refresh().expect(200, "success").data());
    let body = json!({ "name": "b", "email": "bob@example.org", "password": PASSWORD });
    let change = json!({ "current_password": PASSWORD, "new_password": "a new pass phrase" });
    let refused: [Answer; 5] = [
        app.login(&ann.email, PASSWORD),
        renewed.refresh(),
        app.anyone().post("/api/auth/register", body),
        ann.post("/api/auth/password", change),
        // Malformed requests count as well: the limit comes before the body.
        app.anyone().post("/api/auth/login", json!({})),
    ];
    for answer in refused {
        let answer = answer.expect(429, "failed");
        let seconds: u64 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((1..=20).contains(&seconds), "{seconds}");
        let limit = answer.header("ratelimit").expect("RateLimit");
        assert_eq!(limit, format!("\"auth\";r=0;t={seconds}"));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"auth\";q=3;w=60"));
        assert_eq!(answer.data(), Value::Null);
    }
    assert_eq!(app.metric("rate_limited_total"), 5.0);
    // Everything else goes on, and nothing was counted against the account.
    ann.get("/api/auth/me").expect(200, "success");
    assert!(app.audited("login_failed").is_empty());
}

#[test]
fn every_route_that_checks_a_password_a_code_or_a_token_counts() {
    let counted: Vec<String> = ROUTES
        .iter()
        .filter(|route| route.is_rate_limited)
        .map(|route| route.pattern.trim_start_matches("/api/auth/").to_string())
        .collect();
    // A new e-mail address in `PATCH /api/auth/me` counts too: `users` has that.
    let expected = [
        "register",
        "login",
        "refresh",
        "forgot",
        "reset",
        "totp",
        "totp/confirm",
        "totp/remove",
        "password",
        "/api/emergency-access",
    ];
    assert_eq!(counted, expected);
    let app = limited(&[]);
    for _ in 0..3 {
        app.anyone().reset("no such token", PASSWORD).expect(401, "invalid");
    }
    app.anyone().reset("no such token", PASSWORD).expect(429, "failed");
    app.anyone().post("/api/auth/forgot", json!({ "email": "ann@example.org" })).expect(429, "failed");
}

#[test]
fn the_default_is_generous_and_zero_switches_the_limit_off() {
    assert_eq!(healthcare_backend::Config::default().auth_rate_per_minute, 120);
    let app = TestApp::with(|config| config.auth_rate_per_minute = 120);
    let body = json!({ "refresh_token": "none" });
    let mut statuses = (0..200).map(|_| app.anyone().post("/api/auth/refresh", body.clone()).status);
    assert!(statuses.by_ref().take(120).all(|status| status == 401));
    assert!(statuses.any(|status| status == 429), "the bucket holds a minute's worth");
    let open = TestApp::with(|config| config.auth_rate_per_minute = 0);
    for _ in 0..200 {
        open.anyone().post("/api/auth/refresh", body.clone()).expect(401, "forbidden");
    }
}

#[test]
fn without_trusted_proxies_the_forwarded_address_is_ignored() {
    let app = limited(&[]);
    for number in 0..3 {
        assert_eq!(try_from(&app, &format!("192.0.2.{number}")), 401);
    }
    assert_eq!(try_from(&app, "192.0.2.99"), 429);
    assert_eq!(app.login("nobody@example.org", PASSWORD).status, 429);
    let elsewhere = limited(&["10.0.0.0/8"]);
    exhaust(&elsewhere, "192.0.2.1");
    assert_eq!(try_from(&elsewhere, "192.0.2.2"), 429, "the peer is not one of the trusted");
}

#[test]
fn behind_a_trusted_proxy_each_client_has_a_limit_of_its_own() {
    let app = limited(&["127.0.0.1"]);
    exhaust(&app, "192.0.2.1");
    exhaust(&app, "192.0.2.2");
    // The proxy itself is the client if it forwards for no one.
    assert_eq!(app.login("nobody@example.org", PASSWORD).status, 401);
    // One subscriber of IPv6 has a /64.
    exhaust(&app, "2001:db8::1");
    assert_eq!(try_from(&app, "2001:db8::ffff:2"), 429);
    assert_eq!(try_from(&app, "2001:db8:0:1::1"), 401);
}

#[test]
fn a_client_cannot_make_up_an_address_in_front_of_the_proxys() {
    let app = limited(&["127.0.0.1", "10.0.0.0/8"]);
    exhaust(&app, "192.0.2.1");
    for claimed in
        ["203.0.113.5, 192.0.2.1", "203.0.113.6,192.0.2.1", "x, 192.0.2.1", "203.0.113.7, 192.0.2.1, 10.1.2.3"]
    {
        assert_eq!(try_from(&app, claimed), 429, "{claimed}");
    }
    let twice = [("X-Forwarded-For", "203.0.113.8"), ("X-Forwarded-For", "192.0.2.1")];
    assert_eq!(app.login_from("nobody@example.org", PASSWORD, &twice).status, 429, "two headers are one list");
    assert_eq!(try_from(&app, "192.0.2.1:4711"), 429, "some proxies add the port");
    assert_eq!(try_from(&app, "203.0.113.9, 10.1.2.3"), 401, "behind two proxies");
    // Where every entry is a proxy, or none is an address, what is known for sure counts.
    exhaust(&app, "10.9.9.9");
    assert_eq!(try_from(&app, "10.9.9.9, 10.1.1.1"), 429);
    exhaust(&app, "unknown");
    assert_eq!(try_from(&app, "203.0.113.10, _hidden"), 429);
}

#[test]
fn the_address_in_the_trail_and_in_the_sessions_is_the_clients() {
    let app = TestApp::with(|config| config.trusted_proxies = vec![Network::parse("127.0.0.1").expect("a network")]);
    let ann = app.signed_up("ann");
    let grant = app.login_from(&ann.email, PASSWORD, &[("X-Forwarded-For", "2001:db8::7")]).expect(200, "success");
    let session = ann.with_pair(&grant.data()).session_id();
    let sessions = ann.get("/api/auth/sessions").expect(200, "success").data();
    let shown = sessions.as_array().and_then(|list| list.iter().find(|shown| shown["id"] == session)).cloned();
    assert_eq!(shown.expect("the session")["ip"], "2001:db8::7");
    assert_eq!(app.audited("login").last().expect("an entry")["ip"], "2001:db8::7");
}

#[test]
fn the_table_of_addresses_is_bounded_and_forgets_the_one_unused_longest() {
    let limiter = Limiter::new(Counted::Attempts, 1);
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
    // One more than are remembered, each with one try.
    for number in 0..=10_000 {
        assert!(limiter.take(address(number)).is_ok(), "{number}");
    }
    for number in [1, 5_000, 10_000] {
        assert!(limiter.take(address(number)).is_err(), "{number} is still remembered");
    }
    assert!(limiter.take(address(0)).is_ok(), "the first has been forgotten");
}

#[test]
fn a_user_beyond_the_limit_of_changes_can_read_and_others_can_change() {
    let app = TestApp::with(|config| config.changes_per_minute = 5);
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    let doctor = ann.new_doctor("D");
    ann.new_mapping(patient, doctor);
    ann.patch(&path, json!({ "phone": "+49 30 1234567" })).expect(200, "updated");
    // A change that is refused for its body counts as well.
    ann.patch(&path, json!({ "phone": "none" })).expect(400, "invalid");
    for refused in [
        ann.patch(&path, json!({ "phone": null })),
        ann.post("/api/doctors", json!({ "surprise": 1 })),
        ann.delete(&path),
        app.logged_in(&ann.email, PASSWORD).delete(&path),
    ] {
        check(&refused);
        let refused = refused.expect(429, "failed");
        let seconds: u64 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((1..=12).contains(&seconds), "{seconds}");
        assert_eq!(refused.header("ratelimit"), Some(&*format!("\"changes\";r=0;t={seconds}")));
        assert_eq!(refused.header("ratelimit-policy"), Some("\"changes\";q=5;w=60"));
    }
    assert_eq!(app.metric("rate_limited_total"), 4.0);
    assert_eq!(ann.get(&path).expect(200, "success").data()["phone"], "+49 30 1234567");
    bob.new_patient("Q");
    assert!(app.audited("denied").is_empty() && app.audited("delete").is_empty());
}

#[test]
fn every_change_of_a_user_is_limited_but_not_the_end_of_a_session_or_a_new_password() {
    let app = TestApp::with(|config| config.changes_per_minute = 1);
    let (owner, admin) = (app.signed_up("owner"), app.admin("admin"));
    // The one change of each user; it is refused for its body, and there is no record to change.
    owner.post("/api/patients", json!({})).expect(400, "incomplete");
    admin.post("/api/patients", json!({})).expect(400, "incomplete");
    // A thief with a stolen token cannot keep the user from ending it.
    let ends_sessions = |pattern: &str| pattern.contains("/sessions") || pattern == "/api/auth/logout";
    for route in ROUTES.iter().filter(|route| !ends_sessions(route.pattern)) {
        let target = route.pattern.replace("{patient_id}", "999999999").replace("{id}", "999999999");
        let person = if route.access() == Access::Admin { &admin } else { &owner };
        let body = route.has_fields.then(|| json!({ "surprise": 1 }));
        let answer = person.send(route.method.name(), &target, &[], body);
        let is_change = route.method.name() != "GET"
            && route.access() != Access::Anyone
            && !route.is_fhir
            && !route.is_rate_limited;
        assert_eq!(answer.status == 429, is_change, "{} {}", route.method.name(), route.pattern);
    }
    // A refused user uses nothing up.
    owner.delete("/api/admin/patients/999999999").expect(403, "forbidden");
    app.logged_in(&owner.email, PASSWORD).send("POST", "/api/auth/logout", &[], None).expect(200, "success");
    let change = json!({ "current_password": PASSWORD, "new_password": "another long secret" });
    owner.post("/api/auth/password", change).expect(200, "updated");
    app.anyone().delete("/api/patients/999999999").expect(401, "forbidden");
}

#[test]
fn changes_are_welcome_again_as_the_bucket_fills() {
    assert_eq!(healthcare_backend::Config::default().changes_per_minute, 600);
    let (limiter, start) = (Limiter::new(Counted::Changes, 600), Instant::now());
    let at = |milliseconds: u64| limiter.take_at(7_i64, start + Duration::from_millis(milliseconds));
    for _ in 0..600 {
        assert!(at(0).is_ok(), "a minute's worth");
    }
    assert_eq!(at(0).expect_err("no more").retry_after_seconds, 1);
    assert!(at(99).is_err() && at(101).is_ok() && at(101).is_err(), "ten a second");
    assert!(limiter.take_at(8, start).is_ok(), "another user has another bucket");
    for _ in 0..600 {
        assert!(at(60_200).is_ok(), "full again, and never fuller");
    }
    assert!(at(60_200).is_err());
    // And over HTTP, one a second.
    let app = TestApp::with(|config| config.changes_per_minute = 60);
    let ann = app.signed_up("ann");
    let change = || ann.post("/api/patients", json!({})).status;
    assert!((0..100).map(|_| change()).any(|status| status == 429));
    eventually("a change is welcome again", || change() == 400);
    let open = TestApp::with(|config| config.changes_per_minute = 0);
    let bob = open.signed_up("bob");
    assert!((0..700).all(|_| bob.post("/api/patients", json!({})).status == 400), "0 is no limit");
}
