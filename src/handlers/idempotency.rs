//! `Idempotency-Key`: a POST that may be sent again because its answer was lost, without making a second record. The answer is
//! stored in the transaction of the change, so there is never one without the other.
//!
//! The header is that of draft-ietf-httpapi-idempotency-key-header; the key belongs to its user and is compared as it was sent.

use sha2::{Digest, Sha256};

use crate::app::App;
use crate::audit::Resource;
use crate::auth::{Actor, User};
use crate::db::{Transaction, no_row};
use crate::envelope::{Response, Shown};
use crate::error::{Emergency, Error, Result};
use crate::request::Request;

/// How long an answer is kept.
pub const LIFETIME_SECONDS: i32 = 24 * 60 * 60;
/// How many characters a key may have.
pub const KEY_MAX: usize = 64;

/// Runs `create` once for this key. A replay gets the first answer, with `Idempotency-Replayed: true`. It shows the record, so the user
/// must still be allowed to see it, and the trail records it as a read, if it records reads (`reads_of`).
///
/// # Errors
/// Those of `create`, whose changes are then rolled back; `Conflict` while the first request is in flight, `KeyReused` for another request
/// with the same key.
pub fn once(
    app: &App,
    request: &Request,
    user: &User,
    key: &str,
    reads_of: Option<Resource>,
    create: impl Fn(&mut Transaction) -> Result<Response>,
) -> Result<Response> {
    let hash = request_hash(request);
    app.db.transaction(&app.sql.idempotency.claim, |transaction| {
        let claim = transaction.query_one(&app.sql.idempotency.claim, &[&user.id, &key])?;
        if !claim.get::<_, bool>("claimed") {
            return Err(Error::Conflict("The first request with this Idempotency-Key is still in flight".into()));
        }
        if let Some(row) = transaction.query_opt(&app.sql.idempotency.find, &[&user.id, &key, &LIFETIME_SECONDS])? {
            if row.get::<_, Vec<u8>>("request_hash") != hash {
                return Err(Error::KeyReused);
            }
            let location: String = row.get("location");
            let id = location.rsplit('/').next().and_then(|id| id.parse().ok());
            let (shown, emergency) = match reads_of.zip(id) {
                Some((resource, id)) => {
                    let question = user.owners().ask(&app.sql.idempotency.may_see, &[&resource.word(), &id])?;
                    let seen = transaction.answer(&question)?.pop().ok_or_else(|| no_row(&question.query))?;
                    if !seen.get::<_, bool>("may_see") {
                        return Err(Error::NotFound("Record"));
                    }
                    (Some(Shown::Record(resource, id)), Emergency::of(&seen))
                }
                None => (None, None),
            };
            let replayed = Response::replayed(location, row.get("etag"), row.get("body"));
            return Ok(Response { shown, ..replayed }.under(emergency));
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

/// The key, if the request has one. Repeated headers have been joined with a comma, which no key has, so they are refused.
///
/// # Errors
/// `Invalid` for an ill-formed key.
pub fn key(request: &Request) -> Result<Option<&str>> {
    let Some(key) = request.headers.get("idempotency-key") else { return Ok(None) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(is_plain) {
        return Ok(Some(key));
    }
    Err(Error::invalid(
        "Idempotency-Key",
        format!("must be one key of 1 to {KEY_MAX} characters from A-Z a-z 0-9 . _ -"),
    ))
}

fn request_hash(request: &Request) -> Vec<u8> {
    Sha256::new()
        .chain_update(request.path.trim_end_matches('/'))
        .chain_update([0])
        .chain_update(&request.body)
        .finalize()
        .to_vec()
}
