//! The two-level multi-index: rows within a radius, by the pigeonhole principle on a ring.
//!
//! A hash's bits are permuted (see `halves`) and cut into halves of 16 bits, which stand on a ring. Each half i gets a budget p(i), and the
//! budgets add up to r + 1. If a row lies within r of the query, there is a half from which on the distances keep to the budgets: its own
//! distance is below p(i), its own and the next one's together below p(i) + p(i+1), with the one after that below p(i) + p(i+1) + p(i+2),
//! and so on round the ring (the cycle lemma; Qin et al., 2018, call it the pigeonring principle). So there is one table for each half, from
//! its 65,536 values to the rows that have them, and a look-up opens the lists of all values near enough to the query's half. A posting is
//! the *next half* (u16, in a column of its own, so that a list is streamed) and, in one u32, the row and as many bits of the half *after
//! that* as there is room for, read only where the first two halves keep to their budgets. What is left is compared whole.
//!
//! Each row is found once without remembering what was found: a row within the radius is reported only from the first table that leads to
//! it, which its distance in each half tells.
//!
//! Exact at any radius and on any rows. Where lists promise to cost more than a scan (a radius well above 60 of 256), or turn out to (rows
//! much alike), the rows are scanned instead, so a look-up costs at most about twice a scan.
//!
//! A look-up waits for memory, so it asks ahead: for where the lists of a table lie, a table ahead; for their lines, two tables ahead of those
//! being read; for what survives, for its place, then its hash. Many look-ups at once are done table by table, so that they share what is in
//! the cache (see `batch`), and where they are very many block by block of a table, for which lists of neighbouring values lie side by side
//! (see `blocks`).
//!
//! Per row: its hash, and 6 bytes for each half (96 for 256 bits, 24 for 64); and 256 KiB for each half's table.

mod batch;
mod bit_sliced;
mod blocks;
mod halves;
mod join;
mod lines;
mod part;
mod plan;
mod table;

use super::{Each, Effort, Hit, Outlet, Query, RadiusIndex, Scratch, Take, assert_rows_max, linear};
use crate::arch::{self, Kernel, prefetch};
use crate::entry::Bits;
use halves::{HALVES_MAX, halves, halves_of};
use lines::make_room;
use plan::{SURVIVOR_PS, lists_ps, masks};
use std::sync::Arc;
use table::Tables;

pub(super) use lines::{Group, Lines, Near};
pub(super) use part::Batch;
pub(super) use plan::{Plan, ROW_PS};

pub struct MultiIndex<H> {
    rows: Arc<[H]>,
    tables: Tables,
    lists: Lists,
    together: Together,
    level: arch::Level,
}

/// How look-ups at one radius are done together.
#[derive(Debug, Clone, Copy)]
struct Together {
    /// From so many on they are.
    min: usize,
    /// From so many times on that they open one of a table's lists, it is gone through block by block.
    openings: usize,
    /// Bytes of a block, and up to twice as many; more where there would be too many blocks.
    block_bytes: usize,
}

/// Whether a look-up may give the lists up for a scan. Tests hold the lists alone to the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    WhereCheaper,
    #[cfg(test)]
    Always,
}

/// A posting that keeps to the budgets so far: the group it was found in, and its place; later its table, and its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survivor {
    group: u32,
    at: u32,
}

/// On a Zen 4, among a million rows and ten million, 1,024 look-ups took 4 and 5 % less together than alone, before there were blocks; 256 took
/// 12 % less among a million, but 13 % more among ten million. By blocks 8,192 took 0.78 of what they took without; as many openings as lists
/// is where both take the same. A block, the one that is asked for meanwhile and all else are to stay in a second cache of 1 MiB: blocks
/// of 160 KiB took 5 % longer, of 40 as long.
const TOGETHER: Together = Together { min: 1_024, openings: table::VALUES, block_bytes: 80 << 10 };

/// Tables whose lines are listed and asked for ahead of the one that is read.
const TABLES_AHEAD: usize = 2;

impl<H: Bits> MultiIndex<H> {
    /// Builds the tables, in parallel in the rayon pool that it is called in.
    ///
    /// # Panics
    /// With more than [`INDEX_ROWS_MAX`](super::INDEX_ROWS_MAX) rows.
    pub fn build(rows: Arc<[H]>) -> Self {
        assert_rows_max(rows.len());
        let level = arch::best();
        arch::move_to_large_pages(&rows);
        MultiIndex { tables: Tables::build(&rows, level), rows, lists: Lists::WhereCheaper, together: TOGETHER, level }
    }

    #[inline(always)]
    fn look_one_up<K: Kernel>(
        &self,
        kernel: K,
        query: &Query<H>,
        number: u32,
        plan: &Plan,
        scratch: &mut Scratch,
        out: &mut Outlet<'_, '_>,
    ) -> Effort {
        let limit_ps = self.limit_ps(plan);
        let mut effort = Effort::default();
        let mut each = |row, distance| out.push(Hit { query: number, row, distance });
        if limit_ps == 0 || !self.search_lists(kernel, &query.hash, plan, limit_ps, scratch, &mut effort, &mut each) {
            effort += linear::scan_one(&self.rows, query, number, out, |_| true);
        }
        out.hand_over();
        effort
    }

