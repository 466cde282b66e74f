//! How the next snapshot is made from the last: rows join the tail or a new layer, bits flip, crowded layers merge.
//!
//! Invariant: an edit leaves the snapshot it starts from untouched, a merge changes no answer, and no layer comes in without its proof.

use super::layers::{DigestLayer, DigestLayers, RadiusLayer, RadiusLayers, Rows, TAIL_MAX};
use super::{Alive, EntryMetadata, Snapshot};
use crate::entry::options::{by_name, options};
use crate::entry::{Bits, EntryNo, Hash64, HashKind, HashValue, ListId, Pdq, VersionNo};
use crate::index::IndexChoice;
use crate::index::proof::Flaw;

options! {
    /// Which index each kind uses. All give the same answers; they differ in speed and memory.
    #[derive(Copy, Eq)]
    pub struct Choices {
        #[serde(with = "by_name")]
        pub pdq: IndexChoice = IndexChoice::default();
        #[serde(with = "by_name")]
        pub phash64: IndexChoice = IndexChoice::default();
        #[serde(with = "by_name")]
        pub dhash64: IndexChoice = IndexChoice::default();
    }
}

/// Hashes of new entries, by kind.
#[derive(Clone, Default)]
pub struct HashRows {
    pub pdq: Rows<Pdq>,
    pub phash64: Rows<Hash64>,
    pub dhash64: Rows<Hash64>,
    pub md5: Rows<[u8; 16]>,
    pub sha1: Rows<[u8; 20]>,
    pub sha256: Rows<[u8; 32]>,
}

impl HashRows {
    pub fn push(&mut self, hash: &HashValue, entry: EntryNo) {
        match hash {
            HashValue::Pdq(h) => self.pdq.push(*h, entry),
            HashValue::Phash64(h) => self.phash64.push(*h, entry),
            HashValue::Dhash64(h) => self.dhash64.push(*h, entry),
            HashValue::Md5(h) => self.md5.push(*h, entry),
            HashValue::Sha1(h) => self.sha1.push(*h, entry),
            HashValue::Sha256(h) => self.sha256.push(*h, entry),
            HashValue::PhotoDna(_) => {}
        }
    }
}

/// What activating a version of a list does to a snapshot: prepared from one, taken by a later one.
pub struct Transition {
    pub list: ListId,
    pub from: VersionNo,
    pub to: VersionNo,
    /// Entries that the snapshot lacked: metadata and layers alone.
    part: Snapshot,
    opened: Alive,
    closed: Alive,
    /// How many hashes of each kind come and go.
    live: Vec<(HashKind, u64, u64)>,
    load: u64,
}

/// An entry that a version holds and that was not loaded: it would be missed in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLoaded(pub EntryNo);

/// Merged layers and what they stand in for: prepared from one snapshot, applied to a later one.
pub struct Merge {
    pdq: Option<(RadiusLayers<Pdq>, RadiusLayer<Pdq>)>,
    phash64: Option<(RadiusLayers<Hash64>, RadiusLayer<Hash64>)>,
    dhash64: Option<(RadiusLayers<Hash64>, RadiusLayer<Hash64>)>,
    md5: Option<(DigestLayers<16>, DigestLayer<16>)>,
    sha1: Option<(DigestLayers<20>, DigestLayer<20>)>,
    sha256: Option<(DigestLayers<32>, DigestLayer<32>)>,
}

