//! One resource: what it shows of our record, and its versions.

use serde_json::json;

use crate::harness::TestApp;

/// The system of the installation's identifiers.
fn installation(app: &TestApp) -> String {
    let id: String = app.sql().query_one("select id::text from installation", &[]).expect("its row").get(0);
    format!("urn:uuid:{id}")
}

#[test]
fn a_patient_is_shown_with_every_element_and_the_version_of_the_api() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let id = ann.patient_with(json!({
        "name": "Anna van der Berg", "phone": "+49 30 1234567 ext. 12", "email": "anna@example.org", "address": "Main Street 1\n10115 Berlin",
        "medical_history": "Penicillin allergy",
    }));
    let ours = ann.get(&format!("/api/patients/{id}")).expect(200, "success");
    let answer = ann.fhir(&format!("Patient/{id}"));
    assert_eq!(
        answer.resource("Patient"),
        json!({
            "resourceType": "Patient", "id": id.to_string(), "active": true, "gender": "female", "birthDate": "1990-04-23",
            "meta": { "versionId": "1", "lastUpdated": ours.data()["updated_at"] },
            "identifier": [{
                "use": "usual", "system": installation(&app), "value": id.to_string(),
                "type": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR" }] },
            }],
            "name": [{ "text": "Anna van der Berg", "family": "Berg", "given": ["Anna", "van", "der"] }],
            "telecom": [
                { "system": "phone", "value": "+49 30 1234567 ext. 12" }, { "system": "email", "value": "anna@example.org" },
            ],
            "address": [{ "text": "Main Street 1\n10115 Berlin" }],
        })
    );
    assert_eq!(answer.etag(), "W/\"1\"");
    assert_eq!(format!("W/{}", ours.etag()), answer.etag());
    let modified = answer.header("last-modified").expect("Last-Modified");
    assert!(modified.ends_with(" GMT"), "{modified}");
}

#[test]
fn a_doctor_is_shown_as_a_practitioner() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let system = installation(&app);
    let kind =
        |code: &str| json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code }] });
    let licensed =
        ann.doctor_with(json!({ "name": "Prof. Dr. Ada Roe", "license_number": "BE-12345", "phone": "12345" }));
    let licence =
        json!({ "use": "usual", "type": kind("MD"), "system": format!("{system}#license"), "value": "BE-12345" });
    let shown = ann.fhir(&format!("Practitioner/{licensed}")).resource("Practitioner");
    assert_eq!(shown["identifier"], json!([licence]));
    assert_eq!(shown["qualification"], json!([{ "code": { "text": "Cardiology" }, "identifier": [licence] }]));
    assert_eq!(
        shown["name"],
        json!([{ "text": "Prof. Dr. Ada Roe", "family": "Roe", "given": ["Ada"], "prefix": ["Prof.", "Dr."] }])
    );
    assert_eq!(shown["telecom"], json!([{ "system": "phone", "value": "12345" }]));
    // Everybody reads the directory.
    let bare = ann.new_doctor("Cher");
    let shown = app.signed_up("bob").fhir(&format!("Practitioner/{bare}")).resource("Practitioner");
    assert_eq!(
        shown["identifier"],
        json!([{ "use": "usual", "type": kind("PRN"), "system": system, "value": bare.to_string() }])
    );
    assert_eq!(shown["name"], json!([{ "text": "Cher", "family": "Cher" }]));
    assert_eq!(shown["qualification"], json!([{ "code": { "text": "Cardiology" } }]));
    assert_eq!(shown.get("telecom"), None);
}

