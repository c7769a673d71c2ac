//! `Idempotency-Key`: a POST that may be sent again because its answer was lost, without making a second record. The answer is
//! stored in the transaction of the change, so there is never one without the other.
//!
//! The header is that of draft-ietf-httpapi-idempotency-key-header; the key is a UUID (RFC 9562) and belongs to its user.

use sha2::{Digest, Sha256};

use crate::app::App;
use crate::auth::User;
use crate::db::Statements;
use crate::envelope::Response;
use crate::error::{Error, Result};
use crate::request::Request;

/// How long an answer is kept.
pub const LIFETIME_SECONDS: i32 = 24 * 60 * 60;

/// Runs `create` once for the request's key, or simply runs it where there is none. A replay gets the first answer, with
/// `Idempotency-Replayed: true`.
///
/// # Errors
/// Those of `create`, which then leaves no trace; `Invalid` for a key that is not a UUID, `Conflict` while the first request is in
/// flight, `KeyReused` for another request with the same key.
pub fn once(
    app: &App,
    request: &Request,
    user: &User,
    create: impl FnOnce(&mut dyn Statements) -> Result<Response>,
) -> Result<Response> {
    let Some(key) = key(request)? else { return create(&mut &app.db) };
    let hash = request_hash(request);
    app.db.transaction(&app.sql.idempotency.claim, |transaction| {
        if !transaction.query_one(&app.sql.idempotency.claim, &[&user.id, &key])?.get::<_, bool>("claimed") {
            return Err(Error::Conflict("The first request with this Idempotency-Key is still in flight"));
        }
        if let Some(row) = transaction.query_opt(&app.sql.idempotency.find, &[&user.id, &key, &LIFETIME_SECONDS])? {
            if row.get::<_, Vec<u8>>("request_hash") != hash {
                return Err(Error::KeyReused);
            }
            return Ok(Response::replayed(row.get("location"), row.get("etag"), row.get("body")));
        }
        let response = create(transaction)?;
        let header =
            |name| response.headers.iter().find(|(present, _)| *present == name).map_or("", |(_, value)| value);
        let (location, etag) = (header("Location"), header("ETag"));
        transaction
            .query_opt(&app.sql.idempotency.store, &[&user.id, &key, &hash, &location, &etag, &response.body])?;
        Ok(response)
    })
}

/// The key in lower case, with or without the quotes of a structured field.
fn key(request: &Request) -> Result<Option<String>> {
    let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
    let value = value.trim();
    let key = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let shaped = key.len() == 36
        && key.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if shaped { Ok(Some(key.to_ascii_lowercase())) } else { Err(Error::invalid("Idempotency-Key", "must be a UUID")) }
}

fn request_hash(request: &Request) -> Vec<u8> {
    Sha256::new()
        .chain_update(request.path.trim_end_matches('/'))
        .chain_update([0])
        .chain_update(&request.body)
        .finalize()
        .to_vec()
}
