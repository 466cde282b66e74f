//! Is the process well, is it ready, what has it done? The pages for whoever runs it, over plain HTTP.
//!
//! `/healthz`: 200 while the process answers at all. `/readyz`: 200 while it can give verdicts, else 503 with the reason in words.
//! `/metrics`: Prometheus' text format. What they say is handed in as [`Pages`]: this room reaches no door. Absent: any page that
//! changes something, and authentication, so the port listens on loopback unless told otherwise.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Open connections; the next one waits in the system's backlog. A scraper, a probe and a few people need no more.
const CONNECTIONS_MAX: usize = 64;
/// A connection that sends nothing for this long is closed, so that forgotten ones can't keep the probes out.
const IDLE_MAX: Duration = Duration::from_secs(120);
/// How long requests may still take once the shutdown was asked for.
const DRAIN_MAX: Duration = Duration::from_secs(2);

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
pub fn routes(pages: Pages) -> Router {
    let pages = Arc::new(pages);
    let asked = Arc::clone(&pages);
    let ready = move || async move {
        let readiness = (asked.ready)();
        let status = if matches!(readiness, Readiness::Ready { .. }) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(header::CACHE_CONTROL, "no-store")], format!("{readiness}\n"))
    };
    let metrics = move || async move {
        let Ok(page) = tokio::task::spawn_blocking(move || (pages.metrics)()).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], page)
            .into_response()
    };
    let health = || async { ([(header::CACHE_CONTROL, "no-store")], "alive\n") };
    Router::new().route("/healthz", get(health)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// Serves `routes` on `listener` until `shutdown` is ready; requests begun by then get two seconds more.
pub async fn serve(listener: TcpListener, routes: Router, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let limited = Limited { listener, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
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
    let served = axum::serve(limited, routes).with_graceful_shutdown(stop);
    tokio::select! {
        ended = async move { served.await } => ended,
        () = overtime => Ok(()),
    }
}

struct Limited {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match Arc::clone(&self.permits).acquire_owned().await {
                Ok(permit) => {
                    // axum's own accept waits out errors such as too many open files.
                    let (stream, address) = Listener::accept(&mut self.listener).await;
                    return (Connection { stream, _permit: permit, idle: Box::pin(tokio::time::sleep(IDLE_MAX)) }, address);
                }
                // The semaphore is never closed.
                Err(_) => tokio::time::sleep(IDLE_MAX).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that counts against the limit while it is open, and gives up when nothing comes.
struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
    idle: Pin<Box<Sleep>>,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(done) => {
                self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
                Poll::Ready(done)
            }
            Poll::Pending => self.idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    struct Port {
        address: SocketAddr,
        ready: Arc<Mutex<Readiness>>,
        stop: Option<oneshot::Sender<()>>,
        served: JoinHandle<io::Result<()>>,
    }

    async fn open() -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Arc::new(Mutex::new(Readiness::Loading));
        let asked = Arc::clone(&ready);
        let pages = Pages {
            metrics: Box::new(|| "hashwarden_in_flight 3\n".into()),
            ready: Box::new(move || asked.lock().unwrap().clone()),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, routes(pages), async move {
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

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_until_one_is_closed() {
        let port = open().await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            held.push(TcpStream::connect(port.address).await.unwrap());
        }
        let mut waiting = Box::pin(port.ask("GET /healthz"));
        // Long enough for an answer that would wrongly be given.
        let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
        assert!(early.is_err(), "answered beyond the limit");
        held.pop();
        assert!(waiting.await.contains("200"));
    }
}
