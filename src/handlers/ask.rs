//! A read in two halves: its question for the database, and the answer that it makes of the rows. The handler of a read returns
//! an [`Ask`] and never calls the database itself. So the server can send the questions of several requests in one round trip,
//! and no handler can wait by accident.

use postgres::Row;

use crate::app::App;
use crate::config::Config;
use crate::cursors::Cursors;
use crate::db::{Db, Question};
use crate::envelope::Response;
use crate::error::{Emergency, Error, Result};
use crate::request::Request;
use crate::sql::Queries;

/// What both halves of a read can use.
pub struct Read<'a> {
    pub request: &'a Request,
    pub sql: &'a Queries,
    /// Seals and opens the cursors of sorted lists.
    pub cursors: &'a Cursors,
    pub config: &'a Config,
    /// Names this installation in the identifiers of FHIR.
    pub installation: &'a str,
}

impl Read<'_> {
    /// The same for this request.
    pub fn new<'a>(app: &'a App, request: &'a Request) -> Read<'a> {
        let App { sql, cursors, config, installation, .. } = app;
        Read { request, sql, cursors, config, installation }
    }
}

/// What the rows of a question lead to: the answer, or another question.
pub enum Next {
    Answer(Response),
    Ask(Ask),
}

/// Makes the answer from the rows, and from the total if that was asked for.
type Answer = Box<dyn FnOnce(&Read, Vec<Row>, Option<i64>) -> Result<Next> + Send>;

/// A question, a second one for the total if that is wanted, and what to do with their rows.
pub struct Ask {
    question: Question,
    count: Option<Question>,
    answer: Answer,
}

impl Ask {
    /// A question that finds one row or none.
    pub fn one(
        question: Question,
        answer: impl FnOnce(&Read, Option<Row>) -> Result<Response> + Send + 'static,
    ) -> Ask {
        Ask::many(question, |read, mut rows| answer(read, rows.pop()))
    }

    /// A question that finds any number of rows.
    pub fn many(question: Question, answer: impl FnOnce(&Read, Vec<Row>) -> Result<Response> + Send + 'static) -> Ask {
        Ask::page(question, None, |read, rows, _| answer(read, rows))
    }

    /// A question for one page, and one for the number of records on all pages if that is wanted.
    pub fn page(
        question: Question,
        count: Option<Question>,
        answer: impl FnOnce(&Read, Vec<Row>, Option<i64>) -> Result<Response> + Send + 'static,
    ) -> Ask {
        let answer = |read: &Read, rows, total| answer(read, rows, total).map(Next::Answer);
        Ask { question, count, answer: Box::new(answer) }
    }

    /// A question that finds rows, and what to ask if it finds none: what few requests need to know costs the others nothing. The answer is
    /// made of the first row and of all of them.
    pub fn some_or(
        question: Question,
        next: impl FnOnce(&Read) -> Result<Ask> + Send + 'static,
        answer: impl FnOnce(&Read, &Row, &[Row]) -> Result<Response> + Send + 'static,
    ) -> Ask {
        let answer = |read: &Read, rows: Vec<Row>, _| match rows.first() {
            Some(first) => answer(read, first, &rows).map(Next::Answer),
            None => next(read).map(Next::Ask),
        };
        Ask { question, count: None, answer: Box::new(answer) }
    }

    /// The question, if it is the only one and may share a round trip with those of other requests.
    pub fn batched(&self) -> Option<&Question> {
        Some(&self.question).filter(|question| question.query.batched && self.count.is_none())
    }

    /// Whether it may take long and return many rows ([`crate::sql::Query::is_long`]).
    pub fn is_long(&self) -> bool {
        self.question.query.is_long() || self.count.is_some()
    }

    /// The second half, once the rows of [`Ask::batched`] are there.
    pub fn answer(self, read: &Read, rows: Vec<Row>) -> Result<Next> {
        self.make(read, rows, None)
    }

    /// Asks by itself, waits for the rows and makes the answer.
    pub fn wait(self, db: &Db, read: &Read) -> Result<Response> {
        let rows = db.answer(&self.question)?;
        let total = match &self.count {
            None => None,
            Some(count) => {
                let row = db.answer(count)?.pop();
                Some(row.ok_or_else(|| Error::Internal("a count answered without a row".into()))?.get("total"))
            }
        };
        match self.make(read, rows, total)? {
            Next::Answer(response) => Ok(response),
            Next::Ask(next) => next.wait(db, read),
        }
    }

    /// Whatever the answer is, it says if the patient is seen by emergency access.
    fn make(self, read: &Read, rows: Vec<Row>, total: Option<i64>) -> Result<Next> {
        let emergency = rows.first().filter(|_| self.question.query.tells_emergency).and_then(Emergency::of);
        match (self.answer)(read, rows, total) {
            Ok(Next::Answer(response)) => Ok(Next::Answer(response.under(emergency))),
            Ok(next) => Ok(next),
            Err(error) => Err(error.under(emergency)),
        }
    }
}
