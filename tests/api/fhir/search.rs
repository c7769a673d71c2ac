//! Searches: what they find, what comes with a match, and how pages follow each other. `brute_force.rs` compares what they find with
//! the records, and `limits.rs` has what they refuse and must not show.

use serde_json::{Value, json};

use crate::harness::TestApp;
use crate::harness::app::Person;
use crate::harness::http::{self, Answer};

/// The ids of the matches of a search.
#[track_caller]
pub fn found(person: &Person, path: &str) -> Vec<String> {
    ids(&person.fhir(path).resource("Bundle"), "match")
}

/// The ids of the entries of a mode.
pub fn ids(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let wanted = entries.iter().filter(|entry| entry["search"]["mode"] == mode);
    wanted.map(|entry| entry["resource"]["id"].as_str().expect("an id").to_string()).collect()
}

/// The types and ids of the entries of a mode: `Patient/7`.
fn named(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let wanted = entries.iter().filter(|entry| entry["search"]["mode"] == mode);
    wanted
        .map(|entry| {
            let name = format!("{}/{}", entry["resource"]["resourceType"], entry["resource"]["id"]).replace('"', "");
            assert!(entry["fullUrl"].as_str().expect("a url").ends_with(&format!("/fhir/R4/{name}")), "{entry}");
            name
        })
        .collect()
}

/// Where a link leads, below the base.
pub fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().expect("links");
    let url = links.iter().find(|link| link["relation"] == relation)?["url"].as_str().expect("a url");
    Some(url.split_once("/fhir/R4/").expect("the base").1.to_string())
}

/// The same search by a form.
pub fn by_post(person: &Person, kind: &str, query: &str) -> Answer {
    let authorization = format!("Bearer {}", person.token.as_deref().unwrap_or_default());
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    http::send(person.address, "POST", &format!("/fhir/R4/{kind}/_search"), &headers, Some(query))
}

#[test]
fn the_searches_of_us_core_find_the_same_by_get_and_by_post() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let system: String =
        app.sql().query_one("select 'urn:uuid:' || id from installation", &[]).expect("its row").get(0);
    let patient = ann.patient_with(json!({ "name": "Anna van der Berg", "medical_history": "Asthma" }));
    let doctor = ann.doctor_with(json!({ "name": "Dr. Ada Roe", "license_number": "BE 12|3" }));
    ann.new_patient("Somebody Else");
    ann.new_mapping(patient, doctor);
    let (p, d, h) = (patient.to_string(), doctor.to_string(), format!("{patient}-history"));
    for (kind, query, expected) in [
        ("Patient", format!("_id={p}"), &p),
        ("Patient", format!("identifier={system}|{p}"), &p),
        ("Patient", format!("identifier={p}"), &p),
        ("Patient", "name=anna".into(), &p),
        ("Patient", "birthdate=1990-04-23&name=van".into(), &p),
        ("Patient", "gender=female&name=berg".into(), &p),
        ("Patient", "birthdate=1990-04-23&family=Berg".into(), &p),
        ("Patient", "family=Berg&gender=http://hl7.org/fhir/administrative-gender|female".into(), &p),
        ("Patient", format!("_has:CareTeam:patient:participant=Practitioner/{d}"), &p),
        ("Practitioner", "name=roe".into(), &d),
        ("Practitioner", format!("identifier={system}%23license|BE 12\\|3"), &d),
        ("Practitioner", "identifier=BE 12\\|3".into(), &d),
        ("Practitioner", format!("_id={d}"), &d),
        ("PractitionerRole", format!("practitioner={d}"), &d),
        ("PractitionerRole", "specialty:text=cardiology".into(), &d),
        ("CareTeam", format!("patient={p}&status=active"), &p),
        ("CareTeam", format!("patient={p}&role=Cardiology"), &p),
        ("CareTeam", format!("participant=Practitioner/{d}"), &p),
        ("DocumentReference", format!("patient={p}"), &h),
        (
            "DocumentReference",
            format!("subject=Patient/{p}&type=http://loinc.org|11348-0&status=current&date=ge2020"),
            &h,
        ),
        ("DocumentReference", format!("patient={p}&category=clinical-note"), &h),
        ("DocumentReference", format!("_id={h}"), &h),
    ] {
        let target = query.replace('|', "%7C").replace(' ', "%20").replace('\\', "%5C");
        assert_eq!(found(&ann, &format!("{kind}?{target}")), std::slice::from_ref(expected), "{kind}?{query}");
        let posted = by_post(&ann, kind, &target);
        assert_eq!(ids(&posted.resource("Bundle"), "match"), std::slice::from_ref(expected), "{kind} {query}");
        assert_eq!(posted.json()["total"], 1);
    }
    // One patient, by each name that a reference has.
    let base = format!("http://{}/fhir/R4", app.address);
    for reference in [p.clone(), format!("Patient/{p}"), format!("{base}/Patient/{p}")] {
        assert_eq!(found(&ann, &format!("CareTeam?patient={reference}")), std::slice::from_ref(&p), "{reference}");
    }
    for reference in [
        format!("Practitioner/{p}"),
        format!("https://elsewhere.example/fhir/R4/Patient/{p}"),
        format!("Patient/{p}/x"),
    ] {
        assert_eq!(found(&ann, &format!("CareTeam?patient={reference}")), [""; 0], "{reference}");
    }
    // The form and the address count together.
    let both = ann.send(
        "POST",
        "/fhir/R4/Patient/_search?name=anna",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        None,
    );
    assert_eq!(ids(&both.resource("Bundle"), "match"), [p]);
}

