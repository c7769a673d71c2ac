//! People who register patients through a fault, each under a name of its own and once only, and remember what they were told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postgres::Client;
use serde_json::json;

use crate::harness::{Person, eventually};
use crate::tale::{Tale, Told};

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
                    let result = write_once(address, &person, &format!("writer {number} turn {turn}"));
                    let failed = result.is_refused();
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

fn write_once(address: SocketAddr, person: &Person, name: &str) -> Told {
    let body = json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" }).to_string();
    let token = format!("Bearer {}", person.token.as_deref().unwrap_or_default());
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    Told::of(name, address, ("POST", "/api/patients"), &headers, Some(&body)).0
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
            acknowledged.map(|told| told.what.as_str()).filter(|name| !rows.contains_key(*name)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}
