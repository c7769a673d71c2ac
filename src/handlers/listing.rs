//! What a list screen may ask for beside filters: the order, the fields, and the total.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Record;
use crate::app::App;
use crate::envelope::Response;
use crate::request::Request;
use crate::validate::{Page, Query};

/// The orders beside the ascending one of ids: by name without case, and newest first. Each names its field.
pub const SORTS: [&str; 2] = ["name", "-created_at"];

/// A record of which a list may show some fields only.
pub trait Pickable: Record {
    /// The fields of its JSON.
    const FIELDS: &'static [&'static str];
}

/// One page of a list, as it was asked for.
pub struct Listing {
    /// How long it is.
    pub page: Page,
    /// In which order, and behind which place in it the page begins.
    pub order: Order,
    /// Whether `X-Total-Count` is wanted.
    pub count: bool,
    sort: Option<String>,
    fields: Option<Vec<&'static str>>,
}

/// The order of a list and the place in it where the page begins: the id of a record, and its value of the sorted field.
pub enum Order {
    /// Ascending ids, behind this one.
    Id(i64),
    /// By name without case, behind this one.
    Name(String, i64),
    /// Newest first, before this one.
    Newest(Timestamp, i64),
}

impl Listing {
    /// Reads `limit`, `after`, `sort`, `cursor`, `fields` and `count`.
    pub fn read<T: Pickable>(app: &App, request: &Request, query: &mut Query) -> Listing {
        let page = query.page("after");
        let sort = query.one_of("sort", &SORTS);
        if sort.is_some() && page.after.is_some() {
            query.refuse("after", "does not go with sort: the Link header gives a cursor");
        }
        let list = sort.as_deref().map(|sort| sorted_list(request, sort));
        let order = match sort.as_deref() {
            Some("name") => {
                let (name, id) = place(app, query, list.as_deref(), (String::new(), 0));
                Order::Name(name, id)
            }
            Some(_) => {
                let (at, id) = place(app, query, list.as_deref(), (Timestamp::MAX, i64::MAX));
                Order::Newest(at, id)
            }
            None => Order::Id(place(app, query, None, page.after.unwrap_or(0))),
        };
        let (count, fields) = (query.truth("count").unwrap_or(false), query.fields(T::FIELDS));
        Listing { page, order, count, sort, fields }
    }

    /// The page and where the next one is. `rows` holds one record more than the page if there is more.
    pub fn answer<T: Record>(
        &self,
        app: &App,
        request: &Request,
        message: &str,
        rows: Vec<T>,
        total: Option<i64>,
    ) -> (Response, Vec<T>) {
        let (rows, more) = cut(self.page, rows);
        let next = rows.last().filter(|_| more).map(|last| match &self.sort {
            None => link(request, "after", &last.id().to_string()),
            Some(sort) => {
                let value = to_value(last)[sort.trim_start_matches('-')].take();
                link(request, "cursor", &app.cursors.seal(&sorted_list(request, sort), &(value, last.id())))
            }
        });
        let response = match &self.fields {
            None => Response::success(message, &rows),
            Some(fields) => Response::success(message, rows.iter().map(|row| pick(row, fields)).collect::<Vec<_>>()),
        };
        let response = response.with_optional_header("Link", next);
        (response.with_optional_header("X-Total-Count", total.map(|total| total.to_string())), rows)
    }
}

/// What a cursor is bound to: the list and its order.
fn sorted_list(request: &Request, sort: &str) -> String {
    format!("{} {sort}", request.path.trim_end_matches('/'))
}

/// Where the page begins: at the place in the cursor, or else here. Only a sorted list has cursors.
fn place<T: DeserializeOwned>(app: &App, query: &mut Query, list: Option<&str>, start: T) -> T {
    let Some(cursor) = query.sent("cursor") else { return start };
    list.and_then(|list| app.cursors.open(list, cursor)).unwrap_or_else(|| {
        query.refuse("cursor", "must be as the Link header of this list gave it, with the same sort");
        start
    })
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
    let next = rows.last().filter(|_| more).map(|last| link(request, continues, &last.id().to_string()));
    (Response::success(message, &rows).with_optional_header("Link", next), rows)
}

/// The `Link` to the page that begins there.
fn link(request: &Request, parameter: &str, place: &str) -> String {
    format!("<{}>; rel=\"next\"", request.target_with(&[(parameter, place)]))
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
        object.retain(|name, _| name == "id" || fields.contains(&name.as_str()));
    }
    value
}

/// Our own records always serialize.
fn to_value(record: &impl Record) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}
