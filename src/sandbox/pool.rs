//! Which worker takes the next picture, and what comes in place of one that is lost?
//!
//! The thread that asks takes an idle worker and gives it back. One thread of the pool's own, the keeper, starts workers: the system ends them with
//! the thread that started them, so it lives as long as the pool. It is told of each worker that is lost, and looks now and then whether an
//! idle one has ended by itself. Invariant: `alive` counts the workers that are idle, taken or being started.

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::confine::Denied;
use super::options::{Options, Sandbox};
use super::process::{Failed, StartError, Worker, in_status, is_overrun};
use super::wire::Setup;
use super::worker;
use crate::decode::Limits;
use crate::entry::Reason;
use crate::extract::{Extractor, Features, InProcess, Unscanned, Wants};

/// How often idle workers are looked at, and the keeper tries again where none can be started, in the end.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the keeper waits after a worker could not be started, for the first time.
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// A worker that has had so many pictures is replaced, so that one which was taken over does not stay.
const PICTURES_MAX: u64 = 4096;

/// The extractor that has worker processes do the work.
pub struct Sandboxed {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
    /// For what is told without decoding.
    here: InProcess,
    limits: Limits,
}

struct Shared {
    program: PathBuf,
    setup: Setup,
    /// A worker that is not denied everything is no worker.
    required: bool,
    state: Mutex<State>,
    /// A worker is idle, or none will be.
    idle: Condvar,
    /// There is something to do for the keeper: a worker is lost or worn, or the end has come.
    to_do: Condvar,
}

struct State {
    idle: Vec<Worker>,
    alive: usize,
    /// That there should be.
    wanted: usize,
    /// Live ones that have had their pictures.
    worn: usize,
    denied: Denied,
    /// Why the last one could not be started.
    failing: bool,
    ending: bool,
}

impl Sandboxed {
    /// Starts the first of `workers` and says what it was denied; the others follow.
    pub fn start(options: &Options, limits: Limits, workers: usize) -> Result<Sandboxed, StartError> {
        let program = options.program.clone().ok_or(StartError::NoProgram)?;
        let state = State {
            idle: Vec::new(),
            alive: 1,
            wanted: workers.max(1),
            worn: 0,
            denied: Denied::ALL,
            failing: false,
            ending: false,
        };
        let shared = Arc::new(Shared {
            program,
            setup: Setup::of(&limits),
            required: options.sandbox == Sandbox::Required,
            state: Mutex::new(state),
            idle: Condvar::new(),
            to_do: Condvar::new(),
        });
        let (first, started) = mpsc::channel();
        let kept = shared.clone();
        let keeper = thread::Builder::new().name("sandbox".to_owned()).spawn(move || kept.keep(first));
        let keeper = keeper.map_err(StartError::Unstarted)?;
        let here = InProcess::new(limits.clone(), Instant::now);
        let sandboxed = Sandboxed { shared, keeper: Some(keeper), here, limits };
        for reason in Loss::ALL {
            reason.count(0); // so that an alert sees the first one
        }
        started.recv().unwrap_or(Err(StartError::NoProgram))?;
        Ok(sandboxed)
    }

    /// What every worker so far was denied.
    pub fn denied(&self) -> Denied {
        self.shared.state().denied
    }

    /// Workers that live now.
    pub fn alive(&self) -> usize {
        self.shared.state().alive
    }

    /// Process ids of the idle workers.
    pub fn idle(&self) -> Vec<u32> {
        self.shared.state().idle.iter().map(Worker::id).collect()
    }

