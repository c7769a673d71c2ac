//! What the program writes about its work: enough to follow a request, and nothing about a person.

use serde_json::{Value, json};

use crate::harness::app::{PASSWORD, Person};
use crate::harness::binary::{Program, Serving};
use crate::harness::folder::Folder;
use crate::harness::{at_once, eventually, postgres};

/// Words that a log line must never have, whatever goes wrong.
const PRIVATE: [&str; 12] = [
    "Quetzalcoatl",
    "quetzalcoatl",
    "xylophone-password",
    "zymurgy-history",
    "wyvern-address",
    "verbena-notes",
    "555-0199-777",
    "LICENSE-4711",
    "eyJ",
    "umbra-agent",
    "tarn-filter",
    "1931-07-03",
];

/// Everything that a person can do with personal data, the failures included.
fn a_day_at_the_clinic(server: &Serving) -> (String, Vec<String>) {
    let anyone = Person { email: "quetzalcoatl@example.org".into(), ..server.anyone() };
    let password = "xylophone-password";
    let account = json!({ "name": "Quetzalcoatl", "email": anyone.email, "password": password });
    anyone.post("/api/auth/register", account.clone()).expect(201, "created");
    anyone.post("/api/auth/register", account).expect(409, "failed");
    let login = |password: &str| {
        let body = json!({ "email": anyone.email, "password": password });
        anyone.send("POST", "/api/auth/login", &[("User-Agent", "umbra-agent")], Some(body))
    };
    login("xylophone-password-wrong").expect(401, "invalid");
    let data = login(password).expect(200, "success").data();
    let text = |field: &str| data[field].as_str().expect("a text").to_string();
    let (token, refresh_token) = (text("token"), text("refresh_token"));
    let user = anyone.with_token(&token);
    let patient = json!({
        "name": "Quetzalcoatl Jr", "date_of_birth": "1931-07-03", "gender": "female", "phone": "555-0199-777",
        "email": "quetzalcoatl.jr@example.org", "address": "wyvern-address", "medical_history": "zymurgy-history",
    });
    let patient = user.post("/api/patients", patient).expect(201, "created");
    let doctor = json!({ "name": "Dr Quetzalcoatl", "specialization": "S", "license_number": "LICENSE-4711" });
    let doctor_id = user.post("/api/doctors", doctor.clone()).expect(201, "created").id();
    user.post("/api/doctors", doctor).expect(409, "failed");
    let mapping = json!({ "patient_id": patient.id(), "doctor_id": doctor_id, "notes": "verbena-notes" });
    user.post("/api/mappings", mapping.clone()).expect(201, "created");
    user.post("/api/mappings", mapping).expect(409, "failed");
    user.get("/api/patients?name=tarn-filter&date_of_birth=1931-07-03").expect(200, "success");
    user.get(&format!("{}?name=tarn-filter", patient.location())).expect(400, "invalid");
    user.get("/api/tarn-filter/Quetzalcoatl").expect(404, "failed");
    user.post("/api/patients", json!({ "name": "Quetzalcoatl\u{7}", "Quetzalcoatl": 1 })).expect(400, "incomplete");
    user.patch(&patient.location(), json!({ "address": "wyvern-address 2" })).expect(200, "updated");
    user.with_token(&format!("{token}x")).get("/api/patients").expect(401, "forbidden");
    let refreshed = anyone.post("/api/auth/refresh", json!({ "refresh_token": refresh_token })).expect(200, "success");
    let change = json!({ "current_password": password, "new_password": "xylophone-password-2" });
    let pair = user.post("/api/auth/password", change).expect(200, "updated").data();
    let user = user.with_pair(&pair);
    user.delete(&patient.location()).expect(200, "deleted");
    user.post("/api/auth/logout", json!({})).expect(200, "success");
    let second = refreshed.data()["refresh_token"].as_str().expect("a token").to_string();
    let secrets = vec![token, refresh_token, second, user.token.expect("a token"), user.refresh_token, PASSWORD.into()];
    (patient.header("x-request-id").expect("an id").to_string(), secrets)
}

