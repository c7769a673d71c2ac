//! Access tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256, and the random refresh tokens beside them.

use std::collections::HashMap;
use std::sync::{Mutex, Once};

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::lock::lock;

/// The issuer. It is checked, so that a token of another service with the same secret is refused.
pub const ISSUER: &str = "healthcare-backend";
/// How far ahead of our clock the clock of the signing node may be.
const CLOCK_SKEW_SECONDS: i64 = 60;

/// Signs and verifies.
pub struct Tokens {
    signing: EncodingKey,
    /// The current secret, and the previous one while secrets are rotated.
    verifying: Vec<DecodingKey>,
    validation: Validation,
    ttl_seconds: i64,
    /// Tokens that were verified recently, with their claims, because every request of a session brings the same token. Only
    /// tokens with a valid signature are kept, and their times are checked again each time.
    recent: [Mutex<HashMap<String, Signed>>; SHARDS],
}

/// How many shards keep the recent tokens, so that threads do not wait for each other. A full shard is emptied.
const SHARDS: usize = 16;
const RECENT_PER_SHARD: usize = 64;

/// The claims of a verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`
    pub user_id: i64,
    /// `sid`
    pub session_id: i64,
}

/// The claims of a token with a valid signature, and the time in which it is valid.
#[derive(Clone, Copy)]
struct Signed {
    claims: Claims,
    iat: i64,
    nbf: Option<i64>,
    exp: i64,
}

#[derive(Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    sub: String,
    sid: i64,
    iat: i64,
    /// We never set it, but another program that knows the secret may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
}

impl Tokens {
    /// Tokens that live for `ttl_seconds`.
    pub fn new(secret: &str, previous: Option<&str>, ttl_seconds: u64) -> Tokens {
        install_hs256();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Tokens {
            signing: EncodingKey::from_secret(secret.as_bytes()),
            verifying: std::iter::once(secret)
                .chain(previous)
                .map(|key| DecodingKey::from_secret(key.as_bytes()))
                .collect(),
            validation,
            ttl_seconds: i64::try_from(ttl_seconds).unwrap_or(i64::MAX),
            recent: Default::default(),
        }
    }

    /// A token for a session, and how many seconds it is valid: never longer than the session.
    pub fn issue(&self, user_id: i64, session_id: i64, session_ends_at: i64) -> Result<(String, i64), String> {
        let now = jiff::Timestamp::now().as_second();
        let exp = now.saturating_add(self.ttl_seconds).min(session_ends_at);
        let sub = user_id.to_string();
        let claims = WireClaims { iss: ISSUER.into(), sub, sid: session_id, iat: now, nbf: None, exp };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing);
        token.map(|token| (token, exp - now)).map_err(|error| error.to_string())
    }

    /// The claims of a token that we signed, that is unaltered, and that is valid now. `None` for every other token.
    pub fn verify(&self, token: &str) -> Option<Claims> {
        let Signed { claims, iat, nbf, exp } = self.signed(token)?;
        let now = jiff::Timestamp::now().as_second();
        // RFC 7519, 4.1.4: the current time must be before `exp`. The library lets the last second pass.
        let in_time = exp > now && nbf.is_none_or(|nbf| nbf <= now) && iat <= now + CLOCK_SKEW_SECONDS;
        // We sign no token for longer. Another program with our secret might, and such a token would outlive every session.
        let lifetime = exp.saturating_sub(iat);
        (in_time && lifetime > 0 && lifetime <= self.ttl_seconds).then_some(claims)
    }

    /// The claims of a token if its signature and issuer are right. The caller checks its times.
    fn signed(&self, token: &str) -> Option<Signed> {
        let shard = || lock(&self.recent[shard_of(token)]);
        if let Some(signed) = shard().get(token) {
            return Some(*signed);
        }
        let decode = |key| jsonwebtoken::decode::<WireClaims>(token, key, &self.validation).ok();
        let decoded = self.verifying.iter().find_map(decode)?;
        // RFC 7515, 4.1.11: a recipient that does not understand an extension in `crit` must refuse the token. We understand
        // none.
        if decoded.header.crit.is_some() {
            return None;
        }
        let WireClaims { sub, sid, iat, nbf, exp, .. } = decoded.claims;
        let user_id = sub.parse().ok().filter(|id| *id > 0)?;
        let signed = Signed { claims: Claims { user_id, session_id: sid }, iat, nbf, exp };
        let mut shard = shard();
        if shard.len() >= RECENT_PER_SHARD {
            shard.clear();
        }
        shard.insert(token.to_string(), signed);
        Some(signed)
    }
}

/// The shard of a token, from the last letters of its signature. It takes several letters, because those of base64url are spread
/// unevenly over the byte values, and the very last one encodes only four bits.
fn shard_of(token: &str) -> usize {
    token.bytes().rev().take(8).map(usize::from).sum::<usize>() % SHARDS
}

/// A refresh token or a one-time token: 256 random bits for the client, and their SHA-256 for the database.
pub fn new_random_token() -> Result<(String, Vec<u8>), String> {
    let token = random_hex::<32>()?;
    let hash = token_hash(&token);
    Ok((token, hash))
}

/// The hash by which such a token is looked up.
pub fn token_hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// `N` random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(bytes)
}

/// The same as hexadecimal digits.
pub fn random_hex<const N: usize>() -> Result<String, String> {
    Ok(random::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `jsonwebtoken` takes its cryptography from outside. Only HS256 is needed, for which `hmac` and `sha2` are already
/// dependencies. Every other algorithm is refused, including `none`.
fn install_hs256() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256::new(key.as_bytes())?)),
            _ => Err(JwtError::from(ErrorKind::InvalidAlgorithm)),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::HS256 => Ok(Box::new(Hs256::new(key.try_get_as_bytes()?)?)),
            _ => Err(JwtError::from(ErrorKind::InvalidAlgorithm)),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An embedding program may have installed a provider already; that one works as well.
        let _ = PROVIDER.install_default();
    });
}

/// HMAC-SHA-256 with a key (RFC 7518, 3.2).
struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(key: &[u8]) -> Result<Hs256, JwtError> {
        Hmac::new_from_slice(key).map(Hs256).map_err(|_| JwtError::from(ErrorKind::InvalidKeyFormat))
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        // In constant time.
        self.0.clone().chain_update(message).verify_slice(signature).map_err(signature::Error::from_source)
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_remembers_about_as_many_tokens_as_the_others() {
        let tokens = Tokens::new("a secret of the tests, 32 bytes or more", None, 60);
        let mut counts = [0; SHARDS];
        for session_id in 1..=1600 {
            let (token, _) = tokens.issue(1, session_id, i64::MAX).expect("a token");
            counts[shard_of(&token)] += 1;
        }
        assert!(counts.iter().all(|count| (50..=200).contains(count)), "{counts:?}");
    }
}
