//! Everything that is needed to answer one request, from any thread. It parses the request on the way in, and adds id, CORS
//! headers and the log line on the way out.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::app::App;
use crate::dispatch::{Routes, Target};
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::fhir;
use crate::logging::RequestLine;
use crate::memory::Share;
use crate::network;
use crate::request::{Headers, Method, Request};
use crate::routes::ROUTES;
use crate::wire::{self, RawRequest};

/// Name and value of a header of an answer.
type Header = (&'static str, Cow<'static, str>);

/// The headers of an answer that a script may read, beyond the basic ones.
const EXPOSED_HEADERS: &str = "Emergency-Access, ETag, Idempotency-Replayed, Link, Location, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id, X-Total-Count";
/// The headers that a script may send.
const ALLOWED_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-Id";

/// Makes request ids from a prefix that no other process has, and a counter.
pub struct RequestIds {
    prefix: String,
    count: AtomicU64,
}

impl RequestIds {
    /// Ids that begin with this prefix.
    pub fn new(prefix: String) -> RequestIds {
        RequestIds { prefix, count: AtomicU64::new(0) }
    }

    /// The client's own id if it is valid, else a new one.
    pub fn choose(&self, sent: Option<&str>) -> String {
        match sent.filter(|id| is_request_id(id)) {
            Some(id) => id.to_string(),
            None => format!("{}-{:x}", self.prefix, self.count.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// What is needed to answer a request, from any thread.
pub struct Exchange {
    raw: RawRequest,
    id: String,
    method: Option<Method>,
    route: Option<usize>,
    /// The client, behind any trusted proxy.
    pub client: IpAddr,
    origin: Option<String>,
    user_id: Option<i64>,
    /// Whether it is answered in the words of FHIR.
    is_fhir: bool,
    /// When the request had arrived completely.
    pub started: Instant,
}

impl Exchange {
    /// Parses a request and finds its route; `None` if the request has been refused.
    pub fn open(
        app: &App,
        routes: &Routes,
        ids: &RequestIds,
        mut raw: RawRequest,
    ) -> Option<(Exchange, Request, Target)> {
        let started = Instant::now();
        let mut headers = Headers::default();
        wire::headers(&raw).for_each(|(name, value)| headers.add(name, value));
        let id = ids.choose(headers.get("x-request-id"));
        let peer = wire::peer(&raw).unwrap_or(network::UNKNOWN);
        let trusted = &app.config.trusted_proxies;
        let client = network::client_address(peer, headers.get("x-forwarded-for"), trusted);
        if !network::is_one_of(peer, trusted) {
            headers.forget_forwarded();
        }
        let origin = headers.get("origin").map(str::to_string);
        let method = Method::parse(raw.method().as_str());
        let received = read(&mut raw, &id, method, client, headers, app.config.max_body_bytes);
        let path = received.as_ref().map_or(raw.url(), |request| &request.path);
        let is_fhir = fhir::is_below(path);
        let mut exchange = Exchange { raw, id, method, route: None, client, origin, user_id: None, is_fhir, started };
        let allowed = received.and_then(|mut request| {
            let target = routes.find(&mut request)?;
            exchange.route = target.route();
            target.allowed(&app.config)?;
            // Before any queue, so that requests beyond the limit take no place in it.
            if target.is_rate_limited() {
                app.guard.take_attempt(client)?;
            }
            Ok((request, target))
        });
        match allowed {
            Ok((request, target)) => Some((exchange, request, target)),
            Err(error) => {
                exchange.refuse(app, &error);
                None
            }
        }
    }

    /// Names the user in the log line.
    pub fn of_user(self, user_id: Option<i64>) -> Exchange {
        Exchange { user_id, ..self }
    }

    /// Answers with an error. Details that the client must not see go to the log.
    pub fn refuse(self, app: &App, error: &Error) {
        match error.plain() {
            Error::Internal(text) => log::error!(target: "server", "request {}: {text}", self.id),
            Error::Unavailable(text) => {
                app.refusals.failed(text);
                log::debug!(target: "server", "request {}: {text}", self.id);
            }
            Error::TooSlow(text) => log::debug!(target: "server", "request {}: {text}", self.id),
            _ => {}
        }
        let response = match self.is_fhir {
            true => fhir::outcome::error(error, &self.id),
            false => Response::error(error, &self.id),
        };
        self.answer(app, response, None);
    }

    /// Sends the answer, counts it and logs it. If it is long, `share` counts its memory until the client has read it.
    pub fn answer(self, app: &App, response: Response, share: Option<Share>) {
        let Exchange { raw, id, method, route, client, origin, user_id, started, .. } = self;
        let status = response.status;
        let preflight = method == Some(Method::Options);
        let allow = response.headers.iter().find(|(name, _)| *name == "Allow").map(|(_, allow)| allow.to_string());
        let mut headers = all_headers(response.headers, response.content_type, &id);
        add_cors_headers(&mut headers, &app.config.cors_origins, origin.as_deref(), allow.filter(|_| preflight));
        // The client may be gone, and then nobody misses the answer.
        let _ = wire::respond(raw, status, headers, Body { bytes: response.body, _share: share });
        let took = started.elapsed();
        app.metrics.record(route, status, took);
        let known = route.map(|index| &ROUTES[index]);
        RequestLine {
            id: &id,
            method: method.map_or("other", Method::name),
            route: known.map_or("-", |route| route.pattern),
            status,
            took,
            user_id,
            address: client,
        }
        .write();
    }
}

/// A body whose memory is counted until the client has read it.
struct Body {
    bytes: Vec<u8>,
    _share: Option<Share>,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The headers and the body of the answer to a request that the transport refuses itself.
pub fn refusal(
    ids: &RequestIds,
    status: u16,
    message: &str,
    sent_id: Option<&str>,
    target: Option<&str>,
) -> (Vec<Header>, Vec<u8>) {
    let response = match target.is_some_and(fhir::is_below) {
        true => fhir::outcome::refusal(status, message),
        false => Response::refusal(status, message),
    };
    (all_headers(response.headers, response.content_type, &ids.choose(sent_id)), response.body)
}

/// The headers that every answer has, and its own.
fn all_headers(own: Vec<Header>, content_type: &'static str, id: &str) -> Vec<Header> {
    let mut headers = Vec::with_capacity(8 + own.len());
    headers.push(("X-Request-Id", id.to_string().into()));
    headers.push(("Cache-Control", "no-store".into()));
    headers.push(("X-Content-Type-Options", "nosniff".into()));
    headers.push(("Server", "healthcare-backend".into()));
    if !content_type.is_empty() {
        headers.push(("Content-Type", content_type.into()));
    }
    headers.extend(own);
    headers
}

/// Reads the body within its limit and parses the target.
fn read(
    raw: &mut RawRequest,
    id: &str,
    method: Option<Method>,
    client: IpAddr,
    headers: Headers,
    max_body_bytes: usize,
) -> Result<Request> {
    let method = method.ok_or(Error::NotImplemented)?;
    let (path, raw_query) = Request::split_target(raw.url())?;
    let body = wire::take_body(raw, max_body_bytes)?;
    let parameters = Vec::new();
    Ok(Request { id: id.into(), method, path, client, headers, body, raw_query, parameters, query_names: &[] })
}

/// 1 to 64 of `A-Z a-z 0-9 . _ -`
fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Adds the headers that let a listed origin's script read the answer (WHATWG Fetch, 3.3); `allow` for the answer to a preflight.
fn add_cors_headers(headers: &mut Vec<Header>, origins: &[String], origin: Option<&str>, allow: Option<String>) {
    if origins.is_empty() {
        return;
    }
    match headers.iter_mut().find(|(name, _)| *name == "Vary") {
        Some((_, varies)) => varies.to_mut().push_str(", Origin"),
        None => headers.push(("Vary", "Origin".into())),
    }
    let Some(origin) = origin.filter(|origin| origins.iter().any(|listed| listed == origin)) else { return };
    headers.push(("Access-Control-Allow-Origin", origin.to_string().into()));
    match allow {
        Some(allow) => {
            headers.push(("Access-Control-Allow-Methods", allow.into()));
            headers.push(("Access-Control-Allow-Headers", ALLOWED_HEADERS.into()));
            headers.push(("Access-Control-Max-Age", "600".into()));
        }
        None => headers.push(("Access-Control-Expose-Headers", EXPOSED_HEADERS.into())),
    }
}
