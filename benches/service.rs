//! What does a service with many entries do in a second? `cargo bench --bench service`, or with another number of entries:
//! `cargo bench --bench service -- 1000000`.
//!
//! One process is client and server, on the same cores. It imports a list, opens the store again, matches one hash after the other while entries
//! come, go and are merged, changes lists while another file is imported, and streams hashes through gRPC on loopback. Every answer is held to what it must be. Hashes are made
//! up; one in ten lies within the radius of an entry.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use hashwarden::app;
use hashwarden::catalog::{Catalog, ImportOptions, ImportReport, NewEntry, PolicyUpdate};
use hashwarden::config::Config;
use hashwarden::entry::{Bits, Caller, HashValue, Pdq, Polarity};
use hashwarden::index::random::Random;
use hashwarden::lists::{Format, Mapping};
use hashwarden::matcher::{Content, GivenHash, Job, Matcher};
use hashwarden::proto::v1;
use hashwarden::proto::v1::match_service_client::MatchServiceClient;
use hashwarden::store::Access;
use hashwarden::verdict::{Asked, Outcome};

const ENTRIES: usize = 10_000_000;
/// Items in a message, and how many of each size are sent.
const MESSAGES: [usize; 3] = [64, 1_024, 8_192];
const ITEMS: usize = 400_000;
/// Entries that come while hashes are matched, so many at once and then a rest: enough for some merges.
const COMING: usize = 40_000;
const COME_AT_ONCE: usize = 100;
const REST: Duration = Duration::from_millis(10);

fn main() {
    let entries = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(ENTRIES);
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.store.dir = dir.path().to_owned();
    config.grpc.listen.set_port(0);
    config.operator.port.listen.set_port(0);
    println!("| {entries} entries, PDQ, radius 31 | |\n|---|---|");
    {
        let started = Instant::now();
        let (catalog, matcher) = app::matching(dir.path(), &config, Access::Write).unwrap();
        catalog.create(&by(), "known", Polarity::Positive, &PolicyUpdate::default()).unwrap();
        let report = import(&catalog, entries, known, &|| ());
        assert!(report.activated && report.added == entries as u64, "{report:?}");
        row("imported and active after", format!("{:.1} s", started.elapsed().as_secs_f64()));
        assert_eq!(ask(&matcher, asked(0, entries)).0, Outcome::Match);
    }
    {
        let started = Instant::now();
        let (catalog, matcher) = app::matching(dir.path(), &config, Access::Write).unwrap();
        row("opened again, proven, after", format!("{:.1} s", started.elapsed().as_secs_f64()));
        live(&catalog, &matcher, entries);
        beside_an_import(&catalog, &matcher, entries);
    }
    stream(&config, entries);
}

fn row(what: &str, value: String) {
    println!("| {what} | {value} |");
}

fn by() -> Caller {
    Caller("bench".to_owned())
}

/// The hash of an entry.
fn known(number: usize) -> Pdq {
    let mut random = Random(number as u64);
    random.next();
    random.hash()
}

/// A hash to match: every tenth lies near an entry.
fn asked(number: usize, entries: usize) -> Pdq {
    if number.is_multiple_of(10) {
        let mut random = Random(number as u64 ^ 0x5555);
        let near = known(random.below(entries));
        return random.at_distance(&near, (number / 10 % 32) as u16);
    }
    known(entries + COMING + number)
}

/// The same in the second file: every tenth is another.
fn known_later(number: usize) -> Pdq {
    if number.is_multiple_of(10) { known(number ^ 1 << 40) } else { known(number) }
}

/// `running` hears that it has begun.
fn import(catalog: &Catalog, entries: usize, hash: fn(usize) -> Pdq, running: &dyn Fn()) -> ImportReport {
    let mut file = BufReader::with_capacity(1 << 20, Csv { next: 0, entries, hash, line: b"id,pdq\n".to_vec(), at: 0 });
    let (format, mapping, source) = (Some(Format::Csv), Mapping::default(), "bench.csv".to_owned());
    let options =
        ImportOptions { format, mapping, source, activate: true, dry_run: false, accept: true, ..ImportOptions::default() };
    catalog.import(&by(), "known", &options, &mut file, &mut |_| running()).unwrap()
}

/// A list file that is made as it is read.
struct Csv {
    hash: fn(usize) -> Pdq,
    next: usize,
    entries: usize,
    line: Vec<u8>,
    at: usize,
}

