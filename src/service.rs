//! The whole service in one value: start it, ask for its address, stop it. What `main.rs` and an embedding program use.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::app::{App, Database};
use crate::auth::tokens::random_hex;
use crate::config::Config;
use crate::crew::Crew;
use crate::handlers::idempotency;
use crate::private_postgres::PrivatePostgres;
use crate::pulse::Event;
use crate::server::Server;

/// Requests in flight have so long to finish.
const GRACE: Duration = Duration::from_secs(10);
/// What waits to be written has so long, unless the database hangs: the writer gives up by itself after [`GRACE`].
const LAST_WRITES: Duration = Duration::from_secs(12);
/// How often it is looked whether a thread has ended.
const JOIN_EVERY: Duration = Duration::from_millis(2);
/// How often the use of sessions is written down.
const TOUCH_EVERY: Duration = Duration::from_secs(30);
/// How often what is over is removed.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// How often it is looked whether the private PostgreSQL has ended, and how long to wait after a start that failed.
const REVIVE_EVERY: Duration = Duration::from_millis(200);
const REVIVE_AGAIN: Duration = Duration::from_secs(1);

/// A running service.
pub struct Service {
    app: Arc<App>,
    server: Arc<Server>,
    crew: Arc<Crew>,
    address: SocketAddr,
    private: Option<Arc<Mutex<PrivatePostgres>>>,
    background: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

impl Service {
    /// Checks everything, brings the schema up to date, opens the socket, and serves in threads of its own.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do.
    pub fn start(config: Config) -> Result<Service, String> {
        let database = Database::open(&config)?;
        for warning in database.url.warnings() {
            log::warn!(target: "database", "{warning}");
        }
        let app = Arc::new(App::new(config, &database)?);
        let listener = bind(&app.config)?;
        let address = listener.local_addr().map_err(|error| format!("the socket has no address: {error}"))?;
        let server = Server::new(Arc::clone(&app), listener, random_hex::<4>()?);
        let server = Arc::new(server.map_err(|error| format!("cannot serve on {address}: {error}"))?);
        let counting = Arc::downgrade(&server);
        let _ =
            app.transport.set(Box::new(move || counting.upgrade().map_or_else(Vec::new, |server| server.numbers())));
        let stopping = Arc::new(AtomicBool::new(false));
        let mut background = start_background(&app, &database, &stopping).map_err(no_more_threads)?;
        let private = database.private.map(|private| Arc::new(Mutex::new(private)));
        if let Some(private) = &private {
            background.push(start_reviver(&app, private, &stopping).map_err(no_more_threads)?);
        }
        let crew = Crew::start(&app, &server).map_err(no_more_threads)?;
        Ok(Service { app, server, crew, address, private, background, stopping })
    }

    /// Where it listens; the port that was picked, if it was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// No new connections; requests in flight finish, 10 s at most; what waits to be written is written, 12 s at most; the
    /// private PostgreSQL stops.
    ///
    /// # Errors
    /// One line where the private PostgreSQL does not stop.
    pub fn stop(self) -> Result<(), String> {
        self.crew.stop(&self.server, Instant::now() + GRACE);
        self.stopping.store(true, Ordering::Relaxed);
        self.app.audit.stop();
        self.app.pulse.stop();
        let deadline = Instant::now() + LAST_WRITES;
        for thread in self.background {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < deadline {
                thread::park_timeout(JOIN_EVERY);
            }
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                log::error!(target: "database", "a statement hangs; what it and those behind it would write is lost");
            }
        }
        if self.app.pulse.is_frozen() {
            // Closing a connection waits for the server's farewell, which does not come.
            std::mem::forget(Arc::clone(&self.app));
        }
        // The thread that shared it has ended.
        self.private
            .and_then(Arc::into_inner)
            .map_or(Ok(()), |private| private.into_inner().unwrap_or_else(PoisonError::into_inner).stop())
    }
}

