//! Where is a list's source fetched from, and how often?
//!
//! Invariant: nothing here is secret. A feed names its credentials, and its URL has neither a user nor a query, where secrets like to stand.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use super::{BadValue, check_list_name};

/// Which interface a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FeedKind {
    /// The NCMEC Hash Sharing API, version 2.
    Ncmec = 1,
    /// StopNCII's API, version 1.
    Stopncii = 2,
    /// ThreatExchange's updates of a privacy group.
    Threatexchange = 3,
    /// A file that a web server has, or the files of a folder.
    Files = 4,
}

impl FeedKind {
    pub const ALL: [FeedKind; 4] = [FeedKind::Ncmec, FeedKind::Stopncii, FeedKind::Threatexchange, FeedKind::Files];

    pub fn name(self) -> &'static str {
        match self {
            FeedKind::Ncmec => "ncmec",
            FeedKind::Stopncii => "stopncii",
            FeedKind::Threatexchange => "threatexchange",
            FeedKind::Files => "files",
        }
    }

    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == n)
    }
}

impl fmt::Display for FeedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FeedKind {
    type Err = BadValue;
    fn from_str(s: &str) -> Result<Self, BadValue> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == s);
        known.ok_or_else(|| BadValue(format!("unknown kind of source {s:?}: one of ncmec, stopncii, threatexchange, files")))
    }
}

/// Longest URL or path, in bytes.
pub const PLACE_BYTES_MAX: usize = 2_048;
/// How often a source may be fetched, in seconds: from a minute to four weeks.
pub const EVERY_S: std::ops::RangeInclusive<u64> = 60..=28 * 86_400;
/// How often it is, where nothing else was said.
pub const EVERY_S_USUAL: u64 = 3_600;

/// How a source is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    pub kind: FeedKind,
    /// A URL; of [`FeedKind::Files`] perhaps the absolute path of a folder.
    pub place: String,
    /// The name of the credentials that the server has; empty for none.
    pub credentials: String,
    /// Seconds from one fetch to the next.
    pub every_s: u64,
    /// Of [`FeedKind::Files`]: the name of the files' format; empty where it is found out.
    pub format: String,
    /// Of [`FeedKind::Files`]: the files have what changed since earlier ones.
    pub delta: bool,
    /// Of [`FeedKind::Ncmec`]: feedback on its entries may be sent to it.
    pub feedback: bool,
    /// When it was set.
    pub set_ms: u64,
}

impl Default for Feed {
    /// Of no place, which passes no check.
    fn default() -> Self {
        let (place, credentials, format) = (String::new(), String::new(), String::new());
        Feed {
            kind: FeedKind::Files,
            place,
            credentials,
            every_s: EVERY_S_USUAL,
            format,
            delta: false,
            feedback: false,
            set_ms: 0,
        }
    }
}

impl Feed {
    pub fn is_folder(&self) -> bool {
        self.place.starts_with('/')
    }

    /// Refuses what can't be fetched whatever the configuration.
    pub fn check(&self) -> Result<(), BadValue> {
        let bad = |why: &str| Err(BadValue(why.to_owned()));
        if self.place.len() > PLACE_BYTES_MAX || self.place.chars().any(char::is_control) {
            return Err(BadValue(format!("a URL or path has at most {PLACE_BYTES_MAX} bytes and no control characters")));
        }
        if !EVERY_S.contains(&self.every_s) {
            return bad("the time between two fetches must be from one minute to four weeks");
        }
        if !self.credentials.is_empty() && check_list_name(&self.credentials).is_err() {
            return bad("the name of the credentials is not valid; the rules are those for names of lists");
        }
        if self.kind != FeedKind::Files && (self.delta || !self.format.is_empty()) {
            return bad("format and delta are for sources of the kind files: the others have their own");
        }
        if self.kind != FeedKind::Ncmec && self.feedback {
            return bad("feedback is for sources of the kind ncmec");
        }
        if !self.is_folder() {
            return checked_url(&self.place).map(drop);
        }
        if self.kind != FeedKind::Files {
            return Err(BadValue(format!("a source of the kind {} has a URL, not a folder", self.kind)));
        }
        if !self.credentials.is_empty() {
            return bad("a folder needs no credentials");
        }
        if self.place.split('/').any(|part| part == "..") {
            return bad("a folder's path has no \"..\"");
        }
        Ok(())
    }

