//! `hashwarden scan` and `hashwarden match`: files, folders and hashes to verdicts, a line each, in the order given.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use super::calls::{Asked, Item};
use super::context::{Context, Exit, Failure};
use super::draw::draw;
use super::hashes::HashArgs;
use super::number::whole;
use super::output::{Counts, Label, line, unread_json, unread_text, verdict_json, verdict_text, written};
use super::remarks::{path_text, remark};
use crate::entry::Reason;
use crate::entry::shown::{in_words, looks_like_hash, unopened};
use crate::hash::digest::Digests;
use crate::matcher::{Content, GivenHash};
use crate::verdict::{Outcome, Verdict};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Args)]
pub struct MatchArgs {
    /// Files to match.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    hashes: HashArgs,
    /// PDQ quality of the given hashes, 0 to 100; unknown unless given.
    #[arg(long, value_name = "N", value_parser = whole(0..=100u8))]
    quality: Option<u8>,
    #[command(flatten)]
    asked: Asked,
    /// Write the picture with the matched views outlined to this PNG; for a single file.
    #[arg(long, value_name = "OUT.png")]
    draw: Option<PathBuf>,
}

pub fn scan(context: &Context, paths: &[PathBuf], asked: &Asked) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in paths {
        files_under(path, &mut files)?;
    }
    let bar = bar(context, files.len());
    let mut items = bar.wrap_iter(files.into_iter()).map(|found| match found.why_not {
        None => file_item(context, found.path),
        Some(why) => Item { label: Label::file(&found.path), content: Err(why), digests_only: false },
    });
    let counts = match_all(context, &mut items, asked, &mut |_| Ok(()));
    bar.finish_and_clear();
    let counts = counts?;
    if !context.json() {
        remark(format!("files: {} ({})", counts.sum(), counts.words()));
    }
    Ok(counts.exit())
}

pub fn run_match(context: &Context, args: MatchArgs) -> Result<Exit, Failure> {
    let hashes = args.hashes.values()?;
    if args.files.is_empty() && hashes.is_empty() {
        return Err(Failure::usage("match needs a file or a hash, such as --pdq HEX"));
    }
    if args.draw.is_some() && (args.files.len() != 1 || !hashes.is_empty()) {
        return Err(Failure::usage("--draw needs exactly one file and nothing else to match"));
    }
    let quality = args.quality;
    let of_hashes = hashes.into_iter().map(move |hash| Item {
        label: Label { field: hash.kind().name(), value: hash.hex() },
        content: Ok(Content::Hashes(vec![GivenHash { quality: quality.filter(|_| !hash.kind().is_digest()), hash }])),
        digests_only: false,
    });
    // A name that is wrong is said before any work, not among a thousand verdicts.
    for path in &args.files {
        if path.to_str().is_some_and(looks_like_hash) && !path.exists() {
            return Err(Failure::usage("no such file; to match a hash, give its kind, such as --pdq HEX or --md5 HEX"));
        }
        if std::fs::metadata(path).map_err(|e| unreadable(path, &e))?.is_dir() {
            return Err(Failure::usage(format!("{} is a folder; use scan", path_text(path))));
        }
    }
    if let (Some(out), [file]) = (&args.draw, args.files.as_slice()) {
        return match_and_draw(context, file, &args.asked, out);
    }
    let of_files = args.files.into_iter().map(|path| file_item(context, path));
    Ok(match_all(context, &mut of_files.chain(of_hashes), &args.asked, &mut |_| Ok(()))?.exit())
}

fn match_and_draw(context: &Context, file: &Path, asked: &Asked, out: &Path) -> Result<Exit, Failure> {
    let is_the_file = || Some(std::fs::canonicalize(out).ok()? == std::fs::canonicalize(file).ok()?);
    if is_the_file() == Some(true) {
        return Err(Failure::usage("--draw would overwrite the picture: give it another name"));
    }
    let item = file_item(context, file.to_owned());
    let bytes = if let Ok(Content::Image(bytes)) = &item.content { bytes.clone() } else { Vec::new() };
    let limits = context.config.limits();
    let counts = match_all(context, &mut [item].into_iter(), asked, &mut |verdict| draw(&bytes, &limits, verdict, out))?;
    Ok(counts.exit())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure { exit: Exit::Failed, why: unopened(&path_text(path), error) }
}

