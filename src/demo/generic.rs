//! Pictures that are alike in their parts: what a hash of a part may take for another.
//!
//! Frames, logos, charts, chats, keyboards, pages, maps, QR codes and so on, each drawn from a seed. No two share
//! a picture, so whatever matches between two of them is a false match. Like [`alterations`](super::alterations) not the same bytes on every
//! platform.

use image::{Rgb, RgbImage};

use super::alterations::{block, words};
use super::pictures::Random;

pub const KINDS: [&str; 20] = [
    "frame",
    "two tones",
    "logo",
    "chart",
    "chat",
    "keyboard",
    "feed",
    "page",
    "meme",
    "sky",
    "icons",
    "table",
    "QR code",
    "barcode",
    "map",
    "sheet music",
    "calendar",
    "source code",
    "card",
    "wallpaper",
];

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
    let draw: [fn(&mut Page); KINDS.len()] = [
        frame, two_tones, logo, chart, chat, keyboard, feed, text, meme, sky, icons, table, qr_code, barcode, map, music,
        calendar, code, card, wallpaper,
    ];
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

fn qr_code(page: &mut Page) {
    let (width, height) = page.size();
    let (modules, ink) = (21 + 4 * page.random.below(7), page.ink);
    let module = width.min(height) * page.random.between(0.6, 0.95) / modules as f32;
    let side = module * modules as f32;
    let (left, top) = ((width - side) / 2.0, (height - side) * page.random.between(0.2, 0.8));
    for row in 0..modules {
        for column in 0..modules {
            let at_end = |n: usize| n < 8 || n + 8 >= modules;
            let is_finder = at_end(row) && at_end(column) && (row < 8 || column < 8);
            if !is_finder && page.random.below(2) == 0 {
                page.block(left + column as f32 * module, top + row as f32 * module, module.ceil(), module.ceil(), ink);
            }
        }
    }
    let (far, ground) = (side - 7.0 * module, page.ground);
    for (x, y) in [(0.0, 0.0), (far, 0.0), (0.0, far)] {
        for (inset, colour) in [(0.0, ink), (1.0, ground), (2.0, ink)] {
            let wide = (7.0 - 2.0 * inset) * module;
            page.block(left + x + inset * module, top + y + inset * module, wide, wide, colour);
        }
    }
}

fn barcode(page: &mut Page) {
    let (width, height) = page.size();
    let (module, high, ink) = (width * page.random.between(0.004, 0.009), height * page.random.between(0.2, 0.7), page.ink);
    let (mut x, top) = (width * page.random.between(0.05, 0.15), height * page.random.between(0.05, 0.2));
    let (left, right) = (x, width * page.random.between(0.7, 0.95));
    while x < right {
        let bar = (1 + page.random.below(4)) as f32 * module;
        page.block(x, top, bar, high, ink);
        x += bar + (1 + page.random.below(4)) as f32 * module;
    }
    page.words(left, top + high + 6.0, right - left, 18.0, ink);
}

fn map(page: &mut Page) {
    let (width, height) = page.size();
    for _ in 0..3 + page.random.below(5) {
        let tint = [Rgb([200, 230, 190]), Rgb([170, 210, 240]), Rgb([235, 225, 205])][page.random.below(3)];
        let middle = (page.random.between(0.0, width), page.random.between(0.0, height));
        let reach = page.random.between(0.1, 0.35) * width;
        page.shape(middle, reach, tint);
    }
    let (ink, road) = (page.ink, grey(if page.is_dark { 110.0 } else { 255.0 }));
    for n in 0..12 + page.random.below(14) {
        let (mut x, mut y) = (page.random.between(0.0, width), page.random.between(0.0, height));
        let (mut angle, wide) = (page.random.between(0.0, 6.3), if n < 4 { 10.0 } else { 4.0 });
        for _ in 0..400 {
            page.block(x - 1.0, y - 1.0, wide + 2.0, wide + 2.0, grey(150.0));
            page.block(x, y, wide, wide, road);
            angle += page.random.between(-0.08, 0.08);
            (x, y) = (x + 2.0 * angle.cos(), y + 2.0 * angle.sin());
        }
    }
    for _ in 0..8 {
        let (x, y) = (page.random.between(0.0, width), page.random.between(0.0, height));
        page.words(x, y, 90.0, 11.0, ink);
    }
}

