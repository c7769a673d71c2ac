//! Accepting new connections, and coping with an operating system that has no file descriptor left.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

use super::config::Config;
use super::core::Core;

/// How many connections one worker accepts before it looks at anything else.
const BATCH: usize = 64;

impl Core {
    /// Connections wait in the listening socket.
    pub(super) fn on_connections(&self) {
        if self.accept() {
            self.kick_listener();
        }
    }

    /// Accepts what waits in the listening socket. Returns whether more may be waiting.
    pub(super) fn accept(&self) -> bool {
        for _ in 0..BATCH {
            if self.accept_paused.load(Ordering::Acquire) {
                return false;
            }
            match self.accept_one() {
                Ok(Some((stream, remote))) => self.admit(stream, remote),
                Ok(None) => return false,
                // The connection failed before it was accepted (accept(2), "Error handling"); the next one may not.
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::PROTO
                    | Errno::NOPROTOOPT
                    | Errno::PERM
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::NONET
                    | Errno::TIMEDOUT,
                ) => {}
                // No descriptor, no memory, or an unknown error. Trying again at once would only waste time: the next attempt
                // comes when a connection closes, or after a pause.
                Err(_) => {
                    self.counters.accept_pauses.fetch_add(1, Ordering::Relaxed);
                    self.accept_paused.store(true, Ordering::Release);
                    self.accept_again_in(self.config.accept_pause_ms);
                    return false;
                }
            }
        }
        true
    }

    /// `None`: no connection waits, or the listening socket is closed.
    fn accept_one(&self) -> Result<Option<(TcpStream, SocketAddr)>, Errno> {
        let listener = self.lock_listener();
        let Some(listener) = &*listener else {
            return Ok(None);
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (descriptor, remote) = match acceptfrom_with(listener, flags) {
            Err(Errno::AGAIN) => return Ok(None),
            accepted => accepted?,
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let remote = remote.and_then(|remote| SocketAddr::try_from(remote).ok()).ok_or(Errno::CONNABORTED)?;
        Ok(Some((TcpStream::from(descriptor), remote)))
    }
}

/// Prepares a listening socket. What is set here, the accepted sockets inherit.
pub(super) fn prepare(listener: &std::net::TcpListener, config: &Config) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    rustix::net::sockopt::set_socket_send_buffer_size(listener, config.send_buffer_bytes)?;
    // An answer is one write: there is nothing to wait for and join with it.
    Ok(rustix::net::sockopt::set_tcp_nodelay(listener, true)?)
}
