//! TLS: the server's certificate, which is read anew when its files change, and the handshakes, which are bounded in time and number.
//!
//! A pair of files that can't be used leaves the one before in force: callers see nothing of it, the log and the metrics do. A handshake runs
//! beside the accepting of further connections, each of which counts as a connection from its first moment. Whoever is refused is counted by
//! the reason and logged, seldom enough that a flood fills no log. Absent: lists of revoked certificates, and what a caller may do.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, CertificateError, RootCertStore, ServerConfig};

use super::budget::{Budget, Seldom};
use super::certificate::{self, BadCertificate};
use super::connections::Connection;
use super::stream::Stream;
use crate::access::file::{self, Stamp, Unread};
use crate::entry::Caller;
use crate::entry::options::{Unfit, options};
use crate::entry::shown::unopened;

/// A certificate with its chain, or a bundle of authorities, is some kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How often files are looked at. What changed is read when it has been the same for as long, as certificate and key are seldom replaced at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A certificate that ends sooner is a warning in the log.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// What a connection can hold more within TLS: records on their way in and out.
pub const TLS_BYTES: u64 = 128 * 1024;

/// How long, and for how many bytes, whoever was refused may take to read why.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 * 1024;

options! {
    /// Certificates and handshakes. Files are in PEM; an empty path is none.
    #[derive(Eq)]
    pub struct Options {
        /// The server's certificate, then those that lead to its authority; without it, the ports speak plain text.
        pub certificate_file: PathBuf = PathBuf::new();
        pub key_file: PathBuf = PathBuf::new();
        /// The authorities of callers' certificates; without it, callers need none.
        pub client_ca_file: PathBuf = PathBuf::new();
        /// How long a handshake may take. It is done in one second even on bad lines.
        pub handshake_ms_max: u64 = 10_000, in 10..=3_600_000;
        /// Handshakes of one caller at once; those of all are bounded by the connections, among which they count.
        pub handshakes_per_caller_max: u64 = 128, in 1..=65_536;
    }
}

impl Options {
    pub fn is_on(&self) -> bool {
        is_given(&self.certificate_file)
    }

    /// Whether callers prove who they are by certificates.
    pub fn asks_for_certificates(&self) -> bool {
        is_given(&self.client_ca_file)
    }

    /// Refuses files that are of no use without another one.
    pub fn check(&self) -> Result<(), Unfit> {
        let demand = |met, key, must: &str| if met { Ok(()) } else { Err(Unfit { key, must: must.to_owned() }) };
        demand(self.is_on() || !is_given(&self.key_file), "certificate_file", "must be set, as key_file is")?;
        demand(!self.is_on() || is_given(&self.key_file), "key_file", "must be set, as certificate_file is")?;
        demand(self.is_on() || !self.asks_for_certificates(), "certificate_file", "must be set, as client_ca_file is")?;
        self.check_ranges()
    }

    fn client_ca(&self) -> Option<&Path> {
        self.asks_for_certificates().then_some(&*self.client_ca_file)
    }
}

fn is_given(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Why certificates can't be used. Nothing of a file's content is said.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("[tls] {key}: {}", unopened(&path.display().to_string(), .error))]
    Unreadable { key: &'static str, path: PathBuf, error: io::Error },
    #[error("[tls] {key}: {} {what}", path.display())]
    Unfit { key: &'static str, path: PathBuf, what: String },
    #[error("[tls] key_file: {} is not the key of the certificate in {}", key.display(), certificate.display())]
    NotAPair { certificate: PathBuf, key: PathBuf },
}

/// Which port is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// gRPC: a caller has a certificate where there are authorities for it.
    Rpc,
    /// The operator's pages: a caller may have one, as probes can't.
    Pages,
}

/// TLS for all ports of the process.
pub struct Tls {
    options: Options,
    current: ArcSwap<Current>,
    /// What the files looked like when they were read.
    loaded: Stamps,
    handshake_max: Duration,
    handshakes: Arc<Budget>,
    refusals: Refusals,
}

