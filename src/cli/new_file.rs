//! A new file for a secret: its owner alone can read it, and it goes again unless the secret is written to it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::context::{Exit, Failure};
use super::remarks::path_text;
use crate::entry::shown::{in_words, unopened};

pub struct NewFile {
    path: PathBuf,
    file: Option<File>,
}

impl NewFile {
    /// Before there is a secret that would have nowhere to go. What is there already is left alone.
    pub fn make(path: &Path) -> Result<Self, Failure> {
        let made = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = made.map_err(|error| Failure::usage(format!("--out: {}", unopened(&path_text(path), &error))))?;
        Ok(NewFile { path: path.to_owned(), file: Some(file) })
    }

    pub fn write(mut self, secret: &str) -> Result<PathBuf, Failure> {
        if let Some(file) = &mut self.file {
            let written = file.write_all(format!("{secret}\n").as_bytes()).and_then(|()| file.sync_all());
            written.map_err(|error| Failure { exit: Exit::Failed, why: format!("--out: {}", in_words(&error)) })?;
        }
        self.file = None;
        Ok(self.path.clone())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path); // empty, it does no harm
        }
    }
}
