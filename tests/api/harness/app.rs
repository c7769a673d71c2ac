//! Servers for tests: each with a database and a port of its own, and people who log in to it.

use std::net::SocketAddr;

use healthcare_backend::{Config, Service};
use serde_json::{Value, json};

use super::http::{self, Answer};
use super::postgres;
use super::totp::Totp;

/// A password that the rules accept.
pub const PASSWORD: &str = "correct horse battery";
/// What the services of the tests sign access tokens with.
pub const SECRET: &str = "a secret of the tests, 32 bytes or more";

/// One running service.
pub struct TestApp {
    service: Option<Service>,
    pub address: SocketAddr,
    /// The connection string of its database.
    pub database: String,
}

impl TestApp {
    /// A service with the default settings, except for a cheap hash, few threads and no rate limit.
    pub fn start() -> TestApp {
        TestApp::with(|_| {})
    }

    /// The same, with other settings.
    pub fn with(change: impl FnOnce(&mut Config)) -> TestApp {
        TestApp::on(&postgres::new_database(), change)
    }

    /// A service (another node, perhaps) on a database that there is already.
    pub fn on(database: &str, change: impl FnOnce(&mut Config)) -> TestApp {
        let mut config = Config {
            port: 0,
            database_url: Some(database.to_string()),
            jwt_secret: Some(SECRET.into()),
            bcrypt_cost: 4,
            allow_weak_hashing: true,
            workers: 3,
            database_pool: 5,
            auth_rate_per_minute: 0,
            changes_per_minute: 0,
            // A mail program that takes every message.
            sendmail: Some("true".into()),
            mail_from: Some("Clinic <clinic@example.org>".into()),
            reset_url: Some("https://clinic.example/reset?token=".into()),
            ..Config::default()
        };
        change(&mut config);
        let service = Service::start(config).expect("a running service");
        TestApp { address: service.address(), service: Some(service), database: database.to_string() }
    }

    /// A connection to the service's database.
    pub fn sql(&self) -> ::postgres::Client {
        postgres::connect(&self.database)
    }

    /// Waits until this many statements on the service's database are blocked by a lock.
    pub fn wait_until_blocked(&self, statements: i64) {
        postgres::wait_until_blocked(&self.database, statements);
    }

    /// Nobody in particular.
    pub fn anyone(&self) -> Person {
        Person { address: self.address, id: 0, email: String::new(), token: None, refresh_token: String::new() }
    }

    /// A new user who has logged in.
    pub fn signed_up(&self, name: &str) -> Person {
        self.anyone().signed_up(name)
    }

    /// A new admin who has logged in.
    pub fn admin(&self, name: &str) -> Person {
        let user = self.signed_up(name);
        self.sql().execute("update users set role = 'admin' where id = $1", &[&user.id]).expect("a new role");
        self.logged_in(&user.email, PASSWORD)
    }

    /// A further session of a user.
    pub fn logged_in(&self, email: &str, password: &str) -> Person {
        self.anyone().logged_in(email, password)
    }

    /// Tries to log in.
    pub fn login(&self, email: &str, password: &str) -> Answer {
        self.login_from(email, password, &[])
    }

    /// Tries to log in with further headers, such as `X-Forwarded-For`.
    pub fn login_from(&self, email: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
        self.anyone().send("POST", "/api/auth/login", headers, Some(json!({ "email": email, "password": password })))
    }

    /// The value of a sample of `/metrics`, given its name with its labels.
    pub fn metric(&self, sample: &str) -> f64 {
        http::metric(self.address, sample)
    }

    /// The audit entries with this action, oldest first, as JSON rows of the whole trail.
    pub fn audited(&self, action: &str) -> Vec<Value> {
        let query = "select to_jsonb(audit_trail) as entry from audit_trail where action = $1 order by id";
        self.sql().query(query, &[&action]).expect("entries").iter().map(|row| row.get("entry")).collect()
    }

    /// Stops the service and waits for its end.
    pub fn stop(mut self) {
        if let Some(service) = self.service.take() {
            service.stop().expect("a clean stop");
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            let _ = service.stop();
        }
    }
}

/// Someone who sends requests, with a token if logged in.
#[derive(Clone)]
pub struct Person {
    pub address: SocketAddr,
    pub id: i64,
    pub email: String,
    pub token: Option<String>,
    pub refresh_token: String,
}

impl Person {
    /// The same person at another node.
    pub fn at(&self, app: &TestApp) -> Person {
        Person { address: app.address, ..self.clone() }
    }

    /// The same person with this token.
    pub fn with_token(&self, token: &str) -> Person {
        Person { token: Some(token.to_string()), ..self.clone() }
    }

    /// A new user who has logged in.
    pub fn signed_up(&self, name: &str) -> Person {
        let email = format!("{name}@example.org");
        let body = json!({ "name": name, "email": email, "password": PASSWORD });
        self.post("/api/auth/register", body).expect(201, "created");
        self.logged_in(&email, PASSWORD)
    }

