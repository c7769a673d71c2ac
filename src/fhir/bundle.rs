//! Bundle: what a search found and brings along, or the versions of a history.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::care_team::CareTeam;
use super::document_reference::DocumentReference;
use super::outcome::OperationOutcome;
use super::patient::Patient;
use super::practitioner::Practitioner;
use super::practitioner_role::PractitionerRole;
use super::shape::Shape;
use crate::percent;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle<'a> {
    resource_type: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    link: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Link {
    relation: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    full_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<Search>,
    #[serde(flatten)]
    change: Option<Change>,
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

/// Any of our resources.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Resource<'a> {
    Patient(Box<Patient<'a>>),
    Practitioner(Box<Practitioner<'a>>),
    Role(Box<PractitionerRole<'a>>),
    Team(Box<CareTeam<'a>>),
    Document(Box<DocumentReference<'a>>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Whole(Resource<'a>),
    Part(Value),
    Outcome(OperationOutcome<'a>),
}

impl Resource<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Resource::Patient(_) => "Patient",
            Resource::Practitioner(_) => "Practitioner",
            Resource::Role(_) => "PractitionerRole",
            Resource::Team(_) => "CareTeam",
            Resource::Document(_) => "DocumentReference",
        }
    }
}

/// The address of a page: the parameters that are in force, and the cursor at which it begins.
pub fn address(path: &str, used: &[(String, String)], cursor: Option<&str>) -> String {
    let used = used.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs = used.chain(cursor.map(|cursor| ("_cursor", cursor)));
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", percent::encode(name), percent::encode(value))).collect();
    format!("{path}{}{}", if pairs.is_empty() { "" } else { "?" }, pairs.join("&"))
}

impl<'a> Bundle<'a> {
    /// An empty bundle, which is found at the address `own`.
    pub fn new(kind: &'static str, own: String) -> Bundle<'a> {
        let link = vec![Link { relation: "self", url: own }];
        Bundle { resource_type: "Bundle", kind, total: None, link, entry: Vec::new() }
    }

    /// Adds the link to the next page.
    pub fn continues(&mut self, next: String) {
        self.link.push(Link { relation: "next", url: next });
    }

    /// Adds a resource with this id.
    pub fn add(&mut self, base: &str, id: &str, resource: Resource<'a>, shape: &Shape, mode: Mode) {
        let full_url = Some(format!("{base}/{}/{id}", resource.type_name()));
        let resource = if shape.is_whole() { Shown::Whole(resource) } else { Shown::Part(shape.part(&resource)) };
        self.entry.push(Entry { full_url, resource: Some(resource), search: Some(Search { mode }), change: None });
    }

    /// Adds a version of a history, or a deletion.
    pub fn add_change(&mut self, full_url: String, resource: Option<Value>, shape: &Shape, change: Change) {
        let resource = resource.map(|resource| if shape.is_whole() { resource } else { shape.part(&resource) });
        let entry =
            Entry { full_url: Some(full_url), resource: resource.map(Shown::Part), search: None, change: Some(change) };
        self.entry.push(entry);
    }

    /// Adds a warning that these parameters were left out of the search.
    pub fn warn(&mut self, texts: &'a [String]) {
        if !texts.is_empty() {
            let resource = Some(Shown::Outcome(OperationOutcome::warning(texts)));
            let search = Some(Search { mode: Mode::Outcome });
            self.entry.push(Entry { full_url: None, resource, search, change: None });
        }
    }
}
