//! Which pages does a TIFF hold, and where? TIFF 6.0, and BigTIFF, whose offsets have 8 bytes.
//!
//! A walk of our own, since a decoder reads a page at a time and stops at the first that it can't read: here every directory is found
//! that others lead to, in the chain of pages or as a part of one (SubIFDs), reduced or not, each once. A page that no viewer shows is a
//! place to hide a picture in. Directories and lists of them can lie over one another, and a list can be named by thousands of entries, so
//! all of the walk together has a number of steps, and says where they did not suffice.
//!
//! What a page says of itself is in [`tags`]: a tag that readers take differently is another such place.

mod tags;

use std::collections::{HashMap, VecDeque};

use super::{Probe, Steps};
pub use tags::Page;

/// TIFF pages that are looked for.
pub const PAGES_MAX: usize = 1000;
/// Entries of directories, and of lists of directories, that are read: some 2 ms. A file whose parts do not lie over one another holds
/// fewer than it has bytes; a thousand pages have some 20,000.
const STEPS_MAX: u64 = 1 << 17;

pub(super) fn tiff(bytes: &[u8], steps: &mut Steps) -> Option<Probe> {
    let reader = Reader::of(bytes)?;
    let mut out = Probe::default();
    let mut found = Found { steps: STEPS_MAX.min(bytes.len() as u64).min(steps.left), ..Found::default() };
    found.add(reader.number(reader.word, reader.word)?, Way::Chain);
    while let Some(at) = found.ahead.pop_front() {
        match reader.directory(at, &mut found) {
            Some(page) => out.pages.push(page),
            None => out.ends_early = true,
        }
    }
    out.flaw(found.cut, "pages of the TIFF that were not looked for");
    out.flaw(found.circles, "pages of the TIFF that may be missing: its chain of pages loops");
    // A changed number of entries makes one of what follows them, and loses the pointer to the next page.
    out.flaw(found.astray, "pages of the TIFF that may be missing: it has entries that reach beyond the file");
    let first = out.pages.first()?;
    (out.width, out.height) = (first.width, first.height);
    out.pixels_max = out.pages.iter().map(Page::pixels).max()?;
    (out.frames, out.apart) = (out.pages.len() as u32, true);
    Some(out)
}

/// What leads to a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The header, or the directory before it.
    Chain,
    /// A list of parts.
    Part,
}

/// The directories that were found, each once.
#[derive(Default)]
struct Found {
    known: HashMap<u64, Way>,
    ahead: VecDeque<u64>,
    /// Entries that may still be read.
    steps: u64,
    /// There may be more than were looked for.
    cut: bool,
    /// The chain of pages leads to one of its own.
    circles: bool,
    /// An entry's values lie beyond the file.
    astray: bool,
}

impl Found {
    /// Whether another entry may be read.
    fn step(&mut self) -> bool {
        self.cut |= self.steps == 0;
        self.steps = self.steps.saturating_sub(1);
        !self.cut
    }

    fn add(&mut self, at: u64, way: Way) {
        if at == 0 {
            return;
        }
        if let Some(known) = self.known.get_mut(&at) {
            // Whether parts are chained too is up to who writes them.
            self.circles |= way == Way::Chain && *known == Way::Chain;
            if way == Way::Chain {
                *known = way;
            }
            return;
        }
        if self.known.len() == PAGES_MAX {
            self.cut = true;
            return;
        }
        self.known.insert(at, way);
        self.ahead.push_back(at);
    }
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

/// An entry's numbers: how many, of how many bytes, and where the first lies.
#[derive(Clone, Copy)]
struct Numbers {
    count: u64,
    size: usize,
    at: usize,
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
        let entries = usize::try_from(self.number(start, self.count_size)?).ok()?;
        let first = start + self.count_size;
        let mut tags = tags::Tags::default();
        for entry in (0..entries).map_while(|i| first.checked_add(i.checked_mul(self.entry_size)?)) {
            if !found.step() {
                break;
            }
            let (Some(tag), Some(kind)) = (self.number(entry, 2), self.number(entry + 2, 2)) else { break };
            found.astray |= self.reaches_beyond(entry, kind);
            let Some(numbers) = self.numbers(entry, kind) else {
                tags.unread(tag);
                continue;
            };
            match tag {
                330 => self.parts(numbers, found),
                _ => tags.add(tag, numbers.count, self.number(numbers.at, numbers.size)),
            }
        }
        let next = first.saturating_add(entries.saturating_mul(self.entry_size));
        found.add(self.number(next, self.word)?, Way::Chain);
        Some(tags.page(at))
    }

    /// In the entry itself where they fit, else where it points. `None`: no whole numbers.
    fn numbers(&self, entry: usize, kind: u64) -> Option<Numbers> {
        let size = match kind {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        let count = self.number(entry + 4, self.word)?;
        let value = entry + self.entry_size - self.word;
        let inside = count.saturating_mul(size as u64) <= self.word as u64;
        let at = if inside { value } else { usize::try_from(self.number(value, self.word)?).ok()? };
        Some(Numbers { count, size, at })
    }

    fn reaches_beyond(&self, entry: usize, kind: u64) -> bool {
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => return false,
        };
        let Some((count, at)) =
            self.number(entry + 4, self.word).zip(self.number(entry + self.entry_size - self.word, self.word))
        else {
            return false;
        };
        let length = count.saturating_mul(size);
        length > self.word as u64 && at.saturating_add(length) > self.bytes.len() as u64
    }

    /// The directories that an entry names.
    fn parts(&self, numbers: Numbers, found: &mut Found) {
        for i in 0..numbers.count {
            if !found.step() {
                return;
            }
            let at = usize::try_from(i).ok().and_then(|i| numbers.at.checked_add(i.checked_mul(numbers.size)?));
            let Some(part) = at.and_then(|at| self.number(at, numbers.size)) else { return };
            found.add(part, Way::Part);
        }
    }
}
