//! Which rows does a hash-list file hold?
//!
//! [`read`] takes any [`BufRead`] and hands over one [`Row`] or one [`RowError`] at a time, in the file's order: files reach gigabytes, so
//! memory holds one row. Lines are counted from 1. Invariants: a row is whole (every hash field that is filled was read, or the row is
//! an error), every line is accounted for, and no error text repeats a hash. Where rows may have been lost without a trace (a quote that
//! is never closed), the whole file fails. Absent: which rows are new, ids for rows that bring none, checks on the hashes themselves
//! (an all-zero PDQ is a row), and files: the caller opens them.

mod csv;
mod line;
mod mapping;
mod pdq_text;
mod record;
mod value;

pub use mapping::{Column, Header, Mapping, Signal};

use std::fmt;
use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::str::FromStr;

use crate::entry::{BadValue, HashKind, HashValue};

/// Longest row in bytes. A row of seven hashes and a long description takes some 2 KiB; beyond this it is no hash list's row.
pub const ROW_BYTES_MAX: usize = 256 * 1024;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Delimited text, with a header or with a [`Mapping`]; also the header-less exports of ThreatExchange.
    Csv,
    /// One PDQ hash a line: `pdq <hash>`, `<hash>`, or `<hash>,<anything>`. Blank lines and lines that begin with `#` are skipped.
    PdqText,
}

impl Format {
    pub const ALL: [Format; 2] = [Format::Csv, Format::PdqText];

    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::PdqText => "pdq-text",
        }
    }

    /// Guesses the format from the beginning of a file (a few KiB). `None` where nothing speaks for one of them.
    ///
    /// A line of a bare PDQ hash, or of one and anything else, is `pdq-text`; one of four or five columns is ThreatExchange's header-less
    /// export, whose ids only the CSV reader keeps.
    pub fn sniff(head: &[u8]) -> Option<Format> {
        let head = head.strip_prefix(line::BOM).unwrap_or(head);
        let first = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).find(|l| !l.is_empty() && !l.starts_with(b"#"))?;
        let first = std::str::from_utf8(first).ok()?;
        if first.starts_with(['<', '{', '[']) || first.contains('\0') {
            return None;
        }
        if pdq_text::is_row(first) {
            let columns = first.split(',').count();
            return Some(if mapping::is_threatexchange_width(columns) { Format::Csv } else { Format::PdqText });
        }
        let known =
            first.contains([',', ';', '\t']) || value::signal_kind(first).is_some() || value::kind_by_length(first).is_some();
        known.then_some(Format::Csv)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        let all = || Self::ALL.map(Format::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|f| f.name() == s)
            .ok_or_else(|| BadValue(format!("unknown list format {s:?}: one of {}", all())))
    }
}

/// One row of a list file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which the row begins.
    pub line: u64,
    /// The list's own id; `None` where the file gives none. At most [`crate::entry::ENTRY_ID_BYTES_MAX`] bytes.
    pub id: Option<String>,
    /// As it stands in the file: a ThreatExchange export's `NEGATIVE_CLASS` or `DISPUTED` is kept as text, for policy to decide on.
    /// Empty where the file gives none. At most [`crate::entry::CATEGORY_BYTES_MAX`] bytes.
    pub category: String,
    /// In the order of the columns; at least one, unless `deleted` and `id` says which entry.
    pub hashes: Vec<HashValue>,
    /// A tombstone: the entry leaves the list.
    pub deleted: bool,
    /// The first column, from 1, that holds what looks like a hash and is not read.
    pub unread: Option<usize>,
}

/// A row that could not be read, and why, in words that never repeat a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    pub line: u64,
    pub reason: String,
}

/// Why a file fails as a whole. Rows handed over before it count for nothing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    #[error("the file is empty")]
    Empty,
    #[error("the file is UTF-16: save it as UTF-8")]
    Utf16,
    #[error("the header cannot be read: {0}")]
    Header(String),
    #[error(
        "no column holds hashes; columns found: {found}. Name the column after its kind (pdq, md5, sha1, sha256, ...) or give a mapping"
    )]
    NoHashColumn { found: String },
    #[error("the mapping names column {wanted}, which the file does not have; columns found: {found}")]
    NoColumn { wanted: String, found: String },
    #[error("two columns could be the {0}: give a mapping that says which")]
    Twice(&'static str),
    #[error("the mapping is not usable: {0}")]
    Mapping(String),
    #[error("a quote that opens on line {from} swallows the lines up to {to}: rows may be lost in it")]
    Quote { from: u64, to: u64 },
}

