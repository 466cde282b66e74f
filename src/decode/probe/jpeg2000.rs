//! What does a JPEG 2000 file declare? ITU-T T.800, annexes A.5 and I.

use super::{Probe, be16, be32, boxes};

pub(super) fn jpeg2000(bytes: &[u8]) -> Option<Probe> {
    let code = codestream(bytes)?;
    let [right, bottom, left, top] = [8, 12, 16, 20].map(|at| be32(code, at));
    let (tile_width, tile_height) = (be32(code, 24)?, be32(code, 28)?);
    let components = u64::from(be16(code, 40)?);
    let (width, height) = (right?.checked_sub(left?)?, bottom?.checked_sub(top?)?);
    let tiles =
        u64::from(width).div_ceil(u64::from(tile_width.max(1))) * u64::from(height).div_ceil(u64::from(tile_height.max(1)));
    let mut out = Probe { width, height, bytes_per_pixel: components, ..Probe::default() };
    // Lenient decoders fill up what is missing.
    out.ends_early = !code.ends_with(b"\xff\xd9");
    if tiles > u64::from(u16::MAX) {
        out.unread = Some("more than 65,535 tiles");
    }
    if components > 5 {
        out.unread = Some("more than five components");
    }
    Some(out)
}

/// The codestream itself, or the first one in a file's boxes.
fn codestream(bytes: &[u8]) -> Option<&[u8]> {
    if bytes.starts_with(b"\xff\x4f\xff\x51") {
        return Some(bytes);
    }
    let (_, content) = boxes::first(bytes, &[b"jp2c"])?;
    content.starts_with(b"\xff\x4f\xff\x51").then_some(content)
}
