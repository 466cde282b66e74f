//! Views between straight edges: undo padding, letterboxes, captions, screenshots, collages, insets.
//!
//! Lines are looked for where a step runs along much of a row or column, and where such runs stop. Four of them, or the picture's borders, make a
//! window if each side is a step along much of its own length. The windows with the plainest sides are taken.

use super::axis::{Axis, FADES};
use super::evidence::Sums;
use super::plane::{Level, Levels, Plane};
use super::spectra::{Across, Shared, spectrum};
use super::steps::{Lines, SIDE, Stop};
use super::{MIRRORED, SOURCE_SIDE_MIN, Views, times, upright};
use crate::entry::{Transform, ViewKind};

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
/// Until as many are found as may be, so many times as many are tried at the most.
const TRIED: usize = 4;
/// So many of the best are looked up turned by quarters as well, for pictures on their side.
const TURNED: usize = 8;
/// Of so many of the best, crops are undone: of framed photographs 85 % were among them. Those that overlap by more than this are the same.
const BEST: usize = 4;
const SAME: f32 = 0.95;

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

/// A window with enough in it, to be hashed at the level where it has enough pixels and no more.
pub struct Found {
    window: Window,
    level: usize,
    /// Its columns and rows, in shares of the picture.
    pub across: (f32, f32),
    pub down: (f32, f32),
    pub quality: u8,
    ways: &'static [Transform],
}

impl Found {
    pub fn cut_out(&self, levels: &Levels<'_>) -> Level {
        let level = levels[self.level];
        let pixels = |shares: (f32, f32), side: usize| {
            let (begin, end) = times(shares, side);
            (begin.round() as usize, (end.round() as usize).min(side))
        };
        level.part(pixels(self.across, level.width), pixels(self.down, level.height))
    }

    /// What they share, of what they cover.
    fn overlap(&self, other: &Found) -> f32 {
        let (a, b) = (&self.window, &other.window);
        let both = |from: usize, to: usize| to.saturating_sub(from) as f32;
        let shared = both(a.left.max(b.left), a.right.min(b.right)) * both(a.top.max(b.top), a.bottom.min(b.bottom));
        let area = |w: &Window| both(w.left, w.right) * both(w.top, w.bottom);
        shared / (area(a) + area(b) - shared)
    }
}

/// The best windows with enough in them, those first: rows and columns of a table make many that have not.
pub fn find(levels: &Levels<'_>, plane: &Plane, lines: &Lines, max: usize) -> Vec<Found> {
    let fine = levels[0];
    let side = fine.width.max(fine.height);
    let mut sums: [Option<Sums>; 3] = [const { None }; 3];
    let mut tried = vec![Window { left: 0, top: 0, right: fine.width, bottom: fine.height, score: 0.0 }];
    let mut found = Vec::new();
    for window in windows(fine, lines, (SOURCE_SIDE_MIN / plane.scale).ceil() as usize) {
        if found.len() == max || tried.len() > TRIED * max {
            break;
        }
        if tried.iter().any(|other| window.is_near(other)) {
            continue;
        }
        tried.push(window);
        let longer = (window.right - window.left).max(window.bottom - window.top);
        let fits = |level: &Level| longer * level.width.max(level.height) >= HASHED_SIDE * side;
        let at = levels.iter().rposition(|level| fits(level)).unwrap_or(0);
        let level = levels[at];
        let share = |from: usize, to: usize, side: usize| (from as f32 / side as f32, to as f32 / side as f32);
        let across = share(window.left, window.right, fine.width);
        let down = share(window.top, window.bottom, fine.height);
        let sums = sums[at].get_or_insert_with(|| Sums::of(level));
        if let Some(quality) = sums.quality(times(across, level.width), times(down, level.height)) {
            let ways: &[Transform] = if found.len() < TURNED { &Transform::ALL } else { &MIRRORED };
            found.push(Found { window, level: at, across, down, quality, ways });
        }
    }
    found
}

/// The best ones that are not nearly the same.
pub fn best(found: &[Found]) -> impl Iterator<Item = &Found> {
    let mut chosen: Vec<&Found> = Vec::new();
    for window in found {
        if chosen.len() < BEST && chosen.iter().all(|other| window.overlap(other) <= SAME) {
            chosen.push(window);
        }
    }
    chosen.into_iter()
}

