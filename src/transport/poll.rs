//! The one epoll instance that all workers wait on, and the ways to wake them: the only file that names epoll.
//!
//! Sockets are registered once, edge-triggered: an event comes when something has *changed*, to one of the waiting workers, and
//! costs no further system call. The price is a rule that `connection.rs` keeps: a connection that stops reading before the
//! socket is empty must remember that.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;

/// The token of the listening socket.
pub(super) const LISTENER: u64 = u64::MAX;
/// The token of the timer.
pub(super) const TIMER: u64 = u64::MAX - 2;
/// Events that one call takes at most.
const MOST_EVENTS: usize = 32;
/// The token of the wake-up counter.
const WAKER: u64 = u64::MAX - 1;

/// What has happened to one registered descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub token: u64,
    /// The client will send no more, or the connection has failed: reading will say which.
    pub ended: bool,
}

/// The epoll instance.
#[derive(Debug)]
pub(super) struct Poll {
    epoll: OwnedFd,
    waker: OwnedFd,
}

impl Poll {
    /// An instance that tells of `timer` too.
    pub fn new(timer: BorrowedFd<'_>) -> io::Result<Poll> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(WAKER);
        epoll::add(&epoll, &waker, data, epoll::EventFlags::IN)?;
        let data = epoll::EventData::new_u64(TIMER);
        epoll::add(&epoll, timer, data, epoll::EventFlags::IN)?;
        Ok(Poll { epoll, waker })
    }

    /// Registers a connection for everything that may happen to it.
    pub fn add(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, source, data, connection_flags())?)
    }

    /// Makes an event for a registered connection whose socket can be read or written, now.
    pub fn kick(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        let flags = connection_flags();
        Ok(epoll::modify(&self.epoll, source, data, flags)?)
    }

    /// Registers the listening socket.
    pub fn add_listener(&self, listener: impl AsFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(LISTENER);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, listener, data, flags)?)
    }

    /// Makes an event for the listening socket if a connection is waiting in it.
    pub fn kick_listener(&self, listener: impl AsFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(LISTENER);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::modify(&self.epoll, listener, data, flags)?)
    }

    /// Waits until something happens, and lets `act` have what has happened, up to `most` events. There may be none after a
    /// wake-up or a signal.
    pub fn wait(&self, most: usize, mut act: impl FnMut(Event)) -> io::Result<()> {
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); MOST_EVENTS];
        let events = match epoll::wait(&self.epoll, &mut room[..most.clamp(1, MOST_EVENTS)], None) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == WAKER {
                continue;
            }
            let ended = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            act(Event { token, ended });
        }
        Ok(())
    }

    /// Makes every worker return from [`Poll::wait`], now and from now on.
    pub fn wake_all(&self) {
        // Nobody reads the counter, so it stays readable. Writing fails only if it is full already.
        let _ = rustix::io::write(&self.waker, &1u64.to_ne_bytes());
    }
}

fn connection_flags() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET
}
