//! Histories, versions, and what is left of a deleted record.

use serde_json::{Value, json};

use super::search::link;
use crate::harness::TestApp;

/// Method, status and version of each entry.
fn changes(bundle: &Value) -> Vec<(String, String, String)> {
    let entries = bundle["entry"].as_array().expect("entries");
    let text = |value: &Value| value.as_str().expect("a text").to_string();
    let change = |entry: &Value| {
        (text(&entry["request"]["method"]), text(&entry["response"]["status"]), text(&entry["response"]["etag"]))
    };
    entries.iter().map(change).collect()
}

fn change(method: &str, status: &str, version: i64) -> (String, String, String) {
    (method.into(), status.into(), format!("W/\"{version}\""))
}

#[test]
fn every_version_is_what_a_read_said_then_and_a_deleted_patient_is_gone() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let patient = ann.patient_with(json!({ "medical_history": "Asthma ".repeat(300) }));
    let (ours, path) = (format!("/api/patients/{patient}"), format!("Patient/{patient}"));
    let mut then = vec![ann.fhir(&path).resource("Patient")];
    for phone in ["11111", "22222"] {
        ann.patch(&ours, json!({ "phone": phone })).expect(200, "updated");
        then.push(ann.fhir(&path).resource("Patient"));
    }
    ann.delete(&ours).expect(200, "deleted");
    let gone = ann.fhir(&path);
    gone.refused(410, "deleted");
    assert_eq!(gone.etag(), "W/\"4\"");
    for part in ["/CareTeam", "/$everything"] {
        ann.fhir(&format!("{path}{part}")).refused(404, "not-found");
    }
    let history = format!("{path}/_history");
    let bundle = ann.fhir(&history).resource("Bundle");
    assert_eq!((&bundle["type"], &bundle["total"]), (&json!("history"), &json!(4)));
    let old = [change("DELETE", "204", 4), change("PUT", "200", 3), change("PUT", "200", 2), change("POST", "201", 1)];
    assert_eq!(changes(&bundle), old);
    assert_eq!(bundle["entry"][0].get("resource"), None, "a deletion has none");
    assert_eq!(bundle["entry"][3]["request"]["url"], "Patient");
    ann.post(&format!("{ours}/undelete"), json!({})).expect(200, "updated");
    then.push(Value::Null);
    then.push(ann.fhir(&path).resource("Patient"));
    let bundle = ann.fhir(&history).resource("Bundle");
    assert_eq!(changes(&bundle), [&[change("PUT", "201", 5)], &old[..]].concat());
    for (place, was) in then.iter().enumerate() {
        let version = format!("{history}/{}", place + 1);
        let answer = ann.fhir(&version);
        assert_eq!(bundle["entry"][4 - place].get("resource").unwrap_or(&Value::Null), was);
        if was.is_null() {
            answer.refused(410, "deleted");
            assert_eq!(answer.etag(), "W/\"4\"");
        } else {
            assert_eq!(answer.resource("Patient"), *was);
            assert_eq!(answer.etag(), format!("W/\"{}\"", place + 1));
            assert!(answer.header("last-modified").is_some());
        }
    }
    for vid in ["6", "0", "x", "01", "999999999999999999999"] {
        ann.fhir(&format!("{history}/{vid}")).refused(404, "not-found");
    }
    // To somebody else it never was.
    let unknown = bob.fhir("Patient/999999999/_history");
    unknown.refused(404, "not-found");
    for other in [path.clone(), history.clone(), format!("{history}/1"), format!("{history}/4")] {
        assert_eq!(bob.fhir(&other).body, unknown.body, "{other}");
    }
    ann.delete(&ours).expect(200, "deleted");
    assert_eq!(bob.fhir(&path).body, unknown.body);
}

