//! Patients: create, list, find, update, delete; then who may see what, and versions.

use std::thread;

use serde_json::{Value, json};

use crate::harness::TestApp;

fn a_patient() -> Value {
    json!({ "name": "Zoë Müller", "date_of_birth": "1990-04-23", "gender": "female", "phone": "+49 (30) 12-34567 ext. 12",
            "email": "Zoe@Example.org", "address": "Main street 1\nBerlin", "medical_history": "none\tknown" })
}

#[test]
fn a_new_patient_comes_back_whole_and_is_found_where_location_says() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let created = ann.post("/api/patients", a_patient()).expect(201, "created");
    let data = created.data();
    assert_eq!(data["name"], "Zoë Müller");
    assert_eq!(data["email"], "zoe@example.org", "e-mail addresses are stored in lower case");
    assert_eq!(data["medical_history"], "none\tknown");
    assert_eq!(data["created_by"], ann.id);
    assert!(data["created_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{data}");
    let found = ann.get(&created.location()).expect(200, "success");
    assert_eq!(found.data(), data);
    assert_eq!(found.etag(), created.etag());
}

#[test]
fn every_missing_and_every_bad_field_is_named() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let missing = ann.post("/api/patients", json!({ "name": "  ", "gender": null })).expect(400, "incomplete");
    assert_eq!(missing.fields(), ["name", "date_of_birth", "gender"]);
    let both =
        json!({ "gender": "f", "date_of_birth": "1990-02-30", "phone": "call me", "shoe_size": 40, "email": "a@b" });
    let both = ann.post("/api/patients", both).expect(400, "incomplete");
    assert_eq!(both.fields(), ["name", "date_of_birth", "gender", "phone", "email", "shoe_size"]);
    let mut bad = a_patient();
    bad["name"] = json!("x".repeat(201));
    bad["address"] = json!("bell\u{7}");
    assert_eq!(ann.post("/api/patients", bad).expect(400, "invalid").fields(), ["name", "address"]);
}

#[test]
fn lengths_count_characters_and_limits_are_inclusive() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for (field, most) in [("name", 200), ("address", 500), ("medical_history", 20_000)] {
        let mut patient = a_patient();
        patient[field] = json!("ü".repeat(most));
        ann.post("/api/patients", patient.clone()).expect(201, "created");
        patient[field] = json!("ü".repeat(most + 1));
        assert_eq!(ann.post("/api/patients", patient).expect(400, "invalid").fields(), [field]);
    }
}

#[test]
fn a_patient_of_another_user_is_reported_as_missing() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let path = ann.post("/api/patients", a_patient()).expect(201, "created").location();

    bob.get(&path).expect(404, "failed");
    bob.put(&path, a_patient()).expect(404, "failed");
    bob.patch(&path, json!({ "name": "Mine" })).expect(404, "failed");
    bob.delete(&path).expect(404, "failed");
    assert!(bob.get("/api/patients").expect(200, "success").ids().is_empty());
    ann.get(&path).expect(200, "success"); // and it is still there
}

#[test]
fn an_admins_own_list_holds_the_admins_own() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let patient = ann.new_patient("Ann's");
    let own = root.new_patient("Root's");
    assert_eq!(root.get("/api/patients").expect(200, "success").ids(), [own]);
    root.get(&format!("/api/patients/{patient}")).expect(404, "failed");
    assert_eq!(root.get("/api/admin/patients").expect(200, "success").ids(), [patient, own]);
    let of_ann = root.get(&format!("/api/admin/patients?created_by={}", ann.id)).expect(200, "success");
    assert_eq!(of_ann.ids(), [patient]);
    let path = format!("/api/admin/patients/{patient}");
    assert_eq!(root.get(&path).expect(200, "success").data()["created_by"], ann.id);
    root.patch(&path, json!({ "name": "Renamed" })).expect(200, "updated");
    root.put(&path, json!({ "name": "Again" })).expect(200, "updated");
    root.delete(&path).expect(200, "deleted");
    ann.get(&format!("/api/patients/{patient}")).expect(404, "failed");
}

#[test]
fn an_update_changes_what_is_sent_and_null_clears() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let created = ann.post("/api/patients", a_patient()).expect(201, "created");
    let path = created.location();
    for method in ["PUT", "PATCH"] {
        let answer =
            ann.send(method, &path, &[], Some(json!({ "phone": null, "address": " " }))).expect(200, "updated");
        assert_eq!(answer.data()["phone"], Value::Null);
        assert_eq!(answer.data()["address"], Value::Null, "a blank optional text is null");
        assert_eq!(answer.data()["name"], "Zoë Müller");
    }
    ann.patch(&path, json!({ "name": null })).expect(400, "incomplete");
    ann.patch(&path, json!({})).expect(400, "incomplete");
    ann.patch(&path, json!({ "gender": "none" })).expect(400, "invalid");
    assert_eq!(ann.patch(&path, json!({ "nme": "x" })).expect(400, "invalid").fields(), ["nme"]);
    // A record can be sent back as it was read, including the fields that the server sets.
    let read = ann.get(&path).expect(200, "success").data();
    assert_eq!(ann.put(&path, read.clone()).expect(200, "updated").data()["name"], read["name"]);
}

