//! The whole service in one value: start it, ask for its address, stop it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postgres::Client;

use crate::app::{App, Contract};
use crate::auth::guard::Guard;
use crate::auth::secret;
use crate::auth::tokens::random_hex;
use crate::config::Config;
use crate::crew::Crew;
use crate::cursors::Cursors;
use crate::database::Database;
use crate::db::Db;
use crate::dispatch::Routes;
use crate::fhir::capabilities;
use crate::housekeeper::Housekeeper;
use crate::mail::{Mail, Post};
use crate::memory::Memory;
use crate::metrics::{Metrics, unix_seconds};
use crate::outage::Outage;
use crate::private_postgres::PrivatePostgres;
use crate::pulse::{Event, Pulse};
use crate::routes::ROUTES;
use crate::seal::Seals;
use crate::server::Server;
use crate::sql::Queries;
use crate::{audit, migrate, openapi};

/// How long requests in flight may take to finish.
const GRACE: Duration = Duration::from_secs(10);
/// How long the last writes may take. If the database hangs, the writer gives up by itself after [`GRACE`].
const LAST_WRITES: Duration = Duration::from_secs(12);
/// How often to check whether a thread has ended.
const JOIN_EVERY: Duration = Duration::from_millis(2);

/// How often to check whether the private PostgreSQL has ended, and how long to wait after a failed start.
const REVIVE_EVERY: Duration = Duration::from_millis(200);
const REVIVE_AGAIN: Duration = Duration::from_secs(1);

/// A running service. [`stop`](Service::stop) stops it and reports errors; dropping the value stops it too.
pub struct Service {
    app: Arc<App>,
    server: Arc<Server>,
    crew: Arc<Crew>,
    address: SocketAddr,
    background: Vec<JoinHandle<()>>,
    /// Keeps the private PostgreSQL running, and gives it back when it ends.
    reviver: Option<JoinHandle<PrivatePostgres>>,
    stopping: Arc<AtomicBool>,
}

impl Service {
    /// Checks everything, brings the schema up to date, opens the socket, and serves in threads of its own.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do. Nothing is left running.
    pub fn start(config: Config) -> Result<Service, String> {
        Service::start_unless(&AtomicBool::new(false), config, Database::connect)
    }

    /// The same, but waits until the database can be reached. `None` as soon as `stopping` is set.
    ///
    /// # Errors
    /// One line that says what is wrong and what to do, for every problem that waiting does not solve.
    pub fn start_patiently(config: Config, stopping: &AtomicBool) -> Result<Option<Service>, String> {
        match Service::start_unless(stopping, config, |database| database.wait_for_connection(stopping)) {
            Err(problem) if stopping.load(Ordering::Relaxed) => {
                log::info!(target: "server", "not started: {problem}");
                Ok(None)
            }
            started => started.map(Some),
        }
    }

    fn start_unless(
        stopping: &AtomicBool,
        config: Config,
        connect: impl FnOnce(&Database) -> Result<Client, String>,
    ) -> Result<Service, String> {
        let config = config.checked().map_err(|problems| problems.join("; "))?;
        // Comes before any change: a server that cannot listen must not migrate the schema.
        drop(bind(&config)?);
        let database = Database::open_unless(stopping, &config)?;
        for warning in database.url.warnings() {
            log::warn!(target: "database", "{warning}");
        }
        let routes = Routes::new()?;
        let app = Arc::new(make_app(config, &database, connect)?);
        let listener = bind(&app.config)?;
        warn_if_open(&app.config, &listener);
        let address = listener.local_addr().map_err(|error| format!("the socket has no address: {error}"))?;
        let server = Server::new(Arc::clone(&app), routes, listener, random_hex::<4>()?);
        let server = Arc::new(server.map_err(|error| format!("cannot serve on {address}: {error}"))?);
        let counting = Arc::downgrade(&server);
        let metrics = move || counting.upgrade().map_or_else(Vec::new, |server| server.transport_metrics());
        let _ = app.transport_metrics.set(Box::new(metrics));
        let (crew, stopping) = (Arc::new(Crew::default()), Arc::new(AtomicBool::new(false)));
        let (background, reviver) = (Vec::new(), None);
        // From here on, an error drops the service, which ends the threads that were started.
        let mut service = Service { app, server, crew, address, background, reviver, stopping };
        service.start_threads(database).map_err(|error| format!("no more threads: {error}"))?;
        Ok(service)
    }

