//! Is there room for a change, and does the database still take one?
//!
//! RocksDB that runs out of disk in the middle of a write takes no other until it is opened anew. So it is not let come to that: a
//! change is refused while less than `free_bytes_min` is free, in words, and taken again as soon as there is room. What frees
//! room or takes a list out of use is a few bytes: it needs an eighth of that.

use super::Store;
use super::error::{Needed, StoreError};
use crate::entry::ChangeOp;
use std::path::Path;

/// Bytes that must be free: more than what RocksDB holds in memory and has yet to write to its files.
pub const FREE_BYTES_MIN: u64 = 128 * 1024 * 1024;
impl Store {
    /// Whether changes are taken now.
    pub fn writable(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        if let Some(why) = self.failed.get() {
            return Err(StoreError::Failed { dir: self.dir.clone(), why: why.clone() });
        }
        if self.writer.as_ref().and_then(|writer| writer.try_lock().ok()).is_some_and(|writer| writer.head_stale) {
            let why = "the file HEAD could not be written after the last change".into();
            return Err(StoreError::Failed { dir: self.dir.clone(), why });
        }
        check_free(&self.dir, Needed::Min(self.free_bytes_min))
    }

    /// Writes the file `HEAD` where it could not be written after the last change. Waits for nobody.
    pub fn mend(&self) -> Result<(), StoreError> {
        let writer = self.writer.as_ref().and_then(|writer| writer.try_lock().ok()).filter(|writer| writer.head_stale);
        writer.map_or(Ok(()), |mut writer| self.catch_up(&mut writer))
    }

    /// Whether a write has failed: opening the store anew is what helps.
    pub fn has_failed(&self) -> bool {
        self.failed.get().is_some()
    }

    /// Whether the store is open for reading in the place of one that could not be opened for writing.
    pub fn stands_in(&self) -> bool {
        self.stands_in
    }

    pub fn free_bytes_min(&self) -> u64 {
        self.free_bytes_min
    }

    /// Whether there is room to open the store for writing.
    pub fn check_to_open(&self) -> Result<(), StoreError> {
        check_to_open(&self.dir, self.free_bytes_min)
    }

    /// Why a store that is open for reading takes no change.
    pub(super) fn read_only(&self) -> StoreError {
        if !self.stands_in {
            return StoreError::ReadOnly;
        }
        let soon = || StoreError::Failed { dir: self.dir.clone(), why: "there was no room to write when it was opened".into() };
        self.check_to_open().err().unwrap_or_else(soon)
    }

    pub(super) fn check_room_for(&self, op: &ChangeOp) -> Result<(), StoreError> {
        let needed = match op {
            ChangeOp::SetPolicy { .. }
            | ChangeOp::SetDisabled { .. }
            | ChangeOp::DeleteList { .. }
            | ChangeOp::Activate { .. }
            | ChangeOp::Undo { .. }
            | ChangeOp::Drop { .. }
            | ChangeOp::SetMark { .. }
            | ChangeOp::SetFeed { .. } => Needed::SmallPart(self.free_bytes_min),
            ChangeOp::CreateList { .. }
            | ChangeOp::AddSource { .. }
            | ChangeOp::Stage { .. }
            | ChangeOp::Rows { .. }
            | ChangeOp::Seal { .. }
            | ChangeOp::Edit { .. } => Needed::Min(self.free_bytes_min),
        };
        if let Some(why) = self.failed.get() {
            return Err(StoreError::Failed { dir: self.dir.clone(), why: why.clone() });
        }
        check_free(&self.dir, needed)
    }
}

/// Whether a store can be opened for writing, which itself writes some files.
pub(super) fn check_to_open(dir: &Path, free_bytes_min: u64) -> Result<(), StoreError> {
    check_free(dir, Needed::SmallPart(free_bytes_min))
}

/// The system says that the disk is full, whatever it says is free.
pub(super) fn full(dir: &Path) -> StoreError {
    StoreError::Full { dir: dir.into(), free: free(dir).unwrap_or(0), needed: Needed::Written }
}

fn check_free(dir: &Path, needed: Needed) -> Result<(), StoreError> {
    match free(dir) {
        Some(free) if free < needed.bytes() => Err(StoreError::Full { dir: dir.into(), free, needed }),
        // A directory that is gone, or a file system that does not tell, is not full.
        _ => Ok(()),
    }
}

/// Bytes that this user may take, without the part that is kept for the superuser.
fn free(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
