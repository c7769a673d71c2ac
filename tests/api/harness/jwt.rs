//! Access tokens of the tests' own making, true and forged: JSON Web Tokens (RFC 7519) put together by hand, without the
//! library that the service checks them with.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How a token is signed, whatever its header says.
#[derive(Clone, Copy)]
pub enum Sign {
    Sha256,
    Sha512,
    Nothing,
}

/// The claims of a token, unchecked.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&decode(payload)).expect("JSON")
}

/// A token with these claims as the service would sign it.
pub fn signed(claims: &Value, secret: &str) -> String {
    with_header(&json!({ "alg": "HS256", "typ": "JWT" }), claims, secret, Sign::Sha256)
}

/// A token with this header and these claims, signed in this way.
pub fn with_header(header: &Value, claims: &Value, secret: &str, sign: Sign) -> String {
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = match sign {
        Sign::Sha256 => {
            let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
            encode(&mac.chain_update(message.as_bytes()).finalize().into_bytes())
        }
        Sign::Sha512 => {
            let mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).expect("a key");
            encode(&mac.chain_update(message.as_bytes()).finalize().into_bytes())
        }
        Sign::Nothing => String::new(),
    };
    format!("{message}.{signature}")
}

/// Base64url without padding (RFC 4648, 5).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let joined = group.iter().fold(0u32, |joined, byte| joined << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(ALPHABET[(joined >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| ALPHABET.iter().position(|known| *known == byte).expect("base64url") as u32;
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let joined = group.iter().fold(0u32, |joined, byte| joined << 6 | value(*byte)) << (6 * (4 - group.len()));
        bytes.extend(&joined.to_be_bytes()[1..group.len()]);
    }
    bytes
}
