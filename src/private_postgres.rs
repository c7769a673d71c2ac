//! The embedded default: a PostgreSQL of our own for a server that was given no `DATABASE_URL`.
//!
//! It is an ordinary PostgreSQL, installed by the system's package manager, on files beneath `DATA_DIR`:
//!
//! ```text
//! DATA_DIR/postgresql          the cluster (or a link to it, see `cluster.rs`)
//! DATA_DIR/postgresql.socket   mode 0700: the only way in; there is no TCP listener
//! DATA_DIR/postgresql.log      what PostgreSQL says; never a value of a row
//! DATA_DIR/postgresql.lock     held while a process starts or stops it
//! DATA_DIR/postgresql.users    held, shared, by every process that uses it
//! ```
//!
//! **Several processes** may use one `DATA_DIR`: a server and a `create-admin`, or two servers on two ports. The first starts
//! PostgreSQL, and the last to leave stops it. The locks are the kernel's and end with their process, so a killed server is not
//! counted; the PostgreSQL that it left running is taken over by the next one.

mod cluster;
mod programs;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Client, NoTls};

use cluster::{Cluster, PORT};

/// The role that owns everything in the private PostgreSQL, and the database's name.
const USER: &str = "healthcare";

/// How long a start may take. Recovery after a crash is the slow case.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How long a clean stop may take, and after it a hard one; also the wait for another process that starts or stops it.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How long one connection attempt may take. A PostgreSQL that takes longer is frozen.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The time between two looks at something that another process does.
const POLL: Duration = Duration::from_millis(4);

/// What differs between real data (the default) and a test's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a commit waits for the disk. Off only for data that may be lost with the power.
    pub fsync: bool,
    /// The most connections at a time, three of which PostgreSQL keeps for itself.
    pub max_connections: u32,
    /// More of PostgreSQL's settings, as name and value.
    pub extra: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            fsync: true,
            max_connections: 50,
            extra: Vec::new(),
        }
    }
}

/// A running private PostgreSQL. [`stop`](PrivatePostgres::stop) says whether stopping worked; dropping the value stops it too.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
    connection_string: String,
    /// The postmaster, if this process started it.
    child: Option<Child>,
    found: Found,
    /// Locked, shared, for as long as this process uses the cluster.
    users: File,
    is_left: bool,
}

/// What a start met.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found {
    /// Nothing: this process started it.
    Stopped,
    /// Running, and in use by another process.
    InUse,
    /// Running, with nobody using it: an earlier server was killed.
    Abandoned,
}

impl PrivatePostgres {
    /// Starts the private PostgreSQL beneath `data_dir` for real data, or joins the one that runs there; see
    /// [`start_with`](PrivatePostgres::start_with).
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn start(data_dir: &Path) -> Result<PrivatePostgres, String> {
        PrivatePostgres::start_with(data_dir, &Settings::default())
    }

    /// Finds the programs, makes the folder and the cluster on the first start, starts it and waits until it answers; 120 s at
    /// the most. One that is already running is joined as it is, whatever its settings.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn start_with(data_dir: &Path, settings: &Settings) -> Result<PrivatePostgres, String> {
        let deadline = Instant::now() + START_LIMIT;
        let data_dir = make_data_dir(data_dir)?;
        let _gate = pass_gate(&data_dir, deadline)?;
        // Behind the gate, nobody else takes or leaves these locks.
        let users = cluster::open(&data_dir, "postgresql.users")?;
        let is_alone = users.try_lock().is_ok();
        users
            .lock_shared()
            .map_err(|error| cluster::cannot("lock", &data_dir, &error))?;

