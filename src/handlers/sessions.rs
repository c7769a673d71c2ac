//! Sessions: log in, refresh, log out; the list of a user's own sessions; and the admin's operation that ends all sessions of a
//! user.

use postgres::Row;

use super::account::Grant;
use super::ask::{Ask, Read};
use super::record::Plain;
use super::totp;
use crate::app::App;
use crate::auth::attempts::Credentials;
use crate::auth::sessions::{IDLE_SECONDS, LIFETIME_SECONDS, MAX_PER_USER, RETRY_SECONDS};
use crate::auth::tokens::{new_random_token, token_hash};
use crate::auth::totp::CODE_MAX;
use crate::auth::{Actor, Admin, User, passwords};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::network::client_network;
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{EMAIL_MAX, line, lower_email};

/// What is shown of an active session.
const SESSION: &[&str] = &["id", "created_at", "last_used_at", "expires_at", "user_agent", "ip", "current"];

/// What becomes of a login whose password was right.
enum Login {
    /// The session, and how many recovery codes are left if one was used.
    Begun(Row, Option<i64>),
    NeedsCode,
    WrongCode,
}

/// `POST /api/auth/login`: with a second factor in force, a right password needs a code beside it.
pub fn login(app: &App, request: &Request) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required("email", line(EMAIL_MAX));
    form.required_verbatim("password", |_| Ok(()));
    form.optional("code", line(CODE_MAX));
    let fields = form.finish(&[])?;
    let (email, password) = (lower_email(fields.text("email")), fields.text("password"));
    let attempt = app.attempt(request, &email);
    let credentials = attempt.check(password)?;
    let (refresh_token, refresh_hash) = new_random_token().map_err(Error::Internal)?;
    let error = match begin(app, request, &credentials, password, fields.optional_text("code"), &refresh_hash) {
        Ok(Login::Begun(row, codes_left)) => {
            if row.get::<_, i64>("ended") > 0 {
                app.guard.sessions.forget_user(credentials.user_id);
            }
            app.metrics.logins_ok.add(1);
            let mut grant = Grant::new(app, &row, refresh_token)?;
            grant.recovery_codes_left = codes_left;
            return Ok(Response::success("Logged in", grant));
        }
        Ok(Login::NeedsCode) => attempt.take_back().err().unwrap_or(Error::CodeRequired),
        Ok(Login::WrongCode) => match attempt.failed(Some(credentials.user_id)) {
            Error::WrongCredentials => Error::WrongCode,
            error => error,
        },
        // While the password was being hashed, the account was disabled or the password changed.
        Err(Error::WrongCredentials) => attempt.failed(Some(credentials.user_id)),
        Err(error) => error,
    };
    if matches!(error, Error::WrongCode | Error::WrongCredentials) {
        app.metrics.logins_failed.add(1);
    }
    Err(error)
}

/// Begins the session, if the second factor allows it.
fn begin(
    app: &App,
    request: &Request,
    credentials: &Credentials,
    password: &str,
    code: Option<&str>,
    refresh_hash: &[u8],
) -> Result<Login> {
    let outdated = passwords::is_outdated(&credentials.password_hash, &app.config);
    let new_hash = if outdated { Some(passwords::hash(password, &app.config)?) } else { None };
    let user_agent: Option<String> = request.headers.get("user-agent").map(|text| text.chars().take(255).collect());
    let network = client_network(request.client).to_string();
    let user_id = credentials.user_id;
    let parameters: Parameters = &[
        &user_id,
        &credentials.password_hash,
        &new_hash,
        &refresh_hash,
        &user_agent,
        &request.client,
        &network,
        &LIFETIME_SECONDS,
        &IDLE_SECONDS,
        &i64::from(MAX_PER_USER),
        &request.id,
    ];
    let create = &app.sql.sessions.create;
    app.db.transaction(create, |transaction| {
        let user = transaction.query_opt(&app.sql.users.lock, &[&user_id])?.ok_or(Error::WrongCredentials)?;
        let mut codes_left = None;
        if user.get("totp") && !user.get::<_, bool>("disabled") {
            let Some(code) = code else { return Ok(Login::NeedsCode) };
            match totp::check(app, transaction, user_id, code)? {
                Some(right) => codes_left = totp::spend(app, transaction, request, user_id, right)?,
                None => {
                    totp::record_wrong(app, transaction, request, user_id)?;
                    return Ok(Login::WrongCode);
                }
            }
        }
        // An error takes back the use of the code as well.
        let row = transaction.query_opt(create, parameters)?.ok_or(Error::WrongCredentials)?;
        Ok(Login::Begun(row, codes_left))
    })
}

