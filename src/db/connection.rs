//! One connection: how it is opened, its time limits, and the ways in which a statement is sent.

use std::time::Duration;

use postgres::{Client, Row, Statement};
use r2d2::ManageConnection;

use super::page::{self, STEP_ROWS};
use crate::clock::now_ms;
use crate::database_url::{ConnectError, DatabaseUrl};
use crate::sql::{Parameters, Query};

/// How long a request waits for a connection.
pub(super) const POOL_WAIT: Duration = Duration::from_secs(3);
/// What every connection sets: the time limits of a statement and of waiting for a lock, and times in UTC.
pub(super) const SESSION_SETTINGS: &str = "set statement_timeout = '10s'; set lock_timeout = '4s'; set timezone = 'UTC'; \
                                set idle_in_transaction_session_timeout = '15s'";
/// Behind a pooler, a setting would stay on the server connection that happened to be used. Poolers track the time zone; the
/// others belong to the role (`deploy/grants.sql`).
const POOLED_SETTINGS: &str = "set timezone = 'UTC'";
/// The time limit of a statement.
const SET_LIMIT: &str = "set statement_timeout = '10s'";
/// The time limit of a long read ([`Query::is_long`]), which must not keep others waiting.
pub(super) const SET_LONG_READ_LIMIT: &str = "set statement_timeout = '2s'";
/// The same behind a pooler.
const BEGIN_LONG_READ: &str = "begin; set local statement_timeout = '2s'";

/// A connection and the statements that it has prepared so far.
pub struct Connection {
    pub client: Client,
    pub prepared: Vec<Option<Statement>>,
    /// How many changes of tables had been noticed when the first of them was prepared.
    pub table_changes: u64,
    pub last_used_ms: u64,
    /// See [`Db::new`](super::Db::new).
    pub is_pooled: bool,
    /// It leads to a server that accepts no changes.
    pub is_read_only: bool,
    /// Its time limit is that of a long read.
    pub is_for_long_reads: bool,
    /// A transaction began on it and was not seen to end, for example because of a panic. No other request may continue in it.
    pub in_transaction: bool,
}

impl Connection {
    /// Forgets the statements that were prepared before this change of a table.
    pub fn forget_before(&mut self, table_changes: u64) {
        if self.table_changes != table_changes {
            self.prepared.clear();
            self.table_changes = table_changes;
        }
    }

    pub fn run(&mut self, query: &Query, parameters: Parameters) -> std::result::Result<Vec<Row>, postgres::Error> {
        if self.in_transaction {
            return self.send(query, parameters);
        }
        if !self.is_pooled {
            self.limit(query.is_long())?;
        }
        if !self.is_pooled || !query.is_long() {
            return self.send(query, parameters);
        }
        self.client.batch_execute(BEGIN_LONG_READ)?;
        self.in_transaction = true;
        let rows = self.send(query, parameters);
        let ended = self.client.batch_execute(if rows.is_ok() { "commit" } else { "rollback" });
        self.in_transaction = ended.is_err();
        rows.and_then(|rows| ended.map(|()| rows))
    }

    /// Sets the time limit of the following statements, unless it is set already. (Behind a pooler, nothing is set.)
    pub fn limit(&mut self, is_for_long_reads: bool) -> std::result::Result<(), postgres::Error> {
        if self.is_for_long_reads != is_for_long_reads {
            self.client.batch_execute(if is_for_long_reads { SET_LONG_READ_LIMIT } else { SET_LIMIT })?;
            self.is_for_long_reads = is_for_long_reads;
        }
        Ok(())
    }

    fn send(&mut self, query: &Query, parameters: Parameters) -> std::result::Result<Vec<Row>, postgres::Error> {
        let mut rows = page::Rows::default();
        let is_long = page::rows_wanted(query, parameters).is_some_and(|wanted| wanted > STEP_ROWS.into());
        if is_long && !self.is_pooled {
            // An unnamed statement is planned for these values.
            let statement = match query.planned {
                true => self.client.prepare_typed(&query.text, &query.parameters)?,
                false => self.prepared(query)?,
            };
            rows = page::in_steps(self.client.transaction()?, &statement, parameters)?;
        } else if query.planned || self.is_pooled {
            let typed = parameters.iter().copied().zip(query.parameters.iter().cloned());
            rows.add_all(self.client.query_typed_raw(&query.text, typed)?)?;
        } else {
            let statement = self.prepared(query)?;
            rows.add_all(self.client.query_raw(&statement, parameters.iter().copied())?)?;
        }
        Ok(rows.into_vec())
    }

    /// The statement, which is prepared once.
    fn prepared(&mut self, query: &Query) -> std::result::Result<Statement, postgres::Error> {
        if self.prepared.len() <= query.index {
            self.prepared.resize_with(query.index + 1, || None);
        }
        let place = &mut self.prepared[query.index];
        Ok(match place {
            Some(statement) => statement.clone(),
            None => place.insert(self.client.prepare_typed(&query.text, &query.parameters)?).clone(),
        })
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
pub(super) struct Manager {
    pub url: DatabaseUrl,
    pub is_pooled: bool,
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = ConnectError;

    fn connect(&self) -> std::result::Result<Connection, ConnectError> {
        let mut client = self.url.connect()?;
        client.batch_execute(if self.is_pooled { POOLED_SETTINGS } else { SESSION_SETTINGS })?;
        Ok(Connection {
            client,
            prepared: Vec::new(),
            table_changes: 0,
            last_used_ms: now_ms(),
            is_pooled: self.is_pooled,
            is_read_only: false,
            is_for_long_reads: false,
            in_transaction: false,
        })
    }

    fn is_valid(&self, connection: &mut Connection) -> std::result::Result<(), ConnectError> {
        Ok(connection.client.is_valid(POOL_WAIT)?)
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.client.is_closed() || connection.is_read_only || connection.in_transaction
    }
}
