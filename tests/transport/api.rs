//! The same server loop compiled against `tiny_http` and against our transport: the part of the API that both have.

use std::net::TcpListener;

use crate::harness::Client;

/// Defines a module with a loop written against tiny_http's API, as `server.rs` of an application would be.
macro_rules! application {
    ($module:ident, $api:path) => {
        mod $module {
            use std::io::{Cursor, Read};
            use std::time::Duration;

            use $api as tiny_http;

            pub fn serve(server: &tiny_http::Server, requests: usize) {
                assert!(server.server_addr().to_ip().is_some());
                for _ in 0..requests {
                    let waited = server.recv_timeout(Duration::from_millis(1)).unwrap();
                    let mut request: tiny_http::Request = match waited {
                        Some(request) => request,
                        None => server.recv().unwrap(),
                    };
                    let mut seen = Vec::new();
                    for header in request.headers() {
                        if header.field.equiv("content-type") {
                            let name: &str = header.field.as_str().as_str();
                            let value: &str = header.value.as_str();
                            seen.push(format!("{name}={value}"));
                        }
                    }
                    let agent = request.headers().iter().find(|h| h.field.equiv("User-Agent"));
                    let agent = agent.map(|header| header.value.as_str().to_owned());
                    let post = request.method() == &tiny_http::Method::Post;
                    let length = request.body_length();
                    let local = request.remote_addr().is_some_and(|a| a.ip().is_loopback());
                    let line = format!("{} {}", request.method().as_str(), request.url());
                    let mut body = String::new();
                    let reader: &mut dyn Read = request.as_reader();
                    reader.take(100).read_to_string(&mut body).unwrap();

                    let text = format!("{line} {post} {local} {length:?} {seen:?} {agent:?} {body}");
                    let data = text.into_bytes();
                    let length = data.len();
                    let name = String::from("Content-Type").into_bytes();
                    let headers = vec![
                        tiny_http::Header::from_bytes(name, &b"text/plain"[..]).unwrap(),
                        tiny_http::Header::from_bytes(&b"ETag"[..], "\"1\"".as_bytes()).unwrap(),
                    ];
                    let status = tiny_http::StatusCode(201);
                    let data = Cursor::new(data);
                    let response = tiny_http::Response::new(status, headers, data, Some(length), None);
                    request.respond(response).unwrap();
                }
            }
        }
    };
}

application!(on_the_crate, ::tiny_http);
application!(on_ours, healthcare_backend::internals::transport);

fn ask(address: std::net::SocketAddr) -> (u16, String) {
    let mut client = Client::connect(address);
    client
        .send(b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Type: text/x\r\nUser-Agent: u\r\nContent-Length: 2\r\n\r\nhi");
    let reply = client.reply();
    assert_eq!(reply.header("etag"), Some("\"1\""));
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    assert!(reply.header("date").is_some_and(|date| date.ends_with(" GMT")));
    (reply.status, reply.text().to_owned())
}

#[test]
fn one_loop_serves_with_the_crate_and_with_ours() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = tiny_http::Server::from_listener(listener, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = healthcare_backend::internals::transport::Config::default();
    let ours = healthcare_backend::internals::transport::Server::with_config(listener, config).unwrap();
    let addresses = (theirs.server_addr().to_ip().unwrap(), ours.server_addr().to_ip().unwrap());
    let answers = std::thread::scope(|scope| {
        scope.spawn(|| on_the_crate::serve(&theirs, 1));
        scope.spawn(|| on_ours::serve(&ours, 1));
        (ask(addresses.0), ask(addresses.1))
    });
    assert_eq!(answers.0, answers.1);
    assert_eq!(answers.1.1, "POST /a?b true true Some(2) [\"Content-Type=text/x\"] Some(\"u\") hi");
}

#[test]
fn headers_of_answers_are_checked() {
    use healthcare_backend::internals::transport::Header;
    for (name, value) in [("A b", "c"), ("", "c"), ("A:", "c"), ("A", "b\r\nC: d"), ("A", "b\0")] {
        assert!(Header::from_bytes(name, value).is_err(), "{name:?} {value:?}");
        assert!(Header::named("X", value.to_owned()).is_some() == (value == "c"));
    }
    let header = Header::from_bytes("ETag", "\"é\"").unwrap();
    assert!(header.field.equiv("etag"));
    assert_eq!(header.value.as_str(), "\"é\"");
}
