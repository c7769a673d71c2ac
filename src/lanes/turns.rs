//! A queue that serves networks in turn: however much one sends, the others wait for one of its items each time, not for all.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Items that wait, in a line for each network.
pub struct Turns<T> {
    /// The lines, none of them empty. The network whose turn is next comes first.
    lines: VecDeque<(IpAddr, VecDeque<T>)>,
    len: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Turns<T> {
        Turns { lines: VecDeque::new(), len: 0 }
    }
}

impl<T> Turns<T> {
    /// How many items wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts an item at the end of its network's line.
    pub fn push(&mut self, network: IpAddr, item: T) {
        match self.lines.iter_mut().find(|(known, _)| *known == network) {
            Some((_, line)) => line.push_back(item),
            None => self.lines.push_back((network, VecDeque::from([item]))),
        }
        self.len += 1;
    }

    /// The same within a number of places. When all are taken, the longest line gives up its last place to a shorter one, so a network may
    /// use the places that no other needs, and keeps none from a newcomer. Returns the item that is left without a place.
    pub fn push_within(&mut self, places: usize, network: IpAddr, item: T) -> Option<T> {
        if self.len < places {
            self.push(network, item);
            return None;
        }
        let own = self.lines.iter().find(|(known, _)| *known == network).map_or(0, |(_, line)| line.len());
        let longest = self.lines.iter_mut().map(|(_, line)| line).max_by_key(|line| line.len());
        // A place that would only change hands to and fro is not given up, nor the only one of a network.
        let Some(longest) = longest.filter(|line| line.len() > own + 1) else { return Some(item) };
        let displaced = longest.pop_back();
        self.len -= 1;
        self.push(network, item);
        displaced
    }

    /// The next item, if it is wanted; its network then goes to the end of the row.
    pub fn pop_if(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let (_, line) = self.lines.front()?;
        if line.front().is_some_and(is_wanted) { self.pop() } else { None }
    }

    /// The next item; its network then goes to the end of the row.
    pub fn pop(&mut self) -> Option<T> {
        let (network, mut line) = self.lines.pop_front()?;
        let item = line.pop_front();
        self.len -= 1;
        if !line.is_empty() {
            self.lines.push_back((network, line));
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn network(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    /// Everything that waits, in the order in which it is served.
    fn served(mut turns: Turns<&str>) -> Vec<&str> {
        let mut served = Vec::new();
        while let Some(item) = turns.pop() {
            served.push(item);
        }
        assert_eq!(turns.len(), 0);
        served
    }

    #[test]
    fn networks_are_served_in_turn_and_each_in_the_order_of_its_items() {
        let mut turns = Turns::default();
        for (from, item) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (1, "a4"), (3, "c1"), (2, "b2")] {
            turns.push(network(from), item);
        }
        assert_eq!(turns.len(), 7);
        assert_eq!(served(turns), ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    #[test]
    fn one_network_may_have_all_places_until_others_come() {
        let mut turns = Turns::default();
        let mut push = |from, item| turns.push_within(4, network(from), item);
        assert_eq!([push(1, "a1"), push(1, "a2"), push(1, "a3"), push(1, "a4")], [None; 4]);
        assert_eq!(push(1, "a5"), Some("a5"), "its own line is the longest");
        assert_eq!(push(2, "b1"), Some("a4"));
        assert_eq!(push(3, "c1"), Some("a3"));
        assert_eq!(push(3, "c2"), Some("c2"), "no line is longer by two");
        assert_eq!(push(4, "d1"), Some("a2"));
        assert_eq!(push(5, "e1"), Some("e1"), "each has its only place");
        assert_eq!(served(turns), ["a1", "b1", "c1", "d1"]);
    }
}
