//! `import`: the lines of a file as new records of one user, all or none.

use std::path::Path;

use postgres::types::Json;
use postgres::{Row, Transaction};

use super::columns::Columns;
use super::lines::Lines;
use super::progress::Progress;
use super::{Sheet, owner_id};
use crate::commands;
use crate::config::Config;
use crate::database::Database;
use crate::error::explain;
use crate::sql::{Parameters, Queries, Query};
use crate::validate::Fields;

/// The most lines that one statement writes.
const BATCH_LINES: usize = 500;
/// The same for long lines, in bytes.
const BATCH_BYTES: usize = 1024 * 1024;
/// How many lines are listed on standard error, of the bad ones and of the possible duplicates each.
const LISTED_MAX: u64 = 100;

/// What the command line asks for.
pub struct Order<'a> {
    /// The e-mail address of the user who gets the records.
    pub owner: &'a str,
    pub file: &'a Path,
    /// `HEADER=FIELD`
    pub mappings: &'a [&'a str],
    /// Do everything, and take it back.
    pub is_rehearsal: bool,
    pub allow_duplicates: bool,
}

/// Reads the file, checks each line as the API checks a record, and writes in one transaction.
pub fn import(config: &Config, database: &Database, sheet: &Sheet, order: &Order) -> Result<String, String> {
    let mut lines = Lines::open(order.file)?;
    let columns = Columns::find(sheet.fields, &lines.header, order.mappings)?;
    commands::migrate(config, database)?;
    let queries = Queries::load(config.sql_dir.as_deref())?;
    let mut client = database.connect()?;
    let owner_id = owner_id(&mut client, &queries, order.owner)?;
    let mut transaction = client.transaction().map_err(|error| explain(&error))?;
    // The writer of a stream may take its time.
    let patient = transaction.batch_execute("set local idle_in_transaction_session_timeout = 0");
    patient.map_err(|error| explain(&error))?;

    let mut report =
        Report { progress: Progress::of(lines.size), count: 0, bad: Listed::default(), repeated: Listed::default() };
    let mut batch = Batch::new((sheet.import)(&queries), owner_id, order.allow_duplicates);
    while let Some(line) = lines.next()? {
        report.count += 1;
        let bytes = line.cells.iter().flatten().map(String::len).sum();
        match line.cells.map_err(|problem| vec![problem]).and_then(|cells| columns.check(cells)) {
            Ok(fields) => batch.add(line.number, fields, bytes),
            Err(problems) => report.refuse(line.number, &problems),
        }
        if batch.is_full() {
            batch.write(&mut transaction, &mut report)?;
            report.progress.show(lines.bytes(), report.count);
        }
    }
    batch.write(&mut transaction, &mut report)?;
    if report.bad.lines == 0 && !order.is_rehearsal {
        transaction.commit().map_err(|error| explain(&error))?;
    }
    report.sums(sheet, order)
}

/// Lines that are written by one statement.
struct Batch<'a> {
    query: &'a Query,
    owner_id: i64,
    allow_duplicates: bool,
    numbers: Vec<u64>,
    fields: Vec<Json<Fields>>,
    bytes: usize,
}

impl Batch<'_> {
    fn new(query: &Query, owner_id: i64, allow_duplicates: bool) -> Batch<'_> {
        Batch { query, owner_id, allow_duplicates, numbers: Vec::new(), fields: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, number: u64, fields: Fields, bytes: usize) {
        self.numbers.push(number);
        self.fields.push(Json(fields));
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.numbers.len() >= BATCH_LINES || self.bytes >= BATCH_BYTES
    }

    fn write(&mut self, transaction: &mut Transaction, report: &mut Report) -> Result<(), String> {
        let parameters: Parameters = &[&self.fields, &self.owner_id, &self.allow_duplicates];
        let skipped = self.query.run(transaction, parameters).map_err(|error| {
            let constraint = error.as_db_error().and_then(|error| error.constraint());
            let conflict = constraint.and_then(|constraint| self.query.conflict(constraint));
            conflict.map_or_else(|| explain(&error), str::to_string)
        })?;
        for row in skipped {
            let place = usize::try_from(row.get::<_, i64>("number") - 1).unwrap_or(usize::MAX);
            report.skip(self.numbers.get(place).copied().unwrap_or_default(), &row);
        }
        self.numbers.clear();
        self.fields.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// What is said on standard error, and what is counted.
struct Report {
    progress: Progress,
    count: u64,
    bad: Listed,
    repeated: Listed,
}

/// Lines of one sort.
#[derive(Default)]
struct Listed {
    lines: u64,
    said: u64,
}

impl Listed {
    /// Says it, unless enough was said.
    fn say(&mut self, progress: &mut Progress, text: &str) {
        if self.said < LISTED_MAX {
            progress.say(text);
        }
        self.said += 1;
    }

    /// ` (the first 100 of 150 are listed)`
    fn rest(&self) -> String {
        if self.said > LISTED_MAX {
            format!(" (the first {LISTED_MAX} of {} are listed)", self.said)
        } else {
            String::new()
        }
    }
}

impl Report {
    fn refuse(&mut self, line: u64, problems: &[String]) {
        self.bad.lines += 1;
        for problem in problems {
            self.bad.say(&mut self.progress, &format!("line {line}: {problem}"));
        }
    }

    /// A line that the statement left out.
    fn skip(&mut self, line: u64, row: &Row) {
        if row.get("taken") {
            return self.refuse(line, &["license_number is that of another doctor".to_string()]);
        }
        let known = match row.get::<_, Option<i64>>("known_id") {
            Some(id) => format!("the one with the id {id}"),
            None => "an earlier line".to_string(),
        };
        self.repeated.lines += 1;
        self.repeated.say(&mut self.progress, &format!("line {line}: possible duplicate of {known}"));
    }

    /// The last line: what was done, or what would be.
    fn sums(&mut self, sheet: &Sheet, order: &Order) -> Result<String, String> {
        let (lines, bad) = (self.count, self.bad.lines);
        let (was, imported) = if order.is_rehearsal { ("would be", "would import") } else { ("was", "imported") };
        let repeated = match self.repeated.lines {
            0 => String::new(),
            count => format!("; possible duplicates that are skipped: {count}{}", self.repeated.rest()),
        };
        if bad > 0 {
            let rest = self.bad.rest();
            return Err(format!("nothing {was} imported, because {bad} of {lines} lines break a rule{rest}{repeated}"));
        }
        let new = lines - self.repeated.lines;
        Ok(format!("{imported} {new} {} of {lines} lines for {}{repeated}", sheet.word, order.owner))
    }
}
