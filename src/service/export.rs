//! ExportEntries: a version of a list from the catalog to a client, as a file in chunks.
//!
//! The catalog writes on a thread that may block, and waits for the client. A client that takes no chunk for too long, or takes them too slowly, has
//! its call ended, for nothing is swept from the store meanwhile; so has one whose token ends, and each when the service stops. Invariant: the report
//! comes last, and only after all chunks were handed over, so a file without it is known not to be whole.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tonic::Status;

use super::asking::Asking;
use super::convert::{self, Fault};
use super::middleware::{Deadline, Working};
use super::{Shared, replies};
use crate::admission::Share;
use crate::catalog::{CatalogError, ExportOptions};
use crate::proto::v1;
use v1::export_entries_response::Part;

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for the transport.
const CHUNKS_WAITING_MAX: usize = 4;

pub type Replies = replies::Output<v1::ExportEntriesResponse, ()>;
type Writer = replies::Writer<v1::ExportEntriesResponse, ()>;

pub struct Export {
    pub shared: Arc<Shared>,
    pub by: Asking,
    pub list: String,
    pub options: ExportOptions,
    pub deadline: Deadline,
}

impl Export {
    /// Runs until all is sent or the client is gone. `place` is held so long.
    pub fn run(self, place: Share, working: Working) -> Replies {
        let unread_max = Duration::from_millis(self.shared.options.unread_ms_max);
        let (replies, output) = replies::channel(CHUNKS_WAITING_MAX, unread_max);
        let (span, runtime) = (tracing::Span::current(), Handle::current());
        tokio::task::spawn_blocking(move || {
            let (_place, _working, _in) = (place, working, span.entered());
            let (shared, by, deadline) = (&self.shared, &self.by, self.deadline);
            let mut chunks = Chunks {
                shared,
                by,
                deadline,
                replies: &replies,
                runtime,
                waited: Duration::ZERO,
                sent: 0,
                filled: Vec::new(),
                why: None,
            };
            let exported = shared.catalog.export(by.caller(), &self.list, &self.options, &mut chunks);
            let end = match (exported, chunks.why.take()) {
                (Ok(report), _) => chunks.send(Part::Report(convert::export_report(report))),
                (Err(CatalogError::Unwritten(_)), Some(why)) => Err(why),
                (Err(error), _) => Err(by.status(error)),
            };
            replies.end(end);
        });
        output
    }
}

/// What the catalog writes to.
struct Chunks<'a> {
    shared: &'a Shared,
    by: &'a Asking,
    deadline: Deadline,
    replies: &'a Writer,
    runtime: Handle,
    /// How long it was waited for the client.
    waited: Duration,
    sent: u64,
    filled: Vec<u8>,
    /// Why no more is taken.
    why: Option<Status>,
}

impl Chunks<'_> {
    /// Why the call has to end, if it has.
    fn ended(&self) -> Option<Status> {
        let options = &self.shared.options;
        let allowed = Duration::from_millis(options.import_idle_ms_max)
            + Duration::from_secs(self.sent / options.import_bytes_per_s_min.max(1));
        if *self.shared.draining.borrow() {
            Some(convert::stopping_status())
        } else if self.deadline.is_over() {
            Some(convert::deadline_status())
        } else if self.waited > allowed {
            Some(convert::slow_export_status())
        } else {
            self.by.ended()
        }
    }

    fn send(&mut self, part: Part) -> Result<(), Status> {
        let began = Instant::now();
        let sent = self.runtime.block_on(self.replies.send(v1::ExportEntriesResponse { part: Some(part) }, ()));
        self.waited += began.elapsed();
        // A client that is gone hears of nothing; one that does not read was told.
        sent.map_err(|_| Fault::lost().into())
    }

    fn send_filled(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.filled);
        let bytes = chunk.len() as u64;
        let sent = match self.ended() {
            Some(why) => Err(why),
            None => self.send(Part::Chunk(chunk)),
        };
        self.sent += bytes;
        sent.map_err(|why| {
            let words = why.message().to_owned();
            self.why = Some(why);
            io::Error::other(words)
        })
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK_BYTES - self.filled.len());
        self.filled.reserve_exact(CHUNK_BYTES - self.filled.len());
        self.filled.extend_from_slice(&bytes[..n]);
        if self.filled.len() == CHUNK_BYTES {
            self.send_filled()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.filled.is_empty() { Ok(()) } else { self.send_filled() }
    }
}