impl Snapshot {
    /// Adds hashes: few go to the tail, many become a layer of their own.
    /// An index that does not hold its proof leaves the snapshot unfit for use. True: one was built, and holds it.
    pub fn add_rows(&mut self, rows: HashRows, choices: Choices) -> Result<bool, Flaw> {
        let (pdq, phash64, dhash64) =
            (self.radius_of(HashKind::Pdq), self.radius_of(HashKind::Phash64), self.radius_of(HashKind::Dhash64));
        let kinds = &mut self.kinds;
        let built = [
            add_radius(&mut kinds.pdq, rows.pdq, choices.pdq, pdq)?,
            add_radius(&mut kinds.phash64, rows.phash64, choices.phash64, phash64)?,
            add_radius(&mut kinds.dhash64, rows.dhash64, choices.dhash64, dhash64)?,
            add_digests(&mut kinds.md5, rows.md5)?,
            add_digests(&mut kinds.sha1, rows.sha1)?,
            add_digests(&mut kinds.sha256, rows.sha256)?,
        ];
        Ok(built.contains(&true))
    }

    /// Adds an entry's metadata; `false` where it is there already.
    pub fn add_metadata(&mut self, entry: EntryNo, metadata: EntryMetadata<'_>) -> bool {
        self.metadata.push(entry, metadata)
    }

    /// Makes an entry answer, or not, from now on; `false` where its metadata is not there, so that it can't.
    #[must_use]
    pub fn set_alive(&mut self, entry: EntryNo, alive: bool) -> bool {
        let Some(metadata) = self.metadata.get(entry) else { return false };
        if self.alive.set(entry, alive) {
            for kind in metadata.kinds.iter() {
                let count = self.live.entry((metadata.list, kind)).or_default();
                *count = if alive { *count + 1 } else { count.saturating_sub(1) };
            }
        }
        true
    }

    /// What it takes to go from one version of a list to another: `opened` come and `closed` go. `part` has the metadata and layers of
    /// those that this snapshot lacks.
    pub fn transition(
        &self,
        (list, from, to): (ListId, VersionNo, VersionNo),
        part: Snapshot,
        opened: Alive,
        closed: Alive,
    ) -> Result<Transition, NotLoaded> {
        let mut counts = [(0u64, 0u64); HashKind::ALL.len() + 1];
        for (entries, come) in [(&opened, true), (&closed, false)] {
            for entry in entries.iter() {
                let metadata = self.metadata.get(entry).or_else(|| part.metadata.get(entry)).ok_or(NotLoaded(entry))?;
                for kind in metadata.kinds.iter() {
                    let (opened, closed) = &mut counts[kind as usize];
                    *(if come { opened } else { closed }) += 1;
                }
            }
        }
        let live = HashKind::ALL.into_iter().map(|kind| (kind, counts[kind as usize].0, counts[kind as usize].1));
        Ok(Transition { list, from, to, part, opened, closed, live: live.collect(), load: self.load })
    }

    /// Whether a transition prepared from an earlier snapshot can be taken at the version where it starts: what that snapshot had loaded
    /// is there still.
    pub fn can_take(&self, transition: &Transition) -> bool {
        self.load == transition.load
    }

    /// Takes a transition that starts at the list's version; `false`, and the snapshot is unfit for use, where what it brings was loaded meanwhile.
    #[must_use]
    pub fn take(&mut self, transition: Transition) -> bool {
        let Transition { list, to, part, opened, closed, live, .. } = transition;
        if !self.metadata.unite(&part.metadata) {
            return false;
        }
        let (own, new) = (&mut self.kinds, part.kinds);
        own.pdq.extend(new.pdq);
        own.phash64.extend(new.phash64);
        own.dhash64.extend(new.dhash64);
        own.md5.extend(new.md5);
        own.sha1.extend(new.sha1);
        own.sha256.extend(new.sha256);
        self.alive.unite(&opened);
        self.alive.remove(&closed);
        for (kind, come, gone) in live.into_iter().filter(|(_, come, gone)| come + gone > 0) {
            let count = self.live.entry((list, kind)).or_default();
            *count = (*count + come).saturating_sub(gone);
        }
        self.versions.insert(list, to);
        *self.spare.entry(list).or_default() += closed.count();
        true
    }

    /// The version of a list that answers; 0 for none.
    pub fn version(&self, list: ListId) -> VersionNo {
        self.versions.get(&list).copied().unwrap_or_default()
    }

