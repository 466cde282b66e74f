//! The one gRPC client: the doors' calls on a server elsewhere, in the doors' own types.
//!
//! What comes back is what the embedded doors would give, so that an edge prints the same either way; only the age of the lists is dropped.
//! Everything is async and cheap to clone. Long answers and streams come through bounded channels. Invariant: a file whose reading
//! fails is never sent as a whole one. Absent: retries.

mod credentials;
mod read;
mod send;
mod sources;
mod tls;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming, TimeoutExpired};
use tonic_types::StatusExt;

use crate::catalog::{
    DiffReport, EditReport, EntryInfo, EntryQuery, ExportOptions, ExportReport, FoundEntries, ImportOptions, ImportReport,
    ListInfo, Moment, NewEntry, OverlapReport, PastReport, PictureOptions, PolicyUpdate, Progress,
};
use crate::entry::shown::in_words;
use crate::entry::{EntryNo, HashKind, HashValue, ListVersion, Mark, Polarity, VersionNo, ViewSet};
use crate::matcher::{Content, Hashed};
use crate::proto::v1;
use crate::verdict::Verdict;
use v1::export_entries_response;
use v1::hash_list_service_client::HashListServiceClient;
use v1::import_entries_request::Part;
use v1::match_service_client::MatchServiceClient;

use credentials::Bearer;
pub use credentials::{Credentials, Token};
pub use tls::{Tls, is_exposed};

/// Largest message that is taken from a server.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a file in one message of an import.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that wait for the transport.
const CHUNKS_WAITING_MAX: usize = 4;
/// How long an import that was refused waits to hear whether reading the file failed before.
const READ_ERROR_WAIT: Duration = Duration::from_millis(200);
/// Items in one message of a stream, and about how many bytes; an image goes alone where it is larger.
const ITEMS_MAX: usize = 256;
const ITEMS_BYTES: usize = 1024 * 1024;
/// Messages and results of a stream that wait.
const MESSAGES_WAITING_MAX: usize = 4;
const RESULTS_WAITING_MAX: usize = 1024;

/// Files of an import with their names, each opened when its turn comes.
pub type FilesToSend = Box<dyn Iterator<Item = std::io::Result<(String, Box<dyn Read + Send>)>> + Send>;

/// Why a call failed, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("{0:?} is not an endpoint; one looks like http://127.0.0.1:50051 or https://HOST:50051")]
    BadEndpoint(String),
    /// Certificates that can't be used.
    #[error("{0}")]
    Tls(String),
    #[error("no server answers at {endpoint}: {cause}")]
    Unreachable { endpoint: String, cause: String },
    /// There is a server, and one of the two does not trust the other.
    #[error("no TLS connection to {endpoint}: {cause}")]
    Distrusted { endpoint: String, cause: String },
    /// Broken off in the middle of a call: what became of the call is not known.
    #[error(
        "the connection to the server broke before the answer came ({cause}); the server's log may say why, and /readyz on its operator port says whether it is up"
    )]
    Broken { cause: String },
    /// The server refused or failed.
    #[error("{message} ({code:?})")]
    Refused {
        code: Code,
        /// Names the field where one is at fault.
        message: String,
        /// The path of the field at fault; empty where there is none.
        field: String,
        /// For programs, where the code is too coarse: `BAD_FILE` is a list file that fails as a whole, `INVALID` an argument out of
        /// range; empty where the server gives none.
        reason: String,
    },
    /// The server said what this client does not understand: it may be of another version.
    #[error("the server's reply is not valid: {0}")]
    BadReply(String),
    #[error("nothing was sent: the server is of an earlier version, which knows neither sources nor deltas")]
    OldServer,
    #[error("reading failed: {0}")]
    Read(String),
    #[error("writing failed: {0}")]
    Unwritten(String),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        if let Some(http) = status.message().strip_prefix("grpc-status header missing, mapped from HTTP status code ") {
            return ClientError::BadReply(format!(
                "it answers with HTTP {http} and not gRPC; is this another port, such as the operator port?"
            ));
        }
        // tonic's own timer calls it CANCELLED, which it is not.
        let mut causes = std::iter::successors(std::error::Error::source(&status), |cause| cause.source());
        let timed_out = causes.any(|cause| cause.is::<TimeoutExpired>());
        // Only what the transport says of itself has a cause; the server's words come without one.
        let made_here = matches!(status.code(), Code::Unknown | Code::Internal | Code::Unavailable | Code::Cancelled);
        if let Some(cause) = std::error::Error::source(&status)
            && made_here
            && !timed_out
        {
            let cause = tls::in_words(cause).unwrap_or_else(|| innermost(cause));
            return ClientError::Broken {
                cause: tls::alert_in_words(&cause).or_else(|| tls::end_in_words(&cause)).unwrap_or(cause),
            };
        }
        let (code, message) = match timed_out {
            true => (Code::DeadlineExceeded, "no answer came in time"),
            false => (status.code(), status.message()),
        };
        let named = status.get_details_bad_request().and_then(|bad| bad.field_violations.into_iter().next());
        let field = named.map(|violation| violation.field).unwrap_or_default();
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        ClientError::Refused { code, message: message.to_owned(), field, reason }
    }
}