    /// What a look-up in the lists may cost before it is given up for a scan; 0 where it is to be a scan at once.
    #[inline(always)]
    fn limit_ps(&self, plan: &Plan) -> u64 {
        let scan_ps = self.rows.len() as u64 * ROW_PS;
        match self.lists {
            Lists::WhereCheaper if plan.cost_ps(self.rows.len()) >= scan_ps => 0,
            Lists::WhereCheaper => scan_ps,
            #[cfg(test)]
            Lists::Always => u64::MAX,
        }
    }

    /// Calls `each` with every row within the plan's radius and its distance. Once the work has come to more than `limit_ps`, gives up
    /// before the first row, and says so by `false`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn search_lists<K: Kernel>(
        &self,
        kernel: K,
        hash: &H,
        plan: &Plan,
        limit_ps: u64,
        scratch: &mut Scratch,
        effort: &mut Effort,
        each: &mut impl FnMut(u32, u16),
    ) -> bool {
        let n = halves::<H>();
        let sought = halves_of(hash);
        let Scratch { lines, groups, nears, survivors, .. } = scratch;
        lines.n = 0;
        groups.clear();
        survivors.clear();
        let (mut opened, mut postings, mut read) = (0, 0, 0);
        self.ask_for_lists(0, &sought[..n], plan);
        for i in 0..n + TABLES_AHEAD {
            if i < n {
                // One table ahead: asked for all at once, many were not there in time.
                self.ask_for_lists(i + 1, &sought[..n], plan);
                let before = lines.n;
                let (opened_here, postings_here) = self.append_table(i, sought[i], plan, lines, groups);
                opened += opened_here;
                postings += postings_here;
                effort.probes += opened_here;
                if lists_ps(opened, postings) > limit_ps {
                    return false;
                }
                self.ask_for_lines(lines, before);
            }
            make_room(nears, lines.n);
            while let Some(group) = groups.get(read).filter(|group| group.table as usize + TABLES_AHEAD <= i) {
                let next = sought[(group.table as usize + 1) % n];
                let found = self.stream_group(kernel, lines, next, group, nears);
                for near in &nears[..found] {
                    near.each(|at| {
                        prefetch(&self.tables.places, at as usize);
                        survivors.push(Survivor { group: read as u32, at });
                    });
                }
                read += 1;
            }
            if lists_ps(opened, postings) + survivors.len() as u64 * SURVIVOR_PS > limit_ps {
                return false;
            }
        }
        effort.candidates += postings;
        // What the bits of the third half leave: kept or not without a branch, for one guessed wrong holds up the reads after it.
        let mut kept = 0;
        for at in 0..survivors.len() {
            let Survivor { group, at } = survivors[at];
            let group = groups[group as usize];
            let i = group.table as usize;
            let (row, two) = self.tables.row_and_distance(at, sought[(i + 1) % n], sought[(i + 2) % n]);
            survivors[kept] = Survivor { group: group.table, at: row };
            kept += usize::from(two <= group.two_max);
        }
        survivors[..kept].iter().for_each(|survivor| prefetch(&self.rows, survivor.at as usize));
        effort.distances += kept as u64;
        for survivor in &survivors[..kept] {
            let found = &self.rows[survivor.at as usize];
            let distance = hash.distance(found);
            if distance <= plan.radius
                && self.first_table(found, &sought, plan, self.tables.third_mask()) == Some(survivor.group as usize)
            {
                each(survivor.at, distance);
            }
        }
        true
    }

    #[inline(always)]
    fn ask_for_lists(&self, i: usize, sought: &[u16], plan: &Plan) {
        if let (Some(half), Some(distance_max)) = (sought.get(i), plan.budgets.get(i).and_then(|budget| budget.checked_sub(1))) {
            self.tables.ask_for_lists(i, *half, distance_max);
        }
    }

    /// Asks for the lines from `from` on: as soon as they are listed, not one by one while others are read, where a line that is not there yet
    /// holds up those to ask for after it. That took a quarter longer at 10 million rows.
    #[inline(always)]
    fn ask_for_lines(&self, lines: &Lines, from: usize) {
        lines.line[from..lines.n].iter().for_each(|line| prefetch(&self.tables.lines, *line as usize));
    }

    /// Appends the lines of one table; returns how many lists they belong to, and how many postings they hold.
    #[inline(always)]
    fn append_table(&self, i: usize, half: u16, plan: &Plan, lines: &mut Lines, groups: &mut Vec<Group>) -> (u64, u64) {
        let n = halves::<H>();
        let (mut opened, mut postings) = (0, 0);
        let [own, next, third] = plan.budgets_from(i, n);
        for (distance, masks) in masks().iter().enumerate().take(usize::from(own)) {
            let begin = lines.n;
            opened += masks.len() as u64;
            postings += self.tables.append_lines(i, half, masks, lines);
            let next_max = own + next - 1 - distance as u16;
            groups.push(Group { table: i as u32, next_max, two_max: next_max + third, begin, end: lines.n });
        }
        (opened, postings)
    }

    /// [`Self::stream`] with a group's limit, which most often is one that is known beforehand.
    #[inline(always)]
    fn stream_group<K: Kernel>(&self, kernel: K, lines: &Lines, next: u16, group: &Group, nears: &mut [Near]) -> usize {
        let range = group.begin..group.end;
        match group.next_max {
            0 => self.stream::<K, 0>(kernel, lines, range, next, 0, nears),
            1 => self.stream::<K, 1>(kernel, lines, range, next, 1, nears),
            2 => self.stream::<K, 2>(kernel, lines, range, next, 2, nears),
            3 => self.stream::<K, 3>(kernel, lines, range, next, 3, nears),
            more => self.stream::<K, 16>(kernel, lines, range, next, more, nears),
        }
    }

    /// Writes down the lines of a range that hold postings near enough; returns how many.
    #[inline(always)]
    fn stream<K: Kernel, const BITS_MAX: u16>(
        &self,
        kernel: K,
        lines: &Lines,
        range: std::ops::Range<usize>,
        next: u16,
        bits_max: u16,
        nears: &mut [Near],
    ) -> usize {
        let bits_max = if BITS_MAX < 16 { BITS_MAX } else { bits_max };
        let postings = &self.tables.lines[..];
        let (line, lanes) = (&lines.line[range.clone()], &lines.lanes[range]);
        let mut found = 0;
        for (line, lanes) in line.iter().zip(lanes) {
            let near = kernel.near::<BITS_MAX>(&postings[*line as usize].0, next, bits_max) & lanes;
            // Written always, kept where there is one: a branch would be guessed wrong for most of them.
            nears[found] = Near { line: *line, lanes: near };
            found += usize::from(near != 0);
        }
        found
    }

    /// The first table in which a look-up by this plan meets `hash`, where it knows so many bits of the third half.
    #[inline(always)]
    fn first_table(&self, hash: &H, sought: &[u16; HALVES_MAX], plan: &Plan, third_mask: u16) -> Option<usize> {
        let n = halves::<H>();
        let found = halves_of(hash);
        (0..n).find(|&i| {
            let differ = |i: usize, mask: u16| ((found[i % n] ^ sought[i % n]) & mask).count_ones() as u16;
            let (own, next, third) = (differ(i, u16::MAX), differ(i + 1, u16::MAX), differ(i + 2, third_mask));
            let [one, two, three] = plan.budgets_from(i, n);
            own < one && own + next < one + two && own + next + third < one + two + three
        })
    }
}