/// Hashes them.
pub fn add(levels: &Levels<'_>, mut found: Vec<Found>, views: &mut Views<'_>) {
    found.sort_by_key(|f| (f.level, f.window.top, f.window.bottom, f.window.left, f.window.right));
    for same_rows in found.chunk_by(|a, b| (a.level, a.window.top, a.window.bottom) == (b.level, b.window.top, b.window.bottom)) {
        let level = levels[same_rows[0].level];
        let [fade, _] = FADES;
        let down = Axis::new(level.height, level.width, times(same_rows[0].down, level.height), fade);
        let columns: Vec<Across> =
            same_rows.iter().map(|found| Across::new(level, times(found.across, level.width), fade)).collect();
        let first = columns.iter().map(|across| across.axis.first).min();
        let end = columns.iter().map(|across| across.axis.end).max();
        let (Some(first), Some(end)) = (first, end) else { continue };
        let shared = Shared::new(level, &down, (first, end));
        for (found, across) in same_rows.iter().zip(&columns) {
            let view = upright(ViewKind::Window, found.across, found.down);
            views.add(view, &spectrum(level, across, &shared), found.quality, found.ways);
        }
    }
}

/// What may be a side of a window.
struct Side<'a> {
    at: usize,
    stop: Option<&'a Stop>,
}

impl Side<'_> {
    /// Whether it may be the top or the left side, between two others.
    fn is_first(&self, (begin, end): (usize, usize)) -> bool {
        self.stop.is_none_or(|stop| stop.begins([begin, end]))
    }

    fn is_last(&self, (begin, end): (usize, usize)) -> bool {
        self.stop.is_none_or(|stop| stop.ends([begin, end]))
    }
}

/// All windows, the best first; each at least `least` pixels a side.
fn windows(level: &Level, lines: &Lines, least: usize) -> Vec<Window> {
    let (width, height) = (level.width, level.height);
    let plain = |at: &usize| Side { at: *at, stop: None };
    let mut ys: Vec<Side> = lines.ys.iter().chain(&[0, height]).map(plain).collect();
    let mut xs: Vec<Side> = lines.xs.iter().chain(&[0, width]).map(plain).collect();
    let mut found = Vec::new();
    for tolerance in PLAIN {
        let frame = framed(level, tolerance);
        if frame.right - frame.left >= PIXELS_MIN.max(least) && frame.bottom - frame.top >= PIXELS_MIN.max(least) {
            ys.extend([&frame.top, &frame.bottom].map(plain));
            xs.extend([&frame.left, &frame.right].map(plain));
            found.push(frame);
        }
    }
    for (sides, stops) in [(&mut ys, &lines.stops_y), (&mut xs, &lines.stops_x)] {
        sides.extend(stops.iter().map(|stop| Side { at: stop.at, stop: Some(stop) }));
        sides.sort_by_key(|side| (side.at, side.stop.is_some()));
        sides.dedup_by_key(|side| side.at);
    }
    let side_min = |side: usize| (side / PART_MIN).max(PIXELS_MIN).max(least);
    let across = |x: usize, ends| if x == 0 || x == width { BORDER } else { lines.down(x, ends) };
    let down = |y: usize, ends| if y == 0 || y == height { BORDER } else { lines.along(y, ends) };
    for (i, top) in ys.iter().enumerate() {
        for bottom in ys[i + 1..].iter().filter(|bottom| bottom.at - top.at >= side_min(height)) {
            let ends = (top.at, bottom.at);
            let sides: Vec<(&Side, f32)> =
                xs.iter().map(|x| (x, across(x.at, ends))).filter(|(_, share)| *share > SIDE).collect();
            for (j, (left, at_left)) in sides.iter().enumerate().filter(|(_, (left, _))| left.is_first(ends)) {
                for (right, at_right) in sides[j + 1..].iter().filter(|(right, _)| right.at - left.at >= side_min(width)) {
                    let columns = (left.at, right.at);
                    if !(right.is_last(ends) && top.is_first(columns) && bottom.is_last(columns)) {
                        continue;
                    }
                    let shares = [down(top.at, columns), down(bottom.at, columns), *at_left, *at_right];
                    let least = shares.into_iter().fold(1.0, f32::min);
                    if least > SIDE {
                        let score = least + shares.iter().sum::<f32>() / 4.0;
                        found.push(Window { left: left.at, top: top.at, right: right.at, bottom: bottom.at, score });
                    }
                }
            }
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
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
