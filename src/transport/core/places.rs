//! The table's places: a connection is admitted, checked when its deadline may have passed, and removed.

use std::net::{SocketAddr, TcpStream};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::super::buffers;
use super::super::connection::{Connection, Step};
use super::super::gate::client;
use super::super::refusal::{Cause, Refusal};
use super::super::timers::NEVER;
use super::{Core, LISTENER_PLACE, Occupancy, token};
use crate::clock::now_ms;

impl Core {
    /// Gives a new connection a place, if necessary that of an idle one, or tells it that there is none.
    pub(in super::super) fn admit(&self, stream: TcpStream, remote: SocketAddr) {
        let enter = || self.lock_gate().enter(&remote, &self.config);
        let mut entered = enter();
        while let Err(cause) = entered
            && self.make_room(cause, &remote)
        {
            entered = enter();
        }
        let (index, refusal) = match entered {
            Ok(index) => (index, None),
            Err(cause) => {
                let refusal = Refusal::new(cause, "Too many connections are open");
                let Some(index) = self.lock_gate().place_outside() else {
                    return self.turn_away_at_once(stream, remote, &refusal);
                };
                (index, Some(refusal))
            }
        };
        let Some(mut place) = self.lock(index) else {
            return;
        };
        place.served = refusal.is_none();
        let env = self.env();
        let token = token(place.generation, index);
        let registered = self.poll.add(&stream, token);
        let connection = place.connection.insert(Box::new(Connection::new(stream, remote, &env)));
        let step = match (registered, refusal) {
            (Err(_), _) => Step::Close,
            (Ok(()), None) if env.closing => connection.close_if_idle(),
            (Ok(()), None) => Step::Wait,
            (Ok(()), Some(refusal)) => connection.refuse(&refusal, &env),
        };
        match step {
            Step::Close | Step::Broken => self.vacate(index, place),
            // The socket is new to the poll, which tells of it in any case.
            _ => self.set_timer(index, &mut place, env.now_ms),
        }
    }

    /// Closes the connection that has been idle longest, of all or of this client's own. False if none is idle.
    fn make_room(&self, cause: Cause, remote: &SocketAddr) -> bool {
        let newcomer = client(remote, &self.config);
        let idle_until = |index| {
            let place = self.lock(index)?;
            let connection = place.connection.as_ref().filter(|connection| place.served && connection.is_idle())?;
            let is_candidate = cause == Cause::Connections || client(&connection.remote(), &self.config) == newcomer;
            is_candidate.then(|| (connection.deadline_ms(), token(place.generation, index)))
        };
        let mut idle: Vec<(u64, u64)> = (0..self.places.len() as u32).filter_map(idle_until).collect();
        idle.sort_unstable();
        // A request may have arrived on it meanwhile: then the next idle one is closed.
        idle.into_iter().any(|(_, token)| {
            let mut closed = false;
            self.visit(token, |connection, _| {
                let step = connection.close_if_idle();
                closed = matches!(step, Step::Close);
                step
            });
            closed
        })
    }

    /// Answers a connection for which there is no place at all. A fresh socket takes these few bytes without waiting. Received
    /// bytes are read first: closing a socket with unread bytes resets the connection, and the answer could be lost.
    fn turn_away_at_once(&self, stream: TcpStream, remote: SocketAddr, refusal: &Refusal) {
        let env = self.env();
        let mut connection = Connection::new(stream, remote, &env);
        if !matches!(connection.refuse(refusal, &env), Step::Close | Step::Broken) {
            buffers::with_scratch(|scratch| connection.go_on(&env, scratch));
        }
    }

    pub(super) fn on_timer(&self) {
        let now_ms = now_ms();
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
        self.lock_gate().leave(index, &remote, served, &self.config);
        self.resume_accepting();
        self.check_finished();
    }
}
