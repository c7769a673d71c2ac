//! The contract as a document: OpenAPI 3.1, made once at startup from `ROUTES`, the constants of `validate/` and the
//! descriptions in this folder. `tests/api/docs.rs` holds it against the service in both directions.
//!
//! To add a route: a line in `ROUTES`, a line in [`OPERATIONS`]. To add a query parameter: its name in the route's
//! list, its meaning in `parameters.rs`. To add a field to a patient, a doctor or a mapping: a line in `src/records.rs`.

pub mod answers;
pub mod components;
pub mod fields;
pub mod json;
pub mod older;
pub mod operation;
pub mod operations;
pub mod page;
pub mod parameters;
pub mod records;

use crate::config::Config;
use crate::handlers::{listing, patients};
use crate::routes::{Access, ROUTES, Route, place_names};
use answers::{
    AT_ANY_REQUEST, REFUSALS, answer_schemas, example, header_components, not_modified, refusal_components,
    refusal_schemas, response_of,
};
use components::Schema;
use json::{Json, list, object};
use operation::{Gives, Operation};
use operations::{OPERATIONS, TAGS};
use records::schemas;

const ABOUT: &str = "\
The backend of a small clinic: patients, doctors, which doctor cares for which patient, and an audit trail.

Every answer under `/api`, errors included, is exactly `{\"status\", \"message\", \"data\"}`. Log in to get a token and send it as \
`Authorization: Bearer …`. A trailing slash makes no difference. `HEAD` works wherever `GET` does. `OPTIONS` answers 204 with `Allow`. \
Another method gets 405, an unknown path 404, an unknown or repeated query parameter 400 (only `fields` may be repeated).

Strings are trimmed, except passwords. A blank required string counts as missing, a blank optional one as null. Lengths are counted in \
characters. Times are RFC 3339 in UTC, dates are `YYYY-MM-DD`. Lists come in ascending order of ids, one page at a time; the `Link` header \
leads to the next page, in sorted lists too.";

/// The document, as it is served. It fails if a route or a query parameter has no description, or a description has no route.
pub fn document(config: &Config) -> Result<String, String> {
    text_of(&described(config)?)
}

/// The same in OpenAPI 3.0.
pub fn document_in_3_0(config: &Config) -> Result<String, String> {
    text_of(&older::in_3_0(described(config)?))
}

fn text_of(document: &Json) -> Result<String, String> {
    serde_json::to_string(document).map_err(|error| format!("the OpenAPI document: {error}"))
}

