//! What was deleted is listed, and can be brought back.

use serde_json::json;

use crate::harness::{Person, TestApp, at_once, count};
use crate::history::{changes, long_history, versions};

/// A patient with two mappings and one that was deleted before, a doctor of somebody else among them.
pub fn treated(ann: &Person, bob: &Person) -> (i64, [i64; 2], [i64; 3]) {
    let patient = ann.patient_with(json!({ "name": "Owned", "medical_history": long_history(7), "phone": "12345" }));
    let doctors = [ann.new_doctor("D"), bob.new_doctor("E")];
    let gone = ann.new_mapping(patient, ann.new_doctor("F"));
    let mappings = [ann.new_mapping(patient, doctors[0]), ann.new_mapping(patient, doctors[1]), gone];
    ann.patch(&format!("/api/mappings/{}", mappings[0]), json!({ "notes": "kept" })).expect(200, "updated");
    ann.delete(&format!("/api/mappings/{gone}")).expect(200, "deleted");
    (patient, doctors, mappings)
}

#[test]
fn an_undelete_brings_the_patient_back_with_the_mappings_that_went_with_it() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, _, mappings) = treated(&ann, &bob);
    let path = format!("/api/patients/{patient}");
    let deleted = |kind: &str| ann.get(&format!("/api/{kind}/deleted")).expect(200, "success").ids();
    let mapped = || ann.get(&format!("{path}/mappings")).expect(200, "success").data();
    let (was, mapped_before) = (ann.get(&path).expect(200, "success"), mapped());
    assert_eq!((deleted("patients"), deleted("mappings")), (vec![], vec![mappings[2]]));
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(409, "failed");

    ann.delete(&path).expect(200, "deleted");
    assert_eq!(
        (deleted("patients"), deleted("mappings")),
        (vec![patient], vec![mappings[1], mappings[0], mappings[2]])
    );
    let list = ann.get("/api/patients/deleted").data();
    assert_eq!((&list[0]["name"], &list[0]["deleted_by"]), (&json!("Owned"), &json!(ann.id)));
    let list = ann.get("/api/mappings/deleted").data();
    assert_eq!(
        (&list[0]["patient"], &list[0]["doctor"]["name"]),
        (&json!({ "id": patient, "name": "Owned" }), &json!("E"))
    );
    let tombstone = ann.get(&format!("{path}/history?limit=1")).expect(200, "success").data();
    assert_eq!(
        (&tombstone[0]["record"], &tombstone[0]["action"], &tombstone[0]["version"]),
        (&json!(null), &json!("delete"), &json!(2))
    );
    assert_eq!(ann.get(&format!("{path}/history/1")).expect(200, "success").data()["record"], was.data());
    // A mapping cannot come back to a patient that is away.
    ann.send("POST", &format!("/api/mappings/{}/undelete", mappings[0]), &[], None).expect(409, "failed");

    let refused = ann.send("POST", &format!("{path}/undelete"), &[("If-Match", "\"1\"")], None).expect(400, "invalid");
    assert_eq!(refused.fields(), ["If-Match"]);
    let back = ann
        .send("POST", &format!("{path}/undelete"), &[("Idempotency-Key", "a")], Some(json!({})))
        .expect(200, "updated");
    assert_eq!(back.json()["message"], "Patient brought back with 2 of 2 mappings");
    assert_eq!(back.etag(), "\"3\"");
    assert_eq!(ann.get(&path).expect(200, "success").data(), back.data());
    for (name, value) in was.data().as_object().expect("a record") {
        assert_eq!(back.data()[name] == *value, name != "updated_at", "{name}");
    }
    for (now, before) in mapped().as_array().expect("a list").iter().zip(mapped_before.as_array().expect("a list")) {
        for (name, value) in before.as_object().expect("a record") {
            assert_eq!(now[name] == *value, name != "updated_at", "{name}");
        }
    }
    assert_eq!((deleted("patients"), deleted("mappings")), (vec![], vec![mappings[2]]));
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(409, "failed");
    ann.send("POST", &format!("/api/mappings/{}/undelete", mappings[2]), &[], None).expect(200, "updated");
    assert_eq!(deleted("mappings"), Vec::<i64>::new());

    // An entity tag from before never matches.
    for old in ["\"1\"", "\"2\""] {
        ann.send("PATCH", &path, &[("If-Match", old)], Some(json!({ "name": "N" }))).expect(412, "failed");
        ann.send("GET", &path, &[("If-None-Match", old)], None).expect(200, "success");
    }
    let history = versions(&ann.get(&format!("{path}/history")).expect(200, "success"));
    let actions: Vec<_> = history
        .iter()
        .map(|(version, action, actor, record)| (*version, action.as_str(), *actor, record.is_null()))
        .collect();
    let a = Some(ann.id);
    assert_eq!(actions, [(3, "undelete", a, false), (2, "delete", a, true), (1, "create", a, false)]);
    let entries = changes(&app, "mapping", mappings[0]);
    assert_eq!(
        entries.iter().map(|(action, version, _)| (action.as_str(), *version)).collect::<Vec<_>>(),
        [("create", 1), ("update", 2), ("delete", 3), ("undelete", 4)]
    );
    let undeleted = app.audited("undelete");
    assert_eq!(undeleted.len(), 4);
    assert!(undeleted.iter().all(|entry| entry["before"].is_null()));
    // Twice deleted, twice there, once in the list.
    ann.delete(&path).expect(200, "deleted");
    assert_eq!(deleted("patients"), [patient]);
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(200, "updated");
    assert_eq!(ann.get(&path).expect(200, "success").etag(), "\"5\"");
}

