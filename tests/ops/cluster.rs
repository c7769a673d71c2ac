//! PostgreSQLs for the tests of faults: each in a folder of its own, to be frozen, killed, filled, copied and promoted.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use healthcare_backend::internals::{PrivatePostgres, Settings};
use postgres::{Client, NoTls};

use crate::harness::eventually;
use crate::processes::{family, is_running, signal};

/// A folder in the temp dir that every user can pass through, gone after the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = PathBuf::from(format!("/tmp/hcops-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder in the temp dir");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Folder(path)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One PostgreSQL; thawed and stopped at the end of the test.
pub struct Cluster {
    running: Option<PrivatePostgres>,
    pub data_dir: PathBuf,
    settings: Settings,
}

impl Cluster {
    /// An empty one, with these settings beside the usual ones.
    pub fn start(folder: &Folder, name: &str, extra: &[(&str, &str)]) -> Cluster {
        Cluster::start_in(folder.0.join(name), extra)
    }

    pub fn start_in(data_dir: PathBuf, extra: &[(&str, &str)]) -> Cluster {
        let extra = extra.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        // Nothing here survives a loss of power, but a commit waits for a standby where one is asked for.
        let mut settings = Settings { fsync: false, max_connections: 60, extra };
        settings.extra.push(("synchronous_commit".into(), "on".into()));
        let running = PrivatePostgres::start(&data_dir, &settings).expect("a PostgreSQL");
        Cluster { running: Some(running), data_dir, settings }
    }

    /// A copy that follows this one by streaming replication.
    pub fn standby(&self, folder: &Folder, name: &str) -> Cluster {
        let data_dir = folder.0.join(name);
        let files = data_dir.join("postgresql");
        fs::DirBuilder::new().mode(0o711).create(&data_dir).expect("a folder");
        fs::DirBuilder::new().mode(0o700).create(&files).expect("a folder");
        let owner = fs::metadata(self.data_dir.join("postgresql")).expect("the primary's files");
        std::os::unix::fs::chown(&files, Some(owner.uid()), Some(owner.gid())).expect("PostgreSQL's own folder");
        let mut copy = self.running().program("pg_basebackup");
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--pgdata"]);
        copy.arg(&files).arg(format!("--dbname={}", self.connection_string()));
        let output = copy.output().expect("pg_basebackup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Cluster::start_in(data_dir, &[])
    }

    fn running(&self) -> &PrivatePostgres {
        self.running.as_ref().expect("a running PostgreSQL")
    }

    pub fn connection_string(&self) -> &str {
        self.running().connection_string()
    }

    /// Starts it again after it was stopped or killed.
    pub fn start_again(&mut self) {
        drop(self.running.take());
        self.running = Some(PrivatePostgres::start(&self.data_dir, &self.settings).expect("a PostgreSQL"));
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &str {
        let host = self.connection_string().split(' ').next().expect("a host");
        host.strip_prefix("host=").expect("a host")
    }

    /// PostgreSQL's user and group.
    pub fn owner(&self) -> (u32, u32) {
        let owner = fs::metadata(self.data_dir.join("postgresql")).expect("its files");
        (owner.uid(), owner.gid())
    }

    pub fn program(&self, name: &str) -> Command {
        self.running().program(name)
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.connection_string(), NoTls).expect("a connection")
    }

    pub fn sql(&self, sql: &str) {
        self.connect().batch_execute(sql).expect(sql);
    }

    /// The first column of the first row.
    pub fn ask(&self, sql: &str) -> String {
        self.connect().query_one(sql, &[]).expect(sql).get(0)
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        assert_eq!(self.ask("select pg_promote()::text"), "true");
    }

    /// The postmaster's process id.
    pub fn postmaster(&self) -> Option<u32> {
        postmaster(&self.data_dir)
    }

    /// Stops it in an orderly way: what was committed reaches the standby.
    pub fn stop(&self) {
        let mut stop = self.program("pg_ctl");
        stop.args(["stop", "-m", "fast", "-D"]).arg(self.data_dir.join("postgresql"));
        assert!(stop.output().expect("pg_ctl").status.success());
    }

    /// Ends all of its processes, as a loss of power does.
    pub fn kill(&self) {
        let pids = family(self.postmaster().expect("a postmaster"));
        signal("-KILL", &pids);
        eventually("the end of PostgreSQL", || pids.iter().all(|pid| !is_running(*pid)));
    }

    /// Stops all of its processes where they are; the sockets stay open.
    pub fn freeze(&self) {
        let postmaster = self.postmaster().expect("a postmaster");
        signal("-STOP", &[postmaster]);
        signal("-STOP", &family(postmaster));
    }

    pub fn thaw(&self) {
        if let Some(postmaster) = self.postmaster() {
            signal("-CONT", &family(postmaster));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// The process id that a private PostgreSQL's postmaster left in its file.
pub fn postmaster(data_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(data_dir.join("postgresql/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}
