//! The second factor of an account: set up, confirmed with a first code, removed; and what a login does with a code.

use serde::Serialize;

use super::account::Account;
use super::record::updated;
use super::users::own_account;
use crate::app::App;
use crate::auth::totp::{
    CODE_MAX, WRONG_CODES_MAX, base32, new_recovery_codes, new_secret, plain, recovery_hash, step_of, uri,
};
use crate::auth::{Actor, Admin, User};
use crate::db::Transaction;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::line;

/// What an authenticator needs.
#[derive(Serialize)]
struct Prepared {
    secret: String,
    uri: String,
}

/// What a user keeps in case the phone is lost.
#[derive(Serialize)]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

/// A code that is right.
pub enum Right {
    /// A code of this step; and the secret if it has to be sealed anew.
    Step(i64, Option<Vec<u8>>),
    /// The recovery code with this hash.
    Recovery(Vec<u8>),
}

/// `POST /api/auth/totp`: a new secret, which is not in force until it is confirmed. A wrong password counts as a failed login.
pub fn prepare(app: &App, request: &Request, user: &User) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required_verbatim("current_password", |_| Ok(()));
    let fields = form.finish(&[])?;
    let account = own_account(app, user)?;
    app.attempt(request, &account.email).confirm(fields.text("current_password"))?;
    let secret = new_secret().map_err(Error::Internal)?;
    let parameters: Parameters = &[&user.id, &user.session_id, &app.seals.seal(&purpose(user.id), &secret)];
    let row = app.db.query_behind(&app.sql.users.lock, &[&user.id], &app.sql.totp.prepare, parameters)?;
    row.ok_or(Error::Conflict("A second factor is in force: remove it first".into()))?;
    let prepared = Prepared { secret: base32(&secret), uri: uri(&secret, &account.email) };
    Ok(Response::created("Second factor prepared", "/api/auth/me".into(), prepared))
}

/// `POST /api/auth/totp/confirm`: with a first code the second factor comes into force. The recovery codes are shown only here.
pub fn confirm(app: &App, request: &Request, user: &User) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required("code", line(CODE_MAX));
    let fields = form.finish(&[])?;
    let recovery_codes = new_recovery_codes().map_err(Error::Internal)?;
    let hashes: Vec<Vec<u8>> = recovery_codes.iter().map(|code| recovery_hash(code)).collect();
    let confirm = &app.sql.totp.confirm;
    app.db.transaction(confirm, |transaction| {
        let nothing = || Error::Conflict("There is no second factor to confirm".into());
        let locked = transaction.query_opt(&app.sql.users.lock, &[&user.id])?;
        if locked.is_none_or(|locked| locked.get("totp")) || secret_of(app, transaction, user.id)?.is_none() {
            return Err(nothing());
        }
        let Some(Right::Step(step, _)) = check(app, transaction, user.id, fields.text("code"))? else {
            return Err(Error::invalid("code", "must be the code that the authenticator shows now"));
        };
        let parameters: Parameters = &[&user.id, &user.session_id, &step, &hashes, &request.client, &request.id];
        transaction.query_opt(confirm, parameters)?.ok_or_else(nothing)
    })?;
    Ok(Response::success("Second factor confirmed", RecoveryCodes { recovery_codes }))
}

/// `POST /api/auth/totp/remove`: a wrong password and a wrong code are answered alike, and count as failed logins.
pub fn remove(app: &App, request: &Request, user: &User) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required_verbatim("current_password", |_| Ok(()));
    form.required("code", line(CODE_MAX));
    let fields = form.finish(&[])?;
    let account = own_account(app, user)?;
    let attempt = app.attempt(request, &account.email);
    attempt.check(fields.text("current_password"))?;
    let remove = &app.sql.totp.remove;
    let removed = app.db.transaction(remove, |transaction| {
        let locked = transaction.query_opt(&app.sql.users.lock, &[&user.id])?.ok_or(Error::Unauthenticated)?;
        if !locked.get::<_, bool>("totp") {
            return Ok(Err(Error::Conflict("There is no second factor to remove".into())));
        }
        if check(app, transaction, user.id, fields.text("code"))?.is_none() {
            record_wrong(app, transaction, request, user.id)?;
            return Ok(Err(Error::WrongCredentials));
        }
        let parameters: Parameters = &[&user.id, &user.session_id, &request.client, &request.id];
        Ok(transaction.query_opt(remove, parameters)?.ok_or(Error::WrongCredentials))
    })?;
    match removed {
        Err(Error::WrongCredentials) => Err(attempt.failed(Some(user.id))),
        other => {
            attempt.forget()?;
            Ok(updated("Second factor removed", &Account::from_row(&other?)))
        }
    }
}

