//! Is each caller let do what its token says, and nothing else? Over a real connection, with the tokens of a real file.

use super::*;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use hashwarden::access::table::{Need, TABLE};
use hashwarden::access::tokens::{self, Shown, Time, Wanted};
use hashwarden::access::{Rights, Role};
use hashwarden::client::{Credentials, Token};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};
use tonic_types::StatusExt;
use v1::match_item::Content as Given;

/// A service that asks for tokens, and one token for everything.
struct Guarded {
    served: Served,
    gate: Arc<Gate>,
    file: PathBuf,
    admin: String,
    _folder: tempfile::TempDir,
}

fn rights(roles: &[Role]) -> Rights {
    Rights { roles: roles.iter().copied().collect(), lists: None, sees: false, brings_hashes: false }
}

fn only(lists: &[&str]) -> Option<Arc<BTreeSet<String>>> {
    Some(Arc::new(lists.iter().map(|list| (*list).to_owned()).collect()))
}

fn create(file: &Path, name: &str, rights: Rights, expires: Option<Time>) -> String {
    tokens::create(file, Wanted { name: name.to_owned(), rights, items_per_s: None, expires }).unwrap()
}

async fn guarded_with(options: service::Options) -> Guarded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let admin = create(&file, "everything", Rights::all(), None);
    let gate = Gate::of_tokens(file.clone()).unwrap();
    let served = serve_behind(gate.clone(), catalog::Options::default(), options, matcher::Options::default()).await;
    let client = client(&served.endpoint, &admin).await;
    Guarded { served: Served { client, ..served }, gate, file, admin, _folder: folder }
}

async fn guarded() -> Guarded {
    guarded_with(service::Options::default()).await
}

impl Guarded {
    /// A new token that the service knows.
    fn token(&self, name: &str, rights: Rights) -> String {
        let token = create(&self.file, name, rights, None);
        self.gate.refresh();
        token
    }
}

async fn client(endpoint: &str, token: &str) -> Client {
    let credentials = Credentials { token: Some(Token::parse(token).unwrap()), ..Credentials::default() };
    Client::connect_with(endpoint, Duration::from_secs(30), credentials).await.unwrap()
}

fn header(value: &str) -> MetadataValue<Ascii> {
    value.parse().unwrap()
}

/// What a call with one message without content comes to: as a call with one answer, or the first of several.
async fn call(channel: &Channel, path: &'static str, authorization: Option<&str>) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::once(()));
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", header(value));
    }
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    let mut replies = grpc.streaming(request, path, codec).await?.into_inner();
    replies.message().await.map(drop)
}

/// Every call there is, by every role, and by those who have no token that counts: all that the table does not say is refused, and counted.
#[tokio::test]
async fn every_call_is_made_by_the_roles_of_the_table_and_by_no_other() {
    let guarded = guarded().await;
    let channel = guarded.served.channel().await;
    let of_role = Role::ALL.map(|role| (role, format!("Bearer {}", guarded.token(role.name(), rights(&[role])))));
    let revoked = guarded.token("revoked", Rights::all());
    tokens::revoke(&guarded.file, Shown::Token, "revoked").unwrap();
    let expired = create(&guarded.file, "expired", Rights::all(), Some(Time(Time::now().0 + 20)));
    guarded.gate.refresh();
    tokio::time::sleep(Duration::from_millis(30)).await;
    let wrong = ["".to_owned(), "Basic eDp5".to_owned(), format!("Bearer hashwarden_{}", "0".repeat(64))];
    let wrong = wrong.into_iter().chain([format!("Bearer {revoked}"), format!("Bearer {expired}")]);
    let wrong: Vec<_> = [None].into_iter().chain(wrong.map(Some)).collect();

    for (path, need) in TABLE {
        for (role, authorization) in &of_role {
            let may = match need {
                Need::Nothing | Need::Token => true,
                Need::OneOf(roles) => roles.contains(role),
                // These tokens have roles alone.
                Need::Seeing(_) | Need::Knowing(_) => false,
            };
            let done = call(&channel, path, Some(authorization)).await;
            let code = done.as_ref().map_or_else(Status::code, |()| Code::Ok);
            assert_ne!(code, Code::Unauthenticated, "{path} by {role}");
            assert_eq!(code != Code::PermissionDenied, may, "{path} by {role}: {done:?}");
            if !may {
                let said = done.unwrap_err();
                let (words, reason) = match need {
                    Need::Knowing(roles) if roles.contains(role) => ("--sees and --brings-hashes", "RIGHTS"),
                    Need::Seeing(roles) if roles.contains(role) => ("created with --sees", "RIGHTS"),
                    _ => ("needs the role", "ROLE"),
                };
                assert!(said.message().contains(words), "{said}");
                assert_eq!(said.get_details_error_info().unwrap().reason, reason);
            }
        }
        for authorization in &wrong {
            let done = call(&channel, path, authorization.as_deref()).await;
            let code = done.as_ref().map_or_else(Status::code, |()| Code::Ok);
            assert_eq!(code == Code::Unauthenticated, *need != Need::Nothing, "{path} by {authorization:?}: {done:?}");
        }
    }
}

