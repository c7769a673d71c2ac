//! A connection on which the statements of several requests travel together: all in one write, and then all their results
//! (PostgreSQL's documentation, "Message Flow", "Pipelining"). `postgres` sends one statement at a time, so this uses
//! `tokio-postgres`, on which it is built, driven only by the thread that waits for the results.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{Either, join_all, select};
use postgres::{Row, Statement};
use r2d2::ManageConnection;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, RowStream};

use super::connection::{Manager, SESSION_SETTINGS, SET_LONG_READ_LIMIT};
use super::page;
use super::question::Question;
use crate::database_url::ConnectError;
use crate::memory::{SHORT_BYTES, Share};

/// How long to wait for the results: longer than quick statements ever take. A thread with many requests must not wait longer for
/// one of them.
const PATIENCE: Duration = Duration::from_millis(250);

/// The connection.
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
        let work = pin!(async {
            prepare(client, prepared, questions).await?;
            let (client, prepared) = (&*client, prepared.as_slice());
            let statements = questions.iter().zip(shares).map(|(question, share)| async move {
                let statement = prepared.get(question.query.index).and_then(Option::as_ref);
                match statement {
                    Some(statement) => rows(client.query_raw(statement, question.parameters()).await?, share).await,
                    None => Ok(None),
                }
            });
            Ok::<_, postgres::Error>(join_all(statements).await)
        });
        let result = runtime.block_on(async { tokio::time::timeout(PATIENCE, select(work, connection)).await });
        let (state, answers) = match result {
            // An error ends more than its statement if it is about the connection or what is prepared on it.
            Ok(Either::Left((Ok(answers), _))) if answers.iter().all(Result::is_ok) => (State::Ready, answers),
            Ok(Either::Left((Ok(answers), _))) => (State::Broken, answers),
            Ok(_) => (State::Broken, Vec::new()),
            Err(_) => (State::Late, Vec::new()),
        };
        let mut rows: Vec<_> = answers.into_iter().map(|answer| answer.ok().flatten()).collect();
        self.state = state;
        rows.resize_with(questions.len(), || None);
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

/// Collects the rows as long as there is room for them, for as much again in the buffers, and for the body.
async fn rows(coming: RowStream, mut share: Share) -> Result<Option<(Vec<Row>, Share)>, postgres::Error> {
    let (mut coming, mut rows, mut has_room) = (pin!(coming), page::Rows::default(), true);
    while let Some(row) = coming.try_next().await? {
        rows.add(row);
        has_room = has_room && (rows.bytes() <= SHORT_BYTES || share.grow_to(3 * rows.bytes()));
        if !has_room {
            rows = page::Rows::default();
        }
    }
    Ok(has_room.then(|| (rows.into_vec(), share)))
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
            let settings = format!("{SESSION_SETTINGS}; {SET_LONG_READ_LIMIT}");
            match runtime.block_on(select(pin!(client.batch_execute(&settings)), &mut connection)) {
                Either::Left((set, _)) => set?,
                Either::Right((ended, _)) => ended?,
            }
            Ok(Pipe { runtime, client, connection, prepared: Vec::new(), state: State::Ready })
        })
    }

    fn is_valid(&self, _: &mut Pipe) -> Result<(), ConnectError> {
        Ok(())
    }

    fn has_broken(&self, pipe: &mut Pipe) -> bool {
        pipe.state != State::Ready || pipe.client.is_closed()
    }
}
