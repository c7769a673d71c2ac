//! What a user may do.

use serde::{Deserialize, Serialize};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Works with their own patients and the shared directory.
    User,
    /// Sees and manages everything.
    Admin,
}

impl Role {
    /// The words, as the database and the API spell them.
    pub const WORDS: [&'static str; 2] = ["user", "admin"];

    /// The role of this name; an unknown one gives no rights.
    pub fn parse(name: &str) -> Role {
        if name == "admin" { Role::Admin } else { Role::User }
    }
}
