//! People at work while the cluster breaks: some register patients, some write on one patient at once, some read it, one logs in. Each
//! notes what was said, and at the end the database must agree.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::http::Answer;
use crate::harness::{PASSWORD, Person};
use crate::tale::{Tale, Told};

/// How long a client pauses between two requests, and after a refusal.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_REFUSED: Duration = Duration::from_millis(50);

pub struct People {
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// One person's work, until the desk closes; they are numbered.
type Work = fn(&Desk, usize);

/// What they share.
struct Desk {
    address: SocketAddr,
    person: Person,
    /// Who logs in. The sessions of one person are limited.
    other: Person,
    /// The path of the patient on whom several write.
    shared: String,
    /// The highest version of it that anybody has seen.
    version: AtomicI64,
    notes: Mutex<Notes>,
    stopping: AtomicBool,
}

/// What they note.
#[derive(Default)]
pub struct Notes {
    told: Vec<Told>,
    /// The name and the id of each patient whose registration was acknowledged.
    pub created: Vec<(String, i64)>,
    /// The ids of the patients whose deletion was acknowledged.
    pub deleted: Vec<i64>,
    /// The version and the text of each acknowledged change of the shared patient.
    pub updated: Vec<(i64, String)>,
    pub logins: usize,
    /// Answers that must not be.
    pub wrong: Vec<String>,
}

impl Notes {
    pub fn tale(&mut self) -> Tale {
        Tale { told: std::mem::take(&mut self.told) }
    }
}

impl People {
    /// Sets them to work at this address: all with the rights of one person, but another logs in.
    pub fn start(address: SocketAddr, person: Person, other: Person) -> People {
        let shared =
            json!({ "name": "Shared", "date_of_birth": "1990-04-23", "gender": "female", "address": "visit 0" });
        let shared = person.post("/api/patients", shared).expect(201, "created").location();
        let (notes, stopping, version) = (Mutex::default(), AtomicBool::new(false), AtomicI64::new(1));
        let desk = Arc::new(Desk { address, person, other, shared, version, notes, stopping });
        let all: [Work; 8] = [
            Desk::register,
            Desk::register,
            Desk::register,
            Desk::write_together,
            Desk::write_together,
            Desk::read,
            Desk::read,
            Desk::log_in,
        ];
        let begin = |(number, work): (usize, Work)| {
            let desk = Arc::clone(&desk);
            thread::spawn(move || work(&desk, number))
        };
        let threads = all.into_iter().enumerate().map(begin).collect();
        People { desk, threads }
    }

    /// How many registrations, changes and logins have been acknowledged since then, the fewest of the three.
    pub fn served_since(&self, moment: Instant) -> usize {
        let notes = self.desk.notes.lock().expect("the notes");
        assert!(notes.wrong.is_empty(), "{:#?}", notes.wrong);
        let served = |what: &str| {
            let told = notes.told.iter().rev().take_while(|told| told.at >= moment);
            told.filter(|told| !told.is_refused() && told.what == what).count()
        };
        ["create", "update", "login"].into_iter().map(served).min().unwrap_or_default()
    }

    /// Ends the work. Requests whose outcome is unknown are repeated until it is known.
    pub fn stop(self) -> Notes {
        self.desk.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a person");
        }
        std::mem::take(&mut *self.desk.notes.lock().expect("the notes"))
    }
}

impl Desk {
    /// Registers patients under names of their own, and deletes every third again. What was refused is sent again, under the same key,
    /// until it is acknowledged.
    fn register(&self, number: usize) {
        for turn in (0..).take_while(|_| self.is_open()) {
            let name = format!("person-{number}-{turn}");
            let body = json!({ "name": name, "date_of_birth": "1990-04-23", "gender": "female" }).to_string();
            let answer = self.insist("create", "POST", "/api/patients", &[("Idempotency-Key", &name)], Some(&body));
            if self.is_wrong("create", &answer, &[201]) {
                continue;
            }
            let id = answer.json()["data"]["id"].as_i64().expect("an id");
            self.note(|notes| notes.created.push((name, id)));
            if turn % 3 == 0 {
                // A deletion that was refused may have been done.
                let answer = self.insist("delete", "DELETE", &format!("/api/patients/{id}"), &[], None);
                if !self.is_wrong("delete", &answer, &[200, 404]) {
                    self.note(|notes| notes.deleted.push(id));
                }
            }
        }
    }

