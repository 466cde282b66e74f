//! The hot path from bytes to verdict: PDQ, decoding and hashing, the whole match, hash-only look-ups through the matcher.
//!
//! Every bench asserts the right answer first. Pictures are drawn by the demo's code.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[path = "drawn/mod.rs"]
mod drawn;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use drawn::jpeg;
use hashwarden::app;
use hashwarden::catalog::{Catalog, NewEntry, PolicyUpdate};
use hashwarden::config::Config;
use hashwarden::decode::{self, Limits};
use hashwarden::demo::lists::random_pdq;
use hashwarden::entry::{Caller, HashKind, HashValue, Polarity, Transform};
use hashwarden::extract::{Extractor, InProcess, Wants};
use hashwarden::hash::digest::Digests;
use hashwarden::hash::{hash64, pdq};
use hashwarden::matcher::{Content, GivenHash, Job, Matcher};
use hashwarden::sandbox::{Options, Sandbox, Sandboxed};
use hashwarden::store::Access;
use hashwarden::verdict::{Asked, Outcome, Verdict};
use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;

const SIZES: [(u32, u32, &str); 3] = [(640, 480, "640x480"), (1920, 1080, "1080p"), (4000, 3000, "12 MP")];

fn hashing(c: &mut Criterion) {
    let mut group = c.benchmark_group("hashing");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    let extractor = InProcess::new(Limits::default(), Instant::now);
    let workers = Options { sandbox: Sandbox::Required, program: Some(env!("CARGO_BIN_EXE_hashwarden").into()) };
    let workers = Sandboxed::start(&workers, Limits::default(), 1).unwrap();
    for (width, height, name) in SIZES {
        let bytes = jpeg(1, width, height);
        let mut decoded = Vec::new();
        let left_out = decode::frames(&bytes, &Limits::default(), &|| false, &mut |_, picture| {
            decoded.push(
                decode::Picture::new(picture.width(), picture.height(), picture.channels(), picture.samples().to_vec()).unwrap(),
            );
            std::ops::ControlFlow::Continue(())
        });
        assert!(left_out.unwrap().is_empty());
        let rendering = decoded[0].renderings()[0];
        let plane = pdq::plane64(&decoded[0].luma(rendering));
        assert_eq!(pdq::hashes(&plane)[0], pdq::hash(&plane));
        let until = || Instant::now() + Duration::from_secs(60);
        let seen = extractor.extract(&bytes, &Wants::ALL, until()).unwrap().seen;
        assert_eq!(seen[0].hash, HashValue::Pdq(pdq::hash(&plane)));
        assert_eq!(seen[0].transform, Transform::Identity);

        group.bench_function(BenchmarkId::new("pdq, 8 transforms, from pixels", name), |b| {
            b.iter(|| pdq::hashes(&pdq::plane64(&black_box(&decoded[0]).luma(rendering))))
        });
        group.bench_function(BenchmarkId::new("decode a JPEG", name), |b| {
            b.iter(|| {
                let mut each = |_: u32, picture: &decode::Picture| {
                    black_box(picture.samples());
                    std::ops::ControlFlow::Continue(())
                };
                decode::frames(black_box(&bytes), &Limits::default(), &|| false, &mut each).unwrap()
            })
        });
        // What decoded JPEGs before libjpeg-turbo did, and hid damage.
        group.bench_function(BenchmarkId::new("decode a JPEG by the image crate", name), |b| {
            b.iter(|| {
                let decoder = JpegDecoder::new(std::io::Cursor::new(black_box(&bytes))).unwrap();
                let mut samples = vec![0; decoder.total_bytes() as usize];
                decoder.read_image(&mut samples).unwrap();
                samples
            })
        });
        group.bench_function(BenchmarkId::new("phash64 and dhash64, from the 64x64 plane", name), |b| {
            b.iter(|| (hash64::phash64(black_box(&plane)), hash64::dhash64(black_box(&plane))))
        });
        group.bench_function(BenchmarkId::new("MD5, SHA-1 and SHA-256", name), |b| b.iter(|| Digests::of(black_box(&bytes))));
        // Side by side, as the machine is now: what the sandbox costs.
        for (what, wants) in [("", Wants::ALL), (", with a plane for views", Wants { views: true, ..Wants::ALL })] {
            let expected = extractor.extract(&bytes, &wants, until());
            assert_eq!(workers.extract(&bytes, &wants, until()), expected);
            for (place, extractor) in [("", &extractor as &dyn Extractor), (", in a worker process", &workers)] {
                group.bench_function(BenchmarkId::new(format!("decode and hash a JPEG{what}{place}"), name), |b| {
                    b.iter(|| extractor.extract(black_box(&bytes), &wants, until()).unwrap())
                });
            }
        }
    }
    group.finish();
}

