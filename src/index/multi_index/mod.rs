//! The two-level multi-index: rows within a radius, by the pigeonhole principle applied twice.
//!
//! A hash's bits are permuted (see `half`) and cut into blocks of 32 bits, each into two halves of 16. If a row lies within r of the
//! query, then in some block it lies within that block's share of r, and in that block some half lies within that half's share
//! (`Plan` says how shares are dealt out; Norouzi, Punjani and Fleet, 2014, and Qin et al., 2018, on the general principle). So there is one
//! table for each half, from its 65,536 values to the rows that have them, and a look-up opens the lists of all values near enough to
//! the query's half. A posting is the *other half* of its block (u16, in a column of its own, so that a list is streamed) and the row
//! (u32, read only where both halves together keep to the block's share). What is left is compared whole.
//!
//! Each row is found once without remembering what was found: a row within the radius is reported only from the first table that leads to
//! it, which its distance in each half tells.
//!
//! Exact at any radius and on any rows. Where lists promise to cost more than a scan (a radius well above 60 of 256), or turn out to (rows
//! much alike), the rows are scanned instead, so a look-up costs at most about twice a scan. Denser postings are absent.
//!
//! A look-up waits for memory, so it asks ahead: while one table's lists are streamed, the next one's are on their way; what survives is
//! gathered over all tables, with the place of its row number asked for, then its hash, and only then compared.
//!
//! Per row: its hash, and 6 bytes for each half (96 for 256 bits, 24 for 64); and 256 KiB for each half's table.

mod plan;

use super::arch::{self, prefetch};
use super::{Effort, Hit, Query, RadiusIndex, Scratch, assert_rows_max, linear};
use crate::entry::Bits;
use plan::{HALVES_MAX, Plan, masks};
use rayon::prelude::*;
use std::sync::Arc;

pub struct MultiIndex<H> {
    rows: Arc<[H]>,
    /// One for each half, in the order of the halves: 2b and 2b + 1 are block b.
    tables: Box<[Table]>,
    lists: Lists,
    level: arch::Level,
}

/// Whether a look-up may give the lists up for a scan. Tests hold the lists alone to the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    WhereCheaper,
    #[cfg(test)]
    Always,
}

/// Rows by the value of one half.
struct Table {
    /// Postings of value v are `starts[v]..starts[v + 1]`.
    starts: Box<[u32]>,
    /// The other half of each posting's block; [`LANES`] more at the end, so that a list is read in whole steps.
    others: Box<[u16]>,
    rows: Box<[u32]>,
}

/// A posting list to be streamed.
#[derive(Debug, Clone, Copy)]
pub(super) struct List {
    start: u32,
    end: u32,
    /// Bits by which the other half may differ.
    other_max: u16,
}

/// A posting that keeps to its block's share: the table it was found in, and its place there, later its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survivor {
    table: u32,
    at: u32,
}

/// `others` in a cache line of 64 bytes.
const LINE: usize = 32;

/// Postings filtered at a time.
const LANES: usize = 16;

const VALUES: usize = 1 << 16;

/// What a look-up pays for a list, for each posting in it and for each survivor, and a scan for each row, in picoseconds. Measured on an
/// AMD EPYC (Zen 3) without vector instructions beyond SSE2; a list costs 75,000 with cold caches and some 10,000 with warm ones. Only their
/// ratios matter, and only to speed.
const LIST_PS: u64 = 50_000;
const POSTING_PS: u64 = 500;
const SURVIVOR_PS: u64 = 100_000;
const ROW_PS: u64 = 2_600;

impl<H: Bits> MultiIndex<H> {
    /// Builds the tables, blocks in parallel in the rayon pool that it is called in; 4 bytes a row and thread beside the result.
    ///
    /// # Panics
    /// With more than [`INDEX_ROWS_MAX`](super::INDEX_ROWS_MAX) rows.
    pub fn build(rows: Arc<[H]>) -> Self {
        assert_rows_max(rows.len());
        let tables: Vec<[Table; 2]> = (0..halves::<H>() / 2)
            .into_par_iter()
            .map(|block| {
                let values: Vec<[u16; 2]> = rows
                    .iter()
                    .map(|hash| {
                        let words = words(hash);
                        [half::<H>(&words, 2 * block), half::<H>(&words, 2 * block + 1)]
                    })
                    .collect();
                [Table::build(&values, 0), Table::build(&values, 1)]
            })
            .collect();
        MultiIndex { rows, tables: tables.into_iter().flatten().collect(), lists: Lists::WhereCheaper, level: arch::best() }
    }