#[test]
fn an_undelete_brings_a_doctor_back_to_the_patients_who_are_there() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let doctor = ann
        .post("/api/doctors", json!({ "name": "D", "specialization": "S", "license_number": "BE-1" }))
        .expect(201, "created")
        .id();
    let patients = [ann.new_patient("P"), bob.new_patient("Q"), ann.new_patient("R")];
    let mappings = [
        ann.new_mapping(patients[0], doctor),
        bob.new_mapping(patients[1], doctor),
        ann.new_mapping(patients[2], doctor),
    ];
    let path = format!("/api/doctors/{doctor}");
    bob.send("POST", &format!("{path}/undelete"), &[], None).expect(403, "forbidden");
    root.delete(&format!("/api/admin/doctors/{doctor}?cascade=true")).expect(200, "deleted");
    // What is deleted is its owner's.
    for target in [format!("{path}/history"), format!("{path}/history/1")] {
        ann.get(&target).expect(200, "success");
        bob.get(&target).expect(404, "failed");
    }
    bob.send("POST", &format!("{path}/undelete"), &[], None).expect(404, "failed");
    assert_eq!(bob.get("/api/doctors/deleted").ids(), Vec::<i64>::new());
    assert_eq!(ann.get("/api/doctors/deleted").ids(), [doctor]);
    assert_eq!(ann.get("/api/doctors/deleted").data()[0]["deleted_by"], root.id);
    assert_eq!(bob.get("/api/mappings/deleted").ids(), [mappings[1]]);
    ann.delete(&format!("/api/patients/{}", patients[2])).expect(200, "deleted");

    // A licence number that is taken meanwhile.
    let taken = bob
        .post("/api/doctors", json!({ "name": "E", "specialization": "S", "license_number": "BE-1" }))
        .expect(201, "created")
        .id();
    let state = "select (select count(*) from doctors), (select count(*) from mappings), (select count(*) from record_versions), (select count(*) from audit_entries)";
    let state = || -> Vec<i64> {
        let row = app.sql().query_one(state, &[]).expect("counts");
        (0..4).map(|column| row.get(column)).collect()
    };
    let before = state();
    let refused = ann.send("POST", &format!("{path}/undelete"), &[], None).expect(409, "failed");
    assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains("license_number")));
    assert_eq!(state(), before);
    bob.delete(&format!("/api/doctors/{taken}")).expect(200, "deleted");

    let back = ann.send("POST", &format!("{path}/undelete"), &[], None).expect(200, "updated");
    assert_eq!(back.json()["message"], "Doctor brought back with 2 of 3 mappings");
    assert_eq!(ann.get(&format!("/api/mappings/{}", patients[0])).ids(), [mappings[0]]);
    assert_eq!(bob.get(&format!("/api/mappings/{}", patients[1])).ids(), [mappings[1]]);
    assert_eq!(ann.get("/api/mappings/deleted").ids(), [mappings[2]]);
    assert_eq!(app.audited("undelete").len(), 3);
    // The patient comes back without it, since it went with the doctor, and then it can be brought back alone.
    ann.send("POST", &format!("/api/patients/{}/undelete", patients[2]), &[], None).expect(200, "updated");
    ann.send("POST", &format!("/api/mappings/{}/undelete", mappings[2]), &[], None).expect(200, "updated");
}

