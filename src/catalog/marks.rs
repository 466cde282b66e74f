//! What is decided here about single entries: whether they match, and a note, whatever their sources say.
//!
//! A mark goes by the entry's id, so it outlives imports and roll-backs, and is there before an entry comes back. One that a check set is about
//! certain contents of the id alone. Setting one is a change that
//! look-ups see at once. One that ends by itself is taken off by the first that looks after its time: a server does so in the background.

use std::sync::atomic::Ordering;

use super::{Catalog, CatalogError, advance, health, lock, now_ms, told};
use crate::entry::{Action, Caller, ChangeOp, HashList, ListId, MARK_NOTE_BYTES_MAX, Mark, MarkKind, Marked};
use crate::snapshot::{ListMarks, Snapshot};
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
            // What a check found is not to be quarantined for it again.
            let released = known.as_ref().filter(|known| mark.is_none() && health::is_own(known)).map(health::released);
            let mark = match (mark.clone(), &known) {
                (Some(mark), Some(known)) => Some(marked_anew(known, mark)?),
                (mark, _) => mark,
            };
            let mark = mark.or_else(|| released.clone());
            if known.map(|known| known.mark) == mark {
                return Ok(None);
            }
            let op = ChangeOp::SetMark { list: list.id, id: id.to_owned(), mark };
            changed = Some((list, released));
            Ok(Some((op, Vec::new())))
        })?;
        if let Some(until) = mark.as_ref().and_then(|mark| mark.until_ms) {
            self.marks_due.fetch_min(until, Ordering::Relaxed);
        }
        if let Some((list, released)) = changed {
            told::marked(by, &list, mark.as_ref().or(released.as_ref()));
        }
        Ok(())
    }

    /// Bounds the action of an entry's matches, as it matches far more often than it did. False where a mark keeps it from that: one that takes it out or
    /// bounds it, or the note that is left where somebody took such a bound off. Another note stays with the bound.
    pub fn cap_flooding(&self, name: &str, id: &str, action: Action, note: &str) -> Result<bool, CatalogError> {
        let by = Caller("flood breaker".to_owned());
        let Some(kind) = MarkKind::capping(action) else { return Ok(false) };
        let mut mark = Mark { contents: Vec::new(), kind, until_ms: None, note: format!("{FLOOD}{note}") };
        mark.check()?;
        let mut capped = None;
        self.commit(&by, None, |store| {
            let list = self.find(name)?;
            match store.mark(list.id, id)? {
                Some(known) if known.mark.kind == MarkKind::Noted && !known.mark.note.starts_with(FLOOD) => {
                    mark.note = format!("{}; {}", mark.note, known.mark.note);
                    mark.note.truncate(mark.note.floor_char_boundary(MARK_NOTE_BYTES_MAX));
                }
                Some(_) => return Ok(None),
                None => {}
            }
            let op = ChangeOp::SetMark { list: list.id, id: id.to_owned(), mark: Some(mark.clone()) };
            capped = Some(list);
            Ok(Some((op, Vec::new())))
        })?;
        if let Some(list) = &capped {
            told::marked(&by, list, Some(&mark));
        }
        Ok(capped.is_some())
    }

    /// Takes off marks whose time is over, some at a time. Look-ups see what became of all of them at once: each is a change of its own,
    /// and the snapshot is made after the last.
    pub(super) fn expire_marks(&self) -> Result<(), CatalogError> {
        let now = now_ms();
        if self.marks_due.load(Ordering::Relaxed) > now {
            return Ok(());
        }
        // What is set from here on lowers it again.
        self.marks_due.store(u64::MAX, Ordering::Relaxed);
        let by = Caller("expiry".to_owned());
        let expired = self.expire_some(&by, now);
        if expired.is_err() {
            self.marks_due.fetch_min(now, Ordering::Relaxed);
        }
        expired
    }

    fn expire_some(&self, by: &Caller, now: u64) -> Result<(), CatalogError> {
        let commit = lock(&self.commit);
        let mut last = None;
        let expired = self.expire_into(&mut last, by, now);
        // Also where one of them failed.
        last.map_or(Ok(()), |seq| self.follow(&commit, seq, None)).and(expired)
    }

    /// `last` is the number of the last change that was made. Called under the lock for commits.
    fn expire_into(&self, last: &mut Option<u64>, by: &Caller, now: u64) -> Result<(), CatalogError> {
        let (store, mut left) = (self.store(), EXPIRED_MAX);
        for list in store.lists()?.into_iter().filter(|list| list.marks_changed > 0) {
            for marked in store.marks(list.id)? {
                let Marked { id, mark, .. } = marked?;
                let Some(until) = mark.until_ms else { continue };
                if until > now || left == 0 {
                    self.marks_due.fetch_min(until, Ordering::Relaxed);
                    continue;
                }
                left -= 1;
                // The note stays.
                let mark = (!mark.note.is_empty()).then_some(Mark {
                    contents: Vec::new(),
                    kind: MarkKind::Noted,
                    until_ms: None,
                    note: mark.note,
                });
                *last = Some(self.apply_with(by, ChangeOp::SetMark { list: list.id, id, mark }, &[])?);
                told::marked(by, &list, None);
            }
        }
        Ok(())
    }
}

/// What becomes of a mark that a person sets where a check had set one: the quarantine goes on, and its reason stays.
fn marked_anew(known: &Marked, mark: Mark) -> Result<Mark, CatalogError> {
    if known.mark.kind != MarkKind::Quarantined || known.mark.contents.is_empty() {
        return Ok(mark);
    }
    if mark.kind != MarkKind::Quarantined && mark.until_ms.is_some() {
        let why =
            "the entry is quarantined, and would match once the time is over: enable it first, or disable it without an end";
        return Err(CatalogError::Invalid(why.to_owned()));
    }
    if mark.kind != MarkKind::Quarantined {
        return Ok(mark);
    }
    let mut note = match mark.note.is_empty() || mark.note == known.mark.note {
        true => known.mark.note.clone(),
        false => format!("{}; {}", mark.note, known.mark.note),
    };
    note.truncate(note.floor_char_boundary(MARK_NOTE_BYTES_MAX));
    Ok(Mark { note, contents: known.mark.contents.clone(), ..mark })
}

/// How the note of an entry begins that was bounded because it matched far too often.
const FLOOD: &str = "flood: ";
/// Marks that are taken off at a time: changes wait as long.
const EXPIRED_MAX: usize = 200;

/// What the marks of a list change in look-ups.
pub fn in_force(store: &Store, list: ListId) -> Result<ListMarks, CatalogError> {
    let mut marks = ListMarks::default();
    for marked in store.marks(list)? {
        let Marked { id, mark, .. } = marked?;
        if mark.kind.stops() {
            marks.stopped.insert(id.into_boxed_str(), mark.contents.into_boxed_slice());
        } else if let Some(action) = mark.kind.action_max() {
            marks.capped.insert(id.into_boxed_str(), action);
        }
    }
    Ok(marks)
}

/// Has a snapshot know the marks of a list as they are now.
pub fn load(store: &Store, list: &HashList, snapshot: &mut Snapshot) -> Result<(), CatalogError> {
    if !snapshot.marks.are_current(list.id, list.marks_changed) {
        snapshot.marks.set(list.id, list.marks_changed, in_force(store, list.id)?);
    }
    Ok(())
}