/// Refused is refused: nothing of it was done.
#[tokio::test]
async fn a_call_that_is_refused_does_nothing() {
    let guarded = guarded().await;
    guarded.served.list_of("known", &picture(1)).await;
    let before = format!("{:?}", guarded.served.client.lists().await.unwrap());
    let matcher = client(&guarded.served.endpoint, &guarded.token("m", rights(&[Role::Matcher]))).await;
    let stranger = Client::connect(&guarded.served.endpoint, Duration::from_secs(30)).await.unwrap();
    let entry = || NewEntry {
        id: Some("e2".to_owned()),
        category: String::new(),
        hashes: vec![HashValue::from_hex(HashKind::Md5, &"ab".repeat(16)).unwrap()],
        ..NewEntry::default()
    };
    for (client, code) in [(&matcher, Code::PermissionDenied), (&stranger, Code::Unauthenticated)] {
        assert_eq!(refused(client.delete("known").await.unwrap_err()).0, code);
        assert_eq!(refused(client.set_disabled("known", true).await.unwrap_err()).0, code);
        assert_eq!(refused(client.add("known", vec![entry()]).await.unwrap_err()).0, code);
        assert_eq!(refused(client.remove("known", vec!["e1".to_owned()]).await.unwrap_err()).0, code);
        assert_eq!(refused(client.set_mark("known", "e1", Some(mark())).await.unwrap_err()).0, code);
        assert_eq!(refused(client.create("other", Polarity::Positive, &PolicyUpdate::default()).await.unwrap_err()).0, code);
        let file = std::io::Cursor::new(format!("{}\n", "ab".repeat(32)).into_bytes());
        let options = import_options(None, Mapping::default());
        assert_eq!(refused(client.import("known", &options, file, &mut |_| {}).await.unwrap_err()).0, code);
    }
    assert_eq!(format!("{:?}", guarded.served.client.lists().await.unwrap()), before);
}

/// The code, words and details of a refusal, with a list's name taken out of them.
fn anonymous(error: &ClientError, name: &str) -> String {
    format!("{error:?}").replace(name, "NAME")
}