/// How far a scan is, where the verdicts go elsewhere and someone looks on.
fn bar(context: &Context, files: usize) -> ProgressBar {
    let shown = !context.json() && !io::stdout().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{pos} of {len} files {wide_bar} {per_sec} {elapsed} ETA {eta}");
    ProgressBar::with_draw_target(Some(files as u64), target).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints each item's verdict, and then hands it to `told`.
fn match_all(
    context: &Context,
    items: &mut (dyn Iterator<Item = Item> + Send),
    asked: &Asked,
    told: &mut dyn FnMut(&Verdict) -> Result<(), Failure>,
) -> Result<Counts, Failure> {
    let matching = super::backend::matching(context, &asked.lists)?;
    let mut counts = Counts::default();
    let mut out = io::stdout().lock();
    matching.run(items, asked, &mut |item, result| {
        let mut verdict = match result {
            Ok(verdict) => verdict,
            Err(why) => {
                counts.add(Outcome::NotScanned, 0);
                let text = line(context, || unread_json(&item.label, &why), || unread_text(&item.label, &why));
                return written(writeln!(out, "{text}"));
            }
        };
        if item.digests_only {
            mark_too_large(&mut verdict);
        }
        counts.add(verdict.outcome, verdict.views.cut);
        let text = line(context, || verdict_json(&item.label, &verdict), || verdict_text(&item.label, &verdict));
        written(writeln!(out, "{text}"))?;
        told(&verdict)
    })?;
    Ok(counts)
}

/// A file too large to be decoded was matched by its digests only, which is not a scan.
fn mark_too_large(verdict: &mut Verdict) {
    verdict.reason = Some(Reason::TooLarge);
    "the file has more bytes than image_bytes_max; only its digests were matched".clone_into(&mut verdict.detail);
    if verdict.outcome != Outcome::Match {
        verdict.outcome = Outcome::NotScanned;
    }
}

/// What a scan comes across: a file, or something that it can't read, which gets a line of its own.
struct Found {
    path: PathBuf,
    why_not: Option<String>,
}

impl Found {
    fn file(path: PathBuf) -> Self {
        Found { path, why_not: None }
    }

    fn unread(path: PathBuf, why: impl ToString) -> Self {
        Found { path, why_not: Some(why.to_string()) }
    }
}

/// Everything under a path, sorted. A link to a file is the file. A link to a folder is not followed below the path that was given:
/// it may lead anywhere, or in a circle.
fn files_under(path: &Path, files: &mut Vec<Found>) -> Result<(), Failure> {
    let kind = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !kind.is_dir() {
        files.push(Found::file(path.to_owned()));
        return Ok(());
    }
    let mut folders = vec![path.to_owned()];
    let first = files.len();
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if folder == path => return Err(unreadable(path, &error)),
            Err(error) => {
                files.push(Found::unread(folder, in_words(&error)));
                continue;
            }
        };
        for found in entries {
            match found.and_then(|found| Ok((found.path(), found.file_type()?))) {
                Ok((below, kind)) if kind.is_dir() => folders.push(below),
                Ok((below, kind)) if kind.is_symlink() && below.is_dir() => {
                    files.push(Found::unread(below, "a link to a folder: scan that folder by its own path"));
                }
                Ok((below, _)) => files.push(Found::file(below)),
                Err(error) => files.push(Found::unread(folder.clone(), in_words(&error))),
            }
        }
    }
    files[first..].sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

/// The files under a path, sorted, those too that can't be read.
pub fn files_in(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    files_under(path, &mut files)?;
    Ok(files.into_iter().map(|found| found.path).collect())
}

fn file_item(context: &Context, path: PathBuf) -> Item {
    let label = Label::file(&path);
    match read_file(&path, context.config.grpc.image_bytes_max) {
        Ok(FileContent::Whole(bytes)) => Item { label, content: Ok(Content::Image(bytes)), digests_only: false },
        Ok(FileContent::Digests(digests)) => {
            let hashes = digests.values().into_iter().map(|hash| GivenHash { hash, quality: None }).collect();
            Item { label, content: Ok(Content::Hashes(hashes)), digests_only: true }
        }
        Err(error) => Item { label, content: Err(in_words(&error)), digests_only: false },
    }
}

pub enum FileContent {
    Whole(Vec<u8>),
    /// The file has more bytes than the limit.
    Digests(Digests),
}

/// Reads a file, in bounded memory.
pub fn read_file(path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    // Asked before opening: opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 <= bytes_max {
        return Ok(FileContent::Whole(bytes));
    }
    Ok(FileContent::Digests(Digests::of_reader(bytes.as_slice().chain(file))?))
}
