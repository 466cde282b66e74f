//! One snapshot to the next: what differs between two versions of a list, and the snapshot that has it.
//!
//! What takes long (reading a version's entries, building their indexes) is prepared beside everything else, from whatever snapshot
//! answers then. Taking it flips bits. [`advance`] brings a snapshot to what the store says now, whatever that takes: after one change,
//! or after several.

use super::{CatalogError, load, marks, stored};
use crate::entry::{EntryNo, Lineage, ListId, VersionNo};
use crate::snapshot::{Alive, Choices, EntryMetadata, HashRows, Snapshot, Transition};
use crate::store::{Delta, DeltaOp, Store, StoreError};

/// Up to this many entries are read one by one; more come from the columns.
pub const POINT_READS_MAX: usize = 2_000;

/// The entries by which a version differs from another.
#[derive(Default)]
pub struct Difference {
    pub opened: Alive,
    pub closed: Alive,
}

/// A version's ancestors and itself.
pub fn lineage(store: &Store, list: ListId, version: VersionNo) -> Result<Lineage, CatalogError> {
    if version == VersionNo(0) {
        return Ok(Lineage::default());
    }
    let found = store.version(list, version)?;
    found.map(|v| v.lineage).ok_or_else(|| CatalogError::Damaged(format!("version {} of list {} is missing", version.0, list.0)))
}

/// The deltas of some versions, in their order.
pub fn deltas<'s>(
    store: &'s Store,
    list: ListId,
    versions: &Lineage,
) -> Result<impl Iterator<Item = Result<Delta, StoreError>> + use<'s>, CatalogError> {
    let scans = versions.ranges().iter().map(|(first, last)| store.deltas(list, *first..=*last));
    Ok(scans.collect::<Result<Vec<_>, _>>()?.into_iter().flatten())
}

/// What some versions, one after the other, come to.
fn net(store: &Store, list: ListId, versions: &Lineage) -> Result<Difference, CatalogError> {
    let mut net = Difference::default();
    for delta in deltas(store, list, versions)? {
        let delta = delta?;
        let (here, there) = match delta.op {
            DeltaOp::Opened => (&mut net.opened, &mut net.closed),
            DeltaOp::Closed => (&mut net.closed, &mut net.opened),
            DeltaOp::Described => continue,
        };
        if !there.set(delta.entry, false) {
            here.set(delta.entry, true);
        }
    }
    Ok(net)
}

/// What differs in `to`, seen from `from`. Both are compared with what they have in common.
pub fn difference(store: &Store, list: ListId, from: VersionNo, to: VersionNo) -> Result<Difference, CatalogError> {
    let (from, to) = (lineage(store, list, from)?, lineage(store, list, to)?);
    let (left, right) = (net(store, list, &from.without(&to))?, net(store, list, &to.without(&from))?);
    let but = |mut of: Alive, without: &Alive| {
        of.remove(without);
        of
    };
    let (mut opened, mut closed) = (but(right.opened.clone(), &left.opened), but(right.closed.clone(), &left.closed));
    opened.unite(&but(left.closed, &right.closed));
    closed.unite(&but(left.opened, &right.opened));
    Ok(Difference { opened, closed })
}

/// What it takes to go from one version of a list to another, in a snapshot that has loaded what `base` has. Takes as long as reading
/// what it lacks, and building the indexes of that.
pub fn prepare(
    store: &Store,
    base: &Snapshot,
    choices: Choices,
    (list, from, to): (ListId, VersionNo, VersionNo),
) -> Result<Transition, CatalogError> {
    let Difference { opened, closed } = difference(store, list, from, to)?;
    let mut wanted = opened.clone();
    wanted.unite(&closed); // most often all of it is loaded
    let loaded: Vec<EntryNo> = wanted.iter().filter(|entry| base.metadata.get(*entry).is_some()).collect();
    for entry in loaded {
        wanted.set(entry, false);
    }
    // Its policy says which indexes are worth while.
    let mut part = Snapshot { policy: base.policy.clone(), ..Snapshot::default() };
    let rows = if wanted.count() <= POINT_READS_MAX as u64 {
        read_one_by_one(store, list, &wanted, &mut part)?
    } else {
        stored::read(store, stored::first_chunk(&wanted), &wanted, &mut part)?
    };
    if part.add_rows(rows, choices)? {
        load::show_recall(1.0);
    }
    base.transition((list, from, to), part, opened, closed).map_err(load::not_loaded)
}

fn read_one_by_one(store: &Store, list: ListId, wanted: &Alive, part: &mut Snapshot) -> Result<HashRows, CatalogError> {
    let mut rows = HashRows::default();
    for entry in wanted.iter() {
        let content = store.entry(list, entry)?;
        let content = content.ok_or_else(|| CatalogError::Damaged(format!("entry {} has a delta and no row", entry.0)))?;
        let kinds = content.sought().iter().map(|h| h.kind()).collect();
        part.add_metadata(entry, EntryMetadata { list, id: &content.id, category: &content.category, kinds });
        content.sought().iter().for_each(|hash| rows.push(hash, entry));
    }
    Ok(rows)
}

/// The snapshot of what the store says now, made from an earlier one. `prepared` spares the work that it was prepared for, where it
/// can be used.
pub fn advance(store: &Store, base: &Snapshot, choices: Choices, prepared: Option<Transition>) -> Result<Snapshot, CatalogError> {
    let lists = store.lists()?;
    let mut next = base.clone();
    next.policy = load::policy(&lists, base.policy.matches_per_list_max);
    let mut prepared_for = None;
    if let Some(transition) = prepared.filter(|transition| next.can_take(transition)) {
        let (list, mut taken) = (transition.list, next.clone());
        taken.spare.remove(&list);
        // Edits came since: back by them, which are few.
        step(store, &mut taken, choices, list, transition.from)?;
        // Not, where an entry of it came with one of these.
        if taken.take(transition) {
            (prepared_for, next) = (Some(list), taken);
        }
    }
    for list in &lists {
        if next.version(list.id) != list.active && prepared_for != Some(list.id) {
            next.spare.remove(&list.id);
        }
        step(store, &mut next, choices, list.id, list.active)?;
        marks::load(store, list, &mut next)?;
    }
    let is_gone = |known: &ListId| lists.binary_search_by_key(known, |list| list.id).is_err(); // they come in this order
    let gone: Vec<ListId> = next.versions.keys().copied().filter(is_gone).collect();
    gone.into_iter().for_each(|list| next.forget(list));
    Ok(next)
}

fn step(store: &Store, next: &mut Snapshot, choices: Choices, list: ListId, to: VersionNo) -> Result<(), CatalogError> {
    match next.version(list) {
        from if from == to => Ok(()),
        from => {
            let transition = prepare(store, next, choices, (list, from, to))?;
            take(next, transition)
        }
    }
}

fn take(next: &mut Snapshot, transition: Transition) -> Result<(), CatalogError> {
    let twice = || CatalogError::Damaged("an entry was loaded twice".to_owned());
    next.take(transition).then_some(()).ok_or_else(twice)
}
