//! A moment as a number, which fits into an atomic: milliseconds since the process first asked. A span of time that fits into no
//! atomic is an `Instant`, and a date is a `jiff::Timestamp`.

use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The present moment. It is never 0, which may stand for no moment at all.
pub fn now_ms() -> u64 {
    START.elapsed().as_millis() as u64 + 1
}
