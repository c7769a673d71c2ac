//! The buffers that each thread reads into and writes from, so that connections own none.

use std::cell::RefCell;

/// What one read takes at most.
const SCRATCH_BYTES: usize = 32 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    static HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's buffer for reading.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// Lends this thread's buffer for the head of an answer, empty.
pub(super) fn with_head<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    HEAD.with_borrow_mut(|head| {
        head.clear();
        work(head)
    })
}
