//! Environment → [`Config`]. Every limit has its unit in its name; all bad values are reported at once, a line each.

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread::available_parallelism;

use crate::network::Network;

/// Everything that an operator can set. [`Config::from_env`] reads it; an embedding program may start from
/// [`Config::default`] and set fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// `HOST`: the address to listen on.
    pub host: String,
    /// `PORT`: 0 picks a free one.
    pub port: u16,
    /// `DATABASE_URL`: none means the private PostgreSQL.
    pub database_url: Option<String>,
    /// `DATA_DIR`: the private PostgreSQL and the generated secret.
    pub data_dir: PathBuf,
    /// `JWT_SECRET`: signs access tokens; required with `database_url`.
    pub jwt_secret: Option<String>,
    /// `JWT_SECRET_PREVIOUS`: still accepted while secrets are rotated.
    pub jwt_secret_previous: Option<String>,
    /// `JWT_TTL_SECONDS`: how long an access token is good for.
    pub jwt_ttl_seconds: u64,
    /// `BCRYPT_COST`: 10..16, or from 4 with `ALLOW_WEAK_HASHING=1`.
    pub bcrypt_cost: u32,
    /// `WORKERS`: threads that receive requests, and answer reads.
    pub workers: usize,
    /// `DATABASE_POOL`: connections to PostgreSQL, beside one a worker and the listening one.
    pub database_pool: usize,
    /// `MAX_BODY_BYTES`, inclusive.
    pub max_body_bytes: usize,
    /// `MAX_CONNECTIONS`: open client connections.
    pub max_connections: usize,
    /// `MAX_CONNECTIONS_PER_ADDRESS`: open connections of one client address; those of `trusted_proxies` are not counted.
    pub max_connections_per_address: usize,
    /// `CORS_ORIGINS`: the origins that browsers may call from.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<Network>,
    /// `AUTH_RATE_PER_MINUTE`: logins, registrations and refreshes per client address; 0 is no limit.
    pub auth_rate_per_minute: u32,
    /// `LOGIN_MAX_FAILURES`: wrong passwords in a row, per account and network.
    pub login_max_failures: i32,
    /// `LOGIN_MAX_FAILURES_TOTAL`: wrong passwords in a row, per account.
    pub login_max_failures_total: i32,
    /// `LOGIN_LOCK_SECONDS`: how long the account is then locked.
    pub login_lock_seconds: i32,
    /// `PASSWORD_MIN_LENGTH`, in characters.
    pub password_min_length: usize,
    /// `PASSWORD_BLOCKLIST`: whether common passwords are refused.
    pub password_blocklist: bool,
    /// `AUDIT_READS`: whether reads and lists are recorded.
    pub audit_reads: bool,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `SQL_DIR`: read the SQL files from here instead of the built-in ones.
    pub sql_dir: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Threads that hash passwords: all cores but one, so that reads always have one left.
pub fn hashing_threads() -> usize {
    cores().saturating_sub(1).max(1)
}

fn cores() -> usize {
    available_parallelism().map_or(1, |cores| cores.get())
}

/// A worker hardly waits: one a core, and never a single one.
fn default_workers() -> usize {
    cores().clamp(2, 64)
}

/// A change waits for the disk, and changes that wait together share one flush: several a core.
fn default_pool() -> usize {
    (cores() * 6).clamp(12, 64) + OTHER_CONNECTIONS + hashing_threads()
}

/// Connections of the pool that are not for requests: one for what the background writes.
const OTHER_CONNECTIONS: usize = 1;

/// The fewest connections of the pool: as many waiting threads as workers, the hashing threads, and the background's one.
pub fn connections_needed(workers: usize) -> usize {
    workers + hashing_threads() + OTHER_CONNECTIONS
}

