//! Is a signed bundle to be taken into this list?
//!
//! It is if the operator trusts its signer, if it is of the list's polarity, and if it is no older than the last one taken into the list from that
//! signer and of that name: who holds an old bundle could otherwise bring back what was withdrawn since. The numbers of versions are kept beside the
//! list, by signer and name. Invariant: a number is kept before the version is activated, so that no bundle is taken whose number would be forgotten.

use std::collections::BTreeMap;

use super::{Catalog, CatalogError};
use crate::entry::{HashList, ListId, Polarity};
use crate::lists::bundle::Origin;
use crate::lists::{FileError, Signers};
use crate::store::{DerivedPut, Store};

/// The newest version taken, and the newest of the sender's changes, by `KEY/NAME`, or `KEY/NAME/SOURCE` of a part of a list.
type Taken = BTreeMap<String, (u32, u64)>;

/// What bundles are held against.
pub(super) struct Bundles<'a> {
    pub signers: &'a Signers,
    pub list: &'a HashList,
    /// An older version may be taken.
    pub accept: bool,
    pub taken: Taken,
}

impl Bundles<'_> {
    /// The signer's name, or why the bundle is refused.
    pub fn admit(&self, origin: &Origin) -> Result<String, FileError> {
        let refused = |why: String| Err(FileError::Bundle(why));
        let Some(name) = self.signers.name(&origin.signer) else {
            return refused(format!(
                "the bundle's signer is not trusted here: to trust it, add NAME={} to [import] trusted_signers, once the sender has \
                 confirmed this key by another way than the bundle came",
                origin.signer
            ));
        };
        let (theirs, ours) = (origin.of.negative, self.list.polarity == Polarity::Negative);
        if theirs != ours {
            let said = |negative| if negative { "negative" } else { "positive" };
            let (theirs, ours) = (said(theirs), said(ours));
            return refused(format!("the bundle is of a {theirs} list, and list {:?} is {ours}", self.list.name));
        }
        let (newest, change) = self.taken.get(&of(origin)).copied().unwrap_or_default();
        if origin.of.version < newest && !self.accept {
            return refused(format!(
                "the bundle has version {} of {name}'s list {:?}, and version {newest} was imported already; to go back to the older one, give --accept",
                origin.of.version, origin.of.list
            ));
        }
        // Of one version: entries may have been disabled between two exports.
        if origin.of.change < change && !self.accept {
            return refused(format!(
                "a later export of {name}'s list {:?} was imported already; to go back to the older one, give --accept",
                origin.of.list
            ));
        }
        Ok(name.to_owned())
    }
}

fn of(origin: &Origin) -> String {
    let source = origin.of.source.as_deref().map_or_else(String::new, |source| format!("/{source}"));
    format!("{}/{}{source}", origin.signer, origin.of.list)
}

/// The mark under which the numbers of a list are kept.
pub(super) fn mark(list: ListId) -> String {
    format!("bundles/{}", list.0)
}

pub(super) fn taken(store: &Store, list: ListId) -> Result<Taken, CatalogError> {
    let damaged = |_| CatalogError::Damaged("the versions of imported bundles can't be read".to_owned());
    store.derived_mark(&mark(list))?.map_or(Ok(Taken::new()), |bytes| serde_json::from_slice(&bytes).map_err(damaged))
}

impl Catalog {
    /// Keeps the number of a bundle's version.
    pub(super) fn note_bundle(&self, list: ListId, origin: &Origin) -> Result<(), CatalogError> {
        let store = self.store();
        let mut taken = taken(&store, list)?;
        taken.insert(of(origin), (origin.of.version, origin.of.change));
        let bytes = serde_json::to_vec(&taken).unwrap_or_default(); // strings and numbers
        Ok(store.derived_put(&[DerivedPut::Mark { name: mark(list), bytes }])?)
    }
}
