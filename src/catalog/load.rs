//! Store rows to a snapshot: at start-up from nothing, at an activation from the snapshot before.
//!
//! Which entries a version holds follows from the deltas; what they are from the derived columns. Entries of the active and of
//! the previously active version of each list are loaded, so that a roll-back only flips bits.

use super::columns::{self, FACTS};
use super::{CatalogError, bk};
use crate::entry::{Bits, Entry, EntryNo, Hash64, HashKind, HashList, HashValue, ListId, Pdq, VersionNo};
use crate::index::bk_tree::BkIndex;
use crate::index::exact::ExactIndex;
use crate::index::proof::prove;
use crate::index::{IndexChoice, IndexKind, RadiusIndex};
use crate::snapshot::{Alive, Choices, EntryMetadata, HashRows, KindSet, Layer, Rows, Snapshot};
use crate::store::{Delta, DeltaOp, DerivedPut, Store};
use crate::verdict::{MATCHES_PER_LIST_MAX, Policy};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Up to this many entries are read one by one; more come from the columns.
pub const POINT_READS_MAX: usize = 2_000;
/// The mark that says that every row is in the columns.
const COLUMNS_WHOLE: &str = "columns";
/// Entries of a share at least. These are read in some 7 ms; fewer are not worth another thread.
const SHARE_MIN: u32 = 50_000;
/// Entries in one batch of a rebuild of the columns.
const REBUILD_ROWS: usize = 10_000;

/// The lists that answer: enabled, with an active version.
pub fn policy(lists: &[HashList]) -> Policy {
    let mut lists: Vec<_> = lists.iter().filter(|l| !l.disabled && l.active != VersionNo(0)).cloned().collect();
    lists.sort_by_key(|l| l.id);
    Policy { lists, matches_per_list_max: MATCHES_PER_LIST_MAX }
}

