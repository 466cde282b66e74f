//! `hashwarden list report`: what a list holds and how sound it looks, as one page of HTML.
//!
//! The page stands alone: no script and nothing from elsewhere. It has counts and plots, and no hash; ids stand in it only for marked entries, where
//! the caller may look for entries. The list comes as an export does, so who asks for a report may see it whole. Whatever a list says is escaped, and what
//! looks like a hash is left out.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde_json::{Value, json};

use super::backend::lists_with_indexes;
use super::calls::Lists;
use super::contents::{Contents, contents};
use super::context::{Context, Exit, Failure};
use super::output::tell;
use super::plot::{bars, escaped};
use super::remarks::path_text;
use crate::catalog::{EntryInfo, EntryQuery, ExportOptions, FOUND_MAX, ListInfo, Stopped};
use crate::entry::shown::{counted, unopened, without_hashes};
use crate::entry::{MarkKind, Pdq, Sources};
use crate::index::{self, Hit, IndexKind, Query, Scratch};
use crate::lists::Format;

/// Hashes of which the neighbours are counted by distance, and how far, in bits.
const SAMPLE: usize = 1_000;
const NEIGHBOURS_RADIUS: u16 = 47;
/// Hashes that are joined to clusters, evenly spread where there are more; how near two of them are, and pairs at which that ends.
const CLUSTERED_MAX: usize = 1_000_000;
const CLUSTER_RADIUS: u16 = 31;
const PAIRS_MAX: u64 = 100_000_000;
/// Marked entries that are named.
const MARKS_SHOWN: usize = 1_000;
/// Categories that are named.
const CATEGORIES_SHOWN: usize = 100;