#[test]
fn a_match_brings_along_what_belongs_to_it_once() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let (one, two) = (ann.patient_with(json!({ "medical_history": "Asthma" })), ann.new_patient("Without"));
    let three = ann.new_patient("Three");
    let (roe, doe) = (ann.new_doctor("Dr. Roe"), ann.new_doctor("Dr. Doe"));
    let mapping = ann.new_mapping(one, roe);
    ann.new_mapping(one, doe);
    ann.new_mapping(three, roe);
    ann.patch(&format!("/api/mappings/{mapping}"), json!({ "notes": "referred" })).expect(200, "updated");

    let teams =
        ann.fhir("CareTeam?_include=CareTeam:patient&_include=CareTeam:participant:Practitioner").resource("Bundle");
    assert_eq!(named(&teams, "match"), [format!("CareTeam/{one}"), format!("CareTeam/{three}")]);
    assert_eq!(
        named(&teams, "include"),
        [
            format!("Patient/{one}"),
            format!("Practitioner/{roe}"),
            format!("Practitioner/{doe}"),
            format!("Patient/{three}")
        ]
    );
    assert_eq!(teams["total"], 2, "what comes along is not counted");
    let team = &teams["entry"][0]["resource"];
    assert_eq!(team["participant"][0]["id"], mapping.to_string());
    assert_eq!(team["participant"][0]["member"]["reference"], format!("Practitioner/{roe}"));
    assert_eq!(team["participant"][0]["role"], json!([{ "text": "Cardiology" }]));
    assert_eq!((&team["note"][0]["id"], &team["note"][0]["text"]), (&json!(mapping.to_string()), &json!("referred")));
    assert_eq!(*team, ann.fhir(&format!("CareTeam/{one}")).resource("CareTeam"));

    let all = ann.fhir("Patient?_revinclude=CareTeam:patient&_revinclude=DocumentReference:patient").resource("Bundle");
    assert_eq!(named(&all, "match"), [one, two, three].map(|id| format!("Patient/{id}")));
    assert_eq!(
        named(&all, "include"),
        [format!("CareTeam/{one}"), format!("DocumentReference/{one}-history"), format!("CareTeam/{three}")]
    );
    let doctors = ann.fhir("Practitioner?_revinclude=PractitionerRole:practitioner").resource("Bundle");
    assert_eq!(named(&doctors, "include"), [format!("PractitionerRole/{roe}"), format!("PractitionerRole/{doe}")]);
    let roles =
        ann.fhir("PractitionerRole?_include=PractitionerRole:practitioner&name=x").refused(400, "not-supported");
    assert!(roles.contains("name"));
    let documents = ann.fhir("DocumentReference?_include=DocumentReference:patient").resource("Bundle");
    assert_eq!(named(&documents, "include"), [format!("Patient/{one}")]);
    // A part of each, but never less than what makes it valid.
    let part = ann.fhir("DocumentReference?_elements=date&_include=DocumentReference:patient").resource("Bundle");
    let members =
        |at: usize| part["entry"][at]["resource"].as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(0), ["content", "date", "id", "meta", "resourceType", "status"]);
    assert_eq!(members(1), ["id", "meta", "resourceType"]);
}

