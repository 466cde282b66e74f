//! What nobody reaches or learns by setting up a source.

use super::ask::{Bench, ncmec, open_with, options};
use super::server::{Reply, Server, ok};
use hashwarden::catalog::Fetch;
use hashwarden::entry::{Feed, FeedKind};
use hashwarden::feeds::Options;

/// A source with credentials `hotline`, of which the file holds this.
fn with_credentials(dir: &std::path::Path, text: &str, url: &str) -> Bench {
    let folder = dir.join("credentials");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hotline.toml"), text).unwrap();
    let bench = open_with(&dir.join("store"), Options { credentials_dir: folder, ..options() });
    bench.create("known");
    let (kind, credentials) = (FeedKind::Ncmec, "hotline".to_owned());
    bench.set_feed(Feed { kind, place: url.to_owned(), credentials, ..Feed::default() });
    bench
}

#[test]
fn credentials_go_to_their_origin_and_no_other() {
    let (own, other) = (Server::new(|_| ok(ncmec(&[1], &[], None))), Server::new(|_| ok(ncmec(&[2], &[], None))));
    let text = format!("origin = {:?}\nuser = \"me\"\npassword = \"geheim\"\n", own.url);
    let dir = tempfile::tempdir().unwrap();
    let bench = with_credentials(dir.path(), &text, &own.url);
    bench.fetch().unwrap();
    assert_eq!(own.asked()[0].header("authorization"), Some("Basic bWU6Z2VoZWlt"));

    // Neither where a source names another server, nor where the own one sends the fetch there.
    let (place, credentials) = (other.url.clone(), "hotline".to_owned());
    bench.catalog.create(&bench.by, "another", hashwarden::entry::Polarity::Positive, &Default::default()).unwrap();
    let feed = Feed { kind: FeedKind::Ncmec, place, credentials, ..Feed::default() };
    bench.catalog.set_source(&bench.by, "another", "feed", feed).unwrap();
    let fetch =
        |list| hashwarden::catalog::Fetch::fetch(&bench.feeds, &bench.by, list, "feed", Default::default(), &mut |_| true);
    let why = fetch("another").unwrap_err().to_string();
    assert!(why.contains("not sent to"), "{why}");
    let target = other.url.clone();
    own.answer(move |_| Reply::Full { status: 307, headers: vec![("location", target.clone())], body: Vec::new() });
    super::ask::pass(std::time::Duration::from_secs(3_600));
    let why = bench.failure();
    assert!(why.contains("another server") && !why.contains("geheim"), "{why}");
    let target = other.url.clone();
    own.answer(move |_| ok(ncmec(&[3], &[], Some(&format!("{target}/v2/entries?start=2")))));
    assert!(bench.failure().contains("another server"));
    assert!(other.asked().is_empty());

    // Within the origin a redirect is followed.
    own.answer(|asked| match asked.target.starts_with("/moved") {
        true => ok(ncmec(&[4], &[], None)),
        false => Reply::Full { status: 307, headers: vec![("location", "/moved?a=b".into())], body: Vec::new() },
    });
    bench.fetch().unwrap();
    assert!(own.asked().iter().all(|asked| asked.header("authorization").is_some()));
}

#[test]
fn credentials_are_nowhere_to_be_seen() {
    let own = Server::new(|_| Reply::Full { status: 401, headers: Vec::new(), body: b"geheim".to_vec() });
    let text = format!("origin = {:?}\n[headers]\nx-key = \"geheim\"\n[query]\ntoken = \"geheim\"\n", own.url);
    let dir = tempfile::tempdir().unwrap();
    let bench = with_credentials(dir.path(), &text, &own.url);
    let why = bench.failure();
    assert!(why.contains("401") && !why.contains("geheim"), "{why}");
    let asked = own.asked();
    assert_eq!((asked[0].header("x-key"), asked[0].parameter("token").as_deref()), (Some("geheim"), Some("geheim")));
    own.answer(|_| ok(ncmec(&[1], &[], None)));
    bench.fetch().unwrap();
    let seen = format!("{:?}", bench.source());
    assert!(!seen.contains("geheim"), "{seen}");
    drop(bench);
    for file in std::fs::read_dir(dir.path().join("store")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(6).any(|part| part == b"geheim"));
    }
}

#[test]
fn credentials_that_are_missing_or_not_for_the_list_say_so() {
    let own = Server::new(|_| ok(ncmec(&[1], &[], None)));
    let check = |text: String, expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let why = with_credentials(dir.path(), &text, &own.url).failure();
        assert!(why.contains(expected) && !why.contains("geheim"), "{why}");
    };
    check(format!("origin = {:?}\nlists = [\"other\"]\n", own.url), "not for this list");
    check("origin = \"https://host\"\npassword = \"geheim\"".to_owned(), "given together");
    check("password = geheim".to_owned(), "line 1");
    assert!(own.asked().is_empty());
    let dir = tempfile::tempdir().unwrap();
    let bench = with_credentials(dir.path(), "", &own.url);
    std::fs::remove_file(dir.path().join("credentials/hotline.toml")).unwrap();
    assert!(bench.failure().contains("there is no file hotline.toml"));
}

