//! One number, one answer: whatever lists, policies and versions do at once, a snapshot's number never stands for two states, and a
//! version that a snapshot names is the one that it holds.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashwarden::app;
use hashwarden::catalog::{Catalog, NewEntry, PolicyUpdate};
use hashwarden::config::Config;
use hashwarden::entry::{Caller, HashKind, HashValue, Polarity};
use hashwarden::matcher::Matcher;
use hashwarden::store::Access;

const EDITS: u8 = 120;
const LISTS: [&str; 2] = ["even", "odd"];

/// What a snapshot says of each list that answers: the active version, quality, live hashes.
type State = Vec<(String, u32, u8, u64)>;

fn state(matcher: &Matcher) -> (u64, State) {
    let snapshot = matcher.snapshot();
    let lists = snapshot.policy.lists.iter().map(|list| {
        let live = snapshot.live.get(&(list.id, HashKind::Md5)).copied().unwrap_or(0);
        (list.name.clone(), list.active.0, list.policy.quality_min, live)
    });
    (snapshot.id, lists.collect())
}

/// Reads until `over`: whether a version was shown with the content of another, or a number with two states.
fn read(matcher: &Matcher, over: &AtomicBool, seen: &mut BTreeMap<u64, State>) -> u64 {
    let (mut reads, mut last) = (0, 0);
    while !over.load(Ordering::Acquire) {
        let (id, state) = state(matcher);
        assert!(id >= last, "snapshot {id} came after {last}");
        last = id;
        for (name, version, _, live) in &state {
            // Each version adds one entry, so its number is how many there are.
            assert_eq!(u64::from(*version), *live, "snapshot {id} shows list {name}'s version {version} with other entries");
        }
        let known = seen.entry(id).or_insert_with(|| state.clone());
        assert_eq!(*known, state, "two states of snapshot {id}");
        reads += 1;
    }
    reads
}

fn add(catalog: &Catalog, by: &Caller, list: &str, n: u8) {
    let hashes = vec![HashValue::Md5([n + 1; 16])];
    catalog
        .add(by, list, vec![NewEntry { id: Some(format!("e{n}")), category: String::new(), hashes, ..NewEntry::default() }])
        .unwrap();
}

#[test]
fn a_snapshots_number_has_one_answer_while_entries_and_policies_change() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, matcher) = app::matching(&dir.path().join("store"), &Config::default(), Access::Write).unwrap();
    let by = Caller("test".to_owned());
    for name in LISTS {
        catalog.create(&by, name, Polarity::Positive, &PolicyUpdate::default()).unwrap();
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut seen = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = BTreeMap::new();
                    let reads = read(&matcher, &over, &mut seen);
                    (reads, seen)
                })
            })
            .collect();
        let adders = LISTS.map(|name| {
            let (catalog, by) = (&catalog, &by);
            scope.spawn(move || (0..EDITS).for_each(|n| add(catalog, by, name, n)))
        });
        let setters = LISTS.map(|name| {
            let (catalog, by, over) = (&catalog, &by, &over);
            scope.spawn(move || {
                for n in (0u8..100).cycle() {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    catalog.set(by, name, &PolicyUpdate { quality_min: Some(n), ..PolicyUpdate::default() }).unwrap();
                    catalog.set_disabled(by, name, n % 2 == 0).unwrap();
                }
            })
        });
        adders.into_iter().for_each(|adder| adder.join().unwrap());
        over.store(true, Ordering::Release);
        setters.into_iter().for_each(|setter| setter.join().unwrap());
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    // What both readers saw under one number is the same.
    let (reads, mut all) = seen.pop().unwrap();
    let mut total = reads;
    for (reads, other) in seen {
        total += reads;
        for (id, state) in other {
            assert_eq!(*all.entry(id).or_insert_with(|| state.clone()), state, "two states of snapshot {id}");
        }
    }
    println!("{total} reads of {} snapshots", all.len());
    assert!(all.len() > usize::from(EDITS), "{} snapshots", all.len());
}
