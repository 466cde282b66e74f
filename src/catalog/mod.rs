//! The door for lists: a list change in, a published snapshot out.
//!
//! Every verb makes changes, and every change that look-ups see goes through [`Catalog::commit`]: applied to the store, made into the
//! snapshot that follows ([`advance`]), published, under one lock that is held for moments. So a snapshot's number names one state. An
//! import writes its version, and builds its indexes, beside all that; edits of the same list go on, and are in the version that it
//! activates. Invariants: a failed verb leaves the active version as it was; what was acknowledged is in the store, synced. Calls
//! block: edges run them on threads that may. Glue between the store's bytes and the indexes lives here ([`columns`], [`bk`], [`load`]).
//!
//! Locks, in the order in which they are taken: `importing` (an import), `rows` (an import that writes, a sweep, a compaction), `write` (an
//! edit, an activation), `commit` (one change).

mod advance;
pub mod bk;
mod bundles;
mod caution;
mod columns;
mod diff;
mod entries;
mod export;
mod health;
mod hold;
mod import;
mod load;
mod marks;
mod overlap;
mod past;
mod picture;
mod reading;
mod report;
mod resume;
mod retention;
mod rows;
mod shown;
mod sources;
mod stored;
mod threads;
mod told;
mod version;

use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::entry::shown::without_hashes;
use crate::entry::{
    BadValue, Caller, Change, ChangeOp, HashKind, HashList, ListId, ListPolicy, ListVersion, MadeBy, Polarity, VersionNo,
    VersionState, check_list_name,
};
use crate::index::IndexKind;
use crate::index::proof::Flaw;
use crate::lists::FileError;
use crate::snapshot::{Choices, Published, Snapshot, Transition};
use crate::store::{Access, DerivedPut, LISTS_MAX, Store, StoreError, VerifyReport};
use crate::verdict::Limits;

pub use crate::store::Moment;
pub use columns::FORMAT as FORMAT_DERIVED;
pub use entries::{EntryQuery, FOUND_MAX, FoundEntries};
pub use export::{ExportOptions, ExportReport, Stopped};
pub use health::FINDINGS_MAX;
pub use hold::Imports;
pub use past::{PastMatch, PastReport};
pub use picture::PictureHashes;
pub use report::*;
pub use retention::{Compacted, Keep};
pub use sources::{
    Feedback, FeedbackReport, Fetch, FetchListener, FetchOptions, FetchProgress, FetchReport, FetchWait, SourceInfo,
};
pub use version::Began;

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("there is no list named {:?}", without_hashes(.0))]
    NoSuchList(String),
    #[error("there is a list named {:?} already", without_hashes(.0))]
    ListExists(String),
    #[error("list {list:?} has no version {version}: {why}")]
    NoSuchVersion { list: String, version: u32, why: String },
    #[error("list {list:?}: {why}: {:?}", without_hashes(.id))]
    NoSuchEntry { list: String, id: String, why: &'static str },
    #[error("{0}")]
    Invalid(String),
    /// The file fails as a whole; nothing was changed.
    #[error("nothing was imported: {0}")]
    BadFile(String),
    #[error("another import is running; try again when it is done")]
    Busy,
    #[error("{0}")]
    Refused(String),
    /// An export went no further: nobody takes what it writes.
    #[error("the export was not finished: {0}")]
    Unwritten(String),
    /// A source could not be fetched; what the list has is as it was.
    #[error("{0}")]
    Unfetched(String),
    /// What the store holds does not fit together; `hashwarden store verify` says more.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Nothing was published: what answered before goes on.
    #[error(transparent)]
    Unproven(#[from] Flaw),
    /// No change is taken for now; nothing is lost, and look-ups go on.
    #[error(transparent)]
    Unwritable(StoreError),
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } | StoreError::Failed { .. } => CatalogError::Unwritable(error),
            error => CatalogError::Store(error),
        }
    }
}

impl From<BadValue> for CatalogError {
    fn from(bad: BadValue) -> Self {
        CatalogError::Invalid(bad.0)
    }
}

impl From<FileError> for CatalogError {
    fn from(bad: FileError) -> Self {
        CatalogError::BadFile(bad.to_string())
    }
}

