//! Which frames are in this file, as upright pixels, and what of it could not be seen?
//!
//! The door is [`frames`]: it admits a file by what it declares, before a decoder allocates for it, and then hands over one
//! frame at a time, so that memory holds one. Formats are told by content ([`sniff`]), structure is read by [`probe`]. [`formats`]
//! names the decoder of each; [`parts`] looks at all pictures that a file holds. The orientation of EXIF, TIFF and HEIF is applied; CMYK, palettes and 16 bits end as 8-bit grey or RGB; alpha stays and [`Picture`] says how it is looked at.
//!
//! Invariants: a picture of which only a part could be had is never passed off as whole; no panic of a decoder gets out;
//! no text here contains a byte of the picture or a word of a decoder about it. Deadlines reach decoders by the bytes they read
//! ([`source`]). Absent: a hard bound on a decoder that has read all its bytes, which only a process of its own can hold.

#[cfg(test)]
pub(crate) mod drawn;
mod formats;
mod heif;
mod image_crate;
mod jpeg;
#[cfg(feature = "jpeg2000")]
mod jpeg2000;
mod jxl;
mod parts;
mod picture;
pub mod probe;
pub mod sniff;
mod source;
mod tally;
mod tiff_data;
mod tiff_pages;
mod vp8l;
mod webp;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use picture::{Channels, LumaPlane, Picture, Rendering};

use crate::entry::options::options;
use crate::entry::{LeftOut, Reason};
use probe::{Coding, Jpeg, Motion, Probe, probe};
use sniff::{Format, Kind, sniff};
use tally::Tally;

options! {
    /// What is admitted. Each limit is checked before the thing it limits is done.
    #[derive(Eq)]
    pub struct Limits {
        /// Bytes of a file. 32 MiB: the largest pictures that common platforms take in have 20 to 25 MiB. Its key is the service's.
        #[serde(skip)]
        pub image_bytes_max: u64 = 32 << 20;
        /// Pixels of one frame. 100 million: beyond every camera but scans, stitched panoramas and bombs, 300 MB as RGB.
        pub pixels_max: u64 = 100_000_000, in 1..=4_000_000_000;
        /// Pixels along one axis. 65,535: what JPEG and GIF can say; narrower strips are harmless under `pixels_max`.
        pub side_max: u32 = 65_535, in 1..=1_000_000;
        /// Frames of an animation, pages of a TIFF. 256: some 10 to 20 seconds of a GIF.
        pub frames_max: u32 = 256, in 1..=100_000;
        /// Pixels of all frames of one file together. 100 million, so that an animation costs no more than the largest still: 48
        /// frames of 1920x1080, 256 of 720x540.
        pub frame_pixels_max: u64 = 100_000_000, in *pixels_max..=1_000_000_000_000;
        /// Bytes that decoding a file may need at its peak, estimated from its header. 512 MiB: 100 million pixels of a baseline
        /// JPEG fit. The service needs this much per picture in work.
        pub alloc_bytes_max: u64 = 512 << 20, in 1 << 20..=64 << 30;
        /// Scans of a JPEG. 64: encoders write 1 to about 12, and each scan costs a walk over the whole picture.
        pub jpeg_scans_max: u32 = 64, in 1..=10_000;
        /// Scans times pixels of a JPEG, and what arithmetic coding takes beside. 1,000 million, some 4 seconds.
        pub jpeg_scan_pixels_max: u64 = 1_000_000_000, in *pixels_max..=1_000_000_000_000;
    }
}

/// Why no frame of a file was seen: what, and where, in words of our own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refused {
    pub reason: Reason,
    pub detail: String,
}

impl Refused {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Refused { reason, detail: detail.into() }
    }
}

/// What the caller of [`frames`] does with a frame: `Continue` for taken, `Break(why)` for not taken, and no more either.
pub type Taken = ControlFlow<&'static str>;

/// Hands each frame to `each`, from 0 up, and says what no frame covers. `late` says whether the deadline has passed.
///
/// A still is frame 0, pages of a TIFF are frames, and so are all the pictures that a file holds. Errors: nothing was handed over, and why.
/// A failure after the first frame is in what is left out instead.
pub fn frames(
    bytes: &[u8],
    limits: &Limits,
    late: &dyn Fn() -> bool,
    each: &mut dyn FnMut(u32, &Picture) -> Taken,
) -> Result<Vec<LeftOut>, Refused> {
    parts::frames(bytes, limits, late, each)
}

