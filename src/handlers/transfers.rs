//! Transfers: an admin hands a patient, or all patients of a user, over to another user.

use serde::Serialize;

use super::record::{RecordType, matched, updated};
use crate::app::App;
use crate::auth::{Actor, Admin};
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::records;
use crate::request::Request;
use crate::sql::Parameters;
use crate::validate::record_id;

/// The patient in an answer, which nobody asked to see.
static MOVED: RecordType =
    RecordType { fields: records::PATIENT, version: "version", reads_of: None, for_admins: false };

/// How many patients move in one transaction: few enough for its time limit.
const AT_ONCE: i64 = 500;

/// How many patients of a user have moved, without the deleted ones.
#[derive(Serialize)]
struct Moved {
    patients: i64,
}

/// `POST /api/admin/patients/{id}/transfer`: the mappings go with the patient, and shares end that their maker could not make any more.
pub fn patient(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
    let (id, versions, user) = (request.id("id")?, request.if_match()?, admin.user());
    let to = receiver(request)?;
    let parameters: Parameters = &[&id, &to, &versions, &user.id, &user.session_id, &request.client, &request.id];
    let (transfers, owners) = (&app.sql.transfers, admin.owners());
    let (lock, change) = (owners.ask(&transfers.lock, &[&id, &to])?, owners.ask(&transfers.patient, parameters)?);
    let row = app.db.transaction(&change.query, |transaction| {
        transaction.answer(&lock)?;
        let row = transaction.answer(&change)?.pop().ok_or(Error::NotFound("Patient"))?;
        accepted(row.get("refused"))?;
        matched(&row)?;
        transaction.query_opt(&app.sql.grants.end_lost, &[&vec![row.get::<_, i64>("from_id"), to]])?;
        Ok(row)
    })?;
    Ok(updated("Patient transferred", &MOVED.of(&row)))
}

/// `POST /api/admin/users/{id}/transfer`: all patients of the user and those that were deleted, some in each transaction. It can be sent again
/// if it ends half way. The user may go on to register patients.
pub fn user(app: &App, request: &Request, admin: &Admin) -> Result<Response> {
    let (id, user) = (request.id("id")?, admin.user());
    let to = receiver(request)?;
    let parameters: Parameters = &[&id, &to, &AT_ONCE, &user.id, &user.session_id, &request.client, &request.id];
    let mut moved = Moved { patients: 0 };
    loop {
        let change = admin.owners().ask(&app.sql.transfers.some_of_user, parameters)?;
        let (patients, more) = app.db.transaction(&change.query, |transaction| {
            transaction.query_many(&app.sql.transfers.lock_users, &[&id, &to])?;
            let mut some = || {
                let row = transaction.answer(&change)?.pop().ok_or(Error::NotFound("User"))?;
                accepted(row.get("refused"))?;
                Ok((row.get::<_, i64>("patients"), row.get::<_, i64>("found") == AT_ONCE))
            };
            let (mut patients, more) = some()?;
            if !more {
                // The last look: what was deleted during the one before.
                patients += some()?.0;
            }
            transaction.query_opt(&app.sql.grants.end_lost, &[&vec![id, to]])?;
            Ok((patients, more))
        })?;
        moved.patients += patients;
        if !more {
            return Ok(Response::updated("Patients transferred", moved));
        }
    }
}

fn receiver(request: &Request) -> Result<i64> {
    let mut form = request.new_record()?;
    form.required("to", record_id);
    form.finish(&[]).map(|fields| fields.integer("to").unwrap_or_default())
}

fn accepted(refused: Option<&str>) -> Result<()> {
    match refused {
        None => Ok(()),
        Some("unknown") => Err(Error::NotFound("User")),
        Some("disabled") => Err(Error::Conflict("A disabled user gets no patients".into())),
        Some(_) => Err(Error::Conflict("This user is the owner already".into())),
    }
}
