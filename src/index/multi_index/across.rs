//! Hashes laid across: one posting against up to 256 of them.
//!
//! A look-up compares its one next half with many postings. Where very many hashes have the same half, and so the same lists, it is the other
//! way round: their next halves lie side by side, and one posting after the other is compared with all of them.
//!
//! With many postings it is quicker by sums. Bit k of all the hashes' next halves makes one row of 256 bits, and so does each of some bits of
//! the half after next. How many of a nibble's four bits differ from a posting's takes a few operations on whole rows, for all
//! hashes at once; and as a nibble has sixteen values, those sums are made beforehand. A posting takes its six and adds them up (bit-sliced
//! carry-save adders: a sum stands in three rows, one for each binary digit).
//!
//! What is sought is not the sum but whether it keeps to a limit. So a sum begins with what the limit leaves of the next power of two, and a
//! carry into that digit says that it is too large. The limits must be small for that: see [`Across::sums_up`].

use super::many::Asked;
use super::table::{LANES, Tables};
use crate::index::arch::Kernel;

/// Hashes laid across.
pub(super) const ACROSS: usize = WORDS * LANES;
const WORDS: usize = 8;

/// A bit for each hash.
type Row = [u32; WORDS];
/// A number from 0 to 7 for each hash, digit by digit. Aligned so that the place of one among others is a shift.
#[derive(Debug, Clone, Copy)]
#[repr(align(128))]
struct Digits([Row; 3]);
/// By value of a nibble.
type Sums = [Digits; 16];

/// Some of the third half's bits: two nibbles.
const THIRD: u16 = 0xff;

#[derive(Debug)]
pub(super) struct Across {
    /// The hashes' next halves, in so many words.
    nexts: [[u16; LANES]; WORDS],
    words: usize,
    /// Where there are hashes.
    there: Row,
    /// By own distance, 0 or 1, and value of the next half's first nibble: bits that differ in the two, and what the limit leaves of 4.
    own_and_first: [Sums; 2],
    /// The same for the other nibbles, without limit.
    others: [Sums; 3],
    /// The third half's two nibbles, the first one with what the limit leaves of 8.
    thirds: [Sums; 2],
    third_mask: u16,
}

impl Default for Across {
    fn default() -> Self {
        const NONE: Sums = [Digits([[0; WORDS]; 3]); 16];
        let nexts = [[0; LANES]; WORDS];
        let (own_and_first, others, thirds) = ([NONE; 2], [NONE; 3], [NONE; 2]);
        Across { nexts, words: 0, there: [0; WORDS], own_and_first, others, thirds, third_mask: 0 }
    }
}

/// A mark for each hash.
pub(super) struct Marks(Row);

impl Marks {
    /// Calls `each` with the place of every hash that is marked.
    #[inline(always)]
    pub fn each(&self, mut each: impl FnMut(usize)) {
        if self.0.iter().fold(0, |any, bits| any | bits) == 0 {
            return;
        }
        for (word, bits) in self.0.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                each(word * LANES + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }
}

impl Across {
    /// Lays up to 256 hashes across.
    #[inline(always)]
    pub fn lay(&mut self, asked: &[Asked]) {
        self.words = asked.len().div_ceil(LANES);
        for ((asked, nexts), there) in asked.chunks(LANES).zip(&mut self.nexts).zip(&mut self.there) {
            *there = u32::MAX >> (LANES - asked.len());
            for (next, asked) in nexts.iter_mut().zip(asked) {
                *next = asked.next;
            }
        }
        self.there[self.words..].fill(0);
    }

    /// The hashes whose next half is within `bits_max` of a posting's.
    #[inline(always)]
    pub fn near<K: Kernel>(&self, kernel: K, next: u16, bits_max: u16) -> Marks {
        let mut near = [0; WORDS];
        for ((near, there), nexts) in near.iter_mut().zip(&self.there).zip(&self.nexts[..self.words]) {
            *near = kernel.near::<16>(nexts, next, bits_max) & there;
        }
        Marks(near)
    }

    /// Whether a table's budgets are small enough for sums: those of PDQ are from radius 15 to 31.
    #[inline(always)]
    pub fn sums_up([own, next, third]: [u16; 3]) -> bool {
        own <= 2 && own + next <= 4 && (1..=4).contains(&third)
    }

