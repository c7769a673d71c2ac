//! `export`: every field of every record, or of one user's, as one snapshot.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use postgres::{IsolationLevel, Row, Transaction};

use super::progress::Progress;
use super::{Sheet, is_stream, owner_id};
use crate::cells::Lines;
use crate::commands;
use crate::config::Config;
use crate::database::Database;
use crate::error::explain;
use crate::handlers::record::Value;
use crate::new_file::{self, NewFile};
use crate::records::Field;
use crate::sql::{Queries, Query};

/// How many rows are read at a time. Each can be 100 KB long.
const PAGE_ROWS: i64 = 100;

/// Writes a new file that only its owner can read, or standard output. When `stopping` is set, no file is left.
pub fn export(
    config: &Config,
    database: &Database,
    sheet: &Sheet,
    owner: Option<&str>,
    file: &Path,
    stopping: &AtomicBool,
) -> Result<String, String> {
    let new = if is_stream(file) { None } else { Some(NewFile::create(file)?) };
    commands::migrate(config, database)?;
    let queries = Queries::load(config.sql_dir.as_deref())?;
    let mut client = database.connect()?;
    let owner_id = owner.map(|email| owner_id(&mut client, &queries, email)).transpose()?;
    // Recorded first: what has left the house cannot be called back.
    if config.audit_reads {
        commands::one_row(&mut client, &queries.audit.export, &[&sheet.resource.word()])?;
    }
    let start = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start();
    let mut source = Source {
        transaction: start.map_err(|error| explain(&error))?,
        query: (sheet.export)(&queries),
        owner_id,
        stopping,
    };
    // The reader of a stream may take its time.
    let patient = source.transaction.batch_execute("set local idle_in_transaction_session_timeout = 0");
    patient.map_err(|error| explain(&error))?;
    let count = match new {
        Some(new) => {
            let count = source.write(sheet, BufWriter::new(&new.file), &|error| new_file::unwritable(file, error))?;
            new.keep()?;
            count
        }
        None => {
            source.write(sheet, BufWriter::new(io::stdout().lock()), &|error| format!("standard output: {error}"))?
        }
    };
    Ok(format!("exported {count} {}", sheet.word))
}

/// Where the rows come from.
struct Source<'a> {
    transaction: Transaction<'a>,
    query: &'a Query,
    owner_id: Option<i64>,
    stopping: &'a AtomicBool,
}

impl Source<'_> {
    /// The header and a line for each row; returns how many rows there were.
    fn write(
        &mut self,
        sheet: &Sheet,
        out: impl Write,
        unwritable: &dyn Fn(&io::Error) -> String,
    ) -> Result<u64, String> {
        let unwritable = |error| unwritable(&error);
        let mut lines = Lines::new(out);
        lines.add(sheet.fields.iter().map(|field| field.name)).map_err(unwritable)?;
        let (mut count, mut after_id, mut progress) = (0, 0, Progress::of(None));
        loop {
            let rows = self.rows_after(after_id)?;
            for row in &rows {
                let cell = |field: &Field| row.get::<_, Option<Value>>(field.name).map(|value| value.to_string());
                lines.add(sheet.fields.iter().map(|field| cell(field).unwrap_or_default())).map_err(unwritable)?;
                count += 1;
            }
            progress.show(0, count);
            match rows.last() {
                Some(last) if rows.len() as i64 == PAGE_ROWS => after_id = last.get("id"),
                _ => break,
            }
        }
        lines.finish().map_err(unwritable)?;
        Ok(count)
    }

    fn rows_after(&mut self, id: i64) -> Result<Vec<Row>, String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("it was told to stop: no file was written".into());
        }
        let rows = self.query.run(&mut self.transaction, &[&self.owner_id, &id, &PAGE_ROWS]);
        rows.map_err(|error| explain(&error))
    }
}
