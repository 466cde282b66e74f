//! What does the store hold?
//!
//! Iterators come in key order, see the state of the moment they were made, and end in an error, once, where RocksDB reports
//! one: an error is never mistaken for the end. Nothing here writes.

use super::ids::{Brief, IdHistory};
use super::keys::{self, BkRow, Delta, Family, Row};
use super::{Store, StoreError, meta, wire};
use crate::entry::{Details, Entry, EntryNo, HashList, ListId, ListVersion, Marked, VersionNo};
use rocksdb::{DBRawIteratorWithThreadMode, ReadOptions};
use std::ops::RangeInclusive;

impl Store {
    /// The number of the last change; 0 before the first.
    pub fn seq(&self) -> Result<u64, StoreError> {
        match meta::value(&self.db, keys::META_SEQ)? {
            Some(bytes) => keys::number_u64(Family::Meta, &bytes),
            None => Err(Family::Meta.corrupt("the last change's number is missing")),
        }
    }

    /// SHA-256 of the last change's header: who keeps it elsewhere can tell later that no history was altered.
    pub fn chain_digest(&self) -> Result<[u8; 32], StoreError> {
        let bytes = meta::value(&self.db, keys::META_CHAIN)?;
        bytes.and_then(|b| b.try_into().ok()).ok_or_else(|| Family::Meta.corrupt("the last change's digest is missing"))
    }

    /// The number that the next new entry must take.
    pub fn next_entry(&self) -> Result<EntryNo, StoreError> {
        meta::number(&self.db, keys::META_NEXT_ENTRY).map(EntryNo)
    }

    /// The number that the next list must take.
    pub fn next_list(&self) -> Result<ListId, StoreError> {
        meta::number(&self.db, keys::META_NEXT_LIST).map(ListId)
    }

    pub fn lists(&self) -> Result<Vec<HashList>, StoreError> {
        self.scan(Family::Lists, Vec::new(), Vec::new(), |key, value| {
            wire::read_list(ListId(keys::number_u32(Family::Lists, key)?), value)
        })?
        .collect()
    }

