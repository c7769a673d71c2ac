//! A request in the application's hands. It has wholly arrived; it is answered once, from any thread.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::net::SocketAddr;
use std::sync::Arc;

use tiny_http::{HTTPVersion, Method, StatusCode};

use super::buffers;
use super::config::Room;
use super::connection::{Connection, Env, Step};
use super::core::{Core, Delivery};
use super::head::Head;
use super::headers::Headers;
use super::intake::Message;
use super::refusal::{Cause, Refusal};
use super::response::{Header, Manner, Response, append_head, has_body};

/// A request. Dropped without an answer, it is answered 500.
pub struct Request {
    core: Arc<Core>,
    token: u64,
    remote: SocketAddr,
    head: Head,
    body: Cursor<Vec<u8>>,
    _room: Option<Room>,
    answered: bool,
}

impl Request {
    pub(super) fn new(core: Arc<Core>, delivery: Delivery) -> Request {
        let Delivery { message, token, remote } = delivery;
        let Message { head, body, room } = message;
        Request { core, token, remote, head, body: Cursor::new(body), _room: room, answered: false }
    }

    /// The method: one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// Path and query, as they came: percent escapes are checked, not decoded. `*` for `OPTIONS *`.
    pub fn url(&self) -> &str {
        self.head.target()
    }

    /// The HTTP version: 1.1, also for later versions of HTTP/1, or 1.0.
    pub fn http_version(&self) -> &HTTPVersion {
        self.head.version()
    }

    /// The header fields. Those of a chunked body's trailer are not among them.
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(&self.head)
    }

    /// The length of the decoded body, in bytes.
    pub fn body_length(&self) -> Option<usize> {
        Some(self.body.get_ref().len())
    }

    /// The client's address.
    pub fn remote_addr(&self) -> Option<&SocketAddr> {
        Some(&self.remote)
    }

    /// The body, which is in memory: reading it neither waits nor fails.
    pub fn as_reader(&mut self) -> &mut dyn Read {
        &mut self.body
    }

    /// Takes the body out, whole; afterwards it is empty. Its room is held until the request is answered.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body).into_inner()
    }

    /// Sends the answer, or as much as the socket takes now; the rest follows without this thread.
    ///
    /// # Errors
    /// The client has gone, or the answer's body could not be read or was shorter than was said; then the client is
    /// answered 500.
    pub fn respond<R: Read>(self, response: Response<R>) -> io::Result<()> {
        let (status, headers, body) = response.read()?;
        self.respond_with(status, &headers, body)
    }

    /// The same with a body that is in memory: it is dropped when the client has taken it, or has gone.
    ///
    /// # Errors
    /// The client has gone.
    pub fn respond_with(
        mut self,
        status: StatusCode,
        headers: &[Header],
        body: impl AsRef<[u8]> + Send + 'static,
    ) -> io::Result<()> {
        let client_closes = !self.head.keep_alive();
        let close = client_closes || self.core.is_closing();
        let manner = Manner { close, is_1_0: *self.head.version() == (1, 0) };
        let is_sent = has_body(status) && *self.head.method() != Method::Head;
        buffers::with_head(|head| {
            append_head(head, status, headers, body.as_ref().len(), manner);
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

impl Drop for Request {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut refusal = Refusal::new(Cause::Unanswered, "The request could not be answered");
        self.head.label(&mut refusal);
        let _ = self.finish(|connection, env| connection.refuse(&refusal, env));
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither target nor fields: they may name a person, or hold a secret.
        f.debug_struct("Request")
            .field("method", self.head.method())
            .field("body_length", &self.body.get_ref().len())
            .finish_non_exhaustive()
    }
}
