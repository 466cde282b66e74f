//! How do lists come from their owners, on time, and never half?
//!
//! A source's pages or files are fetched into a file without a name, then imported as any file is: under the same rules, as one version. What the
//! source gives as changes is a delta, and its cursor is kept once the import is active; the load of a large list goes on from cursor to cursor.
//! A fetch that fails, or is held for review, leaves list and cursor as they were, so that it can be repeated. Fetches of different sources run side
//! by side, and wait for one another only where they import. Invariants: one fetch of a source at a time; the caller of a fetch reaches nothing
//! but what the configuration allows, and sees nothing that is sent for it. Absent: what an import is, which is the catalog's.

mod check;
mod connect;
mod credentials;
mod error;
mod feedback;
mod files;
mod folder;
mod http;
mod ncmec;
mod options;
mod origin;
mod pages;
mod query;
mod schedule;
mod spool;
mod stopncii;
mod threatexchange;
mod tls;
mod underway;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::catalog::{
    Catalog, CatalogError, Feedback, FeedbackReport, Fetch, FetchListener, FetchOptions, FetchProgress, FetchReport, FetchWait,
    Fetched, Files, ImportFile, ImportOptions, ImportReport, SourceInfo,
};
use crate::entry::shown::without_hashes;
use crate::entry::{Caller, Feed, FeedKind, FetchState, Waits};
use crate::lists::{Format, Mapping};
use credentials::Credentials;
pub use error::FeedError;
use error::HttpError;
use underway::{Asker, Place, Underway};

pub use connect::check;
pub use options::Options;

/// How long a fetch waits for another one, or for an import of somebody else, before it asks again.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// What a source can ask for at the most, whatever it says.
const AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Warnings of one fetch.
const WARNINGS_MAX: usize = 20;

/// What fetches stand on.
pub struct Deps {
    pub catalog: Arc<Catalog>,
    pub options: Options,
    /// Where pages and files lie, without a name, until they are imported.
    pub spool: PathBuf,
    pub runtime: Handle,
    /// Milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
}

/// The system's time, in milliseconds since the Unix epoch.
pub fn system_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Fetches sources.
pub struct Feeds {
    catalog: Arc<Catalog>,
    options: Options,
    spool: PathBuf,
    runtime: Handle,
    clock: fn() -> u64,
    stop: watch::Sender<bool>,
    underway: Underway,
}

impl Feeds {
    pub fn new(deps: Deps) -> Self {
        let Deps { catalog, options, spool, runtime, clock } = deps;
        let underway = Underway::new(options.fetches_max);
        Feeds { catalog, options, spool, runtime, clock, stop: watch::Sender::new(false), underway }
    }

