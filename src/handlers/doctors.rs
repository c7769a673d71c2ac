//! Doctors: a directory that every user reads. An entry is changed by its creator or an admin.

use jiff::Timestamp;
use postgres::Row;
use postgres::types::Json;
use serde::Serialize;

use super::ask::{Ask, Read};
use super::idempotency::once;
use super::listing::{Listing, Order, Pickable, listed};
use super::record::{Record, created, found, matched, updated};
use crate::app::App;
use crate::auth::{Admin, User};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{
    EXPERIENCE_MAX, Fields, Form, LICENSE_MAX, NAME_MAX, SPECIALIZATION_MAX, email, line, phone, visible_line,
    whole_number,
};

/// The query parameters of a list.
pub const FILTERS: &[&str] = &["limit", "after", "name", "specialization", "sort", "cursor", "fields", "count"];
/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = &["limit", "after", "name", "specialization", "created_by"];
/// The query parameter of an admin's delete.
pub const CASCADE: &[&str] = &["cascade"];
/// What the server sets.
const READ_ONLY: &[&str] = &["id", "created_by", "created_at", "updated_at"];

/// One entry of the directory.
#[derive(Debug, Serialize)]
pub struct Doctor<'a> {
    id: i64,
    name: &'a str,
    specialization: &'a str,
    phone: Option<&'a str>,
    email: Option<&'a str>,
    license_number: Option<&'a str>,
    years_of_experience: Option<i32>,
    created_by: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip)]
    version: i64,
}

impl Doctor<'_> {
    fn from_row(row: &Row) -> Doctor<'_> {
        Doctor {
            id: row.get("id"),
            name: row.get("name"),
            specialization: row.get("specialization"),
            phone: row.get("phone"),
            email: row.get("email"),
            license_number: row.get("license_number"),
            years_of_experience: row.get("years_of_experience"),
            created_by: row.get("created_by"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            version: row.get("version"),
        }
    }
}

impl Record for Doctor<'_> {
    fn id(&self) -> i64 {
        self.id
    }

    fn version(&self) -> String {
        self.version.to_string()
    }
}

impl Pickable for Doctor<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "name",
        "specialization",
        "phone",
        "email",
        "license_number",
        "years_of_experience",
        "created_by",
        "created_at",
        "updated_at",
    ];
}

/// The fields that a client writes, and their rules.
fn fields(mut form: Form) -> Result<Fields> {
    form.required("name", line(NAME_MAX));
    form.required("specialization", line(SPECIALIZATION_MAX));
    form.optional("phone", phone);
    form.optional("email", email);
    form.optional("license_number", visible_line(LICENSE_MAX));
    form.optional("years_of_experience", whole_number(0, EXPERIENCE_MAX));
    form.finish(READ_ONLY)
}

/// `POST /api/doctors`
pub fn create(app: &App, request: &Request, user: &User) -> Result<Response> {
    let fields = fields(request.new_record()?)?;
    let parameters: Parameters = &[&Json(&fields), &user.id, &user.session_id, &request.client, &request.id];
    once(app, request, user, Doctor::READS_OF, |db| {
        let row = db.query_one(&app.sql.doctors.create, parameters)?;
        let doctor = Doctor::from_row(&row);
        Ok(created("Doctor created", format!("/api/doctors/{}", doctor.id), &doctor))
    })
}

/// `GET /api/doctors`: the whole directory.
pub fn list(read: &Read, _user: &User) -> Result<Ask> {
    let mut query = read.request.query();
    let listing = Listing::read::<Doctor>(read, &mut query);
    let (name, specialization) = (query.pattern("name"), query.pattern("specialization"));
    query.finish()?;
    let (sql, rows_wanted) = (read.sql, listing.page.rows_wanted());
    let is_quick = name.is_none() && specialization.is_none() && listing.is_quick();
    let everyone = None::<i64>;
    let page = match &listing.order {
        Order::Id(after) if is_quick => Question::new(&sql.doctors.list, &[after, &rows_wanted]),
        Order::Id(after) => {
            Question::new(&sql.doctors.search, &[&everyone, after, &rows_wanted, &name, &specialization])
        }
        Order::Name(after_name, after) => {
            Question::new(&sql.doctors.search_by_name, &[after, &rows_wanted, &name, &specialization, after_name])
        }
        Order::Newest(before_time, before) => {
            Question::new(&sql.doctors.search_newest, &[before, &rows_wanted, &name, &specialization, before_time])
        }
    }?;
    let count = listing.count.then(|| Question::new(&sql.doctors.count, &[&name, &specialization])).transpose()?;
    Ok(Ask::page(page, count, move |read, rows, total| {
        Ok(listing.answer(read, "Doctors found", &rows, Doctor::from_row, total))
    }))
}

