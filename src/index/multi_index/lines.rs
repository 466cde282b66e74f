//! Which lines of postings a look-up reads, and which of them hold what it seeks.

/// Postings in a line.
pub(super) const LANES: usize = 32;
/// Lines of a usual list of more than one: written always, be it longer or shorter.
const USUAL: usize = 8;

/// The lines that a look-up reads, in its order. Written past their end and then moved on, which spares guesses at how long a list is.
#[derive(Debug, Default)]
pub(in crate::index) struct Lines {
    /// How many there are; the vectors may be longer.
    pub n: usize,
    pub line: Vec<u32>,
    /// Which lanes of the line belong to the list.
    pub lanes: Vec<u32>,
}

impl Lines {
    /// Room for `more` lines after those that are there.
    #[inline(always)]
    fn make_room(&mut self, more: usize) {
        let room = self.n + more;
        if self.line.len() < room {
            self.grow(2 * room);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, room: usize) {
        self.line.resize(room, 0);
        self.lanes.resize(room, 0);
    }

    /// Appends lists of a line each. A million rows have hardly any others, and there [`Self::append_some`] took 12 to 20 % longer.
    #[inline(always)]
    pub fn append<const N: usize>(&mut self, line: [u32; N], lanes: [u32; N]) {
        self.make_room(N);
        let end = self.n + N;
        self.line[self.n..end].copy_from_slice(&line);
        self.lanes[self.n..end].copy_from_slice(&lanes);
        self.n = end;
    }

    /// Appends lists of no line or one.
    #[inline(always)]
    pub fn append_some<const N: usize>(&mut self, line: [u32; N], lanes: [u32; N], n: [u32; N]) {
        self.make_room(N);
        for k in 0..N {
            (self.line[self.n], self.lanes[self.n]) = (line[k], lanes[k]);
            self.n += n[k] as usize;
        }
    }

    /// Appends a list of `n` lines, of whose first and last one only some lanes belong to it.
    #[inline(always)]
    pub fn append_run(&mut self, first: u32, n: usize, of_first: u32, of_last: u32) {
        if n == 0 {
            return;
        }
        self.make_room(n.max(USUAL));
        let (line, lanes) = (&mut self.line[self.n..], &mut self.lanes[self.n..]);
        if let (Some(line), Some(lanes)) = (line.first_chunk_mut::<USUAL>(), lanes.first_chunk_mut::<USUAL>()) {
            line.iter_mut().zip(first..).for_each(|(line, number)| *line = number);
            *lanes = [u32::MAX; USUAL];
        }
        for k in USUAL..n {
            line[k] = first + k as u32;
            lanes[k] = u32::MAX;
        }
        lanes[0] = of_first;
        lanes[n - 1] &= of_last;
        self.n += n;
    }
}

/// Lists of a table: for each its first line and how many there are, which lanes are its own in the first and in the last one.
pub(super) struct FoundLists<const N: usize> {
    pub first: [u32; N],
    pub n: [u32; N],
    pub of_first: [u32; N],
    pub of_last: [u32; N],
    /// Their postings, and the fewest and the most lines of one, as far as these are below or above one.
    pub postings: u64,
    pub n_min: u32,
    pub n_max: u32,
}

/// Lines of lists that many hashes open.
#[derive(Debug, Default)]
pub(in crate::index) struct OpenedLines {
    pub lines: Lines,
    /// For each line, who opened its list.
    pub openers: Vec<u32>,
}

impl OpenedLines {
    /// Appends the lines of some lists.
    #[inline(always)]
    pub fn append<const N: usize>(&mut self, lists: &FoundLists<N>, openers: &[u32; N]) {
        let FoundLists { first, n, of_first, of_last, n_min, n_max, .. } = lists;
        let (before, room) = (self.lines.n, N * (*n_max as usize).max(USUAL));
        self.lines.make_room(room);
        if self.openers.len() < before + room {
            self.openers.resize(2 * (before + room), 0);
        }
        let (line, lanes, whose) = (&mut self.lines.line[before..], &mut self.lines.lanes[before..], &mut self.openers[before..]);
        let mut end = 0;
        if *n_max == 1 {
            let mut only = *of_first;
            for k in 0..N {
                only[k] &= of_last[k];
            }
            if *n_min == 1 {
                line[..N].copy_from_slice(first);
                lanes[..N].copy_from_slice(&only);
                whose[..N].copy_from_slice(openers);
                end = N;
            } else {
                for k in 0..N {
                    (line[end], lanes[end], whose[end]) = (first[k], only[k], openers[k]);
                    end += n[k] as usize;
                }
            }
            self.lines.n += end;
            return;
        }
        for k in 0..N {
            let lanes_of = |line: u32| {
                let head = if line == 0 { 0 } else { u32::MAX };
                let tail = if line + 1 == n[k] { 0 } else { u32::MAX };
                (head | of_first[k]) & (tail | of_last[k])
            };
            let (mut usual, mut lanes_of_usual) = ([0; USUAL], [0; USUAL]);
            usual.iter_mut().zip(first[k]..).for_each(|(line, number)| *line = number);
            lanes_of_usual.iter_mut().zip(0..).for_each(|(lanes, line)| *lanes = lanes_of(line));
            line[end..][..USUAL].copy_from_slice(&usual);
            lanes[end..][..USUAL].copy_from_slice(&lanes_of_usual);
            whose[end..][..USUAL].copy_from_slice(&[openers[k]; USUAL]);
            for more in USUAL as u32..n[k] {
                let at = end + more as usize;
                (line[at], lanes[at], whose[at]) = (first[k] + more, lanes_of(more), openers[k]);
            }
            end += n[k] as usize;
        }
        self.lines.n += end;
    }
}

/// Lines of one table that are read with one limit.
#[derive(Debug, Clone, Copy)]
pub(in crate::index) struct Group {
    pub table: u32,
    /// Bits by which the next half may differ.
    pub next_max: u16,
    /// Bits by which the next half and the one after it together may differ.
    pub two_max: u16,
    /// Its lines.
    pub begin: usize,
    pub end: usize,
}

/// A line that holds a survivor, and which lanes they are.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::index) struct Near {
    pub line: u32,
    pub lanes: u32,
}

impl Near {
    /// Calls `each` with every posting that survived.
    #[inline(always)]
    pub fn each(&self, mut each: impl FnMut(u32)) {
        let mut lanes = self.lanes;
        while lanes != 0 {
            each(self.line * LANES as u32 + lanes.trailing_zeros());
            lanes &= lanes - 1;
        }
    }
}

/// Lists that hashes open in a block, and their lines. Kept from one block to the next.
#[derive(Debug, Default)]
pub(in crate::index) struct Opened {
    pub values: Vec<u16>,
    /// Who opens each list: a place in the order of the hashes.
    pub openers: Vec<u32>,
    pub lines: OpenedLines,
    pub nears: Vec<Near>,
}

/// Room for what is found in so many lines.
#[inline(always)]
pub(super) fn make_room(nears: &mut Vec<Near>, lines: usize) {
    if nears.len() <= lines {
        nears.resize(2 * lines + 1, Near::default());
    }
}
