//! What each kind of good, odd and hostile file comes to. All files are made here.

use std::io::Cursor;
use std::ops::ControlFlow;

use image::codecs::{bmp::BmpEncoder, gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, tiff::TiffEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, Frame, ImageEncoder, RgbaImage};

use super::drawn::{clouds, grey_clouds};
use super::*;
use crate::entry::Bits;
use crate::hash::pdq;

mod costly;
mod damaged;
mod doubtful;

/// Every frame's picture, as (width, height, channels, samples), and what was left out.
type Seen = Result<(Vec<(u32, u32, Channels, Vec<u8>)>, Vec<String>), Reason>;

fn seen_within(bytes: &[u8], limits: &Limits) -> Seen {
    let mut pictures = Vec::new();
    let mut last = None;
    let mut each = |number: u32, p: &Picture| {
        assert!(last < Some(number), "frames are numbered in order");
        last = Some(number);
        pictures.push((p.width(), p.height(), p.channels(), p.samples().to_vec()));
        ControlFlow::Continue(())
    };
    match frames(bytes, limits, &|| false, &mut each) {
        Ok(left_out) => Ok((pictures, left_out.into_iter().map(|l| l.0).collect())),
        Err(refused) => {
            assert!(pictures.is_empty() && !refused.detail.is_empty(), "{refused}");
            Err(refused.reason)
        }
    }
}

fn seen(bytes: &[u8]) -> Seen {
    seen_within(bytes, &Limits::default())
}

fn refused(bytes: &[u8], limits: &Limits, expected: Reason) {
    assert_eq!(seen_within(bytes, limits).map(|(pictures, _)| pictures.len()), Err(expected), "{} bytes", bytes.len());
}

fn left_out(bytes: &[u8], limits: &Limits, frames: usize, expected: &[&str]) {
    let (pictures, left_out) = seen_within(bytes, limits).unwrap();
    assert_eq!((pictures.len(), left_out), (frames, expected.iter().map(|s| (*s).to_owned()).collect()));
}

fn color(channels: Channels) -> ExtendedColorType {
    match channels {
        Channels::Grey => ExtendedColorType::L8,
        Channels::GreyAlpha => ExtendedColorType::La8,
        Channels::Rgb => ExtendedColorType::Rgb8,
        Channels::Rgba => ExtendedColorType::Rgba8,
    }
}

fn encode(format: Format, picture: &Picture) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let (samples, w, h, c) = (picture.samples(), picture.width(), picture.height(), color(picture.channels()));
    match format {
        Format::Jpeg => JpegEncoder::new_with_quality(&mut out, 90).write_image(samples, w, h, c),
        Format::Png => PngEncoder::new(&mut out).write_image(samples, w, h, c),
        Format::Gif => GifEncoder::new(&mut out).encode(samples, w, h, c),
        Format::WebP => WebPEncoder::new_lossless(&mut out).write_image(samples, w, h, c),
        Format::Bmp => BmpEncoder::new(&mut out).write_image(samples, w, h, c),
        Format::Tiff => TiffEncoder::new(&mut out).write_image(samples, w, h, c),
        other => panic!("no {} is made here", other.name()),
    }
    .unwrap();
    out.into_inner()
}

const FORMATS: [Format; 6] = [Format::Jpeg, Format::Png, Format::Gif, Format::WebP, Format::Bmp, Format::Tiff];

fn pdq_of((width, height, channels, samples): (u32, u32, Channels, Vec<u8>)) -> crate::entry::Pdq {
    pdq::hash(&pdq::plane64(&Picture::new(width, height, channels, samples).unwrap().luma(Rendering::Stored)))
}

fn only(bytes: &[u8]) -> (u32, u32, Channels, Vec<u8>) {
    let (mut pictures, left_out) = seen(bytes).unwrap();
    assert_eq!((pictures.len(), left_out), (1, vec![]));
    pictures.remove(0)
}

