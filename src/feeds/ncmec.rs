//! Which pages does the NCMEC Hash Sharing API have of what changed since?
//!
//! `GET {base}/v2/entries?from=TIME&to=TIME`, then from link to link. Entries come in no order of time, so that a range of time counts only once
//! all its pages were taken; then the next one begins a little before its end, as clocks differ and entries appear late. The links expire after
//! some 12 hours: a range that takes longer is begun anew, and shorter ones follow. Source: the public client in python-threatexchange.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use http::Uri;
use serde::{Deserialize, Serialize};

use super::query::encoded;
use super::walk::{Base, Taken, Untaken, Walk, unseen};
use crate::lists::{Format, ncmec_page};

/// The newest entries may still be about to appear.
const BEHIND_S: u64 = 30;
/// So much of the range before is asked for again.
const OVERLAP_S: u64 = 600;
/// How long a link is used.
const LINK_S_MAX: u64 = 11 * 3_600;
/// The shortest range that another one is split into.
const RANGE_S_MIN: u64 = 1;

/// In seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// All was taken up to here.
    done: u64,
    /// The range whose pages are being taken.
    range: Option<(u64, u64)>,
    /// Its next page, and when that link came.
    next: Option<(String, u64)>,
    /// The longest range to ask for; 0: any.
    longest: u64,
}

pub struct Ncmec {
    base: Base,
    cursor: Cursor,
    now: u64,
    /// Ranges end here.
    until: u64,
    seen: HashSet<[u8; 32]>,
    is_done: bool,
}

impl Ncmec {
    pub fn new(base: Base, cursor: &str, now_ms: u64) -> Self {
        let now = now_ms / 1_000;
        let mut cursor: Cursor = serde_json::from_str(cursor).unwrap_or_default();
        let expired = cursor.next.as_ref().is_some_and(|(_, since)| now.saturating_sub(*since) > LINK_S_MAX);
        if let (true, Some((from, to))) = (expired, cursor.range) {
            cursor.longest = (to.saturating_sub(from) / 4).max(RANGE_S_MIN);
        }
        if expired || cursor.next.is_none() {
            (cursor.range, cursor.next) = (None, None);
        }
        // Asked for again at once, the source is asked all the same: it may have what it had not, and may not be there.
        let until = now.saturating_sub(BEHIND_S).max(cursor.done);
        let mut walk = Ncmec { base, cursor, now, until, seen: HashSet::new(), is_done: false };
        if walk.cursor.range.is_none() {
            walk.begin_range();
        }
        walk
    }

    /// The next range.
    fn begin_range(&mut self) {
        self.seen.clear();
        let from = self.cursor.done.saturating_sub(OVERLAP_S);
        let to = match self.cursor.longest {
            0 => self.until,
            longest => self.until.min(self.cursor.done.saturating_add(longest)),
        };
        self.cursor.range = Some((from, to));
    }
}

impl Walk for Ncmec {
    fn url(&self) -> Result<Uri, Untaken> {
        if let Some((link, _)) = &self.cursor.next {
            return self.base.linked(link);
        }
        let (from, to) = self.cursor.range.unwrap_or_default();
        self.base.page(&format!("/v2/entries?from={}&to={}", time(from), time(to)))
    }

    fn take(&mut self, body: &[u8]) -> Result<Taken, Untaken> {
        let page = ncmec_page(body)?;
        let is_last = page.next.is_none();
        match page.next {
            Some(link) => {
                self.base.linked(&link)?;
                unseen(&mut self.seen, &link)?;
                // Since the range was begun: the first link may be the one that expires.
                let since = self.cursor.next.as_ref().map_or(self.now, |(_, since)| *since);
                self.cursor.next = Some((link, since));
            }
            None => {
                let to = self.cursor.range.map_or(self.cursor.done, |(_, to)| to);
                self.cursor = Cursor { done: to.max(self.cursor.done), range: None, next: None, longest: self.cursor.longest };
                match self.cursor.done < self.until {
                    true => self.begin_range(),
                    false => self.is_done = true,
                }
            }
        }
        Ok(Taken { records: page.records, content: page.content, is_last })
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn cursor(&self) -> String {
        let cursor = match self.is_done {
            true => Cursor { longest: 0, ..self.cursor.clone() },
            false => self.cursor.clone(),
        };
        serde_json::to_string(&cursor).unwrap_or_default()
    }

    fn begin_anew(&mut self) -> bool {
        let linked = self.cursor.next.take().is_some();
        if let (true, Some((from, to))) = (linked, self.cursor.range.take()) {
            self.cursor.longest = (to.saturating_sub(from) / 4).max(RANGE_S_MIN);
            self.begin_range();
        }
        linked
    }

    fn format(&self) -> Format {
        Format::NcmecXml
    }
}

/// Such as `2026-01-02T03:04:05Z`, for a query.
fn time(seconds: u64) -> String {
    encoded(&humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string())
}
