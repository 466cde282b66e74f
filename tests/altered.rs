//! Are altered copies of a picture found in its views, and where?
//!
//! On drawn pictures, in the room alone: what lists and servers make of views is tested in views.rs.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::alterations::{self, Alteration};
use hashwarden::demo::pictures::{self, Random};
use hashwarden::demo::{edits, generic};
use hashwarden::entry::{Bits, HashValue, Observation, Pdq, Transform, VIEW_SIDE, ViewKind};
use hashwarden::extract::{Extractor, InProcess, Wants};
use hashwarden::views;
use image::RgbImage;

const RADIUS: u16 = 31;

/// The hashes of the whole, and the views.
fn seen(image: &RgbImage, quality: u8) -> (Vec<Pdq>, Vec<Observation>) {
    let bytes = edits::jpeg(image, quality).unwrap();
    let wants = Wants { pdq: true, phash64: false, dhash64: false, transforms: true, views: true };
    let far = Instant::now() + Duration::from_secs(3600);
    let features = InProcess::new(Limits::default(), Instant::now).extract(&bytes, &wants, far).unwrap();
    assert!(features.left_out.is_empty());
    let mut views = Vec::new();
    views::observe(&features.planes[0], &views::Limits::default(), &mut views);
    (features.seen.iter().map(pdq_of).collect(), views)
}

fn hash(image: &RgbImage) -> Pdq {
    seen(image, 90).0[0]
}

fn pdq_of(observation: &Observation) -> Pdq {
    let HashValue::Pdq(hash) = observation.hash else { panic!("a view of another kind") };
    hash
}

fn draw(seed: u64) -> RgbImage {
    pictures::draw(seed, 640, 480)
}

/// The altered pictures, and the nearest view of each to the original.
fn nearest(alteration: &Alteration, seeds: std::ops::Range<u64>) -> Vec<(u16, Observation)> {
    let others: Vec<RgbImage> = (900..908).map(draw).collect();
    seeds
        .map(|seed| {
            let original = draw(seed);
            let altered = alteration.apply(&original, &others, &mut Random::new(seed));
            let (_, views) = seen(&altered, alteration.jpeg_quality);
            let hash = hash(&original);
            views.into_iter().map(|view| (pdq_of(&view).distance(&hash), view)).min_by_key(|(off, _)| *off).unwrap()
        })
        .collect()
}

fn named(group: &str, name: &str) -> &'static Alteration {
    alterations::ALL.iter().find(|alteration| (alteration.group, alteration.name) == (group, name)).unwrap()
}

#[test]
fn each_alteration_is_undone_by_the_views_that_are_for_it() {
    let check = |group: &str, name: &str, kind: ViewKind, least: usize| {
        let found = nearest(named(group, name), 0..8);
        let within = found.iter().filter(|(off, view)| *off <= RADIUS && view.view.kind == kind).count();
        assert!(within >= least, "{group}, {name}: {:?}", found.iter().map(|(off, v)| (*off, v.view.kind)).collect::<Vec<_>>());
    };
    check("crop to 4 %", "3 % a side", ViewKind::Extended, 7);
    check("deeper crop", "one side by 5 to 10 %", ViewKind::Extended, 6);
    check("padding", "black", ViewKind::Window, 7);
    check("padding", "a colour, JPEG 40", ViewKind::Window, 7);
    check("caption", "above, white", ViewKind::Window, 7);
    check("screenshot", "phone, light", ViewKind::Window, 7);
    check("collage", "of 4 with gaps", ViewKind::Window, 7);
    check("inset", "with a white frame", ViewKind::Window, 7);
    check("turn to 3 degrees", "by 2, cropped", ViewKind::Turned, 6);
    check("turn, corners to see", "by 5 to 30, larger frame", ViewKind::Turned, 7);
    check("crop, then framed", "3 % a side, phone", ViewKind::Extended, 5);
    check("crop, then framed", "one side, caption", ViewKind::Extended, 5);
    check("on its side", "phone", ViewKind::Window, 6);
    check("on its side", "3 % a side", ViewKind::Extended, 6);
}

#[test]
fn a_view_says_where_it_lies() {
    // 3 % off each side of the original: 3 of 94 parts lie beyond each edge.
    for (off, found) in nearest(named("crop to 4 %", "3 % a side"), 0..4) {
        let [(left, top), _, (right, bottom), _] = found.view.corners;
        assert!(off <= RADIUS && (-600..-100).contains(&left) && (-600..-100).contains(&top), "{found:?}");
        assert!((10_100..10_600).contains(&right) && (10_100..10_600).contains(&bottom) && found.view.degrees == 0, "{found:?}");
    }
    // A picture of half the width and height, a quarter from the left and the top.
    let (inner, mut outer) = (draw(11), pictures::draw(12, 1280, 960));
    image::imageops::replace(&mut outer, &inner, 320, 240);
    let hash = hash(&inner);
    let views = seen(&outer, 90).1;
    let found = views.iter().min_by_key(|view| pdq_of(view).distance(&hash)).unwrap();
    assert!(pdq_of(found).distance(&hash) <= 20, "{found:?}");
    for ((x, y), (x_is, y_is)) in [(1, 1), (3, 1), (3, 3), (1, 3)].into_iter().zip(found.view.corners) {
        assert!((x_is - x * VIEW_SIDE / 4).abs() <= 60 && (y_is - y * VIEW_SIDE / 4).abs() <= 60, "{found:?}");
    }
}

