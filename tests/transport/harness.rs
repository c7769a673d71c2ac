//! A server whose application tells what it was given, and clients that send any bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use healthcare_backend::internals::transport::{Config, Request, Server};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A running server with four workers.
pub struct TestServer {
    pub server: Arc<Server>,
    pub address: SocketAddr,
    delivered: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<()>>,
}

impl TestServer {
    /// A server that answers 200 with an account of the request; see [`account`].
    pub fn start() -> TestServer {
        TestServer::with(Config::default(), echo)
    }

    pub fn with_config(config: Config) -> TestServer {
        TestServer::with(config, echo)
    }

    pub fn with(config: Config, handle: impl Fn(Request) + Send + Sync + 'static) -> TestServer {
        let (server, address) = server_without_workers(config);
        let server = Arc::new(server);
        let delivered = Arc::new(AtomicUsize::new(0));
        let handle = Arc::new(handle);
        let workers = (0..4).map(|_| {
            let (server, delivered, handle) = (server.clone(), delivered.clone(), handle.clone());
            std::thread::spawn(move || {
                while let Some(request) = next(&server) {
                    delivered.fetch_add(1, Ordering::SeqCst);
                    handle(request);
                }
            })
        });
        TestServer { workers: workers.collect(), server, address, delivered }
    }

    /// How many requests the application has been given.
    pub fn delivered(&self) -> usize {
        self.delivered.load(Ordering::SeqCst)
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends `bytes` on a new connection and returns everything that comes until the server closes.
    pub fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = self.client();
        client.send(bytes);
        client.rest()
    }

    pub fn refused(&self, label: &str) -> u64 {
        let stats = self.server.stats();
        let mut all = stats.refused_total.iter();
        all.find(|(cause, _)| cause.label() == label).unwrap().1
    }

    /// Waits for the workers, which end when the server is closed and everything is answered.
    pub fn join(mut self) {
        for worker in self.workers.drain(..) {
            worker.join().unwrap();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.server.close();
    }
}

/// A server whose requests the test takes itself, and its address.
pub fn server_without_workers(config: Config) -> (Server, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Server::new(listener, config).unwrap(), address)
}

/// Waits for one request; `None` when the server is closed and everything is answered.
pub fn next(server: &Server) -> Option<Request> {
    server.receive(1).ok()?.pop()
}

/// Answers 200 with the request's [`account`].
pub fn echo(mut request: Request) {
    let body = account(&mut request);
    let _ = request.respond(200, &[("Content-Type", "text/plain".into())], body);
}

/// Method, target, fields in lower case except `Host`, a blank line, the body.
pub fn account(request: &mut Request) -> Vec<u8> {
    let mut text = format!("{} {}\n", request.method(), request.url());
    for (name, value) in request.fields().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("{}: {value}\n", name.to_ascii_lowercase()));
    }
    text.push('\n');
    [text.into_bytes(), request.take_body()].concat()
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A client that writes bytes and reads answers.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::on(TcpStream::connect(address).unwrap())
    }

    /// A client with another address of this machine.
    pub fn from_address(own: [u8; 4], address: SocketAddr) -> Client {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((own, 0))).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        Client::on(socket.into())
    }

    fn on(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, received: Vec::new() }
    }

    /// Sends bytes; a server that has closed already is no error here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer, with its body.
    pub fn reply(&mut self) -> Reply {
        self.reply_to(false)
    }

    /// The next answer, to a HEAD: without a body.
    pub fn reply_to_head(&mut self) -> Reply {
        self.reply_to(true)
    }

    /// Asks and gets.
    pub fn get(&mut self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        self.reply()
    }

    /// Everything that comes until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.received);
        match self.stream.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server does not close: {error}"),
        }
        all
    }

    fn reply_to(&mut self, head_only: bool) -> Reply {
        loop {
            if let Some((reply, length)) = parse_reply(&self.received, head_only) {
                self.received.drain(..length);
                return reply;
            }
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer).unwrap();
            let so_far = String::from_utf8_lossy(&self.received);
            assert_ne!(count, 0, "closed before an answer was complete: {so_far:?}");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }
}

/// The first answer in `bytes` and its length.
pub fn parse_reply(bytes: &[u8], head_only: bool) -> Option<(Reply, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    let mut reply = Reply { status, head, body: Vec::new() };
    let bodiless = head_only || status < 200 || status == 204 || status == 304;
    let length = match reply.header("content-length") {
        Some(length) if !bodiless => length.parse().unwrap(),
        _ => 0,
    };
    reply.body = bytes.get(end..end + length)?.to_vec();
    Some((reply, end + length))
}

/// All answers in `bytes`, which must end with the last one.
pub fn parse_replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        let shown = String::from_utf8_lossy(bytes);
        let (reply, length) = parse_reply(bytes, false).unwrap_or_else(|| panic!("not a whole answer: {shown:?}"));
        replies.push(reply);
        bytes = &bytes[length..];
    }
    replies
}

/// Waits until something holds that another thread brings about.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::yield_now();
    }
}
