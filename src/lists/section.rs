//! A part of a file that others read too.
//!
//! Each reader has a place of its own in it, unlike handles of one open file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Section {
    file: Arc<File>,
    start: u64,
    bytes: u64,
    at: u64,
}

impl Section {
    /// The bytes from `start` on, `bytes` of them, read from their beginning.
    pub fn new(file: Arc<File>, start: u64, bytes: u64) -> Self {
        Section { file, start, bytes, at: 0 }
    }
}

impl Read for Section {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = self.bytes.saturating_sub(self.at).min(out.len() as u64) as usize;
        let n = self.file.read_at(&mut out[..most], self.start + self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_section_is_read_and_sought_in_by_itself() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let section = Section::new(Arc::new(file), 2, 5);
        let (mut one, mut two) = (section.clone(), section);
        let mut text = String::new();
        one.read_to_string(&mut text).unwrap();
        assert_eq!(text, "23456");
        assert_eq!(two.seek(SeekFrom::End(-2)).unwrap(), 3);
        two.read_to_string(&mut text).unwrap();
        assert_eq!(text, "2345656");
        assert!(two.seek(SeekFrom::Current(-9)).is_err());
        assert_eq!((two.seek(SeekFrom::Start(99)).unwrap(), two.read(&mut [0; 4]).unwrap()), (99, 0));
    }
}
