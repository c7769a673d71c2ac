//! Each bound from both sides: the longest that passes, and the shortest that does not.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use healthcare_backend::internals::transport::{AddressHook, Config, Request, Room, RoomHook};

use crate::harness::{Client, PATIENCE, TestServer, echo, eventually, parse_replies};

fn status(server: &TestServer, bytes: &[u8]) -> u16 {
    let mut client = server.client();
    client.send(bytes);
    client.reply().status
}

#[test]
fn request_lines_of_8_kib() {
    let server = TestServer::start();
    let request = |length: usize| {
        let target = "a".repeat(length - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    assert_eq!(status(&server, request(8192).as_bytes()), 200);
    assert_eq!(status(&server, request(8193).as_bytes()), 414);
    // Refused before it ends.
    assert_eq!(status(&server, "a".repeat(8194).as_bytes()), 414);
}

#[test]
fn header_sections_of_16_kib_and_100_lines() {
    let server = TestServer::start();
    let sized = |length: usize| {
        let value = "a".repeat(length - "Host: a\r\nX: \r\n".len());
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n")
    };
    assert_eq!(status(&server, sized(16_384).as_bytes()), 200);
    assert_eq!(status(&server, sized(16_385).as_bytes()), 431);
    let unended = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(16_384));
    assert_eq!(status(&server, unended.as_bytes()), 431);

    let lines = |count: usize| {
        let more = "X: y\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    assert_eq!(status(&server, lines(24).as_bytes()), 200);
    assert_eq!(status(&server, lines(25).as_bytes()), 200);
    assert_eq!(status(&server, lines(100).as_bytes()), 200);
    assert_eq!(status(&server, lines(101).as_bytes()), 431);
}

#[test]
fn bodies() {
    let server = TestServer::with_config(Config { body_bytes: 1000, ..Config::default() });
    let sized = |length: usize| {
        let body = "x".repeat(length);
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    assert_eq!(status(&server, sized(1000).as_bytes()), 200);
    assert_eq!(status(&server, sized(1001).as_bytes()), 413);
    // From the header alone, and without a byte of memory for what was declared.
    for length in ["1001", "1000000000000000000"] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(status(&server, head.as_bytes()), 413);
    }
    let chunked = |sizes: &[usize]| {
        let chunks = sizes.iter().map(|size| format!("{size:x}\r\n{}\r\n", "x".repeat(*size)));
        let chunks: String = chunks.collect();
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    assert_eq!(status(&server, chunked(&[1000]).as_bytes()), 200);
    assert_eq!(status(&server, chunked(&[1; 1000]).as_bytes()), 200);
    assert_eq!(status(&server, chunked(&[1001]).as_bytes()), 413);
    assert_eq!(status(&server, chunked(&[999, 2]).as_bytes()), 413);
    assert_eq!(status(&server, chunked(&[1; 1001]).as_bytes()), 413);
}

/// Room for this many bytes, as a server takes it.
fn room_for(bytes: usize) -> (Arc<AtomicUsize>, RoomHook) {
    struct Part(Arc<AtomicUsize>, usize);
    impl Drop for Part {
        fn drop(&mut self) {
            self.0.fetch_add(self.1, Ordering::SeqCst);
        }
    }
    let free = Arc::new(AtomicUsize::new(bytes));
    let left = Arc::clone(&free);
    let take = move |bytes| {
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes)).ok()?;
        Some(Box::new(Part(Arc::clone(&left), bytes)) as Room)
    };
    (free, Arc::new(take))
}

#[test]
fn long_bodies_together() {
    let (free, body_room) = room_for(2500);
    let config = Config { body_bytes: 1000, short_body_bytes: 100, body_room, ..Config::default() };
    let (server, held) = holding(config);
    let post = |length: usize, sent: usize| {
        let head = format!("POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let mut client = server.client();
        client.send(&[head.as_bytes(), &vec![b'x'; sent]].concat());
        client
    };
    // A declared length takes nothing, a body that is long already takes it all, and a chunked one the most that it can become.
    let (_declared, half) = (post(1000, 100), post(900, 101));
    let mut chunked = server.client();
    chunked.send(b"POST /held HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n");
    chunked.send(&[b'x'; 101]);
    eventually("both have their room", || free.load(Ordering::SeqCst) == 600);
    assert_turned_away(post(601, 601));
    assert_eq!(server.refused("body_room"), 1);
    // Where there is room, it is held until the answer, and short bodies need none.
    let whole = post(600, 600);
    let request = held.recv_timeout(PATIENCE).unwrap();
    assert_eq!(free.load(Ordering::SeqCst), 0);
    let short = post(100, 100);
    finish((short, held.recv_timeout(PATIENCE).unwrap()));
    finish((whole, request));
    drop((half, chunked));
    eventually("all room is free", || free.load(Ordering::SeqCst) == 2500);
}

/// A server that keeps the requests for `/held` until the test answers them, so that their connections are busy.
fn holding(config: Config) -> (TestServer, Receiver<Request>) {
    let (sender, held) = mpsc::channel();
    let sender = Mutex::new(sender);
    let handle = move |request: Request| match request.url() {
        "/held" => sender.lock().unwrap().send(request).unwrap(),
        _ => echo(request),
    };
    (TestServer::with(config, handle), held)
}

/// A client whose request the server has, and that request.
fn busy(server: &TestServer, held: &Receiver<Request>) -> (Client, Request) {
    let mut client = server.client();
    client.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    (client, held.recv_timeout(PATIENCE).unwrap())
}

fn finish((mut client, request): (Client, Request)) -> Client {
    echo(request);
    assert_eq!(client.reply().status, 200);
    client
}

fn assert_turned_away(mut client: Client) {
    let replies = parse_replies(&client.rest());
    assert_eq!(replies[0].status, 503);
    assert!(replies[0].header("retry-after").is_some());
}

#[test]
fn connections() {
    let (server, held) = holding(Config { max_connections: 10, ..Config::default() });
    let mut inside: Vec<_> = (0..10).map(|_| busy(&server, &held)).collect();
    for _ in 0..100 {
        assert_turned_away(server.client());
    }
    assert_eq!(server.refused("connections"), 100);
    // One goes, one may come.
    drop(finish(inside.remove(0)));
    eventually("a place is free", || {
        let mut client = server.client();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.reply().status == 200
    });
    for client in inside {
        finish(client);
    }
}

#[test]
fn connections_of_one_address() {
    let (server, held) = holding(Config { max_connections_per_address: 2, ..Config::default() });
    let (first, second) = (busy(&server, &held), busy(&server, &held));
    assert_turned_away(server.client());
    assert_eq!(server.refused("connections_of_address"), 1);
    assert_eq!(Client::from_address([127, 0, 0, 2], server.address).get("/").status, 200);
    // Its own idle connection makes room for a new one.
    let mut first = finish(first);
    assert_eq!(server.client().get("/").status, 200);
    assert_eq!(first.rest(), b"");
    finish(second);
}

#[test]
fn connections_of_an_address_that_many_clients_share_count_only_toward_the_total() {
    let is_shared_address: AddressHook = Arc::new(|address| address.is_loopback());
    let config = Config { max_connections: 5, max_connections_per_address: 2, is_shared_address, ..Config::default() };
    let (server, held) = holding(config);
    let inside: Vec<_> = (0..5).map(|_| busy(&server, &held)).collect();
    assert_turned_away(server.client());
    assert_eq!((server.refused("connections"), server.refused("connections_of_address")), (1, 0));
    for client in inside {
        finish(client);
    }
}

#[test]
fn the_connection_that_has_been_idle_longest_makes_room() {
    let (server, held) = holding(Config { max_connections: 3, ..Config::default() });
    let mut silent = server.client();
    eventually("it is in", || server.server.stats().open_connections == 1);
    // The server's clock counts milliseconds: the two must not have fallen idle at once.
    let (mut asking, start) = (server.client(), Instant::now());
    while start.elapsed() < Duration::from_millis(5) {
        assert_eq!(asking.get("/").status, 200);
    }
    let busy = busy(&server, &held);
    assert_eq!(server.client().get("/").status, 200);
    assert_eq!(silent.rest(), b"", "it goes first");
    assert_eq!(asking.get("/").status, 200);
    finish(busy);
    assert_eq!(server.refused("connections"), 0);
}

#[test]
fn every_connection_that_is_turned_away_is_told_why_and_costs_nothing() {
    let (server, held) = holding(Config { max_connections: 1, linger_ms: 100, ..Config::default() });
    let inside = busy(&server, &held);
    let mut outside: Vec<Client> = (0..300).map(|_| server.client()).collect();
    // Half of them ask, some before and some after the server has closed.
    for client in outside.iter_mut().step_by(2) {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("all are counted", || server.refused("connections") == 300);
    assert!(server.server.stats().open_connections <= 65);
    eventually("they are gone", || server.server.stats().open_connections == 1);
    outside.into_iter().for_each(assert_turned_away);
    finish(inside);
}

#[test]
fn clients_that_send_byte_by_byte_do_not_slow_others_down() {
    let server = TestServer::start();
    let mut fair = server.client();
    let mut dripping: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    let mut times = Vec::new();
    for byte in &head[..head.len()] {
        for stream in &mut dripping {
            use std::io::Write;
            stream.write_all(&[*byte]).unwrap();
        }
        for _ in 0..4 {
            let start = Instant::now();
            assert_eq!(fair.get("/").status, 200);
            times.push(start.elapsed());
        }
    }
    times.sort();
    // The machine may be busy with other tests: the odd one out is not the server's.
    let typical = times[times.len() * 9 / 10];
    assert!(typical < Duration::from_millis(50), "{typical:?}");
    assert!(times[times.len() - 1] < PATIENCE);
}
