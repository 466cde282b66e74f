//! Which entries match far more often than they did?
//!
//! A hash of something harmless that everybody shares can match thousands of times in minutes, and each match asks for an action. Matches of each entry are
//! counted in windows of time; one that matches far above its own norm of the windows before is named, once a window, to whoever asks. Matches by digest
//! do not count: they are of the same bytes, however many there are. Memory is bounded by the summary of Misra and Gries ("Finding repeated elements", 1982):
//! where very many entries match, a count may be short by one in [`COUNTED_MAX`] of all matches.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Action;
use crate::entry::options::options;
use crate::verdict::Verdict;

options! {
    /// When an entry matches so often that its matches are no longer acted on as before.
    #[derive(Copy, Eq)]
    pub struct Flood {
        /// Matches of one entry in a window, from which on it counts as a flood; 0: never. Whoever can upload can make an entry match: choose a number
        /// beyond what a few callers come to.
        pub matches_max: u32 = 0, in 0..=1_000_000_000;
        /// And so many times its norm, which is the average of the windows before.
        pub times_norm: u32 = 20, in 1..=1_000_000;
        /// Seconds of a window.
        pub window_s: u64 = 600, in 1..=86_400;
        /// The matches of such an entry ask for OBSERVE at most; for REVIEW if false.
        pub observe: bool = false;
    }
}

impl Flood {
    /// What matches of a flooding entry ask for at most.
    pub fn action(&self) -> Action {
        if self.observe { Action::Observe } else { Action::Review }
    }
}

/// Entries that are counted in a window.
const COUNTED_MAX: usize = 65_536;
/// Floods that wait to be asked for.
const WAITING_MAX: usize = 1_000;

/// An entry that matches far more often than it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flooded {
    pub list: String,
    pub entry_id: String,
    /// In the window so far.
    pub matches: u32,
}

pub struct Floods {
    options: Flood,
    keys: RandomState,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    began: Option<Instant>,
    matches: HashMap<u64, u32>,
    /// A window's matches on average, of entries that come near a flood.
    norms: HashMap<u64, f64>,
    waiting: Vec<Flooded>,
}

impl Floods {
    pub fn new(options: Flood) -> Self {
        Floods { options, keys: RandomState::new(), counts: Mutex::default() }
    }

    pub fn count(&self, verdict: &Verdict, now: Instant) {
        if self.options.matches_max == 0 {
            return;
        }
        let most = self.options.action();
        // What asks for no more than that is not counted: it may have been capped for it.
        let counted = verdict.matches.iter().filter(|found| !found.exact && found.action > most);
        let mut counts = None;
        for found in counted {
            let counts = counts.get_or_insert_with(|| self.counts.lock().unwrap_or_else(PoisonError::into_inner));
            counts.turn(now, &self.options);
            let key = self.keys.hash_one((&found.list, &found.entry_id));
            let least = self.least(counts.norms.get(&key));
            let matches = counts.matches.entry(key).and_modify(|matches| *matches += 1).or_insert(1);
            let matches = *matches;
            if matches == least && counts.waiting.len() < WAITING_MAX {
                let (list, entry_id) = (found.list.clone(), found.entry_id.clone());
                counts.waiting.push(Flooded { list, entry_id, matches });
            }
            if counts.matches.len() > COUNTED_MAX {
                counts.matches.retain(|_, matches| {
                    *matches -= 1;
                    *matches > 0
                });
            }
        }
    }

    /// The matches that make a flood of an entry.
    fn least(&self, norm: Option<&f64>) -> u32 {
        let by_norm = norm.map_or(0.0, |norm| norm * f64::from(self.options.times_norm));
        self.options.matches_max.max(by_norm.ceil() as u32)
    }

    /// The floods since this was asked last.
    pub fn take(&self) -> Vec<Flooded> {
        std::mem::take(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner).waiting)
    }
}

