//! The tables of fields (`src/records.rs`) against everything that follows from them: columns, rules, statements, answers, document.

use std::collections::BTreeSet;

use healthcare_backend::Config;
use healthcare_backend::internals::openapi;
use healthcare_backend::internals::records::{DOCTOR, Field, Kind, MAPPING, PATIENT, Set};
use serde_json::{Value, json};

use crate::harness::schema::Document;
use crate::harness::{Person, TestApp, at_once, eventually, postgres};

/// The tables: name, fields, and the schema of a record.
const TABLES: [(&str, &[Field], &str); 3] =
    [("patients", PATIENT, "Patient"), ("doctors", DOCTOR, "Doctor"), ("mappings", MAPPING, "CareMapping")];

/// The columns that no record shows, and why.
const INTERNAL: &[(&str, &str)] = &[("version", "the ETag is made of it")];

#[test]
fn every_field_has_its_column_and_every_column_its_field() {
    let mut sql = postgres::connect(&postgres::new_database());
    let query = "select column_name::text from information_schema.columns where table_name = $1";
    for (table, fields, _) in TABLES {
        let columns: BTreeSet<String> =
            sql.query(query, &[&table]).expect("columns").iter().map(|row| row.get(0)).collect();
        for field in fields.iter().filter(|field| !matches!(field.kind, Kind::Part(..))) {
            let name = field.name;
            assert!(columns.contains(name), "no migration in sql/migrations/ adds the column {table}.{name}");
        }
        for name in columns {
            let is_known =
                fields.iter().any(|field| field.name == name) || INTERNAL.iter().any(|(known, _)| *known == name);
            assert!(
                is_known,
                "src/records.rs does not have {table}.{name}; a column that nobody sees belongs to INTERNAL here"
            );
        }
    }
}

/// A client, with two records of every kind to refer to.
struct World {
    /// Runs as long as the world.
    _app: TestApp,
    ann: Person,
    patients: [i64; 2],
    doctors: [i64; 2],
}

impl World {
    fn new() -> World {
        let app = TestApp::start();
        let ann = app.signed_up("ann");
        let (patients, doctors) =
            (["P", "Q"].map(|name| ann.new_patient(name)), ["D", "E"].map(|name| ann.new_doctor(name)));
        World { _app: app, ann, patients, doctors }
    }

    /// Values of the field that its rule accepts, among them the longest and the largest, each unlike the one before.
    fn values(&self, field: &Field) -> Vec<Value> {
        let long = |most: usize| vec![json!("x"), json!("ü".repeat(most))];
        match field.kind {
            Kind::Line(most) | Kind::VisibleLine(most) | Kind::Lines(most) => long(most),
            Kind::Phone => vec![json!("12345"), json!("1".repeat(32))],
            Kind::Email => vec![
                json!("a@b.org"),
                json!(format!("{}@{}.org", "l".repeat(64), ["d"; 3].map(|part| part.repeat(61)).join("."))),
            ],
            Kind::BirthDate => vec![json!("1870-01-01"), json!("2000-02-29")],
            Kind::OneOf(words) => words.iter().map(|word| json!(word)).collect(),
            Kind::Number(least, most) => vec![json!(least), json!(most)],
            Kind::Id if field.name == "patient_id" => self.patients.map(Value::from).into(),
            Kind::Id if field.name == "doctor_id" => self.doctors.map(Value::from).into(),
            Kind::Id | Kind::Time | Kind::Part(..) => panic!("{}: no client can know such a value", field.name),
        }
    }

    /// The example of a field; for the id of a record, one that exists.
    fn example(&self, field: &Field) -> Value {
        match field.kind {
            Kind::Id => self.values(field).remove(0),
            Kind::Number(..) => json!(field.example.parse::<i64>().expect("a number")),
            _ => json!(field.example),
        }
    }

