//! What do people and programs do to a picture that moves it within its frame?
//!
//! Crops, padding, captions, screenshots, collages, insets, small turns, overlays: hashes of the whole picture miss most of them. Amounts are
//! drawn from ranges, so that nothing can be tuned to one. Unlike [`edits`](super::edits) these are not the same bytes on every platform: turns take a sine.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::edits::Reach;
use super::pictures::Random;

/// One alteration.
pub struct Alteration {
    /// Alterations of one group are undone in the same way.
    pub group: &'static str,
    pub name: &'static str,
    /// The quality of the JPEG that the altered picture is posted as.
    pub jpeg_quality: u8,
    draw: fn(&Scene<'_>, &mut Random) -> RgbImage,
}

/// The picture, and strangers to put beside it.
struct Scene<'a> {
    picture: &'a RgbImage,
    others: &'a [RgbImage],
}

impl Alteration {
    /// What to expect of PDQ and all classes of views, as a new list has them. They lie where most of the original is left and its place can be told.
    pub fn reach(&self) -> Reach {
        match self.group {
            "none" => Reach::Within,
            "deeper crop" | "crop, then framed" | "collage of 9" | "turn by 4 degrees" | "overlay" => Reach::Edge,
            _ => Reach::Mostly,
        }
    }

    /// `others` are not altered; some are taken for collages, and at least one must be there.
    pub fn apply(&self, picture: &RgbImage, others: &[RgbImage], random: &mut Random) -> RgbImage {
        (self.draw)(&Scene { picture, others }, random)
    }
}

