//! Many look-ups at once.
//!
//! A look-up alone waits for memory: each of its lists lies somewhere else. Here the hashes are taken table by table, in the order of the half
//! that the table is by: one table is much smaller than all, neighbours share lists and pages, and hashes with the same half open the same lists, which
//! are then in the cache for all but the first. The work is that of single look-ups, bit for bit, and so is the result; only the order
//! differs. A hash whose lists turn out to cost more than a scan is scanned for what the tables from there on would find.
//!
//! A batch is one thread's work. Memory beside the hashes: some 30 bytes for each, and some buffers.
//!
//! Where the hashes are so many that they open most of a table's lists, the table is gone through block by block: see `blocks`.
//!
//! Where very many hashes have the same half, as in a join of large lists, they are compared with each of the half's postings all at once:
//! see `bit_sliced`.

use super::MultiIndex;
use super::bit_sliced::{BitSliced, NearLanes, SLICED_MAX};
use super::blocks::Values;
use super::halves::{QueryHalves, half, halves, halves_of};
use super::lines::{LANES, Lines, Near, make_room};
use super::part::{Batch, Buffers, GATHERED, Hashed, Listed, Part, Run, Scanned, Survivor};
use super::plan::{Plan, SURVIVOR_PS, lists_ps};
use super::table::{BLOCK_BITS, VALUES};
use crate::arch::{Kernel, Work, prefetch};
use crate::entry::Bits;
use crate::index::{Effort, Outlet, Query, Scratch, linear};
use std::sync::atomic::Ordering;

/// Lines that are listed and asked for before they are read, and before others are: those of one hash or of some.
const LINES_TOGETHER: usize = 256;
/// What it takes in one table, in picoseconds: to stream lists for one hash, and each of their lines; to bit-slice a hash, to take a posting
/// and to compare it with 32 of those; to make sums of 256, and to take a posting and compare it with those. Measured where `LIST_PS` was, the
/// sums on a Zen 4, so that a million and three million rows took no longer than with what went before.
const STREAM_PS: usize = 25_000;
const LINE_PS: usize = 2_200;
const LAY_PS: usize = 2_000;
const SLICE_PS: usize = 5_000;
const WORD_PS: usize = 2_500;
const SUMS_PS: usize = 600_000;
const BY_SUMS_PS: usize = 6_500;
/// Places asked for ahead of those that are compared with bit-sliced hashes, in lines.
const SLICED_AHEAD: usize = 8;

impl<H: Bits> MultiIndex<H> {
    /// Looks hashes up together; they are numbered from `first`.
    #[inline(always)]
    pub(super) fn look_many_up<K: Kernel>(
        &self,
        kernel: K,
        queries: &[Query<H>],
        first: u32,
        plan: &Plan,
        scratch: &mut Scratch,
        out: &mut Outlet<'_, '_>,
    ) -> Effort {
        let Batch { order, apart, starts, scanned, buffers } = &mut scratch.batch;
        let limit_ps = self.limit_ps_of_table(plan);
        scanned.reset(queries.len());
        let mut effort = Effort::default();
        for table in self.tables_of(plan) {
            if out.ended() {
                break;
            }
            Sort { queries, table, order, starts }.run(kernel);
            apart.clear();
            let by_blocks = self.by_blocks(queries.len(), table, plan, limit_ps);
            if let Some(costly) = &by_blocks {
                set_apart(costly, scanned, order, apart);
                effort += Part { index: self, queries, first, plan, table, order, scanned, residual_bits: None, buffers, out }
                    .run_by_blocks(kernel);
            }
            let order = if by_blocks.is_some() { &*apart } else { &*order };
            effort +=
                Part { index: self, queries, first, plan, table, order, scanned, residual_bits: None, buffers, out }.run(kernel);
        }
        effort
    }

    /// What a look-up may cost in one table: its part of what a scan costs, and then a scan.
    fn limit_ps_of_table(&self, plan: &Plan) -> u64 {
        self.limit_ps(plan) / self.tables_of(plan).count().max(1) as u64
    }

    /// The tables that a plan opens.
    pub(super) fn tables_of(&self, plan: &Plan) -> impl Iterator<Item = usize> + use<H> {
        let budgets = plan.budgets;
        (0..halves::<H>()).filter(move |table| budgets[*table] > 0)
    }
}

/// Takes out of the order who has a costly half, into `apart`, and who was scanned.
fn set_apart(costly: &Values, scanned: &Scanned, order: &mut Vec<QueryHalves>, apart: &mut Vec<QueryHalves>) {
    if costly.is_empty() && !scanned.any.load(Ordering::Relaxed) {
        return;
    }
    order.retain(|query| {
        let is_costly = costly.contains(query.own);
        if is_costly {
            apart.push(*query);
        }
        !is_costly && !scanned.contains(query.number)
    });
}

/// Puts hashes in the order of one half, or nearly.
struct Sort<'a, Q> {
    queries: &'a [Q],
    table: usize,
    order: &'a mut Vec<QueryHalves>,
    starts: &'a mut Vec<u32>,
}

