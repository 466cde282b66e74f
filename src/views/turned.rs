//! Views turned back by a small angle.
//!
//! Two things are tried: a few angles either way, as if what the turn pushed out had been cut off, or as if nothing had been; and, where the corners have one
//! colour, the angle at which a rectangle fits most closely around all that has another.

use super::axis::{Axis, FADES, kept};
use super::evidence::Sums;
use super::plane::{Level, fixed};
use super::spectra::{Across, Shared, spectrum};
use super::{MIRRORED, Views, share};
use crate::entry::{Transform, View, ViewKind};

/// Degrees. PDQ bears 0.75, and less where much of the picture is filled in.
const CUT: [f32; 8] = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5];
/// Turned within the same frame, which hides the corners alone.
const KEPT: [f32; 5] = [2.0, 3.0, 4.0, 5.0, 6.0];
/// The longer side of a turned view, in pixels.
const SIDE: f32 = 128.0;
/// The frequency that stands for all in what lies beyond the edges, which do not lie along the view's axes.
const FREQUENCY: usize = 4;
/// What is filled in beyond each edge, in shares of the longer side.
const MARGIN: f32 = 0.15;
/// Levels of luma within which corners have one colour, and beyond which the picture has another.
const ALIKE: f32 = 12.0;
const OTHER: f32 = 14.0;
/// Every so many pixels are looked at, in both directions, where areas are compared.
const STRIDE: usize = 3;

/// A rectangle by its middle, its sides and its angle (degrees, clockwise as rows go down).
#[derive(Debug, Clone, Copy)]
struct Frame {
    middle: (f32, f32),
    sides: (f32, f32),
    degrees: f32,
}

/// A few angles either way. `whole` is the quality of the picture as it is.
pub fn find_blindly(level: &Level, whole: u8, max: usize, views: &mut Views<'_>) {
    let (width, height) = (level.width as f32, level.height as f32);
    let middle = (width / 2.0, height / 2.0);
    let cut = CUT.into_iter().flat_map(|degrees| [degrees, -degrees]).map(|degrees| {
        // The picture whose largest upright part of its own shape, once it is turned, is this one.
        let (sin, cos) = libm::sincosf(degrees.abs().to_radians());
        let zoom = (cos + sin * height / width).max(cos + sin * width / height);
        Frame { middle, sides: (width * zoom, height * zoom), degrees }
    });
    let kept = KEPT.into_iter().flat_map(|degrees| [degrees, -degrees]);
    let kept = kept.map(|degrees| Frame { middle, sides: (width, height), degrees });
    let padded = Padded::of(level);
    // All are of one shape.
    let size = size((width, height));
    let mut axes = None;
    for frame in cut.chain(kept).take(max) {
        let turned = padded.upright(frame, size);
        let (across, down) = axes.get_or_insert_with(|| axes_of(&turned));
        let shared = Shared::new(&turned, down, (0, turned.width));
        views.add(view(level, frame), &spectrum(&turned, across, &shared), whole, &MIRRORED);
    }
}

/// What lies between corners of one colour, in every way that it may be turned by quarters and mirrored: which of its sides was the top isn't known.
pub fn find_by_corners(level: &Level, views: &mut Views<'_>) {
    let Some(frame) = between_filled_corners(level) else { return };
    let turned = Padded::of(level).upright(frame, size(frame.sides));
    let Some(quality) = Sums::of(&turned).quality_of_all() else { return };
    let (across, down) = axes_of(&turned);
    let shared = Shared::new(&turned, &down, (0, turned.width));
    views.add(view(level, frame), &spectrum(&turned, &across, &shared), quality, &Transform::ALL);
}

/// The columns and rows that a frame with these sides is turned upright in.
fn size((width, height): (f32, f32)) -> (usize, usize) {
    let of = |side: f32| ((side * SIDE / width.max(height)).round() as usize).max(16);
    (of(width), of(height))
}

/// Across and down.
fn axes_of(level: &Level) -> (Across, Axis) {
    let (width, height) = (level.width, level.height);
    let [fade, _] = FADES;
    (Across::new(level, (0.0, width as f32), fade), Axis::new(height, width, (0.0, height as f32), fade))
}

/// A level with a margin that frames do not count.
struct Padded {
    level: Level,
    margin: f32,
}

impl Padded {
    fn of(level: &Level) -> Self {
        let longer = level.width.max(level.height) as f32;
        let margin = (longer * MARGIN) as usize;
        Padded { level: level.padded(margin, |distance| kept(FREQUENCY, distance / longer, FADES[0])), margin: margin as f32 }
    }

    /// What is in a frame, turned upright, in so many columns and rows.
    fn upright(&self, frame: Frame, (columns, rows): (usize, usize)) -> Level {
        let (width, height) = frame.sides;
        let (sin, cos) = libm::sincosf(frame.degrees.to_radians());
        let (x, y) = (frame.middle.0 + self.margin, frame.middle.1 + self.margin);
        // A column's and a row's step.
        let (along, down) = (width / columns as f32, height / rows as f32);
        let (step_x, step_y) = (fixed(cos * along), fixed(sin * along));
        let u = (0.5 - columns as f32 / 2.0) * along;
        let mut luma = vec![0.0f32; columns * rows];
        for (j, row) in luma.chunks_exact_mut(columns).enumerate() {
            let v = (j as f32 + 0.5 - rows as f32 / 2.0) * down;
            let (mut x, mut y) = (fixed(x + cos * u - sin * v), fixed(y + sin * u + cos * v));
            for value in row {
                *value = self.level.between(x, y);
                (x, y) = (x + step_x, y + step_y);
            }
        }
        Level::new(columns, rows, luma)
    }
}

