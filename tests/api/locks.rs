//! One order of locks for all statements (sql/README.md): whatever is done at once, nothing deadlocks, and nobody waits without need.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{Person, TestApp, eventually};

/// The answers that a race between changes may have: a deadlock or a fault would be 503 or 500.
#[track_caller]
fn is_one_of(answer: Answer, allowed: &[u16]) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(allowed.contains(&answer.status), "{}: {text}", answer.status);
}

#[test]
fn changes_of_patients_doctors_and_mappings_at_once_never_deadlock() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let assign = |person: &Person, patient: i64, doctor: i64| {
        person.post("/api/mappings", json!({ "patient_id": patient, "doctor_id": doctor }))
    };
    for round in 0..6 {
        let patients: Vec<i64> = (0..4).map(|_| ann.new_patient("P")).collect();
        let doctors: Vec<i64> = (0..4).map(|_| ann.new_doctor("D")).collect();
        let mut mappings = Vec::new();
        for patient in &patients {
            mappings.extend(doctors.iter().map(|doctor| ann.new_mapping(*patient, *doctor)));
        }
        let (patients, doctors, mappings) = (&patients, &doctors, &mappings);
        let node = |number: usize| ann.at(if number.is_multiple_of(2) { &app } else { &other });
        thread::scope(|scope| {
            for number in 0..4 {
                let (ann, root) = (node(number), root.at(if number % 2 == 0 { &other } else { &app }));
                // Notes, another patient, another doctor.
                scope.spawn(move || {
                    for step in 0..24 {
                        let path = format!("/api/mappings/{}", mappings[(number * 4 + step * 5) % mappings.len()]);
                        let body = match step % 3 {
                            0 => json!({ "notes": format!("{number} {step}") }),
                            1 => json!({ "patient_id": patients[(step + number) % 4] }),
                            _ => json!({ "doctor_id": doctors[(step + number) % 4] }),
                        };
                        is_one_of(ann.patch(&path, body), &[200, 404, 409]);
                    }
                });
                let ann = node(number + 1);
                // At the end of each round, each of these threads deletes a patient or a doctor.
                scope.spawn(move || {
                    for step in 0..8 {
                        is_one_of(assign(&ann, patients[(step + number) % 4], doctors[step % 4]), &[201, 404, 409]);
                        is_one_of(
                            ann.patch(
                                &format!("/api/doctors/{}", doctors[step % 4]),
                                json!({ "name": format!("{number} {step}") }),
                            ),
                            &[200, 404],
                        );
                    }
                    match (number + round) % 2 {
                        0 => is_one_of(ann.delete(&format!("/api/patients/{}", patients[number])), &[200, 404]),
                        _ => is_one_of(
                            root.delete(&format!("/api/admin/doctors/{}?cascade=true", doctors[number])),
                            &[200, 404],
                        ),
                    }
                });
            }
        });
    }
    let mut sql = app.sql();
    let gone = "select count(*) from audit_entries d where action = 'delete' and resource = 'mapping'
                   and exists (select from mappings m where m.id = d.resource_id)";
    assert_eq!(sql.query_one(gone, &[]).expect("a count").get::<_, i64>(0), 0);
}

#[test]
fn a_cascade_includes_mappings_that_are_made_at_the_same_moment() {
    let app = TestApp::with(|config| config.database_pool = 12);
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let patients: Vec<i64> = (0..8).map(|_| ann.new_patient("P")).collect();
    let (doctor, over) = (AtomicI64::new(ann.new_doctor("D")), AtomicBool::new(false));
    thread::scope(|scope| {
        for patient in &patients {
            let (ann, doctor, over) = (&ann, &doctor, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    let body = json!({ "patient_id": patient, "doctor_id": doctor.load(Ordering::Acquire) });
                    is_one_of(ann.post("/api/mappings", body), &[201, 404, 409]);
                }
            });
        }
        for _ in 0..25 {
            let next = ann.new_doctor("D");
            let old = doctor.load(Ordering::Acquire);
            let answer = root.delete(&format!("/api/admin/doctors/{old}?cascade=true"));
            doctor.store(next, Ordering::Release);
            if answer.status != 200 {
                over.store(true, Ordering::Release);
            }
            answer.expect(200, "deleted");
        }
        over.store(true, Ordering::Release);
    });
}

