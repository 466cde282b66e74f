//! How far had we acknowledged?
//!
//! A small file beside RocksDB's own, `HEAD`, names the last change that was put on the disk before it was acknowledged: its
//! number and the chain's digest. RocksDB's recovery of its log stops at the first damaged byte and takes what stands before it
//! for the whole; with this file that can't pass for a sound store. It may lag behind the store (a kill between the two, or
//! changes that are not synced one by one), never lead it. A store without one is taken as it is.

use super::{Db, StoreError, keys, keys::Family, open};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

pub(super) const NAME: &str = "HEAD";
const NAME_NEW: &str = "HEAD.dbtmp";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: u64,
    pub chain: [u8; 32],
}

/// What `HEAD` says; `None` where there is no such file.
pub(super) fn read(dir: &Path) -> Result<Option<Head>, StoreError> {
    let damaged = || StoreError::Head { dir: dir.into(), why: "it can't be read as one line of a number and a digest".into() };
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

/// Replaces the file: the old one or the new one is there at any moment. Call it after the change is on the disk.
pub(super) fn write(dir: &Path, head: Head) -> Result<(), StoreError> {
    let new = dir.join(NAME_NEW);
    let mut file = File::create(&new)?;
    writeln!(file, "{} {}", head.seq, hex::encode(head.chain))?;
    file.sync_all()?;
    Ok(fs::rename(new, dir.join(NAME))?)
}

/// Are all changes up to `head` in this database? Reads the family `meta` alone.
pub(super) fn check_reached(db: &Db, dir: &Path, head: Option<Head>) -> Result<(), StoreError> {
    let (Some(head), Some(seq)) = (head, open::meta(db, keys::META_SEQ)?) else { return Ok(()) };
    let seq = keys::number_u64(Family::Meta, &seq)?;
    if seq < head.seq {
        let why = format!(
            "change {} was acknowledged and the last one found is {seq}: a file of the store was damaged or is of an earlier moment",
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
    let changes = db.cf_handle(Family::Changes.name()).ok_or_else(|| Family::Changes.corrupt("the family is not there"))?;
    let found = db.get_cf(&changes, head.seq.to_be_bytes())?;
    if found.is_none_or(|value| super::digest::sha256(&value) != head.chain) {
        let why = format!("change {} is another one than was acknowledged under that number", head.seq);
        return Err(StoreError::Head { dir: dir.into(), why });
    }
    Ok(())
}