fn bind(config: &Config) -> Result<TcpListener, String> {
    let (host, port) = (config.host.as_str(), config.port);
    let addresses = (host, port).to_socket_addrs().map_err(|error| format!("HOST {host} has no address: {error}"))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let listener = TcpListener::bind(&addresses[..])
        .map_err(|error| format!("cannot listen on {host}:{port}: {error}; set HOST and PORT to a free address"))?;
    if addresses.iter().any(|address| !address.ip().is_loopback()) && config.trusted_proxies.is_empty() {
        log::warn!(
            target: "server",
            "{host}:{port} is reachable from other machines without TLS: put a reverse proxy in front and set TRUSTED_PROXIES"
        );
    }
    Ok(listener)
}

/// The listener, the writer of audit entries, and the housekeeper.
fn start_background(
    app: &Arc<App>,
    database: &Database,
    stopping: &Arc<AtomicBool>,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let hearing = Arc::clone(app);
    let listener = app.pulse.listen(database.url.clone(), move |event| match event {
        Event::Hearing => hearing.sessions.set_hearing(true),
        Event::Deaf => hearing.sessions.set_hearing(false),
        Event::Change(payload) => hearing.sessions.hear(payload),
    })?;
    let writing = Arc::clone(app);
    let writer = thread::Builder::new().name("audit".into()).spawn(move || {
        writing.audit.write_until_stopped(&writing.db, &writing.sql.audit.record, GRACE);
    })?;
    let (keeping, stopping) = (Arc::clone(app), Arc::clone(stopping));
    let keeper = thread::Builder::new().name("housekeeper".into()).spawn(move || keep_house(&keeping, &stopping))?;
    Ok(vec![listener, writer, keeper])
}

/// Starts the private PostgreSQL again whenever it has ended.
fn start_reviver(
    app: &Arc<App>,
    private: &Arc<Mutex<PrivatePostgres>>,
    stopping: &Arc<AtomicBool>,
) -> std::io::Result<JoinHandle<()>> {
    let (app, private, stopping) = (Arc::clone(app), Arc::clone(private), Arc::clone(stopping));
    thread::Builder::new().name("reviver".into()).spawn(move || {
        let mut last_problem = String::new();
        while !stopping.load(Ordering::Relaxed) {
            thread::park_timeout(REVIVE_EVERY);
            if !app.pulse.is_away() || stopping.load(Ordering::Relaxed) {
                continue;
            }
            match private.lock().unwrap_or_else(PoisonError::into_inner).revive() {
                Ok(false) => {}
                Ok(true) => {
                    last_problem.clear();
                    log::warn!(target: "database", "the private PostgreSQL had ended, and was started again");
                }
                Err(problem) => {
                    // Said once, however often it is tried.
                    if problem != last_problem {
                        log::error!(target: "database", "the private PostgreSQL does not start again: {problem}");
                    }
                    last_problem = problem;
                    thread::park_timeout(REVIVE_AGAIN);
                }
            }
        }
    })
}

fn no_more_threads(error: std::io::Error) -> String {
    format!("no more threads: {error}")
}

fn keep_house(app: &App, stopping: &AtomicBool) {
    let mut prune_at = Instant::now() + PRUNE_EVERY;
    while !stopping.load(Ordering::Relaxed) {
        thread::park_timeout(TOUCH_EVERY);
        let used = app.sessions.take_used();
        // Both are tried again: a session that is used is noted a minute later, and what is over stays over.
        if !used.is_empty() {
            let _ = app.db.exec(&app.sql.sessions.touch, &[&used]);
        }
        if Instant::now() >= prune_at {
            prune_at = Instant::now() + PRUNE_EVERY;
            let _ = app.db.exec(&app.sql.sessions.prune, &[]);
            let _ = app.db.exec(&app.sql.idempotency.prune, &[&idempotency::LIFETIME_SECONDS]);
        }
    }
}