    /// Changes the shared patient, on whom others write as well: each change counts one visit more than the version that it read.
    fn write_together(&self, number: usize) {
        while self.is_open() {
            let Some((version, visits)) = self.read_once() else { continue };
            let text = format!("visit {} by {number}", visits + 1);
            let (body, tag) = (json!({ "address": text }).to_string(), format!("\"{version}\""));
            let Some(answer) = self.ask("update", "PATCH", &self.shared, &[("If-Match", &tag)], Some(&body)) else {
                continue;
            };
            if answer.status == 200 {
                let version = version_of(&answer);
                self.version.fetch_max(version, Ordering::SeqCst);
                self.note(|notes| notes.updated.push((version, text)));
            } else {
                // Another was quicker.
                self.is_wrong("update", &answer, &[412]);
            }
        }
    }

    fn read(&self, _: usize) {
        while self.is_open() {
            self.read_once();
        }
    }

    /// The version of the shared patient, and the visits counted in it. No version is older than one that anybody had seen before.
    fn read_once(&self) -> Option<(i64, i64)> {
        let seen = self.version.load(Ordering::SeqCst);
        let answer = self.ask("read", "GET", &self.shared, &[], None)?;
        if self.is_wrong("read", &answer, &[200]) {
            return None;
        }
        let version = version_of(&answer);
        if version < seen {
            self.note(|notes| notes.wrong.push(format!("version {version} was read after {seen} had been seen")));
        }
        self.version.fetch_max(version, Ordering::SeqCst);
        let visits = answer.json()["data"]["address"].as_str().and_then(|text| text.split(' ').nth(1)?.parse().ok());
        let visits = visits.expect("a count");
        Some((version, visits))
    }

    fn log_in(&self, _: usize) {
        while self.is_open() {
            let body = json!({ "email": self.other.email, "password": PASSWORD }).to_string();
            let Some(answer) = self.ask("login", "POST", "/api/auth/login", &[], Some(&body)) else { continue };
            if !self.is_wrong("login", &answer, &[200]) {
                self.note(|notes| notes.logins += 1);
            }
        }
    }

    fn is_open(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed)
    }

    fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.notes.lock().expect("the notes"));
    }

    /// Whether the answer has none of these statuses; if so, that is noted.
    fn is_wrong(&self, what: &str, answer: &Answer, right: &[u16]) -> bool {
        let wrong = !right.contains(&answer.status);
        if wrong {
            let text = format!("{what}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
            self.note(|notes| notes.wrong.push(text));
        }
        wrong
    }

    /// Sends it until it is neither refused nor answered that the first try is still in flight.
    fn insist(&self, what: &str, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        loop {
            let answer = self.ask(what, method, path, headers, body);
            if let Some(answer) = answer.filter(|answer| answer.status != 409) {
                return answer;
            }
        }
    }

    /// Sends it once. Nothing where it was refused.
    fn ask(
        &self,
        what: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Option<Answer> {
        let token = format!("Bearer {}", self.person.token.as_deref().unwrap_or_default());
        let usual = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        let (told, answer) = Told::of(what, self.address, (method, path), &[&usual, headers].concat(), body);
        let is_refused = told.is_refused();
        self.note(|notes| notes.told.push(told));
        thread::park_timeout(if is_refused { PAUSE_REFUSED } else { PAUSE });
        answer.filter(|_| !is_refused)
    }
}

fn version_of(answer: &Answer) -> i64 {
    answer.etag().trim_matches('"').parse().expect("a version")
}
