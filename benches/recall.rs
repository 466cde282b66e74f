//! How many altered copies are found, by alteration and by class of views, at which cost, and what is found that should not be?
//!
//! On pictures drawn here, or on a folder of one's own photographs: `make bench-recall PHOTOS=DIR`. Each picture's own PDQ hash stands in the
//! list; its altered copy, as a JPEG, is looked up as a whole (with its eight transforms) and in its views, with the default limits. Then generic
//! pictures of 26 kinds, half of them listed and half looked up: whatever matches there through a view and not as a whole is a false match.
//!
//! Prints a table in Markdown and writes a plot beside it (`recall.svg` in the target directory).

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fmt::Write as _;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hashwarden::decode::Limits;
use hashwarden::demo::alterations::{self, Alteration};
use hashwarden::demo::lists::random_pdq;
use hashwarden::demo::pictures::{self, Random};
use hashwarden::demo::{edits, generic};
use hashwarden::entry::{Bits, HashValue, Observation, Pdq, VIEW_RADIUS, VIEW_RADIUS_MAX, ViewKind};
use hashwarden::extract::{Extractor, Features, InProcess, Wants};
use hashwarden::index::{IndexKind, Query, Scratch, build};
use hashwarden::views;
use image::RgbImage;
use rayon::prelude::*;

/// In bits; the first is what a list has by default.
const RADII: [u16; 3] = [VIEW_RADIUS, 35, VIEW_RADIUS_MAX];
const RADII_NAMED: &str = "31 bits | 35 | 39";
const CLASSES: [usize; 3] = [1, 2, 3];
/// Pictures drawn, or taken from the folder.
const PICTURES: usize = 60;
/// Generic pictures of a kind, listed and looked up each.
const GENERIC: u64 = 800;
/// Rows of the indexes that the cost of look-ups is measured with.
const ROWS: [usize; 2] = [1_000_000, 10_000_000];

struct Seen {
    whole: Vec<Pdq>,
    views: Vec<Observation>,
    /// To hash the views.
    took: Duration,
}

fn features(image: &RgbImage, quality: u8, views: bool) -> Features {
    let bytes = edits::jpeg(image, quality).unwrap();
    let wants = Wants { pdq: true, phash64: false, dhash64: false, transforms: views, views };
    let far = Instant::now() + Duration::from_secs(3600);
    InProcess::new(Limits::default(), Instant::now).extract(&bytes, &wants, far).unwrap()
}

/// What a list would have of a picture.
fn hash(image: &RgbImage) -> Pdq {
    pdq_of(&features(image, 95, false).seen[0])
}

