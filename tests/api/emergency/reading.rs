//! What is read under emergency access: what it opens, how every answer says so, and that it is recorded.

use serde_json::{Value, json};

use super::under;
use crate::harness::{Person, TestApp, at_once, eventually};

/// Gives somebody emergency access for this long; returns the grant.
fn granted(app: &TestApp, person: &Person, patient: i64, interval: &str) -> i64 {
    let grant = "with told as (select pg_notify('session_changes', 'user ' || $1::bigint))
                 insert into patient_grants (patient_id, user_id, kind, granted_by, reason, expires_at)
                 select $2::bigint, $1::bigint, 'emergency', $1::bigint, 'unconscious', now() + $3::text::interval from told
                 returning id";
    let id = app.sql().query_one(grant, &[&person.id, &patient, &interval]).expect("a grant").get(0);
    eventually("it is in force", || person.get(&format!("/api/patients/{patient}")).status == 200);
    id
}

/// Actions and records of the entries of what this user read.
fn reads(app: &TestApp, person: &Person) -> Vec<(Value, Value, Value)> {
    let entries = "select to_jsonb(audit_trail) as entry from audit_trail
                    where actor_id = $1 and action in ('read', 'list', 'emergency_read') order by id";
    let rows = app.sql().query(entries, &[&person.id]).expect("entries");
    let entries = rows.iter().map(|row| row.get::<_, Value>("entry"));
    let parts = |entry: Value| {
        let ids = if entry["resource_id"].is_null() { &entry["resource_ids"] } else { &entry["resource_id"] };
        (entry["action"].clone(), entry["resource"].clone(), ids.clone())
    };
    entries.map(parts).collect()
}

#[test]
fn under_emergency_access_everything_about_the_patient_is_read_and_every_answer_says_so() {
    let app = TestApp::with(|config| config.audit_reads = false);
    let (ann, eve) = (app.signed_up("ann"), app.signed_up("eve"));
    let patient = ann.patient_with(json!({ "medical_history": "asthma" }));
    let (mapping, other) = (ann.new_mapping(patient, ann.new_doctor("D")), ann.new_patient("Other"));
    let gone = ann.new_mapping(patient, ann.new_doctor("E"));
    ann.delete(&format!("/api/mappings/{gone}")).expect(200, "deleted");
    let path = format!("/api/patients/{patient}");
    eve.get(&path).expect(404, "failed");
    let grant = granted(&app, &eve, patient, "1 hour");

    let of_patient = [
        path.clone(),
        format!("{path}/history"),
        format!("{path}/history/1"),
        format!("/fhir/R4/Patient/{patient}"),
        format!("/fhir/R4/Patient/{patient}/_history"),
        format!("/fhir/R4/Patient/{patient}/_history/1"),
        format!("/fhir/R4/Patient/{patient}/CareTeam"),
        format!("/fhir/R4/Patient/{patient}/$everything"),
        format!("/fhir/R4/CareTeam/{patient}"),
        format!("/fhir/R4/DocumentReference/{patient}-history"),
    ];
    let of_mappings = [
        format!("{path}/mappings"),
        format!("/api/mappings/{patient}"),
        format!("{path}/mappings/{mapping}"),
        format!("{path}/mappings/{mapping}/history"),
        format!("{path}/mappings/{mapping}/history/1"),
        format!("{path}/mappings/{gone}/history"),
    ];
    for target in of_patient.iter().chain(&of_mappings) {
        let answer = eve.get(target);
        assert_eq!((answer.status, under(&answer)), (200, grant), "{target}");
        if let Some(tag) = answer.header("etag") {
            let again = eve.send("GET", target, &[("If-None-Match", tag)], None);
            assert_eq!((again.status, under(&again)), (304, grant), "{target}");
        }
        assert_eq!(ann.get(target).header("emergency-access"), None, "{target}");
    }
    for target in [
        format!("{path}/history/7"),
        format!("/fhir/R4/Patient/{patient}/_history/7"),
        format!("{path}/mappings/{mapping}/history/7"),
        format!("{path}/mappings/{gone}"),
        format!("{path}/mappings/999999"),
        format!("{path}/mappings/999999/history"),
        format!("{path}/mappings/999999/history/1"),
    ] {
        let answer = eve.get(&target);
        assert_eq!((answer.status, under(&answer)), (404, grant), "{target}");
    }
    for target in [format!("{path}/access"), format!("{path}/access/log"), format!("{path}/shares")] {
        let answer = eve.get(&target).expect(403, "forbidden");
        assert_eq!(under(&answer), grant, "{target}");
    }
    // No list, and nobody else.
    for list in ["/api/patients", "/api/patients?q=Ann", "/api/mappings", "/api/patients/deleted"] {
        let answer = eve.get(list).expect(200, "success");
        assert_eq!((answer.data(), answer.header("emergency-access")), (json!([]), None), "{list}");
    }
    assert_eq!(eve.get(&format!("/api/mappings?patient_id={patient}")).expect(200, "success").data(), json!([]));
    for search in ["Patient", "CareTeam", "DocumentReference"] {
        assert_eq!(eve.get(&format!("/fhir/R4/{search}?_total=accurate")).json()["total"], 0, "{search}");
    }
    for target in [format!("/api/patients/{other}"), format!("/fhir/R4/Patient/{other}")] {
        let answer = eve.get(&target);
        assert_eq!((answer.status, answer.header("emergency-access")), (404, None), "{target}");
    }

    // Although reads are not recorded here.
    let count = 2 * (of_patient.len() + of_mappings.len());
    let mut seen = Vec::new();
    eventually("the reads are recorded", || {
        seen = reads(&app, &eve);
        seen.len() >= 1 + of_patient.len() + of_mappings.len()
    });
    assert!(seen.len() <= 1 + count, "{seen:?}");
    let entry = |resource: &str, ids: Value| (json!("emergency_read"), json!(resource), ids);
    for expected in [
        entry("patient", json!(patient)),
        entry("mapping", json!(mapping)),
        entry("mapping", json!([mapping])),
        entry("mapping", json!(gone)),
    ] {
        assert!(seen.contains(&expected), "{expected:?}: {seen:?}");
    }
    assert!(seen.iter().all(|entry| entry.0 == "emergency_read"), "{seen:?}");
}

