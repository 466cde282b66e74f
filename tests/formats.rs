//! Does every format and colour mode of one picture come to the same hash, and is all of a file looked at?
//!
//! Files are made by Pillow and its plugins, where HASHWARDEN_TEST_PYTHON names a Python that has them, and by hand.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::pictures::draw;
use hashwarden::entry::{Bits, HashValue, Reason, Transform};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, RgbImage};

/// Bits of PDQ within which one picture is taken for another: the field's radius.
const RADIUS: u32 = 31;

fn scan(bytes: &[u8]) -> Result<Features, Unscanned> {
    scan_within(bytes, Limits::default())
}

fn scan_within(bytes: &[u8], limits: Limits) -> Result<Features, Unscanned> {
    let far = Instant::now() + Duration::from_secs(3600);
    InProcess::new(limits, Instant::now).extract(bytes, &Wants::ALL, far)
}

/// The hashes of the picture as it stands: frame and hash.
fn hashes(features: &Features) -> Vec<(u32, HashValue)> {
    let upright = features.seen.iter().filter(|seen| seen.transform == Transform::Identity);
    upright.filter(|seen| matches!(seen.hash, HashValue::Pdq(_))).map(|seen| (seen.frame, seen.hash.clone())).collect()
}

fn distance(a: &HashValue, b: &HashValue) -> u32 {
    match (a, b) {
        (HashValue::Pdq(a), HashValue::Pdq(b)) => a.distance(b).into(),
        _ => panic!("no PDQ"),
    }
}

/// How far the nearest hash of a file's is.
fn nearest(features: &Features, picture: &HashValue) -> u32 {
    hashes(features).iter().map(|(_, hash)| distance(hash, picture)).min().unwrap()
}

fn frames(features: &Features) -> BTreeSet<u32> {
    features.seen.iter().map(|seen| seen.frame).collect()
}

fn left_out(features: &Features) -> Vec<&str> {
    features.left_out.iter().map(|left| left.0.as_str()).collect()
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, 90).encode_image(picture).unwrap();
    out
}

fn hash_of(picture: &RgbImage) -> HashValue {
    hashes(&scan(&encoded(picture, ImageFormat::Png)).unwrap())[0].1.clone()
}

/// Runs a script of this folder over a folder of pictures; the files that it left there.
fn written(script: &str, dir: &Path) -> Option<Vec<PathBuf>> {
    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        println!("skipped: HASHWARDEN_TEST_PYTHON names no Python with Pillow and its plugins");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let output = Command::new(python).arg(script).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files)
}

#[test]
fn all_formats_and_colour_modes_of_a_picture_come_to_one_hash() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = [draw(1, 200, 150), draw(2, 256, 256), draw(3, 181, 240)];
    for (n, picture) in pictures.iter().enumerate() {
        picture.save(dir.path().join(format!("{n}.png"))).unwrap();
    }
    let Some(files) = written("encode_formats.py", dir.path()) else { return };
    assert!(files.len() >= 3 * 100, "{} files", files.len());
    let originals = pictures.each_ref().map(hash_of);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let original = &originals[usize::from(name.as_bytes()[0] - b'0')];
        let features = match scan(&std::fs::read(&file).unwrap()) {
            Ok(features) => features,
            Err(why) => {
                wrong.push(format!("{name}: {why}"));
                continue;
            }
        };
        let bits = nearest(&features, original);
        let several = name.contains("-several");
        let whole = if name.ends_with("moving.avif") {
            left_out(&features) == ["the frames of an image sequence"]
        } else {
            features.left_out.is_empty() && frames(&features).len() == if several { 4 } else { 1 }
        };
        if bits > RADIUS || !whole {
            wrong.push(format!("{name}: {bits} bits, frames {:?}, left out {:?}", frames(&features), left_out(&features)));
        } else if std::env::var_os("HASHWARDEN_SHOW").is_some() {
            println!("{name}: {bits} bits");
        }
    }
    assert!(wrong.is_empty(), "{} files:\n{}", wrong.len(), wrong.join("\n"));
}

