//! The database goes away, crashes, loses its connections, freezes; and comes back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use healthcare_backend::internals::hashing_threads;
use postgres::Client;
use serde_json::{Value, json};

use super::{PATIENCE, number, unavailable};
use crate::harness::app::{PASSWORD, Person};
use crate::harness::cluster::OwnCluster;
use crate::harness::{TestApp, at_once, eventually};

fn a_patient(name: &str) -> Value {
    json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" })
}

/// A request that needs the database.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Read,
    Write,
    Login,
    Readiness,
}

impl Ask {
    const ALL: [Ask; 4] = [Ask::Read, Ask::Write, Ask::Login, Ask::Readiness];

    /// Sends it; the answer must be 503, within the time.
    fn is_refused_within(self, time: Duration, person: &Person) {
        let started = Instant::now();
        let answer = match self {
            Ask::Read => person.get("/api/patients"),
            Ask::Write => person.post("/api/patients", a_patient("Lost")),
            Ask::Login => person.post("/api/auth/login", json!({ "email": person.email, "password": PASSWORD })),
            Ask::Readiness => person.get("/readyz"),
        };
        unavailable(answer);
        assert!(started.elapsed() < time, "{self:?} took {:?}", started.elapsed());
    }
}

/// Sends all of them at once.
fn all_are_refused_within(time: Duration, person: &Person) {
    thread::scope(|scope| {
        for ask in Ask::ALL {
            scope.spawn(move || ask.is_refused_within(time, person));
        }
    });
}

/// What needs no database is answered as ever.
fn the_rest_is_served(person: &Person) {
    person.get("/healthz").expect(200, "success");
    person.get("/api/nothing").expect(404, "failed");
    person.put("/api/patients", json!({})).expect(405, "failed");
    person.with_token("no.such.token").get("/api/patients").expect(401, "forbidden");
    person.post("/api/auth/login", json!({})).expect(400, "incomplete");
}

#[test]
fn while_the_database_is_away_requests_get_503_and_are_served_when_it_returns() {
    let mut cluster = OwnCluster::start();
    let app = TestApp::on(&cluster.database, |_| {});
    let ann = app.signed_up("ann");
    ann.new_patient("Before");
    for crash in [false, true] {
        if crash {
            cluster.kill();
        } else {
            cluster.stop();
        }
        all_are_refused_within(PATIENCE, &ann);
        the_rest_is_served(&ann);
        cluster.start_again();
        eventually("the service is back", || {
            ann.get("/readyz").status == 200 && ann.get("/api/patients").status == 200
        });
        ann.post("/api/patients", a_patient("After")).expect(201, "created");
    }
    let data = ann.get("/api/patients").expect(200, "success").data();
    let names: Vec<&str> = data.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["Before", "After", "After"], "a refused change has not happened");
}

/// Ends all connections of a database but this one, and waits until they are gone.
fn end_connections(sql: &mut Client) {
    let text = "select pg_terminate_backend(pid, 5000) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid()";
    sql.execute(text, &[]).expect("terminated connections");
}

#[test]
fn a_read_survives_the_end_of_every_connection() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let patient = ann.new_patient("P");
    for _ in 0..15 {
        end_connections(&mut sql);
        assert_eq!(ann.get("/api/patients").expect(200, "success").ids(), [patient]);
        ann.get("/readyz").expect(200, "success");
    }
}

#[test]
fn a_write_on_a_dying_connection_is_answered_honestly_and_never_done_twice() {
    let app = TestApp::with(|config| config.workers = 4);
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let over = AtomicBool::new(false);
    let answers: Vec<(String, u16)> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let ann = &ann;
                scope.spawn(move || {
                    let write = |number: i32| {
                        let name = format!("{writer}-{number}");
                        let status = ann.post("/api/patients", a_patient(&name)).status;
                        (name, status)
                    };
                    (0..60).map(write).collect::<Vec<_>>()
                })
            })
            .collect();
        let killer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                end_connections(&mut sql);
            }
            sql
        });
        let answers = writers.into_iter().flat_map(|writer| writer.join().expect("a writer")).collect();
        over.store(true, Ordering::Relaxed);
        killer.join().expect("the killer");
        answers
    });
    eventually("calm returns", || ann.get("/readyz").status == 200);
    let mut sql = app.sql();
    for (name, status) in &answers {
        let count: i64 =
            sql.query_one("select count(*) from patients where name = $1", &[name]).expect("a count").get(0);
        match status {
            201 => assert_eq!(count, 1, "{name} was confirmed"),
            503 => assert!(count <= 1, "{name} was done {count} times"),
            other => panic!("{name}: {other}"),
        }
    }
    let orphans = "select count(*) from patients p where not exists (
                       select from audit_entries where action = 'create' and resource = 'patient' and resource_id = p.id)";
    assert_eq!(sql.query_one(orphans, &[]).expect("a count").get::<_, i64>(0), 0, "each with its audit entry");
}