/// An item of a stream.
#[derive(Debug, Clone)]
pub struct Item {
    /// Comes back with the result.
    pub id: String,
    /// The caller's own name for the content; may be empty.
    pub reference: String,
    pub content: Content,
    /// Names of the lists to ask; empty means all.
    pub lists: Vec<String>,
    /// Which views of an image are looked up; without it, what the server has as its default.
    pub views: Option<ViewSet>,
}

/// A picture whose hashes were added to a list, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedPicture {
    /// `None` after a dry run.
    pub report: Option<EditReport>,
    /// PDQ's, of the frame that was taken; `None` where digests alone were.
    pub quality: Option<u8>,
    /// How many hashes of each kind the entry has.
    pub kinds: BTreeMap<HashKind, u64>,
    /// What was said of the picture before it was added; `None` for who may not match.
    pub verdict: Option<Verdict>,
}

/// An item's result, in the order of completion.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemResult {
    pub id: String,
    pub reference: String,
    pub verdict: Result<Verdict, ClientError>,
}

/// What a change of entries or versions may take: millions of entries may turn on it.
const SLOW_CALL_MAX: Duration = Duration::from_secs(600);

type Called = InterceptedService<Channel, Bearer>;

#[derive(Debug, Clone)]
pub struct Client {
    matching: MatchServiceClient<Called>,
    lists: HashListServiceClient<Called>,
    timeout: Duration,
}

