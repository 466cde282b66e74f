//! Straight edges: where does a step in luma run along much of a row or column?
//!
//! A step is a difference between neighbours that is large enough, and no smaller than the differences beside it.

use std::cmp::Reverse;

use super::plane::Level;

/// Levels of luma that make a step.
const STEP: f32 = 4.0;
/// Lines in each direction.
const LINES: usize = 32;
/// A line's best run must hold this share of steps, two in five, and its surplus over that must be a twentieth of the line.
const RUN: (i32, i32) = (2, 5);
const SURPLUS: i32 = 20;
/// A side of a window, or of a band, must be a step along this share of its length.
pub const SIDE: f32 = 0.15;
/// A line's run tells of lines across it where it stops, if its surplus is a twelfth of the line. Such a line is the plainest one within so many
/// pixels, and so many of them count in each direction.
const STOPPING: i32 = 12;
const STOPS_NEAR: usize = 3;
const STOPS: usize = 4;
/// Bands that are tried in each direction, of those that cover at most a fifth of the picture.
const BANDS: usize = 6;

/// An interval of rows or columns.
type Interval = (usize, usize);

/// The straight edges of a level. A line at `y` lies between rows `y - 1` and `y`.
pub struct Lines {
    width: usize,
    height: usize,
    /// The lines with the longest runs of steps, those first.
    pub ys: Vec<usize>,
    pub xs: Vec<usize>,
    /// Where runs stop: rows that those of `xs` begin or end at, and columns.
    pub stops_y: Vec<Stop>,
    pub stops_x: Vec<Stop>,
    /// Steps between each row and the one above it, left of each place: `height` rows of `width + 1`.
    along: Vec<u16>,
    /// Steps between each column and the one left of it, above each place: `height + 1` rows of `width`.
    down: Vec<u16>,
}

impl Lines {
    pub fn of(level: &Level) -> Self {
        let (width, height) = (level.width, level.height);
        let along = steps_along(level);
        let down = steps_down(level);
        let rows: Vec<i32> = along.chunks_exact(width + 1).map(|sums| longest(sums.iter().copied()).surplus).collect();
        let (mut columns, mut low) = (vec![0; width], vec![0; width]);
        for (y, sums) in down.chunks_exact(width).enumerate() {
            for ((best, low), sum) in columns.iter_mut().zip(&mut low).zip(sums) {
                let rise = surplus(*sum, y);
                *low = rise.min(*low);
                *best = (rise - *low).max(*best);
            }
        }
        let (ys, xs) = (best(&rows, width), best(&columns, height));
        let runs_y = ys.iter().map(|y| (*y, longest(along[y * (width + 1)..][..=width].iter().copied())));
        let runs_x = xs.iter().map(|x| (*x, longest(down[*x..].iter().step_by(width).copied())));
        let (stops_x, stops_y) = (stops(runs_y, &xs, &columns), stops(runs_x, &ys, &rows));
        Lines { width, height, ys, xs, stops_y, stops_x, along, down }
    }

    /// The share of the line at `y`, between two columns, that is a step.
    pub fn along(&self, y: usize, (left, right): Interval) -> f32 {
        let row = &self.along[y * (self.width + 1)..][..self.width + 1];
        f32::from(row[right] - row[left]) / (right - left) as f32
    }

    /// The share of the line at `x`, between two rows, that is a step.
    pub fn down(&self, x: usize, (top, bottom): Interval) -> f32 {
        let steps = self.down[bottom * self.width + x] - self.down[top * self.width + x];
        f32::from(steps) / (bottom - top) as f32
    }

    /// What is left where a band covers an end: of the rows, and of the columns.
    pub fn bands(&self) -> (Vec<Interval>, Vec<Interval>) {
        let left = |at: usize, side: usize| if at * 2 < side { (at, side) } else { (0, at) };
        let near = |at: usize, side: usize| at.min(side - at) * 5 <= side;
        let ys = self.ys.iter().filter(|y| near(**y, self.height) && self.along(**y, (0, self.width)) > SIDE);
        let xs = self.xs.iter().filter(|x| near(**x, self.width) && self.down(**x, (0, self.height)) > SIDE);
        (ys.take(BANDS).map(|y| left(*y, self.height)).collect(), xs.take(BANDS).map(|x| left(*x, self.width)).collect())
    }
}

/// A line that need not be a plain step itself: lines across it stop there, as the sides of a picture stop at its corners.
///
/// Where a picture lies on another, three of its sides are often plain and the fourth is as light as what it lies on. Of 300 such insets of
/// 100 photographs (BSDS500, its training set) windows found 272 by plain lines alone and 284 with stops, with 3 % more windows. Plain lines
/// that are a thirtieth (`SURPLUS`) and not a twentieth found 282, with a sixth more windows, which pushed those of collages out.
pub struct Stop {
    pub at: usize,
    begin: Vec<usize>,
    end: Vec<usize>,
}

impl Stop {
    /// Whether one of two lines across begins here, so that this may be the first side of a window that has them as sides.
    pub fn begins(&self, across: [usize; 2]) -> bool {
        across.iter().any(|line| self.begin.contains(line))
    }

    pub fn ends(&self, across: [usize; 2]) -> bool {
        across.iter().any(|line| self.end.contains(line))
    }
}

