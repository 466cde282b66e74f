//! How does a box run along an axis of a picture?

use crate::arch::{Kernel, LANES, Lanes};

/// Samples along each axis.
pub const SIDE: usize = 64;

/// By row, then column.
pub type Samples = [f32; SIDE * SIDE];

/// Sees the rows of a picture's luma, from the top.
pub type EachRow<'r> = &'r mut dyn FnMut(&[f32]);

/// An axis and its box. Once input `i` has entered, the box holds the inputs from `i + 1 - size` to `i`, those that exist; their mean is the
/// output `i + 1 - ahead`.
#[derive(Clone, Copy)]
pub struct Axis {
    pub side: usize,
    pub size: usize,
    pub ahead: usize,
}

impl Axis {
    /// Half of a sample's share of the axis, rounded up: two passes then cover a whole one.
    pub fn new(side: usize) -> Self {
        let size = side.div_ceil(2 * SIDE);
        Axis { side, size, ahead: (size + 2) / 2 }
    }

    /// How many enter until every output was there.
    pub fn steps(self) -> usize {
        self.side + self.ahead - 1
    }

    /// Which output there is once `entered` has, if any.
    pub fn output(self, entered: usize) -> Option<usize> {
        (entered + 1).checked_sub(self.ahead).filter(|output| *output < self.side)
    }

    /// What makes means of the sums once `entered` has.
    pub fn mean(self, entered: usize) -> Mean {
        let left = (entered + 1).saturating_sub(self.size).min(self.side);
        // None is inside far beyond the end, where nothing is read.
        let count = ((entered + 1).min(self.side) - left).max(1) as f32;
        Mean { count, inverse: 1.0 / count }
    }

    /// What has entered when the output in the middle of each of 64 parts of the axis is there.
    pub fn sampled(self) -> [usize; SIDE] {
        std::array::from_fn(|i| ((i as f64 + 0.5) * self.side as f64 / SIDE as f64) as usize + self.ahead - 1)
    }

    /// Room for what is inside the box and `LANES` that enter it, in whole `LANES`.
    pub fn ring(self) -> usize {
        (self.size + LANES).next_multiple_of(LANES)
    }
}

/// How many the box holds.
#[derive(Clone, Copy)]
pub struct Mean {
    pub count: f32,
    pub inverse: f32,
}

impl Mean {
    #[inline(always)]
    pub fn of<K: Kernel>(self, kernel: K, sums: &Lanes) -> Lanes {
        Lanes(sums.0.map(|sum| kernel.quotient(sum, self.count, self.inverse)))
    }
}

#[inline(always)]
pub fn enter(sums: &mut Lanes, entering: &Lanes, leaving: &Lanes) {
    for ((sum, entering), leaving) in sums.0.iter_mut().zip(&entering.0).zip(&leaving.0) {
        *sum += entering;
        *sum -= leaving;
    }
}

/// What is inside a box, until it leaves.
pub struct Inside {
    size: usize,
    /// In order, up to `end`. Those still inside are moved to the front when the end is reached.
    entered: Vec<Lanes>,
    end: usize,
}

impl Inside {
    pub fn new(size: usize) -> Self {
        Inside { size, entered: vec![Lanes::ZERO; size + 8 * LANES], end: size }
    }

    /// Nothing but zeros is inside.
    pub fn clear(&mut self) {
        self.end = self.size;
        self.entered[..self.size].fill(Lanes::ZERO);
    }

    /// Where the next `LANES` to enter are written.
    #[inline(always)]
    pub fn next(&mut self) -> &mut [Lanes] {
        if self.end + LANES > self.entered.len() {
            self.entered.copy_within(self.end - self.size..self.end, 0);
            self.end = self.size;
        }
        self.end += LANES;
        &mut self.entered[self.end - LANES..self.end]
    }

    /// Those, each with what leaves as it enters.
    #[inline(always)]
    pub fn entering_and_leaving(&self) -> impl Iterator<Item = (&Lanes, &Lanes)> {
        // Of a length that the compiler knows.
        let last = self.end - LANES;
        self.entered[last..][..LANES].iter().zip(&self.entered[last - self.size..][..LANES])
    }
}
