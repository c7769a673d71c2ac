//! A connection on which the questions of several requests travel together. Questions of the same statement become one statement
//! with arrays; different statements go in one write, and then all their results come (PostgreSQL's documentation, "Message
//! Flow", "Pipelining"). `postgres` sends one statement at a time, so this uses
//! `tokio-postgres`, on which it is built, driven only by the thread that waits for the results.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{Either, join_all, select};
use postgres::{Row, Statement};
use r2d2::ManageConnection;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use super::connection::{Manager, SESSION_SETTINGS, SET_LONG_READ_LIMIT};
use super::page;
use super::question::Question;
use crate::database_url::{ConnectError, TIMELINE, has_timeline, timeline};
use crate::memory::{SHORT_BYTES, Share};

/// How long to wait for the results: longer than quick statements ever take. A thread with many requests must not wait longer for
/// one of them.
const PATIENCE: Duration = Duration::from_millis(250);
/// Every statement here finds a few rows by an index, whatever its values are, so PostgreSQL need not plan it again for them. Left to
/// itself, it would read all rows of a small table and join them by their hashes.
pub const PLAN_BY_INDEX: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off; \
                             set enable_mergejoin = off";

pub struct Pipe {
    runtime: Runtime,
    client: Client,
    /// Reads and writes the socket while something waits for results.
    connection: Pin<Box<dyn Future<Output = Result<(), postgres::Error>> + Send>>,
    prepared: Vec<Option<Statement>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Whether results are due that no thread waits for any more.
    Late,
    Broken,
}

impl Pipe {
    /// The rows of each question, and the share that counts them; `None` if there was an error, no result in time, or no room.
    /// Such a question is then asked again on its own connection.
    pub fn ask(&mut self, questions: &[&Question], shares: Vec<Share>) -> Vec<Option<(Vec<Row>, Share)>> {
        let Pipe { runtime, client, connection, prepared, .. } = self;
        let groups = Group::of(questions, shares);
        let work = pin!(async {
            prepare(client, prepared, questions).await?;
            let (client, prepared) = (&*client, prepared.as_slice());
            Ok::<_, postgres::Error>(join_all(groups.into_iter().map(|group| group.ask(client, prepared))).await)
        });
        let result = runtime.block_on(async { tokio::time::timeout(PATIENCE, select(work, connection)).await });
        let (state, answers) = match result {
            // An error ends more than its statement if it is about the connection or what is prepared on it: after a migration, a
            // new pipe prepares the statements for the new columns.
            Ok(Either::Left((Ok(answers), _))) if answers.iter().all(Result::is_ok) => (State::Ready, answers),
            Ok(Either::Left((Ok(answers), _))) => (State::Broken, answers),
            Ok(_) => (State::Broken, Vec::new()),
            Err(_) => (State::Late, Vec::new()),
        };
        self.state = state;
        let mut rows: Vec<_> = questions.iter().map(|_| None).collect();
        for found in answers.into_iter().flatten().flatten() {
            rows[found.place] = found.has_room.then(|| (found.rows.into_vec(), found.share));
        }
        rows
    }

    /// Whether results are due that no thread waits for. If so, call [`Pipe::settle`].
    pub fn is_late(&self) -> bool {
        self.state == State::Late
    }

    /// Waits until the results that are due have come, however long that takes.
    pub fn settle(&mut self) {
        let Pipe { runtime, client, connection, .. } = self;
        let last = pin!(client.simple_query(""));
        let settled = runtime.block_on(select(last, connection));
        self.state = if matches!(settled, Either::Left((Ok(_), _))) { State::Ready } else { State::Broken };
    }
}

/// Questions that one statement answers.
struct Group<'a> {
    questions: Vec<&'a Question>,
    found: Vec<Found>,
}

/// The rows that were found for a question.
struct Found {
    /// The question's place in the round trip.
    place: usize,
    rows: page::Rows,
    share: Share,
    has_room: bool,
}

impl<'a> Group<'a> {
    /// The questions, by their statements.
    fn of(questions: &[&'a Question], shares: Vec<Share>) -> Vec<Group<'a>> {
        let mut groups: Vec<Group> = Vec::new();
        for (place, (question, share)) in questions.iter().copied().zip(shares).enumerate() {
            let found = Found { place, rows: page::Rows::default(), share, has_room: true };
            match groups.iter_mut().find(|group| group.questions[0].query.index == question.query.index) {
                Some(group) => {
                    group.questions.push(question);
                    group.found.push(found);
                }
                None => groups.push(Group { questions: vec![question], found: vec![found] }),
            }
        }
        groups
    }

    /// Sends the statement. The first column of each row is the number of its question, from 1.
    async fn ask(mut self, client: &Client, prepared: &[Option<Statement>]) -> Result<Vec<Found>, postgres::Error> {
        let statement = prepared.get(self.questions[0].query.index).and_then(Option::as_ref);
        let Some(statement) = statement else { return Ok(Vec::new()) };
        let mut coming = pin!(client.query_raw(statement, Question::parameters(&self.questions)).await?);
        while let Some(row) = coming.try_next().await? {
            let number: i64 = row.try_get(0)?;
            if let Some(found) = usize::try_from(number - 1).ok().and_then(|place| self.found.get_mut(place)) {
                found.add(row);
            }
        }
        Ok(self.found)
    }
}

impl Found {
    /// Keeps the row as long as there is room for all rows, for as much again in the buffers, and for the body.
    fn add(&mut self, row: Row) {
        self.rows.add(row);
        let bytes = self.rows.bytes();
        self.has_room = self.has_room && (bytes <= SHORT_BYTES || self.share.grow_to(3 * bytes));
        if !self.has_room {
            self.rows = page::Rows::default();
        }
    }
}

/// Prepares the statements that the questions need and that this connection has not prepared yet.
async fn prepare(
    client: &Client,
    prepared: &mut Vec<Option<Statement>>,
    questions: &[&Question],
) -> Result<(), postgres::Error> {
    for query in questions.iter().map(|question| &question.query) {
        if prepared.len() <= query.index {
            prepared.resize_with(query.index + 1, || None);
        }
        if prepared[query.index].is_none() {
            prepared[query.index] = Some(client.prepare_typed(&query.text, &query.parameters).await?);
        }
    }
    Ok(())
}

/// Opens pipes for their pool.
pub(super) struct PipeManager(pub Manager);

impl ManageConnection for PipeManager {
    type Connection = Pipe;
    type Error = ConnectError;

    fn connect(&self) -> Result<Pipe, ConnectError> {
        self.0.url.open(|config, tls| {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(ConnectError::from_io)?;
            let (client, connection) = runtime.block_on(config.connect(tls))?;
            let mut connection: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(connection);
            let settings = format!("{SESSION_SETTINGS}; {SET_LONG_READ_LIMIT}; {PLAN_BY_INDEX}");
            let begun = async {
                client.batch_execute(&settings).await?;
                Ok::<_, postgres::Error>(match has_timeline(config) {
                    true => timeline(client.simple_query(TIMELINE).await),
                    false => None,
                })
            };
            let timeline = match runtime.block_on(select(pin!(begun), &mut connection)) {
                Either::Left((timeline, _)) => timeline?,
                Either::Right((ended, _)) => ended.map(|()| None)?,
            };
            Ok((Pipe { runtime, client, connection, prepared: Vec::new(), state: State::Ready }, timeline))
        })
    }

    fn is_valid(&self, _: &mut Pipe) -> Result<(), ConnectError> {
        Ok(())
    }

    fn has_broken(&self, pipe: &mut Pipe) -> bool {
        pipe.state != State::Ready || pipe.client.is_closed()
    }
}