/// The whole snapshot. `other` stands in for one list's active version: what the snapshot would be after its activation.
pub fn snapshot(store: &Store, choices: Choices, other: Option<(ListId, VersionNo)>) -> Result<Snapshot, CatalogError> {
    let mut lists = store.lists()?;
    if let Some((id, version)) = other
        && let Some(list) = lists.iter_mut().find(|l| l.id == id)
    {
        list.previous = list.active;
        list.active = version;
    }
    let Held { alive, before, entries } = held(store, &lists, SHARE_MIN)?;
    for (list, entries) in lists.iter().zip(entries) {
        let version = store.version(list.id, list.active)?;
        if u64::try_from(entries) != Ok(version.map_or(0, |v| v.rows)) {
            return Err(CatalogError::Damaged(format!(
                "the active version of list {:?} has another number of entries",
                list.name
            )));
        }
    }
    let mut wanted = before;
    wanted.unite(&alive);
    let mut snapshot = Snapshot { id: store.seq()?, policy: policy(&lists), ..Snapshot::default() };
    let rows = read_columns(store, EntryNo(0), &wanted, &mut snapshot)?;
    for entry in alive.iter() {
        make(&mut snapshot, entry, true)?;
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

/// What the lists hold.
#[derive(Default)]
struct Held {
    /// The entries of the active versions.
    alive: Alive,
    /// Those of the versions that were active before.
    before: Alive,
    /// For each list, how many are in its active version.
    entries: Vec<i64>,
}

/// Read in as many shares as there are threads, each of some entries of all lists: most of the time is the store's, key by key.
fn held(store: &Store, lists: &[HashList], share_min: u32) -> Result<Held, CatalogError> {
    let end = store.next_entry()?.0;
    let share = end.div_ceil(rayon::current_num_threads().max(1) as u32).max(share_min);
    let starts: Vec<u32> = (0..end.max(1)).step_by(share as usize).collect();
    let share_of = |start: u32| {
        let last = if end - start <= share { u32::MAX } else { start + share - 1 };
        held_of(store, lists, EntryNo(start)..=EntryNo(last))
    };
    let shares: Vec<Held> = starts.into_par_iter().map(share_of).collect::<Result<_, _>>()?;
    let none = Held { entries: vec![0; lists.len()], ..Held::default() };
    Ok(shares.into_iter().fold(none, |mut all, share| {
        all.alive.unite(&share.alive);
        all.before.unite(&share.before);
        all.entries.iter_mut().zip(share.entries).for_each(|(sum, n)| *sum += n);
        all
    }))
}

/// The same of some entries.
fn held_of(store: &Store, lists: &[HashList], entries: RangeInclusive<EntryNo>) -> Result<Held, CatalogError> {
    let mut held = Held::default();
    for list in lists {
        let mut n = 0;
        for delta in store.deltas_of(list.id, VersionNo(1)..=list.active.max(list.previous), entries.clone())? {
            let Delta { version, entry, op } = delta?;
            let live = matches!(op, DeltaOp::Opened);
            if version <= list.active && held.alive.set(entry, live) {
                n += if live { 1 } else { -1 };
            }
            if version <= list.previous {
                held.before.set(entry, live);
            }
        }
        held.entries.push(n);
    }
    Ok(held)
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

/// What an activation does to a snapshot: which entries come and which go.
#[derive(Debug, Default)]
pub struct Transition {
    pub opened: Vec<EntryNo>,
    pub closed: Vec<EntryNo>,
}

/// The difference between two versions of a list, in either direction.
pub fn transition(store: &Store, list: ListId, from: VersionNo, to: VersionNo) -> Result<Transition, CatalogError> {
    let (mut opened, mut closed) = (Alive::default(), Alive::default());
    let mut step = |entry, live| {
        let (here, there) = if live { (&mut opened, &mut closed) } else { (&mut closed, &mut opened) };
        if !there.set(entry, false) {
            here.set(entry, true);
        }
    };
    fold(store, list, from.min(to), from.max(to), &mut step)?;
    let (opened, closed) = (opened.iter().collect(), closed.iter().collect());
    Ok(if from <= to { Transition { opened, closed } } else { Transition { opened: closed, closed: opened } })
}

/// The snapshot that results from `base` by the transition. Falls back to loading all where that is cheaper, or the only way.
pub fn after(
    store: &Store,
    base: &Snapshot,
    choices: Choices,
    list: (ListId, VersionNo),
    transition: &Transition,
) -> Result<Snapshot, CatalogError> {
    let rows_dead = base.kinds.pdq.len().max(base.kinds.md5.len()) / 4 + 8192;
    if transition.closed.len() > rows_dead {
        return snapshot(store, choices, Some(list));
    }
    let mut next = base.clone();
    let missing: Vec<_> = transition.opened.iter().copied().filter(|e| base.metadata.get(*e).is_none()).collect();
    let proven = if missing.len() <= POINT_READS_MAX {
        let mut rows = HashRows::default();
        for entry in missing {
            let stored = store.entry(list.0, entry)?;
            let Some(row) = stored.first() else {
                return Err(CatalogError::Damaged(format!("entry {} has a delta and no row", entry.0)));
            };
            let kinds = row.content.hashes.iter().map(|h| h.kind()).collect();
            let metadata = EntryMetadata { list: list.0, id: &row.content.id, category: &row.content.category, kinds };
            next.add_metadata(entry, metadata);
            row.content.hashes.iter().for_each(|hash| rows.push(hash, entry));
        }
        next.add_rows(rows, choices)?
    } else {
        let mut wanted = Alive::default();
        missing.iter().for_each(|entry| {
            wanted.set(*entry, true);
        });
        let first = EntryNo(missing.first().map_or(0, |e| e.0.saturating_sub(columns::SPAN)));
        let rows = read_columns(store, first, &wanted, &mut next)?;
        next.add_rows(rows, choices)?
    };
    if proven {
        show_recall(1.0);
    }
    for entry in &transition.closed {
        make(&mut next, *entry, false)?;
    }
    for entry in &transition.opened {
        make(&mut next, *entry, true)?;
    }
    Ok(next)
}

/// An entry that a version holds and no column has would be missed in silence: it is an error.
fn make(snapshot: &mut Snapshot, entry: EntryNo, alive: bool) -> Result<(), CatalogError> {
    if snapshot.set_alive(entry, alive) {
        return Ok(());
    }
    Err(CatalogError::Damaged(format!("entry {} is in a version and not in the columns", entry.0)))
}

/// Calls `step(entry, live)` for each delta of versions after `from` up to `to`, in their order.
fn fold(
    store: &Store,
    list: ListId,
    from: VersionNo,
    to: VersionNo,
    step: &mut dyn FnMut(EntryNo, bool),
) -> Result<(), CatalogError> {
    if from < to {
        for delta in store.deltas(list, VersionNo(from.0 + 1)..=to)? {
            let delta = delta?;
            step(delta.entry, matches!(delta.op, DeltaOp::Opened));
        }
    }
    Ok(())
}

/// Facts go into the snapshot, hashes are returned, both read at once. Every kind of hash that an entry's facts name must be there: what the
/// columns lack would be missed in silence.
fn read_columns(store: &Store, first: EntryNo, wanted: &Alive, snapshot: &mut Snapshot) -> Result<HashRows, CatalogError> {
    let at = |kind| Source { store, kind, first, wanted };
    let (due, columns) = rayon::join(
        || read_facts(store, first, wanted, snapshot),
        || {
            Ok::<_, CatalogError>((
                at(HashKind::Pdq).read(|bytes: &[u8; 32]| Pdq::from_bytes(bytes))?,
                at(HashKind::Phash64).read(|bytes: &[u8; 8]| Hash64::from_bytes(bytes))?,
                at(HashKind::Dhash64).read(|bytes: &[u8; 8]| Hash64::from_bytes(bytes))?,
                at(HashKind::Md5).read(|bytes: &[u8; 16]| Some(*bytes))?,
                at(HashKind::Sha1).read(|bytes: &[u8; 20]| Some(*bytes))?,
                at(HashKind::Sha256).read(|bytes: &[u8; 32]| Some(*bytes))?,
            ))
        },
    );
    let (due, (pdq, phash64, dhash64, md5, sha1, sha256)) = (due?, columns?);
    let due = |kind| due[kind as usize];
    Ok(HashRows {
        pdq: pdq.whole(due(HashKind::Pdq))?,
        phash64: phash64.whole(due(HashKind::Phash64))?,
        dhash64: dhash64.whole(due(HashKind::Dhash64))?,
        md5: md5.whole(due(HashKind::Md5))?,
        sha1: sha1.whole(due(HashKind::Sha1))?,
        sha256: sha256.whole(due(HashKind::Sha256))?,
    })
}

/// How many entries have a hash of each kind, by their facts.
fn read_facts(store: &Store, first: EntryNo, wanted: &Alive, snapshot: &mut Snapshot) -> Result<[usize; 8], CatalogError> {
    let mut due = [0usize; 8];
    for chunk in store.columns_from(FACTS, first)? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_facts(&bytes, |list, row| {
            if !wanted.contains(row.entry) {
                return Some(());
            }
            row.kinds.iter().for_each(|kind| due[kind as usize] += 1);
            let metadata = EntryMetadata { list, id: row.id, category: row.category, kinds: row.kinds };
            snapshot.add_metadata(row.entry, metadata).then_some(()) // none twice
        });
        whole.ok_or_else(|| damaged(FACTS))?;
    }
    Ok(due)
}

/// One column.
struct Source<'a> {
    store: &'a Store,
    kind: HashKind,
    first: EntryNo,
    wanted: &'a Alive,
}

/// What a column has of the entries that are wanted.
struct Column<H> {
    kind: HashKind,
    rows: Rows<H>,
    entries: usize,
}

impl<H> Column<H> {
    /// The rows, if they are those of as many entries as are due.
    fn whole(self, due: usize) -> Result<Rows<H>, CatalogError> {
        let Column { kind, rows, entries } = self;
        if entries != due {
            return Err(CatalogError::Damaged(format!("{due} entries have a {kind} hash, the column has those of {entries}")));
        }
        Ok(rows)
    }
}

impl Source<'_> {
    fn read<const N: usize, H: Copy>(&self, make: fn(&[u8; N]) -> Option<H>) -> Result<Column<H>, CatalogError> {
        let mut rows = Rows::default();
        let (mut last, mut entries) = (None, 0);
        for chunk in self.store.columns_from(self.kind as u8, self.first)? {
            let (_, bytes) = chunk?;
            let whole = columns::decode_hashes::<N>(&bytes, |entry, hash| {
                if self.wanted.contains(entry)
                    && let Some(hash) = make(hash)
                {
                    // Several hashes of one entry stand side by side.
                    entries += usize::from(last.replace(entry) != Some(entry));
                    rows.push(hash, entry);
                }
            });
            whole.ok_or_else(|| damaged(self.kind as u8))?;
        }
        Ok(Column { kind: self.kind, rows, entries })
    }
}

