//! Where the postings lie: for each half, its 65,536 lists in lines of 64 bytes.

use super::halves::{HALVES_MAX, half, halves};
use super::lines::{FoundLists, LANES, Lines};
use crate::arch::{self, Kernel, prefetch};
use crate::entry::Bits;
use rayon::prelude::*;
use std::ops::Range;

/// Lists that are found together: as many as differ in one bit.
const TOGETHER: usize = 16;
/// A half's higher bits that number the smallest blocks. On a Zen 4, with one more 8,192 look-ups among ten million took some 5 % longer.
pub(super) const BLOCK_BITS: u32 = 9;
/// Values of a half.
pub(super) const VALUES: usize = 1 << 16;

/// A cache line of next halves.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Lanes(pub [u16; LANES]);

pub(super) struct Tables {
    /// For each half and each of its values the list's start, in units, counted from the half's first posting, and its length, in postings: `start
    /// << length_bits | length`. A length of all ones: it is in `long`.
    lists: Vec<u32>,
    length_bits: u32,
    /// Postings in a unit, as a power of two.
    unit_bits: u32,
    /// Lists too long for `lists`: half and value, start in postings from the half's first one, length. Sorted.
    long: Vec<(u32, u32, u32)>,
    /// Each half's first line.
    firsts: [u32; HALVES_MAX],
    /// Each half's longest list, in postings.
    longest: [u32; HALVES_MAX],
    /// For each half, and each of the smallest blocks of neighbouring values, whose lists lie side by side: the line after its last one.
    block_ends: Vec<u32>,
    pub lines: Vec<Lanes>,
    /// Beside each lane: the row, and above its bits some of the half after next.
    pub places: Vec<u32>,
    row_bits: u32,
}

/// A table's lists before its postings are in place.
struct Layout {
    starts: Vec<u32>,
    lengths: Vec<u32>,
    /// Of each block of neighbouring values, the line after its last one.
    block_ends: Vec<u32>,
    lines: usize,
}

impl Tables {
    pub fn build<H: Bits>(rows: &[H], level: arch::Level) -> Self {
        Self::with_row_bits(rows, bits_of(rows.len() as u32).max(1), level)
    }

    /// With so many bits for a row, as many as the rows take or more.
    pub fn with_row_bits<H: Bits>(rows: &[H], row_bits: u32, level: arch::Level) -> Self {
        let n = halves::<H>();
        let mean = rows.len() as f64 / VALUES as f64;
        let length_bits = bits_of((mean + 6.0 * mean.sqrt()) as u32 + 8);
        let unit_bits = (row_bits + 1 + length_bits).saturating_sub(32);
        let layouts: Vec<Layout> = (0..n).into_par_iter().map(|i| level.run(Count { rows, i, unit_bits })).collect();
        let mut tables = Tables {
            lists: arch::alloc_huge_pages(n * VALUES, 0),
            length_bits,
            unit_bits,
            long: Vec::new(),
            firsts: [0; HALVES_MAX],
            longest: [0; HALVES_MAX],
            block_ends: Vec::with_capacity(n << BLOCK_BITS),
            lines: Vec::new(),
            places: Vec::new(),
            row_bits,
        };
        let mut total = 0;
        let long = (1 << length_bits) - 1;
        for (i, layout) in layouts.iter().enumerate() {
            tables.firsts[i] = total as u32;
            tables.longest[i] = layout.lengths.iter().copied().max().unwrap_or(0);
            tables.block_ends.extend(layout.block_ends.iter().map(|end| total as u32 + end));
            total += layout.lines;
            for (value, (start, length)) in layout.starts.iter().zip(&layout.lengths).enumerate() {
                tables.lists[i * VALUES + value] = (start >> unit_bits) << length_bits | (*length).min(long);
                if *length >= long {
                    tables.long.push(((i << 16 | value) as u32, *start, *length));
                }
            }
        }
        tables.lines = arch::alloc_huge_pages(total, Lanes([0; LANES]));
        tables.places = arch::alloc_huge_pages(total * LANES, 0);
        let (mut lines, mut places) = (&mut tables.lines[..], &mut tables.places[..]);
        let mut jobs = Vec::new();
        for (i, layout) in layouts.into_iter().enumerate() {
            let (own, rest) = lines.split_at_mut(layout.lines);
            let (own_places, rest_places) = places.split_at_mut(layout.lines * LANES);
            (lines, places) = (rest, rest_places);
            jobs.push(Place { rows, i, starts: layout.starts, lines: own, places: own_places, row_bits });
        }
        jobs.into_par_iter().for_each(|job| level.run(job));
        tables
    }

