//! Which versions are kept, and how does what they held leave the store?
//!
//! A list keeps its active version, the one before, its newest, a staged one that waits to be activated, and of the imports and
//! activations the newest [`Keep::versions_max`], as long as they are not older than [`Keep::version_days_max`]. Versions made by adding or
//! removing entries are many and do not count: they go, some at a time, but for [`Keep::edits_max`]. What a version held goes with it, where no other holds it:
//! rows, derived rows, the contents of its changes. What is left to do after a kill is done at the next start.

use super::columns::{self, Left, METADATA, SPAN};
use super::{Catalog, CatalogError, bk, lock, now_ms, stored};
use crate::entry::options::options;
use crate::entry::{Caller, ChangeOp, EntryNo, HashList, ListId, ListVersion, MadeBy, VersionNo, VersionState};
use crate::snapshot::Alive;
use crate::store::{DerivedPut, Store, StoreError};
use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};

/// So many versions that could go are left, so that not every edit drops one.
pub const EDITS_SPARE: usize = 16;
/// Versions that one change drops.
const DROPPED_MAX: usize = 1_000;
/// Bytes of rewritten chunks in one batch.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

options! {
    /// What is kept beside what is in use.
    #[derive(Copy, Eq)]
    pub struct Keep {
        /// Imports and activations of a list.
        pub versions_max: usize = 5, in 0..=10_000;
        /// Those older than so many days are not kept; 0 for no limit.
        pub version_days_max: u64 = 90, in 0..=36_500;
        /// Versions made by adding or removing entries, and records of imports that failed.
        #[serde(skip)]
        pub edits_max: usize = 0;
    }
}

impl Keep {
    /// Nothing is dropped, so that the store can tell every change it was made of.
    pub const ALL: Keep = Keep { versions_max: usize::MAX, version_days_max: 0, edits_max: usize::MAX };
}

/// What a compaction came to, in bytes of the store's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// The versions that go.
fn not_kept(list: &HashList, versions: &[ListVersion], keep: Keep, now_ms: u64) -> Vec<VersionNo> {
    let old = |v: &ListVersion| {
        keep.version_days_max > 0 && v.time_ms.saturating_add(keep.version_days_max.saturating_mul(24 * 3_600_000)) < now_ms
    };
    let import = |v: &ListVersion| v.state == VersionState::Sealed && v.made_by == MadeBy::Import;
    // It never answered: what answered is itself with the edits that were made meanwhile, and is an import as well.
    let parents: BTreeSet<VersionNo> = versions.iter().filter(|v| import(v) && v.activated).map(|v| v.parent).collect();
    let is_import = |v: &ListVersion| import(v) && (v.activated || !parents.contains(&v.version));
    let imports = versions.iter().rev().filter(|v| is_import(v) && !old(v)).take(keep.versions_max).map(|v| v.version);
    let edits = versions.iter().rev().filter(|v| !is_import(v) && !old(v)).take(keep.edits_max).map(|v| v.version);
    let activated = versions.iter().filter(|v| v.made_by == MadeBy::Import && v.activated).map(|v| v.version).max();
    let waits = |v: &&ListVersion| is_import(v) && !v.activated && Some(v.version) > activated;
    let staged = versions.iter().rev().find(waits).map(|v| v.version);
    let newest = versions.last().map(|v| v.version);
    let mut kept: BTreeSet<VersionNo> = [list.active, list.previous, list.head].into_iter().collect();
    kept.extend(imports.chain(edits).chain(staged).chain(newest));
    let goes = |v: &&ListVersion| v.state != VersionState::Staged && !kept.contains(&v.version);
    versions.iter().filter(goes).map(|v| v.version).collect()
}

impl Catalog {
    /// Drops a list's versions that are not kept, if there are more than `spare` of them, and what they held. Called after what was asked
    /// for is done: a failure is logged, and the next time finishes it. Does nothing while an import writes, which does it at its end.
    pub(super) fn retire(&self, list: ListId, spare: usize) {
        let Ok(rows) = self.rows.try_lock() else { return };
        if let Err(error) = self.try_to_retire(&rows, list, spare) {
            tracing::error!(%error, "not all expired versions could be removed; a later change tries again");
        }
    }