    /// What the state of a fetch goes with: a cursor of one database means nothing in another.
    pub fn of(&self) -> String {
        let place = self.place.trim_end_matches('/');
        match self.kind {
            FeedKind::Files => format!("{} {place}", self.kind),
            _ => format!("{} {}", self.kind, place.to_ascii_lowercase()),
        }
    }
}

/// Reads a URL that may be fetched: `https://`, or `http://` of this machine, and nothing secret in it.
pub fn checked_url(text: &str) -> Result<Uri, BadValue> {
    let bad = |why: &str| Err(BadValue(why.to_owned()));
    if text.contains('@') {
        return bad("a URL must not contain a user or a password: they belong in the credentials that the source names");
    }
    if text.contains(['?', '#']) {
        return bad(
            "a URL must not contain a query: its parameters belong in the credentials that the source names, under query",
        );
    }
    let Ok(url) = text.parse::<Uri>() else { return bad("this is not a URL; one looks like https://HOST/PATH") };
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(host)) if !host.is_empty() => Ok(url),
        (Some("http"), Some(host)) if is_this_machine(host) => Ok(url),
        (Some("http"), _) => bad("http:// is not encrypted: a source is fetched by https://, or from this machine"),
        _ => bad("a source's URL begins with https:// and names a host"),
    }
}

/// By what it is called; where a name leads is looked at when it is fetched.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let numbers: Vec<_> = host.split('.').map(str::parse::<u8>).collect();
    let is_loopback = matches!(numbers.as_slice(), [Ok(127), Ok(_), Ok(_), Ok(_)]);
    is_loopback || host == "::1" || host == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(kind: FeedKind, place: &str) -> Feed {
        Feed { kind, place: place.to_owned(), ..Feed::default() }
    }

    #[test]
    fn what_can_t_be_fetched_safely_is_refused() {
        let check = |kind, place: &str, expected: Result<(), &str>| {
            let found = feed(kind, place).check().map_err(|bad| bad.0);
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{place}"),
                Err(part) => assert!(found.as_ref().is_err_and(|why| why.contains(part)), "{place}: {found:?}"),
            }
        };
        check(FeedKind::Ncmec, "https://report.cybertip.org/hashsharing", Ok(()));
        check(FeedKind::Ncmec, "HTTPS://HOST", Ok(()));
        check(FeedKind::Files, "https://host:8443/list.csv", Ok(()));
        check(FeedKind::Files, "http://127.0.0.1:1/list.csv", Ok(()));
        check(FeedKind::Files, "http://[::1]/list.csv", Ok(()));
        check(FeedKind::Files, "http://localhost/list.csv", Ok(()));
        check(FeedKind::Files, "/srv/lists", Ok(()));
        check(FeedKind::Files, "/srv/../etc", Err("no \"..\""));
        check(FeedKind::Ncmec, "/srv/lists", Err("not a folder"));
        check(FeedKind::Files, "http://host/list.csv", Err("not encrypted"));
        check(FeedKind::Files, "http://localhost.evil.example/list.csv", Err("not encrypted"));
        check(FeedKind::Files, "https://user:secret@host/", Err("a user or a password"));
        check(FeedKind::Files, "https://host/?token=secret", Err("contain a query"));
        check(FeedKind::Files, "ftp://host/x", Err("https://"));
        check(FeedKind::Files, "file:///etc/passwd", Err("https://"));
        check(FeedKind::Files, "https:///x", Err(""));
        check(FeedKind::Files, "list.csv", Err("https://"));
        check(FeedKind::Files, "https://host/a\nb", Err("control characters"));
        let every = |every_s| Feed { every_s, ..feed(FeedKind::Ncmec, "https://host") }.check().is_ok();
        assert_eq!([0, 59, 60, 28 * 86_400, 28 * 86_400 + 1].map(every), [false, false, true, true, false]);
        assert!(Feed { delta: true, ..feed(FeedKind::Ncmec, "https://host") }.check().is_err());
        assert!(Feed { feedback: true, ..feed(FeedKind::Ncmec, "https://host") }.check().is_ok());
        assert!(Feed { feedback: true, ..feed(FeedKind::Stopncii, "https://host") }.check().is_err());
        assert!(Feed { credentials: "../x".into(), ..feed(FeedKind::Ncmec, "https://host") }.check().is_err());
        assert!(Feed { credentials: "x".into(), ..feed(FeedKind::Files, "/srv") }.check().is_err());
    }
}
