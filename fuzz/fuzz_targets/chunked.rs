//! Any bytes as a chunked body: no panic, never more than the bound, and what was encoded comes back.

#![no_main]

use healthcare_backend::internals::transport::{Config, Intake};
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fuzz_target!(|input: &[u8]| {
    let config = Config { body_bytes: 1024, ..Config::default() };
    let hostile = [HEAD, input].concat();
    if let Ok(Some(message)) = Intake::default().feed(&hostile, &config) {
        assert!(message.body().len() <= 1024);
    }
    let body = &input[..input.len().min(1024)];
    let mut sound = HEAD.to_vec();
    for chunk in body.chunks(1 + input.len() % 7) {
        sound.extend(format!("{:x}\r\n", chunk.len()).bytes());
        sound.extend_from_slice(chunk);
        sound.extend_from_slice(b"\r\n");
    }
    sound.extend_from_slice(b"0\r\n\r\n");
    let message = Intake::default().feed(&sound, &config).expect("accepted").expect("complete");
    assert_eq!(message.body(), body);
});
