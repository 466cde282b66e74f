//! What do threads do to lists? Operations drawn by number, done on a catalog, each with what came of it.
//!
//! Every operation has a caller of its own, so that the changes that it made can be told by the name of who asked. Being refused is a
//! result like others where the operation can be refused; any other failure ends the test.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hashwarden::catalog::{
    ActionRule, Catalog, CatalogError, EditReport, ImportOptions, ImportReport, ListInfo, NewEntry, PolicyUpdate, RadiusRule,
};
use hashwarden::demo::pictures::Random;
use hashwarden::entry::{Action, Caller, HashKind, Mark, MarkKind, Polarity, VersionNo};
use hashwarden::lists::{Format, Mapping};
use hashwarden::store::Store;

use super::sources::Said;
use super::universe::{
    CATEGORIES, COLUMNS, FEEDS, File, HOT, Shape, Universe, VARIANTS, details, id, in_hundred, one_of, some_said,
};

/// Lists that are always there.
pub const LASTING: [&str; 5] = ["large", "middle", "small", "busy", "harmless"];
/// Lists that come and go.
pub const PASSING: [&str; 4] = ["passing-1", "passing-2", "passing-3", "passing-harmless"];

pub fn list_name(name: &str) -> &'static str {
    LASTING.into_iter().chain(PASSING).find(|known| *known == name).unwrap_or_else(|| panic!("nobody made a list {name:?}"))
}

pub fn polarity(list: &str) -> Polarity {
    if list.ends_with("harmless") { Polarity::Negative } else { Polarity::Positive }
}

fn is_passing(list: &str) -> bool {
    PASSING.contains(&list)
}

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub list: &'static str,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Ids and what is said of them.
    Add(Vec<(u32, Said)>),
    Remove(Vec<u32>),
    Set(Box<PolicyUpdate>),
    Disable(bool),
    RollBack,
    /// The version so many before the newest.
    Activate {
        before_head: u32,
    },
    Import {
        file: File,
        activate: bool,
        accept: bool,
    },
    ImportSpoilt(Spoilt),
    /// Sets a mark, or takes it off.
    Mark(u32, Option<Marking>),
    Create,
    Delete,
    LookUp,
}

/// A mark that is to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marking {
    pub kind: MarkKind,
    pub note: &'static str,
    /// `None`: until it is taken off.
    pub lasts_ms: Option<u64>,
}

/// Files that fail as a whole, early or late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    Empty,
    NoRows,
    Unreadable,
    CutOff,
    /// So many rows have one id, the last, that what was written is taken back.
    OneIdTooOften,
}

#[derive(Debug)]
pub enum Outcome {
    Edited(EditReport),
    Listed(Box<ListInfo>),
    Imported(Box<ImportReport>),
    /// The mark that an id was to have.
    Marked(Option<Mark>),
    Deleted,
    LookedUp,
    /// Why.
    Refused(String),
}

/// An operation that was done.
#[derive(Debug)]
pub struct Done {
    pub operation: Operation,
    pub outcome: Outcome,
    /// The last change before it began.
    pub began: u64,
    /// Of an import: the last change when it was seen to be running.
    pub running: u64,
    /// The number of the first snapshot that its thread loaded afterwards.
    pub seen: u64,
}

impl Operation {
    pub fn draw(random: &mut Random) -> Operation {
        let list = if in_hundred(random, 25) { one_of(random, &PASSING) } else { one_of(random, &LASTING) };
        let act = match random.below(1000) {
            0..290 => Act::Add((0..1 + random.below(3)).map(|_| some_entry(random)).collect()),
            290..420 => Act::Remove((0..1 + random.below(2)).map(|_| some_entry(random).0).collect()),
            420..500 => Act::Set(Box::new(update(random, list))),
            500..570 => Act::Disable(in_hundred(random, 35)),
            570..635 => Act::RollBack,
            635..695 => {
                let far = one_of(random, &[3, 12, 12, 300]);
                Act::Activate { before_head: random.below(far) as u32 }
            }
            695..745 => return import(random, list),
            745..795 => {
                Act::Import { file: delta(random, list), activate: in_hundred(random, 85), accept: in_hundred(random, 70) }
            }
            795..810 => {
                let all = [Spoilt::Empty, Spoilt::NoRows, Spoilt::Unreadable, Spoilt::CutOff, Spoilt::OneIdTooOften];
                Act::ImportSpoilt(one_of(random, &all))
            }
            810..830 => return Operation { list: one_of(random, &PASSING), act: Act::Create },
            830..832 => return Operation { list: one_of(random, &PASSING), act: Act::Delete },
            832..922 => Act::Mark(random.below(MARKED) as u32, marking(random)),
            _ => Act::LookUp,
        };
        Operation { list, act }
    }

