//! Every bound of the transport, each with its unit in its name, and the answer to a client that exceeds one.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::refusal::{Refusal, plain_text};
use super::response::Field;

/// Renders the answer to a [`Refusal`]: header fields and body. Framing fields (`Content-Length`, `Connection`,
/// `Date`) are added by the transport. It is called with a connection locked: it must not block.
pub type RefusalHook = Arc<dyn Fn(&Refusal) -> (Vec<Field>, Vec<u8>) + Send + Sync>;

/// Tells whether many clients come from an address, as from a proxy's. It must not block.
pub type AddressHook = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Gives room for this many bytes of a request's body, or `None` if there is none. The room is free again when it is dropped. The hook
/// is called with a connection locked: it must not block.
pub type RoomHook = Arc<dyn Fn(usize) -> Option<Room> + Send + Sync>;

/// Room for a body.
pub type Room = Box<dyn Any + Send>;

/// The bounds of a server. Nothing that a client sends, holds open or leaves unread goes beyond them.
#[derive(Clone)]
pub struct Config {
    /// How many connections may be open at one time. Beyond that, the connection that has been idle longest is closed; if none is
    /// idle, the new one is answered 503 and closed.
    pub max_connections: usize,
    /// The same for one client address (an IPv6 /48 counts as one), among its own connections.
    pub max_connections_per_address: usize,
    /// Whose connections are not counted by address. The default counts all.
    pub is_shared_address: AddressHook,
    /// Longest request line, without its line end; beyond it the answer is 414.
    pub request_line_bytes: usize,
    /// Longest header section, all field lines with their line ends; beyond it the answer is 431.
    pub header_section_bytes: usize,
    /// Most field lines of a request; beyond it the answer is 431.
    pub header_lines: usize,
    /// Longest body, inclusive, decoded; beyond it the answer is 413, from the header alone where it declares a length.
    pub body_bytes: u64,
    /// A body up to this length takes no room. A longer one takes room for its whole length, or for the most that it can become if it
    /// is chunked, until its request is answered; if there is none, the answer is 503.
    pub short_body_bytes: usize,
    /// Gives the room for long bodies. The default gives any amount.
    pub body_room: RoomHook,
    /// All chunk extensions of one body together; beyond it the answer is 400.
    pub chunk_extension_bytes: usize,
    /// The trailer section of a chunked body; it is checked and thrown away; beyond the bound the answer is 431.
    pub trailer_bytes: usize,
    /// From the first byte of a head to its end, else 408.
    pub head_ms: u64,
    /// From the end of the head to the end of the body, else 408.
    pub body_ms: u64,
    /// How long a connection may stay open without a request; then it is closed without a word.
    pub idle_ms: u64,
    /// How long a client may take for each `answer_bytes` of its answer, or for the rest of it; after that the connection is cut.
    /// The two make a minimum rate, so that a long answer may take long, but nobody can hold one without reading it.
    pub answer_ms: u64,
    /// How many bytes a client must read in that time.
    pub answer_bytes: usize,
    /// How much of an unread answer the operating system holds (it doubles the number, for its own needs). It reports that there
    /// is room when a third is free, which must be less than `answer_bytes`.
    pub send_buffer_bytes: usize,
    /// How long a connection that we close is still read, so that the client gets the answer instead of a reset.
    pub linger_ms: u64,
    /// How much is read, and thrown away, in that time.
    pub linger_bytes: usize,
    /// How long no connection is accepted after the system has run out of descriptors or memory.
    pub accept_pause_ms: u64,
    /// Renders the answers that the transport makes itself. The default is one plain sentence of text.
    pub refusal: RefusalHook,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_connections: 1024,
            max_connections_per_address: 1024,
            is_shared_address: Arc::new(|_| false),
            request_line_bytes: 8 * 1024,
            header_section_bytes: 16 * 1024,
            header_lines: 100,
            body_bytes: 256 * 1024,
            short_body_bytes: 64 * 1024,
            body_room: Arc::new(|_| Some(Box::new(()))),
            chunk_extension_bytes: 16 * 1024,
            trailer_bytes: 8 * 1024,
            head_ms: 10_000,
            body_ms: 30_000,
            idle_ms: 60_000,
            answer_ms: 20_000,
            answer_bytes: 160 * 1024,
            send_buffer_bytes: 128 * 1024,
            linger_ms: 2_000,
            linger_bytes: 1024 * 1024,
            accept_pause_ms: 100,
            refusal: Arc::new(plain_text),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_address", &self.max_connections_per_address)
            .field("request_line_bytes", &self.request_line_bytes)
            .field("header_section_bytes", &self.header_section_bytes)
            .field("header_lines", &self.header_lines)
            .field("body_bytes", &self.body_bytes)
            .finish_non_exhaustive()
    }
}
