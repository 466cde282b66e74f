//! The catalog over a real store: what changes a list makes show in verdicts, and only those.

#![allow(clippy::unwrap_used)]

#[path = "lists/entries.rs"]
mod entries;
#[path = "lists/health.rs"]
mod health;
#[path = "lists/past.rs"]
mod past;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hashwarden::app;
use hashwarden::catalog::{
    Catalog, CatalogError, FORMAT_DERIVED, Hold, ImportFile, ImportOptions, ImportReport, NewEntry, PolicyUpdate, RadiusRule,
};
use hashwarden::config::Config;
use hashwarden::decode::Limits;
use hashwarden::demo::edits::Edit;
use hashwarden::demo::pictures;
use hashwarden::entry::{Bits, Caller, Hash64, HashKind, HashValue, Pdq, Polarity, Transform, VersionNo};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::index::IndexChoice;
use hashwarden::lists::{Format, Mapping};
use hashwarden::matcher::{Content, GivenHash, Job, Matcher};
use hashwarden::snapshot::Published;
use hashwarden::store::{Access, DerivedClear, Store};
use hashwarden::verdict::{Asked, Outcome, Verdict};

struct Bench {
    config: Config,
    catalog: Arc<Catalog>,
    matcher: Matcher,
    by: Caller,
}

fn open(dir: &Path) -> Bench {
    open_with(dir, Config::default())
}

fn open_with(dir: &Path, config: Config) -> Bench {
    let (catalog, matcher) = app::matching(dir, &config, Access::Write).unwrap();
    Bench { config, catalog, matcher, by: Caller("test".to_owned()) }
}

impl Bench {
    fn create(&self, name: &str) {
        self.catalog.create(&self.by, name, Polarity::Positive, &PolicyUpdate::default()).unwrap();
    }

    fn ask(&self, hash: HashValue) -> Verdict {
        let job = Job {
            content: Content::Hashes(vec![GivenHash { hash, quality: None }]),
            lists: Asked::All,
            views: None,
            until: Instant::now() + Duration::from_secs(60),
            caller: self.by.clone(),
        };
        let (send, answer) = mpsc::channel();
        self.matcher.submit(job, move |a| send.send(a).unwrap());
        answer.recv().unwrap().verdict
    }

    fn ids(&self, hash: HashValue) -> Vec<String> {
        let mut ids: Vec<_> = self.ask(hash).matches.into_iter().map(|m| m.entry_id).collect();
        ids.sort();
        ids
    }

    fn add(&self, list: &str, id: &str, hashes: Vec<HashValue>) {
        let entry = NewEntry { id: Some(id.to_owned()), category: String::new(), hashes, ..NewEntry::default() };
        self.catalog.add(&self.by, list, vec![entry]).unwrap();
    }

    fn remove(&self, list: &str, id: &str) {
        self.catalog.remove(&self.by, list, vec![id.to_owned()]).unwrap();
    }

    fn import(&self, list: &str, text: &str) -> Result<ImportReport, CatalogError> {
        self.import_with(list, text, true, false)
    }

    fn import_with(&self, list: &str, text: &str, activate: bool, dry_run: bool) -> Result<ImportReport, CatalogError> {
        self.import_as(list, text, &ImportOptions { activate, dry_run, ..import_options() })
    }

    fn import_as(&self, list: &str, text: &str, options: &ImportOptions) -> Result<ImportReport, CatalogError> {
        self.catalog.import(&self.by, list, options, &mut text.as_bytes(), &mut |_| {})
    }

    fn assert_sound(&self) {
        let report = self.catalog.verify(&mut |_, _| {}).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

/// Where lists may hold what a check would quarantine.
fn unchecked() -> Config {
    let mut config = Config::default();
    config.import.check = false;
    config
}

fn one_file(text: &[u8]) -> impl Iterator<Item = std::io::Result<ImportFile<'_>>> {
    std::iter::once(Ok(ImportFile { name: String::new(), input: Box::new(text) }))
}

/// A CSV that is activated whatever it changes.
fn import_options() -> ImportOptions {
    ImportOptions {
        format: Some(Format::Csv),
        mapping: Mapping::default(),
        source: "test.csv".to_owned(),
        activate: true,
        dry_run: false,
        accept: true,
        ..ImportOptions::default()
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn pdq(n: u64) -> HashValue {
    let mut random = Random(n);
    HashValue::Pdq(Pdq([random.next(), random.next(), random.next(), random.next()]))
}

fn flipped(hash: &HashValue, bits: usize) -> HashValue {
    let HashValue::Pdq(Pdq(mut words)) = hash.clone() else { panic!("a PDQ") };
    (0..bits).for_each(|bit| words[bit / 64] ^= 1 << (bit % 64));
    HashValue::Pdq(Pdq(words))
}

fn phash(n: u64) -> HashValue {
    HashValue::Phash64(Hash64(Random(n ^ 0xabcd).next()))
}

fn md5(n: u64) -> HashValue {
    // None is all zeros, which is no hash.
    HashValue::from_bytes(HashKind::Md5, &[n.to_be_bytes(), (!n).to_be_bytes()].concat()).unwrap()
}

fn csv(rows: impl IntoIterator<Item = (String, u64)>) -> String {
    let rows = rows.into_iter().map(|(id, n)| format!("{id},A,{},{}\n", pdq(n).hex(), md5(n).hex()));
    std::iter::once("id,category,pdq,md5\n".to_owned()).chain(rows).collect()
}

fn ids_and_numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<(String, u64)> {
    numbers.into_iter().map(|n| (format!("e{n}"), n)).collect()
}

#[test]
fn an_added_hash_matches_and_a_removed_one_stops_matching_without_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    assert_eq!(bench.ask(pdq(1)).outcome, Outcome::NotScanned, "an empty list has scanned nothing");
    bench.add("known", "one", vec![pdq(1), phash(1), md5(1)]);
    bench.add("known", "two", vec![pdq(2)]);
    assert_eq!(bench.ids(pdq(1)), ["one"]);
    assert_eq!(bench.ids(flipped(&pdq(1), 31)), ["one"]);
    assert_eq!(bench.ask(flipped(&pdq(1), 32)).outcome, Outcome::NoMatch);
    assert_eq!((bench.ids(phash(1)), bench.ids(md5(1))), (vec!["one".to_owned()], vec!["one".to_owned()]));
    bench.remove("known", "one");
    assert_eq!(bench.ask(pdq(1)).outcome, Outcome::NoMatch);
    assert_eq!(bench.ids(pdq(2)), ["two"]);
    assert_eq!(bench.ask(md5(1)).outcome, Outcome::NotScanned, "no live list has an MD5 any more");
    bench.assert_sound();
}

#[test]
fn an_import_makes_the_file_the_list_and_says_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let first = bench.import("known", &csv(ids_and_numbers(0..100))).unwrap();
    assert_eq!((first.added, first.changed, first.gone, first.unchanged, first.entries), (100, 0, 0, 0, 100));
    let mut rows = ids_and_numbers(10..120);
    rows[0].1 = 999; // e10 has another picture now
    rows.reverse(); // any order
    let second = bench.import("known", &csv(rows)).unwrap();
    assert_eq!((second.added, second.changed, second.gone, second.unchanged, second.entries), (20, 1, 10, 89, 110));
    assert_eq!(bench.ids(pdq(5)), Vec::<String>::new());
    assert_eq!((bench.ids(pdq(10)), bench.ids(pdq(999))), (vec![], vec!["e10".to_owned()]));
    let verdict = bench.ask(pdq(110));
    assert_eq!((verdict.matches[0].category.as_str(), verdict.lists.clone()), ("A", vec![("known".to_owned(), VersionNo(2))]));
    let same = bench.import("known", &csv(ids_and_numbers(10..120).into_iter().map(|(i, n)| (i, if n == 10 { 999 } else { n }))));
    assert_eq!(same.unwrap().version, None, "nothing differs: no new version");
    bench.assert_sound();
}

#[test]
fn a_bad_row_is_reported_by_line_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let text = format!("id,pdq\na,{}\nb,xyz\nc,{}\n", pdq(1).hex(), pdq(3).hex());
    let report = bench.import("known", &text).unwrap();
    assert_eq!((report.rows, report.rows_bad, report.entries), (3, 1, 2));
    assert_eq!(report.bad[0].line, 3);
    assert_eq!((bench.ids(pdq(1)), bench.ids(pdq(3))), (vec!["a".to_owned()], vec!["c".to_owned()]));
}

#[test]
fn a_bad_row_that_may_be_an_entry_that_goes_leaves_the_version_to_somebody_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..10))).unwrap();
    let cut = csv(ids_and_numbers(0..10)).trim_end().trim_end_matches(|c: char| c.is_ascii_hexdigit()).to_owned() + "1234\n";
    let both = format!("id,pdq\na,{}\na,{}\n", pdq(100).hex(), pdq(101).hex());
    let one_of_both = format!("id,pdq\na,{}\na,{}\n", pdq(100).hex(), &pdq(101).hex()[..60]);
    bench.create("pairs");
    bench.import("pairs", &both).unwrap();
    for (list, text, less, kept) in [("known", &cut, (0, 1), pdq(9)), ("pairs", &one_of_both, (1, 0), pdq(101))] {
        let report = bench.import(list, text).unwrap();
        assert_eq!((report.rows_bad, report.version, report.activated), (1, Some(VersionNo(2)), false), "{list}");
        assert_eq!((report.changed, report.gone), less, "{list}");
        assert!(report.warnings[0].contains("not activated"), "{:?}", report.warnings);
        assert_eq!(bench.ids(kept.clone()).len(), 1, "{list} is as it was");
        // Once more makes no third version, and says the same.
        let dry = bench.import_with(list, text, true, true).unwrap();
        assert_eq!((dry.changed, dry.gone), less, "{list}");
        assert!(dry.warnings[0].starts_with("it would not be activated: 1 row is bad"), "{:?}", dry.warnings);
        let again = bench.import(list, text).unwrap();
        assert_eq!(
            (again.version, again.activated, again.changed, again.gone),
            (report.version, false, less.0, less.1),
            "{list}"
        );
        bench.catalog.activate(&bench.by, list, VersionNo(2)).unwrap();
        assert_eq!(bench.ids(kept).len(), 0, "who looked at it may activate it");
    }
    bench.assert_sound();
}

