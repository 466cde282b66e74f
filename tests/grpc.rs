//! Does the service keep its contract, over a real connection and an embedded store?
//!
//! Driven by the project's own client, by generated stubs where a call must be malformed, and by Python's grpcio (`grpc_client.py`), which knows
//! only reflection and proto/. The foreign client runs with the interpreter that `HASHWARDEN_TEST_PYTHON` names (grpcio,
//! grpcio-tools, grpcio-reflection, grpcio-health-checking, googleapis-common-protos); unset, that test says that it skips.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

#[path = "grpc/access.rs"]
mod access;
#[path = "grpc/files.rs"]
mod files;
#[path = "grpc/hostile.rs"]
mod hostile;
#[path = "grpc/places.rs"]
mod places;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashwarden::access::{Gate, Near};
use hashwarden::admission::Quotas;
use hashwarden::app;
use hashwarden::catalog::{
    self, ActionRule, Catalog, EntryQuery, ExportOptions, FORMAT_DERIVED, Hold, ImportOptions, NewEntry, Phase, PolicyUpdate,
    RadiusRule,
};
use hashwarden::client::{Client, ClientError, Item};
use hashwarden::config::Config;
use hashwarden::decode::Limits;
use hashwarden::demo::pictures;
use hashwarden::entry::{
    Action, Caller, Details, HashKind, HashValue, Lineage, ListVersion, Mark, MarkKind, Pdq, PdqDialect, Polarity, Reason,
    Transform, VersionNo, View, ViewKind, ViewRule, ViewSet,
};
use hashwarden::extract::InProcess;
use hashwarden::lists::{Column, Format, Header, Mapping};
use hashwarden::matcher::{self, Content, GivenHash, Matcher};
use hashwarden::proto::v1;
use hashwarden::service::{self, Deps};
use hashwarden::snapshot::Published;
use hashwarden::store::{Access, Store};
use hashwarden::verdict::{Asked, Outcome};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;
use v1::hash_list_service_client::HashListServiceClient;
use v1::match_service_client::MatchServiceClient;

/// A service over a new store.
struct Served {
    endpoint: String,
    client: Client,
    catalog: Arc<Catalog>,
    published: Arc<Published>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), service::ServeError>>,
    _dir: tempfile::TempDir,
}

async fn serve() -> Served {
    serve_with(service::Options::default(), matcher::Options::default()).await
}

async fn serve_with(options: service::Options, of_matcher: matcher::Options) -> Served {
    serve_over(catalog::Options::default(), options, of_matcher).await
}

async fn serve_over(of_catalog: catalog::Options, options: service::Options, of_matcher: matcher::Options) -> Served {
    serve_behind(Gate::open(), of_catalog, options, of_matcher).await
}

async fn serve_behind(
    gate: Arc<Gate>,
    of_catalog: catalog::Options,
    options: service::Options,
    of_matcher: matcher::Options,
) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), Access::Write, FORMAT_DERIVED).unwrap());
    let published = Arc::new(Published::default());
    let catalog = Arc::new(Catalog::open(store, Access::Write, of_catalog, Some(published.clone())).unwrap());
    let limits = Limits { image_bytes_max: options.image_bytes_max, ..Limits::default() };
    let matcher = Matcher::new(published.clone(), Arc::new(InProcess::new(limits, Instant::now)), of_matcher).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let (near, quotas) = (Near::of(&hashwarden::access::Options::default()), Quotas::new(0));
    let spool = dir.path().to_owned();
    let fetch = Arc::new(app::feeds(catalog.clone(), &Config::default().feeds, dir.path(), &tokio::runtime::Handle::current()));
    let deps = Deps { matcher, catalog: catalog.clone(), fetch, gate, near, quotas, options, tls: None, spool };
    let ended = tokio::spawn(service::serve(listener, deps, async { drop(stopped.await) }));
    let client = Client::connect(&endpoint, Duration::from_secs(30)).await.unwrap();
    Served { endpoint, client, catalog, published, stop, ended, _dir: dir }
}

impl Served {
    async fn channel(&self) -> Channel {
        Channel::from_shared(self.endpoint.clone()).unwrap().connect().await.unwrap()
    }

    async fn matching(&self) -> MatchServiceClient<Channel> {
        MatchServiceClient::new(self.channel().await)
    }

