//! What does a HEIF file (HEIC, AVIF) declare, and where do its parts lie? ISO/IEC 14496-12 and 23008-12.
//!
//! Boxes are parsed by a library, which is kept from tables that would take it long: their sizes are bounded first. A picture is an item: coded,
//! or derived of others, such as a grid of tiles. A few bytes can name the same tile forty thousand times, so what is decoded for each picture
//! is summed up over all references. Item data are cut out here, so that a file that breaks off still shows what it holds.
//! Absent: image sequences (their frames are in a `moov` box), items made of the bytes of other items.

use std::borrow::Cow;
use std::collections::HashSet;

use heifer_isobmff::boxes::{ColorInfo, ConstructionMethod, Grid, Property};
use heifer_isobmff::{HeifFile, ItemId, is_image_item};

use super::boxes::{children, header};
use super::{Probe, be16, be32};

/// Items of a file: a photograph of 48 megapixels in tiles of 512x512 has some 200. The library looks them up one by one.
const ITEMS_MAX: usize = 2048;
/// Bytes of the tables that say what the items are and where they lie.
const TABLES_MAX: usize = 256 * 1024;
/// Bytes of the properties of all items, colour profiles among them.
const PROPERTIES_MAX: usize = 2 << 20;
/// References of items to one another, all together.
const REFERENCES_MAX: usize = 8192;
/// Items that are visited for all pictures together, and how deep they are nested.
const VISITS_MAX: u32 = 8192;
pub(in crate::decode) const DEPTH_MAX: u32 = 4;

/// A picture to show, before it is turned upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Declared {
    pub id: ItemId,
    /// Pixels that are decoded for it, and an eighth of those of the canvases that they are put together on.
    pub pixels: u64,
}

/// What drawing an item takes.
#[derive(Default, Clone, Copy)]
struct Cost {
    pixels: u64,
    /// Bytes of the largest coded picture while it is decoded.
    coded_bytes: u64,
    /// Bytes of canvases at their peak.
    canvas_bytes: u64,
}

pub(in crate::decode) struct Container<'a> {
    bytes: &'a [u8],
    idat: Option<&'a [u8]>,
    file: HeifFile<'a>,
    /// The primary picture first.
    pub pictures: Vec<Declared>,
    /// There are pictures that can't be drawn.
    undrawn: bool,
    /// Bytes that drawing any of them takes.
    peak_bytes: u64,
}

/// The boxes of a file, as far as they are whole.
struct Boxes<'a> {
    /// Where the last of them ends.
    end: usize,
    /// The one behind it breaks off.
    ends_early: bool,
    meta: Option<&'a [u8]>,
    /// Readers differ in which of several they take.
    second_meta: bool,
    moov: bool,
    /// A video beside the picture, as phones put it.
    video: bool,
}

impl<'a> Boxes<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut out = Boxes { end: 0, ends_early: false, meta: None, second_meta: false, moov: false, video: false };
        while let Some((kind, begin, end)) = header(bytes, out.end) {
            if !kind.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') || (&kind == b"ftyp" && out.end > 0) {
                break;
            }
            let Some(content) = bytes.get(begin..end) else {
                out.ends_early = true;
                break;
            };
            match &kind {
                b"meta" if out.meta.is_none() => out.meta = Some(content),
                b"meta" => out.second_meta = true,
                b"moov" => out.moov = true,
                b"mpvd" => out.video = true,
                _ => {}
            }
            out.end = end;
        }
        out
    }
}

