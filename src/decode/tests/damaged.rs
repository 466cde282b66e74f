//! Files that lie, loop, cost more than they show, or are damaged where no decoder says so.

use super::*;
use tiff::encoder::{Compression as TiffCompression, TiffEncoder as TiffFile};

/// A TIFF's directory: entries of 32-bit numbers, and the place of the next one.
pub fn directory(entries: &[(u16, u32)], next: u32) -> Vec<u8> {
    let mut out = (entries.len() as u16).to_le_bytes().to_vec();
    for (tag, number) in entries {
        out.extend([&tag.to_le_bytes()[..], &4u16.to_le_bytes(), &1u32.to_le_bytes(), &number.to_le_bytes()].concat());
    }
    out.extend(next.to_le_bytes());
    out
}

/// The entries of an uncompressed grey page of one strip.
pub fn grey_page(side: u32, data: u32) -> Vec<(u16, u32)> {
    [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, data), (278, side), (279, side * side)].to_vec()
}

/// 80 bytes held an extract thread for ever: only pages that were kept were looked up in the list of those that were known.
#[test]
fn a_reduced_page_that_points_to_itself_ends() {
    let first = directory(&grey_page(1, 0)[..2], 38);
    let second = directory(&[(254, 1), (256, 1), (257, 1)], 38);
    let mut bytes = [b"II*\0\x08\0\0\0".as_slice(), &first].concat();
    bytes.resize(38, 0);
    bytes.extend(second);
    assert_eq!(probe(Format::Tiff, &bytes).map(|o| o.frames), Some(2));
    refused(&bytes, &Limits::default(), Reason::Undecodable);
}

/// A page marked as a smaller copy of another, or that only another's SubIFDs lead to, can show anything.
#[test]
fn pages_that_viewers_pass_over_are_frames() {
    let data = [[10u8; 64], [20; 64], [30; 64]].concat();
    let at = |n: u32| 8 + n * 64;
    let first = 8 + data.len() as u32;
    let length = (2 + 9 * 12 + 4) as u32;
    let page = |n: u32, more: (u16, u32), next: u32| {
        let mut entries = grey_page(8, at(n));
        entries.push(more);
        entries.sort_unstable();
        directory(&entries, next)
    };
    let (second, third) = (first + length, first + 2 * length);
    let header = [b"II*\0".as_slice(), &first.to_le_bytes()].concat();
    let bytes = [header, data, page(0, (330, third), second), page(1, (254, 1), 0), page(2, (254, 1), 0)].concat();
    let (pictures, missed) = seen(&bytes).unwrap();
    let mut values: Vec<u8> = pictures.iter().map(|p| p.3[0]).collect();
    values.sort_unstable();
    assert_eq!((values, missed), (vec![10, 20, 30], vec![]));
}

/// The walk took a thousand offsets of a list, zeros among them, and said nothing of the others.
#[test]
fn a_page_behind_a_long_list_of_pages_is_seen_or_missed_in_words() {
    let hidden = |zeros: u32| {
        let (list, data) = (8 + 2 * 64, 8 + 2 * 64 + 4 * (zeros + 1));
        let first = [(330u16, list)];
        let mut bytes = [b"II*\0".as_slice(), &data.to_le_bytes(), &[10; 64], &[20; 64]].concat();
        let mut entries = grey_page(8, 8);
        entries.extend(first);
        let page = directory(&entries, 0);
        let second = data + page.len() as u32;
        bytes.extend((0..zeros).flat_map(|_| [0; 4]));
        bytes.extend(second.to_le_bytes());
        bytes.extend(&page);
        bytes.extend(directory(&grey_page(8, 8 + 64), 0));
        // The last entry of the first page is a list.
        let count = data as usize + 2 + 8 * 12 + 4;
        bytes[count..count + 4].copy_from_slice(&(zeros + 1).to_le_bytes());
        bytes
    };
    let all = Limits::default();
    left_out(&hidden(1), &all, 2, &[]);
    left_out(&hidden(2000), &all, 2, &[]);
    left_out(&hidden(140_000), &all, 1, &["pages of the TIFF that were not looked for"]);
    let many = tiff_pages(&[7; 1001]);
    let limits = Limits { frames_max: 2000, ..all };
    left_out(&many, &limits, 1000, &["pages of the TIFF that were not looked for"]);
}

