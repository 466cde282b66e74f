//! MatchStream: how many items at once, in which order, and what when one of them is malformed?
//!
//! A reader takes items in and hands them to the matcher; a writer sends results as they come, several in a message. Every item holds a
//! permit of its stream, and its bytes a place in the stream's ledger, from reading until its result has left, so a client that does not read
//! its results is not read from. Streams wait for the service's permits rather than be shed. Invariant: every item that was read gets
//! exactly one result, unless the call ends with a status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::{Code, Status, Streaming};
use tracing::Instrument;

use super::asking::Asking;
use super::convert::{self, Fault};
use super::middleware::Deadline;
use super::named::Name;
use super::replies::{self, Output};
use super::{Options, Shared, call_metrics, told};
use crate::access::Principal;
use crate::admission::{Entry, Ledger, Quota};
use crate::matcher::{self, Answer, Content, Job};
use crate::proto::v1;
use crate::verdict::Verdict;

const METHOD: &str = "MatchStream";
/// Hash-only items that are looked up together, at most, as the index is quicker for many: a batch is one thread's work, and a stream keeps
/// some threads busy while results are written.
const BATCH_ITEMS_MAX: usize = 4096;
const BATCHES_IN_FLIGHT: usize = 4;
/// Images of all streams that wait or are worked on, for each thread that works on them.
const IMAGES_PER_THREAD: usize = 4;
/// Results in one message, and about how many bytes: clients take 4 MiB by default.
const RESULTS_MAX: usize = 512;
const RESULTS_BYTES: usize = 256 * 1024;
/// Messages that wait for the transport.
const REPLIES_WAITING_MAX: usize = 2;
/// What a stream costs however little it holds: messages in the transport's buffers.
const STREAM_BYTES: u64 = 1024 * 1024;
/// What a result is taken to need before the stream has had any: little, so that the first batch is small.
const RESULT_BYTES_AT_FIRST: u64 = 64 * 1024;
/// What a result needs at least.
const RESULT_BYTES_LEAST: u64 = 512;

pub type Replies = Output<v1::MatchStreamResponse, Vec<Held>>;
type Writer = replies::Writer<v1::MatchStreamResponse, Vec<Held>>;

/// What all streams share.
pub struct Limits {
    images: Arc<Semaphore>,
    image_kib: Arc<Semaphore>,
    image_kib_max: u32,
    hash_items: Arc<Semaphore>,
    batch_items_max: usize,
}

impl Limits {
    /// Streams wait for their share of what the matcher admits, rather than be shed: a quarter is left for single requests.
    pub fn new(options: &Options, of_matcher: &matcher::Options) -> Self {
        let images = &of_matcher.extract;
        // An item's time runs while it waits for a thread: so many that none of those is idle, and no more.
        let images_max = (images.queue_max / 4 * 3).clamp(1, IMAGES_PER_THREAD * images.threads_started());
        let image_kib_max = u32::try_from((images.queue_bytes_max / 4 * 3 / 1024).max(1)).unwrap_or(u32::MAX);
        let hash_items_max = (of_matcher.hash_items_max / 4 * 3).clamp(1, Semaphore::MAX_PERMITS);
        let batch_items_max = options.items_in_flight_max as usize / BATCHES_IN_FLIGHT;
        Limits {
            images: Arc::new(Semaphore::new(images_max)),
            image_kib: Arc::new(Semaphore::new(image_kib_max as usize)),
            image_kib_max,
            hash_items: Arc::new(Semaphore::new(hash_items_max)),
            batch_items_max: batch_items_max.min(BATCH_ITEMS_MAX).min(hash_items_max).max(1),
        }
    }
}

/// Answers a stream until its client ends it, its deadline passes or the service drains.
pub fn answer(
    shared: Arc<Shared>,
    asking: Asking,
    deadline: Deadline,
    input: Streaming<v1::MatchStreamRequest>,
) -> Result<Replies, Status> {
    // Bounded by the permits that results hold.
    let (results, finished) = mpsc::unbounded_channel();
    let (replies, output) = replies::channel(REPLIES_WAITING_MAX, Duration::from_millis(shared.options.unread_ms_max));
    let permits = Arc::new(Semaphore::new((shared.options.items_in_flight_max as usize).clamp(1, Semaphore::MAX_PERMITS)));
    let share = shared.stream_bytes.demand(asking.caller(), STREAM_BYTES).map_err(convert::over_status)?;
    let ledger = Ledger::new(share, shared.options.stream_bytes_max);
    let result_bytes = Arc::new(AtomicU64::new(RESULT_BYTES_AT_FIRST));
    let principal = asking.principal.clone();
    let quota = shared.quota(&asking.principal);
    let reader = Reader { shared: shared.clone(), asking, quota, deadline, permits, ledger, result_bytes, results };
    tokio::spawn(reader.run(input).in_current_span());
    tokio::spawn(write(shared, principal, deadline, finished, replies).in_current_span());
    Ok(output)
}

/// What an item holds from reading until its result has left.
pub struct Held {
    _permit: OwnedSemaphorePermit,
    _in_flight: call_metrics::InFlight,
    bytes: Entry,
}

