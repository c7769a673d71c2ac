//! The database: a pool of connections, each with its prepared statements; one statement per call.
//!
//! A connection is held only while a statement runs, so that no slow work (above all, hashing a password) can be done while
//! holding one.
//!
//! A worker, which has many requests at once, sends all their questions through a pipe (`db/pipe.rs`), and all the rows come back
//! together.

mod columns;
mod connection;
mod failure;
pub mod page;
mod pipe;
mod question;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use postgres::Row;
use r2d2::ManageConnection;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};

pub use columns::Columns;
use connection::{Connection, Manager, POOL_WAIT};
pub use failure::Failure;
use failure::{has_done_nothing, is_dead, is_outdated, translate};
pub use pipe::PLAN_BY_INDEX;
use pipe::PipeManager;
pub use question::{Question, no_row};

use crate::clock::now_ms;
use crate::database_url::{ConnectError, DatabaseUrl};
use crate::error::{Error, Result};
use crate::lock::lock;
use crate::memory::Share;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::sql::{Parameters, Query};

/// How many threads open a pool's connections.
const POOL_THREADS: usize = 3;
/// How long a connection may be idle before it must prove that it is alive. Only then may it carry a change, which must not be
/// repeated.
const PROVE_AFTER_MS: u64 = 1000;
/// How often a change is sent at most if PostgreSQL ends it and it has done nothing, mostly because of a deadlock. The order of locks
/// (`sql/README.md`) leaves one way to meet: two records that take over each other's unique value.
const CHANGE_TRIES: u32 = 4;
/// How often a read is sent at most if its connection ends. One retry is not enough, since at a restart connections end one by
/// one.
const READ_TRIES: u32 = 4;

/// Connections fail together, and the pulse logs that once. So the pool's own reports stay in the debug log.
#[derive(Debug)]
struct QuietErrors;

impl r2d2::HandleError<ConnectError> for QuietErrors {
    fn handle_error(&self, error: ConnectError) {
        log::debug!(target: "database", "no connection: {error}");
    }
}

/// The pool.
pub struct Db {
    pools: Mutex<Pools>,
    manager: Manager,
    size: u32,
    /// How many pipes there are at most: one for each worker.
    workers: u32,
    pulse: Arc<Pulse>,
    metrics: Arc<Metrics>,
    /// Connections last used before this moment ([`now_ms`]) must prove first that they are alive.
    distrust_before: AtomicU64,
    /// How often a statement turned out to be prepared for a table that has changed since.
    table_changes: AtomicU64,
}

/// The connections.
#[derive(Clone)]
struct Pools {
    statements: r2d2::Pool<Manager>,
    /// `None` behind a pooler.
    pipes: Option<r2d2::Pool<PipeManager>>,
    /// The [`Pulse::moves`] at which they were made.
    moves: u64,
}

impl Db {
    /// Makes the pool; its connections are opened in the background, so this succeeds without a database as well.
    ///
    /// `is_pooled`: a pooler in transaction mode (PgBouncer) is in between. Then each statement may run on another connection, so
    /// no statement is prepared by name, nothing is set for a session, and there are no pipes.
    pub fn new(
        url: &DatabaseUrl,
        size: usize,
        workers: usize,
        is_pooled: bool,
        pulse: Arc<Pulse>,
        metrics: Arc<Metrics>,
    ) -> Db {
        let manager = Manager { url: url.clone(), is_pooled };
        let [size, workers] = [size, workers].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let pools = Mutex::new(Pools::new(&manager, size, workers, pulse.moves()));
        let (distrust_before, table_changes) = (AtomicU64::new(0), AtomicU64::new(0));
        Db { pools, manager, size, workers, pulse, metrics, distrust_before, table_changes }
    }

    /// Asks all questions in one round trip. `None` for each question that must be asked again on its own connection: the server
    /// refused it or did not answer in time, no pipe was free, or there was no room for the rows. `shares` count the memory of
    /// the rows.
    pub fn ask(&self, questions: &[&Question], shares: Vec<Share>) -> Vec<Option<(Vec<Row>, Share)>> {
        let pipes = self.pools().pipes.filter(|_| !self.pulse.is_frozen());
        let Some(mut pipe) = pipes.and_then(|pipes| pipes.try_get()) else {
            return questions.iter().map(|_| None).collect();
        };
        let rows = pipe.ask(questions, shares);
        if pipe.is_late() {
            // Its place in the pool stays taken meanwhile, so there are never more of these threads than workers.
            // Without a thread the connection is closed instead.
            let _ = std::thread::Builder::new().name("settling".into()).spawn(move || pipe.settle());
        }
        rows
    }

    /// Sends the question by itself and waits for its rows.
    pub fn answer(&self, question: &Question) -> Result<Vec<Row>> {
        self.answer_all(&[question]).map_err(|failure| failure.error)
    }