    fn ask(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Result<Features, Unscanned>, Lost> {
        let mut gone = 0;
        loop {
            let mut taken = self.shared.take(until)?;
            let Some(worker) = taken.worker.as_mut() else { return Err(Lost::None) };
            let failed = match worker.ask(bytes, wants, until, self.limits.frames_max) {
                Ok(seen) => {
                    taken.give_back();
                    return Ok(seen);
                }
                Err(failed) => failed,
            };
            let status = worker.end();
            let loss = match (&failed, &status) {
                (Failed::Overran, _) => Loss::Overran,
                (Failed::Nonsense(_), _) => Loss::Nonsense,
                (Failed::Ended, Ok(status)) if is_overrun(status) => Loss::Overran,
                (Failed::Gone | Failed::Ended, _) => Loss::Ended,
            };
            loss.count(1);
            let how = status.map_or_else(|error| error.to_string(), |status| in_status(&status));
            drop(taken);
            match failed {
                // It ended while it was idle, so it was not this picture. Where more end so than there were, it may be after all.
                Failed::Gone if gone < self.shared.state().wanted => {
                    gone += 1;
                    tracing::warn!(how, "an idle worker process had ended; another one takes the picture");
                }
                Failed::Nonsense(nonsense) => {
                    tracing::error!(%nonsense, "a worker process was ended: a picture may have taken it over");
                    return Err(Lost::Nonsense);
                }
                Failed::Gone | Failed::Ended | Failed::Overran => {
                    let reason = loss.name();
                    tracing::warn!(reason, how, "a worker process was lost to a picture and is replaced");
                    return Err(if loss == Loss::Overran { Lost::Overran } else { Lost::Ended(how) });
                }
            }
        }
    }
}

impl Extractor for Sandboxed {
    fn work(&self, bytes: &[u8]) -> u64 {
        self.here.work(bytes)
    }

    fn extract(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned> {
        // Refused by its length alone.
        if bytes.is_empty() || bytes.len() as u64 > self.limits.image_bytes_max || Instant::now() > until {
            return self.here.extract(bytes, wants, until);
        }
        self.ask(bytes, wants, until).unwrap_or_else(|lost| Err(lost.into()))
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        self.shared.state().ending = true;
        self.shared.to_do.notify_all();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join(); // it panics nowhere, and if it did the workers would be ended all the same
        }
    }
}

/// Why a picture has no answer.
enum Lost {
    /// There is no worker, and none can be started.
    None,
    /// None was idle in time.
    Late,
    Ended(String),
    Overran,
    Nonsense,
}

impl From<Lost> for Unscanned {
    fn from(lost: Lost) -> Unscanned {
        let (reason, detail) = match lost {
            Lost::None => (Reason::Crashed, "no worker process was there to decode it".to_owned()),
            Lost::Late => (Reason::Timeout, "the deadline passed before a worker process was there".to_owned()),
            Lost::Ended(how) => (Reason::Crashed, format!("the process that decoded it ended ({how})")),
            Lost::Overran => (Reason::Timeout, "the deadline passed, and the process that decoded it was ended".to_owned()),
            Lost::Nonsense => (Reason::Crashed, "the process that decoded it gave no sound answer and was ended".to_owned()),
        };
        Unscanned { reason, detail }
    }
}

/// Why a worker is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Ended,
    Overran,
    Nonsense,
}

impl Loss {
    const ALL: [Loss; 3] = [Loss::Ended, Loss::Overran, Loss::Nonsense];

    fn name(self) -> &'static str {
        match self {
            Loss::Ended => "ended",
            Loss::Overran => "overran",
            Loss::Nonsense => "nonsense",
        }
    }

    fn count(self, n: u64) {
        metrics::counter!("hashwarden_workers_lost_total", "reason" => self.name()).increment(n);
    }
}

/// A worker in use. Lost, unless it is given back.
struct Taken<'s> {
    worker: Option<Worker>,
    shared: &'s Shared,
}

