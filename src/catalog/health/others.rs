//! What do other lists say of a new version's entries?
//!
//! Three things: the benign sample, ordinary pictures of the operator's own, has a hash within PDQ's radius; a negative list holds the same for
//! harmless; or, of a negative list's own entry, a positive list has the very same hash. The first and the last are findings. The second is told and no
//! finding: negative lists take out near matches by themselves, and never those by digest.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::super::columns::KINDS;
use super::super::report::FindingKind;
use super::super::{CatalogError, advance, marks, stored};
use super::findings::{BATCH, Findings, RADIUS};
use super::shared::summary;
use crate::entry::{Bits, EntryNo, HashKind, HashList, HashValue, Pdq, Polarity};
use crate::index::{self, Hit, IndexKind, RadiusIndex};
use crate::snapshot::{Alive, Snapshot};
use crate::store::Store;

/// Lists that a positive list's entries are held against.
#[derive(Default)]
pub struct Others(Vec<Other>);

struct Other {
    says: Says,
    radius: u16,
    index: Box<dyn RadiusIndex<Pdq>>,
    digests: HashSet<(HashKind, u64)>,
    met: Alive,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Benign,
    Harmless,
}

impl Others {
    /// The benign sample, if one is named and is there, and the negative lists that speak for the list.
    pub fn of(store: &Store, list: &HashList, sample: &str) -> Result<(Others, Option<String>), CatalogError> {
        let (mut others, mut warning) = (Vec::new(), None);
        let lists = store.lists()?;
        if !sample.is_empty() && sample != list.name {
            let unfit = |why: &str| Some(format!("the list that [import] benign names {why}: entries were not held against it"));
            match lists.iter().find(|other| other.name == sample) {
                None => warning = unfit("is not there"),
                Some(sample) if sample.polarity == Polarity::Positive => warning = unfit("is no negative list"),
                Some(sample) if !is_in_scope(sample, list) => {}
                Some(sample) => others.push(Other::read(store, sample, Says::Benign, RADIUS)?),
            }
        }
        for negative in lists.iter().filter(|other| speaks_for(other, list) && other.name != sample) {
            // What is only near would tell whoever imports into one list how far it is from the hashes of another.
            others.push(Other::read(store, negative, Says::Harmless, 0)?);
        }
        Ok((Others(others), warning))
    }

    /// Holds some PDQ hashes against all of them.
    pub fn judge(&mut self, batch: &[(EntryNo, Pdq)], found: &mut Findings) {
        if self.0.is_empty() {
            return;
        }
        let hashes: Vec<Pdq> = batch.iter().map(|(_, hash)| *hash).collect();
        for other in &mut self.0 {
            let met: Vec<AtomicBool> = hashes.iter().map(|_| AtomicBool::new(false)).collect();
            other.index.join(&hashes, other.radius, &|hits: &[Hit]| {
                hits.iter().for_each(|hit| met[hit.query as usize].store(true, Ordering::Relaxed));
                ControlFlow::Continue(())
            });
            for ((entry, _), met) in batch.iter().zip(met) {
                if met.into_inner() {
                    other.met.set(*entry, true);
                    if other.says == Says::Benign {
                        let reason = || format!("the PDQ hash is within {RADIUS} bits of a picture's in the benign sample");
                        found.add(*entry, FindingKind::Benign, reason);
                    }
                }
            }
        }
    }

    pub fn judge_digest(&mut self, entry: EntryNo, kind: HashKind, digest: &[u8]) {
        for other in self.0.iter_mut().filter(|other| !other.digests.is_empty()) {
            if other.digests.contains(&(kind, summary(digest))) {
                other.met.set(entry, true);
            }
        }
    }

    /// Entries that are in negative lists too.
    pub fn harmless(&self) -> u64 {
        let mut met = Alive::default();
        self.0.iter().filter(|other| other.says == Says::Harmless).for_each(|other| met.unite(&other.met));
        met.count()
    }
}