#[test]
fn after_an_idle_time_a_write_finds_a_living_connection() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    end_connections(&mut sql);
    // A read notices; from then on every connection proves that it lives before it carries a change.
    ann.get("/api/patients").expect(200, "success");
    for number in 0..5 {
        ann.post("/api/patients", a_patient(&number.to_string())).expect(201, "created");
    }
}

#[test]
fn a_transaction_begins_again_if_its_connection_has_died() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    for number in 0..5 {
        end_connections(&mut sql);
        // Nobody has noticed yet. `begin` does, and nothing has run.
        let key = format!("key-{number}");
        let answer = ann.send("POST", "/api/patients", &[("Idempotency-Key", &key)], Some(a_patient(&key)));
        answer.expect(201, "created");
    }
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids().len(), 5);
}

#[test]
fn a_transaction_on_a_server_that_has_become_read_only_gives_its_connection_up() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    let name: String = sql.query_one("select current_database()::text", &[]).expect("a name").get(0);
    let post = || ann.send("POST", "/api/patients", &[("Idempotency-Key", "k")], Some(a_patient("P")));
    sql.batch_execute(&format!("alter database {name} set default_transaction_read_only = on")).expect("a standby");
    end_connections(&mut sql);
    unavailable(post());
    // Connections from now on accept changes. Those from before do not, and must not be used for ever.
    sql.batch_execute(&format!("alter database {name} reset default_transaction_read_only")).expect("a primary");
    eventually("a connection to the primary", || post().status == 201);
}

#[test]
fn while_the_database_is_frozen_no_one_waits_for_long_and_requests_are_served_when_it_thaws() {
    let cluster = OwnCluster::start();
    let app = TestApp::on(&cluster.database, |_| {});
    let ann = app.signed_up("ann");
    ann.new_patient("Before");
    // Whatever fails, it runs on before the service stops: what is declared last is dropped first.
    let mut cluster = cluster;
    cluster.freeze();
    // More requests than there are workers: those behind the stuck ones are answered too.
    let limit = Duration::from_secs(5);
    thread::scope(|scope| {
        for number in 0..12 {
            let ask = Ask::ALL[number % Ask::ALL.len()];
            let ann = &ann;
            scope.spawn(move || ask.is_refused_within(limit, ann));
        }
    });
    the_rest_is_served(&ann);
    all_are_refused_within(limit, &ann);
    assert!(number(&app, "abandoned_requests_total") > 0);
    cluster.thaw();
    eventually("the service is back", || ann.get("/api/patients").status == 200 && ann.get("/readyz").status == 200);
    ann.post("/api/patients", a_patient("After")).expect(201, "created");
    app.logged_in(&ann.email, PASSWORD);
}

#[test]
fn while_the_database_is_frozen_a_request_that_waited_for_a_hashing_thread_is_not_taken_for_stuck() {
    let cluster = OwnCluster::start();
    // Some 30 ms a hash: the last of those that wait do so for longer than a statement may hang.
    let app = TestApp::on(&cluster.database, |config| config.bcrypt_cost = 9);
    let mut cluster = cluster;
    cluster.freeze();
    eventually("the freeze is noticed", || app.anyone().get("/readyz").status == 503);
    let abandoned = number(&app, "abandoned_requests_total");
    // A registration hashes before it needs the database, and then it is refused at once.
    at_once(hashing_threads() * 24, |number| {
        let name = format!("Person {number}");
        let body = json!({ "name": name, "email": format!("p{number}@example.org"), "password": PASSWORD });
        unavailable(app.anyone().post("/api/auth/register", body));
    });
    assert_eq!(number(&app, "abandoned_requests_total"), abandoned);
    cluster.thaw();
}

#[test]
fn a_server_whose_database_is_frozen_can_be_stopped() {
    let mut cluster = OwnCluster::start();
    let app = TestApp::on(&cluster.database, |_| {});
    let ann = app.signed_up("ann");
    // Entries of the trail are on their way, and one statement hangs.
    for _ in 0..20 {
        ann.get("/api/patients").expect(200, "success");
    }
    cluster.freeze();
    Ask::Read.is_refused_within(PATIENCE, &ann);
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        app.stop();
        let _ = done.send(());
    });
    let ended = is_done.recv_timeout(Duration::from_secs(30));
    cluster.thaw();
    ended.expect("a stop within the 10 s for requests and the 12 s for the last writes");
}

#[test]
fn a_session_that_ended_while_no_one_could_hear_it_is_refused() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    ann.get("/api/auth/me").expect(200, "success");
    // The node loses its listening connection at the moment when another node ends the session.
    sql.batch_execute("update sessions set ended_at = now()").expect("an end");
    end_connections(&mut sql);
    eventually("the end is noticed", || ann.get("/api/auth/me").status == 401);
}
