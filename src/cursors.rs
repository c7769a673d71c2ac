//! Cursors of sorted lists: a place in the order of a list, sealed so that a client can only hand it back.
//!
//! A place holds a value of the last record, such as a patient's name, and is part of a URL, which proxies log. So it is
//! encrypted as well as authenticated. The tag is an HMAC of the list and the place, and the key stream comes from the tag, as in
//! SIV (RFC 5297). No random number is needed, and the same place of the same list has the same text on every node. The keys are
//! derived from `JWT_SECRET`, so a cursor stays valid after a restart and while secrets are rotated.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

/// The length of a tag, in bytes.
const TAG_BYTES: usize = 16;

/// Seals and opens.
pub struct Cursors {
    /// The keys of the current secret, which seal, and those of the previous one while secrets are rotated.
    keys: Vec<Keys>,
}

struct Keys {
    tag: Hmac<Sha256>,
    stream: Hmac<Sha256>,
}

impl Cursors {
    /// # Errors
    /// A text if a secret cannot be used as a key; no such secret is known.
    pub fn new(secret: &str, previous: Option<&str>) -> Result<Cursors, String> {
        let keys = std::iter::once(secret).chain(previous).map(Keys::new).collect::<Result<_, _>>()?;
        Ok(Cursors { keys })
    }

    /// A place in this list, as text for a URL.
    pub fn seal(&self, list: &str, place: &impl Serialize) -> String {
        // Our own places always serialize.
        let mut place = serde_json::to_vec(place).unwrap_or_default();
        let Some(keys) = self.keys.first() else { return String::new() };
        let mut sealed = keys.tag(list, &place).finalize().into_bytes()[..TAG_BYTES].to_vec();
        keys.cipher(&sealed, &mut place);
        sealed.append(&mut place);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The place in a cursor of this list; `None` for any other text.
    pub fn open<T: DeserializeOwned>(&self, list: &str, cursor: &str) -> Option<T> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, hidden) = sealed.split_at_checked(TAG_BYTES)?;
        self.keys.iter().find_map(|keys| {
            let mut place = hidden.to_vec();
            keys.cipher(tag, &mut place);
            // In constant time.
            keys.tag(list, &place).verify_truncated_left(tag).ok()?;
            serde_json::from_slice(&place).ok()
        })
    }
}

impl Keys {
    fn new(secret: &str) -> Result<Keys, String> {
        let key =
            |bytes: &[u8]| Hmac::<Sha256>::new_from_slice(bytes).map_err(|_| "a secret cannot be a key".to_string());
        let secret = key(secret.as_bytes())?;
        let derived = |label: &str| key(&secret.clone().chain_update(label).finalize().into_bytes());
        Ok(Keys { tag: derived("list cursors: tag")?, stream: derived("list cursors: key stream")? })
    }

    fn tag(&self, list: &str, place: &[u8]) -> Hmac<Sha256> {
        self.tag.clone().chain_update(list).chain_update([0]).chain_update(place)
    }

    /// Encrypts or decrypts: XORs the text with the key stream of the tag.
    fn cipher(&self, tag: &[u8], text: &mut [u8]) {
        for (number, part) in (0_u32..).zip(text.chunks_mut(32)) {
            let stream =
                self.stream.clone().chain_update(tag).chain_update(number.to_be_bytes()).finalize().into_bytes();
            part.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
        }
    }
}
