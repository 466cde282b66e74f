//! How is a server reached, and by which address?
//!
//! The socket is made here, so that the address which was checked is the one that is connected to. A proxy that the configuration names resolves
//! names itself; what a URL says by itself is checked all the same. Invariants: `http://` leads to this machine alone; no address that the
//! configuration keeps from sources is connected to from here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::header::{self, AUTHORIZATION, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::credentials::Credentials;
use super::error::HttpError;
use super::options::Options;
use super::origin::{Origin, is_public};
use super::tls;
use crate::entry::is_this_machine;

/// Bytes of an answer's headers, and how many there may be.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;

pub type Sender = SendRequest<Full<Bytes>>;

/// What sources are reached through, if the configuration names it.
struct Proxy {
    at: Origin,
    /// What it is shown of who asks.
    authorization: Option<HeaderValue>,
}

pub struct Connect {
    time_max: Duration,
    private_hosts: bool,
    proxy: Option<Proxy>,
    ca_file: PathBuf,
    tls: Option<TlsConnector>,
}

impl Connect {
    pub fn new(options: &Options) -> Result<Self, String> {
        Ok(Connect {
            time_max: Duration::from_millis(options.connect_ms_max),
            private_hosts: options.private_hosts,
            proxy: proxy(options)?,
            ca_file: options.ca_file.clone(),
            tls: None,
        })
    }

    /// A connection that requests can be made over.
    pub async fn to(&mut self, origin: &Origin) -> Result<Sender, HttpError> {
        let connecting = tokio::time::timeout(self.time_max, self.connect(origin)).await;
        connecting.unwrap_or_else(|_| {
            Err(HttpError::passing(format!("no connection to {origin} within {} ms", self.time_max.as_millis())))
        })
    }

    async fn connect(&mut self, origin: &Origin) -> Result<Sender, HttpError> {
        // What is on this machine is no matter of a proxy's, which would take it for its own.
        let proxy = self.proxy.as_ref().filter(|_| !is_this_machine(&origin.host));
        if let Some(proxy) = proxy {
            self.check_unresolved(origin).map_err(HttpError::lasting)?;
            let stream = tunnel(proxy, origin).await?;
            return self.encrypted(origin, stream).await;
        }
        let stream = dial(origin, &self.addresses(origin).await?).await?;
        if origin.is_encrypted { self.encrypted(origin, stream).await } else { shaken(origin, stream).await }
    }

    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, HttpError> {
        let found = resolved(origin).await?;
        let local = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        if !origin.is_encrypted && !found.iter().all(local) {
            return Err(HttpError::lasting(NOT_ENCRYPTED));
        }
        if !self.private_hosts && !found.iter().all(|address| is_public(address.ip())) {
            return Err(HttpError::lasting(private(origin)));
        }
        Ok(found)
    }

    /// Refuses what can be told from a URL without resolving its name.
    pub fn check_unresolved(&self, origin: &Origin) -> Result<(), String> {
        let is_local = is_this_machine(&origin.host);
        if !origin.is_encrypted && !is_local {
            return Err(NOT_ENCRYPTED.to_owned());
        }
        let is_private = is_local || origin.host.parse::<IpAddr>().is_ok_and(|address| !is_public(address));
        if is_private && !self.private_hosts { Err(private(origin)) } else { Ok(()) }
    }

    async fn encrypted<S: Stream>(&mut self, origin: &Origin, stream: S) -> Result<Sender, HttpError> {
        let connector = match &self.tls {
            Some(connector) => connector.clone(),
            None => self.tls.insert(tls::connector(&self.ca_file).map_err(HttpError::lasting)?).clone(),
        };
        let name = ServerName::try_from(origin.host.clone());
        let name =
            name.map_err(|_| HttpError::lasting(format!("the host of {origin} can't be checked against a certificate")))?;
        let stream = connector.connect(name, stream).await.map_err(|error| tls::refused(origin, &error))?;
        shaken(origin, stream).await
    }
}

/// Refuses what no source could be fetched with: a proxy or a file of authorities that can't be used.
pub fn check(options: &Options) -> Result<(), String> {
    proxy(options)?;
    if options.ca_file.as_os_str().is_empty() { Ok(()) } else { tls::connector(&options.ca_file).map(drop) }
}