/// An active version's hashes of one kind, by entry, and those entries' categories.
pub fn hashes_of<const N: usize, H: Copy>(
    store: &Store,
    list: &HashList,
    kind: HashKind,
    make: fn(&[u8; N]) -> Option<H>,
) -> Result<(Rows<H>, Categories), CatalogError> {
    let mut wanted = Alive::default();
    fold(store, list.id, VersionNo(0), list.active, &mut |entry, live| {
        wanted.set(entry, live);
    })?;
    let (mut categories, mut due) = (Categories::default(), 0);
    for chunk in store.columns_from(FACTS, EntryNo(0))? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_facts(&bytes, |_, row| {
            if wanted.contains(row.entry) && row.kinds.iter().any(|of| of == kind) {
                due += 1;
                categories.push(row.entry, row.category);
            }
            Some(())
        });
        whole.ok_or_else(|| damaged(FACTS))?;
    }
    let rows = Source { store, kind, first: EntryNo(0), wanted: &wanted }.read(make)?.whole(due)?;
    Ok((rows, categories))
}

/// The categories of some entries.
#[derive(Default)]
pub struct Categories {
    names: Vec<Box<str>>,
    /// By entry, which come in rising order.
    of: Vec<(EntryNo, u16)>,
}

impl Categories {
    fn push(&mut self, entry: EntryNo, category: &str) {
        let known = self.names.iter().rposition(|name| **name == *category);
        let at = known.unwrap_or_else(|| {
            // A list has a handful. Beyond what can be numbered they are counted with the last one.
            if self.names.len() <= usize::from(u16::MAX) {
                self.names.push(category.into());
            }
            self.names.len() - 1
        });
        self.of.push((entry, at as u16));
    }

