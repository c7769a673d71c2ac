//! Access tokens: which are believed, which are refused, and that a refused one does not touch the database.

use serde_json::{Value, json};

use crate::harness::app::SECRET;
use crate::harness::jwt::{self, Sign};
use crate::harness::{Person, TestApp, eventually, postgres};

const OTHER_SECRET: &str = "another secret of the tests, 32 bytes too";

/// The claims of a user's own token, changed at one place; null removes a claim.
fn claims(user: &Person, changes: Value) -> Value {
    let mut claims = jwt::claims(user.token.as_deref().expect("a token"));
    for (name, value) in changes.as_object().expect("changes") {
        match value {
            Value::Null => claims.as_object_mut().and_then(|claims| claims.remove(name)),
            value => claims.as_object_mut().and_then(|claims| claims.insert(name.clone(), value.clone())),
        };
    }
    claims
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Tokens that are wrong in themselves, each with what is wrong with it.
fn forgeries(user: &Person) -> Vec<(&'static str, String)> {
    let own = user.token.clone().expect("a token");
    let [header, payload, signature] = own.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let unchanged = claims(user, json!({}));
    let with = |changes: Value| jwt::signed(&claims(user, changes), SECRET);
    let critical = |header: Value| jwt::with_header(&header, &unchanged, SECRET, Sign::Sha256);
    let headed = |alg: &str, sign| jwt::with_header(&json!({ "alg": alg, "typ": "JWT" }), &unchanged, SECRET, sign);
    let other_payload = jwt::signed(&claims(user, json!({ "sub": "1" })), OTHER_SECRET);
    let other_payload = other_payload.split('.').nth(1).expect("a payload");
    vec![
        ("no algorithm", headed("none", Sign::Nothing)),
        ("no algorithm, but a signature", headed("none", Sign::Sha256)),
        ("no algorithm, in capitals", headed("NONE", Sign::Nothing)),
        ("HS512", headed("HS512", Sign::Sha512)),
        ("HS384 in the header only", headed("HS384", Sign::Sha256)),
        ("RS256 in the header", headed("RS256", Sign::Sha256)),
        ("ES256 in the header", headed("ES256", Sign::Sha256)),
        ("an unknown algorithm", headed("XS256", Sign::Sha256)),
        ("HS512 under the header of HS256", headed("HS256", Sign::Sha512)),
        ("no signature", headed("HS256", Sign::Nothing)),
        ("another secret", jwt::signed(&unchanged, OTHER_SECRET)),
        ("the empty secret", jwt::signed(&unchanged, "")),
        ("another issuer", with(json!({ "iss": "another service" }))),
        ("no issuer", with(json!({ "iss": null }))),
        ("no exp", with(json!({ "exp": null }))),
        ("an exp that is text", with(json!({ "exp": "tomorrow" }))),
        ("exp a second ago", with(json!({ "iat": now() - 3600, "exp": now() - 1 }))),
        ("exp now", with(json!({ "iat": now() - 3600, "exp": now() }))),
        ("exp long ago", with(json!({ "iat": 1, "exp": 2 }))),
        ("exp before iat", with(json!({ "iat": now() + 50, "exp": now() + 40 }))),
        ("made in the future", with(json!({ "iat": now() + 600, "exp": now() + 3600 }))),
        ("not before the next hour", with(json!({ "nbf": now() + 3600 }))),
        ("not before a moment ahead", with(json!({ "nbf": now() + 30 }))),
        ("an nbf that is text", with(json!({ "nbf": "today" }))),
        ("a life beyond that of ours", with(json!({ "iat": now(), "exp": now() + 3601 }))),
        ("a life of decades", with(json!({ "exp": 4_000_000_000i64 }))),
        ("a life of everything", with(json!({ "iat": i64::MIN, "exp": i64::MAX }))),
        ("a critical extension", critical(json!({ "alg": "HS256", "typ": "JWT", "crit": ["b64"], "b64": true }))),
        ("critical extensions that are none", critical(json!({ "alg": "HS256", "crit": [] }))),
        ("a critical extension that is text", critical(json!({ "alg": "HS256", "crit": "exp" }))),
        ("no iat", with(json!({ "iat": null }))),
        ("no sub", with(json!({ "sub": null }))),
        ("a sub that is no id", with(json!({ "sub": "ann" }))),
        ("a negative sub", with(json!({ "sub": "-1" }))),
        ("no sid", with(json!({ "sid": null }))),
        ("a sid that is text", with(json!({ "sid": "1" }))),
        ("another payload under this signature", format!("{header}.{other_payload}.{signature}")),
        ("a cut signature", own[..own.len() - 2].to_string()),
        ("a lengthened signature", format!("{own}AA")),
        ("no payload", format!("{header}..{signature}")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{own}.{signature}")),
        ("garbage", "garbage".to_string()),
        ("dots", "..".to_string()),
        ("JSON", r#"{"sub":"1"}"#.to_string()),
        ("very long", "a".repeat(7_000)),
    ]
}

#[test]
fn a_token_put_together_by_hand_as_the_service_does_is_believed() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    // Else the forgeries would prove nothing.
    let own = jwt::signed(&claims(&ann, json!({})), SECRET);
    ann.with_token(&own).get("/api/auth/me").expect(200, "success");
    let short = jwt::signed(&claims(&ann, json!({ "exp": now() + 30 })), SECRET);
    ann.with_token(&short).get("/api/auth/me").expect(200, "success");
    let begun = jwt::signed(&claims(&ann, json!({ "nbf": now() })), SECRET);
    ann.with_token(&begun).get("/api/auth/me").expect(200, "success");
}

#[test]
fn forged_tokens_of_every_kind_are_refused_alike() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    ann.get("/api/auth/me").expect(200, "success");
    let none = app.anyone().get("/api/auth/me").expect(401, "forbidden");
    for (what, token) in forgeries(&ann) {
        let answer = ann.with_token(&token).get("/api/auth/me");
        assert_eq!(answer.status, 401, "{what}: {token}");
        assert_eq!(answer.body, none.body, "{what}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
    }
}

#[test]
fn a_session_that_is_unknown_over_or_another_users_is_refused() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    for person in [&ann, &bob] {
        person.get("/api/auth/me").expect(200, "success");
    }
    let sids = [("bob's", bob.session_id()), ("unknown", 999_999), ("zero", 0), ("negative", -1), ("least", i64::MIN)];
    for (what, sid) in sids {
        let token = jwt::signed(&claims(&ann, json!({ "sid": sid })), SECRET);
        assert_eq!(ann.with_token(&token).get("/api/auth/me").status, 401, "{what}");
    }
    let as_bob = jwt::signed(&claims(&ann, json!({ "sub": bob.id.to_string() })), SECRET);
    ann.with_token(&as_bob).get("/api/auth/me").expect(401, "forbidden");
}

#[test]
fn the_previous_secret_is_accepted_while_rotating_but_signs_nothing_new() {
    let old = TestApp::with(|config| config.jwt_secret = Some(OTHER_SECRET.into()));
    let ann = old.signed_up("ann");
    let rotating = TestApp::on(&old.database, |config| config.jwt_secret_previous = Some(OTHER_SECRET.into()));
    let rotated = TestApp::on(&old.database, |_| {});
    ann.at(&rotating).get("/api/auth/me").expect(200, "success");
    ann.at(&rotated).get("/api/auth/me").expect(401, "forbidden");
    let renewed = ann.with_pair(&ann.at(&rotating).refresh().expect(200, "success").data());
    renewed.at(&rotated).get("/api/auth/me").expect(200, "success");
    renewed.at(&old).get("/api/auth/me").expect(401, "forbidden");
    // The old key does not weaken any other check.
    let expired = jwt::signed(&claims(&ann, json!({ "iat": now() - 60, "exp": now() })), OTHER_SECRET);
    ann.with_token(&expired).at(&rotating).get("/api/auth/me").expect(401, "forbidden");
}

#[test]
fn the_scheme_is_matched_without_case_and_carries_one_token() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let token = ann.token.clone().expect("a token");
    let status = |value: &str| app.anyone().send("GET", "/api/auth/me", &[("Authorization", value)], None).status;
    for good in
        [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER {token}"), format!("bEaReR  {token}")]
    {
        assert_eq!(status(&good), 200, "{good}");
    }
    for bad in [
        token.clone(),
        format!("Basic {token}"),
        format!("Token {token}"),
        format!("Bearer{token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}, Bearer {token}"),
        "Bearer".to_string(),
        "Bearer ".to_string(),
    ] {
        assert_eq!(status(&bad), 401, "{bad}");
    }
    let twice = [("Authorization", &*format!("Bearer {token}")), ("Authorization", &*format!("Bearer {token}"))];
    assert_eq!(app.anyone().send("GET", "/api/auth/me", &twice, None).status, 401, "two headers");
    assert_eq!(app.anyone().get(&format!("/api/auth/me?access_token={token}")).status, 401, "a query parameter");
}

#[test]
fn an_expired_token_is_refused_from_its_very_second_on() {
    let app = TestApp::with(|config| config.jwt_ttl_seconds = 2);
    let ann = app.signed_up("ann");
    let exp = claims(&ann, json!({}))["exp"].as_i64().expect("exp");
    eventually("the end of the token", || {
        let asked_at = now();
        let status = ann.get("/api/auth/me").status;
        let answered_at = now();
        assert!(status != 200 || asked_at < exp, "accepted at {asked_at}, though it expired at {exp}");
        assert!(status != 401 || answered_at >= exp, "refused at {answered_at}, though it was good until {exp}");
        answered_at >= exp
    });
    ann.refresh().expect(200, "success");
}

#[test]
fn a_refused_token_costs_no_database_connection() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let fresh = app.logged_in(&ann.email, crate::harness::PASSWORD);
    let closed = postgres::closed(&app.database);
    for (what, token) in forgeries(&ann) {
        assert_eq!(ann.with_token(&token).get("/api/patients").status, 401, "{what}");
    }
    app.anyone().get("/api/patients").expect(401, "forbidden");
    // A good one needs the database, which proves that there is none.
    fresh.get("/api/patients").expect(503, "failed");
    closed.open();
    eventually("the database is back", || fresh.get("/api/patients").status == 200);
}
