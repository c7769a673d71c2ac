//! People who register patients through a fault, each under a name of its own and once only, and remember what they were told.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postgres::Client;
use serde_json::json;

use crate::harness::{Person, eventually, http};

/// What one request came to.
struct Told {
    name: String,
    at: Instant,
    took: Duration,
    /// Nothing where the connection ended without an answer.
    status: Option<u16>,
    has_retry_after: bool,
}

/// The people, at work.
pub struct Writers {
    told: Arc<Mutex<Vec<Told>>>,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Sets `count` people to work at this address, with the rights of one.
    pub fn start(address: SocketAddr, person: &Person, count: usize) -> Writers {
        let (told, stopping) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let work = |number: usize| {
            let (told, stopping, person) = (Arc::clone(&told), Arc::clone(&stopping), person.clone());
            thread::spawn(move || {
                for turn in 0.. {
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("writer {number} turn {turn}");
                    let result = write_once(address, &person, name);
                    let failed = result.status != Some(201);
                    told.lock().expect("the results").push(result);
                    if failed {
                        // As a client that was told to come back later, only sooner.
                        thread::park_timeout(Duration::from_millis(20));
                    }
                }
            })
        };
        let threads = (0..count).map(work).collect();
        Writers { told, stopping, threads }
    }

    /// Waits until this many more writes have been acknowledged.
    pub fn until_written(&self, more: usize) {
        let enough = self.acknowledged() + more;
        eventually("acknowledged writes", || {
            thread::park_timeout(Duration::from_millis(5));
            self.acknowledged() >= enough
        });
    }

    fn acknowledged(&self) -> usize {
        self.told.lock().expect("the results").iter().filter(|told| told.status == Some(201)).count()
    }

    /// Ends the work.
    pub fn stop(self) -> Tale {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer");
        }
        let told = std::mem::take(&mut *self.told.lock().expect("the results"));
        Tale { told }
    }
}

fn write_once(address: SocketAddr, person: &Person, name: String) -> Told {
    let body = json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" }).to_string();
    let token = format!("Bearer {}", person.token.as_deref().unwrap_or_default());
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let at = Instant::now();
    let answer = try_send(address, &headers, &body);
    let (status, has_retry_after) =
        answer.map_or((None, false), |answer| (Some(answer.status), answer.header("retry-after").is_some()));
    Told { name, at, took: at.elapsed(), status, has_retry_after }
}

/// Posts a patient on a connection of its own; nothing where there is no connection or no whole answer.
fn try_send(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> Option<http::Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut text = format!("POST /api/patients HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).ok()?;
    http::read_answer(&mut BufReader::new(stream), false)
}

/// What they were told.
pub struct Tale {
    told: Vec<Told>,
}

impl Tale {
    /// Every acknowledged write is there once, and no other more than once. Each name was sent once.
    #[track_caller]
    pub fn compare(&self, client: &mut Client) {
        let rows = client.query("select name, count(*) from patients where name like 'writer %' group by name", &[]);
        let rows: HashMap<String, i64> = rows.expect("rows").iter().map(|row| (row.get(0), row.get(1))).collect();
        let doubled: Vec<&String> = rows.iter().filter(|(_, count)| **count > 1).map(|(name, _)| name).collect();
        assert!(doubled.is_empty(), "doubled: {doubled:?}");
        let acknowledged = self.told.iter().filter(|told| told.status == Some(201));
        let lost: Vec<&str> =
            acknowledged.map(|told| told.name.as_str()).filter(|name| !rows.contains_key(*name)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }

    /// Checks that every refused request was told so properly and in time: 503 with Retry-After, within `limit`.
    #[track_caller]
    pub fn expect_only_503(&self, limit: Duration) {
        let statuses: HashSet<Option<u16>> = self.told.iter().map(|told| told.status).collect();
        assert!(statuses.iter().all(|status| matches!(status, Some(201 | 503))), "{statuses:?}");
        for told in self.told.iter().filter(|told| told.status == Some(503)) {
            assert!(told.has_retry_after, "{}", told.name);
            assert!(told.took < limit, "{} took {:?}", told.name, told.took);
        }
    }

    /// From this moment until the first success of a request that was sent after the first failure.
    pub fn back_after(&self, fault: Instant) -> Duration {
        let failed = self.told.iter().filter(|told| told.status != Some(201) && told.at + told.took >= fault);
        let Some(failed) = failed.map(|told| told.at).min() else { return Duration::ZERO };
        let back = self.told.iter().filter(|told| told.status == Some(201) && told.at > failed);
        let back = back.map(|told| told.at + told.took).min().expect("a success after the fault");
        back.duration_since(fault)
    }

    /// The numbers of acknowledged writes and of refusals, and the longest of these.
    pub fn summary(&self) -> String {
        let acknowledged = self.told.iter().filter(|told| told.status == Some(201)).count();
        let refused = self.told.iter().filter(|told| told.status != Some(201));
        let longest = refused.clone().map(|told| told.took).max().unwrap_or_default();
        format!("{acknowledged} acknowledged, {} refused, the longest after {longest:?}", refused.count())
    }
}
