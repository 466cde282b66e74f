//! Threads that each keep lists of their own, with as few versions kept as may be: what a thread was told of each change is all that is
//! needed to know what its lists hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashwarden::catalog::{EditReport, ImportReport, ListInfo};
use hashwarden::entry::{Mark, Sources, VersionNo};
use hashwarden::store::{digest_add, row_digest};

use super::answer::Found;
use super::operations::{Act, LASTING, LEAVES_NOTHING, Operation, Outcome, PASSING, again, caller, polarity};
use super::reference::{List, State};
use super::sources::{self, Counts, Holding};
use super::stored::assert_entries;
use super::threads::{Ends, LookUps, World};
use super::universe::{File, Shape, in_hundred, random};

pub const OWNERS: usize = 4;

/// A list as its owner knows it: what each version says of each id.
pub struct Own {
    info: ListInfo,
    versions: BTreeMap<VersionNo, Holding>,
    marks: BTreeMap<u32, Mark>,
}

/// Lets each owner do some operations; gives what they know of their lists.
pub fn run(world: &World, seed: u64, operations: usize) -> Vec<Own> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let owners: Vec<_> = (0..OWNERS).map(|owner| scope.spawn(move || own(world, over, seed, owner, operations))).collect();
        scope.spawn(move || {
            for turn in 1u32.. {
                world.catalog.merge();
                if turn.is_multiple_of(100) {
                    world.catalog.compact(&mut |_| {}).unwrap();
                }
                if over.load(Ordering::Acquire) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let known: Vec<_> = owners.into_iter().map(|owner| owner.join().unwrap()).collect();
        over.store(true, Ordering::Release);
        known.into_iter().flatten().collect()
    })
}

fn own(world: &World, over: &AtomicBool, seed: u64, owner: usize, operations: usize) -> Vec<Own> {
    let (lasting, passing) = (LASTING[owner], PASSING[owner]);
    let (mut own, mut look_ups, _ends) = (BTreeMap::new(), LookUps::default(), Ends(over));
    let mut due: Vec<Operation> = Vec::new();
    for n in (0..=operations).take_while(|_| !over.load(Ordering::Acquire)) {
        let mut random = random(&[seed, owner as u64, n as u64]);
        let mut operation = Operation::draw(&mut random);
        operation = due.pop().unwrap_or(operation);
        operation.list = if PASSING.contains(&operation.list) { passing } else { lasting };
        match &mut operation.act {
            _ if n == 0 => operation = Operation { list: lasting, act: Act::Create },
            Act::Import { file, .. } if file.shape == Shape::Large => file.shape = Shape::Middle,
            // When its time is over is not known.
            Act::Mark(_, Some(marking)) => marking.lasts_ms = None,
            // Others' lists come and go.
            Act::Set(update) => update.scope = None,
            _ => {}
        }
        let (list, by) = (operation.list, caller(owner, n));
        let done = operation.perform(&world.catalog, &world.store, &world.universe, &by);
        // What waits, or was rolled back, is imported again: by the same source, or by one that has just the same.
        if let (Act::Import { file, .. }, Outcome::Imported(report)) = (&done.operation.act, &done.outcome)
            && in_hundred(&mut random, if report.activated { 25 } else { 60 })
        {
            due = vec![Operation { list, act: again(&mut random, file) }];
            due.extend(report.activated.then_some(Operation { list, act: Act::RollBack }));
        }
        told(&mut own, list, &done.operation.act, done.outcome);
        let questions = [(); 3].map(|()| random.below(world.universe.questions.len()));
        let answers = look_ups.ask(world, &questions).1;
        for (question, answer) in questions.into_iter().zip(answers) {
            let (words, question) = &world.universe.questions[question];
            // Of several hashes another's list may suppress what one finds: which one is shown is not known, nor whether one is suppressed.
            if question.seen.len() > 1 {
                continue;
            }
            let mine = |found: &Found| Found { suppressed: false, ..*found };
            let of_mine = answer.found.iter().filter(|found| own.contains_key(found.list)).map(mine).collect::<Vec<_>>();
            let expected = state(own.values()).answer(&world.universe, question);
            let expected = expected.found.iter().map(mine).collect::<Vec<_>>();
            assert_eq!(of_mine, expected, "{words} after {by:?}: {:?}", done.operation);
        }
    }
    own.into_values().collect()
}

/// Follows what came of an operation.
fn told(own: &mut BTreeMap<&'static str, Own>, list: &'static str, act: &Act, outcome: Outcome) {
    let words = format!("{list}: {act:?}: {outcome:?}");
    match (act, outcome, own.get_mut(list)) {
        (Act::Create, Outcome::Listed(info), None) => {
            let versions = BTreeMap::from([(VersionNo(0), Holding::new())]);
            own.insert(list, Own { info: *info, versions, marks: BTreeMap::new() });
        }
        (Act::Delete, Outcome::Deleted, Some(_)) => drop(own.remove(list)),
        (_, Outcome::LookedUp, _) | (_, Outcome::Refused(_), None) => {}
        (_, outcome, Some(known)) => assert!(known.follow(act, outcome), "{words}"),
        (_, _, None) => panic!("{words}"),
    }
}

impl Own {
    fn active(&self) -> &Holding {
        &self.versions[&self.info.list.active]
    }

