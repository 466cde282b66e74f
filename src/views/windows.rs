//! Views between straight edges: undo padding, letterboxes, captions, screenshots, collages, insets.
//!
//! Lines are looked for where a step runs along much of a row or column. Four of them, or the picture's borders, make a window if each side
//! is a step along much of its own length. The windows with the plainest sides are taken.

use super::axis::Axis;
use super::evidence::Sums;
use super::plane::{Level, Levels, Plane};
use super::spectra::{Across, Shared, spectrum};
use super::steps::{Lines, SIDE};
use super::{MIRRORED, SOURCE_SIDE_MIN, Views, upright};
use crate::entry::ViewKind;

/// What a border of the picture counts as.
const BORDER: f32 = 0.6;
/// A window has at least this share of each side of the picture, and so many pixels of the plane.
const PART_MIN: usize = 6;
const PIXELS_MIN: usize = 24;
/// Ends that lie this near, in shares of a window's side, are one.
const NEAR: f32 = 0.006;
/// Differences that still count as one colour, where a frame of one colour is taken off.
const PLAIN: [f32; 3] = [3.0, 8.0, 20.0];
/// A window's longer side has at least so many pixels where it is hashed, if the plane has them.
const HASHED_SIDE: usize = 112;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Window {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    score: f32,
}

impl Window {
    /// Whether one of them is as good as both: PDQ bears twice as much at an end.
    fn is_near(&self, other: &Window) -> bool {
        let off = |a: usize, b: usize, side: usize| a.abs_diff(b) as f32 <= (NEAR * side as f32).max(1.0);
        let (across, down) = (other.right - other.left, other.bottom - other.top);
        off(self.left, other.left, across)
            && off(self.right, other.right, across)
            && off(self.top, other.top, down)
            && off(self.bottom, other.bottom, down)
    }
}

pub fn find(levels: &Levels<'_>, plane: &Plane, lines: &Lines, max: usize, views: &mut Views<'_>) {
    let fine = levels[0];
    let mut windows = windows(fine, lines, max, (SOURCE_SIDE_MIN / plane.scale).ceil() as usize);
    windows.sort_by_key(|w| (w.top, w.bottom, w.left, w.right));
    // Each is hashed where it has enough pixels and no more.
    let share = |w: &Window| (w.right - w.left).max(w.bottom - w.top) as f32 / fine.width.max(fine.height) as f32;
    let fits = |level: &Level, w: &Window| share(w) * level.width.max(level.height) as f32 >= HASHED_SIDE as f32;
    let level_of = |w: &Window| levels.iter().rposition(|level| fits(level, w)).unwrap_or(0);
    for (n, level) in levels.iter().enumerate() {
        let mine: Vec<Window> = windows.iter().filter(|w| level_of(w) == n).copied().collect();
        if mine.is_empty() {
            continue;
        }
        let (x, y) = (level.width as f32 / fine.width as f32, level.height as f32 / fine.height as f32);
        let sums = Sums::of(level);
        for same_rows in mine.chunk_by(|a, b| (a.top, a.bottom) == (b.top, b.bottom)) {
            let rows = (same_rows[0].top as f32 * y, same_rows[0].bottom as f32 * y);
            let down = Axis::new(level.height, level.width, rows);
            let mut columns: Vec<(&Window, u8, Across)> = Vec::new();
            for window in same_rows {
                let ends = (window.left as f32 * x, window.right as f32 * x);
                if let Some(worth) = sums.quality(ends, rows) {
                    columns.push((window, worth, Across::new(level, ends)));
                }
            }
            let first = columns.iter().map(|(_, _, across)| across.axis.first).min();
            let end = columns.iter().map(|(_, _, across)| across.axis.end).max();
            let (Some(first), Some(end)) = (first, end) else { continue };
            let shared = Shared::new(level, &down, (first, end));
            for (window, worth, across) in &columns {
                let of = |n: usize, side: usize| n as f32 / side as f32;
                let ends = (of(window.left, fine.width), of(window.right, fine.width));
                let view = upright(ViewKind::Window, ends, (of(window.top, fine.height), of(window.bottom, fine.height)));
                views.add(view, &spectrum(level, across, &shared), *worth, &MIRRORED);
            }
        }
    }
}

