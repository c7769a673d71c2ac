//! Doctors: create, list, find, update, delete; the same for an admin; and what happens when several want one thing at once.

use serde_json::{Value, json};

use crate::harness::{TestApp, at_once, count};

fn a_doctor() -> Value {
    json!({ "name": "Dr. Åsa Öberg", "specialization": "Cardiology", "phone": "+46 8 123 456 78", "email": "Asa@Example.org",
            "license_number": "SE-4711", "years_of_experience": 12 })
}

#[test]
fn a_new_doctor_comes_back_whole_and_is_found_by_every_user() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let created = ann.post("/api/doctors", a_doctor()).expect(201, "created");
    let data = created.data();
    let mut names: Vec<&String> = data.as_object().expect("an object").keys().collect();
    names.sort();
    let expected =
        "created_at created_by email id license_number name phone specialization updated_at years_of_experience";
    assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
    assert_eq!((&data["email"], &data["created_by"]), (&json!("asa@example.org"), &json!(ann.id)));
    assert_eq!(created.location(), format!("/api/doctors/{}", created.id()));
    for person in [&ann, &bob] {
        let found = person.get(&created.location()).expect(200, "success");
        assert_eq!((found.data(), found.etag()), (data.clone(), created.etag()));
    }
    bob.get("/api/doctors/999").expect(404, "failed");
    app.anyone().get(&created.location()).expect(401, "forbidden");
}

#[test]
fn only_name_and_specialization_are_required() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let least = json!({ "name": "D", "specialization": "S", "license_number": " ", "phone": "" });
    let data = ann.post("/api/doctors", least).expect(201, "created").data();
    for field in ["phone", "email", "license_number", "years_of_experience"] {
        assert_eq!(data[field], Value::Null, "{field}");
    }
    let missing = ann.post("/api/doctors", json!({ "name": null, "phone": "x" })).expect(400, "incomplete");
    assert_eq!(missing.fields(), ["name", "specialization", "phone"]);
}

#[test]
fn a_licence_number_has_no_invisible_character() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    ann.post("/api/doctors", a_doctor()).expect(201, "created");
    let mut other = a_doctor();
    for looks_the_same in ["SE-4711\u{200b}", "SE\u{200d}-4711", "\u{feff}SE-4711", "SE-\u{ad}4711", "SE-4711\u{fe0f}"]
    {
        other["license_number"] = json!(looks_the_same);
        let answer = ann.post("/api/doctors", other.clone()).expect(400, "invalid");
        assert_eq!(answer.fields(), ["license_number"], "{looks_the_same:?}");
    }
    other["license_number"] = json!(" SE-4711 ");
    ann.post("/api/doctors", other).expect(409, "failed");
}

#[test]
fn every_limit_holds_from_both_sides() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let with = |field: &str, value: Value| {
        let mut doctor = a_doctor();
        doctor["license_number"] = Value::Null;
        doctor[field] = value;
        ann.post("/api/doctors", doctor)
    };
    for (field, most) in [("name", 200), ("specialization", 120), ("license_number", 64)] {
        with(field, json!("ü".repeat(most))).expect(201, "created");
        assert_eq!(with(field, json!("ü".repeat(most + 1))).expect(400, "invalid").fields(), [field]);
        assert_eq!(with(field, json!("line\nbreak")).expect(400, "invalid").fields(), [field]);
        assert_eq!(with(field, json!(7)).expect(400, "invalid").fields(), [field]);
    }
    for good in [json!(0), json!(80), Value::Null] {
        with("years_of_experience", good).expect(201, "created");
    }
    for bad in [json!(-1), json!(81), json!(5.0), json!("5"), json!(1e3), json!(99_999_999_999_i64)] {
        assert_eq!(with("years_of_experience", bad).expect(400, "invalid").fields(), ["years_of_experience"]);
    }
    let phone = format!("{}12345", "+".repeat(27));
    with("phone", json!(phone)).expect(201, "created");
    for bad in ["1234", "call me", &format!("{phone}6")] {
        assert_eq!(with("phone", json!(bad)).expect(400, "invalid").fields(), ["phone"], "{bad}");
    }
    assert_eq!(with("email", json!("nobody")).expect(400, "invalid").fields(), ["email"]);
    assert_eq!(with("specialisation", json!("x")).expect(400, "invalid").fields(), ["specialisation"]);
}

#[test]
fn a_licence_number_belongs_to_one_doctor() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    ann.post("/api/doctors", a_doctor()).expect(201, "created");
    let mut other = a_doctor();
    bob.post("/api/doctors", other.clone()).expect(409, "failed");
    other["license_number"] = json!("SE-4712");
    let path = bob.post("/api/doctors", other).expect(201, "created").location();
    bob.patch(&path, json!({ "license_number": " SE-4711 " })).expect(409, "failed");
    bob.patch(&path, json!({ "license_number": null })).expect(200, "updated");
    bob.patch(&path, json!({ "license_number": null })).expect(200, "updated");
}

