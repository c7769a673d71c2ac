//! The words of the audit trail for what the service records by itself: reads, lists and refusals.

/// What was done, in the words of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are their names")]
pub enum Action {
    Read,
    List,
    Denied,
    EmergencyRead,
}

impl Action {
    /// The word in the trail.
    pub fn word(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::List => "list",
            Action::Denied => "denied",
            Action::EmergencyRead => "emergency_read",
        }
    }
}

/// Which kind of record it was done to, in the words of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are their names")]
pub enum Resource {
    User,
    Session,
    Patient,
    Doctor,
    Mapping,
    CareGroup,
    Grant,
    Audit,
}

impl Resource {
    /// The word in the trail.
    pub const fn word(self) -> &'static str {
        match self {
            Resource::User => "user",
            Resource::Session => "session",
            Resource::Patient => "patient",
            Resource::Doctor => "doctor",
            Resource::Mapping => "mapping",
            Resource::CareGroup => "care_group",
            Resource::Grant => "grant",
            Resource::Audit => "audit",
        }
    }
}
