//! Threads that each keep lists of their own, with as few versions kept as may be: what a thread was told of each change is all that is
//! needed to know what its lists hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashwarden::catalog::{EditReport, ImportReport, ListInfo};
use hashwarden::entry::{EntryNo, VersionNo};
use hashwarden::store::{Store, digest_add, row_digest};

use super::operations::{Act, LASTING, Operation, Outcome, PASSING, caller, polarity};
use super::reference::{Content, Found, List, State};
use super::threads::{Ends, LookUps, World};
use super::universe::{File, Shape, Universe, random};

pub const OWNERS: usize = 4;

/// A list as its owner knows it: which content each id has, in each version.
pub struct Own {
    info: ListInfo,
    versions: BTreeMap<VersionNo, BTreeMap<u32, u8>>,
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
    for n in (0..=operations).take_while(|_| !over.load(Ordering::Acquire)) {
        let mut random = random(&[seed, owner as u64, n as u64]);
        let mut operation = Operation::draw(&mut random);
        operation.list = if PASSING.contains(&operation.list) { passing } else { lasting };
        match &mut operation.act {
            _ if n == 0 => operation = Operation { list: lasting, act: Act::Create },
            Act::Import { file, .. } if file.shape == Shape::Large => file.shape = Shape::Middle,
            // Others' lists come and go.
            Act::Set(update) => update.scope = None,
            _ => {}
        }
        let (list, by) = (operation.list, caller(owner, n));
        let done = operation.perform(&world.catalog, &world.store, &world.universe, &by);
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
            let expected = state(&world.universe, own.values()).answer(&world.universe, question);
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
            let versions = BTreeMap::from([(VersionNo(0), BTreeMap::new())]);
            own.insert(list, Own { info, versions });
        }
        (Act::Delete, Outcome::Deleted, Some(_)) => drop(own.remove(list)),
        (_, Outcome::LookedUp, _) | (_, Outcome::Refused(_), None) => {}
        (_, outcome, Some(known)) => assert!(known.follow(act, outcome), "{words}"),
        (_, _, None) => panic!("{words}"),
    }
}

impl Own {
    fn active(&self) -> &BTreeMap<u32, u8> {
        &self.versions[&self.info.list.active]
    }

    /// Whether what was told can be.
    fn follow(&mut self, act: &Act, outcome: Outcome) -> bool {
        let before = self.info.list.clone();
        match (act, outcome) {
            (Act::RollBack, Outcome::Refused(_)) => before.previous == VersionNo(0),
            // Another import is running; a version is not kept; a list exists, or is in a scope.
            (_, Outcome::Refused(_)) => true,
            (Act::Add(_) | Act::Remove(_), Outcome::Edited(report)) => self.edited(act, &report),
            (Act::Set(update), Outcome::Listed(info)) => {
                let right = update.apply(&before.policy).as_ref() == Ok(&info.list.policy);
                self.info = info;
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
            _ => false,
        }
    }

    fn edited(&mut self, act: &Act, report: &EditReport) -> bool {
        let mut content = self.active().clone();
        match act {
            Act::Add(entries) => content.extend(entries.iter().copied()),
            Act::Remove(ids) => content.retain(|n, _| !ids.contains(n)),
            _ => return false,
        }
        if content == *self.active() {
            return report.version == self.info.list.active;
        }
        let is_new = self.versions.insert(report.version, content).is_none();
        self.activate(report.version);
        is_new
    }

    fn imported(&mut self, file: &File, report: &ImportReport) -> bool {
        let rows = file.rows();
        let Some(version) = report.version else { return rows == *self.active() };
        let right = *self.versions.entry(version).or_insert_with(|| rows.clone()) == rows;
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
    pub fn assert_stored(&self, store: &Store, universe: &Universe) {
        let (list, entries) = (&self.info.list, self.active());
        let stored = store.list(list.id).unwrap().unwrap();
        assert_eq!((stored.active, stored.disabled, &stored.policy), (list.active, list.disabled, &list.policy), "{}", list.name);
        if let Some(version) = store.version(list.id, list.active).unwrap() {
            let mut digest = [0; 32];
            entries.iter().for_each(|(n, variant)| digest_add(&mut digest, &row_digest(universe.entry(*n, *variant))));
            assert_eq!((version.rows, version.digest), (entries.len() as u64, digest), "{}", list.name);
        }
    }
}

/// What some lists hold, as their owners know them.
pub fn state<'o>(universe: &Universe, own: impl Iterator<Item = &'o Own>) -> State {
    let lists = own.map(|own| {
        let entries = own.active().iter().map(|(n, variant)| (EntryNo(*n), universe.entry(*n, *variant).clone()));
        let content: Arc<Content> = Arc::new(entries.collect());
        assert_eq!(own.info.list.polarity, polarity(&own.info.list.name));
        (own.info.list.id, List::standing(&own.info.list, content))
    });
    State { lists: lists.collect() }
}
