//! The backend of a small clinic: one small binary and one PostgreSQL.
//!
//! The program `healthcare-backend` is [`run`]. Another program can hold the same service as a value:
//!
//! ```no_run
//! use healthcare_backend::{Config, Service};
//!
//! let config = Config { port: 0, data_dir: "./clinic".into(), ..Config::default() };
//! let service = Service::start(config)?;
//! println!("listening on http://{}", service.address());
//! service.stop()?;
//! # Ok::<(), String>(())
//! ```
//!
//! - [`Config`] has a field for each environment variable of the program. Without [`database_url`](Config::database_url) the service
//!   starts a private PostgreSQL on files in [`data_dir`](Config::data_dir), and stops it when it stops.
//! - [`Service`] is the running server, with threads of its own. Several can run in one process, each with its own database.
//! - What goes wrong at a start is one line of text for the operator, which says what to do. What goes wrong later is a line of the
//!   [`log`] crate; a program that embeds the service brings its own logger.
//!
//! `examples/embed.rs` starts the service, asks it something and stops it.
//!
//! # Reading the source
//!
//! `src/lib.rs` lists the modules from the top: each names only those that stand below it. A request comes down the same way, from
//! the threads and queues to its route, its handler and the database. A function that returns `Result<_, String>` fails with one line
//! for the operator: what is wrong and what to do.

// What the tests see of the modules below.
#[doc(hidden)]
pub mod internals;

// The command line, and the start and stop of the whole.
mod program;
mod command_line;
mod spreadsheets;
mod commands;
mod backup;
mod service;
mod systemd;
mod allocator;
mod housekeeper;

// The way in and out: threads, the loop, queues, one request, its socket.
mod crew;
mod server;
mod lanes;
mod exchange;
#[cfg_attr(any(not(target_os = "linux"), feature = "upstream-tiny-http"), path = "wire/upstream.rs")]
mod wire;
#[cfg(target_os = "linux")]
mod transport;
mod logging;

// The endpoints, and what each does.
mod openapi;
mod dispatch;
mod routes;
mod fhir;
mod handlers;

// What handlers share: who asks, what was sent and whether it is well-formed, what is answered.
mod app;
mod mail;
mod auth;
mod cursors;
mod seal;
mod request;
mod validate;
mod envelope;
mod records;

// The database: the audit trail, connections, statements, schema.
mod audit;
mod db;
mod database;
mod pulse;
mod migrate;
mod sql;
mod private_postgres;

// The configuration, including the connection string.
mod config;
mod database_url;

// Modules that use none of the others.
mod memory;
mod metrics;
mod outage;
mod network;
mod percent;
mod accept;
mod cells;
mod new_file;
mod address;
mod error;
mod clock;
mod lock;

pub use config::{Config, LogFormat};
pub use network::Network;
pub use program::run;
pub use service::Service;
