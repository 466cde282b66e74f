//! A connection that was let in, plain or within TLS, and the listener that lets it in.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use super::connections::{Connection, Connections};
use super::tls::{Port, Tls};
use crate::entry::Caller;

/// Bytes both ways, and who is at the other end.
pub struct Stream {
    bytes: Bytes,
    /// Whom the caller's certificate names.
    name: Option<Arc<str>>,
}

enum Bytes {
    Plain(Connection),
    Tls(Box<TlsStream<Connection>>),
}

impl Stream {
    pub(super) fn within_tls(stream: TlsStream<Connection>, name: Option<String>) -> Self {
        Stream { bytes: Bytes::Tls(Box::new(stream)), name: name.map(Arc::from) }
    }

    fn plain(connection: Connection) -> Self {
        Stream { bytes: Bytes::Plain(connection), name: None }
    }

    pub fn connection(&self) -> &Connection {
        match &self.bytes {
            Bytes::Plain(connection) => connection,
            Bytes::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Holds this until the connection closes.
    pub fn hold(&mut self, held: impl Send + 'static) {
        match &mut self.bytes {
            Bytes::Plain(connection) => connection.hold(held),
            Bytes::Tls(stream) => stream.get_mut().0.hold(held),
        }
    }

    /// Whom the caller's certificate names, where it was asked for one and it is valid.
    pub fn certified_name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }
}

/// Calls a method of what the bytes come from.
macro_rules! inner {
    ($stream:ident, $method:ident($($arg:expr),*)) => {
        match &mut $stream.get_mut().bytes {
            Bytes::Plain(connection) => Pin::new(connection).$method($($arg),*),
            Bytes::Tls(stream) => Pin::new(stream.as_mut()).$method($($arg),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        inner!(self, poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inner!(self, poll_shutdown(cx))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        inner!(self, poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(connection) => connection.is_write_vectored(),
            Bytes::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

/// Lets connections in by the rules of [`Connections`] and [`Tls`].
pub struct Listener<F> {
    listener: TcpListener,
    connections: Arc<Connections>,
    tls: Option<(Arc<Tls>, Port)>,
    caller_of: F,
    /// Each of them has its place among the connections, so there are never more than those.
    handshakes: JoinSet<Option<Stream>>,
}

impl<F: Fn(SocketAddr) -> Caller> Listener<F> {
    /// Plain text where there is no `tls`. `caller_of` tells callers apart by their addresses.
    pub fn new(listener: TcpListener, connections: Arc<Connections>, tls: Option<(Arc<Tls>, Port)>, caller_of: F) -> Self {
        Listener { listener, connections, tls, caller_of, handshakes: JoinSet::new() }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection whose handshake, if it needs one, is done: nobody waits for another one's. Dropping the future loses nothing.
    pub async fn accept(&mut self) -> Stream {
        loop {
            tokio::select! {
                connection = self.connections.accept(&self.listener, &self.caller_of) => match self.tls.clone() {
                    None => return Stream::plain(connection),
                    Some((tls, port)) => drop(self.handshakes.spawn(async move { tls.handshake(port, connection).await })),
                },
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(stream)) = shaken {
                        return stream;
                    }
                }
            }
        }
    }
}
