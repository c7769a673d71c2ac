//! The right to make a change is checked at the moment of the change: neither a flood of requests nor a request that waits for a lock
//! outlives a demotion, a disabling or the end of the session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Person, TestApp, eventually};

/// A change, and the lock that it waits for.
struct Change {
    method: &'static str,
    target: String,
    body: Option<Value>,
    lock: String,
}

fn change(method: &'static str, target: String, body: Option<Value>, lock: String) -> Change {
    Change { method, target, body, lock }
}

/// Takes the actor's right away with plain SQL, so that this waits for nothing.
fn take_away(app: &TestApp, person: &Person, how: &str) {
    app.sql().batch_execute(&how.replace("$1", &person.id.to_string())).expect("a right less");
}

/// Gives the right back, and notifies the node.
fn give_back(app: &TestApp, person: &Person, role: &str) {
    let text = "update users set role = $2, disabled = false where id = $1";
    let mut sql = app.sql();
    sql.execute(text, &[&person.id, &role]).expect("a right");
    sql.execute("update sessions set ended_at = null where user_id = $1", &[&person.id]).expect("a session");
    sql.execute("select pg_notify('session_changes', 'user ' || $1::bigint)", &[&person.id]).expect("a notification");
    eventually("let in again", || person.get("/api/auth/me").status == 200);
}

const DISABLE: &str =
    "update users set disabled = true where id = $1; update sessions set ended_at = now() where user_id = $1";
const END_SESSION: &str = "update sessions set ended_at = now() where user_id = $1";
const DEMOTE: &str = "update users set role = 'user' where id = $1";

/// All records, to see that nothing has changed. (Attempts and times of use are not records.)
const RECORDS: &str = "select jsonb_build_array(
    (select jsonb_agg(to_jsonb(t) order by id) from patients t), (select jsonb_agg(to_jsonb(t) order by id) from doctors t),
    (select jsonb_agg(to_jsonb(t) order by id) from mappings t), (select jsonb_agg(to_jsonb(t) order by id) from users t),
    (select jsonb_agg(jsonb_build_array(id, ended_at is null) order by id) from sessions t), (select count(*) from login_failures),
    (select count(*) from audit_entries))";

/// Each change waits for its lock while the actor loses the right to make it. Then it is refused and has done nothing.
fn all_are_refused(app: &TestApp, actor: &Person, role: &str, how: &str, status: u16, changes: Vec<Change>) {
    let mut watcher = app.sql();
    for Change { method, target, body, lock } in changes {
        let before: Value = watcher.query_one(RECORDS, &[]).expect("the records").get(0);
        let denied = app.audited("denied").len();
        let mut holder = app.sql();
        let mut held = holder.transaction().expect("a transaction");
        held.batch_execute(&lock).expect(&lock);
        let answer = thread::scope(|scope| {
            let sent = scope.spawn(|| actor.send(method, &target, &[], body.clone()));
            app.wait_until_blocked(1);
            take_away(app, actor, how);
            held.rollback().expect("the lock is released");
            sent.join().expect("an answer")
        });
        answer.expect(status, "forbidden");
        eventually("the refusal is in the trail", || app.audited("denied").len() == denied + 1);
        give_back(app, actor, role);
        let after: Value = watcher.query_one(RECORDS, &[]).expect("the records").get(0);
        assert_eq!(after, before, "{method} {target}");
    }
}

fn row(table: &str, id: i64) -> String {
    format!("select from {table} where id = {id} for update")
}

