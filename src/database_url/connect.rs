//! One connection, in bounded time, to the first host that accepts it.
//!
//! The driver's own time limit ends when the socket is open. A frozen PostgreSQL opens sockets (the kernel does) and then says
//! nothing, and the driver would wait for ever, with a healthy standby next on its list. So each host is tried on a thread of
//! its own, for as long as libpq's `connect_timeout` allows: from the first packet to the end of the login.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::config::{Host, TargetSessionAttrs};
use postgres::{Client, SimpleQueryMessage};
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;
use tokio_postgres::Config;

use super::tls::Tls;
use crate::clock::now_ms;
use crate::error::explain;

/// How much longer our limit is than the driver's own limit for the socket, whose error says more.
const LOGIN: Duration = Duration::from_millis(500);
/// How many attempts may run at one host at a time. An attempt that hangs lasts as long as the host hangs, so this bounds the
/// threads.
const MAX_ATTEMPTS: usize = 16;
/// After how long a failed attempt shows that its host is away or hangs: one that is there refuses sooner.
const SLOW: Duration = Duration::from_secs(1);
/// How long such a host is tried after the others.
const LAST_FOR_MS: u64 = 30_000;

/// Why there is no connection: the error of each host.
#[derive(Debug)]
pub struct ConnectError {
    text: String,
    /// Whether a host accepted the connection, or might have, and then said nothing.
    pub timed_out: bool,
    /// Whether the problem may pass by itself: the database is not up yet, or has no free connection.
    pub may_pass: bool,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for ConnectError {}

impl ConnectError {
    /// The host accepted the connection, or might have, and then said nothing.
    fn silent() -> ConnectError {
        ConnectError { text: "it does not answer".into(), timed_out: true, may_pass: true }
    }

    /// The operating system refused.
    pub fn from_io(error: io::Error) -> ConnectError {
        ConnectError { text: error.to_string(), timed_out: false, may_pass: true }
    }
}

impl From<postgres::Error> for ConnectError {
    fn from(error: postgres::Error) -> ConnectError {
        ConnectError { text: explain(&error), timed_out: false, may_pass: may_pass(&error) }
    }
}

/// False for a refused password (class 28), an unknown database (3D) or missing rights (42), for wrong certificates and files,
/// and for every unknown error.
fn may_pass(error: &postgres::Error) -> bool {
    if let Some(error) = error.as_db_error() {
        // No connection to the server behind a pooler, no free connection, not accepting connections, starting or shutting down.
        return ["08", "53", "55", "57"].iter().any(|class| error.code().code().starts_with(class));
    }
    match std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>()) {
        // The driver's word for a standby where a primary is wanted: it may be promoted.
        Some(cause) if cause.kind() == ErrorKind::PermissionDenied => cause.raw_os_error().is_none(),
        Some(cause) => !matches!(cause.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput),
        None => error.is_closed(),
    }
}

/// A way of opening a connection to one host. Returns the server's timeline as well, if it must allow writes.
pub(crate) type Opening<C> = fn(&Config, Tls) -> Result<(C, Option<u32>), ConnectError>;

/// Asks a server that allows writes for its timeline, which grows with each promotion.
pub(crate) const TIMELINE: &str = "select left(pg_walfile_name(pg_current_wal_lsn()), 8)";

/// Whether to ask for the timeline: only then has the server been asked whether it allows writes.
pub(crate) fn has_timeline(config: &Config) -> bool {
    config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
}

/// The timeline that was answered. A server that keeps it to itself counts as current.
pub(crate) fn timeline(answer: Result<Vec<SimpleQueryMessage>, postgres::Error>) -> Option<u32> {
    let row = answer.ok()?.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    u32::from_str_radix(&row?, 16).ok()
}

/// One of the hosts.
#[derive(Debug)]
pub(super) struct DatabaseHost {
    config: Config,
    name: String,
    attempts: AtomicUsize,
    /// A moment of [`now_ms`].
    slow_until: AtomicU64,
}

