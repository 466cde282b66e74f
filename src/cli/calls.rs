//! What verbs ask, of the embedded store or of a server: the calls that both answer alike.

use std::io::Write;

use clap::Args;

use super::context::Failure;
use super::output::Label;
use crate::catalog::{
    DiffReport, EditReport, EntryInfo, EntryQuery, ExportOptions, ExportReport, Feedback, FeedbackReport, FetchOptions,
    FetchProgress, FetchReport, FoundEntries, ImportOptions, ImportReport, ListInfo, Moment, NewEntry, OverlapReport, PastReport,
    PolicyUpdate, Progress, SourceInfo,
};
use crate::client::FilesToSend;
use crate::entry::{EntryNo, Feed, HashKind, HashValue, ListVersion, Mark, Polarity, VersionNo, ViewSet};
use crate::matcher::Content;
use crate::verdict::Verdict;

/// The list verbs.
pub trait Lists {
    fn create(&self, name: &str, polarity: Polarity, update: &PolicyUpdate) -> Result<ListInfo, Failure>;
    fn set(&self, name: &str, update: &PolicyUpdate) -> Result<ListInfo, Failure>;
    fn list(&self, name: &str) -> Result<ListInfo, Failure>;
    fn lists(&self) -> Result<Vec<ListInfo>, Failure>;
    fn set_disabled(&self, name: &str, disabled: bool) -> Result<ListInfo, Failure>;
    fn delete(&self, name: &str) -> Result<(), Failure>;
    fn add(&self, name: &str, entries: Vec<NewEntry>) -> Result<EditReport, Failure>;
    fn remove(&self, name: &str, ids: Vec<String>) -> Result<EditReport, Failure>;
    fn entry(&self, name: &str, id: &str, with_hashes: bool) -> Result<EntryInfo, Failure>;
    fn find_entries(&self, name: &str, query: &EntryQuery, after: Option<EntryNo>, most: usize) -> Result<FoundEntries, Failure>;
    fn set_mark(&self, name: &str, id: &str, mark: Option<Mark>) -> Result<(), Failure>;
    fn import(
        &self,
        name: &str,
        options: &ImportOptions,
        files: FilesToSend,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, Failure>;
    fn export(&self, name: &str, options: &ExportOptions, out: &mut (dyn Write + Send)) -> Result<ExportReport, Failure>;
    fn versions(&self, name: &str) -> Result<Vec<ListVersion>, Failure>;
    fn diff(&self, name: &str, from: VersionNo, to: VersionNo) -> Result<DiffReport, Failure>;
    fn as_of(&self, name: &str, moment: Moment, hash: &HashValue) -> Result<PastReport, Failure>;
    fn overlap(&self, name: &str, other: &str, kind: HashKind, radius: Option<u16>) -> Result<OverlapReport, Failure>;
    fn activate(&self, name: &str, version: VersionNo) -> Result<ListInfo, Failure>;
    fn roll_back(&self, name: &str) -> Result<ListInfo, Failure>;
    fn set_source(&self, name: &str, source: &str, feed: &Feed) -> Result<SourceInfo, Failure>;
    fn sources(&self, name: &str) -> Result<Vec<SourceInfo>, Failure>;
    fn unset_source(&self, name: &str, source: &str) -> Result<(), Failure>;
    fn fetch_source(
        &self,
        name: &str,
        source: &str,
        options: FetchOptions,
        progress: &mut (dyn FnMut(FetchProgress) + Send),
    ) -> Result<FetchReport, Failure>;
    fn send_feedback(&self, name: &str, source: &str, feedback: &Feedback) -> Result<FeedbackReport, Failure>;
}

/// What is asked of every item.
#[derive(Args)]
pub struct Asked {
    /// Search only this list; can be repeated.
    #[arg(long = "list", value_name = "NAME")]
    pub lists: Vec<String>,
    /// Views of a picture to look up: the whole picture alone, or all that count in a list. By default, what the configuration or the
    /// server says.
    #[arg(long, value_name = "whole|all", value_parser = views)]
    pub views: Option<ViewSet>,
}

fn views(text: &str) -> Result<ViewSet, String> {
    text.parse().map_err(|bad: crate::entry::BadValue| bad.0)
}

/// One thing to match, read only when its turn comes.
pub struct Item {
    pub label: Label,
    pub content: Result<Content, String>,
    /// Too large to be decoded: only its digests are matched.
    pub digests_only: bool,
}

/// Is given each item with its verdict, or with the words for why there is none; an error ends the run.
pub type Each<'a> = &'a mut dyn FnMut(&Item, Result<Verdict, String>) -> Result<(), Failure>;

/// Where matching happens. Verdicts come in the items' order.
pub trait Matching {
    fn run(&self, items: &mut (dyn Iterator<Item = Item> + Send), asked: &Asked, each: Each) -> Result<(), Failure>;
}