#[test]
fn a_mapping_comes_back_alone_while_its_pair_is_free() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let (patient, doctor, other) = (ann.new_patient("P"), ann.new_doctor("D"), ann.new_patient("Q"));
    let mapping = ann.new_mapping(patient, doctor);
    let path = format!("/api/mappings/{mapping}");
    ann.patch(&path, json!({ "patient_id": other })).expect(200, "updated");
    let history = |patient: i64| ann.get(&format!("/api/patients/{patient}/mappings/{mapping}/history"));
    assert_eq!(history(other).expect(200, "success").data().as_array().map(Vec::len), Some(2));
    history(patient).expect(404, "failed");
    ann.delete(&path).expect(200, "deleted");
    // Under the patient that it had last.
    assert_eq!(history(other).expect(200, "success").data().as_array().map(Vec::len), Some(3));
    history(patient).expect(404, "failed");
    bob.send("POST", &format!("{path}/undelete"), &[], None).expect(404, "failed");
    let again = ann.new_mapping(other, doctor);
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(409, "failed");
    ann.delete(&format!("/api/mappings/{again}")).expect(200, "deleted");
    let back = root.send("POST", &format!("/api/admin/mappings/{mapping}/undelete"), &[], None).expect(200, "updated");
    assert_eq!((&back.data()["created_by"], &back.data()["patient"]["name"]), (&json!(ann.id), &json!("Q")));
    assert_eq!(back.etag(), root.get(&format!("/api/admin/mappings/{mapping}")).etag());
    // Of what is gone, the history shows the id.
    ann.delete(&path).expect(200, "deleted");
    ann.delete(&format!("/api/doctors/{doctor}")).expect(200, "deleted");
    let record = history(other).data()[1]["record"].clone();
    assert_eq!(
        (&record["doctor"], &record["patient"]),
        (&json!({ "id": doctor }), &json!({ "id": other, "name": "Q" }))
    );
    let refused = ann.send("POST", &format!("{path}/undelete"), &[], None).expect(409, "failed");
    assert!(refused.json()["message"].as_str().is_some_and(|text| text.contains("doctor")));
}

#[test]
fn deleted_records_come_page_by_page_with_the_last_deleted_first() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let mut deleted: Vec<i64> = (0..7).map(|number| ann.new_patient(&format!("P{number}"))).collect();
    let others = bob.new_patient("Q");
    for id in deleted.iter().rev() {
        ann.delete(&format!("/api/patients/{id}")).expect(200, "deleted");
    }
    bob.delete(&format!("/api/patients/{others}")).expect(200, "deleted");
    let walk = |person: &Person, start: &str| {
        let (mut target, mut ids) = (Some(start.to_string()), Vec::new());
        while let Some(here) = target {
            let page = person.get(&here).expect(200, "success");
            ids.extend(page.ids());
            target = page.next();
        }
        ids
    };
    assert_eq!(walk(&ann, "/api/patients/deleted?limit=3"), deleted);
    assert_eq!(walk(&root, &format!("/api/admin/patients/deleted?limit=2&created_by={}", ann.id)), deleted);
    assert_eq!(walk(&root, "/api/patients/deleted"), Vec::<i64>::new());
    // Equal times follow each other by their ids.
    app.sql()
        .batch_execute(
            "alter table record_versions disable trigger record_versions_are_kept;
        update record_versions set ended_at = '2026-01-01'",
        )
        .expect("one moment");
    deleted.reverse();
    assert_eq!(walk(&ann, "/api/patients/deleted?limit=2"), deleted);
    deleted.insert(0, others);
    assert_eq!(walk(&root, "/api/admin/patients/deleted?limit=3"), deleted);
    let cursor = ann.get("/api/patients/deleted?limit=1").next().expect("more");
    let cursor = cursor.split("cursor=").nth(1).expect("a cursor");
    for target in [
        format!("/api/doctors/deleted?cursor={cursor}"),
        format!("/api/admin/patients/deleted?cursor={cursor}"),
        format!("/api/patients/deleted?cursor={cursor}A"),
    ] {
        assert_eq!(root.get(&target).expect(400, "invalid").fields(), ["cursor"], "{target}");
    }
    assert_eq!(ann.get("/api/patients/deleted?limit=0&after=1").expect(400, "invalid").fields(), ["after", "limit"]);
}

