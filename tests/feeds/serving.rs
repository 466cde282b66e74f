//! Sources of a running server: fetched by themselves, over gRPC, and on the page of metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ask::{hex, ncmec, options, pdq};
use super::server::{Server, ok, status};
use hashwarden::app;
use hashwarden::catalog::{Feedback, FetchOptions, PolicyUpdate};
use hashwarden::client::{Client, ClientError};
use hashwarden::config::Config;
use hashwarden::entry::{Feed, FeedKind, HashKind, Polarity, Vote};
use hashwarden::matcher::{Content, GivenHash};
use hashwarden::verdict::Outcome;

/// How long something may take that is waited for.
const SOON: Duration = Duration::from_secs(60);

fn config(dir: &std::path::Path) -> Config {
    let mut config = Config::default();
    config.store.dir = dir.to_owned();
    config.grpc.listen = ([127, 0, 0, 1], 0).into();
    config.operator.port.listen = ([127, 0, 0, 1], 0).into();
    config.feeds = options();
    config
}

async fn matches(client: &Client, n: u64) -> bool {
    let content = Content::Hashes(vec![GivenHash { hash: pdq(n), quality: None }]);
    client.match_one(content, Vec::new()).await.unwrap().outcome == Outcome::Match
}

async fn page(address: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series))?.trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_fetches_what_is_due_and_says_how_fresh_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_| ok(ncmec(&[1], &[], None)));
    let running = app::start(&config(dir.path())).await.unwrap();
    let client = Client::connect(&format!("http://{}", running.grpc), SOON).await.unwrap();
    client.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let feed = Feed { kind: FeedKind::Ncmec, place: server.url.clone(), ..Feed::default() };
    let set = client.set_source("known", "hotline", &feed).await.unwrap();
    assert_eq!((set.feed.place, set.state.succeeded_ms), (server.url.clone(), 0));
    let began = Instant::now();
    while !matches(&client, 1).await {
        assert!(began.elapsed() < SOON, "it was not fetched: {:?}", client.sources("known").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let labels = "{list=\"known\",source=\"hotline\"}";
    let (mut text, began) = (page(running.operator).await, Instant::now());
    // The fetch's state is kept a moment after its version is active.
    while !text.contains("hashwarden_source_fetches_total{list=\"known\",source=\"hotline\",result=\"done\"} 1") {
        assert!(began.elapsed() < SOON, "{text}");
        text = page(running.operator).await;
    }
    let age = value(&text, &format!("hashwarden_source_age_seconds{labels}")).unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");
    assert_eq!(value(&text, &format!("hashwarden_source_failures{labels}")), Some(0.0));
    assert_eq!(value(&text, &format!("hashwarden_source_waits{labels}")), Some(0.0));

    // Because somebody asks.
    server.answer(|_| ok(ncmec(&[2], &[1], None)));
    let told = Arc::new(AtomicU64::new(0));
    let heard = told.clone();
    let report = client
        .fetch_source("known", "hotline", FetchOptions::default(), &mut |progress| heard.store(progress.pages, Ordering::Relaxed))
        .await
        .unwrap();
    assert_eq!((report.added, report.gone, told.load(Ordering::Relaxed)), (1, 1, 1));
    assert!(matches(&client, 2).await && !matches(&client, 1).await);

    server.answer(|_| status(500));
    let failed = client.fetch_source("known", "hotline", FetchOptions::default(), &mut |_| ()).await.unwrap_err();
    assert!(matches!(&failed, ClientError::Refused { reason, .. } if reason == "UNFETCHED"), "{failed:?}");
    let source = client.sources("known").await.unwrap().swap_remove(0);
    assert!(source.state.error.contains("500") && source.state.failures == 1, "{source:?}");
    assert_eq!(value(&page(running.operator).await, &format!("hashwarden_source_failures{labels}")), Some(1.0));

    client.unset_source("known", "hotline").await.unwrap();
    assert!(client.fetch_source("known", "hotline", FetchOptions::default(), &mut |_| ()).await.is_err());
    assert!(client.sources("known").await.unwrap().is_empty() && matches(&client, 2).await);
    assert_eq!(value(&page(running.operator).await, &format!("hashwarden_source_age_seconds{labels}")), None);
    running.drain().await.unwrap();
}

/// What a reviewer decided goes to the source through the server, and through the command line.
#[tokio::test(flavor = "multi_thread")]
async fn feedback_goes_through_the_server_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(super::feedback::answer);
    let mut config = config(dir.path());
    config.feeds.schedule = false;
    let running = app::start(&config).await.unwrap();
    let endpoint = format!("http://{}", running.grpc);
    let client = Client::connect(&endpoint, SOON).await.unwrap();
    client.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let place = format!("{}/hashsharing", server.url);
    let feed = Feed { kind: FeedKind::Ncmec, place, feedback: true, ..Feed::default() };
    assert!(client.set_source("known", "hotline", &feed).await.unwrap().feed.feedback);
    client.fetch_source("known", "hotline", FetchOptions::default(), &mut |_| ()).await.unwrap();
    server.asked();
    let feedback =
        |id: &str, vote, reason: &str| Feedback { entry_id: id.into(), kind: HashKind::Pdq, vote, reason: reason.into() };
    let sent = client.send_feedback("known", "hotline", &feedback("42/1", Vote::Negative, "wrong category")).await.unwrap();
    assert_eq!(sent.reason, "Wrong category");
    let absent = client.send_feedback("known", "hotline", &feedback("42/2", Vote::Affirmative, "")).await.unwrap_err();
    assert!(absent.to_string().contains("no such entry"), "{absent}");
    let run = move |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hashwarden"));
        let done = command.args(["--endpoint", &endpoint, "list", "source"]).args(arguments).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let said = tokio::task::spawn_blocking(move || {
        let of = |rest: &[&str]| run(&[&["feedback", "known", "hotline", "42/1"], rest].concat());
        [
            of(&["affirmative", "--kind", "md5"]),
            of(&["negative", "--kind", "pdq"]),
            of(&["perhaps", "--kind", "pdq"]),
            run(&["show", "known"]),
        ]
    });
    let [affirmative, no_reason, perhaps, shown] = said.await.unwrap();
    let check = |(exit, text): (Option<i32>, String), expected: i32, part: &str| {
        assert!(exit == Some(expected) && text.contains(part), "{exit:?}: {text}");
    };
    check(affirmative, 0, "affirmative feedback on the entry's md5 hash was sent to source hotline of list known");
    check(no_reason, 2, "negative feedback needs a reason: it is one of \"Wrong category\"");
    check(perhaps, 2, "affirmative or negative");
    check(shown, 0, "feedback may be sent to it");
    let put: Vec<_> = server.asked().into_iter().filter(|asked| asked.method == "PUT").map(|asked| asked.target).collect();
    assert_eq!(put, ["/hashsharing/v2/entries/42/1/PDQ/feedback", "/hashsharing/v2/entries/42/1/MD5/feedback"]);
    let text = page(running.operator).await;
    for (vote, result, n) in [("negative", "sent", 1.0), ("affirmative", "sent", 1.0), ("negative", "failed", 1.0)] {
        let labels = format!("{{list=\"known\",source=\"hotline\",vote=\"{vote}\",result=\"{result}\"}}");
        assert_eq!(value(&text, &format!("hashwarden_source_feedback_total{labels}")), Some(n), "{text}");
    }
    assert!(!text.contains("42/1"));
    drop(client);
    running.drain().await.unwrap();
}

