//! A request in the application's hands. It has wholly arrived; it is answered once, from any thread.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use tiny_http::Method;

use super::buffers;
use super::connection::{Connection, Env, Step};
use super::core::{Core, Delivery};
use super::intake::Message;
use super::refusal::{Cause, Refusal};
use super::response::{Field, Manner, append_head, has_body};

/// A request: a [`Message`] that waits for its answer. Dropped without one, it is answered 500.
pub struct Request {
    core: Arc<Core>,
    token: u64,
    remote: SocketAddr,
    message: Message,
    answered: bool,
}

impl Request {
    pub(super) fn new(core: Arc<Core>, delivery: Delivery) -> Request {
        let Delivery { message, token, remote } = delivery;
        Request { core, token, remote, message, answered: false }
    }

    /// The client's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Takes the body out, whole; afterwards it is empty. Its room is held until the request is answered.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message.body)
    }

    /// Sends the answer, or as much as the socket takes now; the rest follows without this thread. `Content-Length`, `Connection`,
    /// `Date` and the other fields of framing are the transport's: such fields are left out, and so are those that would break the
    /// head. The body is dropped when the client has taken it, or has gone.
    ///
    /// # Errors
    /// The client has gone.
    pub fn respond(mut self, status: u16, fields: &[Field], body: impl AsRef<[u8]> + Send + 'static) -> io::Result<()> {
        let client_closes = !self.keep_alive();
        let close = client_closes || self.core.is_closing();
        let manner = Manner { close, is_1_0: self.message.head.is_1_0() };
        let is_sent = has_body(status) && *self.method() != Method::Head;
        buffers::with_head(|head| {
            append_head(head, status, fields, body.as_ref().len(), manner);
            let body = is_sent.then_some(body);
            self.finish(|connection, env| connection.respond(head, body, close, client_closes, env))
        })
    }

    /// Acts on the connection, if it still waits for this answer.
    fn finish(&mut self, work: impl FnOnce(&mut Connection, &Env<'_>) -> Step) -> io::Result<()> {
        self.answered = true;
        let mut result = Err(io::ErrorKind::BrokenPipe.into());
        self.core.visit(self.token, |connection, env| {
            if !connection.is_handling() {
                return Step::Wait;
            }
            let step = work(connection, env);
            if !matches!(step, Step::Broken) {
                result = Ok(());
            }
            step
        });
        result
    }
}

impl Deref for Request {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut refusal = Refusal::new(Cause::Unanswered, "The request could not be answered");
        self.message.head.label(&mut refusal);
        let _ = self.finish(|connection, env| connection.refuse(&refusal, env));
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}
