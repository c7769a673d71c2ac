//! The differences between our own transport and the crate `tiny_http`, and how our answers become theirs.

use std::borrow::Cow;
#[cfg(not(own_transport))]
use std::io::{Cursor, Read};
use std::net::TcpListener;
#[cfg(own_transport)]
use std::sync::Arc;

use crate::app::App;
#[cfg(own_transport)]
use crate::envelope::Response;
#[cfg(own_transport)]
use crate::memory::SHORT_BYTES;
use crate::memory::Share;
use crate::metrics::Family;
#[cfg(own_transport)]
use crate::transport as tiny_http;

/// A request as the transport gives it.
pub type RawRequest = tiny_http::Request;
/// The listening socket and its connections.
pub type Socket = tiny_http::Server;

/// A header, if the value is a valid one (RFC 9110, 5.5).
#[cfg(own_transport)]
pub fn header(name: &'static str, value: Cow<'static, str>) -> Option<tiny_http::Header> {
    tiny_http::Header::named(name, value)
}

#[cfg(not(own_transport))]
pub fn header(name: &'static str, value: Cow<'static, str>) -> Option<tiny_http::Header> {
    tiny_http::Header::from_bytes(name, value.as_bytes()).ok()
}

/// The headers that every answer has, and its own.
pub fn headers(
    own: Vec<(&'static str, Cow<'static, str>)>,
    content_type: &'static str,
    id: &str,
) -> Vec<tiny_http::Header> {
    let mut headers = Vec::with_capacity(8 + own.len());
    let mut add = |name, value| headers.extend(header(name, value));
    add("X-Request-Id", id.to_string().into());
    add("Cache-Control", "no-store".into());
    add("X-Content-Type-Options", "nosniff".into());
    add("Server", "healthcare-backend".into());
    if !content_type.is_empty() {
        add("Content-Type", content_type.into());
    }
    for (name, value) in own {
        add(name, value);
    }
    headers
}

/// Takes the body out of a request. At most `most` bytes of it are read; our own transport has refused a longer body already.
#[cfg(own_transport)]
pub fn take_body(raw: &mut tiny_http::Request, _most: u64) -> std::io::Result<Vec<u8>> {
    Ok(raw.take_body())
}

#[cfg(not(own_transport))]
pub fn take_body(raw: &mut tiny_http::Request, most: u64) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    raw.as_reader().take(most).read_to_end(&mut body)?;
    Ok(body)
}

/// A body whose memory is counted until the client has read it.
struct Body {
    bytes: Vec<u8>,
    _share: Option<Share>,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Sends an answer. `share` is held until the client has read the answer.
#[cfg(own_transport)]
pub fn respond(
    raw: tiny_http::Request,
    status: u16,
    headers: Vec<tiny_http::Header>,
    body: Vec<u8>,
    share: Option<Share>,
) -> std::io::Result<()> {
    raw.respond_with(status.into(), &headers, Body { bytes: body, _share: share })
}

#[cfg(not(own_transport))]
pub fn respond(
    raw: tiny_http::Request,
    status: u16,
    headers: Vec<tiny_http::Header>,
    body: Vec<u8>,
    share: Option<Share>,
) -> std::io::Result<()> {
    let (length, body) = (body.len(), Body { bytes: body, _share: share });
    raw.respond(tiny_http::Response::new(status.into(), headers, Cursor::new(body), Some(length), None))
}

/// Opens the server on the listener. `choose_id` gives a request id to answers that the transport makes itself.
#[cfg(own_transport)]
pub fn open(
    listener: TcpListener,
    app: &App,
    choose_id: impl Fn(Option<&str>) -> String + Send + Sync + 'static,
) -> std::io::Result<tiny_http::Server> {
    let refuse = move |refusal: &tiny_http::Refusal| {
        let id = choose_id(refusal.request_id.as_deref());
        let response = Response::refusal(refusal.status.0, &refusal.message);
        (headers(response.headers, response.content_type, &id), response.body)
    };
    let proxies = app.config.trusted_proxies.clone();
    let memory = Arc::clone(&app.memory);
    let body_room = move |bytes| {
        let mut share = memory.share(None);
        share.grow_to(bytes).then(|| Box::new(share) as tiny_http::Room)
    };
    let config = tiny_http::Config {
        max_connections: app.config.max_connections,
        max_connections_per_address: app.config.max_connections_per_address,
        is_shared_address: Arc::new(move |address| proxies.iter().any(|network| network.contains(address))),
        body_bytes: u64::try_from(app.config.max_body_bytes).unwrap_or(u64::MAX),
        short_body_bytes: SHORT_BYTES,
        body_room: Arc::new(body_room),
        refusal: Arc::new(refuse),
        ..tiny_http::Config::default()
    };
    tiny_http::Server::with_config(listener, config)
}

#[cfg(not(own_transport))]
pub fn open(
    listener: TcpListener,
    _app: &App,
    _choose_id: impl Fn(Option<&str>) -> String,
) -> std::io::Result<tiny_http::Server> {
    tiny_http::Server::from_listener(listener, None).map_err(|error| std::io::Error::other(error.to_string()))
}

/// Waits for a request, and also takes those that have arrived by then, `most` in all.
#[cfg(own_transport)]
pub fn receive(socket: &tiny_http::Server, most: usize) -> std::io::Result<Vec<tiny_http::Request>> {
    socket.recv_all(most)
}

#[cfg(not(own_transport))]
pub fn receive(socket: &tiny_http::Server, most: usize) -> std::io::Result<Vec<tiny_http::Request>> {
    let mut requests = vec![socket.recv()?];
    // The next `recv` will report an error that occurs here.
    requests.extend(std::iter::from_fn(|| socket.try_recv().unwrap_or_default()).take(most - 1));
    Ok(requests)
}

/// The transport's metrics: connections, and the requests that it refused itself.
#[cfg(own_transport)]
pub fn numbers(socket: &tiny_http::Server) -> Vec<Family> {
    let stats = socket.stats();
    let refused = stats.refused_total.iter();
    let refused = refused.map(|(cause, count)| (format!("cause=\"{}\"", cause.label()), *count as f64)).collect();
    let pauses = "Times that the system had no descriptor or memory for a connection.";
    vec![
        Family::gauge("http_connections_open", "Client connections open now.", stats.open_connections as i64),
        Family::counter("http_connections_total", "Client connections accepted.", stats.accepted_total),
        Family::counter("http_accept_pauses_total", pauses, stats.accept_pauses_total),
        Family {
            name: "http_requests_refused_total",
            help: "Requests and connections refused before they reached a route, by cause.",
            kind: "counter",
            samples: refused,
        },
    ]
}

#[cfg(not(own_transport))]
pub fn numbers(_socket: &tiny_http::Server) -> Vec<Family> {
    Vec::new()
}

/// Accepts no new connections; `recv` fails in every worker once all requests are answered.
#[cfg(own_transport)]
pub fn close(socket: &tiny_http::Server, _workers: usize) {
    socket.close();
}

#[cfg(not(own_transport))]
pub fn close(socket: &tiny_http::Server, workers: usize) {
    for _ in 0..workers {
        socket.unblock();
    }
}
