//! Does a list leave as a file and come back as the same list, and is a bundle taken only where it should be?

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use std::io::{self, Write};
use std::path::Path;

use hashwarden::app;
use hashwarden::catalog::{
    Catalog, CatalogError, EntryInfo, ExportOptions, ExportReport, ImportOptions, ImportReport, NewEntry, PolicyUpdate, Stopped,
};
use hashwarden::config::Config;
use hashwarden::entry::{Bits, Caller, Details, HashKind, HashValue, Mark, MarkKind, Pdq, Polarity, Status, VersionNo};
use hashwarden::lists::bundle::Seal;
use hashwarden::lists::{Format, SigningKey};
use hashwarden::store::Access;

struct Bench {
    catalog: Catalog,
    by: Caller,
}

/// A store that keeps no version longer than it must.
fn open(dir: &Path, signers: &str) -> Bench {
    let mut config = Config::default();
    config.store.keep.versions_max = 0;
    config.import.trusted_signers = signers.parse().unwrap();
    Bench { catalog: app::lists(dir, &config, Access::Write).unwrap(), by: Caller("test".to_owned()) }
}

fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

fn hash(kind: HashKind, n: u64) -> HashValue {
    let bytes: Vec<u8> = (0..18).flat_map(|word| mixed(n * 18 + word).to_be_bytes()).collect();
    HashValue::from_bytes(kind, &bytes[..kind.bytes()]).unwrap()
}

fn pdq_hex(n: u64) -> String {
    hash(HashKind::Pdq, n).hex()
}

impl Bench {
    fn create(&self, name: &str, polarity: Polarity) {
        self.catalog.create(&self.by, name, polarity, &PolicyUpdate::default()).unwrap();
    }

    fn add(&self, list: &str, entries: Vec<NewEntry>) {
        self.catalog.add(&self.by, list, entries).unwrap();
    }

    fn export(&self, list: &str, options: &ExportOptions) -> (Vec<u8>, ExportReport) {
        let mut out = Vec::new();
        let report = self.catalog.export(&self.by, list, options, &mut out).unwrap();
        assert_eq!(report.bytes, out.len() as u64);
        (out, report)
    }

    fn csv(&self, list: &str) -> Vec<u8> {
        self.export(list, &ExportOptions::default()).0
    }

    fn bundle(&self, list: &str, key: &SigningKey, version: Option<VersionNo>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut seal = Seal::begin(key, &mut out).unwrap();
        let options = ExportOptions { format: Format::Bundle, version, ..ExportOptions::default() };
        let report = self.catalog.export(&self.by, list, &options, &mut seal).unwrap();
        seal.finish(report.entries).unwrap();
        out
    }

    fn import(&self, list: &str, file: &[u8], options: &ImportOptions) -> Result<ImportReport, CatalogError> {
        self.catalog.import(&self.by, list, options, &mut &*file, &mut |_| {})
    }

    fn entry(&self, list: &str, id: &str) -> EntryInfo {
        self.catalog.entry(list, id, true).unwrap()
    }

    fn mark(&self, list: &str, id: &str, kind: MarkKind) {
        let mark = Mark { contents: Vec::new(), kind, until_ms: None, note: "why".to_owned() };
        self.catalog.set_mark(&self.by, list, id, Some(mark)).unwrap();
    }

    fn assert_sound(&self) {
        assert_eq!(self.catalog.verify(&mut |_, _| {}).unwrap().problems, Vec::<String>::new());
    }
}

fn accept() -> ImportOptions {
    ImportOptions { accept: true, ..ImportOptions::default() }
}

