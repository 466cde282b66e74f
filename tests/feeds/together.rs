//! Fetches of several sources at once: none waits for another, and none is made twice.

use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::ask::{Bench, hex, ncmec, open_at, options, with_source};
use super::server::{Server, ok};
use hashwarden::catalog::{Fetch, FetchOptions, FetchProgress, FetchReport, FetchWait, ImportOptions};
use hashwarden::entry::{Feed, FeedKind};
use hashwarden::feeds::{Options, system_clock};

/// How long something may take that is waited for.
const SOON: Duration = Duration::from_secs(60);

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A source that answers once it is let go.
struct Gated {
    server: Server,
    open: Arc<AtomicBool>,
    waiting: Arc<AtomicUsize>,
}

impl Gated {
    fn new(entry: u64) -> Gated {
        let (open, waiting) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (gate, inside) = (open.clone(), waiting.clone());
        let server = Server::new(move |_| {
            inside.fetch_add(1, Ordering::SeqCst);
            until("it is never let go", || gate.load(Ordering::SeqCst));
            inside.fetch_sub(1, Ordering::SeqCst);
            ok(ncmec(&[entry], &[], None))
        });
        Gated { server, open, waiting }
    }

    fn is_asked(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn let_go(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn set(bench: &Bench, list: &str, server: &Server) {
    let feed = Feed { kind: FeedKind::Ncmec, place: server.url.clone(), ..Feed::default() };
    bench.create(list);
    bench.catalog.set_source(&bench.by, list, "feed", feed).unwrap();
}

fn fetch(bench: &Bench, list: &str, listener: &mut (dyn FnMut(FetchProgress) -> bool + Send)) -> Result<FetchReport, String> {
    bench.feeds.fetch(&bench.by, list, "feed", FetchOptions::default(), listener).map_err(|error| error.to_string())
}

fn fetched(bench: &Bench, list: &str) -> bool {
    bench.catalog.source(list, "feed").unwrap().state.succeeded_ms > 0
}

/// A source that says nothing once held up all others for hours, and whoever asked for one of them did not learn why.
#[test]
fn a_slow_source_holds_up_no_other_and_nobody_who_asks() {
    let (slow, other_slow, due) = (Gated::new(1), Gated::new(2), Gated::new(3));
    let asked_for = Server::new(|_| ok(ncmec(&[4], &[], None)));
    let dir = tempfile::tempdir().unwrap();
    let bench = open_at(dir.path(), Options { fetches_max: 2, idle_ms_max: 60_000, ..options() }, system_clock);
    for (list, server) in [("a", &slow.server), ("b", &other_slow.server), ("c", &due.server)] {
        set(&bench, list, server);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| bench.feeds.keep_fetching());
        let sources = [&slow, &other_slow, &due];
        let asked = || sources.iter().filter(|source| source.is_asked()).count();
        until("two are fetched at once", || asked() == 2);
        set(&bench, "d", &asked_for);
        // All places of the schedule are taken, and this one is nobody's to wait for.
        assert_eq!(fetch(&bench, "d", &mut |so_far| so_far.waits.is_none()).unwrap().added, 1);
        assert_eq!(asked(), 2, "no more than may be");
        // One that ends makes room for the next.
        let first = sources.iter().find(|source| source.is_asked()).unwrap();
        first.let_go();
        until("all have had their turn", || asked() == 2 && ["a", "b", "c"].iter().any(|list| fetched(&bench, list)));
        sources.iter().for_each(|source| source.let_go());
        until("all are fetched", || ["a", "b", "c"].iter().all(|list| fetched(&bench, list)));
        bench.feeds.stop();
    });
    assert_eq!([1, 2, 3, 4].map(|n| bench.ids(n).len()), [1; 4]);
}

#[test]
fn one_source_is_fetched_once_at_a_time_and_who_waits_for_it_is_told() {
    let source = Gated::new(1);
    let dir = tempfile::tempdir().unwrap();
    let bench = open_at(dir.path(), Options { idle_ms_max: 60_000, ..options() }, system_clock);
    set(&bench, "known", &source.server);
    let heard = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fetch(&bench, "known", &mut |_| true));
        until("it is asked", || source.is_asked());
        // Whoever goes away while they wait begins no fetch.
        assert_eq!(fetch(&bench, "known", &mut |_| false).unwrap_err(), "nobody waits for this fetch any more");
        let second = scope.spawn(|| {
            fetch(&bench, "known", &mut |so_far| {
                heard.lock().unwrap().push(so_far.waits);
                true
            })
        });
        until("they are told", || heard.lock().unwrap().first() == Some(&Some(FetchWait::Source)));
        source.let_go();
        assert_eq!(first.join().unwrap().unwrap().added, 1);
        assert_eq!(second.join().unwrap().unwrap().added, 0);
    });
    // The second goes on where the first one came to.
    let from: Vec<_> = source.server.asked().iter().map(|asked| asked.parameter("from").unwrap()).collect();
    assert!(from.len() == 2 && from[0].starts_with("1970") && !from[1].starts_with("1970"), "{from:?}");
}

/// A file that says when it is being read.
struct Watched<R> {
    file: R,
    read: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.read.store(true, Ordering::SeqCst);
        self.file.read(into)
    }
}

/// What was fetched waits for an import that somebody else makes, and says so.
#[test]
fn a_fetch_that_waits_for_an_import_says_so() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(|_| ok(ncmec(&[1], &[], None))));
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    bench.create("other");
    let (file, mut writer) = std::io::pipe().unwrap();
    let read = Arc::<AtomicBool>::default();
    writer.write_all(format!("id,pdq\n9,{}\n", hex(9)).as_bytes()).unwrap();
    std::thread::scope(|scope| {
        let file = Watched { file, read: read.clone() };
        let importing = scope.spawn(|| {
            let options = ImportOptions::default();
            bench.catalog.import(&bench.by, "other", &options, &mut BufReader::new(file), &mut |_| ()).unwrap()
        });
        until("the other import has begun", || read.load(Ordering::SeqCst));
        let (mut writer, mut waited) = (Some(writer), false);
        let report = fetch(&bench, "known", &mut |so_far| {
            if so_far.waits == Some(FetchWait::Import) {
                waited = true;
                writer = None; // the end of the file, and so of the import
            }
            true
        });
        assert_eq!((report.unwrap().added, waited), (1, true));
        assert_eq!(importing.join().unwrap().added, 1);
    });
}

#[test]
fn the_end_of_the_server_is_the_end_of_all_fetches() {
    let sources = [Gated::new(1), Gated::new(2), Gated::new(3)];
    let dir = tempfile::tempdir().unwrap();
    let bench = open_at(dir.path(), Options { idle_ms_max: 600_000, ..options() }, system_clock);
    for (list, source) in ["a", "b", "c"].into_iter().zip(&sources) {
        set(&bench, list, &source.server);
    }
    let stopped = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| bench.feeds.keep_fetching());
        until("all are asked", || sources.iter().all(Gated::is_asked));
        let waiting = scope.spawn(|| fetch(&bench, "a", &mut |_| true));
        let began = Instant::now();
        bench.feeds.stop();
        fetching.join().unwrap();
        assert!(waiting.join().unwrap().unwrap_err().contains("stopping"));
        began.elapsed()
    });
    assert!(stopped < Duration::from_secs(10), "{stopped:?}");
    assert!(["a", "b", "c"].iter().all(|list| bench.catalog.source(list, "feed").unwrap().state.began_ms == 0));
}
