//! How does a store of format 2 become one of format 3?
//!
//! Format 2 had one line of versions: a row (list, entry, from) had the version that ended it before its content, `entry_ids` held
//! what was open at the newest version, and a closed delta named the version that had opened. Each row is written anew under its
//! entry's number alone, and noted in its id's history, in one batch; keys and values of the two formats differ in length. So a
//! migration that is cut short goes on where it stopped. The changes stay as they are.

use super::digest::sha256;
use super::ids::{Deed, EntryHistory, IdForms, IdHistory};
use super::keys::{self, Cut, Family};
use super::{Db, StoreError, meta, wire};
use crate::entry::{EntryNo, Lineage, ListId, ListVersion, VersionNo};
use rocksdb::{BoundColumnFamily, IteratorMode, WriteBatch, WriteOptions};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What stores are brought to here.
pub(super) const FORMAT: u32 = 3;
/// Rows in one batch.
const BATCH_ROWS: usize = 4_096;
/// Length of a row's key, of an id's value and of a closed delta's value in format 2.
const ROW_KEY: usize = 12;
const ID_VALUE: usize = 24;
const CLOSED_VALUE: usize = 4;
/// The end of a row that had not ended.
const OPEN: u32 = u32::MAX;

pub(super) fn run(db: &Db, dir: &Path) -> Result<(), StoreError> {
    tracing::warn!(dir = %dir.display(), "migrating the store to a new format; for ten million entries this takes minutes");
    let key = meta::value(db, keys::META_ENTRY_ID_KEY)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = key.ok_or_else(|| Family::Meta.corrupt("the key of entry ids is missing"))?;
    let meta = handle(db, Family::Meta)?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let mut begun = WriteBatch::default();
    begun.put_cf(&meta, keys::META_FORMAT_TRUTH, FORMAT.to_be_bytes());
    begun.put_cf(&meta, keys::META_MIGRATING, []);
    db.write_opt(begun, &synced)?;
    versions(db)?;
    rows(db, &IdForms::new(&key))?;
    deltas(db)?;
    let mut done = WriteBatch::default();
    done.delete_cf(&meta, keys::META_MIGRATING);
    Ok(db.write_opt(done, &synced)?)
}

/// Whether a migration was begun and not ended.
pub(super) fn is_due(db: &Db) -> Result<bool, StoreError> {
    Ok(meta::value(db, keys::META_MIGRATING)?.is_some())
}

fn handle(db: &Db, family: Family) -> Result<Arc<BoundColumnFamily<'_>>, StoreError> {
    db.cf_handle(family.name()).ok_or_else(|| family.corrupt("the family is missing"))
}

/// Each version holds what all before it did. Which one it started from is not known of all.
fn versions(db: &Db) -> Result<(), StoreError> {
    let family = handle(db, Family::Versions)?;
    let mut batch = WriteBatch::default();
    for pair in db.iterator_cf(&family, IteratorMode::Start) {
        let (key, value) = pair?;
        let number = keys::number_u64(Family::Versions, &key)?;
        let (list, version) = (ListId((number >> 32) as u32), VersionNo(number as u32));
        let before = wire::read_version(list, version, &value)?;
        let lineage = Lineage::new(vec![(VersionNo(1), version)]);
        let lineage = lineage.ok_or_else(|| Family::Versions.corrupt("a version has an impossible number"))?;
        batch.put_cf(&family, &key, wire::write_version(&ListVersion { lineage, ..before }));
    }
    Ok(db.write(batch)?)
}

fn rows(db: &Db, forms: &IdForms) -> Result<(), StoreError> {
    let (rows, ids) = (handle(db, Family::Entries)?, handle(db, Family::EntryIds)?);
    let mut batch = WriteBatch::default();
    let mut histories: HashMap<Vec<u8>, IdHistory> = HashMap::new();
    let mut left = BATCH_ROWS;
    let write = |batch: &mut WriteBatch, histories: &mut HashMap<Vec<u8>, IdHistory>| {
        histories.drain().for_each(|(key, history)| batch.put_cf(&ids, key, history.encode()));
        db.write(std::mem::take(batch))
    };
    for pair in db.iterator_cf(&rows, IteratorMode::Start) {
        let (key, value) = pair?;
        if key.len() != ROW_KEY {
            continue;
        }
        let mut cut = Cut::new(Family::Entries, &key);
        let (list, entry, from) = (ListId(cut.u32()?), EntryNo(cut.u32()?), VersionNo(cut.u32()?));
        let mut cut = Cut::new(Family::Entries, &value);
        let (to, content) = (cut.u32()?, cut.rest());
        let id_key = keys::id_key(list, &forms.form(&keys::content(content)?.id));
        if !histories.contains_key(&id_key) {
            let value = db.get_cf(&ids, &id_key)?.filter(|value| value.len() != ID_VALUE);
            let history = value.map_or_else(|| Ok(IdHistory::default()), |value| IdHistory::decode(&value))?;
            histories.insert(id_key.clone(), history);
        }
        if let Some(history) = histories.get_mut(&id_key) {
            note(history, entry, sha256(content), from, (to != OPEN).then_some(VersionNo(to)));
        }
        batch.put_cf(&rows, keys::row_key(list, entry), content);
        batch.delete_cf(&rows, &key);
        left -= 1;
        if left == 0 {
            left = BATCH_ROWS;
            write(&mut batch, &mut histories)?;
        }
    }
    Ok(write(&mut batch, &mut histories)?)
}

/// What was noted before stays: the row may have been read by a migration that was cut short.
fn note(history: &mut IdHistory, entry: EntryNo, digest: [u8; 32], from: VersionNo, to: Option<VersionNo>) {
    if history.entry(entry).is_none() {
        history.0.push(EntryHistory { entry, digest, deltas: Vec::new() });
    }
    if let Some(entry) = history.entry(entry) {
        let _ = entry.note(from, Deed::Opened);
        if let Some(to) = to {
            let _ = entry.note(to, Deed::Closed);
        }
    }
}

fn deltas(db: &Db) -> Result<(), StoreError> {
    let family = handle(db, Family::Deltas)?;
    let mut batch = WriteBatch::default();
    for pair in db.iterator_cf(&family, IteratorMode::Start) {
        let (key, value) = pair?;
        if value.len() == CLOSED_VALUE {
            batch.put_cf(&family, &key, []);
        }
        if batch.len() >= BATCH_ROWS {
            db.write(std::mem::take(&mut batch))?;
        }
    }
    Ok(db.write(batch)?)
}
