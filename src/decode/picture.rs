//! What do a decoded picture's pixels look like as luma?
//!
//! Samples are 8 bits, interleaved, row by row from the top. Luma is 0.0 to 255.0 in `f32`: 0.299 R + 0.587 G + 0.114 B, in
//! this order of operations, as PDQ's reference computes it; a grey sample is its own luma. Rows are made when they are
//! asked for, so that no full-size float image exists. Colour profiles are absent: the reference ignores them too.

/// Samples a pixel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    Grey = 1,
    GreyAlpha = 2,
    Rgb = 3,
    Rgba = 4,
}

impl Channels {
    pub fn count(self) -> usize {
        self as usize
    }
}

/// How transparent pixels are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// Alpha ignored: the colours as they are stored, which is what the field's tools hash.
    Stored,
    /// Laid over white, which is what most viewers show. Content can hide in alpha alone, or colours under it.
    OverWhite,
    /// Laid over black, which is what viewers with a dark ground show: one picture can be seen over white and another over black.
    OverBlack,
}

/// One upright frame.
pub struct Picture {
    width: u32,
    height: u32,
    channels: Channels,
    samples: Vec<u8>,
}

impl Picture {
    /// `None` unless `samples` has exactly `width * height * channels` bytes, and some.
    pub fn new(width: u32, height: u32, channels: Channels, samples: Vec<u8>) -> Option<Self> {
        let bytes = (width as usize).checked_mul(height as usize)?.checked_mul(channels.count())?;
        (bytes > 0 && samples.len() == bytes).then_some(Picture { width, height, channels, samples })
    }

    pub fn width(&self) -> u32 {
        self.width
    }

    pub fn height(&self) -> u32 {
        self.height
    }

    pub fn channels(&self) -> Channels {
        self.channels
    }

    pub fn samples(&self) -> &[u8] {
        &self.samples
    }

    /// The renderings worth hashing: one for an opaque picture, up to three for a picture with any transparency. Over black or white it looks as
    /// it is stored where all that shows through is black or white anyway: most animations are transparent black where they are empty.
    pub fn renderings(&self) -> &'static [Rendering] {
        let differs = match self.channels {
            Channels::Grey | Channels::Rgb => return &[Rendering::Stored],
            Channels::GreyAlpha => transparent_but::<2>(&self.samples),
            Channels::Rgba => transparent_but::<4>(&self.samples),
        };
        match differs {
            [false, false] => &[Rendering::Stored],
            [true, false] => &[Rendering::Stored, Rendering::OverWhite],
            [false, true] => &[Rendering::Stored, Rendering::OverBlack],
            [true, true] => &[Rendering::Stored, Rendering::OverWhite, Rendering::OverBlack],
        }
    }

    pub fn luma(&self, rendering: Rendering) -> LumaPlane<'_> {
        LumaPlane { picture: self, rendering }
    }
}

/// A value as it was before it was multiplied by its alpha.
pub(super) fn divided(value: u8, alpha: u8) -> u8 {
    ((u32::from(value) * 255 + u32::from(alpha) / 2) / u32::from(alpha).max(1)).min(255) as u8
}

/// Luma of cyan, magenta, yellow and black: 255 is no ink.
pub(super) fn luma_of_inverted_inks(inks: [u8; 4]) -> u8 {
    let [c, m, y, k] = inks.map(u32::from);
    (((299 * c + 587 * m + 114 * y) * k / 255 + 500) / 1000) as u8
}

/// A picture seen as luma.
#[derive(Clone, Copy)]
pub struct LumaPlane<'a> {
    picture: &'a Picture,
    rendering: Rendering,
}

impl<'a> LumaPlane<'a> {
    /// All samples, row by row, where each is its own luma.
    pub fn grey(self) -> Option<&'a [u8]> {
        (self.picture.channels == Channels::Grey).then_some(&self.picture.samples)
    }

    pub fn width(&self) -> u32 {
        self.picture.width
    }

    pub fn height(&self) -> u32 {
        self.picture.height
    }

    /// Writes row `y`. `out` has `width` places; a row outside the picture writes nothing.
    pub fn row(&self, y: u32, out: &mut [f32]) {
        let Picture { width, channels, samples, .. } = self.picture;
        let stride = *width as usize * channels.count();
        let Some(row) = samples.chunks_exact(stride).nth(y as usize) else { return };
        match (channels, self.rendering) {
            (Channels::Grey, _) => each::<1>(row, out, |[v]| f32::from(v)),
            (Channels::GreyAlpha, Rendering::Stored) => each::<2>(row, out, |[v, _]| f32::from(v)),
            (Channels::GreyAlpha, Rendering::OverWhite) => each::<2>(row, out, |[v, a]| f32::from(over(255, v, a))),
            (Channels::GreyAlpha, Rendering::OverBlack) => each::<2>(row, out, |[v, a]| f32::from(over(0, v, a))),
            (Channels::Rgb, _) => each::<3>(row, out, luma),
            (Channels::Rgba, Rendering::Stored) => each::<4>(row, out, |[r, g, b, _]| luma([r, g, b])),
            (Channels::Rgba, Rendering::OverWhite) => {
                each::<4>(row, out, |[r, g, b, a]| luma([r, g, b].map(|v| over(255, v, a))))
            }
            (Channels::Rgba, Rendering::OverBlack) => each::<4>(row, out, |[r, g, b, a]| luma([r, g, b].map(|v| over(0, v, a)))),
        }
    }
}

