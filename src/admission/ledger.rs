//! What one stream holds, in bytes: counted for the stream alone and, in larger steps, in a budget of all callers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Over, Share};

/// The budget of all callers is asked for so much at a time.
const STEP_BYTES: u64 = 256 * 1024;

pub struct Ledger {
    max: u64,
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    held: u64,
    /// At least `base` and what is held, where there is room for it.
    share: Share,
    base: u64,
}

/// A number of bytes in a ledger, until it is dropped.
pub struct Entry {
    of: Arc<Ledger>,
    bytes: u64,
}

impl Ledger {
    /// A stream that may hold `max` bytes; what `share` has already is for the stream itself.
    pub fn new(share: Share, max: u64) -> Arc<Self> {
        let state = State { held: 0, base: share.size(), share };
        Arc::new(Ledger { max, state: Mutex::new(state), freed: Notify::new() })
    }

    /// Enters `bytes`, if there is room; an entry that is alone always has.
    pub fn try_enter(self: &Arc<Self>, bytes: u64) -> Option<Entry> {
        let mut state = self.lock();
        if state.held > 0 && state.held + bytes > self.max {
            return None;
        }
        if state.cover(bytes).is_err() && state.held > 0 {
            return None;
        }
        state.held += bytes;
        Some(Entry { of: self.clone(), bytes })
    }

    /// Waits until there is room: others of this stream, or of all streams, may have to go first.
    pub async fn enter(self: &Arc<Self>, bytes: u64) -> Entry {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            match self.try_enter(bytes) {
                Some(entry) => return entry,
                None => {
                    // What this stream holds is taken sooner or later, or the stream ends; then it is asked again.
                    freed.await;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sees to it that the share covers so many bytes more.
    fn cover(&mut self, more: u64) -> Result<(), Over> {
        let needed = (self.base + self.held + more).saturating_sub(self.share.size());
        if needed == 0 { Ok(()) } else { self.share.grow(needed.next_multiple_of(STEP_BYTES)) }
    }
}

impl Entry {
    /// The entry has another size now; it is entered whether or not there is room. False: the stream holds more than twice what it may.
    pub fn resize(&mut self, bytes: u64) -> bool {
        let mut state = self.of.lock();
        let less = self.bytes.saturating_sub(bytes);
        let more = bytes.saturating_sub(self.bytes);
        // Beyond the budget of all: it can't be refused any more, and the stream is not read on meanwhile.
        let _ = state.cover(more);
        state.held = state.held + more - less;
        self.bytes = bytes;
        let within = state.held <= self.of.max.saturating_mul(2);
        drop(state);
        if less > 0 {
            self.of.freed.notify_waiters();
        }
        within
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.held -= self.bytes;
        let spare = state.share.size().saturating_sub(state.base + state.held);
        if spare >= 2 * STEP_BYTES {
            state.share.shrink(spare - STEP_BYTES);
        }
        drop(state);
        self.of.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Budget;
    use crate::entry::Caller;

    #[test]
    fn a_stream_holds_what_it_may_and_no_more() {
        let all = Budget::new("bytes", 10 << 20, 10 << 20);
        let caller = Arc::new(Caller("a".to_owned()));
        let ledger = Ledger::new(all.demand(&caller, 1 << 20).unwrap(), 1 << 20);
        let mut first = ledger.try_enter(2 << 20).expect("one that is alone always has room");
        assert!(ledger.try_enter(1).is_none());
        assert!(all.in_use() >= 3 << 20);
        assert!(first.resize(1000), "a kilobyte is within");
        let second = ledger.try_enter(1 << 19).unwrap();
        assert!(ledger.try_enter(1 << 20).is_none());
        assert!(!first.resize(5 << 20), "more than twice what it may hold");
        drop((first, second));
        assert!(all.in_use() <= (1 << 20) + 2 * STEP_BYTES, "{} are still taken", all.in_use());
        drop(ledger);
        assert_eq!(all.in_use(), 0);
    }

    /// Streams of others, or of the same caller, may hold all there is: an entry that is alone is not kept waiting for them for ever.
    #[test]
    fn a_stream_that_holds_nothing_goes_on() {
        let all = Budget::new("bytes", 2 << 20, 2 << 20);
        let caller = Arc::new(Caller("a".to_owned()));
        let ledger = Ledger::new(all.demand(&caller, 1 << 20).unwrap(), 1 << 20);
        let _others = all.demand(&caller, 1 << 20).unwrap();
        let alone = ledger.try_enter(1000).unwrap();
        assert!(ledger.try_enter(1000).is_none());
        drop(alone);
        assert!(ledger.try_enter(1000).is_some());
    }
}
