//! How do pixels come out of the `image` crate? The only file of this room that names it.
//!
//! Decoders are called directly: the crate's own reader would guess the format again, and drops the rows it had when a file
//! breaks off. Errors are put into our own words, since a decoder's text can quote the file.

use std::io::{Cursor, ErrorKind};

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, ColorType, DynamicImage, Frames, ImageBuffer, ImageDecoder, ImageError};

use super::outline::{Motion, Outline};
use super::picture::{Channels, Picture};
use super::sniff::Format;
use super::{ENDS_EARLY, Limits, Refused, Tally};
use crate::entry::Reason;

/// Hands every frame to the tally.
pub(super) fn decode(
    format: Format,
    bytes: &[u8],
    outline: &Outline,
    limits: &Limits,
    tally: &mut Tally<'_>,
) -> Result<(), Refused> {
    let words = Words { format, limits };
    let source = || Cursor::new(bytes);
    match format {
        Format::Jpeg => words.still(JpegDecoder::new(source()), tally),
        Format::Bmp => words.still(BmpDecoder::new(source()), tally),
        Format::Tiff => words.pages(bytes, outline, tally),
        Format::Png => words.png(bytes, outline, tally),
        Format::Gif if outline.motion == Motion::Still => words.still(GifDecoder::new(source()), tally),
        Format::Gif => {
            let mut decoder = words.say(GifDecoder::new(source()))?;
            words.say(decoder.set_limits(words.limits()))?;
            let run = words.animation(decoder.into_frames(), Orientation::NoTransforms, tally);
            // Only the reader of stills hands over what there is of a first frame that breaks off.
            if tally.taken == 0 && run.is_err() && outline.ends_early {
                words.still(GifDecoder::new(source()), tally)
            } else {
                run
            }
        }
        Format::WebP if outline.motion == Motion::Still => words.still(WebPDecoder::new(source()), tally),
        Format::WebP => {
            let mut decoder = words.say(WebPDecoder::new(source()))?;
            words.say(decoder.set_limits(words.limits()))?;
            let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
            words.animation(decoder.into_frames(), orientation, tally)
        }
    }
}

/// Decodes one format and puts its errors into words.
#[derive(Clone, Copy)]
struct Words<'a> {
    format: Format,
    limits: &'a Limits,
}

