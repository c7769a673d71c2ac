//! A request as handlers see it. It has no type of the transport.

use std::net::IpAddr;

use crate::error::{Error, Result};
use crate::percent;
use crate::validate::{Form, Mode, QueryParameters, parse_id};

/// The methods that this server knows (RFC 9110, RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are their names")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// The method of this exact name; `None` if it is not supported.
    pub fn parse(name: &str) -> Option<Method> {
        Some(match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => return None,
        })
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }
}

/// The request headers that the service reads; all others are dropped.
const KNOWN_HEADERS: [&str; 15] = [
    "authorization",
    "accept",
    "content-type",
    "content-encoding",
    "if-match",
    "if-none-match",
    "x-request-id",
    "x-forwarded-for",
    "origin",
    "user-agent",
    "idempotency-key",
    "host",
    "prefer",
    "x-forwarded-host",
    "x-forwarded-proto",
];
/// Those that only a trusted proxy may set: the address by which the client knows us.
const FORWARDED: [&str; 2] = ["x-forwarded-host", "x-forwarded-proto"];

/// The values of the headers that we know. Repeated ones are joined with a comma (RFC 9110, 5.3).
#[derive(Debug, Default)]
pub struct Headers([Option<String>; KNOWN_HEADERS.len()]);

impl Headers {
    /// Keeps the header if it is one that we know.
    pub fn add(&mut self, name: &str, value: &str) {
        let Some(place) = KNOWN_HEADERS.iter().position(|known| known.eq_ignore_ascii_case(name)) else { return };
        match &mut self.0[place] {
            Some(present) => {
                present.push_str(", ");
                present.push_str(value);
            }
            empty => *empty = Some(value.to_string()),
        }
    }

    /// Drops what only a trusted proxy may say.
    pub fn forget_forwarded(&mut self) {
        for (name, value) in KNOWN_HEADERS.iter().zip(&mut self.0) {
            if FORWARDED.contains(name) {
                *value = None;
            }
        }
    }

    /// The value of one of the known headers, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = KNOWN_HEADERS.iter().position(|known| *known == name);
        debug_assert!(place.is_some(), "{name} is not in KNOWN_HEADERS");
        self.0[place?].as_deref()
    }
}

/// One request that has arrived completely.
#[derive(Debug)]
pub struct Request {
    /// Names this request in the answer, the log and the audit trail.
    pub id: String,
    /// The method.
    pub method: Method,
    /// The path, percent-decoded once; an encoded slash stays encoded (RFC 3986, 2.2).
    pub path: String,
    /// The client, behind any trusted proxy.
    pub client: IpAddr,
    /// The headers that we know.
    pub headers: Headers,
    /// The body, within its bound.
    pub body: Vec<u8>,
    /// The raw query, without the question mark.
    pub raw_query: String,
    /// The values of the `{…}` in the route's path.
    pub parameters: Vec<(&'static str, String)>,
    /// The query parameters that the route allows; set together with `parameters`.
    pub query_names: &'static [&'static str],
}

impl Request {
    /// Splits the request target into path and query. The transport has already reduced an absolute form to these.
    pub fn split_target(target: &str) -> Result<(String, String)> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // Encoded once more, an encoded slash stays encoded.
        let path = percent::decode(&path.replace("%2f", "%2F").replace("%2F", "%252F"))
            .ok_or_else(|| Error::invalid("path", "must be percent-encoded UTF-8"))?;
        Ok((path, query.to_string()))
    }

    /// The id in the path that has this name. It must be a positive 64-bit integer in plain digits.
    pub fn id(&self, name: &'static str) -> Result<i64> {
        let text = self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        parse_id(text.unwrap_or_default()).map_err(|rule| Error::invalid(name, rule))
    }

    /// The same, if the route has a place of this name.
    pub fn optional_id(&self, name: &'static str) -> Result<Option<i64>> {
        self.parameters.iter().any(|(key, _)| *key == name).then(|| self.id(name)).transpose()
    }

    /// This path with this query, some parameters replaced: the target of the next page of a list.
    pub fn target_with(&self, new: &[(&str, &str)]) -> String {
        let kept =
            QueryParameters::pairs(&self.raw_query).filter(|(name, _)| !new.iter().any(|(other, _)| other == name));
        let new = new.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let pairs =
            kept.chain(new).map(|(name, value)| format!("{}={}", percent::encode(&name), percent::encode(&value)));
        format!("{}?{}", self.path, pairs.collect::<Vec<_>>().join("&"))
    }

    /// The query parameters. Read them one by one, then call `finish`.
    pub fn query(&self) -> QueryParameters {
        QueryParameters::parse(&self.raw_query, self.query_names)
    }

    /// The body as the fields of a new record.
    pub fn new_record(&self) -> Result<Form> {
        Form::parse(&self.body, Mode::Create)
    }

    /// The body as the changed fields of a record.
    pub fn changes(&self) -> Result<Form> {
        Form::parse(&self.body, Mode::Update)
    }

    /// The versions that `If-Match` allows; `None` if it allows every version. The header must be a list of entity tags (RFC 9110,
    /// 13.1.1).
    pub fn if_match(&self) -> Result<Option<Vec<String>>> {
        let Some(value) = self.headers.get("if-match") else { return Ok(None) };
        match parse_entity_tags(value) {
            Some(EntityTags::Any) => Ok(None),
            // The strong comparison: a weak tag matches nothing.
            Some(EntityTags::List(tags)) => {
                Ok(Some(tags.into_iter().filter(|tag| !tag.weak).map(|tag| tag.opaque).collect()))
            }
            None => Err(Error::invalid("If-Match", "must be * or a list of quoted entity tags")),
        }
    }

    /// Whether the client already holds this version (RFC 9110, 13.1.2: the weak comparison).
    pub fn already_has(&self, version: &str) -> bool {
        match self.headers.get("if-none-match").and_then(parse_entity_tags) {
            Some(EntityTags::Any) => true,
            Some(EntityTags::List(tags)) => tags.iter().any(|tag| tag.opaque == version),
            None => false,
        }
    }
}

/// The value of `If-Match` and `If-None-Match`.
enum EntityTags {
    Any,
    List(Vec<EntityTag>),
}

struct EntityTag {
    weak: bool,
    opaque: String,
}

fn parse_entity_tags(value: &str) -> Option<EntityTags> {
    let mut rest = value;
    if rest.trim() == "*" {
        return Some(EntityTags::Any);
    }
    let mut tags = Vec::new();
    loop {
        // Elements of a list may be empty (RFC 9110, 5.6.1).
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(EntityTags::List(tags));
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push(EntityTag { weak, opaque: opaque.to_string() });
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}
