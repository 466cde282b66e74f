//! What does a GIF declare, and do its data fill its frames? CompuServe GIF89a.

use super::lzw::{Kind, Lengths};
use super::{Motion, Probe, Steps, le16};

/// Walks over the blocks, and over the codes of each frame's data. LZW has no checksum, and decoders drop what is too much: data whose
/// codes were changed are known by the number of pixels that they come to.
pub(super) fn gif(bytes: &[u8], steps: &mut Steps) -> Option<Probe> {
    let mut out = Probe { ends_early: true, data_pixels: Some(0), ..Probe::default() };
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
                lengths.begin(Kind::Gif, bytes.get(at).copied().unwrap_or(0));
                if steps.skims {
                    at = sub_blocks(bytes, at + 1, steps, |_| {});
                } else {
                    at = sub_blocks(bytes, at + 1, steps, |block| lengths.add(block, pixels));
                }
                damaged |= lengths.units != pixels && at <= bytes.len();
                out.data_pixels = out.data_pixels.map(|sum| sum + lengths.units.min(pixels));
            }
            Some(0x3b) => {
                (out.ends_early, out.end) = (false, Some(at + 1));
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
    out.flaw(damaged, "GIF frames whose data do not match their number of pixels");
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
