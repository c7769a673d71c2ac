//! The thread-pool loop: receive → handle → respond.
//!
//! Workers wait for requests and take the requests that have arrived. They answer those that need no database, and together the
//! reads that came together (see [`crate::handlers::ask`]). Changes, and other requests that wait for the database, go to threads that
//! may wait; requests that hash a password go to a few threads of their own. So reads stay fast during a flood of logins, and
//! `/healthz` stays fast whatever the database does.

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::app::App;
use crate::auth::User;
use crate::db::Question;
use crate::dispatch::{Routes, Target, entry};
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::exchange::{self, Exchange, RequestIds};
use crate::handlers::ask::{Read, Step};
use crate::lanes::{Admission, Job, Lanes, QUEUE_PATIENCE, Slot, Stage};
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
    #[expect(clippy::vec_box, reason = "a job goes from list to queue and is large")]
    asking: Vec<Box<Job>>,
    /// The requests for other threads.
    elsewhere: Vec<(Box<Job>, Lane)>,
}

impl Arrivals {
    /// Sends it to a thread that may wait.
    fn send_elsewhere(&mut self, job: Box<Job>) {
        let is_long = matches!(&job.stage, Stage::Asks(ask) if ask.is_long());
        self.elsewhere.push((job, if is_long { Lane::LongReading } else { Lane::Waiting }));
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
            && let Some((job, admission)) = lanes.next_job(lane, &self.app)
        {
            if let Admission::Refused(why) = admission {
                job.exchange.refuse(&self.app, &Error::Unavailable(why.into()));
            } else if job.exchange.started.elapsed() < QUEUE_PATIENCE {
                self.survive(|| self.handle(job, slot, lanes));
            } else {
                job.exchange.refuse(&self.app, &Error::Unavailable("it waited too long in the queue".into()));
            }
        }
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
        self.queue(&mut arrivals, lanes);
        let mut asking = std::mem::take(&mut arrivals.asking);
        while !asking.is_empty() {
            let rest = asking.split_off(one_round(&asking));
            self.ask(std::mem::replace(&mut asking, rest), &mut arrivals);
            asking.append(&mut arrivals.asking);
        }
        self.queue(&mut arrivals, lanes);
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
            Ok(Step::Ask(ask)) => {
                (job.stage, job.share) = (Stage::Asks(ask), None);
                if job.question().is_some() { arrivals.asking.push(job) } else { arrivals.send_elsewhere(job) }
            }
            Ok(Step::Answer(response)) => self.answer(job, Ok(response), arrivals),
            Err(error) => self.answer(job, Err(error), arrivals),
        }
    }

    /// Sends the questions of these reads in one round trip, and answers those whose rows come back. The others go to threads
    /// that may wait.
    #[expect(clippy::vec_box, reason = "as in Arrivals")]
    fn ask(&self, jobs: Vec<Box<Job>>, arrivals: &mut Arrivals) {
        let questions: Vec<&Question> = jobs.iter().filter_map(|job| job.question()).collect();
        let shares = jobs.iter().map(|job| self.app.memory.share(job.user_id())).collect();
        let results = self.app.db.ask(&questions, shares);
        for (mut job, result) in jobs.into_iter().zip(results) {
            match (std::mem::replace(&mut job.stage, Stage::Found), result) {
                (Stage::Asks(ask), Some((rows, share))) => {
                    job.share = Some(share);
                    let step = self.caught(|| ask.answer(&Read::new(&self.app, &job.request), rows));
                    self.go_on(job, step, arrivals);
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

    fn queue(&self, arrivals: &mut Arrivals, lanes: &Lanes) {
        for refused in lanes.queue(arrivals.elsewhere.drain(..), &self.app.metrics) {
            refused.exchange.refuse(&self.app, &Error::Unavailable("the hashing queue is full".into()));
        }
    }

    /// Handles a request to its end on a thread that may wait. Meanwhile the slot holds the exchange, so that the watchdog can
    /// answer if the database freezes. A request that turns out to be a long read only now, without a share, goes to the queue of
    /// long reads.
    fn handle(&self, job: Box<Job>, slot: &Slot, lanes: &Lanes) {
        let Job { exchange, request, target, mut user, stage, mut share, .. } = *job;
        slot.hold(exchange);
        let may_be_long = share.is_some();
        let step = self.caught(|| self.wait(&request, target, stage, &mut user, may_be_long));
        let Some(exchange) = slot.release() else { return };
        if let Some(share) = &mut share {
            share.end_read();
        }
        let result = match step {
            Ok(Step::Answer(response)) => Ok(response),
            Ok(Step::Ask(ask)) => {
                let mut arrivals = Arrivals::default();
                let mut job = Job::new(exchange, request, target);
                (job.user, job.stage) = (user, Stage::Asks(ask));
                arrivals.send_elsewhere(Box::new(job));
                return self.queue(&mut arrivals, lanes);
            }
            Err(error) => Err(error),
        };
        self.finish(exchange, user.map(|user| user.id), result, share);
    }

    fn wait(
        &self,
        request: &Request,
        target: Target,
        stage: Stage,
        user: &mut Option<User>,
        may_be_long: bool,
    ) -> Result<Step> {
        let ask = match stage {
            Stage::Answered(result, entry) => {
                self.app.audit.record(entry)?;
                return result.map(Step::Answer);
            }
            Stage::Asks(ask) => Some(ask),
            Stage::Found => None,
        };
        let result = match self.routes.resume(&self.app, request, target, ask, user) {
            Ok(Step::Ask(ask)) if ask.is_long() && !may_be_long => return Ok(Step::Ask(ask)),
            Ok(Step::Ask(ask)) => ask.wait(&self.app.db, &Read::new(&self.app, request)),
            Ok(Step::Answer(response)) => Ok(response),
            Err(error) => Err(error),
        };
        if let Some(entry) = entry(&self.app, request, target, user.as_ref(), &result) {
            self.app.audit.record(entry)?;
        }
        result.map(Step::Answer)
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
