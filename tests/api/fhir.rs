//! FHIR R4 below `/fhir/R4`: what every body keeps to, and in the files of this folder reading, searching, and what may be asked.

mod brute_force;
mod fuzz;
mod history;
mod limits;
mod negotiation;
mod reading;
mod search;

use serde_json::{Value, json};

use crate::harness::app::Person;
use crate::harness::http::Answer;
use crate::harness::{TestApp, postgres};

/// What R4 calls the kinds of errors (its code system `issue-type`).
const ISSUE_TYPES: [&str; 29] = [
    "invalid",
    "structure",
    "required",
    "value",
    "invariant",
    "security",
    "login",
    "unknown",
    "expired",
    "forbidden",
    "suppressed",
    "processing",
    "not-supported",
    "duplicate",
    "multiple-matches",
    "not-found",
    "deleted",
    "too-long",
    "code-invalid",
    "extension",
    "too-costly",
    "business-rule",
    "conflict",
    "transient",
    "lock-error",
    "no-store",
    "exception",
    "timeout",
    "throttled",
];

/// Checks what holds for every body: its type, the shape of an outcome, and two rules that validators leave out.
#[track_caller]
pub fn check(answer: &Answer) {
    let (json, text) = (answer.json(), String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/fhir+json; charset=utf-8"), "{text}");
    holds_something(&json);
    if answer.status < 300 {
        assert_ne!(json["resourceType"], "OperationOutcome", "{text}");
        return;
    }
    assert_eq!(json["resourceType"], "OperationOutcome", "{} {text}", answer.status);
    let issues = json["issue"].as_array().expect("issues");
    assert!((1..=20).contains(&issues.len()), "{text}");
    for issue in issues {
        assert_eq!(issue["severity"], "error", "{text}");
        assert!(issue["diagnostics"].is_string(), "{text}");
        assert!(ISSUE_TYPES.contains(&issue["code"].as_str().expect("a code")), "{text}");
    }
}

/// The entries of reads or lists, each with its actor, its resource and what was shown. Stops the service, which writes them.
pub fn trail(app: TestApp, action: &str) -> Vec<Value> {
    let database = app.database.clone();
    app.stop();
    let text =
        "select jsonb_build_array(actor_id, resource, coalesce(to_jsonb(resource_id), to_jsonb(resource_ids))) as entry
                  from audit_trail where action = $1 order by id";
    let rows = postgres::connect(&database).query(text, &[&action]).expect("entries");
    rows.iter().map(|row| row.get("entry")).collect()
}

/// No member is null, an empty text, an empty list or an empty object, and a telecom with a value has a system (cpt-2).
#[track_caller]
fn holds_something(value: &Value) {
    match value {
        Value::Null => panic!("null in a resource"),
        Value::String(text) => assert!(!text.trim().is_empty(), "an empty text in a resource"),
        Value::Array(items) => {
            assert!(!items.is_empty(), "an empty list in a resource");
            items.iter().for_each(holds_something);
        }
        Value::Object(members) => {
            assert!(!members.is_empty(), "an empty object in a resource");
            for point in members.get("telecom").and_then(Value::as_array).into_iter().flatten() {
                assert!(point.get("value").is_none() || point.get("system").is_some(), "{point}");
            }
            members.values().for_each(holds_something);
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Answer {
    /// A resource of this type, with 200.
    #[track_caller]
    pub fn resource(&self, kind: &str) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        crate::contract::check(self);
        assert_eq!(self.json()["resourceType"], kind);
        self.json()
    }

    /// A refusal with this status, whose first issue has this code; its words.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        crate::contract::check(self);
        assert_eq!(self.json()["issue"][0]["code"], code, "{text}");
        self.json()["issue"][0]["diagnostics"].as_str().expect("words").to_string()
    }
}

impl Person {
    /// What is below the base.
    pub fn fhir(&self, path: &str) -> Answer {
        self.get(&format!("/fhir/R4/{path}"))
    }

    /// A patient with these fields over good ones.
    pub fn patient_with(&self, fields: Value) -> i64 {
        self.post(
            "/api/patients",
            over(json!({ "name": "Ann Lee", "date_of_birth": "1990-04-23", "gender": "female" }), fields),
        )
        .expect(201, "created")
        .id()
    }

    /// The same for a doctor.
    pub fn doctor_with(&self, fields: Value) -> i64 {
        let doctor = over(json!({ "name": "Dr. Ada Roe", "specialization": "Cardiology" }), fields);
        self.post("/api/doctors", doctor).expect(201, "created").id()
    }
}

fn over(mut record: Value, fields: Value) -> Value {
    for (name, value) in fields.as_object().expect("fields") {
        record[name] = value.clone();
    }
    record
}
