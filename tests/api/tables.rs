//! Lists as CSV, for clients that prefer it: the records of the JSON answer, cell by cell.

use serde_json::{Value, json};

use crate::harness::http::Answer;
use crate::harness::{Person, TestApp, eventually};

const CSV: [(&str, &str); 1] = [("Accept", "text/csv")];
/// Texts that a spreadsheet or a CSV reader might take for something else.
const TEXTS: [&str; 9] =
    ["=1+1", "'=x", "''-", "@x", "a, \"b\"; c", "Ångström 山田", "line\r\nbreak", "\tindented", "'t Hart"];

/// The list as CSV, after a look at its type.
pub fn table(person: &Person, target: &str) -> (Answer, Vec<Vec<String>>) {
    let answer = person.send("GET", target, &CSV, None);
    let text = String::from_utf8(answer.body.clone()).expect("UTF-8");
    assert_eq!(answer.status, 200, "{target}: {text}");
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"), "{target}");
    assert_eq!(answer.header("vary"), Some("Accept"), "{target}");
    assert!(text.ends_with("\r\n"), "{target}");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let line = |line: Result<csv::StringRecord, _>| line.expect("a line").iter().map(str::to_string).collect();
    (answer, reader.records().map(line).collect())
}

/// A JSON value as its cell.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(ids) => ids.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let runs = text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r']);
    if runs { format!("'{text}") } else { text }
}

/// Walks all pages as CSV and as JSON, and compares them with their headers; returns how many records there are.
fn assert_same(person: &Person, start: &str, columns: &[&str]) -> usize {
    let (mut count, mut target) = (0, Some(start.to_string()));
    while let Some(here) = target {
        let json = person.get(&here).expect(200, "success");
        let (answer, lines) = table(person, &here);
        assert_eq!(lines[0], columns, "{here}");
        let records = json.data().as_array().expect("a list").clone();
        let cells = |record: &Value| columns.iter().map(|column| cell(&record[column])).collect::<Vec<_>>();
        assert_eq!(lines[1..], records.iter().map(cells).collect::<Vec<_>>(), "{here}");
        for header in ["link", "x-total-count", "vary"] {
            assert_eq!(answer.header(header), json.header(header), "{here}");
        }
        count += records.len();
        target = answer.next();
    }
    count
}

const PATIENT: [&str; 11] = [
    "id",
    "name",
    "date_of_birth",
    "gender",
    "phone",
    "email",
    "address",
    "medical_history",
    "created_by",
    "created_at",
    "updated_at",
];
const DOCTOR: [&str; 10] = [
    "id",
    "name",
    "specialization",
    "phone",
    "email",
    "license_number",
    "years_of_experience",
    "created_by",
    "created_at",
    "updated_at",
];

#[test]
fn a_list_as_csv_has_the_records_of_the_json_page_by_page() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    for (place, text) in TEXTS.iter().enumerate() {
        let name = text.split_whitespace().next().expect("a word");
        let patient = json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "other", "phone": "+49 30 1234567",
                              "address": text, "medical_history": format!("x{text}\n\"") });
        ann.post("/api/patients", patient).expect(201, "created");
        let doctor = json!({ "name": name, "specialization": name, "license_number": format!("={place}"),
                             "years_of_experience": place, "email": "a+b@example.org" });
        ann.post("/api/doctors", doctor).expect(201, "created");
    }
    ann.new_patient("Nulls");
    ann.new_doctor("Nulls");
    for (person, path, columns) in [
        (&ann, "/api/patients", &PATIENT[..]),
        (&root, "/api/admin/patients", &PATIENT),
        (&ann, "/api/doctors", &DOCTOR),
        (&root, "/api/admin/doctors", &DOCTOR),
    ] {
        for query in ["", "?limit=3", "?limit=4&sort=name&count=true", "?limit=2&sort=-updated_at&q=e"] {
            let records = assert_same(person, &format!("{path}{query}"), columns);
            assert!(records == 10 || query.contains("q="), "{path}{query}: {records}");
        }
        assert_same(person, &format!("{path}?fields=email,name&limit=7"), &["id", "name", "email"]);
        assert_same(person, &format!("{path}?fields=id"), &["id"]);
        assert_eq!(assert_same(person, &format!("{path}?q=nobody&count=true"), columns), 0);
        let empty = table(person, &format!("{path}?q=nobody")).0;
        assert_eq!(String::from_utf8(empty.body).expect("UTF-8"), columns.join(",") + "\r\n", "the header alone");
        let (whole, head) = (table(person, path).0, person.send("HEAD", path, &CSV, None));
        assert_eq!((head.status, head.body.len()), (200, 0));
        for header in ["content-type", "content-length", "vary", "link"] {
            assert_eq!(head.header(header), whole.header(header), "{path}");
        }
    }
}

