//! The service, tested from outside: real HTTP against a real PostgreSQL, one database a test, all in parallel.
//!
//! `harness/` starts servers and speaks HTTP; every other file tests one resource or one promise.

// Each test file uses its own part of the harness.
#[allow(dead_code)]
mod grants;
mod groups;
mod harness;

mod abuse;
mod acting;
mod audit;
mod audit_batches;
mod audit_pages;
mod audit_trust;
mod colleagues;
mod commands;
mod contract;
mod crash;
mod docs;
mod doctors;
mod emergency;
mod failure;
mod fhir;
mod health;
mod history;
mod idempotency;
mod listing;
mod locks;
mod login_races;
mod long_answers;
mod mail;
mod mappings;
mod memory;
mod nodes;
mod passwords;
mod patients;
mod plans;
mod properties;
mod rate_limits;
mod records;
mod resets;
mod roles;
mod round_trips;
mod secrets;
mod session_limits;
mod session_races;
mod sessions;
mod statements;
mod tables;
mod tidy;
mod together;
mod tokens;
mod totp;
mod transfers;
mod unchanged;
mod undelete;
mod upgrade;
mod users;
