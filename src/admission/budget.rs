//! So much for all callers together, and so much of it for one.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::entry::Caller;

/// Refusals are counted all, and logged no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// One part in so many of a limit is kept for callers that hold nothing of it.
const NEWCOMERS_PART: u64 = 8;

/// Of `max`, what is kept for callers that hold nothing yet: an eighth and at least one, but no more than one caller's part leaves.
pub fn reserve(max: u64, caller_max: u64) -> u64 {
    (max / NEWCOMERS_PART).max(1).min(max.saturating_sub(caller_max))
}

/// Something that callers may hold a limited number of.
pub struct Budget {
    /// The key of the configuration that sets `max`; the metrics' label.
    limit: &'static str,
    max: u64,
    caller_max: u64,
    /// Of `max`, what only callers get that hold nothing yet.
    reserve: u64,
    state: Mutex<State>,
    freed: Notify,
    in_use: metrics::Gauge,
    refusals: Refusals,
}

#[derive(Default)]
struct State {
    taken: u64,
    by: HashMap<Arc<Caller>, u64>,
    /// What each caller waits for, in the order that it came: its number and how much.
    waiting: HashMap<Arc<Caller>, VecDeque<(u64, u64)>>,
    /// The number of who comes next.
    next: u64,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The caller's own.
    Caller { limit: &'static str, max: u64 },
    /// All callers' together.
    All { limit: &'static str, max: u64 },
    /// That of all callers who hold something already.
    Kept { limit: &'static str, max: u64, reserve: u64 },
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Caller { limit, max } => write!(f, "the caller has reached its limit of {max} ({limit})"),
            Over::All { limit, max } => write!(f, "all callers together have reached the limit of {max} ({limit})"),
            Over::Kept { limit, max, reserve } => write!(
                f,
                "callers that already hold some have reached their limit ({} of {max}, {limit}; {reserve} reserved for callers that hold none)",
                max - reserve
            ),
        }
    }
}

impl Budget {
    /// `limit` is the key of the configuration. Of `max`, one caller may have `caller_max`. A [`reserve`] is for what callers take
    /// that hold nothing yet, so that a few who have all they may keep no newcomer out.
    pub fn new(limit: &'static str, max: u64, caller_max: u64) -> Arc<Self> {
        let max = max.max(1);
        let caller_max = caller_max.clamp(1, max);
        Arc::new(Budget {
            limit,
            max,
            caller_max,
            reserve: reserve(max, caller_max),
            state: Mutex::default(),
            freed: Notify::new(),
            in_use: metrics::gauge!("hashwarden_limit_in_use", "limit" => limit),
            refusals: Refusals::new(limit),
        })
    }

    pub fn in_use(&self) -> u64 {
        self.lock().taken
    }

    /// Takes `n` at once, or says which limit is reached: the refusal is counted.
    pub fn demand(self: &Arc<Self>, caller: &Arc<Caller>, n: u64) -> Result<Share, Over> {
        self.try_take(caller, n).inspect_err(|over| self.refusals.tell(caller, &over.to_string()))
    }

    /// The same, where a no is not the end.
    pub fn try_take(self: &Arc<Self>, caller: &Arc<Caller>, n: u64) -> Result<Share, Over> {
        self.add(caller, n, 0)?;
        Ok(Share { of: self.clone(), caller: caller.clone(), n })
    }

    /// Waits for `n`; one that is larger than all there is waits for all there is. Who came first is served first, but nobody waits for another
    /// caller that has all it may have itself.
    pub async fn take(self: &Arc<Self>, caller: &Arc<Caller>, n: u64) -> Share {
        let n = n.min(self.caller_max);
        let place = PlaceInLine::take(self, caller, n);
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if place.is_next()
                && let Ok(share) = self.try_take(caller, n)
            {
                return share;
            }
            freed.await;
        }
    }

    /// The reserve is for a caller that holds no more than `first`.
    fn add(&self, caller: &Arc<Caller>, n: u64, first: u64) -> Result<(), Over> {
        let mut state = self.lock();
        let own = state.by.get(caller).copied().unwrap_or(0);
        if own.saturating_add(n) > self.caller_max {
            return Err(Over::Caller { limit: self.limit, max: self.caller_max });
        }
        let taken = state.taken.saturating_add(n);
        if taken > self.max {
            return Err(Over::All { limit: self.limit, max: self.max });
        }
        if own > first && taken > self.max - self.reserve {
            return Err(Over::Kept { limit: self.limit, max: self.max, reserve: self.reserve });
        }
        state.taken += n;
        *state.by.entry(caller.clone()).or_default() += n;
        self.in_use.set(state.taken as f64);
        Ok(())
    }