#[test]
fn one_picture_in_every_format_lies_within_the_match_radius() {
    // Grey, so that a GIF's 256 colours hold it: soft colours come back from them with a noise that is all there is of high frequencies.
    let grey = grey_clouds(240, 180, 1);
    let picture = Picture::new(240, 180, Channels::Rgb, grey.samples().iter().flat_map(|v| [*v; 3]).collect()).unwrap();
    let original = pdq::hash(&pdq::plane64(&picture.luma(Rendering::Stored)));
    for format in FORMATS {
        let bits = pdq_of(only(&encode(format, &picture))).distance(&original);
        assert!(bits <= 31, "{}: {bits} bits", format.name());
    }
}

#[test]
fn lossless_formats_give_back_the_very_samples() {
    let picture = clouds(37, 23, 2, 0);
    for format in [Format::Png, Format::WebP, Format::Bmp, Format::Tiff] {
        assert_eq!(only(&encode(format, &picture)).3, picture.samples(), "{}", format.name());
    }
}

#[test]
fn every_colour_mode_of_one_picture_gives_its_hash() {
    let grey = grey_clouds(200, 150, 3);
    let original = pdq::hash(&pdq::plane64(&grey.luma(Rendering::Stored)));
    let spread = |f: &dyn Fn(u8) -> Vec<u8>| grey.samples().iter().flat_map(|v| f(*v)).collect::<Vec<u8>>();
    let check = |name: &str, color: ExtendedColorType, samples: &[u8]| {
        let mut out = Vec::new();
        PngEncoder::new(&mut out).write_image(samples, 200, 150, color).unwrap();
        let bits = pdq_of(only(&out)).distance(&original);
        assert!(bits <= 6, "{name}: {bits} bits");
    };
    check("L", ExtendedColorType::L8, grey.samples());
    check("LA", ExtendedColorType::La8, &spread(&|v| vec![v, 9]));
    check("RGB", ExtendedColorType::Rgb8, &spread(&|v| vec![v; 3]));
    check("RGBA", ExtendedColorType::Rgba8, &spread(&|v| vec![v, v, v, 0]));
    check("L16", ExtendedColorType::L16, &spread(&|v| (u16::from(v) * 257).to_ne_bytes().to_vec()));
    check("RGB16", ExtendedColorType::Rgb16, &spread(&|v| [(u16::from(v) * 257).to_ne_bytes(); 3].concat()));
}

/// A TIFF directory with nothing but an orientation, as EXIF holds it.
fn exif(orientation: u8) -> Vec<u8> {
    [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0], &[0; 4]].concat()
}

#[test]
fn exif_orientation_is_applied() {
    let check = |orientation: u8, width: u32, expected: [u8; 6]| {
        let mut out = Vec::new();
        let mut encoder = PngEncoder::new(&mut out);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&[1, 2, 3, 4, 5, 6], 3, 2, ExtendedColorType::L8).unwrap();
        assert_eq!(only(&out), (width, 6 / width, Channels::Grey, expected.to_vec()), "orientation {orientation}");
    };
    check(0, 3, [1, 2, 3, 4, 5, 6]);
    check(1, 3, [1, 2, 3, 4, 5, 6]);
    check(2, 3, [3, 2, 1, 6, 5, 4]);
    check(3, 3, [6, 5, 4, 3, 2, 1]);
    check(4, 3, [4, 5, 6, 1, 2, 3]);
    check(5, 2, [1, 4, 2, 5, 3, 6]);
    check(6, 2, [4, 1, 5, 2, 6, 3]);
    check(7, 2, [6, 3, 5, 2, 4, 1]);
    check(8, 2, [3, 6, 2, 5, 1, 4]);
    check(9, 3, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn exif_orientation_of_a_jpeg_is_applied() {
    let picture = clouds(120, 80, 4, 0);
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, 95);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.write_image(picture.samples(), 120, 80, ExtendedColorType::Rgb8).unwrap();
    let turned = super::drawn::remapped(&picture, (80, 120), |x, y| (y, 79 - x));
    let bits = pdq_of(only(&out)).distance(&pdq::hash(&pdq::plane64(&turned.luma(Rendering::Stored))));
    assert!(bits <= 31, "{bits} bits");
}

