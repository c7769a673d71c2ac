//! One connection's incoming side: bytes in, whole requests out, however the bytes are split.

use std::fmt;

use tiny_http::Method;

use super::chunked::Decoder;
use super::config::{Config, Room};
use super::fields::Framing;
use super::head::Head;
use super::refusal::{Cause, Refusal};
use super::scan::Scanner;

/// A request that has wholly arrived.
pub struct Message {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
    /// What a long body holds.
    pub(super) room: Option<Room>,
}

impl Message {
    /// The method: one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// Path and query, as they came: percent escapes are checked, not decoded. `*` for `OPTIONS *`.
    pub fn url(&self) -> &str {
        self.head.target()
    }

    /// Name and value of each header field, in the order in which they came. Those of a chunked body's trailer are not among them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.fields()
    }

    /// The decoded body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the connection may serve another request after this one.
    pub fn keep_alive(&self) -> bool {
        self.head.keep_alive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither target nor fields: they may name a person, or hold a secret.
        f.debug_struct("Message")
            .field("method", self.method())
            .field("body_length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Collects requests from bytes: the server's parser, without a socket. Between requests it holds no memory beyond itself.
#[derive(Debug, Default)]
pub struct Intake {
    /// Bytes that came and are not consumed, from `start` on.
    pending: Vec<u8>,
    start: usize,
    scanner: Scanner,
    receiving: Option<Box<Receiving>>,
}

/// A request whose head is there and whose body is on its way.
#[derive(Debug)]
struct Receiving {
    message: Message,
    rest: Rest,
    /// An interim 100 is due before the body is waited for.
    continue_due: bool,
}

#[derive(Debug)]
enum Rest {
    Bytes(u64),
    Chunks(Decoder),
}

/// Where a connection is between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// No byte of a request has come.
    Idle,
    /// A part of a head has.
    Head,
    /// The head has, and not all of the body.
    Body,
}

impl Intake {
    /// Takes in `bytes` and returns the next request, if it is complete. After a request, and as long as
    /// [`Intake::has_pending`], call it again with no bytes.
    ///
    /// # Errors
    /// The request is refused. Nothing that follows on the connection can be understood.
    pub fn feed(&mut self, bytes: &[u8], config: &Config) -> Result<Option<Message>, Refusal> {
        if self.pending.is_empty() {
            // The usual case: parsed where it was read, with nothing left over.
            let (consumed, message) = self.advance(bytes, config)?;
            self.pending.extend_from_slice(&bytes[consumed..]);
            return Ok(message);
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let (consumed, message) = self.advance(&pending[self.start..], config)?;
        self.start += consumed;
        if self.start == pending.len() {
            self.start = 0;
            return Ok(message);
        }
        // Moving the rest to the front costs no more than the bytes that were consumed.
        if self.start > pending.len() / 2 {
            pending.drain(..self.start);
            self.start = 0;
        }
        self.pending = pending;
        Ok(message)
    }

    /// Bytes have come that no request has consumed.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What the connection is waiting for.
    pub(super) fn progress(&self) -> Progress {
        match (&self.receiving, &self.pending[self.start..]) {
            (Some(_), _) => Progress::Body,
            // The blank line that some clients send after a body begins nothing.
            (None, [] | b"\r" | b"\r\n") => Progress::Idle,
            (None, _) => Progress::Head,
        }
    }

    /// Whether an interim 100 must be sent now; asked once a request.
    pub(super) fn take_continue(&mut self) -> bool {
        self.receiving.as_mut().is_some_and(|receiving| std::mem::take(&mut receiving.continue_due))
    }

    /// What the request that is arriving calls itself, and whether it is a `HEAD`.
    pub(super) fn label(&self, refusal: &mut Refusal) {
        if let Some(receiving) = &self.receiving {
            receiving.message.head.label(refusal);
        }
    }

    /// Consumes what it can of `data`, up to the end of one request.
    fn advance(&mut self, data: &[u8], config: &Config) -> Result<(usize, Option<Message>), Refusal> {
        let mut consumed = 0;
        let mut receiving = match self.receiving.take() {
            Some(receiving) => receiving,
            None => {
                let Some(bounds) = self.scanner.scan(data, config)? else {
                    return Ok((0, None));
                };
                self.scanner = Scanner::default();
                let head = Head::parse(data, &bounds, config)?;
                consumed = bounds.end;
                let rest = match head.framing() {
                    Framing::Empty | Framing::Length(0) => {
                        let message = Message { head, body: Vec::new(), room: None };
                        return Ok((consumed, Some(message)));
                    }
                    Framing::Length(length) => Rest::Bytes(length),
                    Framing::Chunked => Rest::Chunks(Decoder::default()),
                };
                Box::new(Receiving {
                    continue_due: head.expects_continue() && consumed == data.len(),
                    message: Message { head, body: Vec::new(), room: None },
                    rest,
                })
            }
        };
        let outcome = receiving.take_in(&data[consumed..], config);
        let (taken, done) = outcome.map_err(|mut refusal| {
            receiving.message.head.label(&mut refusal);
            refusal
        })?;
        consumed += taken;
        if done {
            return Ok((consumed, Some(receiving.message)));
        }
        self.receiving = Some(receiving);
        Ok((consumed, None))
    }
}

impl Receiving {
    /// Takes the body's share of `data`; returns its length and whether the body is complete.
    fn take_in(&mut self, data: &[u8], config: &Config) -> Result<(usize, bool), Refusal> {
        self.take_room(data.len(), config)?;
        let body = &mut self.message.body;
        match &mut self.rest {
            Rest::Bytes(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                body.extend_from_slice(&data[..take]);
                *left -= take as u64;
                Ok((take, *left == 0))
            }
            Rest::Chunks(decoder) => {
                let taken = decoder.decode(data, body, config)?;
                Ok((taken, decoder.is_done()))
            }
        }
    }

    /// Takes room for the body once `coming` bytes make it a long one.
    fn take_room(&mut self, coming: usize, config: &Config) -> Result<(), Refusal> {
        let Message { body, room, .. } = &mut self.message;
        let most = match self.rest {
            Rest::Bytes(left) => body.len() as u64 + left,
            Rest::Chunks(_) => config.body_bytes,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if room.is_some() || most.min(body.len() + coming) <= config.short_body_bytes {
            return Ok(());
        }
        *room = (config.body_room)(most);
        if room.is_none() {
            return Err(Refusal::new(Cause::BodyRoom, "There is no room for such a long body now"));
        }
        Ok(())
    }
}
