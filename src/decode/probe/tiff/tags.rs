//! What does a TIFF's page say of itself, and do all readers take it alike?
//!
//! libtiff is what most viewers read TIFFs with. It takes the first of two like tags, our decoder the last; it reverses bits that are said
//! to be in reverse, applies a predictor only to the compressions that have one, and takes a page for tiled by the size of its tiles. Our
//! decoder does not. A page on which they may differ is decoded all the same, and `doubt` says that another picture may be in it.

/// One directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Page {
    /// Where its directory lies.
    pub at: u64,
    pub width: u32,
    pub height: u32,
    /// Why other readers may see another picture in it, in words for `left_out`.
    pub doubt: Option<&'static str>,
    /// Why it is not decoded.
    pub unread: Option<&'static str>,
    /// What is said where the decoder fails, if that is known better than the decoder tells it.
    pub weakness: Option<&'static str>,
    /// Colours are stored multiplied by their alpha.
    pub multiplied: bool,
}

impl Page {
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const COLOURS: u16 = 262;
const BIT_ORDER: u16 = 266;
const STRIPS: u16 = 273;
const ORIENTATION: u16 = 274;
const SAMPLES: u16 = 277;
const STRIP_ROWS: u16 = 278;
const STRIP_BYTES: u16 = 279;
const PLANES: u16 = 284;
const PREDICTOR: u16 = 317;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILES: u16 = 324;
const TILE_BYTES: u16 = 325;
const INKS: u16 = 332;
const EXTRA: u16 = 338;
const SAMPLE_KIND: u16 = 339;
const JPEG_TABLES: u16 = 347;
/// What a page's pixels rest on.
const KNOWN: [u16; 21] = [
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    COLOURS,
    BIT_ORDER,
    STRIPS,
    ORIENTATION,
    SAMPLES,
    STRIP_ROWS,
    STRIP_BYTES,
    PLANES,
    PREDICTOR,
    TILE_WIDTH,
    TILE_HEIGHT,
    TILES,
    TILE_BYTES,
    INKS,
    EXTRA,
    SAMPLE_KIND,
    JPEG_TABLES,
];

/// The tags of one directory, as they come.
#[derive(Default)]
pub(super) struct Tags {
    /// The first number of each.
    values: [Option<u64>; KNOWN.len()],
    seen: u32,
    twice: bool,
    odd: bool,
}

impl Tags {
    pub fn add(&mut self, tag: u64, count: u64, first: Option<u64>) {
        let Some(place) = self.place(tag) else { return };
        self.values[place] = first;
        // A list where one number belongs: readers take its first, its last or none.
        self.odd |= count != 1
            && !matches!(KNOWN[place], BITS | STRIPS | STRIP_BYTES | TILES | TILE_BYTES | EXTRA | SAMPLE_KIND | JPEG_TABLES);
    }

    /// What is no whole number.
    pub fn unread(&mut self, tag: u64) {
        let tables = tag == u64::from(JPEG_TABLES);
        if let Some(place) = self.place(tag) {
            self.values[place] = None;
            self.odd |= !tables;
        }
    }

    /// `None` for a tag that does not matter, or that has come before.
    fn place(&mut self, tag: u64) -> Option<usize> {
        let place = KNOWN.iter().position(|known| u64::from(*known) == tag)?;
        self.twice |= self.seen & 1 << place != 0;
        let new = self.seen & 1 << place == 0;
        self.seen |= 1 << place;
        new.then_some(place)
    }

    fn has(&self, tag: u16) -> bool {
        KNOWN.iter().position(|known| *known == tag).is_some_and(|place| self.seen & 1 << place != 0)
    }

    fn value(&self, tag: u16) -> Option<u64> {
        KNOWN.iter().position(|known| *known == tag).and_then(|place| self.values[place])
    }

    pub fn page(&self, at: u64) -> Page {
        let pixels = |tag| self.value(tag).map_or(0, |value| u32::try_from(value).unwrap_or(u32::MAX));
        let (width, height) = (pixels(WIDTH), pixels(HEIGHT));
        let multiplied = self.value(EXTRA) == Some(1);
        let (doubt, unread, weakness) = (self.doubt(), self.not_decoded(width, height), self.weakness(width, height));
        Page { at, width, height, doubt, unread, weakness, multiplied }
    }

    fn doubt(&self) -> Option<&'static str> {
        let compression = self.value(COMPRESSION).unwrap_or(1);
        // LZW, and the names that Deflate, LZMA, Zstandard and WebP go by.
        let predicts = matches!(compression, 5 | 8 | 32_946 | 34_925 | 50_000 | 50_001);
        let predictor = self.value(PREDICTOR).unwrap_or(1);
        // The decoder drops samples that are no alpha before it applies the predictor, which was made with them.
        let dropped = predictor != 1 && self.has(EXTRA) && !matches!(self.value(EXTRA), Some(1 | 2));
        let jpeg = matches!(compression, 6 | 7);
        let cases = [
            (self.twice, "pictures that other readers may see: the TIFF page has a tag twice"),
            (self.odd, "pictures that other readers may see: a tag of the TIFF page is of an unusual type or count"),
            (
                !jpeg && self.value(BIT_ORDER).is_some_and(|order| order != 1),
                "the picture as it is stored: the TIFF page's bits run in reverse",
            ),
            (
                predictor != 1 && !predicts,
                "pictures that other readers may see: the TIFF page names a predictor that its compression does not have",
            ),
            (dropped, "pictures that other readers may see: the TIFF page's predictor covers samples that are no colours"),
            (
                self.value(SAMPLE_KIND).is_some_and(|kind| kind != 1),
                "values of the TIFF page beyond 0 to 1: its samples are floating-point numbers",
            ),
            (
                self.value(COLOURS) == Some(5) && self.value(INKS).is_some_and(|inks| inks != 1),
                "the colours of the TIFF page: its inks are not CMYK",
            ),
            (
                self.has(STRIPS) && (self.has(TILE_WIDTH) || self.has(TILE_HEIGHT)),
                "pictures that other readers may see: the TIFF page has both strips and tiles",
            ),
        ];
        cases.iter().find(|(holds, _)| *holds).map(|(_, words)| *words)
    }

    /// Whether tiles reach beyond the picture.
    fn ragged(&self, width: u32, height: u32) -> bool {
        let cut = |side: u32, tag| self.value(tag).is_some_and(|tile| tile == 0 || u64::from(side) % tile != 0);
        self.has(TILES) && (cut(width, TILE_WIDTH) || cut(height, TILE_HEIGHT))
    }

    fn weakness(&self, width: u32, height: u32) -> Option<&'static str> {
        // The decoder takes the end of a tile's codes for the end of the file.
        let lzw = self.value(COMPRESSION) == Some(5) && self.ragged(width, height);
        lzw.then_some("the TIFF page has LZW-coded tiles that reach beyond the picture, which are not read")
    }

    fn not_decoded(&self, width: u32, height: u32) -> Option<&'static str> {
        let planes = self.value(PLANES) == Some(2) && self.value(SAMPLES).unwrap_or(1) > 1;
        if width == 0 || height == 0 {
            Some("the TIFF page does not say how large it is")
        } else if planes && self.ragged(width, height) {
            // The decoder takes all planes for one.
            Some("the TIFF page has its colours in separate planes, in tiles that reach beyond the picture, which is not read")
        } else {
            None
        }
    }
}
