//! Which rows does a hash-list file hold, and how is one written?
//!
//! [`read`] takes any [`BufRead`] and hands over one [`Row`] or one [`RowError`] at a time, in the file's order: files reach gigabytes, so
//! memory holds one row. Lines are counted from 1, and so are the records of XML and JSON, where a row is a record. Invariants: a row is whole
//! (every hash field that is filled was read, or the row is an error), every line or record is accounted for, and no error text repeats a hash
//! or what is left of one: a field is shown only where it can be nothing but a name. Where rows may have been lost without a trace (a quote that
//! is never closed, XML or JSON that is damaged or ends too early), the whole file fails. A hash that stands for a missing one (all zeros, the
//! digest of an empty file) makes its row bad. [`Writer`] goes the other way.
//! Absent: which rows are new, ids for rows that bring none, and files: the caller opens them.

mod bounded;
pub mod bundle;
mod csv;
mod draft;
mod encoding;
mod error;
mod foreign;
mod json;
mod line;
mod mapping;
mod ncmec;
mod paging;
mod pdq_text;
mod record;
mod said;
mod section;
mod signature;
mod stopncii;
mod threatexchange;
mod time;
mod unpack;
mod value;
mod vics;
mod write;
mod xml;
mod zip;

pub use error::{FileError, RowError, at};
pub use mapping::{Column, Header, Mapping, Signal};
pub use paging::{Page, ncmec_page, ncmec_reasons, stopncii_page, threatexchange_page};
pub use section::Section;
pub use signature::{PublicKey, Signers, SigningKey};
pub use unpack::{Found, Unpacking, Unread, each_list};
pub use write::{Counts, WRITTEN, Writer, Written};

use std::fmt;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::str::FromStr;

use crate::entry::shown::name_or_not;
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
    /// XML of the NCMEC Hash Sharing API, version 2: one `queryResult`, or several one after another.
    NcmecXml,
    /// JSON of StopNCII's API: `hashRecords`.
    StopnciiJson,
    /// JSON of ThreatExchange: `threat_updates`, `data`, an array of updates, or one a line.
    ThreatexchangeJson,
    /// Project VIC's JSON, VICS 1.3 and 2.0: media, or cases with media.
    VicsJson,
    /// A version of a list as hashwarden exported and signed it: see [`bundle`].
    Bundle,
}

impl Format {
    pub const ALL: [Format; 7] = [
        Format::Csv,
        Format::PdqText,
        Format::NcmecXml,
        Format::StopnciiJson,
        Format::ThreatexchangeJson,
        Format::VicsJson,
        Format::Bundle,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::PdqText => "pdq-text",
            Format::NcmecXml => "ncmec-xml",
            Format::StopnciiJson => "stopncii-json",
            Format::ThreatexchangeJson => "threatexchange-json",
            Format::VicsJson => "vics-json",
            Format::Bundle => "bundle",
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
        if let Some(format) = of_records(head) {
            return Some(format);
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
    /// Its number among the records of the file, from 1; 0 in a format of lines. A whole file of XML or JSON may be one line.
    pub record: u64,
    /// The list's own id; `None` where the file gives none. At most [`crate::entry::ENTRY_ID_BYTES_MAX`] bytes.
    pub id: Option<String>,
    /// As it stands in the file; empty where the file gives none. At most [`crate::entry::CATEGORY_BYTES_MAX`] bytes.
    pub category: String,
    /// In the order of the columns; at least one, unless `deleted` and `id` says which entry.
    pub hashes: Vec<HashValue>,
    pub status: Status,
    /// How many members of the source say that the entry is wrong, as far as the file tells.
    pub disputed_by: u32,
    /// What the file says beside all this.
    pub details: Details,
    /// A tombstone: the entry leaves the list.
    pub deleted: bool,
    /// The row is read, and is not to be in the list.
    pub left_out: Option<LeftOut>,
    /// The row is all that its source says of the entry, as of then (ms since the Unix epoch; 0 where it does not say when): of several with one
    /// id the newest holds, whatever their order. `None`: rows with one id are one entry together.
    pub as_of: Option<u64>,
    /// The first column, from 1, that holds what looks like a hash and is not read.
    pub unread: Option<usize>,
}

impl Row {
    /// An empty row.
    fn at(record: u64, line: u64) -> Self {
        Row {
            line,
            record,
            id: None,
            category: String::new(),
            hashes: Vec::new(),
            status: Status::Active,
            disputed_by: 0,
            details: Details::default(),
            deleted: false,
            left_out: None,
            as_of: None,
            unread: None,
        }
    }
}

/// Why a row is not to be in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// The source does not say that this is what is to be found: ThreatExchange's `NEGATIVE_CLASS` (harmless) and `DISPUTED`.
    Unsought,
    /// A signal of another kind than the hashes that are read, such as a URL.
    OtherSignal,
}

/// How a file was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Every column, from the first; of a delimited file only.
    pub columns: Vec<ColumnUse>,
    /// A page names the next one, and none in the file is the last.
    pub more: bool,
}

