//! What the workers share: the table of connections, and the turn that each worker takes at it.
//!
//! Leader and followers: the thread that is woken does the work and returns the resulting request to its own caller. No thread
//! hands anything to another. Locks are held in this order: the listener, one place, the gate or the timers; never two places.

mod places;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::buffers;
use super::config::Config;
use super::connection::{Connection, Env, Step};
use super::gate::Gate;
use super::intake::Message;
use super::poll::{Event, LISTENER, Poll, TIMER};
use super::stats::{Counters, Stats};
use super::timers::{NEVER, Timers};
use crate::clock::now_ms;
use crate::lock::lock;

/// How many batches a closing server still accepts: as many as the full queue of the operating system holds.
const CLOSING_BATCHES: usize = 64;

/// The timers' name for the listening socket.
const LISTENER_PLACE: u32 = u32::MAX;

/// One place in the table, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Place(Mutex<Occupancy>);

#[derive(Debug)]
struct Occupancy {
    /// Counts the connections that were here: an event for one that has gone means nothing to the next.
    generation: u32,
    served: bool,
    connection: Option<Box<Connection>>,
    /// When the timers will look here, or [`NEVER`].
    timer_ms: u64,
}

/// The state of a server.
#[derive(Debug)]
pub(super) struct Core {
    pub config: Config,
    poll: Poll,
    places: Box<[Place]>,
    timers: Timers,
    gate: Mutex<Gate>,
    listener: Mutex<Option<TcpListener>>,
    pub(super) accept_paused: AtomicBool,
    closing: AtomicBool,
    finished: AtomicBool,
    pub counters: Counters,
}

/// A request for a worker's caller.
pub(super) struct Delivery {
    pub message: Message,
    /// Of its connection.
    pub token: u64,
    pub remote: SocketAddr,
}

impl Core {
    pub fn new(listener: TcpListener, config: Config) -> io::Result<Core> {
        let gate = Gate::new(&config);
        let place =
            |_| Place(Mutex::new(Occupancy { generation: 0, served: false, connection: None, timer_ms: NEVER }));
        let timers = Timers::new()?;
        let poll = Poll::new(timers.descriptor())?;
        poll.add_listener(&listener)?;
        Ok(Core {
            config,
            poll,
            places: (0..gate.places()).map(place).collect(),
            timers,
            gate: Mutex::new(gate),
            listener: Mutex::new(Some(listener)),
            accept_paused: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            counters: Counters::default(),
        })
    }

    /// Waits, works, and returns when there is something for the caller: up to `most` requests of those that are there.
    pub fn turn(&self, most: usize) -> io::Result<Vec<Delivery>> {
        let mut requests = Vec::new();
        while requests.is_empty() {
            if self.finished.load(Ordering::Acquire) {
                return Err(io::Error::other("the server is closed"));
            }
            self.poll.wait(most, |event| requests.extend(self.on_event(event)))?;
        }
        self.counters.requests.fetch_add(requests.len() as u64, Ordering::Relaxed);
        Ok(requests)
    }

    /// Does what an event asks for; a request may come of it.
    fn on_event(&self, event: Event) -> Option<Delivery> {
        match event.token {
            LISTENER => self.on_connections(),
            TIMER => self.on_timer(),
            token => {
                let step = |connection: &mut Connection, env: &Env<'_>| {
                    buffers::with_scratch(|scratch| connection.on_event(event.ended, env, scratch))
                };
                let (message, remote) = self.visit(token, step)?;
                return Some(Delivery { message, token, remote });
            }
        }
        None
    }

    /// Lets `work` act on the connection of `token`, if that is still there, and does what comes of it.
    pub fn visit(
        &self,
        token: u64,
        work: impl FnOnce(&mut Connection, &Env<'_>) -> Step,
    ) -> Option<(Message, SocketAddr)> {
        let (generation, index) = ((token >> 32) as u32, token as u32);
        let mut place = self.lock(index)?;
        if place.generation != generation {
            return None;
        }
        let env = self.env();
        let connection = place.connection.as_mut()?;
        match work(connection, &env) {
            Step::Wait => {}
            Step::Again => {
                // If the poll cannot be told, no thread would continue with this connection: close it.
                if self.poll.kick(connection.stream(), token).is_err() {
                    self.vacate(index, place);
                    return None;
                }
            }
            Step::Deliver(message) => return Some((message, connection.remote())),
            Step::Close | Step::Broken => {
                self.vacate(index, place);
                return None;
            }
        }
        self.set_timer(index, &mut place, env.now_ms);
        None
    }

    /// Whether the server takes no new connections and closes those without a request.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Stops accepting, closes idle connections, and lets the others finish.
    pub fn close(&self) {
        if self.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        // Clients that have connected already are still let in; later ones are refused by the operating system.
        for _ in 0..CLOSING_BATCHES {
            if !self.accept() {
                break;
            }
        }
        drop(self.lock_listener().take());
        for index in 0..self.places.len() as u32 {
            let generation = self.lock(index).map_or(0, |place| place.generation);
            let token = token(generation, index);
            self.visit(token, |connection, _| connection.close_if_idle());
        }
        self.check_finished();
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot(self.lock_gate().taken())
    }

    /// Accepts again after `delay_ms`.
    pub(super) fn accept_again_in(&self, delay_ms: u64) {
        let now_ms = now_ms();
        self.timers.push(now_ms + delay_ms, LISTENER_PLACE, now_ms);
    }

    /// Makes an event of connections that wait to be accepted.
    pub(super) fn kick_listener(&self) {
        if let Some(listener) = &*self.lock_listener() {
            // It is registered, so this does not fail; if it did, the next connection would make an event all the same.
            let _ = self.poll.kick_listener(listener);
        }
    }

    pub(super) fn lock_listener(&self) -> MutexGuard<'_, Option<TcpListener>> {
        lock(&self.listener)
    }

    /// Tells every worker when the last connection of a closing server has gone.
    fn check_finished(&self) {
        if self.is_closing() && self.lock_listener().is_none() && self.lock_gate().taken() == 0 {
            self.finished.store(true, Ordering::Release);
            self.poll.wake_all();
        }
    }

    fn env(&self) -> Env<'_> {
        Env { config: &self.config, counters: &self.counters, now_ms: now_ms(), closing: self.is_closing() }
    }

    fn lock(&self, index: u32) -> Option<MutexGuard<'_, Occupancy>> {
        self.places.get(index as usize).map(|place| lock(&place.0))
    }

    fn lock_gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }
}

/// What an event says of whose it is.
fn token(generation: u32, index: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}
