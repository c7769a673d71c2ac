//! Failures that last for a while. They are logged once per outage and cause, however often the operation is tried, and once more
//! when the outage is over. So no failure is silent, and none fills the log.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::Level;

use crate::lock::lock;

/// How many causes of one outage are logged; further ones are only counted.
const MOST_CAUSES: usize = 32;
/// How long an operation that fails now and then must not have failed before its outage is over.
const CALM: Duration = Duration::from_secs(10);

/// One operation that may fail, and whether it fails now.
#[derive(Debug)]
pub struct Outage {
    level: Level,
    target: &'static str,
    begins: &'static str,
    ends: &'static str,
    most_causes: usize,
    now: Mutex<Option<Failing>>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    failures: u64,
    said: BTreeSet<String>,
}

impl Outage {
    /// No outage yet. The log lines will be `begins: cause` and `ends after 2.5 s and 3 failures`.
    pub fn new(target: &'static str, begins: &'static str, ends: &'static str) -> Outage {
        Outage { level: Level::Warn, target, begins, ends, most_causes: MOST_CAUSES, now: Mutex::new(None) }
    }

    /// The same, but its beginning is logged as an error.
    pub fn grave(target: &'static str, begins: &'static str, ends: &'static str) -> Outage {
        Outage { level: Level::Error, ..Outage::new(target, begins, ends) }
    }

    /// Logs only the first cause, because the others follow from it.
    pub fn with_one_cause(self) -> Outage {
        Outage { most_causes: 1, ..self }
    }

    /// Notes a failure, and returns whether it was logged.
    pub fn failed(&self, cause: &str) -> bool {
        let mut now = lock(&self.now);
        let instant = Instant::now();
        let failing =
            now.get_or_insert_with(|| Failing { since: instant, last: instant, failures: 0, said: BTreeSet::new() });
        failing.last = instant;
        failing.failures += 1;
        let is_news = failing.said.len() < self.most_causes && failing.said.insert(cause.to_string());
        drop(now);
        if is_news {
            log::log!(target: self.target, self.level, "{}: {cause}", self.begins);
        }
        is_news
    }

    /// Notes a success, and returns whether it ended an outage, which is then logged.
    pub fn over(&self) -> bool {
        let Some(failing) = lock(&self.now).take() else { return false };
        let lasted = failing.last.duration_since(failing.since).max(failing.since.elapsed().min(CALM));
        log::warn!(target: self.target, "{}", self.end(lasted, failing.failures));
        true
    }

    fn end(&self, lasted: Duration, count: u64) -> String {
        let failures = if count == 1 { "failure" } else { "failures" };
        format!("{} after {:.1} s and {count} {failures}", self.ends, lasted.as_secs_f64())
    }

    /// The same for operations that work and fail by turns: the outage ends when nothing has failed for 10 s.
    pub fn over_when_calm(&self) -> bool {
        let is_calm = lock(&self.now).as_ref().is_some_and(|failing| failing.last.elapsed() > CALM);
        is_calm && self.over()
    }

    pub fn is_going_on(&self) -> bool {
        lock(&self.now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once_an_outage_and_the_end_once() {
        let outage = Outage::new("test", "it fails", "it works");
        assert!(!outage.over(), "there was nothing to end");
        for _ in 0..2 {
            let said = ["full", "full", "slow", "full", "slow"].map(|cause| outage.failed(cause));
            assert_eq!(said, [true, false, true, false, false]);
            assert!(outage.is_going_on() && !outage.over_when_calm());
            assert!(outage.over() && !outage.over() && !outage.is_going_on());
        }
        assert_eq!(outage.end(Duration::from_millis(2_500), 3), "it works after 2.5 s and 3 failures");
        assert_eq!(outage.end(Duration::from_millis(90), 1), "it works after 0.1 s and 1 failure");
        let one = Outage::grave("test", "it fails", "it works").with_one_cause();
        assert_eq!(["full", "slow"].map(|cause| one.failed(cause)), [true, false]);
    }

    #[test]
    fn a_cause_that_is_never_the_same_does_not_fill_the_log() {
        let outage = Outage::new("test", "it fails", "it works");
        let said = (0..1_000).filter(|number| outage.failed(&number.to_string())).count();
        assert_eq!(said, MOST_CAUSES);
    }
}
