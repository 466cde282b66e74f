//! One axis of a view as a matrix: from the plane's pixels to 16 frequencies.
//!
//! Source: the PDQ paper's filter, samples and DCT (see `hash::pdq`), composed. A sample is a mean under a tent as wide as the samples lie
//! apart. As the reference puts them, samples lie a little ahead of the middle of their share of the axis: by none to an eighth of it, as the
//! picture's size has it. What size the listed picture had is not known, so a sixteenth is taken.

use std::f64::consts::PI;
use std::sync::LazyLock;

pub const FREQUENCIES: usize = 16;
const SAMPLES: usize = 64;
const AHEAD: f32 = 0.06;

pub type Row = [f32; FREQUENCIES];
/// By the frequency along this axis, then along the other.
pub type Square = [Row; FREQUENCIES];

/// An interval of an axis, which may reach beyond its ends.
pub struct Axis {
    /// The pixels that it has a part in.
    pub first: usize,
    pub end: usize,
    /// For each of them.
    pub weights: Vec<Row>,
    /// For what lies before the first pixel of the axis: its value, times this. It takes both frequencies: see [`kept`].
    pub before: Option<Box<Square>>,
    pub after: Option<Box<Square>>,
}

/// `cos(pi (k + 1) (2 j + 1) / 128)` for sample j and frequency k.
static COSINES: LazyLock<[Row; SAMPLES]> = LazyLock::new(|| {
    std::array::from_fn(|j| std::array::from_fn(|k| libm::cos(PI / 128.0 * (k + 1) as f64 * (2 * j + 1) as f64) as f32))
});

/// How much of what is at an edge is expected at a distance beyond it, for a frequency along the edge (half periods in its length) and a
/// distance in shares of that length.
///
/// Fitted on 200 public photographs. The best linear guess from the last 32 rows is hardly better than one from the last row alone, and that falls
/// like this.
pub fn kept(frequency: usize, distance: f32) -> f32 {
    libm::expf(-2.0 * frequency as f32 * distance)
}

/// The part of a tent of half-width 1 about 0 that lies below `x`.
fn below(x: f32) -> f32 {
    let x = x.clamp(-1.0, 1.0);
    if x < 0.0 { (1.0 + x) * (1.0 + x) / 2.0 } else { 1.0 - (1.0 - x) * (1.0 - x) / 2.0 }
}

impl Axis {
    /// The interval from `begin` to `end` of an axis of `side` pixels; the other axis has `other`.
    pub fn new(side: usize, other: usize, (begin, end): (f32, f32)) -> Axis {
        let first = begin.max(0.0) as usize;
        let last = (end.max(0.0).ceil() as usize).min(side).max(first);
        let mut weights = vec![[0.0f32; FREQUENCIES]; last - first];
        let side_f = side as f32;
        let mut before = (begin < -1e-3).then(Box::<Square>::default);
        let mut after = (end > side_f + 1e-3).then(Box::<Square>::default);
        let step = (end - begin) / SAMPLES as f32;
        let half = step / 2.0;
        for (j, cosines) in COSINES.iter().enumerate() {
            let middle = begin + (j as f32 + 0.5 + AHEAD) * step;
            // Within the interval, as the reference's boxes stay within the picture.
            let (from, to) = ((middle - half).max(begin), (middle + half).min(end));
            let mass = |from: f32, to: f32| below((to - middle) / half) - below((from - middle) / half);
            let whole = mass(from, to);
            let (low, high) = ((from.max(first as f32) as usize).min(last), (to.max(0.0).ceil() as usize).min(last));
            for i in low..high {
                let weight = mass(from.max(i as f32), to.min((i + 1) as f32)).max(0.0) / whole;
                for (sum, cosine) in weights[i - first].iter_mut().zip(cosines) {
                    *sum += cosine * weight;
                }
            }
            if let Some(before) = before.as_mut().filter(|_| from < 0.0) {
                let distance = (-middle).max(step / 4.0) / other as f32;
                beyond(before, cosines, mass(from, to.min(0.0)) / whole, distance);
            }
            if let Some(after) = after.as_mut().filter(|_| to > side_f) {
                let distance = (middle - side_f).max(step / 4.0) / other as f32;
                beyond(after, cosines, mass(from.max(side_f), to) / whole, distance);
            }
        }
        Axis { first, end: last, weights, before, after }
    }
}

/// Adds one sample beyond an end.
fn beyond(square: &mut Square, cosines: &Row, weight: f32, distance: f32) {
    let kept: Row = std::array::from_fn(|m| weight * kept(m + 1, distance));
    for (row, cosine) in square.iter_mut().zip(cosines) {
        for (sum, kept) in row.iter_mut().zip(&kept) {
            *sum += cosine * kept;
        }
    }
}