/// A file that was cut short, or another list's, once became the list without a word.
#[test]
fn an_import_that_changes_much_is_staged_until_somebody_accepts_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let careful = ImportOptions { accept: false, ..import_options() };
    let import = |range: std::ops::Range<u64>| bench.import_as("known", &csv(ids_and_numbers(range)), &careful).unwrap();
    let active = || bench.catalog.list("known").unwrap().list.active;
    assert!(import(0..1_000).activated, "the list was empty");
    // A fifth comes and goes, and no more than a fifth.
    let report = import(200..1_200);
    assert_eq!((report.activated, report.gone, report.added), (true, 200, 200));
    let (cut, grown) = (200..999, 200..1_401);
    for (range, gone, added) in [(cut, 201, 0), (grown, 0, 201)] {
        let before = active();
        let dry =
            bench.import_as("known", &csv(ids_and_numbers(range.clone())), &ImportOptions { dry_run: true, ..careful.clone() });
        assert!(dry.unwrap().warnings[0].starts_with("it would not be activated: of 1000 entries"));
        let report = import(range.clone());
        assert_eq!(
            (report.activated, report.gone, report.added, report.held.clone()),
            (false, gone, added, vec![Hold::LargeChange])
        );
        let words = format!(
            "not activated: of 1000 entries, {gone} would be removed and 0 changed, and {added} would be added: 20.10 %, and the limit is 20 %"
        );
        assert!(report.warnings[0].starts_with(&words), "{:?}", report.warnings);
        assert_eq!((active(), bench.ids(pdq(1_100))), (before, vec!["e1100".to_owned()]), "as it was");
        // Staged on purpose it is said, and no failure; accepted, the version that is there already becomes active.
        let staged =
            bench.import_as("known", &csv(ids_and_numbers(range.clone())), &ImportOptions { activate: false, ..careful.clone() });
        assert!(staged.unwrap().warnings[0].starts_with("of 1000 entries"));
        let accepted = bench.import_with("known", &csv(ids_and_numbers(range)), true, false).unwrap();
        assert_eq!((accepted.version, accepted.activated, accepted.held), (report.version, true, vec![]));
        bench.catalog.roll_back(&bench.by, "known").unwrap();
    }
    // Other hashes under the same ids are a change as large.
    let shifted = csv(ids_and_numbers(200..1_200).into_iter().map(|(id, n)| (id, n + 5_000)));
    let report = bench.import_as("known", &shifted, &careful).unwrap();
    assert_eq!((report.changed, report.held), (1_000, vec![Hold::LargeChange]));

    // Fewer than a hundred changes are none to ask about.
    bench.create("few");
    let import = |range: std::ops::Range<u64>| bench.import_as("few", &csv(ids_and_numbers(range)), &careful).unwrap();
    assert!(import(0..10).activated && import(5..104).activated);
    assert!(!import(5..205).activated, "101 more");
    bench.assert_sound();
    drop(bench);

    let mut config = Config::default();
    config.import.change_percent_max = 0;
    let bench = open_with(dir.path(), config);
    let report = bench.import_as("known", &csv(ids_and_numbers(200..400)), &careful).unwrap();
    assert_eq!((report.activated, report.gone), (true, 800), "no limit is set");
}

#[test]
fn what_threatexchange_says_is_harmless_or_disputed_is_not_sought() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let row = |n: u64, class: &str| format!("pdq,{},c,{class},\n", pdq(n).hex());
    let file = |rows: &[String]| format!("signal_type,signal_str,collab,category,tags\n{}", rows.concat());
    let text = file(&[row(1, "POSITIVE_CLASS"), row(2, "NEGATIVE_CLASS"), row(3, "DISPUTED"), row(4, "INVESTIGATION_SEED")]);
    let report = bench.import("known", &text).unwrap();
    assert_eq!((report.rows, report.rows_bad, report.rows_unsought, report.entries), (4, 0, 2, 2));
    assert_eq!(report.hashes, BTreeMap::from([(HashKind::Pdq, 2)]));
    assert_eq!(report.warnings, ["2 rows are NEGATIVE_CLASS or DISPUTED and left out of the new version"]);
    let outcomes = [1, 2, 3, 4].map(|n| bench.ask(pdq(n)).outcome);
    assert_eq!(outcomes, [Outcome::Match, Outcome::NoMatch, Outcome::NoMatch, Outcome::Match]);
    // What is disputed from now on is found no longer.
    bench.import("known", &file(&[row(1, "DISPUTED"), row(4, "POSITIVE_CLASS")])).unwrap();
    assert_eq!(bench.ask(pdq(1)).outcome, Outcome::NoMatch);
    let error = bench.import("known", &file(&[row(1, "DISPUTED"), row(4, "NEGATIVE_CLASS")])).unwrap_err().to_string();
    assert!(error.contains("none of the 2 rows is to be found"), "{error}");
}

#[test]
fn the_report_says_what_became_of_columns_rows_and_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let (one, two, md5) = (pdq(1).hex(), pdq(2).hex(), md5(1).hex());
    let text = format!("id,PDQ,md5,Note\na,{one},,x\na,,{md5},\nb,{two},,\nc,{one},123,\nd,12,,\na,{two},,\n");
    let report = bench.import("known", &text).unwrap();
    assert_eq!((report.rows, report.rows_bad, report.rows_bad_in_part, report.rows_merged, report.entries), (6, 2, 1, 2, 2));
    assert_eq!(report.warnings, ["1 bad row has other hashes that can be read; they are not in the new version either"]);
    assert!(report.bad[0].reason.ends_with("the row's other hashes are rejected too"), "{:?}", report.bad);
    let columns: Vec<_> = report.columns.iter().map(|column| (column.name.as_str(), column.used_as)).collect();
    assert_eq!(columns, [("id", Some("id")), ("PDQ", Some("pdq")), ("md5", Some("md5")), ("Note", Some("note"))]);
    // Without ids the same hashes are the same entry.
    let report = bench.import("known", &format!("pdq\n{one}\n{two}\n{one}\n")).unwrap();
    assert_eq!((report.rows_merged, report.entries), (1, 2));
}

#[test]
fn what_stands_for_a_missing_hash_is_in_no_list() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let empty = "d41d8cd98f00b204e9800998ecf8427e";
    let text = format!("id,pdq,md5\na,{},\nb,{},{empty}\nc,{},\n", pdq(1).hex(), pdq(2).hex(), "0".repeat(64));
    let report = bench.import("known", &text).unwrap();
    assert_eq!((report.rows_bad, report.rows_bad_in_part, report.entries), (2, 1, 1));
    let zero = HashValue::Pdq(Pdq([0; 4]));
    for (hash, words) in [(zero.clone(), "all zeros"), (HashValue::from_hex(HashKind::Md5, empty).unwrap(), "of an empty file")] {
        let entry =
            NewEntry { id: Some("x".to_owned()), category: String::new(), hashes: vec![pdq(3), hash], ..NewEntry::default() };
        let error = bench.catalog.add(&bench.by, "known", vec![entry]).unwrap_err();
        assert!(matches!(&error, CatalogError::Invalid(why) if why.contains(words)), "{error}");
    }
    assert_eq!((bench.ids(pdq(1)), bench.ids(pdq(3)), bench.ids(zero)), (vec!["a".to_owned()], vec![], vec![]));
}

#[test]
fn a_policy_that_is_hardly_meant_is_refused_or_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    let rule = |category: Option<&str>, kind, radius| RadiusRule { category: category.map(str::to_owned), kind, radius };
    let update = |rule: RadiusRule| PolicyUpdate { radii: vec![rule], ..PolicyUpdate::default() };
    let made = bench.catalog.create(&bench.by, "known", Polarity::Positive, &update(rule(None, HashKind::Phash64, 9))).unwrap();
    assert!(made.warnings[0].contains("radius 9 for phash64 is wide: beyond 8 bits"), "{:?}", made.warnings);
    let set = |given: RadiusRule| bench.catalog.set(&bench.by, "known", &update(given)).map(|info| info.warnings);
    // One list's radius is that of every look-up: 256 on six entries took 44 ms a look-up beside a large list.
    for (kind, radius, words) in
        [(HashKind::Pdq, 97, "0 to 96"), (HashKind::Dhash64, 17, "0 to 16"), (HashKind::Md5, 1, "match exactly")]
    {
        let error = set(rule(None, kind, radius)).unwrap_err();
        assert!(matches!(&error, CatalogError::Invalid(why) if why.contains(words)), "{error}");
    }
    assert_eq!(set(rule(None, HashKind::Pdq, 47)).unwrap(), [""; 0]);
    assert!(set(rule(None, HashKind::Pdq, 48)).unwrap()[0].contains("radius 48 for pdq is wide"));

    assert_eq!(set(rule(Some("B"), HashKind::Pdq, 10)).unwrap(), [""; 0], "the list is empty");
    let report = bench.import("known", &csv(ids_and_numbers(1..10))).unwrap();
    assert_eq!(report.warnings, ["the policy has a radius or an action for a category that no entry has: \"B\""]);
    assert_eq!(set(rule(Some("A"), HashKind::Pdq, 10)).unwrap(), [""; 0]);
    assert_eq!(set(rule(Some("a"), HashKind::Pdq, 10)).unwrap(), ["no entry of list \"known\" has the category \"a\""]);
}

#[test]
fn a_version_that_is_not_there_is_answered_by_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let check = |version: u32, words: &str| {
        let error = bench.catalog.activate(&bench.by, "known", VersionNo(version)).unwrap_err().to_string();
        assert_eq!(error, format!("list \"known\" has no version {version}: {words}"));
    };
    check(1, "it has none yet");
    bench.import("known", &csv(ids_and_numbers(1..10))).unwrap();
    bench.import("known", &csv(ids_and_numbers(1..11))).unwrap();
    check(7, "the newest is 2");
    check(0, "the newest is 2");
}

