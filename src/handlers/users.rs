//! Users: registration, a user's own account and password; and what an admin makes, sees and changes of all accounts.

use jiff::Timestamp;
use serde::Serialize;

use super::account::{Account, Grant, OneTimeToken};
use super::ask::{Ask, Read};
use super::history::Kept;
use super::listing::listed;
use super::record::{Listed, Record, RecordType, created, found, matched, updated};
use super::resets::INVITATION_SECONDS;
use crate::app::App;
use crate::audit::Resource;
use crate::auth::tokens::new_random_token;
use crate::auth::{Actor, Admin, Owners, Role, User, passwords};
use crate::config::Config;
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, FieldError, FieldErrors, Result};
use crate::mail::Job;
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{Form, NAME_MAX, email, line, one_of, truth};

/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = &["limit", "after", "q", "email", "role", "disabled"];
/// The fields that nobody changes, but everybody may send back with a record.
const READ_ONLY: &[&str] = &["id", "invited", "totp", "created_at", "updated_at"];
/// The same for a user's own account: those that an admin changes as well.
const READ_ONLY_OF_MINE: &[&str] =
    &["id", "role", "disabled", "invited", "totp", "may_break_glass", "created_at", "updated_at"];

/// Whether anyone may register.
pub fn registration_is_open(config: &Config) -> Result<()> {
    if config.registration_open {
        Ok(())
    } else {
        Err(Error::Forbidden("Registration is closed: an admin makes accounts"))
    }
}

/// `POST /api/auth/register`
pub fn register(app: &App, request: &Request) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required("name", line(NAME_MAX));
    form.required("email", email);
    form.required_verbatim("password", |password| passwords::check_rules(password, &app.config));
    refuse_the_email(&mut form);
    let fields = form.finish(&[])?;
    let hash = passwords::hash(fields.text("password"), &app.config)?;
    let (name, email, role) = (fields.text("name"), fields.text("email"), Role::WORDS[0]);
    let parameters: Parameters = &[&name, &email, &hash, &role, &request.client, &request.id];
    let account = Account::from_row(&app.db.query_one(&app.sql.users.register, parameters)?);
    Ok(created("User registered", "/api/auth/me".into(), &account))
}

/// A password must not be the e-mail address that is sent beside it.
fn refuse_the_email(form: &mut Form) {
    if let (Some(password), Some(email)) = (form.text("password"), form.text("email"))
        && passwords::is_the_email(password, email)
    {
        form.refuse("password", passwords::IS_THE_EMAIL);
    }
}

/// `GET /api/auth/me`
pub fn me(read: &Read, user: &User) -> Result<Ask> {
    Ok(Ask::one(Question::new(&read.sql.users.find, &[&user.id])?, |read, row| {
        Ok(found(read.request, "User found", &Account::from_row(&row.ok_or(Error::Unauthenticated)?)))
    }))
}

/// `PUT` and `PATCH /api/auth/me`: name and e-mail address. A new address needs the current password, and ends the user's other
/// sessions and one-time tokens. A wrong current password counts as a failed login.
pub fn update(app: &App, request: &Request, user: &User) -> Result<Response> {
    let versions = request.if_match()?;
    let mut form = request.changes()?;
    form.required("name", line(NAME_MAX));
    form.required("email", email);
    form.optional_verbatim("current_password", |_| Ok(()));
    if form.text("email").is_some() {
        app.guard.take_attempt(request.client)?;
    }
    let account = own_account(app, user)?;
    let is_new_email = form.text("email").is_some_and(|email| email != account.email);
    if is_new_email && form.text("current_password").is_none() {
        form.missing("current_password");
    }
    let fields = form.finish(READ_ONLY_OF_MINE)?;
    let attempt = app.attempt(request, &account.email);
    let old_hash = match is_new_email {
        true => Some(attempt.confirm(fields.text("current_password"))?.password_hash),
        false => None,
    };
    let (name, email) = (fields.optional_text("name"), fields.optional_text("email"));
    let parameters: Parameters =
        &[&user.id, &user.session_id, &name, &email, &old_hash, &versions, &request.client, &request.id];
    let users = &app.sql.users;
    let row = app.db.query_behind(&users.lock, &[&user.id], &users.update_profile, parameters)?;
    // No row: the password was changed after it was checked.
    let row = row.ok_or_else(|| attempt.failed(Some(user.id)))?;
    matched(&row)?;
    if row.get::<_, i64>("ended") > 0 {
        app.guard.sessions.forget_user(user.id);
    }
    if is_new_email {
        let job = Job::Moved { name: account.name.clone(), email: account.email.clone() };
        app.mail.put(&app.config, &app.metrics, job);
    }
    Ok(updated("Account updated", &Account::from_row(&row)))
}

