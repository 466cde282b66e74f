//! Whose image is worked on next, and is there time for it?
//!
//! Each caller has a line of its own, and one more for images whose views are not wanted: they do not wait for the views of others. The next
//! image is that of the line that was served the least: by the work that files declare and, once they are done, by the time they took. So
//! another's image waits for those that are in work already and not for a long line of somebody else's. A file that can't be done before its
//! deadline, by what stands before it and how quickly such work went lately, is refused at once: its caller can go elsewhere, and no time goes
//! into an answer that nobody waits for.

use std::collections::{HashMap, VecDeque};
use std::ops::{AddAssign, SubAssign};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Caller;

/// What an image is to a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// To be decoded and hashed, as `extract` tells it.
    pub pixels: u64,
    /// Images whose views are wanted. They are left undone where there is no time for them.
    pub views: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, more: Work) {
        self.pixels += more.pixels;
        self.views += more.views;
    }
}

impl SubAssign for Work {
    fn sub_assign(&mut self, less: Work) {
        self.pixels -= less.pixels;
        self.views -= less.views;
    }
}

/// How long an image's views took.
#[derive(Debug, Clone, Copy, Default)]
pub struct ViewTime {
    pub took: Duration,
    /// All were made and looked up.
    pub made: bool,
}

/// Nanoseconds of a thread for a pixel, and for an image's views.
#[derive(Debug, Clone, Copy)]
struct Pace {
    pixel: f64,
    views: f64,
}

/// Before any was measured. What callers are charged goes by it throughout: by what was measured last, files that declare much and take nothing
/// would have the next caller charged for years.
const PACE_AT_FIRST: Pace = Pace { pixel: 8.0, views: 11e6 };
/// The measures go no higher: many times what is assumed at first.
const PACE_MAX: Pace = Pace { pixel: 1000.0, views: 300e6 };
/// How much of a measure the newest job is.
const NEWEST: f64 = 0.1;

impl Pace {
    fn ns(&self, work: Work) -> f64 {
        work.pixels as f64 * self.pixel + work.views as f64 * self.views
    }

    fn learn(&mut self, work: Work, took: Duration, views: ViewTime) {
        let beside = took.saturating_sub(views.took);
        let learn = |measure: &mut f64, newest: f64, max: f64| *measure = (*measure + (newest - *measure) * NEWEST).min(max);
        // One file whose header lies must not make all others look like it.
        learn(&mut self.pixel, beside.as_nanos() as f64 / work.pixels.max(1) as f64, PACE_MAX.pixel);
        if views.made && work.views > 0 {
            learn(&mut self.views, views.took.as_nanos() as f64 / work.views as f64, PACE_MAX.views);
        }
    }
}

pub struct Queue<J> {
    threads: f64,
    state: Mutex<State<J>>,
}

struct State<J> {
    lines: HashMap<Place, Line<J>>,
    /// What the line that was served last had been served before: where one begins that comes anew.
    served_ns: u64,
    waiting: Work,
    in_work: Work,
    pace: Pace,
}

/// Whose line, and whether views are wanted in it.
type Place = (Caller, bool);

struct Line<J> {
    served_ns: u64,
    waiting: Work,
    jobs: VecDeque<(Work, J)>,
}

impl<J> Line<J> {
    fn new(served_ns: u64) -> Self {
        Line { served_ns, waiting: Work::default(), jobs: VecDeque::new() }
    }
}

/// A job that is worked on.
pub struct Begun<J> {
    pub job: J,
    pub declared: Declared,
}

/// Work that a caller's file declares.
pub struct Declared {
    place: Place,
    work: Work,
}

impl Declared {
    fn ns(work: Work) -> u64 {
        PACE_AT_FIRST.ns(work) as u64
    }
}

impl<J> Queue<J> {
    pub fn new(threads: usize) -> Self {
        let (waiting, in_work) = Default::default();
        let state = State { lines: HashMap::new(), served_ns: 0, waiting, in_work, pace: PACE_AT_FIRST };
        Queue { threads: threads.max(1) as f64, state: Mutex::new(state) }
    }

    /// Puts a job in its line, or gives it back where its pixels can't be done in time.
    pub fn push(&self, caller: &Caller, work: Work, until: Instant, job: J) -> Result<(), J> {
        let mut state = self.lock();
        let place = (caller.clone(), work.views > 0);
        let pace = state.pace;
        let own = state.lines.get(&place).map_or(0.0, |line| pace.ns(line.waiting));
        let others = state.lines.iter().filter(|(of, line)| **of != place && !line.jobs.is_empty()).count();
        // Others get no more than as much before it, each.
        let before = pace.ns(state.waiting).min((own + pace.ns(work)) * (others + 1) as f64).max(own);
        let before = before + pace.ns(state.in_work);
        let takes = before / self.threads + pace.ns(Work { views: 0, ..work });
        // Where nothing stands before it, it is tried: a measure that went wrong would else never be mended.
        if before > 0.0 && until.saturating_duration_since(Instant::now()) < Duration::from_nanos(takes as u64) {
            return Err(job);
        }
        let served_ns = state.served_ns;
        let line = state.lines.entry(place).or_insert_with(|| Line::new(served_ns));
        line.served_ns = line.served_ns.max(served_ns);
        line.waiting += work;
        line.jobs.push_back((work, job));
        state.waiting += work;
        Ok(())
    }