    pub fn list(&self, list: ListId) -> Result<Option<HashList>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Lists)?, keys::list_key(list))?;
        value.map(|bytes| wire::read_list(list, &bytes)).transpose()
    }

    pub fn list_by_name(&self, name: &str) -> Result<Option<HashList>, StoreError> {
        Ok(self.lists()?.into_iter().find(|list| list.name == name))
    }

    /// Every version that is kept, undone ones too, in order.
    pub fn versions(&self, list: ListId) -> Result<Vec<ListVersion>, StoreError> {
        self.scan(Family::Versions, keys::list_key(list).to_vec(), keys::list_end(list).to_vec(), |key, value| {
            let n = keys::number_u64(Family::Versions, key)?;
            wire::read_version(ListId((n >> 32) as u32), VersionNo(n as u32), value)
        })?
        .collect()
    }

    pub fn version(&self, list: ListId, version: VersionNo) -> Result<Option<ListVersion>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Versions)?, keys::version_key(list, version))?;
        value.map(|bytes| wire::read_version(list, version, &bytes)).transpose()
    }

    /// The newest version, whatever its state.
    pub fn version_last(&self, list: ListId) -> Result<Option<ListVersion>, StoreError> {
        let mut raw = self.raw(Family::Versions, keys::list_key(list).to_vec(), keys::list_end(list).to_vec())?;
        raw.seek_to_last();
        let Some((key, value)) = raw.item() else {
            raw.status()?;
            return Ok(None);
        };
        let n = keys::number_u64(Family::Versions, key)?;
        wire::read_version(list, VersionNo(n as u32), value).map(Some)
    }

    /// What the list's changes say of a source id; nothing of one that it never had.
    pub fn id_history(&self, list: ListId, id: &str) -> Result<IdHistory, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::EntryIds)?, keys::id_key(list, &self.id_form(id)))?;
        value.map_or_else(|| Ok(IdHistory::default()), |bytes| IdHistory::decode(&bytes))
    }

    /// All ids of the list, by their form ([`Store::id_form`]) in byte order.
    pub fn ids(&self, list: ListId) -> Result<Scan<'_, (Vec<u8>, IdHistory)>, StoreError> {
        self.scan(Family::EntryIds, keys::list_key(list).to_vec(), keys::list_end(list).to_vec(), |key, value| {
            Ok((keys::id_form(key)?.to_vec(), IdHistory::decode(value)?))
        })
    }

    /// What an entry's number names; `None` where no version of the list that is kept holds it.
    pub fn entry(&self, list: ListId, entry: EntryNo) -> Result<Option<Entry>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Entries)?, keys::row_key(list, entry))?;
        value.map(|bytes| keys::content(&bytes)).transpose()
    }

    /// What is said of an entry, where `brief` has it from.
    pub fn details(&self, list: ListId, entry: EntryNo, brief: &Brief) -> Result<Details, StoreError> {
        if brief.details == [0; 16] {
            return Ok(Details::default());
        }
        let value = self.db.get_pinned_cf(&self.family(Family::Details)?, keys::details_key(list, entry, brief.version))?;
        wire::read_details(&value.ok_or_else(|| Family::Details.corrupt("an entry's details are missing"))?)
    }

    /// The marks of a list's entries, by the form of their ids.
    pub fn marks(&self, list: ListId) -> Result<Scan<'_, Marked>, StoreError> {
        let (from, to) = (keys::list_key(list).to_vec(), keys::list_end(list).to_vec());
        self.scan(Family::Marks, from, to, |_, value| wire::read_marked(value))
    }

    pub fn mark(&self, list: ListId, id: &str) -> Result<Option<Marked>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Marks)?, keys::id_key(list, &self.id_form(id)))?;
        value.map(|bytes| wire::read_marked(&bytes)).transpose()
    }

    /// Every entry of a list, of all versions, by number.
    pub fn rows(&self, list: ListId) -> Result<Scan<'_, Row>, StoreError> {
        self.scan(Family::Entries, keys::list_key(list).to_vec(), keys::list_end(list).to_vec(), keys::row)
    }

    /// Whether nothing is left, and nothing is being written, of the versions between two.
    pub(super) fn is_void(&self, list: ListId, after: VersionNo, before: VersionNo) -> Result<bool, StoreError> {
        let (from, to) = (keys::version_key(list, VersionNo(after.0 + 1)).to_vec(), keys::version_key(list, before).to_vec());
        for family in [Family::Versions, Family::Deltas] {
            let mut raw = self.raw(family, from.clone(), to.clone())?;
            raw.seek_to_first();
            if raw.valid() {
                return Ok(false);
            }
            raw.status()?;
        }
        Ok(true)
    }

    /// What each version closed, then what it opened, version by version.
    pub fn deltas(&self, list: ListId, versions: RangeInclusive<VersionNo>) -> Result<Scan<'_, Delta>, StoreError> {
        let from = keys::version_key(list, *versions.start()).to_vec();
        let to = match versions.end().0.checked_add(1) {
            Some(end) => keys::version_key(list, VersionNo(end)).to_vec(),
            None => keys::list_end(list).to_vec(),
        };
        self.scan(Family::Deltas, from, to, keys::delta)
    }

    /// The same of some entries alone. Longer stretches of others are leapt over.
    pub fn deltas_of(
        &self,
        list: ListId,
        versions: RangeInclusive<VersionNo>,
        entries: RangeInclusive<EntryNo>,
    ) -> Result<DeltasOf<'_>, StoreError> {
        Ok(DeltasOf { scan: self.deltas(list, versions)?, list, entries, passed: 0 })
    }

    /// The column chunks of a kind, by first entry.
    pub fn columns(&self, kind: u8) -> Result<Scan<'_, (EntryNo, Vec<u8>)>, StoreError> {
        let to = kind.checked_add(1).map(|end| vec![end]).unwrap_or_default();
        self.scan(Family::Columns, vec![kind], to, |key, value| Ok((keys::column_first(key)?, value.to_vec())))
    }

    /// The column chunks of a kind whose first entry is `first` or a later one.
    pub fn columns_from(&self, kind: u8, first: EntryNo) -> Result<Scan<'_, (EntryNo, Vec<u8>)>, StoreError> {
        let to = kind.checked_add(1).map(|end| vec![end]).unwrap_or_default();
        let from = keys::column_key(kind, first).to_vec();
        self.scan(Family::Columns, from, to, |key, value| Ok((keys::column_first(key)?, value.to_vec())))
    }

    /// The node under `parent` at distance `edge`: its number and its hash's bytes.
    pub fn bk_child(&self, kind: u8, tree: u32, parent: u32, edge: u16) -> Result<Option<(u32, Vec<u8>)>, StoreError> {
        let value = self.db.get_pinned_cf(&self.family(Family::Bk)?, keys::bk_key(kind, tree, parent, edge))?;
        let Some(value) = value else { return Ok(None) };
        let (node, hash) = keys::bk_value(&value)?;
        Ok(Some((node, hash.to_vec())))
    }

    /// The nodes under `parent` whose distance from it lies in `edges`, by edge: edge, number, hash's bytes.
    pub fn bk_children(
        &self,
        kind: u8,
        tree: u32,
        parent: u32,
        edges: RangeInclusive<u16>,
        each: &mut dyn FnMut(u16, u32, &[u8]),
    ) -> Result<(), StoreError> {
        let from = keys::bk_key(kind, tree, parent, *edges.start()).to_vec();
        let mut to = keys::bk_key(kind, tree, parent, *edges.end()).to_vec();
        to.push(0);
        let mut raw = self.raw(Family::Bk, from.clone(), to)?;
        raw.seek(&from);
        while let Some((key, value)) = raw.item() {
            let edge = key.last_chunk().map(|bytes| u16::from_be_bytes(*bytes));
            let edge = edge.ok_or_else(|| Family::Bk.corrupt("a key is too short"))?;
            let (node, hash) = keys::bk_value(value)?;
            each(edge, node, hash);
            raw.next();
        }
        Ok(raw.status()?)
    }

    /// All nodes of a tree, by parent and edge.
    pub fn bk_rows(&self, kind: u8, tree: u32) -> Result<Scan<'_, BkRow>, StoreError> {
        let from = keys::bk_tree_key(kind, tree).to_vec();
        let to = match tree.checked_add(1) {
            Some(next) => keys::bk_tree_key(kind, next).to_vec(),
            None => kind.checked_add(1).map(|end| vec![end]).unwrap_or_default(),
        };
        self.scan(Family::Bk, from, to, keys::bk_row)
    }

    /// From `from`, to before `to`; an empty `to` is the family's end.
    pub(super) fn scan<T>(&self, family: Family, from: Vec<u8>, to: Vec<u8>, read: Read<T>) -> Result<Scan<'_, T>, StoreError> {
        let mut raw = self.raw(family, from.clone(), to)?;
        raw.seek(&from);
        Ok(Scan { raw, read, over: false })
    }

    pub(super) fn raw(&self, family: Family, from: Vec<u8>, to: Vec<u8>) -> Result<RawScan<'_>, StoreError> {
        let mut options = ReadOptions::default();
        // A long scan would push everything else out of the cache.
        options.fill_cache(family == Family::Bk || family == Family::Lists || family == Family::Versions);
        if !from.is_empty() {
            options.set_iterate_lower_bound(from);
        }
        if !to.is_empty() {
            options.set_iterate_upper_bound(to);
        }
        Ok(self.db.raw_iterator_cf_opt(&self.family(family)?, options))
    }
}

