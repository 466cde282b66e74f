//! Where do a list's sources come from, how far are they, and may they be fetched now?
//!
//! How a source is fetched is a change, as a policy is; what became of fetches is kept beside, as it alters no verdict. The fetching itself is done
//! by a room above, which is handed to whoever may ask for it as a [`Fetch`]. Invariant: sources of NCMEC in one list are of one database,
//! as its databases differ in what may be done with their hashes.

use super::{Catalog, CatalogError, Hold, Phase, now_ms, told};
use crate::entry::shown::without_hashes;
use crate::entry::{
    Caller, ChangeOp, Feed, FeedKind, FetchState, HashKind, HashList, Sources, VersionNo, VersionState, Vote, Waits,
    check_list_name,
};
use crate::lists::Format;

/// Shortest and longest wait after a fetch that failed, in ms; doubled from one failure to the next.
const AFTER_FAILURE_MS: std::ops::RangeInclusive<u64> = 60_000..=3_600_000;

/// A source that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    pub list: String,
    pub name: String,
    pub feed: Feed,
    pub state: FetchState,
    pub waits: Option<Waits>,
    /// When it is due, in ms since the Unix epoch; `None` while it waits for a person.
    pub due_ms: Option<u64>,
}

impl SourceInfo {
    /// How long it has not been fetched whole, in ms.
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        let since = if self.state.succeeded_ms > 0 { self.state.succeeded_ms } else { self.feed.set_ms };
        now_ms.saturating_sub(since)
    }
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchProgress {
    pub pages: u64,
    pub bytes: u64,
    /// Entries and tombstones in these pages, as far as the source says.
    pub records: u64,
    /// What is done with them, if it is not the fetching itself; and how many rows are done.
    pub importing: Option<(Phase, u64)>,
    /// It does not go on for now.
    pub waits: Option<FetchWait>,
}

/// What a fetch that somebody asked for waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchWait {
    /// The source is being fetched already.
    Source,
    /// As many fetches that somebody asked for are running as may run at once.
    Place,
    /// Another import: they run one at a time.
    Import,
}

/// Hears how far a fetch is, and says whether anybody still listens: one that nobody waits for does not begin.
pub type FetchListener<'l> = &'l mut (dyn FnMut(FetchProgress) -> bool + Send);

/// What a fetch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchReport {
    pub pages: u64,
    pub bytes: u64,
    pub records: u64,
    /// How often something was imported.
    pub imports: u64,
    pub rows_bad: u64,
    pub added: u64,
    pub changed: u64,
    pub gone: u64,
    /// The last version that was made.
    pub version: Option<VersionNo>,
    /// Why it waits for a review; empty where it is active.
    pub held: Vec<Hold>,
    pub warnings: Vec<String>,
    /// The source has what it had at the fetch before.
    pub is_unchanged: bool,
}

/// How a person or the schedule asks for a fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchOptions {
    /// Activate what is fetched, however much of the list it changes.
    pub accept: bool,
    /// From the beginning, as if nothing had been fetched before.
    pub again: bool,
}

/// What a reviewer's decision says of one hash of an entry, to the source that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    pub entry_id: String,
    pub kind: HashKind,
    pub vote: Vote,
    /// Of a negative vote: one of the source's reasons, by its name or its id; empty where it has but one.
    pub reason: String,
}

/// Feedback that the source took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedbackReport {
    /// The reason's name; empty for none.
    pub reason: String,
}

/// Who speaks with sources. Blocks until that is done.
pub trait Fetch: Send + Sync {
    /// Sets how a source is fetched, unless it could not be, as the configuration is.
    fn set(&self, by: &Caller, list: &str, source: &str, feed: Feed) -> Result<SourceInfo, CatalogError>;

    fn fetch(
        &self,
        by: &Caller,
        list: &str,
        source: &str,
        options: FetchOptions,
        progress: FetchListener<'_>,
    ) -> Result<FetchReport, CatalogError>;

    /// Sends feedback to a source, if it is set so that it may be sent.
    fn feedback(&self, by: &Caller, list: &str, source: &str, feedback: &Feedback) -> Result<FeedbackReport, CatalogError>;
}

