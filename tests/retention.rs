//! What is kept of a list and for how long, and what is left of what is not.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hashwarden::app;
use hashwarden::catalog::{Catalog, FORMAT_DERIVED, ImportOptions, NewEntry, PolicyUpdate};
use hashwarden::config::Config;
use hashwarden::demo::lists::random_pdq;
use hashwarden::entry::{Bits, Caller, HashKind, HashValue, ListVersion, Pdq, Polarity, VersionNo, VersionState};
use hashwarden::index::IndexChoice;
use hashwarden::lists::Mapping;
use hashwarden::store::{Access, Store};
use tempfile::TempDir;

fn by() -> Caller {
    Caller("test".to_owned())
}

fn config(versions_max: usize) -> Config {
    let mut config = Config::default();
    config.store.keep.versions_max = versions_max;
    config
}

fn catalog(dir: &Path, config: &Config) -> Catalog {
    app::lists(dir, config, Access::Write).unwrap()
}

fn create(catalog: &Catalog, name: &str) {
    catalog.create(&by(), name, Polarity::Positive, &PolicyUpdate::default()).unwrap();
}

/// What a list holds: hashes by id.
type Rows = BTreeMap<String, Pdq>;

fn import(catalog: &Catalog, name: &str, rows: &Rows, activate: bool) -> VersionNo {
    let text: String = rows.iter().map(|(id, pdq)| format!("{id},{}\n", hex::encode(pdq.to_bytes()))).collect();
    let options = ImportOptions {
        format: None,
        mapping: Mapping::default(),
        source: "rows.csv".to_owned(),
        activate,
        dry_run: false,
        accept: true,
        ..ImportOptions::default()
    };
    let file = format!("id,pdq\n{text}");
    let report = catalog.import(&by(), name, &options, &mut file.as_bytes(), &mut |_| ()).unwrap();
    assert_eq!(report.activated, activate, "{:?}", report.warnings);
    report.version.unwrap()
}

fn add(catalog: &Catalog, name: &str, id: &str, pdq: Pdq) -> VersionNo {
    let entry =
        NewEntry { id: Some(id.to_owned()), category: String::new(), hashes: vec![HashValue::Pdq(pdq)], ..NewEntry::default() };
    catalog.add(&by(), name, vec![entry]).unwrap().version
}

fn sound(catalog: &Catalog) {
    assert_eq!(catalog.verify(&mut |_, _| ()).unwrap().problems, Vec::<String>::new());
}

/// What each version that can be used holds, read from the rows.
fn versions(dir: &Path, name: &str) -> BTreeMap<u32, Rows> {
    let store = Store::open(dir, Access::Read, FORMAT_DERIVED).unwrap();
    let list = store.list_by_name(name).unwrap().unwrap();
    let kept = store.versions(list.id).unwrap().into_iter().filter(|v| v.state == VersionState::Sealed);
    let ids: Vec<_> = store.ids(list.id).unwrap().map(|id| id.unwrap().1).collect();
    let pdq = |hash: &HashValue| Pdq::from_bytes(&hash.to_vec()).unwrap();
    let held = |version: &ListVersion| {
        let named = ids.iter().filter_map(|id| id.in_version(&version.lineage));
        let contents = named.map(|record| store.entry(list.id, record.entry).unwrap().unwrap());
        contents.map(|content| (content.id.clone(), pdq(&content.hashes[0]))).collect()
    };
    kept.map(|v| (v.version.0, held(&v))).collect()
}

fn numbered(seed: u64, rows: usize) -> Rows {
    random_pdq(seed, rows).into_iter().enumerate().map(|(n, pdq)| (format!("e{n}"), pdq)).collect()
}

