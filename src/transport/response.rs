//! Answers: the types that the application fills in, and how they become bytes.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Cursor, Read};
use std::ops::Deref;
use std::sync::mpsc::Receiver;

use tiny_http::StatusCode;

use super::date;
use super::grammar::is_token;

/// A header field of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The field's name.
    pub field: HeaderField,
    /// The field's value.
    pub value: HeaderValue,
}

/// The name of a header field of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField(Cow<'static, str>);

/// The value of a header field of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderValue(Cow<'static, str>);

impl Header {
    /// A header field from its name and value. The name must be a token (RFC 9110, section 5.1), the value UTF-8
    /// without control characters but tabs.
    #[allow(clippy::result_unit_err)] // as in tiny_http
    pub fn from_bytes<N, V>(name: N, value: V) -> Result<Header, ()>
    where
        N: Into<Vec<u8>> + AsRef<[u8]>,
        V: Into<Vec<u8>> + AsRef<[u8]>,
    {
        if !is_token(name.as_ref()) || !is_value(value.as_ref()) {
            return Err(());
        }
        let name = String::from_utf8(name.into()).map_err(drop)?;
        let value = String::from_utf8(value.into()).map_err(drop)?;
        Ok(Header { field: HeaderField(Cow::Owned(name)), value: HeaderValue(Cow::Owned(value)) })
    }

    /// A header field that is known when the program is compiled. It allocates nothing.
    ///
    /// # Panics
    /// If the name is not a token or the value has control characters: a mistake of the program.
    pub fn from_static(name: &'static str, value: &'static str) -> Header {
        Header::named(name, Cow::Borrowed(value)).expect("a valid header field")
    }

    /// A header field whose name is known when the program is compiled; `None` if it is not a token or `value` has
    /// control characters.
    pub fn named(name: &'static str, value: impl Into<Cow<'static, str>>) -> Option<Header> {
        let value = value.into();
        (is_token(name.as_bytes()) && is_value(value.as_bytes()))
            .then_some(Header { field: HeaderField(Cow::Borrowed(name)), value: HeaderValue(value) })
    }
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control())
}

impl HeaderField {
    /// The name, in the case in which it was written.
    pub fn as_str(&self) -> Text<'_> {
        Text(&self.0)
    }

    /// Whether this is the field `other`, without regard to case.
    pub fn equiv(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl HeaderValue {
    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text of a header field. (`tiny_http` has an `AsciiStr` here, hence the second `as_str`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An answer. `Content-Length`, `Connection`, `Date` and the other fields of framing are the transport's: such fields
/// among `headers` are left out.
#[derive(Debug)]
pub struct Response<R> {
    status: StatusCode,
    headers: Vec<Header>,
    body: R,
    length: Option<usize>,
}

impl<R: Read> Response<R> {
    /// An answer whose body is read from `body`, wholly, before anything is sent: exactly `length` bytes, or to its end
    /// where that is `None`. `more_headers` are added to `headers`.
    pub fn new(
        status: StatusCode,
        headers: Vec<Header>,
        body: R,
        length: Option<usize>,
        more_headers: Option<Receiver<Header>>,
    ) -> Response<R> {
        let mut response = Response { status, headers, body, length };
        response.headers.extend(more_headers.into_iter().flatten());
        response
    }

    /// The status code.
    pub fn status_code(&self) -> StatusCode {
        self.status
    }
}

impl Response<Cursor<Vec<u8>>> {
    /// An answer whose body is at hand.
    pub fn whole(status: StatusCode, headers: Vec<Header>, body: Vec<u8>) -> Self {
        let length = Some(body.len());
        Response::new(status, headers, Cursor::new(body), length, None)
    }
}

/// What the request and the connection make of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// The connection closes after this answer.
    pub close: bool,
    /// The client speaks HTTP/1.0, where keeping the connection must be said.
    pub is_1_0: bool,
}

impl<R: Read> Response<R> {
    /// Reads the body, wholly. Fails if that cannot be read or is shorter than was said.
    pub(super) fn read(mut self) -> io::Result<(StatusCode, Vec<Header>, Vec<u8>)> {
        let mut body = Vec::new();
        match self.length {
            None => drop(self.body.read_to_end(&mut body)?),
            Some(length) => {
                body.resize(length, 0);
                self.body.read_exact(&mut body)?;
            }
        }
        Ok((self.status, self.headers, body))
    }
}

/// Whether an answer of this status has a body; without one it has no length either (RFC 9110, sections 6.4.1 and 8.6).
pub(super) fn has_body(status: StatusCode) -> bool {
    status.0 >= 200 && !matches!(status.0, 204 | 304)
}

/// Appends an answer's head to `out`. `length` is that of the body, sent or not.
pub(super) fn append_head(out: &mut Vec<u8>, status: StatusCode, headers: &[Header], length: usize, manner: Manner) {
    out.extend_from_slice(b"HTTP/1.1 ");
    append_number(out, usize::from(status.0));
    out.push(b' ');
    out.extend_from_slice(status.default_reason_phrase().as_bytes());
    out.extend_from_slice(b"\r\n");
    for Header { field, value } in headers {
        if !is_ours(&field.0) {
            append_field(out, &field.0, value.0.as_bytes());
        }
    }
    out.extend_from_slice(b"Date: ");
    date::append_to(out);
    if has_body(status) {
        out.extend_from_slice(b"\r\nContent-Length: ");
        append_number(out, length);
    }
    if manner.close {
        out.extend_from_slice(b"\r\nConnection: close");
    } else if manner.is_1_0 {
        out.extend_from_slice(b"\r\nConnection: keep-alive");
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// Fields that describe the message or the connection, which only the transport knows.
fn is_ours(name: &str) -> bool {
    const OURS: [&str; 6] = ["connection", "content-length", "date", "trailer", "transfer-encoding", "upgrade"];
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

fn append_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn append_number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
