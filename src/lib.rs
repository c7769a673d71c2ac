//! The backend of a small clinic.

pub mod database_url;