/// How lists are looked up in.
#[derive(Debug, Clone)]
pub struct Options {
    pub choices: Choices,
    pub limits: Limits,
    pub imports: Imports,
    /// Versions that are kept.
    pub keep: Keep,
    /// Lists there can be: at most [`LISTS_MAX`], which is what the store takes.
    pub lists_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            choices: Choices::default(),
            limits: Limits::default(),
            imports: Imports::default(),
            keep: Keep::default(),
            lists_max: LISTS_MAX,
        }
    }
}

/// So many loaded entries that nothing needs, and this part of all, are put up with before all is loaded anew.
const GARBAGE_MIN: u64 = 8_192;
const GARBAGE_SHARE: u64 = 5;

/// The door.
pub struct Catalog {
    /// Another one takes its place where it has to be opened anew: see [`Catalog::resume`].
    store: ArcSwap<Store>,
    /// What became of a store that failed, until there is one in its place.
    retired: Mutex<Option<resume::Retired>>,
    choices: Choices,
    limits: Limits,
    imports: Imports,
    keep: Keep,
    lists_max: usize,
    /// `None`: lists are worked on, nothing is looked up, so no index is built.
    published: Option<Arc<Published>>,
    importing: Mutex<()>,
    /// Held by an import while it writes, and by whatever takes entries out of the store: neither meets the other.
    rows: Mutex<()>,
    /// Held while an edit is made or a version activated: what is active moves under nobody's hands.
    write: Mutex<()>,
    /// Held from when a change is made until it is in the store and, if look-ups see it, its snapshot is published.
    commit: Mutex<()>,
    merging: Mutex<()>,
    /// Shared with every import that has begun.
    begun: Arc<()>,
    /// Orders imports' beginnings and what is confirmed.
    moments: AtomicU64,
    /// Entries that were added, and there already, since the oldest import began that has not ended.
    confirmed: Mutex<Vec<(ListId, u64, String)>>,
    /// The newest versions that imports wrote.
    imported: Mutex<VecDeque<(ListId, VersionNo)>>,
    /// Threads that build indexes.
    build: rayon::ThreadPool,
    /// The snapshot whose layers could not be merged, for want of a proof; `u64::MAX` for none.
    flawed: AtomicU64,
    /// A change was applied and its snapshot could not be published: the next chance makes one from the store.
    behind: AtomicBool,
    /// Lists were deleted whose entries are still loaded.
    deleted: AtomicBool,
    /// When the next mark ends, ms since the Unix epoch; not earlier.
    marks_due: AtomicU64,
    /// How often everything was loaded.
    loads: AtomicU64,
}

/// What is to be tidied at the start can wait where the disk is full: look-ups can't, nor what makes room.
fn put_off_if_full(tidied: Result<(), CatalogError>) -> Result<(), CatalogError> {
    match tidied {
        Err(CatalogError::Unwritable(error @ StoreError::Full { .. })) => {
            tracing::warn!(%error, "what an import left behind is removed at a later start");
            Ok(())
        }
        done => done,
    }
}

impl Catalog {
    /// Opens the door on a store: undoes what an import that was cut short left, makes missing derived rows again, and
    /// publishes the first snapshot where there is somewhere to publish it.
    pub fn open(
        store: Arc<Store>,
        access: Access,
        options: Options,
        published: Option<Arc<Published>>,
    ) -> Result<Self, CatalogError> {
        let Options { choices, limits, imports, keep, lists_max } = options;
        let catalog = Catalog {
            store: ArcSwap::new(store),
            retired: Mutex::default(),
            choices,
            limits,
            lists_max: lists_max.min(LISTS_MAX),
            imports,
            keep,
            published,
            importing: Mutex::default(),
            rows: Mutex::default(),
            write: Mutex::default(),
            commit: Mutex::default(),
            merging: Mutex::default(),
            begun: Arc::default(),
            moments: AtomicU64::new(0),
            confirmed: Mutex::default(),
            imported: Mutex::default(),
            build: threads::pool("build", threads::Priority::Background)?,
            flawed: AtomicU64::new(u64::MAX),
            behind: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            marks_due: AtomicU64::new(0),
            loads: AtomicU64::new(0),
        };
        if access == Access::Write {
            put_off_if_full(catalog.undo_staged())?;
            catalog.derive()?;
            put_off_if_full(catalog.finish_sweeps())?;
        } else if !stored::are_whole(&catalog.store())? {
            return Err(CatalogError::Refused(
                "the store's derived rows are missing or of another version of hashwarden; opening it for writing, as serve does, rebuilds them".to_owned(),
            ));
        }
        if let Some(published) = &catalog.published {
            published.publish(catalog.first(access)?);
        }
        if access == Access::Write {
            catalog.expire_marks()?;
        }
        Ok(catalog)
    }

