//! A page of rows, which ends early if the rows are long.

use postgres::Row;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;

use crate::sql::{Parameters, Query};

/// How many bytes a page holds at most.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many rows PostgreSQL sends at a time. A page with no more rows takes one round trip.
pub const STEP_ROWS: i32 = 101;

/// Collects rows as they arrive. The row that exceeds [`PAGE_BYTES`] is the last one kept: it shows that there are more.
#[derive(Default)]
pub struct Rows {
    rows: Vec<Row>,
    bytes: usize,
}

impl Rows {
    /// Keeps the row, unless the page is full.
    pub fn add(&mut self, row: Row) {
        if !self.is_full() {
            self.bytes += row.raw_size_bytes();
            self.rows.push(row);
        }
    }

    /// Whether no more rows are kept.
    pub fn is_full(&self) -> bool {
        self.bytes > PAGE_BYTES
    }

    /// The size of the rows that were kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows that were kept.
    pub fn into_vec(self) -> Vec<Row> {
        self.rows
    }

    /// Adds the arriving rows and returns how many there were.
    pub(super) fn add_all(
        &mut self,
        mut rows: impl FallibleIterator<Item = Row, Error = postgres::Error>,
    ) -> Result<i32, postgres::Error> {
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            self.add(row);
        }
        Ok(count)
    }
}

/// How many rows the statement returns at most, if it has a parameter `page_size`.
pub(super) fn rows_wanted(query: &Query, parameters: Parameters) -> Option<i64> {
    let (mut bytes, place) = (bytes::BytesMut::new(), query.page_size?);
    parameters.get(place)?.to_sql_checked(query.parameters.get(place)?, &mut bytes).ok()?;
    // An array of one ends with its element.
    Some(i64::from_be_bytes(*bytes.last_chunk()?))
}

/// The rows of a long page, fetched step by step until it is full, so that PostgreSQL does not produce the rest.
pub(super) fn in_steps(
    mut transaction: postgres::Transaction,
    statement: &postgres::Statement,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Rows, postgres::Error> {
    let portal = transaction.bind(statement, parameters)?;
    let mut rows = Rows::default();
    while rows.add_all(transaction.query_portal_raw(&portal, STEP_ROWS)?)? == STEP_ROWS && !rows.is_full() {}
    drop(portal);
    transaction.commit()?;
    Ok(rows)
}