impl<H: Bits> RadiusIndex<H> for MultiIndex<H> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        size_of_val::<[H]>(&self.rows) + self.tables.bytes()
    }

    fn look_up(&self, queries: &[Query<H>], scratch: &mut Scratch, take: &mut Take<'_>) -> Effort {
        let mut out = Outlet::new(take, scratch);
        let effort = self.level.run(Search { index: self, queries, scratch, out: &mut out });
        out.end(scratch);
        effort
    }

    fn join(&self, hashes: &[H], radius: u16, each: &Each<'_>) {
        self.join_lists(hashes, radius.min(H::BITS), each);
    }
}

/// A batch of look-ups, compiled for each level of processor.
struct Search<'a, 'o, 'b, H> {
    index: &'a MultiIndex<H>,
    queries: &'a [Query<H>],
    scratch: &'a mut Scratch,
    out: &'a mut Outlet<'o, 'b>,
}

impl<H: Bits> arch::Work for Search<'_, '_, '_, H> {
    type Out = Effort;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Effort {
        let Search { index, queries, scratch, out } = self;
        let mut effort = Effort::default();
        let mut plan = std::mem::take(&mut scratch.plan);
        let mut first = 0;
        for alike in queries.chunk_by(|a, b| a.radius == b.radius) {
            let radius = alike[0].radius.min(H::BITS);
            if (plan.bits, plan.radius) != (H::BITS, radius) {
                plan = Plan::new(H::BITS, radius);
            }
            if alike.len() >= index.together.min && index.limit_ps(&plan) > 0 {
                effort += index.look_many_up(kernel, alike, first, &plan, scratch, out);
            } else {
                for (query, number) in alike.iter().zip(first..) {
                    if !out.ended() {
                        effort += index.look_one_up(kernel, query, number, &plan, scratch, out);
                    }
                }
            }
            first += alike.len() as u32;
        }
        scratch.plan = plan;
        effort
    }
}

#[cfg(test)]
mod tests;
