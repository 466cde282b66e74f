//! Many threads on one catalog: those that change lists look up after each change, others look up all the time, one merges layers.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashwarden::catalog::{Catalog, FORMAT_DERIVED, Imports, Keep, Options};
use hashwarden::demo::pictures::Random;
use hashwarden::index::IndexChoice;
use hashwarden::snapshot::{Choices, Published, QUERIES_SURE, Workspace};
use hashwarden::store::{Access, Store};
use hashwarden::verdict::Limits;

use super::answer::Answer;
use super::check::Answers;
use super::history::History;
use super::operations::{Act, Done, MARKED_MS_MAX, Operation, caller, prepare};
use super::universe::{Universe, random};

const READERS: usize = 2;
/// Of a reader with nothing new to see, and between two tries to merge.
const REST: Duration = Duration::from_millis(1);
/// Operations of a thread between two lines of progress.
const TOLD_EVERY: usize = 2_000;

/// A store with its catalog, and what look-ups see.
pub struct World {
    pub store: Arc<Store>,
    pub catalog: Catalog,
    pub published: Arc<Published>,
    pub universe: Arc<Universe>,
}

impl World {
    pub fn open(dir: &Path, universe: Arc<Universe>, keep: Keep, pdq: IndexChoice) -> World {
        let store = Arc::new(Store::open(dir, Access::Write, FORMAT_DERIVED).unwrap());
        let choices = Choices { pdq, ..Choices::default() };
        // Every match is shown.
        let limits = Limits { candidates_max: 10_000 };
        // Marks are set by the operations alone: lists of both kinds have few hashes, and the same ones.
        let imports = Imports { check: false, ..Imports::default() };
        let options = Options { choices, limits, imports, keep, ..Options::default() };
        let published = Arc::new(Published::default());
        let catalog = Catalog::open(store.clone(), Access::Write, options, Some(published.clone())).unwrap();
        World { store, catalog, published, universe }
    }

    pub fn assert_sound(&self) {
        let report = self.catalog.verify(&mut |_, _| {}).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }

    /// The answers to all questions.
    pub fn answers(&self) -> Vec<Answer> {
        let mut look_ups = LookUps::default();
        (0..self.universe.questions.len()).map(|question| look_ups.ask(self, &[question]).1.remove(0)).collect()
    }
}

/// What a thread was answered.
#[derive(Default)]
pub struct LookUps {
    work: Workspace,
    last: u64,
    answers: Answers,
}

impl LookUps {
    /// Asks questions together; gives the snapshot's number and the answers.
    pub fn ask(&mut self, world: &World, questions: &[usize]) -> (u64, Vec<Answer>) {
        let snapshot = world.published.load();
        assert!(snapshot.id >= self.last, "snapshot {} came after {}", snapshot.id, self.last);
        self.last = snapshot.id;
        let asked: Vec<_> = questions.iter().map(|n| world.universe.questions[*n].1.clone()).collect();
        let (verdicts, _) = snapshot.answer(&asked, &mut self.work, QUERIES_SURE, &|| false);
        let answer = |verdict| {
            let answer = Answer::of(&world.universe, verdict);
            assert_eq!(verdict.snapshot, snapshot.id);
            answer
        };
        (snapshot.id, verdicts.iter().map(answer).collect())
    }

    /// The same, and keeps the answers; gives the snapshot's number.
    fn ask_some(&mut self, world: &World, random: &mut Random) -> u64 {
        let questions = [(); 2].map(|()| random.below(world.universe.questions.len()));
        let (number, answers) = self.ask(world, &questions);
        for (question, answer) in questions.into_iter().zip(answers) {
            keep(&mut self.answers, number, question, answer);
        }
        number
    }
}

fn keep(answers: &mut Answers, number: u64, question: usize, answer: Answer) {
    let known = answers.entry(number).or_default().entry(question).or_insert_with(|| answer.clone());
    assert_eq!(*known, answer, "two answers to question {question} from snapshot {number}");
}

/// All that happened.
pub struct Run {
    pub done: Vec<Vec<Done>>,
    pub answers: Answers,
    pub history: History,
    pub merges: usize,
}

/// What the threads of a run share beside the world.
#[derive(Default)]
struct Shared {
    history: Mutex<History>,
    /// Operations that are done.
    done: AtomicUsize,
    merges: AtomicUsize,
    over: AtomicBool,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// Lets `writers` threads do some operations each, drawn from the seed.
pub fn run(world: &World, seed: u64, writers: usize, operations: usize) -> Run {
    prepare(&world.catalog, &world.store, &world.universe);
    let shared = Shared::default();
    let (written, read) = std::thread::scope(|scope| {
        let shared = &shared;
        let writers: Vec<_> =
            (0..writers).map(|thread| scope.spawn(move || write(world, shared, seed, thread, operations))).collect();
        let readers: Vec<_> = (0..READERS).map(|n| scope.spawn(move || read(world, shared, seed, n))).collect();
        scope.spawn(move || {
            while !shared.is_over() {
                shared.merges.fetch_add(usize::from(world.catalog.merge()), Ordering::Relaxed);
                std::thread::sleep(REST);
            }
        });
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        shared.over.store(true, Ordering::Release);
        (written, readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>())
    });
    // The marks that end by themselves.
    std::thread::sleep(Duration::from_millis(MARKED_MS_MAX));
    world.catalog.merge();
    let Shared { history, merges, .. } = shared;
    let mut history = history.into_inner().unwrap();
    history.follow(&world.store, &world.universe);
    let (done, mut all): (Vec<_>, Vec<_>) = written.into_iter().unzip();
    all.extend(read);
    let mut answers = Answers::new();
    for (number, of_number) in all.into_iter().flatten() {
        of_number.into_iter().for_each(|(question, answer)| keep(&mut answers, number, question, answer));
    }
    Run { done, answers, history, merges: merges.into_inner() }
}

/// Ends all threads where one panics.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

fn write(world: &World, shared: &Shared, seed: u64, thread: usize, operations: usize) -> (Vec<Done>, Answers) {
    let (mut look_ups, mut done, _ends) = (LookUps::default(), Vec::new(), Ends(&shared.over));
    let history = &shared.history;
    for n in (0..operations).take_while(|_| !shared.is_over()) {
        let mut random = random(&[seed, thread as u64, n as u64]);
        let operation = Operation::draw(&mut random);
        if operation.act == Act::Delete {
            // What the list's changes held goes with it.
            history.lock().unwrap().follow(&world.store, &world.universe);
        }
        let mut one = operation.perform(&world.catalog, &world.store, &world.universe, &caller(thread, n));
        one.seen = look_ups.ask_some(world, &mut random);
        done.push(one);
        shared.done.fetch_add(1, Ordering::Release);
        if let Ok(mut history) = history.try_lock() {
            history.follow(&world.store, &world.universe);
        }
        if thread == 0 && n > 0 && n.is_multiple_of(TOLD_EVERY) {
            println!("{n} of {operations} operations of each thread are done");
        }
    }
    (done, look_ups.answers)
}

/// Looks up once for each operation at most.
fn read(world: &World, shared: &Shared, seed: u64, reader: usize) -> Answers {
    let mut random = random(&[seed, 1_000 + reader as u64]);
    let (mut look_ups, mut last, _ends) = (LookUps::default(), usize::MAX, Ends(&shared.over));
    while !shared.is_over() {
        let done = shared.done.load(Ordering::Acquire);
        if std::mem::replace(&mut last, done) != done {
            look_ups.ask_some(world, &mut random);
        } else {
            std::thread::sleep(REST);
        }
    }
    look_ups.answers
}