#[test]
fn of_twenty_who_claim_a_licence_number_at_once_exactly_one_gets_it() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let answers = at_once(20, |_| ann.post("/api/doctors", a_doctor()));
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 19));

    let paths: Vec<String> = (0..20).map(|_| format!("/api/doctors/{}", ann.new_doctor("D"))).collect();
    let answers = at_once(20, |number| ann.patch(&paths[number], json!({ "license_number": "SE-1" })));
    assert_eq!((count(&answers, 200), count(&answers, 409)), (1, 19));
    assert_eq!(app.audited("update").len(), 1, "a refused change leaves no entry");
}

#[test]
fn the_directory_is_listed_to_every_user_with_filters_and_pages() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let add = |name: &str, specialization: &str| {
        ann.post("/api/doctors", json!({ "name": name, "specialization": specialization })).expect(201, "created").id()
    };
    let ids = [add("Émile Ang", "Cardiology"), add("Emil 100%", "Radiology"), add("under_score", "Cardiology & more")];
    let found = |query: &str| bob.get(&format!("/api/doctors{query}")).expect(200, "success").ids();
    assert_eq!(found(""), ids);
    assert_eq!(found("?name=%C3%89MIL"), ids[..2]);
    assert_eq!(found("?name=%25"), [ids[1]]);
    assert_eq!(found("?name=_"), [ids[2]]);
    assert_eq!(found("?specialization=cardio"), [ids[0], ids[2]]);
    assert_eq!(found("?specialization=CARDIO&name=score"), [ids[2]]);
    assert_eq!(found("?after=1&limit=1"), [ids[1]]);
    for start in ["/api/doctors?limit=1", "/api/doctors?specialization=cardio&limit=1"] {
        let mut pages = vec![bob.get(start).expect(200, "success")];
        while let Some(next) = pages.last().and_then(|page| page.next()) {
            pages.push(bob.get(&next).expect(200, "success"));
        }
        let expected: Vec<i64> = if start.contains("cardio") { vec![ids[0], ids[2]] } else { ids.to_vec() };
        assert_eq!(pages.iter().flat_map(|page| page.ids()).collect::<Vec<_>>(), expected);
    }
    let bad = bob.get("/api/doctors?created_by=1&limit=501&after=-1").expect(400, "invalid");
    assert_eq!(bad.fields(), ["created_by", "limit", "after"]);
}

#[test]
fn an_entry_is_changed_by_its_creator_and_by_admins() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let path = ann.post("/api/doctors", a_doctor()).expect(201, "created").location();
    bob.patch(&path, json!({ "name": "Mine" })).expect(403, "forbidden");
    bob.put(&path, a_doctor()).expect(403, "forbidden");
    bob.delete(&path).expect(403, "forbidden");
    bob.send("PATCH", &path, &[("If-Match", "\"99\"")], Some(json!({ "name": "Mine" }))).expect(403, "forbidden");
    bob.patch("/api/doctors/999", json!({ "name": "Mine" })).expect(404, "failed");
    bob.patch(&path, json!({ "name": "" })).expect(400, "incomplete");
    assert_eq!(ann.get(&path).expect(200, "success").data()["name"], "Dr. Åsa Öberg");

    let changed = ann.patch(&path, json!({ "phone": null, "years_of_experience": 13 })).expect(200, "updated");
    assert_eq!((&changed.data()["phone"], &changed.data()["years_of_experience"]), (&Value::Null, &json!(13)));
    assert_eq!(changed.data()["email"], "asa@example.org");
    let read = ann.get(&path).expect(200, "success").data();
    assert_eq!(ann.put(&path, read).expect(200, "updated").data()["created_by"], ann.id);
    assert_eq!(root.patch(&path, json!({ "name": "By root" })).expect(200, "updated").data()["created_by"], ann.id);
    root.delete(&path).expect(200, "deleted");
    ann.get(&path).expect(404, "failed");
}

#[test]
fn versions_decide_what_is_changed() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let created = ann.post("/api/doctors", a_doctor()).expect(201, "created");
    let (path, old) = (created.location(), created.etag());
    assert_eq!(ann.send("GET", &path, &[("If-None-Match", &old)], None).status, 304);
    let answers = at_once(20, |number| {
        let body = json!({ "name": format!("Writer {number}") });
        ann.send("PATCH", &path, &[("If-Match", &old)], Some(body))
    });
    assert_eq!((count(&answers, 200), count(&answers, 412)), (1, 19));
    ann.send("DELETE", &path, &[("If-Match", &old)], None).expect(412, "failed");
    let new = ann.get(&path).expect(200, "success").etag();
    ann.send("DELETE", &path, &[("If-Match", &new)], None).expect(200, "deleted");
}