    pub fn perform(self, catalog: &Catalog, store: &Store, universe: &Universe, by: &Caller) -> Done {
        let (list, began) = (self.list, store.seq().unwrap());
        let mut running = began;
        let listed = |result: Result<ListInfo, CatalogError>| result.map(|info| Outcome::Listed(Box::new(info)));
        let result = match &self.act {
            Act::Add(entries) => {
                catalog.add(by, list, entries.iter().map(|of| new_entry(universe, *of)).collect()).map(Outcome::Edited)
            }
            Act::Remove(ids) => catalog.remove(by, list, ids.iter().map(|n| id(*n)).collect()).map(Outcome::Edited),
            Act::Set(update) => listed(catalog.set(by, list, update)),
            Act::Disable(disabled) => listed(catalog.set_disabled(by, list, *disabled)),
            Act::RollBack => listed(catalog.roll_back(by, list)),
            Act::Activate { before_head } => listed(catalog.list(list).and_then(|info| {
                let version = VersionNo(info.list.head.0.saturating_sub(*before_head).max(1));
                catalog.activate(by, list, version)
            })),
            Act::Import { file, activate, accept } => {
                let text = file.csv(universe);
                let (feed, delta) = (file.feed.to_owned(), file.delta);
                let options = ImportOptions { activate: *activate, accept: *accept, feed, delta, ..import_options() };
                imported(catalog, by, list, &options, Pieces::of(&text), &mut || running = running.max(store.seq().unwrap()))
            }
            Act::ImportSpoilt(how) => {
                let text = how.text(universe);
                let input = Pieces { fails: *how == Spoilt::CutOff, ..Pieces::of(&text) };
                imported(catalog, by, list, &import_options(), input, &mut || {})
            }
            Act::Mark(n, marking) => {
                let mark = marking.map(Marking::mark);
                catalog.set_mark(by, list, &id(*n), mark.clone()).map(|()| Outcome::Marked(mark))
            }
            Act::Create => listed(catalog.create(by, list, polarity(list), &PolicyUpdate::default())),
            Act::Delete => catalog.delete(by, list).map(|()| Outcome::Deleted),
            Act::LookUp => Ok(Outcome::LookedUp),
        };
        let outcome = match result {
            Err(error) if self.may_be_refused(&error) => Outcome::Refused(error.to_string()),
            Err(error) => panic!("{self:?} by {} failed: {error}", by.0),
            Ok(outcome) => {
                assert!(!matches!(self.act, Act::ImportSpoilt(_)), "{self:?} by {} succeeded: {outcome:?}", by.0);
                outcome
            }
        };
        Done { operation: self, outcome, began, running, seen: 0 }
    }

    fn may_be_refused(&self, error: &CatalogError) -> bool {
        match (error, &self.act) {
            (CatalogError::NoSuchList(name), Act::Set(update)) => {
                is_passing(name) && (name == self.list || update.scope.is_some())
            }
            (CatalogError::NoSuchList(name), _) => is_passing(name) && name == self.list,
            (CatalogError::ListExists(_), Act::Create) => true,
            (CatalogError::NoSuchVersion { .. }, Act::Activate { .. }) => true,
            (CatalogError::Busy, Act::Import { .. } | Act::ImportSpoilt(_)) => true,
            (CatalogError::BadFile(_), Act::ImportSpoilt(_)) => true,
            (CatalogError::BadFile(why), Act::Import { .. }) => why.starts_with(LEAVES_NOTHING),
            (CatalogError::NoSuchEntry { .. }, Act::Mark(..)) => true,
            // Its time was over when it was to be set.
            (CatalogError::Invalid(_), Act::Mark(_, Some(marking))) => marking.lasts_ms.is_some(),
            // Nothing to roll back to; in the scope of another list.
            (CatalogError::Refused(_), Act::RollBack | Act::Delete) => true,
            // A category has no radius of its own.
            (CatalogError::Invalid(_), Act::Set(update)) => !update.radii_removed.is_empty(),
            _ => false,
        }
    }
}

