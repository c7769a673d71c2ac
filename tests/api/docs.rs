//! The document against the service, in both directions: routes, parameters, fields, limits, answers; then the page.

mod clients;
mod limits;
mod world;

use std::collections::BTreeSet;

use healthcare_backend::Config;
use healthcare_backend::internals::openapi::{self, page, path_of};
use healthcare_backend::internals::{Access, Error, ROUTES, Response, Route, place_names};
use serde_json::{Value, json};

use crate::harness::app::PASSWORD;
use crate::harness::http::{self, Answer};
use crate::harness::schema::{Document, Operation, names};
use crate::harness::{TestApp, eventually};
use world::{World, example};

fn document() -> Document {
    let text = openapi::document(&Config::default()).expect("a document");
    Document(serde_json::from_str(&text).expect("JSON"))
}

fn good_status(operation: &Operation) -> u16 {
    let statuses = operation.json["responses"].as_object().expect("responses").keys();
    statuses.filter_map(|status| status.parse().ok()).min().expect("a response")
}

/// The answer is one that the document describes: status, headers, body.
fn assert_documented(document: &Document, operation: &Operation, answer: &Answer) {
    let response = document.response(operation, answer.status);
    assert_matches(document, operation.id, response, answer);
}

fn assert_matches(document: &Document, what: &str, response: &Value, answer: &Answer) {
    for (name, header) in response["headers"].as_object().expect("headers") {
        let required = document.resolve(header)["required"] == json!(true);
        assert!(!required || answer.header(&name.to_lowercase()).is_some(), "{what}: no {name}");
    }
    let Some(content) = response["content"].as_object() else {
        return assert!(answer.body.is_empty(), "{what}: a body");
    };
    let media_type = answer.header("content-type").expect("a type").split(';').next().expect("a type");
    let content = content.get(media_type).unwrap_or_else(|| panic!("{what}: {media_type} is not documented"));
    // The document itself is an answer, too; the validators look at that one.
    if media_type == "application/json" && what != "openapi" {
        assert_eq!(document.complaints(&content["schema"], &answer.json()), [""; 0], "{what}");
    }
}

/// The routes that the document describes. FHIR has a statement of its own.
fn documented() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| !route.is_fhir)
}

#[test]
fn every_route_is_in_the_document_with_its_parameters_and_no_other_is() {
    let document = document();
    let described: BTreeSet<(String, String)> =
        document.operations().iter().map(|operation| (operation.method.clone(), operation.path.to_string())).collect();
    let routed: BTreeSet<(String, String)> =
        documented().map(|route| (route.method.name().to_string(), path_of(route.pattern).to_string())).collect();
    assert_eq!(described, routed);
    assert_eq!(routed.len(), documented().count(), "no two routes share a place in the document");
    for route in documented() {
        let json = &document.0["paths"][path_of(route.pattern)][route.method.name().to_lowercase()];
        let of = |place: &str| -> Vec<&str> {
            let parameters = json["parameters"].as_array().expect("parameters").iter();
            parameters.filter(|one| one["in"] == place).map(|one| one["name"].as_str().expect("a name")).collect()
        };
        assert_eq!(of("query"), route.query, "{}", route.pattern);
        assert_eq!(of("path"), place_names(path_of(route.pattern)).collect::<Vec<_>>(), "{}", route.pattern);
        let is_open = route.access() == Access::Anyone;
        assert_eq!(json["security"].as_array().expect("security").is_empty(), is_open, "{}", route.pattern);
        let is_admin = route.access() == Access::Admin;
        assert_eq!(json["tags"] == json!(["Admin"]), is_admin, "{}", route.pattern);
    }
    let ids: BTreeSet<&str> = document.operations().iter().map(|operation| operation.id).collect();
    assert_eq!(ids.len(), documented().count(), "operation ids are unique");
}

#[test]
fn no_two_operations_share_a_title() {
    let document = document();
    let mut seen = BTreeSet::new();
    for operation in document.operations() {
        let title = operation.json["summary"].as_str().expect("a summary");
        assert!(seen.insert(title), "{}: another operation is called {title:?} too", operation.id);
    }
}

