//! The files of `deploy/` and `make install`: each is used, or checked by the program that reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::cluster::{Cluster, Folder};
use crate::node::Node;

/// The file of this name in `deploy/`.
pub fn deployed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn migrate_as_owner(cluster: &Cluster) {
    let mut migrate = Command::new(env!("CARGO_BIN_EXE_healthcare-backend"));
    migrate.arg("migrate").current_dir("/").env("DATABASE_URL", cluster.connection_string());
    let output = migrate.env("JWT_SECRET", crate::harness::app::SECRET).output().expect("the program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// As the file says: with psql, as the owner, and twice, because it may be repeated.
pub fn grant_to_run_time_role(cluster: &Cluster) {
    for _ in 0..2 {
        let mut psql = cluster.program("psql");
        psql.args([cluster.connection_string(), "--quiet", "-v", "ON_ERROR_STOP=1", "-c", &deployed("grants.sql")]);
        let output = psql.output().expect("psql");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_run_time_role_serves_and_can_change_neither_schema_nor_audit_trail() {
    let folder = Folder::new("grants");
    let cluster = Cluster::start(&folder, "data", &[]);
    let as_role = cluster.connection_string().replace("user=healthcare ", "user=healthcare_run ");
    migrate_as_owner(&cluster);
    grant_to_run_time_role(&cluster);

    let node = Node::start(&[("DATABASE_URL", &as_role)]);
    let ann = node.signed_up("ann");
    let (patient, doctor) = (ann.new_patient("Someone"), ann.new_doctor("Dr Who"));
    let mapping = ann.new_mapping(patient, doctor);
    ann.get("/api/mappings").expect(200, "success");
    let body = json!({ "name": "Once", "date_of_birth": "1990-04-23", "gender": "male" });
    let once = || {
        ann.send(
            "POST",
            "/api/patients",
            &[("Idempotency-Key", "8e03978e-40d5-43e8-bc93-6894a57f9324")],
            Some(body.clone()),
        )
        .expect(201, "created")
        .id()
    };
    assert_eq!(once(), once());
    ann.patch(&format!("/api/doctors/{doctor}"), json!({ "phone": "12345" })).expect(200, "updated");
    ann.delete(&format!("/api/mappings/{mapping}")).expect(200, "deleted");
    ann.delete(&format!("/api/doctors/{doctor}")).expect(200, "deleted");
    ann.delete(&format!("/api/patients/{patient}")).expect(200, "deleted");
    ann.post(&format!("/api/patients/{patient}/undelete"), json!({})).expect(200, "updated");
    ann.post("/api/auth/refresh", json!({ "refresh_token": ann.refresh_token })).expect(200, "success");
    node.anyone()
        .post("/api/auth/login", json!({ "email": ann.email, "password": "wrong password" }))
        .expect(401, "invalid");
    ann.post("/api/auth/logout", json!({})).expect(200, "success");
    node.until_ready(200);
    assert!(node.lines_with("Z error ").is_empty(), "{:#?}", node.lines());

    let ungranted = "select coalesce(string_agg(relname, ', '), '') from pg_class
                      where relkind = 'r' and relnamespace = 'public'::regnamespace
                        and not has_table_privilege('healthcare_run', oid, 'select')";
    assert_eq!(cluster.ask(ungranted), "", "tables that deploy/grants.sql forgets");

    let mut role = crate::harness::postgres::connect(&as_role);
    for forbidden in [
        "create table t ()",
        "create temporary table t ()",
        "create schema s",
        "drop table patients",
        "alter table patients add column x text",
        "truncate audit_entries",
        "delete from audit_entries",
        "update audit_entries set outcome = 'success'",
        "alter table audit_entries disable trigger all",
        "update record_versions set record = null",
        "delete from record_versions",
        "truncate record_versions",
        "insert into record_versions (resource, record_id, version, owner_id, ended_by, ended_at) values ('user', 1, 1, 1, 'update', '2020-01-01')",
        "delete from audit_batch_actors",
        "truncate audit_batches",
        "delete from audit_batches",
        "update audit_batches set action = 'list'",
        "alter table audit_batches disable trigger all",
        "select setval('audit_entries_id_seq', 1)",
        "insert into schema_migrations (version, name) values (99, 'x')",
        "delete from users",
        "insert into audit_entries (action, resource, at) values ('login', 'session', '2020-01-01')",
        "insert into audit_entries (action, resource, id) overriding system value values ('login', 'session', 7)",
        "insert into audit_batches (id, action, resource, at, actor_id, resource_id, resource_ids, ip, request_id, record_ids)
         values (7, 'read', 'patient', '{now}', '{1}', '{1}', '{null}', '{null}', '{null}', '{1}')",
        "create temporary view v as select 1",
        "select lo_create(0)",
        "select lo_creat(-1)",
        "select lo_from_bytea(0, 'x')",
        "select lo_put(1, 0, 'x')",
        "select lowrite(0, 'x')",
    ] {
        let error = role.batch_execute(forbidden).expect_err(forbidden);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{forbidden}: {error}");
    }
    // The housekeeping of sessions is among what it may do.
    for allowed in
        ["delete from sessions where expires_at < now()", "delete from idempotency_keys where created_at < now()"]
    {
        role.batch_execute(allowed).expect(allowed);
    }
}

#[test]
fn a_role_without_rights_on_the_schema_is_told_who_migrates() {
    let folder = Folder::new("unmigrated");
    let cluster = Cluster::start(&folder, "data", &[]);
    cluster.sql("create role healthcare_run login; revoke create on schema public from public");
    let as_role = cluster.connection_string().replace("user=healthcare ", "user=healthcare_run ");
    let lines = Node::try_start(&[("DATABASE_URL", &as_role)]).err().expect("no start");
    let last = lines.last().expect("a line");
    assert!(last.contains("permission denied") && last.contains("healthcare-backend migrate"), "{lines:#?}");
}

#[test]
fn the_systemd_unit_is_well_formed_and_hardened() {
    let folder = Folder::new("systemd");
    // Only the program's place is another one: systemd wants it to be there.
    let unit = deployed("healthcare-backend.service").replace("/usr/local/bin/healthcare-backend", "/bin/true");
    let path = folder.file("healthcare-backend.service", &unit);
    let verify = Command::new("systemd-analyze").arg("verify").arg(&path).output().expect("systemd-analyze");
    let said = String::from_utf8_lossy(&verify.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("healthcare-backend.service")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    let security =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager"]).arg(&path).output();
    let said = String::from_utf8_lossy(&security.expect("systemd-analyze").stdout).into_owned();
    let exposure = said.lines().find_map(|line| line.split("Overall exposure level for ").nth(1)).expect("a verdict");
    assert!(exposure.contains(" OK "), "{exposure}");
    for line in [
        "Type=notify",
        "StartLimitIntervalSec=0",
        "TimeoutStartSec=infinity",
        "KillMode=mixed",
        "User=healthcare-backend",
        "StateDirectory=healthcare-backend",
    ] {
        assert!(unit.lines().any(|present| present == line), "{line}");
    }
    assert!(deployed("healthcare-backend.sysusers").contains("u healthcare-backend "));
}

#[test]
fn make_install_puts_everything_where_the_unit_expects_it() {
    let folder = Folder::new("install");
    // A program that is there already stands for the release build, which takes minutes.
    let target = folder.0.join("target/release");
    fs::create_dir_all(&target).expect("a folder");
    fs::copy(env!("CARGO_BIN_EXE_healthcare-backend"), target.join("healthcare-backend")).expect("a program");
    let staging = folder.0.join("staging");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut make = Command::new("make");
    make.current_dir(root).args(["install-files", "PREFIX=/opt/clinic"]).arg(format!("DESTDIR={}", staging.display()));
    let output = make.env("CARGO_TARGET_DIR", folder.0.join("target")).output().expect("make");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let version = Command::new(staging.join("opt/clinic/bin/healthcare-backend")).arg("version").output();
    assert!(version.expect("the installed program").status.success());
    let unit = fs::read_to_string(staging.join("etc/systemd/system/healthcare-backend.service")).expect("the unit");
    assert!(
        unit.contains("ExecStart=/opt/clinic/bin/healthcare-backend serve") && !unit.contains("/usr/local"),
        "{unit}"
    );
    for file in
        ["nginx.conf", "Caddyfile", "grants.sql", ".env.example", "LICENSE-MIT", "README.md", "docs/operations.md"]
    {
        assert!(staging.join("opt/clinic/share/healthcare-backend").join(file).exists(), "{file}");
    }
    assert!(staging.join("etc/sysusers.d/healthcare-backend.conf").exists());
}

#[test]
fn make_lists_its_commands_in_straight_columns() {
    let make = Command::new("make").current_dir(env!("CARGO_MANIFEST_DIR")).arg("--no-print-directory").output();
    let list = String::from_utf8(make.expect("make").stdout).expect("text");
    let column = |line: &str| {
        let name = line.strip_prefix("  make ").unwrap_or_else(|| panic!("{line}"));
        let blank = name.find(' ').expect("a description");
        name[blank..].find(|sign| sign != ' ').map(|blanks| blank + blanks)
    };
    let columns: Vec<_> = list.lines().map(column).collect();
    assert!(columns.len() > 10 && columns.iter().all(|column| *column == columns[0]), "{list}");
    assert!(!list.contains('\t'), "{list}");
}

#[test]
fn make_run_installs_no_postgresql_when_database_url_is_set() {
    let makefile = Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile");
    let folder = Folder::new("make-run");
    let is_installed = |value: Option<&str>| {
        let mut make = Command::new("make");
        make.current_dir(&folder.0).arg("-nf").arg(&makefile).arg("run").env_remove("DATABASE_URL");
        make.envs(value.map(|value| ("DATABASE_URL", value)));
        let output = make.output().expect("make");
        let steps = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && steps.contains("cargo run --release\n"), "{steps}");
        steps.contains("install-postgresql.sh")
    };
    assert!(is_installed(None) && is_installed(Some("")), "for the private PostgreSQL");
    assert!(!is_installed(Some("postgres://ann:se$(cret@localhost/clinic")));
    folder.file(".env", "#DATABASE_URL=x\nDATABASE_URL=\n");
    assert!(is_installed(None), "an empty value counts as unset");
    folder.file(".env", "PORT=0\nDATABASE_URL=postgres://localhost/clinic\n");
    assert!(!is_installed(None));
}

#[test]
fn the_health_check_of_the_image_tells_a_living_server_from_a_dead_one() {
    let text = deployed("Dockerfile");
    let check =
        text.split("CMD [\"bash\", \"-c\", \\\n").nth(1).and_then(|rest| rest.split_once("]\n")).expect("a check").0;
    let script: String = serde_json::from_str(check.trim()).expect("one string of JSON");
    let folder = Folder::new("health");
    let cluster = Cluster::start(&folder, "data", &[]);
    let mut node = Node::start(&[("DATABASE_URL", cluster.connection_string())]);
    let port = node.address.port().to_string();
    let says =
        || Command::new("bash").args(["-c", &script]).env("PORT", &port).output().expect("bash").status.success();
    assert!(says());
    node.kill();
    assert!(!says());

    // The user that it runs as exists, and owns the volume.
    let user = text.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(text.contains("useradd") && text.contains(&format!(" {user} \\")) && text.contains(&format!("-o {user} ")));
}
