//! What can be searched: for each type its parameters, orders and includes. The searches and the CapabilityStatement are both made from
//! these tables.

use Meaning::{
    Active, Address, BirthDate, Category, Changed, DocumentStatus, DocumentType, Email, Family, Gender, Given, Id,
    Identifier, Name, Participant, Patient, Phone, Practitioner, Role, TeamStatus, Telecom,
};

/// A type that can be searched.
pub struct Type {
    pub name: &'static str,
    pub parameters: &'static [Parameter],
    /// The orders, each also backwards, with a `-`.
    pub sorts: &'static [&'static str],
    /// The values of `_include`…
    pub includes: &'static [&'static str],
    /// …and of `_revinclude`.
    pub revincludes: &'static [&'static str],
}

/// The types, in the order of [`TYPES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Patient,
    Practitioner,
    PractitionerRole,
    CareTeam,
    DocumentReference,
}

/// A search parameter.
pub struct Parameter {
    pub name: &'static str,
    pub meaning: Meaning,
    /// Where it is defined.
    pub definition: &'static str,
}

/// The value that a parameter is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Id,
    Changed,
    Name,
    Family,
    Given,
    BirthDate,
    Gender,
    Identifier,
    Phone,
    Email,
    Telecom,
    Active,
    Address,
    Practitioner,
    Patient,
    Participant,
    Role,
    TeamStatus,
    DocumentType,
    Category,
    DocumentStatus,
}

impl Meaning {
    /// Its type in the words of R4.
    pub fn type_name(self) -> &'static str {
        match self {
            Name | Family | Given | Address => "string",
            Changed | BirthDate => "date",
            Practitioner | Patient | Participant => "reference",
            _ => "token",
        }
    }

    /// The modifiers that it knows.
    pub fn modifiers(self) -> &'static [&'static str] {
        match self {
            Name | Family | Given => &["contains", "exact"],
            Role => &["text"],
            _ => &[],
        }
    }
}

const fn parameter(name: &'static str, meaning: Meaning, definition: &'static str) -> Parameter {
    Parameter { name, meaning, definition }
}

const ID: Parameter = parameter("_id", Id, "http://hl7.org/fhir/SearchParameter/Resource-id");
const CHANGED: Parameter =
    parameter("_lastUpdated", Changed, "http://hl7.org/fhir/SearchParameter/Resource-lastUpdated");

