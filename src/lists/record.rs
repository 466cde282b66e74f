//! Where do a delimited record's fields lie?
//!
//! RFC 4180 with the field's habits: LF or CRLF, blank lines between records, quotes only where a field begins with one, line breaks inside
//! quotes. Written here because the usual readers let a record grow without bound, and an unclosed quote swallow rows unseen.
//! Invariant: memory holds one record of at most [`ROW_BYTES_MAX`] bytes. Absent: what a field means.

use std::io::BufRead;

use super::line::{BOM, Line, Lines, body_len};
use super::{FileError, ROW_BYTES_MAX};

pub(super) struct Records<'a> {
    lines: Lines<'a>,
    delimiter: u8,
    /// The record, unquoted: fields with one delimiter between them.
    bytes: Vec<u8>,
    /// Start and end of each field in `bytes`.
    fields: Vec<(usize, usize)>,
    /// The line on which the record begins.
    pub line: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    End,
    Record,
    /// Not a record, and why; the next one can be read.
    Bad(String),
}

/// What a piece of a record ends in.
enum Piece {
    Whole,
    /// Inside quotes: the next line belongs to it.
    Open,
    /// Text follows a closing quote.
    Stray,
}

impl<'a> Records<'a> {
    /// Reads commas until [`Records::delimit`] says otherwise.
    pub fn new(input: &'a mut dyn BufRead) -> Self {
        Records { lines: Lines::new(input), delimiter: b',', bytes: Vec::new(), fields: Vec::new(), line: 0 }
    }

    /// Reads the first record; `delimiter` chooses by the first line that is not blank.
    pub fn first(&mut self, delimiter: impl FnOnce(&[u8]) -> u8) -> Result<Next, FileError> {
        let line = self.line()?;
        if line == Line::Whole {
            refuse_encoding(&self.bytes)?;
            self.delimiter = delimiter(&self.bytes);
        }
        self.record(line)
    }

    pub fn next(&mut self) -> Result<Next, FileError> {
        let line = self.line()?;
        self.record(line)
    }

    /// Splits the records that follow at another character.
    pub fn delimit(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// Whether the record takes more than one line.
    pub fn spans_lines(&self) -> bool {
        self.lines.number > self.line
    }

    /// The error for a record that must have swallowed others.
    pub fn swallowed(&self) -> FileError {
        FileError::Quote { from: self.line, to: self.lines.number }
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The whole record as text, for [`Records::field`].
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.bytes)
    }

    /// A field without the white space around it; "" where there is none. `text` is [`Records::text`].
    pub fn field<'t>(&self, text: &'t str, index: usize) -> &'t str {
        self.fields.get(index).and_then(|(start, end)| text.get(*start..*end)).map_or("", str::trim)
    }

    /// The next line that is not blank.
    fn line(&mut self) -> Result<Line, FileError> {
        loop {
            self.bytes.clear();
            let line = self.lines.append(&mut self.bytes, ROW_BYTES_MAX)?;
            if line != Line::Whole || !self.bytes.trim_ascii().is_empty() {
                return Ok(line);
            }
        }
    }

    fn record(&mut self, first: Line) -> Result<Next, FileError> {
        self.line = self.lines.number;
        self.fields.clear();
        match first {
            Line::End => return Ok(Next::End),
            // An odd number of quotes leaves one open: the lines after it may be its content.
            Line::TooLong { quotes } if quotes % 2 == 1 => return Err(self.swallowed()),
            Line::TooLong { .. } => return Ok(Next::Bad(format!("longer than {ROW_BYTES_MAX} bytes"))),
            Line::Whole => {}
        }
        if !self.bytes.contains(&b'"') {
            self.bytes.truncate(body_len(&self.bytes));
            self.split_plain();
            return Ok(Next::Record);
        }
        let (mut from, mut quoted) = (0, false);
        loop {
            let ending = self.bytes.split_off(from + body_len(&self.bytes[from..]));
            match self.split_quoted(from, quoted) {
                Piece::Whole => return Ok(Next::Record),
                Piece::Stray if self.spans_lines() => return Err(self.swallowed()),
                Piece::Stray => return Ok(Next::Bad("text follows a closing quote".to_owned())),
                Piece::Open => {}
            }
            self.bytes.extend(ending);
            (from, quoted) = (self.bytes.len(), true);
            match self.lines.append(&mut self.bytes, ROW_BYTES_MAX.saturating_sub(from))? {
                Line::Whole => {}
                Line::End | Line::TooLong { .. } => return Err(self.swallowed()),
            }
        }
    }

    fn split_plain(&mut self) {
        let mut start = 0;
        for (at, byte) in self.bytes.iter().enumerate() {
            if *byte == self.delimiter {
                self.fields.push((start, at));
                start = at + 1;
            }
        }
        self.fields.push((start, self.bytes.len()));
    }

    /// Splits `bytes[from..]`, which begins inside quotes or not, and takes the quotes out in place: what is written never passes
    /// what is read. Each byte is looked at once, however many lines a record has.
    fn split_quoted(&mut self, from: usize, quoted: bool) -> Piece {
        enum At {
            Start,
            Plain,
            Quoted,
            Closed,
        }
        let mut at = if quoted { At::Quoted } else { At::Start };
        let mut start = match (quoted, self.fields.last()) {
            (false, _) | (true, None) => 0,
            (true, Some((_, end))) => end + 1,
        };
        let mut written = from;
        let mut stray = false;
        for read in from..self.bytes.len() {
            let byte = self.bytes[read];
            let ends = byte == self.delimiter && !matches!(at, At::Quoted);
            at = match at {
                _ if ends => At::Start,
                At::Start | At::Closed if byte == b'"' => {
                    if matches!(at, At::Start) {
                        at = At::Quoted;
                        continue;
                    }
                    At::Quoted
                }
                At::Quoted if byte == b'"' => {
                    at = At::Closed;
                    continue;
                }
                At::Closed if byte.is_ascii_whitespace() => continue,
                At::Closed => {
                    stray = true;
                    At::Plain
                }
                At::Start => At::Plain,
                same => same,
            };
            self.bytes[written] = byte;
            if ends {
                self.fields.push((start, written));
                start = written + 1;
            }
            written += 1;
        }
        self.bytes.truncate(written);
        match at {
            _ if stray => Piece::Stray,
            At::Quoted => Piece::Open,
            _ => {
                self.fields.push((start, written));
                Piece::Whole
            }
        }
    }
}