    /// A list with the default policy that holds `picture`'s hashes as the entry "e1".
    async fn list_of(&self, name: &str, picture: &[u8]) -> Vec<HashValue> {
        let hashed = self.client.hash(picture.to_vec()).await.unwrap();
        let seen = hashed.features.unwrap().seen;
        let identity = seen.iter().filter(|o| o.transform == Transform::Identity).map(|o| o.hash.clone());
        let hashes: Vec<HashValue> = identity.chain(hashed.digests.values()).collect();
        self.client.create(name, Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
        let entry =
            NewEntry { id: Some("e1".to_owned()), category: "A1".to_owned(), hashes: hashes.clone(), ..NewEntry::default() };
        let report = self.client.add(name, vec![entry]).await.unwrap();
        assert_eq!((report.added, report.ids), (1, vec!["e1".to_owned()]));
        hashes
    }
}

/// The next number of a splitmix64 sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A picture of grey boxes over a gradient, encoded as PNG.
fn picture(seed: u64) -> Vec<u8> {
    let (side, mut state) = (256u32, seed);
    let mut luma = image::GrayImage::from_fn(side, side, |x, y| image::Luma([((x + y) / 4) as u8]));
    for _ in 0..40 {
        let n = next(&mut state);
        let (x0, y0) = ((n % 220) as u32, (n >> 8) as u32 % 220);
        let (w, h) = (8 + (n >> 16) as u32 % 80, 8 + (n >> 24) as u32 % 80);
        let grey = (n >> 40) as u8;
        for y in y0..(y0 + h).min(side) {
            for x in x0..(x0 + w).min(side) {
                luma.put_pixel(x, y, image::Luma([grey]));
            }
        }
    }
    encode(&luma)
}

fn encode(luma: &image::GrayImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    luma.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn pdq(seed: u64) -> String {
    let mut state = seed;
    (0..4).map(|_| format!("{:016x}", next(&mut state))).collect()
}

fn hashes(kind: HashKind, hex: &str) -> Content {
    Content::Hashes(vec![GivenHash { hash: HashValue::from_hex(kind, hex).unwrap(), quality: None }])
}

fn refused(error: ClientError) -> (Code, String) {
    match error {
        ClientError::Refused { code, field, .. } => (code, field),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_and_its_hashes_match_the_list_that_holds_them() {
    let served = serve().await;
    let known = picture(1);
    let held = served.list_of("known", &known).await;

    let verdict = served.client.match_one(Content::Image(known.clone()), vec![]).await.unwrap();
    assert_eq!((verdict.outcome, verdict.action), (Outcome::Match, Some(Action::Review)));
    assert_eq!(verdict.lists, [("known".to_owned(), VersionNo(1))]);
    assert!(verdict.matches.iter().any(|m| m.exact && m.kind == HashKind::Sha256));
    let near = verdict.matches.iter().find(|m| m.kind == HashKind::Pdq).unwrap();
    assert_eq!((near.entry_id.as_str(), near.category.as_str(), near.distance, near.threshold), ("e1", "A1", 0, 31));
    assert!(!near.exact);

    for hash in held {
        let content = Content::Hashes(vec![GivenHash { hash, quality: Some(90) }]);
        let verdict = served.client.match_one(content, vec!["known".to_owned()]).await.unwrap();
        assert_eq!(verdict.outcome, Outcome::Match);
        assert_eq!(verdict.matches[0].transform, Transform::Identity);
    }

    let stranger = served.client.match_one(Content::Image(picture(2)), vec![]).await.unwrap();
    assert_eq!((stranger.outcome, stranger.reason), (Outcome::NoMatch, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_says_how_it_came_about() {
    let served = serve().await;
    let known = picture(1);
    served.list_of("known", &known).await;
    let item = v1::MatchItem {
        item_id: "post-7".to_owned(),
        content: Some(v1::match_item::Content::Image(known)),
        ..v1::MatchItem::default()
    };
    let reply = served.matching().await.r#match(v1::MatchRequest { item: Some(item) }).await.unwrap().into_inner();
    let result = reply.result.unwrap();
    assert_eq!(result.item_id, "post-7");
    let Some(v1::match_result::Result::Verdict(verdict)) = result.result else { panic!("no verdict") };
    assert_eq!(verdict.algorithms, "pdq-full/1 phash64/1 dhash64/1");
    assert!(verdict.snapshot > 0);
    assert!(verdict.pdq_quality.unwrap() >= 50);
    assert_eq!(verdict.lists.len(), 1);
    assert!(verdict.lists[0].age_seconds.unwrap() < 3600, "a list made just now is not old");
}

/// A drawn picture, and what is left of it when four per cent of each side are cut off.
fn picture_and_crop() -> (Vec<u8>, Vec<u8>) {
    let whole = pictures::draw(1, 320, 240);
    let crop = image::imageops::crop_imm(&whole, 13, 10, 294, 220).to_image();
    let encode = |picture: image::RgbImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    (encode(whole), encode(crop))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crop_matches_through_a_view_and_says_so_over_the_wire() {
    let served = serve().await;
    let (known, crop) = picture_and_crop();
    served.list_of("known", &known).await;
    let ask = async |image: &[u8], views: Option<ViewSet>| {
        let (send, items) = mpsc::channel(1);
        let (id, content) = ("1".to_owned(), Content::Image(image.to_vec()));
        send.send(Item { id, reference: String::new(), content, lists: vec![], views }).await.unwrap();
        drop(send);
        served.client.match_stream(items).await.recv().await.unwrap().unwrap().verdict.unwrap()
    };
    let whole_only = PolicyUpdate { views: Some([].into()), ..PolicyUpdate::default() };
    served.client.set("known", &whole_only).await.unwrap();
    assert_eq!(ask(&crop, Some(ViewSet::All)).await.outcome, Outcome::NoMatch, "the list does not let views count");
    let update = PolicyUpdate { views: Some([ViewKind::Extended].into()), ..PolicyUpdate::default() };
    served.client.set("known", &update).await.unwrap();
    let verdict = ask(&crop, None).await;
    assert_eq!((verdict.outcome, verdict.action), (Outcome::Match, Some(Action::Review)));
    assert_eq!(verdict.matches[0].view.kind, ViewKind::Extended);
    assert!(verdict.views.searched > 0);
    // To the last bit as the matcher here says it.
    let extractor = Arc::new(InProcess::new(Limits::default(), Instant::now));
    let matcher = Matcher::new(served.published.clone(), extractor, matcher::Options::default()).unwrap();
    let (send, answer) = std::sync::mpsc::channel();
    let (until, caller) = (Instant::now() + Duration::from_secs(60), Caller("test".to_owned()));
    let job = matcher::Job { content: Content::Image(crop.clone()), lists: Asked::All, views: None, until, caller };
    matcher.submit(job, move |answer| send.send(answer).unwrap());
    assert_eq!(answer.recv().unwrap().verdict, verdict);

    assert_eq!(ask(&crop, Some(ViewSet::Whole)).await.outcome, Outcome::NoMatch);
    let whole = ask(&known, None).await;
    assert!(whole.matches.iter().all(|m| m.view == View::WHOLE && m.exact == (m.chance == 0.0)), "{whole:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_bytes_is_a_verdict_not_an_error() {
    let options = service::Options { image_bytes_max: 64 * 1024, ..service::Options::default() };
    let served = serve_with(options, matcher::Options::default()).await;
    served.list_of("known", &picture(1)).await;
    let check = async |bytes: Vec<u8>, expected: Reason| {
        let verdict = served.client.match_one(Content::Image(bytes), vec![]).await.unwrap();
        assert_eq!((verdict.outcome, verdict.reason), (Outcome::NotScanned, Some(expected)), "{}", verdict.detail);
        assert!(!verdict.detail.is_empty());
    };
    check(vec![], Reason::Empty).await;
    check(vec![b'x'], Reason::Unsupported).await;
    check(b"not a picture".to_vec(), Reason::Unsupported).await;
    check(picture(1)[..40].to_vec(), Reason::Undecodable).await;
    check(vec![0; 64 * 1024 + 1], Reason::TooLarge).await;

    // Beyond the message limit the call ends; the connection goes on.
    let error = served.client.match_one(Content::Image(vec![0; 200 * 1024]), vec![]).await.unwrap_err();
    assert_eq!(refused(error).0, Code::OutOfRange);
    check(vec![], Reason::Empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_names_the_field() {
    let served = serve().await;
    served.list_of("known", &picture(1)).await;
    let mut raw = served.matching().await;
    let of = |kind: v1::HashKind, hex: &str| v1::Hash { kind: kind as i32, hex: hex.to_owned(), quality: None };
    let good = || of(v1::HashKind::Pdq, &pdq(3));
    let item = |hashes: Vec<v1::Hash>| v1::MatchItem {
        content: Some(v1::match_item::Content::Hashes(v1::Hashes { hashes })),
        ..v1::MatchItem::default()
    };
    let mut check = async |item: Option<v1::MatchItem>, code: Code, field: &str| {
        let status = raw.r#match(v1::MatchRequest { item }).await.unwrap_err();
        assert!(!status.message().contains(&pdq(3)[..12]), "a status repeats a hash");
        assert_eq!(refused(status.into()), (code, field.to_owned()));
    };
    check(None, Code::InvalidArgument, "item").await;
    check(Some(v1::MatchItem::default()), Code::InvalidArgument, "item").await;
    let short = of(v1::HashKind::Pdq, &pdq(3)[1..]);
    check(Some(item(vec![good(), good(), short])), Code::InvalidArgument, "item.hashes.hashes[2].hex").await;
    check(Some(item(vec![of(v1::HashKind::Md5, &"zz".repeat(16))])), Code::InvalidArgument, "item.hashes.hashes[0].hex").await;
    check(Some(item(vec![v1::Hash { kind: 99, ..good() }])), Code::InvalidArgument, "item.hashes.hashes[0].kind").await;
    check(Some(item(vec![good(); 257])), Code::InvalidArgument, "item.hashes.hashes").await;
    let lists = vec!["known".to_owned(), "knwon".to_owned()];
    check(Some(v1::MatchItem { lists, ..item(vec![good()]) }), Code::NotFound, "item.lists[1]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_after_a_malformed_item() {
    let served = serve().await;
    let known = picture(1);
    let held = served.list_of("known", &known).await;
    let (send, items) = mpsc::channel(4);
    let mut results = served.client.match_stream(items).await;
    let contents = [
        ("image", Content::Image(known), vec![]),
        ("broken", Content::Image(b"text".to_vec()), vec![]),
        ("no hashes", Content::Hashes(vec![]), vec![]),
        ("no list", hashes(HashKind::Pdq, &pdq(5)), vec!["absent".to_owned()]),
        ("hash", Content::Hashes(vec![GivenHash { hash: held[0].clone(), quality: None }]), vec![]),
        ("stranger", hashes(HashKind::Pdq, &pdq(6)), vec![]),
    ];
    for (id, content, lists) in contents {
        let item = Item { id: id.to_owned(), reference: "https://example.org/1".to_owned(), content, lists, views: None };
        send.send(item).await.unwrap();
    }
    let mut got = BTreeMap::new();
    for _ in 0..6 {
        let result = results.recv().await.unwrap().unwrap();
        got.insert(result.id, result.verdict);
    }
    let outcome = |id: &str| got[id].as_ref().map(|v| v.outcome).map_err(|e| refused(e.clone()).0);
    assert_eq!(outcome("image"), Ok(Outcome::Match));
    assert_eq!(outcome("broken"), Ok(Outcome::NotScanned));
    assert_eq!(outcome("no hashes"), Err(Code::InvalidArgument));
    assert_eq!(outcome("no list"), Err(Code::NotFound));
    assert_eq!(outcome("hash"), Ok(Outcome::Match));
    assert_eq!(outcome("stranger"), Ok(Outcome::NoMatch));
    // It still listens.
    let item = Item {
        id: "late".to_owned(),
        reference: String::new(),
        content: hashes(HashKind::Pdq, &pdq(7)),
        lists: vec![],
        views: None,
    };
    send.send(item).await.unwrap();
    assert_eq!(results.recv().await.unwrap().unwrap().id, "late");
    drop(send);
    assert!(results.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_rather_than_is_shed() {
    // Little room in the matcher: a stream that did not wait would be shed. A quarter of it is left, for jobs that have answered but not yet
    // gone.
    let options = service::Options { items_in_flight_max: 8, ..service::Options::default() };
    let of_matcher = matcher::Options {
        extract: matcher::Extract { threads: 1, queue_max: 2, ..matcher::Extract::default() },
        search: matcher::Search { threads: 1 },
        hash_items_max: 16,
        ..matcher::Options::default()
    };
    let served = serve_with(options, of_matcher).await;
    served.list_of("known", &picture(1)).await;
    let (send, items) = mpsc::channel(1000);
    let mut results = served.client.match_stream(items).await;
    let small = encode(&image::GrayImage::from_fn(64, 64, |x, y| image::Luma([(x * y) as u8])));
    for n in 0..500 {
        let content = if n % 10 == 0 { Content::Image(small.clone()) } else { hashes(HashKind::Pdq, &pdq(n)) };
        send.send(Item { id: n.to_string(), reference: String::new(), content, lists: vec![], views: None }).await.unwrap();
    }
    drop(send);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(result) = results.recv().await {
        let result = result.unwrap();
        let verdict = result.verdict.unwrap();
        assert_ne!(verdict.reason, Some(Reason::Shed));
        assert!(seen.insert(result.id), "one result an item");
    }
    assert_eq!(seen.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_one_item_at_a_time_goes_on_to_its_end() {
    let served =
        serve_with(service::Options { items_in_flight_max: 1, ..service::Options::default() }, matcher::Options::default()).await;
    let (send, items) = mpsc::channel(100);
    let mut results = served.client.match_stream(items).await;
    for n in 0..50 {
        let content = hashes(HashKind::Pdq, &pdq(n));
        send.send(Item { id: n.to_string(), reference: String::new(), content, lists: vec![], views: None }).await.unwrap();
    }
    drop(send);
    let mut answered = 0;
    while let Some(result) = tokio::time::timeout(Duration::from_secs(60), results.recv()).await.expect("the stream hangs") {
        result.unwrap();
        answered += 1;
    }
    assert_eq!(answered, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_service_turns_single_requests_away() {
    let extract = matcher::Extract { queue_max: 0, ..matcher::Extract::default() };
    let of_matcher = matcher::Options { extract, hash_items_max: 0, ..matcher::Options::default() };
    let served = serve_with(service::Options::default(), of_matcher).await;
    let error = served.client.match_one(Content::Image(picture(1)), vec![]).await.unwrap_err();
    assert_eq!(refused(error).0, Code::ResourceExhausted);
    let error = served.client.match_one(hashes(HashKind::Pdq, &pdq(1)), vec![]).await.unwrap_err();
    assert_eq!(refused(error).0, Code::ResourceExhausted);
    let error = served.client.hash(picture(1)).await.unwrap_err();
    assert_eq!(refused(error).0, Code::ResourceExhausted);
}

/// The configuration said 256 and the service alone 64: what was tested was another service than the one that runs.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_may_have_as_many_hashes_as_the_configuration_says() {
    let max = Config::default().grpc.hashes_per_item_max as usize;
    let served = serve().await;
    let item = |n: usize| {
        let hash = GivenHash { hash: HashValue::from_hex(HashKind::Pdq, &pdq(1)).unwrap(), quality: None };
        served.client.match_one(Content::Hashes(vec![hash; n]), vec![])
    };
    item(max).await.unwrap();
    assert_eq!(refused(item(max + 1).await.unwrap_err()), (Code::InvalidArgument, "item.hashes.hashes".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_deadline_has_passed_is_not_begun() {
    let served = serve().await;
    let mut raw = served.matching().await;
    let item = v1::MatchItem { content: Some(v1::match_item::Content::Image(picture(1))), ..v1::MatchItem::default() };
    let mut request = tonic::Request::new(v1::MatchRequest { item: Some(item) });
    request.metadata_mut().insert("grpc-timeout", "1n".parse().unwrap());
    // The client's own timer may be the quicker one.
    let error: ClientError = raw.r#match(request).await.unwrap_err().into();
    assert_eq!(refused(error).0, Code::DeadlineExceeded);

    // A stream's deadline ends the stream, however quiet.
    let (_send, items) = mpsc::channel(1);
    let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(items));
    request.metadata_mut().insert("grpc-timeout", "150m".parse().unwrap());
    let mut replies = raw.match_stream(request).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_lives_the_same_over_the_wire_as_in_the_catalog() {
    let served = serve().await;
    let (client, catalog) = (&served.client, &served.catalog);
    let update = PolicyUpdate {
        radii: vec![
            RadiusRule { category: None, kind: HashKind::Pdq, radius: 20 },
            RadiusRule { category: Some("B".to_owned()), kind: HashKind::Phash64, radius: 3 },
        ],
        actions: vec![
            ActionRule { category: None, kind: None, action: Action::Block },
            ActionRule { category: None, kind: Some(HashKind::Dhash64), action: Action::Review },
        ],
        quality_min: Some(60),
        transforms: Some([Transform::Identity, Transform::FlipY].into_iter().collect()),
        views: Some(ViewKind::CLASSES.into_iter().collect()),
        view_radii: vec![ViewRule { kind: ViewKind::Turned, radius: 27 }],
        view_action_max: Some(Action::Observe),
        ..PolicyUpdate::default()
    };
    let made = client.create("a", Polarity::Positive, &update).await.unwrap();
    assert_eq!(made.list.policy.quality_min, 60);
    let same = async |name: &str| {
        let name = name.to_owned();
        let (over_wire, here) = (client.list(&name).await.unwrap(), catalog.list(&name).unwrap());
        assert_eq!(over_wire, here);
        here
    };
    let policy = same("a").await.list.policy;
    let of_views = [(ViewKind::Extended, 31), (ViewKind::Window, 31), (ViewKind::Turned, 27)];
    assert_eq!((policy.views, policy.view_action_max), (of_views.into(), Action::Observe));
    let whole_only = PolicyUpdate { views: Some(Default::default()), ..PolicyUpdate::default() };
    assert!(client.set("a", &whole_only).await.unwrap().list.policy.views.is_empty());
    same("a").await;
    let back = PolicyUpdate { radii_removed: vec![("B".to_owned(), HashKind::Phash64)], ..PolicyUpdate::default() };
    assert!(client.set("a", &back).await.unwrap().list.policy.category_radii.is_empty());
    same("a").await;
    assert_eq!(refused(client.set("a", &back).await.unwrap_err()).0, Code::InvalidArgument, "there is none any more");
    assert_eq!(refused(client.create("a", Polarity::Positive, &update).await.unwrap_err()).0, Code::AlreadyExists);
    let bad = client.create("../a", Polarity::Positive, &update).await.unwrap_err();
    assert_eq!(refused(bad), (Code::InvalidArgument, "name".to_owned()));

    let scope = PolicyUpdate { scope: Some(vec!["a".to_owned()]), ..PolicyUpdate::default() };
    client.create("harmless", Polarity::Negative, &scope).await.unwrap();
    assert_eq!(same("harmless").await.list.policy.scope, ["a"]);
    assert_eq!(client.lists().await.unwrap(), catalog.lists().unwrap());

    let entry = |id: Option<&str>, seed| NewEntry {
        id: id.map(str::to_owned),
        category: String::new(),
        hashes: vec![HashValue::from_hex(HashKind::Pdq, &pdq(seed)).unwrap()],
        ..NewEntry::default()
    };
    let report = client.add("a", vec![entry(Some("x"), 1), entry(None, 2)]).await.unwrap();
    assert_eq!((report.version, report.added, report.ids.len()), (VersionNo(1), 2, 2));
    assert_eq!(client.match_one(hashes(HashKind::Pdq, &pdq(1)), vec![]).await.unwrap().action, Some(Action::Block));
    let report = client.remove("a", vec!["x".to_owned(), "absent".to_owned()]).await.unwrap();
    assert_eq!((report.removed, report.missing), (1, vec!["absent".to_owned()]));
    assert_eq!(client.match_one(hashes(HashKind::Pdq, &pdq(1)), vec![]).await.unwrap().outcome, Outcome::NoMatch);
    same("a").await;

    // The lineage is the store's alone.
    let of_catalog =
        catalog.versions("a").unwrap().into_iter().map(|version| ListVersion { lineage: Lineage::default(), ..version });
    assert_eq!(client.versions("a").await.unwrap(), of_catalog.collect::<Vec<_>>());
    assert_eq!(client.diff("a", VersionNo(1), VersionNo(2)).await.unwrap().removed, 1);
    assert_eq!(client.roll_back("a").await.unwrap().list.active, VersionNo(1));
    assert_eq!(client.match_one(hashes(HashKind::Pdq, &pdq(1)), vec![]).await.unwrap().outcome, Outcome::Match);
    assert_eq!(client.activate("a", VersionNo(2)).await.unwrap().list.active, VersionNo(2));
    assert_eq!(refused(client.activate("a", VersionNo(9)).await.unwrap_err()).0, Code::NotFound);

    let lower = PolicyUpdate { quality_min: Some(10), pdq_dialect: Some(PdqDialect::Full), ..PolicyUpdate::default() };
    let set = client.set("a", &lower).await.unwrap().list.policy;
    assert_eq!((set.quality_min, set.pdq_dialect), (10, PdqDialect::Full));
    assert!(client.set_disabled("a", true).await.unwrap().list.disabled);
    let verdict = client.match_one(hashes(HashKind::Pdq, &pdq(2)), vec!["a".to_owned()]).await.unwrap();
    assert_eq!((verdict.outcome, verdict.reason), (Outcome::NotScanned, Some(Reason::NoList)));
    assert!(!client.set_disabled("a", false).await.unwrap().list.disabled);
    let in_scope = client.delete("a").await.unwrap_err();
    assert_eq!(refused(in_scope).0, Code::FailedPrecondition, "a negative list's scope names it");
    client.set("harmless", &PolicyUpdate { scope: Some(Vec::new()), ..PolicyUpdate::default() }).await.unwrap();
    client.delete("a").await.unwrap();
    assert_eq!(refused(client.list("a").await.unwrap_err()).0, Code::NotFound);
}

fn import_options(format: Option<Format>, mapping: Mapping) -> ImportOptions {
    ImportOptions {
        format,
        mapping,
        source: "list.txt".to_owned(),
        activate: true,
        dry_run: false,
        accept: true,
        ..ImportOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_reports_progress_and_bad_rows() {
    let served = serve().await;
    served.client.create("big", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    // Some 3 MB, so that it takes several chunks.
    let mut text: String = (0..50_000).map(|n| pdq(n) + "\n").collect();
    text.push_str("not a hash\n");
    let mut phases = Vec::new();
    let size = text.len() as u64;
    let options = import_options(None, Mapping::default());
    let file = std::io::Cursor::new(text.into_bytes());
    let report = served.client.import("big", &options, file, &mut |p| phases.push(p.phase)).await.unwrap();
    assert_eq!((report.rows, report.rows_bad, report.entries, report.activated), (50_001, 1, 50_000, true));
    assert_eq!((report.bad.len(), report.bad[0].line, report.bytes), (1, 50_001, size));
    assert!(phases.contains(&Phase::Reading) && phases.contains(&Phase::Writing), "{phases:?}");
    let verdict = served.client.match_one(hashes(HashKind::Pdq, &pdq(49_999)), vec![]).await.unwrap();
    assert_eq!(verdict.outcome, Outcome::Match);

    // A mapping arrives as it was meant.
    served.client.create("csv", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let mapping = Mapping {
        header: Header::Present,
        delimiter: Some(';'),
        hashes: vec![(HashKind::Md5, Column::Name("sum".to_owned()))],
        id: Some(Column::Number(2)),
        category: Some(Column::Name("kind".to_owned())),
        ..Mapping::default()
    };
    let file = std::io::Cursor::new(format!("sum;name;kind\n{};n1;B\n", "ab".repeat(16)).into_bytes());
    let options = import_options(Some(Format::Csv), mapping);
    let report = served.client.import("csv", &options, file, &mut |_| ()).await.unwrap();
    assert_eq!((report.rows, report.rows_bad, report.added), (1, 0, 1), "{:?}", report.bad);
    let verdict = served.client.match_one(hashes(HashKind::Md5, &"ab".repeat(16)), vec![]).await.unwrap();
    assert_eq!((verdict.matches[0].entry_id.as_str(), verdict.matches[0].category.as_str()), ("n1", "B"));

    // What holds a version back, and what was made of the file, arrives too.
    let rows = |from: u64, n: u64| (from..from + n).map(|n| format!("{n};{};x\n", pdq(n))).collect::<String>();
    served.client.create("much", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let options = ImportOptions { accept: false, ..import_options(None, Mapping::default()) };
    let import = async |text: String, options: &ImportOptions| {
        let file = std::io::Cursor::new(format!("id;pdq;note\n{text}").into_bytes());
        served.client.import("much", options, file, &mut |_| ()).await.unwrap()
    };
    import(rows(1, 300), &options).await;
    let report = import(rows(200, 300) + "200;" + &pdq(999) + ";\n201;" + &pdq(999)[..9] + ";\n", &options).await;
    assert_eq!((report.activated, report.held.clone()), (false, vec![Hold::BadRows, Hold::LargeChange]));
    assert_eq!((report.rows_merged, report.rows_bad_in_part, report.rows_unsought), (1, 0, 0));
    let columns: Vec<_> = report.columns.iter().map(|c| (c.name.as_str(), c.used_as)).collect();
    assert_eq!(columns, [("id", Some("id")), ("pdq", Some("pdq")), ("note", Some("note"))]);
    let report = import(rows(200, 300), &options).await;
    assert_eq!((report.activated, report.held), (false, vec![Hold::LargeChange]));
    let report = import(rows(200, 300), &ImportOptions { accept: true, ..options }).await;
    assert_eq!((report.activated, report.held), (true, vec![]));

    // So do the warnings about a policy.
    let strange = RadiusRule { category: Some("B9".to_owned()), kind: HashKind::Pdq, radius: 60 };
    let info = served.client.set("much", &PolicyUpdate { radii: vec![strange], ..PolicyUpdate::default() }).await.unwrap();
    assert!(info.warnings[0].contains("radius 60 for pdq of category \"B9\" is wide"), "{:?}", info.warnings);
    assert_eq!(info.warnings[1], "no entry of list \"much\" has the category \"B9\"");
    assert_eq!(served.client.set_disabled("much", false).await.unwrap().warnings, [""; 0]);

    let options = import_options(None, Mapping::default());
    let nothing = served.client.import("csv", &options, std::io::empty(), &mut |_| ()).await.unwrap_err();
    let ClientError::Refused { code, reason, .. } = nothing else { panic!("{nothing}") };
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "BAD_FILE"));
    let absent = served.client.import("absent", &options, std::io::empty(), &mut |_| ()).await.unwrap_err();
    assert_eq!(refused(absent).0, Code::NotFound);
}

/// A file whose disk fails in the middle.
struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::other("the disk failed"));
        }
        self.0 -= 1;
        let row = pdq(self.0 as u64) + "\n";
        let n = row.len().min(out.len());
        out[..n].copy_from_slice(&row.as_bytes()[..n]);
        Ok(n)
    }
}

/// An import that breaks off must never pass for a shorter list: entries that were known would stop matching.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_changes_nothing() {
    let served = serve().await;
    served.list_of("known", &picture(1)).await;
    let before = served.catalog.list("known").unwrap();
    let options = import_options(Some(Format::PdqText), Mapping::default());
    let error = served.client.import("known", &options, Failing(20_000), &mut |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "reading failed: the disk failed");

    use v1::import_entries_request::Part;
    let header = || Part::Header(v1::ImportHeader { list: "known".to_owned(), activate: true, ..v1::ImportHeader::default() });
    let chunk = || Part::Chunk((pdq(8) + "\n").repeat(1000).into_bytes());
    let ended = async |parts: Vec<Part>| {
        let messages: Vec<_> = parts.into_iter().map(|part| v1::ImportEntriesRequest { part: Some(part) }).collect();
        let mut raw = HashListServiceClient::new(served.channel().await);
        let mut replies = match raw.import_entries(tokio_stream::iter(messages)).await {
            Err(status) => return refused(status.into()),
            Ok(replies) => replies.into_inner(),
        };
        loop {
            match replies.message().await {
                Ok(Some(reply)) => assert!(!matches!(reply.part, Some(v1::import_entries_response::Part::Report(_)))),
                Ok(None) => panic!("the import went through"),
                Err(status) => return refused(status.into()),
            }
        }
    };
    let check = async |parts: Vec<Part>, code: Code, field: &str| {
        let mut got = ended(parts.clone()).await;
        while got.0 == Code::Aborted {
            // The import before has not let go yet.
            got = ended(parts.clone()).await;
        }
        assert_eq!(got, (code, field.to_owned()));
    };
    check(vec![header(), chunk(), chunk()], Code::InvalidArgument, "end").await;
    check(vec![header(), chunk(), header()], Code::InvalidArgument, "part").await;
    check(vec![chunk()], Code::InvalidArgument, "header").await;

    // The connection breaks.
    let (send, parts) = mpsc::channel(4);
    let channel = served.channel().await;
    let mut raw = HashListServiceClient::new(channel);
    for part in [header(), chunk()] {
        send.send(v1::ImportEntriesRequest { part: Some(part) }).await.unwrap();
    }
    let replies = raw.import_entries(tokio_stream::wrappers::ReceiverStream::new(parts)).await.unwrap();
    drop((replies, raw, send));

    // A whole one goes through afterwards, once the broken one has let go of the list.
    let row = || std::io::Cursor::new((pdq(9) + "\n").into_bytes());
    let report = loop {
        let list = served.catalog.list("known").unwrap();
        assert_eq!((list.list.active, list.rows), (before.list.active, before.rows));
        match served.client.import("known", &options, row(), &mut |_| ()).await {
            Ok(report) => break report,
            Err(error) => assert_eq!(refused(error).0, Code::Aborted),
        }
    };
    assert_eq!((report.added, report.gone, report.kept), (1, 0, 1), "the entry that was added by hand stays");
}

/// A file that takes its time: two seconds in all.
struct Slow(usize);

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let Some(left) = self.0.checked_sub(1) else { return Ok(0) };
        self.0 = left;
        std::thread::sleep(Duration::from_millis(20));
        let rows = (pdq(left as u64) + "\n").repeat(out.len() / 65);
        out[..rows.len()].copy_from_slice(rows.as_bytes());
        Ok(rows.len())
    }
}

/// The caller gives up (Ctrl-C) while the file is still being read: the reader must not go on to the end behind its back.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_the_caller_gives_up_changes_nothing() {
    let served = serve().await;
    served.list_of("known", &picture(1)).await;
    let options = import_options(Some(Format::PdqText), Mapping::default());
    let mut hear = |_| ();
    let import = served.client.import("known", &options, Slow(100), &mut hear);
    let given_up = tokio::time::timeout(Duration::from_millis(300), import).await;
    assert!(given_up.is_err(), "the file was not slow");
    let row = || std::io::Cursor::new((pdq(9) + "\n").into_bytes());
    let report = loop {
        match served.client.import("known", &options, row(), &mut |_| ()).await {
            Ok(report) => break report,
            Err(error) => assert_eq!(refused(error).0, Code::Aborted),
        }
    };
    assert_eq!((report.version, report.added, report.kept, report.entries), (Some(VersionNo(2)), 1, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_does_not_hold_the_list_for_ever() {
    let options = service::Options { import_idle_ms_max: 50, ..service::Options::default() };
    let served = serve_with(options, matcher::Options::default()).await;
    served.client.create("a", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let (send, parts) = mpsc::channel(4);
    let part = v1::import_entries_request::Part::Header(v1::ImportHeader { list: "a".to_owned(), ..v1::ImportHeader::default() });
    send.send(v1::ImportEntriesRequest { part: Some(part) }).await.unwrap();
    let mut raw = HashListServiceClient::new(served.channel().await);
    let mut replies = raw.import_entries(tokio_stream::wrappers::ReceiverStream::new(parts)).await.unwrap().into_inner();
    let status = loop {
        if let Err(status) = replies.message().await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(served.catalog.list("a").unwrap().rows, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_answers_what_was_read_and_ends() {
    let served = serve().await;
    served.list_of("known", &picture(1)).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(served.channel().await);
    let service = "hashwarden.v1.MatchService".to_owned();
    let mut watch = health.watch(tonic_health::pb::HealthCheckRequest { service }).await.unwrap().into_inner();
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving as i32;
    assert_eq!(watch.message().await.unwrap().unwrap().status, serving);

    let (send, items) = mpsc::channel(4);
    let mut results = served.client.match_stream(items).await;
    let item = |id: &str| Item {
        id: id.to_owned(),
        reference: String::new(),
        content: Content::Image(picture(1)),
        lists: vec![],
        views: None,
    };
    send.send(item("1")).await.unwrap();
    assert_eq!(results.recv().await.unwrap().unwrap().id, "1");
    served.stop.send(()).unwrap();
    assert_ne!(watch.message().await.unwrap().unwrap().status, serving);
    // The stream is open and quiet: it must not hold the service up.
    let error = results.recv().await.unwrap().unwrap_err();
    assert_eq!(refused(error).0, Code::Unavailable);
    let ended = tokio::time::timeout(Duration::from_secs(60), served.ended).await;
    ended.expect("the service drained").unwrap().unwrap();
    let error = Client::connect(&served.endpoint, Duration::from_secs(5)).await.unwrap_err();
    assert!(error.to_string().contains(&served.endpoint), "{error}");
}

/// Two lists that have so many pairs that nobody would wait for their comparison, and least of all a service that is to stop.
#[tokio::test(flavor = "multi_thread")]
async fn draining_ends_a_comparison_of_lists() {
    let served = serve_with(service::Options { drain_s: 600, ..Default::default() }, matcher::Options::default()).await;
    served.client.create("dense", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    let entry = |n: u64| NewEntry {
        id: None,
        category: String::new(),
        hashes: vec![HashValue::Pdq(Pdq([0, 0, 0, n]))],
        ..NewEntry::default()
    };
    served.catalog.add(&Caller("test".to_owned()), "dense", (1..40_001).map(entry).collect()).unwrap();
    let client = served.client.clone();
    let overlap = tokio::spawn(async move { client.overlap("dense", "dense", HashKind::Pdq, Some(31)).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    served.stop.send(()).unwrap();
    assert_eq!(refused(overlap.await.unwrap().unwrap_err()).0, Code::Unavailable);
    let ended = tokio::time::timeout(Duration::from_secs(60), served.ended).await;
    ended.expect("the service drained").unwrap().unwrap();
}

/// A hundred frames are one item or some, and must not hold up who asks for one.
#[test]
fn many_hashes_are_a_batch_in_however_many_items() {
    let extractor = Arc::new(InProcess::new(Limits::default(), Instant::now));
    let matcher = Matcher::new(Arc::new(Published::default()), extractor, matcher::Options::default()).unwrap();
    for (items, hashes, pool) in [(1, 1, "quick"), (64, 1, "quick"), (2, 32, "quick"), (1, 65, "search"), (64, 2, "search")] {
        let given = || GivenHash { hash: HashValue::Pdq(Pdq([0; 4])), quality: None };
        let job = || matcher::Job {
            content: Content::Hashes((0..hashes).map(|_| given()).collect()),
            lists: Asked::All,
            views: None,
            until: Instant::now() + Duration::from_secs(60),
            caller: Caller("test".to_owned()),
        };
        let (send, thread) = std::sync::mpsc::channel();
        matcher.submit_hashes((0..items).map(|_| job()).collect(), move |answers| {
            assert_eq!(answers.len(), items);
            send.send(std::thread::current().name().unwrap().to_owned()).unwrap();
        });
        let thread = thread.recv().unwrap();
        assert!(thread.starts_with(pool), "{items} items of {hashes} hashes: {thread}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_none_is_said_in_words() {
    let check = async |endpoint: &str, words: &str| {
        let error = Client::connect(endpoint, Duration::from_secs(5)).await.unwrap_err().to_string();
        assert!(error.contains(endpoint) && error.contains(words), "{error}");
    };
    check("127.0.0.1:50051", "is not an endpoint").await;
    check("http://", "is not an endpoint").await;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    check(&format!("http://127.0.0.1:{port}"), "no server answers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_works_unaided() {
    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        println!("skipped: HASHWARDEN_TEST_PYTHON names no interpreter");
        return;
    };
    let options = service::Options { image_bytes_max: 256 * 1024, ..service::Options::default() };
    let served = serve_with(options, matcher::Options::default()).await;
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("known.png"), picture(1)).unwrap();
    std::fs::write(files.path().join("stranger.png"), picture(2)).unwrap();
    let (drawn, crop) = picture_and_crop();
    std::fs::write(files.path().join("drawn.png"), drawn).unwrap();
    std::fs::write(files.path().join("crop.png"), crop).unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = std::process::Command::new(python);
    command.arg(format!("{root}/tests/grpc_client.py")).arg(served.endpoint.trim_start_matches("http://"));
    command.arg(format!("{root}/proto")).arg(files.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let checks = said.lines().find_map(|line| line.strip_prefix("checks passed: ")?.parse::<u32>().ok());
    assert!(checks.is_some_and(|n| n >= 50), "a script that checks nothing must not pass: {said}");
    println!("{said}");
}
