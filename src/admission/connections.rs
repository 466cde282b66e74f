//! Who may stay connected?
//!
//! Connections are counted, for all and for each caller. One too many does not wait at the door, where it would keep others out: it takes the
//! place of one that does nothing, or is closed at once; some places are kept for callers that have no connection. A connection that is
//! silent, idle, or slow to ask and to take its answer is closed in time. Frames that only keep a connection alive count for nothing:
//! what counts are calls, and of calls that wait for their caller the messages.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::budget::{Over, Refusals, reserve};
use crate::entry::Caller;

/// After a failed `accept`, such as for want of file descriptors, which would otherwise fail again at once.
const PAUSE: Duration = Duration::from_millis(50);
/// A new connection gets so long to ask for something before another may take its place.
const GRACE: Duration = Duration::from_secs(1);

/// How long a connection may do nothing of use.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the connection's beginning to its first byte.
    pub first_byte: Duration,
    /// Without a call. With calls that all wait for their caller, and carry no message, twice as long: they have limits of their own.
    pub idle: Duration,
    /// From a request's first byte to its answer's, and for an answer that is not taken. `None` where calls have deadlines of their own.
    pub request: Option<Duration>,
}

/// The connections of one port.
pub struct Connections {
    limit: &'static str,
    max: usize,
    caller_max: usize,
    /// Of `max`, what only callers get that have none yet.
    reserve: usize,
    patience: Patience,
    table: Mutex<Table>,
    refusals: Refusals,
    in_use: metrics::Gauge,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Open>,
    by: HashMap<Arc<Caller>, usize>,
}

struct Open {
    peer: Arc<Peer>,
    /// Dropped, it closes the connection.
    _evict: oneshot::Sender<()>,
}

/// The other end of a connection.
pub struct Peer {
    pub caller: Arc<Caller>,
    made: Instant,
    calls: AtomicUsize,
    /// Of the calls, those that the service has not answered yet.
    works: AtomicUsize,
    /// When a call began or ended last, or carried a message, ms after `made`; at first a moment later than that.
    last_ms: AtomicU64,
}

impl Peer {
    /// A call begins; it ends when this is dropped.
    pub fn call(self: &Arc<Self>) -> InCall {
        self.calls.fetch_add(1, Ordering::AcqRel);
        InCall(self.clone())
    }

    /// Since when there was no call.
    fn idle_since(&self) -> Option<Instant> {
        (self.calls.load(Ordering::Acquire) == 0).then(|| self.last())
    }

    /// Since when the service has nothing to do for any call, and no message came or went.
    fn silent_since(&self) -> Option<Instant> {
        (self.works.load(Ordering::Acquire) == 0).then(|| self.last())
    }

    fn last(&self) -> Instant {
        self.made + Duration::from_millis(self.last_ms.load(Ordering::Acquire))
    }

    /// A message came or went.
    pub fn touch(&self) {
        self.last_ms.store(self.made.elapsed().as_millis() as u64, Ordering::Release);
    }
}

pub struct InCall(Arc<Peer>);

