//! Do hashes equal the public reference's, and do hostile files come to nothing worse than a reason?
//!
//! The pictures and values lie outside this project. `HASHWARDEN_SHARED` names the folder that holds `pdq-reference/` and
//! `hostile-corpus/`; without it these tests say that they skip.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashwarden::decode::{self, Limits, Picture, Rendering};
use hashwarden::entry::{Bits, HashValue, Pdq, Reason, Transform};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::hash::digest::Digests;
use hashwarden::hash::pdq;

fn shared(folder: &str) -> Option<PathBuf> {
    let found = std::env::var_os("HASHWARDEN_SHARED").map(|dir| Path::new(&dir).join(folder)).filter(|dir| dir.is_dir());
    if found.is_none() {
        println!("skipped: HASHWARDEN_SHARED does not name a folder with {folder}");
    }
    found
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn pdq_of(hex: &str) -> Pdq {
    match HashValue::from_hex(hashwarden::entry::HashKind::Pdq, hex).unwrap() {
        HashValue::Pdq(pdq) => pdq,
        _ => unreachable!(),
    }
}

fn column(transform: Transform) -> &'static str {
    if transform == Transform::Identity { "hash" } else { transform.name() }
}

fn extract(bytes: &[u8]) -> Result<Features, Unscanned> {
    let extractor = InProcess::new(Limits::default(), Instant::now);
    extractor.extract(bytes, &Wants::ALL, Instant::now() + Duration::from_secs(600))
}

fn identity(features: &Features) -> (Pdq, u8) {
    match &features.seen[0] {
        o if o.transform == Transform::Identity => match o.hash {
            HashValue::Pdq(pdq) => (pdq, o.quality.unwrap()),
            _ => panic!("the first observation is no PDQ"),
        },
        _ => panic!("the first observation is turned"),
    }
}

#[test]
fn the_core_equals_the_reference_bit_for_bit() {
    let Some(dir) = shared("pdq-reference") else { return };
    let rows = rows(&dir.join("expected-core.csv"));
    assert!(rows.len() >= 20, "{} rows", rows.len());
    for row in rows {
        let file = &row["png"];
        let bytes = std::fs::read(dir.join("core-inputs").join(file)).unwrap();
        let mut frames = 0;
        let mut each = |_: u32, picture: &Picture| {
            assert_eq!(
                Digests::of(picture.samples()).values()[2].hex(),
                row["sha256_of_raw_pixels"],
                "{file}: not the same pixels"
            );
            let plane = pdq::plane64(&picture.luma(Rendering::Stored));
            assert_eq!(pdq::quality(&plane).to_string(), row["quality"], "{file}: quality");
            for (transform, hash) in Transform::ALL.into_iter().zip(pdq::hashes(&plane)) {
                assert_eq!(HashValue::Pdq(hash).hex(), row[column(transform)], "{file}: {transform}");
            }
            frames += 1;
            ControlFlow::Continue(())
        };
        assert_eq!(decode::frames(&bytes, &Limits::default(), &|| false, &mut each), Ok(vec![]), "{file}");
        assert_eq!(frames, 1, "{file}");
    }
}

