//! Client addresses: which networks are trusted proxies, and what counts as one client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address range in CIDR notation (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: u128,
    mask: u128,
}

/// An address as 128 bits; an IPv4 address as its mapped IPv6 address.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Network {
    /// Parses `10.0.0.0/8`, `::1` or `192.0.2.7`. `None` if the text is neither an address nor a range.
    ///
    /// ```
    /// let network = healthcare_backend::Network::parse("192.0.2.0/24").expect("a range");
    /// assert!(network.contains([192, 0, 2, 7].into()));
    /// ```
    pub fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse::<u32>().ok().filter(|length| *length <= width)?,
            None => width,
        };
        // The host part is the low `width - length` bits, of the mapped IPv4 address as well.
        let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
        Some(Network { address: bits(address) & mask, mask })
    }

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.address
    }
}

/// The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address, the smallest network that a subscriber
/// gets.
pub fn client_network(address: IpAddr) -> IpAddr {
    shortened(address, 64)
}

/// The network that gets one turn in the queues: an IPv4 address, or the /48 of an IPv6 address. No subscriber gets a larger
/// network (RFC 6177), and many have so many /64s that with a turn for each, nobody else would be served.
pub fn client_site(address: IpAddr) -> IpAddr {
    shortened(address, 48)
}

/// An IPv4 address as it is, and the first `length` bits of an IPv6 one.
fn shortened(address: IpAddr, length: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - length)))),
    }
}

/// Whether the address lies in one of the networks.
pub fn is_one_of(address: IpAddr, networks: &[Network]) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// The client behind trusted proxies: the last entry of `X-Forwarded-For` that is not itself a trusted proxy. If the peer is not
/// trusted, the header proves nothing, and the peer is the client.
pub fn client_address(peer: IpAddr, forwarded_for: Option<&str>, trusted: &[Network]) -> IpAddr {
    // On a dual-stack socket, an IPv4 client has a mapped IPv6 address.
    let mut client = peer.to_canonical();
    let Some(forwarded_for) = forwarded_for else { return client };
    for entry in forwarded_for.rsplit(',') {
        if !is_one_of(client, trusted) {
            return client;
        }
        // An entry that is no address ends the chain: the entries before it cannot be trusted.
        let Some(address) = parse_entry(entry.trim()) else { return client };
        client = address.to_canonical();
    }
    client
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse() {
        return Some(address);
    }
    entry.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip())
}

/// The address for a request whose peer is unknown, which the transport does not produce for TCP.
pub const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
