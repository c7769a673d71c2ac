//! The fields of a head that the transport itself obeys: `Host`, `Content-Length`, `Transfer-Encoding`, `Connection`
//! and `Expect`. What two parties could read differently is refused, because such requests are how one hides in another.

use super::grammar::is_token;
use super::refusal::{Cause, Refusal};
use super::target::is_authority;

/// How the body of a request is delimited (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// The fields of one head, whose syntax has been checked.
pub(super) struct Fields<'a> {
    all: &'a [httparse::Header<'a>],
}

impl<'a> Fields<'a> {
    pub fn new(all: &'a [httparse::Header<'a>]) -> Fields<'a> {
        Fields { all }
    }

    /// Exactly one valid `Host`; HTTP/1.0 may go without (RFC 9112, section 3.2).
    pub fn check_host(&self, is_1_0: bool) -> Result<(), Refusal> {
        let refused = |message| Err(Refusal::new(Cause::Host, message).of_field("host"));
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (None, _) if is_1_0 => Ok(()),
            (None, _) => refused("The Host header field is missing"),
            (Some(_), Some(_)) => refused("The Host header field stands twice"),
            (Some(host), None) if std::str::from_utf8(host).is_ok_and(is_authority) => Ok(()),
            (Some(_), None) => refused("The Host header field is invalid"),
        }
    }

    /// How the body is delimited, if both length fields leave no doubt.
    pub fn framing(&self, is_1_0: bool) -> Result<Framing, Refusal> {
        let mut lengths = self.values("content-length");
        let mut codings = self.values("transfer-encoding").peekable();
        if codings.peek().is_none() {
            return match (lengths.next(), lengths.next()) {
                (None, _) => Ok(Framing::Empty),
                (Some(length), None) => content_length(length).map(Framing::Length),
                (Some(_), Some(_)) => Err(bad_length("The Content-Length header field stands twice")),
            };
        }
        if lengths.next().is_some() {
            return Err(bad_coding("Content-Length and Transfer-Encoding exclude each other"));
        }
        if is_1_0 {
            return Err(bad_coding("HTTP/1.0 has no Transfer-Encoding"));
        }
        transfer_coding(codings)
    }

    /// Whether the connection may serve another request (RFC 9112, section 9.3).
    pub fn keep_alive(&self, is_1_0: bool) -> bool {
        let (mut close, mut keep) = (false, false);
        for option in self.values("connection").flat_map(elements) {
            close |= option.eq_ignore_ascii_case(b"close");
            keep |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        !close && (keep || !is_1_0)
    }

    /// Whether the client waits for an interim 100 (RFC 9110, section 10.1.1). HTTP/1.0 knows no expectations.
    pub fn expects_continue(&self, is_1_0: bool) -> Result<bool, Refusal> {
        let mut expected = false;
        for value in self.values("expect").filter(|_| !is_1_0) {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                let message = "The only supported expectation is 100-continue";
                return Err(Refusal::new(Cause::Expectation, message).of_field("expect"));
            }
            expected = true;
        }
        Ok(expected)
    }

    /// The client's name for the request, unchecked.
    pub fn request_id(&self) -> Option<String> {
        let value = self.values("x-request-id").next()?;
        String::from_utf8(value.to_vec()).ok()
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.all.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

/// One decimal number (RFC 9110, section 8.6). A list of equal ones, which a recipient may accept, is refused.
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits);
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| bad_length("The Content-Length header field is invalid"))
}

/// `chunked` alone is served; codings before it are known but not served; `chunked` in another place is an error
/// (RFC 9112, section 6.1).
fn transfer_coding<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Framing, Refusal> {
    let codings: Vec<&[u8]> = values.flat_map(elements).collect();
    let name_of = |coding: &'a [u8]| -> &'a [u8] {
        let name = coding.split(|&byte| byte == b';').next();
        name.unwrap_or(coding).trim_ascii()
    };
    if let [only] = codings[..]
        && only.eq_ignore_ascii_case(b"chunked")
    {
        return Ok(Framing::Chunked);
    }
    if !codings.iter().all(|&coding| is_token(name_of(coding))) {
        return Err(bad_coding("The Transfer-Encoding header field is invalid"));
    }
    let chunked = |coding: &&'a [u8]| name_of(coding).eq_ignore_ascii_case(b"chunked");
    let place = codings.iter().position(chunked);
    if place.is_some_and(|place| place + 1 < codings.len()) {
        return Err(bad_coding("The transfer coding chunked must appear once, as the last one"));
    }
    let message = "The only supported transfer coding is chunked";
    Err(Refusal::new(Cause::TransferCoding, message).of_field("transfer-encoding"))
}

/// The elements of a comma-separated list, without the white space around them; empty ones stay.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(|element| element.trim_ascii())
}

fn bad_length(message: &'static str) -> Refusal {
    Refusal::new(Cause::ContentLength, message).of_field("content-length")
}

fn bad_coding(message: &'static str) -> Refusal {
    Refusal::new(Cause::TransferEncoding, message).of_field("transfer-encoding")
}
