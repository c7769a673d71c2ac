//! Properties of the parser and of the connection's state machine, over generated input.

use std::io::Write;

use healthcare_backend::internals::transport::{Cause, Config, Intake};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::harness::TestServer;

/// What came out of a stream: each request's method, target, fields and body, then the cause of a refusal.
type Outcome = (Vec<(String, String, usize, Vec<u8>)>, Option<Cause>);

fn read(pieces: &[&[u8]]) -> Outcome {
    let config = Config {
        request_line_bytes: 64,
        header_section_bytes: 128,
        header_lines: 4,
        body_bytes: 64,
        ..Config::default()
    };
    let mut intake = Intake::default();
    let mut requests = Vec::new();
    for piece in pieces {
        let mut bytes = *piece;
        loop {
            match intake.feed(bytes, &config) {
                Ok(Some(message)) => requests.push((
                    message.method().to_string(),
                    message.url().to_owned(),
                    message.fields().count(),
                    message.body().to_vec(),
                )),
                Ok(None) => break,
                Err(refusal) => return (requests, Some(refusal.cause)),
            }
            bytes = &[];
            if !intake.has_pending() {
                break;
            }
        }
    }
    (requests, None)
}

/// Streams of fragments that often make requests, near the bounds and beyond, and often do not.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let fragments = select(vec![
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5;x\r\nhello\r\n0\r\nT: u\r\n\r\n",
        "20\r\nhello world, hello world, 32 byte\r\n",
        "0\r\n\r\n",
        "GET /",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        " HTTP/1.1\r\n",
        "Host: a\r\n",
        "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        "Content-Length: 3\r\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "abc",
    ]);
    vec(fragments, 1..8).prop_map(|fragments| fragments.concat().into_bytes())
}

/// A body in chunks, as any client might write it.
fn encode(body: &[u8], cuts: &[Index], extension: &str, trailer: &str) -> Vec<u8> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.dedup();
    let mut encoded = Vec::new();
    for pair in places.windows(2) {
        write!(encoded, "{:X}{extension}\r\n", pair[1] - pair[0]).unwrap();
        encoded.extend_from_slice(&body[pair[0]..pair[1]]);
        encoded.extend_from_slice(b"\r\n");
    }
    write!(encoded, "0\r\n{trailer}\r\n").unwrap();
    encoded
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_outcome_does_not_depend_on_how_bytes_are_split(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let whole = read(&[&stream]);
        prop_assert_eq!(read(&pieces), whole.clone());
        prop_assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn a_chunked_body_is_decoded_to_what_was_encoded(
        body in vec(any::<u8>(), 0..64),
        cuts in vec(any::<Index>(), 0..8),
        extension in select(vec!["", ";a", " ; a=\"b\"", ";a;b=c"]),
        trailer in select(vec!["", "X: y\r\n", "X:\r\nY: z\r\n"]),
    ) {
        let mut stream = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        stream.extend(encode(&body, &cuts, extension, trailer));
        stream.extend_from_slice(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
        let (requests, refused) = read(&[&stream]);
        prop_assert_eq!(refused, None);
        prop_assert_eq!(requests.len(), 2);
        prop_assert_eq!(&requests[0].3, &body);
        prop_assert_eq!(&requests[1].1, "/after");
    }

    #[test]
    fn no_bytes_make_the_parser_panic(stream in vec(any::<u8>(), 0..300)) {
        read(&[&stream]);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        read(&[head, &stream]);
    }
}

/// What a client may do on one connection, and what it must then see.
#[derive(Debug, Clone, Copy)]
enum Act {
    Get,
    Head,
    Post,
    Chunked,
    OldKept,
    Close,
    OldClose,
    Broken,
    TooLong,
    Unserved,
}

impl Act {
    /// What is sent, the status that comes, and whether the connection goes on.
    fn script(self) -> (&'static str, u16, bool) {
        match self {
            Act::Get => ("GET /g HTTP/1.1\r\nHost: a\r\n\r\n", 200, true),
            Act::Head => ("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n", 200, true),
            Act::Post => ("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200, true),
            Act::Chunked => (
                "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                200,
                true,
            ),
            Act::OldKept => ("GET /o HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, true),
            Act::Close => ("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200, false),
            Act::OldClose => ("GET /y HTTP/1.0\r\n\r\n", 200, false),
            Act::Broken => ("GET /b HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, false),
            Act::TooLong => ("POST /t HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413, false),
            Act::Unserved => ("TRACE /u HTTP/1.1\r\nHost: a\r\n\r\n", 501, false),
        }
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    use Act::*;
    let going_on = select(vec![Get, Head, Post, Chunked, OldKept]);
    let ending = select(vec![Close, OldClose, Broken, TooLong, Unserved]);
    // Something follows the end, which must have no effect.
    (vec(going_on, 0..8), vec(ending, 0..3)).prop_map(|(acts, ends)| [acts, ends].concat())
}

#[test]
fn a_connection_follows_its_model() {
    let server = TestServer::start();
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(acts in acts(), cuts in vec(any::<Index>(), 0..4), in_turn in any::<bool>())| {
        let mut client = server.client();
        if !in_turn {
            let all: String = acts.iter().map(|act| act.script().0).collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len() + 1)).collect();
            places.extend([0, all.len()]);
            places.sort_unstable();
            for pair in places.windows(2) {
                client.send(&all.as_bytes()[pair[0]..pair[1]]);
            }
        }
        let mut open = true;
        for act in &acts {
            let (bytes, status, goes_on) = act.script();
            if in_turn {
                client.send(bytes.as_bytes());
            }
            let reply = match act {
                Act::Head => client.reply_to_head(),
                _ => client.reply(),
            };
            prop_assert_eq!(reply.status, status);
            prop_assert_eq!(reply.header("connection") == Some("close"), !goes_on);
            open = goes_on;
            if !open {
                break;
            }
        }
        if open {
            client.end();
        }
        prop_assert_eq!(client.rest(), b"");
    });
}
