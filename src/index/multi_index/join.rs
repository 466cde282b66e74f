//! Many look-ups at once: which pairs of two sets lie within a radius?
//!
//! A look-up alone waits for memory: each of its lists lies somewhere else. Here all hashes of the other set that share a half are taken
//! together, half by half and value by value: they open the same lists, which are then in the cache for all but the first. The
//! work is that of the look-ups, bit for bit, and so is the result; only the order differs. The values of a half are dealt out to the
//! threads of the pool that it is called in. Memory beside the sets: 8 bytes for each hash of the other one, and some buffers a thread.

use super::table::VALUES;
use super::{Group, Lines, MultiIndex, Near, Plan, half, halves, halves_of};
use crate::entry::Bits;
use crate::index::arch::{self, Kernel, prefetch};
use crate::index::{Hit, Query, linear};
use rayon::prelude::*;

/// Survivors, or pairs, that are gathered before they are worked off.
const GATHERED: usize = 4096;
/// Values of a half that one job takes.
const VALUES_A_JOB: usize = 256;

/// A hash of the other set, with all of it that is needed for most postings: its place in memory is another.
#[derive(Clone, Copy, Default)]
struct Asked {
    number: u32,
    next: u16,
    third: u16,
}

/// What a posting is, which keeps to the budgets so far.
#[derive(Clone, Copy)]
struct Survivor {
    asked: Asked,
    at: u32,
    /// Bits by which the next half and the one after it together may differ.
    two_max: u16,
}

/// One thread's buffers.
#[derive(Default)]
struct Buffers {
    lines: Lines,
    groups: Vec<Group>,
    nears: Vec<Near>,
    survivors: Vec<Survivor>,
    hits: Vec<Hit>,
}

impl<H: Bits> MultiIndex<H> {
    pub(super) fn join_lists(&self, queries: &[H], radius: u16, each: &(dyn Fn(&[Hit]) + Sync)) {
        let plan = Plan::new(H::BITS, radius);
        if self.joins_slower_than_scans(queries, &plan) {
            return queries.par_iter().enumerate().for_each(|(number, hash)| {
                let mut hits = Vec::new();
                linear::search(&self.rows, &[Query { hash: *hash, radius }], &mut hits);
                hits.iter_mut().for_each(|hit| hit.query = number as u32);
                if !hits.is_empty() {
                    each(&hits);
                }
            });
        }
        for table in (0..halves::<H>()).filter(|table| plan.budgets[*table] > 0) {
            let (starts, order) = self.level.run(Sort { queries, half: table });
            (0..VALUES / VALUES_A_JOB).into_par_iter().for_each_init(Buffers::default, |buffers, job| {
                let values = job * VALUES_A_JOB..(job + 1) * VALUES_A_JOB;
                self.level.run(Part {
                    index: self,
                    queries,
                    plan: &plan,
                    table,
                    starts: &starts,
                    order: &order,
                    values,
                    buffers,
                    each,
                });
            });
        }
    }

    /// Whether lists, on rows and hashes much alike, would cost more than scanning all rows for each hash.
    fn joins_slower_than_scans(&self, queries: &[H], plan: &Plan) -> bool {
        let scans_ps = (queries.len() as u128) * (self.rows.len() as u128) * u128::from(super::ROW_PS);
        match self.lists {
            super::Lists::WhereCheaper => self.lists_ps(queries, plan) >= scans_ps,
            #[cfg(test)]
            super::Lists::Always => false,
        }
    }

    /// What the postings that have to be streamed cost.
    fn lists_ps(&self, queries: &[H], plan: &Plan) -> u128 {
        if plan.cost_ps(self.rows.len()) >= self.rows.len() as u64 * super::ROW_PS {
            return u128::MAX;
        }
        let tables = (0..halves::<H>()).into_par_iter().filter(|table| plan.budgets[*table] > 0);
        let postings = tables.map(|table| {
            let mut counts = vec![0u32; VALUES];
            queries.iter().for_each(|hash| counts[usize::from(half(hash, table))] += 1);
            let of_value = |(value, count): (usize, &u32)| {
                let masks = super::masks().iter().take(usize::from(plan.budgets[table])).flatten();
                let postings: u64 = masks.map(|mask| u64::from(self.tables.length(table, value as u16 ^ mask))).sum();
                u128::from(*count) * u128::from(postings)
            };
            counts.iter().enumerate().filter(|(_, count)| **count > 0).map(of_value).sum::<u128>()
        });
        postings.sum::<u128>() * u128::from(super::POSTING_PS)
    }

