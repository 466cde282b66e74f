//! What a list says of single entries: who has them, what is said of them, whether they match.

use super::*;
use hashwarden::catalog::{EntryInfo, EntryQuery};
use hashwarden::entry::{Details, Mark, MarkKind, Status};

/// A CSV of ids and pictures' numbers, with more columns.
fn rows(columns: &str, rows: &[(&str, u64, &str)]) -> String {
    let row = |(id, n, more): &(&str, u64, &str)| format!("{id},{}{more}\n", pdq(*n).hex());
    std::iter::once(format!("id,pdq{columns}\n")).chain(rows.iter().map(row)).collect()
}

fn plain(ids: &[(&str, u64)]) -> String {
    rows("", &ids.iter().map(|(id, n)| (*id, *n, "")).collect::<Vec<_>>())
}

fn feed(name: &str) -> ImportOptions {
    ImportOptions { feed: name.to_owned(), ..import_options() }
}

fn delta(name: &str) -> ImportOptions {
    ImportOptions { delta: true, ..feed(name) }
}

fn disabled(until_ms: Option<u64>) -> Option<Mark> {
    Some(Mark { contents: Vec::new(), kind: MarkKind::Disabled, until_ms, note: "a mistake".to_owned() })
}

impl Bench {
    fn entry(&self, id: &str) -> Option<EntryInfo> {
        match self.catalog.entry("known", id, false) {
            Ok(info) => Some(info),
            Err(CatalogError::NoSuchEntry { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn sources(&self, id: &str) -> Vec<String> {
        self.entry(id).map_or_else(Vec::new, |info| info.sources)
    }

    fn mark(&self, id: &str, mark: Option<Mark>) {
        self.catalog.set_mark(&self.by, "known", id, mark).unwrap();
    }

    fn found(&self, query: &EntryQuery) -> Vec<(String, u16)> {
        let found = self.catalog.find_entries("known", query, None, 1_000).unwrap();
        assert_eq!(found.more_after, None);
        found.entries.into_iter().map(|(info, distance)| (info.id, distance)).collect()
    }
}

fn listed(dir: &Path) -> Bench {
    let bench = open(dir);
    bench.create("known");
    bench
}

#[test]
fn a_file_takes_out_only_what_its_own_source_has_alone() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &plain(&[("a", 1), ("b", 2), ("c", 3)])).unwrap();
    bench.add("known", "hand", vec![pdq(4)]);
    bench.add("known", "b", vec![pdq(2)]); // as it is: it stays when the file no longer has it
    let report = bench.import_as("known", &plain(&[("c", 3), ("d", 5)]), &feed("hotline")).unwrap();
    assert_eq!((report.added, report.gone, report.details_changed, report.kept, report.entries), (1, 0, 1, 3, 5));
    let check = |bench: &Bench, expected: &[(&str, &[&str])]| {
        for (id, sources) in expected {
            assert_eq!(bench.sources(id), *sources, "{id}");
        }
        assert_eq!(bench.catalog.list("known").unwrap().rows, expected.iter().filter(|(_, of)| !of.is_empty()).count() as u64);
    };
    check(
        &bench,
        &[
            ("a", &["import"]),
            ("b", &["import", "local"]),
            ("c", &["import", "hotline"]),
            ("d", &["hotline"]),
            ("hand", &["local"]),
        ],
    );
    // The first source has nothing more but a new one.
    let report = bench.import("known", &plain(&[("e", 6)])).unwrap();
    assert_eq!((report.added, report.gone, report.kept, report.entries), (1, 1, 4, 5));
    assert_eq!(report.warnings, Vec::<String>::new());
    let after: &[(&str, &[&str])] =
        &[("a", &[]), ("b", &["local"]), ("c", &["hotline"]), ("d", &["hotline"]), ("e", &["import"]), ("hand", &["local"])];
    check(&bench, after);
    assert_eq!([1, 2, 3, 4, 5, 6].map(|n| bench.ids(pdq(n)).len()), [0, 1, 1, 1, 1, 1]);
    bench.assert_sound();
    drop(bench);
    let bench = open(dir.path());
    check(&bench, after);
    assert_eq!(bench.catalog.list("known").unwrap().list.sources, ["hotline"]);
    // By hand an entry goes, whoever has it.
    bench.remove("known", "c");
    assert_eq!((bench.ids(pdq(3)), bench.sources("c")), (vec![], vec![]));
    // A dry run adds no source.
    bench.import_as("known", &plain(&[("f", 7)]), &ImportOptions { dry_run: true, ..feed("another") }).unwrap();
    assert_eq!(bench.catalog.list("known").unwrap().list.sources, ["hotline"]);
    for (name, words) in [("local", "added by hand"), ("a b", "named as a list is"), ("", "named as a list is")] {
        let error = bench.import_as("known", &plain(&[("f", 7)]), &feed(name)).unwrap_err();
        assert!(matches!(error, CatalogError::Invalid(_)) && error.to_string().contains(words), "{error}");
    }
    for n in 0..13 {
        bench.import_as("known", &plain(&[("f", 7)]), &feed(&format!("feed-{n}"))).unwrap();
    }
    let error = bench.import_as("known", &plain(&[("f", 7)]), &feed("one-more")).unwrap_err();
    assert!(error.to_string().contains("the list has 16 sources"), "{error}");
    assert_eq!(bench.sources("f").len(), 13);
    bench.assert_sound();
}

#[test]
fn what_is_said_of_an_entry_changes_without_a_new_entry() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    let file = |tags: &str, note: &str| {
        rows(
            ",tags,note,LastModified,quality,ESP,Series",
            &[("a", 1, &format!(",{tags},{note},2026-01-02,83.4,alpha,")), ("b", 2, ",,,,,,")],
        )
    };
    let report = bench.import("known", &file("x y;z", "first")).unwrap();
    assert_eq!((report.added, report.warnings.len()), (2, 0), "{:?}", report.warnings);
    let said = |bench: &Bench| bench.entry("a").unwrap().details;
    let first = Details {
        tags: ["x", "y", "z"].map(str::to_owned).into(),
        note: "first".into(),
        updated: "2026-01-02".into(),
        quality: Some(83),
        fields: vec![("ESP".into(), "alpha".into())],
        cut: false,
    };
    assert_eq!((said(&bench), bench.entry("b").unwrap().details), (first.clone(), Details::default()));
    let (loaded, version) = (bench.matcher.snapshot().metadata.len(), bench.catalog.versions("known").unwrap()[0].digest);
    let report = bench.import("known", &file("x", "second")).unwrap();
    assert_eq!((report.added, report.changed, report.unchanged, report.details_changed), (0, 0, 2, 1));
    assert!(report.activated);
    let info = bench.entry("a").unwrap();
    assert_eq!((info.details.note.as_str(), info.details.tags.len(), info.version), ("second", 1, VersionNo(1)));
    assert_eq!(bench.matcher.snapshot().metadata.len(), loaded, "no entry is new");
    let versions = bench.catalog.versions("known").unwrap();
    assert_eq!((versions.len(), versions[1].digest), (2, version), "the content is the same");
    // The same once more is no change.
    assert_eq!(bench.import("known", &file("x", "second")).unwrap().version, None);
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(said(&bench), first, "as that version has it");
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(said(&bench).note, "second");
    // Who says nothing of an entry leaves what others say; who has a new content, too.
    bench.add("known", "a", vec![pdq(1)]);
    bench.add("known", "a", vec![pdq(1), pdq(9)]);
    assert_eq!((said(&bench).note.as_str(), bench.sources("a")), ("second", vec!["import".to_owned(), "local".to_owned()]));
    let details = Details { note: "by hand".into(), ..Details::default() };
    let entry = NewEntry { id: Some("a".into()), hashes: vec![pdq(1)], details: details.clone(), ..NewEntry::default() };
    let report = bench.catalog.add(&bench.by, "known", vec![entry.clone()]).unwrap();
    assert_eq!((report.changed, said(&bench)), (1, details));
    let report = bench.catalog.add(&bench.by, "known", vec![entry]).unwrap();
    assert_eq!((report.unchanged, report.details_changed), (1, 0));
    bench.assert_sound();
    drop(bench);
    let bench = open(dir.path());
    assert_eq!(said(&bench).note, "by hand");
    bench.assert_sound();
}

/// A daily file changes what is said of every entry: only what is kept is kept.
#[test]
fn what_was_said_before_goes_with_the_versions_that_said_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.store.keep.versions_max = 2;
    let bench = open_with(dir.path(), config);
    bench.create("known");
    for day in 0..12 {
        let text = rows(",note", &[("a", 1, &format!(",day {day} of it")), ("b", 2, &format!(",day {day}"))]);
        assert!(bench.import("known", &text).unwrap().activated);
    }
    (0..4).for_each(|_| _ = bench.catalog.merge());
    bench.assert_sound();
    assert_eq!(bench.entry("a").unwrap().details.note, "day 11 of it");
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(bench.entry("a").unwrap().details.note, "day 10 of it");
    drop(bench);
    app::compact(dir.path(), &Config::default(), &mut |_| ()).unwrap();
    let bytes: Vec<u8> =
        std::fs::read_dir(dir.path()).unwrap().flat_map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default()).collect();
    let there = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!there("day 3 of it") && !there("day 8 of it"), "what no version says is on the disk");
    open(dir.path()).assert_sound();
}