#[tokio::test]
async fn a_list_that_is_not_the_callers_is_as_one_that_is_not_there() {
    let guarded = guarded().await;
    let all = &guarded.served.client;
    guarded.served.list_of("known", &picture(1)).await;
    guarded.served.list_of("secret", &picture(2)).await;
    let limited = Rights { lists: only(&["known", "coming"]), ..Rights::all() };
    let some = client(&guarded.served.endpoint, &guarded.token("some", limited)).await;
    assert_eq!(some.lists().await.unwrap().iter().map(|info| info.list.name.as_str()).collect::<Vec<_>>(), ["known"]);
    assert_eq!(all.lists().await.unwrap().len(), 2);

    // Each call on a list that is there, and on one that is not.
    let entry = || NewEntry {
        id: Some("x".to_owned()),
        category: String::new(),
        hashes: vec![HashValue::from_hex(HashKind::Md5, &"ab".repeat(16)).unwrap()],
        ..NewEntry::default()
    };
    let of = async |name: &str| {
        let mut said = Vec::new();
        let scope = PolicyUpdate { scope: Some(vec![name.to_owned()]), ..PolicyUpdate::default() };
        let radius = RadiusRule { category: None, kind: HashKind::Pdq, radius: 30 };
        let update = PolicyUpdate { radii: vec![radius], ..PolicyUpdate::default() };
        said.push(some.list(name).await.map(drop).unwrap_err());
        said.push(some.set(name, &update).await.map(drop).unwrap_err());
        said.push(some.set("known", &scope).await.map(drop).unwrap_err());
        said.push(some.create("coming", Polarity::Negative, &scope).await.map(drop).unwrap_err());
        said.push(some.set_disabled(name, true).await.map(drop).unwrap_err());
        said.push(some.delete(name).await.unwrap_err());
        said.push(some.add(name, vec![entry()]).await.map(drop).unwrap_err());
        said.push(some.remove(name, vec!["e1".to_owned()]).await.map(drop).unwrap_err());
        said.push(some.entry(name, "e1", true).await.map(drop).unwrap_err());
        said.push(some.find_entries(name, &EntryQuery::Marked, None, 9).await.map(drop).unwrap_err());
        said.push(some.set_mark(name, "e1", Some(mark())).await.unwrap_err());
        said.push(some.versions(name).await.map(drop).unwrap_err());
        said.push(some.diff(name, VersionNo(0), VersionNo(1)).await.map(drop).unwrap_err());
        said.push(some.overlap(name, "known", HashKind::Pdq, None).await.map(drop).unwrap_err());
        said.push(some.overlap("known", name, HashKind::Pdq, None).await.map(drop).unwrap_err());
        said.push(some.activate(name, VersionNo(1)).await.map(drop).unwrap_err());
        said.push(some.roll_back(name).await.map(drop).unwrap_err());
        let file = std::io::Cursor::new(format!("{}\n", "ab".repeat(32)).into_bytes());
        said.push(some.import(name, &import_options(None, Mapping::default()), file, &mut |_| {}).await.map(drop).unwrap_err());
        let lists = vec!["known".to_owned(), name.to_owned()];
        said.push(some.match_one(Content::Image(picture(1)), lists).await.map(drop).unwrap_err());
        said
    };
    let (secret, absent) = (of("secret").await, of("absent").await);
    for (secret, absent) in secret.iter().zip(&absent) {
        assert_eq!(anonymous(secret, "secret"), anonymous(absent, "absent"));
        assert!(matches!(secret, ClientError::Refused { code: Code::NotFound, .. }), "{secret:?}");
    }
    assert_eq!(all.lists().await.unwrap().len(), 2, "nothing was done");
    assert_eq!(refused(some.list("not a name").await.unwrap_err()).0, Code::InvalidArgument);

    // An item that names no list is looked up in the caller's, of which one is not there yet.
    let verdict = some.match_one(Content::Image(picture(2)), vec![]).await.unwrap();
    assert_eq!((verdict.outcome, verdict.left_out.len()), (Outcome::NoMatch, 0), "{verdict:?}");
    assert_eq!(verdict.lists, [("known".to_owned(), VersionNo(1))]);
    assert_eq!(some.match_one(Content::Image(picture(1)), vec![]).await.unwrap().outcome, Outcome::Match);
    assert_eq!(all.match_one(Content::Image(picture(2)), vec![]).await.unwrap().outcome, Outcome::Match);
}

/// An empty scope is of all lists, and a list of another name would be nobody's.
#[tokio::test]
async fn a_token_for_some_lists_reaches_no_further_by_making_others() {
    let guarded = guarded().await;
    let limited = Rights { lists: only(&["known", "harmless"]), ..Rights::all() };
    let some = client(&guarded.served.endpoint, &guarded.token("some", limited)).await;
    let none = PolicyUpdate::default();
    let denied = |error: ClientError| assert_eq!(refused(error).0, Code::PermissionDenied);
    denied(some.create("other", Polarity::Positive, &none).await.unwrap_err());
    denied(some.create("harmless", Polarity::Negative, &none).await.unwrap_err());
    some.create("known", Polarity::Positive, &none).await.unwrap();
    let scope = |names: &[&str]| PolicyUpdate {
        scope: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..PolicyUpdate::default()
    };
    some.create("harmless", Polarity::Negative, &scope(&["known"])).await.unwrap();
    denied(some.set("harmless", &scope(&[])).await.unwrap_err());

    // Others' names in its scope are not told, but that there are some.
    guarded.served.client.create("secret", Polarity::Positive, &none).await.unwrap();
    guarded.served.client.set("harmless", &scope(&["known", "secret"])).await.unwrap();
    let shown = some.list("harmless").await.unwrap();
    assert_eq!((shown.list.policy.scope, shown.warnings.len()), (vec!["known".to_owned()], 1));
    let kept = some.delete("known").await.unwrap_err();
    assert!(matches!(kept, ClientError::Refused { code: Code::FailedPrecondition, .. }), "{kept:?}");
    assert!(!kept.to_string().contains("harmless"), "{kept}");
}

/// The words of a refusal.
fn denied(error: ClientError) -> String {
    assert!(matches!(error, ClientError::Refused { code: Code::PermissionDenied, .. }), "{error:?}");
    error.to_string()
}

fn mark() -> Mark {
    Mark { contents: Vec::new(), kind: MarkKind::Disabled, until_ms: None, note: String::new() }
}

