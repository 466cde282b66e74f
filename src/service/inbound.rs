//! What comes in of a call: whole messages in time, and no more of them than there is room for.
//!
//! A request's body is followed on its way to tonic: each message's length, its parts ([`Scan`]) and its bytes. A message that begins has to
//! be whole within a time; one that is large takes its bytes, and what it will take once decoded, from the caller's share before
//! the rest is read. Streams wait for their share, as their clients do then; other calls are refused. A stream may be quiet between its
//! messages, but not for ever. What can't be read is refused before tonic decodes any of it. Invariant: bytes of a message that are in memory are counted until the message was taken in, for a call
//! with one message until the call ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use super::convert;
use super::silence::{self, Silence};
use crate::access::Principal;
use crate::admission::{Budget, Share};
use crate::entry::Caller;
use crate::proto::scan::{Flaw, Scan};

/// A message up to this size is not counted: there are as many as there are calls.
pub const SMALL_BYTES: u64 = 64 * 1024;
/// What a part takes in memory beside its bytes: the largest message of `proto/`.
const PART_BYTES: u64 = 112;
/// gRPC's prefix: a flag, and the length in four bytes.
const PREFIX_BYTES: usize = 5;

/// Shares of a call with one message, kept until the call ends.
pub type Kept = Arc<Mutex<Vec<Share>>>;

/// What holds for all calls.
#[derive(Clone)]
pub struct Rules {
    pub budget: Arc<Budget>,
    /// From a message's first byte to its last.
    pub message_max: Duration,
}

/// What holds for one call.
pub struct Call {
    pub caller: Arc<Caller>,
    /// The full name of its messages.
    pub message: &'static str,
    pub message_bytes_max: u64,
    /// `None` for a stream of messages, which may be long in coming.
    pub kept: Option<Kept>,
    /// Whose token the call ends with, at its next message, where nobody but the edge asks for that.
    pub ends_with: Option<Principal>,
    pub silence: Arc<Silence>,
    /// Where the call may wait for its next message.
    pub silent: Option<silence::End>,
}

/// A request's body.
pub struct Inbound {
    body: Body,
    rules: Rules,
    call: Call,
    at: At,
    /// A frame that waits for room, and how much of it was looked at.
    waiting: Option<Waiting>,
    /// Of messages that are not whole yet, or not taken in.
    shares: Vec<Share>,
    /// Runs while a message is on its way.
    timer: Pin<Box<Sleep>>,
    due: bool,
    /// The last answer was a frame or the end: who asks again has taken in what was whole by then.
    answered: bool,
    failed: bool,
}

struct Waiting {
    frame: Bytes,
    seen: usize,
    room: Pin<Box<dyn Future<Output = Share> + Send>>,
}

enum At {
    Prefix {
        bytes: [u8; PREFIX_BYTES],
        n: usize,
    },
    Message {
        left: u64,
        scan: Scan,
        /// The last share is its own.
        counted: bool,
    },
    /// tonic refuses the message for its length.
    TooLong,
}

const START: At = At::Prefix { bytes: [0; PREFIX_BYTES], n: 0 };

enum Next {
    /// All of the frame was looked at.
    Seen,
    /// So much of it was; a message of so many bytes needs room first.
    Room(usize, u64),
}

impl Inbound {
    pub fn new(body: Body, rules: Rules, call: Call) -> Self {
        let timer = Box::pin(tokio::time::sleep(rules.message_max));
        let due = call.kept.is_some();
        Inbound { body, rules, call, at: START, waiting: None, shares: Vec::new(), timer, due, answered: false, failed: false }
    }

    /// Looks at what came from `seen` on.
    fn look(&mut self, frame: &[u8], mut seen: usize) -> Result<Next, Status> {
        while seen < frame.len() {
            match &mut self.at {
                At::TooLong => return Ok(Next::Seen),
                At::Prefix { bytes, n } => {
                    if *n == 0 && self.call.kept.is_none() {
                        self.timer.as_mut().reset((Instant::now() + self.rules.message_max).into());
                        self.due = true;
                    }
                    bytes[*n] = frame[seen];
                    (*n, seen) = (*n + 1, seen + 1);
                    if *n < PREFIX_BYTES {
                        continue;
                    }
                    let [flag, length @ ..] = *bytes;
                    let length = u64::from(u32::from_be_bytes(length));
                    match flag {
                        0 => {}
                        1 => return Err(convert::encoding_status(b"")),
                        _ => return Err(convert::flaw_status(Flaw::Malformed("it does not begin as a gRPC message does"))),
                    }
                    if length > self.call.message_bytes_max {
                        self.at = At::TooLong;
                        return Ok(Next::Seen);
                    }
                    let counted = length > SMALL_BYTES;
                    self.at = At::Message { left: length, scan: Scan::new(self.call.message, length), counted };
                    if counted {
                        return Ok(Next::Room(seen, length));
                    }
                    self.whole()?;
                }
                At::Message { left, scan, .. } => {
                    let n = (*left).min((frame.len() - seen) as u64);
                    scan.feed(&frame[seen..seen + n as usize]).map_err(convert::flaw_status)?;
                    (*left, seen) = (*left - n, seen + n as usize);
                    self.whole()?;
                }
            }
        }
        Ok(Next::Seen)
    }

