//! How does a store of format 1 become one of format 2?
//!
//! Format 1 kept each change whole, with the rows of lists that were deleted, and ids in keys as they are. Its changes are written
//! anew as headers and contents into families of their own, beside the old one; one synced batch then makes the new ones count, and
//! the old family is dropped. A kill before that batch leaves the old store, which is migrated from the start; one after it the new
//! one. The new chain begins anew; its last change names the last digest of the old one, so that who kept that can still tell.

use super::history::{self, Header, Kind};
use super::ids::IdForms;
use super::keys::{self, Family};
use super::{Db, StoreError, digest::sha256, head, head::Head, meta, wire};
use crate::entry::{Change, ChangeOp, EntryNo, ListId, MadeBy, RowChange, VersionNo};
use rocksdb::{IteratorMode, WriteBatch, WriteOptions};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// The family of format 1 that held the changes.
pub(super) const CHANGES: &str = "changes";
/// Bytes in one batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Brings a store of format 1 to format 2. `HEAD` was checked against it.
pub(super) fn run(db: &Db, dir: &Path, last: Head) -> Result<Head, StoreError> {
    tracing::warn!(dir = %dir.display(), changes = last.seq, "migrating the store to a new format");
    // HEAD may lag; after this it names just what the new chain's last change will name.
    head::write(dir, last)?;
    for family in [Family::History, Family::Contents] {
        let all = (&[][..], &[0xff; 24][..]);
        db.delete_range_cf(&handle(db, family.name())?, all.0, all.1)?; // of a migration that was cut short
    }
    let key = meta::value(db, keys::META_ENTRY_ID_KEY)?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = key.ok_or_else(|| Family::Meta.corrupt("the key of entry ids is missing"))?;
    mask_ids(db, &IdForms::new(&key))?;
    let copied = copy_changes(db)?;
    let chain = finish(db, last, &copied)?;
    head::write(dir, chain)?;
    head::note_kept(db)?;
    forget_old(db)?;
    Ok(chain)
}

/// Drops what format 1 left behind.
pub(super) fn forget_old(db: &Db) -> Result<(), StoreError> {
    if db.cf_handle(CHANGES).is_some() {
        db.drop_cf(CHANGES)?;
    }
    Ok(())
}

/// Is the change that `head` names the one in this store of format 1?
pub(super) fn check_chain(db: &Db, dir: &Path, head: Option<Head>) -> Result<(), StoreError> {
    let Some(head) = head.filter(|head| head.seq > 0) else { return Ok(()) };
    let found = db.get_cf(&handle(db, CHANGES)?, head.seq.to_be_bytes())?;
    if found.is_some_and(|value| sha256(&value) == head.chain) {
        return Ok(());
    }
    let why = format!("change {} is not the one that was acknowledged under that number", head.seq);
    Err(StoreError::Head { dir: dir.into(), why })
}

fn handle<'a>(db: &'a Db, name: &str) -> Result<std::sync::Arc<rocksdb::BoundColumnFamily<'a>>, StoreError> {
    db.cf_handle(name).ok_or_else(|| Family::History.corrupt("the family is missing"))
}

/// Ids that may hold a hash get their forms. What was done of it before stays as it is.
fn mask_ids(db: &Db, forms: &IdForms) -> Result<(), StoreError> {
    let ids = handle(db, Family::EntryIds.name())?;
    let mut batch = WriteBatch::default();
    for pair in db.iterator_cf(&ids, IteratorMode::Start) {
        let (key, value) = pair?;
        let list = ListId(keys::number_u32(Family::EntryIds, &key[..key.len().min(4)])?);
        let id = std::str::from_utf8(keys::id_form(&key)?).map_err(|_| Family::EntryIds.corrupt("a text is not UTF-8"))?;
        let masked = id.chars().any(char::is_control);
        let new = keys::id_key(list, &forms.form(id));
        if !masked && *new != *key {
            batch.delete_cf(&ids, &key);
            batch.put_cf(&ids, new, &value);
        }
        write_if_full(db, &mut batch)?;
    }
    Ok(db.write(batch)?)
}

/// What the copy of the changes came to.
struct Copied {
    seq: u64,
    chain: [u8; 32],
    /// Of the last change: there is no clock here.
    time_ms: u64,
    next_entry: EntryNo,
    /// What each version was made by, and whether it was activated.
    versions: BTreeMap<(ListId, VersionNo), (MadeBy, bool)>,
}

