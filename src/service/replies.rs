//! How does a streamed answer end? In OK only where its writer says so.
//!
//! A writer hands replies to a channel; the transport takes them from there as fast as the client reads. A client that takes none for too long,
//! a writer that fails, a reader that is gone: each ends the call with a status, so that what was not sent is never taken for all there was.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

use super::convert::{self, Fault};

/// Replies that the transport may still have in its buffers when it asks for the next: what they hold is held so long.
const IN_TRANSPORT: usize = 2;

/// The writing end.
pub struct Writer<T, H> {
    replies: mpsc::Sender<(T, H)>,
    end: Arc<OnceLock<Result<(), Status>>>,
    unread_max: Duration,
}

/// The client is gone, or does not read: nobody waits for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

/// The reading end: the call's body.
pub struct Output<T, H> {
    replies: mpsc::Receiver<(T, H)>,
    end: Arc<OnceLock<Result<(), Status>>>,
    ended: bool,
    in_transport: VecDeque<H>,
}

/// A streamed answer of which `waiting_max` replies wait for a client that takes at least one in `unread_max`. What comes with a reply
/// is held until the reply has left.
pub fn channel<T, H>(waiting_max: usize, unread_max: Duration) -> (Writer<T, H>, Output<T, H>) {
    let (replies, taken) = mpsc::channel(waiting_max);
    let end = Arc::new(OnceLock::new());
    let writer = Writer { replies, end: end.clone(), unread_max };
    (writer, Output { replies: taken, end, ended: false, in_transport: VecDeque::new() })
}

impl<T, H> Writer<T, H> {
    pub async fn send(&self, reply: T, held: H) -> Result<(), Unread> {
        match tokio::time::timeout(self.unread_max, self.replies.send((reply, held))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unread),
            Err(_) => {
                metrics::counter!("hashwarden_limit_refusals_total", "limit" => "grpc.unread_ms_max").increment(1);
                self.end(Err(convert::unread_status()));
                Err(Unread)
            }
        }
    }

    /// Sends what may as well be left out, if the client reads.
    pub fn try_send(&self, reply: T, held: H) {
        let _ = self.replies.try_send((reply, held));
    }

    /// The client is gone.
    pub fn is_closed(&self) -> bool {
        self.replies.is_closed()
    }

    /// Done when the client is gone.
    pub async fn closed(&self) {
        self.replies.closed().await;
    }

    /// How the call ends once its replies are read. The first word counts.
    pub fn end(&self, end: Result<(), Status>) {
        let _ = self.end.set(end);
    }
}

impl<T, H> Stream for Output<T, H>
where
    T: Unpin,
    H: Unpin,
{
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.in_transport.len() >= IN_TRANSPORT {
            this.in_transport.pop_front();
        }
        match this.replies.poll_recv(cx) {
            // It asks with nothing left in its buffers. What replies hold now, the next item may be waiting for.
            Poll::Pending => {
                this.in_transport.clear();
                Poll::Pending
            }
            Poll::Ready(Some((reply, held))) => {
                this.in_transport.push_back(held);
                Poll::Ready(Some(Ok(reply)))
            }
            Poll::Ready(None) if this.ended => Poll::Ready(None),
            Poll::Ready(None) => {
                this.ended = true;
                match this.end.get() {
                    Some(Ok(())) => Poll::Ready(None),
                    Some(Err(status)) => Poll::Ready(Some(Err(status.clone()))),
                    None => Poll::Ready(Some(Err(Fault::lost().into()))),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;
    use tonic::Code;

    const LONG: Duration = Duration::from_secs(60);

    async fn read(mut output: Output<u32, ()>) -> (Vec<u32>, Option<Code>) {
        let mut seen = Vec::new();
        while let Some(next) = output.next().await {
            match next {
                Ok(reply) => seen.push(reply),
                Err(status) => return (seen, Some(status.code())),
            }
        }
        (seen, None)
    }

    #[tokio::test]
    async fn an_answer_is_ok_only_where_its_writer_says_so() {
        let answered = async |end: Option<Result<(), Status>>| {
            let (writer, output) = channel(4, LONG);
            writer.send(1, ()).await.unwrap();
            end.into_iter().for_each(|end| writer.end(end));
            drop(writer);
            read(output).await
        };
        assert_eq!(answered(Some(Ok(()))).await, (vec![1], None));
        assert_eq!(answered(Some(Err(convert::stopping_status()))).await, (vec![1], Some(Code::Unavailable)));
        assert_eq!(answered(None).await, (vec![1], Some(Code::Internal)), "a writer that fails");
    }

    /// A reply that held all that its stream may hold held it until the next, which waited for it: the stream hung.
    #[tokio::test]
    async fn a_reply_that_was_taken_holds_nothing_back() {
        let (writer, mut output) = channel(4, LONG);
        let held = Arc::new(());
        writer.send(1, held.clone()).await.unwrap();
        assert_eq!(output.next().await.unwrap().unwrap(), 1);
        assert_eq!(Arc::strong_count(&held), 2, "it may not have left yet");
        assert!(tokio::time::timeout(Duration::from_millis(1), output.next()).await.is_err());
        assert_eq!(Arc::strong_count(&held), 1);
    }

    /// A client that read nothing for five minutes lost results, and its call ended in OK.
    #[tokio::test]
    async fn who_does_not_read_is_told_that_something_is_missing() {
        let (writer, output) = channel(2, Duration::from_millis(20));
        for n in 0..2 {
            writer.send(n, ()).await.unwrap();
        }
        assert_eq!(writer.send(2, ()).await, Err(Unread));
        writer.end(Ok(())); // too late
        drop(writer);
        assert_eq!(read(output).await, (vec![0, 1], Some(Code::ResourceExhausted)));
    }

    #[tokio::test]
    async fn what_a_reply_holds_is_held_until_it_has_left() {
        let (writer, mut output) = channel(8, LONG);
        let held: Vec<Arc<()>> = (0..4).map(|_| Arc::new(())).collect();
        for (n, held) in held.iter().enumerate() {
            writer.send(n, held.clone()).await.unwrap();
        }
        let in_use = || held.iter().map(|held| Arc::strong_count(held) - 1).collect::<Vec<_>>();
        output.next().await.unwrap().unwrap();
        output.next().await.unwrap().unwrap();
        assert_eq!(in_use(), [1, 1, 1, 1]);
        output.next().await.unwrap().unwrap();
        assert_eq!(in_use(), [0, 1, 1, 1]);
        drop(output);
        assert_eq!(in_use(), [0, 0, 0, 0]);
    }
}
