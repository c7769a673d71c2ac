//! What happens to sessions when a login and something that ends sessions come at the same moment. A lock on the user's row,
//! held by the test, brings the statements into the order of the test: PostgreSQL serves waiting sessions in turn.

use std::thread;

use serde_json::json;

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, Person, TestApp, at_once};

type Request<'a> = Box<dyn FnOnce() -> Answer + Send + 'a>;

/// Starts each request when the one before it waits for the row of this user, then lets go.
fn in_turn(app: &TestApp, user: &Person, requests: Vec<Request>) -> Vec<Answer> {
    let mut holder = app.sql();
    let mut lock = holder.transaction().expect("a transaction");
    lock.execute("select from users where id = $1 for update", &[&user.id]).expect("a lock");
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for request in requests {
            threads.push(scope.spawn(request));
            app.wait_until_blocked(threads.len() as i64);
        }
        lock.commit().expect("the lock is released");
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

fn live_sessions(app: &TestApp, user: &Person) -> i64 {
    let query = "select count(*) from sessions where user_id = $1 and ended_at is null";
    app.sql().query_one(query, &[&user.id]).expect("a count").get(0)
}

#[test]
fn logins_at_once_keep_the_limit_of_a_hundred() {
    let app = TestApp::start();
    let nodes: Vec<TestApp> = (0..3).map(|_| TestApp::on(&app.database, |_| {})).collect();
    let ann = app.signed_up("ann");
    let more = "insert into sessions (user_id, expires_at, last_used_at)
                select $1, now() + interval '20 days', now() - make_interval(hours => 1 + number)
                  from generate_series(1, 99) as number";
    app.sql().execute(more, &[&ann.id]).expect("99 more sessions");
    let logins = nodes.iter().map(|node| Box::new(|| node.login(&ann.email, PASSWORD)) as Request).collect();
    for answer in in_turn(&app, &ann, logins) {
        ann.with_pair(&answer.expect(200, "success").data()).get("/api/auth/me").expect(200, "success");
    }
    assert_eq!(live_sessions(&app, &ann), 100);
}

#[test]
fn a_login_with_the_old_password_does_not_outlive_the_change_that_follows_it() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let ann = app.signed_up("ann");
    let change = json!({ "current_password": PASSWORD, "new_password": "a new pass phrase" });
    let requests: Vec<Request> =
        vec![Box::new(|| other.login(&ann.email, PASSWORD)), Box::new(|| ann.post("/api/auth/password", change))];
    let [login, change] = in_turn(&app, &ann, requests).try_into().expect("two answers");
    let thief = ann.with_pair(&login.expect(200, "success").data());
    thief.get("/api/auth/me").expect(401, "forbidden");
    thief.refresh().expect(401, "forbidden");
    ann.with_pair(&change.expect(200, "updated").data()).get("/api/auth/me").expect(200, "success");
    assert_eq!(live_sessions(&app, &ann), 1);
}

#[test]
fn a_refresh_at_the_same_moment_does_not_outlive_a_password_change() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let mut ann = app.signed_up("ann");
    let mut password = PASSWORD.to_string();
    for round in 0..10 {
        let new = format!("pass phrase number {round}");
        let change = json!({ "current_password": password, "new_password": new });
        let answers = at_once(3, |number| match number {
            0 => ann.post("/api/auth/password", change.clone()),
            1 => ann.refresh(),
            _ => ann.at(&other).refresh(),
        });
        for refreshed in answers[1..].iter().filter(|answer| answer.status == 200) {
            let renewed = ann.with_pair(&refreshed.data());
            renewed.get("/api/auth/me").expect(401, "forbidden");
            renewed.refresh().expect(401, "forbidden");
        }
        let [changed, ..] = <[Answer; 3]>::try_from(answers).expect("three answers");
        (ann, password) = (ann.with_pair(&changed.expect(200, "updated").data()), new);
    }
    ann.get("/api/auth/me").expect(200, "success");
    assert_eq!(live_sessions(&app, &ann), 1);
}

#[test]
fn a_login_right_after_a_password_change_needs_the_new_password() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let ann = app.signed_up("ann");
    let change = json!({ "current_password": PASSWORD, "new_password": "a new pass phrase" });
    let requests: Vec<Request> =
        vec![Box::new(|| ann.post("/api/auth/password", change)), Box::new(|| other.login(&ann.email, PASSWORD))];
    let [change, login] = in_turn(&app, &ann, requests).try_into().expect("two answers");
    change.expect(200, "updated");
    login.expect(401, "invalid");
    assert_eq!(app.audited("login_failed").len(), 1);
}

#[test]
fn of_two_password_changes_at_once_the_second_fails() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let ann = app.signed_up("ann");
    let change = |node: &TestApp, new: &str| {
        ann.at(node).post("/api/auth/password", json!({ "current_password": PASSWORD, "new_password": new }))
    };
    let requests: Vec<Request> =
        vec![Box::new(|| change(&app, "the first new one")), Box::new(|| change(&other, "the second new one"))];
    let [first, second] = in_turn(&app, &ann, requests).try_into().expect("two answers");
    first.expect(200, "updated");
    // The first one ended the session that both came from. Nobody has guessed.
    second.expect(401, "forbidden");
    assert!(app.audited("login_failed").is_empty());
    app.login(&ann.email, "the first new one").expect(200, "success");
}

#[test]
fn a_session_that_began_while_its_user_was_being_disabled_does_not_come_back_with_the_user() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let path = format!("/api/admin/users/{}", ann.id);
    let requests: Vec<Request> = vec![
        Box::new(|| other.login(&ann.email, PASSWORD)),
        Box::new(|| root.patch(&path, json!({ "disabled": true }))),
    ];
    let [login, disable] = in_turn(&app, &ann, requests).try_into().expect("two answers");
    disable.expect(200, "updated");
    let late = ann.with_pair(&login.expect(200, "success").data());
    late.get("/api/auth/me").expect(401, "forbidden");
    root.patch(&path, json!({ "disabled": false })).expect(200, "updated");
    late.get("/api/auth/me").expect(401, "forbidden");
    late.refresh().expect(401, "forbidden");
    assert_eq!(live_sessions(&app, &ann), 0);
}

#[test]
fn a_login_right_after_the_disabling_is_refused() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let path = format!("/api/admin/users/{}", ann.id);
    let requests: Vec<Request> = vec![
        Box::new(|| root.patch(&path, json!({ "disabled": true }))),
        Box::new(|| other.login(&ann.email, PASSWORD)),
    ];
    let [disable, login] = in_turn(&app, &ann, requests).try_into().expect("two answers");
    disable.expect(200, "updated");
    login.expect(401, "invalid");
}

#[test]
fn a_refresh_at_the_same_moment_does_not_save_a_session_from_its_end() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let ann = app.signed_up("ann");
    for _ in 0..10 {
        let guest = app.logged_in(&ann.email, PASSWORD);
        let answers = at_once(3, |number| match number {
            0 => guest.send("POST", "/api/auth/logout", &[], None),
            1 => guest.refresh(),
            _ => guest.at(&other).refresh(),
        });
        assert_eq!(answers[0].status, 200);
        for refreshed in &answers[1..] {
            assert!([200, 401].contains(&refreshed.status), "{}", refreshed.status);
            if refreshed.status == 200 {
                let renewed = guest.with_pair(&refreshed.data());
                renewed.get("/api/auth/me").expect(401, "forbidden");
                renewed.refresh().expect(401, "forbidden");
            }
        }
    }
}
