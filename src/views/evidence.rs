//! Is there enough in a view to tell it from others?
//!
//! Photographs are not the danger: views of one have not been seen nearer than 70 bits to another. Generic pictures are: frames, charts, feeds,
//! tables are alike in their parts. What they have in common, and what altered photographs are found without:
//!
//! - Most of them is flat. Of views through which altered photographs were found none was flat in more than 47 %.
//! - They are made of rows and columns, and so are their hashes: the bits, as a square of signs by the frequencies down and across, have hardly
//!   more than one pattern of a row, the same or its opposite again and again. How many patterns there are is the square's effective rank, by
//!   the participation ratio of its squared singular values: 1 for a product of rows and columns, some 8 for chance, 4.7 and more for 98 % of
//!   those views. Of 500 public photographs one has a hash below 4.
//! - Much of their spectrum is as good as none: nested frames, which are symmetric, have 96 to 211 of 256 values that are told from none; those
//!   views have 221 and more.

use super::plane::Level;
use crate::entry::{Pdq, VIEW_QUALITY_MIN};
use crate::hash::pdq::Spectrum;

const SIDE: usize = 64;
/// Levels of luma between neighbours that are flat.
const FLAT: f32 = 1.0;
/// A view may be flat in half of its samples.
const FLAT_MAX: u32 = (SIDE * SIDE / 2) as u32;

/// A spectrum's value is told from none above this share of their root mean square, and so many of the 256 must be.
const TOLD: f32 = 0.05;
const TOLD_MIN: usize = 200;

/// The rank must be at least this.
const RANK_MIN: i32 = 4;

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

/// PDQ's quality of a part of a level, from 64 x 64 of its pixels; `None` where the part is no evidence.
pub fn quality(level: &Level, (left, right): (f32, f32), (top, bottom): (f32, f32)) -> Option<u8> {
    let place = |from: f32, to: f32, i: usize, side: usize| {
        ((from + (to - from) * (i as f32 + 0.5) / SIDE as f32).max(0.0) as usize).min(side - 1)
    };
    let mut columns = [0usize; SIDE];
    for (i, column) in columns.iter_mut().enumerate() {
        *column = place(left, right, i, level.width);
    }
    let mut above = [0.0f32; SIDE];
    let (mut sum, mut flat) = (0i32, 0u32);
    for j in 0..SIDE {
        let row = level.row(place(top, bottom, j, level.height));
        let mut samples = [0.0f32; SIDE];
        for (sample, column) in samples.iter_mut().zip(&columns) {
            *sample = row[*column];
        }
        if j == 0 {
            above = samples;
        }
        // The samples are luma less a mean: differences are all that counts. PDQ cuts each to whole percents.
        let mut across = [0.0f32; SIDE];
        for i in 1..SIDE {
            across[i] = (samples[i] - samples[i - 1]).abs();
        }
        for i in 0..SIDE {
            let down = (samples[i] - above[i]).abs();
            sum += (across[i] * (100.0 / 255.0)) as i32 + (down * (100.0 / 255.0)) as i32;
            flat += u32::from((down < FLAT) & (across[i] < FLAT));
        }
        above = samples;
    }
    let quality = (sum / 90).min(100) as u8;
    (quality >= VIEW_QUALITY_MIN && flat <= FLAT_MAX).then_some(quality)
}
