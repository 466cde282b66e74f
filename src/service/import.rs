//! ImportEntries: a file in pieces from a client to the catalog, progress back.
//!
//! The catalog reads a [`BufRead`] on a thread of its own; a task feeds it from the stream. Invariant: the reader comes to its end only after
//! the client's `end` message. A stream that breaks, closes early, stalls or passes its deadline is a reading error, so the catalog
//! undoes what it staged: half a file can never pass for a whole one.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tonic::{Status, Streaming};

use super::Shared;
use super::convert::{self, Fault};
use super::edge::Deadline;
use super::replies;
use crate::catalog::{ImportOptions, Progress};
use crate::entry::Caller;
use crate::proto::v1;
use v1::import_entries_request::Part;
use v1::import_entries_response::Part as Reply;

/// Chunks between the stream and the catalog. A chunk has at most a message's size.
const CHUNKS_WAITING_MAX: usize = 4;
/// Replies that wait for the transport; progress that finds them full is dropped.
const REPLIES_WAITING_MAX: usize = 8;
/// A client hears of progress no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

type Input = Streaming<v1::ImportEntriesRequest>;
pub type Replies = replies::Output<v1::ImportEntriesResponse, ()>;
type Writer = replies::Writer<v1::ImportEntriesResponse, ()>;

/// The first message.
pub async fn header(input: &mut Input) -> Result<(String, ImportOptions), Status> {
    match input.message().await?.and_then(|message| message.part) {
        Some(Part::Header(header)) => Ok(convert::import_options(header)?),
        _ => Err(Fault::malformed("header", "is missing: it is the first message").into()),
    }
}

/// Runs an import to its end, whether or not the client still listens once the file is whole.
pub fn run(
    shared: &Arc<Shared>,
    by: Caller,
    name: String,
    options: ImportOptions,
    input: Input,
    deadline: Deadline,
    place: OwnedSemaphorePermit,
) -> Replies {
    let unread_max = Duration::from_millis(shared.options.unread_ms_max);
    let (replies, output) = replies::channel(REPLIES_WAITING_MAX, unread_max);
    let replies = Arc::new(replies);
    let (chunks, pieces) = mpsc::channel(CHUNKS_WAITING_MAX);
    let idle_max = Duration::from_millis(shared.options.import_idle_ms_max);
    tokio::spawn(feed(input, deadline, idle_max, shared.draining.clone(), chunks));
    let catalog = shared.catalog.clone();
    let mut told = Told { last: None, replies: replies.clone() };
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut file = Pieces { pieces, piece: Vec::new(), at: 0, state: State::Open };
        let done = catalog.import(&by, &name, &options, &mut file, &mut |progress| told.hear(progress));
        // A stream that broke has a status of its own, which says more than the catalog's words for it.
        match (done, file.state) {
            (Ok(report), _) => Ok(reply(Reply::Report(convert::import_report(report)))),
            (Err(_), State::Broken(status)) => Err(status),
            (Err(error), _) => Err(convert::catalog_status(error)),
        }
    });
    tokio::spawn(async move {
        match work.await.unwrap_or_else(|_| Err(Fault::lost().into())) {
            Ok(report) => {
                // The client may be gone, or not read: then the call does not end in OK.
                if replies.send(report, ()).await.is_ok() {
                    replies.end(Ok(()));
                }
            }
            Err(status) => replies.end(Err(status)),
        }
    });
    output
}

fn reply(part: Reply) -> v1::ImportEntriesResponse {
    v1::ImportEntriesResponse { part: Some(part) }
}