#[test]
fn a_history_has_pages_and_a_beginning() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("Ann Lee");
    let mut times = Vec::new();
    for number in 0..6 {
        let phone = json!({ "phone": format!("1000{number}") });
        let updated = ann.patch(&format!("/api/patients/{patient}"), phone).expect(200, "updated").data();
        times.push(updated["updated_at"].as_str().expect("a time").to_string());
    }
    let history = format!("Patient/{patient}/_history");
    let (mut next, mut versions) = (Some(format!("{history}?_count=3")), Vec::new());
    while let Some(path) = next {
        let bundle = ann.fhir(&path).resource("Bundle");
        versions.extend(changes(&bundle).into_iter().map(|(_, _, etag)| etag));
        assert_eq!(link(&bundle, "self"), Some(path.clone()));
        next = link(&bundle, "next");
        assert_eq!(bundle.get("total"), None, "no page is everything");
    }
    assert_eq!(versions, [7, 6, 5, 4, 3, 2, 1].map(|version| format!("W/\"{version}\"")));
    let since = ann.fhir(&format!("{history}?_since={}", times[3])).resource("Bundle");
    assert_eq!((changes(&since).len(), &since["total"]), (3, &json!(3)));
    assert_eq!(ann.fhir(&format!("{history}?_since=2099-01-01")).resource("Bundle")["total"], 0);
    let part = ann.fhir(&format!("{history}?_elements=name&_count=1")).resource("Bundle");
    assert_eq!(part["entry"][0]["resource"]["meta"]["tag"][0]["code"], "SUBSETTED");
    for (bad, code) in [
        ("_count=0", "value"),
        ("_count=x", "value"),
        ("_since=x", "value"),
        ("_cursor=x", "value"),
        ("_count=1&_count=1", "value"),
        ("_at=2020", "not-supported"),
        ("name=x", "not-supported"),
        ("_summary=count", "not-supported"),
    ] {
        ann.fhir(&format!("{history}?{bad}")).refused(400, code);
    }
    let entries = super::trail(app, "read");
    assert!(
        entries.len() == 6 && entries.iter().all(|entry| *entry == json!([ann.id, "patient", patient])),
        "{entries:?}"
    );
}

#[test]
fn a_deleted_doctor_is_gone_for_the_creator_and_admins_and_was_never_there_for_others() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let doctor = ann.new_doctor("Dr. Roe");
    let path = format!("Practitioner/{doctor}");
    assert_eq!(changes(&bob.fhir(&format!("{path}/_history")).resource("Bundle")), [change("POST", "201", 1)]);
    bob.fhir(&format!("{path}/_history/1")).resource("Practitioner");
    ann.delete(&format!("/api/doctors/{doctor}")).expect(200, "deleted");
    let unknown = bob.fhir("Practitioner/999999999");
    for part in ["", "/_history", "/_history/1", "/_history/2"] {
        assert_eq!(bob.fhir(&format!("{path}{part}")).body, unknown.body, "{part}");
    }
    bob.fhir(&format!("PractitionerRole/{doctor}")).refused(404, "not-found");
    for person in [&ann, &root] {
        let gone = person.fhir(&path);
        gone.refused(410, "deleted");
        assert_eq!(gone.etag(), "W/\"2\"");
        person.fhir(&format!("{path}/_history/1")).resource("Practitioner");
        assert_eq!(person.fhir(&format!("{path}/_history")).resource("Bundle")["total"], 2);
    }
}

#[test]
fn a_team_has_changed_when_somebody_left_it() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, roe, doe) = (ann.new_patient("Ann Lee"), ann.new_doctor("Dr. Roe"), ann.new_doctor("Dr. Doe"));
    let (_, second) = (ann.new_mapping(patient, roe), ann.new_mapping(patient, doe));
    let team = || ann.fhir(&format!("CareTeam/{patient}")).resource("CareTeam")["meta"].clone();
    let before = team();
    ann.delete(&format!("/api/mappings/{second}")).expect(200, "deleted");
    let after = team();
    let time = |meta: &Value| meta["lastUpdated"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    assert!(time(&after) > time(&before) && after["versionId"] != before["versionId"], "{before} {after}");
    let since = after["lastUpdated"].as_str().expect("a time");
    assert_eq!(super::search::found(&ann, &format!("CareTeam?_lastUpdated=ge{since}")), [patient.to_string()]);
    assert_eq!(super::search::found(&ann, &format!("CareTeam?_lastUpdated=gt{since}")), [""; 0]);
}

