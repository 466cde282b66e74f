//! Which pictures does a file hold beside its first?
//!
//! What follows a picture's end is looked at: phones and cameras put a second picture there (MPO, gain maps) or a video, and so does who
//! wants to hide one. An ICO's pictures are taken one by one. All of a file's pictures share its limits, and their frames are numbered through.

use std::ops::ControlFlow;

use super::probe::{ico_pictures, probe};
use super::sniff::{Format, Kind, sniff};
use super::{Limits, Part, Picture, Refused, Taken, part};
use crate::entry::{LeftOut, Reason};

/// Places that look like a picture's beginning and are none, in what follows a picture.
const MISTAKES_MAX: u32 = 16;

const VIDEO: &str = "a video behind the picture";

/// The work on a file.
struct Pictures<'a> {
    limits: &'a Limits,
    late: &'a dyn Fn() -> bool,
    each: &'a mut dyn FnMut(u32, &Picture) -> Taken,
    /// Frames so far, and those of them that were looked at.
    frames: u32,
    taken: u32,
    pixels: u64,
    /// Pictures that were seen, or should have been.
    pictures: u32,
    seen: bool,
    stopped: bool,
    refused: Option<Refused>,
    left_out: Vec<LeftOut>,
}

pub(super) fn frames(
    bytes: &[u8],
    limits: &Limits,
    late: &dyn Fn() -> bool,
    each: &mut dyn FnMut(u32, &Picture) -> Taken,
) -> Result<Vec<LeftOut>, Refused> {
    let (refused, left_out) = (None, Vec::new());
    let mut file = Pictures {
        limits,
        late,
        each,
        frames: 0,
        taken: 0,
        pixels: 0,
        pictures: 0,
        seen: false,
        stopped: false,
        refused,
        left_out,
    };
    let end = file.take(bytes, true);
    file.behind(bytes, end);
    match (file.seen, file.refused) {
        (false, Some(refused)) => Err(refused),
        _ => Ok(file.left_out),
    }
}

impl Pictures<'_> {
    /// One picture, or an ICO's, and where it ends. Unless it is sure to be one, nothing is said of what can't be read.
    fn take(&mut self, bytes: &[u8], sure: bool) -> Option<usize> {
        if sniff(bytes) == Kind::Image(Format::Ico) && bytes.len() as u64 <= self.limits.image_bytes_max {
            self.icons(bytes);
            return None;
        }
        self.one(bytes, sure)
    }

    fn one(&mut self, bytes: &[u8], sure: bool) -> Option<usize> {
        let limits = Limits {
            frames_max: self.limits.frames_max.saturating_sub(self.taken).max(1),
            frame_pixels_max: self.limits.frame_pixels_max.saturating_sub(self.pixels),
            ..self.limits.clone()
        };
        let (first, frames) = (self.frames, &mut *self.each);
        let mut stopped = false;
        let mut each = |frame: u32, picture: &Picture| {
            let taken = frames(first + frame, picture);
            stopped |= matches!(taken, ControlFlow::Break(_));
            taken
        };
        let Part { outcome, frames, taken, pixels, end } = part(bytes, &limits, self.late, &mut each);
        self.stopped |= stopped;
        self.frames = self.frames.saturating_add(frames);
        self.taken = self.taken.saturating_add(taken);
        self.pixels = self.pixels.saturating_add(pixels);
        if outcome.is_err() && !sure && !has_header(bytes) {
            return None;
        }
        self.pictures += 1;
        match outcome {
            Ok(left_out) => {
                self.seen = true;
                left_out.into_iter().for_each(|LeftOut(what)| self.leave_out(self.pictures, what));
            }
            Err(refused) => {
                if self.pictures > 1 || self.seen {
                    self.leave_out(self.pictures, refused.detail.clone());
                }
                self.refused.get_or_insert(refused);
            }
        }
        end
    }

    fn leave_out(&mut self, picture: u32, what: String) {
        let what = if picture == 1 { what } else { format!("picture {picture} of the file: {what}") };
        if self.left_out.len() < 64 && self.left_out.iter().all(|known| known.0 != what) {
            self.left_out.push(LeftOut(what));
        }
    }

    /// Whether there is room for another picture.
    fn goes_on(&mut self) -> bool {
        let (frames_max, pixels_max) = (self.limits.frames_max, self.limits.frame_pixels_max.max(self.limits.pixels_max));
        let why = match () {
            () if self.stopped || (self.late)() => "the deadline passed".to_owned(),
            () if self.taken.max(self.pictures) >= frames_max => format!("at most {frames_max} frames are read"),
            () if self.pixels >= pixels_max => format!("at most {pixels_max} pixels in all are read"),
            () => return true,
        };
        self.left_out.push(LeftOut(format!("further pictures of the file: {why}")));
        false
    }

    /// What follows the picture that ends at `end`.
    fn behind(&mut self, bytes: &[u8], mut end: Option<usize>) {
        let (mut mistakes, mut video) = (0, false);
        while let Some((at, found)) = end.and_then(|end| next(bytes, end)) {
            match found {
                Found::Video => {
                    video = true;
                    end = Some(at + 8);
                }
                Found::Picture { sure } => {
                    if !self.goes_on() {
                        break;
                    }
                    let of_it = self.take(&bytes[at..], sure);
                    if of_it.is_none() {
                        mistakes += 1;
                        if mistakes > MISTAKES_MAX {
                            self.leave_out(1, "what follows the picture: too much of it looks like pictures".to_owned());
                            break;
                        }
                    }
                    end = Some(at + of_it.unwrap_or(2).max(2));
                }
            }
        }
        if video && self.seen {
            self.leave_out(1, VIDEO.to_owned());
        }
    }

    /// Each picture of an ICO by itself.
    fn icons(&mut self, bytes: &[u8]) {
        let mut listed = 0;
        if !matches!(bytes.get(4..6), Some([_, 0] | [0, 1])) {
            self.leave_out(1, "pictures of the ICO beyond the first 256".to_owned());
        }
        for data in ico_pictures(bytes) {
            if listed > 0 && !self.goes_on() {
                return;
            }
            listed += 1;
            if sniff(data) == Kind::Image(Format::Png) {
                self.one(data, true);
            } else {
                self.one(&as_bmp(data), true);
            }
        }
        if listed == 0 {
            self.refused = Some(Refused::new(Reason::Undecodable, "the ICO names no picture"));
        }
    }
}

