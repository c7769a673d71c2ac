//! The audit entries that are not part of a change: reads, lists and refusals. They go through a bounded buffer and are written
//! in batches, at most one second later. All entries of a kind share a row, because a row and its index entries for each one
//! would cost more than the read. A full buffer makes reads wait; no entry is dropped.
//!
//! Entries that the database refuses are separated from their neighbours, put aside, and tried again every five seconds. They do
//! not delay later entries until there are a thousand of a kind; after that, a read that cannot be recorded is not answered.

pub mod words;

use std::net::IpAddr;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::db::Db;
use crate::error::{Error, Result};
use crate::lock::{lock, wait_at_most};
use crate::outage::Outage;
use crate::sql::Query;
pub use words::{Action, Resource};

/// How many entries may wait.
const CAPACITY: usize = 8_000;
/// How many entries are written at once. A row holds no more, since it reserves this many ids.
const BATCH: usize = 1_000;
/// How long an entry may wait for others to join its batch.
const GATHER: Duration = Duration::from_millis(500);
/// How long a read waits for a place in the buffer before it fails.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait before a batch is tried again while the database is away, and before refused entries are tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
const REFUSED_AGAIN: Duration = Duration::from_secs(5);
/// How often a refused batch is halved to find the entries at fault: finding one in a thousand takes ten cuts.
const CUTS: u32 = 32;

/// One read of a record, one list, or one refusal.
#[derive(Debug)]
pub struct Entry {
    pub at: jiff::Timestamp,
    pub actor_id: i64,
    pub action: Action,
    pub resource: Resource,
    /// The record of a read or a refusal.
    pub resource_id: Option<i64>,
    /// The records that a list showed.
    pub resource_ids: Option<Vec<i64>>,
    pub ip: IpAddr,
    pub request_id: String,
}

impl Entry {
    /// The values that all entries of a row have in common.
    fn kind(&self) -> (Action, Resource) {
        (self.action, self.resource)
    }

    /// The records that the entry is about.
    fn record_ids(&self) -> impl Iterator<Item = i64> {
        self.resource_id.into_iter().chain(self.resource_ids.iter().flatten().copied())
    }
}

pub struct Buffer {
    state: Mutex<State>,
    changed: Condvar,
    outage: Outage,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Entries that the database refused, whatever the reason.
    refused: Vec<Entry>,
    /// Entries that have left both queues and are being written.
    writing: usize,
    stopping: bool,
}

impl State {
    fn len(&self) -> usize {
        self.entries.len() + self.refused.len() + self.writing
    }

    fn has_room_for(&self, entry: &Entry) -> bool {
        let of_its_kind = self.refused.iter().filter(|refused| refused.kind() == entry.kind());
        self.len() < CAPACITY && of_its_kind.count() < BATCH
    }
}

/// Why entries could not be written.
#[derive(Default)]
struct Unwritten {
    /// The database was away or busy.
    waiting: Vec<Entry>,
    /// The database refused these entries.
    refused: Vec<Entry>,
    cause: Option<String>,
}

impl Default for Buffer {
    fn default() -> Buffer {
        let outage = Outage::new("audit", "entries cannot be written and wait", "all entries are written");
        Buffer { state: Mutex::default(), changed: Condvar::new(), outage }
    }
}

