//! What the tests share: servers ([`app`]), an HTTP client ([`http`]), access tokens of our own making ([`jwt`]), and one
//! PostgreSQL for all ([`postgres`]). For the few that need them: a PostgreSQL of their own ([`cluster`]), the program itself
//! ([`binary`]), a folder ([`folder`]).

pub mod app;
pub mod binary;
pub mod cluster;
pub mod folder;
pub mod http;
pub mod jwt;
pub mod postgres;
pub mod schema;
pub mod totp;

use std::sync::Barrier;
use std::thread;

pub use app::{PASSWORD, Person, TestApp};

/// Asks again and again, without a fixed pause, until the answer is yes; the test fails after 20 s.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::yield_now();
    }
}

/// Does `count` things in as many threads, which start together, and returns what came out, in order of their numbers.
pub fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (start, act) = (&Barrier::new(count), &act);
    thread::scope(|scope| {
        let run = |number| {
            scope.spawn(move || {
                start.wait();
                act(number)
            })
        };
        let threads: Vec<_> = (0..count).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

/// How many of the answers have this HTTP status.
pub fn count(answers: &[http::Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}