impl<Q: Hashed> Work for Sort<'_, Q> {
    type Out = ();

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) {
        let Sort { queries, table, order, starts } = self;
        // About as many buckets as hashes: where there are few of these, an order by some of the bits does as well.
        let shift = queries.len().max(1).ilog2().clamp(BLOCK_BITS, VALUES.ilog2()).abs_diff(VALUES.ilog2());
        starts.clear();
        starts.resize((VALUES >> shift) + 1, 0);
        for query in queries {
            starts[usize::from(half(query.hash(), table) >> shift) + 1] += 1;
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        order.clear();
        order.resize(queries.len(), QueryHalves::default());
        for (number, query) in queries.iter().enumerate() {
            let query = QueryHalves::new(query.hash(), number as u32, table);
            let at = &mut starts[usize::from(query.own >> shift)];
            order[*at as usize] = query;
            *at += 1;
        }
    }
}

impl<Q: Hashed> Work for Part<'_, '_, '_, Q> {
    type Out = Effort;

    #[inline(always)]
    fn run<K: Kernel>(mut self, kernel: K) -> Effort {
        let mut effort = Effort::default();
        let limit_ps = self.index.limit_ps_of_table(self.plan);
        let some_scanned = self.scanned.any.load(Ordering::Relaxed);
        let [mut listed, mut following] = std::mem::take(&mut self.buffers.listed);
        let mut at = self.list(0, limit_ps, &mut listed);
        while !listed.runs.is_empty() && !self.out.ended() {
            at = self.list(at, limit_ps, &mut following);
            for run in &listed.runs {
                if let Some(by_sums) = self.pays_to_slice(run, &listed, limit_ps) {
                    self.compare_sliced(kernel, run, &listed, by_sums, &mut effort);
                    continue;
                }
                for query in &self.order[run.queries.clone()] {
                    if !(some_scanned && self.scanned.contains(query.number)) {
                        self.stream(kernel, *query, run, &listed, limit_ps, &mut effort);
                    }
                    if self.buffers.survivors.len() >= GATHERED {
                        self.settle(&mut effort);
                    }
                }
            }
            std::mem::swap(&mut listed, &mut following);
        }
        self.buffers.listed = [listed, following];
        self.settle(&mut effort);
        effort
    }
}

