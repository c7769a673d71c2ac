//! Formats, headers and paths: what a client may ask for and how it is refused.

use serde_json::json;

use crate::contract::check;
use crate::harness::folder::Folder;
use crate::harness::{TestApp, postgres};

#[test]
fn json_is_spoken_under_its_names_and_nothing_else_is() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let path = format!("/fhir/R4/Patient/{}", ann.new_patient("Ann Lee"));
    let accepted = |accept: &str| ann.send("GET", &path, &[("Accept", accept)], None);
    for good in [
        "*/*",
        "application/*",
        "application/fhir+json",
        "application/json",
        "application/fhir+json; fhirVersion=4.0",
        "",
        "APPLICATION/JSON",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/fhir+xml;q=1, application/json;q=0.1",
        "application/fhir+json;charset=utf-8",
    ] {
        accepted(good).resource("Patient");
    }
    for bad in [
        "application/fhir+xml",
        "text/html",
        "application/xml",
        "text/*",
        "application/fhir+json; fhirVersion=3.0",
        "json/application",
        "application/json;q=0",
        "*/*;q=0.0",
        "application/fhir+json; fhirVersion=5.0",
    ] {
        accepted(bad).refused(406, "not-supported");
    }
    for good in [
        "json",
        "application/json",
        "application/fhir+json",
        "application/fhir%2Bjson",
        "application/fhir+json;fhirVersion=4.0",
    ] {
        // A format in the address wins over the header.
        ann.send("GET", &format!("{path}?_format={good}"), &[("Accept", "text/html")], None).resource("Patient");
    }
    for bad in ["xml", "application/fhir+xml", "html/json", "ttl", "text/xml"] {
        ann.get(&format!("{path}?_format={bad}")).refused(406, "not-supported");
    }
    ann.get(&format!("{path}?_pretty=true&_format=")).resource("Patient");
    // And for nothing that is there, and for anyone.
    ann.get("/fhir/R4/Patient/999999999?_format=xml").refused(406, "not-supported");
    app.anyone().get("/fhir/R4/metadata?_format=xml").refused(406, "not-supported");
    app.anyone().fhir("metadata?_format=json").resource("CapabilityStatement");
}

#[test]
fn what_is_not_there_is_one_outcome_whatever_the_reason() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, doctor) = (ann.new_patient("Ann Lee"), ann.new_doctor("Dr. Roe"));
    let unknown = bob.fhir("Patient/999999999");
    unknown.refused(404, "not-found");
    let paths = [
        format!("Patient/{patient}"),
        format!("Patient/0{patient}"),
        "Patient/abc".into(),
        "Patient/-1".into(),
        "Patient/1.0".into(),
        "Patient/99999999999999999999".into(),
        format!("Patient/{patient}%00"),
        format!("Patient/{patient}%2F_history"),
        format!("Patient/{patient};x=1"),
        format!("Patient/+{patient}"),
        format!("Patient//{patient}"),
        "Patient/%2e%2e".into(),
        "Practitioner/999999999".into(),
        format!("Practitioner/{doctor}x"),
        "Patient/_history".into(),
        ".well-known/smart-configuration".into(),
        "Observation".into(),
        "Observation/1".into(),
        "patient/1".into(),
        "".into(),
        format!("Patient/{patient}/nothing"),
        "$export".into(),
        "Patient//".into(),
        "metadata/x".into(),
    ];
    for path in paths {
        let answer = bob.fhir(&path);
        answer.refused(404, "not-found");
        assert_eq!(answer.body, unknown.body, "{path}");
    }
    bob.get("/fhir/R4").refused(404, "not-found");
    // Outside of the base everything is in its envelope.
    for path in ["/fhir", "/fhir/R5/metadata", "/fhir/R4x", "/.well-known/smart-configuration"] {
        bob.get(path).expect(404, "failed");
    }
}

