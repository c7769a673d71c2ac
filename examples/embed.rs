//! The service inside another program: start it on a free port, ask it something, stop it.
//!
//! `cargo run --example embed` (as the server itself, it needs PostgreSQL's programs or `DATABASE_URL`)

use std::io::{Read, Write};
use std::net::TcpStream;

use healthcare_backend::{Config, Service};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join("healthcare-backend-embedded");
    let service = Service::start(Config { port: 0, data_dir: folder, ..Config::default() })?;

    let mut stream = TcpStream::connect(service.address())?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    std::io::stdout().write_all(answer.as_bytes())?;

    service.stop()?;
    Ok(())
}
