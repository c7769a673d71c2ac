//! Ten thousand generated and mutated byte streams, given to our parser and to hyper: both must deliver the same
//! requests — method, target, fields, body — or the difference is one of those listed here with its reason.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use healthcare_backend::internals::transport::{Cause, Config, Intake, Message, Refusal};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

const STREAMS: u64 = 10_000;

/// Requests that we refuse and hyper delivers, by cause. Each is a point where the transport is strict on purpose.
const STRICTER: &[(Cause, &str)] = &[
    (Cause::Host, "hyper leaves Host to the application"),
    (Cause::Method, "hyper delivers any method"),
    (Cause::Expectation, "hyper ignores expectations that it does not know"),
    (Cause::LineEnd, "hyper takes a bare LF for a line end"),
    (Cause::ContentLength, "hyper takes equal lengths that stand twice"),
    (Cause::TransferEncoding, "hyper lets Transfer-Encoding win over Content-Length"),
    (Cause::TransferCoding, "hyper delivers codings that it does not decode"),
    (Cause::Target, "hyper checks neither percent escapes nor fragments, and takes other forms"),
    (Cause::RequestLine, "hyper skips any number of empty lines before a request"),
    (Cause::Chunk, "hyper takes white space after a chunk size, and does not look into extensions"),
];

/// Whether `message`, from `stream`, is one that we deliver and hyper refuses for a known reason.
const LAXER: &[(Holds, &str)] = &[
    (
        |_, stream| contains(stream, b" HTTP/1.2\r\n"),
        "RFC 9110, section 2.5: a higher minor version is read as the highest that one knows",
    ),
    (
        |message, _| message.url().contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']),
        "browsers send these bytes unescaped in targets; they are harmless",
    ),
];

/// Whether a reason holds for a request of ours, from a stream.
type Holds = fn(&Message, &[u8]) -> bool;

/// A request as both see it: the fields sorted by name, since hyper does not keep the order between names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

#[test]
fn requests_are_read_as_hyper_reads_them() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut delivered, mut refused) = (0, 0);
    for number in 0..STREAMS {
        let stream = generate(&mut random);
        let theirs = runtime.block_on(read_by_hyper(&stream));
        let (ours, end) = read_by_us(&stream);
        delivered += ours.len();
        refused += usize::from(end.is_some());
        if let Some(reason) = difference(&ours, end, &theirs, &stream) {
            let shown = String::from_utf8_lossy(&stream);
            let reason = reason.unwrap_or_else(|what| panic!("stream {number}: {what}\n{shown:?}"));
            *known.entry(reason).or_default() += 1;
        }
    }
    // The generator must neither make only nonsense nor only what everyone takes.
    assert!(delivered > STREAMS as usize / 2, "{delivered}");
    assert!(refused > STREAMS as usize / 4, "{refused}");
    assert!(known.values().sum::<usize>() < STREAMS as usize / 2, "{known:?}");
}

/// `None`: no difference. Else its reason, or what is wrong.
fn difference(
    ours: &[(Message, Seen)],
    end: Option<Refusal>,
    theirs: &[Seen],
    stream: &[u8],
) -> Option<Result<&'static str, String>> {
    for (index, (message, our)) in ours.iter().enumerate() {
        match theirs.get(index) {
            Some(their) if our == their => {}
            Some(their) => return Some(Err(format!("differ: {our:?} {their:?}"))),
            None => {
                let known = LAXER.iter().find(|(holds, _)| holds(message, stream));
                return Some(known.map(|(_, reason)| *reason).ok_or(format!("only ours: {our:?}")));
            }
        }
    }
    let their = theirs.get(ours.len())?;
    let cause = end.as_ref().map(|refusal| refusal.cause);
    let known = STRICTER.iter().find(|(known, _)| Some(*known) == cause);
    Some(known.map(|(_, reason)| *reason).ok_or(format!("only theirs: {their:?} {end:?}")))
}

fn read_by_us(stream: &[u8]) -> (Vec<(Message, Seen)>, Option<Refusal>) {
    let (mut intake, config) = (Intake::default(), Config::default());
    let mut all = Vec::new();
    let mut bytes = stream;
    loop {
        match intake.feed(bytes, &config) {
            Ok(Some(message)) => {
                let fields = message.fields().map(|(name, value)| (name.to_ascii_lowercase(), ascii(value.as_bytes())));
                let mut fields: Vec<_> = fields.collect();
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                let seen = Seen {
                    method: message.method().to_string(),
                    target: message.url().to_owned(),
                    fields,
                    body: message.body().to_vec(),
                };
                let last = !message.keep_alive();
                all.push((message, seen));
                if last {
                    return (all, None);
                }
                bytes = &[];
            }
            Ok(None) => return (all, None),
            Err(refusal) => return (all, Some(refusal)),
        }
    }
}

