//! Log lines on standard error, for people or as JSON. A request has one line; nothing in it is about a person.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::config::{Config, LogFormat};

/// Whether the lines are JSON; set once, before the first line.
static JSON: AtomicBool = AtomicBool::new(false);

/// How long a request may take before it is logged as slow.
const SLOW: Duration = Duration::from_secs(1);

/// Sends log lines to standard error; `RUST_LOG` chooses which, `info` and above by default. Only for our own program: a program
/// that embeds the service brings its own logger.
pub fn init(config: &Config) {
    JSON.store(config.log_format == LogFormat::Json, Ordering::Relaxed);
    env_logger::Builder::new()
        .parse_filters(&config.log_filter)
        .format(|out, record| {
            if quotes_values(record) {
                return Ok(());
            }
            let now = jiff::Timestamp::now();
            let level = record.level().as_str().to_ascii_lowercase();
            if JSON.load(Ordering::Relaxed) {
                let text = record.args().to_string();
                let mut line = json!({ "time": now, "level": level, "target": record.target() });
                match serde_json::from_str(&text) {
                    Ok(serde_json::Value::Object(fields)) if record.target() == "request" => {
                        line.as_object_mut().map(|line| line.extend(fields))
                    }
                    _ => line.as_object_mut().map(|line| line.extend([("message".to_string(), json!(text))])),
                };
                writeln!(out, "{line}")
            } else {
                writeln!(out, "{now:.3} {level:<5} {}: {}", record.target(), record.args())
            }
        })
        .init();
}

/// Below `warn`, the database driver logs the values of each statement: names, hashes, histories. These lines are never written,
/// whatever `RUST_LOG` says.
fn quotes_values(record: &log::Record) -> bool {
    let target = record.target();
    record.level() > log::Level::Warn && (target.starts_with("postgres") || target.starts_with("tokio_postgres"))
}

/// The log line of a request.
pub struct RequestLine<'a> {
    /// The request id.
    pub id: &'a str,
    /// The method.
    pub method: &'static str,
    /// The route's pattern, not the path: a path holds ids.
    pub route: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The time from the complete request to the answer.
    pub took: Duration,
    /// The id of the user, if one was recognised.
    pub user_id: Option<i64>,
    /// The client.
    pub address: IpAddr,
}

impl RequestLine<'_> {
    /// Writes the line, and a warning if the request was slow.
    pub fn write(&self) {
        if !log::log_enabled!(target: "request", log::Level::Info) && self.took < SLOW {
            return;
        }
        log::info!(target: "request", "{}", self.text());
        if self.took >= SLOW {
            let millis = self.took.as_millis();
            log::warn!(target: "slow", "{} {} took {millis} ms (request {})", self.method, self.route, self.id);
        }
    }

    fn text(&self) -> String {
        let millis = self.took.as_micros() as f64 / 1000.0;
        if JSON.load(Ordering::Relaxed) {
            return json!({
                "id": self.id, "method": self.method, "route": self.route, "status": self.status,
                "ms": millis, "user_id": self.user_id, "address": self.address,
            })
            .to_string();
        }
        let mut text = format!(
            "{} {} {} {millis:.1} ms id={} address={}",
            self.method, self.route, self.status, self.id, self.address
        );
        if let Some(user_id) = self.user_id {
            let _ = write!(text, " user={user_id}");
        }
        text
    }
}
