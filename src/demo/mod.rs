//! The main job, end to end, on pictures drawn here: list file, import, server, gRPC, verdicts against what was expected.
//!
//! What is expected of each edit stands in [`edits`], and of each alteration in [`alterations`], fixed before results were seen. Everything lives in a temporary folder that
//! goes when the demo ends.

pub mod alterations;
pub mod edits;
pub mod generic;
pub mod lists;
pub mod pictures;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use tokio::sync::mpsc;

use crate::catalog::{ImportOptions, PolicyUpdate};
use crate::client::{Client, ClientError, Item};
use crate::config::Config;
use crate::entry::{BadValue, Caller, Entry, HashKind, HashValue, Polarity};
use crate::lists::Format;
use crate::matcher::Content;
use crate::verdict::{Outcome, Verdict};
use crate::{access, app};
use alterations::Alteration;
use edits::{Edit, Reach};
use pictures::Random;

/// Pictures drawn; the first [`KNOWN`] are in the list, the rest are strangers.
const PICTURES: u64 = 200;
const KNOWN: u64 = 100;
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const LIST: &str = "demo-known";
/// Percent that must be found of what mostly is.
const MOSTLY_PERCENT: usize = 80;

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    App(#[from] app::AppError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("a picture could not be encoded: {0}")]
    Encode(#[from] image::ImageError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Value(#[from] BadValue),
    #[error("{0}")]
    Failed(String),
}

/// What must be said of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Found(u64),
    /// Found or not, and found in [`MOSTLY_PERCENT`] of all files of a row at least.
    MostlyFound(u64),
    /// Found or not: counted, not judged.
    FoundOrNot(u64),
    NotFound,
    Broken(edits::Outcome),
}

struct Sent {
    group: &'static str,
    expected: Expected,
    at: Instant,
}

/// One row of the table.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Row {
    expected: String,
    got: BTreeMap<String, usize>,
    distance_max: Option<u16>,
    wrong: usize,
    /// Of what is mostly found: how many were, and how many there are.
    mostly: (usize, usize),
}

/// Runs the demo; `false` where any verdict was not as expected.
pub async fn run(config: &Config, json: bool) -> Result<bool, DemoError> {
    let folder = Folder::new()?;
    let say = |text: &str| {
        if !json {
            println!("{text}");
        }
    };
    let mut config = config.clone();
    config.store.dir = folder.path().join("store");
    config.grpc.listen = ([127, 0, 0, 1], 0).into();
    config.operator.port.listen = ([127, 0, 0, 1], 0).into();
    config.access = access::Options::default();

    say(&format!("drawing {PICTURES} pictures, hashing {KNOWN} of them into a list ..."));
    let list_file = folder.path().join("known.csv");
    let hashing = config.clone();
    let path = list_file.clone();
    blocking(move || write_list(&hashing, &path)).await??;

    let running = app::start(&config).await?;
    say(&format!("serving on {}, operator port on {}", running.grpc, running.operator));
    let client = Client::connect(&format!("http://{}", running.grpc), Duration::from_secs(10)).await?;
    client.create(LIST, Polarity::Positive, &PolicyUpdate::default()).await?;
    let options = ImportOptions { format: Some(Format::Csv), source: "known.csv".to_owned(), ..ImportOptions::default() };
    let report = client.import(LIST, &options, std::fs::File::open(&list_file)?, &mut |_| {}).await?;
    say(&format!("loaded {LIST}: {} entries, version {} is active", report.entries, report.version.map_or(0, |v| v.0)));

    let (rows, timing) = match_all(&client).await?;
    running.drain().await?;

    let wrong: usize = rows.iter().map(|(_, row)| row.wrong).sum();
    print!("{}", if json { json_text(&rows, &timing, wrong) } else { table(&rows, &timing, wrong) });
    Ok(wrong == 0)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DemoError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| DemoError::Failed(e.to_string()))
}

