//! Doctors: a directory that every user reads. An entry is changed by its creator or an admin.

use postgres::Row;
use postgres::types::Json;

use super::ask::{Ask, Read};
use super::creation::Creation;
use super::history::{Kept, deleted_id, was_deleted, with_mappings};
use super::listing::{Listing, SORTS, list_parameters};
use super::record::{Listed, RecordType, created, found, matched, updated};
use crate::app::App;
use crate::audit::Resource;
use crate::auth::{Actor, Owners, User};
use crate::db::Question;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::records;
use crate::request::Request;
use crate::sql::Parameters;

/// The query parameters of a list.
pub const FILTERS: &[&str] = list_parameters!("name", "specialization");
/// The query parameters of an admin's list.
pub const ADMIN_FILTERS: &[&str] = list_parameters!("name", "specialization", "created_by");
/// The query parameter of an admin's delete.
pub const CASCADE: &[&str] = &["cascade"];

/// One entry of the directory. Reads of it are not recorded.
pub static DOCTOR: RecordType =
    RecordType { fields: records::DOCTOR, version: "version", reads_of: None, for_admins: false };

/// `POST /api/doctors`
pub fn create(read: &Read, user: &User) -> Result<Creation> {
    let fields = read.request.new_record()?.record(records::DOCTOR)?;
    let question = Question::new(
        &read.sql.doctors.create,
        &[&Json(&fields), &user.id, &user.session_id, &read.request.client, &read.request.id],
    )?;
    Creation::new(read.request, question, &DOCTOR, |row| {
        let doctor = DOCTOR.of(row);
        Ok(created("Doctor created", format!("/api/doctors/{}", doctor.id()), &doctor))
    })
}

/// `GET /api/doctors`: the whole directory. An admin can filter by the creator of an entry.
pub fn list(read: &Read, _actor: &impl Actor) -> Result<Ask> {
    let mut query = read.request.query();
    let created_by = query.id("created_by");
    let listing = Listing::read(read, &mut query, records::DOCTOR, SORTS);
    let (name, specialization) = (query.part("name"), query.part("specialization"));
    query.finish()?;
    let (doctors, rows_wanted, words) = (&read.sql.doctors, listing.page.rows_wanted(), &listing.words);
    let is_quick = created_by.is_none() && name.is_none() && specialization.is_none() && listing.is_quick();
    let page = if is_quick {
        Question::new(&doctors.list, &[&listing.after, &rows_wanted])
    } else {
        let Listing { sort, after, after_value, .. } = &listing;
        let parameters: Parameters =
            &[&created_by, sort, after, after_value, &rows_wanted, &name, &specialization, words];
        Question::new(&doctors.search, parameters)
    }?;
    let count = || Question::new(&doctors.count, &[&created_by, &name, &specialization, words]);
    let count = listing.count.then(count).transpose()?;
    Ok(Ask::page(page, count, move |read, rows, total| {
        Ok(listing.answer(read, "Doctors found", &DOCTOR, &rows, total))
    }))
}

/// `GET /api/doctors/{id}`
pub fn find(read: &Read, _actor: &impl Actor) -> Result<Ask> {
    let doctor = Question::new(&read.sql.doctors.find, &[&read.request.id("id")?])?;
    Ok(Ask::one(doctor, |read, row| {
        let row = row.ok_or(Error::NotFound("Doctor"))?;
        Ok(found(read.request, "Doctor found", &DOCTOR.of(&row)))
    }))
}

/// `PUT` and `PATCH /api/doctors/{id}`: changes the fields that are sent; another user's entry is 403.
pub fn update(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let (id, versions, user) = (request.id("id")?, request.if_match()?, actor.user());
    let fields = Json(request.changes()?.record(records::DOCTOR)?);
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
    Ok(updated("Doctor updated", &DOCTOR.of(&row)))
}

/// `DELETE /api/doctors/{id}`: refused while the doctor is assigned to a patient, unless an admin removes the mappings as well, with
/// `?cascade=true`.
pub fn delete(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let mut query = request.query();
    let cascade = query.truth("cascade").unwrap_or(false);
    query.finish()?;
    let (id, versions, user) = (request.id("id")?, request.if_match()?, actor.user());
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

/// `POST /api/doctors/{id}/undelete`: the mappings that went with the doctor come back if their patients exist.
pub fn undelete(app: &App, request: &Request, actor: &impl Actor) -> Result<Response> {
    let user = actor.user();
    let parameters: Parameters =
        &[&deleted_id(request)?, &user.owner_unless_admin(), &user.id, &user.session_id, &request.client, &request.id];
    let row = app.db.query_opt(&app.sql.doctors.undelete, parameters)?.ok_or(Error::NotFound("Doctor"))?;
    allowed(&row)?;
    was_deleted(&row, "The doctor is not deleted")?;
    Ok(updated(&with_mappings("Doctor", &row), &DOCTOR.of(&row)))
}

/// Their history.
pub enum History {}

impl Kept for History {
    const RESOURCE: Resource = Resource::Doctor;
    const NAME: &'static str = "Doctor";

    /// Colleagues read every doctor that there is, and none of each other's that are deleted.
    fn owners(actor: &impl Actor) -> Owners {
        actor.alone()
    }

    fn record_type(_for_admins: bool) -> &'static RecordType {
        &DOCTOR
    }
}

fn allowed(row: &Row) -> Result<()> {
    if row.get("allowed") {
        Ok(())
    } else {
        Err(Error::Forbidden("Only the creator of this doctor or an admin may do this"))
    }
}
