//! The same work as the product's, made of axum, deadpool-postgres and jsonwebtoken: what `make bench` compares with.
//!
//! Environment: `DATABASE` (a connection string for tokio-postgres), `JWT_SECRET`, `PORT` (0 picks one), `DATABASE_POOL`,
//! `AUDIT_READS`. It says `listening on http://…` on standard output when it serves. It logs nothing.

mod access;
mod answer;
mod patients;
mod sql;
mod trail;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

use access::Access;
use answer::RequestId;
use sql::Statements;
use trail::Trail;

/// What every handler may use.
pub struct App {
    pub pool: Pool,
    pub statements: Statements,
    pub access: Access,
    pub trail: Option<Trail>,
    id_prefix: String,
    id_count: AtomicU64,
}

impl App {
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
    let statements = Statements::load();
    let trail = std::env::var("AUDIT_READS").is_ok_and(|value| value == "on");
    let trail = trail.then(|| Trail::start(pool.clone(), statements.record.clone()));
    let app = Arc::new(App {
        access: Access::new(&std::env::var("JWT_SECRET")?),
        id_prefix: format!("{:08x}", std::process::id()),
        id_count: AtomicU64::new(0),
        pool,
        statements,
        trail,
    });
    let router = Router::new()
        .route("/healthz", get(healthz))
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
