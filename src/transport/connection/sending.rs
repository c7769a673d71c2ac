//! The outgoing side of a connection: an answer in one write, what is left of it when the socket takes more, and the end.

use std::fmt;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

use super::super::intake::Progress;
use super::super::refusal::Refusal;
use super::super::response::{Manner, append_head};
use super::{Connection, Env, Phase, Step};

/// A body on its way out.
type Body = Box<dyn AsRef<[u8]> + Send>;

/// An answer of which the socket has not taken everything yet.
pub(super) struct Unsent {
    head: Vec<u8>,
    body: Option<Body>,
    written: usize,
    /// How much was written since the deadline was set.
    written_in_time: usize,
}

impl Unsent {
    fn rest(&self) -> (&[u8], &[u8]) {
        let body = self.body.as_ref().map(|body| (**body).as_ref()).unwrap_or_default();
        after(&self.head, body, self.written)
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

impl Connection {
    /// Sends the answer to the request that was delivered: a head, and a body unless it has none. `close`: no further request is
    /// read; `client_closes`: because the client said so.
    pub fn respond(
        &mut self,
        head: &[u8],
        body: Option<impl AsRef<[u8]> + Send + 'static>,
        close: bool,
        client_closes: bool,
        env: &Env<'_>,
    ) -> Step {
        self.close_after = close;
        self.client_closes = client_closes;
        self.phase = Phase::Answering;
        let bytes = body.as_ref().map(AsRef::as_ref).unwrap_or_default();
        match self.write(head, bytes) {
            Some(count) if count == head.len() + bytes.len() => self.on_taken(env),
            Some(written) => {
                let body = body.map(|body| Box::new(body) as Body);
                self.unsent = Some(Unsent { head: head.to_vec(), body, written, written_in_time: 0 });
                self.deadline_ms = env.now_ms + env.config.answer_ms;
                Step::Wait
            }
            None => Step::Broken,
        }
    }

    /// Answers with a refusal, and closes.
    pub fn refuse(&mut self, refusal: &Refusal, env: &Env<'_>) -> Step {
        env.counters.refused(refusal.cause);
        let (headers, body) = (env.config.refusal)(refusal);
        let mut head = Vec::new();
        let manner = Manner { close: true, is_1_0: false };
        append_head(&mut head, refusal.status, &headers, body.len(), manner);
        self.respond(&head, (!refusal.to_head).then_some(body), true, false, env)
    }

    /// Sends an interim 100 if the socket takes it: a client may not rely on it. Half of one would garble the answer.
    pub(super) fn send_continue(&mut self) -> bool {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        match (&self.stream).write(CONTINUE) {
            Ok(count) => count == CONTINUE.len(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Sends what is left of the answer.
    pub(super) fn flush(&mut self, env: &Env<'_>) -> Step {
        let Some(mut unsent) = self.unsent.take() else { return self.on_taken(env) };
        let (head, body) = unsent.rest();
        let left = head.len() + body.len();
        match self.write(head, body) {
            Some(count) if count == left => self.on_taken(env),
            Some(count) => {
                unsent.written += count;
                unsent.written_in_time += count;
                if unsent.written_in_time >= env.config.answer_bytes {
                    unsent.written_in_time = 0;
                    self.deadline_ms = env.now_ms + env.config.answer_ms;
                }
                self.unsent = Some(unsent);
                Step::Wait
            }
            None => Step::Broken,
        }
    }

    /// Writes until the socket takes no more: only then does it tell when it takes more. `None` if it has failed.
    fn write(&self, head: &[u8], body: &[u8]) -> Option<usize> {
        let mut count = 0;
        while count < head.len() + body.len() {
            let (head, body) = after(head, body, count);
            match (&self.stream).write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(0) => return None,
                Ok(taken) => count += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(count)
    }

    /// The socket has taken the whole answer.
    fn on_taken(&mut self, env: &Env<'_>) -> Step {
        let more = self.readable || self.intake.has_pending();
        if self.close_after || env.closing && !more {
            // RFC 9112, section 9.6: a close while bytes come in would reset the connection, and the client might never
            // see the answer. So our side ends, and the client's is read for a while.
            if self.client_closes && !more || self.stream.shutdown(Shutdown::Write).is_err() {
                return Step::Close;
            }
            self.phase = Phase::Lingering;
            self.deadline_ms = env.now_ms + env.config.linger_ms;
            return if self.readable { Step::Again } else { Step::Wait };
        }
        self.phase = Phase::Receiving;
        self.progress = Progress::Idle;
        self.deadline_ms = env.now_ms + env.config.idle_ms;
        if more { Step::Again } else { Step::Wait }
    }

    /// Reads and forgets, within bounds.
    pub(super) fn discard(&mut self, env: &Env<'_>, scratch: &mut [u8]) -> Step {
        loop {
            match (&self.stream).read(scratch) {
                Ok(0) => return Step::Close,
                Ok(count) => self.discarded += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Wait,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Step::Close,
            }
            if self.discarded > env.config.linger_bytes {
                return Step::Close;
            }
        }
    }
}
