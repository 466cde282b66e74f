//! Does decoding stay below the memory that it is given?
//!
//! Each file is decoded under the smallest `alloc_bytes_max` that admits it, and the peak of the process's resident memory is held
//! against that. It is the only test of its process, so that nothing else allocates.

#![allow(clippy::unwrap_used)] // a test stops where its ground is missing

use std::io::Cursor;
use std::ops::ControlFlow;

use hashwarden::decode::{Limits, Picture, frames};
use hashwarden::demo::pictures::draw;
use hashwarden::entry::Reason;
use image::codecs::{gif::GifEncoder, jpeg::JpegEncoder, png::PngEncoder, tiff::TiffEncoder, webp::WebPEncoder};
use image::{DynamicImage, ExtendedColorType, Frame, ImageEncoder, RgbImage};

const MIB: u64 = 1 << 20;

/// A number of /proc/self/status, in bytes.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// What decoding adds to the resident memory at its peak; `None` where the file is refused for its memory.
fn peak(bytes: &[u8], alloc_bytes_max: u64) -> Option<u64> {
    let limits = Limits { alloc_bytes_max, ..Limits::default() };
    let mut each = |_: u32, _: &Picture| ControlFlow::Continue(());
    // 5 sets the peak back to what is resident now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let result = frames(bytes, &limits, &|| false, &mut each);
    let peak = status("VmHWM").saturating_sub(before);
    match result {
        Err(refused) if refused.reason == Reason::TooManyPixels => None,
        Err(refused) => panic!("{refused}"),
        Ok(_) => Some(peak),
    }
}

fn check(name: &str, bytes: &[u8]) {
    let (mut refused, mut admitted) = (0, 512);
    assert!(peak(bytes, admitted * MIB).is_some(), "{name} is refused");
    while admitted - refused > 1 {
        let middle = (refused + admitted) / 2;
        match peak(bytes, middle * MIB) {
            Some(_) => admitted = middle,
            None => refused = middle,
        }
    }
    let peak = peak(bytes, admitted * MIB).unwrap();
    println!("{name}: admitted with {admitted} MiB, peak {:.1} MiB", peak as f64 / MIB as f64);
    assert!(peak >= 2000 * 1500, "{name}: only {peak} bytes at the peak: is it measured?");
    // The allocator keeps some of its own, and the row buffers of a picture do not grow with its pixels.
    assert!(peak <= admitted * MIB + 3 * MIB, "{name}: {peak} bytes at the peak, admitted with {admitted} MiB");
}

fn exif_turned() -> Vec<u8> {
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec()
}

fn written(write: impl FnOnce(&mut Cursor<Vec<u8>>) -> image::ImageResult<()>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    write(&mut out).unwrap();
    out.into_inner()
}

fn png(picture: &DynamicImage, exif: bool) -> Vec<u8> {
    written(|out| {
        let mut encoder = PngEncoder::new(out);
        if exif {
            encoder.set_exif_metadata(exif_turned()).unwrap();
        }
        encoder.write_image(picture.as_bytes(), picture.width(), picture.height(), picture.color().into())
    })
}

/// A PNG with a colour profile that inflates to `bytes` zeros, before its data.
fn with_profile(png: &[u8], bytes: usize) -> Vec<u8> {
    let body = [b"x\0\0".as_slice(), &miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; bytes], 6)].concat();
    let chunk = [b"iCCP".as_slice(), &body].concat();
    let step =
        |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()));
    let crc = !chunk.iter().fold(!0, step);
    [&png[..33], &(body.len() as u32).to_be_bytes(), &chunk, &crc.to_be_bytes(), &png[33..]].concat()
}

fn gif(pictures: &[RgbImage], screen: Option<u16>) -> Vec<u8> {
    let mut bytes = written(|out| {
        let mut encoder = GifEncoder::new_with_speed(out, 30);
        for picture in pictures {
            encoder.encode_frame(Frame::new(DynamicImage::from(picture.clone()).to_rgba8()))?;
        }
        Ok(())
    });
    if let Some(side) = screen {
        bytes[6..10].copy_from_slice(&[side.to_le_bytes(), side.to_le_bytes()].concat());
    }
    bytes
}