/// A bitmap of an ICO as a BMP: a file header is put before it, and its height, which counts the rows of its mask too, is halved. The mask goes
/// unread: it says what is transparent.
fn as_bmp(data: &[u8]) -> Vec<u8> {
    let number = |at: usize| data.get(at..at + 4).and_then(|n| n.first_chunk()).map_or(0, |n| u32::from_le_bytes(*n));
    let (size, height, bits, compression, colours) = (number(0), number(8) as i32 / 2, number(12) >> 16, number(16), number(32));
    let colours = if colours == 0 && bits <= 8 { 1 << bits } else { colours.min(256) };
    let masks = if compression == 3 && size == 40 { 12 } else { 0 };
    let pixels = 14u32.saturating_add(size).saturating_add(masks + colours * 4);
    let total = u32::try_from(data.len()).unwrap_or(u32::MAX).saturating_add(14);
    let mut out = [b"BM", &total.to_le_bytes()[..], &[0; 4], &pixels.to_le_bytes(), data].concat();
    if let Some(field) = out.get_mut(22..26) {
        field.copy_from_slice(&height.to_le_bytes());
    }
    out
}

/// Whether what looks like a picture says how large it is.
fn has_header(bytes: &[u8]) -> bool {
    matches!(sniff(bytes), Kind::Image(format) if probe(format, bytes).is_some())
}

enum Found {
    /// Where a picture must be, or where one may be.
    Picture {
        sure: bool,
    },
    Video,
}

/// The next picture or video behind `end`. One that follows at once, or after zeros and white space, is one for sure; else signatures are
/// looked for that chance does not write.
fn next(bytes: &[u8], end: usize) -> Option<(usize, Found)> {
    let rest = bytes.get(end..)?;
    let at = end + rest.iter().position(|byte| *byte != 0 && !byte.is_ascii_whitespace())?;
    // The first bytes of boxes and icons are zeros.
    for start in at.saturating_sub(3).max(end)..=at {
        match sniff(&bytes[start..]) {
            // The signatures of PNM and BMP are too short to be sure of.
            Kind::Image(format) => {
                let sure = start == end || !matches!(format, Format::Pnm | Format::Bmp);
                return Some((start, Found::Picture { sure }));
            }
            Kind::Video(_) => return Some((start, Found::Video)),
            Kind::Known(_) | Kind::Unknown => {}
        }
    }
    let strong = |rest: &[u8]| {
        matches!(
            rest,
            [0xff, 0xd8, 0xff, 0xc0..=0xfe, ..]
                | [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..]
                | [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..]
                | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..]
                | [0, 0, 0, _, b'f', b't', b'y', b'p', ..]
                | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..]
                | [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..]
                | [0xff, 0x4f, 0xff, 0x51, 0, ..]
        )
    };
    (at..bytes.len()).filter(|at| strong(&bytes[*at..])).find_map(|at| match sniff(&bytes[at..]) {
        Kind::Image(_) => Some((at, Found::Picture { sure: false })),
        Kind::Video(_) => Some((at, Found::Video)),
        Kind::Known(_) | Kind::Unknown => None,
    })
}
