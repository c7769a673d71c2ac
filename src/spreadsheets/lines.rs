//! A CSV file, line by line, as spreadsheets write it: UTF-8 with or without a byte order mark, separated by `,`, `;` or tabs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::is_stream;

/// The longest header, in bytes.
const HEADER_MAX: usize = 64 * 1024;
/// The longest line, in bytes: several times what the fields of a record can take.
const LINE_MAX: usize = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NOT_UTF_8: &str = "is not UTF-8 text: save the file as CSV UTF-8";

/// The header, which is read first, and the rest.
type Whole = Chain<Cursor<Vec<u8>>, Box<dyn BufRead>>;

/// The lines of a file.
pub struct Lines {
    /// The file's name, for messages.
    name: String,
    csv: csv::Reader<Watched<Whole>>,
    /// The cells of the header.
    pub header: Vec<String>,
    /// How many bytes the file has, if that is known.
    pub size: Option<u64>,
    cells: ByteRecord,
}

/// One line: the number of the first one in the file that it takes, and its cells, or what is wrong with it.
pub struct Line {
    pub number: u64,
    pub cells: Result<Vec<String>, String>,
}

impl Lines {
    /// Opens a file, or standard input, and reads its header.
    pub fn open(file: &Path) -> Result<Lines, String> {
        if is_stream(file) {
            return Lines::read("standard input".into(), Box::new(BufReader::new(io::stdin())), None);
        }
        let name = file.display().to_string();
        let unreadable = |error: io::Error| format!("{name} cannot be read: {error}");
        let opened = File::open(file).map_err(unreadable)?;
        let about = opened.metadata().map_err(unreadable)?;
        let size = about.is_file().then_some(about.len());
        Lines::read(name, Box::new(BufReader::new(opened)), size)
    }

    fn read(name: String, mut input: Box<dyn BufRead>, size: Option<u64>) -> Result<Lines, String> {
        let (header, separator) = read_header(&mut input).map_err(|problem| format!("{name} {problem}"))?;
        let watched = Watched::new(Cursor::new(header).chain(input), separator);
        let csv = ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(watched);
        let mut lines = Lines { name, csv, header: Vec::new(), size, cells: ByteRecord::new() };
        let Some(first) = lines.next()? else {
            return Err(format!("{} has no header: its first line must name the columns", lines.name));
        };
        let header = first.cells.map_err(|problem| format!("the header of {} {problem}", lines.name))?;
        lines.header = header.iter().map(|name| name.trim().to_string()).collect();
        Ok(lines)
    }

    /// The next line that is not blank; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Line>, String> {
        loop {
            let read = self.csv.read_byte_record(&mut self.cells);
            if !read.map_err(|error| format!("{} cannot be read: {}", self.name, io::Error::from(error)))? {
                return Ok(None);
            }
            let start = self.csv.get_mut().starts.pop_front().unwrap_or_default();
            let cells: Result<Vec<String>, _> =
                self.cells.iter().map(|cell| String::from_utf8(cell.to_vec())).collect();
            let cells = match (start.problem, cells) {
                (Some(problem), _) => Err(problem.to_string()),
                (None, Err(_)) => Err(NOT_UTF_8.to_string()),
                (None, Ok(cells)) if cells.iter().all(|cell| cell.trim().is_empty()) => continue,
                (None, Ok(cells)) => Ok(cells),
            };
            return Ok(Some(Line { number: start.line, cells }));
        }
    }

    /// How many bytes were read so far.
    pub fn bytes(&self) -> u64 {
        self.csv.get_ref().bytes
    }
}

/// The bytes of the first line that is not blank, with the blank ones before it but without a byte order mark, and the separator.
fn read_header(input: &mut dyn BufRead) -> Result<(Vec<u8>, u8), String> {
    let (mut header, mut is_quoted, mut counts) = (Vec::new(), false, [(b',', 0), (b';', 0), (b'\t', 0)]);
    for byte in input.bytes() {
        let byte = byte.map_err(|error| format!("cannot be read: {error}"))?;
        header.push(byte);
        if header == BYTE_ORDER_MARK {
            header.clear();
        } else if header.len() > HEADER_MAX {
            return Err(format!("has a header longer than {HEADER_MAX} bytes: is it a CSV file?"));
        } else if byte == b'"' {
            is_quoted = !is_quoted;
        } else if !is_quoted {
            if matches!(byte, b'\n' | b'\r') && !header.trim_ascii().is_empty() {
                break;
            }
            counts.iter_mut().filter(|(separator, _)| *separator == byte).for_each(|(_, count)| *count += 1);
        }
    }
    if header.starts_with(b"\xff\xfe") || header.starts_with(b"\xfe\xff") {
        return Err(NOT_UTF_8.into());
    }
    // The first of several that stand equally often.
    let separator = counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| *separator);
    Ok((header, separator))
}

/// Notes where each record begins and whether its quotes are in order: the crate `csv` takes any text, and does not count lines as an
/// editor does.
struct Watched<R> {
    input: R,
    separator: u8,
    place: Place,
    line: u64,
    is_after_return: bool,
    record_bytes: usize,
    bytes: u64,
    starts: VecDeque<Start>,
}

