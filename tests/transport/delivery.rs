//! Requests arrive whole and in order, however they were sent; answers likewise.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use healthcare_backend::internals::transport::{Config, Refusal, Request};

use crate::harness::{Client, TestServer, echo, parse_replies};

const POST: &[u8] = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &[u8] =
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\nT: u\r\n\r\n";

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = TestServer::start();
    let mut client = server.client();
    for request in [POST, CHUNKED] {
        for byte in request {
            client.send(&[*byte]);
        }
        assert!(client.reply().text().ends_with("\n\nhello"));
    }
}

#[test]
fn a_request_may_be_split_at_any_byte() {
    let server = TestServer::start();
    let mut client = server.client();
    for request in [POST, CHUNKED] {
        for at in 1..request.len() {
            client.send(&request[..at]);
            // The server takes the first part on its own at least when this answer is on its way in between.
            server.client().get("/between");
            client.send(&request[at..]);
            assert!(client.reply().text().ends_with("\n\nhello"), "split at {at}");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut all = Vec::new();
    for number in 0..2000 {
        let body = "x".repeat(number % 50);
        write!(all, "POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    }
    let mut writer = client.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&all).unwrap());
        for number in 0..2000 {
            let reply = client.reply();
            let start = format!("POST /{number}\n");
            assert!(reply.text().starts_with(&start), "{number}: {}", reply.text());
            assert!(reply.text().ends_with(&"x".repeat(number % 50)));
        }
    });
}

#[test]
fn one_connection_has_one_request_in_hand_at_a_time() {
    let in_hand = AtomicUsize::new(0);
    let server = TestServer::with(Config::default(), move |request| {
        let others = in_hand.fetch_add(1, Ordering::SeqCst);
        std::thread::yield_now();
        in_hand.fetch_sub(1, Ordering::SeqCst);
        let body = others.to_string().into_bytes();
        let _ = request.respond(200, &[], body);
    });
    let mut client = server.client();
    client.send(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500));
    for _ in 0..500 {
        assert_eq!(client.reply().text(), "0");
    }
}

#[test]
fn an_interim_100_comes_only_when_the_body_will_be_read() {
    let server = TestServer::start();
    let head = |length: u64, expect: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: {expect}\r\n\r\n")
    };
    let mut client = server.client();
    client.send(head(5, "100-continue").as_bytes());
    assert_eq!(client.reply().status, 100);
    client.send(b"hello");
    assert_eq!(client.reply().status, 200);

    // The body is there already, or there is none: no interim answer.
    client.send(format!("{}hello", head(5, "100-continue")).as_bytes());
    assert_eq!(client.reply().status, 200);
    client.send(head(0, "100-continue").as_bytes());
    assert_eq!(client.reply().status, 200);

    for (length, expect, status) in [(1 << 40, "100-continue", 413), (5, "x", 417)] {
        let replies = parse_replies(&server.exchange(head(length, expect).as_bytes()));
        assert_eq!(replies.iter().map(|reply| reply.status).collect::<Vec<_>>(), [status]);
    }
    // HTTP/1.0 has no interim answers.
    let mut client = server.client();
    client.send(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    client.send(b"hi");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn connections_are_kept_or_closed_as_the_client_wishes() {
    let server = TestServer::start();
    for (version, connection, kept, said) in [
        ("1.1", "", true, None),
        ("1.1", "Connection: keep-alive\r\n", true, None),
        ("1.1", "Connection: close\r\n", false, Some("close")),
        ("1.1", "Connection: Upgrade, CLOSE\r\n", false, Some("close")),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false, Some("close")),
        ("1.0", "", false, Some("close")),
        ("1.0", "Connection: Keep-Alive\r\n", true, Some("keep-alive")),
        ("1.0", "Connection: keep-alive, close\r\n", false, Some("close")),
    ] {
        let mut client = server.client();
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n").as_bytes());
        let reply = client.reply();
        assert_eq!(reply.header("connection"), said, "{version} {connection:?}");
        if kept {
            assert_eq!(client.get("/again").status, 200);
        } else {
            assert_eq!(client.rest(), b"", "{version} {connection:?}");
        }
    }
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.end();
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.rest(), b"");

    for cut in [&POST[..10], &POST[..POST.len() - 1], &CHUNKED[..CHUNKED.len() - 1]] {
        let mut client = server.client();
        client.send(cut);
        client.end();
        let replies = parse_replies(&client.rest());
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].status, 400);
    }
    assert_eq!(server.delivered(), 1, "half a request is none");
}

