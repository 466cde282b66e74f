//! `hashwarden list simulate`: how many harmless pictures would match a list, by radius?
//!
//! The list comes as an export does, so who simulates may see it whole, and what is measured stays here: the pictures are decoded and hashed on this
//! machine, as `scan` does it, and neither they nor their hashes are sent, kept or logged. In one pass each picture's nearest entry is found for
//! each class of view, within the largest radius; then they are counted. Transforms and the minimum quality are those of the list's policy. Absent: negative lists,
//! which would suppress some of these matches, digests, which match no other picture, and 64-bit hashes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::backend::lists;
use super::contents::{Contents, contents};
use super::context::{Context, Exit, Failure};
use super::output::tell;
use super::plot::{self, Series};
use super::remarks::path_text;
use super::scan::{FileContent, files_in, read_file};
use crate::catalog::Stopped;
use crate::entry::shown::{counted, escaped, unopened};
use crate::entry::{HashKind, HashValue, ListPolicy, Observation, Pdq, VIEW_QUALITY_MIN, ViewKind};
use crate::extract::{Extractor, Wants};
use crate::index::{self, IndexChoice, Query, RadiusIndex, Scratch};
use crate::lists as files;
use crate::store::Access;
use crate::views;

/// The largest radii that policies can have: of the whole, and of views.
const RADIUS_MAX: u16 = 96;
const VIEW_RADIUS_MAX: u16 = 39;
/// How long one picture may take.
const ITEM_MAX: Duration = Duration::from_secs(60);
const CLASSES: [ViewKind; 4] = ViewKind::ALL;
/// Pictures in work at once: their bytes are in memory.
const BATCH: usize = 256;

#[derive(Args)]
#[command(group(ArgGroup::new("benign").required(true).multiple(false).args(["sample", "hashes"])))]
pub struct SimulateArgs {
    /// The list.
    name: String,
    /// Radii in bits: FIRST..LAST, or numbers separated by commas. Views are measured up to 39.
    #[arg(long, value_name = "RADII", default_value = "0,8,16,20,24,28,31,35,39", value_parser = radii)]
    radius: Radii,
    /// A folder of pictures that should not match, or one such picture.
    #[arg(long, value_name = "PATH")]
    sample: Option<PathBuf>,
    /// A file of PDQ hashes of such pictures, in any format that lists are imported from; without views and transforms.
    #[arg(long, value_name = "FILE")]
    hashes: Option<PathBuf>,
    /// Draw the rates as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// One argument, so not a list that each use adds to.
#[derive(Clone)]
struct Radii(Vec<u16>);

fn radii(text: &str) -> Result<Radii, String> {
    let number = |text: &str| {
        let radius = text.trim().parse::<u16>().ok().filter(|radius| *radius <= RADIUS_MAX);
        radius.ok_or_else(|| format!("a radius is a whole number of bits, 0 to {RADIUS_MAX}"))
    };
    let mut radii = match text.split_once("..") {
        Some((first, last)) => (number(first)?..=number(last)?).collect(),
        None => text.split(',').map(number).collect::<Result<Vec<_>, _>>()?,
    };
    radii.sort_unstable();
    radii.dedup();
    if radii.is_empty() { Err("there is no radius in that range".to_owned()) } else { Ok(Radii(radii)) }
}

/// What was found of the sample so far.
#[derive(Default)]
struct Found {
    /// Pictures that were hashed.
    pictures: AtomicU64,
    /// Of these, those whose quality is below the list's minimum: the service does not judge them.
    low_quality: AtomicU64,
    unread: AtomicU64,
}

/// A picture's nearest entry by class of view, by class and category.
#[derive(Default, Clone)]
struct Nearest {
    classes: [Option<u16>; CLASSES.len()],
    /// Over the classes that count in the list.
    categories: BTreeMap<u16, u16>,
}

/// What is asked of each picture.
struct Measure<'a> {
    index: Box<dyn RadiusIndex<Pdq>>,
    contents: &'a Contents,
    policy: &'a ListPolicy,
    radius: u16,
}