    /// The address that it listens on. If the port was 0, this has the port that was picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no new connections, lets requests in flight finish (10 s at most), writes what waits to be written (12 s at most),
    /// and stops the private PostgreSQL.
    ///
    /// # Errors
    /// One line if the private PostgreSQL does not stop.
    pub fn stop(mut self) -> Result<(), String> {
        self.shut_down()
    }

    /// The listener, the writer of audit entries, the sender of mail, the housekeeper, the reviver, and the threads that answer requests.
    fn start_threads(&mut self, database: Database) -> std::io::Result<()> {
        let hearing = Arc::clone(&self.app);
        self.background.push(self.app.pulse.listen(database.url, move |event| match event {
            Event::Hearing => hearing.guard.sessions.set_hearing(true),
            Event::Deaf => hearing.guard.sessions.set_hearing(false),
            Event::Change(payload) => hearing.guard.sessions.hear(payload),
        })?);
        self.spawn("audit", |app| app.audit.write_until_stopped(&app.db, &app.sql.audit.record, GRACE))?;
        self.spawn("mail", |App { config, db, sql, metrics, mail, .. }| {
            mail.deliver_until_stopped(&Post { config, db, sql, metrics }, GRACE);
        })?;
        let stopping = Arc::clone(&self.stopping);
        self.spawn("housekeeper", move |app| {
            Housekeeper::new(&app.db, &app.sql).keep(&app.guard.sessions, &app.metrics, &stopping);
        })?;
        if let Some(private) = database.private {
            let (app, stopping) = (Arc::clone(&self.app), Arc::clone(&self.stopping));
            let revive = move || keep_running(private, &app, &stopping);
            self.reviver = Some(thread::Builder::new().name("reviver".into()).spawn(revive)?);
        }
        self.crew.start(&self.app, &self.server)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce(&App) + Send + 'static) -> std::io::Result<()> {
        let app = Arc::clone(&self.app);
        self.background.push(thread::Builder::new().name(name.into()).spawn(move || work(&app))?);
        Ok(())
    }