#[test]
fn a_delta_changes_what_it_names_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    let all: Vec<_> = (0..400).map(|n| (format!("e{n}"), n)).collect();
    let all: Vec<_> = all.iter().map(|(id, n)| (id.as_str(), *n)).collect();
    bench.import_as("known", &plain(&all), &feed("hotline")).unwrap();
    bench.add("known", "hand", vec![pdq(900)]);
    // Few rows, of which each is looked up, and many, which are laid beside all.
    for some in [0..3, 100..300] {
        let (first, last) = (some.start, some.end - 1);
        let mut text = format!("id,pdq,deleted\n{},{},\n", "hand", pdq(900).hex());
        (some.clone()).for_each(|n| text += &format!("e{n},{},\n", pdq(1_000 + n).hex()));
        text += &format!("new{first},{},\ne{},,yes\nnever,,yes\n", pdq(2_000 + first).hex(), last + 50);
        let before = bench.catalog.list("known").unwrap().rows;
        let dry = bench.import_as("known", &text, &ImportOptions { dry_run: true, ..delta("hotline") }).unwrap();
        let report = bench.import_as("known", &text, &delta("hotline")).unwrap();
        let n = some.end - some.start;
        for report in [&dry, &report] {
            assert_eq!((report.added, report.changed, report.gone, report.entries), (1, n, 1, before), "{some:?}");
        }
        let found = [pdq(first), pdq(1_000 + first), pdq(1_000 + last), pdq(2_000 + first), pdq(last + 50), pdq(399), pdq(900)];
        assert_eq!(found.map(|hash| bench.ids(hash).len()), [0, 1, 1, 1, 0, 1, 1], "{some:?}");
        bench.assert_sound();
    }
    assert_eq!(bench.sources("hand"), ["local", "hotline"]);
    // What another source has is not this one's to delete.
    let report = bench.import_as("known", "id,pdq,deleted\ne399,,1\nhand,,1\n", &delta("other")).unwrap();
    assert_eq!((report.gone, report.kept, report.version), (0, 2, None));
    assert_eq!(bench.catalog.list("known").unwrap().list.sources, ["hotline"], "a name that came to nothing is none");
    assert!(report.warnings[0].starts_with("2 entries that the file deletes stay"), "{:?}", report.warnings);
    let report = bench.import_as("known", "id,pdq,deleted\ne399,,1\nhand,,1\n", &delta("hotline")).unwrap();
    assert_eq!((report.gone, report.kept, bench.sources("hand")), (1, 1, vec!["local".to_owned()]));
    bench.assert_sound();
}