#[test]
fn the_mappings_of_others_do_not_hold_up_an_update_of_their_doctor_or_patient() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    // As the statement of a new mapping does.
    held.batch_execute("select from patients for key share; select from doctors for key share").expect("locks");
    // With a lock that they wait for, this would be 503 after 5 s.
    ann.patch(&format!("/api/doctors/{doctor}"), json!({ "name": "New" })).expect(200, "updated");
    ann.patch(&format!("/api/patients/{patient}"), json!({ "name": "New" })).expect(200, "updated");
    held.rollback().expect("no locks");
}

/// Sends the change while another transaction has taken the record at `change_other` and wants the one of `change_same`: a
/// deadlock, which the service's change loses.
fn change_in_a_deadlock(app: &TestApp, person: &Person, path: &str, body: Value, other: &str, same: &str) -> Answer {
    let (mut holder, mut watcher) = (app.sql(), app.sql());
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute("set local deadlock_timeout = '1min'").expect("set");
    held.batch_execute(other).expect("the other record is changed");
    let answer = thread::scope(|scope| {
        let change = scope.spawn(|| person.patch(path, body));
        app.wait_until_blocked(1);
        held.batch_execute(same).expect("the change has given way");
        held.commit().expect("committed");
        change.join().expect("an answer")
    });
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    eventually("the deadlock is counted", || watcher.query_one(deadlocks, &[]).expect("a count").get::<_, i64>(0) >= 1);
    answer
}

/// No order of locks prevents this: a unique value waits for the record that is giving it up.
#[test]
fn a_change_that_loses_a_deadlock_has_done_nothing_and_runs_again() {
    for is_mapping in [false, true] {
        let app = TestApp::start();
        let name =
            app.sql().query_one("select quote_ident(current_database())", &[]).expect("a name").get::<_, String>(0);
        // Enough time for the test to close the circle.
        app.sql().batch_execute(&format!("alter database {name} set deadlock_timeout = '2s'")).expect("altered");
        let node = TestApp::on(&app.database, |_| {});
        let ann = app.signed_up("ann").at(&node);
        let (first, second) = (ann.new_doctor("First"), ann.new_doctor("Second"));
        let (path, body, other, same) = if is_mapping {
            let [one, two, three] = [(); 3].map(|()| ann.new_patient("P"));
            let (mine, theirs) = (ann.new_mapping(one, first), ann.new_mapping(two, first));
            let other = format!("update mappings set patient_id = {three} where id = {theirs}");
            let same = format!("update mappings set notes = 'N' where id = {mine}");
            (format!("/api/mappings/{mine}"), json!({ "patient_id": two }), other, same)
        } else {
            ann.patch(&format!("/api/doctors/{second}"), json!({ "license_number": "TAKEN" })).expect(200, "updated");
            let other = format!("update doctors set license_number = 'OTHER' where id = {second}");
            let same = format!("update doctors set phone = '12345678' where id = {first}");
            (format!("/api/doctors/{first}"), json!({ "license_number": "TAKEN" }), other, same)
        };
        let changed = change_in_a_deadlock(&node, &ann, &path, body.clone(), &other, &same);
        let changed = changed.expect(200, "updated").data();
        let (field, value) = body.as_object().and_then(|body| body.iter().next()).expect("a field");
        assert_eq!(&changed[field], value);
        let other_field = if is_mapping { "notes" } else { "phone" };
        assert!(changed[other_field].is_string(), "the change of the other transaction stays: {changed}");
    }
}
