//! How much do two lists share?
//!
//! All pairs within a radius of the hashes of two active versions, found together (`index`'s join), counted by entry. A list against
//! itself shows its near-duplicates, and the hubs: entries that are near to very many, as featureless pictures are. Reads the derived
//! columns; look-ups and writers go on meanwhile. Memory: the hashes of both lists, an index of one of them, and 16 bytes an entry of
//! the first. Time grows with the pairs there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::{CatalogError, OverlapCategory, OverlapHub, OverlapReport, load};
use crate::entry::{Bits, EntryNo, Hash64, HashKind, HashList, Pdq};
use crate::index::proof::prove;
use crate::index::{Hit, IndexChoice};

/// By how much one list is smaller than the other where it is the one to be indexed.
const MUCH_SMALLER: usize = 8;
/// Pairs that are compared one by one, where the radius is so wide that no index helps: some 20 s on one core.
const PAIRS_MAX: u64 = 10_000_000_000;
/// Hubs that a report names.
const HUBS_MAX: usize = 10;

impl super::Catalog {
    /// Compares the active versions of two lists by one kind of perceptual hash. Without a radius: the wider of the two lists'.
    pub fn overlap(&self, name: &str, other: &str, kind: HashKind, radius: Option<u16>) -> Result<OverlapReport, CatalogError> {
        let (list, other) = (self.find(name)?, self.find(other)?);
        let widest = list.policy.radius_widest(kind).max(other.policy.radius_widest(kind));
        let radius = radius.unwrap_or(widest);
        if radius > kind.radius_max() {
            return Err(CatalogError::Invalid(format!("a radius of {kind} is a number from 0 to {}", kind.radius_max())));
        }
        match kind {
            HashKind::Pdq => self.overlap_of::<32, Pdq>(&list, &other, kind, radius, |bytes| Pdq::from_bytes(bytes)),
            HashKind::Phash64 | HashKind::Dhash64 => {
                self.overlap_of::<8, Hash64>(&list, &other, kind, radius, |bytes| Hash64::from_bytes(bytes))
            }
            kind => Err(CatalogError::Invalid(format!("{kind} hashes have no distance: name pdq, phash64 or dhash64"))),
        }
    }

    fn overlap_of<const N: usize, H: Bits>(
        &self,
        list: &HashList,
        other: &HashList,
        kind: HashKind,
        radius: u16,
        make: fn(&[u8; N]) -> Option<H>,
    ) -> Result<OverlapReport, CatalogError> {
        let (rows, categories) = load::hashes_of(&self.store, list, kind, make)?;
        let (others, _) = load::hashes_of(&self.store, other, kind, make)?;
        let all = rows.len() as u64 * others.len() as u64;
        if radius > H::BITS / 4 && all > PAIRS_MAX {
            let why = format!("beyond {} bits all {all} pairs would be compared: name a smaller radius", H::BITS / 4);
            return Err(CatalogError::Invalid(why));
        }
        let itself = list.id == other.id;
        let seen: Vec<Seen> = rows.hashes.iter().map(|_| Seen::default()).collect();
        let pairs = AtomicU64::new(0);
        // The index stands on the much smaller side: it is built in no time and stays in the caches.
        let swapped = rows.len() < others.len() / MUCH_SMALLER;
        let (indexed, asked) = if swapped { (rows.hashes, others.hashes) } else { (others.hashes, rows.hashes) };
        let indexed: Arc<[H]> = indexed.into();
        let index = crate::index::build(IndexChoice::Auto.resolve::<H>(indexed.len(), radius), indexed.clone());
        prove(&*index, &indexed, radius)?;
        index.join(&asked, radius, &|hits: &[Hit]| {
            let mut n = 0;
            for hit in hits {
                let (own, other) = if swapped { (hit.row, hit.query) } else { (hit.query, hit.row) };
                if !itself || rows.entries[own as usize] != others.entries[other as usize] {
                    seen[own as usize].note(hit.distance);
                    n += 1;
                }
            }
            pairs.fetch_add(n, Ordering::Relaxed);
        });
        drop(index);

        let mut report = OverlapReport {
            kind,
            radius,
            entries: 0,
            other_entries: others.entries.chunk_by(|a, b| a == b).count() as u64,
            exact: 0,
            near: 0,
            // Of a list against itself each pair was met from both ends.
            pairs: pairs.into_inner() / if itself { 2 } else { 1 },
            categories: Vec::new(),
            hubs: Vec::new(),
        };
        let mut by_category: BTreeMap<&str, OverlapCategory> = BTreeMap::new();
        let mut hubs: Vec<(u64, EntryNo)> = Vec::new();
        let mut at = 0;
        while at < rows.entries.len() {
            // The hashes of one entry stand side by side.
            let entry = rows.entries[at];
            let own = seen[at..].iter().zip(&rows.entries[at..]).take_while(|(_, of)| **of == entry).map(|(seen, _)| seen);
            let (mut nearest, mut neighbours, mut n) = (u16::MAX, 0, 0);
            for seen in own {
                nearest = nearest.min(seen.nearest.load(Ordering::Relaxed));
                neighbours += u64::from(seen.neighbours.load(Ordering::Relaxed));
                n += 1;
            }
            let category = categories.of(entry);
            let counts = by_category.entry(category).or_insert_with(|| OverlapCategory::named(category));
            counts.entries += 1;
            counts.exact += u64::from(nearest == 0);
            counts.near += u64::from(nearest != 0 && nearest != u16::MAX);
            if neighbours > 0 {
                hubs.push((neighbours, entry));
                if hubs.len() > 2 * HUBS_MAX {
                    keep_largest(&mut hubs);
                }
            }
            at += n;
        }
        keep_largest(&mut hubs);
        report.categories = by_category.into_values().collect();
        for counts in &report.categories {
            report.entries += counts.entries;
            report.exact += counts.exact;
            report.near += counts.near;
        }
        for (neighbours, entry) in hubs {
            let row = self.store.entry(list.id, entry)?.into_iter().next();
            report.hubs.extend(row.map(|row| OverlapHub { entry_id: row.content.id, neighbours }));
        }
        Ok(report)
    }
}

/// What a hash met in the other list.
struct Seen {
    nearest: AtomicU16,
    neighbours: AtomicU32,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { nearest: AtomicU16::new(u16::MAX), neighbours: AtomicU32::new(0) }
    }
}

impl Seen {
    fn note(&self, distance: u16) {
        self.nearest.fetch_min(distance, Ordering::Relaxed);
        self.neighbours.fetch_add(1, Ordering::Relaxed);
    }
}

/// The most neighbours first, then by number.
fn keep_largest(hubs: &mut Vec<(u64, EntryNo)>) {
    hubs.sort_unstable_by_key(|(neighbours, entry)| (std::cmp::Reverse(*neighbours), *entry));
    hubs.truncate(HUBS_MAX);
}
