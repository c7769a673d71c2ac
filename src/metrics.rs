//! What the service counts about itself, for `GET /metrics` in the Prometheus text format. Every label has a fixed set of values.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The statuses that the service answers with. The transport counts those of its own refusals.
const STATUSES: [u16; 22] =
    [200, 201, 202, 204, 303, 304, 400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 415, 422, 429, 500, 501, 503];

/// What becomes of a request for emergency access.
const EMERGENCY_RESULTS: [&str; 5] = ["granted", "not_found", "too_many", "wrong_password", "limited"];

/// Upper bounds of the latency histogram, in microseconds.
const BUCKETS_MICROS: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// A metric that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A metric that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more, until the guard is dropped.
    pub fn enter(&self) -> impl Drop + '_ {
        struct Guard<'a>(&'a Gauge);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Guard(self)
    }

    pub fn set(&self, number: usize) {
        self.0.store(i64::try_from(number).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct RouteNumbers {
    statuses: [Counter; STATUSES.len()],
    buckets: [Counter; BUCKETS_MICROS.len()],
    micros: Counter,
    count: Counter,
}

/// All metrics of one server.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The routes in the order of the table, and one more for requests that reached none.
    routes: Vec<(&'static str, &'static str, RouteNumbers)>,
    /// Requests that are being answered.
    pub in_flight: Gauge,
    /// Requests in the queue for threads that may wait for the database.
    pub waiting_queue: Gauge,
    /// Long reads that wait for such a thread or for memory.
    pub long_queue: Gauge,
    /// Requests that wait for a hashing thread.
    pub hashing_queue: Gauge,
    /// Requests refused because that queue was full.
    pub hashing_refused: Counter,
    /// Requests that wait for a database connection.
    pub pool_waiting: Gauge,
    /// Requests that gave up waiting for one.
    pub pool_timeouts: Counter,
    /// Successful logins.
    pub logins_ok: Counter,
    /// Failed logins.
    pub logins_failed: Counter,
    /// Logins refused because of a lock.
    pub logins_locked: Counter,
    /// Mails that the mail program took.
    pub mails_sent: Counter,
    /// Mails that it did not take.
    pub mails_failed: Counter,
    /// Mails for which the queue had no room.
    pub mails_dropped: Counter,
    /// Requests for emergency access, by result.
    emergency_access: [Counter; EMERGENCY_RESULTS.len()],
    /// Grants of emergency access that nobody has reviewed.
    pub emergency_unreviewed: Gauge,
    /// Requests refused by a rate limit.
    pub rate_limited: Counter,
    /// Audit entries that wait to be written.
    pub audit_buffered: Gauge,
    /// Those among them that the database refused.
    pub audit_refused: Gauge,
    /// Requests that the watchdog answered because the database had stopped answering.
    pub abandoned: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
}

impl Metrics {
    /// Metrics for these routes: method and pattern.
    pub fn new(routes: impl Iterator<Item = (&'static str, &'static str)>) -> Metrics {
        let mut numbers: Vec<_> = routes.map(|(method, pattern)| (method, pattern, RouteNumbers::default())).collect();
        numbers.push(("other", "none", RouteNumbers::default()));
        Metrics { routes: numbers, ..Metrics::default() }
    }

    /// Counts a request for emergency access.
    pub fn count_emergency(&self, result: &str) {
        let place = EMERGENCY_RESULTS.iter().position(|known| *known == result);
        debug_assert!(place.is_some(), "{result} is not in EMERGENCY_RESULTS");
        if let Some(place) = place {
            self.emergency_access[place].add(1);
        }
    }

    /// Counts an answered request; `route` is its place in the table.
    pub fn record(&self, route: Option<usize>, status: u16, took: Duration) {
        let place = route.unwrap_or(self.routes.len().saturating_sub(1));
        let Some((_, _, numbers)) = self.routes.get(place) else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let known = STATUSES.iter().position(|known| *known == status);
        debug_assert!(known.is_some(), "{status} is not in STATUSES");
        if let Some(status) = known {
            numbers.statuses[status].add(1);
        }
        if let Some(bucket) = BUCKETS_MICROS.iter().position(|bound| micros <= *bound) {
            numbers.buckets[bucket].add(1);
        }
        numbers.micros.add(micros);
        numbers.count.add(1);
    }

    /// The page, including the metrics in `extra`.
    pub fn page(&self, extra: &[Family]) -> String {
        let mut page = String::with_capacity(16 * 1024);
        self.write_routes(&mut page);
        let logins = [("ok", &self.logins_ok), ("failed", &self.logins_failed), ("locked", &self.logins_locked)];
        let logins = logins.map(|(result, counter)| (format!("result=\"{result}\""), counter.get() as f64)).to_vec();
        let mails = [("sent", &self.mails_sent), ("failed", &self.mails_failed), ("dropped", &self.mails_dropped)];
        let mails = mails.map(|(result, counter)| (format!("result=\"{result}\""), counter.get() as f64)).to_vec();
        let emergency = EMERGENCY_RESULTS.iter().zip(&self.emergency_access);
        let emergency =
            emergency.map(|(result, counter)| (format!("result=\"{result}\""), counter.get() as f64)).collect();
        #[rustfmt::skip]
        let own = [
            Family::gauge("http_requests_in_flight", "Requests being answered.", self.in_flight.get()),
            Family::gauge("waiting_queue_length", "Requests waiting for a thread that may wait for the database.", self.waiting_queue.get()),
            Family::gauge("long_read_queue_length", "Long reads waiting for a thread or for memory.", self.long_queue.get()),
            Family::gauge("hashing_queue_length", "Requests waiting for a hashing thread.", self.hashing_queue.get()),
            Family::gauge("database_pool_waiting", "Requests waiting for a database connection.", self.pool_waiting.get()),
            Family::gauge("audit_buffered_entries", "Audit entries waiting to be written.", self.audit_buffered.get()),
            Family::gauge("audit_refused_entries", "Audit entries that the database refused so far.", self.audit_refused.get()),
            Family::counter("hashing_refused_total", "Requests refused because the hashing queue was full.", self.hashing_refused.get()),
            Family::counter("database_pool_timeouts_total", "Requests that got no database connection in time.", self.pool_timeouts.get()),
            Family::counter("rate_limited_total", "Requests refused by a rate limit.", self.rate_limited.get()),
            Family::counter("abandoned_requests_total", "Requests answered while their statement hung.", self.abandoned.get()),
            Family::counter("panics_total", "Handlers that panicked.", self.panics.get()),
            Family { name: "logins_total", help: "Logins by result.", kind: "counter", samples: logins },
            Family { name: "emergency_access_total", help: "Requests for emergency access by result.", kind: "counter", samples: emergency },
            Family::gauge("emergency_access_unreviewed", "Emergency access that no admin has reviewed.", self.emergency_unreviewed.get()),
            Family { name: "mails_total", help: "Mails by result.", kind: "counter", samples: mails },
        ];
        for family in own.iter().chain(extra) {
            family.write(&mut page);
        }
        page
    }

    fn write_routes(&self, page: &mut String) {
        let mut requests = Vec::new();
        for (method, pattern, numbers) in &self.routes {
            for (status, counter) in STATUSES.iter().zip(&numbers.statuses).filter(|(_, counter)| counter.get() > 0) {
                let labels = format!("method=\"{method}\",route=\"{pattern}\",status=\"{status}\"");
                requests.push((labels, counter.get() as f64));
            }
        }
        let help = "Requests by route pattern, method and status.";
        Family { name: "http_requests_total", help, kind: "counter", samples: requests }.write(page);
        let _ =
            writeln!(page, "# HELP http_request_duration_seconds Time from the whole request to the answer, by route.");
        let _ = writeln!(page, "# TYPE http_request_duration_seconds histogram");
        for (method, pattern, numbers) in self.routes.iter().filter(|(_, _, numbers)| numbers.count.get() > 0) {
            let labels = format!("method=\"{method}\",route=\"{pattern}\"");
            let name = "http_request_duration_seconds";
            let mut total = 0;
            for (bound, bucket) in BUCKETS_MICROS.iter().zip(&numbers.buckets) {
                total += bucket.get();
                let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{}\"}} {total}", *bound as f64 / 1e6);
            }
            let count = numbers.count.get().max(total);
            let _ = writeln!(page, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(page, "{name}_sum{{{labels}}} {}", numbers.micros.get() as f64 / 1e6);
            let _ = writeln!(page, "{name}_count{{{labels}}} {count}");
        }
    }
}

/// One metric of the page.
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Label text (without braces) and value.
    pub samples: Vec<(String, f64)>,
}

impl Family {
    /// A gauge of one value.
    pub fn gauge(name: &'static str, help: &'static str, value: i64) -> Family {
        Family { name, help, kind: "gauge", samples: vec![(String::new(), value as f64)] }
    }

    /// A counter of one value.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
        Family { name, help, kind: "counter", samples: vec![(String::new(), value as f64)] }
    }

    fn write(&self, page: &mut String) {
        let _ = writeln!(page, "# HELP {} {}", self.name, self.help);
        let _ = writeln!(page, "# TYPE {} {}", self.name, self.kind);
        for (labels, value) in &self.samples {
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(page, "{}{labels} {value}", self.name);
        }
    }
}

/// Seconds since 1970, for the start time.
pub fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}
