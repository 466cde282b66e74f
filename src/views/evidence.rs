//! Is there enough in a view to tell it from others?
//!
//! Photographs are not the danger: views of one have not been seen nearer than 70 bits to another. Generic pictures are: frames, charts, feeds,
//! tables are alike in their parts. What they have in common, and what altered photographs are found without:
//!
//! - Most of them is plain beside a few strong edges: at 64 x 64, most areas differ from their neighbours by less than half of the root mean
//!   square of all such differences. That is a share, so grain and pale colours do not hide it. Of 500 public photographs (BSDS500) six are
//!   plain in more than 80 % of their areas.
//! - They are made of rows and columns, and so are their hashes: the bits, as a square of signs by the frequencies down and across, have hardly
//!   more than one pattern of a row, the same or its opposite again and again. How many patterns there are is the square's effective rank, by
//!   the participation ratio of its squared singular values: 1 for a product of rows and columns, some 8 for chance. Of those photographs
//!   eight have a hash below 5.
//! - Much of their spectrum is as good as none: nested frames, which are symmetric, have 96 to 211 of 256 values that are told from none. Views
//!   through which altered photographs were found have 221 and more.

use super::plane::Level;
use crate::entry::{Pdq, VIEW_QUALITY_MIN};
use crate::hash::pdq::Spectrum;

const SIDE: usize = 64;
/// An area is plain if it differs from its neighbours by less than this share of the root mean square of such differences in the view.
const PLAIN: f32 = 0.5;
/// So many of the areas may be plain.
const PLAIN_MAX: u32 = (SIDE * SIDE * 4 / 5) as u32;

/// A spectrum's value is told from none above this share of their root mean square, and so many of the 256 must be.
const TOLD: f32 = 0.05;
const TOLD_MIN: usize = 200;

/// The rank must be at least this.
const RANK_MIN: i32 = 5;

/// Whether a spectrum says something in nearly all of its values: the bits of those that are as good as none are chance.
pub fn is_spread(spectrum: &Spectrum) -> bool {
    let values = spectrum.as_flattened();
    let squares: f32 = values.iter().map(|value| value * value).sum();
    let least = TOLD * TOLD * squares / values.len() as f32;
    values.iter().filter(|value| *value * *value > least).count() >= TOLD_MIN
}

/// Whether a hash is of more than rows and columns. Mirroring and turning by quarters leave the rank as it is, but for values at the median.
pub fn is_varied(hash: &Pdq) -> bool {
    // With a square S of signs, sum(s^2)^2 / sum(s^4) of its singular values s is |S|^4 / |S S^T|^2, by the products of its rows.
    const BITS: usize = 16;
    let rows: [u16; BITS] = std::array::from_fn(|i| (hash.0[i / 4] >> (16 * (i % 4))) as u16);
    let mut squares = 0;
    for a in &rows {
        for b in &rows {
            let product = BITS as i16 - 2 * ones(a ^ b) as i16;
            squares += i32::from(product * product);
        }
    }
    squares * RANK_MIN <= BITS.pow(4) as i32
}

/// How many bits are set, so that the compiler can make lanes of it on processors that have no instruction for it.
fn ones(bits: u16) -> u16 {
    let pairs = bits - ((bits >> 1) & 0x5555);
    let fours = (pairs & 0x3333) + ((pairs >> 2) & 0x3333);
    let bytes = (fours + (fours >> 4)) & 0x0f0f;
    (bytes + (bytes >> 8)) & 0x1f
}

/// Sums over a level's luma from its first row and column on (a summed-area table, Crow 1984): the mean over any area costs four of them.
pub struct Sums {
    width: usize,
    height: usize,
    /// In sixteenths of a level, one more in a row and column than there are pixels: a plane's fit.
    sums: Vec<i32>,
}

