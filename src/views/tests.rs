use super::*;
use crate::decode::{Channels, Picture, Rendering};

fn plane(picture: &Picture) -> Plane {
    let luma = picture.luma(Rendering::Stored);
    let mut reducer = Reducer::new(luma.width(), luma.height());
    let mut row = vec![0.0; luma.width() as usize];
    for y in 0..luma.height() {
        luma.row(y, &mut row);
        reducer.row(&row);
    }
    reducer.finish(3, 5)
}

fn views(picture: &Picture) -> Vec<Observation> {
    let mut out = Vec::new();
    observe(&plane(picture), &Limits::default(), &mut out);
    out
}

/// A picture drawn in greys; `at` gives its luma.
fn grey(width: u32, height: u32, at: impl Fn(u32, u32) -> u8) -> Picture {
    let samples = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| at(x, y)).collect();
    Picture::new(width, height, Channels::Grey, samples).unwrap()
}

/// Tiles of chance greys of several sizes: something at every frequency.
fn tiles(seed: u32, x: u32, y: u32) -> u32 {
    let chance = |size: u32| {
        let place = (x / size).wrapping_mul(2_654_435_761)
            ^ (y / size).wrapping_mul(2_246_822_519)
            ^ (seed + size).wrapping_mul(3_266_489_917);
        (place.wrapping_mul(668_265_263) ^ (place >> 15)).wrapping_mul(2_147_483_659_u32) >> 26
    };
    [120, 67, 29, 13].into_iter().map(chance).sum()
}

fn original(seed: u32) -> Picture {
    grey(480, 360, |x, y| tiles(seed, x, y) as u8)
}

/// Pinned: they must be the same on every processor, as verdicts are replayed.
#[test]
fn the_views_of_a_drawn_picture_stay_what_they_are() {
    let found = views(&original(6));
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    let digest = found.iter().fold(0u64, |sum, view| {
        let HashValue::Pdq(Pdq(words)) = view.hash else { panic!("not PDQ") };
        let places = view.view.corners.into_iter().flat_map(|(x, y)| [x as u64, y as u64]);
        words.into_iter().chain(places).chain([view.transform as u64, view.view.degrees as u64]).fold(sum, mix)
    });
    assert_eq!((found.len(), digest), (1_784, 497_159_525_689_841_691));
}

#[test]
fn limits_bound_each_class_and_the_likeliest_stay() {
    let plane = plane(&original(7));
    let count = |extended_max, windows_max, turned_max| {
        let mut out = Vec::new();
        observe(&plane, &Limits { extended_max, windows_max, turned_max }, &mut out);
        ViewKind::ALL.map(|kind| out.iter().filter(|o| o.view.kind == kind).count())
    };
    assert_eq!(count(0, 0, 0), [0; 4]);
    // The nine even cuts and one at a side: those alike at all ends are looked up in all eight ways.
    let [whole, extended, windows, turned] = count(10, 5, 3);
    assert!(
        whole == 0 && (60..=74).contains(&extended) && windows <= 40 && (1..=6).contains(&turned),
        "{extended} {windows} {turned}"
    );
    let [_, more, _, _] = count(300, 0, 0);
    assert!((630..=654).contains(&more), "{more}");
}