impl Words<'_> {
    fn limits(&self) -> image::Limits {
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(self.limits.side_max);
        limits.max_image_height = Some(self.limits.side_max);
        limits.max_alloc = Some(self.limits.alloc_bytes_max);
        limits
    }

    fn say<T>(&self, result: Result<T, ImageError>) -> Result<T, Refused> {
        let name = self.format.name();
        result.map_err(|error| match error {
            ImageError::Limits(_) => Refused::new(
                Reason::TooManyPixels,
                format!("decoding the {name} would take more than {} bytes", self.limits.alloc_bytes_max),
            ),
            ImageError::Unsupported(_) => {
                Refused::new(Reason::Undecodable, format!("the {name} file uses a variant that is not read"))
            }
            ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Refused::new(Reason::Undecodable, format!("the {name} file ends before its first rows"))
            }
            _ => Refused::new(Reason::Undecodable, format!("the {name} data are damaged")),
        })
    }

    fn still<D: ImageDecoder>(&self, decoder: Result<D, ImageError>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let mut decoder = self.say(decoder)?;
        self.say(decoder.set_limits(self.limits()))?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let (width, height) = decoder.dimensions();
        let color = decoder.color_type();
        let size = decoder.total_bytes();
        if size == 0 || size > self.limits.alloc_bytes_max {
            return Err(Refused::new(Reason::TooManyPixels, format!("the {} decodes to {size} bytes", self.format.name())));
        }
        let mut samples = vec![0; size as usize];
        if let Err(error) = decoder.read_image(&mut samples) {
            // Rows come from one end of the picture: what was not reached is still zero.
            let short =
                tally.outline.ends_early || matches!(&error, ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof);
            if !short || samples.iter().all(|sample| *sample == 0) {
                return self.say(Err(error));
            }
            tally.leave_out(ENDS_EARLY);
        }
        let picture =
            to_eight_bits(color, samples).and_then(|(channels, samples)| upright(width, height, channels, samples, orientation));
        match picture {
            Some(picture) => tally.take(&picture),
            None => {
                return Err(Refused::new(
                    Reason::Undecodable,
                    format!("the {} file uses a variant that is not read", self.format.name()),
                ));
            }
        }
        Ok(())
    }

    fn png(&self, bytes: &[u8], outline: &Outline, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let open = || PngDecoder::with_limits(Cursor::new(bytes), self.limits());
        if outline.motion == Motion::Still {
            return self.still(open(), tally);
        }
        // Viewers without animations show the still; where it is no frame, nobody else would look at it.
        if outline.motion == Motion::AnimatedBesideStill {
            self.still(open(), tally)?;
        }
        let run = self.apng(open(), tally);
        // Animations of 16 bits are not read, and broken ones break off: the still is there all the same.
        if run.is_err() && tally.taken == 0 && tally.stopped.is_none() {
            self.still(open(), tally)?;
        }
        run
    }

    fn apng(&self, decoder: Result<PngDecoder<Cursor<&[u8]>>, ImageError>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let mut decoder = self.say(decoder)?;
        self.say(decoder.set_limits(self.limits()))?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        self.animation(self.say(decoder.apng())?.into_frames(), orientation, tally)
    }

    fn animation(&self, frames: Frames<'_>, orientation: Orientation, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let mut frames = frames.into_iter();
        while tally.wants_more() {
            let Some(frame) = frames.next() else { break };
            let canvas = self.say(frame)?.into_buffer();
            let (width, height) = canvas.dimensions();
            if let Some(picture) = upright(width, height, Channels::Rgba, canvas.into_raw(), orientation) {
                tally.take(&picture);
            }
        }
        Ok(())
    }

    /// The crate reads a TIFF's first page only, so the header of a copy is pointed at each page in turn.
    fn pages(&self, bytes: &[u8], outline: &Outline, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let (little, big) = (bytes.starts_with(b"I"), matches!(bytes, [_, _, b'+', ..] | [_, _, _, b'+', ..]));
        let mut copy = bytes.to_vec();
        let mut failure = Ok(());
        for page in &outline.pages {
            if !tally.wants_more() {
                break;
            }
            match (big, little) {
                (true, true) => put(&mut copy, 8, &page.to_le_bytes()),
                (true, false) => put(&mut copy, 8, &page.to_be_bytes()),
                (false, true) => put(&mut copy, 4, &(*page as u32).to_le_bytes()),
                (false, false) => put(&mut copy, 4, &(*page as u32).to_be_bytes()),
            }
            // A page that cannot be read does not hide the next one.
            if let Err(refused) = self.still(TiffDecoder::new(Cursor::new(copy.as_slice())), tally) {
                failure = failure.and(Err(refused));
            }
        }
        failure
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Brings samples to 8 bits in place: 16-bit ones rounded, floating-point ones cut to 0..=1.
fn to_eight_bits(color: ColorType, mut samples: Vec<u8>) -> Option<(Channels, Vec<u8>)> {
    let channels = match color.channel_count() {
        1 => Channels::Grey,
        2 => Channels::GreyAlpha,
        3 => Channels::Rgb,
        4 => Channels::Rgba,
        _ => return None,
    };
    let size = usize::from(color.bytes_per_pixel() / color.channel_count());
    let count = samples.len() / size;
    match size {
        1 => {}
        2 => {
            for i in 0..count {
                let value = u32::from(u16::from_ne_bytes([samples[2 * i], samples[2 * i + 1]]));
                samples[i] = ((value + 128) / 257) as u8;
            }
        }
        4 => {
            for i in 0..count {
                let value = f32::from_ne_bytes([samples[4 * i], samples[4 * i + 1], samples[4 * i + 2], samples[4 * i + 3]]);
                samples[i] = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
            }
        }
        _ => return None,
    }
    samples.truncate(count);
    Some((channels, samples))
}

fn upright(width: u32, height: u32, channels: Channels, samples: Vec<u8>, orientation: Orientation) -> Option<Picture> {
    if orientation == Orientation::NoTransforms {
        return Picture::new(width, height, channels, samples);
    }
    let mut image = match channels {
        Channels::Grey => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8),
        Channels::GreyAlpha => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8),
        Channels::Rgb => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8),
        Channels::Rgba => ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8),
    }?;
    image.apply_orientation(orientation);
    Picture::new(image.width(), image.height(), channels, image.into_bytes())
}
