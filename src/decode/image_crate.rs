//! How do pixels come out of the `image` crate?
//!
//! Decoders are called directly: the crate's own reader would guess the format again, and drops the rows it had when a file
//! breaks off. Errors are put into our own words, since a decoder's text can quote the file.

use std::io::ErrorKind;
use std::ops::Range;

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, ColorType, DynamicImage, Frames, ImageBuffer, ImageDecoder, ImageError};

use super::picture::{Channels, Picture, divided};
use super::probe::{Motion, Probe};
use super::sniff::Format;
use super::source::Source;
use super::tally::Tally;
use super::vp8l::{self, Header};
use super::{DAMAGED, Limits, Refused, webp};
use crate::entry::Reason;

/// Decodes one format and puts its errors into words.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) format: Format,
    pub(super) limits: &'a Limits,
    pub(super) probe: &'a Probe,
    /// Colours are stored multiplied by their alpha.
    pub(super) multiplied: bool,
}

impl<'a> Words<'a> {
    /// What a decoder may still allocate beside the bytes that are spoken for.
    fn limits(&self, taken: u64) -> image::Limits {
        let mut limits = image::Limits::default();
        limits.max_image_width = Some(self.limits.side_max);
        limits.max_image_height = Some(self.limits.side_max);
        limits.max_alloc = Some(self.limits.alloc_bytes_max.saturating_sub(taken));
        limits
    }

