//! Shares: one patient for one user, read only or not; and who may see a patient, and who did.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::Timestamp;
use postgres::Row;
use serde::Serialize;
use serde_json::Value;

use super::ask::{Ask, Read};
use super::listing::listed;
use super::record::{Listed, Plain, allowed};
use crate::app::App;
use crate::audit::Resource;
use crate::auth::Actor;
use crate::envelope::Response;
use crate::error::{Emergency, Error, Result};
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{email, parse_time, record_id, truth};

/// The query parameters of the log.
pub const LOG: &[&str] = &["limit", "before"];
/// How many live shares a patient may have.
pub const SHARES_MAX: i64 = 50;
/// What is shown of a share.
const SHARE: &[&str] = &["id", "patient_id", "user_id", "can_change", "expires_at", "granted_by", "granted_at"];
/// The fields that nobody sets, but everybody may send back.
const READ_ONLY: &[&str] = &["id", "patient_id", "granted_by", "granted_at"];

/// Somebody who may see a patient, and why.
#[derive(Serialize)]
struct Seer {
    user_id: i64,
    name: String,
    reason: String,
    group: Option<Group>,
    can_change: bool,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Group {
    id: i64,
    name: String,
}

impl Seer {
    fn from_row(row: &Row) -> Seer {
        Seer {
            user_id: row.get("user_id"),
            name: row.get("name"),
            reason: row.get("reason"),
            group: row.get::<_, Option<i64>>("group_id").map(|id| Group { id, name: row.get("group_name") }),
            can_change: row.get("can_change"),
            expires_at: row.get("expires_at"),
        }
    }
}

/// What somebody did with a patient.
#[derive(Serialize)]
struct Event {
    id: i64,
    at: Timestamp,
    actor_id: Option<i64>,
    actor_name: Option<String>,
    action: String,
    ip: Option<IpAddr>,
}

impl Event {
    fn of(row: &Row, names: &HashMap<i64, String>) -> Event {
        let actor_id: Option<i64> = row.get("actor_id");
        Event {
            id: row.get("id"),
            at: row.get("at"),
            actor_id,
            actor_name: actor_id.and_then(|id| names.get(&id).cloned()),
            action: row.get("action"),
            ip: row.get("ip"),
        }
    }
}

impl Listed for Event {
    fn id(&self) -> i64 {
        self.id
    }
}

/// `POST /api/patients/{id}/shares`: for the owner and the owner's colleagues.
pub fn share(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (id, user, owners) = (request.id("id")?, actor.user(), actor.owners());
    let mut form = request.new_record()?;
    let sent = (form.sends("user_id"), form.sends("email"));
    form.optional("user_id", record_id);
    form.optional("email", email);
    form.optional("can_change", truth);
    form.optional("expires_at", later);
    match sent {
        (true, true) => form.refuse("email", "must not be sent beside user_id"),
        (false, false) => form.missing("user_id"),
        _ => {}
    }
    let fields = form.finish(READ_ONLY)?;
    let expires_at = fields.optional_text("expires_at").and_then(|text| parse_time(text).ok());
    let parameters: Parameters = &[
        &id,
        &fields.integer("user_id"),
        &fields.optional_text("email"),
        &fields.truth("can_change").unwrap_or(false),
        &expires_at,
        &SHARES_MAX,
        &user.id,
        &user.session_id,
        &request.client,
        &request.id,
    ];
    let grants = &app.sql.grants;
    let lock = owners.ask(&grants.lock, &[&id, &user.id])?;
    let row = app.db.answer_behind(&lock, &owners.ask(&grants.share, parameters)?)?;
    let row = row.ok_or(Error::NotFound("Patient"))?;
    allowed(&row)?;
    if !row.get::<_, bool>("person_found") {
        return Err(Error::NotFound("User"));
    }
    match row.get::<_, Option<&str>>("refused") {
        Some("self") => return Err(Error::Conflict("This user sees the patient anyway".into())),
        Some("present") => return Err(Error::Conflict("The patient is already shared with this user".into())),
        Some(_) => return Err(Error::Conflict(format!("A patient has at most {SHARES_MAX} live shares").into())),
        None => {}
    }
    let share = Plain(SHARE, &row);
    app.guard.sessions.forget_user(row.get("user_id"));
    Ok(Response::created("Patient shared", format!("{}/{}", request.path.trim_end_matches('/'), share.id()), share))
}

/// A moment that is still to come.
fn later(value: Value) -> std::result::Result<Value, crate::validate::Rule> {
    let time = parse_time(value.as_str().unwrap_or_default())?;
    if time > Timestamp::now() { Ok(value) } else { Err("must be in the future".into()) }
}

/// `GET /api/patients/{id}/shares`: for everybody who sees the patient.
pub fn list(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let shares = actor.owners().ask(&read.sql.grants.list, &[&read.request.id("id")?])?;
    Ok(Ask::many(shares, |_, rows| {
        by_right(rows.first())?;
        let live = rows.iter().filter(|row| row.get::<_, Option<i64>>("id").is_some());
        Ok(Response::success("Shares found", live.map(|row| Plain(SHARE, row)).collect::<Vec<_>>()))
    }))
}

/// `DELETE /api/patients/{id}/shares/{share_id}`: for those who may make one, and for the one whom it is for.
pub fn unshare(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (user, owners) = (actor.user(), actor.owners());
    let (id, share_id) = (request.id("id")?, request.id("share_id")?);
    let parameters: Parameters = &[&id, &share_id, &user.id, &user.session_id, &request.client, &request.id];
    let grants = &app.sql.grants;
    let lock = owners.ask(&grants.lock, &[&id, &user.id])?;
    let row = app.db.answer_behind(&lock, &owners.ask(&grants.unshare, parameters)?)?;
    let row = row.ok_or(Error::NotFound("Share"))?;
    allowed(&row)?;
    match row.get("share_found") {
        true => Ok(Response::deleted("Share ended")),
        false => Err(Error::NotFound("Share")),
    }
}

/// `GET /api/patients/{id}/access`: who may see this patient and why.
pub fn access(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let seers = actor.owners().ask(&read.sql.grants.access, &[&read.request.id("id")?])?;
    Ok(Ask::many(seers, |_, rows| {
        by_right(rows.first())?;
        Ok(Response::success("Access found", rows.iter().map(Seer::from_row).collect::<Vec<_>>()))
    }))
}

/// `GET /api/patients/{id}/access/log`: who looked and changed, newest first.
pub fn log(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let id = request.id("id")?;
    let mut query = request.query();
    let page = query.page("before");
    query.finish()?;
    let patient = app.db.answer(&actor.owners().ask(&app.sql.patients.find_granted, &[&id])?)?.pop();
    by_right(patient.as_ref()).map_err(|error| error.under(patient.as_ref().and_then(Emergency::of)))?;
    let (before, resource) = (page.after.unwrap_or(i64::MAX), Resource::Patient.word());
    let (nobody, no_word, no_time): (Option<i64>, Option<&str>, Option<Timestamp>) = (None, None, None);
    let parameters: Parameters = &[&before, &page.rows_wanted(), &nobody, &no_word, &resource, &id, &no_time, &no_time];
    let rows = app.db.query_many(&app.sql.audit.list, parameters)?;
    let actors: Vec<i64> = rows.iter().filter_map(|row| row.get("actor_id")).collect();
    let names = app.db.query_many(&app.sql.grants.names, &[&actors])?;
    let names: HashMap<i64, String> = names.iter().map(|row| (row.get("id"), row.get("name"))).collect();
    let event = |row| Event::of(row, &names);
    Ok(listed(&Read::new(app, request), "Access log found", page, "before", None, &rows, event))
}

/// Refuses who does not see the patient, or only by emergency access: who else sees the patient is no emergency.
fn by_right(patient: Option<&Row>) -> Result<()> {
    match Emergency::of(patient.ok_or(Error::NotFound("Patient"))?) {
        Some(_) => Err(Error::ReadOnly),
        None => Ok(()),
    }
}
