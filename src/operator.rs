//! Is the process well, is it ready, what has it done? The pages for whoever runs it, over HTTP.
//!
//! `/healthz`: 200 while the process answers at all. `/readyz`: 200 while it can give verdicts, else 503 with the reason in words.
//! `/metrics`: Prometheus' text format. What they say is handed in as [`Pages`]: this room reaches no door. Where callers
//! have certificates or tokens, all pages but the two for probes, which can't show one, are for those who do. Absent: any page that changes something.

use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::{IncomingStream, Listener};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::access::{Gate, certified_caller};
use crate::admission::{Connections, Listener as Listening, Patience, Port, Stream, Tls};
use crate::entry::Caller;
use crate::entry::options::options;

/// The pages for probes: they say nothing of lists or callers.
const FOR_ALL: [&str; 2] = ["/healthz", "/readyz"];
/// How long requests may still take once the shutdown was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(2);

options! {
    /// Where the pages are served, and what connections may do.
    #[derive(Copy, Eq)]
    pub struct Options {
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9464));
        /// Open connections; one more takes the place of the oldest. A scraper, a probe and a few people need no more.
        pub connections_max: usize = 64, in 1..=65_536;
        /// From a request's first byte to its answer's, in ms, and for an answer that is not taken.
        pub request_ms_max: u64 = 5_000, in 10..=3_600_000;
        /// A connection that asks nothing for so many seconds is closed, so that forgotten ones don't add up.
        pub idle_s: u64 = 120, in 1..=86_400;
        /// Pages of metrics that are made at once: more are turned away, so that they leave the probes their share.
        pub metrics_max: usize = 4, in 1..=1024;
    }
}

/// Whether verdicts can be given now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    Ready {
        snapshot: u64,
        /// What is amiss meanwhile, in words that hold no hash: each is a line.
        notes: Vec<String>,
    },
    /// The store is being opened: no snapshot is live yet.
    Loading,
    /// The process was told to end and finishes what it has begun.
    Draining,
    /// Why not, in words that hold no hash.
    Failing(String),
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Readiness::Ready { snapshot, notes } => {
                write!(f, "ready: snapshot {snapshot}")?;
                notes.iter().try_for_each(|note| write!(f, "\n{note}"))
            }
            Readiness::Loading => f.write_str("not ready: loading, no snapshot is live yet"),
            Readiness::Draining => f.write_str("not ready: draining"),
            Readiness::Failing(why) => write!(f, "not ready: {why}"),
        }
    }
}

/// What the pages say, asked anew for each request. `ready` answers at once and without waiting, as it runs on the runtime; `metrics` may read
/// files.
pub struct Pages {
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    pub ready: Box<dyn Fn() -> Readiness + Send + Sync>,
}

/// The pages as routes, so that further ones can be merged in beside them.
pub fn routes(pages: Pages, options: Options) -> Router {
    let pages = Arc::new(pages);
    let asked = Arc::clone(&pages);
    let ready = move || async move {
        let readiness = (asked.ready)();
        let status = if matches!(readiness, Readiness::Ready { .. }) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(header::CACHE_CONTROL, "no-store")], format!("{readiness}\n"))
    };
    let making = Arc::new(Semaphore::new(options.metrics_max.clamp(1, Semaphore::MAX_PERMITS)));
    let metrics = move || async move {
        let Ok(_place) = making.try_acquire() else {
            let busy = "other requests for metrics are running: try again\n";
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], busy).into_response();
        };
        let Ok(page) = tokio::task::spawn_blocking(move || (pages.metrics)()).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], page)
            .into_response()
    };
    let health = || async { ([(header::CACHE_CONTROL, "no-store")], "alive\n") };
    Router::new().route("/healthz", get(health)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// What a request knows of its connection.
#[derive(Clone)]
struct Seen {
    certified: bool,
    /// By its certificate, else by its address.
    caller: Arc<Caller>,
}

impl Connected<IncomingStream<'_, Limited>> for Seen {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        let io = stream.io();
        let name = io.certified_name();
        let caller = name.map_or_else(|| io.connection().peer().caller.clone(), |name| Arc::new(certified_caller(name)));
        Seen { certified: name.is_some(), caller }
    }
}

