//! Header probe: what does a file declare, and is it all there? Read from its structure alone, without decoding a pixel.
//!
//! Sizes are in pixels. Every walk is one pass over the bytes with checked offsets: it ends where the bytes end and allocates
//! nothing that grows with them but lists of at most [`PAGES_MAX`] pages and [`CHUNKS_MAX`] chunks. A TIFF's offsets can name the same bytes
//! time and again, so its walk has a number of steps. What a probe says is what the file claims;
//! admission rests on it because decoders allocate by the same claims. Coded data are looked at only where no decoder tells damage:
//! whether all scans of a JPEG are there, and whether the data of a GIF or a run-length coded BMP come to its pixels.
//!
//! [`skim`] is the same walk cut short, for whoever can't wait for a whole one.

mod bitmaps;
mod boxes;
mod gif;
mod heif;
mod jpeg;
mod jpeg2000;
mod jxl;
mod lzw;
mod tiff;

use std::ops::Range;

use super::sniff::Format;
pub(super) use bitmaps::ico_pictures;
use bitmaps::{bmp, ico, pnm, qoi};
use gif::gif;
pub(super) use heif::{Container, DEPTH_MAX as HEIF_DEPTH_MAX};
use jpeg::jpeg;
pub use jpeg::{Coding, Jpeg};
pub(super) use jpeg::{exif, segments};
pub(super) use lzw::Strips as LzwStrips;
use tiff::tiff;
pub use tiff::{PAGES_MAX, Page};

/// Chunks of a WebP that are looked for.
pub const CHUNKS_MAX: usize = 10_000;