/// A run of steps in a line: the part with the most steps beyond the least share of them.
struct Run {
    surplus: i32,
    begin: usize,
    end: usize,
}

fn surplus(steps: u16, length: usize) -> i32 {
    i32::from(steps) * RUN.1 - length as i32 * RUN.0
}

/// By the number of steps before each place of the line: the largest rise of the surplus from any place to a later one.
fn longest(sums: impl Iterator<Item = u16>) -> Run {
    let mut best = Run { surplus: 0, begin: 0, end: 0 };
    let (mut low, mut begin) = (0, 0);
    for (at, sum) in sums.enumerate() {
        let rise = surplus(sum, at);
        if rise < low {
            (low, begin) = (rise, at);
        }
        if rise - low > best.surplus {
            best = Run { surplus: rise - low, begin, end: at };
        }
    }
    best
}

/// Where runs stop, those of the plainest first. `known` are the lines in that direction, `plain` is the surplus of each that might be one.
fn stops(runs: impl Iterator<Item = (usize, Run)>, known: &[usize], plain: &[i32]) -> Vec<Stop> {
    let side = plain.len();
    let mut found: Vec<(i32, Stop)> = Vec::new();
    for (line, run) in runs.filter(|(_, run)| run.surplus * STOPPING >= side as i32 * RUN.1) {
        for (near, begins) in [(run.begin, true), (run.end, false)] {
            if !(STOPS_NEAR + 2..side.saturating_sub(STOPS_NEAR)).contains(&near) {
                continue;
            }
            let Some(at) = (near - STOPS_NEAR..=near + STOPS_NEAR).max_by_key(|at| plain[*at]) else { continue };
            if known.iter().any(|known| known.abs_diff(at) <= 1) {
                continue;
            }
            let n = found.iter().position(|(_, stop)| stop.at.abs_diff(at) <= 1).unwrap_or_else(|| {
                found.push((0, Stop { at, begin: Vec::new(), end: Vec::new() }));
                found.len() - 1
            });
            let (sum, stop) = &mut found[n];
            *sum += run.surplus;
            if begins { stop.begin.push(line) } else { stop.end.push(line) }
        }
    }
    found.sort_by_key(|(sum, _)| Reverse(*sum));
    found.into_iter().take(STOPS).map(|(_, stop)| stop).collect()
}

/// The best lines, by their surplus; of neighbours the better one.
fn best(surplus: &[i32], length: usize) -> Vec<usize> {
    let mut lines: Vec<(i32, usize)> = surplus.iter().enumerate().map(|(at, surplus)| (*surplus, at)).collect();
    let last = lines.len().saturating_sub(1);
    lines.retain(|(surplus, at)| surplus * SURPLUS >= length as i32 * RUN.1 && (2..last).contains(at));
    lines.sort_by_key(|(surplus, _)| Reverse(*surplus));
    let mut chosen: Vec<usize> = Vec::new();
    for (_, at) in lines {
        if chosen.len() == LINES {
            break;
        }
        if chosen.iter().all(|other| other.abs_diff(at) > 1) {
            chosen.push(at);
        }
    }
    chosen
}

fn steps_along(level: &Level) -> Vec<u16> {
    let (width, height) = (level.width, level.height);
    let mut sums = vec![0u16; height * (width + 1)];
    let difference = |y: usize, out: &mut [f32]| {
        if y == 0 || y >= height {
            return out.fill(0.0);
        }
        for ((out, a), b) in out.iter_mut().zip(level.row(y)).zip(level.row(y - 1)) {
            *out = (a - b).abs();
        }
    };
    let (mut above, mut here, mut below) = (vec![0.0f32; width], vec![0.0f32; width], vec![0.0f32; width]);
    let mut hits = vec![0u16; width];
    difference(1, &mut here);
    for y in 1..height {
        difference(y + 1, &mut below);
        for (((hit, here), above), below) in hits.iter_mut().zip(&here).zip(&above).zip(&below) {
            *hit = u16::from((*here > STEP) & (here >= above) & (here >= below));
        }
        let mut sum = 0;
        for (place, hit) in sums[y * (width + 1) + 1..][..width].iter_mut().zip(&hits) {
            sum += hit;
            *place = sum;
        }
        std::mem::swap(&mut above, &mut here);
        std::mem::swap(&mut here, &mut below);
    }
    sums
}

fn steps_down(level: &Level) -> Vec<u16> {
    let (width, height) = (level.width, level.height);
    let mut sums = vec![0u16; (height + 1) * width];
    // Between columns x - 1 and x, with nothing before the first and after the last.
    let mut differences = vec![0.0f32; width + 2];
    for y in 0..height {
        let row = level.row(y);
        for ((out, a), b) in differences[1..width].iter_mut().zip(&row[1..]).zip(row) {
            *out = (a - b).abs();
        }
        let (before, after) = sums.split_at_mut((y + 1) * width);
        let places = after[1..width].iter_mut().zip(&before[y * width + 1..]);
        for ((place, sum), three) in places.zip(differences.windows(3)) {
            *place = sum + u16::from((three[1] > STEP) & (three[1] >= three[0]) & (three[1] >= three[2]));
        }
    }
    sums
}
