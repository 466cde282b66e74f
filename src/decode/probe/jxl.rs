//! What does a JPEG XL file declare? ISO/IEC 18181-1, annex D, and 18181-2.
//!
//! The size is read from the first bits of the codestream. Frames are counted by the decoder itself, which steps over their data.

use jxl::api::{Event, JxlDecoder, JxlDecoderOptions, ProfileLevel};

use super::{CHUNKS_MAX, Motion, Probe, Steps, boxes};

/// Samples of a picture are counted by the decoder too: as many as are admitted at all.
const SAMPLES_MAX: usize = 1 << 34;

pub(super) fn jxl(bytes: &[u8], steps: &Steps) -> Option<Probe> {
    let (width, height) = size(codestream(bytes)?)?;
    let mut out = Probe { width, height, frames: 1, ..Probe::default() };
    if steps.skims {
        return Some(out);
    }
    let mut options = JxlDecoderOptions::default();
    options.scan_frames_only = true;
    options.sample_limit = Some(SAMPLES_MAX);
    options.max_profile_level = ProfileLevel::Main10;
    let mut decoder = JxlDecoder::new(options);
    let mut rest = bytes;
    let mut extra = 0;
    loop {
        match decoder.process(&mut rest, None, None) {
            Ok(Event::Complete) => {
                out.end = decoder.file_length().and_then(|length| usize::try_from(length).ok()).filter(|end| *end <= bytes.len());
                break;
            }
            Ok(Event::NeedMoreInput { .. }) => {
                out.ends_early = true;
                break;
            }
            // What is wrong shows when it is decoded.
            Err(_) => break,
            Ok(Event::BasicInfo) => extra = decoder.basic_info().map_or(0, |info| info.extra_channels.len() as u64),
            Ok(_) if decoder.scanned_frames().len() >= CHUNKS_MAX => break,
            Ok(_) => {}
        }
    }
    out.frames = u32::try_from(decoder.scanned_frames().len()).unwrap_or(u32::MAX).max(1);
    out.motion = if out.frames > 1 { Motion::Animated } else { Motion::Still };
    out.bytes_per_pixel = 3 + extra;
    Some(out)
}

/// The codestream, or the first part of it that a container holds.
fn codestream(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.starts_with(b"\xff\x0a") {
        return Some(bytes);
    }
    match boxes::first(bytes, &[b"jxlc", b"jxlp"])? {
        // The number of the part comes first.
        (kind, content) if &kind == b"jxlp" => content.get(4..),
        (_, content) => Some(content),
    }
}

/// Width and height of a codestream: annex D.2.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits { bytes: bytes.strip_prefix(b"\xff\x0a")?, at: 0 };
    let small = bits.take(1)? == 1;
    let side = |bits: &mut Bits<'_>| match small {
        true => Some((bits.take(5)? + 1) * 8),
        false => {
            let length = [9, 13, 18, 30][bits.take(2)? as usize];
            Some(bits.take(length)? + 1)
        }
    };
    let height = side(&mut bits)?;
    let ratio = match bits.take(3)? {
        0 => return Some((side(&mut bits)?, height)),
        n => [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)][n as usize - 1],
    };
    Some(((u64::from(height) * ratio.0 / ratio.1) as u32, height))
}

/// Bits from the lowest up.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut out = 0;
        for n in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            out |= u32::from(byte >> (self.at % 8) & 1) << n;
            self.at += 1;
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as `cjxl` wrote them into the first bytes of its files.
    #[test]
    fn sizes_are_read_as_they_are_written() {
        // small: 256x256 by ratio 1:1.
        assert_eq!(size(&[0xff, 0x0a, 0b0111_1111, 0]), Some((256, 256)));
        // 9 bits: 100 high, 4:3 is ratio 3: 133 wide.
        let bits = 99u32 << 3 | 3 << 12;
        let [a, b, c, _] = bits.to_le_bytes();
        assert_eq!(size(&[0xff, 0x0a, a, b, c]), Some((133, 100)));
        assert_eq!(size(&[0xff, 0x0a]), None);
    }
}