        let cluster = Cluster::find_or_make(&data_dir, settings)?;
        let (child, socket_folder) = bring_up(&cluster, settings, deadline)?;
        let found = match (&child, is_alone) {
            (Some(_), _) => Found::Stopped,
            (None, true) => Found::Abandoned,
            (None, false) => Found::InUse,
        };
        let connection_string = connection_to(&socket_folder, USER);
        Ok(PrivatePostgres {
            cluster,
            connection_string,
            child,
            found,
            users,
            is_left: false,
        })
    }

    /// How to connect, in libpq's `key=value` form, which `postgres::Config` parses: socket folder, port, user, database.
    pub fn connection_string(&self) -> &str {
        &self.connection_string
    }

    /// Whether it was running before this process came. Commands such as `check` then leave it as they found it, with
    /// [`leave_running`](PrivatePostgres::leave_running).
    pub fn was_running(&self) -> bool {
        self.found != Found::Stopped
    }

    /// The folder of PostgreSQL's programs that match this cluster's version.
    pub fn programs(&self) -> &Path {
        &self.cluster.programs.bin
    }

    /// Stops PostgreSQL and returns when it is gone, unless another process is using it: the last one stops it. Sessions end
    /// at once, so the caller's connections should be at rest. After 20 s it is stopped the hard way, which loses nothing: the
    /// next start recovers.
    ///
    /// # Errors
    /// One line, if it is still running after all.
    pub fn stop(mut self) -> Result<(), String> {
        self.is_left = true;
        self.leave()
    }

    /// Goes away without stopping it, as a command does that found it running. If the server that was using it has stopped
    /// meanwhile, and left it to this process, it is stopped after all.
    pub fn leave_running(mut self) {
        self.is_left = true;
        if self.found == Found::InUse
            && let Err(problem) = self.leave()
        {
            log::warn!("{problem}");
        }
    }

    fn leave(&mut self) -> Result<(), String> {
        let _gate = pass_gate(&self.cluster.data_dir, Instant::now() + STOP_LIMIT)?;
        let is_last = self.users.try_lock().is_ok();
        let stopped = if is_last { self.shut_down() } else { Ok(()) };
        // Said aloud, because a child process in the making may hold a copy of the file open for a moment.
        let _ = self.users.unlock();
        stopped
    }

    fn shut_down(&mut self) -> Result<(), String> {
        let Some(running) = PidFile::read(&self.cluster.files) else {
            return Ok(());
        };
        for mode in ["fast", "immediate"] {
            let mut pg_ctl = self.cluster.program("pg_ctl");
            pg_ctl
                .args(["stop", "--no-wait", "--silent", "-m", mode, "-D"])
                .arg(&self.cluster.files);
            let program = self.cluster.programs.bin.join("pg_ctl");
            let output = pg_ctl
                .output()
                .map_err(|error| cluster::cannot("run", &program, &error))?;
            if !output.status.success() && self.child.is_none() {
                return Ok(()); // there was no process to tell: it had been killed
            }
            let deadline = Instant::now() + STOP_LIMIT;
            while Instant::now() < deadline {
                if self.is_gone(&running) {
                    return Ok(());
                }
                thread::sleep(POLL);
            }
        }
        let folder = self.cluster.files.display();
        Err(format!(
            "the private PostgreSQL in {folder} does not stop: end it with `kill -KILL {}`",
            running.pid
        ))
    }

    fn is_gone(&mut self, running: &PidFile) -> bool {
        match &mut self.child {
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            // Removing this file is the last thing that a postmaster does.
            None => PidFile::read(&self.cluster.files).is_none_or(|now| now.pid != running.pid),
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if !self.is_left
            && let Err(problem) = self.leave()
        {
            log::warn!("{problem}");
        }
    }
}

/// Finds PostgreSQL's programs and returns their folder: on the `PATH`, as `pg_config --bindir` says, in
/// `/usr/lib/postgresql/*/bin` (the highest version first), where Homebrew has them, in `/usr/pgsql-*/bin`.
///
/// # Errors
/// One line with the command that installs them on this system.
pub fn find_programs() -> Result<PathBuf, String> {
    programs::Search::of_this_process()
        .newest_first()
        .map(|programs| programs.bin)
}

