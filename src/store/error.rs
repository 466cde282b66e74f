//! Why can the store not be opened, read or written? In words that hold no hash.

use crate::entry::shown::{in_words, sized};
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store in {} is in use by another process; reach that one through --endpoint, or stop it", .dir.display())]
    Locked { dir: PathBuf },
    #[error(
        "this store was written by a newer hashwarden (format {found}; this one knows formats up to {known}): use that version"
    )]
    FormatNewer { found: u32, known: u32 },
    #[error(
        "the store in {} was written by an earlier hashwarden: open it once for writing, as `serve` and `store compact` do, and it is migrated",
        .dir.display()
    )]
    FormatOlder { dir: PathBuf },
    #[error("{} holds no hashwarden store: {why}", .dir.display())]
    NotAStore { dir: PathBuf, why: &'static str },
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// Nothing was written, or nothing that counts; what is there can be read.
    #[error("the disk of the store in {} is full: {} free, {needed}; changes resume once space is freed", .dir.display(), sized(*.free))]
    Full { dir: PathBuf, free: u64, needed: Needed },
    /// A write failed, so the database has to be opened anew before it takes another.
    #[error("the store in {} does not accept changes after a failed write (a server retries by itself): {why}", .dir.display())]
    Failed { dir: PathBuf, why: String },
    /// The change does not fit the state; nothing was written.
    #[error("{0}")]
    Refused(String),
    #[error("the store is damaged: family {family}: {what}")]
    Corrupt { family: &'static str, what: String },
    /// The file `HEAD` and the database do not agree.
    #[error(
        "the store in {} is not what was acknowledged: {why}. Restore the whole directory from a backup, or continue without what is missing: hashwarden store accept",
        .dir.display()
    )]
    Head { dir: PathBuf, why: String },
    /// What is missing can't be given up, as nothing can be read without it.
    #[error("the store in {} is damaged: {why}. It can only be restored, the whole directory, from a backup", .dir.display())]
    Lost { dir: PathBuf, why: &'static str },
    #[error("the system returned no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("the store's directory: {}", in_words(.0))]
    Io(#[from] std::io::Error),
    #[error("the store's directory {}: {}", .dir.display(), in_words(.error))]
    Dir { dir: PathBuf, error: std::io::Error },
    #[error("RocksDB: {0}")]
    RocksDb(#[from] rocksdb::Error),
}

/// The part of `[store] free_bytes_min` that small changes need.
const SMALL: u64 = 8;

/// The room that something needs, by what says so. The number is `[store] free_bytes_min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    Min(u64),
    /// An eighth of it.
    SmallPart(u64),
    /// What the system had no room for.
    Written,
}

impl Needed {
    pub(super) fn bytes(self) -> u64 {
        match self {
            Needed::Min(min) => min,
            Needed::SmallPart(min) => min / SMALL,
            Needed::Written => 0,
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = sized(self.bytes());
        match self {
            Needed::Min(min) => write!(f, "{bytes} required ([store] free_bytes_min = {min})"),
            Needed::SmallPart(min) => write!(f, "{bytes} required (an eighth of [store] free_bytes_min = {min})"),
            Needed::Written => f.write_str("and the system has no room for what was to be written"),
        }
    }
}
