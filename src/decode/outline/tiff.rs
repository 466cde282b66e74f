//! Which pages does a TIFF hold, and where? TIFF 6.0, and BigTIFF, whose offsets have 8 bytes.
//!
//! A walk of our own, since a decoder reads a page at a time and stops at the first that it can't read: here every directory is found
//! that others lead to, in the chain of pages or as a part of one (SubIFDs), reduced or not, each once. A page that no viewer shows is a
//! place to hide a picture in.

use std::collections::{HashSet, VecDeque};

use super::Outline;

/// TIFF pages that are looked for.
pub const PAGES_MAX: usize = 1000;

/// One directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// Where its directory lies.
    pub at: u64,
    pub width: u32,
    pub height: u32,
}

pub(super) fn tiff(bytes: &[u8]) -> Option<Outline> {
    let reader = Reader::of(bytes)?;
    let mut out = Outline::default();
    let mut found = Found::default();
    found.add(reader.number(reader.word, reader.word)?);
    while let Some(at) = found.ahead.pop_front() {
        match reader.directory(at, &mut found) {
            Some(page) => out.pages.push(page),
            None => out.ends_early = true,
        }
    }
    out.flaw(found.cut, "pages of the TIFF that were not looked for");
    let first = out.pages.first()?;
    (out.width, out.height) = (first.width, first.height);
    out.pixels_max = out.pages.iter().map(|page| u64::from(page.width) * u64::from(page.height)).max()?;
    out.frames = out.pages.len() as u32;
    Some(out)
}

/// The directories that were found, each once.
#[derive(Default)]
struct Found {
    known: HashSet<u64>,
    ahead: VecDeque<u64>,
    /// There may be more than were looked for.
    cut: bool,
}

impl Found {
    fn add(&mut self, at: u64) {
        if at == 0 || self.known.contains(&at) {
            return;
        }
        if self.known.len() == PAGES_MAX {
            self.cut = true;
            return;
        }
        self.known.insert(at);
        self.ahead.push_back(at);
    }
}

/// Entries of a directory that are read.
const ENTRIES_MAX: usize = 4096;
/// Directories that one entry can name.
const PARTS_MAX: u64 = 65_536;

/// Numbers of the file's byte order.
struct Reader<'a> {
    bytes: &'a [u8],
    little: bool,
    /// Bytes of an offset, and of a value that stands in its entry.
    word: usize,
    /// Bytes of the number of entries, and of an entry.
    count_size: usize,
    entry_size: usize,
}

impl<'a> Reader<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let little = bytes.first()? == &b'I';
        let plain = Reader { bytes, little, word: 4, count_size: 2, entry_size: 12 };
        Some(if plain.number(2, 2)? == 43 { Reader { word: 8, count_size: 8, entry_size: 20, ..plain } } else { plain })
    }

    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let field = self.bytes.get(at..at.checked_add(size)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little { field.iter().rev().fold(0, fold) } else { field.iter().fold(0, fold) })
    }

    /// Reads a directory, and adds those that it leads to. `None` where the file does not hold it.
    fn directory(&self, at: u64, found: &mut Found) -> Option<Page> {
        let start = usize::try_from(at).ok()?;
        let entries = self.number(start, self.count_size)? as usize;
        let first = start + self.count_size;
        let mut page = Page { at, ..Page::default() };
        found.cut |= entries > ENTRIES_MAX;
        for entry in (0..entries.min(ENTRIES_MAX)).map(|i| first + i * self.entry_size) {
            let (Some(tag), Some(kind)) = (self.number(entry, 2), self.number(entry + 2, 2)) else { break };
            let size = match kind {
                1 => 1,
                3 => 2,
                4 | 13 => 4,
                16 | 18 => 8,
                _ => continue,
            };
            let value = self.number(entry + self.entry_size - self.word, size).unwrap_or(0);
            let pixels = || u32::try_from(value).unwrap_or(u32::MAX);
            match tag {
                256 => page.width = pixels(),
                257 => page.height = pixels(),
                330 => self.parts(entry, size, found),
                _ => {}
            }
        }
        found.add(self.number(first.saturating_add(entries.saturating_mul(self.entry_size)), self.word)?);
        Some(page)
    }

    /// The directories that an entry names: in itself where they fit, else where it points.
    fn parts(&self, entry: usize, size: usize, found: &mut Found) {
        let value = entry + self.entry_size - self.word;
        let count = self.number(entry + 4, self.word).unwrap_or(0);
        found.cut |= count > PARTS_MAX;
        let count = count.min(PARTS_MAX) as usize;
        let at = if count * size <= self.word { Some(value as u64) } else { self.number(value, self.word) };
        let Some(at) = at.and_then(|at| usize::try_from(at).ok()) else { return };
        (0..count).map_while(|i| self.number(at.checked_add(i * size)?, size)).for_each(|part| found.add(part));
    }
}
