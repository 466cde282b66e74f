//! What is in a file that the configuration names?
//!
//! It is read again while the server runs, and by then a path may name something else than a file: opening a pipe waits for its writer, and
//! a device may have no end. Invariant: reading neither waits nor takes in more than was asked for.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Why a file was not read.
#[derive(Debug)]
pub enum Unread {
    Io(io::Error),
    /// A folder, a pipe, a socket or a device.
    NotAFile,
    TooLong,
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Unread::Io(error)
    }
}

/// A file's bytes, and what the system says of it.
pub fn read(path: &Path, bytes_max: u64) -> Result<(Vec<u8>, Metadata), Unread> {
    // Before it is opened, as opening a device may do something; and once more of what was opened, which may be another one by then.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unread::NotAFile);
    }
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(Unread::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(Unread::TooLong);
    }
    Ok((bytes, found))
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: [(i64, i64); 2],
}

impl Stamp {
    pub fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Stamp::from(&found))
    }
}

impl From<&Metadata> for Stamp {
    fn from(of: &Metadata) -> Self {
        let changed = [(of.mtime(), of.mtime_nsec()), (of.ctime(), of.ctime_nsec())];
        Stamp { file: (of.dev(), of.ino()), bytes: of.size(), changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe in a file's place kept whoever read it waiting for ever.
    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        std::fs::write(&file, b"12345").unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let not_a_file = |path: &Path| matches!(read(path, 5), Err(Unread::NotAFile));
        assert!(not_a_file(&pipe) && not_a_file(&link) && not_a_file(folder.path()));
        assert!(matches!(read(&folder.path().join("absent"), 5), Err(Unread::Io(_))));
        assert!(matches!(read(&file, 4), Err(Unread::TooLong)));
        let (bytes, found) = read(&file, 5).unwrap();
        assert_eq!((bytes, Some(Stamp::from(&found))), (b"12345".to_vec(), Stamp::of(&file)));
    }
}
