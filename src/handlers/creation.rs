//! A creation in two halves: its statement, and the answer that it makes of the new row. The handler returns a [`Creation`] and never calls
//! the database itself. So the server can make the records of several requests in one statement, and with an `Idempotency-Key` the record
//! and the stored answer share a transaction.

use postgres::Row;

use super::idempotency::{key, once};
use super::record::RecordType;
use crate::app::App;
use crate::auth::User;
use crate::db::{Question, no_row};
use crate::envelope::Response;
use crate::error::Result;
use crate::request::Request;

/// A record to be made.
pub struct Creation {
    pub question: Question,
    /// What is made.
    record_type: &'static RecordType,
    answer: fn(&Row) -> Result<Response>,
    /// The `Idempotency-Key`.
    key: Option<String>,
}

impl Creation {
    /// The statement that makes the record, and the answer of its row.
    ///
    /// # Errors
    /// `Invalid` for an ill-formed `Idempotency-Key`.
    pub fn new(
        request: &Request,
        question: Question,
        record_type: &'static RecordType,
        answer: fn(&Row) -> Result<Response>,
    ) -> Result<Creation> {
        let key = key(request)?.map(str::to_string);
        Ok(Creation { question, record_type, answer, key })
    }

    /// Whether it may share a statement with others of its kind. An answer that is to be stored needs a transaction of its own.
    pub fn is_batched(&self) -> bool {
        self.question.query.batched && self.key.is_none()
    }

    /// The second half, once the row is there.
    pub fn answer(&self, row: Option<Row>) -> Result<Response> {
        (self.answer)(&row.ok_or_else(|| no_row(&self.question.query))?)
    }

    /// Makes the record by itself, once for its key.
    pub fn wait(&self, app: &App, request: &Request, user: &User) -> Result<Response> {
        match &self.key {
            Some(key) => once(app, request, user, key, self.record_type.reads_of, |transaction| {
                self.answer(transaction.answer(&self.question)?.pop())
            }),
            None => self.answer(app.db.answer(&self.question)?.pop()),
        }
    }
}
