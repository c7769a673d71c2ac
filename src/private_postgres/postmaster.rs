//! The postmaster, PostgreSQL's first process: joining the one that runs, or starting one and waiting until it answers.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Client, NoTls};

use super::cluster::{Cluster, PORT};
use super::settings::{POLL, STOP_LIMIT, Settings, USER};
use super::system::cannot;

/// How long one connection attempt may take. A PostgreSQL that takes longer is frozen.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for something that PostgreSQL or another process does.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    started: Instant,
    limit: Duration,
    /// Ends the waiting early: this process has been told to stop.
    stopping: &'a AtomicBool,
}

impl<'a> Patience<'a> {
    pub fn new(limit: Duration, stopping: &'a AtomicBool) -> Patience<'a> {
        Patience { started: Instant::now(), limit, stopping }
    }

    pub fn is_over(&self) -> bool {
        self.is_stopping() || self.started.elapsed() >= self.limit
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Joins the running postmaster or starts one: the child, if it is ours, and the folder of the socket.
pub(super) fn bring_up(
    cluster: &Cluster,
    settings: &Settings,
    patience: Patience,
) -> Result<(Option<Child>, String), String> {
    let mut is_told = false;
    loop {
        if let Some(running) = PidFile::read(&cluster.files)
            && running.files == cluster.files.to_string_lossy()
        {
            if answers(&running.socket_folder).is_ok() {
                return Ok((None, running.socket_folder));
            }
            running.remove_if_stale(cluster);
        }
        match spawn(cluster, settings, patience)? {
            Spawned::Ready(child, socket_folder) => return Ok((Some(child), socket_folder)),
            // Another postmaster is still starting or stopping, or its last sessions are still ending.
            Spawned::Busy(line) if patience.is_over() => {
                return Err(format!(
                    "the private PostgreSQL in {} is running but does not answer: {line}",
                    cluster.files.display()
                ));
            }
            Spawned::Busy(line) => {
                if !is_told {
                    log::info!("waiting for the private PostgreSQL that is running: {line}");
                }
                is_told = true;
                thread::sleep(10 * POLL);
            }
        }
    }
}

/// The outcome of starting a postmaster.
enum Spawned {
    Ready(Child, String),
    /// It gave way to another one; its last line.
    Busy(String),
}

fn spawn(cluster: &Cluster, settings: &Settings, patience: Patience) -> Result<Spawned, String> {
    let socket_folder = cluster.socket_folder()?.display().to_string();
    let (log, log_start) = cluster.log()?;
    let log_for_errors = log.try_clone().map_err(|error| cannot("open", &cluster.log_path(), &error))?;
    let mut command = cluster.program("postgres");
    command.arg("-D").arg(&cluster.files).stdout(Stdio::from(log)).stderr(Stdio::from(log_for_errors));
    for (name, value) in must_hold(settings, &socket_folder).iter().chain(&settings.extra) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let program = cluster.programs.bin.join("postgres");
    let mut child = command.spawn().map_err(|error| cannot("run", &program, &error))?;
    let mut problem = String::from("it has not finished starting");
    while !patience.is_over() {
        if let Ok(Some(status)) = child.try_wait() {
            let said = cluster.log_since(log_start);
            let line = said
                .lines()
                .rev()
                .find(|line| line.contains("FATAL") || line.contains("PANIC"))
                .or(said.lines().last());
            let line = line.unwrap_or_default().trim().to_owned();
            // It saw another postmaster, or sessions of a killed one that have not noticed yet.
            if line.contains("\"postmaster.pid\" already exists") || line.contains("is still in use") {
                return Ok(Spawned::Busy(line));
            }
            let log = cluster.log_path();
            return Err(format!("the private PostgreSQL did not start ({status}): {line} (more in {})", log.display()));
        }
        let is_ready = PidFile::read(&cluster.files).is_some_and(|file| file.pid == child.id() && file.is_ready);
        if is_ready {
            match answers(&socket_folder) {
                Ok(()) => return Ok(Spawned::Ready(child, socket_folder)),
                Err(reason) => problem = reason,
            }
        }
        thread::sleep(POLL);
    }
    if patience.is_stopping() {
        shut_down(cluster, &mut Some(child))?;
        return Err("the private PostgreSQL was stopped before it had started".into());
    }
    // Left running: a recovery that takes this long must not begin again, and the next start takes it over.
    let log = cluster.log_path();
    Err(format!(
        "the private PostgreSQL is not ready after {} s: {problem}; see {} and start again",
        patience.limit.as_secs(),
        log.display()
    ))
}

/// Stops the postmaster and returns when it is gone; `child` is the one that this process started.
pub(super) fn shut_down(cluster: &Cluster, child: &mut Option<Child>) -> Result<(), String> {
    let deadline = Instant::now() + STOP_LIMIT;
    let running = loop {
        match PidFile::read(&cluster.files) {
            Some(running) => break running,
            // It has only begun to start, and cannot be told anything before it has written its file.
            None if child.as_mut().is_some_and(is_alive) && Instant::now() < deadline => thread::sleep(POLL),
            None => return Ok(()),
        }
    };
    // Another process may have started it again.
    let mut child = child.as_mut().filter(|child| child.id() == running.pid);
    for mode in ["fast", "immediate"] {
        let mut pg_ctl = cluster.program("pg_ctl");
        pg_ctl.args(["stop", "--no-wait", "--silent", "-m", mode, "-D"]).arg(&cluster.files);
        let program = cluster.programs.bin.join("pg_ctl");
        let output = pg_ctl.output().map_err(|error| cannot("run", &program, &error))?;
        if !output.status.success() && child.is_none() {
            return Ok(()); // there was no process to tell: it had been killed
        }
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            let is_gone = match &mut child {
                Some(child) => !is_alive(child),
                // Removing this file is the last thing that a postmaster does.
                None => PidFile::read(&cluster.files).is_none_or(|now| now.pid != running.pid),
            };
            if is_gone {
                // Each start makes it again, and nothing should stay behind in the temporary directory.
                let _ = fs::remove_dir(&running.socket_folder);
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }
    let folder = cluster.files.display();
    Err(format!("the private PostgreSQL in {folder} does not stop: end it with `kill -KILL {}`", running.pid))
}

fn is_alive(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
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
        // The message of a failed statement can quote a patient's data. Our own log has such failures, without the data; this one
        // has what concerns PostgreSQL as a whole.
        ("log_min_messages", "log"),
        ("log_min_error_statement", "panic"),
        ("log_error_verbosity", "terse"),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// How to connect as this role to a database behind this socket.
pub(super) fn connection_to(socket_folder: &str, role: &str, database: &str) -> String {
    format!("host={socket_folder} port={PORT} user={role} dbname={database}")
}

/// Checks that a PostgreSQL answers behind this socket and has our database, which the first start makes. On a thread of its
/// own, because a frozen one accepts a connection and then says nothing.
fn answers(socket_folder: &str) -> Result<(), String> {
    let (sender, receiver) = mpsc::channel();
    let socket_folder = socket_folder.to_owned();
    thread::spawn(move || {
        let _ = sender.send(connect_once(&socket_folder)); // if it took too long, nobody listens any more
    });
    receiver
        .recv_timeout(CONNECT_LIMIT)
        .unwrap_or_else(|_| Err("it accepts connections but does not answer".to_owned()))
}

fn connect_once(socket_folder: &str) -> Result<(), String> {
    let Err(error) = Client::connect(&connection_to(socket_folder, USER, USER), NoTls) else {
        return Ok(());
    };
    let code = error.code();
    if code == Some(&SqlState::TOO_MANY_CONNECTIONS) {
        return Ok(()); // it is up; the pool waits for a free connection
    }
    if code != Some(&SqlState::UNDEFINED_DATABASE) {
        return Err(error.to_string());
    }
    let created = Client::connect(&connection_to(socket_folder, USER, "postgres"), NoTls)
        .and_then(|mut client| client.batch_execute(&format!("create database {USER}")));
    created.map_err(|error| error.to_string())
}

/// What a postmaster writes about itself into its cluster.
#[derive(Debug)]
pub(super) struct PidFile {
    pub pid: u32,
    files: String,
    pub socket_folder: String,
    is_ready: bool,
}

impl PidFile {
    /// The file of the postmaster that runs on this cluster, or that did not get to remove it; `None` while there is none,
    /// or while one is being written.
    pub fn read(files: &Path) -> Option<PidFile> {
        let bytes = fs::read(files.join("postmaster.pid")).ok()?;
        let text = String::from_utf8_lossy(&bytes); // it holds paths
        // Process id, cluster, start time, port, socket folder, address, shared memory, state.
        let lines: Vec<&str> = text.lines().collect();
        Some(PidFile {
            pid: lines.first()?.trim().parse().ok()?,
            files: (*lines.get(1)?).to_owned(),
            socket_folder: (*lines.get(4)?).to_owned(),
            is_ready: lines.get(7).is_some_and(|state| state.trim() == "ready"),
        })
    }

    /// PostgreSQL removes a file of a process that is gone, but not when its number has been given to another process, as happens
    /// when a container is killed and started again. If the operating system shows that the process is no PostgreSQL, the file is
    /// removed here. PostgreSQL still finds sessions that outlived a postmaster, in shared memory.
    fn remove_if_stale(&self, cluster: &Cluster) {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid));
        if name.is_ok_and(|name| !matches!(name.trim(), "postgres" | "postmaster")) {
            let _ = fs::remove_file(cluster.files.join("postmaster.pid")); // if that fails, PostgreSQL says why it does not start
        }
    }
}
