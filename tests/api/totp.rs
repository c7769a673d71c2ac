//! The second factor: set up, confirmed, asked for at a login; no code is good twice, and no one guesses one.

use std::collections::HashMap;

use healthcare_backend::Config;
use serde_json::{Value, json};

use crate::harness::app::SECRET;
use crate::harness::http::Answer;
use crate::harness::totp::Totp;
use crate::harness::{PASSWORD, Person, TestApp, at_once, count, eventually};

const NEW_SECRET: &str = "a new secret of the tests, 32 bytes or more";

fn login(app: &TestApp, user: &Person, code: &str) -> Answer {
    app.anyone().post("/api/auth/login", json!({ "email": user.email, "password": PASSWORD, "code": code }))
}

/// A user with a second factor in force, and the recovery codes.
fn with_totp(app: &TestApp, name: &str) -> (Person, Totp, Vec<String>) {
    let user = app.signed_up(name);
    let totp = user.try_totp().expect("a second factor");
    let codes = user.confirm(&totp);
    (user, totp, codes)
}

/// Forgets which codes were used, as if half a minute had passed.
fn let_time_pass(app: &TestApp) {
    app.sql().execute("update totp_secrets set last_step = 0", &[]).expect("a row");
}

/// Nothing stops a test from having more wrong logins than an account may have.
fn patient(config: &mut Config) {
    (config.login_max_failures, config.login_max_failures_total) = (1_000_000, 1_000_000);
}

#[test]
fn a_second_factor_comes_into_force_with_its_first_code_and_is_asked_for_from_then_on() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let before = ann.get("/api/auth/me").expect(200, "success");
    let prepare = |password: &str| ann.post("/api/auth/totp", json!({ "current_password": password }));
    prepare("not the password").expect(401, "invalid");
    assert_eq!(app.audited("login_failed").len(), 1);
    let prepared = prepare(PASSWORD).expect(201, "created");
    assert_eq!(prepared.location(), "/api/auth/me");
    let (data, totp) = (prepared.data(), Totp::new(&prepared.data()));
    let uri = format!(
        "otpauth://totp/healthcare-backend:ann%40example.org?secret={}&issuer=healthcare-backend&algorithm=SHA1&digits=6&period=30",
        totp.secret
    );
    assert_eq!((data["uri"].as_str(), totp.secret.len()), (Some(uri.as_str()), 32), "160 bits, no padding");
    app.login(&ann.email, PASSWORD).expect(200, "success");

    let confirm = |code: &str| ann.post("/api/auth/totp/confirm", json!({ "code": code }));
    assert_eq!(confirm(&totp.wrong()).expect(400, "invalid").fields(), ["code"]);
    assert_eq!(confirm(" ").expect(400, "incomplete").fields(), ["code"]);
    let code = totp.code();
    let codes = confirm(&format!(" {} {} ", &code[..3], &code[3..])).expect(200, "success").data();
    assert_eq!(codes["recovery_codes"].as_array().map(Vec::len), Some(10));
    let after = ann.get("/api/auth/me").expect(200, "success");
    assert_eq!((&after.data()["totp"], after.etag() == before.etag()), (&json!(true), false));
    confirm(&totp.code_in(1)).expect(409, "failed");
    prepare(PASSWORD).expect(409, "failed");

    let needed = app.login(&ann.email, PASSWORD).expect(401, "invalid");
    assert_eq!(needed.data(), json!({ "code_required": true }));
    assert_eq!(app.login(&ann.email, "not the password").expect(401, "invalid").data(), Value::Null);
    login(&app, &ann, &code).expect(401, "invalid"); // used up by the confirmation
    let next = totp.code_in(1);
    let in_session = login(&app, &ann, &next).expect(200, "success").data();
    assert!(in_session.get("recovery_codes_left").is_none());
    login(&app, &ann, &next).expect(401, "invalid");
    let entries = app.audited("totp_change");
    assert_eq!((entries.len(), &entries[0]["actor_id"]), (1, &json!(ann.id)));
}

#[test]
fn a_code_is_ignored_where_no_second_factor_is_in_force() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    login(&app, &ann, "anything").expect(200, "success");
    ann.post("/api/auth/totp/confirm", json!({ "code": "123456" })).expect(409, "failed");
    let remove = json!({ "current_password": PASSWORD, "code": "123456" });
    ann.post("/api/auth/totp/remove", remove).expect(409, "failed");
    let long = json!({ "email": ann.email, "password": PASSWORD, "code": "1".repeat(65) });
    assert_eq!(app.anyone().post("/api/auth/login", long).expect(400, "invalid").fields(), ["code"]);
    assert!(app.sql().query("select from login_failures", &[]).expect("rows").is_empty());
}

