//! The backend of a small clinic.
