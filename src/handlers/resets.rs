//! Resets: somebody who has no password, or has forgotten it, sets one with a one-time token from an admin or a mail.

use super::account::OneTimeToken;
use crate::app::App;
use crate::auth::tokens::{new_random_token, token_hash};
use crate::auth::{Actor, Admin, passwords};
use crate::config::Config;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::mail::Job;
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::email;

/// How long a one-time token is good.
const LIFETIME_SECONDS: i32 = 24 * 60 * 60;
/// How long an invitation is good.
pub const INVITATION_SECONDS: i32 = 7 * 24 * 60 * 60;

/// Whether a token can be mailed.
///
/// # Errors
/// `NoRoute` if no mail program is set.
pub fn mail_is_set(config: &Config) -> Result<()> {
    if config.sendmail.is_some() { Ok(()) } else { Err(Error::NoRoute) }
}

/// `POST /api/auth/forgot`: mails a one-time token to the account of this address, if there is one. That is looked up after the answer,
/// which is always the same.
pub fn forget(app: &App, request: &Request) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required("email", email);
    let fields = form.finish(&[])?;
    let (client, request_id) = (request.client, request.id.clone());
    let job = Job::Forgotten { email: fields.text("email").to_string(), client, request_id };
    app.mail.put(&app.config, &app.metrics, job);
    Ok(Response::accepted("A mail is sent if there is an account with this address"))
}

/// `POST /api/auth/reset`: sets the password, unlocks the account, and ends all its sessions and one-time tokens. A password that
/// breaks a rule does not use the token up.
pub fn redeem(app: &App, request: &Request) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required_verbatim("token", |_| Ok(()));
    form.required_verbatim("new_password", |password| passwords::check_rules(password, &app.config));
    let fields = form.finish(&[])?;
    let (hash, password) = (token_hash(fields.text("token")), fields.text("new_password"));
    let resets = &app.sql.resets;
    let account = app.db.query_opt(&resets.find, &[&hash])?.ok_or(Error::WrongToken)?;
    if passwords::is_the_email(password, account.get("email")) {
        return Err(Error::invalid("new_password", passwords::IS_THE_EMAIL));
    }
    let password_hash = passwords::hash(password, &app.config)?;
    let parameters: Parameters = &[&hash, &password_hash, &request.client, &request.id];
    let row = app.db.query_behind(&resets.lock_by_token, &[&hash], &resets.redeem, parameters)?;
    app.guard.sessions.forget_user(row.ok_or(Error::WrongToken)?.get("id"));
    Ok(Response::updated("Password set", ()))
}

/// What an admin does for somebody without a password.
pub mod admin {
    use super::*;

    /// `POST /api/admin/users/{id}/reset`: a one-time token, which is shown only here; an earlier one ends.
    pub fn issue(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user) = (request.id("id")?, admin.user());
        let (token, hash) = new_random_token().map_err(Error::Internal)?;
        let parameters: Parameters = &[
            &id,
            &hash,
            &LIFETIME_SECONDS,
            &INVITATION_SECONDS,
            &user.id,
            &user.session_id,
            &request.client,
            &request.id,
        ];
        let row = app.db.query_behind(&app.sql.users.lock, &[&id], &app.sql.resets.issue, parameters)?;
        let row = row.ok_or(Error::NotFound("User"))?;
        if row.get("disabled") {
            return Err(Error::Conflict("The account is disabled: enable it first".into()));
        }
        let token = OneTimeToken { token, expires_at: row.get("expires_at") };
        Ok(Response::created("One-time token created", format!("/api/admin/users/{id}"), token))
    }
}
