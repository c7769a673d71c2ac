//! The backend of a small clinic: one small binary and one PostgreSQL.
//!
//! The modules stand in the order in which a request passes them; read them from the top.
//!
//! ```no_run
//! let config = healthcare_backend::Config { port: 0, ..Default::default() };
//! let service = healthcare_backend::Service::start(config)?;
//! println!("listening on {}", service.address());
//! service.stop()?;
//! # Ok::<(), String>(())
//! ```

// Start: what the operator says, and what all requests share.
pub mod config;
pub mod service;
pub mod systemd;
pub mod app;

// The way in: socket, request, route, queues, threads.
#[cfg(own_transport)]
pub mod transport;
mod wire;
pub mod request;
mod percent;
pub mod network;
pub mod routes;
mod exchange;
mod memory;
mod lanes;
mod server;
mod crew;

// What is asked: who, what, and is it well-formed.
pub mod auth;
pub mod cursors;
pub mod handlers;
pub mod validate;

// The database: statements, connections, schema.
pub mod sql;
pub mod db;
pub mod pulse;
pub mod audit;
pub mod housekeeper;
pub mod migrate;
pub mod database;
pub mod database_url;
pub mod private_postgres;

// The way out: errors, the envelope, log lines, numbers.
pub mod error;
pub mod envelope;
pub mod outage;
pub mod logging;
pub mod metrics;

// The contract, for programs and for people.
pub mod openapi;

// The command line.
pub mod command_line;
pub mod commands;
pub mod backup;

pub use config::Config;
pub use service::Service;
