//! What do people do to a picture before they post it again?
//!
//! Every edit has the parameters that a person would choose in a picture editor, fixed before any result was seen: they describe the world,
//! and are not tuned to what the hashes can do. (One was added afterwards, and says so: [`Edit::Trimmed`].) Invariant: the same picture gives the same bytes. [`broken`] holds files that are no
//! pictures, made in code too.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};

use super::pictures::Random;
use crate::entry::Reason;

/// What is done to a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// JPEG of quality 90: what the original is posted as.
    Original,
    Png,
    /// Every side halved.
    HalfSize,
    /// Every side doubled.
    DoubleSize,
    /// JPEG of quality 40.
    Recompressed,
    /// 30 of 255 levels up.
    Brighter,
    /// 30 of 255 levels down.
    Darker,
    /// Contrast up by 20 %.
    Contrast,
    /// Gaussian blur of 2 pixels.
    Blurred,
    /// Unsharp mask of 2 pixels.
    Sharpened,
    Greyscale,
    /// 0.5 % off each side: a border cut away. Added when [`Edit::SmallCrop`] turned out to lie at the edge.
    Trimmed,
    /// 2 % off each side.
    SmallCrop,
    /// A quarter turn clockwise.
    Rotated90,
    Rotated180,
    Rotated270,
    /// Left and right swapped.
    Mirrored,
    WebpLossless,
    /// GIF, 256 colours.
    Gif,
    /// The central half of the width and of the height: what is left is another picture to a hash of the whole.
    LargeCrop,
}

/// Whether hashes can find the original of an edited picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Found: anything else is a fault.
    Within,
    /// Found but for one picture in five at the most.
    Mostly,
    /// Found or not, as the picture has it: to be counted, not judged.
    Edge,
    /// Not found: a known limit of such hashes.
    Beyond,
}

impl Edit {
    pub const ALL: [Edit; 20] = [
        Edit::Original,
        Edit::Png,
        Edit::HalfSize,
        Edit::DoubleSize,
        Edit::Recompressed,
        Edit::Brighter,
        Edit::Darker,
        Edit::Contrast,
        Edit::Blurred,
        Edit::Sharpened,
        Edit::Greyscale,
        Edit::Trimmed,
        Edit::SmallCrop,
        Edit::Rotated90,
        Edit::Rotated180,
        Edit::Rotated270,
        Edit::Mirrored,
        Edit::WebpLossless,
        Edit::Gif,
        Edit::LargeCrop,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Edit::Original => "original (JPEG 90)",
            Edit::Png => "PNG",
            Edit::HalfSize => "half size",
            Edit::DoubleSize => "double size",
            Edit::Recompressed => "recompressed (JPEG 40)",
            Edit::Brighter => "brighter",
            Edit::Darker => "darker",
            Edit::Contrast => "more contrast",
            Edit::Blurred => "blurred",
            Edit::Sharpened => "sharpened",
            Edit::Greyscale => "greyscale",
            Edit::Trimmed => "trimmed (0.5 % a side)",
            Edit::SmallCrop => "small crop (2 % a side)",
            Edit::Rotated90 => "rotated 90",
            Edit::Rotated180 => "rotated 180",
            Edit::Rotated270 => "rotated 270",
            Edit::Mirrored => "mirrored",
            Edit::WebpLossless => "WebP lossless",
            Edit::Gif => "GIF",
            Edit::LargeCrop => "large crop (central half)",
        }
    }

    /// What to expect of PDQ at its default radius of 31.
    ///
    /// Measured with the public `pdqhash` on 60 drawn pictures, the nearest of the eight transforms counting: the small crop moves the
    /// hash by 37 bits on average, on 49 of the pictures beyond the radius; on 21 public photographs (the reference's own) it is 36 bits
    /// and 20 beyond. The large crop moves it by 102 and more. All others stay within 26.
    pub fn reach(self) -> Reach {
        match self {
            Edit::SmallCrop => Reach::Edge,
            Edit::LargeCrop => Reach::Beyond,
            _ => Reach::Within,
        }
    }

    /// The edited picture as a file: JPEG of quality 90 where the edit does not name a format.
    ///
    /// # Errors
    /// Where an encoder refuses the picture: JPEG and GIF have at most 65,535 pixels a side.
    pub fn apply(self, original: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
        let (width, height) = original.dimensions();
        let resized = |w: u32, h: u32, filter| imageops::resize(original, w.max(1), h.max(1), filter);
        let cropped = |x: u32, y: u32| imageops::crop_imm(original, x, y, width - 2 * x, height - 2 * y).to_image();
        match self {
            Edit::Original => jpeg(original, 90),
            Edit::Png => encoded(original, ImageFormat::Png),
            Edit::HalfSize => jpeg(&resized(width / 2, height / 2, FilterType::Lanczos3), 90),
            Edit::DoubleSize => jpeg(&resized(width * 2, height * 2, FilterType::CatmullRom), 90),
            Edit::Recompressed => jpeg(original, 40),
            Edit::Brighter => jpeg(&imageops::brighten(original, 30), 90),
            Edit::Darker => jpeg(&imageops::brighten(original, -30), 90),
            Edit::Contrast => jpeg(&imageops::contrast(original, 20.0), 90),
            Edit::Blurred => jpeg(&imageops::blur(original, 2.0), 90),
            Edit::Sharpened => jpeg(&imageops::unsharpen(original, 2.0, 0), 90),
            Edit::Greyscale => {
                let grey = imageops::grayscale(original);
                let mut out = Vec::new();
                JpegEncoder::new_with_quality(&mut out, 90).encode(&grey, width, height, ExtendedColorType::L8)?;
                Ok(out)
            }
            Edit::Trimmed => jpeg(&cropped(width / 200, height / 200), 90),
            Edit::SmallCrop => jpeg(&cropped(width / 50, height / 50), 90),
            Edit::Rotated90 => jpeg(&imageops::rotate90(original), 90),
            Edit::Rotated180 => jpeg(&imageops::rotate180(original), 90),
            Edit::Rotated270 => jpeg(&imageops::rotate270(original), 90),
            Edit::Mirrored => jpeg(&imageops::flip_horizontal(original), 90),
            Edit::WebpLossless => {
                let mut out = Vec::new();
                WebPEncoder::new_lossless(&mut out).write_image(original, width, height, ExtendedColorType::Rgb8)?;
                Ok(out)
            }
            Edit::Gif => {
                let mut out = Vec::new();
                GifEncoder::new_with_speed(&mut out, 10).encode(original, width, height, ExtendedColorType::Rgb8)?;
                Ok(out)
            }
            Edit::LargeCrop => jpeg(&cropped(width / 4, height / 4), 90),
        }
    }
}

