//! How many altered copies are found, by alteration and by class of views, at which cost, and what is found that should not be?
//!
//! On pictures drawn here, or on a folder of one's own photographs: `make bench-recall PHOTOS=DIR`. Each picture's own PDQ hash stands in the
//! list; its altered copy, as a JPEG, is looked up as a whole (with its eight transforms) and in its views, with the default limits. Then generic pictures of
//! twelve kinds, half of them listed and half looked up: whatever matches there through a view and not as a whole is a false match.
//!
//! Prints a table in Markdown and writes a plot beside it (`recall.svg` in the target directory).

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::alterations::{self, Alteration};
use hashwarden::demo::lists::random_pdq;
use hashwarden::demo::pictures::{self, Random};
use hashwarden::demo::{edits, generic};
use hashwarden::entry::{Bits, HashValue, Observation, Pdq, ViewKind};
use hashwarden::extract::{Extractor, InProcess, Wants};
use hashwarden::index::{IndexKind, Query, Scratch, build};
use hashwarden::views;
use image::RgbImage;
use rayon::prelude::*;

const RADII: [u16; 3] = [31, 35, 39];
/// Pictures drawn, or taken from the folder.
const PICTURES: usize = 60;
/// Generic pictures of a kind, listed and looked up each.
const GENERIC: u64 = 200;
/// Rows of the index that the cost of look-ups is measured with.
const ROWS: usize = 1_000_000;

struct Seen {
    whole: Vec<Pdq>,
    views: Vec<Observation>,
    /// To hash the views.
    took: Duration,
}

fn seen(image: &RgbImage, quality: u8) -> Seen {
    let bytes = edits::jpeg(image, quality).unwrap();
    let wants = Wants { pdq: true, phash64: false, dhash64: false, transforms: true, views: true };
    let far = Instant::now() + Duration::from_secs(3600);
    let features = InProcess::new(Limits::default(), Instant::now).extract(&bytes, &wants, far).unwrap();
    let (began, mut views) = (Instant::now(), Vec::new());
    views::observe(&features.planes[0], &views::Limits::default(), &mut views);
    Seen { whole: features.seen.iter().map(pdq_of).collect(), views, took: began.elapsed() }
}

fn pdq_of(observation: &Observation) -> Pdq {
    let HashValue::Pdq(hash) = observation.hash else { unreachable!("PDQ alone was asked for") };
    hash
}

/// The nearest distance of each class to a hash.
type Nearest = [u16; ViewKind::ALL.len()];

fn nearest(seen: &Seen, hash: &Pdq) -> Nearest {
    let mut nearest = [Pdq::BITS; ViewKind::ALL.len()];
    nearest[0] = seen.whole.iter().map(|whole| whole.distance(hash)).min().unwrap();
    for view in &seen.views {
        let class = &mut nearest[view.view.kind as usize - ViewKind::Whole as usize];
        *class = pdq_of(view).distance(hash).min(*class);
    }
    nearest
}

/// What became of one alteration of all pictures.
struct Row {
    alteration: &'static Alteration,
    nearest: Vec<Nearest>,
    /// The nearest view to a picture that is not in the file.
    stranger: u16,
    views: usize,
    took: Duration,
}

impl Row {
    /// Percent found as a whole or in one of some classes.
    fn found(&self, classes: &[usize], radius: u16) -> f64 {
        let within = |nearest: &&Nearest| nearest[0] <= radius.min(31) || classes.iter().any(|class| nearest[*class] <= radius);
        100.0 * self.nearest.iter().filter(within).count() as f64 / self.nearest.len() as f64
    }
}

