//! Patients. Each user sees and changes only their own; an admin, through `/api/admin/patients`, all.

use jiff::Timestamp;
use jiff::civil::Date;
use postgres::Row;
use postgres::types::Json;
use serde::Serialize;

use super::ask::{Ask, Read};
use super::idempotency::once;
use super::listing::{Listing, Order, Pickable, listed};
use super::record::{Record, created, found, matched, updated};
use crate::app::App;
use crate::audit::Resource;
use crate::auth::{Admin, User};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{
    ADDRESS_MAX, Fields, Form, GENDERS, HISTORY_MAX, NAME_MAX, birth_date, email, line, lines, one_of, phone,
};

/// The query parameters of a list.
pub const FILTERS: &[&str] =
    &["limit", "after", "name", "gender", "date_of_birth", "sort", "cursor", "fields", "count"];
/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = &["limit", "after", "name", "gender", "date_of_birth", "created_by"];
/// What the server sets.
const READ_ONLY: &[&str] = &["id", "created_by", "created_at", "updated_at"];

/// One person under care.
#[derive(Debug, Serialize)]
pub struct Patient<'a> {
    id: i64,
    name: &'a str,
    date_of_birth: Date,
    gender: &'a str,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    address: Option<&'a str>,
    medical_history: Option<&'a str>,
    created_by: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

impl Patient<'_> {
    fn from_row(row: &Row) -> Patient<'_> {
        Patient {
            id: row.get("id"),
            name: row.get("name"),
            date_of_birth: row.get("date_of_birth"),
            gender: row.get("gender"),
            phone: row.get("phone"),
            email: row.get("email"),
            address: row.get("address"),
            medical_history: row.get("medical_history"),
            created_by: row.get("created_by"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            version: row.get("version"),
        }
    }
}

impl Record for Patient<'_> {
    const READS_OF: Option<Resource> = Some(Resource::Patient);

    fn id(&self) -> i64 {
        self.id
    }

    fn version(&self) -> String {
        self.version.to_string()
    }
}

impl Pickable for Patient<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "name",
        "date_of_birth",
        "gender",
        "phone",
        "email",
        "address",
        "medical_history",
        "created_by",
        "created_at",
        "updated_at",
    ];
}

/// The fields that a client writes, and their rules.
fn fields(mut form: Form) -> Result<Fields> {
    form.required("name", line(NAME_MAX));
    form.required("date_of_birth", birth_date);
    form.required("gender", one_of(&GENDERS));
    form.optional("phone", phone);
    form.optional("email", email);
    form.optional("address", lines(ADDRESS_MAX));
    form.optional("medical_history", lines(HISTORY_MAX));
    form.finish(READ_ONLY)
}

/// `POST /api/patients`: the new patient belongs to the user.
pub fn create(app: &App, request: &Request, user: &User) -> Result<Response> {
    let fields = fields(request.new_record()?)?;
    let parameters: Parameters = &[&Json(&fields), &user.id, &user.session_id, &request.client, &request.id];
    once(app, request, user, Patient::READS_OF, |db| {
        let row = db.query_one(&app.sql.patients.create, parameters)?;
        let patient = Patient::from_row(&row);
        Ok(created("Patient created", format!("/api/patients/{}", patient.id), &patient))
    })
}

/// `GET /api/patients`: the user's own patients.
pub fn list(read: &Read, user: &User) -> Result<Ask> {
    let mut query = read.request.query();
    let listing = Listing::read::<Patient>(read, &mut query);
    let (name, gender, born) =
        (query.pattern("name"), query.one_of("gender", &GENDERS), query.birth_date("date_of_birth"));
    query.finish()?;
    let (sql, rows_wanted) = (read.sql, listing.page.rows_wanted());
    let is_quick = name.is_none() && gender.is_none() && born.is_none() && listing.is_quick();
    let page = match &listing.order {
        Order::Id(after) if is_quick => Question::new(&sql.patients.list, &[&user.id, after, &rows_wanted]),
        Order::Id(after) => {
            Question::new(&sql.patients.search, &[&user.id, after, &rows_wanted, &name, &gender, &born])
        }
        Order::Name(after_name, after) => Question::new(
            &sql.patients.search_by_name,
            &[&user.id, after, &rows_wanted, &name, &gender, &born, after_name],
        ),
        Order::Newest(before_time, before) => Question::new(
            &sql.patients.search_newest,
            &[&user.id, before, &rows_wanted, &name, &gender, &born, before_time],
        ),
    }?;
    let count =
        listing.count.then(|| Question::new(&sql.patients.count, &[&user.id, &name, &gender, &born])).transpose()?;
    Ok(Ask::page(page, count, move |read, rows, total| {
        Ok(listing.answer(read, "Patients found", &rows, Patient::from_row, total))
    }))
}

