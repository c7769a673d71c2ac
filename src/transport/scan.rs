//! Finds the end of a head as its bytes come in, looking at each byte once, and holds the bounds on its size.
//!
//! A verdict depends on the bytes alone, never on how they were split: a line that has not ended is refused only for
//! what would refuse it when it ends, and that check comes first when it does.

use memchr::memchr;

use super::config::Config;
use super::grammar::is_token_byte;
use super::refusal::{Cause, Refusal};

/// Where the parts of a complete head lie, as offsets into the bytes that were scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The first byte of the request line.
    pub line_start: usize,
    /// The first byte after the request line's CR LF.
    pub fields_start: usize,
    /// The first byte after the blank line.
    pub end: usize,
    /// The number of field lines.
    pub lines: usize,
}

/// How far a head has been scanned.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    at: usize,
    line_start: usize,
    first_line: usize,
    fields_start: Option<usize>,
    lines: usize,
}

impl Scanner {
    /// Goes on scanning. `data` starts with the same bytes at every call, until `Some` comes out.
    pub fn scan(&mut self, data: &[u8], config: &Config) -> Result<Option<Bounds>, Refusal> {
        self.check_first_bytes(data)?;
        while let Some(offset) = memchr(b'\n', &data[self.at..]) {
            let lf = self.at + offset;
            self.check_size(lf, config)?;
            if lf == self.line_start || data[lf - 1] != b'\r' {
                return Err(Refusal::new(Cause::LineEnd, "Lines of the head must end with CR LF"));
            }
            let empty = lf - 1 == self.line_start;
            self.at = lf + 1;
            self.line_start = lf + 1;
            match self.fields_start {
                Some(fields_start) if empty => {
                    return Ok(Some(Bounds {
                        line_start: self.first_line,
                        fields_start,
                        end: lf + 1,
                        lines: self.lines,
                    }));
                }
                Some(_) => self.count_line(config)?,
                // RFC 9112, section 2.2: one empty line before the request line is forgiven.
                None if empty => {
                    self.first_line = lf + 1;
                    self.check_first_bytes(data)?;
                }
                None => self.fields_start = Some(lf + 1),
            }
        }
        self.at = data.len();
        self.check_size(data.len(), config)?;
        Ok(None)
    }

    /// Refuses what cannot become a request line at its first byte: a TLS greeting is not read to its 8 KiB.
    fn check_first_bytes(&self, data: &[u8]) -> Result<(), Refusal> {
        if self.fields_start.is_some() {
            return Ok(());
        }
        let blank_line_may_come = self.first_line == 0;
        match &data[self.first_line..] {
            [] => Ok(()),
            [b'\r'] | [b'\r', b'\n', ..] if blank_line_may_come => Ok(()),
            [b'\n', ..] => Err(Refusal::new(Cause::LineEnd, "Lines of the head must end with CR LF")),
            [byte, ..] if is_token_byte(*byte) => Ok(()),
            _ => Err(Refusal::new(Cause::RequestLine, "The request line is malformed")),
        }
    }

    /// Holds the bounds for the line that ends, or has not ended yet, before `end`; a CR may be its last byte.
    fn check_size(&self, end: usize, config: &Config) -> Result<(), Refusal> {
        match self.fields_start {
            None if end - self.line_start > config.request_line_bytes + 1 => Err(Refusal::new(
                Cause::RequestLineTooLong,
                format!("The request line is longer than {} bytes", config.request_line_bytes),
            )),
            Some(start) if end - start > config.header_section_bytes + 1 => Err(Refusal::new(
                Cause::HeadersTooLong,
                format!("The header section is longer than {} bytes", config.header_section_bytes),
            )),
            _ => Ok(()),
        }
    }

    fn count_line(&mut self, config: &Config) -> Result<(), Refusal> {
        self.lines += 1;
        if self.lines > config.header_lines {
            return Err(Refusal::new(
                Cause::HeadersTooLong,
                format!("The header section has more than {} lines", config.header_lines),
            ));
        }
        Ok(())
    }
}
