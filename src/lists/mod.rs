//! Which rows does a hash-list file hold?
//!
//! [`read`] takes any [`BufRead`] and hands over one [`Row`] or one [`RowError`] at a time, in the file's order: files reach gigabytes, so
//! memory holds one row. Lines are counted from 1. Invariants: a row is whole (every hash field that is filled was read, or the row is
//! an error), every line is accounted for, and no error text repeats a hash or what is left of one: a field is shown only where it can
//! be nothing but a name. Where rows may have been lost without a trace (a quote that is never closed), the whole file fails. A hash that
//! stands for a missing one (all zeros, the digest of an empty file) makes its row bad. Absent: which rows are new, ids for rows that
//! bring none, and files: the caller opens them.

mod csv;
mod foreign;
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

use crate::entry::shown::{in_words, name_or_not};
use crate::entry::{BadValue, Details, HashKind, HashValue, Status};

/// The name under which a status that is not understood is kept with its entry.
pub const STATUS_NOT_UNDERSTOOD: &str = "status (not understood)";

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
        if foreign::refuse(head).is_err() {
            return None;
        }
        if pdq_text::is_row(first) {
            let columns = first.split(',').count();
            return Some(if mapping::is_threatexchange_width(columns) { Format::Csv } else { Format::PdqText });
        }
        let known = first.contains([',', ';', '\t'])
            || mapping::names_a_hash(first)
            || value::kind_by_length(first).is_some()
            || csv::said_delimiter(first).is_some();
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
            .ok_or_else(|| BadValue(format!("unknown list format {}: one of {}", name_or_not(s), all())))
    }
}

/// One row of a list file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which the row begins.
    pub line: u64,
    /// The list's own id; `None` where the file gives none. At most [`crate::entry::ENTRY_ID_BYTES_MAX`] bytes.
    pub id: Option<String>,
    /// As it stands in the file; empty where the file gives none. At most [`crate::entry::CATEGORY_BYTES_MAX`] bytes.
    pub category: String,
    /// In the order of the columns; at least one, unless `deleted` and `id` says which entry.
    pub hashes: Vec<HashValue>,
    pub status: Status,
    /// What the file says beside all this.
    pub details: Details,
    /// A tombstone: the entry leaves the list.
    pub deleted: bool,
    /// The list does not say that this is what is to be found: ThreatExchange's `NEGATIVE_CLASS` (harmless) and `DISPUTED`.
    pub unsought: bool,
    /// The first column, from 1, that holds what looks like a hash and is not read.
    pub unread: Option<usize>,
}

/// A row that could not be read, and why, in words that never repeat a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    pub line: u64,
    pub reason: String,
    /// One of the row's hashes could not be read and another could: that one is not taken either, as a row is taken whole or not at all.
    pub loses_hashes: bool,
}

/// How a file was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Every column, from the first; of a delimited file only.
    pub columns: Vec<ColumnUse>,
}

/// What was made of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnUse {
    /// Its name in the header, where it can be nothing but a name; else empty.
    pub name: String,
    /// What it was read as, such as `pdq` or `id`; `None`: it was not read.
    pub used_as: Option<&'static str>,
}

/// Why a file fails as a whole. Rows handed over before it count for nothing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("reading failed: {}", in_words(.0))]
    Io(#[from] io::Error),
    #[error("the file is empty")]
    Empty,
    #[error("the file is {0}; save it as UTF-8")]
    Encoding(&'static str),
    #[error("the file uses bare CR line endings; convert them to LF")]
    BareCr,
    #[error("the file holds NUL bytes, so it is not text in UTF-8; export the list as CSV in UTF-8")]
    Binary,
    #[error("the file holds comments only")]
    Comments,
    /// A file of another kind.
    #[error("this looks like {what}, which is not read; {instead}")]
    Foreign { what: &'static str, instead: &'static str },
    #[error(
        "the first line is neither column names nor a hash; if it is CSV or one PDQ hash a line all the same, name the format"
    )]
    Unknown,
    #[error("the header can't be read: {0}")]
    Header(String),
    #[error(
        "no column holds hashes; columns found: {found}. Name a column after its kind of hash (pdq, md5, sha1, sha256), or give a mapping"
    )]
    NoHashColumn { found: String },
    #[error("the mapping names column {wanted}, which the file does not have; columns found: {found}")]
    NoColumn { wanted: String, found: String },
    #[error("two columns could be the {0}; give a mapping that says which")]
    Twice(&'static str),
    #[error("the mapping can't be used: {0}")]
    Mapping(String),
    #[error("{}", unclosed(*from, *to))]
    Quote { from: u64, to: u64 },
}

fn unclosed(from: u64, to: u64) -> String {
    match to > from {
        true => {
            format!("a quotation mark on line {from} is not closed on that line; the rows down to line {to} would be lost in it")
        }
        false => format!("a quotation mark on line {from} is not closed"),
    }
}

/// The format of a file that begins like this; or why none is read.
pub fn recognise(head: &[u8]) -> Result<Format, FileError> {
    foreign::refuse(head)?;
    Format::sniff(head).ok_or_else(|| {
        let text = head.strip_prefix(line::BOM).unwrap_or(head);
        let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).peekable();
        match lines.peek().is_some() {
            false => FileError::Empty,
            true if lines.all(|line| line.starts_with(b"#")) => FileError::Comments,
            true => FileError::Unknown,
        }
    })
}