#[test]
fn colleagues_read_each_others_patients_here_too() {
    let app = TestApp::start();
    let (root, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let (anns, bens, doctor) = (ann.new_patient("Anna"), ben.new_patient("Ben"), ann.new_doctor("Dr. Roe"));
    ann.new_mapping(anns, doctor);
    ben.fhir(&format!("Patient/{anns}")).refused(404, "not-found");
    root.new_group("Ward", &[&ann, &ben]);
    for path in
        ["Patient", "Patient?_sort=name", "Patient?_sort=birthdate&_count=50", "Patient?birthdate=1990&_total=accurate"]
    {
        assert_eq!(super::search::found(&ben, path), [anns.to_string(), bens.to_string()], "{path}");
    }
    assert_eq!(ben.fhir("Patient?_count=0").resource("Bundle")["total"], 2);
    ben.fhir(&format!("Patient/{anns}")).resource("Patient");
    ben.fhir(&format!("Patient/{anns}/_history/1")).resource("Patient");
    ben.fhir(&format!("Patient/{anns}/$everything")).resource("Bundle");
    assert_eq!(super::search::found(&ben, &format!("CareTeam?participant={doctor}")), [anns.to_string()]);
}

#[test]
fn a_shared_patient_is_read_and_found_until_the_share_ends() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, own, doctor) =
        (ann.patient_with(json!({ "medical_history": "Asthma" })), bob.new_patient("Own"), ann.new_doctor("Dr. Roe"));
    ann.new_mapping(patient, doctor);
    let share = json!({ "user_id": bob.id, "can_change": false });
    let share = ann.post(&format!("/api/patients/{patient}/shares"), share).expect(201, "created").location();
    let (p, o) = (patient.to_string(), own.to_string());
    let paths = [
        format!("Patient/{p}"),
        format!("CareTeam/{p}"),
        format!("DocumentReference/{p}-history"),
        format!("Patient/{p}/_history"),
        format!("Patient/{p}/$everything"),
    ];
    for path in &paths {
        assert_eq!(bob.fhir(path).status, 200, "{path}");
    }
    for (path, expected) in [
        ("Patient", vec![&p, &o]),
        ("Patient?_sort=-name", vec![&o, &p]),
        ("Patient?name=ann&_total=accurate", vec![&p]),
        ("Patient?birthdate=1990&_sort=birthdate", vec![&p, &o]),
        ("CareTeam", vec![&p]),
    ] {
        let bundle = bob.fhir(path).resource("Bundle");
        assert_eq!(super::search::ids(&bundle, "match").iter().collect::<Vec<_>>(), expected, "{path}");
        assert_eq!(bundle["total"], expected.len(), "{path}");
    }
    assert_eq!(bob.fhir("Patient?_count=0").resource("Bundle")["total"], 2);
    let unknown = bob.fhir("Patient/999999999").body;
    let ended = || {
        for path in &paths {
            assert_eq!(bob.fhir(path).body, unknown, "{path}");
        }
        for path in ["Patient?_sort=name", &format!("Patient?_id={p},{o}"), "Patient?_revinclude=CareTeam:patient"] {
            assert_eq!(super::search::found(&bob, path), [o.as_str()], "{path}");
        }
        assert_eq!(super::search::found(&bob, "CareTeam?_include=CareTeam:patient"), [""; 0]);
        assert_eq!(super::search::found(&bob, &format!("Patient?_has:CareTeam:patient:participant={doctor}")), [""; 0]);
        assert_eq!(bob.fhir("Patient?_count=0").resource("Bundle")["total"], 1);
    };
    ann.delete(&share).expect(200, "deleted");
    ended();
    // A share that is over is as good as none.
    ann.post(&format!("/api/patients/{patient}/shares"), json!({ "user_id": bob.id })).expect(201, "created");
    bob.fhir(&paths[0]).resource("Patient");
    app.sql().execute("update patient_grants set expires_at = now() where ended_at is null", &[]).expect("a share");
    ended();
    // And neither tells of the deletion of what was shared.
    ann.delete(&format!("/api/patients/{patient}")).expect(200, "deleted");
    ended();
}