impl Buffer {
    /// Adds an entry, waiting for a place while the buffer is full. `Unavailable` if no place came free: a read that cannot be
    /// recorded is not answered.
    pub fn record(&self, entry: Entry) -> Result<()> {
        let mut state = lock(&self.state);
        let deadline = Instant::now() + PATIENCE;
        while !state.has_room_for(&entry) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Unavailable("the audit buffer is full".into()));
            }
            state = wait_at_most(&self.changed, state, left);
        }
        self.add(&mut state, entry);
        Ok(())
    }

    /// Adds an entry without waiting, or gives it back if the buffer is full.
    pub fn try_record(&self, entry: Entry) -> Option<Entry> {
        let mut state = lock(&self.state);
        if !state.has_room_for(&entry) {
            return Some(entry);
        }
        self.add(&mut state, entry);
        None
    }

    fn add(&self, state: &mut State, entry: Entry) {
        state.entries.push(entry);
        if state.entries.len() == 1 || state.entries.len() == BATCH {
            self.changed.notify_all();
        }
    }

    /// How many entries are not in the database yet.
    pub fn len(&self) -> usize {
        lock(&self.state).len()
    }

    /// How many of them the database refused.
    pub fn refused(&self) -> usize {
        lock(&self.state).refused.len()
    }

    /// Asks [`Buffer::write_until_stopped`] to write what is left and return.
    pub fn stop(&self) {
        lock(&self.state).stopping = true;
        self.changed.notify_all();
    }

    /// Writes batches until [`Buffer::stop`], and then the rest; while the database is away, for `patience` at most.
    pub fn write_until_stopped(&self, db: &Db, record: &Query, patience: Duration) {
        let (mut give_up_at, mut refused_again_at) = (None, Instant::now());
        loop {
            let batch = self.next_batch(refused_again_at);
            if batch.is_empty() {
                return;
            }
            let Unwritten { waiting, refused, cause } = write_all(db, record, batch);
            let (is_away, is_refused) = (!waiting.is_empty(), !refused.is_empty());
            let mut state = lock(&self.state);
            state.writing = 0;
            state.entries.splice(0..0, waiting);
            let stopping = state.stopping;
            if stopping && is_refused {
                let (lost, cause) = (refused.len(), cause.as_deref().unwrap_or_default());
                log::error!(target: "audit", "{lost} entries of reads were lost: the database refused them: {cause}");
            } else {
                state.refused.extend(refused);
            }
            let is_all_written = !is_away && state.refused.is_empty();
            drop(state);
            self.changed.notify_all();
            match cause {
                Some(cause) => drop(self.outage.failed(&cause)),
                None if is_all_written => drop(self.outage.over()),
                None => {}
            }
            if is_refused {
                refused_again_at = Instant::now() + REFUSED_AGAIN;
            }
            if is_away {
                if stopping && Instant::now() >= *give_up_at.get_or_insert_with(|| Instant::now() + patience) {
                    log::error!(target: "audit", "{} entries of reads were lost: the database was away", self.len());
                    return;
                }
                std::thread::park_timeout(RETRY_AFTER);
            }
        }
    }

    /// Waits for entries, gives them time to gather, and takes a batch. Refused entries are taken when it is time to try them
    /// again. Empty only if the buffer is stopping and nothing is left.
    fn next_batch(&self, refused_again_at: Instant) -> Vec<Entry> {
        let mut state = lock(&self.state);
        let left = |moment: Instant| moment.saturating_duration_since(Instant::now());
        while state.entries.is_empty() && !state.stopping {
            let patience = if state.refused.is_empty() { Duration::MAX } else { left(refused_again_at) };
            if patience.is_zero() {
                break;
            }
            state = wait_at_most(&self.changed, state, patience);
        }
        let gathered_at = Instant::now() + GATHER;
        while !state.stopping && !state.entries.is_empty() && state.entries.len() < BATCH {
            let left = left(gathered_at);
            if left.is_zero() {
                break;
            }
            state = wait_at_most(&self.changed, state, left);
        }
        let is_time = left(refused_again_at).is_zero() || (state.stopping && state.entries.is_empty());
        let state = &mut *state;
        let from = if is_time && !state.refused.is_empty() { &mut state.refused } else { &mut state.entries };
        let count = from.len().min(BATCH);
        let mut batch: Vec<Entry> = from.drain(..count).collect();
        // Those that were put aside or had to wait for room come late.
        batch.sort_by_key(|entry| entry.at);
        state.writing = batch.len();
        batch
    }
}

/// Writes the entries, all of a kind at once. If the database refuses some, they are halved until those at fault are alone.
fn write_all(db: &Db, record: &Query, mut batch: Vec<Entry>) -> Unwritten {
    let mut parts = Vec::new();
    while let Some(kind) = batch.first().map(Entry::kind) {
        let (of_kind, others) = batch.into_iter().partition(|entry| entry.kind() == kind);
        parts.insert(0, of_kind);
        batch = others;
    }
    // The last part is the next.
    let (mut unwritten, mut cuts) = (Unwritten::default(), CUTS);
    while let Some(mut part) = parts.pop() {
        let Err(error) = write(db, record, &part) else { continue };
        unwritten.cause = Some(error.cause().into_owned());
        match error {
            Error::Unavailable(_) => {
                parts.push(part);
                unwritten.waiting = parts.drain(..).rev().flatten().collect();
            }
            _ if part.len() > 1 && cuts > 0 => {
                cuts -= 1;
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
            }
            _ => unwritten.refused.extend(part),
        }
    }
    unwritten
}

/// One row for entries of one kind: an array per column.
fn write(db: &Db, record: &Query, batch: &[Entry]) -> Result<()> {
    fn column<'a, T>(batch: &'a [Entry], value: impl Fn(&'a Entry) -> T) -> Vec<T> {
        batch.iter().map(value).collect()
    }
    let Some((action, resource)) = batch.first().map(Entry::kind) else { return Ok(()) };
    let mut record_ids: Vec<i64> = batch.iter().flat_map(Entry::record_ids).collect();
    record_ids.sort_unstable();
    record_ids.dedup();
    db.exec(
        record,
        &[
            &action.word(),
            &resource.word(),
            &column(batch, |entry| entry.at),
            &column(batch, |entry| entry.actor_id),
            &column(batch, |entry| entry.resource_id),
            &column(batch, |entry| entry.resource_ids.as_ref().map(|ids| array_text(ids))),
            &column(batch, |entry| entry.ip),
            &column(batch, |entry| entry.request_id.as_str()),
            &record_ids,
        ],
    )
}

/// `{1,2,3}`
fn array_text(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
