//! Which of many hashes lie near which rows?
//!
//! As in a batch (see `batch`), table by table, the hashes in the order of the table's half; but on all threads of the pool that it is called
//! in, and with all hashes at once, so that as many as possible share a half. Memory beside the hashes: 12 bytes for each, and some buffers
//! a thread; and a byte for each posting (16 for a row of 256 bits) where the hashes are so many that it pays: see `ResidualBits`.

use super::bit_sliced::BitSliced;
use super::halves::{QueryHalves, half, halves};
use super::part::{Part, Scanned};
use super::plan::Plan;
use super::table::{ResidualBits, VALUES};
use super::{Lists, MultiIndex};
use crate::arch;
use crate::entry::Bits;
use crate::index::{Each, Hit, Outlet, Scratch, join_by_look_ups};
use rayon::prelude::*;

/// Jobs that the hashes of a table are looked up in, and how many hashes one takes.
const JOBS: usize = 64;
const JOB_MIN: usize = 256;
const JOB_MAX: usize = 16_384;
/// Hashes that share a half, on average, from which on the residual_bits are made, and for each of those hashes at most so many rows. On a Zen 4, as many
/// hashes as rows, a million took 6 % longer with them and three million no less.
const RESIDUAL_FROM: usize = 64;
const RESIDUAL_WORTH: usize = 8;

impl<H: Bits> MultiIndex<H> {
    pub(super) fn join_lists(&self, queries: &[H], radius: u16, each: &Each<'_>) {
        let plan = Plan::new(H::BITS, radius);
        if self.limit_ps(&plan) == 0 {
            return join_by_look_ups(self, queries, radius, each);
        }
        arch::move_to_large_pages(queries);
        let tables: Vec<usize> = self.tables_of(&plan).collect();
        let mut scanned = Scanned::default();
        scanned.reset(queries.len());
        let a_job_max = queries.len().div_ceil(JOBS).clamp(JOB_MIN, JOB_MAX);
        let residual_bits = self.residual_bits_for(queries.len(), &plan);
        let mut sorter = Sorter::new(queries, &tables);
        for (at, table) in tables.iter().enumerate() {
            let a_job = |scratch: &mut Scratch, order: &[QueryHalves]| {
                let mut take = |hits: &[Hit]| each(hits);
                let mut out = Outlet::new(&mut take, scratch);
                out.hand_over(); // to hear whether it is wanted still
                let (buffers, first, plan, table, scanned) = (&mut scratch.batch.buffers, 0, &plan, *table, &scanned);
                let residual_bits = residual_bits.as_ref();
                self.level.run(Part {
                    index: self,
                    queries,
                    first,
                    plan,
                    table,
                    order,
                    scanned,
                    residual_bits,
                    buffers,
                    out: &mut out,
                });
                let ended = out.ended();
                out.end(scratch);
                if ended { Err(()) } else { Ok(()) }
            };
            let some_parts = |order: &mut Vec<QueryHalves>, parts: &[&[QueryHalves]]| {
                order.clear();
                parts.iter().for_each(|part| append_sorted(part, order));
                order.par_chunks(a_job_max).map_init(Scratch::default, a_job).collect::<Result<(), ()>>()
            };
            let parts = sorter.deal_out(queries, at, *table);
            let together = (PARTS * JOB_MIN / queries.len().max(1)).clamp(1, PARTS);
            if parts.par_chunks(together).map_init(Vec::new, some_parts).collect::<Result<(), ()>>().is_err() {
                break;
            }
        }
    }
}

impl<H: Bits> MultiIndex<H> {
    /// The residual_bits of all postings, where they spare more time than they take.
    fn residual_bits_for(&self, queries: usize, plan: &Plan) -> Option<ResidualBits> {
        let worth = match self.lists {
            Lists::WhereCheaper => queries >= RESIDUAL_FROM * VALUES && queries.saturating_mul(RESIDUAL_WORTH) >= self.rows.len(),
            #[cfg(test)]
            Lists::Always => true,
        };
        let by_sums = |table| BitSliced::sums_up(plan.budgets_from(table, halves::<H>()));
        (worth && self.tables_of(plan).any(by_sums)).then(|| ResidualBits::build(&self.tables, &self.rows, self.level))
    }
}

/// Parts that hashes are dealt out to, by the higher bits of a half: each then fits the cache when it is sorted by the lower ones.
const PARTS: usize = 256;
/// Shares that the hashes are dealt out in, each by one thread, and how many hashes one takes.
const SHARES: usize = 16;
const SHARE_MIN: usize = 4_096;

/// Deals hashes out to parts, by one half after the other.
struct Sorter {
    share: usize,
    /// For each share, each table and each part, its hashes.
    counts: Vec<Vec<[u32; PARTS]>>,
    dealt: Vec<QueryHalves>,
}

impl Sorter {
    fn new<H: Bits>(queries: &[H], tables: &[usize]) -> Self {
        let share = queries.len().div_ceil(SHARES).max(SHARE_MIN);
        let count = |queries: &[H]| {
            let mut counts = vec![[0; PARTS]; tables.len()];
            for hash in queries {
                for (counts, table) in counts.iter_mut().zip(tables) {
                    counts[usize::from(half(hash, *table) >> 8)] += 1;
                }
            }
            counts
        };
        let counts = queries.par_chunks(share).map(count).collect();
        Sorter { share, counts, dealt: arch::alloc_huge_pages(queries.len(), QueryHalves::default()) }
    }

    /// All hashes in parts, by the half of `table`, the `at`th of those that were counted.
    fn deal_out<H: Bits>(&mut self, queries: &[H], at: usize, table: usize) -> Vec<&[QueryHalves]> {
        let Sorter { share, counts, dealt } = self;
        // For each share, where its hashes of each part go.
        let mut rooms: Vec<Vec<&mut [QueryHalves]>> = counts.iter().map(|_| Vec::with_capacity(PARTS)).collect();
        let mut rest = &mut dealt[..];
        for part in 0..PARTS {
            for (counts, rooms) in counts.iter().zip(&mut rooms) {
                let (room, after) = rest.split_at_mut(counts[at][part] as usize);
                rooms.push(room);
                rest = after;
            }
        }
        queries.par_chunks(*share).zip(rooms).enumerate().for_each(|(number, (hashes, mut rooms))| {
            let mut taken = [0u32; PARTS];
            for (hash, number) in hashes.iter().zip((number * *share) as u32..) {
                let query = QueryHalves::new(hash, number, table);
                let part = usize::from(query.own >> 8);
                rooms[part][taken[part] as usize] = query;
                taken[part] += 1;
            }
        });
        let mut rest = &dealt[..];
        let a_part = |part: usize| {
            let length: usize = counts.iter().map(|counts| counts[at][part] as usize).sum();
            let (hashes, after) = rest.split_at(length);
            rest = after;
            hashes
        };
        (0..PARTS).map(a_part).collect()
    }
}

/// Appends the hashes of a part in the order of their halves' lower bits.
fn append_sorted(hashes: &[QueryHalves], order: &mut Vec<QueryHalves>) {
    let mut starts = [0u32; PARTS + 1];
    for query in hashes {
        starts[usize::from(query.own & 0xff) + 1] += 1;
    }
    for value in 0..PARTS {
        starts[value + 1] += starts[value];
    }
    let before = order.len();
    order.resize(before + hashes.len(), QueryHalves::default());
    let sorted = &mut order[before..];
    for query in hashes {
        let at = &mut starts[usize::from(query.own & 0xff)];
        sorted[*at as usize] = *query;
        *at += 1;
    }
}
