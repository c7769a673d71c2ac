//! Stopping: requests in flight finish, nothing new begins, every worker ends.

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc;

use healthcare_backend::internals::transport::{Config, Request};

use crate::harness::{Client, PATIENCE, TestServer, echo, eventually, next, server_without_workers};

#[test]
fn closing_lets_requests_under_way_finish() {
    let (sender, receiver) = mpsc::channel::<Request>();
    let sender = Mutex::new(sender);
    let server = TestServer::with(Config::default(), move |request| {
        if request.url() == "/held" {
            sender.lock().unwrap().send(request).unwrap();
        } else if request.url() == "/big" {
            let body = vec![b'x'; 20_000_000];
            let _ = request.respond(200, &[], body);
        } else {
            echo(request);
        }
    });
    let mut idle = server.client();
    assert_eq!(idle.get("/").status, 200);
    let mut arriving = server.client();
    arriving.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    let mut half_a_head = server.client();
    half_a_head.send(b"GET / HTTP/1.1\r\n");
    let mut reading = server.client();
    reading.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut held = server.client();
    held.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    let request = receiver.recv().unwrap();
    eventually("all are there", || {
        let stats = server.server.stats();
        stats.accepted_total == 5 && stats.requests_total == 3
    });

    server.server.close();
    server.server.close();
    assert_eq!(idle.rest(), b"");
    // The port may be another test's by now; what counts is that this server takes nobody in.
    let _ = TcpStream::connect(server.address);
    assert_eq!(server.server.stats().accepted_total, 5);

    arriving.send(b"llo");
    let reply = arriving.reply();
    assert!(reply.text().ends_with("hello"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(arriving.rest(), b"");
    half_a_head.send(b"Host: a\r\n\r\n");
    assert_eq!(half_a_head.reply().header("connection"), Some("close"));
    echo(request);
    assert_eq!(held.reply().header("connection"), Some("close"));
    // This answer was made before the close; its connection ends after it all the same.
    assert!(reading.rest().len() > 20_000_000);
    drop((arriving, half_a_head, held));
    server.join();
}

#[test]
fn closing_an_idle_server_sends_every_worker_home() {
    let server = TestServer::start();
    server.server.close();
    let handle = server.server.clone();
    server.join();
    assert!(handle.receive(1).is_err());
}

#[test]
fn a_stray_blank_line_does_not_delay_a_closing_server() {
    let server = TestServer::start();
    let mut clients = Vec::new();
    for blank in ["\r\n", "\r"] {
        let mut client = server.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{blank}").as_bytes());
        assert_eq!(client.reply().status, 200);
        clients.push(client);
    }
    server.server.close();
    assert!(clients.iter_mut().all(|client| client.rest().is_empty()));
    server.join();
}

#[test]
fn a_request_that_is_unread_at_closing_is_served() {
    let (server, address) = server_without_workers(Config::default());
    // Nobody has called `receive` yet: one connection is not even accepted.
    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.close();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Some(request) = next(&server) {
                echo(request);
            }
        });
        assert_eq!(client.reply().status, 200);
        assert_eq!(client.rest(), b"");
        drop(client);
    });
}

/// Bytes that arrive between an answer and the look at a request that came before them make no event of their own.
#[test]
fn bytes_that_come_while_a_pipelined_request_waits_its_turn_are_not_forgotten() {
    let (server, address) = server_without_workers(Config::default());
    let mut client = Client::connect(address);
    client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    // Nobody waits for events in between, so that those of the second and the third request fall together.
    echo(next(&server).unwrap());
    client.send(b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    echo(next(&server).unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(next(&server))));
    let third = receiver.recv_timeout(PATIENCE).expect("the third request").unwrap();
    assert_eq!(third.url(), "/3");
    echo(third);
}

#[test]
fn receive_takes_what_is_there_up_to_a_number() {
    let (server, address) = server_without_workers(Config::default());
    let mut clients: Vec<Client> = (0..7).map(|_| Client::connect(address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }
    let (mut seen, mut most) = (Vec::new(), 0);
    while seen.len() < 7 {
        let requests = server.receive(3).unwrap();
        assert!((1..=3).contains(&requests.len()));
        most = most.max(requests.len());
        for request in requests {
            seen.push(request.url().to_string());
            echo(request);
        }
    }
    assert!(most > 1, "they came one by one");
    seen.sort();
    assert_eq!(seen, ["/0", "/1", "/2", "/3", "/4", "/5", "/6"]);
    for (number, client) in clients.iter_mut().enumerate() {
        assert!(client.reply().text().contains(&format!("/{number}")));
    }
    server.close();
    drop(clients);
    assert!(server.receive(3).is_err());
}

#[test]
fn a_dropped_server_answers_the_requests_that_are_out() {
    let (server, address) = server_without_workers(Config::default());
    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let request = next(&server).unwrap();
    drop(server);
    echo(request);
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_client_that_goes_away_is_forgotten() {
    let (sender, receiver) = mpsc::channel::<Request>();
    let sender = Mutex::new(sender);
    let server = TestServer::with(Config::default(), move |request| {
        sender.lock().unwrap().send(request).unwrap();
    });
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let request = receiver.recv().unwrap();
    drop(client);
    let _ = request.respond(200, &[], vec![0; 1000]);
    eventually("its place is free", || server.server.stats().open_connections == 0);
}
