//! Resets: one-time tokens from an invitation or an admin, each good once, and what else ends them.

use std::thread;

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, Person, TestApp, at_once, count, eventually};

const NEW: &str = "a new pass phrase";

fn path(user: &Person) -> String {
    format!("/api/admin/users/{}", user.id)
}

/// Makes an account without a password: the answer.
fn invite(root: &Person, name: &str) -> Answer {
    let body = json!({ "name": name, "email": format!("{name}@example.org") });
    root.post("/api/admin/users", body).expect(201, "created")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_string()
}

/// How many hours from now a token is good, by what its answer says.
fn hours(expires_at: &Value) -> i64 {
    let end: jiff::Timestamp = text(expires_at).parse().expect("a time");
    (end.as_second() - jiff::Timestamp::now().as_second() + 60) / 3600
}

#[test]
fn an_invited_user_sets_the_first_password_and_is_a_user_like_any_other() {
    let app = TestApp::start();
    let root = app.admin("root");
    let invited = invite(&root, "ann");
    let (data, record) = (invited.data(), root.get(&invited.location()).expect(200, "success"));
    assert_eq!(
        (&data["invited"], &data["role"], &data["email"]),
        (&json!(true), &json!("user"), &json!("ann@example.org"))
    );
    assert_eq!((invited.etag(), &data["id"]), (record.etag(), &record.data()["id"]));
    assert!(record.data().get("invitation").is_none(), "shown once");
    assert_eq!(hours(&data["invitation"]["expires_at"]), 7 * 24);
    // Nobody logs in without a password, whatever is sent in its place.
    for password in [PASSWORD, " ", "null"] {
        app.login("ann@example.org", password).expect(401, "invalid");
    }
    let set = app.anyone().reset(&text(&data["invitation"]["token"]), NEW).expect(200, "updated");
    assert_eq!(set.data(), Value::Null);
    let ann = app.logged_in("ann@example.org", NEW);
    assert_eq!(ann.get("/api/auth/me").expect(200, "success").data()["invited"], false);
    let [made] = &app.audited("create")[..] else { panic!("one entry") };
    assert_eq!(
        (&made["actor_id"], &made["resource"], &made["resource_id"]),
        (&json!(root.id), &json!("user"), &json!(ann.id))
    );
    let [reset] = &app.audited("password_reset")[..] else { panic!("one entry") };
    assert_eq!((&reset["actor_id"], &reset["resource_id"]), (&json!(ann.id), &json!(ann.id)));
}

#[test]
fn an_account_with_a_password_needs_no_invitation_and_a_bad_form_makes_none() {
    let app = TestApp::start();
    let root = app.admin("root");
    let make = |change: Value| {
        let mut body = json!({ "name": "Bob", "email": "bob@example.org" });
        body.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        root.post("/api/admin/users", body)
    };
    for (change, field) in [
        (json!({ "password": "" }), "password"),
        (json!({ "password": "short" }), "password"),
        (json!({ "password": "bob@example.org" }), "password"),
        (json!({ "role": "boss" }), "role"),
        (json!({ "disabled": true }), "disabled"),
    ] {
        assert_eq!(make(change).expect(400, "invalid").fields(), [field]);
    }
    let made = make(json!({ "password": PASSWORD, "role": "admin" })).expect(201, "created").data();
    assert_eq!((&made["invitation"], &made["invited"], &made["role"]), (&Value::Null, &json!(false), &json!("admin")));
    app.logged_in("bob@example.org", PASSWORD).get("/api/admin/users").expect(200, "success");
    make(json!({ "password": null })).expect(409, "failed");
    let without =
        root.post("/api/admin/users", json!({ "name": "C", "email": "c@example.org", "password": null, "role": null }));
    assert!(without.expect(201, "created").data()["invitation"].is_object(), "null is absent");
}

