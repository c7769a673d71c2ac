//! The document in OpenAPI 3.0, for programs that read no later version. It says the same: what 3.1 writes differently here is null,
//! examples and the licence.

use super::json::Json;

/// The same document in OpenAPI 3.0.3.
pub fn in_3_0(json: Json) -> Json {
    match json {
        Json::List(values) => values.into_iter().map(in_3_0).collect(),
        Json::Object(members) => {
            members.into_iter().fold(Json::Object(Vec::new()), |older, (name, value)| match (&*name, value) {
                ("openapi", _) => older.with(name, "3.0.3"),
                // The licence is an expression of SPDX, whose words this page explains.
                ("identifier", _) => older.with("url", "https://spdx.org/licenses/"),
                ("examples", Json::List(examples)) => {
                    examples.into_iter().fold(older, |older, one| older.with("example", one))
                }
                ("type", Json::List(types)) => types.into_iter().fold(older, |older, one| match one {
                    Json::Text(text) if text == "null" => older.with("nullable", true),
                    one => older.with("type", one),
                }),
                (_, value) => older.with(name, in_3_0(value)),
            })
        }
        value => value,
    }
}