/// A version that was dropped after its parent left the parent's rows behind, and a compaction the hash.
#[test]
fn a_branch_that_was_left_goes_as_a_whole() {
    let dir = TempDir::new().unwrap();
    let catalog = catalog(dir.path(), &config(3));
    create(&catalog, "known");
    let first = import(&catalog, "known", &numbered(1, 50), true);
    let left = random_pdq(3, 40);
    for turn in 0..3 {
        for n in 0..4 {
            add(&catalog, "known", &format!("left-{turn}-{n}"), left[turn * 4 + n]);
        }
        catalog.activate(&by(), "known", first).unwrap();
        sound(&catalog);
        add(&catalog, "known", &format!("stays-{turn}"), left[20 + turn]);
        catalog.activate(&by(), "known", first).unwrap();
        sound(&catalog);
    }
    add(&catalog, "known", "last", left[30]);
    add(&catalog, "known", "last too", left[31]);
    sound(&catalog);
    catalog.compact(&mut |_| ()).unwrap();
    sound(&catalog);
    drop(catalog);
    let mut held = versions(dir.path(), "known").into_values().flatten().map(|(id, _)| id).collect::<Vec<_>>();
    held.retain(|id| !id.starts_with('e'));
    held.sort();
    held.dedup();
    assert_eq!(held, ["last", "last too"]);
    let bytes: Vec<u8> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "sst"))
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    let is_there = |pdq: &Pdq| bytes.windows(32).any(|window| window == pdq.to_bytes().as_ref());
    assert!(left[..24].iter().all(|pdq| !is_there(pdq)), "a hash of a version that is gone is still on the disk");
}

#[test]
fn adds_do_not_each_leave_a_version() {
    let dir = TempDir::new().unwrap();
    let catalog = catalog(dir.path(), &config(3));
    create(&catalog, "known");
    let first = import(&catalog, "known", &numbered(1, 50), true);
    for (n, pdq) in random_pdq(2, 300).into_iter().enumerate() {
        add(&catalog, "known", &format!("added-{n}"), pdq);
    }
    let kept = catalog.versions("known").unwrap();
    assert!(kept.len() < 30, "{} versions", kept.len());
    assert!(kept.iter().any(|v| v.version == first), "imports are not displaced by adds");
    assert_eq!(catalog.list("known").unwrap().rows, 350);
    sound(&catalog);
    // The version before the last add is there to go back to.
    catalog.roll_back(&by(), "known").unwrap();
    assert_eq!(catalog.list("known").unwrap().rows, 349);
    catalog.activate(&by(), "known", first).unwrap();
    assert_eq!(catalog.list("known").unwrap().rows, 50);
    sound(&catalog);
}

