//! The command line, with the program itself: what each command says, its exit code, and that every failure is one line that
//! says what is wrong.

mod configuration;
mod private;
mod spreadsheets;
mod waiting;

use std::collections::BTreeSet;
use std::net::TcpListener;

use healthcare_backend::internals::VARIABLES;
use serde_json::json;

use crate::harness::binary::Program;
use crate::harness::folder::Folder;
use crate::harness::{PASSWORD, TestApp, postgres};
use crate::tidy::read;

/// The commands of the contract.
const COMMANDS: [&str; 14] = [
    "serve",
    "migrate",
    "create-admin",
    "set-role",
    "set-password",
    "remove-totp",
    "check",
    "import",
    "export",
    "backup",
    "restore",
    "openapi",
    "help",
    "version",
];

#[test]
fn help_and_version_need_nothing() {
    let folder = Folder::new();
    for word in ["help", "--help", "-h"] {
        let ended = Program::bare(&folder, &[word]).run("");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        for command in COMMANDS {
            assert!(ended.stdout.contains(&format!("\n  {command}")), "{command}");
        }
        let mut columns = BTreeSet::new();
        for variable in VARIABLES {
            let mut lines = ended.stdout.lines();
            let line = lines.find(|line| line.split_whitespace().next() == Some(variable.name)).expect(variable.name);
            let about = line.strip_suffix(variable.about).unwrap_or_else(|| panic!("{line}"));
            assert!(about.trim_end().ends_with(variable.default) && about.ends_with("  "), "{line}");
            columns.insert(about.chars().count());
        }
        assert_eq!(columns.len(), 1, "the meanings stand in one column: {}", ended.stdout);
    }
    for word in ["version", "--version", "-V"] {
        let ended = Program::bare(&folder, &[word]).run("");
        assert_eq!(ended.said(), concat!("healthcare-backend ", env!("CARGO_PKG_VERSION")));
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was made");
}

#[test]
fn every_command_explains_itself() {
    let folder = Folder::new();
    for (command, named) in [
        ("serve", &["SIGTERM", "DATA_DIR"][..]),
        ("create-admin", &["--email ADDRESS", "--name NAME", "standard input"]),
        ("set-role", &["--email ADDRESS", "--role ROLE", "admin"]),
        ("set-password", &["--email ADDRESS", "disabled"]),
        ("check", &["change nothing"]),
        ("import", &["--owner ADDRESS FILE", "[--map HEADER=FIELD]", "[--dry-run]", "[--allow-duplicates]", "One '"]),
        ("export", &["patients|doctors [--owner ADDRESS] FILE"]),
        ("backup", &["FILE", "pg_dump"]),
        ("restore", &["FILE"]),
    ]
    .into_iter()
    .chain(COMMANDS.map(|command| (command, &[][..])))
    {
        for word in ["--help", "-h"] {
            let ended = Program::bare(&folder, &[command, word]).run("");
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{command} {word}");
            assert!(ended.stdout.starts_with(&format!("healthcare-backend {command}")), "{}", ended.stdout);
            for text in named {
                assert!(ended.stdout.contains(text), "{command}: {}", ended.stdout);
            }
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was made");
}

#[test]
fn the_page_on_operations_lists_the_commands_as_help_does() {
    let help = Program::bare(&Folder::new(), &["help"]).run("").stdout;
    let commands: String =
        help.lines().skip(2).take_while(|line| !line.is_empty()).map(|line| line.to_string() + "\n").collect();
    assert_eq!(commands.lines().count(), COMMANDS.len(), "{commands}");
    let block = format!("```text\n{commands}```\n");
    assert!(read("docs/operations.md").contains(&block), "docs/operations.md must have\n{block}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_one_line() {
    let folder = Folder::new();
    for (arguments, named) in [
        (&["sevre"][..], "sevre"),
        (&["serve", "now"], "now"),
        (&["serve", "--port", "1"], "--port"),
        (&["--verbose"], "--verbose"),
        (&[""], ""),
        (&["migrate", "up"], "up"),
        (&["check", "-q"], "-q"),
        (&["create-admin"], "--email"),
        (&["create-admin", "--email", "a@example.org"], "--name"),
        (&["create-admin", "--name", "A", "--email"], "--email"),
        (&["create-admin", "--email", "a@example.org", "--email", "b@example.org", "--name", "A"], "--email"),
        (&["create-admin", "--email=a@example.org", "--name=A", "--password=secret-word"], "--password"),
        (&["set-role", "--email", "a@example.org"], "--role"),
        (&["set-role", "a@example.org", "admin"], "a@example.org"),
        (&["set-password"], "--email"),
        (&["remove-totp"], "--email"),
        (&["version", "extra"], "extra"),
        (&["help", "serve"], "serve"),
        (&["--version", "--loud"], "--loud"),
        (&["openapi", "--", "extra"], "extra"),
        (&["import"], "patients|doctors"),
        (&["import", "patients"], "--owner"),
        (&["import", "mappings", "--owner", "a@example.org", "f"], "patients, doctors"),
        (&["import", "patients", "--owner", "a@example.org"], "FILE"),
        (&["import", "patients", "f", "g", "--owner", "a@example.org"], "FILE must be given once"),
        (&["import", "patients", "f", "--owner", "nope"], "--owner must be an e-mail address"),
        (&["import", "patients", "f", "--owner", "a@example.org", "--map", "x"], "--map must be like"),
        (
            &["import", "patients", "f", "--owner", "a@example.org", "--dry-run", "--dry-run"],
            "--dry-run must be given once",
        ),
        (&["import", "patients", "f", "--owner", "a@example.org", "--dry-run=yes"], "--dry-run"),
        (&["export", "patients"], "FILE"),
        (&["export", "patients", "f", "--dry-run"], "--dry-run"),
        (&["backup"], "FILE"),
        (&["backup", "one", "two"], "FILE"),
        (&["restore", "-x"], "-x"),
        (&["create-admin", "--email", "nope", "--name", "A"], "--email must be an e-mail address"),
        (&["create-admin", "--email", "", "--name", "A"], "--email must be"),
        (&["create-admin", "--email", "--email=x", "--name", "A"], "--email must be"),
        (&["create-admin", "--email", "a@example.org", "--name", " "], "--name must have a visible character"),
        (&["create-admin", "--email", "a@example.org", "--name", "\u{200b}"], "--name must have a visible character"),
        (&["create-admin", "--email", "a@example.org", "--name", "A\u{7}"], "--name must"),
        (&["set-role", "--email", "a@example.org", "--role", "boss"], "--role must be one of user, admin"),
        (&["set-role", "--email", "nope", "--role", "admin"], "--email must be"),
    ] {
        let ended = Program::bare(&folder, arguments).run("");
        let problem = ended.problem(2);
        assert!(problem.contains(named) && !problem.contains("secret-word"), "{arguments:?}: {problem}");
        assert!(problem.contains("; try healthcare-backend "), "{problem}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was made");
}

#[test]
fn migrate_brings_an_empty_database_up_to_date_once() {
    let (folder, database) = (Folder::new(), postgres::new_empty_database());
    let run = |command: &str| Program::on(&database, &folder, &[command]).run("");
    let before = run("check");
    assert!(before.said().contains("0001_accounts"), "{before:?}");
    let first = run("migrate");
    assert!(first.said().starts_with("applied 0001_accounts, 0002_clinic"), "{first:?}");
    assert_eq!(run("migrate").said(), "the schema is up to date");
    let after = run("check");
    assert!(after.said().starts_with("ready: ") && after.said().contains("all applied"), "{after:?}");
}

#[test]
fn nodes_that_start_at_once_on_an_empty_database_migrate_it_once() {
    let database = postgres::new_empty_database();
    let nodes = crate::harness::at_once(4, |_| TestApp::on(&database, |_| {}));
    for node in &nodes {
        node.anyone().get("/readyz").expect(200, "success");
    }
    let count = "select count(*), count(distinct version) from schema_migrations";
    let row = postgres::connect(&database).query_one(count, &[]).expect("a row");
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1));
}

#[test]
fn a_database_that_an_older_program_cannot_serve_is_left_alone() {
    let (folder, database) = (Folder::new(), postgres::new_database());
    let future = "insert into schema_migrations (version, name, breaks_older) values (999, 'future', true)";
    postgres::connect(&database).batch_execute(future).expect("a step");
    for command in ["migrate", "check", "serve", "create-admin"] {
        let options: &[&str] =
            if command == "create-admin" { &["--email", "a@example.org", "--name", "A"] } else { &[] };
        let ended = Program::on(&database, &folder, &[&[command], options].concat()).run("a fine password\n");
        let problems = ended.problems(1);
        assert!(problems.len() == 1 && problems[0].contains("999"), "{command}: {ended:?}");
    }
}

#[test]
fn create_admin_takes_one_line_of_standard_input_as_the_password() {
    let app = TestApp::start();
    let folder = Folder::new();
    let create = |email: &str, name: &str, input: &str| {
        Program::on(&app.database, &folder, &["create-admin", "--email", email, "--name", name]).run(input)
    };
    let ended = create(" Root@Example.org ", " Root ", "a fine password \nignored\n");
    assert!(ended.said().contains("root@example.org"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("a fine password"));
    let root = app.logged_in("root@example.org", "a fine password ");
    assert_eq!(root.get("/api/auth/me").expect(200, "success").data()["role"], "admin");
    assert_eq!(root.get("/api/auth/me").expect(200, "success").data()["name"], "Root");
    root.get("/api/admin/users").expect(200, "success");
    // A line may end as on other systems, or not at all.
    create("crlf@example.org", "C", "a fine password\r\n").said();
    app.logged_in("crlf@example.org", "a fine password");
    create("none@example.org", "N", "a fine password").said();
    app.logged_in("none@example.org", "a fine password");

    for (email, name, password, named) in [
        ("root@example.org", "Root", "a fine password\n", "already exists"),
        ("ROOT@example.org", "Root", "a fine password\n", "already exists"),
        ("n@example.org", "N", "\n", "password"),
        ("n@example.org", "N", "", "password"),
        ("n@example.org", "N", "short\n", "8 characters"),
        ("n@example.org", "N", "password1\n", "common"),
        ("n@example.org", "N", "n@example.org\n", "e-mail"),
        ("the.first.part@example.org", "N", "the.first.part\n", "e-mail"),
    ] {
        let ended = create(email, name, password);
        let problem = ended.problem(1);
        assert!(problem.contains(named), "{email} {name} {password}: {problem}");
    }
    let ended = create("n@example.org", "N", &format!("{}\n", "ü".repeat(37)));
    assert!(ended.problem(1).contains("72 bytes"), "{ended:?}");
    let count: i64 = app.sql().query_one("select count(*) from users", &[]).expect("a count").get(0);
    assert_eq!(count, 3);
}

#[test]
fn set_role_makes_an_admin_and_never_takes_the_last_one() {
    let app = TestApp::start();
    let (folder, ann, bob) = (Folder::new(), app.signed_up("ann"), app.signed_up("bob"));
    let set = |email: &str, role: &str| {
        Program::on(&app.database, &folder, &["set-role", "--email", email, "--role", role]).run("")
    };
    ann.get("/api/admin/users").expect(403, "forbidden");
    assert_eq!(set("ANN@example.org", "admin").said(), "ann@example.org now has the role admin");
    // The running server hears of it: the same token may do more from now on.
    crate::harness::eventually("the new role holds", || ann.get("/api/admin/users").status == 200);
    let last = set("ann@example.org", "user");
    assert!(last.problem(1).contains("last"), "{last:?}");
    set("bob@example.org", "admin").said();
    set("ann@example.org", "user").said();
    crate::harness::eventually("the old role holds", || ann.get("/api/admin/users").status == 403);
    bob.get("/api/admin/users").expect(200, "success");
    assert!(set("nobody@example.org", "admin").problem(1).contains("nobody@example.org"));
}

#[test]
fn set_role_ends_the_shares_of_a_former_admin_or_changes_nothing() {
    let app = TestApp::start();
    let (folder, admin, ann, eve) = (Folder::new(), app.admin("root"), app.signed_up("ann"), app.signed_up("eve"));
    app.admin("other");
    let patient = ann.new_patient("P");
    let shares = format!("/api/admin/patients/{patient}/shares");
    admin.post(&shares, serde_json::json!({ "user_id": eve.id })).expect(201, "created");
    let set =
        || Program::on(&app.database, &folder, &["set-role", "--email", "root@example.org", "--role", "user"]).run("");
    let mut holder = app.sql();
    holder
        .batch_execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
             create trigger no_end before update on patient_grants for each row execute function refuse()",
        )
        .expect("a trigger");
    assert!(set().problem(1).contains("not now"));
    assert_eq!(app.audited("role_change").len(), 0);
    admin.get(&shares).expect(200, "success");
    holder.batch_execute("drop trigger no_end on patient_grants").expect("no trigger");
    set().said();
    eve.get(&format!("/api/patients/{patient}")).expect(404, "failed");
    assert_eq!(app.audited("role_change").len(), 1);
}

#[test]
fn set_password_helps_somebody_whom_no_admin_can_help() {
    let app = TestApp::start();
    let (folder, ann) = (Folder::new(), app.admin("ann"));
    let set =
        |email: &str, input: &str| Program::on(&app.database, &folder, &["set-password", "--email", email]).run(input);
    let token = ann.reset_token(ann.id);
    for _ in 0..10 {
        app.login(&ann.email, "not the password").expect(401, "invalid");
    }
    let ended = set("ANN@example.org", "a new pass phrase \nignored\n");
    assert!(ended.said().contains("ann@example.org") && !format!("{ended:?}").contains("pass phrase"), "{ended:?}");
    // It unlocks; every session and one-time token is over, at the running server too.
    app.logged_in(&ann.email, "a new pass phrase ");
    crate::harness::eventually("the old session is over", || ann.get("/api/auth/me").status == 401);
    app.anyone().reset(&token, PASSWORD).expect(401, "invalid");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    let entry = &app.audited("password_reset")[0];
    assert_eq!((&entry["actor_id"], &entry["resource_id"]), (&json!(null), &json!(ann.id)));

    // A disabled account has the new password, and stays disabled.
    app.sql().execute("update users set disabled = true where id = $1", &[&ann.id]).expect("disabled");
    assert!(set(&ann.email, "another new phrase\n").said().contains("disabled"));
    app.login(&ann.email, "another new phrase").expect(401, "invalid");

    for (email, input, named) in [
        ("nobody@example.org", "a fine password\n", "nobody@example.org"),
        ("ann@example.org", "short\n", "8 characters"),
        ("ann@example.org", "\n", "password"),
        ("ann@example.org", "ANN@example.org\n", "e-mail"),
    ] {
        let ended = set(email, input);
        assert!(ended.problem(1).contains(named), "{ended:?}");
    }
}

#[test]
fn remove_totp_helps_somebody_who_lost_the_phone() {
    let app = TestApp::start();
    let (folder, ann) = (Folder::new(), app.signed_up("ann"));
    let remove = |email: &str| Program::on(&app.database, &folder, &["remove-totp", "--email", email]).run("");
    assert!(remove(&ann.email).said().contains("has no second factor"));
    ann.confirm(&ann.try_totp().expect("a second factor"));
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    assert!(remove("ANN@example.org").said().contains("ann@example.org"));
    app.login(&ann.email, PASSWORD).expect(200, "success");
    crate::harness::eventually("the old session is over", || ann.get("/api/auth/me").status == 401);
    assert!(remove("nobody@example.org").problem(1).contains("nobody@example.org"));
    let entry = app.audited("totp_change").pop().expect("an entry");
    assert_eq!((&entry["actor_id"], &entry["resource_id"]), (&json!(null), &json!(ann.id)));
}

#[test]
fn port_0_picks_a_free_one_and_a_line_says_which() {
    let folder = Folder::new();
    let server = Program::new(&folder, &[]).serve();
    assert!(server.address.port() > 0 && server.address.ip().is_loopback());
    server.anyone().get("/readyz").expect(200, "success");
    let ended = server.stop();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "it said only one line: {ended:?}");
}

#[test]
fn a_port_that_is_taken_is_one_line() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let ended = Program::new(&folder, &["serve"]).set("PORT", &port).set("RUST_LOG", "error").run("");
    let problem = ended.problem(1);
    assert!(problem.contains(&port) && problem.contains("PORT"), "{problem}");
}

#[test]
fn a_server_that_cannot_listen_changes_nothing_and_check_says_so_before() {
    let (folder, database) = (Folder::new(), postgres::new_empty_database());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    // The second address is reserved for documentation: no machine has it.
    for (host, port, named) in [("127.0.0.1", port.as_str(), "set PORT"), ("192.0.2.1", "0", "set HOST")] {
        for command in ["check", "serve"] {
            let program = Program::on(&database, &folder, &[command]).set("HOST", host).set("PORT", port);
            let ended = program.set("RUST_LOG", "error").run("");
            let problem = ended.problem(1);
            assert!(problem.contains(&format!("{host}:{port}")) && problem.contains(named), "{problem}");
        }
    }
    let migrated = "select to_regclass('schema_migrations') is not null";
    assert!(!postgres::connect(&database).query_one(migrated, &[]).expect("a row").get::<_, bool>(0));
}

#[test]
fn a_signal_lets_requests_finish_and_ends_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let (folder, database) = (Folder::new(), postgres::new_database());
        let server = Program::on(&database, &folder, &["serve"]).serve();
        let anyone = server.anyone();
        let register = json!({ "name": "Ann", "email": "ann@example.org", "password": PASSWORD });
        anyone.post("/api/auth/register", register).expect(201, "created");
        let login = anyone.post("/api/auth/login", json!({ "email": "ann@example.org", "password": PASSWORD }));
        let ann = anyone.with_token(login.expect(200, "success").data()["token"].as_str().expect("a token"));
        let patient = ann.new_patient("P");

        let mut sql = postgres::connect(&database);
        let mut held = sql.transaction().expect("a transaction");
        held.execute("select from patients where id = $1 for update", &[&patient]).expect("a lock");
        std::thread::scope(|scope| {
            let in_flight =
                scope.spawn(|| ann.patch(&format!("/api/patients/{patient}"), json!({ "name": "Finished" })));
            postgres::wait_until_blocked(&database, 1);
            server.signal(signal);
            crate::harness::eventually("no new connection is taken", || {
                std::net::TcpStream::connect(server.address).is_err()
            });
            held.commit().expect("an end");
            in_flight.join().expect("an answer").expect(200, "updated");
        });
        assert_eq!(server.ended().code, Some(0), "{signal}");
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_one_line_that_names_it_and_not_its_password() {
    let folder = Folder::new();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    for url in [
        format!("postgres://ann:secret-word@127.0.0.1:{port}/clinic"),
        "postgres://ann:secret-word@%2Fno%2Fsuch%2Ffolder/clinic".to_string(),
        "host=/no/such/folder user=ann password=secret-word dbname=clinic".to_string(),
    ] {
        for command in ["migrate", "check"] {
            let ended = Program::on(&url, &folder, &[command]).set("RUST_LOG", "error").run("");
            let problem = ended.problem(1);
            assert!(!problem.contains("secret-word"), "{problem}");
            assert!(problem.contains("127.0.0.1") || problem.contains("/no/such/folder"), "{problem}");
            assert!(problem.ends_with("; make sure that it runs and that DATABASE_URL is right"), "{problem}");
        }
    }
}
