//! A small HTTP/1.1 client that sends exactly what it is told, so that tests can say wrong things as well.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Sends one request on a connection of its own and reads the answer.
pub fn send(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
    raw(address, request(address, method, target, headers, body).as_bytes(), method == "HEAD")
}

/// The same to a server that may be gone: `None` if it does not answer.
pub fn try_send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(request(address, method, target, headers, body).as_bytes()).ok()?;
    read_answer(&mut BufReader::new(stream), method == "HEAD")
}

fn request(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&str>) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text
}

/// Sends these bytes and reads one answer.
pub fn raw(address: SocketAddr, bytes: &[u8], is_head: bool) -> Answer {
    let mut stream = connect(address);
    // A server may answer and close before everything has been sent.
    let _ = stream.write_all(bytes);
    read_answer(&mut BufReader::new(stream), is_head).expect("an answer")
}

/// A connection for tests that send in parts.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Reads one answer; `None` if the connection ended before it.
pub fn read_answer(reader: &mut impl BufRead, is_head: bool) -> Option<Answer> {
    let status_line = read_line(reader)?;
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a header line");
        headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if !is_head && status != 304 && status != 204 {
        answer.body.resize(length, 0);
        reader.read_exact(&mut answer.body).ok()?;
    }
    Some(answer)
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let count = reader.read_line(&mut line).ok()?;
    (count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_string())
}

impl Answer {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The answer has this HTTP status and this word in its envelope, and the envelope has exactly its three fields.
    #[track_caller]
    pub fn expect(self, status: u16, word: &str) -> Answer {
        let text = String::from_utf8_lossy(&self.body).to_string();
        assert_eq!(self.status, status, "{text}");
        let json = self.json();
        assert_eq!(json["status"], word, "{text}");
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
        let mut fields: Vec<&String> = json.as_object().expect("an object").keys().collect();
        fields.sort();
        assert_eq!(fields, ["data", "message", "status"], "{text}");
        assert!(self.header("x-request-id").is_some());
        self
    }

    /// The `data` of the envelope.
    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    /// The id of the record in `data`.
    pub fn id(&self) -> i64 {
        self.data()["id"].as_i64().expect("a record with an id")
    }

    /// The path of a new record.
    pub fn location(&self) -> String {
        self.header("location").expect("a Location header").to_string()
    }

    /// The version of a record, with its quotes.
    pub fn etag(&self) -> String {
        self.header("etag").expect("an ETag header").to_string()
    }

    /// The names of the fields that a 400 complains of, in order.
    pub fn fields(&self) -> Vec<String> {
        let errors = self.data()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap_or_default().to_string()).collect()
    }

    /// The ids of the records in a list.
    pub fn ids(&self) -> Vec<i64> {
        let data = self.data();
        data.as_array().expect("a list").iter().map(|record| record["id"].as_i64().expect("an id")).collect()
    }

    /// The path of the next page of the list.
    pub fn next(&self) -> Option<String> {
        let link = self.header("link")?;
        let (target, relation) = link.strip_prefix('<')?.split_once('>')?;
        assert_eq!(relation, "; rel=\"next\"");
        Some(target.to_string())
    }
}

/// The value of a sample of `/metrics`, given its name with its labels.
pub fn metric(address: SocketAddr, sample: &str) -> f64 {
    let page = send(address, "GET", "/metrics", &[], None);
    let page = String::from_utf8(page.body).expect("text");
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().expect("a number")
}