    /// Makes the sums for hashes that were laid across, for a table with such budgets.
    #[inline(always)]
    pub fn sum_up<K: Kernel>(&mut self, kernel: K, asked: &[Asked], [own, next, third]: [u16; 3], tables: &Tables) {
        self.third_mask = tables.third_bits(THIRD) as u16;
        let (mut nexts, mut thirds) = ([[0; WORDS]; 16], [[0; WORDS]; 16]);
        for (word, asked) in asked.chunks(LANES).enumerate() {
            let mut third = [0; LANES];
            for (third, asked) in third.iter_mut().zip(asked) {
                *third = asked.third & self.third_mask;
            }
            for (rows, halves) in [(&mut nexts, &self.nexts[word]), (&mut thirds, &third)] {
                rows.iter_mut().zip(kernel.across(halves)).for_each(|(row, bits)| row[word] = bits);
            }
        }
        let left = u32::from(4 - own - next);
        let (nexts, thirds) = (nexts.as_chunks::<4>().0, thirds.as_chunks::<4>().0);
        differ::<true>(&nexts[0], left, &mut self.own_and_first[0]);
        differ::<true>(&nexts[0], left + 1, &mut self.own_and_first[1]);
        for (bits, sums) in nexts[1..].iter().zip(&mut self.others) {
            differ::<false>(bits, 0, sums);
        }
        differ::<true>(&thirds[0], u32::from(4 - third), &mut self.thirds[0]);
        differ::<false>(&thirds[1], 0, &mut self.thirds[1]);
    }

