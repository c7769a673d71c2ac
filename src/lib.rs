//! The backend of a small clinic: one small binary and one PostgreSQL.
//!
//! Read the modules from the top: each names only those that stand below it. A request comes down the same way, from the threads and
//! queues to its route, its handler and the database.
//!
//! ```no_run
//! let config = healthcare_backend::Config { port: 0, ..Default::default() };
//! let service = healthcare_backend::Service::start(config)?;
//! println!("listening on {}", service.address());
//! service.stop()?;
//! # Ok::<(), String>(())
//! ```

// The command line, and the start and stop of the whole.
pub mod command_line;
pub mod commands;
pub mod backup;
pub mod service;
pub mod systemd;
#[cfg(target_env = "gnu")]
pub mod allocator;
pub mod housekeeper;

// The way in and out: threads, the loop, queues, one request, its socket.
mod crew;
mod server;
mod lanes;
mod exchange;
mod wire;
#[cfg(own_transport)]
pub mod transport;
pub mod logging;

// The endpoints, and what each does.
pub mod openapi;
pub mod routes;
pub mod handlers;

// What handlers share: who asks, what was sent and whether it is well-formed, what is answered.
pub mod app;
pub mod auth;
pub mod cursors;
pub mod request;
pub mod validate;
pub mod envelope;

// The database: the audit trail, connections, statements, schema.
pub mod audit;
pub mod db;
pub mod sql;
pub mod database;
pub mod pulse;
pub mod migrate;
pub mod private_postgres;

// The configuration, including the connection string.
pub mod config;
pub mod database_url;

// Modules that use none of the others.
mod memory;
pub mod metrics;
pub mod outage;
pub mod network;
mod percent;
pub mod error;

pub use config::Config;
pub use service::Service;
