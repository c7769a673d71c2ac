//! What an application gives the transport, and what it gets.

use healthcare_backend::internals::transport::{Config, Field};

use crate::harness::TestServer;

#[test]
fn fields_that_would_break_the_head_of_an_answer_are_left_out() {
    let server = TestServer::with(Config::default(), |request| {
        let bad = [("A b", "c"), ("", "c"), ("A:", "c"), ("A", "b\r\nC: d"), ("A", "b\0")];
        let mut fields: Vec<Field> = bad.iter().map(|(name, value)| (*name, (*value).into())).collect();
        fields.push(("ETag", "\"é\"\t".into()));
        let _ = request.respond(200, &fields, "");
    });
    let reply = server.client().get("/");
    let fields: Vec<&str> = reply.head.lines().skip(1).filter(|line| !line.starts_with("Date: ")).collect();
    assert_eq!(fields, ["ETag: \"é\"\t", "Content-Length: 0", ""]);
}

#[test]
fn a_request_shows_its_fields_in_their_order_and_gives_its_body_away_once() {
    let server = TestServer::with(Config::default(), |mut request| {
        assert!(request.remote().ip().is_loopback());
        let fields: Vec<String> = request.fields().map(|(name, value)| format!("{name}={value}")).collect();
        let (first, second) = (request.take_body(), request.take_body());
        let text = format!("{} {} {fields:?} {first:?} {second:?}", request.method(), request.url());
        let _ = request.respond(200, &[], text);
    });
    let mut client = server.client();
    client.send(b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-b:  2 \r\nContent-Length: 2\r\n\r\nhi");
    let text = "POST /a?b [\"Host=a\", \"X-B=1\", \"x-b=2\", \"Content-Length=2\"] [104, 105] []";
    assert_eq!(client.reply().text(), text);
}