impl Catalog {
    /// Sets how a source is fetched. What was fetched before stays, and goes on where it is of the same place.
    pub fn set_source(&self, by: &Caller, name: &str, source: &str, feed: Feed) -> Result<SourceInfo, CatalogError> {
        let feed = Feed { set_ms: now_ms(), ..feed };
        feed.check()?;
        check_source(source)?;
        if !feed.format.is_empty() {
            feed.format.parse::<Format>()?;
        }
        self.apply_checked(by, || {
            let list = self.find(name)?;
            self.check_database(&list, source, &feed)?;
            let (known, full) = (list.source(source).is_some() || list.feeds.contains_key(source), Sources::MAX);
            let new = list.feeds.keys().filter(|fed| list.source(fed).is_none()).count();
            if !known && Sources::NAMES.len() + list.sources.len() + new >= full {
                return Err(CatalogError::Refused(format!("the list has {full} sources, which is the limit")));
            }
            Ok(ChangeOp::SetFeed { list: list.id, source: source.to_owned(), feed: Some(feed.clone()) })
        })?;
        told::source_set(by, name, source, &feed);
        self.source(name, source)
    }

    /// Ends the fetching of a source; its entries stay.
    pub fn unset_source(&self, by: &Caller, name: &str, source: &str) -> Result<(), CatalogError> {
        self.apply_checked(by, || {
            let list = self.find(name)?;
            if !list.feeds.contains_key(source) {
                return Err(no_such_source(name, source));
            }
            Ok(ChangeOp::SetFeed { list: list.id, source: source.to_owned(), feed: None })
        })?;
        told::source_unset(by, name, source);
        Ok(())
    }

    /// The sources of a list that are fetched, by name.
    pub fn sources(&self, name: &str) -> Result<Vec<SourceInfo>, CatalogError> {
        let list = self.find(name)?;
        list.feeds.iter().map(|(source, feed)| self.source_info(&list, source, feed)).collect()
    }

    /// Those of all lists.
    pub fn all_sources(&self) -> Result<Vec<SourceInfo>, CatalogError> {
        let lists = self.store().lists()?;
        let of = |list: &HashList| {
            let of_list: Vec<_> = list.feeds.iter().map(|(source, feed)| self.source_info(list, source, feed)).collect();
            of_list
        };
        lists.iter().flat_map(of).collect()
    }

    pub fn source(&self, name: &str, source: &str) -> Result<SourceInfo, CatalogError> {
        let list = self.find(name)?;
        let feed = list.feeds.get(source).ok_or_else(|| no_such_source(name, source))?;
        self.source_info(&list, source, feed)
    }

    /// Keeps what became of a fetch, if the source is still fetched from there.
    pub fn put_fetch_state(&self, name: &str, source: &str, state: &FetchState) -> Result<(), CatalogError> {
        let list = self.find(name)?;
        if list.feeds.get(source).is_none_or(|feed| feed.of() != state.of) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(state).map_err(|error| CatalogError::Damaged(error.to_string()))?;
        Ok(self.store().put_fetch_state(list.id, source, &bytes)?)
    }

    fn source_info(&self, list: &HashList, source: &str, feed: &Feed) -> Result<SourceInfo, CatalogError> {
        let (list_name, name, feed) = (list.name.clone(), source.to_owned(), feed.clone());
        let state = self.fetch_state(list, source)?.filter(|state| state.of == feed.of()).unwrap_or_default();
        let state = FetchState { of: feed.of(), ..state };
        let waits = self.waits(list, &feed, &state)?;
        let due_ms = waits.is_none().then(|| due_ms(&feed, &state));
        Ok(SourceInfo { list: list_name, name, feed, state, waits, due_ms })
    }