fn copy_changes(db: &Db) -> Result<Copied, StoreError> {
    let deleted = deleted_lists(db)?;
    let (headers, all) = (handle(db, Family::History.name())?, handle(db, Family::Contents.name())?);
    let mut copied = Copied { seq: 0, chain: [0; 32], time_ms: 0, next_entry: EntryNo(0), versions: BTreeMap::new() };
    let mut batch = WriteBatch::default();
    let mut before = [0; 32];
    for pair in db.iterator_cf(&handle(db, CHANGES)?, IteratorMode::Start) {
        let (key, value) = pair?;
        let seq = keys::number_u64(Family::History, &key)?;
        let (named, change) = split(&value)?;
        if seq != copied.seq + 1 || named != before {
            return Err(Family::History.corrupt(format!("change {seq} does not continue the chain")));
        }
        before = sha256(&value);
        copied.follow(&change.op);
        copied.time_ms = change.time_ms;
        let (header, contents) = history::record(&change, copied.next_entry)?;
        let value = [&copied.chain[..], &header.encode()].concat();
        (copied.seq, copied.chain) = (seq, sha256(&value));
        batch.put_cf(&headers, seq.to_be_bytes(), &value);
        if let Some(contents) = contents.filter(|_| !deleted.contains(&header.list)) {
            batch.put_cf(&all, header.contents_key(seq), contents);
        }
        write_if_full(db, &mut batch)?;
    }
    db.write(batch)?;
    Ok(copied)
}

impl Copied {
    fn follow(&mut self, op: &ChangeOp) {
        match op {
            ChangeOp::Stage { list, version, made_by, .. } => _ = self.versions.insert((*list, *version), (*made_by, false)),
            ChangeOp::Edit { list, version, .. } => _ = self.versions.insert((*list, *version), (MadeBy::Edit, true)),
            ChangeOp::Activate { list, version } => _ = self.versions.entry((*list, *version)).and_modify(|v| v.1 = true),
            ChangeOp::DeleteList { list } => self.versions.retain(|(other, _), _| other != list),
            _ => {}
        }
        if let ChangeOp::Rows { rows, .. } | ChangeOp::Edit { rows, .. } = op {
            for row in rows {
                if let RowChange::Open { entry, .. } = row {
                    self.next_entry = self.next_entry.max(EntryNo(entry.0.saturating_add(1)));
                }
            }
        }
    }
}

/// A change of format 1: the digest of the one before, and itself.
fn split(value: &[u8]) -> Result<([u8; 32], Change), StoreError> {
    let (before, bytes) = keys::split_history(value)?;
    Ok((before, wire::read_change(bytes)?))
}

fn deleted_lists(db: &Db) -> Result<HashSet<ListId>, StoreError> {
    let mut deleted = HashSet::new();
    for pair in db.iterator_cf(&handle(db, CHANGES)?, IteratorMode::Start) {
        if let ChangeOp::DeleteList { list } = split(&pair?.1)?.1.op {
            deleted.insert(list);
        }
    }
    Ok(deleted)
}

/// The one batch that makes the new format count.
fn finish(db: &Db, last: Head, copied: &Copied) -> Result<Head, StoreError> {
    if copied.seq != last.seq {
        return Err(Family::History.corrupt(format!("change {} is missing", copied.seq + 1)));
    }
    let header = Header {
        time_ms: copied.time_ms,
        by: "migration".to_owned(),
        kind: Kind::Migrated,
        list: ListId(0),
        version: VersionNo(0),
        versions: Vec::new(),
        contents: None,
        next_entry: copied.next_entry,
        before: Some((last.seq, last.chain)),
    };
    let value = [&copied.chain[..], &header.encode()].concat();
    let new = Head { seq: last.seq + 1, chain: sha256(&value) };
    let meta = handle(db, Family::Meta.name())?;
    let versions = handle(db, Family::Versions.name())?;
    let mut batch = WriteBatch::default();
    for ((list, version), (made_by, activated)) in &copied.versions {
        let key = keys::version_key(*list, *version);
        let Some(value) = db.get_cf(&versions, key)? else { continue };
        let mut record = wire::read_version(*list, *version, &value)?;
        (record.made_by, record.activated) = (*made_by, *activated);
        batch.put_cf(&versions, key, wire::write_version(&record));
    }
    batch.put_cf(&handle(db, Family::History.name())?, new.seq.to_be_bytes(), &value);
    batch.put_cf(&meta, keys::META_HEAD_KEPT, [1]);
    batch.put_cf(&meta, keys::META_SEQ, new.seq.to_be_bytes());
    batch.put_cf(&meta, keys::META_CHAIN, new.chain);
    batch.put_cf(&meta, keys::META_FORMAT_TRUTH, 2u32.to_be_bytes());
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced)?;
    Ok(new)
}

fn write_if_full(db: &Db, batch: &mut WriteBatch) -> Result<(), StoreError> {
    if batch.size_in_bytes() >= BATCH_BYTES {
        db.write(std::mem::take(batch))?;
    }
    Ok(())
}
