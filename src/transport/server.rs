//! The public face: a [`Server`] that a pool of threads calls [`Server::receive`] on.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use super::accept;
use super::config::Config;
use super::core::Core;
use super::request::Request;
use super::stats::Stats;

/// An HTTP/1.1 server. It has no threads of its own: those that wait in [`Server::receive`] do all the work, so a server
/// whose workers are all busy accepts, reads and sends nothing until one comes back.
#[derive(Debug)]
pub struct Server {
    core: Arc<Core>,
}

impl Server {
    /// A server on a bound socket.
    ///
    /// # Errors
    /// The system has no descriptor for the event queue, or `listener` is not a listening TCP socket.
    pub fn new(listener: TcpListener, config: Config) -> io::Result<Server> {
        accept::prepare(&listener, &config)?;
        Ok(Server { core: Arc::new(Core::new(listener, config)?) })
    }

    /// Waits for a request, and takes with it those that are there as well: `most` in all, at least one. A caller that answers
    /// them one after the other keeps other workers from the last of them.
    ///
    /// # Errors
    /// The server was closed and everything is answered.
    pub fn receive(&self, most: usize) -> io::Result<Vec<Request>> {
        let deliveries = self.core.turn(most)?.into_iter();
        Ok(deliveries.map(|delivery| Request::new(Arc::clone(&self.core), delivery)).collect())
    }

    /// Stops accepting at once and closes the connections that have no request. Requests that are arriving, handled or
    /// being answered go on to their end, with `Connection: close`; [`Server::receive`] delivers them as before, and fails
    /// for every thread when nothing is left. How long that may take is the caller's to limit.
    pub fn close(&self) {
        self.core.close();
    }

    /// A snapshot of the counters.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.core.close();
    }
}
