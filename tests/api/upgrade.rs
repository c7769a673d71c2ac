//! A database of the program before there was a history, with rows of every kind, is brought up to date and shows what it showed before.
//!
//! `upgrade/rows.sql` has the rows that that program wrote, and `upgrade/pages.json` what it answered: who asked, the path, the data.

use healthcare_backend::internals::migrate;
use serde_json::{Value, json};

use crate::harness::folder::Folder;
use crate::harness::{PASSWORD, TestApp, postgres};

const ROWS: &str = include_str!("upgrade/rows.sql");
const PAGES: &str = include_str!("upgrade/pages.json");
/// The migrations that made the schema of these rows.
const STEPS: usize = 17;

/// A database as that program left it.
fn old_database() -> String {
    let database = postgres::new_empty_database();
    let mut sql = postgres::connect(&database);
    migrate::run(&mut sql, &migrate::load(None).expect("migrations")[..STEPS]).expect("the schema of before");
    sql.batch_execute(ROWS).expect("rows");
    database
}

/// What stood there stands there still. The new program may show more.
fn assert_has(new: &Value, old: &Value, place: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if place.ends_with("/before") => assert_eq!(old, new, "{place}"),
        (Value::Object(old), Value::Object(_)) => {
            for (name, value) in old {
                assert_has(&new[name], value, &format!("{place}/{name}"));
            }
        }
        (Value::Array(old), Value::Array(list)) => {
            assert_eq!(old.len(), list.len(), "{place}");
            for (number, value) in old.iter().enumerate() {
                assert_has(&list[number], value, &format!("{place}/{number}"));
            }
        }
        _ => assert_eq!(old, new, "{place}"),
    }
}

