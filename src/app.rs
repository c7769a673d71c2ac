//! What all handlers share, and how it is put together before the socket opens.

use std::sync::{Arc, OnceLock};

use crate::audit;
use crate::auth::limits::Limiter;
use crate::auth::secret;
use crate::auth::sessions::Sessions;
use crate::auth::tokens::Tokens;
use crate::config::Config;
use crate::cursors::Cursors;
use crate::database_url::DatabaseUrl;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::metrics::{Family, Metrics, unix_seconds};
use crate::migrate;
use crate::openapi;
use crate::private_postgres::{PrivatePostgres, Settings};
use crate::pulse::{Pulse, hears};
use crate::request::Request;
use crate::routes::{ROUTES, Routes};
use crate::sql::Queries;

/// Everything that outlives a request.
pub struct App {
    /// What the operator set.
    pub config: Config,
    /// The endpoints.
    pub routes: Routes,
    /// The statements.
    pub sql: Queries,
    /// The connections.
    pub db: Db,
    /// Signs and verifies access tokens.
    pub tokens: Tokens,
    /// Seals the places where sorted lists continue.
    pub cursors: Cursors,
    /// What is remembered of sessions.
    pub sessions: Sessions,
    /// How often an address may try to log in.
    pub limiter: Limiter,
    /// Audit entries on their way to the database.
    pub audit: audit::Buffer,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Whether the database answers.
    pub pulse: Arc<Pulse>,
    /// What the transport counts, for the page of numbers; set when the socket is open.
    pub transport: OnceLock<Box<dyn Fn() -> Vec<Family> + Send + Sync>>,
    /// The OpenAPI document.
    pub openapi: String,
    /// The `Content-Security-Policy` of the page that shows it.
    pub page_policy: String,
    /// The schema version that this program knows.
    pub schema_version: i32,
    /// Seconds since 1970.
    pub started_at: f64,
}

/// Where the data is: one's own database, or the private one, which this process then holds.
pub struct Database {
    /// How to connect.
    pub url: DatabaseUrl,
    /// The private PostgreSQL, if it is that.
    pub private: Option<PrivatePostgres>,
}

/// What the private PostgreSQL must admit: the pool, one connection a worker, the listening one, commands beside the server, and the three that
/// PostgreSQL keeps for itself.
fn max_connections(config: &Config) -> u32 {
    u32::try_from(config.database_pool + config.workers).unwrap_or(u32::MAX).saturating_add(20).max(50)
}

impl Database {
    /// Reads `DATABASE_URL`, or starts the private PostgreSQL.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn open(config: &Config) -> std::result::Result<Database, String> {
        match &config.database_url {
            Some(text) => {
                let url = DatabaseUrl::parse(text).map_err(|problem| format!("DATABASE_URL: {problem}"))?;
                Ok(Database { url, private: None })
            }
            None => {
                let settings = Settings { max_connections: max_connections(config), ..Settings::default() };
                let private = PrivatePostgres::start_with(&config.data_dir, &settings)?;
                let url = DatabaseUrl::parse(private.connection_string())?;
                Ok(Database { url, private: Some(private) })
            }
        }
    }

    /// One connection, outside of any pool.
    ///
    /// # Errors
    /// One line that names the host.
    pub fn connect(&self) -> std::result::Result<postgres::Client, String> {
        let remedy = match self.private {
            Some(_) => "DATA_DIR/postgresql.log may say why",
            None => "make sure that it runs and that DATABASE_URL is right",
        };
        let connected = self.url.connect();
        connected.map_err(|error| format!("no connection to the database ({}): {error}; {remedy}", self.url.masked()))
    }
}

impl App {
    /// Checks the routes and the SQL files, brings the schema up to date and opens the pool.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn new(config: Config, database: &Database) -> std::result::Result<App, String> {
        let routes = Routes::new()?;
        let (openapi, page_policy) = (openapi::document(&config)?, openapi::page::policy()?);
        let sql = Queries::load(config.sql_dir.as_deref())?;
        let migrations = migrate::load(config.sql_dir.as_deref())?;
        let secret = match &config.jwt_secret {
            Some(secret) => secret.clone(),
            None => secret::kept(&config.data_dir)?,
        };
        let mut client = database.connect()?;
        for name in migrate::run(&mut client, &migrations)? {
            log::info!(target: "database", "applied migration {name}");
        }
        if config.sql_dir.is_some() {
            // The built-in statements are known to fit the schema; an operator's own are not.
            sql.prove(&mut client)?;
        }
        let schema_version = migrations.last().map_or(0, |migration| migration.version);
        let metrics = Arc::new(Metrics::new(ROUTES.iter().map(|route| (route.method.name(), route.pattern))));
        let pulse = Arc::new(Pulse::default());
        let is_pooled = is_pooled(database, &mut client)?;
        let db = Db::new(
            &database.url,
            config.database_pool,
            config.workers,
            is_pooled,
            Arc::clone(&pulse),
            Arc::clone(&metrics),
        );
        let tokens = Tokens::new(&secret, config.jwt_secret_previous.as_deref(), config.jwt_ttl_seconds);
        let cursors = Cursors::new(&secret, config.jwt_secret_previous.as_deref())?;
        let limiter = Limiter::new(config.auth_rate_per_minute);
        let (sessions, audit, started_at) = (Sessions::default(), audit::Buffer::default(), unix_seconds());
        Ok(App {
            config,
            routes,
            sql,
            db,
            tokens,
            cursors,
            sessions,
            limiter,
            audit,
            metrics,
            pulse,
            transport: OnceLock::new(),
            openapi,
            page_policy,
            schema_version,
            started_at,
        })
    }

    /// Takes one of the client's tries to log in, register or refresh.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn take_token(&self, request: &Request) -> Result<()> {
        self.limiter.take(request.client).map_err(|limit| {
            self.metrics.rate_limited.add(1);
            Error::TooManyRequests(limit)
        })
    }
}

/// Whether a pooler in transaction mode is in between; then it is said what that asks of the role.
fn is_pooled(database: &Database, client: &mut postgres::Client) -> std::result::Result<bool, String> {
    let hears = hears(&mut database.connect()?, client).map_err(|error| migrate::explain(&error))?;
    if hears {
        return Ok(false);
    }
    log::info!(target: "database", "a transaction pooler is in between: no statement is prepared by name");
    let limits = "select current_user::text from pg_settings
                   where name in ('statement_timeout', 'lock_timeout') and setting = '0' limit 1";
    let unlimited = client.query_typed(limits, &[]).map_err(|error| migrate::explain(&error))?;
    if let Some(row) = unlimited.first() {
        let role: &str = row.get(0);
        log::warn!(
            target: "database",
            "a statement may run and wait for ever, since no limit can be set through the pooler: as the owner, run \
             alter role {role} set statement_timeout = '10s'; alter role {role} set lock_timeout = '5s';"
        );
    }
    Ok(true)
}
