//! How much memory long requests and answers hold together: bodies that arrive, rows, bodies of answers, and data that clients have
//! not read yet. One counter for all connections; short bodies and answers are not counted.
//!
//! - **The body of a request** takes its share when it turns out to be long. Its user is not known yet, so all such bodies together have
//!   half of the memory.
//! - **A list that shares a round trip** grows its share as its rows arrive. If there is no room, it is read again as a long read.
//! - **A long read** takes the most memory that it can need before its query runs, and waits in a queue until that much is free. The share
//!   shrinks to the size of the body once that is made, and ends when the client has read it.
//! - **Room for one long read** is kept for users who hold nothing. So users who do not read their answers can keep others from long
//!   answers, but never from a search whose answer is short.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::lock::lock;

/// How much a long read can need: the rows of a page (4 MiB, and up to as much again in the driver's buffers), and their JSON.
pub const LONG_READ_BYTES: usize = 12 * 1024 * 1024;
/// How long a short body may be.
pub const SHORT_BYTES: usize = 64 * 1024;
/// Why a long read is refused.
pub const NO_ROOM: &str = "there was no room for a long answer";
/// How many long reads of one user may run at a time.
const LONG_READS_OF_ONE: usize = 2;
/// How much a share grows at once, so that most rows need no lock.
const STEP_BYTES: usize = 256 * 1024;

/// The count, and who holds what.
#[derive(Debug)]
pub struct Memory {
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    all: Usage,
    /// Whether a long read uses the reserve.
    reserve_taken: bool,
    /// By user id; 0 stands for all clients that are not logged in.
    users: HashMap<i64, Usage>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    bytes: usize,
    long_reads: usize,
    last_begin: Option<Instant>,
}

/// The memory that one request or its answer holds.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    user_id: i64,
    bytes: usize,
    is_reading: bool,
    /// Whether it uses the reserve, which is not counted in its bytes.
    in_reserve: bool,
}

/// Why a long read does not begin yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// This user already runs the maximum number of long reads.
    OwnReads,
    /// All memory is taken, or this user's part of it. The time is when the last long read began.
    Room(Option<Instant>),
}

impl Memory {
    /// Room for this many bytes. One user gets half of it at most.
    pub fn new(max_bytes: usize) -> Arc<Memory> {
        Arc::new(Memory { max_bytes, state: Mutex::default() })
    }

    /// A share that holds nothing yet.
    pub fn share(self: &Arc<Memory>, user_id: Option<i64>) -> Share {
        Share {
            memory: Arc::clone(self),
            user_id: user_id.unwrap_or(0),
            bytes: 0,
            is_reading: false,
            in_reserve: false,
        }
    }

    /// Begins a long read. Until [`Share::end_read`], its share holds the most memory that it can need, and one of the user's
    /// long reads.
    ///
    /// # Errors
    /// What the read has to wait for.
    pub fn begin_read(self: &Arc<Memory>, user_id: Option<i64>) -> Result<Share, Wait> {
        let mut share = self.share(user_id);
        let mut state = lock(&self.state);
        let of_user = state.users.get(&share.user_id).copied().unwrap_or_default();
        if of_user.long_reads >= LONG_READS_OF_ONE {
            return Err(Wait::OwnReads);
        }
        if self.fits(&state, share.user_id, LONG_READ_BYTES) {
            share.bytes = LONG_READ_BYTES;
        } else if of_user.bytes == 0 && !state.reserve_taken {
            (share.in_reserve, state.reserve_taken) = (true, true);
        } else {
            return Err(Wait::Room(of_user.last_begin.or(state.all.last_begin)));
        }
        share.is_reading = true;
        state.change(share.user_id, |usage| {
            usage.bytes += share.bytes;
            usage.long_reads += 1;
            usage.last_begin = Some(Instant::now());
        });
        Ok(share)
    }

    /// The bytes that are held now.
    pub fn held(&self) -> usize {
        lock(&self.state).all.bytes
    }

    fn fits(&self, state: &State, user_id: i64, bytes: usize) -> bool {
        let of_user = state.users.get(&user_id).map_or(0, |usage| usage.bytes);
        state.all.bytes + bytes <= self.max_bytes - LONG_READ_BYTES && of_user + bytes <= self.max_bytes / 2
    }
}

impl State {
    fn change(&mut self, user_id: i64, change: impl Fn(&mut Usage)) {
        change(&mut self.all);
        let usage = self.users.entry(user_id).or_default();
        change(usage);
        if usage.bytes == 0 && usage.long_reads == 0 {
            self.users.remove(&user_id);
        }
    }
}

