//! What all handlers share. `service.rs` makes it before the socket opens.

use std::sync::{Arc, OnceLock};

use crate::audit;
use crate::auth::attempts::Attempt;
use crate::auth::guard::Guard;
use crate::config::Config;
use crate::cursors::Cursors;
use crate::db::Db;
use crate::mail::Mail;
use crate::memory::Memory;
use crate::metrics::{Family, Metrics};
use crate::outage::Outage;
use crate::pulse::Pulse;
use crate::request::Request;
use crate::seal::Seals;
use crate::sql::Queries;

/// Everything that lives longer than a request.
pub struct App {
    pub config: Config,
    pub sql: Queries,
    pub db: Db,
    /// The access tokens, the sessions, and the rate limits.
    pub guard: Guard,
    /// Seals the secrets of second factors.
    pub seals: Arc<Seals>,
    /// Seals the cursors of sorted lists.
    pub cursors: Cursors,
    /// Audit entries on their way to the database.
    pub audit: audit::Buffer,
    /// Mail that waits to be sent.
    pub mail: Mail,
    /// The memory that long answers hold.
    pub memory: Arc<Memory>,
    pub metrics: Arc<Metrics>,
    /// Whether the database answers.
    pub pulse: Arc<Pulse>,
    /// The outage that requests with the answer 503 belong to, and its causes.
    pub refusals: Outage,
    /// The transport's metrics, for `/metrics`; set when the socket is open.
    pub transport_metrics: OnceLock<Box<dyn Fn() -> Vec<Family> + Send + Sync>>,
    /// The contract, for programs and for people.
    pub contract: Contract,
    /// The system of the identifiers that FHIR shows: a name that no other installation has.
    pub installation: String,
    /// What `/fhir/R4/metadata` says to everybody.
    pub capabilities: serde_json::Value,
    /// The schema version that this program knows.
    pub schema_version: i32,
    /// When the service started, in seconds since 1970.
    pub started_at: f64,
}

/// The OpenAPI document, and the page that shows it.
pub struct Contract {
    pub document: String,
    pub page: &'static str,
    /// The page's `Content-Security-Policy`.
    pub page_policy: String,
}

impl App {
    /// An attempt to log in to this account, which is lower-case.
    pub fn attempt<'a>(&'a self, request: &'a Request, email: &'a str) -> Attempt<'a> {
        let App { config, db, sql, metrics, .. } = self;
        Attempt { config, db, sql, metrics, request, email }
    }
}
