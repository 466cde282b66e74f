//! What does whoever runs the service see of it while it is in trouble: threads that hang, callers that leave or do not read?
//!
//! The process is assembled as `serve` does it, over a store of its own, with an extractor that can be made to hang. One process holds one
//! log and one set of metrics, so the tests here take turns, and compare counters with what they were.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

mod logged;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use hashwarden::app::{self, Running};
use hashwarden::client::Client;
use hashwarden::config::Config;
use hashwarden::demo::{edits::Edit, pictures::draw};
use hashwarden::entry::{HashKind, HashValue};
use hashwarden::extract::{Extractor, Features, InProcess, Unscanned, Wants};
use hashwarden::matcher::{Content, GivenHash};
use hashwarden::proto::v1;
use hashwarden::store::Access;
use hashwarden::verdict::Outcome;
use logged::{LOG, logged};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use v1::match_service_client::MatchServiceClient;

/// Bytes that make the extractor hang.
const HANGS: &[u8] = b"hang";

/// Hangs on [`HANGS`] until it is let go; all else is extracted.
struct Hanging {
    inner: InProcess,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
}

impl Extractor for Hanging {
    fn extract(&self, bytes: &[u8], wants: &Wants, until: Instant) -> Result<Features, Unscanned> {
        if bytes == HANGS {
            self.gate.wait();
        }
        self.inner.extract(bytes, wants, until)
    }
}

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Served {
    running: Running,
    client: Client,
    gate: Arc<Gate>,
    dir: tempfile::TempDir,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// Two threads that extract; stuck is what takes longer than a tenth of a second.
async fn serve() -> Served {
    let turn = TURN.lock().await;
    LazyLock::force(&LOG);
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.store.dir = dir.path().join("store");
    config.grpc.listen.set_port(0);
    config.operator.port.listen.set_port(0);
    config.operator.watch.stuck_ms = 100;
    config.extract.images.threads = 2;
    // What hangs is not given up by its caller meanwhile.
    config.grpc.request_ms_max = 600_000;
    let gate = Arc::new(Gate::default());
    let extractor = Arc::new(Hanging { inner: InProcess::new(config.limits(), Instant::now), gate: gate.clone() });
    let of_doors = config.clone();
    let open = move || app::doors(&of_doors.store.dir, &of_doors, Access::Write, extractor);
    let running = app::start_with(&config, open).await.unwrap();
    let client = Client::connect(&format!("http://{}", running.grpc), Duration::from_secs(30)).await.unwrap();
    Served { running, client, gate, dir, _turn: turn }
}

impl Served {
    /// Status and body of a page.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.running.operator).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// A series' value; 0 where it is not there.
    fn metric(&self, series: &str) -> f64 {
        let page = self.get("/metrics").1;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// A page once it is as expected.
    async fn until(&self, path: &str, mut expected: impl FnMut(u16, &str) -> bool) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (status, body) = self.get(path);
            if expected(status, &body) {
                return body;
            }
            assert!(Instant::now() < end, "{path} stays {status}: {body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A series once it has a value.
    async fn until_metric(&self, series: &str, expected: f64) {
        self.until("/metrics", |_, _| self.metric(series) == expected).await;
    }

    /// What gRPC's health says of a service; "" is the server as a whole.
    async fn health(&self, service: &str) -> ServingStatus {
        let channel = Channel::from_shared(format!("http://{}", self.running.grpc)).unwrap().connect().await.unwrap();
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(channel).check(request).await.unwrap().into_inner().status()
    }

    /// Until the server and its match service are as expected.
    async fn until_health(&self, expected: ServingStatus) {
        let end = Instant::now() + Duration::from_secs(60);
        for service in ["", "hashwarden.v1.MatchService"] {
            while self.health(service).await != expected {
                assert!(Instant::now() < end, "health of {service:?} does not become {expected:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn stub(&self) -> MatchServiceClient<Channel> {
        MatchServiceClient::connect(format!("http://{}", self.running.grpc)).await.unwrap()
    }

    async fn end(self) {
        self.gate.open();
        drop(self.client);
        self.running.drain().await.unwrap();
    }
}

fn image(id: &str, bytes: &[u8]) -> v1::MatchItem {
    let content = Some(v1::match_item::Content::Image(bytes.to_vec()));
    v1::MatchItem { item_id: id.to_owned(), reference: format!("https://example.org/{id}"), content, ..v1::MatchItem::default() }
}

fn hash_item(n: u32) -> v1::MatchItem {
    let hash = v1::Hash { kind: v1::HashKind::Md5 as i32, hex: format!("{n:032x}"), quality: None };
    let content = Some(v1::match_item::Content::Hashes(v1::Hashes { hashes: vec![hash] }));
    v1::MatchItem { item_id: n.to_string(), content, ..v1::MatchItem::default() }
}

/// A decoder once hung for ever on a TIFF whose page pointed to itself: the threads went one by one, every page stayed green, and in the
/// end no picture was answered any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_thread_is_seen_and_when_all_are_the_service_is_not_ready() {
    let served = serve().await;
    let found_before = served.metric("hashwarden_threads_stuck_total{pool=\"extract\"}");
    let stub = served.stub().await;
    let hang = |id: &str| {
        let (mut stub, request) = (stub.clone(), v1::MatchRequest { item: Some(image(id, HANGS)) });
        tokio::spawn(async move { stub.r#match(request).await })
    };
    assert_eq!(served.metric("hashwarden_threads_stuck{pool=\"extract\"}"), 0.0);
    assert_eq!(served.metric("hashwarden_threads{pool=\"extract\"}"), 2.0);

    let first = hang("post-7");
    let page = served.until("/readyz", |_, body| body.contains("stuck")).await;
    assert!(page.starts_with("ready: snapshot ") && page.contains("\n1 of 2 extract threads are stuck\n"), "{page}");
    assert_eq!(served.metric("hashwarden_threads_stuck{pool=\"extract\"}"), 1.0);
    // The other thread still answers, and so do look-ups.
    let picture = Edit::Original.apply(&draw(1, 64, 64)).unwrap();
    served.client.match_one(Content::Image(picture), vec![]).await.unwrap();

    let second = hang("post-8");
    assert_eq!(served.health("").await, ServingStatus::Serving);
    let page = served.until("/readyz", |status, _| status == 503).await;
    assert_eq!(page, "not ready: all 2 extract threads are stuck: restart the service\n");
    assert_eq!(served.metric("hashwarden_threads_stuck{pool=\"extract\"}"), 2.0);
    assert_eq!(served.metric("hashwarden_threads_stuck_total{pool=\"extract\"}"), found_before + 2.0);
    assert_eq!(served.get("/healthz").0, 200);
    let hash = GivenHash { hash: HashValue::from_hex(HashKind::Md5, &"0".repeat(32)).unwrap(), quality: None };
    served.client.match_one(Content::Hashes(vec![hash]), vec![]).await.unwrap();

    // Who probes over gRPC sees the same; lists need none of these threads.
    served.until_health(ServingStatus::NotServing).await;
    assert_eq!(served.health("hashwarden.v1.HashListService").await, ServingStatus::Serving);

    served.gate.open();
    served.until("/readyz", |status, body| status == 200 && !body.contains("stuck")).await;
    served.until_health(ServingStatus::Serving).await;
    for answer in [first, second] {
        assert!(answer.await.unwrap().is_ok());
    }
    // Each is logged once, with its caller's name for it, and once more when it ends.
    let log = logged();
    for id in ["post-7", "post-8"] {
        for words in ["a thread is stuck", "a thread that was stuck is free again"] {
            let about = |line: &&str| line.contains(words) && line.contains(&format!("https://example.org/{id}\""));
            assert_eq!(log.lines().filter(about).count(), 1, "{id}: {words}: {log}");
        }
    }
    served.end().await;
}

/// Results that a client did not read were in no metric, although they hold memory.
#[tokio::test(flavor = "multi_thread")]
async fn items_whose_results_are_not_read_are_in_flight() {
    const ITEMS: u32 = 15_000;
    let served = serve().await;
    let answered = "hashwarden_requests_total{method=\"MatchStream\",outcome=\"not_scanned\",reason=\"no_list\"}";
    let before = served.metric(answered);
    let messages = (0..ITEMS / 500).map(|m| v1::MatchStreamRequest { items: (m * 500..(m + 1) * 500).map(hash_item).collect() });
    // A window that holds few results.
    let endpoint = Channel::from_shared(format!("http://{}", served.running.grpc)).unwrap().initial_stream_window_size(65_535);
    let channel = endpoint.initial_connection_window_size(65_535).connect().await.unwrap();
    let mut stub = MatchServiceClient::new(channel);
    let (send, input) = tokio::sync::mpsc::channel(100);
    for message in messages {
        send.send(message).await.unwrap();
    }
    let results = stub.match_stream(ReceiverStream::new(input)).await.unwrap().into_inner();
    // Until no more are answered: all of them, or as many as a stream may have in flight.
    let mut last = before;
    served
        .until("/metrics", |_, _| {
            std::thread::sleep(Duration::from_millis(200));
            let now = served.metric(answered);
            now > before && now == std::mem::replace(&mut last, now)
        })
        .await;
    let unread = served.metric("hashwarden_in_flight");
    assert!(unread > 1000.0, "{unread} in flight while thousands of results are unread");
    assert_eq!(served.metric("hashwarden_calls_in_flight{method=\"MatchStream\"}"), 1.0);
    assert!(served.metric("hashwarden_connections") >= 2.0);
    let calls = served.metric("hashwarden_call_seconds_count{method=\"MatchStream\"}");
    // The client goes.
    drop((results, send, stub));
    served.until_metric("hashwarden_in_flight", 0.0).await;
    served.until_metric("hashwarden_calls_in_flight{method=\"MatchStream\"}", 0.0).await;
    assert_eq!(served.metric("hashwarden_call_seconds_count{method=\"MatchStream\"}"), calls + 1.0);
    served.end().await;
}

/// Callers who left looked like faults of the service: an alert on `internal` went off whenever an uploader's connection broke.
#[tokio::test(flavor = "multi_thread")]
async fn items_that_their_caller_gives_up_are_no_faults_of_the_service() {
    let served = serve().await;
    let errors = |reason: &str| {
        served.metric(&format!("hashwarden_requests_total{{method=\"MatchStream\",outcome=\"error\",reason=\"{reason}\"}}"))
    };
    let before = (errors("internal"), errors("cancelled"), errors("deadline_exceeded"));
    // More pictures than streams may have in work, so that the last wait to be taken in; those before hang.
    let items = || v1::MatchStreamRequest { items: (0..40).map(|n| image(&n.to_string(), HANGS)).collect() };
    let (send, input) = tokio::sync::mpsc::channel(2);
    send.send(items()).await.unwrap();
    let mut stub = served.stub().await;
    let results = stub.match_stream(ReceiverStream::new(input)).await.unwrap();
    served.until_metric("hashwarden_queue_depth", 6.0).await;
    drop((results, send, stub));
    served.until("/metrics", |_, _| errors("cancelled") >= before.1 + 2.0).await;

    // The same by a deadline.
    let (send, input) = tokio::sync::mpsc::channel(2);
    send.send(items()).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(input));
    request.set_timeout(Duration::from_millis(500));
    let mut results = served.stub().await.match_stream(request).await.unwrap().into_inner();
    let status = results.message().await.unwrap_err();
    assert!(matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Cancelled), "{status}");
    served.until("/metrics", |_, _| errors("deadline_exceeded") >= before.2 + 1.0).await;
    assert_eq!(errors("internal"), before.0);
    served.end().await;
}

/// What a caller calls its content comes back with the result, whatever that is.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_comes_back_with_the_result() {
    let served = serve().await;
    let picture = Edit::Original.apply(&draw(2, 64, 64)).unwrap();
    let mut stub = served.stub().await;
    let reply = stub.r#match(v1::MatchRequest { item: Some(image("one", &picture)) }).await.unwrap().into_inner();
    assert_eq!(reply.result.unwrap().reference, "https://example.org/one");
    let malformed = v1::MatchItem { content: None, ..image("neither", &[]) };
    let hashes = v1::MatchItem { reference: "a post".to_owned(), ..hash_item(7) };
    let items = vec![image("picture", &picture), malformed, hashes];
    let mut results = stub.match_stream(tokio_stream::iter([v1::MatchStreamRequest { items }])).await.unwrap().into_inner();
    let mut got = std::collections::BTreeMap::new();
    while let Some(message) = results.message().await.unwrap() {
        got.extend(message.results.into_iter().map(|result| (result.item_id, result.reference)));
    }
    let expected = [("picture", "https://example.org/picture"), ("neither", "https://example.org/neither"), ("7", "a post")];
    assert_eq!(got, expected.map(|(id, reference)| (id.to_owned(), reference.to_owned())).into_iter().collect());
    served.end().await;
}

/// A list's matches are counted by what they ask for, and the count goes with the list.
#[tokio::test(flavor = "multi_thread")]
async fn matches_are_counted_by_list_and_action() {
    use hashwarden::catalog::{NewEntry, PolicyUpdate};
    use hashwarden::entry::Polarity;
    let served = serve().await;
    let hash = HashValue::from_hex(HashKind::Md5, &"ab".repeat(16)).unwrap();
    served.client.create("counted", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let entry =
        NewEntry { id: Some("e1".to_owned()), category: String::new(), hashes: vec![hash.clone()], ..NewEntry::default() };
    served.client.add("counted", vec![entry]).await.unwrap();
    for _ in 0..3 {
        let content = Content::Hashes(vec![GivenHash { hash: hash.clone(), quality: None }]);
        assert_eq!(served.client.match_one(content, vec![]).await.unwrap().outcome, Outcome::Match);
    }
    assert_eq!(served.metric("hashwarden_matches_total{list=\"counted\",action=\"REVIEW\"}"), 3.0);
    served.client.delete("counted").await.unwrap();
    let page = served.get("/metrics").1;
    assert!(!page.contains("counted"), "a list that is gone has no series: {page}");
    served.end().await;
}

/// What is found through a view is counted by list and class, and how many views were looked up.
#[tokio::test(flavor = "multi_thread")]
async fn views_and_what_they_find_are_counted() {
    use hashwarden::catalog::{NewEntry, PolicyUpdate};
    use hashwarden::entry::Polarity;
    const SEARCHED: &str = "hashwarden_views_total{result=\"searched\"}";
    let found = |view: &str| format!("hashwarden_view_matches_total{{list=\"seen\",view=\"{view}\"}}");
    let served = serve().await;
    let picture = draw(1, 400, 300);
    let crop = image::imageops::crop_imm(&picture, 16, 12, 368, 276).to_image();
    let files = [&picture, &crop].map(|picture| hashwarden::demo::edits::jpeg(picture, 90).unwrap());
    let observed = served.client.hash(files[0].clone()).await.unwrap();
    let pdq = observed.features.unwrap().seen.into_iter().find(|seen| seen.hash.kind() == HashKind::Pdq).unwrap().hash;
    served.client.create("seen", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let entry = NewEntry { id: Some("e1".to_owned()), category: String::new(), hashes: vec![pdq], ..NewEntry::default() };
    served.client.add("seen", vec![entry]).await.unwrap();
    let before = served.metric(SEARCHED);
    let mut searched = 0;
    for file in &files {
        let verdict = served.client.match_one(Content::Image(file.clone()), vec![]).await.unwrap();
        assert_eq!(verdict.outcome, Outcome::Match);
        searched += verdict.views.searched;
    }
    assert!(searched > 0);
    assert_eq!(served.metric(SEARCHED) - before, searched as f64);
    assert_eq!(["extended", "window", "turned"].map(|view| served.metric(&found(view))), [1.0, 0.0, 0.0]);
    served.end().await;
}

/// The log said that a file could not be kept, and not whose, or of which list.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_of_an_import_says_which_call_caller_and_list() {
    use hashwarden::catalog::{ImportOptions, PolicyUpdate};
    use hashwarden::entry::Polarity;
    use hashwarden::lists::Mapping;
    let served = serve().await;
    served.client.create("refused", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let import = async || {
        let (mapping, source) = (Mapping::default(), "list.txt".to_owned());
        let options = ImportOptions {
            format: None,
            mapping,
            source,
            activate: true,
            dry_run: false,
            accept: false,
            ..ImportOptions::default()
        };
        let file = std::io::Cursor::new(b"no list\n".to_vec());
        served.client.import("refused", &options, file, &mut |_| ()).await.unwrap_err()
    };
    import().await;
    // There is no room for the file.
    let (store, aside) = (served.dir.path().join("store"), served.dir.path().join("aside"));
    std::fs::rename(&store, &aside).unwrap();
    import().await;
    std::fs::rename(&aside, &store).unwrap();
    let log = logged();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about = |words: &str| {
        let line =
            lines.iter().find(|line| line["fields"]["message"] == words).unwrap_or_else(|| panic!("no {words:?} in {log}"));
        let span = &line["spans"].as_array().and_then(|spans| spans.iter().find(|span| span["name"] == "grpc")).unwrap();
        let of = ["method", "by", "list"].map(|field| span[field].as_str().unwrap_or_default().to_owned());
        assert!(of[0] == "ImportEntries" && of[1].contains("127.0.0.1") && of[2] == "refused", "{line}");
    };
    about("the file of an import can't be stored");
    assert_eq!(lines.iter().filter(|line| line["fields"]["message"] == "a file was not imported").count(), 2, "{log}");
    about("a file was not imported");
    served.end().await;
}

/// A process that was told to stop while it opened a large store went on until the store was open, and could not be asked how it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_heard_while_the_store_is_being_opened() {
    let _turn = TURN.lock().await;
    let mut config = Config::default();
    config.grpc.listen.set_port(0);
    config.operator.port.listen.set_port(0);
    let (held, holds) = std::sync::mpsc::channel::<()>();
    let (began, mut begins) = tokio::sync::mpsc::channel(1);
    let open = move || {
        began.blocking_send(()).unwrap();
        // Comes back only when the test is over.
        let _ = holds.recv();
        Err(app::AppError::Stopped("opening", "the test is over".to_owned()))
    };
    let signalled = async move {
        begins.recv().await.unwrap();
        "SIGTERM"
    };
    let served = app::serve_until(app::start_with(&config, open), signalled, |_, _| panic!("it was never ready"));
    tokio::time::timeout(Duration::from_secs(60), served).await.unwrap().unwrap();
    drop(held);
}