/// Why the tables of a file are not read.
fn too_much(boxes: &Boxes<'_>) -> Option<&'static str> {
    let meta = boxes.meta?;
    let mut known = Vec::new();
    let mut twice = boxes.second_meta;
    let (mut tables, mut properties, mut items) = (0, 0, 0);
    for (kind, content, size) in children(meta.get(4..).unwrap_or_default()) {
        if matches!(&kind, b"hdlr" | b"pitm" | b"iloc" | b"iinf" | b"iref" | b"iprp" | b"idat") {
            twice |= known.contains(&kind);
            known.push(kind);
        }
        match &kind {
            b"idat" => {}
            b"iprp" => {
                for (kind, _, size) in children(content) {
                    twice |= &kind == b"ipco" && properties > 0;
                    *(if &kind == b"ipco" { &mut properties } else { &mut tables }) += size;
                }
            }
            b"iinf" => {
                tables += size;
                let header = if content.first() == Some(&0) { 6 } else { 8 };
                items += children(content.get(header..).unwrap_or_default()).count();
            }
            _ => tables += size,
        }
    }
    match () {
        () if twice => Some("a table that should be there once is there twice"),
        () if items > ITEMS_MAX => Some("more than 2,048 items"),
        () if tables > TABLES_MAX => Some("tables of more than 256 KiB"),
        () if properties > PROPERTIES_MAX => Some("properties of more than 2 MiB"),
        () => None,
    }
}

/// The largest picture that any property declares, for whoever can't wait for a whole look.
pub(super) fn skim(bytes: &[u8]) -> Option<Probe> {
    let meta = Boxes::of(bytes).meta?;
    let mut out = Probe::default();
    let properties = children(meta.get(4..)?).filter(|(kind, ..)| kind == b"iprp").flat_map(|(_, content, _)| children(content));
    for (kind, content, _) in properties.flat_map(|(_, content, _)| children(content)).take(ITEMS_MAX) {
        if let (b"ispe", Some(width), Some(height)) = (&kind, be32(content, 4), be32(content, 8)) {
            let pixels = u64::from(width) * u64::from(height);
            if pixels > out.pixels_max {
                (out.width, out.height, out.pixels_max) = (width, height, pixels);
            }
        }
    }
    (out.pixels_max > 0).then_some(out)
}

pub(super) fn heif(bytes: &[u8]) -> Option<Probe> {
    let boxes = Boxes::of(bytes);
    let mut out = Probe { ends_early: boxes.ends_early, end: Some(boxes.end), ..Probe::default() };
    let unread = |why| Some(Probe { width: 1, height: 1, unread: Some(why), ..Probe::default() });
    if boxes.meta.is_none() {
        return if boxes.moov { unread("an image sequence without a still") } else { None };
    }
    if let Some(why) = too_much(&boxes) {
        return unread(why);
    }
    let container = match Container::open(bytes) {
        Some(Ok(container)) => container,
        Some(Err(why)) => return unread(why),
        None => return None,
    };
    (out.width, out.height) = container.size(container.pictures.first()?.id)?;
    out.pixels_max = container.pictures.iter().map(|picture| picture.pixels).max()?;
    out.bytes_per_pixel = container.peak_bytes.div_ceil(out.pixels_max.max(1));
    (out.frames, out.apart) = (u32::try_from(container.pictures.len()).ok()?, true);
    out.flaw(container.undrawn, "pictures that say no size, or are put together of too many others");
    out.flaw(boxes.moov, "the frames of an image sequence");
    out.flaw(boxes.video, "a video beside the picture");
    Some(out)
}

impl<'a> Container<'a> {
    /// `None` where the structure makes no sense, else why it is not read.
    pub fn open(bytes: &'a [u8]) -> Option<Result<Self, &'static str>> {
        let boxes = Boxes::of(bytes);
        let meta = boxes.meta?;
        if let Some(why) = too_much(&boxes) {
            return Some(Err(why));
        }
        let idat = children(meta.get(4..)?).find(|(kind, ..)| kind == b"idat").map(|(_, content, _)| content);
        let file = HeifFile::parse(&bytes[..boxes.end]).ok()?;
        if file.references.iter().map(|reference| reference.to.len()).sum::<usize>() > REFERENCES_MAX {
            return Some(Err("more than 8,192 references"));
        }
        let mut out = Container { bytes, idat, file, pictures: Vec::new(), undrawn: false, peak_bytes: 0 };
        let mut visits = 0;
        for id in out.top_level() {
            let Some(Cost { pixels, coded_bytes, canvas_bytes }) = out.cost(id, 0, &mut visits) else {
                out.undrawn = true;
                continue;
            };
            out.pictures.push(Declared { id, pixels });
            out.peak_bytes = out.peak_bytes.max(coded_bytes.saturating_add(canvas_bytes));
        }
        (!out.pictures.is_empty()).then_some(Ok(out))
    }

    /// The pictures that are for showing: no tiles, thumbnails or auxiliary planes.
    fn top_level(&self) -> Vec<ItemId> {
        let mut helpers = HashSet::new();
        for reference in &self.file.references {
            match &reference.ref_type.0 {
                b"dimg" if self.is_derived(reference.from) => {
                    helpers.extend(reference.to.iter().copied());
                }
                b"thmb" | b"auxl" => _ = helpers.insert(reference.from),
                _ => {}
            }
        }
        let primary = self.file.primary_id;
        let others = self.file.items.iter().filter(|item| {
            // A `tmap` shows the picture that it refers to in other tones.
            let shown = is_image_item(item.item_type) || self.size(item.id).is_some() && item.item_type.0 != *b"tmap";
            item.id != primary && !item.hidden && shown && !helpers.contains(&item.id)
        });
        std::iter::once(primary).chain(others.map(|item| item.id)).collect()
    }

    /// What drawing an item takes. `None`: it says no size, or is nested too deeply or too often.
    fn cost(&self, id: ItemId, depth: u32, visits: &mut u32) -> Option<Cost> {
        *visits += 1;
        if depth > DEPTH_MAX || *visits > VISITS_MAX {
            return None;
        }
        let (width, height) = self.size(id)?;
        let canvas = u64::from(width) * u64::from(height);
        let sources = self.sources(id);
        let mut out = match sources {
            [] => Cost { pixels: canvas, coded_bytes: canvas.saturating_mul(self.bytes_per_pixel(id)), canvas_bytes: 0 },
            _ => Cost { pixels: canvas / 8, ..Cost::default() },
        };
        let alpha = self.alpha(id);
        for part in sources.iter().copied().chain(alpha) {
            let part = self.cost(part, depth + 1, visits)?;
            out.pixels = out.pixels.saturating_add(part.pixels);
            out.coded_bytes = out.coded_bytes.max(part.coded_bytes);
            out.canvas_bytes = out.canvas_bytes.max(part.canvas_bytes);
        }
        // Luma and its turned copy; with alpha both of it too.
        let of_canvas = canvas.saturating_mul(if alpha.is_some() { 4 } else { 2 });
        Some(Cost { pixels: out.pixels.max(canvas), canvas_bytes: out.canvas_bytes.saturating_add(of_canvas), ..out })
    }

    /// Bytes that a coded picture takes for a pixel while it is decoded, measured on 12 megapixels and rounded up: HEVC samples have 16 bits.
    fn bytes_per_pixel(&self, id: ItemId) -> u64 {
        let of_property = |property: &Property| match property {
            Property::HevcConfig(config) => Some(match config.chroma_format {
                0 | 1 => 5,
                2 => 7,
                _ => 9,
            }),
            // Third byte: tier, high bit depth, twelve bits, monochrome, chroma halved across and down.
            Property::Unknown(kind, config) if kind.0 == *b"av1C" => {
                let flags = config.get(2).copied().unwrap_or(0);
                let samples = if flags & 0b1_0000 != 0 || flags & 0b1100 == 0b1100 { 4 } else { 6 };
                Some(if flags & 0b100_0000 != 0 { 2 * samples } else { samples })
            }
            _ => None,
        };
        self.properties(id).find_map(of_property).unwrap_or(12)
    }

    /// Width and height as declared.
    pub fn size(&self, id: ItemId) -> Option<(u32, u32)> {
        self.file.image_size(id).ok().flatten()
    }

    pub fn kind(&self, id: ItemId) -> [u8; 4] {
        self.file.item(id).map(|item| item.item_type.0).unwrap_or_default()
    }

    /// Whether an item is put together of others. Whatever else refers to parts does not show them.
    fn is_derived(&self, id: ItemId) -> bool {
        matches!(&self.kind(id), b"grid" | b"iovl" | b"iden")
    }

    /// The items that a derived one is made of.
    pub fn sources(&self, id: ItemId) -> &[ItemId] {
        if self.is_derived(id) { self.file.referenced_items(id, b"dimg") } else { &[] }
    }

    pub fn properties(&self, id: ItemId) -> impl Iterator<Item = &Property> {
        self.file.item_properties(id).into_iter().flatten()
    }

    /// Matrix coefficients (ITU-T H.273) and whether samples have the full range, where an item says so outside its coded data.
    pub fn colours(&self, id: ItemId) -> Option<(u16, bool)> {
        self.properties(id).find_map(|property| match property {
            Property::Color(ColorInfo::Nclx { matrix, full_range, .. }) => Some((*matrix, *full_range)),
            _ => None,
        })
    }

    /// The item that holds the alpha of another.
    pub fn alpha(&self, id: ItemId) -> Option<ItemId> {
        const NAMES: [&str; 2] = ["urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"];
        let is_alpha = |property: &Property| matches!(property, Property::AuxiliaryType(name) if NAMES.contains(&name.as_str()));
        let of_this = self.file.references.iter().filter(|to| to.ref_type.0 == *b"auxl" && to.to.contains(&id));
        of_this.map(|reference| reference.from).find(|from| self.properties(*from).any(is_alpha))
    }

    /// Whether colours are stored multiplied by their alpha.
    pub fn is_multiplied(&self, id: ItemId, alpha: ItemId) -> bool {
        self.file.referenced_items(id, b"prem").contains(&alpha)
    }

    pub fn grid(&self, id: ItemId, budget: &mut u64) -> Option<Grid> {
        Grid::parse(&self.data(id, budget)?).ok()
    }

    /// An item's bytes, which are taken from `budget`. `None` where they are not all there.
    pub fn data(&self, id: ItemId, budget: &mut u64) -> Option<Cow<'a, [u8]>> {
        let location = self.file.item(id).ok()?.location.as_ref()?;
        let source = match location.construction_method {
            ConstructionMethod::Idat => self.idat?,
            ConstructionMethod::Item => return None,
            _ => self.bytes,
        };
        let mut parts = Vec::with_capacity(location.extents.len());
        for extent in &location.extents {
            let start = usize::try_from(extent.offset).ok()?;
            let end = match usize::try_from(extent.length).ok()? {
                0 => source.len(),
                length => start.checked_add(length)?,
            };
            let part = source.get(start..end)?;
            *budget = budget.checked_sub(part.len() as u64)?;
            parts.push(part);
        }
        Some(match parts[..] {
            [part] => Cow::Borrowed(part),
            _ => Cow::Owned(parts.concat()),
        })
    }

    /// A coded item as an HEVC byte stream (ITU-T H.265, annex B): its parameter sets, then its units, a start code before each.
    #[cfg(feature = "heic")]
    pub fn hevc_stream(&self, id: ItemId, budget: &mut u64) -> Option<Vec<u8>> {
        let config = self.file.hevc_config(id).ok()??;
        let data = self.data(id, budget)?;
        let sets = config.nal_units.iter().map(|unit| unit.len() as u64 + 4).sum();
        *budget = budget.checked_sub(sets)?;
        let mut out = Vec::with_capacity(data.len() + sets as usize + 64);
        let mut unit = |bytes: &[u8]| {
            out.extend([0, 0, 0, 1]);
            out.extend(bytes);
        };
        config.nal_units.iter().for_each(|set| unit(set));
        let mut rest = &data[..];
        while !rest.is_empty() {
            let (length, tail) = rest.split_at_checked(config.nal_length_size.into())?;
            let length = length.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (bytes, tail) = tail.split_at_checked(length)?;
            unit(bytes);
            rest = tail;
        }
        Some(out)
    }

    /// Where the parts of an overlay lie on it, and how large and how grey it is.
    pub fn overlay(&self, id: ItemId, budget: &mut u64) -> Option<Overlay> {
        let data = self.data(id, budget)?;
        let wide = data.get(1)? & 1 != 0;
        let fill = [be16(&data, 2)?, be16(&data, 4)?, be16(&data, 6)?, be16(&data, 8)?];
        let number = |n: usize| if wide { be32(&data, 10 + 4 * n) } else { be16(&data, 10 + 2 * n) };
        let signed = |n: usize| number(n).map(|value| if wide { value as i32 } else { i32::from(value as u16 as i16) });
        let places = (0..self.sources(id).len()).map(|n| Some((signed(2 + 2 * n)?, signed(3 + 2 * n)?)));
        Some(Overlay { width: number(0)?, height: number(1)?, fill, places: places.collect::<Option<_>>()? })
    }
}

pub(in crate::decode) struct Overlay {
    pub width: u32,
    pub height: u32,
    /// Red, green, blue, alpha, 16 bits each.
    pub fill: [u32; 4],
    /// Across and down, of each part.
    pub places: Vec<(i32, i32)>,
}
