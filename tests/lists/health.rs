//! What is quarantined before it matches, and what is not.

use super::*;
use hashwarden::catalog::{EntryQuery, FindingKind};
use hashwarden::entry::{Mark, MarkKind};

/// As a picture's: half of the bits, nothing repeats.
fn ordinary(n: u64) -> Pdq {
    Pdq([1, 2, 3, 4].map(|word| mixed(n * 4 + word)))
}

fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// The same but for some bits.
fn near(hash: Pdq, n: u64) -> Pdq {
    let mut words = hash.0;
    (0..8).for_each(|bit| words[bit % 4] ^= 1 << (mixed(n * 8 + bit as u64) % 64));
    Pdq(words)
}

fn hash_of_drawn(luma: impl Fn(u32, u32) -> u8) -> String {
    let picture = image::GrayImage::from_fn(300, 200, |x, y| image::Luma([luma(x, y)]));
    let mut png = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    let far = Instant::now() + Duration::from_secs(60);
    let seen = InProcess::new(Limits::default(), Instant::now).extract(&png, &Wants::ALL, far).unwrap().seen;
    let whole = |of: &&hashwarden::entry::Observation| of.hash.kind() == HashKind::Pdq && of.transform == Transform::Identity;
    seen.iter().find(whole).unwrap().hash.hex()
}

fn csv(rows: impl Iterator<Item = (String, String)>) -> String {
    std::iter::once("id,pdq\n".to_owned()).chain(rows.map(|(id, hash)| format!("{id},{hash}\n"))).collect()
}

fn hex(hash: Pdq) -> String {
    HashValue::Pdq(hash).hex()
}

fn options() -> ImportOptions {
    ImportOptions { accept: false, ..import_options() }
}

impl Bench {
    fn marked(&self) -> Vec<String> {
        let found = self.catalog.find_entries("known", &EntryQuery::Marked, None, 1_000).unwrap();
        found.entries.into_iter().map(|(info, _)| info.id).collect()
    }
}

/// One of each kind of junk among ordinary hashes: each is found for what it is, none of the others is, and what is found does not match.
#[test]
fn planted_junk_is_quarantined_before_it_matches() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let templates = ordinary(1 << 40);
    let frame = |x: u32, y: u32| x.min(y).min(299 - x).min(199 - y) < 6;
    let planted = [
        ("blank", hash_of_drawn(|_, _| 128), FindingKind::Featureless),
        ("border", hash_of_drawn(|x, y| if frame(x, y) { 0 } else { 255 }), FindingKind::Featureless),
        ("repeating", "8".repeat(64), FindingKind::Degenerate),
    ];
    let rows = (0..30_000).map(|n| (format!("e{n}"), hex(ordinary(n))));
    let placeholder = (0..200).map(|n| (format!("p{n}"), hex(ordinary(1 << 41))));
    let template = (0..1_500).map(|n| (format!("t{n}"), hex(near(templates, n))));
    let junk = planted.iter().map(|(id, hash, _)| ((*id).to_owned(), hash.clone()));
    let file = csv(rows.chain(placeholder).chain(template).chain(junk));

    let report = bench.import_as("known", &file, &options()).unwrap();
    assert_eq!((report.activated, report.held.clone()), (false, vec![Hold::Findings]), "{:?}", report.warnings);
    assert_eq!(
        report.findings,
        200 + 1_500 + planted.len() as u64,
        "{:?}",
        report.found.iter().filter(|f| f.entry_id.starts_with('e')).collect::<Vec<_>>()
    );
    for (id, hash, _) in &planted {
        assert_eq!(bench.ids(HashValue::from_hex(HashKind::Pdq, hash).unwrap()), Vec::<String>::new(), "{id}");
    }
    // Nothing is marked for a version that waits.
    assert_eq!(bench.marked(), Vec::<String>::new());

    bench.catalog.activate(&bench.by, "known", report.version.unwrap()).unwrap();
    let marked = bench.catalog.find_entries("known", &EntryQuery::Marked, None, 1_000).unwrap();
    assert!(marked.more_after.is_some());
    for (id, hash, kind) in &planted {
        let mark = bench.catalog.entry("known", id, false).unwrap().mark.unwrap();
        assert_eq!((mark.mark.kind, mark.by.as_str()), (MarkKind::Quarantined, "list check"), "{id}");
        assert!(bench.ids(HashValue::from_hex(HashKind::Pdq, hash).unwrap()).is_empty(), "{id}");
        let found = report.found.iter().find(|found| found.entry_id == *id);
        assert!(found.is_none_or(|found| found.kind == *kind && found.reason == mark.mark.note), "{found:?}");
        assert!(!mark.mark.note.contains(&hash[..8]), "{}", mark.mark.note);
    }
    let note_of = |id: &str| bench.catalog.entry("known", id, false).unwrap().mark.map(|mark| mark.mark.note);
    assert!(note_of("p7").unwrap().contains("200 of the new entries have this pdq hash"));
    assert!(note_of("t7").unwrap().contains("is near to those of"));
    assert!(bench.ids(HashValue::Pdq(templates)).is_empty() && bench.ids(HashValue::Pdq(ordinary(1 << 41))).is_empty());
    assert_eq!(bench.ids(HashValue::Pdq(ordinary(29_999))), ["e29999"]);
    bench.assert_sound();
}

