//! What a patient, a doctor and a mapping consist of: one line a field. The rules, the JSON, the names for `fields=` and the schemas
//! of the OpenAPI document follow from these tables. A column has the name of its field; `tests/api/records.rs` compares them.

use Kind::{BirthDate, Email, Id, Line, Lines, Number, OneOf, Part, Phone, Time, VisibleLine};

/// One field of a record.
pub struct Field {
    /// Its name in JSON and in SQL.
    pub name: &'static str,
    /// Its values.
    pub kind: Kind,
    /// Who sets it.
    pub set: Set,
    /// A valid value, as text.
    pub example: &'static str,
    /// What its name and its kind do not say; often empty.
    pub about: &'static str,
    /// Whether only admins see it.
    pub for_admins: bool,
}

/// Who sets a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// The server; ignored in a request.
    ByServer,
    /// The client; required.
    Always,
    /// The client; optional, null if absent.
    Perhaps,
}

/// The values that a field can have. `validate` has the rule of each kind, `openapi` its schema.
#[derive(Clone, Copy)]
pub enum Kind {
    /// One line of at most this many characters.
    Line(usize),
    /// The same, and every character is visible.
    VisibleLine(usize),
    /// Text of at most this many characters, with line breaks and tabs.
    Lines(usize),
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
    /// A date of birth.
    BirthDate,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number between these two.
    Number(i64, i64),
    /// The id of a record.
    Id,
    /// A moment.
    Time,
    /// Some fields of another record, by their names. The column of the field `name` of the part `patient` is `patient_name`.
    Part(&'static [Field], &'static [&'static str]),
}

/// FHIR administrative gender.
pub const GENDERS: &[&str] = &["male", "female", "other", "unknown"];

/// One person under care.
pub const PATIENT: &[Field] = &[
    server("id", Id, "1"),
    required("name", Line(200), "Zoë Müller"),
    required("date_of_birth", BirthDate, "1990-04-23"),
    required("gender", OneOf(GENDERS), "female"),
    optional("phone", Phone, "+49 30 1234567 ext. 12"),
    optional("email", Email, "zoe@example.org"),
    optional("address", Lines(500), "Main Street 1\n10115 Berlin"),
    optional("medical_history", Lines(20_000), "Penicillin allergy"),
    server("created_by", Id, "1").about("The user who created this patient, and to whom the patient belongs."),
    server("created_at", Time, "2026-01-05T08:31:00.123456Z"),
    server("updated_at", Time, "2026-01-05T08:31:00.123456Z"),
];

/// One entry of the directory of doctors.
pub const DOCTOR: &[Field] = &[
    server("id", Id, "1"),
    required("name", Line(200), "Dr. Kofi Mensah"),
    required("specialization", Line(120), "Cardiology"),
    optional("phone", Phone, "+49 30 7654321"),
    optional("email", Email, "mensah@example.org"),
    optional("license_number", VisibleLine(64), "BE-12345").about("Unique: no two doctors have the same one."),
    optional("years_of_experience", Number(0, 80), "12"),
    server("created_by", Id, "1"),
    server("created_at", Time, "2026-01-05T08:32:00.123456Z"),
    server("updated_at", Time, "2026-01-05T08:32:00.123456Z"),
];

/// One doctor's care for one patient.
pub const MAPPING: &[Field] = &[
    server("id", Id, "1"),
    required("patient_id", Id, "1"),
    required("doctor_id", Id, "1"),
    optional("notes", Lines(2_000), "Yearly check-up"),
    // Always the owner of the patient.
    server("created_by", Id, "1").for_admins(),
    server("assigned_at", Time, "2026-01-05T08:33:00.123456Z"),
    server("updated_at", Time, "2026-01-05T08:33:00.123456Z"),
    server("patient", Part(PATIENT, &["id", "name"]), ""),
    server("doctor", Part(DOCTOR, &["id", "name", "specialization", "phone", "email"]), ""),
];

const fn server(name: &'static str, kind: Kind, example: &'static str) -> Field {
    Field { name, kind, set: Set::ByServer, example, about: "", for_admins: false }
}

const fn required(name: &'static str, kind: Kind, example: &'static str) -> Field {
    Field { set: Set::Always, ..server(name, kind, example) }
}

const fn optional(name: &'static str, kind: Kind, example: &'static str) -> Field {
    Field { set: Set::Perhaps, ..server(name, kind, example) }
}

impl Field {
    const fn about(self, about: &'static str) -> Field {
        Field { about, ..self }
    }

    const fn for_admins(self) -> Field {
        Field { for_admins: true, ..self }
    }
}