    pub fn bytes(&self) -> usize {
        let lists = size_of_val(&self.lists[..]) + size_of_val(&self.long[..]) + size_of_val(&self.block_ends[..]);
        lists + size_of_val(&self.lines[..]) + size_of_val(&self.places[..])
    }

    /// The lines of the lists whose values have `block` for their higher `bits` bits, at most [`BLOCK_BITS`]. The first and the last line may
    /// be shared with the blocks beside.
    pub fn lines_of_block(&self, i: usize, bits: u32, block: usize) -> Range<usize> {
        let end = |blocks: usize| match blocks << (BLOCK_BITS - bits) {
            0 => self.firsts[i] as usize,
            blocks => self.block_ends[(i << BLOCK_BITS) + blocks - 1] as usize,
        };
        end(block)..end(block + 1)
    }

    /// The postings of a half's longest list.
    pub fn longest(&self, i: usize) -> u64 {
        self.longest[i].into()
    }

    /// The values of the lists that have more postings.
    pub fn longer_than(&self, i: usize, length_max: u64) -> impl Iterator<Item = u16> {
        let length = move |(value, list): (usize, &u32)| match list & self.length_mask() {
            length if length < self.length_mask() => length,
            _ => self.long_list(i, value as u16).1,
        };
        let lists = self.lists[i * VALUES..][..VALUES].iter().enumerate();
        lists.filter(move |list| u64::from(length(*list)) > length_max).map(|(value, _)| value as u16)
    }

    /// Asks for where the lists of all values within `distance_max` of `value` lie.
    #[inline(always)]
    pub fn ask_for_lists(&self, i: usize, value: u16, distance_max: u16) {
        // Values that differ in the last four bits alone share a line; beyond distance 1 most lines are asked for anyway.
        prefetch(&self.lists, i << 16 | usize::from(value));
        if distance_max > 0 {
            for bit in 4..16 {
                prefetch(&self.lists, i << 16 | usize::from(value ^ (1 << bit)));
            }
        }
    }

    /// Appends the lines of the lists of all values that differ from `value` by one of `masks`; returns how many postings they hold.
    #[inline(always)]
    pub fn append_lines(&self, i: usize, value: u16, masks: &[u16], lines: &mut Lines) -> u64 {
        let (together, alone) = masks.as_chunks::<TOGETHER>();
        let mut postings = 0;
        for masks in together {
            postings += self.append_lists(i, value, masks, lines);
        }
        for mask in alone {
            postings += self.append_lists(i, value, &[*mask], lines);
        }
        postings
    }

    /// Appends the lines of some lists.
    #[inline(always)]
    fn append_lists<const N: usize>(&self, i: usize, value: u16, masks: &[u16; N], lines: &mut Lines) -> u64 {
        let FoundLists { first, n, mut of_first, of_last, postings, n_min, n_max } = self.find_lists(i, value, masks);
        if n_max > 1 {
            for k in 0..N {
                lines.append_run(first[k], n[k] as usize, of_first[k], of_last[k]);
            }
            return postings;
        }
        for k in 0..N {
            of_first[k] &= of_last[k];
        }
        if n_min == 1 {
            lines.append(first, of_first);
        } else {
            lines.append_some(first, of_first, n);
        }
        postings
    }

    /// Finds the lists of the values that differ from `value` by some masks: in loops over all of them, of which the compiler makes wide lanes.
    #[inline(always)]
    pub fn find_lists<const N: usize>(&self, i: usize, value: u16, masks: &[u16; N]) -> FoundLists<N> {
        let lists = &self.lists[i << 16..][..VALUES];
        let mask = self.length_mask();
        let (mut starts, mut lengths, mut any_long) = ([0; N], [0; N], false);
        for k in 0..N {
            starts[k] = lists[usize::from(value ^ masks[k])];
        }
        for k in 0..N {
            lengths[k] = starts[k] & mask;
            starts[k] = (starts[k] >> self.length_bits) << self.unit_bits;
            any_long |= lengths[k] == mask;
        }
        if any_long {
            self.find_long(i, value, masks, &mut starts, &mut lengths);
        }
        let (mut first, mut n, mut of_first, mut of_last) = ([0; N], [0; N], [0; N], [0; N]);
        let (mut postings, mut n_min, mut n_max) = (0, 1, 1);
        for k in 0..N {
            let end = starts[k] + lengths[k];
            let line = starts[k] / LANES as u32;
            n[k] = if lengths[k] == 0 { 0 } else { end.div_ceil(LANES as u32) - line };
            first[k] = self.firsts[i] + line;
            of_first[k] = u32::MAX << (starts[k] % LANES as u32);
            of_last[k] = u32::MAX >> (end.wrapping_neg() % LANES as u32);
            postings += u64::from(lengths[k]);
            (n_min, n_max) = (n_min.min(n[k]), n_max.max(n[k]));
        }
        FoundLists { first, n, of_first, of_last, postings, n_min, n_max }
    }

