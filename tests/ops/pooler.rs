//! PgBouncer in transaction mode between the service and PostgreSQL. Debian's is 1.18, which knows no `max_prepared_statements`:
//! what works with it works with every later one.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, Folder};
use crate::deploy::{grant_to_run_time_role, migrate_as_owner};
use crate::harness::{at_once, eventually};
use crate::node::Node;

/// A PgBouncer with two connections to PostgreSQL, so that many clients have to share them.
struct Pooler {
    child: Child,
    socket: String,
}

impl Pooler {
    fn start(folder: &Folder, cluster: &Cluster, mode: &str) -> Pooler {
        let users = folder.file("users.txt", "\"healthcare\" \"\"\n\"healthcare_run\" \"\"\n");
        let (uid, gid) = cluster.owner();
        let run = folder.0.join("pgbouncer");
        std::fs::create_dir(&run).expect("a folder");
        std::os::unix::fs::chown(&run, Some(uid), Some(gid)).expect("a folder of PostgreSQL's user");
        let (run, server, users) = (run.display(), cluster.socket(), users.display());
        let settings = format!(
            "[databases]\nhealthcare = host={server} port=5432 dbname=healthcare\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {run}\nauth_type = trust\nauth_file = {users}\npool_mode = {mode}\ndefault_pool_size = 2\n\
             max_client_conn = 100\nserver_login_retry = 1\nlogfile = {run}/log\n"
        );
        let settings = folder.file("pgbouncer.ini", &settings);
        let mut command = Command::new("/usr/sbin/pgbouncer");
        command.arg(settings).uid(uid).gid(gid).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        let pooler = Pooler { child: command.spawn().expect("pgbouncer"), socket: run.to_string() };
        eventually("PgBouncer", || std::path::Path::new(&format!("{}/.s.PGSQL.6432", pooler.socket)).exists());
        pooler
    }

    fn url(&self, user: &str) -> String {
        format!("host={} port=6432 user={user} dbname=healthcare", self.socket)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_nodes_share_the_connections_of_a_pooler_in_transaction_mode() {
    let folder = Folder::new("pooler");
    let cluster = Cluster::start(&folder, "data", &[]);
    migrate_as_owner(&cluster);
    grant_to_run_time_role(&cluster);
    let pooler = Pooler::start(&folder, &cluster, "transaction");
    let url = pooler.url("healthcare_run");
    let (first, second) = (Node::start(&[("DATABASE_URL", &url)]), Node::start(&[("DATABASE_URL", &url)]));
    for node in [&first, &second] {
        eventually("the line about the pooler", || node.lines_with("a transaction pooler is in between").len() == 1);
        assert!(node.lines_with("may run and wait for ever").is_empty(), "{:#?}", node.lines());
        eventually("the line about notifications", || node.lines_with("notifications do not arrive").len() == 1);
    }

    // A setting of a session would stay on a connection that others get, so there are no pipes.
    assert_eq!(first.number("database_pipe_connections"), 0.0);

    // Every kind of statement, on both nodes at once, over two connections: each answer belongs to its question.
    let ann = first.signed_up("ann");
    let at_second = crate::harness::Person { address: second.address, ..ann.clone() };
    at_once(8, |number| {
        let person = if number % 2 == 0 { &ann } else { &at_second };
        for turn in 0..10 {
            let name = format!("Patient {number} {turn}");
            let patient = person.new_patient(&name);
            assert_eq!(person.get(&format!("/api/patients/{patient}")).expect(200, "success").data()["name"], name);
            let found = person.get(&format!("/api/patients?name={number}%20{turn}")).expect(200, "success").ids();
            assert_eq!(found, [patient]);
            let doctor = person.new_doctor(&format!("Doctor {number} {turn}"));
            person.new_mapping(patient, doctor);
            person.patch(&format!("/api/patients/{patient}"), json!({ "phone": "12345" })).expect(200, "updated");
            person.delete(&format!("/api/patients/{patient}")).expect(200, "deleted");
        }
    });
    let mut through = crate::harness::postgres::connect(&pooler.url("healthcare_run"));
    let rows = through.simple_query("select count(*) from pg_prepared_statements").expect("a count");
    let count = rows.iter().find_map(|row| match row {
        postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(count, Some("0"), "a statement that is prepared by name stays on a connection that is not ours");

    // The end of a session holds on the other node too, although no notification arrives.
    at_second.post("/api/auth/logout", json!({})).expect(200, "success");
    ann.get("/api/auth/me").expect(401, "forbidden");
    for node in [&first, &second] {
        assert!(node.lines_with("Z error ").is_empty(), "{:#?}", node.lines());
        assert!(node.number("audit_buffered_entries") >= 0.0);
    }
}

#[test]
fn behind_a_pooler_a_role_without_time_limits_is_warned_of() {
    let folder = Folder::new("limits");
    let cluster = Cluster::start(&folder, "data", &[]);
    let pooler = Pooler::start(&folder, &cluster, "transaction");
    let url = pooler.url("healthcare");
    let node = Node::start(&[("DATABASE_URL", &url)]);
    eventually("the warning", || !node.lines_with("may run and wait for ever").is_empty());
    let warnings = node.lines_with("may run and wait for ever");
    let mend = "alter role healthcare set statement_timeout = '10s'; alter role healthcare set lock_timeout = '4s';";
    assert!(warnings.len() == 1 && warnings[0].contains(mend), "{:#?}", node.lines());
    drop(node);

    // The advice of the line is enough, once the pooler has opened new connections.
    cluster.sql(mend);
    drop(pooler);
    let again = Folder::new("limits-again");
    let pooler = Pooler::start(&again, &cluster, "transaction");
    let node = Node::start(&[("DATABASE_URL", &pooler.url("healthcare"))]);
    assert!(node.lines_with("may run and wait for ever").is_empty(), "{:#?}", node.lines());
    node.until_ready(200);
}

#[test]
fn a_pooler_in_session_mode_is_like_none() {
    let folder = Folder::new("session");
    let cluster = Cluster::start(&folder, "data", &[]);
    // Each client holds a connection of its own: as many as the pool and the listener.
    let pooler = Pooler::start(
        &folder,
        &cluster,
        "session\nmin_pool_size = 0\nreserve_pool_size = 20\nreserve_pool_timeout = 0.1",
    );
    let node = Node::start(&[("DATABASE_URL", &pooler.url("healthcare"))]);
    assert!(node.lines_with("pooler").is_empty(), "{:#?}", node.lines());
    let ann = node.signed_up("ann");
    ann.new_patient("Someone");
}

#[test]
fn the_restart_of_postgresql_behind_a_pooler_is_an_outage_like_any_other() {
    let folder = Folder::new("pooler-restart");
    let mut cluster = Cluster::start(&folder, "data", &[]);
    let pooler = Pooler::start(&folder, &cluster, "transaction");
    let node = Node::start(&[("DATABASE_URL", &pooler.url("healthcare"))]);
    let ann = node.signed_up("ann");
    cluster.stop();
    // PgBouncer keeps clients waiting while there is no server; the service does not.
    let start = Instant::now();
    ann.get("/api/patients").expect(503, "failed");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    node.anyone().get("/healthz").expect(200, "success");
    cluster.start_again();
    eventually("service", || ann.get("/api/patients").status == 200);
    ann.new_patient("Someone");
    assert!(node.lines_with(" error server").is_empty(), "{:#?}", node.lines());
}
