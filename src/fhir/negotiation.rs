//! The first step of each handler: the formats that the client sends and accepts, its parameters, and the address by which it knows us.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::BASE;
use super::outcome::{bad_value, refused, shortened};
use crate::accept::Range;
use crate::config::Config;
use crate::error::Result;
use crate::request::{Method, Request};
use crate::validate::QueryParameters;

/// The media types that stand for FHIR in JSON.
const JSON: [&str; 2] = ["application/fhir+json", "application/json"];
const FORM: &str = "application/x-www-form-urlencoded";
/// The ends of the paths whose POST has parameters in its body.
const SEARCH: &str = "/_search";
const EVERYTHING: &str = "/$everything";

/// What each handler needs of a request, once it is known that both sides speak the same format.
pub struct Negotiated {
    /// The absolute address of the base, as the configuration or this request knows it.
    pub base: String,
    /// The parameters of the address, then those of the body, decoded and in order. Those without a value are left out.
    pub parameters: Vec<(String, String)>,
}

impl Negotiated {
    /// The same, for requests none of whose parameters may be repeated.
    pub fn each_once(self) -> Result<Negotiated> {
        let mut names = BTreeSet::new();
        match self.parameters.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => Err(bad_value(format!("{} must not be repeated", shortened(name)))),
            None => Ok(self),
        }
    }
}

/// Refuses a request that comes in another format, wants one back, or does not say where it was sent.
pub fn negotiate(config: &Config, request: &Request) -> Result<Negotiated> {
    let (base, parameters) = (base(config, request)?, parameters(request)?);
    let mut formats = parameters.iter().filter(|(name, _)| name == "_format").map(|(_, format)| format).peekable();
    // A format in the address wins over the header.
    let is_welcome = match formats.peek() {
        Some(_) => formats.all(|format| is_format(&format.replace(' ', "+"))),
        None => request.headers.get("accept").is_none_or(|accept| accept.trim().is_empty() || accepts_json(accept)),
    };
    match is_welcome {
        true => Ok(Negotiated { base, parameters }),
        false => Err(refused(406, "not-supported", "Only JSON is spoken here: application/fhir+json, version 4.0")),
    }
}

fn parameters(request: &Request) -> Result<Vec<(String, String)>> {
    let mut parameters = decoded(&request.raw_query)?;
    parameters.extend(of_body(request)?);
    if parameters.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(bad_value("The parameters must not have the character U+0000"));
    }
    parameters.retain(|(_, value)| !value.is_empty());
    Ok(parameters)
}

/// A header that a trusted proxy did not set is gone by now.
fn base(config: &Config, request: &Request) -> Result<String> {
    if let Some(base) = &config.fhir_base_url {
        return Ok(base.trim_end_matches('/').to_string());
    }
    let first = |name| request.headers.get(name).and_then(|list| list.split(',').next()).map(str::trim);
    let scheme = if first("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    let host = first("x-forwarded-host").or_else(|| request.headers.get("host"));
    let host = host.filter(|host| is_host(host)).ok_or_else(|| bad_value("Host must name a host"))?;
    Ok(format!("{scheme}://{host}{BASE}"))
}

fn decoded(text: &str) -> Result<Vec<(String, String)>> {
    let pairs: Vec<(String, String)> = QueryParameters::pairs(text).collect();
    match pairs.len() == text.split('&').filter(|pair| !pair.is_empty()).count() {
        true => Ok(pairs),
        false => Err(bad_value("The parameters must be percent-encoded UTF-8")),
    }
}

fn of_body(request: &Request) -> Result<Vec<(String, String)>> {
    if request.body.is_empty() {
        return Ok(Vec::new());
    }
    let coding = request.headers.get("content-encoding").unwrap_or("identity");
    let media_type = request.headers.get("content-type").unwrap_or_default();
    let path = request.path.trim_end_matches('/');
    let is_search = request.method == Method::Post && path.ends_with(SEARCH);
    let is_known = if is_search { is_form(media_type) } else { is_format(media_type) };
    if !is_known || !coding.trim().eq_ignore_ascii_case("identity") {
        let needed = if is_search { FORM } else { "application/fhir+json or application/json" };
        return Err(refused(415, "not-supported", format!("The body must be {needed}, without a Content-Encoding")));
    }
    if is_search {
        let text =
            std::str::from_utf8(&request.body).map_err(|_| bad_value("The form must be percent-encoded UTF-8"))?;
        return decoded(text);
    }
    if request.method == Method::Post && path.ends_with(EVERYTHING) {
        return of_resource(&request.body);
    }
    Err(refused(400, "structure", "This request takes no body"))
}

/// The parameters of an operation: a resource of the type Parameters.
fn of_resource(body: &[u8]) -> Result<Vec<(String, String)>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        resource_type: String,
        #[serde(default)]
        parameter: Vec<Parameter>,
    }
    #[derive(Deserialize)]
    struct Parameter {
        name: String,
        #[serde(flatten)]
        values: serde_json::Map<String, Value>,
    }
    let structure =
        || refused(400, "structure", "The body must be a Parameters resource whose parameters have a value each");
    let resource: Parameters = serde_json::from_slice(body).map_err(|_| structure())?;
    let pair = |parameter: Parameter| {
        let mut values = parameter.values.into_iter();
        match (values.next(), values.next()) {
            (Some((kind, Value::String(value))), None) if kind.starts_with("value") => Ok((parameter.name, value)),
            _ => Err(structure()),
        }
    };
    if resource.resource_type != "Parameters" {
        return Err(structure());
    }
    resource.parameter.into_iter().map(pair).collect()
}

/// Whether one of the media ranges stands for FHIR in JSON.
fn accepts_json(accept: &str) -> bool {
    let stands_for_json = |range: &Range| is_json(range) || matches!(&*range.name, "*/*" | "application/*");
    Range::list(accept).any(|range| range.weight > 0 && stands_for_json(&range) && is_version(&range))
}

/// Whether this names FHIR in JSON, in our version.
fn is_format(media_type: &str) -> bool {
    Range::parse(media_type).is_some_and(|media_type| is_json(&media_type) && is_version(&media_type))
}

fn is_form(media_type: &str) -> bool {
    Range::parse(media_type).is_some_and(|media_type| media_type.name == FORM)
}

fn is_json(media_type: &Range) -> bool {
    media_type.name == "json" || JSON.contains(&&*media_type.name)
}

fn is_version(media_type: &Range) -> bool {
    media_type.parameter("fhirversion").is_none_or(|version| version == "4.0" || version == "4.0.1")
}

/// A name or an address, and perhaps a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
        Some(address) => address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// `Prefer: handling=lenient`: a search leaves out unsupported parameters, and its answer names them.
pub fn is_lenient(request: &Request) -> bool {
    let prefer = request.headers.get("prefer").unwrap_or_default();
    let mut preferences = prefer.split([',', ';']).map(|preference| preference.replace(['"', ' '], ""));
    preferences.any(|preference| preference.eq_ignore_ascii_case("handling=lenient"))
}