/// What one picture, or one animation, of a file came to.
struct Part {
    /// What is left out of it, or why nothing was handed over.
    outcome: Result<Vec<LeftOut>, Refused>,
    /// Frames that it has, and those of them that were handed over.
    frames: u32,
    taken: u32,
    pixels: u64,
    /// Where it ends, if that can be told.
    end: Option<usize>,
}

fn part(bytes: &[u8], limits: &Limits, late: &dyn Fn() -> bool, each: &mut dyn FnMut(u32, &Picture) -> Taken) -> Part {
    let (format, probe) = match admit(bytes, limits) {
        Ok(admitted) => admitted,
        Err(refused) => {
            return Part { outcome: Err(refused), frames: 0, taken: 0, pixels: 0, end: None };
        }
    };
    let mut tally = Tally::new(limits, &probe, late, each);
    let run = catch_unwind(AssertUnwindSafe(|| formats::decode(format, bytes, limits, late, &mut tally)));
    let failure = match run {
        Ok(Ok(())) => None,
        Ok(Err(refused)) => Some(refused),
        Err(_) => Some(Refused::new(Reason::Crashed, format!("the {} decoder failed", format.name()))),
    };
    let (frames, taken, pixels) = (tally.begun(), tally.taken(), tally.pixels());
    Part { outcome: tally.settle(failure), frames, taken, pixels, end: probe.end }
}

const DAMAGED: &str = "parts whose data are damaged";

/// Looks at what the file declares. A file that is refused here has cost one walk over its bytes and no memory.
pub fn admit(bytes: &[u8], limits: &Limits) -> Result<(Format, Probe), Refused> {
    if bytes.is_empty() {
        return Err(Refused::new(Reason::Empty, "no bytes"));
    }
    if bytes.len() as u64 > limits.image_bytes_max {
        return Err(Refused::new(
            Reason::TooLarge,
            format!("{} bytes, at most {} are read", bytes.len(), limits.image_bytes_max),
        ));
    }
    let format = match sniff(bytes) {
        Kind::Image(format) => format,
        Kind::Video(name) => return Err(Refused::new(Reason::Video, format!("a video container ({name})"))),
        Kind::Known(name) => return Err(Refused::new(Reason::Unsupported, format!("{name} is not read"))),
        Kind::Unknown => return Err(Refused::new(Reason::Unsupported, "no known image format")),
    };
    let name = format.name();
    let probe = probe(format, bytes).ok_or_else(|| {
        Refused::new(Reason::Undecodable, format!("the {name} file ends or is invalid before the picture's size"))
    })?;
    if let Some(why) = probe.unread {
        return Err(Refused::new(Reason::Undecodable, format!("the {name} file is of a kind that is not read: {why}")));
    }
    let (width, height) = (probe.width, probe.height);
    if width == 0 || height == 0 {
        return Err(Refused::new(Reason::Undecodable, format!("the {name} header declares {width}x{height} pixels")));
    }
    let too_many = |what: String| Err(Refused::new(Reason::TooManyPixels, format!("the {name} header declares {what}")));
    if width.max(height) > limits.side_max {
        return too_many(format!("{width}x{height} pixels, at most {} a side are read", limits.side_max));
    }
    if probe.pixels_max > limits.pixels_max {
        return too_many(format!("a frame of {} pixels, at most {} are read", probe.pixels_max, limits.pixels_max));
    }
    // A header with next to nothing behind it is no picture that was cut short: decoding would fill millions of pixels.
    if let Some(data) =
        probe.data_pixels.filter(|data| data.saturating_mul(16) < probe.pixels_max.saturating_sub(UNEARNED_PIXELS))
    {
        let detail = format!("the {name} header declares {} pixels, but the data hold at most {data}", probe.pixels_max);
        return Err(Refused::new(Reason::Undecodable, detail));
    }
    let needed = probe.pixels_max.saturating_mul(peak_bytes_per_pixel(format, &probe)).saturating_add(kept_bytes(bytes, &probe));
    if needed > limits.alloc_bytes_max {
        return too_many(format!(
            "{width}x{height} pixels, which would take {needed} bytes to decode, at most {} are used",
            limits.alloc_bytes_max
        ));
    }
    if format == Format::Jpeg {
        admit_jpeg(&probe, limits)?;
    }
    Ok((format, probe))
}

