//! Mappings: which doctors care for which patient. They belong to the owner of the patient.

use jiff::Timestamp;
use postgres::Row;
use postgres::types::Json;
use serde::Serialize;

use super::ask::{Ask, Read};
use super::idempotency::once;
use super::listing::listed;
use super::record::{Record, created, found, matched, updated};
use crate::app::App;
use crate::audit::Resource;
use crate::auth::{Admin, User};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::{Fields, Form, NOTES_MAX, lines, record_id};

/// The query parameters of a list.
pub const FILTERS: &[&str] = &["limit", "after", "patient_id", "doctor_id"];
/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = &["limit", "after", "patient_id", "doctor_id", "created_by"];
/// The query parameters of the list of one patient.
pub const PAGE: &[&str] = &["limit", "after"];
/// What the server sets.
const READ_ONLY: &[&str] = &["id", "created_by", "assigned_at", "updated_at", "patient", "doctor"];

/// One doctor's care for one patient.
#[derive(Debug, Serialize)]
pub struct Mapping<'a> {
    id: i64,
    patient_id: i64,
    doctor_id: i64,
    notes: Option<&'a str>,
    /// Shown to admins only: for everyone else it is always the reader's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<i64>,
    assigned_at: Timestamp,
    updated_at: Timestamp,
    patient: PatientSummary<'a>,
    doctor: DoctorSummary<'a>,
    #[serde(skip)]
    version: String,
}

/// What a mapping shows of its patient.
#[derive(Debug, Serialize)]
pub struct PatientSummary<'a> {
    id: i64,
    name: &'a str,
}

/// What a mapping shows of its doctor.
#[derive(Debug, Serialize)]
pub struct DoctorSummary<'a> {
    id: i64,
    name: &'a str,
    specialization: &'a str,
    phone: Option<&'a str>,
    email: Option<&'a str>,
}

impl Mapping<'_> {
    fn from_row(row: &Row) -> Mapping<'_> {
        let (patient_id, doctor_id) = (row.get("patient_id"), row.get("doctor_id"));
        Mapping {
            id: row.get("id"),
            patient_id,
            doctor_id,
            notes: row.get("notes"),
            created_by: None,
            assigned_at: row.get("assigned_at"),
            updated_at: row.get("updated_at"),
            patient: PatientSummary { id: patient_id, name: row.get("patient_name") },
            doctor: DoctorSummary {
                id: doctor_id,
                name: row.get("doctor_name"),
                specialization: row.get("doctor_specialization"),
                phone: row.get("doctor_phone"),
                email: row.get("doctor_email"),
            },
            version: row.get("version"),
        }
    }

    fn with_owner(row: &Row) -> Mapping<'_> {
        Mapping { created_by: row.get("created_by"), ..Mapping::from_row(row) }
    }

    /// The path that names it.
    fn location(&self) -> String {
        format!("/api/patients/{}/mappings/{}", self.patient_id, self.id)
    }
}

impl Record for Mapping<'_> {
    const READS_OF: Option<Resource> = Some(Resource::Mapping);

    fn id(&self) -> i64 {
        self.id
    }

    fn version(&self) -> String {
        self.version.clone()
    }
}

/// The fields that a client writes, and their rules.
fn fields(mut form: Form) -> Result<Fields> {
    form.required("patient_id", record_id);
    form.required("doctor_id", record_id);
    form.optional("notes", lines(NOTES_MAX));
    form.finish(READ_ONLY)
}

/// `POST /api/mappings`: the patient must be the user's own, the doctor must exist, and the pair must be new.
pub fn create(app: &App, request: &Request, user: &User) -> Result<Response> {
    let fields = fields(request.new_record()?)?;
    let (patient_id, doctor_id) = (fields.integer("patient_id"), fields.integer("doctor_id"));
    let parameters: Parameters = &[
        &patient_id,
        &doctor_id,
        &fields.optional_text("notes"),
        &user.id,
        &user.session_id,
        &request.client,
        &request.id,
    ];
    once(app, request, user, Mapping::READS_OF, |db| {
        let row = db.query_one(&app.sql.mappings.create, parameters)?;
        both_found(&row)?;
        let mapping = Mapping::from_row(&row);
        Ok(created("Doctor assigned to patient", mapping.location(), &mapping))
    })
}

/// `GET /api/mappings`: those of the user's own patients.
pub fn list(read: &Read, user: &User) -> Result<Ask> {
    let mut query = read.request.query();
    let page = query.page("after");
    let (patient_id, doctor_id) = (query.id("patient_id"), query.id("doctor_id"));
    query.finish()?;
    let (sql, owner_id) = (read.sql, Some(user.id));
    let (after, rows_wanted) = (page.after.unwrap_or(0), page.rows_wanted());
    let mappings = match (patient_id, doctor_id) {
        (None, None) => Question::new(&sql.mappings.list, &[&owner_id, &after, &rows_wanted]),
        _ => Question::new(&sql.mappings.search, &[&owner_id, &after, &rows_wanted, &patient_id, &doctor_id]),
    }?;
    Ok(Ask::many(mappings, move |read, rows| {
        Ok(listed(read, "Mappings found", page, "after", &rows, Mapping::from_row))
    }))
}

