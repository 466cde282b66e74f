//! The verbs through a running server, over the one client.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::runtime::Runtime;
use tonic::Code;

use super::calls::{Asked, Each, Item, Lists, Matching};
use super::context::{Exit, Failure};
use super::remarks::remark;
use crate::catalog::{
    DiffReport, EditReport, EntryInfo, EntryQuery, ExportOptions, ExportReport, Feedback, FeedbackReport, FetchOptions,
    FetchProgress, FetchReport, FoundEntries, ImportOptions, ImportReport, ListInfo, Moment, NewEntry, OverlapReport, PastReport,
    PictureOptions, PolicyUpdate, Progress, SourceInfo,
};
use crate::client::AddedPicture;
use crate::client::{self, Client, ClientError, Credentials, FilesToSend};
use crate::entry::{EntryNo, Feed, HashKind, HashValue, ListVersion, Mark, Polarity, VersionNo};
use crate::matcher::{Content, Hashed};
use crate::verdict::Verdict;

/// How long connecting, and then a call, may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Not refused: such a server was told that its network may be trusted, and others encrypt below HTTP.
const EXPOSED: &str = "warning: this connection is not encrypted, so others on the network can read pictures and hashes; use https:// \
                       unless the network is trusted";
/// The reason that a server gives for a list file that fails as a whole.
const BAD_FILE: &str = "BAD_FILE";
/// Items sent whose verdicts have not been printed: results come in any order, and are printed in the order given.
const ITEMS_AHEAD_MAX: usize = 256;

pub struct Remote {
    runtime: Runtime,
    client: Client,
}

impl Remote {
    pub fn connect(endpoint: &str, credentials: Credentials) -> Result<Self, Failure> {
        if client::is_exposed(endpoint) {
            remark(EXPOSED);
        }
        let runtime = super::context::runtime()?;
        let client = runtime.block_on(Client::connect_with(endpoint, TIMEOUT, credentials)).map_err(failure)?;
        Ok(Remote { runtime, client })
    }

