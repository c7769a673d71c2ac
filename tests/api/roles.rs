//! Roles and disabled accounts: what they mean from the next request on, and that one enabled admin always remains.

use std::thread;

use healthcare_backend::Config;
use healthcare_backend::internals::{Database, commands};
use serde_json::json;

use crate::harness::binary::Program;
use crate::harness::folder::Folder;
use crate::harness::{PASSWORD, Person, TestApp, at_once, count, eventually};

fn user_path(user: &Person) -> String {
    format!("/api/admin/users/{}", user.id)
}

#[test]
fn a_new_role_takes_effect_with_the_next_request() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    ann.get("/api/admin/users").expect(403, "forbidden");
    root.patch(&user_path(&ann), json!({ "role": "admin" })).expect(200, "updated");
    ann.get("/api/admin/users").expect(200, "success");
    root.patch(&user_path(&ann), json!({ "role": "user" })).expect(200, "updated");
    ann.get("/api/admin/users").expect(403, "forbidden");
    assert_eq!(ann.get("/api/auth/me").expect(200, "success").data()["role"], "user");
}

#[test]
fn a_disabled_user_is_out_at_once_and_the_old_sessions_stay_over() {
    let app = TestApp::start();
    let (root, ann) = (app.admin("root"), app.signed_up("ann"));
    ann.get("/api/auth/me").expect(200, "success");
    root.patch(&user_path(&ann), json!({ "disabled": true })).expect(200, "updated");
    ann.get("/api/auth/me").expect(401, "forbidden");
    ann.refresh().expect(401, "forbidden");
    app.login(&ann.email, PASSWORD).expect(401, "invalid");
    app.anyone()
        .post("/api/auth/register", json!({ "name": "a", "email": ann.email, "password": PASSWORD }))
        .expect(409, "failed");
    root.patch(&user_path(&ann), json!({ "disabled": false })).expect(200, "updated");
    ann.get("/api/auth/me").expect(401, "forbidden");
    ann.refresh().expect(401, "forbidden");
    app.logged_in(&ann.email, PASSWORD).get("/api/auth/me").expect(200, "success");
}

#[test]
fn the_last_enabled_admin_can_be_neither_demoted_nor_disabled() {
    let app = TestApp::start();
    let (root, second) = (app.admin("root"), app.admin("second"));
    root.patch(&user_path(&second), json!({ "disabled": true })).expect(200, "updated");
    let path = user_path(&root);
    let etag = root.get(&path).expect(200, "success").etag();
    for change in [json!({ "role": "user" }), json!({ "disabled": true }), json!({ "role": "user", "disabled": true })]
    {
        root.patch(&path, change).expect(409, "failed");
    }
    let unchanged = root.get(&path).expect(200, "success");
    assert_eq!(unchanged.etag(), etag);
    root.patch(&path, json!({ "role": "admin", "disabled": false })).expect(200, "updated");
    // With a second one enabled again, the first may go.
    root.patch(&user_path(&second), json!({ "disabled": false })).expect(200, "updated");
    root.patch(&path, json!({ "role": "user" })).expect(200, "updated");
    root.get(&path).expect(403, "forbidden");
}

#[test]
fn two_admins_who_remove_each_other_at_once_leave_one() {
    let app = TestApp::start();
    let other = TestApp::on(&app.database, |_| {});
    let admins = [app.admin("root"), app.admin("second")];
    let mut sql = app.sql();
    for round in 0..20 {
        let change = if round % 2 == 0 { json!({ "role": "user" }) } else { json!({ "disabled": true }) };
        let answers = at_once(2, |number| {
            let node = if number == 0 { &app } else { &other };
            admins[number].at(node).patch(&user_path(&admins[1 - number]), change.clone())
        });
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(count(&answers, 200), 1, "round {round}: {statuses:?}");
        // The loser was too late: no longer an admin, no longer let in, or refused for being the last.
        assert!(statuses.iter().all(|status| [200, 401, 403, 409].contains(status)), "{statuses:?}");
        let left = "select count(*) from users where role = 'admin' and not disabled";
        assert_eq!(sql.query_one(left, &[]).expect("a count").get::<_, i64>(0), 1, "round {round}");
        // Make both admins again with plain SQL, and notify the nodes, since the service does not know.
        let restore = "update users set role = 'admin', disabled = false; update sessions set ended_at = null;
                       select pg_notify('session_changes', 'user ' || id) from users;";
        sql.batch_execute(restore).expect("both are admins again");
        for (node, admin) in [(&app, 0), (&other, 1)] {
            eventually("both are let in", || admins[admin].at(node).get("/api/admin/users").status == 200);
        }
    }
}

