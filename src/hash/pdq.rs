//! What is the PDQ hash of this picture, and how much is it worth?
//!
//! PDQ as its authors describe it (Facebook, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", 2019) and
//! as their C++ reference computes it at full resolution: luma, two box filters along each axis (a tent, after Jarosz), 64x64
//! samples, a quality from the samples' gradients, the 16x16 lowest frequencies of a DCT without its constant terms, one bit for each
//! that lies above their median. Qualities are 0 to 100.
//!
//! Invariant: every hash and quality equals the reference's bit for bit. The reference adds in `f32`, so the order of
//! additions is part of the algorithm, in the filters ([`tent`]) as in the DCT.
//!
//! Absent: shrinking to 512 pixels first, as the reference's command-line tool does. That is another dialect; it differs by 0 to 10 bits.
//!
//! [`tent`]: super::tent

use std::cmp::Ordering;
use std::sync::LazyLock;

use super::tent::{EachRow, SIDE, Sampling};
use crate::arch::{self, Kernel, Work};
use crate::decode::LumaPlane;
use crate::entry::{Pdq, Transform};

pub use super::tent::Samples;

/// Frequencies along each axis.
const FREQUENCIES: usize = 16;
/// Below this many pixels along an axis the reference gives the zero hash, with quality 0.
const HASHABLE_SIDE_MIN: usize = 5;

/// A picture's luma at 64x64 samples, row by row, 0.0 to 255.0.
#[derive(Clone, PartialEq)]
pub struct Luma64(Samples, Hashable);

impl Luma64 {
    /// Row by row, 64 each.
    pub fn samples(&self) -> &Samples {
        &self.0
    }
}

/// Whether the picture was large enough to be hashed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hashable {
    Yes,
    TooSmall,
}

/// Filters a picture and samples it at 64x64 places.
///
/// Costs one pass over the pixels and memory for `height / 128 + 16` rows of floats.
pub fn plane64(luma: &LumaPlane<'_>) -> Luma64 {
    plane64_of(luma, None)
}

/// The same, and shows each row of the picture's luma on the way, from the top.
pub fn plane64_and_rows(luma: &LumaPlane<'_>, mut each_row: impl FnMut(&[f32])) -> Luma64 {
    plane64_of(luma, Some(&mut each_row))
}

fn plane64_of(luma: &LumaPlane<'_>, each_row: Option<EachRow<'_>>) -> Luma64 {
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    if width < HASHABLE_SIDE_MIN || height < HASHABLE_SIDE_MIN {
        return Luma64([0.0; SIDE * SIDE], Hashable::TooSmall); // nothing can be seen of it in views either
    }
    if width == SIDE && height == SIDE {
        return Luma64(as_it_is(luma, each_row), Hashable::Yes);
    }
    Luma64(arch::best().run(Sampling { luma: *luma, each_row }), Hashable::Yes)
}

/// A picture of 64x64 pixels is not filtered.
fn as_it_is(luma: &LumaPlane<'_>, mut each_row: Option<EachRow<'_>>) -> Samples {
    let mut samples = [0.0; SIDE * SIDE];
    for (row, y) in samples.chunks_exact_mut(SIDE).zip(0..) {
        luma.row(y, row);
        if let Some(each_row) = &mut each_row {
            each_row(row);
        }
    }
    samples
}

/// How much the picture has in it to tell it from others: the sum of its samples' gradients, each cut to whole percents.
pub fn quality(luma: &Luma64) -> u8 {
    let percent = |u: f32, v: f32| (((u - v) * 100.0) / 255.0) as i32;
    let down = luma.0.iter().zip(&luma.0[SIDE..]).map(|(u, v)| percent(*u, *v).abs());
    let across = luma.0.chunks_exact(SIDE).flat_map(|row| row.windows(2)).map(|pair| percent(pair[0], pair[1]).abs());
    (down.chain(across).sum::<i32>() / 90).min(100) as u8
}

/// The hashes of the picture and of its seven rotations and mirrorings, in the order of [`Transform::ALL`], from one DCT.
pub fn hashes(luma: &Luma64) -> [Pdq; 8] {
    if luma.1 == Hashable::TooSmall {
        return [Pdq([0; 4]); 8];
    }
    arch::best().run(AllTransforms(&luma.0))
}