#[test]
fn a_change_that_waits_is_refused_if_its_user_is_disabled_or_logged_out_meanwhile() {
    let app = TestApp::start();
    let (_root, ann) = (app.admin("root"), app.signed_up("ann"));
    let (patient, doctor, other) = (ann.new_patient("P"), ann.new_doctor("D"), ann.new_doctor("Other"));
    let mapping = ann.new_mapping(patient, doctor);
    let a_patient = json!({ "name": "N", "date_of_birth": "1990-04-23", "gender": "female" });
    let a_doctor = json!({ "name": "N", "specialization": "S", "license_number": "L" });
    let name = Some(json!({ "name": "N" }));
    let changes = || {
        vec![
            change("POST", "/api/patients".into(), Some(a_patient.clone()), "lock table patients in share mode".into()),
            change("PATCH", format!("/api/patients/{patient}"), name.clone(), row("patients", patient)),
            change("DELETE", format!("/api/patients/{patient}"), None, row("mappings", mapping)),
            change(
                "POST",
                "/api/doctors".into(),
                Some(a_doctor.clone()),
                format!(
                    "insert into doctors (name, specialization, license_number, created_by) values ('x', 'x', 'L', {})",
                    ann.id
                ),
            ),
            change("PATCH", format!("/api/doctors/{doctor}"), name.clone(), row("doctors", doctor)),
            change("DELETE", format!("/api/doctors/{other}"), None, row("doctors", other)),
            change(
                "POST",
                "/api/mappings".into(),
                Some(json!({ "patient_id": patient, "doctor_id": other })),
                row("doctors", other),
            ),
            change(
                "PATCH",
                format!("/api/mappings/{mapping}"),
                Some(json!({ "notes": "N" })),
                row("mappings", mapping),
            ),
            change("DELETE", format!("/api/mappings/{mapping}"), None, row("mappings", mapping)),
        ]
    };
    all_are_refused(&app, &ann, "user", DISABLE, 401, changes());
    all_are_refused(&app, &ann, "user", END_SESSION, 401, changes());
    for Change { method, target, body, .. } in changes() {
        let status = ann.send(method, &target, &[], body).status;
        assert!([200, 201, 404].contains(&status), "{method} {target} was good in itself: {status}");
    }
}

#[test]
fn a_change_that_waits_is_refused_if_its_admin_is_demoted_or_disabled_meanwhile() {
    let app = TestApp::start();
    let (root, ann, villain) = (app.admin("root"), app.signed_up("ann"), app.admin("villain"));
    let (patient, doctor) = (ann.new_patient("P"), ann.new_doctor("D"));
    let mapping = ann.new_mapping(patient, doctor);
    app.login(&ann.email, "not the password").expect(401, "invalid");
    let name = Some(json!({ "name": "N" }));
    let changes = || {
        vec![
            change("PATCH", format!("/api/admin/patients/{patient}"), name.clone(), row("patients", patient)),
            change("DELETE", format!("/api/admin/patients/{patient}"), None, row("patients", patient)),
            change("PATCH", format!("/api/admin/doctors/{doctor}"), name.clone(), row("doctors", doctor)),
            change("PATCH", format!("/api/doctors/{doctor}"), name.clone(), row("doctors", doctor)),
            change("DELETE", format!("/api/admin/doctors/{doctor}?cascade=true"), None, row("mappings", mapping)),
            change("DELETE", format!("/api/admin/mappings/{mapping}"), None, row("mappings", mapping)),
            // The first of the rows that it locks: it holds none yet.
            change(
                "PATCH",
                format!("/api/admin/users/{}", ann.id),
                Some(json!({ "role": "admin" })),
                row("users", root.id),
            ),
            change(
                "POST",
                "/api/admin/users".into(),
                Some(json!({ "name": "N", "email": "taken@example.org" })),
                "insert into users (name, email) values ('x', 'taken@example.org')".into(),
            ),
            change("POST", format!("/api/admin/users/{}/reset", ann.id), None, row("users", ann.id)),
            change(
                "POST",
                format!("/api/admin/users/{}/unlock", ann.id),
                None,
                "select from login_failures for update".into(),
            ),
            change("DELETE", format!("/api/admin/users/{}/sessions", ann.id), None, row("sessions", ann.session_id())),
        ]
    };
    all_are_refused(&app, &villain, "admin", DEMOTE, 403, changes());
    all_are_refused(&app, &villain, "admin", DISABLE, 401, changes());
    let of_users = app.audited("denied").into_iter().filter(|entry| entry["resource"] == "user");
    let is_ann = |id: &Value| *id == ann.id || id.is_null(); // a new user has no id
    assert!(of_users.into_iter().all(|entry| is_ann(&entry["resource_id"]) && entry["actor_id"] == villain.id));
    for Change { method, target, body, .. } in changes() {
        let status = villain.send(method, &target, &[], body).status;
        assert!([200, 201, 404].contains(&status), "{method} {target} was good in itself: {status}");
    }
}

