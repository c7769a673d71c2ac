//! `Idempotency-Key`: a POST that is sent again makes nothing a second time.

use std::thread;

use healthcare_backend::internals::migrate;
use serde_json::{Value, json};

use crate::harness::http::{self, Answer};
use crate::harness::{Person, TestApp, eventually, postgres};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

fn send(person: &Person, path: &str, key: &str, body: Value) -> Answer {
    person.send("POST", path, &[("Idempotency-Key", key)], Some(body))
}

fn a_patient(name: &str) -> Value {
    json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "other" })
}

#[test]
fn a_replay_gets_the_first_answer_and_makes_no_second_record() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let bodies = [
        ("/api/patients", "00000000-0000-4000-8000-000000000001", a_patient("Once")),
        ("/api/doctors", "00000000-0000-4000-8000-000000000002", json!({ "name": "Once", "specialization": "Eyes" })),
        (
            "/api/mappings",
            "00000000-0000-4000-8000-000000000003",
            json!({ "patient_id": patient, "doctor_id": doctor }),
        ),
    ];
    for (path, key, body) in bodies {
        let first = send(&ann, path, key, body.clone()).expect(201, "created");
        assert_eq!(first.header("idempotency-replayed"), None);
        // The trailing slash is no other path.
        for path in [path, &format!("{path}/")] {
            let again = send(&ann, path, key, body.clone()).expect(201, "created");
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(
                (again.body.clone(), again.location(), again.etag()),
                (first.body.clone(), first.location(), first.etag())
            );
        }
        let listed = ann.get(path).expect(200, "success").ids();
        assert_eq!(listed.iter().filter(|id| **id == first.id()).count(), 1);
    }
    let created = "select count(*) from audit_entries where action = 'create'";
    let created: i64 = app.sql().query_one(created, &[]).expect("a count").get(0);
    assert_eq!(created, 5, "a replay is no change");
}

#[test]
fn a_replay_that_shows_a_patient_is_recorded_as_a_read() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = send(&ann, "/api/patients", "p", a_patient("P")).expect(201, "created");
    let doctor =
        send(&ann, "/api/doctors", "d", json!({ "name": "D", "specialization": "Eyes" })).expect(201, "created");
    let pair = json!({ "patient_id": patient.id(), "doctor_id": doctor.id() });
    let mapping = send(&ann, "/api/mappings", "m", pair.clone()).expect(201, "created");
    ann.delete(&patient.location()).expect(200, "deleted");
    let replays = [
        send(&ann, "/api/patients", "p", a_patient("P")),
        send(&ann, "/api/mappings", "m", pair),
        send(&ann, "/api/doctors", "d", json!({ "name": "D", "specialization": "Eyes" })),
    ];
    assert!(replays.iter().all(|answer| answer.header("idempotency-replayed") == Some("true")));
    let mut read = Vec::new();
    eventually("both reads are in the trail", || {
        read = app.audited("read");
        read.len() == 2
    });
    let mut read: Vec<_> =
        read.iter().map(|entry| (&entry["resource"], &entry["resource_id"], &entry["actor_id"])).collect();
    read.sort_by_key(|(resource, ..)| resource.to_string());
    let (mapping, patient, ann) = (json!(mapping.id()), json!(patient.id()), json!(ann.id));
    assert_eq!(
        read,
        [(&json!("mapping"), &mapping, &ann), (&json!("patient"), &patient, &ann)],
        "the directory is open to all"
    );
}

#[test]
fn a_key_belongs_to_one_request_of_one_user() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    send(&ann, "/api/patients", KEY, a_patient("One")).expect(201, "created");
    send(&ann, "/api/patients", KEY, a_patient("Other")).expect(422, "invalid");
    let doctor = json!({ "name": "D", "specialization": "Eyes" });
    send(&ann, "/api/doctors", KEY, doctor).expect(422, "invalid");
    let bobs = send(&bob, "/api/patients", KEY, a_patient("One")).expect(201, "created");
    assert_eq!(bobs.header("idempotency-replayed"), None);
    assert_eq!(bobs.data()["created_by"], bob.id);
}