    fn try_to_retire(&self, rows: &MutexGuard<'_, ()>, list: ListId, spare: usize) -> Result<(), CatalogError> {
        if self.keep == Keep::ALL {
            return Ok(());
        }
        let by = Caller("retention".to_owned());
        let mut dropped = false;
        {
            // What is not kept now is active or previous a moment later, where this is not asked under the lock.
            let _write = self.lock();
            let Some(list) = self.store().list(list)? else { return Ok(()) };
            let going = not_kept(&list, &self.store().versions(list.id)?, self.keep, now_ms());
            if going.len() > spare {
                for versions in going.chunks(DROPPED_MAX) {
                    self.apply(&by, ChangeOp::Drop { list: list.id, versions: versions.to_vec() })?;
                    dropped = true;
                }
            }
        }
        // A server does it in the background: no call pays for what another one left.
        let due = self.published.is_none() && (dropped || self.store().sweep_due(list)?.is_some());
        if due { self.sweep(rows, list) } else { Ok(()) }
    }

    /// Removes what is in no version any more. Edits, which may have an entry back that no version holds, go on between two batches. Where
    /// an import begins, the rest is left for later.
    fn sweep(&self, _rows: &MutexGuard<'_, ()>, list: ListId) -> Result<(), CatalogError> {
        let store = self.store();
        let Some(span) = store.sweep_due(list)? else { return Ok(()) };
        let (mut gone, mut first) = (Alive::default(), EntryNo(u32::MAX));
        let swept = store.sweep(list, span, &|| self.sweep_turn(), &mut |entry| {
            gone.set(entry, true);
            first = first.min(entry);
        })?;
        if first.0 < u32::MAX {
            clear_columns(&store, list, first, &|entry| gone.contains(entry))?;
        }
        if swept {
            store.swept(list, span)?;
        }
        if first.0 < u32::MAX { self.shrink_trees() } else { Ok(()) }
    }

    /// Sweeps what is due, where neither an import nor a compaction is at work.
    pub(super) fn sweep_some(&self) {
        let Ok(rows) = self.rows.try_lock() else { return };
        let store = self.store();
        if store.writable().is_err() || Arc::strong_count(&self.begun) > 1 {
            return;
        }
        let due = store.sweeps_due().map_err(CatalogError::from);
        if let Err(error) = due.and_then(|due| due.iter().try_for_each(|list| self.sweep(&rows, *list))) {
            tracing::error!(%error, "what no version holds could not be removed; it is tried again later");
        }
    }

    /// The lock under which a batch is swept; none while an import has begun.
    fn sweep_turn(&self) -> Option<MutexGuard<'_, ()>> {
        let write = self.lock();
        (Arc::strong_count(&self.begun) == 1).then_some(write)
    }

    /// Finishes sweeps that were cut short. Which entries went before that is not known, so what is derived is held against the rows.
    pub(super) fn finish_sweeps(&self) -> Result<(), CatalogError> {
        let store = self.store();
        for list in store.sweeps_due()? {
            let Some(span) = store.sweep_due(list)? else { continue };
            let swept = store.sweep(list, span, &|| self.sweep_turn(), &mut |_| ())?;
            clear_orphans(&store, list)?;
            if swept {
                store.swept(list, span)?;
            }
        }
        Ok(())
    }

    /// A tree only grows: one that is mostly of hashes that are gone is made anew.
    fn shrink_trees(&self) -> Result<(), CatalogError> {
        let store = self.store();
        for kind in bk::KINDS {
            let Some(tree) = bk::tree(&store, kind)? else { continue };
            if tree.nodes as usize > 2 * stored::rows(&store, kind)? {
                let _commit = lock(&self.commit);
                bk::rebuild(&store, kind)?;
            }
        }
        Ok(())
    }

    /// Drops what is not kept, and writes the store's tables anew without what was deleted; the MANIFEST is made anew at the next
    /// opening. Imports wait.
    pub fn compact(&self, progress: &mut dyn FnMut(&'static str)) -> Result<Compacted, CatalogError> {
        let rows = lock(&self.rows);
        let store = self.store();
        let bytes_before = store.bytes().map_err(StoreError::from)?;
        for list in store.lists()? {
            self.try_to_retire(&rows, list.id, 0)?;
            clear_orphans(&store, list.id)?;
        }
        for kind in bk::KINDS {
            let _commit = lock(&self.commit);
            if bk::tree(&store, kind)?.is_some() {
                bk::rebuild(&store, kind)?;
            }
        }
        store.compact(progress)?;
        Ok(Compacted { bytes_before, bytes_after: store.bytes().map_err(StoreError::from)? })
    }
}

/// Takes a list's entries that have no row out of the columns: of versions that were swept, and of imports that were undone.
fn clear_orphans(store: &Store, list: ListId) -> Result<(), CatalogError> {
    // What is added meanwhile is later.
    let (mut there, end) = (Alive::default(), store.next_entry()?);
    for row in store.rows(list)? {
        there.set(row?.entry, true);
    }
    clear_columns(store, list, EntryNo(0), &|entry| entry < end && !there.contains(entry))
}

