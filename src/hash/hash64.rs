//! What are the 64-bit pHash and dHash of this picture?
//!
//! "pHash" and "dHash" name no single algorithm. These are `img_hash`'s (the `image_hasher` crate 3.1), taken of PDQ's 64x64 luma
//! plane rounded to 8 bits, never of the full picture, so that a faster way to that plane voids no stored hash:
//!
//! | kind | `HashAlg` | before it | bit |
//! |---|---|---|---|
//! | phash64 | `Median`, 8x8 | resized to 16x16, DCT-II along both axes, the 8x8 lowest frequencies | above their median |
//! | dhash64 | `Gradient`, 8x8 | resized to 9x8 | darker than its right neighbour |
//!
//! Both resize with Lanczos3 and put the first bit (top left) into the highest bit of the first hex digit, row by row.
//! These are fixed: a change of any is a new kind. Only this file names `img_hash`.

use std::sync::LazyLock;

use image::{GrayImage, imageops::FilterType};
use img_hash::{BitOrder, HashAlg, Hasher, HasherConfig};

use super::lanczos;
use super::pdq::Luma64;
use crate::entry::Hash64;

static PHASH: LazyLock<Hasher<[u8; 8]>> = LazyLock::new(|| config().hash_alg(HashAlg::Median).preproc_dct().to_hasher());
static DHASH: LazyLock<Hasher<[u8; 8]>> = LazyLock::new(|| config().hash_alg(HashAlg::Gradient).to_hasher());

fn config() -> HasherConfig<[u8; 8]> {
    HasherConfig::with_bytes_type().hash_size(8, 8).resize_filter(FilterType::Lanczos3).bit_order(BitOrder::MsbFirst)
}

pub fn phash64(luma: &Luma64) -> Hash64 {
    hash(&PHASH, 16, 16, lanczos::sixteen_by_sixteen(luma))
}

pub fn dhash64(luma: &Luma64) -> Hash64 {
    hash(&DHASH, 9, 8, lanczos::nine_by_eight(luma))
}

/// Of samples at the hasher's own size, which it does not resize.
fn hash(hasher: &Hasher<[u8; 8]>, width: u32, height: u32, samples: Vec<u8>) -> Hash64 {
    let Some(grey) = GrayImage::from_raw(width, height, samples) else { return Hash64(0) };
    let hash = hasher.hash_image(&grey);
    // The hasher's container is eight bytes by its type.
    Hash64(hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Channels, Picture, Rendering, drawn};
    use crate::entry::{Bits, HashValue};
    use crate::hash::pdq::plane64;
    use proptest::prelude::*;

    proptest! {
        /// `img_hash` itself, of all 64x64 samples.
        #[test]
        fn hashes_are_the_librarys_of_the_whole_plane(seed in 0u64..1_000_000, shift in 0u32..8, noise in 0u32..=8, side in 5u32..130) {
            let mut random = seed as u32;
            let mut samples = drawn::grey_clouds(side, side, seed).samples().to_vec();
            for sample in &mut samples {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = (*sample >> shift).wrapping_add(((random >> 24) >> (8 - noise)) as u8);
            }
            let luma = plane64(&Picture::new(side, side, Channels::Grey, samples).unwrap().luma(Rendering::Stored));
            let grey = GrayImage::from_fn(64, 64, |x, y| [luma.samples()[(64 * y + x) as usize].round() as u8].into());
            let own = |hasher: &Hasher<[u8; 8]>| Hash64(u64::from_be_bytes(hasher.hash_image(&grey).as_bytes().try_into().unwrap()));
            prop_assert_eq!((phash64(&luma), dhash64(&luma)), (own(&PHASH), own(&DHASH)));
        }
    }

    fn both(picture: &Picture) -> (Hash64, Hash64) {
        let luma = plane64(&picture.luma(Rendering::Stored));
        (phash64(&luma), dhash64(&luma))
    }

    /// Our own values: they hold the parameters still, since stored hashes depend on them.
    #[test]
    fn hashes_of_drawn_pictures_stay_what_they_are() {
        let check = |width, height, seed, phash: &str, dhash: &str| {
            let (p, d) = both(&drawn::clouds(width, height, seed, 0));
            assert_eq!(
                (HashValue::Phash64(p).hex().as_str(), HashValue::Dhash64(d).hex().as_str()),
                (phash, dhash),
                "seed {seed}"
            );
        };
        check(64, 64, 1, "b22979270c55cfe8", "ed8b5375adcc1c38");
        check(640, 480, 2, "cf5e04e11fe06acc", "79282d6d69cdc6e6");
        check(333, 500, 3, "c93205c3b34ffc8c", "d89333939999f3f2");
    }

    fn ramp(value: impl Fn(u32, u32) -> u8) -> Picture {
        let samples = (0..64 * 64).map(|i| value(i % 64, i / 64)).collect();
        Picture::new(64, 64, Channels::Grey, samples).unwrap()
    }

    #[test]
    fn dhash_bits_say_where_it_grows_brighter_to_the_right() {
        assert_eq!(both(&ramp(|x, _| (x * 4) as u8)).1, Hash64(u64::MAX));
        assert_eq!(both(&ramp(|x, _| (255 - x * 4) as u8)).1, Hash64(0));
        // Brighter to the right in the upper half only: the first bits are the top rows.
        assert_eq!(both(&ramp(|x, y| if y < 32 { (x * 4) as u8 } else { (255 - x * 4) as u8 })).1, Hash64(0xffff_ffff_0000_0000));
    }

    #[test]
    fn half_of_a_phashs_bits_are_set() {
        for seed in 0..8 {
            let bits = both(&drawn::clouds(300, 200, seed, 0)).0.0.count_ones();
            assert!((30..=32).contains(&bits), "seed {seed}: {bits}");
        }
    }

    #[test]
    fn a_smaller_copy_lies_near_and_another_picture_far() {
        let near = |a: (Hash64, Hash64), b: (Hash64, Hash64)| (a.0.distance(&b.0), a.1.distance(&b.1));
        let original = both(&drawn::clouds(640, 480, 5, 0));
        let (p, d) = near(original, both(&drawn::clouds(320, 240, 5, 0)));
        assert!(p <= 4 && d <= 4, "{p} {d}");
        let (p, d) = near(original, both(&drawn::clouds(640, 480, 6, 0)));
        assert!(p > 16 && d > 10, "{p} {d}");
    }
}
