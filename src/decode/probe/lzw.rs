//! How much do LZW codes come to? A table of the strings' lengths is all that takes.
//!
//! LZW has no checksum, and decoders drop what is too much: data whose codes were changed are known by the bytes or pixels that they come to.

/// Tells damage to the LZW data of a TIFF's strips or tiles, one after another.
///
/// Besides their length: an encoder goes on to the longest string that it knows, so a string that it makes known is new. In damaged data one
/// is made known that was known before.
#[derive(Default)]
pub(in crate::decode) struct Strips(Lengths);

impl Strips {
    /// Whether what a strip or tile holds comes to so many bytes, and ends there.
    pub fn fill(&mut self, data: &[u8], bytes: u64) -> bool {
        let lengths = &mut self.0;
        lengths.begin(Kind::Tiff, 8);
        lengths.add(data, bytes);
        // Some writers leave the code for the end out.
        lengths.units == bytes && (lengths.end == End::Code || lengths.end == End::Not && lengths.left <= 3)
    }
}

/// Which way the bits go, and when codes become longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The lowest bit first; longer when the table is full.
    Gif,
    /// The highest bit first; longer one code before that.
    Tiff,
}

/// The encoder that most Rust programs use, `weezl`, forgets the 17th string that it makes of one, and may make it again.
const FORGOTTEN: u8 = 17;

/// What the codes ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// They go on.
    Not,
    Code,
    /// A code that does not exist.
    Damage,
}

/// The length of what has come, in pixels or bytes.
pub(super) struct Lengths {
    of: [u16; 4096],
    kind: Kind,
    /// Bits of a literal.
    literal: u32,
    /// Bits of the next code.
    width: u32,
    next: usize,
    previous: Option<usize>,
    bits: u64,
    held: u32,
    pub units: u64,
    end: End,
    /// Of a TIFF: which strings are known, by the code that they lengthen and the byte that they add; and the first byte of each code's string.
    known: Vec<u64>,
    places: Vec<u32>,
    first: Vec<u8>,
    /// How often each string was made longer.
    lengthened: Vec<u8>,
    /// Bytes that came behind the last that was needed.
    left: usize,
}

impl Default for Lengths {
    fn default() -> Self {
        let (kind, end) = (Kind::Gif, End::Damage);
        let (known, places, first, lengthened) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (of, literal, width, next, previous) = ([1; 4096], 0, 0, 0, None);
        Lengths {
            of,
            kind,
            literal,
            width,
            next,
            previous,
            bits: 0,
            held: 0,
            units: 0,
            end,
            known,
            places,
            first,
            lengthened,
            left: 0,
        }
    }
}

impl Lengths {
    pub fn begin(&mut self, kind: Kind, literal: u8) {
        (self.kind, self.literal) = (kind, u32::from(literal));
        (self.units, self.bits, self.held, self.left) = (0, 0, 0, 0);
        self.end = if (1..=11).contains(&literal) { End::Not } else { End::Damage };
        if kind == Kind::Tiff && self.known.is_empty() {
            self.known = vec![0; 4096 * 256 / 64];
            self.first = (0..4096).map(|code| code as u8).collect();
            self.lengthened = vec![0; 4096];
        }
        self.clear();
    }

    fn clear(&mut self) {
        if self.end == End::Not {
            (self.width, self.next, self.previous) = (self.literal + 1, (1 << self.literal) + 2, None);
            for place in self.places.drain(..) {
                self.known[place as usize / 64] = 0;
            }
            self.lengthened.fill(0);
        }
    }

    /// Goes on until more than `enough` have come.
    pub fn add(&mut self, data: &[u8], enough: u64) {
        for byte in data {
            if self.end != End::Not || self.units > enough {
                return;
            }
            self.left += usize::from(self.units == enough);
            match self.kind {
                Kind::Gif => self.bits |= u64::from(*byte) << self.held,
                Kind::Tiff => self.bits = self.bits << 8 | u64::from(*byte),
            }
            self.held += 8;
            while self.held >= self.width && self.end == End::Not && self.units <= enough {
                self.held -= self.width;
                let mask = (1 << self.width) - 1;
                let code = match self.kind {
                    Kind::Gif => self.bits & mask,
                    Kind::Tiff => self.bits >> self.held & mask,
                };
                if self.kind == Kind::Gif {
                    self.bits >>= self.width;
                }
                self.code(code as usize);
            }
        }
    }

    fn code(&mut self, code: usize) {
        let clear = 1 << self.literal;
        if code == clear {
            return self.clear();
        }
        let length = match self.previous {
            // A literal, or a string that is known, or the one that comes to be known by this code.
            None if code < clear => 1,
            Some(_) if code < self.next && code != clear + 1 => self.length(code),
            Some(previous) if code == self.next => self.length(previous) + 1,
            _ => {
                self.end = if code == clear + 1 { End::Code } else { End::Damage };
                return;
            }
        };
        if let Some(previous) = self.previous
            && self.next < self.of.len()
        {
            self.of[self.next] = (self.length(previous) + 1) as u16;
            if self.kind == Kind::Tiff && !self.is_new(previous, code) {
                self.end = End::Damage;
                return;
            }
            self.next += 1;
            let early = usize::from(self.kind == Kind::Tiff);
            if self.next + early == 1 << self.width && self.width < 12 {
                self.width += 1;
            }
        }
        self.units += length;
        self.previous = Some(code);
    }

    /// Whether the string that comes to be known by `code` after `previous` was not known before.
    fn is_new(&mut self, previous: usize, code: usize) -> bool {
        let added = if code == self.next { self.first[previous] } else { self.first[code] };
        self.first[self.next] = self.first[previous];
        let place = previous << 8 | usize::from(added);
        let (word, bit) = (&mut self.known[place / 64], 1 << (place % 64));
        let new = *word & bit == 0;
        let lengthened = &mut self.lengthened[previous];
        *lengthened = lengthened.saturating_add(1);
        if *lengthened != FORGOTTEN {
            *word |= bit;
            self.places.push(place as u32);
        }
        new
    }

    fn length(&self, code: usize) -> u64 {
        if code < 1 << self.literal { 1 } else { u64::from(self.of[code.min(4095)]) }
    }
}