#[test]
fn an_import_after_a_roll_back_is_compared_with_what_is_active() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..10))).unwrap();
    bench.import("known", &csv(ids_and_numbers(8..20))).unwrap();
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    let text = csv(ids_and_numbers(0..11));
    let dry = bench.import_with("known", &text, true, true).unwrap();
    assert_eq!((dry.compared_with, dry.version), (VersionNo(1), None));
    assert_eq!((dry.added, dry.changed, dry.gone, dry.unchanged), (1, 0, 0, 10));
    let report = bench.import("known", &text).unwrap();
    assert_eq!((report.compared_with, report.version), (VersionNo(1), Some(VersionNo(3))));
    assert_eq!((report.added, report.changed, report.gone, report.unchanged), (1, 0, 0, 10));
    let diff = bench.catalog.diff("known", VersionNo(1), VersionNo(3)).unwrap();
    assert_eq!((diff.added, diff.changed, diff.removed), (1, 0, 0), "what came back as it was is no change");

    // A few changes of a long list.
    let version = |bench: &Bench| bench.catalog.list("known").unwrap().list.active;
    bench.import("known", &csv(ids_and_numbers(0..100))).unwrap();
    let before = version(&bench);
    bench.add("known", "new", vec![pdq(1_000)]);
    bench.add("known", "new", vec![pdq(1_001)]);
    bench.remove("known", "e7");
    bench.add("known", "e9", vec![pdq(1_002)]);
    let differ = |from, to| {
        let diff = bench.catalog.diff("known", from, to).unwrap();
        (diff.added, diff.changed, diff.removed)
    };
    assert_eq!(differ(before, version(&bench)), (1, 1, 1));
    assert_eq!(differ(version(&bench), before), (1, 1, 1));
    assert_eq!(differ(VersionNo(0), before), (100, 0, 0));
    bench.assert_sound();
}

#[test]
fn digests_in_the_place_of_pdq_hashes_are_pointed_out() {
    use hashwarden::decode::{Channels, Picture, Rendering};
    use hashwarden::hash::{digest::Digests, pdq as pdq_hash};
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let lines = |n: u8| (0..n).map(|i| Digests::of(&[i]).values()[2].hex() + "\n").collect::<String>();
    let import = |text: &str| {
        let options = ImportOptions {
            format: None,
            mapping: Mapping::default(),
            source: "x".to_owned(),
            activate: false,
            dry_run: false,
            accept: false,
            ..ImportOptions::default()
        };
        bench.catalog.import(&bench.by, "known", &options, &mut text.as_bytes(), &mut |_| {}).unwrap()
    };
    let report = import(&lines(200));
    assert_eq!((report.format, report.hashes), (Some(Format::PdqText), BTreeMap::from([(HashKind::Pdq, 200)])));
    assert!(report.warnings[0].contains("are they SHA-256"), "{:?}", report.warnings);
    let hash = |n| {
        let picture = Picture::new(96, 96, Channels::Rgb, pictures::draw(n, 96, 96).into_raw()).unwrap();
        HashValue::Pdq(pdq_hash::hash(&pdq_hash::plane64(&picture.luma(Rendering::Stored))))
    };
    let text = (0..120).map(|n| hash(n).hex() + "\n").collect::<String>();
    assert_eq!(import(&text).warnings, [""; 0]);
}

#[test]
fn a_column_of_hashes_that_is_not_read_is_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let text = format!("id,md5,perceptual\na,{},{}\nb,{},\n", md5(1).hex(), pdq(1).hex(), md5(2).hex());
    let report = bench.import("known", &text).unwrap();
    assert_eq!(report.warnings, ["1 row holds what looks like a hash in a column that is not read, such as column 3"]);
    let report = bench.import("known", &format!("id,md5,note\na,{},a picture\n", md5(1).hex())).unwrap();
    assert_eq!(report.warnings, [""; 0]);
}

#[test]
fn ids_that_are_hashes_are_pointed_out() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let text = format!("id,md5\n{},{}\n{},{}\n", md5(1).hex().to_uppercase(), md5(1).hex(), md5(9).hex(), md5(2).hex());
    let report = bench.import("known", &text).unwrap();
    let said = "1 row has a hash as its id; verdicts and comparisons show ids, so they will show these hashes";
    assert_eq!((report.warnings, report.activated), (vec![said.to_owned()], true));
}

#[test]
fn a_file_that_fails_as_a_whole_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..10))).unwrap();
    let quote = format!("id,pdq\na,{}\n\"b,{}\n", pdq(1).hex(), pdq(2).hex());
    for bad in ["", "id,pdq\n", "id,pdq\na,xyz\n", "name,size\na,1\n", quote.as_str()] {
        let error = bench.import("known", bad).unwrap_err();
        assert!(matches!(error, CatalogError::BadFile(_)), "{bad:?}: {error}");
        assert_eq!(bench.ids(pdq(3)), ["e3"]);
        assert_eq!(bench.catalog.list("known").unwrap().list.head, VersionNo(1), "{bad:?}");
    }
    bench.assert_sound();
}

#[test]
fn rows_with_one_id_are_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let text = format!("id,category,pdq,md5\nx,,{},\ny,,{},\nx,B,,{}\n", pdq(1).hex(), pdq(2).hex(), md5(1).hex());
    assert_eq!(bench.import("known", &text).unwrap().entries, 2);
    assert_eq!(bench.ids(md5(1)), ["x"]);
    let verdict = bench.ask(pdq(1));
    assert_eq!((verdict.matches[0].entry_id.as_str(), verdict.matches[0].category.as_str()), ("x", "B"));
}

/// Adds once waited until an import was done, or were lost with it.
#[test]
fn edits_go_on_during_an_import_and_survive_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.create("other");
    bench.import("known", &csv(ids_and_numbers(0..20))).unwrap();
    bench.add("known", "before", vec![pdq(20_900)]);
    let file = csv(ids_and_numbers(2..9_000));
    let options = import_options();
    let (mut written, mut indexed) = (false, false);
    let mut edit = |progress: hashwarden::catalog::Progress| match progress.phase {
        hashwarden::catalog::Phase::Writing if progress.rows > 4_000 && !written => {
            written = true;
            bench.add("known", "hand", vec![pdq(10_001)]);
            bench.add("known", "e5", vec![pdq(10_005)]);
            bench.remove("known", "e6");
            bench.add("known", "gone again", vec![pdq(10_007)]);
            bench.remove("known", "gone again");
            bench.add("other", "elsewhere", vec![pdq(10_002)]);
            bench.add("known", "before", vec![pdq(20_900)]); // as it is: it is not in the file
            assert_eq!((bench.ids(pdq(10_001)), bench.ids(pdq(10_002))), (vec!["hand".to_owned()], vec!["elsewhere".to_owned()]));
            assert_eq!(
                (bench.ids(pdq(6)), bench.ids(pdq(0))),
                (vec![], vec!["e0".to_owned()]),
                "at once, and the rest as it was"
            );
            bench.catalog.set_disabled(&bench.by, "known", true).unwrap();
            assert_eq!(bench.ids(pdq(10_001)), Vec::<String>::new());
            bench.catalog.set_disabled(&bench.by, "known", false).unwrap();
        }
        hashwarden::catalog::Phase::Indexing => {
            indexed = true;
            bench.add("known", "late", vec![pdq(10_003)]);
            bench.remove("known", "e8000"); // not there yet: the file has it
        }
        _ => {}
    };
    let report = bench.catalog.import(&bench.by, "known", &options, &mut file.as_bytes(), &mut edit).unwrap();
    assert!(written && indexed && report.activated);
    assert_eq!((report.added, report.gone, report.changed, report.compared_with), (8_980, 2, 0, VersionNo(2)));
    assert_eq!((report.kept, report.entries), (1, 8_998 + 3 - 1), "what was added by hand is not the file's to remove");
    assert!(
        report.warnings.iter().any(|w| w.starts_with("4 entries that were added or removed by hand")),
        "{:?}",
        report.warnings
    );
    let check = |bench: &Bench| {
        for (n, id) in [
            (10_001, "hand"),
            (10_005, "e5"),
            (10_003, "late"),
            (7, "e7"),
            (8_000, "e8000"),
            (8_999, "e8999"),
            (20_900, "before"),
        ] {
            assert_eq!(bench.ids(pdq(n)), [id], "{n}");
        }
        for n in [0, 1, 5, 6, 10_007] {
            assert_eq!(bench.ids(pdq(n)), Vec::<String>::new(), "{n}");
        }
        assert_eq!(bench.catalog.list("known").unwrap().rows, 8_998 + 3 - 1);
    };
    check(&bench);
    bench.assert_sound();
    // One version came of it, and the one that answered before is what a roll-back brings back: the edits alone.
    let info = bench.catalog.list("known").unwrap().list;
    assert_eq!(Some(info.active), report.version);
    let sources = |bench: &Bench| {
        let versions = bench.catalog.versions("known").unwrap();
        versions.into_iter().filter(|v| v.source == "test.csv").map(|v| v.version).collect::<Vec<_>>()
    };
    assert_eq!(sources(&bench), [VersionNo(1), info.active]);
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(
        (bench.ids(pdq(10_003)), bench.ids(pdq(20_900)), bench.ids(pdq(6))),
        (vec!["late".to_owned()], vec!["before".to_owned()], vec![])
    );
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    check(&bench);
    drop(bench);
    let bench = open(dir.path());
    check(&bench);
    bench.assert_sound();
}