/// `GET /api/mappings/{patient_id}` and `GET /api/patients/{patient_id}/mappings`: the doctors of one of the user's patients.
pub fn list_of_patient(read: &Read, user: &User) -> Result<Ask> {
    let patient_id = read.request.id("patient_id")?;
    let mut query = read.request.query();
    let page = query.page("after");
    query.finish()?;
    let parameters: Parameters = &[&user.id, &patient_id, &page.after.unwrap_or(0), &page.rows_wanted()];
    Ok(Ask::many(Question::new(&read.sql.mappings.list_of_patient, parameters)?, move |read, rows| {
        let first = rows.first().ok_or(Error::NotFound("Patient"))?;
        // For a patient without doctors there is one row, without a mapping.
        let rows = if first.get::<_, Option<i64>>("id").is_none() { &[] } else { rows.as_slice() };
        Ok(listed(read, "Doctors of the patient found", page, "after", rows, Mapping::from_row))
    }))
}

/// `GET /api/patients/{patient_id}/mappings/{id}`
pub fn find(read: &Read, user: &User) -> Result<Ask> {
    let (patient_id, id) = (read.request.id("patient_id")?, read.request.id("id")?);
    let mapping = Question::new(&read.sql.mappings.find, &[&id, &Some(user.id), &Some(patient_id)])?;
    Ok(Ask::one(mapping, |read, row| {
        let mapping = row.as_ref().map(Mapping::from_row).ok_or(Error::NotFound("Mapping"))?;
        Ok(found(read.request, "Mapping found", &mapping))
    }))
}

/// `PUT` and `PATCH /api/mappings/{id}`: changes the fields that are sent, under the rules of a new mapping.
pub fn update(app: &App, request: &Request, user: &User) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let fields = fields(request.changes()?)?;
    let (patient_id, doctor_id) = (fields.integer("patient_id"), fields.integer("doctor_id"));
    let parameters: Parameters =
        &[&id, &Some(user.id), &Json(&fields), &versions, &user.id, &user.session_id, &request.client, &request.id];
    let keys: Parameters = &[&id, &Some(user.id), &patient_id, &doctor_id];
    let mappings = &app.sql.mappings;
    let row =
        app.db.query_behind(&mappings.lock, keys, &mappings.update, parameters)?.ok_or(Error::NotFound("Mapping"))?;
    both_found(&row)?;
    matched(&row)?;
    Ok(updated("Mapping updated", &Mapping::from_row(&row)))
}

/// `DELETE /api/mappings/{id}`
pub fn delete(app: &App, request: &Request, user: &User) -> Result<Response> {
    delete_of(app, request, user, Some(user.id))
}

fn delete_of(app: &App, request: &Request, user: &User, owner_id: Option<i64>) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let parameters: Parameters = &[&id, &owner_id, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.query_opt(&app.sql.mappings.delete, parameters)?.ok_or(Error::NotFound("Mapping"))?;
    matched(&row)?;
    Ok(Response::deleted("Mapping deleted"))
}

fn both_found(row: &Row) -> Result<()> {
    if !row.get::<_, bool>("patient_found") {
        return Err(Error::NotFound("Patient"));
    }
    if row.get("doctor_found") { Ok(()) } else { Err(Error::NotFound("Doctor")) }
}

/// The same for an admin: mappings of all users.
pub mod admin {
    use super::*;

    /// `GET /api/admin/mappings`
    pub fn list(read: &Read, _admin: &Admin) -> Result<Ask> {
        let mut query = read.request.query();
        let page = query.page("after");
        let (patient_id, doctor_id) = (query.id("patient_id"), query.id("doctor_id"));
        let created_by = query.id("created_by");
        query.finish()?;
        let (sql, after, rows_wanted) = (read.sql, page.after.unwrap_or(0), page.rows_wanted());
        let mappings = match (created_by, patient_id, doctor_id) {
            (Some(owner), None, None) => Question::new(&sql.mappings.list, &[&owner, &after, &rows_wanted]),
            _ => Question::new(&sql.mappings.search, &[&created_by, &after, &rows_wanted, &patient_id, &doctor_id]),
        }?;
        Ok(Ask::many(mappings, move |read, rows| {
            Ok(listed(read, "Mappings found", page, "after", &rows, Mapping::with_owner))
        }))
    }

    /// `GET /api/admin/mappings/{id}`
    pub fn find(read: &Read, _admin: &Admin) -> Result<Ask> {
        let any: Option<i64> = None;
        let mapping = Question::new(&read.sql.mappings.find, &[&read.request.id("id")?, &any, &any])?;
        Ok(Ask::one(mapping, |read, row| {
            let mapping = row.as_ref().map(Mapping::with_owner).ok_or(Error::NotFound("Mapping"))?;
            Ok(found(read.request, "Mapping found", &mapping))
        }))
    }

    /// `DELETE /api/admin/mappings/{id}`
    pub fn delete(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
        delete_of(app, request, admin.user(), None)
    }
}
