//! One connection outside the pool that listens for changes of sessions, and whose heartbeat shows whether the database answers.
//!
//! A database that was stopped closes its connections, and every statement fails at once. A frozen database keeps them open, and
//! a statement waits for ever. Only this heartbeat, which has a time limit, detects that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;

use crate::clock::now_ms;
use crate::database_url::DatabaseUrl;
use crate::error::explain;
use crate::outage::Outage;

/// The channel that notifies every node of ended sessions and changed users.
const CHANNEL: &str = "session_changes";
/// How long to listen between two heartbeats.
const BEAT: Duration = Duration::from_millis(500);
/// How long a heartbeat may be without an answer before the database counts as frozen.
const ANSWER_WITHIN: Duration = Duration::from_millis(1200);
/// How long a restarting server is usually away at most.
const RESTART: Duration = Duration::from_secs(1);
/// How long to wait before the next try to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// What the listening connection reports.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// From now on every change is notified.
    Hearing,
    /// Changes may be missed from now on.
    Deaf,
    /// A payload of the channel: `session 12`, `user 3,5`.
    Change(&'a str),
}

/// Whether the database answers.
#[derive(Debug, Default)]
pub struct Pulse {
    /// When an unanswered beat was sent ([`now_ms`]); 0 if there is none.
    asked_at: AtomicU64,
    /// Since when there has been no connection; 0 if there is one.
    away_since: AtomicU64,
    /// How often a silent server was left for another one.
    moves: AtomicU64,
    stopping: AtomicBool,
}

impl Pulse {
    /// True while a heartbeat has waited for its answer for too long.
    pub fn is_frozen(&self) -> bool {
        let asked_at = self.asked_at.load(Ordering::Relaxed);
        asked_at != 0 && now_ms().saturating_sub(asked_at) > ANSWER_WITHIN.as_millis() as u64
    }

    /// True while the listening connection is lost and has not been replaced.
    pub fn is_away(&self) -> bool {
        self.away_since.load(Ordering::Relaxed) != 0
    }

    /// True while it has been lost for longer than a restart takes. Waiting for a connection is then pointless.
    pub fn is_long_away(&self) -> bool {
        let since = self.away_since.load(Ordering::Relaxed);
        since != 0 && now_ms().saturating_sub(since) > RESTART.as_millis() as u64
    }

    /// Grows when a silent server has been left for another one: connections from before then lead to the silent one.
    pub fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Ends the listening thread within one beat.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Listens in a thread of its own until [`Pulse::stop`].
    pub fn listen(
        self: &Arc<Pulse>,
        url: DatabaseUrl,
        hear: impl Fn(Event) + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        let pulse = Arc::clone(self);
        std::thread::Builder::new().name("listener".into()).spawn(move || {
            let outage = Outage::grave("database", "away", "back").with_one_cause();
            let mut past = Past { outage, silent: false, deaf: false };
            while !pulse.stopping() {
                let Err(reason) = pulse.listen_once(&url, &hear, &mut past);
                let now = now_ms();
                let _ = pulse.away_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
                hear(Event::Deaf);
                if !pulse.stopping() {
                    past.outage.failed(&reason);
                    std::thread::park_timeout(RECONNECT_AFTER);
                }
            }
        })
    }

    /// One connection from its start to its end.
    fn listen_once(
        &self,
        url: &DatabaseUrl,
        hear: &impl Fn(Event),
        past: &mut Past,
    ) -> Result<std::convert::Infallible, String> {
        self.asked();
        let connected = url.connect().and_then(|mut client| {
            client.batch_execute(&format!("listen {CHANNEL}"))?;
            Ok((client, url.connect()?))
        });
        // A silent host counts as a database that does not answer, whatever the other hosts said.
        if !connected.as_ref().is_err_and(|error| error.timed_out) {
            self.answered();
        }
        let (mut client, mut other) = connected.map_err(|error| error.to_string())?;
        if past.silent {
            self.moves.fetch_add(1, Ordering::Relaxed);
            past.silent = false;
        }
        self.away_since.store(0, Ordering::Relaxed);
        if hears(&mut client, &mut other).map_err(|error| explain(&error))? {
            hear(Event::Hearing);
            past.deaf = false;
        } else if !past.deaf {
            past.deaf = true;
            log::warn!(
                target: "database",
                "notifications do not arrive (a transaction pooler in between?): every request asks the database for its session"
            );
        }
        drop(other);
        past.outage.over();
        loop {
            let next_beat = Instant::now() + BEAT;
            while let Some(left) = next_beat.checked_duration_since(Instant::now()) {
                let heard = client.notifications().timeout_iter(left).next().map_err(|error| explain(&error))?;
                if let Some(notification) = heard {
                    hear(Event::Change(notification.payload()));
                }
            }
            if self.stopping() {
                return Err("stopping".into());
            }
            if let Err(reason) = self.beat(&mut client, hear, past, url.has_several_hosts()) {
                // Closing a connection waits for the answers that are due, and this server may never send them.
                let closing = std::thread::Builder::new().name("closing".into()).spawn(move || drop(client));
                if let Err(error) = closing {
                    log::warn!(target: "database", "no thread to close a silent connection: {error}");
                }
                return Err(reason);
            }
        }
    }

    /// Sends a heartbeat, and keeps waiting on the same connection while there is no answer: a new connection would hang as well,
    /// unless there is another host.
    fn beat(&self, client: &mut Client, hear: &impl Fn(Event), past: &mut Past, leave: bool) -> Result<(), String> {
        self.asked();
        let mut silent = false;
        while let Err(error) = client.is_valid(ANSWER_WITHIN) {
            if client.is_closed() || self.stopping() {
                self.answered();
                return Err(explain(&error));
            }
            if !silent {
                silent = true;
                hear(Event::Deaf);
                past.outage.failed("the database does not answer");
            }
            if leave {
                past.silent = true;
                return Err("the database does not answer".into());
            }
        }
        self.answered();
        if silent {
            if !past.deaf {
                hear(Event::Hearing);
            }
            past.outage.over();
        }
        Ok(())
    }

    /// Notes when a beat was sent, unless an earlier one is still unanswered.
    fn asked(&self) {
        let _ = self.asked_at.compare_exchange(0, now_ms(), Ordering::Relaxed, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.asked_at.store(0, Ordering::Relaxed);
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Whether a notification from one connection reaches another, idle one. Behind a pooler that shares connections between
/// transactions, LISTEN succeeds but nothing arrives, and a named prepared statement does not stay on its connection.
pub fn hears(resting: &mut Client, speaking: &mut Client) -> Result<bool, postgres::Error> {
    resting.batch_execute(&format!("listen {CHANNEL}"))?;
    speaking.query_typed("select pg_notify($1, 'hello')", &[(&CHANNEL, Type::TEXT)])?;
    let mut notifications = resting.notifications();
    Ok(notifications.timeout_iter(ANSWER_WITHIN).next()?.is_some())
}

/// What has happened to the listening thread so far.
struct Past {
    outage: Outage,
    /// The server was left because it was silent.
    silent: bool,
    /// Notifications do not arrive, and that has been logged.
    deaf: bool,
}
