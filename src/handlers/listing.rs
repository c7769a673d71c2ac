//! What a list can be asked for besides filters: the order, words to look for, the fields, and the total.

use std::{io, slice};

use postgres::Row;

use super::ask::Read;
use super::record::{Listed, RecordType};
use super::table::{Columns, Table};
use crate::db::page::PAGE_BYTES;
use crate::envelope::{Response, Shown};
use crate::records::Field;
use crate::request::Request;
use crate::validate::{PAGE_DEFAULT, Page, QueryParameters};

/// The orders besides ascending ids: by name without case and accents, newest first, and last changed first. Each is named after its field.
pub const SORTS: &[&str] = &["name", "-created_at", "-updated_at"];

/// The parameters of a list of records, beside its filters.
macro_rules! list_parameters {
    ($($filter:literal),*) => { &["limit", "after", "sort", "cursor", "q", "fields", "count", $($filter),*] };
}
pub(super) use list_parameters;

/// One page of a list, as the client asked for it.
pub struct Listing {
    /// How long it is.
    pub page: Page,
    /// The order; ascending ids if there is none.
    pub sort: Option<String>,
    /// The position in the order where the page begins: the id of the record before it…
    pub after: i64,
    /// …and that record's value of the sorted field, as text.
    pub after_value: Option<String>,
    /// The words that each record must have, the longest first: `q`.
    pub words: Option<Vec<String>>,
    /// Whether `X-Total-Count` is wanted.
    pub count: bool,
    fields: Option<Vec<&'static str>>,
    has_csv: bool,
}

impl Listing {
    /// Reads `limit`, `after`, `sort`, `cursor`, `q`, `fields` and `count`, for a list of records with these fields.
    pub fn read(read: &Read, query: &mut QueryParameters, fields: &'static [Field], sorts: &[&str]) -> Listing {
        let page = query.page("after");
        let sort = query.one_of("sort", sorts);
        if sort.is_some() && page.after.is_some() {
            query.refuse("after", "cannot be used with sort: use the cursor from the Link header");
        }
        let list = sort.as_deref().map(|sort| sorted_list(read.request, sort));
        let (after_value, after) = match position(read, query, list.as_deref()) {
            Some((value, id)) => (Some(value), id),
            None => (None, page.after.unwrap_or(0)),
        };
        let (count, fields) = (query.truth("count").unwrap_or(false), query.fields(fields));
        Listing { page, sort, after, after_value, words: query.words("q"), count, fields, has_csv: true }
    }

    /// Whole records in the order of ids, uncounted, and only as JSON.
    pub fn plain(page: Page) -> Listing {
        let after = page.after.unwrap_or(0);
        Listing { page, sort: None, after, after_value: None, words: None, count: false, fields: None, has_csv: false }
    }

    /// Whether the page may share a round trip ([`crate::sql::Query::batched`]). A long page, whose records may be long as well,
    /// would hold up the other requests.
    pub fn is_quick(&self) -> bool {
        self.page.limit <= PAGE_DEFAULT && !self.count && self.sort.is_none() && self.words.is_none()
    }

    /// The page, and the link to the next one. `rows` has one row more than the page if the list continues.
    pub fn answer(
        &self,
        read: &Read,
        message: &str,
        record_type: &'static RecordType,
        rows: &[Row],
        total: Option<i64>,
    ) -> Response {
        let picked = self.fields.as_deref();
        let columns = || record_type.shown(picked).map(|field| field.name).collect();
        let columns: Option<Columns> = self.has_csv.then_some(&columns);
        let (records, more, mut response) =
            shown(read, message, self.page, columns, rows, |row| record_type.of(row).showing(picked));
        let next = records.last().filter(|_| more).map(|last| match self.sort.as_deref() {
            None => link(read.request, "after", &last.id().to_string()),
            Some(sort) => {
                let place = (last.value(sort.trim_start_matches('-')), last.id());
                link(read.request, "cursor", &read.cursors.seal(&sorted_list(read.request, sort), &place))
            }
        });
        let ids = || records.iter().map(Listed::id).collect();
        response.shown = record_type.reads_of.map(|resource| Shown::List(resource, ids()));
        response
            .with_optional_header("Link", next)
            .with_optional_header("X-Total-Count", total.map(|total| total.to_string()))
    }
}

