//! The backend of a small clinic.

#[cfg(target_os = "linux")]
pub mod transport;