/// `GET /api/patients/{id}`: a patient of another user is reported as missing, because 403 would confirm that there is one.
pub fn find(read: &Read, user: &User) -> Result<Ask> {
    find_of(read, Some(user.id))
}

/// `PUT` and `PATCH /api/patients/{id}`: changes the fields that are sent.
pub fn update(app: &App, request: &Request, user: &User) -> Result<Response> {
    update_of(app, request, user, Some(user.id))
}

/// `DELETE /api/patients/{id}`: the patient's mappings go as well.
pub fn delete(app: &App, request: &Request, user: &User) -> Result<Response> {
    delete_of(app, request, user, Some(user.id))
}

fn find_of(read: &Read, owner_id: Option<i64>) -> Result<Ask> {
    let patient = Question::new(&read.sql.patients.find, &[&read.request.id("id")?, &owner_id])?;
    Ok(Ask::one(patient, |read, row| {
        let patient = row.as_ref().map(Patient::from_row).ok_or(Error::NotFound("Patient"))?;
        Ok(found(read.request, "Patient found", &patient))
    }))
}

fn update_of(app: &App, request: &Request, user: &User, owner_id: Option<i64>) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let fields = Json(fields(request.changes()?)?);
    let parameters: Parameters =
        &[&id, &owner_id, &fields, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.query_opt(&app.sql.patients.update, parameters)?.ok_or(Error::NotFound("Patient"))?;
    matched(&row)?;
    Ok(updated("Patient updated", &Patient::from_row(&row)))
}

fn delete_of(app: &App, request: &Request, user: &User, owner_id: Option<i64>) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let parameters: Parameters = &[&id, &owner_id, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let keys: Parameters = &[&id, &owner_id];
    let row = app.db.query_behind(&app.sql.patients.lock, keys, &app.sql.patients.delete, parameters)?;
    matched(&row.ok_or(Error::NotFound("Patient"))?)?;
    Ok(Response::deleted("Patient deleted"))
}

/// The same for an admin: patients of all users.
pub mod admin {
    use super::*;

    /// `GET /api/admin/patients`
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        let (name, gender) = (query.pattern("name"), query.one_of("gender", &GENDERS));
        let (born, created_by) = (query.birth_date("date_of_birth"), query.id("created_by"));
        query.finish()?;
        let (sql, after, rows_wanted) = (read.sql, page.after.unwrap_or(0), page.rows_wanted());
        let patients = match created_by {
            Some(owner) => Question::new(&sql.patients.search, &[&owner, &after, &rows_wanted, &name, &gender, &born]),
            None => Question::new(&sql.patients.search_all, &[&after, &rows_wanted, &name, &gender, &born]),
        }?;
        Ok(Ask::many(patients, move |read, rows| {
            Ok(listed(read, "Patients found", page, "after", &rows, Patient::from_row))
        }))
    }

    /// `GET /api/admin/patients/{id}`
    pub fn find(read: &Read, _admin: &Admin) -> Result<Ask> {
        find_of(read, None)
    }

    /// `PUT` and `PATCH /api/admin/patients/{id}`
    pub fn update(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        update_of(app, request, admin.user(), None)
    }

    /// `DELETE /api/admin/patients/{id}`
    pub fn delete(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        delete_of(app, request, admin.user(), None)
    }
}
