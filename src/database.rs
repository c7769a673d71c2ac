//! The database: an existing one, or the private PostgreSQL, which this process then runs. Opens it, and makes the connections
//! outside the pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::types::Type;

use crate::config::Config;
use crate::database_url::{ConnectError, DatabaseUrl};
use crate::error::explain;
use crate::migrate::{self, ADVISORY_LOCK, Migration};
use crate::private_postgres::{PrivatePostgres, Settings};
use crate::pulse::hears;

/// The role that serves from the private PostgreSQL, and its rights.
const SERVING_ROLE: &str = "healthcare_run";
const GRANTS: &str = include_str!("../deploy/grants.sql");
/// How long to wait before the database is tried again, and how often the log says what it waits for.
const TRY_EVERY: Duration = Duration::from_millis(500);
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How often a waiting thread checks whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A database, and the private PostgreSQL that serves it, if any.
pub struct Database {
    /// How the service connects while it serves.
    pub url: DatabaseUrl,
    /// How the owner connects, who may change the schema. The same as `url`, except for the private PostgreSQL.
    owner: DatabaseUrl,
    /// The private PostgreSQL, if that is the database.
    pub private: Option<PrivatePostgres>,
}

impl Database {
    /// Reads `DATABASE_URL`, or starts the private PostgreSQL.
    pub fn open(config: &Config) -> Result<Database, String> {
        Database::open_unless(&AtomicBool::new(false), config)
    }

    /// The same, but gives up as soon as `stopping` is set: PostgreSQL may need a while to recover from a crash.
    pub fn open_unless(stopping: &AtomicBool, config: &Config) -> Result<Database, String> {
        match &config.database_url {
            Some(text) => {
                let url = DatabaseUrl::parse(text).map_err(|problem| format!("DATABASE_URL: {problem}"))?;
                Ok(Database { owner: url.clone(), url, private: None })
            }
            None => {
                let settings = Settings { max_connections: max_connections(config), ..Settings::default() };
                let private = PrivatePostgres::start_unless(stopping, &config.data_dir, &settings)?;
                let owner = DatabaseUrl::parse(private.connection_string())?;
                let url = DatabaseUrl::parse(&private.connection_string_as(SERVING_ROLE))?;
                Ok(Database { url, owner, private: Some(private) })
            }
        }
    }

    /// Brings the schema up to date, and the rights of the role that serves from the private PostgreSQL.
    pub fn migrate(&self, owner: &mut Client, migrations: &[Migration]) -> Result<(), String> {
        for name in migrate::run(owner, migrations)? {
            log::info!(target: "database", "applied migration {name}");
        }
        self.grant(owner)
    }

    /// Creates the role with which the service uses the private PostgreSQL, or updates its rights to those in
    /// `deploy/grants.sql`: it can change neither the schema nor the audit trail. In any other database, granting rights is the
    /// owner's task.
    fn grant(&self, owner: &mut Client) -> Result<(), String> {
        if self.private.is_none() {
            return Ok(());
        }
        let mut grant = || {
            let mut transaction = owner.transaction()?;
            // If several servers start at once, they do this one after the other.
            transaction.query_typed("select pg_advisory_xact_lock($1)", &[(&ADVISORY_LOCK, Type::INT8)])?;
            transaction.batch_execute("set local client_min_messages = 'warning'")?;
            transaction.batch_execute(GRANTS)?;
            transaction.commit()
        };
        grant().map_err(|error: postgres::Error| format!("the role {SERVING_ROLE} cannot be made: {}", explain(&error)))
    }

    /// One connection of the owner's, outside of any pool.
    pub fn connect(&self) -> Result<Client, String> {
        self.owner.connect().map_err(|error| self.no_connection(&error))
    }

    /// The same, but waits while the database refuses connections or does not answer, as when a machine starts, until `stopping`
    /// is set. The log says at once, and every 10 s, what it waits for.
    ///
    /// # Errors
    /// One line for a problem that waiting does not solve: a refused password, an unknown database, missing rights.
    pub fn wait_for_connection(&self, stopping: &AtomicBool) -> Result<Client, String> {
        let started = Instant::now();
        let mut say_at = started;
        loop {
            let error = match self.connect_unless(stopping)? {
                Ok(client) => {
                    if say_at > started {
                        let waited = started.elapsed().as_secs_f64();
                        log::warn!(target: "database", "the database answers, after {waited:.1} s");
                    }
                    return Ok(client);
                }
                Err(error) if error.may_pass => error,
                Err(error) => return Err(self.no_connection(&error)),
            };
            if Instant::now() >= say_at {
                say_at = Instant::now() + SAY_EVERY;
                log::warn!(target: "database", "waiting for the database ({}): {error}", self.owner.masked());
            }
            let again = Instant::now() + TRY_EVERY;
            while Instant::now() < again && !stopping.load(Ordering::Relaxed) {
                thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// One try, on a separate thread, because it may take seconds and stopping must not.
    fn connect_unless(&self, stopping: &AtomicBool) -> Result<Result<Client, ConnectError>, String> {
        let (sender, receiver) = mpsc::channel();
        let url = self.owner.clone();
        // If nobody waits any more, the connection is closed there.
        let connect = move || drop(sender.send(url.connect()));
        thread::Builder::new()
            .name("connect".into())
            .spawn(connect)
            .map_err(|error| format!("no more threads: {error}"))?;
        loop {
            match receiver.recv_timeout(LOOK_EVERY) {
                Ok(connected) => return Ok(connected),
                Err(RecvTimeoutError::Timeout) if !stopping.load(Ordering::Relaxed) => {}
                Err(_) => return Err("it was told to stop while it waited for the database".into()),
            }
        }
    }

    fn no_connection(&self, error: &ConnectError) -> String {
        let remedy = match self.private {
            Some(_) => "DATA_DIR/postgresql.log may say why",
            None => "make sure that it runs and that DATABASE_URL is right",
        };
        format!("no connection to the database ({}): {error}; {remedy}", self.owner.masked())
    }

    /// Whether there is a pooler in transaction mode in between. If so, the log says what the role then needs.
    pub fn is_pooled(&self, client: &mut Client) -> Result<bool, String> {
        let hears = hears(&mut self.connect()?, client).map_err(|error| explain(&error))?;
        if hears {
            return Ok(false);
        }
        log::info!(target: "database", "a transaction pooler is in between: no statement is prepared by name");
        let limits = "select current_user::text from pg_settings
                       where name in ('statement_timeout', 'lock_timeout') and setting = '0' limit 1";
        let unlimited = client.query_typed(limits, &[]).map_err(|error| explain(&error))?;
        if let Some(row) = unlimited.first() {
            let role: &str = row.get(0);
            log::warn!(
                target: "database",
                "a statement may run and wait for ever, since no limit can be set through the pooler: as the owner, run \
                 alter role {role} set statement_timeout = '10s'; alter role {role} set lock_timeout = '4s';"
            );
        }
        Ok(true)
    }
}

/// How many connections the private PostgreSQL must allow: the pool, one per worker, the listening one, commands that run beside
/// the server, and the three that PostgreSQL reserves.
fn max_connections(config: &Config) -> u32 {
    u32::try_from(config.database_pool + config.workers).unwrap_or(u32::MAX).saturating_add(20).max(50)
}