#[test]
fn every_operation_does_with_its_example_what_the_document_says() {
    let world = World::new();
    for operation in &world.document.operations() {
        let answer = world.send(operation);
        assert_eq!(
            answer.status,
            good_status(operation),
            "{}: {}",
            operation.id,
            String::from_utf8_lossy(&answer.body)
        );
        assert_documented(&world.document, operation, &answer);
        let response = world.document.response(operation, answer.status);
        let Some(shown) = response.pointer("/content/application~1json/example") else { continue };
        let actual = answer.json();
        assert_eq!(actual["status"], shown["status"], "{}", operation.id);
        assert_eq!(actual["message"], shown["message"], "{}", operation.id);
        // What was sent comes back, in the answer as in its example.
        let sent = example(operation).filter(|_| actual["data"]["id"].is_i64() && !operation.id.contains("Mapping"));
        for (field, value) in sent.iter().flat_map(|sent| sent.as_object().expect("an object")) {
            let generated = ["email", "license_number", "user_id"].contains(&field.as_str());
            assert!(generated || actual["data"].get(field).is_none_or(|actual| actual == value), "{field}");
        }
    }
}

#[test]
fn every_example_obeys_its_schema() {
    let document = document();
    let mut seen = 0;
    let mut check = |what: &str, schema: &Value, example: &Value| {
        seen += 1;
        assert_eq!(document.complaints(schema, example), [""; 0], "{what}");
    };
    for (name, schema) in document.0["components"]["schemas"].as_object().expect("schemas") {
        check(name, schema, &schema["examples"][0]);
    }
    for (name, response) in document.0["components"]["responses"].as_object().expect("responses") {
        let media = &response["content"]["application/json"];
        let examples = media["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        examples.chain(media.get("example")).for_each(|example| check(name, &media["schema"], example));
    }
    for operation in document.operations() {
        let media = &operation.json["requestBody"]["content"]["application/json"];
        if !media.is_null() {
            check(operation.id, &media["schema"], &media["example"]);
        }
        let media = &document.response(&operation, good_status(&operation))["content"]["application/json"];
        if media["example"].is_object() {
            check(operation.id, &media["schema"], &media["example"]);
        }
    }
    assert!(seen > 100, "{seen} examples");
}

#[test]
fn every_body_has_the_fields_that_the_document_names_and_no_other() {
    let world = World::new();
    for operation in world.document.operations().iter().filter(|operation| example(operation).is_some()) {
        let id = operation.id;
        let schema = body_schema(&world.document, operation);
        let (person, path, _) = world.request(operation);
        let nothing = person.send(&operation.method, &path, &[], Some(json!({}))).expect(400, "incomplete");
        assert_documented(&world.document, operation, &nothing);
        let missing: BTreeSet<String> = nothing.fields().into_iter().collect();
        let required =
            if schema["minProperties"] == json!(1) { ["body".to_string()].into() } else { names(&schema["required"]) };
        // With whom a patient is shared is said by one of two fields, which a schema for generated clients cannot say.
        let required = if id.ends_with("harePatient") { ["user_id".to_string()].into() } else { required };
        assert_eq!(missing, required, "{id}");
        assert_eq!(schema["additionalProperties"], json!(false), "{id}");
        let unknown = world.send_with(operation, "shoe_size", json!(40)).expect(400, "invalid");
        assert_eq!(unknown.fields(), ["shoe_size"], "{id}");
        for (field, rule) in schema["properties"].as_object().expect("properties") {
            let is_known = |answer: &Answer| !answer.fields().contains(field);
            if rule["readOnly"] == json!(true) {
                assert!(is_known(&world.send_with(operation, field, json!("anything"))), "{id} ignores {field}");
                continue;
            }
            let nullable = world.document.complaints(rule, &Value::Null).is_empty();
            let null = world.send_with(operation, field, Value::Null);
            assert_eq!(is_known(&null), nullable, "{id}: {field} may be null");
            let wrong = world.send_with(operation, field, json!({ "a": [1] })).expect(400, "invalid");
            assert_eq!(wrong.fields(), [field.as_str()], "{id}");
        }
    }
}

fn body_schema<'a>(document: &'a Document, operation: &Operation<'a>) -> &'a Value {
    document.resolve(&operation.json["requestBody"]["content"]["application/json"]["schema"])
}

/// The names that the forms of a handler ask for, as its source has them: what no request from outside can find out. Those of the
/// records come from the same table as the handler's.
#[test]
fn the_document_names_every_field_that_a_handler_reads() {
    let document = document();
    let sources: [(&str, &[&str]); 8] = [
        (
            include_str!("../../src/handlers/users.rs"),
            &["Registration", "ProfileChanges", "PasswordChange", "UserInput", "UserChanges"],
        ),
        (include_str!("../../src/handlers/grants.rs"), &["ShareInput"]),
        (include_str!("../../src/handlers/emergency.rs"), &["EmergencyRequest", "EmergencyReview"]),
        (include_str!("../../src/handlers/transfers.rs"), &["Transfer"]),
        (include_str!("../../src/handlers/groups.rs"), &["GroupInput", "GroupChanges"]),
        (include_str!("../../src/handlers/totp.rs"), &["CurrentPassword", "TotpCode", "TotpRemoval"]),
        (include_str!("../../src/handlers/resets.rs"), &["ForgottenPassword", "PasswordReset"]),
        (include_str!("../../src/handlers/sessions.rs"), &["Login", "Refresh"]),
    ];
    let records = ["PatientInput", "PatientChanges", "DoctorInput", "DoctorChanges", "MappingInput", "MappingChanges"];
    let mut covered: BTreeSet<String> = records.iter().map(|name| format!("#/components/schemas/{name}")).collect();
    for (source, schemas) in sources {
        let asks =
            source.split("form.").skip(1).filter(|call| call.starts_with("required") || call.starts_with("optional"));
        let read: BTreeSet<&str> = asks.map(|call| call.split('"').nth(1).expect("a name")).collect();
        let properties =
            |name: &&str| document.0["components"]["schemas"][*name]["properties"].as_object().expect("fields");
        let writable = schemas.iter().flat_map(properties).filter(|(_, rule)| rule["readOnly"].is_null());
        let described: BTreeSet<&str> = writable.map(|(name, _)| name.as_str()).collect();
        assert_eq!(described, read);
        covered.extend(schemas.iter().map(|name| format!("#/components/schemas/{name}")));
    }
    for operation in document.operations() {
        let taken = operation.json.pointer("/requestBody/content/application~1json/schema/$ref");
        assert!(taken.is_none_or(|name| covered.contains(name.as_str().expect("a name"))), "{taken:?}");
    }
}

#[test]
fn every_rate_limited_route_says_so() {
    let document = document();
    let operations = document.operations();
    for route in ROUTES.iter().filter(|route| route.is_rate_limited || route.is_change()) {
        let operation =
            |known: &&Operation| known.path == path_of(route.pattern) && known.method == route.method.name();
        document.response(operations.iter().find(operation).expect(route.pattern), 429);
    }
}

#[test]
fn every_refusal_looks_as_the_document_says() {
    let app = TestApp::with(|config| config.auth_rate_per_minute = 0);
    let limited = TestApp::with(|config| config.auth_rate_per_minute = 1);
    let (ann, document) = (app.signed_up("ann"), document());
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    ann.new_mapping(patient, doctor);
    let mapping = json!({ "patient_id": patient, "doctor_id": doctor });
    let login = json!({ "email": ann.email, "password": "wrong" });
    let password = json!({ "current_password": "wrong", "new_password": "a better horse battery" });
    limited.anyone().post("/api/auth/login", login.clone());
    let old =
        ann.send("PATCH", &format!("/api/patients/{patient}"), &[("If-Match", "\"7\"")], Some(json!({ "name": "N" })));
    let typed = ann.send("POST", "/api/patients", &[("Content-Type", "text/plain")], Some(json!({})));
    let keyed = |name: &str| {
        let key = [("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")];
        ann.send("POST", "/api/doctors", &key, Some(json!({ "name": name, "specialization": "Eyes" })))
    };
    keyed("One").expect(201, "created");
    let reused = keyed("Other");
    let raw = |text: &str| http::raw(app.address, text.as_bytes(), false);
    let head = |line: &str, fields: &str| raw(&format!("{line}\r\nHost: localhost\r\n{fields}\r\n"));
    let built = |response: Response| Answer {
        status: response.status,
        headers: [
            ("content-type".to_string(), response.content_type.to_string()),
            ("x-request-id".into(), "id".into()),
        ]
        .into_iter()
        .chain(response.headers.iter().map(|(name, value)| (name.to_lowercase(), value.to_string())))
        .collect(),
        body: response.body,
    };
    let refusals = [
        ("Invalid", ann.get("/api/patients?limit=0")),
        ("Incomplete", ann.post("/api/doctors", json!({ "specialization": "Cardiology" }))),
        ("Unauthenticated", app.anyone().get("/api/auth/me")),
        ("WrongCredentials", app.anyone().post("/api/auth/login", login.clone())),
        ("WrongToken", app.anyone().reset("wrong", PASSWORD)),
        ("WrongPassword", ann.post("/api/auth/password", password)),
        ("Forbidden", ann.get("/api/admin/users")),
        ("NotFound", ann.get("/api/patients/999")),
        ("Conflict", ann.post("/api/mappings", mapping)),
        ("Outdated", old),
        ("TooLarge", head("POST /api/patients HTTP/1.1", "Content-Length: 262145\r\n")),
        ("TargetTooLong", head(&format!("GET /{} HTTP/1.1", "a".repeat(8192)), "")),
        ("NotJson", typed),
        ("Expectation", head("GET /healthz HTTP/1.1", "Expect: tea\r\n")),
        ("TooManyAttempts", limited.anyone().post("/api/auth/login", login)),
        ("HeadersTooLong", head("GET /healthz HTTP/1.1", &format!("X: {}\r\n", "a".repeat(16_384)))),
        ("KeyReused", reused),
        ("NotServed", head("BREW /healthz HTTP/1.1", "")),
        ("HttpVersion", head("GET /healthz HTTP/3.0", "")),
        // These three need patience or a broken machine; their answers are made in one place.
        ("TimedOut", built(Response::refusal(408, "The request head did not arrive in time"))),
        ("Fault", built(Response::error(&Error::Internal("a private text".into()), "5c1d9a70-2f"))),
        ("Busy", built(Response::error(&Error::Unavailable("a private text".into()), "5c1d9a70-2f"))),
    ];
    let responses = document.0["components"]["responses"].as_object().expect("responses");
    let at_any_request = &responses["Refused"];
    let of_any = at_any_request["content"]["application/json"]["examples"].as_object().expect("examples");
    let driven: BTreeSet<&str> = refusals.iter().map(|(name, _)| *name).chain(["Refused"]).collect();
    let described = responses.keys().chain(of_any.keys()).map(String::as_str).collect();
    assert_eq!(driven, described, "every refusal is driven once");
    for (name, answer) in refusals {
        if let Some(example) = of_any.get(name) {
            assert_matches(&document, name, at_any_request, &answer);
            assert_eq!(answer.json(), example["value"], "{name}");
            let about = at_any_request["description"].as_str().expect("a description");
            assert!(about.contains(&format!(" {}: ", answer.status)), "{name}");
        }
        let Some(response) = responses.get(name) else { continue };
        // `WWW-Authenticate` is not there where the password is wrong.
        assert_matches(&document, name, response, &answer);
        assert_eq!(answer.json(), response["content"]["application/json"]["example"], "{name}");
        for operation in document.operations() {
            let reference = operation.json["responses"].as_object().expect("responses").iter();
            let mine = reference.filter(|(_, response)| response["$ref"] == format!("#/components/responses/{name}"));
            mine.for_each(|(status, _)| assert_eq!(*status, answer.status.to_string(), "{name}"));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn every_status_that_the_transport_answers_with_is_documented_everywhere() {
    let document = document();
    for cause in healthcare_backend::internals::transport::Cause::ALL {
        for operation in document.operations() {
            document.response(&operation, cause.status());
        }
    }
}

#[test]
fn a_record_that_the_client_has_is_304_as_documented() {
    let world = World::new();
    let mut seen = 0;
    for operation in world.document.operations() {
        if operation.json["responses"].get("304").is_none() {
            continue;
        }
        let (person, path, _) = world.request(&operation);
        let etag = person.get(&path).etag();
        let answer = person.send("GET", &path, &[("If-None-Match", &etag)], None);
        assert_eq!(answer.status, 304);
        assert_documented(&world.document, &operation, &answer);
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn every_kind_of_audit_entry_is_one_that_the_document_knows() {
    let world = World::new();
    for operation in world.document.operations() {
        world.send(&operation);
    }
    world.app.anyone().post("/api/auth/login", json!({ "email": world.admin.email, "password": "wrong" }));
    let ann = world.app.signed_up("ann");
    ann.get("/api/admin/users").expect(403, "forbidden");
    let operation = world.document.operation("listAuditEntries");
    eventually("the refusal in the audit trail", || {
        let answer = world.admin.get("/api/admin/audit?limit=500");
        assert_documented(&world.document, &operation, &answer);
        answer.data().as_array().expect("entries").iter().any(|entry| entry["action"] == "denied")
    });
}

#[test]
fn the_document_is_served_as_the_command_prints_it() {
    let app = TestApp::start();
    let served = app.anyone().get("/openapi.json");
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        String::from_utf8(served.body).expect("UTF-8"),
        openapi::document(&Config::default()).expect("a document")
    );
    let printed = std::process::Command::new(env!("CARGO_BIN_EXE_healthcare-backend"))
        .arg("openapi")
        .env_clear()
        .output()
        .expect("the program");
    assert!(printed.status.success());
    assert_eq!(
        String::from_utf8(printed.stdout).expect("UTF-8").trim_end(),
        openapi::document(&Config::default()).expect("a document")
    );
}

#[test]
fn the_document_follows_the_configuration() {
    let config = Config { password_min_length: 14, ..Config::default() };
    let text = openapi::document(&config).expect("a document");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let password = &document["components"]["schemas"]["Registration"]["properties"]["password"];
    assert_eq!(password["minLength"], 14);
}

#[test]
fn the_address_of_the_server_leads_to_the_page() {
    let app = TestApp::start();
    for method in ["GET", "HEAD"] {
        let answer = app.anyone().send(method, "/", &[], None);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/docs")), "{method}");
        assert!(answer.body.is_empty() && answer.header("content-type").is_none(), "{method}");
        assert_eq!(answer.header("content-length"), Some("0"), "{method}: the connection goes on");
    }
    assert_eq!(
        app.anyone().send("POST", "/", &[], None).expect(405, "failed").header("allow"),
        Some("GET, HEAD, OPTIONS")
    );
    app.anyone().get("/?next=//evil.example").expect(400, "invalid");
}

#[test]
fn the_page_is_small_and_loads_nothing_from_elsewhere() {
    let app = TestApp::start();
    let answer = app.anyone().get("/docs");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.body.len() < 60_000, "{} bytes", answer.body.len());
    let policy = answer.header("content-security-policy").expect("a policy").to_string();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = String::from_utf8(answer.body).expect("UTF-8");
    assert_eq!(text, *page::PAGE);
    // One style and one script, the ones of the hashes; no attribute that a browser would take for either.
    for element in ["<style", "<script"] {
        assert_eq!(text.matches(element).count(), 1, "{element}");
    }
    let markup = text.split("<script>").next().expect("markup");
    for forbidden in [" style=\"", " onclick=\"", " onload=\"", "src=\"", "href=\"http", "@import", "innerHTML"] {
        assert!(!markup.contains(forbidden), "{forbidden}");
    }
    assert!(!text.contains("innerHTML"), "nothing that a server sends is read as HTML");
}
