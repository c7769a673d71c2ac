//! The threads: workers, hashing threads with their queue, and the watchdog that answers for threads stuck in a frozen database.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::config::hashing_threads;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::server::{Exchange, Job, Server};

/// Requests that may wait for one hashing thread: at 200 ms each, the last waits some six seconds.
const QUEUE_PER_THREAD: usize = 32;
/// How often the watchdog looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// While the database is frozen, a request that has run so long is stuck.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// While the database is away, as far as the listening connection knows: longer than waiting for a connection takes. A pooler
/// keeps a statement waiting for a server for minutes.
const STUCK_WHILE_AWAY: Duration = Duration::from_millis(3500);

/// The request that a thread is working on.
#[derive(Default)]
pub struct Slot {
    exchange: Mutex<Option<Exchange>>,
    replaced: AtomicBool,
}

impl Slot {
    /// Puts the request where the watchdog finds it.
    pub fn hold(&self, exchange: Exchange) {
        *lock(&self.exchange) = Some(exchange);
    }

    /// Takes it back, unless the watchdog has answered it.
    pub fn release(&self) -> Option<Exchange> {
        lock(&self.exchange).take()
    }

    /// Whether another thread works in place of this one, which then ends.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    fn take_if_stuck(&self, limit: Duration) -> Option<Exchange> {
        lock(&self.exchange).take_if(|exchange| exchange.started.elapsed() > limit)
    }
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    Work,
    Hash,
}

struct Member {
    duty: Duty,
    slot: Arc<Slot>,
    thread: JoinHandle<()>,
}

/// All threads of one server.
#[derive(Default)]
pub struct Crew {
    members: Mutex<Vec<Member>>,
    queue: Mutex<VecDeque<Job>>,
    queued: Condvar,
    stopping: AtomicBool,
    watchdog: Mutex<Option<JoinHandle<()>>>,
}

impl Crew {
    /// Starts the workers, the hashing threads and the watchdog.
    ///
    /// # Errors
    /// Where the system gives no more threads.
    pub fn start(app: &Arc<App>, server: &Arc<Server>) -> std::io::Result<Arc<Crew>> {
        let crew = Arc::new(Crew::default());
        for _ in 0..app.config.workers {
            crew.add(server, Duty::Work)?;
        }
        for _ in 0..hashing_threads() {
            crew.add(server, Duty::Hash)?;
        }
        let (watching, app, server) = (Arc::clone(&crew), Arc::clone(app), Arc::clone(server));
        let watchdog = thread::Builder::new().name("watchdog".into()).spawn(move || watching.watch(&app, &server))?;
        *lock(&crew.watchdog) = Some(watchdog);
        Ok(crew)
    }

    /// Whether the service is on its way out.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Puts a request in the queue of the hashing threads, or gives it back if the queue is full.
    pub fn queue(&self, job: Job, metrics: &Metrics) -> Option<Job> {
        let mut queue = lock(&self.queue);
        if queue.len() >= QUEUE_PER_THREAD * hashing_threads() {
            metrics.hashing_refused.add(1);
            return Some(job);
        }
        queue.push_back(job);
        metrics.hashing_queue.set(queue.len());
        self.queued.notify_one();
        None
    }

    /// The next request to hash for; none when the service stops and the queue is empty.
    pub fn next_job(&self, metrics: &Metrics) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.pop_front() {
                metrics.hashing_queue.set(queue.len());
                return Some(job);
            }
            if self.is_stopping() {
                return None;
            }
            queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets requests in flight finish, until the deadline, and ends the threads.
    pub fn stop(&self, server: &Server, deadline: Instant) {
        self.stopping.store(true, Ordering::Relaxed);
        let mut members = std::mem::take(&mut *lock(&self.members));
        // One that has been replaced hangs in its statement, and its request has been answered.
        members.retain(|member| !member.slot.is_replaced());
        server.close(members.len());
        // Workers end when nothing is left to receive; only then is the queue complete.
        let (workers, hashers): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.duty == Duty::Work);
        for group in [hashers, workers] {
            drop(lock(&self.queue));
            self.queued.notify_all();
            for member in group {
                while !member.thread.is_finished() && Instant::now() < deadline {
                    self.queued.notify_all();
                    thread::park_timeout(Duration::from_millis(2));
                }
                if member.thread.is_finished() {
                    let _ = member.thread.join();
                }
            }
        }
        if let Some(watchdog) = lock(&self.watchdog).take() {
            watchdog.thread().unpark();
            let _ = watchdog.join();
        }
    }

    fn add(self: &Arc<Crew>, server: &Arc<Server>, duty: Duty) -> std::io::Result<()> {
        let (crew, server, slot) = (Arc::clone(self), Arc::clone(server), Arc::new(Slot::default()));
        let mine = Arc::clone(&slot);
        let name = if duty == Duty::Work { "worker" } else { "hashing" };
        let thread = thread::Builder::new().name(name.into()).spawn(move || match duty {
            Duty::Work => server.work(&crew, &mine),
            Duty::Hash => server.hash(&crew, &mine),
        })?;
        lock(&self.members).push(Member { duty, slot, thread });
        Ok(())
    }

    /// While the database is frozen or away: answers the requests that are stuck, and replaces their threads. A replaced thread ends as
    /// soon as its statement comes back, so there are never more than twice the usual number.
    fn watch(self: &Arc<Crew>, app: &App, server: &Arc<Server>) {
        while !self.is_stopping() {
            thread::park_timeout(LOOK_EVERY);
            let limit = match (app.pulse.is_frozen(), app.pulse.is_away()) {
                (true, _) => STUCK_AFTER,
                (false, true) => STUCK_WHILE_AWAY,
                (false, false) => continue,
            };
            let stuck: Vec<(Duty, Exchange)> = {
                let members = lock(&self.members);
                let take = |member: &Member| {
                    let exchange = member.slot.take_if_stuck(limit)?;
                    member.slot.replaced.store(true, Ordering::Relaxed);
                    Some((member.duty, exchange))
                };
                members.iter().filter_map(take).collect()
            };
            for (duty, exchange) in stuck {
                app.metrics.abandoned.add(1);
                exchange.refuse(app, &Error::Unavailable("the database does not answer".into()));
                if let Err(error) = self.add(server, duty) {
                    log::error!(target: "server", "no thread to replace a stuck one: {error}");
                }
            }
            lock(&self.members).retain(|member| !(member.slot.is_replaced() && member.thread.is_finished()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
