//! CareTeam: the doctors of one patient, under the patient's id. A patient without doctors has none.
//!
//! | CareTeam | from |
//! |---|---|
//! | `status`, `subject` | `active`; the patient's id and name |
//! | `participant[]` | one a mapping, under its id: the doctor, the specialization as `role`, `assigned_at` as `period.start` |
//! | `note[]` | the notes of a mapping, under its id, with its `updated_at` |
//! | `meta.versionId` | made of the versions of the patient, the mappings and the doctors |
//! | `meta.lastUpdated` | when one of them last changed |

use std::borrow::Cow;

use jiff::Timestamp;
use postgres::Row;
use postgres::types::Json;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::datatypes::{CodeableConcept, Meta, Reference, shown};
use super::shape::Shape;
use super::{answer, patient, practitioner};
use crate::audit::Resource;
use crate::auth::{Actor, User};
use crate::envelope::{Response, Shown};
use crate::error::{Error, Result};
use crate::handlers::ask::{Ask, Read};

/// The columns of a mapping that FHIR shows, with those of its doctor.
#[derive(Deserialize)]
pub struct Member<'a> {
    id: i64,
    notes: Option<Cow<'a, str>>,
    version: i64,
    assigned_at: Timestamp,
    updated_at: Timestamp,
    pub doctor: practitioner::Columns<'a>,
}

#[derive(Serialize)]
#[serde(tag = "resourceType")]
pub struct CareTeam<'a> {
    id: String,
    meta: Meta,
    status: &'static str,
    subject: Reference<'a>,
    participant: Vec<Participant<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    note: Vec<Note<'a>>,
}

#[derive(Serialize)]
struct Participant<'a> {
    id: String,
    role: [CodeableConcept<'a>; 1],
    member: Reference<'a>,
    period: Period,
}

#[derive(Serialize)]
struct Period {
    start: Timestamp,
}

#[derive(Serialize)]
struct Note<'a> {
    id: String,
    text: Cow<'a, str>,
    time: Timestamp,
}

/// The doctors of a patient, as a row has them.
pub struct Team<'a> {
    pub members: Vec<Member<'a>>,
    changed_at: Option<Timestamp>,
}

impl<'a> Team<'a> {
    /// The columns `team` and `team_changed_at`.
    pub fn of(row: &'a Row) -> Team<'a> {
        let members = row.get::<_, Option<Json<Vec<Member>>>>("team").map_or_else(Vec::new, |Json(members)| members);
        Team { members, changed_at: row.get("team_changed_at") }
    }

    /// A team that was not asked for.
    pub fn unasked() -> Team<'a> {
        Team { members: Vec::new(), changed_at: None }
    }

    /// The version of the team of this patient.
    pub fn meta(&self, patient: &patient::Columns) -> Meta {
        let of_member = |member: &Member| {
            [format!("m{}.{}", member.id, member.version), format!("d{}.{}", member.doctor.id, member.doctor.version)]
        };
        let mut versions: Vec<String> = self.members.iter().flat_map(of_member).collect();
        versions.push(format!("p{}.{}", patient.id, patient.version));
        versions.sort_unstable();
        let digest = Sha256::digest(versions.join(","));
        Meta {
            version_id: digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
            last_updated: self.changed_at.unwrap_or(patient.updated_at),
        }
    }
}

impl<'a> CareTeam<'a> {
    /// The team of this patient; `None` if there is none.
    pub fn of(patient: &'a patient::Columns, team: &'a Team) -> Option<CareTeam<'a>> {
        let participant = |member: &'a Member| Participant {
            id: member.id.to_string(),
            role: [CodeableConcept::words(&member.doctor.specialization)],
            member: member.doctor.reference(),
            period: Period { start: member.assigned_at },
        };
        let note = |member: &'a Member| {
            let text = member.notes.as_deref().and_then(shown)?;
            Some(Note { id: member.id.to_string(), text, time: member.updated_at })
        };
        (!team.members.is_empty()).then(|| CareTeam {
            id: patient.id.to_string(),
            meta: team.meta(patient),
            status: "active",
            subject: patient.reference(),
            participant: team.members.iter().map(participant).collect(),
            note: team.members.iter().filter_map(note).collect(),
        })
    }
}

/// `GET /fhir/R4/CareTeam/{id}`
pub fn read(read: &Read, user: &User) -> Result<Ask> {
    let shape = Shape::of_read(read)?;
    find(read, user, move |read, patient, team| {
        let resource = CareTeam::of(&patient, &team).ok_or(Error::NoRoute)?;
        Ok(answer::resource(read.request, &shape, &resource, &team.meta(&patient)))
    })
}

/// Asks for the patient in the path and the team; `answer` makes a resource or a bundle of them.
pub fn find(
    read: &Read,
    user: &User,
    answer: impl FnOnce(&Read, patient::Columns, Team) -> Result<Response> + Send + 'static,
) -> Result<Ask> {
    let id = answer::id(read.request)?;
    let team = user.owners().ask(&read.sql.fhir.team, &[&id])?;
    Ok(Ask::one(team, move |read, row| {
        let row = row.ok_or(Error::NoRoute)?;
        Ok(answer(read, patient::Columns::of(&row), Team::of(&row))?.showing(Shown::Record(Resource::Patient, id)))
    }))
}
