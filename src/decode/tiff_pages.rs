//! How are a TIFF's pages decoded? One by one, as the walk over its directories found them.

use image::codecs::tiff::TiffDecoder;
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::image_crate::Words;
use super::source::Source;
use super::tally::Tally;
use super::{Limits, Refused, jpeg};
use crate::entry::Reason;

/// The decoder reads the first page only, so it is shown a header that points at each page in turn.
pub(super) fn decode(bytes: &[u8], words: Words<'_>, late: &dyn Fn() -> bool, tally: &mut Tally<'_>) -> Result<(), Refused> {
    for page in &tally.outline().pages {
        let pixels = page.pixels();
        if !tally.begin(pixels) {
            break;
        }
        if let Some(why) = page.unread {
            tally.fail(Refused::new(Reason::Undecodable, why));
            continue;
        }
        let source = || Source::new(bytes, late).with_head(header(bytes, page.at));
        // A page that can't be read does not hide the next one.
        match words.still(TiffDecoder::new(source()), tally) {
            Err(refused) => tally.fail(refused),
            Ok(()) if !jpegs_are_whole(bytes, source(), words.limits, pixels, late) => {
                tally.leave_out_of_this("parts whose JPEG data are damaged");
            }
            Ok(()) => {
                if let Some(doubt) = page.doubt {
                    tally.leave_out_of_this(doubt);
                }
            }
        }
    }
    Ok(())
}

/// The file's header, pointing at this directory.
fn header(bytes: &[u8], directory: u64) -> Vec<u8> {
    let (little, big) = (bytes.starts_with(b"I"), matches!(bytes, [_, _, b'+', ..] | [_, _, _, b'+', ..]));
    let (at, size) = if big { (8, 8) } else { (4, 4) };
    let mut pointer = directory.to_be_bytes()[8 - size..].to_vec();
    if little {
        pointer.reverse();
    }
    [&bytes[..at], &pointer].concat()
}

/// The TIFF decoder fills in what is missing of a JPEG, so libjpeg-turbo looks at each. One that can't be looked at is not whole.
fn jpegs_are_whole(bytes: &[u8], source: Source<'_>, limits: &Limits, pixels: u64, late: &dyn Fn() -> bool) -> bool {
    let Some(jpegs) = jpegs(source) else { return false };
    let Some((tables, places)) = jpegs else { return true };
    // The tables end, and the data begin, with a marker that would stand in the middle.
    let tables = &tables[..tables.len().saturating_sub(2)];
    // Parts that lie over one another must not multiply the work. Tiles may reach beyond the page.
    let mut budget = pixels.saturating_mul(4).saturating_add(1 << 22);
    places.into_iter().all(|(offset, length)| {
        let end = offset.checked_add(length);
        let Some(data) = end.and_then(|end| bytes.get(offset as usize..usize::try_from(end).ok()?)) else { return false };
        !late()
            && match tables {
                [] => jpeg::is_whole(data, limits, &mut budget),
                _ => jpeg::is_whole(&[tables, data.get(2..).unwrap_or_default()].concat(), limits, &mut budget),
            }
    })
}

/// Where parts of a file lie, each with its length.
type Places = Vec<(u64, u64)>;

/// The tables that a page's JPEGs have in common, and where each strip or tile lies, with its length; `Some(None)` where its data are no
/// JPEGs. `None`: that can't be told.
fn jpegs(source: Source<'_>) -> Option<Option<(Vec<u8>, Places)>> {
    let mut decoder = Decoder::new(source).ok()?;
    if !matches!(decoder.find_tag_unsigned::<u16>(Tag::Compression), Ok(Some(6 | 7))) {
        return Some(None);
    }
    let tables = match decoder.find_tag(Tag::JPEGTables).ok()? {
        Some(value) => value.into_u8_vec().ok()?,
        None => Vec::new(),
    };
    let mut numbers = |tag: Tag| decoder.find_tag_unsigned_vec::<u64>(tag).ok().flatten();
    let (offsets, lengths) = numbers(Tag::StripOffsets)
        .zip(numbers(Tag::StripByteCounts))
        .or_else(|| numbers(Tag::TileOffsets).zip(numbers(Tag::TileByteCounts)))?;
    Some(Some((tables, offsets.into_iter().zip(lengths).collect())))
}
