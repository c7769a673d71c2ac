//! The commands other than `serve`. Each does one thing with the database and reports it in one line.

use std::borrow::Cow;

use postgres::{GenericClient, Transaction};
use serde_json::Value;

use crate::auth::{Role, passwords, secret};
use crate::config::Config;
use crate::database::Database;
use crate::dispatch::Routes;
use crate::error::explain;
use crate::migrate;
use crate::openapi;
use crate::service;
use crate::sql::{Parameters, Queries, Query};
use crate::validate;

/// `migrate`: brings the schema up to date.
pub fn migrate(config: &Config, database: &Database) -> Result<String, String> {
    let migrations = migrate::load(config.sql_dir.as_deref())?;
    let mut client = database.connect()?;
    let applied = migrate::run(&mut client, &migrations)?;
    Ok(if applied.is_empty() { "the schema is up to date".into() } else { format!("applied {}", applied.join(", ")) })
}

/// `check`: says what `serve` would do. If the schema is up to date, it also prepares every statement.
pub fn check(config: &Config, database: &Database) -> Result<String, String> {
    Routes::new()?;
    openapi::document(config)?;
    let queries = Queries::load(config.sql_dir.as_deref())?;
    let migrations = migrate::load(config.sql_dir.as_deref())?;
    if config.jwt_secret.is_none() {
        secret::look(&config.data_dir)?;
    }
    for warning in database.url.warnings() {
        log::warn!(target: "database", "{warning}");
    }
    let mut client = database.connect()?;
    let pending = migrate::pending(&mut client, &migrations)?;
    if pending.is_empty() {
        queries.prove(&mut client)?;
    }
    service::bind(config)?;
    if !pending.is_empty() {
        return Ok(format!("ready: serve would apply {}", pending.join(", ")));
    }
    Ok(format!("ready: {} statements, {} migrations, all applied", queries.all().len(), migrations.len()))
}

/// `create-admin`: a new user with the role `admin`. Address and name are as `email` and `name` return them.
pub fn create_admin(
    config: &Config,
    database: &Database,
    email: &str,
    name: &str,
    password: String,
) -> Result<String, String> {
    let hash = hash(config, email, &password)?;
    change(config, database, |transaction, queries| {
        let (role, ip, request_id): (&str, Option<std::net::IpAddr>, Option<&str>) = (Role::WORDS[1], None, None);
        let row = one_row(transaction, &queries.users.register, &[&name, &email, &hash, &role, &ip, &request_id])?;
        Ok(format!("created admin {} with the id {}", email, row.map_or(0, |row| row.get::<_, i64>("id"))))
    })
}

/// `set-role`: makes a user an admin, or an admin a user. Address and role are as `email` and `role` return them.
pub fn set_role(config: &Config, database: &Database, email: &str, role: &str) -> Result<String, String> {
    change(config, database, |transaction, queries| {
        let row = one_row(transaction, &queries.users.set_role, &[&email, &role])?;
        let row = row.ok_or_else(|| format!("there is no user with the e-mail {email}: the user must register first, or create-admin creates a new admin"))?;
        if !row.get::<_, bool>("admin_remains") {
            return Err(format!("{email} is the last enabled admin: make somebody else an admin first"));
        }
        if let Some(id) = row.get::<_, Option<i64>>("changed_id") {
            one_row(transaction, &queries.grants.end_lost, &[&vec![id]])?;
        }
        Ok(format!("{email} now has the role {role}"))
    })
}

/// `set-password`: for somebody who forgot it and whom no admin can help. Ends all sessions and one-time tokens of the account.
pub fn set_password(config: &Config, database: &Database, email: &str, password: String) -> Result<String, String> {
    let hash = hash(config, email, &password)?;
    change(config, database, |transaction, queries| {
        let account = one_row(transaction, &queries.resets.lock_by_email, &[&email])?;
        let account = account
            .ok_or_else(|| format!("there is no user with the e-mail {email}: create-admin creates a new admin"))?;
        one_row(transaction, &queries.resets.set_password, &[&account.get::<_, i64>("id"), &hash])?;
        let note = if account.get("disabled") { "; the account is still disabled: an admin can enable it" } else { "" };
        Ok(format!("{email} has the new password, and all sessions and one-time tokens of the account are over{note}"))
    })
}

/// `remove-totp`: for somebody who lost the phone and whom no admin can help. Ends all sessions of the account.
pub fn remove_totp(config: &Config, database: &Database, email: &str) -> Result<String, String> {
    change(config, database, |transaction, queries| {
        let account = one_row(transaction, &queries.resets.lock_by_email, &[&email])?;
        let account = account.ok_or_else(|| format!("there is no user with the e-mail {email}"))?;
        Ok(match one_row(transaction, &queries.totp.clear, &[&account.get::<_, i64>("id")])? {
            Some(_) => format!("{email} has no second factor any more, and all sessions of the account are over"),
            None => format!("{email} has no second factor"),
        })
    })
}

/// Brings the schema up to date, and changes an account in one transaction. Returns what is told once that is committed.
fn change(
    config: &Config,
    database: &Database,
    work: impl FnOnce(&mut Transaction, &Queries) -> Result<String, String>,
) -> Result<String, String> {
    migrate(config, database)?;
    let queries = Queries::load(config.sql_dir.as_deref())?;
    let mut client = database.connect()?;
    let mut transaction = client.transaction().map_err(|error| explain(&error))?;
    let told = work(&mut transaction, &queries)?;
    transaction.commit().map_err(|error| explain(&error))?;
    Ok(told)
}

/// The hash of a new password that follows the rules.
fn hash(config: &Config, email: &str, password: &str) -> Result<String, String> {
    passwords::check_rules(password, config).map_err(|rule| format!("the password {rule}"))?;
    if passwords::is_the_email(password, email) {
        return Err(format!("the password {}", passwords::IS_THE_EMAIL));
    }
    passwords::hash(password, config).map_err(|_| "the password cannot be hashed".to_string())
}

/// The first row of a statement, if there is one.
pub fn one_row(
    client: &mut impl GenericClient,
    query: &Query,
    parameters: Parameters,
) -> Result<Option<postgres::Row>, String> {
    query.run(client, parameters).map(|rows| rows.into_iter().next()).map_err(|error| {
        match error.as_db_error().and_then(|error| error.constraint()) {
            Some("users_email_key") => "a user with this e-mail already exists; use set-role".to_string(),
            _ => explain(&error),
        }
    })
}

/// `--email`: an e-mail address, in the form in which accounts store it.
pub fn email(text: &str) -> Result<String, String> {
    checked(validate::email(text.trim().into()))
}

/// `--name`: a person's name.
pub fn name(text: &str) -> Result<String, String> {
    checked(validate::line(validate::NAME_MAX)(text.trim().into()))
}

/// `--role`: one of the roles.
pub fn role(text: &str) -> Result<String, String> {
    if Role::WORDS.contains(&text) {
        Ok(text.into())
    } else {
        Err(format!("must be one of {}", Role::WORDS.join(", ")))
    }
}

/// `--map`: a header and a field; which ones there are is known when the file is open.
pub fn mapping(text: &str) -> Result<String, String> {
    if text.contains('=') { Ok(text.into()) } else { Err("must be like 'Date of birth=date_of_birth'".into()) }
}

fn checked(value: Result<Value, Cow<'static, str>>) -> Result<String, String> {
    value.map(|value| value.as_str().unwrap_or_default().to_string()).map_err(Cow::into_owned)
}