impl Measure<'_> {
    fn admits(&self, seen: &Observation) -> bool {
        let least = self.policy.quality_min;
        let is_worth = match seen.view.kind {
            ViewKind::Whole => seen.quality.is_none_or(|quality| quality >= least),
            _ => seen.quality.is_some_and(|quality| quality >= least.max(VIEW_QUALITY_MIN)),
        };
        is_worth && self.policy.transforms.contains(seen.transform)
    }

    fn counts(&self, class: ViewKind) -> bool {
        class == ViewKind::Whole || self.policy.views.contains_key(&class)
    }

    fn nearest<'s>(&self, seen: impl Iterator<Item = &'s Observation>) -> Nearest {
        let (mut queries, mut classes) = (Vec::new(), Vec::new());
        for seen in seen.filter(|seen| self.admits(seen)) {
            if let HashValue::Pdq(hash) = &seen.hash {
                let radius = if seen.view.kind == ViewKind::Whole { self.radius } else { self.radius.min(VIEW_RADIUS_MAX) };
                queries.push(Query { hash: *hash, radius });
                classes.push(seen.view.kind);
            }
        }
        let mut nearest = Nearest::default();
        // Those of one radius are looked up together.
        let mut order: Vec<usize> = (0..queries.len()).collect();
        order.sort_by_key(|at| queries[*at].radius);
        let sorted: Vec<_> = order.iter().map(|at| queries[*at]).collect();
        self.index.look_up(&sorted, &mut Scratch::default(), &mut |hits| {
            for hit in hits {
                let class = classes[order[hit.query as usize]];
                let least = &mut nearest.classes[class as usize - 1];
                *least = Some(least.map_or(hit.distance, |known| known.min(hit.distance)));
                if self.counts(class) {
                    let category = self.contents.category_of[hit.row as usize];
                    let least = nearest.categories.entry(category).or_insert(hit.distance);
                    *least = hit.distance.min(*least);
                }
            }
            ControlFlow::Continue(())
        });
        nearest
    }
}

pub fn simulate(context: &Context, args: &SimulateArgs) -> Result<Exit, Failure> {
    let lists = lists(context, Access::Read)?;
    let policy = lists.list(&args.name)?.list.policy;
    let contents = contents(lists.as_ref(), &args.name, Stopped::Withdrawn)?;
    if contents.pdqs.is_empty() {
        return Err(Failure { exit: Exit::Failed, why: format!("list {} has no PDQ hash that matches", args.name) });
    }
    let widest = args.radius.0.last().copied().unwrap_or(0);
    let kind = IndexChoice::Auto.resolve::<Pdq>(contents.pdqs.len(), widest);
    let hashes: Arc<[Pdq]> = contents.pdqs.clone().into();
    let measure = Measure { index: index::build(kind, hashes), contents: &contents, policy: &policy, radius: widest };
    let found = Found::default();
    let nearest = match (&args.sample, &args.hashes) {
        (Some(path), _) => of_pictures(context, &measure, path, &found)?,
        (None, Some(path)) => of_hashes(&measure, path, &found)?,
        (None, None) => Vec::new(), // clap asks for one
    };
    if nearest.is_empty() {
        return Err(Failure { exit: Exit::Failed, why: "there is nothing in the sample that could be hashed".to_owned() });
    }
    let report = Report::of(&args.name, &args.radius.0, &nearest, &measure, &found);
    if let Some(path) = &args.svg {
        std::fs::write(path, report.svg())
            .map_err(|error| Failure { exit: Exit::Failed, why: unopened(&path_text(path), &error) })?;
    }
    tell(context, || report.json(), || report.text())?;
    Ok(Exit::Done)
}

fn of_pictures(context: &Context, measure: &Measure<'_>, path: &std::path::Path, found: &Found) -> Result<Vec<Nearest>, Failure> {
    let extractor = crate::app::extractor(&context.config)?;
    let limits = &context.config.views.limits;
    let one = |path: &PathBuf| {
        let read = read_file(path, context.config.grpc.image_bytes_max);
        let nearest = match read {
            Ok(FileContent::Whole(bytes)) => of_picture(extractor.as_ref(), measure, limits, &bytes, found),
            _ => None,
        };
        if nearest.is_none() {
            found.unread.fetch_add(1, Ordering::Relaxed);
        }
        nearest
    };
    let mut nearest = Vec::new();
    for batch in files_in(path)?.chunks(BATCH) {
        nearest.par_extend(batch.par_iter().filter_map(one));
    }
    Ok(nearest)
}

