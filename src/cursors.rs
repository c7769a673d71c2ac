//! Cursors of sorted lists: a position in the order of a list, sealed so that a client can only hand it back.
//!
//! A position holds a value of the last record, such as a patient's name, and is part of a URL, which proxies log. The seal hides it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::seal::Seals;

/// Seals and opens.
pub struct Cursors(pub Arc<Seals>);

impl Cursors {
    /// A position in this list, as text for a URL.
    pub fn seal(&self, list: &str, position: &impl Serialize) -> String {
        // Our own positions always serialize.
        let position = serde_json::to_vec(position).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(self.0.seal(&purpose(list), &position))
    }

    /// The position in a cursor of this list; `None` for any other text.
    pub fn open<T: DeserializeOwned>(&self, list: &str, cursor: &str) -> Option<T> {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        serde_json::from_slice(&self.0.open(&purpose(list), &sealed)?.bytes).ok()
    }
}

fn purpose(list: &str) -> String {
    format!("cursor of {list}")
}