#[test]
fn the_command_line_sets_a_role_that_a_running_server_obeys_and_keeps_the_last_admin() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    let folder = Folder::new();
    let set_role = |email: &str, role: &str| {
        Program::on(&app.database, &folder, &["set-role", "--email", email, "--role", role]).run("")
    };
    ann.get("/api/admin/users").expect(403, "forbidden");
    assert!(set_role("ANN@example.org", "admin").said().contains("ann@example.org"));
    eventually("the new role", || ann.get("/api/admin/users").status == 200);
    assert!(set_role(&ann.email, "user").problem(1).contains("last enabled admin"));
    ann.get("/api/admin/users").expect(200, "success");
    // With a second admin the first may go, and a disabled one is no help.
    let create = ["create-admin", "--email", "root@example.org", "--name", "Root"];
    Program::on(&app.database, &folder, &create).run(&format!("{PASSWORD}\n")).said();
    let root = app.logged_in("root@example.org", PASSWORD);
    root.patch(&user_path(&ann), json!({ "disabled": true })).expect(200, "updated");
    assert!(set_role(&root.email, "user").problem(1).contains("last enabled admin"));
    root.patch(&user_path(&ann), json!({ "disabled": false })).expect(200, "updated");
    set_role(&ann.email, "user").said();
    let changes = app.audited("role_change");
    let roles: Vec<_> = changes.iter().map(|entry| (&entry["actor_id"], &entry["before"]["role"])).collect();
    assert_eq!(roles, [(&json!(null), &json!("user")), (&json!(null), &json!("admin"))], "the operator has no id");
}

/// What `set-role --email … --role user` does.
fn demote(app: &TestApp, email: &str) -> Result<String, String> {
    let config = Config { database_url: Some(app.database.clone()), ..Config::default() };
    commands::set_role(&config, &Database::open(&config).expect("a connection string"), email, "user")
}

/// Does both at once, in two of three rounds with the row of an admin locked until both wait for it, and says who succeeded.
fn race(app: &TestApp, round: usize, locked: &Person, act: impl Fn(usize) -> bool + Send + Sync) -> Vec<bool> {
    let mut holder = app.sql();
    let mut held = holder.transaction().expect("a transaction");
    thread::scope(|scope| {
        if !round.is_multiple_of(3) {
            held.execute("select from users where id = $1 for update", &[&locked.id]).expect("a lock");
        }
        let both = scope.spawn(|| at_once(2, act));
        if !round.is_multiple_of(3) {
            app.wait_until_blocked(2);
        }
        held.commit().expect("the lock is released");
        both.join().expect("no panic")
    })
}

/// Exactly one of the two that would each take away one of the last two admins succeeds, in every round.
fn one_admin_always_remains(app: &TestApp, admins: &[Person; 2], act: impl Fn(usize) -> bool + Send + Sync) {
    let mut sql = app.sql();
    for round in 0..30 {
        let succeeded = race(app, round, &admins[round % 2], &act);
        let left = "select email from users where role = 'admin' and not disabled";
        let left: Vec<String> = sql.query(left, &[]).expect("rows").iter().map(|row| row.get(0)).collect();
        assert_eq!(succeeded.iter().filter(|one| **one).count(), 1, "round {round}: {succeeded:?}");
        // Number 0 takes away the second, number 1 the first.
        let loser = succeeded.iter().position(|one| !one).expect("a loser");
        assert_eq!(left, [admins[1 - loser].email.as_str()], "round {round}");
        let restore = "update users set role = 'admin'; select pg_notify('session_changes', 'user ' || id) from users;";
        sql.batch_execute(restore).expect("both are admins again");
        eventually("both are let in", || admins.iter().all(|admin| admin.get("/api/admin/users").status == 200));
    }
}

#[test]
fn two_operators_who_demote_the_last_two_admins_at_once_leave_one() {
    let app = TestApp::start();
    let admins = [app.admin("root"), app.admin("second")];
    one_admin_always_remains(&app, &admins, |number| match demote(&app, &admins[1 - number].email) {
        Ok(_) => true,
        Err(line) => {
            assert!(line.contains("last enabled admin"), "{line}");
            false
        }
    });
}

#[test]
fn an_operator_and_an_admin_who_remove_the_last_two_admins_at_once_leave_one() {
    let app = TestApp::start();
    let admins = [app.admin("root"), app.admin("second")];
    one_admin_always_remains(&app, &admins, |number| match number {
        0 => {
            let answer = admins[0].patch(&user_path(&admins[1]), json!({ "role": "user" }));
            assert!([200, 401, 403, 409].contains(&answer.status), "{}", answer.status);
            answer.status == 200
        }
        _ => demote(&app, &admins[0].email).inspect_err(|line| assert!(line.contains("last enabled admin"))).is_ok(),
    });
}
