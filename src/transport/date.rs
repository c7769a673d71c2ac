//! The `Date` field, made once a second and thread.

use std::cell::RefCell;

use jiff::Timestamp;

thread_local! {
    static CACHED: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
}

/// Appends the current time as an IMF-fixdate (RFC 9110, section 5.6.7).
pub(super) fn append_to(out: &mut Vec<u8>) {
    let now = Timestamp::now();
    let second = now.as_second();
    CACHED.with_borrow_mut(|(cached_second, text)| {
        if *cached_second != second || text.is_empty() {
            *text = httpdate::fmt_http_date(now.into());
            *cached_second = second;
        }
        out.extend_from_slice(text.as_bytes());
    });
}