#[test]
fn a_quarantine_ends_when_a_person_or_a_better_file_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let blank = hash_of_drawn(|_, _| 128);
    let file = |of_a: &str, of_b: &str, more: &str| {
        let rows = [("a", of_a), ("b", of_b), ("c", &hex(ordinary(3))), ("d", more)];
        csv(rows.into_iter().map(|(id, hash)| (id.to_owned(), hash.to_owned())))
    };
    let (one, two) = (hex(ordinary(1)), hex(ordinary(2)));
    let report = bench.import_as("known", &file(&blank, &blank, &one), &options()).unwrap();
    assert_eq!((report.activated, report.findings, bench.marked()), (true, 2, vec!["a".to_owned(), "b".to_owned()]));
    // A person releases one; the next file has it as it was.
    bench.catalog.set_mark(&bench.by, "known", "a", None).unwrap();
    let mark = bench.catalog.entry("known", "a", false).unwrap().mark.unwrap().mark;
    assert_eq!((mark.kind, mark.note.starts_with("released: ")), (MarkKind::Noted, true), "{mark:?}");
    assert_eq!(bench.ids(HashValue::from_hex(HashKind::Pdq, &blank).unwrap()), ["a"]);
    let report = bench.import_as("known", &file(&blank, &blank, &two), &options()).unwrap();
    assert_eq!((report.activated, report.findings), (true, 0)); // only what is new is checked
    assert_eq!(bench.ids(HashValue::from_hex(HashKind::Pdq, &blank).unwrap()), ["a"]);
    // The other one comes with another hash.
    let report = bench.import_as("known", &file(&blank, &two, &one), &options()).unwrap();
    assert_eq!((report.activated, report.findings, bench.marked()), (true, 0, vec!["a".to_owned()]));
    assert_eq!(bench.ids(HashValue::Pdq(ordinary(2))), ["b"]);
    // What a person disabled stays disabled for the person's reason.
    bench
        .catalog
        .set_mark(
            &bench.by,
            "known",
            "c",
            Some(Mark { contents: Vec::new(), kind: MarkKind::Disabled, until_ms: None, note: "mine".to_owned() }),
        )
        .unwrap();
    let text = csv([("c".to_owned(), blank.clone())].into_iter());
    bench.import_as("known", &text, &ImportOptions { delta: true, ..options() }).unwrap();
    assert_eq!(bench.catalog.entry("known", "c", false).unwrap().mark.unwrap().mark.note, "mine");
}

/// Negative lists are there for what is generic, and who wants no check has none.
#[test]
fn negative_lists_are_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.catalog.create(&bench.by, "harmless", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    let file = csv([("a".to_owned(), hash_of_drawn(|_, _| 128))].into_iter());
    assert_eq!(bench.import_as("harmless", &file, &options()).unwrap().findings, 0);
    drop(bench);
    let bench = open_with(dir.path(), unchecked());
    bench.create("known");
    let report = bench.import_as("known", &file, &options()).unwrap();
    assert_eq!((report.findings, report.activated), (0, true));
}

/// Of hashes that have nothing in common, at most one in 100,000.
#[test]
fn of_ordinary_hashes_next_to_none_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let file = csv((0..100_000).map(|n| (format!("e{n}"), hex(ordinary(n)))));
    let report = bench.import_as("known", &file, &options()).unwrap();
    assert!(report.findings <= 1 && report.activated, "{:?}", report.found);
}

/// A catalog with look-ups, or one as a command has it that works on a store by itself.
fn opened(dir: &Path, config: &Config, served: bool) -> Arc<Catalog> {
    match served {
        true => app::matching(dir, config, Access::Write).unwrap().0,
        false => Arc::new(app::lists(dir, config, Access::Write).unwrap()),
    }
}

