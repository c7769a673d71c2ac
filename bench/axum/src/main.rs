//! The same work as the product's, made of axum, deadpool-postgres and jsonwebtoken: what `make bench` compares with.
//!
//! Environment: `DATABASE` (a connection string for tokio-postgres), `JWT_SECRET`, `PORT` (0 picks one), `DATABASE_POOL`,
//! `AUDIT_READS`, `PIPELINES`. It says `listening on http://…` on standard output when it serves. It logs nothing.

mod access;
mod answer;
mod login;
mod patients;
mod sql;
mod trail;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

use access::Access;
use answer::RequestId;
use sql::Statements;
use trail::Trail;

/// What every handler may use.
pub struct App {
    pool: Pool,
    /// With `PIPELINES=n`: connections that all requests share. Each sends its statement at once, behind those of others that wait
    /// for their rows. Without it, a request has a connection of the pool for itself while its statement runs.
    pipelines: Vec<Object>,
    next_pipeline: AtomicUsize,
    pub statements: Statements,
    pub access: Access,
    pub trail: Option<Trail>,
    id_prefix: String,
    id_count: AtomicU64,
}

/// A connection for one statement.
pub enum Client<'a> {
    Own(Object),
    Shared(&'a Object),
}

impl Deref for Client<'_> {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        match self {
            Client::Own(client) => client,
            Client::Shared(client) => client,
        }
    }
}

impl App {
    /// The connection for the next statement.
    pub async fn client(&self) -> Result<Client<'_>, PoolError> {
        if self.pipelines.is_empty() {
            return Ok(Client::Own(self.pool.get().await?));
        }
        let next = self.next_pipeline.fetch_add(1, Ordering::Relaxed);
        Ok(Client::Shared(&self.pipelines[next % self.pipelines.len()]))
    }

    /// A name for a request whose client gave none.
    pub fn new_request_id(&self) -> String {
        format!("{}-{:x}", self.id_prefix, self.id_count.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config: tokio_postgres::Config = std::env::var("DATABASE")?.parse()?;
    config.options("-c statement_timeout=10s -c lock_timeout=5s -c timezone=UTC");
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let connections = variable("DATABASE_POOL", 10);
    let pool = Pool::builder(Manager::from_config(config, NoTls, recycling)).max_size(connections).build()?;
    let mut pipelines = Vec::new();
    for _ in 0..variable("PIPELINES", 0) {
        pipelines.push(pool.get().await?);
    }
    let statements = Statements::load();
    let trail = std::env::var("AUDIT_READS").is_ok_and(|value| value == "on");
    let trail = trail.then(|| Trail::start(pool.clone(), statements.record.clone()));
    let app = Arc::new(App {
        access: Access::new(&std::env::var("JWT_SECRET")?),
        id_prefix: format!("{:08x}", std::process::id()),
        id_count: AtomicU64::new(0),
        pool,
        pipelines,
        next_pipeline: AtomicUsize::new(0),
        statements,
        trail,
    });
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/api/auth/login", post(login::login))
        .route("/api/patients", get(patients::list).post(patients::create))
        .route("/api/patients/{id}", get(patients::find))
        .with_state(app);
    let listener = TcpListener::bind(("127.0.0.1", variable("PORT", 0))).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// `GET /healthz`
async fn healthz(id: RequestId) -> Response {
    answer::success(&id, "The process answers", ())
}

fn variable<T: std::str::FromStr>(name: &str, standard: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(standard)
}