#[test]
fn a_doctor_who_is_still_assigned_is_not_deleted() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    let (path, admins) = (format!("/api/doctors/{doctor}"), format!("/api/admin/doctors/{doctor}"));
    ann.delete(&path).expect(409, "failed");
    root.delete(&path).expect(409, "failed");
    root.delete(&admins).expect(409, "failed");
    root.delete(&format!("{admins}?cascade=false")).expect(409, "failed");
    assert_eq!(ann.delete(&format!("{path}?cascade=true")).expect(400, "invalid").fields(), ["cascade"]);
    assert!(app.audited("delete").is_empty());
    ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
    ann.delete(&path).expect(200, "deleted");
}

#[test]
fn an_admin_deletes_a_doctor_together_with_the_mappings() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let (doctor, other) = (ann.new_doctor("D"), ann.new_doctor("Other"));
    let mut gone: Vec<i64> = Vec::new();
    for person in [&ann, &bob] {
        gone.push(person.new_mapping(person.new_patient("P"), doctor));
    }
    let kept = ann.new_mapping(ann.new_patient("Q"), other);
    let path = format!("/api/admin/doctors/{doctor}?cascade=true");
    ann.delete(&path).expect(403, "forbidden");
    assert_eq!(
        root.delete(&format!("/api/admin/doctors/{doctor}?cascade=1")).expect(400, "invalid").fields(),
        ["cascade"]
    );
    root.delete(&path).expect(200, "deleted");
    root.delete(&path).expect(404, "failed");
    assert_eq!(root.get("/api/admin/mappings").expect(200, "success").ids(), [kept]);
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids().len(), 2, "patients stay");

    let entries = app.audited("delete");
    let of = |resource: &str| -> Vec<i64> {
        let mut ids: Vec<i64> = entries
            .iter()
            .filter(|entry| entry["resource"] == resource)
            .filter_map(|entry| entry["resource_id"].as_i64())
            .collect();
        ids.sort();
        ids
    };
    assert_eq!((of("mapping"), of("doctor"), entries.len()), (gone, vec![doctor], 3));
    assert!(entries.iter().all(|entry| entry["actor_id"] == root.id && entry["before"]["id"] == entry["resource_id"]));
}

#[test]
fn a_doctor_is_deleted_or_assigned_but_never_both() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let patient = ann.new_patient("P");
    for round in 0..10 {
        let doctor = ann.new_doctor("D");
        let answers = at_once(3, |number| match number {
            0 => ann.post("/api/mappings", json!({ "patient_id": patient, "doctor_id": doctor })),
            1 => ann.delete(&format!("/api/doctors/{doctor}")),
            _ if round % 2 == 0 => root.delete(&format!("/api/admin/doctors/{doctor}?cascade=true")),
            _ => ann.get(&format!("/api/doctors/{doctor}")),
        });
        let (assigned, deleted) = (answers[0].status, answers[1].status);
        let there = ann.get(&format!("/api/doctors/{doctor}")).status;
        let mappings = ann.get(&format!("/api/mappings?doctor_id={doctor}")).expect(200, "success").ids().len();
        assert!([201, 404].contains(&assigned) && [200, 404, 409].contains(&deleted), "{assigned} {deleted}");
        if round % 2 == 0 {
            assert_eq!((there, mappings), (404, 0));
        } else {
            assert_eq!((there, mappings), if deleted == 200 { (404, 0) } else { (200, 1) }, "{assigned} {deleted}");
        }
    }
}

#[test]
fn an_admin_sees_who_made_an_entry() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let (first, second) = (ann.new_doctor("First"), bob.new_doctor("Second"));
    let found = |query: &str| root.get(&format!("/api/admin/doctors{query}")).expect(200, "success").ids();
    assert_eq!(found(""), [first, second]);
    assert_eq!(found(&format!("?created_by={}", bob.id)), [second]);
    assert_eq!(found("?name=FIR&specialization=cardio"), [first]);
    let path = format!("/api/admin/doctors/{first}");
    let read = root.get(&path).expect(200, "success");
    assert_eq!(read.data()["created_by"], ann.id);
    let same = root.put(&path, read.data()).expect(200, "updated");
    assert_eq!(same.etag(), read.etag(), "nothing has changed");
    root.patch(&path, json!({ "phone": "12345" })).expect(200, "updated");
    root.send("PATCH", &path, &[("If-Match", &read.etag())], Some(json!({ "name": "Late" }))).expect(412, "failed");
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        ann.send(method, &path, &[], None).expect(403, "forbidden");
    }
    ann.get("/api/admin/doctors").expect(403, "forbidden");
}
