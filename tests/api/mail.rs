//! Mail for a forgotten password, with scripts in the place of the mail program: one that keeps what it gets, and others that hang,
//! die, or flood. `tests/ops/mail.rs` has a real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use healthcare_backend::Config;
use serde_json::{Value, json};

use crate::harness::folder::Folder;
use crate::harness::http::Answer;
use crate::harness::{PASSWORD, Person, TestApp, eventually};

const NEW: &str = "a new pass phrase";

/// A mail program of the test's own.
struct Program {
    folder: Folder,
    script: PathBuf,
}

impl Program {
    /// A shell script; `$BOX` in it is a folder for what it keeps.
    fn new(script: &str) -> Program {
        let folder = Folder::new();
        let path = folder.path().join("mailer");
        let text = format!("#!/bin/sh\nBOX={}\n{script}\n", folder.path().display());
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        Program { folder, script: path }
    }

    /// One that keeps each message in a file of its own, and how it was called.
    fn keeping() -> Program {
        Program::new(
            "echo \"$@\" >$BOX/arguments; env >$BOX/environment; cat >$BOX/$$.part && mv $BOX/$$.part $BOX/$$.mail",
        )
    }

    fn is_used(&self) -> impl Fn(&mut Config) {
        let command = format!("{} --account clinic", self.script.display());
        move |config| config.sendmail = Some(command.clone())
    }

    fn mails(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mails = files.filter(|path| path.extension().is_some_and(|ending| ending == "mail"));
        mails.map(|path| fs::read_to_string(path).expect("a mail")).collect()
    }
}

fn forgot(app: &TestApp, email: &str) -> Answer {
    app.anyone().post("/api/auth/forgot", json!({ "email": email })).expect(202, "success")
}

fn mailed(app: &TestApp, result: &str) -> f64 {
    app.metric(&format!("mails_total{{result=\"{result}\"}}"))
}

fn token_of(mail: &str) -> String {
    let link = mail.lines().find(|line| line.starts_with("https://clinic.example/reset?token=")).expect("a link");
    link.rsplit('=').next().expect("a token").to_string()
}

/// Lets the five minutes pass in which an account gets no further mail.
fn let_time_pass(app: &TestApp) {
    app.sql().execute("update one_time_tokens set created_at = created_at - interval '5 minutes'", &[]).expect("a row");
}

#[test]
fn somebody_who_forgot_the_password_gets_a_mail_and_sets_a_new_one() {
    let program = Program::keeping();
    let app = TestApp::with(program.is_used());
    let ann = app.signed_up("ann");
    forgot(&app, " ANN@example.org ");
    eventually("the mail is there", || program.mails().len() == 1);
    let mail = &program.mails()[0];
    assert!(mail.contains("<ann@example.org>") && mail.contains("\nAuto-Submitted: auto-generated\n"), "{mail}");
    let kept = |name: &str| fs::read_to_string(program.folder.path().join(name)).expect("a file");
    assert_eq!(kept("arguments").trim(), "--account clinic -t -i");
    // No secret of ours is in its environment: nothing but what it was given, and what a shell sets itself.
    let names: Vec<String> =
        kept("environment").lines().filter_map(|line| Some(line.split_once('=')?.0.to_string())).collect();
    let known = ["PATH", "HOME", "LANG", "TZ", "PWD", "OLDPWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");

    app.anyone().reset(&token_of(mail), NEW).expect(200, "updated");
    ann.get("/api/auth/me").expect(401, "forbidden");
    app.login(&ann.email, NEW).expect(200, "success");
    let [issued] = &app.audited("reset_issue")[..] else { panic!("one entry") };
    assert_eq!((&issued["actor_id"], &issued["resource_id"]), (&Value::Null, &json!(ann.id)));
    assert_eq!(mailed(&app, "sent"), 1.0);
    // Used or not, it was the mail of these five minutes.
    forgot(&app, &ann.email);
    let_time_pass(&app);
    forgot(&app, &ann.email);
    eventually("the second mail is there", || program.mails().len() == 2);
}

