//! HTTP/1.1 for a pool of threads, on Linux.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use healthcare_backend::internals::transport::{Config, Server};
//!
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let server = Server::new(listener, Config::default())?;
//! std::thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| {
//!             while let Ok(requests) = server.receive(1) {
//!                 for request in requests {
//!                     let _ = request.respond(200, &[], "hello"); // fails if the client has gone
//!                 }
//!             }
//!         });
//!     }
//! });
//! # Ok(())
//! # }
//! ```
//!
//! # From the socket to the request and back
//!
//! A thread in `receive` takes a turn: it waits for an event, reads what has come, and either has a whole request, which it
//! returns to its own caller, or waits again. Idle connections have neither thread nor buffer.
//!
//! - `server` the public face; `request` what the application gets; `response` the head of what it gives
//! - `core` the table of connections and a worker's turn; `poll` is epoll, `timers` the deadlines
//! - `accept`, `gate` who comes in
//! - `connection` what an event makes of a connection: the state machine, and all reading and writing
//! - `intake` bytes to requests: `scan` finds a head's end, `head` parses it with `target` and `fields`,
//!   `chunked` decodes a body; `grammar` is what they share
//! - `config` every bound; `refusal` every reason to say no; `stats` the counters
//! - `buffers`, `date` what each thread keeps
//!
//! # Framing
//!
//! RFC 9112, read strictly: where a proxy could read a request otherwise than we do, it is refused. Answers to such requests
//! are made here, through [`Config::refusal`], and close the connection.

mod accept;
mod buffers;
mod chunked;
mod config;
mod connection;
mod core;
mod date;
mod fields;
mod gate;
mod grammar;
mod head;
mod intake;
mod poll;
mod refusal;
mod request;
mod response;
mod scan;
mod server;
mod stats;
mod target;
mod timers;

pub use config::{AddressHook, Config, Room, RoomHook};
pub use intake::{Intake, Message};
pub use refusal::{Cause, Refusal};
pub use request::Request;
pub use response::Field;
pub use server::Server;