fn of_picture(
    extractor: &dyn Extractor,
    measure: &Measure<'_>,
    limits: &views::Limits,
    bytes: &[u8],
    found: &Found,
) -> Option<Nearest> {
    let wants = Wants { views: true, phash64: false, dhash64: false, ..Wants::ALL };
    let features = extractor.extract(bytes, &wants, Instant::now() + ITEM_MAX).ok()?;
    let mut in_views = Vec::new();
    features.planes.iter().for_each(|plane| views::observe(plane, limits, &mut in_views));
    found.pictures.fetch_add(1, Ordering::Relaxed);
    let best = features.seen.iter().filter_map(|seen| seen.quality).max();
    found.low_quality.fetch_add(u64::from(best.is_some_and(|quality| quality < measure.policy.quality_min)), Ordering::Relaxed);
    Some(measure.nearest(features.seen.iter().chain(&in_views)))
}

/// Each row of a file is one picture.
fn of_hashes(measure: &Measure<'_>, path: &std::path::Path, found: &Found) -> Result<Vec<Nearest>, Failure> {
    let failed = |why: String| Failure { exit: Exit::Failed, why: format!("{}: {why}", path_text(path)) };
    let file = File::open(path).map_err(|error| Failure { exit: Exit::Failed, why: unopened(&path_text(path), &error) })?;
    let left = std::cell::Cell::new(u64::MAX);
    let mut rows: Vec<Vec<HashValue>> = Vec::new();
    let with = files::Unpacking { left: &left, bytes_max: u64::MAX };
    let read = files::each_list(&mut BufReader::new(file), &with, &mut |list| {
        let format = files::recognise(list.head)?;
        files::read(format, &files::Mapping::default(), list.input, &mut |row| {
            match row {
                Ok(row) if row.hashes.iter().any(|hash| hash.kind() == HashKind::Pdq) => rows.push(row.hashes),
                _ => _ = found.unread.fetch_add(1, Ordering::Relaxed),
            }
            ControlFlow::Continue(())
        })
        .map(drop)
    });
    read.map_err(|error: files::FileError| failed(error.to_string()))?;
    found.pictures.fetch_add(rows.len() as u64, Ordering::Relaxed);
    let seen = |hash: HashValue| Observation {
        hash,
        transform: crate::entry::Transform::Identity,
        frame: 0,
        rendering: 0,
        quality: None,
        view: crate::entry::View::WHOLE,
    };
    let of_row = |row: Vec<HashValue>| measure.nearest(row.into_iter().map(seen).collect::<Vec<_>>().iter());
    Ok(rows.into_par_iter().map(of_row).collect())
}

/// At one radius.
struct At {
    radius: u16,
    classes: [u64; CLASSES.len()],
    /// Pictures that match in any class that counts.
    any: u64,
    /// Such a picture's share, and the interval that has it with 95 %.
    rate: f64,
    interval: (f64, f64),
    categories: BTreeMap<u16, u64>,
}

struct Report<'a> {
    name: &'a str,
    at: Vec<At>,
    measure: &'a Measure<'a>,
    pictures: u64,
    low_quality: u64,
    unread: u64,
}

