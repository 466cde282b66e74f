//! A file's bytes as decoders read them: while there is time.
//!
//! Decoders ask for bytes as they go, so a clock in their reader is what ends one that is at work, in every format and without its help.
//! One that has taken in all its bytes goes on to its end.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

/// Bytes read between two looks at the clock. A deflate stream of this size makes 4 MB, some milliseconds.
const UNWATCHED: usize = 4096;

pub(super) struct Source<'a> {
    bytes: &'a [u8],
    /// Read instead of the file's first bytes.
    head: Vec<u8>,
    at: usize,
    late: &'a dyn Fn() -> bool,
    unwatched: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(bytes: &'a [u8], late: &'a dyn Fn() -> bool) -> Self {
        Source { bytes, head: Vec::new(), at: 0, late, unwatched: UNWATCHED }
    }

    /// The same with other first bytes.
    pub(super) fn with_head(self, head: Vec<u8>) -> Self {
        Source { head, ..self }
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unwatched >= UNWATCHED {
            if (self.late)() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.unwatched = 0;
        }
        let rest = match self.head.get(self.at..) {
            Some(head @ [_, ..]) => head,
            _ => self.bytes.get(self.at..).unwrap_or_default(),
        };
        Ok(&rest[..rest.len().min(UNWATCHED)])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
        self.unwatched += amount;
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.fill_buf()?;
        let taken = rest.read(out)?;
        self.consume(taken);
        Ok(taken)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => i64::try_from(at).ok(),
            SeekFrom::End(by) => (self.bytes.len() as i64).checked_add(by),
            SeekFrom::Current(by) => (self.at as i64).checked_add(by),
        };
        let place = place.and_then(|at| usize::try_from(at).ok()).ok_or(ErrorKind::InvalidInput)?;
        self.at = place;
        // A decoder that only goes to and fro is watched too.
        self.unwatched += 64;
        Ok(place as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn bytes_come_in_order_and_the_head_goes_over_the_first() {
        let bytes: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
        let mut read = Vec::new();
        Source::new(&bytes, &|| false).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        let mut source = Source::new(&bytes, &|| false).with_head(vec![9, 9, 9]);
        read.clear();
        source.read_to_end(&mut read).unwrap();
        assert_eq!((&read[..5], read.len()), (&[9, 9, 9, 3, 4][..], bytes.len()));
        assert_eq!(source.seek(SeekFrom::End(-1)).unwrap(), 9_999);
        assert_eq!(source.fill_buf().unwrap(), [bytes[9_999]]);
        assert_eq!(source.seek(SeekFrom::Start(20_000)).unwrap(), 20_000);
        assert!(source.fill_buf().unwrap().is_empty());
        assert!(source.seek(SeekFrom::Current(-20_001)).is_err());
    }

    #[test]
    fn reading_and_seeking_end_when_time_is_up() {
        let late = Cell::new(false);
        let is_late = || late.get();
        let bytes = vec![0; 100_000];
        let mut source = Source::new(&bytes, &is_late);
        source.read_exact(&mut [0; 100]).unwrap();
        late.set(true);
        let mut rest = Vec::new();
        assert_eq!(source.read_to_end(&mut rest).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(rest.len() <= UNWATCHED, "{}", rest.len());
        late.set(false);
        source.read_exact(&mut [0; 1]).unwrap();
        late.set(true);
        let ended = (0..1000).any(|_| source.seek(SeekFrom::Start(0)).is_ok() && source.read_exact(&mut [0; 1]).is_err());
        assert!(ended);
    }
}
