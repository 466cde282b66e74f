//! Which rows does no version hold any more?
//!
//! [`ChangeOp::Drop`](crate::entry::ChangeOp::Drop) takes versions' records; the rows that only those versions held go here, in as
//! many batches as it takes. Each leaves a consistent store: a row goes with its two deltas, and what is left of a version that is
//! kept is what it was. A note of the list stands in `meta` from the drop until the last of it is gone, so that a sweep that was cut
//! short is finished later.

use super::keys::{self, DeltaOp, Family};
use super::read::RawScan;
use super::{Store, StoreError};
use crate::entry::{EntryNo, ListId, VersionNo, VersionState};
use rocksdb::{WriteBatch, WriteOptions};
use std::collections::BTreeSet;

/// Rows in one batch.
const SWEEP_ROWS: u64 = 10_000;

impl Store {
    /// The lists that have versions dropped and not yet swept.
    pub fn sweeps_due(&self) -> Result<Vec<ListId>, StoreError> {
        let (from, to) = (keys::META_SWEEP.to_vec(), keys::sweep_key(ListId(u32::MAX)));
        let key = |key: &[u8], _: &[u8]| {
            let list = key.strip_prefix(keys::META_SWEEP).ok_or_else(|| Family::Meta.corrupt("a key is too short"))?;
            keys::number_u32(Family::Meta, list).map(ListId)
        };
        self.scan(Family::Meta, from, to, key)?.collect()
    }

    /// Removes the rows that no version holds. `removed` hears of each entry that has no row left: what is derived of it can go
    /// too. The list stays due until [`Store::swept`].
    pub fn sweep(&self, list: ListId, removed: &mut dyn FnMut(EntryNo)) -> Result<u64, StoreError> {
        let _writer = self.writer()?;
        self.writable()?;
        let Some((low, high)) = self.sweep_due(list)? else { return Ok(0) };
        let kept = self.versions_kept(list)?;
        // A row that was closed later was held by a version in between that is kept.
        let end = kept.range(high..).next().copied().unwrap_or(VersionNo(u32::MAX));
        // The rows as they stand now: later, a seek would wade through those that were deleted.
        let mut rows_now = self.raw(Family::Entries, keys::list_key(list).to_vec(), keys::list_end(list).to_vec())?;
        let (entries, deltas) = (self.family(Family::Entries)?, self.family(Family::Deltas)?);
        let (mut batch, mut rows) = (WriteBatch::default(), 0);
        for delta in self.deltas(list, low..=end)? {
            let delta = delta?;
            let DeltaOp::Closed { from } = delta.op else { continue };
            if holds(&kept, from, Some(delta.version)) {
                continue;
            }
            batch.delete_cf(&entries, keys::row_key(list, delta.entry, from));
            batch.delete_cf(&deltas, keys::delta_key(list, from, keys::OPENED, delta.entry));
            batch.delete_cf(&deltas, keys::delta_key(list, delta.version, keys::CLOSED, delta.entry));
            if !is_held(&mut rows_now, list, delta.entry, &kept)? {
                removed(delta.entry);
            }
            rows += 1;
            if rows % SWEEP_ROWS == 0 {
                self.write(std::mem::take(&mut batch), &WriteOptions::default())?;
            }
        }
        self.write(batch, &WriteOptions::default())?;
        Ok(rows)
    }

    /// All that is derived of the rows that were swept is gone too.
    pub fn swept(&self, list: ListId) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        let mut batch = WriteBatch::default();
        batch.delete_cf(&self.family(Family::Meta)?, keys::sweep_key(list));
        self.write(batch, &WriteOptions::default())
    }

    /// The lowest and the highest of the versions that were dropped.
    pub(super) fn sweep_due(&self, list: ListId) -> Result<Option<(VersionNo, VersionNo)>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Meta)?, keys::sweep_key(list))?;
        value.map(|bytes| keys::sweep(&bytes)).transpose()
    }

    /// The versions that can be active: a row that none of them holds is in nobody's way.
    fn versions_kept(&self, list: ListId) -> Result<BTreeSet<VersionNo>, StoreError> {
        let versions = self.versions(list)?.into_iter();
        Ok(versions.filter(|v| v.state == VersionState::Sealed).map(|v| v.version).collect())
    }
}

/// Whether one of the versions holds a row of this span.
fn holds(kept: &BTreeSet<VersionNo>, from: VersionNo, to: Option<VersionNo>) -> bool {
    to.is_none_or(|to| kept.range(from..to).next().is_some())
}

/// Whether one of the versions holds the entry, by any of its rows: it may have been closed and opened again.
fn is_held(rows: &mut RawScan<'_>, list: ListId, entry: EntryNo, kept: &BTreeSet<VersionNo>) -> Result<bool, StoreError> {
    let first = keys::row_key(list, entry, VersionNo(0));
    rows.seek(first);
    while let Some((key, value)) = rows.item().filter(|(key, _)| key.starts_with(&first[..8])) {
        let (_, row) = keys::row(key, value)?;
        if holds(kept, row.from, row.to) {
            return Ok(true);
        }
        rows.next();
    }
    rows.status()?;
    Ok(false)
}
