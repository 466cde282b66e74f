//! Interfaces that give their lists page by page.

use std::time::Duration;

use super::ask::{NOW, hex, ncmec, open, open_with, options, pass, stopncii, with_source};
use super::server::{Asked, Reply, Server, ok, status};
use hashwarden::catalog::FetchOptions;
use hashwarden::entry::{Feed, FeedKind, VersionNo, Waits};
use hashwarden::feeds::Options;

/// Three pages; the links go from one to the next.
fn three(asked: &Asked) -> Reply {
    match asked.parameter("start").as_deref() {
        None => ok(ncmec(&[1, 2], &[], Some("/v2/entries?from=a&to=b&start=2"))),
        Some("2") => ok(ncmec(&[3], &[], Some("/v2/entries?from=a&to=b&start=3"))),
        _ => ok(ncmec(&[4], &[9], None)),
    }
}

fn fetched(server: &Server) -> Vec<String> {
    server.asked().into_iter().map(|asked| asked.target).collect()
}

#[test]
fn pages_are_one_version_and_the_next_fetch_asks_for_what_came_since() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(three));
    let bench = with_source(dir.path(), FeedKind::Ncmec, &format!("{}/hashsharing", server.url));
    let report = bench.fetch().unwrap();
    assert_eq!((report.pages, report.records, report.imports, report.added, report.rows_bad), (3, 5, 1, 4, 0));
    assert_eq!((bench.ids(1), bench.ids(4), bench.ids(5)), (vec!["42/1".to_owned()], vec!["42/4".to_owned()], vec![]));
    assert_eq!(bench.catalog.versions("known").unwrap().len(), 1);
    assert_eq!(
        fetched(&server),
        [
            "/hashsharing/v2/entries?from=1970-01-01T00%3A00%3A00Z&to=2027-01-15T07%3A59%3A30Z",
            "/hashsharing/v2/entries?from=a&to=b&start=2",
            "/hashsharing/v2/entries?from=a&to=b&start=3",
        ]
    );
    let source = bench.source();
    assert_eq!((source.state.succeeded_ms, source.state.failures, source.due_ms), (NOW.get(), 0, Some(NOW.get() + 3_600_000)));

    pass(Duration::from_secs(3_600));
    server.answer(|_| ok(ncmec(&[7], &[1], None)));
    let report = bench.fetch().unwrap();
    assert_eq!((report.added, report.gone), (1, 1));
    assert_eq!((bench.ids(1), bench.ids(2), bench.ids(7)), (vec![], vec!["42/2".to_owned()], vec!["42/7".to_owned()]));
    // Ten minutes before the last range's end.
    assert_eq!(fetched(&server), ["/hashsharing/v2/entries?from=2027-01-15T07%3A49%3A30Z&to=2027-01-15T08%3A59%3A30Z"]);

    pass(Duration::from_secs(3_600));
    server.answer(|_| ok(ncmec(&[], &[], None)));
    let report = bench.fetch().unwrap();
    assert_eq!((report.is_unchanged, report.imports), (true, 0));
    assert_eq!(bench.source().state.succeeded_ms, NOW.get());

    // What was deleted comes back with a roll-back, and the source then waits: changes alone would not bring the list up to date.
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!((bench.ids(1), bench.ids(7)), (vec!["42/1".to_owned()], vec![]));
    assert_eq!((bench.source().waits, bench.source().due_ms), (Some(Waits::RolledBack(VersionNo(2))), None));
    fetched(&server);
    server.answer(|_| ok(ncmec(&[7], &[1], None)));
    bench.fetch().unwrap();
    assert!(fetched(&server)[0].contains("from=1970-01-01"), "a person's fetch begins at the beginning");
    assert_eq!((bench.source().waits, bench.ids(1), bench.ids(7)), (None, vec![], vec!["42/7".to_owned()]));
}

