//! A page of a list as CSV (RFC 4180), for a client that prefers it to JSON.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::Value;

use super::record::Listed;
use crate::accept::prefers_csv;
use crate::cells::Lines;
use crate::envelope::Response;
use crate::request::Request;

/// A column for each of these fields.
pub struct Table(Vec<&'static str>);

/// The columns of a list, which are gathered only if it is asked for as a table.
pub type Columns<'a> = &'a dyn Fn() -> Vec<&'static str>;

impl Table {
    /// `None` if the client gets JSON.
    pub fn wanted(request: &Request, columns: Columns) -> Option<Table> {
        request.headers.get("accept").is_some_and(prefers_csv).then(|| Table(columns()))
    }

    /// 200 with the header and a line for each record. The lines take about this many bytes.
    pub fn page(&self, records: &[impl Listed], bytes: usize) -> Response {
        let mut body = Vec::with_capacity(512 + bytes);
        let header = self.0.join(",") + "\r\n";
        body.extend_from_slice(header.as_bytes());
        // Memory takes every line, and no record has a map whose keys are not strings.
        self.write(records, &mut body).expect("records that serialize");
        Response::page("text/csv; charset=utf-8; header=present", body)
    }

    /// Writes a line for each record.
    pub fn write(&self, records: &[impl Listed], out: impl Write) -> io::Result<()> {
        let mut lines = Lines::new(out);
        for record in records {
            let record = serde_json::to_value(record)?;
            lines.add(self.0.iter().map(|column| cell(&record[column])))?;
        }
        lines.finish()
    }
}

/// A value as a cell: texts and numbers as they are, an array with blanks between its elements, an object as JSON.
fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.into(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(" ").into(),
        other => other.to_string().into(),
    }
}
