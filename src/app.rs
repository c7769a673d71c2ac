//! What all handlers share, and how it is built before the socket opens.

use std::sync::{Arc, OnceLock};

use crate::audit;
use crate::auth::attempts::Attempt;
use crate::auth::guard::Guard;
use crate::auth::secret;
use crate::config::Config;
use crate::cursors::Cursors;
use crate::database::Database;
use crate::db::Db;
use crate::memory::Memory;
use crate::metrics::{Family, Metrics, unix_seconds};
use crate::migrate;
use crate::outage::Outage;
use crate::pulse::Pulse;
use crate::request::Request;
use crate::sql::Queries;

/// Everything that lives longer than a request.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The statements.
    pub sql: Queries,
    /// The connections.
    pub db: Db,
    /// The access tokens, the sessions, and the rate limits.
    pub guard: Guard,
    /// Seals the cursors of sorted lists.
    pub cursors: Cursors,
    /// Audit entries on their way to the database.
    pub audit: audit::Buffer,
    /// The memory that long answers hold.
    pub memory: Arc<Memory>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether the database answers.
    pub pulse: Arc<Pulse>,
    /// The outage that requests with the answer 503 belong to, and its causes.
    pub refusals: Outage,
    /// The transport's metrics, for `/metrics`; set when the socket is open.
    pub transport: OnceLock<Box<dyn Fn() -> Vec<Family> + Send + Sync>>,
    /// The contract, for programs and for people.
    pub contract: Contract,
    /// The schema version that this program knows.
    pub schema_version: i32,
    /// When the service started, in seconds since 1970.
    pub started_at: f64,
}

/// The OpenAPI document, and the page that shows it.
pub struct Contract {
    /// The document.
    pub document: String,
    /// The page.
    pub page: &'static str,
    /// The page's `Content-Security-Policy`.
    pub page_policy: String,
}

impl App {
    /// Checks the SQL files, brings the schema up to date and opens the pool. `connect` opens the first connection.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn new(
        config: Config,
        contract: Contract,
        metrics: Metrics,
        database: &Database,
        connect: impl FnOnce(&Database) -> std::result::Result<postgres::Client, String>,
    ) -> std::result::Result<App, String> {
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
            // The built-in statements are known to fit the schema; those from `SQL_DIR` are not.
            sql.prove(&mut client)?;
        }
        let schema_version = migrations.last().map_or(0, |migration| migration.version);
        let (metrics, pulse) = (Arc::new(metrics), Arc::new(Pulse::default()));
        let is_pooled = database.is_pooled(&mut client)?;
        let db = Db::new(
            &database.url,
            config.database_pool,
            config.workers,
            is_pooled,
            Arc::clone(&pulse),
            Arc::clone(&metrics),
        );
        let guard = Guard::new(&secret, &config, Arc::clone(&metrics));
        let cursors = Cursors::new(&secret, config.jwt_secret_previous.as_deref())?;
        Ok(App {
            memory: Memory::new(config.max_memory_bytes),
            config,
            sql,
            db,
            guard,
            cursors,
            audit: audit::Buffer::default(),
            metrics,
            pulse,
            refusals: Outage::new("server", "requests are answered 503", "no more requests are answered 503"),
            transport: OnceLock::new(),
            contract,
            schema_version,
            started_at: unix_seconds(),
        })
    }

    /// An attempt to log in to this account, which is lower-case.
    pub fn attempt<'a>(&'a self, request: &'a Request, email: &'a str) -> Attempt<'a> {
        let App { config, db, sql, metrics, .. } = self;
        Attempt { config, db, sql, metrics, request, email }
    }
}
