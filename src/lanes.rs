//! Requests between two threads: the queue of each lane, and the slot of each thread.

mod gathering;
mod job;
mod turns;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::config::hashing_threads;
use crate::exchange::Exchange;
use crate::lock::{lock, wait, wait_at_most};
use crate::metrics::Metrics;
use crate::routes::Lane;
use gathering::Gathering;
pub use job::{Admission, Job, QUEUE_PATIENCE, Stage};
use turns::Turns;

/// How many requests may wait for each hashing thread: at 200 ms of a core each, the last one waits seven seconds on two cores, and
/// five on many. The queue for the database needs no bound: it never holds more requests than there are client connections, each with
/// one request at a time.
const QUEUE_PER_HASHING_THREAD: usize = 24;
/// How often a thread checks whether a long read can begin.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(20);

/// Requests that go on together. A job is large, so it goes from list to queue in a box.
pub type Batch = Vec<Box<Job>>;

/// What a thread does next.
pub enum Work {
    /// A request, which begins or is refused.
    One(Box<Job>, Admission),
    /// Creations of one kind, which share a statement, and the number of their maker.
    Creations(Batch, u64),
}

/// The requests that a thread is working on.
#[derive(Default)]
pub struct Slot {
    held: Mutex<Option<Held>>,
    replaced: AtomicBool,
}

struct Held {
    exchanges: Vec<Exchange>,
    /// When the thread began. Time in the queue does not count: a request that waits there is not stuck.
    since: Instant,
}

impl Slot {
    /// Stores the requests where the watchdog can find them.
    pub fn hold(&self, exchanges: Vec<Exchange>) {
        *lock(&self.held) = Some(Held { exchanges, since: Instant::now() });
    }

    /// Takes them back; none if the watchdog has answered them.
    pub fn release(&self) -> Vec<Exchange> {
        lock(&self.held).take().map_or_else(Vec::new, |held| held.exchanges)
    }

    /// From now on another thread replaces this one.
    pub fn replace(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Whether another thread has replaced this one, which must then end.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Takes the requests away from a thread that has worked on them for longer than `limit`.
    pub fn take_if_stuck(&self, limit: Duration) -> Option<Vec<Exchange>> {
        lock(&self.held).take_if(|held| held.since.elapsed() > limit).map(|held| held.exchanges)
    }
}

/// The requests that wait for a thread of one lane.
#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    arrived: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// Requests that begin in this order, before any long read.
    first: Turns<Box<Job>>,
    /// Creations that may share a statement.
    gathering: Gathering<Box<Job>>,
    /// Whether creations were taken last. They take turns with the other requests.
    took_creations: bool,
    /// Long reads, each of which begins when it is its turn and there is room.
    long: VecDeque<Box<Job>>,
}

impl Jobs {
    /// The next request that can begin, or be refused, or the creations that have gathered.
    fn take(&mut self, lane: Lane, app: &App) -> Option<Work> {
        let creations = if self.took_creations && self.first.len() > 0 { None } else { self.gathering.take() };
        self.took_creations = creations.is_some();
        let creations = creations.map(|(jobs, maker)| Work::Creations(jobs, maker));
        let work = creations.or_else(|| Some(Work::One(self.first.pop()?, Admission::Begins)));
        if work.is_some() {
            self.tell_length(if lane == Lane::LongReading { Lane::Waiting } else { lane }, &app.metrics);
            return work;
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
        self.tell_length(lane, &app.metrics);
        Some(Work::One(job, admission))
    }

    /// Tells the metrics how many requests wait in a lane.
    fn tell_length(&self, lane: Lane, metrics: &Metrics) {
        let waiting = self.first.len() + self.gathering.len();
        match lane {
            Lane::Reading | Lane::Waiting | Lane::Gathering => metrics.waiting_queue.set(waiting),
            Lane::LongReading => metrics.long_queue.set(self.long.len()),
            Lane::Hashing => metrics.hashing_queue.set(waiting),
        }
    }
}

/// The queues.
#[derive(Default)]
pub struct Lanes {
    waiting: Queue,
    hashing: Queue,
    stopping: AtomicBool,
    /// The workers have ended: no more requests come into the queues.
    complete: AtomicBool,
}

impl Lanes {
    /// Whether the service is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Notes that the service is stopping.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Puts requests into the queues of their lanes, and returns those that a full queue drops.
    pub fn queue(&self, jobs: impl Iterator<Item = (Box<Job>, Lane)>, metrics: &Metrics) -> Batch {
        let (mut queued, mut refused) = (Vec::new(), Vec::new());
        for (job, lane) in jobs {
            let (network, mut queue) = (job.network(), lock(&self.of(lane).jobs));
            match lane {
                Lane::Hashing => {
                    let places = QUEUE_PER_HASHING_THREAD * hashing_threads();
                    if let Some(job) = queue.first.push_within(places, network, job) {
                        metrics.hashing_refused.add(1);
                        refused.push(job);
                    }
                }
                Lane::LongReading => queue.long.push_back(job),
                Lane::Reading | Lane::Waiting => queue.first.push(network, job),
                Lane::Gathering => queue.gathering.push(network, job.kind(), job),
            }
            queue.tell_length(lane, metrics);
            // Creations that arrive together need one thread, and none while all makers are busy: each looks again when it is done.
            if lane != Lane::Gathering || (queue.gathering.wants_maker() && !queued.contains(&lane)) {
                queued.push(lane);
            }
        }
        // Notify last: a thread that wakes up may preempt us.
        for lane in queued {
            let arrived = &self.of(lane).arrived;
            // Not every thread takes long reads, so all are woken.
            if lane == Lane::LongReading { arrived.notify_all() } else { arrived.notify_one() }
        }
        refused
    }

    /// Waits for what a thread of a lane does next. `None` when the service stops and the queue is empty.
    pub fn next_work(&self, lane: Lane, app: &App) -> Option<Work> {
        let queue = self.of(lane);
        let mut jobs = lock(&queue.jobs);
        loop {
            if let Some(work) = jobs.take(lane, app) {
                if jobs.gathering.wants_maker() {
                    queue.arrived.notify_one();
                }
                return Some(work);
            }
            jobs = if lane == Lane::LongReading && !jobs.long.is_empty() {
                // A client that reads its answer frees memory without notifying us.
                wait_at_most(&queue.arrived, jobs, LOOK_FOR_ROOM_EVERY)
            } else if self.complete.load(Ordering::Relaxed) {
                return None;
            } else {
                wait(&queue.arrived, jobs)
            };
        }
    }

    /// A maker is done. Its thread looks for more.
    pub fn made(&self, maker: u64) {
        lock(&self.waiting.jobs).gathering.made(maker);
    }

    /// Wakes a thread for creations that wait behind makers whose statements hang.
    pub fn replace_makers(&self) {
        if lock(&self.waiting.jobs).gathering.wants_maker() {
            self.waiting.arrived.notify_one();
        }
    }

    /// Workers have no queue but the socket: a read that cannot be answered by a worker goes to the lane that waits for the
    /// database.
    fn of(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Reading | Lane::Waiting | Lane::Gathering | Lane::LongReading => &self.waiting,
            Lane::Hashing => &self.hashing,
        }
    }

    /// No more requests will come: threads end when the queues are empty.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
        for queue in [&self.waiting, &self.hashing] {
            // A thread that checked `complete` before it was set is waiting by now.
            drop(lock(&queue.jobs));
            queue.arrived.notify_all();
        }
    }
}
