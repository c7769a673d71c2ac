//! The service, tested from outside: real HTTP against a real PostgreSQL, one database a test, all in parallel.
//!
//! `harness/` starts servers and speaks HTTP; every other file tests one resource or one promise.

// Each test file uses its own part of the harness.
#[allow(dead_code)]
mod harness;

mod docs;
mod patients;
