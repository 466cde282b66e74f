//! The store against real RocksDB files: what it keeps, what it refuses, what it notices.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use hashwarden::entry::*;
use hashwarden::store::*;
use rocksdb::{DB, Options, WriteBatch};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

const DERIVED: u32 = 7;
const LIST: ListId = ListId(1);
const TRUTH: [&str; 8] = ["meta", "lists", "versions", "entry_ids", "entries", "deltas", "history", "contents"];

#[test]
fn a_list_lives_from_its_creation_to_its_deletion() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    assert_eq!((store.seq().unwrap(), store.next_list().unwrap()), (0, LIST));
    create(&store, LIST, "known");
    import(&store, LIST, opens(&store, 0..100));
    assert_eq!(pointers(&store), (0, 0, 1), "a sealed version is not active yet");
    apply(&store, ChangeOp::Activate { list: LIST, version: VersionNo(1) });

    // Two new contents under old ids, one gone, one new.
    let mut rows = Vec::new();
    for n in [3, 4, 5] {
        rows.push(close(&store, &id(n)));
    }
    let next = store.next_entry().unwrap().0;
    rows.push(RowChange::Open { entry: EntryNo(next), content: entry(&id(3), 1003), description: None });
    rows.push(RowChange::Open { entry: EntryNo(next + 1), content: entry(&id(4), 1004), description: None });
    rows.push(RowChange::Open { entry: EntryNo(next + 2), content: entry("new", 1005), description: None });
    edit(&store, LIST, rows);
    assert_eq!(pointers(&store), (2, 1, 2));
    assert_eq!(store.version(LIST, VersionNo(2)).unwrap().unwrap().rows, 100);

    let policy = ListPolicy { quality_min: 70, pdq_dialect: PdqDialect::Full, ..ListPolicy::default_for(Polarity::Positive) };
    apply(&store, ChangeOp::SetPolicy { list: LIST, policy: policy.clone() });
    apply(&store, ChangeOp::SetDisabled { list: LIST, disabled: true });
    let before = store.seq().unwrap();
    drop(store);

    let store = writer(dir.path());
    let list = store.list_by_name("known").unwrap().unwrap();
    assert_eq!((list.policy, list.disabled, list.head), (policy, true, VersionNo(2)));
    assert_eq!(store.seq().unwrap(), before);
    assert_eq!(store.next_entry().unwrap(), EntryNo(103));
    assert_eq!(named(&store, LIST, 2, &id(5)), None);
    let record = named(&store, LIST, 2, &id(3)).unwrap();
    assert_eq!((record.entry, record.digest), (EntryNo(100), row_digest(&entry(&id(3), 1003))));
    assert_eq!(named(&store, LIST, 1, &id(3)).unwrap().entry, EntryNo(3));
    assert_eq!(store.entry(LIST, EntryNo(3)).unwrap(), Some(entry(&id(3), 3)));
    let ids = store.ids(LIST).unwrap().map(|r| r.unwrap().0).collect::<Vec<_>>();
    assert!(ids.len() == 101 && ids.is_sorted() && ids.contains(&b"new".to_vec()));
    assert_eq!([1, 2].map(|version| held(&store, version).len()), [100, 100]);
    let deltas = store.deltas(LIST, VersionNo(2)..=VersionNo(2)).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(deltas.iter().filter(|d| d.op == DeltaOp::Opened).count(), 3);
    assert_eq!(deltas[0], Delta { version: VersionNo(2), entry: EntryNo(3), op: DeltaOp::Closed });
    sound(&store);

    apply(&store, ChangeOp::DeleteList { list: LIST });
    assert_eq!(store.lists().unwrap(), []);
    assert_eq!(store.next_list().unwrap(), ListId(2), "a list's number is not used again");
    sound(&store);
    drop(store);
    let dump = dump(dir.path());
    for family in ["lists", "versions", "entry_ids", "entries", "deltas", "contents"] {
        assert_eq!(dump[family].len(), 0, "{family}");
    }
}

#[test]
fn deltas_are_read_by_entries_too() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    import(&store, LIST, opens(&store, 0..200));
    apply(&store, ChangeOp::Activate { list: LIST, version: VersionNo(1) });
    // Long stretches closed and opened, and many versions of one delta each.
    let closed = (40..160).map(|n| close(&store, &id(n))).collect();
    edit(&store, LIST, closed);
    edit(&store, LIST, opens(&store, 300..400));
    for n in 0..40 {
        let row = if n % 2 == 0 { opens(&store, 500 + n..501 + n) } else { vec![close(&store, &id(500 + n - 1))] };
        edit(&store, LIST, row);
    }
    create(&store, ListId(2), "after");
    import(&store, ListId(2), opens(&store, 0..3));
    let last = store.list_by_name("known").unwrap().unwrap().head;
    for versions in [VersionNo(1)..=last, VersionNo(2)..=VersionNo(3), VersionNo(4)..=last, VersionNo(2)..=VersionNo(1)] {
        let all: Vec<_> = store.deltas(LIST, versions.clone()).unwrap().map(Result::unwrap).collect();
        for (first, end) in [(0, u32::MAX), (0, 0), (0, 99), (17, 18), (41, 159), (100, 320), (290, u32::MAX), (5_000, 6_000)] {
            let entries = EntryNo(first)..=EntryNo(end);
            let some: Vec<_> = store.deltas_of(LIST, versions.clone(), entries.clone()).unwrap().map(Result::unwrap).collect();
            let expected: Vec<_> = all.iter().filter(|delta| entries.contains(&delta.entry)).copied().collect();
            assert_eq!(some, expected, "{versions:?}, {entries:?}");
        }
    }
}

#[test]
fn undoing_a_version_and_sweeping_restores_every_byte() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    create(&store, ListId(2), "other");
    import(&store, LIST, opens(&store, 0..9_000));
    import(&store, ListId(2), opens(&store, 0..50));
    drop(store);
    let before = dump(dir.path());

    let store = writer(dir.path());
    stage(&store, LIST, 2);
    let mut rows = Vec::new();
    let mut next = store.next_entry().unwrap().0;
    for n in 0..9_000 {
        if n % 3 != 0 {
            rows.push(close(&store, &id(n)));
        }
        if n % 3 == 1 {
            rows.push(RowChange::Open { entry: EntryNo(next), content: entry(&id(n), n + 100_000), description: None });
            next += 1;
        }
    }
    for n in 9_000..25_000 {
        rows.push(RowChange::Open { entry: EntryNo(next), content: entry(&id(n), n), description: None });
        next += 1;
    }
    put_rows(&store, LIST, 2, rows);
    sound(&store);
    apply(&store, ChangeOp::Undo { list: LIST, version: VersionNo(2) });
    assert_eq!(store.version(LIST, VersionNo(2)).unwrap().unwrap().state, VersionState::Undone);
    assert_eq!(store.next_entry().unwrap(), EntryNo(next), "numbers are not used again");
    sound(&store);
    assert_eq!(sweep(&store, LIST), 3_000 + 16_000);
    sound(&store);
    drop(store);
    let after = dump(dir.path());
    for family in ["lists", "entry_ids", "entries", "deltas"] {
        assert!(before[family] == after[family], "{family} differs");
    }

    let store = writer(dir.path());
    refused(&store, ChangeOp::Undo { list: LIST, version: VersionNo(2) }, "not being written");
    refused(&store, ChangeOp::Undo { list: LIST, version: VersionNo(1) }, "not being written");
    import(&store, LIST, opens(&store, 30_000..30_010));
    assert_eq!(store.list(LIST).unwrap().unwrap().head, VersionNo(3), "an undone version's number is spent");
    sound(&store);
}