/// Hands chunks over until the end, or says what broke. The catalog going away ends it too.
async fn feed(
    mut input: Input,
    deadline: Deadline,
    idle_max: Duration,
    draining: watch::Receiver<bool>,
    chunks: mpsc::Sender<Result<Vec<u8>, Status>>,
) {
    loop {
        let message = tokio::select! {
            message = tokio::time::timeout(idle_max, input.message()) => message,
            () = deadline.passed() => {
                let _ = chunks.send(Err(convert::deadline_status())).await;
                return;
            }
            () = super::told(draining.clone()) => {
                let _ = chunks.send(Err(convert::stopping_status())).await;
                return;
            }
            () = chunks.closed() => return,
        };
        let piece = match message {
            Ok(Ok(Some(v1::ImportEntriesRequest { part: Some(Part::Chunk(bytes)) }))) => Ok(bytes),
            // An empty piece is the end: see `Pieces`.
            Ok(Ok(Some(v1::ImportEntriesRequest { part: Some(Part::End(_)) }))) => {
                let _ = chunks.send(Ok(Vec::new())).await;
                return;
            }
            Ok(Ok(Some(_))) => Err(Fault::malformed("part", "is neither a chunk nor the end").into()),
            Ok(Ok(None)) => Err(Fault::malformed("end", "is missing: the stream closed before the file was whole").into()),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(convert::idle_status()),
        };
        let broken = piece.is_err();
        if matches!(&piece, Ok(bytes) if bytes.is_empty()) {
            continue;
        }
        if chunks.send(piece).await.is_err() || broken {
            return;
        }
    }
}

enum State {
    Open,
    /// The client said that the file is whole.
    Whole,
    Broken(Status),
}

/// The file as the catalog reads it.
struct Pieces {
    pieces: mpsc::Receiver<Result<Vec<u8>, Status>>,
    piece: Vec<u8>,
    at: usize,
    state: State,
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.piece.len() {
            match &self.state {
                State::Whole => return Ok(&[]),
                State::Broken(status) => return Err(broken(status)),
                State::Open => {}
            }
            (self.piece, self.at) = match self.pieces.blocking_recv() {
                Some(Ok(piece)) => (piece, 0),
                Some(Err(status)) => return Err(self.breaks(status)),
                None => return Err(self.breaks(Fault::lost().into())),
            };
            if self.piece.is_empty() {
                self.state = State::Whole;
            }
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.piece.len());
    }
}

impl Pieces {
    fn breaks(&mut self, status: Status) -> io::Error {
        let error = broken(&status);
        (self.piece, self.at, self.state) = (Vec::new(), 0, State::Broken(status));
        error
    }
}

fn broken(status: &Status) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, format!("the stream broke: {}", status.message()))
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

/// Who hears of progress, and when last.
struct Told {
    last: Option<(Instant, crate::catalog::Phase)>,
    replies: Arc<Writer>,
}

impl Told {
    fn hear(&mut self, progress: Progress) {
        let now = Instant::now();
        // The first of each phase is always told.
        if self.last.is_some_and(|(at, phase)| phase == progress.phase && now.duration_since(at) < PROGRESS_EVERY) {
            return;
        }
        self.last = Some((now, progress.phase));
        // A client that reads slowly misses some.
        self.replies.try_send(reply(Reply::Progress(convert::progress(progress))), ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(pieces: Vec<Result<Vec<u8>, Status>>) -> (String, Option<String>) {
        let (send, receive) = mpsc::channel(8);
        pieces.into_iter().for_each(|piece| send.try_send(piece).unwrap());
        drop(send);
        let mut file = Pieces { pieces: receive, piece: Vec::new(), at: 0, state: State::Open };
        let mut text = Vec::new();
        let error = file.read_to_end(&mut text).err().map(|e| e.to_string());
        if error.is_some() {
            assert!(file.fill_buf().is_err(), "a broken file stays broken");
        }
        (String::from_utf8(text).unwrap(), error)
    }

    #[test]
    fn a_file_ends_only_where_the_client_says_so() {
        let piece = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(read_all(vec![piece("ab"), piece("c"), piece("")]), ("abc".to_owned(), None));
        assert_eq!(read_all(vec![piece("")]), (String::new(), None));
        let (text, error) = read_all(vec![piece("ab")]);
        assert_eq!((text.as_str(), error.is_some()), ("ab", true));
        let (text, error) = read_all(vec![piece("ab"), Err(Fault::malformed("end", "is missing").into())]);
        assert_eq!((text.as_str(), error.as_deref()), ("ab", Some("the stream broke: end: is missing")));
    }
}
