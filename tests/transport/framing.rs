//! What is accepted and what is refused, as tables: each request on a connection of its own, with another one behind it
//! that must be answered exactly if the first one was accepted. A refused request never reaches the application.

use crate::harness::{TestServer, parse_replies};

/// What the server makes of a request.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// The application sees this method, target and body.
    Takes(&'static str, &'static str, &'static str),
    /// Answered with this status, and closed.
    Refuses(u16),
}
use Verdict::{Refuses, Takes};

const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn check(server: &TestServer, bytes: &[u8], verdict: Verdict) {
    let shown = String::from_utf8_lossy(bytes).chars().take(200).collect::<String>();
    let before = server.delivered();
    let mut sent = bytes.to_vec();
    sent.extend_from_slice(AFTER);
    let replies = parse_replies(&server.exchange(&sent));
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    match verdict {
        Refuses(status) => {
            assert_eq!(statuses, [status], "{shown:?}");
            assert_eq!(replies[0].header("connection"), Some("close"), "{shown:?}");
            assert_eq!(server.delivered(), before, "delivered: {shown:?}");
        }
        Takes(method, target, body) => {
            assert_eq!(statuses, [200, 200], "{shown:?} {:?}", replies[0].text());
            let account = replies[0].text();
            assert!(account.starts_with(&format!("{method} {target}\n")), "{shown:?}: {account:?}");
            assert!(account.ends_with(&format!("\n\n{body}")), "{shown:?}: {account:?}");
            assert!(replies[1].text().starts_with("GET /after\n"));
        }
    }
}

#[test]
fn request_lines() {
    let server = TestServer::start();
    let cases: &[(&[u8], Verdict)] = &[
        (b"GET / HTTP/1.1\r\n", Takes("GET", "/", "")),
        (b"POST /x HTTP/1.1\r\n", Takes("POST", "/x", "")),
        (b"PUT /x HTTP/1.1\r\n", Takes("PUT", "/x", "")),
        (b"PATCH /x HTTP/1.1\r\n", Takes("PATCH", "/x", "")),
        (b"DELETE /x HTTP/1.1\r\n", Takes("DELETE", "/x", "")),
        (b"OPTIONS /x HTTP/1.1\r\n", Takes("OPTIONS", "/x", "")),
        (b"OPTIONS * HTTP/1.1\r\n", Takes("OPTIONS", "*", "")),
        (b"GET / HTTP/1.2\r\n", Takes("GET", "/", "")),
        (b"GET / HTTP/1.9\r\n", Takes("GET", "/", "")),
        (b"\r\nGET / HTTP/1.1\r\n", Takes("GET", "/", "")),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", Refuses(400)),
        (b"\nGET / HTTP/1.1\r\n", Refuses(400)),
        (b"\rGET / HTTP/1.1\r\n", Refuses(400)),
        (b"\r\n\nGET / HTTP/1.1\r\n", Refuses(400)),
        (b" GET / HTTP/1.1\r\n", Refuses(400)),
        (b"\tGET / HTTP/1.1\r\n", Refuses(400)),
        (b"\0GET / HTTP/1.1\r\n", Refuses(400)),
        (b"\xef\xbb\xbfGET / HTTP/1.1\r\n", Refuses(400)),
        (b"GET / HTTP/1.1\n", Refuses(400)),
        (b"GET / HTTP/1.1\r", Refuses(400)),
        (b"GET / HTTP/1.1\r\r\n", Refuses(400)),
        (b"GET / HTTP/1.1 \r\n", Refuses(400)),
        (b"GET / HTTP/1.1\t\r\n", Refuses(400)),
        (b"GET  / HTTP/1.1\r\n", Refuses(400)),
        (b"GET /  HTTP/1.1\r\n", Refuses(400)),
        (b"GET\t/ HTTP/1.1\r\n", Refuses(400)),
        (b"GET /\tHTTP/1.1\r\n", Refuses(400)),
        (b"GET / x HTTP/1.1\r\n", Refuses(400)),
        (b"GET HTTP/1.1\r\n", Refuses(400)),
        (b"GET /\r\n", Refuses(400)),
        (b"GET\r\n", Refuses(400)),
        (b"GET / \r\n", Refuses(400)),
        (b"GET / HTTP\r\n", Refuses(400)),
        (b"GET / HTTP/\r\n", Refuses(400)),
        (b"GET / HTTP/1\r\n", Refuses(400)),
        (b"GET / HTTP/1.\r\n", Refuses(400)),
        (b"GET / HTTP/1.x\r\n", Refuses(400)),
        (b"GET / HTTP/1.10\r\n", Refuses(400)),
        (b"GET / HTTP/01.1\r\n", Refuses(400)),
        (b"GET / HTTP/+1.1\r\n", Refuses(400)),
        (b"GET / http/1.1\r\n", Refuses(400)),
        (b"GET / HTTP 1.1\r\n", Refuses(400)),
        (b"GET / HTTPS/1.1\r\n", Refuses(400)),
        (b"GET / FTP/1.1\r\n", Refuses(400)),
        (b"GET / HTTP/1.1x\r\n", Refuses(400)),
        (b"GET / HTTP/1.1\0\r\n", Refuses(400)),
        (b"GET / HTTP/0.9\r\n", Refuses(505)),
        (b"GET / HTTP/2.0\r\n", Refuses(505)),
        (b"PRI * HTTP/2.0\r\n", Refuses(505)),
        (b"GET / HTTP/3.0\r\n", Refuses(505)),
        (b"GET / HTTP/9.9\r\n", Refuses(505)),
        (b"get / HTTP/1.1\r\n", Refuses(501)),
        (b"TRACE / HTTP/1.1\r\n", Refuses(501)),
        (b"CONNECT a:443 HTTP/1.1\r\n", Refuses(501)),
        (b"PROPFIND / HTTP/1.1\r\n", Refuses(501)),
        (b"GETT / HTTP/1.1\r\n", Refuses(501)),
        (b"G!#$%&'*+-.^_`|~ET / HTTP/1.1\r\n", Refuses(501)),
        (b"G(T / HTTP/1.1\r\n", Refuses(400)),
        (b"GE\xc3\x84 / HTTP/1.1\r\n", Refuses(400)),
        (b"GE\0T / HTTP/1.1\r\n", Refuses(400)),
        (b"G:T / HTTP/1.1\r\n", Refuses(400)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Refuses(400)),
    ];
    for (line, verdict) in cases {
        check(&server, &[*line, b"Host: a\r\n\r\n"].concat(), *verdict);
    }
}

