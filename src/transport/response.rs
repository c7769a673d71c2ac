//! How the head of an answer becomes bytes.

use std::borrow::Cow;

use tiny_http::StatusCode;

use super::date;
use super::grammar::{is_text, is_token};

/// A header field of an answer: its name and its value.
pub type Field = (&'static str, Cow<'static, str>);

/// What the request and the connection make of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// The connection closes after this answer.
    pub close: bool,
    /// The client speaks HTTP/1.0, where keeping the connection must be said.
    pub is_1_0: bool,
}

/// Whether an answer of this status has a body; without one it has no length either (RFC 9110, sections 6.4.1 and 8.6).
pub(super) fn has_body(status: u16) -> bool {
    status >= 200 && !matches!(status, 204 | 304)
}

/// Appends an answer's head to `out`. `length` is that of the body, sent or not.
pub(super) fn append_head(out: &mut Vec<u8>, status: u16, fields: &[Field], length: usize, manner: Manner) {
    out.extend_from_slice(b"HTTP/1.1 ");
    append_number(out, usize::from(status));
    out.push(b' ');
    out.extend_from_slice(StatusCode(status).default_reason_phrase().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in fields {
        if is_token(name.as_bytes()) && value.bytes().all(is_text) && !is_ours(name) {
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
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