/// Cells of a ruled page make hundreds of windows with plainer sides than a picture has: one of these was missed for them.
#[test]
fn a_picture_on_a_ruled_page_is_found() {
    let found = (0..8).filter(|seed| {
        let (original, grey) = (draw(*seed), image::Rgb([210; 3]));
        let is_line = |x: u32, y: u32| x.is_multiple_of(166) || y.is_multiple_of(50);
        let mut page = RgbImage::from_fn(1000, 800, |x, y| if is_line(x, y) { grey } else { image::Rgb([255; 3]) });
        let small = image::imageops::resize(&original, 420, 315, image::imageops::FilterType::CatmullRom);
        image::imageops::replace(&mut page, &small, 300, 183);
        let hash = hash(&original);
        seen(&page, 88).1.iter().any(|view| view.view.kind == ViewKind::Window && pdq_of(view).distance(&hash) <= RADIUS)
    });
    assert_eq!(found.count(), 8);
}

/// Three fifths of the lower side go on below it, as where a picture lies on something as light: no line runs along it, but those beside it end there.
#[test]
fn a_side_that_can_hardly_be_seen_is_told_by_the_sides_beside_it() {
    let found = (0..8).filter(|seed| {
        let original = draw(*seed);
        let mut all = RgbImage::from_pixel(900, 700, image::Rgb([128; 3]));
        let small = image::imageops::resize(&original, 480, 360, image::imageops::FilterType::CatmullRom);
        image::imageops::replace(&mut all, &small, 200, 150);
        for (x, y) in (296..584).flat_map(|x| (510..560).map(move |y| (x, y))) {
            all.put_pixel(x, y, *all.get_pixel(x, 509));
        }
        let hash = hash(&original);
        seen(&all, 88).1.iter().any(|view| view.view.kind == ViewKind::Window && pdq_of(view).distance(&hash) <= RADIUS)
    });
    assert_eq!(found.count(), 8);
}

#[test]
fn a_mirrored_crop_is_found_under_its_transform() {
    for (off, found) in nearest(named("mirrored crop", "3 % a side"), 0..4) {
        assert_eq!((off <= RADIUS, found.transform), (true, Transform::FlipY), "{off} {found:?}");
    }
}

#[test]
fn the_angle_of_a_turned_view_is_told_counter_clockwise() {
    let original = draw(3);
    // Turned a quarter by hand: rows go down, so this picture's content is turned clockwise by 10 degrees.
    let (sin, cos) = 10f32.to_radians().sin_cos();
    let turned = RgbImage::from_fn(760, 600, |x, y| {
        let (x, y) = (x as f32 - 380.0, y as f32 - 300.0);
        let (x, y) = (cos * x + sin * y + 320.0, cos * y - sin * x + 240.0);
        if x < 0.0 || y < 0.0 || x >= 640.0 || y >= 480.0 { image::Rgb([0; 3]) } else { *original.get_pixel(x as u32, y as u32) }
    });
    let hash = hash(&original);
    let views = seen(&turned, 90).1;
    let found = views.iter().min_by_key(|view| pdq_of(view).distance(&hash)).unwrap();
    assert!(pdq_of(found).distance(&hash) <= RADIUS && found.view.kind == ViewKind::Turned, "{found:?}");
    assert!((found.view.degrees + 1_000).abs() <= 75, "{found:?}");
}

#[test]
fn strangers_stay_far_and_generic_pictures_are_no_evidence() {
    let known: Vec<Pdq> = (0..60).map(|seed| hash(&draw(seed))).collect();
    let strangers: Vec<u16> = (100..112)
        .flat_map(|seed| seen(&draw(seed), 90).1)
        .map(|view| known.iter().map(|hash| pdq_of(&view).distance(hash)).min().unwrap())
        .collect();
    assert!(strangers.len() > 5_000 && strangers.iter().all(|nearest| *nearest > 50), "{strangers:?}");
    // Each kind: half of them listed, the other half looked up.
    for kind in 0..generic::KINDS.len() {
        let listed: Vec<Pdq> = (0..20).map(|seed| hash(&generic::draw(kind, seed))).collect();
        for seed in 1_000..1_012 {
            let (whole, views) = seen(&generic::draw(kind, seed), 90);
            for hash in listed.iter().filter(|hash| whole.iter().all(|whole| whole.distance(hash) > RADIUS)) {
                let near = views.iter().find(|view| pdq_of(view).distance(hash) <= RADIUS);
                assert!(near.is_none(), "{}, {seed}: {near:?}", generic::KINDS[kind]);
            }
        }
    }
}
