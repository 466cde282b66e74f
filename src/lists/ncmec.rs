//! Which entries does a dump of the NCMEC Hash Sharing API, version 2, hold?
//!
//! `image` and `video` are entries, `deletedImage` and `deletedVideo` tombstones, wherever they stand in a `queryResult`. An entry's id is
//! `MEMBER/ID`: ids are unique for each member alone. The newest record of an id holds: pages are not in the order of time. Elements of
//! other names are passed over. A record that can't be read is an error, and reading goes on; XML that is not whole fails the file. Absent: fetching, and
//! checkpoints.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::ops::ControlFlow;

use super::draft::Draft;
use super::value::{check_text, signal_kind};
use super::xml::{self, Element, Place, Step};
use super::{FileError, Layout, ROW_BYTES_MAX, Row, RowError, time};
use crate::entry::shown::name_or_not;
use crate::entry::{ENTRY_ID_BYTES_MAX, Status, member_id};

pub(super) fn read(
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(Result<Row, RowError>) -> ControlFlow<()>,
) -> Result<Layout, FileError> {
    let mut dump = Dump::default();
    xml::walk(input, &mut |step, place| {
        match step {
            Step::Open(element) => dump.open(&element, place)?,
            Step::Text(text) => dump.text(text.as_deref(), place),
            Step::Close(element) => {
                if let Some(record) = dump.close(element.name()) {
                    return Ok(each(record.finish()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Layout { columns: Vec::new(), more: dump.nexts > 0 && dump.nexts >= dump.pages })
}

/// What a document is.
pub(super) const ROOT: &str = "queryResult";
/// Elements in which something is read.
const PARENTS: [&str; 4] = ["fingerprints", "feedback", "reasons", "members"];

/// Where the reader is.
#[derive(Default)]
struct Dump {
    /// The names of the open elements, where something is read inside of them; else "".
    path: Vec<&'static str>,
    /// The text of the innermost element.
    text: String,
    record: Option<Record>,
    records: u64,
    /// Documents, and those that name a next page.
    pages: u64,
    nexts: u64,
}

/// An entry or a tombstone, as far as it was read.
struct Record {
    draft: Draft,
    /// Open elements around its own.
    depth: usize,
    bytes: usize,
    is_video: bool,
    member: String,
    id: String,
    feedback: Feedback,
    /// The members who gave negative feedback, about any of the hashes.
    disputing: BTreeSet<String>,
}

/// What others say of an entry, of one kind and about one hash.
#[derive(Default)]
struct Feedback {
    about: String,
    reasons: Vec<String>,
    members: Vec<String>,
}

impl Dump {
    fn open(&mut self, element: &Element<'_>, place: Place) -> Result<(), FileError> {
        let name = element.name();
        if self.path.is_empty() && name != ROOT {
            let what = format!("the document is {}, and {ROOT} is expected", name_or_not(name));
            return Err(FileError::broken(place.line, what));
        }
        self.pages += u64::from(self.path.is_empty());
        self.text.clear();
        match &mut self.record {
            Some(record) => {
                record.grow(place.bytes);
                record.open(&self.path[record.depth + 1..], element);
            }
            None if ["image", "video", "deletedImage", "deletedVideo"].contains(&name) => {
                self.records += 1;
                let mut draft = Draft::new(self.records, place.line);
                draft.row.deleted = name.starts_with("deleted");
                draft.row.as_of = Some(0);
                self.record = Some(Record {
                    draft,
                    depth: place.depth,
                    bytes: place.bytes,
                    is_video: name.ends_with("ideo"),
                    member: String::new(),
                    id: String::new(),
                    feedback: Feedback::default(),
                    disputing: BTreeSet::new(),
                });
            }
            None => {}
        }
        self.path.push(PARENTS.iter().find(|parent| **parent == name).unwrap_or(&""));
        Ok(())
    }

    fn text(&mut self, text: Option<&str>, place: Place) {
        if let Some(record) = &mut self.record {
            record.grow(place.bytes);
            if text.is_none() {
                record.draft.refuse("it has an entity that XML does not know");
            }
            if record.is_too_long() {
                return;
            }
        }
        // Of texts outside of records only a few bytes matter.
        if self.record.is_some() || self.text.len() < ROW_BYTES_MAX {
            self.text.push_str(text.unwrap_or_default());
        }
    }

    /// The record that ends with this element.
    fn close(&mut self, name: &str) -> Option<Draft> {
        self.path.pop();
        let ended = match &mut self.record {
            Some(record) if self.path.len() == record.depth => self.record.take().map(Record::finish),
            Some(record) if record.is_too_long() => None,
            Some(record) => {
                record.close(&self.path[record.depth + 1..], name, self.text.trim());
                None
            }
            None => {
                self.nexts += u64::from(name == "next" && !self.text.trim().is_empty());
                None
            }
        };
        self.text.clear();
        ended
    }
}

impl Record {
    fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.is_too_long() {
            self.draft.refuse(format!("longer than {ROW_BYTES_MAX} bytes"));
        }
    }

    fn is_too_long(&self) -> bool {
        self.bytes > ROW_BYTES_MAX
    }

    /// An element within the record's `inside`.
    fn open(&mut self, inside: &[&str], element: &Element<'_>) {
        match (inside, element.name()) {
            ([], "member") => match element.attribute("id") {
                Some(member) if !self.member.is_empty() && self.member != member => self.draft.refuse("it has two members"),
                Some(member) => self.member = member,
                None => {}
            },
            (["fingerprints"], name) => {
                if let Some(href) = element.attribute("href") {
                    self.draft.keep(&format!("{name} href"), &href);
                }
            }
            (["feedback"], _) => {
                self.feedback = Feedback { about: element.attribute("type").unwrap_or_default(), ..Feedback::default() };
            }
            (["feedback", _, "reasons"], "reason") => {
                self.feedback.reasons.extend(element.attribute("name").filter(|name| !name.is_empty()));
            }
            (["feedback", _, "members"], "member") => self.feedback.members.extend(element.attribute("id")),
            _ => {}
        }
    }

    /// The end of element `name` within `inside`, with its text.
    fn close(&mut self, inside: &[&str], name: &str, text: &str) {
        match (inside, name) {
            ([], "id") if !self.id.is_empty() => self.draft.refuse("it has two ids"),
            ([], "id") => self.id = text.to_owned(),
            ([], "member") => self.draft.keep("member", text),
            ([], "classification") if !self.draft.row.category.is_empty() => self.draft.refuse("it has two classifications"),
            ([], "classification") => self.draft.row.category = text.to_owned(),
            ([], "timestamp") => {
                self.draft.row.as_of = Some(time::read(text).unwrap_or(0));
                self.draft.row.details.updated = text.to_owned();
            }
            (["fingerprints"], name) => {
                if let Some(kind) = signal_kind(name) {
                    self.draft.hash(kind, text, kind.name());
                }
            }
            (["feedback", _, "members"], "member") => {
                if let Some(member) = self.feedback.members.last_mut().filter(|_| !text.is_empty()) {
                    *member = format!("{member} {text}");
                }
            }
            (["feedback"], name) => {
                if name == "negativeFeedback" {
                    self.draft.row.status = Status::Disputed;
                    let ids = self.feedback.members.iter().map(|member| member.split(' ').next().unwrap_or_default().to_owned());
                    self.disputing.extend(ids);
                }
                let said = std::mem::take(&mut self.feedback).in_words();
                self.draft.keep(name, &said);
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Draft {
        let named = [("member id", &self.member), ("id", &self.id)].map(|(what, text)| match text.is_empty() {
            true => Err(format!("no {what}")),
            false => check_text(what, text, ENTRY_ID_BYTES_MAX),
        });
        named.into_iter().filter_map(Result::err).for_each(|bad| self.draft.refuse(bad));
        self.draft.row.id = Some(member_id(&self.member, &self.id));
        self.draft.row.disputed_by = self.disputing.len() as u32;
        if self.draft.row.deleted {
            self.draft.row.hashes.clear();
        }
        if self.is_video {
            self.draft.keep("media", "video");
        }
        self.draft
    }
}

impl Feedback {
    /// Such as `Md5: wrong category (members 7 Example, 8 Other)`.
    fn in_words(self) -> String {
        let members = match self.members.is_empty() {
            true => String::new(),
            false => format!("(members {})", self.members.join(", ")),
        };
        let about = if self.about.is_empty() { String::new() } else { format!("{}:", self.about) };
        let said = [about, self.reasons.join(", "), members];
        let said: Vec<_> = said.into_iter().filter(|part| !part.is_empty()).collect();
        if said.is_empty() { "given".to_owned() } else { said.join(" ") }
    }
}