/// Anything that can happen to a list, in any order: a version that is kept holds what it held when it was made, and look-ups see the
/// active one.
#[test]
fn whatever_happens_versions_that_are_kept_hold_what_they_held() {
    let dir = TempDir::new().unwrap();
    let mut config = config(2);
    config.index.pdq = IndexChoice::BkTree;
    let (mut catalog, mut matcher) = app::matching(dir.path(), &config, Access::Write).unwrap();
    create(&catalog, "known");
    let hashes = random_pdq(3, 4_000);
    let mut expected: BTreeMap<u32, Rows> = BTreeMap::from([(0, Rows::new())]);
    // Of each version: the ids that a file brought, and those that were added by hand, which no file takes out.
    let mut sources: BTreeMap<u32, [BTreeSet<String>; 2]> = BTreeMap::from([(0, Default::default())]);
    let (mut random, mut dropped) = (9u64, 0);
    let mut next = |n: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n
    };
    for turn in 0..140 {
        let list = catalog.list("known").unwrap().list;
        let active = expected[&list.active.0].clone();
        let [files, hand] = sources[&list.active.0].clone();
        let imported = |rows: &Rows| {
            let mut all: Rows = active.clone().into_iter().filter(|(id, _)| hand.contains(id)).collect();
            all.extend(rows.clone());
            (all, [rows.keys().cloned().collect::<BTreeSet<_>>(), hand.clone()])
        };
        let some = |next: &mut dyn FnMut(usize) -> usize| {
            let mut rows = Rows::from([("e0".to_owned(), hashes[next(60)])]);
            for n in 1..40 {
                if next(3) > 0 {
                    rows.insert(format!("e{n}"), hashes[next(60)]);
                }
            }
            rows
        };
        match next(10) {
            0 | 1 => {
                let rows = some(&mut next);
                let (all, from) = imported(&rows);
                if all != active || from[0] != files {
                    let version = import(&catalog, "known", &rows, true);
                    expected.insert(version.0, all);
                    sources.insert(version.0, from);
                }
            }
            2 => {
                let rows = some(&mut next);
                let (all, from) = imported(&rows);
                if all != active || from[0] != files {
                    let version = import(&catalog, "known", &rows, false);
                    expected.insert(version.0, all);
                    sources.insert(version.0, from);
                }
            }
            3 => _ = catalog.roll_back(&by(), "known"),
            4 => {
                let usable: Vec<_> =
                    catalog.versions("known").unwrap().into_iter().filter(|v| v.state == VersionState::Sealed).collect();
                if !usable.is_empty() {
                    catalog.activate(&by(), "known", usable[next(usable.len())].version).unwrap();
                }
            }
            5 => {
                let id = format!("e{}", next(40));
                let report = catalog.remove(&by(), "known", vec![id.clone()]).unwrap();
                let (mut rows, mut from) = (active, [files, hand]);
                rows.remove(&id);
                from.iter_mut().for_each(|ids| _ = ids.remove(&id));
                expected.insert(report.version.0, rows);
                sources.insert(report.version.0, from);
            }
            _ => {
                let (id, pdq) = (format!("e{}", next(40)), hashes[next(hashes.len())]);
                let version = add(&catalog, "known", &id, pdq);
                let (mut rows, mut from) = (active, [files, hand]);
                from[1].insert(id.clone());
                rows.insert(id, pdq);
                expected.insert(version.0, rows);
                sources.insert(version.0, from);
            }
        }
        let list = catalog.list("known").unwrap().list;
        let live = matcher.snapshot().live.get(&(list.id, HashKind::Pdq)).copied().unwrap_or(0);
        assert_eq!(live as usize, expected[&list.active.0].len(), "turn {turn}");
        if turn % 10 == 9 {
            sound(&catalog);
            let kept = versions(dir.path(), "known");
            for (version, rows) in &kept {
                assert_eq!(rows, &expected[version], "turn {turn}, version {version}");
            }
            dropped = expected.len() - 1 - kept.len();
        }
        if turn % 40 == 39 {
            drop((catalog, matcher));
            (catalog, matcher) = app::matching(dir.path(), &config, Access::Write).unwrap();
        }
    }
    println!("{} versions were made, {dropped} of them dropped", expected.len() - 1);
    assert!(dropped > 30, "{dropped}");
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let three = |chunk: &[u8]| {
        let number = chunk.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |at: u32| BASE64[(number >> (18 - 6 * at)) as usize & 63] as char;
        (0..4).map(|at| if at as usize <= chunk.len() { digit(at) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(three).collect()
}

/// How many of the hashes stand in any file of the store, as they are, in hex or in base64, or in what RocksDB reads from them.
fn found(dir: &Path, hashes: &[Pdq]) -> usize {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for file in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        texts.push(std::fs::read(file.path()).unwrap());
    }
    // As the store has it: without, RocksDB 11 does not survive opening a database for reading that names its logs.
    let mut options = rocksdb::Options::default();
    options.set_track_and_verify_wals_in_manifest(true);
    let names = rocksdb::DB::list_cf(&options, dir).unwrap();
    let db = rocksdb::DB::open_cf_for_read_only(&options, dir, &names, false).unwrap();
    for name in &names {
        for pair in db.iterator_cf(db.cf_handle(name).unwrap(), rocksdb::IteratorMode::Start) {
            let (key, value) = pair.unwrap();
            texts.push([&key[..], &value[..]].concat());
        }
    }
    // Eight bytes are enough to tell random hashes apart.
    let mut beginnings: BTreeMap<[u8; 8], usize> = BTreeMap::new();
    for (n, hash) in hashes.iter().enumerate() {
        let bytes = hash.to_bytes();
        let bytes = bytes.as_ref();
        let hex = hex::encode(bytes);
        for form in [bytes, hex.as_bytes(), hex.to_uppercase().as_bytes(), base64(bytes).as_bytes()] {
            beginnings.insert(form[..8].try_into().unwrap(), n);
        }
    }
    let seen = texts.iter().flat_map(|text| text.windows(8)).filter_map(|window| {
        let window: [u8; 8] = window.try_into().unwrap();
        beginnings.get(&window).copied()
    });
    seen.collect::<BTreeSet<usize>>().len()
}

#[test]
fn after_deletion_and_compaction_no_hash_of_the_list_is_in_any_file() {
    let dir = TempDir::new().unwrap();
    let mut config = config(5);
    config.index.pdq = IndexChoice::BkTree;
    let hashes = random_pdq(5, 600);
    let id = |n: usize, pdq: &Pdq| match n % 4 {
        0 => format!("e{n}"),
        1 => hex::encode(pdq.to_bytes()),
        2 => base64(pdq.to_bytes().as_ref()),
        _ => format!("case {n}: {}", hex::encode_upper(pdq.to_bytes())),
    };
    let rows = |range: std::ops::Range<usize>| range.map(|n| (id(n, &hashes[n]), hashes[n])).collect::<Rows>();
    let kept = random_pdq(6, 50);
    {
        let catalog = catalog(dir.path(), &config);
        create(&catalog, "gone");
        create(&catalog, "kept");
        import(&catalog, "gone", &rows(0..400), true);
        import(&catalog, "gone", &rows(100..500), true);
        add(&catalog, "gone", &id(500, &hashes[500]), hashes[500]);
        import(&catalog, "gone", &rows(100..600), false);
        let same = kept.iter().enumerate().map(|(n, pdq)| (id(n, pdq), *pdq)).collect();
        import(&catalog, "kept", &same, true);
    }
    // A server stops and starts: tables, and a MANIFEST that names their bounds.
    drop(catalog(dir.path(), &config));
    assert_eq!(found(dir.path(), &hashes), 600);
    catalog(dir.path(), &config).delete(&by(), "gone").unwrap();
    let compacted = app::compact(dir.path(), &config, &mut |_| ()).unwrap();
    assert_eq!(found(dir.path(), &hashes), 0);
    assert_eq!(found(dir.path(), &kept), 50, "what is kept is there");
    assert!(compacted.bytes_after < compacted.bytes_before, "{compacted:?}");
    let catalog = catalog(dir.path(), &config);
    sound(&catalog);
    assert_eq!(catalog.list("kept").unwrap().rows, 50);
}

#[test]
fn hashes_that_were_withdrawn_go_with_the_versions_that_held_them() {
    let dir = TempDir::new().unwrap();
    let config = config(1);
    let hashes = random_pdq(7, 300);
    let rows = |range: std::ops::Range<usize>| range.map(|n| (format!("e{n}"), hashes[n])).collect::<Rows>();
    {
        let catalog = catalog(dir.path(), &config);
        create(&catalog, "known");
        import(&catalog, "known", &rows(0..200), true);
        add(&catalog, "known", "once", hashes[299]);
        // The first hundred and the one that was added are withdrawn.
        catalog.remove(&by(), "known", vec!["once".to_owned()]).unwrap();
        import(&catalog, "known", &rows(100..200), true);
        import(&catalog, "known", &rows(100..250), true);
        sound(&catalog);
    }
    assert_eq!(versions(dir.path(), "known").keys().copied().collect::<Vec<_>>(), [4, 5]);
    app::compact(dir.path(), &config, &mut |_| ()).unwrap();
    let withdrawn: Vec<Pdq> = hashes[..100].iter().chain(&hashes[299..]).copied().collect();
    assert_eq!(found(dir.path(), &withdrawn), 0);
    assert_eq!(found(dir.path(), &hashes[100..250]), 150);
    sound(&catalog(dir.path(), &config));
}

fn bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// A list that is exchanged again and again, as a process a time does it.
#[test]
fn imports_do_not_make_the_store_grow_for_good() {
    let dir = TempDir::new().unwrap();
    let config = config(1);
    create(&catalog(dir.path(), &config), "known");
    let mut sizes = Vec::new();
    for seed in 1..=12 {
        import(&catalog(dir.path(), &config), "known", &numbered(seed, 10_000), true);
        sizes.push(bytes(dir.path()) >> 10);
    }
    app::compact(dir.path(), &config, &mut |_| ()).unwrap();
    println!("KiB after each import: {sizes:?}; compacted: {}", bytes(dir.path()) >> 10);
    let most = sizes[6..].iter().max().unwrap();
    let early = sizes[2..6].iter().max().unwrap();
    assert!(*most <= early + early / 2, "{sizes:?}");
    sound(&catalog(dir.path(), &config));
}