/// A file may take an hour to be received, and another one be imported meanwhile.
#[test]
fn edits_since_an_import_began_survive_it_and_other_imports_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..20))).unwrap();
    let first = bench.catalog.begin_import("known").unwrap();
    bench.add("known", "early", vec![pdq(900)]);
    let second = bench.catalog.begin_import("known").unwrap();
    bench.add("known", "hand", vec![pdq(901)]);
    bench.remove("known", "e3");
    let import = |began: hashwarden::catalog::Began, text: &str| {
        bench
            .catalog
            .import_files(&bench.by, "known", began, &import_options(), &mut one_file(text.as_bytes()), &mut |_| {})
            .unwrap()
    };
    // Compared with what was active when each began.
    let report = import(second.clone(), &csv(ids_and_numbers(0..40)));
    assert_eq!(
        (report.activated, report.added, report.gone, report.kept),
        (true, 21, 0, 2),
        "e3 was removed since, and is added again"
    );
    let found = |numbers: &[u64]| numbers.iter().map(|n| bench.ids(pdq(*n)).len()).collect::<Vec<_>>();
    assert_eq!(found(&[0, 3, 30, 900, 901]), [1, 0, 1, 1, 1], "what was added by hand stays");
    // Versions of edits are not kept long: what the first one is compared with may be gone by then.
    (0..40).for_each(|n| bench.add("known", &format!("more{n}"), vec![pdq(2_000 + n)]));
    let report = import(first.clone(), &csv(ids_and_numbers(0..10)));
    assert!(report.activated);
    assert_eq!(found(&[0, 3, 15, 30, 901, 2_000, 2_039]), [1, 0, 0, 0, 1, 1, 1], "the other file's entries are no edits");
    assert_eq!(bench.catalog.list("known").unwrap().rows, 9 + 2 + 40);
    bench.assert_sound();
    // One that was meant for a list that is gone.
    bench.catalog.delete(&bench.by, "known").unwrap();
    bench.create("known");
    let text = csv(ids_and_numbers(0..10));
    let late =
        bench.catalog.import_files(&bench.by, "known", first, &import_options(), &mut one_file(text.as_bytes()), &mut |_| {});
    assert!(matches!(late, Err(CatalogError::NoSuchList(_))), "{late:?}");
}

#[test]
fn a_list_that_is_deleted_while_a_file_is_imported_is_not_found_and_nothing_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    for at in [hashwarden::catalog::Phase::Reading, hashwarden::catalog::Phase::Writing, hashwarden::catalog::Phase::Indexing] {
        bench.create("known");
        bench.import("known", &csv(ids_and_numbers(0..20))).unwrap();
        let mut deleted = false;
        let mut delete = |progress: hashwarden::catalog::Progress| {
            if progress.phase == at && !deleted {
                deleted = true;
                bench.catalog.delete(&bench.by, "known").unwrap();
            }
        };
        let file = csv(ids_and_numbers(10..9_000));
        let failed = bench.catalog.import(&bench.by, "known", &import_options(), &mut file.as_bytes(), &mut delete);
        assert!(deleted && matches!(failed, Err(CatalogError::NoSuchList(_))), "{at:?}: {failed:?}");
        assert_eq!(bench.ids(pdq(15)), Vec::<String>::new());
        bench.assert_sound();
    }
}

/// A list that was rolled back while a file is imported into it has the file's entries after that, and the edits since.
#[test]
fn a_roll_back_during_an_import_brings_nothing_else_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..20))).unwrap();
    bench.add("known", "wrong", vec![pdq(900)]);
    let mut edit = |progress: hashwarden::catalog::Progress| {
        if progress.phase == hashwarden::catalog::Phase::Indexing {
            bench.add("known", "wrong too", vec![pdq(901)]);
            bench.catalog.activate(&bench.by, "known", VersionNo(1)).unwrap();
            bench.add("known", "right", vec![pdq(902)]);
        }
    };
    let file = csv(ids_and_numbers(10..30));
    let report = bench.catalog.import(&bench.by, "known", &import_options(), &mut file.as_bytes(), &mut edit).unwrap();
    assert!(report.activated);
    assert_eq!(bench.ids(pdq(902)), ["right"]);
    assert_eq!(bench.ids(pdq(25)), ["e25"]);
    for n in [5, 900, 901] {
        assert_eq!(bench.ids(pdq(n)), Vec::<String>::new(), "{n}");
    }
    assert_eq!(bench.catalog.list("known").unwrap().rows, 21);
    bench.assert_sound();
}

/// What only earlier versions held stayed in memory until the next start.
#[test]
fn entries_that_no_version_needs_leave_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let loaded = || bench.matcher.snapshot().metadata.len();
    bench.import("known", &csv(ids_and_numbers(0..20_000))).unwrap();
    bench.import("known", &csv(ids_and_numbers(20_000..40_000))).unwrap();
    assert!(!(0..5).any(|_| bench.catalog.merge()) && loaded() == 40_000, "the version before can be had back at once");
    bench.import("known", &csv(ids_and_numbers(40_000..50_000))).unwrap();
    assert_eq!(loaded(), 50_000);
    let before = bench.matcher.snapshot().id;
    assert!(bench.catalog.merge());
    assert_eq!((loaded(), bench.matcher.snapshot().id), (30_000, before), "the same state, under the same number");
    assert_eq!((bench.ids(pdq(1)), bench.ids(pdq(45_000))), (vec![], vec!["e45000".to_owned()]));
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!((loaded(), bench.ids(pdq(30_000))), (30_000, vec!["e30000".to_owned()]));
    bench.catalog.activate(&bench.by, "known", VersionNo(1)).unwrap();
    assert_eq!((loaded(), bench.ids(pdq(1))), (50_000, vec!["e1".to_owned()]), "read from the store again");
    bench.assert_sound();
}

#[test]
fn a_staged_version_is_not_seen_until_it_is_activated_and_a_roll_back_undoes_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..10))).unwrap();
    let dry = bench.import_with("known", &csv(ids_and_numbers(5..20)), true, true).unwrap();
    assert_eq!((dry.version, dry.added, dry.gone), (None, 10, 5));
    let staged = bench.import_with("known", &csv(ids_and_numbers(5..20)), false, false).unwrap();
    assert_eq!((staged.version, staged.activated), (Some(VersionNo(2)), false));
    assert_eq!((bench.ids(pdq(1)).len(), bench.ids(pdq(15)).len()), (1, 0));
    bench.catalog.activate(&bench.by, "known", VersionNo(2)).unwrap();
    assert_eq!((bench.ids(pdq(1)).len(), bench.ids(pdq(15)).len()), (0, 1));
    let diff = bench.catalog.diff("known", VersionNo(1), VersionNo(2)).unwrap();
    assert_eq!((diff.added, diff.removed, diff.changed), (10, 5, 0));
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!((bench.ids(pdq(1)).len(), bench.ids(pdq(15)).len()), (1, 0));
    bench.assert_sound();
}

#[test]
fn an_edit_after_a_roll_back_does_not_bring_back_what_was_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.import("known", &csv(ids_and_numbers(0..10))).unwrap();
    let mut bad = ids_and_numbers(5..20);
    bad[0].1 = 777; // e5 changed too
    bench.import("known", &csv(bad)).unwrap();
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    let again = NewEntry { id: Some("e3".to_owned()), category: String::new(), hashes: vec![pdq(333)], ..NewEntry::default() };
    let report = bench.catalog.add(&bench.by, "known", vec![again]).unwrap();
    assert_eq!((report.added, report.changed), (0, 1), "it is active, whatever the version that was rolled back has");
    bench.add("known", "new", vec![pdq(50)]);
    bench.remove("known", "e2");
    let reopened = |bench: &Bench| {
        assert_eq!((bench.ids(pdq(50)), bench.ids(pdq(1))), (vec!["new".to_owned()], vec!["e1".to_owned()]));
        assert_eq!((bench.ids(pdq(5)), bench.ids(pdq(777))), (vec!["e5".to_owned()], vec![]));
        assert_eq!((bench.ids(pdq(15)), bench.ids(pdq(2))), (Vec::<String>::new(), Vec::<String>::new()));
        bench.assert_sound();
    };
    reopened(&bench);
    drop(bench);
    reopened(&open(dir.path()));
}

#[test]
fn a_disabled_list_is_silent_and_a_deleted_one_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("a");
    bench.create("b");
    bench.add("a", "one", vec![pdq(1), phash(1)]);
    bench.add("b", "uno", vec![pdq(1), phash(7)]);
    assert_eq!(bench.ids(pdq(1)), ["one", "uno"]);
    bench.catalog.set_disabled(&bench.by, "a", true).unwrap();
    assert_eq!(bench.ids(pdq(1)), ["uno"]);
    bench.catalog.set_disabled(&bench.by, "a", false).unwrap();
    assert_eq!(bench.ids(pdq(1)), ["one", "uno"]);
    bench.catalog.delete(&bench.by, "a").unwrap();
    assert_eq!((bench.ids(pdq(1)), bench.ids(phash(1))), (vec!["uno".to_owned()], vec![]));
    assert!(matches!(bench.catalog.list("a"), Err(CatalogError::NoSuchList(_))));
    bench.create("a");
    assert_eq!(bench.ids(pdq(1)), ["uno"], "a new list of the same name starts empty");
    bench.assert_sound();
}

