//! Which threads have been busy with one job for too long?
//!
//! A decoder that never comes back holds its thread for good: the pool has one less, and in the end none. Each thread of a [`Pool`] has a
//! place that says since when it has been busy, and in which span, so that the log can name the job. Nothing is interrupted here: who
//! looks is told. Invariant: each job that is found stuck is logged once, and once more when it ends after all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tracing::Span;

/// Threads with a name, and what each of them does now.
pub struct Pool {
    name: &'static str,
    threads: ThreadPool,
    places: Places,
}

/// One for each thread; `None` while it is idle. Locked by its own thread and by whoever looks.
type Places = Arc<[Mutex<Option<Busy>>]>;

struct Busy {
    since: Instant,
    /// The span that the job was submitted in.
    span: Span,
    /// It was found stuck.
    told: bool,
}

/// How a pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    pub pool: &'static str,
    pub threads: usize,
    pub busy: usize,
    /// Those that have been busy with one job for longer than the limit.
    pub stuck: usize,
}

impl PoolState {
    /// All threads are: nothing is answered any more.
    pub fn is_stuck(&self) -> bool {
        self.stuck == self.threads
    }
}

impl Pool {
    /// `threads` of 0 means one for each core.
    pub fn new(name: &'static str, threads: usize) -> Result<Pool, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(move |n| format!("{name}-{n}"))
            // Without a handler rayon ends the process. A job that panics drops its `done`, and the edge says so.
            .panic_handler(move |_| tracing::error!(pool = name, "a matching job panicked"))
            .build()?;
        let places = (0..threads.current_num_threads()).map(|_| Mutex::new(None)).collect();
        Ok(Pool { name, threads, places })
    }

    /// Runs `work` on one of the threads, in the span of who submits it.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let (name, places, span) = (self.name, self.places.clone(), Span::current());
        self.threads.spawn(move || {
            let _place = Place::take(name, &places, span.clone());
            span.in_scope(work);
        });
    }

    /// The same with work that is chosen, with its span, once a thread is free.
    pub fn spawn_next<W: FnOnce()>(&self, next: impl FnOnce() -> Option<(Span, W)> + Send + 'static) {
        let (name, places) = (self.name, self.places.clone());
        self.threads.spawn(move || {
            let Some((span, work)) = next() else { return };
            let _place = Place::take(name, &places, span.clone());
            span.in_scope(work);
        });
    }

    pub fn threads(&self) -> usize {
        self.places.len()
    }

    /// Looks at every thread. A job that is found stuck for the first time is logged.
    pub fn look(&self, longest: Duration) -> PoolState {
        let mut state = PoolState { pool: self.name, threads: self.places.len(), busy: 0, stuck: 0 };
        for place in self.places.iter() {
            let mut place = held(place);
            let Some(busy) = place.as_mut() else { continue };
            state.busy += 1;
            let took = busy.since.elapsed();
            if took <= longest {
                continue;
            }
            state.stuck += 1;
            if !std::mem::replace(&mut busy.told, true) {
                metrics::counter!("hashwarden_threads_stuck_total", "pool" => self.name).increment(1);
                let (pool, ms) = (self.name, took.as_millis() as u64);
                tracing::error!(parent: &busy.span, pool, ms, "a thread is stuck: it is still busy with one job");
            }
        }
        state
    }
}

/// A thread's place while it works on a job; free again when this is dropped, also by a panic.
struct Place<'p> {
    pool: &'static str,
    place: Option<&'p Mutex<Option<Busy>>>,
    /// The job that waits for its own parts meanwhile: a thread that waits takes other jobs on.
    before: Option<Busy>,
}

impl<'p> Place<'p> {
    fn take(pool: &'static str, places: &'p Places, span: Span) -> Self {
        let place = rayon::current_thread_index().and_then(|n| places.get(n));
        let busy = Busy { since: Instant::now(), span, told: false };
        let before = place.and_then(|place| held(place).replace(busy));
        Place { pool, place, before }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let done = std::mem::replace(&mut *held(place), self.before.take());
        if let Some(busy) = done.filter(|busy| busy.told) {
            let ms = busy.since.elapsed().as_millis() as u64;
            tracing::warn!(parent: &busy.span, pool = self.pool, ms, "a thread that was stuck is free again");
        }
    }
}

/// A panic can't leave a place half-written.
fn held(place: &Mutex<Option<Busy>>) -> MutexGuard<'_, Option<Busy>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const AT_ONCE: Duration = Duration::ZERO;
    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_thread_is_stuck_until_its_job_ends_even_by_a_panic() {
        let pool = Pool::new("extract", 2).unwrap();
        let state = |busy, stuck| PoolState { pool: "extract", threads: 2, busy, stuck };
        assert_eq!(pool.look(AT_ONCE), state(0, 0));
        let (go, wait) = mpsc::channel::<()>();
        let (began, begins) = mpsc::channel();
        pool.spawn(move || {
            began.send(()).unwrap();
            wait.recv().unwrap_err();
            panic!("after all");
        });
        begins.recv().unwrap();
        assert_eq!(pool.look(NEVER), state(1, 0));
        assert_eq!(pool.look(AT_ONCE), state(1, 1));
        drop(go);
        while pool.look(AT_ONCE) != state(0, 0) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_job_that_waits_for_its_parts_keeps_its_own_time() {
        let pool = Pool::new("search", 1).unwrap();
        let (ended, ends) = mpsc::channel();
        let places = pool.places.clone();
        pool.spawn(move || {
            let since = held(&places[0]).as_ref().unwrap().since;
            drop(Place::take("search", &places, Span::none()));
            ended.send(held(&places[0]).as_ref().unwrap().since == since).unwrap();
        });
        assert!(ends.recv().unwrap());
    }
}
