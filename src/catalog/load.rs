//! All that the store holds to a snapshot, from nothing.
//!
//! Which entries a version holds follows from the deltas; what they are from the derived columns. Entries of the active and of
//! the previously active version of each list are loaded, so that a roll-back only flips bits.

use super::{CatalogError, advance, bk, marks, stored};
use crate::entry::{Bits, EntryNo, HashKind, HashList, VersionNo};
use crate::index::bk_tree::BkIndex;
use crate::index::exact::ExactIndex;
use crate::index::proof::prove;
use crate::index::{IndexChoice, IndexKind, RadiusIndex};
use crate::snapshot::{Alive, Choices, Layer, NotLoaded, Rows, Snapshot};
use crate::store::{DeltaOp, Store};
use crate::verdict::Policy;
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Entries of a share at least. These are read in some 7 ms; fewer are not worth another thread.
const SHARE_MIN: u32 = 50_000;

/// The lists that answer: enabled, with an active version.
pub fn policy(lists: &[HashList], matches_per_list_max: usize) -> Policy {
    let mut lists: Vec<_> = lists.iter().filter(|l| !l.disabled && l.active != VersionNo(0)).cloned().collect();
    lists.sort_by_key(|l| l.id);
    Policy { lists, matches_per_list_max }
}

/// The whole snapshot. `load` tells it from those of other loadings.
pub fn snapshot(store: &Store, choices: Choices, matches_per_list_max: usize, load: u64) -> Result<Snapshot, CatalogError> {
    // Before the lists: what changes meanwhile makes the snapshot older than it is, never newer.
    let id = store.seq()?;
    let lists = store.lists()?;
    let LiveEntries { alive, before, entries } = live_entries(store, &lists, SHARE_MIN)?;
    let mut snapshot = Snapshot { id, policy: policy(&lists, matches_per_list_max), load, ..Snapshot::default() };
    for (list, (entries, spare)) in lists.iter().zip(entries) {
        let version = store.version(list.id, list.active)?;
        if entries != version.map_or(0, |v| v.rows) {
            return Err(CatalogError::Damaged(format!(
                "the active version of list {:?} has another number of entries",
                list.name
            )));
        }
        snapshot.versions.insert(list.id, list.active);
        snapshot.spare.insert(list.id, spare);
        marks::load(store, list, &mut snapshot)?;
    }
    let mut wanted = before;
    wanted.unite(&alive);
    let rows = stored::read(store, EntryNo(0), &wanted, &mut snapshot)?;
    for entry in alive.iter() {
        if !snapshot.set_alive(entry, true) {
            return Err(not_loaded(NotLoaded(entry)));
        }
    }
    let widest = |kind| lists.iter().map(|l| l.policy.radius_looked_up(kind)).max().unwrap_or(0);
    let (kinds, mut recall) = (&mut snapshot.kinds, None);
    if let Some(layer) = whole(store, HashKind::Pdq, rows.pdq, choices.pdq, widest(HashKind::Pdq), &mut recall)? {
        kinds.pdq.push(layer);
    }
    if let Some(layer) = whole(store, HashKind::Phash64, rows.phash64, choices.phash64, widest(HashKind::Phash64), &mut recall)? {
        kinds.phash64.push(layer);
    }
    if let Some(layer) = whole(store, HashKind::Dhash64, rows.dhash64, choices.dhash64, widest(HashKind::Dhash64), &mut recall)? {
        kinds.dhash64.push(layer);
    }
    if !rows.md5.is_empty() {
        kinds.md5.push(Layer::<[u8; 16], ExactIndex<16>>::build(rows.md5)?);
        recall.get_or_insert(1.0);
    }
    if !rows.sha1.is_empty() {
        kinds.sha1.push(Layer::<[u8; 20], ExactIndex<20>>::build(rows.sha1)?);
        recall.get_or_insert(1.0);
    }
    if !rows.sha256.is_empty() {
        kinds.sha256.push(Layer::<[u8; 32], ExactIndex<32>>::build(rows.sha256)?);
        recall.get_or_insert(1.0);
    }
    if let Some(recall) = recall {
        show_recall(recall);
    }
    Ok(snapshot)
}