/// What is in force.
struct Current {
    rpc: Arc<ServerConfig>,
    pages: Arc<ServerConfig>,
    expires: SystemTime,
}

impl Tls {
    /// Reads the files.
    pub fn load(options: Options) -> Result<Self, TlsError> {
        let loaded = stamps(&options);
        let current = Current::read(&options, SystemTime::now())?;
        current.tell("TLS is on");
        for outcome in ["loaded", "kept"] {
            reloads(outcome).increment(0); // so that an alert on its increase sees the first one too
        }
        failing().set(0.0);
        Ok(Tls {
            current: ArcSwap::from_pointee(current),
            loaded,
            handshake_max: Duration::from_millis(options.handshake_ms_max),
            handshakes: Budget::new("tls.handshakes_per_caller_max", u64::MAX, options.handshakes_per_caller_max),
            refusals: Refusals::default(),
            options,
        })
    }

    /// Whether callers prove who they are by certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.options.asks_for_certificates()
    }

    /// Reads the files anew when they change, until `stopped` is done.
    pub async fn follow(self: Arc<Self>, stopped: impl Future<Output = ()>) {
        let mut stopped = std::pin::pin!(stopped);
        let (mut loaded, mut before) = (self.loaded.clone(), self.loaded.clone());
        while tokio::time::timeout(LOOK_EVERY, &mut stopped).await.is_err() {
            let of = self.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || stamps(&of.options)).await else { continue };
            if now != loaded && now == before {
                loaded = now.clone();
                let of = self.clone();
                drop(tokio::task::spawn_blocking(move || of.reload()).await);
            }
            before = now;
        }
    }

    fn reload(&self) {
        let read = Current::read(&self.options, SystemTime::now());
        failing().set(if read.is_ok() { 0.0 } else { 1.0 });
        match read {
            Ok(current) => {
                reloads("loaded").increment(1);
                current.tell("TLS certificates were read anew");
                self.current.store(Arc::new(current));
            }
            Err(error) => {
                reloads("kept").increment(1);
                tracing::error!(%error, "the changed TLS files can't be used; those read before stay in force");
            }
        }
    }

    /// The connection within TLS, if its caller may have it; else it is closed.
    pub async fn handshake(&self, port: Port, connection: Connection) -> Option<Stream> {
        let caller = connection.peer().caller.clone();
        let Ok(_place) = self.handshakes.demand(&caller, 1) else {
            count("shed");
            return None;
        };
        let current = self.current.load_full();
        let config = match port {
            Port::Rpc => current.rpc.clone(),
            Port::Pages => current.pages.clone(),
        };
        let accepting = TlsAcceptor::from(config).accept(connection).into_fallible();
        match tokio::time::timeout(self.handshake_max, accepting).await {
            Err(_) => self.refuse(&caller, Refusal::Slow, &format!("no TLS handshake in {} ms", self.handshake_max.as_millis())),
            Ok(Err((error, connection))) => {
                let refusal = Refusal::of(&error);
                self.refuse(&caller, refusal, &error.to_string());
                if refusal != Refusal::Broken {
                    linger(connection).await;
                }
            }
            Ok(Ok(stream)) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                match certificate.map(|der| certificate::name(der)).transpose() {
                    Ok(name) => {
                        count("done");
                        return Some(Stream::within_tls(stream, name));
                    }
                    Err(bad) => self.refuse(&caller, Refusal::Unnamed, &format!("the client's certificate: {bad}")),
                }
            }
        }
        None
    }

    fn refuse(&self, caller: &Caller, refusal: Refusal, why: &str) {
        count(refusal.name());
        if self.refusals.of(refusal).is_due() {
            let (reason, caller) = (refusal.name(), &caller.0);
            tracing::warn!(reason, caller, why, "TLS refused; further refusals for this reason within 10 s are only counted");
        }
    }
}

