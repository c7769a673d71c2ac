//! The private PostgreSQL, with real programs on real files: made, found again, shared, taken over, interrupted, stopped.
//!
//! Every test has a folder of its own in the temp dir. A server that gets killed is this very test program, started once more
//! by [`Server`].

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use healthcare_backend::internals::{PrivatePostgres, Settings};
use postgres::{Client, NoTls};

/// Says to this program, started once more, in which `DATA_DIR` to serve.
const SERVE: &str = "TEST_PRIVATE_POSTGRES_SERVE";

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_first_start_makes_a_closed_cluster_that_knows_unicode() {
    let place = Place::new("first");
    let server = PrivatePostgres::start(&place.data, &Settings::default()).expect("the first start");
    assert!(!server.was_running());

    let folder = place.data.join("postgresql.socket");
    assert!(server.connection_string().contains(&format!("host={}", folder.display())));
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&place.data.join("postgresql")), 0o700);
    assert_eq!(
        fs::metadata(&folder).expect("the folder").uid(),
        fs::metadata(place.data.join("postgresql")).expect("the cluster").uid()
    );

    let mut client = connect(&server);
    for (setting, value) in [
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("max_connections", "50"),
        ("shared_buffers", "32MB"),
        ("jit", "off"),
    ] {
        let row = client.query_one("select current_setting($1)", &[&setting]).expect(setting);
        assert_eq!(row.get::<_, String>(0), value, "{setting}");
    }
    assert_eq!(tcp_listeners(&place), 0);

    let sql = "select 'ÄRZTE straße' ilike '%ärzt%STRASSE' as wrong, 'ÄRZTE Łódź' ilike 'ärz%łÓDŹ' as right, lower('ÄÖÉŁΣЖ') as lower";
    let row = client.query_one(sql, &[]).expect("a search");
    assert_eq!((row.get(0), row.get(1), row.get::<_, &str>(2)), (false, true, "äöéłσж"));
    server.stop().expect("a stop");
}

#[test]
fn a_stop_really_stops_and_the_next_start_finds_the_data() {
    let place = Place::new("again");
    let server = place.start();
    write_row(&server, "kept");
    server.stop().expect("a stop");
    assert!(place.postmaster().is_none());
    assert!(!place.data.join("postgresql.socket").exists());

    let server = place.start();
    assert!(!server.was_running());
    assert_eq!(rows(&server), ["kept"]);
    let postmaster = place.postmaster();
    assert!(postmaster.is_some());
    drop(server);
    assert!(place.postmaster().is_none(), "dropping it stops it too");
}

#[test]
fn the_postgresql_of_a_killed_server_is_taken_over() {
    let place = Place::new("killed");
    let mut killed = Server::start(&place);
    killed.wait_until_ready();
    let postmaster = place.postmaster().expect("it runs");
    killed.kill();

    let server = place.start();
    assert!(server.was_running());
    write_row(&server, "written");
    assert_eq!(place.postmaster(), Some(postmaster), "it is the same one");
    server.leave_running(); // as `check` does
    assert_eq!(place.postmaster(), Some(postmaster));

    let server = place.start();
    assert_eq!(rows(&server), ["written"]);
    server.stop().expect("a stop");
    assert!(place.postmaster().is_none());
}

#[test]
fn an_interrupted_first_start_is_not_in_the_way() {
    let place = Place::new("interrupted");
    let mut killed = Server::start(&place);
    // In the middle: `initdb` has begun to write and has not finished.
    wait_for("initdb", || place.leftovers().iter().any(|folder| folder.join("PG_VERSION").exists()));
    killed.kill();
    assert!(!place.data.join("postgresql").exists());

    let server = place.start();
    write_row(&server, "written");
    server.stop().expect("a stop");
    let server = place.start();
    assert_eq!(rows(&server), ["written"]);
}

#[test]
fn after_a_loss_of_power_the_committed_rows_are_there() {
    let place = Place::new("power");
    let mut killed = Server::start(&place);
    killed.wait_until_ready();
    let postmaster = place.postmaster().expect("it runs");
    let joined = PrivatePostgres::start(&place.data, &Settings::default()).expect("a second user");
    write_row(&joined, "committed");
    joined.leave_running();
    killed.kill();
    signal(postmaster, "-KILL");
    assert!(place.postmaster().is_some(), "its file is left behind");

    let server = place.start();
    assert!(!server.was_running());
    assert_eq!(rows(&server), ["committed"]);
}