#[test]
fn what_is_no_picture_has_its_reason() {
    let all = Limits::default();
    refused(b"", &all, Reason::Empty);
    refused(b"\xff", &all, Reason::Unsupported);
    refused(b"Not a picture, whatever its name says.", &all, Reason::Unsupported);
    refused(b"\0\0\0\x18ftypmp42\0\0\0\0", &all, Reason::Video);
    refused(b"\0\0\0\x18ftypheic\0\0\0\0", &all, Reason::Undecodable);
    refused(b"8BPS\0\x01", &all, Reason::Unsupported);
    refused(b"\xff\xd8", &all, Reason::Undecodable);
    refused(b"\x89PNG\r\n\x1a\n", &all, Reason::Undecodable);
    refused(b"GIF89a", &all, Reason::Undecodable);
    refused(&encode(Format::Png, &clouds(9, 9, 1, 0)), &Limits { image_bytes_max: 20, ..all }, Reason::TooLarge);
}

fn png_chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let chunk = [name.as_slice(), body].concat();
    let step =
        |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()));
    let crc = !chunk.iter().fold(!0, step);
    [&(body.len() as u32).to_be_bytes()[..], &chunk, &crc.to_be_bytes()].concat()
}

/// A PNG of this size by its header, and nothing else.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".as_slice(), &png_chunk(b"IHDR", &header)].concat()
}

#[test]
fn headers_that_lie_are_refused_before_anything_is_allocated() {
    let all = Limits::default();
    refused(&png_header(0, 0), &all, Reason::Undecodable);
    refused(&png_header(0, 7), &all, Reason::Undecodable);
    refused(&png_header(60_000, 60_000), &all, Reason::TooManyPixels);
    refused(&png_header(u32::MAX, u32::MAX), &all, Reason::TooManyPixels);
    refused(&png_header(100, 100), &all, Reason::Undecodable);
    refused(&encode(Format::Png, &clouds(30, 20, 1, 0)), &Limits { pixels_max: 599, ..all.clone() }, Reason::TooManyPixels);
    refused(&encode(Format::Png, &clouds(30, 20, 1, 0)), &Limits { side_max: 29, ..all.clone() }, Reason::TooManyPixels);
    refused(&encode(Format::Png, &clouds(30, 20, 1, 0)), &Limits { alloc_bytes_max: 1000, ..all }, Reason::TooManyPixels);
}

/// `image` fills what is missing of a JPEG with grey and says nothing: a picture of which a tenth had arrived would have passed
/// for a whole one that matches nothing.
#[test]
fn a_truncated_picture_is_partial() {
    let picture = clouds(240, 180, 5, 0);
    for (format, part) in [(Format::Jpeg, 60), (Format::Png, 60), (Format::Gif, 60), (Format::Bmp, 60)] {
        let whole = encode(format, &picture);
        left_out(&whole, &Limits::default(), 1, &[]);
        left_out(&whole[..whole.len() * part / 100], &Limits::default(), 1, &["the file ends early"]);
    }
    for format in [Format::WebP, Format::Tiff] {
        let whole = encode(format, &picture);
        refused(&whole[..whole.len() * 60 / 100], &Limits::default(), Reason::Undecodable);
    }
}

#[test]
fn no_cut_of_a_file_passes_for_whole() {
    let picture = clouds(24, 18, 6, 0);
    for format in FORMATS {
        let whole = encode(format, &picture);
        for end in 0..whole.len() {
            let passed = seen(&whole[..end]).is_ok_and(|(_, left_out)| left_out.is_empty());
            assert!(!passed, "{} cut at {end} of {}", format.name(), whole.len());
        }
    }
}

/// A JPEG's frame header and tables are kept, its data replaced: what a scan bomb is made of.
#[test]
fn a_jpeg_with_next_to_no_data_for_its_size_is_refused() {
    let whole = encode(Format::Jpeg, &clouds(640, 480, 7, 0));
    let scan = whole.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    refused(&[&whole[..scan + 20], &[0xff, 0xd9]].concat(), &Limits::default(), Reason::Undecodable);
}

