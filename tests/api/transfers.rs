//! Transfers: a patient, and all patients of a user, with their mappings; what a transfer ends, and what it meets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Person, TestApp, at_once, eventually};

fn transfer(admin: &Person, patient: i64, to: &Person) -> crate::harness::http::Answer {
    admin.post(&format!("/api/admin/patients/{patient}/transfer"), json!({ "to": to.id }))
}

#[test]
fn a_patient_goes_to_another_user_with_its_mappings_and_leaves_a_version_and_an_entry() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let path = format!("/api/patients/{patient}");
    let tag = ann.get(&path).expect(200, "success").etag();
    let moved = transfer(&admin, patient, &ben).expect(200, "updated");
    assert_eq!(moved.data()["created_by"], ben.id);
    ann.get(&path).expect(404, "failed");
    assert_ne!(ben.get(&path).expect(200, "success").etag(), tag);
    assert_eq!(ben.get("/api/mappings").expect(200, "success").ids(), [mapping]);
    assert_eq!(ann.get("/api/mappings").expect(200, "success").data(), json!([]));
    let (mappings, doctors) = ("select created_by from mappings", "select created_by from doctors");
    let owner = |query: &str| app.sql().query_one(query, &[]).expect("a row").get::<_, i64>(0);
    assert_eq!((owner(mappings), owner(doctors)), (ben.id, ann.id), "doctors stay");
    assert_eq!(owner("select version from mappings"), 1, "mappings keep their version");
    let entry = app.audited("transfer").pop().expect("an entry");
    assert_eq!(
        (&entry["resource_id"], &entry["actor_id"], &entry["version"]),
        (&json!(patient), &json!(admin.id), &json!(2))
    );
    let history = ben.get(&format!("{path}/history")).expect(200, "success").data();
    assert_eq!((&history[0]["action"], &history[1]["record"]["created_by"]), (&json!("update"), &json!(ann.id)));
}

#[test]
fn every_mistake_of_a_transfer_is_named_and_changes_nothing() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let patient = ann.new_patient("P");
    let path = format!("/api/admin/patients/{patient}/transfer");
    assert_eq!(admin.post(&path, json!({})).expect(400, "incomplete").fields(), ["to"]);
    assert_eq!(admin.post(&path, json!({ "to": 0 })).expect(400, "invalid").fields(), ["to"]);
    admin.post(&path, json!({ "to": 999 })).expect(404, "failed");
    admin.post(&path, json!({ "to": ann.id })).expect(409, "failed");
    admin.post("/api/admin/patients/999/transfer", json!({ "to": ben.id })).expect(404, "failed");
    let old = [("If-Match", "\"7\"")];
    admin.send("POST", &path, &old, Some(json!({ "to": ben.id }))).expect(412, "failed");
    let users = |from: i64, to: i64| admin.post(&format!("/api/admin/users/{from}/transfer"), json!({ "to": to }));
    users(999, ben.id).expect(404, "failed");
    users(ann.id, 999).expect(404, "failed");
    users(ann.id, ann.id).expect(409, "failed");
    admin.patch(&format!("/api/admin/users/{}", ben.id), json!({ "disabled": true })).expect(200, "updated");
    admin.post(&path, json!({ "to": ben.id })).expect(409, "failed");
    users(ann.id, ben.id).expect(409, "failed");
    assert_eq!(ann.get(&format!("/api/patients/{patient}")).expect(200, "success").data()["created_by"], ann.id);
    assert!(app.audited("transfer").is_empty());
}

