//! One kind of hash, searchable: a few immutable, proven layers and a short tail of new hashes that is scanned.
//!
//! A layer's rows are positions; `entries` names the entry at each. A layer knows nothing of liveness: the snapshot masks
//! the dead in its one look-up. Invariant: a hash of an entry whose metadata is loaded stands in exactly one layer or in the tail.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::entry::{Bits, EntryNo};
use crate::index::exact::ExactIndex;
use crate::index::proof::{Flaw, prove, prove_exact};
use crate::index::{Effort, Hit, IndexKind, Query, RadiusIndex, Scratch, linear};

/// Takes hits and the entries that their rows are of.
pub type TakeRows<'a> = dyn FnMut(&[Hit], &[EntryNo]) -> ControlFlow<()> + 'a;

/// New hashes beyond this become a layer.
pub const TAIL_MAX: usize = 8192;
/// More layers than this are merged.
pub const LAYERS_MAX: usize = 4;

/// An index and whose its rows are.
pub struct Layer<H, I: ?Sized> {
    /// Shared with the index, so that a merge can take them up again.
    pub hashes: Arc<[H]>,
    pub entries: Box<[EntryNo]>,
    pub index: Box<I>,
}

pub type RadiusLayer<H> = Layer<H, dyn RadiusIndex<H>>;
pub type DigestLayer<const N: usize> = Layer<[u8; N], ExactIndex<N>>;
pub type RadiusLayers<H> = Layers<H, dyn RadiusIndex<H>>;
pub type DigestLayers<const N: usize> = Layers<[u8; N], ExactIndex<N>>;

impl<H: Bits> RadiusLayer<H> {
    /// Builds an index and holds it to the scan at `radius`.
    pub fn build(kind: IndexKind, rows: Rows<H>, radius: u16) -> Result<Self, Flaw> {
        let hashes: Arc<[H]> = rows.hashes.into();
        let index = crate::index::build(kind, hashes.clone());
        prove(&*index, &hashes, radius)?;
        Ok(Layer { index, entries: rows.entries.into(), hashes })
    }
}

impl<const N: usize> DigestLayer<N> {
    pub fn build(rows: Rows<[u8; N]>) -> Result<Self, Flaw> {
        let hashes: Arc<[[u8; N]]> = rows.hashes.into();
        let index = ExactIndex::build(hashes.clone());
        prove_exact(&index, &hashes)?;
        Ok(Layer { index: Box::new(index), entries: rows.entries.into(), hashes })
    }
}

/// Hashes and whose they are, side by side.
#[derive(Clone)]
pub struct Rows<H> {
    pub hashes: Vec<H>,
    pub entries: Vec<EntryNo>,
}

impl<H> Default for Rows<H> {
    fn default() -> Self {
        Rows { hashes: Vec::new(), entries: Vec::new() }
    }
}