#[test]
fn what_was_withdrawn_is_in_the_list_and_does_not_match() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.index.pdq = IndexChoice::BkTree;
    let bench = open_with(dir.path(), config.clone());
    bench.create("known");
    let file = |of_a: &str| {
        let columns = ",md5,hash_status";
        rows(columns, &[("a", 1, &format!(",{},{of_a}", md5(1).hex())), ("b", 2, ",,Active"), ("c", 3, ",,disputed")])
    };
    bench.import("known", &file("ACTIVE")).unwrap();
    assert_eq!([pdq(1), md5(1), pdq(2), pdq(3)].map(|hash| bench.ids(hash).len()), [1; 4]);
    let report = bench.import("known", &file("Withdrawn")).unwrap();
    assert_eq!((report.changed, report.rows_withdrawn, report.entries), (1, 1, 3));
    assert_eq!(report.warnings, ["1 row is withdrawn: in the list, but not matched"]);
    let check = |bench: &Bench| {
        assert_eq!([pdq(1), md5(1), pdq(2), pdq(3)].map(|hash| bench.ids(hash).len()), [0, 0, 1, 1]);
        let info = bench.entry("a").unwrap();
        assert_eq!((info.status, info.kinds.len(), bench.entry("c").unwrap().status), (Status::Withdrawn, 2, Status::Disputed));
        assert_eq!(bench.found(&EntryQuery::Hash(pdq(1), 0)), [], "by its id alone");
        assert_eq!(bench.found(&EntryQuery::Id("a".to_owned())), [("a".to_owned(), 0)]);
        bench.assert_sound();
    };
    check(&bench);
    drop(bench);
    let bench = open_with(dir.path(), config);
    check(&bench);
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(bench.ids(pdq(1)), ["a"]);
    // Of several rows of one entry those that are withdrawn add nothing.
    let text = format!("id,pdq,hash_status\na,{},withdrawn\na,{},\nb,{},deleted\n", pdq(1).hex(), pdq(7).hex(), pdq(2).hex());
    bench.import("known", &text).unwrap();
    assert_eq!([1, 7, 2].map(|n| bench.ids(pdq(n)).len()), [0, 1, 0]);
    // A column that is just called status says other things in other files.
    let report = bench.import("known", &rows(",status", &[("a", 1, ",deleted")])).unwrap();
    assert_eq!((report.rows_withdrawn, bench.ids(pdq(1))), (0, vec!["a".to_owned()]));
    assert_eq!(bench.entry("a").unwrap().details.fields, [("status".to_owned(), "deleted".to_owned())]);
    bench.assert_sound();
}

