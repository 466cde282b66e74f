//! Which rows lie within a radius of a query?
//!
//! Distances and radii are Hamming distances in bits, radii inclusive. A row is a position, from 0, in the slice of hashes that an
//! index was built from. Invariant: every index is exact. At every radius it returns what [`linear`] returns, which the suite in
//! [`conformance`] holds it to; a look-up may only be slower than hoped, never less than whole. An index is immutable once built and
//! knows nothing of lists, entries, liveness or limits on matches: those are the snapshot's.

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
use std::ops::{AddAssign, ControlFlow};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

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

/// Up to so many rows a join scans.
const JOIN_LINEAR_ROWS_MAX: usize = 1_000;

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

/// Takes hits as they are found.
pub type Take<'a> = dyn FnMut(&[Hit]) -> ControlFlow<()> + 'a;

/// Hits that are handed over together, at most: rows much alike must not fill the memory.
pub const HITS_AT_ONCE: usize = 4096;

/// Hits on their way to who asked for them.
struct Outlet<'a, 'b> {
    hits: Vec<Hit>,
    take: &'a mut Take<'b>,
    flow: ControlFlow<()>,
}

impl<'a, 'b> Outlet<'a, 'b> {
    fn new(take: &'a mut Take<'b>, scratch: &mut Scratch) -> Self {
        Outlet { hits: std::mem::take(&mut scratch.hits), take, flow: ControlFlow::Continue(()) }
    }

    /// Gives its memory back.
    fn end(mut self, scratch: &mut Scratch) {
        self.hits.clear();
        scratch.hits = self.hits;
    }

    #[inline(always)]
    fn push(&mut self, hit: Hit) {
        self.hits.push(hit);
        if self.hits.len() >= HITS_AT_ONCE {
            self.hand_over();
        }
    }

    /// Hands over what there is, or nothing, and hears whether to go on.
    #[inline(never)]
    fn hand_over(&mut self) {
        if self.flow.is_continue() {
            self.flow = (self.take)(&self.hits);
        }
        self.hits.clear();
    }

    fn ended(&self) -> bool {
        self.flow.is_break()
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

    /// Hands every row within each query's radius to `take`, once per query, in no order, at most [`HITS_AT_ONCE`] at a time. `take` is
    /// called now and then without any, too: when it breaks off, so do the look-ups, soon, and what was found until then is not all.
    fn look_up(&self, queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort;

    /// The same, appended to `out`, which grows by at most rows times queries: the caller bounds both radius and batch.
    fn search(&self, queries: &[Query<H>], scratch: &mut Scratch, out: &mut Vec<Hit>) -> Effort {
        self.look_up(queries, scratch, &mut |hits| {
            out.extend_from_slice(hits);
            ControlFlow::Continue(())
        })
    }

    /// Hands every row within `radius` of each of many hashes to `each`, once, in no order and some at a time, from the threads of the rayon
    /// pool that it is called in. `query` is a hash's position. As with [`Self::look_up`], `each` is called without any, too, and may break off.
    fn join(&self, hashes: &[H], radius: u16, each: &Each<'_>) {
        join_by_look_ups(self, hashes, radius, each);
    }
}

/// Takes the hits of a join.
pub type Each<'a> = dyn Fn(&[Hit]) -> ControlFlow<()> + Sync + 'a;

/// A join by as many look-ups.
fn join_by_look_ups<H: Bits>(index: &(impl RadiusIndex<H> + ?Sized), hashes: &[H], radius: u16, each: &Each<'_>) {
    let look_up = |scratch: &mut Scratch, (number, hash): (usize, &H)| {
        let mut flow = ControlFlow::Continue(());
        index.look_up(&[Query { hash: *hash, radius }], scratch, &mut |hits| {
            let numbered: Vec<_> = hits.iter().map(|hit| Hit { query: number as u32, ..*hit }).collect();
            flow = each(&numbered);
            flow
        });
        if flow.is_break() { Err(()) } else { Ok(()) }
    };
    // An error ends the look-ups that were not begun.
    let _ended = hashes.par_iter().enumerate().map_init(Scratch::default, look_up).collect::<Result<(), ()>>();
}

/// About what a look-up takes among `rows` rows spread evenly, on one core; at most what a scan takes.
pub fn expected_look_up<H: Bits>(kind: IndexKind, rows: usize, radius: u16) -> Duration {
    let scan_ps = rows as u64 * multi_index::ROW_PS;
    let ps = match kind {
        IndexKind::MultiIndex => multi_index::Plan::new(H::BITS, radius.min(H::BITS)).cost_ps(rows).min(scan_ps),
        IndexKind::Linear | IndexKind::BkTree => scan_ps,
    };
    Duration::from_nanos(ps / 1_000)
}

/// Memory that look-ups use, kept from one to the next so that a warm look-up allocates nothing. Holds no answer: any
/// scratch serves any index. Grows to a few kilobytes at PDQ's radius 31 and some 30 bytes for each of many look-ups together, at the worst
/// to some 5 bytes a row of a multi-index (rows much alike) and 12 a node of a BK-tree.
#[derive(Debug, Default)]
pub struct Scratch {
    hits: Vec<Hit>,
    batch: multi_index::Batch,
    nodes: Vec<(bk_tree::NodeId, u16)>,
    runs: Vec<bk_tree::Run>,
    lines: multi_index::Lines,
    nears: Vec<multi_index::Near>,
    groups: Vec<multi_index::Group>,
    survivors: Vec<multi_index::Survivor>,
    plan: multi_index::Plan,
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

impl IndexKind {
    /// The index for a join with `rows` rows: few are not worth the tables of a multi-index.
    pub fn for_join(rows: usize) -> IndexKind {
        if rows <= JOIN_LINEAR_ROWS_MAX { IndexKind::Linear } else { IndexKind::MultiIndex }
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
