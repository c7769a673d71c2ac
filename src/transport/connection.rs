//! One connection: what it is doing, and what each event makes of it. It never blocks and knows nothing of threads.
//!
//! ```text
//!   Receiving ──request complete──▶ Handling ──respond──▶ Answering ──all taken──▶ Receiving
//!       │                                                    │
//!       └──────────refused──────────▶ Answering ──to close───┴──▶ Lingering ──▶ closed
//! ```

mod sending;

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::config::Config;
use super::intake::{Intake, Message, Progress};
use super::refusal::{Cause, Refusal};
use super::response::{Manner, append_head};
use super::stats::Counters;
use super::timers::NEVER;
use sending::{Sent, Unsent, send, send_continue};

/// What a connection needs to know of its surroundings.
pub(super) struct Env<'a> {
    pub config: &'a Config,
    pub counters: &'a Counters,
    pub now_ms: u64,
    /// The server is closing: no connection is kept for a further request.
    pub closing: bool,
}

/// The next step for a connection after an event.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing, until the next event.
    Wait,
    /// Continue at once with [`Connection::go_on`].
    Again,
    /// This request goes to the application.
    Deliver(Message),
    /// The connection is finished: drop it.
    Close,
    /// The connection failed before the answer was sent: drop it.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Receiving,
    Handling,
    Answering,
    Lingering,
}