    /// A further session of a user.
    pub fn logged_in(&self, email: &str, password: &str) -> Person {
        let body = json!({ "email": email, "password": password });
        let data = self.post("/api/auth/login", body).expect(200, "success").data();
        Person {
            address: self.address,
            id: data["user"]["id"].as_i64().expect("an id"),
            email: email.to_string(),
            token: Some(data["token"].as_str().expect("a token").to_string()),
            refresh_token: data["refresh_token"].as_str().expect("a refresh token").to_string(),
        }
    }

    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], None)
    }

    pub fn post(&self, target: &str, body: Value) -> Answer {
        self.send("POST", target, &[], Some(body))
    }

    pub fn put(&self, target: &str, body: Value) -> Answer {
        self.send("PUT", target, &[], Some(body))
    }

    pub fn patch(&self, target: &str, body: Value) -> Answer {
        self.send("PATCH", target, &[], Some(body))
    }

    pub fn delete(&self, target: &str) -> Answer {
        self.send("DELETE", target, &[], None)
    }

    /// The session of the token.
    pub fn session_id(&self) -> i64 {
        let token = self.token.as_deref().expect("a token");
        super::jwt::claims(token)["sid"].as_i64().expect("a session id")
    }

    /// Trades the refresh token for a new pair.
    pub fn refresh(&self) -> Answer {
        self.post("/api/auth/refresh", json!({ "refresh_token": self.refresh_token }))
    }

    /// The same person with the pair of a login or refresh.
    pub fn with_pair(&self, grant: &Value) -> Person {
        let text = |name: &str| grant[name].as_str().expect("a text").to_string();
        Person { refresh_token: text("refresh_token"), ..self.with_token(&text("token")) }
    }

    /// Changes the password, and goes on with the new pair.
    pub fn with_new_password(&self, from: &str, to: &str) -> Person {
        let change = json!({ "current_password": from, "new_password": to });
        self.with_pair(&self.post("/api/auth/password", change).expect(200, "updated").data())
    }

    /// As an admin: a new one-time token for this user.
    pub fn reset_token(&self, user_id: i64) -> String {
        let made = self.send("POST", &format!("/api/admin/users/{user_id}/reset"), &[], None).expect(201, "created");
        made.data()["token"].as_str().expect("a token").to_string()
    }

    /// Sets up a second factor, which is not in force yet; `None` if this person cannot.
    pub fn try_totp(&self) -> Option<Totp> {
        let answer = self.post("/api/auth/totp", json!({ "current_password": PASSWORD }));
        (answer.status == 201).then(|| Totp::new(&answer.data()))
    }

    /// The same, put into force; a recovery code.
    pub fn try_recovery_code(&self) -> Option<String> {
        self.try_totp().map(|totp| self.confirm(&totp)[0].clone())
    }

    /// Puts the second factor into force; the recovery codes.
    pub fn confirm(&self, totp: &Totp) -> Vec<String> {
        let data = self.post("/api/auth/totp/confirm", json!({ "code": totp.code() })).expect(200, "success").data();
        let codes = data["recovery_codes"].as_array().expect("codes").iter();
        codes.map(|code| code.as_str().expect("a code").to_string()).collect()
    }

    /// Uses a one-time token.
    pub fn reset(&self, token: &str, password: &str) -> Answer {
        self.post("/api/auth/reset", json!({ "token": token, "new_password": password }))
    }

    /// Sends a request with further headers.
    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let authorization = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut all = headers.to_vec();
        if let Some(authorization) = &authorization {
            all.push(("Authorization", authorization));
        }
        let text = body.map(|body| body.to_string());
        if text.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            all.push(("Content-Type", "application/json"));
        }
        http::send(self.address, method, target, &all, text.as_deref())
    }

    /// As an admin: makes a care group of these people and returns its path.
    pub fn new_group(&self, name: &str, members: &[&Person]) -> String {
        let path = self.post("/api/admin/groups", json!({ "name": name })).expect(201, "created").location();
        members.iter().for_each(|member| self.add_member(&path, member));
        path
    }

    /// As an admin: puts somebody into a care group.
    pub fn add_member(&self, group: &str, member: &Person) {
        self.send("PUT", &format!("{group}/members/{}", member.id), &[], None).expect(200, "updated");
    }

    /// As an admin: takes somebody out of a care group, patients or not.
    pub fn remove_member(&self, group: &str, member: &Person) {
        self.delete(&format!("{group}/members/{}?force=true", member.id)).expect(200, "deleted");
    }

    /// As an admin: gives somebody the right to emergency access.
    pub fn gives_the_right(&self, person: &Person) {
        let right = json!({ "may_break_glass": true });
        self.patch(&format!("/api/admin/users/{}", person.id), right).expect(200, "updated");
    }

    /// Takes emergency access to the patients of this name.
    pub fn asks_for(&self, name: &str) -> Answer {
        let body =
            json!({ "name": name, "date_of_birth": "1990-04-23", "reason": "unconscious", "password": PASSWORD });
        self.post("/api/emergency-access", body)
    }

    /// Registers a patient and returns the id.
    pub fn new_patient(&self, name: &str) -> i64 {
        let body = json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" });
        self.post("/api/patients", body).expect(201, "created").id()
    }

    /// Adds a doctor to the directory and returns the id.
    pub fn new_doctor(&self, name: &str) -> i64 {
        let body = json!({ "name": name, "specialization": "Cardiology" });
        self.post("/api/doctors", body).expect(201, "created").id()
    }

    /// Assigns a doctor to a patient and returns the mapping's id.
    pub fn new_mapping(&self, patient_id: i64, doctor_id: i64) -> i64 {
        let body = json!({ "patient_id": patient_id, "doctor_id": doctor_id });
        self.post("/api/mappings", body).expect(201, "created").id()
    }
}
