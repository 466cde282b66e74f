//! Which entries does a mark take out of look-ups? By id, so that they stay out whatever version of their list answers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::entry::ListId;

/// Of all lists.
#[derive(Clone, Default)]
pub struct Marks {
    /// How often the marks of a list had changed.
    changed: BTreeMap<ListId, u64>,
    /// The ids of a list's entries that do not match; of lists that have some.
    stopped: BTreeMap<ListId, Arc<HashSet<Box<str>>>>,
}

impl Marks {
    /// Whether they are those of a list whose marks have changed so often.
    pub fn are_current(&self, list: ListId, changed: u64) -> bool {
        self.changed.get(&list).copied().unwrap_or(0) == changed
    }

    pub fn set(&mut self, list: ListId, changed: u64, stopped: HashSet<Box<str>>) {
        self.changed.insert(list, changed);
        match stopped.is_empty() {
            true => self.stopped.remove(&list),
            false => self.stopped.insert(list, Arc::new(stopped)),
        };
    }

    pub fn forget(&mut self, list: ListId) {
        self.changed.remove(&list);
        self.stopped.remove(&list);
    }

    /// Of a list; `None` where no mark takes one out.
    #[inline]
    pub fn stopped(&self, list: ListId) -> Option<&HashSet<Box<str>>> {
        if self.stopped.is_empty() { None } else { self.stopped.get(&list).map(|ids| &**ids) }
    }
}
