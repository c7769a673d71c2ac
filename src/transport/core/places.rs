//! The table's places: a connection comes, is looked at when its deadline may have passed, and goes.

use std::net::{SocketAddr, TcpStream};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::super::connection::{Connection, Step};
use super::super::gate::Entry;
use super::super::refusal::Refusal;
use super::super::timers::NEVER;
use super::{Core, LISTENER_PLACE, Occupancy, token};

impl Core {
    /// Gives a new connection its place, and an answer if there is none for it.
    pub(in super::super) fn admit(&self, stream: TcpStream, remote: SocketAddr) {
        let entry = self.lock_gate().enter(&remote, &self.config);
        let (index, cause) = match entry {
            Entry::Served(index) => (index, None),
            Entry::TurnedAway(index, cause) => (index, Some(cause)),
            Entry::Dropped(cause) => return self.counters.refused(cause),
        };
        let Some(mut place) = self.lock(index) else {
            return;
        };
        place.served = cause.is_none();
        let env = self.env();
        let token = token(place.generation, index);
        let registered = self.poll.add(&stream, token);
        let connection = place.connection.insert(Box::new(Connection::new(stream, remote, &env)));
        let step = match (registered, cause) {
            (Err(_), _) => Step::Close,
            (Ok(()), None) if env.closing => connection.on_closing(),
            (Ok(()), None) => Step::Wait,
            (Ok(()), Some(cause)) => {
                let refusal = Refusal::new(cause, "Too many connections are open");
                connection.refuse(&refusal, &env)
            }
        };
        match step {
            Step::Close | Step::Broken => self.vacate(index, place),
            // The socket is new to the poll, which tells of it in any case.
            _ => self.set_timer(index, &mut place, env.now_ms),
        }
    }

    pub(super) fn on_timer(&self) {
        let now_ms = self.now_ms();
        for (due_ms, index) in self.timers.take_due(now_ms) {
            self.look_at(index, due_ms, now_ms);
        }
    }

    /// The timers' entry of `due_ms` for a place has fallen due.
    fn look_at(&self, index: u32, due_ms: u64, now_ms: u64) {
        if index == LISTENER_PLACE {
            self.resume_accepting();
            return;
        }
        let Some(mut place) = self.lock(index) else {
            return;
        };
        if place.timer_ms != due_ms {
            return;
        }
        place.timer_ms = NEVER;
        let Some(connection) = &place.connection else {
            return;
        };
        if connection.deadline_ms() > now_ms {
            self.set_timer(index, &mut place, now_ms);
            return;
        }
        let token = token(place.generation, index);
        drop(place);
        // Its state may have changed in between: then the deadline has, too.
        self.visit(token, |connection, env| {
            if connection.deadline_ms() > env.now_ms {
                return Step::Wait;
            }
            connection.on_deadline(env)
        });
    }

    pub(super) fn resume_accepting(&self) {
        if self.accept_paused.swap(false, Ordering::AcqRel) {
            self.kick_listener();
        }
    }

    /// Sees to it that the timers look at a place no later than its connection's deadline.
    pub(super) fn set_timer(&self, index: u32, place: &mut Occupancy, now_ms: u64) {
        let Some(connection) = &place.connection else {
            return;
        };
        let due_ms = connection.deadline_ms();
        if due_ms < place.timer_ms {
            place.timer_ms = due_ms;
            self.timers.push(due_ms, index, now_ms);
        }
    }

    /// Closes the connection in a place.
    pub(super) fn vacate(&self, index: u32, mut place: MutexGuard<'_, Occupancy>) {
        let Some(connection) = place.connection.take() else {
            return;
        };
        let (remote, served) = (connection.remote(), place.served);
        place.generation = place.generation.wrapping_add(1);
        drop(connection);
        drop(place);
        self.lock_gate().leave(index, &remote, served);
        self.resume_accepting();
        self.check_finished();
    }
}
