//! FHIR R4, reading: the same patients, doctors and mappings in the words that other health software speaks (HL7 FHIR 4.0.1).
//!
//! Each handler first calls [`negotiation`], which checks the formats and reads the parameters. Each resource has a file, with its
//! mapping beside its columns: [`patient`], [`practitioner`], [`practitioner_role`], [`care_team`] and [`document_reference`]. They are
//! made of [`datatypes`] and [`names`]; [`shape`] cuts them down to the part that a client wants, and [`answer`] puts one into its answer.
//!
//! A [`search`] is declared in [`tables`]; [`criteria`] and [`ranges`] read its parameters. What it [`found`] fills a [`bundle`], and
//! so do the versions of a [`history`] and [`everything`] about one patient. [`outcome`] words each refusal, and [`capabilities`] tells a
//! client what it can ask for.

pub mod answer;
pub mod bundle;
pub mod capabilities;
pub mod care_team;
pub mod criteria;
pub mod datatypes;
pub mod document_reference;
pub mod everything;
pub mod found;
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

/// The base: FHIR is spoken on every path below it.
pub const BASE: &str = "/fhir/R4";

/// Whether a path, or a target with its query, is the base or below it, so that its refusals are OperationOutcomes.
pub fn is_below(target: &str) -> bool {
    target.strip_prefix(BASE).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}
