//! How much memory do the prefix codes of a lossless WebP take? RFC 9649, sections 3.6 and 3.7.
//!
//! A picture of 8x8 pixels can declare 65,536 groups of five codes, and the decoder makes tables for all of them, up to 85 kB a group. So
//! the codes are read here first, and counted, before anything is made of them: transforms and the picture of groups, which come before
//! them, are decoded for that, as the decoder does it. Absent: the pixels, and whether the data are sound. What ends early or makes no sense is for the decoder
//! to tell, and comes to what was counted until then.

/// Coded data without a header, or with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// An alpha channel, of so many pixels along each side.
    Absent(u32, u32),
    Present,
}

/// Bytes that the decoder's tables take. Counting ends soon after `enough`.
pub(super) fn code_bytes(data: &[u8], header: Header, enough: u64) -> u64 {
    let mut reader = Reader { data, at: 0, code_bytes: 0, enough };
    let _ended = reader.picture(header);
    reader.code_bytes
}

/// A group's five codes, which lie in a list that doubles as it grows.
const GROUP_BYTES: u64 = 3 * 5 * 56;
/// What an allocation takes beside its bytes, and a code has two.
const ALLOCATIONS: u64 = 2 * 16;
/// Bits by which a table is looked up; longer codes are nodes of 16 bytes, two for each symbol.
const TABLE_BITS: usize = 10;

struct Reader<'a> {
    data: &'a [u8],
    /// In bits.
    at: usize,
    code_bytes: u64,
    enough: u64,
}

type Pixel = [u8; 4];

/// A canonical prefix code: how many symbols have codes of each length, and the symbols in the order of their codes.
#[derive(Default)]
struct Code {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn of(lengths: &[u8]) -> Self {
        let mut code = Code::default();
        lengths.iter().for_each(|length| code.counts[usize::from(*length)] += 1);
        code.counts[0] = 0;
        let mut next = [0usize; 16];
        for length in 1..16 {
            next[length] = next[length - 1] + usize::from(code.counts[length - 1]);
        }
        code.symbols = vec![0; lengths.iter().filter(|length| **length > 0).count()];
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let place = &mut next[usize::from(*length)];
            code.symbols[*place] = symbol as u16;
            *place += 1;
        }
        code
    }

    /// A lone symbol takes no bits.
    fn only(&self) -> Option<u16> {
        if let [symbol] = self.symbols[..] { Some(symbol) } else { None }
    }

    /// Bytes of the decoder's tables for it.
    fn table_bytes(&self) -> u64 {
        if self.symbols.len() < 2 {
            return 0;
        }
        let longest = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let beyond: u64 = self.counts[TABLE_BITS + 1..].iter().map(|count| u64::from(*count)).sum();
        // Two symbols alone have three nodes for nothing.
        (4 << longest.min(TABLE_BITS)) + (32 * beyond).max(48) + ALLOCATIONS
    }
}

const GREEN: usize = 0;
const DISTANCE: usize = 4;
const SYMBOLS: [usize; 5] = [256 + 24, 256, 256, 256, 40];
const LENGTHS_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

