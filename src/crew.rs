//! The threads: workers, those of the other lanes, and the watchdog that answers for threads stuck in a frozen database.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::config::hashing_threads;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::lanes::{Lanes, Slot};
use crate::lock::lock;
use crate::routes::Lane;
use crate::server::Server;

/// How often the watchdog checks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a thread may work on a request while the database is frozen, before the request counts as stuck.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// The same for a request that hashes first, which takes long while all cores are busy.
const HASHING_STUCK_AFTER: Duration = Duration::from_secs(2);
/// The same while the listening connection finds the database away: longer than waiting for a connection takes. A pooler would
/// keep a statement waiting for a server for minutes.
const STUCK_WHILE_AWAY: Duration = Duration::from_millis(3500);

/// What a hashing thread adds to its niceness: it then gets about a third of a core that another thread wants too.
#[cfg(target_os = "linux")]
const HASHING_NICENESS: i32 = 5;

struct Member {
    lane: Lane,
    slot: Arc<Slot>,
    thread: JoinHandle<()>,
}

/// All threads of one server.
#[derive(Default)]
pub struct Crew {
    members: Mutex<Vec<Member>>,
    lanes: Lanes,
    watchdog: Mutex<Option<JoinHandle<()>>>,
}

impl Crew {
    /// Starts the threads of each lane, and the watchdog.
    ///
    /// # Errors
    /// If the operating system gives no more threads. [`Crew::stop`] ends those that were started.
    pub fn start(self: &Arc<Crew>, app: &Arc<App>, server: &Arc<Server>) -> std::io::Result<()> {
        let numbers = [
            (Lane::Reading, app.config.workers),
            (Lane::LongReading, app.config.long_readers()),
            (Lane::Waiting, app.config.waiting_threads() - app.config.long_readers()),
            (Lane::Hashing, hashing_threads()),
        ];
        for (lane, number) in numbers {
            for _ in 0..number {
                self.add(server, lane)?;
            }
        }
        let (watching, app, server) = (Arc::clone(self), Arc::clone(app), Arc::clone(server));
        let watchdog = thread::Builder::new().name("watchdog".into()).spawn(move || watching.watch(&app, &server))?;
        *lock(&self.watchdog) = Some(watchdog);
        Ok(())
    }

    /// Lets requests in flight finish, until the deadline, and ends the threads.
    pub fn stop(&self, server: &Server, deadline: Instant) {
        self.lanes.stop();
        let mut members = std::mem::take(&mut *lock(&self.members));
        // A thread that has been replaced hangs in its statement, and its request has been answered.
        members.retain(|member| !member.slot.is_replaced());
        server.close(members.len());
        // Workers end when every request is answered, in any lane.
        let (workers, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.lane == Lane::Reading);
        for group in [workers, others] {
            for member in group {
                while !member.thread.is_finished() && Instant::now() < deadline {
                    thread::park_timeout(Duration::from_millis(2));
                }
                if member.thread.is_finished() {
                    let _ = member.thread.join();
                }
            }
            self.lanes.complete();
        }
        if let Some(watchdog) = lock(&self.watchdog).take() {
            watchdog.thread().unpark();
            let _ = watchdog.join();
        }
    }

    fn add(self: &Arc<Crew>, server: &Arc<Server>, lane: Lane) -> std::io::Result<()> {
        let (crew, server, slot) = (Arc::clone(self), Arc::clone(server), Arc::new(Slot::default()));
        let mine = Arc::clone(&slot);
        let name = match lane {
            Lane::Reading => "worker",
            Lane::Waiting | Lane::Gathering | Lane::LongReading => "waiting",
            Lane::Hashing => "hashing",
        };
        let thread = thread::Builder::new().name(name.into()).spawn(move || match lane {
            Lane::Reading => server.work(&crew.lanes),
            Lane::Waiting | Lane::Gathering | Lane::LongReading => server.work_in(lane, &crew.lanes, &mine),
            Lane::Hashing => {
                give_way();
                server.work_in(lane, &crew.lanes, &mine);
            }
        })?;
        lock(&self.members).push(Member { lane, slot, thread });
        Ok(())
    }

    /// Logs when requests are served again. While the database is frozen or away, answers the requests that are stuck and
    /// replaces their threads. A replaced thread ends as soon as its statement returns, so there are never more than twice the
    /// usual number.
    fn watch(self: &Arc<Crew>, app: &App, server: &Arc<Server>) {
        while !self.lanes.is_stopping() {
            thread::park_timeout(LOOK_EVERY);
            app.refusals.over_when_calm();
            self.lanes.replace_makers();
            let limit = match (app.pulse.is_frozen(), app.pulse.is_away()) {
                (true, _) => STUCK_AFTER,
                (false, true) => STUCK_WHILE_AWAY,
                (false, false) => continue,
            };
            let stuck: Vec<(Lane, Vec<Exchange>)> = {
                let members = lock(&self.members);
                let take = |member: &Member| {
                    let limit = if member.lane == Lane::Hashing { limit.max(HASHING_STUCK_AFTER) } else { limit };
                    let exchanges = member.slot.take_if_stuck(limit)?;
                    member.slot.replace();
                    Some((member.lane, exchanges))
                };
                members.iter().filter_map(take).collect()
            };
            for (lane, exchanges) in stuck {
                for exchange in exchanges {
                    app.metrics.abandoned.add(1);
                    exchange.refuse(app, &Error::Unavailable("the database does not answer".into()));
                }
                if let Err(error) = self.add(server, lane) {
                    log::error!(target: "server", "cannot start a thread to replace a stuck one: {error}");
                }
            }
            lock(&self.members).retain(|member| !(member.slot.is_replaced() && member.thread.is_finished()));
        }
    }
}

/// Lowers the priority of this thread, so that reads stay fast while all cores hash. (Elsewhere than on Linux, a priority belongs
/// to the whole process.)
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(HASHING_NICENESS) {
        log::warn!(target: "server", "a hashing thread keeps its priority: {error}");
    }
}