impl<Q: Hashed> Part<'_, '_, '_, Q> {
    /// Lists the lines of the next hashes, those from `at` on, and asks for them; returns where the ones after those begin.
    #[inline(always)]
    fn list(&mut self, mut at: usize, limit_ps: u64, listed: &mut Listed) -> usize {
        let Listed { lines, groups, runs } = listed;
        lines.n = 0;
        groups.clear();
        runs.clear();
        while at < self.order.len() && lines.n < LINES_TOGETHER {
            let own = self.order[at].own;
            let same = self.order[at..].iter().take_while(|query| query.own == own).count();
            if let Some(following) = self.order.get(at + same) {
                self.index.tables.ask_for_lists(self.table, following.own, self.plan.budgets[self.table] - 1);
            }
            let (groups_before, lines_before) = (groups.len(), lines.n);
            let (opened, postings) = self.index.append_table(self.table, own, self.plan, lines, groups);
            if lists_ps(opened, postings) <= limit_ps {
                self.index.ask_for_lines(lines, lines_before);
            }
            runs.push(Run { queries: at..at + same, groups: groups_before..groups.len(), opened, postings });
            at += same;
        }
        make_room(&mut self.buffers.nears, lines.n);
        at
    }

    /// Whether hashes with the same half are better bit-sliced and compared with one posting after the other, and whether by sums. Not where
    /// the postings are so many that a scan might be cheaper.
    #[inline(always)]
    fn pays_to_slice(&self, run: &Run, listed: &Listed, limit_ps: u64) -> Option<bool> {
        let (hashes, postings) = (run.queries.len(), run.postings as usize);
        let groups = &listed.groups[run.groups.clone()];
        let lines = groups.last().map_or(0, |last| last.end) - groups.first().map_or(0, |first| first.begin);
        let plainly_ps = postings * (SLICE_PS + hashes.div_ceil(LANES) * WORD_PS);
        let by_sums_ps = hashes.div_ceil(SLICED_MAX) * (SUMS_PS + postings * BY_SUMS_PS);
        let by_sums = by_sums_ps < plainly_ps && BitSliced::sums_up(self.plan.budgets_from(self.table, halves::<Q::H>()));
        let sliced_ps = hashes * LAY_PS + if by_sums { by_sums_ps } else { plainly_ps };
        let cheaper = sliced_ps < hashes * (STREAM_PS + lines * LINE_PS)
            && lists_ps(run.opened, run.postings) + run.postings * SURVIVOR_PS <= limit_ps;
        cheaper.then_some(by_sums)
    }

    /// Gathers what survives of the lists of hashes with the same half.
    #[inline(always)]
    fn compare_sliced<K: Kernel>(&mut self, kernel: K, run: &Run, listed: &Listed, by_sums: bool, effort: &mut Effort) {
        let queries = &self.order[run.queries.clone()];
        let Lines { line, lanes, n } = &listed.lines;
        effort.probes += run.opened * queries.len() as u64;
        effort.candidates += run.postings * queries.len() as u64;
        let (tables, residual_bits, third_mask) = (&self.index.tables, self.residual_bits, self.third_mask());
        let some_scanned = self.scanned.any.load(Ordering::Relaxed);
        let (mut sliced, mut found) = (self.buffers.sliced.take().unwrap_or_default(), NearLanes::default());
        for queries in queries.chunks(SLICED_MAX) {
            sliced.lay(queries);
            if by_sums {
                sliced.sum_up(kernel, queries, self.plan.budgets_from(self.table, halves::<Q::H>()), tables.third_mask());
            }
            for (group, own) in run.groups.clone().zip(0..) {
                let group = listed.groups[group];
                if by_sums {
                    sliced.sum_up_own(own);
                }
                for at in group.begin..group.end {
                    let survivors = &mut self.buffers.survivors;
                    let mut keep = |at: u32, lane: usize| {
                        let QueryHalves { number, next, third, .. } = queries[lane];
                        if !(some_scanned && self.scanned.contains(number)) {
                            survivors.push(Survivor { number, at, next, third, two_max: group.two_max });
                        }
                    };
                    if by_sums {
                        if let Some(ahead) = line[..*n].get(at + SLICED_AHEAD) {
                            tables.ask_for_places(*ahead);
                            residual_bits.inspect(|residual_bits| residual_bits.ask_for(*ahead));
                        }
                        let n = sliced.near_by_sums(self.index.level, tables, line[at], lanes[at], &mut found);
                        for (at, near) in found.at[..n].iter().zip(&found.near) {
                            let next = tables.next_of(*at);
                            let third = residual_bits
                                .map_or_else(|| tables.third_of(*at), |residual_bits| residual_bits.third_of(tables, *at));
                            near.each(|lane| {
                                let differ = |query: &QueryHalves| {
                                    (query.next ^ next).count_ones() + ((query.third ^ third) & third_mask).count_ones()
                                };
                                if differ(&queries[lane]) <= u32::from(group.two_max) {
                                    keep(*at, lane);
                                }
                            });
                        }
                    } else {
                        Near { line: line[at], lanes: lanes[at] }
                            .each(|at| sliced.near(kernel, tables.next_of(at), group.next_max).each(|lane| keep(at, lane)));
                    }
                    if self.buffers.survivors.len() >= GATHERED {
                        self.settle(effort);
                    }
                }
            }
        }
        self.buffers.sliced = Some(sliced);
    }

    /// Gathers what survives of the lists of one hash, or scans for it what they and the tables after this one hold.
    #[inline(always)]
    fn stream<K: Kernel>(
        &mut self,
        kernel: K,
        query: QueryHalves,
        run: &Run,
        listed: &Listed,
        limit_ps: u64,
        effort: &mut Effort,
    ) {
        let Listed { lines, groups, .. } = listed;
        let Buffers { nears, survivors, .. } = &mut *self.buffers;
        let (index, before) = (self.index, survivors.len());
        let QueryHalves { number, next, third, .. } = query;
        let mut spent_ps = lists_ps(run.opened, run.postings);
        if spent_ps <= limit_ps {
            effort.probes += run.opened;
            effort.candidates += run.postings;
            for group in &groups[run.groups.clone()] {
                let (found, so_far) = (index.stream_group(kernel, lines, next, group, nears), survivors.len());
                for near in &nears[..found] {
                    near.each(|at| {
                        prefetch(&index.tables.places, at as usize);
                        survivors.push(Survivor { number, at, next, third, two_max: group.two_max });
                    });
                }
                spent_ps += (survivors.len() - so_far) as u64 * SURVIVOR_PS;
                if spent_ps > limit_ps {
                    break;
                }
            }
            if spent_ps <= limit_ps {
                return;
            }
        }
        self.scan(number, before, effort);
    }

    /// Gives a hash's survivors of this table up and compares all rows with it.
    #[inline(always)]
    fn scan(&mut self, number: u32, before: usize, effort: &mut Effort) {
        if self.out.ended() {
            return;
        }
        self.buffers.survivors.truncate(before);
        self.scanned.add(number);
        let (index, hash) = (self.index, self.queries[number as usize].hash());
        let third_mask = self.third_mask();
        let (query, sought) = (Query { hash: *hash, radius: self.plan.radius }, halves_of(hash));
        let left = |found: &Q::H| index.first_table(found, &sought, self.plan, third_mask) >= Some(self.table);
        *effort += linear::scan_one(&index.rows, &query, self.first + number, self.out, left);
        self.out.hand_over();
    }
}
