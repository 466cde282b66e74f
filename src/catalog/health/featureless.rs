//! Does a PDQ hash say anything of one picture?
//!
//! PDQ sets a bit for each of 16x16 coefficients that is above their median, so half of the bits are set, but of blank pictures, where most coefficients are
//! equal. Borders, bars and chequerboards are the product of something across and something down, and so is the sign of each of their coefficients:
//! the rows of such a hash repeat, as they are or inverted. The rest is compared with pictures that are drawn here. PDQ rates borders and chequerboards as
//! highly as photographs, so no quality keeps them out. Of stripes and of gradients along a side PDQ hashes its own rounding: such hashes are not found
//! here, and match nothing else either.

use std::sync::OnceLock;

use super::super::report::FindingKind;
use crate::arch;
use crate::decode::{Channels, Picture, Rendering};
use crate::entry::{Bits, Pdq};
use crate::hash::pdq;

/// Bits off half of them. Hashes of pictures with content are within 2, digests of the same length (standard deviation 8) within this.
const WEIGHT_OFF_MAX: u32 = 48;
/// Bits by which a hash differs from the nearest product of a row and a column, as bars and chequerboards make. Of 505 photographs (BSDS500) in all
/// orientations, as they are, blurred and enlarged from 24x16 pixels, none has less than 42, and half have less than 80.
const PRODUCT: u32 = 32;
/// The same for one that is compared with drawn bars, and with blank pictures, whose hashes are nearly such products; then the bits between the two. Those
/// photographs are at least 78 off.
const NEARLY_PRODUCT: u32 = 64;
const NEAR_BARS: u16 = 64;
/// Bits between two hashes of which one is of a drawn disc. Those photographs are at least 72 off.
const NEAR_DISC: u16 = 44;
/// A drawn picture's hash that is as near to that of another is not worth comparing with.
const SAME: u16 = 16;
/// What is drawn is so wide and so high; upright ones follow from the orientations.
const SIZES: [(usize, usize); 4] = [(256, 256), (256, 192), (256, 171), (256, 144)];

/// A luma of 0 to 1, by how far across and down (0 to 1), and how many times as wide as high the picture is.
type Drawing = Box<dyn Fn(f32, f32, f32) -> f32>;

/// Hashes, and what each is of.
#[derive(Default)]
struct Drawn {
    hashes: Vec<Pdq>,
    whats: Vec<&'static str>,
}

pub struct Featureless {
    /// Bars across and down, and blank pictures.
    bars: Drawn,
    discs: Drawn,
}

impl Featureless {
    /// Drawn once, in some tenths of a second.
    pub fn known() -> &'static Self {
        static KNOWN: OnceLock<Featureless> = OnceLock::new();
        KNOWN.get_or_init(Featureless::new)
    }

    fn new() -> Self {
        // Of a blank picture PDQ hashes its own rounding, which depends on the level and not on the size.
        let blank = (0..=255).filter_map(|level| Picture::new(64, 64, Channels::Grey, vec![level; 64 * 64]));
        let blank = blank.map(|picture| (pdq::hash(&plane(&picture)), "a blank picture"));
        Featureless { bars: distinct(blank.chain(hashes(bars()))), discs: distinct(hashes(discs())) }
    }

    /// What is wrong with a hash, in words that don't repeat it.
    pub fn judge(&self, hash: &Pdq) -> Option<(FindingKind, String)> {
        let weight: u32 = hash.0.iter().map(|word| word.count_ones()).sum();
        if weight.abs_diff(128) > WEIGHT_OFF_MAX {
            let reason = format!("{weight} of the PDQ hash's 256 bits are set, where pictures have 128");
            return Some((FindingKind::Degenerate, reason));
        }
        let off = arch::best().run(FromProduct(hash));
        if off <= PRODUCT {
            let reason = "the PDQ hash is that of a picture made of bars: a border, a chequerboard".to_owned();
            return Some((FindingKind::Degenerate, reason));
        }
        let of_bars = (off <= NEARLY_PRODUCT).then(|| self.bars.nearest(hash, NEAR_BARS)).flatten();
        let (distance, what) = of_bars.or_else(|| self.discs.nearest(hash, NEAR_DISC))?;
        Some((FindingKind::Featureless, format!("the PDQ hash is {distance} bits off that of {what}")))
    }
}

