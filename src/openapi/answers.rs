//! Responses: the envelope around a record, the headers, and every refusal with its status and word.

use super::components::Schema;
use super::fields::{array, describe, nothing, one_of, or_null, text, truth};
use super::json::{Json, list, object};
use super::operation::{Gives, Operation, Shows};
use super::operations::OPERATIONS;
use crate::error::{Emergency, FIELD_ERRORS_MAX};
use crate::request::Method;
use crate::routes::Route;

/// A refusal that several operations share.
pub struct Refusal {
    /// Its name among the document's responses.
    pub name: &'static str,
    pub status: u16,
    pub when: &'static str,
    words: &'static [&'static str],
    /// The message, as an example.
    says: &'static str,
    /// The field and the rule of the example, if the answer names fields.
    field: Option<(&'static str, &'static str)>,
    /// Whether its data can say that a code is needed.
    asks_for_code: bool,
    /// Whether any request can get it. Those share one response, [`AT_ANY_REQUEST`].
    is_always: bool,
    headers: &'static [&'static str],
}

/// Every refusal, by status.
#[rustfmt::skip]
pub const REFUSALS: &[Refusal] = &[
    fields("Invalid", &["invalid"], "A bad id, query parameter or header, or a request that is not valid HTTP. `data.errors` names the fields.",
        "The request is not valid", ("limit", "must be a whole number from 1 to 500")),
    fields("Incomplete", &["incomplete", "invalid"],
        "`incomplete`: required fields are absent, null or blank. `invalid`: the body is not JSON, a value has a wrong type or \
         breaks a rule, a field is unknown or repeated, all fields are read-only, or an id or query parameter is bad. \
         `data.errors` names the fields.",
        "Required fields are missing", ("name", "is required")),
    refusal("Unauthenticated", 401, &["forbidden"], "The token is missing, malformed, expired, forged or revoked.",
        "A valid access token is needed").headers(&["WWW-Authenticate"]),
    refusal("WrongCredentials", 401, &["invalid"], "The e-mail or the password is wrong. The answer does not say which.", "E-mail or password is wrong")
        .asking_for_code(),
    refusal("WrongToken", 401, &["invalid"], "The one-time token is wrong, was used, or is over. The answer does not say which.",
        "The one-time token is wrong, was used, or is over"),
    refusal("WrongPassword", 401, &["invalid", "forbidden"], "`invalid`: the current password is wrong. `forbidden`: the token is not valid.",
        "E-mail or password is wrong").headers(&["WWW-Authenticate"]),
    refusal("Forbidden", 403, &["forbidden"], "The token is valid, but this user may not do this.", "Only an admin may do this")
        .headers(&[Emergency::HEADER]),
    refusal("NotFound", 404, &["failed"], "There is no such record, or none that this user may see.", "Patient not found")
        .headers(&[Emergency::HEADER]),
    refusal("TimedOut", 408, &["failed"], "The request did not arrive in time.",
        "The request head did not arrive in time").always(),
    refusal("Conflict", 409, &["failed"], "The change conflicts with another record: a duplicate, or a record that is still in use.", "This doctor is already assigned to this patient"),
    refusal("Outdated", 412, &["failed"], "`If-Match` names an older version.", "The record has changed since it was read"),
    refusal("TooLarge", 413, &["invalid"], "The body is too large.", "The body is longer than 262144 bytes").always(),
    refusal("TargetTooLong", 414, &["invalid"], "The request line is longer than 8 KiB.", "The request line is longer than 8192 bytes").always(),
    refusal("NotJson", 415, &["invalid"], "The body is not `application/json`, or has a `Content-Encoding`.", "The body must be application/json").always(),
    refusal("Expectation", 417, &["invalid"], "The `Expect` header asks for something other than `100-continue`.", "The only supported expectation is 100-continue").always(),
    refusal("KeyReused", 422, &["invalid"], "The `Idempotency-Key` was used before with a different request.",
        "This Idempotency-Key was used before with a different request"),
    refusal("TooManyAttempts", 429, &["failed"], "Too many attempts from one address, or too many changes or tries of emergency access by one user.", "Too many attempts, try again later")
        .headers(&["Retry-After", "RateLimit", "RateLimit-Policy"]),
    refusal("HeadersTooLong", 431, &["invalid"], "The header section is longer than 16 KiB or has more than 100 lines.",
        "The header section is longer than 16384 bytes").always(),
    refusal("Fault", 500, &["failed"], "An error on our side. The body says nothing but the request id.",
        "Something went wrong on our side; the request id is 5c1d9a70-2f").always(),
    refusal("NotServed", 501, &["invalid"], "The method or the transfer coding is not supported.", "This method is not supported").always(),
    refusal("Busy", 503, &["failed"], "The database cannot be reached, or the service is at its limit.",
        "The service is busy or cannot reach its database, try again").headers(&["Retry-After"]).always(),
    refusal("HttpVersion", 505, &["invalid"], "The HTTP version is not supported.", "Only HTTP/1.1 and HTTP/1.0 are supported").always(),
];

