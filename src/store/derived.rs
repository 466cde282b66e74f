//! Rows that others computed from the truth, and may drop and compute again: columns, BK-trees, and small named marks that say
//! how far they reach.
//!
//! Written in a change's own batch, so that they never run ahead of it, or outside any change. Their meaning is the catalog's.

use super::keys::{self, Family};
use super::{Store, StoreError, meta};
use crate::entry::EntryNo;
use rocksdb::{WriteBatch, WriteOptions};

/// Keys and values of the derived rows in one batch, in bytes.
pub const DERIVED_BYTES_MAX: usize = 64 * 1024 * 1024;
pub const MARK_NAME_BYTES_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq)]
pub enum DerivedPut {
    /// `bytes` begin with the list's number (u32, big-endian), by which they go when the list is deleted.
    Column { kind: u8, first: EntryNo, bytes: Vec<u8> },
    /// The chunk goes.
    NoColumn { kind: u8, first: EntryNo },
    /// An edge of a tree: replaces the one under the same parent and edge.
    Bk { kind: u8, tree: u32, parent: u32, edge: u16, node: u32, hash: Vec<u8> },
    /// A small value under an ascii name.
    Mark { name: String, bytes: Vec<u8> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedClear {
    Columns { kind: u8 },
    BkTree { kind: u8, tree: u32 },
    Marks,
}

impl Store {
    /// Writes derived rows outside a change, in one batch.
    pub fn derived_put(&self, puts: &[DerivedPut]) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        self.writable()?;
        check_derived(puts)?;
        let mut batch = WriteBatch::default();
        put_derived(self, &mut batch, puts)?;
        self.write(batch, &WriteOptions::default())
    }

    pub fn derived_clear(&self, clear: DerivedClear) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        let mut batch = WriteBatch::default();
        let (family, from, to) = match clear {
            DerivedClear::Columns { kind } => (Family::Columns, vec![kind], after(&[kind])),
            DerivedClear::BkTree { kind, tree } => {
                let key = keys::bk_tree_key(kind, tree);
                (Family::Bk, key.to_vec(), after(&key))
            }
            DerivedClear::Marks => (Family::Meta, keys::META_MARK.to_vec(), after(keys::META_MARK)),
        };
        batch.delete_range_cf(&self.family(family)?, from, to);
        self.write(batch, &WriteOptions::default())
    }

    /// Drops all derived rows and marks, and notes the layout that the next ones have. On the disk when it returns.
    pub fn derived_reset(&self, format_derived: u32) -> Result<(), StoreError> {
        let _writer = self.writer()?;
        let mut batch = WriteBatch::default();
        for family in [Family::Columns, Family::Bk] {
            batch.delete_range_cf(&self.family(family)?, Vec::new(), END.to_vec());
        }
        let meta = self.family(Family::Meta)?;
        batch.delete_range_cf(&meta, keys::META_MARK.to_vec(), after(keys::META_MARK));
        batch.put_cf(&meta, keys::META_FORMAT_DERIVED, format_derived.to_be_bytes());
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.write(batch, &options)
    }

    pub fn derived_mark(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        meta::value(&self.db, &mark_key(name))
    }
}

/// After every key of a derived family: none is so long.
const END: [u8; 16] = [0xff; 16];

/// After every key that starts with `prefix`.
fn after(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|b| *b != 0xff);
    match kept {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        }
        None => END.to_vec(),
    }
}

fn mark_key(name: &str) -> Vec<u8> {
    [keys::META_MARK, name.as_bytes()].concat()
}

pub(super) fn check_derived(puts: &[DerivedPut]) -> Result<(), StoreError> {
    let mut bytes_all = 0;
    for put in puts {
        bytes_all += 16;
        bytes_all += match put {
            DerivedPut::Column { bytes, .. } if bytes.len() < 4 => {
                return Err(StoreError::Refused("a column chunk begins with its list's number".into()));
            }
            DerivedPut::Mark { name, .. } if name.len() > MARK_NAME_BYTES_MAX || !name.is_ascii() => {
                return Err(StoreError::Refused("a mark's name is short and ascii".into()));
            }
            DerivedPut::Column { bytes, .. } | DerivedPut::Mark { bytes, .. } => bytes.len(),
            DerivedPut::Bk { hash, .. } => hash.len(),
            DerivedPut::NoColumn { .. } => 0,
        };
    }
    if bytes_all > DERIVED_BYTES_MAX {
        return Err(StoreError::Refused(format!("{bytes_all} bytes of derived rows; the limit is {DERIVED_BYTES_MAX}")));
    }
    Ok(())
}

pub(super) fn put_derived(store: &Store, batch: &mut WriteBatch, puts: &[DerivedPut]) -> Result<(), StoreError> {
    let (columns, bk, meta) = (store.family(Family::Columns)?, store.family(Family::Bk)?, store.family(Family::Meta)?);
    for put in puts {
        match put {
            DerivedPut::Column { kind, first, bytes } => batch.put_cf(&columns, keys::column_key(*kind, *first), bytes),
            DerivedPut::NoColumn { kind, first } => batch.delete_cf(&columns, keys::column_key(*kind, *first)),
            DerivedPut::Bk { kind, tree, parent, edge, node, hash } => {
                let value = [&node.to_be_bytes(), &hash[..]].concat();
                batch.put_cf(&bk, keys::bk_key(*kind, *tree, *parent, *edge), value);
            }
            DerivedPut::Mark { name, bytes } => batch.put_cf(&meta, mark_key(name), bytes),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn the_end_of_a_prefix_is_after_all_its_keys_and_before_the_next() {
        for (prefix, end) in [(&[1][..], &[2][..]), (&[1, 0xff], &[2]), (&[1, 2], &[1, 3]), (&[0xff], &[0xff; 16])] {
            assert_eq!(after(prefix), end);
        }
    }
}