fn answer_by_path(request: Request) {
    let status = request.url()[1..].parse().unwrap();
    let fields = [("Transfer-Encoding", "chunked"), ("Content-Length", "99"), ("Connection", "x"), ("X-A", "b")];
    let _ = request.respond(status, &fields.map(|(name, value)| (name, value.into())), "body");
}

#[test]
fn some_answers_have_no_body() {
    let server = TestServer::with(Config::default(), answer_by_path);
    let mut client = server.client();
    for (status, length) in [(200, Some("4")), (204, None), (304, None), (404, Some("4"))] {
        let reply = client.get(&format!("/{status}"));
        assert_eq!(reply.header("content-length"), length, "{status}");
        assert_eq!(reply.header("transfer-encoding"), None);
        assert_eq!(reply.header("connection"), None);
        assert_eq!(reply.header("x-a"), Some("b"));
        client.send(format!("HEAD /{status} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let head = client.reply_to_head();
        assert_eq!(head.header("content-length"), length, "HEAD {status}");
    }
    client.send(b"HEAD /200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.reply_to_head();
    assert_eq!(client.rest(), b"");
    let refused = server.exchange(b"HEAD /200 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert!(refused.starts_with(b"HTTP/1.1 400 ") && refused.ends_with(b"\r\n\r\n"));
}

#[test]
fn a_request_that_is_dropped_is_answered_500() {
    let server = TestServer::with(Config::default(), drop);
    let replies = parse_replies(&server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(replies[0].status, 500);
    assert_eq!(replies[0].header("connection"), Some("close"));
    assert_eq!(server.refused("unanswered"), 1);
}

#[test]
fn any_thread_may_answer() {
    let (sender, receiver) = mpsc::channel::<Request>();
    let answering = std::thread::spawn(move || receiver.into_iter().for_each(echo));
    let sender = Mutex::new(sender);
    let server = TestServer::with(Config::default(), move |request| {
        sender.lock().unwrap().send(request).unwrap();
    });
    let mut client = server.client();
    client.send(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100));
    for _ in 0..100 {
        assert_eq!(client.reply().status, 200);
    }
    drop(client);
    server.server.close();
    server.join();
    answering.join().unwrap();
}

#[test]
fn slow_readers_hold_no_worker() {
    const BODY: usize = 10_000_000;
    let server = TestServer::with(Config::default(), |request| {
        let length = if request.url() == "/big" { BODY } else { 1 };
        let body = vec![b'x'; length];
        let _ = request.respond(200, &[], body);
    });
    // More of them than there are workers; none reads yet, and one has sent two requests.
    let mut slow: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for client in &mut slow {
        client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    slow[0].send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..100 {
        assert_eq!(server.client().get("/small").body.len(), 1);
    }
    for client in &mut slow {
        let reply = read_big(client, BODY);
        assert_eq!(reply, BODY);
    }
    assert_eq!(slow[0].reply().body.len(), 1);
}

/// Reads an answer with a body of `length` bytes; returns how long it was.
fn read_big(client: &mut Client, length: usize) -> usize {
    use std::io::Read;
    let head_length =
        format!("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: {length}\r\n\r\n").len();
    let mut all = vec![0; head_length + length];
    client.stream.read_exact(&mut all).unwrap();
    assert!(all[head_length..] == vec![b'x'; length]);
    length
}

#[test]
fn refusals_are_rendered_by_the_application() {
    let config = Config {
        refusal: std::sync::Arc::new(|refusal: &Refusal| {
            let text = format!(
                "{} {} {:?} {:?}",
                refusal.cause.status(),
                refusal.cause.label(),
                refusal.field,
                refusal.request_id
            );
            (vec![("X-Made-By", "test".into())], text.into_bytes())
        }),
        ..Config::default()
    };
    let server = TestServer::with_config(config);
    let sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-1\r\nContent-Length: x\r\n\r\n";
    let replies = parse_replies(&server.exchange(sent));
    assert_eq!(replies[0].text(), "400 content_length Some(\"content-length\") Some(\"r-1\")");
    assert_eq!(replies[0].header("x-made-by"), Some("test"));
    let replies = parse_replies(&server.exchange(b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(replies[0].text(), "400 target None None");
}

#[test]
fn a_client_that_sends_on_after_a_refusal_still_reads_the_answer() {
    let server = TestServer::start();
    for _ in 0..20 {
        let mut client = server.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n");
        client.send(&vec![b'x'; 900_000]);
        assert_eq!(client.reply().status, 413);
        assert_eq!(client.rest(), b"");
    }
}