    /// Ends what is being fetched, and the schedule.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits, or ends with the server.
    fn pause(&self, time: Duration) -> Result<(), FeedError> {
        self.until_stopped(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    fn until_stopped<T>(&self, work: impl Future<Output = Result<T, FeedError>>) -> Result<T, FeedError> {
        let mut stopped = self.stop.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                _ = stopped.wait_for(|stop| *stop) => Err(FeedError::Stopped),
            }
        })
    }

    fn run(
        &self,
        (by, asker): (&Caller, Asker),
        info: SourceInfo,
        options: FetchOptions,
        progress: FetchListener<'_>,
    ) -> Result<FetchReport, FeedError> {
        let now_ms = (self.clock)();
        let mut state = FetchState { began_ms: now_ms, held: 0, not_before_ms: 0, ..info.state.clone() };
        // What is active is not what the cursor is true of.
        if options.again || matches!(info.waits, Some(Waits::RolledBack(_))) {
            (state.cursor, state.version, state.filling) = (String::new(), 0, false);
        }
        // Not as an attempt: one that a crash ends is due again soon.
        self.catalog.put_fetch_state(&info.list, &info.name, &state)?;
        let mut fetching = Fetching {
            feeds: self,
            by,
            asker,
            info: &info,
            began: Instant::now(),
            options,
            state,
            report: FetchReport::default(),
            progress,
        };
        let done = match info.feed.kind {
            FeedKind::Files if info.feed.is_folder() => fetching.folder(),
            FeedKind::Files => fetching.file(),
            _ => fetching.pages(),
        };
        let Fetching { mut state, report, .. } = fetching;
        state.began_ms = 0;
        // One that the server's end broke off goes on after the next start.
        if !matches!(done, Err(FeedError::Stopped)) {
            state.attempted_ms = now_ms;
        }
        match &done {
            Ok(()) if report.held.is_empty() => {
                (state.succeeded_ms, state.failures, state.error) = (now_ms, 0, String::new());
            }
            // It is no failure, and says why by what it waits for.
            Ok(()) => (state.failures, state.error) = (0, String::new()),
            Err(FeedError::Stopped) => {}
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                state.error = without_hashes(&error.to_string()).chars().take(1_000).collect();
                if let FeedError::Failed { after: Some(after), .. } = error {
                    state.not_before_ms = now_ms.saturating_add((*after).min(AFTER_MAX).as_millis() as u64);
                }
            }
        }
        self.catalog.put_fetch_state(&info.list, &info.name, &state)?;
        done.map(|()| report)
    }

    fn credentials(&self, info: &SourceInfo) -> Result<Option<Credentials>, FeedError> {
        let name = &info.feed.credentials;
        (!name.is_empty()).then(|| Credentials::load(&self.options.credentials_dir, name, Some(&info.list))).transpose()
    }

    /// A place for a fetch that somebody asked for, once there is one.
    fn place(&self, list: &str, source: &str, progress: FetchListener<'_>) -> Result<Place<'_>, CatalogError> {
        loop {
            self.catalog.source(list, source)?; // it may be unset meanwhile
            let waits = match self.underway.take(list, source, Asker::Person) {
                Ok(place) => return Ok(place),
                Err(waits) => Some(waits),
            };
            if !progress(FetchProgress { waits, ..FetchProgress::default() }) {
                return Err(CatalogError::Refused("nobody waits for this fetch any more".to_owned()));
            }
            self.pause(BUSY_WAIT)?;
        }
    }

    /// A fetch that was begun and its end, in the log and the metrics.
    fn told(
        &self,
        (by, asker): (&Caller, Asker),
        info: &SourceInfo,
        options: FetchOptions,
        progress: FetchListener<'_>,
    ) -> Result<FetchReport, FeedError> {
        let (list, source) = (info.list.clone(), info.name.clone());
        let done = self.run((by, asker), info.clone(), options, progress);
        let result = match &done {
            Ok(report) if !report.held.is_empty() => "held",
            Ok(_) => "done",
            Err(FeedError::Stopped) => "stopped",
            Err(_) => "failed",
        };
        let labels = [("list", list.clone()), ("source", source.clone()), ("result", result.to_owned())];
        metrics::counter!("hashwarden_source_fetches_total", &labels).increment(1);
        let by = &by.0;
        match &done {
            Ok(FetchReport { pages, bytes, records, imports, added, changed, gone, .. }) => {
                tracing::info!(
                    by,
                    list,
                    source,
                    pages,
                    bytes,
                    records,
                    imports,
                    added,
                    changed,
                    gone,
                    result,
                    "a source was fetched"
                );
            }
            Err(FeedError::Stopped) => tracing::info!(by, list, source, "a fetch was stopped because the server is stopping"),
            // Who asked hears of it; of the schedule's nobody would.
            Err(error) if asker == Asker::Person => tracing::info!(by, list, source, %error, "a source could not be fetched"),
            Err(error) => tracing::warn!(by, list, source, %error, "a source could not be fetched"),
        }
        done
    }
}

impl Fetch for Feeds {
    fn set(&self, by: &Caller, list: &str, source: &str, feed: Feed) -> Result<SourceInfo, CatalogError> {
        self.catalog.list(list)?;
        self.check_feed(list, &feed)?;
        self.catalog.set_source(by, list, source, feed)
    }

    fn fetch(
        &self,
        by: &Caller,
        list: &str,
        source: &str,
        options: FetchOptions,
        progress: FetchListener<'_>,
    ) -> Result<FetchReport, CatalogError> {
        let _place = self.place(list, source, progress)?;
        let info = self.catalog.source(list, source)?;
        Ok(self.told((by, Asker::Person), &info, options, progress)?)
    }

    fn feedback(&self, by: &Caller, list: &str, source: &str, feedback: &Feedback) -> Result<FeedbackReport, CatalogError> {
        Ok(self.send_feedback(by, list, source, feedback)?)
    }
}

impl From<FeedError> for CatalogError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Catalog(error) => error,
            FeedError::Refused(why) => CatalogError::Refused(why),
            other => CatalogError::Unfetched(other.to_string()),
        }
    }
}

/// Files of an import; they are opened anew where it has to wait for another one.
type ToImport = Box<dyn Iterator<Item = std::io::Result<ImportFile<'static>>>>;

/// A fetch that is going on.
struct Fetching<'f> {
    feeds: &'f Feeds,
    by: &'f Caller,
    asker: Asker,
    info: &'f SourceInfo,
    began: Instant,
    options: FetchOptions,
    state: FetchState,
    report: FetchReport,
    progress: FetchListener<'f>,
}