#[test]
fn files_lie_within_ten_bits_of_the_full_resolution_reference() {
    let Some(dir) = shared("pdq-reference") else { return };
    let mut checked = 0;
    for row in rows(&dir.join("expected-files.csv")).iter().filter(|row| row["variant"] == "reffull") {
        let file = &row["file"];
        let features = extract(&std::fs::read(dir.join("images").join(file)).unwrap()).unwrap();
        assert_eq!(features.left_out, [], "{file}");
        let (hash, quality) = identity(&features);
        let bits = Transform::ALL.map(|t| match features.seen.iter().find(|o| o.transform == t).map(|o| &o.hash) {
            Some(HashValue::Pdq(hash)) => hash.distance(&pdq_of(&row[column(t)])),
            _ => panic!("{file}: no PDQ for {t}"),
        });
        println!("{file}: quality {quality}, bits off by transform {bits:?}");
        if row["quality"].parse::<u8>().unwrap() >= 80 {
            assert!(hash.distance(&pdq_of(&row["hash"])) <= 10, "{file}: {bits:?}");
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked} files");
}

#[test]
fn every_colour_mode_of_one_picture_lies_within_the_match_radius_of_the_others() {
    let Some(dir) = shared("pdq-reference") else { return };
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(dir.join("images/misc-images/modes")).unwrap() {
        let path = entry.unwrap().path();
        seen.push((path.clone(), identity(&extract(&std::fs::read(path).unwrap()).unwrap()).0));
    }
    assert!(seen.len() >= 4);
    for (i, (a, x)) in seen.iter().enumerate() {
        for (b, y) in &seen[i..] {
            assert!(x.distance(y) <= 31, "{} and {}: {} bits", a.display(), b.display(), x.distance(y));
        }
    }
}

/// Every file comes to features or to a reason. Times are printed, slowest first, and never asserted.
#[test]
fn every_hostile_file_comes_to_features_or_to_a_reason() {
    let Some(dir) = shared("hostile-corpus") else { return };
    let mut times = Vec::new();
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    for folder in std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            let name = path.strip_prefix(&dir).unwrap().display().to_string();
            let bytes = std::fs::read(&path).unwrap();
            let start = Instant::now();
            let outcome = extract(&bytes);
            times.push((start.elapsed(), name.clone()));
            if let Err(unscanned) = &outcome {
                assert!(!unscanned.detail.is_empty(), "{name}");
            }
            let words = match &outcome {
                Ok(f) if f.left_out.is_empty() => "whole".to_owned(),
                Ok(_) => "partial".to_owned(),
                Err(u) => u.reason.to_string(),
            };
            if std::env::var_os("HASHWARDEN_SAY").is_some() {
                println!("{name}\t{words}\t{:?}", outcome.as_ref().map(|f| &f.left_out).map_err(|u| &u.detail));
            }
            *tally.entry(words).or_default() += 1;
            check_outcome(&name, &outcome);
        }
    }
    times.sort();
    println!("{tally:?}");
    for (time, name) in times.iter().rev().take(8) {
        println!("{time:?} {name}");
    }
    assert!(times.len() > 1000, "{} files", times.len());
}

/// What is known of single files. `Ok` stands for features, whole or partial.
fn check_outcome(name: &str, outcome: &Result<Features, Unscanned>) {
    let reason = outcome.as_ref().err().map(|u| u.reason);
    assert_ne!(reason, Some(Reason::Timeout), "{name}");
    if let Some(file) = name.strip_prefix("pngsuite/") {
        assert_eq!(outcome.is_err(), file.starts_with('x'), "{name}: {outcome:?}");
    }
    let expected = match name.strip_prefix("synthetic-hostile/") {
        Some("empty.bin") => Some(Reason::Empty),
        Some("html_as.jpg" | "mvg_as_png.png" | "svg_xxe.svg" | "hdr_16000sq.hdr" | "hdr_4294967295.hdr") => {
            Some(Reason::Unsupported)
        }
        Some("jpeg_only_soi.jpg" | "jpeg_zero_dims.jpg" | "jpeg_progressive_4096sq_rgb_shortscan.jpg") => {
            Some(Reason::Undecodable)
        }
        Some(
            "gif_12000sq_1frame.gif"
            | "gif_screen1x1_frame65535.gif"
            | "jpeg_baseline_65500sq_noscan.jpg"
            | "jpeg_progressive_65500sq_noscan.jpg"
            | "png_interlaced_16000sq_gray1.png"
            | "qoi_hdr_16000sq.qoi"
            | "tiff_deflate_16000sq_valid.tif"
            | "tiff_hdr_60000sq_16bit.tif"
            | "webp_vp8l_16384sq_nodata.webp"
            | "webp_vp8x_canvas_16777216sq.webp",
        ) => Some(Reason::TooManyPixels),
        _ => return,
    };
    assert_eq!(reason, expected, "{name}: {outcome:?}");
}
