//! The threads: workers, those of the two other lanes with their queues, and the watchdog that answers for threads stuck in a frozen
//! database.

mod turns;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::config::hashing_threads;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::routes::Lane;
use crate::server::{Admission, Exchange, Job, Server};
use turns::Turns;

/// Requests that may wait for one hashing thread: at 200 ms each, the last waits some six seconds. In the queue of those that wait
/// for the database are never more than there are connections of clients, each with one request at a time.
const QUEUE_PER_HASHING_THREAD: usize = 32;
/// How often a thread looks whether a long read can begin.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(20);
/// How often the watchdog looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// While the database is frozen, a request that a thread has worked on for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// While the database is away, as far as the listening connection knows: longer than waiting for a connection takes. A pooler
/// keeps a statement waiting for a server for minutes.
const STUCK_WHILE_AWAY: Duration = Duration::from_millis(3500);

/// The request that a thread is working on.
#[derive(Default)]
pub struct Slot {
    held: Mutex<Option<Held>>,
    replaced: AtomicBool,
}

struct Held {
    exchange: Exchange,
    /// When the thread began. The request may have waited for it in the queue, which is nobody's being stuck.
    since: Instant,
}

impl Slot {
    /// Puts the request where the watchdog finds it.
    pub fn hold(&self, exchange: Exchange) {
        *lock(&self.held) = Some(Held { exchange, since: Instant::now() });
    }

    /// Takes it back, unless the watchdog has answered it.
    pub fn release(&self) -> Option<Exchange> {
        lock(&self.held).take().map(|held| held.exchange)
    }

    /// Whether another thread works in place of this one, which then ends.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    fn take_if_stuck(&self, limit: Duration) -> Option<Exchange> {
        lock(&self.held).take_if(|held| held.since.elapsed() > limit).map(|held| held.exchange)
    }
}

/// Requests that wait for a thread of their lane.
#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    arrived: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// They begin in this order, before any long read.
    first: Turns<Box<Job>>,
    /// Long reads, each of which begins when it is its turn and there is room.
    long: VecDeque<Box<Job>>,
}

impl Jobs {
    /// The next request that can begin, or be refused.
    fn take(&mut self, lane: Lane, app: &App) -> Option<(Box<Job>, Admission)> {
        if let Some(job) = self.first.pop() {
            let lane = if lane == Lane::LongReading { Lane::Waiting } else { lane };
            app.metrics.queue(lane).set(self.first.len());
            return Some((job, Admission::Begins));
        }
        if lane != Lane::LongReading {
            return None;
        }
        let admit = |(place, job): (usize, &mut Box<Job>)| match job.admit(app) {
            Admission::Waits => None,
            admission => Some((place, admission)),
        };
        let (place, admission) = self.long.iter_mut().enumerate().find_map(admit)?;
        let job = self.long.remove(place)?;
        app.metrics.queue(Lane::LongReading).set(self.long.len());
        Some((job, admission))
    }
}

#[derive(Default)]
struct Queues {
    waiting: Queue,
    hashing: Queue,
}

impl Queues {
    /// Workers have no queue but the socket: what cannot be read at once waits for the database.
    fn of(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Reading | Lane::Waiting | Lane::LongReading => &self.waiting,
            Lane::Hashing => &self.hashing,
        }
    }

    fn wake_all(&self) {
        for queue in [&self.waiting, &self.hashing] {
            // Whoever looked before `complete` was set waits by now.
            drop(lock(&queue.jobs));
            queue.arrived.notify_all();
        }
    }
}

struct Member {
    lane: Lane,
    slot: Arc<Slot>,
    thread: JoinHandle<()>,
}

/// All threads of one server.
#[derive(Default)]
pub struct Crew {
    members: Mutex<Vec<Member>>,
    queues: Queues,
    stopping: AtomicBool,
    /// The workers have ended: nothing more comes into the queues.
    complete: AtomicBool,
    watchdog: Mutex<Option<JoinHandle<()>>>,
}

impl Crew {
    /// Starts the threads of each lane, and the watchdog.
    ///
    /// # Errors
    /// Where the system gives no more threads; [`Crew::stop`] ends those that it gave.
    pub fn start(self: &Arc<Crew>, app: &Arc<App>, server: &Arc<Server>) -> std::io::Result<()> {
        let numbers = [
            (Lane::Reading, app.config.workers),
            (Lane::LongReading, app.config.long_readers()),
            (Lane::Waiting, app.config.waiting_threads() - app.config.long_readers()),
            (Lane::Hashing, hashing_threads()),
        ];
        for (lane, number) in numbers {
            for _ in 0..number {
                self.add(server, lane)?;
            }
        }
        let (watching, app, server) = (Arc::clone(self), Arc::clone(app), Arc::clone(server));
        let watchdog = thread::Builder::new().name("watchdog".into()).spawn(move || watching.watch(&app, &server))?;
        *lock(&self.watchdog) = Some(watchdog);
        Ok(())
    }