#[test]
fn a_number_that_another_process_has_now_is_not_taken_for_postgresql() {
    let place = Place::new("reused");
    place.start().stop().expect("a stop");
    let cluster = fs::canonicalize(place.data.join("postgresql")).expect("the cluster");
    let me = std::process::id();
    let stale = format!(
        "{me}\n{}\n1700000000\n5432\n{}/postgresql.socket\n\n  1 1\nready   \n",
        cluster.display(),
        place.data.display()
    );
    fs::write(cluster.join("postmaster.pid"), stale).expect("a stale file");

    let server = place.start();
    assert!(!server.was_running());
    assert_ne!(place.postmaster(), Some(me));
    server.stop().expect("a stop");
}

#[test]
fn two_servers_at_once_share_it_and_the_last_one_stops_it() {
    let place = Place::new("two");
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| place.start());
        (place.start(), other.join().expect("the other start"))
    });
    assert_ne!(first.was_running(), second.was_running(), "one of them started it");
    assert_eq!(first.connection_string(), second.connection_string());
    write_row(&first, "shared");
    first.stop().expect("leaving");
    assert_eq!(rows(&second), ["shared"], "it runs on for the other one");
    second.stop().expect("a stop");
    assert!(place.postmaster().is_none());
}

#[test]
fn a_command_that_outlives_its_server_stops_what_the_server_left_to_it() {
    let place = Place::new("outlived");
    let server = place.start();
    let command = place.start();
    assert!(command.was_running());
    server.stop().expect("leaving");
    assert!(place.postmaster().is_some(), "the command is using it");
    command.leave_running();
    assert!(place.postmaster().is_none());
}

#[test]
fn a_deep_data_dir_gets_a_short_socket_path() {
    let deep = format!("{}/with blanks, and commas", "a-long-name/".repeat(12));
    let place = Place::at("deep", Path::new(&deep));
    let server = place.start();
    let socket_folder = server.connection_string().split_whitespace().next().expect("a host").replace("host=", "");
    let socket_folder = PathBuf::from(socket_folder);
    assert!(socket_folder.as_os_str().len() < 90);
    assert_eq!(mode(&socket_folder), 0o700);
    write_row(&server, "reached");
    server.stop().expect("a stop");

    assert!(!socket_folder.exists(), "nothing stays in the temp dir");

    // Somebody else's folder of that name is not trusted.
    fs::create_dir(&socket_folder).expect("an open folder");
    fs::set_permissions(&socket_folder, fs::Permissions::from_mode(0o755)).expect("its mode");
    let line = PrivatePostgres::start(&place.data, &Settings::default()).expect_err("an open socket folder");
    assert!(line.contains(&socket_folder.display().to_string()) && line.contains("remove it"), "{line}");
    fs::remove_dir(&socket_folder).expect("removed");

    let server = place.start();
    assert_eq!(rows(&server), ["reached"]);
    server.stop().expect("a stop");
}

#[test]
fn a_problem_with_the_files_is_one_line_that_names_it() {
    let place = Place::new("wrong");
    let cluster = place.data.join("postgresql");
    fs::create_dir_all(&cluster).expect("a folder");
    fs::write(cluster.join("notes.txt"), "not a cluster").expect("a file");
    let line = PrivatePostgres::start(&place.data, &Settings::default()).expect_err("not a cluster");
    assert!(line.contains("is not a PostgreSQL cluster") && !line.contains('\n'), "{line}");

    fs::write(cluster.join("PG_VERSION"), "11\n").expect("a version");
    let line = PrivatePostgres::start(&place.data, &Settings::default()).expect_err("a version that is not installed");
    assert!(line.contains("version 11") && line.contains("install") && !line.contains('\n'), "{line}");
    fs::remove_dir_all(&cluster).expect("removed");

    let wrong = Settings { extra: vec![("shared_buffers".to_owned(), "much".to_owned())], ..test_settings() };
    let line = PrivatePostgres::start(&place.data, &wrong).expect_err("a setting that does not work");
    assert!(line.contains("shared_buffers") && line.contains("postgresql.log") && !line.contains('\n'), "{line}");

    let file = place.root.join("file");
    fs::write(&file, "").expect("a file");
    let line = PrivatePostgres::start(&file.join("data"), &Settings::default()).expect_err("a file in the way");
    assert!(line.contains("DATA_DIR") && !line.contains('\n'), "{line}");
}