#[test]
fn all_patients_of_a_user_who_leaves_move_in_batches_and_none_is_left() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    admin.patch(&format!("/api/admin/users/{}", ann.id), json!({ "disabled": true })).expect(200, "updated");
    let fill = "insert into patients (name, date_of_birth, gender, created_by)
                select 'P' || n, '1990-01-01', 'other', $1 from generate_series(1, 1201) n";
    app.sql().execute(fill, &[&ann.id]).expect("patients");
    let moved = admin.post(&format!("/api/admin/users/{}/transfer", ann.id), json!({ "to": ben.id }));
    assert_eq!(moved.expect(200, "updated").data(), json!({ "patients": 1201 }));
    let count = |query: &str| app.sql().query_one(query, &[]).expect("a count").get::<_, i64>(0);
    assert_eq!(count(&format!("select count(*) from patients where created_by = {}", ben.id)), 1201);
    assert_eq!(count("select count(*) from audit_entries where action = 'transfer' and version = 2"), 1201);
    assert_eq!(count("select count(*) from record_versions where resource = 'patient' and version = 1"), 1201);
    let none = admin.post(&format!("/api/admin/users/{}/transfer", ann.id), json!({ "to": ben.id }));
    assert_eq!(none.expect(200, "updated").data(), json!({ "patients": 0 }));
}

/// The ids of a list of deleted records, in order.
fn deleted(person: &Person, kind: &str) -> Vec<i64> {
    let mut ids = person.get(&format!("/api/{kind}/deleted")).expect(200, "success").ids();
    ids.sort_unstable();
    ids
}

#[test]
fn what_was_deleted_goes_along_with_its_history_and_comes_back_as_the_new_owners() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let (living, gone, doctor) = (ann.new_patient("Living"), ann.new_patient("Gone"), ann.new_doctor("D"));
    let (of_living, of_gone) = (ann.new_mapping(living, doctor), ann.new_mapping(gone, doctor));
    ann.delete(&format!("/api/mappings/{of_living}")).expect(200, "deleted");
    ann.delete(&format!("/api/patients/{gone}")).expect(200, "deleted");
    // One that was deleted, and is there again, is a living one.
    let again = ann.new_patient("Again");
    ann.delete(&format!("/api/patients/{again}")).expect(200, "deleted");
    ann.send("POST", &format!("/api/patients/{again}/undelete"), &[], None).expect(200, "updated");

    // Of one patient the deleted mappings go along.
    transfer(&admin, living, &ben).expect(200, "updated");
    assert_eq!((deleted(&ann, "mappings"), deleted(&ben, "mappings")), (vec![of_gone], vec![of_living]));
    let history = format!("/api/patients/{living}/mappings/{of_living}/history");
    ann.get(&history).expect(404, "failed");
    ben.get(&history).expect(200, "success");

    let path = format!("/api/admin/users/{}/transfer", ann.id);
    let moved = admin.post(&path, json!({ "to": ben.id })).expect(200, "updated");
    assert_eq!(moved.data(), json!({ "patients": 1 }), "the living ones");
    let mut mappings = [of_living, of_gone];
    mappings.sort_unstable();
    assert_eq!((deleted(&ann, "patients"), deleted(&ann, "mappings")), (vec![], vec![]));
    assert_eq!((deleted(&ben, "patients"), deleted(&ben, "mappings")), (vec![gone], mappings.to_vec()));
    for target in [
        format!("/api/patients/{gone}/history"),
        format!("/api/patients/{gone}/history/1"),
        format!("/api/patients/{gone}/mappings/{of_gone}/history"),
        format!("/fhir/R4/Patient/{gone}/_history"),
    ] {
        assert_eq!((ann.get(&target).status, ben.get(&target).status), (404, 200), "{target}");
    }
    let fhir = format!("/fhir/R4/Patient/{gone}");
    assert_eq!((ann.get(&fhir).status, ben.get(&fhir).status), (404, 410));
    let then = ben.get(&format!("/api/patients/{gone}/history/1")).expect(200, "success").data();
    assert_eq!(then["record"]["created_by"], ann.id, "a version stays as it was");
    let entries = app.audited("transfer");
    let of_gone = entries.iter().find(|entry| entry["resource_id"] == gone).expect("an entry");
    assert_eq!((entries.len(), &of_gone["version"]), (3, &Value::Null));

    ann.send("POST", &format!("/api/patients/{gone}/undelete"), &[], None).expect(404, "failed");
    let back = ben.send("POST", &format!("/api/patients/{gone}/undelete"), &[], None).expect(200, "updated");
    assert_eq!(back.data()["created_by"], ben.id);
    assert!(back.json()["message"].as_str().expect("a message").contains("1 of 1 mappings"));
    ann.get(&format!("/api/patients/{gone}")).expect(404, "failed");
    assert_eq!(
        ben.get(&format!("/api/patients/{gone}/mappings")).expect(200, "success").data().as_array().map(Vec::len),
        Some(1)
    );
    let none = admin.post(&path, json!({ "to": ben.id })).expect(200, "updated");
    assert_eq!(none.data(), json!({ "patients": 0 }));
}

