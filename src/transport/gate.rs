//! Who may come in: places in the table, counted in all and by client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::config::Config;
use super::refusal::Cause;

/// Places for connections that are only told 503. Beyond them a connection is closed without more ado.
const TURNED_AWAY_PLACES: usize = 64;

/// The free places, and the counts.
#[derive(Debug)]
pub(super) struct Gate {
    free: Vec<u32>,
    places: usize,
    served: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What the gate says to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is served, in this place.
    Served(u32),
    /// It is answered 503, in this place.
    TurnedAway(u32, Cause),
    /// There is not even room to tell it.
    Dropped(Cause),
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

    /// Lets a connection in, or not.
    pub fn enter(&mut self, remote: &SocketAddr, config: &Config) -> Entry {
        let here = self.by_address.get(&key(remote)).copied().unwrap_or(0);
        let cause = if self.served >= config.max_connections {
            Cause::Connections
        } else if here >= config.max_connections_per_address {
            Cause::ConnectionsOfAddress
        } else {
            let Some(place) = self.free.pop() else {
                return Entry::Dropped(Cause::Connections);
            };
            self.served += 1;
            self.by_address.insert(key(remote), here + 1);
            return Entry::Served(place);
        };
        match self.free.pop() {
            Some(place) => Entry::TurnedAway(place, cause),
            None => Entry::Dropped(cause),
        }
    }

    /// Takes back the place of a connection that has gone.
    pub fn leave(&mut self, place: u32, remote: &SocketAddr, was_served: bool) {
        self.free.push(place);
        if !was_served {
            return;
        }
        self.served -= 1;
        if let Some(count) = self.by_address.get_mut(&key(remote)) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&key(remote));
            }
        }
    }
}

/// What counts as one client address: an IPv4 address, or the /64 that an IPv6 network hands to one customer.
fn key(remote: &SocketAddr) -> IpAddr {
    match remote.ip().to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}
