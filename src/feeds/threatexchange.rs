//! Which pages does ThreatExchange have of a privacy group's updates?
//!
//! `GET {base}/threat_updates?start_time=SECONDS&limit=N&fields=..`, where the base names the version and the group, such as
//! `https://graph.facebook.com/v26.0/GROUP`; then from link to link. A link repeats the caller's token, which is taken out before it is kept. Updates
//! go back 90 days: a source that was not fetched for 85 is fetched whole, and what it does not have any more is gone. Source: the public
//! client in python-threatexchange.

use std::collections::HashSet;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::query::encoded;
use super::walk::{Base, Taken, Untaken, Walk, unseen};
use crate::lists::{Format, threatexchange_page};

const PAGE_RECORDS: u64 = 100;
const FIELDS: &str = "id,indicator,type,last_updated,should_delete,descriptors{reactions,owner{id},tags,status,added_on}";
/// So much of what was fetched before is asked for again.
const OVERLAP_S: u64 = 600;
/// How long a link is used.
const LINK_S_MAX: u64 = 3_600;
const FORGOTTEN_MS: u64 = 85 * 86_400_000;
/// Parameters that are secret, whatever the credentials call them.
const SECRET: [&str; 2] = ["access_token", "appsecret_proof"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// The newest update of a walk that took all pages.
    done: u64,
    /// The newest of this one.
    newest: u64,
    /// The next page, without secrets, and when that link came.
    next: Option<(String, u64)>,
}

pub struct Threatexchange {
    base: Base,
    cursor: Cursor,
    now: u64,
    seen: HashSet<[u8; 32]>,
    is_done: bool,
    is_whole: bool,
}

impl Threatexchange {
    pub fn new(base: Base, cursor: &str, now_ms: u64, succeeded_ms: u64) -> Self {
        let now = now_ms / 1_000;
        let mut cursor: Cursor = serde_json::from_str(cursor).unwrap_or_default();
        let is_whole = cursor.done > 0 && now_ms.saturating_sub(succeeded_ms) > FORGOTTEN_MS;
        if is_whole {
            cursor = Cursor::default();
        }
        cursor.next = cursor.next.filter(|(_, since)| now.saturating_sub(*since) <= LINK_S_MAX);
        Threatexchange { base, cursor, now, seen: HashSet::new(), is_done: false, is_whole }
    }
}

impl Walk for Threatexchange {
    fn url(&self) -> Result<Uri, Untaken> {
        if let Some((link, _)) = &self.cursor.next {
            return self.base.linked(link);
        }
        let start = match self.cursor.done {
            0 => String::new(),
            done => format!("start_time={}&", done.saturating_sub(OVERLAP_S)),
        };
        self.base.page(&format!("/threat_updates?{start}limit={PAGE_RECORDS}&fields={}", encoded(FIELDS)))
    }

    fn take(&mut self, body: &[u8]) -> Result<Taken, Untaken> {
        let page = threatexchange_page(body)?;
        let is_last = page.next.is_none();
        let newest = self.cursor.newest.max(page.until_s);
        match page.next.as_deref().map(without_secrets) {
            Some(link) => {
                self.base.linked(&link)?;
                unseen(&mut self.seen, &link)?;
                self.cursor = Cursor { newest, next: Some((link, self.now)), ..self.cursor };
            }
            None => {
                self.cursor = Cursor { done: newest.max(self.cursor.done), newest: 0, next: None };
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

    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn begin_anew(&mut self) -> bool {
        self.seen.clear();
        self.cursor.newest = 0;
        self.cursor.next.take().is_some()
    }

    fn format(&self) -> Format {
        Format::ThreatexchangeJson
    }
}

/// A link without the parameters that are sent from the credentials.
fn without_secrets(link: &str) -> String {
    let Some((path, query)) = link.split_once('?') else { return link.to_owned() };
    let is_secret = |part: &&str| SECRET.contains(&part.split_once('=').map_or(*part, |(name, _)| name));
    let left: Vec<&str> = query.split('&').filter(|part| !is_secret(part)).collect();
    if left.is_empty() { path.to_owned() } else { format!("{path}?{}", left.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_without_its_secrets() {
        let check = |link: &str, expected: &str| assert_eq!(without_secrets(link), expected);
        check("https://h/p?access_token=a%7Cb&after=x", "https://h/p?after=x");
        check("https://h/p?after=x&access_token=a&limit=1&appsecret_proof=q", "https://h/p?after=x&limit=1");
        check("https://h/p?access_token=a", "https://h/p");
        check("https://h/p", "https://h/p");
    }
}