#[test]
fn the_trail_is_csv_as_well() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let ids = [ann.new_patient("=One"), ann.new_patient("\"Two\"")];
    ann.patch(&format!("/api/patients/{}", ids[1]), json!({ "address": "a\nb" })).expect(200, "updated");
    table(&ann, "/api/patients");
    let listed = || table(&root, "/api/admin/audit?action=list").1;
    eventually("the list in the trail", || listed().len() == 2);
    let columns = listed()[0].clone();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    assert_same(&root, "/api/admin/audit?limit=2", &columns);
    let column = |name| columns.iter().position(|column| *column == name).expect(name);
    assert_eq!(listed()[1][column("resource_ids")], format!("{} {}", ids[0], ids[1]), "as a list in JSON is recorded");
    let updates = table(&root, "/api/admin/audit?action=update&resource=patient").1;
    let before: Value = serde_json::from_str(&updates[1][column("before")]).expect("JSON");
    assert_eq!(before["name"], "\"Two\"");
    assert_eq!(updates[1][column("resource_ids")], "");
    assert_eq!(app.audited("create").len(), 2);
}

#[test]
fn json_is_the_answer_to_everyone_who_does_not_prefer_csv() {
    let app = TestApp::start();
    let root = app.admin("root");
    let type_of = |target: &str, accept: &str| {
        let answer = root.send("GET", target, &[("Accept", accept)], None);
        assert_eq!(answer.status, 200, "{accept}");
        answer.header("content-type").expect("a type").split(';').next().expect("a type").to_string()
    };
    for accept in ["*/*", "application/json", "text/csv;q=0.5, application/json", "text/csv;q=0", "image/png", ";,"] {
        assert_eq!(type_of("/api/patients", accept), "application/json", "{accept}");
    }
    for accept in ["text/*", "text/csv, application/json;q=0.9", "application/json;q=0.2, text/csv;q=0.3"] {
        assert_eq!(type_of("/api/patients", accept), "text/csv", "{accept}");
    }
    let twice =
        root.send("GET", "/api/patients", &[("Accept", "application/json;q=0.5"), ("Accept", "text/csv")], None);
    assert_eq!(twice.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    for path in ["/api/mappings", "/api/admin/mappings", "/api/admin/users", "/api/auth/sessions", "/api/auth/me"] {
        let answer = root.send("GET", path, &CSV, None).expect(200, "success");
        assert_eq!((answer.header("content-type"), answer.header("vary")), (Some("application/json"), None), "{path}");
    }
    // A refusal is always the envelope.
    for (path, status, word) in [
        ("/api/patients?limit=0", 400, "invalid"),
        ("/api/admin/audit?shoe_size=40", 400, "invalid"),
        ("/api/patients/999", 404, "failed"),
        ("/api/none", 404, "failed"),
    ] {
        let answer = root.send("GET", path, &CSV, None).expect(status, word);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    }
    app.anyone().send("GET", "/api/patients", &CSV, None).expect(401, "forbidden");
    app.signed_up("ann").send("GET", "/api/admin/audit", &CSV, None).expect(403, "forbidden");
}
