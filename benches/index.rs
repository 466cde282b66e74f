//! How long does a look-up take, by kind of index and number of rows?
//!
//! One thread. Rows are as far apart as chance has it, or (`clustered`) near-duplicates of one another, as lists hold them. Nine queries in ten
//! have no row within the radius; the tenth lies within it of one row, at least (`hits`: each does, `misses`: none). Each index is held to the
//! scan's results before it is measured, and says its build time and bytes a row on the way.
//!
//! Criterion's time is that of one look-up; queries differ from each other, so that a look-up does not find its lists in the cache.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashwarden::entry::{Bits, Hash64, Pdq};
use hashwarden::index::conformance::Random;
use hashwarden::index::exact::ExactIndex;
use hashwarden::index::{Hit, IndexKind, Query, RadiusIndex, Scratch, build};
use rayon::prelude::*;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUERIES: usize = 2_000;
/// Queries that are compared with the scan before measuring: a scan of a million is slow.
const QUERIES_CHECKED: usize = 100;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = pdq, hash64, skew, exact, batch, join
}
criterion_main!(benches);

/// What rows are made and what is asked.
#[derive(Clone, Copy)]
struct Data {
    name: &'static str,
    /// Rows of a cluster at most; of so many sizes each is as frequent.
    cluster_max: usize,
    /// Of ten queries, how many lie within the radius of a row.
    hits_in_ten: usize,
}

const UNIFORM: Data = Data { name: "", cluster_max: 1, hits_in_ten: 1 };
const HITS: Data = Data { name: " hits", hits_in_ten: 10, ..UNIFORM };
const MISSES: Data = Data { name: " misses", hits_in_ten: 0, ..UNIFORM };
const CLUSTERED: Data = Data { name: " clustered", cluster_max: 40, ..UNIFORM };

impl Data {
    fn rows<H: Bits>(&self, n: usize, random: &mut Random) -> Arc<[H]> {
        let (mut centre, mut left) = (balanced(random), 0);
        let row = |_| {
            if left == 0 {
                (centre, left) = (balanced(random), 1 + random.below(self.cluster_max));
            }
            left -= 1;
            // As far from the centre as re-encoding and small edits go; a cluster of one is the centre.
            let apart = if self.cluster_max > 1 { random.below(usize::from(H::BITS) / 16 + 1) } else { 0 };
            random.at_distance(&centre, apart as u16)
        };
        (0..n).map(row).collect()
    }
}

fn pdq(c: &mut Criterion) {
    use IndexKind::{BkTree, Linear, MultiIndex};
    for rows in [1_000, 2_000, 4_000, 10_000, 100_000, 1_000_000] {
        measure::<Pdq>(c, "pdq", UNIFORM, rows, &[(Linear, 31), (MultiIndex, 31), (BkTree, 0), (BkTree, 4), (BkTree, 31)]);
    }
    measure::<Pdq>(c, "pdq", UNIFORM, 10_000_000, &[(Linear, 31), (MultiIndex, 31)]);
    for rows in [100_000, 1_000_000, 10_000_000] {
        for data in [HITS, MISSES, CLUSTERED] {
            measure::<Pdq>(c, "pdq", data, rows, &[(MultiIndex, 31)]);
        }
    }
}

fn hash64(c: &mut Criterion) {
    use IndexKind::{BkTree, Linear, MultiIndex};
    for rows in [1_000, 4_000, 10_000, 40_000, 80_000, 100_000, 1_000_000] {
        measure::<Hash64>(c, "hash64", UNIFORM, rows, &[(Linear, 4), (MultiIndex, 4), (MultiIndex, 8), (BkTree, 4), (BkTree, 8)]);
    }
    for data in [HITS, MISSES, CLUSTERED] {
        measure::<Hash64>(c, "hash64", data, 1_000_000, &[(MultiIndex, 4), (MultiIndex, 8)]);
    }
    measure::<Hash64>(c, "hash64", UNIFORM, 10_000_000, &[(Linear, 8), (MultiIndex, 4), (MultiIndex, 8), (MultiIndex, 10)]);
}

fn exact(c: &mut Criterion) {
    for rows in [10_000, 1_000_000] {
        let mut random = Random(1);
        let digests: Arc<[[u8; 32]]> = (0..rows).map(|_| std::array::from_fn(|_| random.next() as u8)).collect();
        let started = Instant::now();
        let index = ExactIndex::build(digests.clone());
        describe("sha256", "exact", rows, started.elapsed(), index.bytes());
        for (row, digest) in digests.iter().enumerate().step_by(97) {
            let mut found = Vec::new();
            index.find(digest, &mut |row| found.push(row));
            assert_eq!(found, [row as u32]);
        }
        let mut at = 0;
        c.bench_function(&format!("sha256/exact/{rows}"), |b| {
            b.iter(|| {
                at = (at + 7_919) % rows;
                index.find(black_box(&digests[at]), &mut |row| assert_eq!(row as usize, at));
            });
        });
    }
}

