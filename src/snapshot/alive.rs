//! Which entries are live? One bit an entry number, in pages that snapshots share until one of them changes a bit.

use std::sync::{Arc, LazyLock};

use crate::entry::EntryNo;

const WORDS: usize = 512;
const BITS: usize = WORDS * 64;

/// Stands for every page without a bit, so that a few entries with high numbers cost little.
static NONE: LazyLock<Arc<[u64; WORDS]>> = LazyLock::new(|| Arc::new([0; WORDS]));

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
        if self.pages.len() <= bit / BITS {
            self.pages.resize(bit / BITS + 1, NONE.clone());
        }
        Arc::make_mut(&mut self.pages[bit / BITS])[bit % BITS / 64] ^= 1 << (bit % 64);
        true
    }

    /// Sets every bit that is set in the other.
    pub fn unite(&mut self, other: &Alive) {
        if self.pages.len() < other.pages.len() {
            self.pages.resize(other.pages.len(), NONE.clone());
        }
        for (own, theirs) in self.pages.iter_mut().zip(&other.pages) {
            if is_none(own) {
                own.clone_from(theirs);
            } else if !is_none(theirs) {
                Arc::make_mut(own).iter_mut().zip(theirs.iter()).for_each(|(own, their)| *own |= their);
            }
        }
    }

    /// Clears every bit that is set in the other.
    pub fn remove(&mut self, other: &Alive) {
        for (own, theirs) in self.pages.iter_mut().zip(&other.pages) {
            if !is_none(own) && !is_none(theirs) {
                Arc::make_mut(own).iter_mut().zip(theirs.iter()).for_each(|(own, their)| *own &= !their);
            }
        }
    }

    pub fn count(&self) -> u64 {
        let pages = self.pages.iter().filter(|page| !is_none(page));
        pages.flat_map(|page| page.iter()).map(|word| u64::from(word.count_ones())).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.pages.iter().all(|page| is_none(page) || page.iter().all(|word| *word == 0))
    }

    pub fn iter(&self) -> impl Iterator<Item = EntryNo> {
        self.iter_from(EntryNo(0))
    }

    pub fn iter_from(&self, first: EntryNo) -> impl Iterator<Item = EntryNo> {
        let pages = self.pages.iter().enumerate().skip(first.0 as usize / BITS);
        let entries = pages.filter(|(_, page)| !is_none(page)).flat_map(|(p, page)| {
            page.iter().enumerate().flat_map(move |(w, word)| {
                let first = (p * BITS + w * 64) as u32;
                let mut left = *word;
                std::iter::from_fn(move || {
                    let bit = left.trailing_zeros();
                    left &= left.wrapping_sub(1);
                    (bit < 64).then(|| EntryNo(first + bit))
                })
            })
        });
        entries.skip_while(move |entry| *entry < first)
    }

    pub fn bytes(&self) -> usize {
        self.pages.iter().filter(|page| !is_none(page)).count() * WORDS * 8
    }
}

fn is_none(page: &Arc<[u64; WORDS]>) -> bool {
    Arc::ptr_eq(page, &NONE)
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
    fn what_is_removed_is_cleared_and_no_more() {
        let of = |entries: &[u32]| {
            let mut alive = Alive::default();
            entries.iter().for_each(|entry| assert!(alive.set(EntryNo(*entry), true)));
            alive
        };
        let (short, long) = (of(&[1, 64, 40_000]), of(&[2, 64, 70_000, 200_000]));
        for (one, other, left) in [(&short, &long, &[1, 40_000][..]), (&long, &short, &[2, 70_000, 200_000]), (&long, &long, &[])]
        {
            let mut one = one.clone();
            one.remove(other);
            assert_eq!(one.iter().map(|entry| entry.0).collect::<Vec<_>>(), left);
            assert_eq!((one.count(), one.is_empty()), (left.len() as u64, left.is_empty()));
        }
        let mut low = of(&[40_000]);
        low.set(EntryNo(40_000), false);
        assert!(low.is_empty() && Alive::default().is_empty());
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
