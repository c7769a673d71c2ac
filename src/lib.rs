//! The backend of a small clinic.
#![warn(missing_docs)]

pub mod private_postgres;