fn view(level: &Level, frame: Frame) -> View {
    let (sin, cos) = libm::sincosf(frame.degrees.to_radians());
    let corner = |u: f32, v: f32| {
        let (u, v) = (u * frame.sides.0 / 2.0, v * frame.sides.1 / 2.0);
        let (x, y) = (frame.middle.0 + cos * u - sin * v, frame.middle.1 + sin * u + cos * v);
        (share(x / level.width as f32), share(y / level.height as f32))
    };
    let corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
    View { kind: ViewKind::Turned, corners, degrees: (-frame.degrees * 100.0).round() as i16 }
}

/// A turned picture whose corners, and what lies beyond its sides, have one colour.
fn between_filled_corners(level: &Level) -> Option<Frame> {
    let colour = corners(level)?;
    let rim = rim(level, |x, y| (level.at(x, y) - colour).abs() > OTHER);
    if rim.len() < 40 {
        return None;
    }
    let around = Around { level, rim };
    let upright = around.at(0.0).1;
    let nearest = |angles: &mut dyn Iterator<Item = f32>| {
        angles.map(|degrees| (around.at(degrees).1, degrees)).min_by(|a, b| a.0.cmp(&b.0)).map_or(0.0, |(_, degrees)| degrees)
    };
    let mut best = nearest(&mut (-44..=44i16).step_by(2).filter(|degrees| *degrees != 0).map(f32::from));
    for step in [1.0, 0.5, 0.25] {
        best = nearest(&mut [best, best - step, best + step].into_iter());
    }
    let (frame, covered) = around.at(best);
    (covered as f32 <= 0.985 * upright as f32 && frame.sides.0.min(frame.sides.1) >= 16.0).then_some(frame)
}

/// The colour that at least three corners have.
fn corners(level: &Level) -> Option<f32> {
    const PATCH: usize = 3;
    let patch = |left: usize, top: usize| {
        let mut luma: [f32; PATCH * PATCH] = std::array::from_fn(|i| level.at(left + i % PATCH, top + i / PATCH));
        luma.sort_by(f32::total_cmp);
        luma[PATCH * PATCH / 2]
    };
    let (right, bottom) = (level.width.checked_sub(PATCH)?, level.height.checked_sub(PATCH)?);
    let mut four = [patch(0, 0), patch(right, 0), patch(0, bottom), patch(right, bottom)];
    four.sort_by(f32::total_cmp);
    four.windows(3).find(|three| three[2] - three[0] <= ALIKE).map(|three| three[1])
}

/// The first and last two pixels in a row that are on, of each row and column.
fn rim(level: &Level, on: impl Fn(usize, usize) -> bool) -> Vec<(f32, f32)> {
    let mut rim = Vec::with_capacity(2 * (level.width + level.height));
    for y in 0..level.height {
        let first = (1..level.width).find(|x| on(x - 1, y) && on(*x, y));
        let last = (1..level.width).rev().find(|x| on(x - 1, y) && on(*x, y));
        let place = y as f32 + 0.5;
        rim.extend(first.map(|x| (x as f32 - 1.0, place)));
        rim.extend(last.map(|x| (x as f32 + 1.0, place)));
    }
    for x in 0..level.width {
        let first = (1..level.height).find(|y| on(x, y - 1) && on(x, *y));
        let last = (1..level.height).rev().find(|y| on(x, y - 1) && on(x, *y));
        let place = x as f32 + 0.5;
        rim.extend(first.map(|y| (place, y as f32 - 1.0)));
        rim.extend(last.map(|y| (place, y as f32 + 1.0)));
    }
    rim
}

struct Around<'a> {
    level: &'a Level,
    rim: Vec<(f32, f32)>,
}

impl Around<'_> {
    /// The frame around the rim at an angle, but for a few points, and how much of the picture it covers.
    fn at(&self, degrees: f32) -> (Frame, usize) {
        let (sin, cos) = libm::sincosf(degrees.to_radians());
        let (x0, y0) = (self.level.width as f32 / 2.0, self.level.height as f32 / 2.0);
        let along = |(x, y): (f32, f32)| ((x - x0) * cos + (y - y0) * sin, (y - y0) * cos - (x - x0) * sin);
        let stray = (self.rim.len() / 200).max(1);
        let ends = |mut places: Vec<f32>| {
            let last = places.len() - 1 - stray;
            let first = *places.select_nth_unstable_by(stray, f32::total_cmp).1;
            (first, *places.select_nth_unstable_by(last, f32::total_cmp).1)
        };
        let u = ends(self.rim.iter().map(|point| along(*point).0).collect());
        let v = ends(self.rim.iter().map(|point| along(*point).1).collect());
        let mut covered = 0;
        for y in (1..self.level.height).step_by(STRIDE) {
            for x in (1..self.level.width).step_by(STRIDE) {
                let (a, b) = along((x as f32, y as f32));
                covered += usize::from(a >= u.0 && a <= u.1 && b >= v.0 && b <= v.1);
            }
        }
        let (a, b) = ((u.0 + u.1) / 2.0, (v.0 + v.1) / 2.0);
        let middle = (x0 + a * cos - b * sin, y0 + a * sin + b * cos);
        (Frame { middle, sides: (u.1 - u.0, v.1 - v.0), degrees }, covered)
    }
}
