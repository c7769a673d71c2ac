//! Counters for a metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

use super::refusal::Cause;

/// What a server has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open now, those included that are only being turned away.
    pub open_connections: usize,
    /// Connections accepted since the start.
    pub accepted_total: u64,
    /// Requests given to the application since the start.
    pub requests_total: u64,
    /// How often the system had no descriptor or memory for a connection.
    pub accept_pauses_total: u64,
    /// Requests and connections that the transport refused since the start, by cause; every cause is listed.
    pub refused_total: Vec<(Cause, u64)>,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub accepted: AtomicU64,
    pub requests: AtomicU64,
    pub accept_pauses: AtomicU64,
    refused: [AtomicU64; Cause::ALL.len()],
}

impl Counters {
    /// Counts a refusal.
    pub fn refused(&self, cause: Cause) {
        self.refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The counters as they stand.
    pub fn snapshot(&self, open_connections: usize) -> Stats {
        let refused = Cause::ALL.iter().map(|&cause| (cause, self.refused[cause as usize].load(Ordering::Relaxed)));
        Stats {
            open_connections,
            accepted_total: self.accepted.load(Ordering::Relaxed),
            requests_total: self.requests.load(Ordering::Relaxed),
            accept_pauses_total: self.accept_pauses.load(Ordering::Relaxed),
            refused_total: refused.collect(),
        }
    }
}