#[test]
fn many_deleted_patients_move_in_batches() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let fill = "insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, record)
                select 'patient', 1000 + n, 1, $1::bigint, 1000 + n, 'delete', '{\"name\": \"P\"}'::jsonb from generate_series(1, 1201) n
                 union all
                select 'mapping', 1000 + n, 1, $1::bigint, 1000 + n, 'delete', '{}' from generate_series(1, 1201) n";
    app.sql().execute(fill, &[&ann.id]).expect("deleted patients");
    let moved = admin.post(&format!("/api/admin/users/{}/transfer", ann.id), json!({ "to": ben.id }));
    assert_eq!(moved.expect(200, "updated").data(), json!({ "patients": 0 }));
    let owners = "select min(owner_id), max(owner_id), count(*) from record_versions";
    let row = app.sql().query_one(owners, &[]).expect("owners");
    assert_eq!((row.get(0), row.get(1), row.get(2)), (ben.id, ben.id, 2402_i64));
    assert_eq!(app.audited("transfer").len(), 1201);
}

#[test]
fn nothing_is_left_of_a_user_who_deletes_and_brings_back_during_a_transfer() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let patients: Vec<i64> = (0..6).map(|number| ann.new_patient(&format!("P{number}"))).collect();
    // An undelete that waits for a transfer finds nothing.
    ann.delete(&format!("/api/patients/{}", patients[0])).expect(200, "deleted");
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    held.execute("update record_versions set owner_id = $1 where ended_by = 'delete'", &[&ben.id]).expect("a transfer");
    let undelete = |patient: i64| ann.send("POST", &format!("/api/patients/{patient}/undelete"), &[], None);
    thread::scope(|scope| {
        let sent = scope.spawn(|| undelete(patients[0]));
        app.wait_until_blocked(1);
        held.commit().expect("the transfer");
        sent.join().expect("an answer").expect(404, "failed");
    });
    // It waits for the whole transfer, which looks for patients more than once.
    ann.delete(&format!("/api/patients/{}", patients[1])).expect(200, "deleted");
    let mut held = holder.transaction().expect("a transaction");
    held.execute("select from users where id = $1 for no key update", &[&ann.id]).expect("a transfer");
    thread::scope(|scope| {
        let sent = scope.spawn(|| undelete(patients[1]));
        app.wait_until_blocked(1);
        held.commit().expect("the transfer");
        sent.join().expect("an answer").expect(200, "updated");
    });

    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for patient in &patients[1..] {
            let (undelete, ann, is_over) = (&undelete, &ann, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    ann.delete(&format!("/api/patients/{patient}"));
                    undelete(*patient);
                }
            });
        }
        admin.post(&format!("/api/admin/users/{}/transfer", ann.id), json!({ "to": ben.id })).expect(200, "updated");
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(ann.get("/api/patients").expect(200, "success").data(), json!([]));
    assert_eq!(deleted(&ann, "patients"), Vec::<i64>::new());
    let mut all = ben.get("/api/patients").expect(200, "success").ids();
    all.extend(deleted(&ben, "patients"));
    all.sort_unstable();
    assert_eq!(all, patients);
}

