//! Everything that can go wrong with a request, and ONE table that says what the client is told.
//!
//! An error has two texts: the public message, which never tells a client anything new about the data, and, for our own faults, a
//! private one for the log.

use std::borrow::Cow;

use jiff::Timestamp;
use postgres::Row;
use postgres::types::Json;
use serde::{Deserialize, Serialize};

/// The result of everything between the socket and the database.
pub type Result<T> = std::result::Result<T, Error>;

/// The refusal for a user who is not an admin, or no longer one.
pub const ADMINS_ONLY: Error = Error::Forbidden("Only an admin may do this");

/// One field of the request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The JSON field, query parameter, path parameter or header; `body` for the body as a whole.
    pub field: Cow<'static, str>,
    /// The rule, as the end of a sentence that begins with the field: "must be …".
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// A field and the rule that it breaks.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> FieldError {
        FieldError { field: field.into(), message: message.into() }
    }
}

/// The most errors that one answer names.
pub const FIELD_ERRORS_MAX: usize = 20;

/// What is wrong with a request, field by field; `data` of a 400. It names the first [`FIELD_ERRORS_MAX`] and counts the others, so
/// that an answer stays small however much is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FieldErrors {
    errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<usize>,
}

impl FieldErrors {
    /// One more.
    pub fn push(&mut self, error: FieldError) {
        if self.errors.len() < FIELD_ERRORS_MAX {
            self.errors.push(error);
        } else {
            self.more = Some(self.more.unwrap_or(0) + 1);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Those that are named.
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.errors.iter()
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> FieldErrors {
        FieldErrors { errors: vec![error], more: None }
    }
}

/// Why a request is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Required fields are absent, null or blank; other fields may be bad as well.
    Incomplete(FieldErrors),
    /// Fields, parameters or the body break a rule.
    Invalid(FieldErrors),
    /// A login with a wrong e-mail or password, a locked or a disabled account: always the same answer.
    WrongCredentials,
    /// A right password without the code that the second factor asks for.
    CodeRequired,
    /// A right password with a wrong code.
    WrongCode,
    /// A one-time token that does not exist, was used, or is over: always the same answer.
    WrongToken,
    /// No access token, or one that is not valid or no longer valid.
    Unauthenticated,
    /// A valid token whose user may not do this.
    Forbidden(&'static str),
    /// What the user may not do with a patient, although the user may see the patient.
    ReadOnly,
    /// No such route.
    NoRoute,
    /// No such record that this user may see; the name of the resource, capitalised.
    NotFound(&'static str),
    /// A known path, but a method that it does not have; the text lists the methods that it has, as in the `Allow` header.
    MethodNotAllowed(String),
    /// A rule between records: a duplicate, or a record that is still needed.
    Conflict(Cow<'static, str>),
    /// An `Idempotency-Key` that was used before with a different request.
    KeyReused,
    /// `If-Match` names an older version.
    PreconditionFailed,
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body is not `application/json`, or has a content coding.
    UnsupportedMediaType(&'static str),
    /// A method that this server does not know.
    NotImplemented,
    /// Too many attempts from one address, or too many changes or tries of emergency access by one user.
    TooManyRequests(Box<RateLimit>),
    /// One of the others, in an answer under emergency access.
    Under(Box<(Error, Emergency)>),
    /// What only FHIR has a word for.
    Refused(Box<Refusal>),
    /// Our fault; the text is for the log.
    Internal(String),
    /// The database cannot be reached, or the service is at its limit; the text is for the log.
    Unavailable(String),
    /// A list, search or count that took the database too long; the text is for the log.
    TooSlow(String),
}

/// A refusal in the words of FHIR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub issues: Vec<Issue>,
    /// The entity tag of a deleted record.
    pub etag: Option<String>,
}

/// One thing that is wrong with a request, in the words of FHIR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// A code of R4's `IssueType`.
    pub code: &'static str,
    /// A sentence that names the parameter, the header or the element.
    pub text: Cow<'static, str>,
}

/// The state of a rate limit, for the headers of a 429 (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    pub counted: Counted,
    /// How many requests there may be in the window of what is counted.
    pub quota: u64,
    /// How many seconds until one more request is allowed.
    pub retry_after_seconds: u64,
}

/// What a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Requests that check a password or a token, of one client network.
    Attempts,
    /// Creates, updates and deletes of one user.
    Changes,
    /// Tries of emergency access of one user.
    EmergencyAccess,
}

impl Counted {
    /// The name of the policy in the headers, its window in seconds, and the message.
    fn policy(self) -> (&'static str, u32, &'static str) {
        match self {
            Counted::Attempts => ("auth", 60, "Too many attempts, try again later"),
            Counted::Changes => ("changes", 60, "Too many changes, try again later"),
            Counted::EmergencyAccess => ("emergency", 3600, "Too many tries of emergency access, try again later"),
        }
    }
}

/// The emergency access that an answer is given under: the grant by which a user sees a patient whom the user does not see otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Emergency {
    id: i64,
    until: Timestamp,
}

impl Emergency {
    /// The name of the header that says so.
    pub const HEADER: &str = "Emergency-Access";