struct AllTransforms<'a>(&'a Samples);

impl Work for AllTransforms<'_> {
    type Out = [Pdq; 8];

    #[inline(always)]
    fn run<K: Kernel>(self, _: K) -> [Pdq; 8] {
        let spectrum = dct(self.0);
        let mut hashes = [Pdq([0; 4]); 8];
        for (hash, transform) in hashes.iter_mut().zip(Transform::ALL) {
            *hash = hash_of(&spectrum, transform);
        }
        hashes
    }
}

/// The hash of the picture as it is: the first of [`hashes`].
pub fn hash(luma: &Luma64) -> Pdq {
    match luma.1 {
        Hashable::TooSmall => Pdq([0; 4]),
        Hashable::Yes => above_median(&dct(&luma.0)),
    }
}

/// By the frequency down, then across.
pub type Spectrum = [[f32; FREQUENCIES]; FREQUENCIES];

/// The hash of a spectrum, or of the turned picture's.
#[inline(always)]
pub fn hash_of(spectrum: &Spectrum, transform: Transform) -> Pdq {
    above_median(&turned(spectrum, transform))
}

/// By sample and frequency the DCT's rows 1 to 16, rounded to `f32` as the reference's table is.
static COSINES: LazyLock<[[f32; FREQUENCIES]; SIDE]> = LazyLock::new(|| {
    let scale = f64::from((2.0 / SIDE as f64).sqrt() as f32);
    std::array::from_fn(|j| {
        let angle = |i: usize| std::f64::consts::PI / 2.0 / SIDE as f64 * (i + 1) as f64 * (2 * j + 1) as f64;
        std::array::from_fn(|i| (scale * angle(i).cos()) as f32)
    })
});

/// `D * A * D^T`, the products summed one after another in `f32`: columns side by side, then frequencies.
#[inline(always)]
fn dct(samples: &Samples) -> Spectrum {
    let cosines = &*COSINES;
    let mut spectrum = [[0.0f32; FREQUENCIES]; FREQUENCIES];
    for (i, sums) in spectrum.iter_mut().enumerate() {
        let mut half = [0.0f32; SIDE];
        for (factors, row) in cosines.iter().zip(samples.chunks_exact(SIDE)) {
            for (sum, value) in half.iter_mut().zip(row) {
                *sum += factors[i] * value;
            }
        }
        for (value, factors) in half.iter().zip(cosines) {
            for (sum, factor) in sums.iter_mut().zip(factors) {
                *sum += value * factor;
            }
        }
    }
    spectrum
}

/// The spectrum of the turned picture: mirroring an axis negates every other frequency along it, transposing transposes.
/// Index 0 is the first frequency, an odd one, so it is the even indices that change their sign.
#[inline(always)]
fn turned(spectrum: &Spectrum, transform: Transform) -> Spectrum {
    let (transposed, flip_rows, flip_columns) = match transform {
        Transform::Identity => (false, false, false),
        Transform::FlipX => (false, true, false),
        Transform::FlipY => (false, false, true),
        Transform::Rot180 => (false, true, true),
        Transform::FlipPlus1 => (true, false, false),
        Transform::Rot270 => (true, true, false),
        Transform::Rot90 => (true, false, true),
        Transform::FlipMinus1 => (true, true, true),
    };
    let mut out = [[0.0; FREQUENCIES]; FREQUENCIES];
    for (i, row) in spectrum.iter().enumerate() {
        for (j, value) in row.iter().enumerate() {
            let negative = (flip_rows && i % 2 == 0) != (flip_columns && j % 2 == 0);
            let (i, j) = if transposed { (j, i) } else { (i, j) };
            out[i][j] = if negative { -value } else { *value };
        }
    }
    out
}

/// Bit 0 is the first frequency and the last of the hex digits' bits. The median is the lower one of the two in the middle, as
/// the reference's (Torben's) is for an even number of values.
#[inline(always)]
fn above_median(spectrum: &Spectrum) -> Pdq {
    let values = spectrum.as_flattened();
    let median = median(values);
    let mut words = [0u64; 4];
    for (word, values) in words.iter_mut().rev().zip(values.chunks_exact(64)) {
        // Without a branch: half of them would be guessed wrong.
        *word = values.iter().rev().fold(0, |bits, value| bits << 1 | u64::from(*value > median));
    }
    Pdq(words)
}