/// A kill in the middle of a sweep leaves a store that is sound, and a sweep that can be finished.
#[test]
fn an_undo_whose_sweep_was_killed_is_finished_later() {
    for delay_ms in [0, 15, 60, 150] {
        let dir = TempDir::new().unwrap();
        let store = writer(dir.path());
        create(&store, LIST, "known");
        import(&store, LIST, opens(&store, 0..12_000));
        drop(store);
        let before = dump(dir.path());
        let store = writer(dir.path());
        stage(&store, LIST, 2);
        let moved = (0..12_000).flat_map(|n| [close(&store, &id(n)), open(12_000 + n, &id(n), n + 1)]).collect();
        put_rows(&store, LIST, 2, moved);
        put_rows(&store, LIST, 2, opens_from(24_000, 12_000..40_000));
        drop(store);

        let (mut child, _lines) = child("undo", dir.path());
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = writer(dir.path());
        sound(&store);
        let version = store.version(LIST, VersionNo(2)).unwrap().unwrap();
        if version.state == VersionState::Staged {
            apply(&store, ChangeOp::Undo { list: LIST, version: VersionNo(2) });
        }
        println!("killed after {delay_ms} ms, {} rows were left", sweep(&store, LIST));
        sound(&store);
        drop(store);
        let after = dump(dir.path());
        for family in ["lists", "entry_ids", "entries", "deltas"] {
            assert!(before[family] == after[family], "{family} differs");
        }
    }
}

#[test]
fn a_change_that_does_not_fit_is_refused_in_words_and_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    create(&store, ListId(2), "other");
    import(&store, LIST, opens(&store, 0..10));
    import(&store, ListId(2), opens(&store, 0..10));
    stage(&store, LIST, 2);
    let next = store.next_entry().unwrap().0;
    put_rows(&store, LIST, 2, vec![close(&store, &id(1)), open(next, "fresh", 77)]);
    drop(store);
    let before = dump(dir.path());

    let store = writer(dir.path());
    let next = next + 1;
    let rows = |rows: Vec<RowChange>| ChangeOp::Rows { list: LIST, version: VersionNo(2), rows };
    let close_row = |entry| RowChange::Close { entry: EntryNo(entry) };
    let good = open(next, "good", 1);
    let unsorted = {
        let mut entry = entry("x", 5);
        entry.hashes.reverse();
        RowChange::Open { entry: EntryNo(next), content: entry, description: None }
    };
    let policy = || ListPolicy::default_for(Polarity::Positive);
    let wide = {
        let mut policy = policy();
        policy.category_radii.insert(("a".into(), HashKind::Phash64), 65);
        policy
    };
    let make = |list, name: &str, policy| ChangeOp::CreateList {
        list: ListId(list),
        name: name.into(),
        polarity: Polarity::Positive,
        policy,
    };
    let (list, version, source) = (LIST, VersionNo(2), "again".to_owned());
    for (op, words) in [
        (rows(vec![good.clone(), close_row(next + 5)]), "not in the version"),
        (rows(vec![good.clone(), close_row(1)]), "not in the version"),
        (rows(vec![good.clone(), close_row(11)]), "not in the version"),
        (rows(vec![close_row(0), close_row(0)]), "not in the version"),
        (rows(vec![close_row(next - 1)]), "was opened by it"),
        (rows(vec![good.clone(), open(next + 1, &id(0), 9)]), "id that another entry"),
        (rows(vec![good.clone(), open(next + 1, "fresh", 9)]), "id that another entry"),
        (rows(vec![good.clone(), open(next + 1, "good", 9)]), "id that another entry"),
        (rows(vec![good.clone(), open(next, "other", 9)]), "not for this id"),
        (rows(vec![open(next + 1, "good", 9)]), "next entry's number"),
        (rows(vec![open(12, "good", 9)]), "not for this id"),
        (rows(vec![open(0, &id(0), 0)]), "id that another entry"),
        (rows(vec![open(1, &id(1), 1)]), "closed by this version"),
        (rows(vec![open(1, &id(1), 9)]), "another content"),
        (rows(vec![close_row(2), open(2, &id(2), 2)]), "closed by this version"),
        (rows(vec![unsorted]), "not sorted"),
        (rows(vec![close_row(0); ROWS_MAX + 1]), "limit"),
        (rows((0..9_000).map(|n| open(next + n, &id(n + 500), 0)).collect()), "limit"),
        (ChangeOp::Rows { list, version: VersionNo(1), rows: vec![] }, "not being written"),
        (ChangeOp::Rows { list: ListId(9), version, rows: vec![] }, "no list"),
        (staged(list, VersionNo(3), 2, &source), "not sealed"),
        (staged(list, VersionNo(3), 9, &source), "not sealed"),
        (
            ChangeOp::Stage { list, version: VersionNo(3), parent: None, source: source.clone(), made_by: MadeBy::Edit },
            "its parent",
        ),
        (staged(ListId(2), VersionNo(1), 1, &source), "next version"),
        (staged(ListId(2), VersionNo(3), 1, &source), "next version"),
        (staged(ListId(2), version, 1, &"x".repeat(2_000)), "limit"),
        (ChangeOp::Drop { list, versions: vec![VersionNo(1)] }, "in use"),
        (ChangeOp::Drop { list, versions: vec![version] }, "in use"),
        (ChangeOp::Drop { list, versions: vec![VersionNo(9)] }, "does not exist"),
        (ChangeOp::Drop { list, versions: vec![] }, "no version"),
        (ChangeOp::Drop { list: ListId(9), versions: vec![version] }, "no list"),
        (ChangeOp::Seal { list, version, rows: 10, digest: [0; 32] }, "digest differs"),
        (ChangeOp::Seal { list, version: VersionNo(1), rows: 10, digest: [0; 32] }, "not being written"),
        (ChangeOp::Activate { list, version }, "not sealed"),
        (ChangeOp::Activate { list, version: VersionNo(0) }, "not sealed"),
        (
            ChangeOp::Edit {
                list: ListId(2),
                version,
                parent: Some(VersionNo(1)),
                source,
                rows: vec![good],
                rows_total: 10,
                digest: [0; 32],
            },
            "holds 11 rows",
        ),
        (make(3, "known", policy()), "named known already"),
        (make(4, "third", policy()), "next list's number"),
        (make(3, "../up", policy()), "list name"),
        (make(3, "third", wide.clone()), "above the largest"),
        (ChangeOp::SetPolicy { list, policy: wide }, "above the largest"),
        (ChangeOp::SetPolicy { list, policy: ListPolicy { scope: vec!["x".repeat(70_000)], ..policy() } }, "limit"),
        (ChangeOp::SetDisabled { list: ListId(3), disabled: true }, "no list"),
        (ChangeOp::DeleteList { list: ListId(3) }, "no list"),
    ] {
        refused(&store, op, words);
    }
    drop(store);
    assert!(before == dump(dir.path()), "a refused change left a trace");
}

#[test]
fn an_entry_that_was_closed_opens_again_with_its_old_content_only() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    edit(&store, LIST, opens(&store, 0..10));
    edit(&store, LIST, vec![close(&store, &id(4)), open(10, &id(4), 104)]);
    let back = close(&store, &id(4));
    let altered = vec![back.clone(), open(4, &id(4), 999)];
    let (version, parent, source) = (VersionNo(3), Some(VersionNo(2)), "x".to_owned());
    let op = ChangeOp::Edit { list: LIST, version, parent, source, rows: altered, rows_total: 10, digest: [0; 32] };
    refused(&store, op, "another content");
    edit(&store, LIST, vec![back, open(4, &id(4), 4)]);
    assert_eq!([1, 2, 3].map(|v| named(&store, LIST, v, &id(4)).unwrap().entry.0), [4, 10, 4]);
    let digest = |v| store.version(LIST, VersionNo(v)).unwrap().unwrap().digest;
    assert_eq!(digest(1), digest(3), "equal rows, equal digest");
    assert_ne!(digest(1), digest(2));
    assert_eq!(store.next_entry().unwrap(), EntryNo(11));
    sound(&store);
}