    /// What a row has in its column `emergency`, which is null if the patient is seen anyway.
    pub fn of(row: &Row) -> Option<Emergency> {
        row.get::<_, Option<Json<Emergency>>>("emergency").map(|Json(emergency)| emergency)
    }

    /// The value of the header.
    pub fn header(&self) -> String {
        format!("{}; until={}", self.id, self.until)
    }
}

/// What the client gets: HTTP status, status word and message.
pub struct Facts {
    pub status: u16,
    pub word: &'static str,
    pub message: Cow<'static, str>,
}

impl Error {
    /// A single bad field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Error {
        Error::Invalid(FieldError::new(field, message).into())
    }

    /// The same in an answer under emergency access, if it is one.
    pub fn under(self, emergency: Option<Emergency>) -> Error {
        match emergency {
            Some(emergency) => Error::Under(Box::new((self, emergency))),
            None => self,
        }
    }

    /// The error itself, without the emergency access that it is told under.
    pub fn plain(&self) -> &Error {
        if let Error::Under(under) = self { &under.0 } else { self }
    }

    /// THE table: status, word and public message of every error.
    #[rustfmt::skip]
    pub fn facts(&self) -> Facts {
        let (status, word, message): (u16, &'static str, Cow<'static, str>) = match self {
            Error::Incomplete(_)           => (400, "incomplete", "Required fields are missing".into()),
            Error::Invalid(_)              => (400, "invalid",    "The request is not valid".into()),
            Error::WrongCredentials        => (401, "invalid",    "E-mail or password is wrong".into()),
            Error::CodeRequired            => (401, "invalid",    "A code of the second factor is needed".into()),
            Error::WrongCode               => (401, "invalid",    "E-mail or password is wrong".into()),
            Error::WrongToken              => (401, "invalid",    "The one-time token is wrong, was used, or is over".into()),
            Error::Unauthenticated         => (401, "forbidden",  "A valid access token is needed".into()),
            Error::Forbidden(why)          => (403, "forbidden",  (*why).into()),
            Error::ReadOnly                => (403, "forbidden",  "You may see this patient, but not do this".into()),
            Error::NoRoute                 => (404, "failed",     "There is nothing at this path".into()),
            Error::NotFound(resource)      => (404, "failed",     format!("{resource} not found").into()),
            Error::MethodNotAllowed(_)     => (405, "failed",     "This path does not support this method".into()),
            Error::Conflict(why)           => (409, "failed",     why.clone()),
            Error::PreconditionFailed      => (412, "failed",     "The record has changed since it was read".into()),
            Error::TooLarge(bytes)         => (413, "invalid",    format!("The body is larger than {bytes} bytes").into()),
            Error::UnsupportedMediaType(w) => (415, "invalid",    (*w).into()),
            Error::NotImplemented          => (501, "invalid",    "This method is not supported".into()),
            Error::KeyReused               => (422, "invalid",    "This Idempotency-Key was used before with a different request".into()),
            Error::TooManyRequests(limit)  => (429, "failed",     limit.counted.policy().2.into()),
            Error::Under(under)            => return under.0.facts(),
            Error::Refused(refusal)        => (refusal.status, "invalid", "The request is not valid".into()),
            Error::Internal(_)             => (500, "failed",     "Something went wrong on our side".into()),
            Error::TooSlow(_)              => (503, "failed",     "This takes too long: narrow the search or ask for fewer records".into()),
            Error::Unavailable(_)          => (503, "failed",     "The service is busy or cannot reach its database, try again".into()),
        };
        Facts { status, word, message }
    }

    /// The fields of a 400 that break a rule.
    pub fn fields(&self) -> Option<&FieldErrors> {
        match self.plain() {
            Error::Incomplete(fields) | Error::Invalid(fields) => Some(fields),
            _ => None,
        }
    }

    /// The headers that go with the status (RFC 9110, RFC 6750).
    pub fn headers(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        match self {
            Error::Unauthenticated => vec![("WWW-Authenticate", "Bearer".into())],
            Error::MethodNotAllowed(allow) => vec![("Allow", allow.clone().into())],
            Error::Under(under) => {
                let header = (Emergency::HEADER, under.1.header().into());
                under.0.headers().into_iter().chain([header]).collect()
            }
            Error::Refused(refusal) => refusal.etag.iter().map(|etag| ("ETag", etag.clone().into())).collect(),
            Error::Unavailable(_) | Error::TooSlow(_) => vec![("Retry-After", "1".into())],
            Error::TooManyRequests(limit) => {
                let ((name, window, _), seconds) = (limit.counted.policy(), limit.retry_after_seconds);
                vec![
                    ("Retry-After", seconds.to_string().into()),
                    ("RateLimit", format!("\"{name}\";r=0;t={seconds}").into()),
                    ("RateLimit-Policy", format!("\"{name}\";q={};w={window}", limit.quota).into()),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// Why, for the log.
    pub fn cause(&self) -> Cow<'_, str> {
        match self.plain() {
            Error::Internal(text) | Error::Unavailable(text) | Error::TooSlow(text) => text.into(),
            _ => self.facts().message,
        }
    }
}

/// What PostgreSQL or the way to it says, for a log line: SQLSTATE and primary message; never the detail, which quotes values.
pub fn explain(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}