#[test]
fn every_page_shows_after_the_upgrade_what_it_showed_before() {
    let app = TestApp::on(&old_database(), |_| {});
    let pages: Value = serde_json::from_str(PAGES).expect("JSON");
    let mut compared = 0;
    for (who, email, password) in [
        ("root", "root@example.org", PASSWORD),
        ("ann", "ann.baker@example.org", PASSWORD),
        ("bob", "bob@example.org", "correct horse battery 2"),
    ] {
        let person = app.logged_in(email, password);
        for (path, old) in pages[who].as_object().expect("pages") {
            assert_has(&person.get(path).expect(200, "success").data(), old, &format!("{who} {path}"));
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

/// Until then a transfer left the deleted mappings behind.
#[test]
fn the_deleted_mappings_of_patients_who_were_transferred_before_go_to_their_owners() {
    let database = postgres::new_empty_database();
    let mut sql = postgres::connect(&database);
    let steps = migrate::load(None).expect("migrations");
    let step = steps.iter().position(|step| step.name == "0028_inherited").expect("the step");
    migrate::run(&mut sql, &steps[..step]).expect("the schema of before");
    sql.batch_execute(
        "insert into users (name, email, password_hash)
             select n, n || '@example.org', '-' from unnest(array['ann', 'ben']) with ordinality as u (n, place) order by place;
         insert into patients (name, date_of_birth, gender, created_by) values ('Moved', '1990-04-23', 'other', 2), ('Own', '1990-04-23', 'other', 1);
         insert into record_versions (resource, record_id, version, owner_id, patient_id, ended_by, record) values
             ('mapping', 1, 1, 1, 1, 'delete', '{}'), ('mapping', 2, 1, 1, 2, 'delete', '{}'), ('mapping', 3, 1, 1, 7, 'delete', '{}'),
             ('mapping', 4, 1, 1, 1, 'update', '{}'), ('mapping', 5, 1, 1, 1, 'delete', '{}'), ('mapping', 5, 2, 1, 1, 'undelete', null),
             ('patient', 7, 1, 1, 7, 'delete', '{}')",
    )
    .expect("rows");
    migrate::run(&mut sql, &steps).expect("the new schema");
    let owners = "select array_agg(owner_id order by resource, record_id, version) from record_versions";
    assert_eq!(sql.query_one(owners, &[]).expect("owners").get::<_, Vec<i64>>(0), [2, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn what_was_changed_before_the_upgrade_has_its_versions() {
    let app = TestApp::on(&old_database(), |_| {});
    let ann = app.logged_in("ann.baker@example.org", PASSWORD);
    let history = |id: i64| -> Vec<Value> {
        let list = ann.get(&format!("/api/patients/{id}/history")).expect(200, "success").data();
        list.as_array().expect("a list").iter().rev().cloned().collect()
    };
    let start = |item: &Value, field: &str| {
        item["record"][field].as_str().map(|text| text.chars().take(6).collect::<String>()).unwrap_or_default()
    };
    // Most updates left the long text as it was, and so did their entries.
    let zoe = history(1);
    let texts: Vec<String> = zoe.iter().map(|item| start(item, "medical_history")).collect();
    let (first, second, third) = (["first "; 3], ["second"; 3], ["third "; 2]);
    assert_eq!(texts, [&first[..], &second, &["Penici"; 2], &third].concat());
    assert_eq!(
        zoe.iter().map(|item| item["version"].as_i64()).collect::<Vec<_>>(),
        (1..=10).map(Some).collect::<Vec<_>>()
    );
    assert_eq!(
        zoe.iter().map(|item| item["actor_id"].as_i64()).collect::<Vec<_>>(),
        [2, 2, 2, 2, 2, 1, 2, 2, 2, 2].map(Some)
    );
    assert!(zoe.iter().all(|item| item["at"] == item["record"]["updated_at"]));
    assert_eq!(
        (&zoe[0]["action"], &zoe[6]["record"]["name"], &zoe[7]["record"]["address"]),
        (&json!("create"), &json!("Zoë Müller"), &json!(null))
    );
    assert!(start(&zoe[6], "address") == "Straße" && zoe[4]["record"]["phone"] == "+49 30 7654321");
    let two = history(2);
    let texts: Vec<_> = two.iter().map(|item| start(item, "medical_history") + &start(item, "address")).collect();
    assert_eq!(texts, ["text hüüüüüü", "text höööööö", "new hiöööööö", "new hiöööööö", "shortshort"]);

    // One request that changed role and `disabled` left two entries, and made one version.
    let root = app.logged_in("root@example.org", PASSWORD);
    let cal = root.get("/api/admin/users/4/history").expect(200, "success").data();
    let states: Vec<_> = cal
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| (&item["version"], &item["record"]["role"], &item["record"]["disabled"]))
        .collect();
    let expected = json!([[4, "user", false], [3, "user", true], [2, "admin", false], [1, "user", false]]);
    assert_eq!(json!(states), expected);
    let entries = root.get("/api/admin/audit?resource=user&resource_id=4&limit=500").expect(200, "success").data();
    let entries: Vec<_> = entries
        .as_array()
        .expect("a page")
        .iter()
        .filter(|entry| !entry["version"].is_null())
        .map(|entry| (&entry["action"], &entry["version"]))
        .collect();
    assert_eq!(json!(entries), json!([["enable", 4], ["disable", 3], ["role_change", 3], ["role_change", 2]]));
}

#[test]
fn what_was_deleted_before_the_upgrade_can_be_brought_back() {
    let app = TestApp::on(&old_database(), |_| {});
    let (ann, root) = (app.logged_in("ann.baker@example.org", PASSWORD), app.logged_in("root@example.org", PASSWORD));
    assert_eq!(ann.get("/api/patients/deleted").expect(200, "success").ids(), [7, 5]);
    let history = ann.get("/api/patients/5/history").expect(200, "success").data();
    assert_eq!(
        (&history[0]["version"], &history[0]["record"], &history[0]["actor_id"]),
        (&json!(5), &json!(null), &json!(2))
    );
    assert_eq!(history.as_array().map(Vec::len), Some(5));
    let back = ann.send("POST", "/api/patients/5/undelete", &[], None).expect(200, "updated");
    assert_eq!(
        (back.etag(), &back.json()["message"]),
        ("\"6\"".into(), &json!("Patient brought back with 2 of 2 mappings"))
    );
    assert!(
        back.data()["name"] == "Patient Two"
            && back.data()["medical_history"].as_str().is_some_and(|text| text.starts_with("kept"))
    );
    let back = root.send("POST", "/api/admin/doctors/3/undelete", &[], None).expect(200, "updated");
    assert_eq!(back.json()["message"], "Doctor brought back with 2 of 2 mappings");
    assert_eq!(root.get("/api/admin/mappings?doctor_id=3").expect(200, "success").ids().len(), 2);
}

#[test]
fn an_upgrade_that_cannot_keep_every_record_of_the_trail_fails_and_changes_nothing() {
    let database = old_database();
    let mut sql = postgres::connect(&database);
    sql.batch_execute(
        "insert into audit_entries (action, resource, resource_id, before) values ('update', 'session', 1, '{}')",
    )
    .expect("an entry about what has no versions");
    migrate::run(&mut sql, &migrate::load(None).expect("migrations")).expect_err("a refusal");
    let state = "select (select count(before) from audit_entries), to_regclass('record_versions') is null";
    let row = sql.query_one(state, &[]).expect("the old schema");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (46, true));
}

/// The SQL files of a program with one more migration, and that migration's number.
fn newer_program(step: impl FnOnce(usize) -> String) -> (Folder, usize) {
    let (sql, number) = (Folder::with_sql(), migrate::load(None).expect("migrations").len() + 1);
    sql.write(&format!("migrations/{number:04}_more.sql"), &step(number));
    (sql, number)
}

#[test]
fn nodes_are_upgraded_one_by_one_and_an_older_program_starts_as_well() {
    let old = TestApp::start();
    let ann = old.signed_up("ann");
    let more = "alter table patients add column x text; alter table doctors add column y int; create table z (w int);";
    let (sql, number) = newer_program(|_| more.to_string());
    let new = TestApp::on(&old.database, |config| config.sql_dir = Some(sql.path().to_path_buf()));
    let again = TestApp::on(&old.database, |_| {});
    for node in [&old, &new, &again] {
        node.anyone().get("/readyz").expect(200, "success");
        let ann = ann.at(node);
        let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
        let mapping = ann.new_mapping(patient, doctor);
        ann.patch(&format!("/api/patients/{patient}"), json!({ "name": "Q" })).expect(200, "updated");
        ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
    }
    assert_eq!(ann.get("/api/patients").expect(200, "success").ids().len(), 3);
    let row = old.sql().query_one("select max(version), count(*) from schema_migrations", &[]).expect("a row");
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i64>(1)), (number as i32, number as i64));
}

#[test]
fn an_older_program_says_at_once_that_it_cannot_serve_a_schema_that_breaks_it() {
    let old = TestApp::start();
    let (sql, number) = newer_program(|number| {
        format!(
            "alter table patients rename column phone to telephone;
                 update schema_migrations set breaks_older = true where version = {number};"
        )
    });
    // Its statements are those of the old one, which do not fit: only the migration of this program is of interest.
    let mut owner = postgres::connect(&old.database);
    migrate::run(&mut owner, &migrate::load(Some(sql.path())).expect("migrations")).expect("the newer schema");
    let refused = old.anyone().get("/readyz").expect(503, "failed");
    assert!(refused.header("retry-after").is_some());
    old.anyone().get("/healthz").expect(200, "success");
    let problem = migrate::run(&mut owner, &migrate::load(None).expect("migrations")).expect_err("a refusal");
    assert!(problem.contains(&number.to_string()) && problem.contains("install a newer program"), "{problem}");
}

#[test]
fn a_folder_of_sql_files_must_number_its_migrations_without_a_gap() {
    let (sql, number) = newer_program(|_| "select;".to_string());
    sql.write(&format!("migrations/{:04}_gap.sql", number + 2), "select;");
    let problem = migrate::load(Some(sql.path())).err().expect("a refusal");
    assert!(problem.contains("_gap.sql") && problem.contains(&(number + 1).to_string()), "{problem}");
}