fn import_of(catalog: &Catalog, list: &str, rows: impl IntoIterator<Item = (String, Pdq)>, delta: bool) -> ImportReport {
    let text = csv(rows.into_iter().map(|(id, hash)| (id, hex(hash))));
    let options = ImportOptions { delta, ..options() };
    catalog.import(&Caller("test".to_owned()), list, &options, &mut text.as_bytes(), &mut |_| {}).unwrap()
}

fn named<const N: usize>(rows: [(&str, Pdq); N]) -> [(String, Pdq); N] {
    rows.map(|(id, hash)| (id.to_owned(), hash))
}

/// Templates that come in small deltas are found as in a large file, also where no look-ups are served.
#[test]
fn a_crowd_that_grows_by_small_deltas_is_found() {
    for served in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.import.neighbours_max = 50;
        let catalog = opened(dir.path(), &config, served);
        catalog.create(&Caller("test".to_owned()), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
        let template = ordinary(1 << 40);
        let some = |from: u64, to: u64| {
            let crowd = (from..to).map(move |n| (format!("t{n}"), near(template, n)));
            crowd.chain((from..to).map(|n| (format!("e{n}"), ordinary(n))))
        };
        // Of 51 each has 50 neighbours, of 53 it has 52.
        for (from, to, findings) in [(0, 45, 0), (45, 51, 0), (51, 53, 2)] {
            let report = import_of(&catalog, "known", some(from, to), true);
            assert_eq!((report.activated, report.findings), (true, findings), "served {served}: {:?}", report.warnings);
            for found in report.found {
                assert!(found.kind == FindingKind::Crowded && found.entry_id.starts_with('t'), "{found:?}");
                assert!(found.reason.contains("near to those of 52 entries"), "{found:?}");
            }
        }
    }
}

/// What the operator knows to be ordinary is quarantined, within 31 bits; the sample itself is in no verdict.
#[test]
fn entries_near_the_benign_sample_are_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.import.benign = "sample".to_owned();
    let bench = open_with(dir.path(), config);
    bench.create("known");
    let report = import_of(&bench.catalog, "known", named([("a", ordinary(1))]), false);
    assert!(
        report.warnings.iter().any(|warning| warning.contains("[import] benign names is not there")),
        "{:?}",
        report.warnings
    );

    bench.catalog.create(&bench.by, "sample", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    import_of(&bench.catalog, "sample", (0..5_000).map(|n| (format!("s{n}"), ordinary(1_000_000 + n))), false);
    bench.catalog.set_disabled(&bench.by, "sample", true).unwrap();
    let far = {
        let mut words = ordinary(1_000_003).0;
        words[0] ^= u64::from(u32::MAX);
        Pdq(words)
    };
    let rows = named([("same", ordinary(1_000_001)), ("near", near(ordinary(1_000_002), 9)), ("far", far), ("b", ordinary(2))]);
    let report = import_of(&bench.catalog, "known", rows, true);
    assert_eq!((report.activated, report.findings, bench.marked()), (true, 2, vec!["near".to_owned(), "same".to_owned()]));
    assert!(report.found.iter().all(|found| found.kind == FindingKind::Benign), "{:?}", report.found);
    assert!(report.warnings.iter().any(|warning| warning.contains("2 benign")), "{:?}", report.warnings);
    assert_eq!(bench.ids(HashValue::Pdq(ordinary(1_000_001))), Vec::<String>::new());
    assert_eq!(bench.ids(HashValue::Pdq(far)), ["far"]);
    // In a large file too.
    let many = (0..20_000).map(|n| (format!("m{n}"), hex(ordinary(3_000_000 + n))));
    let text = csv(many.chain([("same2".to_owned(), hex(ordinary(1_000_004)))]));
    let report = bench.import_as("known", &text, &ImportOptions { delta: true, accept: true, ..options() }).unwrap();
    assert_eq!(report.found.iter().map(|found| found.entry_id.as_str()).collect::<Vec<_>>(), ["same2"]);
    bench.assert_sound();
}

