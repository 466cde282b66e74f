//! How much work does a file declare?
//!
//! Told from its structure, before anything is decoded, so that a queue can be kept by work and not by count. The unit is the work of one
//! pixel that is decoded once and hashed, a few nanoseconds. It is a claim of the file's: a header that lies makes its own file late.
//! Telling takes a millisecond at the most, whatever the file is, as it is done where calls are answered.

use crate::decode::probe::{Jpeg, Motion, skim};
use crate::decode::sniff::{Format, Kind, sniff};
use crate::decode::{Limits, arithmetic_scan_pixels};

/// Bytes whose digests take as long as a pixel.
const BYTES_PER_PIXEL: u64 = 2;
/// What a file takes however small it is.
const LEAST: u64 = 20_000;
/// A scan of a progressive JPEG walks over all coefficients: a third of the work of a pixel.
const SCANS_PER_PIXEL: u64 = 3;

pub fn work(bytes: &[u8], limits: &Limits) -> u64 {
    let digests = bytes.len() as u64 / BYTES_PER_PIXEL;
    LEAST + digests + pixels(bytes, limits)
}

fn pixels(bytes: &[u8], limits: &Limits) -> u64 {
    let Kind::Image(format) = sniff(bytes) else { return 0 };
    let Some(probe) = skim(format, bytes) else { return 0 };
    let (largest, most) = (probe.pixels_max, limits.frame_pixels_max.max(limits.pixels_max));
    if largest > limits.pixels_max || probe.width.max(probe.height) > limits.side_max {
        return 0; // refused by its header
    }
    if format == Format::Jpeg {
        let scans = probe.jpeg.scans.min(limits.jpeg_scans_max);
        let walks = if probe.jpeg.progressive { largest.saturating_mul(scans.into()) / SCANS_PER_PIXEL } else { 0 };
        // Most scans may lie beyond what was looked at: together they bring each coefficient once.
        let jpeg = Jpeg { first_coefficients: probe.jpeg.blocks * 64, ..probe.jpeg };
        let arithmetic = arithmetic_scan_pixels(&jpeg, bytes.len() as u64).min(limits.jpeg_scan_pixels_max);
        return largest.saturating_add(walks).min(most).saturating_add(arithmetic);
    }
    let pixels = match probe.motion {
        Motion::Still => largest.saturating_mul(u64::from(probe.frames.min(limits.frames_max))),
        _ => {
            let canvas = u64::from(probe.width) * u64::from(probe.height);
            largest.max(canvas).saturating_mul(u64::from(probe.frames.min(limits.frames_max)))
        }
    };
    pixels.min(most).saturating_mul(costs(format))
}

/// How much longer than the pixels of other formats these take, in decoding and hashing together.
fn costs(format: Format) -> u64 {
    match format {
        Format::Heic | Format::Avif => 5,
        Format::Jxl => 3,
        Format::Jpeg2000 => 8,
        _ => 1,
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