#[test]
fn under_emergency_access_every_change_is_403_and_says_so() {
    let app = TestApp::start();
    let (ann, eve) = (app.signed_up("ann"), app.signed_up("eve"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let (mapping, gone) = (ann.new_mapping(patient, doctor), ann.new_mapping(patient, ann.new_doctor("E")));
    ann.delete(&format!("/api/mappings/{gone}")).expect(200, "deleted");
    let shares = format!("/api/patients/{patient}/shares");
    let share = ann.post(&shares, json!({ "user_id": app.signed_up("zoe").id })).expect(201, "created").location();
    let grant = granted(&app, &eve, patient, "1 hour");
    let own = eve.new_patient("Own");
    let versions = "select (select sum(version) from patients) + (select sum(version) from mappings) + (select count(*) from record_versions)
                    + (select count(*) from patient_grants where ended_at is null)";
    let before: Value = app.sql().query_one(&format!("select to_jsonb(({versions}))"), &[]).expect("versions").get(0);
    for (method, target, body) in [
        ("PATCH", format!("/api/patients/{patient}"), Some(json!({ "name": "N" }))),
        ("PUT", format!("/api/patients/{patient}"), Some(json!({ "name": "P" }))),
        ("DELETE", format!("/api/patients/{patient}"), None),
        ("POST", format!("/api/patients/{patient}/undelete"), None),
        ("POST", "/api/mappings".into(), Some(json!({ "patient_id": patient, "doctor_id": doctor }))),
        ("PATCH", format!("/api/mappings/{mapping}"), Some(json!({ "notes": "N" }))),
        ("PATCH", format!("/api/mappings/{mapping}"), Some(json!({ "patient_id": 999999 }))),
        ("PATCH", format!("/api/mappings/{mapping}"), Some(json!({ "patient_id": own }))),
        ("DELETE", format!("/api/mappings/{mapping}"), None),
        ("POST", format!("/api/mappings/{mapping}/undelete"), None),
        ("POST", format!("/api/mappings/{gone}/undelete"), None),
        ("POST", shares.clone(), Some(json!({ "user_id": eve.id }))),
        ("DELETE", share.clone(), None),
        ("DELETE", format!("{shares}/999"), None),
    ] {
        let answer = eve.send(method, &target, &[], body).expect(403, "forbidden");
        assert_eq!(under(&answer), grant, "{method} {target}");
    }
    let after: Value = app.sql().query_one(&format!("select to_jsonb(({versions}))"), &[]).expect("versions").get(0);
    assert_eq!(after, before);
    eventually("the refusals are recorded", || app.audited("denied").len() == 14);
}

#[test]
fn emergency_access_lasts_while_its_patient_goes_to_another_user() {
    let app = TestApp::start();
    let (admin, ann, ben, eve) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"), app.signed_up("eve"));
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    let grant = granted(&app, &eve, patient, "1 hour");
    let transfer = |to: &Person| {
        let body = json!({ "to": to.id });
        admin.post(&format!("/api/admin/patients/{patient}/transfer"), body).expect(200, "updated");
    };
    transfer(&ben);
    assert_eq!(under(&eve.get(&path).expect(200, "success")), grant);
    ann.get(&path).expect(404, "failed");
    // The new owner needs none.
    transfer(&eve);
    assert_eq!(eve.get(&path).expect(200, "success").header("emergency-access"), None);
}

#[test]
fn the_header_names_the_grant_that_lasts_longest_and_after_its_end_there_is_nothing() {
    let app = TestApp::start();
    let (ann, eve) = (app.signed_up("ann"), app.signed_up("eve"));
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    let long = granted(&app, &eve, patient, "2 hours");
    let short = granted(&app, &eve, patient, "1 hour");
    assert_eq!(under(&eve.get(&path)), long);
    let end = |id: i64| {
        app.sql().execute("update patient_grants set expires_at = now() where id = $1", &[&id]).expect("an end");
    };
    end(long);
    assert_eq!(under(&eve.get(&path)), short);
    end(short);
    let answer = eve.get(&path).expect(404, "failed");
    assert_eq!(answer.header("emergency-access"), None);

    // What is shared, or a colleague's, is no emergency.
    granted(&app, &eve, patient, "1 hour");
    ann.post(&format!("{path}/shares"), json!({ "user_id": eve.id })).expect(201, "created");
    assert_eq!(eve.get(&path).expect(200, "success").header("emergency-access"), None);
    eve.get(&format!("{path}/access/log")).expect(200, "success");
    eventually("both kinds are recorded", || {
        let seen = reads(&app, &eve);
        ["read", "emergency_read"].iter().all(|action| seen.iter().any(|entry| entry.0 == *action))
    });
}

#[test]
fn a_replay_under_emergency_access_says_so_and_is_recorded() {
    let app = TestApp::start();
    let (ann, eve) = (app.signed_up("ann"), app.signed_up("eve"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let shares = format!("/api/patients/{patient}/shares");
    let body = json!({ "user_id": eve.id, "can_change": true });
    let share = ann.post(&shares, body).expect(201, "created").location();
    let assign = || {
        let body = json!({ "patient_id": patient, "doctor_id": doctor });
        eve.send("POST", "/api/mappings", &[("Idempotency-Key", "k")], Some(body))
    };
    assert_eq!(assign().expect(201, "created").header("emergency-access"), None);
    ann.delete(&share).expect(200, "deleted");
    assign().expect(404, "failed");
    let grant = granted(&app, &eve, patient, "1 hour");
    let replayed = assign().expect(201, "created");
    assert_eq!((replayed.header("idempotency-replayed"), under(&replayed)), (Some("true"), grant));
    eventually("it is recorded", || {
        reads(&app, &eve)
            .iter()
            .any(|entry| (entry.0.as_str(), entry.1.as_str()) == (Some("emergency_read"), Some("mapping")))
    });
}

#[test]
fn a_read_under_emergency_access_that_cannot_be_recorded_is_503() {
    let app = TestApp::with(|config| config.audit_reads = false);
    let (ann, eve) = (app.signed_up("ann"), app.signed_up("eve"));
    let patient = ann.new_patient("P");
    let path = format!("/api/patients/{patient}");
    let grant = granted(&app, &eve, patient, "1 hour");
    let mut sql = app.sql();
    sql.batch_execute("alter table audit_batches add constraint none check (action <> 'emergency_read') not valid")
        .expect("a rule");
    let sent = at_once(8, |_| (0..125).filter(|_| eve.get(&path).status == 200).count());
    assert_eq!(sent.iter().sum::<usize>(), 1000);
    eventually("there is no room for more", || app.metric("audit_refused_entries") >= 1000.0);
    let refused = eve.get(&path).expect(503, "failed");
    assert!(refused.data().is_null());
    ann.get(&path).expect(200, "success");
    sql.batch_execute("alter table audit_batches drop constraint none").expect("no rule");
    eventually("it works again", || eve.get(&path).status == 200);
    assert_eq!(under(&eve.get(&path)), grant);
    eventually("all are recorded", || reads(&app, &eve).len() >= 1002);
}
