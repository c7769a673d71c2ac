//! One private PostgreSQL for the whole test program, without fsync, and a database of its own for every test.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use healthcare_backend::internals::{PrivatePostgres, Settings, migrate};
use postgres::{Client, NoTls};

use super::eventually;

static CLUSTER: OnceLock<String> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// The database from which all others are copied, schema and all.
const TEMPLATE: &str = "migrated";

/// The connection string of a new, migrated, empty database.
pub fn new_database() -> String {
    let cluster = CLUSTER.get_or_init(start_cluster);
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut client = connect(&in_database(cluster, "postgres"));
    client.batch_execute(&format!("create database {name} template {TEMPLATE}")).expect("a new database");
    in_database(cluster, &name)
}

/// The connection string of a new database without a schema.
pub fn new_empty_database() -> String {
    let cluster = CLUSTER.get_or_init(start_cluster);
    let name = format!("empty_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut client = connect(&in_database(cluster, "postgres"));
    client.batch_execute(&format!("create database {name} template template0")).expect("a new database");
    in_database(cluster, &name)
}

/// A connection for a test that looks behind the service.
pub fn connect(connection_string: &str) -> Client {
    Client::connect(connection_string, NoTls).expect("a connection to PostgreSQL")
}

/// Waits until this many statements on a database are blocked by a lock. Those of programs that start and wait for each other do not count.
pub fn wait_until_blocked(connection_string: &str, statements: i64) {
    let blocked = "select count(*) from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock' and wait_event <> 'advisory'";
    let mut watcher = connect(connection_string);
    eventually(&format!("{statements} statements are blocked"), || {
        watcher.query_one(blocked, &[]).expect("a count").get::<_, i64>(0) == statements
    });
}

/// A database that lets no one in.
pub struct Closed {
    database: String,
    name: String,
}

/// Ends all connections of a database and lets no new ones in until [`Closed::open`].
pub fn closed(connection_string: &str) -> Closed {
    let closed = kept(connection_string);
    let ended = "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity where datname = $1";
    connect(&closed.database).query(ended, &[&closed.name]).expect("no connection is left");
    closed
}

/// Keeps the connections that a database has, and lets no new ones in until [`Closed::open`].
pub fn kept(connection_string: &str) -> Closed {
    let name = connection_string.rsplit_once("dbname=").expect("a database").1.to_string();
    let closed = Closed { database: in_database(connection_string, "postgres"), name };
    closed.admit(false);
    closed
}

impl Closed {
    /// Lets connections in again.
    pub fn open(&self) {
        self.admit(true);
    }

    fn admit(&self, admitted: bool) {
        let statement = format!("alter database {} with allow_connections {admitted}", self.name);
        connect(&self.database).batch_execute(&statement).expect("an altered database");
    }
}

fn in_database(cluster: &str, name: &str) -> String {
    let kept: Vec<&str> = cluster.split(' ').filter(|part| !part.starts_with("dbname=")).collect();
    format!("{} dbname={name}", kept.join(" "))
}

fn start_cluster() -> String {
    let folder = temporary_folder();
    let settings = Settings { fsync: false, max_connections: 400, ..Settings::default() };
    let cluster = PrivatePostgres::start(&folder, &settings).expect("a private PostgreSQL");
    let connection_string = cluster.connection_string().to_string();
    stop_with_this_process(&folder);
    cluster.leave_running();
    let mut client = connect(&in_database(&connection_string, "postgres"));
    client.batch_execute(&format!("create database {TEMPLATE}")).expect("a template");
    let mut client = connect(&in_database(&connection_string, TEMPLATE));
    migrate::run(&mut client, &migrate::load(None).expect("migrations")).expect("a schema");
    connection_string
}

/// A short path that PostgreSQL's user can reach, whichever user runs the tests.
fn temporary_folder() -> PathBuf {
    let folder = PathBuf::from(format!("/tmp/healthcare-tests-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// A test program has no last moment of its own. This shell waits for the end of its standard input, which comes with the end
/// of this process, however it ends (Ctrl-C reaches the shell as well); then it stops PostgreSQL and removes the folder.
#[expect(clippy::zombie_processes, reason = "it waits for this process, not the other way round")]
fn stop_with_this_process(folder: &std::path::Path) {
    let script = r#"
        trap '' INT TERM HUP
        cat >/dev/null
        pid=$(head -n 1 "$1/postgresql/postmaster.pid")
        kill -QUIT "$pid"
        while [ -e "$1/postgresql/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
        rm -rf "$1"
    "#;
    let mut child = Command::new("sh")
        .args(["-c", script, "stop"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(b"\n").expect("a living shell");
    // Kept open, and never closed, by this process.
    std::mem::forget(pipe);
}