impl Drawn {
    fn nearest(&self, hash: &Pdq, radius: u16) -> Option<(u16, &'static str)> {
        let (distance, at) = arch::best().run(Nearest(&self.hashes, hash));
        (distance <= radius).then(|| (distance, self.whats[at]))
    }
}

/// The distance of the nearest of some hashes, and where it stands; [`u16::MAX`] of none.
struct Nearest<'a>(&'a [Pdq], &'a Pdq);

impl arch::Work for Nearest<'_> {
    type Out = (u16, usize);

    #[inline(always)]
    fn run<K: arch::Kernel>(self, _: K) -> (u16, usize) {
        let keys = self.0.iter().zip(0u32..).map(|(known, at)| u32::from(known.distance(self.1)) << 16 | at & 0xffff);
        let least = keys.fold(u32::MAX, u32::min);
        ((least >> 16) as u16, (least & 0xffff) as usize)
    }
}

fn plane(picture: &Picture) -> pdq::Luma64 {
    pdq::plane64(&picture.luma(Rendering::Stored))
}

/// Of drawings, in all sizes and orientations.
fn hashes(drawings: Vec<(&'static str, Drawing)>) -> impl Iterator<Item = (Pdq, &'static str)> {
    let drawn = drawings.into_iter().flat_map(|(what, drawing)| {
        SIZES.map(|(width, height)| {
            let luma = (0..width * height).map(|at| {
                let (x, y) = ((at % width) as f32 + 0.5, (at / width) as f32 + 0.5);
                (drawing(x / width as f32, y / height as f32, width as f32 / height as f32).clamp(0.0, 1.0) * 255.0).round() as u8
            });
            (what, Picture::new(width as u32, height as u32, Channels::Grey, luma.collect()))
        })
    });
    drawn
        .filter_map(|(what, picture)| Some((what, picture?)))
        .flat_map(|(what, picture)| pdq::hashes(&plane(&picture)).map(|hash| (hash, what)))
}

fn distinct(hashes: impl Iterator<Item = (Pdq, &'static str)>) -> Drawn {
    let mut kept = Drawn::default();
    for (hash, what) in hashes {
        if kept.nearest(&hash, SAME).is_none() {
            kept.hashes.push(hash);
            kept.whats.push(what);
        }
    }
    kept
}

/// Bits by which a hash's 16x16 bits differ from the nearest product of a row and a column, each bit standing for a sign. The nearest is looked for from
/// some of the rows, by turns across and down: where there is one, most rows lead to it.
struct FromProduct<'a>(&'a Pdq);

impl arch::Work for FromProduct<'_> {
    type Out = u32;

    #[inline(always)]
    fn run<K: arch::Kernel>(self, _: K) -> u32 {
        let rows: [u16; 16] = std::array::from_fn(|y| (self.0.0[y / 4] >> (48 - 16 * (y % 4))) as u16);
        let columns: [u16; 16] = std::array::from_fn(|x| rows.iter().fold(0, |column, row| column << 1 | (row >> (15 - x)) & 1));
        let mut least = u32::MAX;
        for row in [0, 1, 2, 5, 8, 11] {
            let mut across = rows[row];
            for _ in 0..2 {
                let (down, off) = against(&rows, across);
                least = least.min(off);
                (across, _) = against(&columns, down);
            }
        }
        least
    }
}

/// Which lines are a pattern inverted, and by how many bits all of them are off.
#[inline(always)]
fn against(lines: &[u16; 16], pattern: u16) -> (u16, u32) {
    let (mut inverted, mut off) = (0, 0);
    for line in lines {
        let differs = (line ^ pattern).count_ones();
        inverted = inverted << 1 | u16::from(differs > 8);
        off += differs.min(16 - differs);
    }
    (inverted, off)
}

fn tones() -> [impl Fn(bool) -> f32 + Copy + 'static; 2] {
    [1.0, 0.0].map(|paper: f32| move |on: bool| if on { 1.0 - paper } else { paper })
}

