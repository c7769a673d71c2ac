//! The service, tested from outside: real HTTP against a real PostgreSQL, one database a test, all in parallel.
//!
//! `harness/` starts servers and speaks HTTP; every other file tests one resource or one promise.

// Each test file uses its own part of the harness.
#[allow(dead_code)]
mod harness;

mod abuse;
mod commands;
mod contract;
mod failure;
mod health;
mod passwords;
mod patients;
mod properties;
mod rate_limits;
mod session_limits;
mod session_races;
mod sessions;
mod tidy;
mod tokens;
mod users;
