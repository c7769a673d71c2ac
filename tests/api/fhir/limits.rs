//! The limits of searches: what they refuse, whose records they show, what they leave in the trail, and that metadata says neither more
//! nor less.

use serde_json::{Value, json};

use super::search::{by_post, found, ids, link};
use crate::contract::check;
use crate::harness::TestApp;
use crate::harness::http::Answer;

#[test]
fn what_a_search_does_not_know_is_refused_or_named_and_never_ignored() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.new_patient("Ann Lee");
    let lenient = |path: &str| {
        ann.send("GET", &format!("/fhir/R4/{path}"), &[("Prefer", "respond-async, handling=lenient")], None)
    };
    for (path, named) in [
        ("Patient?nmae=x", "nmae"),
        ("Patient?general-practitioner=1", "general-practitioner"),
        ("Patient?death-date=2020", "death-date"),
        ("Patient?name:missing=true", "name:missing"),
        ("Patient?name:exactly=x", "name:exactly"),
        ("Patient?gender:not=male", "gender:not"),
        ("Patient?_has:Observation:patient:code=1", "_has:Observation:patient:code"),
        ("Patient?_filter=x", "_filter"),
        ("Patient?=x", "not"),
        ("Patient?_sort=gender", "_sort"),
        ("Patient?_sort=name,birthdate", "_sort"),
        ("Patient?_include=Patient:organization", "_include"),
        ("Patient?_include=*", "_include"),
        ("CareTeam?_include:iterate=CareTeam:patient", "_include:iterate"),
        ("CareTeam?_include=CareTeam:patient:Group", "_include"),
        ("CareTeam?patient.name=x", "patient.name"),
        ("Patient?birthdate=ap1990", "ap"),
        ("Patient?birthdate=1990-04-23T10:00", "birthdate"),
        ("Practitioner?birthdate=1990", "birthdate"),
        ("Practitioner?_sort=family", "_sort"),
        ("PractitionerRole?name=x", "name"),
        ("Patient?_revinclude=Provenance:target", "_revinclude"),
        ("Patient?_contained=true", "_contained"),
        ("Patient?_has:CareTeam:patient:participant:exact=1", "_has"),
        ("CareTeam?_has:CareTeam:patient:participant=1", "_has"),
    ] {
        let words = ann.fhir(path).refused(400, "not-supported");
        assert!(words.contains(named), "{path}: {words}");
        // A lenient search leaves it out and says so.
        let bundle = lenient(path).resource_with_warning();
        let warning = bundle["entry"].as_array().expect("entries").last().expect("a warning");
        assert_eq!(
            (&warning["search"]["mode"], &warning["resource"]["issue"][0]["severity"]),
            (&json!("outcome"), &json!("warning"))
        );
        assert!(warning["resource"]["issue"][0]["diagnostics"].as_str().expect("words").contains(named), "{warning}");
        assert!(!link(&bundle, "self").expect("self").contains('?'), "{path}");
    }
    for (path, code) in [
        ("Patient?name=,", "value"),
        ("Patient?identifier=%7C", "value"),
        ("Patient?birthdate=ge", "value"),
        ("Patient?birthdate=1990-13", "value"),
        ("Patient?birthdate=yesterday", "value"),
        ("Patient?_lastUpdated=2026-01-05T99:00", "value"),
        ("Patient?_count=-1", "value"),
        ("Patient?_count=x", "value"),
        ("Patient?_count=1&_count=1", "value"),
        ("Patient?_sort=name&_sort=name", "value"),
        ("Patient?_elements=nothing", "value"),
        ("Patient?_total=maybe", "value"),
        ("Patient?_summary=all", "value"),
        ("Patient?name=%ff", "value"),
        ("Patient?name=%00", "value"),
        ("Patient?n%00ame=x", "value"),
        ("CareTeam?participant=1%00", "value"),
        ("Patient?_elements=name&_elements=name", "value"),
    ] {
        ann.fhir(path).refused(400, code);
        // And leniency excuses no value that cannot be read.
        lenient(path).refused(400, code);
    }
    ann.fhir(&format!("Patient?name={}", "x,".repeat(21))).refused(400, "too-long");
    ann.fhir(&format!("Patient?_id={}", (1..=100).map(|id| id.to_string()).collect::<Vec<_>>().join(",")))
        .resource("Bundle");
    ann.fhir(&format!("Patient?_id={}", "1,".repeat(101))).refused(400, "too-long");
    ann.fhir(&format!("Patient?name={}", "x".repeat(4100))).refused(400, "too-long");
    by_post(&ann, "Patient", &format!("name={}", "x".repeat(4100))).refused(400, "too-long");
    // What is empty is as if it were not there, and what nobody has matches nobody.
    for path in ["Patient?name=", "Patient?name=&gender=&_count=", "Patient?name=%20", "Patient?name"] {
        let bundle = ann.fhir(path).resource("Bundle");
        assert_eq!(
            (ids(&bundle, "match"), link(&bundle, "self")),
            (vec![patient.to_string()], Some("Patient".into())),
            "{path}"
        );
    }
    for path in [
        "Patient?gender=robot",
        "Patient?active=false",
        "Patient?phone=x",
        "Patient?identifier=urn:x%7C1",
        "Patient?_id=x",
        "Patient?gender=x%7Cfemale",
        "CareTeam?status=proposed",
        "DocumentReference?type=1",
        "Patient?identifier=%7C1",
        "Patient?telecom=fax%7C1",
        "Patient?gender=male&gender=female",
        "Patient?email=x",
        "PractitionerRole?specialty=x%7Cy",
        "Patient?birthdate=lt1990&birthdate=gt1990",
    ] {
        assert_eq!(found(&ann, path), [""; 0], "{path}");
    }
    // A form is one, and a search has no other path.
    let json = [("Content-Type", "application/json")];
    ann.send("POST", "/fhir/R4/Patient/_search", &json, Some(json!({}))).refused(415, "not-supported");
    ann.fhir("Patient/_search").refused(404, "not-found");
    ann.fhir("Patient/_history").refused(404, "not-found");
    assert!(ann.post("/fhir/R4/Patient", json!({})).refused(405, "not-supported").contains("method"));
}