/// Columns and BK-trees are derived: dropped or damaged, they are made again from the lists' rows, however the lists' entries
/// took turns, and until then nobody is told that nothing matches.
#[test]
fn derived_rows_that_are_lost_are_made_again_from_the_lists() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    let lists = ["a", "b", "c"];
    lists.iter().for_each(|list| bench.create(list));
    let mut kept = Vec::new();
    for n in 0..60u64 {
        let list = lists[n as usize % 3];
        bench.add(list, &format!("{list}{n}"), vec![pdq(n), phash(n)]);
        kept.push((pdq(n), format!("{list}{n}")));
    }
    for (list, from) in [("a", 10_000u64), ("b", 20_000)] {
        let old = kept.iter().filter(|(_, id)| id.starts_with(list)).map(|(hash, id)| format!("{},{id}\n", hash.hex()));
        let new = (from..from + 6_000).map(|n| format!("{},{list}{n}\n", pdq(n).hex()));
        bench.import(list, &old.chain(new).fold("pdq,id\n".to_owned(), |text, row| text + &row)).unwrap();
        bench.add("c", &format!("c{from}"), vec![pdq(from + 7_000)]);
        kept.push((pdq(from + 7_000), format!("c{from}")));
        kept.extend([0, 77, 5_999].map(|n| (pdq(from + n), format!("{list}{}", from + n))));
    }
    bench.remove("a", "a3");
    kept.retain(|(_, id)| id != "a3");
    let check = |bench: &Bench| {
        kept.iter().for_each(|(hash, id)| assert_eq!(bench.ids(flipped(hash, 5)), std::slice::from_ref(id)));
        assert_eq!(bench.ids(pdq(3)), [""; 0]);
        bench.assert_sound();
    };
    check(&bench);
    drop(bench);

    let harms: [&dyn Fn(&Store); 3] = [
        &|store| store.derived_reset(0).unwrap(),
        &|store| store.derived_clear(DerivedClear::Columns { kind: 0 }).unwrap(),
        &|store| store.derived_clear(DerivedClear::Columns { kind: HashKind::Pdq as u8 }).unwrap(),
    ];
    for harm in harms {
        harm(&Store::open(dir.path(), Access::Write, FORMAT_DERIVED).unwrap());
        assert!(app::matching(dir.path(), &Config::default(), Access::Read).is_err(), "a reader can't make them again");
        let bench = open(dir.path());
        check(&bench);
        // A version that is far from the active one, the last before the import, is found in what was made again.
        bench.catalog.activate(&bench.by, "b", VersionNo(20)).unwrap();
        assert_eq!(bench.ids(pdq(20_077)), [""; 0]);
        let back = bench.catalog.versions("b").unwrap().last().unwrap().version;
        bench.catalog.activate(&bench.by, "b", back).unwrap();
        check(&bench);
    }
}

#[test]
fn a_list_is_disabled_and_its_policy_changed_while_an_import_writes() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    ["harmful", "known"].iter().for_each(|list| bench.create(list));
    bench.add("harmful", "bad", vec![pdq(1)]);
    let (text, seen) = (csv(ids_and_numbers(10..5_000)), std::cell::Cell::new(false));
    let options = import_options();
    let narrow =
        PolicyUpdate { radii: vec![RadiusRule { category: None, kind: HashKind::Pdq, radius: 10 }], ..PolicyUpdate::default() };
    let mut progress = |progress: hashwarden::catalog::Progress| {
        if progress.phase != hashwarden::catalog::Phase::Writing || seen.replace(true) {
            return;
        }
        // On a thread of its own: were it to wait for the import, the import would wait for it, and the test says so.
        let (catalog, by, narrow) = (bench.catalog.clone(), bench.by.clone(), narrow.clone());
        let (send, done) = mpsc::channel();
        std::thread::spawn(move || {
            catalog.set_disabled(&by, "harmful", true).unwrap();
            catalog.set(&by, "known", &narrow).unwrap();
            send.send(()).unwrap();
        });
        done.recv_timeout(Duration::from_secs(60)).expect("waits for no import");
        assert_eq!(bench.ids(pdq(1)), [""; 0]);
    };
    bench.catalog.import(&bench.by, "known", &options, &mut text.as_bytes(), &mut progress).unwrap();
    assert!(seen.get());
    assert_eq!((bench.ids(pdq(1)), bench.ids(flipped(&pdq(77), 10))), (vec![], vec!["e77".to_owned()]));
    assert_eq!(bench.ids(flipped(&pdq(77), 11)), [""; 0], "the import did not bring the old policy back");
    bench.assert_sound();
}

#[test]
fn a_policy_takes_effect_at_once_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.add("known", "one", vec![pdq(1)]);
    let narrow = RadiusRule { category: None, kind: HashKind::Pdq, radius: 10 };
    bench.catalog.set(&bench.by, "known", &PolicyUpdate { radii: vec![narrow], ..PolicyUpdate::default() }).unwrap();
    let check = |bench: &Bench| {
        assert_eq!(bench.ask(flipped(&pdq(1), 11)).outcome, Outcome::NoMatch);
        assert_eq!(bench.ask(flipped(&pdq(1), 10)).matches[0].threshold, 10);
    };
    check(&bench);
    drop(bench);
    check(&open(dir.path()));
}

#[test]
fn a_negative_list_suppresses_what_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.catalog.create(&bench.by, "harmless", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    bench.add("known", "logo", vec![pdq(1)]);
    bench.add("harmless", "the-logo", vec![flipped(&pdq(1), 5)]);
    let verdict = bench.ask(flipped(&pdq(1), 5));
    assert_eq!((verdict.outcome, verdict.matches.len(), verdict.suppressed.len()), (Outcome::NoMatch, 0, 1));
    assert_eq!(bench.ask(pdq(1)).outcome, Outcome::Match, "its default radius is 0");

    let scope =
        |names: &[&str]| PolicyUpdate { scope: Some(names.iter().map(|n| n.to_string()).collect()), ..PolicyUpdate::default() };
    bench.catalog.set(&bench.by, "harmless", &scope(&["known"])).unwrap();
    let refused = |error: CatalogError, words: &str| assert!(error.to_string().contains(words), "{error}");
    refused(bench.catalog.delete(&bench.by, "known").unwrap_err(), "in the scope of negative list");
    refused(bench.catalog.set(&bench.by, "harmless", &scope(&["harmless"])).unwrap_err(), "is negative");
    refused(bench.catalog.set(&bench.by, "known", &scope(&["known"])).unwrap_err(), "this list is positive");
    bench.catalog.set(&bench.by, "harmless", &scope(&[])).unwrap();
    bench.catalog.delete(&bench.by, "known").unwrap();
}

#[test]
fn a_hash_that_a_file_repeats_ten_thousand_times_is_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let text = format!("pdq\n{}", format!("{}\n", pdq(1).hex()).repeat(50_000));
    let report = bench.import("known", &text).unwrap();
    assert_eq!((report.rows, report.rows_bad, report.entries), (50_000, 0, 1));
}

#[test]
fn many_added_hashes_are_merged_into_layers_without_changing_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    for chunk in 0..5u64 {
        let entries = (0..5_000).map(|n| {
            let n = chunk * 5_000 + n;
            NewEntry {
                id: Some(format!("e{n}")),
                category: String::new(),
                hashes: vec![pdq(n), phash(n), md5(n)],
                ..NewEntry::default()
            }
        });
        bench.catalog.add(&bench.by, "known", entries.collect()).unwrap();
        if chunk == 2 {
            bench.remove("known", "e7");
        }
        bench.catalog.merge();
        let upto = (chunk + 1) * 5_000;
        for n in (0..upto).step_by(997).chain([upto - 1]) {
            assert_eq!(bench.ids(flipped(&pdq(n), 20)), [format!("e{n}")]);
            assert_eq!((bench.ids(md5(n)), bench.ids(phash(n))), (vec![format!("e{n}")], vec![format!("e{n}")]));
        }
    }
    assert_eq!(bench.ids(pdq(7)), Vec::<String>::new());
    let snapshot = bench.matcher.snapshot();
    assert!(!snapshot.is_crowded(), "the layers were merged");
    bench.assert_sound();
}

#[test]
fn whatever_the_order_of_changes_the_answers_are_what_the_versions_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = open(dir.path());
    let mut random = Random(20_261_124);
    // The model: each list's active entries, id to picture number, whether a file has it and whether it was added by hand; and what was
    // active before.
    type Entries = BTreeMap<String, (u64, bool, bool)>;
    let mut model: BTreeMap<&str, (Entries, Option<Entries>)> = BTreeMap::new();
    for name in ["a", "b"] {
        bench.create(name);
        model.insert(name, (BTreeMap::new(), None));
    }
    for step in 0..200 {
        let name = if random.below(2) == 0 { "a" } else { "b" };
        let (active, previous) = model.get_mut(name).unwrap();
        let before = active.clone();
        let version_before = bench.catalog.list(name).unwrap().list.active;
        match random.below(10) {
            0..4 => {
                let entries: Vec<_> =
                    (0..1 + random.below(5)).map(|_| (format!("e{}", random.below(40)), random.below(60))).collect();
                let news = entries.iter().map(|(id, n)| NewEntry {
                    id: Some(id.clone()),
                    category: String::new(),
                    hashes: vec![pdq(*n), md5(*n)],
                    ..NewEntry::default()
                });
                bench.catalog.add(&bench.by, name, news.collect()).unwrap();
                for (id, n) in entries {
                    let of_file = active.get(&id).is_some_and(|(_, of_file, _)| *of_file);
                    active.insert(id, (n, of_file, true));
                }
            }
            4..6 => {
                let ids: BTreeSet<_> = (0..1 + random.below(4)).map(|_| format!("e{}", random.below(40))).collect();
                bench.catalog.remove(&bench.by, name, ids.iter().cloned().collect()).unwrap();
                active.retain(|id, _| !ids.contains(id));
            }
            6..8 => {
                let entries: BTreeMap<_, _> =
                    (0..1 + random.below(30)).map(|_| (format!("e{}", random.below(40)), random.below(60))).collect();
                let text: String = std::iter::once("id,pdq,md5\n".to_owned())
                    .chain(entries.iter().map(|(id, n)| format!("{id},{},{}\n", pdq(*n).hex(), md5(*n).hex())))
                    .collect();
                bench.import(name, &text).unwrap();
                active.retain(|id, (_, of_file, by_hand)| {
                    *of_file = false;
                    *by_hand || entries.contains_key(id)
                });
                for (id, n) in entries {
                    let by_hand = active.get(&id).is_some_and(|(.., by_hand)| *by_hand);
                    active.insert(id, (n, true, by_hand));
                }
            }
            8 => match (bench.catalog.roll_back(&bench.by, name), previous.clone()) {
                (Ok(_), Some(there)) => *active = there,
                (Err(_), None) => {}
                (result, model) => panic!("step {step}: {result:?} where the model has {model:?}"),
            },
            _ => {
                drop(bench);
                bench = open(dir.path());
            }
        }
        let info = bench.catalog.list(name).unwrap();
        let (active, previous) = model.get_mut(name).unwrap();
        assert_eq!(info.rows, active.len() as u64, "step {step}");
        if info.list.active != version_before {
            *previous = (version_before != VersionNo(0)).then_some(before);
        } else {
            assert_eq!(*active, before, "step {step}: the entries changed and the version did not");
        }
        for n in 0..60 {
            let mut expected: Vec<_> = model
                .values()
                .flat_map(|(active, _)| active.iter().filter(|(_, (of, ..))| *of == n))
                .map(|(id, _)| id.clone())
                .collect();
            expected.sort();
            assert_eq!(bench.ids(pdq(n)), expected, "step {step} picture {n}");
            assert_eq!(bench.ids(md5(n)), expected, "step {step} picture {n} by digest");
        }
    }
    bench.assert_sound();
}

