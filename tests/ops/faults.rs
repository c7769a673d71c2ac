//! Faults on one machine, and how the service recovers: PostgreSQL killed, the server killed, every connection taken.

use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use crate::cluster::{Cluster, Folder, postmaster};
use crate::harness::{Person, at_once, eventually};
use crate::node::Node;
use crate::processes::{family, is_running, signal};
use crate::writers::Writers;

/// Service after the database is back.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// The longest that a client may wait for a refusal.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// The same person at this node.
fn at(person: &Person, node: &Node) -> Person {
    Person { address: node.address, ..person.clone() }
}

/// A server with its private PostgreSQL, stopped with it at the end of the test.
struct Private {
    node: Node,
    folder: Folder,
}

impl Private {
    fn start(name: &str) -> Private {
        let folder = Folder::new(name);
        let node = Private::node(&folder);
        Private { node, folder }
    }

    fn node(folder: &Folder) -> Node {
        let data_dir = folder.0.join("data").display().to_string();
        Node::start(&[("DATA_DIR", &data_dir), ("JWT_SECRET", "")])
    }

    fn postmaster(&self) -> u32 {
        postmaster(&self.folder.0.join("data")).expect("a postmaster")
    }

    fn connect(&self) -> Client {
        let socket = self.folder.0.join("data/postgresql.socket");
        let string = format!("host={} user=healthcare dbname=healthcare", socket.display());
        Client::connect(&string, NoTls).expect("a connection")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.node.stop();
        // A test that failed in the middle may have left it without a server.
        if let Some(pid) = postmaster(&self.folder.0.join("data")) {
            signal("-QUIT", &[pid]);
            eventually("the end of PostgreSQL", || !is_running(pid));
        }
    }
}

#[test]
fn the_private_postgresql_is_started_again_when_it_is_killed() {
    let private = Private::start("revived");
    let ann = private.node.signed_up("ann");
    let writers = Writers::start(private.node.address, &ann, 3);
    for round in 1..=2 {
        writers.until_written(30);
        let before = private.postmaster();
        // The whole family, as the kernel does when memory runs out.
        signal("-KILL", &family(before));
        let killed = Instant::now();
        eventually("another PostgreSQL", || {
            postmaster(&private.folder.0.join("data")).is_some_and(|pid| pid != before)
        });
        writers.until_written(1);
        assert!(killed.elapsed() < BACK_WITHIN + Duration::from_secs(1), "{:?}", killed.elapsed());
        private.node.until_ready(200);
        // The listening connection may be the last to come back; a second fault before that would be the same outage.
        eventually("the last line", || private.node.lines_with("database: back after").len() == round);
    }
    writers.until_written(30);
    let tale = writers.stop();
    tale.expect_only_503(&[201], REFUSED_WITHIN);
    tale.compare(&mut private.connect());
    let lines = private.node.lines();
    assert_eq!(private.node.lines_with("database: away: ").len(), 2, "{lines:#?}");
    assert_eq!(private.node.lines_with("had ended, and was started again").len(), 2, "{lines:#?}");
    assert_eq!(private.node.lines_with("Z error ").len(), 2, "{lines:#?}");
}

#[test]
fn one_crashed_session_takes_all_down_for_a_moment_only() {
    let private = Private::start("session");
    let ann = private.node.signed_up("ann");
    let writers = Writers::start(private.node.address, &ann, 2);
    writers.until_written(20);
    let before = private.postmaster();
    let sessions =
        "select pid from pg_stat_activity where application_name = 'healthcare-backend' order by pid limit 1";
    let session: i32 = private.connect().query_one(sessions, &[]).expect("a session").get(0);
    signal("-KILL", &[u32::try_from(session).expect("a process")]);
    let killed = Instant::now();
    eventually("an outage", || !private.node.lines_with("database: away: ").is_empty());
    writers.until_written(20);
    assert!(killed.elapsed() < BACK_WITHIN + Duration::from_secs(1), "{:?}", killed.elapsed());
    let tale = writers.stop();
    tale.expect_only_503(&[201], REFUSED_WITHIN);
    tale.compare(&mut private.connect());
    assert_eq!(private.postmaster(), before, "PostgreSQL recovered by itself");
    assert!(private.node.lines_with("was started again").is_empty());
}