/// What was made of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnUse {
    /// Its name in the header, where it can be nothing but a name; else empty.
    pub name: String,
    /// What it was read as, such as `pdq` or `id`; `None`: it was not read.
    pub used_as: Option<&'static str>,
}

/// The format of a file that begins like this; or why none is read.
pub fn recognise(head: &[u8]) -> Result<Format, FileError> {
    foreign::refuse(head)?;
    foreign::refuse_vpdq(head)?;
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

/// Refuses a file by its beginning that is not in the format that was named for it.
pub fn check_named(named: Format, head: &[u8]) -> Result<(), FileError> {
    foreign::refuse(head)?;
    match of_records(head).filter(|found| *found != named) {
        Some(found) => Err(FileError::Other { found, named }),
        None => Ok(()),
    }
}

/// A format of records, which none of lines could be taken for.
fn of_records(head: &[u8]) -> Option<Format> {
    if xml::root(head) == Some(ncmec::ROOT) {
        return Some(Format::NcmecXml);
    }
    if foreign::is_json(head) { of_json(head) } else { None }
}

/// Which format a JSON file is of, by the first name in it that only one has.
fn of_json(head: &[u8]) -> Option<Format> {
    const NAMES: [(&str, Format); 16] = [
        (bundle::NAME, Format::Bundle),
        ("hashRecords", Format::StopnciiJson),
        ("hasMoreRecords", Format::StopnciiJson),
        ("signalType", Format::StopnciiJson),
        ("hashValue", Format::StopnciiJson),
        ("hashStatus", Format::StopnciiJson),
        ("threat_updates", Format::ThreatexchangeJson),
        ("indicator", Format::ThreatexchangeJson),
        ("descriptors", Format::ThreatexchangeJson),
        ("should_delete", Format::ThreatexchangeJson),
        ("odata.metadata", Format::VicsJson),
        ("@odata.context", Format::VicsJson),
        ("MediaID", Format::VicsJson),
        ("Media", Format::VicsJson),
        ("MediaSize", Format::VicsJson),
        ("AlternativeHashes", Format::VicsJson),
    ];
    // What stands between two quotation marks and in front of a colon. An escaped mark hides a name or two and makes none up.
    let mut pieces = head.split(|byte| *byte == b'"').skip(1);
    while let (Some(name), Some(after)) = (pieces.next(), pieces.next()) {
        let known = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
        if let Some((_, format)) = known.filter(|_| after.trim_ascii_start().starts_with(b":")) {
            return Some(*format);
        }
    }
    None
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
        Format::NcmecXml => ncmec::read(input, each),
        Format::StopnciiJson => stopncii::read(input, each),
        Format::ThreatexchangeJson => threatexchange::read(input, each),
        Format::VicsJson => vics::read(input, each),
        // Whoever signed it: what depends on that reads bundles by themselves.
        Format::Bundle => bundle::read(input, &mut |_| Ok(()), each).map(|()| Layout::default()),
    }
}

/// A PDQ hash alone, as `pdq-text` gives it.
fn pdq_row(line: u64, hash: &str) -> Result<Row, String> {
    let hash = value::listed(HashKind::Pdq, hash).map_err(|e| e.to_string())?;
    Ok(Row { hashes: vec![hash], ..Row::at(0, line) })
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
        fn arbitrary_pieces_of_records_never_panic(
            pieces in proptest::collection::vec(
                prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\n", "\"value\":[", "\"id\":\"x\"", "\"MD5\":", "\"hashRecords\":[{",
                    "\"signalType\":\"pdq\",\"hashValue\":", "1", "null", P, "<queryResult>", "</queryResult>", "<image>", "</image>", "<id>a</id>",
                    "<member id='1'/>", "<fingerprints><pdq>", "</pdq></fingerprints>", "&amp;", "&x;", "<!--", "-->", "<![CDATA[", "]]>", "/>"]),
                0..60,
            )
        ) {
            read_whole(pieces.concat().as_bytes());
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
            let mut last = (0, 0);
            let _ = read(format, &Mapping::default(), &mut &bytes[..], &mut |row| {
                let (at, text) = match row {
                    Ok(row) => ((row.line, row.record), String::new()),
                    Err(e) => ((e.line, e.record), e.to_string()),
                };
                assert!(at > last, "lines and records go up");
                assert!(!text.contains(&P[..16]), "an error repeats a hash");
                last = at;
                ControlFlow::Continue(())
            })
            .inspect_err(|e| assert!(!e.to_string().contains(&P[..16]), "an error repeats a hash"));
        }
    }
}
