//! The sessions that this node remembers, so that a request with a token costs no query.
//!
//! The truth is in PostgreSQL. A node is notified of every change through NOTIFY and forgets the sessions concerned. While it
//! cannot be notified, it asks PostgreSQL at each request. Even if both fail, a remembered session is at most a minute old.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::role::Role;
use crate::db::Db;
use crate::error::Result;
use crate::lock::lock;
use crate::sql::Queries;

/// How long a session lives, used or not.
pub const LIFETIME_SECONDS: i32 = 30 * 24 * 60 * 60;
/// How long a session lives without being used.
pub const IDLE_SECONDS: i32 = 7 * 24 * 60 * 60;
/// How many active sessions a user may have. A further login ends the one unused longest.
pub const MAX_PER_USER: i32 = 100;
/// How long a second use of a refresh token counts as a client's retry.
pub const RETRY_SECONDS: i32 = 10;

/// How long a remembered state is trusted.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// How many sessions are remembered at most, about 100 bytes each; fewer, if they have many colleagues ([`Session::weight`]).
const CAPACITY: usize = 50_000;
const SHARDS: usize = 16;

/// What a token check needs to know of a session.
#[derive(Clone, Debug)]
pub struct Session {
    /// The user whose session it is.
    pub user_id: i64,
    /// The user's role now, whatever it was when the token was made.
    pub role: Role,
    /// Whether the user may take emergency access.
    pub may_break_glass: bool,
    /// The user, who comes first, and the members of the user's care groups; `None` if there are none, and no patient of somebody else is
    /// granted to the user.
    pub colleagues: Option<Arc<[i64]>>,
    expires_at: i64,
    loaded_at: Instant,
}

impl Session {
    /// Its share of [`CAPACITY`]: a dozen ids take as much memory as the rest.
    fn weight(&self) -> usize {
        1 + self.colleagues.as_ref().map_or(0, |ids| ids.len() / 12)
    }
}

/// A part of the remembered sessions.
#[derive(Default)]
struct Shard {
    sessions: HashMap<i64, Session>,
    /// Grows with every change that is noticed. A state that was read before a change is not remembered after it.
    changes: u64,
}

impl Shard {
    fn forget(&mut self, session_id: i64) {
        self.changes += 1;
        self.sessions.remove(&session_id);
    }

    fn forget_all(&mut self, is_meant: impl Fn(&Session) -> bool) {
        self.changes += 1;
        self.sessions.retain(|_, state| !is_meant(state));
    }
}

/// Remembered sessions.
#[derive(Default)]
pub struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    hearing: AtomicBool,
    /// Sessions that were used since the last batch was written.
    used: Mutex<HashSet<i64>>,
}

impl Sessions {
    /// The state of an active session; `None` if it has ended. `Unavailable` if the database must be asked and does not answer: an
    /// unknown session is not let in.
    pub fn state(&self, db: &Db, sql: &Queries, session_id: i64) -> Result<Option<Session>> {
        if let Some(state) = self.remembered(session_id) {
            return Ok(Some(state));
        }
        let hearing = self.hearing.load(Ordering::Acquire);
        let changes = self.shard(session_id).changes;
        let row = db.query_opt(&sql.sessions.state, &[&session_id, &IDLE_SECONDS])?;
        let Some(row) = row else {
            // Another request may have read its state just before it ended, and must not remember that.
            self.forget_session(session_id);
            return Ok(None);
        };
        let expires_at: jiff::Timestamp = row.get("expires_at");
        let state = Session {
            user_id: row.get("user_id"),
            role: Role::parse(row.get("role")),
            may_break_glass: row.get("may_break_glass"),
            colleagues: row.get::<_, Option<Vec<i64>>>("colleagues").map(Arc::from),
            expires_at: expires_at.as_second(),
            loaded_at: Instant::now(),
        };
        lock(&self.used).insert(session_id);
        let mut shard = self.shard(session_id);
        if hearing && shard.changes == changes {
            let is_full = |sessions: &HashMap<i64, Session>| {
                sessions.values().map(Session::weight).sum::<usize>() + state.weight() > CAPACITY / SHARDS
            };
            if is_full(&shard.sessions) {
                shard.sessions.retain(|_, state| state.loaded_at.elapsed() < FRESH_FOR / 2);
            }
            if !is_full(&shard.sessions) {
                shard.sessions.insert(session_id, state.clone());
            }
        }
        Ok(Some(state))
    }

    /// Forgets the sessions that a notification names: `session 12`, `user 3` or `user 3,5`.
    pub fn hear(&self, payload: &str) {
        let Some((kind, ids)) = payload.split_once(' ') else { return };
        let ids: Vec<i64> = ids.split(',').filter_map(|id| id.parse().ok()).collect();
        match kind {
            "session" => ids.iter().for_each(|id| self.forget_session(*id)),
            "user" => self.forget_users(&ids),
            _ => {}
        }
    }

    /// Forgets one session, because it has ended.
    pub fn forget_session(&self, session_id: i64) {
        self.shard(session_id).forget(session_id);
    }

    /// Forgets all sessions of a user, because the role has changed or the sessions have ended.
    pub fn forget_user(&self, user_id: i64) {
        self.forget_users(&[user_id]);
    }

    /// Forgets all sessions of these users, because their care groups have changed.
    pub fn forget_users(&self, user_ids: &[i64]) {
        let user_ids: HashSet<i64> = user_ids.iter().copied().collect();
        for shard in &self.shards {
            lock(shard).forget_all(|state| user_ids.contains(&state.user_id));
        }
    }

    /// Sets whether changes are notified from now on. Sessions that were remembered before are no longer trusted.
    pub fn set_hearing(&self, hearing: bool) {
        self.hearing.store(false, Ordering::Release);
        for shard in &self.shards {
            lock(shard).forget_all(|_| true);
        }
        self.hearing.store(hearing, Ordering::Release);
    }

    /// The sessions that were used since the last call.
    pub fn take_used(&self) -> Vec<i64> {
        lock(&self.used).drain().collect()
    }

    /// The remembered state of a session; `None` if the database must be asked.
    pub fn remembered(&self, session_id: i64) -> Option<Session> {
        if !self.hearing.load(Ordering::Acquire) {
            return None;
        }
        let state = self.shard(session_id).sessions.get(&session_id)?.clone();
        let now = jiff::Timestamp::now().as_second();
        (state.loaded_at.elapsed() < FRESH_FOR && now < state.expires_at).then_some(state)
    }

    fn shard(&self, session_id: i64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[session_id.unsigned_abs() as usize % SHARDS])
    }
}