#[test]
fn every_address_gets_the_same_answer_and_only_those_who_may_get_a_mail() {
    let program = Program::keeping();
    let app = TestApp::with(program.is_used());
    let (root, ann, disabled, locked) =
        (app.admin("root"), app.signed_up("ann"), app.signed_up("off"), app.signed_up("locked"));
    root.patch(&format!("/api/admin/users/{}", disabled.id), json!({ "disabled": true })).expect(200, "updated");
    for _ in 0..10 {
        app.login(&locked.email, "not the password").expect(401, "invalid");
    }
    root.post("/api/admin/users", json!({ "name": "I", "email": "invited@example.org" })).expect(201, "created");
    let addresses =
        ["nobody@example.org", &disabled.email, &ann.email, &locked.email, "invited@example.org", &ann.email];
    let answers: Vec<Value> = addresses.iter().map(|email| forgot(&app, email).json()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    eventually("three mails are there", || program.mails().len() == 3);
    // One job after the other: by the time of this mail, the others have been looked at.
    forgot(&app, &root.email);
    eventually("and a fourth", || program.mails().len() == 4);
    let went_to = |email: &str| program.mails().iter().filter(|mail| mail.contains(&format!("<{email}>"))).count();
    assert_eq!(addresses.map(went_to), [0, 0, 1, 1, 1, 1]);
    for bad in [json!("no address"), json!(5)] {
        assert_eq!(
            app.anyone().post("/api/auth/forgot", json!({ "email": bad })).expect(400, "invalid").fields(),
            ["email"]
        );
    }
}

#[test]
fn a_strangers_mail_ends_no_token_of_an_admin() {
    let program = Program::keeping();
    let app = TestApp::with(program.is_used());
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    let token = root.reset_token(ann.id);
    forgot(&app, &ann.email);
    eventually("the mail is there", || program.mails().len() == 1);
    app.anyone().reset(&token, NEW).expect(200, "updated");
    app.anyone().reset(&token_of(&program.mails()[0]), PASSWORD).expect(401, "invalid");
}

#[test]
fn the_old_address_is_told_of_a_new_one_and_no_name_makes_a_header() {
    let program = Program::keeping();
    let app = TestApp::with(program.is_used());
    let body = json!({ "name": "Zoë <eve@example.net>, Bcc: eve@example.net", "email": "zoe@example.org", "password": PASSWORD });
    app.anyone().post("/api/auth/register", body).expect(201, "created");
    let zoe = app.logged_in("zoe@example.org", PASSWORD);
    let change = json!({ "email": "zoe.new@example.org", "current_password": PASSWORD });
    zoe.patch("/api/auth/me", change).expect(200, "updated");
    eventually("the note is there", || program.mails().len() == 1);
    let mail = &program.mails()[0];
    assert!(mail.contains("\n <zoe@example.org>\n") && !mail.contains("eve@") && !mail.contains("zoe.new"), "{mail}");
    zoe.patch("/api/auth/me", json!({ "name": "Zoë" })).expect(200, "updated");
    assert_eq!(program.mails().len(), 1);
}

#[test]
fn without_a_mail_program_there_is_no_such_path() {
    let app = TestApp::with(|config| (config.sendmail, config.mail_from, config.reset_url) = (None, None, None));
    let unknown = app.anyone().post("/api/unknown", json!({})).expect(404, "failed");
    for body in [json!({}), json!({ "email": "ann@example.org" })] {
        assert_eq!(app.anyone().post("/api/auth/forgot", body).expect(404, "failed").json(), unknown.json());
    }
    let ann = app.signed_up("ann");
    ann.patch("/api/auth/me", json!({ "email": "a@example.org", "current_password": PASSWORD })).expect(200, "updated");
}

#[test]
fn a_program_that_dies_floods_or_never_reads_is_a_failed_mail_and_no_more() {
    for (script, result) in [
        ("exit 75", "failed"),
        ("kill -9 $$", "failed"),
        ("yes flood | head -c 50000000; yes flood | head -c 50000000 >&2; cat >/dev/null; exit 1", "failed"),
        ("yes flood | head -c 50000000; exit 0", "sent"),
        ("exit 0", "sent"),
    ] {
        let program = Program::new(script);
        let app = TestApp::with(program.is_used());
        let ann = app.signed_up("ann");
        forgot(&app, &ann.email);
        eventually(script, || mailed(&app, result) == 1.0);
        // A mail that failed counts: the account gets no other one within five minutes.
        forgot(&app, &ann.email);
        forgot(&app, "nobody@example.org");
        ann.get("/api/auth/me").expect(200, "success");
        assert_eq!(mailed(&app, "sent") + mailed(&app, "failed"), 1.0, "{script}");
    }
}

#[test]
fn a_program_that_hangs_is_killed_with_what_it_started_and_meanwhile_a_full_queue_drops() {
    let program = Program::new("echo $$ >$BOX/first; sleep 1000 & echo $! >$BOX/second; wait");
    let app = TestApp::with(program.is_used());
    let people: Vec<Person> = (0..2).map(|number| app.signed_up(&format!("person-{number}"))).collect();
    let started = Instant::now();
    forgot(&app, &people[0].email);
    let pid = |name: &str| fs::read_to_string(program.folder.path().join(name)).ok()?.trim().parse::<u32>().ok();
    eventually("it hangs", || pid("second").is_some());
    let pids = [pid("first"), pid("second")].map(|pid| pid.expect("a process"));
    for _ in 0..101 {
        forgot(&app, "nobody@example.org");
    }
    assert_eq!(mailed(&app, "dropped"), 1.0, "a hundred wait");
    // Dropped, so it does not count: the account may have another one at once.
    assert!(
        app.sql().query("select from one_time_tokens where user_id = $1", &[&people[1].id]).expect("rows").is_empty()
    );
    eventually("it is killed", || mailed(&app, "failed") == 1.0);
    assert!((9..15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    for pid in pids {
        eventually("it is gone", || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        });
    }
}

#[test]
fn a_stop_waits_for_the_mail_that_is_being_sent() {
    let program = Program::new("cat >$BOX/kept.part; sleep 1; mv $BOX/kept.part $BOX/kept.mail");
    let app = TestApp::with(program.is_used());
    let ann = app.signed_up("ann");
    forgot(&app, &ann.email);
    eventually("it is being sent", || program.folder.path().join("kept.part").exists());
    let stopped = thread::spawn(move || app.stop());
    stopped.join().expect("a clean stop");
    assert_eq!(program.mails().len(), 1);
}

/// The answer to a known address takes no longer than to an unknown one, even while no mail can be sent.
#[test]
fn the_time_of_an_answer_tells_nothing() {
    let program = Program::new("cat >/dev/null");
    let app = TestApp::with(program.is_used());
    let ann = app.signed_up("ann");
    let time = |email: &str| {
        let started = Instant::now();
        forgot(&app, email);
        started.elapsed()
    };
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..60 {
        let_time_pass(&app);
        times[0].push(time(&ann.email));
        times[1].push(time("nobody@example.org"));
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    assert!(known.abs_diff(unknown) < Duration::from_millis(2), "{known:?} {unknown:?}");
}
