//! Emergency access: somebody who has the right sees a patient who is not theirs, with a reason and for a while. Every try is recorded,
//! and an admin reviews every grant.

use postgres::Row;
use serde::Serialize;
use serde_json::Value;

use super::ask::{Ask, Read};
use super::listing::listed;
use super::record::Plain;
use super::users::own_account;
use crate::app::App;
use crate::auth::{Actor, User};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Counted, Error, RateLimit, Result};
use crate::metrics::Metrics;
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{Checked, NAME_MAX, birth_date, line, one_of, parse_birth_date, visible_length};

/// The query parameters of an admin's list.
pub const FILTERS: &[&str] = &["limit", "after", "reviewed", "user_id"];
/// How many tries a user has within an hour.
pub const TRIES: i64 = 5;
/// How many patients may have the same name and birth date.
pub const MATCHES_MAX: i64 = 5;
/// How many characters a reason has at least, not counting invisible ones, and how many a reason and a note have at most.
pub const REASON_MIN: usize = 10;
pub const REASON_MAX: usize = 1000;
/// What a review says.
pub const VERDICTS: [&str; 2] = ["justified", "unjustified"];

/// What is shown of a grant with its review, and what of one that was just given.
const GRANT: &[&str] = &[
    "id",
    "user_id",
    "patient_id",
    "reason",
    "granted_at",
    "expires_at",
    "ended_at",
    "reviewed_at",
    "reviewed_by",
    "verdict",
    "note",
];
const GIVEN: &[&str] = &["id", "patient_id", "expires_at"];

/// What a successful try gives.
#[derive(Serialize)]
struct Granted<'a> {
    grants: Vec<Plain<'a>>,
}

/// `POST /api/emergency-access`: a grant for each patient of this name and birth date. A wrong password counts as a failed login, and is
/// no try.
pub fn ask(app: &App, request: &Request, user: &User) -> Result<Response> {
    user.may_break_glass()?;
    let mut form = request.new_record()?;
    form.required("name", line(NAME_MAX));
    form.required("date_of_birth", birth_date);
    form.required("reason", reason);
    form.required_verbatim("password", |_| Ok(()));
    let fields = form.finish(&[])?;
    let account = own_account(app, user)?;
    let confirmed = app.attempt(request, &account.email).confirm(fields.text("password"));
    if let Err(error) = confirmed {
        if error == Error::WrongCredentials {
            told(app, request, user, "wrong_password");
        }
        return Err(error);
    }
    let born = parse_birth_date(fields.text("date_of_birth")).ok();
    let parameters: Parameters = &[
        &fields.text("name"),
        &born,
        &fields.text("reason"),
        &app.config.emergency_minutes,
        &TRIES,
        &MATCHES_MAX,
        &user.id,
        &user.session_id,
        &request.client,
        &request.id,
    ];
    let question = user.owners().ask(&app.sql.emergency.ask, parameters)?;
    // A miss is recorded as well, so it is no error inside the transaction.
    let rows = app.db.transaction(&question.query, |transaction| {
        transaction.query_many(&app.sql.users.lock, &[&user.id])?;
        transaction.answer(&question)
    })?;
    app.guard.sessions.forget_user(user.id);
    let first = rows.first().ok_or(Error::Unauthenticated)?;
    let result: &str = first.get("result");
    note_unreviewed(&app.metrics, first);
    if result != "denied" {
        told(app, request, user, result);
    }
    match result {
        "granted" => {
            let grants = rows.iter().map(|row| Plain(GIVEN, row)).collect();
            Ok(Response::created("Emergency access granted", "/api/emergency-access".into(), Granted { grants }))
        }
        "not_found" => Err(Error::NotFound("Patient")),
        "too_many" => {
            Err(Error::Conflict(format!("More than {MATCHES_MAX} patients have this name and birth date").into()))
        }
        "limited" => {
            let retry_after_seconds = first.get::<_, i64>("retry_after").unsigned_abs();
            let (counted, quota) = (Counted::EmergencyAccess, TRIES.unsigned_abs());
            Err(Error::TooManyRequests(Box::new(RateLimit { counted, quota, retry_after_seconds })))
        }
        _ => Err(crate::auth::NO_EMERGENCY_ACCESS),
    }
}

