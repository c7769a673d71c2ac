//! The buffers that each thread reads into and writes from, so that connections own none.

use std::cell::RefCell;

/// What one read takes at most.
const SCRATCH_BYTES: usize = 32 * 1024;

/// A thread that has sent a bigger answer gives the memory back.
const KEPT_ANSWER_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    static ANSWER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's buffer for reading.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// Lends this thread's buffer for an answer, empty.
pub(super) fn with_answer<R>(work: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // It is taken out, not borrowed: a body's reader may itself answer another request.
    let mut answer = ANSWER.take();
    answer.clear();
    let result = work(&mut answer);
    answer.shrink_to(KEPT_ANSWER_BYTES);
    ANSWER.set(answer);
    result
}
