//! ImportEntries: a file in pieces from a client to the catalog, progress back.
//!
//! The file, or each of several, is received whole before the catalog begins: it lies in a nameless file beside the store meanwhile, so that a client that is slow, or
//! means to be, keeps nobody else's import waiting. Only then is it read, on a thread that may block. Invariant: the catalog
//! sees a file only after the client's `end` message. A stream that breaks, closes early, stalls, is too slow or too long, or passes its
//! deadline, changes nothing: half a file can never pass for a whole one.

use std::fs::File;
use std::io::{BufReader, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Status, Streaming};
use tracing::{Instrument, Span};

use super::asking::Asking;
use super::convert::{self, Fault};
use super::middleware::{Deadline, Working};
use super::{Options, Shared, replies};
use crate::admission::Share;
use crate::catalog::{Began, ImportFile, ImportOptions, Phase, Progress};
use crate::entry::shown::without_hashes;
use crate::lists::Section;
use crate::proto::v1;
use v1::import_entries_request::Part;
use v1::import_entries_response::Part as Reply;

/// Replies that wait for the transport; progress that finds them full is dropped.
const REPLIES_WAITING_MAX: usize = 8;
/// A client hears of progress no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// What the catalog reads at a time.
const READ_BYTES: usize = 256 * 1024;
/// Files of one import.
const FILES_MAX: usize = 10_000;

type Input = Streaming<v1::ImportEntriesRequest>;
pub type Replies = replies::Output<v1::ImportEntriesResponse, ()>;
type Writer = replies::Writer<v1::ImportEntriesResponse, ()>;

/// The first message.
pub async fn header(input: &mut Input, options: &Options) -> Result<(String, ImportOptions), Status> {
    let first = tokio::time::timeout(Duration::from_millis(options.message_ms_max), input.message()).await;
    match first.map_err(|_| convert::idle_status())??.and_then(|message| message.part) {
        Some(Part::Header(header)) => Ok(convert::import_options(header)?),
        _ => Err(Fault::malformed("header", "is missing: it is the first message").into()),
    }
}

/// An import whose header was read.
pub struct Import {
    pub shared: Arc<Shared>,
    pub by: Asking,
    pub list: String,
    pub began: Began,
    pub options: ImportOptions,
    pub deadline: Deadline,
}

impl Import {
    /// Runs to the end, whether or not the client still listens once the file is whole. `receiving` is given back by then, `working` after it.
    pub fn run(self, input: Input, receiving: Share, working: Working) -> Replies {
        let unread_max = Duration::from_millis(self.shared.options.unread_ms_max);
        let (replies, output) = replies::channel(REPLIES_WAITING_MAX, unread_max);
        let replies = Arc::new(replies);
        let work = async move {
            let _working = working;
            let mut told = ProgressReplies { last: None, received: 0, replies: replies.clone() };
            let received = self.receive(input, &mut told).await.inspect_err(|status| self.tell_refused(status));
            drop(receiving);
            let done = match received {
                Ok(file) => self.import(file, told).await,
                Err(status) => Err(status),
            };
            match done {
                Ok(report) => {
                    // The client may be gone, or not read: then the call does not end in OK.
                    if replies.send(report, ()).await.is_ok() {
                        replies.end(Ok(()));
                    }
                }
                Err(status) => replies.end(Err(status)),
            }
        };
        // What is logged of it says which call, caller and list.
        tokio::spawn(work.in_current_span());
        output
    }

    /// The catalog tells of files that it refuses; this is for those that never came to it.
    fn tell_refused(&self, status: &Status) {
        let source = &*without_hashes(&self.options.source);
        tracing::info!(source, error = status.message(), "a file was not imported");
    }

