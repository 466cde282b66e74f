//! The door for matching: bytes or hashes in, a verdict out.
//!
//! `submit` takes a permit or sheds, so that no edge can skip it; a job whose deadline has passed is not computed. Images are
//! decoded on the `extract` pool, hash-only jobs are looked up on the `quick` and `search` pools. The store is never on this path.
//! Invariant: every job is answered exactly once, whatever its bytes are; image bytes are dropped with the job. A job that does not end
//! is seen: [`watch`].

mod flood;
mod image;
mod options;
mod probe;
mod queue;
mod watch;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracing::Span;

use crate::entry::{Caller, HashValue, Reason, ViewSet};
use crate::extract::{Extractor, Features, Unscanned, Wants};
use crate::hash::digest::Digests;
use crate::index::Effort;
use crate::snapshot::{Published, QUERIES_SURE, Question, Snapshot, Workspace};
use crate::verdict::{Asked, Verdict};
use flood::Floods;
use image::Image;
use queue::{Begun, Declared, Queue, ViewTime, Work};
use watch::Pool;

pub use flood::{Flood, Flooded};
pub use options::{Extract, Options, QUEUE_BYTES_TOP, Search, Views, Watch};
pub use watch::PoolState;

/// What is to be matched.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file's bytes.
    Image(Vec<u8>),
    /// Hashes that the caller took; matched as they are, with the transform identity.
    Hashes(Vec<GivenHash>),
}

#[derive(Debug, Clone)]
pub struct GivenHash {
    pub hash: HashValue,
    /// PDQ quality as the caller says, 0 to 100; unknown passes every minimum.
    pub quality: Option<u8>,
}

#[derive(Debug, Clone)]
pub struct Job {
    pub content: Content,
    pub lists: Asked,
    /// Which views of an image are looked up; without it, those of [`Options::views`].
    pub views: Option<ViewSet>,
    /// After this nobody waits for the answer.
    pub until: Instant,
    pub caller: Caller,
}

/// A verdict and what it took.
#[derive(Debug, Clone)]
pub struct Answer {
    pub verdict: Verdict,
    /// The verdict's matches by PDQ, those that were suppressed or are in shadow too.
    pub probes: Vec<Probe>,
    pub effort: Effort,
    pub stages: Stages,
}

/// What a match by PDQ came of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub list: String,
    pub entry_id: String,
    /// Of the hashes that were looked up: another one where they are others.
    pub digest: u64,
    /// It lies in the outer quarter of the radius.
    pub at_edge: bool,
}

/// Wall time of each stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages {
    pub queued: Duration,
    pub extract: Duration,
    pub search: Duration,
}

/// A file's hashes, or why it has none; its digests always.
#[derive(Debug, Clone)]
pub struct Hashed {
    pub digests: Digests,
    pub features: Result<Features, Unscanned>,
}

