//! What does libjpeg-turbo make of a JPEG? The only file that names it.
//!
//! It decodes to luma alone, which is what hashes are made of, and says where the data are damaged, which other decoders hide: they fill
//! the rest with grey. It is the decoder of PDQ's reference tools too. Invariants: nothing it warns of passes for whole; it is called
//! only for sizes that were admitted. What it can't read at all is left to the caller.
//!
//! It is shown a header made anew, for two reasons.
//! 1. It warns of some things that are no damage to a picture: a version of JFIF or a colour transform of Adobe's that it does not know,
//!    a colour profile in disorder. It names only the first thing it warns of, so these must not be there to hide another: the segments
//!    that applications use are left out, but for what tells the colours.
//! 2. Its quick Huffman decoder passes over codes that do not exist. The one for pictures with restart markers does not, and takes a
//!    tenth longer at the most, so pictures without them get a restart interval that they never reach. One of more than 65,535 coding
//!    units (17 megapixels at 4:2:0) can't: a lone code that does not exist, and throws nothing after it off, is missed there.
//!
//! What it does not tell either: up to seven bytes too many at the end of a scan that is not the last, which its bit buffer swallows. That
//! takes a sequential picture whose components stand in scans of their own, and damage that throws no code off.

use image::metadata::Orientation;
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

use super::image_crate::upright;
use super::picture::{Channels, Picture, luma_of_inverted_inks};
use super::probe::{Coding, Probe, exif, probe, segments};
use super::sniff::Format;
use super::{Limits, arithmetic_scan_pixels};

/// A picture and whether anything of it was damaged. `None`: libjpeg-turbo can't read the file, or not a single row of it.
pub(super) fn decode(bytes: &[u8], probe: &Probe, limits: &Limits) -> Option<(Picture, bool)> {
    let orientation = exif(bytes).and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let (plain, skipped) = with_plain_header(bytes, probe)?;
    let (width, height, samples, damaged) = pixels(&plain, probe, limits)?;
    drop(plain);
    Some((upright(width, height, Channels::Grey, samples, orientation)?, damaged || skipped))
}

/// Whether libjpeg-turbo finds no fault with a JPEG that stands in another file, such as a strip of a TIFF. Takes its pixels from
/// `budget`, which they must not exceed.
pub(super) fn is_whole(bytes: &[u8], limits: &Limits, budget: &mut u64) -> bool {
    let Some(probe) = probe(Format::Jpeg, bytes).filter(|probe| !probe.flawed()) else { return false };
    let walks = probe.pixels_max.saturating_mul(u64::from(probe.jpeg.scans.max(1)));
    let pixels = walks.saturating_add(arithmetic_scan_pixels(&probe.jpeg, probe.jpeg.coded_bytes));
    if probe.pixels_max > limits.pixels_max || probe.jpeg.scans > limits.jpeg_scans_max || pixels > *budget {
        return false;
    }
    *budget -= pixels;
    decode(bytes, &probe, limits).is_some_and(|(_, damaged)| !damaged)
}

/// Width, height, luma, and whether anything was damaged.
type Pixels = (u32, u32, Vec<u8>, bool);

fn pixels(bytes: &[u8], probe: &Probe, limits: &Limits) -> Option<Pixels> {
    let mut decompressor = Decompressor::new().ok()?;
    decompressor.set_scan_limit(limits.jpeg_scans_max).ok()?;
    let header = decompressor.read_header(bytes).ok()?;
    let format = match header.colorspace {
        Colorspace::CMYK | Colorspace::YCCK => PixelFormat::CMYK,
        Colorspace::RGB | Colorspace::YCbCr | Colorspace::Gray => PixelFormat::GRAY,
    };
    let (width, height) = (u32::try_from(header.width).ok()?, u32::try_from(header.height).ok()?);
    // What was admitted is what the probe says.
    if u64::from(width) * u64::from(height) > probe.pixels_max {
        return None;
    }
    let pitch = header.width.checked_mul(format.size())?;
    let mut samples = vec![0; pitch.checked_mul(header.height)?];
    let image = Image { pixels: &mut samples[..], width: header.width, pitch, height: header.height, format };
    // With pixels in hand an error is damage, whether it ended the decoding or was only warned of.
    let damaged = decompressor.decompress(bytes, image).is_err();
    if damaged && samples.iter().all(|sample| *sample == 0) {
        return None;
    }
    let samples = if format == PixelFormat::CMYK { luma_of_inverted_cmyk(samples) } else { samples };
    Some((width, height, samples, damaged))
}

/// In place. JPEGs hold ink inverted, 255 for none, as Photoshop began it.
fn luma_of_inverted_cmyk(mut samples: Vec<u8>) -> Vec<u8> {
    let count = samples.len() / 4;
    for i in 0..count {
        samples[i] = luma_of_inverted_inks([0, 1, 2, 3].map(|channel| samples[4 * i + channel]));
    }
    samples.truncate(count);
    // Turning it upright takes a copy.
    samples.shrink_to_fit();
    samples
}

/// A copy with a header as described above. And whether there were bytes between its segments, which decoders skip.
fn with_plain_header(bytes: &[u8], probe: &Probe) -> Option<(Vec<u8>, bool)> {
    let scan = probe.jpeg.first_scan;
    if scan == 0 {
        return None;
    }
    let components = segments(bytes).filter(|(marker, ..)| is_frame(*marker)).find_map(|(.., body)| body.get(5).copied());
    let mut plain = Vec::with_capacity(bytes.len() + 64);
    plain.extend(&bytes[..2]);
    let mut end = 2;
    let mut skipped = false;
    for (marker, start, body) in segments(bytes) {
        // Markers may be preceded by any number of 0xff.
        skipped |= bytes[end..start].iter().any(|byte| *byte != 0xff);
        end = start + 4 + body.len();
        match (marker, body) {
            (0xe0, [b'J', b'F', b'I', b'F', 0, ..]) if body.len() >= 14 => {
                plain.extend(b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
            }
            (0xee, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                plain.extend(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0");
                // What libjpeg takes an unknown one for.
                plain.push(match (components, transform) {
                    (_, 0) => 0,
                    (Some(4), _) => 2,
                    _ => 1,
                });
            }
            (0xe0..=0xef | 0xfe, _) => {}
            _ => plain.extend(&bytes[start..end]),
        }
    }
    skipped |= bytes.get(end..scan)?.iter().any(|byte| *byte != 0xff);
    if probe.jpeg.coding == Coding::Huffman && !probe.jpeg.restarts && probe.jpeg.units <= 0xffff {
        plain.extend(b"\xff\xdd\0\x04\xff\xff");
    }
    plain.extend(&bytes[scan..]);
    Some((plain, skipped))
}

fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}
