//! The thread-pool loop: receive → handle → respond.
//!
//! Workers wait for requests and take the requests that have arrived. They answer those that need no database, and together the
//! reads that came together (see [`crate::handlers::ask`]). Changes, and other requests that wait for the database, go to threads that
//! may wait; requests that hash a password go to a few threads of their own. So reads stay fast during a flood of logins, and
//! `/healthz` stays fast whatever the database does.

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use postgres::Row;

use crate::app::App;
use crate::auth::User;
use crate::db::Question;
use crate::dispatch::{Routes, Step, Target, entry};
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::exchange::{self, Exchange, RequestIds};
use crate::handlers::ask::Read;
use crate::lanes::{Admission, Batch, Job, Lanes, QUEUE_PATIENCE, Slot, Stage, Work};
use crate::memory::{NO_ROOM, SHORT_BYTES, Share};
use crate::metrics::Family;
use crate::request::Request;
use crate::routes::Lane;
use crate::wire::{self, RawRequest, Socket};

/// How many requests a worker takes at once.
const AT_ONCE: usize = 32;
/// How much one round trip carries at most ([`Question::weight`]), so that the rows of no more than eight lists are in memory.
const ROUND_WEIGHT: usize = 32;

/// The socket and everything behind it.
pub struct Server {
    app: Arc<App>,
    routes: Routes,
    socket: Socket,
    ids: Arc<RequestIds>,
}

/// What becomes of requests that arrived at the same time.
#[derive(Default)]
struct Arrivals {
    /// The requests whose questions share a round trip.
    asking: Batch,
    /// The requests for other threads.
    elsewhere: Vec<(Box<Job>, Lane)>,
}

impl Arrivals {
    /// Sends it to a thread that may wait.
    fn send_elsewhere(&mut self, job: Box<Job>) {
        let lane = job.lane();
        self.elsewhere.push((job, lane));
    }
}

impl Server {
    /// Serves what arrives on this listener.
    pub fn new(app: Arc<App>, routes: Routes, listener: TcpListener, id_prefix: String) -> std::io::Result<Server> {
        let ids = Arc::new(RequestIds::new(id_prefix));
        let choosing = Arc::clone(&ids);
        let refusal = move |status, message: &str, sent_id: Option<&str>, target: Option<&str>| {
            exchange::refusal(&choosing, status, message, sent_id, target)
        };
        let socket = wire::open(listener, &app, refusal)?;
        Ok(Server { app, routes, socket, ids })
    }

    /// The loop of a worker. It ends when the socket is closed and all requests are answered.
    pub fn work(&self, lanes: &Lanes) {
        loop {
            match wire::receive(&self.socket, AT_ONCE) {
                Ok(requests) => self.survive(|| self.serve(requests, lanes)),
                Err(_) if lanes.is_stopping() => return,
                Err(error) => log::error!(target: "server", "receiving failed: {error}"),
            }
        }
    }

    /// The loop of a thread of another lane. It ends when the service stops, or when the thread has been replaced.
    pub fn work_in(&self, lane: Lane, lanes: &Lanes, slot: &Slot) {
        while !slot.is_replaced()
            && let Some(work) = lanes.next_work(lane, &self.app)
        {
            match work {
                Work::One(job, Admission::Refused(why)) => {
                    job.exchange.refuse(&self.app, &Error::Unavailable(why.into()));
                }
                Work::One(job, _) => {
                    if let Some(job) = self.in_time(job) {
                        self.survive(|| self.handle(job, slot, lanes));
                    }
                }
                Work::Creations(jobs, maker) => {
                    self.survive(|| self.make(jobs, slot, lanes));
                    lanes.made(maker);
                }
            }
        }
    }

    /// Refuses a request that has waited too long for a thread.
    fn in_time(&self, job: Box<Job>) -> Option<Box<Job>> {
        if job.exchange.started.elapsed() < QUEUE_PATIENCE {
            return Some(job);
        }
        job.exchange.refuse(&self.app, &Error::Unavailable("it waited too long in the queue".into()));
        None
    }

    /// Accepts no new connections. Requests in flight finish, and then every worker ends.
    pub fn close(&self, workers: usize) {
        wire::close(&self.socket, workers);
    }

    /// The transport's metrics: connections, and the requests that it refused itself.
    pub fn transport_metrics(&self) -> Vec<Family> {
        wire::metrics(&self.socket)
    }