#[test]
fn what_a_doctor_does_and_a_history_are_resources_of_their_own() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let doctor = ann.doctor_with(json!({ "email": "roe@example.org" }));
    let role = bob.fhir(&format!("PractitionerRole/{doctor}")).resource("PractitionerRole");
    assert_eq!(
        role["practitioner"],
        json!({ "reference": format!("Practitioner/{doctor}"), "display": "Dr. Ada Roe" })
    );
    assert_eq!(
        (&role["code"], &role["specialty"]),
        (&json!([{ "text": "Cardiology" }]), &json!([{ "text": "Cardiology" }]))
    );
    assert_eq!(role["telecom"], json!([{ "system": "email", "value": "roe@example.org" }]));

    let patient = ann.patient_with(json!({ "medical_history": "Penicillin\nallergy ä" }));
    let path = format!("DocumentReference/{patient}-history");
    let answer = ann.fhir(&path);
    let document = answer.resource("DocumentReference");
    assert_eq!(answer.etag(), "W/\"1\"");
    assert_eq!(document["id"], format!("{patient}-history"));
    assert_eq!(document["subject"], json!({ "reference": format!("Patient/{patient}"), "display": "Ann Lee" }));
    assert_eq!((&document["status"], &document["date"]), (&json!("current"), &document["meta"]["lastUpdated"]));
    assert_eq!(document["type"]["coding"][0]["code"], "11348-0");
    assert_eq!(
        document["content"],
        json!([{ "attachment": { "contentType": "text/plain; charset=utf-8", "data": "UGVuaWNpbGxpbgphbGxlcmd5IMOk" } }])
    );
    let summary = ann.fhir(&format!("{path}?_summary=true")).resource("DocumentReference");
    assert_eq!(summary["content"], json!([{ "attachment": { "contentType": "text/plain; charset=utf-8" } }]));
    bob.fhir(&path).refused(404, "not-found");
    let without = ann.new_patient("Ann Lee");
    for id in [format!("{without}-history"), format!("0{patient}-history"), patient.to_string(), "-history".into()] {
        ann.fhir(&format!("DocumentReference/{id}")).refused(404, "not-found");
    }
}

#[test]
fn a_client_that_has_the_version_gets_304_and_a_change_is_a_new_version() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let path = format!("/fhir/R4/Patient/{}", ann.new_patient("Ann Lee"));
    let has = |tag: &str| ann.send("GET", &path, &[("If-None-Match", tag)], None);
    for tag in ["W/\"1\"", "\"1\"", "W/\"7\", W/\"1\"", ",\"7\",, \"1\",", "*"] {
        let same = has(tag);
        crate::contract::check(&same);
        assert_eq!((same.status, same.etag()), (304, "W/\"1\"".to_string()), "{tag}");
        assert!(same.header("last-modified").is_some());
    }
    for other in ["W/\"3\"", "1", "W/1", "\"1", "w/\"1\"", ",", "*, \"1\"", "\"\""] {
        has(other).resource("Patient");
    }
    ann.patch(&path.replace("/fhir/R4/Patient", "/api/patients"), json!({ "phone": "12345" })).expect(200, "updated");
    let changed = has("W/\"1\"");
    assert_eq!(changed.resource("Patient")["meta"]["versionId"], "2");
    assert_eq!(changed.etag(), "W/\"2\"");
    let head = ann.send("HEAD", &path, &[], None);
    assert_eq!((head.status, head.etag(), head.body.len()), (200, "W/\"2\"".to_string(), 0));
    ann.get(&format!("{path}/")).resource("Patient");
}