/// Why an import is refused that would take out all that its list has.
pub const LEAVES_NOTHING: &str = "the file would leave the list empty";

fn some_entry(random: &mut Random) -> (u32, Said) {
    let (n, variant) = (random.below(HOT as usize) as u32, random.below(usize::from(VARIANTS)) as u8);
    (n, some_said(random, variant, 8))
}

pub fn new_entry(universe: &Universe, (n, said): (u32, Said)) -> NewEntry {
    let entry = universe.entry(n, said.content());
    NewEntry {
        id: Some(entry.id.clone()),
        category: entry.category.clone(),
        hashes: entry.hashes.clone(),
        status: entry.status,
        details: details(n, said.details),
    }
}

/// Marks are about the first ids.
const MARKED: usize = 24;
/// So long lasts a mark that ends by itself at most.
pub const MARKED_MS_MAX: u64 = 60;

fn marking(random: &mut Random) -> Option<Marking> {
    let lasts_ms = in_hundred(random, 25).then(|| random.below(MARKED_MS_MAX as usize) as u64);
    let marking = Marking { kind: one_of(random, &MarkKind::ALL), note: one_of(random, &["", "asked for"]), lasts_ms };
    in_hundred(random, 65).then_some(marking)
}

impl Marking {
    fn mark(self) -> Mark {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        Mark { contents: Vec::new(), kind: self.kind, until_ms: self.lasts_ms.map(|ms| now_ms + ms), note: self.note.to_owned() }
    }
}

/// The same file once more, of any source.
pub fn again(random: &mut Random, file: &File) -> Act {
    Act::Import { file: File { feed: any_feed(random), ..*file }, activate: in_hundred(random, 85), accept: true }
}

fn any_feed(random: &mut Random) -> &'static str {
    FEEDS[one_of(random, &[0, 0, 2, 3, 4])]
}

fn import(random: &mut Random, list: &'static str) -> Operation {
    // Large ones take long, and so do those that wait for them.
    let shape = match list {
        "large" => Shape::Large,
        "middle" => Shape::Middle,
        _ => Shape::Small,
    };
    let list = if shape == Shape::Large && in_hundred(random, 35) { "small" } else { list };
    let shape = if list == "small" { Shape::Small } else { shape };
    let bad = if in_hundred(random, 10) { 1 + random.below(3) as u32 } else { 0 };
    // What another source has is less, most often.
    let feed = if in_hundred(random, 65) { FEEDS[0] } else { one_of(random, &FEEDS[2..]) };
    let short = feed != FEEDS[0] && in_hundred(random, 80);
    let file = File { shape, seed: random.next_u64(), feed, delta: false, short, shifted: in_hundred(random, 35), bad };
    Operation { list, act: Act::Import { file, activate: in_hundred(random, 85), accept: in_hundred(random, 70) } }
}

/// Some are there often, so that they say what was said before, or what another version says.
fn delta(random: &mut Random, list: &str) -> File {
    let shape = if matches!(list, "large" | "middle") { Shape::Middle } else { Shape::Small };
    let seed = if in_hundred(random, 60) { random.below(3) as u64 } else { random.next_u64() };
    let (feed, bad) = (any_feed(random), u32::from(in_hundred(random, 5)));
    File { shape, seed, feed, delta: true, short: in_hundred(random, 90), shifted: in_hundred(random, 10), bad }
}

