//! What does the JPEG 2000 decoder make of a file? The only file that names it.

use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};

use super::picture::{Channels, Picture, luma_of_inverted_inks};
use super::probe::Probe;

/// A picture and whether anything of it was damaged. `None`: it can't be read.
///
/// The decoder takes what is missing for nothing unless it is told to be strict, so damage is what makes the strict one give up.
pub(super) fn decode(bytes: &[u8], probe: &Probe) -> Option<(Picture, bool)> {
    let strict = attempt(bytes, probe, true).map(|picture| (picture, false));
    strict.or_else(|| attempt(bytes, probe, false).map(|picture| (picture, true)))
}

fn attempt(bytes: &[u8], probe: &Probe, strict: bool) -> Option<Picture> {
    let image = Image::new(bytes, &DecodeSettings { strict, ..DecodeSettings::default() }).ok()?;
    let (width, height, alpha) = (image.width(), image.height(), image.has_alpha());
    if u64::from(width) * u64::from(height) > probe.pixels_max {
        return None;
    }
    let colours = match image.color_space() {
        ColorSpace::CMYK => 4,
        other => other.num_channels(),
    };
    let mut context = DecoderContext::default();
    let samples = image.decode(&mut context).ok()?.data_u8();
    let (channels, samples) = match (colours, alpha) {
        (1, false) => (Channels::Grey, samples),
        (1, true) => (Channels::GreyAlpha, samples),
        (3, false) => (Channels::Rgb, samples),
        (3, true) => (Channels::Rgba, samples),
        (4, false) => (Channels::Grey, luma_of_cmyk(&samples)),
        _ => return None,
    };
    Picture::new(width, height, channels, samples)
}

/// 255 is full ink.
fn luma_of_cmyk(samples: &[u8]) -> Vec<u8> {
    let luma = |inks: &[u8; 4]| luma_of_inverted_inks(inks.map(|ink| 255 - ink));
    samples.as_chunks::<4>().0.iter().map(luma).collect()
}