/// The name to which a cursor is bound: the list and its order.
fn sorted_list(request: &Request, sort: &str) -> String {
    format!("{} {sort}", request.path.trim_end_matches('/'))
}

/// The position in the cursor. Only a sorted list has cursors.
fn position(read: &Read, query: &mut QueryParameters, list: Option<&str>) -> Option<(String, i64)> {
    let cursor = query.sent("cursor")?;
    let position = list.and_then(|list| read.cursors.open(list, cursor));
    if position.is_none() {
        query.refuse("cursor", "must be the value from the Link header of this list, with the same sort");
    }
    position
}

/// One page of accounts or of the audit trail in the order of ids, with the link to the next one (RFC 8288). `rows` has one row more
/// than the page if the list continues. A list that can be had as CSV has columns.
pub fn listed<'a, T: Listed>(
    read: &Read,
    message: &str,
    page: Page,
    continues: &str,
    columns: Option<Columns>,
    rows: &'a [Row],
    from_row: impl Fn(&'a Row) -> T,
) -> Response {
    let (records, more, response) = shown(read, message, page, columns, rows, from_row);
    let next = records.last().filter(|_| more).map(|last| link(read.request, continues, &last.id().to_string()));
    response.with_optional_header("Link", next)
}

/// The records of the page, whether there is more, and the answer that shows them: as CSV if the list has columns and the client
/// prefers that.
pub(super) fn shown<'a, T: Listed>(
    read: &Read,
    message: &str,
    page: Page,
    columns: Option<Columns>,
    rows: &'a [Row],
    from_row: impl Fn(&'a Row) -> T,
) -> (Vec<T>, bool, Response) {
    let table = columns.and_then(|columns| Table::wanted(read.request, columns));
    let (records, more, bytes) = cut(page, rows, from_row, |record, counter| match &table {
        Some(table) => table.write(slice::from_ref(record), counter),
        None => Ok(serde_json::to_writer(counter, record)?),
    });
    let response = match &table {
        Some(table) => table.page(&records, bytes),
        None => Response::long(message, &records, bytes),
    };
    (records, more, response.with_optional_header("Vary", columns.map(|_| "Accept".into())))
}

/// The `Link` to the page that begins at this position.
pub(super) fn link(request: &Request, parameter: &str, position: &str) -> String {
    format!("<{}>; rel=\"next\"", request.target_with(&[(parameter, position)]))
}

/// The records of the page, whether there is more, and how long they are as they are written: about, or if that is long exactly. A page
/// ends at its limit, or at [`PAGE_BYTES`] of rows or of what is written.
fn cut<'a, T: Listed>(
    page: Page,
    rows: &'a [Row],
    from_row: impl Fn(&'a Row) -> T,
    write: impl Fn(&T, &mut Counter) -> io::Result<()>,
) -> (Vec<T>, bool, usize) {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut records: Vec<T> = rows.iter().take(limit).map(from_row).collect();
    let bytes: usize = rows.iter().map(Row::raw_size_bytes).sum();
    let mut written = bytes + 256 * records.len();
    // Escaping makes text at most twice as long, and field names and punctuation add less than a kilobyte per record.
    if 2 * bytes + 1024 * rows.len() > PAGE_BYTES {
        let size = |record| {
            let mut counter = Counter(0);
            // Our own records always serialize.
            let _ = write(record, &mut counter);
            counter.0
        };
        let sizes: Vec<usize> = records.iter().map(size).collect();
        let of_rows = how_many_fit(rows.iter().map(Row::raw_size_bytes));
        records.truncate(how_many_fit(sizes.iter().copied()).min(of_rows));
        written = sizes[..records.len()].iter().map(|size| size + 1).sum();
    }
    let more = records.len() < rows.len();
    (records, more, written)
}

/// How many records of these sizes fit on a page, with the envelope around them; at least one.
fn how_many_fit(sizes: impl Iterator<Item = usize>) -> usize {
    let mut left = PAGE_BYTES - 1024;
    let fitting = sizes.take_while(|size| left.checked_sub(*size + 1).inspect(|rest| left = *rest).is_some());
    fitting.count().max(1)
}

/// Counts what is written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