/// An entry's hashes are for list admins who ask for them; looking for entries by hashes for those who may know them.
#[tokio::test]
async fn an_entry_shows_its_hashes_to_list_admins_alone() {
    let guarded = guarded().await;
    let hashes = guarded.served.list_of("known", &picture(1)).await;
    let hex = hashes[0].hex();
    let details = Details { note: format!("like {hex}"), tags: vec!["t".to_owned()], ..Details::default() };
    let entry = NewEntry { id: Some("e1".to_owned()), hashes: hashes.clone(), details, ..NewEntry::default() };
    guarded.served.client.add("known", vec![entry]).await.unwrap();
    let (admin, reviewer) = (rights(&[Role::ListAdmin]), rights(&[Role::Reviewer]));
    let admin = client(&guarded.served.endpoint, &guarded.token("admin", admin)).await;
    let both = Rights { sees: true, brings_hashes: true, ..reviewer.clone() };
    let finder = client(&guarded.served.endpoint, &guarded.token("finder", both)).await;
    let reviewer = client(&guarded.served.endpoint, &guarded.token("reviewer", reviewer)).await;
    let shown = admin.entry("known", "e1", true).await.unwrap();
    assert_eq!((shown.hashes.len(), shown.details.note), (hashes.len(), format!("like {hex}")));
    for client in [&admin, &reviewer] {
        let shown = client.entry("known", "e1", false).await.unwrap();
        assert!(shown.hashes.is_empty() && !format!("{:?} {}", shown, shown.details.note).contains(&hex), "{shown:?}");
        assert_eq!(
            (shown.kinds.values().sum::<u64>(), shown.sources, shown.details.tags.len()),
            (hashes.len() as u64, vec!["local".to_owned()], 1)
        );
    }
    let said = denied(reviewer.entry("known", "e1", true).await.unwrap_err());
    assert!(said.contains("for list admins"), "{said}");
    let query = EntryQuery::Hash(hashes[0].clone(), 0);
    for client in [&admin, &reviewer] {
        let said = denied(client.find_entries("known", &query, None, 9).await.unwrap_err());
        assert!(said.contains("--sees and --brings-hashes"), "{said}");
    }
    let found = finder.find_entries("known", &query, None, 9).await.unwrap();
    assert_eq!((found.entries.len(), found.entries[0].1, found.more_after), (1, 0, None));
    assert!(found.entries[0].0.hashes.is_empty());

    // Marks are for list admins, and hold at once.
    denied(finder.set_mark("known", "e1", Some(mark())).await.unwrap_err());
    admin
        .set_mark("known", "e1", Some(Mark { until_ms: Some(4_000_000_000_000), note: "why".to_owned(), ..mark() }))
        .await
        .unwrap();
    let all = &guarded.served.client;
    assert_eq!(all.match_one(Content::Image(picture(1)), vec![]).await.unwrap().outcome, Outcome::NoMatch);
    let marked = reviewer.entry("known", "e1", false).await.unwrap().mark.unwrap();
    assert_eq!(
        (marked.mark.until_ms, marked.mark.note.as_str(), marked.by.as_str()),
        (Some(4_000_000_000_000), "why", "token:admin")
    );
    assert!(marked.time_ms > 0);
    admin.set_mark("known", "e1", None).await.unwrap();
    assert_eq!(all.match_one(Content::Image(picture(1)), vec![]).await.unwrap().outcome, Outcome::Match);
    let missing = admin.entry("known", "e2", false).await.unwrap_err();
    assert!(matches!(missing, ClientError::Refused { code: Code::NotFound, .. }), "{missing:?}");
}