#[test]
fn the_log_holds_no_value_of_a_failed_statement() {
    let place = Place::new("log");
    let server = place.start();
    let mut client = connect(&server);
    client.batch_execute("create table t (name text unique); insert into t values ('Ann Secret')").expect("a row");
    client.batch_execute("insert into t values ('Ann Secret')").expect_err("a duplicate");
    client.batch_execute("select 'Ann Secret'::integer").expect_err("no number");
    server.stop().expect("a stop");
    let log = fs::read_to_string(place.data.join("postgresql.log")).expect("the log");
    assert!(log.contains("ready to accept connections"), "{log}");
    assert!(!log.contains("Secret"), "{log}");
    assert_eq!(mode(&place.data.join("postgresql.log")), 0o600);
}

#[test]
fn a_long_log_is_put_aside() {
    let place = Place::new("long-log");
    fs::create_dir_all(&place.data).expect("a folder");
    fs::write(place.data.join("postgresql.log"), "a line\n".repeat(1_000_000)).expect("a long log");
    place.start().stop().expect("a stop");
    let size = |name: &str| fs::metadata(place.data.join(name)).expect(name).len();
    assert!(size("postgresql.log") < 100_000);
    assert_eq!(size("postgresql.log.old"), 7_000_000);
}

#[test]
fn a_closed_folder_of_root_keeps_only_a_link() {
    let place = Place::new("closed");
    if fs::metadata(&place.root).expect("the folder").uid() != 0 {
        return; // a plain user's PostgreSQL can enter what the user can
    }
    fs::set_permissions(&place.root, fs::Permissions::from_mode(0o700)).expect("a closed folder");
    let server = place.start();
    write_row(&server, "reached");
    server.stop().expect("a stop");
    let files = fs::read_link(place.data.join("postgresql")).expect("a link");
    assert!(files.starts_with("/var/lib/healthcare-backend"));
    assert_eq!(mode(&place.root), 0o700, "nobody's folder was opened");

    let server = place.start();
    assert_eq!(rows(&server), ["reached"]);
    server.stop().expect("a stop");
    fs::remove_dir_all(files.parent().expect("its folder")).expect("removed");
    let _ = fs::remove_dir("/var/lib/healthcare-backend"); // unless it holds real data
}

#[test]
fn an_installation_that_cannot_be_made_ends_with_the_way_out() {
    let place = Place::new("installer");
    let tools = place.root.join("bin");
    fs::create_dir(&tools).expect("a folder");
    // A system with a package manager, without PostgreSQL and without sudo.
    let search = std::env::var_os("PATH").expect("a PATH");
    for name in ["sh", "dirname", "env"] {
        let found = std::env::split_paths(&search).map(|folder| folder.join(name)).find(|path| path.exists());
        std::os::unix::fs::symlink(found.expect(name), tools.join(name)).expect("a link");
    }
    let script = "for name in apt-get tee mkdir rm; do printf '#!/bin/sh\\necho \"$0 $*\"\\n' >\"$1/$name\"; done
                  printf '#!/bin/sh\\necho 1000\\n' >\"$1/id\"; chmod 755 \"$1\"/*";
    // Another process writes them: see `programs.rs`.
    assert!(Command::new("sh").args(["-c", script, "sh"]).arg(&tools).status().expect("sh").success());
    let installer = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install-postgresql.sh");
    let text = fs::read_to_string(installer)
        .expect("the installer")
        .replace("/usr/", "/nowhere/")
        .replace("/opt/", "/nowhere/");
    let copy = place.root.join("install-postgresql.sh");
    fs::write(&copy, text).expect("a copy");
    let output = Command::new("sh").arg(&copy).env("PATH", &tools).output().expect("sh");
    let (said, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), said.as_ref()), (Some(1), ""), "nothing is begun: {problem}");
    assert!(
        problem.contains(&format!("as root, run `sh {}`", copy.display())) && problem.lines().count() == 1,
        "{problem}"
    );

    // As root, with a package that does not bring the programs.
    let script = "printf '#!/bin/sh\\necho 0\\n' >\"$1/id\"";
    assert!(Command::new("sh").args(["-c", script, "sh"]).arg(&tools).status().expect("sh").success());
    let output = Command::new("sh").arg(&copy).env("PATH", &tools).output().expect("sh");
    let (said, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.code() == Some(1) && said.contains("apt-get install"), "{said}{problem}");
    assert!(problem.contains("reinstall") && problem.contains("DATABASE_URL"), "{problem}");
    assert_eq!(problem.lines().count(), 1, "{problem}");
}