#[test]
fn a_transfer_ends_what_the_old_owner_shared_and_what_the_new_one_does_not_need() {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    for person in [&ben, &eve] {
        ann.post(&format!("{path}/shares"), json!({ "user_id": person.id })).expect(201, "created");
    }
    let by_admin = app.signed_up("zoe");
    let shares = format!("/api/admin/patients/{patient}/shares");
    admin.post(&shares, json!({ "user_id": by_admin.id })).expect(201, "created");
    transfer(&admin, patient, &ben).expect(200, "updated");
    eve.get(&path).expect(404, "failed");
    by_admin.get(&path).expect(200, "success");
    let left = ben.get(&format!("{path}/shares")).expect(200, "success").data();
    assert_eq!((left.as_array().map(Vec::len), &left[0]["user_id"]), (Some(1), &json!(by_admin.id)));
}

/// The change waits for the row while the patient is handed over: the old owner then finds nothing to change.
#[test]
fn a_change_of_the_old_owner_that_waits_for_a_transfer_is_refused() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    for (method, target, body) in [
        ("PATCH", format!("/api/patients/{patient}"), Some(json!({ "name": "N" }))),
        ("DELETE", format!("/api/patients/{patient}"), None),
        ("POST", "/api/mappings".to_string(), Some(json!({ "patient_id": patient, "doctor_id": doctor }))),
    ] {
        let mut holder = app.sql();
        let mut held = holder.transaction().expect("a transaction");
        held.execute("update patients set created_by = $1", &[&ben.id]).expect("a transfer");
        thread::scope(|scope| {
            let sent = scope.spawn(|| ann.send(method, &target, &[], body));
            app.wait_until_blocked(1);
            held.commit().expect("the transfer");
            sent.join().expect("an answer").expect(404, "failed");
        });
        assert_eq!(ben.get(&format!("/api/patients/{patient}")).expect(200, "success").data()["name"], "P");
        transfer(&admin, patient, &ann).expect(200, "updated");
    }
}

#[test]
fn transfers_at_once_and_changes_meanwhile_leave_one_owner_and_a_version_for_each() {
    let app = TestApp::start();
    let (admin, ann) = (app.admin("root"), app.signed_up("ann"));
    let others: Vec<Person> = (0..4).map(|number| app.signed_up(&format!("other{number}"))).collect();
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    ann.new_mapping(patient, doctor);
    let statuses: Vec<u16> = at_once(8, |number| match number % 2 {
        0 => transfer(&admin, patient, &others[number / 2]).status,
        _ => ann.patch(&format!("/api/patients/{patient}"), json!({ "name": format!("N{number}") })).status,
    });
    assert!(statuses.iter().all(|status| [200, 404].contains(status)), "{statuses:?}");
    let row = app
        .sql()
        .query_one("select p.created_by, m.created_by, p.version from patients p, mappings m", &[])
        .expect("a row");
    let (owner, of_mapping, version): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(owner, of_mapping, "never a half");
    let done = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(version, 1 + i64::try_from(done).expect("a count"));
    assert_eq!(app.audited("transfer").len() + app.audited("update").len(), done);
}

#[test]
fn of_transfers_of_one_user_at_once_the_first_takes_everything() {
    let app = TestApp::start();
    let (admin, ann) = (app.admin("root"), app.signed_up("ann"));
    let (ben, eve) = (app.signed_up("ben"), app.signed_up("eve"));
    for _ in 0..5 {
        let patients: Vec<i64> = (0..4).map(|number| ann.new_patient(&format!("P{number}"))).collect();
        for deleted in &patients[..2] {
            ann.delete(&format!("/api/patients/{deleted}")).expect(200, "deleted");
        }
        let moved: i64 = at_once(4, |number| {
            let to = if number % 2 == 0 { ben.id } else { eve.id };
            let path = format!("/api/admin/users/{}/transfer", ann.id);
            admin.post(&path, json!({ "to": to })).expect(200, "updated").data()["patients"].as_i64().expect("a number")
        })
        .into_iter()
        .sum();
        assert_eq!(moved, 2);
        let owners = "select p.created_by from patients p where id = any ($1)
                       union
                      select v.owner_id from record_versions v where v.record_id = any ($1) and v.ended_by = 'delete'";
        assert_eq!(app.sql().query(owners, &[&patients]).expect("owners").len(), 1, "never a half");
    }
}

