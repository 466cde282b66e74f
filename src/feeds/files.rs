//! A file that a web server has.
//!
//! It is asked for only where it is not what it was: by its ETag and its time, which are the cursor.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};

use super::http::{Get, Http};
use super::spool::Spool;
use super::{FeedError, Fetching};
use crate::entry::checked_url;
use crate::lists::Format;

/// Longest ETag or time that is kept, in bytes.
const TAG_BYTES_MAX: usize = 1_024;

/// What the server said of the file that was imported last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    etag: String,
    modified: String,
}

impl Cursor {
    fn of(headers: &HeaderMap) -> Cursor {
        let text = |name| {
            let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
            if value.len() <= TAG_BYTES_MAX { value.to_owned() } else { String::new() }
        };
        Cursor { etag: text(header::ETAG), modified: text(header::LAST_MODIFIED) }
    }

    fn conditions(&self) -> Vec<(HeaderName, HeaderValue)> {
        let each = [(header::IF_NONE_MATCH, &self.etag), (header::IF_MODIFIED_SINCE, &self.modified)];
        let given = each.into_iter().filter(|(_, text)| !text.is_empty());
        given.filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?))).collect()
    }
}

impl Fetching<'_> {
    pub(super) fn file(&mut self) -> Result<(), FeedError> {
        let url = checked_url(&self.info.feed.place).map_err(|bad| FeedError::Refused(bad.0))?;
        let cursor: Cursor = serde_json::from_str(&self.state.cursor).unwrap_or_default();
        let mut spool = Spool::new(&self.feeds.spool, self.feeds.options.file_bytes_max)?;
        let answer = self.got(&url, &cursor, &mut spool)?;
        let Some(headers) = answer else {
            self.report.is_unchanged = true;
            return Ok(());
        };
        self.report.pages = 1;
        self.report.bytes = spool.bytes();
        self.tell();
        // The path alone, as its last part may be what a person calls the file.
        let name = url.path().rsplit('/').find(|part| !part.is_empty()).unwrap_or("file").to_owned();
        spool.end(String::new());
        let how = (self.format()?, self.info.feed.delta, name);
        let report = self.import(&mut || Ok(Box::new(spool.files()?)), how)?;
        self.report.records = report.rows;
        let cursor = serde_json::to_string(&Cursor::of(&headers)).unwrap_or_default();
        self.imported(&report, cursor).map(drop)
    }

    pub(super) fn format(&self) -> Result<Option<Format>, FeedError> {
        let name = &self.info.feed.format;
        let format = (!name.is_empty()).then(|| name.parse::<Format>()).transpose();
        format.map_err(|bad| FeedError::Refused(bad.0))
    }

    /// The file, as often as it takes; `None` where it is what it was.
    fn got(&mut self, url: &Uri, cursor: &Cursor, spool: &mut Spool) -> Result<Option<HeaderMap>, FeedError> {
        let (mut http, credentials) = (Http::new(&self.feeds.options)?, self.credentials()?);
        let mut failures = 0;
        loop {
            self.check_wanted()?;
            spool.take_back()?;
            let bytes_max = self.feeds.options.file_bytes_max;
            let get = Get { url, credentials: credentials.as_ref(), headers: cursor.conditions(), bytes_max };
            let got = self.feeds.until_stopped(async { Ok(http.get(get, &mut |piece| spool.write(piece)).await) })?;
            match got {
                Ok(answer) if answer.status == StatusCode::NOT_MODIFIED => return Ok(None),
                Ok(answer) => return Ok(Some(answer.headers)),
                Err(error) => {
                    failures += 1;
                    self.wait_after(failures, error)?;
                }
            }
        }
    }
}
