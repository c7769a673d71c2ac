//! What a list screen may ask for beside filters: the order, the fields, and the total.

use jiff::Timestamp;
use serde_json::Value;

use super::Record;
use crate::envelope::Response;
use crate::request::Request;
use crate::validate::{Page, Query};

/// The orders beside the ascending one of ids: by name without case, and newest first.
pub const SORTS: [&str; 2] = ["name", "-created_at"];

/// A record of which a list may show some fields only.
pub trait Pickable: Record {
    /// The fields of its JSON.
    const FIELDS: &'static [&'static str];
}

/// One page of a list, as it was asked for.
pub struct Listing {
    /// Where the page begins and how long it is.
    pub page: Page,
    /// In which order, and behind which value of it the page begins.
    pub order: Order,
    /// Whether `X-Total-Count` is wanted.
    pub count: bool,
    fields: Option<Vec<&'static str>>,
}

/// The order of a list.
pub enum Order {
    /// Ascending ids.
    Id,
    /// By name, behind this one.
    Name(String),
    /// Newest first, before this time.
    Newest(Timestamp),
}

impl Listing {
    /// Reads `limit`, `after`, `sort`, `from`, `fields` and `count`. `from` is the value of the sorted field in the record `after`; the
    /// `Link` header gives both.
    pub fn read<T: Pickable>(query: &mut Query) -> Listing {
        let page = query.page("after");
        let sort = query.one_of("sort", &SORTS);
        let from = query.plain("from").unwrap_or_default();
        let order = match sort.as_deref() {
            None => Order::Id,
            Some("name") => Order::Name(from),
            Some(_) => Order::Newest(query.timestamp("from").unwrap_or(Timestamp::MAX)),
        };
        Listing { page, order, count: query.truth("count").unwrap_or(false), fields: query.names("fields", T::FIELDS) }
    }

    /// The id behind which the page begins, in an ascending order.
    pub fn after(&self) -> i64 {
        self.page.after.unwrap_or(0)
    }

    /// The id before which the page begins, in a descending order.
    pub fn before(&self) -> i64 {
        self.page.after.unwrap_or(i64::MAX)
    }

    /// The page and where the next one is. `rows` holds one record more than the page if there is more.
    pub fn answer<T: Record>(
        &self,
        request: &Request,
        message: &str,
        rows: Vec<T>,
        total: Option<i64>,
    ) -> (Response, Vec<T>) {
        let (rows, more) = cut(self.page, rows);
        let next = rows.last().filter(|_| more).map(|last| {
            let id = last.id().to_string();
            let target = match &self.order {
                Order::Id => request.target_with(&[("after", &id)]),
                Order::Name(_) => request.target_with(&[("after", &id), ("from", text(&to_value(last), "name"))]),
                Order::Newest(_) => {
                    request.target_with(&[("after", &id), ("from", text(&to_value(last), "created_at"))])
                }
            };
            format!("<{target}>; rel=\"next\"")
        });
        let response = match &self.fields {
            None => Response::success(message, &rows),
            Some(fields) => Response::success(message, rows.iter().map(|row| pick(row, fields)).collect::<Vec<_>>()),
        };
        let response = response.with_optional_header("Link", next);
        (response.with_optional_header("X-Total-Count", total.map(|total| total.to_string())), rows)
    }
}

/// One page of records in the order of ids, and where the next one is (RFC 8288) if there is more: the list of a resource that no
/// list screen shows. `rows` holds one record more than the page if there is more.
pub fn listed<T: Record>(
    request: &Request,
    message: &str,
    page: Page,
    continues: &str,
    rows: Vec<T>,
) -> (Response, Vec<T>) {
    let (rows, more) = cut(page, rows);
    let next = rows.last().filter(|_| more).map(|last| {
        let target = request.target_with(&[(continues, &last.id().to_string())]);
        format!("<{target}>; rel=\"next\"")
    });
    (Response::success(message, &rows).with_optional_header("Link", next), rows)
}

/// The rows of the page, and whether there is more.
fn cut<T>(page: Page, mut rows: Vec<T>) -> (Vec<T>, bool) {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    (rows, more)
}

fn pick(record: &impl Record, fields: &[&str]) -> Value {
    let mut value = to_value(record);
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| fields.contains(&name.as_str()));
    }
    value
}

/// Our own records always serialize.
fn to_value(record: &impl Record) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_default()
}
