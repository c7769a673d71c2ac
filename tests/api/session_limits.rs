//! How long a session lives, how many a user may have, and what happens at those limits.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use healthcare_backend::internals::{DatabaseUrl, Db, Housekeeper, Metrics, Queries};
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
fn a_session_that_is_unused_for_seven_days_ends() {
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
    // The use of sessions is recorded in batches, at the latest when the service stops.
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
fn housekeeping_removes_only_rows_that_no_answer_depends_on() {
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
    housekeeping(&app, |keeper| assert!(keeper.prune(&AtomicBool::new(false))));
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

/// Lets a housekeeper of the test's own work on the service's database.
fn housekeeping(app: &TestApp, work: impl FnOnce(&Housekeeper)) {
    let url = DatabaseUrl::parse(&app.database).expect("a connection string");
    let metrics = Arc::new(Metrics::new(std::iter::empty()));
    let db = Db::new(&url, 1, 1, false, Arc::default(), metrics);
    work(&Housekeeper::new(&db, &Queries::load(None).expect("statements")));
}

#[test]
fn housekeeping_works_in_batches_however_many_rows_have_gathered() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let mut sql = app.sql();
    // Ten thousand live sessions; those that are over: many sessions, and one with very many tokens.
    sql.batch_execute(
        "insert into sessions (user_id, expires_at) select 1, now() + interval '1 day' from generate_series(1, 10000);
         insert into sessions (user_id, expires_at) select 1, now() - interval '40 days' - n * interval '1 minute' from generate_series(1, 2500) as n;
         insert into refresh_tokens (hash, session_id)
         select sha256(n::text::bytea), (select id from sessions order by expires_at limit 1) from generate_series(1, 4200) as n;
         insert into refresh_tokens (hash, session_id) select sha256(('live ' || id)::bytea), id from sessions where id <= 10000;
         insert into login_failures (account, network, failures, last_failed_at)
         select n::text::bytea, '*', 1, now() - case when n <= 1500 then interval '8 days' else interval '1 hour' end
           from generate_series(1, 20000) as n;
         insert into idempotency_keys (user_id, key, request_hash, location, etag, body, created_at)
         select 1, gen_random_uuid(), '', '', '', '', now() - case when n <= 1500 then interval '2 days' else interval '1 hour' end
           from generate_series(1, 20000) as n;
         analyze sessions, refresh_tokens, login_failures, idempotency_keys",
    )
    .expect("rows");
    let queries = Queries::load(None).expect("statements");
    for (query, indexes) in [
        (&queries.sessions.prune_tokens, &["sessions_over_idx", "refresh_tokens_session_id_idx"][..]),
        (&queries.sessions.prune, &["sessions_over_idx"]),
        (&queries.sessions.prune_failures, &["login_failures_last_failed_at_idx"]),
        (&queries.idempotency.prune, &["idempotency_keys_created_at_idx"]),
    ] {
        let text =
            query.text.replace("$2", "1000").replace("$1", if query.parameters.len() == 1 { "1000" } else { "86400" });
        let plan: Vec<String> =
            sql.query(&format!("explain {text}"), &[]).expect("a plan").iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        for index in indexes {
            assert!(plan.contains(index), "{} without {index}:\n{plan}", query.name);
        }
        let mut transaction = sql.transaction().expect("a transaction");
        let removed: i64 = transaction.query_one(&text, &[]).expect(&query.name).get("removed");
        assert_eq!(removed, 1_000, "{} removes a batch", query.name);
    }
    housekeeping(&app, |keeper| assert!(keeper.prune(&AtomicBool::new(false))));
    let counts = "select (select count(*) from sessions), (select count(*) from refresh_tokens),
                         (select count(*) from login_failures), (select count(*) from idempotency_keys)";
    let row = sql.query_one(counts, &[]).expect("counts");
    let counts: [i64; 4] = [0, 1, 2, 3].map(|place| row.get(place));
    assert_eq!(counts, [10_001, 10_001, 18_500, 18_500]);
    ann.refresh().expect(200, "success");
}

#[test]
fn housekeeping_that_fails_is_logged_until_it_works_again() {
    let app = TestApp::start();
    let mut sql = app.sql();
    app.signed_up("ann");
    sql.batch_execute(
        "insert into sessions (user_id, expires_at) values (1, now() - interval '40 days');
         create function fail() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger fail before update or delete on sessions for each row execute function fail()",
    )
    .expect("a trigger");
    housekeeping(&app, |keeper| {
        let stopping = AtomicBool::new(false);
        for _ in 0..2 {
            assert!(!keeper.touch(&[1]) && !keeper.prune(&stopping));
            assert!(keeper.touching.is_going_on() && keeper.pruning.is_going_on());
        }
        sql.batch_execute("drop trigger fail on sessions").expect("no trigger");
        assert!(keeper.touch(&[1]) && keeper.prune(&stopping));
        assert!(!keeper.touching.is_going_on() && !keeper.pruning.is_going_on());
    });
}