#[derive(Debug, thiserror::Error)]
#[error("the matcher's threads could not be started: {0}")]
pub struct StartError(#[from] rayon::ThreadPoolBuildError);

/// Look-ups that are no batch yet: hashes, of however many jobs.
const QUICK_MAX: usize = 64;
/// How long they may take: they do not where lists hold very many entries near them. Then they are no better than a batch.
const QUICK_TIME: Duration = Duration::from_millis(10);

/// What is done with an image when it is its turn.
type ImageWork = (Span, Box<dyn FnOnce(Turn) -> ViewTime + Send>);

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Matcher(Arc<Inner>);

struct Inner {
    published: Arc<Published>,
    extractor: Arc<dyn Extractor>,
    extract: Pool,
    search: Pool,
    /// For a few hashes that somebody waits for: a batch may hold a thread of `search` for a tenth of a second.
    quick: Pool,
    options: Options,
    /// Images that wait for a thread of `extract`, in the order that is fair to their callers.
    queue: Queue<ImageWork>,
    waiting: AtomicUsize,
    images: Arc<Permits>,
    image_bytes: Arc<Permits>,
    hash_items: Arc<Permits>,
    floods: Floods,
}

impl Matcher {
    pub fn new(published: Arc<Published>, extractor: Arc<dyn Extractor>, options: Options) -> Result<Self, StartError> {
        let extract = Pool::new("extract", options.extract.threads)?;
        Ok(Matcher(Arc::new(Inner {
            floods: Floods::new(options.flood),
            published,
            extractor,
            queue: Queue::new(extract.threads()),
            extract,
            search: Pool::new("search", options.search.threads)?,
            quick: Pool::new("quick", options.search.threads)?,
            waiting: AtomicUsize::new(0),
            images: Permits::new(options.extract.queue_max),
            image_bytes: Permits::new(usize::try_from(options.extract.queue_bytes_max).unwrap_or(usize::MAX)),
            hash_items: Permits::new(options.hash_items_max),
            options,
        })))
    }

    /// The snapshot that answers now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.published.load()
    }

    /// Lists that an item which names none is looked up in.
    pub fn lists(&self) -> usize {
        self.0.published.load().policy.lists.len()
    }

    /// Images and hash-only items in the matcher now.
    pub fn in_flight(&self) -> (usize, usize) {
        (self.0.images.taken(), self.0.hash_items.taken())
    }

    /// Images that wait for a thread.
    pub fn queue_depth(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// How the pools are doing. To be called now and then: a job that is found stuck is logged then.
    pub fn look(&self) -> [PoolState; 3] {
        let stuck_after = Duration::from_millis(self.0.options.watch.stuck_ms);
        [&self.0.extract, &self.0.search, &self.0.quick].map(|pool| pool.look(stuck_after))
    }

    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Matches one job; `done` gets the answer on a thread of the matcher's, or at once where the job was shed. What is logged of it is logged
    /// in the span that this is called in.
    pub fn submit(&self, job: Job, done: impl FnOnce(Answer) + Send + 'static) {
        match job.content {
            Content::Image(bytes) => {
                self.submit_image(Image { bytes, lists: job.lists, views: job.views }, job.until, &job.caller, done)
            }
            Content::Hashes(_) => self.submit_hashes(vec![job], |answers| one(answers, done)),
        }
    }

    /// Matches hash-only jobs together; `done` gets one answer a job, in order. A job with an image is not for here: it is
    /// answered as unsupported.
    pub fn submit_hashes(&self, jobs: Vec<Job>, done: impl FnOnce(Vec<Answer>) + Send + 'static) {
        let (inner, started) = (self.0.clone(), Instant::now());
        let Some(permit) = self.0.hash_items.take(jobs.len()) else {
            let questions: Vec<_> = jobs.into_iter().map(|job| refused(job.lists, Reason::Shed, "the service is busy")).collect();
            return done(inner.answer(&questions, Stages::default(), None));
        };
        let look_ups = |job: &Job| if let Content::Hashes(hashes) = &job.content { hashes.len().max(1) } else { 1 };
        let few = jobs.iter().map(look_ups).sum::<usize>() <= QUICK_MAX;
        let pool = if few { &self.0.quick } else { &self.0.search };
        pool.spawn(move || {
            let stages = move || Stages { queued: started.elapsed(), ..Stages::default() };
            let untils: Vec<_> = jobs.iter().map(|job| job.until).collect();
            let mut questions: Vec<_> = jobs.into_iter().map(hash_question).collect();
            refuse_late(&mut questions, &untils);
            let finish = move |answers| {
                drop(permit); // before the answer: who has it may come with the next at once
                done(answers);
            };
            if few && let Some(answers) = or_crashed(|| inner.answer_soon(&questions, stages())).flatten() {
                return finish(answers);
            }
            let whole = {
                let inner = inner.clone();
                move || {
                    refuse_late(&mut questions, &untils); // some may have become so on the way to the batches
                    let stages = stages();
                    let answers = or_crashed(|| inner.answer(&questions, stages, untils.into_iter().max()));
                    finish(answers.unwrap_or_else(|| inner.answer(&vec![crashed(); questions.len()], stages, None)));
                }
            };
            if few { inner.search.spawn(whole) } else { whole() }
        });
    }

    /// Entries that match far more often than they did, since this was asked last.
    pub fn take_floods(&self) -> Vec<Flooded> {
        self.0.floods.take()
    }

    /// Takes a file's hashes without matching them; `done` gets `None` where the job was shed.
    pub fn submit_hash(
        &self,
        bytes: Vec<u8>,
        until: Instant,
        caller: &Caller,
        done: impl FnOnce(Option<Hashed>) + Send + 'static,
    ) {
        let inner = self.0.clone();
        let Some(permit) = self.0.image_permit(&bytes) else { return done(None) };
        let work = Work { pixels: self.0.extractor.work(&bytes), views: 0 };
        self.line_up(caller, work, until, move |turn| {
            let hashed = (turn == Turn::Work).then(|| inner.hash(&bytes, &Wants::ALL, until));
            drop((permit, bytes));
            done(hashed);
            ViewTime::default()
        });
    }

    fn submit_image(&self, image: Image, until: Instant, caller: &Caller, done: impl FnOnce(Answer) + Send + 'static) {
        let (inner, started) = (self.0.clone(), Instant::now());
        let Some(permit) = self.0.image_permit(&image.bytes) else {
            return one(inner.answer(&[shed(image.lists)], Stages::default(), None), done);
        };
        let views = u64::from(inner.wants_views(&image, &inner.published.load()));
        let work = Work { pixels: self.0.extractor.work(&image.bytes), views };
        self.line_up(caller, work, until, move |turn| {
            let queued = started.elapsed();
            let refused = match turn {
                Turn::Shed => Some(shed(Asked::All)),
                Turn::Work if Instant::now() >= until => Some(too_late(Asked::All)),
                Turn::Work => None,
            };
            let stages = Stages { queued, ..Stages::default() };
            let answered = or_crashed(|| match refused {
                Some(refused) => {
                    (inner.answer(&[Question { lists: image.lists, ..refused }], stages, Some(until)), ViewTime::default())
                }
                None => inner.answer_image(image, stages, until),
            });
            drop(permit);
            let (answers, views) = answered.unwrap_or_else(|| (inner.answer(&[crashed()], stages, None), ViewTime::default()));
            one(answers, done);
            views
        });
    }

    /// `job` is done when it is its turn, or shed at once where it can't be done in time.
    fn line_up(&self, caller: &Caller, work: Work, until: Instant, job: impl FnOnce(Turn) -> ViewTime + Send + 'static) {
        let job: ImageWork = (Span::current(), Box::new(job));
        if let Err((_, job)) = self.0.queue.push(caller, work, until, job) {
            job(Turn::Shed);
            return;
        }
        let inner = self.0.clone();
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        // Each takes the next in line, which need not be the one that it was spawned for.
        self.0.extract.spawn_next(move || {
            inner.waiting.fetch_sub(1, Ordering::Relaxed);
            let Begun { job: (span, job), declared } = inner.queue.pop()?;
            let done = move || {
                let mut in_work =
                    InWork { of: inner, declared: Some(declared), began: Instant::now(), views: ViewTime::default() };
                in_work.views = job(Turn::Work);
            };
            Some((span, done))
        });
    }
}

/// What an image's job is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Work,
    Shed,
}

