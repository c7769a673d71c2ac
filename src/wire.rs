//! The transport that serves, as the rest of the service sees it: ours. The crate `tiny_http` has the same functions in
//! `wire/upstream.rs`, which takes this file's place on systems other than Linux and with the feature `upstream-tiny-http`.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use crate::app::App;
use crate::error::Result;
use crate::memory::SHORT_BYTES;
use crate::metrics::Family;
use crate::transport::{Config, Field, Refusal, Room, Server};

/// A request as the transport gives it.
pub use crate::transport::Request as RawRequest;

/// The listening socket and its connections.
pub type Socket = Server;

/// Opens the server on the listener. `refusal` makes the headers and the body of an answer that the transport gives itself from the
/// status, a sentence, the `X-Request-Id` that the client sent and the target of the request, where they could be read.
pub fn open(
    listener: TcpListener,
    app: &App,
    refusal: impl Fn(u16, &str, Option<&str>, Option<&str>) -> (Vec<Field>, Vec<u8>) + Send + Sync + 'static,
) -> std::io::Result<Socket> {
    let proxies = app.config.trusted_proxies.clone();
    let memory = Arc::clone(&app.memory);
    let body_room = move |bytes| {
        let mut share = memory.share(None);
        share.grow_to(bytes).then(|| Box::new(share) as Room)
    };
    let config = Config {
        max_connections: app.config.max_connections,
        max_connections_per_address: app.config.max_connections_per_address,
        is_shared_address: Arc::new(move |address| proxies.iter().any(|network| network.contains(address))),
        body_bytes: u64::try_from(app.config.max_body_bytes).unwrap_or(u64::MAX),
        short_body_bytes: SHORT_BYTES,
        body_room: Arc::new(body_room),
        refusal: Arc::new(move |refused: &Refusal| {
            let (sent_id, target) = (refused.request_id.as_deref(), refused.target.as_deref());
            refusal(refused.cause.status(), &refused.message, sent_id, target)
        }),
        ..Config::default()
    };
    Server::new(listener, config)
}

/// Waits for a request, and also takes those that have arrived by then, `most` in all.
pub fn receive(socket: &Socket, most: usize) -> std::io::Result<Vec<RawRequest>> {
    socket.receive(most)
}

/// The address at the other end of the connection.
pub fn peer(raw: &RawRequest) -> Option<IpAddr> {
    Some(raw.remote().ip())
}

/// Name and value of each header, in the order in which they came.
pub fn headers(raw: &RawRequest) -> impl Iterator<Item = (&str, &str)> {
    raw.fields()
}

/// Takes the body out of a request.
///
/// # Errors
/// None: the transport has refused a body beyond its bound, or one that did not arrive.
pub fn take_body(raw: &mut RawRequest, _max_bytes: usize) -> Result<Vec<u8>> {
    Ok(raw.take_body())
}

/// Sends an answer. The body is dropped when the client has read it, or has gone.
pub fn respond(
    raw: RawRequest,
    status: u16,
    headers: Vec<Field>,
    body: impl AsRef<[u8]> + Send + 'static,
) -> std::io::Result<()> {
    raw.respond(status, &headers, body)
}

/// Accepts no new connections; [`receive`] fails in every worker once all requests are answered.
pub fn close(socket: &Socket, _workers: usize) {
    socket.close();
}

/// The transport's metrics: connections, and the requests that it refused itself.
pub fn metrics(socket: &Socket) -> Vec<Family> {
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