#[test]
fn filters_match_any_part_without_case_and_take_wildcards_literally() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let names = ["Émile Ångström", "Emil 100%", "under_score", "back\\slash", "Plain"];
    let ids: Vec<i64> = names.iter().map(|name| ann.new_patient(name)).collect();
    let found = |filter: &str| ann.get(&format!("/api/patients?{filter}")).expect(200, "success").ids();
    assert_eq!(found("name=%C3%A9mil"), ids[..2], "beyond ASCII too");
    assert_eq!(found("name=%C3%A5NGSTR%C3%96M"), [ids[0]]);
    assert_eq!(found("name=%25"), [ids[1]]);
    assert_eq!(found("name=_"), [ids[2]]);
    assert_eq!(found("name=%5C"), [ids[3]]);
    assert_eq!(found("name=MIL&gender=female"), [ids[0], ids[1]]);
    assert!(found("gender=male").is_empty());
    assert_eq!(found("date_of_birth=1990-04-23").len(), 5);
    assert!(found("date_of_birth=1990-04-24").is_empty());
    let bad = ann.get("/api/patients?gender=x&date_of_birth=1990&limit=0&after=a&nam=x&name=a&name=b");
    assert_eq!(bad.expect(400, "invalid").fields(), ["nam", "name", "limit", "after", "gender", "date_of_birth"]);
}

#[test]
fn pages_follow_each_other_and_keep_their_filters() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let ids: Vec<i64> = (0..5).map(|number| ann.new_patient(&format!("Same & {number}"))).collect();
    for start in ["/api/patients?limit=2", "/api/patients?limit=2&name=same+%26"] {
        let first = ann.get(start).expect(200, "success");
        assert_eq!(first.ids(), ids[..2]);
        let second = ann.get(&first.next().expect("more")).expect(200, "success");
        assert_eq!(second.ids(), ids[2..4]);
        let third = ann.get(&second.next().expect("more")).expect(200, "success");
        assert_eq!(third.ids(), ids[4..]);
        assert_eq!(third.next(), None);
    }
    assert_eq!(ann.get("/api/patients?limit=5").expect(200, "success").next(), None, "exactly full is not more");
    ann.get("/api/patients?limit=501").expect(400, "invalid");
}

#[test]
fn deleting_a_patient_removes_the_mappings() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    ann.new_mapping(patient, doctor);
    ann.delete(&format!("/api/patients/{patient}")).expect(200, "deleted");
    ann.get(&format!("/api/patients/{patient}")).expect(404, "failed");
    ann.delete(&format!("/api/patients/{patient}")).expect(404, "failed");
    assert!(ann.get("/api/mappings").expect(200, "success").ids().is_empty());
    ann.delete(&format!("/api/doctors/{doctor}")).expect(200, "deleted");
}

#[test]
fn of_twenty_writers_with_one_version_exactly_one_wins() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let created = ann.post("/api/patients", a_patient()).expect(201, "created");
    let (path, etag) = (created.location(), created.etag());
    let statuses: Vec<u16> = thread::scope(|scope| {
        let write = |number: i32| {
            let (ann, path, etag) = (&ann, &path, &etag);
            scope.spawn(move || {
                let body = json!({ "name": format!("Writer {number}") });
                ann.send("PUT", path, &[("If-Match", etag)], Some(body)).status
            })
        };
        let writers: Vec<_> = (0..20).map(write).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 19, "{statuses:?}");
}

#[test]
fn writers_of_different_fields_do_not_undo_each_other() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let path = ann.post("/api/patients", a_patient()).expect(201, "created").location();
    let changes =
        [("name", "New"), ("gender", "other"), ("phone", "0123456"), ("email", "n@x.org"), ("address", "Here")];
    for _ in 0..10 {
        ann.patch(&path, a_patient()).expect(200, "updated");
        thread::scope(|scope| {
            for (field, value) in changes {
                let (ann, path) = (&ann, &path);
                scope.spawn(move || ann.patch(path, json!({ field: value })).expect(200, "updated"));
            }
        });
        let patient = ann.get(&path).expect(200, "success").data();
        for (field, value) in changes {
            assert_eq!(patient[field], value, "{patient}");
        }
    }
}

#[test]
fn versions_decide_what_is_read_and_what_is_changed() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let created = ann.post("/api/patients", a_patient()).expect(201, "created");
    let (path, old) = (created.location(), created.etag());
    let same = ann.send("GET", &path, &[("If-None-Match", &old)], None);
    assert_eq!((same.status, same.body.len(), same.etag()), (304, 0, old.clone()));
    assert_eq!(ann.send("GET", &path, &[("If-None-Match", &format!("\"x\", W/{old}"))], None).status, 304);
    let new =
        ann.send("PATCH", &path, &[("If-Match", &old)], Some(json!({ "name": "New" }))).expect(200, "updated").etag();
    assert_ne!(new, old);
    ann.send("GET", &path, &[("If-None-Match", &old)], None).expect(200, "success");
    ann.send("PATCH", &path, &[("If-Match", &old)], Some(json!({ "name": "Late" }))).expect(412, "failed");
    ann.send("DELETE", &path, &[("If-Match", &old)], None).expect(412, "failed");
    ann.send("DELETE", &path, &[("If-Match", "W/\"2\"")], None).expect(412, "failed");
    for wrong in ["2", "", ",", "\"1\" \"2\"", "\"1\", *"] {
        ann.send("DELETE", &path, &[("If-Match", wrong)], None).expect(400, "invalid");
    }
    ann.send("DELETE", "/api/patients/999", &[("If-Match", &old)], None).expect(404, "failed");
    // Elements may be empty (RFC 9110, 5.6.1).
    let any = format!(", \"other\" ,, {new},");
    ann.send("DELETE", &path, &[("If-Match", &any)], None).expect(200, "deleted");
}