impl Fetching<'_> {
    fn credentials(&self) -> Result<Option<Credentials>, FeedError> {
        self.feeds.credentials(self.info)
    }

    fn tell(&mut self) {
        let progress = self.so_far();
        (self.progress)(progress);
    }

    fn so_far(&self) -> FetchProgress {
        let FetchReport { pages, bytes, records, .. } = self.report;
        FetchProgress { pages, bytes, records, importing: None, waits: None }
    }

    /// Whether the source is still set as it was when the fetch began, and the fetch may go on.
    fn check_wanted(&self) -> Result<(), FeedError> {
        match self.feeds.catalog.source(&self.info.list, &self.info.name) {
            Ok(now) if now.feed == self.info.feed => {}
            Ok(_) => {
                return Err(FeedError::Refused("the settings of the source were changed while it was being fetched".to_owned()));
            }
            Err(error) => return Err(FeedError::Catalog(error)),
        }
        let most = self.feeds.options.fetch_s_max;
        if self.began.elapsed() > Duration::from_secs(most) {
            return Err(FeedError::failed(format!(
                "the fetch took longer than {most} s ([feeds] fetch_s_max); what was imported stays, and the next fetch continues from there"
            )));
        }
        Ok(())
    }

    /// Waits after the `n`th failure in a row; an error where there is to be no further attempt.
    fn wait_after(&self, n: u32, error: HttpError) -> Result<(), FeedError> {
        let options = &self.feeds.options;
        let (why, after) = match error {
            HttpError::Passing { why, after } => (why, after),
            HttpError::Lasting { why, .. } => return Err(FeedError::failed(why)),
        };
        if n >= options.attempts_max || after.is_some_and(|after| after > Duration::from_secs(options.retry_after_s_max)) {
            let why = if n > 1 { format!("{why} (attempt {n})") } else { why };
            return Err(FeedError::Failed { why, after });
        }
        tracing::debug!(list = self.info.list, source = self.info.name, why, attempt = n, "retrying a request");
        let backoff = Duration::from_millis(jittered(options.backoff_ms.saturating_mul(1 << (n - 1).min(10)).min(60_000)));
        self.feeds.pause(after.map_or(backoff, |after| after + Duration::from_millis(jittered(options.backoff_ms))))
    }

    /// Imports what was fetched, when nobody else does.
    fn import(
        &mut self,
        files: &mut dyn FnMut() -> std::io::Result<ToImport>,
        (format, delta, source): (Option<Format>, bool, String),
    ) -> Result<ImportReport, FeedError> {
        let fetched = if self.state.filling { Fetched::Filling } else { Fetched::Changes };
        let options = ImportOptions {
            format,
            mapping: Mapping::default(),
            source,
            activate: true,
            dry_run: false,
            accept: self.options.accept,
            feed: self.info.name.clone(),
            delta,
            fetched: if delta { fetched } else { Fetched::No },
        };
        let (catalog, list) = (&self.feeds.catalog, &self.info.list);
        let report = loop {
            if self.feeds.is_stopped() {
                return Err(FeedError::Stopped);
            }
            self.check_wanted()?;
            let mut files = files()?;
            let files: Files<'_, '_> = &mut files;
            let (so_far, progress) = (self.so_far(), &mut self.progress);
            let imported = catalog.begin_import(list).and_then(|began| {
                catalog.import_files(self.by, list, began, &options, files, &mut |importing| {
                    progress(FetchProgress { importing: Some((importing.phase, importing.rows)), ..so_far });
                })
            });
            match imported {
                Err(CatalogError::Busy) => {
                    progress(FetchProgress { waits: Some(FetchWait::Import), ..so_far });
                    self.feeds.pause(BUSY_WAIT)?;
                }
                done => break done?,
            }
        };
        let total = &mut self.report;
        total.imports += 1;
        total.rows_bad += report.rows_bad;
        total.added += report.added;
        total.changed += report.changed;
        total.gone += report.gone;
        total.version = report.version.or(total.version);
        for warning in &report.warnings {
            if total.warnings.len() < WARNINGS_MAX && !total.warnings.contains(warning) {
                total.warnings.push(warning.clone());
            }
        }
        Ok(report)
    }

    /// Takes over what an import came to, and keeps the cursor that is true now. Whether it is active.
    fn imported(&mut self, report: &ImportReport, cursor: String) -> Result<bool, FeedError> {
        if let (Some(version), false) = (report.version, report.activated) {
            self.state.held = version.0;
            self.report.held = report.held.clone();
            return Ok(false);
        }
        self.state.cursor = cursor;
        if let Some(version) = report.version {
            self.state.version = version.0;
        }
        self.keep()?;
        Ok(true)
    }

    fn keep(&self) -> Result<(), FeedError> {
        Ok(self.feeds.catalog.put_fetch_state(&self.info.list, &self.info.name, &self.state)?)
    }
}

/// Half of it and a random part of the other half: those who were turned away at once don't come back at once.
fn jittered(ms: u64) -> u64 {
    let mut random = [0; 8];
    // Without chance all of it.
    match getrandom::fill(&mut random) {
        Ok(()) => ms / 2 + u64::from_be_bytes(random) % (ms / 2 + 1),
        Err(_) => ms,
    }
}
