//! A file to its hashes, as a hostile one would have it.
//!
//! Whatever the bytes are: no panic, memory under the limit that was set, the same answer twice, no more frames than were allowed. What is
//! refused by its header is refused in decoding; what libjpeg complains of is never taken for whole.

use std::time::{Duration, Instant};

use hashwarden::decode::sniff::{Format, Kind, sniff};
use hashwarden::decode::{self, Limits};
use hashwarden::demo::edits::{Edit, broken};
use hashwarden::demo::pictures::draw;
use hashwarden::entry::Reason;
use hashwarden::extract::{Extractor, InProcess, Wants};

use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat};

use super::memory;

const MIB: u64 = 1024 * 1024;

/// Small, so that an input is quick, and so that a limit that does not hold shows.
fn limits() -> Limits {
    Limits {
        image_bytes_max: MIB,
        pixels_max: 2_000_000,
        side_max: 8_192,
        frames_max: 16,
        frame_pixels_max: 4_000_000,
        alloc_bytes_max: 32 * MIB,
        jpeg_scan_pixels_max: 16_000_000,
        ..Limits::default()
    }
}

/// What the limit on memory does not count: the file's own hashes and words, and the planes that are hashed.
const BESIDE: u64 = 24 * MIB;

pub fn check(bytes: &[u8]) {
    let limits = limits();
    let admitted = decode::admit(bytes, &limits);
    let extract = || {
        let until = Instant::now() + Duration::from_secs(3600);
        InProcess::new(limits.clone(), Instant::now).extract(bytes, &Wants::ALL, until)
    };
    let seen = memory::within((limits.alloc_bytes_max + BESIDE) as usize, extract);
    match &seen {
        Ok(features) => {
            // Another picture in the file may be.
            assert!(admitted.is_ok() || !features.left_out.is_empty(), "decoded what its header does not admit: {admitted:?}");
            let frames: std::collections::BTreeSet<u32> = features.seen.iter().map(|o| o.frame).collect();
            assert!(frames.len() as u32 <= limits.frames_max, "more frames than the limit: {frames:?}");
            assert!(!features.seen.is_empty() || !features.left_out.is_empty(), "nothing was seen and nothing left out");
            if features.left_out.is_empty() && sniff(bytes) == Kind::Image(Format::Jpeg) {
                assert_eq!(complaint(bytes), None, "damage passes as a whole picture");
            }
        }
        Err(unscanned) => assert_ne!(unscanned.reason, Reason::Timeout, "{}", unscanned.detail),
    }
    assert_eq!(extract(), seen, "another answer for the same bytes");
}

/// What libjpeg-turbo says of a JPEG's bytes as they are; `None` where it has no complaint, or only one of a header that is odd and no damage.
fn complaint(bytes: &[u8]) -> Option<String> {
    let mut decompressor = Decompressor::new().ok()?;
    let header = decompressor.read_header(bytes).ok()?;
    let format = match header.colorspace {
        Colorspace::CMYK | Colorspace::YCCK => PixelFormat::CMYK,
        _ => PixelFormat::GRAY,
    };
    let pitch = header.width * format.size();
    let pixels = &mut vec![0; pitch * header.height][..];
    let image = Image { pixels, width: header.width, pitch, height: header.height, format };
    let words = decompressor.decompress(bytes, image).err()?.to_string();
    let odd = ["JFIF revision", "Adobe color transform", "ICC profile"].iter().any(|of_header| words.contains(of_header));
    (!odd).then_some(words)
}

/// Drawn pictures in every format, and files that are none.
pub fn seeds() -> Vec<Vec<u8>> {
    let drawn = Edit::ALL.into_iter().filter_map(|edit| edit.apply(&draw(1, 64, 48)).ok());
    let broken = broken().into_iter().flatten().map(|file| file.bytes);
    drawn.chain(broken).filter(|bytes| bytes.len() < 64 * 1024).collect()
}
