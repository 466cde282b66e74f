//! What do marks change of entries in look-ups? By id, so that it holds whatever version of their list answers; some are about certain contents of the id.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::entry::{Action, EntryNo, ListId};

/// Of all lists.
#[derive(Clone, Default)]
pub struct Marks {
    /// How often the marks of a list had changed.
    changed: BTreeMap<ListId, u64>,
    /// Of lists that have some.
    of: BTreeMap<ListId, Arc<ListMarks>>,
}

/// Of one list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListMarks {
    /// The ids of entries that do not match, and which of their contents do not; empty: none does.
    pub stopped: HashMap<Box<str>, Box<[EntryNo]>>,
    /// The strictest actions of the matches of others.
    pub capped: HashMap<Box<str>, Action>,
}

impl ListMarks {
    /// Whether this content of an id does not match.
    #[inline]
    pub fn stop(&self, id: &str, entry: EntryNo) -> bool {
        self.stopped.get(id).is_some_and(|contents| contents.is_empty() || contents.contains(&entry))
    }
}

impl Marks {
    /// Whether they are those of a list whose marks have changed so often.
    pub fn are_current(&self, list: ListId, changed: u64) -> bool {
        self.changed.get(&list).copied().unwrap_or(0) == changed
    }

    pub fn set(&mut self, list: ListId, changed: u64, marks: ListMarks) {
        self.changed.insert(list, changed);
        match marks.stopped.is_empty() && marks.capped.is_empty() {
            true => self.of.remove(&list),
            false => self.of.insert(list, Arc::new(marks)),
        };
    }

    pub fn forget(&mut self, list: ListId) {
        self.changed.remove(&list);
        self.of.remove(&list);
    }

    /// Of a list; `None` where no mark changes anything.
    #[inline]
    pub fn of(&self, list: ListId) -> Option<&ListMarks> {
        if self.of.is_empty() { None } else { self.of.get(&list).map(|marks| &**marks) }
    }
}
