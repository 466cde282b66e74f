//! Files that a web server has, and folders.

use std::time::Duration;

use super::ask::{Bench, hex, open_with, options, pass, with_source};
use super::server::{Reply, Server, ok, status};
use hashwarden::entry::{Feed, FeedKind};
use hashwarden::feeds::Options;

fn csv(numbers: impl IntoIterator<Item = u64>) -> String {
    let rows: String = numbers.into_iter().map(|n| format!("{n},{}\n", hex(n))).collect();
    format!("id,pdq\n{rows}")
}

#[test]
fn a_file_is_fetched_where_it_is_another_than_before() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|asked| match asked.header("if-none-match") {
        Some("\"v1\"") => status(304),
        _ => Reply::Full { status: 200, headers: vec![("etag", "\"v1\"".into())], body: csv([1, 2]).into() },
    });
    let bench = with_source(dir.path(), FeedKind::Files, &format!("{}/lists/known.csv", server.url));
    assert_eq!(bench.fetch().unwrap().added, 2);
    pass(Duration::from_secs(3_600));
    let report = bench.fetch().unwrap();
    assert_eq!((report.is_unchanged, report.imports), (true, 0));
    assert_eq!(bench.source().state.succeeded_ms, bench.source().state.attempted_ms, "it is fresh all the same");

    server.answer(|asked| match asked.header("if-modified-since") {
        Some("Sat, 01 Nov 2025 00:00:00 GMT") => status(304),
        _ => {
            let headers = vec![("last-modified", "Sat, 01 Nov 2025 00:00:00 GMT".to_owned())];
            Reply::Full { status: 200, headers, body: csv([2, 3]).into() }
        }
    });
    let report = bench.fetch().unwrap();
    assert_eq!((report.added, report.gone), (1, 1));
    assert_eq!([1, 2, 3].map(|n| bench.ids(n).len()), [0, 1, 1]);
    assert!(bench.fetch().unwrap().is_unchanged);
    // A person goes back, and the file is what it was: nothing is undone behind their back.
    bench.catalog.roll_back(&bench.by, "known").unwrap();
    assert!(bench.fetch().unwrap().is_unchanged);
    assert_eq!([1, 2, 3].map(|n| bench.ids(n).len()), [1, 1, 0]);
    assert_eq!(bench.source().waits, None);
}

#[test]
fn half_a_file_is_none() {
    let check = |bad: fn() -> Reply, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::new(|_| ok(csv(0..300)));
        let bench = with_source(dir.path(), FeedKind::Files, &server.url);
        bench.fetch().unwrap();
        server.answer(move |_| bad());
        let why = bench.failure();
        assert!(why.contains(expected) && !why.contains("secret"), "{why}");
        assert_eq!((bench.entries(), bench.source().state.failures), (300, 1));
        // Once it comes whole it counts, and nothing of the half is in front of it.
        let mut n = 0;
        server.answer(move |_| {
            n += 1;
            if n == 1 { bad() } else { ok(csv(0..301)) }
        });
        if bad_is_passing(expected) {
            assert_eq!(bench.fetch().unwrap().added, 1);
        }
    };
    fn bad_is_passing(expected: &str) -> bool {
        matches!(expected, "before its answer was complete" | "sent nothing")
    }
    check(|| Reply::Broken { body: csv(0..300).into(), sent: 2_000 }, "before its answer was complete");
    check(
        || Reply::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nid,pd\r\n".to_vec()),
        "before its answer was complete",
    );
    check(|| Reply::Stalled, "sent nothing");
    // The connection's end would be the file's end, wherever it broke.
    check(|| Reply::Raw([b"HTTP/1.1 200 OK\r\n\r\n", csv(0..200).as_bytes()].concat()), "without a length");
    check(|| ok("<html>secret</html>"), "nothing was imported");
    check(|| ok(""), "empty");
    check(|| status(404), "404");
}