#[test]
fn a_mark_takes_an_entry_out_whatever_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &plain(&[("a", 1), ("b", 2)])).unwrap();
    let before = bench.matcher.snapshot().id;
    bench.mark("a", disabled(None));
    assert_eq!((bench.ids(pdq(1)), bench.ids(pdq(2))), (vec![], vec!["b".to_owned()]));
    assert_eq!(bench.matcher.snapshot().id, before + 1, "a change like others");
    bench.mark("a", disabled(None));
    assert_eq!(bench.matcher.snapshot().id, before + 1, "as it is");
    let marked = bench.entry("a").unwrap().mark.unwrap();
    assert_eq!((marked.mark, marked.by.as_str()), (disabled(None).unwrap(), "test"));
    // A new content, its removal, its return, a roll-back, a start: it stays out.
    bench.import("known", &plain(&[("a", 10), ("b", 2)])).unwrap();
    assert_eq!([1, 10].map(|n| bench.ids(pdq(n)).len()), [0, 0]);
    bench.remove("known", "a");
    bench.add("known", "a", vec![pdq(11)]);
    assert_eq!([1, 10, 11].map(|n| bench.ids(pdq(n)).len()), [0; 3]);
    bench.catalog.activate(&bench.by, "known", VersionNo(1)).unwrap();
    assert_eq!([1, 10, 11].map(|n| bench.ids(pdq(n)).len()), [0; 3]);
    bench.assert_sound();
    drop(bench);
    let bench = open(dir.path());
    assert_eq!((bench.ids(pdq(1)), bench.ids(pdq(2))), (vec![], vec!["b".to_owned()]));
    assert_eq!(bench.found(&EntryQuery::Marked), [("a".to_owned(), 0)]);
    assert_eq!(bench.found(&EntryQuery::Hash(pdq(1), 0)), [("a".to_owned(), 0)], "who looks after the list finds it");
    bench.mark("a", Some(Mark { contents: Vec::new(), kind: MarkKind::Noted, until_ms: None, note: "it is right".into() }));
    assert_eq!(bench.ids(pdq(1)), ["a"]);
    bench.mark("a", Some(Mark { contents: Vec::new(), kind: MarkKind::Quarantined, until_ms: None, note: String::new() }));
    assert_eq!(bench.ids(pdq(1)), Vec::<String>::new());
    bench.mark("a", None);
    assert_eq!((bench.ids(pdq(1)), bench.entry("a").unwrap().mark), (vec!["a".to_owned()], None));
    bench.assert_sound();
    // What can't be.
    let refused = |id: &str, mark| bench.catalog.set_mark(&bench.by, "known", id, mark).unwrap_err().to_string();
    assert!(refused("a", None).contains("the entry has no mark"));
    assert!(refused("nobody", disabled(None)).contains("the list has no such entry"));
    assert!(refused("a", disabled(Some(1))).contains("would end in the past"));
    let long = Mark { note: "x".repeat(1_025), ..disabled(None).unwrap() };
    assert!(refused("a", Some(long)).contains("a note has at most 1024 bytes"));
    assert!(refused("a", disabled(Some(u64::MAX))).contains("before the year 10000"));
    // A list that is deleted takes its marks with it.
    bench.mark("a", disabled(None));
    bench.catalog.delete(&bench.by, "known").unwrap();
    bench.create("known");
    bench.import("known", &plain(&[("a", 1)])).unwrap();
    assert_eq!(bench.ids(pdq(1)), ["a"]);
    bench.assert_sound();
}

