//! How long a session lives, how many a user may have, and what happens at those limits.

use serde_json::Value;

use crate::harness::{PASSWORD, Person, TestApp};

/// Changes a session behind the service's back; the service has not looked at it yet.
fn alter_session(app: &TestApp, session_id: i64, assignment: &str) {
    let statement = format!("update sessions set {assignment} where id = $1");
    assert_eq!(app.sql().execute(&statement, &[&session_id]).expect("a changed session"), 1);
}

/// Gives a user this many more sessions, which have been unused for 2, 3, 4 … hours.
fn add_old_sessions(app: &TestApp, user: &Person, count: i32) {
    let statement = "insert into sessions (user_id, expires_at, last_used_at)
                     select $1, now() + interval '20 days', now() - make_interval(hours => 1 + number)
                       from generate_series(1, $2) as number";
    app.sql().execute(statement, &[&user.id, &count]).expect("more sessions");
}

fn live_sessions(app: &TestApp, user: &Person) -> i64 {
    let query = "select count(*) from sessions where user_id = $1 and ended_at is null";
    app.sql().query_one(query, &[&user.id]).expect("a count").get(0)
}

#[test]
fn a_session_lives_thirty_days_at_most() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let query = "select extract(epoch from expires_at - created_at)::bigint from sessions where id = $1";
    let seconds: i64 = app.sql().query_one(query, &[&ann.session_id()]).expect("a session").get(0);
    assert_eq!(seconds, 30 * 24 * 60 * 60);
    // Using it does not move that end.
    let renewed = ann.with_pair(&ann.refresh().expect(200, "success").data());
    assert_eq!(app.sql().query_one(query, &[&ann.session_id()]).expect("a session").get::<_, i64>(0), seconds);
    alter_session(&app, ann.session_id(), "expires_at = now()");
    renewed.get("/api/auth/me").expect(401, "forbidden");
    renewed.refresh().expect(401, "forbidden");
}

#[test]
fn a_remembered_session_ends_on_time_as_well() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    alter_session(&app, ann.session_id(), "expires_at = now() + interval '2 seconds'");
    ann.get("/api/auth/me").expect(200, "success");
    crate::harness::eventually("the end", || ann.get("/api/auth/me").status == 401);
}

#[test]
fn a_token_never_outlives_its_session() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    alter_session(&app, ann.session_id(), "expires_at = now() + interval '100 seconds'");
    let grant = ann.refresh().expect(200, "success").data();
    let seconds = grant["expires_in"].as_i64().expect("a number");
    assert!((60..=100).contains(&seconds), "{seconds}");
}

#[test]
fn a_session_that_is_unused_for_seven_days_is_over() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let almost = app.logged_in(&ann.email, PASSWORD);
    alter_session(&app, almost.session_id(), "last_used_at = now() - interval '7 days' + interval '1 minute'");
    alter_session(&app, ann.session_id(), "last_used_at = now() - interval '7 days'");
    ann.get("/api/auth/me").expect(401, "forbidden");
    ann.refresh().expect(401, "forbidden");
    almost.get("/api/auth/me").expect(200, "success");
    almost.refresh().expect(200, "success");
}

#[test]
fn use_keeps_a_session_alive() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    for person in [&ann, &bob] {
        alter_session(&app, person.session_id(), "last_used_at = now() - interval '6 days'");
    }
    ann.get("/api/auth/me").expect(200, "success");
    bob.refresh().expect(200, "success");
    let database = app.database.clone();
    // What was used is written down in batches, and at the latest when the service stops.
    app.stop();
    let query = "select id from sessions where last_used_at < now() - interval '5 days'";
    assert!(crate::harness::postgres::connect(&database).query(query, &[]).expect("rows").is_empty());
}

#[test]
fn the_hundred_and_first_login_ends_the_session_that_was_unused_longest() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    add_old_sessions(&app, &ann, 98);
    alter_session(&app, ann.session_id(), "last_used_at = now() - interval '6 days'");
    ann.get("/api/auth/me").expect(200, "success");
    let hundredth = app.logged_in(&ann.email, PASSWORD);
    ann.get("/api/auth/me").expect(200, "success");
    let sessions = |person: &Person| {
        let data = person.get("/api/auth/sessions").expect(200, "success").data();
        data.as_array().map(Vec::<Value>::len).expect("a list")
    };
    assert_eq!((sessions(&hundredth), live_sessions(&app, &ann)), (100, 100));

    let next = app.logged_in(&ann.email, PASSWORD);
    ann.get("/api/auth/me").expect(401, "forbidden");
    hundredth.get("/api/auth/me").expect(200, "success");
    assert_eq!((sessions(&next), live_sessions(&app, &ann)), (100, 100));
    let ended = app.audited("session_end");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["resource_id"], ann.session_id());
}

#[test]
fn housekeeping_removes_what_no_answer_depends_on_and_nothing_else() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let [long_over, just_over, expired] = [(); 3].map(|()| app.logged_in(&ann.email, PASSWORD));
    alter_session(&app, long_over.session_id(), "ended_at = now() - interval '31 days'");
    alter_session(&app, just_over.session_id(), "ended_at = now() - interval '29 days'");
    alter_session(&app, expired.session_id(), "expires_at = now() - interval '31 days'");
    let mut sql = app.sql();
    sql.batch_execute(
        "insert into login_failures (account, network, failures, locked_until, last_failed_at) values
             ('old', '*', 3, null, now() - interval '8 days'), ('new', '*', 3, null, now() - interval '6 days'),
             ('locked', '*', 9, now() + interval '1 hour', now() - interval '8 days')",
    )
    .expect("failures");
    let queries = healthcare_backend::sql::Queries::load(None).expect("statements");
    sql.execute(&queries.sessions.prune.text, &[]).expect("pruned");
    let mut numbers =
        |query: &str| -> Vec<i64> { sql.query(query, &[]).expect("rows").iter().map(|row| row.get(0)).collect() };
    let kept = [ann.session_id(), just_over.session_id()];
    assert_eq!(numbers("select id from sessions order by id"), kept);
    assert_eq!(numbers("select session_id from refresh_tokens order by session_id"), kept);
    assert_eq!(
        numbers("select count(*) from login_failures where convert_from(account, 'UTF8') in ('new', 'locked')"),
        [2]
    );
    assert_eq!(numbers("select count(*) from login_failures"), [2]);
    ann.refresh().expect(200, "success");
}
