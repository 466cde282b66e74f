//! Which frames are in this file, as upright pixels, and what of it could not be seen?
//!
//! The door is [`frames`]: it admits a file by what it declares, before a decoder allocates for it, and then hands over one
//! frame at a time, so that memory holds one. Formats are told by content ([`sniff`]), structure is read by [`outline`], pixels
//! come from the `image` crate. EXIF and TIFF orientation is applied; CMYK, palettes and 16 bits end as 8-bit grey or RGB;
//! alpha stays and [`Picture`] says how it is looked at.
//!
//! Invariants: a picture of which only a part could be had is never passed off as whole; no panic of a decoder gets out;
//! no text here contains a byte of the picture or a word of a decoder about it. Absent: a hard bound on a single decoder call's
//! time, which only a process of its own can hold.

#[cfg(test)]
pub(crate) mod drawn;
mod image_crate;
pub mod outline;
mod picture;
pub mod sniff;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use picture::{Channels, Look, LumaPlane, Picture};

use crate::entry::{LeftOut, Reason};
use outline::{Motion, Outline, PAGES_MAX, outline};
use sniff::{Format, Kind, sniff};

/// What is admitted. Each limit is checked before the thing it limits is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file. 32 MiB: the largest pictures that common platforms take in have 20 to 25 MiB.
    pub image_bytes_max: u64,
    /// Pixels of one frame. 100 million: beyond every camera but scans, stitched panoramas and bombs, 300 MB as RGB.
    pub pixels_max: u64,
    /// Pixels along one axis. 65,535: what JPEG and GIF can say; narrower strips are harmless under `pixels_max`.
    pub side_max: u32,
    /// Frames of an animation, pages of a TIFF. 256: some 10 to 20 seconds of a GIF.
    pub frames_max: u32,
    /// Pixels of all frames of one file together. 100 million, so that an animation costs no more than the largest still: 48
    /// frames of 1920x1080, 256 of 720x540.
    pub frame_pixels_max: u64,
    /// Bytes that decoding a file may need at its peak, estimated from its header. 512 MiB: 100 million pixels of a baseline
    /// JPEG fit. The service needs this much per picture in work.
    pub alloc_bytes_max: u64,
    /// Scans of a JPEG. 64: encoders write 1 to about 12, and each scan costs a walk over the whole picture.
    pub jpeg_scans_max: u32,
    /// Scans times pixels of a JPEG. 1,000 million, some 4 seconds.
    pub jpeg_scan_pixels_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            image_bytes_max: 32 << 20,
            pixels_max: 100_000_000,
            side_max: 65_535,
            frames_max: 256,
            frame_pixels_max: 100_000_000,
            alloc_bytes_max: 512 << 20,
            jpeg_scans_max: 64,
            jpeg_scan_pixels_max: 1_000_000_000,
        }
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

/// Hands each frame to `each`, from 0 up, and says what no frame covers.
///
/// A still is frame 0, pages of a TIFF are frames. Errors: nothing was handed over, and why.
/// A failure after the first frame is in what is left out instead.
pub fn frames(bytes: &[u8], limits: &Limits, each: &mut dyn FnMut(u32, &Picture) -> Taken) -> Result<Vec<LeftOut>, Refused> {
    let (format, outline) = admit(bytes, limits)?;
    let mut tally = Tally::new(limits, &outline, each);
    let run = catch_unwind(AssertUnwindSafe(|| image_crate::decode(format, bytes, &outline, limits, &mut tally)));
    let failure = match run {
        Ok(Ok(())) => None,
        Ok(Err(refused)) => Some(refused),
        Err(_) => Some(Refused::new(Reason::Crashed, format!("the {} decoder failed", format.name()))),
    };
    tally.settle(failure)
}

/// Looks at what the file declares. A file that is refused here has cost one walk over its bytes and no memory.
pub fn admit(bytes: &[u8], limits: &Limits) -> Result<(Format, Outline), Refused> {
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
    let outline = outline(format, bytes).ok_or_else(|| {
        Refused::new(Reason::Undecodable, format!("the {name} file ends, or makes no sense, before the picture's size"))
    })?;
    let (width, height) = (outline.width, outline.height);
    if width == 0 || height == 0 {
        return Err(Refused::new(Reason::Undecodable, format!("the {name} header declares {width}x{height} pixels")));
    }
    let too_many = |what: String| Err(Refused::new(Reason::TooManyPixels, format!("the {name} header declares {what}")));
    if width.max(height) > limits.side_max {
        return too_many(format!("{width}x{height} pixels, at most {} a side are read", limits.side_max));
    }
    if outline.pixels_max > limits.pixels_max {
        return too_many(format!("a frame of {} pixels, at most {} are read", outline.pixels_max, limits.pixels_max));
    }
    let needed = outline.pixels_max.saturating_mul(peak_bytes_per_pixel(format, &outline));
    if needed > limits.alloc_bytes_max {
        return too_many(format!(
            "{width}x{height} pixels, which would take {needed} bytes to decode, at most {} are used",
            limits.alloc_bytes_max
        ));
    }
    if format == Format::Jpeg {
        admit_jpeg(&outline, limits)?;
    }
    Ok((format, outline))
}

