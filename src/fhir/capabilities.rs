//! CapabilityStatement: what this service can do, made from the tables of the routes and of the searches, so that it says neither more
//! nor less.

use postgres::Client;
use serde_json::{Value, json};

use super::BASE;
use super::negotiation::{Negotiated, negotiate};
use super::outcome::{not_supported, shortened};
use super::tables::{Parameter, TYPES};
use crate::app::App;
use crate::envelope::Response;
use crate::error::{Result, explain};
use crate::request::Request;
use crate::sql::Queries;

/// The system of the identifiers of this installation.
pub fn installation(client: &mut Client, sql: &Queries) -> std::result::Result<String, String> {
    let rows = sql.fhir.installation.run(client, &[]).map_err(|error| explain(&error))?;
    rows.first()
        .map(|row| row.get(0))
        .ok_or_else(|| "the table installation is empty: restore its row from a backup".into())
}

/// The statement, without the address, which each request may know by another name.
pub fn statement(routes: impl Iterator<Item = (&'static str, &'static str)> + Clone, installation: &str) -> Value {
    let mut types: Vec<&str> = Vec::new();
    for (_, pattern) in routes.clone() {
        let name = pattern.strip_prefix(BASE).and_then(|path| path.split('/').nth(1)).unwrap_or_default();
        if name.starts_with(char::is_uppercase) && !types.contains(&name) {
            types.push(name);
        }
    }
    let resource = |name: &&str| {
        let own = format!("{BASE}/{name}");
        let ends = routes.clone().filter_map(|(method, pattern)| Some((method, pattern.strip_prefix(own.as_str())?)));
        let interactions: Vec<Value> =
            ends.clone().filter_map(interaction).map(|code| json!({ "code": code })).collect();
        let mut resource = json!({ "type": name, "interaction": interactions, "versioning": "versioned" });
        if let Some(searched) = TYPES.iter().find(|searched| searched.name == *name) {
            let parameter = |parameter: &Parameter| json!({ "name": parameter.name, "definition": parameter.definition, "type": parameter.meaning.type_name() });
            resource["searchParam"] = searched.parameters.iter().map(parameter).collect();
            for (member, paths) in [("searchInclude", searched.includes), ("searchRevInclude", searched.revincludes)] {
                if !paths.is_empty() {
                    resource[member] = json!(paths);
                }
            }
        }
        if ends.clone().any(|(_, end)| end == "/{id}/$everything") {
            let definition = "http://hl7.org/fhir/OperationDefinition/Patient-everything";
            resource["operation"] = json!([{ "name": "everything", "definition": definition }]);
        }
        resource
    };
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date(),
        "kind": "instance",
        "software": { "name": "healthcare-backend", "version": env!("CARGO_PKG_VERSION") },
        "implementation": {
            "description": format!("Patients, doctors and who cares for whom. The system of identifiers is {installation}."),
        },
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "rest": [{
            "mode": "server",
            "security": {
                "description": "A bearer token (RFC 6750): the `token` in the answer to POST /api/auth/login with `email` and `password`.",
            },
            "resource": types.iter().map(resource).collect::<Vec<_>>(),
        }],
    })
}

/// R4's name for a route, by its method and the end of its path, behind the type.
fn interaction((method, end): (&str, &str)) -> Option<&'static str> {
    Some(match (method, end) {
        ("GET", "/{id}") => "read",
        ("GET", "/{id}/_history/{vid}") => "vread",
        ("GET", "/{id}/_history") => "history-instance",
        ("GET", "") => "search-type",
        _ => return None,
    })
}

/// The day of the build.
fn date() -> String {
    let seconds = env!("BUILD_TIME").parse().unwrap_or_default();
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%F").to_string()
}

/// `GET /fhir/R4/metadata`
pub fn metadata(app: &App, request: &Request) -> Result<Response> {
    let Negotiated { base, parameters } = negotiate(&app.config, request)?.each_once()?;
    for (name, value) in parameters {
        match (name.as_str(), value.as_str()) {
            ("_format" | "_pretty", _) | ("mode", "full" | "normative") => {}
            _ => {
                return Err(not_supported(format!(
                    "{} is not a parameter of this request",
                    shortened(&format!("{name}={value}"))
                )));
            }
        }
    }
    let mut statement = app.capabilities.clone();
    statement["implementation"]["url"] = base.into();
    Ok(Response::fhir(200, &statement))
}
