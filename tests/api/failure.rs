//! When things fail: the database goes away or freezes, every connection is taken, a handler panics, the operator stops the server.
//! The client soon gets an answer of the contract, every promise is kept, and nothing about a person leaks.

mod database;
mod faults;
mod floods;
mod logs;
mod saturation;

use std::time::Duration;

use crate::harness::TestApp;
use crate::harness::http::Answer;

/// The longest that a client may wait for the answer that a request cannot be served: a statement has 10 s, and this leaves a
/// slow machine some room. Without the limits nothing here would ever end.
const PATIENCE: Duration = Duration::from_secs(13);

/// The answer is a 503 that says when to try again.
#[track_caller]
fn unavailable(answer: Answer) -> Answer {
    crate::contract::check(&answer);
    answer.expect(503, "failed")
}

/// One of the server's metrics.
fn number(app: &TestApp, name: &str) -> i64 {
    let page = String::from_utf8(app.anyone().get("/metrics").body).expect("text");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a whole number")
}