    #[cold]
    #[inline(never)]
    fn find_long(&self, i: usize, value: u16, masks: &[u16], starts: &mut [u32], lengths: &mut [u32]) {
        for (k, mask) in masks.iter().enumerate() {
            if lengths[k] == self.length_mask() {
                (starts[k], lengths[k]) = self.long_list(i, value ^ mask);
            }
        }
    }

    /// Start and length of a list that is too long for `lists`.
    fn long_list(&self, i: usize, value: u16) -> (u32, u32) {
        let list = (i << 16 | usize::from(value)) as u32;
        let (_, start, length) = self.long[self.long.partition_point(|(other, ..)| *other < list)];
        (start, length)
    }

    #[inline(always)]
    fn length_mask(&self) -> u32 {
        (1 << self.length_bits) - 1
    }

    /// Asks for the places beside a line.
    #[inline(always)]
    pub fn ask_for_places(&self, line: u32) {
        let at = line as usize * LANES;
        prefetch(&self.places, at);
        prefetch(&self.places, at + LANES / 2);
    }

    /// A posting's next half.
    #[inline(always)]
    pub fn next_of(&self, at: u32) -> u16 {
        self.lines[at as usize / LANES].0[at as usize % LANES]
    }

    #[cfg(test)]
    pub fn set_posting(&mut self, at: u32, next: u16, third: u16) {
        self.lines[at as usize / LANES].0[at as usize % LANES] = next;
        self.places[at as usize] = u32::from(third & self.third_mask()) << self.row_bits;
    }

    /// What stands of a posting's half after next.
    #[inline(always)]
    pub fn third_of(&self, at: u32) -> u16 {
        self.place(at).1 as u16
    }

    /// The lists' starts in table `i`, by value, in postings.
    fn starts(&self, i: usize) -> Vec<u32> {
        let short = |list: &u32| (list >> self.length_bits) << self.unit_bits;
        let mut starts: Vec<u32> = self.lists[i * VALUES..][..VALUES].iter().map(short).collect();
        for (list, start, _) in &self.long {
            if (list >> 16) as usize == i {
                starts[*list as usize % VALUES] = *start;
            }
        }
        starts
    }

    /// A posting's row, and by how many bits its next half and what stands of the one after it differ from those that are sought.
    #[inline(always)]
    pub fn row_and_distance(&self, at: u32, next: u16, third: u16) -> (u32, u16) {
        let found = self.next_of(at);
        let (row, third_found) = self.place(at);
        let third = u32::from(third & self.third_mask());
        (row, ((found ^ next).count_ones() + (third_found ^ third).count_ones()) as u16)
    }

    /// A posting's row, and the bits beside it.
    #[inline(always)]
    fn place(&self, at: u32) -> (u32, u32) {
        let place = self.places[at as usize];
        (place & (u32::MAX >> (32 - self.row_bits)), place.checked_shr(self.row_bits).unwrap_or(0))
    }

    /// The bits of a half after next that stand beside a row.
    #[inline(always)]
    pub fn third_mask(&self) -> u16 {
        third_mask(self.row_bits) as u16
    }
}

#[inline(always)]
fn third_mask(row_bits: u32) -> u32 {
    (u32::MAX.checked_shr(row_bits).unwrap_or(0)) & 0xffff
}

fn bits_of(n: u32) -> u32 {
    32 - n.leading_zeros()
}

/// Counts the postings of a half's values and says where each list begins: so that few cross a line that they need not cross.
struct Count<'a, H> {
    rows: &'a [H],
    i: usize,
    unit_bits: u32,
}

