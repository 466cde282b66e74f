//! Which lists does a file hold, and what are their bytes?
//!
//! A file is a list itself, one that gzip or Zstandard compressed, or a ZIP archive of lists. [`each_list`] hands over each as UTF-8, read once from its
//! beginning. Invariants: memory is constant, but for the window of Zstandard (at most 128 MiB); all that comes out counts against one limit,
//! so a bomb ends there; checksums are checked, and what is cut short fails. Archives in archives are not read.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use super::bounded::read_filled;
use super::encoding::{self, Decoded};
use super::zip;
use super::{FileError, foreign};

/// What a list's beginning tells its format by.
const HEAD_BYTES: usize = 64 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;

/// Why a file's bytes are not handed over. It comes as an [`io::Error`] through the readers of lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error("its {0} data is damaged or cut short")]
    Damaged(&'static str),
    #[error("it holds more than {0} bytes, unpacked, with the files before it: the limit ([import] bytes_max)")]
    TooLong(u64),
    #[error("the file is not valid {0}")]
    NotText(&'static str),
    #[error("it is encrypted; unpack it, and import what is in it")]
    Encrypted,
    #[error("it is packed in a way that is not read; pack it again, or unpack it and import what is in it")]
    Unsupported,
    #[error("it has more than {0} members; at most so many are read")]
    Members(u64),
}

impl Unread {
    fn io(self) -> io::Error {
        io::Error::other(self)
    }
}

/// What unpacking may take.
pub struct Unpacking<'a> {
    /// Bytes that may still come out, of all files of an import together.
    pub left: &'a Cell<u64>,
    /// The limit, to be said where it is passed.
    pub bytes_max: u64,
}

/// A list in a file.
pub struct Found<'a> {
    /// The name of an archive's member, without its folders.
    pub name: Option<&'a str>,
    /// How it begins.
    pub head: &'a [u8],
    /// All of it.
    pub input: &'a mut dyn BufRead,
}

/// Hands over the lists in a file. Each must be read to its end, or `each` must fail.
pub fn each_list<E: From<FileError>>(
    input: &mut dyn BufRead,
    with: &Unpacking<'_>,
    each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let head = head_of(input)?;
    let mut whole = Cursor::new(&head[..]).chain(input);
    match head.as_slice() {
        [0x1f, 0x8b, ..] => {
            let unpacked = Packed { inner: MultiGzDecoder::new(whole), what: "gzip" };
            list(&mut BufReader::with_capacity(BUFFER_BYTES, unpacked), None, with, each)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let unpacked = Packed { inner: Zstd { input: whole, frame: FrameDecoder::new(), open: false }, what: "Zstandard" };
            list(&mut BufReader::with_capacity(BUFFER_BYTES, unpacked), None, with, each)
        }
        [b'P', b'K', 3, 4, ..] => archive(&mut whole, with, each),
        _ => list(&mut whole, None, with, each),
    }
}

fn head_of(input: &mut dyn BufRead) -> Result<Vec<u8>, FileError> {
    let mut head = Vec::new();
    input.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A list that is unpacked, and perhaps in another encoding.
fn list<E: From<FileError>>(
    input: &mut dyn BufRead,
    name: Option<&str>,
    with: &Unpacking<'_>,
    each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let of = |error| match name {
        Some(name) => FileError::Member { name: name.to_owned(), error: Box::new(error) },
        None => error,
    };
    let mut input = Limited { input, with };
    let head = head_of(&mut input).map_err(of)?;
    foreign::refuse_packed(&head).map_err(of)?;
    let mut whole = Cursor::new(&head[..]).chain(input);
    match encoding::of(&head).map_err(of)? {
        None => each(Found { name, head: &head, input: &mut whole }),
        Some(encoding) => {
            let mut decoded = Decoded::new(encoding, &mut whole);
            let head = head_of(&mut decoded).map_err(of)?;
            each(Found { name, head: &head, input: &mut Cursor::new(&head[..]).chain(decoded) })
        }
    }
}

fn archive<E: From<FileError>>(
    input: &mut dyn BufRead,
    with: &Unpacking<'_>,
    each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut lists = 0;
    zip::members(input, &mut |name, content| {
        if ["[Content_Types].xml", "mimetype"].contains(&name) {
            return Err(Failed(foreign::spreadsheet().into()));
        }
        let mut content = BufReader::with_capacity(BUFFER_BYTES, Packed { inner: content, what: "ZIP" });
        if name.ends_with('/') || is_of_the_system(name) {
            let mut passed = Limited { input: &mut content, with };
            return io::copy(&mut passed, &mut io::sink()).map(|_| ()).map_err(Failed::from);
        }
        lists += 1;
        list(&mut content, Some(base(name)), with, each).map_err(Failed)
    })
    .map_err(|Failed(error)| error)?;
    if lists == 0 { Err(FileError::Empty.into()) } else { Ok(()) }
}

/// What stops the reading of an archive: its own damage, or what its reader says.
struct Failed<E>(E);

impl<E: From<FileError>> From<io::Error> for Failed<E> {
    fn from(error: io::Error) -> Self {
        Failed(FileError::from(told(error, "ZIP")).into())
    }
}

/// What desktops put beside the files of an archive.
fn is_of_the_system(name: &str) -> bool {
    name.starts_with("__MACOSX/") || base(name).starts_with('.') || base(name) == "Thumbs.db"
}

fn base(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// Says of what a decompressor fails on that it is damaged.
struct Packed<R> {
    inner: R,
    what: &'static str,
}

/// What fails in unpacking, but for what the file under it says and for what was told already.
fn told(error: io::Error, what: &'static str) -> io::Error {
    let is_told = error.get_ref().is_some_and(|inner| inner.is::<Unread>());
    let is_damage = [ErrorKind::InvalidData, ErrorKind::InvalidInput, ErrorKind::UnexpectedEof, ErrorKind::Other];
    if is_damage.contains(&error.kind()) && !is_told { Unread::Damaged(what).io() } else { error }
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read(out).map_err(|error| told(error, self.what))
    }
}

/// Frames of Zstandard one behind the other. The library reads one, and leaves its checksum to the caller.
struct Zstd<R> {
    input: R,
    frame: FrameDecoder,
    open: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Whether another frame begins.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.input) {
                Ok(()) => {
                    self.open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.input).take(length), &mut io::sink())? < length {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(_) => return Err(ErrorKind::InvalidData.into()),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        loop {
            if !self.open && !self.begin()? {
                return Ok(0);
            }
            if self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame.decode_blocks(&mut self.input, UptoBlocks(1)).map_err(|_| ErrorKind::InvalidData)?;
            }
            let n = self.frame.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            if self.frame.is_finished() && self.frame.can_collect() == 0 {
                let said = self.frame.get_checksum_from_data();
                if said.is_some() && said != self.frame.get_calculated_checksum() {
                    return Err(ErrorKind::InvalidData.into());
                }
                self.open = false;
            }
        }
    }
}

/// Counts what comes out, and ends where it is too much.
struct Limited<'a> {
    input: &'a mut dyn BufRead,
    with: &'a Unpacking<'a>,
}

impl BufRead for Limited<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let filled = self.input.fill_buf()?;
        if self.with.left.get() == 0 && !filled.is_empty() {
            return Err(Unread::TooLong(self.with.bytes_max).io());
        }
        Ok(filled)
    }

    fn consume(&mut self, n: usize) {
        self.with.left.set(self.with.left.get().saturating_sub(n as u64));
        self.input.consume(n);
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        read_filled(self, out)
    }
}