/// `GET /api/doctors/{id}`
pub fn find(read: &Read, _user: &User) -> Result<Ask> {
    let doctor = Question::new(&read.sql.doctors.find, &[&read.request.id("id")?])?;
    Ok(Ask::one(doctor, |read, row| {
        let doctor = row.as_ref().map(Doctor::from_row).ok_or(Error::NotFound("Doctor"))?;
        Ok(found(read.request, "Doctor found", &doctor))
    }))
}

/// `PUT` and `PATCH /api/doctors/{id}`: changes the fields that are sent; another user's entry is 403.
pub fn update(app: &App, request: &Request, user: &User) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let fields = Json(fields(request.changes()?)?);
    let parameters: Parameters = &[
        &id,
        &user.owner_unless_admin(),
        &fields,
        &versions,
        &user.id,
        &user.session_id,
        &request.client,
        &request.id,
    ];
    let row = app.db.query_opt(&app.sql.doctors.update, parameters)?.ok_or(Error::NotFound("Doctor"))?;
    allowed(&row)?;
    matched(&row)?;
    Ok(updated("Doctor updated", &Doctor::from_row(&row)))
}

/// `DELETE /api/doctors/{id}`: refused while the doctor is assigned to a patient.
pub fn delete(app: &App, request: &Request, user: &User) -> Result<Response> {
    delete_of(app, request, user, false)
}

fn delete_of(app: &App, request: &Request, user: &User, cascade: bool) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let parameters: Parameters = &[
        &id,
        &user.owner_unless_admin(),
        &versions,
        &cascade,
        &user.id,
        &user.session_id,
        &request.client,
        &request.id,
    ];
    let keys: Parameters = &[&id, &user.owner_unless_admin()];
    let doctors = &app.sql.doctors;
    let row =
        app.db.query_behind(&doctors.lock, keys, &doctors.delete, parameters)?.ok_or(Error::NotFound("Doctor"))?;
    allowed(&row)?;
    matched(&row)?;
    Ok(Response::deleted("Doctor deleted"))
}

fn allowed(row: &Row) -> Result<()> {
    if row.get("allowed") {
        Ok(())
    } else {
        Err(Error::Forbidden("Only the creator of this doctor or an admin may do this"))
    }
}

/// The same for an admin, who can filter by the creator of an entry and delete a doctor together with the mappings.
pub mod admin {
    use super::*;

    /// `GET /api/admin/doctors`
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        let (name, specialization) = (query.pattern("name"), query.pattern("specialization"));
        let created_by = query.id("created_by");
        query.finish()?;
        let (after, rows_wanted) = (page.after.unwrap_or(0), page.rows_wanted());
        let parameters: Parameters = &[&created_by, &after, &rows_wanted, &name, &specialization];
        Ok(Ask::many(Question::new(&read.sql.doctors.search, parameters)?, move |read, rows| {
            Ok(listed(read, "Doctors found", page, "after", &rows, Doctor::from_row))
        }))
    }

    /// `GET /api/admin/doctors/{id}`
    pub fn find(read: &Read, admin: &Admin) -> Result<Ask> {
        super::find(read, admin.user())
    }

    /// `PUT` and `PATCH /api/admin/doctors/{id}`
    pub fn update(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        super::update(app, request, admin.user())
    }

    /// `DELETE /api/admin/doctors/{id}`: `?cascade=true` removes the doctor's mappings as well.
    pub fn delete(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        let mut query = request.query();
        let cascade = query.truth("cascade").unwrap_or(false);
        query.finish()?;
        delete_of(app, request, admin.user(), cascade)
    }
}
