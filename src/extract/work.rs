//! How much work does a file declare?
//!
//! Told from its structure, before anything is decoded, so that a queue can be kept by work and not by count. The unit is the work of one
//! pixel that is decoded once and hashed, a few nanoseconds. It is a claim of the file's: a header that lies makes its own file late.

use crate::decode::Limits;
use crate::decode::outline::{Motion, outline};
use crate::decode::sniff::{Format, Kind, sniff};

/// Of a JPEG so much is looked at, as looking for its markers takes a walk over all bytes. Its header lies within, and a part of its scans.
const JPEG_BYTES: usize = 128 * 1024;
/// Bytes whose digests take as long as a pixel.
const BYTES_PER_PIXEL: u64 = 2;
/// What a file takes however small it is.
const LEAST: u64 = 20_000;
/// A scan of a progressive JPEG walks over all coefficients: a third of the work of a pixel.
const SCANS_PER_PIXEL: u64 = 3;

pub fn work(bytes: &[u8], limits: &Limits) -> u64 {
    let digests = bytes.len() as u64 / BYTES_PER_PIXEL;
    LEAST + digests + pixels(bytes, limits).min(limits.frame_pixels_max.max(limits.pixels_max))
}

fn pixels(bytes: &[u8], limits: &Limits) -> u64 {
    let Kind::Image(format) = sniff(bytes) else { return 0 };
    let seen = if format == Format::Jpeg { &bytes[..bytes.len().min(JPEG_BYTES)] } else { bytes };
    let Some(outline) = outline(format, seen) else { return 0 };
    let largest = outline.pixels_max;
    if largest > limits.pixels_max || outline.width.max(outline.height) > limits.side_max {
        return 0; // refused by its header
    }
    if format == Format::Jpeg {
        let share = (bytes.len() as u64).div_ceil(seen.len().max(1) as u64);
        let scans = u64::from(outline.jpeg.scans).saturating_mul(share).min(u64::from(limits.jpeg_scans_max));
        let walks = if outline.jpeg.progressive { largest.saturating_mul(scans) / SCANS_PER_PIXEL } else { 0 };
        return largest.saturating_add(walks);
    }
    match outline.motion {
        Motion::Still => largest.saturating_mul(u64::from(outline.frames.min(limits.frames_max))),
        _ => {
            let canvas = u64::from(outline.width) * u64::from(outline.height);
            largest.max(canvas).saturating_mul(u64::from(outline.frames.min(limits.frames_max)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Channels, Picture, drawn};
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    fn png(side: u32) -> Vec<u8> {
        let picture = Picture::new(side, side, Channels::Grey, vec![7; (side * side) as usize]).unwrap();
        let mut out = Vec::new();
        PngEncoder::new(&mut out).write_image(picture.samples(), side, side, ExtendedColorType::L8).unwrap();
        out
    }

    #[test]
    fn work_goes_by_what_the_header_declares() {
        let limits = Limits::default();
        let of = |side: u32| work(&png(side), &limits);
        assert!((1_000_000..1_100_000).contains(&of(1000)), "{}", of(1000));
        assert!(of(2000) > 3 * of(1000));
        let small = drawn::clouds(16, 16, 1, 0);
        assert!(small.width() == 16 && of(16) < 2 * LEAST);
        // What is refused by its header is no work, nor is what is no picture.
        let strict = Limits { pixels_max: 1000, ..Limits::default() };
        assert!(work(&png(1000), &strict) < 2 * LEAST);
        assert_eq!(work(b"text", &limits), LEAST + 2);
        assert_eq!(work(b"", &limits), LEAST);
    }
}