#[test]
fn of_ten_undeletes_at_once_one_brings_the_record_back() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    for (path, changes) in [
        (format!("/api/patients/{patient}"), 2),
        (format!("/api/mappings/{mapping}"), 1),
        (format!("/api/doctors/{doctor}"), 1),
    ] {
        if path.contains("doctors") {
            ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
        }
        let undeleted = app.audited("undelete").len();
        ann.delete(&path).expect(200, "deleted");
        let answers = at_once(10, |_| ann.send("POST", &format!("{path}/undelete"), &[], None));
        assert_eq!((count(&answers, 200), count(&answers, 409)), (1, 9), "{path}");
        assert_eq!(app.audited("undelete").len() - undeleted, changes, "{path}");
    }
}

#[test]
fn of_an_undelete_and_a_create_of_the_same_pair_at_once_one_wins() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for round in 0..10 {
        let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
        let mapping = ann.new_mapping(patient, doctor);
        ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
        let answers = at_once(2, |number| match (number + round) % 2 {
            0 => ann.send("POST", &format!("/api/mappings/{mapping}/undelete"), &[], None),
            _ => ann.post("/api/mappings", json!({ "patient_id": patient, "doctor_id": doctor })),
        });
        assert_eq!(count(&answers, 409), 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(count(&answers, 200) + count(&answers, 201), 1);
        assert_eq!(ann.get(&format!("/api/mappings/{patient}")).ids().len(), 1);
    }
}

#[test]
fn an_undelete_and_a_delete_of_the_other_side_at_once_leave_no_mapping_without_its_doctor() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    for _ in 0..10 {
        let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
        ann.new_mapping(patient, doctor);
        ann.delete(&format!("/api/patients/{patient}")).expect(200, "deleted");
        let answers = at_once(2, |number| match number {
            0 => ann.send("POST", &format!("/api/patients/{patient}/undelete"), &[], None),
            _ => root.delete(&format!("/api/admin/doctors/{doctor}?cascade=true")),
        });
        assert_eq!(count(&answers, 200), 2);
        let back = ann.get(&format!("/api/mappings/{patient}")).expect(200, "success").ids();
        assert_eq!(back, Vec::<i64>::new(), "the doctor is gone, whichever came first");
    }
}

#[test]
fn whoever_may_not_act_any_more_brings_nothing_back() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    ann.delete(&path).expect(200, "deleted");
    let mut sql = app.sql();
    // The session ends without a notification, so that only the change itself can see it.
    sql.execute("update sessions set ended_at = now() where user_id = $1", &[&ann.id]).expect("an end");
    ann.send("POST", &format!("{path}/undelete"), &[], None).expect(401, "forbidden");
    sql.execute("update users set role = 'user' where id = $1", &[&root.id]).expect("a demotion");
    root.send("POST", &format!("{}/undelete", path.replace("/api/", "/api/admin/")), &[], None)
        .expect(403, "forbidden");
    assert!(app.audited("undelete").is_empty());
}

#[test]
fn a_replay_after_a_delete_gives_the_first_answer_and_is_recorded_as_a_read() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let body = json!({ "name": "P", "date_of_birth": "1990-04-23", "gender": "other" });
    let send = || ann.send("POST", "/api/patients", &[("Idempotency-Key", "once")], Some(body.clone()));
    let first = send().expect(201, "created");
    ann.delete(&first.location()).expect(200, "deleted");
    let replayed = send().expect(201, "created");
    assert_eq!((&replayed.body, replayed.header("idempotency-replayed")), (&first.body, Some("true")));
    ann.send("POST", &format!("{}/undelete", first.location()), &[], None).expect(200, "updated");
    assert_eq!(send().expect(201, "created").body, first.body);
    let database = app.database.clone();
    app.stop();
    let query = "select count(*) from audit_trail where action = 'read' and resource = 'patient' and resource_id = $1";
    let reads: i64 =
        crate::harness::postgres::connect(&database).query_one(query, &[&first.id()]).expect("a count").get(0);
    assert_eq!(reads, 2);
}