    #[inline(always)]
    fn search_one(&self, query: &Query<H>, number: u32, plan: &Plan, scratch: &mut Scratch, out: &mut Vec<Hit>) -> Effort {
        let scan_ps = self.rows.len() as u64 * ROW_PS;
        let limit_ps = match self.lists {
            Lists::WhereCheaper if plan.cost_ps(self.rows.len()) >= scan_ps => 0,
            Lists::WhereCheaper => scan_ps,
            #[cfg(test)]
            Lists::Always => u64::MAX,
        };
        let before = out.len();
        let mut effort = Effort::default();
        let mut each = |row, distance| out.push(Hit { query: number, row, distance });
        if limit_ps == 0 || !self.search_lists(&query.hash, plan, limit_ps, scratch, &mut effort, &mut each) {
            out.truncate(before);
            effort += linear::scan(&self.rows, query, number, out);
        }
        effort
    }

    /// Calls `each` with every row within the plan's radius and its distance. Gives up, and says so by `false`, once the work has come to
    /// more than `limit_ps`; the rows given until then are not all there are.
    #[inline(always)]
    fn search_lists(
        &self,
        hash: &H,
        plan: &Plan,
        limit_ps: u64,
        scratch: &mut Scratch,
        effort: &mut Effort,
        each: &mut impl FnMut(u32, u16),
    ) -> bool {
        let sought = halves_of(hash);
        let Scratch { lists, survivors, .. } = scratch;
        let (begins, postings) = self.find_lists(&sought, plan, lists);
        let lists_of = |table: usize| &lists[begins[table]..begins[table + 1]];
        effort.probes += lists.len() as u64;
        let mut spent_ps = lists.len() as u64 * LIST_PS + postings * POSTING_PS;
        if spent_ps > limit_ps {
            return false;
        }
        effort.candidates += postings;
        survivors.clear();
        self.tables[0].ask_for(lists_of(0));
        for (i, table) in self.tables.iter().enumerate() {
            if let Some(next) = self.tables.get(i + 1) {
                next.ask_for(lists_of(i + 1));
            }
            let before = survivors.len();
            for list in lists_of(i) {
                table.filter(list, sought[i ^ 1], |at| {
                    prefetch(&table.rows, at);
                    survivors.push(Survivor { table: i as u32, at: at as u32 });
                });
            }
            spent_ps += (survivors.len() - before) as u64 * SURVIVOR_PS;
            if spent_ps > limit_ps {
                return false;
            }
        }
        effort.distances += survivors.len() as u64;
        for survivor in survivors.iter_mut() {
            survivor.at = self.tables[survivor.table as usize].rows[survivor.at as usize];
            prefetch(&self.rows, survivor.at as usize);
        }
        for survivor in survivors.iter() {
            let found = &self.rows[survivor.at as usize];
            let distance = hash.distance(found);
            if distance <= plan.radius && first_table(found, &sought, plan) == Some(survivor.table as usize) {
                each(survivor.at, distance);
            }
        }
        true
    }

    /// The lists of a look-up, table by table, where each table's begin (and the last one's end), and the postings in them all.
    #[inline(always)]
    fn find_lists(&self, sought: &[u16; HALVES_MAX], plan: &Plan, lists: &mut Vec<List>) -> ([usize; HALVES_MAX + 1], u64) {
        lists.clear();
        let mut begins = [0; HALVES_MAX + 1];
        let mut postings = 0;
        for (i, table) in self.tables.iter().enumerate() {
            if let Some(share) = plan.shares[i] {
                for (distance, masks) in masks().iter().take(usize::from(share.half) + 1).enumerate() {
                    let other_max = share.block - distance as u16;
                    lists.extend(masks.iter().map(|mask| {
                        let value = usize::from(sought[i] ^ mask);
                        let (start, end) = (table.starts[value], table.starts[value + 1]);
                        postings += u64::from(end - start);
                        List { start, end, other_max }
                    }));
                }
            }
            begins[i + 1] = lists.len();
        }
        (begins, postings)
    }
}

impl<H: Bits> RadiusIndex<H> for MultiIndex<H> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        let tables: usize = self.tables.iter().map(|t| 4 * t.starts.len() + 2 * t.others.len() + 4 * t.rows.len()).sum();
        size_of_val::<[H]>(&self.rows) + tables
    }

    fn search(&self, queries: &[Query<H>], scratch: &mut Scratch, out: &mut Vec<Hit>) -> Effort {
        self.level.run(Search { index: self, queries, scratch, out })
    }
}

/// A batch of look-ups, compiled for each level of processor.
struct Search<'a, H> {
    index: &'a MultiIndex<H>,
    queries: &'a [Query<H>],
    scratch: &'a mut Scratch,
    out: &'a mut Vec<Hit>,
}

impl<H: Bits> arch::Work for Search<'_, H> {
    type Out = Effort;

    #[inline(always)]
    fn run(self) -> Effort {
        let mut effort = Effort::default();
        let mut plan = Plan::new(H::BITS, 0);
        for (number, query) in self.queries.iter().enumerate() {
            let radius = query.radius.min(H::BITS);
            if plan.radius != radius {
                plan = Plan::new(H::BITS, radius);
            }
            effort += self.index.search_one(query, number as u32, &plan, self.scratch, self.out);
        }
        effort
    }
}