/// One list says that it is known, another that it is harmless: the harmless entry waits for a person, and the other one is pointed out.
#[test]
fn lists_that_contradict_each_other_are_found() {
    for served in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let catalog = opened(dir.path(), &Config::default(), served);
        let by = Caller("test".to_owned());
        let elsewhere = PolicyUpdate { scope: Some(vec!["other".to_owned()]), ..PolicyUpdate::default() };
        let own = PolicyUpdate::default();
        let lists = [("known", Polarity::Positive, &own), ("other", Polarity::Positive, &own)];
        let negative = [("harmless", Polarity::Negative, &own), ("elsewhere", Polarity::Negative, &elsewhere)];
        for (name, polarity, policy) in lists.into_iter().chain(negative) {
            catalog.create(&by, name, polarity, policy).unwrap();
        }
        import_of(&catalog, "known", named([("a", ordinary(1)), ("b", ordinary(2)), ("wrong", ordinary(9))]), false);
        // What does not match contradicts nothing.
        let wrong = Mark { kind: MarkKind::Disabled, until_ms: None, note: "harmless".to_owned(), contents: Vec::new() };
        catalog.set_mark(&by, "known", "wrong", Some(wrong)).unwrap();
        let rows = [("x", ordinary(1)), ("y", near(ordinary(2), 1)), ("z", ordinary(3)), ("w", ordinary(9))];
        // For another list it may be what it likes.
        assert_eq!(import_of(&catalog, "elsewhere", named(rows), false).findings, 0);
        let report = import_of(&catalog, "harmless", named(rows), false);
        assert_eq!((report.activated, report.findings), (true, 1), "served {served}: {:?}", report.warnings);
        assert_eq!((report.found[0].kind, report.found[0].entry_id.as_str()), (FindingKind::Contradicted, "x"));
        // The other way round nothing is quarantined.
        let report = import_of(&catalog, "known", named([("c", ordinary(3)), ("d", ordinary(4))]), true);
        assert_eq!((report.activated, report.findings), (true, 0), "{:?}", report.warnings);
        let told = |warning: &String| warning.starts_with("1 new entry is in a negative list too");
        assert!(report.warnings.iter().any(told), "served {served}: {:?}", report.warnings);
        drop(catalog);
        // What is quarantined suppresses nothing until a person releases it.
        let bench = open(dir.path());
        assert_eq!(bench.ids(HashValue::Pdq(ordinary(1))), ["a"]);
        bench.catalog.set_mark(&bench.by, "harmless", "x", None).unwrap();
        assert_eq!(bench.ids(HashValue::Pdq(ordinary(1))), Vec::<String>::new());
        bench.assert_sound();
    }
}

/// A mark is about the contents that were found: what else the id has had, or gets, matches, and what was found does not, whichever version answers.
#[test]
fn a_quarantine_goes_and_comes_with_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let blank = Pdq::from_bytes(&hex::decode(hash_of_drawn(|_, _| 128)).unwrap()).unwrap();
    let state = || {
        let ids = |hash| bench.ids(HashValue::Pdq(hash)) == ["z"];
        let mark = bench.catalog.entry("known", "z", false).unwrap().mark;
        (ids(blank), ids(ordinary(1)), mark.is_some())
    };
    let import = |hash| import_of(&bench.catalog, "known", named([("z", hash), ("y", ordinary(2))]), false);
    assert_eq!((import(ordinary(1)).findings, state()), (0, (false, true, false)));
    let report = import(blank);
    assert_eq!((report.findings, state()), (1, (false, false, true)));
    let (found, good) = (report.version.unwrap(), VersionNo(1));
    // The picture that was known before is found again, and the finding is none of its.
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(state(), (false, true, false));
    bench.catalog.activate(&bench.by, "known", found).unwrap();
    assert_eq!(state(), (false, false, true));
    // By hand.
    bench.add("known", "z", vec![HashValue::Pdq(ordinary(1))]);
    assert_eq!(state(), (false, true, false));
    bench.catalog.activate(&bench.by, "known", found).unwrap();
    assert_eq!(state(), (false, false, true));
    // A better file, and back.
    assert_eq!((import(ordinary(3)).findings, bench.ids(HashValue::Pdq(ordinary(3)))), (0, vec!["z".to_owned()]));
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(state(), (false, false, true));
    // What a person releases, matches in whichever version.
    bench.catalog.set_mark(&bench.by, "known", "z", None).unwrap();
    assert_eq!(state(), (true, false, true));
    bench.catalog.activate(&bench.by, "known", good).unwrap();
    assert_eq!(state(), (false, true, true));
    bench.assert_sound();
}