/// 202 kB took an extract thread for a quarter of an hour: 1,000 pages on shared strips, each of which failed at its last one.
#[test]
fn pages_that_fail_cost_frames_pixels_and_time() {
    let pages = 40u32;
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    for n in 0..pages {
        let start = bytes.len() as u32;
        let data = start + 2 + 8 * 12 + 4;
        // All but the first want more data than the file has.
        let mut entries = grey_page(8, data);
        if n > 0 {
            entries[5].1 = 1 << 20;
        }
        bytes.extend(directory(&entries, if n + 1 < pages { data + 64 } else { 0 }));
        bytes.extend([n as u8; 64]);
    }
    let all = Limits::default();
    let ends = "the TIFF file ends before its first rows";
    left_out(&bytes, &all, 1, &[&format!("frames 1 to 39: {ends}")]);
    let few = Limits { frames_max: 5, ..all.clone() };
    let failed = [10, 20, 30, 39].map(|n| format!("frame {n}: {ends}"));
    let failed = failed.each_ref().map(String::as_str);
    left_out(&bytes, &few, 1, &[&["35 of 40 frames: only evenly spaced ones were looked at"][..], &failed].concat());
    let little = Limits { frame_pixels_max: 640, ..all.clone() };
    let (pictures, missed) = seen_within(&bytes, &little).unwrap();
    assert_eq!((pictures.len(), &*missed[0]), (1, "30 of 40 frames: only evenly spaced ones were looked at"));
    let clock = std::cell::Cell::new(0);
    let late = || clock.replace(clock.get() + 1) >= 40;
    let mut each = |_: u32, _: &Picture| ControlFlow::Continue(());
    let missed = frames(&bytes, &all, &late, &mut each).unwrap();
    assert!(missed.iter().any(|l| l.0.ends_with("to 39: the deadline passed")), "{missed:?}");
    assert!(clock.get() < 100, "{} looks at the clock", clock.get());
}

#[test]
fn a_decoder_at_work_ends_at_the_deadline() {
    let picture = clouds(1200, 900, 11, 0);
    for format in [Format::Png, Format::Bmp, Format::Tiff, Format::Gif] {
        let bytes = encode(format, &picture);
        let clock = std::cell::Cell::new(0);
        let late = || clock.replace(clock.get() + 1) >= 4;
        let mut each = |_: u32, _: &Picture| ControlFlow::Continue(());
        let ended = frames(&bytes, &Limits::default(), &late, &mut each);
        assert_eq!(ended.map_err(|r| r.reason), Err(Reason::Timeout), "{}", format.name());
    }
}

/// Data for a GIF's frame: each pixel a literal, the table cleared before it grows.
fn gif_frame(left: u16, top: u16, width: u16, height: u16) -> Vec<u8> {
    let mut out = vec![0x2c];
    [left, top, width, height].iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend([0, 7]);
    // Codes of 8 bits: clear is 128, the end 129.
    let mut codes = Vec::new();
    for pixel in 0..usize::from(width) * usize::from(height) {
        if pixel % 100 == 0 {
            codes.push(128);
        }
        codes.push((pixel % 64) as u8);
    }
    codes.push(129);
    for block in codes.chunks(255) {
        out.push(block.len() as u8);
        out.extend(block);
    }
    out.push(0);
    out
}

fn gif_of(width: u16, height: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let palette: Vec<u8> = (0..128u8).flat_map(|v| [2 * v; 3]).collect();
    let header = [&b"GIF89a"[..], &width.to_le_bytes(), &height.to_le_bytes(), &[0xf6, 0, 0], &palette].concat();
    [header, frames.concat(), vec![0x3b]].concat()
}

/// 256 frames of 5,790 x 5,790 on a screen of one pixel were 10 seconds of work, and counted as 256 pixels.
#[test]
fn frames_larger_than_their_screen_count_as_what_they_are() {
    let bytes = gif_of(1, 1, &vec![gif_frame(0, 0, 50, 50); 6]);
    let beyond = "pixels beyond the GIF's screen";
    left_out(&bytes, &Limits::default(), 6, &[beyond]);
    let limits = Limits { frame_pixels_max: 10_000, ..Limits::default() };
    left_out(&bytes, &limits, 4, &[beyond, "2 of 6 frames: only evenly spaced ones were looked at"]);
}

