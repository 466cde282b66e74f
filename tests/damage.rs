//! Is a damaged picture ever taken for a whole one, or a whole one for damaged?
//!
//! Pictures are drawn here and encoded by cjpeg, Pillow and the `image` crate. What djpeg, libjpeg-turbo's decoder, complains of must leave
//! something out; what was never touched must not. Where the tools are missing (`make test` installs them) the tests say so and skip.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::pictures::{Random, draw};
use hashwarden::extract::{Extractor, InProcess, Wants};
use image::RgbImage;
use rayon::prelude::*;

fn have(tool: &str) -> bool {
    let there = Command::new(tool).arg("-version").stdin(Stdio::null()).output().is_ok();
    if !there {
        println!("skipped: {tool} is missing");
    }
    there
}

/// What was left out, or the reason why nothing was scanned.
fn missed(bytes: &[u8]) -> Result<Vec<String>, String> {
    let far = Instant::now() + Duration::from_secs(3600);
    match InProcess::new(Limits::default(), Instant::now).extract(bytes, &Wants::ALL, far) {
        Ok(features) => Ok(features.left_out.into_iter().map(|l| l.0).collect()),
        Err(unscanned) => Err(unscanned.to_string()),
    }
}

fn whole(bytes: &[u8]) -> bool {
    missed(bytes) == Ok(vec![])
}

/// Runs a tool on bytes; its output, and what it complains of.
fn run(tool: &str, arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let pipe = Stdio::piped;
    let mut child = Command::new(tool).args(arguments).stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // It may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn cjpeg(picture: &RgbImage, arguments: &[&str]) -> Vec<u8> {
    let header = format!("P6 {} {} 255\n", picture.width(), picture.height());
    let (jpeg, complaint) = run("cjpeg", arguments, &[header.as_bytes(), picture.as_raw()].concat());
    assert!(complaint.is_empty() && jpeg.starts_with(b"\xff\xd8"), "{complaint}");
    jpeg
}

fn djpeg_complains(jpeg: &[u8]) -> bool {
    !run("djpeg", &["-grayscale", "-pnm"], jpeg).1.is_empty()
}

/// Where a marker lies, from `from` on.
fn marker(jpeg: &[u8], code: u8, from: usize) -> Option<usize> {
    Some(from + jpeg[from..].windows(2).position(|pair| pair == [0xff, code])?)
}

fn first_data(jpeg: &[u8]) -> usize {
    let scan = marker(jpeg, 0xda, 0).unwrap();
    scan + 2 + usize::from(u16::from_be_bytes([jpeg[scan + 2], jpeg[scan + 3]]))
}

/// Damages to one file, each with its name.
fn damages(jpeg: &[u8], random: &mut Random) -> Vec<(&'static str, Vec<u8>)> {
    let (data, end) = (first_data(jpeg), jpeg.len() - 2);
    let mut out = Vec::new();
    out.push(("cut at a third and closed", [&jpeg[..data + (end - data) / 3], b"\xff\xd9"].concat()));
    let at = data + random.below(end - data - 600);
    out.push(("a piece missing", [&jpeg[..at], &jpeg[at + 300..]].concat()));
    let noise: Vec<u8> = (0..100).map(|_| random.next_u64() as u8).collect();
    out.push(("100 bytes inserted", [&jpeg[..at], &noise, &jpeg[at..]].concat()));
    out.push(("512 bytes zeroed", [&jpeg[..at], &[0; 512], &jpeg[at + 512..]].concat()));
    let mut bytes = jpeg.to_vec();
    (0..50).for_each(|_| bytes[data + random.below(end - data)] = random.next_u64() as u8);
    out.push(("50 bytes changed", bytes));
    let frame = marker(jpeg, 0xc0, 0).or(marker(jpeg, 0xc2, 0)).unwrap();
    let mut bytes = jpeg.to_vec();
    let height = u16::from_be_bytes([bytes[frame + 5], bytes[frame + 6]]);
    bytes[frame + 5..frame + 7].copy_from_slice(&(2 * height).to_be_bytes());
    out.push(("a doubled height", bytes));
    if let Some(restart) = (0xd0..0xd8).rev().find_map(|code| marker(jpeg, code, data)) {
        out.push(("restart intervals missing at the end", [&jpeg[..restart], b"\xff\xd9"].concat()));
    }
    out
}

const ENCODINGS: [&[&str]; 4] =
    [&["-quality", "85"], &["-quality", "85", "-restart", "1"], &["-progressive"], &["-progressive", "-restart", "1"]];

/// The `image` crate's decoder fills what is missing with grey and says nothing: of 331 files that djpeg complains of, made from
/// listed pictures, 320 passed for other pictures that match nothing.
#[test]
fn nothing_that_djpeg_complains_of_passes_for_whole() {
    if !have("cjpeg") || !have("djpeg") {
        return;
    }
    let check = |seed: u64| -> (usize, usize) {
        let (picture, mut random) = (draw(seed, 320, 240), Random::new(seed));
        let (mut files, mut complained) = (0, 0);
        for encoding in ENCODINGS {
            let jpeg = cjpeg(&picture, encoding);
            assert!(whole(&jpeg), "{encoding:?} of picture {seed}: {:?}", missed(&jpeg));
            for (damage, bytes) in damages(&jpeg, &mut random) {
                let complains = djpeg_complains(&bytes);
                assert!(!complains || !whole(&bytes), "{damage}, {encoding:?} of picture {seed} passes for whole");
                files += 1;
                complained += usize::from(complains);
            }
        }
        (files, complained)
    };
    let (files, complained) = (0..100u64).into_par_iter().map(check).reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{files} damaged files, {complained} that djpeg complains of");
    assert!(files >= 2400 && complained * 10 >= files * 9, "{files} files, {complained} complained of");
}

