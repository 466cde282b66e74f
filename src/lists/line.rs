//! Where does the next line end?
//!
//! Lines end with LF or CRLF, the last one perhaps with neither. Invariant: the buffer never grows by more than the room it is given,
//! however long the line. Absent: what a line means.

use std::io::{self, BufRead, ErrorKind, Read};

/// The byte order mark of UTF-8, which some tools write at the start of a file.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

pub(super) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    /// The line that was read last, from 1; 0 before the first.
    pub number: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    End,
    Whole,
    /// Longer than the room; all of it has been passed over. `quotes` is the number of quotation marks in it.
    TooLong {
        quotes: u64,
    },
}

impl<'a> Lines<'a> {
    pub fn new(input: &'a mut dyn BufRead) -> Self {
        Lines { input, number: 0 }
    }

    /// Appends the next line, with its line ending, to `buffer`: at most `room` bytes. A BOM before the first line is left out.
    pub fn append(&mut self, buffer: &mut Vec<u8>, room: usize) -> io::Result<Line> {
        let start = buffer.len();
        let read = Read::take(&mut *self.input, room as u64).read_until(b'\n', buffer)?;
        if read == 0 && (room > 0 || self.input.fill_buf()?.is_empty()) {
            return Ok(Line::End);
        }
        self.number += 1;
        if self.number == 1 && buffer[start..].starts_with(BOM) {
            buffer.drain(start..start + BOM.len());
        }
        if buffer.ends_with(b"\n") && read > 0 || read < room {
            return Ok(Line::Whole);
        }
        let quotes = count_quotes(&buffer[start..]) + self.skip()?;
        Ok(Line::TooLong { quotes })
    }

    /// Passes over the rest of the line and counts its quotation marks.
    fn skip(&mut self) -> io::Result<u64> {
        let mut quotes = 0;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let end = chunk.iter().position(|b| *b == b'\n');
            let used = end.map_or(chunk.len(), |at| at + 1);
            quotes += count_quotes(&chunk[..used]);
            self.input.consume(used);
            if end.is_some() || used == 0 {
                return Ok(quotes);
            }
        }
    }
}

/// The length of a line without its ending.
pub(super) fn body_len(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

fn count_quotes(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'"').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf_crlf_or_the_file() {
        let check = |input: &str, expected: &[&str]| {
            // A buffer of one byte puts every boundary everywhere.
            let mut input = io::BufReader::with_capacity(1, input.as_bytes());
            let mut lines = Lines::new(&mut input);
            let mut seen = Vec::new();
            let mut buffer = Vec::new();
            loop {
                buffer.clear();
                match lines.append(&mut buffer, 5).unwrap() {
                    Line::End => break,
                    Line::Whole => seen.push(String::from_utf8(buffer[..body_len(&buffer)].to_vec()).unwrap()),
                    Line::TooLong { quotes } => seen.push(format!("too long, {quotes} quotes")),
                }
            }
            assert_eq!(seen, expected);
            assert_eq!(lines.number, expected.len() as u64);
        };
        check("", &[]);
        check("\n", &[""]);
        check("a\nb", &["a", "b"]);
        check("a\r\nb\r\n", &["a", "b"]);
        check("\u{feff}a\n\u{feff}", &["a", "\u{feff}"]);
        check("1234\n", &["1234"]);
        check("1234", &["1234"]);
        check("12345\n", &["too long, 0 quotes"]);
        check("12345", &["too long, 0 quotes"]);
        check("\"12345678\"\n\nc", &["too long, 2 quotes", "", "c"]);
    }
}
