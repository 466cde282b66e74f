//! Which entries of a list have a hash, or an id that begins so? For people who look after the list: what a mark takes out is found too.

use std::ops::ControlFlow;

use super::layers::RadiusLayers;
use super::{Snapshot, dhash64, pdq, phash64};
use crate::entry::{Bits, EntryNo, HashValue, ListId};
use crate::index::{Query, Scratch};

impl Snapshot {
    /// Entries of a list's active version with a hash within `radius` bits of this one, and how near they are; by entry number. What
    /// was withdrawn has no hashes in here.
    pub fn find_by_hash(&self, list: ListId, hash: &HashValue, radius: u16) -> Vec<(EntryNo, u16)> {
        let mut found = Vec::new();
        if let Some(hash) = pdq(hash) {
            self.find_near(list, &self.kinds.pdq, Query { hash, radius }, &mut found);
        } else if let Some(hash) = phash64(hash) {
            self.find_near(list, &self.kinds.phash64, Query { hash, radius }, &mut found);
        } else if let Some(hash) = dhash64(hash) {
            self.find_near(list, &self.kinds.dhash64, Query { hash, radius }, &mut found);
        }
        let mut each = |entry| {
            if self.has(list, entry) {
                found.push((entry, 0));
            }
        };
        match hash {
            HashValue::Md5(digest) => self.kinds.md5.search(digest, &mut each),
            HashValue::Sha1(digest) => self.kinds.sha1.search(digest, &mut each),
            HashValue::Sha256(digest) => self.kinds.sha256.search(digest, &mut each),
            _ => {}
        }
        // Of an entry's hashes the nearest.
        found.sort_unstable();
        found.dedup_by_key(|(entry, _)| *entry);
        found
    }

    /// The first `most` entries after `after` whose ids begin with `prefix`, by entry number.
    pub fn find_by_id(&self, list: ListId, prefix: &str, after: Option<EntryNo>, most: usize) -> Vec<EntryNo> {
        let first = after.map_or(EntryNo(0), |after| EntryNo(after.0.saturating_add(1)));
        let named = |entry: &EntryNo| self.metadata.get(*entry).is_some_and(|row| row.list == list && row.id.starts_with(prefix));
        self.alive.iter_from(first).filter(named).take(most).collect()
    }

    fn find_near<H: Bits>(&self, list: ListId, layers: &RadiusLayers<H>, query: Query<H>, found: &mut Vec<(EntryNo, u16)>) {
        layers.look_up(&[query], &mut Scratch::default(), &mut |hits, entries| {
            let ours =
                hits.iter().map(|hit| (entries[hit.row as usize], hit.distance)).filter(|(entry, _)| self.has(list, *entry));
            found.extend(ours);
            ControlFlow::Continue(())
        });
    }

    fn has(&self, list: ListId, entry: EntryNo) -> bool {
        self.alive.contains(entry) && self.metadata.list_of(entry) == Some(list)
    }
}
