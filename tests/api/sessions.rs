//! Sessions: log in, refresh, log out, list, end one's own; an admin ends all of a user's; and how long they live.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, TestApp, at_once, count, jwt};

/// Makes every refresh token that has been used look as if it had been used this long ago.
fn used_ago(app: &TestApp, seconds: i32) {
    let statement = "update refresh_tokens set used_at = now() - make_interval(secs => $1) where used_at is not null";
    app.sql().execute(statement, &[&f64::from(seconds)]).expect("an older use");
}

/// Changes one session behind the service's back and tells the service to forget what it remembers of it.
fn alter_session(app: &TestApp, session_id: i64, assignment: &str) {
    let mut sql = app.sql();
    sql.execute(&format!("update sessions set {assignment} where id = $1"), &[&session_id]).expect("a changed session");
}

fn refresh(app: &TestApp, token: &str) -> crate::harness::http::Answer {
    app.anyone().post("/api/auth/refresh", json!({ "refresh_token": token }))
}

fn own_sessions(person: &Person) -> Vec<Value> {
    person.get("/api/auth/sessions").expect(200, "success").data().as_array().expect("a list").clone()
}

#[test]
fn a_login_answers_with_a_token_a_refresh_token_and_the_user() {
    let app = TestApp::with(|config| config.jwt_ttl_seconds = 600);
    let ann = app.signed_up("ann");
    let grant = app.login(" ANN@example.org ", PASSWORD).expect(200, "success").data();
    let mut names: Vec<&String> = grant.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["expires_in", "refresh_token", "token", "token_type", "user"]);
    assert_eq!((&grant["token_type"], &grant["expires_in"]), (&json!("Bearer"), &json!(600)));
    assert_eq!(grant["user"], ann.get("/api/auth/me").expect(200, "success").data());
    let claims = jwt::claims(grant["token"].as_str().expect("a token"));
    let lifetime = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
    assert_eq!((&claims["sub"], lifetime), (&json!(ann.id.to_string()), 600));
    let refresh_token = grant["refresh_token"].as_str().expect("a refresh token");
    assert!(refresh_token.len() >= 32, "128 bits or more: {refresh_token}");
    assert_ne!(refresh_token, ann.refresh_token);
}

#[test]
fn a_login_names_every_missing_and_bad_field() {
    let app = TestApp::start();
    let refused = |body: Value, word: &str| app.anyone().post("/api/auth/login", body).expect(400, word).fields();
    assert_eq!(refused(json!({ "email": "  " }), "incomplete"), ["email", "password"]);
    assert_eq!(
        refused(json!({ "email": 1, "password": true, "remember": 1 }), "invalid"),
        ["email", "password", "remember"]
    );
    assert_eq!(refused(json!({ "email": "x".repeat(255), "password": "p" }), "invalid"), ["email"]);
    app.login(&"x".repeat(254), "p").expect(401, "invalid");
}

#[test]
fn a_refresh_gives_a_new_pair_for_the_same_session() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let grant = ann.refresh().expect(200, "success").data();
    let renewed = ann.with_pair(&grant);
    assert_eq!(renewed.session_id(), ann.session_id());
    assert_ne!(renewed.refresh_token, ann.refresh_token);
    assert_eq!(grant["user"]["id"], ann.id);
    renewed.get("/api/auth/me").expect(200, "success");
    renewed.refresh().expect(200, "success");
    assert_eq!(own_sessions(&renewed).len(), 1);
}

#[test]
fn a_second_use_of_a_refresh_token_within_ten_seconds_is_a_retry_and_replaces_the_first_pair() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    // Two tabs of a browser: the first one has its pair, and uses it, before the second asks.
    let first = ann.with_pair(&ann.refresh().expect(200, "success").data());
    first.get("/api/auth/me").expect(200, "success");
    used_ago(&app, 8);
    let second = ann.with_pair(&ann.refresh().expect(200, "success").data());
    assert_ne!(first.refresh_token, second.refresh_token);
    for person in [&ann, &first, &second] {
        person.get("/api/auth/me").expect(200, "success");
    }
    // An answer is lost again; the pair that arrives last continues the session.
    let third = ann.with_pair(&ann.refresh().expect(200, "success").data());
    let renewed = third.with_pair(&third.refresh().expect(200, "success").data());
    renewed.refresh().expect(200, "success");
    assert!(app.audited("refresh_reuse").is_empty());
}