    fn give_back(&self, caller: &Arc<Caller>, n: u64) {
        let mut state = self.lock();
        state.taken -= n;
        if let Some(own) = state.by.get_mut(caller) {
            *own -= n;
            if *own == 0 {
                state.by.remove(caller);
            }
        }
        self.in_use.set(state.taken as f64);
        drop(state);
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits, until it is dropped.
struct PlaceInLine<'b> {
    of: &'b Budget,
    id: u64,
    caller: Arc<Caller>,
}

impl<'b> PlaceInLine<'b> {
    fn take(of: &'b Budget, caller: &Arc<Caller>, n: u64) -> Self {
        let mut state = of.lock();
        let id = state.next;
        state.next += 1;
        state.waiting.entry(caller.clone()).or_default().push_back((id, n));
        PlaceInLine { of, id, caller: caller.clone() }
    }

    /// Whether nobody who came before waits for the same: else small ones would for ever take what a large one waits for.
    fn is_next(&self) -> bool {
        let state = self.of.lock();
        let first = |line: &VecDeque<(u64, u64)>| line.front().copied().filter(|(id, _)| *id <= self.id);
        if state.waiting.get(&self.caller).and_then(first).is_none_or(|(id, _)| id != self.id) {
            return false;
        }
        let has_all = |caller: &Arc<Caller>, n: u64| state.by.get(caller).copied().unwrap_or(0) + n > self.of.caller_max;
        let mut before = state.waiting.iter().filter(|(caller, _)| **caller != self.caller);
        before.all(|(caller, line)| first(line).is_none_or(|(_, n)| has_all(caller, n)))
    }
}

impl Drop for PlaceInLine<'_> {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        if let Some(line) = state.waiting.get_mut(&self.caller) {
            line.retain(|(id, _)| *id != self.id);
            if line.is_empty() {
                state.waiting.remove(&self.caller);
            }
        }
        drop(state);
        self.of.freed.notify_waiters(); // the next may have waited for this one alone
    }
}

/// Refusals for one limit: all are counted, some are logged.
pub struct Refusals {
    limit: &'static str,
    told: Seldom,
}

/// When something was logged last that a flood must not fill the log with.
pub struct Seldom {
    made: Instant,
    /// When it was logged last, ms after `made`, and one more; 0 before the first.
    told_ms: AtomicU64,
}

impl Default for Seldom {
    fn default() -> Self {
        Seldom { made: Instant::now(), told_ms: AtomicU64::new(0) }
    }
}

