//! Pages of text, and what a screen shows.

use image::Rgb;

use super::{Page, grey};

pub fn chat(page: &mut Page) {
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

pub fn keyboard(page: &mut Page) {
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

pub fn feed(page: &mut Page) {
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

pub fn text(page: &mut Page) {
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

pub fn table(page: &mut Page) {
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

pub fn music(page: &mut Page) {
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

pub fn calendar(page: &mut Page) {
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

pub fn code(page: &mut Page) {
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

pub fn card(page: &mut Page) {
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

pub fn form(page: &mut Page) {
    let (width, height) = page.size();
    let (left, wide, accent) = (width * page.random.between(0.08, 0.22), width * page.random.between(0.56, 0.8), page.colour());
    let (sheet, ink, line) = (grey(if page.is_dark { 50.0 } else { 255.0 }), page.ink, grey(185.0));
    page.block(left, height * 0.06, wide, height * 0.88, sheet);
    page.words(left + wide * 0.25, height * 0.11, wide * 0.5, height * 0.05, ink);
    let fields = 2 + page.random.below(4);
    let (inner, step) = (wide * 0.88, height * 0.62 / fields as f32);
    for field in 0..fields {
        let (x, y) = (left + wide * 0.06, height * 0.2 + field as f32 * step);
        let length = inner * page.random.between(0.15, 0.5);
        page.words(x, y, length, 12.0, ink);
        page.block(x, y + 18.0, inner, step * 0.5, line);
        page.block(x + 1.0, y + 19.0, inner - 2.0, step * 0.5 - 2.0, sheet);
    }
    page.block(left + wide * 0.06, height * 0.84, inner, height * 0.07, accent);
    page.words(left + wide * 0.4, height * 0.86, wide * 0.2, height * 0.03, grey(250.0));
}

pub fn slide(page: &mut Page) {
    let (width, height) = page.size();
    let (accent, ink, title) = (page.colour(), page.ink, width * page.random.between(0.3, 0.8));
    if page.random.below(3) == 0 {
        page.block(0.0, 0.0, width, height * 0.18, accent);
        page.words(width * 0.04, height * 0.06, title, height * 0.07, grey(250.0));
    } else {
        page.words(width * 0.04, height * 0.06, title, height * 0.07, accent);
        page.block(width * 0.04, height * 0.17, width * 0.92, 3.0, accent);
    }
    let (half, lines) = (page.random.below(2) == 0, 3 + page.random.below(4));
    for line in 0..lines {
        let y = height * (0.27 + 0.6 * line as f32 / lines as f32);
        page.paint((width * 0.06, y + 8.0), 5.0, accent, |x, y| x * x + y * y <= 1.0);
        let length = width * page.random.between(0.2, if half { 0.42 } else { 0.85 });
        page.words(width * 0.09, y, length, height * 0.04, ink);
    }
    if half {
        for bar in 0..5 {
            let (colour, value) = (page.colour(), height * page.random.between(0.1, 0.55));
            page.block(width * (0.56 + 0.08 * bar as f32), height * 0.88 - value, width * 0.06, value, colour);
        }
    }
}

pub fn ticket(page: &mut Page) {
    let (width, height) = page.size();
    let (high, accent, ink) = (width * page.random.between(0.38, 0.55), page.colour(), page.ink);
    let (left, top, wide) = (width * 0.06, (height - high).max(0.0) * 0.5, width * 0.88);
    page.block(left, top, wide, high, grey(if page.is_dark { 60.0 } else { 255.0 }));
    page.block(left, top, wide, high * 0.22, accent);
    let title = wide * page.random.between(0.25, 0.6);
    page.words(left + wide * 0.04, top + high * 0.06, title, high * 0.1, grey(250.0));
    for line in 0..3 + page.random.below(3) {
        let length = wide * page.random.between(0.2, 0.55);
        page.words(left + wide * 0.04, top + high * (0.32 + 0.13 * line as f32), length, high * 0.07, ink);
    }
    let (side, modules) = (high * 0.6, 17 + 4 * page.random.below(4));
    let module = side / modules as f32;
    for n in 0..modules * modules {
        if page.random.below(2) == 0 {
            let (x, y) = ((n % modules) as f32 * module, (n / modules) as f32 * module);
            page.block(left + wide * 0.96 - side + x, top + high * 0.3 + y, module.ceil(), module.ceil(), ink);
        }
    }
}

pub fn video_call(page: &mut Page) {
    let (width, height) = page.size();
    let (columns, rows) = (1 + page.random.below(4), 1 + page.random.below(4));
    let (wide, high) = (width / columns as f32, height / rows as f32);
    for cell in 0..columns * rows {
        let (x, y) = ((cell % columns) as f32 * wide, (cell / columns) as f32 * high);
        let (tile, face, ink) = (grey(if page.is_dark { 65.0 } else { 190.0 }), page.colour(), page.ink);
        page.block(x + 4.0, y + 4.0, wide - 8.0, high - 8.0, tile);
        let (middle, reach) = ((x + wide / 2.0, y + high / 2.0), wide.min(high) * 0.25);
        page.paint(middle, reach, face, |x, y| x * x + y * y <= 1.0);
        page.words(middle.0 - reach * 0.3, middle.1 - reach * 0.3, reach * 0.6, reach * 0.6, grey(250.0));
        let length = wide * page.random.between(0.15, 0.4);
        page.words(x + 10.0, y + high - 24.0, length, 11.0, ink);
    }
}
