//! The conventions of the contract, on every route and for every kind of caller.
//!
//! The tests walk [`ROUTES`], so a new line of the table is tested from the day it is added: `access` asks who may call it,
//! `routing` how its path and methods behave, `bodies` which bodies it takes, `values` how it meets strange values, `headers` what
//! every answer carries, `refusals` how the transport refuses requests that never become complete. All share the people, the records
//! and the rules of an answer in this file.

mod access;
mod bodies;
mod headers;
mod refusals;
mod routing;
mod values;

use healthcare_backend::internals::{Access, Method, ROUTES, Route};
use serde_json::{Value, json};

use crate::harness::TestApp;
use crate::harness::app::{PASSWORD, Person};
use crate::harness::http::Answer;

/// Three people, and one record of each kind that the first of them owns.
pub struct World<'a> {
    pub app: &'a TestApp,
    pub owner: Person,
    pub other: Person,
    pub admin: Person,
    pub patient_id: i64,
    /// Assigned to the patient, so that it cannot be deleted just so.
    pub doctor_id: i64,
    pub unassigned_doctor_id: i64,
    pub mapping_id: i64,
    /// Of the owner, who has deleted them.
    pub deleted_patient_id: i64,
    pub deleted_doctor_id: i64,
    pub deleted_mapping_id: i64,
    /// Of the owner, and not the one in use.
    pub session_id: i64,
    /// A user whom only admins may see, in a care group.
    pub user_id: i64,
    pub group_id: i64,
    /// Of the owner's patient.
    pub share_id: i64,
    /// Open emergency access of the owner, to a patient of somebody else.
    pub grant_id: i64,
    /// The name of another patient of theirs.
    pub stranger: String,
}

