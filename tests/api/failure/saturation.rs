//! No connection, lock or hashing thread is free; and the service stops with work in flight.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use healthcare_backend::internals::hashing_threads;
use postgres::Client;
use serde_json::json;

use super::{PATIENCE, number, unavailable};
use crate::harness::app::PASSWORD;
use crate::harness::folder::Folder;
use crate::harness::http::{self, Answer};
use crate::harness::{TestApp, eventually};

/// Takes the row of a patient until the transaction ends.
fn hold<'a>(sql: &'a mut Client, patient_id: i64) -> postgres::Transaction<'a> {
    let mut transaction = sql.transaction().expect("a transaction");
    transaction.execute("select from patients where id = $1 for update", &[&patient_id]).expect("a lock");
    transaction
}

#[test]
fn a_change_waits_for_a_lock_for_a_bounded_time_and_reads_are_served_meanwhile() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, mut sql) = (ann.new_patient("P"), app.sql());
    let path = format!("/api/patients/{patient}");
    let held = hold(&mut sql, patient);
    thread::scope(|scope| {
        scope.spawn(|| {
            let started = Instant::now();
            unavailable(ann.patch(&path, json!({ "name": "Late" })));
            assert!(started.elapsed() < PATIENCE, "a lock took {:?}", started.elapsed());
        });
        app.wait_until_blocked(1);
        assert_eq!(ann.get(&path).expect(200, "success").data()["name"], "P");
        app.anyone().get("/healthz").expect(200, "success");
    });
    held.rollback().expect("an end");
    assert_eq!(ann.get(&path).expect(200, "success").data()["name"], "P", "a refused change has not happened");
    ann.patch(&path, json!({ "name": "In time" })).expect(200, "updated");
}

#[test]
fn without_a_free_connection_the_answer_is_503_after_a_bounded_wait() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, mut sql) = (ann.new_patient("P"), app.sql());
    let path = format!("/api/patients/{patient}");
    // PostgreSQL takes no more connections and ends those that it has, but for the listening one: the database is not away.
    let refuse = "update pg_database set datallowconn = $1 where datname = current_database()";
    sql.execute(refuse, &[&false]).expect("no more connections");
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid() and query not ilike 'listen%' and query <> ''";
    sql.query(cut, &[]).expect("cut");
    let started = Instant::now();
    unavailable(ann.patch(&path, json!({ "name": "Late" })));
    unavailable(app.login(&ann.email, PASSWORD));
    assert!(started.elapsed() < 2 * PATIENCE, "a connection took {:?}", started.elapsed());
    assert!(number(&app, "database_pool_timeouts_total") > 0);
    // Requests that need no connection are served meanwhile, such as one with a refused token.
    app.anyone().get("/healthz").expect(200, "success");
    ann.with_token("a.b.c").get(&path).expect(401, "forbidden");
    sql.execute(refuse, &[&true]).expect("connections again");
    eventually("the service has connections again", || ann.get(&path).status == 200);
    assert_eq!(ann.get(&path).expect(200, "success").data()["name"], "P", "a refused change has not happened");
}

#[test]
fn searches_of_one_user_have_two_seconds_each_and_two_threads_and_keep_nobody_from_a_change() {
    // Three threads that wait for the database.
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (doctor, mut sql, answered) = (bob.new_doctor("D"), app.sql(), AtomicUsize::new(0));
    let mut held = sql.transaction().expect("a transaction");
    held.batch_execute("lock table patients").expect("a lock");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let started = Instant::now();
                let answer = ann.get("/api/patients?name=x").expect(503, "failed");
                answered.fetch_add(1, Ordering::SeqCst);
                assert!(
                    answer.json()["message"].as_str().expect("a message").contains("narrow the search"),
                    "{answer:?}"
                );
                assert!(started.elapsed() >= Duration::from_secs(2) && started.elapsed() < PATIENCE);
            });
        }
        app.wait_until_blocked(2);
        bob.patch(&format!("/api/doctors/{doctor}"), json!({ "name": "Changed" })).expect(200, "updated");
        assert_eq!(answered.load(Ordering::SeqCst), 0, "the change came first");
    });
    held.rollback().expect("an end");
    ann.get("/api/patients?name=x").expect(200, "success");
}