    /// The snapshot that answers first.
    fn first(&self, access: Access) -> Result<Snapshot, CatalogError> {
        let began = Instant::now();
        let threads = threads::pool("load", threads::Priority::Normal)?;
        let whole = || threads.install(|| self.load());
        let first = match whole() {
            Err(CatalogError::Damaged(why)) if access == Access::Write => {
                // What is derived from the lists' rows can be derived again; if the rows are damaged, that fails too.
                tracing::error!(why, "rebuilding the derived rows");
                stored::rebuild(&self.store())?;
                self.keep_trees()?;
                whole()?
            }
            first => first?,
        };
        let (lists, rows) = (first.policy.lists.len(), first.live.values().sum::<u64>());
        let (ms, nice) = (began.elapsed().as_millis() as u64, threads.install(threads::niceness));
        tracing::info!(snapshot = first.id, lists, hashes = rows, ms, nice, "the indexes are built");
        Ok(first)
    }

    pub fn create(&self, by: &Caller, name: &str, polarity: Polarity, update: &PolicyUpdate) -> Result<ListInfo, CatalogError> {
        check_list_name(name)?;
        self.commit(by, None, |store| {
            if store.list_by_name(name)?.is_some() {
                return Err(CatalogError::ListExists(name.to_owned()));
            }
            if store.lists()?.len() >= self.lists_max {
                let why = format!("there are {} lists already, which is the limit: delete one first", self.lists_max);
                return Err(CatalogError::Refused(why));
            }
            let policy = self.policy_after(update, polarity, &ListPolicy::default_for(polarity))?;
            let op = ChangeOp::CreateList { list: store.next_list()?, name: name.to_owned(), polarity, policy };
            Ok(Some((op, Vec::new())))
        })?;
        told::created(by, name, polarity);
        self.warned(name, update)
    }

    pub fn set(&self, by: &Caller, name: &str, update: &PolicyUpdate) -> Result<ListInfo, CatalogError> {
        let mut changed = None;
        self.commit(by, None, |_| {
            let list = self.find(name)?;
            let policy = self.policy_after(update, list.polarity, &list.policy)?;
            if policy == list.policy {
                return Ok(None);
            }
            let op = ChangeOp::SetPolicy { list: list.id, policy: policy.clone() };
            changed = Some((list, policy));
            Ok(Some((op, Vec::new())))
        })?;
        if let Some((list, policy)) = changed {
            told::policy_set(by, &list, &policy);
        }
        self.warned(name, update)
    }

    /// Waits for no import and no edit: a list that does harm is taken out at once.
    pub fn set_disabled(&self, by: &Caller, name: &str, disabled: bool) -> Result<ListInfo, CatalogError> {
        let mut changed = None;
        self.commit(by, None, |_| {
            let list = self.find(name)?;
            if list.disabled == disabled {
                return Ok(None);
            }
            let op = ChangeOp::SetDisabled { list: list.id, disabled };
            changed = Some(list);
            Ok(Some((op, Vec::new())))
        })?;
        if let Some(list) = changed {
            told::disabled(by, &list, disabled);
        }
        self.list(name)
    }

    /// The list and every hash of it go from the store's lists and from memory. What is left on the disk until tables are written anew
    /// goes with [`Catalog::compact`].
    pub fn delete(&self, by: &Caller, name: &str) -> Result<(), CatalogError> {
        let write = self.lock();
        let mut deleted = None;
        self.commit(by, None, |store| {
            let list = self.find(name)?;
            // A later list of the same name would be suppressed by what was meant for this one; an emptied scope would mean all lists.
            if let Some(other) = store.lists()?.into_iter().find(|l| l.id != list.id && l.policy.scope.contains(&list.name)) {
                let why = format!(
                    "list {name:?} is in the scope of negative list {0:?}; remove it from that scope, or delete {0:?}, first (an empty scope means all lists)",
                    other.name
                );
                return Err(CatalogError::Refused(why));
            }
            let rows = store.version(list.id, list.active)?.map_or(0, |version| version.rows);
            let op = ChangeOp::DeleteList { list: list.id };
            deleted = Some((list, rows));
            Ok(Some((op, Vec::new())))
        })?;
        if let Some((list, rows)) = deleted {
            told::deleted(by, &list, rows);
        }
        drop(write);
        // The list is gone, whatever becomes of the rest, which a full disk may keep from being written.
        if let Err(error) = self.reclaim_deleted() {
            tracing::warn!(list = name, %error, "a deleted list's hashes stay in the index's rows until `hashwarden store compact`");
        }
        Ok(())
    }