impl Reader<'_> {
    /// As many bits as 25, the lowest first.
    fn bits(&mut self, count: u32) -> Option<u32> {
        let end = self.at + count as usize;
        if end > self.data.len() * 8 {
            return None;
        }
        let rest = &self.data[self.at / 8..];
        let word = match rest.first_chunk() {
            Some(bytes) => u32::from_le_bytes(*bytes),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)),
        };
        let bits = word >> (self.at % 8) & ((1 << count) - 1);
        self.at = end;
        Some(bits)
    }

    fn symbol(&mut self, code: &Code) -> Option<u16> {
        if let Some(symbol) = code.only() {
            return Some(symbol);
        }
        let (mut bits, mut first, mut index) = (0, 0, 0);
        for length in 1..16 {
            bits |= self.bits(1)?;
            let count = u32::from(code.counts[length]);
            if bits < first + count {
                return code.symbols.get((index + bits - first) as usize).copied();
            }
            (index, first, bits) = (index + count, (first + count) << 1, bits << 1);
        }
        None
    }

    fn picture(&mut self, header: Header) -> Option<()> {
        let (mut width, height) = match header {
            Header::Absent(width, height) => (width, height),
            Header::Present => {
                self.bits(8)?;
                let size = (self.bits(14)? + 1, self.bits(14)? + 1);
                self.bits(4)?;
                size
            }
        };
        let mut known = 0;
        while self.bits(1)? == 1 {
            let transform = self.bits(2)?;
            if known & 1 << transform != 0 {
                return None;
            }
            known |= 1 << transform;
            match transform {
                0 | 1 => {
                    let block = self.bits(3)? + 2;
                    self.pixels(blocks(width, block), blocks(height, block))?;
                }
                2 => {}
                _ => {
                    let colours = self.bits(8)? + 1;
                    self.pixels(colours, 1)?;
                    let packed = match colours {
                        1..=2 => 3,
                        3..=4 => 2,
                        5..=16 => 1,
                        _ => 0,
                    };
                    width = blocks(width, packed);
                }
            }
        }
        let cache = self.cache()?;
        let mut groups = 1;
        if self.bits(1)? == 1 {
            let block = self.bits(3)? + 2;
            let groups_of = self.pixels(blocks(width, block), blocks(height, block))?;
            groups += groups_of.iter().map(|pixel| u32::from(pixel[0]) << 8 | u32::from(pixel[1])).max().unwrap_or(0);
        }
        for _ in 0..groups {
            self.group(cache)?;
            if self.code_bytes > self.enough {
                return None;
            }
        }
        Some(())
    }

    /// The number of bits of the cache of colours, 0 for none.
    fn cache(&mut self) -> Option<u32> {
        let there = self.bits(1)? == 1;
        if there { self.bits(4).filter(|bits| (1..=11).contains(bits)) } else { Some(0) }
    }

    /// The codes of a group, which are counted.
    fn group(&mut self, cache: u32) -> Option<[Code; 5]> {
        self.code_bytes += GROUP_BYTES;
        let mut codes: [Code; 5] = Default::default();
        for (place, code) in codes.iter_mut().enumerate() {
            let colours = if place == GREEN && cache > 0 { 1 << cache } else { 0 };
            *code = self.code(SYMBOLS[place] + colours)?;
            self.code_bytes += code.table_bytes();
        }
        Some(codes)
    }

    fn code(&mut self, symbols: usize) -> Option<Code> {
        if self.bits(1)? == 1 {
            let two = self.bits(1)? == 1;
            let first_bits = if self.bits(1)? == 1 { 8 } else { 1 };
            let mut code = Code { symbols: vec![self.bits(first_bits)? as u16], ..Code::default() };
            if two {
                code.symbols.push(self.bits(8)? as u16);
                code.counts[1] = 2;
            }
            return code.symbols.iter().all(|symbol| usize::from(*symbol) < symbols).then_some(code);
        }
        let mut lengths = [0; 19];
        for place in &LENGTHS_ORDER[..4 + self.bits(4)? as usize] {
            lengths[*place] = self.bits(3)? as u8;
        }
        let code = Code::of(&lengths);
        let mut left = symbols;
        if self.bits(1)? == 1 {
            let bits = 2 + 2 * self.bits(3)?;
            left = 2 + self.bits(bits)? as usize;
        }
        let (mut lengths, mut previous) = (Vec::with_capacity(symbols), 8);
        while lengths.len() < symbols && left > 0 {
            left -= 1;
            let (length, times) = match self.symbol(&code)? {
                16 => (previous, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                length => (length as u8, 1),
            };
            if length > 0 {
                previous = length;
            }
            lengths.extend((0..times).map(|_| length));
        }
        (lengths.len() <= symbols).then(|| Code::of(&lengths))
    }

    /// A picture that serves another: no transforms, one group.
    fn pixels(&mut self, width: u32, height: u32) -> Option<Vec<Pixel>> {
        let cache_bits = self.cache()?;
        let before = self.code_bytes;
        let codes = self.group(cache_bits)?;
        // These are gone when the picture's own are made.
        self.code_bytes = before;
        let count = width as usize * height as usize;
        let mut pixels: Vec<Pixel> = Vec::with_capacity(count);
        let mut cache = vec![[0; 4]; if cache_bits > 0 { 1 << cache_bits } else { 0 }];
        let slot = |[red, green, blue, alpha]: Pixel| {
            let colour = u32::from_be_bytes([alpha, red, green, blue]);
            (0x1e35_a7bd_u32.wrapping_mul(colour) >> (32 - cache_bits)) as usize
        };
        let plain = codes[..4].iter().map(Code::only).collect::<Option<Vec<u16>>>().filter(|only| only[0] < 256);
        if let Some(only) = plain {
            return Some(vec![[only[1] as u8, only[0] as u8, only[2] as u8, only[3] as u8]; count]);
        }
        while pixels.len() < count {
            let green = self.symbol(&codes[GREEN])?;
            match green {
                0..256 => {
                    let [red, blue, alpha] = [self.symbol(&codes[1])?, self.symbol(&codes[2])?, self.symbol(&codes[3])?];
                    let pixel = [red as u8, green as u8, blue as u8, alpha as u8];
                    if cache_bits > 0 {
                        cache[slot(pixel)] = pixel;
                    }
                    pixels.push(pixel);
                }
                256..280 => {
                    let length = self.distance(green - 256)?;
                    let symbol = self.symbol(&codes[DISTANCE])?;
                    let back = back(self.distance(symbol)?, width);
                    let start = pixels.len().checked_sub(back)?;
                    if length > count - pixels.len() {
                        return None;
                    }
                    (start..start + length).for_each(|from| pixels.push(pixels[from]));
                    if cache_bits > 0 && back > 1 {
                        pixels[start + back..].iter().for_each(|pixel| cache[slot(*pixel)] = *pixel);
                    }
                }
                cached => pixels.push(*cache.get(usize::from(cached - 280))?),
            }
        }
        Some(pixels)
    }

    /// A length or a distance: a prefix, and further bits.
    fn distance(&mut self, prefix: u16) -> Option<usize> {
        if prefix < 4 {
            return Some(usize::from(prefix) + 1);
        }
        let extra = u32::from(prefix - 2) >> 1;
        Some(((2 + usize::from(prefix & 1)) << extra) + self.bits(extra)? as usize + 1)
    }
}

