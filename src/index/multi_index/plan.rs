//! How a radius is shared out among blocks and halves, and what a look-up by that plan should cost.
//!
//! Pigeonhole, in integers: give each of B blocks a share t_b such that the shares plus one add up to r + 1. If a row differed by more than t_b, that is by
//! at least t_b + 1, in every block, it would differ by at least r + 1 in all; so within r some block keeps to its share. The same
//! again between the two halves of a block. A share of -1 (nothing left to give) means that its table need not be opened.

use super::{LIST_PS, POSTING_PS, SURVIVOR_PS};
use std::sync::LazyLock;

/// Halves of the longest hash, 256 bits.
pub(super) const HALVES_MAX: usize = 16;

/// Bits by which a row found in one table may differ from the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// In the table's half: 0 to 16.
    pub half: u16,
    /// In both halves of its block together: `half` to 32.
    pub block: u16,
}

pub(super) struct Plan {
    pub radius: u16,
    /// By table; `None`: not opened.
    pub shares: [Option<Share>; HALVES_MAX],
    /// Expected on rows spread evenly: lists opened, and postings streamed and survivors per row.
    lists: u64,
    postings_per_row: f64,
    survivors_per_row: f64,
}

impl Plan {
    /// A plan for hashes of `bits` bits; `radius` is at most `bits`.
    pub fn new(bits: u16, radius: u16) -> Self {
        let mut plan = Plan { radius, shares: [None; HALVES_MAX], lists: 0, postings_per_row: 0.0, survivors_per_row: 0.0 };
        for (block, places) in deal(radius + 1, usize::from(bits / 32)).enumerate() {
            for (side, half_places) in deal(places, 2).enumerate() {
                // Places are shares plus one. A half has no more than 16 bits to differ in, a block no more than 32.
                if half_places > 0 {
                    let share = Share { half: (half_places - 1).min(16), block: (places - 1).min(32) };
                    plan.shares[2 * block + side] = Some(share);
                    plan.expect(share);
                }
            }
        }
        plan
    }

    /// Picoseconds on `rows` rows spread evenly.
    pub fn cost_ps(&self, rows: usize) -> u64 {
        let per_row = self.postings_per_row * POSTING_PS as f64 + self.survivors_per_row * SURVIVOR_PS as f64;
        self.lists * LIST_PS + (rows as f64 * per_row) as u64
    }

    fn expect(&mut self, share: Share) {
        let values = f64::from(1u32 << 16);
        for distance in 0..=share.half {
            let lists = masks()[usize::from(distance)].len() as u64;
            let others: usize = masks().iter().take(usize::from(share.block - distance) + 1).map(|m| m.len()).sum();
            self.lists += lists;
            self.postings_per_row += lists as f64 / values;
            self.survivors_per_row += lists as f64 / values * others as f64 / values;
        }
    }
}

/// Deals `total` out into `parts` as evenly as can be, the larger ones first.
fn deal(total: u16, parts: usize) -> impl Iterator<Item = u16> {
    let parts = parts as u16;
    (0..parts).map(move |part| total / parts + u16::from(part < total % parts))
}

/// All 16-bit values by their number of ones.
pub(super) fn masks() -> &'static [Vec<u16>; 17] {
    static MASKS: LazyLock<[Vec<u16>; 17]> =
        LazyLock::new(|| std::array::from_fn(|ones| (0..=u16::MAX).filter(|mask| mask.count_ones() as usize == ones).collect()));
    &MASKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_plus_one_add_up_to_the_radius_plus_one() {
        for bits in [64, 256] {
            for radius in 0..=bits {
                let plan = Plan::new(bits, radius);
                let mut places = 0;
                for block in plan.shares[..usize::from(bits / 16)].chunks(2) {
                    let halves: u16 = block.iter().flatten().map(|share| share.half + 1).sum();
                    let whole = block.iter().flatten().map(|share| share.block + 1).max().unwrap_or(0);
                    assert!(halves == whole || (whole == 33 && halves >= 33), "{bits} bits, radius {radius}: {block:?}");
                    places += whole;
                }
                assert_eq!(places, radius + 1, "{bits} bits");
                assert!(plan.shares[usize::from(bits / 16)..].iter().all(Option::is_none));
            }
        }
    }

    #[test]
    fn radius_31_of_256_opens_seventeen_lists_in_each_of_sixteen_tables() {
        let plan = Plan::new(256, 31);
        assert_eq!(plan.shares, [Some(Share { half: 1, block: 3 }); 16]);
        assert_eq!(plan.lists, 272);
        let expected = 272.0 / 65536.0;
        assert!((plan.postings_per_row - expected).abs() < 1e-9, "{}", plan.postings_per_row);
    }

    #[test]
    fn a_larger_radius_never_promises_to_cost_less() {
        for bits in [64, 256] {
            let costs: Vec<u64> = (0..=bits).map(|radius| Plan::new(bits, radius).cost_ps(1_000_000)).collect();
            assert!(costs.is_sorted(), "{bits} bits");
        }
    }

    #[test]
    fn every_value_is_a_mask_once() {
        let mut all: Vec<u16> = masks().iter().flatten().copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..=u16::MAX));
    }
}