    pub fn of(&self, entry: EntryNo) -> &str {
        let at = self.of.binary_search_by_key(&entry, |(entry, _)| *entry).ok();
        at.map_or("", |at| &self.names[usize::from(self.of[at].1)])
    }
}

/// Makes the columns again from the lists' rows.
pub fn rebuild_columns(store: &Store) -> Result<(), CatalogError> {
    store.derived_reset(columns::FORMAT)?;
    for list in store.lists()? {
        let mut batch: Vec<(EntryNo, Entry)> = Vec::with_capacity(REBUILD_ROWS);
        for row in store.rows(list.id)? {
            let row = row?;
            if batch.last().is_some_and(|(entry, _)| *entry == row.entry) {
                continue; // closed and opened again: the same content
            }
            if batch.len() == REBUILD_ROWS {
                store.derived_put(&columns::encode(list.id, batch.iter().map(|(n, e)| (*n, e))))?;
                batch.clear();
            }
            batch.push((row.entry, row.content));
        }
        store.derived_put(&columns::encode(list.id, batch.iter().map(|(n, e)| (*n, e))))?;
    }
    // Last, so that a rebuild that is cut short starts over.
    store.derived_put(&[DerivedPut::Mark { name: COLUMNS_WHOLE.to_owned(), bytes: vec![1] }])?;
    Ok(())
}

/// Whether the columns are of the layout known here, and all there.
pub fn columns_are_whole(store: &Store) -> Result<bool, CatalogError> {
    Ok(store.format_derived_found() == columns::FORMAT && store.derived_mark(COLUMNS_WHOLE)?.is_some())
}