/// The session of this person has ended with a word in the trail.
fn has_ended_for_reuse(app: &TestApp, people: &[&Person]) {
    for person in people {
        person.get("/api/auth/me").expect(401, "forbidden");
        person.refresh().expect(401, "forbidden");
    }
    assert_eq!(app.audited("refresh_reuse").len(), 1);
}

#[test]
fn a_replay_within_ten_seconds_does_not_fork_the_session() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let owner = ann.with_pair(&ann.refresh().expect(200, "success").data());
    let thief = ann.with_pair(&ann.refresh().expect(200, "success").data());
    let thief = thief.with_pair(&thief.refresh().expect(200, "success").data());
    thief.get("/api/auth/me").expect(200, "success");
    // The owner's pair has been replaced. As soon as it is used, both are out.
    owner.refresh().expect(401, "forbidden");
    has_ended_for_reuse(&app, &[&owner, &thief]);
}

#[test]
fn a_replay_of_a_refresh_token_whose_pair_was_used_ends_the_session_even_within_ten_seconds() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let renewed = ann.with_pair(&ann.refresh().expect(200, "success").data());
    let again = renewed.with_pair(&renewed.refresh().expect(200, "success").data());
    ann.refresh().expect(401, "forbidden");
    has_ended_for_reuse(&app, &[&ann, &renewed, &again]);
}

#[test]
fn a_later_second_use_ends_the_session() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    let renewed = ann.with_pair(&ann.refresh().expect(200, "success").data());
    renewed.get("/api/auth/me").expect(200, "success");
    used_ago(&app, 11);
    ann.refresh().expect(401, "forbidden");
    for person in [&ann, &renewed] {
        person.get("/api/auth/me").expect(401, "forbidden");
        person.refresh().expect(401, "forbidden");
    }
    elsewhere.get("/api/auth/me").expect(200, "success");
    let entries = app.audited("refresh_reuse");
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["actor_id"], &entries[0]["outcome"]), (&json!(ann.id), &json!("failed")));
    assert_eq!((&entries[0]["resource"], &entries[0]["resource_id"]), (&json!("session"), &json!(ann.session_id())));
    assert_eq!(app.audited("session_end").len(), 1);
}

#[test]
fn twenty_refreshes_at_once_are_retries_of_one_client() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let ann = app.signed_up("ann");
    let answers = at_once(20, |number| ann.at(if number % 2 == 0 { &app } else { &other }).refresh());
    assert_eq!(count(&answers, 200), 20);
    ann.get("/api/auth/me").expect(200, "success");
    let good = "select count(*) from refresh_tokens where used_at is null and replaced_at is null";
    assert_eq!(app.sql().query_one(good, &[]).expect("a count").get::<_, i64>(0), 1, "one of the pairs goes on");
}

#[test]
fn a_refresh_token_that_is_not_one_is_refused() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let token = ann.token.clone().expect("a token");
    for wrong in ["x", &token, &ann.refresh_token.to_uppercase(), &format!(" {}", ann.refresh_token), &"f".repeat(64)] {
        let refused = refresh(&app, wrong).expect(401, "forbidden");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(app.anyone().post("/api/auth/refresh", json!({})).expect(400, "incomplete").fields(), ["refresh_token"]);
    let number = json!({ "refresh_token": 7 });
    assert_eq!(app.anyone().post("/api/auth/refresh", number).expect(400, "invalid").fields(), ["refresh_token"]);
    ann.refresh().expect(200, "success");
    // It is no access token either.
    ann.with_token(&ann.refresh_token).get("/api/auth/me").expect(401, "forbidden");
}

