//! Which pages does StopNCII's API have of what changed since?
//!
//! `GET {base}/FetchHashes?startTimestamp=SECONDS&pageSize=N`, then the same with `nextPageToken`. The last page says where the next fetch begins.
//! A token is not good for long: a walk that goes on later begins anew where it is refused. Source: the public client in
//! python-threatexchange.

use std::collections::HashSet;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::query::encoded;
use super::walk::{Base, Taken, Untaken, Walk, unseen};
use crate::lists::{Format, stopncii_page};

/// As the public client has it.
const PAGE_RECORDS: u64 = 800;
const START: u64 = 10;
/// So much of what was fetched before is asked for again.
const OVERLAP_S: u64 = 600;
/// How long a token is used.
const TOKEN_S_MAX: u64 = 3_600;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// All was taken up to here, in the source's seconds.
    done: u64,
    /// The next page, and when that token came.
    next: Option<(String, u64)>,
}

pub struct Stopncii {
    base: Base,
    cursor: Cursor,
    now: u64,
    seen: HashSet<[u8; 32]>,
    is_done: bool,
}

impl Stopncii {
    pub fn new(base: Base, cursor: &str, now_ms: u64) -> Self {
        let now = now_ms / 1_000;
        let mut cursor: Cursor = serde_json::from_str(cursor).unwrap_or_default();
        cursor.next = cursor.next.filter(|(_, since)| now.saturating_sub(*since) <= TOKEN_S_MAX);
        Stopncii { base, cursor, now, seen: HashSet::new(), is_done: false }
    }
}

impl Walk for Stopncii {
    fn url(&self) -> Result<Uri, Untaken> {
        let start = self.cursor.done.saturating_sub(OVERLAP_S).max(START);
        let token = self.cursor.next.as_ref().map(|(token, _)| format!("&nextPageToken={}", encoded(token))).unwrap_or_default();
        self.base.page(&format!("/FetchHashes?startTimestamp={start}&pageSize={PAGE_RECORDS}{token}"))
    }

    fn take(&mut self, body: &[u8]) -> Result<Taken, Untaken> {
        let page = stopncii_page(body)?;
        let is_last = page.next.is_none();
        match page.next {
            Some(token) => {
                unseen(&mut self.seen, &token)?;
                self.cursor.next = Some((token, self.now));
            }
            None => {
                self.cursor = Cursor { done: page.until_s.max(self.cursor.done), next: None };
                self.is_done = true;
            }
        }
        Ok(Taken { records: page.records, content: page.content, is_last })
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn cursor(&self) -> String {
        serde_json::to_string(&self.cursor).unwrap_or_default()
    }

    fn begin_anew(&mut self) -> bool {
        self.seen.clear();
        self.cursor.next.take().is_some()
    }

    fn format(&self) -> Format {
        Format::StopnciiJson
    }
}
