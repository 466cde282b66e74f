//! How are a TIFF's pages decoded? One by one, as the walk over its directories found them.

use image::codecs::tiff::TiffDecoder;

use super::Refused;
use super::image_crate::Words;
use super::source::Source;
use super::tally::Tally;
use super::tiff_data::damage;
use crate::entry::Reason;

const UNCHECKED: &str = "the deadline passed before it was known whether the data are whole";

/// The decoder reads the first page only, so it is shown a header that points at each page in turn.
pub(super) fn decode(bytes: &[u8], words: Words<'_>, late: &dyn Fn() -> bool, tally: &mut Tally<'_>) -> Result<(), Refused> {
    for (n, page) in tally.probe().pages.iter().enumerate() {
        let wanted = tally.wants(n as u32);
        let pixels = page.pixels();
        if !tally.begin(if wanted { pixels } else { 0 }) {
            break;
        }
        if !wanted {
            tally.pass_over();
            continue;
        }
        if let Some(why) = page.unread {
            tally.fail(Refused::new(Reason::Undecodable, why));
            continue;
        }
        let source = || Source::new(bytes, late).with_head(header(bytes, page.at));
        // A page that can't be read does not hide the next one.
        let words = Words { multiplied: page.multiplied, ..words };
        match words.still(TiffDecoder::new(source()), tally) {
            Err(Refused { reason: Reason::Undecodable, detail }) => {
                tally.fail(Refused::new(Reason::Undecodable, page.weakness.map_or(detail, str::to_owned)));
            }
            Err(refused) => tally.fail(refused),
            Ok(()) => {
                let damage = damage(bytes, source(), words.limits, pixels, late);
                // What was not looked at is not damaged.
                let damage = damage.map(|what| if late() { UNCHECKED } else { what });
                page.doubt.into_iter().chain(damage).for_each(|what| tally.leave_out_of_this(what));
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
