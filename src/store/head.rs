//! How far had we acknowledged?
//!
//! A small file beside RocksDB's own, `HEAD`, names the last change that was put on the disk before it was acknowledged: its
//! number and the chain's digest. RocksDB's recovery of its log stops at the first damaged byte and takes what stands before it
//! for the whole; with this file that can't pass for a sound store. It may lag behind the store (a kill between the two, or
//! changes that are not synced one by one), never lead it. The store notes that it has one, in a table that no cut log takes
//! away, so that a missing file is noticed too. [`Store::accept`] makes a new one where somebody decides to go on without
//! what is missing.

use super::digest::sha256;
use super::{Db, StoreError, keys, keys::Family, meta};
use rocksdb::{AsColumnFamilyRef, WriteBatch, WriteOptions};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(super) const NAME: &str = "HEAD";
const NAME_NEW: &str = "HEAD.dbtmp";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    pub chain: [u8; 32],
}

/// Whether a store is held to what `HEAD` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Hold,
    Skip,
}

/// What `HEAD` says; `None` where there is no such file.
pub(super) fn read(dir: &Path) -> Result<Option<Head>, StoreError> {
    let damaged = || StoreError::Head {
        dir: dir.into(),
        why: "its HEAD file is damaged, as it is not one line with a number and a digest".into(),
    };
    let text = match fs::read_to_string(dir.join(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => return Err(damaged()),
        Err(error) => return Err(error.into()),
    };
    let (seq, chain) = text.trim_end().split_once(' ').ok_or_else(damaged)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(chain, &mut bytes).map_err(|_| damaged())?;
    Ok(Some(Head { seq: seq.parse().map_err(|_| damaged())?, chain: bytes }))
}

/// A new file that its owner alone may read.
fn create_private(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Replaces the file: the old one or the new one is there at any moment. Call it after the change is on the disk.
pub(super) fn write(dir: &Path, head: Head) -> Result<(), StoreError> {
    let new = dir.join(NAME_NEW);
    let mut file = create_private(&new)?;
    writeln!(file, "{} {}", head.seq, hex::encode(head.chain))?;
    file.sync_all()?;
    Ok(fs::rename(new, dir.join(NAME))?)
}

/// Notes in the database that there is a `HEAD`, and puts the note into a table: it is there whatever becomes of the log.
pub(super) fn note_kept(db: &Db) -> Result<(), StoreError> {
    let meta = db.cf_handle(Family::Meta.name()).ok_or_else(|| Family::Meta.corrupt("the family is missing"))?;
    let mut batch = WriteBatch::default();
    batch.put_cf(&meta, keys::META_HEAD_KEPT, [1]);
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.write_opt(batch, &synced)?;
    Ok(db.flush_cf(&meta)?)
}

/// A store from before `HEAD` was noted, or from before there was one, gets both.
pub(super) fn adopt(db: &Db, dir: &Path, found: Option<Head>, last: Head) -> Result<(), StoreError> {
    if meta::value(db, keys::META_HEAD_KEPT)?.is_some() {
        return Ok(());
    }
    if found.is_none() {
        write(dir, last)?;
    }
    note_kept(db)
}

/// Are all changes up to `head` in this database? Reads the family `meta` alone.
pub(super) fn check_reached(db: &Db, dir: &Path, head: Option<Head>) -> Result<(), StoreError> {
    if head.is_none() && meta::value(db, keys::META_HEAD_KEPT)?.is_some() {
        let why = "its file HEAD, which names the last acknowledged change, is missing".into();
        return Err(StoreError::Head { dir: dir.into(), why });
    }
    let (Some(head), Some(seq)) = (head, meta::value(db, keys::META_SEQ)?) else { return Ok(()) };
    let seq = keys::number_u64(Family::Meta, &seq)?;
    if seq < head.seq {
        let why = format!(
            "change {} was acknowledged and the last one found is {seq}: a file of the store is damaged or older than the others",
            head.seq
        );
        return Err(StoreError::Head { dir: dir.into(), why });
    }
    Ok(())
}

/// Is the change that `head` names the one in this database?
pub(super) fn check_chain(db: &Db, dir: &Path, head: Option<Head>) -> Result<(), StoreError> {
    check_reached(db, dir, head)?;
    let Some(head) = head.filter(|head| head.seq > 0) else { return Ok(()) };
    let history = db.cf_handle(Family::History.name()).ok_or_else(|| Family::History.corrupt("the family is missing"))?;
    let found = db.get_cf(&history, head.seq.to_be_bytes())?;
    if found.is_some_and(|value| sha256(&value) == head.chain) || migrated(db, &history, head)? {
        return Ok(());
    }
    let why = format!("change {} is not the one that was acknowledged under that number", head.seq);
    Err(StoreError::Head { dir: dir.into(), why })
}

/// Whether `HEAD` is of the moment before the store was migrated: a kill came between the two.
fn migrated(db: &Db, history: &impl AsColumnFamilyRef, head: Head) -> Result<bool, StoreError> {
    let Some(value) = db.get_cf(history, (head.seq + 1).to_be_bytes())? else { return Ok(false) };
    Ok(super::history::read(&value)?.1.before == Some((head.seq, head.chain)))
}
