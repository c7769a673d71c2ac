//! The outgoing side of a connection: an answer in one write, what is left of it when the socket takes more, and the end.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use super::super::intake::Progress;
use super::super::refusal::Refusal;
use super::super::response::{Manner, Response};
use super::{Connection, Env, Phase, Step};

impl Connection {
    /// Sends the bytes of an answer to the request that was delivered. `close`: no further request is read;
    /// `client_closes`: because the client said so.
    pub fn respond(&mut self, bytes: &[u8], close: bool, client_closes: bool, env: &Env<'_>) -> Step {
        self.close_after = close;
        self.client_closes = client_closes;
        self.send(bytes, env)
    }

    /// Answers with a refusal, and closes.
    pub fn refuse(&mut self, refusal: &Refusal, env: &Env<'_>) -> Step {
        env.counters.refused(refusal.cause);
        let (headers, body) = (env.config.refusal)(refusal);
        let manner = Manner { to_head: refusal.to_head, close: true, is_1_0: false };
        let mut bytes = Vec::new();
        if Response::whole(refusal.status, headers, body).append_to(&mut bytes, manner).is_err() {
            return Step::Close;
        }
        self.respond(&bytes, true, false, env)
    }

    /// Sends an interim 100 if the socket takes it: a client may not rely on it. Half of one would garble the answer.
    pub(super) fn send_continue(&mut self) -> bool {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        match (&self.stream).write(CONTINUE) {
            Ok(count) => count == CONTINUE.len(),
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn send(&mut self, bytes: &[u8], env: &Env<'_>) -> Step {
        self.phase = Phase::Answering;
        self.deadline_ms = env.now_ms + env.config.answer_ms;
        match self.write(bytes) {
            Some(count) if count == bytes.len() => self.on_taken(env),
            Some(count) => {
                self.output = bytes[count..].to_vec();
                self.written = 0;
                Step::Wait
            }
            None => Step::Broken,
        }
    }

    /// Sends what is left of the answer.
    pub(super) fn flush(&mut self, env: &Env<'_>) -> Step {
        match self.write(&self.output[self.written..]) {
            Some(count) => self.written += count,
            None => return Step::Broken,
        }
        if self.written < self.output.len() {
            return Step::Wait;
        }
        self.output = Vec::new();
        self.on_taken(env)
    }

    /// Writes until the socket takes no more: only then does it tell when it takes more. `None` if it has failed.
    fn write(&self, bytes: &[u8]) -> Option<usize> {
        let mut count = 0;
        while count < bytes.len() {
            match (&self.stream).write(&bytes[count..]) {
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
