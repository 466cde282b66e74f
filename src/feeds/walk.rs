//! What has every interface that gives its list page by page?
//!
//! A walk knows which page is next and reads where the one after it is; it sees a page whole or not at all, and asks for nothing itself. Its
//! cursor is text, which another walk goes on from. Invariant: a cursor that says how far the source was followed is true once everything
//! that came before it has been imported.

use http::Uri;

use crate::entry::{BadValue, Feed, checked_url};
use crate::lists::{FileError, Format};

/// Why a page is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untaken {
    /// It is cut short, or no page; it may be another time.
    Broken(String),
    /// It leads nowhere, however often it is asked for.
    Astray(String),
}

impl From<FileError> for Untaken {
    fn from(error: FileError) -> Self {
        Untaken::Broken(error.to_string())
    }
}

/// What was on a page.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Entries and tombstones.
    pub records: u64,
    /// A digest of them.
    pub content: [u8; 32],
    /// No page is linked from it; another range may follow.
    pub is_last: bool,
}

pub trait Walk {
    /// The page to ask for.
    fn url(&self) -> Result<Uri, Untaken>;
    /// Reads the page that was asked for, and goes on to the next. Nothing has changed after an error.
    fn take(&mut self, body: &[u8]) -> Result<Taken, Untaken>;
    /// Whether all pages were taken.
    fn is_done(&self) -> bool;
    /// From where a later walk goes on.
    fn cursor(&self) -> String;
    /// All that the source has, and not what changed: what its pages do not have is gone.
    fn is_whole(&self) -> bool {
        false
    }
    /// The page is refused: begins anew where its link may have expired. Whether it does.
    fn begin_anew(&mut self) -> bool;
    fn format(&self) -> Format;
}

/// The URL that an admin set, which all pages lie below.
#[derive(Debug, Clone)]
pub struct Base {
    /// `https://host`.
    origin: String,
    /// Without a slash at its end; empty for none.
    path: String,
}

impl Base {
    pub fn of(feed: &Feed) -> Result<Base, BadValue> {
        let url = checked_url(&feed.place)?;
        let (scheme, authority) = (url.scheme_str().unwrap_or_default(), url.authority().map_or("", |a| a.as_str()));
        Ok(Base { origin: format!("{scheme}://{authority}"), path: url.path().trim_end_matches('/').to_owned() })
    }

    /// A page by its path below the base, and a query.
    pub fn page(&self, below: &str) -> Result<Uri, Untaken> {
        self.at(&format!("{}{}{below}", self.origin, self.path))
    }

    /// A page by a link: below the base, from the root of the server, or whole. It may lead to no other server.
    pub fn linked(&self, link: &str) -> Result<Uri, Untaken> {
        if link.starts_with('/') && !link.starts_with("//") {
            let whole = !self.path.is_empty() && link.starts_with(&format!("{}/", self.path));
            return if whole { self.at(&format!("{}{link}", self.origin)) } else { self.page(link) };
        }
        match link.strip_prefix(&self.origin) {
            Some(rest) if rest.starts_with('/') => self.at(link),
            _ => Err(Untaken::Astray("a page links to another server".to_owned())),
        }
    }

    fn at(&self, url: &str) -> Result<Uri, Untaken> {
        url.parse().map_err(|_| Untaken::Astray("a page's link to the next one is not a URL".to_owned()))
    }
}

/// Refuses a link or token that was there before.
pub fn unseen(seen: &mut std::collections::HashSet<[u8; 32]>, next: &str) -> Result<(), Untaken> {
    use sha2::Digest;
    if seen.insert(sha2::Sha256::digest(next.as_bytes()).into()) {
        return Ok(());
    }
    Err(Untaken::Astray("the next page is one that was already fetched, so the pages never end".to_owned()))
}
