//! Which rows lie within a radius of a query?
//!
//! Distances and radii are Hamming distances in bits, radii inclusive. A row is a position, from 0, in the slice of hashes that an
//! index was built from. Invariant: every index is exact. At every radius it returns what [`linear`] returns, which the suite in
//! [`conformance`] holds it to; a look-up may only be slower than hoped, never less than whole. An index is immutable once built and
//! knows nothing of lists, entries, liveness or limits on matches: those are the snapshot's.

pub mod arch;
pub mod bk_tree;
#[doc(hidden)]
pub mod conformance;
pub mod exact;
pub mod linear;
pub mod multi_index;
pub mod proof;
pub mod random;

use crate::entry::{BadValue, Bits};
use rayon::prelude::*;
use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;
use std::sync::Arc;

/// Most rows an index is built from: rows and nodes are numbered with a `u32`, as are a multi-index's postings with what pads their lists.
pub const INDEX_ROWS_MAX: usize = 1 << 30;

/// Up to so many rows `auto` keeps a 64-bit kind at radius 4 or less in a BK-tree: its look-up stays below 50 us. Measured by
/// `benches/index.rs` on a busy AMD EPYC (Zen 3), hashes of as many ones as zeros: 25 us at 40 thousand rows, 47 to 52 at 80, 56 to 61 at
/// 100, 870 to 950 at a million. Hashes spread evenly take two thirds of that.
pub const AUTO_BK_TREE_ROWS_MAX: usize = 75_000;
/// The radius up to which [`AUTO_BK_TREE_ROWS_MAX`] was measured.
pub const AUTO_BK_TREE_RADIUS_MAX: u16 = 4;
/// Up to so many rows `auto` scans where it does not use a BK-tree. Measured likewise, PDQ at radius 31, with the caches emptied before each
/// look-up, as decoding a picture does: the scan takes 15 us at 4 thousand rows, 21 at 6, 29 at 8; the multi-index 21 us at any of these, and
/// 4 MB beside the rows. In warm caches it is ahead from a thousand or two, but then both are quick.
pub const AUTO_LINEAR_ROWS_MAX: usize = 6_000;

/// One look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<H> {
    pub hash: H,
    /// Bits, inclusive. A radius above [`Bits::BITS`] finds every row.
    pub radius: u16,
}

/// A row within a query's radius.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Position in the batch of queries.
    pub query: u32,
    /// Position among the rows that the index was built from.
    pub row: u32,
    /// Bits.
    pub distance: u16,
}

/// What a look-up cost, summed over a batch. It depends on rows and queries alone, not on time or machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Lists opened: posting lists of a multi-index, groups of children of a BK-tree.
    pub probes: u64,
    /// Rows looked at, in whole or by a part of their hash.
    pub candidates: u64,
    /// Whole hashes compared.
    pub distances: u64,
}

impl AddAssign for Effort {
    fn add_assign(&mut self, other: Effort) {
        self.probes += other.probes;
        self.candidates += other.candidates;
        self.distances += other.distances;
    }
}

/// Rows that can be looked up by radius.
pub trait RadiusIndex<H: Bits>: Send + Sync {
    /// Number of rows.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the heap, rows included.
    fn bytes(&self) -> usize;

    /// Appends to `out` every row within each query's radius, once per query. Queries come in order; the order of the hits of one
    /// query is unspecified. `out` grows by at most rows times queries: the caller bounds both radius and batch.
    fn search(&self, queries: &[Query<H>], scratch: &mut Scratch, out: &mut Vec<Hit>) -> Effort;

    /// Hands every row within `radius` of each of many hashes to `each`, once, in no order and some at a time, from the threads of the rayon
    /// pool that it is called in. `query` is a hash's position.
    fn join(&self, hashes: &[H], radius: u16, each: &(dyn Fn(&[Hit]) + Sync)) {
        const AT_ONCE: usize = 64;
        hashes.par_chunks(AT_ONCE).enumerate().for_each_init(Scratch::default, |scratch, (chunk, hashes)| {
            let queries: Vec<_> = hashes.iter().map(|hash| Query { hash: *hash, radius }).collect();
            let mut hits = Vec::new();
            self.search(&queries, scratch, &mut hits);
            hits.iter_mut().for_each(|hit| hit.query += (chunk * AT_ONCE) as u32);
            if !hits.is_empty() {
                each(&hits);
            }
        });
    }
}

/// Memory that look-ups use, kept from one to the next so that a warm look-up allocates nothing. Holds no answer: any
/// scratch serves any index. Grows to a few kilobytes at PDQ's radius 31, at the worst to some 5 bytes a row of a multi-index (rows
/// much alike) and 12 a node of a BK-tree.
#[derive(Debug, Default)]
pub struct Scratch {
    nodes: Vec<(bk_tree::NodeId, u16)>,
    runs: Vec<bk_tree::Run>,
    lines: multi_index::Lines,
    nears: Vec<multi_index::Near>,
    groups: Vec<multi_index::Group>,
    survivors: Vec<multi_index::Survivor>,
}

