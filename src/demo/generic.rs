//! Pictures that are alike in their parts: what a hash of a part may take for another.
//!
//! Frames, shapes in two tones, logos, charts, chats, keyboards, feeds, pages, memes, skies, icons, tables, each drawn from a seed. No two share
//! a picture, so whatever matches between two of them is a false match. Like [`alterations`](super::alterations) not the same bytes on every
//! platform.

use image::{Rgb, RgbImage};

use super::alterations::{block, words};
use super::pictures::Random;

pub const KINDS: [&str; 12] =
    ["frame", "two tones", "logo", "chart", "chat", "keyboard", "feed", "page", "meme", "sky", "icons", "table"];

/// Draws one. `kind` is an index of [`KINDS`].
pub fn draw(kind: usize, seed: u64) -> RgbImage {
    let mut random = Random::new(seed.wrapping_mul(64) ^ kind as u64 ^ 0x6765_6e65_7269_6300);
    let (width, height) = [(640, 480), (480, 640), (600, 600), (540, 960)][random.below(4)];
    let is_dark = random.below(3) == 0;
    let (ground, ink) = match is_dark {
        true => (grey(random.between(0.0, 40.0)), grey(random.between(200.0, 255.0))),
        false => (grey(random.between(225.0, 255.0)), grey(random.between(0.0, 70.0))),
    };
    let mut page = Page { all: RgbImage::from_pixel(width, height, ground), ground, ink, is_dark, random };
    let draw = [frame, two_tones, logo, chart, chat, keyboard, feed, text, meme, sky, icons, table];
    draw[kind % KINDS.len()](&mut page);
    page.all
}

struct Page {
    all: RgbImage,
    ground: Rgb<u8>,
    ink: Rgb<u8>,
    is_dark: bool,
    random: Random,
}

fn grey(level: f32) -> Rgb<u8> {
    Rgb([level.clamp(0.0, 255.0) as u8; 3])
}

impl Page {
    fn size(&self) -> (f32, f32) {
        (self.all.width() as f32, self.all.height() as f32)
    }

    fn colour(&mut self) -> Rgb<u8> {
        Rgb([0; 3].map(|_: u8| self.random.below(256) as u8))
    }

    fn fill(&mut self, colour: Rgb<u8>) {
        self.all.pixels_mut().for_each(|pixel| *pixel = colour);
        self.ground = colour;
    }

    fn block(&mut self, x: f32, y: f32, width: f32, height: f32, colour: Rgb<u8>) {
        block(&mut self.all, (x.max(0.0) as u32, y.max(0.0) as u32), (width.max(1.0) as u32, height.max(1.0) as u32), colour);
    }

    fn words(&mut self, x: f32, y: f32, width: f32, size: f32, ink: Rgb<u8>) {
        words(
            &mut self.all,
            (x.max(0.0) as u32, y.max(0.0) as u32),
            width.max(0.0) as u32,
            size.max(2.0) as u32,
            ink,
            &mut self.random,
        );
    }

    /// All pixels within `reach` of a middle for which `holds` says so of their place, in -1 to 1.
    fn paint(&mut self, (x, y): (f32, f32), reach: f32, colour: Rgb<u8>, holds: impl Fn(f32, f32) -> bool) {
        let rows = (y - reach).max(0.0) as u32..((y + reach).max(0.0) as u32).min(self.all.height());
        for row in rows {
            for column in (x - reach).max(0.0) as u32..((x + reach).max(0.0) as u32).min(self.all.width()) {
                if holds((column as f32 - x) / reach, (row as f32 - y) / reach) {
                    self.all.put_pixel(column, row, colour);
                }
            }
        }
    }

    /// A disc, a bar, a polygon, a star, a crescent or a cross.
    fn shape(&mut self, middle: (f32, f32), reach: f32, colour: Rgb<u8>) {
        let (flat, corners) = (self.random.between(0.6, 1.0), 3 + self.random.below(6));
        let turn = self.random.between(0.0, 6.3);
        // The distance of a regular polygon's side, or of a star's edge, in a direction.
        let edge = |x: f32, y: f32, depth: f32| {
            let share = (y.atan2(x) + turn).rem_euclid(std::f32::consts::TAU) * corners as f32 / std::f32::consts::TAU % 1.0;
            1.0 - depth * (1.0 - (2.0 * share - 1.0).abs())
        };
        match self.random.below(6) {
            0 => self.paint(middle, reach, colour, |x, y| x * x + y * y / (flat * flat) <= 1.0),
            1 => self.paint(middle, reach, colour, |_, y| y.abs() <= 0.7),
            2 => self.paint(middle, reach, colour, |x, y| x.hypot(y) <= edge(x, y, 0.25)),
            3 => self.paint(middle, reach, colour, |x, y| x.hypot(y) <= edge(x, y, 0.6)),
            4 => self.paint(middle, reach, colour, |x, y| x.hypot(y) <= 1.0 && (x - 0.3).hypot(y + 0.1) > 0.7),
            _ => self.paint(middle, reach, colour, |x, y| x.abs() <= 0.2 || y.abs() <= 0.2),
        }
    }
}