/// Kinds that only Pillow writes, of one picture.
fn check_what_pillow_writes(picture: &RgbImage) {
    let Some(python) = std::env::var_os("HASHWARDEN_TEST_PYTHON") else {
        return println!("skipped in part: HASHWARDEN_TEST_PYTHON names no Python with Pillow");
    };
    let dir = tempfile::tempdir().unwrap();
    picture.save(dir.path().join("source.png")).unwrap();
    let script = "
import sys
from PIL import Image
rgb = Image.open('source.png')
alpha = rgb.convert('RGBA'); alpha.putalpha(rgb.convert('L'))
rgb.save('lossy.webp', quality=70)
alpha.save('alpha.webp', quality=70)
rgb.save('moving.webp', save_all=True, append_images=[rgb.rotate(5)])
rgb.save('moving.png', save_all=True, append_images=[rgb.rotate(5)], compress_level=1)
rgb.save('progressive.jpg', progressive=True)
rgb.convert('CMYK').save('cmyk.jpg')
rgb.convert('CMYK').save('cmyk-progressive.jpg', progressive=True, subsampling=0)
turned = Image.Exif(); turned[0x0112] = 6
rgb.convert('CMYK').save('cmyk-turned.jpg', exif=turned)
rgb.save('jpeg.tif', compression='jpeg')
rgb.save('deflate.tif', compression='tiff_adobe_deflate')
";
    let output = std::process::Command::new(python).args(["-c", script]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = ["lossy.webp", "alpha.webp", "moving.webp", "moving.png", "progressive.jpg", "cmyk.jpg", "cmyk-progressive.jpg"];
    for name in names.into_iter().chain(["cmyk-turned.jpg", "jpeg.tif", "deflate.tif"]) {
        check(name, &std::fs::read(dir.path().join(name)).unwrap());
    }
}

/// A PNG of 801 kB took 822 MB where 512 MiB were the limit.
#[test]
fn what_is_admitted_stays_within_its_memory() {
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        return println!("skipped: this system does not set the peak of a process's memory back");
    }
    // The allocator keeps what is freed, and would hide what is allocated next, unless every large block is mapped by itself.
    if std::env::var_os("MALLOC_MMAP_THRESHOLD_").is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let status = again.args(std::env::args_os().skip(1)).env("MALLOC_MMAP_THRESHOLD_", "65536").status().unwrap();
        assert!(status.success(), "what it says stands above");
        return;
    }
    // The scene once, then larger: drawing takes longer than decoding.
    let rgb = image::imageops::resize(&draw(1, 400, 300), 2000, 1500, image::imageops::FilterType::Triangle);
    let all = DynamicImage::from(rgb.clone());
    let (width, height) = rgb.dimensions();
    let jpeg = |exif: bool| {
        written(|out| {
            let mut encoder = JpegEncoder::new_with_quality(out, 90);
            if exif {
                encoder.set_exif_metadata(exif_turned()).unwrap();
            }
            encoder.write_image(rgb.as_raw(), width, height, ExtendedColorType::Rgb8)
        })
    };
    check("JPEG", &jpeg(false));
    check("JPEG, turned", &jpeg(true));
    let mut unread = jpeg(false);
    let frame = unread.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    unread[frame + 1] = 0xc1; // extended: not all decoders read it
    check("JPEG, extended", &unread);
    check("PNG", &png(&all, false));
    check("PNG, turned", &png(&all, true));
    check("PNG, alpha", &png(&all.to_rgba8().into(), false));
    check("PNG, 16 bits, turned", &png(&all.to_rgba16().into(), true));
    check("PNG, profile", &with_profile(&png(&all, false), 20 << 20));
    check("GIF", &gif(std::slice::from_ref(&rgb), None));
    check("GIF, beside its screen", &gif(std::slice::from_ref(&rgb), Some(2100)));
    check("GIF, animated", &gif(&[rgb.clone(), rgb.clone()], None));
    check("GIF, animated, small screen", &gif(&[rgb.clone(), rgb.clone()], Some(1)));
    check(
        "WebP, lossless",
        &written(|out| WebPEncoder::new_lossless(out).write_image(rgb.as_raw(), width, height, ExtendedColorType::Rgb8)),
    );
    let alpha = all.to_rgba8();
    check(
        "WebP, alpha",
        &written(|out| WebPEncoder::new_lossless(out).write_image(&alpha, width, height, ExtendedColorType::Rgba8)),
    );
    check("BMP", &written(|out| rgb.write_to(out, image::ImageFormat::Bmp)));
    check("TIFF", &written(|out| TiffEncoder::new(out).write_image(rgb.as_raw(), width, height, ExtendedColorType::Rgb8)));
    let deep = all.to_rgba16();
    let deep = deep.as_raw().iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
    check("TIFF, 16 bits", &written(|out| TiffEncoder::new(out).write_image(&deep, width, height, ExtendedColorType::Rgba16)));
    check_what_pillow_writes(&rgb);
}
