//! A picture's luma made small.

use std::ops::RangeInclusive;

/// The longer side of a plane: edges are found to a pixel of it, 0.2 % of the picture.
const FINE_SIDE: usize = 512;
/// Pixels of a plane, at the most.
pub const PLANE_PIXELS_MAX: u64 = (FINE_SIDE * FINE_SIDE) as u64;
/// What it takes in memory.
pub const PLANE_BYTES_MAX: u64 = PLANE_PIXELS_MAX * size_of::<f32>() as u64;
/// Luma of a plane is a multiple of one part in so many of a grey level, so that it can be sent as 16 bits and is the same in the process that gets it.
const STEPS: f32 = 64.0;
/// Of smaller planes. The smallest is enough to hash the whole of a picture: within 7 bits of the reference on average, where 512 gives 6.
pub const SIDES: [usize; 2] = [192, 320];

/// The largest first.
pub type Levels<'a> = [&'a Level; 3];

/// One look at one frame, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    pub(super) fine: Level,
    /// Pixels of the picture to one of the plane.
    pub(super) scale: f32,
    pub(super) frame: u32,
    pub(super) rendering: u32,
}

impl Plane {
    /// Width and height of the plane.
    pub fn size(&self) -> (usize, usize) {
        (self.fine.width, self.fine.height)
    }

    /// Luma less its mean, in 64ths of a grey level, row by row.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = i16> {
        self.fine.luma.iter().map(|value| (value * STEPS) as i16)
    }

    /// Pixels of the picture to one of the plane.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    pub fn frame(&self) -> u32 {
        self.frame
    }

    pub fn rendering(&self) -> u32 {
        self.rendering
    }

    /// The plane that has these parts, `steps` as [`Plane::steps`] gives them; `None` where no picture's has: it may come from where nothing is
    /// trusted.
    pub fn of_parts(
        (width, height): (usize, usize),
        steps: impl ExactSizeIterator<Item = i16>,
        scale: f32,
        frame: u32,
        rendering: u32,
    ) -> Option<Plane> {
        const SIDES_OF_PLANE: RangeInclusive<usize> = 1..=FINE_SIDE;
        // Values of 0 to 255 less their mean, with room for what rounding adds.
        const LUMA: RangeInclusive<f32> = -256.0..=256.0;
        const SCALES: RangeInclusive<f32> = 1.0..=1e7;
        let fits = SIDES_OF_PLANE.contains(&width)
            && SIDES_OF_PLANE.contains(&height)
            && steps.len() == width * height
            && SCALES.contains(&scale);
        if !fits {
            return None;
        }
        let luma: Vec<f32> = steps.map(|step| f32::from(step) / STEPS).collect();
        let is_one = luma.iter().all(|value| LUMA.contains(value));
        is_one.then(|| Plane { fine: Level::new(width, height, luma), scale, frame, rendering })
    }

    pub(super) fn source_side_min(&self) -> f32 {
        self.fine.width.min(self.fine.height) as f32 * self.scale
    }
}

/// Luma less its mean, row by row. No hash sees the mean, and what is unknown beyond an edge fades to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    pub width: usize,
    pub height: usize,
    luma: Vec<f32>,
}

impl Level {
    pub fn new(width: usize, height: usize, luma: Vec<f32>) -> Self {
        Level { width, height, luma }
    }

    pub fn row(&self, y: usize) -> &[f32] {
        &self.luma[y * self.width..][..self.width]
    }

    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.luma[y * self.width + x]
    }

    /// Made smaller, until the longer side is at most `side`.
    pub fn reduced(&self, side: usize) -> Level {
        let mut reducer = Areas::new(self.width, self.height, side);
        for y in 0..self.height {
            reducer.row(self.row(y));
        }
        reducer.finish()
    }

    /// The rows from `top` to `bottom`, the columns from `left` to `right`, less their own mean.
    pub fn part(&self, (left, right): (usize, usize), (top, bottom): (usize, usize)) -> Level {
        let mut luma = Vec::with_capacity((right - left) * (bottom - top));
        (top..bottom).for_each(|y| luma.extend_from_slice(&self.row(y)[left..right]));
        Level::new(right - left, bottom - top, luma).less_its_mean()
    }

    fn less_its_mean(mut self) -> Level {
        let sum: f64 = self.luma.iter().map(|value| f64::from(*value)).sum();
        let mean = (sum / self.luma.len().max(1) as f64) as f32;
        self.luma.iter_mut().for_each(|value| *value -= mean);
        self
    }

    /// With `margin` more pixels on each side: what lies at the edge, by `fade` of the distance in pixels.
    pub fn padded(&self, margin: usize, fade: impl Fn(f32) -> f32) -> Level {
        let (width, height) = (self.width + 2 * margin, self.height + 2 * margin);
        let inside = |at: usize, side: usize| at.clamp(margin, margin + side - 1);
        // By how far off it is down, then across.
        let off = |n: usize| (n / (margin + 1), n % (margin + 1));
        let distance = |(down, across): (usize, usize)| ((down * down + across * across) as f32).sqrt();
        let mut fades: Vec<f32> = (0..(margin + 1) * (margin + 1)).map(|n| fade(distance(off(n)))).collect();
        fades[0] = 1.0;
        let mut luma = Vec::with_capacity(width * height);
        for y in 0..height {
            let in_y = inside(y, self.height);
            let (row, fades) = (self.row(in_y - margin), &fades[y.abs_diff(in_y) * (margin + 1)..][..margin + 1]);
            luma.extend((0..margin).map(|x| row[0] * fades[margin - x]));
            luma.extend(row.iter().map(|value| value * fades[0]));
            luma.extend((1..=margin).map(|off| row[self.width - 1] * fades[off]));
        }
        Level::new(width, height, luma)
    }

    /// Between pixels, at a place by [`fixed`]; the middle of the first is at 0.5. Beyond the outermost pixels there is more of them.
    #[inline(always)]
    pub fn between(&self, x: i32, y: i32) -> f32 {
        let inside = |at: i32, side: usize| (at - ONE / 2).clamp(0, (side as i32 - 1) * ONE - 1);
        let (x, y) = (inside(x, self.width), inside(y, self.height));
        let part = |at: i32| (at & (ONE - 1)) as f32 * (1.0 / ONE as f32);
        let at = (y >> BITS) as usize * self.width + (x >> BITS) as usize;
        let four = &self.luma[at..at + self.width + 2];
        let (above, below) = (four[0] + (four[1] - four[0]) * part(x), &four[self.width..]);
        let below = below[0] + (below[1] - below[0]) * part(x);
        above + (below - above) * part(y)
    }
}

