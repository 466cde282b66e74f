//! Pictures that are alike in their parts: what a hash of a part may take for another.
//!
//! Frames, logos, charts, chats, keyboards, pages, maps, QR codes and so on, each drawn from a seed: half of them as they are, half as a camera
//! takes them. No two share a picture, so whatever matches between two of them is a false match. Like [`alterations`](super::alterations) not
//! the same bytes on every platform.

use image::{Rgb, RgbImage};

mod documents;
mod graphics;

use documents::{calendar, card, chat, code, feed, form, keyboard, music, slide, table, text, ticket, video_call};
use graphics::{barcode, chart, comic, frame, icons, logo, map, meme, playing_cards, qr_code, sky, two_tones, wallpaper};

use super::alterations::{block, words};
use super::pictures::Random;

pub const KINDS: [&str; 26] = [
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
    "comic",
    "playing cards",
    "form",
    "slide",
    "ticket",
    "video call",
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
        frame,
        two_tones,
        logo,
        chart,
        chat,
        keyboard,
        feed,
        text,
        meme,
        sky,
        icons,
        table,
        qr_code,
        barcode,
        map,
        music,
        calendar,
        code,
        card,
        wallpaper,
        comic,
        playing_cards,
        form,
        slide,
        ticket,
        video_call,
    ];
    draw[kind % KINDS.len()](&mut page);
    if page.random.below(2) == 0 {
        page.photograph();
    }
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

    /// As with a camera or a scanner: darker to the edges, and with grain.
    fn photograph(&mut self) {
        let (width, height) = self.size();
        let (grain, edge) = (self.random.between(1.0, 6.0), self.random.between(0.0, 0.8));
        let middle = (self.random.between(0.3, 0.7), self.random.between(0.3, 0.7));
        let random = &mut self.random;
        for (x, y, pixel) in self.all.enumerate_pixels_mut() {
            let (a, b) = (x as f32 / width - middle.0, y as f32 / height - middle.1);
            let light = 1.0 - edge * (a * a + b * b);
            // A sum of chances is near to a normal distribution; this one has a deviation of one.
            let off = grain * (0..3).map(|_| random.between(-1.0, 1.0)).sum::<f32>();
            pixel.0 = pixel.0.map(|level| (f32::from(level) * light + off).clamp(0.0, 255.0) as u8);
        }
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