/// 49 bytes of a GIF took 413 MB, 122 bytes of a BMP 292 MiB.
#[test]
fn a_header_with_next_to_nothing_behind_it_is_refused() {
    let all = Limits::default();
    refused(&gif_of(9_000, 9_000, &[gif_frame(0, 0, 4, 4)]), &all, Reason::Undecodable);
    refused(&bmp_runs(9_000, 9_000, &[9, 1, 0, 1]), &all, Reason::Undecodable);
    let mut raw = encode(Format::Bmp, &clouds(20, 20, 1, 0));
    raw[18..26].copy_from_slice(&[9_000u32.to_le_bytes(), 9_000u32.to_le_bytes()].concat());
    refused(&raw, &all, Reason::Undecodable);
    let png = encode(Format::Png, &Picture::new(8, 8, Channels::Grey, vec![0; 64]).unwrap());
    let header = [&9_000u32.to_be_bytes()[..], &9_000u32.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    refused(&[&png[..8], &png_chunk(b"IHDR", &header), &png[33..]].concat(), &all, Reason::Undecodable);
}

#[test]
fn a_gif_whose_data_do_not_fill_its_frame_is_partial() {
    let (frame, damaged) = (gif_frame(0, 0, 30, 20), "GIF frames whose data do not match their number of pixels");
    left_out(&gif_of(30, 20, std::slice::from_ref(&frame)), &Limits::default(), 1, &[]);
    // A code for two pixels in place of one for one.
    let mut longer = frame.clone();
    longer[11 + 1 + 3] = 130;
    left_out(&gif_of(30, 20, &[longer]), &Limits::default(), 1, &[damaged]);
    let mut moving = vec![frame; 3];
    moving[1][11 + 1 + 3] = 130;
    left_out(&gif_of(30, 20, &moving), &Limits::default(), 3, &[damaged]);
}

/// A BMP of 8 bits a pixel, run-length coded.
fn bmp_runs(width: u32, height: u32, codes: &[u8]) -> Vec<u8> {
    let palette: Vec<u8> = (0..=255u8).flat_map(|v| [v, v, v, 0]).collect();
    let start = 54 + palette.len() as u32;
    let mut out = b"BM".to_vec();
    [start + codes.len() as u32, 0, start, 40, width, height].iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend([1, 0, 8, 0]);
    [1, codes.len() as u32, 0, 0, 256, 256].iter().for_each(|n| out.extend(n.to_le_bytes()));
    [out, palette, codes.to_vec()].concat()
}

/// The decoder paints what run-length codes leave out black.
#[test]
fn run_lengths_that_leave_pixels_out_are_partial() {
    let rows = |n: usize| [40u8, 7, 24, 9, 0, 0].repeat(n);
    let all = Limits::default();
    let whole = [&rows(32)[..], &[0, 1]].concat();
    left_out(&bmp_runs(64, 32, &whole), &all, 1, &[]);
    let absolute = [&rows(31)[..], &[0, 64], &[5; 64], &[0, 1]].concat();
    left_out(&bmp_runs(64, 32, &absolute), &all, 1, &[]);
    let unset = ["pixels that the BMP's data do not set"];
    left_out(&bmp_runs(64, 32, &[&rows(20)[..], &[0, 1]].concat()), &all, 1, &unset);
    left_out(&bmp_runs(64, 32, &[&[0, 2, 0, 9][..], &rows(23), &[0, 1]].concat()), &all, 1, &unset);
    left_out(&bmp_runs(64, 32, &[&[40, 7, 0, 0][..], &rows(31), &[0, 1]].concat()), &all, 1, &unset);
    left_out(&bmp_runs(64, 32, &rows(20)), &all, 1, &["the file ends early"]);
}

/// A chunk of a WebP.
pub fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&name[..], &(body.len() as u32).to_le_bytes(), body, &[0][..body.len() % 2]].concat()
}

