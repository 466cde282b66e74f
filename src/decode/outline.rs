//! What does a file declare, and is it all there? Read from its structure alone, without decoding a pixel.
//!
//! Sizes are in pixels. Every walk is one pass over the bytes with checked offsets: it ends where the bytes end and allocates
//! nothing that grows with them but a list of at most [`PAGES_MAX`] page offsets. What an outline says is a claim of the file's;
//! admission rests on it because decoders allocate by the same claims. Absent: any check of the coded data itself.

use super::sniff::Format;

/// TIFF pages that are looked for; also what stops a chain of pages that bites its tail.
pub const PAGES_MAX: usize = 1000;

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    pub width: u32,
    pub height: u32,
    /// Pixels of the largest frame, which need not lie inside the canvas.
    pub pixels_max: u64,
    /// Frames of an animation, with the still beside it where there is one, or pages of a TIFF; 1 for stills.
    pub frames: u32,
    pub motion: Motion,
    /// The structure breaks off before its end.
    pub ends_early: bool,
    /// GIF only: a frame reaches beyond the screen. Viewers differ in whether they show those pixels; the decoder drops them.
    pub beyond_screen: bool,
    /// JPEG only.
    pub jpeg: Jpeg,
    /// TIFF only: where the pages lie.
    pub pages: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Motion {
    #[default]
    Still,
    Animated,
    /// An animation beside a still that is no frame of it (PNG).
    AnimatedBesideStill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Jpeg {
    /// All coefficients are held in memory, and every scan walks over them.
    pub progressive: bool,
    pub scans: u32,
    /// 8x8 blocks in all components.
    pub blocks: u64,
    /// Samples for each pixel, all components together, rounded up.
    pub samples_per_pixel: u64,
    /// Bytes of entropy-coded data in all scans.
    pub coded_bytes: u64,
}

/// `None` where the file breaks off or makes no sense before it has said how large the picture is.
pub fn outline(format: Format, bytes: &[u8]) -> Option<Outline> {
    let mut outline = match format {
        Format::Jpeg => jpeg(bytes),
        Format::Png => png(bytes),
        Format::Gif => gif(bytes),
        Format::WebP => webp(bytes),
        Format::Bmp => bmp(bytes),
        Format::Tiff => tiff(bytes),
    }?;
    outline.pixels_max = outline.pixels_max.max(u64::from(outline.width) * u64::from(outline.height));
    outline.frames = outline.frames.max(1);
    Some(outline)
}

/// ITU-T T.81, annex B.
fn jpeg(bytes: &[u8]) -> Option<Outline> {
    let mut out = Outline::default();
    let mut sized = false;
    let mut at = 2;
    let ended = loop {
        // Decoders skip what is no marker between segments, so it is skipped here.
        let Some(skip) = bytes.get(at..).and_then(|rest| rest.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xff)))
        else {
            break false;
        };
        at += skip + 2;
        let marker = bytes[at - 1];
        match marker {
            0xd9 => break true,
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let Some(length) = be16(bytes, at) else { break false };
        let segment = bytes.get(at + 2..at + length.max(2) as usize);
        at += length.max(2) as usize;
        match (marker, segment) {
            (_, None) => break false,
            (0xc0..=0xcf, Some(frame)) if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let (height, width) = (be16(frame, 1)?, be16(frame, 3)?);
                // The largest of several frame headers counts, whichever the decoder believes.
                out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
                (out.width, out.height) = (width, height);
                out.jpeg.progressive |= marker & 3 == 2;
                let (blocks, samples_per_pixel) = sampling(frame, width, height);
                out.jpeg.blocks = out.jpeg.blocks.max(blocks);
                out.jpeg.samples_per_pixel = out.jpeg.samples_per_pixel.max(samples_per_pixel);
                sized = true;
            }
            (0xda, Some(_)) => {
                out.jpeg.scans += 1;
                let rest = &bytes[at..];
                let coded =
                    rest.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xd0..=0xd7 | 0xff)).unwrap_or(rest.len());
                out.jpeg.coded_bytes += coded as u64;
                at += coded;
            }
            _ => {}
        }
    };
    // A block costs two bits at least, in the first scan of a progressive file one.
    let coded_bits = out.jpeg.coded_bytes * 8;
    out.ends_early = !ended || coded_bits < out.jpeg.blocks;
    sized.then_some(out)
}

