//! Users: registration, a user's own account and password; and what an admin sees and changes of all accounts.

use super::account::{Account, Grant};
use super::ask::{Ask, Read};
use super::listing::listed;
use super::record::{created, found, matched, updated};
use crate::app::App;
use crate::auth::tokens::new_refresh_token;
use crate::auth::{Admin, Role, User, passwords};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::network::client_network;
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{NAME_MAX, email, line, one_of, truth};

/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = &["limit", "after", "email", "role", "disabled"];
/// The fields that an admin cannot change, but may send back with a record.
const READ_ONLY: &[&str] = &["id", "name", "email", "created_at", "updated_at"];

/// `POST /api/auth/register`
pub fn register(app: &App, request: &Request) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required("name", line(NAME_MAX));
    form.required("email", email);
    form.required_verbatim("password", |password| passwords::check_rules(password, &app.config));
    if let (Some(password), Some(email)) = (form.text("password"), form.text("email"))
        && passwords::is_the_email(password, email)
    {
        form.refuse("password", "must not be the e-mail address or the part before its @");
    }
    let fields = form.finish(&[])?;
    let hash = passwords::hash(fields.text("password"), &app.config)?;
    let (name, email, role) = (fields.text("name"), fields.text("email"), Role::WORDS[0]);
    let parameters: Parameters = &[&name, &email, &hash, &role, &request.client, &request.id];
    let account = Account::from_row(&app.db.query_one(&app.sql.users.register, parameters)?);
    Ok(created("User registered", "/api/auth/me".into(), &account))
}

/// `GET /api/auth/me`
pub fn me(read: &Read, user: &User) -> Result<Ask> {
    Ok(Ask::one(Question::new(&read.sql.users.find, &[&user.id])?, |read, row| {
        Ok(found(read.request, "User found", &Account::from_row(&row.ok_or(Error::Unauthenticated)?)))
    }))
}

/// `POST /api/auth/password`: ends the user's other sessions and every earlier token of this one, and answers with a new pair. A wrong
/// current password counts as a failed login.
pub fn change_password(app: &App, request: &Request, user: &User) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required_verbatim("current_password", |_| Ok(()));
    form.required_verbatim("new_password", |password| passwords::check_rules(password, &app.config));
    let account = Account::from_row(
        &app.db.query_opt(&app.sql.users.find, &[&[user.id].as_slice()])?.ok_or(Error::Unauthenticated)?,
    );
    if form.text("new_password").is_some_and(|password| passwords::is_the_email(password, &account.email)) {
        form.refuse("new_password", "must not be the e-mail address or the part before its @");
    }
    let fields = form.finish(&[])?;
    let attempt = app.attempt(request, &account.email);
    let old_hash = attempt.check(fields.text("current_password"))?.password_hash;
    let new_hash = passwords::hash(fields.text("new_password"), &app.config)?;
    let (refresh_token, refresh_hash) = new_refresh_token().map_err(Error::Internal)?;
    let network = client_network(request.client).to_string();
    let parameters: Parameters = &[
        &user.id,
        &old_hash,
        &new_hash,
        &user.session_id,
        &refresh_hash,
        &account.email,
        &network,
        &request.client,
        &request.id,
    ];
    let change = &app.sql.users.change_password;
    let row = app.db.transaction(change, |transaction| {
        transaction.query_opt(&app.sql.users.lock, &[&user.id])?;
        transaction.query_opt(change, parameters)
    })?;
    let row = row.ok_or_else(|| attempt.failed(Some(user.id)))?;
    app.guard.sessions.forget_user(user.id);
    Ok(Response::updated("Password changed", Grant::new(app, &row, refresh_token)?))
}

/// What an admin does with accounts.
pub mod admin {
    use super::*;

    /// `GET /api/admin/users`
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        let (email, role) = (query.pattern("email"), query.one_of("role", &Role::WORDS));
        let disabled = query.truth("disabled");
        query.finish()?;
        let parameters: Parameters = &[&page.after.unwrap_or(0), &page.rows_wanted(), &email, &role, &disabled];
        Ok(Ask::many(Question::new(&read.sql.users.search, parameters)?, move |read, rows| {
            Ok(listed(read, "Users found", page, "after", &rows, Account::from_row))
        }))
    }

    /// `GET /api/admin/users/{id}`
    pub fn find(read: &Read, _admin: &Admin) -> Result<Ask> {
        let account = Question::new(&read.sql.users.find, &[&read.request.id("id")?])?;
        Ok(Ask::one(account, |read, row| {
            let account = row.as_ref().map(Account::from_row).ok_or(Error::NotFound("User"))?;
            Ok(found(read.request, "User found", &account))
        }))
    }

    /// `PUT` and `PATCH /api/admin/users/{id}`: role and `disabled`. One enabled admin always remains.
    pub fn update(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, versions, user) = (request.id("id")?, request.if_match()?, admin.user());
        let mut form = request.changes()?;
        form.required("role", one_of(&Role::WORDS));
        form.required("disabled", truth);
        let fields = form.finish(READ_ONLY)?;
        let (role, disabled) = (fields.optional_text("role"), fields.truth("disabled"));
        let parameters: Parameters =
            &[&id, &role, &disabled, &versions, &user.id, &user.session_id, &request.client, &request.id];
        let keys: Parameters = &[&id, &user.id];
        let users = &app.sql.users;
        let row = app.db.query_behind(&users.lock_admins, keys, &users.update, parameters)?;
        let row = row.ok_or(Error::NotFound("User"))?;
        if row.get("matches") && !row.get::<_, bool>("admin_remains") {
            return Err(Error::Conflict("The last enabled admin cannot be demoted or disabled"));
        }
        matched(&row)?;
        app.guard.sessions.forget_user(id);
        Ok(updated("User updated", &Account::from_row(&row)))
    }

    /// `POST /api/admin/users/{id}/unlock`: resets the account's count of failed logins.
    pub fn unlock(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user) = (request.id("id")?, admin.user());
        let parameters: Parameters = &[&id, &user.id, &user.session_id, &request.client, &request.id];
        let row = app.db.query_opt(&app.sql.users.unlock, parameters)?.ok_or(Error::NotFound("User"))?;
        Ok(updated("User unlocked", &Account::from_row(&row)))
    }
}