/// After a roll-back an edit starts from what is active; a file that is imported meanwhile from what was active when it began.
#[test]
fn versions_of_one_list_are_written_beside_each_other_and_hold_what_their_parents_do() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    edit(&store, LIST, opens(&store, 0..4));
    edit(&store, LIST, vec![close(&store, &id(0)), open(4, &id(0), 100), open(5, &id(4), 4)]);
    apply(&store, ChangeOp::Activate { list: LIST, version: VersionNo(1) });
    // An import begins: it starts from 1, as two edits do that come before its rows and after.
    apply(&store, staged(LIST, VersionNo(3), 1, "import"));
    edit(&store, LIST, vec![close(&store, &id(1)), open(6, &id(5), 5)]);
    // It has the id that the edit added, and an entry back that was rolled back.
    put_rows(&store, LIST, 3, vec![RowChange::Close { entry: EntryNo(0) }, open(7, &id(5), 55), open(4, &id(0), 100)]);
    sound(&store);
    edit(&store, LIST, vec![close(&store, &id(5))]);
    let ids = |version: u32| held(&store, version).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let numbers = |ns: &[u32]| ns.iter().map(|n| id(*n)).collect::<Vec<_>>();
    assert_eq!(ids(1), numbers(&[0, 1, 2, 3]));
    assert_eq!(ids(2), numbers(&[0, 1, 2, 3, 4]));
    assert_eq!(ids(4), numbers(&[0, 2, 3, 5]));
    assert_eq!(ids(5), numbers(&[0, 2, 3]));
    assert_eq!((ids(3), named(&store, LIST, 3, &id(0)).unwrap().entry), (numbers(&[0, 1, 2, 3, 5]), EntryNo(4)));
    let parents = store.versions(LIST).unwrap().iter().map(|v| v.parent.0).collect::<Vec<_>>();
    assert_eq!(parents, [0, 1, 1, 1, 4]);
    sound(&store);
    // The import is activated with the edits on top; of their branch the last version goes after its parent: both leave nothing.
    let (rows, digest) = totals(&store, LIST, VersionNo(3), &[]);
    apply(&store, ChangeOp::Seal { list: LIST, version: VersionNo(3), rows, digest });
    apply(&store, ChangeOp::Activate { list: LIST, version: VersionNo(3) });
    edit(&store, LIST, vec![RowChange::Close { entry: EntryNo(1) }]);
    apply(&store, ChangeOp::Drop { list: LIST, versions: vec![VersionNo(4)] });
    assert_eq!(sweep(&store, LIST), 1, "id 5 as the edit added it: the version after took it out");
    sound(&store);
    edit(&store, LIST, vec![RowChange::Close { entry: EntryNo(2) }]);
    apply(&store, ChangeOp::Drop { list: LIST, versions: vec![VersionNo(5)] });
    sweep(&store, LIST);
    sound(&store);
    let all = store.deltas(LIST, VersionNo(1)..=VersionNo(9)).unwrap().map(|delta| delta.unwrap().version.0);
    assert!(all.filter(|version| [4, 5].contains(version)).count() == 0);
    // Then a new version's lineage is one range again, but for what is there still.
    let lineage = store.version(LIST, VersionNo(7)).unwrap().unwrap().lineage;
    edit(&store, LIST, vec![RowChange::Close { entry: EntryNo(3) }]);
    let ranges = |lineage: Lineage| lineage.ranges().iter().map(|(a, b)| (a.0, b.0)).collect::<Vec<_>>();
    assert_eq!(ranges(lineage), [(1, 1), (3, 3), (6, 7)]);
    assert_eq!(ranges(store.version(LIST, VersionNo(8)).unwrap().unwrap().lineage), [(1, 1), (3, 8)]);
    sound(&store);
    drop(store);
    sound(&Store::open(dir.path(), Access::Read, DERIVED).unwrap());
}

#[test]
fn every_change_comes_back_as_it_was_and_continues_the_chain() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    import(&store, LIST, opens(&store, 0..20));
    apply(&store, ChangeOp::Activate { list: LIST, version: VersionNo(1) });
    let last = change(ChangeOp::SetDisabled { list: LIST, disabled: true });
    assert_eq!(store.apply(&last, &[]).unwrap(), 6);
    let changes = store.changes(1).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(changes.iter().map(|c| c.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let Change { time_ms, by, op } = last;
    assert_eq!(changes[5], Recorded { seq: 6, time_ms, by, op: Some(op) });
    let opened = opens_from(0, 0..20);
    assert_eq!(changes[2].op, Some(ChangeOp::Rows { list: LIST, version: VersionNo(1), rows: opened }));
    assert_eq!(changes[4].op, Some(ChangeOp::Activate { list: LIST, version: VersionNo(1) }));
    assert_eq!(store.changes(6).unwrap().count(), 1);
    let head = store.chain_digest().unwrap();
    drop(store);

    let mut digest = [0; 32];
    for (_, value) in &dump(dir.path())["history"] {
        assert_eq!(value[..32], digest);
        digest = sha2_256(value);
    }
    assert_eq!(digest, head);
}

#[test]
fn a_store_of_a_newer_format_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    drop(writer(dir.path()));
    raw(dir.path(), |batch, db| batch.put_cf(db.cf_handle("meta").unwrap(), "format_truth", 5u32.to_be_bytes()));
    let before = dump(dir.path());
    for access in [Access::Write, Access::Read] {
        let error = Store::open(dir.path(), access, DERIVED).unwrap_err();
        assert!(matches!(error, StoreError::FormatNewer { found: 5, known: 4 }), "{error}");
        assert!(error.to_string().contains("written by a newer hashwarden"), "{error}");
    }
    assert!(before == dump(dir.path()));
}

#[test]
fn another_layout_of_derived_rows_is_a_value_and_not_an_error() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    let mark = DerivedPut::Mark { name: "reach".into(), bytes: vec![1] };
    store.derived_put(&[mark, bk(0, 0, 1, 1), column(1, 0)]).unwrap();
    drop(store);
    let store = Store::open(dir.path(), Access::Write, DERIVED + 1).unwrap();
    assert_eq!(store.format_derived_found(), DERIVED);
    store.derived_reset(DERIVED + 1).unwrap();
    assert_eq!(store.columns(1).unwrap().count() + store.bk_rows(2, 0).unwrap().count(), 0);
    assert_eq!(store.derived_mark("reach").unwrap(), None);
    drop(store);
    assert_eq!(writer(dir.path()).format_derived_found(), DERIVED + 1);
}

#[test]
fn a_second_writer_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    let locked = || {
        let error = Store::open(dir.path(), Access::Write, DERIVED).unwrap_err();
        assert!(matches!(&error, StoreError::Locked { dir: held } if held == dir.path()), "{error:?}");
        assert!(error.to_string().contains("in use by another process"), "{error}");
    };
    locked();
    drop(store);

    let (mut child, _lines) = child("hold", dir.path());
    locked();
    let reader = Store::open(dir.path(), Access::Read, DERIVED).unwrap();
    assert_eq!(reader.lists().unwrap()[0].name, "child");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    drop(writer(dir.path()));
}

/// Does nothing unless another test starts it in a process of its own.
#[test]
fn in_a_child_process() {
    let Some(dir) = std::env::var_os("HASHWARDEN_TEST_CHILD_DIR") else { return };
    let store = writer(Path::new(&dir));
    let undo = std::env::var("HASHWARDEN_TEST_CHILD").unwrap() == "undo";
    if !undo {
        create(&store, LIST, "child");
    }
    println!("\nready");
    if undo {
        apply(&store, ChangeOp::Undo { list: LIST, version: VersionNo(2) });
        sweep(&store, LIST);
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_reader_sees_the_moment_it_was_opened_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    edit(&store, LIST, opens(&store, 0..1_000));
    let files = || std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect::<Vec<_>>();
    let before = files();
    let reader = Store::open(dir.path(), Access::Read, DERIVED).unwrap();
    assert_eq!(before, files(), "a reader makes no files");
    assert_eq!(reader.entry_id_key(), store.entry_id_key());
    edit(&store, LIST, opens(&store, 1_000..1_500));
    assert_eq!(reader.ids(LIST).unwrap().count(), 1_000);
    sound(&reader);
    let op = ChangeOp::DeleteList { list: LIST };
    assert!(matches!(reader.apply(&change(op), &[]), Err(StoreError::ReadOnly)));
    assert!(matches!(reader.derived_put(&[]), Err(StoreError::ReadOnly)));
    assert!(matches!(reader.scratch_clear(), Err(StoreError::ReadOnly)));
    let reader = Store::open(dir.path(), Access::Read, DERIVED).unwrap();
    assert_eq!(reader.ids(LIST).unwrap().count(), 1_500);
}

#[test]
fn what_is_no_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let not_a_store = |path: &Path, access, why: &str| {
        let error = Store::open(path, access, DERIVED).unwrap_err();
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let absent = dir.path().join("absent");
    not_a_store(&absent, Access::Read, "nothing in it");
    assert!(!absent.exists());

    let photos = dir.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("holiday.jpg"), "x").unwrap();
    not_a_store(&photos, Access::Write, "other files");
    assert_eq!(std::fs::read_dir(&photos).unwrap().count(), 1);
    not_a_store(&photos.join("holiday.jpg"), Access::Write, "it is a file");

    let foreign = dir.path().join("foreign");
    DB::open_default(&foreign).unwrap().put("a", "b").unwrap();
    not_a_store(&foreign, Access::Write, "another program");
    not_a_store(&foreign, Access::Read, "another program");

    // A store whose making was cut short before its first batch is made whole.
    let unfinished = dir.path().join("unfinished");
    drop(DB::open_default(&unfinished).unwrap());
    not_a_store(&unfinished, Access::Read, "not finished");
    drop(writer(&unfinished));
    sound(&Store::open(&unfinished, Access::Read, DERIVED).unwrap());
    std::fs::remove_file(unfinished.join("CURRENT")).unwrap();
}

