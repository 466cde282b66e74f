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
