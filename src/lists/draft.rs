//! What is a record of XML or JSON as a row?
//!
//! Such a record names what it holds, piece by piece. A [`Draft`] gathers the pieces and keeps to what holds for every row: it is taken
//! whole, or it is an error that repeats no hash.

use std::io::BufRead;
use std::ops::ControlFlow;

use super::json::{self, Object, Shape};
use super::value::{self, check_text};
use super::{FileError, Layout, LeftOut, Row, RowError};
use crate::entry::shown::{is_name, is_visible};
use crate::entry::{BadValue, CATEGORY_BYTES_MAX, ENTRY_HASHES_MAX, ENTRY_ID_BYTES_MAX, HashKind, HashValue};

/// Longest name of a field that is kept, in characters.
pub(super) const FIELD_NAME_CHARS_MAX: usize = 64;

pub(super) struct Draft {
    pub row: Row,
    bad: Option<String>,
    /// What is bad is a hash.
    bad_hash: bool,
}

/// The rows of a JSON file. `fill` reads a record, and hears whether it stood in another one.
pub(super) fn from_json(
    shape: &Shape,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
    fill: impl Fn(&mut Draft, &Object, bool),
) -> Result<Layout, FileError> {
    let more = json::records(shape, input, &mut |record| {
        let mut draft = Draft::new(record.number, record.line);
        match &record.object {
            Ok(object) => fill(&mut draft, object, record.nested),
            Err(bad) => draft.refuse(bad),
        }
        each(draft.finish())
    })?;
    Ok(Layout { columns: Vec::new(), more })
}

impl Draft {
    pub fn new(record: u64, line: u64) -> Self {
        Draft { row: Row::at(record, line), bad: None, bad_hash: false }
    }

    /// Makes the row an error; the first reason is the one that is told.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        self.bad.get_or_insert_with(|| reason.into());
    }

    /// A hash of a known kind; nothing where the text is empty.
    pub fn hash(&mut self, kind: HashKind, text: &str, at: &str) {
        if text.is_empty() {
            return;
        }
        let read = match kind {
            HashKind::PhotoDna => self.photo_dna(text, at),
            kind => value::listed(kind, text).map(Some),
        };
        match read {
            Ok(hash) => self.row.hashes.extend(hash),
            Err(bad) => {
                self.bad_hash |= self.bad.is_none();
                self.refuse(format!("{at}: {bad}"));
            }
        }
    }

    /// How a PhotoDNA hash is written is public nowhere. What can't be read is kept for people, and the row's other hashes hold.
    fn photo_dna(&mut self, text: &str, at: &str) -> Result<Option<HashValue>, BadValue> {
        let Some(hash) = value::photo_dna(text) else {
            self.keep(at, text);
            return Ok(None);
        };
        hash.check_real().map(|()| Some(hash))
    }

    /// A name and a value that mean nothing here.
    pub fn keep(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let name = match is_name(name) && !name.is_empty() {
            true => name.chars().take(FIELD_NAME_CHARS_MAX).collect(),
            false => format!("field {}", self.row.details.fields.len() + 1),
        };
        self.row.details.fields.push((name, value.to_owned()));
    }

    pub fn finish(mut self) -> Result<Row, RowError> {
        self.check();
        let Row { line, record, .. } = self.row;
        match self.bad {
            None => Ok(self.row),
            Some(reason) => {
                let loses_hashes = self.bad_hash && !self.row.hashes.is_empty();
                let more = if loses_hashes { "; the row's other hashes are rejected too" } else { "" };
                Err(RowError { line, record, reason: reason + more, loses_hashes })
            }
        }
    }

    fn check(&mut self) {
        let Row { id, category, hashes, deleted, left_out, .. } = &self.row;
        let named = id.as_deref().unwrap_or_default();
        let bad = if let Err(bad) =
            check_text("id", named, ENTRY_ID_BYTES_MAX).and_then(|()| check_text("category", category, CATEGORY_BYTES_MAX))
        {
            bad
        } else if id.is_some() && !deleted && !is_visible(named) {
            "the id has no visible character".to_owned()
        } else if hashes.len() > ENTRY_HASHES_MAX {
            format!("{} hashes; an entry has at most {ENTRY_HASHES_MAX}", hashes.len())
        } else if hashes.is_empty() && *left_out != Some(LeftOut::OtherSignal) && (!deleted || named.is_empty()) {
            "no hash".to_owned()
        } else {
            return;
        };
        self.refuse(bad);
    }
}
