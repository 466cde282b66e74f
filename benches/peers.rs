//! How much quicker than the peers is hashing a picture (`images`), and a PDQ look-up at radius 31? `make bench-peers`; `make bench-peers
//! ROWS=images` for the first alone, and `make bench-peers ROWS="1000000"` for look-ups of that size alone.
//!
//! All indexes look up the same queries among the same hashes, one at a time on one thread, in one run. Nine in ten queries match nothing; the
//! others lie 0 to 31 bits from one row. Exact peers must find the same hits as ours before any time is printed. Approximate peers must find
//! nothing else, and their recall is printed beside their time; it is taken from a larger set of queries, each near a row. Hashes are random,
//! with as many ones as zeros, like PDQ's. The peers run in Python, as their users run them, from benches/peers.py, each in its own process.
//! Times exclude the time a thread waited for a core, so that a busy machine distorts them little.

#[path = "drawn/mod.rs"]
mod drawn;
#[path = "images/mod.rs"]
mod images;

use hashwarden::entry::{Bits, Pdq};
use hashwarden::index::conformance::Random;
use hashwarden::index::{IndexKind, Query, Scratch, build};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RADIUS: u16 = 31;
const QUERIES: usize = 640;
/// Queries near a row, equally many at each distance from 0 to `RADIUS`. They are not timed.
const NEAR: usize = 1024;
/// Approximate peers are asked for this many nearest rows.
const NEAREST: usize = 10;
const PASSES: usize = 3;
const OURS_AT_LEAST: Duration = Duration::from_secs(2);
const SIZES: [usize; 3] = [100_000, 1_000_000, 10_000_000];

struct Peer {
    /// As benches/peers.py calls it.
    which: &'static str,
    name: &'static str,
    exact: bool,
    /// Skipped above this many hashes, unless the caller named the sizes.
    hashes_max: usize,
}

const PEERS: [Peer; 5] = [
    Peer { which: "faiss-flat", name: "Faiss IndexBinaryFlat", exact: true, hashes_max: usize::MAX },
    Peer { which: "faiss-multihash", name: "Faiss IndexBinaryMultiHash", exact: true, hashes_max: usize::MAX },
    Peer { which: "threatexchange", name: "python-threatexchange", exact: true, hashes_max: usize::MAX },
    // Their graphs take long to build.
    Peer { which: "usearch", name: "USearch", exact: false, hashes_max: 1_000_000 },
    Peer { which: "pgvector", name: "pgvector", exact: false, hashes_max: 100_000 },
];

type Hits = Vec<(u32, u32)>;

struct Measured {
    name: String,
    micros: f64,
    recall: f64,
    build_s: f64,
    bytes_a_hash: f64,
}