/// Entries with whatever an entry can have.
fn odd_entries() -> Vec<NewEntry> {
    let of = |id: &str, n: u64, kinds: &[HashKind]| NewEntry {
        id: Some(id.to_owned()),
        hashes: kinds.iter().enumerate().map(|(at, kind)| hash(*kind, n * 100 + at as u64)).collect(),
        ..NewEntry::default()
    };
    let details = Details {
        tags: vec!["two words".to_owned(), "a,b;c".to_owned()],
        note: " a \"note\"\nof two lines ".to_owned(),
        updated: "yesterday".to_owned(),
        quality: Some(73),
        fields: vec![("id".to_owned(), pdq_hex(7)), ("=cmd".to_owned(), "\u{1b}[2J".to_owned())],
        cut: false,
    };
    let mut entries = vec![
        NewEntry { details: details.clone(), ..of(" leading", 1, &HashKind::ALL) },
        NewEntry { category: " A1, \"x\"".to_owned(), ..of("=1+1", 2, &[HashKind::Pdq; 5]) },
        NewEntry { status: Status::Withdrawn, details, ..of("taken back", 3, &[HashKind::Pdq, HashKind::Pdq, HashKind::Md5]) },
        NewEntry { status: Status::Disputed, category: "B2".to_owned(), ..of("42/img", 4, &[HashKind::Sha1]) },
        of(&pdq_hex(5), 5, &[HashKind::Sha256]),
    ];
    entries.extend((0..300).map(|n| of(&format!("e{n}"), 1_000 + n, &[HashKind::Pdq])));
    entries
}

#[test]
fn a_list_comes_back_from_a_csv_and_from_a_bundle_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (key, _) = SigningKey::generate().unwrap();
    let bench = open(dir.path(), &format!("us={}", key.public()));
    bench.create("from", Polarity::Positive);
    bench.add("from", odd_entries());
    let file = bench.csv("from");
    let text = String::from_utf8(file.clone()).unwrap();
    assert!(
        text.starts_with("id,category,entry_status,pdq,phash64,dhash64,md5,sha1,sha256,photodna,hashwarden\n"),
        "{text:.200}"
    );
    for (list, file) in [("csv", file.clone()), ("bundle", bench.bundle("from", &key, None))] {
        bench.create(list, Polarity::Positive);
        let report = bench.import(list, &file, &accept()).unwrap();
        assert_eq!((report.rows_bad, report.entries, report.activated), (0, 305, true), "{:?}", report.bad);
        assert!(bench.csv(list) == file || list != "csv", "the same bytes");
        assert!(bench.csv(list) == bench.csv("from"), "{list}");
        for of in odd_entries() {
            let id = of.id.unwrap();
            let (was, is) = (bench.entry("from", &id), bench.entry(list, &id));
            assert_eq!(
                (&is.category, is.status, &is.hashes, &is.details),
                (&was.category, was.status, &was.hashes, &was.details)
            );
            assert!(is.details == of.details && is.hashes.len() == of.hashes.len(), "{id}");
        }
    }
    // What was imported already is no change.
    assert_eq!(bench.import("csv", &file, &accept()).unwrap().version, None);
    bench.assert_sound();
}