/// The indexes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    Linear,
    BkTree,
    MultiIndex,
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IndexKind::Linear => "linear",
            IndexKind::BkTree => "bk-tree",
            IndexKind::MultiIndex => "multi-index",
        })
    }
}

/// What an operator asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IndexChoice {
    /// By number of rows, bits and radius.
    #[default]
    Auto,
    BkTree,
    MultiIndex,
    Linear,
}

impl IndexChoice {
    pub const ALL: [IndexChoice; 4] = [IndexChoice::Auto, IndexChoice::BkTree, IndexChoice::MultiIndex, IndexChoice::Linear];

    pub fn name(self) -> &'static str {
        match self {
            IndexChoice::Auto => "auto",
            IndexChoice::BkTree => "bk-tree",
            IndexChoice::MultiIndex => "multi-index",
            IndexChoice::Linear => "linear",
        }
    }

    /// The index for `rows` rows that are looked up at `radius`.
    ///
    /// A BK-tree prunes where the radius is small against the spread of distances: 64 bits at radius 4 or less, and hardly at all for 256
    /// bits at 31, where unrelated hashes lie 128 +- 8 bits apart. So `auto` never chooses one there.
    pub fn resolve<H: Bits>(self, rows: usize, radius: u16) -> IndexKind {
        match self {
            IndexChoice::BkTree => IndexKind::BkTree,
            IndexChoice::MultiIndex => IndexKind::MultiIndex,
            IndexChoice::Linear => IndexKind::Linear,
            IndexChoice::Auto if H::BITS == 64 && radius <= AUTO_BK_TREE_RADIUS_MAX && rows <= AUTO_BK_TREE_ROWS_MAX => {
                IndexKind::BkTree
            }
            IndexChoice::Auto if rows <= AUTO_LINEAR_ROWS_MAX => IndexKind::Linear,
            IndexChoice::Auto => IndexKind::MultiIndex,
        }
    }
}

impl fmt::Display for IndexChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IndexChoice {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        Self::ALL
            .into_iter()
            .find(|c| c.name() == s)
            .ok_or_else(|| BadValue(format!("unknown index {s:?}: one of auto, bk-tree, multi-index, linear")))
    }
}

/// Builds an index over `rows`, which it shares. Uses the rayon pool that it is called in.
///
/// # Panics
/// With more than [`INDEX_ROWS_MAX`] rows (34 GB of 64-bit hashes, 137 GB of PDQ hashes).
pub fn build<H: Bits>(kind: IndexKind, rows: Arc<[H]>) -> Box<dyn RadiusIndex<H>> {
    match kind {
        IndexKind::Linear => Box::new(linear::Linear::new(rows)),
        IndexKind::BkTree => Box::new(bk_tree::BkIndex::build(rows)),
        IndexKind::MultiIndex => Box::new(multi_index::MultiIndex::build(rows)),
    }
}

/// Holds the one invariant that every constructor needs: a row's number fits in a `u32`.
fn assert_rows_max(rows: usize) {
    assert!(rows <= INDEX_ROWS_MAX, "an index holds at most {INDEX_ROWS_MAX} rows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Hash64, Pdq};

    #[test]
    fn auto_takes_the_index_that_was_measured_to_be_good_enough() {
        fn check<H: Bits>(rows: usize, radius: u16, expected: IndexKind) {
            assert_eq!(IndexChoice::Auto.resolve::<H>(rows, radius), expected, "{rows} rows, radius {radius}");
        }
        check::<Hash64>(0, 4, IndexKind::BkTree);
        check::<Hash64>(AUTO_BK_TREE_ROWS_MAX, 4, IndexKind::BkTree);
        check::<Hash64>(AUTO_BK_TREE_ROWS_MAX + 1, 4, IndexKind::MultiIndex);
        check::<Hash64>(AUTO_LINEAR_ROWS_MAX, 5, IndexKind::Linear);
        check::<Hash64>(AUTO_LINEAR_ROWS_MAX + 1, 5, IndexKind::MultiIndex);
        check::<Pdq>(AUTO_LINEAR_ROWS_MAX, 31, IndexKind::Linear);
        check::<Pdq>(AUTO_LINEAR_ROWS_MAX, 0, IndexKind::Linear);
        check::<Pdq>(AUTO_LINEAR_ROWS_MAX + 1, 31, IndexKind::MultiIndex);
    }

    #[test]
    fn an_explicit_choice_is_kept_whatever_the_rows() {
        for (choice, expected) in [
            (IndexChoice::BkTree, IndexKind::BkTree),
            (IndexChoice::MultiIndex, IndexKind::MultiIndex),
            (IndexChoice::Linear, IndexKind::Linear),
        ] {
            for rows in [0, 1, 10_000_000] {
                assert_eq!(choice.resolve::<Pdq>(rows, 31), expected);
                assert_eq!(choice.resolve::<Hash64>(rows, 4), expected);
            }
            assert_eq!(expected.to_string(), choice.name());
        }
    }

    #[test]
    fn a_choice_is_read_back_as_it_is_written_and_others_are_refused() {
        for choice in IndexChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for bad in ["", "AUTO", "bktree", "bk_tree", "multi"] {
            assert!(bad.parse::<IndexChoice>().is_err(), "{bad}");
        }
    }
}