    /// Makes trees and layers anew without the hashes that no list holds any more.
    fn reclaim_deleted(&self) -> Result<(), CatalogError> {
        let store = self.store();
        let trees = bk::KINDS.into_iter().try_for_each(|kind| {
            let _commit = lock(&self.commit);
            match bk::tree(&store, kind)? {
                Some(_) => bk::rebuild(&store, kind),
                None => Ok(()),
            }
        });
        // What can't be done now is done in the background.
        self.deleted.store(true, Ordering::Release);
        self.reload()?;
        trees
    }

    pub fn list(&self, name: &str) -> Result<ListInfo, CatalogError> {
        self.info(self.find(name)?)
    }

    /// All lists, by name.
    pub fn lists(&self) -> Result<Vec<ListInfo>, CatalogError> {
        let mut lists = self.store().lists()?;
        lists.sort_by(|a, b| a.name.cmp(&b.name));
        lists.into_iter().map(|list| self.info(list)).collect()
    }

    /// All versions of a list, with their digests as they are shown: within a store equal versions have equal ones.
    pub fn versions(&self, name: &str) -> Result<Vec<ListVersion>, CatalogError> {
        let (store, list) = (self.store(), self.find(name)?);
        let key = store.entry_id_key();
        let versions = store.versions(list.id)?;
        // The nearest ancestor that is kept: what a version really started from may be gone, as the import is below its edits.
        let parent = |of: &ListVersion| {
            let kept = versions.iter().rev().filter(|v| v.version < of.version && v.state == VersionState::Sealed);
            kept.map(|v| v.version).find(|v| of.lineage.contains(*v)).unwrap_or_default()
        };
        let shown =
            |of: &ListVersion| ListVersion { digest: shown::shown_digest(&key, &of.digest), parent: parent(of), ..of.clone() };
        Ok(versions.iter().map(shown).collect())
    }

    /// Makes a sealed version the active one.
    pub fn activate(&self, by: &Caller, name: &str, version: VersionNo) -> Result<ListInfo, CatalogError> {
        let list = self.find(name)?;
        let found = self.check(&list, &self.sealed(&list, version)?)?;
        self.quarantine(&list, &found)?;
        let write = self.lock();
        let list = self.find(name)?;
        let made_ms = self.activate_locked(by, &list, version)?.time_ms;
        // What was imported then, and is put to use now, is as old as it was then.
        if self.imported_ms(list.id)?.is_some_and(|known| known < made_ms) {
            self.note_import(list.id, made_ms);
        }
        drop(write);
        self.retire(list.id, 0);
        self.list(name)
    }

    /// Makes the version that was active before the active one again.
    pub fn roll_back(&self, by: &Caller, name: &str) -> Result<ListInfo, CatalogError> {
        let write = self.lock();
        let list = self.find(name)?;
        if list.previous == VersionNo(0) {
            return Err(CatalogError::Refused(format!("list {name:?} has no earlier version to roll back to")));
        }
        self.activate_locked(by, &list, list.previous)?;
        drop(write);
        self.retire(list.id, 0);
        self.list(name)
    }

    /// Bytes of the store's files.
    pub fn store_bytes(&self) -> std::io::Result<u64> {
        self.store().bytes()
    }