/// `verify` recommended `store accept`, which then said that there is no store.
#[test]
fn what_accepting_cannot_help_says_that_only_a_backup_does() {
    let dir = TempDir::new().unwrap();
    let lost = |path: &Path, why: &str| {
        let opened = [Access::Read, Access::Write].map(|access| Store::open(path, access, DERIVED).unwrap_err());
        for error in opened.into_iter().chain([Store::accept(path).unwrap_err()]) {
            assert!(matches!(error, StoreError::Lost { .. }), "{error:?}");
            let said = error.to_string();
            assert!(said.contains(why) && said.contains("from a backup") && !said.contains("accept"), "{said}");
        }
    };
    let store = writer(dir.path());
    create(&store, LIST, "known");
    drop(store);
    raw(dir.path(), |batch, db| batch.delete_cf(db.cf_handle("meta").unwrap(), "format_truth"));
    lost(dir.path(), "no format number");
    std::fs::remove_file(dir.path().join("CURRENT")).unwrap();
    lost(dir.path(), "CURRENT is not there");
}

#[test]
fn verify_finds_any_altered_value() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    create(&store, ListId(2), "other");
    edit(&store, LIST, opens(&store, 0..4));
    edit(&store, LIST, vec![close(&store, &id(1)), open(4, &id(1), 50)]);
    import(&store, ListId(2), opens(&store, 0..2));
    stage(&store, ListId(2), 2);
    apply(&store, ChangeOp::Undo { list: ListId(2), version: VersionNo(2) });
    stage(&store, ListId(2), 3);
    put_rows(&store, ListId(2), 3, opens(&store, 7..9));
    edit(&store, LIST, opens(&store, 20..22));
    edit(&store, LIST, opens(&store, 22..24));
    apply(&store, ChangeOp::Drop { list: LIST, versions: vec![VersionNo(1), VersionNo(2)] });
    assert_eq!((sweep(&store, LIST), sweep(&store, ListId(2))), (1, 0));
    sound(&store);
    drop(store);

    let mut random = 11;
    let mut altered = 0;
    for family in TRUTH {
        for (key, value) in &dump(dir.path())[family] {
            // Of these two there is no second account.
            if ["format_derived", "entry_id_key"].iter().any(|name| key == name.as_bytes()) {
                continue;
            }
            let mut flipped = value.clone();
            if flipped.is_empty() {
                flipped.push(1);
            } else {
                let bit = splitmix64(&mut random) as usize % (value.len() * 8);
                flipped[bit / 8] ^= 1 << (bit % 8);
            }
            raw(dir.path(), |batch, db| batch.put_cf(db.cf_handle(family).unwrap(), key, &flipped));
            found(dir.path(), &format!("a flipped bit in {family}, key {key:?}"));
            raw(dir.path(), |batch, db| batch.delete_cf(db.cf_handle(family).unwrap(), key));
            found(dir.path(), &format!("a missing row in {family}, key {key:?}"));
            raw(dir.path(), |batch, db| batch.put_cf(db.cf_handle(family).unwrap(), key, value));
            altered += 1;
        }
    }
    assert!(altered >= 50, "{altered}");
    for (family, key, value) in [
        ("entry_ids", &[0, 0, 0, 1, b'z'][..], &[0; 24][..]),
        ("entry_ids", &[0, 0, 0, 1, b'z'], &[]),
        ("entry_ids", &[0, 0, 0, 9, b'z'], &[]),
        ("deltas", &[0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 9], &[]),
        ("entries", &[0, 0, 0, 5, 0, 0, 0, 0], &[0; 9]),
        ("versions", &[0, 0, 0, 2, 0, 0, 0, 9], &[8, 3]),
        ("versions", &[1], &[]),
        ("lists", &[0, 0, 0, 3], &[]),
        ("history", &99u64.to_be_bytes(), &[0; 32]),
        ("contents", &[0; 16], &[0; 40]),
        ("contents", &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3], &[0; 40]),
    ] {
        raw(dir.path(), |batch, db| batch.put_cf(db.cf_handle(family).unwrap(), key, value));
        found(dir.path(), &format!("a row too many in {family}"));
        raw(dir.path(), |batch, db| batch.delete_cf(db.cf_handle(family).unwrap(), key));
    }
    sound(&writer(dir.path()));
}

/// What a version holds: id and seed-made hashes.
fn held(store: &Store, version: u32) -> Vec<(String, String)> {
    let lineage = store.version(LIST, VersionNo(version)).unwrap().unwrap().lineage;
    let named = store.ids(LIST).unwrap().filter_map(|id| id.unwrap().1.in_version(&lineage));
    let contents = named.map(|record| store.entry(LIST, record.entry).unwrap().unwrap());
    let mut held: Vec<_> = contents.map(|content| (content.id.clone(), content.hashes[0].hex())).collect();
    held.sort();
    held
}

/// The entry of an id in a version.
fn named(store: &Store, list: ListId, version: u32, id: &str) -> Option<IdRecord> {
    let lineage = store.version(list, VersionNo(version)).unwrap().unwrap().lineage;
    store.id_history(list, id).unwrap().in_version(&lineage)
}

#[test]
fn dropped_versions_take_what_they_alone_held_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    // A version a turn: a third of the ids get another content, come, or go.
    let mut random = 3;
    let mut expected = vec![Vec::new()];
    for turn in 0..24u32 {
        let (mut closes, mut opened) = (Vec::new(), Vec::new());
        let mut next = store.next_entry().unwrap().0;
        for n in 0..30 {
            let there = turn > 0 && named(&store, LIST, turn, &id(n)).is_some();
            match splitmix64(&mut random) % 6 {
                0 if there => closes.push(close(&store, &id(n))),
                1 | 0 => {
                    if there {
                        closes.push(close(&store, &id(n)));
                    }
                    opened.push(open(next, &id(n), 1000 * turn + n));
                    next += 1;
                }
                _ => {}
            }
        }
        closes.append(&mut opened);
        edit(&store, LIST, closes);
        expected.push(held(&store, turn + 1));
    }
    let mut kept: Vec<u32> = (1..=24).collect();
    for versions in [&[5][..], &[6, 4], &[1], &[2, 3, 10, 20], &[9, 11, 12, 13, 14, 15, 16], &[7, 8, 17, 18, 19, 21]] {
        apply(&store, ChangeOp::Drop { list: LIST, versions: versions.iter().map(|v| VersionNo(*v)).collect() });
        sound(&store); // swept or not
        sweep(&store, LIST);
        kept.retain(|v| !versions.contains(v));
        sound(&store);
        for version in &kept {
            assert_eq!(held(&store, *version), expected[*version as usize], "version {version} after {versions:?} went");
        }
        let needed: usize = kept.iter().flat_map(|v| held(&store, *v)).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(store.rows(LIST).unwrap().count(), needed, "after {versions:?} went");
    }
    assert_eq!(kept, [22, 23, 24]);
    assert_eq!(sweep(&store, LIST), 0);
    // What is left works as before.
    apply(&store, ChangeOp::Activate { list: LIST, version: VersionNo(22) });
    sound(&store);
    drop(store);
    let contents = dump(dir.path())["contents"].len();
    assert_eq!(contents, 1 + 3, "the list's own change and those of the three versions");
    let recorded = writer(dir.path()).changes(1).unwrap().filter(|c| c.as_ref().unwrap().op.is_none()).count();
    assert_eq!(recorded, 21, "changes whose contents went");
}

