//! What clients were told while something broke, and what it comes to.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::http::{self, Answer};

/// What one request came to.
#[derive(Clone)]
pub struct Told {
    pub what: String,
    pub at: Instant,
    pub took: Duration,
    /// Nothing where the connection ended without an answer.
    pub status: Option<u16>,
    has_retry_after: bool,
}

impl Told {
    /// Sends one request on a connection of its own.
    pub fn of(
        what: &str,
        address: SocketAddr,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> (Told, Option<Answer>) {
        let at = Instant::now();
        let answer = http::try_send(address, method, path, headers, body);
        let status = answer.as_ref().map(|answer| answer.status);
        let has_retry_after = answer.as_ref().is_some_and(|answer| answer.header("retry-after").is_some());
        (Told { what: what.to_string(), at, took: at.elapsed(), status, has_retry_after }, answer)
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.status, None | Some(503))
    }

    pub fn ended(&self) -> Instant {
        self.at + self.took
    }
}

/// What they were told.
pub struct Tale {
    pub told: Vec<Told>,
}

impl Tale {
    /// Checks that every request was served with one of these statuses, or was refused properly and in time: 503 with Retry-After,
    /// within `limit`.
    #[track_caller]
    pub fn expect_only_503(&self, served: &[u16], limit: Duration) {
        let statuses: HashSet<Option<u16>> = self.told.iter().map(|told| told.status).collect();
        let is_known = |status: &Option<u16>| status.is_some_and(|status| status == 503 || served.contains(&status));
        assert!(statuses.iter().all(is_known), "{statuses:?}");
        for told in self.refused() {
            assert!(told.has_retry_after, "{}", told.what);
            assert!(told.took < limit, "{} took {:?}", told.what, told.took);
        }
    }

    pub fn refused(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.is_refused())
    }

    /// The longest that one of them waited to be refused.
    pub fn longest(&self) -> Duration {
        self.refused().map(|told| told.took).max().unwrap_or_default()
    }

    /// From this moment until the first success of a request that was sent after the first failure.
    pub fn back_after(&self, fault: Instant) -> Duration {
        let failed = self.refused().filter(|told| told.ended() >= fault);
        let Some(failed) = failed.map(|told| told.at).min() else { return Duration::ZERO };
        let back = self.told.iter().filter(|told| !told.is_refused() && told.at > failed);
        let back = back.map(Told::ended).min().expect("a success after the fault");
        back.duration_since(fault)
    }

    /// The numbers of acknowledged writes and of refusals, and the longest of these.
    pub fn summary(&self) -> String {
        let (all, refused) = (self.told.len(), self.refused().count());
        format!("{} acknowledged, {refused} refused, the longest after {:?}", all - refused, self.longest())
    }
}