/// How the port is guarded.
#[derive(Clone, Default)]
pub struct Guard {
    /// Plain text without it. Where callers have certificates, one will do.
    pub tls: Option<Arc<Tls>>,
    /// Asks for tokens, where callers have them: one whose role is for these pages will do. Where certificates' names have roles, so it is with them.
    pub gate: Option<Arc<Gate>>,
}

impl Guard {
    fn asks_for_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.asks_for_certificates())
    }
}

/// Lets those alone through who show a certificate or a token, but for probes.
async fn known(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let seen = request.extensions().get::<ConnectInfo<Seen>>().map(|ConnectInfo(seen)| seen.clone());
    let any_certificate = guard.asks_for_certificates() && !guard.gate.as_ref().is_some_and(|gate| gate.has_certificates());
    let may = any_certificate && seen.as_ref().is_some_and(|seen| seen.certified);
    if may || FOR_ALL.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Some(gate) = &guard.gate else {
        return (StatusCode::FORBIDDEN, "this page is for callers with a client certificate\n").into_response();
    };
    let from = seen.map_or_else(|| Arc::new(Caller("unknown".to_owned())), |seen| seen.caller);
    let authorization = request.headers().get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes());
    let admitted = tracing::error_span!("operator", from = from.0).in_scope(|| gate.admit_to_pages(authorization, &from));
    match admitted {
        Ok(_) => next.run(request).await,
        Err(refusal) if refusal.is_unauthenticated() => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], format!("{refusal}\n")).into_response()
        }
        Err(refusal) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
    }
}

/// Serves `routes` on `listener` until `shutdown` is ready; requests begun by then get two seconds more.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    options: Options,
    guard: Guard,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let request = Duration::from_millis(options.request_ms_max);
    let idle = Duration::from_secs(options.idle_s);
    // One address is as good as another here: a probe and who is in its way may come from the same host.
    let patience = Patience { first_byte: idle.min(request), idle, request: Some(request) };
    let max = options.connections_max;
    let connections = Connections::new("operator.connections_max", max, max, patience);
    let tls = guard.tls.clone();
    let routes = match guard.asks_for_certificates() || guard.gate.is_some() {
        true => routes.layer(from_fn_with_state(guard, known)),
        false => routes,
    };
    let tls = tls.map(|tls| (tls, Port::Pages));
    let limited = Limited(Listening::new(listener, connections, tls, caller as fn(SocketAddr) -> Caller));
    let (asked, mut was_asked) = tokio::sync::watch::channel(false);
    let stop = async move {
        shutdown.await;
        // Nobody listens only where serving has ended by itself.
        let _ = asked.send(true);
    };
    let overtime = async move {
        while !*was_asked.borrow_and_update() && was_asked.changed().await.is_ok() {}
        tokio::time::sleep(DRAIN_MAX).await;
    };
    let served = axum::serve(limited, routes.into_make_service_with_connect_info::<Seen>()).with_graceful_shutdown(stop);
    tokio::select! {
        ended = async move { served.await } => ended,
        () = overtime => Ok(()),
    }
}

struct Limited(Listening<fn(SocketAddr) -> Caller>);

fn caller(address: SocketAddr) -> Caller {
    Caller(address.ip().to_string())
}

impl Listener for Limited {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        let stream = self.0.accept().await;
        let address = stream.connection().stream().peer_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
#[path = "../tests/certificates/mod.rs"]
mod certificates;

#[cfg(test)]
mod tests {
    use super::certificates::{Authority, Pair};
    use super::*;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    struct Port {
        address: SocketAddr,
        ready: Arc<Mutex<Readiness>>,
        stop: Option<oneshot::Sender<()>>,
        served: JoinHandle<io::Result<()>>,
    }

