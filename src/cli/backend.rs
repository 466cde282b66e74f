//! The two places a verb can work: the embedded store, or a running server. Same calls, same values, same errors in words.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::calls::{Asked, Each, Item, Lists, Matching};
use super::context::{Context, Exit, Failure};
use super::remarks::{path_text, remark};
use crate::catalog::{
    Catalog, CatalogError, DiffReport, EditReport, EntryInfo, EntryQuery, ExportOptions, ExportReport, Feedback, FeedbackReport,
    Fetch, FetchOptions, FetchProgress, FetchReport, FoundEntries, ImportFile, ImportOptions, ImportReport, ListInfo, Moment,
    NewEntry, OverlapReport, PastReport, PolicyUpdate, Progress, SourceInfo,
};
use crate::client::FilesToSend;
use crate::entry::{Caller, EntryNo, Feed, HashKind, HashValue, ListVersion, Mark, Polarity, VersionNo};
use crate::feeds::Feeds;
use crate::matcher::{Answer, Content, Hashed, Job, Matcher};
use crate::store::Access;
use crate::verdict::Verdict;

/// How long one file may take before it is given up as NOT_SCANNED(timeout).
const ITEM_MAX: Duration = Duration::from_secs(60);
/// What is read of a file at a time.
const READ_BYTES: usize = 256 * 1024;
/// Items in work at once on the embedded store, for each core: enough that no core waits for the reading of the next.
const ITEMS_PER_CORE: usize = 4;

/// The lists a verb works on. `access` is what the verb needs of an embedded store.
pub fn lists(context: &Context, access: Access) -> Result<Box<dyn Lists>, Failure> {
    if let Some(endpoint) = context.endpoint() {
        return Ok(Box::new(super::remote::Remote::connect(endpoint, context.credentials()?)?));
    }
    let dir = context.dir();
    let catalog = Arc::new(crate::app::lists(&dir, &context.config, usable(&dir, access))?);
    Ok(local(context, catalog))
}

/// The same, with the indexes that look-ups need.
pub fn lists_with_indexes(context: &Context) -> Result<Box<dyn Lists>, Failure> {
    if context.endpoint().is_some() {
        return lists(context, Access::Read);
    }
    let dir = context.dir();
    let (catalog, _) = crate::app::matching(&dir, &context.config, usable(&dir, Access::Read))?;
    Ok(local(context, catalog))
}

fn local(context: &Context, catalog: Arc<Catalog>) -> Box<dyn Lists> {
    Box::new(Local { catalog, by: Caller("cli".to_owned()), dir: context.dir(), feeds: context.config.feeds.clone() })
}