const fn of(
    group: &'static str,
    name: &'static str,
    jpeg_quality: u8,
    draw: fn(&Scene<'_>, &mut Random) -> RgbImage,
) -> Alteration {
    Alteration { group, name, jpeg_quality, draw }
}

pub static ALL: [Alteration; 52] = [
    of("none", "as it is", 88, |s, _| s.picture.clone()),
    of("none", "half size", 88, |s, _| scaled(s.picture, s.picture.width() / 2)),
    of("none", "JPEG 30", 30, |s, _| s.picture.clone()),
    of("crop to 4 %", "2 % a side", 88, |s, _| cut(s.picture, [0.02; 4])),
    of("crop to 4 %", "3 % a side", 88, |s, _| cut(s.picture, [0.03; 4])),
    of("crop to 4 %", "4 % a side", 88, |s, _| cut(s.picture, [0.04; 4])),
    of("crop to 4 %", "0 to 4 % a side", 88, |s, r| cut(s.picture, [0.0; 4].map(|_| r.between(0.0, 0.04)))),
    of("deeper crop", "5 % a side", 88, |s, _| cut(s.picture, [0.05; 4])),
    of("deeper crop", "8 % a side", 88, |s, _| cut(s.picture, [0.08; 4])),
    of("deeper crop", "10 % a side", 88, |s, _| cut(s.picture, [0.1; 4])),
    of("deeper crop", "0 to 8 % a side", 88, |s, r| cut(s.picture, [0.0; 4].map(|_| r.between(0.0, 0.08)))),
    of("deeper crop", "one side by 5 to 10 %", 88, |s, r| cut_one_side(s.picture, 0.05, 0.1, r)),
    of("deeper crop", "one side by 10 to 20 %", 88, |s, r| cut_one_side(s.picture, 0.1, 0.2, r)),
    of("deeper crop", "two ends by 5 to 10 %", 88, cut_two_ends),
    of("padding", "black", 88, |s, r| padded(s.picture, Rgb([0; 3]), r)),
    of("padding", "white", 88, |s, r| padded(s.picture, Rgb([255; 3]), r)),
    of("padding", "a colour, JPEG 40", 40, |s, r| padded(s.picture, colour(r), r)),
    of("padding", "at one end", 88, padded_at_one_end),
    of("letterbox", "above and below", 88, |s, r| boxed(s.picture, 0.0, r.between(0.1, 0.6))),
    of("letterbox", "at both sides", 88, |s, r| boxed(s.picture, r.between(0.1, 0.6), 0.0)),
    of("caption", "above, white", 88, |s, r| captioned(s.picture, true, false, r)),
    of("caption", "below, white", 88, |s, r| captioned(s.picture, false, false, r)),
    of("caption", "below, dark", 88, |s, r| captioned(s.picture, false, true, r)),
    of("screenshot", "phone, light", 88, |s, r| phone(s.picture, false, 0, r)),
    of("screenshot", "phone, dark", 88, |s, r| phone(s.picture, true, 0, r)),
    of("screenshot", "phone with margins", 88, phone_with_margins),
    of("screenshot", "phone, halved, JPEG 60", 60, phone_halved),
    of("screenshot", "browser", 88, |s, r| browser(s.picture, r)),
    of("story", "over itself, blurred", 88, |s, _| story(s.picture)),
    of("collage", "of 2", 88, |s, r| collage(s, (2, 1), 0, r)),
    of("collage", "of 4", 88, |s, r| collage(s, (2, 2), 0, r)),
    of("collage", "of 4 with gaps", 88, |s, r| collage(s, (2, 2), 4 + r.below(12) as u32, r)),
    of("collage of 9", "of 9", 88, |s, r| collage(s, (3, 3), 0, r)),
    of("inset", "in another picture", 88, |s, r| inset(s, false, r)),
    of("inset", "in another, JPEG 50", 50, |s, r| inset(s, false, r)),
    of("inset", "with a white frame", 88, |s, r| inset(s, true, r)),
    of("turn to 3 degrees", "by 1, cropped", 88, |s, r| turned_and_cropped(s.picture, 1.0, r)),
    of("turn to 3 degrees", "by 2, cropped", 88, |s, r| turned_and_cropped(s.picture, 2.0, r)),
    of("turn to 3 degrees", "by 3, cropped", 88, |s, r| turned_and_cropped(s.picture, 3.0, r)),
    of("turn by 4 degrees", "by 4, cropped", 88, |s, r| turned_and_cropped(s.picture, 4.0, r)),
    of("turn, corners to see", "by 2 to 7, same frame", 88, turned_in_frame),
    of("turn, corners to see", "by 5 to 30, larger frame", 88, turned_in_larger_frame),
    of("perspective", "corners by up to 3 %", 88, |s, r| perspective(s.picture, r)),
    of("overlay", "banner over 9 %", 88, |s, r| banner(s.picture, r)),
    of("overlay", "three stickers", 88, |s, r| stickers(s.picture, r)),
    of("mirrored crop", "3 % a side", 88, |s, _| imageops::flip_horizontal(&cut(s.picture, [0.03; 4]))),
    of("crop, then framed", "3 % a side, phone", 88, |s, r| phone(&cut(s.picture, [0.03; 4]), true, 0, r)),
    of("crop, then framed", "0 to 4 % a side, padded", 88, |s, r| {
        let sides = [0.0; 4].map(|_| r.between(0.0, 0.04));
        padded(&cut(s.picture, sides), WHITE, r)
    }),
    of("crop, then framed", "one side, caption", 88, |s, r| captioned(&cut_one_side(s.picture, 0.05, 0.1, r), false, false, r)),
    of("on its side", "phone", 88, |s, r| imageops::rotate90(&phone(s.picture, false, 0, r))),
    of("on its side", "caption below", 88, |s, r| imageops::rotate270(&captioned(s.picture, false, false, r))),
    of("on its side", "3 % a side", 88, |s, _| imageops::rotate90(&cut(s.picture, [0.03; 4]))),
];

const BLACK: Rgb<u8> = Rgb([0; 3]);
const WHITE: Rgb<u8> = Rgb([255; 3]);

fn coin(random: &mut Random) -> bool {
    random.below(2) == 0
}

fn colour(random: &mut Random) -> Rgb<u8> {
    Rgb([0; 3].map(|_: u8| random.below(256) as u8))
}

fn grey(level: usize) -> Rgb<u8> {
    Rgb([level.min(255) as u8; 3])
}

fn part(of: u32, share: f32) -> u32 {
    (of as f32 * share) as u32
}

fn canvas(width: u32, height: u32, colour: Rgb<u8>) -> RgbImage {
    RgbImage::from_pixel(width.max(1), height.max(1), colour)
}

fn resized(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    imageops::resize(picture, width.max(1), height.max(1), FilterType::CatmullRom)
}

/// To a width, in its own shape.
fn scaled(picture: &RgbImage, width: u32) -> RgbImage {
    resized(picture, width, picture.height() * width / picture.width())
}

fn put(on: &mut RgbImage, picture: &RgbImage, x: u32, y: u32) {
    imageops::replace(on, picture, i64::from(x), i64::from(y));
}

/// A filled rectangle, as much of it as lies on the picture.
pub(super) fn block(on: &mut RgbImage, (x, y): (u32, u32), (width, height): (u32, u32), colour: Rgb<u8>) {
    for y in y..(y + height).min(on.height()) {
        for x in x..(x + width).min(on.width()) {
            on.put_pixel(x, y, colour);
        }
    }
}

/// What a line of text looks like from afar: blocks of a letter's height.
pub(super) fn words(on: &mut RgbImage, (x, y): (u32, u32), width: u32, size: u32, ink: Rgb<u8>, random: &mut Random) {
    let (mut at, end) = (x, x + width);
    loop {
        for _ in 0..=random.below(8) {
            let letter = (size as f32 * random.between(0.25, 0.6)) as u32 + 1;
            if at + letter > end {
                return;
            }
            let low = if coin(random) { 0 } else { size / 3 };
            block(on, (at, y + low), ((letter / 3).max(1), size - low), ink);
            let bar = if coin(random) { low } else { size - size / 5 - 1 };
            block(on, (at, y + bar), (letter, (size / 5).max(1)), ink);
            at += letter + (size / 6).max(1);
        }
        at += size / 2;
    }
}

/// Without shares of its left, top, right and bottom.
fn cut(picture: &RgbImage, [left, top, right, bottom]: [f32; 4]) -> RgbImage {
    let (width, height) = picture.dimensions();
    let (x, y) = (part(width, left), part(height, top));
    imageops::crop_imm(picture, x, y, width - x - part(width, right), height - y - part(height, bottom)).to_image()
}

fn cut_one_side(picture: &RgbImage, low: f32, high: f32, random: &mut Random) -> RgbImage {
    let mut sides = [0.0; 4];
    sides[random.below(4)] = random.between(low, high);
    cut(picture, sides)
}

fn cut_two_ends(scene: &Scene<'_>, random: &mut Random) -> RgbImage {
    let (a, b) = (random.between(0.05, 0.1), random.between(0.05, 0.1));
    cut(scene.picture, if coin(random) { [a, 0.0, b, 0.0] } else { [0.0, a, 0.0, b] })
}

fn padded(picture: &RgbImage, colour: Rgb<u8>, random: &mut Random) -> RgbImage {
    let (width, height) = picture.dimensions();
    let across = random.between(0.03, 0.3);
    let down = if coin(random) { across } else { random.between(0.03, 0.3) };
    let (x, y) = (part(width, across), part(height, down));
    let mut all = canvas(width + 2 * x, height + 2 * y, colour);
    put(&mut all, picture, x, y);
    all
}

fn padded_at_one_end(scene: &Scene<'_>, random: &mut Random) -> RgbImage {
    let (width, height) = scene.picture.dimensions();
    let (share, colour, first) = (random.between(0.05, 0.4), colour(random), coin(random));
    let (more_x, more_y) = if coin(random) { (part(width, share), 0) } else { (0, part(height, share)) };
    let mut all = canvas(width + more_x, height + more_y, colour);
    put(&mut all, scene.picture, if first { 0 } else { more_x }, if first { 0 } else { more_y });
    all
}

/// In black bars.
fn boxed(picture: &RgbImage, across: f32, down: f32) -> RgbImage {
    let (x, y) = (part(picture.width(), across), part(picture.height(), down));
    let mut all = canvas(picture.width() + 2 * x, picture.height() + 2 * y, BLACK);
    put(&mut all, picture, x, y);
    all
}

fn captioned(picture: &RgbImage, above: bool, dark: bool, random: &mut Random) -> RgbImage {
    let (width, height) = picture.dimensions();
    let bar = part(height, random.between(0.1, 0.3));
    let (ground, ink) = if dark { (grey(10), grey(240)) } else { (WHITE, grey(10)) };
    let mut all = canvas(width, height + bar, ground);
    put(&mut all, picture, 0, if above { bar } else { 0 });
    let (top, size) = (if above { 0 } else { height } + bar / 6, (bar / 3).clamp(8, 36));
    words(&mut all, (12, top), width - 24, size, ink, random);
    words(&mut all, (12, top + size * 3 / 2), width / 2, size, ink, random);
    all
}

/// A post in an app: a header, the picture, buttons, text, a bar of icons.
fn phone(picture: &RgbImage, dark: bool, margin: u32, random: &mut Random) -> RgbImage {
    let width = 480 + random.below(300) as u32;
    let shown = scaled(picture, width - 2 * margin);
    let (head, foot) = (70 + random.below(100) as u32, 100 + random.below(300) as u32);
    let height = (head + shown.height() + foot).max(part(width, 1.6));
    let (ground, ink) = if dark { (grey(18 + random.below(20)), grey(230)) } else { (grey(245 + random.below(11)), grey(30)) };
    let mut all = canvas(width, height, ground);
    let top = head + random.below((height - head - shown.height() - foot + 1) as usize) as u32;
    words(&mut all, (16, 10), 60, 12, ink, random);
    words(&mut all, (width - 90, 10), 80, 12, ink, random);
    block(&mut all, (20, top - 42), (28, 28), Rgb([90, 120, 170]));
    words(&mut all, (60, top - 38), width / 3, 12, ink, random);
    words(&mut all, (60, top - 18), width / 4, 9, grey(130), random);
    put(&mut all, &shown, margin, top);
    let mut y = top + shown.height() + 12;
    for button in 0..3 {
        block(&mut all, (20 + button * 50, y), (24, 24), grey(120));
        block(&mut all, (24 + button * 50, y + 4), (16, 16), ground);
    }
    y += 40;
    while y + 64 < height {
        let length = width - 40 - random.below(width as usize / 2) as u32;
        words(&mut all, (20, y), length, 12, ink, random);
        y += 22;
    }
    block(&mut all, (0, height - 44), (width, 1), grey(150));
    for icon in 0..5 {
        block(&mut all, (width / 5 * icon + width / 10 - 11, height - 34), (22, 22), grey(110));
    }
    all
}

fn phone_with_margins(scene: &Scene<'_>, random: &mut Random) -> RgbImage {
    let (dark, margin) = (coin(random), 8 + random.below(40) as u32);
    phone(scene.picture, dark, margin, random)
}

fn phone_halved(scene: &Scene<'_>, random: &mut Random) -> RgbImage {
    let (dark, margin) = (coin(random), if coin(random) { 0 } else { 12 });
    let all = phone(scene.picture, dark, margin, random);
    scaled(&all, all.width() / 2)
}

/// A page with bars above it and text beside the picture.
fn browser(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let (width, height) = (1000 + random.below(400) as u32, 620 + random.below(200) as u32);
    let mut all = canvas(width, height, grey(250));
    block(&mut all, (0, 0), (width, 36), grey(222));
    block(&mut all, (0, 36), (width, 40), grey(240));
    words(&mut all, (90, 48), 300, 14, grey(60), random);
    let mut shown = scaled(picture, part(width, random.between(0.4, 0.6)));
    if shown.height() > height - 120 {
        shown = resized(picture, picture.width() * (height - 120) / picture.height(), height - 120);
    }
    let left = 60 + random.below(80) as u32;
    put(&mut all, &shown, left, 96);
    let beside = left + shown.width() + 30;
    let mut y = 100;
    while y + 30 < height {
        let length = (width - 40).saturating_sub(beside + random.below(80) as u32);
        words(&mut all, (beside, y), length, 13, grey(40), random);
        y += 24;
    }
    all
}

fn story(picture: &RgbImage) -> RgbImage {
    let (width, height) = (540, 960);
    let factor = (height as f32 / picture.height() as f32).max(width as f32 / picture.width() as f32);
    let small = resized(picture, part(picture.width(), factor / 8.0), part(picture.height(), factor / 8.0));
    let ground = resized(&imageops::blur(&small, 3.0), part(picture.width(), factor) + 8, part(picture.height(), factor) + 8);
    let mut all = imageops::crop_imm(&ground, (ground.width() - width) / 2, 0, width, height).to_image();
    let mut shown = scaled(picture, width);
    if shown.height() > 800 {
        shown = resized(picture, 800 * picture.width() / picture.height(), 800);
    }
    let (x, y) = ((width - shown.width()) / 2, (height - shown.height()) / 2);
    put(&mut all, &shown, x, y);
    all
}

/// The picture somewhere among others, all of its size.
fn collage(scene: &Scene<'_>, shape: (u32, u32), gap: u32, random: &mut Random) -> RgbImage {
    let (columns, rows) = if coin(random) { shape } else { (shape.1, shape.0) };
    let (width, height) = scene.picture.dimensions();
    let (width, height) = (width * 2 / (columns + 1), height * 2 / (rows + 1));
    let ground = if coin(random) { WHITE } else { BLACK };
    let mut all = canvas(columns * (width + gap) + gap, rows * (height + gap) + gap, ground);
    let mine = random.below((columns * rows) as usize);
    for place in 0..(columns * rows) as usize {
        let picture = if place == mine { scene.picture } else { &scene.others[place % scene.others.len()] };
        let (column, row) = (place as u32 % columns, place as u32 / columns);
        put(&mut all, &resized(picture, width, height), gap + column * (width + gap), gap + row * (height + gap));
    }
    all
}

/// A third to two thirds as wide as a larger picture that it lies on.
fn inset(scene: &Scene<'_>, framed: bool, random: &mut Random) -> RgbImage {
    let (width, height) = (scene.picture.width() * 3 / 2, scene.picture.height() * 3 / 2);
    let mut all = resized(&scene.others[0], width, height);
    let share = random.between(0.35, 0.65);
    let shown = resized(scene.picture, part(width, share), part(height, share));
    let (x, y) = (
        4 + random.below((width - shown.width() - 8) as usize) as u32,
        4 + random.below((height - shown.height() - 8) as usize) as u32,
    );
    if framed {
        block(&mut all, (x - 4, y - 4), (shown.width() + 8, shown.height() + 8), WHITE);
    }
    put(&mut all, &shown, x, y);
    all
}

/// Turned clockwise within a frame of a size; what the picture does not reach has a colour.
fn turned(picture: &RgbImage, degrees: f32, (width, height): (u32, u32), colour: Rgb<u8>) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (w, h) = (picture.width() as f32, picture.height() as f32);
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 + 0.5 - width as f32 / 2.0, y as f32 + 0.5 - height as f32 / 2.0);
        let (x, y) = (cos * x + sin * y + w / 2.0, cos * y - sin * x + h / 2.0);
        if x < 0.0 || y < 0.0 || x >= w || y >= h { colour } else { between(picture, x - 0.5, y - 0.5) }
    })
}

