//! When is which source fetched?
//!
//! One thread looks which are due, and begins to fetch them, the longest due first, each on a thread of its own and so many at once. After a start,
//! and from fetch to fetch, each is put off by a part of its time that only its name decides, so that many servers, or many sources, don't ask at
//! once. Where the store takes no changes nothing is fetched.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::Duration;

use super::underway::{Asker, Place};
use super::{FeedError, Feeds};
use crate::catalog::{FetchOptions, FetchWait, SourceInfo};
use crate::entry::Caller;

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A source is put off by at most this part of the time between two fetches, and by so many ms.
const PART: u64 = 10;
const LATE_MS_MAX: u64 = 60_000;

impl Feeds {
    /// Fetches what is due until [`Feeds::stop`], and returns when all of these fetches have ended.
    pub fn keep_fetching(&self) {
        std::thread::scope(|scope| {
            let mut fetches: Vec<ScopedJoinHandle<'_, ()>> = Vec::new();
            while !self.is_stopped() {
                let (ended, going) = fetches.into_iter().partition(|fetch| fetch.is_finished());
                fetches = going;
                ended_well(ended);
                for info in self.due() {
                    let place = match self.underway.take(&info.list, &info.name, Asker::Schedule) {
                        Ok(place) => place,
                        Err(FetchWait::Place) => break,
                        Err(_) => continue, // somebody fetches it
                    };
                    match Builder::new().name("fetch".to_owned()).spawn_scoped(scope, move || self.fetch_due(&info, &place)) {
                        Ok(fetch) => fetches.push(fetch),
                        Err(error) => tracing::error!(%error, "can't start a thread to fetch a source"),
                    }
                }
                // A place that is free is taken at once.
                let looked = self.until_stopped(async {
                    let _ = tokio::time::timeout(LOOK_EVERY, self.underway.ended()).await;
                    Ok(())
                });
                if looked.is_err() {
                    break;
                }
            }
            ended_well(fetches);
        });
    }

    /// What is due now, the longest due first.
    pub fn due(&self) -> Vec<SourceInfo> {
        if !self.options.schedule || self.catalog.writable().is_err() {
            return Vec::new();
        }
        let sources = self.catalog.all_sources().unwrap_or_else(|error| {
            tracing::error!(%error, "can't read which sources are due");
            Vec::new()
        });
        let now_ms = (self.clock)();
        let mut due: Vec<(u64, SourceInfo)> =
            sources.into_iter().filter_map(|info| Some((info.due_ms? + put_off_ms(&info), info))).collect();
        due.retain(|(due_ms, _)| *due_ms <= now_ms);
        due.sort_by_key(|(due_ms, _)| *due_ms);
        due.into_iter().map(|(_, info)| info).collect()
    }

    fn fetch_due(&self, info: &SourceInfo, _place: &Place<'_>) {
        // A person may have fetched or changed it meanwhile.
        let Ok(info) = self.catalog.source(&info.list, &info.name) else { return };
        if self.is_stopped() || info.due_ms.is_none_or(|due_ms| due_ms > (self.clock)()) {
            return;
        }
        // What became of it is in the source's state, the log and the metrics.
        let _: Result<_, FeedError> =
            self.told((&Caller("schedule".to_owned()), Asker::Schedule), &info, FetchOptions::default(), &mut |_| true);
    }
}

/// Waits for them. One that panics ends no other.
fn ended_well(fetches: Vec<ScopedJoinHandle<'_, ()>>) {
    for fetch in fetches {
        if fetch.join().is_err() {
            tracing::error!("a fetch panicked");
        }
    }
}

/// The first fetch is not put off: whoever set the source wants to see it.
fn put_off_ms(info: &SourceInfo) -> u64 {
    if info.state.attempted_ms == 0 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (&info.list, &info.name, &info.feed.place).hash(&mut hasher);
    hasher.finish() % (info.feed.every_s * 1_000 / PART).clamp(1, LATE_MS_MAX)
}
