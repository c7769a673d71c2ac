//! Patients. Each user sees and changes only their own; an admin, through the same handlers below `/api/admin`, all.

use postgres::types::Json;

use super::ask::{Ask, Read};
use super::creation::Creation;
use super::history::{Kept, deleted_id, was_deleted, with_mappings};
use super::listing::{self, Listing, list_parameters};
use super::record::{Listed, RecordType, allowed, created, found, matched, updated};
use crate::app::App;
use crate::audit::Resource;
use crate::auth::{Actor, Owners, User};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::records::{self, GENDERS};
use crate::request::Request;
use crate::sql::Parameters;

/// The query parameters of a list.
pub const FILTERS: &[&str] = list_parameters!("name", "gender", "date_of_birth", "created_by");
/// The orders of a list.
pub const SORTS: &[&str] = &[listing::SORTS[0], listing::SORTS[1], listing::SORTS[2], "date_of_birth"];

/// A patient.
pub static PATIENT: RecordType =
    RecordType { fields: records::PATIENT, version: "version", reads_of: Some(Resource::Patient), for_admins: false };

/// `POST /api/patients`: the new patient belongs to the user.
pub fn create(read: &Read, user: &User) -> Result<Creation> {
    let fields = read.request.new_record()?.record(records::PATIENT)?;
    let question = Question::new(
        &read.sql.patients.create,
        &[&Json(&fields), &user.id, &user.session_id, &read.request.client, &read.request.id],
    )?;
    Creation::new(read.request, question, &PATIENT, |row| {
        let patient = PATIENT.of(row);
        Ok(created("Patient created", format!("/api/patients/{}", patient.id()), &patient))
    })
}

/// `GET /api/patients`: the patients of the user and of the user's colleagues, or, below `/api/admin`, of everybody.
pub fn list(read: &Read, actor: &impl Actor) -> Result<Ask> {
    let mut query = read.request.query();
    let listing = Listing::read(read, &mut query, records::PATIENT, SORTS);
    let (name, gender, born) = (query.part("name"), query.one_of("gender", GENDERS), query.birth_date("date_of_birth"));
    let owners = actor.owners().only(query.id("created_by"));
    query.finish()?;
    let (patients, rows_wanted, words) = (&read.sql.patients, listing.page.rows_wanted(), &listing.words);
    let is_quick = name.is_none() && gender.is_none() && born.is_none() && listing.is_quick() && owners.are_few();
    let page = if is_quick {
        let list = if owners.is_one() { &patients.list } else { &patients.list_of_several };
        owners.ask(list, &[&listing.after, &rows_wanted])
    } else {
        let Listing { sort, after, after_value, .. } = &listing;
        let parameters: Parameters = &[sort, after, after_value, &rows_wanted, &name, &gender, &born, words];
        owners.ask(&patients.search, parameters)
    }?;
    let count = || owners.ask(&patients.count, &[&name, &gender, &born, words]);
    let count = listing.count.then(count).transpose()?;
    Ok(Ask::page(page, count, move |read, rows, total| {
        Ok(listing.answer(read, "Patients found", &PATIENT, &rows, total))
    }))
}

/// `GET /api/patients/{id}`: a patient of another user is reported as missing, because 403 would confirm that there is one.
pub fn find(read: &Read, actor: &impl Actor) -> Result<Ask> {
    Ok(Ask::one(actor.owners().ask_for_patient(read.sql, read.request.id("id")?)?, |read, row| {
        let row = row.ok_or(Error::NotFound("Patient"))?;
        Ok(found(read.request, "Patient found", &PATIENT.of(&row)))
    }))
}

/// `PUT` and `PATCH /api/patients/{id}`: changes the fields that are sent.
pub fn update(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (user, owners) = (actor.user(), actor.owners());
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let fields = Json(request.changes()?.record(records::PATIENT)?);
    let parameters: Parameters = &[&id, &fields, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.answer(&owners.ask(&app.sql.patients.update, parameters)?)?.pop();
    let row = row.ok_or(Error::NotFound("Patient"))?;
    allowed(&row)?;
    matched(&row)?;
    Ok(updated("Patient updated", &PATIENT.of(&row)))
}

/// `DELETE /api/patients/{id}`: the patient's mappings go as well.
pub fn delete(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (user, owners) = (actor.user(), actor.owners());
    let (id, versions) = (request.id("id")?, request.if_match()?);
    let parameters: Parameters = &[&id, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let patients = &app.sql.patients;
    let row = app.db.answer_behind(&owners.ask(&patients.lock, &[&id])?, &owners.ask(&patients.delete, parameters)?)?;
    let row = row.ok_or(Error::NotFound("Patient"))?;
    allowed(&row)?;
    matched(&row)?;
    Ok(Response::deleted("Patient deleted"))
}

/// `POST /api/patients/{id}/undelete`: the mappings that went with the patient come back if their doctors exist.
pub fn undelete(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (user, owners) = (actor.user(), actor.owners());
    let parameters: Parameters = &[&deleted_id(request)?, &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.answer(&owners.ask(&app.sql.patients.undelete, parameters)?)?.pop();
    let row = row.ok_or(Error::NotFound("Patient"))?;
    allowed(&row)?;
    was_deleted(&row, "The patient is not deleted")?;
    Ok(updated(&with_mappings("Patient", &row), &PATIENT.of(&row)))
}

/// Their history.
pub enum History {}

impl Kept for History {
    const RESOURCE: Resource = Resource::Patient;
    const NAME: &'static str = "Patient";

    fn owners(actor: &impl Actor) -> Owners {
        actor.owners()
    }

    fn record_type(_for_admins: bool) -> &'static RecordType {
        &PATIENT
    }
}
