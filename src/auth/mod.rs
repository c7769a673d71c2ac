//! Who is asking: token → session → [`User`], and [`Admin`] where the role says so. Only this module can make the two, so a
//! handler that takes one cannot be reached without the check.

pub mod attempts;
pub mod guard;
pub mod limits;
mod owners;
pub mod passwords;
mod role;
pub mod secret;
pub mod sessions;
pub mod tokens;
pub mod totp;

pub use self::owners::Owners;
pub use self::role::Role;

use std::sync::Arc;

use self::guard::Guard;
use self::sessions::Session;
use self::tokens::Claims;
use crate::db::Db;
use crate::error::{ADMINS_ONLY, Error, Result};
use crate::request::Request;
use crate::sql::Queries;

/// The refusal for a user without the right to emergency access, or who has it no longer.
pub const NO_EMERGENCY_ACCESS: Error = Error::Forbidden("You may not take emergency access: an admin gives that right");

/// Someone whose token and session are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: i64,
    /// The session that the token belongs to.
    pub session_id: i64,
    role: Role,
    may_break_glass: bool,
    /// The user and the members of the user's care groups; see [`Session::colleagues`].
    colleagues: Option<Arc<[i64]>>,
}

/// A [`User`] whose role is `admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin(User);

/// Who acts in a handler that serves users on one path and admins on another.
pub trait Actor {
    /// The user who acts.
    fn user(&self) -> &User;
    /// Whose patients the actor sees.
    fn owners(&self) -> Owners;
    /// The same without the user's colleagues.
    fn alone(&self) -> Owners;
}

impl Actor for User {
    fn user(&self) -> &User {
        self
    }

    /// The user, and everyone with whom the user shares a care group.
    fn owners(&self) -> Owners {
        Owners::of(self.id, self.colleagues.as_ref())
    }

    fn alone(&self) -> Owners {
        self.owners().only(Some(self.id))
    }
}

impl Actor for Admin {
    fn user(&self) -> &User {
        &self.0
    }

    /// All users: an admin sees the patients of everybody.
    fn owners(&self) -> Owners {
        Owners::everybody()
    }

    fn alone(&self) -> Owners {
        self.owners()
    }
}

impl User {
    /// Whether the user may change records of the directory that others made.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Refuses a user without the right to emergency access.
    pub fn may_break_glass(&self) -> Result<()> {
        if self.may_break_glass { Ok(()) } else { Err(NO_EMERGENCY_ACCESS) }
    }

    /// The owner that a change of the shared directory must match; `None` for an admin.
    pub fn owner_unless_admin(&self) -> Option<i64> {
        if self.is_admin() { None } else { Some(self.id) }
    }
}

/// The user behind `Authorization: Bearer …` (RFC 6750). A token that is malformed, forged or expired costs no database
/// connection. `Unauthenticated` for a missing or refused token; `Unavailable` if the session cannot be looked up.
pub fn user(guard: &Guard, db: &Db, sql: &Queries, request: &Request) -> Result<User> {
    let claims = claims(guard, request)?;
    behind(claims, guard.sessions.state(db, sql, claims.session_id)?.ok_or(Error::Unauthenticated)?)
}

/// The same without asking the database: `None` if the session has to be looked up there.
pub fn remembered_user(guard: &Guard, request: &Request) -> Result<Option<User>> {
    let claims = claims(guard, request)?;
    guard.sessions.remembered(claims.session_id).map(|session| behind(claims, session)).transpose()
}

fn claims(guard: &Guard, request: &Request) -> Result<Claims> {
    let token = request.headers.get("authorization").and_then(bearer).ok_or(Error::Unauthenticated)?;
    guard.tokens.verify(token).ok_or(Error::Unauthenticated)
}

fn behind(claims: Claims, session: Session) -> Result<User> {
    if session.user_id != claims.user_id {
        return Err(Error::Unauthenticated);
    }
    let Session { user_id, role, may_break_glass, colleagues, .. } = session;
    Ok(User { id: user_id, session_id: claims.session_id, role, may_break_glass, colleagues })
}

/// The user as an admin.
pub fn admin(user: User) -> Result<Admin> {
    if user.is_admin() { Ok(Admin(user)) } else { Err(ADMINS_ONLY) }
}

/// The scheme is compared ignoring case; the token must have no blanks.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains([' ', ','])).then_some(token)
}
