//! A store with a list, a matcher over it, and what fetches its sources.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hashwarden::app;
use hashwarden::catalog::{Catalog, CatalogError, Fetch, FetchOptions, FetchReport, PolicyUpdate, SourceInfo};
use hashwarden::config::Config;
use hashwarden::entry::{Caller, Feed, FeedKind, HashKind, HashValue, Polarity};
use hashwarden::feeds::{Deps, Feeds, Options};
use hashwarden::matcher::{Content, GivenHash, Job, Matcher};
use hashwarden::store::Access;
use hashwarden::verdict::Asked;
use tokio::runtime::Runtime;

thread_local! {
    /// Milliseconds since the Unix epoch, for the fetches of this thread.
    pub static NOW: Cell<u64> = const { Cell::new(1_800_000_000_000) };
}

pub fn pass(time: Duration) {
    NOW.set(NOW.get() + time.as_millis() as u64);
}

pub struct Bench {
    pub catalog: Arc<Catalog>,
    pub feeds: Feeds,
    pub by: Caller,
    matcher: Matcher,
    _runtime: Runtime,
}

/// Everything that a test's server needs, and no waits.
pub fn options() -> Options {
    Options { private_hosts: true, backoff_ms: 0, attempts_max: 3, idle_ms_max: 300, ..Options::default() }
}

pub fn open(dir: &Path) -> Bench {
    open_with(dir, options())
}

pub fn open_with(dir: &Path, options: Options) -> Bench {
    open_at(dir, options, || NOW.get())
}

/// With another clock, for fetches of several threads.
pub fn open_at(dir: &Path, options: Options, clock: fn() -> u64) -> Bench {
    let config = Config::default();
    let (catalog, matcher) = app::matching(dir, &config, Access::Write).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (spool, handle) = (dir.to_owned(), runtime.handle().clone());
    let feeds = Feeds::new(Deps { catalog: catalog.clone(), options, spool, runtime: handle, clock });
    Bench { catalog, feeds, by: Caller("test".to_owned()), matcher, _runtime: runtime }
}

/// With a list `known` that has one source, `feed`.
pub fn with_source(dir: &Path, kind: FeedKind, url: &str) -> Bench {
    let bench = open(dir);
    bench.create("known");
    bench.set(kind, url);
    bench
}

impl Bench {
    pub fn create(&self, name: &str) {
        self.catalog.create(&self.by, name, Polarity::Positive, &PolicyUpdate::default()).unwrap();
    }

    pub fn set(&self, kind: FeedKind, place: &str) {
        self.set_feed(Feed { kind, place: place.to_owned(), ..Feed::default() });
    }

    pub fn set_feed(&self, feed: Feed) {
        self.catalog.set_source(&self.by, "known", "feed", feed).unwrap();
    }

    pub fn fetch(&self) -> Result<FetchReport, CatalogError> {
        self.fetch_with(FetchOptions::default())
    }

    pub fn fetch_with(&self, options: FetchOptions) -> Result<FetchReport, CatalogError> {
        self.feeds.fetch(&self.by, "known", "feed", options, &mut |_| true)
    }

    /// Why a fetch fails.
    pub fn failure(&self) -> String {
        self.fetch().unwrap_err().to_string()
    }

    pub fn source(&self) -> SourceInfo {
        self.catalog.source("known", "feed").unwrap()
    }

    pub fn entries(&self) -> u64 {
        self.catalog.list("known").unwrap().rows
    }

    /// The ids of the entries that match the hash of a number.
    pub fn ids(&self, n: u64) -> Vec<String> {
        let job = Job {
            content: Content::Hashes(vec![GivenHash { hash: pdq(n), quality: None }]),
            lists: Asked::All,
            views: None,
            until: Instant::now() + Duration::from_secs(60),
            caller: self.by.clone(),
        };
        let (send, answer) = mpsc::channel();
        self.matcher.submit(job, move |a| send.send(a).unwrap());
        let verdict = answer.recv().unwrap().verdict;
        let mut ids: Vec<_> = verdict.matches.into_iter().map(|m| m.entry_id).collect();
        ids.sort();
        ids
    }
}

/// A hash of its own for each number, as far from others as any.
pub fn hex(n: u64) -> String {
    let mut state = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{:016x}", mixed ^ mixed >> 31)
    };
    (0..4).map(word).collect()
}

pub fn pdq(n: u64) -> HashValue {
    HashValue::from_hex(HashKind::Pdq, &hex(n)).unwrap()
}

/// A page of NCMEC's interface with these entries and tombstones.
pub fn ncmec(entries: &[u64], deleted: &[u64], next: Option<&str>) -> String {
    let entry = |n: &u64| {
        format!(
            "<image><member id=\"42\">Example</member><timestamp>2026-01-02T03:04:05Z</timestamp><id>{n}</id><new x=\"y\"/>\
             <classification>A1</classification><fingerprints><pdq>{}</pdq></fingerprints></image>",
            hex(*n)
        )
    };
    let tombstone = |n: &u64| {
        format!(
            "<deletedImage><member id=\"42\">E</member><id>{n}</id><timestamp>2026-01-02T03:04:06Z</timestamp></deletedImage>"
        )
    };
    let records: String = entries.iter().map(entry).chain(deleted.iter().map(tombstone)).collect();
    let next = next.map_or_else(String::new, |next| format!("<paging><next>{}</next></paging>", next.replace('&', "&amp;")));
    format!(
        "<queryResult xmlns=\"https://hashsharing.ncmec.org/hashsharing/v2\"><images count=\"1\" maxTimestamp=\"2026-01-02T03:04:05Z\">{records}</images>{next}\
         </queryResult>"
    )
}

/// A page of StopNCII's interface: hashes with their status.
pub fn stopncii(records: &[(u64, &str)], next: Option<&str>, until: u64) -> String {
    let record = |(n, status): &(u64, &str)| {
        format!(
            r#"{{"lastModtimestamp":{until},"signalType":"ImagePDQ","hashValue":"{}","hashStatus":"{status}","caseNumbers":[],"created_on":1}}"#,
            hex(*n)
        )
    };
    let records: Vec<_> = records.iter().map(record).collect();
    let token = next.map_or_else(|| "null".to_owned(), |token| format!("{token:?}"));
    format!(
        r#"{{"count":{},"nextSetTimestamp":{until},"nextPageToken":{token},"hasMoreRecords":{},"hashRecords":[{}]}}"#,
        records.len(),
        next.is_some(),
        records.join(",")
    )
}