impl Default for Config {
    fn default() -> Config {
        let workers = default_workers();
        Config {
            host: "127.0.0.1".into(),
            port: 8080,
            database_url: None,
            data_dir: "./data".into(),
            jwt_secret: None,
            jwt_secret_previous: None,
            jwt_ttl_seconds: 3600,
            bcrypt_cost: 12,
            workers,
            database_pool: default_pool(),
            max_body_bytes: 262_144,
            max_connections: 1024,
            max_connections_per_address: 256,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            auth_rate_per_minute: 120,
            login_max_failures: 10,
            login_max_failures_total: 100,
            login_lock_seconds: 900,
            password_min_length: 8,
            password_blocklist: true,
            audit_reads: true,
            log_format: LogFormat::Text,
            sql_dir: None,
        }
    }
}

impl Config {
    /// Reads the process environment, after the `.env` file of the working directory; the environment wins.
    ///
    /// # Errors
    /// Every bad value, a line each.
    pub fn from_env() -> Result<Config, Vec<String>> {
        let mut variables = HashMap::new();
        match dotenvy::from_filename_iter(".env") {
            Ok(lines) => {
                for line in lines {
                    let (name, value) =
                        line.map_err(|_| vec![".env: a line is not NAME=value; mend or remove it".to_string()])?;
                    variables.insert(name, value);
                }
            }
            Err(error) if error.not_found() => {}
            Err(_) => return Err(vec![".env cannot be read; mend its permissions or remove it".into()]),
        }
        for (name, value) in std::env::vars_os() {
            if let Ok(name) = name.into_string() {
                // What is not UTF-8 must not count as unset: it becomes a value that no setting takes.
                variables.insert(name, value.into_string().unwrap_or_else(|_| "\0".into()));
            }
        }
        Config::from_variables(&variables)
    }

    /// Reads a set of variables; see [`Config::from_env`].
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Config, Vec<String>> {
        let mut reader = Reader { variables, problems: Vec::new() };
        let standard = Config::default();
        let weak = reader.text("ALLOW_WEAK_HASHING").is_some_and(|value| value == "1");
        let max_connections = reader.number("MAX_CONNECTIONS", standard.max_connections, 1, 1_000_000);
        let workers = reader.number("WORKERS", standard.workers, 1, 1024);
        let config = Config {
            host: reader.text("HOST").unwrap_or(standard.host),
            port: reader.number("PORT", standard.port, 0, u16::MAX),
            database_url: reader.text("DATABASE_URL"),
            data_dir: reader.text("DATA_DIR").map_or(standard.data_dir, PathBuf::from),
            jwt_secret: reader.secret("JWT_SECRET"),
            jwt_secret_previous: reader.secret("JWT_SECRET_PREVIOUS"),
            jwt_ttl_seconds: reader.number("JWT_TTL_SECONDS", standard.jwt_ttl_seconds, 1, 86_400 * 30),
            bcrypt_cost: reader.number("BCRYPT_COST", standard.bcrypt_cost, if weak { 4 } else { 10 }, 16),
            workers,
            database_pool: reader
                .number("DATABASE_POOL", standard.database_pool, 1, 10_000)
                .max(connections_needed(workers)),
            max_body_bytes: reader.number("MAX_BODY_BYTES", standard.max_body_bytes, 1, 64 * 1024 * 1024),
            max_connections,
            max_connections_per_address: reader.number(
                "MAX_CONNECTIONS_PER_ADDRESS",
                (max_connections / 4).max(1),
                1,
                1_000_000,
            ),
            cors_origins: reader.origins("CORS_ORIGINS"),
            trusted_proxies: reader.networks("TRUSTED_PROXIES"),
            auth_rate_per_minute: reader.number("AUTH_RATE_PER_MINUTE", standard.auth_rate_per_minute, 0, 1_000_000),
            login_max_failures: reader.number("LOGIN_MAX_FAILURES", standard.login_max_failures, 1, 1_000_000),
            login_max_failures_total: reader.number(
                "LOGIN_MAX_FAILURES_TOTAL",
                standard.login_max_failures_total,
                1,
                1_000_000,
            ),
            login_lock_seconds: reader.number("LOGIN_LOCK_SECONDS", standard.login_lock_seconds, 1, 86_400),
            password_min_length: reader.number("PASSWORD_MIN_LENGTH", standard.password_min_length, 1, 72),
            password_blocklist: reader.switch("PASSWORD_BLOCKLIST", standard.password_blocklist),
            audit_reads: reader.switch("AUDIT_READS", standard.audit_reads),
            log_format: reader.log_format("LOG_FORMAT"),
            sql_dir: reader.text("SQL_DIR").map(PathBuf::from),
        };
        let has_secret = variables.get("JWT_SECRET").is_some_and(|secret| !secret.is_empty());
        if config.database_url.is_some() && !has_secret {
            reader.problems.push("JWT_SECRET is required with DATABASE_URL: set it to 32 random bytes or more".into());
        }
        if reader.problems.is_empty() { Ok(config) } else { Err(reader.problems) }
    }