/// An image that is worked on, until it is dropped.
struct InWork {
    of: Arc<Inner>,
    declared: Option<Declared>,
    began: Instant,
    views: ViewTime,
}

impl Drop for InWork {
    fn drop(&mut self) {
        if let Some(declared) = self.declared.take() {
            self.of.queue.done(declared, self.began.elapsed(), self.views);
        }
    }
}

/// One question has one answer.
fn one(mut answers: Vec<Answer>, done: impl FnOnce(Answer)) {
    if let Some(answer) = answers.pop() {
        done(answer);
    }
}

/// `None` where `work` panics: a bug, and still the job must be answered.
fn or_crashed<T>(work: impl FnOnce() -> T) -> Option<T> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok();
    if done.is_none() {
        WORKSPACE.take(); // half-written, maybe
    }
    done
}

fn crashed() -> Question {
    refused(Asked::All, Reason::Crashed, "the look-up panicked")
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

impl Inner {
    fn image_permit(&self, bytes: &[u8]) -> Option<(Permit, Permit)> {
        let of_one = self.images.take(1)?;
        let of_bytes = self.image_bytes.take(bytes.len().min(self.image_bytes.max))?;
        Some((of_one, of_bytes))
    }

    /// Digests first: a file that can't be decoded can still match exactly.
    fn hash(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Hashed {
        let digests = Digests::of(bytes);
        Hashed { digests, features: self.features(bytes, wants, until) }
    }

    fn features(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned> {
        let crashed = || Unscanned { reason: Reason::Crashed, detail: "the extractor panicked".to_owned() };
        or_crashed(|| self.extractor.extract(bytes, wants, until)).unwrap_or_else(|| Err(crashed()))
    }

    /// Look-ups are given up after `until`, where nobody waits any more.
    fn answer(&self, questions: &[Question], stages: Stages, until: Option<Instant>) -> Vec<Answer> {
        self.answer_until(questions, stages, QUERIES_SURE, &|| until.is_some_and(|until| Instant::now() >= until))
    }

    /// `None` where that would take longer than [`QUICK_TIME`].
    fn answer_soon(&self, questions: &[Question], stages: Stages) -> Option<Vec<Answer>> {
        let (end, long) = (Instant::now() + QUICK_TIME, Cell::new(false));
        let answers = self.answer_until(questions, stages, 1, &|| {
            long.set(Instant::now() >= end);
            long.get()
        });
        (!long.get()).then_some(answers)
    }

    /// The snapshot is loaded here, after decoding: a list activated meanwhile counts.
    fn answer_until(&self, questions: &[Question], stages: Stages, sure: usize, late: &dyn Fn() -> bool) -> Vec<Answer> {
        let searching = Instant::now();
        let (verdicts, effort) = WORKSPACE.with_borrow_mut(|work| self.published.load().answer(questions, work, sure, late));
        let stages = Stages { search: searching.elapsed(), ..stages };
        verdicts.iter().for_each(|verdict| self.floods.count(verdict, searching));
        let answer = |(verdict, question)| Answer { probes: probe::probes(&verdict, question), verdict, effort, stages };
        verdicts.into_iter().zip(questions).map(answer).collect()
    }
}

fn shed(lists: Asked) -> Question {
    refused(lists, Reason::Shed, "the service is busy: it would not be done in time")
}

fn refused(lists: Asked, reason: Reason, detail: &str) -> Question {
    Question { lists, unscanned: Some((reason, detail.to_owned())), ..Question::default() }
}

fn too_late(lists: Asked) -> Question {
    refused(lists, Reason::Timeout, "the deadline passed before the work began")
}

/// Those whose deadline has passed are not looked up.
fn refuse_late(questions: &mut [Question], untils: &[Instant]) {
    let now = Instant::now();
    for (question, _) in questions.iter_mut().zip(untils).filter(|(_, until)| now >= **until) {
        *question = too_late(std::mem::take(&mut question.lists));
    }
}

fn hash_question(job: Job) -> Question {
    let mut question = Question { lists: job.lists, ..Question::default() };
    match job.content {
        Content::Hashes(hashes) => hashes.into_iter().for_each(|given| question.push(given.hash, given.quality)),
        Content::Image(_) => question.unscanned = Some((Reason::Unsupported, "an image among hash-only items".to_owned())),
    }
    question
}

/// A counted limit. A permit gives back what it took when it is dropped.
struct Permits {
    max: usize,
    taken: AtomicUsize,
}

struct Permit {
    of: Arc<Permits>,
    n: usize,
}

impl Permits {
    fn new(max: usize) -> Arc<Self> {
        Arc::new(Permits { max, taken: AtomicUsize::new(0) })
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(self: &Arc<Self>, n: usize) -> Option<Permit> {
        let more = |taken: usize| taken.checked_add(n).filter(|sum| *sum <= self.max);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Permit { of: self.clone(), n })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(self.n, Ordering::AcqRel);
    }
}