/// Blocks in all components of a frame header, and samples for each pixel, by its sampling factors.
fn sampling(frame: &[u8], width: u32, height: u32) -> (u64, u64) {
    let factors =
        || frame.get(6..).unwrap_or_default().chunks_exact(3).take(4).map(|c| (u64::from(c[1] >> 4), u64::from(c[1] & 15)));
    let (h_max, v_max) = factors().fold((1, 1), |(h, v), (hi, vi)| (h.max(hi), v.max(vi)));
    let along = |side: u32, factor: u64, max: u64| (u64::from(side) * factor).div_ceil(8 * max);
    let blocks = factors().map(|(h, v)| along(width, h, h_max) * along(height, v, v_max)).sum();
    let samples: u64 = factors().map(|(h, v)| h * v).sum();
    // The factors of a lone component mean nothing, yet a decoder may allocate by them.
    (blocks, if factors().count() > 1 { samples.div_ceil(h_max * v_max) } else { samples })
}

/// W3C PNG, third edition.
fn png(bytes: &[u8]) -> Option<Outline> {
    let mut out = Outline { ends_early: true, ..Outline::default() };
    let mut at = 8;
    let (mut data_seen, mut controls, mut control_first, mut animated) = (false, 0u32, false, false);
    if bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    (out.width, out.height) = (be32(bytes, 16)?, be32(bytes, 20)?);
    while let (Some(length), Some(name)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        let end = at + 12 + length as usize;
        match name {
            b"acTL" => animated = true,
            b"fcTL" => {
                controls += 1;
                control_first |= !data_seen;
                if let (Some(width), Some(height)) = (be32(bytes, at + 12), be32(bytes, at + 16)) {
                    out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
                }
            }
            b"IDAT" => data_seen = true,
            b"IEND" => out.ends_early = end > bytes.len(),
            _ => {}
        }
        if name == b"IEND" || end > bytes.len() {
            break;
        }
        at = end;
    }
    if animated && controls > 0 {
        (out.motion, out.frames) = match control_first {
            true => (Motion::Animated, controls),
            false => (Motion::AnimatedBesideStill, controls.saturating_add(1)),
        };
    }
    Some(out)
}

/// CompuServe GIF89a.
fn gif(bytes: &[u8]) -> Option<Outline> {
    let mut out = Outline { ends_early: true, ..Outline::default() };
    (out.width, out.height) = (le16(bytes, 6)?, le16(bytes, 8)?);
    let table = |flags: u8| if flags & 0x80 != 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + table(*bytes.get(10)?);
    loop {
        at = match bytes.get(at) {
            Some(0x21) => at + 2,
            Some(0x2c) => {
                let (Some(width), Some(height), Some(flags)) = (le16(bytes, at + 5), le16(bytes, at + 7), bytes.get(at + 9))
                else {
                    break;
                };
                out.frames += 1;
                out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
                let corner = |at, size| le16(bytes, at).unwrap_or(0) + size;
                out.beyond_screen |= corner(at + 1, width) > out.width || corner(at + 3, height) > out.height;
                at + 11 + table(*flags)
            }
            Some(0x3b) => {
                out.ends_early = false;
                break;
            }
            Some(_) | None => break,
        };
        while let Some(length @ 1..) = bytes.get(at) {
            at += 1 + usize::from(*length);
        }
        at += 1;
    }
    if out.frames > 1 {
        out.motion = Motion::Animated;
    }
    Some(out)
}

