//! A table block by block, for very many hashes.
//!
//! Of the lists of a large table some thousand hashes open most, and many of them more than once; but between two times a list is lost from the
//! cache again. So here a table is gone through in blocks: lists of neighbouring values, which lie side by side, as many as the second
//! cache has room for. Each block is asked for once, line by line in the order of memory, while the one before is read.
//!
//! Which hashes open lists in a block? Values that differ in one of a half's lower bits are in the same block; those that differ in one of its
//! higher bits are in the block whose number differs in that bit. So with the hashes in the order of their halves, those that open lists by one
//! and the same mask in a block are a run of them.

use super::MultiIndex;
use super::halves::{QueryHalves, halves};
use super::lines::{Near, Opened, OpenedLines, make_room};
use super::part::{GATHERED, Hashed, Part, Survivor};
use super::plan::{LIST_PS, POSTING_PS, Plan, SURVIVOR_PS, masks};
use super::table::{BLOCK_BITS, Lanes, Tables, VALUES};
use crate::arch::{Kernel, Work, prefetch};
use crate::entry::Bits;
use crate::index::Effort;
use std::ops::Range;

/// Lists that are found together, and lines that are listed before they are read.
const TOGETHER: usize = 16;
const LINES_TOGETHER: usize = 512;

/// Lines are counted in parts, so many bits of them, where others are asked for at some pace.
const PART_BITS: u32 = 16;

/// Values of a half: a bit each, or nothing where there are none.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<u64>);

impl Values {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline(always)]
    pub fn contains(&self, value: u16) -> bool {
        self.0.get(usize::from(value / 64)).is_some_and(|bits| bits >> (value % 64) & 1 == 1)
    }
}

impl<H: Bits> MultiIndex<H> {
    /// Whether so many hashes open a table's lists as often, on average, that it is better gone through block by block. Since a block is gone
    /// through for all hashes alike, what a hash costs is not counted there; so this gives the values whose lists might cost more than
    /// `limit_ps`, or `None` where they would be most.
    pub(super) fn by_blocks(&self, hashes: usize, table: usize, plan: &Plan, limit_ps: u64) -> Option<Values> {
        let own = plan.budgets[table];
        let lists = lists(own);
        if hashes.saturating_mul(lists) < self.together.openings {
            return None;
        }
        let of_postings_ps = limit_ps.saturating_sub(lists as u64 * LIST_PS);
        let length_max = of_postings_ps / (lists as u64 * (POSTING_PS + SURVIVOR_PS));
        if self.tables.longest(table) <= length_max {
            return Some(Values::default());
        }
        let long = || self.tables.longer_than(table, length_max);
        if long().take(VALUES / lists + 1).count() > VALUES / lists {
            return None;
        }
        let mut costly = vec![0; VALUES / 64];
        for value in long() {
            for mask in masks()[..usize::from(own)].iter().flatten() {
                costly[usize::from((value ^ mask) / 64)] |= 1 << ((value ^ mask) % 64);
            }
        }
        Some(Values(costly))
    }
}

/// Lists that a look-up opens in a table.
fn lists(own: u16) -> usize {
    masks().iter().take(usize::from(own)).map(Vec::len).sum()
}