/// Makes `DATA_DIR` where it is missing, with the mode that the private PostgreSQL needs, and returns its absolute path. For
/// whoever writes there before it is started.
///
/// # Errors
/// One line: which folder cannot be made and why.
pub fn make_data_dir(data_dir: &Path) -> Result<PathBuf, String> {
    cluster::make_data_dir(data_dir)
}

/// Waits until no other process is starting or stopping the cluster. The gate closes again with the returned file.
fn pass_gate(data_dir: &Path, deadline: Instant) -> Result<File, String> {
    let gate = cluster::open(data_dir, "postgresql.lock")?;
    loop {
        match gate.try_lock() {
            Ok(()) => return Ok(gate),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another process has been starting the PostgreSQL in {} for too long: end it",
                    data_dir.display()
                ));
            }
            Err(TryLockError::Error(error)) => {
                return Err(cluster::cannot(
                    "lock",
                    &data_dir.join("postgresql.lock"),
                    &error,
                ));
            }
        }
    }
}

/// Joins the running postmaster or starts one: the child, if it is ours, and the folder of the socket.
fn bring_up(
    cluster: &Cluster,
    settings: &Settings,
    deadline: Instant,
) -> Result<(Option<Child>, String), String> {
    loop {
        if let Some(running) = PidFile::read(&cluster.files)
            && Path::new(&running.files) == cluster.files
        {
            if answers(&running.socket_folder).is_ok() {
                return Ok((None, running.socket_folder));
            }
            running.remove_if_stale(cluster);
        }
        match spawn(cluster, settings, deadline)? {
            Spawned::Ready(child, socket_folder) => return Ok((Some(child), socket_folder)),
            // One that is still starting or stopping, or whose last sessions are still ending.
            Spawned::Busy(line) if Instant::now() > deadline => {
                return Err(format!(
                    "the private PostgreSQL in {} is running but does not answer: {line}",
                    cluster.files.display()
                ));
            }
            Spawned::Busy(_) => thread::sleep(10 * POLL),
        }
    }
}

/// What became of a postmaster that was started.
enum Spawned {
    Ready(Child, String),
    /// It gave way to another one; its last line.
    Busy(String),
}

fn spawn(cluster: &Cluster, settings: &Settings, deadline: Instant) -> Result<Spawned, String> {
    let socket_folder = cluster.socket_folder()?.display().to_string();
    let (log, log_start) = cluster.log()?;
    let log_for_errors = log
        .try_clone()
        .map_err(|error| cluster::cannot("open", &cluster.log_path(), &error))?;
    let mut command = cluster.program("postgres");
    command
        .arg("-D")
        .arg(&cluster.files)
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(log_for_errors));
    for (name, value) in must_hold(settings, &socket_folder)
        .iter()
        .chain(&settings.extra)
    {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let program = cluster.programs.bin.join("postgres");
    let mut child = command
        .spawn()
        .map_err(|error| cluster::cannot("run", &program, &error))?;
    let mut problem = String::from("it has not finished starting");
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            let said = cluster.log_since(log_start);
            let line = said
                .lines()
                .rev()
                .find(|line| line.contains("FATAL") || line.contains("PANIC"))
                .or(said.lines().last());
            let line = line.unwrap_or_default().trim().to_owned();
            // It saw another postmaster, or sessions of a killed one that have not noticed yet.
            if line.contains("\"postmaster.pid\" already exists")
                || line.contains("is still in use")
            {
                return Ok(Spawned::Busy(line));
            }
            let log = cluster.log_path();
            return Err(format!(
                "the private PostgreSQL did not start ({status}): {line} (more in {})",
                log.display()
            ));
        }
        let is_ready = PidFile::read(&cluster.files)
            .is_some_and(|file| file.pid == child.id() && file.is_ready);
        if is_ready {
            match answers(&socket_folder) {
                Ok(()) => return Ok(Spawned::Ready(child, socket_folder)),
                Err(reason) => problem = reason,
            }
        }
        thread::sleep(POLL);
    }
    // Left running: recovery that takes this long must not begin anew, and the next start takes it over.
    let log = cluster.log_path();
    Err(format!(
        "the private PostgreSQL is not ready after {} s: {problem}; see {} and start again",
        START_LIMIT.as_secs(),
        log.display()
    ))
}