/// A folder that goes with the demo.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self, DemoError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| DemoError::Failed(e.to_string()))?;
        let path = std::env::temp_dir().join(format!("hashwarden-demo-{}", hex::encode(random)));
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the demo's folder could not be removed");
        }
    }
}

/// A CSV file with PDQ and MD5 of the known pictures, as a list owner would hash the files it holds.
fn write_list(config: &Config, path: &Path) -> Result<(), DemoError> {
    let matcher = app::hashing(config)?;
    let (send, hashed) = std::sync::mpsc::channel();
    let mut entries = Vec::new();
    let drawn = (0..KNOWN).into_par_iter().map(|seed| Edit::Original.apply(&pictures::draw(seed, WIDTH, HEIGHT)));
    for (seed, bytes) in drawn.collect::<Result<Vec<_>, _>>()?.into_iter().enumerate() {
        let seed = seed as u64;
        let send = send.clone();
        matcher.submit_hash(bytes, Instant::now() + Duration::from_secs(60), &Caller("demo".to_owned()), move |hashed| {
            drop(send.send(hashed))
        });
        let hashed = hashed.recv().ok().flatten().ok_or_else(|| DemoError::Failed("a picture was not hashed".to_owned()))?;
        let features = hashed.features.map_err(|e| DemoError::Failed(e.detail))?;
        let pdq = features.seen.into_iter().map(|o| o.hash).find(|h| h.kind() == HashKind::Pdq);
        let hashes: Vec<HashValue> = pdq.into_iter().chain([HashValue::Md5(hashed.digests.md5)]).collect();
        entries.push(Entry::new(entry_id(seed), ["A1", "B2"][seed as usize % 2].to_owned(), hashes)?);
    }
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    lists::write_csv(&entries, &[HashKind::Pdq, HashKind::Md5], &mut file)?;
    std::io::Write::flush(&mut file)?;
    Ok(())
}

fn entry_id(seed: u64) -> String {
    format!("picture-{seed:03}")
}

struct Timing {
    files: usize,
    bytes: u64,
    seconds: f64,
    /// Milliseconds from hand-over to the stream to verdict, sorted.
    latencies_ms: Vec<f64>,
}