#[test]
fn a_mark_that_ends_is_taken_off_by_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &plain(&[("a", 1), ("b", 2)])).unwrap();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    bench.mark("b", disabled(Some(now() + 3_600_000)));
    let ends = now() + 200;
    bench.mark("a", disabled(Some(ends)));
    let (began, before) = (Instant::now(), bench.matcher.snapshot().id);
    while bench.ids(pdq(1)).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60));
        bench.catalog.merge();
    }
    assert!(now() >= ends);
    assert_eq!((bench.matcher.snapshot().id, bench.ids(pdq(2))), (before + 1, vec![]));
    let left = bench.entry("a").unwrap().mark.unwrap().mark;
    assert_eq!((left.kind, left.until_ms, left.note.as_str()), (MarkKind::Noted, None, "a mistake"), "the note stays");
    // Or by the next start.
    bench.mark("a", disabled(Some(now() + 50)));
    drop(bench);
    std::thread::sleep(Duration::from_millis(60));
    let bench = open(dir.path());
    assert_eq!((bench.ids(pdq(1)), bench.ids(pdq(2))), (vec!["a".to_owned()], vec![]));
    bench.assert_sound();
}

/// What a negative list's entry suppressed matches again when the entry is disabled.
#[test]
fn a_mark_on_a_harmless_picture_s_entry_ends_what_it_suppresses() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &plain(&[("a", 1)])).unwrap();
    bench.catalog.create(&bench.by, "harmless", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    bench.add("harmless", "h", vec![pdq(1)]);
    assert_eq!(bench.ask(pdq(1)).outcome, Outcome::NoMatch);
    bench.catalog.set_mark(&bench.by, "harmless", "h", disabled(None)).unwrap();
    assert_eq!(bench.ids(pdq(1)), ["a"]);
}

#[test]
fn entries_are_found_by_hash_and_by_id() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.create("other");
    let uuid = |n: u64| format!("01234567-abcd-0123-4567-{n:012}");
    bench.import("known", &csv(ids_and_numbers(0..3_000))).unwrap();
    (0..5).for_each(|n| bench.add("known", &uuid(n), vec![pdq(10_000 + n), md5(5_000 + n), phash(n)]));
    bench.add("other", "elsewhere", vec![pdq(10_000)]);
    let found = |query| bench.found(&query).into_iter().map(|(id, distance)| format!("{id} {distance}")).collect::<Vec<_>>();
    assert_eq!(found(EntryQuery::Hash(pdq(7), 0)), ["e7 0"]);
    assert_eq!(found(EntryQuery::Hash(flipped(&pdq(7), 30), 0)), Vec::<String>::new());
    assert_eq!(found(EntryQuery::Hash(flipped(&pdq(7), 30), 31)), ["e7 30"]);
    assert_eq!(found(EntryQuery::Hash(pdq(10_000), 31)), [format!("{} 0", uuid(0))]);
    assert_eq!(found(EntryQuery::Hash(md5(5_003), 0)), [format!("{} 0", uuid(3))]);
    assert_eq!(found(EntryQuery::Hash(phash(4), 2)), [format!("{} 0", uuid(4))]);
    assert_eq!(found(EntryQuery::Id("01234567-abcd".to_owned())).len(), 5);
    assert_eq!(found(EntryQuery::Id("e299".to_owned())).len(), 1 + 10);
    // A disabled list is looked after all the same.
    bench.catalog.set_disabled(&bench.by, "known", true).unwrap();
    assert_eq!(found(EntryQuery::Hash(pdq(7), 0)), ["e7 0"]);
    // Page by page.
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = bench.catalog.find_entries("known", &EntryQuery::Id(String::new()), after, 700).unwrap();
        assert!(page.entries.len() <= 700);
        all.extend(page.entries.into_iter().map(|(info, _)| info.id));
        after = page.more_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (3_005, 3_005));
    let error = |query| bench.catalog.find_entries("known", &query, None, 1).unwrap_err().to_string();
    assert!(error(EntryQuery::Hash(md5(1), 1)).contains("match exactly"));
    assert!(error(EntryQuery::Hash(pdq(1), 97)).contains("0 to 96 bits"));
    // No hash is shown where none is asked for: neither its own nor what details hold.
    let text = rows(",ESP", &[("x", 1, &format!(",{}", md5(1).hex()))]);
    bench.import_as("known", &text, &delta("import")).unwrap();
    let hidden = bench.entry("x").unwrap();
    assert!(hidden.hashes.is_empty() && !format!("{:?}", hidden.details.fields).contains(&md5(1).hex()));
    let shown = bench.catalog.entry("known", "x", true).unwrap();
    assert_eq!((shown.hashes, shown.details.fields[0].1.clone()), (vec![pdq(1)], md5(1).hex()));
}