/// `GET /api/emergency-access`: the user's own that is open.
pub fn mine(read: &Read, user: &User) -> Result<Ask> {
    Ok(Ask::many(Question::new(&read.sql.emergency.mine, &[&user.id])?, |_, rows| {
        Ok(Response::success("Emergency access found", rows.iter().map(|row| Plain(GRANT, row)).collect::<Vec<_>>()))
    }))
}

/// `DELETE /api/emergency-access/{id}`: ends the user's own early.
pub fn end(app: &App, request: &Request, user: &User) -> Result<Response> {
    let parameters: Parameters = &[&request.id("id")?, &user.id, &user.session_id, &request.client, &request.id];
    app.db.query_opt(&app.sql.emergency.end, parameters)?.ok_or(Error::NotFound("Emergency access"))?;
    Ok(Response::deleted("Emergency access ended"))
}

fn reason(value: Value) -> Checked<Value> {
    let value = line(REASON_MAX)(value)?;
    match value.as_str().map_or(0, visible_length) < REASON_MIN {
        true => Err(format!("must have at least {REASON_MIN} visible characters").into()),
        false => Ok(value),
    }
}

/// Counts and logs it, without the name that was asked for.
fn told(app: &App, request: &Request, user: &User, result: &str) {
    app.metrics.count_emergency(result);
    log::warn!(target: "audit", "request {}: user {} asks for emergency access: {result}", request.id, user.id);
}

/// Notes how many grants, of all nodes, nobody has reviewed.
pub fn note_unreviewed(metrics: &Metrics, row: &Row) {
    let count: i64 = row.get("unreviewed");
    metrics.emergency_unreviewed.set(usize::try_from(count).unwrap_or_default());
}

/// What an admin does with emergency access: sees it, and says whether it was justified.
pub mod admin {
    use super::*;
    use crate::auth::Admin;

    /// `GET /api/admin/emergency-access`: of all users, the reviewed too.
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        let (reviewed, user_id) = (query.truth("reviewed"), query.id("user_id"));
        query.finish()?;
        let parameters: Parameters = &[&page.after.unwrap_or(0), &page.rows_wanted(), &reviewed, &user_id];
        Ok(Ask::many(Question::new(&read.sql.emergency.list, parameters)?, move |read, rows| {
            Ok(listed(read, "Emergency access found", page, "after", None, &rows, |row| Plain(GRANT, row)))
        }))
    }

    /// `POST /api/admin/emergency-access/{id}/review`: once, by somebody else than the user.
    pub fn review(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let (id, user) = (request.id("id")?, admin.user());
        let mut form = request.new_record()?;
        form.required("verdict", one_of(&VERDICTS));
        form.optional("note", line(REASON_MAX));
        let fields = form.finish(&[])?;
        let (verdict, note) = (fields.text("verdict"), fields.optional_text("note"));
        let parameters: Parameters = &[&id, &verdict, &note, &user.id, &user.session_id, &request.client, &request.id];
        let row = app.db.query_opt(&app.sql.emergency.review, parameters)?;
        let row = row.ok_or(Error::NotFound("Emergency access"))?;
        if row.get("is_own") {
            return Err(Error::Forbidden("Another admin must review your own emergency access"));
        }
        if !row.get::<_, bool>("is_new") {
            return Err(Error::Conflict("This emergency access is reviewed already".into()));
        }
        note_unreviewed(&app.metrics, &row);
        Ok(Response::updated("Emergency access reviewed", Plain(GRANT, &row)))
    }
}
