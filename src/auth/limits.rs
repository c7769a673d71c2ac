//! Rate limits: how often one client network may have a password or a token checked, and how many changes one user may make (RFC
//! 6585, 429). Each has a token bucket.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::{Counted, RateLimit};
use crate::lock::lock;

/// How many keys are remembered; beyond that, the one unused longest is forgotten.
const CAPACITY: usize = 10_000;

/// A bucket for each key, a network or a user; it fills at `per_minute` and holds a minute's worth.
pub struct Limiter<K> {
    counted: Counted,
    per_minute: u32,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl<K: Copy + Eq + Hash> Limiter<K> {
    /// 0 means no limit.
    pub fn new(counted: Counted, per_minute: u32) -> Limiter<K> {
        Limiter { counted, per_minute, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes one token from the bucket of the key. If there is none, the error says when there will be one.
    pub fn take(&self, key: K) -> Result<(), Box<RateLimit>> {
        self.take_at(key, Instant::now())
    }

    /// The same at a given moment.
    pub fn take_at(&self, key: K, now: Instant) -> Result<(), Box<RateLimit>> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let full = f64::from(self.per_minute);
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= CAPACITY && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: full, filled_at: now });
        let per_second = full / 60.0;
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * per_second).min(full);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - bucket.tokens) / per_second;
        let (counted, quota) = (self.counted, self.per_minute.into());
        Err(Box::new(RateLimit { counted, quota, retry_after_seconds: wait.ceil().max(1.0) as u64 }))
    }
}

/// Forgets the buckets that are full again by now, or, if there are none, the one unused longest.
fn make_room<K: Copy + Eq + Hash>(buckets: &mut HashMap<K, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| now.saturating_duration_since(bucket.filled_at) < Duration::from_secs(60));
    if buckets.len() >= CAPACITY
        && let Some(oldest) = buckets.iter().min_by_key(|(_, bucket)| bucket.filled_at).map(|(key, _)| *key)
    {
        buckets.remove(&oldest);
    }
}
