//! How often one client address may have a password or a token checked: a bucket for each (RFC 6585, 429).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::RateLimit;
use crate::network::client_network;

/// Addresses that are remembered; beyond, the one unused longest is forgotten.
const CAPACITY: usize = 10_000;

/// A bucket fills at `per_minute` and holds a minute's worth.
pub struct Limiter {
    per_minute: u32,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Limiter {
    /// 0 means no limit.
    pub fn new(per_minute: u32) -> Limiter {
        Limiter { per_minute, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes one token of the address.
    ///
    /// # Errors
    /// When the next one is due.
    pub fn take(&self, address: IpAddr) -> Result<(), Box<RateLimit>> {
        self.take_at(address, Instant::now())
    }

    fn take_at(&self, address: IpAddr, now: Instant) -> Result<(), Box<RateLimit>> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let full = f64::from(self.per_minute);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let address = client_network(address);
        if buckets.len() >= CAPACITY && !buckets.contains_key(&address) {
            make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(address).or_insert(Bucket { tokens: full, filled_at: now });
        let per_second = full / 60.0;
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * per_second).min(full);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - bucket.tokens) / per_second;
        Err(Box::new(RateLimit { per_minute: self.per_minute, retry_after_seconds: wait.ceil().max(1.0) as u64 }))
    }
}

/// Forgets the buckets that have been left alone long enough to be full again, or else the one unused longest.
fn make_room(buckets: &mut HashMap<IpAddr, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| now.saturating_duration_since(bucket.filled_at) < Duration::from_secs(60));
    if buckets.len() >= CAPACITY
        && let Some(oldest) = buckets.iter().min_by_key(|(_, bucket)| bucket.filled_at).map(|(address, _)| *address)
    {
        buckets.remove(&oldest);
    }
}