/// Lets the other end read why it was refused: closing at once, with bytes of its own unread, would take the alert away from it.
async fn linger(mut connection: Connection) {
    let read = async {
        let _ = connection.shutdown().await; // gone already, it reads nothing any more
        let (mut bytes, mut left) = ([0; 4096], LINGER_BYTES_MAX);
        while let Ok(n @ 1..) = connection.read(&mut bytes).await
            && n < left
        {
            left -= n;
        }
    };
    let _ = tokio::time::timeout(LINGER_MAX, read).await;
}

fn count(outcome: &'static str) {
    metrics::counter!("hashwarden_tls_handshakes_total", "outcome" => outcome).increment(1);
}

fn reloads(outcome: &'static str) -> metrics::Counter {
    metrics::counter!("hashwarden_tls_reloads_total", "outcome" => outcome)
}

fn failing() -> metrics::Gauge {
    metrics::gauge!("hashwarden_tls_reload_failing")
}

fn unfit(key: &'static str, path: &Path, what: impl Into<String>) -> TlsError {
    TlsError::Unfit { key, path: path.to_owned(), what: what.into() }
}

/// The state of each file; `None` where it is not there.
type Stamps = Vec<Option<Stamp>>;

fn stamps(files: &Options) -> Stamps {
    [&*files.certificate_file, &*files.key_file].into_iter().chain(files.client_ca()).map(Stamp::of).collect()
}

impl Current {
    fn read(files: &Options, now: SystemTime) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates("certificate_file", &files.certificate_file)?;
        let ends = checked("certificate_file", &files.certificate_file, &chain, |der| certificate::valid_until(der, now))?;
        let expires = ends.into_iter().min().unwrap_or(SystemTime::UNIX_EPOCH);
        let key = private_key(&files.key_file, &provider)?;
        let (required, optional) = match files.client_ca() {
            None => (None, None),
            Some(path) => {
                let authorities = authorities(path, now)?;
                let built = |optional: bool| {
                    verifier(&authorities, &provider, optional).map_err(|what| unfit("client_ca_file", path, what))
                };
                (Some(built(false)?), Some(built(true)?))
            }
        };
        let config = |protocol: &[u8], clients: Option<Arc<dyn ClientCertVerifier>>| {
            server_config(&provider, chain.clone(), key.clone_key(), clients, protocol).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    TlsError::NotAPair { certificate: files.certificate_file.clone(), key: files.key_file.clone() }
                }
                error => unfit("certificate_file", &files.certificate_file, format!("can't be used: {error}")),
            })
        };
        Ok(Current { rpc: Arc::new(config(b"h2", required)?), pages: Arc::new(config(b"http/1.1", optional)?), expires })
    }

    fn tell(&self, what: &'static str) {
        let since_epoch = self.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!("hashwarden_tls_certificate_expires_seconds").set(since_epoch.as_secs() as f64);
        let left = self.expires.duration_since(SystemTime::now()).unwrap_or_default();
        let days_left = left.as_secs() / 86_400;
        match left {
            left if left < SOON => tracing::warn!(days_left, "{what}; the certificate expires soon"),
            _ => tracing::info!(days_left, "{what}"),
        }
    }
}

/// Each configuration has its own sessions: one that began without a certificate is resumed nowhere that wants one. Where callers have
/// certificates no session is resumed at all, as that would not look at them again.
fn server_config(
    provider: &Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    protocol: &[u8],
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let resumes = clients.is_none();
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    if !resumes {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn verifier(
    authorities: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    optional: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(authorities.clone(), provider.clone());
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| format!("can't be used: {error}"))
}

fn authorities(path: &Path, now: SystemTime) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = certificates("client_ca_file", path)?;
    checked("client_ca_file", path, &found, |der| certificate::check_authority(der, now))?;
    for certificate in found {
        let what = |error| unfit("client_ca_file", path, format!("has a certificate in it that can't be used: {error}"));
        roots.add(certificate).map_err(what)?;
    }
    Ok(Arc::new(roots))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let (text, _) = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|_| unfit(key, path, "is not whole: a certificate in it is not PEM"))?;
    if found.is_empty() {
        return Err(unfit(key, path, "holds no certificate in PEM"));
    }
    Ok(found)
}

