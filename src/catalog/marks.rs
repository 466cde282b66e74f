//! What is decided here about single entries: whether they match, and a note, whatever their sources say.
//!
//! A mark goes by the entry's id, so it outlives imports and roll-backs, and is there before an entry comes back. Setting one is a change that
//! look-ups see at once. One that ends by itself is taken off by the first that looks after its time: a server does so in the background.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::{Catalog, CatalogError, advance, now_ms, told};
use crate::entry::{Caller, ChangeOp, HashList, Mark, Marked};
use crate::snapshot::Snapshot;
use crate::store::Store;

impl Catalog {
    /// Marks an entry that the list has or that is marked already, or takes its mark off.
    pub fn set_mark(&self, by: &Caller, name: &str, id: &str, mark: Option<Mark>) -> Result<(), CatalogError> {
        if let Some(mark) = &mark {
            mark.check()?;
            if mark.until_ms.is_some_and(|until| until <= now_ms()) {
                return Err(CatalogError::Invalid("the mark would end in the past".to_owned()));
            }
        }
        let mut changed = None;
        self.commit(by, None, |store| {
            let list = self.find(name)?;
            let known = store.mark(list.id, id)?;
            let is_listed = || -> Result<bool, CatalogError> {
                let lineage = advance::lineage(store, list.id, list.active)?;
                Ok(store.id_history(list.id, id)?.in_version(&lineage).is_some())
            };
            if known.is_none() && (mark.is_none() || !is_listed()?) {
                let why = if mark.is_none() && is_listed()? { "the entry has no mark" } else { "the list has no such entry" };
                return Err(CatalogError::NoSuchEntry { list: name.to_owned(), id: id.to_owned(), why });
            }
            if known.map(|known| known.mark) == mark {
                return Ok(None);
            }
            let op = ChangeOp::SetMark { list: list.id, id: id.to_owned(), mark: mark.clone() };
            changed = Some(list);
            Ok(Some((op, Vec::new())))
        })?;
        if let Some(until) = mark.as_ref().and_then(|mark| mark.until_ms) {
            self.marks_due.fetch_min(until, Ordering::Relaxed);
        }
        if let Some(list) = changed {
            told::marked(by, &list, mark.as_ref());
        }
        Ok(())
    }

    /// Takes off the marks whose time is over.
    pub(super) fn expire_marks(&self) -> Result<(), CatalogError> {
        let now = now_ms();
        if self.marks_due.load(Ordering::Relaxed) > now {
            return Ok(());
        }
        // What is set from here on lowers it again.
        self.marks_due.store(u64::MAX, Ordering::Relaxed);
        let by = Caller("expiry".to_owned());
        let store = self.store();
        for list in store.lists()?.into_iter().filter(|list| list.marks_changed > 0) {
            for marked in store.marks(list.id)? {
                let Marked { id, mark, .. } = marked?;
                match mark.until_ms {
                    Some(until) if until <= now => self.expire_mark(&by, &list, id, &mark).inspect_err(|_| {
                        self.marks_due.fetch_min(until, Ordering::Relaxed);
                    })?,
                    Some(until) => _ = self.marks_due.fetch_min(until, Ordering::Relaxed),
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn expire_mark(&self, by: &Caller, list: &HashList, id: String, mark: &Mark) -> Result<(), CatalogError> {
        let mut expired = false;
        self.commit(by, None, |store| {
            // It may have been changed, or its list deleted, a moment ago.
            let now = store.mark(list.id, &id)?;
            expired = now.is_some_and(|now| now.mark == *mark);
            Ok(expired.then(|| (ChangeOp::SetMark { list: list.id, id, mark: None }, Vec::new())))
        })?;
        if expired {
            told::marked(by, list, None);
        }
        Ok(())
    }
}

/// Has a snapshot know the marks of a list as they are now.
pub fn load(store: &Store, list: &HashList, snapshot: &mut Snapshot) -> Result<(), CatalogError> {
    if snapshot.marks.are_current(list.id, list.marks_changed) {
        return Ok(());
    }
    let mut stopped = HashSet::new();
    for marked in store.marks(list.id)? {
        let Marked { id, mark, .. } = marked?;
        if mark.kind.stops() {
            stopped.insert(id.into_boxed_str());
        }
    }
    snapshot.marks.set(list.id, list.marks_changed, stopped);
    Ok(())
}
