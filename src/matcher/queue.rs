//! Whose image is worked on next, and is there time for it?
//!
//! Each caller has a line of its own. The next image is that of the caller who was served the least: by the work that files declare and, once they
//! are done, by the time they took. So another's image waits for those that are in work already and not for a long line of somebody else's. A
//! file that can't be done before its deadline, by what stands before it and how quickly such work went lately, is refused at once: its caller
//! can go elsewhere, and no time goes into an answer that nobody waits for. Work is in pixels, as `extract` tells it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Caller;

/// Nanoseconds of a thread for one pixel, before any was done.
const PIXEL_NS_AT_FIRST: f64 = 8.0;
/// The measure goes no higher: a hundred times what is assumed at first, and more.
const PIXEL_NS_MAX: f64 = 1000.0;
/// How much of the measure the newest job is.
const NEWEST: f64 = 0.1;

pub struct Queue<J> {
    threads: u64,
    state: Mutex<State<J>>,
}

struct State<J> {
    lines: HashMap<Caller, Line<J>>,
    /// What the caller who was served last had been served before: where one begins who comes anew.
    served: u64,
    waiting: u64,
    in_work: u64,
    pixel_ns: f64,
}

struct Line<J> {
    served: u64,
    waiting: u64,
    jobs: VecDeque<(u64, J)>,
}

/// A job that is worked on.
pub struct Begun<J> {
    pub job: J,
    pub declared: Declared,
}

/// Work that a caller's file declares.
pub struct Declared {
    caller: Caller,
    work: u64,
}

impl<J> Queue<J> {
    pub fn new(threads: usize) -> Self {
        let state = State { lines: HashMap::new(), served: 0, waiting: 0, in_work: 0, pixel_ns: PIXEL_NS_AT_FIRST };
        Queue { threads: threads.max(1) as u64, state: Mutex::new(state) }
    }

    /// Puts a job in its caller's line, or gives it back where it can't be done in time. Of its work `spare` can be left undone.
    pub fn push(&self, caller: &Caller, (work, spare): (u64, u64), until: Instant, job: J) -> Result<(), J> {
        let mut state = self.lock();
        let own = state.lines.get(caller).map_or(0, |line| line.waiting);
        let others = state.lines.iter().filter(|(of, line)| *of != caller && line.waiting > 0).count() as u64;
        // Others get no more than as much before it, each.
        let before = state.waiting.min((own + work).saturating_mul(others + 1)).max(own);
        let pixels = (before + state.in_work) / self.threads + work.saturating_sub(spare);
        let takes = Duration::from_nanos((pixels as f64 * state.pixel_ns) as u64);
        // Where nothing stands before it, it is tried: a measure that went wrong would else never be mended.
        if before + state.in_work > 0 && until.saturating_duration_since(Instant::now()) < takes {
            return Err(job);
        }
        let served = state.served;
        let line = state.lines.entry(caller.clone()).or_insert_with(|| Line { served, waiting: 0, jobs: VecDeque::new() });
        line.served = line.served.max(served);
        line.waiting += work;
        line.jobs.push_back((work, job));
        state.waiting += work;
        Ok(())
    }

    /// The next job; there are as many as were put in.
    pub fn pop(&self) -> Option<Begun<J>> {
        let mut state = self.lock();
        let in_line = state.lines.iter_mut().filter(|(_, line)| !line.jobs.is_empty());
        let (caller, line) = in_line.min_by_key(|(_, line)| line.served)?;
        let caller = caller.clone();
        let (work, job) = line.jobs.pop_front()?;
        let served = line.served;
        line.served += work;
        line.waiting -= work;
        // Who comes anew has no credit from before; who was served more than others is remembered until they have caught up.
        state.served = state.served.max(served);
        let all = state.served;
        state.lines.retain(|_, line| !line.jobs.is_empty() || line.served > all);
        state.waiting -= work;
        if state.waiting == 0 {
            state.lines.clear();
        }
        state.in_work += work;
        Some(Begun { job, declared: Declared { caller, work } })
    }

    /// A job took so long. Its caller was served that much, whatever its file declared: nobody gains by a header that lies.
    pub fn done(&self, Declared { caller, work }: Declared, took: Duration) {
        let mut state = self.lock();
        state.in_work -= work;
        if state.waiting > 0 {
            // Not by the measure, which files that are done in no time bring down: the next caller would be charged for years.
            let (all, took) = (state.served, (took.as_nanos() as f64 / PIXEL_NS_AT_FIRST) as i64);
            let line = state.lines.entry(caller).or_insert_with(|| Line { served: all, waiting: 0, jobs: VecDeque::new() });
            line.served = line.served.saturating_add_signed(took - work as i64);
        }
        let pixel_ns = took.as_nanos() as f64 / work.max(1) as f64;
        // One file whose header lies must not make all others look like it.
        state.pixel_ns = (state.pixel_ns + (pixel_ns - state.pixel_ns) * NEWEST).min(PIXEL_NS_MAX);
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller(name.to_owned())
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn order(queue: &Queue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop()).map(|begun| begun.job).collect()
    }

    #[test]
    fn another_callers_image_waits_for_what_is_in_work_and_no_more() {
        let queue = Queue::new(1);
        for _ in 0..100 {
            queue.push(&caller("a"), (1_000_000, 0), later(), "a").unwrap();
        }
        assert_eq!(queue.pop().unwrap().job, "a");
        queue.push(&caller("b"), (5_000_000, 0), later(), "b").unwrap();
        assert_eq!(queue.pop().unwrap().job, "b");
        // Who was served much waits until the other was, too.
        queue.push(&caller("b"), (1, 0), later(), "b").unwrap();
        let rest = order(&queue);
        let at = rest.iter().position(|job| *job == "b").unwrap();
        assert!((1..=6).contains(&at), "{at}");
    }