impl Table {
    /// A counting sort of `values` by their half `side`; postings of a value stay in the rows' order.
    fn build(values: &[[u16; 2]], side: usize) -> Self {
        let mut starts = vec![0u32; VALUES + 1];
        for value in values {
            starts[usize::from(value[side])] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Each start is its list's end now; going backwards, it sinks to the list's beginning.
        let mut others = vec![0u16; values.len() + LANES];
        let mut rows = vec![0u32; values.len()];
        for (row, value) in values.iter().enumerate().rev() {
            let at = &mut starts[usize::from(value[side])];
            *at -= 1;
            others[*at as usize] = value[1 - side];
            rows[*at as usize] = row as u32;
        }
        Table { starts: starts.into(), others: others.into(), rows: rows.into() }
    }

    /// Asks for every cache line of the lists.
    #[inline(always)]
    fn ask_for(&self, lists: &[List]) {
        for list in lists {
            for at in (list.start as usize..list.end as usize).step_by(LINE) {
                prefetch(&self.others, at);
            }
            // The last line, where the list does not begin with one.
            prefetch(&self.others, (list.end as usize).saturating_sub(1));
        }
    }

    /// Calls `each` with the place of every posting whose other half keeps to the list's limit.
    #[inline(always)]
    fn filter(&self, list: &List, other: u16, mut each: impl FnMut(usize)) {
        let mut at = list.start as usize;
        let end = list.end as usize;
        while at < end {
            // Lanes beyond the list's end are its neighbours' postings, or the column's padding: read, and left out.
            let Some(lanes) = self.others[at..].first_chunk() else { break };
            let near = near(lanes, other, list.other_max);
            if near.iter().fold(0, |any, lane| any | lane) != 0 {
                let inside = (end - at).min(LANES);
                (at..at + inside).zip(near).filter(|(_, lane)| *lane != 0).for_each(|(posting, _)| each(posting));
            }
            at += LANES;
        }
    }
}

/// For each lane, not 0 if it lies within `bits_max` of `other`. The loop becomes vector instructions at every level.
#[inline(always)]
fn near(lanes: &[u16; LANES], other: u16, bits_max: u16) -> [u16; LANES] {
    let mut near = [0; LANES];
    for (near, lane) in near.iter_mut().zip(lanes) {
        *near = u16::from((lane ^ other).count_ones() as u16 <= bits_max);
    }
    near
}

/// The first table in which a look-up by this plan meets `hash`.
#[inline(always)]
fn first_table<H: Bits>(hash: &H, sought: &[u16; HALVES_MAX], plan: &Plan) -> Option<usize> {
    let found = halves_of(hash);
    (0..halves::<H>()).find(|i| {
        let [own, other] = [*i, i ^ 1].map(|i| (found[i] ^ sought[i]).count_ones() as u16);
        plan.shares[*i].is_some_and(|share| own <= share.half && own + other <= share.block)
    })
}

/// Number of halves of a hash.
const fn halves<H: Bits>() -> usize {
    const { assert!(H::BITS % 32 == 0 && HALVES_MAX.is_multiple_of(H::BITS as usize / 16), "32, 64, 128 or 256 bits") };
    H::BITS as usize / 16
}

/// A hash as 16-bit words, in the order of its hex digits.
#[inline(always)]
fn words<H: Bits>(hash: &H) -> [u16; HALVES_MAX] {
    let mut words = [0; HALVES_MAX];
    for (word, bytes) in words.iter_mut().zip(hash.to_bytes().as_ref().as_chunks().0) {
        *word = u16::from_be_bytes(*bytes);
    }
    words
}

/// Half `i` of the permuted hash.
///
/// Neighbouring bits of a perceptual hash agree more often than by chance, so halves cut from neighbouring bits make some lists long.
/// Instead a half takes bits along a diagonal: with n halves, bit c of word w goes to half (c - w) mod n. On PDQ hashes of
/// photos the lists are then as long as chance has it (1.03 times, against 1.21 for neighbouring bits). No two words give a half
/// the same c, so each bit keeps its column and nothing is shifted. Any permutation is exact.
#[inline(always)]
fn half<H: Bits>(words: &[u16; HALVES_MAX], i: usize) -> u16 {
    let n = halves::<H>();
    let every_nth = (0xffff_u32 / ((1 << n) - 1)) as u16;
    words[..n].iter().zip(i as u32..).fold(0, |half, (word, column)| half | (word & every_nth.rotate_left(column)))
}

#[inline(always)]
fn halves_of<H: Bits>(hash: &H) -> [u16; HALVES_MAX] {
    let words = words(hash);
    let mut halves_of = [0; HALVES_MAX];
    for (i, value) in halves_of.iter_mut().enumerate().take(halves::<H>()) {
        *value = half::<H>(&words, i);
    }
    halves_of
}

#[cfg(test)]
mod tests;