#[derive(Default)]
struct Start {
    line: u64,
    problem: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    BetweenRecords,
    CellStart,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two that stand for one.
    BehindQuote,
}

impl<R> Watched<R> {
    fn new(input: R, separator: u8) -> Watched<R> {
        Watched {
            input,
            separator,
            place: Place::BetweenRecords,
            line: 1,
            is_after_return: false,
            record_bytes: 0,
            bytes: 0,
            starts: VecDeque::new(),
        }
    }

    fn watch(&mut self, byte: u8) {
        let is_end = matches!(byte, b'\n' | b'\r');
        if self.place == Place::BetweenRecords && !is_end {
            self.starts.push_back(Start { line: self.line, problem: None });
            (self.place, self.record_bytes) = (Place::CellStart, 0);
        }
        self.record_bytes += 1;
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::BehindQuote,
            (Place::Quoted, _) | (Place::BehindQuote | Place::CellStart, b'"') => Place::Quoted,
            _ if is_end => Place::BetweenRecords,
            _ if byte == self.separator => Place::CellStart,
            (Place::BehindQuote, _) => {
                self.complain("has text behind a closing quote; a quote within a quoted cell is written twice");
                Place::Plain
            }
            _ => Place::Plain,
        };
        // `\r\n` ends one line.
        if byte == b'\r' || (byte == b'\n' && !self.is_after_return) {
            self.line += 1;
        }
        self.is_after_return = byte == b'\r';
    }

    fn complain(&mut self, problem: &'static str) {
        if let Some(start) = self.starts.back_mut() {
            start.problem = Some(problem);
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        for byte in &buffer[..count] {
            self.watch(*byte);
        }
        self.bytes += count as u64;
        if count == 0 && self.place == Place::Quoted {
            self.complain("has a quote that is not closed");
        }
        match self.starts.back() {
            Some(start) if self.place != Place::BetweenRecords && self.record_bytes > LINE_MAX => {
                Err(io::Error::other(format!(
                    "line {} goes on for more than {LINE_MAX} bytes: is a quote not closed?",
                    start.line
                )))
            }
            _ => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::Lines;

    fn lines(text: &str) -> Vec<(u64, Result<Vec<String>, String>)> {
        // A buffer of a few bytes: a record spans several of them.
        let input = BufReader::with_capacity(3, Cursor::new(text.as_bytes().to_vec()));
        let mut lines = Lines::read("it".into(), Box::new(input), None).expect("a header");
        let mut all = vec![(1, Ok(lines.header.clone()))];
        while let Some(line) = lines.next().expect("a line") {
            all.push((line.number, line.cells));
        }
        all
    }

    fn cells(cells: &[&str]) -> Result<Vec<String>, String> {
        Ok(cells.iter().map(|cell| cell.to_string()).collect())
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("a,b{end}1,2{end}{end}{end}\"x{end}y\",\"\"{end} ,\t{end}3,4").replace('\t', " ");
            let expected = [
                (1, cells(&["a", "b"])),
                (2, cells(&["1", "2"])),
                (5, cells(&[&format!("x{end}y"), ""])),
                (8, cells(&["3", "4"])),
            ];
            assert_eq!(lines(&text), expected, "{end:?}");
        }
    }

    #[test]
    fn the_separator_is_the_one_that_stands_most_often_outside_quotes() {
        assert_eq!(lines("a;b;\"c,d,e,f\"\n1;2;3")[1].1, cells(&["1", "2", "3"]));
        assert_eq!(lines("\u{feff}\"a\"\tb,\tc\n1\t2\t3")[0].1, cells(&["a", "b,", "c"]));
        assert_eq!(lines("a,b;\n1,2;")[0].1, cells(&["a", "b;"]));
        assert_eq!(lines("a\n1,2;\t"), [(1, cells(&["a"])), (2, cells(&["1", "2;\t"]))]);
    }

    #[test]
    fn quotes_must_be_closed_and_may_stand_inside() {
        let all = lines("a,b\n1\",2\"x\n\"O\"Neill\",1\n\"a \"\"b\"\"\",c\n\"open,2\n3,4\n");
        assert_eq!(all[1], (2, cells(&["1\"", "2\"x"])));
        assert!(all[2].0 == 3 && all[2].1.as_ref().is_err_and(|problem| problem.contains("closing quote")));
        assert_eq!(all[3], (4, cells(&["a \"b\"", "c"])));
        assert!(all[4].0 == 5 && all[4].1.as_ref().is_err_and(|problem| problem.contains("not closed")));
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_all_memory() {
        let text = format!("a,b\n1,2\n\"{}", "x".repeat(3 * super::LINE_MAX));
        let mut lines = Lines::read("it".into(), Box::new(Cursor::new(text.into_bytes())), None).expect("a header");
        lines.next().expect("a line");
        let problem = lines.next().err().expect("a problem");
        assert!(problem.starts_with("it cannot be read: line 3 goes on") && problem.contains("quote"), "{problem}");
    }
}