#[test]
fn a_team_has_a_version_of_its_own_and_stands_in_the_compartment_of_its_patient() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let (patient, alone, doctor) = (ann.new_patient("Ann Lee"), ann.new_patient("Alone"), ann.new_doctor("Dr. Roe"));
    let path = format!("CareTeam/{patient}");
    ann.fhir(&path).refused(404, "not-found");
    let mapping = ann.new_mapping(patient, doctor);
    let tag = |person: &Person| person.fhir(&path).etag();
    let first = tag(&ann);
    assert!(
        first.len() == 20 && first.starts_with("W/\"") && first[3..19].bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{first}"
    );
    assert_eq!(ann.send("GET", &format!("/fhir/R4/{path}"), &[("If-None-Match", &first)], None).status, 304);
    let mut seen = vec![first];
    for (target, change) in [
        (format!("/api/mappings/{mapping}"), json!({ "notes": "x" })),
        (format!("/api/patients/{patient}"), json!({ "phone": "12345" })),
        (format!("/api/doctors/{doctor}"), json!({ "phone": "12345" })),
    ] {
        let updated = ann.patch(&target, change).expect(200, "updated").data()["updated_at"].clone();
        let team = ann.fhir(&path).resource("CareTeam");
        assert_eq!(team["meta"]["lastUpdated"], updated);
        let since = updated.as_str().expect("a time");
        assert_eq!(found(&ann, &format!("CareTeam?_lastUpdated=ge{since}")), [patient.to_string()]);
        assert_eq!(found(&ann, &format!("CareTeam?_lastUpdated=lt{since}")), [""; 0]);
        seen.push(tag(&ann));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4, "{seen:?}");

    let compartment = |person: &Person, query: &str| person.fhir(&format!("Patient/{patient}/CareTeam{query}"));
    for query in [
        "",
        "?status=active",
        "?role=cardiology",
        "?_include=CareTeam:participant",
        "?participant=1,2,3",
        "?_lastUpdated=ge2020",
    ] {
        let bundle = compartment(&ann, query).resource("Bundle");
        assert_eq!((ids(&bundle, "match"), &bundle["total"]), (vec![patient.to_string()], &json!(1)), "{query}");
    }
    for query in
        ["?status=inactive", "?role=surgery", "?participant=999999999", "?_lastUpdated=lt2020", "?patient=999999999"]
    {
        assert_eq!(compartment(&ann, query).resource("Bundle")["total"], 0, "{query}");
    }
    assert_eq!(ann.fhir(&format!("Patient/{alone}/CareTeam")).resource("Bundle")["total"], 0);
    let unknown = bob.fhir("Patient/999999999/CareTeam");
    unknown.refused(404, "not-found");
    assert_eq!(compartment(&bob, "").body, unknown.body);
    ann.fhir(&format!("Patient/{patient}/DocumentReference")).refused(404, "not-found");
}

