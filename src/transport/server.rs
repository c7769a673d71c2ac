//! The public face: a [`Server`] that a pool of threads calls [`Server::recv`] on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tiny_http::ListenAddr;

use super::accept;
use super::config::Config;
use super::core::{Core, Turn};
use super::request::Request;
use super::stats::Stats;
use super::timers::NEVER;

/// An HTTP/1.1 server. It has no threads of its own: those that wait in [`Server::recv`] do all the work, so a server
/// whose workers are all busy accepts, reads and sends nothing until one comes back.
#[derive(Debug)]
pub struct Server {
    core: Arc<Core>,
    address: SocketAddr,
}

impl Server {
    /// A server on a bound socket.
    ///
    /// # Errors
    /// The system has no descriptor for the event queue, or `listener` is not a listening TCP socket.
    pub fn with_config(listener: TcpListener, config: Config) -> io::Result<Server> {
        accept::prepare(&listener, &config)?;
        let address = listener.local_addr()?;
        let core = Arc::new(Core::new(listener, config)?);
        Ok(Server { core, address })
    }

    /// Waits for a request.
    ///
    /// # Errors
    /// [`Server::unblock`] was called, or the server was closed and everything is answered.
    pub fn recv(&self) -> io::Result<Request> {
        self.receive_until(NEVER, 1)?.pop().ok_or_else(|| io::Error::other("unblocked"))
    }

    /// Waits for a request, and takes with it those that are there as well: `most` in all, at least one. For callers that handle
    /// many requests at once: a caller that answers them one after the other keeps other workers from the last of them.
    ///
    /// # Errors
    /// As [`Server::recv`].
    pub fn recv_all(&self, most: usize) -> io::Result<Vec<Request>> {
        let requests = self.receive_until(NEVER, most)?;
        if requests.is_empty() { Err(io::Error::other("unblocked")) } else { Ok(requests) }
    }

    /// Waits for a request, at most `timeout` (rounded to milliseconds; a zero only looks). `None` after that time, or after
    /// [`Server::unblock`].
    ///
    /// # Errors
    /// The server was closed and everything is answered.
    pub fn recv_timeout(&self, timeout: Duration) -> io::Result<Option<Request>> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(NEVER);
        Ok(self.receive_until(self.core.now_ms().saturating_add(timeout_ms), 1)?.pop())
    }

    /// Returns a request if one is ready.
    ///
    /// # Errors
    /// The server was closed and everything is answered.
    pub fn try_recv(&self) -> io::Result<Option<Request>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Makes one thread return from [`Server::recv`], or the next one to call it.
    pub fn unblock(&self) {
        self.core.unblock();
    }

    /// The address that the server listens on.
    pub fn server_addr(&self) -> ListenAddr {
        ListenAddr::IP(self.address)
    }

    /// Stops accepting at once and closes the connections that have no request. Requests that are arriving, handled or
    /// being answered go on to their end, with `Connection: close`; [`Server::recv`] delivers them as before, and fails
    /// for every thread when nothing is left. How long that may take is the caller's to limit.
    pub fn close(&self) {
        self.core.close();
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// Empty after the time is over or after a call of `unblock`.
    fn receive_until(&self, until_ms: u64, most: usize) -> io::Result<Vec<Request>> {
        match self.core.turn(until_ms, most)? {
            Turn::Requests(deliveries) => {
                Ok(deliveries.into_iter().map(|delivery| Request::new(Arc::clone(&self.core), delivery)).collect())
            }
            Turn::Unblocked | Turn::TimedOut => Ok(Vec::new()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.core.close();
    }
}