#[test]
fn a_key_is_one_to_sixty_four_plain_characters_compared_as_they_were_sent() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let longest = "k".repeat(64);
    for key in ["7", "Order_7.a-B", "ORDER_7.a-B", &longest] {
        let first = send(&ann, "/api/patients", key, a_patient(key)).expect(201, "created");
        assert_eq!(first.header("idempotency-replayed"), None, "{key}");
        let again = send(&ann, "/api/patients", key, a_patient(key)).expect(201, "created");
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{key}");
    }
    let refused = |headers: &[(&str, &str)]| {
        let answer = ann.send("POST", "/api/patients", headers, Some(a_patient("Bad key"))).expect(400, "invalid");
        assert_eq!(answer.fields(), ["Idempotency-Key"], "{headers:?}");
    };
    for bad in ["", &format!("{longest}k"), "a b", "a,b", "\"a\"", "a/b", "ü"] {
        refused(&[("Idempotency-Key", bad)]);
    }
    for two in [["a", "a"], ["a", "b"], ["", "a"], ["a", ""]] {
        refused(&two.map(|key| ("Idempotency-Key", key)));
    }
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids().len(), 4);
    // Elsewhere nobody looks at it.
    ann.send("GET", "/api/patients", &[("Idempotency-Key", "a b")], None).expect(200, "success");
}

#[test]
fn the_body_is_compared_byte_for_byte() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let post = |body: &str| {
        let authorization = format!("Bearer {}", ann.token.as_deref().expect("a token"));
        let headers =
            [("Authorization", &*authorization), ("Content-Type", "application/json"), ("Idempotency-Key", KEY)];
        http::send(app.address, "POST", "/api/doctors", &headers, Some(body))
    };
    post(r#"{"name": "D", "specialization": "Eyes"}"#).expect(201, "created");
    post(r#"{"name":"D", "specialization": "Eyes"}"#).expect(422, "invalid");
    post(r#"{"name": "D", "specialization": "Eyes"}"#).expect(201, "created");
}

#[test]
fn a_request_that_failed_leaves_no_trace_and_may_be_corrected() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let doctor = json!({ "name": "D", "specialization": "Eyes", "license_number": "L-1" });
    ann.post("/api/doctors", doctor.clone()).expect(201, "created");
    send(&ann, "/api/doctors", KEY, doctor).expect(409, "failed");
    let mended = json!({ "name": "D", "specialization": "Eyes", "license_number": "L-2" });
    send(&ann, "/api/doctors", KEY, mended).expect(201, "created");
}

#[test]
fn of_twenty_at_once_one_makes_the_record() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let answers: Vec<Answer> = thread::scope(|scope| {
        let senders: Vec<_> =
            (0..20).map(|_| scope.spawn(|| send(&ann, "/api/patients", KEY, a_patient("Once")))).collect();
        senders.into_iter().map(|sender| sender.join().expect("an answer")).collect()
    });
    let fresh = answers.iter().filter(|answer| answer.status == 201 && answer.header("idempotency-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)));
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids().len(), 1);
}

#[test]
fn a_key_is_forgotten_after_a_day() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let first = send(&ann, "/api/patients", KEY, a_patient("First")).expect(201, "created");
    let yesterday = "update idempotency_keys set created_at = now() - interval '24 hours'";
    app.sql().execute(yesterday, &[]).expect("an old key");
    let second = send(&ann, "/api/patients", KEY, a_patient("Second")).expect(201, "created");
    assert_ne!(first.id(), second.id());
    let again = send(&ann, "/api/patients", KEY, a_patient("Second")).expect(201, "created");
    assert_eq!(again.id(), second.id());
}

#[test]
fn a_key_from_before_the_upgrade_is_still_known_after_it() {
    let database = postgres::new_empty_database();
    let (mut sql, migrations) = (postgres::connect(&database), migrate::load(None).expect("migrations"));
    let older = migrations.iter().position(|one| one.name == "0007_idempotency_keys").expect("the migration");
    migrate::run(&mut sql, &migrations[..older]).expect("the schema of before");
    let user = "insert into users (name, email, password_hash) values ('ann', 'ann@example.org', '-') returning id";
    let user: i64 = sql.query_one(user, &[]).expect("a user").get(0);
    let kept = "insert into idempotency_keys (user_id, key, request_hash, location, etag, body)
                values ($1, '8E03978E-40d5-43e8-bc93-6894a57f9324', 'hash', '/api/patients/1', '\"1\"', 'body')";
    sql.execute(kept, &[&user]).expect("a key");
    migrate::run(&mut sql, &migrations).expect("the schema of today");
    let row =
        sql.query_one("select key, request_hash, location, etag, body from idempotency_keys", &[]).expect("the key");
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(2), row.get::<_, &str>(3)),
        (KEY, "/api/patients/1", "\"1\"")
    );
    assert_eq!((row.get::<_, &[u8]>(1), row.get::<_, &[u8]>(4)), (&b"hash"[..], &b"body"[..]));
}
