//! The scratch family, which sorts an import.
//!
//! It is written without a log and emptied at every opening: nothing in it is true after a crash. One import at a time uses it. It can't
//! alter a verdict.

use super::ids;
use super::keys::{self, Family};
use super::{Scan, Store, StoreError, open};
use rocksdb::{WriteBatch, WriteOptions};
use std::sync::atomic::Ordering;

/// All values of one id together, in bytes: a file that repeats one id a million times must not fill the memory.
pub const SCRATCH_VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All that scratch holds under one source id.
#[derive(Clone, PartialEq, Eq)]
pub struct ScratchRow {
    /// How the id stands in keys: see [`Store::id_form`].
    pub form: Vec<u8>,
    pub id: Vec<u8>,
    /// The values put under the id, one after the other, in the order they were put.
    pub values: Vec<u8>,
    /// How many values did not fit into [`SCRATCH_VALUE_BYTES_MAX`] and are left out.
    pub left_out: u64,
}

impl Store {
    /// Writes and empties `rows`: pairs of source id (UTF-8 of less than 64 KiB, no byte 0 in it) and value.
    pub fn scratch_put(&self, rows: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        self.writable()?;
        let family = self.family(Family::Scratch)?;
        let mut batch = WriteBatch::default();
        for (id, value) in rows.iter() {
            let id = std::str::from_utf8(id).ok().filter(|id| !id.contains('\0'));
            let id = id.ok_or_else(|| StoreError::Refused("a source id has a byte 0, or is not UTF-8".into()))?;
            let form = self.id_form(id);
            let key = keys::scratch_key(&form, self.scratch_order.fetch_add(1, Ordering::Relaxed));
            if ids::is_masked(&form) {
                batch.put_cf(&family, key, [&(id.len() as u16).to_be_bytes(), id.as_bytes(), value].concat());
            } else {
                batch.put_cf(&family, key, value);
            }
        }
        rows.clear();
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.write(batch, &options)
    }

    /// What was put, by the form of the id in byte order: the order of [`Store::ids`].
    pub fn scratch_iter(&self) -> Result<impl Iterator<Item = Result<ScratchRow, StoreError>>, StoreError> {
        let rows = self.scan(Family::Scratch, Vec::new(), Vec::new(), |key, value| {
            let form = keys::scratch_id(key)?.to_vec();
            let (id, value) = if ids::is_masked(&form) { ids::split_masked(value)? } else { (&form[..], value) };
            Ok(Put { id: id.to_vec(), value: value.to_vec(), form })
        })?;
        Ok(Grouped { rows, next: None })
    }

    pub fn scratch_clear(&self) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        self.writable()?;
        // Dropping frees the files at once; deleting a range would leave them until they are compacted.
        // It may be missing, where making it anew failed for want of space.
        if self.db.cf_handle(Family::Scratch.name()).is_some() {
            self.wrote(self.db.drop_cf(Family::Scratch.name()))?;
        }
        self.wrote(self.db.create_cf(Family::Scratch.name(), &open::scratch_options()))
    }
}

/// One value that was put.
struct Put {
    form: Vec<u8>,
    id: Vec<u8>,
    value: Vec<u8>,
}

/// Joins the values of each id.
struct Grouped<'a> {
    rows: Scan<'a, Put>,
    next: Option<Put>,
}

impl Iterator for Grouped<'_> {
    type Item = Result<ScratchRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.next.take() {
            Some(row) => row,
            None => match self.rows.next()? {
                Ok(row) => row,
                Err(error) => return Some(Err(error)),
            },
        };
        let mut row = ScratchRow { form: first.form, id: first.id, values: first.value, left_out: 0 };
        for next in self.rows.by_ref() {
            match next {
                Err(error) => return Some(Err(error)),
                Ok(put) if put.form == row.form => {
                    if row.left_out > 0 || row.values.len() + put.value.len() > SCRATCH_VALUE_BYTES_MAX {
                        row.left_out += 1;
                    } else {
                        row.values.extend_from_slice(&put.value);
                    }
                }
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
            }
        }
        Some(Ok(row))
    }
}