/// Pixels that cost next to nothing, whatever their data come to.
const UNEARNED_PIXELS: u64 = 1_000_000;

/// Bytes of the file that a decoder copies.
fn kept_bytes(bytes: &[u8], probe: &Probe) -> u64 {
    if probe.jpeg.scans > 0 { bytes.len() as u64 } else { 0 }
}

/// A progressive JPEG of 200 bytes can declare 16 million pixels, and a scan of 20 bytes costs a walk over them all.
fn admit_jpeg(probe: &Probe, limits: &Limits) -> Result<(), Refused> {
    let jpeg = &probe.jpeg;
    // A block takes a bit at the very least. A file with less than a sixteenth of that is no picture that was cut short: it is a
    // header with next to nothing behind it, and decoding would fill millions of pixels with grey.
    if jpeg.coding.is_huffman() && jpeg.coded_bytes.saturating_mul(8 * 16) < jpeg.blocks {
        let detail = format!("the JPEG header declares {} blocks, and {} bytes of data follow", jpeg.blocks, jpeg.coded_bytes);
        return Err(Refused::new(Reason::Undecodable, detail));
    }
    let scan_pixels = probe.pixels_max.saturating_mul(u64::from(jpeg.scans));
    if jpeg.scans > limits.jpeg_scans_max || scan_pixels > limits.jpeg_scan_pixels_max {
        let detail = format!("the JPEG has {} scans over {} pixels", jpeg.scans, probe.pixels_max);
        return Err(Refused::new(Reason::TooManyPixels, detail));
    }
    let arithmetic = arithmetic_scan_pixels(jpeg, jpeg.coded_bytes);
    if scan_pixels.saturating_add(arithmetic) > limits.jpeg_scan_pixels_max {
        let detail = format!(
            "the JPEG is arithmetic-coded, and decoding it may take as long as {arithmetic} pixels of others, at most {} are read",
            limits.jpeg_scan_pixels_max
        );
        return Err(Refused::new(Reason::TooManyPixels, detail));
    }
    Ok(())
}

/// What arithmetic coding takes at the most, in pixels that a scan walks over, at some 4 ns each. A coefficient is a number of decisions and
/// any number of them takes less than a bit: up to 100 ns for a coefficient that comes for the first time, 640 ns for a byte, measured on files
/// made to be slow; a further bit of one is three decisions at the most. Photographs take a quarter of that and less.
pub(crate) fn arithmetic_scan_pixels(jpeg: &Jpeg, coded_bytes: u64) -> u64 {
    if jpeg.coding != Coding::Arithmetic {
        return 0;
    }
    let coefficients = jpeg.first_coefficients.saturating_mul(25).saturating_add(jpeg.refined_coefficients.saturating_mul(3));
    coefficients.min(coded_bytes.saturating_mul(160))
}

/// Bytes a pixel that the decoder and what is made of it hold at their peak: measured as peak resident size on 4 and 17 million
/// pixels, rounded up. Turning a picture upright by a quarter needs it twice.
fn peak_bytes_per_pixel(format: Format, probe: &Probe) -> u64 {
    match (format, probe.motion) {
        // The coefficients, 16 bits each, are kept until the last scan.
        (Format::Jpeg, _) if probe.jpeg.progressive || probe.jpeg.scans > 1 => 4 + 2 * probe.jpeg.samples_per_pixel,
        (Format::Jpeg, _) => 5,
        (Format::Png, Motion::Still) => probe.bytes_per_pixel + 1,
        (Format::Png, _) => 32,
        // The canvas, and a frame that does not fit it.
        (Format::Gif, Motion::Still) => 9,
        (Format::WebP, Motion::Still) => probe.bytes_per_pixel,
        (Format::Gif | Format::WebP, _) => 16,
        (Format::Bmp, _) => 5,
        (Format::Tiff, _) => 10,
        (Format::Heic | Format::Avif, _) => probe.bytes_per_pixel,
        (Format::Jxl, _) => 6 + 2 * probe.bytes_per_pixel,
        (Format::Jpeg2000, _) => 3 + 8 * probe.bytes_per_pixel,
        (Format::Ico | Format::Qoi, _) => 5,
        (Format::Pnm, _) => 2 * probe.bytes_per_pixel.max(1) + 2,
    }
}

#[cfg(test)]
mod tests;