    /// All files.
    async fn receive(&self, mut input: Input, told: &mut ProgressReplies) -> Result<Received, Status> {
        let options = &self.shared.options;
        let idle_max = Duration::from_millis(options.import_idle_ms_max);
        let mut file = tempfile::tempfile_in(&self.shared.spool).map_err(convert::spool_status)?;
        let (began, mut bytes) = (Instant::now(), 0);
        let mut files: Vec<(String, u64)> = Vec::new();
        loop {
            let message = tokio::select! {
                message = tokio::time::timeout(idle_max, input.message()) => message.map_err(|_| convert::idle_status())??,
                () = self.deadline.passed() => return Err(convert::deadline_status()),
                () = super::told(self.shared.draining.clone()) => return Err(convert::stopping_status()),
            };
            if let Some(status) = self.by.ended() {
                return Err(status);
            }
            let chunk = match message.map(|message| message.part) {
                Some(Some(Part::Chunk(chunk))) => chunk,
                Some(Some(Part::File(_))) if files.len() == FILES_MAX => {
                    return Err(
                        Fault::malformed("file", format!("is one more than the {FILES_MAX} that an import may have")).into()
                    );
                }
                Some(Some(Part::File(_))) if files.is_empty() && bytes > 0 => {
                    return Err(Fault::malformed("file", "comes after chunks of a file that none was sent for").into());
                }
                Some(Some(Part::File(file))) => {
                    files.push((convert::file_name(file)?, bytes));
                    continue;
                }
                Some(Some(Part::End(_))) => break,
                Some(_) => return Err(Fault::malformed("part", "is neither a file, nor a chunk, nor the end").into()),
                None => return Err(Fault::malformed("end", "is missing: the stream closed before the file was whole").into()),
            };
            bytes += chunk.len() as u64;
            if bytes > options.import_bytes_max {
                return Err(convert::too_long_status(options.import_bytes_max));
            }
            let allowed = idle_max + Duration::from_secs(bytes / options.import_bytes_per_s_min.max(1));
            if began.elapsed() > allowed {
                return Err(convert::idle_status());
            }
            file = blocking(move || file.write_all(&chunk).map(|()| file)).await?;
            told.hear(Progress { phase: Phase::Reading, bytes, rows: 0, rows_bad: 0 });
        }
        told.received = bytes;
        if files.is_empty() {
            files.push((String::new(), 0));
        }
        Ok(Received { file: Arc::new(file), files, bytes })
    }

    async fn import(self, received: Received, mut told: ProgressReplies) -> Result<v1::ImportEntriesResponse, Status> {
        let place = tokio::select! {
            place = self.shared.list_calls.take(self.by.caller(), 1) => place,
            () = self.deadline.passed() => return Err(convert::deadline_status()),
            () = super::told(self.shared.draining.clone()) => return Err(convert::stopping_status()),
        };
        let span = Span::current();
        let work = tokio::task::spawn_blocking(move || {
            let (_place, _in) = (place, span.entered());
            let catalog = &self.shared.catalog;
            // Its scope may be another one than when the file began to come.
            if !self.by.has_all_lists() {
                self.by.may_change(&catalog.list(&self.list).map_err(convert::catalog_status)?.list)?;
            }
            let report = catalog.import_files(
                self.by.caller(),
                &self.list,
                self.began,
                &self.options,
                &mut received.files(),
                &mut |progress| told.hear(progress),
            );
            report.map_err(convert::catalog_status)
        });
        let report = work.await.map_err(|_| Fault::lost())??;
        Ok(reply(Reply::Report(convert::import_report(report))))
    }
}

/// The files of an import, one behind the other in one file.
struct Received {
    file: Arc<File>,
    /// Their names, and where each begins.
    files: Vec<(String, u64)>,
    bytes: u64,
}

impl Received {
    fn files(&self) -> impl Iterator<Item = std::io::Result<ImportFile<'static>>> {
        let ends = self.files.iter().skip(1).map(|(_, start)| *start).chain([self.bytes]);
        self.files.iter().zip(ends).map(|((name, start), end)| {
            let section = Section::new(self.file.clone(), *start, end - start);
            Ok(ImportFile { name: name.clone(), input: Box::new(BufReader::with_capacity(READ_BYTES, section)) })
        })
    }
}

/// Work on the file, on a thread that may block.
async fn blocking(work: impl FnOnce() -> std::io::Result<File> + Send + 'static) -> Result<File, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Fault::lost())?.map_err(convert::spool_status)
}

fn reply(part: Reply) -> v1::ImportEntriesResponse {
    v1::ImportEntriesResponse { part: Some(part) }
}

/// Who hears of progress, and when last.
struct ProgressReplies {
    last: Option<(Instant, Phase)>,
    /// Bytes of the whole file, once it is there.
    received: u64,
    replies: Arc<Writer>,
}

impl ProgressReplies {
    fn hear(&mut self, progress: Progress) {
        let now = Instant::now();
        // The first of each phase is always told.
        if self.last.is_some_and(|(at, phase)| phase == progress.phase && now.duration_since(at) < PROGRESS_EVERY) {
            return;
        }
        self.last = Some((now, progress.phase));
        // What was received is not counted anew where it is read.
        let progress = Progress { bytes: progress.bytes.max(self.received), ..progress };
        // A client that reads slowly misses some.
        self.replies.try_send(reply(Reply::Progress(convert::progress(progress))), ());
    }
}