    /// Whether the service is on its way out.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Puts requests in the queues of their lanes, and gives back those for which a full queue has no place.
    pub fn queue(&self, jobs: impl Iterator<Item = (Box<Job>, Lane)>, metrics: &Metrics) -> Vec<Box<Job>> {
        let (mut queued, mut refused) = (Vec::new(), Vec::new());
        for (job, lane) in jobs {
            let (network, mut waiting) = (job.network(), lock(&self.queues.of(lane).jobs));
            match lane {
                Lane::Hashing => {
                    let places = QUEUE_PER_HASHING_THREAD * hashing_threads();
                    if let Some(job) = waiting.first.push_within(places, network, job) {
                        metrics.hashing_refused.add(1);
                        refused.push(job);
                    }
                }
                Lane::LongReading => waiting.long.push_back(job),
                Lane::Reading | Lane::Waiting => waiting.first.push(network, job),
            }
            metrics.queue(lane).set(if lane == Lane::LongReading { waiting.long.len() } else { waiting.first.len() });
            queued.push(lane);
        }
        // Last, since whoever wakes wants a core, and may take this one.
        for lane in queued {
            let arrived = &self.queues.of(lane).arrived;
            // Not every thread takes a long read.
            if lane == Lane::LongReading { arrived.notify_all() } else { arrived.notify_one() }
        }
        refused
    }

    /// The next request of a lane that begins or is refused; none when the service stops and all are done.
    pub fn next_job(&self, lane: Lane, app: &App) -> Option<(Box<Job>, Admission)> {
        let queue = self.queues.of(lane);
        let mut jobs = lock(&queue.jobs);
        loop {
            if let Some(taken) = jobs.take(lane, app) {
                return Some(taken);
            }
            jobs = if lane == Lane::LongReading && !jobs.long.is_empty() {
                // A client that takes its answer makes room, and nobody tells.
                queue.arrived.wait_timeout(jobs, LOOK_FOR_ROOM_EVERY).unwrap_or_else(PoisonError::into_inner).0
            } else if self.complete.load(Ordering::Relaxed) {
                return None;
            } else {
                queue.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Lets requests in flight finish, until the deadline, and ends the threads.
    pub fn stop(&self, server: &Server, deadline: Instant) {
        self.stopping.store(true, Ordering::Relaxed);
        let mut members = std::mem::take(&mut *lock(&self.members));
        // One that has been replaced hangs in its statement, and its request has been answered.
        members.retain(|member| !member.slot.is_replaced());
        server.close(members.len());
        // Workers end when every request is answered, by whichever lane.
        let (workers, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.lane == Lane::Reading);
        for group in [workers, others] {
            for member in group {
                while !member.thread.is_finished() && Instant::now() < deadline {
                    thread::park_timeout(Duration::from_millis(2));
                }
                if member.thread.is_finished() {
                    let _ = member.thread.join();
                }
            }
            self.complete.store(true, Ordering::Relaxed);
            self.queues.wake_all();
        }
        if let Some(watchdog) = lock(&self.watchdog).take() {
            watchdog.thread().unpark();
            let _ = watchdog.join();
        }
    }

    fn add(self: &Arc<Crew>, server: &Arc<Server>, lane: Lane) -> std::io::Result<()> {
        let (crew, server, slot) = (Arc::clone(self), Arc::clone(server), Arc::new(Slot::default()));
        let mine = Arc::clone(&slot);
        let name = match lane {
            Lane::Reading => "worker",
            Lane::Waiting | Lane::LongReading => "waiting",
            Lane::Hashing => "hashing",
        };
        let thread = thread::Builder::new().name(name.into()).spawn(move || match lane {
            Lane::Reading => server.work(&crew),
            Lane::Waiting | Lane::LongReading | Lane::Hashing => server.work_in(lane, &crew, &mine),
        })?;
        lock(&self.members).push(Member { lane, slot, thread });
        Ok(())
    }

    /// Says when requests are served again. While the database is frozen or away: answers those that are stuck, and replaces their threads. A replaced thread ends as
    /// soon as its statement comes back, so there are never more than twice the usual number.
    fn watch(self: &Arc<Crew>, app: &App, server: &Arc<Server>) {
        while !self.is_stopping() {
            thread::park_timeout(LOOK_EVERY);
            app.refusals.over_when_calm();
            let limit = match (app.pulse.is_frozen(), app.pulse.is_away()) {
                (true, _) => STUCK_AFTER,
                (false, true) => STUCK_WHILE_AWAY,
                (false, false) => continue,
            };
            let stuck: Vec<(Lane, Exchange)> = {
                let members = lock(&self.members);
                let take = |member: &Member| {
                    let exchange = member.slot.take_if_stuck(limit)?;
                    member.slot.replaced.store(true, Ordering::Relaxed);
                    Some((member.lane, exchange))
                };
                members.iter().filter_map(take).collect()
            };
            for (lane, exchange) in stuck {
                app.metrics.abandoned.add(1);
                exchange.refuse(app, &Error::Unavailable("the database does not answer".into()));
                if let Err(error) = self.add(server, lane) {
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
