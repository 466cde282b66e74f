//! Which format are these bytes in? By content, never by a name.
//!
//! Absent: any judgement on whether the rest of the file is sound.

/// What a file's first bytes say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Image(Format),
    /// A video container, by name.
    Video(&'static str),
    /// An image format that is known but not read here, by name.
    Known(&'static str),
    Unknown,
}

/// The formats that are read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    WebP,
    Bmp,
    Tiff,
    Heic,
    Avif,
    Jxl,
    Jpeg2000,
    Ico,
    Qoi,
    Pnm,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::Gif => "GIF",
            Format::WebP => "WebP",
            Format::Bmp => "BMP",
            Format::Tiff => "TIFF",
            Format::Heic => "HEIC",
            Format::Avif => "AVIF",
            Format::Jxl => "JPEG XL",
            Format::Jpeg2000 => "JPEG 2000",
            Format::Ico => "ICO",
            Format::Qoi => "QOI",
            Format::Pnm => "PNM",
        }
    }
}

/// It can be left out of a build.
const JPEG_2000: Kind = if cfg!(feature = "jpeg2000") { Kind::Image(Format::Jpeg2000) } else { Kind::Known("JPEG 2000") };

/// Magic bytes at a place, and what they mean; the first line that fits decides.
const MAGIC: &[(usize, &[u8], Kind)] = &[
    (0, b"\xff\xd8", Kind::Image(Format::Jpeg)),
    (0, b"\x89PNG\r\n\x1a\n", Kind::Image(Format::Png)),
    (0, b"GIF87a", Kind::Image(Format::Gif)),
    (0, b"GIF89a", Kind::Image(Format::Gif)),
    (8, b"WEBP", Kind::Image(Format::WebP)),
    (0, b"II*\0", Kind::Image(Format::Tiff)),
    (0, b"MM\0*", Kind::Image(Format::Tiff)),
    (0, b"II+\0", Kind::Image(Format::Tiff)),
    (0, b"MM\0+", Kind::Image(Format::Tiff)),
    (0, b"BM", Kind::Image(Format::Bmp)),
    (8, b"AVI ", Kind::Video("AVI")),
    (4, b"ftypcrx ", Kind::Known("CR3")),
    (4, b"ftyp", Kind::Image(Format::Avif)),
    (4, b"ftyp", Kind::Image(Format::Heic)),
    (4, b"ftyp", Kind::Video("MP4 or QuickTime")),
    (4, b"moov", Kind::Video("QuickTime")),
    (4, b"mdat", Kind::Video("QuickTime")),
    (0, b"\x1a\x45\xdf\xa3", Kind::Video("Matroska or WebM")),
    (0, b"FLV\x01", Kind::Video("FLV")),
    (0, b"OggS", Kind::Video("Ogg")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind::Video("ASF")),
    (0, b"\0\0\x01\xba", Kind::Video("MPEG")),
    (0, b"\0\0\x01\xb3", Kind::Video("MPEG")),
    (188, b"\x47", Kind::Video("MPEG-TS")),
    (4, b"JXL \r\n\x87\n", Kind::Image(Format::Jxl)),
    (0, b"\xff\x0a", Kind::Image(Format::Jxl)),
    (4, b"jP  \r\n\x87\n", JPEG_2000),
    (0, b"\xff\x4f\xff\x51", JPEG_2000),
    (0, b"\0\0\x01\0", Kind::Image(Format::Ico)),
    (0, b"\0\0\x02\0", Kind::Image(Format::Ico)), // cursors
    (0, b"qoif", Kind::Image(Format::Qoi)),
    (0, b"P", Kind::Image(Format::Pnm)),
    (0, b"8BPS", Kind::Known("PSD")),
    (0, b"#?RADIANCE", Kind::Known("Radiance HDR")),
    (0, b"%PDF", Kind::Known("PDF")),
    (0, b"<svg", Kind::Known("SVG")),
];

pub fn sniff(bytes: &[u8]) -> Kind {
    let fits = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let found = MAGIC.iter().find(|(at, magic, kind)| fits(*at, magic) && confirmed(bytes, *kind)).map(|(_, _, kind)| *kind);
    found.unwrap_or(Kind::Unknown)
}

