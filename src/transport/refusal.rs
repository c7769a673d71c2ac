//! What the transport refuses: the causes, their HTTP status, and a sentence for a person.

use std::borrow::Cow;

use super::response::Field;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $label:literal;)*) => {
        /// Why the transport refused a request or a connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Cause { $($(#[$doc])* $name,)* }

        impl Cause {
            /// Every cause, in declaration order.
            pub const ALL: &'static [Cause] = &[$(Cause::$name,)*];

            /// The HTTP status of the answer.
            pub fn status(self) -> u16 {
                match self { $(Cause::$name => $status,)* }
            }

            /// A short lower-case name, fit for a metric's label.
            pub fn label(self) -> &'static str {
                match self { $(Cause::$name => $label,)* }
            }
        }
    };
}

causes! {
    /// The request line is not `method SP target SP version` (RFC 9112, section 3).
    RequestLine = 400, "request_line";
    /// A line does not end in CR LF (RFC 9112, section 2.2).
    LineEnd = 400, "line_end";
    /// The request target has a form or a byte that is not accepted (RFC 9112, section 3.2).
    Target = 400, "target";
    /// A field line is malformed (RFC 9112, section 5).
    Field = 400, "field";
    /// `Host` is missing, repeated or invalid (RFC 9112, section 3.2).
    Host = 400, "host";
    /// `Content-Length` is malformed or repeated (RFC 9112, section 6.3).
    ContentLength = 400, "content_length";
    /// `Transfer-Encoding` is malformed, or stands where it may not (RFC 9112, section 6.1).
    TransferEncoding = 400, "transfer_encoding";
    /// The chunked coding is broken (RFC 9112, section 7.1).
    Chunk = 400, "chunk";
    /// The client stopped sending in the middle of a request.
    Incomplete = 400, "incomplete";
    /// The head did not arrive in time.
    HeadTimeout = 408, "head_timeout";
    /// The body did not arrive in time.
    BodyTimeout = 408, "body_timeout";
    /// The body is too long.
    BodyTooLong = 413, "body_too_long";
    /// The request line is too long.
    RequestLineTooLong = 414, "request_line_too_long";
    /// `Expect` asks for something other than `100-continue`.
    Expectation = 417, "expectation";
    /// The header section or the trailer section is too long or has too many lines.
    HeadersTooLong = 431, "headers_too_long";
    /// The application dropped a request without answering it.
    Unanswered = 500, "unanswered";
    /// The method is not supported.
    Method = 501, "method";
    /// The transfer coding is not supported.
    TransferCoding = 501, "transfer_coding";
    /// Too many connections are open.
    Connections = 503, "connections";
    /// Too many connections are open from this client's address.
    ConnectionsOfAddress = 503, "connections_of_address";
    /// There is no room for a long body now.
    BodyRoom = 503, "body_room";
    /// The HTTP version is not supported.
    Version = 505, "version";
}

/// A request, or a connection, that the transport answers by itself before it closes the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// One plain sentence for a person. It quotes nothing of the request.
    pub message: Cow<'static, str>,
    /// The header field that is at fault, in lower case, where it is one field of known name.
    pub field: Option<&'static str>,
    /// The client's `X-Request-Id`, where the header section could be read; unchecked.
    pub request_id: Option<String>,
    /// What the request line asks for, where the header section could be read; unchecked.
    pub target: Option<String>,
    /// The request was a `HEAD`: the answer has no body.
    pub(super) to_head: bool,
}

impl Refusal {
    /// A refusal for `cause` with a sentence for a person.
    pub fn new(cause: Cause, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { cause, message: message.into(), field: None, request_id: None, target: None, to_head: false }
    }

    /// Names the header field that is at fault.
    pub(super) fn of_field(mut self, name: &'static str) -> Refusal {
        self.field = Some(name);
        self
    }
}

/// The default hook: the sentence, as text.
pub(super) fn plain_text(refusal: &Refusal) -> (Vec<Field>, Vec<u8>) {
    let mut fields: Vec<Field> = vec![("Content-Type", "text/plain; charset=utf-8".into())];
    if refusal.cause.status() == 503 {
        fields.push(("Retry-After", "1".into()));
    }
    (fields, format!("{}\n", refusal.message).into_bytes())
}