/// Every page of a fetch misbehaves once before it is right.
#[test]
fn what_is_cut_short_stalls_or_fails_is_asked_for_again() {
    let check = |bad: fn() -> Reply| {
        let dir = tempfile::tempdir().unwrap();
        let mut n = 0;
        let server = Server::new(move |asked| {
            n += 1;
            if n % 2 == 1 { bad() } else { three(asked) }
        });
        let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
        assert_eq!(bench.fetch().unwrap().added, 4);
        assert_eq!((server.asked().len(), bench.entries()), (6, 4));
    };
    check(|| ok(ncmec(&[1, 2], &[], None).into_bytes()[..200].to_vec()));
    check(|| ok("<html>an error page with status 200</html>"));
    check(|| ok(""));
    check(|| status(500));
    check(|| status(503));
    check(|| Reply::Stalled);
    check(|| Reply::Broken { body: ncmec(&[1, 2], &[], None).into_bytes(), sent: 150 });
    check(|| Reply::Raw(b"not HTTP at all\r\n\r\n".to_vec()));
    check(|| Reply::Full { status: 429, headers: vec![("retry-after", "0".into())], body: Vec::new() });
}

#[test]
fn a_fetch_that_fails_for_good_leaves_list_and_cursor_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(three);
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    bench.fetch().unwrap();
    let before = bench.source().state;
    let check = |answer: fn(&Asked) -> Reply, expected: &str, attempts: usize| {
        pass(Duration::from_secs(7_200));
        server.asked();
        server.answer(move |asked| {
            if asked.parameter("start").is_none() { ok(ncmec(&[50], &[1], Some("/v2/entries?start=2"))) } else { answer(asked) }
        });
        let why = bench.failure();
        assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        assert_eq!(server.asked().len(), 1 + attempts, "{expected}");
        let state = bench.source().state;
        assert_eq!((&state.cursor, state.version, state.succeeded_ms), (&before.cursor, before.version, before.succeeded_ms));
        assert_eq!(
            (bench.ids(50), bench.ids(1), bench.catalog.versions("known").unwrap().len()),
            (vec![], vec!["42/1".into()], 1)
        );
        assert_eq!((state.error, state.attempted_ms), (why, NOW.get()));
    };
    check(|_| status(500), "500", 3);
    check(|_| status(403), "does not accept the credentials", 1);
    check(|_| ok("<queryResult>"), "cut short", 3);
    check(|_| ok("{}"), "is not a valid page", 3);
    check(|_| ok(ncmec(&[50], &[1], Some("/v2/entries?start=2"))), "already fetched", 1);
    check(|_| ok(ncmec(&[51], &[], Some("https://evil.example/v2/entries?start=3"))), "another server", 1);
    check(|_| ok(ncmec(&[51], &[], Some("//evil.example/v2/entries?start=3"))), "another server", 1);
    check(
        |_| Reply::Full { status: 302, headers: vec![("location", "https://evil.example/".into())], body: Vec::new() },
        "another server",
        1,
    );
    check(
        |_| Reply::Full { status: 302, headers: vec![("location", "/v2/entries?start=2".into())], body: Vec::new() },
        "redirects",
        6,
    );
    assert_eq!(bench.source().state.failures, 9);
    // It is asked less and less often, and as soon as it works again all is well.
    assert_eq!(bench.source().due_ms, Some(NOW.get() + 3_600_000));
    server.answer(three);
    bench.fetch().unwrap();
    let state = bench.source().state;
    assert_eq!((state.failures, state.error.as_str(), state.succeeded_ms), (0, "", NOW.get()));
}