fn each<const N: usize>(row: &[u8], out: &mut [f32], luma: impl Fn([u8; N]) -> f32) {
    for (place, pixel) in out.iter_mut().zip(row.as_chunks::<N>().0) {
        *place = luma(*pixel);
    }
}

fn luma([r, g, b]: [u8; 3]) -> f32 {
    0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)
}

fn over(ground: u32, value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + ground * (255 - alpha) + 127) / 255) as u8
}

/// Whether there are pixels with transparency of another colour than white, and than black.
fn transparent_but<const N: usize>(samples: &[u8]) -> [bool; 2] {
    let (pixels, _) = samples.as_chunks::<N>();
    if pixels.iter().map(|pixel| pixel[N - 1]).min() == Some(u8::MAX) {
        return [false; 2];
    }
    let through = || pixels.iter().filter(|pixel| pixel[N - 1] < u8::MAX);
    [u8::MAX, 0].map(|ground| through().any(|pixel| pixel[..N - 1].iter().any(|value| *value != ground)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channels: Channels, pixel: &[u8], rendering: Rendering, expected: f32) {
        let picture = Picture::new(1, 1, channels, pixel.to_vec()).unwrap();
        let mut out = [f32::NAN];
        picture.luma(rendering).row(0, &mut out);
        assert_eq!(out[0], expected, "{channels:?} {pixel:?} {rendering:?}");
    }

    #[test]
    fn alpha_is_ignored_as_stored_and_lets_white_through_over_white() {
        check(Channels::Grey, &[7], Rendering::OverWhite, 7.0);
        check(Channels::GreyAlpha, &[7, 0], Rendering::Stored, 7.0);
        check(Channels::GreyAlpha, &[7, 0], Rendering::OverWhite, 255.0);
        check(Channels::GreyAlpha, &[7, 255], Rendering::OverWhite, 7.0);
        check(Channels::GreyAlpha, &[0, 51], Rendering::OverWhite, 204.0);
        check(Channels::GreyAlpha, &[255, 51], Rendering::OverBlack, 51.0);
        check(Channels::Rgba, &[9, 9, 9, 0], Rendering::OverBlack, 0.0);
        check(Channels::Rgb, &[255, 0, 0], Rendering::OverBlack, 0.299 * 255.0);
        check(Channels::Rgb, &[255, 0, 0], Rendering::Stored, 0.299 * 255.0);
        check(Channels::Rgba, &[0, 255, 0, 0], Rendering::Stored, 0.587 * 255.0);
        check(Channels::Rgba, &[9, 9, 9, 0], Rendering::OverWhite, 0.299 * 255.0 + 0.587 * 255.0 + 0.114 * 255.0);
    }

    #[test]
    fn only_transparency_that_changes_what_is_seen_earns_further_looks() {
        let renderings = |channels, samples: &[u8]| Picture::new(2, 1, channels, samples.to_vec()).unwrap().renderings();
        let (white, black, all) = (
            [Rendering::Stored, Rendering::OverWhite],
            [Rendering::Stored, Rendering::OverBlack],
            [Rendering::Stored, Rendering::OverWhite, Rendering::OverBlack],
        );
        assert_eq!(renderings(Channels::Grey, &[0, 0]), [Rendering::Stored]);
        assert_eq!(renderings(Channels::Rgba, &[1, 2, 3, 255, 4, 5, 6, 255]), [Rendering::Stored]);
        assert_eq!(renderings(Channels::Rgba, &[1, 2, 3, 255, 4, 5, 6, 254]), all);
        assert_eq!(renderings(Channels::GreyAlpha, &[1, 0, 2, 255]), all);
        assert_eq!(renderings(Channels::GreyAlpha, &[0, 0, 2, 255]), white);
        assert_eq!(renderings(Channels::Rgba, &[255, 255, 255, 9, 2, 2, 2, 255]), black);
    }

    #[test]
    fn samples_that_do_not_fit_the_size_are_refused() {
        assert!(Picture::new(2, 2, Channels::Rgb, vec![0; 11]).is_none());
        assert!(Picture::new(0, 2, Channels::Rgb, vec![]).is_none());
        assert!(Picture::new(2, 2, Channels::Rgb, vec![0; 12]).is_some());
    }
}