/// The name of the response that stands for all statuses that an operation does not name.
pub const AT_ANY_REQUEST: &str = "Refused";

/// The response headers and their meaning.
const HEADERS: &[(&str, &str)] = &[
    (
        "X-Request-Id",
        "Identifies the request in the log and the audit trail. The client's own id if it sent a valid one, else a new one.",
    ),
    ("ETag", "The record's version, for `If-Match` and `If-None-Match`."),
    ("Location", "The path of the new record, of the record that the answer is about, or of the page to go to."),
    ("Link", "`<…>; rel=\"next\"`: the next page of the list (RFC 8288). Absent on the last page."),
    ("X-Total-Count", "How many records there are on all pages. Sent with `count=true`."),
    ("Idempotency-Replayed", "`true`: this is the answer to an earlier request with the same `Idempotency-Key`."),
    (
        Emergency::HEADER,
        "`<grant id>; until=<time>`: the answer is given under emergency access, which lasts until then. Absent if the patient is seen anyway, and on a refusal before the patient is looked up.",
    ),
    ("WWW-Authenticate", "`Bearer` (RFC 6750). Absent if a password was wrong."),
    ("Retry-After", "How many seconds to wait before trying again."),
    ("RateLimit", "How many requests the rate limit still allows, and when it allows more."),
    ("RateLimit-Policy", "The rate limit."),
];
/// The headers that are not always there.
const OPTIONAL: &[&str] = &["Link", "X-Total-Count", "Idempotency-Replayed", Emergency::HEADER, "WWW-Authenticate"];

const fn refusal(
    name: &'static str,
    status: u16,
    words: &'static [&'static str],
    when: &'static str,
    says: &'static str,
) -> Refusal {
    Refusal { name, status, when, words, says, field: None, asks_for_code: false, is_always: false, headers: &[] }
}

const fn fields(
    name: &'static str,
    words: &'static [&'static str],
    when: &'static str,
    says: &'static str,
    field: (&'static str, &'static str),
) -> Refusal {
    Refusal { field: Some(field), ..refusal(name, 400, words, when, says) }
}

impl Refusal {
    const fn headers(self, headers: &'static [&'static str]) -> Refusal {
        Refusal { headers, ..self }
    }

    const fn always(self) -> Refusal {
        Refusal { is_always: true, ..self }
    }

    const fn asking_for_code(self) -> Refusal {
        Refusal { asks_for_code: true, ..self }
    }

    /// The response component.
    fn response(&self) -> Json {
        let schema = match self.field {
            None if self.asks_for_code => "LoginFailure",
            None => "Failure",
            Some(_) => "FieldErrors",
        };
        let body = object! { "schema": Json::reference("schemas", schema), "example": self.example() };
        response(self.when, self.headers, Some(json(body)))
    }

    fn example(&self) -> Json {
        let error = |(field, message)| object! { "errors": list![object! { "field": field, "message": message }] };
        envelope_of(self.words[0], self.says, self.field.map_or(Json::Null, error))
    }
}

