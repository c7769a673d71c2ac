//! Changes of different requests that share a statement and its commit.
//!
//! A few threads at a time have a turn to make changes; meanwhile the next ones gather. A thread that comes with a change while a
//! turn is free makes all changes of its kind that have gathered, in one statement. Each of the others waits for its own row,
//! which it gets after the commit. A thread that is done passes its turn to the first that waits.
//!
//! The changes must take no locks that two batches could take in different orders: a statement says `write batched` only if it
//! locks nothing but what may be shared, and waits for no unique value.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use postgres::Row;

use super::question::{Question, no_row};
use crate::error::{Error, Result};
use crate::lock::lock;

/// How many statements are made at a time.
const MAKERS: usize = 2;
/// At most how many changes share a statement.
const BATCH: usize = 32;
/// How long a turn counts. A thread that hangs in a frozen database loses its turn, so that others need not wait for it.
const TURN: Duration = Duration::from_secs(1);

/// The changes that wait, and the turns of the threads that make some.
#[derive(Default)]
pub struct Together {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// The number and the beginning of each turn.
    turns: Vec<(u64, Instant)>,
    last_turn: u64,
}

/// Why a statement has no rows.
pub(super) struct Failure {
    /// What it means for the client.
    pub error: Error,
    /// Whether PostgreSQL refused the statement, so that nothing has changed.
    pub changed_nothing: bool,
}

/// Sends one statement for all these changes, and returns its rows after the commit.
type Send<'a> = &'a dyn Fn(&[&Question]) -> std::result::Result<Vec<Row>, Failure>;

/// A change, and where the thread that waits for it listens.
struct Waiting {
    question: Question,
    thread: Sender<Notice>,
    has_turn: bool,
}

/// What a thread that waits is told.
enum Notice {
    /// Its change is made, or has failed.
    Made(Result<Row>),
    /// Nothing was changed, because one change of the batch was refused. Each must be made alone.
    Alone(Question),
    /// The turn with this number is the thread's: it makes what has gathered.
    Turn(u64),
}

impl Together {
    /// Makes the change, with others of its kind if there are any, and returns its row after the commit.
    ///
    /// # Errors
    /// Those of the statement; what is wrong with one change of a batch is no other's loss.
    pub fn change(&self, question: Question, send: Send) -> Result<Row> {
        let (thread, notices) = channel();
        lock(&self.state).waiting.push_back(Waiting { question, thread, has_turn: false });
        self.make_if_possible(send);
        self.wait(send, &notices)
    }

    /// Makes changes if a turn is free.
    fn make_if_possible(&self, send: Send) {
        let number = lock(&self.state).begin_turn();
        if let Some(number) = number {
            self.make(Turn { together: self, number }, send);
        }
    }

    fn wait(&self, send: Send, notices: &Receiver<Notice>) -> Result<Row> {
        loop {
            match notices.recv_timeout(TURN) {
                Ok(Notice::Made(row)) => return row,
                Ok(Notice::Turn(number)) => self.make(Turn { together: self, number }, send),
                Ok(Notice::Alone(question)) => {
                    let mut rows = send(&[&question]).map_err(|failure| failure.error)?;
                    return rows.pop().ok_or_else(|| no_row(&question.query));
                }
                Err(RecvTimeoutError::Timeout) => self.make_if_possible(send),
                // It panicked. Only the client can find out whether the change was made.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Unavailable("the thread that made the change has ended".into()));
                }
            }
        }
    }

    /// Makes the changes that have gathered, of one kind, and passes the turn on.
    fn make(&self, turn: Turn, send: Send) {
        let batch = self.next_batch();
        let questions: Vec<&Question> = batch.iter().map(|waiting| &waiting.question).collect();
        let Some(query) = questions.first().map(|question| &question.query) else { return };
        match send(&questions) {
            Ok(rows) => {
                let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
                for (number, waiting) in (1_i64..).zip(&batch) {
                    let of_change =
                        |row: &&mut Option<Row>| row.as_ref().is_some_and(|row| row.get::<_, i64>(0) == number);
                    let row = rows.iter_mut().find(of_change).and_then(Option::take);
                    // Nobody listens any more if the thread has been replaced.
                    let _ = waiting.thread.send(Notice::Made(row.ok_or_else(|| no_row(query))));
                }
            }
            Err(failure) if batch.len() > 1 && failure.changed_nothing => {
                for waiting in batch {
                    let _ = waiting.thread.send(Notice::Alone(waiting.question));
                }
            }
            Err(failure) => {
                for waiting in &batch[1..] {
                    let error = Error::Unavailable(failure.error.cause().into_owned());
                    let _ = waiting.thread.send(Notice::Made(Err(error)));
                }
                let _ = batch[0].thread.send(Notice::Made(Err(failure.error)));
            }
        }
        drop(turn);
    }

    /// The first change that waits, and others of its kind.
    fn next_batch(&self) -> Vec<Waiting> {
        let mut state = lock(&self.state);
        let Some(kind) = state.waiting.front().map(|first| first.question.query.index) else { return Vec::new() };
        let (mut batch, mut others) = (Vec::new(), VecDeque::new());
        for waiting in state.waiting.drain(..) {
            match batch.len() < BATCH && waiting.question.query.index == kind {
                true => batch.push(waiting),
                false => others.push_back(waiting),
            }
        }
        state.waiting = others;
        batch
    }
}

impl State {
    /// The number of a new turn, if one is free.
    fn begin_turn(&mut self) -> Option<u64> {
        self.turns.retain(|(_, began)| began.elapsed() < TURN);
        if self.turns.len() >= MAKERS {
            return None;
        }
        self.last_turn += 1;
        self.turns.push((self.last_turn, Instant::now()));
        Some(self.last_turn)
    }
}

/// The turn of a thread. Its end, even by a panic, passes it to the first thread that waits.
struct Turn<'a> {
    together: &'a Together,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.together.state);
        state.turns.retain(|(number, _)| *number != self.number);
        if state.waiting.is_empty() {
            return;
        }
        let Some(number) = state.begin_turn() else { return };
        let mut waiting = state.waiting.iter_mut().filter(|waiting| !waiting.has_turn);
        match waiting.find(|waiting| waiting.thread.send(Notice::Turn(number)).is_ok()) {
            Some(heir) => heir.has_turn = true,
            None => state.turns.retain(|(present, _)| *present != number),
        }
    }
}