fn seen(image: &RgbImage, quality: u8) -> Seen {
    let features = features(image, quality, true);
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
        let within = |nearest: &&Nearest| nearest[0] <= 31 || classes.iter().any(|class| nearest[*class] <= radius);
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
    let hashes: Vec<Pdq> = originals.par_iter().map(hash).collect();
    let rows: Vec<Row> = alterations::ALL.iter().map(|alteration| measure(alteration, &originals, &hashes)).collect();
    // The answers are right before they are counted: what is not altered is found as a whole.
    assert!(rows[0].found(&[], VIEW_RADIUS) == 100.0, "unaltered pictures were not found");

    let what = if folder.is_some() { "photographs" } else { "drawn pictures" };
    println!(
        "{} {what}, {} alterations; percent found at 31 bits, each class with the whole, then all at several radii\n",
        originals.len(),
        rows.len()
    );
    println!(
        "| altered copy | | PDQ as it is | + extended | + window | + turned | all at {RADII_NAMED} | views | ms to hash them |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for row in &rows {
        let classes = [&[][..], &[1], &[2], &[3]].map(|classes| row.found(classes, VIEW_RADIUS));
        print!("| {} | {} |", row.alteration.group, row.alteration.name);
        classes.iter().for_each(|percent| print!(" {percent:.0} |"));
        RADII.iter().for_each(|radius| print!(" {:.0} |", row.found(&CLASSES, *radius)));
        let files = row.nearest.len() as f64;
        println!(" {:.0} | {:.1} |", row.views as f64 / files, row.took.as_secs_f64() * 1e3 / files);
    }
    let mean = |classes: &[usize], radius| rows.iter().map(|row| row.found(classes, radius)).sum::<f64>() / rows.len() as f64;
    let all = RADII.map(|radius| format!("{:.1}", mean(&CLASSES, radius)));
    println!("\nAll together: {:.1} % as they are, {} % in views at {RADII_NAMED}.", mean(&[], VIEW_RADIUS), all.join(", "));
    println!("Nearest view to a stranger's hash: {} bits.", rows.iter().map(|row| row.stranger).min().unwrap());
    cost(&originals[0]);
    false_matches(&originals, &hashes);
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
    let mut index = build(IndexKind::MultiIndex, Vec::new().into());
    let mut scratch = Scratch::default();
    for (rows, radius) in ROWS.into_iter().flat_map(|rows| RADII.map(|radius| (rows, radius))) {
        if rows != index.len() {
            index = build(IndexKind::MultiIndex, random_pdq(1, rows).into());
            println!("\nOne thread, {} views of a picture in a list of {rows} as one batch:", views.len());
        }
        let queries: Vec<Query<Pdq>> = views.iter().map(|hash| Query { hash: *hash, radius }).collect();
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

/// What became of a picture whose original is not listed.
struct Looked {
    kind: &'static str,
    /// Whether it matches as a whole, as PDQ alone would have it.
    whole: bool,
    /// The distance of the nearest entry to one of its views, and the view's class; none where it matches as a whole.
    in_views: Option<(u16, ViewKind)>,
    views: usize,
}

/// Generic pictures against others of their kind and of all kinds, and beside them the pictures that were altered.
fn false_matches(originals: &[RgbImage], hashes: &[Pdq]) {
    let all = |seeds: Range<u64>| -> Vec<(usize, u64)> {
        (0..generic::KINDS.len()).flat_map(|kind| seeds.clone().map(move |seed| (kind, seed))).collect()
    };
    let mut listed: Vec<Pdq> = all(0..GENERIC).par_iter().map(|(kind, seed)| hash(&generic::draw(*kind, *seed))).collect();
    listed.extend_from_slice(hashes);
    let index = build(IndexKind::MultiIndex, listed.clone().into());
    let look_up = |kind: &'static str, seen: &Seen, own: Option<usize>| {
        // The nearest entry, its own aside.
        let nearest = |hashes: Vec<Pdq>, radius: u16| {
            let queries: Vec<Query<Pdq>> = hashes.into_iter().map(|hash| Query { hash, radius }).collect();
            let mut nearest = None;
            index.look_up(&queries, &mut Scratch::default(), &mut |hits| {
                let others = hits.iter().filter(|hit| own != Some(hit.row as usize)).map(|hit| (hit.distance, hit.query));
                nearest = others.chain(nearest).min();
                ControlFlow::Continue(())
            });
            nearest
        };
        let in_views = nearest(seen.views.iter().map(pdq_of).collect(), VIEW_RADIUS_MAX);
        let whole = nearest(seen.whole.clone(), VIEW_RADIUS).is_some();
        let in_views = in_views.filter(|_| !whole).map(|(distance, view)| (distance, seen.views[view as usize].view.kind));
        Looked { kind, whole, in_views, views: seen.views.len() }
    };
    let uploads = all(1_000_000..1_000_000 + GENERIC);
    let mut looked: Vec<Looked> = uploads
        .par_iter()
        .map(|(kind, seed)| look_up(generic::KINDS[*kind], &seen(&generic::draw(*kind, *seed), 88), None))
        .collect();
    let first = listed.len() - hashes.len();
    let beside = originals
        .par_iter()
        .enumerate()
        .map(|(own, picture)| look_up("(the pictures above)", &seen(picture, 88), Some(first + own)));
    looked.extend(beside.collect::<Vec<_>>());
    println!(
        "\n{first} generic pictures listed, as many others looked up: those that match as a whole, and those that match through a view and not as a whole\n"
    );
    println!("| kind | looked up | as a whole | {RADII_NAMED} | classes at 31 bits | views |\n|---|---|---|---|---|---|---|---|");
    let line = |name: &str, of: &[Looked]| {
        print!("| {name} | {} | {} |", of.len(), of.iter().filter(|one| one.whole).count());
        for radius in RADII {
            print!(" {} |", of.iter().filter(|one| one.in_views.is_some_and(|(nearest, _)| nearest <= radius)).count());
        }
        let of_class = |class: ViewKind| {
            let is_false = |one: &&Looked| one.in_views.is_some_and(|(nearest, of)| nearest <= VIEW_RADIUS && of == class);
            Some(of.iter().filter(is_false).count()).filter(|count| *count > 0).map(|count| format!("{count} {}", class.name()))
        };
        print!(" {} |", ViewKind::ALL.into_iter().filter_map(of_class).collect::<Vec<_>>().join(", "));
        println!(" {} |", of.iter().map(|one| one.views).sum::<usize>() / of.len());
    };
    looked.chunk_by(|a, b| a.kind == b.kind).for_each(|of| line(of[0].kind, of));
    line("all", &looked);
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
        let mean = |classes: &[usize]| of.iter().map(|row| row.found(classes, VIEW_RADIUS)).sum::<f64>() / of.len() as f64;
        let (whole, all, y) = (mean(&[]), mean(&CLASSES), 34 + 26 * i);
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
