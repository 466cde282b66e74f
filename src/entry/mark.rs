//! What is said of an entry here, whatever its sources send.

use std::fmt;

use super::action::Action;
use super::{BadValue, EntryNo};

/// What was decided here about an entry. It goes by the entry's id, so it outlives imports and roll-backs. One that a check set is about the contents
/// that it looked at alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub kind: MarkKind,
    /// When it ends, ms since the Unix epoch; `None`: when it is taken off.
    pub until_ms: Option<u64>,
    /// Why, for people to read. At most [`MARK_NOTE_BYTES_MAX`] bytes, no control characters.
    pub note: String,
    /// The contents of the id that it is about, rising; empty: whatever content the id has.
    pub contents: Vec<EntryNo>,
}

/// The numbers are part of the store's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MarkKind {
    /// A note alone.
    Noted = 1,
    /// A person took the entry out: it does not match.
    Disabled = 2,
    /// A check took it out until a person has looked at it: it does not match.
    Quarantined = 3,
    /// Its matches ask for OBSERVE at most, but those by digest: they are of the same bytes.
    ObserveOnly = 4,
    /// Its matches ask for REVIEW at most.
    ReviewOnly = 5,
}

pub const MARK_NOTE_BYTES_MAX: usize = 1_024;
/// What RFC 3339 can't say any more.
const YEAR_10000_MS: u64 = 253_402_300_800_000;
/// Marks of one list.
pub const MARKS_MAX: usize = 100_000;

impl MarkKind {
    pub const ALL: [MarkKind; 5] =
        [MarkKind::Noted, MarkKind::Disabled, MarkKind::Quarantined, MarkKind::ObserveOnly, MarkKind::ReviewOnly];

    pub fn name(self) -> &'static str {
        match self {
            MarkKind::Noted => "NOTED",
            MarkKind::Disabled => "DISABLED",
            MarkKind::Quarantined => "QUARANTINED",
            MarkKind::ObserveOnly => "OBSERVE_ONLY",
            MarkKind::ReviewOnly => "REVIEW_ONLY",
        }
    }

    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == n)
    }

    /// Whether look-ups pass the entry over.
    pub fn stops(self) -> bool {
        matches!(self, MarkKind::Disabled | MarkKind::Quarantined)
    }

    /// The strictest action of the entry's matches; `None` where the mark sets none.
    pub fn action_max(self) -> Option<Action> {
        match self {
            MarkKind::ObserveOnly => Some(Action::Observe),
            MarkKind::ReviewOnly => Some(Action::Review),
            MarkKind::Noted | MarkKind::Disabled | MarkKind::Quarantined => None,
        }
    }

    /// The mark that bounds the action of an entry's matches; `None` for BLOCK, which bounds nothing.
    pub fn capping(action: Action) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.action_max() == Some(action))
    }
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Mark {
    /// Whether it is about this content of its id.
    pub fn is_about(&self, entry: EntryNo) -> bool {
        self.contents.is_empty() || self.contents.contains(&entry)
    }

    pub fn check(&self) -> Result<(), BadValue> {
        if self.note.len() > MARK_NOTE_BYTES_MAX || self.note.chars().any(char::is_control) {
            return Err(BadValue(format!("a note has at most {MARK_NOTE_BYTES_MAX} bytes and no control characters")));
        }
        if self.until_ms.is_some_and(|until| until >= YEAR_10000_MS) {
            return Err(BadValue("a mark ends before the year 10000, or when it is taken off".to_owned()));
        }
        Ok(())
    }
}

/// A mark as it is kept: on what, and who set it when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    pub id: String,
    pub mark: Mark,
    pub by: String,
    pub time_ms: u64,
}