/// Reading what is not there yet makes it, and says so: a new store has no lists, which is an answer, but maybe not from the store
/// that was meant.
fn usable(dir: &Path, access: Access) -> Access {
    let nothing = match std::fs::read_dir(dir) {
        Ok(mut found) => found.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if !nothing {
        return access;
    }
    remark(format!("there is no store in {} yet; creating an empty one", path_text(dir)));
    Access::Write
}

struct Local {
    catalog: Arc<Catalog>,
    by: Caller,
    dir: PathBuf,
    feeds: crate::feeds::Options,
}

impl Local {
    /// What speaks with sources, and the runtime that it needs.
    fn feeds(&self) -> Result<(tokio::runtime::Runtime, Feeds), Failure> {
        let runtime = super::context::runtime()?;
        let feeds = crate::app::feeds(self.catalog.clone(), &self.feeds, &self.dir, runtime.handle());
        Ok((runtime, feeds))
    }
}

pub(super) fn failure(error: CatalogError) -> Failure {
    let exit = if matches!(error, CatalogError::Invalid(_)) { Exit::Usage } else { Exit::Failed };
    Failure { exit, why: error.to_string() }
}

impl Lists for Local {
    fn create(&self, name: &str, polarity: Polarity, update: &PolicyUpdate) -> Result<ListInfo, Failure> {
        self.catalog.create(&self.by, name, polarity, update).map_err(failure)
    }

    fn set(&self, name: &str, update: &PolicyUpdate) -> Result<ListInfo, Failure> {
        self.catalog.set(&self.by, name, update).map_err(failure)
    }

    fn list(&self, name: &str) -> Result<ListInfo, Failure> {
        self.catalog.list(name).map_err(failure)
    }

    fn lists(&self) -> Result<Vec<ListInfo>, Failure> {
        self.catalog.lists().map_err(failure)
    }

    fn set_disabled(&self, name: &str, disabled: bool) -> Result<ListInfo, Failure> {
        self.catalog.set_disabled(&self.by, name, disabled).map_err(failure)
    }

    fn delete(&self, name: &str) -> Result<(), Failure> {
        self.catalog.delete(&self.by, name).map_err(failure)
    }

    fn add(&self, name: &str, entries: Vec<NewEntry>) -> Result<EditReport, Failure> {
        self.catalog.add(&self.by, name, entries).map_err(failure)
    }

    fn remove(&self, name: &str, ids: Vec<String>) -> Result<EditReport, Failure> {
        self.catalog.remove(&self.by, name, ids).map_err(failure)
    }

    fn entry(&self, name: &str, id: &str, with_hashes: bool) -> Result<EntryInfo, Failure> {
        self.catalog.entry(name, id, with_hashes).map_err(failure)
    }

    fn find_entries(&self, name: &str, query: &EntryQuery, after: Option<EntryNo>, most: usize) -> Result<FoundEntries, Failure> {
        self.catalog.find_entries(name, query, after, most).map_err(failure)
    }

    fn set_mark(&self, name: &str, id: &str, mark: Option<Mark>) -> Result<(), Failure> {
        self.catalog.set_mark(&self.by, name, id, mark).map_err(failure)
    }

    fn import(
        &self,
        name: &str,
        options: &ImportOptions,
        files: FilesToSend,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, Failure> {
        let opened = |(name, file)| ImportFile { name, input: Box::new(BufReader::with_capacity(READ_BYTES, file)) };
        let mut files = files.map(|file| file.map(opened));
        let began = self.catalog.begin_import(name).map_err(failure)?;
        self.catalog.import_files(&self.by, name, began, options, &mut files, &mut |p| progress(p)).map_err(failure)
    }

    fn export(&self, name: &str, options: &ExportOptions, out: &mut (dyn Write + Send)) -> Result<ExportReport, Failure> {
        self.catalog.export(&self.by, name, options, out).map_err(failure)
    }

    fn versions(&self, name: &str) -> Result<Vec<ListVersion>, Failure> {
        self.catalog.versions(name).map_err(failure)
    }

    fn as_of(&self, name: &str, moment: Moment, hash: &HashValue) -> Result<PastReport, Failure> {
        self.catalog.as_of(name, moment, hash).map_err(failure)
    }

    fn diff(&self, name: &str, from: VersionNo, to: VersionNo) -> Result<DiffReport, Failure> {
        self.catalog.diff(name, from, to).map_err(failure)
    }

    fn overlap(&self, name: &str, other: &str, kind: HashKind, radius: Option<u16>) -> Result<OverlapReport, Failure> {
        self.catalog.overlap(name, other, kind, radius, &|| false).map_err(failure)
    }

    fn activate(&self, name: &str, version: VersionNo) -> Result<ListInfo, Failure> {
        self.catalog.activate(&self.by, name, version).map_err(failure)
    }

    fn roll_back(&self, name: &str) -> Result<ListInfo, Failure> {
        self.catalog.roll_back(&self.by, name).map_err(failure)
    }

    fn set_source(&self, name: &str, source: &str, feed: &Feed) -> Result<SourceInfo, Failure> {
        self.feeds()?.1.set(&self.by, name, source, feed.clone()).map_err(failure)
    }

    fn sources(&self, name: &str) -> Result<Vec<SourceInfo>, Failure> {
        self.catalog.sources(name).map_err(failure)
    }

    fn unset_source(&self, name: &str, source: &str) -> Result<(), Failure> {
        self.catalog.unset_source(&self.by, name, source).map_err(failure)
    }

    fn fetch_source(
        &self,
        name: &str,
        source: &str,
        options: FetchOptions,
        progress: &mut (dyn FnMut(FetchProgress) + Send),
    ) -> Result<FetchReport, Failure> {
        let (_runtime, feeds) = self.feeds()?;
        let mut listener = |so_far| {
            progress(so_far);
            true
        };
        feeds.fetch(&self.by, name, source, options, &mut listener).map_err(failure)
    }

    fn send_feedback(&self, name: &str, source: &str, feedback: &Feedback) -> Result<FeedbackReport, Failure> {
        let (_runtime, feeds) = self.feeds()?;
        feeds.feedback(&self.by, name, source, feedback).map_err(failure)
    }
}

/// Where `scan` and `match` happen. Lists that are asked for by name must be there.
pub fn matching(context: &Context, lists: &[String]) -> Result<Box<dyn Matching>, Failure> {
    if let Some(endpoint) = context.endpoint() {
        let remote = super::remote::Remote::connect(endpoint, context.credentials()?)?;
        lists.iter().try_for_each(|name| remote.has_list(name))?;
        return Ok(Box::new(remote));
    }
    let dir = context.dir();
    let (catalog, matcher) = crate::app::matching(&dir, &context.config, usable(&dir, Access::Read))?;
    for name in lists {
        catalog.list(name).map_err(failure)?;
    }
    let extract = &context.config.extract.images;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let items_max = (ITEMS_PER_CORE * cores).min(extract.queue_max).max(1);
    Ok(Box::new(LocalMatching { matcher, items_max, bytes_max: extract.queue_bytes_max }))
}

/// Keeps within what the matcher admits: a file of one's own is never shed, it waits.
struct LocalMatching {
    matcher: Matcher,
    items_max: usize,
    bytes_max: u64,
}

fn content_bytes(item: &Item) -> u64 {
    match &item.content {
        Ok(Content::Image(bytes)) => bytes.len() as u64,
        _ => 0,
    }
}

impl Matching for LocalMatching {
    fn run(&self, items: &mut (dyn Iterator<Item = Item> + Send), asked: &Asked, each: Each) -> Result<(), Failure> {
        let (send, answers) = mpsc::channel::<(usize, u64, Answer)>();
        let mut waiting: BTreeMap<usize, (Item, Option<Result<Verdict, String>>)> = BTreeMap::new();
        let (mut in_work, mut bytes_in_work) = (0, 0);
        let mut held = None;
        let mut next = 0;
        loop {
            let mut more = false;
            while waiting.len() < self.items_max
                && let Some(mut item) = held.take().or_else(|| items.next())
            {
                more = true;
                let bytes = content_bytes(&item);
                if in_work > 0 && bytes_in_work + bytes > self.bytes_max {
                    held = Some(item);
                    break;
                }
                let content = std::mem::replace(&mut item.content, Ok(Content::Hashes(Vec::new())));
                let done = match content {
                    Ok(content) => {
                        let send = send.clone();
                        let job = Job {
                            content,
                            lists: asked.lists.clone().into(),
                            views: asked.views,
                            until: Instant::now() + ITEM_MAX,
                            caller: Caller("cli".to_owned()),
                        };
                        let number = next;
                        // A closed channel means that nobody waits any more.
                        self.matcher.submit(job, move |answer| drop(send.send((number, bytes, answer))));
                        in_work += 1;
                        bytes_in_work += bytes;
                        None
                    }
                    Err(why) => Some(Err(why)),
                };
                waiting.insert(next, (item, done));
                next += 1;
            }
            if in_work > 0 {
                let (number, bytes, answer) = answers.recv()?;
                in_work -= 1;
                bytes_in_work -= bytes;
                if let Some((_, slot)) = waiting.get_mut(&number) {
                    *slot = Some(Ok(answer.verdict));
                }
            } else if !more && waiting.is_empty() {
                return Ok(());
            }
            while let Some(entry) = waiting.first_entry().filter(|e| e.get().1.is_some()) {
                if let (item, Some(result)) = entry.remove() {
                    each(&item, result)?;
                }
            }
        }
    }
}

/// What takes a file's hashes.
pub type Hasher = Box<dyn Fn(Vec<u8>) -> Result<Hashed, Failure>>;

pub fn hasher(context: &Context) -> Result<Hasher, Failure> {
    if let Some(endpoint) = context.endpoint() {
        let remote = super::remote::Remote::connect(endpoint, context.credentials()?)?;
        return Ok(Box::new(move |bytes| remote.hash(bytes)));
    }
    let matcher = crate::app::hashing(&context.config)?;
    Ok(Box::new(move |bytes| {
        let (send, hashed) = mpsc::channel();
        matcher.submit_hash(bytes, Instant::now() + ITEM_MAX, &Caller("cli".to_owned()), move |hashed| drop(send.send(hashed)));
        hashed
            .recv()?
            .ok_or_else(|| Failure { exit: Exit::Failed, why: "too many files are being hashed at once; try again".to_owned() })
    }))
}