    /// Does nothing when called a second time.
    fn shut_down(&mut self) -> Result<(), String> {
        self.crew.stop(&self.server, Instant::now() + GRACE);
        self.stopping.store(true, Ordering::Relaxed);
        let is_frozen = self.app.pulse.is_frozen();
        self.app.mail.stop();
        self.app.audit.stop();
        self.app.pulse.stop();
        let deadline = Instant::now() + LAST_WRITES;
        for thread in self.background.drain(..) {
            thread.thread().unpark();
            while !thread.is_finished() && Instant::now() < deadline {
                thread::park_timeout(JOIN_EVERY);
            }
            if !thread.is_finished() {
                log::error!(target: "database", "a statement hangs; its data and the data of the statements behind it are lost");
                continue;
            }
            let name = thread.thread().name().unwrap_or_default().to_string();
            if thread.join().is_err() {
                log::error!(target: "server", "the thread {name} had panicked; its work was not done from then on");
            }
        }
        if is_frozen {
            close_later(&self.app);
        }
        let Some(reviver) = self.reviver.take() else { return Ok(()) };
        reviver.thread().unpark();
        // The reviver gives up a start that is under way.
        match reviver.join() {
            Ok(private) => private.stop(),
            Err(_) => Err("the reviver had panicked, and stopped the private PostgreSQL then".into()),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(problem) = self.shut_down() {
            log::error!(target: "server", "{problem}");
        }
    }
}

/// Checks the SQL files, brings the schema up to date and opens the pool. `connect` opens the first connection.
fn make_app(
    config: Config,
    database: &Database,
    connect: impl FnOnce(&Database) -> Result<Client, String>,
) -> Result<App, String> {
    let (document, page_policy) = (openapi::document(&config)?, openapi::page::policy()?);
    let sql = Queries::load(config.sql_dir.as_deref())?;
    let migrations = migrate::load(config.sql_dir.as_deref())?;
    let secret = secret::of(&config)?;
    let seals = Arc::new(Seals::new(&secret, config.jwt_secret_previous.as_deref())?);
    let mut client = connect(database)?;
    database.migrate(&mut client, &migrations)?;
    if config.sql_dir.is_some() {
        // The built-in statements are known to fit the schema; those from `SQL_DIR` are not.
        sql.prove(&mut client)?;
    }
    let is_pooled = database.is_pooled(&mut client)?;
    let installation = capabilities::installation(&mut client, &sql)?;
    let routes = ROUTES.iter().map(|route| (route.method.name(), route.pattern));
    let capabilities = capabilities::statement(routes.clone(), &installation);
    let (metrics, pulse) = (Arc::new(Metrics::new(routes)), Arc::new(Pulse::default()));
    let (pool, workers) = (config.database_pool, config.workers);
    Ok(App {
        db: Db::new(&database.url, pool, workers, is_pooled, Arc::clone(&pulse), Arc::clone(&metrics)),
        guard: Guard::new(&secret, &config, Arc::clone(&metrics)),
        cursors: Cursors(Arc::clone(&seals)),
        seals,
        audit: audit::Buffer::default(),
        mail: Mail::default(),
        memory: Memory::new(config.max_memory_bytes),
        refusals: Outage::new("server", "requests are answered 503", "requests are answered normally again"),
        transport_metrics: OnceLock::new(),
        installation,
        capabilities,
        contract: Contract { document, page: &openapi::page::PAGE, page_policy },
        schema_version: migrations.last().map_or(0, |migration| migration.version),
        started_at: unix_seconds(),
        config,
        sql,
        metrics,
        pulse,
    })
}

/// Closing a connection waits for the server's last message, which never comes from a frozen database. So a thread of its own
/// does it.
fn close_later(app: &Arc<App>) {
    let (spare, app) = (Arc::clone(app), Arc::clone(app));
    let closing = thread::Builder::new().name("closing".into()).spawn(move || {
        while Arc::strong_count(&app) > 1 {
            thread::park_timeout(JOIN_EVERY);
        }
    });
    if closing.is_err() {
        // Without a thread the connections stay open, which is better than waiting here.
        std::mem::forget(spare);
    }
}

/// Opens the socket at `HOST` and `PORT`.
pub(crate) fn bind(config: &Config) -> Result<TcpListener, String> {
    let (host, port) = (config.host.as_str(), config.port);
    TcpListener::bind((host, port)).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "stop the program that listens there, or set PORT to a free one (0 picks one)",
            ErrorKind::PermissionDenied => "set PORT to 1024 or more, and put a reverse proxy in front",
            _ => "set HOST to an address of this machine: 127.0.0.1 for itself, 0.0.0.0 for all",
        };
        format!("cannot listen on {host}:{port}: {error}; {remedy}")
    })
}

fn warn_if_open(config: &Config, listener: &TcpListener) {
    let is_open = listener.local_addr().is_ok_and(|address| !address.ip().is_loopback());
    if is_open && config.trusted_proxies.is_empty() {
        log::warn!(
            target: "server",
            "{}:{} is reachable from other machines without TLS: put a reverse proxy in front and set TRUSTED_PROXIES",
            config.host,
            config.port
        );
    }
}

/// Starts the private PostgreSQL again whenever it has ended, until the service stops.
fn keep_running(mut private: PrivatePostgres, app: &App, stopping: &AtomicBool) -> PrivatePostgres {
    let outage =
        Outage::grave("database", "the private PostgreSQL does not start again", "the private PostgreSQL starts again");
    while !stopping.load(Ordering::Relaxed) {
        thread::park_timeout(REVIVE_EVERY);
        if !app.pulse.is_away() || stopping.load(Ordering::Relaxed) {
            continue;
        }
        match private.revive(stopping) {
            Ok(false) => {}
            Ok(true) => {
                outage.over();
                log::warn!(target: "database", "the private PostgreSQL had ended, and was started again");
            }
            Err(problem) => {
                outage.failed(&problem);
                thread::park_timeout(REVIVE_AGAIN);
            }
        }
    }
    private
}
