//! What do the numbered changes alone say there should be?
//!
//! The second account that [`verify`](super::verify) holds the stored rows against: lists and versions are followed one by one,
//! rows only as a count and a sum of hashes per version.

use super::digest::{fingerprint, sha256};
use super::keys;
use crate::entry::{Change, ChangeOp, HashList, ListId, ListVersion, RowChange, VersionNo, VersionState};
use std::collections::BTreeMap;

/// What the changes say there should be.
#[derive(Default)]
pub(super) struct Told {
    pub lists: BTreeMap<ListId, HashList>,
    pub versions: BTreeMap<(ListId, VersionNo), ListVersion>,
    pub deltas: BTreeMap<(ListId, VersionNo), Bag>,
    pub next_entry: u32,
    pub next_list: u32,
    pub last: Option<(u64, [u8; 32])>,
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

/// Follows one change; false if it names what is not there.
pub(super) fn replay(told: &mut Told, change: &Change) -> bool {
    let stage = |told: &mut Told, list, version, source: &String| {
        let state = VersionState::Staged;
        let (source, time_ms) = (source.clone(), change.time_ms);
        let staged = ListVersion { list, version, state, rows: 0, digest: [0; 32], source, time_ms };
        told.versions.insert((list, version), staged).is_none() && told.lists.contains_key(&list)
    };
    match &change.op {
        ChangeOp::CreateList { list, name, polarity, policy } => {
            let (active, previous, head) = (VersionNo(0), VersionNo(0), VersionNo(0));
            let (name, policy) = (name.clone(), policy.clone());
            let new = HashList { id: *list, name, polarity: *polarity, policy, active, previous, head, disabled: false };
            let fits = list.0 == told.next_list;
            told.next_list = list.0.saturating_add(1);
            told.lists.insert(*list, new).is_none() && fits
        }
        ChangeOp::SetPolicy { list, policy } => told.lists.get_mut(list).map(|l| l.policy = policy.clone()).is_some(),
        ChangeOp::SetDisabled { list, disabled } => told.lists.get_mut(list).map(|l| l.disabled = *disabled).is_some(),
        ChangeOp::DeleteList { list } => {
            told.versions.retain(|(other, _), _| other != list);
            told.deltas.retain(|(other, _), _| other != list);
            told.lists.remove(list).is_some()
        }
        ChangeOp::Stage { list, version, source } => stage(told, *list, *version, source),
        ChangeOp::Rows { list, version, rows } => replay_rows(told, *list, *version, rows),
        ChangeOp::Seal { list, version, rows, digest } => replay_seal(told, *list, *version, *rows, digest),
        ChangeOp::Activate { list, version } => replay_activate(told, *list, *version),
        ChangeOp::Undo { list, version } => {
            told.deltas.remove(&(*list, *version));
            told.versions.get_mut(&(*list, *version)).map(|v| v.state = VersionState::Undone).is_some()
        }
        ChangeOp::Edit { list, version, source, rows, rows_total, digest } => {
            stage(told, *list, *version, source)
                && replay_rows(told, *list, *version, rows)
                && replay_seal(told, *list, *version, *rows_total, digest)
                && replay_activate(told, *list, *version)
        }
    }
}

fn replay_rows(told: &mut Told, list: ListId, version: VersionNo, rows: &[RowChange]) -> bool {
    let bag = told.deltas.entry((list, version)).or_default();
    for row in rows {
        let entry = match row {
            RowChange::Open { entry, .. } => {
                bag.add(&keys::delta_key(list, version, keys::OPENED, *entry), &[]);
                entry
            }
            RowChange::Close { entry, from } => {
                bag.add(&keys::delta_key(list, version, keys::CLOSED, *entry), &from.0.to_be_bytes());
                entry
            }
        };
        told.next_entry = told.next_entry.max(entry.0.saturating_add(1));
    }
    told.versions.get(&(list, version)).is_some_and(|v| v.state == VersionState::Staged)
}

fn replay_seal(told: &mut Told, list: ListId, version: VersionNo, rows: u64, digest: &[u8; 32]) -> bool {
    let Some(record) = told.versions.get_mut(&(list, version)) else { return false };
    (record.state, record.rows, record.digest) = (VersionState::Sealed, rows, *digest);
    told.lists.get_mut(&list).map(|l| l.head = version).is_some()
}

fn replay_activate(told: &mut Told, list: ListId, version: VersionNo) -> bool {
    let fits = told.versions.get(&(list, version)).is_some_and(|v| v.state == VersionState::Sealed);
    fits && told.lists.get_mut(&list).map(|l| (l.previous, l.active) = (l.active, version)).is_some()
}
