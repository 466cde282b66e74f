//! `hashwarden scan` and `hashwarden match`: files, folders and hashes to verdicts, a line each, in the order given.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::list::HashArgs;
use super::output::{Label, exit_for, verdict_json, verdict_text};
use super::{Context, Exit, Failure};
use crate::entry::Reason;
use crate::hash::digest::Digests;
use crate::matcher::{Content, GivenHash};
use crate::verdict::{Outcome, Verdict};

#[derive(Args)]
pub struct MatchArgs {
    /// Files to match.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    hashes: HashArgs,
    /// PDQ quality, 0 to 100, of the PDQ hashes given; unknown unless said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
    quality: Option<u8>,
    /// Ask only these lists.
    #[arg(long = "list", value_name = "NAME")]
    lists: Vec<String>,
}

/// One thing to match, read only when its turn comes.
pub struct Item {
    pub label: Label,
    pub content: Result<Content, String>,
    /// Too large to be decoded: only its digests are matched.
    pub digests_only: bool,
}

/// Where matching happens. Verdicts come in the items' order.
pub trait Matching {
    fn run(
        &self,
        items: &mut (dyn Iterator<Item = Item> + Send),
        lists: &[String],
        each: &mut dyn FnMut(&Item, Result<Verdict, String>),
    ) -> Result<(), Failure>;
}

pub fn scan(context: &Context, paths: &[PathBuf], lists: Vec<String>) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in paths {
        files_under(path, &mut files)?;
    }
    match_all(context, &mut files.into_iter().map(|path| file_item(context, path)), &lists)
}

pub fn run_match(context: &Context, args: MatchArgs) -> Result<Exit, Failure> {
    let hashes = args.hashes.values();
    if args.files.is_empty() && hashes.is_empty() {
        return Err(Failure::usage("match needs a file or a hash, such as --pdq HEX"));
    }
    let quality = args.quality;
    let of_hashes = hashes.into_iter().map(move |hash| Item {
        label: Label { field: hash.kind().name(), value: hash.hex() },
        content: Ok(Content::Hashes(vec![GivenHash { quality: quality.filter(|_| !hash.kind().is_digest()), hash }])),
        digests_only: false,
    });
    let of_files = args.files.into_iter().map(|path| file_item(context, path));
    match_all(context, &mut of_files.chain(of_hashes), &args.lists)
}

fn match_all(context: &Context, items: &mut (dyn Iterator<Item = Item> + Send), lists: &[String]) -> Result<Exit, Failure> {
    let matching = super::backend::matching(context, lists)?;
    let mut outcomes = Vec::new();
    let mut out = io::stdout().lock();
    let mut written = Ok(());
    matching.run(items, lists, &mut |item, result| {
        let line = match result {
            Ok(mut verdict) => {
                if item.digests_only {
                    mark_too_large(&mut verdict);
                }
                outcomes.push(verdict.outcome);
                if context.json() { verdict_json(&item.label, &verdict).to_string() } else { verdict_text(&item.label, &verdict) }
            }
            Err(why) => {
                outcomes.push(Outcome::NotScanned);
                eprintln!("hashwarden: {}: {why}", item.label.value);
                let name = Outcome::NotScanned.name();
                if context.json() {
                    json!({item.label.field: item.label.value, "outcome": name, "error": why, "matches": []}).to_string()
                } else {
                    format!("{name:<11} {}  {why}", item.label.value)
                }
            }
        };
        if written.is_ok() {
            written = writeln!(out, "{line}");
        }
    })?;
    written?;
    Ok(exit_for(outcomes))
}

/// A file too large to be decoded was matched by its digests only, which is not a scan.
fn mark_too_large(verdict: &mut Verdict) {
    verdict.reason = Some(Reason::TooLarge);
    "the file has more bytes than image_bytes_max; only its digests were matched".clone_into(&mut verdict.detail);
    if verdict.outcome != Outcome::Match {
        verdict.outcome = Outcome::NotScanned;
    }
}

/// Every regular file under a path, sorted; symbolic links are not followed below it.
fn files_under(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let fail = |path: &Path, error: io::Error| Failure { exit: Exit::Failed, why: format!("{}: {error}", path.display()) };
    let kind = std::fs::metadata(path).map_err(|e| fail(path, e))?;
    if !kind.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut folders = vec![path.to_owned()];
    let first = files.len();
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(&folder).map_err(|e| fail(&folder, e))? {
            let found = found.map_err(|e| fail(&folder, e))?;
            let kind = found.file_type().map_err(|e| fail(&found.path(), e))?;
            if kind.is_dir() {
                folders.push(found.path());
            } else if kind.is_file() {
                files.push(found.path());
            }
        }
    }
    files[first..].sort();
    Ok(())
}

fn file_item(context: &Context, path: PathBuf) -> Item {
    let label = Label { field: "file", value: path.to_string_lossy().into_owned() };
    match read_file(&path, context.config.grpc.image_bytes_max) {
        Ok(FileContent::Whole(bytes)) => Item { label, content: Ok(Content::Image(bytes)), digests_only: false },
        Ok(FileContent::Digests(digests)) => {
            let hashes = digests.values().into_iter().map(|hash| GivenHash { hash, quality: None }).collect();
            Item { label, content: Ok(Content::Hashes(hashes)), digests_only: true }
        }
        Err(error) => Item { label, content: Err(error.to_string()), digests_only: false },
    }
}

pub enum FileContent {
    Whole(Vec<u8>),
    /// The file has more bytes than the limit.
    Digests(Digests),
}

/// Reads a file, in bounded memory.
pub fn read_file(path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= bytes_max {
        return Ok(FileContent::Whole(bytes));
    }
    Ok(FileContent::Digests(Digests::of_reader(bytes.as_slice().chain(file))?))
}