    /// Checks the store against itself, and the derived rows against the truth.
    pub fn verify(&self, progress: &mut dyn FnMut(&'static str, u64)) -> Result<VerifyReport, CatalogError> {
        let (_rows, _write, _commit) = (lock(&self.rows), self.lock(), lock(&self.commit));
        let mut report = self.store().verify(progress)?;
        report.problems.extend(stored::verify(&self.store())?);
        for kind in bk::KINDS {
            report.problems.extend(bk::verify(&self.store(), kind)?);
        }
        Ok(report)
    }

    /// Merges crowded layers, or loads all anew where much of what is loaded is of no use; look-ups and writers go on meanwhile. Says
    /// whether it did something. Frees what was replaced: to be called now and then.
    pub fn merge(&self) -> bool {
        let (Some(published), Ok(_merging)) = (&self.published, self.merging.try_lock()) else { return false };
        published.reclaim();
        if self.behind.load(Ordering::Acquire) {
            let commit = lock(&self.commit);
            // Under the lock: a change that is being published just now is behind for a moment only.
            if self.behind.load(Ordering::Acquire)
                && let Err(error) = self.store().seq().map_err(Into::into).and_then(|seq| self.follow(&commit, seq, None))
            {
                tracing::error!(%error, "look-ups are behind the store");
                return false;
            }
        }
        if let Err(error) = self.expire_marks() {
            tracing::warn!(%error, "a mark whose time is over could not be taken off; it is tried again");
        }
        self.sweep_some();
        let base = published.load();
        if self.flawed.load(Ordering::Acquire) == base.id {
            return false; // it would fail again
        }
        let much = base.garbage() > GARBAGE_MIN + base.metadata.len() / GARBAGE_SHARE;
        if much || self.deleted.load(Ordering::Acquire) {
            match self.reload() {
                Ok(true) => return true,
                Ok(false) => {} // An import writes; crowded layers are merged all the same.
                Err(error) => {
                    tracing::warn!(%error, "hashes that no list needs stay in memory for now");
                    self.flawed.store(base.id, Ordering::Release);
                    return false;
                }
            }
        }
        if !base.is_crowded() {
            return false;
        }
        let merge = match self.build.install(|| base.merge(self.choices)) {
            Ok(merge) => {
                load::show_recall(1.0);
                merge
            }
            Err(flaw) => {
                self.tell_flaw(&flaw);
                self.flawed.store(base.id, Ordering::Release);
                return false;
            }
        };
        let _commit = lock(&self.commit);
        let mut next = (*published.load()).clone();
        next.apply_merge(merge);
        published.publish(next);
        true
    }

    /// Loads all that the store holds, and nothing that only an earlier version did. The state is the same, and so is its number. False
    /// while an import writes, which would have to wait.
    fn reload(&self) -> Result<bool, CatalogError> {
        let Some(published) = &self.published else { return Ok(false) };
        // No version that is read is dropped meanwhile, and none of its entries swept.
        let Ok(_rows) = self.rows.try_lock() else { return Ok(false) };
        // A list that is deleted from here on asks for another one.
        let deleted = self.deleted.swap(false, Ordering::AcqRel);
        let reloaded = self.whole().and_then(|whole| {
            let _commit = lock(&self.commit);
            // What was changed meanwhile.
            let next = advance::advance(&self.store(), &whole, self.choices, None)?;
            published.publish(Snapshot { id: published.load().id, ..next });
            Ok(true)
        });
        if reloaded.is_err() && deleted {
            self.deleted.store(true, Ordering::Release);
        }
        reloaded
    }

    /// A snapshot of all that the store holds.
    fn whole(&self) -> Result<Snapshot, CatalogError> {
        self.build.install(|| self.load())
    }

    fn load(&self) -> Result<Snapshot, CatalogError> {
        let load = self.loads.fetch_add(1, Ordering::Relaxed);
        load::snapshot(&self.store(), self.choices, self.limits.candidates_max, load)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        lock(&self.write)
    }

    fn store(&self) -> Arc<Store> {
        self.store.load_full()
    }

    fn find(&self, name: &str) -> Result<HashList, CatalogError> {
        check_list_name(name)?; // so that no error repeats what can't be a name, however long
        self.store().list_by_name(name)?.ok_or_else(|| CatalogError::NoSuchList(name.to_owned()))
    }

    fn info(&self, list: HashList) -> Result<ListInfo, CatalogError> {
        let version = self.store().version(list.id, list.active)?;
        let (rows, updated_ms) = version.map_or((0, 0), |v| (v.rows, v.time_ms));
        let hashes = self.published.as_ref().map(|p| p.load()).map_or_else(Default::default, |snapshot| {
            let of_list = snapshot.live.iter().filter(|((l, _), n)| *l == list.id && **n > 0);
            of_list.map(|((_, kind), n)| (*kind, *n)).collect()
        });
        let imported_ms = self.imported_ms(list.id)?.unwrap_or(0);
        Ok(ListInfo { list, rows, updated_ms, imported_ms, hashes, scope_hidden: 0, warnings: Vec::new() })
    }

    fn policy_after(&self, update: &PolicyUpdate, polarity: Polarity, policy: &ListPolicy) -> Result<ListPolicy, CatalogError> {
        for name in update.scope.iter().flatten() {
            if self.find(name)?.polarity == Polarity::Negative {
                let why = format!("list {name:?} is negative: a scope names the positive lists whose matches are suppressed");
                return Err(CatalogError::Invalid(why));
            }
        }
        if polarity == Polarity::Positive && update.scope.as_ref().is_some_and(|scope| !scope.is_empty()) {
            return Err(CatalogError::Invalid("only a negative list has a scope; this list is positive".to_owned()));
        }
        let names_views = update.views.as_ref().is_some_and(|classes| !classes.is_empty()) || !update.view_radii.is_empty();
        if polarity == Polarity::Negative && names_views {
            let why =
                "a negative list has no views of its own: its entries are searched for in the views that other lists request";
            return Err(CatalogError::Invalid(why.to_owned()));
        }
        update.apply(policy).map_err(CatalogError::Invalid)
    }

    fn apply(&self, by: &Caller, op: ChangeOp) -> Result<u64, CatalogError> {
        self.apply_with(by, op, &[])
    }

    fn apply_with(&self, by: &Caller, op: ChangeOp, derived: &[DerivedPut]) -> Result<u64, CatalogError> {
        Ok(self.store().apply(&Change { time_ms: now_ms(), by: by.0.clone(), op }, derived)?)
    }

    /// One of many changes, of which [`Catalog::apply_with`] makes the last: it is on the disk with that one.
    fn apply_later(&self, by: &Caller, op: ChangeOp) -> Result<u64, CatalogError> {
        Ok(self.store().apply_later(&Change { time_ms: now_ms(), by: by.0.clone(), op })?)
    }

    /// Applies a change that look-ups don't see. Made under the lock for commits, so that the numbers which it takes are the store's next.
    fn apply_as(
        &self,
        by: &Caller,
        make: impl FnOnce() -> Result<(ChangeOp, Vec<DerivedPut>), CatalogError>,
    ) -> Result<u64, CatalogError> {
        let _commit = lock(&self.commit);
        let (op, derived) = make()?;
        self.apply_with(by, op, &derived)
    }

    /// The one way to a change that look-ups see: makes it from the state that it finds, applies it, and publishes the snapshot that
    /// follows. `transition` spares what was prepared for it. `None`: there is nothing to change.
    fn commit(
        &self,
        by: &Caller,
        transition: Option<Transition>,
        make: impl FnOnce(&Store) -> Result<Option<(ChangeOp, Vec<DerivedPut>)>, CatalogError>,
    ) -> Result<(), CatalogError> {
        let commit = lock(&self.commit);
        if let Some((op, derived)) = make(&self.store())? {
            let seq = self.apply_with(by, op, &derived)?;
            self.follow(&commit, seq, transition)?;
        }
        Ok(())
    }

    /// Publishes the snapshot of change `seq`, which is in the store already. Where it can't be made from the one before, one is made from
    /// the store, so that look-ups never stay behind what was acknowledged.
    fn follow(&self, _commit: &MutexGuard<'_, ()>, seq: u64, transition: Option<Transition>) -> Result<(), CatalogError> {
        let Some(published) = &self.published else { return Ok(()) };
        self.behind.store(true, Ordering::Release);
        let next = advance::advance(&self.store(), &published.load(), self.choices, transition).or_else(|error| {
            tracing::error!(%error, "the snapshot of a change could not be built; loading everything");
            self.whole()
        });
        published.publish(Snapshot { id: seq, ..next? });
        self.behind.store(false, Ordering::Release);
        Ok(())
    }

    /// An index that is not what it should be is for the operator to know of, also where it never came into use.
    fn tell_flaw(&self, flaw: &Flaw) {
        tracing::error!(%flaw, "an index failed its proof and is not used");
        load::show_recall(flaw.recall());
    }

    /// A version that can be used.
    fn sealed(&self, list: &HashList, version: VersionNo) -> Result<ListVersion, CatalogError> {
        let why = match self.store().version(list.id, version)? {
            Some(found) if found.state == VersionState::Sealed => return Ok(found),
            Some(found) if found.state == VersionState::Staged => "its import is still running".to_owned(),
            Some(_) => "its import failed or was interrupted".to_owned(),
            None if list.head == VersionNo(0) => "it has none yet".to_owned(),
            None if version != VersionNo(0) && version < list.head => "it is no longer kept".to_owned(),
            None => format!("the newest is {}", list.head.0),
        };
        Err(CatalogError::NoSuchVersion { list: list.name.clone(), version: version.0, why })
    }

    /// Builds what the version needs first, then flips: a failure leaves the old one active. Gives the version.
    fn activate_locked(&self, by: &Caller, list: &HashList, version: VersionNo) -> Result<ListVersion, CatalogError> {
        let found = self.sealed(list, version)?;
        if list.active == version {
            return Ok(found);
        }
        let transition = self.transition(list.id, list.active, version)?;
        self.activate_prepared(by, list, &found, transition)?;
        Ok(found)
    }

    fn activate_prepared(
        &self,
        by: &Caller,
        list: &HashList,
        version: &ListVersion,
        transition: Option<Transition>,
    ) -> Result<(), CatalogError> {
        let op = ChangeOp::Activate { list: list.id, version: version.version };
        self.commit(by, transition, |_| Ok(Some((op, Vec::new()))))?;
        told::activated(by, list, version);
        Ok(())
    }

    /// What the snapshot needs to go from one version of a list to another.
    fn transition(&self, list: ListId, from: VersionNo, to: VersionNo) -> Result<Option<Transition>, CatalogError> {
        let Some(published) = &self.published else { return Ok(None) };
        let base = published.load();
        let prepared = self.build.install(|| advance::prepare(&self.store(), &base, self.choices, (list, from, to)));
        if let Err(CatalogError::Unproven(flaw)) = &prepared {
            self.tell_flaw(flaw);
        }
        prepared.map(Some)
    }

    /// When a file was last imported into a list, whether or not it changed anything; `None` where none was, or a version was that knew no
    /// such mark.
    fn imported_ms(&self, list: ListId) -> Result<Option<u64>, CatalogError> {
        let mark = self.store().derived_mark(&imported_mark(list))?;
        Ok(mark.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))))
    }

    /// The import itself is done: that its time could not be kept only makes the list look older than it is.
    fn note_import(&self, list: ListId, time_ms: u64) {
        let mark = DerivedPut::Mark { name: imported_mark(list), bytes: time_ms.to_be_bytes().to_vec() };
        if let Err(error) = self.store().derived_put(&[mark]) {
            tracing::warn!(%error, "the time of an import could not be stored");
        }
    }

    /// Gives up versions that were never sealed: their import was cut short.
    fn undo_staged(&self) -> Result<(), CatalogError> {
        self.store().lists()?.iter().try_for_each(|list| {
            self.undo_abandoned(list, MadeBy::Import)?;
            self.undo_abandoned(list, MadeBy::Edit)
        })
    }

    /// Makes derived rows again where their layout is another's, and keeps BK-trees for just the kinds that use them.
    fn derive(&self) -> Result<(), CatalogError> {
        if !stored::are_whole(&self.store())? {
            stored::rebuild(&self.store())?;
        }
        self.keep_trees()
    }

    fn keep_trees(&self) -> Result<(), CatalogError> {
        for kind in bk::KINDS {
            let wanted = self.index_kind(kind)? == IndexKind::BkTree;
            match (wanted, bk::tree(&self.store(), kind)?.is_some()) {
                (true, false) => {
                    let _commit = lock(&self.commit);
                    bk::rebuild(&self.store(), kind)?;
                }
                (false, true) => {
                    let _commit = lock(&self.commit);
                    bk::forget(&self.store(), kind)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The index that a kind uses, by its number of rows and the widest radius that anything is looked up at.
    fn index_kind(&self, kind: HashKind) -> Result<IndexKind, CatalogError> {
        let lists = self.store().lists()?;
        let radius = lists.iter().map(|l| l.policy.radius_looked_up(kind)).max().unwrap_or(0);
        let rows = stored::rows(&self.store(), kind)?;
        Ok(match kind {
            HashKind::Pdq => self.choices.pdq.resolve::<crate::entry::Pdq>(rows, radius),
            HashKind::Phash64 => self.choices.phash64.resolve::<crate::entry::Hash64>(rows, radius),
            _ => self.choices.dhash64.resolve::<crate::entry::Hash64>(rows, radius),
        })
    }
}

fn imported_mark(list: ListId) -> String {
    format!("imported/{}", list.0)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// These locks guard an order, or what is whole at any moment: what a panicking holder wrote is in the store whole or not at all.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
