//! How are the pictures of a HEIF file (HEIC, AVIF) drawn? ISO/IEC 23008-12.
//!
//! A picture is coded by HEVC ([`hevc`]) or AV1 ([`av1`]), or put together of others: a grid, an overlay, a copy. All of it is luma and, where
//! there is any, alpha, 8 bits each ([`luma`]). What may be decoded was admitted by what the items declare; a coded picture that turns out
//! larger than its item says is not decoded. Tiles that can't be had leave their place grey, and are said to be missing.

mod av1;
#[cfg(feature = "heic")]
mod hevc;
mod luma;

use heifer_isobmff::ItemId;
use heifer_isobmff::boxes::Property;
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::{DynamicImage, GrayAlphaImage, GrayImage, LumaA};

use super::Refused;
use super::picture::{Channels, Picture, divided};
use super::probe::Container;
use super::tally::Tally;
use crate::entry::Reason;
use luma::Luma;

/// How often the bytes of a file are decoded, all items together: each should be once.
const READ_MAX: u64 = 2;

/// Hands every picture to the tally, the primary one first.
pub(super) fn decode(bytes: &[u8], name: &str, late: &dyn Fn() -> bool, tally: &mut Tally<'_>) -> Result<(), Refused> {
    let Some(Ok(container)) = Container::open(bytes) else {
        return Err(Refused::new(Reason::Undecodable, format!("the {name} data are damaged")));
    };
    let mut budget = READ_MAX * bytes.len() as u64;
    for (n, picture) in container.pictures.iter().enumerate() {
        let wanted = tally.wants(n as u32);
        if !tally.begin(if wanted { picture.pixels } else { 0 }) {
            break;
        }
        if !wanted {
            tally.pass_over();
            continue;
        }
        let mut artist = Artist { container: &container, name, late, budget, whole: true, nested: 0 };
        let drawn = artist.upright(picture.id).and_then(|image| artist.picture(image));
        budget = artist.budget;
        match drawn {
            Ok(drawn) => tally.take_maybe_damaged(&drawn, !artist.whole),
            Err(refused) => tally.fail(refused),
        }
    }
    Ok(())
}

/// Draws one picture.
struct Artist<'a> {
    container: &'a Container<'a>,
    name: &'a str,
    late: &'a dyn Fn() -> bool,
    /// Bytes of item data that may still be read.
    budget: u64,
    /// Nothing of it is missing.
    whole: bool,
    nested: u32,
}

type Drawn = Result<DynamicImage, Refused>;