impl<Q: Hashed> Part<'_, '_, '_, Q> {
    /// As [`Work::run`], for hashes none of which is scanned or has one of the values that [`MultiIndex::by_blocks`] gives.
    #[inline(always)]
    pub(super) fn run_by_blocks<K: Kernel>(mut self, _: K) -> Effort {
        if self.order.is_empty() {
            return Effort::default();
        }
        let (mut effort, mut opened) = (Effort::default(), std::mem::take(&mut self.buffers.opened));
        let (tables, table) = (&self.index.tables, self.table);
        let [own, next, third] = self.plan.budgets_from(table, halves::<Q::H>());
        let all_lines = tables.lines_of_block(table, 0, 0);
        let bits = (all_lines.len() * size_of::<Lanes>() / self.index.together.block_bytes + 1).ilog2().min(BLOCK_BITS);
        let blocks = 1 << bits;
        let ends: Vec<usize> =
            (1..=blocks).map(|end| self.order.partition_point(|query| (usize::from(query.own) << bits >> 16) < end)).collect();
        let hashes_of = |block: usize| block.checked_sub(1).map_or(0, |before| ends[before])..ends[block];
        let lines_of = |block: usize| if block < blocks { tables.lines_of_block(table, bits, block) } else { 0..0 };
        // Lines that are asked for with each list that is opened, in parts of a line.
        let pace = (all_lines.len() << PART_BITS) / (self.order.len() * lists(own)) + 1;
        lines_of(0).for_each(|line| prefetch(&tables.lines, line));
        for block in 0..blocks {
            let mut following = lines_of(block + 1);
            for (distance, masks) in masks().iter().enumerate().take(usize::from(own)) {
                let next_max = own + next - 1 - distance as u16;
                let limits = [next_max, next_max + third];
                for mask in masks {
                    let hashes = hashes_of(block ^ (usize::from(*mask) << bits >> 16));
                    opened.values.extend(self.order[hashes.clone()].iter().map(|query| query.own ^ mask));
                    opened.openers.extend(hashes.start as u32..hashes.end as u32);
                    if opened.values.len() >= LINES_TOGETHER {
                        self.work_off(&mut opened, limits, pace, &mut following, &mut effort);
                    }
                }
                self.work_off(&mut opened, limits, pace, &mut following, &mut effort);
            }
            following.for_each(|line| prefetch(&tables.lines, line));
            if self.out.ended() {
                break;
            }
        }
        self.buffers.opened = opened;
        self.settle(&mut effort);
        effort
    }

    /// Reads the lists that are opened, and asks for lines of the following block meanwhile.
    #[inline(always)]
    fn work_off(
        &mut self,
        opened: &mut Opened,
        limits: [u16; 2],
        pace: usize,
        following: &mut Range<usize>,
        effort: &mut Effort,
    ) {
        effort.probes += opened.values.len() as u64;
        let mut listed = 0;
        while listed < opened.values.len() && !self.out.ended() {
            let before = listed;
            let list = List { tables: &self.index.tables, table: self.table, opened, listed: &mut listed };
            effort.candidates += self.index.level.run(list);
            let ask = following.start..(following.start + ((pace * (listed - before)) >> PART_BITS)).min(following.end);
            following.start = ask.end;
            self.read(opened, ask, limits);
            if self.buffers.survivors.len() >= GATHERED {
                self.settle(effort);
            }
        }
        opened.values.clear();
        opened.openers.clear();
    }

    /// Gathers what survives of the lines that were listed, and asks for others meanwhile.
    #[inline(always)]
    fn read(&mut self, opened: &mut Opened, ask: Range<usize>, [next_max, two_max]: [u16; 2]) {
        let (tables, order) = (&self.index.tables, self.order);
        let Opened { lines, nears, .. } = opened;
        make_room(nears, lines.lines.n);
        let level = self.index.level;
        let found = match next_max {
            0 => level.run(Read::<0> { tables, order, lines, ask, bits_max: 0, nears }),
            1 => level.run(Read::<1> { tables, order, lines, ask, bits_max: 1, nears }),
            2 => level.run(Read::<2> { tables, order, lines, ask, bits_max: 2, nears }),
            3 => level.run(Read::<3> { tables, order, lines, ask, bits_max: 3, nears }),
            more => level.run(Read::<16> { tables, order, lines, ask, bits_max: more, nears }),
        };
        for near in &nears[..found] {
            let listed = near.line as usize;
            let QueryHalves { number, next, third, .. } = order[lines.openers[listed] as usize];
            Near { line: lines.lines.line[listed], ..*near }.each(|at| {
                prefetch(&tables.places, at as usize);
                self.buffers.survivors.push(Survivor { number, at, next, third, two_max });
            });
        }
        lines.lines.n = 0;
    }
}

/// Lists the lines of the next lists; gives their postings. Compiled alone, like [`Read`]: within their caller they ran out of registers, and a
/// batch took a quarter longer.
struct List<'a> {
    tables: &'a Tables,
    table: usize,
    opened: &'a mut Opened,
    /// How many of the lists are listed.
    listed: &'a mut usize,
}

impl Work for List<'_> {
    type Out = u64;

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> u64 {
        let List { tables, table, opened: Opened { values, openers, lines, .. }, listed } = self;
        let mut postings = 0;
        while *listed < values.len() && lines.lines.n < LINES_TOGETHER {
            let (values, openers) = (&values[*listed..], &openers[*listed..]);
            let (found, taken) = match (values.first_chunk(), openers.first_chunk()) {
                (Some(values), Some(openers)) => {
                    let found = tables.find_lists::<TOGETHER>(table, 0, values);
                    lines.append(&found, openers);
                    (found.postings, TOGETHER)
                }
                _ => {
                    let found = tables.find_lists(table, 0, &[values[0]]);
                    lines.append(&found, &[openers[0]]);
                    (found.postings, 1)
                }
            };
            postings += found;
            *listed += taken;
        }
        postings
    }
}

/// Writes down the lines that hold postings near enough to who opened them; returns how many.
struct Read<'a, const BITS_MAX: u16> {
    tables: &'a Tables,
    order: &'a [QueryHalves],
    lines: &'a OpenedLines,
    /// Lines to ask for, evenly among those that are read: asked for all at once they held up the reading.
    ask: Range<usize>,
    bits_max: u16,
    /// With a line's place among those listed.
    nears: &'a mut [Near],
}

impl<const BITS_MAX: u16> Work for Read<'_, BITS_MAX> {
    type Out = usize;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> usize {
        let Read { tables, order, lines: OpenedLines { lines, openers }, ask, bits_max, nears } = self;
        let postings = &tables.lines[..];
        let (line, lanes, openers) = (&lines.line[..lines.n], &lines.lanes[..lines.n], &openers[..lines.n]);
        let bits_max = if BITS_MAX < 16 { BITS_MAX } else { bits_max };
        let pace = (ask.len() << PART_BITS) / line.len().max(1) + 1;
        let (mut found, mut ahead) = (0, ask.start << PART_BITS);
        for (((line, lanes), opener), listed) in line.iter().zip(lanes).zip(openers).zip(0..) {
            prefetch(postings, ahead >> PART_BITS);
            ahead += pace;
            let near = kernel.near::<BITS_MAX>(&postings[*line as usize].0, order[*opener as usize].next, bits_max) & lanes;
            // Written always, kept where there is one: a branch would be guessed wrong for most of them.
            nears[found] = Near { line: listed, lanes: near };
            found += usize::from(near != 0);
        }
        found
    }
}