/// The lower of the two values in the middle, by halving the range of their keys: the compiler makes lanes of it, which it does not of sorting.
#[inline(always)]
fn median(values: &[f32]) -> f32 {
    const HALF: i32 = (FREQUENCIES * FREQUENCIES / 2) as i32;
    // Integers in the order of `f32::total_cmp`; the same step takes them back.
    let in_order = |bits: i32| bits ^ (((bits >> 31) as u32) >> 1) as i32;
    let mut keys = [0i32; FREQUENCIES * FREQUENCIES];
    for (key, value) in keys.iter_mut().zip(values) {
        *key = in_order(value.to_bits() as i32);
    }
    let (mut low, mut high) = (i32::MIN, i32::MAX);
    while low < high {
        let middle = ((i64::from(low) + i64::from(high)) >> 1) as i32;
        let below: i32 = keys.iter().map(|key| i32::from(*key <= middle)).sum();
        match below.cmp(&HALF) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => {
                low = keys.iter().map(|key| if *key <= middle { *key } else { i32::MIN }).max().unwrap_or(middle);
                break;
            }
        }
    }
    f32::from_bits(in_order(low) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Channels, Picture, Rendering, drawn};
    use crate::entry::{Bits, HashValue};

    fn plane(picture: &Picture) -> Luma64 {
        plane64(&picture.luma(Rendering::Stored))
    }

    /// Qualities and hashes as the Python package pdqhash 0.2.8 gives them (`pdqhash.compute`, the reference core at full
    /// resolution) for the same pictures, drawn by the same integer arithmetic there.
    #[test]
    fn drawn_pictures_hash_as_the_reference_hashes_them() {
        let check = |(width, height, seed, shift, expected_quality, expected): (u32, u32, u64, u32, u8, &str)| {
            let luma = plane(&drawn::clouds(width, height, seed, shift));
            assert_eq!(quality(&luma), expected_quality, "{width}x{height}: quality");
            assert_eq!(HashValue::Pdq(hash(&luma)).hex(), expected, "{width}x{height}");
            assert_eq!(HashValue::Pdq(hashes(&luma)[0]).hex(), expected, "{width}x{height}");
        };
        [
            (4, 40, 1, 0, 0, "0000000000000000000000000000000000000000000000000000000000000000"),
            (5, 5, 1, 0, 81, "81e09e273c1f61d8ce7360d9c3f09b26318c9e2781e09e277e1f61d8ce7364d9"),
            (64, 64, 2, 0, 100, "ee0b523d8410b1c38bfcb1d2aaabce3978c7cd196a2ba0830ffe29e74480de3d"),
            (63, 65, 3, 1, 52, "f770fbab1c9c536193e6c779f0878e98a55a0c98349fce19d3e4c36107d03286"),
            (7, 300, 4, 0, 100, "9b84ca75392c3d283a74487dc4dbcf83e56bcf83c4db487d3a743528392c4e61"),
            (100, 75, 5, 2, 13, "0be802e72087a1eb4f7c10c70f7ce3e7b2a7b2e74f6cf1c71734496880895d1d"),
            (128, 128, 6, 3, 0, "ae93d5cee22225d00df4eb69e083d3e54d5953e5a0834b6917f48dd823621dde"),
            (129, 257, 7, 4, 0, "d2429c324d49759c863187d7788e5a2c1ffcd22c988ef5d746b1bd9c0be96622"),
            (333, 500, 8, 0, 100, "03e3000319cd3c1eb2a644997ebf4491e3e744917ebf4499b226bd1e79cf780f"),
            (640, 480, 9, 1, 58, "ffbff772ed5a8220b2a69bec81406493e5d3f49381409becb2a68220ad5aa772"),
            (1000, 6, 10, 0, 100, "b496a94aad5af004f496ef7bd2a5d495cb69a1c2f2a5de3db496a94aad5a1004"),
        ]
        .into_iter()
        .for_each(check);
    }

    /// As `pdqhash.compute_dihedral` gives them.
    #[test]
    fn all_eight_hashes_of_one_picture_equal_the_references() {
        let expected = [
            "03e3000319cd3c1eb2a644997ebf4491e3e744917ebf4499b226bd1e79cf780f",
            "98ac180cfaaf85d03227e88b8aa85f79aff25f7d8aa8e88b3637c550daaf180c",
            "04b002a9009814b4a7f3e6332bea6e3b26b2ee3b2beaee33e77317b42c9ad2a5",
            "0419002407fa0f7a037202210ffd65d3faa7f5d7dffd422163622f7a0ff8b2a6",
            "00e101f801cd00e112a6b3663ebf3b6e23e33b6e7ebfbb66b22642e139cd87f0",
            "b6b625562c98e94be7f311cc2bea11c4b6b211c4abea11cce773e84b2c9a2d5a",
            "088c07f31aaf3a2f322717748aa8a086aff2a0828aa8177436373aafdaafe7f3",
            "0c5905590ffa100503729dde4ffd0a2cfaa70a28dffdbdde636210050ffa4d59",
        ];
        let found = hashes(&plane(&drawn::clouds(333, 500, 8, 0))).map(|hash| HashValue::Pdq(hash).hex());
        for ((transform, found), expected) in Transform::ALL.into_iter().zip(found).zip(expected) {
            assert_eq!(found, expected, "{transform}");
        }
    }

    #[test]
    fn a_transforms_name_says_how_the_picture_was_turned() {
        // At this size windows and samples lie symmetrically, so that a turned picture gives the very same samples, turned.
        let (w, h) = (320, 320);
        let picture = drawn::clouds(w, h, 11, 0);
        let own = hashes(&plane(&picture));
        // Where the pixel at (x, y) of the turned picture comes from. Rotations are counter-clockwise.
        type Origin = fn(u32, u32, u32, u32) -> (u32, u32);
        let check = |transform: Transform, size: (u32, u32), origin: Origin| {
            let turned = drawn::remapped(&picture, size, |x, y| origin(x, y, w, h));
            let off = Transform::ALL.map(|t| own[t as usize].distance(&hash(&plane(&turned))));
            assert!(off[transform as usize] <= 8, "{transform}: {off:?}");
            assert!(Transform::ALL.iter().all(|t| *t == transform || off[*t as usize] > 60), "{transform}: {off:?}");
        };
        check(Transform::Identity, (w, h), |x, y, _, _| (x, y));
        check(Transform::Rot90, (h, w), |x, y, w, _| (w - 1 - y, x));
        check(Transform::Rot180, (w, h), |x, y, w, h| (w - 1 - x, h - 1 - y));
        check(Transform::Rot270, (h, w), |x, y, _, h| (y, h - 1 - x));
        check(Transform::FlipX, (w, h), |x, y, _, h| (x, h - 1 - y));
        check(Transform::FlipY, (w, h), |x, y, w, _| (w - 1 - x, y));
        check(Transform::FlipPlus1, (h, w), |x, y, _, _| (y, x));
        check(Transform::FlipMinus1, (h, w), |x, y, w, h| (w - 1 - y, h - 1 - x));
    }

    #[test]
    fn the_median_is_the_lower_of_the_two_in_the_middle() {
        let mut seed = 1u64;
        for round in 0..500 {
            let mut values: Vec<f32> = (0..256)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // Few different ones now and then, and both zeros among them.
                    if round % 3 == 0 { ((seed >> 62) as f32 - 1.0) * -0.0 } else { (seed >> 40) as f32 - 8_388_608.0 }
                })
                .collect();
            let found = median(&values);
            values.sort_by(f32::total_cmp);
            assert_eq!(found.to_bits(), values[127].to_bits(), "round {round}");
        }
    }

    #[test]
    fn a_blank_picture_has_no_quality_and_the_zero_hash() {
        let black = Picture::new(32, 32, Channels::Grey, vec![0; 1024]).unwrap();
        assert_eq!((quality(&plane(&black)), hash(&plane(&black))), (0, Pdq([0; 4])));
    }
}