/// The store in tests/data was written by the first version that had lists, at format 1: imports, an edit rolled back, a staged
/// version, a deleted list, ids that are hashes. Benign random hashes.
fn store_of_format_1() -> TempDir {
    kept_store("store-of-format-1")
}

/// Of the last version before versions had parents, at format 2: imports, edits of what was rolled back, versions dropped and swept, one
/// that waits, a negative and a disabled list, a deleted one, ids that are hashes. Benign random hashes.
fn store_of_format_2() -> TempDir {
    kept_store("store-of-format-2")
}

fn kept_store(name: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    for file in std::fs::read_dir(Path::new("tests/data").join(name)).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    dir
}

/// `HEAD`'s number and digest.
fn acknowledged(dir: &Path) -> (u64, String) {
    let text = std::fs::read_to_string(dir.join("HEAD")).unwrap();
    let (seq, chain) = text.trim().split_once(' ').unwrap();
    (seq.parse().unwrap(), chain.to_owned())
}

fn check_migrated(dir: &Path, (seq, chain): &(u64, String)) {
    let store = writer(dir);
    sound(&store);
    assert_eq!(store.seq().unwrap(), seq + 1);
    let versions = store.versions(LIST).unwrap();
    let told = versions.iter().map(|v| (v.rows, v.made_by == MadeBy::Edit, v.activated)).collect::<Vec<_>>();
    let expected =
        [(40, false, true), (45, false, true), (46, true, true), (45, true, true), (47, true, true), (60, false, false)];
    assert_eq!(told, expected);
    assert_eq!(pointers(&store), (5, 3, 6));
    // Its policies were written before there were views.
    let whole_only = |list: &HashList| list.policy.views.is_empty() && list.policy.view_action_max == Action::Review;
    assert!(store.lists().unwrap().iter().all(whole_only));
    assert_eq!([1, 2, 3, 4, 5, 6].map(|version| held(&store, version).len()), [40, 45, 46, 45, 47, 60]);
    // By ids that are hashes too.
    assert!(held(&store, 6).iter().any(|(id, _)| id.len() == 64));
    for (id, hash) in held(&store, 6) {
        let record = named(&store, LIST, 6, &id).unwrap();
        assert_eq!(store.entry(LIST, record.entry).unwrap().unwrap().hashes[0].hex(), hash);
    }
    // Of the list that was deleted nothing is left but that it was.
    let gone = store.changes(1).unwrap().map(Result::unwrap).filter(|c| c.op.is_none()).count();
    assert_eq!(gone, 5, "its four changes with contents, and the migration");
    drop(store);
    let dump = dump(dir);
    let (_, last) = dump["history"].last().unwrap();
    assert!(hex::encode(last).contains(chain), "the last change names the old chain's digest");
    assert_eq!(acknowledged(dir).0, seq + 1);
    assert!(!DB::list_cf(&Options::default(), dir).unwrap().contains(&"changes".to_owned()));
}

#[test]
fn a_store_of_format_1_is_brought_to_this_one() {
    let dir = store_of_format_1();
    let before = acknowledged(dir.path());
    let error = Store::open(dir.path(), Access::Read, DERIVED).unwrap_err();
    assert!(matches!(error, StoreError::FormatOlder { .. }), "{error}");
    assert!(error.to_string().contains("open it once for writing"), "{error}");
    check_migrated(dir.path(), &before);
    // And goes on from there.
    let store = writer(dir.path());
    edit(&store, ListId(2), opens(&store, 0..5));
    apply(&store, ChangeOp::Drop { list: LIST, versions: vec![VersionNo(1), VersionNo(2), VersionNo(4)] });
    sweep(&store, LIST);
    sound(&store);
    drop(store);
    sound(&Store::open(dir.path(), Access::Read, DERIVED).unwrap());
}

#[test]
fn a_migration_that_was_killed_starts_over_or_is_done() {
    // Killed half-way: some of the new rows are there, and HEAD lags.
    let dir = store_of_format_1();
    let before = acknowledged(dir.path());
    {
        let names = DB::list_cf(&Options::default(), dir.path()).unwrap();
        let mut db = DB::open_cf(&Options::default(), dir.path(), names).unwrap();
        for name in ["history", "contents"] {
            db.create_cf(name, &Options::default()).unwrap();
            let family = db.cf_handle(name).unwrap();
            (0..5u64).for_each(|n| db.put_cf(family, n.to_be_bytes(), [7; 40]).unwrap());
            (0..5u64).for_each(|n| db.put_cf(family, [n.to_be_bytes(), [1; 8]].concat(), [7; 40]).unwrap());
        }
    }
    check_migrated(dir.path(), &before);

    // Killed when all was done but HEAD and the old family.
    let dir = store_of_format_1();
    let old = std::fs::read(dir.path().join("HEAD")).unwrap();
    drop(writer(dir.path()));
    std::fs::write(dir.path().join("HEAD"), old).unwrap();
    {
        let names = DB::list_cf(&Options::default(), dir.path()).unwrap();
        let mut db = DB::open_cf(&Options::default(), dir.path(), names).unwrap();
        db.create_cf("changes", &Options::default()).unwrap();
    }
    sound(&Store::open(dir.path(), Access::Read, DERIVED).unwrap());
    let store = writer(dir.path());
    apply(&store, ChangeOp::SetDisabled { list: LIST, disabled: true });
    assert_eq!(acknowledged(dir.path()).0, before.0 + 2);
    sound(&store);
}

#[test]
fn a_damaged_store_of_format_1_is_refused_and_not_migrated() {
    let dir = store_of_format_1();
    let (seq, chain) = acknowledged(dir.path());
    for head in [format!("{} {chain}\n", seq + 1), format!("{seq} {}\n", "ab".repeat(32))] {
        std::fs::write(dir.path().join("HEAD"), head).unwrap();
        assert!(matches!(Store::open(dir.path(), Access::Write, DERIVED), Err(StoreError::Head { .. })));
    }
    // What can't be restored can be accepted, and is migrated then.
    assert_eq!(Store::accept(dir.path()).unwrap(), Accepted { seq, acknowledged: Some(seq) });
    check_migrated(dir.path(), &(seq, chain));
}

fn check_migrated_from_2(dir: &Path, (seq, _): &(u64, String)) {
    let store = writer(dir);
    sound(&store);
    assert_eq!((store.seq().unwrap(), pointers(&store)), (*seq, (6, 7, 8)));
    let versions = store.versions(LIST).unwrap();
    let told = versions.iter().map(|v| (v.version.0, v.rows, v.made_by == MadeBy::Edit, v.activated)).collect::<Vec<_>>();
    let expected = [(1, 33, false, true), (2, 36, false, true), (6, 66, false, true), (7, 65, true, true), (8, 33, false, false)];
    assert_eq!(told, expected);
    for (version, rows, ..) in expected {
        assert_eq!(held(&store, version).len() as u64, rows, "version {version}");
    }
    // The same file, imported first and last; the ids that were changed between.
    assert_eq!(held(&store, 1), held(&store, 8));
    assert_ne!(named(&store, LIST, 6, "e5").unwrap(), named(&store, LIST, 1, "e5").unwrap());
    assert!(named(&store, LIST, 7, "c5").is_none() && named(&store, LIST, 6, "c5").is_some());
    assert!(held(&store, 8).iter().any(|(id, _)| id.len() == 64));
}