#[test]
fn a_session_that_ends_while_its_password_is_hashed_changes_neither_password_nor_profile() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let password = json!({ "current_password": PASSWORD, "new_password": "a new pass phrase" });
    let email = json!({ "current_password": PASSWORD, "email": "ann.lee@example.org" });
    for (method, target, change) in [
        ("POST", "/api/auth/password", password),
        ("PATCH", "/api/auth/me", email),
        ("PATCH", "/api/auth/me", json!({ "name": "N" })),
    ] {
        a_session_ends_while_it_changes(&app, &ann, method, target, change);
    }
}

fn a_session_ends_while_it_changes(app: &TestApp, ann: &Person, method: &str, target: &str, change: Value) {
    let elsewhere = app.logged_in(&ann.email, PASSWORD);
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    held.batch_execute(&row("users", ann.id)).expect("a lock");
    let answer = thread::scope(|scope| {
        let sent = scope.spawn(|| elsewhere.send(method, target, &[], Some(change)));
        app.wait_until_blocked(1);
        ann.delete(&format!("/api/auth/sessions/{}", elsewhere.session_id())).expect(200, "deleted");
        held.rollback().expect("the lock is released");
        sent.join().expect("an answer")
    });
    answer.expect(401, "forbidden");
    ann.get("/api/auth/me").expect(200, "success");
    app.logged_in(&ann.email, PASSWORD);
}

/// Twenty rounds in which ten connections of the villain's keep undoing what root does to the villain.
fn root_has_the_last_word(nodes: &[&TestApp]) {
    let app = nodes[0];
    let (root, mut villain) = (app.admin("root"), app.admin("villain"));
    let path = format!("/api/admin/users/{}", villain.id);
    for round in 0..20 {
        let what = if round % 2 == 0 { json!({ "disabled": true }) } else { json!({ "role": "user" }) };
        let (over, started) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let senders: Vec<_> = (0..10)
                .map(|number| {
                    let (villain, path) = (villain.at(nodes[number % nodes.len()]), &path);
                    let (over, started) = (&over, &started);
                    scope.spawn(move || {
                        let undo = json!({ "role": "admin", "disabled": false });
                        loop {
                            let is_last = over.load(Ordering::Acquire);
                            let status = villain.patch(path, undo.clone()).status;
                            assert!([200, 401, 403].contains(&status), "{status}");
                            started.store(true, Ordering::Release);
                            if is_last || status != 200 {
                                return;
                            }
                        }
                    })
                })
                .collect();
            eventually("the flood has begun", || started.load(Ordering::Acquire));
            root.patch(&path, what.clone()).expect(200, "updated");
            over.store(true, Ordering::Release);
            for sender in senders {
                sender.join().expect("no panic");
            }
        });
        let left = root.get(&path).expect(200, "success").data();
        for (name, value) in what.as_object().expect("an object") {
            assert_eq!(left[name], *value, "round {round}: {left}");
        }
        root.patch(&path, json!({ "role": "admin", "disabled": false })).expect(200, "updated");
        villain = app.logged_in(&villain.email, PASSWORD);
    }
}

#[test]
fn an_admin_who_is_demoted_or_disabled_cannot_undo_it_with_a_flood_of_requests() {
    root_has_the_last_word(&[&TestApp::start()]);
}

#[test]
fn an_admin_who_is_demoted_or_disabled_cannot_undo_it_at_another_node() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    root_has_the_last_word(&[&here, &there]);
}

#[test]
fn an_admin_may_demote_disable_and_log_out_themselves() {
    let app = TestApp::start();
    let (_other, root) = (app.admin("other"), app.admin("root"));
    let path = format!("/api/admin/users/{}", root.id);
    root.delete(&format!("{path}/sessions")).expect(200, "deleted");
    root.get("/api/auth/me").expect(401, "forbidden");
    let root = app.logged_in(&root.email, PASSWORD);
    root.patch(&path, json!({ "role": "user", "disabled": true })).expect(200, "updated");
    root.get("/api/auth/me").expect(401, "forbidden");
    let by_root = |action: &str| app.audited(action).into_iter().filter(|entry| entry["actor_id"] == root.id).count();
    assert_eq!([by_root("role_change"), by_root("disable"), by_root("session_end")], [1, 1, 3]);
}
