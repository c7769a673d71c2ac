//! Any bytes as a connection's input: no panic, and the same outcome whole and byte by byte.

#![no_main]

use healthcare_backend::internals::transport::{Config, Intake};
use libfuzzer_sys::fuzz_target;

/// The requests of a stream and the cause of its refusal, as text.
fn outcome(pieces: &mut dyn Iterator<Item = &[u8]>) -> String {
    let (mut intake, config) = (Intake::default(), Config::default());
    let mut text = String::new();
    for piece in pieces {
        let mut bytes = piece;
        loop {
            match intake.feed(bytes, &config) {
                Ok(Some(message)) => {
                    let (method, url, body) = (message.method(), message.url(), message.body());
                    let fields: Vec<(&str, &str)> = message.fields().collect();
                    text.push_str(&format!("{method} {url} {fields:?} {body:?}\n"));
                }
                Ok(None) => break,
                Err(refusal) => return format!("{text}{:?}", refusal.cause),
            }
            bytes = &[];
            if !intake.has_pending() {
                break;
            }
        }
    }
    text
}

fuzz_target!(|stream: &[u8]| {
    let whole = outcome(&mut std::iter::once(stream));
    assert_eq!(outcome(&mut stream.chunks(1)), whole);
});
