//! Does TLS let in whom it must, and nobody else?
//!
//! The process is assembled as `serve` does it, with certificates made here. One process holds one log and one set of metrics, so the tests take
//! turns, and compare counters with what they were.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

mod certificates;
mod logged;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use certificates::{Authority, Pair};
use hashwarden::access::tokens::{self, Shown, Wanted};
use hashwarden::access::{Rights, Role};
use hashwarden::app::{self, Running};
use hashwarden::catalog::PolicyUpdate;
use hashwarden::client::{Client, ClientError, Credentials, Tls, Token};
use hashwarden::config::Config;
use hashwarden::demo::pictures::draw;
use hashwarden::entry::{HashKind, HashValue, Polarity};
use hashwarden::matcher::{Content, GivenHash};
use logged::{LOG, logged};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::Code;

/// For what takes a moment on a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Served {
    running: Running,
    authority: Authority,
    dir: tempfile::TempDir,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// A server with a certificate of a new authority; `clients` issues those of callers, who need one then.
async fn serve(clients: Option<&Authority>, change: impl FnOnce(&mut Config)) -> Served {
    let turn = TURN.lock().await;
    LazyLock::force(&LOG);
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let (certificate, key) = authority.server().write(dir.path(), "server");
    let mut config = Config::default();
    config.store.dir = dir.path().join("store");
    config.grpc.listen.set_port(0);
    config.operator.port.listen.set_port(0);
    (config.tls.certificate_file, config.tls.key_file) = (certificate, key);
    if let Some(clients) = clients {
        config.tls.client_ca_file = dir.path().join("clients.pem");
        std::fs::write(&config.tls.client_ca_file, clients.pem()).unwrap();
    }
    change(&mut config);
    let running = app::start(&config).await.unwrap();
    Served { running, authority, dir, _turn: turn }
}

fn trusting(authority: &Authority, identity: Option<&Pair>) -> Tls {
    let identity = identity.map(|pair| (pair.certificate.clone().into(), pair.key.clone().into()));
    Tls { ca: Some(authority.pem().into()), identity }
}

fn shown(tls: &Tls) -> Credentials {
    Credentials { tls: tls.clone(), ..Credentials::default() }
}

impl Served {
    async fn connect(&self, tls: &Tls) -> Result<Client, ClientError> {
        Client::connect_with(&format!("https://{}", self.running.grpc), LONG, shown(tls)).await
    }

    /// Connects and asks for the lists: with TLS 1.3 a client learns only after its handshake that the server does not want it.
    async fn ask(&self, tls: &Tls) -> Result<Client, ClientError> {
        let client = self.connect(tls).await?;
        client.lists().await?;
        Ok(client)
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.running.operator).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A series' value; 0 where it is not there.
    fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    fn handshakes(&self, outcome: &str) -> f64 {
        self.metric(&format!("hashwarden_tls_handshakes_total{{outcome=\"{outcome}\"}}"))
    }

