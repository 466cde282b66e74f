//! The spectra of views: `P Y Q^T` for the matrices of two axes, and what lies beyond the plane.
//!
//! The inner loops run over arrays of 16, or over whole rows, so that the compiler can make lanes of them; every sum is taken in one order.

use super::axis::{Axis, FREQUENCIES, Row, Square};
use super::plane::Level;
use crate::hash::pdq::Spectrum;

/// What views with one interval of rows have in common: `P Y`, a row for each frequency, from column `first` on.
pub struct Shared {
    first: usize,
    width: usize,
    rows: Vec<f32>,
}

impl Shared {
    /// Of the columns from `first` to `end`.
    pub fn new(level: &Level, down: &Axis, (first, end): (usize, usize)) -> Self {
        let width = end - first;
        let mut rows = vec![0.0f32; FREQUENCIES * width];
        let mut y = down.first;
        // Four rows at a time, so that sums are loaded and stored once for four.
        for four in down.weights.chunks(4) {
            let row = |i: usize| &level.row((y + i).min(level.height - 1))[first..end];
            let weights: [Row; 4] = std::array::from_fn(|i| four.get(i).copied().unwrap_or_default());
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            for (k, sums) in rows.chunks_exact_mut(width).enumerate() {
                let (wa, wb, wc, wd) = (weights[0][k], weights[1][k], weights[2][k], weights[3][k]);
                for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *sum = *sum + wa * a + wb * b + wc * c + wd * d;
                }
            }
            y += 4;
        }
        Shared { first, width, rows }
    }

    fn row(&self, k: usize) -> &[f32] {
        &self.rows[k * self.width..][..self.width]
    }

    fn at(&self, k: usize, x: usize) -> f32 {
        self.rows[k * self.width + x - self.first]
    }
}

/// The sum of weights by values: two sums at a time, which keeps the processor busy.
fn weighted(weights: &[Row], a: &[f32], b: &[f32]) -> (Row, Row) {
    let (mut of_a, mut of_b) = ([0.0f32; FREQUENCIES], [0.0f32; FREQUENCIES]);
    for ((weights, a), b) in weights.iter().zip(a).zip(b) {
        for i in 0..FREQUENCIES {
            of_a[i] += weights[i] * a;
            of_b[i] += weights[i] * b;
        }
    }
    (of_a, of_b)
}

pub fn spectrum(level: &Level, down: &Axis, across: &Axis, shared: &Shared) -> Spectrum {
    let mut spectrum: Spectrum = [[0.0; FREQUENCIES]; FREQUENCIES];
    let columns = across.first - shared.first..across.end - shared.first;
    for k in (0..FREQUENCIES).step_by(2) {
        let (a, b) = (&shared.row(k)[columns.clone()], &shared.row(k + 1)[columns.clone()]);
        (spectrum[k], spectrum[k + 1]) = weighted(&across.weights, a, b);
    }
    let above_and_below = [(0, &down.before), (level.height - 1, &down.after)];
    let beside = [(0, &across.before), (level.width - 1, &across.after)];
    for (y, square) in above_and_below {
        let Some(square) = square else { continue };
        let edge = &level.row(y)[across.first..across.end];
        let (along, _) = weighted(&across.weights, edge, edge);
        for (row, factors) in spectrum.iter_mut().zip(square.iter()) {
            for i in 0..FREQUENCIES {
                row[i] += factors[i] * along[i];
            }
        }
        for (x, other) in beside {
            let Some(other) = other else { continue };
            corner(&mut spectrum, square, other, level.at(x, y));
        }
    }
    for (x, square) in beside {
        let Some(square) = square else { continue };
        // The square of this axis has this axis' frequency first.
        for (k, row) in spectrum.iter_mut().enumerate() {
            let value = shared.at(k, x);
            for (sum, factors) in row.iter_mut().zip(square.iter()) {
                *sum += factors[k] * value;
            }
        }
    }
    spectrum
}

/// Beyond both axes: what is at the corner, by both factors.
fn corner(spectrum: &mut Spectrum, down: &Square, across: &Square, value: f32) {
    for (k, (row, down)) in spectrum.iter_mut().zip(down).enumerate() {
        for ((sum, down), across) in row.iter_mut().zip(down).zip(across) {
            *sum += down * across[k] * value;
        }
    }
}