impl Client {
    /// Connects to `http://HOST:PORT`, which is plain text, or to `https://HOST:PORT`. `timeout` is how long connecting may take, and then each call that is neither a stream nor an
    /// import nor a change of entries or versions.
    pub async fn connect(endpoint: &str, timeout: Duration) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, timeout, Credentials::default()).await
    }

    /// The same with something to show, and with the authorities that the server is known by.
    pub async fn connect_with(endpoint: &str, timeout: Duration, credentials: Credentials) -> Result<Self, ClientError> {
        let target = tls::endpoint(endpoint, &credentials.tls)?
            .connect_timeout(timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024);
        let endpoint = endpoint.to_owned();
        let failed = |error: tonic::transport::Error| match tls::in_words(&error) {
            Some(cause) => ClientError::Distrusted { endpoint: endpoint.clone(), cause },
            None => ClientError::Unreachable { endpoint: endpoint.clone(), cause: innermost(&error) },
        };
        let channel = match tokio::time::timeout(timeout, target.connect()).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => {
                let cause = format!("no answer in {} ms", timeout.as_millis());
                return Err(ClientError::Unreachable { endpoint, cause });
            }
        };
        let channel = InterceptedService::new(channel, Bearer(credentials.token));
        Ok(Client {
            matching: MatchServiceClient::new(channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX),
            lists: HashListServiceClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX),
            timeout,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// A request that may wait for an import, or be as long as one.
    fn slow_request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout.max(SLOW_CALL_MAX));
        request
    }

    /// Matches one picture or one picture's hashes; `lists` are those to ask, empty means all.
    pub async fn match_one(&self, content: Content, lists: Vec<String>) -> Result<Verdict, ClientError> {
        let item = Item { id: String::new(), reference: String::new(), content, lists, views: None };
        let request = self.request(v1::MatchRequest { item: Some(send::item(item)) });
        let reply = self.matching.clone().r#match(request).await?.into_inner();
        let result = reply.result.ok_or_else(|| ClientError::BadReply("no result".to_owned()))?;
        read::item_result(result).verdict
    }

    /// Matches items as they come; ends when `items` does and all are answered. Results must be taken, or the server stops
    /// reading. After an error nothing follows.
    pub async fn match_stream(&self, mut items: mpsc::Receiver<Item>) -> mpsc::Receiver<Result<ItemResult, ClientError>> {
        let (messages, outgoing) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (results, answers) = mpsc::channel(RESULTS_WAITING_MAX);
        tokio::spawn(async move {
            let mut ready = Vec::new();
            while items.recv_many(&mut ready, ITEMS_MAX).await > 0 {
                for message in pack(ready.drain(..)) {
                    if messages.send(message).await.is_err() {
                        return;
                    }
                }
            }
        });
        let mut matching = self.matching.clone();
        tokio::spawn(async move {
            let done: Result<(), ClientError> = async {
                let mut replies = matching.match_stream(ReceiverStream::new(outgoing)).await?.into_inner();
                while let Some(reply) = replies.message().await? {
                    for result in reply.results {
                        if results.send(Ok(read::item_result(result))).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok(())
            }
            .await;
            if let Err(error) = done {
                let _ = results.send(Err(error)).await; // nobody waits any more
            }
        });
        answers
    }

    /// Takes a file's hashes without matching them.
    pub async fn hash(&self, image: Vec<u8>) -> Result<Hashed, ClientError> {
        let reply = self.matching.clone().hash(self.request(v1::HashRequest { image })).await?.into_inner();
        read::hashed(reply)
    }

    pub async fn create(&self, name: &str, polarity: Polarity, update: &PolicyUpdate) -> Result<ListInfo, ClientError> {
        let request = v1::CreateHashListRequest {
            name: name.to_owned(),
            polarity: send::polarity(polarity),
            policy: Some(send::policy_update(update)),
        };
        read::list_info(self.lists.clone().create_hash_list(self.slow_request(request)).await?.into_inner().list)
    }

    pub async fn set(&self, name: &str, update: &PolicyUpdate) -> Result<ListInfo, ClientError> {
        self.update(name, Some(send::policy_update(update)), None).await
    }

    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<ListInfo, ClientError> {
        self.update(name, None, Some(disabled)).await
    }

    async fn update(
        &self,
        name: &str,
        policy: Option<v1::PolicyUpdate>,
        disabled: Option<bool>,
    ) -> Result<ListInfo, ClientError> {
        let request = v1::UpdateHashListRequest { name: name.to_owned(), policy, disabled };
        read::list_info(self.lists.clone().update_hash_list(self.request(request)).await?.into_inner().list)
    }

    pub async fn list(&self, name: &str) -> Result<ListInfo, ClientError> {
        let request = v1::GetHashListRequest { name: name.to_owned() };
        read::list_info(self.lists.clone().get_hash_list(self.request(request)).await?.into_inner().list)
    }

    pub async fn lists(&self) -> Result<Vec<ListInfo>, ClientError> {
        let reply = self.lists.clone().list_hash_lists(self.request(v1::ListHashListsRequest {})).await?.into_inner();
        reply.lists.into_iter().map(|list| read::list_info(Some(list))).collect()
    }

    pub async fn delete(&self, name: &str) -> Result<(), ClientError> {
        let request = v1::DeleteHashListRequest { name: name.to_owned() };
        self.lists.clone().delete_hash_list(self.slow_request(request)).await?;
        Ok(())
    }

    /// One call, all or none: the server takes at most some ten thousand entries.
    pub async fn add(&self, name: &str, entries: Vec<NewEntry>) -> Result<EditReport, ClientError> {
        let request =
            v1::AddEntriesRequest { list: name.to_owned(), entries: entries.into_iter().map(send::new_entry).collect() };
        read::edit_report(self.lists.clone().add_entries(self.slow_request(request)).await?.into_inner().report)
    }

    /// An entry with the hashes of a picture.
    pub async fn add_picture(&self, name: &str, image: Vec<u8>, options: PictureOptions) -> Result<AddedPicture, ClientError> {
        let request = send::add_picture(name, image, options);
        read::added_picture(self.lists.clone().add_picture(self.slow_request(request)).await?.into_inner())
    }

    pub async fn remove(&self, name: &str, ids: Vec<String>) -> Result<EditReport, ClientError> {
        let request = v1::RemoveEntriesRequest { list: name.to_owned(), ids };
        read::edit_report(self.lists.clone().remove_entries(self.slow_request(request)).await?.into_inner().report)
    }

    /// One entry of a list; its hashes only `with_hashes`, for list admins.
    pub async fn entry(&self, name: &str, id: &str, with_hashes: bool) -> Result<EntryInfo, ClientError> {
        let request = v1::GetEntryRequest { list: name.to_owned(), entry_id: id.to_owned(), with_hashes };
        read::entry(self.lists.clone().get_entry(self.request(request)).await?.into_inner().entry)
    }

    /// Some of the entries that are looked for, from the first after `after` on.
    pub async fn find_entries(
        &self,
        name: &str,
        query: &EntryQuery,
        after: Option<EntryNo>,
        most: usize,
    ) -> Result<FoundEntries, ClientError> {
        let (query, radius) = send::entry_query(query);
        let request = v1::FindEntriesRequest {
            list: name.to_owned(),
            query: Some(query),
            radius,
            page_size: most as u32,
            page_token: after.map(|entry| entry.0.to_string()).unwrap_or_default(),
        };
        read::found_entries(self.lists.clone().find_entries(self.request(request)).await?.into_inner())
    }

    pub async fn set_mark(&self, name: &str, id: &str, mark: Option<Mark>) -> Result<(), ClientError> {
        let mark = mark.map(send::entry_mark);
        let request = v1::SetEntryMarkRequest { list: name.to_owned(), entry_id: id.to_owned(), mark };
        self.lists.clone().set_entry_mark(self.request(request)).await?;
        Ok(())
    }

    /// Sends a file as the list's new content, as [`Client::import_files`] does.
    pub async fn import(
        &self,
        name: &str,
        options: &ImportOptions,
        file: impl Read + Send + 'static,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, ClientError> {
        let file: Box<dyn Read + Send> = Box::new(file);
        self.import_files(name, options, Box::new(std::iter::once(Ok((String::new(), file)))), progress).await
    }

    /// Sends files as the list's new content, each with a name unless it is the only one. They are read on a thread that may block; when
    /// reading one fails, or this future is dropped before all were read whole, nothing is changed.
    pub async fn import_files(
        &self,
        name: &str,
        options: &ImportOptions,
        files: FilesToSend,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, ClientError> {
        // A server that knows neither would take a delta for all that its source has.
        if (options.delta || options.feed != ImportOptions::default().feed)
            && let Err(ClientError::Refused { code: tonic::Code::Unimplemented, .. }) = self.entry(name, "-", false).await
        {
            return Err(ClientError::OldServer);
        }
        let (parts, outgoing) = mpsc::channel(CHUNKS_WAITING_MAX);
        let header = Part::Header(send::import_header(name, options));
        // Gone with this future: the transport may outlive it, so the reader must know that nobody wants the file any more.
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        let mut reading = tokio::task::spawn_blocking(move || {
            read_files(header, files, &mut |part| {
                let part = v1::ImportEntriesRequest { part: Some(part) };
                still_wanted.strong_count() > 0 && parts.blocking_send(part).is_ok()
            })
        });
        let mut lists = self.lists.clone();
        let replies = async move {
            let mut replies: Streaming<v1::ImportEntriesResponse> =
                lists.import_entries(ReceiverStream::new(outgoing)).await?.into_inner();
            let mut report = None;
            while let Some(reply) = replies.message().await? {
                match reply.part {
                    Some(v1::import_entries_response::Part::Progress(p)) => progress(read::progress(p)),
                    Some(v1::import_entries_response::Part::Report(r)) => report = Some(read::import_report(r)),
                    None => {}
                }
            }
            report.ok_or_else(|| ClientError::BadReply("the import ended without a report".to_owned()))
        };
        let mut replies = std::pin::pin!(replies);
        let _wanted = wanted;
        tokio::select! {
            report = &mut replies => match report {
                Ok(report) => Ok(report),
                // A file that could not be read ends the stream, for which the server has words of its own: the reason is here.
                Err(refused) => match tokio::time::timeout(READ_ERROR_WAIT, reading).await {
                    Ok(Ok(Err(error))) => Err(ClientError::Read(error.to_string())),
                    _ => Err(refused),
                },
            },
            read = &mut reading => match read {
                // The stream ends without its `end` message, which changes nothing; the server's words for that don't matter.
                Ok(Err(error)) => Err(ClientError::Read(error.to_string())),
                Err(error) => Err(ClientError::Read(error.to_string())),
                Ok(Ok(())) => replies.await,
            },
        }
    }

    /// Has a version of a list as a file, in chunks that are written as they come. What was written is all of it only where a report comes.
    pub async fn export(
        &self,
        name: &str,
        options: &ExportOptions,
        out: &mut (dyn Write + Send),
    ) -> Result<ExportReport, ClientError> {
        let request = Request::new(send::export(name, options));
        let mut parts = self.lists.clone().export_entries(request).await?.into_inner();
        let (mut report, mut bytes) = (None, 0);
        while let Some(reply) = parts.message().await? {
            match reply.part {
                Some(export_entries_response::Part::Chunk(chunk)) => {
                    bytes += chunk.len() as u64;
                    out.write_all(&chunk).map_err(|error| ClientError::Unwritten(in_words(&error)))?;
                }
                Some(export_entries_response::Part::Report(of)) => report = Some(read::export_report(of)),
                None => {}
            }
        }
        let whole = report.filter(|report| report.bytes == bytes);
        whole.ok_or_else(|| ClientError::BadReply("the export ended before it was whole".to_owned()))
    }

    /// The oldest first.
    pub async fn versions(&self, name: &str) -> Result<Vec<ListVersion>, ClientError> {
        let (mut versions, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListHashListVersionsRequest { list: name.to_owned(), page_size: 0, page_token };
            let page = self.lists.clone().list_hash_list_versions(self.request(request)).await?.into_inner();
            for version in page.versions {
                versions.push(read::version(version)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(versions);
            }
        }
    }

    pub async fn diff(&self, name: &str, from: VersionNo, to: VersionNo) -> Result<DiffReport, ClientError> {
        let request = v1::DiffVersionsRequest { list: name.to_owned(), from_version: from.0, to_version: to.0 };
        let reply = self.lists.clone().diff_versions(self.slow_request(request)).await?.into_inner();
        Ok(read::diff_report(reply))
    }

    /// What a list would have answered to a hash at an earlier moment.
    pub async fn as_of(&self, name: &str, moment: Moment, hash: &HashValue) -> Result<PastReport, ClientError> {
        let request = send::match_as_of(name, moment, hash);
        read::past_report(self.lists.clone().match_as_of(self.slow_request(request)).await?.into_inner())
    }

    /// What two lists share.
    pub async fn overlap(
        &self,
        name: &str,
        other: &str,
        kind: HashKind,
        radius: Option<u16>,
    ) -> Result<OverlapReport, ClientError> {
        let request = v1::OverlapListsRequest {
            list: name.to_owned(),
            other: other.to_owned(),
            kind: send::kind(kind),
            radius: radius.map(u32::from),
        };
        read::overlap_report(self.lists.clone().overlap_lists(self.slow_request(request)).await?.into_inner().report)
    }

    pub async fn activate(&self, name: &str, version: VersionNo) -> Result<ListInfo, ClientError> {
        let request = v1::ActivateVersionRequest { list: name.to_owned(), version: version.0 };
        read::list_info(self.lists.clone().activate_version(self.slow_request(request)).await?.into_inner().list)
    }

    pub async fn roll_back(&self, name: &str) -> Result<ListInfo, ClientError> {
        let request = v1::RollBackVersionRequest { list: name.to_owned() };
        read::list_info(self.lists.clone().roll_back_version(self.slow_request(request)).await?.into_inner().list)
    }
}

/// What lies under tonic's "transport error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let cause = std::iter::successors(Some(error), |cause| cause.source()).last().unwrap_or(error);
    cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), in_words)
}

