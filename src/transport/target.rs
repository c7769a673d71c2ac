//! Request targets (RFC 9112, section 3.2) and the authorities in them and in `Host`.

use std::net::Ipv6Addr;
use std::ops::Range;

use tiny_http::Method;

use super::refusal::{Cause, Refusal};

/// Path and query of a request target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// As they stand in the head's text.
    Within(Range<usize>),
    /// `/` or `/?query`, where an absolute-form target has no path.
    Owned(Box<str>),
}

/// Checks `target`, which is a part of `text`: origin-form, absolute-form with `http` or `https`, or `*` for OPTIONS.
pub(super) fn parse(text: &str, target: &str, method: &Method) -> Result<Target, Refusal> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return Err(refused("The request target has a byte that is not allowed there"));
    }
    if !escapes_are_valid(target) {
        return Err(refused("The request target has an invalid percent escape"));
    }
    let path = if target.starts_with('/') {
        target
    } else if target == "*" {
        if *method != Method::Options {
            return Err(refused("The request target * is for OPTIONS only"));
        }
        target
    } else {
        path_of_absolute(target).ok_or_else(|| refused("The request target is malformed"))?
    };
    if path.is_empty() || path.starts_with('?') {
        return Ok(Target::Owned(format!("/{path}").into()));
    }
    let start = path.as_ptr().addr() - text.as_ptr().addr();
    Ok(Target::Within(start..start + path.len()))
}

/// What follows the authority in `http://authority/path?query`; `None` for anything else.
fn path_of_absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    is_authority(authority).then_some(path)
}

/// Whether `text` is `host [":" port]` with a host that is not empty (RFC 9110, section 4.2.1): no user information.
pub(super) fn is_authority(text: &str) -> bool {
    let (host_is_valid, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (is_registered_name(&text[..end]), &text[end..])
        }
    };
    host_is_valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Digits that make a port number, or nothing at all (RFC 3986, section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// `reg-name` of RFC 3986, section 3.2.2, but not empty; IPv4 addresses are among them.
fn is_registered_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed) && escapes_are_valid(text)
}

fn escapes_are_valid(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        match &rest[at..] {
            [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = &rest[at + 3..];
            }
            _ => return false,
        }
    }
    true
}

fn refused(message: &'static str) -> Refusal {
    Refusal::new(Cause::Target, message)
}