/// Ids of two hotlines that number alike, a mark that is forgotten, a withdrawal without hashes, a status that nobody knows.
#[test]
fn an_import_says_what_a_person_should_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &plain(&[("1", 1), ("2", 2), ("3", 3)])).unwrap();
    bench.mark("3", disabled(None));
    let report = bench.import_as("known", &plain(&[("1", 10), ("2", 2), ("3", 3)]), &feed("other")).unwrap();
    assert_eq!(report.changed, 1);
    let said = |report: &ImportReport, words: &str| report.warnings.iter().any(|warning| warning.contains(words));
    assert!(said(&report, "1 entry of other sources got another content"), "{:?}", report.warnings);
    assert!(said(&report, "1 entry of the file is disabled or quarantined"), "{:?}", report.warnings);
    let report = bench.import_as("known", &plain(&[("1", 11), ("2", 2)]), &feed("other")).unwrap();
    assert!(!said(&report, "got another content"), "{:?}", report.warnings);
    // It takes back what it gave, without its hashes.
    let text = rows(",hash_status", &[("4", 4, ",active"), ("5", 5, ",Wrong")]) + "2,,withdrawn\n";
    bench.import("known", &plain(&[("3", 3)])).unwrap();
    let report = bench.import_as("known", &text, &delta("other")).unwrap();
    assert_eq!((report.added, report.gone, report.rows_bad), (2, 1, 0));
    assert_eq!([2, 4, 5].map(|n| bench.ids(pdq(n)).len()), [0, 1, 1]);
    assert!(said(&report, "1 row has a status that is not understood"), "{:?}", report.warnings);
    let error = bench.import_as("known", &plain(&[("6", 6)]), &feed(&"ab".repeat(16))).unwrap_err();
    assert!(error.to_string().contains("must not look like a hash"), "{error}");
    bench.assert_sound();
}

/// What the list says of an entry, but its hashes, is kept from who may not see them.
#[test]
fn no_hash_shows_in_what_is_said_of_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    let hex = md5(1).hex();
    let text = format!("id,category,pdq,note,x {hex}\na,{hex},{},see {hex},y\n", pdq(1).hex());
    bench.import("known", &text).unwrap();
    bench.mark("a", Some(Mark { contents: Vec::new(), kind: MarkKind::Noted, until_ms: None, note: format!("like {hex}") }));
    let said = |with_hashes: bool| {
        let info = bench.catalog.entry("known", "a", with_hashes).unwrap();
        let Details { tags, note, updated, fields, .. } = &info.details;
        format!("{} {tags:?} {note} {updated} {fields:?} {:?}", info.category, info.mark)
    };
    assert!(!said(false).contains(&hex[..12]), "{}", said(false));
    assert_eq!(said(true).matches(&hex).count(), 3, "{}", said(true));
}