    /// The hashes that a posting is near to by its distance in the own half, its next one and what is known of the third.
    #[inline(always)]
    pub fn near_by_sums(&self, own: usize, next: u16, third: u16) -> Marks {
        let third = third & self.third_mask;
        let [n0, n1, n2, n3] = nibbles(next);
        let [t0, t1, ..] = nibbles(third);
        let (first, second) = (&self.own_and_first[own][n0], &self.others[0][n1]);
        let (third, fourth) = (&self.others[1][n2], &self.others[2][n3]);
        let (fifth, sixth) = (&self.thirds[0][t0], &self.thirds[1][t1]);
        let mut near = [0; WORDS];
        for (word, near) in near.iter_mut().enumerate() {
            let lower = sum_to_four(digits_of(first, word), digits_of(second, word));
            let higher = sum_to_four(digits_of(third, word), digits_of(fourth, word));
            let [ones, twos, too_far] = sum_to_four(lower, higher);
            let (thirds, too_far_by_third) = sum(digits_of(fifth, word), digits_of(sixth, word));
            let (_, too_far_by_all) = sum([ones, twos, 0], thirds);
            *near = self.there[word] & !(too_far | too_far_by_third | too_far_by_all);
        }
        Marks(near)
    }
}

#[inline(always)]
fn nibbles(half: u16) -> [usize; 4] {
    let half = usize::from(half);
    [half & 15, half >> 4 & 15, half >> 8 & 15, half >> 12]
}

#[inline(always)]
fn digits_of(Digits(digits): &Digits, word: usize) -> [u32; 3] {
    [digits[0][word], digits[1][word], digits[2][word]]
}

/// The sum of two numbers in binary digits, 32 times over, and whether it is 8 or more.
#[inline(always)]
fn sum(a: [u32; 3], b: [u32; 3]) -> ([u32; 3], u32) {
    let ones = a[0] & b[0];
    let (differ, twos) = (a[1] ^ b[1], a[1] & b[1]);
    let twos = twos | differ & ones;
    let (differ_, fours) = (a[2] ^ b[2], a[2] & b[2]);
    ([a[0] ^ b[0], differ ^ ones, differ_ ^ twos], fours | differ_ & twos)
}

/// The same, where all that matters from 4 on is that it is so much: then the last digit is 1, whatever the others are.
#[inline(always)]
fn sum_to_four(a: [u32; 3], b: [u32; 3]) -> [u32; 3] {
    let ([ones, twos, carry], _) = sum([a[0], a[1], 0], [b[0], b[1], 0]);
    [ones, twos, a[2] | b[2] | carry]
}

/// For each value of a nibble, in how many of its four bits the hashes differ from it, and `more` on top where `MORE` says so.
#[inline(always)]
fn differ<const MORE: bool>(bits: &[Row; 4], more: u32, sums: &mut Sums) {
    let more = [(more & 1).wrapping_neg(), (more >> 1 & 1).wrapping_neg(), (more >> 2 & 1).wrapping_neg()];
    // Of the lower and of the higher two bits: whether one differs, and whether both do, by their value.
    let mut pairs = [[[[0; WORDS]; 2]; 4]; 2];
    for (pair, bits) in pairs.iter_mut().zip(bits.as_chunks::<2>().0) {
        for word in 0..WORDS {
            let (a, b) = (bits[0][word], bits[1][word]);
            let [one, both] = [[a ^ b, !(a ^ b), !(a ^ b), a ^ b], [a & b, !a & b, a & !b, !a & !b]];
            for value in 0..4 {
                (pair[value][0][word], pair[value][1][word]) = (one[value], both[value]);
            }
        }
    }
    for (high, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        for (low, Digits(sums)) in sums.iter_mut().enumerate() {
            let (low, high) = (&pairs[0][low], &pairs[1][high]);
            for word in 0..WORDS {
                let (mut digits, _) = sum([low[0][word], low[1][word], 0], [high[0][word], high[1][word], 0]);
                if MORE {
                    (digits, _) = sum(digits, more);
                }
                (sums[0][word], sums[1][word], sums[2][word]) = (digits[0], digits[1], digits[2]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Pdq;
    use crate::index::arch::{self, Work};
    use crate::index::conformance::Random;

    /// Lays hashes across and asks for those near each posting, by sums where the budgets allow it and without.
    struct Ask<'a> {
        asked: &'a [Asked],
        budgets: [u16; 3],
        tables: &'a Tables,
        /// Own distance, next half, half after next.
        postings: &'a [(usize, u16, u16)],
        across: &'a mut Across,
    }

    impl Work for Ask<'_> {
        type Out = [Vec<Vec<usize>>; 2];

        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> Self::Out {
            let mut found = [Vec::new(), Vec::new()];
            self.across.lay(self.asked);
            self.across.sum_up(kernel, self.asked, self.budgets, self.tables);
            for (own, next, third) in self.postings {
                let [own_max, next_max, _] = self.budgets;
                let (mut near, mut near_by_sums) = (Vec::new(), Vec::new());
                self.across.near(kernel, *next, own_max + next_max - 1 - *own as u16).each(|lane| near.push(lane));
                self.across.near_by_sums(*own, *next, *third).each(|lane| near_by_sums.push(lane));
                found[0].push(near);
                found[1].push(near_by_sums);
            }
            found
        }
    }

    #[test]
    fn each_posting_finds_the_hashes_that_keep_to_the_budgets() {
        let mut random = Random(8);
        // So few rows that all bits of the half after next stand beside them, of which the sums use eight.
        let rows: Vec<Pdq> = (0..300).map(|_| random.hash()).collect();
        let budgets = (0..=3u16).flat_map(|own| (0..=4).flat_map(move |next| (0..=5).map(move |third| [own, next, third])));
        let budgets: Vec<_> = budgets.filter(|budgets| budgets[0] > 0 && Across::sums_up(*budgets)).collect();
        assert!(budgets.contains(&[2, 2, 2]) && budgets.contains(&[1, 1, 1]) && !budgets.contains(&[2, 2, 0]), "{budgets:?}");
        let mut across = Across::default();
        let mut all = [0, 0];
        for level in arch::levels() {
            let tables = Tables::build(&rows, level);
            for (at, budgets) in budgets.iter().enumerate() {
                let hashes = [256, 1, 31, 32, 33, 200, 255][at % 7];
                let near =
                    |random: &mut Random, half: u16| (0..random.below(6)).fold(half, |half, _| half ^ 1 << random.below(16));
                let asked: Vec<Asked> = (0..hashes)
                    .map(|number| Asked { number, own: 0, next: near(&mut random, 0x5a5a), third: near(&mut random, 0x1357) })
                    .collect();
                let postings: Vec<_> = (0..100)
                    .map(|_| (random.below(usize::from(budgets[0])), near(&mut random, 0x5a5a), near(&mut random, 0x1357)))
                    .collect();
                let [found, found_by_sums] = level.run(Ask {
                    asked: &asked,
                    budgets: *budgets,
                    tables: &tables,
                    postings: &postings,
                    across: &mut across,
                });
                for (at, (own, next, third)) in postings.iter().enumerate() {
                    let two = |asked: &Asked| *own as u32 + (asked.next ^ next).count_ones();
                    let three = |asked: &Asked| two(asked) + ((asked.third ^ third) & THIRD).count_ones();
                    let [one, more, most] = budgets.map(u32::from);
                    let lanes = |keeps: &dyn Fn(&Asked) -> bool| {
                        let lanes = asked.iter().enumerate().filter(|(_, asked)| keeps(asked)).map(|(lane, _)| lane);
                        lanes.collect::<Vec<usize>>()
                    };
                    let expected = lanes(&|asked| two(asked) < one + more);
                    let expected_by_sums = lanes(&|asked| two(asked) < one + more && three(asked) < one + more + most);
                    assert_eq!(found[at], expected, "{}, budgets {budgets:?}", level.name());
                    assert_eq!(found_by_sums[at], expected_by_sums, "{}, budgets {budgets:?}", level.name());
                    all = [all[0] + expected.len(), all[1] + expected_by_sums.len()];
                }
            }
        }
        assert!(all[1] > 1_000 && all[0] > all[1] + 1_000, "{all:?}");
    }
}