fn music(page: &mut Page) {
    let (width, height) = page.size();
    let (gap, margin, ink) = (page.random.between(5.0, 11.0), width * page.random.between(0.04, 0.1), page.ink);
    let mut y = height * page.random.between(0.04, 0.12);
    while y + 4.0 * gap < height * 0.97 {
        (0..5).for_each(|line| page.block(margin, y + line as f32 * gap, width - 2.0 * margin, 1.0, ink));
        let mut x = margin + 30.0;
        while x < width - margin - 10.0 {
            let place = y + gap * 0.5 * (page.random.below(11) as f32 - 1.0);
            page.paint((x, place), gap * 0.65, ink, |x, y| x * x + 1.6 * y * y <= 1.0);
            page.block(x + gap * 0.5, place - 3.0 * gap, 1.5, 3.0 * gap, ink);
            if page.random.below(5) == 0 {
                x += gap * 2.0;
                page.block(x, y, 1.5, 4.0 * gap, ink);
            }
            x += gap * page.random.between(2.0, 4.5);
        }
        y += gap * page.random.between(8.0, 11.0);
    }
}

fn calendar(page: &mut Page) {
    let (width, height) = page.size();
    let (first, ink, accent) = (page.random.below(7), page.ink, page.colour());
    let (wide, top) = (width / 7.0, height * page.random.between(0.1, 0.25));
    let high = (height - top) / 6.0;
    page.words(width * 0.05, top * 0.3, width * 0.5, top * 0.3, ink);
    let lines = page.random.below(2) == 0;
    for day in 0..31 {
        let cell = first + day;
        let (x, y) = ((cell % 7) as f32 * wide, top + (cell / 7) as f32 * high);
        if lines {
            page.block(x, y, wide, 1.0, grey(160.0));
            page.block(x, y, 1.0, high, grey(160.0));
        }
        if page.random.below(9) == 0 {
            page.block(x + 4.0, y + high * 0.55, wide - 8.0, high * 0.3, accent);
        }
        page.words(x + wide * 0.3, y + high * 0.15, wide * 0.4, high * 0.25, ink);
    }
}

fn code(page: &mut Page) {
    let (width, height) = page.size();
    let size = page.random.between(9.0, 16.0);
    let colours: Vec<Rgb<u8>> = (0..4).map(|_| page.colour()).collect();
    let (mut y, mut depth) = (10.0, 0usize);
    while y < height - size {
        page.words(6.0, y, size * 2.0, size, grey(128.0));
        if page.random.below(7) > 0 {
            let mut x = size * (3.5 + 2.0 * depth as f32);
            for _ in 0..=page.random.below(4) {
                let (length, colour) = (page.random.between(1.0, 9.0) * size, colours[page.random.below(4)]);
                page.words(x, y, length.min(width - x - 6.0), size, colour);
                x += length + size;
            }
        }
        depth = (depth + page.random.below(3)).saturating_sub(1).min(6);
        y += size * 1.5;
    }
}

fn card(page: &mut Page) {
    let (width, height) = page.size();
    let (high, accent, pale, ink) = (width * page.random.between(0.5, 0.66), page.colour(), page.colour(), page.ink);
    let (top, left) = ((height - high).max(0.0) * 0.5, width * page.random.between(0.0, 0.08));
    let wide = width - 2.0 * left;
    page.block(left, top, wide, high, pale);
    let head = high * page.random.between(0.12, 0.25);
    page.block(left, top, wide, head, accent);
    let photo = page.colour();
    page.block(left + wide * 0.05, top + high * 0.32, wide * 0.25, high * 0.5, photo);
    let (middle, reach) = ((left + wide * 0.175, top + high * 0.57), high * 0.15);
    page.paint(middle, reach, accent, |x, y| x * x + 0.7 * y * y <= 1.0);
    for line in 0..4 + page.random.below(3) {
        let length = wide * page.random.between(0.2, 0.55);
        page.words(left + wide * 0.36, top + high * (0.32 + 0.1 * line as f32), length, high * 0.06, ink);
    }
}

fn wallpaper(page: &mut Page) {
    let (width, height) = page.size();
    let random = &mut page.random;
    let waves: Vec<[f32; 5]> = (0..2 + random.below(4))
        .map(|_| [(); 5].map(|()| random.between(0.0, 1.0)))
        .map(|[angle, length, phase, light, bend]| [angle * 6.3, 60.0 + 400.0 * length, phase * 6.3, 20.0 + 50.0 * light, bend])
        .collect();
    let tint = random.between(0.5, 1.0);
    for (x, y, pixel) in page.all.enumerate_pixels_mut() {
        let (a, b) = (x as f32 - width / 2.0, y as f32 - height / 2.0);
        let light: f32 = waves
            .iter()
            .map(|[angle, length, phase, light, bend]| {
                let along = a * angle.cos() + b * angle.sin() + bend * 0.002 * (a * a - b * b);
                light * (along / length * 6.3 + phase).sin()
            })
            .sum();
        let level = (128.0 + light).clamp(0.0, 255.0);
        *pixel = Rgb([level as u8, (level * tint) as u8, (255.0 - level * 0.5) as u8]);
    }
}
