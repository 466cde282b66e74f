//! Which decoder reads which format?
//!
//! JPEGs are read by libjpeg-turbo ([`jpeg`]), HEIC and AVIF by decoders of their coded pictures ([`heif`]), JPEG XL ([`jxl`]) and JPEG 2000
//! ([`jpeg2000`]) by one each; everything else, and the JPEGs that libjpeg-turbo can't read, by the `image` crate.

use image::codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, pnm::PnmDecoder, qoi::QoiDecoder};

use super::image_crate::Words;
#[cfg(feature = "jpeg2000")]
use super::jpeg2000;
use super::sniff::Format;
use super::source::Source;
use super::tally::Tally;
use super::{DAMAGED, Limits, Refused, heif, jpeg, jxl, tiff_pages};

/// Hands every frame to the tally.
pub(super) fn decode(
    format: Format,
    bytes: &[u8],
    limits: &Limits,
    late: &dyn Fn() -> bool,
    tally: &mut Tally<'_>,
) -> Result<(), Refused> {
    let probe = tally.probe();
    let words = Words { format, limits, probe, multiplied: false };
    let source = || Source::new(bytes, late);
    match format {
        Format::Tiff => tiff_pages::decode(bytes, words, late, tally),
        Format::Heic | Format::Avif => heif::decode(bytes, format.name(), late, tally),
        _ if !tally.begin(probe.pixels_max) => Ok(()),
        Format::Jpeg => match jpeg::decode(bytes, probe, limits) {
            Some((picture, damaged)) => {
                tally.take_maybe_damaged(&picture, damaged);
                Ok(())
            }
            // This decoder hides what is damaged, so that what it reads is never whole.
            None => words.still(JpegDecoder::new(source()), tally).map(|()| tally.leave_out_of_this(DAMAGED)),
        },
        Format::Bmp => words.still(BmpDecoder::new(source()), tally),
        Format::Ico => Err(words.damaged()), // its pictures are taken one by one
        Format::Qoi => words.still(QoiDecoder::new(source()), tally),
        Format::Pnm => words.still(PnmDecoder::new(source()), tally),
        Format::Png => words.png(source, tally),
        Format::Gif => words.gif(source, tally),
        Format::WebP => words.webp(bytes, late, tally),
        Format::Jxl => jxl::decode(bytes, limits, late, tally),
        #[cfg(feature = "jpeg2000")]
        Format::Jpeg2000 => match jpeg2000::decode(bytes, probe) {
            Some((picture, damaged)) => {
                tally.take_maybe_damaged(&picture, damaged);
                Ok(())
            }
            None => Err(words.damaged()),
        },
        #[cfg(not(feature = "jpeg2000"))]
        Format::Jpeg2000 => Err(words.damaged()),
    }
}