#[test]
fn addresses_of_one_s_own_are_reached_only_where_the_configuration_says_so() {
    let own = Server::new(|_| ok(ncmec(&[1], &[], None)));
    let port = own.url.rsplit(':').next().unwrap().to_owned();
    for url in
        [own.url.clone(), format!("http://localhost:{port}"), format!("https://127.0.0.1:{port}"), "https://[::1]".to_owned()]
    {
        let dir = tempfile::tempdir().unwrap();
        let bench = open_with(dir.path(), Options { private_hosts: false, ..options() });
        bench.create("known");
        bench.set(FeedKind::Files, &url);
        let why = bench.failure();
        assert!(why.contains("private_hosts"), "{why}");
    }
    assert!(own.asked().is_empty());
}

/// Whoever sets a source hears at once what would fail each time.
#[test]
fn what_can_not_be_fetched_is_not_set() {
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let text = "origin = \"https://host\"\nlists = [\"known\"]\nuser = \"u\"\npassword = \"geheim\"\n";
    std::fs::write(credentials.join("hotline.toml"), text).unwrap();
    let (folder, credentials_dir) = (root.path().to_owned(), credentials);
    let bench = open_with(&dir.path().join("store"), Options { private_hosts: false, folder, credentials_dir, ..options() });
    ["known", "other"].into_iter().for_each(|list| bench.create(list));
    let check = |list: &str, place: &str, credentials: &str, expected: Result<(), &str>| {
        let (place, credentials) = (place.to_owned(), credentials.to_owned());
        let feed = Feed { kind: FeedKind::Files, place, credentials, ..Feed::default() };
        let set = bench.feeds.set(&bench.by, list, "feed", feed).map(drop).map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert_eq!(set, Ok(())),
            Err(part) => assert!(set.as_ref().is_err_and(|why| why.contains(part) && !why.contains("geheim")), "{set:?}"),
        }
    };
    check("known", "https://host/list.csv", "hotline", Ok(()));
    check("known", "https://other/list.csv", "hotline", Err("are for https://host, and are not sent to https://other"));
    check("known", "https://host/list.csv", "absent", Err("there is no file absent.toml"));
    check("other", "https://host/list.csv", "hotline", Err("not for this list"));
    check("absent", "https://host/list.csv", "hotline", Err("no list named"));
    for place in
        ["https://10.0.0.1/x", "https://[::1]/x", "https://localhost/x", "http://127.0.0.1/x", "https://169.254.169.254/x"]
    {
        check("known", place, "", Err("private_hosts"));
    }
    check("known", "http://host/x", "", Err("not encrypted"));
    check("known", root.path().to_str().unwrap(), "", Ok(()));
    check("known", "/etc", "", Err("no such folder below the one that [feeds] folder names"));
    check("known", root.path().join("absent").to_str().unwrap(), "", Err("no such folder"));
    assert_eq!(bench.catalog.sources("known").unwrap()[0].feed.place, root.path().to_str().unwrap(), "what was set before stays");
}

#[test]
fn settings_are_checked_shown_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let bench = open_with(dir.path(), options());
    bench.create("known");
    let set = |source: &str, feed: Feed| {
        bench.catalog.set_source(&bench.by, "known", source, feed).map(drop).map_err(|e| e.to_string())
    };
    let good = Feed { kind: FeedKind::Files, place: "https://host/list".into(), format: "csv".into(), ..Feed::default() };
    assert!(set("local", good.clone()).unwrap_err().contains("by hand"));
    assert!(set("a/b", good.clone()).is_err());
    assert!(set("feed", Feed { format: "xml".into(), ..good.clone() }).is_err());
    assert!(
        set("feed", Feed { place: "https://user:geheim@host".into(), ..good.clone() }).is_err_and(|why| !why.contains("geheim"))
    );
    assert!(
        set("feed", Feed { place: "https://host?key=geheim".into(), ..good.clone() }).is_err_and(|why| !why.contains("geheim"))
    );
    assert_eq!(set("feed", good.clone()), Ok(()));
    for n in 1..14 {
        assert_eq!(set(&format!("feed{n}"), good.clone()), Ok(()));
    }
    assert!(set("feed14", good.clone()).unwrap_err().contains("16 sources"));
    let before = bench.catalog.sources("known").unwrap();
    let mut report = bench.catalog.verify(&mut |_, _| ()).unwrap();
    assert_eq!(std::mem::take(&mut report.problems), Vec::<String>::new());
    drop(bench);
    let bench = open_with(dir.path(), options());
    assert_eq!(bench.catalog.sources("known").unwrap(), before);
    bench.catalog.unset_source(&bench.by, "known", "feed").unwrap();
    assert!(bench.catalog.unset_source(&bench.by, "known", "feed").is_err());
    assert_eq!(bench.catalog.sources("known").unwrap().len(), 13);
    assert_eq!(bench.catalog.verify(&mut |_, _| ()).unwrap().problems, Vec::<String>::new());
}
