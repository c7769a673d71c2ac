//! Deadlines, kept lazily: a request that is answered in time touches nothing here.
//!
//! Each connection has one current deadline, a plain field that changes with every phase. The timers only hold, for each place in
//! the table, when to look at that field next. A deadline that moves away leaves its entry alone: when the entry falls due, the
//! connection is looked at and the entry put back. Only one that moves closer adds an entry.
//!
//! The first entry is in a timer descriptor, which wakes a worker as a socket does. So no thread waits with a time-out, and a
//! worker that is busy with a request delays no deadline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::lock::lock;

/// No deadline: a moment, in milliseconds, that never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// When to look at which place in the table.
#[derive(Debug)]
pub(super) struct Timers {
    descriptor: OwnedFd,
    schedule: Mutex<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    entries: BinaryHeap<Reverse<(u64, u32)>>,
    /// What the descriptor is set to, or [`NEVER`].
    armed_ms: u64,
}

impl Timers {
    pub fn new() -> io::Result<Timers> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timers {
            descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            schedule: Mutex::new(Schedule { entries: BinaryHeap::new(), armed_ms: NEVER }),
        })
    }

    /// What becomes readable when an entry is due.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Adds an entry.
    pub fn push(&self, due_ms: u64, place: u32, now_ms: u64) {
        let mut schedule = lock(&self.schedule);
        schedule.entries.push(Reverse((due_ms, place)));
        self.arm(&mut schedule, now_ms);
    }

    /// Takes out all entries that are due at `now_ms`.
    pub fn take_due(&self, now_ms: u64) -> Vec<(u64, u32)> {
        let mut schedule = lock(&self.schedule);
        let _ = rustix::io::read(&self.descriptor, &mut [0; 8]); // nothing, if another worker was quicker
        let mut due = Vec::new();
        while let Some(&Reverse(entry)) = schedule.entries.peek() {
            if entry.0 > now_ms {
                break;
            }
            due.push(entry);
            schedule.entries.pop();
        }
        schedule.armed_ms = NEVER;
        self.arm(&mut schedule, now_ms);
        due
    }

    /// Sets the descriptor to the first entry, if that comes before what it is set to.
    fn arm(&self, schedule: &mut Schedule, now_ms: u64) {
        let Some(&Reverse((due_ms, _))) = schedule.entries.peek() else {
            return;
        };
        if due_ms >= schedule.armed_ms {
            return;
        }
        // Zero would switch it off.
        let delay_ms = due_ms.saturating_sub(now_ms).max(1);
        let delay = Timespec { tv_sec: (delay_ms / 1000) as i64, tv_nsec: (delay_ms % 1000 * 1_000_000) as _ };
        let value = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: delay };
        // It fails for an invalid time or descriptor only.
        if timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &value).is_ok() {
            schedule.armed_ms = due_ms;
        }
    }
}