/// Whether the code is right, while the row of the user is locked. Nothing is used up.
pub fn check(app: &App, transaction: &mut Transaction, user_id: i64, code: &str) -> Result<Option<Right>> {
    let Some((secret, last_step, wrong_codes)) = secret_of(app, transaction, user_id)? else { return Ok(None) };
    if wrong_codes >= WRONG_CODES_MAX {
        return Err(Error::WrongCredentials);
    }
    let code = plain(code);
    let opened = app.seals.open(&purpose(user_id), &secret);
    if opened.is_none() {
        log::warn!(target: "auth", "the second factor of user {user_id} cannot be read: was JWT_SECRET replaced?");
    }
    let now = jiff::Timestamp::now().as_second();
    let step = opened.as_ref().and_then(|opened| step_of(&opened.bytes, &code, now, last_step));
    if let (Some(step), Some(opened)) = (step, opened) {
        let sealed_anew = (!opened.is_current).then(|| app.seals.seal(&purpose(user_id), &opened.bytes));
        return Ok(Some(Right::Step(step, sealed_anew)));
    }
    let hash = recovery_hash(&code);
    let known = transaction.query_opt(&app.sql.totp.find_recovery, &[&user_id, &hash])?;
    Ok(known.map(|_| Right::Recovery(hash)))
}

/// Uses a right code up. Returns how many recovery codes are left if it was one of them.
pub fn spend(
    app: &App,
    transaction: &mut Transaction,
    request: &Request,
    user_id: i64,
    right: Right,
) -> Result<Option<i64>> {
    let totp = &app.sql.totp;
    match right {
        Right::Step(step, secret) => {
            transaction.query_opt(&totp.use_code, &[&user_id, &step, &secret])?;
            Ok(None)
        }
        Right::Recovery(hash) => {
            let parameters: Parameters = &[&user_id, &hash, &request.client, &request.id];
            let row = transaction.query_opt(&totp.use_recovery, parameters)?;
            Ok(row.map(|row| row.get("codes_left")))
        }
    }
}

/// Counts a wrong code.
pub fn record_wrong(app: &App, transaction: &mut Transaction, request: &Request, user_id: i64) -> Result<()> {
    let parameters: Parameters = &[&user_id, &WRONG_CODES_MAX, &request.client, &request.id];
    transaction.query_opt(&app.sql.totp.record_wrong, parameters).map(drop)
}

/// The sealed secret, the last step that was used, and the count of wrong codes.
fn secret_of(app: &App, transaction: &mut Transaction, user_id: i64) -> Result<Option<(Vec<u8>, i64, i32)>> {
    let row = transaction.query_opt(&app.sql.totp.find, &[&user_id])?;
    Ok(row.map(|row| (row.get("secret"), row.get("last_step"), row.get("wrong_codes"))))
}

/// A secret is sealed for its user.
fn purpose(user_id: i64) -> String {
    format!("second factor of user {user_id}")
}

/// What an admin does for somebody who lost the phone.
pub mod admin {
    use super::*;

    /// `DELETE /api/admin/users/{id}/totp`: takes the second factor away and ends all sessions of the user. Admins do not lift their own.
    pub fn take_away(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user) = (request.id("id")?, admin.user());
        if id == user.id {
            return Err(Error::Forbidden("Another admin must do this, or you with a code: POST /api/auth/totp/remove"));
        }
        let parameters: Parameters = &[&id, &user.id, &user.session_id, &request.client, &request.id];
        let row = app.db.query_behind(&app.sql.users.lock, &[&id], &app.sql.totp.take_away, parameters)?;
        row.ok_or(Error::NotFound("User"))?;
        app.guard.sessions.forget_user(id);
        Ok(Response::deleted("Second factor removed"))
    }
}
