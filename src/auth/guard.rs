//! The access tokens, the sessions and the rate limits, which decide who may make requests and how often.

use std::net::IpAddr;
use std::sync::Arc;

use super::limits::Limiter;
use super::sessions::Sessions;
use super::tokens::Tokens;
use crate::config::Config;
use crate::error::{Counted, Error, RateLimit, Result};
use crate::metrics::Metrics;
use crate::network::client_network;

/// Tokens, sessions and rate limits.
pub struct Guard {
    /// Signs and verifies access tokens.
    pub tokens: Tokens,
    /// The sessions that this node remembers.
    pub sessions: Sessions,
    /// The rate limit of each network for requests that check a password or a token.
    attempts: Limiter<IpAddr>,
    /// The rate limit of each user for changes.
    changes: Limiter<i64>,
    metrics: Arc<Metrics>,
}

impl Guard {
    /// A guard that remembers nothing yet. The secret signs access tokens.
    pub fn new(secret: &str, config: &Config, metrics: Arc<Metrics>) -> Guard {
        Guard {
            tokens: Tokens::new(secret, config.jwt_secret_previous.as_deref(), config.jwt_ttl_seconds),
            sessions: Sessions::default(),
            attempts: Limiter::new(Counted::Attempts, config.auth_rate_per_minute),
            changes: Limiter::new(Counted::Changes, config.changes_per_minute),
            metrics,
        }
    }

    /// Counts a request that checks a password or a token against the client's rate limit.
    pub fn take_attempt(&self, client: IpAddr) -> Result<()> {
        self.attempts.take(client_network(client)).map_err(|limit| self.limited(limit))
    }

    /// Counts a change against the user's rate limit.
    pub fn take_change(&self, user_id: i64) -> Result<()> {
        self.changes.take(user_id).map_err(|limit| self.limited(limit))
    }

    fn limited(&self, limit: Box<RateLimit>) -> Error {
        self.metrics.rate_limited.add(1);
        Error::TooManyRequests(limit)
    }
}
