//! `{"status", "message", "data"}`: the only place where a body is made.

use std::borrow::Cow;

use serde::Serialize;

use crate::audit::words::Resource;
use crate::error::{Emergency, Error, Facts, FieldError, FieldErrors};

/// An answer: status, headers and a finished body.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// The headers beyond those that every answer carries.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The media type; empty if there is no body.
    pub content_type: &'static str,
    /// The body; empty for 204, 303 and 304.
    pub body: Vec<u8>,
    /// The records that it shows, if the audit trail keeps who looked at them.
    pub shown: Option<Shown>,
    /// Whether it is given under emergency access. What it shows is then recorded in any case.
    pub in_emergency: bool,
}

/// The records that an answer shows.
#[derive(Debug)]
pub enum Shown {
    /// One record, by its id.
    Record(Resource, i64),
    /// Those of a list.
    List(Resource, Vec<i64>),
}

/// The shape of every body under `/api`.
#[derive(Serialize)]
struct Envelope<'a, T: Serialize> {
    status: &'a str,
    message: &'a str,
    data: T,
}

/// Tells those who know the password that a code is needed beside it.
#[derive(Serialize)]
struct CodeNeeded {
    code_required: bool,
}
const CODE_NEEDED: CodeNeeded = CodeNeeded { code_required: true };

impl Response {
    /// 200 `success`: a read, a login, a logout.
    pub fn success(message: &str, data: impl Serialize) -> Response {
        Response::new(200, "success", message, data)
    }

    /// 202 `success`: taken on, done later.
    pub fn accepted(message: &str) -> Response {
        Response::new(202, "success", message, ())
    }

    /// 201 `created`: a new record, and the path that names it.
    pub fn created(message: &str, location: String, data: impl Serialize) -> Response {
        Response::new(201, "created", message, data).with_header("Location", location)
    }

    /// 201 again: the stored answer to an earlier request.
    pub fn replayed(location: String, etag: String, body: Vec<u8>) -> Response {
        let headers =
            vec![("Location", location.into()), ("ETag", etag.into()), ("Idempotency-Replayed", "true".into())];
        Response { headers, ..Response::bare(201, "application/json", body) }
    }

    /// 200 `updated`: the whole new record.
    pub fn updated(message: &str, data: impl Serialize) -> Response {
        Response::new(200, "updated", message, data)
    }

    /// 200 `deleted`, without data.
    pub fn deleted(message: &str) -> Response {
        Response::new(200, "deleted", message, ())
    }

    /// An answer without a body: 204, 303 or 304.
    pub fn empty(status: u16) -> Response {
        Response::bare(status, "", Vec::new())
    }

    /// A page that is not JSON: `/docs`, `/metrics`.
    pub fn page(content_type: &'static str, body: Vec<u8>) -> Response {
        Response::bare(200, content_type, body)
    }

    /// A resource of FHIR, which has no envelope.
    pub fn fhir(status: u16, resource: &impl Serialize) -> Response {
        // It fails only for a map whose keys are not strings, and no resource has one.
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, resource).expect("a resource that serializes");
        Response::bare(status, "application/fhir+json; charset=utf-8", body)
    }

    /// 200 with a resource whose last member is a list: elements that are JSON already, and the commas between them. An empty list is left
    /// out.
    pub fn fhir_list(resource: &impl Serialize, member: &str, elements: &[u8]) -> Response {
        let mut response = Response::fhir(200, resource);
        if let [members @ .., b'}'] = response.body.as_slice()
            && !elements.is_empty()
        {
            response.body = [members, format!(",\"{member}\":[").as_bytes(), elements, b"]}"].concat();
        }
        response
    }

    /// The answer to a request that failed. A 5xx says nothing but the request id.
    pub fn error(error: &Error, request_id: &str) -> Response {
        let Facts { status, word, mut message } = error.facts();
        if let Error::Internal(_) = error.plain() {
            message = format!("{message}; the request id is {request_id}").into();
        }
        let mut response = match error.plain() {
            Error::CodeRequired | Error::WrongCode => Response::new(status, word, &message, CODE_NEEDED),
            _ => Response::new(status, word, &message, error.fields()),
        };
        response.headers = error.headers();
        response
    }

    /// The answer to a request that the transport refuses before it is complete: a time-out and too many connections are
    /// `failed`, everything else is `invalid`.
    pub fn refusal(status: u16, message: &str) -> Response {
        let word = if matches!(status, 408 | 500 | 503) { "failed" } else { "invalid" };
        let errors = (status == 400).then(|| FieldErrors::from(FieldError::new("request", message.to_string())));
        let message = if status == 400 { "The request is not valid HTTP/1.1" } else { message };
        let response = Response::new(status, word, message, errors);
        if status == 503 { response.with_header("Retry-After", "1") } else { response }
    }

    /// The same, for the audit trail: these records were shown.
    pub fn showing(self, shown: Shown) -> Response {
        Response { shown: Some(shown), ..self }
    }

    /// The same under emergency access, if it is given under one.
    pub fn under(self, emergency: Option<Emergency>) -> Response {
        match emergency {
            Some(emergency) => {
                Response { in_emergency: true, ..self }.with_header(Emergency::HEADER, emergency.header())
            }
            None => self,
        }
    }

    /// Adds a header.
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a header if it has a value.
    pub fn with_optional_header(self, name: &'static str, value: Option<String>) -> Response {
        match value {
            Some(value) => self.with_header(name, value),
            None => self,
        }
    }

    /// 200 `success` with data whose JSON takes about this many bytes, so that the body is allocated at once.
    pub fn long(message: &str, data: impl Serialize, bytes: usize) -> Response {
        Response::sized(200, "success", message, data, bytes)
    }

    fn new(status: u16, word: &str, message: &str, data: impl Serialize) -> Response {
        Response::sized(status, word, message, data, 0)
    }

    fn sized(status: u16, word: &str, message: &str, data: impl Serialize, bytes: usize) -> Response {
        let envelope = Envelope { status: word, message, data };
        let mut body = Vec::with_capacity(512 + bytes);
        // It fails only for a map whose keys are not strings, and no record has one.
        serde_json::to_writer(&mut body, &envelope).expect("a record that serializes");
        Response::bare(status, "application/json", body)
    }

    fn bare(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
        Response { status, headers: Vec::new(), content_type, body, shown: None, in_emergency: false }
    }
}