/// Derived pictures, and files that would take minutes.
#[test]
fn derived_pictures_of_a_heic_are_put_together_and_bombs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let picture = draw(4, 256, 256);
    picture.save(dir.path().join("picture.png")).unwrap();
    let Some(files) = written("encode_heif.py", dir.path()) else { return };
    let original = hash_of(&picture);
    let mut count = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "heic")) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let bytes = std::fs::read(file).unwrap();
        let seen = scan(&bytes);
        count += 1;
        match (name.split('-').next().unwrap(), seen) {
            ("same" | "second", Ok(features)) => {
                assert!(nearest(&features, &original) <= RADIUS, "{name}: {} bits", nearest(&features, &original));
                assert_eq!(left_out(&features), Vec::<&str>::new(), "{name}");
            }
            ("doubtful", Ok(features)) => assert!(!features.left_out.is_empty(), "{name}"),
            ("doubtful", Err(refused)) => assert_eq!(refused.reason, Reason::Undecodable, "{name}: {refused}"),
            ("partial", Ok(features)) => assert_eq!(left_out(&features), ["parts whose data are damaged"], "{name}"),
            ("refused", Err(refused)) => {
                assert!(matches!(refused.reason, Reason::Undecodable | Reason::TooManyPixels), "{name}: {refused}");
            }
            (_, seen) => panic!("{name}: {seen:?}"),
        }
    }
    assert!(count >= 20, "{count} files");
}

/// A picture behind another, as cameras and those who hide something put it.
#[test]
fn what_follows_a_picture_is_looked_at() {
    let (first, second) = (draw(5, 160, 120), draw(6, 160, 120));
    let hidden = hash_of(&second);
    let formats = [ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Pnm];
    let covers: Vec<Vec<u8>> = formats.map(|format| encoded(&first, format)).into_iter().chain([jpeg(&first)]).collect();
    let tails: [(&str, Vec<u8>); 5] = [
        ("at once", Vec::new()),
        ("after zeros", vec![0; 1000]),
        ("after text", b"something else entirely, and more of it".to_vec()),
        ("after what looks like a JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF and no more".to_vec()),
        ("after a video", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x10mdatabcdefgh".to_vec()),
    ];
    for cover in &covers {
        assert_eq!(frames(&scan(cover).unwrap()).len(), 1);
        for (what, tail) in &tails {
            for second in [jpeg(&second), encoded(&second, ImageFormat::Png), encoded(&second, ImageFormat::WebP)] {
                let features = scan(&[&cover[..], tail, &second].concat()).unwrap();
                assert!(nearest(&features, &hidden) <= RADIUS, "{what}: {:?}", features.left_out);
                assert_eq!(frames(&features).len(), 2, "{what}");
                // What begins like a JPEG is taken for the beginning of the one that follows.
                let doubtful = matches!(*what, "after a video" | "after what looks like a JPEG");
                assert_eq!(!features.left_out.is_empty(), doubtful, "{what}: {:?}", features.left_out);
            }
        }
    }
    // PNM files may be one behind another, with a line break between them.
    let pnm = |of: &RgbImage| encoded(of, ImageFormat::Pnm);
    for cover in [pnm(&first), jpeg(&first)] {
        let features = scan(&[&cover[..], b"\n", &pnm(&second)].concat()).unwrap();
        assert!(nearest(&features, &hidden) <= RADIUS && features.left_out.is_empty());
        // Text that begins like one is text.
        let features = scan(&[&cover[..], b"\nP6 is what it is called"].concat()).unwrap();
        assert!(frames(&features).len() == 1 && features.left_out.is_empty());
    }
    // Its header is enough for it to be missed, even behind text.
    let mut broken = encoded(&second, ImageFormat::Png);
    broken.truncate(40);
    let features = scan(&[&jpeg(&first)[..], b"XX", &broken].concat()).unwrap();
    assert!(left_out(&features)[0].starts_with("picture 2 of the file: "), "{:?}", features.left_out);
    // A picture that can't be read is said to be missing; text is not.
    let mut broken = jpeg(&second);
    broken.truncate(100);
    let features = scan(&[jpeg(&first), broken].concat()).unwrap();
    assert!(left_out(&features)[0].starts_with("picture 2 of the file: "), "{:?}", features.left_out);
    let features = scan(&[jpeg(&first), b"MotionPhoto_Data and such".to_vec()].concat()).unwrap();
    assert!(features.left_out.is_empty());
}

/// An icon of several sizes, one of which is another picture.
#[test]
fn every_picture_of_an_icon_is_seen() {
    let (small, large) = (encoded(&draw(7, 64, 64), ImageFormat::Png), encoded(&draw(8, 128, 128), ImageFormat::Png));
    let mut icon = vec![0, 0, 1, 0, 2, 0];
    let mut at = 6 + 2 * 16;
    for (side, data) in [(64u8, &small), (128, &large)] {
        icon.extend([side, side, 0, 0, 1, 0, 32, 0]);
        icon.extend((data.len() as u32).to_le_bytes());
        icon.extend((at as u32).to_le_bytes());
        at += data.len();
    }
    icon.extend(small.iter().chain(&large));
    let features = scan(&icon).unwrap();
    for seed in [(7, 64), (8, 128)] {
        assert_eq!(nearest(&features, &hash_of(&draw(seed.0, seed.1, seed.1))), 0, "{seed:?}");
    }
    assert_eq!(frames(&features).len(), 2);
}

/// Of an animation that is too long the first, the last and evenly spread frames are looked at.
#[test]
fn long_animations_are_sampled_to_their_last_frame() {
    let pictures: Vec<RgbImage> = (0..40).map(|n| draw(100 + n, 64, 48)).collect();
    let mut gif = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
        let of = |picture: &RgbImage| image::Frame::new(image::DynamicImage::from(picture.clone()).into_rgba8());
        encoder.encode_frames(pictures.iter().map(of)).unwrap();
    }
    let check = |limits: Limits, seen: &[u32], words: &str| {
        let features = scan_within(&gif, limits).unwrap();
        assert_eq!(frames(&features).into_iter().collect::<Vec<_>>(), seen);
        assert_eq!(left_out(&features), [words]);
        for frame in seen {
            let of_frame = hashes(&features).into_iter().find(|(at, _)| at == frame).unwrap();
            assert!(distance(&of_frame.1, &hash_of(&pictures[*frame as usize])) <= RADIUS, "frame {frame}");
        }
    };
    check(
        Limits { frames_max: 4, ..Limits::default() },
        &[0, 13, 26, 39],
        "36 of 40 frames: only evenly spaced ones were looked at",
    );
    // As many pixels as 30 frames have: all can be decoded, 30 are looked at.
    let pixels = Limits { pixels_max: 64 * 48, frame_pixels_max: 64 * 48 * 30, ..Limits::default() };
    let features = scan_within(&gif, pixels).unwrap();
    assert_eq!((frames(&features).len(), frames(&features).last()), (30, Some(&39)));
    // Of more than can be decoded the first part is.
    let few = Limits { pixels_max: 64 * 48, frame_pixels_max: 64 * 48 * 10, ..Limits::default() };
    let features = scan_within(&gif, few).unwrap();
    assert_eq!((frames(&features).len(), frames(&features).last()), (10, Some(&19)));
    assert_eq!(left_out(&features).len(), 2, "{:?}", features.left_out);
}

