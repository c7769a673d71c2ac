//! Ten thousand idle connections, and a process that runs out of descriptors. The server runs in a child process — this
//! test binary once more — because the limit is the process's, and the clients need descriptors too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use healthcare_backend::internals::transport::{Config, Request, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Client, next, server_without_workers};

/// A server in a process of its own, with a limit on descriptors; it ends when this is dropped.
struct ChildServer {
    process: Child,
    address: SocketAddr,
    _lifeline: ChildStdin,
}

impl ChildServer {
    fn start(descriptors: u64) -> ChildServer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "descriptors::child", "--ignored", "--nocapture"])
            .env("TRANSPORT_TEST_DESCRIPTORS", descriptors.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok());
        ChildServer { _lifeline: process.stdin.take().unwrap(), address: address.unwrap(), process }
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn limit_descriptors(to: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(to), maximum }).unwrap();
}

/// The server's side: `/pauses` tells how often it ran out, `/memory` its resident kilobytes.
#[test]
#[ignore = "run by the tests below, in a process of its own"]
#[allow(clippy::print_stdout)] // how the parent learns the address
fn child() {
    let Ok(descriptors) = std::env::var("TRANSPORT_TEST_DESCRIPTORS") else {
        return;
    };
    limit_descriptors(descriptors.parse().unwrap());
    let config = Config { max_connections: 20_000, max_connections_per_address: 20_000, ..Config::default() };
    let (server, address) = server_without_workers(config);
    let server = Arc::new(server);
    for _ in 0..4 {
        let server = server.clone();
        std::thread::spawn(move || {
            while let Some(request) = next(&server) {
                answer(&server, request);
            }
        });
    }
    println!("\nlistening on {}", address);
    std::io::stdout().flush().unwrap();
    // Until the parent goes.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn answer(server: &Server, request: Request) {
    let text = match request.url() {
        "/pauses" => server.stats().accept_pauses_total.to_string(),
        "/memory" => resident_kilobytes().to_string(),
        _ => "hello".to_owned(),
    };
    let _ = request.respond(200, &[], text.into_bytes());
}

fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_all_still_answer() {
    const CONNECTIONS: u64 = 10_000;
    let needed = CONNECTIONS + 1000;
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if hard < needed {
        skip(&format!("the hard limit on descriptors is {hard}"));
        return;
    }
    limit_descriptors(needed);
    let server = ChildServer::start(needed);
    let memory = |client: &mut Client| client.get("/memory").text().parse::<u64>().unwrap();
    let mut first = Client::connect(server.address);
    let before = memory(&mut first);
    let mut idle: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(server.address)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let after = memory(&mut first);
    let each = (after - before) * 1024 / CONNECTIONS;
    assert!(each < 1024, "{each} bytes for each connection ({before} kB before, {after} kB after)");
    for client in idle.iter_mut().rev() {
        assert_eq!(client.get("/").text(), "hello");
    }
}

#[allow(clippy::print_stderr)] // the person who runs the tests must see what was not tested
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[test]
fn a_server_without_descriptors_serves_on_and_recovers() {
    let server = ChildServer::start(60);
    let mut inside = Client::connect(server.address);
    assert_eq!(inside.get("/").status, 200);
    // More than the server can accept; the rest waits in the system's queue.
    let mut all: Vec<Client> = (0..100).map(|_| Client::connect(server.address)).collect();
    for client in &mut all {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let mut pauses = || inside.get("/pauses").text().parse::<u64>().unwrap();
    while pauses() == 0 {}
    // Out of descriptors, who is connected is served, and the server does not spin: it tries about ten times a second.
    let start = Instant::now();
    let before = pauses();
    while start.elapsed() < Duration::from_millis(500) {
        pauses();
    }
    let tries = pauses() - before;
    let tenths = start.elapsed().as_millis() as u64 / 100;
    assert!(tries <= tenths + 2, "{tries} attempts in {tenths} tenths of a second");
    // Each that goes makes room for one that waits.
    for mut client in all.drain(..) {
        assert_eq!(client.reply().text(), "hello");
    }
    let mut later = Client::connect(server.address);
    assert_eq!(later.get("/").status, 200);
}