    /// A panic of a handler is answered (see `caught`). If anything around it panics, the thread survives, and the transport answers
    /// the dropped requests with 500.
    fn survive(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.app.metrics.panics.add(1);
        }
    }

    /// Serves requests that arrived at the same time. Those for other threads go there first; then the reads share a round trip.
    fn serve(&self, requests: Vec<RawRequest>, lanes: &Lanes) {
        let mut arrivals = Arrivals::default();
        for raw in requests {
            let Some((exchange, request, target)) = Exchange::open(&self.app, &self.routes, &self.ids, raw) else {
                continue;
            };
            let job = Box::new(Job::new(exchange, request, target));
            match job.target.lane() {
                Lane::Reading => self.begin(job, &mut arrivals),
                lane => arrivals.elsewhere.push((job, lane)),
            }
        }
        self.queue(arrivals.elsewhere.drain(..), lanes);
        let mut asking = std::mem::take(&mut arrivals.asking);
        while !asking.is_empty() {
            let rest = asking.split_off(one_round(&asking));
            self.ask(std::mem::replace(&mut asking, rest), &mut arrivals);
            asking.append(&mut arrivals.asking);
        }
        self.queue(arrivals.elsewhere.drain(..), lanes);
    }

    /// Handles a request until its answer or its question is known.
    fn begin(&self, mut job: Box<Job>, arrivals: &mut Arrivals) {
        let Job { request, target, user, .. } = &mut *job;
        match self.caught(|| self.routes.begin(&self.app, request, *target, user)).transpose() {
            Some(step) => self.go_on(job, step, arrivals),
            None => arrivals.send_elsewhere(job),
        }
    }

    fn go_on(&self, mut job: Box<Job>, step: Result<Step>, arrivals: &mut Arrivals) {
        match step {
            Ok(Step::Answer(response)) => self.answer(job, Ok(response), arrivals),
            Ok(step) => {
                (job.stage, job.share) = (Stage::Begun(step), None);
                if job.question().is_some() { arrivals.asking.push(job) } else { arrivals.send_elsewhere(job) }
            }
            Err(error) => self.answer(job, Err(error), arrivals),
        }
    }

    /// Sends the questions of these reads in one round trip, and answers those whose rows come back. The others go to threads
    /// that may wait.
    fn ask(&self, jobs: Batch, arrivals: &mut Arrivals) {
        let questions: Vec<&Question> = jobs.iter().filter_map(|job| job.question()).collect();
        let shares = jobs.iter().map(|job| self.app.memory.share(job.user_id())).collect();
        let results = self.app.db.ask(&questions, shares);
        for (mut job, result) in jobs.into_iter().zip(results) {
            match (std::mem::replace(&mut job.stage, Stage::Found), result) {
                (Stage::Begun(Step::Ask(ask)), Some((rows, share))) => {
                    job.share = Some(share);
                    let next = self.caught(|| ask.answer(&Read::new(&self.app, &job.request), rows));
                    self.go_on(job, next.map(Step::from), arrivals);
                }
                (stage, _) => {
                    job.stage = stage;
                    arrivals.send_elsewhere(job);
                }
            }
        }
    }

    /// Answers on a worker. If there is no room for its audit entry, the answer waits on another thread.
    fn answer(&self, mut job: Box<Job>, result: Result<Response>, arrivals: &mut Arrivals) {
        let entry = entry(&self.app, &job.request, job.target, job.user.as_ref(), &result);
        match entry.and_then(|entry| self.app.audit.try_record(entry)) {
            None => {
                let user_id = job.user_id();
                self.finish(job.exchange, user_id, result, job.share);
            }
            Some(entry) => {
                job.stage = Stage::Answered(result, entry);
                arrivals.send_elsewhere(job);
            }
        }
    }

    fn queue(&self, elsewhere: impl IntoIterator<Item = (Box<Job>, Lane)>, lanes: &Lanes) {
        for refused in lanes.queue(elsewhere.into_iter(), &self.app.metrics) {
            refused.exchange.refuse(&self.app, &Error::Unavailable("the hashing queue is full".into()));
        }
    }

    /// Handles a request to its end on a thread that may wait. Meanwhile the slot holds the exchange, so that the watchdog can
    /// answer if the database freezes. A request that turns out only now to be a long read, or a creation that may share a statement, goes to
    /// the queue of its kind.
    fn handle(&self, job: Box<Job>, slot: &Slot, lanes: &Lanes) {
        let Job { exchange, request, target, mut user, stage, mut share, .. } = *job;
        slot.hold(vec![exchange]);
        let may_be_long = share.is_some();
        let step = self.caught(|| self.wait(&request, target, stage, &mut user, may_be_long));
        let Some(exchange) = slot.release().pop() else { return };
        if let Some(share) = &mut share {
            share.end_read();
        }
        let result = match step {
            Ok(Step::Answer(response)) => Ok(response),
            Ok(step) => {
                let job = Box::new(Job::begun(exchange, request, target, user, step));
                let lane = job.lane();
                return self.queue([(job, lane)], lanes);
            }
            Err(error) => Err(error),
        };
        self.finish(exchange, user.map(|user| user.id), result, share);
    }

    /// Makes the records of these requests in one statement, and answers them after its commit. The statement itself checks each actor. If
    /// PostgreSQL refuses it, each request goes to a thread that makes its record alone, so that a fault in one does not fail the others.
    fn make(&self, jobs: Batch, slot: &Slot, lanes: &Lanes) {
        let (mut exchanges, mut makings) = (Vec::new(), Vec::new());
        for job in jobs.into_iter().filter_map(|job| self.in_time(job)) {
            let Job { exchange, request, target, user, stage, .. } = *job;
            if let Stage::Begun(Step::Create(creation)) = stage {
                exchanges.push(exchange);
                makings.push((request, target, user, creation));
            }
        }
        slot.hold(exchanges);
        let questions: Vec<&Question> = makings.iter().map(|(.., creation)| &creation.question).collect();
        let made = {
            let _in_flight: Vec<_> = questions.iter().map(|_| self.app.metrics.in_flight.enter()).collect();
            self.app.db.change_together(&questions)
        };
        let makings = slot.release().into_iter().zip(makings);
        let rows: Vec<Result<Option<Row>>> = match made {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(failure) if failure.changed_nothing && makings.len() > 1 => {
                let elsewhere = makings.map(|(exchange, (request, target, user, creation))| {
                    (Box::new(Job::begun(exchange, request, target, user, Step::Create(creation))), Lane::Waiting)
                });
                return self.queue(elsewhere, lanes);
            }
            Err(failure) => {
                let others = failure.error.cause().into_owned();
                let others = std::iter::repeat_with(|| Err(Error::Unavailable(others.clone())));
                std::iter::once(Err(failure.error)).chain(others).take(makings.len()).collect()
            }
        };
        for ((exchange, (request, target, user, creation)), row) in makings.zip(rows) {
            let result = row.and_then(|row| self.caught(|| creation.answer(row)));
            let result = self.recorded(&request, target, user.as_ref(), result);
            self.finish(exchange, user.map(|user| user.id), result, None);
        }
    }

    fn wait(
        &self,
        request: &Request,
        target: Target,
        stage: Stage,
        user: &mut Option<User>,
        may_be_long: bool,
    ) -> Result<Step> {
        let begun = match stage {
            Stage::Answered(result, entry) => {
                self.app.audit.record(entry)?;
                return result.map(Step::Answer);
            }
            Stage::Begun(step) => Some(step),
            Stage::Found => None,
        };
        let is_new = begun.is_none();
        let result = match self.routes.resume(&self.app, request, target, begun, user) {
            Ok(Step::Ask(ask)) if ask.is_long() && !may_be_long => return Ok(Step::Ask(ask)),
            Ok(Step::Create(creation)) if creation.is_batched() && is_new => return Ok(Step::Create(creation)),
            Ok(Step::Ask(ask)) => ask.wait(&self.app.db, &Read::new(&self.app, request)),
            Ok(Step::Create(creation)) => {
                user.as_ref().ok_or(Error::Unauthenticated).and_then(|user| creation.wait(&self.app, request, user))
            }
            Ok(Step::Answer(response)) => Ok(response),
            Err(error) => Err(error),
        };
        self.recorded(request, target, user.as_ref(), result).map(Step::Answer)
    }

    /// The result, once its entry has a place in the audit trail.
    fn recorded(
        &self,
        request: &Request,
        target: Target,
        user: Option<&User>,
        result: Result<Response>,
    ) -> Result<Response> {
        if let Some(entry) = entry(&self.app, request, target, user, &result) {
            self.app.audit.record(entry)?;
        }
        result
    }

    /// Runs a handler. A panic is one of its errors.
    fn caught<T>(&self, handler: impl FnOnce() -> Result<T>) -> Result<T> {
        let _in_flight = self.app.metrics.in_flight.enter();
        catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|_| {
            self.app.metrics.panics.add(1);
            Err(Error::Internal("a handler panicked".into()))
        })
    }

    fn finish(&self, exchange: Exchange, user_id: Option<i64>, result: Result<Response>, share: Option<Share>) {
        let exchange = exchange.of_user(user_id);
        match result {
            Ok(response) => {
                let mut share = share.filter(|_| response.body.len() > SHORT_BYTES);
                match share.as_mut().is_none_or(|share| share.hold(response.body.len())) {
                    true => exchange.answer(&self.app, response, share),
                    false => exchange.refuse(&self.app, &Error::Unavailable(NO_ROOM.into())),
                }
            }
            Err(error) => exchange.refuse(&self.app, &error),
        }
    }
}

/// How many of these requests share the next round trip.
fn one_round(asking: &[Box<Job>]) -> usize {
    let mut weight = 0;
    let fits = asking.iter().take_while(|job| {
        weight += job.question().map_or(0, Question::weight);
        weight <= ROUND_WEIGHT
    });
    fits.count()
}
