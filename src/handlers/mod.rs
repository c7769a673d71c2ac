//! One file per resource: its records, then its operations, in the order of `sql/` and of `tests/api/`.
//!
//! Every handler has the same shape: read the request, run one statement, answer. What records share is in
//! [`record`], what accounts and sessions share in [`account`].

pub mod account;
pub mod ask;
pub mod audit;
pub mod creation;
pub mod docs;
pub mod doctors;
pub mod emergency;
pub mod grants;
pub mod groups;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod listing;
pub mod mappings;
pub mod patients;
pub mod record;
pub mod resets;
pub mod sessions;
pub mod table;
pub mod totp;
pub mod transfers;
pub mod users;