fn between(picture: &RgbImage, x: f32, y: f32) -> Rgb<u8> {
    let (left, top) = (x.floor(), y.floor());
    let (part_x, part_y) = (x - left, y - top);
    let at = |x: f32, y: f32| {
        let place = |at: f32, side: u32| (at.max(0.0) as u32).min(side - 1);
        picture.get_pixel(place(x, picture.width()), place(y, picture.height())).0.map(f32::from)
    };
    let (a, b, c, d) = (at(left, top), at(left + 1.0, top), at(left, top + 1.0), at(left + 1.0, top + 1.0));
    Rgb(std::array::from_fn(|i| {
        let (above, below) = (a[i] + (b[i] - a[i]) * part_x, c[i] + (d[i] - c[i]) * part_x);
        (above + (below - above) * part_y).round() as u8
    }))
}

fn either_way(degrees: f32, random: &mut Random) -> f32 {
    if coin(random) { degrees } else { -degrees }
}

/// The largest part of the picture's own shape that the turned picture fills.
fn turned_and_cropped(picture: &RgbImage, degrees: f32, random: &mut Random) -> RgbImage {
    let (w, h) = (picture.width() as f32, picture.height() as f32);
    let (sin, cos) = degrees.to_radians().sin_cos();
    let share = 1.0 / (cos + sin * h / w).max(cos + sin * w / h);
    turned(picture, either_way(degrees, random), (part(picture.width(), share), part(picture.height(), share)), BLACK)
}