/// A picture as JPEG; quality from 1 to 100.
pub fn jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, image::ImageError> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, quality).encode_image(image)?;
    Ok(out)
}

/// A picture in a format by its usual encoder.
pub fn encoded(image: &RgbImage, format: ImageFormat) -> Result<Vec<u8>, image::ImageError> {
    let mut out = Cursor::new(Vec::new());
    DynamicImage::from(image.clone()).write_to(&mut out, format)?;
    Ok(out.into_inner())
}

/// A file that holds no whole picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// A file's name, with an extension that need not tell the truth.
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub expected: Outcome,
}

/// What a scan must say of a broken file that no list knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    NotScanned(Reason),
    /// Some of it could be hashed: the verdict says what was left out.
    Partial,
}

/// Files as they reach every upload form: cut short, mislabelled, or made to exhaust the reader.
///
/// # Errors
/// Where the encoder of the picture that is cut fails.
pub fn broken() -> Result<Vec<Broken>, image::ImageError> {
    use Outcome::{NotScanned, Partial};
    let picture = super::pictures::draw(0xb20c, 320, 240);
    let (jpeg, png) = (jpeg(&picture, 90)?, encoded(&picture, ImageFormat::Png)?);
    let file = |name, bytes: &[u8], expected| Broken { name, bytes: bytes.to_vec(), expected };
    let cut = |bytes: &[u8], percent: usize| bytes[..bytes.len() * percent / 100].to_vec();
    Ok(vec![
        file("empty.jpg", b"", NotScanned(Reason::Empty)),
        file("one-byte.jpg", b"\xff", NotScanned(Reason::Unsupported)),
        file("text.jpg", b"This is a letter, whatever its name says.\n", NotScanned(Reason::Unsupported)),
        file("cut-in-its-header.jpg", &jpeg[..40], NotScanned(Reason::Undecodable)),
        file("cut-in-half.jpg", &cut(&jpeg, 60), Partial),
        file("cut-in-its-header.png", &png[..20], NotScanned(Reason::Undecodable)),
        file("no-pixels.png", &png_header(0, 0), NotScanned(Reason::Undecodable)),
        file("no-pixels.gif", b"GIF89a\0\0\0\0\0\0\0;", NotScanned(Reason::Undecodable)),
        file("giant-header.png", &png_header(2_000_000_000, 2_000_000_000), NotScanned(Reason::TooManyPixels)),
        file("giant-header.jpg", &jpeg_header(65_500, 65_500), NotScanned(Reason::TooManyPixels)),
        file("noise-after-magic.png", &noise_after(b"\x89PNG\r\n\x1a\n"), NotScanned(Reason::Undecodable)),
        file("noise-after-magic.jpg", &noise_after(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), NotScanned(Reason::Undecodable)),
    ])
}

