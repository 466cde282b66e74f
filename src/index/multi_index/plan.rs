//! How a radius is dealt out among the halves, and what a look-up by that plan should cost.
//!
//! Budgets add up to r + 1, so that the distances of a row within r, less the budgets, add up to less than 0 round the ring; then there is a half
//! from which on every running sum is below 0 (the cycle lemma). A budget of 0 means that no such run begins there: its table is not opened.

use super::halves::HALVES_MAX;
use std::sync::LazyLock;

/// What a look-up pays for a list, for each posting in it and for each survivor, and a scan for each row, in picoseconds. Measured on an
/// AMD EPYC (Zen 3) with AVX2. Only their ratios matter, and only to speed.
pub(super) const LIST_PS: u64 = 25_000;
pub(super) const POSTING_PS: u64 = 400;
pub(super) const SURVIVOR_PS: u64 = 40_000;
pub(in crate::index) const ROW_PS: u64 = 2_200;

#[derive(Debug, Default)]
pub(in crate::index) struct Plan {
    pub bits: u16,
    pub radius: u16,
    /// By half.
    pub budgets: [u16; HALVES_MAX],
    /// Expected on rows spread evenly: lists opened, and postings streamed and survivors per row.
    lists: u64,
    postings_per_row: f64,
    survivors_per_row: f64,
}

impl Plan {
    /// A plan for hashes of `bits` bits; `radius` is at most `bits`.
    pub fn new(bits: u16, radius: u16) -> Self {
        let n = bits / 16;
        let mut plan = Plan { bits, radius, ..Plan::default() };
        for half in 0..n {
            plan.budgets[usize::from(half)] = (radius + 1) / n + u16::from(half < (radius + 1) % n);
        }
        for half in 0..usize::from(n) {
            plan.expect(plan.budgets[half], plan.budgets[(half + 1) % usize::from(n)]);
        }
        plan
    }

    /// The budgets of three halves, from half `i` of `n` on.
    #[inline(always)]
    pub fn budgets_from(&self, i: usize, n: usize) -> [u16; 3] {
        [0, 1, 2].map(|more| self.budgets[(i + more) % n])
    }

    /// Picoseconds on `rows` rows spread evenly.
    pub fn cost_ps(&self, rows: usize) -> u64 {
        let per_row = self.postings_per_row * POSTING_PS as f64 + self.survivors_per_row * SURVIVOR_PS as f64;
        self.lists * LIST_PS + (rows as f64 * per_row) as u64
    }

    fn expect(&mut self, own: u16, next: u16) {
        let values = f64::from(1u32 << 16);
        for distance in 0..own.min(17) {
            let lists = masks()[usize::from(distance)].len() as u64;
            let others: usize = masks().iter().take(usize::from(own + next - distance)).map(|m| m.len()).sum();
            self.lists += lists;
            self.postings_per_row += lists as f64 / values;
            self.survivors_per_row += lists as f64 / values * others as f64 / values;
        }
    }
}

/// All 16-bit values by their number of ones.
pub(super) fn masks() -> &'static [Vec<u16>; 17] {
    static MASKS: LazyLock<[Vec<u16>; 17]> =
        LazyLock::new(|| std::array::from_fn(|ones| (0..=u16::MAX).filter(|mask| mask.count_ones() as usize == ones).collect()));
    &MASKS
}

/// What a look-up pays for so many lists with so many postings.
#[inline(always)]
pub(super) fn lists_ps(lists: u64, postings: u64) -> u64 {
    lists * LIST_PS + postings * POSTING_PS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_add_up_to_the_radius_plus_one() {
        for bits in [64, 256] {
            for radius in 0..=bits {
                let budgets = Plan::new(bits, radius).budgets;
                assert_eq!(budgets.iter().sum::<u16>(), radius + 1, "{bits} bits");
                assert!(budgets[usize::from(bits / 16)..].iter().all(|budget| *budget == 0));
            }
        }
    }

    #[test]
    fn radius_31_of_256_opens_seventeen_lists_in_each_of_sixteen_tables() {
        let plan = Plan::new(256, 31);
        assert_eq!(plan.budgets, [2; 16]);
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
