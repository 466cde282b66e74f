//! How many connections are open?
//!
//! Beyond the limit none is accepted: they wait in the kernel's backlog until another one closes. tonic itself has no such limit.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::meter;

/// After a failed `accept`, such as for want of file descriptors, which would otherwise fail again at once.
const PAUSE: Duration = Duration::from_millis(50);

/// A connection that has not said anything by then is closed: silent ones would keep callers out.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// Accepts until the stream is dropped, which closes the listener.
pub fn accept(listener: TcpListener, max: usize) -> ReceiverStream<io::Result<Connection>> {
    let (send, accepted) = mpsc::channel(1);
    let free = Arc::new(Semaphore::new(max.max(1)));
    tokio::spawn(async move {
        loop {
            let next = async {
                let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
                let (stream, _) = listener.accept().await?;
                // Small replies are not held back for more.
                stream.set_nodelay(true)?;
                let silent_until = Some(Box::pin(tokio::time::sleep(SILENT_MAX)));
                Ok::<_, io::Error>(Connection { stream, silent_until, _open: meter::Connected::new(), _permit: permit })
            };
            let next = tokio::select! {
                next = next => next,
                () = send.closed() => return,
            };
            match next {
                Ok(connection) => {
                    if send.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    ReceiverStream::new(accepted)
}

/// A connection that counts.
pub struct Connection {
    stream: TcpStream,
    /// `None` once something was read.
    silent_until: Option<Pin<Box<tokio::time::Sleep>>>,
    _open: meter::Connected,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;
    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.silent_until = None;
        }
        if read.is_pending()
            && let Some(until) = &mut self.silent_until
            && until.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