#[tokio::test]
async fn what_entries_are_asked_is_checked_by_field() {
    let guarded = guarded().await;
    guarded.served.list_of("known", &picture(1)).await;
    let lists = guarded.served.channel().await;
    let value = header(&format!("Bearer {}", guarded.admin));
    let show = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", value.clone());
        Ok(request)
    };
    let mut lists = v1::hash_list_service_client::HashListServiceClient::with_interceptor(lists, show);
    let find = |query, radius, token: &str| v1::FindEntriesRequest {
        list: "known".to_owned(),
        query,
        radius,
        page_size: 0,
        page_token: token.to_owned(),
    };
    use v1::find_entries_request::Query;
    let md5 = || Some(Query::Hash(v1::Hash { kind: v1::HashKind::Md5 as i32, hex: "ab".repeat(16), quality: None }));
    for (request, field) in [
        (find(None, 0, ""), "query"),
        (find(Some(Query::Marked(false)), 0, ""), "marked"),
        (find(Some(Query::IdPrefix("x".repeat(257))), 0, ""), "id_prefix"),
        (find(Some(Query::IdPrefix(String::new())), 1, ""), "radius"),
        (find(md5(), 70_000, ""), "radius"),
        (find(md5(), 0, "x"), "page_token"),
        (find(Some(Query::Hash(v1::Hash { kind: 0, hex: "ab".to_owned(), quality: None })), 0, ""), "hash.kind"),
    ] {
        let error = lists.find_entries(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let details = error.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations[0].field, field);
    }
    let marked =
        |mark: v1::EntryMark| v1::SetEntryMarkRequest { list: "known".to_owned(), entry_id: "e1".to_owned(), mark: Some(mark) };
    let time = prost_types::Timestamp { seconds: -1, nanos: 0 };
    for (mark, field) in [
        (v1::EntryMark::default(), "mark.kind"),
        (v1::EntryMark { kind: 2, note: "x".repeat(1_025), ..v1::EntryMark::default() }, "mark.note"),
        (v1::EntryMark { kind: 2, expire_time: Some(time), ..v1::EntryMark::default() }, "mark.expire_time"),
    ] {
        let error = lists.set_entry_mark(marked(mark)).await.unwrap_err();
        assert_eq!(error.get_details_bad_request().unwrap().field_violations[0].field, field, "{error}");
    }
    let entry = |status, details| v1::AddEntriesRequest {
        list: "known".to_owned(),
        entries: vec![v1::NewEntry {
            hashes: vec![v1::Hash { kind: v1::HashKind::Md5 as i32, hex: "ab".repeat(16), quality: None }],
            status,
            details: Some(Box::new(details)),
            ..v1::NewEntry::default()
        }],
    };
    for (request, field) in [
        (entry(9, v1::EntryDetails::default()), "entries[0].status"),
        (entry(0, v1::EntryDetails { quality: Some(101), ..v1::EntryDetails::default() }), "entries[0].details.quality"),
        (entry(0, v1::EntryDetails { note: "x".repeat(20_000), ..v1::EntryDetails::default() }), "entries[0].details"),
    ] {
        let error = lists.add_entries(request).await.unwrap_err();
        assert_eq!(error.get_details_bad_request().unwrap().field_violations[0].field, field, "{error}");
    }
}

/// Who may add hashes to one list and compare it with another found out any hash of the other, in a dozen calls.
#[tokio::test]
async fn lists_are_compared_by_those_alone_who_may_know_their_hashes() {
    let guarded = guarded().await;
    guarded.served.list_of("known", &picture(1)).await;
    guarded.served.list_of("other", &picture(2)).await;
    let admin = rights(&[Role::ListAdmin]);
    let sees = Rights { sees: true, ..admin.clone() };
    let brings = Rights { brings_hashes: true, ..rights(&[Role::ListAdmin, Role::Matcher]) };
    for (name, rights) in [("admin", admin), ("sees", sees.clone()), ("brings", brings)] {
        let by = client(&guarded.served.endpoint, &guarded.token(name, rights)).await;
        let said = denied(by.overlap("known", "other", HashKind::Pdq, None).await.unwrap_err());
        assert!(said.contains("--sees and --brings-hashes"), "{said}");
    }
    let both = guarded.token("both", Rights { brings_hashes: true, ..sees });
    let both = client(&guarded.served.endpoint, &both).await;
    assert_eq!(both.overlap("known", "other", HashKind::Pdq, None).await.unwrap().entries, 1);
}

