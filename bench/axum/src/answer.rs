//! The envelope, the headers that every answer has, and the errors that the measured routes can end in.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LINK, LOCATION, SERVER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;

use crate::App;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id if it is valid, else a new one.
pub struct RequestId(pub String);

impl FromRequestParts<Arc<App>> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<RequestId, Infallible> {
        let sent = parts.headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let plain = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        Ok(RequestId(sent.filter(plain).map_or_else(|| app.new_request_id(), str::to_string)))
    }
}

/// Why a request ends without what it asked for.
pub enum Problem {
    Unauthenticated,
    WrongPassword,
    NotFound,
    Invalid(Vec<FieldError>),
    Internal,
}

/// One entry of `data.errors`.
#[derive(Serialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

impl<E: std::error::Error> From<E> for Problem {
    fn from(_: E) -> Problem {
        Problem::Internal
    }
}

impl Problem {
    pub fn invalid(field: &str, message: &str) -> Problem {
        Problem::Invalid(vec![FieldError { field: field.to_string(), message: message.to_string() }])
    }

    pub fn answer(self, id: &RequestId) -> Response {
        match self {
            Problem::Unauthenticated => {
                let mut response =
                    json(id, StatusCode::UNAUTHORIZED, "forbidden", "A valid access token is needed", ());
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
            Problem::WrongPassword => json(id, StatusCode::UNAUTHORIZED, "invalid", "Wrong e-mail or password", ()),
            Problem::NotFound => json(id, StatusCode::NOT_FOUND, "failed", "Patient not found", ()),
            Problem::Invalid(errors) => {
                let data = serde_json::json!({ "errors": errors });
                json(id, StatusCode::BAD_REQUEST, "invalid", "The request is not valid", data)
            }
            Problem::Internal => {
                let message = format!("Something went wrong on our side; the request id is {}", id.0);
                json(id, StatusCode::INTERNAL_SERVER_ERROR, "failed", &message, ())
            }
        }
    }
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    status: &'a str,
    message: &'a str,
    data: T,
}

/// 200 `success`
pub fn success(id: &RequestId, message: &str, data: impl Serialize) -> Response {
    json(id, StatusCode::OK, "success", message, data)
}

/// 201 `created`
pub fn created(id: &RequestId, message: &str, location: &str, data: impl Serialize) -> Response {
    with(json(id, StatusCode::CREATED, "created", message, data), LOCATION, location)
}

/// 304
pub fn not_modified(id: &RequestId) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    common_headers(response.headers_mut(), id);
    response
}

pub fn with_etag(response: Response, version: i64) -> Response {
    with(response, ETAG, &format!("\"{version}\""))
}

pub fn with_next(response: Response, link: Option<String>) -> Response {
    match link {
        Some(link) => with(response, LINK, &link),
        None => response,
    }
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn json(id: &RequestId, status: StatusCode, word: &str, message: &str, data: impl Serialize) -> Response {
    let mut body = Vec::with_capacity(512);
    let written = serde_json::to_writer(&mut body, &Envelope { status: word, message, data });
    debug_assert!(written.is_ok());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    common_headers(response.headers_mut(), id);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn common_headers(headers: &mut HeaderMap, id: &RequestId) {
    headers.reserve(8);
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SERVER, HeaderValue::from_static("peer-axum"));
}