fn bars() -> Vec<(&'static str, Drawing)> {
    let mut all: Vec<(&'static str, Drawing)> = Vec::new();
    for toned in tones() {
        for number in 2..=10 {
            let odd = move |at: f32| (at * number as f32) as u32 % 2 == 1;
            all.push(("a chequerboard", Box::new(move |x, y, _| toned(odd(x) != odd(y)))));
            all.push(("a chequerboard", Box::new(move |x, y, wide| toned(odd(x * wide) != odd(y)))));
        }
        for step in 0..14 {
            // In heights of the picture: from a hundredth on, each a fourth wider.
            let thick = 0.01 * 1.25f32.powi(step);
            let inside = move |x: f32, y: f32, wide: f32| y.min(1.0 - y).min(x * wide).min((1.0 - x) * wide) >= thick;
            all.push(("a border", Box::new(move |x, y, wide| toned(!inside(x, y, wide)))));
            let within = move |at: f32| at.min(1.0 - at) >= thick;
            all.push(("a border", Box::new(move |x, y, _| toned(!(within(x) && within(y))))));
        }
    }
    all
}

fn discs() -> Vec<(&'static str, Drawing)> {
    let mut all: Vec<(&'static str, Drawing)> = Vec::new();
    let off = |x: f32, y: f32, wide: f32| ((x - 0.5) * wide).hypot(y - 0.5);
    for toned in tones() {
        for reach in 1..=10 {
            // In heights of the picture.
            let reach = reach as f32 * 0.05;
            all.push(("a disc", Box::new(move |x, y, wide| toned(off(x, y, wide) < reach))));
            let (near, far) = (toned(true), toned(false));
            let glow = move |off: f32| near + (far - near) * (off / (2.0 * reach)).min(1.0);
            all.push(("a radial gradient", Box::new(move |x, y, wide| glow(off(x, y, wide)))));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(width: u32, height: u32, luma: impl Fn(u32, u32) -> u8) -> Pdq {
        let samples = (0..width * height).map(|at| luma(at % width, at / width)).collect();
        let picture = Picture::new(width, height, Channels::Grey, samples).unwrap();
        pdq::hash(&pdq::plane64(&picture.luma(Rendering::Stored)))
    }

    #[test]
    fn most_pictures_without_content_are_known_at_any_size() {
        let known = Featureless::known();
        let (mut blank, mut borders, mut boards) = ((0, 0), (0, 0), (0, 0));
        let count = |of: &mut (u32, u32), hash: Pdq| {
            of.0 += u32::from(known.judge(&hash).is_some());
            of.1 += 1;
        };
        for (width, height) in [(300, 200), (256, 256), (640, 480), (1280, 720), (500, 333), (480, 640), (97, 101)] {
            for level in [0, 30, 128, 200, 255] {
                count(&mut blank, hash(width, height, |_, _| level));
            }
            for thick in [2, 6, 10, 20, 40] {
                for (paper, ink) in [(255, 0), (0, 255), (200, 90)] {
                    let inside = |x: u32, y: u32| x.min(y).min(width - 1 - x).min(height - 1 - y) >= thick;
                    count(&mut borders, hash(width, height, |x, y| if inside(x, y) { paper } else { ink }));
                }
            }
            for squares in [2, 4, 8] {
                let odd = |x: u32, y: u32| (x * squares / width + y * squares / height) % 2 == 1;
                count(&mut boards, hash(width, height, |x, y| if odd(x, y) { 230 } else { 10 }));
            }
        }
        assert_eq!(blank, (35, 35));
        // PDQ tells borders of other proportions apart.
        assert!(borders.0 >= 80 && boards.0 >= 17, "{borders:?} {boards:?}");
        let disc = |x: u32, y: u32| (x as f32 - 319.5).hypot(y as f32 - 239.5) < 144.0;
        assert!(known.judge(&hash(640, 480, |x, y| if disc(x, y) { 0 } else { 255 })).is_some());
    }

    /// Nothing is found in pictures with content, nor in digests that were taken for PDQ.
    #[test]
    fn pictures_with_content_are_not_found() {
        let known = Featureless::known();
        for seed in 0..300 {
            let picture = crate::decode::drawn::clouds(160, 120, seed, 0);
            let hash = pdq::hash(&pdq::plane64(&picture.luma(Rendering::Stored)));
            assert_eq!(known.judge(&hash), None, "{seed}");
        }
    }
}
