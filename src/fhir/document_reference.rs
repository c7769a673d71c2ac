//! DocumentReference: a patient's medical history, where there is one. Its id is the patient's with `-history` behind it.
//!
//! | DocumentReference | from |
//! |---|---|
//! | `status`, `type`, `category` | `current`; LOINC 11348-0; `clinical-note` of US Core |
//! | `subject` | the patient's id and name |
//! | `date`, `meta` | `updated_at` and version of the patient |
//! | `content[0].attachment` | the history as plain text, base64 |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;

use super::answer;
use super::datatypes::{CodeableConcept, Coding, Meta, Reference};
use super::patient::{self, Columns};
use crate::auth::User;
use crate::error::{Error, Result};
use crate::handlers::ask::{Ask, Read};

/// The type of the document.
pub const HISTORY: Coding =
    Coding { system: "http://loinc.org", code: "11348-0", display: Some("History of Past illness note") };
/// Its category.
pub const NOTE: Coding = Coding {
    system: "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
    code: "clinical-note",
    display: Some("Clinical Note"),
};
/// The end of its id.
const END: &str = "-history";

#[derive(Serialize)]
#[serde(tag = "resourceType")]
pub struct DocumentReference<'a> {
    id: String,
    meta: Meta,
    status: &'static str,
    #[serde(rename = "type")]
    kind: CodeableConcept<'static>,
    category: [CodeableConcept<'static>; 1],
    subject: Reference<'a>,
    date: Timestamp,
    content: [Content; 1],
}

#[derive(Serialize)]
struct Content {
    attachment: Attachment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    content_type: &'static str,
    data: String,
}

impl<'a> DocumentReference<'a> {
    /// The history of this patient; `None` if there is none.
    pub fn of(patient: &'a Columns) -> Option<DocumentReference<'a>> {
        let history = patient.medical_history.as_deref()?;
        Some(DocumentReference {
            id: id(patient.id),
            meta: patient.meta(),
            status: "current",
            kind: CodeableConcept::coded(HISTORY),
            category: [CodeableConcept::coded(NOTE)],
            subject: patient.reference(),
            date: patient.updated_at,
            content: [Content {
                attachment: Attachment { content_type: "text/plain; charset=utf-8", data: STANDARD.encode(history) },
            }],
        })
    }
}

/// The id of the history of a patient.
pub fn id(patient_id: i64) -> String {
    format!("{patient_id}{END}")
}

/// The patient whose history has this id.
pub fn patient_id(id: &str) -> Option<i64> {
    answer::parse_id(id.strip_suffix(END)?)
}

/// `GET /fhir/R4/DocumentReference/{id}`
pub fn read(read: &Read, user: &User) -> Result<Ask> {
    let id = patient_id(answer::id_text(read.request)).ok_or(Error::NoRoute)?;
    patient::find(read, user, id, |read, shape, patient| {
        let document = DocumentReference::of(patient).ok_or(Error::NoRoute)?;
        Ok(answer::resource(read.request, shape, &document, &patient.meta()))
    })
}
