//! A way to PostgreSQL across TCP: `relay SOCKET MILLISECONDS` accepts connections on a free port of 127.0.0.1, says
//! `listening on …` on standard output, and passes everything on to PostgreSQL's Unix socket. What PostgreSQL answers comes so many
//! milliseconds later, as if it ran on another machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, milliseconds] = arguments.as_slice() else { panic!("relay SOCKET MILLISECONDS") };
    let delay = Duration::from_millis(milliseconds.parse().expect("milliseconds"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("listening on {}", listener.local_addr().expect("an address"));
    for client in listener.incoming() {
        let (client, server) = (client.expect("a connection"), UnixStream::connect(socket).expect("PostgreSQL"));
        client.set_nodelay(true).expect("no delay");
        let (to_client, to_server) = (client.try_clone().expect("a clone"), server.try_clone().expect("a clone"));
        thread::spawn(move || forward(client, to_server));
        match delay.is_zero() {
            true => thread::spawn(move || forward(server, to_client)),
            false => thread::spawn(move || forward_later(server, to_client, delay)),
        };
    }
}

/// Passes on what comes until one side closes.
fn forward(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

/// The same, each piece so much later. The delays of pieces that follow each other overlap, as on a wire.
fn forward_later(mut from: impl Read, to: TcpStream, delay: Duration) {
    let (sender, pieces) = channel();
    thread::spawn(move || write_when_due(&pieces, to));
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            break;
        }
    }
}

fn write_when_due(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, piece) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
}