async fn read_by_hyper(stream: &[u8]) -> Vec<Seen> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(stream).await.unwrap();
    client.shutdown().await.unwrap();
    let all = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let all = all.clone();
        async move {
            let (head, body) = request.into_parts();
            // A body that breaks off is no request.
            if let Ok(body) = body.collect().await {
                let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
                // hyper hands on the empty path of `http://a?b`, which RFC 9112, section 3.2.1, makes `/`.
                let slash = if target.starts_with('?') { "/" } else { "" };
                let target = format!("{slash}{target}");
                let fields =
                    head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), ascii(value.as_bytes())));
                let mut fields: Vec<_> = fields.collect();
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                all.borrow_mut().push(Seen {
                    method: head.method.to_string(),
                    target,
                    fields,
                    body: body.to_bytes().to_vec(),
                });
            }
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    let _ = http.half_close(true).serve_connection(TokioIo::new(server), service).await;
    all.take()
}

/// xorshift64: the same streams in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// One to three requests, mostly sound, and in half of the cases some bytes of them changed.
fn generate(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..=random.below(3) {
        request(random, &mut stream);
    }
    if random.chance(2) {
        for _ in 0..=random.below(3) {
            mutate(random, &mut stream);
        }
    }
    stream
}

fn request(random: &mut Random, out: &mut Vec<u8>) {
    let methods = ["GET", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"];
    let targets = ["/", "/a/b?c=d", "/%41?x=%20", "http://a/b?c", "http://a", "/?", "//", "/a:b@c"];
    let odd_targets = ["/%zz", "/a?b#c", "*", "a", "/a[1]{2}", "/<>", "http://", "ftp://a/", "a:80"];
    let fields = [
        "Accept: */*",
        "X-A:b",
        "x-a:  c ",
        "X-B: a\tb",
        "Cookie: a=b; c=d",
        "Connection: keep-alive",
        "X-Empty:",
        "TE: trailers",
        "User-Agent: w/1",
    ];
    let odd_fields = ["Connection: close", "Expect: x", "Host: b", "X-C : d", "X-D: e\r\n f", "X", ": x", "X: \x01"];
    let mut choose = |usual: &[&'static str], odd: &[&'static str], one_in: usize| {
        if random.chance(one_in) { random.pick(odd) } else { random.pick(usual) }
    };
    let mut head = format!(
        "{} {} HTTP/{}\r\n",
        choose(&methods, &["TRACE", "FOO", "get", "CONNECT"], 30),
        choose(&targets, &odd_targets, 20),
        choose(&["1.1"], &["1.0", "1.2", "2.0", "1.11"], 20)
    );
    head.push_str(choose(&["Host: a\r\n"], &["", "Host: a b\r\n"], 30));
    for _ in 0..3 {
        head.push_str(choose(&fields, &odd_fields, 40));
        head.push_str("\r\n");
    }
    let body = "hello world, this is a body".repeat(random.below(3));
    match random.below(16) {
        0..4 => head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
        4..8 => {
            let chunked = chunked(random, &body);
            head.push_str(&format!("Transfer-Encoding: chunked\r\n\r\n{chunked}"));
        }
        8 => {
            let odd = ["+1", "1,1", "", "0x1", "1\r\nContent-Length: 1", "99999999999999999999999", "-1", "1 1"];
            head.push_str(&format!("Content-Length: {}\r\n\r\nx", random.pick(&odd)));
        }
        9 => {
            let odd = ["gzip, chunked", "chunked, chunked", "identity", "gzip", "chunked\r\nContent-Length: 5"];
            head.push_str(&format!("Transfer-Encoding: {}\r\n\r\n0\r\n\r\n", random.pick(&odd)));
        }
        _ => head.push_str("\r\n"),
    }
    out.extend_from_slice(head.as_bytes());
}

fn chunked(random: &mut Random, body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(1 + random.below(rest.len()));
        let odd = if random.chance(4) { " " } else { "" };
        let extension = random.pick(&["", "", "", "", ";a=b", " ;a", odd]);
        text.push_str(&format!("{:x}{extension}\r\n{chunk}\r\n", chunk.len()));
        rest = left;
    }
    text.push_str("0\r\n");
    let odd = if random.chance(4) { "Bad\r\n" } else { "" };
    text.push_str(random.pick(&["", "", "", "X-T: u\r\n", odd]));
    text.push_str("\r\n");
    text
}

fn mutate(random: &mut Random, stream: &mut Vec<u8>) {
    let pieces = [
        "\r",
        "\n",
        "\r\n",
        "\0",
        " ",
        "\t",
        ":",
        ",",
        ";",
        "%",
        "#",
        "\u{7f}",
        "é",
        "0",
        "f",
        "Host: a\r\n",
        "\r\n\r\n",
    ];
    let at = random.below(stream.len());
    match random.below(5) {
        // Never all of it.
        1 if stream.len() == 1 => {}
        0 => stream[at] = random.below(256) as u8,
        1 => drop(stream.remove(at)),
        2 => drop(stream.splice(at..at, random.pick(&pieces).bytes())),
        3 => stream.truncate(at + 1),
        _ => {
            let end = (at + 1 + random.below(20)).min(stream.len());
            let copy = stream[at..end].to_vec();
            stream.splice(at..at, copy);
        }
    }
}

/// The text with each run of bytes beyond ASCII as one `?`: which characters they are is for `framing.rs` to test.
fn ascii(value: &[u8]) -> String {
    let mut text = String::new();
    for &byte in value {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else if !text.ends_with('?') {
            text.push('?');
        }
    }
    text
}

fn contains(stream: &[u8], wanted: &[u8]) -> bool {
    stream.windows(wanted.len()).any(|window| window == wanted)
}