#[test]
fn what_matches_nowhere_here_is_written_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), "");
    bench.create("known", Polarity::Positive);
    let entry = |id: &str, n| NewEntry { id: Some(id.to_owned()), hashes: vec![hash(HashKind::Pdq, n)], ..NewEntry::default() };
    bench.add("known", vec![entry("a", 1), entry("b", 2), entry("c", 3), entry("d", 4)]);
    bench.mark("known", "b", MarkKind::Disabled);
    bench.mark("known", "c", MarkKind::Quarantined);
    bench.mark("known", "d", MarkKind::Noted);
    let statuses = |format: Format, stopped: Stopped| {
        let (out, report) = bench.export("known", &ExportOptions { format, stopped, ..ExportOptions::default() });
        assert_eq!(report.stopped, 2);
        (String::from_utf8(out).unwrap(), report.entries, report.left_out)
    };
    let of = |stopped| {
        let (text, ..) = statuses(Format::Csv, stopped);
        text.lines().skip(1).map(|row| row.split(',').step_by(2).take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(of(Stopped::Withdrawn), ["a ACTIVE", "b WITHDRAWN", "c WITHDRAWN", "d ACTIVE"]);
    assert_eq!(of(Stopped::LeftOut), ["a ACTIVE", "d ACTIVE"]);
    assert_eq!(of(Stopped::AsTheyAre), ["a ACTIVE", "b ACTIVE", "c ACTIVE", "d ACTIVE"]);
    let (text, entries, left_out) = statuses(Format::PdqText, Stopped::Withdrawn);
    assert_eq!((text, entries, left_out), (format!("{}\n{}\n", pdq_hex(1), pdq_hex(4)), 2, 2));
    let (text, ..) = statuses(Format::NcmecXml, Stopped::Withdrawn);
    assert_eq!((text.matches("<image>").count(), text.matches("<deletedImage>").count()), (2, 2), "{text}");

    // In another list they are there and match no more.
    bench.create("other", Polarity::Positive);
    bench.import("other", &bench.csv("known"), &accept()).unwrap();
    assert_eq!(
        [("b", Status::Withdrawn), ("d", Status::Active)].map(|(id, is)| bench.entry("other", id).status == is),
        [true; 2]
    );
}

#[test]
fn one_source_of_a_list_can_be_had_alone() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), "");
    bench.create("known", Polarity::Positive);
    let of = |feed: &str| ImportOptions { feed: feed.to_owned(), ..accept() };
    let rows = |ns: &[u64]| format!("id,pdq\n{}", ns.iter().map(|n| format!("{n},{}\n", pdq_hex(*n))).collect::<String>());
    bench.import("known", rows(&[1, 2]).as_bytes(), &of("one")).unwrap();
    bench.import("known", rows(&[2, 3]).as_bytes(), &of("two")).unwrap();
    let entries = |source: Option<&str>| {
        let options = ExportOptions { source: source.map(str::to_owned), ..ExportOptions::default() };
        bench.export("known", &options).1.entries
    };
    assert_eq!((entries(None), entries(Some("one")), entries(Some("local"))), (3, 2, 0));
    let wrong = ExportOptions { source: Some("three".to_owned()), ..ExportOptions::default() };
    let refused = bench.catalog.export(&bench.by, "known", &wrong, &mut io::sink()).unwrap_err().to_string();
    assert_eq!(refused, "list \"known\" has no such source; it has import, local, one, two");
}

/// Does something once, when so many bytes were written.
struct Meanwhile<F: FnOnce()> {
    bytes: Vec<u8>,
    at: usize,
    work: Option<F>,
}

impl<F: FnOnce()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > self.at
            && let Some(work) = self.work.take()
        {
            work();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The version that is exported is dropped half-way, with all that it alone held: another file replaces the list, twice, and entries are added by hand.
#[test]
fn an_export_has_the_version_that_it_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), "");
    bench.create("known", Polarity::Positive);
    bench.add("known", odd_entries());
    let before = bench.csv("known");
    let file =
        |first: u64| format!("id,pdq\n{}", (first..first + 500).map(|n| format!("e{n},{}\n", pdq_hex(n))).collect::<String>());
    let mut out = Meanwhile {
        bytes: Vec::new(),
        at: before.len() / 2,
        work: Some(|| {
            let local: Vec<String> = odd_entries().into_iter().filter_map(|entry| entry.id).collect();
            bench.catalog.remove(&bench.by, "known", local).unwrap();
            for first in [10_000, 20_000, 30_000] {
                bench.import("known", file(first).as_bytes(), &accept()).unwrap();
            }
            bench.add(
                "known",
                vec![NewEntry { id: Some("late".into()), hashes: vec![hash(HashKind::Md5, 1)], ..NewEntry::default() }],
            );
        }),
    };
    let report = bench.catalog.export(&bench.by, "known", &ExportOptions::default(), &mut out).unwrap();
    assert_eq!((report.entries, report.version), (305, VersionNo(1)));
    assert!(out.work.is_none() && out.bytes == before);
    assert_eq!(bench.export("known", &ExportOptions::default()).1.entries, 501);
    // What waited for the export to end goes now.
    bench.import("known", file(40_000).as_bytes(), &accept()).unwrap();
    assert!(!bench.catalog.versions("known").unwrap().iter().any(|version| version.version == VersionNo(1)));
    bench.assert_sound();
}

#[test]
fn an_export_of_a_list_that_is_deleted_meanwhile_fails() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open(dir.path(), "");
    bench.create("known", Polarity::Positive);
    bench.add("known", odd_entries());
    let work = Some(|| bench.catalog.delete(&bench.by, "known").unwrap());
    let mut out = Meanwhile { bytes: Vec::new(), at: 1_000, work };
    let failed = bench.catalog.export(&bench.by, "known", &ExportOptions::default(), &mut out).unwrap_err();
    assert!(matches!(failed, CatalogError::NoSuchList(_)), "{failed}");
}

