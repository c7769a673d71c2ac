//! The thread-pool loop: receive → handle → respond. The only module that names `tiny_http`.
//!
//! Workers wait in `recv()` and take what has come. They answer what needs no database, and the reads of one turn together (see
//! [`Attempt`]). Changes, and whatever else waits for the database, go to threads that do wait; what hashes a password goes to a few
//! threads of its own. So reads stay fast during a flood of logins, and `/healthz` whatever the database does.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::auth::User;
use crate::crew::{Crew, Slot};
use crate::db::{Attempt, Question, Wants, without_long_reads};
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::logging::RequestLine;
use crate::memory::{SHORT_BYTES, Share, Wait};
use crate::metrics::Family;
use crate::network;
use crate::request::{Headers, Method, Request};
use crate::routes::{Lane, ROUTES, Target};
#[cfg(own_transport)]
use crate::transport as tiny_http;

mod wire;

/// Requests that a worker takes at once.
const AT_ONCE: usize = 32;
/// What one round trip carries at most ([`Question::weight`]), so that the rows of eight lists are in memory and no more.
const ROUND_WEIGHT: usize = 32;
/// A request that has waited for a thread for so long is not begun: its client has likely given up.
const QUEUE_PATIENCE: Duration = Duration::from_secs(10);
/// A long read that has found no room for so long is refused.
const ROOM_PATIENCE: Duration = Duration::from_secs(3);
/// What a browser may read of an answer beyond the basic headers.
const EXPOSED_HEADERS: &str = "ETag, Idempotency-Replayed, Link, Location, Retry-After, RateLimit, RateLimit-Policy, WWW-Authenticate, X-Request-Id, X-Total-Count";
/// What a browser may send.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id";

/// The socket and everything behind it.
pub struct Server {
    app: Arc<App>,
    socket: tiny_http::Server,
    ids: Arc<RequestIds>,
}

/// Makes request ids: a prefix that no other process has, and a count.
struct RequestIds {
    prefix: String,
    count: AtomicU64,
}

