//! What became of fetching a list's sources? A few bytes for each, which the catalog writes and reads.
//!
//! No change: it alters no verdict, and may be lost. A cursor that falls behind fetches again what the list has. Invariant: writes are in
//! order, so that no cursor is ahead of the import that it stands behind. They go with their list.

use super::keys::{self, Family};
use super::{Store, StoreError, meta};
use crate::entry::ListId;
use rocksdb::{WriteBatch, WriteOptions};

/// Longest state, in bytes.
const STATE_BYTES_MAX: usize = 64 * 1024;

impl Store {
    pub fn fetch_state(&self, list: ListId, source: &str) -> Result<Option<Vec<u8>>, StoreError> {
        meta::value(&self.db, &keys::fetch_key(list, source))
    }

    /// Keeps a state, where its list is there.
    pub fn put_fetch_state(&self, list: ListId, source: &str, state: &[u8]) -> Result<(), StoreError> {
        let _writer = self.writer()?; // no list is deleted meanwhile
        self.writable()?;
        if state.len() > STATE_BYTES_MAX {
            return Err(StoreError::Refused(format!(
                "the state of a fetch has {} bytes; the limit is {STATE_BYTES_MAX}",
                state.len()
            )));
        }
        if self.list(list)?.is_none() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.put_cf(&self.family(Family::Meta)?, keys::fetch_key(list, source), state);
        self.write(batch, &WriteOptions::default())
    }
}