impl Other {
    fn read(store: &Store, list: &HashList, says: Says, radius: u16) -> Result<Other, CatalogError> {
        let entries = unmarked(store, list)?;
        let (mut hashes, mut digests) = (Vec::new(), HashSet::new());
        stored::each_hash(store, list.id, HashKind::Pdq, &entries, &mut |_, hash| hashes.extend(Pdq::from_bytes(hash)))?;
        if says == Says::Harmless {
            for kind in KINDS.into_iter().filter(|kind| kind.is_digest()) {
                stored::each_hash(store, list.id, kind, &entries, &mut |_, hash| _ = digests.insert((kind, summary(hash))))?;
            }
        }
        let index = index::build(IndexKind::for_join(hashes.len()), hashes.into());
        Ok(Other { says, radius, index, digests, met: Alive::default() })
    }
}

fn speaks_for(negative: &HashList, list: &HashList) -> bool {
    let counts = negative.polarity == Polarity::Negative && !negative.disabled && !negative.policy.shadow;
    counts && is_in_scope(negative, list)
}

fn is_in_scope(negative: &HashList, list: &HashList) -> bool {
    negative.policy.scope.is_empty() || negative.policy.scope.contains(&list.name)
}

/// What a list has active, without what is disabled or quarantined.
fn unmarked(store: &Store, list: &HashList) -> Result<Alive, CatalogError> {
    let mut entries = stored::entries_of(store, list.id, list.active)?;
    let (marks, lineage) = (marks::in_force(store, list.id)?, advance::lineage(store, list.id, list.active)?);
    for id in marks.stopped.keys() {
        let known = store.id_history(list.id, id)?.in_version(&lineage).map(|known| known.entry);
        known.filter(|entry| marks.stop(id, *entry)).map(|entry| entries.set(entry, false));
    }
    Ok(entries)
}

/// Which of a negative list's new entries have a hash that a positive list has too, in an entry that matches. Looked up where there is a snapshot; else all that positive lists have is
/// read.
pub fn contradicted(
    store: &Store,
    snapshot: Option<&Snapshot>,
    negative: &HashList,
    found: &mut Findings,
) -> Result<(), CatalogError> {
    let known = |list: &HashList| list.polarity == Polarity::Positive && !list.disabled && is_in_scope(negative, list);
    let lists: Vec<_> = store.lists()?.into_iter().filter(known).collect();
    let known = match snapshot {
        Some(_) => HashSet::new(),
        None => shared_with(store, negative, &lists, &found.checked)?,
    };
    let has = |hash: &HashValue| match snapshot {
        Some(snapshot) => {
            lists.iter().any(|list| snapshot.find_by_hash(list.id, hash, 0).iter().any(|(entry, _)| !snapshot.is_stopped(*entry)))
        }
        None => known.contains(&key(hash)),
    };
    let checked = found.checked.clone();
    let mut judge = |batch: &mut Vec<(EntryNo, HashValue)>| {
        let same: Vec<_> = batch.par_iter().filter(|(_, hash)| has(hash)).map(|(entry, hash)| (*entry, hash.kind())).collect();
        for (entry, kind) in same {
            found.add(entry, FindingKind::Contradicted, || format!("a list of known pictures has this {kind} hash"));
        }
        batch.clear();
    };
    let mut batch = Vec::new();
    for kind in KINDS {
        stored::each_hash(store, negative.id, kind, &checked, &mut |entry, hash| {
            batch.extend(HashValue::from_bytes(kind, hash).ok().map(|hash| (entry, hash)));
            if batch.len() == BATCH {
                judge(&mut batch);
            }
        })?;
    }
    judge(&mut batch);
    Ok(())
}

fn key(hash: &HashValue) -> (HashKind, u64) {
    (hash.kind(), hash.with_bytes(summary))
}

/// Of the hashes of some entries of a negative list those that positive lists have.
fn shared_with(
    store: &Store,
    negative: &HashList,
    lists: &[HashList],
    entries: &Alive,
) -> Result<HashSet<(HashKind, u64)>, CatalogError> {
    let (mut new, mut known) = (HashSet::new(), HashSet::new());
    for kind in KINDS {
        stored::each_hash(store, negative.id, kind, entries, &mut |_, hash| _ = new.insert((kind, summary(hash))))?;
    }
    for list in lists {
        let entries = unmarked(store, list)?;
        for kind in KINDS {
            stored::each_hash(store, list.id, kind, &entries, &mut |_, hash| {
                known.extend(new.get(&(kind, summary(hash))));
            })?;
        }
    }
    Ok(known)
}