#[test]
fn odd_names_and_texts_are_shown_as_r4_allows_them() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for (name, text, family, given) in [
        ("Berg, Anna Maria", "Berg, Anna Maria", "Berg", &["Anna", "Maria"][..]),
        ("van der Berg,Anna", "van der Berg,Anna", "van der Berg", &["Anna"]),
        ("Rao,", "Rao,", "Rao", &[]),
        (",", ",", ",", &[]),
        (", Anna", ", Anna", ", Anna", &["Anna"]),
        ("Rao, Anna, Maria", "Rao, Anna, Maria", "Rao", &["Anna", "Maria"]),
        ("Zoë\u{a0}Müller\u{3000}Ångström", "Zoë Müller Ångström", "Ångström", &["Zoë", "Müller"]),
        ("Jean-Luc  O'Brien", "Jean-Luc  O'Brien", "O'Brien", &["Jean-Luc"]),
        ("\u{feff}李小龍", "李小龍", "李小龍", &[]),
        ("Dr. No", "Dr. No", "No", &["Dr."]),
    ] {
        let shown = ann.fhir(&format!("Patient/{}", ann.new_patient(name))).resource("Patient");
        let mut expected = json!({ "text": text, "family": family });
        if !given.is_empty() {
            expected["given"] = json!(given);
        }
        assert_eq!(shown["name"], json!([expected]), "{name:?}");
    }
    let doctor = ann.doctor_with(json!({ "name": "Dr.", "specialization": "Ear\u{a0}nose" }));
    let shown = ann.fhir(&format!("Practitioner/{doctor}")).resource("Practitioner");
    assert_eq!(shown["name"], json!([{ "text": "Dr.", "family": "Dr.", "prefix": ["Dr."] }]));
    assert_eq!(shown["qualification"][0]["code"]["text"], "Ear nose");
    let blank = ann.patient_with(json!({ "address": "\u{feff}" }));
    assert_eq!(ann.fhir(&format!("Patient/{blank}")).resource("Patient").get("address"), None);
}

#[test]
fn a_part_of_a_resource_is_marked_as_one() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (patient, doctor) = (ann.patient_with(json!({ "phone": "12345" })), ann.new_doctor("Dr. Roe"));
    let members = |path: String| -> Vec<String> {
        let part = ann.fhir(&path);
        let part = part.json();
        assert_eq!(part["meta"]["tag"][0]["code"], "SUBSETTED", "{path}");
        let own = |name: &&String| !matches!(name.as_str(), "resourceType" | "id" | "meta");
        part.as_object().expect("an object").keys().filter(own).cloned().collect()
    };
    assert_eq!(members(format!("Patient/{patient}?_elements=name,photo")), ["name"]);
    assert_eq!(members(format!("Patient/{patient}?_elements=id,name,resourceType")), ["name"]);
    assert_eq!(members(format!("Patient/{patient}?_summary=text")), [""; 0]);
    assert_eq!(
        members(format!("Patient/{patient}?_summary=data")),
        ["active", "birthDate", "gender", "identifier", "name", "telecom"]
    );
    assert_eq!(members(format!("Practitioner/{doctor}?_summary=true")), ["active", "identifier", "name"]);
    let whole = ann.fhir(&format!("Patient/{patient}?_summary=false")).resource("Patient");
    assert_eq!(whole["meta"].get("tag"), None);
}

#[test]
fn each_read_of_a_patient_has_its_entry() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, doctor) = (ann.new_patient("Ann Lee"), ann.new_doctor("Dr. Roe"));
    let path = format!("Patient/{patient}");
    ann.fhir(&path).resource("Patient");
    assert_eq!(ann.send("GET", &format!("/fhir/R4/{path}"), &[("If-None-Match", "W/\"1\"")], None).status, 304);
    // What is not shown and what everybody may read leaves none.
    ann.fhir("Patient/999999999").refused(404, "not-found");
    bob.fhir(&path).refused(404, "not-found");
    bob.fhir(&format!("Practitioner/{doctor}")).resource("Practitioner");
    assert_eq!(super::trail(app, "read"), [json!([ann.id, "patient", patient]), json!([ann.id, "patient", patient])]);
}

#[test]
fn metadata_and_refused_tokens_ask_no_database() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let closed = crate::harness::postgres::closed(&app.database);
    app.anyone().fhir("metadata").resource("CapabilityStatement");
    ann.with_token("forged").fhir("Patient/1").refused(401, "login");
    app.anyone().fhir("Practitioner/1").refused(401, "login");
    app.anyone().fhir(".well-known/smart-configuration").refused(404, "not-found");
    closed.open();
}