#[test]
fn a_reset_unlocks_and_ends_every_session_and_token_and_its_own_token_is_good_once() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    for _ in 0..10 {
        app.login(&ann.email, "not the password").expect(401, "invalid");
    }
    let made = root.send("POST", &format!("{}/reset", path(&ann)), &[], None).expect(201, "created");
    assert_eq!((made.location(), hours(&made.data()["expires_at"])), (path(&ann), 24));
    let token = text(&made.data()["token"]);
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "256 bits: {token}");
    app.anyone().reset(&token, NEW).expect(200, "updated");
    ann.get("/api/auth/me").expect(401, "forbidden");
    ann.refresh().expect(401, "forbidden");
    eventually("the other node hears of it", || ann.at(&other).get("/api/auth/me").status == 401);
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    app.login(&ann.email, NEW).expect(200, "success");
    app.anyone().reset(&token, PASSWORD).expect(401, "invalid");
    app.login(&ann.email, NEW).expect(200, "success");
    assert_eq!(app.audited("reset_issue").len(), 1);
}

#[test]
fn bad_used_expired_and_ended_tokens_are_answered_alike() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let refused = |token: &str| {
        let answer = app.anyone().reset(token, NEW).expect(401, "invalid");
        assert_eq!(answer.header("www-authenticate"), None);
        answer.json().to_string()
    };
    let bad = refused("no such token");
    let expired = root.reset_token(ann.id);
    app.sql().execute("update one_time_tokens set expires_at = now()", &[]).expect("time passes");
    let earlier = root.reset_token(ann.id);
    let ended = root.reset_token(ann.id);
    let ann = ann.with_new_password(PASSWORD, "a pass phrase between");
    let by_email = root.reset_token(ann.id);
    let change = json!({ "email": "ann.new@example.org", "current_password": "a pass phrase between" });
    ann.patch("/api/auth/me", change).expect(200, "updated");
    let by_disabling = root.reset_token(ann.id);
    root.patch(&path(&ann), json!({ "disabled": true })).expect(200, "updated");
    assert_eq!(refused(&by_disabling), bad);
    root.patch(&path(&ann), json!({ "disabled": false })).expect(200, "updated");
    let used = root.reset_token(ann.id);
    app.anyone().reset(&used, "the last pass phrase").expect(200, "updated");
    for token in [&expired, &earlier, &ended, &by_email, &by_disabling, &used] {
        assert_eq!(refused(token), bad);
    }
    app.login("ann.new@example.org", "the last pass phrase").expect(200, "success");
}

#[test]
fn a_password_that_breaks_a_rule_does_not_use_the_token_up() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let token = root.reset_token(ann.id);
    for (token, password, fields) in [
        (&*token, "short", &["new_password"][..]),
        ("no such token", "short", &["new_password"]),
        (&token, "ANN@example.org", &["new_password"]),
    ] {
        assert_eq!(app.anyone().reset(token, password).expect(400, "invalid").fields(), fields);
    }
    // Whose address it would be is told only to somebody with a good token.
    app.anyone().reset("no such token", "ANN@example.org").expect(401, "invalid");
    let incomplete = app.anyone().post("/api/auth/reset", json!({ "token": "", "new_password": null }));
    assert_eq!(incomplete.expect(400, "incomplete").fields(), ["token", "new_password"]);
    app.anyone().reset(&token, NEW).expect(200, "updated");
}

#[test]
fn a_new_token_ends_the_earlier_one_of_its_purpose_and_a_disabled_user_gets_none() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let (first, second) = (root.reset_token(ann.id), root.reset_token(ann.id));
    app.anyone().reset(&first, NEW).expect(401, "invalid");
    app.anyone().reset(&second, NEW).expect(200, "updated");
    // For somebody who never had a password, a reset is another invitation.
    let invited = invite(&root, "bob").data();
    let again =
        root.send("POST", &format!("/api/admin/users/{}/reset", invited["id"]), &[], None).expect(201, "created");
    assert_eq!(hours(&again.data()["expires_at"]), 7 * 24);
    app.anyone().reset(&text(&invited["invitation"]["token"]), NEW).expect(401, "invalid");
    app.anyone().reset(&text(&again.data()["token"]), NEW).expect(200, "updated");

    root.patch(&path(&ann), json!({ "disabled": true })).expect(200, "updated");
    root.send("POST", &format!("{}/reset", path(&ann)), &[], None).expect(409, "failed");
    root.send("POST", "/api/admin/users/999/reset", &[], None).expect(404, "failed");
}

