//! Which sources are being fetched now, and may one more be?
//!
//! Fetches of different sources run side by side. Those of the schedule and those that somebody asked for have places of their own, so that nobody
//! waits behind the schedule. Invariants: one fetch of a source at a time; a place is free again however its fetch ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::catalog::FetchWait;

/// Who asks for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    Schedule,
    Person,
}

/// By list and source.
type Key = (String, String);

pub struct Underway {
    /// Fetches of each asker.
    most: usize,
    fetches: Mutex<BTreeMap<Key, Asker>>,
    ended: Notify,
}

/// A fetch may go on while this is held.
pub struct Place<'u> {
    of: &'u Underway,
    key: Key,
}

impl Underway {
    pub fn new(most: usize) -> Self {
        Underway { most, fetches: Mutex::default(), ended: Notify::new() }
    }

    pub fn take(&self, list: &str, source: &str, asker: Asker) -> Result<Place<'_>, FetchWait> {
        let mut fetches = self.fetches();
        let key = (list.to_owned(), source.to_owned());
        if fetches.contains_key(&key) {
            return Err(FetchWait::Source);
        }
        if fetches.values().filter(|of| **of == asker).count() >= self.most {
            return Err(FetchWait::Place);
        }
        fetches.insert(key.clone(), asker);
        Ok(Place { of: self, key })
    }

    /// Done when a fetch has ended since the last time.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    fn fetches(&self) -> MutexGuard<'_, BTreeMap<Key, Asker>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.of.fetches().remove(&self.key);
        self.of.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_one_fetch_and_each_asker_so_many() {
        let underway = Underway::new(2);
        let take = |source: &str, asker| underway.take("known", source, asker);
        let (a, _b) = (take("a", Asker::Schedule).unwrap(), take("b", Asker::Schedule).unwrap());
        assert_eq!(take("c", Asker::Schedule).err(), Some(FetchWait::Place));
        assert_eq!(take("a", Asker::Person).err(), Some(FetchWait::Source));
        let c = take("c", Asker::Person).unwrap();
        assert!(underway.take("other", "a", Asker::Person).is_ok());
        drop(a);
        assert_eq!(take("c", Asker::Schedule).err(), Some(FetchWait::Source));
        drop(c);
        assert!(take("c", Asker::Schedule).is_ok());
    }
}