/// VICS has names of such lengths: they were cut after 16 characters, so that two fields could become one.
#[test]
fn long_names_of_fields_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &rows(",OffenderIdentified,OffenderIdentifiedBy", &[("a", 1, ",true,x")])).unwrap();
    let expected = [("OffenderIdentified", "true"), ("OffenderIdentifiedBy", "x")];
    assert_eq!(bench.entry("a").unwrap().details.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Unread answers of 13 MB each filled a server's memory.
#[test]
fn a_page_of_entries_is_bounded_by_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    let note = format!(",{}", "n".repeat(10_000));
    let ids: Vec<_> = (0..60).map(|n| (format!("e{n}"), n)).collect();
    bench
        .import("known", &rows(",note", &ids.iter().map(|(id, n)| (id.as_str(), *n, note.as_str())).collect::<Vec<_>>()))
        .unwrap();
    let (mut after, mut found) = (None, 0);
    loop {
        let page = bench.catalog.find_entries("known", &EntryQuery::Id(String::new()), after, 1_000).unwrap();
        assert!((1..=13).contains(&page.entries.len()), "{}", page.entries.len());
        found += page.entries.len();
        after = page.more_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, 60);
}

#[test]
fn ids_of_members_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    let mapping = Mapping { member: Some(hashwarden::lists::Column::Name("esp".to_owned())), ..Mapping::default() };
    let options = ImportOptions { mapping, ..import_options() };
    let text = rows(",ESP", &[("1", 1, ",a/b"), ("1", 2, ",c"), ("2", 3, ","), ("", 4, ",c")]);
    let report = bench.import_as("known", &text, &options).unwrap();
    assert_eq!((report.entries, report.rows_bad, report.bad[0].reason.as_str()), (3, 1, "it names a member and no id"));
    assert_eq!([1, 2, 3].map(|n| bench.ids(pdq(n))), [["a%2Fb/1"], ["c/1"], ["2"]]);
}

/// While a file of one source is written, another source's version is rolled back, and an entry of both changes by hand.
#[test]
fn a_roll_back_during_an_import_takes_back_what_other_sources_brought() {
    let dir = tempfile::tempdir().unwrap();
    let bench = listed(dir.path());
    bench.import("known", &plain(&[("a", 1), ("both", 2)])).unwrap();
    bench.import_as("known", &plain(&[("theirs", 3), ("both", 2)]), &feed("hotline")).unwrap();
    let mut edit = |progress: hashwarden::catalog::Progress| {
        if progress.phase == hashwarden::catalog::Phase::Indexing {
            bench.catalog.activate(&bench.by, "known", VersionNo(1)).unwrap();
            bench.add("known", "hand", vec![pdq(5)]);
        }
    };
    let text = plain(&[("a", 1), ("both", 2), ("new", 4)]);
    let report = bench.catalog.import(&bench.by, "known", &import_options(), &mut text.as_bytes(), &mut edit).unwrap();
    assert!(report.activated);
    assert_eq!([1, 2, 3, 4, 5].map(|n| bench.ids(pdq(n)).len()), [1, 1, 0, 1, 1]);
    assert_eq!((bench.sources("both"), bench.sources("hand")), (vec!["import".to_owned()], vec!["local".to_owned()]));
    bench.assert_sound();
}

#[test]
fn a_store_of_format_3_goes_on_as_if_files_had_brought_its_entries() {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir("tests/data/store-of-format-3").unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let bench = open(dir.path());
    bench.assert_sound();
    let info = bench.catalog.list("known").unwrap();
    assert_eq!((info.rows, info.list.active, info.list.sources.len()), (54, VersionNo(7), 0));
    assert_eq!((bench.sources("e20"), bench.entry("e20").unwrap().details), (vec!["import".to_owned()], Details::default()));
    bench.mark("e20", disabled(None));
    bench.add("known", "hand", vec![pdq(1)]);
    // The version that waited is there still.
    bench.catalog.activate(&bench.by, "known", VersionNo(6)).unwrap();
    assert_eq!(bench.catalog.list("known").unwrap().rows, 52);
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    let report = bench.import("known", &rows(",note", &[("e20", 20, ",n")])).unwrap();
    assert_eq!((report.entries, report.kept, bench.sources("hand")), (2, 1, vec!["local".to_owned()]));
    assert_eq!(bench.ids(pdq(20)), Vec::<String>::new(), "it is marked");
    bench.assert_sound();
    drop(bench);
    open(dir.path()).assert_sound();
}