/// Files of the formats whose decoders are young, a few bytes of which were changed: each comes to features or to a reason, and to the same one twice.
#[test]
fn changed_bytes_come_to_features_or_to_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    draw(9, 64, 64).save(dir.path().join("0.png")).unwrap();
    let Some(files) = written("encode_formats.py", dir.path()) else { return };
    let mut state = 11u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut outcomes = std::collections::BTreeMap::new();
    for file in files {
        let extension = file.extension().unwrap().to_str().unwrap().to_owned();
        if !matches!(&*extension, "heic" | "avif" | "jxl" | "jp2" | "j2k" | "ico" | "qoi" | "ppm" | "pam") {
            continue;
        }
        let whole = std::fs::read(&file).unwrap();
        for _ in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                // Most of what matters is at the beginning.
                let within = if random(2) == 0 { bytes.len() } else { bytes.len().min(600) };
                let at = random(within);
                bytes[at] = if random(2) == 0 { random(256) as u8 } else { bytes[at] ^ 1 << random(8) };
            }
            if random(8) == 0 {
                bytes.truncate(random(bytes.len()) + 1);
            }
            let seen = scan(&bytes);
            assert_eq!(seen, scan(&bytes), "{}", file.display());
            let outcome = match seen {
                Ok(features) if features.left_out.is_empty() => "whole".to_owned(),
                Ok(_) => "partial".to_owned(),
                Err(why) => {
                    assert_ne!(why.reason, Reason::Timeout, "{}", file.display());
                    why.reason.to_string()
                }
            };
            *outcomes.entry((extension.clone(), outcome)).or_insert(0) += 1;
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes.values().sum::<i32>() >= 1000, "{outcomes:?}");
}
