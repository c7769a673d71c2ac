//! A database of the program before there was a history, with rows of every kind, is brought up to date and shows what it showed before.
//!
//! `upgrade/rows.sql` has the rows that that program wrote, and `upgrade/pages.json` what it answered: who asked, the path, the data.

use healthcare_backend::internals::migrate;
use serde_json::Value;

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