/// The same page for ever: under the same link, or under links that are new each time.
#[test]
fn pages_without_an_end_are_an_error() {
    let check = |kind, answer: fn(u64, &str) -> String, expected: &str| {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(|_| status(500)));
        let (mut n, base) = (0, server.url.clone());
        server.answer(move |_| {
            n += 1;
            ok(answer(n, &base))
        });
        let bench = with_source(dir.path(), kind, &server.url);
        let why = bench.failure();
        assert!(why.contains(expected), "{kind}: {why}");
        assert_eq!((bench.entries(), server.asked().len()), (0, 2), "{kind}");
    };
    check(FeedKind::Stopncii, |_, _| stopncii(&[(1, "Active")], Some("token"), 5), "already fetched");
    check(FeedKind::Stopncii, |n, _| stopncii(&[(1, "Active")], Some(&n.to_string()), 5), "the same page");
    check(FeedKind::Ncmec, |_, _| ncmec(&[1], &[], Some("/v2/entries?start=1")), "already fetched");
    check(FeedKind::Ncmec, |n, _| ncmec(&[1], &[], Some(&format!("/v2/entries?start={n}"))), "the same page");
    let updates = |n: u64, base: &str| {
        let update = format!(r#"{{"id":"1","indicator":"{}","type":"HASH_PDQ","last_updated":5}}"#, hex(1));
        format!(r#"{{"data":[{update}],"paging":{{"next":"{base}/threat_updates?after={n}"}}}}"#)
    };
    check(FeedKind::Threatexchange, updates, "the same page");
}

#[test]
fn a_source_that_asks_for_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let limited = || Reply::Full { status: 429, headers: vec![("retry-after", "7200".into())], body: Vec::new() };
    let server = Server::new(move |_| limited());
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    let why = bench.failure();
    assert!(why.contains("429"), "{why}");
    assert_eq!((server.asked().len(), bench.source().due_ms), (1, Some(NOW.get() + 7_200_000)));
}

#[test]
fn thousands_of_entries_of_one_second_come_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|asked| {
        let page: u64 = asked.parameter("start").map_or(0, |start| start.parse().unwrap());
        let entries: Vec<u64> = (page * 1000..(page + 1) * 1000).collect();
        let next = (page < 4).then(|| format!("/v2/entries?start={}", page + 1));
        ok(ncmec(&entries, &[], next.as_deref()))
    });
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    assert_eq!(bench.fetch().unwrap().added, 5_000);
    assert_eq!((bench.ids(0), bench.ids(4_999)), (vec!["42/0".to_owned()], vec!["42/4999".to_owned()]));
}

#[test]
fn what_is_withdrawn_does_not_match_and_records_replace_earlier_ones() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|asked| match asked.parameter("nextPageToken").as_deref() {
        None => ok(stopncii(&[(1, "Active"), (2, "Received"), (3, "Active")], Some("to:ken"), 1_700_000_000)),
        Some("to:ken") => ok(stopncii(&[(4, "Active"), (5, "Withdrawn")], None, 1_700_000_500)),
        _ => status(400),
    });
    let bench = with_source(dir.path(), FeedKind::Stopncii, &format!("{}/v1/", server.url));
    bench.fetch().unwrap();
    let matched = || [1, 2, 3, 4, 5].map(|n| bench.ids(n).len());
    assert_eq!(matched(), [1, 1, 1, 1, 0]);
    assert_eq!(
        fetched(&server),
        [
            "/v1/FetchHashes?startTimestamp=10&pageSize=800",
            "/v1/FetchHashes?startTimestamp=10&pageSize=800&nextPageToken=to%3Aken"
        ]
    );
    server.answer(|_| ok(stopncii(&[(1, "Withdrawn"), (2, "Deleted")], None, 1_700_001_000)));
    bench.fetch().unwrap();
    assert_eq!(matched(), [0, 0, 1, 1, 0]);
    assert_eq!(fetched(&server), ["/v1/FetchHashes?startTimestamp=1699999900&pageSize=800"]);
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert_eq!(matched(), [1, 1, 1, 1, 0]);
}