/// Takes a list's entries that are gone, none of them before `first`, out of the columns.
fn clear_columns(store: &Store, list: ListId, first: EntryNo, gone: &dyn Fn(EntryNo) -> bool) -> Result<(), CatalogError> {
    let first = EntryNo(first.0.saturating_sub(SPAN));
    for column in std::iter::once(METADATA).chain(columns::KINDS.map(|kind| kind as u8)) {
        let (mut puts, mut bytes) = (Vec::new(), 0);
        for chunk in store.columns_from(column, first)? {
            let (at, chunk) = chunk?;
            let left = columns::without(column, &chunk, list, gone);
            match left.ok_or_else(|| CatalogError::Damaged(format!("a chunk of column {column}")))? {
                Left::All => continue,
                Left::Nothing => puts.push(DerivedPut::NoColumn { kind: column, first: at }),
                Left::Some(left) => {
                    bytes += left.len();
                    puts.push(DerivedPut::Column { kind: column, first: at, bytes: left });
                }
            }
            if bytes > BATCH_BYTES {
                store.derived_put(&std::mem::take(&mut puts))?;
                bytes = 0;
            }
        }
        store.derived_put(&puts)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Lineage, ListPolicy, Polarity};

    const DAY_MS: u64 = 24 * 3_600_000;

    fn version(text: &str, number: u32) -> ListVersion {
        let (made_by, state, activated, age) = match text {
            "import" | "with-edits" => (MadeBy::Import, VersionState::Sealed, true, 0),
            "old" => (MadeBy::Import, VersionState::Sealed, true, 100),
            "staged" => (MadeBy::Import, VersionState::Sealed, false, 0),
            "edit" => (MadeBy::Edit, VersionState::Sealed, true, 0),
            "undone" => (MadeBy::Import, VersionState::Undone, false, 0),
            "writing" => (MadeBy::Import, VersionState::Staged, false, 0),
            other => panic!("{other}"),
        };
        ListVersion {
            list: ListId(1),
            version: VersionNo(number),
            parent: VersionNo(if text == "with-edits" { number - 1 } else { 0 }),
            lineage: Lineage::default(),
            state,
            rows: 1,
            digest: [0; 32],
            source: text.to_owned(),
            time_ms: (1_000 - age) * DAY_MS,
            made_by,
            activated,
        }
    }

    /// `versions` are numbered from 1; `going` are those that go, of a list with these active, previous and head versions.
    fn check(
        versions: &str,
        (active, previous, head): (u32, u32, u32),
        (versions_max, edits_max): (usize, usize),
        going: &[u32],
    ) {
        let all: Vec<_> = versions.split(' ').zip(1..).map(|(text, number)| version(text, number)).collect();
        let policy = ListPolicy::default_for(Polarity::Positive);
        let list = HashList {
            active: VersionNo(active),
            previous: VersionNo(previous),
            head: VersionNo(head),
            ..HashList::new(ListId(1), "known".to_owned(), Polarity::Positive, policy)
        };
        let goes = not_kept(&list, &all, Keep { versions_max, version_days_max: 90, edits_max }, 1_000 * DAY_MS);
        assert_eq!(goes.iter().map(|v| v.0).collect::<Vec<_>>(), going, "{versions}");
    }

    #[test]
    fn imports_count_and_what_is_in_use_stays() {
        check("import import import import", (4, 3, 4), (3, 0), &[1]);
        check("import import import import", (4, 3, 4), (0, 0), &[1, 2]);
        check("import edit edit edit edit", (5, 4, 5), (2, 0), &[2, 3]);
        check("old old import import", (4, 3, 4), (5, 0), &[1, 2]);
        check("old old old", (3, 2, 3), (5, 0), &[1]);
        // After a roll-back.
        check("import import import edit", (1, 3, 4), (1, 0), &[2]);
        // Staged, and then edited: what waits stays.
        check("import import staged edit edit", (5, 4, 5), (0, 0), &[1, 2]);
        check("import staged import edit", (4, 3, 4), (0, 0), &[1, 2]);
        check("import import edit staged", (3, 2, 4), (0, 0), &[1]);
        check("import undone import writing", (3, 1, 3), (0, 0), &[2]);
        check("import undone", (1, 0, 1), (0, 0), &[]);
        // An import, and on top of it the edits that were made meanwhile.
        check("import staged with-edits", (3, 1, 3), (5, 0), &[2]);
        // Edits, and imports that failed, are kept where that is asked for.
        check("import edit undone edit edit import", (6, 5, 6), (0, 3), &[1, 2]);
        check("import edit edit edit", (4, 3, 4), (0, usize::MAX), &[1]);
    }
}