impl Sums {
    pub fn of(level: &Level) -> Sums {
        let (width, height) = (level.width, level.height);
        let mut sums = vec![0; (width + 1) * (height + 1)];
        for y in 0..height {
            let (before, rest) = sums.split_at_mut((y + 1) * (width + 1));
            let above = &before[y * (width + 1) + 1..];
            let mut sum = 0;
            for ((out, above), luma) in rest[1..=width].iter_mut().zip(above).zip(level.row(y)) {
                sum += (luma * 16.0) as i32;
                *out = above + sum;
            }
        }
        Sums { width, height, sums }
    }

    fn row(&self, y: usize) -> &[i32] {
        &self.sums[y * (self.width + 1)..][..=self.width]
    }

    /// Of all of it.
    pub fn quality_of_all(&self) -> Option<u8> {
        self.quality((0.0, self.width as f32), (0.0, self.height as f32))
    }

    /// PDQ's quality of a part, by means over 64 x 64 areas; `None` where the part is no evidence.
    pub fn quality(&self, (left, right): (f32, f32), (top, bottom): (f32, f32)) -> Option<u8> {
        let (columns, rows) = (areas(left, right, self.width), areas(top, bottom, self.height));
        let across = columns.map(|(left, right)| 1.0 / (right - left) as f32);
        let (first, end) = (columns[0].0, columns[SIDE - 1].1);
        let columns = columns.map(|(left, right)| (left - first, right - first));
        let mut strip = vec![0; end - first + 1];
        let (mut above, mut percents, mut squares) = ([0.0f32; SIDE], [0.0f32; SIDE], [0.0f32; SIDE]);
        // Squares of the larger difference to the left and above.
        let mut steps = [[0.0f32; SIDE]; SIDE];
        for (j, (from, to)) in rows.into_iter().enumerate() {
            for ((sum, from), to) in strip.iter_mut().zip(&self.row(from)[first..=end]).zip(&self.row(to)[first..=end]) {
                *sum = to - from;
            }
            let down = 1.0 / (16 * (to - from)) as f32;
            let (mut sums, mut means, mut beside) = ([0i32; SIDE], [0.0f32; SIDE], [0.0f32; SIDE]);
            for (sum, (left, right)) in sums.iter_mut().zip(&columns) {
                *sum = strip[*right] - strip[*left];
            }
            for i in 0..SIDE {
                means[i] = sums[i] as f32 * down * across[i];
            }
            beside[0] = means[0];
            beside[1..].copy_from_slice(&means[..SIDE - 1]);
            if j == 0 {
                above = means;
            }
            for i in 0..SIDE {
                let (x, y) = ((means[i] - beside[i]).abs(), (means[i] - above[i]).abs());
                percents[i] += whole_percents(x) + whole_percents(y);
                steps[j][i] = x.max(y) * x.max(y);
                squares[i] += steps[j][i];
            }
            above = means;
        }
        let mean = squares.iter().sum::<f32>() / (SIDE * SIDE) as f32;
        let plain: u32 = steps.as_flattened().iter().map(|step| u32::from(*step < PLAIN * PLAIN * mean)).sum();
        let sum = percents.iter().sum::<f32>() as i32;
        let quality = (sum / 90).min(100) as u8;
        (quality >= VIEW_QUALITY_MIN && plain <= PLAIN_MAX).then_some(quality)
    }
}

/// A difference in luma in whole percents, as PDQ cuts them: so that the compiler can make lanes of it, by adding what leaves a float no room for
/// a fraction.
#[inline(always)]
fn whole_percents(step: f32) -> f32 {
    const NO_FRACTION: f32 = 12_582_912.0;
    // Just less than a half, so that whole numbers stay what they are.
    let percents = step * (100.0 / 255.0) - 0.499_999;
    (percents + NO_FRACTION) - NO_FRACTION
}

/// The pixels that each of the areas touches, of an interval in which they are alike.
fn areas(from: f32, to: f32, side: usize) -> [(usize, usize); SIDE] {
    let place = |i: usize| (from + (to - from) * i as f32 / SIDE as f32).max(0.0);
    std::array::from_fn(|i| {
        let first = (place(i) as usize).min(side - 1);
        (first, (place(i + 1).ceil() as usize).clamp(first + 1, side))
    })
}