    #[test]
    fn small_files_of_one_and_large_of_another_get_as_much_time() {
        let queue = Queue::new(1);
        for _ in 0..20 {
            queue.push(&caller("small"), (10, 0), later(), "s").unwrap();
        }
        for _ in 0..4 {
            queue.push(&caller("large"), (50, 0), later(), "L").unwrap();
        }
        let text: String = order(&queue).concat();
        assert_eq!(text.matches('s').count(), 20);
        let first_half = &text[..12];
        assert!(first_half.matches('L').count() >= 2 && first_half.matches('s').count() >= 9, "{text}");
    }

    /// A small animation with as many views as may be took thirty times what it declared: its caller had nearly all of the time.
    #[test]
    fn files_that_take_longer_than_they_declare_are_charged_for_it() {
        let queue = Queue::new(1);
        for _ in 0..100 {
            queue.push(&caller("slow"), (100_000, 0), later(), "s").unwrap();
            queue.push(&caller("quick"), (100_000, 0), later(), "q").unwrap();
        }
        let mut took = HashMap::from([("s", Duration::ZERO), ("q", Duration::ZERO)]);
        while took["q"] < 60 * Duration::from_micros(800) {
            let begun = queue.pop().unwrap();
            let time = Duration::from_micros(if begun.job == "s" { 24_000 } else { 800 });
            *took.get_mut(begun.job).unwrap() += time;
            queue.done(begun.declared, time);
        }
        // Of equal shares each had some 48 ms.
        assert!(took["s"] <= Duration::from_millis(120), "{took:?}");
    }

    /// Files that declare a hundred megapixels and are refused in no time make pixels look quick. Who comes next is charged no more for it.
    #[test]
    fn files_that_declare_more_than_they_take_do_not_hold_others_back() {
        let queue = Queue::new(1);
        for _ in 0..300 {
            queue.push(&caller("liar"), (100_000_000, 0), later(), "l").unwrap();
        }
        for _ in 0..200 {
            queue.done(queue.pop().unwrap().declared, Duration::from_micros(1));
        }
        let mut order = String::new();
        for _ in 0..30 {
            queue.push(&caller("honest"), (12_000_000, 0), later(), "h").unwrap();
        }
        for _ in 0..40 {
            let begun = queue.pop().unwrap();
            order.push_str(begun.job);
            queue.done(begun.declared, Duration::from_millis(96));
        }
        assert!((15..=25).contains(&order.matches('h').count()), "both take as long: {order}");
    }

    /// Of 400 calls with 12 megapixels 254 missed their deadlines after ten seconds: they are told at once.
    #[test]
    fn what_can_not_be_done_in_time_is_refused_at_once() {
        let queue = Queue::new(2);
        let until = Instant::now() + Duration::from_secs(10);
        let taken = (0..400).filter(|_| queue.push(&caller("a"), (12_000_000, 0), until, "a").is_ok()).count();
        // 12 megapixels at 8 ns are 96 ms: some 200 in ten seconds on two threads.
        assert!((190..=210).contains(&taken), "{taken}");
        // Another caller's is not behind them all.
        assert!(queue.push(&caller("b"), (12_000_000, 0), until, "b").is_ok());
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(queue.push(&caller("c"), (12_000_000, 0), soon, "c").is_err(), "it takes 96 ms by itself");
        // What is measured counts: work that goes more slowly fits less.
        let Declared { caller: of, work } = queue.pop().unwrap().declared;
        (0..100).for_each(|_| queue.lock().in_work += work);
        (0..100).for_each(|_| queue.done(Declared { caller: of.clone(), work }, Duration::from_secs(5)));
        assert!(queue.push(&caller("b"), (12_000_000, 0), until, "b").is_err());
    }

    /// An image was refused whose whole could have been answered in time, for the sake of its views.
    #[test]
    fn work_that_can_be_left_undone_turns_nothing_away() {
        let queue = Queue::new(1);
        queue.push(&caller("a"), (1, 0), later(), "a").unwrap();
        let _begun = queue.pop().unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(queue.push(&caller("b"), (120_000_000, 0), soon, "b").is_err(), "it takes a second by itself");
        assert!(queue.push(&caller("b"), (120_000_000, 119_900_000), soon, "b").is_ok());
    }

    /// A tiny file that took ten seconds made every pixel look that slow: nothing was admitted, so nothing was measured again.
    #[test]
    fn a_header_that_lies_does_not_turn_others_away_for_good() {
        let queue = Queue::new(1);
        let until = || Instant::now() + Duration::from_secs(10);
        queue.push(&caller("a"), (20_000, 0), until(), "a").unwrap();
        let begun = queue.pop().unwrap();
        queue.done(begun.declared, Duration::from_secs(10));
        for _ in 0..40 {
            queue.push(&caller("b"), (12_000_000, 0), until(), "b").unwrap();
            let begun = queue.pop().unwrap();
            queue.done(begun.declared, Duration::from_millis(96));
        }
        let taken = (0..20).filter(|_| queue.push(&caller("b"), (12_000_000, 0), until(), "b").is_ok()).count();
        assert_eq!(taken, 20, "the measure is as before");
    }
}
