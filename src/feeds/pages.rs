//! Page after page of an interface, and an import every so many of them.
//!
//! A page counts once it was read to its end; one that is cut short, or an error page with status 200, is asked for again. Invariant: the cursor
//! that is kept is that of pages which were imported.

use std::collections::HashSet;

use super::error::HttpError;
use super::http::{Get, Http};
use super::spool::Spool;
use super::walk::{Base, Taken, Untaken, Walk};
use super::{FeedError, Fetching, ncmec, stopncii, threatexchange};
use crate::entry::{BadValue, Feed, FeedKind};

/// Pages, and bytes, between two imports: a fetch that is interrupted goes on from the last one.
const CHECKPOINT_PAGES: usize = 500;
const CHECKPOINT_BYTES: u64 = 512 * 1024 * 1024;
/// Pages of one fetch: some hundred million entries.
const PAGES_MAX: u64 = 1_000_000;

impl Fetching<'_> {
    pub(super) fn pages(&mut self) -> Result<(), FeedError> {
        let (feed, now_ms) = (&self.info.feed, (self.feeds.clock)());
        let mut walk =
            begin(feed, &self.state.cursor, now_ms, self.state.succeeded_ms).map_err(|bad| FeedError::Refused(bad.0))?;
        if self.state.cursor.is_empty() {
            self.state.filling = self.feeds.catalog.list(&self.info.list)?.rows == 0;
        }
        let mut http = Http::new(&self.feeds.options)?;
        let mut spool = self.spool()?;
        let mut seen = HashSet::new();
        while !walk.is_done() {
            if self.report.pages == PAGES_MAX {
                return Err(FeedError::failed(format!("the source has more than {PAGES_MAX} pages")));
            }
            let (body, Taken { records, content, is_last }) = self.page(&mut http, walk.as_mut())?;
            self.report.pages += 1;
            self.report.bytes += body.len() as u64;
            self.report.records += records;
            if records > 0 {
                if !seen.insert(content) {
                    return Err(FeedError::failed("the source keeps sending the same page, so the pages never end"));
                }
                spool.write(&body)?;
                spool.end(format!("page {}", self.report.pages));
            }
            if is_last {
                seen.clear(); // ranges overlap
            }
            self.tell();
            let full = spool.parts() >= CHECKPOINT_PAGES || spool.bytes() >= CHECKPOINT_BYTES;
            if full && !walk.is_whole() && !walk.is_done() {
                if !self.import_pages(&spool, walk.as_ref())? {
                    return Ok(());
                }
                spool = self.spool()?;
            }
        }
        if spool.parts() > 0 {
            if !self.import_pages(&spool, walk.as_ref())? {
                return Ok(());
            }
        } else {
            self.report.is_unchanged = self.report.imports == 0;
            self.state.cursor = walk.cursor();
        }
        self.state.filling = false;
        Ok(())
    }

    fn spool(&self) -> Result<Spool, FeedError> {
        Ok(Spool::new(&self.feeds.spool, self.feeds.options.file_bytes_max)?)
    }

    /// Whether they are active now.
    fn import_pages(&mut self, spool: &Spool, walk: &dyn Walk) -> Result<bool, FeedError> {
        let how = (Some(walk.format()), !walk.is_whole(), self.info.feed.kind.to_string());
        let report = self.import(&mut || Ok(Box::new(spool.files()?)), how)?;
        self.imported(&report, walk.cursor())
    }

    /// The next page, as often as it takes. The links that a page names lie at the same server.
    fn page(&mut self, http: &mut Http, walk: &mut dyn Walk) -> Result<(Vec<u8>, Taken), FeedError> {
        let credentials = self.credentials()?;
        let mut failures = 0;
        loop {
            self.check_wanted()?;
            let url = walk.url().map_err(failed)?;
            let bytes_max = self.feeds.options.page_bytes_max;
            let get = Get { url: &url, credentials: credentials.as_ref(), headers: Vec::new(), bytes_max };
            let got = self.feeds.until_stopped(async { Ok(http.get_whole(get).await) })?;
            let error = match got {
                Ok(body) => match walk.take(&body) {
                    Ok(taken) => return Ok((body, taken)),
                    Err(Untaken::Broken(why)) => {
                        HttpError::Passing { why: format!("the answer is not a valid page: {why}"), after: None }
                    }
                    Err(untaken) => return Err(failed(untaken)),
                },
                Err(HttpError::Lasting { status: Some(status), .. })
                    if matches!(status.as_u16(), 400 | 404 | 410) && walk.begin_anew() =>
                {
                    continue; // its link has expired
                }
                Err(error) => error,
            };
            failures += 1;
            self.wait_after(failures, error)?;
        }
    }
}

fn failed(untaken: Untaken) -> FeedError {
    match untaken {
        Untaken::Broken(why) | Untaken::Astray(why) => FeedError::failed(why),
    }
}

/// A walk from where another one came to. `now_ms` and `succeeded_ms` are times since the Unix epoch.
fn begin(feed: &Feed, cursor: &str, now_ms: u64, succeeded_ms: u64) -> Result<Box<dyn Walk>, BadValue> {
    let base = Base::of(feed)?;
    Ok(match feed.kind {
        FeedKind::Ncmec => Box::new(ncmec::Ncmec::new(base, cursor, now_ms)),
        FeedKind::Stopncii => Box::new(stopncii::Stopncii::new(base, cursor, now_ms)),
        FeedKind::Threatexchange => Box::new(threatexchange::Threatexchange::new(base, cursor, now_ms, succeeded_ms)),
        FeedKind::Files => return Err(BadValue("files have no pages".to_owned())),
    })
}
