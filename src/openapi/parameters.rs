//! What stands in the path, behind the question mark and in the headers of a request.

use super::fields::{birth_date, filter, gender, id, one_of, text, truth};
use super::json::{Json, object};
use crate::auth::Role;
use crate::handlers::audit::{ACTIONS, RESOURCES};
use crate::handlers::listing::SORTS;
use crate::validate::{FILTER_MAX, PAGE_DEFAULT, PAGE_MAX};

/// `*`, or entity tags (RFC 9110, 13.1.1).
const ENTITY_TAGS: &str = r#"^(\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#;

/// A place in the path.
pub fn in_path(name: &str) -> Json {
    object! { "name": name.to_string(), "in": "path", "required": true, "schema": id() }
}

/// A query parameter by its name, which means the same wherever it stands; none for a name that is not described here.
pub fn in_query(name: &'static str) -> Option<Json> {
    let part = || filter(FILTER_MAX);
    let (schema, about) = match name {
        "limit" => (
            object! { "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT },
            "How many records at most. A page also ends at 4 MiB; `Link` says where the next one is.",
        ),
        "sort" => (one_of(&SORTS), "The order: by name without case, or newest first. Otherwise in the order of ids."),
        "count" => (truth(), "Whether the answer tells in `X-Total-Count` how many records there are on all pages."),
        "after" => (id(), "Continue behind this id; not with `sort`. `Link` says where the next page is."),
        "before" => (id(), "Continue before this id. `Link` says where the next page is."),
        "name" => (part(), "Any part of the name, without case."),
        "specialization" => (part(), "Any part of the specialization, without case."),
        "email" => (part(), "Any part of the address, without case."),
        "gender" => (gender(), "Exactly this gender."),
        "date_of_birth" => (birth_date(), "Exactly this date."),
        "patient_id" => (id(), "Of this patient."),
        "doctor_id" => (id(), "Of this doctor."),
        "created_by" => (id(), "Created by this user."),
        "role" => (one_of(&Role::WORDS), "With this role."),
        "disabled" => (truth(), "Disabled, or not."),
        "cascade" => (truth(), "Whether the doctor's mappings go too."),
        "actor_id" => (id(), "Done by this user."),
        "action" => (one_of(&ACTIONS), "Of this kind."),
        "resource" => (one_of(&RESOURCES), "Done to this kind of record."),
        "resource_id" => (id(), "Done to this record, or a list that showed it."),
        _ => return None,
    };
    // A blank parameter counts as absent.
    Some(object! { "name": name, "in": "query", "description": about, "allowEmptyValue": true, "schema": schema })
}

/// `cursor`, which only a server can make.
pub fn cursor() -> Json {
    object! {
        "name": "cursor", "in": "query",
        "description": "Continue a sorted list: the value in its `Link`, with the same `sort`. Good at every node and after a restart.",
        "schema": object! { "type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$" },
    }
}

/// The query parameter that picks some of these fields.
pub fn picks(fields: Json) -> Json {
    let items = object! { "type": "string", "enum": fields };
    let about = "Only these fields and `id`, separated by commas or each in a parameter of its own. The schema of the answer is \
                 that of whole records: a client that checks for required properties reads such a page as plain JSON.";
    object! {
        "name": "fields", "in": "query", "description": about,
        "style": "form", "explode": false, "schema": object! { "type": "array", "minItems": 1, "items": items },
    }
}

/// `Idempotency-Key`.
pub fn idempotency_key() -> Json {
    let about = "A key of the client's choice, such as a UUID. The same request with the same key within 24 hours gets the first \
                 answer and makes no second record.";
    let schema = text().with("pattern", "^[A-Za-z0-9._-]{1,64}$");
    object! { "name": "Idempotency-Key", "in": "header", "description": about, "schema": schema }
}

/// `If-Match` or `If-None-Match`.
pub fn in_header(name: &'static str) -> Json {
    let (about, schema) = match name {
        "If-Match" => (
            "Change the record only if it is still at one of these versions (its `ETag`), else 412.",
            text().with("pattern", ENTITY_TAGS),
        ),
        _ => ("The versions that the client has: 304 if the record is at one of them.", text()),
    };
    object! { "name": name, "in": "header", "description": about, "schema": schema, "example": "\"1\"" }
}