/// The types, in the order of [`Kind`].
#[rustfmt::skip]
pub const TYPES: &[Type] = &[
    Type {
        name: "Patient",
        parameters: &[
            ID,
            CHANGED,
            parameter("name",       Name,       "http://hl7.org/fhir/SearchParameter/Patient-name"),
            parameter("family",     Family,     "http://hl7.org/fhir/SearchParameter/individual-family"),
            parameter("given",      Given,      "http://hl7.org/fhir/SearchParameter/individual-given"),
            parameter("birthdate",  BirthDate,  "http://hl7.org/fhir/SearchParameter/individual-birthdate"),
            parameter("gender",     Gender,     "http://hl7.org/fhir/SearchParameter/individual-gender"),
            parameter("identifier", Identifier, "http://hl7.org/fhir/SearchParameter/Patient-identifier"),
            parameter("phone",      Phone,      "http://hl7.org/fhir/SearchParameter/individual-phone"),
            parameter("email",      Email,      "http://hl7.org/fhir/SearchParameter/individual-email"),
            parameter("telecom",    Telecom,    "http://hl7.org/fhir/SearchParameter/individual-telecom"),
            parameter("active",     Active,     "http://hl7.org/fhir/SearchParameter/Patient-active"),
            parameter("address",    Address,    "http://hl7.org/fhir/SearchParameter/individual-address"),
        ],
        sorts: &["_id", "name", "family", "birthdate", "_lastUpdated"],
        includes: &[],
        revincludes: &["CareTeam:patient", "DocumentReference:patient"],
    },
    Type {
        name: "Practitioner",
        parameters: &[
            ID,
            CHANGED,
            parameter("name",       Name,       "http://hl7.org/fhir/SearchParameter/Practitioner-name"),
            parameter("family",     Family,     "http://hl7.org/fhir/SearchParameter/individual-family"),
            parameter("given",      Given,      "http://hl7.org/fhir/SearchParameter/individual-given"),
            parameter("identifier", Identifier, "http://hl7.org/fhir/SearchParameter/Practitioner-identifier"),
            parameter("phone",      Phone,      "http://hl7.org/fhir/SearchParameter/individual-phone"),
            parameter("email",      Email,      "http://hl7.org/fhir/SearchParameter/individual-email"),
            parameter("telecom",    Telecom,    "http://hl7.org/fhir/SearchParameter/individual-telecom"),
            parameter("active",     Active,     "http://hl7.org/fhir/SearchParameter/Practitioner-active"),
        ],
        sorts: &["_id", "name", "_lastUpdated"],
        includes: &[],
        revincludes: &["PractitionerRole:practitioner"],
    },
    Type {
        name: "PractitionerRole",
        parameters: &[
            ID,
            CHANGED,
            parameter("practitioner", Practitioner, "http://hl7.org/fhir/SearchParameter/PractitionerRole-practitioner"),
            parameter("specialty",    Role,         "http://hl7.org/fhir/SearchParameter/PractitionerRole-specialty"),
            parameter("active",       Active,       "http://hl7.org/fhir/SearchParameter/PractitionerRole-active"),
        ],
        sorts: &["_id", "_lastUpdated"],
        includes: &["PractitionerRole:practitioner"],
        revincludes: &[],
    },
    Type {
        name: "CareTeam",
        parameters: &[
            ID,
            CHANGED,
            parameter("patient",     Patient,     "http://hl7.org/fhir/SearchParameter/clinical-patient"),
            parameter("subject",     Patient,     "http://hl7.org/fhir/SearchParameter/CareTeam-subject"),
            parameter("participant", Participant, "http://hl7.org/fhir/SearchParameter/CareTeam-participant"),
            parameter("status",      TeamStatus,  "http://hl7.org/fhir/SearchParameter/CareTeam-status"),
            parameter("role",        Role,        "http://hl7.org/fhir/us/core/SearchParameter/us-core-careteam-role"),
        ],
        sorts: &["_id", "_lastUpdated"],
        includes: &["CareTeam:patient", "CareTeam:participant"],
        revincludes: &[],
    },
    Type {
        name: "DocumentReference",
        parameters: &[
            ID,
            CHANGED,
            parameter("patient",  Patient,        "http://hl7.org/fhir/SearchParameter/clinical-patient"),
            parameter("subject",  Patient,        "http://hl7.org/fhir/SearchParameter/DocumentReference-subject"),
            parameter("type",     DocumentType,   "http://hl7.org/fhir/SearchParameter/clinical-type"),
            parameter("category", Category,       "http://hl7.org/fhir/SearchParameter/DocumentReference-category"),
            parameter("status",   DocumentStatus, "http://hl7.org/fhir/SearchParameter/DocumentReference-status"),
            parameter("date",     Changed,        "http://hl7.org/fhir/SearchParameter/DocumentReference-date"),
        ],
        sorts: &["_id", "_lastUpdated"],
        includes: &["DocumentReference:patient"],
        revincludes: &[],
    },
];

/// The one reverse chain: a search for the patients in whose team somebody is.
pub const HAS_PARTICIPANT: &str = "_has:CareTeam:patient:participant";

impl Kind {
    /// The row of the table.
    pub fn table(self) -> &'static Type {
        &TYPES[self as usize]
    }

    /// Whether it is made from doctors rather than patients.
    pub fn is_of_doctors(self) -> bool {
        matches!(self, Kind::Practitioner | Kind::PractitionerRole)
    }
}
