//! The program on the private PostgreSQL: the secret that it keeps, commands beside a running server, and that each leaves
//! things as it found them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ::postgres::Client;
use ::postgres::error::SqlState;
use healthcare_backend::internals::secret;
use serde_json::json;

use crate::harness::binary::Program;
use crate::harness::folder::Folder;
use crate::harness::{PASSWORD, at_once, eventually, postgres};

/// The process id of the private PostgreSQL, if one runs.
fn postmaster(folder: &Folder) -> Option<String> {
    let text = std::fs::read_to_string(folder.path().join("data/postgresql/postmaster.pid")).ok()?;
    text.lines().next().map(str::to_string)
}

fn program(folder: &Folder, arguments: &[&str]) -> Program {
    Program::bare(folder, arguments).weak()
}

#[test]
fn a_server_on_nothing_but_a_folder_keeps_its_data_and_its_secret() {
    let folder = Folder::new();
    let check = program(&folder, &["check"]).run("");
    assert!(check.said().contains("0001_accounts"), "a first start would migrate: {check:?}");
    let creating = format!("creating the private PostgreSQL in {}/data\n", folder.path().display());
    assert!(check.stderr.contains(&creating), "it says what it waits for: {check:?}");
    assert_eq!(postmaster(&folder), None, "the command stopped what it had started");

    let server = program(&folder, &[]).serve();
    assert!(server.lines_with("creating the private PostgreSQL").is_empty(), "it is there");
    let running = postmaster(&folder);
    assert!(running.is_some());
    let anyone = server.anyone();
    let register = json!({ "name": "Ann", "email": "ann@example.org", "password": PASSWORD });
    anyone.post("/api/auth/register", register.clone()).expect(201, "created");
    let login = anyone.post("/api/auth/login", json!({ "email": "ann@example.org", "password": PASSWORD }));
    let token = login.expect(200, "success").data()["token"].as_str().expect("a token").to_string();

    // Commands beside the server work on the same database and leave it running.
    let admin =
        program(&folder, &["create-admin", "--email", "root@example.org", "--name", "Root"]).run("a fine password\n");
    admin.said();
    program(&folder, &["set-role", "--email", "ann@example.org", "--role", "admin"]).run("").said();
    program(&folder, &["migrate"]).run("").said();
    assert!(program(&folder, &["check"]).run("").said().contains("all applied"));
    assert_eq!(postmaster(&folder), running, "as it was found");
    anyone
        .post("/api/auth/login", json!({ "email": "root@example.org", "password": "a fine password" }))
        .expect(200, "success");
    anyone.post("/api/auth/register", register).expect(409, "failed");

    let secret = folder.path().join("data/jwt_secret");
    let read = |path: &Path| std::fs::read_to_string(path).expect("the secret");
    assert_eq!(std::fs::metadata(&secret).expect("the secret").permissions().mode() & 0o777, 0o600);
    let made = read(&secret);
    assert!(made.trim().len() >= 32);

    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(postmaster(&folder), None, "it stopped its PostgreSQL");
    let log = std::fs::read_to_string(folder.path().join("data/postgresql.log")).unwrap_or_default();
    assert!(!log.contains("example.org"), "PostgreSQL's log says nothing about a person: {log}");

    // The next start finds the users, and the tokens of before are still good.
    let server = program(&folder, &["serve"]).serve();
    assert_eq!(read(&secret), made);
    let ann = server.anyone().with_token(&token);
    assert_eq!(ann.get("/api/auth/me").expect(200, "success").data()["role"], "admin");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn a_killed_server_leaves_its_postgresql_to_the_next_one() {
    let folder = Folder::new();
    let server = program(&folder, &[]).serve();
    let register = json!({ "name": "Ann", "email": "ann@example.org", "password": PASSWORD });
    server.anyone().post("/api/auth/register", register.clone()).expect(201, "created");
    let left = postmaster(&folder);
    server.signal("KILL");
    server.ended();
    let server = program(&folder, &[]).serve();
    assert!(left.is_some());
    server.anyone().post("/api/auth/register", register).expect(409, "failed");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(postmaster(&folder), None);
}

/// A connection to the private PostgreSQL that runs.
fn connect(folder: &Folder, role: &str) -> Client {
    let socket = folder.path().join("data/postgresql.socket");
    postgres::connect(&format!("host={} user={role} dbname=healthcare", socket.display()))
}

#[test]
fn the_private_postgresql_is_served_by_a_role_of_least_rights_even_if_it_was_created_without_one() {
    let folder = Folder::new();
    // Made and filled by its owner, as it was before there was a role.
    let admin = ["create-admin", "--email", "root@example.org", "--name", "Root"];
    program(&folder, &admin).run("a fine password\n").said();

    let server = program(&folder, &["serve"]).serve();
    let root = server.anyone().logged_in("root@example.org", "a fine password");
    let (patient, doctor) = (root.new_patient("P"), root.new_doctor("D"));
    root.new_mapping(patient, doctor);
    root.get(&format!("/api/patients/{patient}")).expect(200, "success");
    root.delete(&format!("/api/patients/{patient}")).expect(200, "deleted");
    root.get("/api/admin/audit").expect(200, "success");
    let mut owner = connect(&folder, "healthcare");
    let others =
        "select count(*) filter (where usename = 'healthcare_run'), count(*) filter (where usename <> 'healthcare_run')
                    from pg_stat_activity where application_name = 'healthcare-backend'";
    eventually("every connection is the role's", || {
        let row = owner.query_one(others, &[]).expect("counts");
        row.get::<_, i64>(0) > 1 && row.get::<_, i64>(1) == 0
    });
    let role = "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
                       or exists (select from pg_auth_members where member = r.oid) or pg_has_role(r.oid, 'healthcare', 'member')
                  from pg_roles r where rolname = 'healthcare_run'";
    assert!(!owner.query_one(role, &[]).expect("a role").get::<_, bool>(0));
    let mut role = connect(&folder, "healthcare_run");
    for forbidden in [
        "create table t ()",
        "create temporary table t ()",
        "create schema s",
        "create role r",
        "alter table patients add column x text",
        "delete from audit_entries",
        "update audit_entries set outcome = 'success'",
        "truncate audit_batches",
        "alter table audit_entries disable trigger all",
        "update record_versions set record = null",
        "delete from record_versions",
        "truncate record_versions",
        "insert into record_versions (resource, record_id, version, owner_id, ended_by, ended_at) values ('user', 1, 1, 1, 'update', '2020-01-01')",
        "insert into schema_migrations (version, name) values (99, 'x')",
        "select lo_create(0)",
        "copy (select 1) to program 'true'",
        "select pg_read_file('postgresql.conf')",
        "alter system set fsync = off",
        "set role healthcare",
    ] {
        let error = role.batch_execute(forbidden).expect_err(forbidden);
        assert_eq!(error.code().map(SqlState::code), Some("42501"), "{forbidden}: {error}");
    }
    assert_eq!(server.lines_with("Z error ").len(), 0);

    // The next start creates what a backup leaves out.
    let file = folder.path().join("clinic.backup").display().to_string();
    program(&folder, &["backup", &file]).run("").said();
    assert_eq!(server.stop().code, Some(0));
    let other = Folder::new();
    program(&other, &["restore", &file]).run("").said();
    let server = program(&other, &["serve"]).serve();
    server.anyone().logged_in("root@example.org", "a fine password").new_patient("Q");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn servers_that_start_at_once_on_one_folder_make_the_role_once() {
    let folder = Folder::new();
    program(&folder, &["migrate"]).run("").said();
    let servers = at_once(3, |_| program(&folder, &["serve"]).serve());
    for server in servers {
        server.anyone().get("/readyz").expect(200, "success");
        assert_eq!(server.stop().code, Some(0));
    }
    assert_eq!(postmaster(&folder), None);
}

/// A PostgreSQL that was stopped, and that will not get past its recovery: it waits for a file that never comes.
fn will_recover_for_ever(folder: &Folder) {
    let files = folder.path().join("data/postgresql");
    let mut settings = std::fs::OpenOptions::new().append(true).open(files.join("postgresql.conf")).expect("settings");
    settings.write_all(b"restore_command = 'sleep 600'\n").expect("a setting");
    std::fs::write(files.join("recovery.signal"), "").expect("a signal");
}

/// Waits until another PostgreSQL than this one has begun to start.
fn begins_to_start(folder: &Folder, before: Option<String>) {
    eventually("PostgreSQL begins to start", || postmaster(folder).is_some_and(|pid| Some(pid) != before));
}

#[test]
fn sigterm_while_postgresql_is_started_again_stops_that_too() {
    let folder = Folder::new();
    let server = program(&folder, &["serve"]).serve();
    let before = postmaster(&folder);
    will_recover_for_ever(&folder);
    // At once, as if it had been killed.
    signal("-QUIT", before.as_deref().expect("a process id"));
    begins_to_start(&folder, before);
    let asked = Instant::now();
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(postmaster(&folder), None, "nothing runs on: {ended:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn sigterm_while_postgresql_starts_for_the_first_time_stops_that_too() {
    let folder = Folder::new();
    program(&folder, &["migrate"]).run("").said();
    will_recover_for_ever(&folder);
    let server = program(&folder, &["serve"]).start();
    begins_to_start(&folder, None);
    let asked = Instant::now();
    let ended = server.stop();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "it has not listened: {ended:?}");
    assert_eq!(postmaster(&folder), None, "nothing runs on: {ended:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().expect("kill").success());
}

#[test]
fn first_starts_at_once_make_one_secret() {
    for _ in 0..20 {
        let folder = Folder::new();
        let data_dir = folder.path().join("data");
        let secrets = at_once(8, |_| secret::kept(&data_dir).expect("a secret"));
        assert!(secrets.iter().all(|secret| *secret == secrets[0] && secret.len() >= 32), "{secrets:?}");
        assert_eq!(secret::look(&data_dir), Ok(Some(secrets[0].clone())), "and it is the one that is kept");
    }
}

#[test]
fn a_secret_that_was_emptied_or_cut_is_replaced_with_a_warning() {
    let folder = Folder::new();
    let replaced =
        |said: &str| said.lines().any(|line| line.contains("warn") && line.contains("jwt_secret held no secret"));
    let first = program(&folder, &[]).serve().stop();
    assert!(!replaced(&first.stderr), "{first:?}");
    let path = folder.path().join("data/jwt_secret");
    let made = std::fs::read_to_string(&path).expect("the secret");
    for rest in ["", &made[..31]] {
        std::fs::write(&path, rest).expect("a file");
        let ended = program(&folder, &[]).serve().stop();
        assert!(replaced(&ended.stderr), "{ended:?}");
        let now = std::fs::read_to_string(&path).expect("the secret");
        assert!(now.len() == made.len() && now != made, "{now}");
        assert!(!ended.stderr.contains(&now) && !ended.stderr.contains(&made[..31]), "{ended:?}");
    }
    // A file that is not text is left alone: another program wrote it.
    std::fs::write(&path, [0xff; 40]).expect("a file");
    for command in ["check", "serve"] {
        let ended = program(&folder, &[command]).set("RUST_LOG", "error").run("");
        assert!(ended.problem(1).contains("jwt_secret cannot be used: "), "{ended:?}");
    }
    assert_eq!(std::fs::read(&path).expect("the file"), [0xff; 40]);
    assert_eq!(postmaster(&folder), None);
}
