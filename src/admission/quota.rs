//! How many items a second may a caller have matched?
//!
//! A quota is a rate; what it allows in a second may come at once. A caller that has taken nothing for a second has all of its quota again, so
//! it can be forgotten: what is kept goes with the callers of the last seconds. Absent: who the caller is, and what an item is.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use super::budget::Refusals;
use crate::entry::Caller;
use crate::entry::shown::counted;

/// From so many callers on those are looked for that can be forgotten.
const CALLERS_MIN: usize = 256;
/// A second, and a little for the time between asking a clock and writing down what it said.
const FULL_AGAIN: Duration = Duration::from_millis(1_100);

/// The quotas of all callers.
pub struct Quotas<C: Clock = DefaultClock> {
    /// Of callers that have none of their own.
    items_per_s_max: Option<NonZeroU32>,
    clock: C,
    made: C::Instant,
    by: Mutex<Kept<C>>,
    refusals: Arc<Refusals>,
}

struct Kept<C: Clock> {
    by: HashMap<Arc<Caller>, Arc<Quota<C>>>,
    /// How many there may be before some are forgotten.
    most: usize,
}

/// What one caller may take.
pub struct Quota<C: Clock = DefaultClock> {
    caller: Arc<Caller>,
    items_per_s: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    made: C::Instant,
    /// When something was taken last, in ns since `made`.
    taken_ns: AtomicU64,
    refusals: Arc<Refusals>,
}

/// More than a caller may take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the caller has reached its quota of {} a second: try again in {} ms",
    counted(u64::from(.items_per_s.get()), "item", "items"),
    .wait.as_millis() + 1
)]
pub struct OverQuota {
    pub items_per_s: NonZeroU32,
    /// When there is room again.
    pub wait: Duration,
}

impl Quotas {
    /// With 0, callers that have no quota of their own have none.
    pub fn new(items_per_s_max: u32) -> Self {
        Quotas::with_clock(items_per_s_max, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Quotas<C> {
    fn with_clock(items_per_s_max: u32, clock: C) -> Self {
        Quotas {
            items_per_s_max: NonZeroU32::new(items_per_s_max),
            made: clock.now(),
            clock,
            by: Mutex::new(Kept { by: HashMap::new(), most: CALLERS_MIN }),
            refusals: Arc::new(Refusals::new("access.items_per_s_max")),
        }
    }

    /// The quota of a caller: its own, else that of all who have none of their own.
    pub fn of(&self, caller: &Arc<Caller>, own: Option<NonZeroU32>) -> Option<Arc<Quota<C>>> {
        let items_per_s = own.or(self.items_per_s_max)?;
        let mut kept = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quota) = kept.by.get(caller).filter(|quota| quota.items_per_s == items_per_s) {
            return Some(quota.clone());
        }
        if kept.by.len() >= kept.most {
            let now_ns = self.ns(self.clock.now());
            kept.by.retain(|_, quota| !quota.is_forgettable(now_ns));
            kept.most = CALLERS_MIN.max(2 * kept.by.len());
        }
        let quota = Arc::new(Quota {
            caller: caller.clone(),
            items_per_s,
            limiter: RateLimiter::direct_with_clock(governor::Quota::per_second(items_per_s), self.clock.clone()),
            clock: self.clock.clone(),
            made: self.made,
            taken_ns: AtomicU64::new(self.ns(self.clock.now())),
            refusals: self.refusals.clone(),
        });
        kept.by.insert(caller.clone(), quota.clone());
        Some(quota)
    }

    fn ns(&self, at: C::Instant) -> u64 {
        at.duration_since(self.made).as_u64()
    }
}

impl<C: Clock> Quota<C> {
    /// Takes one item, or says when there is room for it: the refusal is counted.
    pub fn take(&self) -> Result<(), OverQuota> {
        let now = self.clock.now();
        self.taken_ns.store(now.duration_since(self.made).as_u64(), Ordering::Relaxed);
        self.limiter.check().map_err(|until| {
            let over = OverQuota { items_per_s: self.items_per_s, wait: until.wait_time_from(now) };
            self.refusals.tell(&self.caller, &over.to_string());
            over
        })
    }

    /// Whether a new one would allow the same. Asked under the lock that it is found under, so that nobody else finds it meanwhile.
    fn is_forgettable(self: &Arc<Self>, now_ns: u64) -> bool {
        let idle_ns = u128::from(now_ns.saturating_sub(self.taken_ns.load(Ordering::Relaxed)));
        Arc::strong_count(self) == 1 && idle_ns > FULL_AGAIN.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn caller(name: &str) -> Arc<Caller> {
        Arc::new(Caller(name.to_owned()))
    }

    fn quotas(items_per_s_max: u32) -> (Quotas<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Quotas::with_clock(items_per_s_max, clock.clone()), clock)
    }

    /// How many of many items are let through.
    fn taken(quota: &Quota<FakeRelativeClock>) -> usize {
        (0..1_000).filter(|_| quota.take().is_ok()).count()
    }

    #[test]
    fn a_caller_has_a_seconds_items_at_once_and_then_its_rate() {
        let (quotas, clock) = quotas(0);
        let quota = quotas.of(&caller("a"), NonZeroU32::new(10)).unwrap();
        assert_eq!(taken(&quota), 10);
        let over = quota.take().unwrap_err();
        assert_eq!((over.items_per_s.get(), over.wait), (10, Duration::from_millis(100)));
        assert!(over.to_string().contains("quota of 10 items a second: try again in 101 ms"), "{over}");
        clock.advance(Duration::from_millis(300));
        assert_eq!(taken(&quota), 3);
        clock.advance(Duration::from_secs(60));
        assert_eq!(taken(&quota), 10, "what was not taken is not saved up");
    }

    #[test]
    fn each_caller_has_its_own_quota_else_the_one_of_all() {
        let (quotas, _) = self::quotas(5);
        let of = |name: &str, own: Option<u32>| quotas.of(&caller(name), own.and_then(NonZeroU32::new)).unwrap();
        assert_eq!((taken(&of("a", None)), taken(&of("b", None)), taken(&of("c", Some(7)))), (5, 5, 7));
        assert_eq!((taken(&of("a", None)), taken(&of("c", Some(7)))), (0, 0), "it is the caller's, whichever call asks");
        assert_eq!(taken(&of("c", Some(9))), 9, "a token that was given another quota");
        let (none, _) = self::quotas(0);
        assert!(none.of(&caller("a"), None).is_none());
    }

    /// Forgotten too early, a caller would have its quota anew; never forgotten, addresses would fill the memory.
    #[test]
    fn callers_are_forgotten_once_they_have_all_of_their_quota_again() {
        let (quotas, clock) = quotas(3);
        let open = quotas.of(&caller("stream"), None).unwrap();
        assert_eq!(taken(&open), 3);
        for n in 0..20 * CALLERS_MIN {
            clock.advance(Duration::from_millis(10));
            assert_eq!(taken(&quotas.of(&caller(&n.to_string()), None).unwrap()), 3);
            let Some(before) = n.checked_sub(50) else { continue };
            let left = taken(&quotas.of(&caller(&before.to_string()), None).unwrap());
            assert_eq!(left, 1, "half a second later");
        }
        let kept = quotas.by.lock().unwrap().by.len();
        assert!(kept <= 2 * CALLERS_MIN, "{kept} are kept");
        clock.advance(Duration::from_secs(60));
        assert_eq!(taken(&open), 3);
        assert_eq!(taken(&quotas.of(&caller("stream"), None).unwrap()), 0, "a stream and another call of its caller");
    }
}
