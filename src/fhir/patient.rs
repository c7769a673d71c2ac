//! Patient: one of our patients.
//!
//! | Patient | from |
//! |---|---|
//! | `id`, `active` | the id; always true |
//! | `identifier[0]` | `MR`, the system of the installation, the id |
//! | `name[0]` | the name, and its parts ([`super::names`]) |
//! | `telecom` | phone and e-mail |
//! | `gender`, `birthDate` | gender and date of birth |
//! | `address[0].text` | the address |

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use postgres::Row;
use serde::{Deserialize, Serialize};

use super::datatypes::{Address, ContactPoint, Identifier, Meta, Reference, shown, telecom};
use super::shape::Shape;
use super::{answer, names};
use crate::audit::Resource;
use crate::auth::{Actor, User};
use crate::db;
use crate::envelope::{Response, Shown};
use crate::error::Result;
use crate::handlers::ask::{Ask, Read};

/// The columns of a patient that FHIR shows.
#[derive(Deserialize)]
pub struct Columns<'a> {
    pub id: i64,
    pub name: Cow<'a, str>,
    pub date_of_birth: Date,
    gender: Cow<'a, str>,
    phone: Option<Cow<'a, str>>,
    email: Option<Cow<'a, str>>,
    address: Option<Cow<'a, str>>,
    pub medical_history: Option<Cow<'a, str>>,
    pub version: i64,
    pub updated_at: Timestamp,
}

#[derive(Serialize)]
#[serde(tag = "resourceType", rename_all = "camelCase")]
pub struct Patient<'a> {
    id: String,
    meta: Meta,
    identifier: [Identifier<'a>; 1],
    active: bool,
    #[serde(serialize_with = "names::of_patient")]
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    telecom: Vec<ContactPoint<'a>>,
    gender: &'a str,
    birth_date: Date,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<[Address<'a>; 1]>,
}

impl<'a> Columns<'a> {
    /// The columns of this row.
    pub fn of(row: &'a Row) -> Columns<'a> {
        let mut row = db::Columns::of(row);
        let text = |text: Option<&'a str>| text.map(Cow::from);
        Columns {
            id: row.get("id"),
            name: row.get::<&str>("name").into(),
            date_of_birth: row.get("date_of_birth"),
            gender: row.get::<&str>("gender").into(),
            phone: text(row.get("phone")),
            email: text(row.get("email")),
            address: text(row.get("address")),
            medical_history: text(row.get("medical_history")),
            version: row.get("version"),
            updated_at: row.get("updated_at"),
        }
    }

    /// The version of a resource that shows these columns and nothing else.
    pub fn meta(&self) -> Meta {
        Meta::of(self.version, self.updated_at)
    }

    /// The reference to this patient in other resources.
    pub fn reference(&self) -> Reference<'_> {
        Reference { reference: format!("Patient/{}", self.id), display: shown(&self.name) }
    }

    /// The resource.
    pub fn patient(&'a self, installation: &'a str) -> Patient<'a> {
        Patient {
            id: self.id.to_string(),
            meta: self.meta(),
            identifier: [Identifier::usual("MR", installation, self.id.to_string())],
            active: true,
            name: &self.name,
            telecom: telecom(self.phone.as_deref(), self.email.as_deref()),
            gender: &self.gender,
            birth_date: self.date_of_birth,
            address: self.address.as_deref().and_then(shown).map(|text| [Address { text }]),
        }
    }
}

/// `GET /fhir/R4/Patient/{id}`
pub fn read(read: &Read, user: &User) -> Result<Ask> {
    find(read, user, answer::id(read.request)?, |read, shape, patient| {
        Ok(answer::resource(read.request, shape, &patient.patient(read.installation), &patient.meta()))
    })
}

/// Asks for one patient; `answer` makes the resource.
pub fn find(
    read: &Read,
    user: &User,
    id: i64,
    answer: impl FnOnce(&Read, &Shape, &Columns) -> Result<Response> + Send + 'static,
) -> Result<Ask> {
    let shape = Shape::of_read(read)?;
    let owners = user.owners();
    let patient = owners.ask_for_patient(read.sql, id)?;
    let missing = move |read: &Read| answer::missing(read, &owners, Resource::Patient, id);
    Ok(Ask::some_or(patient, missing, move |read, row, _| {
        Ok(answer(read, &shape, &Columns::of(row))?.showing(Shown::Record(Resource::Patient, id)))
    }))
}
