//! How much do two lists share?
//!
//! All pairs within a radius of the hashes of two active versions, found together (`index`'s join), counted by entry. A list against
//! itself shows its near-duplicates, and the hubs: entries that are near to very many, as featureless pictures are. A hash that many
//! entries have is looked up once. Reads the derived columns; look-ups and writers go on meanwhile, for it has threads of its own. Memory: some
//! 50 bytes beside each hash, and an index of one list. Time grows with the pairs of different hashes there are.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use super::stored::Categories;
use super::{CatalogError, OverlapCategory, OverlapHub, OverlapReport, stored};
use crate::entry::{Bits, EntryNo, Hash64, HashKind, HashList, Pdq};
use crate::index::proof::prove;
use crate::index::{Hit, IndexKind};
use crate::snapshot::Rows;
use rayon::prelude::*;

/// By how much one list is smaller than the other where it is the one to be indexed.
const MUCH_SMALLER: usize = 8;
/// What may be spent on one core, as far as can be told beforehand: more than enough for ten million hashes with ten million at radius 31.
const WORK_MAX: Duration = Duration::from_secs(20 * 60);
/// Hubs that a report names.
const HUBS_MAX: usize = 10;

impl super::Catalog {
    /// Compares the active versions of two lists by one kind of perceptual hash. Without a radius: the wider of the two lists'.
    /// `ended` says whether the result is wanted no more.
    pub fn overlap(
        &self,
        name: &str,
        other: &str,
        kind: HashKind,
        radius: Option<u16>,
        ended: &(dyn Fn() -> bool + Sync),
    ) -> Result<OverlapReport, CatalogError> {
        let (list, other) = (self.find(name)?, self.find(other)?);
        let widest = list.policy.radius_widest(kind).max(other.policy.radius_widest(kind));
        let radius = radius.unwrap_or(widest);
        if kind.radius_max() > 0 && radius > kind.radius_max() {
            return Err(CatalogError::Invalid(format!("the radius for {kind} must be 0 to {}", kind.radius_max())));
        }
        let lists = Lists { list, other, kind, radius };
        let work = || match kind {
            HashKind::Pdq => self.overlap_of::<32, Pdq>(&lists, |bytes| Pdq::from_bytes(bytes), ended),
            HashKind::Phash64 | HashKind::Dhash64 => {
                self.overlap_of::<8, Hash64>(&lists, |bytes| Hash64::from_bytes(bytes), ended)
            }
            kind => Err(CatalogError::Invalid(format!("{kind} hashes have no distance; compare pdq, phash64 or dhash64"))),
        };
        // Threads of its own: whoever builds an index, which every import does, must not wait for this.
        super::threads::pool("overlap", super::threads::Priority::Background)?.install(work)
    }