impl<'a> World<'a> {
    /// New people and new records. `tag` keeps their e-mail addresses apart from those of other worlds.
    pub fn new(app: &'a TestApp, tag: &str) -> World<'a> {
        let named = |role: &str| app.signed_up(&format!("{role}-{tag}"));
        let (owner, other, admin) = (named("owner"), named("other"), app.admin(&format!("admin-{tag}")));
        let patient_id = owner.patient_with(json!({ "name": "Owned", "medical_history": "Owned" }));
        let doctor_id = owner.new_doctor("Owned");
        let (mapping_id, unassigned_doctor_id) =
            (owner.new_mapping(patient_id, doctor_id), owner.new_doctor("Unassigned"));
        let (deleted_patient_id, deleted_doctor_id) = (owner.new_patient("Owned"), owner.new_doctor("Owned"));
        let deleted_mapping_id = owner.new_mapping(patient_id, owner.new_doctor("Owned"));
        for path in [
            format!("/api/patients/{deleted_patient_id}"),
            format!("/api/doctors/{deleted_doctor_id}"),
            format!("/api/mappings/{deleted_mapping_id}"),
        ] {
            owner.delete(&path).expect(200, "deleted");
        }
        let session_id = app.logged_in(&owner.email, PASSWORD).get("/api/auth/sessions");
        let session_id = session_id.expect(200, "success").data()[0]["id"].as_i64().expect("an id");
        let user_id = named("victim").id;
        let group = admin.post("/api/admin/groups", json!({ "name": format!("Group {tag}") })).expect(201, "created");
        let group_id = group.id();
        admin.send("PUT", &format!("{}/members/{user_id}", group.location()), &[], None).expect(200, "updated");
        let person = json!({ "user_id": user_id });
        let share_id = owner.post(&format!("/api/patients/{patient_id}/shares"), person).expect(201, "created").id();
        admin.gives_the_right(&owner);
        let stranger = format!("Stranger {tag}");
        let keeper = named("keeper");
        keeper.new_patient("Another stranger");
        keeper.new_patient(&stranger);
        let grant = "insert into patient_grants (patient_id, user_id, kind, granted_by, reason, expires_at)
                     select max(id) - 1, $1, 'emergency', $1, 'unconscious', now() + interval '1 hour' from patients
                     returning id";
        let grant_id = app.sql().query_one(grant, &[&owner.id]).expect("a grant").get(0);
        World {
            app,
            owner,
            other,
            admin,
            patient_id,
            doctor_id,
            unassigned_doctor_id,
            mapping_id,
            deleted_patient_id,
            deleted_doctor_id,
            deleted_mapping_id,
            session_id,
            user_id,
            group_id,
            share_id,
            grant_id,
            stranger,
        }
    }

    /// The path of a route with the ids of this world.
    pub fn target(&self, route: &Route) -> String {
        let pattern = route.pattern;
        let id = match pattern {
            _ if pattern.starts_with("/fhir/R4/Practitioner") => self.doctor_id,
            _ if pattern.starts_with("/fhir/R4/") => self.patient_id,
            _ if pattern.contains("/admin/users") => self.user_id,
            _ if pattern.contains("/admin/groups") => self.group_id,
            _ if pattern.contains("/sessions") => self.session_id,
            _ if pattern.contains("/emergency-access") => self.grant_id,
            _ if pattern.contains("/patients/{id}/undelete") => self.deleted_patient_id,
            _ if pattern.contains("/doctors/{id}/undelete") => self.deleted_doctor_id,
            _ if pattern.contains("/mappings/{id}/undelete") => self.deleted_mapping_id,
            _ if pattern.contains("/mappings") => self.mapping_id,
            _ if pattern.contains("/patients") => self.patient_id,
            _ if pattern.contains("/doctors") && route.method == Method::Delete => self.unassigned_doctor_id,
            _ if pattern.contains("/doctors") => self.doctor_id,
            _ => 0,
        };
        let target = pattern.replace("{patient_id}", &self.patient_id.to_string());
        let target = target.replace("{user_id}", &self.user_id.to_string()).replace("{version}", "1");
        let target = target.replace("{share_id}", &self.share_id.to_string());
        let target = target
            .replace("DocumentReference/{id}", "DocumentReference/{id}-history")
            .replace("{id}", &id.to_string())
            .replace("{vid}", "1");
        assert!(!target.contains('{'), "add a value here for the place in {pattern}");
        assert!(id != 0 || !pattern.contains("{id}"), "add here which record {pattern} is about");
        target
    }

    /// A body that the route accepts from this person, but for the code of a second factor; `None` if it takes none.
    pub fn body(&self, route: &Route, person: &Person) -> Option<Value> {
        let unique = format!("{}-{}", person.id, self.mapping_id);
        Some(match (route.method, route.pattern) {
            _ if !route.has_fields => return None,
            (_, "/api/auth/register") => {
                json!({ "name": "New", "email": format!("new-{unique}@example.org"), "password": PASSWORD })
            }
            (_, "/api/auth/login") => json!({ "email": self.owner.email, "password": PASSWORD }),
            (_, "/api/auth/refresh") => {
                json!({ "refresh_token": self.app.logged_in(&self.owner.email, PASSWORD).refresh_token })
            }
            (_, "/api/auth/me") => json!({ "name": "Sent" }),
            (_, "/api/auth/totp") => json!({ "current_password": PASSWORD }),
            (_, "/api/auth/totp/confirm") => json!({ "code": "123456" }),
            (_, "/api/auth/totp/remove") => json!({ "current_password": PASSWORD, "code": "123456" }),
            (_, "/api/auth/forgot") => json!({ "email": self.owner.email }),
            (_, "/api/auth/reset") => {
                json!({ "token": self.admin.reset_token(self.user_id), "new_password": "another horse battery" })
            }
            (Method::Post, "/api/admin/users") => {
                json!({ "name": "New", "email": format!("made-{unique}@example.org") })
            }
            (_, "/api/auth/password") => {
                json!({ "current_password": PASSWORD, "new_password": "another horse battery" })
            }
            (_, "/api/emergency-access") => {
                json!({ "name": self.stranger, "date_of_birth": "1990-04-23", "reason": "unconscious", "password": PASSWORD })
            }
            (_, pattern) if pattern.ends_with("/review") => json!({ "verdict": "justified" }),
            (_, pattern) if pattern.ends_with("/transfer") => json!({ "to": self.other.id }),
            (_, pattern) if pattern.ends_with("/shares") => json!({ "user_id": self.other.id }),
            (_, pattern) if pattern.contains("/patients") => {
                json!({ "name": "Sent", "date_of_birth": "1990-04-23", "gender": "other" })
            }
            (_, pattern) if pattern.contains("/doctors") => json!({ "name": "Sent", "specialization": "Surgery" }),
            (Method::Post, "/api/mappings") => {
                json!({ "patient_id": self.patient_id, "doctor_id": self.owner.new_doctor("Second") })
            }
            (_, "/api/mappings/{id}") => json!({ "notes": "Sent" }),
            (_, "/api/admin/users/{id}") => json!({ "role": "user" }),
            (_, pattern) if pattern.contains("/groups") => json!({ "name": format!("Sent {unique}") }),
            (method, pattern) => panic!("add a good body here for {} {pattern}", method.name()),
        })
    }

    /// Sends what the route takes, as this person.
    pub fn send(&self, route: &Route, person: &Person) -> Answer {
        let mut body = self.body(route, person);
        // With a code that is good now: from here on, this person has a second factor, or had one.
        let code = match route.pattern {
            "/api/auth/totp/confirm" => person.try_totp().map(|totp| totp.code()),
            "/api/auth/totp/remove" => person.try_recovery_code(),
            _ => None,
        };
        if let (Some(body), Some(code)) = (&mut body, code) {
            body["code"] = json!(code);
        }
        let answer = person.send(route.method.name(), &self.target(route), &[], body);
        check(&answer);
        answer
    }

    /// Someone whom the route lets in.
    pub fn welcome(&self, route: &Route) -> &Person {
        if route.access() == Access::Admin { &self.admin } else { &self.owner }
    }
}

/// `GET /api/patients/{id}`, for the messages of failed tests.
pub fn named(route: &Route) -> String {
    format!("{} {}", route.method.name(), route.pattern)
}

/// The routes that answer in an envelope, or with a page: all but those of FHIR, which `fhir.rs` tests.
pub fn plain_routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| !route.is_fhir)
}