    /// Makes all these changes, which are of one kind, in one statement. Returns the row of each, after the commit.
    pub fn change_together(&self, changes: &[&Question]) -> std::result::Result<Vec<Option<Row>>, Failure> {
        let mut rows: Vec<_> = changes.iter().map(|_| None).collect();
        for row in self.answer_all(changes)? {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).ok();
            if let Some(place) = place.and_then(|place| rows.get_mut(place)) {
                *place = Some(row);
            }
        }
        Ok(rows)
    }

    /// Sends all questions, which are of one kind, in one statement, and waits for its rows.
    fn answer_all(&self, questions: &[&Question]) -> std::result::Result<Vec<Row>, Failure> {
        let Some(first) = questions.first() else { return Ok(Vec::new()) };
        let parameters = Question::parameters(questions);
        self.run(&first.query, &parameters.iter().map(|value| &**value).collect::<Vec<_>>())
    }

    /// The only row. Any other number of rows is an `Internal` error.
    pub fn query_one(&self, query: &Query, parameters: Parameters) -> Result<Row> {
        self.query_opt(query, parameters)?.ok_or_else(|| no_row(query))
    }

    /// The row, if there is one.
    pub fn query_opt(&self, query: &Query, parameters: Parameters) -> Result<Option<Row>> {
        let mut rows = self.query_many(query, parameters)?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            many => Err(Error::Internal(format!("{} answered with {many} rows", query.name))),
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// `Unavailable` if no connection can be had or the time limit passed, `Conflict` if a constraint refused that the statement
    /// names, `Internal` for everything else.
    pub fn query_many(&self, query: &Query, parameters: Parameters) -> Result<Vec<Row>> {
        self.run(query, parameters).map_err(|failure| failure.error)
    }

    fn run(&self, query: &Query, parameters: Parameters) -> std::result::Result<Vec<Row>, Failure> {
        let mut tries = if query.writes { CHANGE_TRIES } else { READ_TRIES };
        loop {
            let mut connection =
                self.connection(query.writes).map_err(|error| Failure { error, changed_nothing: false })?;
            let error = match connection.run(query, parameters) {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            self.learn(&mut connection, &error);
            tries -= 1;
            // When its connection ends, a change may have been executed; only the client can know whether to repeat it.
            let may_repeat = has_done_nothing(&error) || (is_dead(&error) && !query.writes);
            if tries == 0 || !may_repeat {
                let changed_nothing = error.as_db_error().is_some() && !is_dead(&error);
                return Err(Failure { error: translate(query, &error), changed_nothing });
            }
        }
    }

    /// Runs a statement that returns no rows.
    pub fn exec(&self, query: &Query, parameters: Parameters) -> Result<()> {
        self.query_many(query, parameters).map(drop)
    }

    /// Runs several statements in one transaction, which a returned error rolls back. After a deadlock, and after a
    /// migration, `work` runs again from its start. `main` is the main statement, which log lines name.
    pub fn transaction<T>(&self, main: &Query, mut work: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        let mut tries = CHANGE_TRIES;
        loop {
            let mut connection = self.begin(main)?;
            connection.in_transaction = true;
            let mut transaction = Transaction { db: self, connection: &mut connection, may_repeat: false };
            let result = work(&mut transaction);
            let may_repeat = transaction.may_repeat;
            let end = if result.is_ok() { "commit" } else { "rollback" };
            let ended = connection.client.batch_execute(end);
            if let Err(error) = &ended {
                self.learn(&mut connection, error);
            }
            connection.in_transaction = ended.is_err();
            tries -= 1;
            if tries == 0 || !may_repeat || ended.is_err() {
                return result.and_then(|value| ended.map(|()| value).map_err(|error| translate(main, &error)));
            }
        }
    }

    /// The row of a change that needs several locks. `lock` takes them in a separate statement, so that the change sees
    /// everything that was done before. (A single statement that waits for a lock would continue with what it saw before it
    /// waited.)
    pub fn query_behind(
        &self,
        lock: &Query,
        keys: Parameters,
        change: &Query,
        parameters: Parameters,
    ) -> Result<Option<Row>> {
        self.transaction(change, |transaction| {
            transaction.query_many(lock, keys)?;
            transaction.query_opt(change, parameters)
        })
    }

    /// The same with questions.
    pub fn answer_behind(&self, lock: &Question, change: &Question) -> Result<Option<Row>> {
        self.transaction(&change.query, |transaction| {
            transaction.answer(lock)?;
            transaction.answer(change).map(|mut rows| rows.pop())
        })
    }

    /// A connection on which a transaction has begun. Nothing has run in it, so a connection that turns out to be dead is replaced.
    fn begin(&self, main: &Query) -> Result<r2d2::PooledConnection<Manager>> {
        let mut is_second_try = false;
        loop {
            let mut connection = self.connection(true)?;
            let begun = connection.limit(false).and_then(|()| connection.client.batch_execute("begin"));
            let Err(error) = begun else { return Ok(connection) };
            self.learn(&mut connection, &error);
            if is_second_try || !is_dead(&error) {
                return Err(translate(main, &error));
            }
            is_second_try = true;
        }
    }

    /// Connections in use, idle, and the size of the pool.
    pub fn pool_state(&self) -> (u32, u32, u32) {
        let state = self.pools().statements.state();
        (state.connections - state.idle_connections, state.idle_connections, self.size)
    }

    /// How many pipes are open.
    pub fn pipes(&self) -> u32 {
        self.pools().pipes.map_or(0, |pipes| pipes.state().connections)
    }

    /// Draws conclusions about the connections from a failed statement.
    fn learn(&self, connection: &mut Connection, error: &postgres::Error) {
        // A primary that has become a standby: the next connection finds the new one.
        connection.is_read_only |= error.code().is_some_and(|code| code.code() == "25006");
        if is_dead(error) {
            self.distrust_before.store(now_ms() + 1, Ordering::Relaxed);
        }
        if is_outdated(error) {
            self.table_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection that is good enough for a change, or for a read.
    fn connection(&self, writes: bool) -> Result<r2d2::PooledConnection<Manager>> {
        // All connections of the pool may be dead, and so may those that replace them.
        for _ in 0..=2 * self.size {
            if self.pulse.is_frozen() {
                return Err(Error::Unavailable("the database does not answer".into()));
            }
            let mut connection = match self.pools().statements.try_get() {
                Some(connection) => connection,
                None => self.wait_for_connection()?,
            };
            let distrusted = connection.last_used_ms < self.distrust_before.load(Ordering::Relaxed);
            let unproven = distrusted || (writes && now_ms() > connection.last_used_ms + PROVE_AFTER_MS);
            if !unproven || connection.client.is_valid(POOL_WAIT).is_ok() {
                connection.last_used_ms = now_ms();
                connection.forget_before(self.table_changes.load(Ordering::Relaxed));
                return Ok(connection);
            }
            // Dropping it here lets the pool open a new one.
        }
        Err(Error::Unavailable("no connection of the pool is alive".into()))
    }

    fn wait_for_connection(&self) -> Result<r2d2::PooledConnection<Manager>> {
        if self.pulse.is_long_away() {
            return Err(Error::Unavailable("the database is away".into()));
        }
        let _waiting = self.metrics.pool_waiting.enter();
        self.pools().statements.get().map_err(|_| {
            self.metrics.pool_timeouts.add(1);
            Error::Unavailable("no database connection within 3 s".into())
        })
    }

    /// The pools. When a silent server has been left for another one, the pools are replaced; the old connections end with the
    /// old pools, and so do the statements that wait on them.
    fn pools(&self) -> Pools {
        let (moves, mut current) = (self.pulse.moves(), lock(&self.pools));
        if current.moves != moves {
            let new = Pools::new(&self.manager, self.size, self.workers, moves);
            let left = std::mem::replace(&mut *current, new);
            // Closing a connection waits for the answers that are due.
            std::thread::spawn(move || drop(left));
        }
        current.clone()
    }
}

impl Pools {
    fn new(manager: &Manager, size: u32, workers: u32, moves: u64) -> Pools {
        let pipes = (!manager.is_pooled).then(|| new_pool(PipeManager(manager.clone()), workers));
        Pools { statements: new_pool(manager.clone(), size), pipes, moves }
    }
}

fn new_pool<M: ManageConnection<Error = ConnectError>>(manager: M, size: u32) -> r2d2::Pool<M> {
    // The pool's threads end with it. By default they would wait until the next check of idle connections, up to half a minute.
    let threads = ScheduledThreadPool::builder()
        .num_threads(POOL_THREADS)
        .thread_name_pattern("pool-{}")
        .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
        .build();
    r2d2::Pool::builder()
        .thread_pool(Arc::new(threads))
        .max_size(size)
        .min_idle(Some(1))
        .connection_timeout(POOL_WAIT)
        .test_on_check_out(false)
        .max_lifetime(None)
        .error_handler(Box::new(QuietErrors))
        .build_unchecked(manager)
}

/// Several statements that happen together or not at all.
pub struct Transaction<'a> {
    db: &'a Db,
    connection: &'a mut Connection,
    may_repeat: bool,
}

impl Transaction<'_> {
    /// The row, if there is one.
    pub fn query_opt(&mut self, query: &Query, parameters: Parameters) -> Result<Option<Row>> {
        self.query_many(query, parameters).map(|mut rows| rows.pop())
    }

    /// The only row.
    pub fn query_one(&mut self, query: &Query, parameters: Parameters) -> Result<Row> {
        self.query_opt(query, parameters)?.ok_or_else(|| no_row(query))
    }

    /// The rows that answer the question.
    pub fn answer(&mut self, question: &Question) -> Result<Vec<Row>> {
        let parameters = Question::parameters(&[question]);
        self.query_many(&question.query, &parameters.iter().map(|value| &**value).collect::<Vec<_>>())
    }

    /// All rows.
    pub fn query_many(&mut self, query: &Query, parameters: Parameters) -> Result<Vec<Row>> {
        self.connection.run(query, parameters).map_err(|error| {
            self.db.learn(self.connection, &error);
            self.may_repeat |= has_done_nothing(&error);
            translate(query, &error)
        })
    }
}