/// A pixel in fixed point, which is quicker to step through than floats are to cut.
const BITS: u32 = 16;
const ONE: i32 = 1 << BITS;

pub fn fixed(pixels: f32) -> i32 {
    (pixels * ONE as f32).round() as i32
}

/// Makes a plane of a picture's rows.
pub struct Reducer {
    areas: Areas,
    scale: f32,
}

impl Reducer {
    pub fn new(width: u32, height: u32) -> Self {
        let areas = Areas::new(width as usize, height as usize, FINE_SIDE);
        let scale = width.max(height) as f32 / areas.width.max(areas.height) as f32;
        Reducer { areas, scale }
    }

    /// Takes the next row from the top.
    pub fn row(&mut self, row: &[f32]) {
        self.areas.row(row);
    }

    pub fn finish(self, frame: u32, rendering: u32) -> Plane {
        let mut fine = self.areas.finish().less_its_mean();
        fine.luma.iter_mut().for_each(|value| *value = (*value * STEPS).round_ties_even() / STEPS);
        Plane { fine, scale: self.scale, frame, rendering }
    }
}

/// Means over areas. Rows are added up whole, and each sum is made narrow once.
struct Areas {
    /// Of what is made.
    width: usize,
    height: usize,
    rows: usize,
    across: Vec<Share>,
    y: usize,
    sums: Vec<f32>,
    luma: Vec<f32>,
}

/// The pixels that one is made of: the first and the last count in part.
#[derive(Clone, Copy)]
struct Share {
    first: usize,
    last: usize,
    of_first: f32,
    of_last: f32,
    whole: f32,
}

/// The part `i` of `parts` of `n` pixels.
fn part(i: usize, parts: usize, n: usize) -> Share {
    let (begin, end) = (i as f64 * n as f64 / parts as f64, (i + 1) as f64 * n as f64 / parts as f64);
    let first = begin as usize;
    let last = (end.ceil() as usize).clamp(first + 1, n.max(first + 1)) - 1;
    let of_first = if first == last { end - begin } else { (first + 1) as f64 - begin };
    Share { first, last, of_first: of_first as f32, of_last: (end - last as f64) as f32, whole: (end - begin) as f32 }
}

impl Areas {
    fn new(columns: usize, rows: usize, side: usize) -> Self {
        let (columns, rows) = (columns.max(1), rows.max(1));
        let share = (side as f64 / columns.max(rows) as f64).min(1.0);
        let of = |n: usize| ((n as f64 * share).round() as usize).max(1);
        let (width, height) = (of(columns), of(rows));
        let across = (0..width).map(|i| part(i, width, columns)).collect();
        Areas { width, height, rows, across, y: 0, sums: vec![0.0; columns], luma: Vec::with_capacity(width * height) }
    }

    fn row(&mut self, row: &[f32]) {
        // A row of the picture lies in one row of what is made, or in two.
        while self.luma.len() < self.width * self.height {
            let share = part(self.luma.len() / self.width, self.height, self.rows);
            let factor = match self.y {
                y if y == share.first => share.of_first,
                y if y == share.last => share.of_last,
                _ => 1.0,
            };
            for (sum, value) in self.sums.iter_mut().zip(row) {
                *sum += factor * value;
            }
            if self.y < share.last {
                break;
            }
            for of in &self.across {
                let inner = self.sums[(of.first + 1).min(of.last)..of.last].iter().sum::<f32>();
                let last = if of.last > of.first { self.sums[of.last] * of.of_last } else { 0.0 };
                self.luma.push((self.sums[of.first] * of.of_first + inner + last) / (of.whole * share.whole));
            }
            self.sums.fill(0.0);
            // The next one may begin in this row, or with the next.
            if self.luma.len() == self.width * self.height
                || part(self.luma.len() / self.width, self.height, self.rows).first > self.y
            {
                break;
            }
        }
        self.y += 1;
    }

    fn finish(mut self) -> Level {
        self.luma.resize(self.width * self.height, 0.0);
        Level::new(self.width, self.height, self.luma)
    }
}
