//! Mail: one-time tokens for forgotten passwords, and notes about a changed address. A request only puts a job into a bounded queue, so
//! that neither its answer nor its time tells whether there is such an account. One thread looks the account up, makes the token and
//! hands the message to the program that `SENDMAIL` names.

mod message;
mod program;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::address::Mailbox;
use crate::auth::tokens::new_random_token;
use crate::config::Config;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::lock::{lock, wait};
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::sql::{Parameters, Queries};
use message::{Content, Message};

/// How many jobs may wait; a further one is dropped.
const CAPACITY: usize = 100;
/// How long the program may take for one message before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a mailed token is good.
const LIFETIME_SECONDS: i32 = 24 * 60 * 60;
/// How long one account gets no further mail with a token.
const PAUSE_SECONDS: i32 = 5 * 60;

/// What a request leaves for the thread that sends mail.
pub enum Job {
    /// Somebody forgot the password of this account, if there is one; and who says so.
    Forgotten { email: String, client: IpAddr, request_id: String },
    /// The account of this person had this address, and has another one now.
    Moved { name: String, email: String },
}

/// The queue of jobs.
pub struct Mail {
    state: Mutex<State>,
    changed: Condvar,
    outage: Outage,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    stopping: bool,
}

impl Default for Mail {
    fn default() -> Mail {
        let outage = Outage::new("mail", "mail cannot be sent", "mail is sent again");
        Mail { state: Mutex::default(), changed: Condvar::new(), outage }
    }
}

/// What the thread that sends mail works with.
pub struct Post<'a> {
    pub config: &'a Config,
    pub db: &'a Db,
    pub sql: &'a Queries,
    pub metrics: &'a Metrics,
}

impl Mail {
    /// Leaves a job, unless mail is switched off or the queue is full.
    pub fn put(&self, config: &Config, metrics: &Metrics, job: Job) {
        let mut state = lock(&self.state);
        if config.sendmail.is_none() {
            return;
        }
        if state.jobs.len() >= CAPACITY || state.stopping {
            metrics.mails_dropped.add(1);
        } else {
            state.jobs.push_back(job);
            self.changed.notify_one();
        }
    }

    /// Does one job after the other until [`stop`](Mail::stop); the jobs that wait then have `grace` together, and what remains is
    /// dropped.
    pub fn deliver_until_stopped(&self, post: &Post, grace: Duration) {
        let mut ends_at = None;
        while let Some(job) = self.next(&mut ends_at, grace) {
            let patience = ends_at.map_or(PATIENCE, |end: Instant| PATIENCE.min(end - Instant::now().min(end)));
            if patience.is_zero() {
                post.metrics.mails_dropped.add(1);
                continue;
            }
            match post.deliver(job, patience) {
                Ok(false) => {}
                Ok(true) => {
                    post.metrics.mails_sent.add(1);
                    self.outage.over();
                }
                Err(error) => {
                    post.metrics.mails_failed.add(1);
                    self.outage.failed(&error.cause());
                }
            }
        }
    }

    /// Takes no more jobs.
    pub fn stop(&self) {
        lock(&self.state).stopping = true;
        self.changed.notify_all();
    }

    /// The next job; `None` once it is stopped and none waits.
    fn next(&self, ends_at: &mut Option<Instant>, grace: Duration) -> Option<Job> {
        let mut state = lock(&self.state);
        while state.jobs.is_empty() && !state.stopping {
            state = wait(&self.changed, state);
        }
        if state.stopping {
            ends_at.get_or_insert_with(|| Instant::now() + grace);
        }
        state.jobs.pop_front()
    }
}

impl Post<'_> {
    /// Whether there was something to send.
    fn deliver(&self, job: Job, patience: Duration) -> Result<bool> {
        let from = self.config.mail_from.as_deref().and_then(Mailbox::parse);
        let (Some(command), Some(from)) = (&self.config.sendmail, from) else { return Ok(false) };
        let (name, email, content) = match job {
            Job::Moved { name, email } => (name, email, Content::Moved),
            Job::Forgotten { email, client, request_id } => {
                let (token, hash) = new_random_token().map_err(Error::Internal)?;
                let Some((name, email)) = self.issue(&email, &hash, client, &request_id)? else { return Ok(false) };
                let link = format!("{}{token}", self.config.reset_url.as_deref().unwrap_or_default());
                (name, email, Content::Reset { link })
            }
        };
        let message = Message { from: &from, name: &name, email: &email, content }.text().map_err(Error::Internal)?;
        program::run(command, message.as_bytes(), patience).map_err(Error::Internal)?;
        Ok(true)
    }

    /// Makes a token for the account of this address. `None` if there is no such account, it is disabled, or a mail has just gone out:
    /// the token in that one stays good.
    fn issue(&self, email: &str, hash: &[u8], client: IpAddr, request_id: &str) -> Result<Option<(String, String)>> {
        let resets = &self.sql.resets;
        self.db.transaction(&resets.issue_by_mail, |transaction| {
            let Some(account) = transaction.query_opt(&resets.lock_by_email, &[&email])? else { return Ok(None) };
            let id: i64 = account.get("id");
            let parameters: Parameters = &[&id, &hash, &LIFETIME_SECONDS, &PAUSE_SECONDS, &client, &request_id];
            let row = transaction.query_opt(&resets.issue_by_mail, parameters)?;
            Ok(row.map(|row| (row.get("name"), row.get("email"))))
        })
    }
}
