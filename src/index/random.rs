//! Hashes by chance, the same ones for the same seed: for proofs, the conformance suite, the demo and benches.

use crate::entry::Bits;

/// splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    #[expect(clippy::should_implement_trait, reason = "a generator that never ends is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A hash with every bit drawn alone.
    pub fn hash<H: Bits>(&mut self) -> H {
        let bytes: Vec<u8> = (0..H::BYTES).map(|_| self.next() as u8).collect();
        of_bytes(&bytes)
    }

    /// A hash exactly `distance` bits from `hash`.
    pub fn at_distance<H: Bits>(&mut self, hash: &H, distance: u16) -> H {
        let mut bytes = hash.to_bytes().as_ref().to_vec();
        let mut bits: Vec<usize> = (0..usize::from(H::BITS)).collect();
        for chosen in 0..usize::from(distance) {
            let other = chosen + self.below(bits.len() - chosen);
            bits.swap(chosen, other);
            bytes[bits[chosen] / 8] ^= 1 << (bits[chosen] % 8);
        }
        of_bytes(&bytes)
    }
}

pub(super) fn of_bytes<H: Bits>(bytes: &[u8]) -> H {
    H::from_bytes(bytes).expect("as many bytes as the kind has")
}