#[test]
fn a_store_of_format_2_is_brought_to_this_one() {
    let dir = store_of_format_2();
    let before = acknowledged(dir.path());
    let error = Store::open(dir.path(), Access::Read, DERIVED).unwrap_err();
    assert!(matches!(error, StoreError::FormatOlder { .. }), "{error}");
    check_migrated_from_2(dir.path(), &before);
    // And goes on from there.
    let store = writer(dir.path());
    edit(
        &store,
        LIST,
        vec![
            close(&store, "e9"),
            RowChange::Open { entry: store.next_entry().unwrap(), content: entry("x", 1), description: None },
        ],
    );
    assert_eq!((pointers(&store), held(&store, 9).len()), ((9, 6, 9), 66));
    apply(&store, ChangeOp::Drop { list: LIST, versions: [1, 2, 7, 8].map(VersionNo).to_vec() });
    assert!(sweep(&store, LIST) > 0);
    sound(&store);
    assert_eq!([6, 9].map(|version| held(&store, version).len()), [66, 66]);
    drop(store);
    sound(&Store::open(dir.path(), Access::Read, DERIVED).unwrap());
}

#[test]
fn a_store_of_format_3_is_brought_to_this_one() {
    let dir = kept_store("store-of-format-3");
    let before = acknowledged(dir.path());
    let error = Store::open(dir.path(), Access::Read, DERIVED).unwrap_err();
    assert!(matches!(error, StoreError::FormatOlder { .. }), "{error}");
    let rows = dump(dir.path());
    drop(writer(dir.path()));
    assert_eq!(acknowledged(dir.path()), before, "nothing that was acknowledged is written anew");
    let after = dump(dir.path());
    for family in ["entries", "entry_ids", "deltas", "versions", "history", "contents"] {
        assert!(rows[family] == after[family], "{family}");
    }
    let store = Store::open(dir.path(), Access::Read, DERIVED).unwrap();
    let list = store.list_by_name("known").unwrap().unwrap();
    let lineage = store.version(list.id, list.active).unwrap().unwrap().lineage;
    let named = store.id_history(list.id, "e20").unwrap().in_version(&lineage).unwrap();
    assert_eq!((named.brief, store.version(list.id, list.active).unwrap().unwrap().rows), (Brief::NONE, 54));
}

#[test]
fn a_migration_from_format_2_that_was_killed_goes_on() {
    let (old, new) = (store_of_format_2(), store_of_format_2());
    let before = acknowledged(old.path());
    drop(writer(new.path()));
    let family = |dir: &Path, name: &str| dump(dir).remove(name).unwrap();
    // Rows that had not been reached, and ids that had not: those whose first entry, the oldest, is one of these.
    let rows: Pairs = family(old.path(), "entries").into_iter().filter(|(key, _)| key[7] >= 40).collect();
    let ids: Pairs = family(new.path(), "entry_ids").into_iter().filter(|(_, value)| value[3] >= 40).collect();
    let before_ids: BTreeMap<_, _> = family(old.path(), "entry_ids").into_iter().collect();
    assert!(rows.len() > 20 && ids.len() > 20, "{} rows, {} ids", rows.len(), ids.len());
    raw(new.path(), |batch, db| {
        let (entries, entry_ids) = (db.cf_handle("entries").unwrap(), db.cf_handle("entry_ids").unwrap());
        rows.iter().for_each(|(key, value)| batch.put_cf(entries, key, value));
        // The half of them is as it was before. The other half was done, but for the rows that should have gone.
        for (key, value) in ids.iter().filter(|(_, value)| value[3] % 2 == 0) {
            match before_ids.get(key) {
                Some(old) => batch.put_cf(entry_ids, key, old),
                None => batch.delete_cf(entry_ids, key),
            }
            batch.delete_cf(entries, [&key[..4], &value[..4]].concat());
        }
        batch.put_cf(db.cf_handle("meta").unwrap(), "migrating", []);
        batch.put_cf(db.cf_handle("meta").unwrap(), "format_truth", 3u32.to_be_bytes());
    });
    assert!(matches!(Store::open(new.path(), Access::Read, DERIVED), Err(StoreError::FormatOlder { .. })));
    check_migrated_from_2(new.path(), &before);
}

/// What a bad disk or a careless copy leaves: the store is refused, or it is whole; it never forgets what it acknowledged.
#[test]
fn a_damaged_shortened_or_missing_file_never_passes_for_a_whole_store() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let store = writer(&path);
    create(&store, LIST, "known");
    for n in 0..40 {
        edit(&store, LIST, vec![open(n, &id(n), n)]);
    }
    let seq = store.seq().unwrap();
    drop(store);

    let (mut refused, mut whole) = (0, 0);
    let mut try_it = |what: String, harm: &dyn Fn(&Path)| {
        let harmed = TempDir::new().unwrap();
        for file in std::fs::read_dir(&path).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), harmed.path().join(file.file_name())).unwrap();
        }
        harm(harmed.path());
        // A reader, then a writer, then a writer again: what the first one refuses, the others must not wave through.
        for access in [Access::Read, Access::Write, Access::Write] {
            match Store::open(harmed.path(), access, DERIVED) {
                Ok(store) => {
                    assert_eq!(store.seq().unwrap(), seq, "{what}, {access:?}");
                    assert_eq!(store.rows(LIST).unwrap().map(Result::unwrap).count(), 40, "{what}, {access:?}");
                    whole += 1;
                }
                Err(_) => refused += 1,
            }
        }
    };
    try_it("nothing".into(), &|_| {});
    let mut random = 5;
    let files = std::fs::read_dir(&path).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    let logs = files.iter().filter(|f| f.ends_with(".log") && std::fs::metadata(path.join(f)).unwrap().len() > 0);
    for log in logs.chain(["HEAD".to_owned()].iter()) {
        let bytes = std::fs::read(path.join(log)).unwrap();
        for _ in 0..25 {
            let at = splitmix64(&mut random) as usize % bytes.len();
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            try_it(format!("{log}: byte {at} altered"), &|dir| std::fs::write(dir.join(log), &flipped).unwrap());
            try_it(format!("{log}: cut at {at}"), &|dir| std::fs::write(dir.join(log), &bytes[..at]).unwrap());
        }
    }
    for file in files.iter().filter(|f| *f != "HEAD") {
        try_it(format!("{file} removed"), &|dir| std::fs::remove_file(dir.join(file)).unwrap());
    }
    // Nor without HEAD, however much of the log is left: that there was one, the database knows.
    try_it("HEAD removed".into(), &|dir| std::fs::remove_file(dir.join("HEAD")).unwrap());
    for log in files.iter().filter(|f| f.ends_with(".log") && std::fs::metadata(path.join(f)).unwrap().len() > 0) {
        let bytes = std::fs::read(path.join(log)).unwrap();
        for keep in [0, 1, bytes.len() / 2, bytes.len() - 100] {
            try_it(format!("HEAD removed, {log} cut at {keep}"), &|dir| {
                std::fs::remove_file(dir.join("HEAD")).unwrap();
                std::fs::write(dir.join(log), &bytes[..keep]).unwrap();
            });
        }
    }
    println!("{refused} refused, {whole} whole");
    assert!(refused > 100 && whole >= 3, "{refused} refused, {whole} whole");
}

/// The one way on without a backup is a decision, and it keeps what is there.
#[test]
fn a_store_with_a_cut_log_can_be_accepted_as_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let store = writer(&path);
    create(&store, LIST, "known");
    for n in 0..10 {
        edit(&store, LIST, vec![open(n, &id(n), n)]);
    }
    drop(store);
    assert_eq!(Store::accept(&path).unwrap(), Accepted { seq: 11, acknowledged: Some(11) });
    let store = writer(&path);
    edit(&store, LIST, vec![open(10, &id(10), 10)]);
    edit(&store, LIST, vec![open(11, &id(11), 11)]);
    drop(store);
    let log = std::fs::read_dir(&path).unwrap().map(|f| f.unwrap().path()).filter(|f| f.extension().is_some_and(|e| e == "log"));
    let log = log.max_by_key(|f| std::fs::metadata(f).unwrap().len()).unwrap();
    let bytes = std::fs::read(&log).unwrap();
    std::fs::write(&log, &bytes[..bytes.len() - 50]).unwrap();
    assert!(matches!(Store::open(&path, Access::Write, DERIVED), Err(StoreError::Head { .. })));
    assert_eq!(Store::accept(&path).unwrap(), Accepted { seq: 12, acknowledged: Some(13) });
    let store = writer(&path);
    assert_eq!(store.rows(LIST).unwrap().count(), 11);
    sound(&store);
    edit(&store, LIST, vec![open(11, &id(11), 11)]);
    drop(store);
    sound(&Store::open(&path, Access::Read, DERIVED).unwrap());
    assert!(matches!(Store::accept(&dir.path().join("none")), Err(StoreError::NotAStore { .. })));
}

