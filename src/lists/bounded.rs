//! How much of a file went into one piece of it, and on which line is its reader?
//!
//! Parsers of XML and JSON keep a tag, a text or a number whole before they hand it over. [`Bounded`] stands between the file and such a
//! parser and fails where a piece has grown beyond [`PIECE_BYTES_MAX`]: whoever drives the parser says when one begins.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};

/// A tag, a text, a name or a number of more bytes than this fails its file. A picture's thumbnail among the fields of a case export has some
/// hundred KiB, and costs its record alone.
pub(super) const PIECE_BYTES_MAX: usize = 4 * 1024 * 1024;

const BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
#[error("a single value or tag has more than {PIECE_BYTES_MAX} bytes")]
pub(super) struct TooLong;

/// What the driver of a parser asks and says of its input.
#[derive(Debug, Default)]
pub(super) struct Meter {
    taken: Cell<usize>,
    breaks: Cell<u64>,
}

impl Meter {
    /// Another piece begins here. The number of bytes that the one before took.
    pub fn next_piece(&self) -> usize {
        self.taken.replace(0)
    }

    /// The line that the reader is on, from 1.
    pub fn line(&self) -> u64 {
        self.breaks.get() + 1
    }
}

/// Reads through a buffer of its own: parsers ask for every tag, and a file may have come through five layers.
pub(super) struct Bounded<'a> {
    input: BufReader<&'a mut dyn BufRead>,
    meter: &'a Meter,
}

impl<'a> Bounded<'a> {
    pub fn new(input: &'a mut dyn BufRead, meter: &'a Meter) -> Self {
        Bounded { input: BufReader::with_capacity(BUFFER_BYTES, input), meter }
    }
}

impl BufRead for Bounded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.meter.taken.get() > PIECE_BYTES_MAX {
            return Err(io::Error::other(TooLong));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        if let Some(consumed) = self.input.buffer().get(..n) {
            let breaks = consumed.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.meter.breaks.set(self.meter.breaks.get() + breaks);
        }
        self.meter.taken.set(self.meter.taken.get() + n);
        self.input.consume(n);
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        read_filled(self, out)
    }
}

/// `Read::read` of what is a `BufRead` first.
pub(super) fn read_filled(input: &mut impl BufRead, out: &mut [u8]) -> io::Result<usize> {
    let filled = input.fill_buf()?;
    let n = filled.len().min(out.len());
    out[..n].copy_from_slice(&filled[..n]);
    input.consume(n);
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_a_piece_ends_somewhere() {
        let text = "a\nb\n".repeat(PIECE_BYTES_MAX / 4 + 1);
        let (meter, mut input) = (Meter::default(), text.as_bytes());
        let mut bounded = Bounded::new(&mut input, &meter);
        let mut two = [0; 3];
        bounded.read_exact(&mut two).unwrap();
        assert_eq!((meter.line(), meter.next_piece()), (2, 3));
        let error = io::copy(&mut bounded, &mut io::sink()).unwrap_err();
        assert!(error.get_ref().unwrap().is::<TooLong>());
        assert_eq!(FileError::reading(7, &error).to_string(), "line 7: a single value or tag has more than 4194304 bytes");
        meter.next_piece();
        assert_eq!(io::copy(&mut bounded, &mut io::sink()).unwrap(), 0);
    }

    use crate::lists::FileError;
}