#[test]
fn request_targets() {
    let server = TestServer::start();
    let cases: &[(&[u8], Verdict)] = &[
        (b"/a/b?c=d&e=%20f", Takes("GET", "/a/b?c=d&e=%20f", "")),
        (b"/%E4%2f%00", Takes("GET", "/%E4%2f%00", "")),
        (b"//a//b", Takes("GET", "//a//b", "")),
        (b"/../..", Takes("GET", "/../..", "")),
        (b"/?", Takes("GET", "/?", "")),
        (b"/a?b?c/d", Takes("GET", "/a?b?c/d", "")),
        (b"/:@!$&'()*+,;=-._~", Takes("GET", "/:@!$&'()*+,;=-._~", "")),
        (b"/a[0]|{x}\"<>^`\\", Takes("GET", "/a[0]|{x}\"<>^`\\", "")),
        (b"/%", Refuses(400)),
        (b"/%2", Refuses(400)),
        (b"/%2g", Refuses(400)),
        (b"/%%41", Refuses(400)),
        (b"/?q=%zz", Refuses(400)),
        (b"/%u0041", Refuses(400)),
        (b"/a#b", Refuses(400)),
        (b"/#", Refuses(400)),
        (b"/\xc3\xa4", Refuses(400)),
        (b"/\xff", Refuses(400)),
        (b"/a\x01b", Refuses(400)),
        (b"/a\x7fb", Refuses(400)),
        (b"/a\0b", Refuses(400)),
        (b"a", Refuses(400)),
        (b"?a=b", Refuses(400)),
        (b"*", Refuses(400)),
        (b"**", Refuses(400)),
        (b"a/b", Refuses(400)),
        (b"a:80", Refuses(400)),
        (b"http://a/b?c", Takes("GET", "/b?c", "")),
        (b"HTTPS://a:8443/b", Takes("GET", "/b", "")),
        (b"http://a", Takes("GET", "/", "")),
        (b"http://a?b=c", Takes("GET", "/?b=c", "")),
        (b"http://[::1]:80/x", Takes("GET", "/x", "")),
        (b"http://1.2.3.4:/x", Takes("GET", "/x", "")),
        (b"http:///x", Refuses(400)),
        (b"http://", Refuses(400)),
        (b"http:/a", Refuses(400)),
        (b"http://a:x/", Refuses(400)),
        (b"http://a:99999/", Refuses(400)),
        (b"http://u@a/", Refuses(400)),
        (b"http://u:p@a/", Refuses(400)),
        (b"http://[::1/", Refuses(400)),
        (b"http://[x]/", Refuses(400)),
        (b"http://a\\b/", Refuses(400)),
        (b"ftp://a/", Refuses(400)),
        (b"://a/", Refuses(400)),
        (b"file:///etc", Refuses(400)),
    ];
    for (target, verdict) in cases {
        let request = [b"GET ", *target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        check(&server, &request, *verdict);
    }
}

#[test]
fn field_lines() {
    let server = TestServer::start();
    let taken = Takes("GET", "/", "");
    let cases: &[(&[u8], Verdict)] = &[
        (b"Host: a\r\nX: y\r\n", taken),
        (b"Host:a\r\n", taken),
        (b"host: \t a \t \r\n", taken),
        (b"Host: a\r\nX:\r\n", taken),
        (b"Host: a\r\nX: \t\r\n", taken),
        (b"Host: a\r\nX: a\tb\r\n", taken),
        (b"Host: a\r\nX: caf\xe9\r\n", taken),
        (b"Host: a\r\nX: caf\xc3\xa9\r\n", taken),
        (b"Host: a\r\n!#$%&'*+-.^_`|~0aZ: y\r\n", taken),
        (b"Host: a\r\nX: y\r\nX: z\r\n", taken),
        (b"Host: a\r\nX : y\r\n", Refuses(400)),
        (b"Host: a\r\nX\t: y\r\n", Refuses(400)),
        (b"Host : a\r\n", Refuses(400)),
        (b"Host: a\r\n X: y\r\n", Refuses(400)),
        (b" Host: a\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\r\n z\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\r\n\tz\r\n", Refuses(400)),
        (b"Host: a\r\nX:\r\n y\r\n", Refuses(400)),
        (b"Host: a\r\n: y\r\n", Refuses(400)),
        (b"Host: a\r\nX\r\n", Refuses(400)),
        (b"Host: a\r\nX y: z\r\n", Refuses(400)),
        (b"Host: a\r\nX(: y\r\n", Refuses(400)),
        (b"Host: a\r\nX\xe9: y\r\n", Refuses(400)),
        (b"Host: a\r\nX\0: y\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\0z\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\x01z\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\x0bz\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\x1fz\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\x7fz\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\rz\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\r\r\n", Refuses(400)),
        (b"Host: a\r\nX: y\n", Refuses(400)),
        (b"Host: a\n", Refuses(400)),
        (b"Host: a\r\nX: y\nZ: w\r\n", Refuses(400)),
        (b"Host: a\r\n\n", Refuses(400)),
        (b"", Refuses(400)),
        (b"X: y\r\n", Refuses(400)),
        (b"Host: a\r\nHost: a\r\n", Refuses(400)),
        (b"Host: a\r\nhost: b\r\n", Refuses(400)),
        (b"Host:\r\n", Refuses(400)),
        (b"Host: \r\n", Refuses(400)),
        (b"Host: a b\r\n", Refuses(400)),
        (b"Host: a, b\r\n", Refuses(400)),
        (b"Host: a/b\r\n", Refuses(400)),
        (b"Host: http://a\r\n", Refuses(400)),
        (b"Host: u@a\r\n", Refuses(400)),
        (b"Host: a:b\r\n", Refuses(400)),
        (b"Host: a:1:2\r\n", Refuses(400)),
        (b"Host: a:65536\r\n", Refuses(400)),
        (b"Host: a:-1\r\n", Refuses(400)),
        (b"Host: a%\r\n", Refuses(400)),
        (b"Host: \xc3\xa4\r\n", Refuses(400)),
        (b"Host: a#\r\n", Refuses(400)),
        (b"Host: a?\r\n", Refuses(400)),
        (b"Host: a\\\r\n", Refuses(400)),
        (b"Host: <a>\r\n", Refuses(400)),
        (b"Host: [::1\r\n", Refuses(400)),
        (b"Host: [a]\r\n", Refuses(400)),
        (b"Host: []\r\n", Refuses(400)),
        (b"Host: [::1]x\r\n", Refuses(400)),
        (b"Host: ::1\r\n", Refuses(400)),
        (b"Host: [::1]:8080\r\n", taken),
        (b"Host: a.example:8080\r\n", taken),
        (b"Host: 127.0.0.1:\r\n", taken),
        (b"Host: a_b-c~d\r\n", taken),
        (b"Host: a%20b\r\n", taken),
        (b"Host: a\r\nExpect: 100-continue\r\n", taken),
        (b"Host: a\r\nExpect: 100-Continue\r\n", taken),
        (b"Host: a\r\nExpect: 200-ok\r\n", Refuses(417)),
        (b"Host: a\r\nExpect:\r\n", Refuses(417)),
        (b"Host: a\r\nExpect: 100-continue, x\r\n", Refuses(417)),
        (b"Host: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", taken),
        (b"Host: a\r\nConnection: keep-alive\r\n", taken),
        (b"Host: a\r\nTE: trailers\r\n", taken),
    ];
    for (fields, verdict) in cases {
        let request = [b"GET / HTTP/1.1\r\n", *fields, b"\r\n"].concat();
        check(&server, &request, *verdict);
    }
}

#[test]
fn lengths_and_codings() {
    let server = TestServer::start();
    let hello = Takes("POST", "/", "hello");
    let empty = Takes("POST", "/", "");
    let cases: &[(&str, &str, Verdict)] = &[
        ("Content-Length: 5", "hello", hello),
        ("content-length:5", "hello", hello),
        ("Content-Length: 005", "hello", hello),
        ("Content-Length: 0", "", empty),
        ("Content-Length:  5  ", "hello", hello),
        ("Content-Length:", "hello", Refuses(400)),
        ("Content-Length: +5", "hello", Refuses(400)),
        ("Content-Length: -5", "hello", Refuses(400)),
        ("Content-Length: -0", "", Refuses(400)),
        ("Content-Length: 5x", "hello", Refuses(400)),
        ("Content-Length: 0x5", "hello", Refuses(400)),
        ("Content-Length: 5.0", "hello", Refuses(400)),
        ("Content-Length: 5e0", "hello", Refuses(400)),
        ("Content-Length: 5 5", "hello", Refuses(400)),
        ("Content-Length: 1 0", "hello", Refuses(400)),
        ("Content-Length: 5,5", "hello", Refuses(400)),
        ("Content-Length: 5, 6", "hello", Refuses(400)),
        ("Content-Length: 5,", "hello", Refuses(400)),
        ("Content-Length: ,5", "hello", Refuses(400)),
        ("Content-Length: \"5\"", "hello", Refuses(400)),
        ("Content-Length: ５", "hello", Refuses(400)),
        ("Content-Length: 5\r\nContent-Length: 5", "hello", Refuses(400)),
        ("Content-Length: 5\r\nContent-Length: 6", "hello", Refuses(400)),
        ("Content-Length: 0\r\nContent-Length: 5", "hello", Refuses(400)),
        ("Content-Length: 18446744073709551615", "hello", Refuses(413)),
        ("Content-Length: 18446744073709551616", "hello", Refuses(400)),
        ("Content-Length: 99999999999999999999999", "hello", Refuses(400)),
        ("Content-Length: 1000000000000000000", "hello", Refuses(413)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked\r\nContent-Length: x", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: identity\r\nContent-Length: 5", "hello", Refuses(400)),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", hello),
        ("transfer-encoding:  Chunked ", "5\r\nhello\r\n0\r\n\r\n", hello),
        ("Transfer-Encoding: chunked", "0\r\n\r\n", empty),
        ("Transfer-Encoding:", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked, chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: gzip", "x", Refuses(501)),
        ("Transfer-Encoding: gzip, chunked", "0\r\n\r\n", Refuses(501)),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "0\r\n\r\n", Refuses(501)),
        ("Transfer-Encoding: identity", "", Refuses(501)),
        ("Transfer-Encoding: identity, chunked", "0\r\n\r\n", Refuses(501)),
        ("Transfer-Encoding: xchunked", "0\r\n\r\n", Refuses(501)),
        ("Transfer-Encoding: chunkedx", "0\r\n\r\n", Refuses(501)),
        ("Transfer-Encoding: chunked;q=1", "0\r\n\r\n", Refuses(501)),
        ("Transfer-Encoding: \"chunked\"", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: ,chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chunked,", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: chun ked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding : chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding\r\n: chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding:\r\n chunked", "0\r\n\r\n", Refuses(400)),
        ("Transfer-Encoding: \x0bchunked", "0\r\n\r\n", Refuses(400)),
        ("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n", Refuses(400)),
    ];
    for (fields, body, verdict) in cases {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
        check(&server, request.as_bytes(), *verdict);
    }
    let in_1_0 = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    check(&server, in_1_0.as_bytes(), Refuses(400));
}

#[test]
fn chunked_bodies() {
    let server = TestServer::start();
    let hello = Takes("POST", "/", "hello");
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let long_trailer = format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "x".repeat(9_000));
    let cases: &[(&[u8], Verdict)] = &[
        (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", hello),
        (b"05\r\nhello\r\n00\r\n\r\n", hello),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", hello),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", hello),
        (b"5 ; a = \"b;c\"\r\nhello\r\n0\r\n\r\n", hello),
        (b"5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n", hello),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", Takes("POST", "/", "01234567890123456789")),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", Takes("POST", "/", "\r\n\r\n")),
        (b"00000000000000005\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"FFFFFFFFFFFFFFFF\r\nhello", Refuses(413)),
        (b"10000000000000000\r\nhello", Refuses(413)),
        (b"40001\r\nhello", Refuses(413)),
        (b"\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"x\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"0x5\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"+5\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"-5\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b" 5\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5 \r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5 5\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5,\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b";a\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\n0\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r0\r\n\r\n", Refuses(400)),
        (b"5\rhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5\r\nhello0\r\n\r\n", Refuses(400)),
        (b"5\r\nhellox\r\n0\r\n\r\n", Refuses(400)),
        (b"4\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"6\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5;a\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5;a\rb\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5;a\0\r\nhello\r\n0\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\n\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\n\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\n\r\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\nX y\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\nX : y\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\nX: y\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\n: y\r\n\r\n", Refuses(400)),
        (b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n", Refuses(400)),
        (long_extension.as_bytes(), Refuses(400)),
        (long_trailer.as_bytes(), Refuses(431)),
    ];
    for (body, verdict) in cases {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&server, &[&head[..], body].concat(), *verdict);
    }
}

#[test]
fn http_1_0() {
    let server = TestServer::start();
    let keep = "Connection: keep-alive\r\n";
    let cases = [
        (format!("GET / HTTP/1.0\r\n{keep}\r\n"), Takes("GET", "/", "")),
        (format!("GET / HTTP/1.0\r\nHost: a\r\n{keep}\r\n"), Takes("GET", "/", "")),
        (format!("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n{keep}\r\n"), Refuses(400)),
        (format!("GET / HTTP/1.0\r\nHost: a b\r\n{keep}\r\n"), Refuses(400)),
        (format!("GET / HTTP/1.0\r\nExpect: x\r\n{keep}\r\n"), Takes("GET", "/", "")),
        (format!("POST / HTTP/1.0\r\nContent-Length: 2\r\n{keep}\r\nhi"), Takes("POST", "/", "hi")),
    ];
    for (request, verdict) in cases {
        check(&server, request.as_bytes(), verdict);
    }
}

#[test]
fn field_values_reach_the_application_whole() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-A:  b c \r\nX-B: caf\xc3\xa9\r\nx-a: d\r\n\r\n");
    assert_eq!(client.reply().text(), "GET /\nx-a: b c\nx-b: café\nx-a: d\n\n");
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-B: caf\xe9\r\n\r\n");
    assert_eq!(client.reply().text(), "GET /\nx-b: café\n\n", "as ISO-8859-1");
}