/// Not a test: what this program does when a test starts it as a server. It lives until it is killed.
#[test]
fn server() {
    let Some(data_dir) = std::env::var_os(SERVE) else {
        return;
    };
    let running = PrivatePostgres::start(Path::new(&data_dir), &Settings::default()).expect("a start");
    writeln!(std::io::stdout(), "\nready {}", running.connection_string()).expect("a listening parent");
    // The parent never writes; at its end, were it to crash, this ends too.
    let _ = std::io::stdin().lines().next();
}

/// A server in a process of its own.
struct Server(Child);

impl Server {
    fn start(place: &Place) -> Server {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", "server", "--nocapture"]).env(SERVE, &place.data);
        Server(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a server"))
    }

    fn wait_until_ready(&mut self) {
        let output = BufReader::new(self.0.stdout.as_mut().expect("its output"));
        let ready = output.lines().map_while(Result::ok).any(|line| line.starts_with("ready "));
        assert!(ready, "the server ended before it was ready");
    }

    fn kill(&mut self) {
        self.0.kill().expect("a kill");
        self.0.wait().expect("its end");
    }
}

/// A folder in the temp dir with a `DATA_DIR` in it. At the end of a test, passed or failed, nothing of it is left.
struct Place {
    root: PathBuf,
    data: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        Place::at(name, Path::new("data"))
    }

    fn at(name: &str, data: &Path) -> Place {
        let temp = fs::canonicalize(std::env::temp_dir()).expect("the temp dir");
        // Root's PostgreSQL runs as another user, which cannot enter a temp dir of root's own.
        let is_open = temp.ancestors().all(|folder| mode(folder) & 0o001 != 0);
        let is_mine = fs::metadata(&temp).expect("the temp dir").uid() != 0;
        // And a socket's path must be short, or it goes elsewhere, which only one test is about.
        let is_short = temp.to_str().is_some_and(|path| path.len() < 40);
        let temp = if (is_open || is_mine) && is_short { temp } else { fs::canonicalize("/tmp").expect("/tmp") };
        let root = temp.join(format!("hcpg-{}-{name}", std::process::id()));
        fs::DirBuilder::new().mode(0o755).create(&root).expect("a folder in the temp dir");
        Place { data: root.join(data), root }
    }

    fn start(&self) -> PrivatePostgres {
        PrivatePostgres::start(&self.data, &test_settings()).expect("a start")
    }

    /// The process id that the cluster's postmaster left in its file.
    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data.join("postgresql/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.data).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.to_string_lossy().contains("postgresql.new-")).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.postmaster().is_some() {
            drop(PrivatePostgres::start(&self.data, &Settings::default())); // takes over what a failed test left, and stops it
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn test_settings() -> Settings {
    Settings { fsync: false, ..Settings::default() }
}

fn connect(server: &PrivatePostgres) -> Client {
    Client::connect(server.connection_string(), NoTls).expect("a connection")
}

fn write_row(server: &PrivatePostgres, name: &str) {
    let mut client = connect(server);
    client.batch_execute("create table if not exists t (name text)").expect("a table");
    client.execute("insert into t values ($1)", &[&name]).expect("a row");
}

fn rows(server: &PrivatePostgres) -> Vec<String> {
    let rows = connect(server).query("select name from t order by name", &[]).expect("the rows");
    rows.iter().map(|row| row.get(0)).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").mode() & 0o777
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// How many TCP sockets the postmaster listens on, as the kernel sees it; 0 where the kernel does not show it.
fn tcp_listeners(place: &Place) -> usize {
    let postmaster = place.postmaster().expect("it runs");
    let links = fs::read_dir(format!("/proc/{postmaster}/fd")).into_iter().flatten().flatten();
    let sockets: Vec<String> = links
        .filter_map(|link| {
            fs::read_link(link.path()).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default());
    let inodes = tables.iter().flat_map(|table| table.lines()).filter_map(|line| line.split_whitespace().nth(9));
    inodes.filter(|inode| sockets.iter().any(|socket| socket == inode)).count()
}

fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