/// A store from before HEAD was noted is taken as it is, and noted.
#[test]
fn a_store_that_does_not_note_its_head_gets_both() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    drop(store);
    raw(dir.path(), |batch, db| batch.delete_cf(db.cf_handle("meta").unwrap(), "head_kept"));
    std::fs::remove_file(dir.path().join("HEAD")).unwrap();
    drop(Store::open(dir.path(), Access::Read, DERIVED).unwrap());
    assert!(!dir.path().join("HEAD").exists(), "a reader makes no files");
    drop(writer(dir.path()));
    std::fs::remove_file(dir.path().join("HEAD")).unwrap();
    assert!(matches!(Store::open(dir.path(), Access::Write, DERIVED), Err(StoreError::Head { .. })));
}

#[test]
fn what_others_could_read_is_closed_to_them_at_opening() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let store = writer(&path);
    create(&store, LIST, "known");
    drop(store);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let files = || std::fs::read_dir(&path).unwrap().map(|f| f.unwrap().path()).collect::<Vec<_>>();
    files().iter().for_each(|file| set(file, 0o664));
    set(&path, 0o755);
    let before = files();
    drop(writer(&path));
    assert_eq!(mode(&path), 0o700);
    let open: Vec<_> = before.iter().filter(|file| file.exists() && mode(file) & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
}

/// Somebody moved the directory away under a server that runs.
#[test]
fn a_store_whose_directory_is_gone_takes_no_further_change_until_it_is_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let store = writer(&path);
    create(&store, LIST, "known");
    std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    edit(&store, LIST, vec![open(0, &id(0), 0)]);
    let op = ChangeOp::SetDisabled { list: LIST, disabled: true };
    assert!(matches!(store.writable(), Err(StoreError::Failed { .. })));
    assert!(matches!(store.apply(&change(op), &[]), Err(StoreError::Failed { .. })));
    assert!(matches!(store.mend(), Err(StoreError::Failed { .. })));
    // The change that was acknowledged is there, and where the directory is back, the next one is taken.
    std::fs::rename(dir.path().join("elsewhere"), &path).unwrap();
    store.mend().unwrap();
    store.writable().unwrap();
    edit(&store, LIST, vec![open(1, &id(1), 1)]);
    drop(store);
    let store = writer(&path);
    assert_eq!(store.rows(LIST).unwrap().count(), 2);
    sound(&store);
}

#[test]
fn scratch_joins_the_values_of_an_id_in_order_and_is_emptied_at_opening() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    let pair = |id: &str, value: &str| (id.as_bytes().to_vec(), value.as_bytes().to_vec());
    let read = |store: &Store| {
        let rows = store.scratch_iter().unwrap().map(Result::unwrap);
        rows.map(|r| (String::from_utf8(r.id).unwrap(), String::from_utf8(r.values).unwrap(), r.left_out)).collect::<Vec<_>>()
    };
    let row = |id: &str, values: &str| (id.to_owned(), values.to_owned(), 0);
    store.scratch_put(&mut vec![pair("b", "1"), pair("ab", "x"), pair("a", "1"), pair("b", "2")]).unwrap();
    let mut more = vec![pair("b", "3"), pair("c", ""), pair("é", "y")];
    store.scratch_put(&mut more).unwrap();
    assert!(more.is_empty());
    assert_eq!(read(&store), [row("a", "1"), row("ab", "x"), row("b", "123"), row("c", ""), row("é", "y")]);
    assert!(matches!(store.scratch_put(&mut vec![pair("a\0b", "1")]), Err(StoreError::Refused(_))));

    store.scratch_clear().unwrap();
    assert_eq!(read(&store), []);
    store.scratch_put(&mut vec![pair("d", "1")]).unwrap();
    assert_eq!(read(&store), [row("d", "1")]);

    let big = "v".repeat(SCRATCH_VALUE_BYTES_MAX / 2);
    store.scratch_put(&mut (0..5).map(|_| pair("d", &big)).collect()).unwrap();
    let rows = read(&store);
    assert_eq!((rows[0].1.len(), rows[0].2), (1 + SCRATCH_VALUE_BYTES_MAX / 2, 4), "a repeated id can't fill the memory");
    drop(store);
    assert_eq!(read(&writer(dir.path())), []);
}

#[test]
fn derived_rows_come_and_go_beside_the_truth() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    create(&store, LIST, "known");
    create(&store, ListId(2), "other");
    let mark = |n: u8| DerivedPut::Mark { name: "reach".into(), bytes: vec![n] };
    let seq = store.apply(&change(ChangeOp::SetDisabled { list: LIST, disabled: true }), &[mark(1), bk(9, 5, 3, 1)]);
    assert_eq!(seq.unwrap(), 3);
    let refused = store.apply(&change(ChangeOp::DeleteList { list: ListId(7) }), &[mark(2)]);
    assert!(refused.is_err());
    assert_eq!(store.derived_mark("reach").unwrap(), Some(vec![1]), "derived rows go with their change or not at all");

    store
        .derived_put(&[bk(9, 2, 4, 2), bk(9, 300, 5, 3), bk(10, 5, 6, 4), column(1, 0), column(2, 4096), column(1, 8192)])
        .unwrap();
    assert_eq!(store.bk_child(2, 0, 9, 300).unwrap(), Some((5, vec![3; 8])));
    assert_eq!(store.bk_child(2, 0, 9, 301).unwrap(), None);
    assert_eq!(store.bk_child(2, 1, 9, 300).unwrap(), None);
    for (edges, expected) in [(0..=1, &[][..]), (0..=5, &[2, 5]), (3..=300, &[5, 300]), (0..=u16::MAX, &[2, 5, 300])] {
        let mut found = Vec::new();
        store.bk_children(2, 0, 9, edges, &mut |edge, _, hash| found.push((edge, hash.len()))).unwrap();
        assert_eq!(found, expected.iter().map(|e| (*e, 8)).collect::<Vec<_>>());
    }
    let all = store.bk_rows(2, 0).unwrap().map(|r| r.unwrap()).map(|r| (r.parent, r.edge, r.node)).collect::<Vec<_>>();
    assert_eq!(all, [(9, 2, 4), (9, 5, 3), (9, 300, 5), (10, 5, 6)]);

    let firsts = |store: &Store| store.columns(1).unwrap().map(|c| c.unwrap().0.0).collect::<Vec<_>>();
    assert_eq!(firsts(&store), [0, 4096, 8192]);
    apply(&store, ChangeOp::DeleteList { list: LIST });
    assert_eq!(firsts(&store), [4096], "a list's chunks go with it");
    store.derived_clear(DerivedClear::BkTree { kind: 2, tree: 0 }).unwrap();
    assert_eq!(store.bk_rows(2, 0).unwrap().count(), 0);
    store.derived_clear(DerivedClear::Columns { kind: 1 }).unwrap();
    assert_eq!(firsts(&store), [0; 0]);
    let short = DerivedPut::Column { kind: 1, first: EntryNo(0), bytes: vec![0; 3] };
    assert!(matches!(store.derived_put(&[short]), Err(StoreError::Refused(_))));
}

#[test]
fn the_journal_is_read_by_time() {
    let dir = TempDir::new().unwrap();
    let store = writer(dir.path());
    let record = |time_ms, n| JournalRecord { time_ms, id: [n; 16], bytes: vec![n] };
    store.journal_append(&[record(300, 1), record(100, 2)]).unwrap();
    store.journal_append(&[record(200, 3), record(100, 1)]).unwrap();
    store.sync().unwrap();
    let read = |from| store.journal(from).unwrap().map(|r| r.unwrap()).map(|r| (r.time_ms, r.bytes[0])).collect::<Vec<_>>();
    assert_eq!(read(0), [(100, 1), (100, 2), (200, 3), (300, 1)]);
    assert_eq!(read(101), [(200, 3), (300, 1)]);
    let big = JournalRecord { time_ms: 1, id: [0; 16], bytes: vec![0; JOURNAL_BYTES_MAX + 1] };
    assert!(matches!(store.journal_append(&[big]), Err(StoreError::Refused(_))));
}

