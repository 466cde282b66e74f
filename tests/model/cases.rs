//! What the model found, each as a story of its own: sources of entries where imports, edits and roll-backs meet.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashwarden::catalog::{ImportOptions, ImportReport, Keep, Phase, PolicyUpdate};
use hashwarden::entry::{Caller, Polarity, Sources, Status};
use hashwarden::index::IndexChoice;
use tempfile::TempDir;

use super::operations::{import_options, new_entry};
use super::sources::{Held, Said, source};
use super::stored::assert_entries;
use super::threads::World;
use super::universe::{COLUMNS, Universe, csv_rows, id};

const LIST: &str = "small";

struct Case {
    world: World,
    by: Caller,
    _dir: TempDir,
}

impl Case {
    fn new() -> Self {
        let (dir, by) = (tempfile::tempdir().unwrap(), Caller("somebody".to_owned()));
        let world = World::open(dir.path(), Arc::new(Universe::new()), Keep::ALL, IndexChoice::Auto);
        world.catalog.create(&by, LIST, Polarity::Positive, &PolicyUpdate::default()).unwrap();
        Case { world, by, _dir: dir }
    }

    fn add(&self, n: u32) {
        let entry = new_entry(&self.world.universe, (n, said(0)));
        self.world.catalog.add(&self.by, LIST, vec![entry]).unwrap();
    }

    fn remove(&self, n: u32) {
        self.world.catalog.remove(&self.by, LIST, vec![id(n)]).unwrap();
    }

    fn roll_back(&self) {
        self.world.catalog.roll_back(&self.by, LIST).unwrap();
    }

    /// Imports a file that says one thing of some ids; `beside` is done when the version is written.
    fn import(&self, options: ImportOptions, ids: &[u32], details: u8, beside: impl Fn()) -> ImportReport {
        let rows = ids.iter().flat_map(|n| csv_rows(&self.world.universe, *n, Some(said(details))));
        let text = format!("{COLUMNS}\n{}\n", rows.collect::<Vec<_>>().join("\n"));
        let mut due = Some(beside);
        let report = self.world.catalog.import(&self.by, LIST, &options, &mut text.as_bytes(), &mut |progress| {
            if progress.phase == Phase::Writing
                && let Some(beside) = due.take()
            {
                beside();
            }
        });
        report.unwrap()
    }

    /// Ids with their details and sources.
    fn assert_holds(&self, expected: &[(u32, u8, &[&str])]) {
        let held = |details, feeds: &[&str]| {
            let sources = feeds.iter().map(|feed| source(feed)).fold(Sources(0), Sources::with);
            Held { said: said(details), sources }
        };
        let holding = expected.iter().map(|(n, details, feeds)| (*n, held(*details, feeds))).collect();
        assert_entries(&self.world.catalog, &self.world.universe, LIST, &holding, &BTreeMap::new());
        self.world.assert_sound();
    }
}

fn said(details: u8) -> Said {
    Said { variant: 0, status: Status::Active, details }
}

fn whole() -> ImportOptions {
    import_options()
}

fn delta(feed: &str) -> ImportOptions {
    ImportOptions { feed: feed.to_owned(), delta: true, ..import_options() }
}

fn nothing() {}

/// Entries that were added by hand, and that a roll-back had taken out, were brought back by another roll-back while an import was written.
/// The import dropped them: they matched no more, and nothing said so.
#[test]
fn what_a_roll_back_brings_back_beside_an_import_stays() {
    let case = Case::new();
    case.import(whole(), &[1, 2], 0, nothing);
    case.add(3);
    case.roll_back();
    case.import(whole(), &[1, 2, 4], 0, || case.roll_back());
    case.assert_holds(&[(1, 0, &["import"]), (2, 0, &["import"]), (3, 0, &["local"]), (4, 0, &["import"])]);
}

/// An entry was added that was there already, and then taken out by a roll-back, both while an import was written. The import took it out
/// too, as if somebody had removed it, although its file has it: it was missed until the next import.
#[test]
fn what_a_roll_back_takes_out_beside_an_import_comes_with_its_file() {
    let case = Case::new();
    case.import(whole(), &[1], 0, nothing);
    case.add(2);
    let report = case.import(whole(), &[1, 2], 0, || {
        case.add(2);
        case.roll_back();
    });
    assert!(report.activated);
    case.assert_holds(&[(1, 0, &["import"]), (2, 0, &["import"])]);
}

/// A version of another source waited that held the same: it was activated in place of the file's own. The entries were of the wrong source,
/// and went with the next file of that.
#[test]
fn a_version_that_waits_is_another_source_s() {
    let case = Case::new();
    case.import(whole(), &[1], 0, nothing);
    let waits = case.import(ImportOptions { activate: false, ..delta("alpha") }, &[2], 0, nothing);
    let again = case.import(ImportOptions { activate: false, ..delta("alpha") }, &[2], 0, nothing);
    assert_eq!(again.version, waits.version, "the same of the same source is one version");
    let other = case.import(delta("beta"), &[2], 0, nothing);
    assert_ne!(other.version, waits.version);
    case.assert_holds(&[(1, 0, &["import"]), (2, 0, &["beta"])]);
}

/// The same, where one says more of the entries, and where one says something of entries that are there.
#[test]
fn a_version_that_waits_says_something_else() {
    let case = Case::new();
    case.import(whole(), &[1], 0, nothing);
    let waits = case.import(ImportOptions { activate: false, ..whole() }, &[1, 2], 0, nothing);
    let other = case.import(whole(), &[1, 2], 2, nothing);
    assert_ne!(other.version, waits.version);
    case.assert_holds(&[(1, 2, &["import"]), (2, 2, &["import"])]);

    case.import(ImportOptions { activate: false, ..delta("alpha") }, &[1, 3], 0, nothing);
    case.import(delta("import"), &[3], 0, nothing);
    case.assert_holds(&[(1, 2, &["import"]), (2, 2, &["import"]), (3, 0, &["import"])]);
}

/// An entry was removed by hand, which takes it from all its sources, and added again while an import of one of them was written. The others
/// had it back.
#[test]
fn what_was_removed_by_hand_beside_an_import_is_of_its_file_and_no_other() {
    let case = Case::new();
    case.import(whole(), &[1, 2], 0, nothing);
    case.import(delta("alpha"), &[1, 2], 1, nothing);
    case.import(delta("beta"), &[1, 3], 1, || {
        case.remove(1);
        case.add(1);
        case.remove(2);
        case.add(2);
    });
    case.assert_holds(&[(1, 1, &["local", "beta"]), (2, 0, &["local"]), (3, 1, &["beta"])]);
}