/// Every edit and alteration of every tenth known picture and the original of all, strangers, broken files: sent as one stream.
async fn match_all(client: &Client) -> Result<(Vec<(&'static str, Row)>, Timing), DemoError> {
    // Drawn before the clock starts.
    let files = blocking(files).await??;
    let (n, bytes) = (files.len(), files.iter().map(|(_, _, bytes)| bytes.len() as u64).sum());
    let order: Vec<(&'static str, Expected)> = files.iter().map(|(group, expected, _)| (*group, *expected)).collect();

    let sent: std::sync::Arc<std::sync::Mutex<Vec<Option<Sent>>>> = std::sync::Arc::default();
    lock(&sent).resize_with(n, || None);
    let (items, receiver) = mpsc::channel(8);
    let started = Instant::now();
    let sending = sent.clone();
    let feeder = tokio::spawn(async move {
        for (number, (group, expected, bytes)) in files.into_iter().enumerate() {
            let (id, content) = (number.to_string(), Content::Image(bytes));
            let item = Item { id, reference: String::new(), content, lists: Vec::new(), views: None };
            let Ok(slot) = items.reserve().await else { return };
            if let Some(sent) = lock(&sending).get_mut(number) {
                *sent = Some(Sent { group, expected, at: Instant::now() });
            }
            slot.send(item);
        }
    });

    let mut rows: Vec<(&'static str, Row)> = Vec::new();
    for (group, expected) in &order {
        if !rows.iter().any(|(name, _)| name == group) {
            rows.push((group, Row { expected: expectation(*expected), ..Row::default() }));
        }
    }
    let mut latencies_ms = Vec::with_capacity(n);
    let mut results = client.match_stream(receiver).await;
    while let Some(result) = results.recv().await {
        let result = result?;
        let number: usize = result.id.parse().map_err(|_| DemoError::Failed("an unknown item came back".to_owned()))?;
        let verdict = result.verdict?;
        let sent = lock(&sent).get_mut(number).and_then(Option::take);
        let sent = sent.ok_or_else(|| DemoError::Failed(format!("item {number} came back twice")))?;
        latencies_ms.push(sent.at.elapsed().as_secs_f64() * 1e3);
        if let Some((_, row)) = rows.iter_mut().find(|(name, _)| *name == sent.group) {
            row.take(sent.expected, &verdict);
        }
    }
    feeder.await.map_err(|e| DemoError::Failed(e.to_string()))?;
    if latencies_ms.len() != n {
        return Err(DemoError::Failed(format!("{} of {n} items were answered", latencies_ms.len())));
    }
    rows.iter_mut().for_each(|(_, row)| row.close());
    latencies_ms.sort_by(f64::total_cmp);
    Ok((rows, Timing { files: n, bytes, seconds: started.elapsed().as_secs_f64(), latencies_ms }))
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

type File = (&'static str, Expected, Vec<u8>);

fn files() -> Result<Vec<File>, DemoError> {
    let edited = Edit::ALL.into_iter().flat_map(|edit| {
        let step = if edit == Edit::Original { 1 } else { 10 };
        (0..KNOWN).step_by(step).map(move |seed| (edit.name(), expected(edit.reach(), seed), edit, seed))
    });
    let strangers = (KNOWN..PICTURES).map(|seed| ("stranger", Expected::NotFound, Edit::Original, seed));
    let tasks: Vec<_> = edited.chain(strangers).collect();
    let draw = |(name, expected, edit, seed): (_, _, Edit, _)| {
        Ok::<File, DemoError>((name, expected, edit.apply(&pictures::draw(seed, WIDTH, HEIGHT))?))
    };
    let mut files = tasks.into_par_iter().map(draw).collect::<Result<Vec<_>, _>>()?;
    // Collages and insets are with strangers.
    let others: Vec<_> = (KNOWN..KNOWN + 8).into_par_iter().map(|seed| pictures::draw(seed, WIDTH, HEIGHT)).collect();
    let altered = alterations::ALL.iter().filter(|alteration| alteration.reach() != Reach::Within);
    let altered: Vec<_> = altered.flat_map(|alteration| (0..KNOWN).step_by(10).map(move |seed| (alteration, seed))).collect();
    let alter = |(alteration, seed): (&'static Alteration, u64)| {
        let picture = alteration.apply(&pictures::draw(seed, WIDTH, HEIGHT), &others, &mut Random::new(seed));
        let bytes = edits::jpeg(&picture, alteration.jpeg_quality)?;
        Ok::<File, DemoError>((alteration.group, expected(alteration.reach(), seed), bytes))
    };
    files.extend(altered.into_par_iter().map(alter).collect::<Result<Vec<_>, _>>()?);
    files.extend(edits::broken()?.into_iter().map(|broken| (broken.name, Expected::Broken(broken.expected), broken.bytes)));
    Ok(files)
}

fn expected(reach: Reach, seed: u64) -> Expected {
    match reach {
        Reach::Within => Expected::Found(seed),
        Reach::Mostly => Expected::MostlyFound(seed),
        Reach::Edge => Expected::FoundOrNot(seed),
        Reach::Beyond => Expected::NotFound,
    }
}

fn expectation(expected: Expected) -> String {
    match expected {
        Expected::MostlyFound(_) => format!("{MOSTLY_PERCENT} % MATCH with original"),
        Expected::Found(_) => "MATCH with its original".to_owned(),
        Expected::FoundOrNot(_) => "at the edge: either".to_owned(),
        Expected::NotFound => "NO_MATCH".to_owned(),
        Expected::Broken(edits::Outcome::NotScanned(reason)) => format!("NOT_SCANNED({reason})"),
        Expected::Broken(edits::Outcome::Partial) => "PARTIAL".to_owned(),
    }
}

impl Row {
    fn take(&mut self, expected: Expected, verdict: &Verdict) {
        let got = match verdict.reason {
            Some(reason) => format!("{}({reason})", verdict.outcome.name()),
            None => verdict.outcome.name().to_owned(),
        };
        let only = |seed| verdict.outcome == Outcome::Match && verdict.matches.iter().all(|m| m.entry_id == entry_id(seed));
        let right = match expected {
            Expected::Found(seed) => only(seed),
            Expected::MostlyFound(seed) | Expected::FoundOrNot(seed) => only(seed) || verdict.outcome == Outcome::NoMatch,
            Expected::NotFound => verdict.outcome == Outcome::NoMatch,
            Expected::Broken(edits::Outcome::NotScanned(reason)) => {
                verdict.outcome == Outcome::NotScanned && verdict.reason == Some(reason)
            }
            Expected::Broken(edits::Outcome::Partial) => verdict.outcome == Outcome::Partial && !verdict.left_out.is_empty(),
        };
        if let Expected::MostlyFound(seed) = expected {
            self.mostly = (self.mostly.0 + usize::from(only(seed)), self.mostly.1 + 1);
        }
        *self.got.entry(got).or_default() += 1;
        self.wrong += usize::from(!right);
        let nearest = verdict.matches.iter().filter(|m| m.kind == HashKind::Pdq).map(|m| m.distance).min();
        self.distance_max = self.distance_max.max(nearest);
    }

    /// Once all of its files are answered.
    fn close(&mut self) {
        let (found, n) = self.mostly;
        self.wrong += (n * MOSTLY_PERCENT).div_ceil(100).saturating_sub(found);
    }

    fn got_text(&self) -> String {
        self.got.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn table(rows: &[(&'static str, Row)], timing: &Timing, wrong: usize) -> String {
    let mut text = format!("\n{:<26} {:<32} {:<34} {:>10}\n", "file", "expected", "got", "bits, max");
    for (name, row) in rows {
        let distance = row.distance_max.map_or_else(|| "-".to_owned(), |d| d.to_string());
        let mark = if row.wrong > 0 { format!("   {} WRONG", row.wrong) } else { String::new() };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<26} {:<32} {:<34} {distance:>10}{mark}", row.expected, row.got_text());
    }
    let Timing { files, bytes, seconds, latencies_ms } = timing;
    let _ = writeln!(
        text,
        "\n{files} files ({:.1} MB) in {seconds:.2} s over one gRPC stream: {:.0} files/s; latency in the stream, queueing included: \
         {:.0} ms median, {:.0} ms 99th percentile; client and server share this machine's {} cores",
        *bytes as f64 / 1e6,
        *files as f64 / seconds,
        percentile(latencies_ms, 50),
        percentile(latencies_ms, 99),
        std::thread::available_parallelism().map_or(1, usize::from),
    );
    let _ = writeln!(
        text,
        "{}",
        if wrong == 0 { "every verdict is as expected".to_owned() } else { format!("{wrong} verdicts are WRONG") }
    );
    text
}

fn json_text(rows: &[(&'static str, Row)], timing: &Timing, wrong: usize) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, row)| {
            serde_json::json!({
                "file": name, "expected": row.expected, "got": row.got, "pdq_distance_max": row.distance_max, "wrong": row.wrong,
            })
        })
        .collect();
    let json = serde_json::json!({
        "rows": rows, "wrong": wrong, "files": timing.files, "seconds": timing.seconds,
        "latency_ms_p50": percentile(&timing.latencies_ms, 50), "latency_ms_p99": percentile(&timing.latencies_ms, 99),
    });
    format!("{json}\n")
}
