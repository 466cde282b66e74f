//! How the next snapshot is made from the last: rows join the tail or a new layer, bits flip, crowded layers merge.
//!
//! Invariant: an edit leaves the snapshot it starts from untouched, a merge changes no answer, and no layer comes in without its proof.

use super::layers::{DigestLayer, DigestLayers, RadiusLayer, RadiusLayers, Rows, TAIL_MAX};
use super::{EntryMetadata, Snapshot};
use crate::entry::{Bits, EntryNo, Hash64, HashKind, HashValue, ListId, Pdq};
use crate::index::IndexChoice;
use crate::index::proof::Flaw;

/// Which index each kind uses.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    pub pdq: IndexChoice,
    pub phash64: IndexChoice,
    pub dhash64: IndexChoice,
}

impl Default for Choices {
    fn default() -> Self {
        Choices { pdq: IndexChoice::Auto, phash64: IndexChoice::Auto, dhash64: IndexChoice::Auto }
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

    /// Forgets a list's counts. Its entries must be dead.
    pub fn forget(&mut self, list: ListId) {
        self.live.retain(|(l, _), _| *l != list);
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