fn main() {
    let folder = std::env::var_os("PHOTOS").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let originals = match &folder {
        Some(folder) => photographs(folder),
        None => (0..PICTURES as u64).into_par_iter().map(|seed| pictures::draw(seed, 640, 480)).collect(),
    };
    assert!(originals.len() > 10, "ten pictures are needed at least: {} found", originals.len());
    let hashes: Vec<Pdq> = originals.par_iter().map(|picture| seen(picture, 95).whole[0]).collect();
    let rows: Vec<Row> = alterations::ALL.iter().map(|alteration| measure(alteration, &originals, &hashes)).collect();
    // The answers are right before they are counted: what is not altered is found as a whole.
    assert!(rows[0].found(&[], 31) == 100.0, "unaltered pictures were not found");

    let what = if folder.is_some() { "photographs" } else { "drawn pictures" };
    println!(
        "{} {what}, {} alterations; percent found at radius 31, each class with the whole, then all at {RADII:?}\n",
        originals.len(),
        rows.len()
    );
    println!(
        "| altered copy | | PDQ as it is | + extended | + window | + turned | all, 31 | all, 35 | all, 39 | views | ms to hash them |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for row in &rows {
        let classes = [&[][..], &[1], &[2], &[3], &[1, 2, 3]].map(|classes| row.found(classes, 31));
        print!("| {} | {} |", row.alteration.group, row.alteration.name);
        classes.iter().for_each(|percent| print!(" {percent:.0} |"));
        RADII[1..].iter().for_each(|radius| print!(" {:.0} |", row.found(&[1, 2, 3], *radius)));
        let files = row.nearest.len() as f64;
        println!(" {:.0} | {:.1} |", row.views as f64 / files, row.took.as_secs_f64() * 1e3 / files);
    }
    let mean = |classes: &[usize], radius| rows.iter().map(|row| row.found(classes, radius)).sum::<f64>() / rows.len() as f64;
    let all = RADII.map(|radius| format!("{:.1}", mean(&[1, 2, 3], radius)));
    println!("\nAll together: {:.1} % as they are, {} % in views at {RADII:?}.", mean(&[], 31), all.join(", "));
    println!("Nearest view to a stranger's hash: {} bits.", rows.iter().map(|row| row.stranger).min().unwrap());
    cost(&originals[0]);
    false_matches();
    let plot = Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp")).with_file_name("recall.svg");
    std::fs::write(&plot, svg(&rows)).unwrap();
    println!("\nPlot: {}", plot.display());
}

fn photographs(folder: &Path) -> Vec<RgbImage> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    let step = files.len().div_ceil(PICTURES).max(1);
    let read = |path: &PathBuf| match image::open(path) {
        Ok(image) => Some(image.to_rgb8()),
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            None
        }
    };
    files.iter().step_by(step).filter_map(read).collect()
}

fn measure(alteration: &'static Alteration, originals: &[RgbImage], hashes: &[Pdq]) -> Row {
    const OTHERS: usize = 8;
    let of = |i: usize| {
        let beside: Vec<usize> = (1..=OTHERS).map(|step| (i + step) % originals.len()).filter(|other| *other != i).collect();
        let others: Vec<RgbImage> = beside.iter().map(|other| originals[*other].clone()).collect();
        let altered = alteration.apply(&originals[i], &others, &mut Random::new(i as u64));
        let seen = seen(&altered, alteration.jpeg_quality);
        let is_stranger = |j: &usize| *j != i && !beside.contains(j);
        let strangers = (0..hashes.len())
            .filter(is_stranger)
            .flat_map(|j| seen.views.iter().map(move |view| pdq_of(view).distance(&hashes[j])));
        (nearest(&seen, &hashes[i]), strangers.min().unwrap_or(Pdq::BITS), seen.views.len(), seen.took)
    };
    let all: Vec<_> = (0..originals.len()).into_par_iter().map(of).collect();
    Row {
        alteration,
        nearest: all.iter().map(|one| one.0).collect(),
        stranger: all.iter().map(|one| one.1).min().unwrap_or(Pdq::BITS),
        views: all.iter().map(|one| one.2).sum(),
        took: all.iter().map(|one| one.3).sum(),
    }
}

