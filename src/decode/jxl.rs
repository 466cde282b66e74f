//! What does the JPEG XL decoder make of a file? The only file of the decoding that names it; the header probe counts frames by it.

use std::io::BufReader;

use jxl::api::{
    AlphaMode, Event, ExtraChannel, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer, JxlPixelFormat,
    ProfileLevel,
};

use super::picture::{Channels, Picture};
use super::source::Source;
use super::tally::Tally;
use super::{Limits, Refused};
use crate::entry::Reason;

/// Hands every frame to the tally; the first one has begun. Frames come composed, as they are shown, and upright.
pub(super) fn decode(bytes: &[u8], limits: &Limits, late: &dyn Fn() -> bool, tally: &mut Tally<'_>) -> Result<(), Refused> {
    let probe = tally.probe();
    let damaged = || Refused::new(Reason::Undecodable, "the JPEG XL data are damaged");
    let failed = |tally: &Tally<'_>| match tally.is_late() {
        true => Refused::new(Reason::Timeout, "the deadline passed"),
        false => damaged(),
    };
    let mut options = JxlDecoderOptions::default();
    options.sample_limit = usize::try_from(limits.pixels_max.saturating_mul(probe.bytes_per_pixel)).ok();
    options.max_profile_level = ProfileLevel::Main10;
    options.alpha_mode = AlphaMode::Unpremultiplied;
    let mut decoder = JxlDecoder::new(options);
    let mut input = BufReader::new(Source::new(bytes, late));
    let mut frame = Frame::default();
    loop {
        let event = match frame.samples.is_empty() {
            true => decoder.process(&mut input, None, None),
            false => decoder.process(&mut input, Some(&mut [frame.buffer()]), None),
        };
        match event {
            Ok(Event::BasicInfo) => {
                let info = decoder.basic_info().ok_or_else(damaged)?;
                let (width, height) = info.size;
                if (width as u64).saturating_mul(height as u64) > probe.pixels_max {
                    return Err(damaged()); // of another size than its header says
                }
                let alpha = info.extra_channels.iter().any(|channel| channel.ec_type == ExtraChannel::Alpha);
                let extra = info.extra_channels.len();
                let profile = decoder.embedded_color_profile().ok_or_else(damaged)?;
                let (colours, channels) = match (profile.channels(), alpha) {
                    (1, false) => (JxlColorType::Grayscale, Channels::Grey),
                    (1, true) => (JxlColorType::GrayscaleAlpha, Channels::GreyAlpha),
                    (3, false) => (JxlColorType::Rgb, Channels::Rgb),
                    (3, true) => (JxlColorType::Rgba, Channels::Rgba),
                    _ => return Err(Refused::new(Reason::Undecodable, "the JPEG XL file uses a variant that is not read")),
                };
                let format = JxlPixelFormat {
                    color_type: colours,
                    color_data_format: Some(JxlDataFormat::U8 { bit_depth: 8 }),
                    extra_channel_format: vec![None; extra],
                };
                decoder.set_pixel_format(format).map_err(|_| damaged())?;
                frame = Frame { width, height, channels: Some(channels), samples: Vec::new() };
            }
            Ok(Event::FrameHeader) => {
                if frame.samples.is_empty() && tally.wants_this() {
                    frame.samples = vec![0; frame.width * frame.height * frame.channels.map_or(0, Channels::count)];
                }
            }
            Ok(Event::FrameComplete { has_more_frames }) => {
                if frame.samples.is_empty() {
                    tally.pass_over();
                } else {
                    frame.hand_to(tally).ok_or_else(damaged)?;
                }
                if !has_more_frames || !tally.begin(probe.pixels_max) {
                    return Ok(());
                }
            }
            Ok(Event::Complete) => {
                tally.withdraw();
                return Ok(());
            }
            // What there is of a frame can be shown.
            Ok(Event::NeedMoreInput { .. }) => {
                let shown = !frame.samples.is_empty() && decoder.flush_pixels(&mut [frame.buffer()], None).unwrap_or(false);
                if tally.is_late() || !shown || frame.samples.iter().all(|sample| *sample == 0) {
                    return Err(failed(tally));
                }
                return frame.hand_to(tally).ok_or_else(damaged);
            }
            Err(_) => return Err(failed(tally)),
        }
    }
}

/// The frame that is decoded.
#[derive(Default)]
struct Frame {
    width: usize,
    height: usize,
    channels: Option<Channels>,
    samples: Vec<u8>,
}

impl Frame {
    fn buffer(&mut self) -> JxlOutputBuffer<'_> {
        let stride = self.width * self.channels.map_or(0, Channels::count);
        JxlOutputBuffer::new(&mut self.samples, self.height, stride)
    }

    fn hand_to(&mut self, tally: &mut Tally<'_>) -> Option<()> {
        let samples = std::mem::take(&mut self.samples);
        let (width, height) = (u32::try_from(self.width).ok()?, u32::try_from(self.height).ok()?);
        let picture = Picture::new(width, height, self.channels?, samples)?;
        tally.take(&picture);
        Some(())
    }
}