#[test]
fn a_bundle_is_taken_from_whom_the_operator_trusts_and_no_older_one_after_it() {
    let (key, _) = SigningKey::generate().unwrap();
    let (stranger, _) = SigningKey::generate().unwrap();
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sender = open(theirs.path(), "");
    sender.create("list", Polarity::Positive);
    let entry = |id: &str, n| NewEntry { id: Some(id.to_owned()), hashes: vec![hash(HashKind::Pdq, n)], ..NewEntry::default() };
    sender.add("list", vec![entry("a", 1), entry("b", 2)]);
    let first = sender.bundle("list", &key, None);
    sender.catalog.remove(&sender.by, "list", vec!["b".to_owned()]).unwrap();
    let second = sender.bundle("list", &key, None);

    let receiver = open(ours.path(), &format!("hotline={}", key.public()));
    receiver.create("known", Polarity::Positive);
    receiver.create("harmless", Polarity::Negative);
    let state = |bench: &Bench| format!("{:?} {:?}", bench.catalog.lists().unwrap(), bench.catalog.versions("known").unwrap());
    let empty = state(&receiver);
    let refused = |list: &str, file: &[u8], options: &ImportOptions, words: &str| {
        let before = state(&receiver);
        let said = receiver.import(list, file, options).unwrap_err().to_string();
        assert!(said.starts_with("nothing was imported: ") && said.contains(words), "{said}");
        assert_eq!(state(&receiver), before);
    };
    let usual = ImportOptions::default();
    let unknown = sender.bundle("list", &stranger, None);
    refused("known", &unknown, &usual, &format!("add NAME={} to [import] trusted_signers", stranger.public()));
    refused("known", &first[..first.len() - 2], &usual, "bundle");
    refused("known", &first[..first.len() / 2], &usual, "");
    let altered = String::from_utf8(first.clone()).unwrap().replace(&pdq_hex(2), &pdq_hex(3));
    refused("known", altered.as_bytes(), &usual, "the signature is not that of the signer");
    refused("harmless", &first, &usual, "the bundle is of a positive list, and list \"harmless\" is negative");
    refused("known", &first, &ImportOptions { delta: true, ..ImportOptions::default() }, "no delta");
    assert_eq!(state(&receiver), empty);

    let dry = receiver.import("known", &second, &ImportOptions { dry_run: true, ..ImportOptions::default() }).unwrap();
    assert_eq!((dry.version, dry.bundle.unwrap().signer.as_str()), (None, "hotline"));
    assert_eq!(receiver.import("known", &first, &usual).unwrap().entries, 2);
    let report = receiver.import("known", &second, &usual).unwrap();
    let bundled = report.bundle.unwrap();
    assert_eq!((report.gone, bundled.signer.as_str(), bundled.list.as_str(), bundled.version), (1, "hotline", "list", 2));
    refused("known", &first, &usual, "the bundle has version 1 of hotline's list \"list\", and version 2 was imported already");
    // Not even by a store that was opened anew, with derived rows that were lost.
    assert_eq!(receiver.import("known", &second, &usual).unwrap().version, None, "the same one again");
    // An entry is disabled without a new version: what was exported before is older.
    sender.mark("list", "a", MarkKind::Disabled);
    let third = sender.bundle("list", &key, None);
    let report = receiver.import("known", &third, &usual).unwrap();
    assert_eq!((report.bundle.unwrap().version, receiver.entry("known", "a").status), (2, Status::Withdrawn));
    refused("known", &second, &usual, "a later export of hotline's list \"list\" was imported already");
    drop(receiver);
    let receiver = open(ours.path(), &format!("hotline={}", key.public()));
    let again = receiver.import("known", &first, &usual).unwrap_err().to_string();
    assert!(again.contains("give --accept"), "{again}");
    assert_eq!(receiver.import("known", &first, &accept()).unwrap().entries, 2);
    assert!(Pdq::from_bytes(&receiver.entry("known", "b").hashes[0].to_vec()).is_some());
    receiver.assert_sound();
}