/// Lists that are made to be slow: a million hashes within 10 bits of one another, the same with as many others, a million equal ones. What
/// is asked: a hash that all of them match, one just beyond them, one far away.
fn skew(c: &mut Criterion) {
    const ROWS: usize = 1_000_000;
    let mut random = Random(11);
    let centre: Pdq = balanced(&mut random);
    let mut near = |row: usize, of: usize| {
        if row.is_multiple_of(of) { random.at_distance(&centre, (row % 11) as u16) } else { balanced(&mut random) }
    };
    let lists: [(&str, Arc<[Pdq]>); 3] = [
        ("all within 10 bits", (0..ROWS).map(|row| near(row, 1)).collect()),
        ("half within 10 bits", (0..ROWS).map(|row| near(row, 2)).collect()),
        ("all equal", vec![centre; ROWS].into()),
    ];
    for (name, rows) in lists {
        let index = build(IndexKind::MultiIndex, rows.clone());
        let linear = build(IndexKind::Linear, rows);
        for (what, distance) in [("in the middle", 0), ("just beyond", 44), ("far away", 128)] {
            let query = [Query { hash: random.at_distance(&centre, distance), radius: 31 }];
            assert_eq!(hits(&*index, &query), hits(&*linear, &query));
            let mut scratch = Scratch::default();
            c.bench_function(&format!("pdq/multi-index/skew/{name}/{what}"), |b| {
                b.iter(|| {
                    let mut n = 0;
                    index.look_up(black_box(&query), &mut scratch, &mut |hits| {
                        n += hits.len();
                        ControlFlow::Continue(())
                    });
                    n
                });
            });
        }
    }
}

/// Many look-ups together, on one thread, beside one after the other, and these on as many threads as there are cores.
fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("pdq/multi-index/batch");
    group.sample_size(10);
    for (data, rows) in [(UNIFORM, 1_000_000), (CLUSTERED, 1_000_000), (UNIFORM, 10_000_000)] {
        let mut random = Random(rows as u64);
        let hashes: Arc<[Pdq]> = data.rows(rows, &mut random);
        let queries: Vec<Query<Pdq>> = (0..8_192)
            .map(|number| match number % 10 {
                0 => random.at_distance(&hashes[number], (number / 10 % 32) as u16),
                _ => balanced(&mut random),
            })
            .map(|hash| Query { hash, radius: 31 })
            .collect();
        let index = build(IndexKind::MultiIndex, hashes);
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        let mut alone = Vec::new();
        for (query, number) in queries.iter().zip(0..) {
            let before = alone.len();
            index.search(std::slice::from_ref(query), &mut scratch, &mut alone);
            alone[before..].iter_mut().for_each(|hit: &mut Hit| hit.query = number);
        }
        alone.sort_unstable();
        assert!(alone.len() >= 819 && alone == hits(&*index, &queries));
        group.throughput(Throughput::Elements(queries.len() as u64));
        let cores = rayon::current_num_threads();
        group.bench_function(format!("{rows}{}/1 together, {cores} threads", data.name), |b| {
            let workspace = || (Scratch::default(), Vec::new());
            b.iter(|| {
                queries.par_chunks(64).for_each_init(workspace, |(scratch, out), some| {
                    some.chunks(1).for_each(|one| _ = index.search(one, scratch, out));
                });
            });
        });
        for together in [1, 256, 1_024, 8_192] {
            group.bench_function(format!("{rows}{}/{together} together", data.name), |b| {
                b.iter(|| {
                    out.clear();
                    queries.chunks(together).for_each(|some| _ = index.search(some, &mut scratch, &mut out));
                    out.len()
                });
            });
        }
    }
    group.finish();
}