fn main() {
    let Ok(python) = std::env::var("HASHWARDEN_BENCH_PEERS") else {
        return println!("skipped: HASHWARDEN_BENCH_PEERS names no Python with faiss and threatexchange; use make bench-peers");
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let named: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let only_images = args.iter().any(|arg| arg == "images");
    if only_images || named.is_empty() {
        images::compare(&python);
    }
    let sizes = if only_images || !named.is_empty() { &named[..] } else { &SIZES };
    for &rows in sizes {
        compare(&python, rows, !named.is_empty());
    }
}

/// The hashes, and the queries to look up.
struct Task {
    hashes: Arc<[Pdq]>,
    queries: Vec<Query<Pdq>>,
    near: Vec<Query<Pdq>>,
    /// The hits that `queries` and `near` must have.
    planted: [Hits; 2],
}

impl Task {
    fn of(rows: usize) -> Self {
        let mut random = Random(rows as u64);
        let hashes: Arc<[Pdq]> = (0..rows).map(|_| balanced(&mut random)).collect();
        let mut planted = [Vec::new(), Vec::new()];
        let mut near_a_row = |random: &mut Random, number: usize, of: usize, distance: usize| {
            let row = random.below(rows);
            planted[of].push((number as u32, row as u32));
            random.at_distance(&hashes[row], (distance % 32) as u16)
        };
        let query = |hash| Query { hash, radius: RADIUS };
        let queries = (0..QUERIES)
            .map(|number| match number % 10 {
                0 => near_a_row(&mut random, number, 0, number / 10),
                _ => balanced(&mut random),
            })
            .map(query)
            .collect();
        let near = (0..NEAR).map(|number| query(near_a_row(&mut random, number, 1, number))).collect();
        Task { hashes, queries, near, planted }
    }
}

fn compare(python: &str, rows: usize, all: bool) {
    let task = Task::of(rows);
    let folder = tempfile::tempdir().expect("a folder for the hashes");
    let files = ["hashes", "queries", "near"].map(|name| folder.path().join(name));
    write(&files[0], task.hashes.iter());
    write(&files[1], task.queries.iter().map(|query| &query.hash));
    write(&files[2], task.near.iter().map(|query| &query.hash));

    println!("{rows} hashes, radius {RADIUS}, {QUERIES} queries, one thread");
    // The peers first, each alone in the memory.
    let mut told = Vec::new();
    for peer in &PEERS {
        if rows > peer.hashes_max && !all {
            let most = peer.hashes_max;
            println!(
                "{}: skipped above {most} hashes, because its index takes long to build; ROWS={rows} measures it",
                peer.name
            );
            continue;
        }
        let output = Command::new(python)
            .args([Path::new("benches/peers.py"), Path::new(peer.which)])
            .args(&files)
            .stderr(Stdio::inherit())
            .output()
            .expect("Python runs");
        assert!(output.status.success(), "{} failed", peer.name);
        let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
        match answer["skipped"].as_str() {
            Some(why) => println!("{}: skipped, {why}", peer.name),
            None => told.push((peer, answer)),
        }
    }
    let (own, exact) = ours(&task);
    for (exact, planted) in exact.iter().zip(&task.planted) {
        assert!(planted.iter().all(|hit| exact.binary_search(hit).is_ok()), "a planted row was missed");
        assert!(exact.chunk_by(|a, b| a.0 == b.0).all(|hits| hits.len() <= NEAREST), "a query has more than {NEAREST} hits");
    }
    let mut measured = vec![own];
    for (peer, answer) in &told {
        println!("{}: {}", peer.name, answer["package"].as_str().expect("a package"));
        for run in answer["runs"].as_array().expect("runs") {
            measured.push(judged(peer, answer, run, &exact));
        }
    }
    println!(
        "recall: of {} hits of {NEAR} queries at distances 0 to {RADIUS}; exact indexes found the same hits for all queries",
        exact[1].len()
    );
    println!(
        "{:<28} {:>14} {:>10} {:>8} {:>15} {:>14}",
        "", "us a look-up", "times ours", "recall", "built in CPU s", "bytes a hash"
    );
    for of in &measured {
        let Measured { name, micros, recall, build_s, bytes_a_hash } = of;
        let times = micros / measured[0].micros;
        println!("{name:<28} {micros:>14.1} {times:>10.0} {recall:>8.3} {build_s:>15.1} {bytes_a_hash:>14.0}");
    }
    println!();
}

/// The figures of one setting of a peer, after its hits were checked.
fn judged(peer: &Peer, answer: &Value, run: &Value, exact: &[Hits; 2]) -> Measured {
    let found = ["hits", "near"].map(|key| hits(&run[key]));
    for (found, exact) in found.iter().zip(exact) {
        assert!(found.iter().all(|hit| exact.binary_search(hit).is_ok()), "{} found a row that is no hit", peer.name);
        assert!(!peer.exact || found == exact, "{} found {} rows, we found {}", peer.name, found.len(), exact.len());
    }
    let setting = run["setting"].as_str().expect("a setting");
    let number = |of: &Value, key: &str| of[key].as_f64().expect("a number");
    Measured {
        name: format!("{} {setting}", peer.name).trim_end().to_owned(),
        micros: number(run, "micros"),
        recall: found[1].len() as f64 / exact[1].len() as f64,
        build_s: number(answer, "build_s"),
        bytes_a_hash: number(answer, "bytes_a_hash"),
    }
}

/// The figures of our index, and its hits for `queries` and for `near`.
fn ours(task: &Task) -> (Measured, [Hits; 2]) {
    let before = cpu_s();
    let index = build(IndexKind::MultiIndex, task.hashes.clone());
    let build_s = cpu_s() - before;
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let exact = [&task.queries, &task.near].map(|queries| {
        out.clear();
        index.search(queries, &mut scratch, &mut out);
        let mut hits: Hits = out.iter().map(|hit| (hit.query, hit.row)).collect();
        hits.sort_unstable();
        hits
    });
    // Their passes take seconds, ours some milliseconds: so many that a moment's noise is not all that is seen.
    let (mut micros, measuring) = (Vec::new(), Instant::now());
    while micros.len() < PASSES || measuring.elapsed() < OURS_AT_LEAST {
        let (started, waited) = (Instant::now(), waited());
        for query in &task.queries {
            out.clear();
            index.search(std::slice::from_ref(query), &mut scratch, &mut out);
        }
        let took = started.elapsed().saturating_sub(self::waited().saturating_sub(waited));
        micros.push(took.as_secs_f64() / QUERIES as f64 * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    let bytes_a_hash = index.bytes() as f64 / task.hashes.len() as f64;
    (
        Measured { name: "hashwarden multi-index".into(), micros: micros[micros.len() / 2], recall: 1.0, build_s, bytes_a_hash },
        exact,
    )
}

/// How long this thread has waited for a core.
fn waited() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux's schedstat");
    Duration::from_nanos(schedstat.split(' ').nth(1).and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
}

/// CPU time of this process, including threads that have ended.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux's stat");
    // Past the program's name, which may have spaces: user and system time in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    [fields[11], fields[12]].map(|ticks| ticks.parse::<f64>().expect("ticks")).iter().sum::<f64>() / 100.0
}

fn hits(found: &Value) -> Hits {
    let mut hits: Hits = found.as_array().expect("hits").iter().map(|hit| (part(hit, 0), part(hit, 1))).collect();
    hits.sort_unstable();
    hits
}

fn part(hit: &Value, at: usize) -> u32 {
    hit[at].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number of a query or a row")
}

fn write<'a>(path: &Path, hashes: impl Iterator<Item = &'a Pdq>) {
    use std::io::Write;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a new file"));
    hashes.for_each(|hash| file.write_all(hash.to_bytes().as_ref()).expect("room on the disk"));
    file.flush().expect("room on the disk");
}

/// A hash of as many ones as zeros.
fn balanced(random: &mut Random) -> Pdq {
    random.at_distance(&Pdq([0; 4]), 128)
}