impl RequestIds {
    /// The client's own id if it is a plain one, else a new one.
    fn choose(&self, sent: Option<&str>) -> String {
        match sent.filter(|id| is_request_id(id)) {
            Some(id) => id.to_string(),
            None => format!("{}-{:x}", self.prefix, self.count.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// A request that is being worked on.
pub struct Job {
    exchange: Exchange,
    request: Request,
    target: Target,
    /// Who asks, once the token has been checked.
    user: Option<User>,
    /// The same for the queue of long reads, where the check is a while ago.
    asker: Option<i64>,
    /// What its rows and its body hold, if they are long.
    share: Option<Share>,
    /// Since when it has found no room.
    no_room_since: Option<Instant>,
}

/// Whether a long read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It does.
    Begins,
    /// It waits on.
    Waits,
    /// It is refused, for this reason.
    Refused(&'static str),
}

impl Job {
    /// Lets a long read begin, if it is its turn and there is room.
    pub fn admit(&mut self, app: &App) -> Admission {
        if app.pulse.is_frozen() {
            return Admission::Refused("the database does not answer");
        }
        if self.exchange.started.elapsed() >= QUEUE_PATIENCE {
            return Admission::Refused("it waited too long in the queue");
        }
        match app.memory.begin_read(self.asker) {
            Ok(share) => {
                self.share = Some(share);
                Admission::Begins
            }
            Err(Wait::Turn) => Admission::Waits,
            Err(Wait::Room(last_begin)) => {
                // As long as others begin, the queue moves, and it waits its turn.
                let since = *self.no_room_since.get_or_insert_with(Instant::now);
                let waited = last_begin.map_or(since, |last_begin| last_begin.max(since)).elapsed();
                if waited < ROOM_PATIENCE {
                    Admission::Waits
                } else {
                    Admission::Refused("there was no room for a long answer")
                }
            }
        }
    }
}

impl Job {
    /// The client, as the queues know it.
    pub fn network(&self) -> IpAddr {
        network::client_site(self.exchange.client)
    }
}

/// What becomes of requests that have come at the same time.
#[derive(Default)]
struct Turn {
    /// Those whose handlers wait for rows, and what they ask.
    asking: Vec<(Box<Job>, Question)>,
    /// Those for other threads.
    elsewhere: Vec<(Box<Job>, Lane)>,
}

/// What came of a handler: its answer, its error, or a panic.
type Outcome = std::thread::Result<Result<Response>>;

/// One request as far as answering it is concerned: what stays the same whoever answers.
pub struct Exchange {
    raw: tiny_http::Request,
    id: String,
    method: Option<Method>,
    route: Option<usize>,
    client: IpAddr,
    origin: Option<String>,
    user_id: Option<i64>,
    /// When the whole request was there.
    pub started: Instant,
}

impl Server {
    /// Serves what arrives on this listener.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn new(app: Arc<App>, listener: TcpListener, id_prefix: String) -> std::io::Result<Server> {
        let ids = Arc::new(RequestIds { prefix: id_prefix, count: AtomicU64::new(0) });
        let socket = wire::open(listener, &app, &ids)?;
        Ok(Server { app, socket, ids })
    }

    /// The loop of a worker: ends when the socket is closed and everything is answered.
    pub fn work(&self, crew: &Crew) {
        loop {
            match wire::receive(&self.socket, AT_ONCE) {
                Ok(requests) => self.survive(|| self.serve(requests, crew)),
                Err(_) if crew.is_stopping() => return,
                Err(error) => log::error!(target: "server", "receiving failed: {error}"),
            }
        }
    }

    /// The loop of a thread of another lane: ends when the service stops, or when the thread has been replaced.
    pub fn work_in(&self, lane: Lane, crew: &Crew, slot: &Slot) {
        while !slot.is_replaced()
            && let Some((job, admission)) = crew.next_job(lane, &self.app)
        {
            if let Admission::Refused(why) = admission {
                job.exchange.refuse(&self.app, &Error::Unavailable(why.into()));
            } else if job.exchange.started.elapsed() < QUEUE_PATIENCE {
                self.survive(|| self.handle(job, slot, crew));
            } else {
                job.exchange.refuse(&self.app, &Error::Unavailable("it waited too long in the queue".into()));
            }
        }
    }

    /// No new connections; requests in flight finish, and then every worker's `recv()` fails.
    pub fn close(&self, workers: usize) {
        wire::close(&self.socket, workers);
    }

    /// What the transport counts: connections, and what it refused by itself.
    pub fn numbers(&self) -> Vec<Family> {
        wire::numbers(&self.socket)
    }

    /// A handler's panic has its answer (see `run`). Should anything around it panic, the thread lives, and the transport answers
    /// the requests that were dropped with 500.
    fn survive(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.app.metrics.panics.add(1);
        }
    }

    /// Serves requests that have come at the same time: their reads share a round trip, and what is for other threads goes there
    /// first.
    fn serve(&self, requests: Vec<tiny_http::Request>, crew: &Crew) {
        let mut turn = Turn::default();
        for raw in requests {
            let Some(job) = self.route(raw) else { continue };
            match job.target.lane() {
                Lane::Reading => self.attempt(job, Attempt::default(), &mut turn),
                lane => turn.elsewhere.push((job, lane)),
            }
        }
        self.queue(&mut turn, crew);
        let mut asking = std::mem::take(&mut turn.asking);
        while !asking.is_empty() {
            let rest = asking.split_off(one_round(&asking));
            let (jobs, questions): (Vec<_>, Vec<_>) = std::mem::replace(&mut asking, rest).into_iter().unzip();
            let shares = jobs.iter().map(|job| self.app.memory.share(job.user.map(|user| user.id))).collect();
            let answers = self.app.db.ask(&self.app.sql, &questions, shares);
            for ((mut job, question), answer) in jobs.into_iter().zip(&questions).zip(answers) {
                match answer {
                    Some((rows, share)) => {
                        job.share = Some(share);
                        self.attempt(job, Attempt::knowing(question, rows), &mut turn);
                    }
                    None => turn.elsewhere.push((job, lane_of(question))),
                }
            }
        }
        // Nobody asks twice here: one that does waits for its answers elsewhere.
        turn.elsewhere.extend(turn.asking.drain(..).map(|(job, question)| (job, lane_of(&question))));
        self.queue(&mut turn, crew);
    }

    /// Takes the request apart and finds its route; none where it has been refused.
    fn route(&self, mut raw: tiny_http::Request) -> Option<Box<Job>> {
        let started = Instant::now();
        let headers = received_headers(&raw);
        let id = self.ids.choose(headers.get("x-request-id"));
        let peer = raw.remote_addr().map_or(network::UNKNOWN, SocketAddr::ip);
        let client = network::client_address(peer, headers.get("x-forwarded-for"), &self.app.config.trusted_proxies);
        let origin = headers.get("origin").map(str::to_string);
        let method = Method::parse(raw.method().as_str());
        let received = read(&mut raw, &id, method, client, headers, self.app.config.max_body_bytes);
        let mut exchange = Exchange { raw, id, method, route: None, client, origin, user_id: None, started };
        let found = received.and_then(|mut request| {
            let target = self.app.routes.find(&mut request)?;
            Ok((request, target))
        });
        let allowed = found.and_then(|(request, target)| {
            exchange.route = target.route();
            // Before any queue: a flood beyond the limit takes no place there.
            if target.is_rate_limited() {
                self.app.take_from_rate_limit(&request)?;
            }
            Ok((request, target))
        });
        match allowed {
            Ok((request, target)) => {
                let (user, asker, share, no_room_since) = (None, None, None, None);
                Some(Box::new(Job { exchange, request, target, user, asker, share, no_room_since }))
            }
            Err(error) => {
                exchange.refuse(&self.app, &error);
                None
            }
        }
    }

    /// Runs the handler without waiting for the database. Where it asks for a statement that may be batched, the question is
    /// kept; where it needs anything else, the job is for a thread that waits.
    fn attempt(&self, mut job: Box<Job>, attempt: Attempt, turn: &mut Turn) {
        let (outcome, wants) = attempt.run(|| self.run(&job.request, job.target, &mut job.user));
        match (outcome, wants) {
            (Ok(Err(Error::Later)), Wants::Rows(question)) => turn.asking.push((job, question)),
            (Ok(Err(Error::Later)), Wants::LongRead) => turn.elsewhere.push((job, Lane::LongReading)),
            (Ok(Err(Error::Later)), Wants::Time) => turn.elsewhere.push((job, Lane::Waiting)),
            (outcome, _) => self.finish(job.exchange, job.user, outcome, job.share),
        }
    }

    fn queue(&self, turn: &mut Turn, crew: &Crew) {
        for (job, _) in &mut turn.elsewhere {
            // It may wait there for a while: the token is checked again.
            (job.asker, job.share) = (job.user.take().map(|user| user.id), None);
        }
        for refused in crew.queue(turn.elsewhere.drain(..), &self.app.metrics) {
            refused.exchange.refuse(&self.app, &Error::Unavailable("the hashing queue is full".into()));
        }
    }

    /// Runs the handler to its end. While it runs, the slot holds the exchange: should the database freeze, the watchdog answers from there.
    fn handle(&self, job: Box<Job>, slot: &Slot, crew: &Crew) {
        let Job { exchange, request, target, mut user, mut share, .. } = *job;
        slot.hold(exchange);
        let mut run = || self.run(&request, target, &mut user);
        // A read that had to ask about its session, say, may turn out to be a long one only now.
        let outcome = if target.lane() == Lane::Reading && share.is_none() { without_long_reads(run) } else { run() };
        let Some(exchange) = slot.release() else { return };
        if let Some(share) = &mut share {
            share.end_read();
        }
        if let Ok(Err(Error::Later)) = outcome {
            let job = Job { exchange, request, target, user, asker: None, share: None, no_room_since: None };
            self.queue(&mut Turn { elsewhere: vec![(Box::new(job), Lane::LongReading)], ..Turn::default() }, crew);
        } else {
            self.finish(exchange, user, outcome, share);
        }
    }

    fn run(&self, request: &Request, target: Target, user: &mut Option<User>) -> Outcome {
        let _in_flight = self.app.metrics.in_flight.enter();
        catch_unwind(AssertUnwindSafe(|| self.app.routes.answer(&self.app, request, target, user)))
    }

    fn finish(&self, mut exchange: Exchange, user: Option<User>, outcome: Outcome, share: Option<Share>) {
        exchange.user_id = user.map(|user| user.id);
        match outcome {
            Ok(Ok(response)) => exchange.answer(&self.app, response, share),
            Ok(Err(error)) => exchange.refuse(&self.app, &error),
            Err(_) => {
                self.app.metrics.panics.add(1);
                exchange.refuse(&self.app, &Error::Internal("a handler panicked".into()));
            }
        }
    }
}

impl Exchange {
    /// Answers with an error; the log gets what the client does not.
    pub fn refuse(self, app: &App, error: &Error) {
        match error {
            Error::Internal(text) => log::error!(target: "server", "request {}: {text}", self.id),
            Error::Unavailable(text) => {
                app.refusals.failed(text);
                log::debug!(target: "server", "request {}: {text}", self.id);
            }
            Error::TooSlow(text) => log::debug!(target: "server", "request {}: {text}", self.id),
            _ => {}
        }
        let response = Response::error(error, &self.id);
        self.answer(app, response, None);
    }

    /// Sends the answer, counts it and logs it. `share` holds it until the client has taken it, if it is long.
    fn answer(self, app: &App, response: Response, share: Option<Share>) {
        let Exchange { raw, id, method, route, client, origin, user_id, started } = self;
        let status = response.status;
        let preflight = method == Some(Method::Options);
        let allow = response.headers.iter().find(|(name, _)| *name == "Allow").map(|(_, allow)| allow.to_string());
        let mut headers = wire::headers(response.headers, response.content_type, &id);
        let cors = cors_headers(&app.config.cors_origins, origin.as_deref(), allow.filter(|_| preflight));
        headers.extend(cors.into_iter().filter_map(|(name, value)| wire::header(name, value.into())));
        let share = share.filter(|_| response.body.len() > SHORT_BYTES).map(|mut share| {
            share.set(response.body.len());
            share
        });
        // The client may be gone; its answer is then nobody's loss.
        let _ = wire::respond(raw, status, headers, response.body, share);
        let took = started.elapsed();
        app.metrics.record(route, status, took);
        let known = route.map(|place| &ROUTES[place]);
        RequestLine {
            id: &id,
            method: method.map_or("other", Method::name),
            route: known.map_or("-", |route| route.pattern),
            status,
            took,
            user_id,
            address: client,
        }
        .write();
    }
}

/// Where a question is asked that its round trip did not answer.
fn lane_of(question: &Question) -> Lane {
    if question.is_long { Lane::LongReading } else { Lane::Waiting }
}

/// How many of these share the next round trip.
fn one_round(asking: &[(Box<Job>, Question)]) -> usize {
    let mut weight = 0;
    let fits = asking.iter().take_while(|(_, question)| {
        weight += question.weight();
        weight <= ROUND_WEIGHT
    });
    fits.count()
}

fn received_headers(raw: &tiny_http::Request) -> Headers {
    let mut headers = Headers::default();
    for header in raw.headers() {
        headers.add(header.field.as_str().as_str(), header.value.as_str());
    }
    headers
}

/// Reads the body within its bound and takes the target apart.
fn read(
    raw: &mut tiny_http::Request,
    id: &str,
    method: Option<Method>,
    client: IpAddr,
    headers: Headers,
    max_body_bytes: usize,
) -> Result<Request> {
    let method = method.ok_or(Error::NotImplemented)?;
    let (path, raw_query) = Request::split_target(raw.url())?;
    if raw.body_length().is_some_and(|length| length > max_body_bytes) {
        return Err(Error::TooLarge(max_body_bytes));
    }
    let mut body = Vec::new();
    let bound = u64::try_from(max_body_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let read = raw.as_reader().take(bound).read_to_end(&mut body);
    read.map_err(|_| Error::invalid("body", "did not arrive as it was announced"))?;
    if body.len() > max_body_bytes {
        return Err(Error::TooLarge(max_body_bytes));
    }
    let parameters = Vec::new();
    Ok(Request { id: id.into(), method, path, client, headers, body, raw_query, parameters, query_names: &[] })
}

/// 1 to 64 of `A-Z a-z 0-9 . _ -`
fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The headers that let a listed origin's script read the answer (WHATWG Fetch, 3.3); `allow` for the answer to a preflight.
fn cors_headers(origins: &[String], origin: Option<&str>, allow: Option<String>) -> Vec<(&'static str, String)> {
    if origins.is_empty() {
        return Vec::new();
    }
    let mut headers = vec![("Vary", "Origin".to_string())];
    let Some(origin) = origin.filter(|origin| origins.iter().any(|listed| listed == origin)) else { return headers };
    headers.push(("Access-Control-Allow-Origin", origin.to_string()));
    match allow {
        Some(allow) => {
            headers.push(("Access-Control-Allow-Methods", allow));
            headers.push(("Access-Control-Allow-Headers", ALLOWED_HEADERS.to_string()));
            headers.push(("Access-Control-Max-Age", "600".to_string()));
        }
        None => headers.push(("Access-Control-Expose-Headers", EXPOSED_HEADERS.to_string())),
    }
    headers
}
