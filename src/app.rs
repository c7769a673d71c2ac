//! What all handlers share, and how it is put together before the socket opens.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::audit;
use crate::auth::User;
use crate::auth::limits::Limiter;
use crate::auth::secret;
use crate::auth::sessions::Sessions;
use crate::auth::tokens::Tokens;
use crate::config::Config;
use crate::cursors::Cursors;
use crate::database::Database;
use crate::db::Db;
use crate::error::{Counted, Error, RateLimit, Result};
use crate::memory::Memory;
use crate::metrics::{Family, Metrics, unix_seconds};
use crate::migrate;
use crate::network::client_network;
use crate::openapi;
use crate::outage::Outage;
use crate::pulse::Pulse;
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
    /// How often an address may have a password or a token checked.
    pub limiter: Limiter<IpAddr>,
    /// How much a user may change.
    pub change_limiter: Limiter<i64>,
    /// Audit entries on their way to the database.
    pub audit: audit::Buffer,
    /// What long answers hold.
    pub memory: Arc<Memory>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Whether the database answers.
    pub pulse: Arc<Pulse>,
    /// Requests that are answered 503, and why.
    pub refusals: Outage,
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

impl App {
    /// Checks the routes and the SQL files, brings the schema up to date and opens the pool. `connect` opens the first connection.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn new(
        config: Config,
        database: &Database,
        connect: impl FnOnce(&Database) -> std::result::Result<postgres::Client, String>,
    ) -> std::result::Result<App, String> {
        let routes = Routes::new()?;
        let (openapi, page_policy) = (openapi::document(&config)?, openapi::page::policy()?);
        let sql = Queries::load(config.sql_dir.as_deref())?;
        let migrations = migrate::load(config.sql_dir.as_deref())?;
        let secret = match &config.jwt_secret {
            Some(secret) => secret.clone(),
            None => secret::kept(&config.data_dir)?,
        };
        let mut client = connect(database)?;
        for name in migrate::run(&mut client, &migrations)? {
            log::info!(target: "database", "applied migration {name}");
        }
        database.grant(&mut client)?;
        if config.sql_dir.is_some() {
            // The built-in statements are known to fit the schema; an operator's own are not.
            sql.prove(&mut client)?;
        }
        let schema_version = migrations.last().map_or(0, |migration| migration.version);
        let metrics = Arc::new(Metrics::new(ROUTES.iter().map(|route| (route.method.name(), route.pattern))));
        let pulse = Arc::new(Pulse::default());
        let is_pooled = database.is_pooled(&mut client)?;
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
        let limiter = Limiter::new(Counted::Attempts, config.auth_rate_per_minute);
        let change_limiter = Limiter::new(Counted::Changes, config.changes_per_minute);
        let memory = Memory::new(config.max_memory_bytes);
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
            change_limiter,
            audit,
            memory,
            metrics,
            pulse,
            refusals: Outage::new("server", "requests are answered 503", "no more requests are answered 503"),
            transport: OnceLock::new(),
            openapi,
            page_policy,
            schema_version,
            started_at,
        })
    }

    /// Takes one of the client's requests that check a password or a token from its rate limit.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn take_from_rate_limit(&self, request: &Request) -> Result<()> {
        self.limiter.take(client_network(request.client)).map_err(|limit| self.limited(limit))
    }

    /// Takes one of the user's changes.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn take_change(&self, user: &User) -> Result<()> {
        self.change_limiter.take(user.id).map_err(|limit| self.limited(limit))
    }

    fn limited(&self, limit: Box<RateLimit>) -> Error {
        self.metrics.rate_limited.add(1);
        Error::TooManyRequests(limit)
    }
}