/// A source that says nothing does not keep the server from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_waits_for_no_source() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_| super::server::Reply::Stalled);
    let mut config = config(dir.path());
    config.feeds.idle_ms_max = 600_000;
    let running = app::start(&config).await.unwrap();
    let client = Client::connect(&format!("http://{}", running.grpc), SOON).await.unwrap();
    client.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let feed = Feed { kind: FeedKind::Ncmec, place: server.url.clone(), ..Feed::default() };
    client.set_source("known", "hotline", &feed).await.unwrap();
    let began = Instant::now();
    while server.asked().is_empty() {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(client);
    let stopping = Instant::now();
    running.drain().await.unwrap();
    assert!(stopping.elapsed() < Duration::from_secs(15), "{:?}", stopping.elapsed());
}

/// Over the embedded store the command line fetches by itself.
#[test]
fn the_command_line_sets_fetches_and_shows_sources() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(|_| ok(format!("id,pdq\n1,{}\n", hex(1))));
    let url = format!("{}/list.csv", server.url);
    let run = |arguments: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_hashwarden"))
            .args(arguments)
            .env("HASHWARDEN__STORE__DIR", dir.path())
            .env("HASHWARDEN__FEEDS__PRIVATE_HOSTS", "true")
            .env("HASHWARDEN__FEEDS__BACKOFF_MS", "0")
            .env("HASHWARDEN_CREDENTIALS__MY_OWN__ORIGIN", &server.url)
            .env("HASHWARDEN_CREDENTIALS__MY_OWN__USER", "me")
            .env("HASHWARDEN_CREDENTIALS__MY_OWN__PASSWORD", "geheim")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        (done.status.code().unwrap(), text)
    };
    let check = |arguments: &[&str], exit: i32, parts: &[&str]| {
        let (code, text) = run(arguments);
        assert!(code == exit && parts.iter().all(|part| text.contains(part)), "{arguments:?}: {code}: {text}");
    };
    check(&["list", "create", "known"], 0, &[]);
    check(&["list", "source", "fetch", "known", "hotline"], 3, &["not set up to be fetched"]);
    check(&["list", "source", "set", "known", "hotline", "--kind", "files", "--url", "list.csv"], 2, &["https://"]);
    check(&["list", "source", "set", "known", "hotline", "--kind", "files"], 2, &["--url"]);
    check(
        &["list", "source", "set", "known", "hotline", "--kind", "files", "--url", &url, "--every", "1d"],
        0,
        &["never fetched", "due now"],
    );
    check(&["list", "source", "fetch", "known", "hotline"], 0, &["version 1 is active", "1 added"]);
    check(&["match", "--pdq", &hex(1)], 1, &["MATCH"]);
    check(&["list", "source", "show", "known"], 0, &["last fetched", "version          1", "next", "every 1day"]);
    check(&["list", "source", "show", "known", "hotline", "--json"], 0, &["\"kind\":\"files\"", "\"failures\":0"]);
    check(&["list", "source", "show", "known", "absent"], 3, &["not set up to be fetched"]);
    server.answer(|_| status(500));
    let (code, text) = run(&["list", "source", "fetch", "known", "hotline"]);
    assert!(
        code == 3 && text.contains("attempt 6") && text.matches("Internal Server Error").count() == 1,
        "it is said once: {code}: {text}"
    );
    check(&["list", "source", "set", "known", "other", "--kind", "files", "--folder", "/etc"], 3, &["[feeds] folder is not set"]);
    check(&["list", "source", "show", "known"], 0, &["failing", "1 attempt since", "500"]);
    // Credentials of the environment.
    server.answer(|asked| match asked.header("authorization") {
        Some("Basic bWU6Z2VoZWlt") => ok(format!("id,pdq\n1,{}\n2,{}\n", hex(1), hex(2))),
        _ => status(401),
    });
    check(&["list", "source", "fetch", "known", "hotline"], 3, &["401", "does not accept"]);
    let of = ["list", "source", "set", "known", "hotline", "--kind", "files", "--url", &url, "--credentials", "my-own"];
    check(&of, 0, &["with credentials my-own"]);
    check(&["list", "source", "fetch", "known", "hotline"], 0, &["1 added"]);
    check(&["list", "source", "unset", "known", "hotline"], 0, &["stay"]);
    check(&["list", "show", "known"], 0, &["2 entries"]);
}