impl Read for Csv {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.line.len() {
            if self.next == self.entries {
                return Ok(0);
            }
            self.line = format!("e{},{}\n", self.next, hex::encode((self.hash)(self.next).to_bytes())).into_bytes();
            (self.next, self.at) = (self.next + 1, 0);
        }
        let n = buffer.len().min(self.line.len() - self.at);
        buffer[..n].copy_from_slice(&self.line[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// One hash, through the matcher's door.
fn ask(matcher: &Matcher, hash: Pdq) -> (Outcome, Duration) {
    let (outcome, took, _) = ask_and_say_who(matcher, hash);
    (outcome, took)
}

/// As [`ask`]; and the thread that looked it up.
fn ask_and_say_who(matcher: &Matcher, hash: Pdq) -> (Outcome, Duration, std::thread::Thread) {
    let (send, answer) = mpsc::channel();
    let content = Content::Hashes(vec![GivenHash { hash: HashValue::Pdq(hash), quality: None }]);
    let job = Job { content, lists: Asked::All, views: None, until: Instant::now() + Duration::from_secs(60), caller: by() };
    let started = Instant::now();
    matcher.submit(job, move |a| send.send((a, std::thread::current())).unwrap());
    let (answer, who) = answer.recv().unwrap();
    (answer.verdict.outcome, started.elapsed(), who)
}

/// This process's threads, by name, and where Linux keeps how long each ran and waited.
fn threads() -> impl Iterator<Item = (String, PathBuf)> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned();
        Some((name, task.path().join("schedstat")))
    })
}

/// How long threads have waited for a core, as Linux counts it; elsewhere it is not known, and nothing.
struct Queued {
    own: Option<File>,
    others: HashMap<String, File>,
}

impl Queued {
    fn of_matcher_and_own() -> Self {
        let named = threads().filter_map(|(name, schedstat)| Some((name, File::open(schedstat).ok()?)));
        // By number: those of a matcher that was there before are the older ones.
        Queued { own: File::open("/proc/thread-self/schedstat").ok(), others: named.collect() }
    }

    fn so_far(&self, who: Option<&str>) -> Duration {
        let file = who.map_or(self.own.as_ref(), |who| self.others.get(who));
        let mut text = [0; 64];
        let n = file.map_or(0, |file| file.read_at(&mut text, 0).unwrap());
        let waited = std::str::from_utf8(&text[..n]).unwrap().split(' ').nth(1).map_or(0, |ns| ns.parse().unwrap());
        Duration::from_nanos(waited)
    }

    /// Of this thread and all that it may have to wait for.
    fn all(&self) -> (Duration, HashMap<&str, Duration>) {
        let quick = self.others.keys().filter(|name| name.starts_with("quick"));
        (self.so_far(None), quick.map(|name| (name.as_str(), self.so_far(Some(name)))).collect())
    }
}

/// What the machine itself takes where all its cores are busy: a thread has another one count to itself for as long as a look-up takes,
/// beside threads as the merges are run on.
fn hand_overs() -> Vec<Duration> {
    const WORK: Duration = Duration::from_micros(25);
    let busy = |until: &dyn Fn() -> bool| {
        while !until() {
            std::hint::spin_loop();
        }
    };
    let done = AtomicBool::new(false);
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                #[cfg(target_os = "linux")]
                rustix::process::nice(10).unwrap();
                busy(&|| done.load(Ordering::Relaxed));
            });
        }
        scope.spawn(move || {
            for () in asked {
                let started = Instant::now();
                busy(&|| started.elapsed() >= WORK);
                answer.send(()).unwrap();
            }
        });
        let hand_over = |_| {
            let started = Instant::now();
            ask.send(()).unwrap();
            answered.recv().unwrap();
            started.elapsed()
        };
        let took = (0..20_000).map(hand_over).collect();
        done.store(true, Ordering::Relaxed);
        drop(ask);
        took
    })
}

fn expected(number: usize) -> Outcome {
    if number.is_multiple_of(10) { Outcome::Match } else { Outcome::NoMatch }
}