#[test]
fn updates_of_threatexchange_come_by_links_whose_secrets_are_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_| status(500));
    let update = |n: u64, time: u64, delete: bool| {
        let id = format!(r#""id":"{n}","indicator":"{}","type":"HASH_PDQ","last_updated":{time}"#, hex(n));
        match delete {
            true => format!(r#"{{{id},"should_delete":true}}"#),
            false => format!(
                r#"{{{id},"should_delete":false,"descriptors":{{"data":[{{"id":"11","owner":{{"id":"99"}},"status":"MALICIOUS","tags":["a"]}}]}}}}"#
            ),
        }
    };
    let (first, second) = (update(1, 1_799_000_000, false), update(2, 1_799_000_100, false));
    let base = server.url.clone();
    server.answer(move |asked| match asked.parameter("after") {
        None => {
            let link = format!("{base}/v26.0/77/threat_updates?access_token=APP%7CSECRET&after=x");
            ok(format!(r#"{{"data":[{first}],"paging":{{"next":{link:?}}}}}"#))
        }
        Some(_) => ok(format!(r#"{{"data":[{second}],"paging":{{"cursors":{{}}}}}}"#)),
    });
    let credentials = tempfile::tempdir().unwrap();
    let text = format!("origin = {:?}\n[query]\naccess_token = \"APP|SECRET\"\n", server.url);
    std::fs::write(credentials.path().join("te.toml"), text).unwrap();
    let bench = open_with(dir.path(), Options { credentials_dir: credentials.path().to_owned(), ..options() });
    bench.create("known");
    let place = format!("{}/v26.0/77", server.url);
    bench.set_feed(hashwarden::entry::Feed {
        kind: FeedKind::Threatexchange,
        place,
        credentials: "te".into(),
        ..hashwarden::entry::Feed::default()
    });
    bench.fetch().unwrap();
    assert_eq!((bench.ids(1), bench.ids(2)), (vec!["1".to_owned()], vec!["2".to_owned()]));
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.parameter("access_token").as_deref() == Some("APP|SECRET")));
    assert!(asked[1].target.starts_with("/v26.0/77/threat_updates?after=x&"), "{}", asked[1].target);
    assert!(!bench.source().state.cursor.contains("SECRET"));

    let gone = update(1, 1_799_000_200, true);
    let answer = gone.clone();
    server.answer(move |_| ok(format!(r#"{{"data":[{answer}]}}"#)));
    bench.fetch().unwrap();
    assert_eq!((bench.ids(1).len(), bench.ids(2).len()), (0, 1));
    assert_eq!(server.asked()[0].parameter("start_time").as_deref(), Some("1798999500"));

    // Tombstones are kept for 90 days: who was away longer takes all, and what is not there any more goes.
    pass(Duration::from_secs(86 * 86_400));
    let other = update(3, 1_807_000_000, false);
    server.answer(move |_| ok(format!(r#"{{"data":[{other}]}}"#)));
    bench.fetch().unwrap();
    assert_eq!(server.asked()[0].parameter("start_time"), None);
    assert_eq!([1, 2, 3].map(|n| bench.ids(n).len()), [0, 0, 1]);
}

/// A large first load that is broken off goes on where it came to, and its parts are not held for being large.
#[test]
fn a_load_that_is_broken_off_goes_on_from_its_last_part() {
    let dir = tempfile::tempdir().unwrap();
    let page = |n: u64| {
        let entries: Vec<u64> = (n * 10..n * 10 + 10).collect();
        ncmec(&entries, &[], (n < 1_200).then(|| format!("/v2/entries?start={}", n + 1)).as_deref())
    };
    let number = |asked: &Asked| asked.parameter("start").map_or(0, |start| start.parse::<u64>().unwrap());
    let server = Server::new(move |asked| if number(asked) < 1_100 { ok(page(number(asked))) } else { status(500) });
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    assert!(bench.failure().contains("500"));
    assert_eq!((bench.entries(), bench.source().state.succeeded_ms), (10_000, 0));
    server.asked();
    drop(bench);

    let bench = open(dir.path());
    server.answer(move |asked| ok(page(number(asked))));
    let report = bench.fetch().unwrap();
    assert_eq!((report.pages, report.imports, bench.entries()), (201, 1, 12_010));
    let first = server.asked().swap_remove(0).target;
    assert_eq!(first, "/v2/entries?start=1000");
    assert_eq!((bench.ids(0).len(), bench.ids(12_009).len(), bench.source().state.succeeded_ms), (1, 1, NOW.get()));
}

/// A link is good for some 12 hours: one that is older, or that is refused, begins the range anew, and ranges become shorter.
#[test]
fn a_link_that_expired_begins_its_range_anew() {
    let dir = tempfile::tempdir().unwrap();
    let answer = |asked: &Asked| match asked.parameter("start").map(|start| start.parse::<u64>().unwrap()) {
        None => ok(ncmec(&[0], &[], Some("/v2/entries?start=1"))),
        Some(n) if n < 600 => ok(ncmec(&[n], &[], Some(&format!("/v2/entries?start={}", n + 1)))),
        Some(_) => status(500),
    };
    let server = Server::new(answer);
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    bench.failure();
    assert_eq!(bench.entries(), 500);
    server.asked();
    server.answer(|asked| if asked.parameter("start").is_some() { status(404) } else { ok(ncmec(&[0, 1, 900], &[], None)) });
    bench.fetch().unwrap();
    let asked = fetched(&server);
    assert!(asked[0].contains("start=500") && asked[1].contains("from=1970-01-01T00%3A00%3A00Z"), "{asked:?}");
    assert!(asked.last().unwrap().contains("to=2027-01-15T07%3A59%3A30Z"), "all ranges up to now: {asked:?}");
    assert_eq!((asked.len(), bench.entries()), (6, 501));
}

#[test]
fn what_is_held_waits_for_a_review_and_the_cursor_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u64> = (0..400).collect();
    let server = Server::new(move |_| ok(ncmec(&all, &[], None)));
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    bench.fetch().unwrap();
    let before = bench.source().state.cursor;
    let gone: Vec<u64> = (0..200).collect();
    server.answer(move |_| ok(ncmec(&[], &gone, None)));
    pass(Duration::from_secs(3_600));
    let report = bench.fetch().unwrap();
    assert!(!report.held.is_empty());
    let (source, version) = (bench.source(), report.version.unwrap());
    assert_eq!((source.waits, source.due_ms), (Some(Waits::Held(version)), None));
    assert_eq!((source.state.cursor, bench.ids(0).len()), (before.clone(), 1));
    assert_ne!(source.state.succeeded_ms, NOW.get());
    assert!(bench.feeds.due().is_empty());

    // The same version is held again where a person asks; accepted, it is active, and the cursor goes on.
    assert_eq!(bench.fetch().unwrap().version, Some(version));
    let report = bench.fetch_with(FetchOptions { accept: true, ..FetchOptions::default() }).unwrap();
    assert_eq!((report.version, report.held.len(), bench.ids(0).len()), (Some(version), 0, 0));
    assert_ne!(bench.source().state.cursor, before);
    assert_eq!(bench.source().waits, None);
}

#[test]
fn a_version_that_a_person_activates_ends_the_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<u64> = (0..400).collect();
    let server = Server::new(move |_| ok(ncmec(&all, &[], None)));
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    bench.fetch().unwrap();
    pass(Duration::from_secs(3_600));
    let gone: Vec<u64> = (0..200).collect();
    server.answer(move |_| ok(ncmec(&[], &gone, None)));
    let version = bench.fetch().unwrap().version.unwrap();
    pass(Duration::from_secs(3_600));
    bench.catalog.activate(&bench.by, "known", version).unwrap();
    assert_eq!((bench.source().waits, bench.source().due_ms.is_some()), (None, true));
    let report = bench.fetch().unwrap();
    assert_eq!((report.gone, report.held.len(), bench.entries()), (0, 0, 200));
    assert_eq!(bench.source().state.succeeded_ms, NOW.get());
}

#[test]
fn databases_of_ncmec_do_not_meet_in_one_list() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(three);
    let bench = with_source(dir.path(), FeedKind::Ncmec, &format!("{}/hashsharing", server.url));
    bench.fetch().unwrap();
    let feed = |path: &str| hashwarden::entry::Feed {
        kind: FeedKind::Ncmec,
        place: format!("{}{path}", server.url),
        ..hashwarden::entry::Feed::default()
    };
    let set = |source: &str, path: &str| {
        bench.catalog.set_source(&bench.by, "known", source, feed(path)).map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(set("other", "/hashsharing/"), Ok(()));
    for source in ["other", "third", "feed"] {
        let refused = set(source, "/exploitative").unwrap_err();
        assert!(refused.contains("another database") && refused.contains("list of its own"), "{refused}");
    }
    // Not even once nothing is fetched any more: its entries are there.
    for source in ["other", "feed"] {
        bench.catalog.unset_source(&bench.by, "known", source).unwrap();
    }
    assert!(set("feed", "/exploitative").is_err());
    assert_eq!(bench.entries(), 4);
    bench.catalog.delete(&bench.by, "known").unwrap();
    bench.create("known");
    assert_eq!(set("feed", "/exploitative"), Ok(()));
}

/// A source whose pages never end is left as soon as it is unset, with nothing of it in the list, and a fetch that does not end does not count as one.
#[test]
fn a_fetch_ends_with_its_source() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(|_| status(500)));
    let bench = with_source(dir.path(), FeedKind::Ncmec, &server.url);
    let (catalog, by) = (bench.catalog.clone(), bench.by.clone());
    server.answer(move |asked| {
        let page: u64 = asked.parameter("start").map_or(1, |start| start.parse().unwrap());
        if page == 2 {
            let state = catalog.source("known", "feed").unwrap().state;
            assert!(state.attempted_ms == 0 && state.began_ms > 0, "no attempt before it ends");
            // After a crash a minute later, and not after the whole time between two fetches.
            let due_ms = catalog.source("known", "feed").unwrap().due_ms;
            assert_eq!(due_ms, Some(state.began_ms + 60_000));
        }
        if page == 3 {
            catalog.unset_source(&by, "known", "feed").unwrap();
        }
        ok(ncmec(&[page], &[], Some(&format!("/v2/entries?start={}", page + 1))))
    });
    let why = bench.failure();
    assert!(why.contains("is not set up to be fetched"), "{why}");
    assert_eq!((server.asked().len(), bench.entries(), bench.ids(1)), (3, 0, vec![]));
    assert!(bench.catalog.source("known", "feed").is_err());

    // Set anew while it is fetched: what was begun under the old settings ends.
    bench.set(FeedKind::Ncmec, &server.url);
    let (catalog, by, url) = (bench.catalog.clone(), bench.by.clone(), server.url.clone());
    server.answer(move |asked| {
        let page: u64 = asked.parameter("start").map_or(1, |start| start.parse().unwrap());
        if page == 2 {
            let feed = Feed { kind: FeedKind::Ncmec, place: url.clone(), every_s: 7_200, ..Feed::default() };
            catalog.set_source(&by, "known", "feed", feed).unwrap();
        }
        ok(ncmec(&[page], &[], Some(&format!("/v2/entries?start={}", page + 1))))
    });
    assert!(bench.failure().contains("settings of the source were changed"), "{}", bench.source().state.error);
    assert_eq!(bench.entries(), 0);
}

#[test]
fn a_fetch_that_takes_too_long_ends_and_no_source_puts_itself_off_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|asked| {
        std::thread::sleep(Duration::from_millis(250));
        let page: u64 = asked.parameter("start").map_or(1, |start| start.parse().unwrap());
        ok(ncmec(&[page], &[], Some(&format!("/v2/entries?start={}", page + 1))))
    });
    let bench = open_with(dir.path(), Options { fetch_s_max: 1, ..options() });
    bench.create("known");
    bench.set(FeedKind::Ncmec, &server.url);
    assert!(bench.failure().contains("took longer than 1 s ([feeds] fetch_s_max)"));
    let state = bench.source().state;
    assert_eq!((bench.entries(), state.failures, state.began_ms), (0, 1, 0));

    server.answer(|_| Reply::Full { status: 429, headers: vec![("retry-after", "99999999999".into())], body: Vec::new() });
    bench.failure();
    assert_eq!(bench.source().due_ms, Some(NOW.get() + 24 * 3_600_000));
}

/// A fetch that the server's end breaks off counts for nothing: it is due again at the next start, with what was active as it was.
#[test]
fn a_fetch_that_is_broken_off_is_due_again() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::new(|_| Reply::Stalled));
    let bench = open_with(dir.path(), Options { idle_ms_max: 20_000, ..options() });
    bench.create("known");
    bench.set(FeedKind::Ncmec, &server.url);
    let due = bench.source().due_ms;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.asked().is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
            bench.feeds.stop();
        });
        assert!(bench.failure().contains("the server is stopping"));
    });
    let source = bench.source();
    assert_eq!((source.state.began_ms, source.state.attempted_ms, source.state.failures, source.due_ms), (0, 0, 0, due));
    assert_eq!(bench.entries(), 0);
}
