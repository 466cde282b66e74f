//! What of a change of policy is allowed and hardly meant?
//!
//! Said in words with the change, which is made all the same: radii beyond what is usual, and a category's own where no entry has that
//! category, as after a slip of the pen.

use std::collections::BTreeSet;

use super::columns::{self, METADATA};
use super::{Catalog, CatalogError, ListInfo, PolicyUpdate};
use crate::entry::ListId;

impl Catalog {
    /// The list after a change of its policy, with warnings. Takes no lock: it may read the metadata of all entries.
    pub(super) fn warned(&self, name: &str, update: &PolicyUpdate) -> Result<ListInfo, CatalogError> {
        let mut info = self.list(name)?;
        info.warnings = update.warnings();
        let named: BTreeSet<&str> = update.radii.iter().filter_map(|rule| rule.category.as_deref()).collect();
        // What is not filled yet can have any category.
        if info.rows > 0 && !named.is_empty() {
            let strange = self.without_entries(info.list.id, named)?;
            info.warnings
                .extend(strange.into_iter().map(|category| format!("no entry of list {name:?} has the category {category:?}")));
        }
        Ok(info)
    }

    /// Those categories that no entry of the list has, or had as far as the store still knows.
    fn without_entries<'n>(&self, list: ListId, mut named: BTreeSet<&'n str>) -> Result<BTreeSet<&'n str>, CatalogError> {
        for chunk in self.store().columns(METADATA)? {
            let (_, chunk) = chunk?;
            if !chunk.starts_with(&list.0.to_be_bytes()) {
                continue;
            }
            let whole = columns::decode_metadata(&chunk, |_, fact| {
                named.remove(fact.category);
                Some(())
            });
            whole.ok_or_else(|| CatalogError::Damaged("a chunk of metadata can't be read".to_owned()))?;
            if named.is_empty() {
                break;
            }
        }
        Ok(named)
    }
}