#[test]
fn what_is_too_long_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_| ok(vec![b'x'; 2 << 20]));
    let bench = open_with(dir.path(), Options { file_bytes_max: 1 << 20, page_bytes_max: 64 * 1024, ..options() });
    bench.create("known");
    bench.set(FeedKind::Files, &server.url);
    assert!(bench.failure().contains("more than 1024 KiB"), "{}", bench.failure());
    bench.set(FeedKind::Ncmec, &server.url);
    assert!(bench.failure().contains("more than 64 KiB"), "{}", bench.failure());
    // It says no length before.
    server.answer(|_| {
        Reply::Raw([&b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000\r\n"[..], &[b'x'; 0x40000]].concat())
    });
    assert!(bench.failure().contains("more than 64 KiB"), "{}", bench.failure());
    server.answer(|_| Reply::Raw([&b"HTTP/1.1 200 OK\r\n"[..], "x-y: z\r\n".repeat(100_000).as_bytes()].concat()));
    bench.failure();
}

#[test]
fn a_delta_is_taken_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_| ok(csv([1, 2])));
    let bench = with_source(dir.path(), FeedKind::Files, &server.url);
    bench.fetch().unwrap();
    bench.set_feed(Feed {
        kind: FeedKind::Files,
        place: server.url.clone(),
        delta: true,
        format: "csv".into(),
        ..Feed::default()
    });
    server.answer(|_| ok(csv([3])));
    bench.fetch().unwrap();
    assert_eq!([1, 2, 3].map(|n| bench.ids(n).len()), [1, 1, 1]);
}

fn over_folder(root: &std::path::Path, dir: &std::path::Path, place: &std::path::Path) -> Bench {
    let bench = open_with(dir, Options { folder: root.to_owned(), ..options() });
    bench.create("known");
    bench.set(FeedKind::Files, place.to_str().unwrap());
    bench
}

#[test]
fn the_files_of_a_folder_are_one_import() {
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = root.path().join("lists");
    std::fs::create_dir(&folder).unwrap();
    let bench = over_folder(root.path(), dir.path(), &folder);
    assert!(bench.failure().contains("no files"));
    std::fs::write(folder.join("a.csv"), csv([1])).unwrap();
    std::fs::write(folder.join("b.csv"), csv([2])).unwrap();
    std::fs::write(folder.join(".c.csv.part"), csv([3])).unwrap();
    std::fs::create_dir(folder.join("d")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.csv"), csv([4])).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.csv"), folder.join("e.csv")).unwrap();
    let report = bench.fetch().unwrap();
    assert_eq!((report.added, report.imports), (2, 1));
    assert_eq!(report.warnings, ["1 link in the folder not read: links are not followed"]);
    assert_eq!([1, 2, 3, 4].map(|n| bench.ids(n).len()), [1, 1, 0, 0]);
    assert!(bench.fetch().unwrap().is_unchanged);
    std::fs::remove_file(folder.join("a.csv")).unwrap();
    assert_eq!(bench.fetch().unwrap().gone, 1);
    // Where all are links, nobody has to guess why there is nothing.
    let linked = root.path().join("linked");
    std::fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(folder.join("b.csv"), linked.join("b.csv")).unwrap();
    bench.set(FeedKind::Files, linked.to_str().unwrap());
    assert_eq!(bench.failure(), "the folder has no files (1 link in the folder not read: links are not followed)");
    bench.set(FeedKind::Files, folder.to_str().unwrap());
    // A bad file changes nothing.
    std::fs::write(folder.join("f.csv"), "<html></html>").unwrap();
    assert!(bench.failure().contains("f.csv"));
    assert_eq!([1, 2].map(|n| bench.ids(n).len()), [0, 1]);
}

#[test]
fn no_folder_is_read_but_those_that_the_configuration_allows() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("a.csv"), csv([1])).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
    for place in [outside.path().to_owned(), root.path().join("link"), root.path().join("absent"), "/".into(), "/etc".into()] {
        let dir = tempfile::tempdir().unwrap();
        let bench = over_folder(root.path(), dir.path(), &place);
        assert_eq!(bench.failure(), "there is no such folder below the one that [feeds] folder names");
    }
    let dir = tempfile::tempdir().unwrap();
    let bench = over_folder("".as_ref(), dir.path(), outside.path());
    assert!(bench.failure().contains("no folder may be read"));
}