#[test]
fn a_statement_that_takes_too_long_is_ended_and_its_connection_serves_on() {
    let sql = Folder::with_sql();
    sql.replace(
        "health.sql",
        "select coalesce(max(version), 0) as version",
        "select coalesce(max(version), 0) as version, pg_sleep(60)",
    );
    let app = TestApp::with(|config| config.sql_dir = Some(sql.path().to_path_buf()));
    let ann = app.signed_up("ann");
    unavailable(app.anyone().get("/readyz"));
    ann.get("/api/patients").expect(200, "success");
}

/// A login for nobody, sent without waiting for the answer.
fn send_login(app: &TestApp, email: &str, password: &str) -> TcpStream {
    let body = json!({ "email": email, "password": password }).to_string();
    let mut stream = http::connect(app.address);
    let text = format!(
        "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).expect("a request");
    stream
}

fn answer_on(stream: TcpStream) -> Answer {
    let answer = http::read_answer(&mut BufReader::new(stream), false).expect("an answer");
    crate::contract::check(&answer);
    answer
}

#[test]
fn a_flood_of_logins_is_turned_away_at_a_bound_and_reads_do_not_wait_for_it() {
    let app = TestApp::with(|config| {
        // Some 15 ms each, so that the flood lasts for a second, or for several on a busy machine.
        config.bcrypt_cost = 8;
        config.max_connections = 10_000;
        config.max_connections_per_address = 10_000;
    });
    let ann = app.signed_up("ann");
    let flood = hashing_threads() * 25 + 40;
    let sent: Vec<TcpStream> =
        (0..flood).map(|number| send_login(&app, &format!("nobody-{number}@example.org"), PASSWORD)).collect();
    eventually("the queue is full", || number(&app, "hashing_refused_total") > 0);
    for _ in 0..20 {
        ann.get("/api/patients").expect(200, "success");
    }
    assert!(number(&app, "hashing_queue_length") > 0, "20 reads were answered before the logins were");
    let statuses: Vec<u16> = sent.into_iter().map(|stream| answer_on(stream).status).collect();
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(401) + count(503), flood, "{statuses:?}");
    assert!(count(503) > 0, "the queue has a bound");
    assert!(count(401) >= hashing_threads() * 24, "requests that fit into the queue are served");
    app.logged_in(&ann.email, PASSWORD);
}

#[test]
fn a_stop_lets_the_work_in_flight_finish_and_takes_no_more() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, mut sql, address) = (ann.new_patient("P"), app.sql(), app.address);
    let path = format!("/api/patients/{patient}");
    let held = hold(&mut sql, patient);
    thread::scope(|scope| {
        let in_flight = scope.spawn(|| ann.patch(&path, json!({ "name": "Finished" })));
        app.wait_until_blocked(1);
        let (done, is_done) = mpsc::channel();
        scope.spawn(move || {
            app.stop();
            let _ = done.send(());
        });
        eventually("no new connection is taken", || TcpStream::connect(address).is_err());
        assert!(is_done.try_recv().is_err(), "it waits for the request");
        held.commit().expect("an end");
        in_flight.join().expect("an answer").expect(200, "updated");
        is_done.recv_timeout(PATIENCE).expect("then it is stopped");
    });
}

#[test]
fn a_stop_answers_the_logins_that_wait_and_writes_down_the_reads() {
    let app = TestApp::with(|config| config.bcrypt_cost = 11);
    let ann = app.signed_up("ann");
    for _ in 0..5 {
        ann.get("/api/patients").expect(200, "success");
    }
    let mut sql = app.sql();
    let sent: Vec<TcpStream> = (0..8).map(|_| send_login(&app, &ann.email, PASSWORD)).collect();
    eventually("the logins wait", || number(&app, "hashing_queue_length") > 0);
    app.stop();
    for stream in sent {
        // One that was sent but not yet received may see the connection close; it was never begun.
        if let Some(answer) = http::read_answer(&mut BufReader::new(stream), false) {
            answer.expect(200, "success");
        }
    }
    let count = |sql: &mut Client, action: &str| -> i64 {
        let text = "select count(*) from audit_trail where action = $1";
        sql.query_one(text, &[&action]).expect("a count").get(0)
    };
    assert_eq!(count(&mut sql, "list"), 5);
    assert!(count(&mut sql, "login") >= 2, "the first one, and at least one of those that waited");
}