#[test]
fn everything_of_a_patient_is_one_bundle() {
    let app = TestApp::start();
    let (ann, bob) = (app.signed_up("ann"), app.signed_up("bob"));
    let patient = ann.patient_with(json!({ "medical_history": "Asthma" }));
    let doctor = ann.new_doctor("Dr. Roe");
    ann.new_mapping(patient, doctor);
    let path = format!("Patient/{patient}/$everything");
    let all = [
        format!("Patient/{patient}"),
        format!("CareTeam/{patient}"),
        format!("DocumentReference/{patient}-history"),
        format!("Practitioner/{doctor}"),
        format!("PractitionerRole/{doctor}"),
    ];
    let bundle = ann.fhir(&path).resource("Bundle");
    assert_eq!((named(&bundle, "match"), &bundle["total"]), (all.to_vec(), &json!(5)));
    assert_eq!(named(&ann.fhir(&path.replace('$', "%24")).resource("Bundle"), "match"), all);
    let body = json!({ "resourceType": "Parameters", "parameter": [{ "name": "_type", "valueCode": "CareTeam,Practitioner" }] });
    let posted = ann.post(&format!("/fhir/R4/{path}"), body);
    assert_eq!(named(&posted.resource("Bundle"), "match"), [all[1].clone(), all[3].clone()]);
    ann.send("POST", &format!("/fhir/R4/{path}"), &[], None).resource("Bundle");
    ann.post(&format!("/fhir/R4/{path}"), json!({ "resourceType": "Patient" })).refused(400, "structure");
    let updated =
        ann.patch(&format!("/api/doctors/{doctor}"), json!({ "phone": "12345" })).expect(200, "updated").data();
    let since =
        ann.fhir(&format!("{path}?_since={}", updated["updated_at"].as_str().expect("a time"))).resource("Bundle");
    assert_eq!(named(&since, "match"), [all[1].clone(), all[3].clone(), all[4].clone()]);
    assert_eq!(link(&posted.json(), "self"), Some(format!("{path}?_type=CareTeam%2CPractitioner")));
    for bad in
        ["start=2020", "end=2020", "_count=1", "_since=x", "_summary=count", "_type=Patient&_type=Patient", "_type=,"]
    {
        assert_eq!(ann.fhir(&format!("{path}?{bad}")).status, 400, "{bad}");
    }
    let named = ann.fhir(&format!("{path}?_type=Patient,Bogus")).refused(400, "not-supported");
    assert!(named.contains("Bogus") && named.contains("CareTeam"), "{named}");
    let unknown = bob.fhir("Patient/999999999/$everything");
    unknown.refused(404, "not-found");
    assert_eq!(bob.fhir(&path).body, unknown.body);
    let read = json!([ann.id, "patient", patient]);
    assert_eq!(super::trail(app, "read"), vec![read; 5]);
}

#[test]
fn pages_lead_through_every_record_once_in_every_order_while_others_come_and_go() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let names = ["Zoë Müller", "anna Berg", "Ben", "Berg, Cleo", "Ången Östlund", "ben berg"];
    let mut kept = Vec::new();
    for number in 0..40 {
        let born = format!("19{:02}-0{}-11", 50 + number % 7, 1 + number % 3);
        let id = ann.patient_with(json!({ "name": names[number % names.len()], "date_of_birth": born }));
        if number % 5 != 4 {
            kept.push(id.to_string());
        }
    }
    kept.sort();
    for sort in ["_id", "name", "family", "birthdate", "_lastUpdated"] {
        for direction in ["", "-"] {
            let in_order = |direction: &str| found(&ann, &format!("Patient?_sort={direction}{sort}&_count=500"));
            let (all, mut backwards) = (in_order(direction), in_order(if direction.is_empty() { "-" } else { "" }));
            backwards.reverse();
            assert_eq!(all, backwards, "{direction}{sort}");
            let (mut next, mut walked) =
                (Some(format!("Patient?_sort={direction}{sort}&_count=7&_total=accurate")), Vec::new());
            while let Some(path) = next {
                let bundle = ann.fhir(&path).resource("Bundle");
                assert_eq!(bundle["total"], all.len(), "the number of the first page");
                walked.extend(ids(&bundle, "match"));
                assert!(link(&bundle, "self").expect("self").contains("_count=7"));
                next = link(&bundle, "next");
                // One page later, some have come and some have gone, here before the place and there behind it.
                if walked.len() == 7 {
                    for id in all.iter().filter(|id| !kept.contains(id)).take(1) {
                        ann.delete(&format!("/api/patients/{id}")).expect(200, "deleted");
                    }
                    ann.new_patient("Mia Moser");
                }
            }
            let mut once = walked.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), walked.len(), "{direction}{sort}: somebody came twice");
            assert!(kept.iter().all(|id| walked.contains(id)), "{direction}{sort}: somebody is missing");
        }
    }
    // A cursor leads through the search that it was made for.
    let cursor = link(&ann.fhir("Patient?_sort=name&_count=2&name=b").resource("Bundle"), "next").expect("a page");
    let cursor = cursor.split("_cursor=").nth(1).expect("a cursor").to_string();
    for other in [
        "Patient?_sort=-name&name=b",
        "Patient?_sort=name&name=a",
        "Patient?_sort=name",
        "Practitioner?_sort=name&name=b",
    ] {
        ann.fhir(&format!("{other}&_cursor={cursor}")).refused(400, "value");
    }
    ann.fhir(&format!("Patient?_count=3&_sort=name&name=b&_cursor={cursor}")).resource("Bundle");
    ann.fhir(&format!("Patient?_sort=name&name=b&_cursor={cursor}&_cursor={cursor}")).refused(400, "value");
    ann.fhir("Patient?_cursor=x").refused(400, "value");
}