    /// A state that can't be read is none: the source is fetched from the beginning.
    fn fetch_state(&self, list: &HashList, source: &str) -> Result<Option<FetchState>, CatalogError> {
        let bytes = self.store().fetch_state(list.id, source)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn waits(&self, list: &HashList, feed: &Feed, state: &FetchState) -> Result<Option<Waits>, CatalogError> {
        let store = self.store();
        let held = VersionNo(state.held);
        if held > VersionNo(0)
            // What is newer, and active, was put to use instead.
            && list.active < held
            && store.version(list.id, held)?.is_some_and(|v| v.state == VersionState::Sealed && !v.activated)
        {
            return Ok(Some(Waits::Held(held)));
        }
        // Files that are whole say all that the source has.
        let cursor_matters = feed.kind != FeedKind::Files || feed.delta;
        let made = VersionNo(state.version);
        let active = store.version(list.id, list.active)?;
        let behind = made > VersionNo(0) && active.is_none_or(|active| !active.lineage.contains(made));
        Ok((cursor_matters && behind).then_some(Waits::RolledBack(made)))
    }

    /// Refuses a source of another database of NCMEC than the list has entries of.
    fn check_database(&self, list: &HashList, source: &str, feed: &Feed) -> Result<(), CatalogError> {
        if feed.kind != FeedKind::Ncmec {
            return Ok(());
        }
        let ncmec = |of: &str| of.starts_with(&format!("{} ", FeedKind::Ncmec));
        let others = list.feeds.iter().filter(|(name, other)| *name != source && other.kind == FeedKind::Ncmec);
        let mut of: Vec<String> = others.map(|(_, other)| other.of()).collect();
        // What a source brought before is in the list, wherever it is fetched from now.
        let names = list.sources.iter().chain(list.feeds.keys()).map(String::as_str).chain(Sources::NAMES);
        for name in names {
            let state = self.fetch_state(list, name)?;
            of.extend(state.filter(|state| ncmec(&state.of) && state.version > 0).map(|state| state.of));
        }
        match of.into_iter().find(|of| *of != feed.of()) {
            None => Ok(()),
            Some(other) => Err(CatalogError::Refused(format!(
                "the list has entries of another database of NCMEC ({}); what may be done with hashes differs between its databases, so each needs a list \
                 of its own",
                other.split_once(' ').map_or(other.as_str(), |(_, place)| place)
            ))),
        }
    }

    fn apply_checked(&self, by: &Caller, make: impl FnOnce() -> Result<ChangeOp, CatalogError>) -> Result<u64, CatalogError> {
        self.apply_as(by, || Ok((make()?, Vec::new())))
    }
}

fn due_ms(feed: &Feed, state: &FetchState) -> u64 {
    let FetchState { began_ms, attempted_ms, failures, not_before_ms, .. } = *state;
    // One that did not end may have ended the process: not at once, or each start would end like the one before.
    let not_before_ms = if began_ms > 0 { not_before_ms.max(began_ms + AFTER_FAILURE_MS.start()) } else { not_before_ms };
    if attempted_ms == 0 {
        return feed.set_ms.max(not_before_ms);
    }
    let every_ms = feed.every_s.saturating_mul(1_000);
    let after = match failures {
        0 => every_ms,
        n => (*AFTER_FAILURE_MS.start() << (n - 1).min(16)).min(*AFTER_FAILURE_MS.end()).min(every_ms),
    };
    attempted_ms.saturating_add(after).max(not_before_ms)
}

fn no_such_source(list: &str, source: &str) -> CatalogError {
    CatalogError::Refused(format!("source {:?} of list {list:?} is not set up to be fetched", without_hashes(source)))
}

/// Refuses what is no name of a source that files can come from.
pub(super) fn check_source(name: &str) -> Result<(), CatalogError> {
    if name == Sources::NAMES[1] {
        let why = "source \"local\" is for entries that were added by hand: give the file's source another name";
        return Err(CatalogError::Invalid(why.to_owned()));
    }
    check_list_name(name)
        .map_err(|_| CatalogError::Invalid(format!("a source is named as a list is: {:?} is no name", without_hashes(name))))?;
    match without_hashes(name) == name {
        true => Ok(()),
        false => Err(CatalogError::Invalid("a source's name must not look like a hash".to_owned())),
    }
}