/// The settings that are not left to `postgresql.conf`, because safety or this module depends on them.
fn must_hold(settings: &Settings, socket_folder: &str) -> Vec<(String, String)> {
    let max_connections = settings.max_connections.to_string();
    let port = PORT.to_string();
    let durable = if settings.fsync { "on" } else { "off" };
    let all = [
        ("listen_addresses", ""),
        ("unix_socket_directories", socket_folder),
        ("unix_socket_permissions", "0700"),
        ("port", &port),
        ("max_connections", &max_connections),
        ("fsync", durable),
        ("full_page_writes", durable),
        ("synchronous_commit", durable),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("lc_messages", "C"),
        // A failed statement's message can quote a patient's data. The server logs such failures itself, without it; here
        // stays what concerns PostgreSQL as a whole.
        ("log_min_messages", "log"),
        ("log_min_error_statement", "panic"),
        ("log_error_verbosity", "terse"),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

fn connection_to(socket_folder: &str, database: &str) -> String {
    format!("host={socket_folder} port={PORT} user={USER} dbname={database}")
}

/// Checks that a PostgreSQL answers behind this socket and has our database, which the first start makes. On a thread of its
/// own, because a frozen one accepts a connection and then says nothing.
fn answers(socket_folder: &str) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    let socket_folder = socket_folder.to_owned();
    thread::spawn(move || {
        let _ = sender.send(connect_once(&socket_folder)); // nobody listens any more when it took too long
    });
    receiver
        .recv_timeout(CONNECT_LIMIT)
        .unwrap_or_else(|_| Err("it accepts connections but does not answer".to_owned()))
}

fn connect_once(socket_folder: &str) -> Result<(), String> {
    let Err(error) = Client::connect(&connection_to(socket_folder, USER), NoTls) else {
        return Ok(());
    };
    let code = error.code();
    if code == Some(&SqlState::TOO_MANY_CONNECTIONS) {
        return Ok(()); // it is up; the pool deals with a full house
    }
    if code != Some(&SqlState::UNDEFINED_DATABASE) {
        return Err(error.to_string());
    }
    let created = Client::connect(&connection_to(socket_folder, "postgres"), NoTls)
        .and_then(|mut client| client.batch_execute(&format!("create database {USER}")));
    created.map_err(|error| error.to_string())
}

/// What a postmaster writes about itself into its cluster.
#[derive(Debug)]
struct PidFile {
    pid: u32,
    files: String,
    socket_folder: String,
    is_ready: bool,
}

impl PidFile {
    /// The file of the postmaster that runs on this cluster, or that did not get to remove it; `None` while there is none,
    /// or while one is being written.
    fn read(files: &Path) -> Option<PidFile> {
        let text = fs::read_to_string(files.join("postmaster.pid")).ok()?;
        // Process id, cluster, start time, port, socket folder, address, shared memory, state.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(PidFile {
            pid: lines.first()?.parse().ok()?,
            files: (*lines.get(1)?).to_owned(),
            socket_folder: (*lines.get(4)?).to_owned(),
            is_ready: lines.get(7).is_some_and(|state| *state == "ready"),
        })
    }

    /// PostgreSQL removes a file of a process that is gone, but not when its number has been given to another process, as
    /// happens when a container is killed and started again. Where the system shows that it is no PostgreSQL, it is removed
    /// here; sessions that outlived a postmaster are still found by PostgreSQL, in shared memory.
    fn remove_if_stale(&self, cluster: &Cluster) {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid));
        if name.is_ok_and(|name| !matches!(name.trim(), "postgres" | "postmaster")) {
            let _ = fs::remove_file(cluster.files.join("postmaster.pid")); // or PostgreSQL says what is in the way
        }
    }
}