#[test]
fn a_webp_is_as_large_as_what_it_holds() {
    let outer = chunk(b"VP8X", &[0; 10]);
    let inner = chunk(b"VP8 ", &[&[0x10, 0, 0, 0x9d, 1, 0x2a, 0xff, 0x3f, 0xff, 0x3f][..], &[0; 40]].concat());
    let body = [b"WEBP".as_slice(), &outer, &inner].concat();
    refused(&[b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat(), &Limits::default(), Reason::TooManyPixels);
}

/// VP8 and VP8L have no checksum: changed bytes come out as another picture.
#[test]
fn a_webp_whose_data_are_changed_is_not_whole() {
    let whole = encode(Format::WebP, &clouds(160, 120, 12, 0));
    let mut state = 3u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (mut passed, files) = (0, 40);
    for _ in 0..files {
        let mut bytes = whole.clone();
        (0..50).for_each(|_| bytes[30 + random() % (whole.len() - 30)] = random() as u8);
        passed += u32::from(seen(&bytes).is_ok_and(|(_, missed)| missed.is_empty()));
    }
    assert!(passed <= files / 5, "{passed} of {files}"); // all of them before
}

/// Each frame is held against its own data, whatever stands beside the frames.
#[test]
fn a_damaged_frame_of_a_webp_is_told_in_spite_of_a_decoy() {
    let data = |seed| encode(Format::WebP, &clouds(64, 64, seed, 0))[20..].to_vec();
    let of = |decoy: &[u8], frames: &[Vec<u8>]| {
        let frame = |data: &Vec<u8>| {
            let place = [0, 0, 0, 0, 0, 0, 63, 0, 0, 63, 0, 0, 100, 0, 0, 0];
            chunk(b"ANMF", &[&place[..], &chunk(b"VP8L", data)].concat())
        };
        let head = [chunk(b"VP8X", &[2, 0, 0, 0, 63, 0, 0, 63, 0, 0]), chunk(b"ANIM", &[0; 6])].concat();
        let body = [b"WEBP".as_slice(), &head, decoy, &frames.iter().map(frame).collect::<Vec<_>>().concat()].concat();
        [b"RIFF".as_slice(), &(body.len() as u32).to_le_bytes(), &body].concat()
    };
    let (first, second) = (data(21), data(22));
    let longer = [&second[..], &[0; 8]].concat();
    let all = Limits::default();
    left_out(&of(&[], &[first.clone(), second.clone()]), &all, 2, &[]);
    let told = ["frame 1: parts whose data are damaged"];
    left_out(&of(&[], &[first.clone(), longer.clone()]), &all, 2, &told);
    left_out(&of(&chunk(b"VP8L", &first), &[first.clone(), longer]), &all, 2, &told);
}

fn grey_tiff(compression: TiffCompression, (width, height): (u32, u32), samples: &[u8], rows: u32) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffFile::new(&mut out).unwrap().with_compression(compression);
    let mut image = encoder.new_image::<tiff::encoder::colortype::Gray8>(width, height).unwrap();
    image.rows_per_strip(rows).unwrap();
    image.write_data(samples).unwrap();
    out.into_inner()
}

/// The decoder looks at no checksum, and LZW and runs have none: of 150 TIFFs with a changed byte 129 passed for whole.
#[test]
fn a_tiff_whose_data_are_changed_is_not_whole() {
    let (width, height) = (300, 240);
    let picture = grey_clouds(width, height, 14);
    let stripes: Vec<u8> = picture.samples().iter().map(|value| value & 0xe0).collect();
    let tiff = |compression, samples: &[u8], rows| grey_tiff(compression, (width, height), samples, rows);
    let deflate = || TiffCompression::Deflate(Default::default());
    let check = |name: &str, compression: TiffCompression, samples: &[u8], rows: u32, most: usize| {
        let whole = tiff(compression, samples, rows);
        left_out(&whole, &Limits::default(), 1, &[]);
        let passed = (0..200).filter(|i| {
            let mut bytes = whole.clone();
            bytes[8 + i * (whole.len() - 400) / 200] ^= 1 << (i % 8);
            seen(&bytes).is_ok_and(|(_, missed)| missed.is_empty())
        });
        let passed = passed.count();
        assert!(passed <= most, "{name}, {rows} rows: {passed} of 200");
    };
    for rows in [height, 50] {
        check("LZW", TiffCompression::Lzw, picture.samples(), rows, 90);
        check("deflate", deflate(), picture.samples(), rows, 4);
        check("runs", TiffCompression::Packbits, &stripes, rows, 140);
    }
}