#[test]
fn refresh_tokens_are_stored_as_their_hash_only() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let query = "select exists (select from refresh_tokens where hash = sha256(convert_to($1, 'UTF8'))),
                        exists (select from refresh_tokens where position(convert_to($1, 'UTF8') in hash) > 0)";
    let row = app.sql().query_one(query, &[&ann.refresh_token]).expect("a row");
    assert_eq!((row.get::<_, bool>(0), row.get::<_, bool>(1)), (true, false));
}

#[test]
fn a_logout_ends_this_session_and_no_other() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    ann.get("/api/auth/me").expect(200, "success");
    let answer = ann.send("POST", "/api/auth/logout", &[], None).expect(200, "success");
    assert_eq!(answer.data(), Value::Null);
    let refused = ann.get("/api/auth/me").expect(401, "forbidden");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    ann.refresh().expect(401, "forbidden");
    ann.send("POST", "/api/auth/logout", &[], None).expect(401, "forbidden");
    elsewhere.get("/api/auth/me").expect(200, "success");
}

#[test]
fn the_list_shows_only_the_users_active_sessions() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let credentials = json!({ "email": ann.email, "password": PASSWORD });
    let phone = app.anyone().send("POST", "/api/auth/login", &[("User-Agent", "phone/1.0")], Some(credentials));
    let phone = ann.with_pair(&phone.expect(200, "success").data());
    let (over, idle) = (app.logged_in(&ann.email, PASSWORD), app.logged_in(&ann.email, PASSWORD));
    alter_session(&app, over.session_id(), "expires_at = now()");
    alter_session(&app, idle.session_id(), "last_used_at = now() - interval '7 days'");

    let sessions = own_sessions(&phone);
    let ids: Vec<i64> = sessions.iter().map(|session| session["id"].as_i64().expect("an id")).collect();
    assert_eq!(ids, [ann.session_id(), phone.session_id()]);
    let mut names: Vec<&String> = sessions[1].as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["created_at", "current", "expires_at", "id", "ip", "last_used_at", "user_agent"]);
    assert_eq!((&sessions[1]["user_agent"], &sessions[1]["ip"]), (&json!("phone/1.0"), &json!("127.0.0.1")));
    assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&json!(false), &json!(true)));
    assert_eq!(own_sessions(&bob).len(), 1);
    assert_eq!(ann.get("/api/auth/sessions?limit=1").expect(400, "invalid").fields(), ["limit"], "it is not paged");
}

#[test]
fn a_user_ends_their_own_session_and_nobody_elses() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let lost = app.logged_in(&ann.email, PASSWORD);
    lost.get("/api/auth/me").expect(200, "success");
    let path = format!("/api/auth/sessions/{}", lost.session_id());
    bob.delete(&path).expect(404, "failed");
    lost.get("/api/auth/me").expect(200, "success");
    ann.delete(&path).expect(200, "deleted");
    lost.get("/api/auth/me").expect(401, "forbidden");
    lost.refresh().expect(401, "forbidden");
    ann.delete(&path).expect(404, "failed");
    ann.delete("/api/auth/sessions/x").expect(400, "invalid");
    ann.delete(&format!("/api/auth/sessions/{}", ann.session_id())).expect(200, "deleted");
    ann.get("/api/auth/me").expect(401, "forbidden");
}

#[test]
fn an_admin_ends_all_sessions_of_a_user() {
    let app = TestApp::start();
    let (root, ann, bob) = (app.admin("root"), app.signed_up("ann"), app.signed_up("bob"));
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    for person in [&ann, &elsewhere] {
        person.get("/api/auth/me").expect(200, "success");
    }
    let path = format!("/api/admin/users/{}/sessions", ann.id);
    bob.delete(&path).expect(403, "forbidden");
    root.delete(&path).expect(200, "deleted");
    for person in [&ann, &elsewhere] {
        person.get("/api/auth/me").expect(401, "forbidden");
        person.refresh().expect(401, "forbidden");
    }
    root.get("/api/auth/me").expect(200, "success");
    root.delete("/api/admin/users/999/sessions").expect(404, "failed");
    app.logged_in(&ann.email, PASSWORD).get("/api/auth/me").expect(200, "success");
}
