//! Creations that share a statement and its commit. While a few statements wait for the disk, the next creations gather; a thread that
//! takes them makes all of one kind, and answers each after the commit.
//!
//! The statements must take no locks that two batches could take in different orders: a statement says `write batched` only if it
//! locks nothing but what may be shared, and waits for no unique value.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::turns::Turns;

/// How many such statements run at a time.
const MAKERS: usize = 2;
/// At most how many records a statement makes.
const TOGETHER: usize = 32;
/// How long a thread counts as one of the makers. If its statement hangs, another takes its place.
const MAKING: Duration = Duration::from_secs(1);

/// What has gathered, and the threads that make what had gathered before.
pub struct Gathering<T> {
    /// Each with its kind.
    creations: Turns<(usize, T)>,
    /// The number of each maker, and when it began.
    makers: Vec<(u64, Instant)>,
    last_maker: u64,
}

impl<T> Default for Gathering<T> {
    fn default() -> Gathering<T> {
        Gathering { creations: Turns::default(), makers: Vec::new(), last_maker: 0 }
    }
}

impl<T> Gathering<T> {
    /// How many creations wait.
    pub fn len(&self) -> usize {
        self.creations.len()
    }

    /// Lets a creation wait. Those of one kind have the same statement; networks take turns.
    pub fn push(&mut self, network: IpAddr, kind: usize, creation: T) {
        self.creations.push(network, (kind, creation));
    }

    /// Whether creations wait and one more thread may make them.
    pub fn wants_maker(&self) -> bool {
        self.len() > 0 && self.makers.iter().filter(|(_, began)| began.elapsed() < MAKING).count() < MAKERS
    }

    /// The creations that wait, of one kind, and the number of their maker; `None` unless it [wants one](Gathering::wants_maker).
    pub fn take(&mut self) -> Option<(Vec<T>, u64)> {
        if !self.wants_maker() {
            return None;
        }
        let (kind, first) = self.creations.pop()?;
        let mut batch = vec![first];
        while batch.len() < TOGETHER
            && let Some((_, creation)) = self.creations.pop_if(|(next, _)| *next == kind)
        {
            batch.push(creation);
        }
        self.makers.retain(|(_, began)| began.elapsed() < MAKING);
        self.last_maker += 1;
        self.makers.push((self.last_maker, Instant::now()));
        Some((batch, self.last_maker))
    }

    /// A maker is done.
    pub fn made(&mut self, maker: u64) {
        self.makers.retain(|(number, _)| *number != maker);
    }
}
