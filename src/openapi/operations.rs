//! What each route is for, in the order of `ROUTES`. What can be derived (who may call it, its parameters, the answers that any
//! request can get) is not repeated here; `mod.rs` adds it.

use crate::request::Method::{self, Delete, Get, Patch, Post, Put};
use Gives::{Changed, Data, List, New, Nothing, Page, Record, Renewed};

/// What an operation answers with when all is well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// 200 `success` with this; no version.
    Data(&'static str),
    /// 200 `success` with one record and its version.
    Record(&'static str),
    /// 200 `success` with an array of records.
    List(&'static str),
    /// 201 `created` with the new record.
    New(&'static str),
    /// 200 `updated` with the whole new record.
    Changed(&'static str),
    /// 200 `updated` with this; no version.
    Renewed(&'static str),
    /// 200 with this word and without data.
    Nothing(&'static str),
    /// 200 with something that is not in an envelope: its media type.
    Page(&'static str),
}

/// One route, for people.
pub struct Operation {
    /// The route's method.
    pub method: Method,
    /// The route's pattern.
    pub pattern: &'static str,
    /// A name for generated clients.
    pub id: &'static str,
    /// The section that it belongs to.
    pub tag: &'static str,
    /// A few words.
    pub summary: &'static str,
    /// A few sentences, or nothing.
    pub about: &'static str,
    /// The schema of the body.
    pub takes: Option<&'static str>,
    /// The answer when all is well.
    pub gives: Gives,
    /// Its message.
    pub says: &'static str,
    /// The refusals that are this operation's own, by their names in `answers.rs`.
    pub refuses: &'static [&'static str],
}

/// The sections, in order.
pub const TAGS: &[(&str, &str)] = &[
    ("Accounts", "Register, log in, and look after the own account and its sessions."),
    (
        "Patients",
        "Each user sees and changes only those that the user created; another user's are as if they did not exist.",
    ),
    ("Doctors", "A shared directory: every user reads it, the creator of an entry and admins change it."),
    ("Mappings", "Which doctors care for which patient."),
    (
        "Admin",
        "Records and accounts of all users, and the audit trail. For users with the role `admin`; everyone else gets 403.",
    ),
    ("Service", "Probes, numbers, and this document."),
];

/// Every operation, in the order of `ROUTES`.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    in_section("Accounts", Post, "/api/auth/register", "register", "Register")
        .takes("Registration").gives(New("User"), "User registered").refuses(&["Conflict", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/login", "login", "Log in")
        .about("A wrong e-mail, a wrong password, a locked and a disabled account get the same answer after the same time.")
        .takes("Login").gives(Data("Grant"), "Logged in").refuses(&["WrongCredentials", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/refresh", "refresh", "Trade a refresh token for a new pair")
        .about("A refresh token is good for one use. A second use within 10 s gets a pair that replaces the first, as long as that has not been used; any other second use ends the session.")
        .takes("Refresh").gives(Data("Grant"), "Token refreshed").refuses(&["Unauthenticated", "TooManyAttempts"]),
    in_section("Accounts", Get, "/api/auth/me", "whoAmI", "The own account")
        .gives(Record("User"), "User found"),
    in_section("Accounts", Post, "/api/auth/password", "changePassword", "Change the own password")
        .about("Ends the user's other sessions and every earlier token of this one. A wrong current password counts as a failed login.")
        .takes("PasswordChange").gives(Renewed("Grant"), "Password changed").refuses(&["WrongPassword", "TooManyAttempts"]),
    in_section("Accounts", Post, "/api/auth/logout", "logout", "Log out")
        .about("Ends the session that the token belongs to.")
        .gives(Nothing("success"), "Logged out"),
    in_section("Accounts", Get, "/api/auth/sessions", "listSessions", "The own live sessions")
        .gives(List("Session"), "Sessions found"),
    in_section("Accounts", Delete, "/api/auth/sessions/{id}", "endSession", "End one of the own sessions")
        .gives(Nothing("deleted"), "Session ended").refuses(&["NotFound"]),

    in_section("Patients", Post, "/api/patients", "createPatient", "Register a patient")
        .takes("NewPatient").gives(New("Patient"), "Patient created").refuses(&["Conflict", "KeyReused"]),
    in_section("Patients", Get, "/api/patients", "listPatients", "The own patients")
        .gives(List("Patient"), "Patients found"),
    in_section("Patients", Get, "/api/patients/{id}", "findPatient", "One patient")
        .gives(Record("Patient"), "Patient found").refuses(&["NotFound"]),
    in_section("Patients", Put, "/api/patients/{id}", "updatePatient", "Change a patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["NotFound", "Outdated"]),
    in_section("Patients", Patch, "/api/patients/{id}", "patchPatient", "Change a patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["NotFound", "Outdated"]),
    in_section("Patients", Delete, "/api/patients/{id}", "deletePatient", "Delete a patient").about("The patient's mappings go too.")
        .gives(Nothing("deleted"), "Patient deleted").refuses(&["NotFound", "Conflict", "Outdated"]),

    in_section("Doctors", Post, "/api/doctors", "createDoctor", "Add a doctor")
        .takes("NewDoctor").gives(New("Doctor"), "Doctor created").refuses(&["Conflict", "KeyReused"]),
    in_section("Doctors", Get, "/api/doctors", "listDoctors", "All doctors")
        .gives(List("Doctor"), "Doctors found"),
    in_section("Doctors", Get, "/api/doctors/{id}", "findDoctor", "One doctor")
        .gives(Record("Doctor"), "Doctor found").refuses(&["NotFound"]),
    in_section("Doctors", Put, "/api/doctors/{id}", "updateDoctor", "Change a doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Doctors", Patch, "/api/doctors/{id}", "patchDoctor", "Change a doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),
    in_section("Doctors", Delete, "/api/doctors/{id}", "deleteDoctor", "Delete a doctor")
        .about("Refused with 409 while the doctor is assigned to a patient.")
        .gives(Nothing("deleted"), "Doctor deleted").refuses(&["Forbidden", "NotFound", "Conflict", "Outdated"]),

    in_section("Mappings", Post, "/api/mappings", "createMapping", "Assign a doctor to a patient")
        .about("The patient must be the user's own and the doctor known, else 404; the pair must be new, else 409.")
        .takes("NewMapping").gives(New("Mapping"), "Doctor assigned to patient").refuses(&["NotFound", "Conflict", "KeyReused"]),
    in_section("Mappings", Get, "/api/mappings", "listMappings", "The mappings of the own patients")
        .gives(List("Mapping"), "Mappings found"),
    in_section("Mappings", Get, "/api/mappings/{patient_id}", "listDoctorsOfPatient", "The doctors of a patient")
        .about("Here `id` is the patient's. The same as `/api/patients/{patient_id}/mappings`.")
        .gives(List("Mapping"), "Doctors of the patient found").refuses(&["NotFound"]),
    in_section("Mappings", Get, "/api/patients/{patient_id}/mappings", "listMappingsOfPatient", "The doctors of a patient")
        .gives(List("Mapping"), "Doctors of the patient found").refuses(&["NotFound"]),
    in_section("Mappings", Get, "/api/patients/{patient_id}/mappings/{id}", "findMapping", "One mapping")
        .gives(Record("Mapping"), "Mapping found").refuses(&["NotFound"]),
    in_section("Mappings", Put, "/api/mappings/{id}", "updateMapping", "Change a mapping").about(PARTIAL)
        .takes("MappingChanges").gives(Changed("Mapping"), "Mapping updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Mappings", Patch, "/api/mappings/{id}", "patchMapping", "Change a mapping").about(PARTIAL)
        .takes("MappingChanges").gives(Changed("Mapping"), "Mapping updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Mappings", Delete, "/api/mappings/{id}", "deleteMapping", "Delete a mapping")
        .gives(Nothing("deleted"), "Mapping deleted").refuses(&["NotFound", "Outdated"]),

    in_section("Admin", Get, "/api/admin/patients", "adminListPatients", "Patients of all users")
        .gives(List("Patient"), "Patients found"),
    in_section("Admin", Get, "/api/admin/patients/{id}", "adminFindPatient", "Any patient")
        .gives(Record("Patient"), "Patient found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/patients/{id}", "adminUpdatePatient", "Change any patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["NotFound", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/patients/{id}", "adminPatchPatient", "Change any patient").about(PARTIAL)
        .takes("PatientChanges").gives(Changed("Patient"), "Patient updated").refuses(&["NotFound", "Outdated"]),
    in_section("Admin", Delete, "/api/admin/patients/{id}", "adminDeletePatient", "Delete any patient")
        .about("The patient's mappings go too.")
        .gives(Nothing("deleted"), "Patient deleted").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/doctors", "adminListDoctors", "All doctors, by who added them")
        .gives(List("Doctor"), "Doctors found"),
    in_section("Admin", Get, "/api/admin/doctors/{id}", "adminFindDoctor", "Any doctor")
        .gives(Record("Doctor"), "Doctor found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/doctors/{id}", "adminUpdateDoctor", "Change any doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/doctors/{id}", "adminPatchDoctor", "Change any doctor").about(PARTIAL)
        .takes("DoctorChanges").gives(Changed("Doctor"), "Doctor updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Delete, "/api/admin/doctors/{id}", "adminDeleteDoctor", "Delete any doctor")
        .about("A doctor who is assigned to a patient goes only with `cascade=true`, the mappings with the doctor.")
        .gives(Nothing("deleted"), "Doctor deleted").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Get, "/api/admin/mappings", "adminListMappings", "Mappings of all users")
        .gives(List("AdminMapping"), "Mappings found"),
    in_section("Admin", Get, "/api/admin/mappings/{id}", "adminFindMapping", "Any mapping")
        .gives(Record("AdminMapping"), "Mapping found").refuses(&["NotFound"]),
    in_section("Admin", Delete, "/api/admin/mappings/{id}", "adminDeleteMapping", "Delete any mapping")
        .gives(Nothing("deleted"), "Mapping deleted").refuses(&["NotFound", "Outdated"]),
    in_section("Admin", Get, "/api/admin/users", "adminListUsers", "All accounts")
        .gives(List("User"), "Users found"),
    in_section("Admin", Get, "/api/admin/users/{id}", "adminFindUser", "Any account")
        .gives(Record("User"), "User found").refuses(&["NotFound"]),
    in_section("Admin", Put, "/api/admin/users/{id}", "adminUpdateUser", "Change role or disable").about(LAST_ADMIN)
        .takes("UserChanges").gives(Changed("User"), "User updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Patch, "/api/admin/users/{id}", "adminPatchUser", "Change role or disable").about(LAST_ADMIN)
        .takes("UserChanges").gives(Changed("User"), "User updated").refuses(&["NotFound", "Conflict", "Outdated"]),
    in_section("Admin", Post, "/api/admin/users/{id}/unlock", "adminUnlockUser", "Forget an account's failed logins")
        .gives(Changed("User"), "User unlocked").refuses(&["NotFound"]),
    in_section("Admin", Delete, "/api/admin/users/{id}/sessions", "adminEndSessions", "End all sessions of a user")
        .gives(Nothing("deleted"), "Sessions ended").refuses(&["NotFound"]),
    in_section("Admin", Get, "/api/admin/audit", "listAuditEntries", "The audit trail")
        .about("Newest first. Entries are never changed or removed through the service.")
        .gives(List("AuditEntry"), "Audit entries found"),

    in_section("Service", Get, "/healthz", "healthz", "Whether the process answers").about("Touches no database.")
        .gives(Nothing("success"), "The process answers"),
    in_section("Service", Get, "/readyz", "readyz", "Whether the database answers and its schema is up to date")
        .gives(Nothing("success"), "The database answers"),
    in_section("Service", Get, "/metrics", "metrics", "Numbers in the Prometheus text format")
        .gives(Page("text/plain"), ""),
    in_section("Service", Get, "/openapi.json", "openapi", "This document")
        .gives(Page("application/json"), ""),
    in_section("Service", Get, "/docs", "docs", "This document, for people")
        .gives(Page("text/html"), ""),
];

const PARTIAL: &str = "Changes the fields that are sent and leaves the others; `null` clears an optional one. What changes nothing \
                       writes nothing: the answer is the same version, and the trail has no entry. Read-only fields of a \
                       record that was read may be sent back; they are ignored, and alone refused.";
const LAST_ADMIN: &str =
    "The last enabled admin cannot be demoted or disabled: 409. Disabling ends the user's sessions.";

const fn in_section(
    tag: &'static str,
    method: Method,
    pattern: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    let gives = Gives::Nothing("success");
    Operation { method, pattern, id, tag, summary, about: "", takes: None, gives, says: "", refuses: &[] }
}

impl Operation {
    const fn about(self, about: &'static str) -> Operation {
        Operation { about, ..self }
    }

    const fn takes(self, schema: &'static str) -> Operation {
        Operation { takes: Some(schema), ..self }
    }

    const fn gives(self, gives: Gives, says: &'static str) -> Operation {
        Operation { gives, says, ..self }
    }

    const fn refuses(self, refuses: &'static [&'static str]) -> Operation {
        Operation { refuses, ..self }
    }
}
