//! What the tests share: servers ([`app`]), an HTTP client ([`http`]), and one PostgreSQL for all ([`postgres`]).

pub mod app;
pub mod http;
pub mod postgres;
pub mod schema;

pub use app::TestApp;

/// Asks again and again, without a fixed pause, until the answer is yes; the test fails after 20 s.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what} did not come true within 20 s");
        std::thread::yield_now();
    }
}
