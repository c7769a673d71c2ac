//! Who is asking: token → session → [`User`], and [`Admin`] where the role says so. Only this module can make the two, so a
//! handler that takes one cannot be reached without the check.

pub mod limits;
pub mod passwords;
pub mod secret;
pub mod sessions;
pub mod tokens;

use serde::{Deserialize, Serialize};

use self::sessions::State;
use self::tokens::Claims;
use crate::app::App;
use crate::error::{ADMINS_ONLY, Error, Result};
use crate::request::Request;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Works with the own patients and the shared directory.
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

/// Someone whose token and session are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub id: i64,
    /// The session that the token belongs to.
    pub session_id: i64,
    role: Role,
}

/// A [`User`] whose role is `admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin(User);

impl Admin {
    /// The admin as a user.
    pub fn user(&self) -> &User {
        &self.0
    }
}

impl User {
    /// Whether the user may change records of the directory that others made.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// The owner that a change of the shared directory must match; none for an admin.
    pub fn owner_unless_admin(&self) -> Option<i64> {
        if self.is_admin() { None } else { Some(self.id) }
    }
}

/// The user behind `Authorization: Bearer …` (RFC 6750). A token that is malformed, forged or expired costs no database
/// connection.
///
/// # Errors
/// `Unauthenticated` for a missing or refused token; `Unavailable` where the session cannot be looked up.
pub fn user(app: &App, request: &Request) -> Result<User> {
    let claims = claims(app, request)?;
    behind(claims, app.sessions.state(app, claims.session_id)?.ok_or(Error::Unauthenticated)?)
}

/// The same without asking the database: `None` if the session has to be looked up there.
///
/// # Errors
/// `Unauthenticated` for a missing or refused token.
pub fn remembered_user(app: &App, request: &Request) -> Result<Option<User>> {
    let claims = claims(app, request)?;
    app.sessions.remembered(claims.session_id).map(|session| behind(claims, session)).transpose()
}

fn claims(app: &App, request: &Request) -> Result<Claims> {
    let token = request.headers.get("authorization").and_then(bearer).ok_or(Error::Unauthenticated)?;
    app.tokens.verify(token).ok_or(Error::Unauthenticated)
}

fn behind(claims: Claims, session: State) -> Result<User> {
    if session.user_id != claims.user_id {
        return Err(Error::Unauthenticated);
    }
    Ok(User { id: session.user_id, session_id: claims.session_id, role: session.role })
}

/// The user as an admin.
///
/// # Errors
/// `Forbidden` for everyone else.
pub fn admin(user: User) -> Result<Admin> {
    if user.is_admin() { Ok(Admin(user)) } else { Err(ADMINS_ONLY) }
}

/// The scheme is matched without case; the token has one part only.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains([' ', ','])).then_some(token)
}
