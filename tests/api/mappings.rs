//! Mappings: create, list, list of a patient, find, update, delete; the same for an admin; versions and races.

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{Person, TestApp, at_once, count};

fn assign(person: &Person, patient: i64, doctor: i64) -> Answer {
    person.post("/api/mappings", json!({ "patient_id": patient, "doctor_id": doctor, "notes": "first\nvisit" }))
}

fn nested(patient: i64, mapping: i64) -> String {
    format!("/api/patients/{patient}/mappings/{mapping}")
}

#[test]
fn a_new_mapping_shows_its_patient_and_doctor_and_is_found_where_location_says() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("Zoë");
    let doctor = json!({ "name": "Åsa", "specialization": "Cardiology", "phone": "12345", "email": "asa@example.org",
                         "license_number": "L1", "years_of_experience": 3 });
    let doctor = ann.post("/api/doctors", doctor).expect(201, "created").id();
    let created = assign(&ann, patient, doctor).expect(201, "created");
    let data = created.data();
    assert_eq!(created.location(), nested(patient, created.id()));
    let mut names: Vec<&String> = data.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["assigned_at", "doctor", "doctor_id", "id", "notes", "patient", "patient_id", "updated_at"]);
    assert_eq!(data["patient"], json!({ "id": patient, "name": "Zoë" }));
    let shown = json!({ "id": doctor, "name": "Åsa", "specialization": "Cardiology", "phone": "12345", "email": "asa@example.org" });
    assert_eq!((&data["doctor"], &data["notes"]), (&shown, &json!("first\nvisit")));
    let found = ann.get(&created.location()).expect(200, "success");
    assert_eq!((found.data(), found.etag()), (data, created.etag()));
    assert_eq!(ann.send("GET", &created.location(), &[("If-None-Match", &found.etag())], None).status, 304);
}

#[test]
fn bad_fields_are_named() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let refused = |body: Value, word: &str| ann.post("/api/mappings", body).expect(400, word).fields();
    assert_eq!(refused(json!({}), "incomplete"), ["patient_id", "doctor_id"]);
    for bad in [json!(0), json!(-1), json!(1.0), json!("1"), json!(true), json!([1])] {
        assert_eq!(
            refused(json!({ "patient_id": bad, "doctor_id": bad }), "invalid"),
            ["patient_id", "doctor_id"],
            "{bad}"
        );
    }
    let unknown = json!({ "patient_id": patient, "doctor_id": doctor, "note": "x" });
    assert_eq!(refused(unknown, "invalid"), ["note"]);
    let notes = |length| json!({ "patient_id": patient, "doctor_id": doctor, "notes": "ü".repeat(length) });
    assert_eq!(refused(notes(2001), "invalid"), ["notes"]);
    ann.post("/api/mappings", notes(2000)).expect(201, "created");
}

#[test]
fn the_patient_belongs_to_the_user_the_doctor_exists_and_the_pair_is_new() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let (patient, doctor) = (ann.new_patient("P"), bob.new_doctor("D"));
    for stranger in [&bob, &root] {
        let answer = assign(stranger, patient, doctor).expect(404, "failed");
        assert_eq!(answer.body, assign(stranger, 999, doctor).body, "another user's patient looks like a missing one");
    }
    assign(&ann, patient, 999).expect(404, "failed");
    assign(&ann, patient, doctor).expect(201, "created");
    assign(&ann, patient, doctor).expect(409, "failed");
    assert_eq!(app.audited("create").len(), 3, "a refused mapping leaves no entry");
}

#[test]
fn of_twenty_identical_mappings_at_once_exactly_one_is_made() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let answers = at_once(20, |number| assign(&ann.at(if number % 2 == 0 { &app } else { &other }), patient, doctor));
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 19));
    let of_mapping = app.audited("create").into_iter().filter(|entry| entry["resource"] == "mapping").count();
    assert_eq!(of_mapping, 1);
}

#[test]
fn a_list_holds_only_the_mappings_of_the_users_patients() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (p1, p2, d1, d2) = (ann.new_patient("1"), ann.new_patient("2"), ann.new_doctor("1"), ann.new_doctor("2"));
    let ids = [ann.new_mapping(p1, d1), ann.new_mapping(p1, d2), ann.new_mapping(p2, d1)];
    let bobs = bob.new_mapping(bob.new_patient("B"), d1);
    let found = |query: &str| ann.get(&format!("/api/mappings{query}")).expect(200, "success").ids();
    assert_eq!(found(""), ids);
    assert_eq!(bob.get("/api/mappings").expect(200, "success").ids(), [bobs]);
    assert_eq!(found(&format!("?patient_id={p1}")), ids[..2]);
    assert_eq!(found(&format!("?doctor_id={d1}")), [ids[0], ids[2]]);
    assert_eq!(found(&format!("?doctor_id={d1}&patient_id={p2}")), [ids[2]]);
    assert!(found("?patient_id=999").is_empty());
    for start in ["/api/mappings?limit=2".to_string(), format!("/api/mappings?limit=1&patient_id={p1}")] {
        let first = ann.get(&start).expect(200, "success");
        let rest = ann.get(&first.next().expect("more")).expect(200, "success");
        assert_eq!(rest.next(), None);
        assert_eq!([first.ids(), rest.ids()].concat(), if start.contains("patient") { &ids[..2] } else { &ids[..] });
    }
    let bad = ann.get("/api/mappings?patient_id=x&doctor_id=0&created_by=1").expect(400, "invalid");
    assert_eq!(bad.fields(), ["created_by", "patient_id", "doctor_id"]);
}

