//! A connection that was let in, plain or within TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::connections::Connection;

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

    pub(super) fn plain(connection: Connection) -> Self {
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