    async fn open() -> Port {
        open_with(Options { request_ms_max: 500, ..Options::default() }, || "hashwarden_in_flight 3\n".into()).await
    }

    async fn open_with(options: Options, metrics: impl Fn() -> String + Send + Sync + 'static) -> Port {
        open_within(Guard::default(), options, metrics).await
    }

    async fn open_within(guard: Guard, options: Options, metrics: impl Fn() -> String + Send + Sync + 'static) -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Arc::new(Mutex::new(Readiness::Loading));
        let asked = Arc::clone(&ready);
        let pages = Pages { metrics: Box::new(metrics), ready: Box::new(move || asked.lock().unwrap().clone()) };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, routes(pages, options), options, guard, async move {
            let _ = stopped.await;
        }));
        Port { address, ready, stop: Some(stop), served }
    }

    impl Port {
        async fn ask(&self, first_line: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(format!("{first_line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }

        async fn check(&self, first_line: &str, expected: &[&str]) {
            let answer = self.ask(first_line).await;
            for part in expected {
                assert!(answer.contains(part), "{first_line}: no {part:?} in {answer}");
            }
        }
    }

    #[tokio::test]
    async fn the_pages_say_what_they_were_given() {
        let port = open().await;
        port.check("GET /healthz", &["HTTP/1.1 200", "alive"]).await;
        port.check("GET /metrics", &["HTTP/1.1 200", "text/plain; version=0.0.4", "hashwarden_in_flight 3"]).await;
        port.check("GET /readyz", &["HTTP/1.1 503", "not ready: loading"]).await;
        for (readiness, expected) in [
            (Readiness::Ready { snapshot: 7, notes: vec![] }, ["HTTP/1.1 200", "ready: snapshot 7\n"]),
            (
                Readiness::Ready { snapshot: 7, notes: vec!["the disk is full".into()] },
                ["HTTP/1.1 200", "ready: snapshot 7\nthe disk is full\n"],
            ),
            (Readiness::Draining, ["HTTP/1.1 503", "not ready: draining"]),
            (Readiness::Failing("the store is full".into()), ["HTTP/1.1 503", "not ready: the store is full"]),
        ] {
            *port.ready.lock().unwrap() = readiness;
            port.check("GET /readyz", &expected).await;
        }
        port.check("GET /", &["HTTP/1.1 404"]).await;
        port.check("POST /metrics", &["HTTP/1.1 405"]).await;
    }

    /// A page over TLS; nothing where the server breaks the connection off.
    async fn ask_within_tls(port: &Port, authority: &Authority, caller: Option<&Pair>, path: &str) -> String {
        use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
        use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match caller {
            None => config.with_no_client_auth(),
            Some(pair) => {
                let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
                config
                    .with_client_auth_cert(vec![certificate], PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(port.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut answer = String::new();
        let Ok(mut stream) = connector.connect(ServerName::from(port.address.ip()), stream).await else { return answer };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        if stream.write_all(request.as_bytes()).await.is_ok() {
            let _ = stream.read_to_string(&mut answer).await; // broken off, it stays as far as it came
        }
        answer
    }

    #[tokio::test]
    async fn within_tls_probes_need_no_certificate_and_scrapers_do() {
        let folder = tempfile::tempdir().unwrap();
        let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
        let (certificate, key) = authority.server().write(folder.path(), "server");
        let client_ca = folder.path().join("clients.pem");
        std::fs::write(&client_ca, clients.pem()).unwrap();
        let open = async |client_ca| {
            let options = crate::admission::TlsOptions {
                certificate_file: certificate.clone(),
                key_file: key.clone(),
                client_ca_file: client_ca,
                handshake_ms_max: 60_000,
                ..crate::admission::TlsOptions::default()
            };
            let tls = Arc::new(Tls::load(options).unwrap());
            open_within(Guard { tls: Some(tls), gate: None }, Options::default(), || "hashwarden_in_flight 3\n".into()).await
        };
        let port = open(client_ca).await;
        let (known, foreign) = (clients.caller("prometheus"), authority.caller("prometheus"));
        let ask = async |caller, path| ask_within_tls(&port, &authority, caller, path).await;
        assert!(ask(None, "/healthz").await.contains("HTTP/1.1 200"));
        assert!(ask(None, "/readyz").await.contains("HTTP/1.1 503"));
        for path in ["/metrics", "/metrics?/healthz", "/", "//healthz"] {
            let answer = ask(None, path).await;
            assert!(answer.contains("HTTP/1.1 403") && !answer.contains("in_flight"), "{path}: {answer}");
        }
        assert!(ask(Some(&known), "/metrics").await.contains("hashwarden_in_flight 3"));
        assert_eq!(ask(Some(&foreign), "/healthz").await, "");
        // Plain text is not answered.
        let mut plain = TcpStream::connect(port.address).await.unwrap();
        plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.windows(4).any(|part| part == b"HTTP"));
        // Without authorities for callers, and without tokens, all pages are for all.
        let port = open(Default::default()).await;
        assert!(ask_within_tls(&port, &authority, None, "/metrics").await.contains("hashwarden_in_flight 3"));
    }

    /// Where callers had tokens and no certificates, the names of lists were for whoever asked.
    #[tokio::test]
    async fn where_callers_have_tokens_the_metrics_are_for_operators() {
        use crate::access::{Rights, Role, tokens};
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.json");
        let token = |name: &str, role: Role| {
            let rights = Rights { roles: [role].into(), ..Rights::none() };
            let rights = Rights { lists: None, ..rights };
            tokens::create(&file, tokens::Wanted { name: name.to_owned(), rights, items_per_s: None, expires: None }).unwrap()
        };
        let (scraper, uploads) = (token("scraper", Role::Operator), token("uploads", Role::Matcher));
        let gate = Gate::of_tokens(file.clone()).unwrap();
        let guard = Guard { tls: None, gate: Some(gate) };
        let port = open_within(guard, Options::default(), || "hashwarden_in_flight 3\n".into()).await;
        let ask = async |path: &str, token: &str| {
            port.ask(&format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX:")).await
        };
        port.check("GET /healthz", &["HTTP/1.1 200"]).await;
        port.check("GET /readyz", &["HTTP/1.1 503", "loading"]).await;
        port.check("GET /metrics", &["HTTP/1.1 401", "www-authenticate: Bearer", "asks for a token"]).await;
        assert!(ask("/metrics", "wrong").await.contains("HTTP/1.1 401"));
        let refused = ask("/metrics", &uploads).await;
        assert!(
            refused.contains("HTTP/1.1 403") && refused.contains("role operator") && !refused.contains("in_flight"),
            "{refused}"
        );
        let page = ask("/metrics", &scraper).await;
        assert!(page.contains("HTTP/1.1 200") && page.contains("hashwarden_in_flight 3"), "{page}");
        assert!(ask("/", "wrong").await.contains("HTTP/1.1 401"), "what there is shows nobody");
    }

    /// Where names of certificates have roles, a certificate alone showed the names of lists to whoever has one.
    #[tokio::test]
    async fn where_certificates_have_roles_the_metrics_are_for_those_of_operators() {
        use crate::access::{Rights, Role, tokens};
        let folder = tempfile::tempdir().unwrap();
        let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
        let (certificate_file, key_file) = authority.server().write(folder.path(), "server");
        let (client_ca_file, file) = (folder.path().join("clients.pem"), folder.path().join("tokens.json"));
        std::fs::write(&client_ca_file, clients.pem()).unwrap();
        for (name, role) in [("prometheus", Role::Operator), ("scanner", Role::Matcher)] {
            let rights = Rights { roles: [role].into(), lists: None, sees: false, brings_hashes: false };
            tokens::allow(&file, tokens::Wanted { name: name.to_owned(), rights, items_per_s: None, expires: None }).unwrap();
        }
        let tls = crate::admission::TlsOptions { certificate_file, key_file, client_ca_file, ..Default::default() };
        let (tls, gate) = (Some(Arc::new(Tls::load(tls).unwrap())), Some(Gate::of_tokens(file).unwrap()));
        let port = open_within(Guard { tls, gate }, Options::default(), || "hashwarden_in_flight 3\n".into()).await;
        for (caller, expected) in [
            (Some("prometheus"), "HTTP/1.1 200"),
            (Some("scanner"), "HTTP/1.1 403"),
            (Some("stranger"), "HTTP/1.1 403"),
            (None, "HTTP/1.1 401"),
        ] {
            let pair = caller.map(|name| clients.caller(name));
            let answer = ask_within_tls(&port, &authority, pair.as_ref(), "/metrics").await;
            assert!(answer.contains(expected), "{caller:?}: {answer}");
            assert_eq!(answer.contains("hashwarden_in_flight 3"), expected.ends_with("200"), "{caller:?}: {answer}");
        }
        assert!(ask_within_tls(&port, &authority, None, "/healthz").await.contains("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn so_many_pages_of_metrics_are_made_at_once() {
        for metrics_max in [1, 3] {
            // None is done before all that may be made at once were begun, and one more was turned away.
            let (began, mut begins) = tokio::sync::mpsc::unbounded_channel();
            let (done, go_on) = std::sync::mpsc::channel::<()>();
            let go_on = Mutex::new(go_on);
            let metrics = move || {
                began.send(()).unwrap();
                let _ = go_on.lock().unwrap().recv();
                "hashwarden_in_flight 3\n".into()
            };
            let options = Options { request_ms_max: 60_000, metrics_max, ..Options::default() };
            let port = Arc::new(open_with(options, metrics).await);
            let mut made = Vec::new();
            for _ in 0..metrics_max {
                let port = port.clone();
                made.push(tokio::spawn(async move { port.ask("GET /metrics").await }));
                begins.recv().await.unwrap();
            }
            port.check("GET /metrics", &["HTTP/1.1 503", "retry-after: 1", "try again"]).await;
            drop(done);
            for page in made {
                assert!(page.await.unwrap().contains("HTTP/1.1 200"));
            }
        }
    }

    #[tokio::test]
    async fn an_open_connection_does_not_hold_up_the_end() {
        let mut port = open().await;
        // One that has asked nothing yet, one that stops in the middle of a request.
        let _silent = TcpStream::connect(port.address).await.unwrap();
        let mut halfway = TcpStream::connect(port.address).await.unwrap();
        halfway.write_all(b"GET /hea").await.unwrap();
        port.check("GET /healthz", &["200"]).await;
        port.stop.take().unwrap().send(()).unwrap();
        port.served.await.unwrap().unwrap();
        assert!(TcpStream::connect(port.address).await.is_err(), "the port is still open");
    }

    /// 64 connections that were slow with their headers kept the probes out.
    #[tokio::test]
    async fn slow_headers_do_not_keep_a_probe_out() {
        let port = open().await;
        let mut slow = Vec::new();
        for n in 0..Options::default().connections_max * 2 {
            let mut stream = TcpStream::connect(port.address).await.unwrap();
            if n % 2 == 0 {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
            }
            slow.push(stream);
        }
        port.check("GET /healthz", &["200"]).await;
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_closed_however_it_trickles() {
        let port = open().await;
        let mut slow = TcpStream::connect(port.address).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
        let trickled = async {
            loop {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if slow.write_all(b"x").await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), trickled).await.expect("the connection is still open");
    }
}