    /// Whether what was told can be.
    fn follow(&mut self, act: &Act, outcome: Outcome) -> bool {
        let before = self.info.list.clone();
        match (act, outcome) {
            (Act::RollBack, Outcome::Refused(_)) => before.previous == VersionNo(0),
            (Act::Mark(n, marking), Outcome::Refused(_)) => {
                !self.marks.contains_key(n) && (marking.is_none() || !self.active().contains_key(n))
            }
            (Act::Import { file, .. }, Outcome::Refused(why)) if why.contains(LEAVES_NOTHING) => {
                sources::imported(self.active(), file).is_empty()
            }
            // Another import is running; a version is not kept; a list exists, or is in a scope.
            (_, Outcome::Refused(_)) => true,
            (Act::Add(_) | Act::Remove(_), Outcome::Edited(report)) => self.edited(act, &report),
            (Act::Set(update), Outcome::Listed(info)) => {
                let right = update.apply(&before.policy).as_ref() == Ok(&info.list.policy);
                self.info = *info;
                right
            }
            (Act::Disable(disabled), Outcome::Listed(info)) => {
                self.info.list.disabled = *disabled;
                info.list.disabled == *disabled
            }
            (Act::RollBack, Outcome::Listed(info)) => {
                self.activate(before.previous);
                info.list.active == before.previous
            }
            (Act::Activate { .. }, Outcome::Listed(info)) => {
                self.activate(info.list.active);
                self.versions.contains_key(&info.list.active)
            }
            (Act::Import { file, .. }, Outcome::Imported(report)) => self.imported(file, &report),
            (Act::Mark(n, _), Outcome::Marked(mark)) => {
                let known = match mark {
                    Some(mark) => self.marks.insert(*n, mark),
                    None => self.marks.remove(n),
                };
                known.is_some() || self.active().contains_key(n)
            }
            _ => false,
        }
    }

    fn edited(&mut self, act: &Act, report: &EditReport) -> bool {
        let (mut holding, mut counts, mut missing) = (self.active().clone(), Counts::default(), 0);
        let edits: BTreeMap<u32, _> = match act {
            Act::Add(entries) => entries.iter().map(|(n, said)| (*n, Some(*said))).collect(),
            Act::Remove(ids) => ids.iter().map(|n| (*n, None)).collect(),
            _ => return false,
        };
        for (n, said) in edits {
            let before = holding.remove(&n);
            let after = said.map(|said| sources::put(before, said, Sources::LOCAL));
            counts.count(before, after);
            missing += usize::from(before.is_none() && after.is_none());
            holding.extend(after.map(|after| (n, after)));
        }
        let EditReport { added, changed, removed, unchanged, details_changed, .. } = *report;
        if (counts, missing) != (Counts { added, changed, removed, unchanged, details_changed }, report.missing.len()) {
            return false;
        }
        if holding == *self.active() {
            return report.version == self.info.list.active;
        }
        let is_new = self.versions.insert(report.version, holding).is_none();
        self.activate(report.version);
        is_new
    }

    fn imported(&mut self, file: &File, report: &ImportReport) -> bool {
        let (before, after) = (self.active(), sources::imported(self.active(), file));
        let mut counts = Counts::default();
        before.keys().chain(after.keys().filter(|n| !before.contains_key(n))).for_each(|n| {
            counts.count(before.get(n).copied(), after.get(n).copied());
        });
        let (added, changed, removed, details_changed) = (report.added, report.changed, report.gone, report.details_changed);
        let counted = Counts { added, changed, removed, details_changed, unchanged: counts.unchanged };
        // What the file has no more, or never had, and others have.
        let rows = file.rows();
        let is_passed = |n: &&u32| rows.get(n).map_or(!file.delta, |row| row.is_none());
        let kept = before.keys().filter(is_passed).filter(|n| after.contains_key(n)).count();
        let sizes = (report.entries as usize, report.kept as usize);
        if after.is_empty() || counts != counted || sizes != (after.len(), kept) {
            return false;
        }
        let Some(version) = report.version else { return after == *before };
        let right = *self.versions.entry(version).or_insert_with(|| after.clone()) == after;
        if report.activated {
            self.activate(version);
        }
        right
    }

    fn activate(&mut self, version: VersionNo) {
        let list = &mut self.info.list;
        if version != list.active {
            (list.previous, list.active) = (list.active, version);
        }
    }

    /// Whether the store has the list's active version as its owner knows it.
    pub fn assert_stored(&self, World { store, catalog, universe, .. }: &World) {
        let (list, entries) = (&self.info.list, self.active());
        let stored = store.list(list.id).unwrap().unwrap();
        assert_eq!((stored.active, stored.disabled, &stored.policy), (list.active, list.disabled, &list.policy), "{}", list.name);
        if let Some(version) = store.version(list.id, list.active).unwrap() {
            let mut digest = [0; 32];
            entries.iter().for_each(|(n, held)| digest_add(&mut digest, &row_digest(universe.entry(*n, held.said.content()))));
            assert_eq!((version.rows, version.digest), (entries.len() as u64, digest), "{}", list.name);
        }
        assert_entries(catalog, universe, &list.name, entries, &self.marks);
    }
}

/// What some lists hold, as their owners know them.
pub fn state<'o>(own: impl Iterator<Item = &'o Own>) -> State {
    let lists = own.map(|own| {
        assert_eq!(own.info.list.polarity, polarity(&own.info.list.name));
        (own.info.list.id, List::standing(&own.info.list, own.active(), own.marks.clone()))
    });
    State { lists: lists.collect() }
}