    fn say<T>(&self, result: Result<T, ImageError>, tally: &Tally<'_>) -> Result<T, Refused> {
        let name = self.format.name();
        result.map_err(|error| match error {
            _ if tally.is_late() => Refused::new(Reason::Timeout, "the deadline passed"),
            ImageError::Limits(_) => self.too_large(),
            ImageError::Unsupported(_) => self.unread(),
            ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Refused::new(Reason::Undecodable, format!("the {name} file ends before its first rows"))
            }
            _ => self.damaged(),
        })
    }

    pub(super) fn damaged(&self) -> Refused {
        Refused::new(Reason::Undecodable, format!("the {} data are damaged", self.format.name()))
    }

    fn too_large(&self) -> Refused {
        let detail = format!("decoding the {} would take more than {} bytes", self.format.name(), self.limits.alloc_bytes_max);
        Refused::new(Reason::TooManyPixels, detail)
    }

    fn unread(&self) -> Refused {
        Refused::new(Reason::Undecodable, format!("the {} file uses a variant that is not read", self.format.name()))
    }

    pub(super) fn still<D: ImageDecoder>(&self, decoder: Result<D, ImageError>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let mut decoder = self.say(decoder, tally)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let (width, height) = decoder.dimensions();
        let color = decoder.color_type();
        let size = decoder.total_bytes();
        let upright_size = match orientation {
            Orientation::NoTransforms => 0,
            _ => (u64::from(width) * u64::from(height)).saturating_mul(color.channel_count().into()),
        };
        let spoken_for = size.saturating_add(upright_size);
        if size == 0 || spoken_for > self.limits.alloc_bytes_max {
            return Err(self.too_large());
        }
        self.say(decoder.set_limits(self.limits(spoken_for)), tally)?;
        let mut samples = vec![0; size as usize];
        if let Err(error) = decoder.read_image(&mut samples) {
            // Rows come from one end of the picture: what was not reached is still zero.
            let short =
                tally.probe().ends_early || matches!(&error, ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof);
            if !short || tally.is_late() || samples.iter().all(|sample| *sample == 0) {
                return self.say(Err(error), tally);
            }
            tally.leave_out_of_this("the file ends early");
        }
        let (channels, mut samples) = to_eight_bits(color, samples).ok_or_else(|| self.unread())?;
        let bright = self.multiplied && channels == Channels::Rgba && divide(&mut samples);
        tally.take(&upright(width, height, channels, samples, orientation).ok_or_else(|| self.unread())?);
        if bright {
            tally.leave_out_of_this("colours brighter than their alpha allows");
        }
        Ok(())
    }

    /// Looks at what the prefix codes of a WebP's pictures would take, of as many as may be decoded.
    fn admit_codes(&self, bytes: &[u8], tally: &Tally<'_>) -> Result<(), Refused> {
        let probe = self.probe;
        let pixels = probe.pixels_max.saturating_mul(probe.bytes_per_pixel);
        let left = self.limits.alloc_bytes_max.saturating_sub(pixels);
        let lossless = probe.chunks.iter().filter(|(name, _)| name == b"VP8L");
        let lossless = lossless.map(|(_, place)| (place.clone(), Header::Present)).take(self.limits.frames_max as usize);
        // The first byte says how alpha is coded.
        let coded = |place: &Range<usize>| bytes[place.clone()].first().is_some_and(|first| first & 3 == 1);
        let alphas = probe.alphas.iter().filter(|(place, ..)| coded(place)).take(self.limits.frames_max as usize);
        let alphas = alphas.map(|(place, width, height)| (place.start + 1..place.end, Header::Absent(*width, *height)));
        for (place, header) in lossless.chain(alphas) {
            if tally.is_late() {
                return Err(Refused::new(Reason::Timeout, "the deadline passed"));
            }
            if vp8l::code_bytes(&bytes[place], header, left) > left {
                let detail = format!("the WebP's prefix codes would take more than the {left} bytes that its pixels leave");
                return Err(Refused::new(Reason::TooManyPixels, detail));
            }
        }
        Ok(())
    }

    pub(super) fn gif<'s>(&self, source: impl Fn() -> Source<'s>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        if self.probe.motion == Motion::Still {
            return self.still(GifDecoder::new(source()), tally);
        }
        let run = self.say(GifDecoder::new(source()), tally).and_then(|mut decoder| {
            self.say(decoder.set_limits(self.limits(0)), tally)?;
            self.animation(decoder.into_frames(), Orientation::NoTransforms, tally)
        });
        // Only the reader of stills hands over what there is of a first frame that breaks off.
        match run {
            Err(_) if tally.taken() == 0 && self.probe.ends_early && !tally.is_late() => {
                self.still(GifDecoder::new(source()), tally)
            }
            run => run,
        }
    }

    pub(super) fn webp(&self, bytes: &[u8], late: &dyn Fn() -> bool, tally: &mut Tally<'_>) -> Result<(), Refused> {
        self.admit_codes(bytes, tally)?;
        let run = self.webp_pixels(|| Source::new(bytes, late), tally);
        // What was decoded is held against its data.
        for (frame, (name, place)) in self.probe.chunks.iter().enumerate().take(tally.dealt_with() as usize) {
            if tally.is_late() || !webp::is_whole(name, &bytes[place.clone()], late) {
                tally.leave_out_of(frame as u32, DAMAGED);
            }
        }
        run
    }

    fn webp_pixels<'s>(&self, source: impl Fn() -> Source<'s>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        if self.probe.motion == Motion::Still {
            return self.still(WebPDecoder::new(source()), tally);
        }
        let mut decoder = self.say(WebPDecoder::new(source()), tally)?;
        self.say(decoder.set_limits(self.limits(0)), tally)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        self.animation(decoder.into_frames(), orientation, tally)
    }

    pub(super) fn png<'s>(&self, source: impl Fn() -> Source<'s>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        // Of what the pixels leave, a third: the crate's buffers for colour profiles double as they grow.
        let pixels = self.probe.pixels_max.saturating_mul(self.probe.bytes_per_pixel);
        let left = self.limits.alloc_bytes_max.saturating_sub(pixels) / 3;
        let open = || PngDecoder::with_limits(source(), self.limits(self.limits.alloc_bytes_max - left));
        if self.probe.motion == Motion::Still {
            return self.still(open(), tally);
        }
        // Viewers without animations show the still; where it is no frame, nobody else would look at it.
        if self.probe.motion == Motion::AnimatedBesideStill {
            if let Err(refused) = self.still(open(), tally) {
                tally.fail(refused);
            }
            if !tally.begin(self.probe.pixels_max) {
                return Ok(());
            }
        }
        let run = self.apng(open(), tally);
        // Animations of 16 bits are not read, and broken ones break off: the still is there all the same.
        if run.is_err() && tally.taken() == 0 && !tally.stopped() && !tally.is_late() {
            self.still(open(), tally)?;
        }
        run
    }

    fn apng(&self, decoder: Result<PngDecoder<Source<'_>>, ImageError>, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let mut decoder = self.say(decoder, tally)?;
        self.say(decoder.set_limits(self.limits(0)), tally)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        self.animation(self.say(decoder.apng(), tally)?.into_frames(), orientation, tally)
    }

    /// The first frame has begun.
    fn animation(&self, frames: Frames<'_>, orientation: Orientation, tally: &mut Tally<'_>) -> Result<(), Refused> {
        let mut frames = frames.into_iter();
        loop {
            let Some(frame) = frames.next() else {
                tally.withdraw();
                return Ok(());
            };
            let canvas = self.say(frame, tally)?.into_buffer();
            let (width, height) = canvas.dimensions();
            if !tally.wants_this() {
                tally.pass_over();
            } else if let Some(picture) = upright(width, height, Channels::Rgba, canvas.into_raw(), orientation) {
                tally.take(&picture);
            }
            if !tally.begin(self.probe.pixels_max) {
                return Ok(());
            }
        }
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

/// Takes colours back to what they were before they were multiplied by their alpha. Whether some can't have been.
fn divide(samples: &mut [u8]) -> bool {
    let mut bright = false;
    for [colours @ .., alpha] in samples.as_chunks_mut::<4>().0 {
        for value in colours {
            bright |= *value > *alpha;
            *value = divided(*value, *alpha);
        }
    }
    bright
}

pub(super) fn upright(
    width: u32,
    height: u32,
    channels: Channels,
    samples: Vec<u8>,
    orientation: Orientation,
) -> Option<Picture> {
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