/// What suppresses matches of lists that a token is not for is not changed with it: a hash added there hides what others list.
#[tokio::test]
async fn a_negative_list_is_changed_by_those_alone_who_have_the_lists_in_its_scope() {
    let guarded = guarded().await;
    let all = &guarded.served.client;
    let none = PolicyUpdate::default();
    let scope = |names: &[&str]| PolicyUpdate {
        scope: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..PolicyUpdate::default()
    };
    for name in ["known", "secret", "hidden"] {
        all.create(name, Polarity::Positive, &none).await.unwrap();
    }
    for (name, scope) in [("mine", scope(&["known"])), ("beyond", scope(&["secret", "hidden", "known"])), ("of-all", none)] {
        all.create(name, Polarity::Negative, &scope).await.unwrap();
        for md5 in ["cd", "ef"] {
            let hashes = vec![HashValue::from_hex(HashKind::Md5, &md5.repeat(16)).unwrap()];
            all.add(name, vec![NewEntry { id: Some(md5.to_owned()), category: String::new(), hashes, ..NewEntry::default() }])
                .await
                .unwrap();
        }
    }
    let limited = Rights { lists: only(&["known", "mine", "beyond", "of-all"]), ..Rights::all() };
    let some = client(&guarded.served.endpoint, &guarded.token("some", limited)).await;
    let before = format!("{:?}", all.lists().await.unwrap());
    let entry = || NewEntry {
        id: Some("x".to_owned()),
        category: String::new(),
        hashes: vec![HashValue::from_hex(HashKind::Md5, &"ab".repeat(16)).unwrap()],
        ..NewEntry::default()
    };
    let file = || std::io::Cursor::new(format!("{}\n", "ab".repeat(32)).into_bytes());
    let options = import_options(None, Mapping::default());
    for (name, words) in [("beyond", "matches of lists that the caller has no right to"), ("of-all", "matches of all lists")] {
        let said = [
            some.set(name, &scope(&["known"])).await.map(drop).unwrap_err(),
            some.set_disabled(name, true).await.map(drop).unwrap_err(),
            some.add(name, vec![entry()]).await.map(drop).unwrap_err(),
            some.remove(name, vec!["cd".to_owned()]).await.map(drop).unwrap_err(),
            some.set_mark(name, "cd", Some(mark())).await.unwrap_err(),
            some.activate(name, VersionNo(1)).await.map(drop).unwrap_err(),
            some.roll_back(name).await.map(drop).unwrap_err(),
            some.import(name, &options, file(), &mut |_| {}).await.map(drop).unwrap_err(),
            some.delete(name).await.unwrap_err(),
        ];
        for error in said {
            let said = denied(error);
            assert!(said.contains(words), "{said}");
        }
    }
    assert_eq!(format!("{:?}", all.lists().await.unwrap()), before, "nothing was done");
    some.add("mine", vec![entry()]).await.unwrap();
    some.set_disabled("mine", true).await.unwrap();
    some.delete("mine").await.unwrap();

    // An empty scope is of all lists: one whose names are all taken out is not shown as such.
    all.set("beyond", &scope(&["secret", "hidden"])).await.unwrap();
    let shown = some.list("beyond").await.unwrap();
    assert_eq!((shown.list.policy.scope.len(), shown.scope_hidden), (0, 2));
    assert_eq!((some.list("of-all").await.unwrap().scope_hidden, all.list("beyond").await.unwrap().scope_hidden), (0, 0));
}

/// A stream of reflection went on for ever with a token that was revoked.
#[tokio::test]
async fn a_reflection_stream_ends_with_its_token() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
    let guarded = guarded().await;
    let token = guarded.token("m", rights(&[Role::Matcher]));
    let (send, messages) = mpsc::channel(4);
    let ask =
        || ServerReflectionRequest { host: String::new(), message_request: Some(MessageRequest::ListServices(String::new())) };
    send.send(ask()).await.unwrap();
    let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(messages));
    request.metadata_mut().insert("authorization", header(&format!("Bearer {token}")));
    let mut reflection = ServerReflectionClient::new(guarded.served.channel().await);
    let mut replies = reflection.server_reflection_info(request).await.unwrap().into_inner();
    assert!(matches!(replies.message().await.unwrap(), Some(ServerReflectionResponse { .. })));
    tokens::revoke(&guarded.file, Shown::Token, "m").unwrap();
    guarded.gate.refresh();
    send.send(ask()).await.unwrap();
    let ended = replies.message().await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Unauthenticated, "the token was revoked"));
}

type Show = Box<dyn FnMut(Request<()>) -> Result<Request<()>, Status> + Send>;
type WithToken = InterceptedService<Channel, Show>;

async fn matching_with(guarded: &Guarded, token: &str) -> MatchServiceClient<WithToken> {
    let value = header(&format!("Bearer {token}"));
    let show: Show = Box::new(move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", value.clone());
        Ok(request)
    });
    MatchServiceClient::with_interceptor(guarded.served.channel().await, show)
}

fn item(content: Given) -> v1::MatchItem {
    v1::MatchItem { item_id: "1".to_owned(), content: Some(content), ..v1::MatchItem::default() }
}