#[allow(clippy::large_enum_variant)] // ends are rare: one a stream
enum Finished {
    Item {
        name: Name,
        result: Result<Verdict, Fault>,
        held: Held,
    },
    /// The call ends with this once all items are answered.
    End(Status),
}

/// An item's claim to a result: dropped unanswered, it says that the item was lost.
struct Claim {
    name: Name,
    held: Option<Held>,
    deadline: Deadline,
    results: mpsc::UnboundedSender<Finished>,
}

impl Claim {
    /// Gives the bytes that the result takes.
    fn answer(mut self, mut result: Result<Verdict, Fault>) -> u64 {
        let bytes = result.as_ref().map_or(RESULT_BYTES_LEAST, convert::verdict_bytes) + self.name.bytes() as u64;
        if let Some(held) = &mut self.held
            && !held.bytes.resize(bytes)
        {
            result = Err(Fault::unread());
            held.bytes.resize(RESULT_BYTES_LEAST);
        }
        self.send(result);
        bytes
    }

    fn send(&mut self, result: Result<Verdict, Fault>) {
        let Some(held) = self.held.take() else { return };
        match &result {
            Ok(verdict) => {
                call_metrics::answered(METHOD, verdict);
                self.name.tell(verdict);
            }
            Err(fault) => call_metrics::failed(METHOD, fault.code),
        }
        // The writer is gone when the client is.
        let _ = self.results.send(Finished::Item { name: std::mem::take(&mut self.name), result, held });
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.results.is_closed() {
            // Given up by who asked: nothing was lost here.
            if self.held.take().is_some() {
                call_metrics::failed(METHOD, if self.deadline.is_over() { Code::DeadlineExceeded } else { Code::Cancelled });
            }
            return;
        }
        self.send(Err(Fault::lost()));
    }
}

struct Reader {
    shared: Arc<Shared>,
    asking: Asking,
    quota: Option<Arc<Quota>>,
    deadline: Deadline,
    permits: Arc<Semaphore>,
    ledger: Arc<Ledger>,
    /// What a result of this stream takes, by those that came last.
    result_bytes: Arc<AtomicU64>,
    results: mpsc::UnboundedSender<Finished>,
}

impl Reader {
    async fn run(self, mut input: Streaming<v1::MatchStreamRequest>) {
        let mut batch = Batch::default();
        loop {
            let message = tokio::select! {
                biased;
                () = told(self.shared.draining.clone()) => {
                    self.look_up(batch).await;
                    return self.end(convert::stopping_status());
                }
                () = self.results.closed() => return,
                message = input.message() => message,
                // No message is there yet: what came so far waits for none.
                () = std::future::ready(()), if !batch.jobs.is_empty() => {
                    tokio::select! {
                        () = self.look_up(std::mem::take(&mut batch)) => continue,
                        () = self.results.closed() => return,
                    }
                }
            };
            match message {
                Ok(None) => return self.look_up(batch).await,
                Ok(Some(message)) => {
                    if let Some(status) = self.asking.ended() {
                        self.look_up(batch).await;
                        return self.end(status);
                    }
                    tokio::select! {
                        () = self.take_in(message.items, &mut batch) => {}
                        () = self.results.closed() => return,
                    }
                }
                // The client broke off, or sent what can't be read.
                Err(status) => {
                    self.look_up(batch).await;
                    return self.end(status);
                }
            }
        }
    }

    fn end(self, status: Status) {
        let _ = self.results.send(Finished::End(status));
    }

    /// Hash-only items join the batch, which goes to work when it is full.
    async fn take_in(&self, items: Vec<v1::MatchItem>, batch: &mut Batch) {
        let lists = self.shared.matcher.lists();
        for (n, item) in items.into_iter().enumerate() {
            // What is ready goes to work before this one waits.
            if self.permits.available_permits() == 0 || batch.jobs.len() >= self.shared.stream_limits.batch_items_max {
                self.look_up(std::mem::take(batch)).await;
            }
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let needed = self.bytes_needed(&item, lists);
            let bytes = match self.ledger.try_enter(needed) {
                Some(bytes) => bytes,
                None => {
                    self.look_up(std::mem::take(batch)).await;
                    self.ledger.enter(needed).await
                }
            };
            let claim = Claim {
                name: Name::of(&item),
                held: Some(Held { _permit: permit, _in_flight: call_metrics::InFlight::new(), bytes }),
                deadline: self.deadline,
                results: self.results.clone(),
            };
            if let Some(over) = self.quota.as_ref().and_then(|quota| quota.take().err()) {
                claim.answer(Err(Fault::over_quota(over)));
                continue;
            }
            match self.job(item, n).await {
                Err(fault) => {
                    claim.answer(Err(fault));
                }
                Ok(job) if matches!(job.content, Content::Image(_)) => {
                    self.look_up(std::mem::take(batch)).await;
                    self.look_at(job, claim).await;
                }
                Ok(job) => batch.push(job, claim),
            }
        }
    }

