//! The files of a folder on the server.
//!
//! All regular files that lie in it, in the order of their names, are one import; those whose names begin with a dot, which are being written, are
//! passed over, and so are links, which the report counts. It is read only where names, sizes or times are others than before. Invariant: nothing outside the configuration's folder
//! is read, whatever the folder's path or links in it lead to.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::options::Options;
use super::underway::Asker;
use super::{FeedError, Fetching, ToImport};
use crate::catalog::ImportFile;
use crate::entry::Feed;
use crate::entry::shown::counted;

const READ_BYTES: usize = 256 * 1024;
/// Files of one import.
const FILES_MAX: usize = 10_000;

impl Fetching<'_> {
    pub(super) fn folder(&mut self) -> Result<(), FeedError> {
        let folder = allowed(&self.feeds.options, &self.info.feed)?;
        let (files, links) = files_in(&folder)?;
        let not_followed = || format!("{} in the folder not read: links are not followed", counted(links, "link", "links"));
        if links > 0 {
            // Who asked for the fetch reads it in the report.
            if self.asker == Asker::Schedule {
                let (list, source) = (&self.info.list, &self.info.name);
                tracing::warn!(list, source, links, "links in the folder of a source are not followed");
            }
            self.report.warnings.push(not_followed());
        }
        if files.is_empty() {
            let links = if links > 0 { format!(" ({})", not_followed()) } else { String::new() };
            return Err(FeedError::failed(format!("the folder has no files{links}")));
        }
        let stamp = stamp(&files)?;
        if stamp == self.state.cursor {
            self.report.is_unchanged = true;
            return Ok(());
        }
        self.report.pages = files.len() as u64;
        self.tell();
        let how = (self.format()?, self.info.feed.delta, "folder".to_owned());
        let mut read = || -> io::Result<ToImport> {
            let (folder, before) = (folder.clone(), stamp.clone());
            let several = files.len() > 1;
            let each = files.clone().into_iter().map(move |path| opened(&path, several));
            // Behind the last file: what changed while it was read may have been read by halves.
            let mut checked = false;
            let check = std::iter::from_fn(move || {
                let first = !std::mem::replace(&mut checked, true);
                let now = first.then(|| files_in(&folder).and_then(|(files, _)| self::stamp(&files)))?;
                match now {
                    Ok(now) if now == before => None,
                    Ok(_) => Some(Err(io::Error::other("the folder changed while it was read"))),
                    Err(error) => Some(Err(error)),
                }
            });
            Ok(Box::new(each.chain(check)))
        };
        let report = self.import(&mut read, how)?;
        (self.report.records, self.report.bytes) = (report.rows, report.bytes);
        self.imported(&report, stamp.clone()).map(drop)
    }
}

/// The folder, where it lies below the one that the configuration names.
pub fn allowed(options: &Options, feed: &Feed) -> Result<PathBuf, FeedError> {
    let root = &options.folder;
    if root.as_os_str().is_empty() {
        return Err(FeedError::Refused("no folder may be read: [feeds] folder is not set".to_owned()));
    }
    // One answer for what is outside and for what is not there: it tells nothing of the server's files.
    let unfit = || FeedError::Refused("there is no such folder below the one that [feeds] folder names".to_owned());
    let root = root.canonicalize().map_err(|_| unfit())?;
    let folder = Path::new(&feed.place).canonicalize().map_err(|_| unfit())?;
    if folder.starts_with(&root) && folder.is_dir() { Ok(folder) } else { Err(unfit()) }
}

/// Its regular files, and how many links are beside them.
fn files_in(folder: &Path) -> io::Result<(Vec<PathBuf>, u64)> {
    let (mut files, mut links) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type()?;
        links += u64::from(!hidden && kind.is_symlink());
        if hidden || !kind.is_file() {
            continue;
        }
        if files.len() == FILES_MAX {
            return Err(io::Error::other(format!("the folder has more than {FILES_MAX} files")));
        }
        files.push(entry.path());
    }
    files.sort();
    Ok((files, links))
}

/// What tells one state of the files from another.
fn stamp(files: &[PathBuf]) -> io::Result<String> {
    let mut digest = Sha256::new();
    for path in files {
        let facts = std::fs::symlink_metadata(path)?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
        for number in [facts.ino() as i64, facts.size() as i64, facts.mtime(), facts.mtime_nsec()] {
            digest.update(number.to_be_bytes());
        }
    }
    Ok(hex::encode(digest.finalize()))
}

fn opened(path: &Path, several: bool) -> io::Result<ImportFile<'static>> {
    // It may be a link or a pipe by now.
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no longer a regular file"));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if several { name } else { String::new() };
    Ok(ImportFile { name, input: Box::new(BufReader::with_capacity(READ_BYTES, file)) })
}
