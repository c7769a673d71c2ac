//! Mappings: which doctors care for which patient. They belong to the owner of the patient.

use postgres::Row;
use postgres::types::Json;

use super::ask::{Ask, Read};
use super::creation::Creation;
use super::history::{Kept, deleted_id, was_deleted};
use super::listing::Listing;
use super::record::{RecordType, allowed, created, found, matched, updated};
use crate::app::App;
use crate::audit::Resource;
use crate::auth::{Actor, Owners, User};
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::records;
use crate::request::Request;
use crate::sql::Parameters;

/// The query parameters of a list.
pub const FILTERS: &[&str] = &["limit", "after", "patient_id", "doctor_id"];
/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = &["limit", "after", "patient_id", "doctor_id", "created_by"];
/// The query parameters of the list of one patient.
pub const PAGE: &[&str] = &["limit", "after"];

/// One doctor's care for one patient. It shows parts of both, so its version is made of all three.
pub static MAPPING: RecordType =
    RecordType { fields: records::MAPPING, version: "versions", reads_of: Some(Resource::Mapping), for_admins: false };
/// The same as an admin sees it.
pub static ADMIN_MAPPING: RecordType = RecordType { for_admins: true, ..MAPPING };

/// `POST /api/mappings`: the patient must be the user's own, the doctor must exist, and the pair must be new.
pub fn create(read: &Read, user: &User) -> Result<Creation> {
    let fields = read.request.new_record()?.record(records::MAPPING)?;
    let parameters: Parameters = &[&Json(&fields), &user.id, &user.session_id, &read.request.client, &read.request.id];
    Creation::new(read.request, user.owners().ask(&read.sql.mappings.create, parameters)?, &MAPPING, |row| {
        both_found(row)?;
        let location =
            format!("/api/patients/{}/mappings/{}", row.get::<_, i64>("patient_id"), row.get::<_, i64>("id"));
        Ok(created("Doctor assigned to patient", location, &MAPPING.of(row)))
    })
}

/// `GET /api/mappings`: those of the patients of the user and of the user's colleagues, or, below `/api/admin`, of everybody.
pub fn list(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let mut query = read.request.query();
    let listing = Listing::plain(query.page("after"));
    let (patient_id, doctor_id) = (query.id("patient_id"), query.id("doctor_id"));
    let (owners, record_type) = (actor.owners().only(query.id("created_by")), shown_to(actor));
    query.finish()?;
    let (mappings, after, rows_wanted) = (&read.sql.mappings, listing.after, listing.page.rows_wanted());
    let page = if patient_id.is_none() && doctor_id.is_none() && listing.is_quick() && owners.are_few() {
        let list = if owners.is_one() { &mappings.list } else { &mappings.list_of_several };
        owners.ask(list, &[&after, &rows_wanted])
    } else {
        owners.ask(&mappings.search, &[&after, &rows_wanted, &patient_id, &doctor_id])
    }?;
    Ok(Ask::many(page, move |read, rows| Ok(listing.answer(read, "Mappings found", record_type, &rows, None))))
}

/// `GET /api/mappings/{patient_id}` and `GET /api/patients/{patient_id}/mappings`: the doctors of one of the user's patients.
pub fn list_of_patient(read: &Read, user: &User) -> Result<Ask> {
    let patient_id = read.request.id("patient_id")?;
    let mut query = read.request.query();
    let page = query.page("after");
    query.finish()?;
    let parameters: Parameters = &[&patient_id, &page.after.unwrap_or(0), &page.rows_wanted()];
    Ok(Ask::many(user.owners().ask(&read.sql.mappings.list_of_patient, parameters)?, move |read, rows| {
        let first = rows.first().ok_or(Error::NotFound("Patient"))?;
        // For a patient without doctors there is one row, without a mapping.
        let rows = if first.get::<_, Option<i64>>("id").is_none() { &[] } else { rows.as_slice() };
        Ok(Listing::plain(page).answer(read, "Doctors of the patient found", &MAPPING, rows, None))
    }))
}

/// `GET /api/patients/{patient_id}/mappings/{id}`, for an admin without the patient.
pub fn find(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let (patient_id, id) = (read.request.optional_id("patient_id")?, read.request.id("id")?);
    let (mapping, record_type) = (actor.owners().ask(&read.sql.mappings.find, &[&id, &patient_id])?, shown_to(actor));
    Ok(Ask::one(mapping, |read, row| {
        let row = row.filter(|row| row.get::<_, Option<i64>>("id").is_some()).ok_or(Error::NotFound("Mapping"))?;
        Ok(found(read.request, "Mapping found", &record_type.of(&row)))
    }))
}

/// `PUT` and `PATCH /api/mappings/{id}`: changes the fields that are sent, under the rules of a new mapping.
pub fn update(app: &App, request: &Request, user: &User) -> Result<Response> {
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let fields = request.changes()?.record(records::MAPPING)?;
    let (patient_id, doctor_id) = (fields.integer("patient_id"), fields.integer("doctor_id"));
    let parameters: Parameters =
        &[&id, &Json(&fields), &versions, &user.id, &user.session_id, &request.client, &request.id];
    let (mappings, owners) = (&app.sql.mappings, user.owners());
    let lock = owners.ask(&mappings.lock, &[&id, &patient_id, &doctor_id])?;
    let row = app.db.answer_behind(&lock, &owners.ask(&mappings.update, parameters)?)?;
    let row = row.ok_or(Error::NotFound("Mapping"))?;
    both_found(&row)?;
    matched(&row)?;
    Ok(updated("Mapping updated", &MAPPING.of(&row)))
}

/// `DELETE /api/mappings/{id}`
pub fn delete(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (user, owners) = (actor.user(), actor.owners());
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let parameters: Parameters = &[&id, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.answer(&owners.ask(&app.sql.mappings.delete, parameters)?)?.pop();
    let row = row.ok_or(Error::NotFound("Mapping"))?;
    allowed(&row)?;
    matched(&row)?;
    Ok(Response::deleted("Mapping deleted"))
}

/// `POST /api/mappings/{id}/undelete`: while the patient and the doctor exist.
pub fn undelete(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (user, owners) = (actor.user(), actor.owners());
    let parameters: Parameters = &[&deleted_id(request)?, &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.answer(&owners.ask(&app.sql.mappings.undelete, parameters)?)?.pop();
    let row = row.ok_or(Error::NotFound("Mapping"))?;
    allowed(&row)?;
    was_deleted(&row, "The mapping is not deleted")?;
    for (found, refusal) in [
        ("patient_found", "The patient of this mapping is deleted"),
        ("doctor_found", "The doctor of this mapping is deleted"),
    ] {
        if !row.get::<_, bool>(found) {
            return Err(Error::Conflict(refusal.into()));
        }
    }
    Ok(updated("Mapping brought back", &shown_to(actor).of(&row)))
}

/// Their history.
pub enum History {}

impl Kept for History {
    const RESOURCE: Resource = Resource::Mapping;
    const NAME: &'static str = "Mapping";

    fn owners(actor: &impl Actor) -> Owners {
        actor.owners()
    }

    fn record_type(for_admins: bool) -> &'static RecordType {
        if for_admins { &ADMIN_MAPPING } else { &MAPPING }
    }
}

fn shown_to(actor: &impl Actor) -> &'static RecordType {
    History::record_type(actor.owners().are_everybody())
}

fn both_found(row: &Row) -> Result<()> {
    allowed(row)?;
    if !row.get::<_, bool>("patient_found") {
        return Err(Error::NotFound("Patient"));
    }
    if row.get("doctor_found") { Ok(()) } else { Err(Error::NotFound("Doctor")) }
}