/// Magic that is too short to stand alone needs a second look.
fn confirmed(bytes: &[u8], kind: Kind) -> bool {
    match kind {
        Kind::Image(Format::WebP) | Kind::Video("AVI") => bytes.starts_with(b"RIFF"),
        Kind::Image(Format::Avif) => brands(bytes).any(|brand| matches!(brand, b"avif" | b"avis")),
        Kind::Image(Format::Heic) => {
            let of_pictures = |brand: &[u8; 4]| matches!(brand, b"mif1" | b"mif2" | b"msf1" | b"miaf" | [b'M', b'i', b'H', _]);
            brands(bytes).any(|brand| matches!(brand, [b'h', b'e', b'i' | b'v', _]) || of_pictures(brand))
        }
        Kind::Image(Format::Ico) => is_directory(bytes),
        Kind::Image(Format::Pnm) => matches!(bytes, [_, b'1'..=b'7', space, ..] if space.is_ascii_whitespace()),
        Kind::Video("MPEG-TS") => bytes.first() == Some(&0x47) && bytes.get(376) == Some(&0x47),
        // "BM" opens many a text: the reserved fields are zero and the header has one of the known sizes.
        Kind::Image(Format::Bmp) => match bytes.get(14..18) {
            Some(size) => matches!(size, [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]),
            None => bytes.len() < 18 && bytes.iter().skip(2).any(|b| !b.is_ascii_graphic()),
        },
        _ => true,
    }
}

/// The brands of an ISO base media file (ISO/IEC 14496-12): what it is, and what it is too. One that is a picture too is looked at as one.
fn brands(bytes: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    let number = |at: usize| bytes.get(at..).and_then(|n| n.first_chunk()).map_or(0, |n| u32::from_be_bytes(*n)) as usize;
    // A size of 1 stands for one in 64 bits behind the box's name.
    let (begin, size) = if number(0) == 1 { (16, number(12)) } else { (8, number(0)) };
    let end = size.clamp(begin + 4, 256).min(bytes.len());
    let all = bytes.get(begin..end).unwrap_or_default();
    // The second number is a version.
    all.as_chunks::<4>().0.iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, brand)| brand)
}

/// Whether an ICO's directory makes sense: there is an entry, and its data begin behind the directory.
fn is_directory(bytes: &[u8]) -> bool {
    let (Some([low, high]), Some(at)) = (bytes.get(4..6), bytes.get(18..22).and_then(|at| at.first_chunk())) else {
        return false;
    };
    let count = usize::from(*low) + 256 * usize::from(*high);
    let at = u32::from_le_bytes(*at) as usize;
    (1..=1000).contains(&count) && bytes.get(9) == Some(&0) && (6 + 16 * count..bytes.len()).contains(&at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Kind) {
        assert_eq!(sniff(bytes), expected, "{bytes:?}");
    }

    #[test]
    fn content_decides() {
        check(b"", Kind::Unknown);
        check(b"x", Kind::Unknown);
        check(b"\xff\xd8", Kind::Image(Format::Jpeg));
        check(b"\x89PNG\r\n\x1a\n....", Kind::Image(Format::Png));
        check(b"\x89PNG\n\x1a\n....", Kind::Unknown);
        check(b"GIF88a", Kind::Unknown);
        check(b"RIFF\0\0\0\0WEBPVP8 ", Kind::Image(Format::WebP));
        check(b"RIFF\0\0\0\0AVI LIST", Kind::Video("AVI"));
        check(b"RIFX\0\0\0\0WEBPVP8 ", Kind::Unknown);
        check(b"BMW is a maker of cars, not a picture", Kind::Unknown);
        check(b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", Kind::Image(Format::Bmp));
        check(b"\0\0\0\x18ftypmp42", Kind::Video("MP4 or QuickTime"));
        check(b"\0\0\0\x18ftypheic", Kind::Image(Format::Heic));
        check(b"\0\0\0\x18ftypavif", Kind::Image(Format::Avif));
        check(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", Kind::Image(Format::Avif));
        check(b"\0\0\0\x18ftypisom\0\0\0\0isomheic", Kind::Image(Format::Heic));
        check(b"\0\0\0\x18ftypmiaf\0\0\0\0MiHE", Kind::Image(Format::Heic));
        check(b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\x18heic\0\0\0\0", Kind::Image(Format::Heic));
        check(b"\0\0\0\x18ftypisom\0\0\0\0isommp42heic", Kind::Video("MP4 or QuickTime"));
        check(b"\xff\x0a\xfa\x1f", Kind::Image(Format::Jxl));
        check(b"P6\n2 2 255\n", Kind::Image(Format::Pnm));
        check(b"Plain text", Kind::Unknown);
        check(b"\0\0\x01\0\x01\0", Kind::Unknown);
        check(b"\x1a\x45\xdf\xa3\x01", Kind::Video("Matroska or WebM"));
        check(b"hello, I am text", Kind::Unknown);
    }

    #[test]
    fn a_transport_stream_needs_its_sync_byte_thrice() {
        let mut bytes = vec![0; 400];
        bytes[0] = 0x47;
        bytes[188] = 0x47;
        check(&bytes, Kind::Unknown);
        bytes[376] = 0x47;
        check(&bytes, Kind::Video("MPEG-TS"));
    }
}