/// Look-ups of a picture's views as one batch.
fn cost(picture: &RgbImage) {
    let views: Vec<Pdq> = seen(picture, 90).views.iter().map(pdq_of).collect();
    let rows: Arc<[Pdq]> = random_pdq(1, ROWS).into();
    let index = build(IndexKind::MultiIndex, rows);
    println!("\nOne thread, {} views of a picture in a list of {ROWS} as one batch:", views.len());
    for radius in RADII {
        let queries: Vec<Query<Pdq>> = views.iter().map(|hash| Query { hash: *hash, radius }).collect();
        let mut scratch = Scratch::default();
        let once = |scratch: &mut Scratch| {
            let began = Instant::now();
            index.look_up(&queries, scratch, &mut |_| ControlFlow::Continue(()));
            began.elapsed()
        };
        let quickest = (0..20).map(|_| once(&mut scratch)).min().unwrap();
        let each = quickest.as_secs_f64() * 1e6 / views.len().max(1) as f64;
        println!("radius {radius}: {:.2} ms, {each:.2} us a view", quickest.as_secs_f64() * 1e3);
    }
}

/// Generic pictures against others of their kind and of all kinds.
fn false_matches() {
    let both = |seeds: std::ops::Range<u64>| -> Vec<(usize, u64)> {
        (0..generic::KINDS.len()).flat_map(|kind| seeds.clone().map(move |seed| (kind, seed))).collect()
    };
    let listed: Vec<Pdq> =
        both(0..GENERIC).par_iter().map(|(kind, seed)| seen(&generic::draw(*kind, *seed), 95).whole[0]).collect();
    let found: Vec<(usize, [bool; RADII.len()], usize)> = both(1_000_000..1_000_000 + GENERIC)
        .par_iter()
        .map(|(kind, seed)| {
            let seen = seen(&generic::draw(*kind, *seed), 88);
            let mut matched = [false; RADII.len()];
            for nearest in listed.iter().map(|hash| nearest(&seen, hash)).filter(|nearest| nearest[0] > 31) {
                for (matched, radius) in matched.iter_mut().zip(RADII) {
                    *matched |= nearest[1..].iter().any(|distance| *distance <= radius);
                }
            }
            (*kind, matched, seen.views.len())
        })
        .collect();
    println!(
        "\n{} generic pictures listed, as many others looked up: those that match through a view and not as a whole\n",
        listed.len()
    );
    println!("| kind | looked up | at 31 | at 35 | at 39 | views |\n|---|---|---|---|---|---|");
    let mut by_kind: BTreeMap<usize, (usize, [usize; RADII.len()], usize)> = BTreeMap::new();
    for (kind, matched, views) in &found {
        let sum = by_kind.entry(*kind).or_default();
        sum.0 += 1;
        sum.1.iter_mut().zip(matched).for_each(|(n, matched)| *n += usize::from(*matched));
        sum.2 += views;
    }
    for (kind, (n, matched, views)) in by_kind {
        println!("| {} | {n} | {} | {} | {} | {} |", generic::KINDS[kind], matched[0], matched[1], matched[2], views / n);
    }
}

/// Bars: what PDQ finds as it is, and what views add, by group.
fn svg(rows: &[Row]) -> String {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows {
        match groups.last_mut().filter(|(group, _)| *group == row.alteration.group) {
            Some((_, of)) => of.push(row),
            None => groups.push((row.alteration.group, vec![row])),
        }
    }
    let height = 40 + 26 * groups.len();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"720\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"200\" y=\"20\">Altered copies found, percent: PDQ as it is (grey), with views (green)</text>\n"
    );
    for (i, (group, of)) in groups.iter().enumerate() {
        let mean = |classes: &[usize]| of.iter().map(|row| row.found(classes, 31)).sum::<f64>() / of.len() as f64;
        let (whole, all, y) = (mean(&[]), mean(&[1, 2, 3]), 34 + 26 * i);
        let _ = write!(
            out,
            "<text x=\"190\" y=\"{}\" text-anchor=\"end\">{group}</text>\n\
             <rect x=\"200\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"#5a9e6f\"/>\n\
             <rect x=\"200\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"#9a9a9a\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{all:.0}</text>\n",
            y + 14,
            all * 4.6,
            whole * 4.6,
            206.0 + all * 4.6,
            y + 14
        );
    }
    out.push_str("</svg>\n");
    out
}
