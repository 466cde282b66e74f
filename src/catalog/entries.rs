//! One entry of a list, or those that have a hash or an id, for whoever looks after the list.

use std::collections::BTreeMap;

use super::{Catalog, CatalogError, EntryInfo, advance};
use crate::entry::shown::without_hashes;
use crate::entry::{Details, Entry, EntryNo, HashKind, HashList, HashValue, Mark, Marked};
use crate::store::Store;

/// Entries that one answer names at most.
pub const FOUND_MAX: usize = 1_000;
/// Bytes of what one answer says of them, but for the last one's: a server may have to keep many answers for callers that do not read.
const FOUND_BYTES_MAX: usize = 128 * 1024;
/// What an entry takes beside its texts.
const ENTRY_BYTES: usize = 256;

/// What entries are looked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryQuery {
    /// A hash, and how far theirs may be from it, in bits.
    Hash(HashValue, u16),
    /// The beginning of their ids.
    Id(String),
    /// That they are marked.
    Marked,
}

/// Some of the entries that were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEntries {
    /// With how far their hash is from the one that was looked for; 0 where none was.
    pub entries: Vec<(EntryInfo, u16)>,
    /// The last one, where there are more after it.
    pub more_after: Option<EntryNo>,
}

impl Catalog {
    /// One entry of the active version; its hashes only `with_hashes`.
    pub fn entry(&self, name: &str, id: &str, with_hashes: bool) -> Result<EntryInfo, CatalogError> {
        let (store, list) = (self.store(), self.find(name)?);
        let lineage = advance::lineage(&store, list.id, list.active)?;
        let known = store.id_history(list.id, id)?.in_version(&lineage);
        let info = known.map(|known| info(&store, &list, known.entry, with_hashes)).transpose()?.flatten();
        info.ok_or_else(|| CatalogError::NoSuchEntry {
            list: name.to_owned(),
            id: id.to_owned(),
            why: "the list has no such entry",
        })
    }

    /// Entries of the active version, by number, from the first after `after` on; `most` of them. Needs the indexes.
    pub fn find_entries(
        &self,
        name: &str,
        query: &EntryQuery,
        after: Option<EntryNo>,
        most: usize,
    ) -> Result<FoundEntries, CatalogError> {
        let most = most.clamp(1, FOUND_MAX);
        let (store, list) = (self.store(), self.find(name)?);
        let published = self.published.as_ref().ok_or_else(|| CatalogError::Refused("no index is loaded".to_owned()))?;
        let snapshot = published.load();
        let found: Vec<(EntryNo, u16)> = match query {
            EntryQuery::Hash(hash, radius) => {
                check_radius(hash.kind(), *radius)?;
                let found = snapshot.find_by_hash(list.id, hash, *radius).into_iter();
                found.filter(|(entry, _)| after.is_none_or(|after| *entry > after)).take(most + 1).collect()
            }
            EntryQuery::Id(prefix) => {
                snapshot.find_by_id(list.id, prefix, after, most + 1).into_iter().map(|entry| (entry, 0)).collect()
            }
            EntryQuery::Marked => {
                let mut found = marked(&store, &list)?;
                found.retain(|(entry, _)| after.is_none_or(|after| *entry > after));
                found.truncate(most + 1);
                found
            }
        };
        let (mut entries, mut bytes, mut last) = (Vec::new(), 0, None);
        for (entry, distance) in found.iter().take(most) {
            // One that was taken out meanwhile is not there any more.
            if let Some(info) = info(&store, &list, *entry, false)? {
                bytes += ENTRY_BYTES + info.id.len() + info.category.len() + info.details.bytes();
                entries.push((info, *distance));
            }
            last = Some(*entry);
            if bytes > FOUND_BYTES_MAX {
                break;
            }
        }
        let is_all = last == found.last().map(|(entry, _)| *entry);
        Ok(FoundEntries { entries, more_after: last.filter(|_| !is_all) })
    }
}

pub(super) fn check_radius(kind: HashKind, radius: u16) -> Result<(), CatalogError> {
    if kind == HashKind::PhotoDna {
        return Err(CatalogError::Invalid("photodna hashes are not searched".to_owned()));
    }
    Ok(kind.check_policy_radius(radius)?)
}

/// The marked entries of the active version.
fn marked(store: &Store, list: &HashList) -> Result<Vec<(EntryNo, u16)>, CatalogError> {
    let lineage = advance::lineage(store, list.id, list.active)?;
    let mut found = Vec::new();
    for marked in store.marks(list.id)? {
        let marked = marked?;
        let known = store.id_history(list.id, &marked.id)?.in_version(&lineage);
        found.extend(known.filter(|known| marked.mark.is_about(known.entry)).map(|known| (known.entry, 0)));
    }
    found.sort_unstable();
    Ok(found)
}

/// What is known of an entry, if it is in the active version.
fn info(store: &Store, list: &HashList, entry: EntryNo, with_hashes: bool) -> Result<Option<EntryInfo>, CatalogError> {
    let Some(Entry { id, category, status, hashes }) = store.entry(list.id, entry)? else { return Ok(None) };
    let lineage = advance::lineage(store, list.id, list.active)?;
    let history = store.id_history(list.id, &id)?;
    let Some(known) = history.in_version(&lineage).filter(|known| known.entry == entry) else { return Ok(None) };
    let mut kinds = BTreeMap::new();
    hashes.iter().for_each(|hash| *kinds.entry(hash.kind()).or_default() += 1);
    let details = store.details(list.id, entry, &known.brief)?;
    Ok(Some(EntryInfo {
        version: history.since(entry, &lineage).unwrap_or_default(),
        sources: list.source_names(known.brief.sources).into_iter().map(str::to_owned).collect(),
        details: if with_hashes { details } else { masked(details) },
        mark: store
            .mark(list.id, &id)?
            .filter(|marked| marked.mark.is_about(entry))
            .map(|marked| if with_hashes { marked } else { masked_mark(marked) }),
        hashes: if with_hashes { hashes } else { Vec::new() },
        id,
        category: if with_hashes { category } else { without_hashes(&category).into_owned() },
        status,
        kinds,
    }))
}

/// A mark without what may be a hash.
fn masked_mark(marked: Marked) -> Marked {
    let note = without_hashes(&marked.mark.note).into_owned();
    Marked { mark: Mark { note, ..marked.mark }, ..marked }
}

/// Details without what may be a hash.
fn masked(details: Details) -> Details {
    let text = |text: String| without_hashes(&text).into_owned();
    Details {
        tags: details.tags.into_iter().map(text).collect(),
        note: text(details.note),
        updated: text(details.updated),
        fields: details.fields.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
        ..details
    }
}
