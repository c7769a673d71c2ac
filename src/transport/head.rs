//! A complete head, from its bytes to a [`Head`]: the request line, the field lines, and what they say of the framing.

use std::ops::Range;

use tiny_http::Method;

use super::config::Config;
use super::fields::{Fields, Framing};
use super::grammar::is_token;
use super::refusal::{Cause, Refusal};
use super::scan::Bounds;
use super::target::{self, Target};

/// A head that has passed every check.
#[derive(Debug)]
pub(super) struct Head {
    /// From the request line to the blank line.
    text: Box<str>,
    spans: Vec<Span>,
    meaning: Meaning,
}

/// Where a field lies in the text.
#[derive(Debug)]
struct Span {
    name: Range<u32>,
    value: Range<u32>,
}

/// What a head says, beside its fields.
#[derive(Debug)]
struct Meaning {
    method: Method,
    is_1_0: bool,
    target: Target,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
}

impl Head {
    /// Parses the head that lies in `data` within `bounds`.
    pub fn parse(data: &[u8], bounds: &Bounds, config: &Config) -> Result<Head, Refusal> {
        let bytes = &data[bounds.line_start..bounds.end];
        let text: Box<str> = match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            // What is not UTF-8 is read as ISO-8859-1, which field values once were.
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        let (spans, meaning) = read(&text, bounds.lines, config)?;
        Ok(Head { text, spans, meaning })
    }

    pub fn method(&self) -> &Method {
        &self.meaning.method
    }

    /// Whether the version is HTTP/1.0, and not 1.1 or a later one of HTTP/1.
    pub fn is_1_0(&self) -> bool {
        self.meaning.is_1_0
    }

    /// Path and query, undecoded.
    pub fn target(&self) -> &str {
        match &self.meaning.target {
            Target::Within(range) => &self.text[range.clone()],
            Target::Owned(text) => text,
        }
    }

    pub fn framing(&self) -> Framing {
        self.meaning.framing
    }

    pub fn keep_alive(&self) -> bool {
        self.meaning.keep_alive
    }

    pub fn expects_continue(&self) -> bool {
        self.meaning.expects_continue
    }

    /// The client's name for the request, unchecked.
    fn request_id(&self) -> Option<String> {
        let mut fields = self.fields();
        fields.find(|(name, _)| name.eq_ignore_ascii_case("x-request-id")).map(|(_, value)| value.to_owned())
    }

    /// Gives a refusal of this request what it needs of the head.
    pub fn label(&self, refusal: &mut Refusal) {
        refusal.to_head = self.meaning.method == Method::Head;
        refusal.request_id = self.request_id();
        refusal.target = Some(self.target().to_owned());
    }

    /// Name and value of each field, in the order of arrival.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |range: &Range<u32>| &self.text[range.start as usize..range.end as usize];
        self.spans.iter().map(move |span| (text(&span.name), text(&span.value)))
    }
}

fn read(text: &str, lines: usize, config: &Config) -> Result<(Vec<Span>, Meaning), Refusal> {
    let (line, section) = text.split_once("\r\n").ok_or_else(malformed_line)?;
    let line = RequestLine::parse(line)?;
    let to_head = |mut refusal: Refusal| {
        refusal.to_head = line.method == "HEAD";
        refusal
    };

    let (mut few, mut many) = ([httparse::EMPTY_HEADER; 24], Vec::new());
    let room = if lines <= few.len() {
        &mut few[..]
    } else {
        many.resize(lines, httparse::EMPTY_HEADER);
        &mut many[..]
    };
    let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(section.as_bytes(), room) else {
        return Err(to_head(Refusal::new(Cause::Field, "A header field is malformed")));
    };
    let fields = Fields::new(parsed);
    let meaning = interpret(text, &line, &fields, config).map_err(|mut refusal| {
        refusal.request_id = fields.request_id();
        refusal.target = Some(line.target.to_owned());
        to_head(refusal)
    })?;
    let spans = parsed
        .iter()
        .map(|field| Span { name: range_in(text, field.name.as_bytes()), value: range_in(text, field.value) });
    Ok((spans.collect(), meaning))
}

/// The checks, the most important first: framing, because it is about security.
fn interpret(text: &str, line: &RequestLine<'_>, fields: &Fields<'_>, config: &Config) -> Result<Meaning, Refusal> {
    if line.version.0 != 1 {
        return Err(Refusal::new(Cause::Version, "Only HTTP/1.1 and HTTP/1.0 are supported"));
    }
    let is_1_0 = line.version.1 == 0;
    fields.check_host(is_1_0)?;
    let framing = fields.framing(is_1_0)?;
    let method = served_method(line.method)?;
    let target = target::parse(text, line.target, &method)?;
    let expects_continue = fields.expects_continue(is_1_0)?;
    if let Framing::Length(length) = framing
        && length > config.body_bytes
    {
        return Err(body_too_long(config));
    }
    Ok(Meaning { method, is_1_0, target, framing, keep_alive: fields.keep_alive(is_1_0), expects_continue })
}

/// The three parts of a request line (RFC 9112, section 3), their syntax checked.
struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    version: (u8, u8),
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a str) -> Result<RequestLine<'a>, Refusal> {
        let mut parts = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed_line());
        };
        let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version.as_bytes() else {
            return Err(malformed_line());
        };
        let digits = major.is_ascii_digit() && minor.is_ascii_digit();
        if !digits || !is_token(method.as_bytes()) || target.is_empty() {
            return Err(malformed_line());
        }
        Ok(RequestLine { method, target, version: (major - b'0', minor - b'0') })
    }
}

fn served_method(name: &str) -> Result<Method, Refusal> {
    Ok(match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        _ => return Err(Refusal::new(Cause::Method, "This method is not supported")),
    })
}

/// The refusal of a body beyond the bound.
pub(super) fn body_too_long(config: &Config) -> Refusal {
    let message = format!("The body is longer than {} bytes", config.body_bytes);
    Refusal::new(Cause::BodyTooLong, message)
}

fn malformed_line() -> Refusal {
    Refusal::new(Cause::RequestLine, "The request line is malformed")
}

/// Where `part`, a slice of `text`, lies in it.
fn range_in(text: &str, part: &[u8]) -> Range<u32> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start as u32..(start + part.len()) as u32
}
