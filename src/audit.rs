//! The entries of the audit trail that do not ride on a change: reads, lists and refusals. They go through a bounded buffer
//! and are written in batches, at most one second later: one row for all entries of a kind, since a row and its index entries
//! for each would cost more than the read. A full buffer slows the reader; no entry is dropped.

use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::db::{Db, may_wait};
use crate::error::{Error, Result};
use crate::sql::Query;

/// Entries that may wait.
const CAPACITY: usize = 8_000;
/// Entries that are written at once. A row holds no more than this, since its entries have this many ids.
const BATCH: usize = 1_000;
/// How long an entry may wait for company.
const GATHER: Duration = Duration::from_millis(500);
/// How long a reader waits for a place before its request fails.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait before a failed batch is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What was done, in the words of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are their names")]
pub enum Action {
    Read,
    List,
    Denied,
}

impl Action {
    /// The word in the trail.
    fn word(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::List => "list",
            Action::Denied => "denied",
        }
    }
}

/// Which kind of record it was done to, in the words of the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are their names")]
pub enum Resource {
    User,
    Session,
    Patient,
    Doctor,
    Mapping,
    Audit,
}

impl Resource {
    /// The word in the trail.
    pub const fn word(self) -> &'static str {
        match self {
            Resource::User => "user",
            Resource::Session => "session",
            Resource::Patient => "patient",
            Resource::Doctor => "doctor",
            Resource::Mapping => "mapping",
            Resource::Audit => "audit",
        }
    }
}

/// One look at a record, one list, or one refusal.
#[derive(Debug)]
pub struct Entry {
    /// When.
    pub at: jiff::Timestamp,
    /// Who.
    pub actor_id: i64,
    /// What.
    pub action: Action,
    /// Of which kind of record.
    pub resource: Resource,
    /// The record of a read or a refusal.
    pub resource_id: Option<i64>,
    /// The records that a list showed.
    pub resource_ids: Option<Vec<i64>>,
    /// From where.
    pub ip: IpAddr,
    /// By which request.
    pub request_id: String,
}

impl Entry {
    /// What all entries of a row have in common.
    fn kind(&self) -> (Action, Resource) {
        (self.action, self.resource)
    }

    /// The records that the entry is about.
    fn record_ids(&self) -> impl Iterator<Item = i64> {
        self.resource_id.into_iter().chain(self.resource_ids.iter().flatten().copied())
    }
}

/// The buffer.
#[derive(Default)]
pub struct Buffer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Entries that have left `entries` and are being written.
    writing: usize,
    stopping: bool,
}

impl Buffer {
    /// Adds an entry, waiting for a place while the buffer is full.
    ///
    /// # Errors
    /// `Unavailable` when no place came free: what cannot be recorded is not shown. `Later` where this thread may not wait.
    pub fn record(&self, entry: Entry) -> Result<()> {
        let mut state = self.lock();
        let deadline = Instant::now() + PATIENCE;
        while state.entries.len() + state.writing >= CAPACITY {
            may_wait()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Unavailable("the audit buffer is full".into()));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.entries.push(entry);
        if state.entries.len() == 1 || state.entries.len() == BATCH {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Entries that are not in the database yet.
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.entries.len() + state.writing
    }

    /// Whether everything is in the database.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks [`Buffer::write_until_stopped`] to write what is left and return.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Writes batches until [`Buffer::stop`], and then what is left, for `patience` at most while the database is away.
    pub fn write_until_stopped(&self, db: &Db, record: &Query, patience: Duration) {
        let mut give_up_at = None;
        loop {
            let mut batch = self.next_batch();
            if batch.is_empty() {
                return;
            }
            let written = write_all(db, record, &mut batch);
            let mut state = self.lock();
            state.writing = 0;
            let Err(error) = written else {
                drop(state);
                self.changed.notify_all();
                continue;
            };
            let stopping = state.stopping;
            state.entries.splice(0..0, batch);
            drop(state);
            self.changed.notify_all();
            log::debug!(target: "audit", "a batch waits: {}", error.for_log().unwrap_or_default());
            if stopping && Instant::now() >= *give_up_at.get_or_insert_with(|| Instant::now() + patience) {
                log::error!(target: "audit", "{} entries of reads were lost: the database was away", self.len());
                return;
            }
            std::thread::park_timeout(RETRY_AFTER);
        }
    }

    /// Waits for entries, gives them time to gather, and takes a batch. Empty only when stopping and nothing is left.
    fn next_batch(&self) -> Vec<Entry> {
        let mut state = self.lock();
        while state.entries.is_empty() && !state.stopping {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let gathered_at = Instant::now() + GATHER;
        while !state.stopping && state.entries.len() < BATCH {
            let left = gathered_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = state.entries.len().min(BATCH);
        let batch: Vec<Entry> = state.entries.drain(..count).collect();
        state.writing = batch.len();
        batch
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the entries, those of a kind at once. What was written goes from `left`: an error leaves the others, in their order.
fn write_all(db: &Db, record: &Query, left: &mut Vec<Entry>) -> Result<()> {
    while let Some(kind) = left.first().map(Entry::kind) {
        let batch: Vec<&Entry> = left.iter().filter(|entry| entry.kind() == kind).collect();
        write(db, record, kind, &batch)?;
        left.retain(|entry| entry.kind() != kind);
    }
    Ok(())
}

/// One row for entries of one kind: an array a column.
fn write(db: &Db, record: &Query, (action, resource): (Action, Resource), batch: &[&Entry]) -> Result<()> {
    fn column<'a, T>(batch: &[&'a Entry], value: impl Fn(&'a Entry) -> T) -> Vec<T> {
        batch.iter().map(|entry| value(entry)).collect()
    }
    let mut record_ids: Vec<i64> = batch.iter().flat_map(|entry| entry.record_ids()).collect();
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
