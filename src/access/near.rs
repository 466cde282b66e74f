//! How many different questions does a caller ask near one entry?
//!
//! Who looks for a listed hash asks with many different ones near it, as each answer tells at most a bit. A caller that learns only whether there
//! is a match has to ask at the edge of the radius, where the answer turns: of those only what matched there is counted, which copies of a
//! picture that goes round seldom do. One that is shown distances learns as much anywhere: it is counted wherever it matched, up to
//! [`SEEING`] times as far. The different hashes of each caller and entry count for an hour. Nothing is refused: beyond the limit each
//! further hash counts in a metric, and a line is logged that names the caller and the list. Pairs are kept as keyed digests, as many as [`PAIRS_MAX`], and of each as many digests of hashes as the limit: nothing that is kept tells of an entry.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::Principal;
use super::options::Options;
use super::refusal::is_due;
use crate::entry::Caller;

/// How long a question counts.
const WINDOW: Duration = Duration::from_secs(3600);
/// Callers and entries; those that were asked near the longest ago go.
const PAIRS_MAX: usize = 4096;
/// Callers that the metric names; others are "other".
const CALLERS_NAMED_MAX: usize = 256;

/// How many times as many different hashes a caller may ask with that is shown distances, before it is told.
const SEEING: usize = 8;

/// A question that matched.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    pub list: &'q str,
    pub entry: &'q str,
    /// Of what was looked up.
    pub digest: u64,
    /// It matched in the outer part of the radius.
    pub at_edge: bool,
}

/// Counts questions near entries.
pub struct Near {
    /// Different hashes within the window; 0: nothing is counted.
    max: usize,
    /// Without it, digests could be made elsewhere.
    key: RandomState,
    pairs: Mutex<Pairs>,
}

#[derive(Default)]
struct Pairs {
    /// By the digest of caller, list and entry.
    by: HashMap<u64, Pair>,
    /// Of questions, so that the order of pairs is known.
    clock: u64,
    named: HashSet<String>,
}

#[derive(Default)]
struct Pair {
    asked: u64,
    /// Digests of different hashes, with the time of the last question with each.
    hashes: HashMap<u64, Instant>,
}

impl Near {
    pub fn of(options: &Options) -> Self {
        Near::new(options.near_questions_max as usize)
    }

    /// One that counts up to so many different hashes near an entry; with 0, none.
    fn new(max: usize) -> Self {
        Near { max, key: RandomState::new(), pairs: Mutex::default() }
    }

    /// Counts a question. Gives whether it is beyond the limit.
    pub fn note(&self, principal: &Principal, question: Question<'_>, now: Instant) -> bool {
        let Question { list, entry, digest, at_edge } = question;
        let sees = principal.rights().sees;
        if self.max == 0 || !(sees || at_edge) {
            return false;
        }
        let caller = principal.caller();
        let max = if sees { SEEING * self.max } else { self.max };
        let (pair, hash) = (self.key.hash_one((&caller.0, list, entry)), self.key.hash_one(digest));
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let beyond = pairs.note(pair, hash, max, now);
        let label = beyond.then(|| pairs.label(caller));
        drop(pairs);
        let Some(label) = label else { return false };
        metrics::counter!("hashwarden_near_questions_total", "caller" => label).increment(1);
        if is_due(caller, "near", WINDOW) {
            tracing::warn!(
                caller = caller.0,
                list,
                different_hashes = max,
                "a caller asks with very many different hashes near one entry within an hour, as one who wants to find out a listed hash would; \
                 more of the caller's are only counted for an hour"
            );
        }
        true
    }
}

impl Pairs {
    fn note(&mut self, pair: u64, hash: u64, max: usize, now: Instant) -> bool {
        self.clock += 1;
        if self.by.len() >= PAIRS_MAX && !self.by.contains_key(&pair) {
            self.make_room();
        }
        let of = self.by.entry(pair).or_default();
        of.asked = self.clock;
        if let Some(last) = of.hashes.get_mut(&hash) {
            *last = now;
            return false;
        }
        if of.hashes.len() >= max {
            of.hashes.retain(|_, last| now.saturating_duration_since(*last) < WINDOW);
        }
        if of.hashes.len() >= max {
            return true;
        }
        of.hashes.insert(hash, now);
        false
    }