    /// What an item and then its result may take, where there are so many lists. An image is counted elsewhere.
    fn bytes_needed(&self, item: &v1::MatchItem, lists: usize) -> u64 {
        let asked = if item.lists.is_empty() { lists } else { item.lists.len().min(lists) } as u64;
        let result = self.result_bytes.load(Ordering::Relaxed).max(RESULT_BYTES_LEAST + asked * convert::ASKED_LIST_BYTES);
        result + convert::item_bytes(item)
    }

    async fn job(&self, item: v1::MatchItem, n: usize) -> Result<Job, Fault> {
        let path = format!("items[{n}]");
        let item = self.asking.item(item, &path, &self.shared.options)?;
        if let Some(n) = self.shared.list_cache.unknown(&item.lists, &self.asking).await {
            return Err(Fault::no_such_list(format!("{path}.lists[{n}]"), &item.lists[n]));
        }
        let until = self.deadline.until(&self.shared.options);
        let (lists, caller) = (self.asking.asked(item.lists), self.asking.caller().as_ref().clone());
        Ok(Job { content: item.content, lists, views: item.views, until, caller })
    }

    async fn look_at(&self, mut job: Job, claim: Claim) {
        let limits = &self.shared.stream_limits;
        let bytes = if let Content::Image(bytes) = &job.content { bytes.len() } else { 0 };
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(limits.image_kib_max);
        let (Ok(place), Ok(room)) =
            (limits.images.clone().acquire_owned().await, limits.image_kib.clone().acquire_many_owned(kib).await)
        else {
            return;
        };
        // Its time begins when it is its turn: waiting here is the service's doing.
        job.until = self.deadline.until(&self.shared.options);
        let (shared, principal) = (self.shared.clone(), self.asking.principal.clone());
        let result_bytes = self.result_bytes.clone();
        claim.name.span(&job.content).in_scope(|| {
            self.shared.matcher.submit(job, move |answer: Answer| {
                drop((place, room));
                call_metrics::worked(&answer.stages, &answer.effort);
                shared.note_near(&principal, &answer.probes);
                result_bytes.store(claim.answer(Ok(answer.verdict)), Ordering::Relaxed);
            });
        });
    }

    async fn look_up(&self, mut batch: Batch) {
        let Ok(n) = u32::try_from(batch.jobs.len()) else { return };
        if n == 0 {
            return;
        }
        let Ok(places) = self.shared.stream_limits.hash_items.clone().acquire_many_owned(n).await else { return };
        let until = self.deadline.until(&self.shared.options);
        batch.jobs.iter_mut().for_each(|job| job.until = until);
        let (claims, result_bytes) = (batch.claims, self.result_bytes.clone());
        let (shared, principal) = (self.shared.clone(), self.asking.principal.clone());
        self.shared.matcher.submit_hashes(batch.jobs, move |answers| {
            drop(places);
            if let Some(first) = answers.first() {
                call_metrics::worked(&first.stages, &first.effort);
            }
            let answered = claims.into_iter().zip(answers).map(|(claim, answer)| {
                shared.note_near(&principal, &answer.probes);
                claim.answer(Ok(answer.verdict))
            });
            result_bytes.store(answered.sum::<u64>() / u64::from(n), Ordering::Relaxed);
        });
    }
}

#[derive(Default)]
struct Batch {
    jobs: Vec<Job>,
    claims: Vec<Claim>,
}

impl Batch {
    fn push(&mut self, job: Job, claim: Claim) {
        self.jobs.push(job);
        self.claims.push(claim);
    }
}

/// Sends results until all senders are gone, that is until the reader has ended and every item is answered.
async fn write(
    shared: Arc<Shared>,
    principal: Principal,
    deadline: Deadline,
    mut finished: mpsc::UnboundedReceiver<Finished>,
    replies: Writer,
) {
    let mut end = Ok(());
    let mut ready = Vec::new();
    loop {
        let n = tokio::select! {
            n = finished.recv_many(&mut ready, RESULTS_MAX) => n,
            () = deadline.passed() => return replies.end(Err(convert::deadline_status())),
            () = replies.closed() => return,
        };
        if n == 0 {
            return replies.end(end);
        }
        let (mut results, mut bytes, mut holds) = (Vec::new(), 0, Vec::new());
        for item in ready.drain(..) {
            let (name, result, held) = match item {
                Finished::Item { name, result, held } => (name, result, held),
                Finished::End(status) => {
                    end = Err(status);
                    continue;
                }
            };
            let result = match result {
                Ok(verdict) => {
                    let ages = shared.list_cache.ages(&verdict).await;
                    v1::match_result::Result::Verdict(convert::verdict_for(principal.rights(), verdict, &ages))
                }
                Err(fault) => v1::match_result::Result::Error(fault.item_error()),
            };
            let result = name.result(result);
            bytes += result.encoded_len();
            results.push(result);
            holds.push(held);
            if bytes >= RESULTS_BYTES {
                let results = std::mem::take(&mut results);
                if replies.send(v1::MatchStreamResponse { results }, std::mem::take(&mut holds)).await.is_err() {
                    return;
                }
                bytes = 0;
            }
        }
        if !results.is_empty() && replies.send(v1::MatchStreamResponse { results }, holds).await.is_err() {
            return;
        }
    }
}
