//! The journal family: records that are appended and never changed. It can't alter a verdict.

use super::keys::{self, Family};
use super::{Scan, Store, StoreError};
use rocksdb::{WriteBatch, WriteOptions};

/// One record of the journal, in bytes.
pub const JOURNAL_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, PartialEq, Eq)]
pub struct JournalRecord {
    pub time_ms: u64,
    pub id: [u8; 16],
    pub bytes: Vec<u8>,
}

impl Store {
    /// Appends records in one batch. They outlive the process when this returns, a power cut after [`Store::sync`].
    pub fn journal_append(&self, records: &[JournalRecord]) -> Result<(), StoreError> {
        self.writable()?;
        let family = self.family(Family::Journal)?;
        let mut batch = WriteBatch::default();
        for record in records {
            if record.bytes.len() > JOURNAL_BYTES_MAX {
                return Err(StoreError::Refused(format!("a journal record has more than {JOURNAL_BYTES_MAX} bytes")));
            }
            batch.put_cf(&family, keys::journal_key(record.time_ms, &record.id), &record.bytes);
        }
        self.write(batch, &WriteOptions::default())
    }

    /// The journal's records from `time_ms` on, by time.
    pub fn journal(&self, time_ms: u64) -> Result<Scan<'_, JournalRecord>, StoreError> {
        self.scan(Family::Journal, time_ms.to_be_bytes().to_vec(), Vec::new(), |key, value| {
            let (time_ms, id) = keys::journal_parts(key)?;
            Ok(JournalRecord { time_ms, id, bytes: value.to_vec() })
        })
    }
}