#[test]
fn a_missing_code_changes_no_count_and_a_wrong_one_is_a_failed_login() {
    let app = TestApp::start();
    let (ann, totp, _) = with_totp(&app, "ann");
    let failures = || -> HashMap<String, i32> {
        let rows = app.sql().query("select network, failures from login_failures", &[]).expect("rows");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    for _ in 0..20 {
        let needed = app.login(&ann.email, PASSWORD).expect(401, "invalid");
        assert_eq!(needed.data(), json!({ "code_required": true }));
    }
    assert!(failures().is_empty());
    let wrong = app.login(&ann.email, "not the password").expect(401, "invalid").json();
    for blank in ["", " ", "\u{a0}"] {
        assert_eq!(login(&app, &ann, blank).expect(401, "invalid").data(), json!({ "code_required": true }));
    }
    assert_eq!(failures().into_values().collect::<Vec<_>>(), [1, 1]);
    let with_wrong_code = login(&app, &ann, &totp.wrong()).expect(401, "invalid").json();
    assert_eq!(
        (&with_wrong_code["message"], &with_wrong_code["data"]),
        (&wrong["message"], &json!({ "code_required": true }))
    );
    assert_eq!(app.audited("login_failed").len(), 2);
    for _ in 0..8 {
        login(&app, &ann, &totp.wrong()).expect(401, "invalid");
    }
    // Ten in a row: the account is locked, and answers as for a wrong password.
    assert_eq!(login(&app, &ann, &totp.code_in(1)).expect(401, "invalid").json(), wrong);
    assert_eq!(app.login(&ann.email, PASSWORD).expect(401, "invalid").json(), wrong);
    assert_eq!(app.audited("login").len(), 1, "that of the registration");
}

#[test]
fn a_disabled_or_invited_account_tells_nobody_of_a_second_factor() {
    let app = TestApp::start();
    let (ann, totp, codes) = with_totp(&app, "ann");
    let wrong = app.login("nobody@example.org", PASSWORD).expect(401, "invalid").json();
    app.sql().execute("update users set disabled = true where id = $1", &[&ann.id]).expect("disabled");
    assert_eq!(app.login(&ann.email, PASSWORD).expect(401, "invalid").json(), wrong);
    for code in [totp.code_in(1), codes[0].clone()] {
        assert_eq!(login(&app, &ann, &code).expect(401, "invalid").json(), wrong);
    }
}

#[test]
fn no_code_is_good_twice_even_at_two_nodes_at_once() {
    let app = TestApp::with(patient);
    let other = TestApp::on(&app.database, patient);
    let (ann, totp, codes) = with_totp(&app, "ann");
    for recovery_code in codes.into_iter().take(5) {
        let_time_pass(&app);
        for code in [totp.code(), recovery_code] {
            let answers = at_once(8, |number| login(if number % 2 == 0 { &app } else { &other }, &ann, &code));
            assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 7), "{code}");
        }
    }
    // Of the steps around the present one, only those after the last that was used are good.
    let_time_pass(&app);
    let around = [-2, -1, 0, 1].map(|steps| totp.code_in(steps));
    login(&app, &ann, &around[3]).expect(200, "success");
    for code in &around {
        login(&app, &ann, code).expect(401, "invalid");
    }
}

#[test]
fn a_recovery_code_is_good_once_and_its_use_is_recorded() {
    let app = TestApp::start();
    let (ann, _, codes) = with_totp(&app, "ann");
    for (number, code) in codes.iter().enumerate() {
        let typed = if number % 2 == 0 { code.clone() } else { code.to_uppercase().replace('-', " ") };
        let grant = login(&app, &ann, &typed).expect(200, "success").data();
        assert_eq!(grant["recovery_codes_left"], json!(9 - number));
        login(&app, &ann, code).expect(401, "invalid");
    }
    assert_eq!(app.audited("totp_change").len(), 1 + 10);
    let stored = app.sql().query("select from recovery_codes", &[]).expect("rows");
    assert!(stored.is_empty());
}

#[test]
fn after_a_hundred_wrong_codes_the_account_stays_locked_until_somebody_helps() {
    let app = TestApp::with(patient);
    let other = TestApp::on(&app.database, patient);
    let root = app.admin("root");
    let (ann, totp, codes) = with_totp(&app, "ann");
    let wrong = app.login("nobody@example.org", PASSWORD).expect(401, "invalid").json();
    let guess = |times: usize| {
        let answers = at_once(10, |thread| {
            let node = if thread % 2 == 0 { &app } else { &other };
            (0..times / 10).map(|_| login(node, &ann, &totp.wrong())).collect::<Vec<_>>()
        });
        answers.into_iter().flatten().filter(|answer| !answer.data().is_null()).count()
    };
    // A right code between begins a new count.
    assert_eq!(guess(90), 90);
    login(&app, &ann, &totp.code_in(1)).expect(200, "success");
    // However many guess at two nodes at once, a hundred are looked at.
    assert_eq!(guess(150), 100);
    assert_eq!(app.audited("lock").len(), 1);
    let_time_pass(&app);
    for code in [totp.code(), codes[0].clone(), String::new()] {
        assert_eq!(login(&app, &ann, &code).expect(401, "invalid").json(), wrong);
    }
    let remove =
        |code: String| ann.post("/api/auth/totp/remove", json!({ "current_password": PASSWORD, "code": code }));
    remove(codes[0].clone()).expect(401, "invalid");
    root.send("POST", &format!("/api/admin/users/{}/unlock", ann.id), &[], None).expect(200, "updated");
    login(&app, &ann, &totp.code()).expect(200, "success");
    // A wrong code at the removal counts as well; a reset unlocks, and leaves the second factor.
    for _ in 0..100 {
        remove(totp.wrong()).expect(401, "invalid");
    }
    let_time_pass(&app);
    login(&app, &ann, &totp.code()).expect(401, "invalid");
    app.anyone().reset(&root.reset_token(ann.id), PASSWORD).expect(200, "updated");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    login(&app, &ann, &totp.code()).expect(200, "success");
}