#[test]
fn a_page_says_how_many_there_are_where_it_knows_or_was_asked() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for _ in 0..5 {
        ann.new_patient("Ann Lee");
    }
    let bundle = |query: &str| ann.fhir(&format!("Patient?{query}")).resource("Bundle");
    for (query, total, shown) in [
        ("", json!(5), 5),
        ("_count=5", json!(5), 5),
        ("_count=4", Value::Null, 4),
        ("_count=4&_total=none", Value::Null, 4),
        ("_count=4&_total=accurate", json!(5), 4),
        ("_count=4&_total=estimate&name=ann", json!(5), 4),
        ("_count=0", json!(5), 0),
        ("_summary=count&name=ann", json!(5), 0),
        ("name=nobody", json!(0), 0),
        ("name=nobody&_count=0", json!(0), 0),
        ("_count=501", json!(5), 5),
        ("_count=99999999999999999999", json!(5), 5),
        ("_count=4&_totalMethod=count", Value::Null, 4),
    ] {
        let bundle = bundle(query);
        assert_eq!(
            (bundle.get("total").unwrap_or(&Value::Null), ids(&bundle, "match").len()),
            (&total, shown),
            "{query}"
        );
        assert_eq!(bundle["type"], "searchset");
        assert!(!link(&bundle, "self").expect("self").contains("_totalMethod"));
    }
    // The last page of several does not know it.
    let next = link(&bundle("_count=4"), "next").expect("a page");
    let last = ann.fhir(&next).resource("Bundle");
    assert_eq!((last.get("total"), link(&last, "next")), (None, None));
    assert_eq!(link(&last, "self"), Some(next));
}

#[test]
fn what_a_read_shows_is_found_whatever_white_space_it_was_written_with() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    for (number, space) in [' ', '\u{a0}', '\u{1680}', '\u{2009}', '\u{3000}', '\u{feff}'].into_iter().enumerate() {
        let patient = ann.patient_with(json!({
            "name": format!("Anna{space}Lee{number}"), "address": format!("Long{space}Road {number}")
        }));
        let doctor = ann.doctor_with(json!({
            "name": format!("Dr.{space}Ada{space}Roe{number}"), "specialization": format!("Ear{space}Nose {number}")
        }));
        ann.new_mapping(patient, doctor);
        let (p, d) = ([patient.to_string()], [doctor.to_string()]);
        for (query, expected) in [
            (format!("Patient?name=Anna%20Lee{number}"), &p),
            (format!("Patient?name:exact=Anna%20Lee{number}"), &p),
            (format!("Patient?name:contains=nna%20Lee{number}"), &p),
            (format!("Patient?family=Lee{number}&given=Anna"), &p),
            (format!("Patient?address=long%20road%20{number}"), &p),
            (format!("Practitioner?name=Ada%20Roe{number}"), &d),
            (format!("PractitionerRole?specialty=ear%20nose%20{number}"), &d),
            (format!("CareTeam?role=ear%20nose%20{number}"), &p),
            (format!("Patient/{patient}/CareTeam?role=ear%20nose%20{number}"), &p),
        ] {
            assert_eq!(found(&ann, &query), expected, "{query} {space:?}");
        }
    }
}