impl Share {
    /// Grows to at least this many bytes. False if there is no room for them.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        let more = bytes.next_multiple_of(STEP_BYTES) - self.bytes;
        let mut state = lock(&self.memory.state);
        let fits = self.memory.fits(&state, self.user_id, more);
        if fits {
            state.change(self.user_id, |usage| usage.bytes += more);
            self.bytes += more;
        }
        fits
    }

    /// Shrinks or grows to a body of this many bytes that exists already. False if it was read in the reserve and there is no
    /// other room for it.
    pub fn hold(&mut self, bytes: usize) -> bool {
        if self.in_reserve && !self.memory.fits(&lock(&self.memory.state), self.user_id, bytes) {
            return false;
        }
        self.set(bytes);
        self.leave_reserve();
        true
    }

    fn leave_reserve(&mut self) {
        if std::mem::take(&mut self.in_reserve) {
            lock(&self.memory.state).reserve_taken = false;
        }
    }

    /// Holds exactly this many bytes.
    fn set(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        lock(&self.memory.state).change(self.user_id, |usage| usage.bytes = usage.bytes + bytes - before);
    }

    /// Ends the long read, so that the next one may begin.
    pub fn end_read(&mut self) {
        if std::mem::take(&mut self.is_reading) {
            lock(&self.memory.state).change(self.user_id, |usage| usage.long_reads -= 1);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.end_read();
        self.leave_reserve();
        if self.bytes > 0 {
            self.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn one_user_has_two_long_reads_and_half_of_the_room() {
        let memory = Memory::new(64 * MIB);
        let (first, mut second) =
            (memory.begin_read(Some(1)).expect("room"), memory.begin_read(Some(1)).expect("room"));
        assert_eq!(memory.begin_read(Some(1)).expect_err("too many reads"), Wait::OwnReads);
        assert!(memory.begin_read(Some(2)).is_ok());
        second.set(9 * MIB);
        second.end_read();
        assert!(matches!(memory.begin_read(Some(1)), Err(Wait::Room(_))), "21 of its 32 MiB are taken");
        drop(second);
        assert!(memory.begin_read(Some(1)).is_ok());
        drop(first);
        assert_eq!(memory.held(), 0);
        assert!(lock(&memory.state).users.is_empty());
    }

    #[test]
    fn all_users_together_have_the_room() {
        let memory = Memory::new(48 * MIB);
        let mut reads: Vec<Share> = (1..=3).map(|user| memory.begin_read(Some(user)).expect("room")).collect();
        reads.iter_mut().for_each(Share::end_read);
        let fourth = memory.begin_read(Some(4)).expect("room");
        assert!(matches!(memory.begin_read(Some(5)), Err(Wait::Room(_))));
        drop((reads, fourth));
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn room_for_one_read_is_kept_back_for_users_who_hold_nothing() {
        let memory = Memory::new(32 * MIB);
        let mut held: Vec<Share> = (1..=5).map(|user| memory.share(Some(user))).collect();
        assert!(held.iter_mut().all(|share| share.grow_to(4 * MIB)));
        assert!(matches!(memory.begin_read(Some(1)), Err(Wait::Room(_))), "it holds something");
        let mut read = memory.begin_read(Some(6)).expect("room");
        assert!(matches!(memory.begin_read(Some(7)), Err(Wait::Room(_))), "one at a time");
        read.end_read();
        assert!(!read.hold(MIB), "a long answer finds no room");
        held.pop();
        assert!(read.hold(MIB));
        assert_eq!(memory.held(), 17 * MIB);
        drop(memory.begin_read(Some(7)).expect("the room that was kept back is free"));
        assert!(memory.begin_read(Some(7)).is_ok(), "and again");
    }

    #[test]
    fn a_share_grows_while_there_is_room() {
        let memory = Memory::new(32 * MIB);
        let mut share = memory.share(None);
        assert!(share.grow_to(1) && memory.held() == STEP_BYTES);
        assert!(share.grow_to(STEP_BYTES) && memory.held() == STEP_BYTES);
        assert!(share.grow_to(16 * MIB) && !share.grow_to(16 * MIB + 1));
        assert_eq!(memory.held(), 16 * MIB);
        share.set(5);
        assert_eq!(memory.held(), 5);
        drop(share);
        assert_eq!(memory.held(), 0);
    }
}