    /// Waits until a series is as expected.
    async fn until_metric(&self, series: &str, expected: impl Fn(f64) -> bool) {
        let end = Instant::now() + LONG;
        while !expected(self.metric(series)) {
            assert!(Instant::now() < end, "{series} stays {}", self.metric(series));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Replaces the server's certificate and key.
    fn replace(&self, pair: &Pair) {
        pair.write(self.dir.path(), "server");
    }

    async fn end(self) {
        self.running.drain().await.unwrap();
    }
}

/// What a client says that lost the race: with TLS 1.3 it may send a call just when the server's reason comes, and its HTTP/2 then keeps
/// the call's end alone. The server's log has the reason, as this says.
const SEE_LOG: &str = "the server's log may say why";

/// The client must be refused, in these words and counted so.
async fn check_refused(served: &Served, tls: &Tls, words: &str, outcome: &str) {
    let before = served.handshakes(outcome);
    let error = served.ask(tls).await.map(drop).expect_err(words).to_string();
    let lost_race = outcome != "refused_by_client" && error.contains(SEE_LOG);
    assert!(error.contains(words) || lost_race, "{error}");
    let series = format!("hashwarden_tls_handshakes_total{{outcome=\"{outcome}\"}}");
    served.until_metric(&series, |n| n > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_talks_to_the_server_that_its_authority_vouches_for() {
    let served = serve(None, |_| {}).await;
    served.ask(&trusting(&served.authority, None)).await.unwrap();
    let by_name = format!("https://localhost:{}", served.running.grpc.port());
    Client::connect_with(&by_name, LONG, shown(&trusting(&served.authority, None))).await.unwrap().lists().await.unwrap();

    check_refused(&served, &trusting(&Authority::new("other"), None), "authority that is not known; --ca", "refused_by_client")
        .await;
    // The system's authorities did not issue it, or there are none.
    let error = served.ask(&Tls::default()).await.map(drop).unwrap_err();
    assert!(matches!(error, ClientError::Distrusted { .. } | ClientError::Tls(_)), "{error}");

    let before = served.handshakes("not_tls");
    let plain = Client::connect(&format!("http://{}", served.running.grpc), LONG).await;
    let error = match plain {
        Ok(client) => client.lists().await.map(drop).unwrap_err(),
        Err(error) => error,
    };
    let error = error.to_string();
    assert!(error.contains("https://") || error.contains(SEE_LOG), "{error}");
    served.until_metric("hashwarden_tls_handshakes_total{outcome=\"not_tls\"}", |n| n > before).await;
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_expired_or_another_one_is_not_talked_to() {
    let authority = Authority::new("authority");
    let other = authority.server_for(&["elsewhere.example.org"], [2000, 2090]);
    let served = serve(None, |config| {
        other.write(config.tls.certificate_file.parent().unwrap(), "server");
    })
    .await;
    check_refused(&served, &trusting(&authority, None), "is for another host", "refused_by_client").await;
    served.end().await;

    // A server of ours would not start with it, but it may expire while it runs.
    let expired = authority.server_until(2001);
    let chain = vec![CertificateDer::from_pem_slice(expired.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(expired.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config =
        config.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(stream).await.map(drop)
    });
    let error = Client::connect_with(&endpoint, LONG, shown(&trusting(&authority, None))).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("the server's certificate has expired"), "{error}");
    assert!(serving.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_known_by_their_certificates_and_strangers_are_refused() {
    let clients = Authority::new("clients");
    let served = serve(Some(&clients), |_| {}).await;
    let as_caller = |pair: Option<&Pair>| trusting(&served.authority, pair);
    let scanner = served.ask(&as_caller(Some(&clients.caller("scanner-7")))).await.unwrap();
    scanner.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    assert!(logged().contains("mtls:scanner-7"), "who made the list is not in the log");

    let foreign = Authority::new("foreign").caller("scanner-7");
    let expired = clients.caller_until("scanner-7", 2001);
    check_refused(&served, &as_caller(None), "wants a client certificate: --cert", "no_certificate").await;
    check_refused(&served, &as_caller(Some(&foreign)), "an authority that the server does not know", "foreign").await;
    check_refused(&served, &as_caller(Some(&expired)), "it has expired", "expired").await;
    check_refused(&served, &as_caller(Some(&clients.caller(""))), "", "unnamed").await;
    // That of a server is not one of a caller.
    check_refused(&served, &as_caller(Some(&clients.server())), "refuses the client's certificate", "bad_certificate").await;
    for reason in ["no_certificate", "foreign", "expired", "unnamed", "bad_certificate"] {
        assert!(logged().contains(&format!("\"reason\":\"{reason}\"")), "{reason} is not in the log");
    }
    // Nothing was done for them, and who is known is served as before.
    assert_eq!(scanner.lists().await.unwrap().len(), 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_without_a_restart_and_bad_ones_are_not_taken() {
    let served = serve(None, |_| {}).await;
    let before = trusting(&served.authority, None);
    let client = served.ask(&before).await.unwrap();
    let loaded = served.metric("hashwarden_tls_reloads_total{outcome=\"loaded\"}");
    let kept = served.metric("hashwarden_tls_reloads_total{outcome=\"kept\"}");

    let next = Authority::new("next");
    served.replace(&next.server_until(2080));
    served.until_metric("hashwarden_tls_reloads_total{outcome=\"loaded\"}", |n| n > loaded).await;
    let after = trusting(&next, None);
    served.ask(&after).await.unwrap();
    assert!(served.ask(&before).await.is_err(), "the certificate before is still in use");
    client.lists().await.expect("connections that were open stay");
    assert_eq!(served.metric("hashwarden_tls_certificate_expires_seconds"), 3_502_828_800.0);

    let good = next.server();
    let damaged = Pair { certificate: good.certificate[..good.certificate.len() / 2].to_owned(), key: good.key.clone() };
    let mixed = Pair { certificate: good.certificate.clone(), key: next.server().key };
    let empty = Pair { certificate: String::new(), key: String::new() };
    for (n, (bad, words)) in [
        (damaged, "is not PEM"),
        (mixed, "is not the key of the certificate"),
        (empty, "holds no certificate"),
        (next.server_until(2001), "it expired on 2001-12-31"),
        (next.server_for(&["localhost"], [2080, 2090]), "it is not valid before 2080-01-01"),
    ]
    .into_iter()
    .enumerate()
    {
        served.replace(&bad);
        served.until_metric("hashwarden_tls_reloads_total{outcome=\"kept\"}", |now| now > kept + n as f64).await;
        assert_eq!(served.metric("hashwarden_tls_reload_failing"), 1.0);
        until_logged(words).await;
        served.ask(&after).await.expect("the pair before is in force");
    }
    let key = served.dir.path().join("server.key");
    std::fs::remove_file(&key).unwrap();
    served.until_metric("hashwarden_tls_reloads_total{outcome=\"kept\"}", |now| now > kept + 5.0).await;
    served.ask(&after).await.expect("the pair before is in force");
    // A pipe in a file's place: whoever opens it waits for its writer, and no certificate is read any more.
    let certificate = served.dir.path().join("server.pem");
    std::fs::remove_file(&certificate).unwrap();
    make_pipe(&certificate);
    until_logged("server.pem is not a file").await;
    served.ask(&after).await.expect("the pair before is in force");
    std::fs::remove_file(&certificate).unwrap();

    served.replace(&good);
    served.until_metric("hashwarden_tls_reload_failing", |failing| failing == 0.0).await;
    served.ask(&after).await.unwrap();
    assert!(!logged().contains("PRIVATE KEY"));
    served.end().await;
}

async fn until_logged(words: &str) {
    let end = Instant::now() + LONG;
    while !logged().contains(words) {
        assert!(Instant::now() < end, "{words}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn make_pipe(path: &std::path::Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A certificate without a token gave all rights, or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_callers_certificate_has_the_rights_of_its_name() {
    let clients = Authority::new("clients");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let wanted = |name: &str, roles: &[Role]| {
        let rights = Rights { roles: roles.iter().copied().collect(), lists: None, sees: false, brings_hashes: true };
        Wanted { name: name.to_owned(), rights, items_per_s: None, expires: None }
    };
    tokens::allow(&file, wanted("lists", &[Role::ListAdmin])).unwrap();
    tokens::allow(&file, wanted("scanner-7", &[Role::Matcher])).unwrap();
    let token = tokens::create(&file, wanted("uploads", &[Role::ListAdmin])).unwrap();
    let served = serve(Some(&clients), |config| config.access.tokens_file.clone_from(&file)).await;
    let as_caller = |name: &str| trusting(&served.authority, Some(&clients.caller(name)));
    let code = |error: ClientError| match error {
        ClientError::Refused { code, reason, .. } => (code, reason),
        other => panic!("{other}"),
    };
    let hash = HashValue::from_hex(HashKind::Md5, &"00".repeat(16)).unwrap();
    let hashes = || Content::Hashes(vec![GivenHash { hash: hash.clone(), quality: None }]);

    let lists = served.ask(&as_caller("lists")).await.unwrap();
    lists.create("known", Polarity::Positive, &PolicyUpdate::default()).await.unwrap();
    until_logged("\"by\":\"mtls:lists\"").await;
    assert_eq!(code(lists.match_one(hashes(), vec![]).await.unwrap_err()), (Code::PermissionDenied, "ROLE".to_owned()));
    let scanner = served.connect(&as_caller("scanner-7")).await.unwrap();
    scanner.match_one(hashes(), vec![]).await.unwrap();
    assert_eq!(code(scanner.lists().await.unwrap_err()).0, Code::PermissionDenied);
    // Of the same authority, but nobody gave it rights.
    let refusals = "hashwarden_access_refusals_total{reason=\"certificate\"}";
    let before = served.metric(refusals);
    let stranger = served.connect(&as_caller("stranger")).await.unwrap();
    let refused = (Code::PermissionDenied, "CERTIFICATE".to_owned());
    assert_eq!(code(stranger.match_one(hashes(), vec![]).await.unwrap_err()), refused);
    assert_eq!(code(stranger.lists().await.unwrap_err()), refused);
    assert_eq!(served.metric(refusals), before + 2.0);
    // With a token it is the token's caller.
    let credentials = Credentials { token: Some(Token::parse(&token).unwrap()), ..shown(&as_caller("stranger")) };
    let with_token = Client::connect_with(&format!("https://{}", served.running.grpc), LONG, credentials).await.unwrap();
    assert_eq!(with_token.lists().await.unwrap().len(), 1);

    tokens::revoke(&file, Shown::Certificate, "scanner-7").unwrap();
    let end = Instant::now() + LONG;
    while scanner.match_one(hashes(), vec![]).await.is_ok() {
        assert!(Instant::now() < end, "the server did not hear of it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = scanner.match_one(hashes(), vec![]).await.unwrap_err();
    assert!(refused.to_string().contains("the rights of the client certificate were revoked"), "{refused}");
    served.end().await;
}

/// Authorities of callers change as the rest does.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_taken_out_vouches_for_nobody() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let served = serve(Some(&first), |_| {}).await;
    let of_first = trusting(&served.authority, Some(&first.caller("a")));
    let of_second = trusting(&served.authority, Some(&second.caller("b")));
    served.ask(&of_first).await.unwrap();
    let loaded = served.metric("hashwarden_tls_reloads_total{outcome=\"loaded\"}");
    std::fs::write(served.dir.path().join("clients.pem"), second.pem()).unwrap();
    served.until_metric("hashwarden_tls_reloads_total{outcome=\"loaded\"}", |n| n > loaded).await;
    served.ask(&of_second).await.unwrap();
    check_refused(&served, &of_first, "an authority that the server does not know", "foreign").await;
    // One that vouches for nobody would lock all callers out.
    let kept = served.metric("hashwarden_tls_reloads_total{outcome=\"kept\"}");
    for (n, (bad, words)) in [
        (second.caller("b").certificate, "CA:TRUE"),
        (second.pem() + &Authority::until("old", 2001).pem(), "number 2: it expired on 2001-12-31"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(served.dir.path().join("clients.pem"), bad).unwrap();
        served.until_metric("hashwarden_tls_reloads_total{outcome=\"kept\"}", |now| now > kept + n as f64).await;
        until_logged(words).await;
        served.ask(&of_second).await.unwrap();
    }
    served.end().await;
}

/// A connection that begins a handshake and does not go on.
async fn half_shaken(served: &Served, from: &str) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(from.parse().unwrap()).unwrap();
    let mut stream = socket.connect(served.running.grpc).await.unwrap();
    // A record of type handshake that announces 512 bytes, which never come.
    stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    stream
}

async fn closed(mut stream: tokio::net::TcpStream) {
    let mut byte = [0; 1024];
    while tokio::time::timeout(LONG, stream.read(&mut byte)).await.expect("the connection is still open").is_ok_and(|n| n > 0) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_ends_and_nobody_waits_for_it() {
    let served = serve(None, |config| config.tls.handshake_ms_max = 1_500).await;
    let before = served.handshakes("timeout");
    let slow = half_shaken(&served, "127.0.0.1:0").await;
    let mut trickling = half_shaken(&served, "127.0.0.1:0").await;
    served.ask(&trusting(&served.authority, None)).await.unwrap();
    let trickled = async {
        // Bytes that come one by one do not buy time.
        for _ in 0..480 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if trickling.write_all(&[0]).await.is_err() {
                return;
            }
        }
        panic!("a handshake goes on for ever");
    };
    tokio::join!(closed(slow), trickled);
    served.until_metric("hashwarden_tls_handshakes_total{outcome=\"timeout\"}", |n| n >= before + 2.0).await;
    assert!(logged().contains("no TLS handshake in 1500 ms"));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_keeps_no_other_caller_out() {
    let served = serve(None, |config| {
        (config.grpc.connections_max, config.grpc.connections_per_caller_max) = (16, 8);
        config.tls.handshakes_per_caller_max = 6;
        config.tls.handshake_ms_max = 600_000;
    })
    .await;
    let before = served.handshakes("shed");
    let mut held = Vec::new();
    for from in ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"] {
        for _ in 0..16 {
            held.push(half_shaken(&served, from).await);
        }
    }
    served.until_metric("hashwarden_tls_handshakes_total{outcome=\"shed\"}", |n| n > before).await;
    assert!(served.metric("hashwarden_limit_refusals_total{limit=\"tls.handshakes_per_caller_max\"}") > 0.0);
    // They count as connections, and take all that there are; those that do nothing for a second give their places to who comes new.
    served.until_metric("hashwarden_limit_in_use{limit=\"grpc.connections_max\"}", |n| n >= 12.0).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for _ in 0..3 {
        served.ask(&trusting(&served.authority, None)).await.unwrap();
    }
    drop(held);
    served.end().await;
}

/// Connects with one version of TLS and one protocol within it; says which was agreed on.
async fn negotiated(
    served: &Served,
    version: &'static SupportedProtocolVersion,
    protocol: &str,
) -> std::io::Result<Option<String>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(served.authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = tokio::net::TcpStream::connect(served.running.grpc).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::from(served.running.grpc.ip()), stream).await?;
    Ok(stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_tls_carry_http_2_and_nothing_else() {
    let served = serve(None, |_| {}).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(negotiated(&served, version, "h2").await.unwrap().as_deref(), Some("h2"));
        assert!(negotiated(&served, version, "http/1.1").await.is_err());
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_with_certificates_that_it_cannot_use() {
    let turn = TURN.lock().await;
    LazyLock::force(&LOG);
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = Authority::new("a").server().write(dir.path(), "server");
    let (other, _) = Authority::new("b").server().write(dir.path(), "other");
    let absent = dir.path().join("absent.pem");
    let check = async |certificate: &PathBuf, key: &PathBuf, clients: &PathBuf, words: &[&str]| {
        let mut config = Config::default();
        config.store.dir = dir.path().join("store");
        config.grpc.listen.set_port(0);
        config.operator.port.listen.set_port(0);
        config.tls.certificate_file.clone_from(certificate);
        config.tls.key_file.clone_from(key);
        config.tls.client_ca_file.clone_from(clients);
        let said = app::start(&config).await.map(drop).expect_err("it starts").to_string();
        words.iter().for_each(|word| assert!(said.contains(word), "no {word:?} in {said}"));
    };
    let none = PathBuf::new();
    check(&absent, &key, &none, &["[tls] certificate_file", "no such file", "absent.pem"]).await;
    check(&certificate, &absent, &none, &["[tls] key_file", "no such file"]).await;
    check(&certificate, &certificate, &none, &["[tls] key_file", "holds no private key"]).await;
    check(&other, &key, &none, &["[tls] key_file", "is not the key of the certificate in", "other.pem"]).await;
    check(&certificate, &key, &absent, &["[tls] client_ca_file", "no such file"]).await;
    check(&certificate, &key, &key, &["[tls] client_ca_file", "holds no certificate"]).await;
    let pipe = dir.path().join("pipe");
    make_pipe(&pipe);
    check(&pipe, &key, &none, &["[tls] certificate_file", "pipe is not a file"]).await;
    check(&certificate, &dir.path().to_owned(), &none, &["[tls] key_file", "is not a file"]).await;
    check(&certificate, &key, &pipe, &["[tls] client_ca_file", "pipe is not a file"]).await;
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority = Authority::new("c");
    for (pair, words) in [
        (authority.server_until(2001), "number 1: it expired on 2001-12-31"),
        (authority.server_for(&["localhost"], [2080, 2090]), "number 1: it is not valid before 2080-01-01"),
    ] {
        let (certificate, key) = pair.write(dir.path(), "untimely");
        check(&certificate, &key, &none, &["[tls] certificate_file", words]).await;
    }
    let leaf = write("leaf.pem", &authority.caller("a").certificate);
    check(&certificate, &key, &leaf, &["[tls] client_ca_file", "number 1: it is not an authority's", "CA:TRUE"]).await;
    let old = write("old.pem", &(authority.pem() + &Authority::until("old", 2001).pem()));
    check(&certificate, &key, &old, &["[tls] client_ca_file", "number 2: it expired on"]).await;
    let unknown = "-----BEGIN PRIVATE KEY-----\nMAoCAQAwBQYDK2VxBAA=\n-----END PRIVATE KEY-----\n";
    check(&certificate, &write("ed448.key", unknown), &none, &["[tls] key_file", "not supported", "ECDSA P-256"]).await;
    drop(turn);
}

/// A stranger's client, with certificates on both sides.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_matches_over_tls() {
    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        println!("skipped: HASHWARDEN_TEST_PYTHON is not set");
        return;
    };
    let clients = Authority::new("clients");
    let served = serve(Some(&clients), |config| config.grpc.image_bytes_max = 256 * 1024).await;
    let files = tempfile::tempdir().unwrap();
    let whole = draw(1, 320, 240);
    draw(5, 320, 240).save(files.path().join("known.png")).unwrap();
    draw(2, 320, 240).save(files.path().join("stranger.png")).unwrap();
    whole.save(files.path().join("drawn.png")).unwrap();
    image::imageops::crop_imm(&whole, 13, 10, 294, 220).to_image().save(files.path().join("crop.png")).unwrap();
    std::fs::write(files.path().join("ca.pem"), served.authority.pem()).unwrap();
    clients.caller("python").write(files.path(), "caller");
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = std::process::Command::new(python);
    command.arg(format!("{root}/tests/grpc_client.py")).arg(served.running.grpc.to_string());
    command.arg(format!("{root}/proto")).arg(files.path()).arg("--tls");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let checks = said.lines().find_map(|line| line.strip_prefix("checks passed: ")?.parse::<u32>().ok());
    assert!(checks.is_some_and(|n| n >= 50), "a script that checks nothing must not pass: {said}");
    served.end().await;
}