fn proxy(options: &Options) -> Result<Option<Proxy>, String> {
    let Options { proxy, proxy_credentials, credentials_dir, .. } = options;
    if proxy.is_empty() {
        return Ok(None);
    }
    // Not its words: a password may stand where none should.
    let bad = || "[feeds] proxy is not of the form http://HOST:PORT".to_owned();
    let url: Uri = proxy.parse().map_err(|_| bad())?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err(bad());
    }
    let at = Origin::of(&url).filter(|at| !at.is_encrypted).ok_or_else(bad)?;
    let mut authorization = None;
    if !proxy_credentials.is_empty() {
        let shown = Credentials::load(credentials_dir, proxy_credentials, None).map_err(|error| error.to_string())?;
        if shown.origin != at {
            return Err(format!("[feeds] proxy_credentials are for {}, and are not sent to {at}", shown.origin));
        }
        let basic = shown.headers.into_iter().find(|(name, _)| name == AUTHORIZATION);
        let (_, value) = basic.ok_or("[feeds] proxy_credentials have no user and password, which is what a proxy is shown")?;
        authorization = Some(value);
    }
    Ok(Some(Proxy { at, authorization }))
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

const NOT_ENCRYPTED: &str = "http:// is not encrypted: it is only for servers on this machine";

fn private(origin: &Origin) -> String {
    format!("{origin} has an address of this machine or of a private network, which [feeds] private_hosts does not allow")
}

async fn resolved(origin: &Origin) -> Result<Vec<SocketAddr>, HttpError> {
    match origin.host.parse::<IpAddr>() {
        Ok(address) => Ok(vec![SocketAddr::new(address, origin.port)]),
        Err(_) => {
            let unknown = |_| HttpError::passing(format!("the host of {origin} can't be resolved"));
            Ok(tokio::net::lookup_host((origin.host.as_str(), origin.port)).await.map_err(unknown)?.collect())
        }
    }
}

/// The first of these addresses that answers.
async fn dial(origin: &Origin, addresses: &[SocketAddr]) -> Result<TcpStream, HttpError> {
    let mut refused = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => refused = Some(error),
        }
    }
    let why = refused.map_or_else(|| "it has no address".to_owned(), |error: io::Error| crate::entry::shown::in_words(&error));
    Err(HttpError::passing(format!("no connection to {origin}: {why}")))
}

/// A connection to a server through the proxy, which the server's TLS then goes over.
async fn tunnel(proxy: &Proxy, origin: &Origin) -> Result<TokioIo<Upgraded>, HttpError> {
    let by = format!("through the proxy {}", proxy.at);
    let stream = dial(&proxy.at, &resolved(&proxy.at).await?).await?;
    let broken = |error: hyper::Error| HttpError::passing(format!("no connection to {origin} {by}: {}", in_words(&error)));
    let (mut sender, connection) = handshake().handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let target = origin.host_and_port();
    let mut request = Request::builder().method(Method::CONNECT).uri(&target).header(header::HOST, &target);
    if let Some(authorization) = &proxy.authorization {
        request = request.header(header::PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Full::<Bytes>::default());
    let request = request.map_err(|_| HttpError::lasting(format!("{origin} can't be reached {by}")))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let why = format!("no connection to {origin} {by}: it answered {}", words(status));
    match status {
        status if status.is_success() => {}
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            return Err(HttpError::lasting(format!("{why}: it does not accept the credentials ([feeds] proxy_credentials)")));
        }
        status if status.is_client_error() => return Err(HttpError::lasting(why)),
        _ => return Err(HttpError::passing(why)),
    }
    Ok(TokioIo::new(hyper::upgrade::on(answer).await.map_err(broken)?))
}

fn handshake() -> Builder {
    let mut builder = Builder::new();
    builder.max_buf_size(HEADERS_BYTES_MAX).max_headers(HEADERS_MAX);
    builder
}

async fn shaken<S: Stream>(origin: &Origin, stream: S) -> Result<Sender, HttpError> {
    let shaken = handshake().handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| HttpError::passing(format!("{origin}: {}", in_words(&error))))?;
    // Ends with the sender; what went wrong is what a request hears.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// A status by its number and its name.
pub fn words(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("?"))
}

/// hyper's errors name kinds of faults, and the system's; never what was sent.
pub fn in_words(error: &hyper::Error) -> String {
    let inner = std::error::Error::source(error).map(|inner| format!(": {inner}")).unwrap_or_default();
    format!("{error}{inner}")
}