#[test]
fn a_transfer_ends_although_its_user_goes_on_to_register_and_delete_patients() {
    let app = TestApp::start();
    let (admin, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let (is_over, path) = (AtomicBool::new(false), format!("/api/admin/users/{}/transfer", ann.id));
    let begun: Vec<i64> = (0..3).map(|number| ann.new_patient(&format!("P{number}"))).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let path = format!("/api/patients/{}", ann.new_patient("Busy"));
                    ann.delete(&path);
                    ann.post(&format!("{path}/undelete"), json!({}));
                }
            });
        }
        let answer = admin.post(&path, json!({ "to": ben.id }));
        is_over.store(true, Ordering::Relaxed);
        answer.expect(200, "updated");
    });
    for patient in begun {
        ben.get(&format!("/api/patients/{patient}")).expect(200, "success");
    }
}

#[test]
fn who_may_see_a_patient_and_why_and_who_did_is_told_to_those_who_see_it() {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    admin.new_group("Ward", &[&ann, &ben]);
    let until = "2099-01-01T00:00:00Z";
    ann.post(&format!("{path}/shares"), json!({ "user_id": eve.id, "expires_at": until })).expect(201, "created");
    let group = json!({ "id": 1, "name": "Ward" });
    let seer = |person: &Person, name: &str, reason: &str, group: Value, can_change: bool, until: Value| json!({ "user_id": person.id, "name": name, "reason": reason, "group": group, "can_change": can_change, "expires_at": until });
    let expected = json!([
        seer(&ann, "ann", "owner", json!(null), true, json!(null)),
        seer(&ben, "ben", "group", group, true, json!(null)),
        seer(&eve, "eve", "share", json!(null), false, json!(until)),
        seer(&admin, "root", "admin", json!(null), true, json!(null)),
    ]);
    for person in [&ann, &ben, &eve] {
        assert_eq!(person.get(&format!("{path}/access")).expect(200, "success").data(), expected);
    }
    let stranger = app.signed_up("stranger");
    for page in ["access", "access/log"] {
        stranger.get(&format!("{path}/{page}")).expect(404, "failed");
        admin.get(&format!("/api/admin/patients/{patient}/{page}")).expect(200, "success");
        admin.get(&format!("/api/admin/patients/999/{page}")).expect(404, "failed");
    }
    ben.get(&path).expect(200, "success");
    eve.get("/api/patients").expect(200, "success");
    ben.patch(&path, json!({ "name": "N" })).expect(200, "updated");
    let log = |query: &str| ann.get(&format!("{path}/access/log{query}")).expect(200, "success");
    eventually("both reads are written", || log("").data().as_array().map(Vec::len) == Some(4));
    let mut seen: Vec<(Value, Value)> = Vec::new();
    for entry in log("").data().as_array().expect("a list") {
        assert!(entry["ip"].is_string() && entry["at"].is_string());
        seen.push((entry["actor_name"].clone(), entry["action"].clone()));
    }
    for (name, action) in [("ann", "create"), ("ben", "read"), ("eve", "list"), ("ben", "update")] {
        assert!(seen.contains(&(json!(name), json!(action))), "{name} {action}: {seen:?}");
    }
    let first = log("?limit=3");
    let next = first.header("link").expect("a link").split(['<', '>']).nth(1).expect("a target").to_string();
    assert_eq!(ann.get(&next).expect(200, "success").data().as_array().map(Vec::len), Some(1));
}
