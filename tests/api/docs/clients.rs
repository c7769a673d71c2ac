//! What programs that make clients of the document need, in OpenAPI 3.1 and in 3.0.

use healthcare_backend::Config;
use healthcare_backend::internals::openapi;
use serde_json::{Map, Value, json};

use super::{World, document};
use crate::harness::binary::Program;
use crate::harness::folder::Folder;

/// Every object in the document, with the path to it; what examples hold is left out.
fn objects<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a Map<String, Value>)>) {
    match value {
        Value::Object(members) => {
            found.push((path.to_string(), members));
            for (name, value) in members.iter().filter(|(name, _)| !["example", "examples"].contains(&name.as_str())) {
                objects(value, &format!("{path}/{}", name.replace('/', "~1")), found);
            }
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(place, value)| objects(value, &format!("{path}/{place}"), found));
        }
        _ => {}
    }
}

fn all_objects(value: &Value) -> Vec<(String, &Map<String, Value>)> {
    let mut found = Vec::new();
    objects(value, "", &mut found);
    found
}

fn document_in_3_0() -> Value {
    let text = openapi::document_in_3_0(&Config::default()).expect("a document");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn every_schema_is_one_that_generated_clients_can_hold() {
    let document = document();
    for (path, object) in all_objects(&document.0) {
        assert!(!object.contains_key("anyOf") && !object.contains_key("oneOf"), "{path} has alternatives");
        assert_ne!(object.get("type"), Some(&json!("null")), "{path} has no type but null");
        assert!(object.get("readOnly").is_none() || object.contains_key("type"), "{path} has no type");
        assert!(object.get("format") != Some(&json!("uuid")), "{path} is taken for a UUID");
        if object.get("$ref").is_some() {
            assert_eq!(object.len(), 1, "{path}: OpenAPI 3.0 has nothing beside a reference");
        }
    }
    let schemas = document.0["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        let taken = name.strip_prefix("New").is_some_and(|record| schemas.contains_key(record));
        assert!(!taken, "{name} is a function of some clients");
    }
    for record in ["Patient", "Doctor", "CareMapping", "AdminMapping", "User", "Session", "AuditEntry"] {
        let required = schemas[record]["required"].as_array().expect("required fields");
        assert!(required.contains(&json!("id")) && required.len() > 4, "{record}: {required:?}");
        let of_list = &schemas[&format!("{record}ListAnswer")]["properties"]["data"]["items"];
        assert_eq!(of_list["$ref"], format!("#/components/schemas/{record}"));
    }
}

#[test]
fn every_operation_names_its_bodies_and_says_once_what_any_request_can_get() {
    let document = document();
    for operation in document.operations() {
        let (id, responses) = (operation.id, operation.json["responses"].as_object().expect("responses"));
        assert!(
            operation.json["description"].as_str().is_some_and(|about| !about.is_empty()),
            "{id} has no description"
        );
        assert_eq!(responses["default"], json!({ "$ref": "#/components/responses/Refused" }), "{id}");
        for (status, response) in responses {
            let is_shared = response["$ref"].as_str().is_some_and(|name| name.starts_with("#/components/responses/"));
            assert_eq!(is_shared, status.as_str() >= "400", "{id}: {status}");
            let schema = &document.resolve(response)["content"]["application/json"]["schema"];
            assert!(schema.is_null() || schema["$ref"].is_string() || id == "openapi", "{id}: {status} has no name");
        }
        for parameter in operation.json["parameters"].as_array().expect("parameters") {
            assert_ne!(parameter["schema"]["type"], "array", "{id}: clients differ in how they send arrays");
        }
    }
}

#[test]
fn a_list_is_csv_exactly_where_the_document_says_so() {
    let world = World::new();
    let mut seen = 0;
    for operation in world.document.operations().iter().filter(|operation| operation.method == "GET") {
        let (person, path, _) = world.request(operation);
        let answer = person.send("GET", &path, &[("Accept", "text/csv")], None);
        let is_csv = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/csv"));
        let documented = operation.json["responses"]["200"]["content"].get("text/csv").is_some();
        assert_eq!(is_csv, documented, "{}", operation.id);
        seen += usize::from(is_csv);
        let Some(header) = answer.body.split(|byte| *byte == b'\r').next().filter(|_| is_csv) else { continue };
        let record = operation.json["responses"]["200"]["content"]["application/json"]["example"]["data"][0].clone();
        let columns = String::from_utf8(header.to_vec()).expect("UTF-8");
        // The trail's entries of lists have one field more.
        let columns: Vec<&str> = columns.split(',').filter(|column| *column != "resource_ids").collect();
        let fields = record.as_object().expect("a record");
        assert!(
            columns.len() == fields.len() && columns.iter().all(|column| fields.contains_key(*column)),
            "{columns:?}"
        );
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_document_in_3_0_says_the_same_without_what_3_1_brought() {
    let (newer, older) = (document().0, document_in_3_0());
    assert_eq!((&newer["openapi"], &older["openapi"]), (&json!("3.1.0"), &json!("3.0.3")));
    let mut nullable = 0;
    for (path, object) in all_objects(&older) {
        assert!(
            object.get("type").is_none_or(|kind| kind.is_string() || kind.is_object()),
            "{path}: {:?}",
            object["type"]
        );
        assert!(object.get("examples").is_none_or(Value::is_object), "{path} has a list of examples");
        assert!(!object.contains_key("const") && !object.contains_key("identifier"), "{path}");
        let same = newer.pointer(&path).unwrap_or_else(|| panic!("{path} is not in 3.1"));
        let may_be_null = same["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        assert_eq!(object.get("nullable") == Some(&json!(true)), may_be_null, "{path}");
        nullable += usize::from(may_be_null);
        for (name, value) in same.as_object().expect("an object") {
            let changes = ["type", "examples", "identifier", "openapi"].contains(&name.as_str());
            assert!(
                changes || object.get(name).is_some_and(|older| older.is_object() == value.is_object()),
                "{path}/{name}"
            );
        }
    }
    assert!(nullable > 30, "{nullable}");
    assert_eq!(all_objects(&newer).len(), all_objects(&older).len());
}

#[test]
fn the_command_prints_the_version_that_is_asked_for() {
    let folder = Folder::new();
    let printed = |arguments: &[&str]| Program::bare(&folder, arguments).run("");
    let older = printed(&["openapi", "--version", "3.0"]);
    assert_eq!(serde_json::from_str::<Value>(&older.stdout).expect("JSON"), document_in_3_0());
    let newer = printed(&["openapi", "--version", "3.1"]);
    assert_eq!(serde_json::from_str::<Value>(&newer.stdout).expect("JSON"), document().0);
    let other = printed(&["openapi", "--version", "2.0"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("--version must be 3.1 or 3.0"), "{}", other.stderr);
}
