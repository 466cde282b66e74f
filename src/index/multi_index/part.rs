//! A batch's part: some hashes and one table, what they open, what survives of it, and the memory that is kept for it all.
//!
//! Filled by `batch`, by `blocks` or by `join`; what has gathered is settled here.

use super::MultiIndex;
use super::bit_sliced::BitSliced;
use super::halves::{QueryHalves, halves_of};
use super::lines::{Group, Lines, Near, Opened};
use super::plan::Plan;
use super::table::ResidualBits;
use crate::arch::prefetch;
use crate::entry::Bits;
use crate::index::{Effort, Hit, Outlet, Query};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Survivors that are gathered before they are worked off.
pub(super) const GATHERED: usize = 2048;

/// What has a hash.
pub(super) trait Hashed: Sync {
    type H: Bits;
    fn hash(&self) -> &Self::H;
}

impl<H: Bits> Hashed for H {
    type H = H;
    #[inline(always)]
    fn hash(&self) -> &H {
        self
    }
}

impl<H: Bits> Hashed for Query<H> {
    type H = H;
    #[inline(always)]
    fn hash(&self) -> &H {
        &self.hash
    }
}

/// A posting that keeps to the budgets so far, and for whom; later its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survivor {
    pub number: u32,
    pub at: u32,
    pub next: u16,
    pub third: u16,
    /// Bits by which the next half and the one after it together may differ.
    pub two_max: u16,
}

/// Hashes with the same half, and what they open.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) queries: Range<usize>,
    pub(super) groups: Range<usize>,
    pub(super) opened: u64,
    pub(super) postings: u64,
}

/// Hashes that were scanned, so that nothing is left to look up: a bit each. Set by whoever has the hash, read in the tables after.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) any: AtomicBool,
    bits: Vec<AtomicU64>,
}

impl Scanned {
    pub fn reset(&mut self, hashes: usize) {
        *self.any.get_mut() = false;
        self.bits.clear();
        self.bits.resize_with(hashes.div_ceil(64), AtomicU64::default);
    }

    pub fn add(&self, number: u32) {
        self.bits[number as usize / 64].fetch_or(1 << (number % 64), Ordering::Relaxed);
        self.any.store(true, Ordering::Relaxed);
    }

    pub fn contains(&self, number: u32) -> bool {
        self.bits[number as usize / 64].load(Ordering::Relaxed) >> (number % 64) & 1 == 1
    }
}

/// Memory kept from one batch to the next.
#[derive(Debug, Default)]
pub(in crate::index) struct Batch {
    pub(super) order: Vec<QueryHalves>,
    /// Those that are looked up one by one where the others are by blocks.
    pub(super) apart: Vec<QueryHalves>,
    /// By value of a half, or by its higher bits, where the hashes that have it begin.
    pub(super) starts: Vec<u32>,
    pub(super) scanned: Scanned,
    pub(super) buffers: Buffers,
}

/// What some hashes open, run by run.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) lines: Lines,
    pub(super) groups: Vec<Group>,
    pub(super) runs: Vec<Run>,
}

#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// What is read, and what is to be read next and was asked for.
    pub(super) listed: [Listed; 2],
    pub(super) nears: Vec<Near>,
    pub survivors: Vec<Survivor>,
    pub opened: Opened,
    /// Large, and of use to joins alone.
    pub(super) sliced: Option<Box<BitSliced>>,
}

/// Some hashes, in their order, and one table.
pub(super) struct Part<'a, 'o, 'b, Q: Hashed> {
    pub index: &'a MultiIndex<Q::H>,
    pub queries: &'a [Q],
    /// The number of the first of all that are asked.
    pub first: u32,
    pub plan: &'a Plan,
    pub table: usize,
    pub order: &'a [QueryHalves],
    pub scanned: &'a Scanned,
    /// Where postings are compared by sums.
    pub residual_bits: Option<&'a ResidualBits>,
    pub buffers: &'a mut Buffers,
    pub out: &'a mut Outlet<'o, 'b>,
}

impl<Q: Hashed> Part<'_, '_, '_, Q> {
    /// The bits that are known of a posting's half after next.
    #[inline(always)]
    pub fn third_mask(&self) -> u16 {
        self.residual_bits.map_or(self.index.tables.third_mask(), |residual_bits| residual_bits.mask)
    }

    /// Looks at the survivors' other halves, then at the rows that are left.
    #[inline(always)]
    pub fn settle(&mut self, effort: &mut Effort) {
        let third_mask = self.third_mask();
        let (index, survivors) = (self.index, &mut self.buffers.survivors);
        let mut kept = 0;
        for at in 0..survivors.len() {
            let survivor = survivors[at];
            let (row, two) = index.tables.row_and_distance(survivor.at, survivor.next, survivor.third);
            survivors[kept] = Survivor { at: row, ..survivor };
            kept += usize::from(two <= survivor.two_max);
        }
        for survivor in &survivors[..kept] {
            prefetch(&index.rows, survivor.at as usize);
            prefetch(self.queries, survivor.number as usize);
        }
        effort.distances += kept as u64;
        for survivor in &survivors[..kept] {
            let number = survivor.number;
            let (hash, found) = (self.queries[number as usize].hash(), &index.rows[survivor.at as usize]);
            let distance = hash.distance(found);
            if distance <= self.plan.radius
                && index.first_table(found, &halves_of(hash), self.plan, third_mask) == Some(self.table)
            {
                self.out.push(Hit { query: self.first + number, row: survivor.at, distance });
            }
        }
        survivors.clear();
        self.out.hand_over();
    }
}
