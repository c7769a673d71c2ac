//! A connection on which the statements of several requests travel together: all in one write, and then all their results
//! (PostgreSQL's documentation, "Message Flow", "Pipelining"). `postgres` sends one statement at a time, so this is what stands
//! beneath it, `tokio-postgres`, driven by the thread that waits for the results and by nobody else.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{Either, join_all, select};
use postgres::{Row, Statement};
use r2d2::ManageConnection;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use super::attempt::Question;
use super::{Manager, SESSION_SETTINGS, page};
use crate::database_url::ConnectError;
use crate::sql::Queries;

/// Longer than quick statements ever take. A thread that has many requests at hand waits no longer for any of them.
const PATIENCE: Duration = Duration::from_millis(250);

/// The connection.
pub struct Pipe {
    runtime: Runtime,
    client: Client,
    /// Reads and writes the socket, whenever something waits for it.
    connection: Pin<Box<dyn Future<Output = Result<(), postgres::Error>> + Send>>,
    prepared: Vec<Option<Statement>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Results are due that nobody waits for any more.
    Late,
    Broken,
}

impl Pipe {
    /// The rows of each question; none where there was an error or no result in time. Such a question is to be asked again,
    /// on a connection of its own.
    pub fn ask(&mut self, sql: &Queries, questions: &[Question]) -> Vec<Option<Vec<Row>>> {
        let Pipe { runtime, client, connection, prepared, .. } = self;
        let work = pin!(async {
            prepare(client, prepared, sql, questions).await?;
            let statements = questions.iter().map(|question| async {
                let statement = prepared.get(question.index)?.as_ref()?;
                let mut coming = pin!(client.query_raw(statement, question.parameters()).await.ok()?);
                let mut rows = page::Rows::default();
                while let Some(row) = coming.try_next().await.ok()? {
                    rows.add(row);
                }
                Some(rows.into_vec())
            });
            Ok::<_, postgres::Error>(join_all(statements).await)
        });
        let result = runtime.block_on(async { tokio::time::timeout(PATIENCE, select(work, connection)).await });
        let (state, mut rows) = match result {
            // An error ends more than its statement if it is about the connection or what is prepared on it.
            Ok(Either::Left((Ok(rows), _))) if rows.iter().all(Option::is_some) => (State::Ready, rows),
            Ok(Either::Left((Ok(rows), _))) => (State::Broken, rows),
            Ok(_) => (State::Broken, Vec::new()),
            Err(_) => (State::Late, Vec::new()),
        };
        self.state = state;
        rows.resize_with(questions.len(), || None);
        rows
    }

    /// Whether results are due that nobody waits for: then [`Pipe::settle`].
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

/// Prepares what the questions need and this connection has not met before.
async fn prepare(
    client: &Client,
    prepared: &mut Vec<Option<Statement>>,
    sql: &Queries,
    questions: &[Question],
) -> Result<(), postgres::Error> {
    for question in questions {
        if prepared.len() <= question.index {
            prepared.resize_with(question.index + 1, || None);
        }
        if prepared[question.index].is_none() {
            let query = sql.all()[question.index];
            prepared[question.index] = Some(client.prepare_typed(&query.text, &query.parameters).await?);
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
            match runtime.block_on(select(pin!(client.batch_execute(SESSION_SETTINGS)), &mut connection)) {
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