    /// The next job; there are as many as were put in.
    pub fn pop(&self) -> Option<Begun<J>> {
        let mut state = self.lock();
        let in_line = state.lines.iter_mut().filter(|(_, line)| !line.jobs.is_empty());
        let (place, line) = in_line.min_by_key(|(_, line)| line.served_ns)?;
        let place = place.clone();
        let (work, job) = line.jobs.pop_front()?;
        let served_ns = line.served_ns;
        line.served_ns += Declared::ns(work);
        line.waiting -= work;
        // Who comes anew has no credit from before; who was served more than others is remembered until they have caught up.
        state.served_ns = state.served_ns.max(served_ns);
        let all = state.served_ns;
        state.lines.retain(|_, line| !line.jobs.is_empty() || line.served_ns > all);
        state.waiting -= work;
        if state.waiting == Work::default() {
            state.lines.clear();
        }
        state.in_work += work;
        Some(Begun { job, declared: Declared { place, work } })
    }

    /// A job took so long, with its views. Its line was served that long, whatever its file declared: nobody
    /// gains by a header that lies.
    pub fn done(&self, Declared { place, work }: Declared, took: Duration, views: ViewTime) {
        let mut state = self.lock();
        state.in_work -= work;
        if state.waiting != Work::default() {
            let all = state.served_ns;
            let line = state.lines.entry(place).or_insert_with(|| Line::new(all));
            line.served_ns = line.served_ns.saturating_add_signed(took.as_nanos() as i64 - Declared::ns(work) as i64);
        }
        state.pace.learn(work, took, views);
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

    const NONE: ViewTime = ViewTime { took: Duration::ZERO, made: false };

    fn made(ms: u64) -> ViewTime {
        ViewTime { took: Duration::from_millis(ms), made: true }
    }

    fn pixels(pixels: u64) -> Work {
        Work { pixels, views: 0 }
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
            queue.push(&caller("a"), pixels(1_000_000), later(), "a").unwrap();
        }
        assert_eq!(queue.pop().unwrap().job, "a");
        queue.push(&caller("b"), pixels(5_000_000), later(), "b").unwrap();
        assert_eq!(queue.pop().unwrap().job, "b");
        // Who was served much waits until the other was, too.
        queue.push(&caller("b"), pixels(1), later(), "b").unwrap();
        let rest = order(&queue);
        let at = rest.iter().position(|job| *job == "b").unwrap();
        assert!((1..=6).contains(&at), "{at}");
    }

    #[test]
    fn small_files_of_one_and_large_of_another_get_as_much_time() {
        let queue = Queue::new(1);
        for _ in 0..20 {
            queue.push(&caller("small"), pixels(10), later(), "s").unwrap();
        }
        for _ in 0..4 {
            queue.push(&caller("large"), pixels(50), later(), "L").unwrap();
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
            queue.push(&caller("slow"), pixels(100_000), later(), "s").unwrap();
            queue.push(&caller("quick"), pixels(100_000), later(), "q").unwrap();
        }
        let mut took = HashMap::from([("s", Duration::ZERO), ("q", Duration::ZERO)]);
        while took["q"] < 60 * Duration::from_micros(800) {
            let begun = queue.pop().unwrap();
            let time = Duration::from_micros(if begun.job == "s" { 24_000 } else { 800 });
            *took.get_mut(begun.job).unwrap() += time;
            queue.done(begun.declared, time, NONE);
        }
        // Of equal shares each had some 48 ms.
        assert!(took["s"] <= Duration::from_millis(120), "{took:?}");
    }

    /// Files that declare a hundred megapixels and are refused in no time make pixels look quick. Who comes next is charged no more for it.
    #[test]
    fn files_that_declare_more_than_they_take_do_not_hold_others_back() {
        let queue = Queue::new(1);
        for _ in 0..300 {
            queue.push(&caller("liar"), pixels(100_000_000), later(), "l").unwrap();
        }
        for _ in 0..200 {
            queue.done(queue.pop().unwrap().declared, Duration::from_micros(1), NONE);
        }
        let mut order = String::new();
        for _ in 0..30 {
            queue.push(&caller("honest"), pixels(12_000_000), later(), "h").unwrap();
        }
        for _ in 0..40 {
            let begun = queue.pop().unwrap();
            order.push_str(begun.job);
            queue.done(begun.declared, Duration::from_millis(96), NONE);
        }
        assert!((15..=25).contains(&order.matches('h').count()), "both take as long: {order}");
    }