impl Counts {
    /// Begins the next window where this one is over.
    fn turn(&mut self, now: Instant, options: &Flood) {
        let began = *self.began.get_or_insert(now);
        let window = Duration::from_secs(options.window_s);
        let over = now.saturating_duration_since(began).as_secs() / window.as_secs().max(1);
        if over == 0 {
            return;
        }
        self.began = Some(now);
        // Windows in which nothing matched count too.
        let silent = 0.75f64.powi((over - 1).min(64) as i32);
        self.norms.values_mut().for_each(|norm| *norm *= 0.75 * silent);
        let near = options.matches_max / options.times_norm.max(1);
        for (key, matches) in self.matches.drain().filter(|(_, matches)| *matches > near) {
            *self.norms.entry(key).or_default() += 0.25 * silent * f64::from(matches);
        }
        self.norms.retain(|_, norm| *norm >= 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{HashKind, Transform, View};
    use crate::verdict::{Match, Outcome};

    fn verdict(entry: u64, action: Action, exact: bool) -> Verdict {
        let found = Match {
            list: "a".to_owned(),
            entry_id: entry.to_string(),
            category: String::new(),
            kind: HashKind::Pdq,
            distance: 1,
            threshold: 31,
            transform: Transform::Identity,
            frame: 0,
            exact,
            action,
            view: View::WHOLE,
            chance: 0.0,
        };
        Verdict {
            outcome: Outcome::Match,
            reason: None,
            detail: String::new(),
            left_out: Vec::new(),
            action: Some(action),
            matches: vec![found],
            suppressed: Vec::new(),
            shadow: Vec::new(),
            cut: 0,
            pdq_quality: None,
            snapshot: 1,
            lists: Vec::new(),
            views: Default::default(),
            withheld: false,
        }
    }

    #[test]
    fn what_matches_far_above_its_norm_is_named_once_a_window() {
        let options = Flood { matches_max: 100, times_norm: 10, window_s: 60, observe: false };
        let floods = Floods::new(options);
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let feed = |entry, n: u32, second| (0..n).for_each(|_| floods.count(&verdict(entry, Action::Block, false), at(second)));
        let named = || floods.take().into_iter().map(|f| (f.entry_id, f.matches)).collect::<Vec<_>>();
        feed(1, 99, 0);
        assert_eq!(named(), []);
        feed(1, 200, 1);
        assert_eq!(named(), [("1".to_owned(), 100)]);
        // By digest, or of no more than the action that it would be capped to: never.
        (0..500).for_each(|_| floods.count(&verdict(2, Action::Block, true), at(2)));
        (0..500).for_each(|_| floods.count(&verdict(3, Action::Review, false), at(2)));
        assert_eq!(named(), []);
        // One that is always frequent has another norm: 80 a window, so 800.
        for window in 0..30 {
            feed(4, 80, 100 + 60 * window);
        }
        assert_eq!(named(), []);
        feed(4, 700, 100 + 60 * 30);
        assert_eq!(named(), []);
        feed(4, 200, 100 + 60 * 30);
        assert_eq!(named().len(), 1);
        // Long silence, and it is gone.
        feed(4, 100, 100 + 60 * 120);
        assert_eq!(named(), [("4".to_owned(), 100)]);
    }

    #[test]
    fn memory_is_bounded_and_off_is_off() {
        let floods = Floods::new(Flood { matches_max: 50, ..Flood::default() });
        let now = Instant::now();
        for n in 0..3 * COUNTED_MAX as u64 {
            floods.count(&verdict(n, Action::Block, false), now);
            if n % 1_000 == 0 {
                floods.count(&verdict(u64::MAX, Action::Block, false), now);
            }
        }
        assert!(floods.counts.lock().unwrap().matches.len() <= COUNTED_MAX);
        assert_eq!(floods.take().len(), 1);
        let off = Floods::new(Flood::default());
        (0..10).for_each(|_| off.count(&verdict(1, Action::Block, false), now));
        assert!(off.counts.lock().unwrap().matches.is_empty());
    }
}