/// All pairs of two sets, on all cores, beside as many look-ups one by one on one.
fn join(c: &mut Criterion) {
    let mut group = c.benchmark_group("pdq/join/radius 31");
    group.sample_size(10);
    let sizes =
        [(10_000, 1_000_000), (1_000_000, 1_000_000), (10_000, 10_000_000), (10_000_000, 10_000), (10_000_000, 10_000_000)];
    for (hashes, rows) in sizes {
        let mut random = Random(hashes as u64);
        let stored: Arc<[Pdq]> = (0..rows).map(|_| balanced(&mut random)).collect();
        let asked: Vec<Pdq> = (0..hashes)
            .map(|number| match number % 10 {
                0 => random.at_distance(&stored[number % rows], (number / 10 % 32) as u16),
                _ => balanced(&mut random),
            })
            .collect();
        let index = build(IndexKind::MultiIndex, stored);
        let pairs = |found: &std::sync::Mutex<Vec<Hit>>| {
            index.join(&asked, 31, &|hits| {
                if !hits.is_empty() {
                    found.lock().expect("no panic").extend_from_slice(hits);
                }
                ControlFlow::Continue(())
            });
        };
        // The first time memory is touched that was the system's before.
        let [first, again] = [(); 2].map(|()| {
            let (found, started) = (std::sync::Mutex::default(), Instant::now());
            pairs(&found);
            (started.elapsed(), found)
        });
        let (took, found) = again;
        let us = |took: Duration| took.as_secs_f64() * 1e6 / hashes as f64;
        let mut found = found.into_inner().expect("no panic");
        found.sort_unstable();
        let sample: Vec<Query<Pdq>> = asked[..1_000].iter().map(|hash| Query { hash: *hash, radius: 31 }).collect();
        let expected = hits(&*index, &sample);
        assert!(expected.len() >= 100 && found[..expected.len()] == expected && found[expected.len()].query >= 1_000);
        println!("pdq/join/{hashes} with {rows}: {:.2} us a hash, the first time {:.2}", us(took), us(first.0));
        if hashes < 10_000_000 {
            group.throughput(Throughput::Elements(hashes as u64));
            group.bench_function(format!("{hashes} with {rows}"), |b| {
                b.iter(|| {
                    let found = std::sync::Mutex::default();
                    pairs(&found);
                    found.into_inner().map(|found| found.len())
                });
            });
        }
    }
    group.finish();
}

fn measure<H: Bits>(c: &mut Criterion, name: &str, data: Data, rows: usize, indexes: &[(IndexKind, u16)]) {
    let (name, mut random) = (format!("{name}{}", data.name), Random(rows as u64));
    let hashes: Arc<[H]> = data.rows(rows, &mut random);
    let linear = build(IndexKind::Linear, hashes.clone());
    let mut built: Option<(IndexKind, Box<dyn RadiusIndex<H>>)> = None;
    for (kind, radius) in indexes {
        let queries: Vec<Query<H>> = (0..QUERIES)
            .map(|number| {
                let near = hashes[random.below(rows)];
                let distance = random.below(usize::from(*radius) + 1) as u16;
                let hash =
                    if number % 10 < data.hits_in_ten { random.at_distance(&near, distance) } else { balanced(&mut random) };
                Query { hash, radius: *radius }
            })
            .collect();
        if built.as_ref().is_none_or(|(other, _)| other != kind) {
            let started = Instant::now();
            let index = build(*kind, hashes.clone());
            describe(&name, &kind.to_string(), rows, started.elapsed(), index.bytes());
            built = Some((*kind, index));
        }
        let Some((_, index)) = &built else { continue };
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        assert_eq!(hits(&**index, &queries[..QUERIES_CHECKED]), hits(&*linear, &queries[..QUERIES_CHECKED]));
        let mut at = 0;
        c.bench_with_input(BenchmarkId::new(format!("{name}/{kind}/radius {radius}"), rows), index, |b, index| {
            b.iter(|| {
                at = (at + 1) % QUERIES;
                out.clear();
                index.search(black_box(&queries[at..=at]), &mut scratch, &mut out);
                black_box(out.len())
            });
        });
    }
}

fn hits<H: Bits>(index: &dyn RadiusIndex<H>, queries: &[Query<H>]) -> Vec<Hit> {
    let mut hits = Vec::new();
    index.search(queries, &mut Scratch::default(), &mut hits);
    hits.sort_unstable();
    hits
}

fn describe(name: &str, kind: &str, rows: usize, took: Duration, bytes: usize) {
    println!("{name}/{kind}/{rows}: built in {:.1} ms, {:.1} bytes a row", took.as_secs_f64() * 1e3, bytes as f64 / rows as f64);
}

/// A hash of as many ones as zeros, as PDQ hashes are and hashes by a median or by gradients nearly are.
fn balanced<H: Bits>(random: &mut Random) -> H {
    let zeros = H::from_bytes(&vec![0; H::BYTES]).expect("as many bytes as the kind has");
    random.at_distance(&zeros, H::BITS / 2)
}
