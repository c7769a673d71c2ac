//! One statement: what its file says of it.

use postgres::types::{ToSql, Type};
use postgres::{GenericClient, Row};

/// The values of `$1, $2, …`.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How many rows a statement answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// Any number.
    Many,
    /// None.
    None,
}

/// One statement of one file.
#[derive(Debug)]
pub struct Query {
    /// Its index among all queries; a connection keeps its prepared statement there.
    pub index: usize,
    /// `file.name`, for messages and log lines.
    pub name: String,
    /// The text that PostgreSQL gets.
    pub text: String,
    /// The types of `$1, $2, …`.
    pub parameters: Vec<Type>,
    /// How many rows it answers with.
    pub rows: Rows,
    /// The index of the parameter `page_size`, which says how many rows it brings at most.
    pub page_size: Option<usize>,
    /// It changes or locks something. Any other statement may be repeated on another connection.
    pub writes: bool,
    /// Planned for its values at each call instead of once.
    pub planned: bool,
    /// It answers the questions of several requests.
    pub batched: bool,
    /// It is limited to some owners: see `Owned`.
    pub is_owned: bool,
    /// It asks what is granted, and its column `emergency` says whether that is emergency access.
    pub tells_emergency: bool,
    /// The constraints that a client can run into, each with what the client is told.
    pub conflicts: Vec<(String, String)>,
}

impl Query {
    /// Whether it may take long and return many rows: a page, or a read that is planned for its values.
    pub fn is_long(&self) -> bool {
        self.page_size.is_some() || self.planned
    }

    /// What a client is told if this constraint refuses the change; `None` if no client can run into it.
    pub fn conflict(&self, constraint: &str) -> Option<&str> {
        self.conflicts.iter().find(|(name, _)| name == constraint).map(|(_, message)| message.as_str())
    }

    /// Runs the statement on a connection that is not one of the pool's: that of a command, or the first one of a start. It is not prepared
    /// by name, because a pooler may run each statement on another connection.
    pub fn run(&self, client: &mut impl GenericClient, parameters: Parameters) -> Result<Vec<Row>, postgres::Error> {
        let typed: Vec<_> = parameters.iter().copied().zip(self.parameters.iter().cloned()).collect();
        client.query_typed(&self.text, &typed)
    }
}