    /// Threads that wait for the database, each with a connection of the pool.
    pub fn waiting_threads(&self) -> usize {
        self.database_pool.saturating_sub(hashing_threads() + OTHER_CONNECTIONS).max(1)
    }

    /// The effective configuration for the start line: one line, secrets masked.
    pub fn summary(&self) -> String {
        format!(
            "database={} workers={} waiting_threads={} hashing_threads={} database_pool={} max_body_bytes={} max_connections={} \
             bcrypt_cost={} jwt_ttl_seconds={} jwt_secret=*** cors_origins={} trusted_proxies={} audit_reads={}",
            if self.database_url.is_some() { "DATABASE_URL" } else { "private" },
            self.workers,
            self.waiting_threads(),
            hashing_threads(),
            self.database_pool,
            self.max_body_bytes,
            self.max_connections,
            self.bcrypt_cost,
            self.jwt_ttl_seconds,
            self.cors_origins.len(),
            self.trusted_proxies.len(),
            self.audit_reads,
        )
    }
}

/// Reads variables and keeps every problem. An empty value counts as unset.
struct Reader<'a> {
    variables: &'a HashMap<String, String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
    }

    fn number<T>(&mut self, name: &str, standard: T, least: T, most: T) -> T
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let Some(text) = self.text(name) else { return standard };
        match text.parse::<T>() {
            Ok(number) if number >= least && number <= most => number,
            _ => {
                self.problems.push(format!("{name} must be a whole number from {least} to {most}"));
                standard
            }
        }
    }

    fn switch(&mut self, name: &str, standard: bool) -> bool {
        match self.text(name).as_deref() {
            None => standard,
            Some("on") => true,
            Some("off") => false,
            Some(_) => {
                self.problems.push(format!("{name} must be on or off"));
                standard
            }
        }
    }

    fn secret(&mut self, name: &str) -> Option<String> {
        let secret = self.variables.get(name).filter(|value| !value.is_empty())?;
        if secret.len() < 32 {
            self.problems.push(format!("{name} must be 32 bytes or more"));
            return None;
        }
        Some(secret.clone())
    }

    fn log_format(&mut self, name: &str) -> LogFormat {
        match self.text(name).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(_) => {
                self.problems.push(format!("{name} must be text or json"));
                LogFormat::Text
            }
        }
    }

    fn items(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect()
    }

    fn origins(&mut self, name: &str) -> Vec<String> {
        let origins = self.items(name);
        for origin in &origins {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if authority.is_none_or(|authority| authority.is_empty() || authority.contains(['/', ' ', '*'])) {
                self.problems.push(format!("{name} must list origins like https://clinic.example, without a path"));
                break;
            }
        }
        origins
    }

    fn networks(&mut self, name: &str) -> Vec<Network> {
        let parsed: Option<Vec<Network>> = self.items(name).iter().map(|item| Network::parse(item)).collect();
        parsed.unwrap_or_else(|| {
            self.problems.push(format!("{name} must list addresses or networks like 10.0.0.0/8"));
            Vec::new()
        })
    }
}
