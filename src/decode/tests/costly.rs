//! Small files that would cost much: time before a decoder is asked, or memory and time in it.

use super::damaged::{chunk, directory, grey_page};
use super::*;
use crate::decode::probe::skim;

/// 300 kB of a TIFF took seconds on a thread that answers calls, 5 MB stopped the process: thousands of entries that all name the same
/// 65,536 directories.
#[test]
fn lists_of_pages_that_lie_over_one_another_end() {
    let (parts, entries) = (4096u32, 200);
    let list = 8 + 64;
    let mut page = grey_page(8, 8);
    page.extend(vec![(330, list); entries]);
    let mut bytes = [b"II*\0".as_slice(), &(list + 4 * parts).to_le_bytes(), &[10; 64]].concat();
    let start = bytes.len() + 4 * parts as usize;
    bytes.extend((0..parts).flat_map(|_| (start as u32).to_le_bytes()));
    bytes.extend(directory(&page, 0));
    for entry in 0..entries {
        let count = start + 2 + (8 + entry) * 12 + 4;
        bytes[count..count + 4].copy_from_slice(&parts.to_le_bytes());
    }
    left_out(&bytes, &Limits::default(), 1, &["pages of the TIFF that were not looked for"]);
    assert!(skim(Format::Tiff, &bytes).is_some_and(|probe| probe.frames == 1));
}

/// What is told while a call is answered must not wait for a walk over all codes, blocks or runs.
#[test]
fn skimming_looks_at_no_coded_data_and_scales_what_it_saw() {
    let frame = {
        let mut frame = vec![0x2c];
        [0u16, 0, 8, 8].iter().for_each(|n| frame.extend(n.to_le_bytes()));
        frame.extend([0, 7]);
        (0..70).for_each(|_| frame.extend([1, 7]));
        [frame, vec![0]].concat()
    };
    let frames = 2000;
    let bytes = [b"GIF89a\x08\0\x08\0\0\0\0".to_vec(), frame.repeat(frames), vec![0x3b]].concat();
    let (all, some) = (probe(Format::Gif, &bytes).unwrap(), skim(Format::Gif, &bytes).unwrap());
    assert_eq!((all.frames, all.data_pixels.is_some_and(|pixels| pixels > 0)), (frames as u32, true));
    assert_eq!(some.data_pixels, Some(0));
    assert!((1000..=3000).contains(&some.frames), "{}", some.frames);
    // A still is one, however long it is.
    let still = encode(Format::Gif, &clouds(300, 200, 3, 0));
    assert_eq!(skim(Format::Gif, &still).map(|probe| probe.frames), Some(1));
    for format in FORMATS {
        let bytes = encode(format, &clouds(60, 40, 5, 0));
        assert_eq!(skim(format, &bytes).map(|o| (o.width, o.height, o.frames)), Some((60, 40, 1)), "{}", format.name());
    }
}

/// Writes numbers lowest bit first, and codes as they are read.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn number(&mut self, value: u32, count: u32) -> &mut Self {
        self.0.extend((0..count).map(|bit| value >> bit & 1 == 1));
        self
    }

    fn code(&mut self, bits: &str) -> &mut Self {
        self.0.extend(bits.bytes().map(|bit| bit == b'1'));
        self
    }

    /// A prefix code of one symbol.
    fn only(&mut self, symbol: u32) -> &mut Self {
        self.number(1, 1).number(0, 1).number(1, 1).number(symbol, 8)
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        self.0.chunks(8).map(byte).collect()
    }
}

/// Coded data of 8x8 pixels with so many groups of prefix codes, for each of which the decoder makes tables of 20 kB.
fn groups(groups: u32, header: bool) -> Vec<u8> {
    let mut bits = Bits::default();
    if header {
        bits.number(0x2f, 8).number(7, 14).number(7, 14).number(0, 4);
    }
    // No transforms, no cache of colours, a picture of groups of 2x2 pixels that name the last one.
    bits.number(0, 1).number(0, 1).number(1, 1).number(0, 3).number(0, 1);
    bits.only((groups - 1) & 255).only((groups - 1) >> 8).only(0).only(0).only(0);
    for _ in 0..groups {
        for _ in 0..5 {
            // Lengths of codes: 1 to 10, once each but for the last, by a code of three and four bits.
            bits.number(0, 1).number(15 - 4, 4);
            [0, 0, 0, 3, 3, 3, 3, 3, 0, 3, 4, 4, 4, 4, 0].iter().for_each(|length| {
                bits.number(*length, 3);
            });
            bits.number(1, 1).number(1, 3).number(11 - 2, 4);
            ["000", "001", "010", "011", "100", "101", "1100", "1101", "1110", "1111", "1111"].iter().for_each(|code| {
                bits.code(code);
            });
        }
    }
    // Each pixel the first symbol of four codes.
    bits.number(0, 4 * 64);
    bits.bytes()
}

