//! Which lists are there, and how old is what they hold?
//!
//! A copy of the catalog's lists, so that neither a misspelt list name nor the age of a version costs a call to the store. It is read again
//! when a verdict comes from a newer snapshot or names what the copy does not have; those who find it old wait for one reading.
//! Invariant: a name is called unknown only by a copy that was read after the question.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::asking::Asking;
use crate::catalog::Catalog;
use crate::entry::VersionNo;
use crate::verdict::Verdict;

pub struct ListCache {
    catalog: Arc<Catalog>,
    known: ArcSwap<Known>,
    reading: Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// By name: the active version and when it was made, ms since the Unix epoch.
    lists: HashMap<String, (VersionNo, u64)>,
    /// The newest snapshot that was seen before reading.
    snapshot: u64,
    /// When reading began; `None` before the first.
    read: Option<Instant>,
}

impl ListCache {
    pub fn new(catalog: Arc<Catalog>) -> Self {
        ListCache { catalog, known: ArcSwap::default(), reading: Mutex::default() }
    }

    /// Index of the first name that no list has, or none for who asks: those are told apart neither by the answer nor by what it takes.
    pub async fn unknown(&self, names: &[String], asking: &Asking) -> Option<usize> {
        let has = |known: &Known, name| known.lists.contains_key(name) && asking.principal.rights().has_list(name);
        let missing = |known: &Known| names.iter().position(|name| !has(known, name));
        missing(&self.known.load())?;
        self.read_after(Instant::now(), 0).await;
        let missing = missing(&self.known.load())?;
        asking.has(&names[missing]); // counts it, if it is not the caller's
        Some(missing)
    }

    /// Seconds since each of the verdict's list versions was made; `None` where that can't be said any more.
    pub async fn ages(&self, verdict: &Verdict) -> Vec<Option<u64>> {
        if let Some(ages) = self.ages_known(verdict) {
            return ages;
        }
        self.read_after(Instant::now(), verdict.snapshot).await;
        let known = self.known.load();
        verdict.lists.iter().map(|(name, version)| age(&known, name, *version)).collect()
    }

    /// `None` where the catalog must be asked.
    fn ages_known(&self, verdict: &Verdict) -> Option<Vec<Option<u64>>> {
        let known = self.known.load();
        let ages: Vec<_> = verdict.lists.iter().map(|(name, version)| age(&known, name, *version)).collect();
        (known.snapshot >= verdict.snapshot || ages.iter().all(Option::is_some)).then_some(ages)
    }

    async fn read_after(&self, asked: Instant, snapshot: u64) {
        let _reading = self.reading.lock().await;
        let known = self.known.load();
        if known.read.is_some_and(|read| read >= asked) {
            return;
        }
        let (catalog, read) = (self.catalog.clone(), Instant::now());
        match tokio::task::spawn_blocking(move || catalog.lists()).await {
            Ok(Ok(lists)) => {
                let lists = lists.into_iter().map(|info| (info.list.name, (info.list.active, info.updated_ms))).collect();
                self.known.store(Arc::new(Known { lists, snapshot: known.snapshot.max(snapshot), read: Some(read) }));
            }
            // The old copy stays; the next question tries again.
            Ok(Err(error)) => tracing::error!(%error, "the lists can't be read"),
            Err(error) => tracing::error!(%error, "reading the lists failed"),
        }
    }
}

fn age(known: &Known, name: &str, version: VersionNo) -> Option<u64> {
    let (active, made_ms) = known.lists.get(name)?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    (*active == version).then(|| now_ms.saturating_sub(*made_ms) / 1000)
}