/// Decoders show what has come of a progressive picture, libjpeg-turbo without a word.
#[test]
fn a_progressive_picture_without_all_its_scans_is_partial() {
    if !have("cjpeg") {
        return;
    }
    for seed in 0..20 {
        let jpeg = cjpeg(&draw(seed, 320, 240), &["-progressive"]);
        let scans: Vec<usize> = std::iter::successors(marker(&jpeg, 0xda, 0), |at| marker(&jpeg, 0xda, at + 2)).collect();
        assert_eq!(scans.len(), 10, "cjpeg's own script");
        for kept in 1..scans.len() {
            // The tables before the first scan that is missing do no harm.
            let bytes = [&jpeg[..scans[kept]], b"\xff\xd9"].concat();
            let missed = missed(&bytes);
            assert!(
                missed.as_ref().is_ok_and(|words| words.iter().any(|w| w == "scans of the JPEG that are missing")),
                "{kept} scans of picture {seed}: {missed:?}"
            );
        }
    }
}

/// All that the encoders at hand make of pictures, and what is no damage though a decoder may stumble over it.
#[test]
fn what_was_never_damaged_is_whole() {
    if !have("cjpeg") {
        return;
    }
    let encodings: Vec<Vec<&str>> =
        ["-baseline", "-progressive", "-optimize", "-arithmetic", "-grayscale", "-rgb", "-restart 1", "-restart 7B"]
            .iter()
            .flat_map(|kind| {
                ["", "-quality 30", "-quality 98 -sample 1x1", "-sample 2x1", "-sample 1x2"].map(|more| [*kind, more])
            })
            .map(|both| both.iter().flat_map(|words| words.split_whitespace()).collect())
            .collect();
    let check = |seed: u64| -> usize {
        // Sizes that fill their blocks and such that don't.
        let picture = draw(seed, 160 + seed as u32, 120 + 3 * seed as u32);
        let jpegs: Vec<Vec<u8>> = encodings.iter().map(|encoding| cjpeg(&picture, encoding)).collect();
        for (jpeg, encoding) in jpegs.iter().zip(&encodings) {
            assert!(whole(jpeg), "{encoding:?} of picture {seed}: {:?}", missed(jpeg));
        }
        let jpeg = &jpegs[0];
        let odd = [
            ("trailing bytes", [jpeg, &b"trailing bytes \xff\xd8\xff\xe0"[..]].concat()),
            ("another picture behind it", [&jpeg[..], &jpegs[1]].concat()),
            ("a comment", [&jpeg[..2], b"\xff\xfe\0\x09comment", &jpeg[2..]].concat()),
            ("a version of JFIF to come", [&jpeg[..11], b"\x07", &jpeg[12..]].concat()),
            (
                "Adobe's segment with a transform to come",
                [&jpeg[..20], b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x09", &jpeg[20..]].concat(),
            ),
            ("a profile in disorder", [&jpeg[..20], b"\xff\xe2\0\x14ICC_PROFILE\0\x05\x02abcd", &jpeg[20..]].concat()),
            ("fill bytes before a marker", [&jpeg[..20], b"\xff\xff\xff", &jpeg[20..]].concat()),
        ];
        for (name, bytes) in &odd {
            assert!(whole(bytes), "{name}, picture {seed}: {:?}", missed(bytes));
        }
        jpegs.len() + odd.len()
    };
    // Arithmetic coding takes far less than a bit for a block that is plain.
    let mut plain = RgbImage::from_pixel(1600, 1200, image::Rgb([255; 3]));
    assert!(whole(&cjpeg(&plain, &["-arithmetic", "-quality", "1"])), "a plain picture");
    image::imageops::replace(&mut plain, &draw(1, 200, 150), 40, 40);
    assert!(whole(&cjpeg(&plain, &["-arithmetic"])), "a picture that is plain for the most part");
    let files: usize = (0..20u64).into_par_iter().map(check).sum();
    println!("{files} files");
    assert!(files >= 900, "{files}");
}

/// Pillow's files of every kind it can write that is read here.
#[test]
fn what_pillow_writes_is_whole() {
    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        return println!("skipped: HASHWARDEN_TEST_PYTHON names no Python with Pillow");
    };
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        draw(seed, 150 + 7 * seed as u32, 120).save(dir.path().join(format!("{seed}.png"))).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/encode_pictures.py");
    let output = Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8 * 25, "{} files", files.len());
    for file in files {
        let missed = missed(&std::fs::read(&file).unwrap());
        assert_eq!(missed, Ok(vec![]), "{}", file.file_name().unwrap().display());
    }
}
