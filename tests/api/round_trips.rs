//! Reads of several requests that share a round trip: each gets its own answer, and a failure of one, or of the connection, harms no
//! other.

use std::thread;

use serde_json::{Value, json};

use crate::harness::{TestApp, at_once, eventually};

/// A service whose workers have a pipe at hand.
fn with_pipe() -> TestApp {
    let app = TestApp::start();
    eventually("a pipe is open", || app.metric("database_pipe_connections") >= 1.0);
    app
}

#[test]
fn requests_that_come_together_each_get_their_own_answer() {
    let app = with_pipe();
    let (ann, ben) = (app.signed_up("ann"), app.signed_up("ben"));
    let mine: Vec<i64> = (0..10).map(|number| ann.new_patient(&format!("Ann's {number}"))).collect();
    let theirs: Vec<i64> = (0..10).map(|number| ben.new_patient(&format!("Ben's {number}"))).collect();
    at_once(12, |client| {
        for round in 0..40 {
            let place = (client + round) % 10;
            match (client + round) % 6 {
                0 => {
                    let data = ann.get(&format!("/api/patients/{}", mine[place])).expect(200, "success").data();
                    assert_eq!(
                        (data["id"].as_i64(), data["name"].as_str()),
                        (Some(mine[place]), Some(&*format!("Ann's {place}")))
                    );
                }
                1 => {
                    let data = ben.get(&format!("/api/patients/{}", theirs[place])).expect(200, "success").data();
                    assert_eq!(data["created_by"].as_i64(), Some(ben.id));
                }
                2 => drop(ann.get(&format!("/api/patients/{}", theirs[place])).expect(404, "failed")),
                3 => {
                    let data = ann.get(&format!("/api/patients?limit={}", place + 1)).expect(200, "success").data();
                    let ids: Vec<_> = data.as_array().expect("a list").iter().map(|row| row["id"].as_i64()).collect();
                    assert_eq!(ids, mine[..=place].iter().copied().map(Some).collect::<Vec<_>>());
                }
                // Not to be batched, in the middle of those that are.
                4 => {
                    let path = format!("/api/patients?name=n's%20{place}&count=true");
                    assert_eq!(ben.get(&path).expect(200, "success").data()[0]["id"].as_i64(), Some(theirs[place]));
                }
                _ => drop(ann.get("/api/patients/x").expect(400, "invalid")),
            }
        }
    });
}

#[test]
fn reads_that_come_together_and_find_nothing_each_learn_why() {
    let app = with_pipe();
    let (ann, ben) = (app.signed_up("ann"), app.signed_up("ben"));
    let (there, gone) = (ann.new_patient("There"), ann.new_patient("Gone"));
    let (known, retired) = (ann.new_doctor("Dr. Known"), ann.new_doctor("Dr. Retired"));
    ann.delete(&format!("/api/patients/{gone}")).expect(200, "deleted");
    ann.delete(&format!("/api/doctors/{retired}")).expect(200, "deleted");
    at_once(12, |client| {
        for round in 0..20 {
            match (client + round) % 6 {
                0 => assert_eq!(ann.fhir(&format!("Patient/{there}")).resource("Patient")["id"], there.to_string()),
                1 => drop(ann.fhir(&format!("Patient/{gone}")).refused(410, "deleted")),
                2 => drop(ann.fhir(&format!("PractitionerRole/{retired}")).refused(410, "deleted")),
                3 => drop(ann.fhir("Patient/999999999").refused(404, "not-found")),
                4 => drop(ben.fhir(&format!("DocumentReference/{gone}-history")).refused(404, "not-found")),
                _ => drop(ben.fhir(&format!("Practitioner/{known}")).resource("Practitioner")),
            }
        }
    });
    assert_eq!(app.metric("panics_total"), 0.0);
}

#[test]
fn reads_that_share_a_round_trip_leave_an_entry_each() {
    let app = with_pipe();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("P");
    at_once(8, |_| ann.get(&format!("/api/patients/{patient}")).expect(200, "success"));
    at_once(8, |_| ann.get("/api/patients").expect(200, "success"));
    app.metric("audit_buffered_entries");
    eventually("the trail is written", || app.metric("audit_buffered_entries") == 0.0);
    assert_eq!((app.audited("read").len(), app.audited("list").len()), (8, 8));
}

#[test]
fn a_read_that_hangs_holds_up_neither_its_neighbours_nor_the_workers() {
    let app = with_pipe();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mut sql = app.sql();
    let mut transaction = sql.transaction().expect("a transaction");
    transaction.batch_execute("lock table patients in access exclusive mode").expect("a lock");
    thread::scope(|scope| {
        let stuck = scope.spawn(|| ann.get(&format!("/api/patients/{patient}")));
        // On the pipe at first, and then on a connection of its own.
        app.wait_until_blocked(2);
        for _ in 0..20 {
            app.anyone().get("/healthz").expect(200, "success");
            let data = ann.get(&format!("/api/doctors/{doctor}")).expect(200, "success").data();
            assert_eq!(data["id"].as_i64(), Some(doctor));
        }
        ann.post("/api/doctors", json!({ "name": "E", "specialization": "S" })).expect(201, "created");
        transaction.rollback().expect("an end");
        assert_eq!(stuck.join().expect("no panic").expect(200, "success").data()["id"].as_i64(), Some(patient));
    });
}

#[test]
fn pipes_that_are_cut_lose_no_request_and_come_back() {
    let app = with_pipe();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    let mut sql = app.sql();
    for _ in 0..20 {
        thread::scope(|scope| {
            let reading = scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(ann.get(&path).expect(200, "success").data()["id"], Value::from(patient));
                }
            });
            // Not the listening connection, so that the session stays remembered.
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                        where datname = current_database() and pid <> pg_backend_pid() and query not ilike 'listen%' and query <> ''";
            sql.query(cut, &[]).expect("cut");
            reading.join().expect("no panic");
        });
    }
    eventually("a pipe is open again", || app.metric("database_pipe_connections") >= 1.0);
}

#[test]
fn a_token_is_checked_for_each_read_of_a_round_trip() {
    let app = with_pipe();
    let ann = app.signed_up("ann");
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    for _ in 0..10 {
        let other = app.logged_in(&ann.email, crate::harness::PASSWORD);
        let answers = at_once(6, |number| match number {
            0 | 1 => other.get(&path),
            2 | 3 => ann.get(&path),
            _ => ann.with_token("a.b.c").get(&path),
        });
        assert!(
            answers[..4].iter().all(|answer| answer.status == 200)
                && answers[4..].iter().all(|answer| answer.status == 401)
        );
        other.send("POST", "/api/auth/logout", &[], None).expect(200, "success");
        let answers = at_once(4, |number| if number < 2 { other.get(&path) } else { ann.get(&path) });
        assert!(
            answers[..2].iter().all(|answer| answer.status == 401)
                && answers[2..].iter().all(|answer| answer.status == 200)
        );
    }
}
