//! How many pictures a second does a core hash, beside Pillow and pdqhash?
//!
//! Ours is all that the service does to a picture without views: decoding, PDQ with its eight transforms, the 64-bit hashes. The peer is
//! `pdq_from_bytes` of python-threatexchange: Pillow decodes, and pdqhash (the C++ reference) makes one hash and its quality. Both work on one
//! thread, on the same files, in one run; hashes must lie within 10 bits of each other before any time is printed. Pictures are drawn; Pillow
//! encodes what is no JPEG or PNG. Times exclude the time a thread waited for a core; for each file the median counts.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::{edits, pictures};
use hashwarden::entry::{Bits, HashKind, HashValue, Reason, Transform};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::hash::digest::Digests;
use serde_json::Value;

use super::drawn::jpeg;
use super::waited;

/// Pictures of each row.
const SEEDS: [u64; 3] = [1, 2, 3];
const JPEGS: [(&str, u32, u32); 3] = [("640x480 JPEG", 640, 480), ("1080p JPEG", 1920, 1080), ("12 MP JPEG", 4000, 3000)];
/// 1920x1080, as Pillow writes them; the name is the file's extension.
const OTHERS: [(&str, &str); 5] =
    [("1080p PNG", "png"), ("1080p WebP", "webp"), ("1080p HEIC", "heic"), ("1080p AVIF", "avif"), ("1080p JPEG XL", "jxl")];
/// Ours is timed so often, and until so much time has passed.
const PASSES: usize = 5;
const AT_LEAST: Duration = Duration::from_millis(400);
const BITS_MAX: u16 = 10;

pub fn compare(python: &str) {
    let folder = tempfile::tempdir().expect("a folder for the pictures");
    let path = |row: usize, seed: u64, extension: &str| folder.path().join(format!("{row}-{seed}.{extension}"));
    let rows: Vec<(&str, &str)> = JPEGS.iter().map(|(name, ..)| (*name, "jpg")).chain(OTHERS).collect();
    for seed in SEEDS {
        for (row, (_, width, height)) in JPEGS.iter().enumerate() {
            std::fs::write(path(row, seed, "jpg"), jpeg(seed, *width, *height)).expect("room on the disk");
        }
        let png = edits::encoded(&pictures::draw(seed, 1920, 1080), image::ImageFormat::Png).expect("it can be encoded");
        for row in JPEGS.len()..rows.len() {
            std::fs::write(path(row, seed, "png"), &png).expect("room on the disk");
        }
    }
    let output = Command::new(python)
        .args([Path::new("benches/peer_images.py"), folder.path()])
        .args(rows.iter().enumerate().map(|(row, (_, extension))| format!("{row}.{extension}")))
        .stderr(Stdio::inherit())
        .output()
        .expect("Python runs");
    assert!(output.status.success(), "the peer failed");
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
    println!("{}, one thread, {} pictures a row", told["packages"].as_str().expect("packages"), SEEDS.len());
    println!(
        "| | ms an image | images a second | digests, ms | peer, ms | peer, images a second | times |\n|---|---|---|---|---|---|---|"
    );
    for (row, (name, extension)) in rows.iter().enumerate() {
        let files = &told["rows"][row];
        if let Some(why) = files["skipped"].as_str() {
            println!("| {name} | skipped: {why} |");
            continue;
        }
        let (mut own_ms, mut digests_ms, mut peer_ms, mut unsupported) = (0.0, 0.0, 0.0, false);
        for (file, seed) in files["files"].as_array().expect("files").iter().zip(SEEDS) {
            let bytes = std::fs::read(path(row, seed, extension)).expect("the file is there");
            match extract(&bytes) {
                Err(unscanned) if unscanned.reason == Reason::Unsupported => unsupported = true,
                features => check(name, &features.expect("it is read"), file["pdq"].as_str().expect("a hash")),
            }
            own_ms += median_ms(|| drop(black_box(extract(&bytes)))) / SEEDS.len() as f64;
            digests_ms += median_ms(|| _ = black_box(Digests::of(&bytes))) / SEEDS.len() as f64;
            peer_ms += file["ms"].as_f64().expect("a time") / SEEDS.len() as f64;
        }
        if unsupported {
            println!("| {name} | not read here |");
            continue;
        }
        let (own_s, peer_s, times) = (1e3 / own_ms, 1e3 / peer_ms, peer_ms / own_ms);
        println!("| {name} | {own_ms:.2} | {own_s:.0} | {digests_ms:.2} | {peer_ms:.1} | {peer_s:.1} | {times:.1} |");
    }
    println!();
}

fn extract(bytes: &[u8]) -> Result<Features, Unscanned> {
    InProcess::new(Limits::default(), Instant::now).extract(bytes, &Wants::ALL, Instant::now() + Duration::from_secs(60))
}

fn check(name: &str, features: &Features, peer: &str) {
    assert!(features.left_out.is_empty(), "{name}: {:?}", features.left_out);
    assert_eq!(features.seen.len(), 10, "{name}");
    let own = features.seen.iter().find(|seen| seen.transform == Transform::Identity).map(|seen| seen.hash.clone());
    let (Some(HashValue::Pdq(own)), Ok(HashValue::Pdq(peer))) = (own, HashValue::from_hex(HashKind::Pdq, peer)) else {
        panic!("{name}: no PDQ");
    };
    assert!(own.distance(&peer) <= BITS_MAX, "{name}: {} bits from the peer's", own.distance(&peer));
}

fn median_ms(mut work: impl FnMut()) -> f64 {
    let (mut took, measuring) = (Vec::new(), Instant::now());
    while took.len() < PASSES || measuring.elapsed() < AT_LEAST {
        let (started, before) = (Instant::now(), waited());
        work();
        took.push(started.elapsed().saturating_sub(waited().saturating_sub(before)));
    }
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64() * 1e3
}