impl InCall {
    /// The service works on the call until this is dropped: no silence is its caller's doing meanwhile.
    pub fn work(&self) -> Work {
        self.0.works.fetch_add(1, Ordering::AcqRel);
        Work(self.0.clone())
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        self.0.touch();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

pub struct Work(Arc<Peer>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.touch();
        self.0.works.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connections {
    /// `limit` is the key of the configuration that sets `max`. A [`reserve`] is for callers that have no connection.
    pub fn new(limit: &'static str, max: usize, caller_max: usize, patience: Patience) -> Arc<Self> {
        let max = max.max(1);
        let caller_max = caller_max.clamp(1, max);
        Arc::new(Connections {
            limit,
            max,
            caller_max,
            reserve: reserve(max as u64, caller_max as u64) as usize,
            patience,
            table: Mutex::default(),
            refusals: Refusals::new(limit),
            in_use: metrics::gauge!("hashwarden_limit_in_use", "limit" => limit),
        })
    }

    /// The next connection that may stay.
    pub async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        caller_of: &impl Fn(std::net::SocketAddr) -> Caller,
    ) -> Connection {
        loop {
            let accepted = listener.accept().await.and_then(|(stream, address)| {
                // Small replies are not held back for more.
                stream.set_nodelay(true)?;
                Ok((stream, address))
            });
            match accepted {
                Ok((stream, address)) => {
                    if let Some(connection) = self.admit(stream, Arc::new(caller_of(address))) {
                        return connection;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, caller: Arc<Caller>) -> Option<Connection> {
        let mut table = self.lock();
        let own = table.by.get(&caller).copied().unwrap_or(0);
        if let Some(over) = self.over(own, table.open.len()) {
            let Some(victim) = self.victim(&table, &caller, over) else {
                drop(table);
                self.refusals.tell(&caller, &over.to_string());
                return None;
            };
            table.forget(victim);
        }
        let id = table.next;
        table.next += 1;
        let (evict, evicted) = oneshot::channel();
        let peer = Arc::new(Peer {
            caller: caller.clone(),
            made: Instant::now(),
            calls: AtomicUsize::new(0),
            works: AtomicUsize::new(0),
            last_ms: AtomicU64::new(GRACE.as_millis() as u64),
        });
        table.open.insert(id, Open { peer: peer.clone(), _evict: evict });
        *table.by.entry(caller).or_default() += 1;
        self.in_use.set(table.open.len() as f64);
        let timer = Box::pin(tokio::time::sleep(self.patience.first_byte.min(self.patience.idle)));
        let watch = Watch { patience: self.patience, spoke: false, asked: None, last: Instant::now(), stalled: None, timer };
        Some(Connection { stream, evicted, watch, place: Place { of: self.clone(), id, peer }, held: None })
    }

    /// Which limit one more connection of a caller that has `own` would pass.
    fn over(&self, own: usize, open: usize) -> Option<Over> {
        let (limit, max) = (self.limit, self.max as u64);
        if own >= self.caller_max {
            Some(Over::Caller { limit, max: self.caller_max as u64 })
        } else if open >= self.max {
            Some(Over::All { limit, max })
        } else if own > 0 && open >= self.max - self.reserve {
            Some(Over::Kept { limit, max, reserve: self.reserve as u64 })
        } else {
            None
        }
    }

    /// The idle connection that gives its place to the caller: its own, or that of a caller who has more. Among those, of the caller who has
    /// the most, the one that has been idle for the longest. Where requests have no calls to be counted, the oldest will do.
    fn victim(&self, table: &Table, caller: &Caller, over: Over) -> Option<u64> {
        let now = Instant::now();
        let of = |caller: &Caller| table.by.get(caller).copied().unwrap_or(0);
        let own = of(caller);
        let idle = table.open.iter().filter_map(|(id, open)| {
            let theirs = of(&open.peer.caller);
            let gives = *open.peer.caller == *caller || (theirs > own && !matches!(over, Over::Caller { .. }));
            let since = open.peer.idle_since().filter(|since| gives && (self.oldest_will_do() || *since < now))?;
            Some((Reverse(theirs), since, *id))
        });
        idle.min().map(|(.., id)| id)
    }

    fn oldest_will_do(&self) -> bool {
        self.patience.request.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget(&mut self, id: u64) {
        let Some(open) = self.open.remove(&id) else { return };
        if let Some(n) = self.by.get_mut(&open.peer.caller) {
            *n -= 1;
            if *n == 0 {
                self.by.remove(&open.peer.caller);
            }
        }
    }
}

/// A place among the connections, until it is dropped.
struct Place {
    of: Arc<Connections>,
    id: u64,
    peer: Arc<Peer>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.of.lock();
        table.forget(self.id);
        self.of.in_use.set(table.open.len() as f64);
    }
}

/// A connection that counts, and that closes itself where nothing of use happens.
pub struct Connection {
    stream: TcpStream,
    evicted: oneshot::Receiver<()>,
    watch: Watch,
    place: Place,
    held: Option<Box<dyn Send>>,
}

/// What happens on a connection, and when it is too little.
struct Watch {
    patience: Patience,
    spoke: bool,
    /// When the request that has no answer yet began.
    asked: Option<Instant>,
    last: Instant,
    /// Since when the other end takes nothing.
    stalled: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Watch {
    /// When the connection is to be closed, as things stand.
    fn until(&self, peer: &Peer) -> Option<Instant> {
        if !self.spoke {
            return Some(peer.made + self.patience.first_byte);
        }
        let Some(request) = self.patience.request else {
            return match peer.idle_since() {
                Some(since) => Some(since + self.patience.idle),
                None => peer.silent_since().map(|since| since + 2 * self.patience.idle),
            };
        };
        let stalled = self.stalled.or(self.asked).map(|since| since + request);
        Some(stalled.unwrap_or(self.last + self.patience.idle))
    }

    fn poll(&mut self, peer: &Peer, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let next = match self.until(peer) {
                Some(until) if until <= now => return Poll::Ready(io::ErrorKind::TimedOut.into()),
                Some(until) => until,
                // There is a call in work, which has limits of its own.
                None => now + self.patience.idle,
            };
            // What begins meanwhile may have to end sooner.
            let soonest = self.patience.request.map_or(next, |request| next.min(now + request));
            self.timer.as_mut().reset(soonest.into());
        }
        Poll::Pending
    }

    fn read(&mut self) {
        self.spoke = true;
        self.last = Instant::now();
        self.asked.get_or_insert(self.last);
    }

    fn wrote(&mut self, pending: bool) {
        if pending {
            self.stalled.get_or_insert_with(Instant::now);
        } else {
            (self.stalled, self.asked) = (None, None);
            self.last = Instant::now();
        }
    }
}

impl Connection {
    /// Holds this until it closes.
    pub fn hold(&mut self, held: impl Send + 'static) {
        self.held = Some(Box::new(held));
    }

    pub fn peer(&self) -> &Arc<Peer> {
        &self.place.peer
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Why it is to be closed now.
    fn ends(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if Pin::new(&mut self.evicted).poll(cx).is_ready() {
            return Some(io::ErrorKind::ConnectionAborted.into());
        }
        match self.watch.poll(&self.place.peer, cx) {
            Poll::Ready(error) => Some(error),
            Poll::Pending => None,
        }
    }

    fn wrote(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.watch.wrote(wrote.is_pending());
        match self.ends(cx) {
            Some(error) if wrote.is_pending() => Poll::Ready(Err(error)),
            _ => wrote,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.read();
        }
        // Bytes that come without end must not keep the clock from being looked at.
        match self.ends(cx) {
            Some(error) => Poll::Ready(Err(error)),
            None => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
