//! Which entries does no version hold any more?
//!
//! [`ChangeOp::Undo`](crate::entry::ChangeOp::Undo) and [`ChangeOp::Drop`](crate::entry::ChangeOp::Drop) take versions' records; the
//! entries that only those versions held go here, with their deltas, in as many batches as it takes. Changes go on between two batches.
//! Each batch leaves a consistent store: what a version that is kept or being written holds stays what it was. A note of the list
//! stands in `meta` until the last of it is gone, so that a sweep that was cut short is finished later.

use super::ids::{Deed, IdHistory};
use super::keys::{self, DeltaOp, Family};
use super::{Store, StoreError};
use crate::entry::{EntryNo, Lineage, ListId, VersionNo, VersionState};
use rocksdb::{WriteBatch, WriteOptions};
use std::collections::HashMap;
use std::sync::MutexGuard;

/// Deltas that are looked at in one batch: changes wait as long.
const SWEEP_DELTAS: usize = 2_000;

impl Store {
    /// The lists that have versions given up or dropped and not yet swept.
    pub fn sweeps_due(&self) -> Result<Vec<ListId>, StoreError> {
        let (from, to) = (keys::META_SWEEP.to_vec(), keys::sweep_key(ListId(u32::MAX)));
        let key = |key: &[u8], _: &[u8]| {
            let list = key.strip_prefix(keys::META_SWEEP).ok_or_else(|| Family::Meta.corrupt("a key is too short"))?;
            keys::number_u32(Family::Meta, list).map(ListId)
        };
        self.scan(Family::Meta, from, to, key)?.collect()
    }

    /// The lowest and the highest of the versions that were given up or dropped, where some were.
    pub fn sweep_due(&self, list: ListId) -> Result<Option<(VersionNo, VersionNo)>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Meta)?, keys::sweep_key(list))?;
        value.map(|bytes| keys::sweep(&bytes)).transpose()
    }

    /// Removes what no version holds of what [`Store::sweep_due`] says. `removed` hears of each entry that is gone: what is derived of
    /// it can go too. The list stays due until [`Store::swept`]. One sweep of a list at a time. What `turn` gives is held while a batch is
    /// made; where it gives none, the sweep ends, which is said.
    pub fn sweep<'t>(
        &self,
        list: ListId,
        (low, high): (VersionNo, VersionNo),
        turn: &dyn Fn() -> Option<MutexGuard<'t, ()>>,
        removed: &mut dyn FnMut(EntryNo),
    ) -> Result<bool, StoreError> {
        let mut sweep = |entries: &mut Vec<EntryNo>| match turn() {
            Some(_turn) => self.sweep_entries(list, entries, removed).map(|()| true),
            None => Ok(false),
        };
        let lineages = self.lineages(list)?;
        let is_live = |version| lineages.iter().any(|(_, lineage)| lineage.contains(version));
        // An entry that was closed later was held by a version in between that is kept.
        let ends = lineages.iter().map(|(last, lineage)| {
            let kept = lineages.iter().map(|(version, _)| *version).filter(|v| *v >= high && lineage.contains(*v));
            kept.min().unwrap_or(*last)
        });
        let end = ends.fold(high, VersionNo::max);
        let mut entries = Vec::with_capacity(SWEEP_DELTAS);
        for delta in self.deltas(list, low..=end)? {
            let delta = delta?;
            // What a live version opened is in it, or was closed by another.
            if delta.op != DeltaOp::Opened || !is_live(delta.version) {
                entries.push(delta.entry);
            }
            if entries.len() == SWEEP_DELTAS && !sweep(&mut entries)? {
                return Ok(false);
            }
        }
        sweep(&mut entries)
    }

    /// Removes those of the entries that no version holds, and of the others what no version needs.
    fn sweep_entries(
        &self,
        list: ListId,
        entries: &mut Vec<EntryNo>,
        removed: &mut dyn FnMut(EntryNo),
    ) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        self.writable()?;
        // As they are now: a version may have been begun meanwhile.
        let lineages = self.lineages(list)?;
        let (rows, ids, deltas) = (self.family(Family::Entries)?, self.family(Family::EntryIds)?, self.family(Family::Deltas)?);
        let details = self.family(Family::Details)?;
        let (mut batch, mut histories, mut gone) = (WriteBatch::default(), HashMap::new(), Vec::new());
        for number in entries.drain(..) {
            let Some(content) = self.entry(list, number)? else { continue };
            let key = keys::id_key(list, &self.id_form(&content.id));
            if !histories.contains_key(&key) {
                histories.insert(key.clone(), self.id_history(list, &content.id)?);
            }
            let Some(history) = histories.get_mut(&key) else { continue };
            let Some(entry) = history.entry(number) else { continue };
            let is_held = lineages.iter().any(|(_, lineage)| entry.is_in(lineage));
            let known = entry.clone();
            let mut goes = |(version, deed): &(VersionNo, Deed)| {
                let is_needed = match deed.op() {
                    DeltaOp::Described => known.is_last_said(*version, lineages.iter().map(|(_, lineage)| lineage)),
                    DeltaOp::Opened | DeltaOp::Closed => lineages.iter().any(|(_, lineage)| lineage.contains(*version)),
                };
                let goes = !is_held || !is_needed;
                if goes {
                    batch.delete_cf(&deltas, keys::delta_key(list, *version, deed.op(), number));
                }
                if goes && deed.op() == DeltaOp::Described {
                    batch.delete_cf(&details, keys::details_key(list, number, *version));
                }
                goes
            };
            entry.deltas.retain(|delta| !goes(delta));
            if !is_held {
                history.0.retain(|entry| entry.entry != number);
                batch.delete_cf(&rows, keys::row_key(list, number));
                gone.push(number);
            }
        }
        for (key, history) in histories {
            match history {
                IdHistory(entries) if entries.is_empty() => batch.delete_cf(&ids, key),
                history => batch.put_cf(&ids, key, history.encode()),
            }
        }
        self.write(batch, &WriteOptions::default())?;
        gone.iter().for_each(|number| removed(*number));
        Ok(())
    }

    /// All that is derived of what was swept is gone too. A list of which more became due meanwhile stays due.
    pub fn swept(&self, list: ListId, span: (VersionNo, VersionNo)) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        if self.sweep_due(list)? != Some(span) {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_cf(&self.family(Family::Meta)?, keys::sweep_key(list));
        self.write(batch, &WriteOptions::default())
    }

    /// The versions that are there, and those that are being written: what none of them holds is in nobody's way.
    fn lineages(&self, list: ListId) -> Result<Vec<(VersionNo, Lineage)>, StoreError> {
        let versions = self.versions(list)?.into_iter();
        Ok(versions.filter(|v| v.state != VersionState::Undone).map(|v| (v.version, v.lineage)).collect())
    }
}