/// Reads rows until the file ends or `each` breaks. A bad row is handed over as an error and reading goes on.
///
/// `mapping` is for [`Format::Csv`]; its default recognises columns by their names.
pub fn read(
    format: Format,
    mapping: &Mapping,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<(), FileError> {
    match format {
        Format::Csv => csv::read(mapping, input, each),
        Format::PdqText => pdq_text::read(input, each),
    }
}

/// A PDQ hash alone, as `pdq-text` gives it.
fn pdq_row(line: u64, hash: &str) -> Result<Row, String> {
    let hash = value::parse(HashKind::Pdq, hash).map_err(|e| e.to_string())?;
    Ok(Row { line, id: None, category: String::new(), hashes: vec![hash], deleted: false, unread: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const P: &str = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";

    #[test]
    fn formats_are_recognised_by_their_first_line() {
        let check = |head: &str, expected: Option<Format>| {
            assert_eq!(Format::sniff(head.replace("{P}", P).as_bytes()), expected, "{head:?}");
        };
        check("{P}\n", Some(Format::PdqText));
        check("\u{feff}\r\n# made by hand\r\n{P}\r\n", Some(Format::PdqText));
        check("pdq {P}\n", Some(Format::PdqText));
        check("{P},anything\n", Some(Format::PdqText));
        check("{P},11,2024-01-01,a b\n", Some(Format::Csv));
        check("{P},10,11,2024-01-01,a b\n", Some(Format::Csv));
        check("signal_type,signal_str,collab,category,tags\n", Some(Format::Csv));
        check("hash,quality,filename\n", Some(Format::Csv));
        check("id;md5\n", Some(Format::Csv));
        check("pdq\n", Some(Format::Csv));
        check("00112233445566778899aabbccddeeff\n", Some(Format::Csv));
        check("<?xml version=\"1.0\"?>\n<a,b>", None);
        check("{\"value\":[1,2]}", None);
        check("[1,2]", None);
        check("some words\n", None);
        check("a\0b,c", None);
        check("", None);
        check("# only a comment\n", None);
        assert_eq!(Format::sniff(b"\xff\xfei\0d\0,\0"), None);
    }

    #[test]
    fn format_names_read_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("xls".parse::<Format>().is_err());
    }

    #[test]
    fn a_reader_can_be_stopped() {
        let text = format!("{P}\n").repeat(10);
        let mut rows = 0;
        let stop_at_three = &mut |_| {
            rows += 1;
            if rows == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        read(Format::PdqText, &Mapping::default(), &mut text.as_bytes(), stop_at_three).unwrap();
        assert_eq!(rows, 3);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            read_whole(&bytes);
        }

        #[test]
        fn arbitrary_pieces_of_lists_never_panic(
            pieces in proptest::collection::vec(
                prop::sample::select(vec!["\"", ",", "\n", "\r\n", "pdq", "md5,", "id,pdq,deleted\n", P, "é", ";", " ", "\u{feff}", "#", "signal_type,signal_str\n"]),
                0..60,
            )
        ) {
            read_whole(pieces.concat().as_bytes());
        }
    }

    fn read_whole(bytes: &[u8]) {
        let _ = Format::sniff(bytes);
        for format in Format::ALL {
            let mut last = 0;
            let _ = read(format, &Mapping::default(), &mut &bytes[..], &mut |row| {
                let (line, text) = match row {
                    Ok(row) => (row.line, String::new()),
                    Err(e) => (e.line, e.to_string()),
                };
                assert!(line > last, "lines go up");
                assert!(!text.contains(&P[..16]), "an error repeats a hash");
                last = line;
                ControlFlow::Continue(())
            })
            .inspect_err(|e| assert!(!e.to_string().contains(&P[..16]), "an error repeats a hash"));
        }
    }
}