/// What a file declares of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probe {
    pub width: u32,
    pub height: u32,
    /// Pixels of the largest frame, which need not lie inside the canvas, or of the largest page.
    pub pixels_max: u64,
    /// Frames of an animation, with the still beside it where there is one, or pages of a TIFF; 1 for stills.
    pub frames: u32,
    pub motion: Motion,
    /// Each frame is decoded by itself: pages, pictures.
    pub apart: bool,
    /// The structure breaks off before its end.
    pub ends_early: bool,
    /// What else is wrong, in words for `left_out`.
    pub flaws: Vec<&'static str>,
    /// Where the picture ends, if that can be told and it is all there: another may follow.
    pub end: Option<usize>,
    /// Why the file is not read, whatever its size.
    pub unread: Option<&'static str>,
    /// Where a walk that was to skim the file ended before it.
    walked: Option<usize>,
    /// Pixels that the data can come to at the most, in all frames, where that can be told.
    pub data_pixels: Option<u64>,
    /// Bytes that decoding takes for a pixel, where files of one format differ: of a PNG and a PNM what comes out, of a WebP and a HEIF all, of a
    /// JPEG XL and a JPEG 2000 the number of channels. Else 0.
    pub bytes_per_pixel: u64,
    /// JPEG only.
    pub jpeg: Jpeg,
    /// TIFF only.
    pub pages: Vec<Page>,
    /// WebP only: the chunks of coded pixels and where their data lie, at most [`CHUNKS_MAX`].
    pub chunks: Vec<([u8; 4], Range<usize>)>,
    /// WebP only: of each picture the first chunk of alpha, where its data lie, and its width and height.
    pub alphas: Vec<(Range<usize>, u32, u32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Motion {
    #[default]
    Still,
    Animated,
    /// An animation beside a still that is no frame of it (PNG).
    AnimatedBesideStill,
}

impl Probe {
    /// Whether the structure alone shows that something is missing.
    pub fn flawed(&self) -> bool {
        self.ends_early || !self.flaws.is_empty()
    }

    fn flaw(&mut self, is_there: bool, words: &'static str) {
        if is_there {
            self.flaws.push(words);
        }
    }
}

/// How far a walk goes.
struct Steps {
    left: u64,
    /// Structure alone, no coded data.
    skims: bool,
}

impl Steps {
    /// Whether there was one left.
    fn take(&mut self) -> bool {
        let there = self.left > 0;
        self.left -= u64::from(there);
        there
    }
}

/// `None` where the file breaks off or makes no sense before it has said how large the picture is.
pub fn probe(format: Format, bytes: &[u8]) -> Option<Probe> {
    walk(format, bytes, Steps { left: u64::MAX, skims: false })
}

/// Chunks, blocks or entries that are looked at for an estimate: some 0.1 ms.
const SKIMMED: u64 = 1 << 14;
/// Of a JPEG so much is looked at, as its markers are found by a walk over all bytes. Its header lies within, and a part of its scans.
const SKIMMED_JPEG_BYTES: usize = 128 * 1024;

/// What a part of the file tells, at most a millisecond's work whatever the file is: sizes, and as many frames or scans as there are if the
/// rest is like that part.
pub fn skim(format: Format, bytes: &[u8]) -> Option<Probe> {
    let seen = if format == Format::Jpeg { &bytes[..bytes.len().min(SKIMMED_JPEG_BYTES)] } else { bytes };
    let mut probe = walk(format, seen, Steps { left: SKIMMED, skims: true })?;
    let share = (bytes.len() / probe.walked.unwrap_or(seen.len()).max(1)).max(1);
    // One may be all there is.
    let all = |count: u32| if count > 1 { count.saturating_mul(u32::try_from(share).unwrap_or(u32::MAX)) } else { count };
    (probe.frames, probe.jpeg.scans) = (all(probe.frames), all(probe.jpeg.scans));
    Some(probe)
}

fn walk(format: Format, bytes: &[u8], mut steps: Steps) -> Option<Probe> {
    let mut probe = match format {
        Format::Jpeg => jpeg(bytes),
        Format::Png => png(bytes, &mut steps),
        Format::Gif => gif(bytes, &mut steps),
        Format::WebP => webp(bytes, &mut steps),
        Format::Bmp => bmp(bytes, &steps),
        Format::Tiff => tiff(bytes, &mut steps),
        Format::Heic | Format::Avif if steps.skims => heif::skim(bytes),
        Format::Heic | Format::Avif => heif::heif(bytes),
        Format::Jxl => jxl::jxl(bytes, &steps),
        Format::Jpeg2000 => jpeg2000::jpeg2000(bytes),
        Format::Ico => ico(bytes),
        Format::Qoi => qoi(bytes),
        Format::Pnm => pnm(bytes),
    }?;
    probe.pixels_max = probe.pixels_max.max(u64::from(probe.width) * u64::from(probe.height));
    probe.frames = probe.frames.max(1);
    Some(probe)
}

/// Deflate makes at most 1,032 bytes of one.
const DEFLATE_MAX: u64 = 1032;

/// W3C PNG, third edition.
fn png(bytes: &[u8], steps: &mut Steps) -> Option<Probe> {
    let mut out = Probe { ends_early: true, ..Probe::default() };
    let mut at = 8;
    let (mut data_bytes, mut controls, mut control_first, mut animated, mut transparency) = (0u64, 0u32, false, false, 0);
    let mut unfit = false;
    if bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    (out.width, out.height) = (be32(bytes, 16)?, be32(bytes, 20)?);
    let (depth, color) = (u64::from(*bytes.get(24)?), *bytes.get(25)?);
    while let (Some(length), Some(name)) = (be32(bytes, at), bytes.get(at + 4..at + 8)) {
        if !steps.take() {
            out.walked = Some(at);
            break;
        }
        let end = at + 12 + length as usize;
        // The decoder passes over chunks that need not be there, with the frames of an animation among them, and damage to a name hides any.
        unfit |= !steps.skims && be32(bytes, end - 4).is_some_and(|sum| sum != crc32fast::hash(&bytes[at + 4..end - 4]));
        match name {
            b"acTL" => animated = true,
            b"fcTL" => {
                controls += 1;
                control_first |= data_bytes == 0;
                if let (Some(width), Some(height)) = (be32(bytes, at + 12), be32(bytes, at + 16)) {
                    out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
                }
            }
            b"IDAT" => data_bytes += u64::from(length),
            b"tRNS" => transparency = 1,
            b"IEND" if end <= bytes.len() => (out.ends_early, out.end) = (false, Some(end)),
            _ => {}
        }
        if name == b"IEND" || end > bytes.len() {
            break;
        }
        at = end;
    }
    out.flaw(unfit, "PNG chunks with wrong checksums");
    // Samples that the file holds for a pixel, and that the decoder makes of it.
    let (stored, channels) = match color {
        2 => (3, 3 + transparency),
        3 => (1, 3 + transparency),
        4 => (2, 2),
        6 => (4, 4),
        _ => (1, 1 + transparency),
    };
    out.bytes_per_pixel = channels * if depth == 16 { 2 } else { 1 };
    if animated && controls > 0 {
        (out.motion, out.frames) = match control_first {
            true => (Motion::Animated, controls),
            false => (Motion::AnimatedBesideStill, controls.saturating_add(1)),
        };
    } else {
        out.data_pixels = Some(data_bytes.saturating_mul(DEFLATE_MAX * 8) / (stored * depth).max(1));
    }
    Some(out)
}

/// RFC 9649.
fn webp(bytes: &[u8], steps: &mut Steps) -> Option<Probe> {
    let mut out = Probe { bytes_per_pixel: 8, ..Probe::default() };
    let declared = le32(bytes, 4)? as usize + 8;
    out.ends_early = declared > bytes.len();
    out.end = (!out.ends_early).then_some(declared.next_multiple_of(2).min(bytes.len()));
    // What follows is no part of it.
    let bytes = out.end.map_or(bytes, |end| &bytes[..end]);
    let (mut at, mut sized, mut frame_end) = (12, false, 0);
    // The frame that is walked over: behind its header, behind all of it, its width and height.
    let mut frame = (0, 0, 0, 0);
    while let (Some(name), Some(length)) = (bytes.get(at..at + 4), le32(bytes, at + 4)) {
        if !steps.take() {
            out.walked = Some(at);
            break;
        }
        let body = at + 8;
        let size = match name {
            b"VP8X" => le24(bytes, body + 4).zip(le24(bytes, body + 7)).map(|(width, height)| (width + 1, height + 1)),
            b"VP8L" => le32(bytes, body + 1).map(|bits| ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)),
            b"VP8 " => le16(bytes, body + 6).zip(le16(bytes, body + 8)).map(|(width, height)| (width & 0x3fff, height & 0x3fff)),
            b"ANMF" => le24(bytes, body + 6).zip(le24(bytes, body + 9)).map(|(width, height)| (width + 1, height + 1)),
            _ => None,
        };
        if let Some((width, height)) = size {
            // The first one says how large the picture is. A decoder may allocate by any.
            out.pixels_max = out.pixels_max.max(u64::from(width) * u64::from(height));
            if !sized && name != b"ANMF" {
                (out.width, out.height, sized) = (width, height, true);
            }
        }
        if name == b"VP8X" && bytes.get(body).is_some_and(|flags| flags & 2 != 0) {
            out.motion = Motion::Animated;
        }
        if name == b"ALPH" {
            out.bytes_per_pixel = 11;
        }
        if let (b"ANMF", Some((width, height))) = (name, size) {
            frame = (body + 16, body + length as usize, width, height);
        }
        let alpha = match out.motion {
            Motion::Still => out.alphas.is_empty().then_some((out.width, out.height)),
            _ => (at == frame.0).then_some((frame.2, frame.3)),
        };
        if let (b"ALPH", Some((width, height)), true) = (name, alpha, out.alphas.len() < CHUNKS_MAX) {
            out.alphas.push((body..(body + length as usize).min(bytes.len()), width, height));
        }
        out.frames += u32::from(name == b"ANMF");
        let end = body + length as usize;
        // Of a frame the first counts; beside the frames of an animation there is nothing that is shown.
        let shown = if out.motion == Motion::Still { out.chunks.is_empty() } else { body < frame_end };
        if matches!(name, b"VP8 " | b"VP8L") && shown && end <= bytes.len() && out.chunks.len() < CHUNKS_MAX {
            out.chunks.extend(name.first_chunk().map(|name| (*name, body..end)));
            frame_end = 0;
        }
        if name == b"ANMF" {
            frame_end = end;
        }
        // A frame's own chunks follow its header, and end with it.
        let next = if name == b"ANMF" { body + 16 } else { end + (length as usize & 1) };
        at = if (frame.0..frame.1).contains(&at) { next.min(frame.1) } else { next };
        if end > bytes.len() {
            out.ends_early = true;
            break;
        }
    }
    sized.then_some(out)
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
