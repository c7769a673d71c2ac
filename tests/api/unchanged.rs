//! An update that changes nothing writes nothing, and an update of one field does not copy a long text into the trail.

use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// Everything that the change of a record can write.
const WRITTEN: &str = "select jsonb_build_array(
    (select jsonb_agg(jsonb_build_array(id, xmin::text, to_jsonb(t))) from patients t),
    (select jsonb_agg(jsonb_build_array(id, xmin::text, to_jsonb(t))) from doctors t),
    (select jsonb_agg(jsonb_build_array(id, xmin::text, to_jsonb(t))) from mappings t),
    (select jsonb_agg(jsonb_build_array(id, version, to_jsonb(t))) from users t), (select count(*) from audit_entries))";

fn written(app: &TestApp) -> Value {
    app.sql().query_one(WRITTEN, &[]).expect("the tables").get(0)
}

#[test]
fn an_update_that_changes_nothing_answers_as_ever_and_writes_nothing() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let patient = json!({ "name": "Zoë", "date_of_birth": "1990-04-23", "gender": "female", "phone": null,
                          "email": "zoe@example.org", "address": "1 Road\nTown", "medical_history": "x".repeat(3000) });
    let doctor = json!({ "name": "D", "specialization": "S", "license_number": "L", "years_of_experience": 7 });
    let patient = ann.post("/api/patients", patient).expect(201, "created").id();
    let doctor = ann.post("/api/doctors", doctor).expect(201, "created").id();
    let mapping = ann.new_mapping(patient, doctor);
    let nested = format!("/api/patients/{patient}/mappings/{mapping}");
    let records: [(&Person, String, String); 7] = [
        (&ann, format!("/api/patients/{patient}"), format!("/api/patients/{patient}")),
        (&root, format!("/api/admin/patients/{patient}"), format!("/api/admin/patients/{patient}")),
        (&ann, format!("/api/doctors/{doctor}"), format!("/api/doctors/{doctor}")),
        (&root, format!("/api/admin/doctors/{doctor}"), format!("/api/admin/doctors/{doctor}")),
        (&ann, format!("/api/mappings/{mapping}"), nested),
        (&root, format!("/api/admin/users/{}", ann.id), format!("/api/admin/users/{}", ann.id)),
        (&ann, "/api/auth/me".into(), "/api/auth/me".into()),
    ];
    let before = written(&app);
    for (person, path, read_at) in &records {
        let read = person.get(read_at).expect(200, "success");
        for method in ["PUT", "PATCH"] {
            let same =
                person.send(method, path, &[("If-Match", &read.etag())], Some(read.data())).expect(200, "updated");
            assert_eq!((same.data(), same.etag()), (read.data(), read.etag()), "{method} {path}");
        }
        let old = [("If-Match", "\"99.9.9\"")];
        person.send("PUT", path, &old, Some(read.data())).expect(412, "failed");
    }
    ann.patch(&format!("/api/patients/{patient}"), json!({ "phone": null })).expect(200, "updated");
    ann.patch(&format!("/api/doctors/{doctor}"), json!({ "years_of_experience": 7 })).expect(200, "updated");
    assert_eq!(written(&app), before);
}

#[test]
fn of_a_field_that_is_sent_with_another_value_nothing_is_lost() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    for (name, values) in [
        ("name", [json!("A"), json!("B")]),
        ("date_of_birth", [json!("1991-01-01"), json!("1992-02-02")]),
        ("gender", [json!("male"), json!("other")]),
        ("phone", [json!("12345"), json!(null)]),
        ("email", [json!("a@example.org"), json!(null)]),
        ("address", [json!("A"), json!(null)]),
        ("medical_history", [json!("A"), json!(null)]),
    ] {
        for value in values {
            let was = ann.get(&path).expect(200, "success");
            let is = ann.patch(&path, json!({ name: value })).expect(200, "updated");
            assert_ne!(is.etag(), was.etag());
            for (field, old) in was.data().as_object().expect("a record") {
                let expected = if field == name { &value } else { old };
                assert!(field == "updated_at" || is.data()[field] == *expected, "{name}: {field}");
            }
        }
    }
}

#[test]
fn a_long_text_that_stays_is_copied_neither_in_the_record_nor_into_its_history() {
    let app = TestApp::start();
    let (ann, mut sql) = (app.signed_up("ann"), app.sql());
    // Twenty thousand characters that do not compress well.
    let history: String =
        (0..20_000u32).filter_map(|n| char::from_u32(0x4e00 + n.wrapping_mul(2_654_435_761) % 20_000)).collect();
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    ann.patch(&path, json!({ "medical_history": history })).expect(200, "updated");
    let mapping = ann.new_mapping(patient, ann.new_doctor("D"));
    let notes = history.chars().take(2000).collect::<String>();
    ann.patch(&format!("/api/mappings/{mapping}"), json!({ "notes": notes })).expect(200, "updated");
    let size = "select sum(pg_total_relation_size(name::regclass))::bigint
                  from unnest(array['patients', 'mappings', 'audit_entries', 'record_versions']) as name";
    let before: i64 = sql.query_one(size, &[]).expect("a size").get(0);
    for number in 0..100 {
        ann.patch(&path, json!({ "phone": format!("{}", 10_000 + number) })).expect(200, "updated");
    }
    let grown = sql.query_one(size, &[]).expect("a size").get::<_, i64>(0) - before;
    assert!(grown < 400_000, "100 changes of a phone number took {grown} bytes");

    let other = ann.new_doctor("Other");
    ann.patch(&format!("/api/mappings/{mapping}"), json!({ "doctor_id": other })).expect(200, "updated");
    let newest = |resource: &str| {
        let mut of = app.audited("update").into_iter().filter(|entry| entry["resource"] == resource);
        of.next_back().expect("an entry")["before"].clone()
    };
    let (patient_before, mapping_before) = (newest("patient"), newest("mapping"));
    assert_eq!((&patient_before["phone"], &patient_before["name"]), (&json!("10098"), &json!("P")));
    assert_eq!(patient_before.get("medical_history"), None);
    assert_eq!((mapping_before.get("notes"), &mapping_before["id"]), (None, &json!(mapping)));
    // One that goes is kept, and so is a short one.
    ann.patch(&path, json!({ "medical_history": "short" })).expect(200, "updated");
    assert_eq!(newest("patient")["medical_history"], json!(history));
    ann.patch(&path, json!({ "phone": null })).expect(200, "updated");
    assert_eq!(newest("patient")["medical_history"], json!("short"));
}
