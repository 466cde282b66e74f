//! Which pages does a TIFF hold, and where? TIFF 6.0, and BigTIFF, whose offsets have 8 bytes.
//!
//! A walk of our own, since a decoder reads a page at a time and stops at the first that it can't read: here every directory is found
//! that others lead to, in the chain of pages or as a part of one (SubIFDs), reduced or not, each once. A page that no viewer shows is a
//! place to hide a picture in.

use std::collections::VecDeque;

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
    /// Its data are JPEGs.
    pub jpeg: bool,
}

pub(super) fn tiff(bytes: &[u8]) -> Option<Outline> {
    let reader = Reader::of(bytes)?;
    let mut out = Outline::default();
    let mut ahead = VecDeque::from([reader.number(reader.word, reader.word)?]);
    let mut known: Vec<u64> = Vec::new();
    while let Some(at) = ahead.pop_front() {
        if at == 0 || known.contains(&at) || known.len() == PAGES_MAX {
            continue;
        }
        known.push(at);
        match reader.directory(at, &mut ahead) {
            Some(page) => out.pages.push(page),
            None => out.ends_early = true,
        }
    }
    let first = out.pages.first()?;
    (out.width, out.height) = (first.width, first.height);
    out.pixels_max = out.pages.iter().map(|page| u64::from(page.width) * u64::from(page.height)).max()?;
    out.frames = out.pages.len() as u32;
    Some(out)
}

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

    /// Reads a directory, and puts those that it leads to at the end of `ahead`. `None` where the file does not hold it.
    fn directory(&self, at: u64, ahead: &mut VecDeque<u64>) -> Option<Page> {
        let start = usize::try_from(at).ok()?;
        let entries = self.number(start, self.count_size)? as usize;
        let first = start + self.count_size;
        let mut page = Page { at, ..Page::default() };
        for entry in (0..entries.min(4096)).map(|i| first + i * self.entry_size) {
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
                259 => page.jpeg = matches!(value, 6 | 7),
                330 => self.parts(entry, size, ahead),
                _ => {}
            }
        }
        ahead.push_back(self.number(first.saturating_add(entries.saturating_mul(self.entry_size)), self.word)?);
        Some(page)
    }

    /// The directories that an entry names: in itself where they fit, else where it points.
    fn parts(&self, entry: usize, size: usize, ahead: &mut VecDeque<u64>) {
        let value = entry + self.entry_size - self.word;
        let count = self.number(entry + 4, self.word).unwrap_or(0).min(PAGES_MAX as u64) as usize;
        let at = if count * size <= self.word { Some(value as u64) } else { self.number(value, self.word) };
        let Some(at) = at.and_then(|at| usize::try_from(at).ok()) else { return };
        let room = (2 * PAGES_MAX).saturating_sub(ahead.len());
        ahead.extend((0..count.min(room)).map_while(|i| self.number(at.checked_add(i * size)?, size)));
    }
}
