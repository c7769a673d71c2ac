//! Mail through a real `msmtp` to an SMTP server of the test's own, which takes messages as RFC 5321 says.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::cluster::{Cluster, Folder};
use crate::node::Node;

/// What one message came with.
struct Delivery {
    sender: String,
    recipients: Vec<String>,
    text: String,
}

/// An SMTP server on a free port; what it takes comes out of the channel.
fn smtp_server() -> (u16, Receiver<Delivery>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            if let Some(delivery) = take(&stream.expect("a connection")) {
                let _ = sender.send(delivery);
            }
        }
    });
    (port, receiver)
}

/// Speaks with one client until it has sent its message.
fn take(stream: &TcpStream) -> Option<Delivery> {
    let mut reader = BufReader::new(stream);
    let answer = |text: &str| (&*stream).write_all(format!("{text}\r\n").as_bytes()).ok();
    let mut delivery = Delivery { sender: String::new(), recipients: Vec::new(), text: String::new() };
    answer("220 sink.example")?;
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let command = line.trim_end();
        if command == "DATA" {
            answer("354 go on")?;
            break;
        } else if let Some(address) = command.strip_prefix("MAIL FROM:") {
            delivery.sender = address.to_string();
        } else if let Some(address) = command.strip_prefix("RCPT TO:") {
            delivery.recipients.push(address.to_string());
        }
        answer("250 yes")?;
    }
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        if line == ".\r\n" {
            answer("250 taken")?;
            return Some(delivery);
        }
        assert!(line.ends_with("\r\n") && line.len() <= 1000, "{line:?}");
        delivery.text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

#[test]
fn msmtp_delivers_a_mail_with_a_token_that_sets_a_password() {
    let folder = Folder::new("mail");
    let cluster = Cluster::start(&folder, "data", &[]);
    let (port, deliveries) = smtp_server();
    let account = format!("account default\nhost 127.0.0.1\nport {port}\nfrom clinic@example.org\nauth off\ntls off\n");
    let file = folder.file("msmtprc", &account);
    let node = Node::start(&[
        ("DATABASE_URL", cluster.connection_string()),
        ("SENDMAIL", &format!("msmtp -C {}", file.display())),
        ("MAIL_FROM", "Praxis Müller <clinic@example.org>"),
        ("RESET_URL", "https://clinic.example/reset?token="),
    ]);
    let anyone = node.anyone();
    let name = "Zoë Müller\u{2019}s <eve@example.net>, \"Bcc: eve@example.net\"";
    let zoe = json!({ "name": name, "email": "zoe@example.org", "password": "correct horse battery" });
    anyone.post("/api/auth/register", zoe).expect(201, "created");
    anyone.post("/api/auth/forgot", json!({ "email": "zoe@example.org" })).expect(202, "success");
    let delivery = deliveries.recv_timeout(Duration::from_secs(20)).expect("a message");
    assert!(delivery.sender.starts_with("<clinic@example.org>"), "{}", delivery.sender);
    assert_eq!(delivery.recipients, ["<zoe@example.org>"], "one recipient, whatever the name says");
    let (head, body) = delivery.text.split_once("\r\n\r\n").expect("a body");
    for field in ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"] {
        assert_eq!(head.lines().filter(|line| line.starts_with(&format!("{field}: "))).count(), 1, "{field}: {head}");
    }
    let link = body.lines().find_map(|line| line.strip_prefix("https://clinic.example/reset?token=")).expect("a link");
    let reset = json!({ "token": link, "new_password": "a new pass phrase" });
    anyone.post("/api/auth/reset", reset).expect(200, "updated");
    assert_eq!(node.number("mails_total{result=\"sent\"}"), 1.0);
}
