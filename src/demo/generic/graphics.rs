//! Drawn pictures that are no documents.

use image::Rgb;

use super::{Page, grey};

pub fn frame(page: &mut Page) {
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

pub fn two_tones(page: &mut Page) {
    let (ground, tone) = (page.colour(), page.colour());
    page.fill(ground);
    let (width, height) = page.size();
    for _ in 0..=page.random.below(4) {
        let middle = (page.random.between(0.1, 0.9) * width, page.random.between(0.1, 0.9) * height);
        let reach = page.random.between(0.1, 0.5) * width;
        page.shape(middle, reach, tone);
    }
}

pub fn logo(page: &mut Page) {
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

pub fn meme(page: &mut Page) {
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

pub fn sky(page: &mut Page) {
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

pub fn wallpaper(page: &mut Page) {
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

pub fn map(page: &mut Page) {
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

pub fn icons(page: &mut Page) {
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

pub fn chart(page: &mut Page) {
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

pub fn qr_code(page: &mut Page) {
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

pub fn barcode(page: &mut Page) {
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

pub fn comic(page: &mut Page) {
    let (width, height) = page.size();
    let (ink, rows) = (page.ink, 1 + page.random.below(3));
    let high = height / rows as f32;
    for row in 0..rows {
        let panels = 1 + page.random.below(3);
        let wide = width / panels as f32;
        for panel in 0..panels {
            let (x, y) = (panel as f32 * wide + 4.0, row as f32 * high + 4.0);
            let (wide, high, tint) = (wide - 8.0, high - 8.0, page.colour());
            page.block(x, y, wide, high, ink);
            page.block(x + 3.0, y + 3.0, wide - 6.0, high - 6.0, tint);
            for _ in 0..=page.random.below(2) {
                let (coat, face, size) = (page.colour(), page.colour(), high * page.random.between(0.1, 0.2));
                let middle = (x + wide * page.random.between(0.2, 0.8), y + high * 0.6);
                page.block(middle.0 - size * 0.7, middle.1, size * 1.4, high * 0.3, coat);
                page.paint(middle, size * 0.7, face, |x, y| x * x + y * y <= 1.0);
            }
            let (balloon, reach) = ((x + wide * page.random.between(0.3, 0.7), y + high * 0.18), wide * 0.28);
            page.paint(balloon, reach, grey(250.0), |x, y| x * x + 5.0 * y * y <= 1.0);
            page.words(balloon.0 - reach * 0.7, balloon.1 - 6.0, reach * 1.4, 11.0, ink);
        }
    }
}

pub fn playing_cards(page: &mut Page) {
    let (width, height) = page.size();
    let table = page.colour();
    page.fill(table);
    let cards = 2 + page.random.below(5);
    let wide = (width / cards as f32 - 12.0).min(height * 0.5);
    let (high, top) = (wide * 1.45, height * page.random.between(0.1, 0.3));
    for card in 0..cards {
        let (x, suit) =
            (6.0 + card as f32 * (wide + 12.0), if page.random.below(2) == 0 { grey(20.0) } else { Rgb([200, 20, 30]) });
        page.block(x, top, wide, high, grey(250.0));
        let pips = 1 + page.random.below(6);
        for pip in 0..pips {
            let middle = (
                x + wide * if pips == 1 || pip % 2 == 0 { 0.5 } else { 0.3 },
                top + high * (pip as f32 + 0.7) / (pips as f32 + 0.4),
            );
            let reach = wide * if pips == 1 { 0.25 } else { 0.1 };
            if page.random.below(2) == 0 {
                page.paint(middle, reach, suit, |x, y| x.abs() + y.abs() <= 1.0);
            } else {
                page.paint(middle, reach, suit, |x, y| x * x + y * y <= 1.0);
            }
        }
        page.words(x + 5.0, top + 6.0, wide * 0.15, wide * 0.15, suit);
    }
}