fn verdict_of(result: Option<v1::MatchResult>) -> v1::Verdict {
    match result.unwrap().result.unwrap() {
        v1::match_result::Result::Verdict(verdict) => verdict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn how_near_a_match_is_shows_only_who_may_see_it() {
    let guarded = guarded().await;
    guarded.served.list_of("b-list", &picture(1)).await;
    guarded.served.list_of("a-list", &picture(1)).await;
    let ask = async |rights: Rights, name: &str| {
        let token = guarded.token(name, rights);
        let item = item(Given::Image(picture(1)));
        let reply = matching_with(&guarded, &token).await.r#match(v1::MatchRequest { item: Some(item.clone()) }).await.unwrap();
        let one = verdict_of(reply.into_inner().result);
        let stream = tokio_stream::once(v1::MatchStreamRequest { items: vec![item] });
        let mut replies = matching_with(&guarded, &token).await.match_stream(stream).await.unwrap().into_inner();
        let streamed = verdict_of(replies.message().await.unwrap().unwrap().results.pop());
        let ageless = |verdict: v1::Verdict| v1::Verdict { lists: vec![], ..verdict };
        assert_eq!(ageless(one.clone()), ageless(streamed), "a stream shows what a call shows");
        one
    };
    let sees = ask(Rights { sees: true, ..rights(&[Role::Matcher]) }, "sees").await;
    assert!(sees.matches.iter().all(|m| m.distance == Some(0) && m.threshold.is_some() && m.frame == Some(0)), "{sees:?}");
    assert!(sees.matches.iter().all(|m| m.entry_id == "e1" && m.view.is_some() && m.chance.is_some() && m.transform > 0));
    assert_eq!(sees.cut, Some(0));

    let blind = ask(rights(&[Role::Matcher]), "blind").await;
    assert_eq!((blind.outcome, blind.action, blind.cut, blind.suppressed.len()), (sees.outcome, sees.action, None, 0));
    for found in &blind.matches {
        let v1::Match { list, category, kind, exact, action, .. } = found.clone();
        assert_eq!(*found, v1::Match { list, category, kind, exact, action, ..v1::Match::default() }, "nothing else is set");
    }
    let lists: Vec<_> = blind.matches.iter().map(|m| m.list.as_str()).collect();
    assert!(lists.is_sorted() && lists.contains(&"a-list") && lists.contains(&"b-list"), "{lists:?}");

    // The project's own client says that it was not told.
    let own = client(&guarded.served.endpoint, &guarded.token("own", rights(&[Role::Matcher]))).await;
    assert!(own.match_one(Content::Image(picture(1)), vec![]).await.unwrap().withheld);
    assert!(!guarded.served.client.match_one(Content::Image(picture(1)), vec![]).await.unwrap().withheld);
    assert!(!guarded.served.client.match_one(Content::Image(picture(9)), vec![]).await.unwrap().withheld);
}

#[tokio::test]
async fn hashes_of_ones_own_are_a_right_of_its_own() {
    let guarded = guarded().await;
    guarded.served.list_of("known", &picture(1)).await;
    let given = || Given::Hashes(v1::Hashes { hashes: vec![v1::Hash { kind: 1, hex: pdq(3), quality: None }] });
    let token = guarded.token("pictures", rights(&[Role::Matcher]));
    let mut pictures = matching_with(&guarded, &token).await;
    let said = pictures.r#match(v1::MatchRequest { item: Some(item(given())) }).await.unwrap_err();
    assert_eq!((said.code(), said.message().starts_with("item.hashes: ")), (Code::PermissionDenied, true), "{said}");
    // On a stream the item is refused, and the others go on.
    let items = vec![item(given()), item(Given::Image(picture(1)))];
    let stream = tokio_stream::once(v1::MatchStreamRequest { items });
    let mut replies = pictures.match_stream(stream).await.unwrap().into_inner();
    let mut codes = BTreeSet::new();
    while let Some(reply) = replies.message().await.unwrap() {
        codes.extend(reply.results.into_iter().map(|result| match result.result.unwrap() {
            v1::match_result::Result::Verdict(verdict) => (0, verdict.outcome),
            v1::match_result::Result::Error(error) => (error.code, 0),
        }));
    }
    assert_eq!(codes, [(0, v1::Outcome::Match as i32), (Code::PermissionDenied as i32, 0)].into());
    let brings = guarded.token("hashes", Rights { brings_hashes: true, ..rights(&[Role::Matcher]) });
    let reply = matching_with(&guarded, &brings).await.r#match(v1::MatchRequest { item: Some(item(given())) }).await.unwrap();
    assert_eq!(verdict_of(reply.into_inner().result).outcome, v1::Outcome::NoMatch as i32);
}

/// A stream that was open when its token was revoked could go on for ever.
#[tokio::test]
async fn a_stream_whose_token_is_revoked_ends_with_its_next_message() {
    let guarded = guarded().await;
    guarded.served.list_of("known", &picture(1)).await;
    let token = guarded.token("m", rights(&[Role::Matcher]));
    let (send, messages) = mpsc::channel(4);
    let message = || v1::MatchStreamRequest { items: vec![item(Given::Image(picture(1)))] };
    send.send(message()).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut replies = matching_with(&guarded, &token).await.match_stream(stream).await.unwrap().into_inner();
    let verdict = verdict_of(replies.message().await.unwrap().unwrap().results.pop());
    assert_eq!(verdict.outcome, v1::Outcome::Match as i32);
    tokens::revoke(&guarded.file, Shown::Token, "m").unwrap();
    guarded.gate.refresh();
    send.send(message()).await.unwrap();
    let ended = replies.message().await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Unauthenticated, "the token was revoked"));
}