    /// A new record of these values, from its answer.
    fn create(&self, table: &str, fields: &[&Field], value: impl Fn(&Field) -> Value) -> Value {
        let body: Value =
            fields.iter().map(|field| (field.name.to_string(), value(field))).collect::<serde_json::Map<_, _>>().into();
        let created = self.ann.post(&format!("/api/{table}"), body.clone());
        assert_eq!(created.status, 201, "{table}: {body}: {}", created.json());
        let record = created.data();
        for field in fields {
            assert_eq!(record[field.name], body[field.name], "a new record of {table} loses {}", field.name);
        }
        assert_eq!(self.ann.get(&created.location()).expect(200, "success").data(), record);
        record
    }

    fn delete(&self, table: &str, record: &Value) {
        self.ann.delete(&format!("/api/{table}/{}", record["id"])).expect(200, "deleted");
    }
}

fn written(fields: &'static [Field]) -> Vec<&'static Field> {
    fields.iter().filter(|field| field.set != Set::ByServer).collect()
}

#[test]
fn every_field_that_a_client_sends_is_stored_and_shown_with_every_value_that_its_rule_accepts() {
    let world = World::new();
    for (table, fields, _) in TABLES {
        let sent = written(fields);
        let example = world.create(table, &sent, |field| world.example(field));
        world.delete(table, &example);
        let most = sent.iter().map(|field| world.values(field).len()).max().unwrap_or_default();
        for round in 0..most {
            let nth = |field: &Field| {
                let mut values = world.values(field);
                values.swap_remove(round % values.len())
            };
            let record = world.create(table, &sent, nth);
            world.delete(table, &record);
        }
    }
}

#[test]
fn every_field_can_be_changed_alone_and_cleared_if_it_is_optional() {
    let world = World::new();
    for (table, fields, _) in TABLES {
        let sent = written(fields);
        let record = world.create(table, &sent, |field| world.example(field));
        let path = format!("/api/{table}/{}", record["id"]);
        let mut before = record.clone();
        for field in sent {
            let mut values = world.values(field);
            values.rotate_left(1);
            if field.set == Set::Perhaps {
                values.push(Value::Null);
            }
            values.push(world.example(field));
            for value in values {
                let changed = world.ann.patch(&path, json!({ field.name: value }));
                assert_eq!(changed.status, 200, "{table}.{}: {value}: {}", field.name, changed.json());
                let after = changed.data();
                assert_eq!(after[field.name], value, "sql/{table}.sql: update does not set {}", field.name);
                for other in fields.iter().filter(|other| other.set != Set::ByServer && other.name != field.name) {
                    assert_eq!(
                        after[other.name], before[other.name],
                        "a new {} changes {table}.{}",
                        field.name, other.name
                    );
                }
                before = after;
            }
        }
        world.delete(table, &record);
    }
}

#[test]
fn every_field_is_in_lists_among_the_names_of_fields_and_in_the_document() {
    let world = World::new();
    let document = openapi::document(&Config::default()).expect("a document");
    let document = Document(serde_json::from_str(&document).expect("JSON"));
    let schema = |name: &str| &document.0["components"]["schemas"][name];
    for (table, fields, name) in TABLES {
        let record = world.create(table, &written(fields), |field| world.example(field));
        let path = format!("/api/{table}");
        let listed = world.ann.get(&format!("{path}?limit=500")).expect(200, "success").data();
        assert_eq!(listed.as_array().and_then(|list| list.last()), Some(&record), "{path}");
        assert_eq!(document.complaints(schema(name), &record), [""; 0], "{name}");
        for field in fields {
            assert!(record.get(field.name).is_some() != field.for_admins, "{path} shows {}", field.name);
            let stem = name.trim_start_matches("Care");
            for (name, is_part) in [
                (name.to_string(), !field.for_admins),
                (format!("{stem}Input"), true),
                (format!("{stem}Changes"), true),
            ] {
                assert_eq!(schema(&name)["properties"].get(field.name).is_some(), is_part, "{name} has {}", field.name);
            }
            if table != "mappings" {
                let picked =
                    world.ann.get(&format!("{path}?limit=500&fields={}", field.name)).expect(200, "success").data();
                let mut expected = json!({ "id": record["id"] });
                expected[field.name] = record[field.name].clone();
                assert_eq!(picked.as_array().and_then(|list| list.last()), Some(&expected), "{}", field.name);
            }
        }
        world.delete(table, &record);
    }
}

/// Requests of every kind, each of which succeeds whatever others do at the same time.
fn ask_for_everything(ann: &Person, root: &Person, patient: i64, doctor: i64, key: &str) {
    let new_patient = json!({ "name": "N", "date_of_birth": "1990-04-23", "gender": "other" });
    for path in ["/api/patients", "/api/patients?limit=500", "/api/doctors", "/api/doctors?limit=500", "/api/mappings"]
    {
        ann.get(path).expect(200, "success");
    }
    for path in ["/api/patients", "/api/doctors"] {
        for query in ["?name=N", "?sort=name", "?sort=-created_at&limit=500", "?count=true", "?fields=name"] {
            ann.get(&format!("{path}{query}")).expect(200, "success");
        }
    }
    for path in ["patients", "doctors", "mappings", "users", "audit"] {
        root.get(&format!("/api/admin/{path}")).expect(200, "success");
    }
    for path in [format!("/api/patients/{patient}"), format!("/api/doctors/{doctor}")] {
        ann.get(&path).expect(200, "success");
        ann.patch(&path, json!({ "phone": format!("{}", 10_000 + patient) })).expect(200, "updated");
        ann.patch(&path, json!({ "phone": null })).expect(200, "updated");
    }
    let other = ann.post("/api/patients", new_patient.clone()).expect(201, "created").id();
    let keyed =
        ann.send("POST", "/api/patients", &[("Idempotency-Key", key)], Some(new_patient)).expect(201, "created");
    let mapping = ann.new_mapping(other, doctor);
    ann.get(&format!("/api/patients/{other}/mappings")).expect(200, "success");
    ann.get(&format!("/api/patients/{other}/mappings/{mapping}")).expect(200, "success");
    root.get(&format!("/api/admin/mappings/{mapping}")).expect(200, "success");
    ann.patch(&format!("/api/mappings/{mapping}"), json!({ "notes": "N" })).expect(200, "updated");
    ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
    ann.new_mapping(other, doctor);
    ann.delete(&format!("/api/patients/{other}")).expect(200, "deleted");
    ann.delete(&keyed.location()).expect(200, "deleted");
    let gone = ann.new_doctor("Gone");
    ann.delete(&format!("/api/doctors/{gone}")).expect(200, "deleted");
}

#[test]
fn a_column_that_a_migration_adds_while_the_service_runs_fails_no_request() {
    let app = TestApp::start();
    let (ann, root) = (app.signed_up("ann"), app.admin("root"));
    let records: Vec<(i64, i64)> = (0..6).map(|_| (ann.new_patient("P"), ann.new_doctor("D"))).collect();
    let ask = |round: usize| {
        at_once(records.len(), |client| {
            let (patient, doctor) = records[client];
            ask_for_everything(&ann, &root, patient, doctor, &format!("{round}-{client}"));
        });
    };
    // Twice, so that every connection has prepared its statements.
    ask(0);
    ask(1);
    let mut sql = app.sql();
    for (round, table) in ["patients", "doctors", "mappings"].iter().enumerate() {
        sql.batch_execute(&format!("alter table {table} add column x text")).expect("a new column");
        ask(10 + round);
    }
    let shown = ann.get(&format!("/api/patients/{}", records[0].0)).expect(200, "success").data();
    assert_eq!(shown.get("x"), None, "a column without a field is shown to nobody");
    eventually("there are pipes again", || app.metric("database_pipe_connections") >= 1.0);
    // While requests are on their way.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(20));
        for number in 0..5 {
            sql.batch_execute(&format!("alter table patients add column x{number} text")).expect("a new column");
        }
        asking.join().expect("no request failed");
    });
}