/// `POST /api/auth/password`: ends the user's other sessions and every earlier token of this one, and answers with a new pair. A wrong
/// current password counts as a failed login.
pub fn change_password(app: &App, request: &Request, user: &User) -> Result<Response> {
    let mut form = request.new_record()?;
    form.required_verbatim("current_password", |_| Ok(()));
    form.required_verbatim("new_password", |password| passwords::check_rules(password, &app.config));
    let account = own_account(app, user)?;
    if form.text("new_password").is_some_and(|password| passwords::is_the_email(password, &account.email)) {
        form.refuse("new_password", passwords::IS_THE_EMAIL);
    }
    let fields = form.finish(&[])?;
    let attempt = app.attempt(request, &account.email);
    let old_hash = attempt.confirm(fields.text("current_password"))?.password_hash;
    let new_hash = passwords::hash(fields.text("new_password"), &app.config)?;
    let (refresh_token, refresh_hash) = new_random_token().map_err(Error::Internal)?;
    let parameters: Parameters =
        &[&user.id, &old_hash, &new_hash, &user.session_id, &refresh_hash, &request.client, &request.id];
    let users = &app.sql.users;
    let row = app.db.query_behind(&users.lock, &[&user.id], &users.change_password, parameters)?;
    let row = row.ok_or_else(|| attempt.failed(Some(user.id)))?;
    app.guard.sessions.forget_user(user.id);
    Ok(Response::updated("Password changed", Grant::new(app, &row, refresh_token)?))
}

/// The account of the user who asks.
pub fn own_account(app: &App, user: &User) -> Result<Account> {
    let row = app.db.answer(&Question::new(&app.sql.users.find, &[&user.id])?)?.pop();
    row.as_ref().map(Account::from_row).ok_or(Error::Unauthenticated)
}

/// Their history, which only admins see. Versions have no password.
pub enum History {}

impl Kept for History {
    const RESOURCE: Resource = Resource::User;
    const NAME: &'static str = "User";

    fn owners(actor: &impl Actor) -> Owners {
        actor.alone()
    }

    fn record_type(_for_admins: bool) -> &'static RecordType {
        static USER: RecordType = RecordType { fields: &[], version: "version", reads_of: None, for_admins: true };
        &USER
    }
}

/// What an admin does with accounts.
pub mod admin {
    use super::*;

    /// A new account, and the invitation if it has no password yet.
    #[derive(Serialize)]
    struct NewAccount {
        #[serde(flatten)]
        account: Account,
        invitation: Option<OneTimeToken>,
    }

    impl Record for NewAccount {
        fn version(&self) -> String {
            self.account.version()
        }
    }

    /// `POST /api/admin/users`: without a password, the answer has a one-time token that is shown only here.
    pub fn create(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let user = admin.user();
        let mut form = request.new_record()?;
        form.required("name", line(NAME_MAX));
        form.required("email", email);
        form.optional("role", one_of(&Role::WORDS));
        form.optional_verbatim("password", |password| passwords::check_rules(password, &app.config));
        refuse_the_email(&mut form);
        let fields = form.finish(READ_ONLY)?;
        let password = fields.optional_text("password");
        let hash = password.map(|password| passwords::hash(password, &app.config)).transpose()?;
        let (token, token_hash) = new_random_token().map_err(Error::Internal)?;
        let (name, email) = (fields.text("name"), fields.text("email"));
        let role = fields.optional_text("role").unwrap_or(Role::WORDS[0]);
        let parameters: Parameters = &[
            &name,
            &email,
            &hash,
            &role,
            &token_hash,
            &INVITATION_SECONDS,
            &user.id,
            &user.session_id,
            &request.client,
            &request.id,
        ];
        let row = app.db.query_one(&app.sql.users.create, parameters)?;
        let expires_at: Option<Timestamp> = row.get("expires_at");
        let invitation = expires_at.map(|expires_at| OneTimeToken { token, expires_at });
        let new = NewAccount { account: Account::from_row(&row), invitation };
        Ok(created("User created", format!("/api/admin/users/{}", new.account.id()), &new))
    }

