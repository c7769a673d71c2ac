//! Practitioner: one entry of the directory of doctors. Login accounts are not Practitioners.
//!
//! | Practitioner | from |
//! |---|---|
//! | `id`, `active` | the id; always true |
//! | `identifier[0]` | `MD` and the licence number; without one `PRN` and the id |
//! | `name[0]` | the name, and its parts ([`super::names`]); leading titles are its `prefix` |
//! | `telecom` | phone and e-mail |
//! | `qualification[0]` | the specialization, and the licence number |

use std::borrow::Cow;

use jiff::Timestamp;
use postgres::Row;
use serde::{Deserialize, Serialize};

use super::datatypes::{CodeableConcept, ContactPoint, Identifier, Meta, Reference, shown, telecom};
use super::shape::Shape;
use super::{answer, names};
use crate::audit::Resource;
use crate::auth::{self, Actor, Owners, User};
use crate::db::{self, Question};
use crate::envelope::Response;
use crate::error::Result;
use crate::handlers::ask::{Ask, Read};

/// The columns of a doctor that FHIR shows.
#[derive(Deserialize)]
pub struct Columns<'a> {
    pub id: i64,
    pub name: Cow<'a, str>,
    pub specialization: Cow<'a, str>,
    pub phone: Option<Cow<'a, str>>,
    pub email: Option<Cow<'a, str>>,
    license_number: Option<Cow<'a, str>>,
    pub version: i64,
    pub updated_at: Timestamp,
}

#[derive(Serialize)]
#[serde(tag = "resourceType")]
pub struct Practitioner<'a> {
    id: String,
    meta: Meta,
    identifier: [Identifier<'a>; 1],
    active: bool,
    #[serde(serialize_with = "names::of_doctor")]
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    telecom: Vec<ContactPoint<'a>>,
    qualification: [Qualification<'a>; 1],
}

#[derive(Serialize)]
struct Qualification<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<[Identifier<'a>; 1]>,
    code: CodeableConcept<'a>,
}

/// The system of licence numbers.
pub fn licences(installation: &str) -> String {
    format!("{installation}#license")
}

impl<'a> Columns<'a> {
    /// The columns of this row.
    pub fn of(row: &'a Row) -> Columns<'a> {
        let mut row = db::Columns::of(row);
        let text = |text: Option<&'a str>| text.map(Cow::from);
        Columns {
            id: row.get("id"),
            name: row.get::<&str>("name").into(),
            specialization: row.get::<&str>("specialization").into(),
            phone: text(row.get("phone")),
            email: text(row.get("email")),
            license_number: text(row.get("license_number")),
            version: row.get("version"),
            updated_at: row.get("updated_at"),
        }
    }

    /// The version of a resource that shows these columns and nothing else.
    pub fn meta(&self) -> Meta {
        Meta::of(self.version, self.updated_at)
    }

    /// The reference to this doctor in other resources.
    pub fn reference(&self) -> Reference<'_> {
        Reference { reference: format!("Practitioner/{}", self.id), display: shown(&self.name) }
    }

    /// The resource.
    pub fn practitioner(&'a self, installation: &'a str) -> Practitioner<'a> {
        let licence = || {
            let number = self.license_number.as_deref().and_then(shown)?;
            Some(Identifier::usual("MD", licences(installation), number))
        };
        let record = || Identifier::usual("PRN", installation, self.id.to_string());
        Practitioner {
            id: self.id.to_string(),
            meta: self.meta(),
            identifier: [licence().unwrap_or_else(record)],
            active: true,
            name: &self.name,
            telecom: telecom(self.phone.as_deref(), self.email.as_deref()),
            qualification: [Qualification {
                identifier: licence().map(|licence| [licence]),
                code: CodeableConcept::words(&self.specialization),
            }],
        }
    }
}

/// `GET /fhir/R4/Practitioner/{id}`
pub fn read(read: &Read, user: &User) -> Result<Ask> {
    find(read, user, |read, shape, doctor| {
        answer::resource(read.request, shape, &doctor.practitioner(read.installation), &doctor.meta())
    })
}

/// Who sees that a doctor was deleted: the creator and admins.
pub fn owners_if_deleted(user: &User) -> Owners {
    auth::admin(user.clone()).map_or_else(|_| user.alone(), |admin| admin.owners())
}

/// Asks for one doctor; `answer` makes the resource.
pub fn find(
    read: &Read,
    user: &User,
    answer: impl FnOnce(&Read, &Shape, &Columns) -> Response + Send + 'static,
) -> Result<Ask> {
    let shape = Shape::of_read(read)?;
    let (id, owners) = (answer::id(read.request)?, owners_if_deleted(user));
    let missing = move |read: &Read| answer::missing(read, &owners, Resource::Doctor, id);
    let doctor = Question::new(&read.sql.doctors.find, &[&id])?;
    Ok(Ask::some_or(doctor, missing, move |read, row, _| Ok(answer(read, &shape, &Columns::of(row)))))
}