impl DatabaseHost {
    pub fn new(config: Config) -> DatabaseHost {
        let name = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => String::new(),
        };
        let port = config.get_ports().first().copied().unwrap_or_default();
        DatabaseHost {
            config,
            name: format!("{name}:{port}"),
            attempts: AtomicUsize::new(0),
            slow_until: AtomicU64::new(0),
        }
    }

    fn is_slow(&self) -> bool {
        now_ms() < self.slow_until.load(Ordering::Relaxed)
    }

    fn open<C: Send + 'static>(
        self: &Arc<DatabaseHost>,
        tls: &Tls,
        open: Opening<C>,
    ) -> Result<(C, Option<u32>), ConnectError> {
        let started = Instant::now();
        let connected = self.open_in_time(tls, open);
        if connected.is_err() && started.elapsed() >= SLOW {
            self.slow_until.store(now_ms() + LAST_FOR_MS, Ordering::Relaxed);
        }
        connected
    }

    fn open_in_time<C: Send + 'static>(
        self: &Arc<DatabaseHost>,
        tls: &Tls,
        open: Opening<C>,
    ) -> Result<(C, Option<u32>), ConnectError> {
        let Some(limit) = self.config.get_connect_timeout() else {
            return open(&self.config, tls.clone());
        };
        if self.attempts.fetch_add(1, Ordering::Relaxed) >= MAX_ATTEMPTS {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectError::silent());
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let (host, tls) = (Arc::clone(self), tls.clone());
        let attempt = thread::Builder::new().name("connect".into()).spawn(move || {
            let connected = open(&host.config, tls);
            host.attempts.fetch_sub(1, Ordering::Relaxed);
            // When nobody waits any more, the connection is closed here.
            let _ = sender.send(connected);
        });
        if let Err(error) = attempt {
            self.attempts.fetch_sub(1, Ordering::Relaxed);
            return Err(ConnectError { text: format!("no more threads: {error}"), timed_out: false, may_pass: true });
        }
        receiver.recv_timeout(*limit + LOGIN).unwrap_or_else(|_| Err(ConnectError::silent()))
    }
}

/// A connection to one host, as the driver's own client.
pub(super) fn client(config: &Config, tls: Tls) -> Result<(Client, Option<u32>), ConnectError> {
    let mut client = PostgresConnectionManager::new(config.clone().into(), tls).connect()?;
    let timeline = if has_timeline(config) { timeline(client.simple_query(TIMELINE)) } else { None };
    Ok((client, timeline))
}

/// Opens a connection to the first host that accepts it. A host that hung or could not be reached recently comes last, so that after
/// a failover the former primary costs its time limit once.
///
/// When it thaws, it allows writes until somebody stops it, and what it knows is out of date. So a host on an older timeline than
/// `newest`, the newest that any has had, is left alone.
pub(super) fn first<C: Send + 'static>(
    hosts: &[Arc<DatabaseHost>],
    newest: &AtomicU32,
    is_random: bool,
    tls: &Tls,
    open: Opening<C>,
) -> Result<C, ConnectError> {
    let mut in_order: Vec<&Arc<DatabaseHost>> = hosts.iter().collect();
    if is_random {
        let mut random = [0];
        // Without randomness the order is as good as any.
        let _ = getrandom::fill(&mut random);
        in_order.rotate_left(usize::from(random[0]) % hosts.len().max(1));
    }
    in_order.sort_by_key(|host| host.is_slow());
    let mut said = Vec::new();
    let (mut timed_out, mut may_pass) = (false, false);
    for host in in_order {
        match host.open(tls, open) {
            Ok((client, timeline)) => {
                let Some(timeline) = timeline else { return Ok(client) };
                let known = newest.fetch_max(timeline, Ordering::Relaxed);
                if timeline >= known {
                    return Ok(client);
                }
                may_pass = true;
                said.push(format!("{}: a former primary, on timeline {timeline} instead of {known}", host.name));
            }
            Err(error) => {
                timed_out |= error.timed_out;
                may_pass |= error.may_pass;
                said.push(if hosts.len() > 1 { format!("{}: {}", host.name, error.text) } else { error.text });
            }
        }
    }
    Err(ConnectError { text: said.join("; "), timed_out, may_pass })
}
