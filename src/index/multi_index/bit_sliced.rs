//! Bit-sliced hashes: one posting against up to 256 of them.
//!
//! A look-up compares its one next half with many postings. Where very many hashes have the same half, and so the same lists, it is the other
//! way round: their next halves lie side by side, and one posting after the other is compared with all of them.
//!
//! With many postings it is quicker by sums. Bit k of all the hashes' next halves makes one row of 256 bits, and so does each of some bits of
//! the half after next. In how many of five to seven bits the hashes differ from a posting is a sum that can be made beforehand, for
//! each value of those bits and for all hashes at once; it stands in three rows, one for each binary digit. A posting takes four such
//! sums and adds them up (bit-sliced carry-save adders).
//!
//! What is sought is not the sum but whether it keeps to a limit. So a sum begins with what the limit leaves of the next power of two, and a
//! carry into that digit says that it is too large. The limits must be small for that: see [`BitSliced::sums_up`].

use super::halves::QueryHalves;
use super::lines::LANES;
use super::table::Tables;
use crate::arch::{Kernel, Level, Work};

/// Bit-sliced hashes.
pub(super) const SLICED_MAX: usize = 256;
const CHUNKS: usize = SLICED_MAX / LANES;

/// A bit for each hash.
type Row = [u32; CHUNKS];
const NO_ROW: Row = [0; CHUNKS];

/// Bits of the next half in each of its three sums, and of the half after next in its one. The tables of all sums, 24 KiB, are to stay in the
/// first cache. On a Zen 4, a join of ten millions took 1 and 2 % longer with a bit less and a bit more of the half after next.
const LOW: u32 = 5;
const MIDDLE: u32 = 5;
const HIGH: u32 = 6;
const THIRD: u32 = 7;

/// By value of some bits, and for each hash, a number in binary digits: first all ones, then all twos, then all fours.
#[derive(Debug)]
#[repr(align(64))]
struct Sums<const VALUES: usize>([[Row; 3]; VALUES]);

#[derive(Debug)]
pub(super) struct BitSliced {
    /// The hashes' next halves.
    nexts: [[u16; LANES]; CHUNKS],
    /// How many of those have hashes.
    chunks: usize,
    /// Where there are hashes.
    there: Row,
    /// The rows of the next half's lowest bits.
    lowest: [Row; LOW as usize],
    /// What the limit of own and next half leaves of 4.
    left: u32,
    /// Bits that differ in the own half and in those of the next one, and what the limit leaves: 4 stands for anything from 4 on.
    low: Sums<{ 1 << LOW }>,
    middle: Sums<{ 1 << MIDDLE }>,
    high: Sums<{ 1 << HIGH }>,
    /// The same of the half after next, and what the limit leaves of 8.
    third: Sums<{ 1 << THIRD }>,
}

impl Default for BitSliced {
    fn default() -> Self {
        BitSliced {
            nexts: [[0; LANES]; CHUNKS],
            chunks: 0,
            there: NO_ROW,
            lowest: [NO_ROW; LOW as usize],
            left: 0,
            low: Sums([[NO_ROW; 3]; 1 << LOW]),
            middle: Sums([[NO_ROW; 3]; 1 << MIDDLE]),
            high: Sums([[NO_ROW; 3]; 1 << HIGH]),
            third: Sums([[NO_ROW; 3]; 1 << THIRD]),
        }
    }
}

/// A mark for each hash.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Marks(Row);

impl Marks {
    pub const NONE: Marks = Marks(NO_ROW);

    #[inline(always)]
    fn any(&self) -> bool {
        self.0.iter().fold(0, |any, bits| any | bits) != 0
    }