fn described(config: &Config) -> Result<Json, String> {
    let mut schemas = schemas(config);
    let paths = paths(&schemas)?;
    let answers = answer_schemas(&schemas);
    schemas.extend(answers.into_iter().chain(refusal_schemas()));
    let tag = |(name, about): &(&'static str, &'static str)| object! { "name": *name, "description": *about };
    Ok(object! {
        "openapi": "3.1.0",
        "info": object! {
            "title": "healthcare-backend", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "contact": object! { "name": "The operator of this service" },
            "license": object! { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": list![object! { "url": "/" }],
        "tags": TAGS.iter().map(tag).collect::<Json>(),
        "paths": paths,
        "components": object! {
            "securitySchemes": object! {
                "bearer": object! {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The `token` that a login or a refresh returned.",
                },
            },
            "schemas": Json::Object(schemas.into_iter().map(component).collect()),
            "responses": refusal_components(),
            "headers": header_components(),
        },
    })
}

/// The path of a pattern in the document. OpenAPI does not allow two paths that differ only in the names of their parameters.
pub fn path_of(pattern: &'static str) -> &'static str {
    if pattern == "/api/mappings/{patient_id}" { "/api/mappings/{id}" } else { pattern }
}

fn component(schema: Schema) -> (std::borrow::Cow<'static, str>, Json) {
    (schema.name, schema.json.with("examples", list![schema.example]))
}

/// The routes of the document. What speaks FHIR is described by `/fhir/R4/metadata`.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| !route.is_fhir)
}

fn paths(schemas: &[Schema]) -> Result<Json, String> {
    let mut paths: Vec<(&'static str, Vec<(_, Json)>)> = Vec::new();
    for route in routes() {
        let (method, pattern) = (route.method, route.pattern);
        let described = OPERATIONS.iter().find(|operation| operation.method == method && operation.pattern == pattern);
        let described =
            described.ok_or_else(|| format!("{} {pattern} is not in the OpenAPI document", method.name()))?;
        let operation = (method.name().to_ascii_lowercase().into(), operation(route, described, schemas)?);
        match paths.iter_mut().find(|(path, _)| *path == path_of(pattern)) {
            Some((_, methods)) => methods.push(operation),
            None => paths.push((path_of(pattern), vec![operation])),
        }
    }
    if OPERATIONS.len() != routes().count() {
        return Err("the OpenAPI document describes a route that does not exist, or describes one twice".into());
    }
    Ok(Json::Object(paths.into_iter().map(|(path, methods)| (path.into(), Json::Object(methods))).collect()))
}

fn operation(route: &Route, described: &Operation, schemas: &[Schema]) -> Result<Json, String> {
    let security = if route.access() == Access::Anyone { list![] } else { list![object! { "bearer": list![] }] };
    let mut operation =
        object! { "operationId": described.id, "tags": list![described.tag], "summary": described.summary }
            .with_text("description", described.about)
            .with("security", security)
            .with("parameters", parameters(route, described, schemas)?);
    if let Some(name) = described.takes {
        let content = object! { "schema": Json::reference("schemas", name), "example": example(schemas, name) };
        let content = object! { "application/json": content };
        operation = operation.with("requestBody", object! { "required": true, "content": content });
    }
    Ok(operation.with("responses", responses(route, described, schemas)))
}

fn parameters(route: &Route, described: &Operation, schemas: &[Schema]) -> Result<Json, String> {
    let mut parameters: Vec<Json> = place_names(path_of(route.pattern)).map(parameters::in_path).collect();
    for name in route.query {
        let parameter = match (*name, described.gives) {
            ("fields", Gives::List(record)) => Some(parameters::picks(&example(schemas, record).names())),
            ("sort", Gives::List("Patient")) => Some(parameters::sort(patients::SORTS)),
            ("sort", _) => Some(parameters::sort(listing::SORTS)),
            ("cursor", _) => Some(parameters::cursor()),
            _ => parameters::in_query(name),
        };
        parameters.push(parameter.ok_or_else(|| format!("query parameter {name} is not in the OpenAPI document"))?);
    }
    if described.refuses.contains(&"Outdated") {
        parameters.push(parameters::in_header("If-Match"));
    }
    if matches!(described.gives, Gives::Record(_)) {
        parameters.push(parameters::in_header("If-None-Match"));
    }
    if described.refuses.contains(&"KeyReused") {
        parameters.push(parameters::idempotency_key());
    }
    Ok(Json::List(parameters))
}

fn responses(route: &Route, described: &Operation, schemas: &[Schema]) -> Json {
    let mut refusals = vec![if described.takes.is_some() { "Incomplete" } else { "Invalid" }];
    refusals.extend(described.refuses);
    if route.access() != Access::Anyone && !described.refuses.contains(&"WrongPassword") {
        refusals.push("Unauthenticated");
    }
    if route.access() == Access::Admin {
        refusals.push("Forbidden");
    }
    if route.is_change() {
        refusals.push("TooManyAttempts");
    }
    let mut responses = vec![response_of(route, described, schemas)];
    if matches!(described.gives, Gives::Record(_)) {
        responses.push((304, not_modified()));
    }
    let named = REFUSALS.iter().filter(|refusal| refusals.contains(&refusal.name));
    responses.extend(named.map(|refusal| (refusal.status, Json::reference("responses", refusal.name))));
    let with_links = |(status, response): (u16, Json)| match links(described) {
        Some(links) if status == 201 => (status.to_string().into(), response.with("links", links)),
        _ => (status.to_string().into(), response),
    };
    let others = ("default".into(), Json::reference("responses", AT_ANY_REQUEST));
    Json::Object(responses.into_iter().map(with_links).chain([others]).collect())
}

/// Links from a new record to the operations that take its id.
fn links(described: &Operation) -> Option<Json> {
    let Gives::New(_) = described.gives else { return None };
    let one = format!("{}/{{id}}", described.pattern);
    let next = OPERATIONS.iter().filter(|next| next.pattern == one);
    let link = |next: &Operation| {
        let parameters = object! { "id": "$response.body#/data/id" };
        (next.id.into(), object! { "operationId": next.id, "parameters": parameters })
    };
    let links: Vec<_> = next.map(link).collect();
    (!links.is_empty()).then_some(Json::Object(links))
}
