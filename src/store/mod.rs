//! What do we know for good? Lists, their versions and rows, and every change that made them, in RocksDB.
//!
//! The store knows bytes and keys. It holds the truth and, beside it, derived rows that others compute and could compute again.
//! Invariants: [`Store::apply`] is the only write that can alter a verdict, and it is one atomic batch, checked against the state,
//! numbered and chained; an entry's number names one content for ever. Absent: indexes, matching, the meaning of columns and BK-tree rows, clocks, and which versions are kept.
//!
//! A version names its parent: it holds what the parent holds, with the entries that it opened and without those that it closed, each
//! at most once. So versions are a tree, and an entry is in version v if the last of its deltas in v's lineage opened it. Several
//! versions of one list can be written at a time. An entry that is in no version that is kept is swept away, and no other.

mod accept;
mod apply;
mod compact;
mod derived;
mod digest;
mod error;
mod fetches;
mod head;
mod history;
mod ids;
mod journal;
mod keys;
mod meta;
mod migrate;
mod migrate_rows;
mod open;
mod parse;
mod past;
mod read;
mod records;
mod replay;
mod room;
mod scratch;
mod sweep;
mod verify;
mod wire;

pub use accept::Accepted;
pub use derived::{DERIVED_BYTES_MAX, DerivedClear, DerivedPut, MARK_NAME_BYTES_MAX};
pub use digest::{details_digest, digest_add, digest_sub, row_digest, said_digest};
pub use error::{Needed, StoreError};
pub use history::Recorded;
pub use ids::{Brief, IdHistory, IdRecord};
pub use journal::{JOURNAL_BYTES_MAX, JournalRecord};
pub use keys::{BkRow, Delta, DeltaOp, Row};
pub use parse::read_record;
pub use past::{Moment, Past};
pub use read::Scan;
pub use room::FREE_BYTES_MIN;
pub use scratch::{SCRATCH_VALUE_BYTES_MAX, ScratchRow};
pub use verify::{PROBLEMS_MAX, VerifyReport};
pub use wire::{CLOSE_ROW_BYTES, description_bytes, open_row_bytes, read_details, write_details};

use keys::Family;
use rocksdb::{BoundColumnFamily, DBWithThreadMode, MultiThreaded, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Layout of the families that hold the truth. A store with a larger number is refused.
pub const FORMAT_TRUTH: u32 = 4;
/// More lists than this at once are refused.
pub const LISTS_MAX: usize = 4_096;
/// Longest `by` of a change, in bytes.
pub const BY_BYTES_MAX: usize = 256;
/// Longest source of a version, in bytes.
pub const SOURCE_BYTES_MAX: usize = 1_024;
/// Largest policy, encoded, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;

/// What the store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// One process at a time. Creates the store if there is none.
    Write,
    /// The state at the moment of opening; works beside a process that writes.
    Read,
    /// The same in the place of a writer that has no room: who wants to write is told so.
    StandIn,
}

/// An open store. Dropping it closes it.
pub struct Store {
    db: Db,
    dir: PathBuf,
    /// `None`: opened for reading.
    writer: Option<Mutex<Writer>>,
    stands_in: bool,
    /// Bytes that must be free on the disk.
    free_bytes_min: u64,
    /// Why a write failed: RocksDB takes none after that.
    failed: OnceLock<String>,
    entry_id_key: [u8; 32],
    forms: ids::IdForms,
    format_derived_found: u32,
    /// Keeps rows of one id in `scratch` in the order they came.
    scratch_order: AtomicU64,
}

impl Store {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of the files in the store's directory.
    pub fn bytes(&self) -> std::io::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(&self.dir)? {
            // One that a compaction removes meanwhile counts no more.
            bytes += entry?.metadata().map_or(0, |file| file.len());
        }
        Ok(bytes)
    }

    /// The key under which entries that came without an id are named. Made once, when the store was.
    pub fn entry_id_key(&self) -> [u8; 32] {
        self.entry_id_key
    }

    /// How an id stands in keys: itself, unless it may hold a hash. What comes by id comes in the order of this.
    pub fn id_form<'a>(&self, id: &'a str) -> std::borrow::Cow<'a, [u8]> {
        self.forms.form(id)
    }

    /// The number of the derived families' layout found at opening: where it is not the one asked for, the caller drops them
    /// with [`Store::derived_reset`] and builds them again.
    pub fn format_derived_found(&self) -> u32 {
        self.format_derived_found
    }

    /// Waits until everything written so far is on the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        self.wrote(self.db.flush_wal(true))
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let writer = self.writer.as_ref().ok_or_else(|| self.read_only())?;
        // The numbers inside are advanced only after a write succeeded, so a panic elsewhere can't have left them half done.
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        self.writer.as_ref().map(drop).ok_or_else(|| self.read_only())
    }

    /// Every write goes through here: after one that failed RocksDB takes no other, or would take one over a gap.
    fn write(&self, batch: WriteBatch, options: &WriteOptions) -> Result<(), StoreError> {
        self.wrote(self.db.write_opt(batch, options))
    }

    fn wrote<T>(&self, result: Result<T, rocksdb::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            // The first reason is the one to know.
            let _ = self.failed.set(error.to_string());
            tracing::error!(%error, dir = %self.dir.display(), "writing to the store failed");
            StoreError::Failed { dir: self.dir.clone(), why: error.into_string() }
        })
    }

    fn family(&self, family: Family) -> Result<Arc<BoundColumnFamily<'_>>, StoreError> {
        self.db.cf_handle(family.name()).ok_or_else(|| family.corrupt("the family is missing"))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Store({})", self.dir.display())
    }
}

/// Many families are dropped and created (scratch) while others are read.
type Db = DBWithThreadMode<MultiThreaded>;

/// What the next change starts from; the same numbers as in `meta`.
#[derive(Debug, Clone, Copy)]
struct Writer {
    seq: u64,
    chain: [u8; 32],
    next_entry: u32,
    next_list: u32,
    /// The last synced change is not in `HEAD`.
    head_stale: bool,
}