/// A client's connection. Between requests it is this struct and nothing else.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    remote: SocketAddr,
    phase: Phase,
    intake: Intake,
    /// What `deadline_ms` was set for.
    progress: Progress,
    /// What the socket has not taken yet of the answer.
    unsent: Option<Unsent>,
    /// The socket may hold unread bytes, of which no further event will tell.
    readable: bool,
    /// The client has ended its side, or the connection has failed; reading will say which.
    ended: bool,
    close_after: bool,
    /// The client asked for the close: it sends nothing more that could meet a closed socket.
    client_closes: bool,
    discarded: usize,
    deadline_ms: u64,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(stream: TcpStream, remote: SocketAddr, env: &Env<'_>) -> Connection {
        Connection {
            stream,
            remote,
            phase: Phase::Receiving,
            intake: Intake::default(),
            progress: Progress::Idle,
            unsent: None,
            readable: false,
            ended: false,
            close_after: false,
            client_closes: false,
            discarded: 0,
            deadline_ms: env.now_ms + env.config.idle_ms,
        }
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The moment at which [`Connection::on_deadline`] is due, or [`NEVER`].
    pub fn deadline_ms(&self) -> u64 {
        self.deadline_ms
    }

    /// Something has happened to the socket. `scratch` is where bytes are read to.
    pub fn on_event(&mut self, ended: bool, env: &Env<'_>, scratch: &mut [u8]) -> Step {
        self.ended |= ended;
        // Whatever happens here, the event may have been about new bytes until a read finds the socket empty.
        self.readable = true;
        match self.phase {
            Phase::Receiving | Phase::Lingering => self.go_on(env, scratch),
            Phase::Handling => Step::Wait,
            Phase::Answering => match self.flush(env) {
                Step::Again => self.go_on(env, scratch),
                step => step,
            },
        }
    }

    /// Reads what has come, and what was left over from before.
    pub fn go_on(&mut self, env: &Env<'_>, scratch: &mut [u8]) -> Step {
        if self.phase == Phase::Lingering {
            return self.discard(env, scratch);
        }
        // A request that came together with the one before it.
        if self.intake.has_pending()
            && let Some(step) = self.take_in(&[], env)
        {
            return step;
        }
        loop {
            let room = scratch.len();
            match (&self.stream).read(scratch) {
                Ok(0) => return self.on_end(env),
                Ok(count) => {
                    // A short read has emptied the socket, but an end may still stand behind it.
                    self.readable = count == room || self.ended;
                    if let Some(step) = self.take_in(&scratch[..count], env) {
                        return step;
                    }
                    if !self.readable {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Step::Close,
            }
        }
        if env.closing && self.progress == Progress::Idle {
            return Step::Close;
        }
        Step::Wait
    }

    /// Whether a request was delivered and waits for its answer.
    pub fn is_handling(&self) -> bool {
        self.phase == Phase::Handling
    }

    /// Its deadline has passed.
    pub fn on_deadline(&mut self, env: &Env<'_>) -> Step {
        let late = |cause, message| Refusal::new(cause, message);
        let mut refusal = match (self.phase, self.progress) {
            (Phase::Handling, _) => return Step::Wait,
            (Phase::Receiving, Progress::Head) => late(Cause::HeadTimeout, "The request head did not arrive in time"),
            (Phase::Receiving, Progress::Body) => late(Cause::BodyTimeout, "The request body did not arrive in time"),
            (Phase::Answering, _) => {
                // After the close, unread bytes are not kept for the client either.
                let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
                return Step::Close;
            }
            (Phase::Receiving, Progress::Idle) | (Phase::Lingering, _) => return Step::Close,
        };
        self.intake.label(&mut refusal);
        self.refuse(&refusal, env)
    }

    /// Whether it waits for a request of which nothing has been read. A blank line does not begin a request.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Receiving && self.intake.progress() == Progress::Idle
    }

    /// Its place is needed, or the server is closing: closes it if it is idle, unless its socket holds an unread request.
    pub fn close_if_idle(&self) -> Step {
        let unread = || matches!(self.stream.peek(&mut [0]), Ok(count) if count > 0);
        if self.is_idle() && !unread() { Step::Close } else { Step::Wait }
    }

    /// Feeds bytes to the intake; `None` if the request is not complete.
    fn take_in(&mut self, bytes: &[u8], env: &Env<'_>) -> Option<Step> {
        match self.intake.feed(bytes, env.config) {
            Ok(Some(message)) => {
                self.phase = Phase::Handling;
                self.deadline_ms = NEVER;
                Some(Step::Deliver(message))
            }
            Ok(None) => {
                self.note_progress(env);
                if self.intake.take_continue() && !send_continue(&self.stream) {
                    return Some(Step::Close);
                }
                None
            }
            Err(refusal) => {
                // More may be on its way, which must not meet a closed socket.
                self.readable = true;
                Some(self.refuse(&refusal, env))
            }
        }
    }

    /// Sets the deadline when the next part of a request has begun, and only then: single bytes do not prolong it.
    fn note_progress(&mut self, env: &Env<'_>) {
        let progress = self.intake.progress();
        if progress != self.progress {
            self.progress = progress;
            self.deadline_ms = env.now_ms
                + match progress {
                    Progress::Idle => env.config.idle_ms,
                    Progress::Head => env.config.head_ms,
                    Progress::Body => env.config.body_ms,
                };
        }
    }

    /// The client has ended its side.
    fn on_end(&mut self, env: &Env<'_>) -> Step {
        if self.progress == Progress::Idle {
            return Step::Close;
        }
        let mut refusal = Refusal::new(Cause::Incomplete, "The request ended before it was complete");
        self.intake.label(&mut refusal);
        self.refuse(&refusal, env)
    }

    /// Sends the answer to the request that was delivered: a head, and a body unless it has none. `close`: no further request is
    /// read; `client_closes`: because the client said so.
    pub fn respond(
        &mut self,
        head: &mut Vec<u8>,
        body: Option<impl AsRef<[u8]> + Send + 'static>,
        close: bool,
        client_closes: bool,
        env: &Env<'_>,
    ) -> Step {
        self.close_after = close;
        self.client_closes = client_closes;
        self.phase = Phase::Answering;
        self.deadline_ms = env.now_ms + env.config.answer_ms;
        let sent = send(&self.stream, head, body);
        self.on_sent(sent, env)
    }

    /// Answers with a refusal, and closes.
    pub fn refuse(&mut self, refusal: &Refusal, env: &Env<'_>) -> Step {
        env.counters.refused(refusal.cause);
        let (fields, body) = (env.config.refusal)(refusal);
        let mut head = Vec::new();
        let manner = Manner { close: true, is_1_0: false };
        append_head(&mut head, refusal.cause.status(), &fields, body.len(), manner);
        self.respond(&mut head, (!refusal.to_head).then_some(body), true, false, env)
    }

    /// Sends what is left of the answer.
    fn flush(&mut self, env: &Env<'_>) -> Step {
        let Some(unsent) = self.unsent.take() else { return self.on_taken(env) };
        let sent = unsent.send(&self.stream);
        self.on_sent(sent, env)
    }

    /// The socket has taken something of the answer, or all of it.
    fn on_sent(&mut self, sent: Sent, env: &Env<'_>) -> Step {
        match sent {
            Sent::Whole => self.on_taken(env),
            Sent::Partly(mut unsent) => {
                if unsent.written_in_time >= env.config.answer_bytes {
                    unsent.written_in_time = 0;
                    self.deadline_ms = env.now_ms + env.config.answer_ms;
                }
                self.unsent = Some(unsent);
                Step::Wait
            }
            Sent::Failed => Step::Broken,
        }
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
    fn discard(&mut self, env: &Env<'_>, scratch: &mut [u8]) -> Step {
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
