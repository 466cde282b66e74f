//! What does the HEVC decoder make of a still? The only file that names it.

use heifer_hevc_dec::decoder::{DecodeOptions, decode_picture};

use super::luma::{Coding, Luma, Weights, coded_pixels_max};

/// `colours`: matrix coefficients and whether samples have the full range, where the container says so. `None`: the data are damaged, or the
/// picture is not of the size that was declared.
pub(super) fn decode(stream: &[u8], (width, height): (u32, u32), colours: Option<(u16, bool)>) -> Option<Luma> {
    let max_pixels = coded_pixels_max(width, height);
    let frame = decode_picture(stream, DecodeOptions { max_pixels, ..DecodeOptions::default() }).ok()?;
    if frame.widths[0] < width || frame.heights[0] < height {
        return None;
    }
    let (matrix, full_range) = colours.unwrap_or((frame.matrix_coeffs.into(), frame.full_range));
    let depth = frame.bit_depth.map(u32::from);
    let grey = frame.widths[1] == 0;
    let weights = Weights::of(Coding { matrix, full_range, depth }, grey);
    let row = |plane: usize, y: usize| {
        let stride = frame.widths[plane] as usize;
        frame.planes[plane].get(y * stride..(y + 1) * stride)
    };
    let [halved, halved_down] = [frame.widths[0] > frame.widths[1], frame.heights[0] > frame.heights[1]];
    let mut samples = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height as usize {
        let of_chroma = if halved_down { y / 2 } else { y };
        let chroma = if grey { None } else { Some([row(1, of_chroma)?, row(2, of_chroma)?]) };
        weights.row(row(0, y)?.get(..width as usize)?, chroma, halved, &mut samples);
    }
    Some(Luma { width, height, samples })
}
