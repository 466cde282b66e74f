//! What does the AV1 decoder make of a still? The only file that names it.

use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{Decoder, PixelLayout, PlanarImageComponent, Settings};

use super::luma::{Coding, Luma, Weights, coded_pixels_max};

/// `colours`: matrix coefficients and whether samples have the full range, where the container says so. `None`: the data are damaged, or the
/// picture is not of the size that was declared.
pub(super) fn decode(data: &[u8], (width, height): (u32, u32), colours: Option<(u16, bool)>) -> Option<Luma> {
    let pixels_max = coded_pixels_max(width, height);
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(u32::try_from(pixels_max).ok()?);
    // Of an item with several layers, the best.
    settings.set_all_layers(false);
    let mut decoder = Decoder::with_settings(&settings).ok()?;
    let mut sent = decoder.send_data(data.to_vec(), None, None, None);
    let picture = loop {
        match decoder.get_picture() {
            Ok(picture) => break picture,
            Err(error) if error.is_again() && sent.as_ref().is_err_and(|error| error.is_again()) => {
                sent = decoder.send_pending_data();
            }
            Err(_) => return None,
        }
    };
    if picture.width() < width || picture.height() < height {
        return None;
    }
    let depth = u32::try_from(picture.bits_per_component()?.0).ok()?;
    let layout = picture.pixel_layout();
    let grey = layout == PixelLayout::I400;
    let (matrix, full_range) =
        colours.unwrap_or_else(|| (matrix(picture.matrix_coefficients()), picture.color_range() == YUVRange::Full));
    let weights = Weights::of(Coding { matrix, full_range, depth: [depth, depth] }, grey);
    let with_chroma = !grey && weights.planes[1..] != [0.0, 0.0];
    let planes = [PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V];
    let planes: Vec<_> = planes.into_iter().take(if with_chroma { 3 } else { 1 }).map(|of| picture.plane(of)).collect();
    let strides = [PlanarImageComponent::Y, PlanarImageComponent::U].map(|of| picture.stride(of) as usize);
    let halved = layout != PixelLayout::I444;
    let halved_down = layout == PixelLayout::I420;
    let mut samples = Vec::with_capacity(width as usize * height as usize);
    let bytes = if depth > 8 { 2 } else { 1 };
    let wide = |row: &[u8]| -> Vec<u16> { row.as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect() };
    for y in 0..height as usize {
        let row = |plane: usize, y: usize, length: usize| {
            let stride = strides[plane.min(1)];
            planes.get(plane)?.get(y * stride..)?.get(..length * bytes)
        };
        let luma = row(0, y, width as usize)?;
        let (of_chroma, across) =
            (if halved_down { y / 2 } else { y }, if halved { (width as usize).div_ceil(2) } else { width as usize });
        let chroma = if with_chroma { Some([row(1, of_chroma, across)?, row(2, of_chroma, across)?]) } else { None };
        if depth > 8 {
            let chroma = chroma.map(|rows| rows.map(wide));
            weights.row(&wide(luma), chroma.as_ref().map(|[a, b]| [&a[..], &b[..]]), halved, &mut samples);
        } else {
            weights.row(luma, chroma, halved, &mut samples);
        }
    }
    Some(Luma { width, height, samples })
}

/// As ITU-T H.273 numbers them.
fn matrix(of: MatrixCoefficients) -> u16 {
    match of {
        MatrixCoefficients::Identity => 0,
        MatrixCoefficients::BT709 => 1,
        MatrixCoefficients::BT470M => 4,
        MatrixCoefficients::ST240M => 7,
        MatrixCoefficients::YCgCo => 8,
        MatrixCoefficients::BT2020NonConstantLuminance => 9,
        MatrixCoefficients::BT2020ConstantLuminance => 10,
        _ => 2,
    }
}