impl Seldom {
    /// Whether it may be logged now; then not again for a while.
    pub fn is_due(&self) -> bool {
        let now = self.made.elapsed().as_millis() as u64 + 1;
        let told = self.told_ms.load(Ordering::Relaxed);
        let due = told == 0 || now.saturating_sub(told) >= TOLD_EVERY.as_millis() as u64;
        due && self.told_ms.compare_exchange(told, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Refusals {
    /// `limit` is the key of the configuration.
    pub fn new(limit: &'static str) -> Self {
        Refusals { limit, told: Seldom::default() }
    }

    pub fn tell(&self, caller: &Caller, why: &str) {
        metrics::counter!("hashwarden_limit_refusals_total", "limit" => self.limit).increment(1);
        if self.told.is_due() {
            tracing::warn!(limit = self.limit, caller = caller.0, why, "refused; further refusals within 10 s are only counted");
        }
    }
}

/// What a caller holds of a budget, until it is dropped.
pub struct Share {
    of: Arc<Budget>,
    caller: Arc<Caller>,
    n: u64,
}

impl Share {
    pub fn size(&self) -> u64 {
        self.n
    }

    /// Takes so much more, if there is.
    pub fn grow(&mut self, more: u64) -> Result<(), Over> {
        self.add(more, 0)
    }

    /// The same for what belongs to what was taken: a caller that holds nothing else has the reserve for both.
    pub fn complete(&mut self, more: u64) -> Result<(), Over> {
        self.add(more, self.n).inspect_err(|over| self.of.refusals.tell(&self.caller, &over.to_string()))
    }

    fn add(&mut self, more: u64, first: u64) -> Result<(), Over> {
        self.of.add(&self.caller, more, first)?;
        self.n += more;
        Ok(())
    }

    /// Gives so much back.
    pub fn shrink(&mut self, less: u64) {
        let less = less.min(self.n);
        self.n -= less;
        self.of.give_back(&self.caller, less);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.give_back(&self.caller, self.n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Arc<Caller> {
        Arc::new(Caller(name.to_owned()))
    }

    #[test]
    fn one_caller_cannot_use_up_what_another_needs() {
        let budget = Budget::new("calls_max", 10, 6);
        let (a, b) = (caller("a"), caller("b"));
        let held = budget.demand(&a, 6).unwrap();
        assert_eq!(budget.demand(&a, 1).err(), Some(Over::Caller { limit: "calls_max", max: 6 }));
        let other = budget.demand(&b, 4).unwrap();
        assert_eq!(budget.demand(&b, 1).err(), Some(Over::All { limit: "calls_max", max: 10 }));
        drop(held);
        assert_eq!((budget.in_use(), other.size()), (4, 4));
        assert!(budget.demand(&b, 2).is_ok());
        drop(other);
        assert_eq!(budget.in_use(), 0);
        assert!(budget.lock().by.is_empty(), "callers that hold nothing are forgotten");
    }

    /// Two callers with half each kept everybody else out.
    #[test]
    fn a_newcomer_finds_a_place_where_others_hold_all_they_may() {
        let budget = Budget::new("streams", 64, 32);
        let fill = |who: &Arc<Caller>| std::iter::from_fn(|| budget.demand(who, 1).ok()).collect::<Vec<_>>();
        let held = [fill(&caller("a")), fill(&caller("b"))];
        assert_eq!(held.each_ref().map(Vec::len), [32, 24]);
        // What is told is the limit that applied.
        let over = budget.demand(&caller("b"), 1).err().unwrap();
        assert_eq!(over, Over::Kept { limit: "streams", max: 64, reserve: 8 });
        assert!(over.to_string().contains("56 of 64, streams; 8 reserved"), "{over}");
        let newcomers: Vec<_> = (0..8).map(|n| budget.demand(&caller(&n.to_string()), 1).unwrap()).collect();
        assert_eq!(budget.demand(&caller("9"), 1).err(), Some(Over::All { limit: "streams", max: 64 }));
        // One place each: the reserve is not for a second.
        assert_eq!(budget.demand(&caller("0"), 1).err(), Some(Over::All { limit: "streams", max: 64 }));
        drop((held, newcomers));
        // Where one caller may have all there is, nothing is kept from it.
        let all = Budget::new("streams", 64, 64);
        assert!(all.demand(&caller("a"), 60).is_ok_and(|mut share| share.grow(4).is_ok()));
    }

    /// An eighth of less than eight was nothing.
    #[test]
    fn a_small_limit_keeps_a_place_as_well() {
        let check = |max: u64, caller_max: u64, expected: u64| {
            assert_eq!(reserve(max, caller_max), expected, "{max}, {caller_max}");
        };
        check(1, 1, 0);
        check(2, 1, 1);
        check(7, 4, 1);
        check(16, 4, 2);
        check(16, 15, 1);
        check(7, 7, 0);
    }

    /// A newcomer's message was received, and refused for what it takes once decoded.
    #[test]
    fn the_reserve_is_for_all_that_a_newcomers_first_message_takes() {
        let budget = Budget::new("bytes", 64, 32);
        let _held = [("a", 32), ("b", 24)].map(|(name, n)| budget.demand(&caller(name), n).unwrap());
        let newcomer = caller("c");
        let mut first = budget.demand(&newcomer, 2).unwrap();
        assert!(first.grow(1).is_err());
        first.complete(3).unwrap();
        assert_eq!((first.size(), budget.in_use()), (5, 61));
        // It is not for the next message.
        drop(first);
        let _first = budget.demand(&newcomer, 1).unwrap();
        assert!(budget.demand(&newcomer, 1).is_err());
        assert_eq!(first_of(&budget, "d", 1).complete(7).err(), Some(Over::All { limit: "bytes", max: 64 }));
    }

    fn first_of(budget: &Arc<Budget>, name: &str, n: u64) -> Share {
        budget.demand(&caller(name), n).unwrap()
    }

    #[tokio::test]
    async fn who_waits_is_served_when_something_is_given_back() {
        let budget = Budget::new("bytes", 10, 10);
        let a = caller("a");
        let held = budget.take(&a, 25).await;
        assert_eq!(held.size(), 10, "more than there is waits for all there is");
        let waiting = tokio::spawn({
            let (budget, a) = (budget.clone(), a.clone());
            async move { budget.take(&a, 3).await.size() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        assert_eq!(waiting.await.unwrap(), 3);
    }

    /// A large message waited for as long as small ones came.
    #[tokio::test]
    async fn small_ones_do_not_pass_a_large_one_that_came_before() {
        let budget = Budget::new("bytes", 12, 8);
        let (a, b, c) = (caller("a"), caller("b"), caller("c"));
        let wait = |who: &Arc<Caller>, n: u64| {
            let (budget, who) = (budget.clone(), who.clone());
            tokio::spawn(async move { budget.take(&who, n).await })
        };
        async fn turn() {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        let held = [budget.take(&a, 3).await, budget.take(&a, 3).await];
        let large = wait(&b, 8);
        turn().await;
        let small = wait(&a, 1);
        turn().await;
        assert!(!large.is_finished() && !small.is_finished(), "there is room for the small one, and the large one came before");
        drop(held);
        let large = large.await.unwrap();
        assert!(small.await.is_ok(), "there is room for both");
        // Who has all it may have keeps nobody else waiting.
        let own = wait(&b, 1);
        turn().await;
        assert!(!own.is_finished());
        let other = wait(&c, 1);
        turn().await;
        assert!(other.is_finished());
        // Who gives up makes place.
        let large_too = wait(&c, 8);
        turn().await;
        let behind = wait(&c, 1);
        turn().await;
        assert!(!behind.is_finished());
        large_too.abort();
        turn().await;
        assert!(behind.is_finished());
        drop(large);
        turn().await;
        assert!(own.is_finished());
    }
}