/// `POST /api/auth/refresh`: a new pair for a refresh token, which can be used once. A client's retry gets a pair that replaces
/// the first one, unless that has been used. Only the use of its refresh token counts: if two tabs refresh, one has often used
/// its new access token by the time the other one asks. An access token does not prolong a session, and ends with it.
pub fn refresh(app: &App, request: &Request) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required_verbatim("refresh_token", |_| Ok(()));
    let fields = form.finish(&[])?;
    let (refresh_token, refresh_hash) = new_random_token().map_err(Error::Internal)?;
    let old_hash = token_hash(fields.text("refresh_token"));
    let parameters: Parameters =
        &[&old_hash, &refresh_hash, &RETRY_SECONDS, &IDLE_SECONDS, &request.client, &request.id];
    let renew = &app.sql.sessions.refresh;
    let row = app.db.transaction(renew, |transaction| {
        transaction.query_opt(&app.sql.sessions.lock_by_token, &[&old_hash])?;
        transaction.query_opt(renew, parameters)
    })?;
    let row = row.ok_or(Error::Unauthenticated)?;
    if row.get("reused") {
        app.guard.sessions.forget_session(row.get("session_id"));
        return Err(Error::Unauthenticated);
    }
    Ok(Response::success("Token refreshed", Grant::new(app, &row, refresh_token)?))
}

/// `POST /api/auth/logout`: ends this session.
pub fn logout(app: &App, request: &Request, user: &User) -> Result<Response> {
    end_one(app, request, user, user.session_id, "logout")?;
    Ok(Response::success("Logged out", ()))
}

/// `GET /api/auth/sessions`: the user's own active sessions.
pub fn list(read: &Read, user: &User) -> Result<Ask> {
    let sessions = Question::new(&read.sql.sessions.list, &[&user.id, &IDLE_SECONDS, &user.session_id])?;
    Ok(Ask::many(sessions, |_, rows| {
        Ok(Response::success("Sessions found", rows.iter().map(|row| Plain(SESSION, row)).collect::<Vec<_>>()))
    }))
}

/// `DELETE /api/auth/sessions/{id}`: ends one of the user's own sessions.
pub fn delete(app: &App, request: &Request, user: &User) -> Result<Response> {
    if end_one(app, request, user, request.id("id")?, "session_end")? {
        Ok(Response::deleted("Session ended"))
    } else {
        Err(Error::NotFound("Session"))
    }
}

/// Whether there was such a session to end.
fn end_one(app: &App, request: &Request, user: &User, session_id: i64, action: &str) -> Result<bool> {
    let parameters: Parameters = &[&session_id, &user.id, &action, &request.client, &request.id];
    let ended = app.db.query_opt(&app.sql.sessions.end, parameters)?.is_some();
    app.guard.sessions.forget_session(session_id);
    Ok(ended)
}

/// What an admin does with sessions.
pub mod admin {
    use super::*;

    /// `DELETE /api/admin/users/{id}/sessions`: ends all sessions of a user.
    pub fn delete_all(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user) = (request.id("id")?, admin.user());
        let parameters: Parameters = &[&id, &user.id, &user.session_id, &request.client, &request.id];
        let keys: Parameters = &[&id];
        let row = app.db.query_behind(&app.sql.users.lock, keys, &app.sql.sessions.end_all, parameters)?;
        row.ok_or(Error::NotFound("User"))?;
        app.guard.sessions.forget_user(id);
        Ok(Response::deleted("Sessions ended"))
    }
}