    fn overlap_of<const N: usize, H: Bits>(
        &self,
        lists: &Lists,
        make: fn(&[u8; N]) -> Option<H>,
        ended: &(dyn Fn() -> bool + Sync),
    ) -> Result<OverlapReport, CatalogError> {
        let Lists { list, other, kind, radius } = lists;
        let (kind, radius, itself) = (*kind, *radius, list.id == other.id);
        let stop = || if ended() { Err(CatalogError::Refused("the caller has gone".to_owned())) } else { Ok(()) };
        let read = |of: &HashList| {
            let rows = stored::hashes_of(&self.store(), of, kind, make);
            // What was read of a list that is deleted meanwhile is not all of it.
            if self.store().list(of.id)?.is_none() {
                return Err(CatalogError::NoSuchList(of.name.clone()));
            }
            let (rows, categories) = rows?;
            stop()?;
            Ok((Side::of(rows), categories))
        };
        let (own, categories) = read(list)?;
        let other_side = if itself { None } else { Some(read(other)?) };
        let (others, their_categories) = other_side.as_ref().map_or((&own, &categories), |(side, categories)| (side, categories));
        let theirs = others.categories(their_categories);
        let own_categories: Vec<&str> = own.entries.iter().map(|entry| categories.of(*entry)).collect();
        let seen: Vec<Seen> = own.entries.iter().map(|_| Seen::default()).collect();
        let pairs = AtomicU64::new(0);
        // The index stands on the much smaller side: it is built in no time and stays in the caches.
        let swapped = own.hashes.len() < others.hashes.len() / MUCH_SMALLER;
        let (indexed, asked) = if swapped { (&own.hashes, &others.hashes) } else { (&others.hashes, &own.hashes) };
        let index_kind = IndexKind::for_join(indexed.len());
        check_work(crate::index::expected_look_up::<H>(index_kind, indexed.len(), radius), asked.len(), radius)?;
        let index = crate::index::build(index_kind, indexed.clone());
        prove(&*index, indexed, radius)?;
        stop()?;
        index.join(asked, radius, &|hits: &[Hit]| {
            let mut n = 0;
            for hit in hits {
                let (hash, neighbour) = if swapped { (hit.row, hit.query) } else { (hit.query, hit.row) };
                let neighbours = others.owners(neighbour);
                for owner in own.owners(hash) {
                    let its_own = if itself { count_of(neighbours, *owner) } else { 0 };
                    let more = neighbours.len() - its_own;
                    if more > 0 {
                        let seen = &seen[*owner as usize];
                        seen.note(hit.distance, more as u32);
                        if theirs[neighbour as usize] != Some(own_categories[*owner as usize]) {
                            seen.differs.store(true, Ordering::Relaxed);
                        }
                        n += more as u64;
                    }
                }
            }
            pairs.fetch_add(n, Ordering::Relaxed);
            if ended() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        stop()?;
        drop(index);

        let mut report = OverlapReport {
            kind,
            radius,
            entries: 0,
            other_entries: others.entries.len() as u64,
            exact: 0,
            near: 0,
            differing: 0,
            // Of a list against itself each pair was met from both ends.
            pairs: pairs.into_inner() / if itself { 2 } else { 1 },
            categories: Vec::new(),
            hubs: Vec::new(),
        };
        let mut by_category: BTreeMap<&str, OverlapCategory> = BTreeMap::new();
        let mut hubs: Vec<(u64, EntryNo)> = Vec::new();
        for (seen, entry) in seen.iter().zip(&own.entries) {
            let (nearest, neighbours) = (seen.nearest.load(Ordering::Relaxed), seen.neighbours.load(Ordering::Relaxed));
            let category = categories.of(*entry);
            let counts = by_category.entry(category).or_insert_with(|| OverlapCategory::named(category));
            counts.entries += 1;
            counts.exact += u64::from(nearest == 0);
            counts.near += u64::from(nearest != 0 && nearest != u16::MAX);
            counts.differing += u64::from(seen.differs.load(Ordering::Relaxed));
            if neighbours > 0 {
                hubs.push((neighbours, *entry));
                if hubs.len() > 2 * HUBS_MAX {
                    keep_largest(&mut hubs);
                }
            }
        }
        keep_largest(&mut hubs);
        report.categories = by_category.into_values().collect();
        for counts in &report.categories {
            report.entries += counts.entries;
            report.exact += counts.exact;
            report.near += counts.near;
            report.differing += counts.differing;
        }
        for (neighbours, entry) in hubs {
            let content = self.store().entry(list.id, entry)?;
            report.hubs.extend(content.map(|content| OverlapHub { entry_id: content.id, neighbours }));
        }
        Ok(report)
    }
}

/// What is compared.
struct Lists {
    list: HashList,
    other: HashList,
    kind: HashKind,
    radius: u16,
}

/// A list's hashes, each once, in rising order, and who has them.
struct Side<H> {
    hashes: Arc<[H]>,
    /// Where each hash's owners begin, and where the last one's end.
    starts: Vec<u32>,
    /// Positions among the entries, rising for each hash.
    owners: Vec<u32>,
    /// Rising.
    entries: Vec<EntryNo>,
}

impl<H: Bits> Side<H> {
    /// Rows come by entry.
    fn of(rows: Rows<H>) -> Self {
        let mut entries = rows.entries.clone();
        entries.dedup();
        let mut owned: Vec<(H, u32)> = Vec::with_capacity(rows.len());
        let mut owner = 0;
        for (hash, entry) in rows.hashes.iter().zip(&rows.entries) {
            owner += u32::from(entries[owner as usize] != *entry);
            owned.push((*hash, owner));
        }
        drop(rows);
        owned.par_sort_unstable();
        let (mut hashes, mut starts) = (Vec::new(), Vec::new());
        for (at, (hash, _)) in owned.iter().enumerate() {
            if hashes.last() != Some(hash) {
                hashes.push(*hash);
                starts.push(at as u32);
            }
        }
        starts.push(owned.len() as u32);
        let owners = owned.iter().map(|(_, owner)| *owner).collect();
        Side { hashes: hashes.into(), starts, owners, entries }
    }

    /// Of each hash the category of its owners; none where they have several.
    fn categories<'c>(&self, of: &'c Categories) -> Vec<Option<&'c str>> {
        let category = |owner: &u32| of.of(self.entries[*owner as usize]);
        let of_hash = |hash| {
            let owners = self.owners(hash);
            let first = category(owners.first()?);
            owners[1..].iter().all(|owner| category(owner) == first).then_some(first)
        };
        (0..self.hashes.len() as u32).map(of_hash).collect()
    }