pub(super) type Read<T> = fn(&[u8], &[u8]) -> Result<T, StoreError>;
pub(super) type RawScan<'a> = DBRawIteratorWithThreadMode<'a, super::Db>;

/// Rows in key order, as they stood when the scan was made. After an error there is nothing more.
pub struct Scan<'a, T> {
    raw: RawScan<'a>,
    read: Read<T>,
    over: bool,
}

impl<T> Iterator for Scan<'_, T> {
    type Item = Result<T, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let Some((key, value)) = self.raw.item() else {
            self.over = true;
            return self.raw.status().err().map(|error| Err(error.into()));
        };
        let item = (self.read)(key, value);
        self.over = item.is_err();
        self.raw.next();
        Some(item)
    }
}

/// Keys that are read one by one before the next one wanted is sought, which takes as long as reading several.
const PASSED_MAX: u32 = 16;

/// The deltas of some entries.
pub struct DeltasOf<'a> {
    scan: Scan<'a, Delta>,
    list: ListId,
    entries: RangeInclusive<EntryNo>,
    /// Deltas of other entries since the last one of these.
    passed: u32,
}

impl Iterator for DeltasOf<'_> {
    type Item = Result<Delta, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let delta = match self.scan.next()? {
                Ok(delta) if !self.entries.contains(&delta.entry) => delta,
                found => {
                    self.passed = 0;
                    return Some(found);
                }
            };
            self.passed += 1;
            if self.passed.is_multiple_of(PASSED_MAX) {
                // What a version closed, and what it opened, lies there by entry.
                let before = delta.entry < *self.entries.start();
                let next = if before { *self.entries.start() } else { EntryNo(u32::MAX) };
                self.scan.raw.seek(keys::delta_key(self.list, delta.version, delta.op, next));
            }
        }
    }
}
