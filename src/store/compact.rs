//! How do bytes that were deleted leave the disk?
//!
//! A deletion is a note beside the bytes until the tables that hold them are written anew. Two things are left after that: the log,
//! which is dropped once its changes are in tables, and the MANIFEST, which names bounds of tables that are gone until the next
//! opening writes a new one; but no key holds a hash ([`keys`](super::keys)).

use super::keys::Family;
use super::{Store, StoreError};
use rocksdb::{BottommostLevelCompaction, CompactOptions};

impl Store {
    /// Writes every table anew, without what was deleted. Takes no change meanwhile. `progress` hears which family it is at.
    pub fn compact(&self, progress: &mut dyn FnMut(&'static str)) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        self.writable()?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        // All of them first: the log goes when nothing needs it any more.
        for family in Family::ALL {
            self.wrote(self.db.flush_cf(&self.family(family)?))?;
        }
        for family in Family::ALL {
            progress(family.name());
            self.db.compact_range_cf_opt(&self.family(family)?, None::<&[u8]>, None::<&[u8]>, &options);
        }
        // RocksDB has no other way to say that it failed.
        let errors = self.db.property_int_value("rocksdb.background-errors")?.unwrap_or(0);
        if errors > 0 {
            let why = format!("RocksDB could not rewrite its tables ({errors} errors; its file LOG says more)");
            return Err(StoreError::Failed { dir: self.dir.clone(), why });
        }
        self.wrote(self.db.flush_wal(true))
    }
}