/// An intact page was called damaged where the deadline passed while its data were looked at.
#[test]
fn what_there_was_no_time_to_look_at_is_not_called_damaged() {
    let picture = grey_clouds(300, 200, 11);
    let tiff = |compression| grey_tiff(compression, (300, 200), picture.samples(), 20);
    let mut unchecked = 0;
    for bytes in [tiff(TiffCompression::Lzw), tiff(TiffCompression::Deflate(Default::default()))] {
        for looks in 0..200 {
            let clock = std::cell::Cell::new(0);
            let late = || clock.replace(clock.get() + 1) >= looks;
            let mut each = |_: u32, _: &Picture| ControlFlow::Continue(());
            let Ok(left_out) = frames(&bytes, &Limits::default(), &late, &mut each) else { continue };
            assert!(left_out.iter().all(|left| left.0.starts_with("the deadline passed")), "{looks}: {left_out:?}");
            unchecked += left_out.len();
        }
    }
    assert!(unchecked > 0, "the deadline never passed while the data were looked at");
}

/// A strip that is said to be shorter than its pixels are was read beyond its end.
#[test]
fn a_strip_that_is_too_short_is_partial() {
    let tiff = |length: u32| {
        let mut entries = grey_page(8, 8);
        entries[7].1 = length;
        [b"II*\0".as_slice(), &(8 + 64u32).to_le_bytes(), &[10; 64], &directory(&entries, 0)].concat()
    };
    left_out(&tiff(64), &Limits::default(), 1, &[]);
    left_out(&tiff(65), &Limits::default(), 1, &[]);
    left_out(&tiff(40), &Limits::default(), 1, &["parts whose data do not match their number of pixels"]);
}

/// A small picture of Pillow's whose last bytes happen to be of little weight was called damaged, as 8 of 360 were.
#[test]
fn a_lossy_webp_that_ends_as_if_it_were_cut_is_whole() {
    let data = hex::decode(PILLOWS_WEBP).unwrap();
    left_out(&data, &Limits::default(), 1, &[]);
}

/// 16x16 pixels of soft colours.
const PILLOWS_WEBP: &str = "52494646700000005745425056503820640000005001009d012a1000100002003425b00004e38000fee64ffd9dfa77ff898ffc9b727e1977ff9f714fffa3ee7f8fffdbc7f32367eb0ab79f5cae093abfd93ec64fd8913ffff9dff351e15aac7afe38dceef3ffffa1bcffee4cb283fc6cca09dbfeff295000";

/// The decoder passes over the frames of an animation whose checksums do not fit: 128 of 230 files with a changed bit passed for whole.
#[test]
fn no_changed_bit_of_an_animated_png_passes_for_whole() {
    let whole = apng(&[10, 20, 30], Motion::Animated);
    left_out(&whole, &Limits::default(), 3, &[]);
    for bit in 8 * 8..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let passed = seen(&bytes).is_ok_and(|(_, missed)| missed.is_empty());
        assert!(!passed, "bit {} of byte {}", bit % 8, bit / 8);
    }
}

/// A changed number of entries makes one of what follows them: the pointer to the next page was lost without a word.
#[test]
fn an_entry_that_reaches_beyond_the_file_is_told() {
    let mut entries = grey_page(8, 8);
    entries.push((45_000, 8));
    let mut bytes = [b"II*\0".as_slice(), &(8 + 64u32).to_le_bytes(), &[10; 64], &directory(&entries, 0)].concat();
    left_out(&bytes, &Limits::default(), 1, &[]);
    // A text of half a megabyte.
    let entry = bytes.len() - 4 - 12;
    bytes[entry + 2..entry + 8].copy_from_slice(&[2, 0, 8, 0, 8, 0]);
    let told = "pages of the TIFF that may be missing: it has entries that reach beyond the file";
    left_out(&bytes, &Limits::default(), 1, &[told]);
}

/// A JPEG's data in a TIFF: the decoder of TIFFs fills in what is missing, as the one of JPEGs does.
#[test]
fn a_damaged_jpeg_in_a_tiff_is_partial() {
    let jpeg = encode(Format::Jpeg, &grey_clouds(64, 64, 13));
    let tiff = |jpeg: &[u8]| {
        let mut entries = grey_page(64, 8);
        (entries[3].1, entries[7].1) = (7, jpeg.len() as u32);
        [b"II*\0".as_slice(), &(8 + jpeg.len() as u32).to_le_bytes(), jpeg, &directory(&entries, 0)].concat()
    };
    left_out(&tiff(&jpeg), &Limits::default(), 1, &[]);
    let cut = [&jpeg[..jpeg.len() * 2 / 3], b"\xff\xd9"].concat();
    left_out(&tiff(&cut), &Limits::default(), 1, &["parts whose JPEG data are damaged"]);
}
