//! The backend of a small clinic.

pub mod database_url;
#![warn(missing_docs)]

pub mod private_postgres;
