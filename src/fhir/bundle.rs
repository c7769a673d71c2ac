//! Bundle: what a search found and brings along, or the versions of a history. An entry becomes JSON as soon as it is added, so that no
//! resource is kept.

use std::fmt::{Arguments, Display};
use std::iter;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::outcome::OperationOutcome;
use super::shape::Shape;
use crate::envelope::Response;
use crate::percent;

/// As many bytes as a page of some 30 patients has, so that few pages outgrow them.
const ENTRIES_BYTES: usize = 32 * 1024;

#[derive(Serialize)]
#[serde(tag = "resourceType")]
pub struct Bundle<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    link: Vec<Link>,
    /// The entries as JSON, with a comma behind each.
    #[serde(skip)]
    entries: Vec<u8>,
    /// How many there are.
    #[serde(skip)]
    pub count: i64,
    /// The address of the base.
    #[serde(skip)]
    base: &'a str,
    #[serde(skip)]
    shape: &'a Shape,
}

#[derive(Serialize)]
struct Link {
    relation: &'static str,
    url: String,
}

/// A resource that was found, or comes along.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a, T> {
    full_url: Arguments<'a>,
    resource: T,
    search: Search,
}

#[derive(Serialize)]
struct Warning<'a> {
    resource: OperationOutcome<'a>,
    search: Search,
}

#[derive(Serialize)]
struct Search {
    mode: Mode,
}

/// Why an entry is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Match,
    Include,
    Outcome,
}

/// A version of a history; a deletion has no resource.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    full_url: Arguments<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Value>,
    #[serde(flatten)]
    change: Change,
}

/// The request that made a version, as if it had come by FHIR, and its answer.
#[derive(Serialize)]
pub struct Change {
    request: Request,
    response: Answer,
}

#[derive(Serialize)]
struct Request {
    method: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: &'static str,
    etag: String,
    last_modified: Timestamp,
}

impl Change {
    pub fn new(method: &'static str, url: String, status: &'static str, etag: String, at: Timestamp) -> Change {
        Change { request: Request { method, url }, response: Answer { status, etag, last_modified: at } }
    }
}

/// The address of a page: the parameters that are in force, and the cursor at which it begins.
pub fn address(path: &str, used: &[(String, String)], cursor: Option<&str>) -> String {
    let used = used.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = used.chain(cursor.map(|cursor| ("_cursor", cursor)));
    pairs.zip(iter::once("?").chain(iter::repeat("&"))).fold(path.to_string(), |address, ((name, value), sign)| {
        address + sign + &percent::encode(name) + "=" + &percent::encode(value)
    })
}

impl<'a> Bundle<'a> {
    /// An empty bundle, which is found at the address `own`, for resources below `base` in this shape.
    pub fn new(kind: &'static str, own: String, base: &'a str, shape: &'a Shape) -> Bundle<'a> {
        let link = vec![Link { relation: "self", url: own }];
        Bundle { kind, total: None, link, entries: Vec::with_capacity(ENTRIES_BYTES), count: 0, base, shape }
    }

    /// Adds the link to the next page.
    pub fn continues(&mut self, next: String) {
        self.link.push(Link { relation: "next", url: next });
    }

    /// Adds a resource of this type with this id.
    pub fn add(&mut self, type_name: &str, id: impl Display, resource: &impl Serialize, mode: Mode) {
        let (base, search) = (self.base, Search { mode });
        let full_url = format_args!("{base}/{type_name}/{id}");
        match self.shape.is_whole() {
            true => self.put(&Found { full_url, resource, search }),
            false => self.put(&Found { full_url, resource: self.shape.part(resource), search }),
        }
    }

    /// Adds a version of a history, or a deletion.
    pub fn add_change(&mut self, type_name: &str, id: i64, resource: Option<Value>, change: Change) {
        let resource =
            resource.map(|resource| if self.shape.is_whole() { resource } else { self.shape.part(&resource) });
        let base = self.base;
        self.put(&Version { full_url: format_args!("{base}/{type_name}/{id}"), resource, change });
    }

    /// Adds a warning that these parameters were left out of the search.
    pub fn warn(&mut self, texts: &[String]) {
        if !texts.is_empty() {
            let search = Search { mode: Mode::Outcome };
            self.put(&Warning { resource: OperationOutcome::warning(texts), search });
        }
    }

    fn put(&mut self, entry: &impl Serialize) {
        // It fails only for a map whose keys are not strings, and no entry has one.
        serde_json::to_writer(&mut self.entries, entry).expect("an entry that serializes");
        self.entries.push(b',');
        self.count += 1;
    }

    /// 200 with the bundle.
    pub fn answer(mut self) -> Response {
        // The last comma.
        self.entries.pop();
        Response::fhir_list(&self, "entry", &self.entries)
    }
}