/// Spreadsheets save "Unicode text" as UTF-16, in which no byte pattern of ours would ever be found. UTF-32's little-endian mark begins
/// with UTF-16's, so the longer ones are looked for first.
pub(super) fn refuse_encoding(head: &[u8]) -> Result<(), FileError> {
    const MARKS: [(&[u8], &str); 4] =
        [(b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")];
    let head = head.strip_prefix(BOM).unwrap_or(head);
    match MARKS.iter().find(|(mark, _)| head.starts_with(mark)) {
        Some((_, encoding)) => Err(FileError::Encoding(encoding)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as "line:field|field", or "line!reason"; a failed file ends in its error.
    fn records(input: &str) -> Vec<String> {
        let mut input = std::io::BufReader::with_capacity(3, input.as_bytes());
        let mut records = Records::new(&mut input);
        let mut seen = Vec::new();
        loop {
            match records.next() {
                Ok(Next::End) => break,
                Ok(Next::Bad(reason)) => seen.push(format!("{}!{reason}", records.line)),
                Ok(Next::Record) => {
                    let text = records.text().unwrap();
                    let fields: Vec<_> = (0..records.len()).map(|i| records.field(text, i)).collect();
                    seen.push(format!("{}:{}", records.line, fields.join("|")));
                }
                Err(e) => {
                    seen.push(e.to_string());
                    break;
                }
            }
        }
        seen
    }

    fn swallows(from: u64, to: u64) -> String {
        FileError::Quote { from, to }.to_string()
    }

    #[test]
    fn fields_are_found() {
        let check = |input: &str, expected: &[&str]| assert_eq!(records(input), expected, "{input:?}");
        check("", &[]);
        check("\n \r\n", &[]);
        check("a,b\n\nc,d", &["1:a|b", "3:c|d"]);
        check("a, b ,\r\n,\r\n", &["1:a|b|", "2:|"]);
        check("\"a\",\"b,c\"\n", &["1:a|b,c"]);
        check("\"a\"\"b\",\"\"\r\nx,y\n", &["1:a\"b|", "2:x|y"]);
        check("\"\"\"\"\n", &["1:\""]);
        check("a\"b,c\"\"\n", &["1:a\"b|c\"\""]);
        check("x,\"a\nb\r\nc\",y\nz", &["1:x|a\nb\r\nc|y", "4:z"]);
        check("\"a\n\n\"\"b\",y\nz", &["1:a\n\n\"b|y", "4:z"]);
        check("\"a\" ,b\n", &["1:a|b"]);
        check("é,\"ü\"\n", &["1:é|ü"]);
        check("\"a\"b,c\nd\n", &["1!text follows a closing quote", "2:d"]);
        check("\u{feff}\"a\",b\n", &["1:a|b"]);
    }

    #[test]
    fn an_unclosed_quote_fails_the_file() {
        let check = |input: &str, ok: &[&str], from, to| {
            let mut expected: Vec<String> = ok.iter().map(|s| (*s).to_owned()).collect();
            expected.push(swallows(from, to));
            assert_eq!(records(input), expected, "{input:.40?}");
        };
        check("a\n\"b\nc\nd\n", &["1:a"], 2, 4);
        check("\"", &[], 1, 1);
        // The next quote closes it, and what follows betrays it.
        check("a,\"b\nc,d\ne,\"f\"\n", &[], 1, 3);
        // More lines than a row may have bytes.
        check(&format!("\"{}", "row,row\n".repeat(40_000)), &[], 1, 32_769);
        // In a line too long to be kept.
        check(&format!("{},\"a\nb\"\nc\n", "x".repeat(ROW_BYTES_MAX)), &[], 1, 1);
    }

    #[test]
    fn a_line_too_long_costs_one_row() {
        let text = format!("{}\"\"\nb\n", "x".repeat(ROW_BYTES_MAX));
        assert_eq!(records(&text), ["1!longer than 262144 bytes", "2:b"]);
    }
}
