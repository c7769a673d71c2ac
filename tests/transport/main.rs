//! Black-box tests of `src/transport/`: a server in this process, clients that write bytes to a socket.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // a test that fails may panic

mod api;
mod bounds;
mod closing;
mod deadlines;
mod delivery;

mod descriptors;
mod differential;
mod framing;
mod harness;
mod properties;
