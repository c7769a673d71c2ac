//! Regular work: it records when sessions were used, counts the emergency access that waits for a review, and removes expired rows, in
//! batches, so that no statement grows with the backlog.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::auth::sessions::Sessions;
use crate::db::Db;
use crate::error::Result;
use crate::handlers::{emergency, idempotency};
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::sql::{Parameters, Queries, Query};

/// How often the use of sessions is recorded, and what waits for a review is counted.
const TOUCH_EVERY: Duration = Duration::from_secs(30);
/// How often expired rows are removed, and how long to wait after a failure.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
const PRUNE_AGAIN: Duration = Duration::from_secs(5 * 60);
/// How many rows one statement changes at most.
const BATCH: usize = 1_000;
const MOST: i64 = BATCH as i64;

/// Keeps the tables of one service small.
pub struct Housekeeper<'a> {
    db: &'a Db,
    sql: &'a Queries,
    /// Whether recording the use of sessions fails.
    pub touching: Outage,
    /// Whether removing expired rows fails.
    pub pruning: Outage,
}

impl<'a> Housekeeper<'a> {
    /// Nothing has failed yet.
    pub fn new(db: &'a Db, sql: &'a Queries) -> Housekeeper<'a> {
        let touching =
            Outage::new("database", "the use of sessions cannot be recorded", "the use of sessions is recorded again");
        let pruning = Outage::new("database", "expired rows cannot be removed", "expired rows are removed again");
        Housekeeper { db, sql, touching, pruning }
    }

    /// Does all that again and again until it is told to stop, and then records the use of sessions once more.
    pub fn keep(&self, sessions: &Sessions, metrics: &Metrics, stopping: &AtomicBool) {
        let mut prune_at = Instant::now();
        while !stopping.load(Ordering::Relaxed) {
            if Instant::now() >= prune_at {
                prune_at = Instant::now() + if self.prune(stopping) { PRUNE_EVERY } else { PRUNE_AGAIN };
            }
            // If that fails, the number of before stays; the database is away, and the log says so.
            if let Ok(row) = self.db.query_one(&self.sql.emergency.unreviewed, &[]) {
                emergency::note_unreviewed(metrics, &row);
            }
            thread::park_timeout(TOUCH_EVERY);
            self.touch(&sessions.take_used());
        }
    }

    /// Records that these sessions were used, and returns whether that worked. If not, a session that stays in use is recorded a
    /// minute later.
    pub fn touch(&self, used: &[i64]) -> bool {
        let touched = used.chunks(BATCH).try_for_each(|ids| self.db.exec(&self.sql.sessions.touch, &[&ids]));
        used.is_empty() || told(&self.touching, touched)
    }

    /// Removes rows on which no answer depends any more. False if that failed.
    pub fn prune(&self, stopping: &AtomicBool) -> bool {
        let pruned = self.prune_sessions(stopping).and_then(|()| {
            self.remove_all(&self.sql.sessions.prune_failures, &[&MOST], stopping)?;
            self.remove_all(&self.sql.idempotency.prune, &[&idempotency::LIFETIME_SECONDS, &MOST], stopping)
        });
        told(&self.pruning, pruned)
    }

    /// Sessions are removed only after their refresh tokens, of which one session may have very many.
    fn prune_sessions(&self, stopping: &AtomicBool) -> Result<()> {
        loop {
            self.remove_all(&self.sql.sessions.prune_tokens, &[&MOST], stopping)?;
            if stopping.load(Ordering::Relaxed) || self.remove(&self.sql.sessions.prune, &[&MOST])? < MOST {
                return Ok(());
            }
        }
    }

    /// Runs the statement until it finds less than a batch.
    fn remove_all(&self, query: &Query, parameters: Parameters, stopping: &AtomicBool) -> Result<()> {
        while !stopping.load(Ordering::Relaxed) && self.remove(query, parameters)? == MOST {}
        Ok(())
    }

    /// How many rows the statement removed.
    fn remove(&self, query: &Query, parameters: Parameters) -> Result<i64> {
        Ok(self.db.query_one(query, parameters)?.get("removed"))
    }
}

fn told(outage: &Outage, result: Result<()>) -> bool {
    match &result {
        Ok(()) => outage.over(),
        Err(error) => outage.failed(&error.cause()),
    };
    result.is_ok()
}