/// An entry that a version holds and no column has would be missed in silence: it is an error.
pub fn not_loaded(NotLoaded(entry): NotLoaded) -> CatalogError {
    CatalogError::Damaged(format!("entry {} is in a version and not in the columns", entry.0))
}

/// What the lists hold.
#[derive(Default)]
struct LiveEntries {
    /// The entries of the active versions.
    alive: Alive,
    /// Those of the versions that were active before.
    before: Alive,
    /// For each list, how many are in its active version, and how many in the version before alone.
    entries: Vec<(u64, u64)>,
}

/// Read in as many shares as there are threads, each of some entries of all lists: most of the time is the store's, key by key.
fn live_entries(store: &Store, lists: &[HashList], share_min: u32) -> Result<LiveEntries, CatalogError> {
    let end = store.next_entry()?.0;
    let share = end.div_ceil(rayon::current_num_threads().max(1) as u32).max(share_min);
    let starts: Vec<u32> = (0..end.max(1)).step_by(share as usize).collect();
    let share_of = |start: u32| {
        let last = if end - start <= share { u32::MAX } else { start + share - 1 };
        live_entries_of(store, lists, EntryNo(start)..=EntryNo(last))
    };
    let shares: Vec<LiveEntries> = starts.into_par_iter().map(share_of).collect::<Result<_, _>>()?;
    let none = LiveEntries { entries: vec![(0, 0); lists.len()], ..LiveEntries::default() };
    Ok(shares.into_iter().fold(none, |mut all, share| {
        all.alive.unite(&share.alive);
        all.before.unite(&share.before);
        for ((active, spare), (more_active, more_spare)) in all.entries.iter_mut().zip(share.entries) {
            *active += more_active;
            *spare += more_spare;
        }
        all
    }))
}

/// The same of some entries.
fn live_entries_of(store: &Store, lists: &[HashList], entries: RangeInclusive<EntryNo>) -> Result<LiveEntries, CatalogError> {
    let mut live_entries = LiveEntries::default();
    for list in lists {
        let (active, previous) =
            (advance::lineage(store, list.id, list.active)?, advance::lineage(store, list.id, list.previous)?);
        let (mut alive, mut before) = (Alive::default(), Alive::default());
        // What both have in common comes first, in either.
        for (versions, is_active) in [(&active, true), (&previous.without(&active), false)] {
            for (first, last) in versions.ranges() {
                for delta in store.deltas_of(list.id, *first..=*last, entries.clone())? {
                    let delta = delta?;
                    if delta.op == DeltaOp::Described {
                        continue;
                    }
                    let live = delta.op == DeltaOp::Opened;
                    if is_active {
                        alive.set(delta.entry, live);
                    }
                    if previous.contains(delta.version) {
                        before.set(delta.entry, live);
                    }
                }
            }
        }
        let mut spare = before.clone();
        spare.remove(&alive);
        live_entries.entries.push((alive.count(), spare.count()));
        live_entries.alive.unite(&alive);
        live_entries.before.unite(&before);
    }
    Ok(live_entries)
}

/// One layer of all rows of a kind. A BK-tree is taken from its stored rows, not built again. `recall` is the worst proof's so far.
fn whole<H: Bits>(
    store: &Store,
    kind: HashKind,
    rows: Rows<H>,
    choice: IndexChoice,
    radius: u16,
    recall: &mut Option<f64>,
) -> Result<Option<Layer<H, dyn RadiusIndex<H>>>, CatalogError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let index = choice.resolve::<H>(rows.len(), radius);
    let hashes: std::sync::Arc<[H]> = rows.hashes.into();
    let stored = bk_tree(store, kind, index, hashes.clone())?;
    let built = stored.unwrap_or_else(|| crate::index::build(index, hashes.clone()));
    let proof = prove(&*built, &hashes, radius);
    let found = proof.map_or_else(|flaw| flaw.recall(), |()| 1.0);
    *recall = Some(recall.map_or(found, |worst| worst.min(found)));
    let index = match proof {
        Ok(()) => built,
        Err(flaw) => {
            // There is nothing else that could answer, so the slowest does, which is the measure of the others.
            tracing::error!(%kind, %flaw, "scanning instead");
            crate::index::build(IndexKind::Linear, hashes.clone())
        }
    };
    Ok(Some(Layer { index, hashes, entries: rows.entries.into() }))
}

