//! FHIR R4, reading: the same patients, doctors and mappings in the words that other health software speaks (HL7 FHIR 4.0.1).
//!
//! One file a resource, its mapping beside its columns: [`patient`], [`practitioner`], [`practitioner_role`], [`care_team`] and
//! [`document_reference`]. [`datatypes`] and [`names`] have the parts that they are made of, [`shape`] what of a resource is shown,
//! [`answer`] the answers around them. [`outcome`] says what is wrong, and [`capabilities`] what there is.

pub mod answer;
pub mod bundle;
pub mod capabilities;
pub mod care_team;
pub mod criteria;
pub mod datatypes;
pub mod document_reference;
pub mod everything;
pub mod history;
pub mod names;
pub mod negotiation;
pub mod outcome;
pub mod patient;
pub mod practitioner;
pub mod practitioner_role;
pub mod ranges;
pub mod search;
pub mod shape;
pub mod tables;

/// The path that everything of FHIR stands below.
pub const BASE: &str = "/fhir/R4";

/// Whether a path, or a target with its query, stands below the base, so that its refusals are OperationOutcomes.
pub fn is_below(target: &str) -> bool {
    target.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}