/// What a person does to a quarantined entry ends its quarantine where that is meant, and nowhere else; a released one is no finding when it comes back.
#[test]
fn a_quarantine_ends_only_where_it_is_meant_to() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let blank = hash_of_drawn(|_, _| 128);
    let hash = HashValue::from_hex(HashKind::Pdq, &blank).unwrap();
    let whole = csv([("z", &blank), ("y", &hex(ordinary(2)))].map(|(id, hash)| (id.to_owned(), hash.clone())).into_iter());
    assert_eq!(bench.import_as("known", &whole, &options()).unwrap().findings, 1);
    let set = |kind, until_ms, note: &str| {
        let mark = Mark { kind, until_ms, note: note.to_owned(), contents: Vec::new() };
        bench.catalog.set_mark(&bench.by, "known", "z", Some(mark))
    };
    let mark = || bench.catalog.entry("known", "z", true).unwrap().mark.unwrap().mark;
    let error = set(MarkKind::Disabled, Some(4_000_000_000_000), "soon").unwrap_err().to_string();
    assert!(error.contains("would match once the time is over"), "{error}");
    let reason = mark().note;
    set(MarkKind::Quarantined, None, "asked the hotline").unwrap();
    assert_eq!((mark().kind, mark().note), (MarkKind::Quarantined, format!("asked the hotline; {reason}")));
    assert_eq!(bench.ids(hash.clone()), Vec::<String>::new());
    set(MarkKind::Noted, None, "meant").unwrap();
    assert_eq!(bench.ids(hash.clone()), ["z"]);
    // Gone, and back.
    let without = csv([("y".to_owned(), hex(ordinary(2)))].into_iter());
    bench.import_as("known", &without, &options()).unwrap();
    let report = bench.import_as("known", &whole, &options()).unwrap();
    assert_eq!((report.findings, bench.ids(hash)), (0, vec!["z".to_owned()]), "{:?}", report.warnings);
}

/// A sample that can't be used lifts nothing; one that is for other lists, or whose own entries are marked, finds nothing.
#[test]
fn a_benign_sample_counts_where_it_is_meant_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.import.benign = "sample".to_owned();
    let by = Caller("test".to_owned());
    let catalog = opened(dir.path(), &config, true);
    for (name, polarity) in [("known", Polarity::Positive), ("other", Polarity::Positive), ("sample", Polarity::Negative)] {
        catalog.create(&by, name, polarity, &PolicyUpdate::default()).unwrap();
    }
    import_of(&catalog, "sample", named([("s", ordinary(7)), ("t", ordinary(8))]), false);
    catalog.set_disabled(&by, "sample", true).unwrap();
    let found = |catalog: &Catalog, list: &str, id: &str, hash| import_of(catalog, list, named([(id, hash)]), true).findings;
    assert_eq!(found(&catalog, "known", "z", ordinary(7)), 1);
    // Marked in the sample.
    let mark = Mark { kind: MarkKind::Disabled, until_ms: None, note: String::new(), contents: Vec::new() };
    catalog.set_mark(&by, "sample", "t", Some(mark)).unwrap();
    assert_eq!(found(&catalog, "known", "y", ordinary(8)), 0);
    // For another list.
    catalog.set(&by, "sample", &PolicyUpdate { scope: Some(vec!["known".to_owned()]), ..PolicyUpdate::default() }).unwrap();
    assert_eq!(found(&catalog, "other", "elsewhere", ordinary(7)), 0);
    assert_eq!(found(&catalog, "known", "x", ordinary(7)), 1);
    drop(catalog);
    // Another category, and a sample that is not there, no negative list, or not asked for.
    for (n, sample) in ["nowhere", "other"].into_iter().enumerate() {
        config.import.benign = sample.to_owned();
        let catalog = opened(dir.path(), &config, true);
        let text = format!("id,category,pdq\nz,C{n},{}\n", hex(ordinary(7)));
        let options = ImportOptions { delta: true, ..options() };
        let report = catalog.import(&by, "known", &options, &mut text.as_bytes(), &mut |_| {}).unwrap();
        assert!(report.warnings.iter().any(|warning| warning.contains("[import] benign names is")), "{:?}", report.warnings);
        drop(catalog);
        let bench = open_with(dir.path(), config.clone());
        assert_eq!(bench.ids(HashValue::Pdq(ordinary(7))), ["elsewhere"], "{sample}");
    }
    let bench = open_with(dir.path(), unchecked());
    let text = format!("id,category,pdq\nz,D,{}\n", hex(ordinary(7)));
    bench.import_as("known", &text, &ImportOptions { delta: true, ..options() }).unwrap();
    assert_eq!(bench.ids(HashValue::Pdq(ordinary(7))), ["elsewhere"]);
}