#[derive(Args)]
pub struct ReportArgs {
    /// The list.
    name: String,
    /// Write the page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What is measured of a list's PDQ hashes.
struct Shape {
    /// How many hashes have so many bits set, by eights.
    weights: BTreeMap<u32, u64>,
    /// Pairs of a hash of the sample and another one of the list, by distance.
    neighbours: Vec<u64>,
    sampled: usize,
    /// How many clusters have so many hashes: by powers of two, 1 aside.
    clusters: BTreeMap<u32, u64>,
    clustered: usize,
    /// There were too many pairs to join all.
    cut: bool,
}

impl Shape {
    fn of(pdqs: &[Pdq]) -> Self {
        let mut weights = BTreeMap::new();
        for hash in pdqs {
            let ones: u32 = hash.0.iter().map(|word| word.count_ones()).sum();
            *weights.entry(ones / 8 * 8).or_default() += 1;
        }
        let neighbours = neighbours(pdqs);
        let (clusters, clustered, cut) = clusters(pdqs);
        Shape { weights, neighbours, sampled: pdqs.len().min(SAMPLE), clusters, clustered, cut }
    }
}

/// Evenly spread.
fn sample(pdqs: &[Pdq], most: usize) -> Vec<Pdq> {
    let step = pdqs.len().div_ceil(most).max(1);
    pdqs.iter().step_by(step).copied().collect()
}

fn neighbours(pdqs: &[Pdq]) -> Vec<u64> {
    let mut by_distance = vec![0u64; usize::from(NEIGHBOURS_RADIUS) + 1];
    let sample = sample(pdqs, SAMPLE);
    let index = index::build(IndexKind::for_join(pdqs.len()), Arc::from(pdqs));
    let queries: Vec<_> = sample.iter().map(|hash| Query { hash: *hash, radius: NEIGHBOURS_RADIUS }).collect();
    index.look_up(&queries, &mut Scratch::default(), &mut |hits| {
        hits.iter().for_each(|hit| by_distance[usize::from(hit.distance)] += 1);
        ControlFlow::Continue(())
    });
    // Each meets itself.
    by_distance[0] = by_distance[0].saturating_sub(sample.len() as u64);
    by_distance
}

/// Hashes within the radius of one another, directly or by others between them (single linkage), by union and find.
fn clusters(pdqs: &[Pdq]) -> (BTreeMap<u32, u64>, usize, bool) {
    struct Joined {
        parents: Vec<u32>,
        pairs: u64,
    }
    impl Joined {
        fn root(&mut self, mut of: u32) -> u32 {
            while self.parents[of as usize] != of {
                let above = self.parents[self.parents[of as usize] as usize];
                self.parents[of as usize] = above;
                of = above;
            }
            of
        }
    }
    let hashes = sample(pdqs, CLUSTERED_MAX);
    let joined = Mutex::new(Joined { parents: (0..hashes.len() as u32).collect(), pairs: 0 });
    let index = index::build(IndexKind::for_join(hashes.len()), Arc::from(hashes.as_slice()));
    index.join(&hashes, CLUSTER_RADIUS, &|hits: &[Hit]| {
        let mut joined = joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.pairs += hits.len() as u64;
        for hit in hits.iter().filter(|hit| hit.query != hit.row) {
            let (a, b) = (joined.root(hit.query), joined.root(hit.row));
            joined.parents[a.max(b) as usize] = a.min(b);
        }
        if joined.pairs > PAIRS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let mut joined = joined.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut sizes: HashMap<u32, u64> = HashMap::new();
    for hash in 0..hashes.len() as u32 {
        *sizes.entry(joined.root(hash)).or_default() += 1;
    }
    let mut clusters = BTreeMap::new();
    sizes.into_values().for_each(|size| *clusters.entry(size.ilog2()).or_default() += 1);
    (clusters, hashes.len(), joined.pairs > PAIRS_MAX)
}

/// Sizes of clusters, in words.
fn size_words(power: u32) -> String {
    match power {
        0 => "1".to_owned(),
        power => format!("{} to {}", 1u64 << power, (1u64 << (power + 1)) - 1),
    }
}

/// The marked entries that the caller may see, or why not.
fn marked(lists: &dyn Lists, name: &str) -> Result<Vec<EntryInfo>, String> {
    let (mut entries, mut after) = (Vec::new(), None);
    while entries.len() < MARKS_SHOWN {
        let page = lists.find_entries(name, &EntryQuery::Marked, after, FOUND_MAX).map_err(|failure| failure.why)?;
        entries.extend(page.entries.into_iter().map(|(info, _)| info));
        after = page.more_after;
        if after.is_none() {
            break;
        }
    }
    entries.truncate(MARKS_SHOWN);
    Ok(entries)
}

/// How many entries each source has.
fn by_source(lists: &dyn Lists, info: &ListInfo) -> Result<BTreeMap<String, u64>, Failure> {
    let named = Sources::NAMES.into_iter().map(str::to_owned).chain(info.list.sources.iter().cloned());
    let count = |source: String| {
        let options = ExportOptions { format: Format::Bundle, source: Some(source.clone()), ..ExportOptions::default() };
        let report = lists.export(&info.list.name, &options, &mut std::io::sink())?;
        Ok((source, report.entries))
    };
    named.map(count).filter(|counted| !matches!(counted, Ok((_, 0)))).collect()
}

pub fn report(context: &Context, args: &ReportArgs) -> Result<Exit, Failure> {
    let lists = lists_with_indexes(context)?;
    let info = lists.list(&args.name)?;
    let contents = contents(lists.as_ref(), &args.name, Stopped::AsTheyAre)?;
    let sources = by_source(lists.as_ref(), &info)?;
    let marked = marked(lists.as_ref(), &args.name);
    let shape = Shape::of(&contents.pdqs);
    let page = Page { info: &info, contents: &contents, sources: &sources, marked: &marked, shape: &shape };
    if let Some(path) = &args.html {
        let failed = |error| Failure { exit: Exit::Failed, why: unopened(&path_text(path), &error) };
        std::fs::write(path, page.html()).map_err(failed)?;
    }
    tell(context, || page.json(), || page.text())?;
    Ok(Exit::Done)
}

struct Page<'a> {
    info: &'a ListInfo,
    contents: &'a Contents,
    sources: &'a BTreeMap<String, u64>,
    marked: &'a Result<Vec<EntryInfo>, String>,
    shape: &'a Shape,
}

/// As the page shows what a list says.
fn shown(text: &str) -> String {
    escaped(&without_hashes(text))
}

impl Page<'_> {
    /// Marks by kind.
    fn marks(&self) -> BTreeMap<&'static str, u64> {
        let mut marks = BTreeMap::new();
        for marked in self.marked.iter().flatten().filter_map(|info| info.mark.as_ref()) {
            *marks.entry(marked.mark.kind.name()).or_default() += 1;
        }
        marks
    }