impl<H: Copy> Rows<H> {
    pub fn push(&mut self, hash: H, entry: EntryNo) {
        self.hashes.push(hash);
        self.entries.push(entry);
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub fn extend(&mut self, other: &Rows<H>) {
        self.hashes.extend_from_slice(&other.hashes);
        self.entries.extend_from_slice(&other.entries);
    }

    pub fn since(&self, row: usize) -> Rows<H> {
        Rows { hashes: self.hashes[row..].to_vec(), entries: self.entries[row..].to_vec() }
    }
}

/// Layers and tail of one kind. A clone shares the layers and the tail.
pub struct Layers<H, I: ?Sized> {
    pub layers: Vec<Arc<Layer<H, I>>>,
    pub tail: Arc<Rows<H>>,
}

impl<H, I: ?Sized> Clone for Layers<H, I> {
    fn clone(&self) -> Self {
        Layers { layers: self.layers.clone(), tail: self.tail.clone() }
    }
}

impl<H, I: ?Sized> Default for Layers<H, I> {
    fn default() -> Self {
        Layers { layers: Vec::new(), tail: Arc::default() }
    }
}

impl<H: Copy, I: ?Sized> Layers<H, I> {
    /// Rows in all layers and the tail, dead ones included.
    pub fn len(&self) -> usize {
        self.tail.len() + self.layers.iter().map(|l| l.entries.len()).sum::<usize>()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push(&mut self, layer: Layer<H, I>) {
        self.layers.push(Arc::new(layer));
    }

    /// Adds rows to the tail: a copy of at most [`TAIL_MAX`] rows and the new ones.
    pub fn append(&mut self, rows: &Rows<H>) {
        if !rows.is_empty() {
            let mut tail = (*self.tail).clone();
            tail.extend(rows);
            self.tail = Arc::new(tail);
        }
    }

    /// Adds another's layers and tail.
    pub fn extend(&mut self, other: Self) {
        self.layers.extend(other.layers);
        self.append(&other.tail);
    }

    /// All rows of all layers and the tail, the dead too: a roll-back may want them, and goes by the metadata that it is there.
    pub fn rows(&self) -> Rows<H> {
        let mut rows = (*self.tail).clone();
        for layer in &self.layers {
            rows.hashes.extend_from_slice(&layer.hashes);
            rows.entries.extend_from_slice(&layer.entries);
        }
        rows
    }

    pub fn is_crowded(&self) -> bool {
        self.tail.len() > TAIL_MAX || self.layers.len() > LAYERS_MAX
    }

    /// The tail and the layers to merge with it, where there is something to merge: the smallest first, as long as a layer
    /// is no more than twice what was gathered so far or there would be too many, so that a large layer is rebuilt seldom.
    pub fn to_merge(&self) -> Option<Self> {
        if !self.is_crowded() {
            return None;
        }
        let mut by_size = self.layers.clone();
        by_size.sort_by_key(|layer| layer.entries.len());
        let (mut taken, mut rows) = (0, self.tail.len());
        while taken < by_size.len() && (by_size[taken].entries.len() <= 2 * rows || by_size.len() - taken >= LAYERS_MAX) {
            rows += by_size[taken].entries.len();
            taken += 1;
        }
        by_size.truncate(taken);
        Some(Layers { layers: by_size, tail: self.tail.clone() })
    }

    /// Puts a merged layer where the layers and the tail's rows of what it was made from stood. Rows that came since stay.
    pub fn replace(&mut self, merge: Option<(Self, Layer<H, I>)>) {
        let Some((from, merged)) = merge else { return };
        let stands = |old| self.layers.iter().any(|layer| Arc::ptr_eq(layer, old));
        if !from.layers.iter().all(stands) || !self.tail.entries.starts_with(&from.tail.entries) {
            return; // made from layers that were rebuilt meanwhile
        }
        self.layers.retain(|layer| !from.layers.iter().any(|old| Arc::ptr_eq(layer, old)));
        self.layers.push(Arc::new(merged));
        self.tail = Arc::new(self.tail.since(from.tail.len()));
    }
}

impl<H: Bits> RadiusLayers<H> {
    /// Looks up in every layer and the tail. `take` gets hits, whose rows are positions among the entries that come with them, and says
    /// whether to go on; dead entries are among them.
    pub fn look_up(&self, queries: &[Query<H>], scratch: &mut Scratch, take: &mut TakeRows<'_>) -> Effort {
        let (mut effort, mut ended) = (Effort::default(), false);
        for layer in &self.layers {
            if !ended {
                let mut take = |hits: &[Hit]| {
                    let flow = take(hits, &layer.entries);
                    ended = flow.is_break();
                    flow
                };
                effort += layer.index.look_up(queries, scratch, &mut take);
            }
        }
        if !ended && !self.tail.is_empty() {
            effort += linear::scan(&self.tail.hashes, queries, scratch, &mut |hits| take(hits, &self.tail.entries));
        }
        effort
    }

    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().map(|l| l.index.bytes() + l.entries.len() * size_of::<EntryNo>()).sum::<usize>();
        layers + self.tail.len() * (H::BYTES + size_of::<EntryNo>())
    }
}

impl<const N: usize> DigestLayers<N> {
    pub fn search(&self, digest: &[u8; N], found: &mut dyn FnMut(EntryNo)) {
        for layer in &self.layers {
            layer.index.find(digest, &mut |row| found(layer.entries[row as usize]));
        }
        for (row, entry) in self.tail.hashes.iter().zip(&self.tail.entries) {
            if row == digest {
                found(*entry);
            }
        }
    }

    pub fn bytes(&self) -> usize {
        let layers = self.layers.iter().map(|l| l.index.bytes() + l.entries.len() * size_of::<EntryNo>()).sum::<usize>();
        layers + self.tail.len() * (N + size_of::<EntryNo>())
    }
}
