//! What does a GIF declare, and do its data fill its frames? CompuServe GIF89a.

use super::{Motion, Outline, Steps, le16};

/// Walks over the blocks, and over the codes of each frame's data. LZW has no checksum, and decoders drop what is too much: data whose
/// codes were changed are known by the number of pixels that they come to.
pub(super) fn gif(bytes: &[u8], steps: &mut Steps) -> Option<Outline> {
    let mut out = Outline { ends_early: true, data_pixels: Some(0), ..Outline::default() };
    (out.width, out.height) = (le16(bytes, 6)?, le16(bytes, 8)?);
    let table = |flags: u8| if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(*bytes.get(10)?);
    let mut lengths = Lengths::default();
    let (mut beyond_screen, mut damaged) = (false, false);
    loop {
        match bytes.get(at) {
            Some(0x21) => at = sub_blocks(bytes, at + 2, steps, |_| {}),
            Some(0x2c) => {
                let (Some(width), Some(height), Some(flags)) = (le16(bytes, at + 5), le16(bytes, at + 7), bytes.get(at + 9))
                else {
                    break;
                };
                let pixels = u64::from(width) * u64::from(height);
                out.frames += 1;
                out.pixels_max = out.pixels_max.max(pixels);
                let corner = |at, size| le16(bytes, at).unwrap_or(0) + size;
                beyond_screen |= corner(at + 1, width) > out.width || corner(at + 3, height) > out.height;
                at += 10 + table(*flags);
                lengths.begin(bytes.get(at).copied().unwrap_or(0));
                if steps.skims {
                    at = sub_blocks(bytes, at + 1, steps, |_| {});
                } else {
                    at = sub_blocks(bytes, at + 1, steps, |block| lengths.add(block, pixels));
                }
                damaged |= lengths.pixels != pixels && at <= bytes.len();
                out.data_pixels = out.data_pixels.map(|sum| sum + lengths.pixels.min(pixels));
            }
            Some(0x3b) => {
                out.ends_early = false;
                break;
            }
            Some(_) | None => break,
        }
        if steps.left == 0 {
            out.walked = Some(at);
            break;
        }
    }
    if out.frames > 1 {
        out.motion = Motion::Animated;
    }
    // Some viewers enlarge the screen; the decoder drops what lies beyond it.
    out.flaw(beyond_screen, "pixels beyond the GIF's screen");
    out.flaw(damaged, "GIF frames whose data do not come to their number of pixels");
    Some(out)
}

/// Hands over each block of a chain and returns the place behind it; beyond the bytes where the chain breaks off.
fn sub_blocks(bytes: &[u8], mut at: usize, steps: &mut Steps, mut each: impl FnMut(&[u8])) -> usize {
    while steps.take() {
        let length = match bytes.get(at) {
            Some(0) => return at + 1,
            Some(length) => usize::from(*length),
            None => return bytes.len() + 1,
        };
        each(bytes.get(at + 1..).map_or(&[], |rest| &rest[..length.min(rest.len())]));
        at += 1 + length;
    }
    at
}

/// How many pixels do LZW codes come to? A table of the strings' lengths is all that takes.
struct Lengths {
    of: [u16; 4096],
    /// Bits of a literal.
    literal: u32,
    /// Bits of the next code.
    width: u32,
    next: usize,
    previous: Option<usize>,
    bits: u64,
    held: u32,
    pixels: u64,
    ended: bool,
}

impl Default for Lengths {
    fn default() -> Self {
        Lengths { of: [1; 4096], literal: 0, width: 0, next: 0, previous: None, bits: 0, held: 0, pixels: 0, ended: true }
    }
}

impl Lengths {
    fn begin(&mut self, literal: u8) {
        (self.literal, self.pixels, self.bits, self.held) = (u32::from(literal), 0, 0, 0);
        self.ended = !(1..=11).contains(&literal);
        self.clear();
    }

    fn clear(&mut self) {
        if !self.ended {
            (self.width, self.next, self.previous) = (self.literal + 1, (1 << self.literal) + 2, None);
        }
    }

    /// Goes on until more than `enough` pixels have come.
    fn add(&mut self, block: &[u8], enough: u64) {
        if self.ended || self.pixels > enough {
            return;
        }
        for byte in block {
            self.bits |= u64::from(*byte) << self.held;
            self.held += 8;
            while self.held >= self.width && !self.ended && self.pixels <= enough {
                let code = (self.bits & ((1 << self.width) - 1)) as usize;
                self.bits >>= self.width;
                self.held -= self.width;
                self.code(code);
            }
            if self.ended || self.pixels > enough {
                return;
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
                self.ended = true; // the end, or no code at all
                return;
            }
        };
        if let Some(previous) = self.previous
            && self.next < self.of.len()
        {
            self.of[self.next] = (self.length(previous) + 1) as u16;
            self.next += 1;
            if self.next == 1 << self.width && self.width < 12 {
                self.width += 1;
            }
        }
        self.pixels += length;
        self.previous = Some(code);
    }

    fn length(&self, code: usize) -> u64 {
        if code < 1 << self.literal { 1 } else { u64::from(self.of[code.min(4095)]) }
    }
}