fn turned_in_frame(scene: &Scene<'_>, random: &mut Random) -> RgbImage {
    let degrees = random.between(2.0, 7.0);
    turned(scene.picture, either_way(degrees, random), scene.picture.dimensions(), BLACK)
}

fn turned_in_larger_frame(scene: &Scene<'_>, random: &mut Random) -> RgbImage {
    let (w, h) = (scene.picture.width() as f32, scene.picture.height() as f32);
    let degrees = random.between(5.0, 30.0);
    let (sin, cos) = degrees.to_radians().sin_cos();
    let size = ((w * cos + h * sin).ceil() as u32, (w * sin + h * cos).ceil() as u32);
    let colour = if coin(random) { WHITE } else { BLACK };
    turned(scene.picture, either_way(degrees, random), size, colour)
}

fn perspective(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let (width, height) = picture.dimensions();
    let off: [f32; 8] = [0.0; 8].map(|_| random.between(0.0, 0.03));
    let corners = [(off[0], off[1]), (1.0 - off[2], off[3]), (1.0 - off[4], 1.0 - off[5]), (off[6], 1.0 - off[7])];
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let along = |of: fn((f32, f32)) -> f32| {
            let [a, b, c, d] = corners.map(of);
            (a + (b - a) * u) * (1.0 - v) + (d + (c - d) * u) * v
        };
        between(picture, along(|corner| corner.0) * width as f32, along(|corner| corner.1) * height as f32)
    })
}

fn banner(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let mut all = picture.clone();
    let (width, height) = all.dimensions();
    let band = part(height, 0.09);
    let top = if coin(random) { height - band } else { 0 };
    block(&mut all, (0, top), (width, band), grey(20));
    words(&mut all, (10, top + band / 4), width * 2 / 3, band / 2, grey(240), random);
    all
}

/// Yellow discs with two eyes, each a sixth as high as the picture.
fn stickers(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let mut all = picture.clone();
    let (width, height) = all.dimensions();
    let side = (width.min(height) / 6).max(1);
    for _ in 0..3 {
        let (left, top) = (random.below((width - side) as usize) as u32, random.below((height - side) as usize) as u32);
        for y in 0..side {
            for x in 0..side {
                let (a, b) = (x as f32 * 2.0 / side as f32 - 1.0, y as f32 * 2.0 / side as f32 - 1.0);
                let is_eye = (a.abs() - 0.35).abs() < 0.12 && (b + 0.3).abs() < 0.18;
                if a * a + b * b < 1.0 {
                    all.put_pixel(left + x, top + y, if is_eye { Rgb([60, 40, 10]) } else { Rgb([255, 204, 50]) });
                }
            }
        }
    }
    all
}
