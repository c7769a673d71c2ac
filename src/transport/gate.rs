//! Admission: places in the table, counted in total and by client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::config::Config;
use super::refusal::Cause;

/// How many places there are for connections that only get 503 and are then read for a while. Beyond that, they get 503 and are
/// closed at once.
const TURNED_AWAY_PLACES: usize = 64;

/// The free places, and the counts.
#[derive(Debug)]
pub(super) struct Gate {
    free: Vec<u32>,
    places: usize,
    served: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Gate {
    pub fn new(config: &Config) -> Gate {
        let places = config.max_connections + TURNED_AWAY_PLACES;
        Gate { free: (0..places as u32).rev().collect(), places, served: 0, by_address: HashMap::new() }
    }

    /// The number of places, taken or free.
    pub fn places(&self) -> usize {
        self.places
    }

    /// The number of places that are taken.
    pub fn taken(&self) -> usize {
        self.places - self.free.len()
    }

    /// Lets a connection in and gives it its place.
    ///
    /// # Errors
    /// All connections are taken, or all of this address.
    pub fn enter(&mut self, remote: &SocketAddr, config: &Config) -> Result<u32, Cause> {
        let client = client(remote, config);
        let here = client.and_then(|client| self.by_address.get(&client)).copied().unwrap_or(0);
        if here >= config.max_connections_per_address {
            return Err(Cause::ConnectionsOfAddress);
        }
        if self.served >= config.max_connections {
            return Err(Cause::Connections);
        }
        let place = self.free.pop().ok_or(Cause::Connections)?;
        self.served += 1;
        if let Some(client) = client {
            self.by_address.insert(client, here + 1);
        }
        Ok(place)
    }

    /// A place for a connection that is turned away, if one is free.
    pub fn place_outside(&mut self) -> Option<u32> {
        let outside = self.taken() - self.served;
        if outside < TURNED_AWAY_PLACES { self.free.pop() } else { None }
    }

    /// Takes back the place of a connection that has gone.
    pub fn leave(&mut self, place: u32, remote: &SocketAddr, was_served: bool, config: &Config) {
        self.free.push(place);
        if !was_served {
            return;
        }
        self.served -= 1;
        let Some(client) = client(remote, config) else { return };
        if let Some(count) = self.by_address.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&client);
            }
        }
    }
}

/// The network that counts as one client: an IPv4 address, or the /48 of an IPv6 address, the largest network that one customer
/// gets (RFC 6177). `None` for an address that many clients share.
pub(super) fn client(remote: &SocketAddr, config: &Config) -> Option<IpAddr> {
    let address = remote.ip().to_canonical();
    if (config.is_shared_address)(address) {
        return None;
    }
    Some(match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80))),
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_an_ipv6_customer_are_one_client() {
        let client = |text: &str| client(&text.parse().expect("an address"), &Config::default());
        let (one, other) = (client("[2001:db8:1:1::1]:80"), client("[2001:db8:1:ffff::2]:81"));
        assert_eq!(one, other);
        assert_ne!(one, client("[2001:db8:2:1::1]:80"));
        assert_eq!(client("[::ffff:192.0.2.1]:80"), client("192.0.2.1:81"));
        assert_ne!(client("192.0.2.1:80"), client("192.0.2.2:80"));
    }
}
