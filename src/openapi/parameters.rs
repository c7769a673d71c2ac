//! The parameters of a request: in the path, in the query and in the headers.

use super::fields::{birth_date, filter, id, one_of, text, time, truth, words};
use super::json::{Json, object};
use crate::auth::Role;
use crate::handlers::audit::{ACTIONS, RESOURCES};
use crate::records::GENDERS;
use crate::validate::{FILTER_MAX, PAGE_DEFAULT, PAGE_MAX, WORDS_LENGTH_MAX, WORDS_MAX};

/// `*`, or entity tags (RFC 9110, 13.1.1).
const ENTITY_TAGS: &str = r#"^(\*|(W/)?"[^"]*"( *, *(W/)?"[^"]*")*)$"#;

pub fn in_path(name: &str) -> Json {
    object! { "name": name.to_string(), "in": "path", "required": true, "schema": id() }
}

/// A query parameter by its name, which means the same on every route. `None` if it is not described here.
pub fn in_query(name: &'static str) -> Option<Json> {
    let part = || filter(FILTER_MAX);
    let (schema, about) = match name {
        "limit" => (
            object! { "type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT },
            "The maximum number of records on a page. A page also ends at 4 MiB. The `Link` header leads to the next page.",
        ),
        "q" => (
            words(WORDS_LENGTH_MAX, WORDS_MAX),
            "Words, parted by spaces, 10 at most: each is any part of the name, the e-mail address, the telephone number or, of a doctor, the licence \
             number or the specialization. Case and accents do not matter, nor does the order. Digits find a telephone number however it is written.",
        ),
        "count" => (truth(), "With `true`, the header `X-Total-Count` says how many records there are on all pages."),
        "after" => (id(), "Continue after this id. Not allowed with `sort`. The `Link` header leads to the next page."),
        "before" => (
            id(),
            "Continue before this id or, in a history, before this version. The `Link` header leads to the next page.",
        ),
        "name" => (part(), "Any part of the name, without case and accents."),
        "specialization" => (part(), "Any part of the specialization, without case and accents."),
        "email" => (part(), "Any part of the address, without case and accents."),
        "gender" => (one_of(GENDERS), "Only patients of this gender."),
        "date_of_birth" => (birth_date(), "Only patients born on this date."),
        "patient_id" => (id(), "Only mappings of this patient."),
        "doctor_id" => (id(), "Only mappings of this doctor."),
        "created_by" => (id(), "Only records that this user created."),
        "role" => (one_of(&Role::WORDS), "Only accounts with this role."),
        "disabled" => (truth(), "Only accounts that are disabled (`true`), or only those that are not (`false`)."),
        "reviewed" => (truth(), "Only what was reviewed (`true`), or only what was not (`false`)."),
        "user_id" => (id(), "Only the emergency access of this user."),
        "cascade" => (truth(), "With `true`, the doctor's mappings are deleted too."),
        "force" => (truth(), "With `true`, even if the other members then no longer see patients that they see now."),
        "actor_id" => (id(), "Only entries about what this user did."),
        "action" => (one_of(&ACTIONS), "Only entries with this action."),
        "resource" => (one_of(&RESOURCES), "Only entries about this kind of record."),
        "resource_id" => (id(), "Only entries about this record, including lists that showed it."),
        "from" => (time(), "Only entries of this time and later, with any offset."),
        "until" => (time(), "Only entries before this time, with any offset."),
        _ => return None,
    };
    // A blank parameter counts as absent.
    Some(object! { "name": name, "in": "query", "description": about, "allowEmptyValue": true, "schema": schema })
}

/// `sort`, with the orders of a list.
pub fn sort(orders: &[&'static str]) -> Json {
    object! {
        "name": "sort", "in": "query", "allowEmptyValue": true, "schema": one_of(orders),
        "description": "The order: a field, descending with `-`. Names are sorted without case and accents. Without it, records come in ascending \
                        order of id.",
    }
}

/// `cursor`, which only a server can make.
pub fn cursor() -> Json {
    object! {
        "name": "cursor", "in": "query",
        "description": "Continue the list: the value from its `Link` header, with the same `sort` if there is one. It stays valid after a restart and at every node.",
        "schema": object! { "type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$" },
    }
}

/// The query parameter that picks some of these fields.
pub fn picks(fields: &[&str]) -> Json {
    let about = "Return only these fields and `id`: their names, separated by commas. The parameter may be repeated. The schema below describes \
                 whole records: a client that insists on required properties should read such a page as plain JSON.";
    let name = fields.join("|");
    object! {
        "name": "fields", "in": "query", "description": about, "example": format!("id,{}", fields[1]),
        "schema": text().with("pattern", format!("^({name})(,({name}))*$")),
    }
}

pub fn idempotency_key() -> Json {
    let about = "A key that the client chooses, such as a UUID. If the same request is sent again with the same key within 24 hours, it \
                 gets the first answer and creates no second record.";
    let schema = text().with("pattern", "^[A-Za-z0-9._-]{1,64}$");
    object! { "name": "Idempotency-Key", "in": "header", "description": about, "schema": schema }
}

pub fn in_header(name: &'static str) -> Json {
    let (about, schema) = match name {
        "If-Match" => (
            "Make the change only if the record is still at one of these versions (its `ETag`); else 412.",
            text().with("pattern", ENTITY_TAGS),
        ),
        _ => ("The versions that the client already has: 304 if the record is still at one of them.", text()),
    };
    object! { "name": name, "in": "header", "description": about, "schema": schema, "example": "\"1\"" }
}
