//! What is left at the sampled columns and rows after the first pass down and the second pass across and down?

use super::axis::{Axis, Inside, Mean, SIDE, Samples, enter};
use crate::arch::{Kernel, LANES, Lanes};

/// The sampled columns of a band's rows.
type Narrow = [[f32; SIDE]; LANES];

/// The first pass down, and across its means the second.
pub struct SecondAcross {
    sampled: [(usize, Mean); SIDE],
    /// The first pass's, down.
    sums: Vec<Lanes>,
    inside: Inside,
    narrow: Narrow,
}

impl SecondAcross {
    pub fn new(across: Axis, tiles: usize) -> Self {
        let sampled = across.sampled().map(|entered| (entered, across.mean(entered)));
        SecondAcross { sampled, sums: vec![Lanes::ZERO; tiles], inside: Inside::new(across.size), narrow: [[0.0; SIDE]; LANES] }
    }

    /// What there is as each row of the band from `begin` on enters the box down. `means` are those of [`super::Sampling`].
    #[inline(always)]
    pub fn band<K: Kernel>(&mut self, kernel: K, begin: usize, down: Axis, means: &[Lanes]) -> &Narrow {
        let ring = down.ring();
        // What leaves may lie at the ring's end and then at its beginning.
        let (entering, leaving) = (begin % ring, (begin + ring - down.size) % ring);
        let before = LANES.min(ring - leaving);
        let divisors: [Mean; LANES] = std::array::from_fn(|i| down.mean(begin + i));
        self.inside.clear();
        let mut sums = Lanes::ZERO;
        let mut sampled = self.sampled.iter().enumerate().peekable();
        for ((sums_down, rows), x) in self.sums.iter_mut().zip(means.chunks_exact(ring)).zip((0..).step_by(LANES)) {
            let mut tile = [Lanes::ZERO; LANES];
            let entering = &rows[entering..][..LANES];
            let (first, rest) = tile.split_at_mut(before);
            means_down(kernel, sums_down, first, &entering[..before], &rows[leaving..], &divisors[..before]);
            means_down(kernel, sums_down, rest, &entering[before..], rows, &divisors[before..]);
            kernel.transpose(&tile, self.inside.next());
            for (out, (entering, leaving)) in tile.iter_mut().zip(self.inside.entering_and_leaving()) {
                enter(&mut sums, entering, leaving);
                *out = sums;
            }
            while let Some((column, (entered, mean))) = sampled.next_if(|(_, (entered, _))| *entered < x + LANES) {
                let means = mean.of(kernel, &tile[*entered - x]);
                for (narrow, mean) in self.narrow.iter_mut().zip(&means.0) {
                    narrow[column] = *mean;
                }
            }
        }
        &self.narrow
    }
}

#[inline(always)]
fn means_down<K: Kernel>(
    kernel: K,
    sums: &mut Lanes,
    out: &mut [Lanes],
    entering: &[Lanes],
    leaving: &[Lanes],
    divisors: &[Mean],
) {
    let mut own = *sums;
    for (((out, entering), leaving), divisor) in out.iter_mut().zip(entering).zip(leaving).zip(divisors) {
        enter(&mut own, entering, leaving);
        *out = divisor.of(kernel, &own);
    }
    *sums = own;
}

/// The second pass down, over the sampled columns.
pub struct LastDown {
    down: Axis,
    sampled: [usize; SIDE],
    entered: usize,
    sums: [f32; SIDE],
    inside: Vec<[f32; SIDE]>,
    samples: Samples,
    /// Rows of them that are there.
    rows: usize,
}

impl LastDown {
    pub fn new(down: Axis) -> Self {
        LastDown {
            down,
            sampled: down.sampled(),
            entered: 0,
            sums: [0.0; SIDE],
            inside: vec![[0.0; SIDE]; down.size],
            samples: [0.0; SIDE * SIDE],
            rows: 0,
        }
    }

    #[inline(always)]
    pub fn enter(&mut self, row: &[f32; SIDE]) {
        let leaving = &mut self.inside[self.entered % self.down.size];
        for ((sum, entering), leaving) in self.sums.iter_mut().zip(row).zip(leaving.iter()) {
            *sum += entering;
            *sum -= leaving;
        }
        *leaving = *row;
        while self.sampled.get(self.rows) == Some(&self.entered) {
            let count = self.down.mean(self.entered).count;
            let samples = &mut self.samples[self.rows * SIDE..][..SIDE];
            samples.iter_mut().zip(&self.sums).for_each(|(sample, sum)| *sample = sum / count);
            self.rows += 1;
        }
        self.entered += 1;
    }

    #[inline(always)]
    pub fn finish(mut self) -> Samples {
        while self.rows < SIDE {
            self.enter(&[0.0; SIDE]);
        }
        self.samples
    }
}
