//! Planes of a coded picture to luma. ITU-T H.273, 8.3.
//!
//! PDQ's luma is 0.299 R + 0.587 G + 0.114 B. R, G and B are sums of the planes' samples, so luma is one too, and is made of the planes at once:
//! for the matrix that most cameras use (BT.601) it is the first plane alone. What rounding and clipping of R, G and B would change is left out.
//! Chroma that has fewer samples is repeated.

/// Luma of a picture, 8 bits a sample, row by row.
pub(super) struct Luma {
    pub width: u32,
    pub height: u32,
    pub samples: Vec<u8>,
}

/// Pixels that a coded picture may have, whose own is so large: it is whole blocks, of 64 by 64 at the most.
pub(super) fn coded_pixels_max(width: u32, height: u32) -> u64 {
    u64::from(width).next_multiple_of(64) * u64::from(height).next_multiple_of(64)
}

/// How samples are to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding {
    /// ITU-T H.273 matrix coefficients.
    pub matrix: u16,
    pub full_range: bool,
    /// Bits of a sample, of luma and of chroma.
    pub depth: [u32; 2],
}

/// Luma is `base` and each plane's sample times its factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weights {
    pub base: f32,
    pub planes: [f32; 3],
}

impl Weights {
    pub(super) fn of(coding: Coding, grey: bool) -> Self {
        let step = |bits: u32| f64::from(1u32 << (bits.clamp(8, 16) - 8));
        let top = |bits: u32| f64::from((1u64 << bits.clamp(8, 16)) as u32 - 1);
        let [luma, chroma] = coding.depth;
        // The first plane, and chroma about its middle, to 0..=255 and -127.5..=127.5.
        let (black, scale, chroma_scale) = match coding.full_range {
            true => (0.0, 255.0 / top(luma), 255.0 / top(chroma)),
            false => (16.0 * step(luma), 255.0 / (219.0 * step(luma)), 255.0 / (224.0 * step(chroma))),
        };
        let middle = 128.0 * step(chroma);
        let (kr, kb) = match coding.matrix {
            // Planes are green, blue, red.
            0 if !grey => {
                let planes = [0.587, 0.114, 0.299].map(|weight| (weight * scale) as f32);
                return Weights { base: (-black * scale) as f32, planes };
            }
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let kg = 1.0 - kr - kb;
        let [cb, cr]: [f64; 2] = match coding.matrix {
            _ if grey => [0.0, 0.0],
            // YCgCo: R = Y - Cg + Co, G = Y + Cg, B = Y - Cg - Co.
            8 => [0.587 - 0.299 - 0.114, 0.299 - 0.114],
            _ => [
                0.114 * 2.0 * (1.0 - kb) - 0.587 * 2.0 * kb * (1.0 - kb) / kg,
                0.299 * 2.0 * (1.0 - kr) - 0.587 * 2.0 * kr * (1.0 - kr) / kg,
            ],
        };
        // What is left where both matrices are one is rounding.
        let [cb, cr] = [cb, cr].map(|weight| if weight.abs() < 1e-9 { 0.0 } else { weight * chroma_scale });
        Weights { base: (-black * scale - middle * (cb + cr)) as f32, planes: [scale as f32, cb as f32, cr as f32] }
    }

    /// Appends a row. `chroma` has the rows of the second and third plane, one sample for each or for two of the first.
    pub(super) fn row<T: Copy + Into<f32>>(&self, luma: &[T], chroma: Option<[&[T]; 2]>, halved: bool, out: &mut Vec<u8>) {
        let Weights { base, planes: [y, b, r] } = *self;
        match chroma {
            Some([blue, red]) if (b, r) != (0.0, 0.0) => {
                let at = |x: usize| if halved { x / 2 } else { x };
                let of = |x: usize, value: &T| {
                    let (blue, red) = (blue.get(at(x)).copied(), red.get(at(x)).copied());
                    let (Some(blue), Some(red)) = (blue, red) else { return rounded(base + y * (*value).into()) };
                    rounded(base + y * (*value).into() + b * blue.into() + r * red.into())
                };
                out.extend(luma.iter().enumerate().map(|(x, value)| of(x, value)));
            }
            _ => out.extend(luma.iter().map(|value| rounded(base + y * (*value).into()))),
        }
    }
}

fn rounded(value: f32) -> u8 {
    // Conversion cuts to 0..=255.
    (value + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Luma of a colour that was coded by a matrix, against luma of the colour itself.
    fn check(matrix: u16, full_range: bool, bits: u32) {
        let (kr, kb) = match matrix {
            1 => (0.2126, 0.0722),
            9 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let weights = Weights::of(Coding { matrix, full_range, depth: [bits, bits] }, false);
        for [r, g, b] in [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.2, 0.9, 0.1], [0.3, 0.2, 0.8]] {
            let y: f64 = kr * r + (1.0 - kr - kb) * g + kb * b;
            let chroma = [(b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr))];
            let planes = match matrix {
                0 => [g, b, r].map(|value| value * f64::from((1u32 << bits) - 1)),
                8 => {
                    let (co, t) = ((r - b) / 2.0, (r + b) / 2.0);
                    let max = f64::from((1u32 << bits) - 1);
                    [(g + t) / 2.0 * max, (g - t) / 2.0 * max + 128.0, co * max + 128.0]
                }
                _ if full_range => {
                    let max = f64::from((1u32 << bits) - 1);
                    let middle = f64::from(1u32 << (bits - 1));
                    [y * max, chroma[0] * max + middle, chroma[1] * max + middle]
                }
                _ => {
                    let step = f64::from(1u32 << (bits - 8));
                    [(16.0 + 219.0 * y) * step, (128.0 + 224.0 * chroma[0]) * step, (128.0 + 224.0 * chroma[1]) * step]
                }
            };
            let [luma, blue, red] = planes.map(|value| value.round() as u16);
            let mut out = Vec::new();
            weights.row(&[luma], Some([&[blue], &[red]]), false, &mut out);
            let expected = 255.0 * (0.299 * r + 0.587 * g + 0.114 * b);
            assert!((f64::from(out[0]) - expected).abs() <= 1.6, "{matrix} {full_range} {bits}: {out:?} for {expected}");
        }
    }

    #[test]
    fn every_matrix_comes_to_the_luma_of_its_colours() {
        for (matrix, full_range, bits) in [
            (0, true, 8),
            (1, true, 8),
            (1, false, 8),
            (1, false, 10),
            (6, true, 12),
            (6, false, 8),
            (8, true, 8),
            (9, false, 10),
        ] {
            check(matrix, full_range, bits);
        }
    }

    #[test]
    fn the_usual_matrix_takes_luma_alone() {
        let weights = Weights::of(Coding { matrix: 6, full_range: true, depth: [8, 8] }, false);
        assert_eq!(weights.planes[1..], [0.0, 0.0]);
        let mut out = Vec::new();
        weights.row(&[0u8, 17, 255], Some([&[1, 2], &[3, 4]]), true, &mut out);
        assert_eq!(out, [0, 17, 255]);
    }
}