/// The interval that has the share of successes with 95 % (E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA
/// 22, 1927): it says something also where there were none.
fn wilson(successes: u64, trials: u64) -> (f64, f64) {
    const Z: f64 = 1.959_963_985;
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

impl<'a> Report<'a> {
    fn of(name: &'a str, radii: &[u16], nearest: &[Nearest], measure: &'a Measure<'a>, found: &Found) -> Self {
        let pictures = nearest.len() as u64;
        let at = radii.iter().map(|radius| {
            let within = |of: Option<u16>| of.is_some_and(|nearest| nearest <= *radius);
            let classes = CLASSES.map(|class| nearest.iter().filter(|of| within(of.classes[class as usize - 1])).count() as u64);
            let counts =
                |of: &&Nearest| CLASSES.iter().any(|class| measure.counts(*class) && within(of.classes[*class as usize - 1]));
            let any = nearest.iter().filter(counts).count() as u64;
            let mut categories = BTreeMap::new();
            for (category, _) in nearest.iter().flat_map(|of| &of.categories).filter(|(_, nearest)| **nearest <= *radius) {
                *categories.entry(*category).or_default() += 1;
            }
            At { radius: *radius, classes, any, rate: any as f64 / pictures as f64, interval: wilson(any, pictures), categories }
        });
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let (at, low_quality, unread) = (at.collect(), count(&found.low_quality), count(&found.unread));
        Report { name, at, measure, pictures, low_quality, unread }
    }

    fn json(&self) -> Value {
        let category = |(number, n): (&u16, &u64)| json!({"category": self.measure.contents.categories[usize::from(*number)], "pictures": n});
        let at = |at: &At| {
            let mut json = json!({
                "radius": at.radius, "any": at.any, "rate": at.rate, "rate_low": at.interval.0, "rate_high": at.interval.1,
                "categories": at.categories.iter().map(category).collect::<Vec<_>>(),
            });
            for (class, n) in CLASSES.iter().zip(at.classes) {
                json[class.name()] = n.into();
            }
            json
        };
        let counted: Vec<_> = CLASSES.iter().filter(|class| self.measure.counts(**class)).map(|class| class.name()).collect();
        json!({
            "list": self.name, "hashes": self.measure.contents.pdqs.len(), "pictures": self.pictures, "low_quality": self.low_quality,
            "unread": self.unread, "classes_counted": counted, "at": self.at.iter().map(at).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![format!(
            "{}: {} against {} of the list; pictures that would match:",
            self.name,
            counted(self.pictures, "picture", "pictures"),
            counted(self.measure.contents.pdqs.len() as u64, "PDQ hash", "PDQ hashes")
        )];
        let heads: Vec<String> = CLASSES.iter().map(|class| format!("{:>9}", class.name())).collect();
        lines.push(format!("radius {} {:>9}      rate  95 % interval", heads.join(" "), "in all"));
        for At { radius, classes, any, rate, interval: (low, high), .. } in &self.at {
            let classes: Vec<String> = classes.iter().map(|n| format!("{n:>9}")).collect();
            let (rate, low, high) = (rate * 100.0, low * 100.0, high * 100.0);
            lines.push(format!("{radius:>6} {} {any:>9} {rate:>8.4} %  {low:.4} to {high:.4} %", classes.join(" ")));
        }
        if let Some(at) = self.at.last().filter(|at| !at.categories.is_empty()) {
            let named = |(number, n): (&u16, &u64)| {
                let name = &self.measure.contents.categories[usize::from(*number)];
                format!("{} {n}", if name.is_empty() { "(none)".into() } else { escaped(name) })
            };
            let named: Vec<_> = at.categories.iter().map(named).collect();
            lines.push(format!("by category at radius {}: {}", at.radius, named.join(", ")));
        }
        let off: Vec<_> = CLASSES.iter().filter(|class| !self.measure.counts(**class)).map(|class| class.name()).collect();
        if !off.is_empty() {
            lines.push(format!("views that do not count in this list, and not in all: {}", off.join(", ")));
        }
        if self.low_quality > 0 {
            let pictures = counted(self.low_quality, "picture is", "pictures are");
            lines.push(format!("{pictures} below the list's minimum quality: the service does not judge them"));
        }
        if self.unread > 0 {
            lines.push(format!("{} not hashed", counted(self.unread, "item of the sample was", "items of the sample were")));
        }
        lines.join("\n")
    }

    fn svg(&self) -> String {
        let percent = |n: u64| n as f64 * 100.0 / self.pictures as f64;
        let of_class = |class: ViewKind| Series {
            label: class.name(),
            points: self.at.iter().map(|at| (f64::from(at.radius), percent(at.classes[class as usize - 1]))).collect(),
        };
        let line = |label, value: fn(&At) -> f64| Series {
            label,
            points: self.at.iter().map(|at| (f64::from(at.radius), value(at) * 100.0)).collect(),
        };
        let mut series = vec![line("in all", |at| at.rate), line("95 % at most", |at| at.interval.1)];
        series.extend(CLASSES.map(of_class));
        let pictures = counted(self.pictures, "harmless picture", "harmless pictures");
        plot::lines(&format!("{}: {pictures} that would match", self.name), "radius in bits of PDQ", "% of the pictures", &series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values by Python's `math`. Of none and of all the closed form is z²/(n + z²) off the end.
    #[test]
    fn the_interval_is_wilson_s() {
        let check = |successes, trials, low: f64, high: f64| {
            let found = wilson(successes, trials);
            assert!((found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5, "{found:?}");
        };
        check(0, 10, 0.0, 0.27753);
        check(10, 10, 0.72247, 1.0);
        check(1, 100, 0.00177, 0.05449);
        check(0, 1_000_000, 0.0, 0.000_003_8);
    }

    #[test]
    fn radii_are_ranges_or_lists() {
        let check = |text: &str, expected: &[u16]| assert_eq!(radii(text).unwrap().0, expected, "{text}");
        check("0..3", &[0, 1, 2, 3]);
        check("31", &[31]);
        check("31, 8,8", &[8, 31]);
        for bad in ["", "97", "x", "5..3", "-1", "1..97"] {
            assert!(radii(bad).is_err(), "{bad}");
        }
    }
}