/// A progressive JPEG of 200 bytes can declare 16 million pixels, and a scan of 20 bytes costs a walk over them all.
fn admit_jpeg(outline: &Outline, limits: &Limits) -> Result<(), Refused> {
    let jpeg = &outline.jpeg;
    // A block takes a bit at the very least. A file with less than a sixteenth of that is no picture that was cut short: it is a
    // header with next to nothing behind it, and decoding would fill millions of pixels with grey.
    if jpeg.coded_bytes.saturating_mul(8 * 16) < jpeg.blocks {
        let detail = format!("the JPEG header declares {} blocks, and {} bytes of data follow", jpeg.blocks, jpeg.coded_bytes);
        return Err(Refused::new(Reason::Undecodable, detail));
    }
    let scan_pixels = outline.pixels_max.saturating_mul(u64::from(jpeg.scans));
    if jpeg.scans > limits.jpeg_scans_max || scan_pixels > limits.jpeg_scan_pixels_max {
        let detail = format!("the JPEG has {} scans over {} pixels", jpeg.scans, outline.pixels_max);
        return Err(Refused::new(Reason::TooManyPixels, detail));
    }
    Ok(())
}

/// Bytes a pixel that the decoder and what is made of it hold at their peak: measured as peak resident size on 4 and 17 million
/// pixels, rounded up. Turning a picture upright by a quarter needs it twice.
fn peak_bytes_per_pixel(format: Format, outline: &Outline) -> u64 {
    match (format, outline.motion) {
        // The coefficients, 16 bits each, are kept until the last scan.
        (Format::Jpeg, _) if outline.jpeg.progressive || outline.jpeg.scans > 1 => 4 + 2 * outline.jpeg.samples_per_pixel,
        (Format::Jpeg, _) => 5,
        (Format::Png, Motion::Still) => 5,
        (Format::Png, _) => 32,
        (Format::Gif, Motion::Still) => 5,
        (Format::WebP, Motion::Still) => 8,
        (Format::Gif | Format::WebP, _) => 16,
        (Format::Bmp, _) => 5,
        (Format::Tiff, _) => 10,
    }
}

/// Counts frames on their way to the caller, holds them against the limits, and puts what was missed into words.
struct Tally<'a> {
    limits: &'a Limits,
    outline: &'a Outline,
    each: &'a mut dyn FnMut(u32, &Picture) -> Taken,
    taken: u32,
    pixels: u64,
    stopped: Option<String>,
    left_out: Vec<LeftOut>,
}

impl<'a> Tally<'a> {
    fn new(limits: &'a Limits, outline: &'a Outline, each: &'a mut dyn FnMut(u32, &Picture) -> Taken) -> Self {
        Tally { limits, outline, each, taken: 0, pixels: 0, stopped: None, left_out: Vec::new() }
    }

    /// Whether another frame may be decoded. Asked before the work is done.
    fn wants_more(&mut self) -> bool {
        if self.stopped.is_none() && self.taken > 0 {
            let pixels = u64::from(self.outline.width) * u64::from(self.outline.height);
            if self.taken >= self.limits.frames_max {
                self.stopped = Some(format!("at most {} are read", self.limits.frames_max));
            } else if self.pixels + pixels > self.limits.frame_pixels_max {
                self.stopped = Some(format!("at most {} pixels in all are read", self.limits.frame_pixels_max));
            }
        }
        self.stopped.is_none()
    }

    fn take(&mut self, picture: &Picture) {
        if !self.wants_more() {
            return;
        }
        match (self.each)(self.taken, picture) {
            ControlFlow::Continue(()) => {
                self.taken += 1;
                self.pixels += u64::from(picture.width()) * u64::from(picture.height());
            }
            ControlFlow::Break(why) => self.stopped = Some(why.to_owned()),
        }
    }

    fn leave_out(&mut self, what: &str) {
        if self.left_out.iter().all(|l| l.0 != what) {
            self.left_out.push(LeftOut(what.to_owned()));
        }
    }

    /// What is left out, or why nothing was taken.
    fn settle(mut self, failure: Option<Refused>) -> Result<Vec<LeftOut>, Refused> {
        let expected = self.outline.frames;
        if self.outline.ends_early && (self.taken > 0 || self.stopped.is_some()) {
            self.leave_out(ENDS_EARLY);
        }
        if self.outline.beyond_screen && self.taken > 0 {
            self.leave_out("pixels beyond the GIF's screen");
        }
        match (self.stopped.take(), failure) {
            (Some(why), _) if self.taken < expected || self.outline.pages.len() == PAGES_MAX => {
                let what = format!("{}: {why}", range(self.taken, expected));
                self.leave_out(&what);
            }
            (_, Some(refused)) if self.taken == 0 => return Err(refused),
            (_, Some(refused)) => {
                let what = format!("{}: {}", range(self.taken, expected), refused.detail);
                self.leave_out(&what);
            }
            (Some(_), None) => {}
            (None, None) if self.taken == 0 => return Err(Refused::new(Reason::Undecodable, "the file holds no picture")),
            (None, None) if self.taken < expected && !self.outline.ends_early => {
                let what = format!("{}: the decoder found no more", range(self.taken, expected));
                self.leave_out(&what);
            }
            (None, None) => {}
        }
        Ok(self.left_out)
    }
}

const ENDS_EARLY: &str = "the file ends early";

/// "frame 3", "frames 3 to 9", or "frames from 3 on" where the file does not say how many there are.
fn range(from: u32, frames: u32) -> String {
    match frames.saturating_sub(from) {
        0 => format!("frames from {from} on"),
        1 => format!("frame {from}"),
        _ => format!("frames {from} to {}", frames - 1),
    }
}

#[cfg(test)]
mod tests;
