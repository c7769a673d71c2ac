//! The fields, their defaults, and the numbers that follow from them.

use std::path::PathBuf;
use std::thread::available_parallelism;

use crate::memory::LONG_READ_BYTES;
use crate::network::Network;

/// Everything that an operator can set. The program reads it from environment variables; another program starts from
/// [`Config::default`] and sets fields. The comment of each field names its variable. `healthcare-backend help` and the README say
/// what it means and which values are allowed.
///
/// ```
/// use healthcare_backend::{Config, Network};
///
/// let config = Config { port: 8443, trusted_proxies: Network::parse("10.0.0.0/8").into_iter().collect(), ..Config::default() };
/// assert!(config.checked().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `HOST`
    pub host: String,
    /// `PORT`
    pub port: u16,
    /// `DATABASE_URL`
    pub database_url: Option<String>,
    /// `DATA_DIR`
    pub data_dir: PathBuf,
    /// `JWT_SECRET`
    pub jwt_secret: Option<String>,
    /// `JWT_SECRET_PREVIOUS`
    pub jwt_secret_previous: Option<String>,
    /// `JWT_TTL_SECONDS`
    pub jwt_ttl_seconds: u64,
    /// `BCRYPT_COST`
    pub bcrypt_cost: u32,
    /// `ALLOW_WEAK_HASHING`
    pub allow_weak_hashing: bool,
    /// `WORKERS`
    pub workers: usize,
    /// `DATABASE_POOL`
    pub database_pool: usize,
    /// `MAX_BODY_BYTES`
    pub max_body_bytes: usize,
    /// `MAX_CONNECTIONS`
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`
    pub max_connections_per_address: usize,
    /// `MAX_MEMORY_BYTES`
    pub max_memory_bytes: usize,
    /// `CORS_ORIGINS`
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`
    pub trusted_proxies: Vec<Network>,
    /// `AUTH_RATE_PER_MINUTE`
    pub auth_rate_per_minute: u32,
    /// `CHANGES_PER_MINUTE`
    pub changes_per_minute: u32,
    /// `LOGIN_MAX_FAILURES`
    pub login_max_failures: i32,
    /// `LOGIN_MAX_FAILURES_TOTAL`
    pub login_max_failures_total: i32,
    /// `LOGIN_LOCK_SECONDS`
    pub login_lock_seconds: i32,
    /// `PASSWORD_MIN_LENGTH`
    pub password_min_length: usize,
    /// `PASSWORD_BLOCKLIST`
    pub password_blocklist: bool,
    /// `REGISTRATION`
    pub registration_open: bool,
    /// `SENDMAIL`
    pub sendmail: Option<String>,
    /// `MAIL_FROM`
    pub mail_from: Option<String>,
    /// `RESET_URL`
    pub reset_url: Option<String>,
    /// `EMERGENCY_MINUTES`
    pub emergency_minutes: i32,
    /// `FHIR_BASE_URL`
    pub fhir_base_url: Option<String>,
    /// `AUDIT_READS`
    pub audit_reads: bool,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `RUST_LOG`
    pub log_filter: String,
    /// `SQL_DIR`
    pub sql_dir: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Plain text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// How many threads hash passwords, at a lower priority than the threads that read: one for each core, and one more, since a login
/// also waits for the disk, and no core should be idle meanwhile.
pub fn hashing_threads() -> usize {
    cores() + 1
}

fn cores() -> usize {
    available_parallelism().map_or(1, |cores| cores.get())
}

/// Workers hardly ever wait: one per core, but at least two.
fn default_workers() -> usize {
    cores().clamp(2, 64)
}

/// A change waits for the disk, and changes that wait together share one flush: several connections per core.
fn default_pool() -> usize {
    (cores() * 6).clamp(12, 64) + OTHER_CONNECTIONS + hashing_threads()
}

/// One address may hold a quarter of all connections, so that three others still find room.
pub(super) fn default_per_address(max_connections: usize) -> usize {
    (max_connections / 4).max(1)
}

/// How many connections of the pool are not for requests: one, for background writes.
const OTHER_CONNECTIONS: usize = 1;

/// The smallest pool: a connection for as many waiting threads as there are workers, for each hashing thread, and for background
/// writes.
pub fn connections_needed(workers: usize) -> usize {
    workers + hashing_threads() + OTHER_CONNECTIONS
}

impl Default for Config {
    fn default() -> Config {
        let max_connections = 1024;
        Config {
            host: "127.0.0.1".into(),
            port: 8080,
            database_url: None,
            data_dir: "./data".into(),
            jwt_secret: None,
            jwt_secret_previous: None,
            jwt_ttl_seconds: 3600,
            bcrypt_cost: 12,
            allow_weak_hashing: false,
            workers: default_workers(),
            database_pool: default_pool(),
            max_body_bytes: 262_144,
            max_connections,
            max_connections_per_address: default_per_address(max_connections),
            max_memory_bytes: 64 * 1024 * 1024,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            auth_rate_per_minute: 120,
            changes_per_minute: 600,
            login_max_failures: 10,
            login_max_failures_total: 100,
            login_lock_seconds: 900,
            password_min_length: 8,
            password_blocklist: true,
            registration_open: true,
            sendmail: None,
            mail_from: None,
            reset_url: None,
            emergency_minutes: 60,
            fhir_base_url: None,
            audit_reads: true,
            log_format: LogFormat::Text,
            log_filter: "info".into(),
            sql_dir: None,
        }
    }
}

impl Config {
    /// How many threads wait for the database, each with a connection of the pool.
    pub(crate) fn waiting_threads(&self) -> usize {
        self.database_pool.saturating_sub(hashing_threads() + OTHER_CONNECTIONS).max(1)
    }

    /// How many of the waiting threads also take long reads: as many as memory allows, but some are left for changes.
    pub(crate) fn long_readers(&self) -> usize {
        let threads = self.waiting_threads();
        (threads - (threads / 4).max(1)).min(self.max_memory_bytes / LONG_READ_BYTES).max(1)
    }
}
