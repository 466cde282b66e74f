//! What do 64x64 samples look like at a few places, by Lanczos3?
//!
//! As the `image` crate resizes, to the bit, so that the 64-bit hashes stay what they are: weights in `f32`, from a window of three lobes at the
//! scale of what is made; first down, then across, each a sum in order; rounded in the end. It makes its weights for every picture and takes a
//! hundred microseconds for the two hashes, a tenth of all that is done for a small JPEG; here they are made once.

use std::sync::LazyLock;

use super::pdq::Luma64;
use super::tent::SIDE;
use crate::arch::{self, Kernel, Work};

/// What one place is made of: samples from `first` on, with the weight of each.
struct Place {
    first: usize,
    weights: Vec<f32>,
}

/// Samples shrunk to `N` places along an axis.
pub struct Shrink<const N: usize>([Place; N]);

impl<const N: usize> Shrink<N> {
    pub fn new() -> Self {
        let ratio = SIDE as f32 / N as f32;
        Shrink(std::array::from_fn(|place| {
            let middle = (place as f32 + 0.5) * ratio;
            let first = (middle - 3.0 * ratio).floor().max(0.0) as usize;
            let end = ((middle + 3.0 * ratio).ceil() as usize).min(SIDE);
            let mut weights: Vec<f32> = (first..end).map(|i| lanczos3((i as f32 - (middle - 0.5)) / ratio)).collect();
            // From zero upwards, which `Iterator::sum` of floats does not promise.
            let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
            weights.iter_mut().for_each(|weight| *weight /= sum);
            Place { first, weights }
        }))
    }

    /// Rows to `N` rows.
    #[inline(always)]
    fn rows<const W: usize>(&self, rows: &[[f32; W]; SIDE]) -> [[f32; W]; N] {
        let mut out = [[0.0; W]; N];
        for (out, Place { first, weights }) in out.iter_mut().zip(&self.0) {
            for (row, weight) in rows[*first..].iter().zip(weights) {
                for (sum, value) in out.iter_mut().zip(row) {
                    *sum += value * weight;
                }
            }
        }
        out
    }
}

fn lanczos3(x: f32) -> f32 {
    let sinc = |t: f32| {
        let a = t * std::f32::consts::PI;
        if t == 0.0 { 1.0 } else { a.sin() / a }
    };
    if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

static EIGHT: LazyLock<Shrink<8>> = LazyLock::new(Shrink::new);
static NINE: LazyLock<Shrink<9>> = LazyLock::new(Shrink::new);
static SIXTEEN: LazyLock<Shrink<16>> = LazyLock::new(Shrink::new);

/// 9 columns and 8 rows, row by row.
pub fn nine_by_eight(luma: &Luma64) -> Vec<u8> {
    arch::best().run(Shrunk { luma, rows: &EIGHT, columns: &NINE })
}

pub fn sixteen_by_sixteen(luma: &Luma64) -> Vec<u8> {
    arch::best().run(Shrunk { luma, rows: &SIXTEEN, columns: &SIXTEEN })
}

struct Shrunk<'a, const W: usize, const H: usize> {
    luma: &'a Luma64,
    rows: &'a Shrink<H>,
    columns: &'a Shrink<W>,
}

impl<const W: usize, const H: usize> Work for Shrunk<'_, W, H> {
    type Out = Vec<u8>;

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> Vec<u8> {
        let mut samples = [[0.0f32; SIDE]; SIDE];
        for (out, sample) in samples.as_flattened_mut().iter_mut().zip(self.luma.samples()) {
            *out = sample.round().clamp(0.0, 255.0);
        }
        let few = transposed(&self.columns.rows(&transposed(&self.rows.rows(&samples))));
        few.as_flattened().iter().map(|value| value.clamp(0.0, 255.0).round() as u8).collect()
    }
}

#[inline(always)]
fn transposed<const W: usize, const H: usize>(rows: &[[f32; W]; H]) -> [[f32; H]; W] {
    let mut out = [[0.0; H]; W];
    for (y, row) in rows.iter().enumerate() {
        for (out, value) in out.iter_mut().zip(row) {
            out[y] = *value;
        }
    }
    out
}
