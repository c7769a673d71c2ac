//! The service inside another program: it leaves nothing behind when it ends, or when it fails to start.
//!
//! Threads and descriptors belong to a process, so each test runs in one of its own: this program, started once more.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use healthcare_backend::internals::{PrivatePostgres, Settings};
use healthcare_backend::{Config, Service};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Says to this program that it runs a test alone.
const ALONE: &str = "TEST_EMBEDDING_ALONE";

/// What each thread of a test reserves for its stack: more than everything else together, so that a limit on memory is one on
/// threads.
const STACK: u64 = 256 * 1024 * 1024;

#[test]
fn a_service_that_is_dropped_leaves_nothing_behind() {
    alone("a_service_that_is_dropped_leaves_nothing_behind", || {
        let folder = Folder::new("dropped");
        let before = Belongings::now();
        for _ in 0..2 {
            let service = Service::start(folder.config()).expect("a service");
            assert!(folder.postmaster().is_some() && Belongings::now() != before);
            drop(service);
            assert_eq!(folder.postmaster(), None, "its PostgreSQL has stopped");
            before.are_all_that_is_left();
        }
        Service::start(folder.config()).expect("a service").stop().expect("a stop");
        before.are_all_that_is_left();
    });
}

#[test]
fn a_start_that_fails_half_way_leaves_nothing_behind() {
    alone("a_start_that_fails_half_way_leaves_nothing_behind", || {
        let folder = Folder::new("half-way");
        let before = Belongings::now();
        let reserved = status("VmSize:") * 1024;
        for threads in [12, 20] {
            // Room for this many threads, and half a stack for everything else.
            let limit = reserved + threads * STACK + STACK / 2;
            setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: None }).expect("a limit");
            let problem = Service::start(folder.config()).err().expect("no start");
            assert!(problem.contains("no more threads"), "{problem}");
            assert_eq!(folder.postmaster(), None, "its PostgreSQL has stopped");
            before.are_all_that_is_left();
        }
        setrlimit(Resource::As, Rlimit { current: None, maximum: None }).expect("no limit");
        let taken = Service::start(folder.config()).expect("a service");
        let port = taken.address().port();
        let other = Folder::new("half-way-other");
        let problem = Service::start(Config { port, ..other.config() }).err().expect("no start");
        assert!(problem.contains("PORT"), "{problem}");
        assert_eq!(other.postmaster(), None, "its PostgreSQL has stopped");
        drop(taken);
        before.are_all_that_is_left();
    });
}

/// Runs a test in a process of its own, in which nothing else happens.
fn alone(name: &str, test: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    // One heap for all threads, so that only their stacks count.
    command.env("RUST_MIN_STACK", STACK.to_string()).env("MALLOC_ARENA_MAX", "1");
    let output = command.output().expect("this program");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// What this process has: threads by name, descriptors by what they are, child processes.
#[derive(Debug, PartialEq)]
struct Belongings {
    threads: Vec<String>,
    descriptors: Vec<String>,
    children: usize,
}

impl Belongings {
    fn now() -> Belongings {
        let own = PathBuf::from("/proc/self");
        let entries = |folder: &str| -> Vec<PathBuf> {
            fs::read_dir(own.join(folder)).expect("/proc").flatten().map(|entry| entry.path()).collect()
        };
        let name = |task: &PathBuf| Some(fs::read_to_string(task.join("comm")).ok()?.trim().to_string());
        let children = |task: &PathBuf| fs::read_to_string(task.join("children")).ok();
        let tasks = entries("task");
        let kind =
            |link: PathBuf| Some(fs::read_link(link).ok()?.display().to_string().split(['[', '(']).next()?.into());
        let (mut threads, mut descriptors): (Vec<_>, Vec<String>) =
            (tasks.iter().filter_map(name).collect(), entries("fd").into_iter().filter_map(kind).collect());
        threads.sort();
        descriptors.sort();
        let children: BTreeSet<String> = tasks
            .iter()
            .filter_map(children)
            .flat_map(|ids| ids.split(' ').map(str::to_string).collect::<Vec<_>>())
            .collect();
        Belongings { threads, descriptors, children: children.iter().filter(|id| !id.trim().is_empty()).count() }
    }

    /// A thread whose work is done may take a moment to go.
    fn are_all_that_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let now = Belongings::now();
            if now == *self {
                return;
            }
            assert!(Instant::now() < deadline, "{now:#?} are left of {self:#?}");
            std::thread::yield_now();
        }
    }
}

/// A number of `/proc/self/status`.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// A `DATA_DIR` in the temp dir, gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let root = PathBuf::from(format!("/tmp/hcembed-{}-{name}", std::process::id()));
        fs::create_dir(&root).expect("a folder in the temp dir");
        // Root's PostgreSQL runs as another user, which must be able to enter it.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("its mode");
        let fast = Settings { fsync: false, ..Settings::default() };
        PrivatePostgres::start(&root.join("data"), &fast).expect("a cluster").stop().expect("a stop");
        Folder(root)
    }

    fn config(&self) -> Config {
        Config { port: 0, data_dir: self.0.join("data"), workers: 4, database_pool: 14, ..Config::default() }
    }

    /// The process id of its PostgreSQL, if one runs.
    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.0.join("data/postgresql/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.postmaster().is_some() {
            drop(PrivatePostgres::start(&self.0.join("data"), &Settings::default())); // takes over what a failed test left, and stops it
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}
