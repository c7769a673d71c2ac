//! The commands of docs/, typed on this machine against servers that run. Those that would install something here are only
//! read (`api tidy::shell`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::cluster::{Cluster, Folder};
use crate::deploy::migrate_as_owner;
use crate::node::Node;

/// The first words of commands that change the machine, that build the release, or that go on with the first session
/// (`first_session`). The section on clusters is for several machines (`make test-cluster`).
const NOT_HERE: [&str; 7] = ["cargo", "git", "make", "systemd-sysusers", "systemctl", "docker", "call"];
const ELSEWHERE: &str = "\n## A cluster\n";

/// The blocks of shell commands of the pages in docs/.
fn blocks() -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let paths = fs::read_dir(docs).expect("docs/").map(|entry| entry.expect("an entry").path());
    let pages = paths.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let texts = pages.map(|path| {
        let text = fs::read_to_string(path).expect("a page");
        let Some((before, rest)) = text.split_once(ELSEWHERE) else { return text };
        let (_, after) = rest.split_once("\n## ").expect("a section after it");
        format!("{before}\n## {after}")
    });
    let of_page = |text: String| -> Vec<String> {
        text.split("```sh\n").skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_string())).collect()
    };
    texts.flat_map(of_page).collect()
}

#[test]
fn the_commands_of_the_pages_work_as_written() {
    let folder = Folder::new("pages");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    symlink(root.join("deploy"), folder.0.join("deploy")).expect("a link");
    // With DATABASE_URL the program would not look for the private PostgreSQL.
    let program = env!("CARGO_BIN_EXE_healthcare-backend");
    let script = format!("#!/bin/sh\nunset DATABASE_URL\nexec '{program}' \"$@\"\n");
    let script = folder.file("healthcare-backend", &script);
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("a mode");

    folder.file("list.csv", "name;Date of birth;gender;Remarks\nZoë Müller;1990-04-23;female;new\n");

    let (old, new) = (folder.0.join("old"), folder.0.join("new"));
    let cluster = Cluster::start(&folder, "own", &[]);
    migrate_as_owner(&cluster);
    cluster.sql("insert into users (name, email, password_hash) values ('Ann', 'ann@example.org', '')");
    cluster.sql("create database empty");
    let own = cluster.connection_string();
    let empty = format!("{} dbname=empty", own.split(" dbname=").next().expect("its socket"));
    let psql = cluster.program("psql");
    let programs = Path::new(psql.get_program()).parent().expect("their folder");
    let path = format!("{}:{}:{}", folder.0.display(), programs.display(), std::env::var("PATH").expect("PATH"));

    let mut node = Node::start(&[("DATA_DIR", &old.display().to_string())]);
    node.signed_up("ann");
    let run = |block: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-e", "-c", block]).current_dir(&folder.0).env_clear().env("PATH", &path);
        bash.env("DATA_DIR", if block.contains(" restore ") { &new } else { &old }).env("OWNER_URL", own);
        bash.env("DATABASE_URL", if block.contains("pg_restore") { &empty } else { own });
        let output = bash.output().expect("bash");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{block}{said}");
        said
    };
    let is_elsewhere = |line: &str| NOT_HERE.iter().any(|word| line.starts_with(word));
    let is_for_here = |block: &String| !block.lines().any(is_elsewhere);
    let said: Vec<(String, String)> =
        blocks().into_iter().filter(is_for_here).map(|block| (run(&block), block)).collect();
    assert!(node.stop().success());
    for (command, part) in [
        ("backup", "users 1"),
        ("restore", "users 1"),
        ("import", "1 patient"),
        ("pg_dump", ""),
        ("pg_restore", ""),
        ("psql", ""),
    ] {
        let ran =
            said.iter().find(|(_, block)| block.starts_with(command) || block.contains(&format!("backend {command} ")));
        let (text, _) = ran.unwrap_or_else(|| panic!("no page has a block with {command}"));
        assert!(text.contains(part), "{command}: {text}");
    }
    let mut restored = crate::harness::postgres::connect(&empty);
    let row = restored.query_one("select count(*) from users where email = 'ann@example.org'", &[]).expect("a row");
    assert_eq!(row.get::<_, i64>(0), 1);
    assert_eq!(cluster.ask("select count(*)::text from pg_roles where rolname = 'healthcare_run'"), "1");
}
