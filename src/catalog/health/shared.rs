//! Which hashes do many entries have?
//!
//! The summary of Misra and Gries ("Finding repeated elements", 1982) over the hashes of all kinds: it holds [`COUNTERS`] values, and whatever is on more than
//! one in so many hashes is among them. Those are counted once more, exactly.

use std::collections::HashMap;

use crate::entry::HashKind;

/// A hash of more than this part of the new entries is a placeholder, or a picture that was listed over and over.
const SHARE_MAX: u64 = 200;
/// Of fewer entries a hash is no finding, whatever their share.
const ENTRIES_MIN: u64 = 100;
/// Enough for entries of 15 hashes on average: those of all kinds are counted together.
const COUNTERS: usize = 16 * SHARE_MAX as usize;

type Key = (HashKind, u64);

pub struct Shared {
    entries: u64,
    hashes: u64,
    counts: HashMap<Key, u64>,
}

impl Shared {
    pub fn new(entries: u64) -> Self {
        Shared { entries, hashes: 0, counts: HashMap::with_capacity(COUNTERS + 1) }
    }

    fn most(&self) -> u64 {
        (self.entries / SHARE_MAX).max(ENTRIES_MIN)
    }

    pub fn count(&mut self, kind: HashKind, hash: &[u8]) {
        self.hashes += 1;
        *self.counts.entry((kind, summary(hash))).or_default() += 1;
        if self.counts.len() > COUNTERS {
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// Keeps those that may be findings, to be counted again; false where there are none.
    pub fn narrow(&mut self) -> bool {
        let most = self.most();
        // A counter is short by at most the hashes over the counters.
        let short = self.hashes / COUNTERS as u64;
        self.counts.retain(|_, count| *count + short > most);
        self.counts.values_mut().for_each(|count| *count = 0);
        !self.counts.is_empty()
    }

    pub fn recount(&mut self, kind: HashKind, hash: &[u8]) {
        if let Some(count) = self.counts.get_mut(&(kind, summary(hash))) {
            *count += 1;
        }
    }

    /// How many entries have this hash, if they are too many.
    pub fn entries_with(&self, kind: HashKind, hash: &[u8]) -> Option<u64> {
        let count = self.counts.get(&(kind, summary(hash)))?;
        Some(*count).filter(|count| *count > self.most())
    }
}

/// 64 bits of a hash: its words, mixed, as the first ones of a degenerate hash may be those of another.
pub fn summary(hash: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    hash.chunks(8).fold(0, |sum, bytes| (sum.rotate_left(23) ^ word(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_entries_have_is_found_among_others() {
        let (entries, kind) = (200_000u64, HashKind::Md5);
        let mut shared = Shared::new(entries);
        // One in a hundred has one hash, one in a thousand another.
        let hash = |n: u64| {
            let n = if n.is_multiple_of(100) {
                7
            } else if n % 1_000 == 1 {
                8
            } else {
                1_000 + n
            };
            (u128::from(n) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
        };
        (0..entries).for_each(|n| shared.count(kind, &hash(n)));
        assert!(shared.counts.len() <= COUNTERS && shared.narrow());
        (0..entries).for_each(|n| shared.recount(kind, &hash(n)));
        assert_eq!(shared.entries_with(kind, &hash(0)), Some(2_000));
        assert_eq!([1, 2, 3].map(|n| shared.entries_with(kind, &hash(n))), [None; 3]);
        assert_eq!(shared.entries_with(HashKind::Sha1, &hash(0)), None);
    }

    #[test]
    fn a_list_of_different_hashes_has_none() {
        let mut shared = Shared::new(50_000);
        (0..50_000u64).for_each(|n| shared.count(HashKind::Md5, &(u128::from(n) << 64 | u128::from(n)).to_be_bytes()));
        assert!(!shared.narrow());
    }
}
