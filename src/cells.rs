//! Lines of a spreadsheet. Cells that it would run as a formula are made harmless on the way out, and restored on the way in.
//!
//! A cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return gets a `'` in front, which a spreadsheet shows as text.
//! So does a cell that begins with any number of `'` and then one of these: `restored` takes one `'` away, and every cell comes back
//! as it was.

use std::borrow::Cow;
use std::io::{self, Write};

use csv::{Terminator, Writer, WriterBuilder};

/// A CSV file (RFC 4180) that is being written, every cell harmless.
pub struct Lines<W: Write>(Writer<W>);

impl<W: Write> Lines<W> {
    /// An empty file.
    pub fn new(out: W) -> Lines<W> {
        Lines(WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out))
    }

    /// Adds a line of these cells.
    pub fn add<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
        for cell in cells {
            self.0.write_field(&*harmless(cell.as_ref()))?;
        }
        Ok(self.0.write_record(None::<&[u8]>)?)
    }

    /// Writes what is not written yet.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The cell as a spreadsheet may see it.
pub fn harmless(cell: &str) -> Cow<'_, str> {
    if runs(cell.trim_start_matches('\'')) { format!("'{cell}").into() } else { cell.into() }
}

/// The cell as it was before [`harmless`]. A cell that never was harmful stays as it is.
pub fn restored(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if runs(rest.trim_start_matches('\'')) => rest,
        _ => cell,
    }
}

fn runs(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

#[cfg(test)]
mod tests {
    use super::{harmless, restored};

    #[test]
    fn what_a_spreadsheet_would_run_gets_an_apostrophe() {
        for (cell, shown) in [
            ("=1+1", "'=1+1"),
            ("+49 30 1234567", "'+49 30 1234567"),
            ("-", "'-"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("'=x", "''=x"),
            ("''-", "'''-"),
        ] {
            assert_eq!(harmless(cell), shown);
            assert_eq!(restored(shown), cell);
        }
        for cell in ["", "'", "''", "a=b", " =1", "O'Neill", "'t Hart", "\n=1", "ä-"] {
            assert_eq!(harmless(cell), cell);
            assert_eq!(restored(cell), cell);
        }
        // A file that somebody typed.
        assert_eq!(restored("=1+1"), "=1+1");
    }

    proptest::proptest! {
        #[test]
        fn every_cell_comes_back(cell in "['=+\\-@\t\ra]{0,6}.{0,3}") {
            let shown = harmless(&cell);
            proptest::prop_assert!(!super::runs(&shown), "{}", shown);
            proptest::prop_assert_eq!(restored(&shown), cell.as_str());
        }
    }
}
