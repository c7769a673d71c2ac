//! The outgoing side of a socket: an answer in one write, and what is left of it when the socket takes more.

use std::fmt;
use std::io::{ErrorKind, IoSlice, Write};
use std::net::TcpStream;

/// At most this many bytes of a body are copied.
const SHORT_BODY_BYTES: usize = 16 * 1024;

/// A body on its way out.
type Body = Box<dyn AsRef<[u8]> + Send>;

/// An answer of which the socket has not taken everything yet.
pub(super) struct Unsent {
    head: Vec<u8>,
    body: Option<Body>,
    written: usize,
    /// How much was written since the deadline was set.
    pub written_in_time: usize,
}

/// What became of an answer.
pub(super) enum Sent {
    /// The socket has taken it.
    Whole,
    /// The socket takes no more for now.
    Partly(Unsent),
    /// The connection has failed.
    Failed,
}

/// Sends an answer: a head, and a body unless it has none. A short body joins its head: one buffer costs the kernel less than two.
pub(super) fn send(stream: &TcpStream, head: &mut Vec<u8>, body: Option<impl AsRef<[u8]> + Send + 'static>) -> Sent {
    let body = body.filter(|body| {
        let is_short = body.as_ref().len() <= SHORT_BODY_BYTES;
        if is_short {
            head.extend_from_slice(body.as_ref());
        }
        !is_short
    });
    let bytes = body.as_ref().map(AsRef::as_ref).unwrap_or_default();
    match write(stream, head, bytes) {
        Some(count) if count == head.len() + bytes.len() => Sent::Whole,
        Some(written) => {
            let body = body.map(|body| Box::new(body) as Body);
            Sent::Partly(Unsent { head: head.to_vec(), body, written, written_in_time: 0 })
        }
        None => Sent::Failed,
    }
}

impl Unsent {
    /// Sends what is left.
    pub fn send(mut self, stream: &TcpStream) -> Sent {
        let body = self.body.as_ref().map(|body| (**body).as_ref()).unwrap_or_default();
        let (head, body) = after(&self.head, body, self.written);
        let left = head.len() + body.len();
        match write(stream, head, body) {
            Some(count) if count == left => Sent::Whole,
            Some(count) => {
                self.written += count;
                self.written_in_time += count;
                Sent::Partly(self)
            }
            None => Sent::Failed,
        }
    }
}

impl fmt::Debug for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsent").field("written", &self.written).finish_non_exhaustive()
    }
}

/// The two parts of an answer without their first `count` bytes.
fn after<'a>(head: &'a [u8], body: &'a [u8], count: usize) -> (&'a [u8], &'a [u8]) {
    let of_head = count.min(head.len());
    (&head[of_head..], &body[count - of_head..])
}

/// Sends an interim 100 if the socket takes it: a client may not rely on it. Half of one would garble the answer.
pub(super) fn send_continue(stream: &TcpStream) -> bool {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    match (&*stream).write(CONTINUE) {
        Ok(count) => count == CONTINUE.len(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Writes until the socket takes no more: only then does it tell when it takes more. `None` if it has failed.
fn write(stream: &TcpStream, head: &[u8], body: &[u8]) -> Option<usize> {
    let mut count = 0;
    while count < head.len() + body.len() {
        let (head, body) = after(head, body, count);
        let taken = match body {
            [] => (&*stream).write(head),
            body => (&*stream).write_vectored(&[IoSlice::new(head), IoSlice::new(body)]),
        };
        match taken {
            Ok(0) => return None,
            Ok(taken) => count += taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(count)
}
