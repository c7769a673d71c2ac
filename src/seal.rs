//! Seals: bytes that leave the process, or rest in the database, and that only the service can read or make. The cipher is AES-256-GCM.
//! Its keys are derived from `JWT_SECRET`, so what is sealed stays good after a restart, at every node, and while secrets are rotated.
//!
//! The nonce is an HMAC of what is sealed, as in SIV (RFC 5297): it repeats only for the same bytes with the same purpose, and no random
//! number is needed.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

/// Seals and opens.
pub struct Seals {
    /// The keys of the current secret, which seal, and those of the previous one while secrets are rotated.
    keys: Vec<Keys>,
}

struct Keys {
    nonce: hmac::Key,
    cipher: LessSafeKey,
}

/// What was sealed.
pub struct Opened {
    pub bytes: Vec<u8>,
    /// Whether the current secret has sealed it, rather than the previous one.
    pub is_current: bool,
}

impl Seals {
    /// # Errors
    /// A text if a secret cannot be used as a key; no such secret is known.
    pub fn new(secret: &str, previous: Option<&str>) -> Result<Seals, String> {
        let keys = std::iter::once(secret).chain(previous).map(Keys::new).collect::<Result<_, _>>()?;
        Ok(Seals { keys })
    }

    /// Seals the bytes. Only who names the same purpose can open them.
    pub fn seal(&self, purpose: &str, bytes: &[u8]) -> Vec<u8> {
        let Some(keys) = self.keys.first() else { return Vec::new() };
        let nonce = keys.nonce(purpose, bytes);
        let mut sealed = bytes.to_vec();
        let nonce_of_cipher = Nonce::assume_unique_for_key(nonce);
        // Fails only beyond 64 GiB; nobody can open the empty answer.
        if keys.cipher.seal_in_place_append_tag(nonce_of_cipher, Aad::from(purpose), &mut sealed).is_err() {
            return Vec::new();
        }
        [&nonce, sealed.as_slice()].concat()
    }

    /// The bytes, if they were sealed for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Option<Opened> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        self.keys.iter().enumerate().find_map(|(age, keys)| {
            let mut bytes = sealed.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let length = keys.cipher.open_in_place(nonce, Aad::from(purpose), &mut bytes).ok()?.len();
            bytes.truncate(length);
            Some(Opened { bytes, is_current: age == 0 })
        })
    }
}

impl Keys {
    fn new(secret: &str) -> Result<Keys, String> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let derived = |label: &str| hmac::sign(&secret, label.as_bytes());
        let cipher = UnboundKey::new(&AES_256_GCM, derived("seals: cipher").as_ref());
        let cipher = LessSafeKey::new(cipher.map_err(|_| "a secret cannot be a key".to_string())?);
        Ok(Keys { nonce: hmac::Key::new(hmac::HMAC_SHA256, derived("seals: nonce").as_ref()), cipher })
    }

    fn nonce(&self, purpose: &str, bytes: &[u8]) -> [u8; NONCE_LEN] {
        let mut context = hmac::Context::with_key(&self.nonce);
        context.update(&(purpose.len() as u64).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(bytes);
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&context.sign().as_ref()[..NONCE_LEN]);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old secret of the tests, 32 bytes or more";
    const NEW: &str = "a new secret of the tests, 32 bytes or more";

    #[test]
    fn only_the_same_purpose_and_secret_open_what_was_sealed() {
        let (old, new) = (Seals::new(OLD, None).expect("keys"), Seals::new(NEW, None).expect("keys"));
        let rotating = Seals::new(NEW, Some(OLD)).expect("keys");
        let sealed = old.seal("user 1", b"a secret");
        assert_eq!(sealed, old.seal("user 1", b"a secret"), "the same at every node");
        assert_ne!(sealed[..NONCE_LEN], old.seal("user 1", b"a secreT")[..NONCE_LEN]);
        assert!(old.open("user 1", &sealed).is_some_and(|opened| opened.bytes == b"a secret" && opened.is_current));
        assert!(
            rotating.open("user 1", &sealed).is_some_and(|opened| opened.bytes == b"a secret" && !opened.is_current)
        );
        assert!(new.open("user 1", &sealed).is_none() && old.open("user 2", &sealed).is_none());
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert!(old.open("user 1", &altered).is_none() && old.open("user 1", &sealed[..place]).is_none());
        }
    }
}
