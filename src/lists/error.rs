//! Why can a row, or a whole file, not be read?
//!
//! Invariant: no text repeats a hash or what is left of one; a field is shown only where it can be nothing but a name.

use std::borrow::Cow;
use std::io;

use super::Format;
use super::bounded::TooLong;
use super::unpack::Unread;
use crate::entry::shown::{escaped, in_words, without_hashes};

/// A row that could not be read, and why, in words that never repeat a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", at(*.record, *.line))]
pub struct RowError {
    pub line: u64,
    /// See [`super::Row::record`].
    pub record: u64,
    pub reason: String,
    /// One of the row's hashes could not be read and another could: that one is not taken either, as a row is taken whole or not at all.
    pub loses_hashes: bool,
}

/// Where a row stands, in words: `line 3`, or `record 2 (line 3)` in a format of records.
pub fn at(record: u64, line: u64) -> String {
    match record {
        0 => format!("line {line}"),
        record => format!("record {record} (line {line})"),
    }
}

/// Why a file fails as a whole. Rows handed over before it count for nothing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("reading failed: {}", in_words(.0))]
    Io(io::Error),
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
    #[error("the file looks like {found}, and {named} was named as its format")]
    Other { found: Format, named: Format },
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
    #[error(transparent)]
    Unread(Unread),
    /// A member of an archive fails, and the archive with it.
    #[error("{}: {error}", without_hashes(&escaped(.name)))]
    Member { name: String, error: Box<FileError> },
    /// XML or JSON that is damaged or cut short: what follows can't be told apart.
    #[error("line {line}: {what}")]
    Broken { line: u64, what: Cow<'static, str> },
    /// A bundle that is not taken as it is.
    #[error("{0}")]
    Bundle(String),
}

impl FileError {
    pub(super) fn broken(line: u64, what: impl Into<Cow<'static, str>>) -> Self {
        FileError::Broken { line, what: what.into() }
    }

    /// What stopped a reader that counts its lines.
    pub(super) fn reading(line: u64, error: &io::Error) -> Self {
        let inner = error.get_ref();
        if inner.is_some_and(|inner| inner.is::<TooLong>()) {
            return Self::broken(line, TooLong.to_string());
        }
        match inner.and_then(|inner| inner.downcast_ref::<Unread>()) {
            Some(unread) => FileError::Unread(unread.clone()),
            None => FileError::Io(io::Error::new(error.kind(), in_words(error))),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Unread>()) {
            Some(unread) => FileError::Unread(unread.clone()),
            None => FileError::Io(error),
        }
    }
}

fn unclosed(from: u64, to: u64) -> String {
    match to > from {
        true => {
            format!("a quotation mark on line {from} is not closed on that line; the rows down to line {to} would be lost in it")
        }
        false => format!("a quotation mark on line {from} is not closed"),
    }
}