#[test]
fn a_hash_that_stays_in_the_list_is_found_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let stays: Vec<_> = (0..5).collect();
    let with_stays = |others: std::ops::Range<u64>| csv(ids_and_numbers(stays.iter().copied().chain(others)));
    bench.import("known", &with_stays(100..3_000)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut asked = 0u64;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                for n in &stays {
                    let verdict = bench.ask(flipped(&pdq(*n), 9));
                    assert_eq!(verdict.outcome, Outcome::Match, "picture {n} after {asked}: {verdict:?}");
                    asked += 1;
                }
            }
            asked
        });
        let merging = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                bench.catalog.merge();
            }
        });
        // Whatever fails here, the others end.
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..6u64 {
                bench.import("known", &with_stays(round * 1_000..round * 1_000 + 15_000)).unwrap();
                for n in 0..20 {
                    bench.add("known", &format!("x{n}"), vec![pdq(90_000 + round * 100 + n)]);
                }
                bench.remove("known", "x3");
                bench.catalog.roll_back(&bench.by, "known").unwrap();
                let more = (0..9_000).map(|n| NewEntry {
                    id: Some(format!("y{n}")),
                    category: String::new(),
                    hashes: vec![pdq(200_000 + round * 10_000 + n)],
                    ..NewEntry::default()
                });
                bench.catalog.add(&bench.by, "known", more.collect()).unwrap();
            }
        }));
        done.store(true, std::sync::atomic::Ordering::Release);
        merging.join().unwrap();
        changed.unwrap();
        looking.join().unwrap()
    });
    assert!(asked > 100, "only {asked} look-ups ran beside the changes");
    bench.assert_sound();
}

/// An extractor during whose work something else happens.
struct Meanwhile {
    extractor: InProcess,
    happens: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Extractor for Meanwhile {
    fn extract(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned> {
        if let Some(happens) = self.happens.lock().unwrap().take() {
            happens();
        }
        self.extractor.extract(bytes, wants, until)
    }
}

/// Which transforms to hash was once asked before decoding, which of them count after it: a list that came in between missed every
/// turned copy, with NO_MATCH.
#[test]
fn a_turned_picture_is_found_by_a_list_that_comes_while_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), Access::Write, hashwarden::catalog::FORMAT_DERIVED).unwrap());
    let published = Arc::new(Published::default());
    let catalog = Arc::new(Catalog::open(store, Access::Write, Default::default(), Some(published.clone())).unwrap());
    let picture = pictures::draw(1, 320, 240);
    let extractor = InProcess::new(Limits::default(), Instant::now);
    let until = Instant::now() + Duration::from_secs(60);
    let upright = extractor.extract(&Edit::Png.apply(&picture).unwrap(), &Wants::ALL, until).unwrap().seen[0].hash.clone();
    let by = Caller("test".to_owned());
    let filled = catalog.clone();
    let happens = Box::new(move || {
        filled.create(&by, "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
        let entry =
            NewEntry { id: Some("one".to_owned()), category: String::new(), hashes: vec![upright], ..NewEntry::default() };
        filled.add(&by, "known", vec![entry]).unwrap();
    });
    let meanwhile = Meanwhile { extractor, happens: std::sync::Mutex::new(Some(happens)) };
    let matcher = Matcher::new(published, Arc::new(meanwhile), Default::default()).unwrap();
    let (send, answer) = mpsc::channel();
    let content = Content::Image(Edit::Rotated90.apply(&picture).unwrap());
    let job = Job { content, lists: Asked::All, views: None, until, caller: Caller("test".to_owned()) };
    matcher.submit(job, move |a| send.send(a).unwrap());
    let verdict = answer.recv().unwrap().verdict;
    assert_eq!(verdict.outcome, Outcome::Match, "{verdict:?}");
    assert_eq!(verdict.matches[0].transform, Transform::Rot90);
}

/// A merge once dropped what was dead and of a disabled list; a roll-back then found the facts there and the hashes not, and the list
/// answered NO_MATCH for what it holds.
#[test]
fn a_merge_while_a_list_is_disabled_leaves_what_a_roll_back_brings_back() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.create("other");
    bench.import("known", &csv(ids_and_numbers(0..1_000))).unwrap();
    bench.import("known", &csv(ids_and_numbers(900..2_000))).unwrap();
    bench.catalog.set_disabled(&bench.by, "known", true).unwrap();
    bench.import("other", &csv(ids_and_numbers(50_000..60_000))).unwrap();
    for round in 0..6u64 {
        let entry = |n| NewEntry {
            id: Some(format!("y{n}")),
            category: String::new(),
            hashes: vec![pdq(200_000 + n)],
            ..NewEntry::default()
        };
        bench.catalog.add(&bench.by, "other", (round * 9_000..(round + 1) * 9_000).map(entry).collect()).unwrap();
    }
    assert!(bench.catalog.merge(), "so many layers are merged");
    bench.catalog.set_disabled(&bench.by, "known", false).unwrap();
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    for n in [0, 500, 899, 950] {
        assert_eq!(bench.ids(pdq(n)), [format!("e{n}")]);
    }
    assert_eq!(bench.ids(pdq(1_500)), Vec::<String>::new());
}

#[test]
fn ten_thousand_entries_with_one_hash_are_found_and_the_rest_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open_with(dir.path(), unchecked());
    bench.create("known");
    let rows: String = (0..10_000).map(|n| format!("e{n:05},{}\n", pdq(1).hex())).collect();
    bench.import("known", &format!("id,pdq\n{rows}")).unwrap();
    let verdict = bench.ask(flipped(&pdq(1), 3));
    assert_eq!((verdict.outcome, verdict.matches.len(), verdict.cut), (Outcome::Match, 100, 9_900));
}

/// Whoever merges in the background finds look-ups behind the store only when they are, not in the moment before a change's snapshot is published: all
/// would be loaded again, which with millions of entries takes many seconds, while writers wait.
#[test]
fn merging_beside_changes_never_loads_all_again() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let rows: String = (0..9_000).map(|n| format!("e{n},{}\n", pdq(n).hex())).collect();
    bench.import("known", &format!("id,pdq\n{rows}")).unwrap();
    let layer = || bench.matcher.snapshot().kinds.pdq.layers[0].clone();
    let (before, done) = (layer(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(!bench.catalog.merge(), "nothing is crowded");
            }
        });
        for n in 0..300 {
            bench.add("known", &format!("new{n}"), vec![pdq(20_000 + n)]);
            assert_eq!(bench.ids(pdq(20_000 + n)), [format!("new{n}")]);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(std::sync::Arc::ptr_eq(&before, &layer()));
}

/// Counted here one pair at a time.
#[test]
fn an_overlap_counts_what_two_lists_share_exactly_and_nearly() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    ["a", "b"].iter().for_each(|list| bench.create(list));
    let mut random = Random(4);
    // Each second entry of "a" is that far from one of "b"; every tenth has a second hash, which is its own alone.
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for n in 0..9_000u64 {
        let own = pdq(n);
        let near = flipped(&own, random.below(40) as usize);
        of_b.push((format!("b{n}"), vec![own]));
        let mut hashes = vec![if n % 2 == 0 { near } else { pdq(50_000 + n) }];
        if n % 10 == 0 {
            hashes.push(pdq(90_000 + n));
        }
        of_a.push((format!("a{n}"), hashes));
    }
    // A hub: near to a hundred entries of "b".
    of_b.extend((0..100).map(|n| (format!("hub{n}"), vec![flipped(&pdq(77_777), n % 20)])));
    of_a.push(("hub".to_owned(), vec![pdq(77_777)]));
    let import = |list: &str, entries: &[(String, Vec<HashValue>)], category: &dyn Fn(usize) -> &'static str| {
        let rows = entries
            .iter()
            .enumerate()
            .flat_map(|(at, (id, hashes))| hashes.iter().map(move |hash| format!("{id},{},{}\n", category(at), hash.hex())));
        bench.import(list, &rows.fold("id,category,pdq\n".to_owned(), |text, row| text + &row)).unwrap();
    };
    import("a", &of_a, &|at| if at < 3_000 { "A1" } else { "B2" });
    import("b", &of_b, &|_| "");

    let nearest = |hashes: &[HashValue]| {
        let all = of_b.iter().flat_map(|(_, others)| others);
        all.flat_map(|other| hashes.iter().map(move |hash| distance(hash, other))).filter(|d| *d <= 31).min()
    };
    let (mut exact, mut near) = ([0u64; 2], [0u64; 2]);
    for (at, (_, hashes)) in of_a.iter().enumerate() {
        match nearest(hashes) {
            Some(0) => exact[usize::from(at >= 3_000)] += 1,
            Some(_) => near[usize::from(at >= 3_000)] += 1,
            None => {}
        }
    }
    let report = bench.catalog.overlap("a", "b", HashKind::Pdq, None, &|| false).unwrap();
    assert_eq!((report.radius, report.entries, report.other_entries), (31, 9_001, 9_100));
    let counted: Vec<_> = report.categories.iter().map(|c| (c.category.as_str(), c.entries, c.exact, c.near)).collect();
    assert_eq!(counted, [("A1", 3_000, exact[0], near[0]), ("B2", 6_001, exact[1], near[1])]);
    assert_eq!((report.exact, report.near), (exact[0] + exact[1], near[0] + near[1]));
    assert_eq!(report.differing, report.exact + report.near, "no entry of \"b\" has a category");
    assert_eq!((report.hubs[0].entry_id.as_str(), report.hubs[0].neighbours), ("hub", 100));
    assert_eq!(report.pairs, exact.iter().sum::<u64>() + near.iter().sum::<u64>() + 99);
    let none = bench.catalog.overlap("a", "b", HashKind::Pdq, Some(0), &|| false).unwrap();
    assert_eq!((none.exact, none.near), (report.exact, 0));

    // A small list against a large one, both ways: the same pairs.
    bench.create("few");
    import("few", &of_a[8_950..], &|_| "");
    let (small, large) = (
        bench.catalog.overlap("few", "b", HashKind::Pdq, None, &|| false).unwrap(),
        bench.catalog.overlap("b", "few", HashKind::Pdq, None, &|| false).unwrap(),
    );
    assert_eq!((small.entries, small.pairs, small.hubs[0].neighbours), (51, large.pairs, 100));
    assert_eq!(large.exact + large.near, small.exact + small.near + 99);

    // A list and itself: the hundred around the hub, no entry with itself, each pair once.
    let own = bench.catalog.overlap("b", "b", HashKind::Pdq, Some(20), &|| false).unwrap();
    let within = (0..100).flat_map(|a| (a + 1..100).map(move |b| (a % 20_i32 - b % 20).abs())).filter(|d| *d <= 20).count();
    assert_eq!((own.exact, own.near, own.pairs), (100, 0, within as u64));
    assert!(bench.catalog.overlap("b", "b", HashKind::Phash64, None, &|| false).unwrap().entries == 0, "no hash of that kind");
}