/// The responses that operations share: every refusal, and one for those that any request can get.
pub fn refusal_components() -> Json {
    let is_named = |refusal: &&Refusal| {
        !refusal.is_always || OPERATIONS.iter().any(|operation| operation.refuses.contains(&refusal.name))
    };
    let named = REFUSALS.iter().filter(is_named).map(|refusal| (refusal.name.into(), refusal.response()));
    Json::Object(named.chain([(AT_ANY_REQUEST.into(), refused())]).collect())
}

/// What any request can get.
fn refused() -> Json {
    let (mut when, mut examples) = (String::from("What any request can get."), Vec::new());
    for refusal in REFUSALS.iter().filter(|refusal| refusal.is_always) {
        when.push_str(&format!(" {}: {}", refusal.status, refusal.when));
        examples.push((refusal.name.into(), object! { "summary": refusal.when, "value": refusal.example() }));
    }
    let body = object! { "schema": Json::reference("schemas", "Failure"), "examples": Json::Object(examples) };
    let retry_after =
        object! { "description": "How many seconds to wait before trying again; sent with 503.", "schema": text() };
    let headers = object! { "X-Request-Id": Json::reference("headers", "X-Request-Id"), "Retry-After": retry_after };
    object! { "description": when, "headers": headers, "content": json(body) }
}

/// The bodies of refusals. They have names, so that generated clients have a type for each.
pub fn refusal_schemas() -> [Schema; 3] {
    let schema = |name: &'static str, words: &[&'static str], data: Json, example: Json| Schema {
        name: name.into(),
        json: envelope_schema(words, data),
        example: envelope_of(words[0], "The request is not valid", example),
    };
    let error = object! { "field": "name", "message": "is required" };
    let asks = object! { "type": "object", "required": list!["code_required"], "properties": object! { "code_required": truth() } };
    let asks = describe(
        or_null(asks),
        "An object with `true` if the password is right, and the code of the second factor is missing or wrong.",
    );
    let errors = object! {
        "type": "object", "required": list!["errors"],
        "properties": object! {
            "errors": object! {
                "type": "array", "minItems": 1, "maxItems": FIELD_ERRORS_MAX,
                "items": Json::reference("schemas", "FieldError"),
            },
            "more": object! { "type": "integer", "minimum": 1, "description": "How many more errors there are." },
        },
    };
    [
        schema("Failure", &["failed", "invalid", "forbidden"], nothing(), Json::Null),
        schema("LoginFailure", &["invalid"], asks, Json::Null),
        schema("FieldErrors", &["incomplete", "invalid"], errors, object! { "errors": list![error] }),
    ]
}

