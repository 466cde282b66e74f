//! Which lines of postings a look-up reads, and which of them hold what it seeks.

use super::table::LANES;

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
        /// Lines of a usual list.
        const USUAL: usize = 8;
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

/// Room for what is found in so many lines.
#[inline(always)]
pub(super) fn make_room(nears: &mut Vec<Near>, lines: usize) {
    if nears.len() <= lines {
        nears.resize(2 * lines + 1, Near::default());
    }
}