/// Pictures that no photograph is: bounded, and without a panic.
#[test]
fn degenerate_pictures_have_bounded_views() {
    let limits = Limits::default();
    // Of nine extended views, eight windows and one that is turned there are eight ways, not two.
    let most = 2 * (limits.extended_max + limits.windows_max + limits.turned_max) as usize + 6 * (9 + 8) + 8;
    let noise =
        |x: u32, y: u32| ((x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 24) as u8;
    let mut checked = 0;
    let mut check = |width: u32, height: u32, at: &dyn Fn(u32, u32) -> u8, flat: bool| {
        let found = views(&grey(width, height, at));
        assert!(found.len() <= most, "{width}x{height}: {}", found.len());
        assert!(!flat || found.is_empty(), "{width}x{height}: {} views of a flat picture", found.len());
        checked += 1;
    };
    let sizes =
        [(1, 1), (5, 6_000), (6_000, 5), (31, 31), (64, 64), (65, 63), (512, 512), (511, 1_025), (300, 2_000), (2_000, 70)];
    for (width, height) in sizes {
        check(width, height, &|_, _| 0, true);
        check(width, height, &|_, _| 255, true);
        for period in [1, 2, 3, 7, 16, 50] {
            check(width, height, &|x, _| if x / period % 2 == 0 { 0 } else { 255 }, false);
            check(width, height, &|_, y| if y / period % 2 == 0 { 0 } else { 255 }, false);
            check(width, height, &|x, y| if (x / period + y / period) % 2 == 0 { 0 } else { 255 }, false);
        }
        check(width, height, &noise, false);
        check(width, height, &|x, y| (x * 255 / width.max(1)) as u8 ^ (y % 2) as u8, false);
    }
    assert_eq!(checked, sizes.len() * (2 + 18 + 2));
}

#[test]
fn reduced_areas_keep_the_mean_and_every_pixel() {
    for (width, height) in [(1, 1), (512, 512), (513, 700), (1_024, 600), (3_000, 7), (7, 3_000), (1_500, 1_499)] {
        let picture = grey(width, height, |x, y| (x.wrapping_mul(7) ^ y.wrapping_mul(13)) as u8);
        let plane = plane(&picture);
        let longer = width.max(height).min(512) as usize;
        assert_eq!(plane.fine.width.max(plane.fine.height), longer, "{width}x{height}");
        let sum: f64 = (0..plane.fine.height).flat_map(|y| plane.fine.row(y)).map(|value| f64::from(*value)).sum();
        let mean = sum / (plane.fine.width * plane.fine.height) as f64;
        assert!(mean.abs() < 0.05, "{width}x{height}: {mean}");
    }
    // A white column three wide, in the middle of nine: made three times narrower it is one.
    let narrow = plane(&grey(4_608, 9, |x, _| if x % 9 / 3 == 1 { 240 } else { 0 }));
    let row = narrow.fine.row(0);
    assert!(row.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-3), "nine to one: each pixel holds a whole stripe");
}

/// A few strong edges with little between them, as a form or a card has them: no evidence, whatever the grain and the contrast.
#[test]
fn what_is_plain_beside_its_edges_has_no_views() {
    let noise = |x: u32, y: u32| {
        let place = (y * 640 + x).wrapping_mul(2_654_435_761);
        (place ^ (place >> 13)).wrapping_mul(2_246_822_519) >> 24
    };
    let count = |share: u32, grain: u32, contrast: u32| {
        // Of the original, a part with all its edges; the rest is plain.
        let luma = |x: u32, y: u32| if x < 480 * share / 100 { tiles(4, x, y) } else { 128 };
        let level = |x, y| 100 + luma(x, y) * contrast / 256 + noise(x, y) * grain / 256;
        views(&grey(480, 360, |x, y| level(x, y).min(255) as u8)).len()
    };
    for (grain, contrast) in [(0, 150), (12, 150), (0, 60), (6, 60)] {
        assert_eq!(count(5, grain, contrast), 0, "grain {grain}, contrast {contrast}");
        assert!(count(100, grain, contrast) > 500, "grain {grain}, contrast {contrast}");
    }
}

/// Bits of rows and columns alone have rank 1; of chance, some 8.
#[test]
fn hashes_of_rows_and_columns_are_told_from_varied_ones() {
    let chance = |seed: u32| {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        }
    };
    let packed =
        |rows: [u16; 16]| Pdq(std::array::from_fn(|i| (0..4).fold(0, |word, j| word | u64::from(rows[4 * i + j]) << (16 * j))));
    for seed in 1..200 {
        let mut next = chance(seed);
        let varied: [u16; 16] = std::array::from_fn(|_| next() as u16);
        assert!(evidence::is_varied(&packed(varied)), "{varied:04x?}");
        // The same row or its opposite, with a bit in ten changed.
        let row = next() as u16;
        let mut product: [u16; 16] = std::array::from_fn(|_| if next() % 2 == 0 { row } else { !row });
        assert!(!evidence::is_varied(&packed(product)), "{product:04x?}");
        for _ in 0..25 {
            product[next() as usize % 16] ^= 1 << (next() % 16);
        }
        assert!(!evidence::is_varied(&packed(product)), "{product:04x?}");
    }
    // Patterns in equal parts are as many ranks.
    let patterns =
        |n: usize| packed(std::array::from_fn(|i| [0x00ff, 0x0f0f, 0x3333, 0x5555, 0x0ff0, 0x3c3c, 0x6666, 0x6969][i % n]));
    assert!(!evidence::is_varied(&patterns(2)) && !evidence::is_varied(&patterns(4)) && evidence::is_varied(&patterns(8)));
}