#[test]
fn refusals_of_every_layer_are_outcomes() {
    let app = TestApp::with(|config| config.max_body_bytes = 1000);
    let ann = app.signed_up("ann");
    let path = format!("/fhir/R4/Patient/{}", ann.new_patient("Ann Lee"));
    let nobody = app.anyone().get(&path);
    nobody.refused(401, "login");
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    ann.with_token("forged").get(&path).refused(401, "login");
    let wrong = ann.delete(&path);
    wrong.refused(405, "not-supported");
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, OPTIONS"));
    ann.send("TRACE", &path, &[], None).refused(501, "not-supported");
    ann.put(&path, json!({ "long": "x".repeat(2000) })).refused(413, "too-long");
    assert!(ann.get(&format!("{path}?nmae=x")).refused(400, "not-supported").contains("nmae"));
    ann.get(&format!("{path}?_summary=count")).refused(400, "not-supported");
    ann.get(&format!("{path}?_summary=some")).refused(400, "value");
    ann.get(&format!("{path}?_elements=nothing")).refused(400, "value");
    ann.get(&format!("{path}?_summary=true&_summary=true")).refused(400, "value");
    ann.get(&format!("{path}?_summary=%zz")).refused(400, "structure");
    ann.get(&format!("{path}?_summary=%ff")).refused(400, "value");
    ann.get("/fhir/R4/Patient/%ff").refused(400, "value");
    ann.send("GET", &path, &[], Some(json!({}))).refused(400, "structure");
    ann.send("GET", &path, &[("Content-Type", "text/plain")], Some(json!({}))).refused(415, "not-supported");
    app.anyone().fhir("metadata?mode=terminology").refused(400, "not-supported");
    for host in ["a b", "<b>", "a/b", "x:99999", "[::1", "ex\u{e4}mple"] {
        let text = format!("GET /fhir/R4/metadata HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = crate::harness::http::raw(app.address, text.as_bytes(), false);
        check(&answer);
        assert_eq!(answer.status, 400, "{host}");
    }
}

#[test]
fn a_fault_of_ours_tells_the_request_id_and_an_outage_when_to_come_again() {
    let sql = Folder::with_sql();
    let join = "join doctors d on d.id = q.doctor_id";
    sql.replace("doctors.sql", join, &join.replace("doctor_id", "doctor_id / length(pg_read_file('lost'))"));
    let app = TestApp::with(|config| config.sql_dir = Some(sql.path().to_path_buf()));
    let ann = app.signed_up("ann");
    let path = format!("/fhir/R4/Practitioner/{}", ann.new_doctor("Dr. Roe"));
    let failed = ann.get(&path);
    let text = failed.refused(500, "exception");
    assert!(text.contains(failed.header("x-request-id").expect("an id")) && !text.contains("lost"), "{text}");
    let closed = postgres::closed(&app.database);
    let away = ann.get(&path);
    away.refused(503, "transient");
    assert!(away.header("retry-after").is_some());
    closed.open();
}

#[test]
fn the_address_in_links_is_the_one_that_the_client_knows() {
    let app = TestApp::start();
    let url = |app: &TestApp, headers: &[(&str, &str)]| {
        let answer = app.anyone().send("GET", "/fhir/R4/metadata?mode=full", headers, None);
        answer.resource("CapabilityStatement")["implementation"]["url"].as_str().expect("a url").to_string()
    };
    let forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "clinic.example")];
    let own = format!("http://{}/fhir/R4", app.address);
    assert_eq!(url(&app, &[]), own);
    assert_eq!(url(&app, &forwarded), own, "nobody in particular says so");
    let behind = TestApp::with(|config| {
        config.trusted_proxies = healthcare_backend::Network::parse("127.0.0.1").into_iter().collect()
    });
    assert_eq!(url(&behind, &forwarded), "https://clinic.example/fhir/R4");
    behind.anyone().send("GET", "/fhir/R4/metadata", &[("X-Forwarded-Host", "a b")], None).refused(400, "value");
    let set = TestApp::with(|config| config.fhir_base_url = Some("https://clinic.example/x/fhir/R4/".into()));
    assert_eq!(url(&set, &[]), "https://clinic.example/x/fhir/R4");
}
