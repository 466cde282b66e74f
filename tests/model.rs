//! Is every verdict what its snapshot's number says, whatever threads do to lists at once?
//!
//! Threads add, remove, import, activate, roll back, disable, set policies, create and delete, and look hashes up. Afterwards the store's
//! numbered changes are followed, one by one, in a plain model of what lists hold (`model/reference.rs`), and every answer is compared with
//! what the model says after the change of its number. What threads do is drawn from a seed; how they interleave is not.
//! `HASHWARDEN_MODEL_OPERATIONS` sets how many operations there are; `HASHWARDEN_MODEL_SEED` sets the seed, which is otherwise chosen by chance
//! where the number of operations is set. `make test-model` does a hundred thousand. Many operations are done in rounds, each on a new store
//! with a seed of its own: every version is kept, so each operation costs more the more there were before it.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

#[path = "model/answer.rs"]
mod answer;
#[path = "model/cases.rs"]
mod cases;
#[path = "model/check.rs"]
mod check;
#[path = "model/history.rs"]
mod history;
#[path = "model/operations.rs"]
mod operations;
#[path = "model/owners.rs"]
mod owners;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/sources.rs"]
mod sources;
#[path = "model/stored.rs"]
mod stored;
#[path = "model/threads.rs"]
mod threads;
#[path = "model/universe.rs"]
mod universe;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use hashwarden::catalog::Keep;
use hashwarden::entry::VersionNo;
use hashwarden::index::IndexChoice;
use hashwarden::store::{digest_add, row_digest};

use check::Check;
use operations::{Act, Outcome};
use reference::State;
use stored::assert_entries;
use threads::{Run, World};
use universe::Universe;

const THREADS: usize = 8;
const OPERATIONS: usize = 6_000;
const SEED: u64 = 21;
/// Of one store.
const ROUND_OPERATIONS_MAX: usize = 10_000;
/// Versions of a list whose content is compared with the store's at the end.
const VERSIONS_COMPARED: usize = 40;

/// Tells how a failed round is repeated.
struct Round {
    seed: u64,
    operations: usize,
}

/// Does the operations that are asked for, in rounds.
fn in_rounds(work: impl Fn(&Round)) {
    let number = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty()).map(|text| text.parse::<u64>().unwrap());
    let asked = number("HASHWARDEN_MODEL_OPERATIONS");
    let by_chance = || if asked.is_some() { RandomState::new().hash_one(0) } else { SEED };
    let seed = number("HASHWARDEN_MODEL_SEED").unwrap_or_else(by_chance);
    let operations = asked.map_or(OPERATIONS, |n| n as usize);
    let rounds = operations.div_ceil(ROUND_OPERATIONS_MAX).max(1);
    for n in 0..rounds {
        let seed = if rounds == 1 { seed } else { universe::random(&[seed, n as u64]).next_u64() };
        let round = Round { seed, operations: operations / rounds };
        println!("round {} of {rounds}: {} operations, seed {seed}", n + 1, round.operations);
        work(&round);
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("it failed with HASHWARDEN_MODEL_SEED={} HASHWARDEN_MODEL_OPERATIONS={}", self.seed, self.operations);
        }
    }
}

#[test]
fn every_verdict_is_the_state_that_its_number_names() {
    in_rounds(|round| {
        let (dir, universe) = (tempfile::tempdir().unwrap(), Arc::new(Universe::new()));
        let open = || World::open(dir.path(), universe.clone(), Keep::ALL, IndexChoice::Auto);
        let (world, began) = (open(), Instant::now());
        let run = threads::run(&world, round.seed, THREADS, round.operations / THREADS);
        let ran = began.elapsed();
        world.assert_sound();
        let last = world.answers();

        let mut check = Check::new(&universe, &run.history, &run.done, &run.answers);
        let state = check.run();
        for (question, answer) in last.iter().enumerate() {
            assert_eq!(state.answer(&universe, &universe.questions[question].1), *answer, "{}", universe.questions[question].0);
        }
        assert_versions_are_stored(state, &world);
        let (checked, skipped) = (check.checked, check.skipped);
        println!("{checked} answers checked, {skipped} not known; {ran:.1?} + {:.1?}; {}", began.elapsed() - ran, told(&run));
        assert!(skipped * 20 < checked && checked > round.operations, "too few answers are known");
        assert!(run.history.steps.len() > round.operations / 4, "too little was changed");
        drop(world);
        let world = open();
        assert_eq!(world.answers(), last, "the store answers as before when it is opened again");
        world.assert_sound();
    });
}

