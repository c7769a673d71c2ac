//! Constants and settings that all parts of the private PostgreSQL share.

use std::time::Duration;

/// The role that owns everything in the private PostgreSQL, and the database's name.
pub(super) const USER: &str = "healthcare";

/// How long a clean stop may take, and after it a hard one. Also how long to wait for another process that starts or stops it.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How often to check what another process is doing.
pub(super) const POLL: Duration = Duration::from_millis(4);

/// Settings that tests change. The default is for real data.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a commit waits for the disk. Off only for data that may be lost in a power failure.
    pub fsync: bool,
    /// The maximum number of connections at a time, three of which PostgreSQL reserves.
    pub max_connections: u32,
    /// More of PostgreSQL's settings, as name and value.
    pub extra: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { fsync: true, max_connections: 50, extra: Vec::new() }
    }
}
