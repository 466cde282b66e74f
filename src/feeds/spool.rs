//! Where do pages and files lie until they are imported?
//!
//! In one file without a name, beside the store, so that an import begins only when all of it is there, and a source that is slow keeps nobody
//! else's import waiting. It is gone with the process. Invariant: it is never longer than it may be.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use crate::catalog::ImportFile;
use crate::entry::shown::sized;
use crate::lists::Section;

/// What the catalog reads at a time.
const READ_BYTES: usize = 256 * 1024;

pub struct Spool {
    file: File,
    bytes_max: u64,
    bytes: u64,
    /// Names, and where each begins and ends.
    parts: Vec<(String, u64, u64)>,
}

impl Spool {
    pub fn new(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        Ok(Spool { file: tempfile::tempfile_in(dir)?, bytes_max, bytes: 0, parts: Vec::new() })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Appends to the part that is being written.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.bytes_max {
            let why = format!("the source sent more than {} ([feeds] file_bytes_max)", sized(self.bytes_max));
            return Err(io::Error::other(why));
        }
        self.file.write_all(piece)
    }

    /// Takes back what was written since the last part.
    pub fn take_back(&mut self) -> io::Result<()> {
        self.bytes = self.parts.last().map_or(0, |(.., end)| *end);
        self.file.set_len(self.bytes)?;
        self.file.seek(io::SeekFrom::Start(self.bytes)).map(drop)
    }

    /// Ends a part.
    pub fn end(&mut self, name: String) {
        let start = self.parts.last().map_or(0, |(.., end)| *end);
        self.parts.push((name, start, self.bytes));
    }

    /// All parts, as the files of an import.
    pub fn files(&self) -> io::Result<impl Iterator<Item = io::Result<ImportFile<'static>>> + use<>> {
        let file = Arc::new(self.file.try_clone()?);
        let parts = self.parts.clone();
        Ok(parts.into_iter().map(move |(name, start, end)| {
            let section = Section::new(file.clone(), start, end - start);
            Ok(ImportFile { name, input: Box::new(BufReader::with_capacity(READ_BYTES, section)) })
        }))
    }
}