impl Artist<'_> {
    fn damaged(&self) -> Refused {
        Refused::new(Reason::Undecodable, format!("the {} data are damaged", self.name))
    }

    fn unread(&self) -> Refused {
        Refused::new(Reason::Undecodable, format!("the {} file uses a variant that is not read", self.name))
    }

    fn picture(&self, image: DynamicImage) -> Result<Picture, Refused> {
        let (width, height) = (image.width(), image.height());
        let channels = if image.color().has_alpha() { Channels::GreyAlpha } else { Channels::Grey };
        Picture::new(width, height, channels, image.into_bytes()).ok_or_else(|| self.damaged())
    }

    /// An item as it is shown: cropped, turned and mirrored as its properties say, in their order.
    fn upright(&mut self, id: ItemId) -> Drawn {
        let mut image = self.drawn(id)?;
        for property in self.container.properties(id) {
            image = match property {
                Property::CleanAperture { width, height, horiz_offset, vert_offset } => {
                    let across = aperture(image.width(), *width, *horiz_offset);
                    match across.zip(aperture(image.height(), *height, *vert_offset)) {
                        Some(((left, width), (top, height))) => image.crop_imm(left, top, width, height),
                        None => image, // no part of the picture
                    }
                }
                // Anti-clockwise.
                Property::Rotation(1) => mapped(&image, rotate270, rotate270),
                Property::Rotation(2) => mapped(&image, rotate180, rotate180),
                Property::Rotation(3) => mapped(&image, rotate90, rotate90),
                Property::Mirror(true) => mapped(&image, flip_vertical, flip_vertical),
                Property::Mirror(false) => mapped(&image, flip_horizontal, flip_horizontal),
                _ => image,
            };
        }
        Ok(image)
    }

    /// An item as it is stored, with its alpha.
    fn drawn(&mut self, id: ItemId) -> Drawn {
        let colours = self.plain(id)?;
        let Some(alpha) = self.container.alpha(id) else { return Ok(colours) };
        let multiplied = self.container.is_multiplied(id, alpha);
        let alpha = self.plain(alpha)?.into_luma8();
        let colours = colours.into_luma8();
        if alpha.width() == 0 || alpha.height() == 0 {
            return Err(self.damaged());
        }
        // It may be coded smaller than what it belongs to.
        let (width, height) = colours.dimensions();
        let along = |at: u32, of: u32, side: u32| (u64::from(at) * u64::from(side) / u64::from(of.max(1))) as u32;
        let both = GrayAlphaImage::from_fn(width, height, |x, y| {
            let alpha = alpha.get_pixel(along(x, width, alpha.width()), along(y, height, alpha.height())).0[0];
            let value = colours.get_pixel(x, y).0[0];
            LumaA([if multiplied { divided(value, alpha) } else { value }, alpha])
        });
        Ok(both.into())
    }

    fn plain(&mut self, id: ItemId) -> Drawn {
        if (self.late)() {
            return Err(Refused::new(Reason::Timeout, "the deadline passed"));
        }
        match &self.container.kind(id) {
            b"grid" => self.grid(id),
            b"iovl" => self.overlay(id),
            b"iden" => match *self.container.sources(id) {
                [source] => self.nest(source, Artist::upright),
                _ => Err(self.damaged()),
            },
            _ => {
                let Luma { width, height, samples } = self.coded(id)?;
                GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8).ok_or_else(|| self.damaged())
            }
        }
    }

    /// What an item refers to must end somewhere: the probe has followed it once.
    fn nest(&mut self, id: ItemId, draw: impl FnOnce(&mut Self, ItemId) -> Drawn) -> Drawn {
        if self.nested > super::probe::HEIF_DEPTH_MAX {
            return Err(self.damaged());
        }
        self.nested += 1;
        let drawn = draw(self, id);
        self.nested -= 1;
        drawn
    }

    fn coded(&mut self, id: ItemId) -> Result<Luma, Refused> {
        let size = self.container.size(id).ok_or_else(|| self.damaged())?;
        let colours = self.container.colours(id);
        let decoded = match &self.container.kind(id) {
            #[cfg(feature = "heic")]
            b"hvc1" | b"hev1" => {
                self.container.hevc_stream(id, &mut self.budget).and_then(|stream| hevc::decode(&stream, size, colours))
            }
            b"av01" => self.container.data(id, &mut self.budget).and_then(|data| av1::decode(&data, size, colours)),
            _ => return Err(self.unread()),
        };
        decoded.ok_or_else(|| self.damaged())
    }

    /// Tiles side by side. Whatever turns or crops a tile of its own is passed over: an old encoder wrote on each what is meant for the whole.
    fn grid(&mut self, id: ItemId) -> Drawn {
        let grid = self.container.grid(id, &mut self.budget).ok_or_else(|| self.damaged())?;
        let tiles = self.container.sources(id).to_vec();
        let declared = self.container.size(id).map(|(width, height)| u64::from(width) * u64::from(height));
        let pixels = u64::from(grid.output_width) * u64::from(grid.output_height);
        let columns = usize::from(grid.columns);
        if tiles.len() != columns * usize::from(grid.rows) || pixels == 0 || declared.is_none_or(|most| pixels > most) {
            return Err(self.damaged());
        }
        let (across, down) = self.container.size(tiles[0]).ok_or_else(|| self.damaged())?;
        let mut canvas = canvas(grid.output_width, grid.output_height, 128, 255);
        let (mut drawn, mut refused) = (0, None);
        for (n, tile) in tiles.iter().enumerate() {
            match self.nest(*tile, Artist::drawn) {
                Ok(tile) if (tile.width(), tile.height()) == (across, down) => {
                    let place = |at: usize, side: u32| i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(i64::from(side));
                    put(&mut canvas, tile, place(n % columns, across), place(n / columns, down));
                    drawn += 1;
                }
                Err(late) if late.reason == Reason::Timeout => return Err(late),
                Err(why) => refused = Some(why),
                Ok(_) => refused = Some(self.damaged()),
            }
        }
        match refused {
            Some(why) if drawn == 0 => return Err(why),
            Some(_) => self.whole = false,
            None => {}
        }
        Ok(canvas)
    }

    /// Pictures laid over one another on a plain ground.
    fn overlay(&mut self, id: ItemId) -> Drawn {
        let overlay = self.container.overlay(id, &mut self.budget).ok_or_else(|| self.damaged())?;
        let declared = self.container.size(id).map(|(width, height)| u64::from(width) * u64::from(height));
        let pixels = u64::from(overlay.width) * u64::from(overlay.height);
        if pixels == 0 || declared.is_none_or(|most| pixels > most) {
            return Err(self.damaged());
        }
        let [red, green, blue, alpha] = overlay.fill;
        let grey = (299 * red + 587 * green + 114 * blue) / 1000;
        let mut canvas = canvas(overlay.width, overlay.height, (grey >> 8) as u8, (alpha >> 8) as u8);
        for (source, (x, y)) in self.container.sources(id).to_vec().into_iter().zip(overlay.places) {
            let part = self.nest(source, Artist::upright)?;
            image::imageops::overlay(&mut canvas, &part, x.into(), y.into());
        }
        Ok(canvas)
    }
}

