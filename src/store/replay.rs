//! What do the numbered changes alone say there should be?
//!
//! The second account that [`verify`](super::verify) holds the stored rows against: lists and versions are followed one by one, what a
//! version opened only as a count and a sum of hashes. What it closed is not followed, as that goes when no version holds it. Of what was dropped or deleted the contents are gone, and the headers alone
//! are followed: all that they leave open goes with the list or the version.

use super::digest::{fingerprint, sha256};
use super::history::{Header, Kind};
use super::keys::{self, DeltaOp};
use crate::entry::{
    ChangeOp, HashList, Lineage, ListId, ListPolicy, ListVersion, MadeBy, Marked, Parent, Polarity, RowChange, VersionNo,
    VersionState,
};
use std::collections::{BTreeMap, BTreeSet};

/// What the changes say there should be.
#[derive(Default)]
pub(super) struct ReplayState {
    pub lists: BTreeMap<ListId, HashList>,
    pub versions: BTreeMap<(ListId, VersionNo), ListVersion>,
    /// Of lists that are there.
    pub dropped: BTreeSet<(ListId, VersionNo)>,
    pub deleted: BTreeSet<ListId>,
    /// Marks of entries, as they are kept.
    pub marks: BTreeMap<(ListId, String), Marked>,
    /// What each version opened and described.
    pub opened: BTreeMap<(ListId, VersionNo), Bag>,
    pub next_entry: u32,
    pub next_list: u32,
    pub last: Option<(u64, [u8; 32])>,
}

impl ReplayState {
    pub fn new() -> Self {
        ReplayState { next_list: 1, ..ReplayState::default() }
    }

    /// Whether a change's contents went with its list or version.
    pub fn is_gone(&self, header: &Header) -> bool {
        self.deleted.contains(&header.list) || self.dropped.contains(&(header.list, header.version))
    }
}

/// A set of byte strings, up to accident: how many, and the sum of their hashes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bag {
    pub n: u64,
    pub sum: u128,
}

impl Bag {
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.n += 1;
        let hash = fingerprint(&sha256(&[&(key.len() as u32).to_be_bytes(), key, value].concat()));
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(hash));
    }
}

/// Follows one change, with what is left of it; false if it names what is not there.
pub(super) fn replay(replayed: &mut ReplayState, header: &Header, op: Option<&ChangeOp>) -> bool {
    let fits = header.next_entry.0 >= replayed.next_entry;
    replayed.next_entry = header.next_entry.0;
    fits && match op {
        Some(op) => replay_contents(replayed, header, op),
        None => replay_header(replayed, header),
    }
}

fn replay_contents(replayed: &mut ReplayState, header: &Header, op: &ChangeOp) -> bool {
    match op {
        ChangeOp::CreateList { list, name, polarity, policy } => create(replayed, *list, name.clone(), *polarity, policy.clone()),
        ChangeOp::SetPolicy { list, policy } => replayed.lists.get_mut(list).map(|l| l.policy = policy.clone()).is_some(),
        ChangeOp::SetDisabled { list, disabled } => replayed.lists.get_mut(list).map(|l| l.disabled = *disabled).is_some(),
        ChangeOp::Stage { list, version, parent, source, made_by } => {
            stage(replayed, header, (*list, *version, *parent), source, *made_by)
        }
        ChangeOp::Rows { list, version, rows } => replay_rows(replayed, *list, *version, rows),
        ChangeOp::Seal { list, version, rows, digest } => replay_seal(replayed, *list, *version, *rows, digest),
        ChangeOp::Edit { list, version, parent, source, rows, rows_total, digest } => {
            stage(replayed, header, (*list, *version, *parent), source, MadeBy::Edit)
                && replay_rows(replayed, *list, *version, rows)
                && replay_seal(replayed, *list, *version, *rows_total, digest)
                && replay_activate(replayed, *list, *version)
        }
        ChangeOp::AddSource { list, name } => replayed.lists.get_mut(list).map(|l| l.sources.push(name.clone())).is_some(),
        ChangeOp::SetMark { list, id, mark } => {
            let key = (*list, id.clone());
            let fits = match mark {
                Some(mark) => {
                    let (id, mark, by, time_ms) = (id.clone(), mark.clone(), header.by.clone(), header.time_ms);
                    replayed.marks.insert(key, Marked { id, mark, by, time_ms });
                    true
                }
                None => replayed.marks.remove(&key).is_some(),
            };
            replayed.lists.get_mut(list).map(|l| l.marks_changed += 1).is_some() && fits
        }
        ChangeOp::SetFeed { list, source, feed } => {
            let set = |l: &mut HashList| match feed {
                Some(feed) => {
                    l.feeds.insert(source.clone(), feed.clone());
                    true
                }
                None => l.feeds.remove(source).is_some(),
            };
            replayed.lists.get_mut(list).is_some_and(set)
        }
        // Their headers say all of them.
        ChangeOp::DeleteList { .. } | ChangeOp::Activate { .. } | ChangeOp::Undo { .. } | ChangeOp::Drop { .. } => false,
    }
}

