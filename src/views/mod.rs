//! Which views of a picture are hashed?
//!
//! A view is what the picture would have been before it was altered. Views are taken of a [`Plane`], a small luma plane that a [`Reducer`]
//! makes of the picture's rows on their way to the hashes of the whole. Which views there are depends on the plane and the limits alone.
//! So far: the picture extended beyond its edges on all sides, as if it had been cropped.

use crate::decode::{Channels, Look, Picture};
use crate::entry::{HashValue, Observation, Transform, VIEW_QUALITY_MIN, VIEW_SIDE, View, ViewKind};
use crate::hash::pdq;

/// The longer side of a plane, at most.
const PLANE_SIDE_MAX: u32 = 256;
/// What may have been cut off each side, in hundredths of the original's.
const CROPS: [u16; 6] = [1, 2, 3, 4, 5, 6];

/// What bounds the views of one plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Views of one plane, mirrors counted.
    pub plane_views_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { plane_views_max: 4_096 }
    }
}

/// A look at a frame, made small.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    width: usize,
    luma: Vec<f32>,
    frame: u32,
    look: u32,
}

/// Makes a plane of a picture's rows.
pub struct Reducer {
    factor: usize,
    width: usize,
    rows_left: usize,
    sums: Vec<f32>,
    luma: Vec<f32>,
}

impl Reducer {
    pub fn new(width: u32, height: u32) -> Self {
        let factor = width.max(height).div_ceil(PLANE_SIDE_MAX).max(1) as usize;
        let width = width as usize / factor;
        Reducer { factor, width, rows_left: factor, sums: vec![0.0; width], luma: Vec::new() }
    }

    /// Takes the next row from the top.
    pub fn row(&mut self, row: &[f32]) {
        for (sum, values) in self.sums.iter_mut().zip(row.chunks_exact(self.factor)) {
            *sum += values.iter().sum::<f32>();
        }
        self.rows_left -= 1;
        if self.rows_left == 0 {
            let pixels = (self.factor * self.factor) as f32;
            self.luma.extend(self.sums.iter_mut().map(|sum| std::mem::take(sum) / pixels));
            self.rows_left = self.factor;
        }
    }

    pub fn finish(self, frame: u32, look: u32) -> Plane {
        Plane { width: self.width, luma: self.luma, frame, look }
    }
}

/// Hashes a plane's views, as they are and mirrored.
pub fn observe(plane: &Plane, limits: &Limits, out: &mut Vec<Observation>) {
    let before = out.len();
    for percent in CROPS {
        let Some(picture) = extended(plane, percent) else { return };
        let luma = pdq::plane64(&picture.luma(Look::Stored));
        let quality = pdq::quality(&luma);
        if quality < VIEW_QUALITY_MIN {
            continue;
        }
        let beyond = (u32::from(percent) * VIEW_SIDE as u32 / (100 - 2 * u32::from(percent))) as i16;
        let view = View::upright(ViewKind::Extended, (-beyond, -beyond), (VIEW_SIDE + beyond, VIEW_SIDE + beyond));
        out.extend(Transform::ALL.into_iter().zip(pdq::hashes(&luma)).map(|(transform, hash)| Observation {
            hash: HashValue::Pdq(hash),
            transform,
            frame: plane.frame,
            look: plane.look,
            quality: Some(quality),
            view,
        }));
    }
    out.truncate(before + limits.plane_views_max as usize);
}

/// The plane as if `percent` of the original had been cut off each side: edges are repeated, faded half-way to the mean.
fn extended(plane: &Plane, percent: u16) -> Option<Picture> {
    let (width, height) = (plane.width, plane.luma.len().checked_div(plane.width)?);
    let beyond = |side: usize| (side * usize::from(percent)).div_ceil(100 - 2 * usize::from(percent));
    let (across, down) = (beyond(width), beyond(height));
    let mean = plane.luma.iter().sum::<f32>() / plane.luma.len() as f32;
    let nearest = |at: usize, by: usize, side: usize| {
        let inside = at.clamp(by, by + side - 1) - by;
        (inside, (at as f32 - (inside + by) as f32).abs() / by.max(1) as f32)
    };
    let (wide, high) = (width + 2 * across, height + 2 * down);
    let pixel = |(x, y): (usize, usize)| {
        let ((x, off_x), (y, off_y)) = (nearest(x, across, width), nearest(y, down, height));
        let value = plane.luma[y * width + x];
        (value + (mean - value) * off_x.max(off_y) / 2.0).round() as u8
    };
    let samples = (0..high).flat_map(|y| (0..wide).map(move |x| (x, y))).map(pixel).collect();
    Picture::new(wide as u32, high as u32, Channels::Grey, samples)
}
