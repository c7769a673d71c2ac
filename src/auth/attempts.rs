//! An attempt to log in. It is counted before the password is checked, so that many attempts at once get no more tries than
//! attempts one after the other.

use std::thread;
use std::time::{Duration, Instant};

use postgres::Row;

use super::passwords;
use super::totp::WRONG_CODES_MAX;
use crate::config::Config;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::network::client_network;
use crate::request::Request;
use crate::sql::{Parameters, Queries};

/// How long a login waits if other logins of the same account, which are still being checked, use up its last attempts; and how
/// often it looks.
const PLACE_WAIT: Duration = Duration::from_secs(2);
const PLACE_RETRY: Duration = Duration::from_millis(20);

/// An attempt, and everything that is needed to check it.
pub struct Attempt<'a> {
    /// The limits, and the cost of a hash.
    pub config: &'a Config,
    pub db: &'a Db,
    pub sql: &'a Queries,
    /// Counts the failures.
    pub metrics: &'a Metrics,
    pub request: &'a Request,
    /// The account, lower-case.
    pub email: &'a str,
}

/// An account whose password was right.
pub struct Credentials {
    /// The account's id.
    pub user_id: i64,
    /// The hash that the password matched.
    pub password_hash: String,
}

impl Attempt<'_> {
    /// Counts the attempt, then checks the password without holding a connection. A locked or disabled account, an unknown e-mail
    /// and a wrong password get the same answer after the same work.
    pub fn check(&self, password: &str) -> Result<Credentials> {
        let row = self.count()?;
        let (user_id, hash): (Option<i64>, Option<String>) = (row.get("id"), row.get("password_hash"));
        let work_cost = passwords::work_cost(row.get("most_expensive"), self.config);
        let matches = passwords::verify(password, hash.as_deref(), work_cost);
        let allowed: bool = row.get("allowed");
        let enabled = row.get::<_, Option<bool>>("closed") == Some(false);
        if let (true, true, true, Some(user_id), Some(password_hash)) = (allowed, enabled, matches, user_id, hash) {
            return Ok(Credentials { user_id, password_hash });
        }
        if allowed { &self.metrics.logins_failed } else { &self.metrics.logins_locked }.add(1);
        Err(self.failed(user_id))
    }

    /// The same where nobody logs in: a user confirms a change with the current password, and a right one resets the count.
    pub fn confirm(&self, password: &str) -> Result<Credentials> {
        let credentials = self.check(password)?;
        self.forget()?;
        Ok(credentials)
    }

    /// Resets the count.
    pub fn forget(&self) -> Result<()> {
        let network = client_network(self.request.client).to_string();
        self.db.exec(&self.sql.sessions.forget_failures, &[&self.email, &network])
    }

    /// The password was right, but a code of the second factor is missing: nothing is counted.
    pub fn take_back(&self) -> Result<()> {
        let network = client_network(self.request.client).to_string();
        self.db.exec(&self.sql.sessions.take_back, &[&self.email, &network])
    }

    /// Takes one of the attempts that the account has left. If other logins, which may be right, are using all of them, waits for
    /// a while without holding a connection. Those logins run on other threads and do not wait for this one.
    fn count(&self) -> Result<Row> {
        let Attempt { config, request, email, .. } = self;
        let network = client_network(request.client).to_string();
        let limits = (config.login_max_failures, config.login_max_failures_total, config.login_lock_seconds);
        let deadline = Instant::now() + PLACE_WAIT;
        let mut has_place = false;
        loop {
            let parameters: Parameters =
                &[&email, &network, &limits.0, &limits.1, &limits.2, &has_place, &WRONG_CODES_MAX];
            let row = self.db.query_one(&self.sql.sessions.attempt, parameters)?;
            if !row.get::<_, bool>("undecided") || Instant::now() >= deadline {
                return Ok(row);
            }
            has_place = row.get("has_place");
            thread::park_timeout(PLACE_RETRY);
        }
    }

    /// Records a failed login, and the lock if it caused one. Returns the answer.
    pub fn failed(&self, user_id: Option<i64>) -> Error {
        let Attempt { config, request, email, .. } = self;
        let network = client_network(request.client).to_string();
        let limits = (config.login_max_failures, config.login_max_failures_total, config.login_lock_seconds);
        let parameters: Parameters =
            &[&user_id, &email, &network, &limits.0, &limits.1, &limits.2, &request.client, &request.id];
        self.db.exec(&self.sql.sessions.record_failure, parameters).err().unwrap_or(Error::WrongCredentials)
    }
}