/// A caller that sent as fast as it could took what others needed, up to the service's limits.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_held_to_the_quota_of_its_token() {
    let guarded = guarded().await;
    guarded.served.list_of("known", &picture(1)).await;
    let brings = Rights { brings_hashes: true, ..rights(&[Role::Matcher]) };
    let free = guarded.token("free", brings.clone());
    let wanted = Wanted { name: "slow".to_owned(), rights: brings, items_per_s: NonZeroU32::new(1), expires: None };
    let slow = tokens::create(&guarded.file, wanted).unwrap();
    guarded.gate.refresh();
    let one = || {
        let hash = v1::Hash { kind: v1::HashKind::Pdq as i32, hex: pdq(1), quality: None };
        item(Given::Hashes(v1::Hashes { hashes: vec![hash] }))
    };

    // Each item of a stream is answered, beyond the quota with an error.
    let message = v1::MatchStreamRequest { items: vec![one(); 100] };
    let stream = tokio_stream::once(message.clone());
    let mut replies = matching_with(&guarded, &slow).await.match_stream(stream).await.unwrap().into_inner();
    let (mut verdicts, mut refused) = (0, 0);
    while let Some(reply) = replies.message().await.unwrap() {
        for result in reply.results {
            match result.result.unwrap() {
                v1::match_result::Result::Verdict(_) => verdicts += 1,
                v1::match_result::Result::Error(error) => {
                    assert_eq!((Code::from(error.code), error.field.as_str()), (Code::ResourceExhausted, ""));
                    assert!(error.message.contains("quota of 1 item a second: try again in "), "{}", error.message);
                    refused += 1;
                }
            }
        }
    }
    assert!(verdicts >= 1 && refused >= 1 && verdicts + refused == 100, "{verdicts} and {refused}");

    // A call alone is refused, and told when to come again. It is the same quota.
    let mut matching = matching_with(&guarded, &slow).await;
    let mut refusals = Vec::new();
    for _ in 0..20 {
        refusals.extend(matching.r#match(v1::MatchRequest { item: Some(one()) }).await.err());
        refusals.extend(matching.hash(v1::HashRequest { image: picture(1) }).await.err());
    }
    assert!(!refusals.is_empty());
    for refusal in refusals {
        assert_eq!(
            (refusal.code(), refusal.get_details_error_info().unwrap().reason.as_str()),
            (Code::ResourceExhausted, "QUOTA")
        );
        let wait = refusal.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(1_001), "{wait:?}");
    }

    // Another caller has no quota.
    let mut matching = matching_with(&guarded, &free).await;
    let mut replies = matching.match_stream(tokio_stream::once(message)).await.unwrap().into_inner();
    while let Some(reply) = replies.message().await.unwrap() {
        reply.results.into_iter().for_each(|result| drop(verdict_of(Some(result))));
    }
}

/// Callers behind one address share nothing, and one caller's addresses do: a token's name is whose limits they are.
#[tokio::test]
async fn limits_are_those_of_the_tokens_name() {
    let guarded = guarded_with(service::Options { calls_per_caller_max: 1, ..service::Options::default() }).await;
    let (one, two) = (guarded.token("one", rights(&[Role::Matcher])), guarded.token("two", rights(&[Role::Matcher])));
    let (_send, messages) = mpsc::channel::<v1::MatchStreamRequest>(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(messages);
    let _open = matching_with(&guarded, &one).await.match_stream(stream).await.unwrap();
    let hash = async |token: &str| matching_with(&guarded, token).await.hash(v1::HashRequest { image: picture(1) }).await;
    assert_eq!(hash(&one).await.unwrap_err().code(), Code::ResourceExhausted);
    hash(&two).await.unwrap();
    assert!(guarded.admin.starts_with("hashwarden_"));
}