/// The routes whose bodies have fields.
pub fn routes_with_fields() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| route.has_fields)
}

/// Checks what holds for every answer of the service, whichever part of it made the answer.
#[track_caller]
pub fn check(answer: &Answer) {
    let text = format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body));
    let id = answer.header("x-request-id").unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    assert!((1..=64).contains(&id.len()) && id.bytes().all(plain), "X-Request-Id: {text}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{text}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{text}");
    let server = answer.header("server").unwrap_or_default();
    assert!(!server.contains(|sign: char| sign.is_ascii_digit() || sign == '/'), "Server names a version: {text}");
    for (name, _) in &answer.headers {
        assert_eq!(answer.headers.iter().filter(|(other, _)| other == name).count(), 1, "{name} twice: {text}");
    }
    if matches!(answer.status, 204 | 303 | 304) {
        assert!(answer.body.is_empty() && answer.header("content-type").is_none(), "{text}");
    } else if !answer.body.is_empty() && answer.header("content-type").is_some_and(|media| media.contains("fhir")) {
        crate::fhir::check(answer);
    } else if !answer.body.is_empty() && !is_page(answer) {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{text}");
        check_envelope(answer);
    }
    match answer.status {
        201 | 303 => assert!(answer.header("location").is_some(), "{text}"),
        401 if !answer.body.is_empty() && answer.json()["status"] != "invalid" => {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{text}");
        }
        405 => assert!(answer.header("allow").is_some(), "{text}"),
        429 | 503 => {
            let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
            assert!(seconds.is_some_and(|seconds| (1..=3600).contains(&seconds)), "Retry-After: {text}");
        }
        _ => {}
    }
}

/// What is not in an envelope: the numbers, the document, and the page that shows it.
fn is_page(answer: &Answer) -> bool {
    let types = ["text/plain; version=0.0.4; charset=utf-8", "text/html; charset=utf-8"];
    types.contains(&answer.header("content-type").unwrap_or_default()) || answer.body.starts_with(b"{\"openapi\"")
}

/// Exactly `status`, `message` and `data`, in the words of the contract's table.
fn check_envelope(answer: &Answer) {
    let (json, text) = (answer.json(), String::from_utf8_lossy(&answer.body));
    let fields: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(fields.len(), 3, "{text}");
    let word = json["status"].as_str().expect("a word");
    let words: &[&str] = match answer.status {
        200 => &["success", "updated", "deleted"],
        202 => &["success"],
        201 => &["created"],
        400 => &["incomplete", "invalid"],
        401 => &["invalid", "forbidden"],
        403 => &["forbidden"],
        404 | 405 | 408 | 409 | 412 | 429 | 500 | 503 => &["failed"],
        413 | 414 | 415 | 417 | 431 | 501 | 505 => &["invalid"],
        status => panic!("{status} is not a status of the contract: {text}"),
    };
    assert!(words.contains(&word), "{} is not {word}: {text}", answer.status);
    assert!(json["message"].as_str().is_some_and(|message| !message.trim().is_empty()), "{text}");
    assert!(json.get("data").is_some(), "{text}");
    if answer.status == 400 {
        let errors = json["data"]["errors"].as_array().expect("data.errors");
        assert!((1..=20).contains(&errors.len()), "{text}");
        let more = json["data"].get("more");
        assert!(more.is_none_or(|more| more.as_u64() > Some(0) && errors.len() == 20), "{text}");
        let data = json["data"].as_object().expect("an object");
        assert!(data.keys().all(|key| key == "errors" || key == "more"), "{text}");
        for error in errors {
            assert!(error["field"].is_string() && error["message"].is_string(), "{text}");
            assert_eq!(error.as_object().map(|error| error.len()), Some(2), "{text}");
        }
    } else if answer.status == 401 && json["data"].is_object() {
        assert_eq!(json["data"], json!({ "code_required": true }), "{text}");
    } else if answer.status >= 400 || word == "deleted" {
        assert_eq!(json["data"], Value::Null, "{text}");
    }
}