/// Refuses a file of another kind by its beginning, whatever format was named.
pub fn refuse_foreign(head: &[u8]) -> Result<(), FileError> {
    foreign::refuse(head)
}

/// Reads rows until the file ends or `each` breaks. A bad row is handed over as an error and reading goes on.
///
/// `mapping` is for [`Format::Csv`]; its default recognises columns by their names.
pub fn read(
    format: Format,
    mapping: &Mapping,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<Layout, FileError> {
    match format {
        Format::Csv => csv::read(mapping, input, each),
        Format::PdqText => pdq_text::read(input, each).map(|()| Layout::default()),
    }
}

/// A PDQ hash alone, as `pdq-text` gives it.
fn pdq_row(line: u64, hash: &str) -> Result<Row, String> {
    let hash = value::listed(HashKind::Pdq, hash).map_err(|e| e.to_string())?;
    Ok(Row {
        line,
        id: None,
        category: String::new(),
        hashes: vec![hash],
        status: Status::Active,
        details: Details::default(),
        deleted: false,
        unsought: false,
        unread: None,
    })
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
        check("Hash Value\n", Some(Format::Csv));
        check("sep=|\nid|md5\n", Some(Format::Csv));
        check("00112233445566778899aabbccddeeff\n", Some(Format::Csv));
        check("[id],[md5]\n", Some(Format::Csv));
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
    fn a_file_that_is_not_recognised_says_why() {
        let check = |head: &str, words: &str| {
            let said = recognise(head.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        };
        check("", "the file is empty");
        check("\u{feff}\r\n \n", "the file is empty");
        check("# one\n\n# two\n", "the file holds comments only");
        check("# one\nsome words\n", "the first line is neither column names nor a hash");
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

    /// Lists damaged in every way that a hash survives in part: quoted, cut, spaced out, in base64, in the place of a name or of a kind, in a file
    /// that is read as another format. Four texts once repeated such a rest.
    #[test]
    fn no_error_repeats_what_is_left_of_a_hash() {
        const MD5: &str = "9e107d9d372bb6826bd81d3542a419d6";
        const BASE64: &str = "nhB9nTcrtoJr2B01QqQZ1g==";
        let mut left =
            vec![MD5.to_owned(), MD5.to_uppercase(), BASE64.to_owned(), BASE64[..22].to_owned(), BASE64[..13].to_owned()];
        left.extend(["\"", "'", "`", "\"\"", "0x", "md5:", " ", "("].map(|stray| format!("{stray}{MD5}")));
        left.extend(["\"", "'", "g", "=", "..", ";"].map(|stray| format!("{MD5}{stray}")));
        left.extend([31, 30, 24, 20, 16, 12].map(|len| MD5[..len].to_owned()));
        left.extend(
            [2, 4, 8].map(|n| MD5.as_bytes().chunks(n).map(|part| str::from_utf8(part).unwrap()).collect::<Vec<_>>().join("-")),
        );
        left.extend([1, 7, 13, 20].map(|at| format!("{}x{}", &MD5[..at], &MD5[at + 1..])));
        let shapes = [
            "{}",
            "{}\n{}",
            "id,{}\n1,2",
            "{},id\n1,2",
            "id,pdq\n1,{}",
            "id,pdq\n{},1",
            "id,{},pdq\n1,2",
            "a\n{}",
            "{}\t{}\tx\n",
            "signal_type,signal_str\n{},{}",
            "signal_type,signal_str\nmd5,{}",
            "hash,type\n{},{}",
            "hash\n{}",
            "id,md5\n{},\"{}",
            "id,md5\n\"{}\"x,1",
            "pdq {}",
            "pdq,deleted\n1,{}",
            "{};{};{}\n1;2;3",
            "md5,{},{}\n1",
            "id,id,{}\n",
            "hash,value,{}\n",
        ];
        let mappings = [
            "{}",
            r#"{"id":"x"}"#,
            r#"{"hashes":{"md5":9}}"#,
            r#"{"hashes":{"md5":2},"header":"absent"}"#,
            r#"{"delimiter":"|"}"#,
        ];
        let mut told = 0;
        let mut check = |text: &str, file: &str| {
            told += 1;
            let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            for hash in [MD5, &MD5.to_uppercase(), BASE64] {
                let repeated = hash.as_bytes().windows(6).find(|part| bare.contains(str::from_utf8(part).unwrap()));
                assert!(repeated.is_none(), "{text}\nof {file:?}");
            }
        };
        for (shape, left) in shapes.iter().flat_map(|shape| left.iter().map(move |left| (shape, left))) {
            let file = shape.replace("{}", left);
            let _ = recognise(file.as_bytes()).inspect_err(|error| check(&error.to_string(), &file));
            for (format, mapping) in Format::ALL.into_iter().flat_map(|format| mappings.map(|mapping| (format, mapping))) {
                let mapping: Mapping = serde_json::from_str(mapping).unwrap();
                let read = read(format, &mapping, &mut file.as_bytes(), &mut |row| {
                    let _ = row.inspect_err(|error| check(&error.to_string(), &file));
                    ControlFlow::Continue(())
                });
                match read {
                    Ok(layout) => layout.columns.iter().for_each(|column| check(&column.name, &file)),
                    Err(error) => check(&error.to_string(), &file),
                }
            }
        }
        assert!(told > 4_000, "{told}");
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
