//! Do the data of a TIFF's strips and tiles come to their pixels, and no further?
//!
//! The decoder reads as many bytes as the pixels take and looks no further: not whether a JPEG is damaged, whether the codes or runs of a strip
//! come to another length, or whether a checksum fits. So the data are looked at once more here. LZW and runs have no checksum, so that a
//! change which leaves the length as it was can go unnoticed.

use fdeflate::Decompressor;
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::probe::LzwStrips;
use super::source::Source;
use super::{Limits, jpeg};

/// What of a page's data the decoder does not tell: it fills in what is missing of a JPEG, and leaves what is too much of other data.
pub(super) fn damage(
    bytes: &[u8],
    source: Source<'_>,
    limits: &Limits,
    pixels: u64,
    late: &dyn Fn() -> bool,
) -> Option<&'static str> {
    let data_of = |(offset, length): (u64, u64)| {
        let end = offset.checked_add(length)?;
        bytes.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    };
    let unknown = Some("parts that can't be checked for damage");
    let Some(parts) = Parts::of(source) else { return unknown };
    let mut places = parts.places.iter().copied().enumerate();
    match parts.compression {
        6 | 7 => {
            // The tables end, and the data begin, with a marker that would stand in the middle.
            let tables = &parts.tables[..parts.tables.len().saturating_sub(2)];
            // Parts that lie over one another must not multiply the work. Tiles may reach beyond the page.
            let mut budget = pixels.saturating_mul(4).saturating_add(1 << 22);
            let whole = places.all(|(_, place)| {
                let Some(data) = data_of(place) else { return false };
                !late()
                    && match tables {
                        [] => jpeg::is_whole(data, limits, &mut budget),
                        _ => jpeg::is_whole(&[tables, data.get(2..).unwrap_or_default()].concat(), limits, &mut budget),
                    }
            });
            (!whole).then_some("parts whose JPEG data are damaged")
        }
        compression => {
            let (mut lzw, mut window) = (LzwStrips::default(), Vec::new());
            let mut fills = |data: &[u8], length: u64| match compression {
                1 => data.len() as u64 >= length,
                5 => lzw.fill(data, length),
                8 | 32_946 => inflated_fill(data, length, &mut window),
                32_773 => packed_fill(data, length),
                _ => true,
            };
            let whole = places.all(|(index, place)| {
                let Some(data) = data_of(place) else { return false };
                let (needed, full) = parts.lengths(index);
                // The last strip may be as long as the others.
                !late() && (fills(data, needed) || needed < full && fills(data, full))
            });
            (!whole).then_some("parts whose data do not match their number of pixels")
        }
    }
}

/// Whether runs of bytes come to this length. They may be padded to an even number.
fn packed_fill(data: &[u8], length: u64) -> bool {
    let (mut at, mut sum) = (0, 0);
    while sum < length {
        let Some(head) = data.get(at) else { return false };
        let (count, bytes) = match head {
            0..=127 => (u64::from(*head) + 1, usize::from(*head) + 1),
            128 => (0, 0),
            129..=255 => (257 - u64::from(*head), 1),
        };
        (at, sum) = (at + 1 + bytes, sum + count);
    }
    sum == length && at <= data.len() && data.len() - at <= 1
}

/// How far back a deflate stream can refer.
const BACK: usize = 32 * 1024;

/// Whether a deflate stream comes to this length, its checksum fits and it ends. The window is for use time and again.
fn inflated_fill(data: &[u8], length: u64, window: &mut Vec<u8>) -> bool {
    window.resize(4 * BACK, 0);
    let mut inflater = Decompressor::new();
    let (mut input, mut at, mut sum) = (0, 0, 0);
    loop {
        let Ok((consumed, produced)) = inflater.read(&data[input..], window, at, true) else { return false };
        (input, at, sum) = (input + consumed, at + produced, sum + produced as u64);
        if inflater.is_done() {
            return sum == length;
        }
        if sum > length || consumed + produced == 0 {
            return false;
        }
        if at > 2 * BACK {
            window.copy_within(at - BACK..at, 0);
            at = BACK;
        }
    }
}

/// Where the strips or tiles of a page lie, and what they hold.
struct Parts {
    compression: u64,
    /// What a page's JPEGs have in common.
    tables: Vec<u8>,
    /// Each with its length.
    places: Vec<(u64, u64)>,
    tiled: bool,
    height: u64,
    /// Rows of a strip or tile, and bytes of a row, decoded.
    rows: u64,
    row_bytes: u64,
    /// Strips of a plane.
    per_plane: u64,
}

impl Parts {
    fn of(source: Source<'_>) -> Option<Self> {
        let mut values = tiff::decoder::Limits::default();
        values.ifd_value_size = VALUES_MAX;
        let mut decoder = Decoder::new(source).ok()?.with_limits(values);
        let tables = match decoder.find_tag(Tag::JPEGTables).ok()? {
            Some(value) => value.into_u8_vec().ok()?,
            None => Vec::new(),
        };
        let mut numbers = |tag: Tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten();
        let mut number = |tag: Tag, default: u64| numbers(tag).and_then(|all| all.first().copied()).unwrap_or(default);
        let (width, height) = (number(Tag::ImageWidth, 0), number(Tag::ImageLength, 0));
        let (bits, samples) = (number(Tag::BitsPerSample, 1), number(Tag::SamplesPerPixel, 1));
        let apart = number(Tag::PlanarConfiguration, 1) == 2;
        let compression = number(Tag::Compression, 1);
        let strip_rows = number(Tag::RowsPerStrip, height).clamp(1, height.max(1));
        let tile = (number(Tag::TileWidth, 0), number(Tag::TileLength, 0));
        let strips = numbers(Tag::StripOffsets).zip(numbers(Tag::StripByteCounts));
        let tiled = strips.is_none();
        let (offsets, lengths) = strips.or_else(|| numbers(Tag::TileOffsets).zip(numbers(Tag::TileByteCounts)))?;
        let (columns, rows) = if tiled { tile } else { (width, strip_rows) };
        let row_bytes = columns.checked_mul(bits)?.checked_mul(if apart { 1 } else { samples })?.div_ceil(8);
        let per_plane = height.div_ceil(strip_rows).max(1);
        let places = offsets.into_iter().zip(lengths).collect();
        Some(Parts { compression, tables, places, tiled, height, rows, row_bytes, per_plane })
    }

    /// Bytes that the data of a strip or tile come to, at the least and at the most.
    fn lengths(&self, index: usize) -> (u64, u64) {
        let full = self.rows.saturating_mul(self.row_bytes);
        if self.tiled {
            return (full, full);
        }
        let above = (index as u64 % self.per_plane).saturating_mul(self.rows);
        (self.height.saturating_sub(above).min(self.rows).saturating_mul(self.row_bytes), full)
    }
}

/// Bytes of a list of strips or tiles: those of 100 megapixels in tiles of 16x16.
const VALUES_MAX: usize = 8 << 20;