/// The newest proof's result, for whoever watches. Before the first there is none to show.
pub fn show_recall(recall: f64) {
    metrics::gauge!("hashwarden_index_recall").set(recall);
}

/// The stored BK-tree, where one is wanted and there and whole.
fn bk_tree<H: Bits>(
    store: &Store,
    kind: HashKind,
    index: IndexKind,
    hashes: std::sync::Arc<[H]>,
) -> Result<Option<Box<dyn RadiusIndex<H>>>, CatalogError> {
    if index != IndexKind::BkTree {
        return Ok(None);
    }
    let Some(arena) = bk::arena::<H>(store, kind)? else { return Ok(None) };
    match BkIndex::from_parts(arena, hashes) {
        Ok(tree) => Ok(Some(Box::new(tree))),
        Err(error) => {
            tracing::warn!(%kind, %error, "the stored BK-tree lacks a hash; building one in memory");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, NewEntry, Options, PolicyUpdate, columns};
    use crate::entry::{Caller, HashValue, Polarity};
    use crate::store::Access;
    use std::sync::Arc;

    #[test]
    fn what_lists_hold_is_the_same_in_any_number_of_shares() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path(), Access::Write, columns::FORMAT).unwrap());
        let catalog = Catalog::open(store.clone(), Access::Write, Options::default(), None).unwrap();
        let by = Caller("test".to_owned());
        let add = |list: &str, ids: std::ops::Range<u8>| {
            let entry = |n| NewEntry {
                id: Some(format!("{n}")),
                category: String::new(),
                hashes: vec![HashValue::Md5([n + 1; 16])],
                ..NewEntry::default()
            };
            catalog.add(&by, list, ids.map(entry).collect()).unwrap();
        };
        for name in ["a", "b", "empty"] {
            catalog.create(&by, name, Polarity::Positive, &PolicyUpdate::default()).unwrap();
        }
        add("a", 0..70);
        add("b", 0..40);
        catalog.remove(&by, "a", (10..30).map(|n| n.to_string()).collect()).unwrap();
        add("a", 90..100);
        catalog.remove(&by, "a", vec!["95".to_owned()]).unwrap();
        catalog.remove(&by, "b", vec!["3".to_owned(), "4".to_owned()]).unwrap();
        catalog.roll_back(&by, "b").unwrap(); // the version before is the later one
        let lists = store.lists().unwrap();
        let threads = rayon::ThreadPoolBuilder::new().num_threads(5).build().unwrap();
        for share_min in [1, 7, 60, 10_000] {
            let LiveEntries { alive, before, entries } = threads.install(|| live_entries(&store, &lists, share_min)).unwrap();
            for (n, list) in lists.iter().enumerate() {
                let of = |version| advance::difference(&store, list.id, VersionNo(0), version).unwrap().opened;
                let (active, previous) = (of(list.active), of(list.previous));
                let spare = previous.iter().filter(|entry| !active.contains(*entry)).count() as u64;
                assert_eq!(entries[n], (active.count(), spare), "{}, shares of {share_min}", list.name);
                assert!(active.iter().all(|entry| alive.contains(entry)), "{}, shares of {share_min}", list.name);
                assert!(previous.iter().all(|entry| before.contains(entry)), "{}, shares of {share_min}", list.name);
            }
            assert_eq!((alive.count(), before.count()), (59 + 40, 60 + 38), "shares of {share_min}");
        }
    }
}
