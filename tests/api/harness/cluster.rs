//! A PostgreSQL of a test's own, for tests that stop, kill, freeze or slow it.

use std::process::Command;
use std::time::Duration;

use healthcare_backend::internals::{PrivatePostgres, Settings};

use super::folder::Folder;

/// A private cluster with one empty database. Dropping it lets it run on if it was frozen, and stops it.
pub struct OwnCluster {
    running: Option<PrivatePostgres>,
    /// The connection string, the same after every start.
    pub database: String,
    frozen: Vec<String>,
    folder: Folder,
    settings: Settings,
}

impl OwnCluster {
    /// A new one, running. What it has confirmed survives the end of its processes, if not of the machine.
    pub fn start() -> OwnCluster {
        OwnCluster::with(false, &[("synchronous_commit", "on")])
    }

    /// One on a disk on which every commit takes so long: PostgreSQL waits before it writes to its log.
    pub fn on_a_slow_disk(commit: Duration) -> OwnCluster {
        OwnCluster::with(true, &[("commit_delay", &commit.as_micros().to_string()), ("commit_siblings", "0")])
    }

    fn with(fsync: bool, extra: &[(&str, &str)]) -> OwnCluster {
        let extra = extra.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let (folder, settings) = (Folder::new(), Settings { fsync, extra, ..Settings::default() });
        let running = start_in(&folder, &settings);
        let database = running.connection_string().to_string();
        OwnCluster { running: Some(running), database, frozen: Vec::new(), folder, settings }
    }

    /// Stops it: connections end at once.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().expect("a stop");
        }
    }

    /// Starts it again with the same data.
    pub fn start_again(&mut self) {
        let running = start_in(&self.folder, &self.settings);
        assert_eq!(running.connection_string(), self.database);
        self.running = Some(running);
    }

    /// Ends it without a word, as a crash of the machine would.
    pub fn kill(&mut self) {
        signal("-KILL", &self.processes());
        // The value knows only how to stop; there is nothing left to stop.
        self.running = None;
    }

    /// Stops all of its processes in their tracks: connections stay open, and nothing answers.
    pub fn freeze(&mut self) {
        // The postmaster first, so that it has no further children: connections may be on their way.
        signal("-STOP", &self.processes()[..1]);
        self.frozen = self.processes();
        signal("-STOP", &self.frozen);
    }

    /// Lets them run on.
    pub fn thaw(&mut self) {
        signal("-CONT", &std::mem::take(&mut self.frozen));
    }

    /// The postmaster and its children.
    fn processes(&self) -> Vec<String> {
        let file = self.folder.path().join("postgresql/postmaster.pid");
        let postmaster = std::fs::read_to_string(file).expect("postmaster.pid");
        let postmaster = postmaster.lines().next().expect("a process id").to_string();
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.expect("its children").split_whitespace().map(str::to_string).collect();
        [vec![postmaster], children].concat()
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        self.thaw();
    }
}

fn start_in(folder: &Folder, settings: &Settings) -> PrivatePostgres {
    PrivatePostgres::start(folder.path(), settings).expect("a private PostgreSQL")
}

fn signal(name: &str, pids: &[String]) {
    if !pids.is_empty() {
        // A process that has ended meanwhile needs no signal.
        let _ = Command::new("kill").arg(name).args(pids).stderr(std::process::Stdio::null()).status();
    }
}
