//! OperationOutcome: every refusal in the words of FHIR.

use std::borrow::Cow;

use serde::Serialize;

use super::datatypes::etag;
use crate::envelope::Response;
use crate::error::{Error, FieldErrors, Issue, Refusal};

/// One text for every 404, whatever the reason.
const NOT_FOUND: &str = "There is nothing here that you may see";

#[derive(Serialize)]
#[serde(tag = "resourceType")]
pub struct OperationOutcome<'a> {
    issue: Vec<OutcomeIssue<'a>>,
}

#[derive(Serialize)]
struct OutcomeIssue<'a> {
    severity: &'static str,
    code: &'static str,
    diagnostics: Cow<'a, str>,
}

impl<'a> OperationOutcome<'a> {
    fn new(
        severity: &'static str,
        issues: impl IntoIterator<Item = (&'static str, Cow<'a, str>)>,
    ) -> OperationOutcome<'a> {
        let issue = issues.into_iter().map(|(code, diagnostics)| OutcomeIssue { severity, code, diagnostics });
        OperationOutcome { issue: issue.collect() }
    }

    /// The warning that names what was left out of a search.
    pub fn warning(texts: &'a [String]) -> OperationOutcome<'a> {
        OperationOutcome::new("warning", texts.iter().map(|text| ("not-supported", text.as_str().into())))
    }
}

/// 400: a parameter, header or form of a value that is not supported.
pub fn not_supported(text: impl Into<Cow<'static, str>>) -> Error {
    refused(400, "not-supported", text)
}

/// 400: a value that cannot be read.
pub fn bad_value(text: impl Into<Cow<'static, str>>) -> Error {
    refused(400, "value", text)
}

/// A name that a client sent, short enough to be told back.
pub fn shortened(name: &str) -> String {
    name.chars().filter(|sign| !sign.is_control()).take(80).collect()
}

/// 410: a record that was deleted, for those who could see it.
pub fn gone(version: i64) -> Error {
    let issue = Issue { code: "deleted", text: "This was deleted".into() };
    Error::Refused(Box::new(Refusal { status: 410, issues: vec![issue], etag: Some(etag(&version.to_string())) }))
}

/// A refusal with one issue.
pub fn refused(status: u16, code: &'static str, text: impl Into<Cow<'static, str>>) -> Error {
    Error::Refused(Box::new(Refusal { status, issues: vec![Issue { code, text: text.into() }], etag: None }))
}

/// The answer to a request below the base that failed. A 5xx says nothing but the request id.
pub fn error(error: &Error, request_id: &str) -> Response {
    let facts = error.facts();
    let one = |code, text| OperationOutcome::new("error", [(code, text)]);
    let outcome = match error.plain() {
        Error::Refused(refusal) => {
            let issues = refusal.issues.iter().map(|issue| (issue.code, Cow::from(&*issue.text)));
            OperationOutcome::new("error", issues)
        }
        Error::Incomplete(fields) => of_fields("required", fields),
        Error::Invalid(fields) => of_fields("value", fields),
        Error::Internal(_) => one("exception", format!("{}; the request id is {request_id}", facts.message).into()),
        Error::NoRoute | Error::NotFound(_) => one("not-found", NOT_FOUND.into()),
        _ => one(code(facts.status), facts.message),
    };
    let mut response = Response::fhir(facts.status, &outcome);
    response.headers = error.headers();
    response
}

/// The answer to a request below the base that the transport refuses before it is complete.
pub fn refusal(status: u16, message: &str) -> Response {
    let response = Response::fhir(status, &OperationOutcome::new("error", [(code(status), message.into())]));
    if status == 503 { response.with_header("Retry-After", "1") } else { response }
}

fn of_fields<'a>(code: &'static str, fields: &FieldErrors) -> OperationOutcome<'a> {
    OperationOutcome::new(
        "error",
        fields.iter().map(|error| (code, format!("{} {}", error.field, error.message).into())),
    )
}

/// The code of an issue, by the status of its answer (`IssueType` of R4).
fn code(status: u16) -> &'static str {
    match status {
        400 => "structure",
        401 => "login",
        403 => "forbidden",
        405 | 406 | 415 | 501 => "not-supported",
        408 => "timeout",
        409 | 412 => "conflict",
        413 => "too-long",
        422 => "business-rule",
        429 => "throttled",
        500 => "exception",
        503 => "transient",
        _ => "processing",
    }
}