/// The best windows, those first; each at least `least` pixels a side.
fn windows(level: &Level, lines: &Lines, max: usize, least: usize) -> Vec<Window> {
    let (mut ys, mut xs) = (lines.ys.clone(), lines.xs.clone());
    let (width, height) = (level.width, level.height);
    ys.extend([0, height]);
    xs.extend([0, width]);
    let mut found = Vec::new();
    for tolerance in PLAIN {
        let frame = framed(level, tolerance);
        if frame.right - frame.left >= PIXELS_MIN.max(least) && frame.bottom - frame.top >= PIXELS_MIN.max(least) {
            ys.extend([frame.top, frame.bottom]);
            xs.extend([frame.left, frame.right]);
            found.push(frame);
        }
    }
    for ends in [&mut ys, &mut xs] {
        ends.sort_unstable();
        ends.dedup();
    }
    let side_min = |side: usize| (side / PART_MIN).max(PIXELS_MIN).max(least);
    let across = |x: usize, ends| if x == 0 || x == width { BORDER } else { lines.down(x, ends) };
    let down = |y: usize, ends| if y == 0 || y == height { BORDER } else { lines.along(y, ends) };
    for (i, top) in ys.iter().enumerate() {
        for bottom in ys[i + 1..].iter().filter(|bottom| **bottom - top >= side_min(height)) {
            let sides: Vec<(usize, f32)> =
                xs.iter().map(|x| (*x, across(*x, (*top, *bottom)))).filter(|(_, share)| *share > SIDE).collect();
            for (j, (left, at_left)) in sides.iter().enumerate() {
                for (right, at_right) in sides[j + 1..].iter().filter(|(right, _)| right - left >= side_min(width)) {
                    let shares = [down(*top, (*left, *right)), down(*bottom, (*left, *right)), *at_left, *at_right];
                    let least = shares.into_iter().fold(1.0, f32::min);
                    if least > SIDE {
                        let score = least + shares.iter().sum::<f32>() / 4.0;
                        found.push(Window { left: *left, top: *top, right: *right, bottom: *bottom, score });
                    }
                }
            }
        }
    }
    let whole = Window { left: 0, top: 0, right: width, bottom: height, score: 0.0 };
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Window> = Vec::new();
    for window in found {
        if kept.len() == max {
            break;
        }
        if !window.is_near(&whole) && !kept.iter().any(|other| window.is_near(other)) {
            kept.push(window);
        }
    }
    kept
}

/// What is left when rows and columns of one colour are taken off the ends: a frame need not differ from the picture by a step.
fn framed(level: &Level, tolerance: f32) -> Window {
    let (mut left, mut top, mut right, mut bottom) = (0, 0, level.width, level.height);
    let plain =
        |n: usize, mut off: &mut dyn Iterator<Item = f32>| (&mut off).filter(|off| off.abs() > tolerance).count() * 100 <= n;
    // Once more, since a frame may have parts of two colours.
    for _ in 0..2 {
        let row = |y: usize, left: usize, right: usize| {
            plain(right - left, &mut level.row(y)[left..right].iter().map(|value| value - level.at(left, y)))
        };
        let column = |x: usize, top: usize, bottom: usize| {
            plain(bottom - top, &mut (top..bottom).map(|y| level.at(x, y) - level.at(x, top)))
        };
        while bottom - top > PIXELS_MIN && row(top, left, right) {
            top += 1;
        }
        while bottom - top > PIXELS_MIN && row(bottom - 1, left, right) {
            bottom -= 1;
        }
        while right - left > PIXELS_MIN && column(left, top, bottom) {
            left += 1;
        }
        while right - left > PIXELS_MIN && column(right - 1, top, bottom) {
            right -= 1;
        }
    }
    Window { left, top, right, bottom, score: f32::MAX }
}