/// A canvas of one grey, with alpha where it is not opaque.
fn canvas(width: u32, height: u32, grey: u8, alpha: u8) -> DynamicImage {
    match alpha {
        255 => GrayImage::from_pixel(width, height, image::Luma([grey])).into(),
        _ => GrayAlphaImage::from_pixel(width, height, LumaA([grey, alpha])).into(),
    }
}

/// Puts a tile onto a canvas, which gets alpha with the first tile that has some.
fn put(canvas: &mut DynamicImage, tile: DynamicImage, x: i64, y: i64) {
    if tile.color().has_alpha() && !canvas.color().has_alpha() {
        *canvas = std::mem::take(canvas).into_luma_alpha8().into();
    }
    match canvas {
        DynamicImage::ImageLuma8(canvas) => image::imageops::replace(canvas, &tile.into_luma8(), x, y),
        DynamicImage::ImageLumaA8(canvas) => image::imageops::replace(canvas, &tile.into_luma_alpha8(), x, y),
        _ => {}
    }
}

fn mapped(
    image: &DynamicImage,
    grey: fn(&GrayImage) -> GrayImage,
    with_alpha: fn(&GrayAlphaImage) -> GrayAlphaImage,
) -> DynamicImage {
    match image {
        DynamicImage::ImageLumaA8(image) => with_alpha(image).into(),
        DynamicImage::ImageLuma8(image) => grey(image).into(),
        other => other.clone(),
    }
}

/// Where a clean aperture begins along a side, and how long it is: its length and the offset of its centre are fractions.
fn aperture(side: u32, (length, length_by): (u32, u32), (offset, offset_by): (i32, u32)) -> Option<(u32, u32)> {
    if length_by == 0 || offset_by == 0 {
        return None;
    }
    let length = f64::from(length) / f64::from(length_by);
    let begin = f64::from(offset) / f64::from(offset_by) + (f64::from(side) - length) / 2.0;
    // What lies beyond the picture is cut off, as libheif does.
    let (begin, end) = (begin.round().max(0.0), (begin.round() + length.round()).min(f64::from(side)));
    (end > begin).then_some((begin as u32, (end - begin) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_aperture_has_beyond_the_picture_is_cut_off() {
        assert_eq!(aperture(100, (50, 1), (0, 1)), Some((25, 50)));
        assert_eq!(aperture(100, (100, 2), (-25, 1)), Some((0, 50)));
        assert_eq!(aperture(100, (50, 1), (40, 1)), Some((65, 35)));
        assert_eq!(aperture(100, (50, 1), (-40, 1)), Some((0, 35)));
        assert_eq!(aperture(100, (200, 1), (0, 1)), Some((0, 100)));
        assert_eq!(aperture(100, (50, 1), (-90, 1)), None);
        assert_eq!(aperture(100, (0, 1), (0, 1)), None);
        assert_eq!(aperture(100, (50, 0), (0, 1)), None);
    }
}