/// A PNG that declares 8-bit RGB of some size and holds an empty stream of pixels.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], content: &[u8]| {
        out.extend((content.len() as u32).to_be_bytes());
        let start = out.len();
        out.extend(name);
        out.extend(content);
        let sum = crc32(&out[start..]);
        out.extend(sum.to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat());
    // A zlib stream of no bytes: header, one last empty block, Adler-32 of nothing.
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]);
    chunk(b"IEND", &[]);
    out
}

/// A JPEG of one component that declares some size and holds a scan of a few zeros.
fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let mut out = b"\xff\xd8".to_vec();
    let mut segment = |marker: u8, content: &[u8]| {
        out.extend([0xff, marker]);
        out.extend((content.len() as u16 + 2).to_be_bytes());
        out.extend(content);
    };
    segment(0xdb, &[&[0][..], &[1; 64]].concat());
    segment(0xc0, &[&[8][..], &height.to_be_bytes(), &width.to_be_bytes(), &[1, 1, 0x11, 0]].concat());
    // Two Huffman tables, each with one code of one bit for the value 0.
    for table in [0x00, 0x10] {
        segment(0xc4, &[&[table, 1][..], &[0; 16]].concat());
    }
    segment(0xda, &[1, 1, 0, 0, 63, 0]);
    out.extend([0; 8]);
    out.extend(b"\xff\xd9");
    out
}

fn noise_after(magic: &[u8]) -> Vec<u8> {
    let mut random = Random::new(0x6e_6f69_7365);
    magic.iter().copied().chain((0..2_000).map(|_| random.next_u64() as u8)).collect()
}

/// PNG's check sum, bit by bit: the chunks here are a few bytes long.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::pictures::draw;

    #[test]
    fn every_edit_gives_a_file_of_its_size_and_format() {
        let original = draw(3, 200, 100);
        let check = |edit: Edit, size: (u32, u32), format: ImageFormat| {
            let bytes = edit.apply(&original).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format, "{edit:?}");
            let decoded = image::load_from_memory(&bytes).unwrap();
            assert_eq!((decoded.width(), decoded.height()), size, "{edit:?}");
            assert_eq!(edit.apply(&original).unwrap(), bytes, "{edit:?} is the same every time");
        };
        for edit in Edit::ALL {
            match edit {
                Edit::Png => check(edit, (200, 100), ImageFormat::Png),
                Edit::Gif => check(edit, (200, 100), ImageFormat::Gif),
                Edit::WebpLossless => check(edit, (200, 100), ImageFormat::WebP),
                Edit::HalfSize | Edit::LargeCrop => check(edit, (100, 50), ImageFormat::Jpeg),
                Edit::DoubleSize => check(edit, (400, 200), ImageFormat::Jpeg),
                Edit::SmallCrop => check(edit, (192, 96), ImageFormat::Jpeg),
                Edit::Trimmed => check(edit, (198, 100), ImageFormat::Jpeg),
                Edit::Rotated90 | Edit::Rotated270 => check(edit, (100, 200), ImageFormat::Jpeg),
                _ => check(edit, (200, 100), ImageFormat::Jpeg),
            }
        }
    }

    #[test]
    fn lossless_copies_are_the_original() {
        let original = draw(4, 64, 48);
        for edit in [Edit::Png, Edit::WebpLossless] {
            assert_eq!(image::load_from_memory(&edit.apply(&original).unwrap()).unwrap().to_rgb8(), original);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = Edit::ALL.map(Edit::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_picture_of_one_pixel_survives_every_edit() {
        for edit in Edit::ALL {
            edit.apply(&draw(1, 1, 1)).unwrap();
        }
    }

    #[test]
    fn headers_say_what_they_should() {
        // Against the check sum of "IEND" that ends every PNG.
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        let size = |bytes: &[u8]| image::ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap().into_dimensions();
        assert_eq!(size(&jpeg_header(65_500, 65_400)).unwrap(), (65_500, 65_400));
        assert_eq!(size(&png_header(70_000, 7)).unwrap(), (70_000, 7));
        // The headers are sound: with small sizes they are pictures.
        assert_eq!(image::load_from_memory(&jpeg_header(16, 16)).unwrap().width(), 16);
    }

    #[test]
    fn broken_files_are_no_whole_pictures() {
        for Broken { name, bytes, expected } in broken().unwrap() {
            let mut reader = image::ImageReader::new(Cursor::new(&bytes)).with_guessed_format().unwrap();
            reader.limits(image::Limits::default());
            if expected != Outcome::Partial {
                assert!(reader.decode().is_err(), "{name}");
            }
        }
    }
}