#[test]
fn its_owner_removes_it_with_password_and_code_and_keeps_the_sessions() {
    let app = TestApp::start();
    let (ann, totp, codes) = with_totp(&app, "ann");
    let remove = |password: &str, code: &str| {
        ann.post("/api/auth/totp/remove", json!({ "current_password": password, "code": code }))
    };
    let wrong_password = remove("not the password", &totp.code_in(1)).expect(401, "invalid").json();
    assert_eq!(remove(PASSWORD, &totp.wrong()).expect(401, "invalid").json(), wrong_password);
    assert_eq!(app.audited("login_failed").len(), 2);
    // What was refused is not used up.
    let removed = remove(PASSWORD, &totp.code_in(1)).expect(200, "updated");
    assert_eq!((&removed.data()["totp"], removed.id()), (&json!(false), ann.id));
    assert_eq!(removed.etag(), ann.get("/api/auth/me").expect(200, "success").etag());
    app.login(&ann.email, PASSWORD).expect(200, "success");
    // The old recovery codes are over with it, also when there is a new one.
    let totp = ann.try_totp().expect("another second factor");
    let new = ann.confirm(&totp);
    login(&app, &ann, &codes[0]).expect(401, "invalid");
    remove(PASSWORD, &new[0]).expect(200, "updated");
    assert_eq!(app.audited("totp_change").len(), 4);
}

#[test]
fn an_admin_takes_it_away_and_ends_all_sessions_but_never_the_own() {
    let app = TestApp::start();
    let (root, other) = (app.admin("root"), app.admin("other"));
    let (ann, _, _) = with_totp(&app, "ann");
    let path = |user: &Person| format!("/api/admin/users/{}/totp", user.id);
    root.delete(&path(&ann)).expect(200, "deleted");
    ann.get("/api/auth/me").expect(401, "forbidden");
    let ann = app.logged_in(&ann.email, PASSWORD);
    // Where there is none, nothing happens.
    root.delete(&path(&ann)).expect(200, "deleted");
    ann.get("/api/auth/me").expect(200, "success");
    root.confirm(&root.try_totp().expect("a second factor"));
    root.delete(&path(&root)).expect(403, "forbidden");
    eventually("the refusal is in the trail", || app.audited("denied").len() == 1);
    other.delete(&path(&root)).expect(200, "deleted");
    app.login(&root.email, PASSWORD).expect(200, "success");
    root.delete("/api/admin/users/999/totp").expect(401, "forbidden");
    other.delete("/api/admin/users/999/totp").expect(404, "failed");
    let by: Vec<Value> = app.audited("totp_change").iter().map(|entry| entry["actor_id"].clone()).collect();
    assert_eq!(by, [json!(ann.id), json!(root.id), json!(root.id), json!(other.id)]);
}

#[test]
fn a_secret_is_sealed_and_outlives_a_rotation_of_the_key() {
    let app = TestApp::start();
    let (ann, totp, codes) = with_totp(&app, "ann");
    let stored = || -> Vec<u8> { app.sql().query_one("select secret from totp_secrets", &[]).expect("a row").get(0) };
    let (first, text) = (stored(), totp.secret.clone());
    assert!(!format!("{:?}", first).contains(&text) && first.len() == 12 + 20 + 16);
    let rotated = |config: &mut Config| {
        (config.jwt_secret, config.jwt_secret_previous) = (Some(NEW_SECRET.into()), Some(SECRET.into()));
    };
    let rotating = TestApp::on(&app.database, rotated);
    login(&rotating, &ann, &totp.code_in(1)).expect(200, "success");
    assert_ne!(stored(), first, "sealed anew");
    let after = TestApp::on(&app.database, |config| config.jwt_secret = Some(NEW_SECRET.into()));
    let_time_pass(&app);
    login(&after, &ann, &totp.code()).expect(200, "success");
    // Who replaces the key without a rotation has no secrets any more; recovery codes still help.
    let_time_pass(&app);
    assert_eq!(login(&app, &ann, &totp.code_in(1)).expect(401, "invalid").data(), json!({ "code_required": true }));
    login(&app, &ann, &codes[0]).expect(200, "success");
    // A secret that is copied to another account opens nothing there.
    let (bob, _, _) = with_totp(&app, "bob");
    app.sql()
        .execute("update totp_secrets set secret = $1, last_step = 0 where user_id = $2", &[&first, &bob.id])
        .expect("a row");
    login(&app, &bob, &totp.code()).expect(401, "invalid");
}