    /// Why the call has to end, if it has, now that a message came.
    fn ended(&self) -> Option<Status> {
        let principal = self.call.ends_with.as_ref()?;
        let refusal = principal.ended()?;
        refusal.tell(principal.caller(), "a stream");
        Some(self.call.silence.end_with(convert::refusal_status(refusal)))
    }

    /// Where a message is whole, the next may come.
    fn whole(&mut self) -> Result<(), Status> {
        let At::Message { left: 0, scan, counted } = &mut self.at else { return Ok(()) };
        scan.feed(&[]).and_then(|()| scan.end()).map_err(convert::flaw_status)?;
        let decoded = u64::from(scan.parts()) * PART_BYTES;
        if decoded > SMALL_BYTES {
            match self.shares.last_mut().filter(|_| *counted) {
                Some(share) => share.complete(decoded).map_err(convert::over_status)?,
                None => self.shares.push(self.rules.budget.demand(&self.call.caller, decoded).map_err(convert::over_status)?),
            }
        }
        self.call.silence.broken();
        self.at = START;
        self.due = self.call.kept.is_some();
        Ok(())
    }

    /// Makes room for a message: at once, or in time.
    fn make_room(&mut self, frame: Bytes, seen: usize, bytes: u64) -> Result<(), Status> {
        let (budget, caller) = (self.rules.budget.clone(), self.call.caller.clone());
        let room: Pin<Box<dyn Future<Output = Share> + Send>> = match self.call.kept {
            Some(_) => Box::pin(std::future::ready(budget.demand(&caller, bytes).map_err(convert::over_status)?)),
            None => Box::pin(async move { budget.take(&caller, bytes).await }),
        };
        self.waiting = Some(Waiting { frame, seen, room });
        Ok(())
    }

    /// What is whole was taken in.
    fn let_go(&mut self) {
        if self.call.kept.is_none() && matches!(self.at, At::Prefix { .. }) {
            self.shares.clear();
        }
    }

    /// Nothing is there: has it been so for too long? A message that has begun has its own time.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        match &mut self.call.silent {
            Some(silent) if matches!(self.at, At::Prefix { n: 0, .. }) => silent.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if std::mem::take(&mut self.answered) {
            self.let_go();
        }
        loop {
            if self.due && self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(convert::slow_status(self.rules.message_max))));
            }
            let (frame, seen) = match &mut self.waiting {
                Some(waiting) => {
                    let share = ready!(waiting.room.as_mut().poll(cx));
                    self.shares.push(share);
                    match self.waiting.take() {
                        Some(Waiting { frame, seen, .. }) => (frame, seen),
                        None => continue,
                    }
                }
                None => match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Pending => return self.poll_silent(cx).map(|status| Some(Err(status))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(Some(Err(status))),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => (data, 0),
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    },
                },
            };
            if let Some(status) = self.ended() {
                return Poll::Ready(Some(Err(status)));
            }
            match self.look(&frame, seen) {
                Err(status) => return Poll::Ready(Some(Err(status))),
                Ok(Next::Seen) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                Ok(Next::Room(seen, bytes)) => {
                    if let Err(status) = self.make_room(frame, seen, bytes) {
                        return Poll::Ready(Some(Err(status)));
                    }
                }
            }
        }
    }
}

impl HttpBody for Inbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll(cx));
        self.answered = true;
        self.failed = matches!(next, Some(Err(_)));
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Some(kept) = &self.call.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.shares);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    /// What a part is taken to need is what the largest message needs.
    #[test]
    fn no_part_takes_more_than_is_counted() {
        let largest = [
            size_of::<v1::MatchItem>(),
            size_of::<v1::NewEntry>(),
            size_of::<v1::EntryDetails>(),
            size_of::<v1::EntryField>(),
            size_of::<v1::Hash>(),
            size_of::<v1::RadiusRule>(),
            size_of::<String>(),
        ];
        assert!(largest.into_iter().all(|bytes| bytes as u64 <= PART_BYTES), "{largest:?}");
    }
}