    /// Looks at the survivors' other halves, then at the rows that are left.
    #[inline(always)]
    fn settle(&self, queries: &[H], plan: &Plan, table: usize, buffers: &mut Buffers, each: &(dyn Fn(&[Hit]) + Sync)) {
        let Buffers { survivors, hits, .. } = buffers;
        let mut kept = 0;
        for at in 0..survivors.len() {
            let survivor = survivors[at];
            let Asked { number, next, third } = survivor.asked;
            if let Some(row) = self.tables.row_within(survivor.at, next, third, survivor.two_max) {
                prefetch(&self.rows, row as usize);
                prefetch(queries, number as usize);
                survivors[kept] = Survivor { at: row, ..survivor };
                kept += 1;
            }
        }
        for survivor in &survivors[..kept] {
            let number = survivor.asked.number;
            let (hash, found) = (&queries[number as usize], &self.rows[survivor.at as usize]);
            let distance = hash.distance(found);
            if distance <= plan.radius && self.first_table(found, &halves_of(hash), plan) == Some(table) {
                hits.push(Hit { query: number, row: survivor.at, distance });
                if hits.len() >= GATHERED {
                    each(hits);
                    hits.clear();
                }
            }
        }
        survivors.clear();
    }
}

/// Hashes by the value of one half: where each value's begin, and the hashes.
struct Sort<'a, H> {
    queries: &'a [H],
    half: usize,
}

impl<H: Bits> arch::Work for Sort<'_, H> {
    type Out = (Vec<u32>, Vec<Asked>);

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> (Vec<u32>, Vec<Asked>) {
        let n = halves::<H>();
        let mut starts = vec![0u32; VALUES + 1];
        for hash in self.queries {
            starts[usize::from(half(hash, self.half)) + 1] += 1;
        }
        for value in 0..VALUES {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let mut order = vec![Asked::default(); self.queries.len()];
        for (number, hash) in self.queries.iter().enumerate() {
            let at = &mut next[usize::from(half(hash, self.half))];
            let (next, third) = (half(hash, (self.half + 1) % n), half(hash, (self.half + 2) % n));
            order[*at as usize] = Asked { number: number as u32, next, third };
            *at += 1;
        }
        (starts, order)
    }
}

/// Some values of one half.
struct Part<'a, H> {
    index: &'a MultiIndex<H>,
    queries: &'a [H],
    plan: &'a Plan,
    table: usize,
    starts: &'a [u32],
    order: &'a [Asked],
    values: std::ops::Range<usize>,
    buffers: &'a mut Buffers,
    each: &'a (dyn Fn(&[Hit]) + Sync),
}

impl<H: Bits> arch::Work for Part<'_, H> {
    type Out = ();

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        let Part { index, queries, plan, table, starts, order, values, buffers, each } = self;
        for value in values {
            let asked = &order[starts[value] as usize..starts[value + 1] as usize];
            if asked.is_empty() {
                continue;
            }
            buffers.lines.n = 0;
            buffers.groups.clear();
            index.append_table(table, value as u16, plan, &mut buffers.lines, &mut buffers.groups);
            buffers.lines.end();
            if buffers.nears.len() < buffers.lines.n + 1 {
                buffers.nears.resize(buffers.lines.n + 1, Near::default());
            }
            for asked in asked {
                let mut begin = 0;
                for group in &buffers.groups {
                    let found =
                        index.stream_group(kernel, &buffers.lines, begin..group.end, asked.next, group, &mut buffers.nears);
                    begin = group.end;
                    for near in &buffers.nears[..found] {
                        near.each(|at| {
                            prefetch(&index.tables.places, at as usize);
                            buffers.survivors.push(Survivor { asked: *asked, at, two_max: group.two_max });
                        });
                    }
                }
                if buffers.survivors.len() >= GATHERED {
                    index.settle(queries, plan, table, buffers, each);
                }
            }
        }
        index.settle(queries, plan, table, buffers, each);
        if !buffers.hits.is_empty() {
            each(&buffers.hits);
            buffers.hits.clear();
        }
    }
}