#[test]
fn of_many_uses_of_one_token_at_once_at_two_nodes_exactly_one_succeeds() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    for round in 0..5 {
        let token = root.reset_token(ann.id);
        let password = |number: usize| format!("pass phrase {round} {number}");
        let answers = at_once(8, |number| {
            let node = if number % 2 == 0 { &app } else { &other };
            node.anyone().reset(&token, &password(number))
        });
        assert_eq!((count(&answers, 200), count(&answers, 401)), (1, 7));
        let winner = answers.iter().position(|answer| answer.status == 200).expect("a winner");
        app.login(&ann.email, &password(winner)).expect(200, "success");
    }
    assert_eq!(app.audited("password_reset").len(), 5);
}

/// Whoever comes first, afterwards nobody has a session that the reset should have ended, and no token is good.
#[test]
fn a_reset_that_races_a_login_or_a_disabling_leaves_no_session_behind() {
    let app = TestApp::start();
    let (root, mut ann) = (app.admin("root"), app.signed_up("ann"));
    let mut password = PASSWORD.to_string();
    for round in 0..12 {
        let (token, new) = (root.reset_token(ann.id), format!("pass phrase {round}"));
        let disables = round % 2 == 1;
        let (reset, login) = thread::scope(|scope| {
            let reset = scope.spawn(|| app.anyone().reset(&token, &new));
            let login = scope.spawn(|| app.login(&ann.email, &password));
            if disables {
                root.patch(&path(&ann), json!({ "disabled": true })).expect(200, "updated");
            }
            (reset.join().expect("an answer"), login.join().expect("an answer"))
        });
        assert!([200, 401].contains(&reset.status) && [200, 401].contains(&login.status));
        if login.status == 200 {
            let session = ann.with_pair(&login.data());
            session.get("/api/auth/me").expect(401, "forbidden");
        }
        app.anyone().reset(&token, PASSWORD).expect(401, "invalid");
        if reset.status == 200 {
            password = new;
        }
        if disables {
            app.login(&ann.email, &password).expect(401, "invalid");
            root.patch(&path(&ann), json!({ "disabled": false })).expect(200, "updated");
        }
        ann = app.logged_in(&ann.email, &password);
    }
}

#[test]
fn tokens_are_stored_as_their_hash_only() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let tokens = [root.reset_token(ann.id), text(&invite(&root, "bob").data()["invitation"]["token"])];
    let stored = app.sql().query("select to_jsonb(t)::text from one_time_tokens t", &[]).expect("rows");
    assert_eq!(stored.len(), 2);
    for row in stored {
        let row: String = row.get(0);
        assert!(!tokens.iter().any(|token| row.contains(token.as_str())), "{row}");
    }
}

#[test]
fn closed_registration_answers_before_it_looks_at_the_body_and_admins_make_accounts() {
    let app = TestApp::start();
    let root = app.admin("root");
    let closed = TestApp::on(&app.database, |config| config.registration_open = false);
    for body in [json!({}), json!({ "name": "A", "email": root.email, "password": PASSWORD })] {
        closed.anyone().post("/api/auth/register", body).expect(403, "forbidden");
    }
    let text = [("Content-Type", "text/plain")];
    closed.anyone().send("POST", "/api/auth/register", &text, Some(json!(1))).expect(403, "forbidden");
    let token = text_of_invitation(&invite(&root.at(&closed), "ann"));
    closed.anyone().reset(&token, NEW).expect(200, "updated");
    closed.logged_in("ann@example.org", NEW);
}

fn text_of_invitation(answer: &Answer) -> String {
    text(&answer.data()["invitation"]["token"])
}