/// A process that has opened the store and does `what`, until its stdin ends.
fn child(what: &str, dir: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_child_process", "--nocapture"])
        .env("HASHWARDEN_TEST_CHILD", what)
        .env("HASHWARDEN_TEST_CHILD_DIR", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ready")), "the child opened the store");
    (child, lines)
}

fn writer(dir: &Path) -> Store {
    Store::open(dir, Access::Write, DERIVED).unwrap()
}

fn change(op: ChangeOp) -> Change {
    Change { time_ms: 1_700_000_000_000, by: "test".into(), op }
}

fn apply(store: &Store, op: ChangeOp) -> u64 {
    store.apply(&change(op), &[]).unwrap()
}

fn refused(store: &Store, op: ChangeOp, words: &str) {
    let text = format!("{op:?}").chars().take(120).collect::<String>();
    match store.apply(&change(op), &[]) {
        Err(StoreError::Refused(why)) => assert!(why.contains(words), "{why:?} does not say {words:?}"),
        other => panic!("{text}: {other:?}"),
    }
}

fn create(store: &Store, list: ListId, name: &str) {
    let (name, polarity, policy) = (name.into(), Polarity::Positive, ListPolicy::default_for(Polarity::Positive));
    apply(store, ChangeOp::CreateList { list, name, polarity, policy });
}

/// Stages a version that starts from the head.
fn stage(store: &Store, list: ListId, version: u32) {
    apply(store, staged(list, VersionNo(version), store.list(list).unwrap().unwrap().head.0, "test.txt"));
}

fn staged(list: ListId, version: VersionNo, parent: u32, source: &str) -> ChangeOp {
    ChangeOp::Stage { list, version, parent: Some(VersionNo(parent)), source: source.into(), made_by: MadeBy::Import }
}

/// Sweeps the list, and says how many rows went.
fn sweep(store: &Store, list: ListId) -> u64 {
    let Some(span) = store.sweep_due(list).unwrap() else { return 0 };
    let (lock, mut rows) = (std::sync::Mutex::new(()), 0);
    assert!(store.sweep(list, span, &|| Some(lock.lock().unwrap()), &mut |_| rows += 1).unwrap());
    store.swept(list, span).unwrap();
    rows
}

fn put_rows(store: &Store, list: ListId, version: u32, rows: Vec<RowChange>) {
    for rows in rows.chunks(4_000) {
        apply(store, ChangeOp::Rows { list, version: VersionNo(version), rows: rows.to_vec() });
    }
}

/// Stages and seals the next version.
fn import(store: &Store, list: ListId, rows: Vec<RowChange>) {
    let version = store.version_last(list).unwrap().map_or(0, |v| v.version.0) + 1;
    let (total, digest) = totals(store, list, store.list(list).unwrap().unwrap().head, &rows);
    stage(store, list, version);
    put_rows(store, list, version, rows);
    apply(store, ChangeOp::Seal { list, version: VersionNo(version), rows: total, digest });
}

/// A version that starts from what is active, and is.
fn edit(store: &Store, list: ListId, rows: Vec<RowChange>) {
    let version = VersionNo(store.version_last(list).unwrap().map_or(0, |v| v.version.0) + 1);
    let parent = store.list(list).unwrap().unwrap().active;
    let (rows_total, digest) = totals(store, list, parent, &rows);
    apply(store, ChangeOp::Edit { list, version, parent: Some(parent), source: "add".into(), rows, rows_total, digest });
}

/// Rows and digest of the version that `rows` make of another.
fn totals(store: &Store, list: ListId, parent: VersionNo, rows: &[RowChange]) -> (u64, [u8; 32]) {
    let head = store.version(list, parent).unwrap();
    let (mut n, mut digest) = head.map_or((0, [0; 32]), |v| (v.rows, v.digest));
    for row in rows {
        match row {
            RowChange::Open { content, .. } => {
                n += 1;
                digest_add(&mut digest, &row_digest(content));
            }
            RowChange::Describe { .. } => {}
            RowChange::Close { entry, .. } => {
                n -= 1;
                digest_sub(&mut digest, &row_digest(&store.entry(list, *entry).unwrap().unwrap()));
            }
        }
    }
    (n, digest)
}

fn opens(store: &Store, ids: std::ops::Range<u32>) -> Vec<RowChange> {
    opens_from(store.next_entry().unwrap().0, ids)
}

fn opens_from(next: u32, ids: std::ops::Range<u32>) -> Vec<RowChange> {
    ids.enumerate().map(|(i, n)| open(next + i as u32, &id(n), n)).collect()
}

fn open(entry_no: u32, id: &str, seed: u32) -> RowChange {
    RowChange::Open { entry: EntryNo(entry_no), content: entry(id, seed), description: None }
}

fn close(store: &Store, id: &str) -> RowChange {
    let record = named(store, LIST, store.list(LIST).unwrap().unwrap().head.0, id).unwrap();
    RowChange::Close { entry: record.entry }
}

fn id(n: u32) -> String {
    format!("id-{n:06}")
}

fn entry(id: &str, seed: u32) -> Entry {
    let mut state = seed.into();
    let pdq = Pdq(std::array::from_fn(|_| splitmix64(&mut state)));
    let md5 = splitmix64(&mut state).to_be_bytes();
    let hashes = vec![HashValue::Pdq(pdq), HashValue::Md5([md5, md5].concat().try_into().unwrap())];
    Entry::new(id.into(), ["", "a1", "b2"][seed as usize % 3].into(), hashes).unwrap()
}

fn bk(parent: u32, edge: u16, node: u32, hash: u8) -> DerivedPut {
    DerivedPut::Bk { kind: 2, tree: 0, parent, edge, node, hash: vec![hash; 8] }
}

fn column(list: u32, first: u32) -> DerivedPut {
    DerivedPut::Column { kind: 1, first: EntryNo(first), bytes: [list.to_be_bytes(), [7; 4]].concat() }
}

/// Active, previous and head.
fn pointers(store: &Store) -> (u32, u32, u32) {
    let list = store.list(LIST).unwrap().unwrap();
    (list.active.0, list.previous.0, list.head.0)
}

fn sound(store: &Store) {
    let report = store.verify(&mut |_, _| ()).unwrap();
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(report.changes, store.seq().unwrap());
}

fn found(dir: &Path, what: &str) {
    match Store::open(dir, Access::Read, DERIVED) {
        Ok(store) => assert_ne!(store.verify(&mut |_, _| ()).unwrap().problems, [""; 0], "not found: {what}"),
        Err(
            StoreError::Corrupt { .. }
            | StoreError::FormatNewer { .. }
            | StoreError::FormatOlder { .. }
            | StoreError::NotAStore { .. }
            | StoreError::Head { .. }
            | StoreError::Lost { .. },
        ) => {}
        Err(other) => panic!("{what}: {other}"),
    }
}

/// Writes past the store.
fn raw(dir: &Path, write: impl FnOnce(&mut WriteBatch, &DB)) {
    let names = DB::list_cf(&Options::default(), dir).unwrap();
    let db = DB::open_cf(&Options::default(), dir, names).unwrap();
    let mut batch = WriteBatch::default();
    write(&mut batch, &db);
    db.write(batch).unwrap();
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Every pair of every family of the truth.
fn dump(dir: &Path) -> BTreeMap<String, Pairs> {
    // As the store has it: without, RocksDB 11 does not survive opening a database for reading that names its logs.
    let mut options = Options::default();
    options.set_track_and_verify_wals_in_manifest(true);
    let db = DB::open_cf_for_read_only(&options, dir, TRUTH, false).unwrap();
    let family = |name: &str| {
        let pairs = db.iterator_cf(db.cf_handle(name).unwrap(), rocksdb::IteratorMode::Start);
        pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
    };
    TRUTH.iter().map(|name| (name.to_string(), family(name))).collect()
}

fn sha2_256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