    /// Forgets a list that is gone. Its entries stay loaded.
    pub fn forget(&mut self, list: ListId) {
        self.live.retain(|(l, _), _| *l != list);
        self.versions.remove(&list);
        self.spare.remove(&list);
        self.marks.forget(list);
    }

    /// Entries that are loaded and in no version that answers or answered before.
    pub fn garbage(&self) -> u64 {
        let gone = self.alive.count() + self.spare.values().sum::<u64>();
        self.metadata.len().saturating_sub(gone)
    }

    pub fn is_crowded(&self) -> bool {
        let k = &self.kinds;
        k.pdq.is_crowded()
            || k.phash64.is_crowded()
            || k.dhash64.is_crowded()
            || k.md5.is_crowded()
            || k.sha1.is_crowded()
            || k.sha256.is_crowded()
    }

    /// Builds one layer for each crowded kind.
    pub fn merge(&self, choices: Choices) -> Result<Merge, Flaw> {
        let k = &self.kinds;
        Ok(Merge {
            pdq: merge_radius(&k.pdq, choices.pdq, self.radius_of(HashKind::Pdq))?,
            phash64: merge_radius(&k.phash64, choices.phash64, self.radius_of(HashKind::Phash64))?,
            dhash64: merge_radius(&k.dhash64, choices.dhash64, self.radius_of(HashKind::Dhash64))?,
            md5: merge_digests(&k.md5)?,
            sha1: merge_digests(&k.sha1)?,
            sha256: merge_digests(&k.sha256)?,
        })
    }

    /// Puts a merge's layers in place. Rows that came after it was prepared stay in their tail.
    pub fn apply_merge(&mut self, merge: Merge) {
        let k = &mut self.kinds;
        k.pdq.replace(merge.pdq);
        k.phash64.replace(merge.phash64);
        k.dhash64.replace(merge.dhash64);
        k.md5.replace(merge.md5);
        k.sha1.replace(merge.sha1);
        k.sha256.replace(merge.sha256);
    }

    /// The widest radius that anything is looked up at: what a kind's index is chosen by.
    fn radius_of(&self, kind: HashKind) -> u16 {
        self.policy.lists.iter().map(|l| l.policy.radius_looked_up(kind)).max().unwrap_or(0)
    }
}

/// True: a layer of its own was built for the rows.
fn add_radius<H: Bits>(layers: &mut RadiusLayers<H>, rows: Rows<H>, choice: IndexChoice, radius: u16) -> Result<bool, Flaw> {
    let many = rows.len() > TAIL_MAX;
    if many {
        let kind = choice.resolve::<H>(rows.len(), radius);
        layers.push(RadiusLayer::build(kind, rows, radius)?);
    } else {
        layers.append(&rows);
    }
    Ok(many)
}

fn add_digests<const N: usize>(layers: &mut DigestLayers<N>, rows: Rows<[u8; N]>) -> Result<bool, Flaw> {
    let many = rows.len() > TAIL_MAX;
    if many {
        layers.push(DigestLayer::build(rows)?);
    } else {
        layers.append(&rows);
    }
    Ok(many)
}

type Merged<From, Into> = Result<Option<(From, Into)>, Flaw>;

fn merge_radius<H: Bits>(layers: &RadiusLayers<H>, choice: IndexChoice, radius: u16) -> Merged<RadiusLayers<H>, RadiusLayer<H>> {
    let Some(from) = layers.to_merge() else { return Ok(None) };
    let rows = from.rows();
    let kind = choice.resolve::<H>(rows.len(), radius);
    Ok(Some((from, RadiusLayer::build(kind, rows, radius)?)))
}

fn merge_digests<const N: usize>(layers: &DigestLayers<N>) -> Merged<DigestLayers<N>, DigestLayer<N>> {
    let Some(from) = layers.to_merge() else { return Ok(None) };
    let rows = from.rows();
    Ok(Some((from, DigestLayer::build(rows)?)))
}
