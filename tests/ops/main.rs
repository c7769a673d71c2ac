//! The service in the company it keeps: proxies in front, poolers and standbys behind, faults all around. `make test-ops` installs
//! the programs that these tests run and is the only one that compiles them (`--features ops`).

#![allow(clippy::print_stderr, reason = "how long a fault lasted is worth reading")]

// Each of these tests uses its own part of the harness.
#[allow(dead_code, unused_imports)]
#[path = "../api/harness/mod.rs"]
mod harness;

mod cluster;
mod node;
mod processes;
mod tale;
mod writers;

mod deploy;
mod failover;
mod faults;
mod first_session;
mod full_disk;
mod mail;
mod metrics;
mod pages;
mod pooler;
mod proxies;