#[test]
fn a_jpeg_with_too_many_scans_is_refused() {
    let whole = encode(Format::Jpeg, &grey_clouds(64, 64, 8));
    let scan = whole.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    let (head, data) = (&whole[..scan], &whole[scan..whole.len() - 2]);
    let many = [head, &data.repeat(65), &[0xff, 0xd9]].concat();
    refused(&many, &Limits::default(), Reason::TooManyPixels);
    let progressive: Vec<u8> = whole
        .windows(2)
        .position(|w| w == [0xff, 0xc0])
        .map(|at| [&whole[..at], &[0xff, 0xc2], &whole[at + 2..]].concat())
        .unwrap();
    refused(&progressive, &Limits { jpeg_scan_pixels_max: 4095, ..Limits::default() }, Reason::TooManyPixels);
}

fn animation(frames: u32, side: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = GifEncoder::new(&mut out);
    for seed in 0..frames {
        let picture = clouds(side, side, u64::from(seed), 0);
        let rgba = picture.samples().chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
        encoder.encode_frame(Frame::new(RgbaImage::from_raw(side, side, rgba).unwrap())).unwrap();
    }
    drop(encoder);
    out
}

#[test]
fn an_animation_gives_every_frame_up_to_its_limits() {
    let all = Limits::default();
    let bytes = animation(5, 40);
    left_out(&bytes, &all, 5, &[]);
    left_out(&bytes, &Limits { frames_max: 3, ..all.clone() }, 3, &["2 of 5 frames: only evenly spaced ones were looked at"]);
    left_out(&bytes, &Limits { frames_max: 4, ..all.clone() }, 4, &["1 of 5 frames: only evenly spaced ones were looked at"]);
    left_out(&bytes, &Limits { frames_max: 5, ..all.clone() }, 5, &[]);
    left_out(
        &bytes,
        &Limits { frame_pixels_max: 3_200, ..all.clone() },
        2,
        &["2 of 5 frames: only evenly spaced ones were looked at", "frame 4: at most 4 are read"],
    );
    let (pictures, left_out) = seen(&bytes[..bytes.len() * 7 / 10]).unwrap();
    assert!((2..5).contains(&pictures.len()), "{}", pictures.len());
    assert_eq!(left_out[0], "the file ends early");
}

/// Some viewers enlarge the screen and show them.
#[test]
fn pixels_of_a_gif_beyond_its_screen_are_left_out_in_words() {
    let mut bytes = encode(Format::Gif, &drawn::clouds(90, 60, 1, 0));
    left_out(&bytes, &Limits::default(), 1, &[]);
    bytes[6] = 80; // the screen's width
    left_out(&bytes, &Limits::default(), 1, &["pixels beyond the GIF's screen"]);
}

#[test]
fn frames_that_the_caller_does_not_take_are_left_out() {
    let bytes = animation(4, 20);
    let mut each = |number: u32, _: &Picture| if number < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break("enough") };
    assert_eq!(frames(&bytes, &Limits::default(), &|| false, &mut each), Ok(vec![LeftOut("frames 2 to 3: enough".to_owned())]));
}

#[test]
fn a_panic_on_the_way_is_a_crash_and_nothing_more() {
    let bytes = animation(4, 20);
    let mut none = |_: u32, _: &Picture| -> Taken { panic!("drill") };
    assert_eq!(frames(&bytes, &Limits::default(), &|| false, &mut none).map_err(|r| r.reason), Err(Reason::Crashed));
    let mut some = |number: u32, _: &Picture| if number < 1 { ControlFlow::Continue(()) } else { panic!("drill") };
    assert_eq!(
        frames(&bytes, &Limits::default(), &|| false, &mut some),
        Ok(vec![LeftOut("frames 1 to 3: the GIF decoder failed".to_owned())])
    );
}

