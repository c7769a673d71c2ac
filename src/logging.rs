//! Log lines on standard error, for people or as JSON. A request has one line; nothing in it is about a person.
//!
//! A system call for each line would cost a short read much of its time. So lines gather for a moment, and a thread writes them
//! together, in order.

use std::io::Write;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use env_logger::Target;
use log::Record;
use log::kv::{self, Key, VisitSource, VisitValue};
use serde_json::{Map, Value, json};

use crate::config::{Config, LogFormat};
use crate::lock::{lock, wait};

/// How long a request may take before it is logged as slow.
const SLOW: Duration = Duration::from_secs(1);

/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// How many bytes of lines may wait. Beyond that, a thread that logs waits until standard error takes them.
const GATHERED_MAX: usize = 256 * 1024;

/// The lines that are not written yet.
static GATHERED: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// Notified at the first line that gathers.
static ARRIVED: Condvar = Condvar::new();
/// Held while lines are written, so that they stay in order.
static WRITING: Mutex<()> = Mutex::new(());

/// Sends log lines to standard error; `RUST_LOG` chooses which, `info` and above by default. Only for our own program, which calls
/// [`write_gathered`] at its end: a program that embeds the service brings its own logger.
pub fn init(config: &Config) {
    let is_json = config.log_format == LogFormat::Json;
    let writer = std::thread::Builder::new().name("log".into()).spawn(write_from_time_to_time);
    env_logger::Builder::new()
        .target(Target::Pipe(Box::new(Gathering { alone: writer.is_err() })))
        .parse_filters(&config.log_filter)
        .format(move |out, record| {
            if quotes_values(record) {
                return Ok(());
            }
            let now = jiff::Timestamp::now();
            let level = record.level().as_str().to_ascii_lowercase();
            if is_json {
                writeln!(out, "{}", object(now, &level, record))
            } else {
                writeln!(out, "{now:.3} {level:<5} {}: {}", record.target(), record.args())
            }
        })
        .init();
}

/// Takes the lines from the logger.
struct Gathering {
    /// Whether no thread writes them.
    alone: bool,
}

impl Write for Gathering {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let length = {
            let mut gathered = lock(&GATHERED);
            gathered.extend_from_slice(line);
            gathered.len()
        };
        if self.alone || length > GATHERED_MAX {
            write_gathered();
        } else if length == line.len() {
            ARRIVED.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The loop of the thread that writes the lines.
fn write_from_time_to_time() {
    loop {
        let mut gathered = lock(&GATHERED);
        while gathered.is_empty() {
            gathered = wait(&ARRIVED, gathered);
        }
        drop(gathered);
        std::thread::park_timeout(GATHER);
        write_gathered();
    }
}

/// Writes the lines that have gathered.
pub fn write_gathered() {
    let _in_order = lock(&WRITING);
    let lines = std::mem::take(&mut *lock(&GATHERED));
    // Nobody is left to hear that standard error is closed.
    let _ = std::io::stderr().write_all(&lines);
}

/// A line as JSON: its fields if it has some, else its text as `message`.
fn object(now: jiff::Timestamp, level: &str, record: &Record) -> Value {
    let mut fields = Fields(Map::new());
    let read = record.key_values().visit(&mut fields);
    if read.is_err() || fields.0.is_empty() {
        fields.0.insert("message".into(), record.args().to_string().into());
    }
    fields.0.extend([
        ("time".into(), json!(now)),
        ("level".into(), level.into()),
        ("target".into(), record.target().into()),
    ]);
    Value::Object(fields.0)
}

/// The fields of a line.
struct Fields(Map<String, Value>);

impl<'a> VisitSource<'a> for Fields {
    fn visit_pair(&mut self, name: Key<'a>, value: kv::Value<'a>) -> Result<(), kv::Error> {
        value.visit(Field(self.0.entry(name.as_str()).or_insert(Value::Null)))
    }
}

/// One field, which is null until it gets its value.
struct Field<'a>(&'a mut Value);

impl Field<'_> {
    fn set(&mut self, value: impl Into<Value>) -> Result<(), kv::Error> {
        *self.0 = value.into();
        Ok(())
    }
}

#[rustfmt::skip]
impl VisitValue<'_> for Field<'_> {
    fn visit_null(&mut self) -> Result<(), kv::Error> { Ok(()) }
    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> { self.set(value) }
    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> { self.set(value) }
    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> { self.set(value) }
    fn visit_any(&mut self, value: kv::Value) -> Result<(), kv::Error> { self.set(value.to_string()) }
}

/// Below `warn`, the database driver logs the values of each statement: names, hashes, histories. These lines are never written,
/// whatever `RUST_LOG` says.
fn quotes_values(record: &Record) -> bool {
    let target = record.target();
    record.level() > log::Level::Warn && (target.starts_with("postgres") || target.starts_with("tokio_postgres"))
}

/// The log line of a request.
pub struct RequestLine<'a> {
    pub id: &'a str,
    pub method: &'static str,
    /// The route's pattern, not the path: a path holds ids.
    pub route: &'static str,
    pub status: u16,
    /// The time from the complete request to the answer.
    pub took: Duration,
    /// The id of the user, if one was recognised.
    pub user_id: Option<i64>,
    pub address: IpAddr,
}

impl RequestLine<'_> {
    /// Writes the line, and a warning if the request was slow.
    pub fn write(&self) {
        if !log::log_enabled!(target: "request", log::Level::Info) && self.took < SLOW {
            return;
        }
        let RequestLine { id, method, route, status, took, user_id, address } = *self;
        let ms = took.as_micros() as f64 / 1000.0;
        let user = user_id.map(|user_id| format!(" user={user_id}")).unwrap_or_default();
        log::info!(
            target: "request", id, method, route, status, ms, user_id, address:%;
            "{method} {route} {status} {ms:.1} ms id={id} address={address}{user}"
        );
        if took >= SLOW {
            log::warn!(target: "slow", "{method} {route} took {ms:.0} ms (request {id})");
        }
    }
}