fn by() -> Caller {
    Caller("bench".to_owned())
}

fn load(dir: &std::path::Path, hashes: &[HashValue]) -> (std::sync::Arc<Catalog>, Matcher) {
    let (catalog, matcher) = app::matching(dir, &Config::default(), Access::Write).unwrap();
    catalog.create(&by(), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
    for chunk in hashes.chunks(10_000) {
        let entry =
            |hash: &HashValue| NewEntry { id: None, category: String::new(), hashes: vec![hash.clone()], ..NewEntry::default() };
        catalog.add(&by(), "known", chunk.iter().map(entry).collect()).unwrap();
    }
    while catalog.merge() {}
    (catalog, matcher)
}

fn ask(matcher: &Matcher, content: Content) -> Verdict {
    let (send, answer) = mpsc::channel();
    let job = Job { content, lists: Asked::All, views: None, until: Instant::now() + Duration::from_secs(60), caller: by() };
    matcher.submit(job, move |a| send.send(a).unwrap());
    answer.recv().unwrap().verdict
}

/// Through the matcher's door, threads and all: what an edge waits for.
fn matching(c: &mut Criterion) {
    let mut group = c.benchmark_group("matching");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    let dir = tempfile::tempdir().unwrap();
    let mut hashes: Vec<_> = random_pdq(5, 100_000).into_iter().map(HashValue::Pdq).collect();
    let extractor = InProcess::new(Limits::default(), Instant::now);
    let until = Instant::now() + Duration::from_secs(600);
    for (width, height, _) in SIZES {
        let seen = extractor.extract(&jpeg(1, width, height), &Wants::ALL, until).unwrap().seen;
        hashes.extend(seen.into_iter().find(|o| o.hash.kind() == HashKind::Pdq).map(|o| o.hash));
    }
    let (_catalog, matcher) = load(dir.path(), &hashes);
    for (width, height, name) in SIZES {
        let (known, stranger) = (jpeg(1, width, height), jpeg(2, width, height));
        assert_eq!(ask(&matcher, Content::Image(known.clone())).outcome, Outcome::Match);
        assert_eq!(ask(&matcher, Content::Image(stranger.clone())).outcome, Outcome::NoMatch);
        for (what, bytes) in [("known", known), ("stranger", stranger)] {
            group.bench_function(BenchmarkId::new(format!("image to verdict, {what}, 100 thousand entries"), name), |b| {
                b.iter(|| ask(&matcher, Content::Image(bytes.clone())))
            });
        }
    }
    let given = |hash: &HashValue| Content::Hashes(vec![GivenHash { hash: hash.clone(), quality: None }]);
    let strangers: Vec<_> = random_pdq(6, 1_000).into_iter().map(HashValue::Pdq).collect();
    assert_eq!(ask(&matcher, given(&hashes[7])).outcome, Outcome::Match);
    assert_eq!(ask(&matcher, given(&strangers[7])).outcome, Outcome::NoMatch);
    let mut next = strangers.iter().cycle();
    group.bench_function("one PDQ to verdict, 100 thousand entries", |b| b.iter(|| ask(&matcher, given(next.next().unwrap()))));

    group.throughput(Throughput::Elements(strangers.len() as u64));
    group.bench_function("1,000 PDQ to verdicts in one batch, 100 thousand entries", |b| {
        b.iter(|| {
            let jobs = strangers.iter().map(|hash| Job {
                content: given(hash),
                lists: Asked::All,
                views: None,
                until: Instant::now() + Duration::from_secs(60),
                caller: by(),
            });
            let (send, answers) = mpsc::channel();
            matcher.submit_hashes(jobs.collect(), move |a| send.send(a).unwrap());
            let answers = answers.recv().unwrap();
            assert_eq!(answers.len(), strangers.len());
        })
    });
    group.finish();
}

criterion_group!(benches, hashing, matching);
criterion_main!(benches);
