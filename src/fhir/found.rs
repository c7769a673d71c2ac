//! A record that a search found: the resources that are made from it, and its place in an order.

use postgres::Row;

use super::bundle::{Bundle, Mode};
use super::care_team::{CareTeam, Team};
use super::document_reference::{self, DocumentReference};
use super::practitioner_role::PractitionerRole;
use super::tables::Kind;
use super::{names, patient, practitioner};
use crate::handlers::ask::Read;

pub enum Found<'a> {
    Patient(patient::Columns<'a>, Team<'a>),
    Doctor(practitioner::Columns<'a>),
}

impl<'a> Found<'a> {
    /// The record in this row of a search for this type.
    pub fn of(row: &'a Row, kind: Kind, with_team: bool) -> Found<'a> {
        match (kind.is_of_doctors(), with_team) {
            (true, _) => Found::Doctor(practitioner::Columns::of(row)),
            (false, true) => Found::Patient(patient::Columns::of(row), Team::of(row)),
            (false, false) => Found::Patient(patient::Columns::of(row), Team::unasked()),
        }
    }

    pub fn id(&self) -> i64 {
        match self {
            Found::Patient(patient, _) => patient.id,
            Found::Doctor(doctor) => doctor.id,
        }
    }

    /// The value by which a search for this type sorts it, unless that is the id.
    pub fn value(&self, sort: &str, kind: Kind) -> Option<String> {
        Some(match (sort, self) {
            ("name", Found::Patient(patient, _)) => patient.name.to_string(),
            ("name", Found::Doctor(doctor)) => doctor.name.to_string(),
            ("family", Found::Patient(patient, _)) => names::family(&patient.name),
            ("birthdate", Found::Patient(patient, _)) => patient.date_of_birth.to_string(),
            ("_lastUpdated", Found::Patient(patient, team)) if kind == Kind::CareTeam => {
                team.meta(patient).last_updated.to_string()
            }
            ("_lastUpdated", Found::Patient(patient, _)) => patient.updated_at.to_string(),
            ("_lastUpdated", Found::Doctor(doctor)) => doctor.updated_at.to_string(),
            _ => return None,
        })
    }

    /// Adds its resource of this type to the bundle, if it has one.
    pub fn show(&self, read: &Read, bundle: &mut Bundle, kind: Kind, mode: Mode) {
        let name = kind.table().name;
        match (kind, self) {
            (Kind::CareTeam, Found::Patient(patient, team)) => {
                if let Some(team) = CareTeam::of(patient, team) {
                    bundle.add(name, patient.id, &team, mode);
                }
            }
            (Kind::DocumentReference, Found::Patient(patient, _)) => {
                if let Some(document) = DocumentReference::of(patient) {
                    bundle.add(name, document_reference::id(patient.id), &document, mode);
                }
            }
            (_, Found::Patient(patient, _)) => {
                bundle.add(name, patient.id, &patient.patient(read.installation), mode);
            }
            (Kind::PractitionerRole, Found::Doctor(doctor)) => {
                bundle.add(name, doctor.id, &PractitionerRole::of(doctor), mode);
            }
            (_, Found::Doctor(doctor)) => {
                bundle.add(name, doctor.id, &doctor.practitioner(read.installation), mode);
            }
        }
    }
}
