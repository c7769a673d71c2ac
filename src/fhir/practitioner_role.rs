//! PractitionerRole: a doctor's specialization, from the same entry of the directory as the Practitioner and under the same id.
//!
//! | PractitionerRole | from |
//! |---|---|
//! | `id`, `active`, `meta`, `telecom` | as the Practitioner |
//! | `practitioner` | the doctor's id and name |
//! | `code[0].text`, `specialty[0].text` | the specialization |

use serde::Serialize;

use super::answer;
use super::datatypes::{CodeableConcept, ContactPoint, Meta, Reference, telecom};
use super::practitioner::{self, Columns};
use crate::auth::User;
use crate::error::Result;
use crate::handlers::ask::{Ask, Read};

#[derive(Serialize)]
#[serde(tag = "resourceType")]
pub struct PractitionerRole<'a> {
    id: String,
    meta: Meta,
    active: bool,
    practitioner: Reference<'a>,
    code: [CodeableConcept<'a>; 1],
    specialty: [CodeableConcept<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    telecom: Vec<ContactPoint<'a>>,
}

impl<'a> PractitionerRole<'a> {
    /// The role of this doctor.
    pub fn of(doctor: &'a Columns) -> PractitionerRole<'a> {
        let specialization = || [CodeableConcept::words(&doctor.specialization)];
        PractitionerRole {
            id: doctor.id.to_string(),
            meta: doctor.meta(),
            active: true,
            practitioner: doctor.reference(),
            code: specialization(),
            specialty: specialization(),
            telecom: telecom(doctor.phone.as_deref(), doctor.email.as_deref()),
        }
    }
}

/// `GET /fhir/R4/PractitionerRole/{id}`
pub fn read(read: &Read, user: &User) -> Result<Ask> {
    practitioner::find(read, user, |read, shape, doctor| {
        answer::resource(read.request, shape, &PractitionerRole::of(doctor), &doctor.meta())
    })
}
