//! What do the plain formats declare: BMP, ICO, QOI and PNM? Their headers come first and say all.

use super::{Probe, Steps, array, be32, le16, le32};
use crate::decode::sniff::{Format, Kind, sniff};

/// Microsoft's BITMAPCOREHEADER and BITMAPINFOHEADER.
pub(super) fn bmp(bytes: &[u8], steps: &Steps) -> Option<Probe> {
    let mut out = Probe::default();
    let (bits, compression) = match le32(bytes, 14)? {
        12 => {
            (out.width, out.height) = (le16(bytes, 18)?, le16(bytes, 20)?);
            (le16(bytes, 24)?, 0)
        }
        _ => {
            // A negative height means that the rows run from the top.
            (out.width, out.height) = (le32(bytes, 18)?, (le32(bytes, 22)? as i32).unsigned_abs());
            (le16(bytes, 28)?, le32(bytes, 30)?)
        }
    };
    let data = le32(bytes, 10)?;
    match compression {
        0 | 3 | 6 => {
            let stride = (u64::from(out.width) * u64::from(bits)).div_ceil(32) * 4;
            let needed = stride.saturating_mul(u64::from(out.height)).saturating_add(u64::from(data));
            out.ends_early = needed > bytes.len() as u64;
            out.end = usize::try_from(needed).ok().filter(|_| !out.ends_early);
            out.data_pixels = Some((bytes.len() as u64).saturating_sub(u64::from(data)) * 8 / u64::from(bits).max(1));
        }
        1 | 2 if !steps.skims => {
            let (covered, ended) = run_lengths(bytes, data as usize, out.width, out.height);
            out.ends_early = !ended;
            out.data_pixels = Some(covered);
            let unset = covered < u64::from(out.width) * u64::from(out.height);
            out.flaw(unset && ended, "pixels that the BMP's data do not set");
        }
        _ => {}
    }
    Some(out)
}

/// How many pixels run-length codes set, and whether they end as they should. What they leave out decoders fill with black.
fn run_lengths(bytes: &[u8], mut at: usize, width: u32, height: u32) -> (u64, bool) {
    let (mut x, mut y, mut covered) = (0u32, 0u32, 0u64);
    while y < height {
        let Some([first, second]) = array(bytes, at) else { return (covered, false) };
        at += 2;
        let run = match (first, second) {
            (0, 0) => {
                (x, y) = (0, y + 1);
                continue;
            }
            (0, 1) => return (covered, true),
            (0, 2) => {
                let Some([right, down]) = array(bytes, at) else { return (covered, false) };
                at += 2;
                (x, y) = (x.saturating_add(right.into()), y + u32::from(down));
                continue;
            }
            (0, count) => {
                // A byte for each pixel, or for two; such rows of bytes are padded to even lengths.
                let packed = if le16(bytes, 28) == Some(4) { count.div_ceil(2) } else { count };
                at += usize::from(packed).next_multiple_of(2);
                if at > bytes.len() {
                    return (covered, false);
                }
                count
            }
            (count, _) => count,
        };
        covered += u64::from(width.saturating_sub(x).min(run.into()));
        x = x.saturating_add(run.into());
    }
    (covered, true)
}

/// Bytes of an ICO's header, and of an entry of its directory.
const ICO_HEADER: usize = 6;
const ICO_ENTRY: usize = 16;
/// Pictures of an ICO that are looked for.
const ICO_PICTURES_MAX: usize = 256;

/// The data of each picture of an ICO. Microsoft's ICONDIR.
pub(in crate::decode) fn ico_pictures(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let count = le16(bytes, 4).unwrap_or(0) as usize;
    let entries = bytes.get(ICO_HEADER..).unwrap_or_default().as_chunks::<ICO_ENTRY>().0;
    entries.iter().take(count.min(ICO_PICTURES_MAX)).map(|entry| {
        let place = |at| le32(entry, at).unwrap_or(0) as usize;
        let data = bytes.get(place(12)..).unwrap_or_default();
        data.get(..place(8)).unwrap_or(data)
    })
}

/// Each picture is a PNG, or a BMP without its file header whose height counts a mask too.
pub(super) fn ico(bytes: &[u8]) -> Option<Probe> {
    let mut out = Probe::default();
    for data in ico_pictures(bytes) {
        let (width, height) = match sniff(data) {
            Kind::Image(Format::Png) => (be32(data, 16)?, be32(data, 20)?),
            _ => (le32(data, 4)?, (le32(data, 8)? as i32).unsigned_abs() / 2),
        };
        out.frames += 1;
        let pixels = u64::from(width) * u64::from(height);
        if pixels >= out.pixels_max {
            (out.width, out.height, out.pixels_max) = (width, height, pixels);
        }
    }
    (out.frames > 0).then_some(out)
}

/// The Quite OK Image Format, specification 1.0. A byte stands for at most 62 pixels.
pub(super) fn qoi(bytes: &[u8]) -> Option<Probe> {
    let (width, height) = (be32(bytes, 4)?, be32(bytes, 8)?);
    let data = (bytes.len() as u64).saturating_sub(14);
    Some(Probe { width, height, data_pixels: Some(data.saturating_mul(62)), ..Probe::default() })
}

/// Netpbm's PBM, PGM, PPM and PAM.
pub(super) fn pnm(bytes: &[u8]) -> Option<Probe> {
    let kind = *bytes.get(1)?;
    let mut words = Words { bytes, at: 2 };
    let (mut width, mut height, mut depth, mut top) = (0, 0, 1, 255);
    if kind == b'7' {
        loop {
            match words.next()? {
                b"WIDTH" => width = words.number()?,
                b"HEIGHT" => height = words.number()?,
                b"DEPTH" => depth = words.number()?,
                b"MAXVAL" => top = words.number()?,
                b"TUPLTYPE" => _ = words.next()?,
                b"ENDHDR" => break,
                _ => return None,
            }
        }
    } else {
        (width, height) = (words.number()?, words.number()?);
        if !matches!(kind, b'1' | b'4') {
            top = words.number()?;
        }
        depth = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    }
    let data = (bytes.len() as u64).saturating_sub(words.at as u64 + 1);
    let sample = if top > 255 { 2 } else { 1 };
    let mut out = Probe { width, height, ..Probe::default() };
    let of_pixel = u64::from(depth.max(1)) * sample;
    let row = match kind {
        b'4' => u64::from(width).div_ceil(8),
        b'1'..=b'3' => 0, // numbers as text
        _ => u64::from(width) * of_pixel,
    };
    let needed = row.saturating_mul(height.into());
    out.ends_early = needed > data;
    out.end = usize::try_from(needed).ok().filter(|_| row > 0 && !out.ends_early).and_then(|n| n.checked_add(words.at + 1));
    out.bytes_per_pixel = of_pixel;
    out.data_pixels = Some(match kind {
        b'4' => data.saturating_mul(8),
        b'1'..=b'3' => data,
        _ => data / of_pixel,
    });
    Some(out)
}

/// What stands between white space and comments.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match self.bytes.get(self.at)? {
                b'#' => self.at += self.bytes[self.at..].iter().position(|byte| *byte == b'\n')?,
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(u8::is_ascii_whitespace)?;
        self.at += length;
        Some(&rest[..length])
    }

    fn number(&mut self) -> Option<u32> {
        std::str::from_utf8(self.next()?).ok()?.parse().ok()
    }
}