/// RFC 9649.
fn webp(bytes: &[u8]) -> Option<Outline> {
    let mut out = Outline::default();
    let declared = le32(bytes, 4)? as usize + 8;
    out.ends_early = declared > bytes.len();
    let (mut at, mut sized) = (12, false);
    while let (Some(name), Some(length)) = (bytes.get(at..at + 4), le32(bytes, at + 4)) {
        let body = at + 8;
        match name {
            b"VP8X" if !sized => {
                (out.width, out.height, sized) = (le24(bytes, body + 4)? + 1, le24(bytes, body + 7)? + 1, true);
                if bytes.get(body)? & 2 != 0 {
                    out.motion = Motion::Animated;
                }
            }
            b"VP8L" if !sized => {
                let bits = le32(bytes, body + 1)?;
                (out.width, out.height, sized) = ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1, true);
            }
            b"VP8 " if !sized => {
                (out.width, out.height, sized) = (le16(bytes, body + 6)? & 0x3fff, le16(bytes, body + 8)? & 0x3fff, true);
            }
            b"ANMF" => {
                out.frames += 1;
                if let (Some(width), Some(height)) = (le24(bytes, body + 6), le24(bytes, body + 9)) {
                    out.pixels_max = out.pixels_max.max((u64::from(width) + 1) * (u64::from(height) + 1));
                }
            }
            _ => {}
        }
        let end = body + length as usize;
        at = end + (length as usize & 1);
        if end > bytes.len() {
            out.ends_early = true;
            break;
        }
    }
    sized.then_some(out)
}

/// Microsoft's BITMAPCOREHEADER and BITMAPINFOHEADER. Only uncompressed data have a length to be held against.
fn bmp(bytes: &[u8]) -> Option<Outline> {
    let mut out = Outline::default();
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
    if matches!(compression, 0 | 3 | 6) {
        let stride = (u64::from(out.width) * u64::from(bits)).div_ceil(32) * 4;
        let needed = stride.saturating_mul(u64::from(out.height)).saturating_add(u64::from(le32(bytes, 10)?));
        out.ends_early = needed > bytes.len() as u64;
    }
    Some(out)
}

/// TIFF 6.0, and BigTIFF, whose offsets have 8 bytes.
fn tiff(bytes: &[u8]) -> Option<Outline> {
    let mut out = Outline::default();
    let little = bytes.first()? == &b'I';
    let number = |at: usize, size: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(size)?)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if little { field.iter().rev().fold(0, fold) } else { field.iter().fold(0, fold) })
    };
    let big = number(2, 2)? == 43;
    let (word, count_size, entry_size) = if big { (8, 8, 20) } else { (4, 2, 12) };
    let mut next = number(word, word)?;
    while next != 0 && out.pages.len() < PAGES_MAX && !out.pages.contains(&next) {
        let Ok(start) = usize::try_from(next) else { break };
        let Some(entries) = number(start, count_size).map(|n| n as usize) else {
            out.ends_early = true;
            break;
        };
        let (mut width, mut height, mut reduced) = (0, 0, false);
        let first = start.saturating_add(count_size);
        for entry in (0..entries.min(4096)).map(|i| first.saturating_add(i * entry_size)) {
            let (Some(tag), Some(kind)) = (number(entry, 2), number(entry.saturating_add(2), 2)) else { break };
            let size = match kind {
                1 => 1,
                3 => 2,
                4 => 4,
                16 => 8,
                _ => continue,
            };
            let value = number(entry + entry_size - word, size).unwrap_or(0);
            match tag {
                254 => reduced = value & 1 == 1,
                256 => width = value,
                257 => height = value,
                _ => {}
            }
        }
        let (width, height) = (u32::try_from(width).unwrap_or(u32::MAX), u32::try_from(height).unwrap_or(u32::MAX));
        if out.pages.is_empty() {
            (out.width, out.height) = (width, height);
        }
        // A smaller copy of another page is no page of its own.
        if !reduced || out.pages.is_empty() {
            out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
            out.pages.push(next);
        }
        match number(first.saturating_add(entries.saturating_mul(entry_size)), word) {
            Some(following) => next = following,
            None => break,
        }
    }
    out.frames = out.pages.len() as u32;
    (!out.pages.is_empty()).then_some(out)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|b| u16::from_be_bytes(b).into())
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|b| u16::from_le_bytes(b).into())
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}