    /// Calls `each` with the place of every hash that is marked.
    #[inline(always)]
    pub fn each(&self, mut each: impl FnMut(usize)) {
        for (word, [low, high]) in self.0.as_chunks().0.iter().enumerate() {
            let mut bits = u64::from(*low) | u64::from(*high) << 32;
            while bits != 0 {
                each(word * 64 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

/// Postings of a line, and the hashes that are near to each.
#[derive(Debug)]
pub(super) struct NearLanes {
    pub at: [u32; LANES],
    pub near: [Marks; LANES],
}

impl Default for NearLanes {
    fn default() -> Self {
        NearLanes { at: [0; LANES], near: [Marks::NONE; LANES] }
    }
}

impl BitSliced {
    /// Bit-slices up to 256 hashes.
    #[inline(always)]
    pub fn lay(&mut self, queries: &[QueryHalves]) {
        self.chunks = queries.len().div_ceil(LANES);
        self.there = NO_ROW;
        for (chunk, (queries, nexts)) in queries.chunks(LANES).zip(&mut self.nexts).enumerate() {
            self.there[chunk] = u32::MAX >> (LANES - queries.len());
            for (next, query) in nexts.iter_mut().zip(queries) {
                *next = query.next;
            }
        }
    }

    /// The hashes whose next half is within `bits_max` of a posting's.
    #[inline(always)]
    pub fn near<K: Kernel>(&self, kernel: K, next: u16, bits_max: u16) -> Marks {
        let mut near = NO_ROW;
        for ((near, there), nexts) in near.iter_mut().zip(&self.there).zip(&self.nexts[..self.chunks]) {
            *near = kernel.near::<16>(nexts, next, bits_max) & there;
        }
        Marks(near)
    }

    /// Whether a table's budgets are small enough for sums: those of PDQ are from radius 15 to 31.
    #[inline(always)]
    pub fn sums_up([own, next, third]: [u16; 3]) -> bool {
        own <= 2 && own + next <= 4 && (1..=4).contains(&third)
    }

    /// Makes the sums for hashes that were bit-sliced, for a table with such budgets, but for those that [`Self::sum_up_own`] makes.
    #[inline(always)]
    pub fn sum_up<K: Kernel>(&mut self, kernel: K, queries: &[QueryHalves], [own, next, third]: [u16; 3], third_mask: u16) {
        let (mut nexts, mut thirds) = ([NO_ROW; 16], [NO_ROW; 16]);
        for (chunk, queries) in queries.chunks(LANES).enumerate() {
            let mut third = [0; LANES];
            for (third, query) in third.iter_mut().zip(queries) {
                *third = query.third & third_mask;
            }
            for (rows, halves) in [(&mut nexts, &self.nexts[chunk]), (&mut thirds, &third)] {
                rows.iter_mut().zip(kernel.bit_slices(halves)).for_each(|(row, bits)| row[chunk] = bits);
            }
        }
        let (lowest, nexts) = nexts.split_at(LOW as usize);
        let (middle, high) = nexts.split_at(MIDDLE as usize);
        self.lowest.copy_from_slice(lowest);
        self.left = u32::from(4 - own - next);
        self.middle.make(middle, 0, true);
        self.high.make(high, 0, true);
        // Where there is no hash, everything is too far.
        for [_, _, fours] in &mut self.high.0 {
            fours.iter_mut().zip(&self.there).for_each(|(fours, there)| *fours |= !there);
        }
        self.third.make(&thirds[..THIRD as usize], u32::from(4 - third), false);
    }

    /// Makes the sums for postings that differ in so many bits of the own half.
    #[inline(always)]
    pub fn sum_up_own(&mut self, own: usize) {
        self.low.make(&self.lowest, self.left + own as u32, true);
    }

    /// Writes down the postings of a line that hashes are near to by the distance in the own half, the next one and what the sums know of the
    /// third, and those hashes; returns how many. A few more may be among them, of which more of the third half's bits differ than a sum holds.
    pub fn near_by_sums(&self, level: Level, tables: &Tables, line: u32, lanes: u32, found: &mut NearLanes) -> usize {
        level.run(NearBySums { sliced: self, tables, line, lanes, found })
    }
}

/// [`BitSliced::near_by_sums`], compiled alone: within its callers it ran out of registers.
struct NearBySums<'a> {
    sliced: &'a BitSliced,
    tables: &'a Tables,
    line: u32,
    lanes: u32,
    found: &'a mut NearLanes,
}

impl Work for NearBySums<'_> {
    type Out = usize;

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> usize {
        let NearBySums { sliced, tables, line, lanes, found } = self;
        let (nexts, first) = (&tables.lines[line as usize].0, line * LANES as u32);
        let mut n = 0;
        for lane in lanes.trailing_zeros()..u32::BITS - lanes.leading_zeros() {
            let at = first + lane;
            let next = usize::from(nexts[lane as usize % LANES]);
            let (low, middle) = (&sliced.low.0[next % (1 << LOW)], &sliced.middle.0[next >> LOW & ((1 << MIDDLE) - 1)]);
            let (high, third) =
                (&sliced.high.0[next >> (LOW + MIDDLE)], &sliced.third.0[usize::from(tables.third_of(at)) % (1 << THIRD)]);
            let mut near = NO_ROW;
            for (word, near) in near.iter_mut().enumerate() {
                let lower = sum_to_four(digits_of(low, word), digits_of(middle, word));
                let [ones, twos, too_far] = sum_to_four(lower, digits_of(high, word));
                let third = digits_of(third, word);
                let too_far_by_third = third[2] & majority(third[1], twos, third[0] & ones);
                *near = !(too_far | too_far_by_third);
            }
            // Written always, kept where there is one: a branch would be guessed wrong for many of them.
            found.at[n % LANES] = at;
            found.near[n % LANES] = Marks(near);
            n += usize::from(Marks(near).any());
        }
        n
    }
}

#[inline(always)]
fn majority(a: u32, b: u32, c: u32) -> u32 {
    a & b | c & (a | b)
}

/// The sum of two numbers in binary digits, 32 times over, where all that matters from 4 on is that it is so much: then the last digit is
/// 1, whatever the others are.
#[inline(always)]
fn sum_to_four(a: [u32; 3], b: [u32; 3]) -> [u32; 3] {
    let ones = a[0] & b[0];
    [a[0] ^ b[0], a[1] ^ b[1] ^ ones, a[2] | b[2] | majority(a[1], b[1], ones)]
}

impl<const VALUES: usize> Sums<VALUES> {
    /// For each value of some bits, given by their rows, `more` and the number of bits in which the hashes differ from it: to four, or modulo 8.
    #[inline(always)]
    fn make(&mut self, bits: &[Row], more: u32, to_four: bool) {
        let Sums(sums) = self;
        sums[0] = [0, 1, 2].map(|digit| [(more >> digit & 1).wrapping_neg(); CHUNKS]);
        // The sums of so many bits are known; the next bit makes two of each.
        for (known, bits) in bits.iter().enumerate() {
            let (clear, set) = sums.split_at_mut(1 << known);
            for (clear, set) in clear.iter_mut().zip(set) {
                (*clear, *set) = add(clear, bits, to_four);
            }
        }
    }
}

#[inline(always)]
fn digits_of(sum: &[Row; 3], word: usize) -> [u32; 3] {
    [sum[0][word], sum[1][word], sum[2][word]]
}

/// A sum with one more bit, for its value 0 and its value 1.
#[inline(always)]
fn add(sum: &[Row; 3], bits: &Row, to_four: bool) -> ([Row; 3], [Row; 3]) {
    let [mut clear, mut set] = [[NO_ROW; 3]; 2];
    for word in 0..CHUNKS {
        let [ones, twos, fours] = digits_of(sum, word);
        for (to, differ) in [(&mut clear, bits[word]), (&mut set, !bits[word])] {
            let carry = ones & differ;
            to[0][word] = ones ^ differ;
            to[1][word] = twos ^ carry;
            to[2][word] = if to_four { fours | twos & carry } else { fours ^ twos & carry };
        }
    }
    (clear, set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::entry::Pdq;
    use crate::index::conformance::Random;

    /// Bit-slices hashes and asks for those near each posting, by sums where the budgets allow it and without.
    struct Ask<'a> {
        level: Level,
        queries: &'a [QueryHalves],
        budgets: [u16; 3],
        /// The postings stand in its first lines.
        tables: &'a Tables,
        /// Own distance, next half, half after next.
        postings: &'a [(usize, u16, u16)],
        sliced: &'a mut BitSliced,
    }

    impl Work for Ask<'_> {
        type Out = [Vec<Vec<usize>>; 2];

        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> Self::Out {
            let mut found = [Vec::new(), Vec::new()];
            let (budgets, tables, mut by_sums) = (self.budgets, self.tables, NearLanes::default());
            self.sliced.lay(self.queries);
            self.sliced.sum_up(kernel, self.queries, budgets, tables.third_mask());
            for ((own, next, _), at) in self.postings.iter().zip(0..) {
                let (mut near, mut near_by_sums) = (Vec::new(), Vec::new());
                self.sliced.near(kernel, *next, budgets[0] + budgets[1] - 1 - *own as u16).each(|lane| near.push(lane));
                self.sliced.sum_up_own(*own);
                let lanes = 1 << (at % LANES as u32);
                if self.sliced.near_by_sums(self.level, tables, at / LANES as u32, lanes, &mut by_sums) > 0 {
                    assert_eq!(by_sums.at[0], at);
                    by_sums.near[0].each(|lane| near_by_sums.push(lane));
                }
                found[0].push(near);
                found[1].push(near_by_sums);
            }
            found
        }
    }

    #[test]
    fn each_posting_finds_the_hashes_that_keep_to_the_budgets() {
        let mut random = Random(8);
        // So few rows that all bits of the half after next stand beside them, of which the sums use seven.
        let rows: Vec<Pdq> = (0..300).map(|_| random.hash()).collect();
        let budgets = (0..=3u16).flat_map(|own| (0..=4).flat_map(move |next| (0..=5).map(move |third| [own, next, third])));
        let budgets: Vec<_> = budgets.filter(|budgets| budgets[0] > 0 && BitSliced::sums_up(*budgets)).collect();
        assert!(budgets.contains(&[2, 2, 2]) && budgets.contains(&[1, 1, 1]) && !budgets.contains(&[2, 2, 0]), "{budgets:?}");
        let mut sliced = BitSliced::default();
        let mut all = [0, 0, 0];
        for level in arch::levels() {
            let mut tables = Tables::build(&rows, level);
            for (at, budgets) in budgets.iter().enumerate() {
                let hashes = [256, 1, 31, 32, 33, 200, 255][at % 7];
                let near =
                    |random: &mut Random, half: u16| (0..random.below(6)).fold(half, |half, _| half ^ 1 << random.below(16));
                let queries: Vec<QueryHalves> = (0..hashes)
                    .map(|number| QueryHalves {
                        number,
                        own: 0,
                        next: near(&mut random, 0x5a5a),
                        third: near(&mut random, 0x1357),
                    })
                    .collect();
                let postings: Vec<_> = (0..100)
                    .map(|_| (random.below(usize::from(budgets[0])), near(&mut random, 0x5a5a), near(&mut random, 0x1357)))
                    .collect();
                postings.iter().zip(0..).for_each(|((_, next, third), at)| tables.set_posting(at, *next, *third));
                let [found, found_by_sums] = level.run(Ask {
                    level,
                    queries: &queries,
                    budgets: *budgets,
                    tables: &tables,
                    postings: &postings,
                    sliced: &mut sliced,
                });
                for (at, (own, next, third)) in postings.iter().enumerate() {
                    let two = |query: &QueryHalves| *own as u32 + (query.next ^ next).count_ones();
                    let three = |query: &QueryHalves| two(query) + ((query.third ^ third) % (1 << THIRD)).count_ones();
                    let [one, more, most] = budgets.map(u32::from);
                    let lanes = |keeps: &dyn Fn(&QueryHalves) -> bool| {
                        let lanes = queries.iter().enumerate().filter(|(_, query)| keeps(query)).map(|(lane, _)| lane);
                        lanes.collect::<Vec<usize>>()
                    };
                    let expected = lanes(&|query| two(query) < one + more);
                    let expected_by_sums = lanes(&|query| two(query) < one + more && three(query) < one + more + most);
                    let by_sums = &found_by_sums[at];
                    let keeps = by_sums.iter().filter(|lane| expected_by_sums.contains(lane)).count();
                    assert_eq!(found[at], expected, "{}, budgets {budgets:?}", level.name());
                    assert_eq!(keeps, expected_by_sums.len(), "{}, budgets {budgets:?}", level.name());
                    all = [all[0] + expected.len(), all[1] + keeps, all[2] + by_sums.len() - keeps];
                }
            }
        }
        let [plain, by_sums, in_vain] = all;
        assert!(by_sums > 1_000 && plain > by_sums + 1_000 && in_vain < by_sums / 100, "{all:?}");
    }
}