#[test]
fn a_server_that_is_killed_and_started_again_has_every_acknowledged_write() {
    let mut private = Private::start("kill-9");
    let ann = private.node.signed_up("ann");
    let writers = Writers::start(private.node.address, &ann, 3);
    writers.until_written(100);
    private.node.kill();
    let first = writers.stop();

    // Its PostgreSQL runs on, and is taken over; then everything goes at once, as with the power.
    private.node = Private::node(&private.folder);
    first.compare(&mut private.connect());
    assert!(at(&ann, &private.node).get("/api/auth/me").status == 200, "the secret was kept as well");
    signal("-KILL", &[private.node.pid()]);
    signal("-KILL", &family(private.postmaster()));
    private.node = Private::node(&private.folder);
    first.compare(&mut private.connect());
    private.node.signed_up("bob");
    assert!(private.node.stop().success());
    assert_eq!(postmaster(&private.folder.0.join("data")), None, "a clean stop stops it as well");
    private.node = Private::node(&private.folder);
}

#[test]
fn sigterm_lets_requests_finish_and_stops_everything() {
    let mut private = Private::start("sigterm");
    let ann = private.node.signed_up("ann");
    let writers = Writers::start(private.node.address, &ann, 3);
    writers.until_written(30);
    let pid = private.postmaster();
    assert!(private.node.stop().success());
    assert!(!is_running(pid));
    let tale = writers.stop();
    private.node = Private::node(&private.folder);
    tale.compare(&mut private.connect());
}

#[test]
fn when_others_take_every_connection_the_open_ones_serve_on_and_further_requests_get_503() {
    let folder = Folder::new("taken");
    let cluster = Cluster::start(&folder, "data", &[("max_connections", "12")]);
    let node = Node::start(&[("DATABASE_URL", cluster.connection_string())]);
    let ann = node.signed_up("ann");
    let others: Vec<Client> =
        std::iter::from_fn(|| Client::connect(cluster.connection_string(), NoTls).ok()).take(50).collect();
    assert!(others.len() < 12);
    // The connections that the service has are enough to serve, if slower.
    ann.get("/api/patients").expect(200, "success");

    // Now it loses even these: an administrator ends them, and others are quicker to come.
    let mut admin = others.into_iter();
    let mut first = admin.next().expect("a connection");
    let mut others: Vec<Client> = admin.collect();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'healthcare-backend'";
    eventually("a full house", || {
        first.query(end, &[]).expect("an end");
        others.extend(std::iter::from_fn(|| Client::connect(cluster.connection_string(), NoTls).ok()).take(50));
        node.anyone().get("/readyz").status == 503
    });
    let start = Instant::now();
    let refused = ann.get("/api/patients");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert!(start.elapsed() < REFUSED_WITHIN, "{:?}", start.elapsed());
    node.anyone().get("/healthz").expect(200, "success");

    drop(others);
    drop(first);
    let start = Instant::now();
    node.until_ready(200);
    ann.new_patient("Someone");
    assert!(start.elapsed() < BACK_WITHIN, "{:?}", start.elapsed());
    assert!(node.lines_with("Z error ").len() <= 3, "{:#?}", node.lines_with("Z error "));
}

#[test]
fn backends_that_are_terminated_again_and_again_lose_and_double_nothing() {
    let folder = Folder::new("terminated");
    let cluster = Cluster::start(&folder, "data", &[]);
    let node = Node::start(&[("DATABASE_URL", cluster.connection_string()), ("DATABASE_POOL", "5")]);
    let ann = node.signed_up("ann");
    let writers = Writers::start(node.address, &ann, 3);
    let mut admin = cluster.connect();
    for _ in 0..25 {
        writers.until_written(8);
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'healthcare-backend'";
        admin.query(end, &[]).expect("an end");
    }
    writers.until_written(20);
    let tale = writers.stop();
    tale.expect_only_503(&[201], REFUSED_WITHIN);
    tale.compare(&mut admin);
    // Connections come back one by one as they are needed, and no more than the pool, a pipe a worker, and the listener.
    let open = "select count(*) from pg_stat_activity where application_name = 'healthcare-backend'";
    assert!(admin.query_one(open, &[]).expect("a count").get::<_, i64>(0) <= 5 + 3 + 1);
}

#[test]
fn ten_nodes_may_start_at_once_on_an_empty_database() {
    let folder = Folder::new("ten");
    let cluster = Cluster::start(&folder, "data", &[("max_connections", "200")]);
    let nodes = at_once(10, |_| Node::start(&[("DATABASE_URL", cluster.connection_string()), ("WORKERS", "2")]));
    for node in &nodes {
        node.anyone().get("/readyz").expect(200, "success");
        assert!(node.lines_with(" warn ").is_empty(), "{:#?}", node.lines());
    }
    let applied: usize = nodes.iter().map(|node| node.lines_with("applied migration").len()).sum();
    assert_eq!(
        applied.to_string(),
        cluster.ask("select count(*)::text from schema_migrations"),
        "each once, by one of them"
    );
    let ann = nodes[0].signed_up("ann");
    let id = ann.new_patient("Someone");
    for node in &nodes {
        at(&ann, node).get(&format!("/api/patients/{id}")).expect(200, "success");
    }
}