/// An animated PNG of plain grey frames; the first value is the still's, which is a frame only where `still` says so.
fn apng(values: &[u8], still: Motion) -> Vec<u8> {
    let side = 8u32;
    let data = |value: u8| {
        let png = encode(Format::Png, &Picture::new(side, side, Channels::Grey, vec![value; 64]).unwrap());
        let at = png.windows(4).position(|w| w == b"IDAT").unwrap();
        let length = u32::from_be_bytes(*png[at - 4..].first_chunk().unwrap()) as usize;
        png[at + 4..at + 4 + length].to_vec()
    };
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let frames = values.len() as u32 - u32::from(still == Motion::AnimatedBesideStill);
    let mut out = [b"\x89PNG\r\n\x1a\n".as_slice(), &png_chunk(b"IHDR", &header)].concat();
    out.extend(png_chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat()));
    let mut number = 0u32;
    for (i, value) in values.iter().enumerate() {
        if i > 0 || still == Motion::Animated {
            let place = [number, side, side, 0, 0].map(u32::to_be_bytes).concat();
            out.extend(png_chunk(b"fcTL", &[&place[..], &[0, 1, 0, 1, 0, 0]].concat()));
            number += 1;
        }
        if i == 0 {
            out.extend(png_chunk(b"IDAT", &data(*value)));
        } else {
            out.extend(png_chunk(b"fdAT", &[&number.to_be_bytes()[..], &data(*value)].concat()));
            number += 1;
        }
    }
    out.extend(png_chunk(b"IEND", &[]));
    out
}

/// A viewer without animations shows the still, one with them the frames: content in either must be seen.
#[test]
fn an_animated_pngs_still_is_seen_even_where_it_is_no_frame() {
    for still in [Motion::Animated, Motion::AnimatedBesideStill] {
        let bytes = apng(&[10, 20, 30], still);
        let (pictures, missed) = seen(&bytes).unwrap();
        assert_eq!((pictures.iter().map(|p| p.3[0]).collect::<Vec<_>>(), missed), (vec![10, 20, 30], vec![]), "{still:?}");
    }
}

/// An uncompressed grey TIFF with a page for each value, 8x8 pixels of it.
fn tiff_pages(values: &[u8]) -> Vec<u8> {
    let mut out = b"II*\0\x08\0\0\0".to_vec();
    for (i, value) in values.iter().enumerate() {
        let (start, entries) = (out.len() as u32, 8u16);
        let data = start + 2 + u32::from(entries) * 12 + 4;
        let next = if i + 1 < values.len() { data + 64 } else { 0 };
        out.extend(entries.to_le_bytes());
        for (tag, number) in [(256u16, 8u32), (257, 8), (258, 8), (259, 1), (262, 1), (273, data), (278, 8), (279, 64)] {
            out.extend([&tag.to_le_bytes()[..], &4u16.to_le_bytes(), &1u32.to_le_bytes(), &number.to_le_bytes()].concat());
        }
        out.extend(next.to_le_bytes());
        out.extend([*value; 64]);
    }
    out
}

#[test]
fn every_page_of_a_tiff_is_a_frame() {
    let bytes = tiff_pages(&[10, 20, 30]);
    let (pictures, missed) = seen(&bytes).unwrap();
    assert_eq!(pictures.iter().map(|p| p.3[0]).collect::<Vec<_>>(), [10, 20, 30]);
    assert_eq!(missed, Vec::<String>::new());
    left_out(
        &bytes,
        &Limits { frames_max: 2, ..Limits::default() },
        2,
        &["1 of 3 frames: only evenly spaced ones were looked at"],
    );
}

/// A changed pointer that names a page before it ends the chain: the pages behind it were gone without a word.
#[test]
fn a_chain_of_pages_that_leads_back_ends_in_words() {
    let mut bytes = tiff_pages(&[10, 20]);
    let second = bytes.len() - 64 - 4;
    bytes[second..second + 4].copy_from_slice(&8u32.to_le_bytes());
    let missing = "pages of the TIFF that may be missing: its chain of pages loops";
    left_out(&bytes, &Limits::default(), 2, &[missing]);
}

#[test]
fn changed_bytes_never_get_a_panic_out() {
    let picture = clouds(40, 30, 9, 0);
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for format in FORMATS {
        let whole = encode(format, &picture);
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let crashed = seen(&bytes).err() == Some(Reason::Crashed);
            assert!(!crashed, "{}", format.name());
        }
    }
}