impl Answer {
    /// A bundle that may have a warning, which is no refusal.
    #[track_caller]
    fn resource_with_warning(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        check(self);
        self.json()
    }
}

#[test]
fn nobody_finds_what_belongs_to_somebody_else() {
    let app = TestApp::start();
    let (ann, bob, root) = (app.signed_up("ann"), app.signed_up("bob"), app.admin("root"));
    let patient = ann.patient_with(
        json!({ "name": "Secret", "phone": "12345", "email": "s@example.org", "medical_history": "Asthma" }),
    );
    let doctor = ann.new_doctor("Dr. Roe");
    ann.new_mapping(patient, doctor);
    for person in [&bob, &root] {
        for path in [
            "Patient".into(),
            format!("Patient?_id={patient}"),
            "Patient?name=secret".into(),
            format!("Patient?identifier={patient}"),
            "Patient?phone=12345".into(),
            "Patient?email=s@example.org".into(),
            "Patient?birthdate=1990-04-23".into(),
            "Patient?gender=female".into(),
            format!("Patient?_has:CareTeam:patient:participant={doctor}"),
            "CareTeam".into(),
            format!("CareTeam?patient={patient}"),
            format!("CareTeam?participant={doctor}&_include=CareTeam:patient"),
            "DocumentReference".into(),
            format!("DocumentReference?patient={patient}&_include=DocumentReference:patient"),
            "Patient?_revinclude=CareTeam:patient".into(),
            "Patient?_count=0".into(),
            "Patient?_total=accurate&_count=1".into(),
        ] {
            let bundle = person.fhir(&path).resource("Bundle");
            assert_eq!((bundle.get("entry"), &bundle["total"]), (None, &json!(0)), "{path}");
        }
        let unknown = person.fhir("CareTeam/999999999");
        unknown.refused(404, "not-found");
        assert_eq!(person.fhir(&format!("CareTeam/{patient}")).body, unknown.body);
        // The directory is everybody's; what it brings along is not the patient.
        let doctors = person.fhir("Practitioner?_revinclude=PractitionerRole:practitioner").json().to_string();
        assert!(doctors.contains("Roe") && !doctors.contains("Secret"));
    }
}

#[test]
fn each_search_has_its_entry_with_the_patients_that_it_showed() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (one, two) = (ann.patient_with(json!({ "medical_history": "Asthma" })), ann.new_patient("Two"));
    let doctor = ann.new_doctor("Dr. Roe");
    ann.new_mapping(two, doctor);
    ann.fhir("Patient").resource("Bundle");
    ann.fhir("Patient?name=two").resource("Bundle");
    by_post(&ann, "Patient", "name=nobody").resource("Bundle");
    ann.fhir("Patient?_count=0").resource("Bundle");
    ann.fhir("CareTeam?_include=CareTeam:patient").resource("Bundle");
    ann.fhir("DocumentReference").resource("Bundle");
    // The directory leaves none, and neither does what is refused.
    ann.fhir("Practitioner").resource("Bundle");
    ann.fhir("Patient?nmae=x").refused(400, "not-supported");
    let lists = [json!([one, two]), json!([two]), json!([]), json!([]), json!([two]), json!([one])];
    let expected: Vec<Value> = lists.into_iter().map(|ids| json!([ann.id, "patient", ids])).collect();
    assert_eq!(super::trail(app, "list"), expected);
}

