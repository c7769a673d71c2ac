//! A statement with its values, ready to be sent alone or together with those of other requests in one round trip.

use std::sync::Arc;

use bytes::BytesMut;
use postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::error::{Error, Result};
use crate::sql::{Parameters, Query};

/// [`Question::weight`] of a list.
const LIST_WEIGHT: usize = 4;

/// One statement and the values of its parameters, encoded for PostgreSQL. A `batched` statement takes arrays, so that it answers
/// many questions at once; the values here are those of one of them.
pub struct Question {
    pub query: Arc<Query>,
    values: Vec<Encoded>,
}

/// A value encoded for PostgreSQL; `None` is null.
#[derive(Debug)]
struct Encoded(Option<BytesMut>);

impl Question {
    /// # Errors
    /// `Internal` if a value does not fit the declared type of its parameter.
    pub fn new(query: &Arc<Query>, parameters: Parameters) -> Result<Question> {
        let encode = |(value, type_): (&&(dyn ToSql + Sync), &Type)| {
            let type_ = match type_.kind() {
                Kind::Array(element) if query.batched => element,
                _ => type_,
            };
            let mut bytes = BytesMut::new();
            match value.to_sql_checked(type_, &mut bytes) {
                Ok(IsNull::Yes) => Ok(Encoded(None)),
                Ok(IsNull::No) => Ok(Encoded(Some(bytes))),
                Err(error) => Err(Error::Internal(format!("{}: {error}", query.name))),
            }
        };
        let values = parameters.iter().zip(&query.parameters).map(encode).collect::<Result<_>>()?;
        Ok(Question { query: Arc::clone(query), values })
    }

    /// Its share of a round trip: a list returns more than a record.
    pub fn weight(&self) -> usize {
        if self.query.is_long() { LIST_WEIGHT } else { 1 }
    }

    /// The values of `$1, $2, …` for one statement that answers these questions: an array for each parameter if the statement is
    /// `batched`; otherwise there is only one question.
    pub(super) fn parameters<'a>(questions: &[&'a Question]) -> Vec<Box<dyn ToSql + Sync + 'a>> {
        let Some(first) = questions.first() else { return Vec::new() };
        let column = |place: usize| -> Box<dyn ToSql + Sync + 'a> {
            if !first.query.batched {
                return Box::new(&first.values[place]);
            }
            Box::new(questions.iter().map(|question| &question.values[place]).collect::<Vec<_>>())
        };
        (0..first.values.len()).map(column).collect()
    }
}

/// A statement that always has a row had none.
pub fn no_row(query: &Query) -> Error {
    Error::Internal(format!("{} answered without a row", query.name))
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