fn replay_header(replayed: &mut ReplayState, header: &Header) -> bool {
    let (list, version) = (header.list, header.version);
    match header.kind {
        Kind::CreateList => {
            let policy = ListPolicy::default_for(Polarity::Positive);
            create(replayed, list, String::new(), Polarity::Positive, policy)
        }
        Kind::SetPolicy | Kind::SetDisabled | Kind::AddSource | Kind::SetMark | Kind::SetFeed => {
            replayed.lists.contains_key(&list)
        }
        Kind::DeleteList => {
            replayed.versions.retain(|(other, _), _| *other != list);
            replayed.opened.retain(|(other, _), _| *other != list);
            replayed.dropped.retain(|(other, _)| *other != list);
            replayed.marks.retain(|(other, _), _| *other != list);
            replayed.deleted.insert(list) && replayed.lists.remove(&list).is_some()
        }
        Kind::Stage => stage(replayed, header, (list, version, None), "", MadeBy::Import),
        Kind::Rows => replayed.versions.contains_key(&(list, version)),
        Kind::Seal => replay_seal(replayed, list, version, 0, &[0; 32]),
        Kind::Activate => replay_activate(replayed, list, version),
        Kind::Undo => {
            replayed.opened.remove(&(list, version));
            replayed.versions.get_mut(&(list, version)).map(|v| v.state = VersionState::Undone).is_some()
        }
        Kind::Edit => {
            stage(replayed, header, (list, version, None), "", MadeBy::Edit)
                && replay_seal(replayed, list, version, 0, &[0; 32])
                && replay_activate(replayed, list, version)
        }
        Kind::Drop => header.versions.iter().all(|version| {
            replayed.opened.remove(&(list, *version));
            replayed.dropped.insert((list, *version)) && replayed.versions.remove(&(list, *version)).is_some()
        }),
        Kind::Migrated => true,
    }
}

fn create(replayed: &mut ReplayState, list: ListId, name: String, polarity: Polarity, policy: ListPolicy) -> bool {
    let new = HashList::new(list, name, polarity, policy);
    let fits = list.0 == replayed.next_list;
    replayed.next_list = list.0.saturating_add(1);
    replayed.lists.insert(list, new).is_none() && fits
}

fn stage(
    replayed: &mut ReplayState,
    header: &Header,
    (list, version, parent): (ListId, VersionNo, Parent),
    source: &str,
    made_by: MadeBy,
) -> bool {
    let staged = ListVersion {
        list,
        version,
        parent: parent.unwrap_or_default(),
        lineage: Lineage::default(),
        state: VersionState::Staged,
        rows: 0,
        digest: [0; 32],
        source: source.to_owned(),
        time_ms: header.time_ms,
        made_by,
        activated: false,
    };
    replayed.versions.insert((list, version), staged).is_none() && replayed.lists.contains_key(&list)
}

fn replay_rows(replayed: &mut ReplayState, list: ListId, version: VersionNo, rows: &[RowChange]) -> bool {
    let bag = replayed.opened.entry((list, version)).or_default();
    let mut fits = true;
    for row in rows {
        let (entry, opens, describes) = match row {
            RowChange::Open { entry, description, .. } => (*entry, true, description.is_some()),
            RowChange::Describe { entry, .. } => (*entry, false, true),
            RowChange::Close { .. } => continue,
        };
        fits &= entry.0 < replayed.next_entry;
        for op in [(opens, DeltaOp::Opened), (describes, DeltaOp::Described)].iter().filter(|(does, _)| *does).map(|(_, op)| *op)
        {
            bag.add(&keys::delta_key(list, version, op, entry), &[]);
        }
    }
    fits && replayed.versions.get(&(list, version)).is_some_and(|v| v.state == VersionState::Staged)
}

fn replay_seal(replayed: &mut ReplayState, list: ListId, version: VersionNo, rows: u64, digest: &[u8; 32]) -> bool {
    let Some(record) = replayed.versions.get_mut(&(list, version)) else { return false };
    (record.state, record.rows, record.digest) = (VersionState::Sealed, rows, *digest);
    replayed.lists.get_mut(&list).map(|l| l.head = l.head.max(version)).is_some()
}

fn replay_activate(replayed: &mut ReplayState, list: ListId, version: VersionNo) -> bool {
    let sealed = replayed.versions.get_mut(&(list, version)).filter(|v| v.state == VersionState::Sealed);
    let fits = sealed.map(|v| v.activated = true).is_some();
    fits && replayed.lists.get_mut(&list).map(|l| (l.previous, l.active) = (l.active, version)).is_some()
}
