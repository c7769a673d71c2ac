//! Answers to requests that never become complete: broken framing, sizes, time limits, too many connections. Their envelope, headers
//! and words are those of every other answer.

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;

use super::check;
use crate::harness::TestApp;
use crate::harness::http::{self, Answer};

/// Everything that the server sends until it closes the connection.
pub fn everything(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = http::connect(address);
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

/// The one answer that comes before the connection is closed.
#[track_caller]
fn last_answer(address: SocketAddr, request: &[u8]) -> Answer {
    let bytes = everything(address, request);
    let mut reader = BufReader::new(bytes.as_slice());
    let answer = http::read_answer(&mut reader, false).expect("an answer");
    check(&answer);
    assert!(http::read_answer(&mut reader, false).is_none(), "one answer only");
    assert_eq!(answer.header("connection"), Some("close"));
    answer
}

#[test]
fn broken_framing_is_400_in_the_envelope_and_closes() {
    let app = TestApp::start();
    let post = |fields: &str, body: &str| format!("POST /api/auth/login HTTP/1.1\r\n{fields}\r\n{body}");
    for request in [
        "GET /healthz HTTP/1.1\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\nHost: a\n\n".into(),
        "GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        "GET /healthz\r\nHost: a\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n".into(),
        post("Host: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        post("Host: a\r\nContent-Length: 2, 3\r\n", "{}"),
        post("Host: a\r\nContent-Length: +2\r\n", "{}"),
        post("Host: a\r\nContent-Length: -2\r\n", "{}"),
        post("Host: a\r\nContent-Length: 0x2\r\n", "{}"),
        post("Host: a\r\nContent-Length: 99999999999999999999999\r\n", "{}"),
        post("Host: a\r\nTransfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        post("Host: a\r\nTransfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    ] {
        let request: String = request;
        let answer = last_answer(app.address, request.as_bytes());
        let allowed: &[u16] = match () {
            () if request.contains("9999999999") => &[400, 413],
            () if request.contains("identity") => &[400, 501],
            () => &[400],
        };
        assert!(allowed.contains(&answer.status), "{} to {request:?}", answer.status);
        assert_eq!(answer.json()["status"], "invalid", "{request:?}");
    }
    app.anyone().get("/healthz").expect(200, "success");
}

#[test]
fn each_part_that_is_too_large_has_its_own_status() {
    let app = TestApp::start();
    let get = |target: &str, fields: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        http::raw(app.address, request.as_bytes(), false)
    };
    // The request line: 8 KiB without its line end, of which 13 bytes are `GET ` and ` HTTP/1.1`.
    let target = |bytes: usize| format!("/{}", "a".repeat(bytes - 14));
    assert_eq!(get(&target(8192), "").status, 404);
    let answer = get(&target(8193), "").expect(414, "invalid");
    check(&answer);
    // The header section: 16 KiB with its line ends.
    let own = "Host: a\r\nConnection: close\r\nX: \r\n".len();
    assert_eq!(get("/healthz", &format!("X: {}\r\n", "a".repeat(16_384 - own))).status, 200);
    check(&get("/healthz", &format!("X: {}\r\n", "a".repeat(16_385 - own))).expect(431, "invalid"));
    assert_eq!(get("/healthz", &"X: a\r\n".repeat(98)).status, 200, "100 lines");
    check(&get("/healthz", &"X: a\r\n".repeat(99)).expect(431, "invalid"));
}

#[test]
fn a_feature_that_is_not_served_is_refused_by_name() {
    let app = TestApp::start();
    for (request, status) in [
        ("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET /healthz HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nExpect: a-pony\r\nContent-Length: 2\r\n\r\n{}", 417),
        ("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413),
    ] {
        last_answer(app.address, request.as_bytes()).expect(status, "invalid");
    }
}

#[test]
fn a_refusal_carries_the_request_id_where_it_could_be_read() {
    let app = TestApp::start();
    let request =
        "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\nContent-Length: 99999999\r\n\r\n";
    assert_eq!(last_answer(app.address, request.as_bytes()).header("x-request-id"), Some("mine-1"));
    let request = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nX-Request-Id: <b>\r\nContent-Length: 99999999\r\n\r\n";
    assert_ne!(last_answer(app.address, request.as_bytes()).header("x-request-id"), Some("<b>"));
}

#[test]
fn a_refusal_quotes_nothing_of_the_request() {
    let app = TestApp::start();
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: a\r\n<secret> : b\r\n\r\n",
        "GET /<secret> HTTP/1.1\r\nHost: a\r\n\r\n",
        "SECRET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: <secret>\r\n\r\n",
    ] {
        let answer = http::raw(app.address, request.as_bytes(), false);
        check(&answer);
        assert!(answer.status >= 400, "{request:?}");
        assert!(!String::from_utf8_lossy(&answer.body).to_lowercase().contains("secret"), "{request:?}");
    }
}

#[test]
fn a_connection_beyond_the_limit_is_503_and_the_others_live_on() {
    let app = TestApp::with(|config| config.max_connections = 3);
    let (start, rest) = ("GET /healthz HTTP/1.1\r\nHost: a\r\n", b"\r\n");
    let mut busy: Vec<_> = (0..3).map(|_| http::connect(app.address)).collect();
    for stream in &mut busy {
        stream.write_all(start.as_bytes()).expect("half a head");
    }
    let refused = last_answer(app.address, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect(503, "failed");
    assert!(refused.header("retry-after").is_some());
    for stream in &mut busy {
        stream.write_all(rest).expect("the other half");
        let answer = http::read_answer(&mut BufReader::new(stream), false).expect("an answer");
        assert_eq!(answer.status, 200, "the connections that were there first");
    }
    // Now they are idle, and the one that has been idle longest makes room.
    let bytes = everything(app.address, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn a_head_that_never_ends_is_408_after_its_ten_seconds_and_not_before() {
    let app = TestApp::start();
    let started = std::time::Instant::now();
    last_answer(app.address, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ").expect(408, "failed");
    assert!(started.elapsed().as_secs() >= 9);
}