    /// Fails where the server has no list of this name. Who may not ask hears of it with each item.
    pub fn has_list(&self, name: &str) -> Result<(), Failure> {
        match self.runtime.block_on(self.client.list(name)) {
            Err(ClientError::Refused { code: Code::PermissionDenied, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    pub fn hash(&self, bytes: Vec<u8>) -> Result<Hashed, Failure> {
        self.runtime.block_on(self.client.hash(bytes)).map_err(failure)
    }
}

/// As the embedded store would say it: what the lists' door answers comes in its own words.
fn failure(error: ClientError) -> Failure {
    let usage = match &error {
        ClientError::BadEndpoint(_) | ClientError::Tls(_) => true,
        ClientError::Refused { code, reason, .. } => *code == Code::InvalidArgument && reason != BAD_FILE,
        _ => false,
    };
    Failure { exit: if usage { Exit::Usage } else { Exit::Failed }, why: words(error) }
}

fn words(error: ClientError) -> String {
    const OF_THE_LISTS_DOOR: [Code; 5] =
        [Code::InvalidArgument, Code::NotFound, Code::AlreadyExists, Code::FailedPrecondition, Code::Aborted];
    match error {
        ClientError::Refused { code, message, field, .. } if OF_THE_LISTS_DOOR.contains(&code) => {
            // The field is named for programs; here it is an argument of the command line.
            message.strip_prefix(&format!("{field}: ")).unwrap_or(&message).to_owned()
        }
        ClientError::Refused { code: Code::Unauthenticated, message, .. } => {
            format!("{message}; --token-file FILE (or HASHWARDEN_TOKEN_FILE) names the file of the token to send")
        }
        ClientError::Refused { code: Code::PermissionDenied, message, field, .. } => {
            message.strip_prefix(&format!("{field}: ")).unwrap_or(&message).to_owned()
        }
        other => other.to_string(),
    }
}

impl Remote {
    pub fn add_picture(&self, name: &str, image: Vec<u8>, options: PictureOptions) -> Result<AddedPicture, Failure> {
        self.runtime.block_on(self.client.add_picture(name, image, options)).map_err(failure)
    }
}

impl Lists for Remote {
    fn create(&self, name: &str, polarity: Polarity, update: &PolicyUpdate) -> Result<ListInfo, Failure> {
        self.runtime.block_on(self.client.create(name, polarity, update)).map_err(failure)
    }

    fn set(&self, name: &str, update: &PolicyUpdate) -> Result<ListInfo, Failure> {
        self.runtime.block_on(self.client.set(name, update)).map_err(failure)
    }

    fn list(&self, name: &str) -> Result<ListInfo, Failure> {
        self.runtime.block_on(self.client.list(name)).map_err(failure)
    }

    fn lists(&self) -> Result<Vec<ListInfo>, Failure> {
        self.runtime.block_on(self.client.lists()).map_err(failure)
    }

    fn set_disabled(&self, name: &str, disabled: bool) -> Result<ListInfo, Failure> {
        self.runtime.block_on(self.client.set_disabled(name, disabled)).map_err(failure)
    }

    fn delete(&self, name: &str) -> Result<(), Failure> {
        self.runtime.block_on(self.client.delete(name)).map_err(failure)
    }

    fn add(&self, name: &str, entries: Vec<NewEntry>) -> Result<EditReport, Failure> {
        self.runtime.block_on(self.client.add(name, entries)).map_err(failure)
    }

    fn remove(&self, name: &str, ids: Vec<String>) -> Result<EditReport, Failure> {
        self.runtime.block_on(self.client.remove(name, ids)).map_err(failure)
    }

    fn entry(&self, name: &str, id: &str, with_hashes: bool) -> Result<EntryInfo, Failure> {
        self.runtime.block_on(self.client.entry(name, id, with_hashes)).map_err(failure)
    }

    fn find_entries(&self, name: &str, query: &EntryQuery, after: Option<EntryNo>, most: usize) -> Result<FoundEntries, Failure> {
        self.runtime.block_on(self.client.find_entries(name, query, after, most)).map_err(failure)
    }

    fn set_mark(&self, name: &str, id: &str, mark: Option<Mark>) -> Result<(), Failure> {
        self.runtime.block_on(self.client.set_mark(name, id, mark)).map_err(failure)
    }

    fn import(
        &self,
        name: &str,
        options: &ImportOptions,
        files: FilesToSend,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, Failure> {
        self.runtime.block_on(self.client.import_files(name, options, files, progress)).map_err(failure)
    }

    fn export(&self, name: &str, options: &ExportOptions, out: &mut (dyn Write + Send)) -> Result<ExportReport, Failure> {
        self.runtime.block_on(self.client.export(name, options, out)).map_err(failure)
    }

    fn versions(&self, name: &str) -> Result<Vec<ListVersion>, Failure> {
        self.runtime.block_on(self.client.versions(name)).map_err(failure)
    }

    fn as_of(&self, name: &str, moment: Moment, hash: &HashValue) -> Result<PastReport, Failure> {
        self.runtime.block_on(self.client.as_of(name, moment, hash)).map_err(failure)
    }

    fn diff(&self, name: &str, from: VersionNo, to: VersionNo) -> Result<DiffReport, Failure> {
        self.runtime.block_on(self.client.diff(name, from, to)).map_err(failure)
    }

    fn overlap(&self, name: &str, other: &str, kind: HashKind, radius: Option<u16>) -> Result<OverlapReport, Failure> {
        self.runtime.block_on(self.client.overlap(name, other, kind, radius)).map_err(failure)
    }

    fn activate(&self, name: &str, version: VersionNo) -> Result<ListInfo, Failure> {
        self.runtime.block_on(self.client.activate(name, version)).map_err(failure)
    }

    fn roll_back(&self, name: &str) -> Result<ListInfo, Failure> {
        self.runtime.block_on(self.client.roll_back(name)).map_err(failure)
    }

    fn set_source(&self, name: &str, source: &str, feed: &Feed) -> Result<SourceInfo, Failure> {
        self.runtime.block_on(self.client.set_source(name, source, feed)).map_err(failure)
    }

    fn sources(&self, name: &str) -> Result<Vec<SourceInfo>, Failure> {
        self.runtime.block_on(self.client.sources(name)).map_err(failure)
    }

    fn unset_source(&self, name: &str, source: &str) -> Result<(), Failure> {
        self.runtime.block_on(self.client.unset_source(name, source)).map_err(failure)
    }

    fn fetch_source(
        &self,
        name: &str,
        source: &str,
        options: FetchOptions,
        progress: &mut (dyn FnMut(FetchProgress) + Send),
    ) -> Result<FetchReport, Failure> {
        self.runtime.block_on(self.client.fetch_source(name, source, options, progress)).map_err(failure)
    }

    fn send_feedback(&self, name: &str, source: &str, feedback: &Feedback) -> Result<FeedbackReport, Failure> {
        self.runtime.block_on(self.client.send_feedback(name, source, feedback)).map_err(failure)
    }
}

/// Items by number, with their results once they are there.
type Items = BTreeMap<usize, (Item, Option<Result<Verdict, String>>)>;
type Waiting = Mutex<Items>;

impl Matching for Remote {
    fn run(&self, items: &mut (dyn Iterator<Item = Item> + Send), asked: &Asked, each: Each) -> Result<(), Failure> {
        let waiting = Arc::new(Waiting::default());
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let (give_back, slots) = mpsc::channel();
        for _ in 0..ITEMS_AHEAD_MAX {
            give_back.send(())?;
        }
        std::thread::scope(|scope| {
            let ahead = waiting.clone();
            scope.spawn(move || feed(items, asked, &ahead, &slots, &sender));
            let printed: Result<(), Failure> = self.runtime.block_on(async {
                let mut results = self.client.match_stream(receiver).await;
                while let Some(result) = results.recv().await {
                    let result = result.map_err(failure)?;
                    let number = result.id.parse::<usize>();
                    if let Ok(number) = number
                        && let Some((_, slot)) = lock(&waiting).get_mut(&number)
                    {
                        *slot = Some(result.verdict.map_err(words));
                    }
                    print_ready(&waiting, &give_back, each)?;
                }
                Ok(())
            });
            drop(give_back); // the feeder stops waiting, whatever happened
            printed?;
            print_ready(&waiting, &mpsc::channel().0, each)?;
            let left = lock(&waiting).len();
            if left == 0 {
                return Ok(());
            }
            Err(Failure { exit: Exit::Failed, why: format!("the server left {left} items unanswered") })
        })
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, Items> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends items, never more ahead of what is printed than there are slots. One that can't be read takes none: nothing comes back
/// for it that could give one free.
fn feed(
    items: &mut (dyn Iterator<Item = Item> + Send),
    asked: &Asked,
    waiting: &Waiting,
    slots: &mpsc::Receiver<()>,
    sender: &tokio::sync::mpsc::Sender<client::Item>,
) {
    for (number, mut item) in items.enumerate() {
        match std::mem::replace(&mut item.content, Ok(Content::Hashes(Vec::new()))) {
            Err(why) => {
                lock(waiting).insert(number, (item, Some(Err(why))));
            }
            Ok(content) => {
                if slots.recv().is_err() {
                    return;
                }
                lock(waiting).insert(number, (item, None));
                let (id, lists, views) = (number.to_string(), asked.lists.clone(), asked.views);
                let item = client::Item { id, reference: String::new(), content, lists, views };
                if sender.blocking_send(item).is_err() {
                    return;
                }
            }
        }
    }
}

/// Hands over the results that are next in order, as far as they are there.
fn print_ready(waiting: &Waiting, give_back: &mpsc::Sender<()>, each: Each) -> Result<(), Failure> {
    loop {
        let ready = lock(waiting).first_entry().filter(|e| e.get().1.is_some()).map(|e| e.remove());
        let Some((item, Some(result))) = ready else { return Ok(()) };
        each(&item, result)?;
        let _ = give_back.send(()); // the feeder may be done
    }
}