/// The digests of versions are those of what the model says that they hold.
fn assert_versions_are_stored(state: &State, world: &World) {
    for (id, list) in &state.lists {
        for number in
            list.sealed().rev().take(VERSIONS_COMPARED).chain([list.active, list.previous]).filter(|v| *v != VersionNo(0))
        {
            let (content, mut digest) = (list.content_of(number), [0; 32]);
            let entries = content.entries.values().map(|(n, held)| world.universe.entry(*n, held.said.content()));
            entries.for_each(|entry| digest_add(&mut digest, &row_digest(entry)));
            let (stored, words) =
                (world.store.version(*id, number).unwrap().unwrap(), format!("version {} of {}", number.0, list.name));
            assert_eq!((stored.rows, stored.digest), (content.entries.len() as u64, digest), "{words}");
        }
        assert_entries(&world.catalog, &world.universe, list.name, &list.content.holding(), &list.marks);
    }
}

/// What was done how often, and what came of it.
fn told(run: &Run) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for done in run.done.iter().flatten() {
        let act = format!("{:?}", done.operation.act);
        let act = match &done.operation.act {
            Act::ImportSpoilt(_) => &act[..],
            Act::Import { file, .. } if file.delta => "Import of a delta",
            Act::Mark(_, None) => "Mark off",
            _ => act.split([' ', '(']).next().unwrap(),
        };
        let outcome = match &done.outcome {
            Outcome::Refused(why) if why.contains(operations::LEAVES_NOTHING) => " refused (leaves nothing)",
            Outcome::Refused(why) => &format!(" refused ({}..)", why.split_whitespace().take(3).collect::<Vec<_>>().join(" ")),
            Outcome::Imported(report) if !report.held.is_empty() => " held",
            Outcome::Imported(report) if report.version.is_none() => " of nothing",
            Outcome::Imported(report) if !report.activated => " staged",
            Outcome::Edited(report) if report.added + report.changed + report.removed + report.details_changed == 0 => {
                " of nothing"
            }
            _ => "",
        };
        *counts.entry(format!("{act}{outcome}")).or_default() += 1;
    }
    let (changes, merges) = (run.history.steps.len(), run.merges);
    let counts: String = counts.into_iter().map(|(what, n)| format!("\n{n:7} {what}")).collect();
    format!("{changes} changes, {merges} merges{counts}")
}

/// With as few versions kept as may be, what is left is what the threads were told.
#[test]
fn what_is_left_after_retention_is_what_was_done() {
    in_rounds(|round| {
        let (dir, universe) = (tempfile::tempdir().unwrap(), Arc::new(Universe::new()));
        let keep = Keep { versions_max: 0, version_days_max: 1, edits_max: 0 };
        let open = || World::open(dir.path(), universe.clone(), keep, IndexChoice::BkTree);
        let world = open();
        let own = owners::run(&world, round.seed, round.operations / 5 / owners::OWNERS);
        let check = |world: &World| {
            world.assert_sound();
            let mut state = owners::state(own.iter());
            for ((words, question), answer) in universe.questions.iter().zip(world.answers()) {
                assert_eq!(answer, state.answer(&universe, question), "{words}");
            }
            own.iter().for_each(|own| own.assert_stored(world));
        };
        check(&world);
        let dropped = world.store.changes(1).unwrap().filter(|change| change.as_ref().unwrap().op.is_none()).count();
        println!("the contents of {dropped} changes were dropped");
        assert!(dropped >= round.operations / 40, "{dropped}");
        drop(world);
        check(&open());
    });
}
