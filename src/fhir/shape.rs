//! The part of a resource that is shown: all of it, its summary, or some of its elements.

use serde::Serialize;
use serde_json::{Value, json};

use super::negotiation::negotiate;
use super::outcome::{bad_value, not_supported, shortened};
use crate::error::Result;
use crate::handlers::ask::Read;

/// The elements that `_elements` may name: those of R4's types, filled by us or not, and the name of the type, which clients list as
/// well.
const ELEMENTS: &[&str] = &[
    "resourceType",
    "id",
    "meta",
    "implicitRules",
    "language",
    "text",
    "contained",
    "extension",
    "identifier",
    "active",
    "name",
    "telecom",
    "gender",
    "birthDate",
    "deceased",
    "address",
    "maritalStatus",
    "multipleBirth",
    "photo",
    "contact",
    "communication",
    "generalPractitioner",
    "managingOrganization",
    "link",
    "qualification",
    "period",
    "practitioner",
    "organization",
    "code",
    "specialty",
    "location",
    "healthcareService",
    "availableTime",
    "notAvailable",
    "availabilityExceptions",
    "endpoint",
    "status",
    "category",
    "subject",
    "encounter",
    "participant",
    "reasonCode",
    "reasonReference",
    "note",
    "masterIdentifier",
    "docStatus",
    "type",
    "date",
    "author",
    "authenticator",
    "custodian",
    "relatesTo",
    "description",
    "securityLabel",
    "content",
    "context",
];
/// The elements without which a resource of the type is not valid.
const MANDATORY: &[(&str, &[&str])] = &[("DocumentReference", &["status", "content"])];
/// The elements that R4 leaves out of a summary.
const NO_SUMMARY: &[(&str, &[&str])] = &[("Practitioner", &["qualification"]), ("CareTeam", &["note"])];

/// `_summary` and `_elements`.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    summary: Option<Summary>,
    elements: Option<Vec<&'static str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Summary {
    True,
    Text,
    Data,
    Count,
}

impl Shape {
    /// The shape that a read asks for. A read takes no other parameters.
    pub fn of_read(read: &Read) -> Result<Shape> {
        let mut shape = Shape::default();
        for (name, value) in negotiate(read.config, read.request)?.each_once()?.parameters {
            if !shape.take(&name, &value)? || shape.is_count() {
                return Err(not_supported(format!(
                    "{} is not supported by a read",
                    shortened(&format!("{name}={value}"))
                )));
            }
        }
        Ok(shape)
    }

    /// Takes the parameter if it is about the shape or the format of the answer, which [`super::negotiation`] has checked.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool> {
        match name {
            "_format" | "_pretty" => {}
            "_summary" => {
                self.summary = match value {
                    "false" => None,
                    "true" => Some(Summary::True),
                    "text" => Some(Summary::Text),
                    "data" => Some(Summary::Data),
                    "count" => Some(Summary::Count),
                    _ => return Err(bad_value("_summary must be true, text, data, count or false")),
                }
            }
            "_elements" => {
                let known = |name: &str| ELEMENTS.iter().copied().find(|known| *known == name.trim());
                let elements: Option<Vec<&str>> = value.split(',').map(known).collect();
                self.elements =
                    Some(elements.ok_or_else(|| {
                        bad_value("_elements must list elements of the resource, separated by commas")
                    })?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether only the number of matches is wanted.
    pub fn is_count(&self) -> bool {
        self.summary == Some(Summary::Count)
    }

    /// Whether the resource is shown as it is.
    pub fn is_whole(&self) -> bool {
        self.summary.is_none() && self.elements.is_none()
    }

    /// The part of the resource that is wanted, marked as a part.
    pub fn part(&self, resource: &impl Serialize) -> Value {
        // Our own resources always serialize.
        let mut value = serde_json::to_value(resource).unwrap_or_default();
        let kind = value["resourceType"].as_str().unwrap_or_default().to_string();
        let of = |table: &[(&str, &[&str])], element: &str| {
            table.iter().any(|(name, elements)| *name == kind && elements.contains(&element))
        };
        if let Value::Object(members) = &mut value {
            members.retain(|element, _| {
                let name = element.as_str();
                let is_picked = self.elements.as_ref().is_none_or(|elements| elements.contains(&name));
                let is_in_summary = match self.summary {
                    None | Some(Summary::Data | Summary::Count) => true,
                    Some(Summary::True) => !of(NO_SUMMARY, name),
                    Some(Summary::Text) => false,
                };
                matches!(name, "resourceType" | "id" | "meta") || of(MANDATORY, name) || (is_picked && is_in_summary)
            });
        }
        if self.summary == Some(Summary::True)
            && let Some(attachment) = value.pointer_mut("/content/0/attachment").and_then(Value::as_object_mut)
        {
            attachment.remove("data");
        }
        value["meta"]["tag"] =
            json!([{ "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED" }]);
        value
    }
}