#[test]
fn what_metadata_declares_works_and_what_it_does_not_is_refused() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let patient = ann.patient_with(json!({ "medical_history": "Asthma" }));
    let doctor = ann.new_doctor("Dr. Roe");
    ann.new_mapping(patient, doctor);
    let statement = app.anyone().fhir("metadata").resource("CapabilityStatement");
    assert_eq!((&statement["fhirVersion"], &statement["kind"]), (&json!("4.0.1"), &json!("instance")));
    let resources = statement["rest"][0]["resource"].as_array().expect("resources");
    let types: Vec<&str> = resources.iter().map(|resource| resource["type"].as_str().expect("a type")).collect();
    assert_eq!(types, ["Patient", "Practitioner", "PractitionerRole", "CareTeam", "DocumentReference"]);
    let text = |value: &Value, name: &str| value[name].as_str().expect("a text").to_string();
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    // Every parameter that one of them has, and some of R4's that none has.
    let mut names: Vec<String> = resources
        .iter()
        .flat_map(|resource| list(resource, "searchParam"))
        .map(|parameter| text(&parameter, "name"))
        .collect();
    names.extend(
        ["deceased", "organization", "link", "language", "encounter", "_profile", "_tag", "_security", "_text"]
            .map(String::from),
    );
    let mut includes: Vec<String> = Vec::new();
    for member in ["searchInclude", "searchRevInclude"] {
        includes.extend(
            resources
                .iter()
                .flat_map(|resource| list(resource, member))
                .map(|path| path.as_str().expect("a path").to_string()),
        );
    }
    for resource in resources {
        let kind = text(resource, "type");
        let id = match kind.as_str() {
            "Practitioner" | "PractitionerRole" => doctor.to_string(),
            "DocumentReference" => format!("{patient}-history"),
            _ => patient.to_string(),
        };
        let interactions: Vec<String> =
            list(resource, "interaction").iter().map(|interaction| text(interaction, "code")).collect();
        for (code, path) in [
            ("read", format!("{kind}/{id}")),
            ("vread", format!("{kind}/{id}/_history/1")),
            ("history-instance", format!("{kind}/{id}/_history")),
            ("search-type", kind.clone()),
        ] {
            let status = if interactions.iter().any(|declared| declared == code) { 200 } else { 404 };
            assert_eq!(ann.fhir(&path).status, status, "{code} of {kind}");
        }
        let declared: Vec<Value> = list(resource, "searchParam");
        for name in &names {
            let known = declared.iter().find(|parameter| parameter["name"] == *name);
            let value = match known.map(|parameter| text(parameter, "type")).as_deref() {
                Some("date") => "2020",
                Some("reference") => "1",
                _ => "x",
            };
            let status = if known.is_some() { 200 } else { 400 };
            assert_eq!(ann.fhir(&format!("{kind}?{name}={value}")).status, status, "{kind}?{name}");
            assert_eq!(by_post(&ann, &kind, &format!("{name}={value}")).status, status, "{kind} {name}");
            assert!(known.is_none_or(|parameter| text(parameter, "definition").starts_with("http://hl7.org/fhir/")));
        }
        for (member, parameter) in [("searchInclude", "_include"), ("searchRevInclude", "_revinclude")] {
            let declared = list(resource, member);
            for path in &includes {
                let status = if declared.iter().any(|declared| declared == path) { 200 } else { 400 };
                assert_eq!(ann.fhir(&format!("{kind}?{parameter}={path}")).status, status, "{kind}?{parameter}={path}");
            }
        }
        let operations: Vec<String> =
            list(resource, "operation").iter().map(|operation| text(operation, "name")).collect();
        for name in ["everything", "validate", "export", "docref", "match", "lastn"] {
            let status = if operations.iter().any(|declared| declared == name) { 200 } else { 404 };
            assert_eq!(ann.fhir(&format!("{kind}/{id}/${name}")).status, status, "{kind} ${name}");
        }
    }
}
