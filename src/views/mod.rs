//! What may this picture have been before it was altered?
//!
//! A *view* is an answer to that: more than is left of a cropped picture ([`extended`]), a part of it between straight edges ([`windows`]), the
//! picture turned back ([`turned`]). Each view has a PDQ hash of its own. Views are taken of a [`Plane`], a small luma plane of one rendering of
//! one frame. Positions are in the plane's pixels; a view says where it lies in shares of the picture.
//!
//! Taking a hash is linear but for its last step, and separable: box filters, samples and cosines make one small matrix for each axis ([`axis`]).
//! A view changes that matrix, not the plane, so views that share an interval of rows share most of the work ([`spectra`]).
//!
//! A view is looked up only if there is enough in it ([`evidence`]).
//!
//! Invariant: which views there are, and their hashes, depend on the picture and the limits alone: no clock, no chance, and the same floats
//! in the same order on every processor. So sines and exponentials are those of `libm`: a system's own differ by processor. Hashes of views are within some 7 bits of what the reference gives for the same pixels: good enough to
//! be looked up with a radius, and never used for the whole picture. Absent: which views count (the lists' policies say so).

mod axis;
mod evidence;
mod extended;
mod plane;
mod spectra;
mod steps;
mod turned;
mod windows;

use std::collections::HashSet;

use evidence::Sums;

use crate::entry::options::options;
use crate::entry::{HashValue, Observation, Pdq, Transform, View, ViewKind};
use crate::hash::pdq::{self, Spectrum};

pub use plane::{PLANE_BYTES_MAX, PLANE_PIXELS_MAX, Plane, Reducer};

options! {
    /// How many views a plane may have, by class; each is looked up as it is and mirrored.
    #[derive(Eq)]
    pub struct Limits {
        pub extended_max: u32 = 700, in 0..=10_000;
        pub windows_max: u32 = 240, in 0..=10_000;
        pub turned_max: u32 = 40, in 0..=10_000;
    }
}

/// A side of a view must have this many pixels of the picture.
const SOURCE_SIDE_MIN: f32 = 64.0;
/// A picture that is smaller than this along an axis of its plane has no views: little of it is left to be told apart.
const PLANE_SIDE_MIN: usize = 32;

/// Upright or with left and right swapped.
const MIRRORED: [Transform; 2] = [Transform::Identity, Transform::FlipY];

/// The views of a plane, each with its transforms.
pub fn observe(plane: &Plane, limits: &Limits, out: &mut Vec<Observation>) {
    if plane.fine.width.min(plane.fine.height) < PLANE_SIDE_MIN || plane.source_side_min() < SOURCE_SIDE_MIN {
        return;
    }
    let mut views = Views { plane, known: HashSet::new(), out };
    let [small, medium] = plane::SIDES.map(|side| plane.fine.reduced(side));
    let levels = [&plane.fine, &medium, &small];
    let lines = steps::Lines::of(&plane.fine);
    let windows = windows::find(&levels, plane, &lines, limits.windows_max as usize);
    // What is filled in beyond a picture's edges is no evidence: for views that reach beyond them, what is there decides.
    let mut left = limits.extended_max as usize;
    if let Some(whole) = Sums::of(&small).quality_of_all() {
        left = extended::find(&small, plane, &lines, whole, left, &mut views);
        turned::find_blindly(&small, whole, limits.turned_max as usize, &mut views);
    }
    extended::find_in_windows(&levels, windows::best(&windows), left, &mut views);
    windows::add(&levels, windows, &mut views);
    if limits.turned_max > 0 {
        turned::find_by_corners(&small, &mut views);
    }
}

/// Collects views, each hash once.
struct Views<'a> {
    plane: &'a Plane,
    known: HashSet<Pdq>,
    out: &'a mut Vec<Observation>,
}

impl Views<'_> {
    fn add(&mut self, view: View, spectrum: &Spectrum, quality: u8, transforms: &[Transform]) {
        if !evidence::is_spread(spectrum) {
            return;
        }
        for transform in transforms {
            let hash = pdq::hash_of(spectrum, *transform);
            // What holds for one holds for all, but for values at the median.
            if *transform == transforms[0] && !evidence::is_varied(&hash) {
                return;
            }
            if self.known.insert(hash) {
                let (frame, rendering) = (self.plane.frame, self.plane.rendering);
                let hash = HashValue::Pdq(hash);
                self.out.push(Observation { hash, transform: *transform, frame, rendering, quality: Some(quality), view });
            }
        }
    }
}

/// A view that is not turned, by its ends in shares of the picture.
fn upright(kind: ViewKind, (left, right): (f32, f32), (top, bottom): (f32, f32)) -> View {
    View::upright(kind, (share(left), share(top)), (share(right), share(bottom)))
}

/// Pixels, from shares of a side.
fn times((begin, end): (f32, f32), side: usize) -> (f32, f32) {
    (begin * side as f32, end * side as f32)
}

/// Ten-thousandths.
fn share(of: f32) -> i16 {
    (of * 10_000.0).round() as i16
}

#[cfg(test)]
mod tests;