#[test]
fn the_doctors_of_one_patient_are_listed_at_two_paths_alike() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let patient = ann.new_patient("P");
    let ids: Vec<i64> = (0..3).map(|number| ann.new_mapping(patient, ann.new_doctor(&format!("{number}")))).collect();
    let alone = ann.new_patient("Alone");
    for path in [|id| format!("/api/mappings/{id}"), |id| format!("/api/patients/{id}/mappings")] {
        let all = ann.get(&path(patient)).expect(200, "success");
        assert_eq!(all.ids(), ids);
        assert_eq!(all.data(), ann.get("/api/mappings").expect(200, "success").data());
        let first = ann.get(&format!("{}?limit=2", path(patient))).expect(200, "success");
        let rest = ann.get(&first.next().expect("more")).expect(200, "success");
        assert_eq!((first.ids(), rest.ids(), rest.next()), (ids[..2].to_vec(), ids[2..].to_vec(), None));
        assert!(ann.get(&format!("{}?after={}", path(patient), ids[2])).expect(200, "success").ids().is_empty());
        assert!(ann.get(&path(alone)).expect(200, "success").ids().is_empty(), "none is an empty list");
        for stranger in [&bob, &root] {
            stranger.get(&path(patient)).expect(404, "failed");
        }
        ann.get(&path(999)).expect(404, "failed");
        assert_eq!(ann.get(&format!("{}?doctor_id=1", path(patient))).expect(400, "invalid").fields(), ["doctor_id"]);
    }
}

#[test]
fn one_mapping_is_found_under_its_own_patient_only() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, other) = (ann.new_patient("P"), ann.new_patient("Q"));
    let mapping = ann.new_mapping(patient, ann.new_doctor("D"));
    ann.get(&nested(patient, mapping)).expect(200, "success");
    ann.get(&nested(other, mapping)).expect(404, "failed");
    ann.get(&nested(patient, 999)).expect(404, "failed");
    bob.get(&nested(patient, mapping)).expect(404, "failed");
    ann.get(&format!("/api/patients/x/mappings/{mapping}")).expect(400, "invalid");
    ann.get(&format!("/api/patients/{patient}/mappings/0")).expect(400, "invalid");
}

#[test]
fn an_update_keeps_the_rules_of_a_new_mapping() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (p1, p2, d1, d2) = (ann.new_patient("1"), ann.new_patient("2"), ann.new_doctor("1"), ann.new_doctor("2"));
    let bobs = bob.new_patient("B");
    let (taken, mapping) = (ann.new_mapping(p1, d1), ann.new_mapping(p1, d2));
    let path = format!("/api/mappings/{mapping}");
    let version = ann.get(&nested(p1, mapping)).expect(200, "success").etag();
    ann.patch(&path, json!({ "doctor_id": d1 })).expect(409, "failed");
    for body in [json!({ "patient_id": bobs }), json!({ "patient_id": 999 }), json!({ "doctor_id": 999 })] {
        ann.patch(&path, body.clone()).expect(404, "failed");
        bob.patch(&path, body).expect(404, "failed");
    }
    bob.patch(&path, json!({ "patient_id": bobs })).expect(404, "failed");
    bob.put(&path, json!({ "notes": "mine" })).expect(404, "failed");
    ann.patch("/api/mappings/999", json!({ "notes": "x" })).expect(404, "failed");
    ann.patch(&path, json!({})).expect(400, "incomplete");
    ann.patch(&path, json!({ "patient_id": null })).expect(400, "incomplete");
    assert_eq!(ann.patch(&path, json!({ "doctor_id": "1" })).expect(400, "invalid").fields(), ["doctor_id"]);
    assert_eq!(ann.get(&nested(p1, mapping)).expect(200, "success").etag(), version, "nothing has changed");

    let moved =
        ann.put(&path, json!({ "patient_id": p2, "doctor_id": d1, "notes": "moved" })).expect(200, "updated").data();
    assert_eq!(
        (&moved["patient"]["id"], &moved["doctor"]["id"], &moved["notes"]),
        (&json!(p2), &json!(d1), &json!("moved"))
    );
    ann.get(&nested(p1, mapping)).expect(404, "failed");
    let read = ann.get(&nested(p2, mapping)).expect(200, "success").data();
    assert_eq!(ann.put(&path, read).expect(200, "updated").data()["notes"], "moved");
    assert_eq!(ann.patch(&path, json!({ "notes": null })).expect(200, "updated").data()["notes"], Value::Null);
    assert_eq!(ann.get(&format!("/api/mappings/{p1}")).expect(200, "success").ids(), [taken]);
}