fn update(random: &mut Random, list: &str) -> PolicyUpdate {
    let mut update = PolicyUpdate::default();
    let (kind, radii) = if in_hundred(random, 70) { (HashKind::Pdq, [0, 16, 31, 44]) } else { (HashKind::Phash64, [0, 2, 4, 6]) };
    let category = in_hundred(random, 40).then(|| one_of(random, &CATEGORIES[1..]).to_owned());
    match random.below(if polarity(list) == Polarity::Negative { 7 } else { 6 }) {
        0 | 1 => update.radii.push(RadiusRule { category, kind, radius: one_of(random, &radii) }),
        2 => update.radii_removed.push((category.unwrap_or_else(|| "A".to_owned()), kind)),
        3 => update.quality_min = Some(one_of(random, &[0, 30, 50, 90])),
        4 => update.actions.push(ActionRule { category, kind: Some(kind), action: one_of(random, &Action::ALL) }),
        5 => update.shadow = Some(in_hundred(random, 30)),
        _ => {
            let positive = |name: &&&str| polarity(name) == Polarity::Positive;
            let all: Vec<&str> = LASTING.iter().chain(&PASSING).filter(positive).copied().collect();
            update.scope = Some((0..random.below(3)).map(|_| one_of(random, &all).to_owned()).collect());
        }
    }
    update
}

pub fn import_options() -> ImportOptions {
    ImportOptions {
        format: Some(Format::Csv),
        mapping: Mapping::default(),
        source: "file.csv".to_owned(),
        activate: true,
        dry_run: false,
        accept: true,
        ..ImportOptions::default()
    }
}

fn imported(
    catalog: &Catalog,
    by: &Caller,
    list: &str,
    options: &ImportOptions,
    input: Pieces<'_>,
    began: &mut dyn FnMut(),
) -> Result<Outcome, CatalogError> {
    let mut first = true;
    let report = catalog.import(by, list, options, &mut BufReader::new(input), &mut |_| {
        if std::mem::take(&mut first) {
            began();
        }
    });
    report.map(|report| Outcome::Imported(Box::new(report)))
}

impl Spoilt {
    fn text(self, universe: &Universe) -> String {
        match self {
            Spoilt::Empty => String::new(),
            Spoilt::NoRows => format!("{COLUMNS}\n"),
            Spoilt::Unreadable => format!("{COLUMNS}\n{}", "x,A,12,34,56,,,,,,,\n".repeat(300)),
            Spoilt::CutOff => File::whole(Shape::Middle, 1).csv(universe),
            Spoilt::OneIdTooOften => {
                let file = File { shifted: true, ..File::whole(Shape::Middle, 2) };
                let pdq = universe.entry(0, Default::default()).hashes[0].hex();
                let row = format!("zzz,,{pdq},,,,,,{},,,\n", "much ".repeat(3_000));
                file.csv(universe) + &row.repeat(1_200)
            }
        }
    }
}

/// A file that is read a piece at a time, with time for others in between.
struct Pieces<'t> {
    rest: &'t [u8],
    /// The second half can't be read.
    fails: bool,
    half: usize,
}

impl<'t> Pieces<'t> {
    fn of(text: &'t str) -> Self {
        Pieces { rest: text.as_bytes(), fails: false, half: text.len() / 2 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.fails && self.rest.len() <= self.half {
            return Err(io::Error::other("the file can't be read any further"));
        }
        std::thread::yield_now();
        let (piece, rest) = self.rest.split_at(self.rest.len().min(out.len()).min(8 * 1024));
        out[..piece.len()].copy_from_slice(piece);
        self.rest = rest;
        Ok(piece.len())
    }
}

/// A caller for each operation of each thread.
pub fn caller(thread: usize, n: usize) -> Caller {
    Caller(format!("{thread}/{n}"))
}

/// The operation that a change was made by; `None` for others than the threads.
pub fn operation_of(by: &str) -> Option<(usize, usize)> {
    let (thread, n) = by.split_once('/')?;
    Some((thread.parse().ok()?, n.parse().ok()?))
}

/// Makes the lists that are always there; the large one is filled.
pub fn prepare(catalog: &Catalog, store: &Store, universe: &Arc<Universe>) {
    let by = Caller("setup".to_owned());
    for list in LASTING {
        catalog.create(&by, list, polarity(list), &PolicyUpdate::default()).unwrap();
    }
    for (list, shape) in [("large", Shape::Large), ("middle", Shape::Middle), ("harmless", Shape::Small)] {
        let file = File::whole(shape, 0);
        let act = Act::Import { file, activate: true, accept: true };
        let done = Operation { list, act }.perform(catalog, store, universe, &by);
        assert!(matches!(&done.outcome, Outcome::Imported(report) if report.activated), "{done:?}");
    }
}