/// Messages of at most [`ITEMS_BYTES`], unless one item is larger.
fn pack(items: impl Iterator<Item = Item>) -> Vec<v1::MatchStreamRequest> {
    let (mut messages, mut message, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let item = send::item(item);
        let size = prost::Message::encoded_len(&item);
        if bytes + size > ITEMS_BYTES && !message.is_empty() {
            messages.push(v1::MatchStreamRequest { items: std::mem::take(&mut message) });
            bytes = 0;
        }
        bytes += size;
        message.push(item);
    }
    messages.push(v1::MatchStreamRequest { items: message });
    messages
}

/// Header, files in chunks, end, until `send` says that they go nowhere. Without the end, the server takes nothing. A server that goes away is
/// its own error, not this one's.
fn read_files(header: Part, files: FilesToSend, send: &mut dyn FnMut(Part) -> bool) -> std::io::Result<()> {
    if !send(header) {
        return Ok(());
    }
    for file in files {
        let (name, mut file) = file?;
        if !name.is_empty() && !send(Part::File(v1::ImportFile { name })) {
            return Ok(());
        }
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            if (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? == 0 {
                break;
            }
            if !send(Part::Chunk(chunk)) {
                return Ok(());
            }
        }
    }
    send(Part::End(v1::ImportEnd {}));
    Ok(())
}