#[test]
fn the_version_changes_with_the_mapping_its_patient_and_its_doctor() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let (nested, path) = (nested(patient, mapping), format!("/api/mappings/{mapping}"));
    let mut seen = vec![ann.get(&nested).expect(200, "success").etag()];
    let changes = [
        (format!("/api/patients/{patient}"), json!({ "name": "P2" })),
        (format!("/api/doctors/{doctor}"), json!({ "phone": "54321" })),
        (path.clone(), json!({ "notes": "n" })),
    ];
    for (target, change) in changes {
        let old = seen.last().expect("a version").clone();
        ann.patch(&target, change).expect(200, "updated");
        ann.send("PATCH", &path, &[("If-Match", &old)], Some(json!({ "notes": "late" }))).expect(412, "failed");
        ann.send("DELETE", &path, &[("If-Match", &old)], None).expect(412, "failed");
        let read = ann.send("GET", &nested, &[("If-None-Match", &old)], None).expect(200, "success");
        assert!(!seen.contains(&read.etag()), "{seen:?}");
        seen.push(read.etag());
    }
    let current = seen.last().expect("a version");
    let written =
        ann.send("PUT", &path, &[("If-Match", current)], Some(json!({ "notes": "m" }))).expect(200, "updated");
    assert_eq!(written.etag(), ann.get(&nested).expect(200, "success").etag());
    ann.send("DELETE", &path, &[("If-Match", &written.etag())], None).expect(200, "deleted");
}

#[test]
fn of_twenty_writers_with_one_version_exactly_one_wins() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = assign(&ann, patient, doctor).expect(201, "created");
    let (path, etag) = (format!("/api/mappings/{}", mapping.id()), mapping.etag());
    let answers = at_once(20, |number| {
        let body = json!({ "notes": format!("{number}") });
        ann.send("PATCH", &path, &[("If-Match", &etag)], Some(body))
    });
    assert_eq!((count(&answers, 200), count(&answers, 412)), (1, 19));
}

#[test]
fn a_mapping_is_deleted_by_the_owner_of_its_patient() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let mapping = ann.new_mapping(ann.new_patient("P"), bob.new_doctor("D"));
    let path = format!("/api/mappings/{mapping}");
    bob.delete(&path).expect(404, "failed");
    root.delete(&path).expect(404, "failed");
    ann.delete(&path).expect(200, "deleted");
    ann.delete(&path).expect(404, "failed");
    ann.delete("/api/mappings/x").expect(400, "invalid");
}

#[test]
fn a_patient_is_deleted_with_all_mappings_even_one_that_is_being_made() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let doctors: Vec<i64> = (0..4).map(|number| ann.new_doctor(&format!("{number}"))).collect();
    for _ in 0..10 {
        let patient = ann.new_patient("P");
        let answers = at_once(4, |number| match number {
            0 => ann.delete(&format!("/api/patients/{patient}")),
            number => assign(&ann, patient, doctors[number]),
        });
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        // Two that arrive one after the other can make the first and the second try of the delete fail.
        assert!(
            [200, 409].contains(&statuses[0]) && statuses[1..].iter().all(|status| [201, 404].contains(status)),
            "{statuses:?}"
        );
        let left = ann.get(&format!("/api/patients/{patient}")).status;
        assert_eq!(left, if statuses[0] == 200 { 404 } else { 200 });
        let mappings = ann.get(&format!("/api/mappings?patient_id={patient}")).expect(200, "success").ids();
        assert!(mappings.is_empty() || left == 200, "{statuses:?}");
    }
}

#[test]
fn an_admin_sees_and_deletes_the_mappings_of_all_users() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let (p1, p2, doctor) = (ann.new_patient("1"), bob.new_patient("2"), ann.new_doctor("D"));
    let (first, second) = (ann.new_mapping(p1, doctor), bob.new_mapping(p2, doctor));
    let found = |query: &str| root.get(&format!("/api/admin/mappings{query}")).expect(200, "success");
    assert_eq!(found("").ids(), [first, second]);
    assert_eq!(found("").data()[1]["created_by"], bob.id);
    assert_eq!(found(&format!("?created_by={}", ann.id)).ids(), [first]);
    assert_eq!(found(&format!("?patient_id={p2}&doctor_id={doctor}")).ids(), [second]);
    let page = found("?limit=1");
    assert_eq!(root.get(&page.next().expect("more")).expect(200, "success").ids(), [second]);

    let path = format!("/api/admin/mappings/{first}");
    let one = root.get(&path).expect(200, "success");
    assert_eq!((one.id(), &one.data()["created_by"]), (first, &json!(ann.id)));
    assert_eq!(one.etag(), ann.get(&nested(p1, first)).expect(200, "success").etag());
    ann.get(&path).expect(403, "forbidden");
    ann.delete(&path).expect(403, "forbidden");
    root.patch(&path, json!({ "notes": "x" })).expect(405, "failed");
    root.send("DELETE", &path, &[("If-Match", "\"9.9.9\"")], None).expect(412, "failed");
    root.delete(&path).expect(200, "deleted");
    root.get(&path).expect(404, "failed");
    assert!(ann.get("/api/mappings").expect(200, "success").ids().is_empty());
}
