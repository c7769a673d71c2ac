//! The crate `tiny_http` as the rest of the service sees it: the functions of `wire.rs`, in whose place this file stands on systems
//! other than Linux and with the feature `upstream-tiny-http`. It has no bounds on connections and time; a proxy must have them.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::net::{IpAddr, TcpListener};

use crate::app::App;
use crate::error::{Error, Result};
use crate::metrics::Family;

/// A request as the transport gives it.
pub use tiny_http::Request as RawRequest;
/// The listening socket and its connections.
pub use tiny_http::Server as Socket;

/// Opens the server on the listener. The crate makes the answers to malformed requests as it likes.
pub fn open(
    listener: TcpListener,
    _app: &App,
    _refusal: impl Fn(u16, &str, Option<&str>, Option<&str>) -> (Vec<(&'static str, Cow<'static, str>)>, Vec<u8>),
) -> std::io::Result<Socket> {
    Socket::from_listener(listener, None).map_err(|error| std::io::Error::other(error.to_string()))
}

/// Waits for a request, and also takes those that have arrived by then, `most` in all.
pub fn receive(socket: &Socket, most: usize) -> std::io::Result<Vec<RawRequest>> {
    let mut requests = vec![socket.recv()?];
    // The next `recv` will report an error that occurs here.
    requests.extend(std::iter::from_fn(|| socket.try_recv().unwrap_or_default()).take(most - 1));
    Ok(requests)
}

/// The address at the other end of the connection.
pub fn peer(raw: &RawRequest) -> Option<IpAddr> {
    raw.remote_addr().map(|address| address.ip())
}

/// Name and value of each header, in the order in which they came.
pub fn headers(raw: &RawRequest) -> impl Iterator<Item = (&str, &str)> {
    raw.headers().iter().map(|header| (header.field.as_str().as_str(), header.value.as_str()))
}

/// Takes the body out of a request.
///
/// # Errors
/// `TooLarge` for a body beyond this bound, and `invalid` for one that did not arrive.
pub fn take_body(raw: &mut RawRequest, max_bytes: usize) -> Result<Vec<u8>> {
    let is_too_large = |length: usize| length > max_bytes;
    if raw.body_length().is_some_and(is_too_large) {
        return Err(Error::TooLarge(max_bytes));
    }
    let bound = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    let read = raw.as_reader().take(bound).read_to_end(&mut body);
    read.map_err(|_| Error::invalid("body", "did not arrive as announced"))?;
    if is_too_large(body.len()) { Err(Error::TooLarge(max_bytes)) } else { Ok(body) }
}

/// Sends an answer, and waits until the client has read it.
pub fn respond(
    raw: RawRequest,
    status: u16,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: impl AsRef<[u8]> + Send + 'static,
) -> std::io::Result<()> {
    let header = |(name, value): (&str, Cow<str>)| tiny_http::Header::from_bytes(name, value.as_bytes()).ok();
    let headers = headers.into_iter().filter_map(header).collect();
    let length = Some(body.as_ref().len());
    let response = tiny_http::Response::new(status.into(), headers, Cursor::new(body), length, None);
    // Without this a long answer would be chunked, although its length is known.
    raw.respond(response.with_chunked_threshold(usize::MAX))
}

/// Ends the wait of each worker in [`receive`].
pub fn close(socket: &Socket, workers: usize) {
    for _ in 0..workers {
        socket.unblock();
    }
}

/// The crate counts nothing.
pub fn metrics(_socket: &Socket) -> Vec<Family> {
    Vec::new()
}
