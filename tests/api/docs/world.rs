//! Requests that do what each operation is for, with the document's own examples.

use serde_json::{Value, json};

use super::document;
use crate::harness::TestApp;
use crate::harness::app::{PASSWORD, Person};
use crate::harness::http::Answer;
use crate::harness::schema::{Document, Operation};

/// Someone who may do everything, and a fresh record of every kind.
pub struct World {
    pub app: TestApp,
    pub admin: Person,
    pub document: Document,
}

impl World {
    pub fn new() -> World {
        let app = TestApp::start();
        let admin = app.admin("admin");
        World { app, admin, document: document() }
    }

    /// A request that does what the operation is for, with the document's own example as its body.
    pub fn request(&self, operation: &Operation) -> (Person, String, Option<Value>) {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let fresh = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut person = self.admin.clone();
        let (patient, doctor) = (person.new_patient("Patient"), person.new_doctor("Doctor"));
        let (mut body, mut member_id, mut share_id) = (example(operation), 0, 0);
        if operation.id.contains("Group") {
            let free = "update care_groups set name = name || id where name = 'Practice Main Street'";
            self.app.sql().execute(free, &[]).expect("the name of the example is free");
        }
        let id = match operation.path.trim_start_matches("/api/").trim_start_matches("admin/") {
            path if path.starts_with("auth/sessions") => {
                self.app.logged_in(&person.email, PASSWORD);
                *person.get("/api/auth/sessions").ids().last().expect("the new session")
            }
            path if path.starts_with("groups/") => {
                let made = person.post("/api/admin/groups", json!({ "name": format!("Group {fresh}") }));
                let (group, member) = (made.expect(201, "created"), self.app.signed_up(&format!("user{fresh}")));
                member_id = member.id;
                person.send("PUT", &format!("{}/members/{member_id}", group.location()), &[], None);
                group.id()
            }
            path if path.starts_with("emergency-access") && operation.id != "listEmergencyAccess" => {
                let (owner, taker) =
                    (self.app.signed_up(&format!("owner{fresh}")), self.app.signed_up(&format!("taker{fresh}")));
                // The name of the example, which only this patient has.
                let free = "update patients set name = name || id where name = 'Zoë Müller'";
                self.app.sql().execute(free, &[]).expect("the name of the example is free");
                owner.new_patient("Zoë Müller");
                self.admin.gives_the_right(&taker);
                let grant = match operation.id {
                    "askForEmergencyAccess" => 0,
                    _ => taker.asks_for("Zoë Müller").expect(201, "created").data()["grants"][0]["id"]
                        .as_i64()
                        .expect("an id"),
                };
                if !operation.id.starts_with("admin") {
                    person = taker;
                }
                grant
            }
            path if path.starts_with("users/") => self.app.signed_up(&format!("user{fresh}")).id,
            path if path.starts_with("doctors/") => doctor,
            path if path.starts_with("patients/{id}") || operation.id == "listDoctorsOfPatient" => patient,
            path if path.contains("mappings/") => person.new_mapping(patient, doctor),
            _ => 0,
        };
        let path = operation.path.replace("{id}", &id.to_string()).replace("{patient_id}", &patient.to_string());
        let path = path.replace("{version}", "1");
        if let Some(deleted) = path.strip_suffix("/undelete") {
            person.delete(deleted).expect(200, "deleted");
        }
        if operation.path.ends_with("{share_id}") {
            let with = json!({ "user_id": self.app.signed_up(&format!("user{fresh}")).id });
            share_id = person.post(&format!("/api/patients/{patient}/shares"), with).expect(201, "created").id();
        }
        let path = path.replace("{user_id}", &member_id.to_string()).replace("{share_id}", &share_id.to_string());
        match operation.id {
            "register" => replace(&mut body, "email", json!(format!("new{fresh}@example.org"))),
            "login" => replace(&mut body, "email", json!(person.email)),
            "refresh" => {
                let session = self.app.logged_in(&person.email, PASSWORD);
                replace(&mut body, "refresh_token", json!(session.refresh_token));
            }
            "logout" => person = self.app.logged_in(&person.email, PASSWORD),
            "changePassword" => person = self.app.signed_up(&format!("user{fresh}")),
            "adminCreateUser" => replace(&mut body, "email", json!(format!("made{fresh}@example.org"))),
            "resetPassword" => {
                let user = self.app.signed_up(&format!("user{fresh}"));
                replace(&mut body, "token", json!(self.admin.reset_token(user.id)));
            }
            "prepareTotp" => person = self.app.signed_up(&format!("user{fresh}")),
            "confirmTotp" => {
                person = self.app.signed_up(&format!("user{fresh}"));
                replace(&mut body, "code", json!(person.try_totp().expect("a second factor").code()));
            }
            "removeTotp" => {
                person = self.app.signed_up(&format!("user{fresh}"));
                replace(&mut body, "code", json!(person.try_recovery_code().expect("a code")));
            }
            "createMapping" => {
                replace(&mut body, "patient_id", json!(patient));
                replace(&mut body, "doctor_id", json!(doctor));
            }
            "adminTransferPatient" | "adminTransferPatients" => {
                replace(&mut body, "to", json!(self.app.signed_up(&format!("receiver{fresh}")).id));
            }
            "sharePatient" | "adminSharePatient" => {
                replace(&mut body, "user_id", json!(self.app.signed_up(&format!("user{fresh}")).id));
            }
            "createDoctor" => replace(&mut body, "license_number", json!(format!("BE-{fresh}"))),
            _ => {}
        }
        (person, path, body)
    }

    pub fn send(&self, operation: &Operation) -> Answer {
        let (person, path, body) = self.request(operation);
        person.send(&operation.method, &path, &[], body)
    }

    /// The same with one field of the body changed.
    pub fn send_with(&self, operation: &Operation, field: &str, value: Value) -> Answer {
        let (person, path, body) = self.request(operation);
        let mut body = body.expect("a body");
        if operation.id.ends_with("harePatient") && field == "email" {
            // One of the two says with whom.
            body["user_id"] = Value::Null;
        }
        body[field] = value;
        person.send(&operation.method, &path, &[], Some(body))
    }
}

pub fn example(operation: &Operation) -> Option<Value> {
    operation.json.pointer("/requestBody/content/application~1json/example").cloned()
}

fn replace(body: &mut Option<Value>, field: &str, value: Value) {
    body.as_mut().expect("a body")[field] = value;
}
