//! The chunked transfer coding (RFC 9112, section 7.1), decoded as its bytes come in.

use super::config::Config;
use super::grammar::{is_text, is_token_byte};
use super::head::body_too_long;
use super::refusal::{Cause, Refusal};

/// Sixteen hexadecimal digits fill 64 bits: more could only be leading zeros or an overflow.
const MAX_SIZE_DIGITS: u8 = 16;

/// Decodes one body. It holds no bytes: what it has decoded is in the caller's `Vec`.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// The size of the chunk, or how much of it is still to come.
    size: u64,
    digits: u8,
    extension_bytes: usize,
    trailer_bytes: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// White space before the semicolon of an extension.
    Gap,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Decoder {
    /// Decodes from `input` into `body`. Returns how many bytes of `input` belong to this body: all of them, unless the
    /// body has ended.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>, config: &Config) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = usize::try_from(self.size).unwrap_or(usize::MAX);
                let take = here.min(input.len() - at);
                body.extend_from_slice(&input[at..at + take]);
                self.size -= take as u64;
                at += take;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(input[at], body.len() as u64, config)?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// The last byte of the body has been decoded.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The state after a byte that is not chunk data.
    fn step(&mut self, byte: u8, decoded: u64, config: &Config) -> Result<State, Refusal> {
        use State::*;
        Ok(match (self.state, byte) {
            (Size, digit) if digit.is_ascii_hexdigit() => self.add_digit(digit, decoded, config)?,
            (Size, _) if self.digits == 0 => return Err(broken("A chunk size is missing")),
            (Size | Gap, b';') => self.count_extension(Extension, config)?,
            (Size | Gap, b' ' | b'\t') => self.count_extension(Gap, config)?,
            (Size | Extension, b'\r') => SizeLf,
            (Extension, byte) if is_text(byte) => self.count_extension(Extension, config)?,
            (SizeLf, b'\n') if self.size > 0 => Data,
            (SizeLf, b'\n') => TrailerStart,
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => {
                self.digits = 0;
                Size
            }
            (TrailerStart, b'\r') => EndLf,
            (TrailerStart | TrailerName, byte) if is_token_byte(byte) => self.count_trailer(TrailerName, config)?,
            (TrailerName, b':') => self.count_trailer(TrailerValue, config)?,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerValue, byte) if is_text(byte) => self.count_trailer(TrailerValue, config)?,
            (TrailerLf, b'\n') => TrailerStart,
            (EndLf, b'\n') => Done,
            (Size | Gap | Extension, _) => return Err(broken("A chunk size line is malformed")),
            (DataCr, _) => return Err(broken("A chunk is longer than its size")),
            (TrailerStart | TrailerName | TrailerValue, _) => {
                return Err(broken("A trailer field is malformed"));
            }
            _ => return Err(broken("Lines of the chunked coding must end with CR LF")),
        })
    }

    fn add_digit(&mut self, digit: u8, decoded: u64, config: &Config) -> Result<State, Refusal> {
        if self.digits == MAX_SIZE_DIGITS {
            return Err(broken("A chunk size has too many digits"));
        }
        let value = char::from(digit).to_digit(16).unwrap_or(0);
        self.size = (self.size << 4) | u64::from(value);
        self.digits += 1;
        // A size that is too big already can only grow.
        if self.size > config.body_bytes.saturating_sub(decoded) {
            return Err(body_too_long(config));
        }
        Ok(State::Size)
    }

    fn count_extension(&mut self, next: State, config: &Config) -> Result<State, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > config.chunk_extension_bytes {
            return Err(broken("The chunk extensions are too long"));
        }
        Ok(next)
    }

    fn count_trailer(&mut self, next: State, config: &Config) -> Result<State, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > config.trailer_bytes {
            let message = "The trailer section is too long";
            return Err(Refusal::new(Cause::HeadersTooLong, message));
        }
        Ok(next)
    }
}

fn broken(message: &'static str) -> Refusal {
    Refusal::new(Cause::Chunk, message)
}
