//! Two services on one database: a session that ends at one has ended at the other within two seconds, with and without the connection that
//! listens for it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{PASSWORD, Person, TestApp, at_once, eventually, postgres};

/// How soon the other nodes must know.
const SOON: Duration = Duration::from_secs(2);

fn is_let_in(person: &Person) -> bool {
    let status = person.get("/api/auth/me").status;
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

/// The other node refuses (or does whatever `holds` says) within two seconds from now, and goes on so.
#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    eventually(what, &mut holds);
    assert!(start.elapsed() < SOON, "{what}: {:?}", start.elapsed());
    for _ in 0..5 {
        assert!(holds(), "{what}, but not for long");
    }
}

/// Whether the node answers from memory. A session that is ended behind its back, without a notification, is let in by a node
/// that hears and so believes what it remembers; one that does not hear asks the database.
fn remembers(node: &TestApp, email: &str) -> bool {
    let guest = node.logged_in(email, PASSWORD);
    assert!(is_let_in(&guest));
    assert!(is_let_in(&guest));
    let ended = "update sessions set ended_at = now() where id = $1";
    assert_eq!(node.sql().execute(ended, &[&guest.session_id()]).expect("an ended session"), 1);
    is_let_in(&guest)
}

/// The connection of the node that listens: the only one that sends an empty statement while there are no requests, its heartbeat. Others may
/// still write what earlier requests did.
fn listening_pid(node: &TestApp) -> i32 {
    let mut sql = node.sql();
    // PostgreSQL's own workers in this database (autovacuum, above all) have no `state_change`.
    let query = "select pid, state_change::text, query from pg_stat_activity
                  where datname = current_database() and pid <> pg_backend_pid() and state_change is not null
                  order by pid";
    let mut look = || -> Vec<(i32, String, String)> {
        sql.query(query, &[]).expect("rows").iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    };
    let before = look();
    let mut found = None;
    eventually("a heartbeat", || {
        let now = look();
        let has_spoken = |one: &(i32, String, String)| before.iter().any(|other| one.0 == other.0 && one.1 != other.1);
        found = now.iter().find(|one| one.2.is_empty() && has_spoken(one)).map(|one| one.0);
        found.is_some()
    });
    found.expect("a connection")
}

fn terminate(app: &TestApp, pid: i32) {
    let ended = app.sql().query_one("select pg_terminate_backend($1, 10000)", &[&pid]).expect("an answer");
    assert!(ended.get::<_, bool>(0));
}

#[test]
fn a_logout_is_heard_by_the_other_node() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let ann = here.signed_up("ann");
    eventually("the other node remembers", || remembers(&there, &ann.email));
    assert!(is_let_in(&ann.at(&there)));
    ann.send("POST", "/api/auth/logout", &[], None).expect(200, "success");
    assert!(!is_let_in(&ann));
    soon("the logout is heard", || !is_let_in(&ann.at(&there)));
}

#[test]
fn every_end_of_a_session_at_one_node_ends_it_at_the_other() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let (root, ann) = (here.admin("root"), here.signed_up("ann"));
    eventually("the other node remembers", || remembers(&there, &ann.email));
    let path = format!("/api/admin/users/{}", ann.id);
    let guest = || {
        let guest = here.logged_in(&ann.email, PASSWORD);
        assert!(is_let_in(&guest.at(&there)));
        guest.at(&there)
    };

    let lost = guest();
    ann.delete(&format!("/api/auth/sessions/{}", lost.session_id())).expect(200, "deleted");
    soon("the end of one session is heard", || !is_let_in(&lost));

    let thief = guest();
    let changed = ann.with_new_password(PASSWORD, "a new pass phrase");
    soon("the password change is heard", || !is_let_in(&thief) && !is_let_in(&ann.at(&there)));
    assert!(is_let_in(&changed.at(&there)), "the session that changed it goes on");
    changed.with_new_password("a new pass phrase", PASSWORD);

    let swept = guest();
    root.delete(&format!("{path}/sessions")).expect(200, "deleted");
    soon("the end of all sessions is heard", || !is_let_in(&swept));

    let disabled = guest();
    root.patch(&path, json!({ "disabled": true })).expect(200, "updated");
    soon("the disabling is heard", || !is_let_in(&disabled));
    root.patch(&path, json!({ "disabled": false })).expect(200, "updated");

    let copied = guest();
    copied.refresh().expect(200, "success");
    let aged = "update refresh_tokens set used_at = now() - interval '1 minute' where used_at is not null";
    here.sql().execute(aged, &[]).expect("an old use");
    copied.at(&here).refresh().expect(401, "forbidden");
    soon("the reuse of a refresh token is heard", || !is_let_in(&copied));
}

#[test]
fn a_new_role_is_heard_by_the_other_node() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let (root, ann) = (here.admin("root"), here.signed_up("ann"));
    let path = format!("/api/admin/users/{}", ann.id);
    let status = || ann.at(&there).get("/api/admin/users").status;
    for (role, expected) in [("admin", 200), ("user", 403)] {
        status();
        root.patch(&path, json!({ "role": role })).expect(200, "updated");
        soon("the role is heard", || status() == expected);
    }
}

