//! How a hash is cut into halves of 16 bits.

use crate::entry::Bits;

/// Halves of the longest hash, 256 bits.
pub(super) const HALVES_MAX: usize = 16;

/// Number of halves of a hash.
pub(super) const fn halves<H: Bits>() -> usize {
    const { assert!(H::BITS % 64 == 0 && HALVES_MAX.is_multiple_of(H::BITS as usize / 16), "64, 128 or 256 bits") };
    H::BITS as usize / 16
}

/// Half `i` of the permuted hash.
///
/// Neighbouring bits of a perceptual hash agree more often than by chance, so halves cut from neighbouring bits make some lists long.
/// Instead a half takes bits along a diagonal: with n halves, bit c of 16-bit word w goes to half (c - w) mod n. On PDQ hashes of
/// photos the lists are then as long as chance has it (1.03 times, against 1.21 for neighbouring bits). No two words give a half
/// the same c, so each bit keeps its column, and the words can be laid over each other. Any permutation is exact.
#[inline(always)]
pub(super) fn half<H: Bits>(hash: &H, i: usize) -> u16 {
    let words = hash.words();
    let masks = &Diagonals::<H>::MASKS[i];
    let mut laid = 0;
    for w in 0..halves::<H>() / 4 {
        laid |= words[w] & masks[w];
    }
    (laid | laid >> 16 | laid >> 32 | laid >> 48) as u16
}

/// For each half, the bits that it takes of each 64-bit word.
struct Diagonals<H>(std::marker::PhantomData<H>);

impl<H: Bits> Diagonals<H> {
    const MASKS: [[u64; HALVES_MAX / 4]; HALVES_MAX] = {
        let every_nth = (0xffff_u32 / ((1 << halves::<H>()) - 1)) as u16;
        let mut masks = [[0; HALVES_MAX / 4]; HALVES_MAX];
        let mut at = 0;
        while at < HALVES_MAX * HALVES_MAX {
            // The first of four 16-bit words stands in the highest bits.
            let (half, word) = (at / HALVES_MAX, at % HALVES_MAX);
            masks[half][word / 4] |= (every_nth.rotate_left((half + word) as u32) as u64) << (48 - 16 * (word % 4));
            at += 1;
        }
        masks
    };
}

#[inline(always)]
pub(super) fn halves_of<H: Bits>(hash: &H) -> [u16; HALVES_MAX] {
    let mut halves_of = [0; HALVES_MAX];
    for (i, value) in halves_of.iter_mut().enumerate().take(halves::<H>()) {
        *value = half(hash, i);
    }
    halves_of
}

/// A hash that is looked up, with all of it that most postings are held to: its own place in memory is another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct QueryHalves {
    pub number: u32,
    pub own: u16,
    pub next: u16,
    pub third: u16,
}

impl QueryHalves {
    #[inline(always)]
    pub fn new<H: Bits>(hash: &H, number: u32, table: usize) -> Self {
        let n = halves::<H>();
        QueryHalves { number, own: half(hash, table), next: half(hash, (table + 1) % n), third: half(hash, (table + 2) % n) }
    }
}
