//! Our own mistakes: a handler that panics, statements that are not what the program expects.

use healthcare_backend::{Config, Service};
use serde_json::json;

use super::number;
use crate::harness::app::PASSWORD;
use crate::harness::folder::Folder;
use crate::harness::{TestApp, postgres};

#[test]
fn a_panic_is_a_500_that_says_only_the_request_id_and_the_thread_lives() {
    let sql = Folder::with_sql();
    // A column of another type than the handler reads makes it panic.
    sql.replace("health.sql", "coalesce(max(version), 0) as version", "max('secret'::text) as version");
    let registered = "\n)\nselect id, name, email,";
    sql.replace("users.sql", registered, &registered.replace("select id", "select id::text"));
    let app = TestApp::with(|config| {
        config.sql_dir = Some(sql.path().to_path_buf());
        config.workers = 1;
    });
    let anyone = app.anyone();
    for round in 0..3 {
        let email = format!("ann-{round}@example.org");
        let register = json!({ "name": "Ann", "email": email, "password": PASSWORD });
        for answer in [anyone.get("/readyz"), anyone.post("/api/auth/register", register)] {
            crate::contract::check(&answer);
            let answer = answer.expect(500, "failed");
            let message = answer.json()["message"].as_str().unwrap_or_default().to_string();
            assert!(message.contains(answer.header("x-request-id").expect("an id")), "{message}");
            for word in ["panic", "secret", "version", "Ann", "example"] {
                assert!(!message.contains(word), "{message}");
            }
        }
        anyone.get("/healthz").expect(200, "success");
        anyone.post("/api/auth/login", json!({ "email": "x@example.org", "password": "y" })).expect(401, "invalid");
    }
    assert_eq!(number(&app, "panics_total"), 6);
}

/// Such a panic leaves the transaction open. On the only connection, the next request would confirm changes that PostgreSQL rolls back,
/// or commit changes that were refused.
#[test]
fn a_panic_in_a_transaction_undoes_it_and_no_other_request_continues_in_it() {
    let sql = Folder::with_sql();
    sql.replace("patients.sql", "select asked.number, created.*", "select asked.number, created.id::text");
    let app = TestApp::with(|config| config.sql_dir = Some(sql.path().to_path_buf()));
    let (ann, mut outside) = (app.signed_up("ann"), app.sql());
    let mut seen = |table: &str| -> i64 {
        outside.query_one(&format!("select count(*) from {table}"), &[]).expect("a count").get(0)
    };
    let body = json!({ "name": "P", "date_of_birth": "1990-04-23", "gender": "other" });
    for round in 1..=3 {
        // With a key, the record and the stored answer share a transaction.
        let key = format!("round-{round}");
        let key = [("Idempotency-Key", key.as_str())];
        ann.send("POST", "/api/patients", &key, Some(body.clone())).expect(500, "failed");
        assert_eq!((seen("patients"), seen("idempotency_keys")), (0, 0), "round {round}");
        ann.new_doctor("D");
        assert_eq!(seen("doctors"), round, "a record that was confirmed is visible to all");
        // A transaction, whose `commit` would also commit what an open transaction had done.
        app.logged_in(&ann.email, PASSWORD);
        assert_eq!((seen("patients"), seen("idempotency_keys")), (0, 0), "round {round}");
    }
    assert_eq!(number(&app, "panics_total"), 3);
}

#[test]
fn a_statement_that_fails_is_a_500_that_says_nothing_of_the_database() {
    let sql = Folder::with_sql();
    sql.replace(
        "health.sql",
        "coalesce(max(version), 0) as version",
        "length(pg_read_file('secret-of-the-database')) + max(version) as version",
    );
    let app = TestApp::with(|config| config.sql_dir = Some(sql.path().to_path_buf()));
    let answer = app.anyone().get("/readyz").expect(500, "failed");
    crate::contract::check(&answer);
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret-of"));
}

/// The one line that a refused start prints.
fn refusal(sql: &Folder) -> String {
    let config = Config {
        port: 0,
        database_url: Some(postgres::new_database()),
        jwt_secret: Some("a secret of the tests, 32 bytes or more".into()),
        sql_dir: Some(sql.path().to_path_buf()),
        ..Config::default()
    };
    let line = Service::start(config).err().expect("a refusal");
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn statements_that_do_not_fit_the_schema_stop_the_start_with_one_line_that_names_them() {
    let find = "-- name: find(owner_id bigint[], id bigint[]) :opt";
    for (file, from, to, named) in [
        ("patients.sql", find, "-- name: seek(id bigint, owner_id bigint) :opt", ["patients", "find"]),
        ("patients.sql", find, "-- name: find(owner_id bigint[]) :opt", ["patients.find", "$2"]),
        ("patients.sql", find, "-- name: find(owner_id bigint[], id bigint[], x text) :opt", ["patients.find", "$3"]),
        ("patients.sql", find, "-- name: find(owner_id bigint[], id money) :opt", ["patients", "money"]),
        ("patients.sql", find, "-- name: find(owner_id bigint[], id bigint[]) :some", ["patients", ":some"]),
        (
            "patients.sql",
            find,
            "-- name: find(id bigint[], owner_id bigint[]) :opt",
            ["patients.find", "owners, and have it first"],
        ),
        ("patients.sql", find, "-- name: list(id bigint, owner_id bigint) :opt", ["patients.list", "twice"]),
        (
            "health.sql",
            "-- name: schema_version",
            "-- name: more() :exec\nselect;\n-- name: schema_version",
            ["health", "more"],
        ),
        ("health.sql", "  from schema_migrations;", "from;", ["health.schema_version", "syntax"]),
        ("health.sql", "schema_migrations", "schema_migration", ["health.schema_version", "schema_migration"]),
        ("patients.sql", "on p.id = q.patient_id", "on p.id = q.patient_id::text", ["patients.find", ""]),
    ] {
        let sql = Folder::with_sql();
        sql.replace(file, from, to);
        let line = refusal(&sql);
        assert!(named.iter().all(|part| line.contains(part)), "{to}: {line}");
    }
    let sql = Folder::with_sql();
    std::fs::remove_file(sql.path().join("doctors.sql")).expect("no file");
    assert!(refusal(&sql).contains("doctors.sql"));
    let sql = Folder::with_sql();
    std::fs::remove_file(sql.path().join("migrations/0002_clinic.sql")).expect("no file");
    assert!(refusal(&sql).contains("0002_clinic.sql"));
    assert!(refusal(&Folder::new()).contains(".sql"));
}

#[test]
fn a_migration_that_fails_is_named_and_leaves_nothing_behind() {
    let sql = Folder::with_sql();
    sql.replace("migrations/0002_clinic.sql", "create table mappings", "create table patients");
    let database = postgres::new_empty_database();
    let config = Config {
        port: 0,
        database_url: Some(database.clone()),
        jwt_secret: Some("a secret of the tests, 32 bytes or more".into()),
        sql_dir: Some(sql.path().to_path_buf()),
        ..Config::default()
    };
    let line = Service::start(config).err().expect("a refusal");
    assert!(line.contains("0002_clinic") && !line.contains('\n'), "{line}");
    let mut client = postgres::connect(&database);
    let row = client.query_one("select max(version), to_regclass('doctors') is null from schema_migrations", &[]);
    let row = row.expect("a row");
    assert_eq!(
        (row.get::<_, i32>(0), row.get::<_, bool>(1)),
        (1, true),
        "the earlier migrations stay, the failed one is undone"
    );
    // With the right file the rest follows.
    let app = TestApp::on(&database, |_| {});
    app.anyone().get("/readyz").expect(200, "success");
}