impl<H: Bits> arch::Work for Count<'_, H> {
    type Out = Layout;

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> Layout {
        let mut lengths = vec![0u32; VALUES];
        for row in self.rows {
            lengths[usize::from(half(row, self.i))] += 1;
        }
        let mut starts = vec![0u32; VALUES];
        let mut block_ends = Vec::with_capacity(1 << BLOCK_BITS);
        // By what is left over of whole lines. The next list of a block is the one that fills the room in the current line best.
        let mut by_rest: [Vec<u16>; LANES] = std::array::from_fn(|_| Vec::new());
        let mut at = 0u32;
        for block in 0..1 << BLOCK_BITS {
            let values = block << (16 - BLOCK_BITS)..(block + 1) << (16 - BLOCK_BITS);
            for value in values.clone() {
                by_rest[lengths[value] as usize % LANES].push(value as u16);
            }
            for _ in values {
                at = at.next_multiple_of(1 << self.unit_bits);
                let room = at.wrapping_neg() as usize % LANES;
                let fits = by_rest[..=room].iter_mut().rev().find_map(Vec::pop);
                let value = fits.or_else(|| {
                    at += room as u32;
                    by_rest.iter_mut().rev().find_map(Vec::pop)
                });
                let value = usize::from(value.unwrap_or_default()); // there are as many as rounds
                starts[value] = at;
                at += lengths[value];
            }
            block_ends.push(at.div_ceil(LANES as u32));
        }
        Layout { starts, lengths, block_ends, lines: (at as usize).div_ceil(LANES) }
    }
}

/// Puts a half's postings into their places.
struct Place<'a, H> {
    rows: &'a [H],
    i: usize,
    starts: Vec<u32>,
    lines: &'a mut [Lanes],
    places: &'a mut [u32],
    row_bits: u32,
}

impl<H: Bits> arch::Work for Place<'_, H> {
    type Out = ();

    #[inline(always)]
    fn run<K: Kernel>(mut self, _: K) {
        let n = halves::<H>();
        let mask = third_mask(self.row_bits);
        for (row, hash) in self.rows.iter().enumerate() {
            let (own, next, third) = (half(hash, self.i), half(hash, (self.i + 1) % n), half(hash, (self.i + 2) % n));
            let at = &mut self.starts[usize::from(own)];
            self.lines[*at as usize / LANES].0[*at as usize % LANES] = next;
            self.places[*at as usize] = row as u32 | (u32::from(third) & mask).checked_shl(self.row_bits).unwrap_or(0);
            *at += 1;
        }
    }
}

/// Of each posting's half after next the bits that most often have no room beside the row: a byte for each. Large joins make them for as long
/// as they take: they spare nearly all rows that would be read in vain.
pub(super) struct ResidualBits {
    bytes: Vec<u8>,
    /// Those that stand beside the row, and these.
    pub mask: u16,
}

/// Bits of a half that are the rest.
const RESIDUAL: u16 = 0xff00;

impl ResidualBits {
    /// In parallel in the rayon pool that it is called in.
    pub fn build<H: Bits>(tables: &Tables, rows: &[H], level: arch::Level) -> Self {
        let mut bytes = arch::alloc_huge_pages(tables.places.len(), 0);
        let (mut jobs, mut rest) = (Vec::new(), &mut bytes[..]);
        for i in 0..halves::<H>() {
            let end = if i + 1 < halves::<H>() { tables.firsts[i + 1] as usize } else { tables.lines.len() };
            let (own, after) = rest.split_at_mut((end - tables.firsts[i] as usize) * LANES);
            rest = after;
            jobs.push((i, own));
        }
        jobs.into_par_iter().for_each(|(i, bytes)| level.run(PlaceResidualBits { rows, i, starts: tables.starts(i), bytes }));
        ResidualBits { bytes, mask: tables.third_mask() | RESIDUAL }
    }

    /// A posting's half after next, as far as it is known.
    #[inline(always)]
    pub fn third_of(&self, tables: &Tables, at: u32) -> u16 {
        tables.third_of(at) | u16::from(self.bytes[at as usize]) << RESIDUAL.trailing_zeros()
    }

    /// Asks for those beside a line.
    #[inline(always)]
    pub fn ask_for(&self, line: u32) {
        prefetch(&self.bytes, line as usize * LANES);
    }
}

/// Puts what is left of a half's postings beside them, in the order that they were put there.
struct PlaceResidualBits<'a, H> {
    rows: &'a [H],
    i: usize,
    starts: Vec<u32>,
    bytes: &'a mut [u8],
}

impl<H: Bits> arch::Work for PlaceResidualBits<'_, H> {
    type Out = ();

    #[inline(always)]
    fn run<K: Kernel>(mut self, _: K) {
        let n = halves::<H>();
        for hash in self.rows {
            let at = &mut self.starts[usize::from(half(hash, self.i))];
            self.bytes[*at as usize] = (half(hash, (self.i + 2) % n) >> RESIDUAL.trailing_zeros()) as u8;
            *at += 1;
        }
    }
}
