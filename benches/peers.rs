//! How much quicker than the peers is a PDQ look-up at radius 31? `make bench-peers`, or with sizes: `make bench-peers ROWS="1000000"`.
//!
//! Ours and theirs look the same queries up among the same hashes, one after the other on one thread, in one run: nine in ten match nothing,
//! the others lie 0 to 31 bits from one row. The results must be the same, hit for hit, before a time is told. Hashes are made up, of as
//! many ones as zeros, as PDQ's are. The peers run in Python, as their users run them, from benches/peers.py, each in a process of its own.

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
const PASSES: usize = 3;
const OURS_AT_LEAST: Duration = Duration::from_secs(2);
/// As benches/peers.py calls them, and as the table does.
const PEERS: [(&str, &str); 3] = [
    ("faiss-flat", "Faiss IndexBinaryFlat"),
    ("faiss-multihash", "Faiss IndexBinaryMultiHash"),
    ("threatexchange", "python-threatexchange"),
];

struct Measured {
    micros: f64,
    build_s: f64,
    bytes_a_hash: f64,
}

fn main() {
    let Ok(python) = std::env::var("HASHWARDEN_BENCH_PEERS") else {
        return println!("skipped: HASHWARDEN_BENCH_PEERS names no Python with faiss and threatexchange; use make bench-peers");
    };
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000, 10_000_000] } else { sizes };
    for rows in sizes {
        compare(&python, rows);
    }
}

fn compare(python: &str, rows: usize) {
    let mut random = Random(rows as u64);
    let hashes: Arc<[Pdq]> = (0..rows).map(|_| balanced(&mut random)).collect();
    let mut planted = Vec::new();
    let queries: Vec<Query<Pdq>> = (0..QUERIES)
        .map(|number| {
            let hash = if number % 10 == 0 {
                let row = random.below(rows);
                planted.push((number as u32, row as u32));
                random.at_distance(&hashes[row], (number / 10 % 32) as u16)
            } else {
                balanced(&mut random)
            };
            Query { hash, radius: RADIUS }
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder for the hashes");
    let (hashes_file, queries_file) = (folder.path().join("hashes"), folder.path().join("queries"));
    write(&hashes_file, hashes.iter());
    write(&queries_file, queries.iter().map(|query| &query.hash));

    println!("{rows} hashes, radius {RADIUS}, {QUERIES} queries, one thread");
    // The peers first, each alone in the memory.
    let mut measured = Vec::new();
    let mut found = Vec::new();
    for (which, name) in PEERS {
        let output = Command::new(python)
            .args([Path::new("benches/peers.py"), Path::new(which), &hashes_file, &queries_file])
            .stderr(Stdio::inherit())
            .output()
            .expect("Python runs");
        assert!(output.status.success(), "{name} failed");
        let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON line");
        let number = |key: &str| told[key].as_f64().expect("a number");
        if which == "faiss-flat" {
            println!("Faiss was built with: {}", told["options"]);
        }
        let hits = told["hits"].as_array().expect("hits");
        let mut hits: Vec<(u32, u32)> = hits.iter().map(|hit| (part(hit, 0), part(hit, 1))).collect();
        hits.sort_unstable();
        found.push((name, hits));
        measured.push((
            name,
            Measured { micros: number("micros"), build_s: number("build_s"), bytes_a_hash: number("bytes_a_hash") },
        ));
    }

    let started = Instant::now();
    let index = build(IndexKind::MultiIndex, hashes.clone());
    let build_s = started.elapsed().as_secs_f64();
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    index.search(&queries, &mut scratch, &mut out);
    let mut ours: Vec<(u32, u32)> = out.iter().map(|hit| (hit.query, hit.row)).collect();
    ours.sort_unstable();
    assert!(planted.iter().all(|hit| ours.contains(hit)), "a planted row was missed");
    for (name, hits) in &found {
        assert!(*hits == ours, "{name} found {} rows, we found {}", hits.len(), ours.len());
    }
    // Their passes take seconds, ours some milliseconds: so many that a moment's noise is not all that is seen.
    let (mut micros, measuring) = (Vec::new(), Instant::now());
    while micros.len() < PASSES || measuring.elapsed() < OURS_AT_LEAST {
        let started = Instant::now();
        for query in &queries {
            out.clear();
            index.search(std::slice::from_ref(query), &mut scratch, &mut out);
        }
        micros.push(started.elapsed().as_secs_f64() / QUERIES as f64 * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    let own = Measured { micros: micros[micros.len() / 2], build_s, bytes_a_hash: index.bytes() as f64 / rows as f64 };

    println!(
        "recall 1.000 for {} rows planted at distances 0 to {RADIUS}; all found the same {} hits",
        planted.len(),
        ours.len()
    );
    println!("{:<28} {:>14} {:>10} {:>12} {:>14}", "", "us a look-up", "times ours", "built in s", "bytes a hash");
    let line = |name: &str, of: &Measured| {
        let times = of.micros / own.micros;
        println!("{name:<28} {:>14.1} {times:>10.0} {:>12.1} {:>14.0}", of.micros, of.build_s, of.bytes_a_hash);
    };
    line("hashwarden multi-index", &own);
    measured.iter().for_each(|(name, of)| line(name, of));
    println!();
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