/// Two thousand entries with one hash, some with others beside it, in a list much of which is near to it: each pair of hashes is counted, and none of an
/// entry with itself.
#[test]
fn an_overlap_counts_hashes_that_many_entries_have() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    let entries: Vec<Vec<HashValue>> = (0..3_000u64)
        .map(|n| match n % 6 {
            0 => vec![pdq(1), flipped(&pdq(1), n as usize % 40)],
            1..4 => vec![pdq(1)],
            4 => vec![flipped(&pdq(1), n as usize % 40), pdq(n)],
            _ => vec![pdq(n)],
        })
        .collect();
    let category = |n: usize| if n.is_multiple_of(7) { "A" } else { "B" };
    let rows = entries
        .iter()
        .enumerate()
        .flat_map(|(n, hashes)| hashes.iter().map(move |hash| format!("e{n},{},{}\n", category(n), hash.hex())));
    bench.import("known", &rows.fold("id,category,pdq\n".to_owned(), |text, row| text + &row)).unwrap();
    for radius in [0, 9, 31] {
        let (mut pairs, mut exact, mut near, mut most, mut differing) = (0, 0, 0, 0, [0; 2]);
        for (a, hashes) in entries.iter().enumerate() {
            // An entry's two equal hashes are one.
            let once = |hashes: &[HashValue]| {
                if hashes.len() == 2 && hashes[0] == hashes[1] { hashes[..1].to_vec() } else { hashes.to_vec() }
            };
            let others = entries.iter().enumerate().filter(|(b, _)| *b != a).flat_map(|(_, others)| once(others));
            let own = once(hashes);
            let distances: Vec<u16> =
                others.flat_map(|other| own.iter().map(move |hash| distance(hash, &other)).collect::<Vec<_>>()).collect();
            let of_another = entries.iter().enumerate().filter(|(b, _)| category(*b) != category(a));
            let mut theirs = of_another.flat_map(|(_, others)| others);
            let differs = theirs.any(|other| own.iter().any(|hash| distance(hash, other) <= radius));
            differing[usize::from(category(a) == "B")] += u64::from(differs);
            let within = distances.iter().filter(|d| **d <= radius).count() as u64;
            pairs += within;
            most = most.max(within);
            match distances.iter().min() {
                Some(0) => exact += 1,
                Some(d) if *d <= radius => near += 1,
                _ => {}
            }
        }
        let report = bench.catalog.overlap("known", "known", HashKind::Pdq, Some(radius), &|| false).unwrap();
        assert_eq!((report.entries, report.exact, report.near, report.pairs), (3_000, exact, near, pairs / 2), "radius {radius}");
        assert_eq!(report.hubs[0].neighbours, most, "radius {radius}");
        let counted: Vec<_> = report.categories.iter().map(|of| of.differing).collect();
        assert_eq!((&counted[..], report.differing), (&differing[..], differing[0] + differing[1]), "radius {radius}");
        assert!(differing[0] > 300 && differing[1] > 1_500, "{differing:?}");
    }
}

/// A list that goes while it is read is gone, not empty; and what nobody waits for ends.
#[test]
fn an_overlap_with_a_list_that_is_deleted_meanwhile_is_right_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    let rows: String = (0..2_000).map(|n| format!("e{n},{}\n", pdq(n).hex())).collect();
    bench.create("stays");
    bench.import("stays", &format!("id,pdq\n{rows}")).unwrap();
    let (mut right, mut gone) = (0, 0);
    for round in 0..30 {
        bench.create("goes");
        bench.import("goes", &format!("id,pdq\n{rows}")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(200 * round));
                bench.catalog.delete(&bench.by, "goes").unwrap();
            });
            for (a, b) in [("stays", "goes"), ("goes", "stays"), ("goes", "goes")] {
                match bench.catalog.overlap(a, b, HashKind::Pdq, None, &|| false) {
                    Ok(report) => {
                        let exact = if a == b { 0 } else { 2_000 };
                        assert_eq!((report.entries, report.other_entries, report.exact), (2_000, 2_000, exact), "{a} and {b}");
                        right += 1;
                    }
                    Err(CatalogError::NoSuchList(name)) if name == "goes" => gone += 1,
                    Err(error) => panic!("{a} and {b}: {error}"),
                }
            }
        });
    }
    assert!(gone > 0, "{right} were right, {gone} too late");
    let no_distance = bench.catalog.overlap("stays", "stays", HashKind::Md5, Some(12), &|| false).unwrap_err();
    assert!(no_distance.to_string().contains("no distance"), "{no_distance}");
    let error = bench.catalog.overlap("stays", "stays", HashKind::Pdq, None, &|| true).unwrap_err();
    assert!(matches!(error, CatalogError::Refused(_)), "{error}");
}

fn distance(a: &HashValue, b: &HashValue) -> u16 {
    let (HashValue::Pdq(a), HashValue::Pdq(b)) = (a, b) else { panic!("two PDQs") };
    a.distance(b)
}

/// So many that they are thinned out on the way: the verdict is the one that all of them would give.
#[test]
fn a_hash_of_a_hundred_thousand_entries_hides_nothing_else() {
    use hashwarden::entry::{Observation, View};
    use hashwarden::snapshot::{KindSet, QUERIES_SURE, Question, Workspace};
    const EQUAL: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let bench = open_with(dir.path(), unchecked());
    bench.create("known");
    let rows: String = (0..EQUAL).map(|n| format!("e{n:06},{}\n", pdq(1).hex())).collect();
    bench.import("known", &format!("id,pdq\n{rows}other,{}\n", pdq(2).hex())).unwrap();
    bench.catalog.create(&bench.by, "harmless", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    bench.add("harmless", "logo", vec![flipped(&pdq(1), 3)]);

    let ask = |frames: &[HashValue]| {
        let seen = frames.iter().zip(0..).flat_map(|(hash, frame)| {
            let rendering = frame;
            // Turned, a frame is this far from the list's hash and no list's policy minds.
            let turned = flipped(hash, 20);
            [(hash.clone(), Transform::Identity), (turned, Transform::Rot90)].map(|(hash, transform)| Observation {
                hash,
                transform,
                frame,
                rendering,
                quality: Some(100),
                view: View::WHOLE,
            })
        });
        let question = Question { seen: seen.collect(), kinds: KindSet::default().with(HashKind::Pdq), ..Question::default() };
        bench.matcher.snapshot().answer(&[question], &mut Workspace::default(), QUERIES_SURE, &|| false).0.remove(0)
    };
    let (logo, shown) = (flipped(&pdq(1), 3), flipped(&pdq(1), 5));
    let verdict = ask(std::slice::from_ref(&logo));
    assert_eq!((verdict.outcome, verdict.suppressed.len(), verdict.cut), (Outcome::NoMatch, 100, EQUAL - 100));
    let verdict = ask(&[logo.clone(), logo.clone(), shown.clone(), logo.clone(), pdq(2), logo]);
    assert_eq!((verdict.outcome, verdict.matches.len(), verdict.suppressed.len()), (Outcome::Match, 100, 0));
    let named: Vec<_> = verdict.matches[..2].iter().map(|m| (m.entry_id.as_str(), m.distance, m.frame)).collect();
    assert_eq!(named, [("other", 0, 4), ("e000000", 5, 2)]);
    assert!(verdict.cut >= EQUAL - 100 && verdict.cut <= EQUAL + 1, "{}", verdict.cut);
    let verdict = ask(&vec![shown.clone(); 64]);
    assert_eq!((verdict.outcome, verdict.matches.len(), verdict.cut), (Outcome::Match, 100, EQUAL - 100));

    // A few hashes that take longer than a few should go on among the batches, and their answers are the same.
    let job = |hashes: usize| Job {
        content: Content::Hashes(vec![GivenHash { hash: shown.clone(), quality: None }; hashes]),
        lists: Asked::All,
        views: None,
        until: Instant::now() + Duration::from_secs(60),
        caller: bench.by.clone(),
    };
    for jobs in [vec![job(1)], vec![job(64)], vec![job(1); 64]] {
        let (send, answers) = mpsc::channel();
        let n = jobs.len();
        bench.matcher.submit_hashes(jobs, move |a| send.send(a).unwrap());
        let answers = answers.recv().unwrap();
        assert!(answers.len() == n && bench.matcher.in_flight() == (0, 0));
        for (at, verdict) in answers.into_iter().map(|answer| answer.verdict).enumerate() {
            assert_eq!((verdict.outcome, verdict.matches.len()), (Outcome::Match, 100));
            // Of so many questions at once, only the first have their entries counted one by one.
            assert!(verdict.cut == EQUAL - 100 || at > 15 && (1..EQUAL).contains(&verdict.cut), "{at}: {}", verdict.cut);
        }
    }

    // One whose time runs out on the way is not looked up for nobody, and answered all the same.
    for millis in [1, 11, 15, 60] {
        let (send, answers) = mpsc::channel();
        let job = Job { until: Instant::now() + Duration::from_millis(millis), ..job(64) };
        bench.matcher.submit_hashes(vec![job], move |a| send.send(a).unwrap());
        let verdict = answers.recv().unwrap().remove(0).verdict;
        let late = (Outcome::NotScanned, Some(hashwarden::entry::Reason::Timeout));
        assert!(verdict.outcome == Outcome::Match || (verdict.outcome, verdict.reason) == late, "{verdict:?}");
        assert_eq!(bench.matcher.in_flight(), (0, 0));
    }

    // A second list's count comes on top.
    let more: String = (0..5_000).map(|n| format!("m{n},{}\n", pdq(1).hex())).collect();
    bench.create("more");
    bench.import("more", &format!("id,pdq\n{more}")).unwrap();
    let verdict = ask(std::slice::from_ref(&shown));
    assert_eq!((verdict.matches.len(), verdict.cut), (200, EQUAL - 100 + 4_900));

    // A list that was not asked adds nothing to the count.
    bench.create("two");
    bench.add("two", "second", vec![shown.clone()]);
    let content = Content::Hashes(vec![GivenHash { hash: shown.clone(), quality: None }; 2]);
    let until = Instant::now() + Duration::from_secs(60);
    let job = Job { content, lists: vec!["two".to_owned()].into(), views: None, until, caller: bench.by.clone() };
    let (send, answer) = mpsc::channel();
    bench.matcher.submit(job, move |a| send.send(a).unwrap());
    let verdict = answer.recv().unwrap().verdict;
    assert_eq!((verdict.outcome, verdict.matches.len(), verdict.cut), (Outcome::Match, 1, 0));

    // Nobody waits for what takes longer than its deadline: it is not answered as if all had been looked up.
    let seen = (0..2_000).map(|rendering| Observation {
        hash: flipped(&pdq(3 + u64::from(rendering)), 1),
        transform: Transform::Identity,
        frame: rendering,
        rendering,
        quality: Some(100),
        view: View::WHOLE,
    });
    let question = Question { seen: seen.collect(), kinds: KindSet::default().with(HashKind::Pdq), ..Question::default() };
    let late = std::cell::Cell::new(0);
    let verdict = bench
        .matcher
        .snapshot()
        .answer(&[question], &mut Workspace::default(), QUERIES_SURE, &|| late.replace(late.get() + 1) == 1)
        .0
        .remove(0);
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::NotScanned, Some(hashwarden::entry::Reason::Timeout)));
}

