//! The spectra of views: the frequencies down each column, and of those the frequencies across, and what lies beyond the plane.
//!
//! The inner loops run over arrays of 16, so that the compiler can make lanes of them; every sum is taken in one order.

use super::axis::{Axis, FREQUENCIES, Row, Square};
use super::plane::Level;
use crate::hash::pdq::Spectrum;

/// What views with one interval of rows have in common: the frequencies down each column, from column `first` on.
pub struct Shared {
    first: usize,
    columns: Vec<Row>,
    /// For what lies above and below the plane, by the frequency across, then down.
    above_and_below: [Option<Box<Square>>; 2],
}

impl Shared {
    /// Of the columns from `first` to `end`.
    pub fn new(level: &Level, down: &Axis, (first, end): (usize, usize)) -> Self {
        let mut columns = Vec::with_capacity(end - first + FREQUENCIES);
        for x in (first..end).step_by(FREQUENCIES) {
            // What lies to the right of the plane is of no account.
            let sixteen = |y: usize| {
                let row = &level.row(y)[x..];
                row.first_chunk().copied().unwrap_or_else(|| std::array::from_fn(|i| row.get(i).copied().unwrap_or_default()))
            };
            columns.extend(transposed(&down.frequencies::<FREQUENCIES>(sixteen)));
        }
        let turned = |square: &Option<Box<Square>>| square.as_deref().map(|square| Box::new(transposed(square)));
        Shared { first, columns, above_and_below: [turned(&down.before), turned(&down.after)] }
    }

    fn at(&self, x: usize) -> &Row {
        &self.columns[x - self.first]
    }
}

/// An interval of columns, with the frequencies of the plane's first and last row in it, which lie beside what is beyond.
pub struct Across {
    pub axis: Axis,
    edges: [Row; 2],
}

impl Across {
    pub fn new(level: &Level, ends: (f32, f32), fade: f32) -> Self {
        let axis = Axis::new(level.width, level.height, ends, fade);
        let (top, bottom) = (level.row(0), level.row(level.height - 1));
        let edges = axis.frequencies(|x| [top[x], bottom[x]]);
        Across { axis, edges: [0, 1].map(|edge| edges.map(|of| of[edge])) }
    }
}

pub fn spectrum(level: &Level, across: &Across, shared: &Shared) -> Spectrum {
    let axis = &across.axis;
    // By the frequency across, then down.
    let mut spectrum = axis.frequencies(|x| *shared.at(x));
    let beside = [(0, &axis.before), (level.width - 1, &axis.after)];
    for (x, square) in beside {
        let Some(square) = square else { continue };
        let edge = shared.at(x);
        for (sums, factors) in spectrum.iter_mut().zip(square.iter()) {
            for i in 0..FREQUENCIES {
                sums[i] += factors[i] * edge[i];
            }
        }
    }
    for (n, y) in [0, level.height - 1].into_iter().enumerate() {
        let Some(square) = &shared.above_and_below[n] else { continue };
        for (m, (sums, factors)) in spectrum.iter_mut().zip(square.iter()).enumerate() {
            let mut values = [across.edges[n][m]; FREQUENCIES];
            // Beyond both axes: what is at the corner, by both factors.
            for (x, other) in beside {
                let Some(other) = other else { continue };
                for i in 0..FREQUENCIES {
                    values[i] += other[m][i] * level.at(x, y);
                }
            }
            for i in 0..FREQUENCIES {
                sums[i] += factors[i] * values[i];
            }
        }
    }
    transposed(&spectrum)
}

fn transposed(square: &Square) -> Square {
    std::array::from_fn(|i| std::array::from_fn(|j| square[j][i]))
}