/// Each of a file's certificates as it was found to be; the first that can't be used is told by its place.
fn checked<T>(
    key: &'static str,
    path: &Path,
    found: &[CertificateDer<'_>],
    check: impl Fn(&[u8]) -> Result<T, BadCertificate>,
) -> Result<Vec<T>, TlsError> {
    let of = |(n, der): (usize, &CertificateDer<'_>)| {
        check(der).map_err(|bad| unfit(key, path, format!("holds a certificate that can't be used, number {}: {bad}", n + 1)))
    };
    found.iter().enumerate().map(of).collect()
}

fn private_key(path: &Path, provider: &CryptoProvider) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (text, found) = read("key_file", path)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| unfit("key_file", path, "holds no private key in PEM (without a passphrase)"))?;
    let unsupported =
        "holds a private key that is not supported: take RSA with 2048 to 8192 bits, ECDSA P-256 or P-384, or Ed25519";
    provider.key_provider.load_private_key(key.clone_key()).map_err(|_| unfit("key_file", path, unsupported))?;
    if found.permissions().mode() & 0o004 != 0 {
        tracing::warn!(file = %path.display(), "every user of this machine can read the private key of [tls] key_file: chmod 600");
    }
    Ok(key)
}

fn read(key: &'static str, path: &Path) -> Result<(Vec<u8>, Metadata), TlsError> {
    file::read(path, FILE_BYTES_MAX).map_err(|why| match why {
        Unread::Io(error) => TlsError::Unreadable { key, path: path.to_owned(), error },
        Unread::NotAFile => unfit(key, path, "is not a file"),
        Unread::TooLong => unfit(key, path, format!("has more than {FILE_BYTES_MAX} bytes")),
    })
}

/// Why a handshake came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Slow,
    NoCertificate,
    Foreign,
    Expired,
    Bad,
    Unnamed,
    /// The client did not take the server's certificate.
    ByClient,
    NotTls,
    Broken,
}

impl Refusal {
    const ALL: [Refusal; 9] = [
        Refusal::Slow,
        Refusal::NoCertificate,
        Refusal::Foreign,
        Refusal::Expired,
        Refusal::Bad,
        Refusal::Unnamed,
        Refusal::ByClient,
        Refusal::NotTls,
        Refusal::Broken,
    ];

    fn name(self) -> &'static str {
        match self {
            Refusal::Slow => "timeout",
            Refusal::NoCertificate => "no_certificate",
            Refusal::Foreign => "foreign",
            Refusal::Expired => "expired",
            Refusal::Bad => "bad_certificate",
            Refusal::Unnamed => "unnamed",
            Refusal::ByClient => "refused_by_client",
            Refusal::NotTls => "not_tls",
            Refusal::Broken => "broken_off",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::NoCertificatesPresented) => Refusal::NoCertificate,
            Some(rustls::Error::InvalidCertificate(why)) => match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refusal::Expired,
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Refusal::Foreign,
                _ => Refusal::Bad,
            },
            Some(rustls::Error::AlertReceived(_)) => Refusal::ByClient,
            Some(rustls::Error::InvalidMessage(_)) => Refusal::NotTls,
            _ => Refusal::Broken,
        }
    }
}

/// When a refusal of each kind was logged last.
struct Refusals([Seldom; Refusal::ALL.len()]);

impl Default for Refusals {
    fn default() -> Self {
        Refusals(Refusal::ALL.map(|_| Seldom::default()))
    }
}

impl Refusals {
    fn of(&self, refusal: Refusal) -> &Seldom {
        &self.0[refusal as usize]
    }
}