    fn json(&self) -> Value {
        let Contents { entries, hashes, entries_by_status, entries_by_category, report, .. } = self.contents;
        let named = |of: &BTreeMap<String, u64>, name: &str| {
            of.iter().map(|(key, n)| json!({name: without_hashes(key), "entries": n})).collect::<Vec<_>>()
        };
        let kinds: BTreeMap<_, _> = hashes.iter().map(|(kind, n)| (kind.name(), n)).collect();
        let statuses: BTreeMap<_, _> = entries_by_status.iter().map(|(status, n)| (status.name(), n)).collect();
        let weights: Vec<_> = self.shape.weights.iter().map(|(ones, n)| json!({"bits_from": ones, "hashes": n})).collect();
        let clusters: Vec<_> =
            self.shape.clusters.iter().map(|(power, n)| json!({"hashes_from": 1u64 << power, "clusters": n})).collect();
        json!({
            "list": self.info.list.name, "version": report.version.0, "entries": entries, "stopped": report.stopped, "statuses": statuses,
            "categories": named(entries_by_category, "category"), "sources": named(self.sources, "source"), "hashes": kinds,
            "marks": self.marked.as_ref().ok().map(|_| self.marks()), "pdq_weights": weights,
            "neighbours": {"sampled": self.shape.sampled, "by_distance": self.shape.neighbours},
            "clusters": {"hashes": self.shape.clustered, "whole": !self.shape.cut, "by_size": clusters},
        })
    }

    fn text(&self) -> String {
        let Contents { entries, hashes, entries_by_status, report, .. } = self.contents;
        let kinds: Vec<_> = hashes.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let statuses: Vec<_> = entries_by_status.iter().map(|(status, n)| format!("{n} {status}")).collect();
        let mut lines = vec![
            format!("{}: version {}, {}", self.info.list.name, report.version.0, counted(*entries, "entry", "entries")),
            format!("hashes           {}", kinds.join(", ")),
            format!("status           {}", statuses.join(", ")),
            format!(
                "sources          {}",
                self.sources.iter().map(|(name, n)| format!("{n} {name}")).collect::<Vec<_>>().join(", ")
            ),
        ];
        match self.marked {
            Ok(_) => {
                let marks: Vec<_> = self.marks().iter().map(|(kind, n)| format!("{n} {kind}")).collect();
                lines.push(format!("marks            {}", if marks.is_empty() { "none".to_owned() } else { marks.join(", ") }));
            }
            Err(why) => lines.push(format!("marks            not shown: {why}")),
        }
        let near: u64 = self.shape.neighbours.iter().take(usize::from(CLUSTER_RADIUS) + 1).sum();
        lines.push(format!("neighbours       {near} within {CLUSTER_RADIUS} bits of {} hashes", self.shape.sampled));
        lines.join("\n")
    }