/// Nobody says which of several hashes belong to one frame, so a harmless one speaks for itself alone.
#[test]
fn a_harmless_hash_does_not_hide_the_others_that_are_given_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    bench.create("known");
    bench.add("known", "x", vec![pdq(1)]);
    bench.catalog.create(&bench.by, "harmless", Polarity::Negative, &PolicyUpdate::default()).unwrap();
    bench.add("harmless", "logo", vec![pdq(2), flipped(&pdq(1), 4)]);
    let ask = |hashes: &[HashValue]| {
        let content = Content::Hashes(hashes.iter().map(|hash| GivenHash { hash: hash.clone(), quality: None }).collect());
        let until = Instant::now() + Duration::from_secs(60);
        let (send, answer) = mpsc::channel();
        let job = Job { content, lists: Asked::All, views: None, until, caller: bench.by.clone() };
        bench.matcher.submit(job, move |a| send.send(a).unwrap());
        answer.recv().unwrap().verdict
    };
    assert_eq!(ask(&[pdq(1), pdq(2)]).outcome, Outcome::Match);
    assert_eq!(ask(&[pdq(2), pdq(1)]).outcome, Outcome::Match);
    assert_eq!(ask(&[flipped(&pdq(1), 4)]).outcome, Outcome::NoMatch);
}

/// An emptied list, or one without the kinds given, was asked for and could not answer.
#[test]
fn a_list_that_is_asked_for_and_holds_nothing_to_search_is_left_out_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path());
    for (list, hash) in [("known", pdq(1)), ("emptied", pdq(2)), ("digests", md5(3))] {
        bench.create(list);
        bench.add(list, "e", vec![hash]);
    }
    bench.remove("emptied", "e");
    let ask_of = |content: Content, lists: &[&str]| {
        let until = Instant::now() + Duration::from_secs(60);
        let lists = lists.iter().map(|l| l.to_string()).collect();
        let (send, answer) = mpsc::channel();
        bench
            .matcher
            .submit(Job { content, lists, views: None, until, caller: bench.by.clone() }, move |a| send.send(a).unwrap());
        answer.recv().unwrap().verdict
    };
    let ask = |lists: &[&str]| ask_of(Content::Hashes(vec![GivenHash { hash: pdq(9), quality: None }]), lists);
    let not_scanned = ask_of(Content::Image(b"no picture".to_vec()), &["known"]);
    assert_eq!((not_scanned.outcome, not_scanned.left_out.len()), (Outcome::NotScanned, 0), "{:?}", not_scanned.left_out);
    assert_eq!(ask(&["known"]).outcome, Outcome::NoMatch);
    for list in ["emptied", "digests"] {
        let verdict = ask(&["known", list]);
        assert_eq!(verdict.outcome, Outcome::Partial);
        assert_eq!(verdict.left_out[0].0, format!("list {list}: it holds no hash of any of the given kinds"));
    }
    assert_eq!(ask(&[]).outcome, Outcome::NoMatch, "of all lists, those that hold something are asked");
}

#[test]
fn every_index_gives_the_same_verdicts_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for (round, choice) in
        [IndexChoice::BkTree, IndexChoice::Linear, IndexChoice::MultiIndex, IndexChoice::BkTree].into_iter().enumerate()
    {
        let mut config = Config::default();
        config.index.pdq = choice;
        config.index.phash64 = choice;
        let bench = open_with(dir.path(), config.clone());
        if round == 0 {
            bench.create("known");
            let rows = (0..2_000).map(|n| format!("e{n},{},{}\n", pdq(n).hex(), phash(n).hex()));
            let text: String = std::iter::once("id,pdq,phash64\n".to_owned()).chain(rows).collect();
            bench.import("known", &text).unwrap();
        }
        let added = 10_000 + round as u64;
        bench.add("known", &format!("e{added}"), vec![pdq(added), phash(added)]);
        bench.assert_sound();
        drop(bench);
        let bench = open_with(dir.path(), config);
        for n in (0..2_000).step_by(37).chain([added]) {
            assert_eq!(bench.ids(flipped(&pdq(n), 31)), [format!("e{n}")], "{choice}");
            assert_eq!(bench.ids(phash(n)), [format!("e{n}")], "{choice}");
        }
        assert_eq!(bench.ask(pdq(5_000)).outcome, Outcome::NoMatch);
        bench.assert_sound();
        assert_eq!(bench.config.index.pdq, choice);
    }
}

#[test]
fn a_stored_bk_tree_answers_over_its_rows_as_the_scan_does() {
    use hashwarden::catalog::bk;
    use hashwarden::index::bk_tree::{NodeHit, search};
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.index.phash64 = IndexChoice::BkTree;
    {
        let bench = open_with(dir.path(), config.clone());
        bench.create("known");
        for n in 0..500 {
            bench.add("known", &format!("e{n}"), vec![phash(n)]);
        }
        bench.assert_sound();
    }
    let store = hashwarden::store::Store::open(dir.path(), Access::Read, hashwarden::catalog::FORMAT_DERIVED).unwrap();
    let tree = bk::tree(&store, HashKind::Phash64).unwrap().expect("the kind keeps a tree");
    assert_eq!(tree.nodes, 500);
    let nodes = bk::StoreNodes::<Hash64>::new(&store, HashKind::Phash64, tree.number);
    let arena = bk::arena::<Hash64>(&store, HashKind::Phash64).unwrap().expect("its rows are a tree");
    let take = |value: HashValue| if let HashValue::Phash64(h) = value { h } else { panic!("a 64-bit hash") };
    let mut scratch = hashwarden::index::Scratch::default();
    let distances = |hits: Vec<NodeHit>| {
        let mut distances: Vec<_> = hits.into_iter().map(|h| h.distance).collect();
        distances.sort_unstable();
        distances
    };
    for q in 0..40 {
        let query = take(phash(q * 31));
        for radius in [0, 4, 8, 20, 32, 64] {
            let (mut over_rows, mut over_arena) = (Vec::new(), Vec::new());
            search(&nodes, &query, radius, &mut scratch, &mut over_rows).unwrap();
            let Ok(_) = search(&arena, &query, radius, &mut scratch, &mut over_arena);
            let mut scan: Vec<_> = (0..500).map(|n| query.distance(&take(phash(n)))).filter(|d| *d <= radius).collect();
            scan.sort_unstable();
            assert_eq!(distances(over_rows), scan, "over rows, radius {radius}");
            assert_eq!(distances(over_arena), scan, "over the arena, radius {radius}");
        }
    }
}

/// The store's own digest is a sum over entries without a key: who knew a version's ids and categories could confirm a hash by it.
#[test]
fn a_versions_digest_is_shown_under_the_stores_key() {
    let shown = |names: [&str; 2]| {
        let dir = tempfile::tempdir().unwrap();
        let bench = open(dir.path());
        names.map(|name| {
            bench.create(name);
            bench.add(name, "x", vec![pdq(1)]);
            bench.catalog.versions(name).unwrap().pop().unwrap().digest
        })
    };
    let (one, two) = (shown(["a", "b"]), shown(["a", "b"]));
    assert_eq!(one[0], one[1], "within a store equal versions have equal digests");
    assert_ne!(one[0], two[0], "they tell nothing outside of it");
}