/// Look-ups one by one, at rest and while the list changes.
fn live(catalog: &Arc<Catalog>, matcher: &Matcher, entries: usize) {
    let mut number = 0;
    let mut ask_next = || {
        number += 1;
        let (outcome, took, who) = ask_and_say_who(matcher, asked(number, entries));
        assert_eq!(outcome, expected(number), "{number}");
        (took, who)
    };
    let at_rest: Vec<Duration> = (0..20_000).map(|_| ask_next().0).collect();
    row("one hash to verdict: median, 99.9 %, worst", percentiles(at_rest));

    let (changing, merges) = (AtomicBool::new(true), Mutex::new(Vec::new()));
    let (mut during, mut found, mut gone) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while changing.load(Ordering::Relaxed) {
                let started = Instant::now();
                match catalog.merge() {
                    true => merges.lock().unwrap().push(started..Instant::now()),
                    false => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        scope.spawn(|| {
            for first in (0..COMING).step_by(COME_AT_ONCE) {
                let some = first + entries..first + entries + COME_AT_ONCE;
                let entry = |n: usize| NewEntry {
                    id: Some(format!("e{n}")),
                    category: String::new(),
                    hashes: vec![HashValue::Pdq(known(n))],
                    ..NewEntry::default()
                };
                let (started, last) = (Instant::now(), known(some.end - 1));
                catalog.add(&by(), "known", some.map(entry).collect()).unwrap();
                assert_eq!(ask(matcher, last).0, Outcome::Match);
                found = found.max(started.elapsed());
                let started = Instant::now();
                catalog.remove(&by(), "known", vec![format!("e{}", first + entries)]).unwrap();
                assert_eq!(ask(matcher, known(first + entries)).0, Outcome::NoMatch);
                gone = gone.max(started.elapsed());
                std::thread::sleep(REST);
            }
            changing.store(false, Ordering::Relaxed);
        });
        let queued = Queued::of_matcher_and_own();
        while changing.load(Ordering::Relaxed) {
            let (at, (own, others)) = (Instant::now(), queued.all());
            let (took, who) = ask_next();
            let who = who.name().unwrap();
            let waited =
                queued.so_far(None) - own + others.get(who).map_or(Duration::ZERO, |before| queued.so_far(Some(who)) - *before);
            during.push((at, took, took.saturating_sub(waited)));
        }
    });
    let merges = merges.into_inner().unwrap();
    let merging =
        |(at, took, _): &&(Instant, Duration, Duration)| merges.iter().any(|merge| *at < merge.end && *at + *took > merge.start);
    let (beside, with_a_core): (Vec<Duration>, Vec<Duration>) =
        during.iter().filter(merging).map(|(_, took, with_a_core)| (*took, *with_a_core)).unzip();
    assert!(merges.len() > 1 && beside.len() > 10);
    row(
        &format!("the same while {COMING} entries come and {} go", COMING / COME_AT_ONCE),
        percentiles(during.into_iter().map(|(_, took, _)| took).collect()),
    );
    row(&format!("of these the {} beside one of the {} merges", beside.len(), merges.len()), percentiles(beside));
    row("these without what they waited for a core", percentiles(with_a_core));
    row("a bare hand-over to another thread while all cores are busy", percentiles(hand_overs()));
    row("added to matching, removed to not matching, worst", format!("{found:.1?}, {gone:.1?}"));
}

/// How long changes take while a file is imported that changes a tenth of the list, and after it is rolled back.
fn beside_an_import(catalog: &Arc<Catalog>, matcher: &Matcher, entries: usize) {
    catalog.create(&by(), "aside", Polarity::Positive, &PolicyUpdate::default()).unwrap();
    let aside = known(1 << 50);
    let add = |list: &str, id: String, hash: Pdq| {
        let entry = NewEntry { id: Some(id), category: String::new(), hashes: vec![HashValue::Pdq(hash)], ..NewEntry::default() };
        let started = Instant::now();
        catalog.add(&by(), list, vec![entry]).unwrap();
        assert_eq!(ask(matcher, hash).0, Outcome::Match);
        started.elapsed()
    };
    add("aside", "one".to_owned(), aside);
    let (mut added, mut disabled) = (Vec::new(), Vec::new());
    let (running, importing) = (AtomicBool::new(false), AtomicBool::new(true));
    let (report, took) = std::thread::scope(|scope| {
        let import = scope.spawn(|| {
            let started = Instant::now();
            let report = import(catalog, entries, known_later, &|| running.store(true, Ordering::Relaxed));
            importing.store(false, Ordering::Relaxed);
            (report, started.elapsed())
        });
        // What came before it began is not in its file.
        while !running.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        while importing.load(Ordering::Relaxed) {
            let n = added.len();
            added.push(add("known", format!("hand-{n}"), known((1 << 51) + n)));
            for (off, outcome) in [(true, Outcome::NoMatch), (false, Outcome::Match)] {
                let started = Instant::now();
                catalog.set_disabled(&by(), "aside", off).unwrap();
                assert_eq!(ask(matcher, aside).0, outcome);
                disabled.push(started.elapsed());
            }
            std::thread::sleep(REST);
        }
        import.join().unwrap()
    });
    assert!(report.activated && report.changed > entries as u64 / 11, "{report:?}");
    row("import of a file that changes a tenth, with the changes below beside it", format!("{:.1} s", took.as_secs_f64()));
    row(&format!("one of {} adds to the same list until it matches", added.len()), percentiles(added.clone()));
    row("a list disabled until it does not match, or enabled", percentiles(disabled));
    for n in 0..added.len() {
        assert_eq!(ask(matcher, known((1 << 51) + n)).0, Outcome::Match, "edit {n} survives the import");
    }
    assert_eq!(ask(matcher, known_later(10)).0, Outcome::Match);
    // The last add may have come after the import, so that a roll-back would take that one back.
    let first = catalog.versions("known").unwrap()[0].version;
    let started = Instant::now();
    catalog.activate(&by(), "known", first).unwrap();
    row("back to the import before", format!("{:.0?}", started.elapsed()));
    assert_eq!((ask(matcher, known_later(10)).0, ask(matcher, known(10)).0), (Outcome::NoMatch, Outcome::Match));
    row("the next add until it matches", format!("{:.1?}", add("known", "after".to_owned(), known(1 << 52))));
    let started = Instant::now();
    while catalog.merge() {}
    row("what that left over, out of memory after", format!("{:.1} s", started.elapsed().as_secs_f64()));
}

fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    format!("{:.1?}, {:.1?}, {:.1?}", at(0.5), at(0.999), at(1.0))
}

/// Hashes through gRPC: how many in a second, and whose work how much of a core's time was.
fn stream(config: &Config, entries: usize) {
    let runtime = |name| tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build().unwrap();
    let (of_server, of_client) = (runtime("server"), runtime("client"));
    let server = of_server.block_on(app::start(config)).unwrap();
    let endpoint = format!("http://{}", server.grpc);
    for items in MESSAGES {
        let requests: Vec<v1::MatchStreamRequest> = (0..ITEMS.div_ceil(items))
            .map(|message| {
                let item = |number: usize| v1::MatchItem {
                    item_id: number.to_string(),
                    content: Some(v1::match_item::Content::Hashes(v1::Hashes {
                        hashes: vec![v1::Hash {
                            kind: v1::HashKind::Pdq.into(),
                            hex: hex::encode(asked(number, entries).to_bytes()),
                            quality: None,
                        }],
                    })),
                    ..Default::default()
                };
                v1::MatchStreamRequest { items: (message * items..(message + 1) * items).map(item).collect() }
            })
            .collect();
        let sent = requests.len() * items;
        let (before, started) = (core_time(), Instant::now());
        let answered = of_client.block_on(of_client.spawn(send(endpoint.clone(), requests))).unwrap();
        let (took, after) = (started.elapsed(), core_time());
        assert_eq!(answered, sent);
        row(&format!("MatchStream, {items} hashes a message"), format!("{:.0} a second", sent as f64 / took.as_secs_f64()));
        let of_item = |who: &str| {
            let of = |all: &HashMap<&str, Duration>| all.get(who).copied().unwrap_or_default();
            format!("{who} {:.1} us", (of(&after) - of(&before)).as_secs_f64() * 1e6 / sent as f64)
        };
        row("core time of each hash", ["look-ups", "server", "client"].map(of_item).join(", "));
    }
    of_server.block_on(server.drain()).unwrap();
}

/// How many were answered, each as it must be.
async fn send(endpoint: String, requests: Vec<v1::MatchStreamRequest>) -> usize {
    let mut client = MatchServiceClient::connect(endpoint).await.unwrap();
    let mut replies = client.match_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(reply) = replies.message().await.unwrap() {
        for result in reply.results {
            let number: usize = result.item_id.parse().unwrap();
            let Some(v1::match_result::Result::Verdict(verdict)) = result.result else { panic!("{result:?}") };
            let outcome = if number.is_multiple_of(10) { v1::Outcome::Match } else { v1::Outcome::NoMatch };
            assert_eq!(verdict.outcome(), outcome, "{number}");
            answered += 1;
        }
    }
    answered
}

/// What threads have run on a core so far, by whose they are, as Linux counts it; elsewhere nothing.
fn core_time() -> HashMap<&'static str, Duration> {
    let mut all = HashMap::new();
    for (name, schedstat) in threads() {
        let who = match name.split('-').next() {
            Some("search" | "quick") => "look-ups",
            Some("server") => "server",
            Some("client") => "client",
            _ => continue,
        };
        let text = std::fs::read_to_string(schedstat).unwrap_or_default();
        let ran = text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        *all.entry(who).or_default() += Duration::from_nanos(ran);
    }
    all
}