/// What is wrong with the columns: every row of every list must be in them, once, as it is.
pub fn verify_columns(store: &Store) -> Result<Vec<String>, CatalogError> {
    use std::collections::HashMap;
    use std::hash::{DefaultHasher, Hash, Hasher};
    const PROBLEMS_MAX: usize = 20;
    let summary = |kind: u8, bytes: &[u8]| {
        let mut hasher = DefaultHasher::new();
        (kind, bytes).hash(&mut hasher);
        hasher.finish()
    };
    // For each entry: a sum over its facts and hashes, so that order does not matter.
    let mut sums: HashMap<EntryNo, u64> = HashMap::new();
    let mut add = |entry: EntryNo, sum: u64| {
        let at = sums.entry(entry).or_default();
        *at = at.wrapping_add(sum);
    };
    for chunk in store.columns(FACTS)? {
        let (_, bytes) = chunk?;
        let whole = columns::decode_facts(&bytes, |list, row| {
            add(row.entry, summary(FACTS, format!("{}/{}/{}/{}", list.0, row.kinds.bits(), row.category, row.id).as_bytes()));
            Some(())
        });
        whole.ok_or_else(|| damaged(FACTS))?;
    }
    for kind in columns::KINDS {
        for chunk in store.columns(kind as u8)? {
            let (_, bytes) = chunk?;
            columns::decode_any(kind, &bytes, |entry, hash| add(entry, summary(kind as u8, hash)))
                .ok_or_else(|| damaged(kind as u8))?;
        }
    }
    let mut problems = Vec::new();
    for list in store.lists()? {
        let mut last = None;
        for row in store.rows(list.id)? {
            let row = row?;
            if last.replace(row.entry) == Some(row.entry) {
                continue;
            }
            let Entry { id, category, hashes } = &row.content;
            let kinds: KindSet = hashes.iter().map(HashValue::kind).collect();
            let facts = summary(FACTS, format!("{}/{}/{category}/{id}", list.id.0, kinds.bits()).as_bytes());
            let searched = hashes.iter().filter(|h| columns::KINDS.contains(&h.kind()));
            let wanted = searched.fold(facts, |sum, h| sum.wrapping_add(summary(h.kind() as u8, &h.to_vec())));
            if sums.get(&row.entry) != Some(&wanted) && problems.len() < PROBLEMS_MAX {
                problems
                    .push(format!("columns: entry {} of list {:?}: column data differs from the list", row.entry.0, list.name));
            }
        }
    }
    Ok(problems)
}

/// Rows of a kind in the columns, dead ones included.
pub fn column_rows(store: &Store, kind: HashKind) -> Result<usize, CatalogError> {
    let mut bytes = 0;
    for chunk in store.columns(kind as u8)? {
        bytes += chunk?.1.len().saturating_sub(4);
    }
    Ok(bytes / (4 + kind.bytes()))
}

fn damaged(column: u8) -> CatalogError {
    CatalogError::Damaged(format!("a chunk of column {column}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, NewEntry, Options, PolicyUpdate};
    use crate::entry::{Caller, Polarity};
    use crate::store::Access;
    use std::sync::Arc;

    #[test]
    fn what_lists_hold_is_the_same_in_any_number_of_shares() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path(), Access::Write, columns::FORMAT).unwrap());
        let catalog = Catalog::open(store.clone(), Access::Write, Options::default(), None).unwrap();
        let by = Caller("test".to_owned());
        let add = |list: &str, ids: std::ops::Range<u8>| {
            let entry =
                |n| NewEntry { id: Some(format!("{n}")), category: String::new(), hashes: vec![HashValue::Md5([n + 1; 16])] };
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
            let Held { alive, before, entries } = threads.install(|| held(&store, &lists, share_min)).unwrap();
            for (n, list) in lists.iter().enumerate() {
                let of = |version| {
                    let mut held = Alive::default();
                    fold(&store, list.id, VersionNo(0), version, &mut |entry, live| {
                        held.set(entry, live);
                    })
                    .unwrap();
                    held
                };
                let (active, previous) = (of(list.active), of(list.previous));
                assert_eq!(u64::try_from(entries[n]), Ok(active.count()), "{}, shares of {share_min}", list.name);
                assert!(active.iter().all(|entry| alive.contains(entry)), "{}, shares of {share_min}", list.name);
                assert!(previous.iter().all(|entry| before.contains(entry)), "{}, shares of {share_min}", list.name);
            }
            assert_eq!((alive.count(), before.count()), (59 + 40, 60 + 38), "shares of {share_min}");
        }
    }
}