/// The bodies of operations that succeed: one for a record, one for a list of them, and one without data. Each has the words of its
/// operations.
pub fn answer_schemas(schemas: &[Schema]) -> Vec<Schema> {
    let mut answers: Vec<(Shows, Vec<&'static str>)> = Vec::new();
    for gives in OPERATIONS.iter().map(|operation| operation.gives) {
        let Some((shows, word)) = gives.shows().zip(gives.word()) else { continue };
        match answers.iter_mut().find(|(known, _)| *known == shows) {
            Some((_, words)) if words.contains(&word) => {}
            Some((_, words)) => words.push(word),
            None => answers.push((shows, vec![word])),
        }
    }
    let schema = |(shows, words): (Shows, Vec<&'static str>)| {
        let data = match shows {
            Shows::One(name) => Json::reference("schemas", name),
            Shows::Many(name) => array(Json::reference("schemas", name)),
            Shows::Nothing => nothing(),
        };
        let example = envelope_of(words[0], "What was done", shown(schemas, shows));
        Schema { name: shows.answer().into(), json: envelope_schema(&words, data), example }
    };
    answers.into_iter().map(schema).collect()
}

/// An example of the data.
fn shown(schemas: &[Schema], shows: Shows) -> Json {
    match shows {
        Shows::One(name) => example(schemas, name),
        Shows::Many(name) => list![example(schemas, name)],
        Shows::Nothing => Json::Null,
    }
}

/// The components that hold the headers.
pub fn header_components() -> Json {
    let header = |(name, about): &(&'static str, &'static str)| {
        let required = !OPTIONAL.contains(name);
        ((*name).into(), object! { "description": *about, "required": required, "schema": text() })
    };
    Json::Object(HEADERS.iter().map(header).collect())
}

/// The status and the response of an operation that succeeds.
pub fn response_of(route: &Route, operation: &Operation, schemas: &[Schema]) -> (u16, Json) {
    let gives = operation.gives;
    let headers: &[&str] = match gives {
        Gives::Page(media_type) => return (200, page(media_type)),
        Gives::New(_) if operation.refuses.contains(&"KeyReused") => &["Location", "ETag", "Idempotency-Replayed"],
        Gives::New(_) => &["Location", "ETag"],
        Gives::Made(_) | Gives::Elsewhere => &["Location"],
        Gives::Record(_) | Gives::Changed(_) => &["ETag"],
        Gives::List(_) if route.query.contains(&"count") => &["Link", "X-Total-Count"],
        Gives::List(_) if route.query.contains(&"limit") => &["Link"],
        _ => &[],
    };
    let content = gives.shows().zip(gives.word()).map(|(shows, word)| {
        let content = json(object! {
            "schema": Json::reference("schemas", &shows.answer()),
            "example": envelope_of(word, operation.says, shown(schemas, shows)),
        });
        if operation.has_csv { content.with("text/csv", object! { "schema": text() }) } else { content }
    });
    // What emergency access leads to, and a replay.
    let of_one = ["/api/patients/{", "/api/mappings/{"].iter().any(|start| route.pattern.starts_with(start));
    let is_under =
        of_one && route.method == Method::Get || route.pattern == "/api/mappings" && route.method == Method::Post;
    let headers = [headers, if is_under { &[Emergency::HEADER] } else { &[] }].concat();
    (gives.status(), response(operation.says, &headers, content))
}

/// 304 has headers only.
pub fn not_modified() -> Json {
    response("`If-None-Match` names the current version of the record.", &["ETag", Emergency::HEADER], None)
}

/// The example of a component.
pub fn example(schemas: &[Schema], name: &str) -> Json {
    schemas.iter().find(|schema| schema.name == name).map_or(Json::Null, |schema| schema.example.clone())
}

fn page(media_type: &'static str) -> Json {
    let schema = if media_type == "application/json" {
        object! { "type": "object", "additionalProperties": true }
    } else {
        text()
    };
    let headers = object! { "X-Request-Id": Json::reference("headers", "X-Request-Id") };
    let content = Json::Object(vec![(media_type.into(), object! { "schema": schema })]);
    object! { "description": "The page", "headers": headers, "content": content }
}

fn response(description: &'static str, headers: &[&'static str], content: Option<Json>) -> Json {
    let names = ["X-Request-Id"].into_iter().chain(headers.iter().copied());
    let headers = names.map(|name| (name.into(), Json::reference("headers", name))).collect();
    let response = object! { "description": description, "headers": Json::Object(headers) };
    match content {
        Some(content) => response.with("content", content),
        None => response,
    }
}

/// The content of a response that has this body.
fn json(body: Json) -> Json {
    object! { "application/json": body }
}

fn envelope_schema(words: &[&'static str], data: Json) -> Json {
    object! {
        "type": "object",
        "properties": object! { "status": one_of(words), "message": text(), "data": data },
        "required": list!["status", "message", "data"],
    }
}

fn envelope_of(word: &'static str, message: &'static str, data: Json) -> Json {
    object! { "status": word, "message": message, "data": data }
}
