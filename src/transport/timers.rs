//! Deadlines, kept lazily: a request that is answered in time touches nothing here.
//!
//! Each connection has one current deadline, a plain field that changes with every phase. What stands here is, for each
//! place in the table, when to look at that field next. A deadline that moves away leaves its entry alone: when the
//! entry falls due, the connection is looked at and the entry put back. Only one that moves closer adds an entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// No deadline: a moment, in milliseconds, that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// When to look at which place in the table.
#[derive(Debug)]
pub(super) struct Timers {
    /// The moment of the first entry, so that nobody locks for nothing.
    earliest_ms: AtomicU64,
    entries: Mutex<BinaryHeap<Reverse<(u64, u32)>>>,
}

impl Timers {
    pub fn new() -> Timers {
        Timers { earliest_ms: AtomicU64::new(NEVER), entries: Mutex::new(BinaryHeap::new()) }
    }

    /// The moment of the first entry, or [`NEVER`].
    pub fn earliest_ms(&self) -> u64 {
        self.earliest_ms.load(Ordering::Acquire)
    }

    /// Adds an entry. Returns whether it is now the first, so that those who wait must be told.
    pub fn push(&self, due_ms: u64, place: u32) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Reverse((due_ms, place)));
        let first = due_ms < self.earliest_ms.load(Ordering::Acquire);
        if first {
            self.earliest_ms.store(due_ms, Ordering::Release);
        }
        first
    }

    /// Takes out one entry that is due at `now_ms`.
    pub fn pop_due(&self, now_ms: u64) -> Option<(u64, u32)> {
        if self.earliest_ms() > now_ms {
            return None;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let due = entries.peek().is_some_and(|Reverse((due_ms, _))| *due_ms <= now_ms);
        let entry = if due { entries.pop() } else { None };
        let earliest = entries.peek().map_or(NEVER, |Reverse((due_ms, _))| *due_ms);
        self.earliest_ms.store(earliest, Ordering::Release);
        entry.map(|Reverse(entry)| entry)
    }
}
