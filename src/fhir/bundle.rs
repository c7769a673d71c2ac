//! Bundle: what a search found, and what it brings along.

use serde::Serialize;
use serde_json::Value;

use super::care_team::CareTeam;
use super::document_reference::DocumentReference;
use super::outcome::OperationOutcome;
use super::patient::Patient;
use super::practitioner::Practitioner;
use super::practitioner_role::PractitionerRole;
use super::shape::Shape;

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
    resource: Shown<'a>,
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

/// Any resource of ours.
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

impl<'a> Bundle<'a> {
    /// An empty one, at this address.
    pub fn new(kind: &'static str, own: String) -> Bundle<'a> {
        let link = vec![Link { relation: "self", url: own }];
        Bundle { resource_type: "Bundle", kind, total: None, link, entry: Vec::new() }
    }

    /// It goes on at this address.
    pub fn continues(&mut self, next: String) {
        self.link.push(Link { relation: "next", url: next });
    }

    /// Adds a resource, which has this id.
    pub fn add(&mut self, base: &str, id: &str, resource: Resource<'a>, shape: &Shape, mode: Mode) {
        let full_url = Some(format!("{base}/{}/{id}", resource.type_name()));
        let resource = if shape.is_whole() { Shown::Whole(resource) } else { Shown::Part(shape.part(&resource)) };
        self.entry.push(Entry { full_url, resource, search: Search { mode } });
    }

    /// Adds what was left out of the search.
    pub fn warn(&mut self, texts: &'a [String]) {
        if !texts.is_empty() {
            let resource = Shown::Outcome(OperationOutcome::warning(texts));
            self.entry.push(Entry { full_url: None, resource, search: Search { mode: Mode::Outcome } });
        }
    }
}