    /// Of 400 calls with 12 megapixels 254 missed their deadlines after ten seconds: they are told at once.
    #[test]
    fn what_can_not_be_done_in_time_is_refused_at_once() {
        let queue = Queue::new(2);
        let until = Instant::now() + Duration::from_secs(10);
        let taken = (0..400).filter(|_| queue.push(&caller("a"), pixels(12_000_000), until, "a").is_ok()).count();
        // 12 megapixels at 8 ns are 96 ms: some 200 in ten seconds on two threads.
        assert!((190..=210).contains(&taken), "{taken}");
        // Another caller's is not behind them all.
        assert!(queue.push(&caller("b"), pixels(12_000_000), until, "b").is_ok());
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(queue.push(&caller("c"), pixels(12_000_000), soon, "c").is_err(), "it takes 96 ms by itself");
        // What is measured counts: work that goes more slowly fits less.
        let Declared { place, work } = queue.pop().unwrap().declared;
        (0..100).for_each(|_| queue.lock().in_work += work);
        (0..100).for_each(|_| queue.done(Declared { place: place.clone(), work }, Duration::from_secs(5), NONE));
        assert!(queue.push(&caller("b"), pixels(12_000_000), until, "b").is_err());
    }

    /// An image was refused whose whole could have been answered in time, for the sake of its views.
    #[test]
    fn work_that_can_be_left_undone_turns_nothing_away() {
        let queue = Queue::new(1);
        queue.push(&caller("a"), pixels(1), later(), "a").unwrap();
        let _begun = queue.pop().unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(queue.push(&caller("b"), pixels(120_000_000), soon, "b").is_err(), "it takes a second by itself");
        assert!(queue.push(&caller("b"), Work { pixels: 100_000, views: 90 }, soon, "b").is_ok());
    }

    /// A tiny file that took ten seconds made every pixel look that slow: nothing was admitted, so nothing was measured again.
    #[test]
    fn a_header_that_lies_does_not_turn_others_away_for_good() {
        let queue = Queue::new(1);
        let until = || Instant::now() + Duration::from_secs(10);
        queue.push(&caller("a"), pixels(20_000), until(), "a").unwrap();
        let begun = queue.pop().unwrap();
        queue.done(begun.declared, Duration::from_secs(10), NONE);
        for _ in 0..40 {
            queue.push(&caller("b"), pixels(12_000_000), until(), "b").unwrap();
            let begun = queue.pop().unwrap();
            queue.done(begun.declared, Duration::from_millis(96), NONE);
        }
        let taken = (0..20).filter(|_| queue.push(&caller("b"), pixels(12_000_000), until(), "b").is_ok()).count();
        assert_eq!(taken, 20, "the measure is as before");
    }

    /// An image that was asked for as a whole was refused for the views of its caller's other images.
    #[test]
    fn an_image_whose_views_are_not_wanted_does_not_wait_for_views() {
        let queue = Queue::new(1);
        let with_views = Work { pixels: 100_000, views: 1 };
        for _ in 0..200 {
            queue.push(&caller("a"), with_views, later(), "views").unwrap();
        }
        let begun = queue.pop().unwrap();
        let soon = Instant::now() + Duration::from_millis(100);
        assert!(queue.push(&caller("a"), with_views, soon, "views").is_err(), "two seconds of views stand before it");
        queue.push(&caller("a"), pixels(100_000), soon, "whole").unwrap();
        queue.done(begun.declared, Duration::from_millis(12), made(11));
        let first: Vec<_> = order(&queue).into_iter().take(2).collect();
        assert!(first.contains(&"whole"), "{first:?}");
    }

    /// Small images full of views made every pixel look slow: large ones were refused that would have been done in time.
    #[test]
    fn views_are_measured_apart_from_pixels() {
        let queue = Queue::new(1);
        for _ in 0..100 {
            queue.push(&caller("a"), Work { pixels: 20_000, views: 1 }, later(), "a").unwrap();
            let begun = queue.pop().unwrap();
            queue.done(begun.declared, Duration::from_micros(30_160), made(30));
        }
        let until = Instant::now() + Duration::from_secs(1);
        let large = (0..30).filter(|_| queue.push(&caller("b"), pixels(12_000_000), until, "b").is_ok()).count();
        assert_eq!(large, 10, "96 ms each");
        let queue = Queue::new(1);
        queue.push(&caller("a"), Work { pixels: 20_000, views: 1 }, later(), "a").unwrap();
        queue.done(queue.pop().unwrap().declared, Duration::from_millis(1), NONE);
        assert_eq!(queue.lock().pace.views, PACE_AT_FIRST.views, "views that were not made say nothing");
    }
}
