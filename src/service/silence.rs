//! How long may a call wait for its caller and carry nothing?
//!
//! A stream that is open and silent costs its caller nothing, and holds a place among the calls and on its connection. So it ends in time, and
//! when the service drains; one that carries messages now and then, either way, goes on. Absent: what happens within a message, or while the
//! service works, which have limits of their own.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tonic::Status;

use super::{convert, told};
use crate::admission::Peer;

/// What holds for all calls.
#[derive(Clone)]
pub struct Rules {
    pub silent_max: Duration,
    pub draining: watch::Receiver<bool>,
}

/// Done when the call has been silent for too long, or is silent while the service drains.
pub type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// One call's messages, as time sees them.
pub struct Silence {
    rules: Rules,
    /// The connection, where there is one.
    peer: Option<Arc<Peer>>,
    made: Instant,
    /// When a message came or went last, ms after `made`.
    last_ms: AtomicU64,
    end: OnceLock<Status>,
}

impl Silence {
    pub fn new(rules: Rules, peer: Option<Arc<Peer>>) -> Arc<Self> {
        Arc::new(Silence { rules, peer, made: Instant::now(), last_ms: AtomicU64::new(0), end: OnceLock::new() })
    }

    /// A message came or went.
    pub fn broken(&self) {
        self.last_ms.store(self.made.elapsed().as_millis() as u64, Ordering::Relaxed);
        if let Some(peer) = &self.peer {
            peer.touch();
        }
    }

    /// To be polled while nothing is there.
    pub fn end(self: &Arc<Self>) -> End {
        let silence = self.clone();
        Box::pin(async move {
            let status = tokio::select! {
                () = told(silence.rules.draining.clone()) => convert::stopping_status(),
                () = silence.too_long() => convert::silent_status(silence.rules.silent_max),
            };
            silence.end_with(status)
        })
    }

    /// The call ends with this, unless it has ended already; says with what.
    pub fn end_with(&self, status: Status) -> Status {
        self.end.get_or_init(|| status).clone()
    }

    /// How the call ends, once it was silent for too long, or is to end for another reason that the edge knows.
    pub fn ended(&self) -> Option<&Status> {
        self.end.get()
    }

    async fn too_long(&self) {
        loop {
            let until = self.made + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + self.rules.silent_max;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}
