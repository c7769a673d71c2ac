//! Deadlines end requests and answers that do not end by themselves, whatever bytes keep coming.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use healthcare_backend::internals::transport::Config;

use crate::harness::{Client, TestServer, echo, parse_replies};

/// Short, but not so short that a stall of a busy machine passes for a deadline.
fn quick() -> Config {
    Config { head_ms: 150, body_ms: 150, idle_ms: 500, answer_ms: 150, linger_ms: 150, ..Config::default() }
}

/// Sends a byte every few milliseconds until the server closes; returns what it said, and when.
fn drip(client: &mut Client, first: &[u8]) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    client.send(first);
    let wait = Some(Duration::from_millis(10));
    client.stream.set_read_timeout(wait).unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match client.stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let _ = client.stream.write_all(b"x");
            }
            Err(_) => break,
        }
        assert!(start.elapsed() < Duration::from_secs(10), "still open");
    }
    (said, start.elapsed())
}

#[test]
fn a_head_has_its_time_however_it_drips() {
    let server = TestServer::with_config(quick());
    let (said, after) = drip(&mut server.client(), b"GET / HTTP/1.1\r\nX: ");
    assert_eq!(parse_replies(&said)[0].status, 408);
    assert!(after >= Duration::from_millis(140), "{after:?}");
    assert_eq!(server.refused("head_timeout"), 1);
}

#[test]
fn a_body_has_its_time_however_it_drips() {
    let server = TestServer::with_config(quick());
    for framing in ["Content-Length: 10000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1000\r\n"] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}");
        let (said, after) = drip(&mut server.client(), head.as_bytes());
        assert_eq!(parse_replies(&said)[0].status, 408);
        assert!(after >= Duration::from_millis(140), "{after:?}");
    }
    assert_eq!(server.refused("body_timeout"), 2);
}

#[test]
fn a_head_cut_short_after_an_answer_has_its_time_too() {
    let server = TestServer::with_config(Config { idle_ms: 60_000, ..quick() });
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /");
    let replies = parse_replies(&client.rest());
    assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [200, 408]);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = TestServer::with_config(quick());
    assert_eq!(server.client().rest(), b"");
    let mut used = server.client();
    used.get("/");
    assert_eq!(used.rest(), b"");
    // The line end that old clients send after a body is no request.
    let mut used = server.client();
    used.send(b"\r\n");
    assert_eq!(used.rest(), b"");
    assert_eq!(server.refused("head_timeout"), 0);
}

#[test]
fn a_connection_in_use_is_not_idle() {
    let server = TestServer::with_config(quick());
    let mut client = server.client();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn handling_has_no_deadline() {
    let gate = std::sync::Arc::new(Mutex::new(()));
    let held = gate.clone();
    let server = TestServer::with(quick(), move |request| {
        if request.url() == "/wait" {
            drop(held.lock().unwrap());
        }
        echo(request);
    });
    let mut waiting = server.client();
    let guard = gate.lock().unwrap();
    waiting.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    // Three idle times of another connection pass meanwhile.
    for _ in 0..3 {
        assert_eq!(server.client().rest(), b"");
    }
    drop(guard);
    assert_eq!(waiting.reply().status, 200);
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let server = TestServer::with(quick(), |request| {
        let body = vec![b'x'; 20_000_000];
        let _ = request.respond(200, &[], body);
    });
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    crate::harness::eventually("the connection is cut", || {
        let stats = server.server.stats();
        stats.requests_total == 1 && stats.open_connections == 0
    });
    assert!(client.rest().len() < 20_000_000);
}

/// Reads an answer of 20 MB, `bytes` in each idle time of another connection, until it ends or is given up; returns how much came.
fn read_at_a_rate(bytes: usize) -> usize {
    let config = Config { idle_ms: 100, answer_ms: 500, answer_bytes: 1_000_000, ..Config::default() };
    let server = TestServer::with(config, |request| {
        let _ = request.respond(200, &[], vec![b'x'; 20_000_000]);
    });
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (mut part, mut all) = (vec![0; bytes], 0);
    loop {
        assert_eq!(server.client().rest(), b"");
        all += client.stream.read(&mut part).unwrap_or(0);
        if server.server.stats().open_connections == 0 {
            return all + client.rest().len();
        }
    }
}

#[test]
fn an_answer_may_take_long_if_the_client_keeps_a_minimum_rate() {
    assert!(read_at_a_rate(1_500_000) > 20_000_000);
}

#[test]
fn an_answer_that_is_taken_too_slowly_is_given_up() {
    assert!(read_at_a_rate(50_000) < 20_000_000);
}

#[test]
fn a_closed_connection_is_read_only_for_a_while() {
    let server = TestServer::with_config(quick());
    let (said, _) = drip(&mut server.client(), b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(parse_replies(&said)[0].status, 400);
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    crate::harness::eventually("it is gone", || server.server.stats().open_connections == 0);
}

#[test]
fn a_deadline_comes_though_every_worker_was_busy_before() {
    // One worker only, which sleeps without a timer until the connection comes.
    let (server, address) = crate::harness::server_without_workers(quick());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(request) = crate::harness::next(&server) {
                echo(request);
            }
        });
        let mut client = Client::connect(address);
        assert_eq!(client.get("/").status, 200);
        assert_eq!(client.rest(), b"");
        server.close();
    });
}