    fn html(&self) -> String {
        let Contents { entries, report, of, .. } = self.contents;
        let name = shown(&self.info.list.name);
        let made = of.as_ref().map_or("", |of| of.made.as_str());
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>List {name}</title>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<style>\n\
             body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }}\n\
             table {{ border-collapse: collapse; }} th, td {{ text-align: left; padding: 0.2em 1em 0.2em 0; border-bottom: 1px solid #ddd; }}\n\
             td.n {{ text-align: right; }} svg {{ max-width: 100%; height: auto; }}\n</style>\n</head>\n<body>\n<h1>List {name}</h1>\n\
             <p>Version {}, made at {}, with {}. No hash is on this page.</p>\n",
            report.version.0,
            escaped(made),
            counted(*entries, "entry", "entries")
        );
        self.tables(&mut out);
        self.marks_html(&mut out);
        self.plots(&mut out);
        out.push_str("</body>\n</html>\n");
        out
    }

    fn tables(&self, out: &mut String) {
        let Contents { hashes, entries_by_status, entries_by_category, .. } = self.contents;
        let mut categories: Vec<_> = entries_by_category.iter().collect();
        categories.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), *name));
        let more = categories.len().saturating_sub(CATEGORIES_SHOWN);
        let category = |name: &str| if name.is_empty() { "(none)".to_owned() } else { shown(name) };
        table(out, "Status", "entries", entries_by_status.iter().map(|(status, n)| (status.name().to_owned(), *n)));
        table(out, "Category", "entries", categories.into_iter().take(CATEGORIES_SHOWN).map(|(name, n)| (category(name), *n)));
        if more > 0 {
            _ = writeln!(out, "<p>and {}</p>", counted(more as u64, "more category", "more categories"));
        }
        table(out, "Source", "entries", self.sources.iter().map(|(name, n)| (shown(name), *n)));
        table(out, "Kind of hash", "hashes", hashes.iter().map(|(kind, n)| (kind.name().to_owned(), *n)));
    }

    fn marks_html(&self, out: &mut String) {
        out.push_str("<h2>Findings and marks</h2>\n");
        let stopped = self.contents.report.stopped;
        let are = counted(stopped, "entry is", "entries are");
        _ = writeln!(
            out,
            "<p>{are} disabled or quarantined, and not matched. What the check of new entries found is quarantined.</p>"
        );
        let marked = match self.marked {
            Ok(marked) => marked,
            Err(why) => {
                _ = writeln!(out, "<p>Single entries are not shown: {}</p>", shown(why));
                return;
            }
        };
        if marked.is_empty() {
            return;
        }
        out.push_str("<table>\n<tr><th>entry</th><th>mark</th><th>why</th><th>by</th></tr>\n");
        for (info, marked) in marked.iter().filter_map(|info| Some((info, info.mark.as_ref()?))) {
            let kind = if marked.mark.kind == MarkKind::Noted { "noted" } else { marked.mark.kind.name() };
            let (id, why, by) = (shown(&info.id), shown(&marked.mark.note), shown(&marked.by));
            _ = writeln!(out, "<tr><td>{id}</td><td>{kind}</td><td>{why}</td><td>{by}</td></tr>");
        }
        out.push_str("</table>\n");
        if marked.len() == MARKS_SHOWN {
            _ = writeln!(out, "<p>These are the first {MARKS_SHOWN}.</p>");
        }
    }

    fn plots(&self, out: &mut String) {
        let Shape { weights, neighbours, sampled, clusters, clustered, cut } = self.shape;
        out.push_str("<h2>PDQ hashes</h2>\n");
        if *clustered == 0 {
            out.push_str("<p>The list has none that match.</p>\n");
            return;
        }
        let (first, last) = (weights.keys().next().copied().unwrap_or(0), weights.keys().last().copied().unwrap_or(0));
        let weight = |ones: u32| (ones.to_string(), weights.get(&ones).copied().unwrap_or(0));
        let weights: Vec<_> = (first..=last).step_by(8).map(weight).collect();
        out.push_str(
            "<p>Hashes of pictures with content have some 128 of 256 bits set; far more or fewer say little of a picture.</p>\n",
        );
        out.push_str(&bars("Bits set", "bits set (from, by eights)", "hashes", &weights));
        _ = writeln!(
            out,
            "<p>How near {} of the list {} to others of it. Pairs within 31 bits are likely copies of one picture, or of one template.</p>",
            counted(*sampled as u64, "hash", "hashes"),
            if *sampled == 1 { "is" } else { "are" }
        );
        let distances: Vec<_> = neighbours.iter().enumerate().map(|(distance, n)| (distance.to_string(), *n)).collect();
        out.push_str(&bars("Neighbours", "distance in bits", "pairs", &distances));
        let of = counted(*clustered as u64, "hash", "hashes");
        let not_all =
            if *cut { " There were too many pairs to join all of them, so clusters are larger than shown." } else { "" };
        _ = writeln!(out, "<p>Clusters: hashes within 31 bits of one another, directly or through others; of {of}.{not_all}</p>");
        let clusters: Vec<_> = clusters.iter().map(|(power, n)| (size_words(*power), *n)).collect();
        out.push_str(&bars("Cluster sizes", "hashes in a cluster", "clusters", &clusters));
    }
}

/// Names, which are escaped already, and counts.
fn table(out: &mut String, name: &str, of: &str, rows: impl Iterator<Item = (String, u64)>) {
    _ = writeln!(out, "<h2>{name}</h2>\n<table>\n<tr><th>{}</th><th>{of}</th></tr>", name.to_lowercase());
    for (name, n) in rows {
        _ = writeln!(out, "<tr><td>{name}</td><td class=\"n\">{n}</td></tr>");
    }
    out.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_clusters_are_counted_of_planted_hashes() {
        let far = |n: u64| {
            Pdq([1, 2, 3, 4].map(|word| {
                let mixed = (n * 4 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
            }))
        };
        let mut pdqs: Vec<Pdq> = (0..200).map(far).collect();
        let near = |bits: u32| Pdq([far(7).0[0] ^ ((1u64 << bits) - 1), far(7).0[1], far(7).0[2], far(7).0[3]]);
        // A chain: the ends are 40 bits apart, each link 20.
        pdqs.extend([near(20), near(40)]);
        let shape = Shape::of(&pdqs);
        assert_eq!(shape.weights.values().sum::<u64>(), 202);
        assert_eq!((shape.neighbours[20], shape.neighbours[40], shape.neighbours.iter().sum::<u64>()), (4, 2, 6));
        assert_eq!(shape.clusters, BTreeMap::from([(0, 199), (1, 1)]), "one of three");
        assert_eq!((shape.clustered, shape.cut), (202, false));
        assert_eq!([0, 1, 5].map(size_words), ["1", "2 to 3", "32 to 63"]);
    }
}