    fn owners(&self, hash: u32) -> &[u32] {
        &self.owners[self.starts[hash as usize] as usize..self.starts[hash as usize + 1] as usize]
    }
}

/// How often an owner is among owners.
fn count_of(owners: &[u32], owner: u32) -> usize {
    let first = owners.partition_point(|other| *other < owner);
    owners[first..].iter().take_while(|other| **other == owner).count()
}

/// What an entry met in the other list.
struct Seen {
    nearest: AtomicU16,
    neighbours: AtomicU64,
    /// One of them has another category.
    differs: AtomicBool,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { nearest: AtomicU16::new(u16::MAX), neighbours: AtomicU64::new(0), differs: AtomicBool::new(false) }
    }
}

impl Seen {
    fn note(&self, distance: u16, neighbours: u32) {
        self.nearest.fetch_min(distance, Ordering::Relaxed);
        self.neighbours.fetch_add(u64::from(neighbours), Ordering::Relaxed);
    }
}

/// The most neighbours first, then by number.
fn keep_largest(hubs: &mut Vec<(u64, EntryNo)>) {
    hubs.sort_unstable_by_key(|(neighbours, entry)| (std::cmp::Reverse(*neighbours), *entry));
    hubs.truncate(HUBS_MAX);
}

/// Refuses so many look-ups where they would take too long at this radius: others wait for the comparison to end.
fn check_work(of_one: Duration, look_ups: usize, radius: u16) -> Result<(), CatalogError> {
    let minutes = |work: Duration| work.as_secs().div_ceil(60);
    let work = of_one.saturating_mul(u32::try_from(look_ups).unwrap_or(u32::MAX));
    if work > WORK_MAX {
        let (some, most) = (minutes(work), minutes(WORK_MAX));
        let why = format!(
            "at radius {radius} this would take some {some} minutes of one core, and the limit is {most}: choose a smaller radius"
        );
        return Err(CatalogError::Invalid(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::expected_look_up;

    #[test]
    fn a_comparison_that_would_take_too_long_is_refused_before_it_begins() {
        fn check<H: Bits>(of_each: usize, radius: u16) -> Result<(), CatalogError> {
            check_work(expected_look_up::<H>(IndexKind::MultiIndex, of_each, radius), of_each, radius)
        }
        for (of_each, radius) in [(10_000_000, 31), (1_000_000, 40), (100_000, 65), (100_000, 256)] {
            check::<Pdq>(of_each, radius).unwrap();
        }
        check::<Hash64>(10_000_000, 8).unwrap();
        for (of_each, radius) in [(10_000_000, 48), (1_000_000, 70), (1_000_000, 256)] {
            let why = check::<Pdq>(of_each, radius).unwrap_err().to_string();
            assert!(why.contains(&format!("at radius {radius}")) && why.contains("minutes"), "{why}");
        }
        assert!(check::<Hash64>(10_000_000, 30).is_err());
    }
}