#[test]
fn the_hundred_and_first_login_at_one_node_ends_a_session_at_the_other() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let ann = here.signed_up("ann");
    let more =
        "insert into sessions (user_id, expires_at) select $1, now() + interval '1 day' from generate_series(1, 99)";
    let mut sql = here.sql();
    sql.execute(more, &[&ann.id]).expect("more sessions");
    let oldest = "update sessions set last_used_at = now() - interval '1 day' where id = $1";
    sql.execute(oldest, &[&ann.session_id()]).expect("the one unused longest");
    assert!(is_let_in(&ann.at(&there)));
    here.logged_in(&ann.email, PASSWORD);
    soon("the end of the surplus is heard", || !is_let_in(&ann.at(&there)));
}

#[test]
fn sessions_are_remembered_so_that_a_request_costs_no_query() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    eventually("the node remembers", || remembers(&app, &ann.email));
}

#[test]
fn a_node_that_cannot_listen_asks_for_every_request_and_remembers_again_when_it_can() {
    let app = TestApp::start();
    let ann = app.signed_up("ann");
    eventually("the node remembers", || remembers(&app, &ann.email));
    let (deaf, late) = (app.logged_in(&ann.email, PASSWORD), app.logged_in(&ann.email, PASSWORD));
    assert!(is_let_in(&deaf) && is_let_in(&late));
    let mut sql = app.sql();
    let pid = listening_pid(&app);
    // The pool keeps its connections; the one that listens does not come back.
    let closed = postgres::kept(&app.database);
    let gone = sql.query_one("select pg_terminate_backend($1, 10000)", &[&pid]).expect("an answer");
    assert!(gone.get::<_, bool>(0));
    let end = "update sessions set ended_at = now() where id = $1";
    sql.execute(end, &[&deaf.session_id()]).expect("an ended session");
    soon("a remembered session is not trusted", || !is_let_in(&deaf));
    sql.execute(end, &[&late.session_id()]).expect("an ended session");
    assert!(!is_let_in(&late), "from now on every request asks");
    assert!(is_let_in(&ann));
    closed.open();
    eventually("the node remembers again", || remembers(&app, &ann.email));
}

#[test]
fn a_logout_while_the_other_node_is_deaf_is_not_lost() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let ann = here.signed_up("ann");
    for _ in 0..3 {
        eventually("both nodes remember", || remembers(&here, &ann.email) && remembers(&there, &ann.email));
        let guest = here.logged_in(&ann.email, PASSWORD);
        assert!(is_let_in(&guest.at(&there)));
        // Both nodes' listening connections in turn; which is whose does not matter.
        terminate(&here, listening_pid(&here));
        guest.send("POST", "/api/auth/logout", &[], None).expect(200, "success");
        soon("the logout is known", || !is_let_in(&guest.at(&there)));
        terminate(&here, listening_pid(&here));
        assert!(!is_let_in(&guest.at(&there)), "it does not come back with the connection");
    }
}

#[test]
fn a_session_that_ends_while_it_is_used_is_over_at_once_and_for_good() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let ann = here.signed_up("ann");
    for _ in 0..10 {
        let guest = here.logged_in(&ann.email, PASSWORD);
        // Some threads read the state, and remember it, while another ends the session.
        at_once(4, |number| match number {
            0 => drop(guest.send("POST", "/api/auth/logout", &[], None).expect(200, "success")),
            1 | 2 => assert!((0..10).map(|_| is_let_in(&guest)).is_sorted_by(|was, is| was >= is), "in again"),
            _ => assert!((0..10).map(|_| is_let_in(&guest.at(&there))).is_sorted_by(|was, is| was >= is), "in again"),
        });
        assert!(!is_let_in(&guest), "remembered after its end");
        soon("the end is heard", || !is_let_in(&guest.at(&there)));
    }
}

#[test]
fn who_is_taken_out_of_a_care_group_is_refused_here_at_once_and_by_the_other_node_soon() {
    let here = TestApp::start();
    let there = TestApp::on(&here.database, |_| {});
    let (root, ann, ben) = (here.admin("root"), here.signed_up("ann"), here.signed_up("ben"));
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    eventually("the other node remembers", || remembers(&there, &ann.email));
    let sees = |person: &Person| person.get(&path).status == 200;
    assert!(!sees(&ben.at(&there)));
    let group = root.new_group("Ward", &[&ann, &ben]);
    assert!(sees(&ben), "here at once");
    soon("the new member is heard", || sees(&ben.at(&there)));
    root.remove_member(&group, &ben);
    assert!(!sees(&ben), "here at once");
    soon("the end of the membership is heard", || !sees(&ben.at(&there)));
}

#[test]
fn a_deaf_node_asks_the_database_for_the_members_of_care_groups_too() {
    let app = TestApp::start();
    let (root, ann, ben) = (app.admin("root"), app.signed_up("ann"), app.signed_up("ben"));
    let path = format!("/api/patients/{}", ann.new_patient("P"));
    root.new_group("Ward", &[&ann, &ben]);
    eventually("the node remembers", || remembers(&app, &ann.email));
    let sees = || ben.get(&path).status == 200;
    assert!(sees());
    let mut sql = app.sql();
    let pid = listening_pid(&app);
    let closed = postgres::kept(&app.database);
    sql.query_one("select pg_terminate_backend($1, 10000)", &[&pid]).expect("an answer");
    sql.execute("delete from care_group_members where user_id = $1", &[&ben.id]).expect("no member");
    soon("a remembered member is not trusted", || !sees());
    sql.execute("insert into care_group_members values (1, $1, $1)", &[&ben.id]).expect("a member");
    assert!(sees(), "from now on every request asks");
    closed.open();
}