fn webp_of(chunks: &[u8]) -> Vec<u8> {
    [b"RIFF".as_slice(), &(chunks.len() as u32 + 4).to_le_bytes(), b"WEBP", chunks].concat()
}

/// 12 MB of a WebP took 5.4 GB and 18 seconds.
#[test]
fn prefix_codes_that_take_more_memory_than_there_is_are_refused() {
    let few = Limits { alloc_bytes_max: 4 << 20, ..Limits::default() };
    let lossless = |count| webp_of(&chunk(b"VP8L", &groups(count, true)));
    assert_eq!(seen(&lossless(10)).map(|(pictures, _)| pictures.len()), Ok(1));
    assert!(seen_within(&lossless(10), &few).is_ok());
    refused(&lossless(1000), &few, Reason::TooManyPixels);
    // The same as a frame of an animation, and in the alpha of a lossy picture.
    let place = [0, 0, 0, 0, 0, 0, 7, 0, 0, 7, 0, 0, 100, 0, 0, 0];
    let frame = [&place[..], &chunk(b"VP8L", &groups(1000, true))].concat();
    let moving = [chunk(b"VP8X", &[2, 0, 0, 0, 7, 0, 0, 7, 0, 0]), chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)].concat();
    refused(&webp_of(&moving), &few, Reason::TooManyPixels);
    let alpha = [&[1][..], &groups(1000, false)].concat();
    let lossy = [chunk(b"VP8X", &[16, 0, 0, 0, 7, 0, 0, 7, 0, 0]), chunk(b"ALPH", &alpha), chunk(b"VP8 ", &[0; 30])].concat();
    refused(&webp_of(&lossy), &few, Reason::TooManyPixels);
}

/// The codes of what encoders write are walked over as the decoder does it: to their end, and to next to nothing.
#[test]
fn the_prefix_codes_of_ordinary_pictures_are_read_to_their_end() {
    for (width, height) in [(1, 1), (16, 16), (40, 30), (200, 150)] {
        let bytes = encode(Format::WebP, &clouds(width, height, 17, 0));
        let codes = crate::decode::vp8l::code_bytes(&bytes[20..], crate::decode::vp8l::Header::Present, u64::MAX);
        assert!((800..40_000).contains(&codes), "{codes} bytes for {width}x{height}");
    }
}

/// A JPEG with a frame header of this marker, one scan of three components, and so many bytes of data.
fn jpeg_header(marker: u8, side: u16, data: usize) -> Vec<u8> {
    let side = side.to_be_bytes();
    let frame = [&[0xff, marker, 0, 17, 8][..], &side, &side, &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]].concat();
    let scan = [0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0];
    [&b"\xff\xd8"[..], &frame, &scan, &vec![7; data], b"\xff\xd9"].concat()
}

/// An arithmetic-coded JPEG of 100 megapixels held a thread for 20 seconds past its deadline: it counted as any other.
#[test]
fn an_arithmetic_coded_jpeg_counts_as_what_it_costs() {
    let all = Limits::default();
    let admitted =
        |marker, side, data| admit(&jpeg_header(marker, side, data), &all).map(|_| ()).map_err(|refused| refused.detail);
    for (marker, side, data) in [(0xc0, 8000, 8 << 20), (0xc9, 3000, 8 << 20), (0xc9, 8000, 1 << 20)] {
        assert_eq!(admitted(marker, side, data), Ok(()), "{marker:x} {side} {data}");
    }
    let refused = admitted(0xc9, 8000, 8 << 20).unwrap_err();
    assert!(refused.contains("arithmetic-coded"), "{refused}");
}