/// Blocks of 2 to the power of `bits` along a side.
fn blocks(side: u32, bits: u32) -> u32 {
    side.div_ceil(1 << bits)
}

/// How many pixels back a distance leads: the first 120 are neighbours, the nearest first.
fn back(distance: usize, width: u32) -> usize {
    let Some(near) = distance.checked_sub(121) else {
        let (x, y) = NEIGHBOURS[distance - 1];
        return usize::try_from(i64::from(x) + i64::from(y) * i64::from(width)).unwrap_or(1).max(1);
    };
    near + 1
}

/// Right and down from there to here.
#[rustfmt::skip]
const NEIGHBOURS: [(i8, i8); 120] = [
    (0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 0), (1, 2), (-1, 2), (2, 1), (-2, 1), (2, 2), (-2, 2),
    (0, 3), (3, 0), (1, 3), (-1, 3), (3, 1), (-3, 1), (2, 3), (-2, 3), (3, 2), (-3, 2), (0, 4), (4, 0),
    (1, 4), (-1, 4), (4, 1), (-4, 1), (3, 3), (-3, 3), (2, 4), (-2, 4), (4, 2), (-4, 2), (0, 5), (3, 4),
    (-3, 4), (4, 3), (-4, 3), (5, 0), (1, 5), (-1, 5), (5, 1), (-5, 1), (2, 5), (-2, 5), (5, 2), (-5, 2),
    (4, 4), (-4, 4), (3, 5), (-3, 5), (5, 3), (-5, 3), (0, 6), (6, 0), (1, 6), (-1, 6), (6, 1), (-6, 1),
    (2, 6), (-2, 6), (6, 2), (-6, 2), (4, 5), (-4, 5), (5, 4), (-5, 4), (3, 6), (-3, 6), (6, 3), (-6, 3),
    (0, 7), (7, 0), (1, 7), (-1, 7), (5, 5), (-5, 5), (7, 1), (-7, 1), (4, 6), (-4, 6), (6, 4), (-6, 4),
    (2, 7), (-2, 7), (7, 2), (-7, 2), (3, 7), (-3, 7), (7, 3), (-7, 3), (5, 6), (-5, 6), (6, 5), (-6, 5),
    (8, 0), (4, 7), (-4, 7), (7, 4), (-7, 4), (8, 1), (8, 2), (6, 6), (-6, 6), (8, 3), (5, 7), (-5, 7),
    (7, 5), (-7, 5), (8, 4), (6, 7), (-6, 7), (7, 6), (-7, 6), (8, 5), (7, 7), (-7, 7), (8, 6), (8, 7),
];