#[test]
fn no_log_line_says_anything_about_a_person_at_any_level() {
    for (level, format) in
        [("info", "text"), ("info", "json"), ("trace", "text"), ("tokio_postgres=trace,debug", "json")]
    {
        let folder = Folder::new();
        let server = Program::new(&folder, &[]).set("RUST_LOG", level).set("LOG_FORMAT", format).serve();
        let (request_id, secrets) = a_day_at_the_clinic(&server);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let log = format!("{}{}", ended.stdout, ended.stderr);
        for word in PRIVATE.iter().copied().chain(secrets.iter().map(String::as_str)) {
            let line = log.lines().find(|line| line.contains(word));
            assert_eq!(line, None, "{word} at {level}");
        }
        let line = log.lines().find(|line| line.contains(&request_id)).expect("a line of the request");
        assert!(line.contains("/api/patients") && line.contains("201") && line.contains("POST"), "{line}");
        assert!(log.lines().any(|line| line.contains("/api/patients/{id}")), "patterns, not paths");
    }
}

#[test]
fn a_json_log_is_one_object_a_line_with_all_that_follows_a_request() {
    let folder = Folder::new();
    let server = Program::new(&folder, &["serve"]).set("LOG_FORMAT", "json").serve();
    let (request_id, _) = a_day_at_the_clinic(&server);
    let ended = server.stop();
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    for line in &lines {
        for field in ["time", "level", "target"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    let line = lines.iter().find(|line| line["id"] == request_id.as_str()).expect("the request's line");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["route"], "/api/patients");
    assert_eq!(line["status"], 201);
    assert_eq!(line["address"], "127.0.0.1");
    assert!(line["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    assert!(line["user_id"].as_i64().is_some_and(|id| id > 0), "{line}");
    let of_requests = lines.iter().filter(|line| line["target"] == "request").count();
    assert_eq!(of_requests, 19, "a line a request");
}

#[test]
fn the_reason_for_503_is_logged_once_and_so_is_its_end() {
    let (folder, database) = (Folder::new(), postgres::new_database());
    let server = Program::on(&database, &folder, &[]).serve();
    let ann = server.anyone().signed_up("ann");
    let patients = ["P", "Q", "R"].map(|name| ann.new_patient(name));
    let mut sql = postgres::connect(&database);
    let mut held = sql.transaction().expect("a transaction");
    held.execute("select from patients for update", &[]).expect("a lock");
    let change = |place: usize| ann.patch(&format!("/api/patients/{}", patients[place]), json!({ "phone": "123456" }));
    at_once(3, |place| change(place).expect(503, "failed"));
    held.commit().expect("an end");
    change(0).expect(200, "updated");
    eventually("the outage is logged", || !server.lines_with("requests are answered 503").is_empty());
    let said = server.lines_with("requests are answered 503");
    assert!(said.len() == 1 && said[0].contains(" warn ") && said[0].contains("55P03"), "{said:?}");
    eventually("the end of the outage is logged", || {
        !server.lines_with("requests are answered normally again").is_empty()
    });
    let over = server.lines_with("requests are answered normally again after ");
    assert!(over.len() == 1 && over[0].ends_with(" s and 3 failures"), "{over:?}");
}

#[test]
fn every_request_has_its_line_once_although_lines_gather_and_the_program_is_stopped() {
    let folder = Folder::new();
    let server = Program::new(&folder, &["serve"]).serve();
    let ann = server.anyone().signed_up("ann");
    let get = |id: &str| ann.send("GET", "/api/patients", &[("X-Request-Id", id)], None).expect(200, "success");
    get("first");
    // Without a stop, the line comes soon.
    eventually("the line is written", || !server.lines_with("id=first ").is_empty());
    let wanted: Vec<String> = (0..300).map(|number| format!("line-{number:03}")).collect();
    for id in &wanted {
        get(id);
    }
    let ended = server.stop();
    let ids = ended.stderr.lines().filter_map(|line| line.split(" id=").nth(1)?.split(' ').next());
    let mut found: Vec<&str> = ids.filter(|id| id.starts_with("line-")).collect();
    // A line is written after its answer, so that of the next request may overtake it at another worker.
    found.sort_unstable();
    assert_eq!(found, wanted);
}