fn frame(page: &mut Page) {
    let (width, height) = page.size();
    let mut inset = 0.0;
    for _ in 0..=page.random.below(4) {
        inset += page.random.between(8.0, 60.0);
        let (outer, inner, line) = (page.colour(), page.colour(), page.random.between(3.0, 30.0));
        page.block(inset, inset, width - 2.0 * inset, height - 2.0 * inset, outer);
        inset += line;
        page.block(inset, inset, width - 2.0 * inset, height - 2.0 * inset, inner);
    }
}

fn two_tones(page: &mut Page) {
    let (ground, tone) = (page.colour(), page.colour());
    page.fill(ground);
    let (width, height) = page.size();
    for _ in 0..=page.random.below(4) {
        let middle = (page.random.between(0.1, 0.9) * width, page.random.between(0.1, 0.9) * height);
        let reach = page.random.between(0.1, 0.5) * width;
        page.shape(middle, reach, tone);
    }
}

fn logo(page: &mut Page) {
    if page.random.below(2) == 0 {
        let ground = page.colour();
        page.fill(ground);
    }
    let (width, height) = page.size();
    let (outer, inner, ink) = (page.colour(), page.colour(), page.ink);
    let (y, reach) = (height * page.random.between(0.3, 0.5), width.min(height) * page.random.between(0.15, 0.35));
    page.shape((width / 2.0, y), reach, outer);
    if page.random.below(2) == 0 {
        page.shape((width / 2.0, y), reach / 2.0, inner);
    }
    if page.random.below(2) == 0 {
        let size = height * page.random.between(0.05, 0.12);
        page.words(width * 0.2, height * 0.75, width * 0.6, size, ink);
    }
}

fn chart(page: &mut Page) {
    let (width, height) = page.size();
    let (colour, ink) = (page.colour(), page.ink);
    page.block(width * 0.1, height * 0.1, 2.0, height * 0.8, ink);
    page.block(width * 0.1, height * 0.9, width * 0.85, 2.0, ink);
    if page.random.below(2) == 0 {
        (0..6).for_each(|line| page.block(width * 0.1, height * (0.1 + 0.13 * line as f32), width * 0.85, 1.0, grey(128.0)));
    }
    match page.random.below(3) {
        0 => {
            let bars = 3 + page.random.below(10);
            let step = width * 0.82 / bars as f32;
            for bar in 0..bars {
                let (value, share) = (page.random.between(0.05, 0.75) * height, page.random.between(0.5, 0.8));
                page.block(width * 0.12 + bar as f32 * step, height * 0.9 - value, step * share, value, colour);
            }
        }
        1 => {
            let mut value = page.random.between(0.2, 0.7);
            for x in 0..(width * 0.84) as u32 {
                value = (value + page.random.between(-0.012, 0.012)).clamp(0.05, 0.78);
                page.block(width * 0.11 + x as f32, height * (0.9 - value), 3.0, 4.0, colour);
            }
        }
        _ => {
            let ground = page.ground;
            page.fill(ground);
            let mut from = 0.0;
            while from < std::f32::consts::TAU {
                let to = from + page.random.between(0.4, 2.0);
                let slice = page.colour();
                page.paint((width / 2.0, height / 2.0), width.min(height) * 0.4, slice, |x, y| {
                    let angle = y.atan2(x).rem_euclid(std::f32::consts::TAU);
                    x.hypot(y) <= 1.0 && angle >= from && angle < to
                });
                from = to;
            }
        }
    }
}

fn chat(page: &mut Page) {
    let (width, height) = page.size();
    let (theirs, mine) = (grey(if page.is_dark { 60.0 } else { 225.0 }), page.colour());
    let (ink, mut y) = (page.ink, 20.0);
    while y < height - 50.0 {
        let (lines, wide) = (1 + page.random.below(4), page.random.between(0.3, 0.7) * width);
        let high = 18.0 * lines as f32 + 16.0;
        let is_mine = page.random.below(2) == 0;
        let x = if is_mine { width - wide - 16.0 } else { 16.0 };
        page.block(x, y, wide, high, if is_mine { mine } else { theirs });
        for line in 0..lines {
            let short = if line + 1 == lines { page.random.between(0.0, wide * 0.5) } else { 0.0 };
            page.words(x + 10.0, y + 8.0 + 18.0 * line as f32, wide - 20.0 - short, 11.0, ink);
        }
        y += high + page.random.between(8.0, 24.0);
    }
}

fn keyboard(page: &mut Page) {
    let (width, height) = page.size();
    let (rows, key, ink) = (4 + page.random.below(2), grey(if page.is_dark { 90.0 } else { 200.0 }), page.ink);
    let high = height * page.random.between(0.3, 0.9) / rows as f32;
    let top = height - high * rows as f32;
    for row in 0..rows {
        let keys = 8 + page.random.below(4);
        let wide = width / keys as f32;
        for column in 0..keys {
            let (x, y) = (column as f32 * wide, top + row as f32 * high);
            page.block(x + 3.0, y + 4.0, wide - 6.0, high - 8.0, key);
            page.words(x + wide * 0.35, y + high * 0.3, wide * 0.4, high * 0.3, ink);
        }
    }
    let mut y = 16.0;
    while y < top - 30.0 {
        let length = width * page.random.between(0.3, 0.9);
        page.words(20.0, y, length, 14.0, ink);
        y += 26.0;
    }
}

