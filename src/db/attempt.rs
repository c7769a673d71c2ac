//! Running a handler without waiting for the database.
//!
//! A handler is a plain function that asks and waits. A worker that has several requests at hand must not wait for each in turn:
//! it runs each handler until that asks for a statement, which is noted instead of sent, and the handler leaves by its `?` with
//! [`Error::Later`]. When the results of all are there, which is one round trip, each handler is run once more from its beginning
//! and finds its rows where it asks. So the handler of a read does nothing lasting before its statement.
//!
//! Only `batched` statements are noted, one for a request. Whatever else a handler asks for makes it leave as well, and the
//! server runs it on a thread that waits.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;
use postgres::Row;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::Parameters;
use crate::error::{Error, Result};
use crate::sql::Query;

/// The weight of a list.
const LIST_WEIGHT: usize = 4;

/// A statement that a handler asked for, and the values that it gave.
pub struct Question {
    /// [`Query::index`].
    pub index: usize,
    /// [`Query::is_long`].
    pub is_long: bool,
    values: Vec<Encoded>,
}

/// A value as PostgreSQL takes it; none for null.
#[derive(Debug)]
struct Encoded(Option<BytesMut>);

/// What a handler that is run here may have, and what it asks for.
#[derive(Default)]
pub struct Attempt {
    answer: Option<(usize, Vec<Row>)>,
    wants: Wants,
}

/// What a handler that is run here waits for.
#[derive(Default)]
pub enum Wants {
    /// Nothing that can be asked for here.
    #[default]
    Time,
    /// A statement that may take long and bring much.
    LongRead,
    /// The rows of this question.
    Rows(Question),
}

thread_local! {
    /// Whether this thread may wait for the database, but not begin a long read.
    static IS_SHORT: Cell<bool> = const { Cell::new(false) };
    /// The attempt that is under way on this thread.
    static CURRENT: RefCell<Option<Attempt>> = const { RefCell::new(None) };
}

impl Attempt {
    /// An attempt that knows the rows of the question.
    pub fn knowing(question: &Question, rows: Vec<Row>) -> Attempt {
        Attempt { answer: Some((question.index, rows)), wants: Wants::Time }
    }

    /// Runs `work`, which must not panic, on this thread; inside, nothing waits for the database. Where it ends with
    /// [`Error::Later`], it wants something; other than rows, that is for a thread that waits.
    pub fn run<T>(self, work: impl FnOnce() -> T) -> (T, Wants) {
        CURRENT.replace(Some(self));
        let result = work();
        (result, CURRENT.take().map_or(Wants::Time, |attempt| attempt.wants))
    }
}

/// Runs `work`, which must not panic, on a thread that may wait for the database, but has no share for a long read: where it asks
/// for one, it ends with [`Error::Later`].
pub fn without_long_reads<T>(work: impl FnOnce() -> T) -> T {
    IS_SHORT.set(true);
    let result = work();
    IS_SHORT.set(false);
    result
}

/// Whether this thread may wait for the database now.
///
/// # Errors
/// `Later` during an attempt.
pub fn may_wait() -> Result<()> {
    CURRENT.with_borrow(|current| if current.is_some() { Err(Error::Later) } else { Ok(()) })
}

/// During an attempt: the rows if they are known, else the question is noted. None where the statement must be sent now.
pub(super) fn ask(query: &Query, parameters: Parameters) -> Option<Result<Vec<Row>>> {
    if query.is_long() && IS_SHORT.get() {
        return Some(Err(Error::Later));
    }
    CURRENT.with_borrow_mut(|current| {
        let attempt = current.as_mut()?;
        if !query.batched {
            attempt.wants = if query.is_long() { Wants::LongRead } else { Wants::Time };
            return None;
        }
        if let Some((_, rows)) = attempt.answer.take_if(|(index, _)| *index == query.index) {
            return Some(Ok(rows));
        }
        attempt.wants = Question::new(query, parameters).map_or(Wants::Time, Wants::Rows);
        Some(Err(Error::Later))
    })
}

impl Question {
    /// None where a value does not fit its parameter: sent by itself, the statement will say so.
    fn new(query: &Query, parameters: Parameters) -> Option<Question> {
        let encode = |(value, type_): (&&(dyn ToSql + Sync), &Type)| {
            let mut bytes = BytesMut::new();
            match value.to_sql_checked(type_, &mut bytes).ok()? {
                IsNull::Yes => Some(Encoded(None)),
                IsNull::No => Some(Encoded(Some(bytes))),
            }
        };
        let values = parameters.iter().zip(&query.parameters).map(encode).collect::<Option<_>>()?;
        Some(Question { index: query.index, is_long: query.is_long(), values })
    }

    /// What it brings, as a share of a round trip: a list more than a record.
    pub fn weight(&self) -> usize {
        if self.is_long { LIST_WEIGHT } else { 1 }
    }

    /// The values of `$1, $2, …`.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value as _).collect()
    }
}

impl ToSql for Encoded {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
