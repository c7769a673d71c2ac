//! What users and sessions share: an account as the API shows it, and the pair of tokens that a session has.

use jiff::Timestamp;
use postgres::Row;
use serde::Serialize;

use super::record::{Listed, Record};
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, Result};

/// What the API shows of a user: never the password or its hash.
#[derive(Debug, Serialize)]
pub struct Account {
    id: i64,
    pub name: String,
    /// Its e-mail address, lower-case.
    pub email: String,
    role: Role,
    disabled: bool,
    /// Whether it waits for its first password.
    pub invited: bool,
    /// Whether a login needs a code of the second factor.
    totp: bool,
    /// Whether the user may take emergency access.
    may_break_glass: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

impl Account {
    /// Reads the columns that every statement about users returns.
    pub fn from_row(row: &Row) -> Account {
        Account {
            id: row.get("id"),
            name: row.get("name"),
            email: row.get("email"),
            role: Role::parse(row.get("role")),
            disabled: row.get("disabled"),
            invited: row.get("invited"),
            totp: row.get("totp"),
            may_break_glass: row.get("may_break_glass"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            version: row.get("version"),
        }
    }
}

impl Listed for Account {
    fn id(&self) -> i64 {
        self.id
    }
}

impl Record for Account {
    fn version(&self) -> String {
        self.version.to_string()
    }
}

/// The answer to a login, a refresh and a password change.
#[derive(Serialize)]
pub struct Grant {
    token: String,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: String,
    user: Account,
    /// After a login with a recovery code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_codes_left: Option<i64>,
}

impl Grant {
    /// The pair of tokens of a session: this refresh token, and a new access token. The row has the session's and the user's
    /// columns.
    pub fn new(app: &App, row: &Row, refresh_token: String) -> Result<Grant> {
        let user = Account::from_row(row);
        let expires_at: Timestamp = row.get("expires_at");
        let issued = app.guard.tokens.issue(row.get("id"), row.get("session_id"), expires_at.as_second());
        let (token, expires_in) = issued.map_err(Error::Internal)?;
        Ok(Grant { token, token_type: "Bearer", expires_in, refresh_token, user, recovery_codes_left: None })
    }
}

/// A one-time token, as the admin who made it sees it once.
#[derive(Serialize)]
pub struct OneTimeToken {
    pub token: String,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
}
