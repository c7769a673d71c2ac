//! The default database: a private PostgreSQL for a server without `DATABASE_URL`.
//!
//! It is an ordinary PostgreSQL, installed by the system's package manager, on files beneath `DATA_DIR`:
//!
//! ```text
//! DATA_DIR/postgresql          the cluster (or a link to it, see `cluster.rs`)
//! DATA_DIR/postgresql.socket   mode 0700: the only way in; there is no TCP listener
//! DATA_DIR/postgresql.log      PostgreSQL's log; no value of a row is in it
//! DATA_DIR/postgresql.lock     held while a process starts or stops it
//! DATA_DIR/postgresql.users    held, shared, by every process that uses it
//! ```
//!
//! Several processes may use one `DATA_DIR`: a server and a `create-admin`, or two servers on two ports. The first one starts
//! PostgreSQL, and the last one stops it. The locks are the kernel's and end with their process, so a killed server is not
//! counted; the PostgreSQL that it left running is taken over by the next one.

mod account;
mod cluster;
mod create;
mod postmaster;
mod programs;
mod settings;
mod system;

use std::fs::{File, TryLockError};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use cluster::Cluster;
pub use cluster::make_data_dir;
use postmaster::{Patience, bring_up, connection_to, shut_down};
pub use settings::Settings;
use settings::{POLL, STOP_LIMIT, USER};
use system::cannot;
pub use system::complaint;

/// How long a start may take. Recovery after a crash is the slow case.
const START_LIMIT: Duration = Duration::from_secs(120);

/// For callers that cannot be told to stop.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A running private PostgreSQL. [`stop`](PrivatePostgres::stop) says whether stopping worked; dropping the value stops it too.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
    settings: Settings,
    socket_folder: String,
    connection_string: String,
    /// The postmaster, if this process started it.
    child: Option<Child>,
    found: Found,
    /// Locked, shared, for as long as this process uses the cluster.
    users: File,
    is_left: bool,
}

/// What a start found.
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
    /// Finds the programs, makes the folder and the cluster on the first start, starts PostgreSQL and waits until it answers, 120 s
    /// at most. One that is already running is joined as it is, whatever its settings.
    pub fn start(data_dir: &Path, settings: &Settings) -> Result<PrivatePostgres, String> {
        PrivatePostgres::start_unless(&NEVER, data_dir, settings)
    }

    /// The same, but gives up as soon as `stopping` is set, and stops a PostgreSQL that was about to start.
    pub fn start_unless(
        stopping: &AtomicBool,
        data_dir: &Path,
        settings: &Settings,
    ) -> Result<PrivatePostgres, String> {
        let patience = Patience::new(START_LIMIT, stopping);
        let data_dir = make_data_dir(data_dir)?;
        let _gate = pass_gate(&data_dir, patience)?;
        // Behind the gate, nobody else takes or leaves these locks.
        let users = cluster::open(&data_dir, "postgresql.users")?;
        let is_alone = users.try_lock().is_ok();
        users.lock_shared().map_err(|error| cannot("lock", &data_dir, &error))?;

        let cluster = create::find_or_make(&data_dir, settings)?;
        let (child, socket_folder) = bring_up(&cluster, settings, patience)?;
        let found = match (&child, is_alone) {
            (Some(_), _) => Found::Stopped,
            (None, true) => Found::Abandoned,
            (None, false) => Found::InUse,
        };
        let connection_string = connection_to(&socket_folder, USER, USER);
        let settings = settings.clone();
        Ok(PrivatePostgres { cluster, settings, socket_folder, connection_string, child, found, users, is_left: false })
    }

    /// The connection string of the owner, as a list of `name=value`.
    pub fn connection_string(&self) -> &str {
        &self.connection_string
    }

    /// The connection string of another role.
    pub fn connection_string_as(&self, role: &str) -> String {
        connection_to(&self.socket_folder, role, USER)
    }

    /// Whether it was running before this process came. Commands such as `check` then leave it as they found it, with
    /// [`leave_running`](PrivatePostgres::leave_running).
    pub fn was_running(&self) -> bool {
        self.found != Found::Stopped
    }

    /// Whether another process was using it when this one came.
    pub fn is_shared(&self) -> bool {
        self.found == Found::InUse
    }

    /// One of PostgreSQL's programs of this cluster's version, such as `pg_dump`, with the right user and environment.
    pub fn program(&self, name: &str) -> Command {
        self.cluster.program(name)
    }

    /// Starts PostgreSQL again if it has ended (killed, or out of disk), and returns whether it had. One that runs, is starting or
    /// recovers is left alone. It gives up as soon as `stopping` is set.
    pub fn revive(&mut self, stopping: &AtomicBool) -> Result<bool, String> {
        let has_ended = match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(Some(_))),
            // Another process started it: nobody accepts a connection when it has ended.
            None => UnixStream::connect(cluster::socket_in(&self.socket_folder)).is_err(),
        };
        if !has_ended {
            return Ok(false);
        }
        let patience = Patience::new(STOP_LIMIT, stopping);
        let _gate = pass_gate(&self.cluster.data_dir, patience)?;
        self.child = None;
        (self.child, self.socket_folder) = bring_up(&self.cluster, &self.settings, patience)?;
        Ok(true)
    }

    /// Stops PostgreSQL and returns when it is gone, unless another process is using it: then the last process stops it. Sessions
    /// end at once, so the caller's connections should be idle. If PostgreSQL has not ended after 20 s, it is told to end without a
    /// checkpoint. That loses nothing: the next start recovers.
    pub fn stop(mut self) -> Result<(), String> {
        self.is_left = true;
        self.leave()
    }

    /// Leaves PostgreSQL running, as a command does that found it running. If the server that used it has stopped in the meantime
    /// and this process is the last one, PostgreSQL is stopped after all.
    pub fn leave_running(mut self) {
        self.is_left = true;
        if self.found == Found::InUse
            && let Err(problem) = self.leave()
        {
            log::warn!("{problem}");
        }
    }

    fn leave(&mut self) -> Result<(), String> {
        let _gate = pass_gate(&self.cluster.data_dir, Patience::new(STOP_LIMIT, &NEVER))?;
        let is_last = self.users.try_lock().is_ok();
        let stopped = if is_last { shut_down(&self.cluster, &mut self.child) } else { Ok(()) };
        // Unlocked explicitly, because a child process that is being started may hold a copy of the file open for a moment.
        let _ = self.users.unlock();
        stopped
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

/// Waits until no other process is starting or stopping the cluster. The gate closes again with the returned file.
fn pass_gate(data_dir: &Path, patience: Patience) -> Result<File, String> {
    let gate = cluster::open(data_dir, "postgresql.lock")?;
    loop {
        match gate.try_lock() {
            Ok(()) => return Ok(gate),
            Err(TryLockError::WouldBlock) if !patience.is_over() => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another process has been starting the PostgreSQL in {} for too long: end it",
                    data_dir.display()
                ));
            }
            Err(TryLockError::Error(error)) => {
                return Err(cannot("lock", &data_dir.join("postgresql.lock"), &error));
            }
        }
    }
}