    /// `GET /api/admin/users`
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        let (email, role) = (query.part("email"), query.one_of("role", &Role::WORDS));
        let (disabled, words) = (query.truth("disabled"), query.words("q"));
        query.finish()?;
        let parameters: Parameters = &[&page.after.unwrap_or(0), &page.rows_wanted(), &email, &role, &disabled, &words];
        Ok(Ask::many(Question::new(&read.sql.users.search, parameters)?, move |read, rows| {
            Ok(listed(read, "Users found", page, "after", None, &rows, Account::from_row))
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

    /// `PUT` and `PATCH /api/admin/users/{id}`: role, `disabled` and `may_break_glass`, and of an invited account also name and e-mail
    /// address. One enabled admin always remains.
    pub fn update(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, versions, user) = (request.id("id")?, request.if_match()?, admin.user());
        let mut form = request.changes()?;
        form.required("role", one_of(&Role::WORDS));
        form.required("disabled", truth);
        form.required("may_break_glass", truth);
        form.required("name", line(NAME_MAX));
        form.required("email", email);
        let fields = form.finish(READ_ONLY)?;
        let (role, disabled) = (fields.optional_text("role"), fields.truth("disabled"));
        let may_break_glass = fields.truth("may_break_glass");
        let (name, email) = (fields.optional_text("name"), fields.optional_text("email"));
        let parameters: Parameters = &[
            &id,
            &role,
            &disabled,
            &may_break_glass,
            &name,
            &email,
            &versions,
            &user.id,
            &user.session_id,
            &request.client,
            &request.id,
        ];
        let keys: Parameters = &[&id, &user.id];
        let users = &app.sql.users;
        let row = app.db.transaction(&users.update, |transaction| {
            transaction.query_many(&users.lock_admins, keys)?;
            let row = transaction.query_opt(&users.update, parameters)?.ok_or(Error::NotFound("User"))?;
            if role == Some(Role::WORDS[0]) {
                transaction.query_opt(&app.sql.grants.end_lost, &[&vec![id]])?;
            }
            Ok(row)
        })?;
        let account = Account::from_row(&row);
        // Their owner changes these once there is a password; like all read-only fields they may be sent back, but not alone.
        if !account.invited && role.is_none() && disabled.is_none() && may_break_glass.is_none() {
            let mut errors = FieldErrors::default();
            for (field, _) in [("email", email), ("name", name)].into_iter().filter(|(_, value)| value.is_some()) {
                errors.push(FieldError::new(field, "cannot be changed"));
            }
            return Err(Error::Invalid(errors));
        }
        if row.get("matches") && !row.get::<_, bool>("admin_remains") {
            return Err(Error::Conflict("The last enabled admin cannot be demoted or disabled".into()));
        }
        matched(&row)?;
        app.guard.sessions.forget_user(id);
        Ok(updated("User updated", &account))
    }

    /// `POST /api/admin/users/{id}/unlock`: resets the account's count of failed logins.
    pub fn unlock(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user) = (request.id("id")?, admin.user());
        let parameters: Parameters = &[&id, &user.id, &user.session_id, &request.client, &request.id];
        let users = &app.sql.users;
        let row =
            app.db.query_behind(&users.lock, &[&id], &users.unlock, parameters)?.ok_or(Error::NotFound("User"))?;
        Ok(updated("User unlocked", &Account::from_row(&row)))
    }
}