impl Taken<'_> {
    fn give_back(mut self) {
        let Some(worker) = self.worker.take() else { return };
        let is_worn = worker.asked >= PICTURES_MAX;
        let mut state = self.shared.state();
        state.worn += usize::from(worker.asked == PICTURES_MAX);
        state.idle.push(worker);
        drop(state);
        self.shared.idle.notify_one();
        if is_worn {
            self.shared.to_do.notify_all();
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            let is_worn = worker.asked >= PICTURES_MAX;
            drop(worker); // killed and waited for before another one is started in its place
            let mut state = self.shared.state();
            state.alive -= 1;
            state.worn = state.worn.saturating_sub(usize::from(is_worn));
            drop(state);
            self.shared.to_do.notify_all();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker that was idle last: its memory is warm.
    fn take(&self, until: Instant) -> Result<Taken<'_>, Lost> {
        let mut state = self.state();
        loop {
            if let Some(worker) = state.idle.pop() {
                return Ok(Taken { worker: Some(worker), shared: self });
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.failing && state.alive == 0 {
                return Err(Lost::None);
            }
            if left.is_zero() {
                return Err(Lost::Late);
            }
            state = self.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn start_one(&self) -> Result<(Worker, Denied), StartError> {
        let (worker, denied) = Worker::start(&self.program, &self.setup)?;
        match denied.allows() {
            Some(allowed) if self.required => Err(StartError::Unconfined(allowed)),
            _ => Ok((worker, denied)),
        }
    }

    /// The keeper's life. `first` is told how it went with the first worker, which is counted already.
    fn keep(&self, first: Sender<Result<Denied, StartError>>) {
        let started = self.start_one().map(|(worker, denied)| {
            self.add(worker, denied);
            denied
        });
        let ends = started.is_err();
        if first.send(started).is_err() || ends {
            return;
        }
        let mut retry = RETRY_FIRST;
        let mut state = self.state();
        while !state.ending {
            // A worn one stays until the one in its place is there.
            if state.alive < state.wanted + state.worn.min(1) {
                state.alive += 1;
                drop(state);
                match self.start_one() {
                    Ok((worker, denied)) => {
                        self.add(worker, denied);
                        retry = RETRY_FIRST;
                        state = self.state();
                    }
                    Err(error) => {
                        state = self.state();
                        state.alive -= 1;
                        if !std::mem::replace(&mut state.failing, true) {
                            tracing::error!(%error, "no further worker process can be started; it is tried again");
                        }
                        self.idle.notify_all();
                        state = self.wait(state, retry);
                        retry = (2 * retry).min(LOOK_EVERY);
                    }
                }
                continue;
            }
            let leaving = self.leaving(&mut state);
            if leaving.is_empty() {
                state = self.wait(state, LOOK_EVERY);
            } else {
                drop(state);
                drop(leaving);
                state = self.state();
            }
        }
        let idle = std::mem::take(&mut state.idle);
        state.alive -= idle.len();
        drop(state);
        drop(idle);
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, most: Duration) -> MutexGuard<'s, State> {
        if state.ending {
            return state;
        }
        self.to_do.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0
    }

    fn add(&self, worker: Worker, denied: Denied) {
        let mut state = self.state();
        state.denied = state.denied.both(denied);
        state.failing = false;
        state.idle.push(worker);
        drop(state);
        self.idle.notify_one();
    }

    /// Idle workers that are to go: one that is worn, if there is one more than there should be, and those that have ended.
    fn leaving(&self, state: &mut State) -> Vec<Worker> {
        let mut leaving = Vec::new();
        if state.alive > state.wanted
            && let Some(at) = state.idle.iter().position(|worker| worker.asked >= PICTURES_MAX)
        {
            leaving.push(state.idle.swap_remove(at));
            state.worn = state.worn.saturating_sub(1);
        }
        let gone = state.idle.extract_if(.., Worker::is_gone).collect::<Vec<_>>();
        gone.iter().for_each(|_| Loss::Ended.count(1));
        state.worn = state.worn.saturating_sub(gone.iter().filter(|worker| worker.asked >= PICTURES_MAX).count());
        leaving.extend(gone);
        state.alive -= leaving.len();
        leaving
    }
}

impl std::fmt::Debug for Sandboxed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state();
        f.debug_struct("Sandboxed").field("alive", &state.alive).field("denied", &state.denied).finish()
    }
}

/// What workers take at the most, all of them, beside what decoding takes.
pub fn beside_bytes(limits: &Limits, workers: u64) -> u64 {
    limits.image_bytes_max.saturating_add(worker::BESIDE_BYTES).saturating_add(CODE_BYTES).saturating_mul(workers)
}

/// Of its own pages that a worker has before the first picture: what it shares with its server is not counted.
const CODE_BYTES: u64 = 8 << 20;
