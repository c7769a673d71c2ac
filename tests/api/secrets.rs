//! Every secret that the service has ever shown or been told, searched for in its log at the most talkative level, and in a dump of its
//! database.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::harness::binary::{Program, Serving};
use crate::harness::folder::Folder;
use crate::harness::totp::Totp;
use crate::harness::{PASSWORD, eventually, postgres};

/// A mail program that keeps its message in this folder.
fn mailer(folder: &Folder) -> String {
    let path = folder.path().join("mailer");
    let text = format!("#!/bin/sh\nset -e\ncat >{0}/part\nmv {0}/part {0}/mail\n", folder.path().display());
    fs::write(&path, text).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    path.display().to_string()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_string()
}

/// What happens to accounts in a year; the secrets of it.
fn a_year_of_accounts(server: &Serving, database: &str, folder: &Folder) -> Vec<String> {
    let anyone = server.anyone();
    let mut secrets = vec![PASSWORD.to_string()];
    let root = anyone.signed_up("root");
    let role = "update users set role = 'admin' where id = $1";
    postgres::connect(database).execute(role, &[&root.id]).expect("an admin");
    let root = anyone.logged_in(&root.email, PASSWORD);
    secrets.extend([root.token.clone().expect("a token"), root.refresh_token.clone()]);

    let new = json!({ "name": "Ann", "email": "ann@example.org" });
    let invited = root.post("/api/admin/users", new).expect(201, "created").data();
    secrets.extend([text(&invited["invitation"]["token"]), "the first pass phrase".into()]);
    anyone.reset(&secrets[3], "the first pass phrase").expect(200, "updated");
    anyone.reset(&secrets[3], "the first pass phrase").expect(401, "invalid");
    // One that is never used.
    secrets.push(root.reset_token(root.id));
    anyone.post("/api/auth/forgot", json!({ "email": "ann@example.org" })).expect(202, "success");
    eventually("the mail is there", || folder.path().join("mail").exists());
    let mail = fs::read_to_string(folder.path().join("mail")).expect("a mail");
    let link = mail.lines().find(|line| line.starts_with("https://")).expect("a link");
    let token = link.rsplit('=').next().expect("a token").to_string();
    anyone.reset(&token, PASSWORD).expect(200, "updated");
    secrets.push(token);

    let ann = anyone.logged_in("ann@example.org", PASSWORD);
    let totp: Totp = ann.try_totp().expect("a second factor");
    let codes = ann.confirm(&totp);
    let login = |code: &str| {
        anyone.post("/api/auth/login", json!({ "email": "ann@example.org", "password": PASSWORD, "code": code }))
    };
    login("a wrong code of mine").expect(401, "invalid");
    login(&codes[0]).expect(200, "success");
    let change = json!({ "email": "ann.lee@example.org", "current_password": PASSWORD });
    ann.patch("/api/auth/me", change).expect(200, "updated");
    secrets.extend([totp.secret.clone(), totp.key_in_hex(), "a wrong code of mine".into()]);
    secrets.extend(codes);
    secrets
}

#[test]
fn no_secret_that_was_ever_shown_is_in_the_log_or_in_a_dump_of_the_database() {
    let (folder, database) = (Folder::new(), postgres::new_database());
    let program = Program::on(&database, &folder, &[]).set("RUST_LOG", "trace").set("SENDMAIL", &mailer(&folder));
    let program =
        program.set("MAIL_FROM", "clinic@example.org").set("RESET_URL", "https://clinic.example/reset?token=");
    let server = program.serve();
    let secrets = a_year_of_accounts(&server, &database, &folder);
    let ended = server.stop();
    let log = format!("{}{}", ended.stdout, ended.stderr);
    assert!(log.contains("/api/auth/reset") && log.contains("/api/auth/totp/confirm"), "{log}");
    let mut sql = postgres::connect(&database);
    let tables = "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
    let mut dump = String::new();
    for table in sql.query(tables, &[]).expect("tables") {
        let rows = format!("select coalesce(string_agg(t::text, E'\\n'), '') from {} t", table.get::<_, &str>(0));
        dump += sql.query_one(&rows, &[]).expect("rows").get(0);
    }
    assert!(dump.contains("ann.lee@example.org"));
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
        assert!(!dump.contains(secret.as_str()), "{secret} is in the database");
    }
    assert!(secrets.len() > 18);
}
