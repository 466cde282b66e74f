//! Which entries are live? One bit an entry number, in pages that snapshots share until one of them changes a bit.

use std::sync::Arc;

use crate::entry::EntryNo;

const WORDS: usize = 512;
const BITS: usize = WORDS * 64;

/// A bitmap over entry numbers. A clone shares every page; setting a bit copies its page only (4 KiB, 32,768 entries).
#[derive(Clone, Default)]
pub struct Alive {
    pages: Vec<Arc<[u64; WORDS]>>,
}

impl Alive {
    #[inline]
    pub fn contains(&self, entry: EntryNo) -> bool {
        let bit = entry.0 as usize;
        self.pages.get(bit / BITS).is_some_and(|page| page[bit % BITS / 64] >> (bit % 64) & 1 == 1)
    }

    /// Returns whether the bit changed.
    pub fn set(&mut self, entry: EntryNo, live: bool) -> bool {
        let bit = entry.0 as usize;
        if self.contains(entry) == live {
            return false;
        }
        while self.pages.len() <= bit / BITS {
            self.pages.push(Arc::new([0; WORDS]));
        }
        Arc::make_mut(&mut self.pages[bit / BITS])[bit % BITS / 64] ^= 1 << (bit % 64);
        true
    }

    /// Sets every bit that is set in the other.
    pub fn unite(&mut self, other: &Alive) {
        for (at, theirs) in other.pages.iter().enumerate() {
            match self.pages.get_mut(at) {
                Some(own) => Arc::make_mut(own).iter_mut().zip(theirs.iter()).for_each(|(own, their)| *own |= their),
                None => self.pages.push(theirs.clone()),
            }
        }
    }

    pub fn count(&self) -> u64 {
        self.pages.iter().flat_map(|page| page.iter()).map(|word| u64::from(word.count_ones())).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = EntryNo> {
        self.pages.iter().enumerate().flat_map(|(p, page)| {
            page.iter().enumerate().flat_map(move |(w, word)| {
                let first = (p * BITS + w * 64) as u32;
                let mut left = *word;
                std::iter::from_fn(move || {
                    let bit = left.trailing_zeros();
                    left &= left.wrapping_sub(1);
                    (bit < 64).then(|| EntryNo(first + bit))
                })
            })
        })
    }

    pub fn bytes(&self) -> usize {
        self.pages.len() * WORDS * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_cleared_counted_and_listed() {
        let mut alive = Alive::default();
        let entries = [0, 1, 63, 64, 32_767, 32_768, 1_000_000].map(EntryNo);
        for entry in entries {
            assert!(alive.set(entry, true));
            assert!(!alive.set(entry, true), "already set");
        }
        assert_eq!(alive.iter().collect::<Vec<_>>(), entries);
        assert!(alive.set(EntryNo(64), false));
        assert!(!alive.contains(EntryNo(64)) && alive.contains(EntryNo(63)));
        assert!(!alive.set(EntryNo(5_000_000), false), "beyond the end nothing is live");
        assert_eq!(alive.count(), 6);
    }

    #[test]
    fn a_union_has_the_bits_of_both() {
        let of = |entries: &[u32]| {
            let mut alive = Alive::default();
            entries.iter().for_each(|entry| assert!(alive.set(EntryNo(*entry), true)));
            alive
        };
        let (short, long) = (of(&[1, 64, 40_000]), of(&[2, 64, 200_000]));
        for (mut one, other) in [(short.clone(), &long), (long.clone(), &short)] {
            one.unite(other);
            assert_eq!(one.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 64, 40_000, 200_000]);
        }
        assert_eq!((short.count(), long.count()), (3, 3), "what was united with stays as it was");
    }

    #[test]
    fn a_clone_does_not_see_later_changes_and_shares_untouched_pages() {
        let mut first = Alive::default();
        first.set(EntryNo(1), true);
        first.set(EntryNo(40_000), true);
        let mut second = first.clone();
        second.set(EntryNo(1), false);
        assert!(first.contains(EntryNo(1)) && !second.contains(EntryNo(1)));
        assert!(Arc::ptr_eq(&first.pages[1], &second.pages[1]));
    }
}