    /// An eighth at a time, so that not each new pair looks at all others.
    fn make_room(&mut self) {
        let mut asked: Vec<u64> = self.by.values().map(|pair| pair.asked).collect();
        let (_, last, _) = asked.select_nth_unstable(PAIRS_MAX / 8);
        let last = *last;
        self.by.retain(|_, pair| pair.asked > last);
    }

    /// The metric's label: names of callers, of which there are not too many.
    fn label(&mut self, caller: &Caller) -> String {
        if !self.named.contains(&caller.0) {
            if self.named.len() >= CALLERS_NAMED_MAX {
                return "other".to_owned();
            }
            self.named.insert(caller.0.clone());
        }
        caller.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn caller(name: &str) -> Caller {
        Caller(name.to_owned())
    }

    /// One that is shown no distances.
    fn blind(name: &str) -> Principal {
        Principal::nobody(Arc::new(caller(name)))
    }

    fn at_edge(entry: &str, digest: u64) -> Question<'_> {
        Question { list: "known", entry, digest, at_edge: true }
    }

    #[test]
    fn different_hashes_near_one_entry_are_counted_for_an_hour() {
        let (near, a, began) = (Near::new(3), blind("a"), Instant::now());
        let at = |minutes: u64| began + Duration::from_secs(60 * minutes);
        let note = |digest: u64, minutes: u64| near.note(&a, at_edge("e1", digest), at(minutes));
        // The same hash as often as it likes.
        assert!((0..100).all(|n| !note(1, n / 10)));
        assert!(!note(2, 10) && !note(3, 20));
        assert!(note(4, 30) && note(5, 30));
        assert!(!note(3, 30), "it was counted before");
        // Others' entries, lists and callers are others.
        let other_list = Question { list: "other", ..at_edge("e1", 4) };
        assert!(!near.note(&a, at_edge("e2", 4), at(30)) && !near.note(&a, other_list, at(30)));
        assert!(!near.note(&blind("b"), at_edge("e1", 4), at(30)));
        // 1 and 2 are older than an hour by then, and count no more.
        assert!(!note(6, 75) && !note(7, 75));
        assert!(note(8, 75));
    }

    #[test]
    fn who_is_shown_distances_is_counted_wherever_it_matched() {
        let (near, now) = (Near::new(3), Instant::now());
        let inner = |digest: u64| Question { at_edge: false, ..at_edge("e1", digest) };
        assert!((0..1000).all(|n| !near.note(&blind("a"), inner(n), now)), "it learns nothing there");
        let sees = Principal::trusted(Arc::new(caller("b")));
        let beyond = (0..40).filter(|n| near.note(&sees, inner(*n), now)).count();
        assert_eq!(beyond, 40 - 3 * SEEING);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_latest_stays() {
        let (near, now, a) = (Near::new(1), Instant::now(), blind("a"));
        assert!(!near.note(&a, at_edge("first", 1), now));
        for n in 0..3 * PAIRS_MAX {
            near.note(&a, at_edge(&n.to_string(), 1), now);
            assert!(near.note(&a, at_edge("first", 2), now), "it is asked for again and again");
        }
        let pairs = near.pairs.lock().unwrap();
        assert!(pairs.by.len() <= PAIRS_MAX && pairs.by.values().all(|pair| pair.hashes.len() <= 1));
    }

    #[test]
    fn with_no_limit_nothing_is_kept() {
        let near = Near::new(0);
        assert!((0..1000).all(|n| !near.note(&blind("a"), at_edge("e", n), Instant::now())));
        assert!(near.pairs.lock().unwrap().by.is_empty());
    }

    #[test]
    fn the_metric_names_no_more_than_some_callers() {
        let mut pairs = Pairs::default();
        let labels: HashSet<String> = (0..2 * CALLERS_NAMED_MAX).map(|n| pairs.label(&caller(&n.to_string()))).collect();
        assert_eq!(labels.len(), CALLERS_NAMED_MAX + 1);
        assert_eq!(pairs.label(&caller("0")), "0");
    }
}