fn feed(page: &mut Page) {
    let (width, height) = page.size();
    let (row, ink, mut y) = (page.random.between(60.0, 110.0), page.ink, 10.0);
    while y < height {
        let colour = page.colour();
        page.paint((40.0, y + row / 2.0), row * 0.3, colour, |x, y| x * x + y * y <= 1.0);
        page.words(80.0, y + row * 0.2, width * 0.4, 14.0, ink);
        page.words(80.0, y + row * 0.5, width * 0.75, 11.0, grey(128.0));
        page.block(0.0, y + row - 1.0, width, 1.0, grey(170.0));
        y += row;
    }
}

fn text(page: &mut Page) {
    let (width, height) = page.size();
    let (size, margin, ink) = (page.random.between(9.0, 26.0), width * page.random.between(0.04, 0.12), page.ink);
    let mut y = margin;
    while y < height - margin - size {
        let ends = page.random.below(6) == 0;
        let share = if ends { page.random.between(0.2, 0.8) } else { 1.0 };
        page.words(margin, y, (width - 2.0 * margin) * share, size, ink);
        y += size * 1.6 + if ends { size } else { 0.0 };
    }
}

fn meme(page: &mut Page) {
    let (width, height) = page.size();
    let (above, below) = (page.colour().0, page.colour().0);
    for (_, y, pixel) in page.all.enumerate_pixels_mut() {
        let share = y as f32 / height;
        pixel.0 = std::array::from_fn(|i| (f32::from(above[i]) * (1.0 - share) + f32::from(below[i]) * share) as u8);
    }
    for _ in 0..3 {
        let (colour, reach) = (page.colour(), page.random.between(0.1, 0.3) * width);
        let middle = (page.random.between(0.2, 0.8) * width, page.random.between(0.3, 0.7) * height);
        page.shape(middle, reach, colour);
    }
    for y in [0.04, 0.88] {
        page.words(width * 0.05, height * y, width * 0.9, height * 0.08, Rgb([255; 3]));
    }
}

fn sky(page: &mut Page) {
    let (width, height) = page.size();
    let (above, below) = (page.random.between(60.0, 250.0), page.random.between(60.0, 250.0));
    let random = &mut page.random;
    let clouds: Vec<[f32; 4]> = (0..6)
        .map(|_| {
            let place = [random.between(0.0, width), random.between(0.0, height)];
            [place[0], place[1], random.between(40.0, 260.0), random.between(-50.0, 50.0)]
        })
        .collect();
    for (x, y, pixel) in page.all.enumerate_pixels_mut() {
        let light: f32 = clouds
            .iter()
            .map(|[cx, cy, reach, light]| {
                let (a, b) = ((x as f32 - cx) / reach, (y as f32 - cy) / reach);
                light / (1.0 + a * a + b * b)
            })
            .sum();
        *pixel = grey(above + (below - above) * y as f32 / height + light + random.between(-2.0, 2.0));
    }
}

fn icons(page: &mut Page) {
    let (width, height) = page.size();
    let columns = 3 + page.random.below(3);
    let (step, ink) = (width / columns as f32, page.ink);
    let mut y = step * 0.6;
    while y < height - step * 0.4 {
        for column in 0..columns {
            let (middle, reach) = (((column as f32 + 0.5) * step, y), step * 0.32);
            let (outer, inner) = (page.colour(), page.colour());
            if page.random.below(2) == 0 {
                page.block(middle.0 - reach, y - reach, 2.0 * reach, 2.0 * reach, outer);
                page.shape(middle, reach * 0.6, inner);
            } else {
                page.shape(middle, reach, outer);
            }
            page.words(middle.0 - reach, y + reach + 6.0, 2.0 * reach, 9.0, ink);
        }
        y += step * 1.15;
    }
}

fn table(page: &mut Page) {
    let (width, height) = page.size();
    let (columns, rows) = (3 + page.random.below(6), 5 + page.random.below(15));
    let (wide, high) = (width * 0.94 / columns as f32, height * 0.94 / rows as f32);
    let (left, top, head, ink) = (width * 0.03, height * 0.03, page.colour(), page.ink);
    page.block(left, top, width * 0.94, high, head);
    (0..=rows).for_each(|row| page.block(left, top + row as f32 * high, width * 0.94, 1.0, grey(128.0)));
    (0..=columns).for_each(|column| page.block(left + column as f32 * wide, top, 1.0, height * 0.94, grey(128.0)));
    for row in 0..rows {
        for column in 0..columns {
            let length = wide * page.random.between(0.2, 0.8);
            let place = (left + column as f32 * wide + 4.0, top + (row as f32 + 0.3) * high);
            page.words(place.0, place.1, length, (high * 0.4).min(16.0), ink);
        }
    }
}
