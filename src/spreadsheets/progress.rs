//! How far a command is, on standard error: drawn over and over at a terminal, and nothing anywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);
const WIDTH: u64 = 30;

/// A bar if the size is known, and how many lines there were.
pub struct Progress {
    size: Option<u64>,
    is_terminal: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// For a file of this many bytes.
    pub fn of(size: Option<u64>) -> Progress {
        Progress { size, is_terminal: std::io::stderr().is_terminal(), drawn: None }
    }

    /// Draws it, unless it was drawn just now.
    pub fn show(&mut self, bytes: u64, lines: u64) {
        if self.is_terminal && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", drawing(self.size, bytes, lines));
            self.drawn = Some(Instant::now());
        }
    }

    /// Writes a line in its place.
    pub fn say(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn drawing(size: Option<u64>, bytes: u64, lines: u64) -> String {
    let Some(size) = size.filter(|size| *size > 0) else { return format!("{lines} lines") };
    let share = |whole: u64| (bytes.min(size).saturating_mul(whole) / size) as usize;
    let (done, rest) = (share(WIDTH), WIDTH as usize - share(WIDTH));
    format!("[{}{}] {:3} %, {lines} lines", "#".repeat(done), ".".repeat(rest), share(100))
}

#[cfg(test)]
mod tests {
    use super::drawing;

    #[test]
    fn the_bar_grows_with_the_bytes() {
        assert_eq!(drawing(Some(200), 0, 0), "[..............................]   0 %, 0 lines");
        assert_eq!(drawing(Some(200), 101, 7), "[###############...............]  50 %, 7 lines");
        // A file that somebody is still writing to.
        assert_eq!(drawing(Some(200), 300, 9), "[##############################] 100 %, 9 lines");
        assert_eq!(drawing(None, 300, 9), "9 lines");
    }
}
